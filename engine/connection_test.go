package engine

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lt/engine/limits"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
)

// once is a closed model of one user that makes n iterations.
func once(n int64) load.Spec {
	spec := closed(1, 20*time.Second)
	spec.Iterations, spec.Graceful = n, 5*time.Second
	return spec
}

// both runs a test over both pollers.
func both(t *testing.T, run func(t *testing.T, poller option)) {
	for _, portable := range []bool{false, true} {
		t.Run(fmt.Sprintf("portable=%t", portable), func(t *testing.T) {
			run(t, func(c *Config) { c.Portable = portable })
		})
	}
}

// web is a server of the standard library that counts its connections.
type web struct {
	*httptest.Server
	conns    atomic.Int64
	requests atomic.Int64
}

func serve(t *testing.T, secure bool, h http.HandlerFunc) *web {
	t.Helper()
	w := &web{}
	w.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.requests.Add(1)
		h(rw, r)
	}))
	w.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			w.conns.Add(1)
		}
	}
	w.Config.ErrorLog = quiet
	if secure {
		w.StartTLS()
	} else {
		w.Start()
	}
	t.Cleanup(w.Close)
	return w
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }

// One connection a user and origin, kept between iterations; reuse and openings are counted as the server sees them.
func TestConnectionsAreKept(t *testing.T) {
	for _, secure := range []bool{false, true} {
		both(t, func(t *testing.T, poller option) {
			for _, tc := range []struct {
				keep  scenario.Connections
				conns int64
			}{{scenario.Keep, 3}, {scenario.PerIteration, 30}, {scenario.PerRequest, 60}} {
				w := serve(t, secure, ok)
				spec := once(30)
				spec.Profile.Stages[0].At = 3
				f := get(spec, "/a", "/b")
				f.Target = w.URL
				sc := f.Scenarios[0]
				sc.HTTP.Connections = tc.keep
				for _, st := range sc.Steps {
					st.HTTP.Connections, st.HTTP.TLS.Insecure = tc.keep, true
				}
				o := play(t, f, nil, poller)
				if w.conns.Load() != tc.conns || o.opened != uint64(tc.conns) || o.reused != uint64(60-tc.conns) {
					t.Errorf("%v: the server saw %d connections, %d were counted, %d reused; want %d, %d reused", tc.keep, w.conns.Load(), o.opened, o.reused, tc.conns, 60-tc.conns)
				}
				if o.requests != 60 || w.requests.Load() != 60 || o.failed > 0 {
					t.Errorf("%v: %d requests, the server saw %d; %d failed: %v", tc.keep, o.requests, w.requests.Load(), o.failed, o.firstError())
				}
			}
		})
	}
}

// A user keeps a connection to each origin that it meets.
func TestConnectionsByOrigin(t *testing.T) {
	both(t, func(t *testing.T, poller option) {
		a, b, c := serve(t, false, ok), serve(t, false, ok), serve(t, true, ok)
		f := get(once(5), "/", b.URL+"/", c.URL+"/")
		f.Target = a.URL
		f.Scenarios[0].Steps[2].HTTP.TLS.Insecure = true
		o := play(t, f, nil, poller)
		if a.conns.Load() != 1 || b.conns.Load() != 1 || c.conns.Load() != 1 || o.opened != 3 || o.reused != 12 {
			t.Errorf("connections %d %d %d, %d opened, %d of %d reused", a.conns.Load(), b.conns.Load(), c.conns.Load(), o.opened, o.reused, o.requests)
		}
	})
}

