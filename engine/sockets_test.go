package engine

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lt/engine/load"
	"lt/engine/scenario"
)

// counter is a server over real sockets that keeps its own account. release says when the answer to a request that came at a
// run time leaves; nil: at once.
type counter struct {
	epoch    atomic.Pointer[time.Time]
	conns    atomic.Int64
	requests atomic.Int64
	sessions atomic.Int64 // logins
	mu       sync.Mutex
	seconds  []int
	answered []time.Duration // when each answer had been written
	longest  time.Duration   // from a request to that
	release  func(at time.Duration) time.Duration
}

func (s *counter) serve(c net.Conn) {
	s.conns.Add(1)
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		at := time.Since(*s.epoch.Load())
		s.requests.Add(1)
		answer := fine
		if req.URL.Path == "/login" {
			answer = "HTTP/1.1 200 OK\r\nSet-Cookie: session=" + strconv.FormatInt(s.sessions.Add(1), 10) + "\r\nContent-Length: 0\r\n\r\n"
		} else {
			s.mu.Lock()
			for len(s.seconds) <= int(at/time.Second) {
				s.seconds = append(s.seconds, 0)
			}
			s.seconds[at/time.Second]++
			s.mu.Unlock()
		}
		if s.release != nil {
			time.Sleep(s.release(at) - at)
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
		s.mu.Lock()
		written := time.Since(*s.epoch.Load())
		s.answered = append(s.answered, written)
		s.longest = max(s.longest, written-at)
		s.mu.Unlock()
	}
}

// against plays a file over real sockets.
func against(t *testing.T, s *counter, f *scenario.File, options ...option) *outcome {
	t.Helper()
	f.Target = "http://" + listen(t, s.serve)
	var o outcome
	e := prepare(t, f, nil, &o, options...)
	for _, r := range e.Connect(t.Context()) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	epoch := time.Now()
	s.epoch.Store(&epoch)
	s.conns.Add(-1) // of the question whether it can be reached
	if err := e.Run(t.Context(), epoch); err != nil {
		t.Fatal(err)
	}
	return &o
}

// The stall is seen over real sockets, whatever may be in flight. What the response times have to be is the server's own account of
// when it answered, against when each was due: however fast this machine works the backlog off. The stall formula with the capacity
// of an idle machine is the least that they are. The tolerance is 1 % of the value, 20 ms for the scheduling of two processes' work on
// one machine, and what the engine itself says it was late; upwards also by how much longer its service times are than the server's.
func TestStallOverSockets(t *testing.T) {
	if testing.Short() {
		t.Skip("takes five seconds of real time")
	}
	t.Parallel()
	const (
		rate = 200.0
		d    = 5 * time.Second
		s    = 2 * time.Second
		b    = time.Millisecond
	)
	for _, portable := range []bool{false, true} {
		for _, limit := range []int{0, 4} {
			t.Run(fmt.Sprintf("portable=%t/limit=%d", portable, limit), func(t *testing.T) {
				t.Parallel()
				spec := even(rate, d)
				spec.MaxInFlight = limit
				server := &counter{release: frozen(b, time.Second, s)}
				o := against(t, server, get(spec), func(c *Config) { c.Portable = portable })
				if want := uint64(rate * d.Seconds()); o.requests != want || server.requests.Load() != int64(want) || o.failed > 0 {
					t.Fatalf("%d requests, the server saw %d, %d failed; want %d", o.requests, server.requests.Load(), o.failed, want)
				}
				server.mu.Lock()
				truth := slices.Sorted(slices.Values(server.answered))
				server.mu.Unlock()
				for i := range truth { // they begin in the order in which they are due
					truth[i] -= time.Duration((float64(i) + 0.5) / rate * 1e9)
				}
				slices.Sort(truth)
				rho := 0.0
				if limit > 0 {
					rho = rate * b.Seconds() / float64(limit)
				}
				slack := 20*time.Millisecond + o.lag.Max()
				read := max(0, o.service.Max()-server.longest)
				for _, q := range []float64{0.75, 0.9, 0.95, 0.99} {
					got, want, least := o.response.Quantile(q), truth[int(q*float64(len(truth)))], stallQuantile(q, b, s, d, rho)
					if tolerance := slack + want/100; got < max(want, least)-tolerance || got > want+tolerance+read {
						t.Errorf("response p%g is %v, by the server's account it was %v, and by the formula %v at least", q*100, got, want, least)
					}
				}
				if p90 := o.service.Quantile(0.9); limit == 4 && p90 > 100*time.Millisecond {
					t.Errorf("service p90 is %v with %d in flight: it must not show the freeze", p90, limit)
				}
			})
		}
	}
}

