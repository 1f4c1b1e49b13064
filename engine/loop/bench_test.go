package loop

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"
)

const (
	benchRequest = "GET / HTTP/1.1\r\nHost: target.test\r\n\r\n"
	benchConns   = 64
)

// pingPong keeps one request in flight on each of 64 connections until b.N
// have been answered. The echoing server takes its share of the machine, so the
// times compare only with each other; the allocations are all of the loop's,
// since the server makes none.
func pingPong(b *testing.B, o Options, ep *Endpoint) {
	b.ReportAllocs()
	var l *Loop
	opened, sent, answered := 0, 0, 0
	conns := make([]*Conn, 0, benchConns)
	request := []byte(benchRequest)
	h := &calls{
		opened: func(c *Conn, now time.Duration) {
			conns = append(conns, c)
			if opened++; opened < benchConns {
				return
			}
			b.ResetTimer()
			for i, c := range conns {
				if sent < b.N {
					sent++
					l.SetTimer(uint32(i), now+30*time.Second)
					c.Write(request)
				}
			}
		},
		data: func(c *Conn, p []byte, now time.Duration) {
			if answered++; answered == b.N {
				b.StopTimer()
				l.Stop()
				return
			}
			if sent < b.N {
				sent++
				l.SetTimer(c.Owner, now+30*time.Second)
				c.Write(request)
			}
		},
		closed: func(_ *Conn, err error, _ time.Duration) { b.Error(err); l.Stop() },
	}
	run(b, o, h, func(lp *Loop) {
		l = lp
		for i := range benchConns {
			l.Dial(ep, uint32(i))
		}
	})
	if cpu, ok := l.ThreadCPU(); ok {
		b.ReportMetric(float64(cpu-l.Polled())/float64(b.N), "cpu-ns/op")
	}
}

// benchEcho answers with what it got, without allocating.
func benchEcho(c net.Conn) {
	_ = c.SetDeadline(time.Time{})
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

func BenchmarkPingPong(b *testing.B) {
	ep := tcp(b, benchEcho)
	b.Run("native", func(b *testing.B) { pingPong(b, Options{Spin: DefaultSpin}, ep) })
	b.Run("portable", func(b *testing.B) { pingPong(b, Options{Portable: true}, ep) })
}

func BenchmarkPingPongTLS(b *testing.B) {
	server, client := valid(b)
	ep := secured(b, server, func(c *tls.Conn) {
		_ = c.SetDeadline(time.Time{})
		_, _ = io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{c}, make([]byte, 4096))
	})
	ep.TLS = client
	b.Run("native", func(b *testing.B) { pingPong(b, Options{Spin: DefaultSpin}, ep) })
	b.Run("portable", func(b *testing.B) { pingPong(b, Options{Portable: true}, ep) })
}

// BenchmarkDial is a connection for each request: dial, open, reset.
func BenchmarkDial(b *testing.B) {
	b.ReportAllocs()
	ep := tcp(b, func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) })
	var l *Loop
	n := 0
	h := &calls{
		opened: func(c *Conn, _ time.Duration) {
			c.Reset()
			if n++; n == b.N {
				l.Stop()
				return
			}
			l.Dial(ep, 0)
		},
		closed: func(_ *Conn, err error, _ time.Duration) { b.Error(err); l.Stop() },
	}
	run(b, Options{}, h, func(lp *Loop) { l = lp; l.Dial(ep, 0) })
}

// BenchmarkLateness has 2000 arrivals a second begun by Wake and reports how
// late they were.
func BenchmarkLateness(b *testing.B) {
	for _, v := range []struct {
		name string
		spin time.Duration
	}{{"spin", DefaultSpin}, {"sleep", 0}} {
		b.Run(v.name, func(b *testing.B) {
			var l *Loop
			var late time.Duration
			const gap = 500 * time.Microsecond
			next, n := Never, 0
			h := &calls{wake: func(now time.Duration) time.Duration {
				for next <= now {
					late += now - next
					next += gap
					if n++; n == b.N {
						l.Stop()
					}
				}
				return next
			}}
			run(b, Options{Spin: v.spin}, h, func(lp *Loop) { l = lp; next = l.Now() + gap })
			b.ReportMetric(float64(late)/float64(b.N), "late-ns/op")
		})
	}
}