// A kept connection that died is replaced once, within the same sample, if the request may be repeated.
func TestStaleConnections(t *testing.T) {
	for _, tc := range []struct {
		method string
		reset  bool
		class  metrics.Class
	}{{"GET", false, metrics.NoError}, {"PUT", true, metrics.NoError}, {"POST", false, metrics.EOF}, {"POST", true, metrics.Reset}} {
		t.Run(fmt.Sprintf("%s reset=%t", tc.method, tc.reset), func(t *testing.T) {
			both(t, func(t *testing.T, poller option) {
				var conns atomic.Int64
				addr := listen(t, func(c net.Conn) {
					r := bufio.NewReader(c)
					mine := conns.Add(1)
					for n := 0; ; n++ {
						req, err := http.ReadRequest(r)
						if err != nil {
							return
						}
						_, _ = io.Copy(io.Discard, req.Body)
						if mine == 1 && n == 1 { // the second request of the first connection is read and never answered
							if tc.reset {
								_ = c.(*net.TCPConn).SetLinger(0)
							}
							return
						}
						_, _ = io.WriteString(c, fine)
					}
				})
				f := get(once(3), "/")
				f.Target = "http://" + addr
				f.Scenarios[0].Steps[0].Method = tc.method
				o := play(t, f, nil, poller)
				stale := uint64(0)
				if tc.class == metrics.NoError {
					stale = 1
				} else if o.errors[tc.class] != 1 {
					t.Errorf("errors %v, want one %v", o.errors, tc.class)
				}
				if o.requests != 3 || o.stale != stale || o.attempts != 3+stale || o.failed != 1-stale || o.opened != 2 {
					t.Errorf("%d requests in %d attempts, %d stale, %d failed, %d connections", o.requests, o.attempts, o.stale, o.failed, o.opened)
				}
			})
		})
	}
}

// A connection that its server closes while nothing is asked costs no request anything.
func TestIdleConnectionClosedByTheServer(t *testing.T) {
	both(t, func(t *testing.T, poller option) {
		addr := listen(t, func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.WriteString(c, fine)
			}
		})
		f := get(once(2), "/")
		f.Target = "http://" + addr
		f.Scenarios[0].Steps[0].Method = "POST"
		f.Scenarios[0].Steps[0].Think = constant(time.Second) // a busy machine's server takes its time to close
		o := play(t, f, nil, poller)
		if o.failed > 0 || o.stale > 0 || o.opened != 2 {
			t.Errorf("%d failed (%v), %d stale, %d connections", o.failed, o.firstError(), o.stale, o.opened)
		}
	})
}

// Every way of ending an answer is understood, and what comes behind an answer ends the connection.
func TestFraming(t *testing.T) {
	for _, tc := range []struct {
		name, method, answer string
		close                bool // after the first answer
		conns                uint64
	}{
		{"chunked with a trailer", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nSum: 1\r\n\r\n", false, 1},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", false, 1},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", false, 1},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", false, 1},
		{"1xx before", "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + fine, false, 1},
		{"until close", "GET", "HTTP/1.1 200 OK\r\n\r\nok", true, 3},
		{"connection: close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false, 3},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false, 3},
		{"HTTP/1.0 kept", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", false, 1},
		{"leftovers", "GET", fine + "HTTP/1.1 200 OK\r\n", false, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			both(t, func(t *testing.T, poller option) {
				addr := listen(t, func(c net.Conn) {
					for r := bufio.NewReader(c); ; {
						if _, err := http.ReadRequest(r); err != nil {
							return
						}
						if _, err := io.WriteString(c, tc.answer); err != nil || tc.close {
							return
						}
					}
				})
				f := get(once(3), "/")
				f.Target = "http://" + addr
				f.Scenarios[0].Steps[0].Method = tc.method
				f.Scenarios[0].Steps[0].Check.Status = []scenario.StatusRange{{From: 200, To: 399}}
				o := play(t, f, nil, poller)
				if o.requests != 3 || o.failed > 0 || o.opened != tc.conns {
					t.Errorf("%d requests, %d failed (%+v), %d connections; want 3, none, %d", o.requests, o.failed, o.firstError(), o.opened, tc.conns)
				}
			})
		})
	}
}

// Redirects are followed within one sample, to hosts that the scenario names; each status does to the method what RFC 9110
// says, and credentials stay with the origin that they are for.
func TestRedirects(t *testing.T) {
	for _, tc := range []struct {
		status int
		method string
		want   string // method and body of the request that follows
	}{{301, "POST", "GET "}, {302, "POST", "GET "}, {303, "PUT", "GET "}, {307, "POST", "POST body"}, {308, "PUT", "PUT body"}} {
		t.Run(fmt.Sprint(tc.status), func(t *testing.T) {
			both(t, func(t *testing.T, poller option) {
				var mu sync.Mutex
				var got []string
				note := func(r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					mu.Lock()
					got = append(got, r.Method+" "+string(body)+" "+r.Header.Get("Authorization"))
					mu.Unlock()
				}
				other := serve(t, false, func(w http.ResponseWriter, r *http.Request) { note(r); ok(w, r) })
				w := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
					note(r)
					if r.URL.Path == "/" {
						http.SetCookie(w, &http.Cookie{Name: "hop", Value: "1"})
						w.Header().Set("Location", "/near")
					} else {
						if c, err := r.Cookie("hop"); err != nil || c.Value != "1" {
							t.Errorf("the cookie of the first hop is missing")
						}
						w.Header().Set("Location", other.URL+"/far")
					}
					w.WriteHeader(tc.status)
				})
				f := get(once(2), "/")
				f.Target, f.Hosts = w.URL, []string{other.URL}
				st := f.Scenarios[0].Steps[0]
				st.Method, st.HTTP.Redirects = tc.method, 2
				st.Body, st.Text = scenario.BodyText, "body"
				st.Headers = []scenario.Pair{{Name: "Authorization", Value: "Bearer x"}}
				o := play(t, f, nil, poller)
				want := []string{tc.method + " body Bearer x", tc.want + " Bearer x", tc.want + " "}
				if !slices.Equal(got, append(want, want...)) {
					t.Errorf("requests %q, want %q twice", got, want)
				}
				if o.requests != 2 || o.attempts != 6 || o.failed > 0 || o.opened != 2 {
					t.Errorf("%d requests in %d attempts, %d failed (%+v), %d connections", o.requests, o.attempts, o.failed, o.firstError(), o.opened)
				}
			})
		})
	}
}