// Even arrivals come evenly: each second of the server's own account is within 1 %, but for what our lag and its own delays
// can carry over an edge.
func TestEvenArrivalsOverSockets(t *testing.T) {
	if testing.Short() {
		t.Skip("takes three seconds of real time")
	}
	const rate, seconds = 2000, 3
	f := shop(get(even(rate, seconds*time.Second), "/a"))
	f.Scenarios[0].Teardown = nil
	server := &counter{}
	o := against(t, server, f)
	if o.scheduled != rate*seconds || o.iterations != rate*seconds || o.failed > 0 {
		t.Fatalf("%d arrivals, %d iterations, %d failed", o.scheduled, o.iterations, o.failed)
	}
	for _, iv := range o.intervals[:seconds] {
		if iv.Scheduled != rate {
			t.Errorf("second %d has %d arrivals, want %d", iv.Seq, iv.Scheduled, rate)
		}
	}
	carried := (o.lag.Max() + o.response.Max()).Seconds() * rate
	for i, n := range server.seconds {
		want := float64(rate)
		if i >= seconds {
			want = 0
		}
		if math.Abs(float64(n)-want) > rate*0.01+carried {
			t.Errorf("in second %d the server saw %d requests, want %v within 1 %%", i, n, want)
		}
	}
	users := 0
	for _, iv := range o.intervals {
		users = max(users, iv.Users)
	}
	if logins := o.byStep[login].Requests; server.sessions.Load() != int64(logins) || int(logins) != users {
		t.Errorf("%d users, %d logins, the server gave %d sessions", users, logins, server.sessions.Load())
	}
	if server.requests.Load() != int64(o.requests) || server.conns.Load() != int64(o.opened) || int64(o.opened) != server.sessions.Load() {
		t.Errorf("the server saw %d requests on %d connections, counted were %d and %d", server.requests.Load(), server.conns.Load(), o.requests, o.opened)
	}
	if o.requests-o.reused != o.opened {
		t.Errorf("%d of %d requests reused their connection, but %d were opened", o.reused, o.requests, o.opened)
	}
	t.Logf("lag p50 %v p99 %v max %v, %d users", o.lag.Quantile(0.5), o.lag.Quantile(0.99), o.lag.Max(), users)
}

// The same user meets the same server whatever the number of shards: the server's account and ours agree.
func TestShardsOverSockets(t *testing.T) {
	spec := load.Spec{
		Model: load.Closed, Seed: 1, Graceful: 5 * time.Second,
		Profile: load.Profile{Stages: []load.Stage{{For: time.Second, At: 20}}},
	}
	f := get(spec, "/a", "/b")
	f.Scenarios[0].Steps[0].Think = constant(20 * time.Millisecond)
	server := &counter{}
	o := against(t, server, f, func(c *Config) { c.Shards = 4 })
	if server.conns.Load() != 20 || o.opened != 20 || server.requests.Load() != int64(o.requests) || o.failed > 0 || o.requests != 2*o.iterations {
		t.Errorf("%d connections and %d requests seen, %d and %d counted; %d iterations, %d failed", server.conns.Load(), server.requests.Load(), o.opened, o.requests, o.iterations, o.failed)
	}
	sums(t, o)
}
