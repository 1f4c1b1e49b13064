package peer

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"lt/engine/limits"
	"lt/peer/wire"
)

// The codes with which the process of a peer ends.
const (
	ExitDone     = 0
	ExitLapsed   = 75 // its lease was over, or a backstop ended it
	ExitProtocol = 76
	ExitPolicy   = 77
)

// ExitError is why the process of a peer ends, with its code.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string { return e.Err.Error() }
func (e *ExitError) Unwrap() error { return e.Err }

func exit(code int, format string, args ...any) error {
	return &ExitError{code, fmt.Errorf(format, args...)}
}

// The codes of a Welcome that refuses.
const (
	codeVersion = "version"
	codeNoRun   = "no-such-run"
	codeLost    = "unreachable" // the process may be there
	codeToken   = "token"
)

// ServeConfig is what surrounds the remote side. The zero value serves one session, which cannot be taken up again.
type ServeConfig struct {
	Version string
	Build   string       // sha256 of the program, hex; empty: unknown
	Policy  *wire.Policy // what the owner of this machine allows; nil: everything
	Runs    Rendezvous   // where the process is found again after its session broke; nil: nowhere
	// Exit ends the process at once, whatever it is doing: the last backstop. Nil is os.Exit.
	Exit func(code int)

	// What a test replaces. Clock is monotonic and goes on while the machine sleeps; Dial and Lookup are the engine's sockets
	// and resolver. Nil is the system's.
	Clock    func() time.Duration
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Lookup   func(ctx context.Context, host string) ([]netip.Addr, error)
	Portable bool
	Shards   int // zero: as many as the load needs
}

// hello introduces this process.
func (c *ServeConfig) hello() wire.Hello {
	h := limits.Facts()
	host, _ := os.Hostname()
	where, processes := machine()
	return wire.Hello{
		Proto: [2]int{wire.MinProto, wire.Proto}, Version: c.Version, Build: c.Build, OS: runtime.GOOS, Arch: runtime.GOARCH,
		Host: host, PID: os.Getpid(), CPUs: h.CPUs, Memory: h.MemLimit, Files: h.FilesHard, Ports: max(0, h.PortHigh-h.PortLow+1),
		Machine: digest(where), Processes: digest(processes), Policy: c.Policy,
	}
}

const (
	// firstGreeting is how long the coordinator may take to greet; ssh may be slow, and nobody types this.
	firstGreeting = 30 * time.Second
	// laterGreeting is how long whoever connects to the socket may take.
	laterGreeting = 10 * time.Second
	// silentIdle is how long a coordinator may be silent before anything runs.
	silentIdle = 30 * time.Second
	// lifeTick is how often the process looks whether it is still needed.
	lifeTick = 500 * time.Millisecond
	// drainTime is how long a process that its host told to end waits for its figures to be fetched, after its grace.
	drainTime = 10 * time.Second
)

// Serve is the remote side of a peer: it introduces itself on rw, does what the coordinator on the other end asks, and returns
// when that said bye, or when its lease was over and nobody came for what it measured. It is the whole life of the process
// `lt agent`. When ctx is done the load is drained. The error is an *ExitError.
func Serve(ctx context.Context, rw io.ReadWriteCloser, c ServeConfig) error {
	if c.Clock == nil {
		c.Clock = wire.Now
	}
	if c.Exit == nil {
		c.Exit = os.Exit
	}
	defer rw.Close()
	greeting, err := c.introduce(rw)
	if err != nil {
		return err
	}
	if greeting.Resume {
		return c.bridge(ctx, rw, greeting)
	}
	s := &server{ServeConfig: c, greeting: greeting, agent: newAgent(c, greeting.Run), arrived: make(chan arrival), over: make(chan struct{})}
	return s.live(ctx, rw)
}

// introduce exchanges the first lines.
func (c *ServeConfig) introduce(rw io.ReadWriteCloser) (wire.Greeting, error) {
	if err := wire.WriteLine(rw, c.hello()); err != nil {
		return wire.Greeting{}, exit(ExitProtocol, "introduce itself: %w", err)
	}
	g, err := greetingFrom(rw, firstGreeting)
	if err != nil {
		return g, exit(ExitProtocol, "%w", err)
	}
	if g.Proto < wire.MinProto || g.Proto > wire.Proto {
		reason := fmt.Sprintf("this is lt %s, which speaks protocol %d to %d; the coordinator (lt %s) speaks %d: use the same version on both", c.Version, wire.MinProto, wire.Proto, g.Version, g.Proto)
		_ = wire.WriteLine(rw, wire.Welcome{Code: codeVersion, Reason: reason})
		return g, exit(ExitProtocol, "%s", reason)
	}
	return g, nil
}

// greetingFrom reads a greeting; it closes rw if that takes longer than limit.
func greetingFrom(rw io.ReadWriteCloser, limit time.Duration) (wire.Greeting, error) {
	late := time.AfterFunc(limit, func() { rw.Close() })
	g, err := wire.ReadGreeting(rw)
	if !late.Stop() {
		return g, fmt.Errorf("nobody greeted within %s", limit)
	}
	if err == nil && !isHex(g.Token, 32) {
		err = errors.New("the greeting has no token")
	}
	return g, err
}

