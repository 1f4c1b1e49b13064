package loop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// calls is a Handler made of functions; those left nil do nothing.
type calls struct {
	wake   func(now time.Duration) time.Duration
	timer  func(id uint32, now time.Duration)
	opened func(c *Conn, now time.Duration)
	data   func(c *Conn, b []byte, now time.Duration)
	closed func(c *Conn, err error, now time.Duration)
}

func (h *calls) Wake(now time.Duration) time.Duration {
	if h.wake == nil {
		return Never
	}
	return h.wake(now)
}

func (h *calls) Timer(id uint32, now time.Duration) {
	if h.timer != nil {
		h.timer(id, now)
	}
}

func (h *calls) Opened(c *Conn, now time.Duration) {
	if h.opened != nil {
		h.opened(c, now)
	}
}

func (h *calls) Data(c *Conn, b []byte, now time.Duration) {
	if h.data != nil {
		h.data(c, b, now)
	}
}

func (h *calls) Closed(c *Conn, err error, now time.Duration) {
	if h.closed != nil {
		h.closed(c, err, now)
	}
}

// onBoth runs test over the epoll poller, where there is one, with and without
// polling, and over the portable one.
func onBoth(t *testing.T, test func(t *testing.T, o Options)) {
	for _, v := range []struct {
		name string
		o    Options
	}{
		{"native", Options{Spin: DefaultSpin}},
		{"native without spin", Options{}},
		{"portable", Options{Portable: true}},
	} {
		t.Run(v.name, func(t *testing.T) { test(t, v.o) })
	}
}

// run starts with begin on the loop's goroutine and serves h until something
// calls Stop. A run that hangs is stopped and fails.
func run(t testing.TB, o Options, h *calls, begin func(l *Loop)) {
	t.Helper()
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l.Post(func() { begin(l) })
	serve(t, l, h)
}

// serve is run without the beginning.
func serve(t testing.TB, l *Loop, h *calls) {
	t.Helper()
	hung := time.AfterFunc(20*time.Second, func() {
		t.Error("the loop did not stop within 20 s")
		l.Stop()
	})
	defer hung.Stop()
	if err := l.Run(h); err != nil {
		t.Fatal(err)
	}
}

// listen serves every connection to a new loopback listener with serve, in a
// goroutine each; all have ended when the test has.
func listen(t testing.TB, network, address string, serve func(net.Conn)) net.Addr {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		all.Wait()
	})
	return ln.Addr()
}

func tcp(t testing.TB, serve func(net.Conn)) *Endpoint {
	t.Helper()
	return &Endpoint{Addr: listen(t, "tcp", "127.0.0.1:0", serve).(*net.TCPAddr).AddrPort()}
}

func echo(c net.Conn) { _, _ = io.Copy(c, c) }

// refusing is an address where nothing listens.
func refusing(t testing.TB) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// pattern is n bytes in which a lost or doubled piece shows.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8*13 + i>>16*31)
	}
	return b
}

func TestEcho(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		var l *Loop
		var got []byte
		ep := tcp(t, echo)
		h := &calls{
			opened: func(c *Conn, now time.Duration) {
				if c.Owner != 7 || c.ConnectedAt() <= 0 || c.ConnectedAt() > now || c.SecuredAt() != 0 || c.TLSState() != nil {
					t.Errorf("opened %+v at %v", c, now)
				}
				if c.RemoteAddr() != ep.Addr || c.LocalAddr().Addr() != ep.Addr.Addr() {
					t.Errorf("opened from %v to %v, want to %v", c.LocalAddr(), c.RemoteAddr(), ep.Addr)
				}
				c.Write([]byte("hello"))
			},
			data: func(c *Conn, b []byte, now time.Duration) {
				got = append(got, b...)
				if len(got) == len("hello") {
					if o.Portable == false && (c.Pending() != 0 || c.FlushedAt() <= 0 || c.FlushedAt() > now) {
						t.Errorf("%d bytes pending, flushed at %v of %v", c.Pending(), c.FlushedAt(), now)
					}
					c.Close()
					c.Close()
					c.Write([]byte("nobody"))
					l.Stop()
				}
			},
			closed: func(_ *Conn, err error, _ time.Duration) { t.Errorf("closed: %v", err) },
		}
		run(t, o, h, func(lp *Loop) { l = lp; l.Dial(ep, 7) })
		if string(got) != "hello" {
			t.Errorf("got %q", got)
		}
	})
}

