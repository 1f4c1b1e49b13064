package loop

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs h in a bubble of virtual time. Connections are in-memory pipes
// with serve at the other end.
func bubble(t *testing.T, serve func(address string, c net.Conn), h *calls, begin func(l *Loop)) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Portable: true, Epoch: time.Now(), Spin: DefaultSpin}
		o.Dial = func(ctx context.Context, _, address string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				serve(address, far)
			}()
			return near, nil
		}
		l, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		l.Post(func() { begin(l) })
		if err := l.Run(h); err != nil {
			t.Error(err)
		}
	})
}

// TestVirtualWake has 10 000 arrivals at odd times; each must begin at exactly
// its own.
func TestVirtualWake(t *testing.T) {
	var l *Loop
	const n = 10_000
	at := func(i int) time.Duration { return time.Duration(i) * 1_234_567 }
	i := 0
	h := &calls{wake: func(now time.Duration) time.Duration {
		for at(i) <= now {
			if now != at(i) {
				t.Fatalf("arrival %d begun at %v, due at %v", i, now, at(i))
			}
			if i++; i == n {
				l.Stop()
			}
		}
		return at(i)
	}}
	bubble(t, nil, h, func(lp *Loop) { l = lp })
	if i != n {
		t.Errorf("%d arrivals of %d", i, n)
	}
}

// TestVirtualTimers fires each on the first slot not before its time.
func TestVirtualTimers(t *testing.T) {
	var l *Loop
	due := map[uint32]time.Duration{}
	h := &calls{timer: func(id uint32, now time.Duration) {
		want := (due[id] + tick - 1) / tick * tick
		if now != want {
			t.Errorf("timer %d due at %v fired at %v, want %v", id, due[id], now, want)
		}
		if delete(due, id); len(due) == 0 {
			l.Stop()
		}
	}}
	bubble(t, nil, h, func(lp *Loop) {
		l = lp
		for id := range uint32(500) {
			at := time.Duration(id) * time.Duration(id) * 321_987
			due[id] = at
			l.SetTimer(id, 3*at)
			l.SetTimer(id, at)
		}
		l.SetTimer(7, time.Hour)
		l.CancelTimer(7)
		delete(due, 7)
	})
}

// TestVirtualExchange measures an answer that takes exactly 40 ms.
func TestVirtualExchange(t *testing.T) {
	var l *Loop
	var sent time.Duration
	n := 0
	serve := func(_ string, c net.Conn) {
		b := make([]byte, 100)
		for {
			k, err := c.Read(b)
			if err != nil {
				return
			}
			time.Sleep(40 * time.Millisecond)
			if _, err := c.Write(b[:k]); err != nil {
				return
			}
		}
	}
	h := &calls{
		opened: func(c *Conn, now time.Duration) {
			sent = now
			c.Write([]byte("request"))
		},
		data: func(c *Conn, b []byte, now time.Duration) {
			if string(b) != "request" || now-sent != 40*time.Millisecond {
				t.Errorf("%q after %v", b, now-sent)
			}
			if n++; n == 1000 {
				l.Stop()
				return
			}
			sent = now
			c.Write([]byte("request"))
		},
		closed: func(_ *Conn, err error, _ time.Duration) { t.Error(err); l.Stop() },
	}
	bubble(t, serve, h, func(lp *Loop) { l = lp; l.Dial(&Endpoint{}, 0) })
}

// TestVirtualTLS has handshakes in the bubble, more than may compute at once,
// with a server that takes its time.
func TestVirtualTLS(t *testing.T) {
	// In a bubble it is the year 2000.
	start := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	server, client := identity(t, start, start.AddDate(20, 0, 0))
	serve := func(_ string, c net.Conn) {
		time.Sleep(100 * time.Millisecond)
		tc := tls.Server(c, server)
		_, _ = io.Copy(tc, tc)
	}
	var l *Loop
	const n = 20
	echoed := 0
	h := &calls{
		opened: func(c *Conn, now time.Duration) {
			if now != 100*time.Millisecond {
				t.Errorf("opened at %v", now)
			}
			c.Write([]byte("hello"))
		},
		data: func(c *Conn, b []byte, _ time.Duration) {
			if c.Close(); string(b) == "hello" {
				echoed++
			}
			if echoed == n {
				l.Stop()
			}
		},
		closed: func(_ *Conn, err error, _ time.Duration) { t.Error(err); l.Stop() },
	}
	bubble(t, serve, h, func(lp *Loop) {
		l = lp
		for range n {
			l.Dial(&Endpoint{TLS: client}, 0)
		}
	})
	if echoed != n {
		t.Errorf("%d of %d echoed", echoed, n)
	}
}

// TestVirtualRace gives the first address 250 ms before the second is tried.
func TestVirtualRace(t *testing.T) {
	slow, quick := netip.MustParseAddrPort("[::1]:1"), netip.MustParseAddrPort("127.0.0.1:2")
	for _, v := range []struct {
		name   string
		takes  map[string]time.Duration // to connect; below 0: fails after as long
		opened time.Duration
	}{
		{"first at once", map[string]time.Duration{"[::1]:1": 0, "127.0.0.1:2": 0}, 0},
		{"first in time", map[string]time.Duration{"[::1]:1": 249 * time.Millisecond, "127.0.0.1:2": 0}, 249 * time.Millisecond},
		{"second wins", map[string]time.Duration{"[::1]:1": time.Hour, "127.0.0.1:2": 5 * time.Millisecond}, 255 * time.Millisecond},
		{"first wins late", map[string]time.Duration{"[::1]:1": 300 * time.Millisecond, "127.0.0.1:2": time.Hour}, 300 * time.Millisecond},
		{"first fails", map[string]time.Duration{"[::1]:1": -10 * time.Millisecond, "127.0.0.1:2": 5 * time.Millisecond}, 15 * time.Millisecond},
		{"both fail", map[string]time.Duration{"[::1]:1": -10 * time.Millisecond, "127.0.0.1:2": -5 * time.Millisecond}, -15 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := Options{Portable: true, Epoch: time.Now()}
			o.Dial = func(ctx context.Context, _, address string) (net.Conn, error) {
				d := v.takes[address]
				select {
				case <-time.After(max(d, -d)):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
				if d < 0 {
					return nil, syscall.ECONNREFUSED
				}
				near, far := net.Pipe()
				far.Close()
				return near, nil
			}
			l, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			h := &calls{
				opened: func(c *Conn, now time.Duration) {
					if now != v.opened || c.ConnectedAt() != now {
						t.Errorf("%s: opened at %v, want %v", v.name, now, v.opened)
					}
					c.Close()
					l.Stop()
				},
				closed: func(_ *Conn, err error, now time.Duration) {
					if now != -v.opened {
						t.Errorf("%s: closed at %v: %v", v.name, now, err)
					}
					l.Stop()
				},
			}
			l.Post(func() { l.Dial(&Endpoint{Addr: slow, Alt: quick}, 0) })
			if err := l.Run(h); err != nil {
				t.Error(err)
			}
		})
	}
}
