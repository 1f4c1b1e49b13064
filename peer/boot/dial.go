package boot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"syscall"
	"time"

	"lt/peer/sshproc"
)

const (
	// tries are made where the server had too many connections at once.
	tries = 3
	// promptTime is how long a question waits for its answer, once it is asked.
	promptTime = 60 * time.Second
	// lastWords is how long the last of stderr may be on its way when the process has ended. Longer than that only somebody whom it
	// left behind holds it open.
	lastWords = 100 * time.Millisecond
)

// Dialer starts agents. One Dialer serves all peers of a run: it asks one question at a time, and holds back where too many
// connections would be on their way to one server. Make it with NewDialer; any goroutine may Dial.
type Dialer struct {
	program  string
	binaries *Binaries
	ask      sshproc.Prompter
	gate     gate
}

// NewDialer makes a Dialer. program is the command in place of ssh, empty for ssh; ask answers ssh's questions, one at a time
// and within a minute each, and is nil if nobody can: then ssh fails rather than asks. The Binaries are what peers may need.
func NewDialer(program string, b *Binaries, ask sshproc.Prompter) *Dialer {
	if ask != nil {
		ask = sshproc.OneAtATime(ask, promptTime)
	}
	return &Dialer{program: program, binaries: b, ask: ask}
}

// Told is who hears how a start goes on. Its functions may be nil, must not block, and are called from the Dialer's goroutines.
type Told struct {
	// Step is told of dial, probe, upload with the share that is done, and hello. With a further try it begins again.
	Step func(step string, share float64)
	// Line is given each line that ssh or the peer says on stderr, neutralised, also after Dial.
	Line func(line string)
}

// Conn is the connection to an agent: the stream of its session, positioned at its introduction, and the process that carries
// it. It lives until Close.
type Conn struct {
	*Booted
	proc *sshproc.Proc
}

// Close ends the process by the ladder of sshproc.Proc.Close, and returns when nothing of it is left.
func (c *Conn) Close() error { return c.proc.Close() }

// Said are the last lines that ssh and the agent said on stderr, neutralised.
func (c *Conn) Said() []string { return c.proc.Said() }

// Done is closed when the process that carries the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.proc.Done() }

// What Signal says besides the number of a signal.
const (
	Unnamed = -1 // a signal, or the end of the connection: nobody says which
	Itself  = -2 // none: the agent ended by itself, and its words or its exit status say why
)

// lastSignal is the highest number of a signal of which a shell makes an exit status.
const lastSignal = 31

// Signal is the signal that ended the agent, as far as the process that carried the connection tells, and 0 if it tells nothing of
// the agent's end.
// A shell and the launchers of containers make 128 more than its number their exit status. OpenSSH does not name it: it exits 255
// without a word, which is Unnamed; it might do so where only the connection broke. pid is the agent's: where the process that
// carries the connection is the agent itself, whatever ended the one ended the other.
func (c *Conn) Signal(pid int) int {
	code, how := c.proc.Exit()
	if how == "running" {
		return 0
	}
	c.proc.Drained(lastWords)
	said := c.proc.Said()
	switch {
	case fell(said) != "", code >= 0 && code <= 128:
		return Itself
	case code == 255 && last(said) == "":
		return Unnamed
	case code > 128 && code <= 128+lastSignal:
		return code - 128
	case c.proc.PID() == pid:
		return c.proc.Signal()
	}
	return 0
}

// Ended says why the connection is over, as far as its process knows: "ssh exited 255: Connection to ada closed by remote
// host".
func (c *Conn) Ended() string {
	code, how := c.proc.Exit()
	if how == "running" {
		return "the process that carries the connection still runs"
	}
	c.proc.Drained(lastWords)
	said := cmp.Or(fell(c.proc.Said()), last(c.proc.Said()))
	switch {
	case said != "":
		return fmt.Sprintf("it exited %s: %s", how, said)
	case code == 255:
		return "it exited 255 without a word: the agent was killed, or the connection was"
	case code > 128 && code <= 128+lastSignal:
		return fmt.Sprintf("it exited %d: signal %d ended the agent (%s)", code, code-128, syscall.Signal(code-128))
	default:
		return "it exited " + how
	}
}