// TestManySmallWrites sends before the connection stands and in pieces.
func TestManySmallWrites(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		var l *Loop
		want := pattern(20_000)
		var got []byte
		h := &calls{
			opened: func(c *Conn, _ time.Duration) {
				for i := 1000; i < len(want); i += 10 {
					c.Write(want[i : i+10])
				}
			},
			data: func(_ *Conn, b []byte, _ time.Duration) {
				if got = append(got, b...); len(got) == len(want) {
					l.Stop()
				}
			},
		}
		run(t, o, h, func(lp *Loop) {
			l = lp
			c := l.Dial(tcp(t, echo), 0)
			c.Write(want[:600])
			c.Write(want[600:1000])
			if c.Pending() != 1000 {
				t.Errorf("%d bytes pending, want 1000", c.Pending())
			}
		})
		if !bytes.Equal(got, want) {
			t.Error("what came back is not what was sent")
		}
	})
}

// TestBigTransfer pushes 8 MiB into a server that first does not read, and
// takes them back.
func TestBigTransfer(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		var l *Loop
		want := pattern(8 << 20)
		read := make(chan struct{})
		ep := tcp(t, func(c net.Conn) {
			<-read
			b, err := io.ReadAll(io.LimitReader(c, int64(len(want))))
			if err != nil {
				t.Error(err)
			}
			_, _ = c.Write(b)
		})
		var got []byte
		h := &calls{
			opened: func(c *Conn, _ time.Duration) {
				c.Write(want[:5<<20])
				if c.Pending() == 0 {
					t.Error("5 MiB went to a server that does not read")
				}
				c.Write(want[5<<20:])
				close(read)
			},
			data: func(_ *Conn, b []byte, _ time.Duration) { got = append(got, b...) },
			closed: func(c *Conn, err error, _ time.Duration) {
				if err != io.EOF || c.Pending() != 0 {
					t.Errorf("closed: %v with %d bytes pending", err, c.Pending())
				}
				l.Stop()
			},
		}
		run(t, o, h, func(lp *Loop) { l = lp; l.Dial(ep, 0) })
		if !bytes.Equal(got, want) {
			t.Errorf("got %d bytes, not the %d sent", len(got), len(want))
		}
	})
}

func TestRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		var l *Loop
		dialing, n := false, 0
		h := &calls{closed: func(c *Conn, err error, _ time.Duration) {
			var e *Error
			if !errors.As(err, &e) || e.Op != "connect" || runtime.GOOS != "windows" && !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("closed: %v", err)
			}
			if dialing {
				t.Error("closed from inside Dial")
			}
			if n++; n == 2 {
				l.Stop()
			}
		}}
		run(t, o, h, func(lp *Loop) {
			l = lp
			dialing = true
			l.Dial(&Endpoint{Addr: refusing(t)}, 0)
			l.Dial(&Endpoint{Addr: refusing(t)}, 0).Write([]byte("x"))
			dialing = false
		})
	})
}

func TestReset(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		var l *Loop
		h := &calls{
			opened: func(c *Conn, _ time.Duration) { c.Write([]byte("x")) },
			closed: func(_ *Conn, err error, _ time.Duration) {
				var e *Error
				if !errors.As(err, &e) || e.Op != "read" || runtime.GOOS != "windows" && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("closed: %v", err)
				}
				l.Stop()
			},
		}
		ep := tcp(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_ = c.(*net.TCPConn).SetLinger(0)
		})
		run(t, o, h, func(lp *Loop) { l = lp; l.Dial(ep, 0) })
	})
}

// TestResetByUs sees Reset arrive at the server as a RST.
func TestResetByUs(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		var l *Loop
		seen := make(chan error, 1)
		ep := tcp(t, func(c net.Conn) {
			_, _ = c.Write([]byte("x"))
			_, err := c.Read(make([]byte, 1))
			seen <- err
		})
		h := &calls{data: func(c *Conn, _ []byte, _ time.Duration) { c.Reset(); l.Stop() }}
		run(t, o, h, func(lp *Loop) { l = lp; l.Dial(ep, 0) })
		if err := <-seen; runtime.GOOS != "windows" && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the server saw %v", err)
		}
	})
}

// TestHalfClose wants all that was sent before the end, then the end, once.
func TestHalfClose(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		for _, size := range []int{0, 1, readSize - 1, readSize, readSize + 1, 3 * turnBytes} {
			var l *Loop
			want := pattern(size)
			ep := tcp(t, func(c net.Conn) {
				_, _ = c.Write(want)
				_ = c.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, c)
			})
			var got []byte
			ends := 0
			h := &calls{
				data: func(_ *Conn, b []byte, _ time.Duration) { got = append(got, b...) },
				closed: func(_ *Conn, err error, _ time.Duration) {
					if err != io.EOF {
						t.Errorf("closed: %v", err)
					}
					ends++
					l.Stop()
				},
			}
			run(t, o, h, func(lp *Loop) { l = lp; l.Dial(ep, 0) })
			if ends != 1 || !bytes.Equal(got, want) {
				t.Errorf("got %d bytes of %d and %d ends", len(got), len(want), ends)
			}
		}
	})
}

