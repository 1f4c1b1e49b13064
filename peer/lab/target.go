package lab

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Hit is a request as the target saw it.
type Hit struct {
	At time.Duration // when it came, as the kernel of the target's machine has it, since the target began; on the one clock of the lab
	// Who it was, by its X-Request-Id, which `trace: x-request-id` sends.
	Source  int
	Index   int64      // of the arrival; in the closed model of the user's iteration
	User    int64      // in the closed model
	Step    int        // place in the program
	Attempt int        // from 1
	ID      string     // as it was sent; empty: no identity
	From    netip.Addr // where it came from
	Path    string
}

// Target is a server that remembers every request. It answers 200 with a short body, after Delay.
type Target struct {
	URL   string
	Began time.Time

	server *http.Server
	delay  atomic.Int64
	mu     sync.Mutex
	hits   []Hit
	stood  []Stop
	header func(http.Header)
}

// Stop is a while that ended at a time, in which nothing ran on the machine of the lab, or a thread that was ready did not.
type Stop struct{ At, For time.Duration }

// NewTarget serves on an address of this machine, such as 127.0.0.1:0, until the test ends.
func NewTarget(t testing.TB, address string) *Target {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &Target{URL: "http://" + l.Addr().String(), Began: time.Now()}
	s.server = &http.Server{
		Handler: http.HandlerFunc(s.answer), ReadHeaderTimeout: time.Minute,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connection{}, c) },
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.server.Serve(stamped(l)) }()
	ctx, stop := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() { s.watch(ctx) })
	t.Cleanup(func() { stop(); watch.Wait(); _ = s.server.Close(); <-done })
	return s
}

// watch notes when this process itself was kept from running, for what its hits say of time is then not the sources' doing.
func (s *Target) watch(ctx context.Context) {
	const tick, standstill = 10 * time.Millisecond, 50 * time.Millisecond
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for last := s.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		now := s.Now()
		if gap := now - last; gap > standstill {
			s.mu.Lock()
			s.stood = append(s.stood, Stop{At: now, For: gap})
			s.mu.Unlock()
		}
		last = now
	}
}

// Stood is when and how long this machine stood still so far.
func (s *Target) Stood() []Stop {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.stood)
}

// Now is the time on the clock of the hits.
func (s *Target) Now() time.Duration { return time.Since(s.Began) }

// Delay is how long the target thinks about each answer from now on.
func (s *Target) Delay(d time.Duration) { s.delay.Store(int64(d)) }

// Watch shows the headers of each request to f, one at a time.
func (s *Target) Watch(f func(http.Header)) {
	s.mu.Lock()
	s.header = f
	s.mu.Unlock()
}

// connection is the key of a request's net.Conn in its context.
type connection struct{}

func (s *Target) answer(w http.ResponseWriter, r *http.Request) {
	at := s.Now()
	c, _ := r.Context().Value(connection{}).(net.Conn)
	if came := received(c); !came.IsZero() { // this process may have been late to read it
		at = min(at, came.Sub(s.Began.Round(0)))
	}
	h := identify(r.Header.Get("X-Request-Id"))
	h.At, h.Path = at, r.URL.Path
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		h.From = from.Addr().Unmap()
	}
	s.mu.Lock()
	s.hits = append(s.hits, h)
	if s.header != nil {
		s.header(r.Header)
	}
	s.mu.Unlock()
	if d := time.Duration(s.delay.Load()); d > 0 {
		ctx, stop := context.WithTimeout(r.Context(), d)
		<-ctx.Done()
		stop()
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write([]byte("ok"))
}

// Hits is what came so far, in the order of arrival.
func (s *Target) Hits() []Hit {
	s.mu.Lock()
	defer s.mu.Unlock()
	hits := slices.Clone(s.hits)
	slices.SortStableFunc(hits, func(a, b Hit) int { return cmp.Compare(a.At, b.At) })
	return hits
}

// Count is how many requests came so far.
func (s *Target) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.hits)
}

// Await waits until n requests have come.
func (s *Target) Await(t testing.TB, n int, within time.Duration) {
	t.Helper()
	Await(t, within, fmt.Sprintf("%d requests at the target", n), func() bool { return s.Count() >= n })
}

// Await looks every few milliseconds whether something has come true.
func Await(t testing.TB, within time.Duration, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", within, what)
		}
	}
}

// identify reads who sent a request: lt-SEED-sSOURCE-iINDEX-pSTEP-nATTEMPT, with -uUSER before the index in the closed model. The
// zero Hit is for what is not of this form.
func identify(id string) Hit {
	h := Hit{ID: id}
	parts := strings.Split(id, "-")
	if len(parts) < 6 || parts[0] != "lt" {
		return Hit{}
	}
	for _, p := range parts[2:] {
		if len(p) < 2 {
			return Hit{}
		}
		n, err := strconv.ParseInt(p[1:], 10, 64)
		if err != nil {
			return Hit{}
		}
		switch p[0] {
		case 's':
			h.Source = int(n)
		case 'u':
			h.User = n
		case 'i':
			h.Index = n
		case 'p':
			h.Step = int(n)
		case 'n':
			h.Attempt = int(n)
		default:
			return Hit{}
		}
	}
	return h
}
