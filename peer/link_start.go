package peer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"lt/engine/redact"
	"lt/peer/wire"
)

const (
	// helloTime is how long a peer's process may take to introduce itself: it reads its own program first.
	helloTime = 20 * time.Second
	// greetTime is how long a peer may take to answer a greeting.
	greetTime = 10 * time.Second
	// clockProbes are exchanged before anything bulky is on its way: with a full link the clocks cannot be compared.
	clockProbes = 16
	clockTime   = 15 * time.Second
	// compileTime is how long a peer may take for a scenario besides its way there, which is slowestUpload bytes a second at worst.
	compileTime   = 60 * time.Second
	slowestUpload = 16 << 10
	// requestTime is how long a peer may take for anything else.
	requestTime = 10 * time.Second
	// preflightSpare is what the preflight may take beyond resolving, proving and connecting.
	preflightSpare = 30 * time.Second
	// mostOthers bounds how many processes of other runs a peer may tell of, and longestRun the bytes of a run's id that are shown.
	mostOthers = 64
	longestRun = 64
	// byeTime is how long a peer may take for its bye.
	byeTime = 2 * time.Second
)

// Dial implements remote.
func (l *Link) Dial(ctx context.Context) {
	l.spawn(func() {
		stop := context.AfterFunc(ctx, l.Close)
		defer stop()
		c, p, err := l.start()
		if err != nil {
			if c != nil {
				l.Close() // with a bye, or it would wait for the end of its lease
				<-l.ctx.Done()
				c.close()
			}
			l.cfg.Observer.Failed(l.cfg.N, err)
			return
		}
		stop()
		l.spawn(func() {
			stop := context.AfterFunc(ctx, l.Close)
			defer stop()
			l.supervise(c)
		})
		l.mu.Lock()
		hello := l.hello
		l.mu.Unlock()
		l.cfg.Observer.Ready(l.cfg.N, hello, p)
	})
}

func (l *Link) step(name string, progress float64) { l.cfg.Observer.Step(l.cfg.N, name, progress) }

// start brings a peer from nothing to ready. A call that comes with an error is still to be closed.
func (l *Link) start() (c *call, p wire.Preflight, err error) {
	l.step("dial", 0)
	rw, hello, err := l.cfg.Dial(l.ctx, l.dialing(true))
	if err != nil {
		return nil, p, l.failed("dial", err, "")
	}
	l.step("hello", 0)
	c, welcome, err := l.greet(l.ctx, rw, hello, wire.Greeting{})
	if err != nil {
		do := "see what its log says, and start again"
		if errors.As(err, new(*wire.VersionError)) {
			do = "" // it says so itself
		}
		return nil, p, l.failed("hello", err, do)
	}
	l.mu.Lock()
	l.hello, l.welcome = hello, welcome
	l.mu.Unlock()
	l.attach(c)
	l.step("clock", 0)
	if err := c.compareClocks(); err != nil {
		return c, p, l.failed("clock", err, "start again; if it stays so, use another peer")
	}
	l.step("plan", 0)
	if err := l.plan(c); err != nil {
		return c, p, l.failed("plan", err, "")
	}
	l.step("preflight", 0)
	if p, err = l.preflight(c); err != nil {
		return c, p, l.failed("preflight", err, afterPreflight(err))
	}
	return c, p, nil
}

// hearHello waits for a peer's introduction, which its process makes as soon as it runs.
func hearHello(ctx context.Context, rw io.ReadWriteCloser) (wire.Hello, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { rw.Close() })
	h, err := wire.ReadHello(rw)
	if !stop() {
		return h, fmt.Errorf("it did not introduce itself within %s", helloTime)
	}
	if err != nil {
		rw.Close()
	}
	return h, err
}

// dialing passes on what a Dialer has to tell.
func (l *Link) dialing(first bool) Dialing {
	d := Dialing{
		Step: func(string, float64) {},
		Log:  func(line string) { l.cfg.Observer.Log(l.cfg.N, redact.Neutralise(line)) },
	}
	if first {
		d.Step = l.step
	}
	return d
}