// TestAnswerBeforeError writes into a connection that the server has answered
// and reset: the answer must come before the error.
func TestAnswerBeforeError(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems drop what a RST overtakes")
	}
	want := pattern(2*portableRead + 1) // in pieces for some readers
	onBoth(t, func(t *testing.T, o Options) {
		reset := make(chan struct{})
		ep := tcp(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_, _ = c.Write(want)
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
			close(reset)
		})
		var l *Loop
		var got []byte
		h := &calls{
			opened: func(c *Conn, now time.Duration) {
				c.Write([]byte("x"))
				<-reset
				c.Write([]byte("y"))
				if len(got) > 0 {
					t.Error("data from inside Write")
				}
			},
			data: func(_ *Conn, b []byte, _ time.Duration) { got = append(got, b...) },
			closed: func(_ *Conn, err error, _ time.Duration) {
				var e *Error
				if !errors.As(err, &e) || e.Op != "write" && e.Op != "read" {
					t.Errorf("closed: %v", err)
				}
				l.Stop()
			},
		}
		run(t, o, h, func(lp *Loop) { l = lp; l.Dial(ep, 0) })
		if !bytes.Equal(got, want) {
			t.Errorf("got %d bytes of %d before the end", len(got), len(want))
		}
	})
}

// TestCloseInside closes from every callback and wants silence afterwards.
func TestCloseInside(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		ep := tcp(t, func(c net.Conn) {
			_, _ = c.Write(pattern(300_000))
			echo(c)
		})
		for _, where := range []string{"dial", "opened", "data", "timer", "wake", "closed"} {
			var l *Loop
			var c *Conn
			ended, after := false, 0
			end := func(now time.Duration) {
				if !ended {
					c.Close()
					ended = true
					l.SetTimer(1, now+20*time.Millisecond)
				}
			}
			h := &calls{
				wake: func(now time.Duration) time.Duration {
					if where == "wake" && c != nil && c.ConnectedAt() > 0 {
						end(now)
					}
					return Never
				},
				opened: func(c *Conn, now time.Duration) {
					if ended {
						after++
					}
					switch where {
					case "opened":
						c.Write([]byte("x"))
						end(now)
					case "timer":
						l.SetTimer(0, now+time.Millisecond)
					case "closed":
						l.Dial(&Endpoint{Addr: refusing(t)}, 1)
					}
				},
				data: func(_ *Conn, _ []byte, now time.Duration) {
					if ended {
						after++
					}
					if where == "data" {
						end(now)
					}
				},
				closed: func(d *Conn, err error, now time.Duration) {
					if d == c {
						t.Errorf("%s: closed: %v", where, err)
					}
					d.Close()
					end(now)
				},
				timer: func(id uint32, now time.Duration) {
					if id == 1 {
						l.Stop()
						return
					}
					end(now)
				},
			}
			run(t, o, h, func(lp *Loop) {
				l = lp
				c = l.Dial(ep, 0)
				if where == "dial" {
					end(l.Now())
				}
			})
			if !ended || after > 0 {
				t.Errorf("close in %s: done %v, then %d calls", where, ended, after)
			}
		}
	})
}

// TestStaleEvents has a batch of events of which the first closes all other
// connections and dials anew, so that descriptors and places are used again
// while their old events are still to be handled.
func TestStaleEvents(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		const n = 40
		var l *Loop
		var greeted sync.WaitGroup
		greeted.Add(n)
		greet := make(chan struct{})
		old := tcp(t, func(c net.Conn) {
			<-greet
			_, _ = c.Write([]byte("old"))
			greeted.Done()
			_, _ = io.Copy(io.Discard, c)
		})
		fresh := tcp(t, echo)
		conns := map[*Conn]bool{}
		opened, echoed := 0, 0
		h := &calls{
			opened: func(c *Conn, _ time.Duration) {
				if c.Owner == 2 {
					c.Write([]byte("new"))
					return
				}
				if opened++; opened == n {
					// All greetings are sent before the loop looks again.
					close(greet)
					greeted.Wait()
				}
			},
			data: func(c *Conn, b []byte, _ time.Duration) {
				switch {
				case c.Owner == 2 && string(b) == "new":
					if echoed++; echoed == n {
						l.Stop()
					}
				case c.Owner == 1 && conns[c] && string(b) == "old":
					for c := range conns {
						c.Close()
						delete(conns, c)
						l.Dial(fresh, 2)
					}
				default:
					t.Errorf("%q for owner %d", b, c.Owner)
				}
			},
			closed: func(c *Conn, err error, _ time.Duration) { t.Errorf("owner %d closed: %v", c.Owner, err) },
		}
		run(t, o, h, func(lp *Loop) {
			l = lp
			for range n {
				conns[l.Dial(old, 1)] = true
			}
		})
		if echoed != n {
			t.Errorf("%d of %d new connections echoed", echoed, n)
		}
	})
}

