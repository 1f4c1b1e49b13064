package loop

import (
	"context"
	"errors"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Never is the time of something that will not happen.
const Never = time.Duration(math.MaxInt64)

const (
	// readSize is the read buffer of a loop. The measured gain ends at 64 KiB.
	readSize = 64 << 10

	// turnBytes bounds what one connection may read in one turn, so that a
	// fast one cannot keep the others and the clock waiting.
	turnBytes = 1 << 20

	// overdue is how late a timer may be before it is clear that the loop was kept
	// from running: a turn takes a few milliseconds.
	overdue = 100 * time.Millisecond

	// raceDelay is how long the first address has before the other family's
	// is tried beside it: the Connection Attempt Delay of RFC 8305 section 5.
	raceDelay = 250 * time.Millisecond

	// spareSize bounds the buffers kept for the next slow connection.
	spareSize = 256 << 10

	// DefaultSpin is the Spin that keeps the median lateness under a microsecond
	// on an idle Linux machine (measured at 1,000 to 30,000 a second); it covers
	// the wake-up of a sleeping thread, but not that of a busy machine.
	DefaultSpin = 50 * time.Microsecond
)

// Options say what a Loop runs on. The zero value but for Epoch is usable.
type Options struct {
	// Epoch is run time 0: Now is the monotonic time since then. It must
	// carry a monotonic reading, as time.Now gives it; zero: when New is called.
	Epoch time.Time

	// Spin is how long before something is due the loop polls instead of
	// sleeping; 0 or less never polls. The portable poller ignores it.
	Spin time.Duration

	// Portable chooses the portable poller even where epoll exists.
	Portable bool

	// Dial opens the portable poller's connections, each in its own
	// goroutine; nil is a net.Dialer. The epoll poller ignores it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Recover is deferred in every goroutine that the loop starts, so that
	// whoever owns the terminal hears of a panic first; nil is none.
	Recover func()
}

// Handler is what a Loop works for. All its methods are called on the loop's
// goroutine, one at a time; now is a clock reading of the moment, or the one
// made when the loop last gave bytes to the kernel, if nothing but reading lies
// between.
type Handler interface {
	// Wake begins what is due and says when the next thing is: Never if there
	// is none. It is called once a turn, and between the events of a turn as
	// soon as the clock has passed the time it returned last.
	Wake(now time.Duration) (next time.Duration)

	// Timer tells that the timer id has fired; it is no longer pending.
	Timer(id uint32, now time.Duration)

	// Opened tells that c is usable: connected, and past the TLS handshake if
	// one was asked for. It comes again when StartTLS has succeeded.
	Opened(c *Conn, now time.Duration)

	// Data hands over received bytes. b is valid during the call; now was read
	// after they had come.
	Data(c *Conn, b []byte, now time.Duration)

	// Closed tells that c has ended: err is io.EOF if the other side ended it
	// in order, else an *Error. It comes exactly once, unless the handler
	// closed c itself or Run ended.
	Closed(c *Conn, err error, now time.Duration)
}

// poller is what moves bytes: epoll or portable. Its methods are called on the
// loop's goroutine, except wake.
type poller interface {
	dial(c *Conn, ep *Endpoint) // begin to connect; tells by connected, fail or finish
	write(c *Conn, b []byte)    // send b of an open connection, keeping a copy of what must wait
	drain(c *Conn)              // hand over what has already arrived, ignoring how it ends
	resume(c *Conn)             // go on reading a connection put on the ready list
	shut(c *Conn, reset bool)   // give the descriptors back
	wait(due time.Duration)     // wait for events until due at most, and handle them
	catchUp()                   // handle what has come, each connection once at most
	wake()                      // end wait early, or the next one at once
	close()                     // after every connection is shut and every goroutine has ended
	addrs(c *Conn) (a addrPair) // local and remote address of an open connection
	lock() (unlock func())      // tie the goroutine to its thread, if that matters
}

// place is an entry of the table of connections. The generation tells events
// for an earlier user of the place from those for the present one.
type place struct {
	c   *Conn
	gen uint32
}

// Loop is one event loop. See the package comment for who may call what.
type Loop struct {
	o       Options
	h       Handler
	p       poller
	wheel   wheel
	next    time.Duration // what Wake returned last
	running bool          // Run has been called
	at      time.Duration // the last clock reading of the loop itself
	fresh   bool          // it was made at the end of a send, with more events at hand

	places []place
	free   []uint32 // unused places
	ready  []*Conn  // have more to read than a turn's share
	failed []*Conn  // Closed is owed to them
	again  []*Conn  // the list being worked on, while the next fills
	spare  [][]byte // empty buffers for what sockets do not take

	buf    []byte // what was just read
	plain  []byte // what was just decrypted; made with the first TLS connection
	sealed []byte // TLS records not yet given to the poller

	polled  atomic.Int64 // ns
	stopped atomic.Bool
	cpu     threadClock

	mu    sync.Mutex
	mail  []mail // from other goroutines; nothing is taken in once over
	over  bool
	old   []mail         // the mail being worked on
	works sync.WaitGroup // goroutines started by the loop
}

// mail is something another goroutine has for the loop's.
type mail struct {
	do   func(*Loop, *mail)
	f    func()
	c    *Conn
	nc   net.Conn
	b    []byte
	err  error
	n    int
	when time.Duration
}

// New makes a Loop. It must be Run, be it after Stop, since it holds two file
// descriptors until Run has ended. In a testing/synctest bubble New and Run
// both belong inside.
func New(o Options) (*Loop, error) {
	if o.Epoch.IsZero() {
		o.Epoch = time.Now()
	}
	if o.Recover == nil {
		o.Recover = func() {}
	}
	l := &Loop{o: o, buf: make([]byte, readSize)}
	l.wheel.init()
	if o.Portable {
		l.p = newPortable(l)
		return l, nil
	}
	p, err := newPoller(l)
	if err != nil {
		return nil, err
	}
	l.p = p
	return l, nil
}

// Run serves h until Stop. It then closes every connection, without telling h,
// and returns when every goroutine the loop started has ended. A panic of h
// goes up after the same clearing. A Loop runs once.
func (l *Loop) Run(h Handler) error {
	if l.running {
		return errors.New("run event loop: it has run before; make a new one")
	}
	l.running = true
	l.h = h
	unlock := l.p.lock()
	defer unlock()
	defer l.clear()
	for due := time.Duration(0); !l.stopped.Load(); {
		l.p.wait(due)
		due = l.turn()
	}
	return nil
}

// turn does everything that is not I/O and returns when the next turn must
// come at the latest.
func (l *Loop) turn() (due time.Duration) {
	l.takeMail()

	l.again, l.ready = l.ready, l.again[:0]
	for _, c := range l.again {
		c.queued = false
		if c.state < failing {
			l.p.resume(c)
			l.pass(l.look())
		}
	}
	clear(l.again)

	now := l.look()
	if l.wheel.next() < now-overdue {
		// What has come while the loop was kept from running goes before the
		// timers that are late for it: no exchange is out of time whose answer is
		// there.
		l.p.catchUp()
		l.takeMail()
		now = l.look()
	}
	l.wheel.advance(now)
	for {
		id, ok := l.wheel.pop()
		if !ok {
			break
		}
		now = l.look()
		l.h.Timer(id, now)
		l.pass(now)
		now = 0
	}

	l.again, l.failed = l.failed, l.again[:0]
	for _, c := range l.again {
		now = 0
		if c.state != failing {
			continue
		}
		if e, ok := c.err.(*Error); ok && e.Op == opWrite {
			// The other side may have said why before it stopped listening.
			l.p.drain(c)
		}
		if c.state == failing {
			l.finish(c, c.err)
		}
		l.pass(l.look())
	}
	clear(l.again)

	if now == 0 { // it has been worked since
		now = l.look()
	}
	l.next = l.h.Wake(now)
	if len(l.ready) > 0 || len(l.failed) > 0 {
		return 0
	}
	return min(l.next, l.wheel.next())
}

// look reads the clock for the loop itself.
func (l *Loop) look() time.Duration {
	l.at, l.fresh = l.Now(), false
	return l.at
}

// moment is when what was just received had come. Of the events that were fetched
// together, all were there before the first was handled, so for the next one the
// reading made at the end of a send does as well as another, and costs nothing.
// Where no send came last, whatever took its time since has to be counted.
func (l *Loop) moment() time.Duration {
	if l.fresh {
		l.fresh = false
		return l.at
	}
	return l.look()
}

// pass lets the handler begin what has become due while events are handled.
func (l *Loop) pass(now time.Duration) {
	if now >= l.next {
		l.next = l.h.Wake(now)
	}
}

// clear ends everything the loop has opened and started.
func (l *Loop) clear() {
	for _, p := range l.places {
		if p.c != nil {
			l.release(p.c, false)
		}
	}
	l.works.Wait()
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	for _, rest := range [][]mail{l.old, l.mail} { // old holds something only in a panic
		for _, m := range rest {
			if m.nc != nil {
				m.nc.Close()
			}
		}
	}
	l.mail = nil
	l.p.close()
}

// work runs f in a goroutine that Run waits for.
func (l *Loop) work(f func()) {
	l.works.Add(1)
	go func() {
		defer l.works.Done()
		defer l.o.Recover()
		f()
	}()
}

// Stop makes Run return after the turn in hand. Any goroutine may call it, any
// number of times, also before Run.
func (l *Loop) Stop() {
	l.stopped.Store(true)
	l.Post(func() {})
}

// Post has f run on the loop's goroutine in its next turn, after what was
// posted before. Any goroutine may call it, also before Run. Once Run has
// ended, f is dropped.
func (l *Loop) Post(f func()) {
	l.post(mail{do: runPosted, f: f})
}

func runPosted(_ *Loop, m *mail) { m.f() }

func (l *Loop) post(m mail) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	l.mail = append(l.mail, m)
	if len(l.mail) == 1 {
		l.p.wake() // under the lock, so never after close
	}
}

