package loop

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"time"
)

// handshakes bounds the key exchanges computed at once in the whole process to
// one a core: more would only keep each other and the loops from running.
// Waiting for the other side does not count.
var handshakes = make(chan struct{}, runtime.GOMAXPROCS(0))

const (
	// handshakeBytes bounds what may pile up while a handshake does not read. Its
	// messages are limited to 64 KiB each; this leaves room for early answers.
	handshakeBytes = 1 << 20

	// replyBytes bounds what crypto/tls has written by itself and the other side
	// does not take: a reply to a key update has some 30 bytes, and honest key
	// updates are gigabytes apart.
	replyBytes = 64 << 10
)

// secure is the TLS layer of a Conn, and the net.Conn under its tls.Conn. It
// has two lives.
//
// During the handshake, which computes for up to a millisecond, the tls.Conn
// belongs to a goroutine of its own. The loop pumps: feed brings what has
// arrived, pump fetches what is to be sent.
//
// Afterwards it belongs to the loop. Then Read gives the bytes that the loop
// has just read, and after them an error that calls itself temporary. Such an
// error, and no other, crypto/tls does not remember, and it keeps the part of a
// record it has, so that the next Read goes on from there. That is not written
// in its documentation; tls_test.go holds it to it. Write errors it always
// remembers, so Write never fails: it collects the records for the poller.
type secure struct {
	c     *Conn
	l     *Loop
	tc    *tls.Conn
	early []byte // plain bytes to be sent when the handshake is over

	mu   sync.Mutex // guards the rest during the handshake
	in   []byte     // received, not yet read
	out  []byte     // to be sent, during the handshake
	end  error      // what comes after in, errTruncated for io.EOF; nil: not known yet
	told bool       // the loop has been told to pump
	more chan struct{}

	onLoop bool // the second life
	headed int  // bytes of the present record's header that crypto/tls has got
	left   int  // bytes of its body that it has not
	owed   int  // bytes of replies since nothing was pending
}

// errTruncated is the end of the connection without a close_notify: what came
// before may have been cut off by anybody (RFC 8446 section 6.1). It is not
// io.EOF, which crypto/tls could not tell from a proper end.
var errTruncated = &truncated{}

type truncated struct{}

func (*truncated) Error() string { return "connection ended without TLS close_notify" }
func (*truncated) Unwrap() error { return io.ErrUnexpectedEOF }

// errAgain is what Read gives when nothing more has arrived yet.
var errAgain net.Error = again{}

type again struct{}

