package engine

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
)

// reply answers every request on a connection with the same bytes and allocates nothing. Requests have no body.
func reply(answer string) func(net.Conn) {
	return func(c net.Conn) {
		buf, out := make([]byte, 16<<10), []byte(answer)
		held := 0
		for {
			n, err := c.Read(buf[held:])
			if err != nil {
				return
			}
			held += n
			asked := 0
			for i := 3; i < held; i++ {
				if buf[i] == '\n' && buf[i-1] == '\r' && buf[i-2] == '\n' && buf[i-3] == '\r' {
					asked++
				}
			}
			if asked == 0 {
				continue
			}
			held = 0
			for range asked {
				if _, err := c.Write(out); err != nil {
					return
				}
			}
		}
	}
}

// over TLS.
func sealed(t testing.TB, f func(net.Conn)) func(net.Conn) {
	cert := certificate(t, "127.0.0.1", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	return func(c net.Conn) { f(tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})) }
}

// loads are the paths whose cost is watched.
func loads() map[string]func(*scenario.File) {
	return map[string]func(*scenario.File){
		"plain": func(*scenario.File) {},
		"tls":   func(f *scenario.File) { f.Scenarios[0].Steps[0].HTTP.TLS.Insecure = true },
		"journey": func(f *scenario.File) {
			sc := f.Scenarios[0]
			sc.HTTP.Cookies = scenario.KeepCookies
			step := func(path string) *scenario.Step {
				return &scenario.Step{Name: "GET " + path, Method: "GET", URL: path, HTTP: sc.HTTP}
			}
			sc.Steps = []*scenario.Step{step("/a"), step("/b/{{token}}"), step("/c")}
			sc.Steps[0].Extract = []scenario.Extract{{Name: "token", Source: scenario.FromJSON, Expr: "$.token"}}
			sc.Steps[1].Check.Contains = []string{"token"}
			sc.Steps[2].Check.JSON = []scenario.JSONCheck{{Path: "$.n", Compare: scenario.Compare{Op: ">", Value: "3"}}}
		},
	}
}

const session = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: id=0123456789abcdef; Path=/\r\nContent-Length: 28\r\n\r\n{\"token\":\"0123456789\",\"n\":5}"

// timed plays a closed model against a local server and gives what was allocated in how many intervals and requests by the whole
// process, the server's part among them, once everything is warm.
func timed(t testing.TB, name string, users int, think time.Duration) (requests, intervals, mallocs float64) {
	h := reply(session)
	if name == "tls" {
		h = sealed(t, h)
	}
	f := get(closed(float64(users), 3100*time.Millisecond))
	f.Target = "http://" + listen(t, h)
	if name == "tls" {
		f.Target = "https" + f.Target[4:]
	}
	loads()[name](f)
	if steps := f.Scenarios[0].Steps; think > 0 {
		steps[len(steps)-1].Think = constant(think)
	}
	var before, after runtime.MemStats
	var o outcome
	var e *Engine
	e = prepare(t, f, nil, &o, func(c *Config) {
		c.OnInterval = func(iv *metrics.Interval) {
			// From the first whole second to the last.
			switch {
			case iv.Seq == 0:
				runtime.ReadMemStats(&before)
			case !iv.Final && iv.Length == intervalLength:
				for i := range iv.Records {
					requests += float64(iv.Records[i].Requests)
				}
				intervals++
				runtime.ReadMemStats(&after)
			}
			o.failed += iv.Failed
			iv.Release(e.Pages())
		}
	})
	if err := e.Run(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if o.failed > 0 {
		t.Fatalf("%d iterations failed", o.failed)
	}
	return requests, intervals, float64(after.Mallocs - before.Mallocs)
}

// A request allocates nothing on the plain path. What an interval needs for its own hand-over and audit is measured with next to no
// requests, and taken off: how many requests share it is a matter of the machine's speed.
func TestRequestsAllocateNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds of real time")
	}
	for _, tc := range []struct {
		name string
		most float64
	}{{"plain", 0.02}, {"tls", 2.3}, {"journey", 0.02}} { // over TLS one is the server's
		t.Run(tc.name, func(t *testing.T) {
			_, idle, own := timed(t, tc.name, 1, 200*time.Millisecond)
			n, intervals, mallocs := timed(t, tc.name, 16, 0)
			each := (mallocs - intervals*own/idle) / n
			t.Logf("%.4f allocations a request over %.0f requests, those of the test's own server included; %.0f an interval beside them", each, n, own/idle)
			if each > tc.most {
				t.Errorf("%.4f allocations a request, want at most %g", each, tc.most)
			}
		})
	}
}