// takeMail does what other goroutines have sent.
func (l *Loop) takeMail() {
	l.mu.Lock()
	l.old, l.mail = l.mail, l.old[:0]
	l.mu.Unlock()
	for i := range l.old {
		m := &l.old[i]
		m.do(l, m)
		l.pass(l.look())
	}
	clear(l.old)
}

// hasMail is for pollers that cannot be woken before they wait.
func (l *Loop) hasMail() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mail) > 0
}

// Now reads the clock: the monotonic time since Options.Epoch. Any goroutine
// may call it; it takes about 30 ns.
func (l *Loop) Now() time.Duration { return time.Since(l.o.Epoch) }

// SetTimer makes Handler.Timer be called with id at the time at or up to a
// sixteenth of a millisecond after it, never before; how late the turn itself
// comes adds to that. An id has one pending time, which setting it again moves.
// A time more than two years after the epoch never comes. Ids are small dense
// numbers: a table as long as the highest one is kept, 24 bytes each.
func (l *Loop) SetTimer(id uint32, at time.Duration) { l.wheel.set(id, at) }

// CancelTimer makes id not pending. It will not fire, even if it was already due.
func (l *Loop) CancelTimer(id uint32) { l.wheel.cancel(id) }

// Polled is the time spent polling while nothing was due, so far, without that
// for which the machine took the thread off its processor: it is a part of
// ThreadCPU. Any goroutine may call it.
func (l *Loop) Polled() time.Duration { return time.Duration(l.polled.Load()) }