// A step that was redirected has found its connection open only if it opened none; one that fails on its way has neither the status nor
// the head of the answer that sent it there.
func TestRedirectsThatEndBadly(t *testing.T) {
	tg := &target{release: after(time.Millisecond), answer: func(r seen) string {
		switch r.path {
		case "/":
			return "HTTP/1.1 302 Found\r\nLocation: /there/" + fmt.Sprint(r.conn) + "\r\nContent-Length: 0\r\n\r\n"
		case "/there/2":
			return "" // closes
		}
		return fine
	}}
	f := get(even(1, 4*time.Second), "/")
	f.Scenarios[0].Steps[0].Method, f.Scenarios[0].Steps[0].HTTP.Redirects = "POST", 1
	f.Scenarios[0].HTTP.Connections = scenario.PerIteration
	o := virtual(t, f, tg)
	if o.requests != 4 || o.failed != 1 || o.opened != 4 || o.reused != 0 {
		t.Errorf("%d requests, %d failed, %d connections opened, %d reused; want 4, 1, 4, none", o.requests, o.failed, o.opened, o.reused)
	}
	if e := o.firstError(); e.Class != metrics.EOF || e.Status != 0 || !strings.Contains(e.Example, "POST / ") || strings.Contains(e.Example, "302") {
		t.Errorf("class %v with status %d: %s", e.Class, e.Status, e.Example)
	}
}

// What a large request or head took is given back with the exchange: as many exchanges are kept as were ever in hand.
func TestLargeBuffersAreNotKept(t *testing.T) {
	tg := &target{release: after(time.Millisecond), answer: func(r seen) string {
		if r.path == "/" {
			return "HTTP/1.1 307 Go\r\nLocation: /there\r\nX: " + strings.Repeat("y", 2*keptBytes) + "\r\nContent-Length: 0\r\n\r\n"
		}
		return fine
	}}
	f := get(even(1, 2*time.Second), "/")
	st := f.Scenarios[0].Steps[0]
	st.Method, st.Body, st.Text, st.HTTP.Redirects = "POST", scenario.BodyText, strings.Repeat("x", 2*keptBytes), 1
	var o outcome
	var e *Engine
	synctest.Test(t, func(t *testing.T) {
		e = prepare(t, f, nil, &o, over(tg))
		if err := e.Run(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		tg.wait.Wait()
	})
	spare := (*e.shards.Load())[0].spare
	if o.failed > 0 || o.attempts != 4 || len(spare) != 1 || cap(spare[0].held) > 0 || cap(spare[0].raw) > keptBytes {
		t.Errorf("%d failed in %d attempts; %d exchanges are kept, the first with %d and %d bytes", o.failed, o.attempts, len(spare), cap(spare[0].held), cap(spare[0].raw))
	}
}

// A request that a target stops reading in its middle has failed while it was sent.
func TestUploadThatIsCutOff(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere the reader may hear of it before the writer")
	}
	addr := listen(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1))
		_ = c.(*net.TCPConn).SetLinger(0)
	})
	f := get(once(1), "/")
	f.Target = "http://" + addr
	st := f.Scenarios[0].Steps[0]
	st.Method, st.Body, st.Text = "POST", scenario.BodyText, strings.Repeat("x", 32<<20)
	o := play(t, f, nil)
	if e := o.firstError(); o.failed != 1 || e.Class != metrics.Reset || e.Phase != metrics.PhaseSend {
		t.Errorf("%d failed, class %v in phase %v (%s); want a reset while sending", o.failed, e.Class, e.Phase, e.Message)
	}
}

