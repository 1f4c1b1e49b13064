package lab

import (
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stamping is a listener whose connections know when the kernel received what was read from them last, however long it was before
// anybody had the time to read it.
type stamping struct{ *net.TCPListener }

// stampedConn is a connection of such a listener.
type stampedConn struct {
	*net.TCPConn
	raw  syscall.RawConn
	last atomic.Int64 // ns since 1970
}

// stamped makes a listener a stamping one; where the kernel does not do that it stays as it is.
func stamped(l net.Listener) net.Listener {
	t, ok := l.(*net.TCPListener)
	if !ok {
		return l
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return l
	}
	// Connections inherit it, so that not even the first bytes are without a stamp.
	if raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) }) != nil || err != nil {
		return l
	}
	return stamping{t}
}

// Accept implements net.Listener.
func (l stamping) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		c.Close()
		return nil, err
	}
	return &stampedConn{TCPConn: c, raw: raw}, nil
}

// Read implements net.Conn.
func (c *stampedConn) Read(p []byte) (n int, err error) {
	oob := make([]byte, unix.CmsgSpace(16))
	var got int
	if wait := c.raw.Read(func(fd uintptr) bool {
		for {
			n, got, _, _, err = unix.Recvmsg(int(fd), p, oob, 0)
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	}); wait != nil {
		return 0, wait
	}
	switch {
	case err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: err}
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	if messages, err := unix.ParseSocketControlMessage(oob[:got]); err == nil {
		for _, m := range messages {
			if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
				c.last.Store(int64(binary.NativeEndian.Uint64(m.Data))*int64(time.Second) + int64(binary.NativeEndian.Uint64(m.Data[8:])))
			}
		}
	}
	return n, nil
}

// received is when the kernel received what was read last; the zero time if it did not say.
func received(c net.Conn) time.Time {
	if s, ok := c.(*stampedConn); ok && s.last.Load() > 0 {
		return time.Unix(0, s.last.Load())
	}
	return time.Time{}
}