// ThreadCPU is the CPU time that the loop's thread has used since Run began,
// false where that is not known: not on Linux, with the portable poller, or
// before Run. Any goroutine may call it.
func (l *Loop) ThreadCPU() (time.Duration, bool) { return l.cpu.used() }

// Dial begins to connect to ep on behalf of owner and returns at once with a
// Conn that Opened or Closed will tell of later. ep itself is not kept, but its
// TLS configuration is and must not change while the connection lives.
func (l *Loop) Dial(ep *Endpoint, owner uint32) *Conn {
	c := &Conn{Owner: owner, l: l}
	c.place = l.take(c)
	if ep.TLS != nil {
		c.sec = newSecure(c, ep.TLS)
	}
	l.p.dial(c, ep)
	return c
}

// take finds a place for c.
func (l *Loop) take(c *Conn) uint32 {
	n := len(l.free)
	if n == 0 {
		l.places = append(l.places, place{c: c})
		return uint32(len(l.places) - 1)
	}
	i := l.free[n-1]
	l.free = l.free[:n-1]
	l.places[i].c = c
	return i
}

// give makes a place free; events that still name it are for nobody.
func (l *Loop) give(i uint32) {
	l.places[i].c = nil
	l.places[i].gen++
	l.free = append(l.free, i)
}

