package shop

import (
	"net"
	"sync/atomic"
	"time"
)

// writeTimeout ends the answer to a client that no longer reads. It is set for each write, so that the time a request
// waits in the queue does not count.
const writeTimeout = 30 * time.Second

// wireCount is what the connections of a Server added up to at some time.
type wireCount struct {
	accepted, open int64
	in, out        int64 // bytes
}

// wire counts connections and their bytes. It may be used concurrently.
type wire struct {
	accepted atomic.Int64
	open     atomic.Int64 // connections whose goroutine has not ended
	in, out  atomic.Int64 // bytes
}

func (w *wire) count() wireCount {
	return wireCount{accepted: w.accepted.Load(), open: w.open.Load(), in: w.in.Load(), out: w.out.Load()}
}

// listener hands out connections that count.
type listener struct {
	net.Listener
	wire *wire
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, wire: l.wire}, nil
}

type conn struct {
	net.Conn
	wire *wire

	// epoch is the one that the last request belonged to. The requests of a connection come one after the other, each in
	// the connection's own goroutine, so that it needs no lock.
	epoch *epoch
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wire.in.Add(int64(n))
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	c.wire.out.Add(int64(n))
	return n, err
}