// Dial starts an agent. Where the server had no place for one more connection it tries again, three times in all, half a second
// to two seconds apart; nothing else is tried again, so that no account is locked. The error is an *Error, or that of ctx,
// whose end stops the start. A connection that stands is no longer bound to ctx.
func (d *Dialer) Dial(ctx context.Context, a Address, t Told) (*Conn, error) {
	servers := route(ctx, a, d.program)
	for n := 1; ; n++ {
		c, err := d.once(ctx, a, servers, t)
		if err == nil {
			return c, nil
		}
		var e *Error
		if ctx.Err() != nil || !errors.As(err, &e) || !e.Retry || n == tries {
			return nil, err
		}
		d.gate.narrow(servers)
		pause := 500*time.Millisecond + rand.N(1500*time.Millisecond)
		if t.Line != nil {
			t.Line(fmt.Sprintf("%s: once more in %.1f s", e.Said, pause.Seconds()))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (d *Dialer) once(ctx context.Context, a Address, servers []string, t Told) (*Conn, error) {
	who := a.brief()
	if a.Name != "" && a.Name != who {
		who = a.Name + " (" + who + ")"
	}
	leave, err := d.gate.enter(ctx, servers)
	if err != nil {
		return nil, err
	}
	defer leave()
	offer := NewOffer(d.binaries)
	argv, err := d.argv(a, offer)
	if err != nil {
		return nil, &Error{Peer: who, Phase: Dial, Why: err.Error(), Err: err}
	}
	p, err := sshproc.Start(context.WithoutCancel(ctx), sshproc.Command{Argv: argv, Peer: a.Name, Ask: d.ask, Line: t.Line})
	if err != nil {
		e := &Error{Peer: who, Phase: Dial, Why: err.Error(), Err: err, Do: "install " + argv[0] + ", or give its path"}
		if a.Kind() == "ssh" && d.program == "" {
			e.Do = "install the OpenSSH client, or name another with --ssh"
		}
		return nil, e
	}
	offer.Waiting = p.Asking
	b, err := Run(ctx, p, offer, func(step string, share float64) {
		if step != "dial" {
			leave() // we are in: what sshd counts are those who are not
		}
		if t.Step != nil {
			t.Step(step, share)
		}
	})
	if err == nil {
		return &Conn{Booted: b, proc: p}, nil
	}
	p.Close()
	var e *Error
	if errors.As(err, &e) {
		e.Peer = who
		explain(e, a, p, a.byHand(d.program))
		// Where the program has spoken, it has its libraries.
		if e.Phase == Exec && a.Agent == "" && !strings.HasPrefix(e.Said, "lt: ") && d.binaries != nil && d.binaries.bound(runtime.GOOS, runtime.GOARCH) {
			e.Do = "this lt was built with cgo, and may need libraries that are not there: build it with CGO_ENABLED=0 go build"
		}
	}
	return nil, err
}

// argv is what to start for an address.
func (d *Dialer) argv(a Address, o *Offer) ([]string, error) {
	if len(a.Exec) > 0 {
		argv := make([]string, len(a.Exec))
		for i, w := range a.Exec {
			if argv[i] = w; w == ScriptWord {
				argv[i] = o.Script()
			}
		}
		return argv, nil
	}
	command := o.Command()
	if a.Agent != "" {
		command = "exec " + a.Agent + " agent --stdio"
	}
	if len(command) > maxCommand {
		return nil, fmt.Errorf("the boot script is %d bytes long, of at most %d; offer fewer systems with --peer-binary", len(command), maxCommand)
	}
	return sshproc.SSH(a.SSH, command, sshproc.Options{Program: d.program, Batch: d.ask == nil})
}

// explain adds to an error of Run what the process knows, which has ended.
func explain(e *Error, a Address, p *sshproc.Proc, byHand string) {
	said := p.Said()
	if q, ok := p.Refused(); ok {
		e.Phase, e.Said, e.Retry = Auth, "", false
		e.Why = fmt.Sprintf("%q had no answer", strings.ReplaceAll(q.Text, "\n", " "))
		e.Do = "answer it, or give ssh a key that needs no answer; try: " + byHand
		if q.Choice {
			e.Phase = HostKey
			e.Why = fmt.Sprintf("%q was not answered with yes", strings.ReplaceAll(q.Text, "\n", " "))
			e.Do = "compare the fingerprint with the host's own: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there"
		}
		return
	}
	code, how := p.Exit()
	if e.Phase == Dial && (code == 126 || code == 127) {
		// We were in, and the shell could not start what it was told to.
		e.Phase, e.Why = Exec, "the command could not be started there"
		if a.Agent != "" {
			e.Do = "see whether " + a.Agent + " is an lt for that system, or leave out agent: to have one brought along"
		}
	}
	switch e.Phase {
	case Dial:
		if s, line, ok := diagnose(append([]string{e.Said}, said...), byHand); ok {
			e.Phase, e.Said, e.Do, e.Retry, e.Why = s.phase, line, s.do, s.retry, ""
			return
		}
		if words := last(said); words != "" {
			e.Said = words
		}
		if e.Do == "" {
			e.Do = "try: " + byHand
		}
		if code != 0 {
			e.Why += fmt.Sprintf(" (exit %s)", how)
		}
	case Exec:
		if words := cmp.Or(fell(said), last(said)); words != "" {
			e.Said = words
		}
		if code != 0 {
			e.Why += fmt.Sprintf(" (exit %s)", how)
		}
		if e.Do == "" {
			e.Do = "try: " + byHand
		}
	default:
		if e.Said == "" {
			e.Said = last(said)
		}
	}
}
