package shop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are in memory. In a synctest bubble they make a shop run in virtual time, where
// a timer is exact; and a bubble does not end before all goroutines in it have.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inVirtualTime runs a test with a shop and its clock in a bubble.
func inVirtualTime(t *testing.T, c Config, test func(t *testing.T, s *Server, c *client)) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		s := New(c)
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(p) }()
		test(t, s, newClient(t, "http://shop", p.dial))
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

// burst sends requests at even intervals and returns when each was answered, and with what, since the first was sent.
func burst(c *client, n int, every time.Duration, path string) (at []time.Duration, status []int) {
	at, status = make([]time.Duration, n), make([]int, n)
	begun := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * every)
			r, err := c.http.Get(c.base + path)
			if err != nil {
				c.t.Errorf("request %d: %v", i, err)
				return
			}
			defer r.Body.Close()
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				c.t.Errorf("request %d: %v", i, err)
			}
			at[i], status[i] = time.Since(begun), r.StatusCode
		})
	}
	wg.Wait()
	return at, status
}

func TestAnswersLeaveAtTheirDepartures(t *testing.T) {
	c := Config{Service: Distribution{Kind: Exponential, A: 20 * ms}, Servers: 2, Queue: 1000, Seed: 5}
	inVirtualTime(t, c, func(t *testing.T, s *Server, cl *client) {
		const n = 500
		got, _ := burst(cl, n, 5*ms, "/") // twice the capacity
		for i, v := range drive(c, func(i int) time.Duration { return time.Duration(i) * 5 * ms }, n) {
			if got[i] != v.departure {
				t.Fatalf("request %d was answered at %v, its departure is %v", i, got[i], v.departure)
			}
		}
		stats := s.Stats()
		near(t, "throughput", n/slices.Max(got).Seconds(), 2/stats.Station.ServiceMeanS, 0.02)
		if stats.ReleaseLateMaxS != 0 {
			t.Errorf("an answer was %v s late in virtual time", stats.ReleaseLateMaxS)
		}
	})
}

func TestFullQueueRefusesAtOnce(t *testing.T) {
	c := Config{Service: Distribution{A: time.Second}, Servers: 2, Queue: 3}
	inVirtualTime(t, c, func(t *testing.T, s *Server, cl *client) {
		at, status := burst(cl, 10, ms, "/")
		for i := range 10 {
			want := 200
			if i >= 5 { // two are served and three wait
				want = 503
				if at[i] != time.Duration(i)*ms {
					t.Errorf("request %d was refused only at %v", i, at[i])
				}
			}
			if status[i] != want {
				t.Errorf("request %d: status %d, want %d", i, status[i], want)
			}
		}
		stats := s.Stats()
		if stats.Refused != 5 || stats.Station.QueueMax != 3 || stats.Station.Admitted != 5 || stats.Station.Queue != 0 {
			t.Errorf("stats: %+v", stats)
		}
	})
}

func TestStallHoldsEveryAnswer(t *testing.T) {
	stall := Stall{At: time.Second, For: 2 * time.Second}
	c := Config{Service: Distribution{A: 4 * ms}, Queue: 1000, Stalls: []Stall{stall}}
	inVirtualTime(t, c, func(t *testing.T, _ *Server, cl *client) {
		const spacing, n = 10 * ms, 600
		at, _ := burst(cl, n, spacing, "/")
		for i := range n {
			sent := time.Duration(i) * spacing
			x := sent - stall.At
			// b + S - (1 - rho) x inside the stall and while the backlog lasts, b otherwise.
			want := 4 * ms
			if x >= 0 {
				want = max(want, 4*ms+stall.For-x*6/10)
			}
			if got := at[i] - sent; got != want {
				t.Fatalf("request %d, sent %v after the stall began, took %v, want %v", i, x, got, want)
			}
		}
	})
}

func TestErrorsAreTheShareAskedForAndRepeat(t *testing.T) {
	c := Config{Errors: 0.1, Seed: 3}
	var runs [2][]int
	for i := range runs {
		inVirtualTime(t, c, func(t *testing.T, s *Server, cl *client) {
			for range 2000 {
				runs[i] = append(runs[i], cl.get("/").status)
			}
			n := s.Stats().Injected
			if sd := math.Sqrt(2000 * 0.1 * 0.9); math.Abs(float64(n)-200) > 4*sd {
				t.Errorf("%d errors of 2000, want about 200", n)
			}
			if got := s.Stats().Routes["GET /"].Status[500]; got != n {
				t.Errorf("%d answers with 500, %d injected", got, n)
			}
		})
	}
	if !slices.Equal(runs[0], runs[1]) {
		t.Error("the same seed gave other errors")
	}
}