// connected is the poller's word that c can carry bytes.
func (l *Loop) connected(c *Conn, at time.Duration) {
	c.connectedAt = at
	if c.sec != nil {
		c.state = securing
		c.sec.start()
		return
	}
	c.state = open
	if kept := c.out; kept != nil {
		c.out = nil
		l.p.write(c, kept)
		l.recycle(kept)
	}
	l.h.Opened(c, l.look())
}

// received is the poller's word that b has come for c.
func (l *Loop) received(c *Conn, b []byte) {
	switch {
	case c.sec == nil:
		l.h.Data(c, b, l.moment())
	case c.state == securing:
		c.sec.feed(b)
	default:
		c.sec.decrypt(b)
	}
}

// ended is the poller's word that nothing more will come for c: err is io.EOF
// or what reading failed with.
func (l *Loop) ended(c *Conn, err error) {
	switch {
	case c.sec != nil && c.state == securing:
		c.sec.feedEnd(err)
	case c.sec != nil && isEOF(err):
		c.sec.feedEnd(err)
		c.sec.decrypt(nil)
	case isEOF(err):
		l.finish(c, err)
	default:
		l.finish(c, &Error{opRead, err})
	}
}

// fail owes c a Closed, which the next turn pays.
func (l *Loop) fail(c *Conn, op string, err error) {
	if c.state >= failing {
		return
	}
	c.state = failing
	c.err = &Error{op, err}
	l.failed = append(l.failed, c)
}

// finish releases c and tells the handler why.
func (l *Loop) finish(c *Conn, err error) {
	l.release(c, false)
	l.h.Closed(c, err, l.look())
}

// release ends c without a word.
func (l *Loop) release(c *Conn, reset bool) {
	if c.state == closed {
		return
	}
	if c.sec != nil && !c.sec.onLoop {
		c.sec.abandon()
	}
	c.state = closed
	l.p.shut(c, reset)
	l.give(c.place)
	l.recycle(c.out)
	c.out, c.sent = nil, 0
}

// keep copies b to the end of what c has yet to send.
func (l *Loop) keep(c *Conn, b []byte) {
	if c.out == nil {
		if n := len(l.spare); n > 0 {
			c.out = l.spare[n-1]
			l.spare = l.spare[:n-1]
		}
	}
	c.out = append(c.out, b...)
}

// recycle takes back a buffer that keep has filled.
func (l *Loop) recycle(b []byte) {
	if cap(b) > 0 && cap(b) <= spareSize && len(l.spare) < 64 {
		l.spare = append(l.spare, b[:0])
	}
}

// later puts c on the list of those with more to read.
func (l *Loop) later(c *Conn) {
	if !c.queued {
		c.queued = true
		l.ready = append(l.ready, c)
	}
}
