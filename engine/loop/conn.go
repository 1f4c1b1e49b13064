package loop

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// What an Error was doing.
const (
	opConnect = "connect"
	opTLS     = "tls"
	opRead    = "read"
	opWrite   = "write"
)

// Error is why a connection ended or never began.
type Error struct {
	Op  string // "connect", "tls", "read" or "write"
	Err error  // the cause; a syscall.Errno can be found in it by errors.Is where there was one
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Op, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// Endpoint is where and how to connect. Many connections may share one.
type Endpoint struct {
	Addr   netip.AddrPort
	Alt    netip.AddrPort // an address of the other family, tried 250 ms after Addr (RFC 8305) or when Addr fails; zero: none
	Path   string         // of a unix socket, instead of Addr
	Source netip.Addr     // local address to bind to, with a port of the kernel's choice; zero: any
	Other  netip.Addr     // likewise for Alt, which is of the other family
	TLS    *tls.Config    // of a TLS client; nil: plain
}

// source is the local address to bind to on the way to addr, which is Addr or Alt.
func (ep *Endpoint) source(addr netip.AddrPort) netip.Addr {
	if addr == ep.Alt {
		return ep.Other
	}
	return ep.Source
}

// state is how far a Conn has come. The order matters: from failing on it is
// of no use to its owner.
type state uint8

const (
	connecting state = iota
	securing         // a TLS handshake is under way
	open
	failing // Closed is owed
	closed
)

// Conn is one connection, made by Loop.Dial. Only the loop's goroutine may
// touch it.
type Conn struct {
	Owner uint32 // the number that Dial was given; free to change

	place  uint32 // in Loop.places
	fd     int32  // epoll's; -1: none
	state  state
	queued bool // on the ready list
	hup    bool // the other side has ended: read until it shows

	l           *Loop
	out         []byte // kept until the poller takes it
	sent        int    // how much of out it has taken
	flushedAt   time.Duration
	connectedAt time.Duration
	securedAt   time.Duration
	err         error   // of the attempt that failed first, or what Closed will tell
	sec         *secure // TLS; nil: plain
	race        *race   // epoll's second attempt; nil: none
	pipe        *pipe   // the portable poller's part; nil: none
}

// race is epoll's attempt at Alt beside the one at Addr.
type race struct {
	c     *Conn
	ep    Endpoint
	at    time.Duration // when Alt's turn comes
	place uint32
	fd    int32 // -1: not begun
}

// Write sends b, in order after what was written before. What cannot be sent
// at once is copied and sent later; before Opened that is everything. It does
// not fail: Closed tells if the bytes cannot be sent.
func (c *Conn) Write(b []byte) {
	if len(b) == 0 {
		return
	}
	switch {
	case c.state >= failing:
	case c.sec != nil && c.state != open:
		c.sec.early = append(c.sec.early, b...)
	case c.sec != nil:
		c.sec.write(b)
	case c.state == connecting:
		c.l.keep(c, b)
	default:
		c.l.p.write(c, b)
	}
}

// Pending is how many bytes have not been given to the kernel yet; over TLS
// the records around them count too.
func (c *Conn) Pending() int {
	n := len(c.out) - c.sent
	if c.pipe != nil {
		n += c.pipe.pending
	}
	if c.sec != nil {
		n += len(c.sec.early)
	}
	return n
}

// FlushedAt is when Pending last became 0 by sending; 0: never yet. The
// portable poller learns it a moment later, so an answer may come before it.
func (c *Conn) FlushedAt() time.Duration { return c.flushedAt }

// ConnectedAt is when the connection stood, 0 while it does not.
func (c *Conn) ConnectedAt() time.Duration { return c.connectedAt }

// SecuredAt is when the TLS handshake was over, 0 while it is not.
func (c *Conn) SecuredAt() time.Duration { return c.securedAt }

// Usable tells whether something more may be asked on an open connection, as far
// as is known: neither has the other side ended it nor has writing failed.
func (c *Conn) Usable() bool { return c.state == open && !c.hup }

// StartTLS makes an open plain connection a TLS one, for use behind a CONNECT
// tunnel: Opened comes when the handshake has succeeded. Bytes that arrive from
// now on belong to TLS. On any other connection it does nothing.
func (c *Conn) StartTLS(cfg *tls.Config) {
	if c.state != open || c.sec != nil {
		return
	}
	c.sec = newSecure(c, cfg)
	c.state = securing
	c.sec.start()
}

// TLSState describes the TLS connection; nil if there is none yet.
func (c *Conn) TLSState() *tls.ConnectionState {
	if c.sec == nil || c.securedAt == 0 {
		return nil
	}
	s := c.sec.tc.ConnectionState()
	return &s
}

type addrPair struct{ local, remote netip.AddrPort }

// LocalAddr is our end of an open TCP connection, else zero.
func (c *Conn) LocalAddr() netip.AddrPort {
	if c.connectedAt == 0 || c.state == closed {
		return netip.AddrPort{}
	}
	return c.l.p.addrs(c).local
}

// RemoteAddr is the other end of an open TCP connection, else zero: of Addr
// and Alt the one that won.
func (c *Conn) RemoteAddr() netip.AddrPort {
	if c.connectedAt == 0 || c.state == closed {
		return netip.AddrPort{}
	}
	return c.l.p.addrs(c).remote
}

// Close ends the connection; no callback follows. What the kernel has taken is
// still sent. What is Pending is not, but for what the portable poller can send
// within a quarter of a second. Closing again does nothing.
func (c *Conn) Close() {
	if c.state == open && c.sec != nil {
		c.sec.closeNotify()
	}
	c.l.release(c, false)
}

// Reset ends the connection with a RST where there is one to send, so that no
// port is left in TIME_WAIT; no callback follows.
func (c *Conn) Reset() { c.l.release(c, true) }