func TestClientThatLeavesKeepsItsPlace(t *testing.T) {
	c := Config{Service: Distribution{A: time.Second}, Queue: 10}
	inVirtualTime(t, c, func(t *testing.T, s *Server, cl *client) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*ms)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "POST", cl.base+"/checkout", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if a, err := cl.http.Do(r); err == nil {
			a.Body.Close()
			t.Fatal("an answer came within 100 ms, the service takes 1 s")
		}
		synctest.Wait()
		if stats := s.Stats(); stats.Gone != 1 || stats.InHand != 0 || stats.Station.Serving != 1 {
			t.Errorf("after the client left: gone %d, in hand %d, serving %d; want 1, 0, 1", stats.Gone, stats.InHand, stats.Station.Serving)
		}
		begun := time.Now()
		cl.want(cl.get("/"), 200)
		if got := time.Since(begun); got != 1900*ms {
			t.Errorf("the next request took %v, want 1.9 s: the one before keeps the server for 0.9 s more", got)
		}
	})
}

func TestCloseEndsWhatWaits(t *testing.T) {
	c := Config{Service: Distribution{A: time.Hour}, Queue: 10}
	inVirtualTime(t, c, func(t *testing.T, s *Server, cl *client) {
		failed := make(chan error, 5)
		for range cap(failed) {
			go func() {
				r, err := cl.http.Get(cl.base + "/")
				if err == nil {
					r.Body.Close()
				}
				failed <- err
			}()
		}
		synctest.Wait()
		if n := s.Stats().InHand; n != cap(failed) {
			t.Fatalf("%d in hand, want %d", n, cap(failed))
		}
		begun := time.Now()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for range cap(failed) {
			if err := <-failed; err == nil {
				t.Error("a request of a closed shop was answered")
			}
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("closing took %v", took)
		}
		if stats := s.Stats(); stats.Connections.Open != 0 || stats.InHand != 0 {
			t.Errorf("after Close: %d connections, %d in hand", stats.Connections.Open, stats.InHand)
		}
	})
}

func TestShutdownAnswersWhatIsInHand(t *testing.T) {
	c := Config{Service: Distribution{A: time.Second}, Queue: 10}
	inVirtualTime(t, c, func(t *testing.T, s *Server, cl *client) {
		status := make(chan int, 1)
		go func() { status <- cl.get("/").status }()
		synctest.Wait()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := <-status; got != 200 {
			t.Errorf("status %d, want 200", got)
		}
	})
	inVirtualTime(t, c, func(t *testing.T, s *Server, cl *client) {
		failed := make(chan error, 1)
		go func() {
			r, err := cl.http.Get(cl.base + "/")
			if err == nil {
				r.Body.Close()
			}
			failed <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 300*ms)
		defer cancel()
		if err := s.Shutdown(ctx); err == nil {
			t.Error("Shutdown had too little time and reports no error")
		}
		if err := <-failed; err == nil {
			t.Error("the request in hand was answered, want it cut")
		}
	})
}

func TestStatsEqualWhatWasSent(t *testing.T) {
	// In virtual time: the client of net/http gives up a connection whose own goroutines a busy machine lets wait.
	inVirtualTime(t, Config{Service: Distribution{A: ms}, Servers: 4, Queue: 100}, statsEqualWhatWasSent)
}