// A target may answer an upload before it has all of it and break the connection off: that fails nothing that is asked after it.
func TestEarlyAnswer(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems drop what a RST overtakes")
	}
	addr := listen(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		switch {
		case err != nil:
		case req.ContentLength > 1000:
			_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
			_ = c.(*net.TCPConn).SetLinger(0)
		default:
			_, _ = io.WriteString(c, fine)
		}
	})
	f := get(once(1), "/", "/next")
	f.Target = "http://" + addr
	for _, st := range f.Scenarios[0].Steps {
		st.Method, st.Body, st.Text = "POST", scenario.BodyText, "x"
	}
	large := f.Scenarios[0].Steps[0]
	large.Text, large.Check.Status = strings.Repeat("x", 32<<20), []scenario.StatusRange{{From: 413, To: 413}}
	if o := play(t, f, nil); o.requests != 2 || o.failed > 0 || o.opened != 2 {
		t.Errorf("%d requests over %d connections, %d failed: %+v", o.requests, o.opened, o.failed, o.firstError())
	}
}

// A TLS connection that breaks off within an answer has not failed in its handshake.
func TestTLSThatBreaksOff(t *testing.T) {
	cert := certificate(t, "127.0.0.1", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	both(t, func(t *testing.T, poller option) {
		addr := listen(t, func(c net.Conn) {
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
			answers("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")(s)
			_, _ = c.Write(append([]byte{23, 3, 3, 0, 32}, make([]byte, 32)...)) // a record that cannot be deciphered
			_, _ = io.Copy(io.Discard, c)
		})
		f := get(once(1), "/")
		f.Target = "https://" + addr
		f.Scenarios[0].Steps[0].HTTP.TLS.Insecure = true
		o := play(t, f, nil, poller)
		if e := o.firstError(); e.Class != metrics.TLS || e.Phase != metrics.PhaseReceive || !strings.HasPrefix(e.Message, "TLS failed within the answer: ") {
			t.Errorf("class %v in phase %v: %s", e.Class, e.Phase, e.Message)
		}
	})
}

// A redirect to a host that the scenario does not name stands as it is, and the run says so once.
func TestForeignRedirect(t *testing.T) {
	w := serve(t, false, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://foreign.example/")
		w.WriteHeader(302)
	})
	f := get(once(3), "/")
	f.Target = w.URL
	f.Scenarios[0].Steps[0].HTTP.Redirects = 3
	o := play(t, f, nil, func(c *Config) {
		c.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
			t.Errorf("%s was looked up", host)
			return nil, errors.New("no")
		}
	})
	if o.failed > 0 || o.attempts != 3 || len(o.notes) != 1 || !strings.Contains(o.notes[0], "does not name") {
		t.Errorf("%d failed, %d attempts, notes %q", o.failed, o.attempts, o.notes)
	}
}

// A compressed body is decoded where a check asks for it, and one larger than what is kept is cut, not refused.
func TestCompressedBodies(t *testing.T) {
	pack := func(b []byte) []byte {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		_, _ = w.Write(b)
		_ = w.Close()
		return z.Bytes()
	}
	for name, body := range map[string][]byte{"short": []byte("Add to cart"), "long": append([]byte("Add to cart"), noise(3<<20)...)} {
		packed := pack(body)
		w := serve(t, false, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed)
		})
		f := get(once(2), "/")
		f.Target = w.URL
		f.Scenarios[0].Steps[0].Check.Contains = []string{"Add to cart"}
		size := min(len(body), 1<<20) // a cut one is judged by its beginning
		f.Scenarios[0].Steps[0].Check.Size = &scenario.Compare{Op: "=", Value: strconv.Itoa(size)}
		o := play(t, f, nil)
		if o.failed > 0 || (name == "long") != (len(o.notes) == 1) {
			t.Errorf("%s (%d bytes, packed %d): %d failed (%+v), notes %q", name, len(body), len(packed), o.failed, o.firstError(), o.notes)
		}
	}
}