// A virtual user is three cache lines, of which the first is its state.
func TestUserIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(user{}); n != 192 && unsafe.Sizeof(uintptr(0)) == 8 {
		t.Errorf("a user has %d bytes of its own, want 192", n)
	}
	if at := unsafe.Offsetof(user{}.session); at > 64 {
		t.Errorf("a user's state takes %d bytes, want 64", at)
	}
	t.Logf("user %d B, exchange %d B", unsafe.Sizeof(user{}), unsafe.Sizeof(exchange{}))
}

// Users that have made a request, hold a session and think take no more than 512 bytes each.
func TestThinkingUsersAreSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("opens ten thousand connections")
	}
	const users = 10_000
	var served atomic.Int64 // connections in the server's hands
	h := func(c net.Conn) {
		served.Add(1)
		defer served.Add(-1)
		for r := bufio.NewReader(c); ; {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			if _, err := io.WriteString(c, session); err != nil {
				return
			}
		}
	}
	f := get(load.Spec{
		Model: load.Closed, Seed: 1,
		// Slowly, so that few of them are in a request at the same time.
		Profile: load.Profile{Stages: []load.Stage{{For: 5 * time.Second, At: users, Ramp: true}, {For: 60 * time.Second, At: users}}},
	}, "/a", "/b")
	f.Target = "http://" + listen(t, h)
	sc := f.Scenarios[0]
	sc.HTTP.Connections = scenario.PerRequest
	for _, st := range sc.Steps {
		st.HTTP.Connections, st.Think = scenario.PerRequest, constant(time.Hour)
	}
	var o outcome
	var e *Engine
	var before, after runtime.MemStats
	measured := 0
	e = prepare(t, f, nil, &o, func(c *Config) {
		c.OnInterval = func(iv *metrics.Interval) {
			for i := range iv.Records {
				o.requests += iv.Records[i].Requests
			}
			if o.requests >= users && iv.Connections == 0 && served.Load() == 0 && measured == 0 {
				measured = iv.Users
				runtime.GC()
				runtime.GC()
				runtime.ReadMemStats(&after)
				go e.Cut()
			}
			iv.Release(e.Pages())
		}
	})
	runtime.GC()
	runtime.ReadMemStats(&before)
	if err := e.Run(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if measured != users {
		t.Fatalf("%d users were there, %d requests made", measured, o.requests)
	}
	// Exchanges are kept for the next requests, as many as were under way at once, and so is what the runtime knows of each
	// goroutine that the test's server had (some 600 bytes): the slower the machine, the more.
	atOnce := float64(len((*e.shards.Load())[0].spare))
	pool := atOnce * (float64(unsafe.Sizeof(exchange{})) + 600)
	held := float64(after.HeapAlloc) - float64(before.HeapAlloc) - pool
	t.Logf("%.0f B a user with a cookie, with up to %.0f requests under way at once", held/users, atOnce)
	if held/users > 512 {
		t.Errorf("%.0f B a user, want at most 512", held/users)
	}
}

// BenchmarkRequest is one request and its answer over loopback, the server's part included.
func BenchmarkRequest(b *testing.B) {
	for _, name := range []string{"plain", "tls", "journey"} {
		b.Run(name, func(b *testing.B) {
			h := reply(session)
			if name == "tls" {
				h = sealed(b, h)
			}
			spec := closed(16, time.Hour)
			spec.Iterations = int64(b.N)
			f := get(spec)
			f.Target = "http://" + listen(b, h)
			if name == "tls" {
				f.Target = "https" + f.Target[4:]
			}
			loads()[name](f)
			if name == "journey" {
				f.Load.Iterations = max(1, int64(b.N)/3)
			}
			var o outcome
			e := prepare(b, f, nil, &o)
			b.ReportAllocs()
			b.ResetTimer()
			if err := e.Run(b.Context(), time.Now()); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if o.failed > 0 {
				b.Fatal(fmt.Sprint(o.firstError()))
			}
		})
	}
}