func (again) Error() string   { return "no more bytes yet" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

func newSecure(c *Conn, cfg *tls.Config) *secure {
	s := &secure{c: c, l: c.l, more: make(chan struct{}, 1)}
	s.tc = tls.Client(s, cfg)
	return s
}

// start begins the handshake.
func (s *secure) start() {
	s.l.work(func() {
		handshakes <- struct{}{}
		err := s.tc.Handshake()
		<-handshakes
		s.l.post(mail{do: handshaken, c: s.c, err: err, when: s.l.Now()})
	})
}

// handshaken takes the connection over from the handshake's goroutine.
func handshaken(l *Loop, m *mail) {
	c, s := m.c, m.c.sec
	if c.state != securing {
		return
	}
	s.pump()
	if c.state != securing {
		return
	}
	if m.err != nil {
		l.finish(c, &Error{opTLS, m.err})
		return
	}
	s.onLoop = true
	if l.plain == nil {
		l.plain = make([]byte, readSize)
	}
	c.securedAt = m.when
	c.state = open
	if early := s.early; early != nil {
		s.early = nil
		s.write(early)
	}
	l.h.Opened(c, l.look())
	if c.state == closed {
		return
	}
	// The first answers may have come together with the end of the handshake,
	// also those that explain why what Opened has written could not be sent.
	s.decrypt(s.in)
}

// feed brings received bytes to the handshake.
func (s *secure) feed(b []byte) {
	s.mu.Lock()
	flooded := len(s.in)+len(b) > handshakeBytes
	if !flooded {
		s.in = append(s.in, b...)
	}
	s.mu.Unlock()
	if flooded {
		s.l.fail(s.c, opTLS, errors.New("the other side sends without end during the handshake"))
		return
	}
	s.signal()
}

// feedEnd tells TLS that nothing more will come.
func (s *secure) feedEnd(err error) {
	if isEOF(err) {
		err = errTruncated
	}
	s.mu.Lock()
	if s.end == nil {
		s.end = err
	}
	s.mu.Unlock()
	s.signal()
}

// abandon makes the handshake end soon.
func (s *secure) abandon() { s.feedEnd(net.ErrClosed) }

func (s *secure) signal() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// pump sends what the handshake has written.
func (s *secure) pump() {
	s.mu.Lock()
	out := s.out
	s.out, s.told = nil, false
	s.mu.Unlock()
	if len(out) > 0 {
		s.l.p.write(s.c, out)
	}
}

func pumpMail(_ *Loop, m *mail) {
	if m.c.state == securing {
		m.c.sec.pump()
	}
}

// Read is called by crypto/tls only.
func (s *secure) Read(b []byte) (int, error) {
	if s.onLoop {
		if len(s.in) == 0 {
			if s.end != nil {
				return 0, s.end
			}
			return 0, errAgain
		}
		return s.take(b), nil
	}
	for {
		s.mu.Lock()
		if len(s.in) > 0 {
			n := s.take(b)
			s.mu.Unlock()
			return n, nil
		}
		end, tell := s.end, len(s.out) > 0 && !s.told
		s.told = s.told || tell
		s.mu.Unlock()
		if end != nil {
			return 0, end
		}
		if tell {
			s.l.post(mail{do: pumpMail, c: s.c})
		}
		<-handshakes // another may compute while this one waits
		<-s.more
		handshakes <- struct{}{}
	}
}

// recordHeader is the length of a TLS record's header. Its last two bytes are
// the length of the body (RFC 8446 section 5.1).
const recordHeader = 5

// take gives bytes of one record at most. So crypto/tls never holds a whole
// record that it has not decrypted, and when in is empty there is no need to
// ask it for more, which would cost an allocation.
func (s *secure) take(b []byte) (n int) {
	for n < len(b) && len(s.in) > 0 {
		k := 1
		if s.headed < recordHeader {
			b[n] = s.in[0]
			if s.headed >= recordHeader-2 {
				s.left = s.left<<8 | int(s.in[0])
			}
			s.headed++
		} else {
			k = copy(b[n:], s.in[:min(len(s.in), s.left)])
			s.left -= k
		}
		n += k
		s.in = s.in[k:]
		if s.headed == recordHeader && s.left == 0 {
			s.headed = 0
			break
		}
	}
	return n
}

// Write is called by crypto/tls only. It never fails.
func (s *secure) Write(b []byte) (int, error) {
	if s.onLoop {
		s.l.sealed = append(s.l.sealed, b...)
		return len(b), nil
	}
	s.mu.Lock()
	s.out = append(s.out, b...)
	s.mu.Unlock()
	return len(b), nil
}

// write encrypts b and sends it.
func (s *secure) write(b []byte) {
	if _, err := s.tc.Write(b); err != nil {
		s.l.fail(s.c, opTLS, err)
	}
	s.send()
}

// reply sends what tls.Conn has answered to key updates. Who goes on asking for
// new keys and takes no answer is given up, since it could fill the memory.
func (s *secure) reply() {
	if len(s.l.sealed) == 0 {
		return
	}
	if s.c.Pending() == 0 {
		s.owed = 0
	}
	if s.owed += len(s.l.sealed); s.owed > replyBytes {
		s.l.fail(s.c, opTLS, errors.New("the other side changes keys without end and reads no answer"))
	}
	s.send()
}

// send gives the collected records to the poller.
func (s *secure) send() {
	if len(s.l.sealed) == 0 {
		return
	}
	if s.c.state == open {
		s.l.p.write(s.c, s.l.sealed)
	}
	if cap(s.l.sealed) > spareSize {
		s.l.sealed = nil
	}
	s.l.sealed = s.l.sealed[:0]
}

// decrypt hands over what raw and the records begun before it hold. raw is
// used up when it returns, unless the connection has ended.
func (s *secure) decrypt(raw []byte) {
	s.in = raw
	for {
		n, err := s.fill()
		s.reply()
		if n > 0 {
			s.l.h.Data(s.c, s.l.plain[:n], s.l.moment())
		}
		if s.c.state == closed {
			return
		}
		if err == nil {
			continue
		}
		switch err {
		case error(errAgain):
		case io.EOF: // close_notify
			s.l.finish(s.c, io.EOF)
		case s.end:
			s.l.finish(s.c, &Error{opRead, err})
		default:
			s.l.finish(s.c, &Error{opTLS, err})
		}
		return
	}
}

// fill decrypts until the buffer is full, without an error, or there is nothing
// more.
func (s *secure) fill() (n int, err error) {
	for {
		var m int
		m, err = s.tc.Read(s.l.plain[n:])
		n += m
		switch {
		case err != nil || n == len(s.l.plain):
			return n, err
		case len(s.in) == 0 && s.end == nil:
			return n, errAgain
		}
	}
}

// closeNotify says goodbye, as far as the kernel takes it now.
func (s *secure) closeNotify() {
	_ = s.tc.Close() // closes s too, which does nothing
	s.send()
}

// Close, the addresses and the deadlines complete net.Conn for crypto/tls; the
// Conn has its own.
func (s *secure) Close() error                     { return nil }
func (s *secure) LocalAddr() net.Addr              { return nil }
func (s *secure) RemoteAddr() net.Addr             { return nil }
func (s *secure) SetDeadline(time.Time) error      { return nil }
func (s *secure) SetReadDeadline(time.Time) error  { return nil }
func (s *secure) SetWriteDeadline(time.Time) error { return nil }
