package loop

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// portableRead is the buffer of a connection's reading goroutine.
	portableRead = 16 << 10

	// lastWrite is how long what was written before Close may take to be sent.
	lastWrite = 250 * time.Millisecond
)

// portable is the poller built on net.Conn. Goroutines connect, read and write;
// each sends mail to the loop, whose goroutine alone touches a Conn.
type portable struct {
	l     *Loop
	bell  chan struct{}
	timer *time.Timer
}

// pipe is a Conn's part in the portable poller.
type pipe struct {
	cancel  context.CancelFunc // of the attempt to connect
	nc      net.Conn
	pending int           // bytes written and not yet told as sent
	used    chan struct{} // the reader may use its buffer again
	gone    chan struct{} // closed with the connection

	mu      sync.Mutex // guards the rest
	queue   []byte     // for the writer
	leaving bool       // the writer closes nc when queue is empty
	more    chan struct{}

	sending sync.Mutex            // held while the writer writes
	broken  atomic.Pointer[Error] // what writing failed with; told when reading ends too
}

func newPortable(l *Loop) *portable {
	return &portable{l: l, bell: make(chan struct{}, 1)}
}

func (p *portable) lock() (unlock func()) { return func() {} }

func (p *portable) wake() {
	select {
	case p.bell <- struct{}{}:
	default:
	}
}

func (p *portable) close() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// wait blocks until there is mail or due has come. The mail itself, which
// carries the events, is taken by the turn.
func (p *portable) wait(due time.Duration) {
	if p.l.hasMail() {
		select { // the bell was for this mail; it must not ring for nothing
		case <-p.bell:
		default:
		}
		return
	}
	if due == Never {
		<-p.bell
		return
	}
	d := due - p.l.Now()
	if d <= 0 {
		return
	}
	if p.timer == nil {
		p.timer = time.NewTimer(d)
	} else {
		p.timer.Reset(d)
	}
	select {
	case <-p.bell:
		p.timer.Stop()
	case <-p.timer.C:
	}
}

// catchUp has nothing to fetch: what has come is mail.
func (p *portable) catchUp() {}

func (p *portable) dial(c *Conn, ep *Endpoint) {
	ctx, cancel := context.WithCancel(context.Background())
	c.pipe = &pipe{
		cancel: cancel,
		used:   make(chan struct{}, 1),
		gone:   make(chan struct{}),
		more:   make(chan struct{}, 1),
	}
	own := *ep
	p.l.work(func() {
		nc, err := p.reach(ctx, &own)
		p.l.post(mail{do: reached, c: c, nc: nc, err: err, when: p.l.Now()})
	})
}

// reach connects to ep, to Alt too if it must.
func (p *portable) reach(ctx context.Context, ep *Endpoint) (net.Conn, error) {
	if ep.Path != "" {
		return p.open(ctx, netip.Addr{}, "unix", ep.Path)
	}
	if !ep.Alt.IsValid() {
		return p.open(ctx, ep.Source, "tcp", ep.Addr.String())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		nc  net.Conn
		err error
		alt bool
	}
	results := make(chan result, 2)
	try := func(a netip.AddrPort, alt bool) {
		p.l.work(func() {
			nc, err := p.open(ctx, ep.source(a), "tcp", a.String())
			results <- result{nc, err, alt}
		})
	}
	try(ep.Addr, false)
	delay := time.NewTimer(raceDelay)
	defer delay.Stop()
	running, begun := 1, false
	var first error
	for running > 0 {
		select {
		case <-delay.C:
			if !begun {
				begun = true
				running++
				try(ep.Alt, true)
			}
		case r := <-results:
			running--
			if r.err == nil {
				for ; running > 0; running-- { // the loser has been cancelled by then, or won too late
					cancel()
					if r := <-results; r.err == nil {
						r.nc.Close()
					}
				}
				return r.nc, nil
			}
			if first == nil || !r.alt {
				first = r.err
			}
			if !begun {
				begun = true
				running++
				try(ep.Alt, true)
			}
		}
	}
	return nil, first
}

func (p *portable) open(ctx context.Context, source netip.Addr, network, address string) (net.Conn, error) {
	if p.l.o.Dial != nil {
		return p.l.o.Dial(ctx, network, address)
	}
	var d net.Dialer
	if source.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: source.AsSlice(), Zone: source.Zone()}
	}
	return d.DialContext(ctx, network, address)
}