// forward is a proxy for plain requests and for tunnels, which wants credentials.
func forward(t *testing.T, seen *atomic.Int64) string {
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		if u, pw, ok := basicAuth(r.Header.Get("Proxy-Authorization")); !ok || u != "ann" || pw != "secret" {
			w.WriteHeader(407)
			return
		}
		if r.Method != http.MethodConnect {
			if !r.URL.IsAbs() {
				w.WriteHeader(400)
				return
			}
			r.RequestURI = ""
			r.Header.Del("Proxy-Authorization")
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				w.WriteHeader(502)
				return
			}
			defer resp.Body.Close()
			w.WriteHeader(resp.StatusCode)
			_, _ = io.Copy(w, resp.Body)
			return
		}
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(502)
			return
		}
		from, _, _ := w.(http.Hijacker).Hijack()
		_, _ = io.WriteString(from, "HTTP/1.1 200 Connected\r\n\r\n")
		go func() { _, _ = io.Copy(to, from); to.Close() }()
		_, _ = io.Copy(from, to)
		from.Close()
	}))
	t.Cleanup(p.Close)
	return p.Listener.Addr().String()
}

// A proxy that says more than that the tunnel stands is told of as what it is.
func TestProxyThatSaysTooMuch(t *testing.T) {
	f := get(once(1), "/")
	f.Target = "https://127.0.0.1:9"
	f.HTTP.Proxy = "http://" + listen(t, answers("HTTP/1.1 200 Connected\r\n\r\nwelcome"))
	both(t, func(t *testing.T, poller option) {
		o := play(t, f, nil, poller)
		if e := o.firstError(); o.errors[metrics.Connect] != 1 || e.Status != 0 || e.Message != "the proxy sent more than its answer to CONNECT" {
			t.Errorf("errors %v, status %d: %s", o.errors, e.Status, e.Message)
		}
	})
}

func basicAuth(v string) (user, password string, ok bool) {
	r := http.Request{Header: http.Header{"Authorization": {v}}}
	return r.BasicAuth()
}

// Through a proxy a plain request names the whole URL; a TLS one goes through a tunnel, written as without a proxy and
// without the proxy's credentials.
func TestProxy(t *testing.T) {
	both(t, func(t *testing.T, poller option) {
		for _, secure := range []bool{false, true} {
			w := serve(t, secure, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.IsAbs() || r.Header.Get("Proxy-Authorization") != "" {
					t.Errorf("the target got %s with Proxy-Authorization %q", r.RequestURI, r.Header.Get("Proxy-Authorization"))
				}
				ok(w, r)
			})
			var seen atomic.Int64
			at := forward(t, &seen)
			f := get(once(4), "/a", "/{{iteration}}")
			f.Target, f.HTTP.Proxy = w.URL, "http://ann:secret@"+at
			for _, st := range f.Scenarios[0].Steps {
				st.HTTP.TLS.Insecure = true
			}
			o := play(t, f, nil, poller)
			want := int64(8)
			if secure {
				want = 1 // one tunnel carries all
			}
			if o.failed > 0 || seen.Load() != want || o.opened != 1 || w.requests.Load() != 8 {
				t.Errorf("TLS %t: %d failed (%+v), the proxy saw %d requests, %d connections, %d requests arrived", secure, o.failed, o.firstError(), seen.Load(), o.opened, w.requests.Load())
			}
			f.HTTP.Proxy = "http://" + at
			o = play(t, f, nil, poller)
			class := metrics.Status
			if secure {
				class = metrics.Connect
			}
			if e := o.firstError(); o.errors[class] != 8 || !strings.Contains(e.Message, "407") {
				t.Errorf("TLS %t without credentials: errors %v, %q", secure, o.errors, e.Message)
			}
		}
	})
}