func statsEqualWhatWasSent(t *testing.T, s *Server, c *client) {
	want := map[string]map[int]int{
		"GET /": {200: 40}, "GET /products/{id}": {200: 25, 404: 5}, "POST /api/login": {200: 1, 401: 2},
		"POST /cart": {201: 3, 403: 1}, "POST /checkout": {200: 1, 409: 1}, "other": {404: 2, 405: 1},
	}
	var out int64
	count := func(a answered, status int) {
		t.Helper()
		out += int64(len(c.want(a, status).body))
	}
	for range 40 {
		count(c.get("/"), 200)
	}
	for id := range 25 {
		count(c.get(fmt.Sprintf("/products/%d", id+1)), 200)
	}
	for range 5 {
		count(c.get("/products/0"), 404)
	}
	login := `{"email": "ada@example.com", "password": "secret"}`
	count(c.json("/api/login", login), 200)
	count(c.json("/api/login", "{}"), 401)
	count(c.json("/api/login", "{}"), 401)
	csrf := s.csrfOfOnlySession(t)
	form := "csrf=" + csrf + "&id=9"
	for range 3 {
		count(c.form("/cart", "id", "9", "csrf", csrf), 201)
	}
	count(c.form("/cart", "id", "9"), 403)
	count(c.json("/checkout", ""), 200)
	count(c.json("/checkout", ""), 409)
	count(c.get("/a"), 404)
	count(c.get("/b"), 404)
	count(c.do("DELETE", "/", "", ""), 405)
	c.get("/healthz") // not counted, like the request below

	got := decode[Stats](t, c.get("/stats"))
	routes, total := map[string]map[int]int{}, 0
	for name, r := range got.Routes {
		routes[name] = r.Status
		total += r.Requests
	}
	if !reflect.DeepEqual(routes, want) {
		t.Errorf("routes %v, want %v", routes, want)
	}
	const sent = 82
	arrived := 0
	for _, n := range got.ArrivalsPerSec {
		arrived += n
	}
	if got.Requests != sent || total != sent || arrived != sent || got.InHand != 0 {
		t.Errorf("requests %d, by route %d, by second %d, in hand %d; want %d and 0", got.Requests, total, arrived, got.InHand, sent)
	}
	if wantIn := int64(len(login) + 4 + 3*len(form) + len("id=9")); got.BodyBytesIn != wantIn || got.BodyBytesOut != out {
		t.Errorf("bodies: %d bytes in and %d out, want %d and %d", got.BodyBytesIn, got.BodyBytesOut, wantIn, out)
	}
	if got.WireBytesIn <= got.BodyBytesIn || got.WireBytesOut <= got.BodyBytesOut {
		t.Errorf("on the wire %d and %d bytes, less than the bodies", got.WireBytesIn, got.WireBytesOut)
	}
	if got.Connections != (ConnectionStats{Accepted: 1, Open: 1, Used: 1, Reused: sent - 1}) {
		t.Errorf("connections %+v, want one for all", got.Connections)
	}
	if got.Sessions != 1 || got.Station.Admitted != sent-3 || *got.Target.CapacityRPS != 4000 {
		t.Errorf("sessions %d, admitted %d, capacity %v; want 1, %d, 4000", got.Sessions, got.Station.Admitted, *got.Target.CapacityRPS, sent-3)
	}

	if before := decode[Stats](t, c.want(c.do("DELETE", "/stats", "", ""), 200)); before.Requests != sent {
		t.Errorf("the reset returned %d requests, want %d", before.Requests, sent)
	}
	c.want(c.get("/cart"), 200) // the session outlives the reset
	after := s.Stats()
	if after.Requests != 1 || after.Connections != (ConnectionStats{Open: 1, Used: 1}) || len(after.Routes) != 1 {
		t.Errorf("after the reset and one request: %+v", after)
	}
}

func (s *Server) csrfOfOnlySession(t *testing.T) string {
	t.Helper()
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	if s.sessions.recent.Len() != 1 {
		t.Fatalf("%d sessions, want 1", s.sessions.recent.Len())
	}
	return s.sessions.recent.Front().Value.(*session).csrf
}

// A reset begins the streams of the seed anew, so that an experiment can be repeated without a new process.
func TestResetRepeatsTheRun(t *testing.T) {
	c := Config{Service: Distribution{Kind: Exponential, A: 20 * ms}, Queue: 100, Seed: 8, Stalls: []Stall{{100 * ms, time.Second}}}
	inVirtualTime(t, c, func(t *testing.T, s *Server, cl *client) {
		one, _ := burst(cl, 50, 10*ms, "/")
		time.Sleep(time.Minute)
		s.Reset()
		two, _ := burst(cl, 50, 10*ms, "/")
		if !slices.Equal(one, two) {
			t.Errorf("answers at\n%v, after the reset at\n%v", one, two)
		}
	})
}

// All requests come during a stall at the beginning; from its end on the station works without a pause, and the last
// departure tells its capacity, however late the machine lets the answers go.
func TestCapacityOverSockets(t *testing.T) {
	const n = 200
	stall := Stall{At: 0, For: time.Second}
	c := Config{Service: Distribution{A: 10 * ms}, Servers: 4, Queue: n, Stalls: []Stall{stall}}
	s, cl := serve(t, c)
	burst(cl, n, 0, "/products/7")
	stats := s.Stats()
	if stats.Station.Admitted != n || stats.Refused != 0 {
		t.Fatalf("let in %d and refused %d, want %d and 0", stats.Station.Admitted, stats.Refused, n)
	}
	near(t, "capacity", n/(stats.Station.LastDepartureS-stall.For.Seconds()), c.Capacity(), 0.02)
}