// reached settles an attempt to connect.
func reached(l *Loop, m *mail) {
	c := m.c
	if c.state != connecting {
		if m.nc != nil {
			m.nc.Close()
		}
		return
	}
	if m.err != nil {
		l.finish(c, &Error{opConnect, cause(m.err)})
		return
	}
	c.pipe.nc = m.nc
	l.work(func() { c.pipe.read(l, c) })
	l.work(func() { c.pipe.write(l, c) })
	l.connected(c, m.when)
}

// cause takes off what net wraps around every error: operation and addresses,
// which the owner knows.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		err = sys.Err
	}
	return commonErrno(err)
}

// read hands over what arrives, one buffer at a time.
func (q *pipe) read(l *Loop, c *Conn) {
	buf := make([]byte, portableRead)
	for {
		n, err := q.nc.Read(buf)
		if isEOF(err) {
			q.settle()
		}
		l.post(mail{do: arrived, c: c, b: buf[:n], err: err})
		if err != nil {
			return
		}
		select {
		case <-q.used:
		case <-q.gone:
			return
		}
	}
}

// settle waits until it is known what became of what is being sent. The error of
// a reset is told once, to the reader or to the writer, and the other one sees a
// mere end. What cannot be sent at once is not waited for: nobody reads an answer
// to it any more.
func (q *pipe) settle() {
	select {
	case <-q.gone: // the owner has closed it, and what it wrote last may take its time
		return
	default:
	}
	if !q.sending.TryLock() {
		_ = q.nc.SetWriteDeadline(time.Now())
		q.sending.Lock()
	}
	q.sending.Unlock()
}

// send writes b.
func (q *pipe) send(b []byte) error {
	q.sending.Lock()
	defer q.sending.Unlock()
	_, err := q.nc.Write(b)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		q.broken.Store(&Error{opWrite, cause(err)})
	}
	return err
}

func arrived(l *Loop, m *mail) {
	c := m.c
	if len(m.b) > 0 && c.state < failing {
		l.received(c, m.b)
	}
	if m.err != nil {
		switch broken := c.pipe.broken.Load(); {
		case c.state >= failing:
		case broken != nil && c.state == open:
			l.finish(c, broken)
		default:
			l.ended(c, cause(m.err))
		}
		return
	}
	c.pipe.used <- struct{}{}
}

// write sends what the queue holds until the connection is closed.
func (q *pipe) write(l *Loop, c *Conn) {
	defer q.nc.Close()
	var b []byte
	for {
		if cap(b) > spareSize {
			b = nil
		}
		q.mu.Lock()
		b, q.queue = q.queue, b[:0]
		leaving := q.leaving
		q.mu.Unlock()
		if len(b) == 0 {
			if leaving {
				return
			}
			<-q.more
			continue
		}
		if q.send(b) != nil {
			// The other side may have said why before it stopped listening. The
			// reader is on its way to that and then to the end, for a connection
			// that cannot be written any more ends for both.
			<-q.gone
			return
		}
		l.post(mail{do: departed, c: c, n: len(b), when: l.Now()})
	}
}

func departed(l *Loop, m *mail) {
	c := m.c
	if c.state >= failing {
		return
	}
	c.pipe.pending -= m.n
	if c.pipe.pending == 0 {
		c.flushedAt = m.when
	}
}

func (p *portable) write(c *Conn, b []byte) {
	q := c.pipe
	q.pending += len(b)
	q.mu.Lock()
	q.queue = append(q.queue, b...)
	q.mu.Unlock()
	q.signal()
}

func (q *pipe) signal() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// drain is never called for: no write fails before all that arrived is read.
func (p *portable) drain(*Conn) {}

// resume is never called for: each buffer is a turn's share.
func (p *portable) resume(*Conn) {}

func (p *portable) shut(c *Conn, reset bool) {
	q := c.pipe
	q.cancel()
	if q.nc == nil {
		return
	}
	close(q.gone)
	if reset {
		if t, ok := q.nc.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		q.nc.Close()
	} else if q.pending > 0 {
		_ = q.nc.SetDeadline(time.Now().Add(lastWrite))
	} else {
		q.nc.Close()
	}
	q.mu.Lock()
	q.leaving = true
	if reset {
		q.queue = nil
	}
	q.mu.Unlock()
	q.signal()
}

func (p *portable) addrs(c *Conn) (a addrPair) {
	if t, ok := c.pipe.nc.LocalAddr().(*net.TCPAddr); ok {
		a.local = unmap(t.AddrPort())
	}
	if t, ok := c.pipe.nc.RemoteAddr().(*net.TCPAddr); ok {
		a.remote = unmap(t.AddrPort())
	}
	return a
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
