package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lt/engine/journey"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
	"lt/peer/wire"
)

// bubble runs a test in virtual time. The timers of yamux come from a pool of the whole process; a collection empties it, so that
// none of an earlier bubble comes into this one, and none of this one out of it.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	empty := func() {
		runtime.GC()
		runtime.GC()
	}
	empty()
	defer empty()
	synctest.Test(t, f)
}

// memTarget is a server over in-memory pipes that remembers when each request came.
type memTarget struct {
	mu    sync.Mutex
	seen  []time.Time
	paths map[string]int
	wait  sync.WaitGroup
	takes time.Duration // for an answer
}

func (s *memTarget) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	s.wait.Go(func() {
		defer theirs.Close()
		r := bufio.NewReader(theirs)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.seen = append(s.seen, time.Now())
			if s.paths == nil {
				s.paths = map[string]int{}
			}
			s.paths[req.Header.Get("X-Request-Id")]++
			s.mu.Unlock()
			time.Sleep(s.takes)
			if _, err := io.WriteString(theirs, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
				return
			}
		}
	})
	return ours, nil
}

// between counts the requests that came in [from, to) after epoch.
func (s *memTarget) between(epoch time.Time, from, to time.Duration) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.seen {
		if d := at.Sub(epoch); d >= from && d < to {
			n++
		}
	}
	return n
}

// last is when the last request came.
func (s *memTarget) last(epoch time.Time) (last time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.seen {
		last = max(last, at.Sub(epoch))
	}
	return last
}

// memHost is a machine on which peers run in memory: every dial is a new process on it.
type memHost struct {
	t      *testing.T
	target *memTarget
	c      ServeConfig
	hello  func(*wire.Hello) // changes what a process says of itself; nil: nothing
	// network is called with each new path before anything is sent; an error is a dial that fails.
	network func(n int, path *fault) error

	mu    sync.Mutex
	paths []*fault
	runs  map[string]chan net.Conn
	gone  bool // its processes are not found again
	idle  int  // processes that make no load any more
	// starved is told of one that is gone, and others of the processes of other runs, by the run that asks.
	starved int
	others  map[string][]wire.OtherRun
	ended   []error
	stops   []context.CancelFunc
	wait    sync.WaitGroup
}

func newHost(t *testing.T) *memHost {
	return &memHost{t: t, target: &memTarget{takes: 5 * time.Millisecond}, runs: map[string]chan net.Conn{}, starved: -1}
}

// dial is the Dialer of this host.
func (h *memHost) dial(ctx context.Context, on Dialing) (io.ReadWriteCloser, wire.Hello, error) {
	path, near, far := newFault()
	h.mu.Lock()
	n := len(h.paths)
	h.paths = append(h.paths, path)
	h.mu.Unlock()
	if h.network != nil {
		if err := h.network(n, path); err != nil {
			return nil, wire.Hello{}, err
		}
	}
	on.Step("dial", 0)
	c := h.c
	c.Version, c.Runs, c.Portable, c.Shards = "test", h, true, 1
	c.Dial = h.target.dial
	if c.Clock == nil {
		c.Clock = clockNow
	}
	c.Exit = func(code int) { h.t.Errorf("a process ended by its last backstop with code %d", code) }
	serving, stop := context.WithCancel(context.Background())
	h.mu.Lock()
	h.stops = append(h.stops, stop)
	h.mu.Unlock()
	h.wait.Go(func() {
		err := Serve(serving, far, c)
		h.mu.Lock()
		h.ended = append(h.ended, err)
		h.mu.Unlock()
	})
	hung := context.AfterFunc(ctx, func() { near.Close() })
	defer hung()
	hello, err := wire.ReadHello(near)
	if err != nil {
		near.Close()
		return nil, hello, err
	}
	hello.Machine, hello.Processes = "here", "here"
	if h.hello != nil {
		h.hello(&hello)
	}
	return near, hello, nil
}

// path is the path of the n-th dial, from 0.
func (h *memHost) path(n int) *fault {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.paths[n]
}

func (h *memHost) dials() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.paths)
}

// codes are those with which the processes ended, in order.
func (h *memHost) codes() (out []int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, err := range h.ended {
		var e *ExitError
		switch {
		case errors.As(err, &e):
			out = append(out, e.Code)
		case err == nil:
			out = append(out, 0)
		default:
			h.t.Errorf("a process ended without a code: %v", err)
		}
	}
	return out
}

func (h *memHost) Touch(string) {}

