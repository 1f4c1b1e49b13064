package loop

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
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
// its queue is full, so a SYN gets no answer. That it is full the kernel says:
// of a listening socket TCP_INFO has the connections that wait to be accepted in
// tcpi_unacked and how many more than that may wait in tcpi_sacked (net/ipv4/tcp.c,
// tcp_get_info).
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
	for range 50 {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			t.Skipf("this kernel does not tell what waits at a socket: %v", err)
		}
		if info.Unacked > info.Sacked {
			return addr
		}
		// No answer may mean that the queue is full, or that the machine is busy.
		if c, err := net.DialTimeout("tcp", addr.String(), 200*time.Millisecond); err == nil {
			t.Cleanup(func() { c.Close() })
		}
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

// TestRacesThatAreOverAreForgotten never lets the list of races become empty,
// as a far target does to which connections are made all the time.
func TestRacesThatAreOverAreForgotten(t *testing.T) {
	var l *Loop
	run(t, Options{}, &calls{}, func(lp *Loop) {
		l = lp
		p := l.p.(*epoll)
		const undecided = 10
		var running []*race
		for range 10_000 {
			c := &Conn{l: l, fd: -1}
			c.race = &race{c: c, at: l.Now() + time.Hour, fd: -1}
			p.enter(c.race)
			running = append(running, c.race)
			if len(running) > undecided {
				running[0].c.race = nil
				running = running[1:]
			}
			if next := p.startRaces(); next != running[0].at {
				t.Fatalf("the next race is at %v, want %v", next, running[0].at)
			}
		}
		if n := cap(p.races); n > 100 {
			t.Errorf("%d races are remembered, of which %d are undecided", n, undecided)
		}
		l.Stop()
	})
}

// TestOldKernel does without epoll_pwait2. What its coarse sleep leaves of the
// time is polled, and not filled with turns that have nothing to do.
func TestOldKernel(t *testing.T) {
	for _, spin := range []time.Duration{0, DefaultSpin} {
		var l *Loop
		n, turns := 0, 0
		ep := tcp(t, echo)
		h := &calls{
			wake:   func(time.Duration) time.Duration { turns++; return Never },
			opened: func(c *Conn, now time.Duration) { c.Write([]byte("x")); l.SetTimer(0, now+5*time.Millisecond) },
			data:   func(c *Conn, _ []byte, _ time.Duration) { c.Close() },
			timer: func(_ uint32, now time.Duration) {
				if n++; n == 20 {
					l.Stop()
				}
				l.SetTimer(0, now+time.Duration(n)*300*time.Microsecond)
			},
		}
		run(t, Options{Spin: spin}, h, func(lp *Loop) {
			l = lp
			l.p.(*epoll).noPwait2 = true
			l.Dial(ep, 0)
		})
		if n < 20 || turns > 1000 {
			t.Errorf("%d timers of 20 in %d turns", n, turns)
		}
	}
}

// TestThreadCPU burns CPU on the loop and wants it counted, also after the end,
// and polling told apart. A thread that a busy machine wakes late finds nothing
// to poll for, so timers are set until one was not late.
func TestThreadCPU(t *testing.T) {
	const spin, burn = 2 * time.Millisecond, 20 * time.Millisecond
	l, err := New(Options{Spin: spin})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := l.ThreadCPU(); ok {
		t.Error("CPU known before Run")
	}
	var during time.Duration
	h := &calls{timer: func(id uint32, _ time.Duration) {
		if during == 0 {
			before, _ := l.ThreadCPU()
			for now := before; now < before+burn; now, _ = l.ThreadCPU() {
				runtime.KeepAlive(now)
			}
			during, _ = l.ThreadCPU()
		}
		if l.Polled() > 0 {
			l.Stop()
		}
		l.SetTimer(id, l.Now()+2*spin)
	}}
	l.Post(func() { l.SetTimer(0, 0) })
	serve(t, l, h)
	after, ok := l.ThreadCPU()
	if !ok || during < burn || after < during {
		t.Errorf("%v during the run, %v (%v) after it", during, after, ok)
	}
	// The last timer was the first that was polled for, after at most 2 spins and a tick.
	if p := l.Polled(); p <= 0 || p > 2*spin+tick {
		t.Errorf("polled for %v", p)
	}
}