// Where to dial can be told apart from the URL: connect_to, resolve, a unix socket, addresses of our own.
func TestWaysToATarget(t *testing.T) {
	w := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "shop.example" && r.Host != "shop.example:81" {
			t.Errorf("Host is %q", r.Host)
		}
		ok(w, r)
	})
	addr := w.Listener.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Skipf("no unix sockets here: %v", err)
	}
	local := &http.Server{Handler: w.Config.Handler}
	go func() { _ = local.Serve(l) }()
	t.Cleanup(func() { _ = local.Close() })
	for name, set := range map[string]func(f *scenario.File){
		"connect_to": func(f *scenario.File) {
			f.HTTP.ConnectTo = []scenario.Redial{{Host: "other.example", Addr: "127.0.0.1:1"}, {Host: "shop.example", Port: "80", Addr: addr}}
		},
		"resolve": func(f *scenario.File) {
			f.Target = "http://shop.example:" + port
			f.HTTP.Resolve = []scenario.Redial{{Host: "SHOP.example", Port: port, Addr: "127.0.0.1"}}
			f.Scenarios[0].HTTP.Headers = nil
			f.Scenarios[0].Steps[0].Headers = []scenario.Pair{{Name: "Host", Value: "shop.example"}}
		},
		"unix":   func(f *scenario.File) { f.HTTP.UnixSocket = path },
		"lookup": func(f *scenario.File) { f.HTTP.ConnectTo = []scenario.Redial{{Addr: "known.example:" + port}} },
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, poller option) {
				f := get(once(2), "/")
				f.Target = "http://shop.example"
				set(f)
				o := play(t, f, nil, poller, func(c *Config) {
					c.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
						if host != "known.example" {
							return noNames(t.Context(), host)
						}
						return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
					}
				})
				if o.failed > 0 || o.opened != 1 {
					t.Errorf("%d failed (%+v), %d connections", o.failed, o.firstError(), o.opened)
				}
			})
		})
	}
}

// keyPair writes a client's certificate and key.
func keyPair(t *testing.T, write func(string, *pem.Block) string) (certFile, keyFile string) {
	t.Helper()
	c := certificate(t, "client.example", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return write("cert.pem", &pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}), write("key.pem", &pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// quiet is where servers complain about handshakes that are meant to fail.
var quiet = log.New(io.Discard, "", 0)

// Connections leave from the addresses that are given, in turn.
func TestSourceAddresses(t *testing.T) {
	if l, err := net.Listen("tcp", "127.0.0.9:0"); err != nil {
		t.Skipf("this system has no further loopback addresses: %v", err)
	} else {
		l.Close()
	}
	both(t, func(t *testing.T, poller option) {
		var mu sync.Mutex
		from := map[string]int{}
		w := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			mu.Lock()
			from[host]++
			mu.Unlock()
			ok(w, r)
		})
		f := get(once(6), "/")
		f.Target, f.HTTP.SourceIPs = w.URL, []string{"127.0.0.7", "127.0.0.8", "::1"}
		f.Scenarios[0].Steps[0].HTTP.Connections = scenario.PerRequest
		if o := play(t, f, nil, poller); o.failed > 0 || from["127.0.0.7"] != 3 || from["127.0.0.8"] != 3 {
			t.Errorf("%d failed (%+v), requests by address %v", o.failed, o.firstError(), from)
		}
	})
}

// New connections rotate over a name's addresses; one that does not answer is raced by the other family's; an address that
// the rules forbid is never dialled.
func TestAddresses(t *testing.T) {
	count := func(host string) (string, *atomic.Int64) {
		l, err := net.Listen("tcp", host)
		if err != nil {
			t.Skipf("this system has no address %s: %v", host, err)
		}
		n := &atomic.Int64{}
		s := &http.Server{Handler: http.HandlerFunc(ok), ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				n.Add(1)
			}
		}}
		go func() { _ = s.Serve(l) }()
		t.Cleanup(func() { _ = s.Close() })
		_, port, _ := net.SplitHostPort(l.Addr().String())
		return port, n
	}
	port, one := count("127.0.0.1:0")
	_, two := count("127.0.0.2:" + port)
	_, six := count("[::1]:" + port)
	addrs := func(texts ...string) []netip.Addr {
		var out []netip.Addr
		for _, s := range texts {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	forbidden := netip.MustParseAddr("127.0.0.3")
	for _, tc := range []struct {
		name          string
		said          []netip.Addr // what the resolver says
		one, two, six int64
		failed        uint64
		own           []string // addresses of ours
	}{
		{"rotation", addrs("127.0.0.1", "127.0.0.2"), 3, 3, 0, 0, nil},
		{"the other family", addrs("127.0.0.4", "::1"), 0, 0, 6, 0, nil},
		{"the other family from our own addresses", addrs("127.0.0.4", "::1"), 0, 0, 6, 0, []string{"127.0.0.1", "::1"}},
		{"forbidden beside others", addrs("127.0.0.3", "127.0.0.2"), 0, 6, 0, 0, nil},
		{"forbidden alone", addrs("127.0.0.3"), 0, 0, 0, 6, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			both(t, func(t *testing.T, poller option) {
				one.Store(0)
				two.Store(0)
				six.Store(0)
				f := get(once(6), "/")
				f.Target, f.HTTP.SourceIPs = "http://name.example:"+port, tc.own
				f.Scenarios[0].Steps[0].HTTP.Connections = scenario.PerRequest
				o := play(t, f, nil, poller, func(c *Config) {
					c.Lookup = func(context.Context, string) ([]netip.Addr, error) { return tc.said, nil }
					c.Allow = func(host string, a netip.Addr) error {
						if host != "name.example" {
							t.Errorf("asked about an address of %q", host)
						}
						if a == forbidden {
							return errors.New("this address is not allowed")
						}
						return nil
					}
				})
				if one.Load() != tc.one || two.Load() != tc.two || six.Load() != tc.six || o.failed != tc.failed {
					t.Errorf("connections %d %d %d, %d failed (%+v); want %d %d %d, %d", one.Load(), two.Load(), six.Load(), o.failed, o.firstError(), tc.one, tc.two, tc.six, tc.failed)
				}
				if tc.failed > 0 && (o.errors[metrics.Connect] != tc.failed || !strings.Contains(o.firstError().Message, "not allowed")) {
					t.Errorf("errors %v: %q", o.errors, o.firstError().Message)
				}
			})
		})
	}
}

