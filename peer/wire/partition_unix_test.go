//go:build unix

package wire

import (
	"io"
	"sync/atomic"
)

// partition is a connection that can go silent: what comes is not read any more.
type partition struct {
	io.ReadWriteCloser
	stop   atomic.Bool
	silent chan struct{}
}

func (p *partition) Read(b []byte) (int, error) {
	if p.stop.Load() {
		<-p.silent
	}
	return p.ReadWriteCloser.Read(b)
}