func (h *memHost) Idle(string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.idle++
}

func (h *memHost) Others(run string) []wire.OtherRun { return h.others[run] }

func (h *memHost) Listen(incarnation, run string) (net.Listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !isIncarnation(incarnation) {
		return nil, fmt.Errorf("%q is no incarnation", incarnation)
	}
	c := make(chan net.Conn)
	h.runs[incarnation] = c
	return &memListener{h, incarnation, c, make(chan struct{})}, nil
}

func (h *memHost) Find(ctx context.Context, incarnation string, pid int) (io.ReadWriteCloser, error) {
	h.mu.Lock()
	c, gone := h.runs[incarnation], h.gone
	h.mu.Unlock()
	if c == nil || gone {
		return nil, &NoRunError{Starved: h.starved}
	}
	ours, theirs := net.Pipe()
	select {
	case c <- theirs:
		return ours, nil
	case <-time.After(2 * time.Second):
		return nil, errors.New("it does not answer")
	}
}

type memListener struct {
	h           *memHost
	incarnation string
	c           chan net.Conn
	closed      chan struct{}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.c:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.h.mu.Lock()
	delete(l.h.runs, l.incarnation)
	l.h.mu.Unlock()
	close(l.closed)
	return nil
}

func (l *memListener) Addr() net.Addr { return &net.UnixAddr{} }

// diary is an observer that writes everything down.
type diary struct {
	began     time.Time
	mu        sync.Mutex
	entries   []entry
	lines     []string
	beats     []wire.Beat
	intervals []*metrics.Interval
	prefl     wire.Preflight
	failed    error
	fin       *wire.Fin
	changed   chan struct{}
}

type entry struct {
	at   time.Duration
	what string
}

func newDiary() *diary { return &diary{began: time.Now(), changed: make(chan struct{})} }

func (d *diary) note(format string, args ...any) {
	d.do(func() { d.entries = append(d.entries, entry{time.Since(d.began), fmt.Sprintf(format, args...)}) })
}

func (d *diary) do(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *diary) Step(_ int, step string, progress float64) {
	if progress == 0 {
		d.note("step %s", step)
	}
}
func (d *diary) Log(_ int, line string) { d.do(func() { d.lines = append(d.lines, line) }) }
func (d *diary) Ready(_ int, _ wire.Hello, p wire.Preflight) {
	d.do(func() { d.prefl = p })
	d.note("ready")
}

func (d *diary) Failed(_ int, err error)             { d.do(func() { d.failed = err }); d.note("failed %v", err) }
func (d *diary) Armed(int)                           { d.note("armed") }
func (d *diary) Applied(_ int, a wire.Applied)       { d.note("applied %d", a.Count) }
func (d *diary) Beat(_ int, b wire.Beat)             { d.do(func() { d.beats = append(d.beats, b) }) }
func (d *diary) Suspect(_ int, silent time.Duration) { d.note("suspect") }
func (d *diary) Back(int)                            { d.note("back") }
func (d *diary) Lost(_ int, c Cause)                 { d.note("lost: %s; signal %d", c.Text, c.Signal) }

func (d *diary) Gone(_ int, c Cause) {
	d.note("gone: %s; signal %d, %d starved", c.Text, c.Signal, c.Starved)
}
func (d *diary) Rejoin(int, wire.Hello)  { d.note("rejoin") }
func (d *diary) Warn(_ int, w wire.Warn) { d.note("warn: %s", w.Text) }
func (d *diary) Fin(_ int, f wire.Fin)   { d.do(func() { d.fin = &f }); d.note("fin") }
func (d *diary) Interval(_ int, iv *metrics.Interval) {
	d.do(func() { d.intervals = append(d.intervals, iv) })
}

// newest is the last heartbeat that came.
func (d *diary) newest() wire.Beat {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.beats[len(d.beats)-1]
}

// when is the time of the first entry that begins with what; false if there is none.
func (d *diary) when(what string) (time.Duration, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.entries {
		if strings.HasPrefix(e.what, what) {
			return e.at, true
		}
	}
	return 0, false
}

func (d *diary) count(what string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.entries {
		if strings.HasPrefix(e.what, what) {
			n++
		}
	}
	return n
}