// bridge carries bytes between rw and the process that has the run, which answers the greeting itself. Where there is none, that
// is said: it proves that nothing of it sends any more.
func (c *ServeConfig) bridge(ctx context.Context, rw io.ReadWriteCloser, g wire.Greeting) error {
	err := errors.New("this process was given no place to look for it")
	var to io.ReadWriteCloser
	if c.Runs != nil {
		to, err = c.Runs.Find(ctx, g.Incarnation, g.PID)
	}
	if err != nil {
		no := wire.Welcome{Code: codeLost, Reason: err.Error()}
		if errors.Is(err, ErrNoRun) {
			no.Code = codeNoRun
			if n := starvedThere(err); n >= 0 {
				no.Starved = &n
			}
		}
		_ = wire.WriteLine(rw, no)
		return exit(ExitLapsed, "take up run %q again: %w", g.Run, err)
	}
	defer to.Close()
	if err := wire.WriteLine(to, g); err != nil {
		return exit(ExitLapsed, "take up run %q again: %w", g.Run, err)
	}
	stop := context.AfterFunc(ctx, func() { rw.Close(); to.Close() })
	defer stop()
	var both sync.WaitGroup
	for _, way := range [][2]io.ReadWriteCloser{{rw, to}, {to, rw}} {
		both.Go(func() {
			_, _ = io.Copy(struct{ io.Writer }{way[1]}, struct{ io.Reader }{way[0]})
			rw.Close()
			to.Close()
		})
	}
	both.Wait()
	return nil
}

// server is the process of a peer that has a run: who is attached, and how long it lives.
type server struct {
	ServeConfig
	greeting wire.Greeting
	agent    *agent
	arrived  chan arrival
	over     chan struct{}
	all      sync.WaitGroup
}

// arrival is somebody who has the token and connected later.
type arrival struct {
	c     net.Conn
	acked uint64
}

// live serves the first attachment and those after it until the process is not needed any more.
func (s *server) live(ctx context.Context, rw io.ReadWriteCloser) error {
	a := s.agent
	defer s.all.Wait()
	if s.Runs != nil {
		l, err := s.Runs.Listen(a.incarnation, s.greeting.Run)
		if err != nil {
			a.tell("if the connection breaks it cannot be taken up again: " + err.Error())
		} else {
			s.all.Go(func() { s.accept(l) })
			defer l.Close()
		}
	}
	defer close(s.over)
	defer a.end()
	if err := wire.WriteLine(rw, wire.Welcome{OK: true, Incarnation: a.incarnation}); err != nil {
		return exit(ExitProtocol, "answer the greeting: %w", err)
	}
	at := a.attach(rw, 0)
	defer func() {
		if at != nil {
			at.close()
		}
	}()
	t := time.NewTicker(lifeTick)
	defer t.Stop()
	told := ctx.Done()
	last := time.Now()         // when anything was heard last, of sessions before this one
	var ending time.Time       // when somebody said that this process is to end
	var patience time.Duration // that it has from there on
	for {
		var gone <-chan struct{}
		if at != nil {
			gone = at.done
		}
		select {
		case next := <-s.arrived:
			if at != nil {
				at.close()
			}
			if wire.WriteLine(next.c, wire.Welcome{OK: true, Incarnation: a.incarnation}) != nil {
				next.c.Close()
				at = nil
				break
			}
			at = a.attach(next.c, next.acked)
		case <-gone:
			last = at.session.Heard()
			at.close()
			if at.bye.Load() {
				return a.result()
			}
			at = nil
		case <-a.changed:
		case <-t.C:
		case <-told:
			told = nil
			ending, patience = time.Now(), a.grace()+drainTime
			if a.stop(false) != nil {
				return exit(ExitLapsed, "this process was told to end before anything ran")
			}
			a.voice.warn(wire.Warn{Text: "its host told it to end: it finishes what it has in hand"})
		}
		if at != nil {
			last = at.session.Heard()
			if at.bye.Load() && ending.IsZero() {
				ending, patience = time.Now(), byeTime // the coordinator hangs up when it has read the answer
				_ = a.stop(true)
			}
		}
		if err := a.needed(at != nil, time.Since(last)); err != nil {
			return err
		}
		if !ending.IsZero() && time.Since(ending) > patience {
			return a.result()
		}
	}
}

// accept takes those who connect later. Who has the token takes the session over: the newest counts.
func (s *server) accept(l net.Listener) {
	places := make(chan struct{}, 4) // whoever has no token must not pile up
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		places <- struct{}{}
		s.all.Go(func() {
			defer func() { <-places }()
			if err := s.take(c); err != nil {
				s.agent.tell("somebody came in vain: " + err.Error())
				c.Close()
			}
		})
	}
}

// take hears a greeting. The token decides: whoever has it is the coordinator.
func (s *server) take(c net.Conn) error {
	g, err := greetingFrom(c, laterGreeting)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(g.Token), []byte(s.greeting.Token)) != 1 {
		_ = wire.WriteLine(c, wire.Welcome{Code: codeToken, Reason: "the token is not the one that this run began with"})
		return errors.New("without the token of this run")
	}
	select {
	case s.arrived <- arrival{c, g.Acked}:
		return nil
	case <-s.over:
		return errors.New("when it was over")
	}
}