func TestUnixSocket(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("file names of sockets differ")
	}
	onBoth(t, func(t *testing.T, o Options) {
		path := filepath.Join(t.TempDir(), "s")
		listen(t, "unix", path, echo)
		var l *Loop
		got := ""
		h := &calls{
			opened: func(c *Conn, _ time.Duration) {
				if c.LocalAddr().IsValid() || c.RemoteAddr().IsValid() {
					t.Error("a unix socket has an address")
				}
				c.Write([]byte("hello"))
			},
			data:   func(_ *Conn, b []byte, _ time.Duration) { got += string(b); l.Stop() },
			closed: func(_ *Conn, err error, _ time.Duration) { t.Error(err); l.Stop() },
		}
		run(t, o, h, func(lp *Loop) { l = lp; l.Dial(&Endpoint{Path: path}, 0) })
		if got != "hello" {
			t.Errorf("got %q", got)
		}
	})
}

func TestSource(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8 without setup")
	}
	onBoth(t, func(t *testing.T, o Options) {
		seen := make(chan string, 1)
		ep := tcp(t, func(c net.Conn) {
			seen <- c.RemoteAddr().String()
			_, _ = io.Copy(io.Discard, c)
		})
		ep.Source = netip.MustParseAddr("127.0.0.9")
		var l *Loop
		h := &calls{
			opened: func(c *Conn, _ time.Duration) {
				if got, want := <-seen, c.LocalAddr().String(); got != want || c.LocalAddr().Addr() != ep.Source {
					t.Errorf("came from %s, and the loop says %s", got, want)
				}
				l.Stop()
			},
			closed: func(_ *Conn, err error, _ time.Duration) { t.Error(err); l.Stop() },
		}
		run(t, o, h, func(lp *Loop) { l = lp; l.Dial(ep, 0) })
	})
}

// TestAlt goes to the second address when the first refuses.
func TestAlt(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		for _, v := range []struct {
			name     string
			addr     netip.AddrPort
			alt      netip.AddrPort
			wantOpen bool
		}{
			{"first refuses", refusing(t), tcp(t, echo).Addr, true},
			{"second refuses", tcp(t, echo).Addr, refusing(t), true},
			{"both refuse", refusing(t), refusing(t), false},
		} {
			var l *Loop
			opened := false
			h := &calls{
				opened: func(c *Conn, _ time.Duration) { opened = true; c.Close(); l.Stop() },
				closed: func(_ *Conn, err error, _ time.Duration) { l.Stop() },
			}
			run(t, o, h, func(lp *Loop) { l = lp; l.Dial(&Endpoint{Addr: v.addr, Alt: v.alt}, 0) })
			if opened != v.wantOpen {
				t.Errorf("%s: opened %v", v.name, opened)
			}
		}
	})
}

// greeting is a server that says a byte on each of n connections: greet lets it,
// and returns when it has.
func greeting(t *testing.T, n int) (ep *Endpoint, greet func()) {
	may := make(chan struct{})
	var said sync.WaitGroup
	said.Add(n)
	ep = tcp(t, func(c net.Conn) {
		<-may
		_, _ = c.Write([]byte("x"))
		said.Done()
		_, _ = io.Copy(io.Discard, c)
	})
	return ep, func() {
		close(may)
		said.Wait()
	}
}

// TestAnswersGoBeforeLateTimers keeps the loop from running until all timers
// are late and all answers are there: none of them is out of time.
func TestAnswersGoBeforeLateTimers(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		const n = 600 // more than are looked at at once
		ep, greet := greeting(t, n)
		var l *Loop
		opened, answered, late := 0, 0, 0
		stand := func() {
			for id := range uint32(n) {
				l.SetTimer(id, l.Now()+time.Millisecond)
			}
			greet()
			mail := func() int {
				l.mu.Lock()
				defer l.mu.Unlock()
				return len(l.mail)
			}
			for o.Portable && mail() < n { // its readers are goroutines of their own
				time.Sleep(time.Millisecond)
			}
			time.Sleep(2 * overdue)
		}
		h := &calls{
			opened: func(*Conn, time.Duration) {
				if opened++; opened == n {
					l.Post(stand)
				}
			},
			data: func(c *Conn, _ []byte, _ time.Duration) {
				l.CancelTimer(c.Owner)
				if answered++; answered == n {
					l.Stop()
				}
			},
			timer: func(uint32, time.Duration) { late++ },
		}
		run(t, o, h, func(lp *Loop) {
			l = lp
			for id := range uint32(n) {
				l.Dial(ep, id)
			}
		})
		if answered != n || late > 0 {
			t.Errorf("%d answers of %d, %d timers before them", answered, n, late)
		}
	})
}