// When a name is asked about again, what it has become is classed again: a forbidden address is not taken over, and the last
// good answer stays.
func TestRebinding(t *testing.T) {
	said := netip.MustParseAddr("127.0.0.1")
	f := get(once(1))
	f.Target = "http://name.example"
	o := outcome{}
	e := prepare(t, f, nil, &o, func(c *Config) {
		c.Lookup = func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{said}, nil }
		c.Allow = func(_ string, a netip.Addr) error {
			if !a.IsLoopback() {
				return errors.New("no")
			}
			return nil
		}
	})
	h := e.origins.host("name.example")
	ask := func() *answer {
		done := make(chan *answer)
		e.origins.ask(h, func(a *answer) { done <- a })
		return <-done
	}
	if a := ask(); a.err != nil || a.addrs[0] != said {
		t.Fatalf("the first answer is %+v", a)
	}
	said = netip.MustParseAddr("169.254.169.254")
	if a := ask(); a.err != nil || len(a.addrs) != 1 || !a.addrs[0].IsLoopback() {
		t.Errorf("after the name moved to a forbidden address the answer is %+v, want the one before", a)
	}
	e.Permit(func(string, netip.Addr) error { return nil })
	if a := ask(); a.addrs[0] != said {
		t.Errorf("under a new rule the answer is %+v", a)
	}
	e.origins.close()
}