// greet introduces the coordinator to a process, and makes the session. It closes rw unless there is a call.
func (l *Link) greet(ctx context.Context, rw io.ReadWriteCloser, hello wire.Hello, g wire.Greeting) (c *call, w wire.Welcome, err error) {
	defer func() {
		if err != nil {
			rw.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, greetTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { rw.Close() })
	defer stop()
	if g.Proto, err = wire.Negotiate(hello, l.cfg.Version); err != nil {
		return nil, w, err
	}
	g.Version, g.Run, g.Token = l.cfg.Version, l.cfg.Run, l.token
	if err := wire.WriteLine(rw, g); err != nil {
		return nil, w, fmt.Errorf("greet it: %w", err)
	}
	w, err = wire.ReadWelcome(rw)
	if ctx.Err() != nil {
		return nil, w, fmt.Errorf("no answer to the greeting within %s", greetTime)
	}
	if err != nil {
		return nil, w, err
	}
	if !w.OK {
		return nil, w, &notWelcome{w}
	}
	if !stop() {
		return nil, w, ctx.Err()
	}
	c, err = l.newCall(rw)
	return c, w, err
}

// notWelcome is a peer's no to a greeting.
type notWelcome struct{ wire.Welcome }

func (n *notWelcome) Error() string { return fmt.Sprintf("it answers %q (%s)", n.Reason, n.Code) }

// resume finds the process of the peer again. Where the same machine knows no such process any more, the error is ErrNoRun.
func (l *Link) resume(ctx context.Context) (*call, wire.Hello, error) {
	rw, hello, err := l.cfg.Dial(ctx, l.dialing(false))
	if err != nil {
		return nil, hello, err
	}
	l.mu.Lock()
	first, welcome := l.hello, l.welcome
	l.mu.Unlock()
	_, acked := l.Applied()
	c, _, err := l.greet(ctx, rw, hello, wire.Greeting{Resume: true, Acked: acked, Incarnation: welcome.Incarnation, PID: first.PID})
	var no *notWelcome
	if errors.As(err, &no) && no.Code == codeNoRun && hello.Machine != "" && hello.Machine == first.Machine && hello.Processes == first.Processes {
		gone := &NoRunError{Starved: -1}
		if no.Starved != nil {
			gone.Starved = *no.Starved
		}
		return nil, hello, fmt.Errorf("%s answers, and process %d is not there any more: %w", l.cfg.Name, first.PID, gone)
	}
	return c, hello, err
}

// greeted is the introduction of the process that has the job.
func (l *Link) greeted() wire.Hello {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hello
}

// plan sends the job and has it compiled.
func (l *Link) plan(c *call) error {
	data := wire.Encode(l.cfg.Job.at(l.cfg.Target))
	if most := l.cfg.mostJob; len(data) > most {
		return fmt.Errorf("the scenario with its files has %d MB, and at most %d are carried to a peer: use smaller bodies", len(data)>>20, most>>20)
	}
	limit := compileTime + time.Duration(len(data))*time.Second/slowestUpload
	timed, stop := context.WithTimeoutCause(l.ctx, limit, fmt.Errorf("it was not done within %s", limit))
	defer stop()
	ctx, cancel := context.WithCancelCause(timed)
	defer cancel(nil)
	var ready wire.Ready
	answer := make(chan error, 1)
	l.spawn(func() {
		err := c.do(ctx, wire.KindPlan, wire.Plan{Size: int64(len(data)), SHA256: sha256.Sum256(data)}, &ready)
		if err != nil {
			cancel(err) // nobody takes the rest
		}
		answer <- err
	})
	sent := c.streams.Files.Send(ctx, data, l.cfg.Paced, func(taken int) { l.step("plan", float64(taken)/float64(len(data))) })
	if err := <-answer; err != nil || sent != nil {
		return cmp.Or(err, sent)
	}
	if ready.Steps != l.cfg.Steps {
		return fmt.Errorf("it understands the scenario as %d steps, and here it has %d: use the same version of lt on both sides", ready.Steps, l.cfg.Steps)
	}
	return nil
}

// afterPreflight is what to do about what a preflight found. A peer that refuses says it itself.
func afterPreflight(err error) string {
	if errors.As(err, new(*wire.RefusedError)) {
		return ""
	}
	return "look at that machine's name server, route and firewall; --no-preflight starts all the same"
}

// preflight has the peer look at the targets. What it cannot reach or may not load is an error.
func (l *Link) preflight(c *call) (p wire.Preflight, err error) {
	limit := preflightSpare + l.cfg.Job.File.HTTP.ConnectTimeout
	ctx, cancel := context.WithTimeoutCause(l.ctx, limit, fmt.Errorf("no answer within %s", limit))
	defer cancel()
	if err := c.do(ctx, wire.KindPreflight, nil, &p); err != nil {
		return p, err
	}
	for i := range p.Origins {
		o := &p.Origins[i]
		o.Name, o.TLS, o.Err = redact.Neutralise(o.Name), redact.Neutralise(o.TLS), redact.Neutralise(o.Err)
		if o.Err != "" {
			err = errors.Join(err, fmt.Errorf("%s cannot be reached from there: %s", o.Name, o.Err))
		}
	}
	for i := range p.Findings {
		f := &p.Findings[i]
		f.Text, f.Remedy = redact.Neutralise(f.Text), redact.Neutralise(f.Remedy)
	}
	p.Others = p.Others[:min(len(p.Others), mostOthers)]
	for i := range p.Others {
		o := &p.Others[i]
		o.Run, o.PID, o.Age = redact.Neutralise(o.Run), max(0, o.PID), max(0, o.Age)
		if len(o.Run) > longestRun {
			o.Run = strings.ToValidUTF8(o.Run[:longestRun], "") + "..."
		}
	}
	p.Basis = redact.Neutralise(p.Basis)
	return p, err
}
