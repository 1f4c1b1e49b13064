package loop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestConnIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 192 {
		t.Errorf("a Conn takes %d bytes", n)
	}
}

// TestNoMoreDescriptors wants the limit told by Closed, and the loop to live on.
func TestNoMoreDescriptors(t *testing.T) {
	ep := tcp(t, echo)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}
	var l *Loop
	h := &calls{
		opened: func(*Conn, time.Duration) { l.Stop() },
		closed: func(c *Conn, err error, _ time.Duration) {
			restore()
			var e *Error
			if !errors.As(err, &e) || e.Op != "connect" || !errors.Is(err, unix.EMFILE) {
				t.Errorf("closed: %v", err)
			}
			l.Dial(ep, 0)
		},
	}
	run(t, Options{}, h, func(lp *Loop) {
		l = lp
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}); err != nil {
			t.Error(err)
		}
		l.Dial(ep, 0)
	})
}

// deaf is a loopback address that takes no more connections and refuses none:
// its queue is full, so a SYN gets no answer.
func deaf(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := addrPort(sa)
	for range 3 {
		c, err := net.DialTimeout("tcp", addr.String(), 50*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("this kernel takes more than the queue holds")
	return addr
}

// TestRace tries the second address when the first does not answer.
func TestRace(t *testing.T) {
	hearing := tcp(t, echo).Addr
	for _, spin := range []time.Duration{0, DefaultSpin} {
		var l *Loop
		ep := &Endpoint{Addr: deaf(t), Alt: hearing}
		begun := time.Duration(0)
		h := &calls{
			opened: func(c *Conn, now time.Duration) {
				if c.RemoteAddr() != hearing || now-begun < raceDelay {
					t.Errorf("opened to %v after %v", c.RemoteAddr(), now-begun)
				}
				c.Write([]byte("x"))
			},
			data:   func(*Conn, []byte, time.Duration) { l.Stop() },
			closed: func(_ *Conn, err error, _ time.Duration) { t.Error(err); l.Stop() },
		}
		run(t, Options{Spin: spin}, h, func(lp *Loop) { l = lp; begun = l.Now(); l.Dial(ep, 0) })
	}
}

// TestRaceAbandoned closes while both attempts are under way, and while the
// second is yet to begin.
func TestRaceAbandoned(t *testing.T) {
	var l *Loop
	ep := &Endpoint{Addr: deaf(t), Alt: deaf(t)}
	var conns []*Conn
	h := &calls{
		timer: func(id uint32, now time.Duration) {
			conns[id].Close()
			if id == 1 {
				l.Dial(ep, 0)
				l.Stop()
			}
		},
		closed: func(_ *Conn, err error, _ time.Duration) { t.Error(err) },
	}
	run(t, Options{}, h, func(lp *Loop) {
		l = lp
		conns = append(conns, l.Dial(ep, 0), l.Dial(ep, 0))
		l.SetTimer(0, l.Now()+raceDelay/2)
		l.SetTimer(1, l.Now()+raceDelay*3/2)
	})
}

// TestOldKernel does without epoll_pwait2.
func TestOldKernel(t *testing.T) {
	for _, spin := range []time.Duration{0, DefaultSpin} {
		l, err := New(Options{Spin: spin})
		if err != nil {
			t.Fatal(err)
		}
		l.p.(*epoll).noPwait2 = true
		n := 0
		ep := tcp(t, echo)
		h := &calls{
			opened: func(c *Conn, now time.Duration) { c.Write([]byte("x")); l.SetTimer(0, now+5*time.Millisecond) },
			data:   func(c *Conn, _ []byte, _ time.Duration) { c.Close() },
			timer: func(_ uint32, now time.Duration) {
				if n++; n == 20 {
					l.Stop()
				}
				l.SetTimer(0, now+time.Duration(n)*300*time.Microsecond)
			},
		}
		l.Post(func() { l.Dial(ep, 0) })
		if err := l.Run(h); err != nil {
			t.Fatal(err)
		}
		if n < 20 {
			t.Errorf("%d timers of 20", n)
		}
	}
}

// TestThreadCPU burns CPU on the loop and wants it counted, also after the end,
// and polling told apart.
func TestThreadCPU(t *testing.T) {
	l, err := New(Options{Spin: 2 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := l.ThreadCPU(); ok {
		t.Error("CPU known before Run")
	}
	const burn = 20 * time.Millisecond
	var during time.Duration
	h := &calls{timer: func(uint32, time.Duration) {
		before, _ := l.ThreadCPU()
		for now := before; now < before+burn; now, _ = l.ThreadCPU() {
			runtime.KeepAlive(now)
		}
		during, _ = l.ThreadCPU()
		l.Stop()
	}}
	l.Post(func() { l.SetTimer(0, l.Now()+10*time.Millisecond) })
	if err := l.Run(h); err != nil {
		t.Fatal(err)
	}
	after, ok := l.ThreadCPU()
	if !ok || during < burn || after < during {
		t.Errorf("%v during the run, %v (%v) after it", during, after, ok)
	}
	if p := l.Polled(); p <= 0 || p > 100*time.Millisecond {
		t.Errorf("polled for %v", p)
	}
}

// TestWakeBetweenEvents has a batch of events during which the time of the
// next thing passes: it must not wait for the batch's end.
func TestWakeBetweenEvents(t *testing.T) {
	const n = 20
	greet := make(chan struct{})
	var greeted sync.WaitGroup
	greeted.Add(n)
	ep := tcp(t, func(c net.Conn) {
		<-greet
		_, _ = c.Write([]byte("x"))
		greeted.Done()
		_, _ = io.Copy(io.Discard, c)
	})
	var l *Loop
	opened, log := 0, ""
	next := Never
	h := &calls{
		opened: func(*Conn, time.Duration) {
			if opened++; opened == n {
				close(greet)
				greeted.Wait()
			}
		},
		data: func(_ *Conn, _ []byte, now time.Duration) {
			if log += "d"; log == "d" {
				next = now
			}
			if len(log) > n {
				l.Stop()
			}
		},
		wake: func(now time.Duration) time.Duration {
			if next <= now {
				log += "W"
				next = Never
			}
			if opened == n && log == "" {
				return now // whatever comes, it has passed
			}
			return next
		},
	}
	run(t, Options{}, h, func(lp *Loop) {
		l = lp
		for range n {
			l.Dial(ep, 0)
		}
	})
	if want := fmt.Sprintf("%.2s", log); want != "dW" {
		t.Errorf("order of calls %q", log)
	}
}

// TestSleepsDoNotHoldUpTheWorld stops the world, as a garbage collection does,
// while a loop takes nap after nap past the scheduler, and while it sleeps long.
func TestSleepsDoNotHoldUpTheWorld(t *testing.T) {
	for _, gap := range []time.Duration{2 * time.Millisecond, time.Minute} {
		var l *Loop
		done := make(chan time.Duration, 1)
		h := &calls{timer: func(id uint32, now time.Duration) { l.SetTimer(id, now+gap) }}
		run(t, Options{}, h, func(lp *Loop) {
			l = lp
			l.SetTimer(0, gap)
			go func() {
				worst := time.Duration(0)
				for range 20 {
					began := time.Now()
					runtime.GC()
					worst = max(worst, time.Since(began))
				}
				done <- worst
				l.Stop()
			}()
		})
		// Unhindered it takes a few milliseconds; the machine may be busy.
		if worst := <-done; worst > 5*time.Second {
			t.Errorf("with a timer every %v a collection took %v", gap, worst)
		}
	}
}