// TLS is verified unless it is said otherwise, by the system's roots or a given one, under the URL's name or a given one; a
// client's certificate is shown if there is one.
func TestVerification(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	cert := certificate(t, "shop.example", now.Add(-time.Hour), now.Add(time.Hour))
	write := func(name string, block *pem.Block) string {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	ca := write("ca.pem", &pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	certFile, keyFile := keyPair(t, write)
	both(t, func(t *testing.T, poller option) {
		for _, tc := range []struct {
			name  string
			set   scenario.TLS
			wants bool // the server wants a certificate of the client
			class metrics.Class
			says  string
		}{
			{name: "unknown authority", set: scenario.TLS{ServerName: "shop.example"}, class: metrics.TLS, says: "unknown authority"},
			{name: "insecure", set: scenario.TLS{Insecure: true}},
			{name: "own authority, other name", set: scenario.TLS{CA: ca}, class: metrics.TLS, says: "another name"},
			{name: "own authority, name given", set: scenario.TLS{CA: ca, ServerName: "shop.example"}},
			{name: "no certificate of the client", set: scenario.TLS{Insecure: true, MinVersion: "1.3"}, wants: true, class: metrics.TLS},
			{name: "certificate of the client", set: scenario.TLS{Insecure: true, Cert: certFile, Key: keyFile, MinVersion: "1.2"}, wants: true},
		} {
			t.Run(tc.name, func(t *testing.T) {
				w := httptest.NewUnstartedServer(http.HandlerFunc(ok))
				w.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
				if tc.wants {
					w.TLS.ClientAuth = tls.RequireAnyClientCert
				}
				w.Config.ErrorLog = quiet
				w.StartTLS()
				defer w.Close()
				f := get(once(2), "/")
				f.Target, f.Dir = w.URL, dir
				f.Scenarios[0].Steps[0].HTTP.TLS = tc.set
				o := play(t, f, nil, poller)
				if tc.class == metrics.NoError {
					if o.failed > 0 {
						t.Errorf("%+v", o.firstError())
					}
					return
				}
				if e := o.firstError(); o.failed != 2 || o.errors[tc.class] != 2 && !tc.wants || !strings.Contains(e.Message, tc.says) {
					t.Errorf("%d failed, errors %v: %+v", o.failed, o.errors, e)
				}
			})
		}
	})
}

// More connections than the limit bears are closed where users pause; that is said once, and at the end how many they were.
func TestConnectionsAboveTheLimitOfFiles(t *testing.T) {
	f := get(closed(40, 10*time.Second), "/")
	f.Scenarios[0].Steps[0].Think = constant(900 * time.Millisecond)
	tg := &target{release: after(100 * time.Millisecond)}
	o := virtual(t, f, tg, func(c *Config) {
		c.Reading = func() limits.Reading { return limits.Reading{FileLimit: spareFiles + 16} }
	})
	// In each of the ten seconds 24 of the 40 users come back without the connection that they had, and close one again.
	if o.requests != 400 || o.failed > 0 || o.opened != 40+9*24 || tg.conns != 40+9*24 {
		t.Errorf("%d requests, %d failed, %d connections, %d as the server saw them; want 400 over %d", o.requests, o.failed, o.opened, tg.conns, 40+9*24)
	}
	if len(o.notes) != 2 || !strings.Contains(o.notes[0], "open files is near") || !strings.HasPrefix(o.notes[1], "240 connections") {
		t.Errorf("the notes are %q", o.notes)
	}
	for _, iv := range o.intervals[:10] {
		if iv.Connections != 16 {
			t.Errorf("at the end of second %d, a pause, %d connections are open, want 16", iv.Seq, iv.Connections)
		}
	}
}

// Names are asked for again every minute, and when a connection cannot be made; new connections go to the newest addresses, and
// the last good answer stays when the resolver fails.
func TestNamesAreAskedAgain(t *testing.T) {
	var (
		mu      sync.Mutex
		lookups []int // by second
		dials   = map[string]int{}
		o       outcome
	)
	f := get(even(1, 200*time.Second)) // at 0.5, 1.5 s ...
	f.Target = "http://name.example"
	f.Scenarios[0].Steps[0].HTTP.Connections = scenario.PerRequest
	synctest.Test(t, func(t *testing.T) {
		tg := &target{release: after(time.Millisecond)}
		began := time.Now()
		seconds := func() int { return int(time.Since(began) / time.Second) }
		e := prepare(t, f, nil, &o, over(tg), func(c *Config) {
			c.Lookup = func(context.Context, string) ([]netip.Addr, error) {
				mu.Lock()
				defer mu.Unlock()
				at := seconds()
				lookups = append(lookups, at)
				switch {
				case at < 60:
					return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
				case at < 120:
					return nil, &net.DNSError{Err: "no answer", Name: "name.example", IsTimeout: true}
				case at < 150:
					return []netip.Addr{netip.MustParseAddr("127.0.0.2")}, nil
				}
				return []netip.Addr{netip.MustParseAddr("127.0.0.3")}, nil
			}
			c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				mu.Lock()
				dials[address]++
				mu.Unlock()
				if address == "127.0.0.2:80" && seconds() >= 150 {
					return nil, errors.New("unreachable")
				}
				return tg.dial(ctx, network, address)
			}
		})
		if err := e.Run(t.Context(), began); err != nil {
			t.Fatal(err)
		}
		tg.wait.Wait()
	})
	// The first request asks. An answer is looked at every five seconds. The request that fails at 150.5 s asks as well.
	if want := []int{0, 65, 125, 150}; !slices.Equal(lookups, want) {
		t.Errorf("the name was asked for in the seconds %v, want %v", lookups, want)
	}
	if want := map[string]int{"127.0.0.1:80": 125, "127.0.0.2:80": 26, "127.0.0.3:80": 49}; !maps.Equal(dials, want) {
		t.Errorf("connections by address %v, want %v", dials, want)
	}
	if o.requests != 200 || o.failed != 1 || o.errors[metrics.Connect] != 1 {
		t.Errorf("%d requests, %d failed: %v; want one of 200, where nobody was at the old address", o.requests, o.failed, o.errors)
	}
}