func TestServerTimingTellsTheComputedTimes(t *testing.T) {
	c := Config{Service: Distribution{A: 20 * ms}, Queue: 10}
	inVirtualTime(t, c, func(t *testing.T, _ *Server, cl *client) {
		got := make(chan string, 2)
		for i := range 2 {
			go func() {
				time.Sleep(time.Duration(i) * 5 * ms)
				got <- cl.get("/").header.Get("Server-Timing")
			}()
		}
		for _, want := range []string{"queue;dur=0.000, service;dur=20.000", "queue;dur=15.000, service;dur=20.000"} {
			if header := <-got; header != want {
				t.Errorf("Server-Timing %q, want %q", header, want)
			}
		}
	})
}

// What is not HTTP, or stops halfway, ends by itself and is nobody's error but its own.
func TestMisbehavingClients(t *testing.T) {
	for name, bytes := range map[string]string{
		"garbage":            "\x00\xff\x16\x03\x01\r\n\r\n",
		"half a head":        "GET / HTTP/1.1\r\nHost: shop\r\n",
		"half a body":        "POST /checkout HTTP/1.1\r\nHost: shop\r\nContent-Length: 10\r\n\r\n{}",
		"bad chunk":          "POST /checkout HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"two lengths":        "POST /checkout HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"endless head":       "GET / HTTP/1.1\r\nHost: shop\r\nX: " + strings.Repeat("x", 2*maxHead),
		"endless chunked":    "POST /checkout HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n" + strings.Repeat("x", 2*maxBody),
		"control characters": "GET /search?q=\x1b[2J HTTP/1.1\r\nHost: shop\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				s := New(Config{})
				ended := make(chan error, 1)
				go func() { ended <- s.Serve(p) }()
				c, err := p.dial(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				go func() { _, _ = io.WriteString(c, bytes) }() // the server may hang up in the middle of it
				begun := time.Now()
				answer, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err == nil {
					if answer.StatusCode < 400 {
						t.Errorf("status %d", answer.StatusCode)
					}
					answer.Body.Close()
				}
				if took := time.Since(begun); took > bodyTimeout {
					t.Errorf("it took %v", took)
				}
				c.Close()
				synctest.Wait()
				if stats := s.Stats(); stats.Station.Admitted != 0 || stats.InHand != 0 {
					t.Errorf("let in %d, in hand %d; want none", stats.Station.Admitted, stats.InHand)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestWithoutServeItIsAHandler(t *testing.T) {
	s := New(Config{Errors: 1})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 500 {
		t.Errorf("status %d, want 500: all are errors", w.Code)
	}
	if stats := s.Stats(); stats.Requests != 1 || stats.Connections != (ConnectionStats{}) {
		t.Errorf("stats %+v", stats)
	}
}

func TestNewPanicsOnABadConfig(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	New(Config{Queue: -1})
}

// Keys of /stats are read by scripts: none may change its name unnoticed.
func TestStatsKeys(t *testing.T) {
	text, err := json.Marshal(New(Config{}).Stats())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"target", "seconds", "requests", "in_hand", "refused", "injected", "gone", "sessions", "sessions_evicted",
		"arrivals_per_s", "routes", "station", "connections", "body_bytes_in", "body_bytes_out", "wire_bytes_in",
		"wire_bytes_out", "release_late_mean_s", "release_late_max_s",
	} {
		if _, ok := got[key]; !ok {
			t.Errorf("no key %q in %s", key, text)
		}
		delete(got, key)
	}
	if len(got) != 0 {
		t.Errorf("keys that the list here does not know: %v", got)
	}
}

func BenchmarkServeHTTP(b *testing.B) {
	s := New(Config{})
	for _, path := range []string{"/", "/products", "/products/13", "/search?q=shoes"} {
		b.Run(path, func(b *testing.B) {
			r := httptest.NewRequest("GET", path, nil)
			b.ReportAllocs()
			for b.Loop() {
				s.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}

func BenchmarkOverSockets(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := New(Config{})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	c := http.Client{Transport: &http.Transport{}}
	b.ReportAllocs()
	for b.Loop() {
		r, err := c.Get("http://" + l.Addr().String() + "/")
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	c.CloseIdleConnections()
	if err := s.Close(); err != nil {
		b.Error(err)
	}
	if err := <-ended; err != nil {
		b.Error(err)
	}
}
