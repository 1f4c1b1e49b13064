package engine

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
)

// listen serves connections with f on loopback until the test ends.
func listen(t testing.TB, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		wait sync.WaitGroup
		mu   sync.Mutex
		all  = map[net.Conn]struct{}{}
	)
	wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			all[c] = struct{}{}
			mu.Unlock()
			wait.Go(func() {
				f(c)
				c.Close()
				mu.Lock()
				delete(all, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range all {
			c.Close()
		}
		mu.Unlock()
		wait.Wait()
	})
	return l.Addr().String()
}

// answers reads one request and writes a fixed answer, then closes.
func answers(text string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, text)
		}
	}
}

// certificate is a self-signed one for a name, valid from now-age for a length.
func certificate(t testing.TB, name string, from, to time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	if ip := net.ParseIP(name); ip != nil {
		tmpl.DNSNames, tmpl.IPAddresses = nil, []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// secured answers over TLS with a certificate.
func secured(cert tls.Certificate) func(net.Conn) {
	return func(c net.Conn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
		answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")(s)
		s.Close()
	}
}

// forever writes a piece until the connection ends, and fails the test if that goes beyond what the sockets' buffers take.
func forever(t *testing.T, head, piece string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		_, _ = io.WriteString(c, head)
		for sent := 0; sent < 64<<20; sent += len(piece) {
			if _, err := io.WriteString(c, piece); err != nil {
				return
			}
		}
		t.Error("64 MiB of an endless answer were taken")
	}
}

// A target that misbehaves gives its request a class and a phase within the step's time, and the same user's next request to a
// good target succeeds.
func TestBadTargets(t *testing.T) {
	closed := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 8<<20))
	z.Close()
	now := time.Now()
	cases := []struct {
		name  string
		addr  func() string
		serve func(net.Conn)
		tls   bool
		check scenario.Check
		waits bool // only the end of its time ends it
		class metrics.Class
		phase metrics.Phase
		says  string
	}{
		{name: "refused", addr: closed, class: metrics.Refused, phase: metrics.PhaseConnect, says: "refused"},
		{name: "reset", serve: func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_ = c.(*net.TCPConn).SetLinger(0)
		}, class: metrics.Reset, phase: metrics.PhaseWait},
		{name: "closes at once", serve: answers(""), class: metrics.EOF, phase: metrics.PhaseWait},
		{name: "never answers", waits: true, serve: func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, class: metrics.Timeout, phase: metrics.PhaseWait},
		{name: "one byte at a time", waits: true, serve: func(c net.Conn) {
			for _, b := range []byte("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("x", 20000)) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(2 * time.Millisecond)
			}
		}, class: metrics.Timeout, phase: metrics.PhaseReceive},
		{name: "garbage", serve: answers("\x00\x01\x02 garbage\r\n\r\n"), class: metrics.Protocol, phase: metrics.PhaseReceive},
		{name: "bad chunk size", serve: answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), class: metrics.Protocol, phase: metrics.PhaseReceive},
		{name: "two lengths", serve: answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk"), class: metrics.Protocol, phase: metrics.PhaseReceive},
		{name: "endless headers", serve: forever(t, "HTTP/1.1 200 OK\r\n", "X: "+strings.Repeat("y", 1000)+"\r\n"), class: metrics.Protocol, phase: metrics.PhaseReceive},
		{name: "endless body", serve: forever(t, "HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("z", 4096)), class: metrics.Protocol, phase: metrics.PhaseReceive, says: "max_body"},
		{name: "short body", serve: answers("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"), class: metrics.EOF, phase: metrics.PhaseReceive},
		{name: "redirect loop", serve: func(c net.Conn) {
			r := bufio.NewReader(c)
			for {
				if _, err := http.ReadRequest(r); err != nil {
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")
			}
		}, class: metrics.Protocol, phase: metrics.PhaseReceive, says: "redirects"},
		{name: "not TLS", tls: true, serve: func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_, _ = io.WriteString(c, "SSH-2.0-nonsense\r\n")
		}, class: metrics.TLS, phase: metrics.PhaseTLS, says: "does not speak TLS"},
		{name: "hangs up on TLS", tls: true, serve: func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }, class: metrics.TLS, phase: metrics.PhaseTLS, says: "during the handshake"},
		{name: "refuses the handshake", tls: true, serve: func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, "\x15\x03\x03\x00\x02\x02\x28") // a fatal alert, handshake_failure
			_, _ = io.Copy(io.Discard, c)
		}, class: metrics.TLS, phase: metrics.PhaseTLS, says: "the target refused the handshake: handshake failure"},
		{name: "expired certificate", tls: true, serve: secured(certificate(t, "127.0.0.1", now.Add(-48*time.Hour), now.Add(-24*time.Hour))), class: metrics.TLS, phase: metrics.PhaseTLS, says: "expired"},
		{name: "wrong name", tls: true, serve: secured(certificate(t, "other.example", now.Add(-time.Hour), now.Add(time.Hour))), class: metrics.TLS, phase: metrics.PhaseTLS, says: "another name"},
		{name: "TLS that never answers", tls: true, waits: true, serve: func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, class: metrics.TLS, phase: metrics.PhaseTLS},
		{name: "no such name", addr: func() string { return "no-such-host.invalid:80" }, class: metrics.DNS, phase: metrics.PhaseDNS},
		{
			name: "gzip bomb", check: scenario.Check{Contains: []string{"never"}},
			serve: answers(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", bomb.Len(), bomb.String())),
			class: metrics.Protocol, phase: metrics.PhaseReceive,
		},
		{name: "control characters", serve: answers("HTTP/1.1 500 \x1b[2J\r\nX: a\x1b]0;owned\x07b\r\nContent-Length: 9\r\n\r\n\x1b[31mred\x00"), class: metrics.Status, phase: metrics.PhaseReceive},
	}
	for _, portable := range []bool{false, true} {
		for _, tc := range cases {
			t.Run(fmt.Sprintf("%s/portable=%t", tc.name, portable), func(t *testing.T) {
				t.Parallel()
				bad := ""
				if tc.addr != nil {
					bad = tc.addr()
				} else {
					bad = listen(t, tc.serve)
				}
				var served atomic.Int64
				good := listen(t, func(c net.Conn) {
					if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
						served.Add(1)
						_, _ = io.WriteString(c, fine)
					}
				})
				f := get(load.Spec{
					Model: load.Closed, Seed: 1, Iterations: 1, Graceful: 5 * time.Second,
					Profile: load.Profile{Stages: []load.Stage{{For: 20 * time.Second, At: 1}}},
				}, "/", "/good")
				scheme := "http://"
				if tc.tls {
					scheme = "https://"
				}
				f.Target = scheme + bad
				f.Hosts = []string{"127.0.0.1"}
				st := f.Scenarios[0].Steps
				st[0].Check = tc.check
				// Whatever is seen to be wrong is no matter of time, and a handshake is work for a busy machine.
				st[0].HTTP.Timeout, st[0].HTTP.ConnectTimeout = 20*time.Second, 15*time.Second
				if tc.waits {
					st[0].HTTP.Timeout, st[0].HTTP.ConnectTimeout = time.Second, 700*time.Millisecond
				}
				st[0].HTTP.MaxBody, st[0].HTTP.Redirects = 1<<20, 5
				st[1].URL = "http://" + good + "/good"
				began := time.Now()
				o := play(t, f, nil, func(c *Config) { c.Portable = portable; c.Lookup = noNames })
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("it took %v", took)
				}
				var want [metrics.Classes]uint64
				want[tc.class] = 1
				if o.requests != 2 || o.errors != want || o.iterations != 1 || o.failed != 1 || served.Load() != 1 {
					t.Fatalf("%d requests, %d of them to the good target, %d iterations, %d failed, errors %v; want one of class %v and a good one", o.requests, served.Load(), o.iterations, o.failed, o.errors, tc.class)
				}
				e := o.firstError()
				if e.Class != tc.class || e.Phase != tc.phase {
					t.Errorf("class %v in phase %v (%s), want %v in %v", e.Class, e.Phase, e.Message, tc.class, tc.phase)
				}
				if !strings.Contains(e.Message, tc.says) {
					t.Errorf("the message %q does not say %q", e.Message, tc.says)
				}
				if strings.ContainsAny(e.Message+strings.ReplaceAll(e.Example, "\n", ""), "\x1b\x00\x07") {
					t.Errorf("control characters stand in %q / %q", e.Message, e.Example)
				}
			})
		}
	}
}

// noNames is a resolver that knows no name.
func noNames(_ context.Context, host string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// firstError is the first group of errors that an interval holds.
func (o *outcome) firstError() metrics.ErrorCount {
	for _, iv := range o.intervals {
		if len(iv.Errors) > 0 {
			return iv.Errors[0]
		}
	}
	return metrics.ErrorCount{}
}