// await waits for an entry that begins with one of what, at most limit, and fails the test otherwise.
func (d *diary) await(t *testing.T, limit time.Duration, what ...string) time.Duration {
	t.Helper()
	late := time.After(limit)
	for {
		d.mu.Lock()
		changed := d.changed
		d.mu.Unlock()
		for _, w := range what {
			if at, ok := d.when(w); ok {
				return at
			}
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("no %q within %v:\n%s", what, limit, d)
		}
	}
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	for _, e := range d.entries {
		fmt.Fprintf(&b, "%8.3fs %s\n", e.at.Seconds(), e.what)
	}
	for _, l := range d.lines {
		fmt.Fprintf(&b, "          log: %s\n", l)
	}
	return b.String()
}

// linkWorld is one link with a host in memory.
type linkWorld struct {
	t     *testing.T
	host  *memHost
	diary *diary
	link  *Link
	file  *scenario.File
	zero  time.Time // run time zero, once armed
}

// steady is a file of one GET at an even rate.
func steady(rate float64, d time.Duration) *scenario.File {
	h := scenario.HTTP{Version: "auto", Timeout: 30 * time.Second, ConnectTimeout: 10 * time.Second, MaxBody: 64 << 20, Trace: scenario.TraceRequestID}
	sc := &scenario.Scenario{Name: "test", Weight: 1, HTTP: h, Steps: []*scenario.Step{{Name: "GET /", Method: "GET", URL: "/", HTTP: h}}}
	return &scenario.File{
		Name: "test", Target: "http://127.0.0.1:80", HTTP: h, ThinkTimes: 1, Scenarios: []*scenario.Scenario{sc},
		Load: load.Spec{
			Arrivals: load.Even, Seed: 1, DropAfter: 10 * time.Second, Graceful: 10 * time.Second, Weights: []int{1},
			Profile: load.Profile{Stages: []load.Stage{{Name: "steady", For: d, At: rate}}},
		},
	}
}

// newWorld makes a link to h that is not dialled yet.
func newWorld(t *testing.T, h *memHost, f *scenario.File, set ...func(*LinkConfig)) *linkWorld {
	t.Helper()
	p, err := journey.Compile(f, "lt/test")
	if err != nil {
		t.Fatal(err)
	}
	job, err := NewJob(f, NewClaim(f, 1), "lt/test", false)
	if err != nil {
		t.Fatal(err)
	}
	w := &linkWorld{t: t, host: h, diary: newDiary(), file: f}
	c := LinkConfig{
		N: 1, Name: "ada", Address: "ada@10.0.0.7", Dial: h.dial, Job: job, Steps: len(p.Steps), Stages: len(f.Load.Profile.Stages),
		Run: "test", Version: "test", Observer: w.diary,
	}
	for _, s := range set {
		s(&c)
	}
	w.link = NewLink(c)
	return w
}

// begin brings the link to a running load, all of which is its own.
func (w *linkWorld) begin() {
	w.t.Helper()
	w.link.Dial(w.t.Context())
	w.diary.await(w.t, time.Minute, "ready", "failed")
	w.arm(2 * time.Second)
	w.link.Commit()
}

// arm orders a start so far ahead, with everything given to this source.
func (w *linkWorld) arm(ahead time.Duration) {
	w.t.Helper()
	w.zero = time.Now().Add(ahead)
	w.link.Arm(wire.Arm{Zero: clockNow() + ahead, Source: 1, Name: "ada", Changes: []load.Change{
		{Kind: load.Reshare, Epoch: &load.Epoch{ID: 1, Table: []uint16{1}}},
	}})
	w.diary.await(w.t, time.Minute, "armed", "failed")
}

// at waits for a run time.
func (w *linkWorld) at(run time.Duration) { time.Sleep(time.Until(w.zero.Add(run))) }

// close ends the link and the host, and waits for all of it.
func (w *linkWorld) close() {
	w.link.Close()
	w.link.Wait()
	w.host.wait.Wait()
	w.host.target.wait.Wait()
}

// account checks that what the peer did is what was applied.
func (w *linkWorld) account() wire.Totals {
	w.t.Helper()
	if w.diary.fin == nil {
		w.t.Fatalf("there is no account:\n%s", w.diary)
	}
	got, last := w.link.Applied()
	if got != w.diary.fin.Totals || last != w.diary.fin.LastSeq {
		w.t.Errorf("applied %+v up to batch %d, the peer says %+v up to %d", got, last, w.diary.fin.Totals, w.diary.fin.LastSeq)
	}
	for i, iv := range w.diary.intervals {
		if iv.Seq != uint64(i) || iv.Source != "ada" {
			w.t.Errorf("interval %d is number %d of %q", i, iv.Seq, iv.Source)
		}
	}
	return got
}