// TestPolledIsCPU takes the loop's processor away while it polls, again and
// again: what another thread ran meanwhile is not the loop's polling.
func TestPolledIsCPU(t *testing.T) {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Skipf("which processors may be used is not known: %v", err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	runtime.LockOSThread() // the loop's thread is to be given back as it was
	defer runtime.UnlockOSThread()
	var stop atomic.Bool
	var other sync.WaitGroup
	other.Go(func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			t.Error(err)
		}
		for !stop.Load() {
			runtime.KeepAlive(&stop)
		}
	})
	defer other.Wait()
	defer stop.Store(true)

	const long = 100 * time.Millisecond
	var l *Loop
	h := &calls{timer: func(id uint32, now time.Duration) {
		if cpu, _ := l.ThreadCPU(); cpu > long {
			l.Stop()
		}
		l.SetTimer(id, now+long)
	}}
	run(t, Options{Spin: time.Second}, h, func(lp *Loop) {
		l = lp
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			t.Error(err)
		}
		l.SetTimer(0, l.Now()+long)
	})
	if err := unix.SchedSetaffinity(0, &all); err != nil {
		t.Error(err)
	}
	cpu, _ := l.ThreadCPU()
	if p := l.Polled(); p <= 0 || p > cpu {
		t.Errorf("polled for %v in %v of CPU", p, cpu)
	}
}

// TestWakeBetweenEvents has a batch of events during which the time of the
// next thing passes: it must not wait for the batch's end.
func TestWakeBetweenEvents(t *testing.T) {
	const n = 20
	ep, greet := greeting(t, n)
	var l *Loop
	opened, log := 0, ""
	next := Never
	h := &calls{
		opened: func(*Conn, time.Duration) {
			if opened++; opened == n {
				greet()
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

// TestUsable has an answer that is followed by the end of the connection, and
// looks when both have come.
func TestUsable(t *testing.T) {
	for _, reset := range []bool{false, true} {
		ended := make(chan struct{})
		ep := tcp(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_, _ = c.Write([]byte("answer"))
			if reset {
				_ = c.(*net.TCPConn).SetLinger(0)
			}
			c.Close()
			close(ended)
		})
		var l *Loop
		h := &calls{
			opened: func(c *Conn, _ time.Duration) {
				if !c.Usable() {
					t.Error("not usable when opened")
				}
				c.Write([]byte("x"))
				<-ended
				if reset {
					c.Write([]byte("x")) // which fails
				}
			},
			data: func(c *Conn, _ []byte, _ time.Duration) {
				if c.Usable() {
					t.Errorf("reset %v: usable though it has ended", reset)
				}
			},
			closed: func(*Conn, error, time.Duration) { l.Stop() },
		}
		run(t, Options{}, h, func(lp *Loop) { l = lp; l.Dial(ep, 0) })
	}
}

// TestWakeBetweenFailures has connections that fail at once, of which the first
// makes something due.
func TestWakeBetweenFailures(t *testing.T) {
	const n = 20
	var l *Loop
	log, next := "", Never
	h := &calls{
		closed: func(_ *Conn, _ error, now time.Duration) {
			if log += "c"; log == "c" {
				next = now
			}
			if strings.Count(log, "c") == n {
				l.Stop()
			}
		},
		wake: func(now time.Duration) time.Duration {
			if next <= now {
				log += "W"
				next = Never
			}
			if log == "" {
				return now // whatever comes, it has passed
			}
			return next
		},
	}
	run(t, Options{}, h, func(lp *Loop) {
		l = lp
		for range n {
			l.Dial(&Endpoint{}, 0)
		}
	})
	if want := fmt.Sprintf("%.2s", log); want != "cW" {
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
