package wire

import (
	"errors"
	"io"
)

// TakeStdio is refused: a peer needs descriptors whose reads can be interrupted.
func TakeStdio() (io.ReadWriteCloser, error) {
	return nil, errors.New("this program cannot be a peer on Windows: start the peer in WSL, or choose a host with Linux or macOS")
}
