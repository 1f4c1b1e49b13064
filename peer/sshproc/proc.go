package sshproc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The rungs of Close, each as long as a healthy process on a slow machine needs, and short enough that a user who quits does
// not wonder.
const (
	hangupWait = time.Second
	termWait   = time.Second
	// stderrWait is for what is still in the pipe when the process is gone. Longer than that only a descendant holds it open.
	stderrWait = 100 * time.Millisecond
)

// Command says what to start.
type Command struct {
	Argv []string // Argv[0] is looked up in PATH
	Env  []string // KEY=value, in addition to our own environment
	// Peer is the name under which Ask is asked.
	Peer string
	// Ask answers ssh's questions; nil: nobody does. Without it the process has no askpass of ours.
	Ask Prompter
	// Line is given each line of stderr as it comes, neutralised; nil: none. It is called from one goroutine and must not block.
	Line func(string)
}

// Proc is a running process. Read is its stdout, Write its stdin. Each method may be called from any goroutine; as with any
// stream, two Reads at once share the bytes between them.
type Proc struct {
	cmd     *exec.Cmd
	in, out *os.File
	err     *os.File
	tail    tail
	asker   *asker // nil: no questions
	exited  chan struct{}
	quiet   chan struct{} // stderr is read to its end
	closing sync.Once
	release func() bool // lets go of the context
}

// Start starts the process. The end of ctx closes it, as Close does; in any case it lives until Close is called.
func Start(ctx context.Context, c Command) (*Proc, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return nil, errors.New("nothing to start: the command is empty")
	}
	p := &Proc{exited: make(chan struct{}), quiet: make(chan struct{}), tail: tail{line: c.Line}}
	p.cmd = exec.Command(c.Argv[0], c.Argv[1:]...)
	p.cmd.SysProcAttr = apart()
	p.cmd.Env = append(os.Environ(), c.Env...)
	if c.Ask != nil {
		a, err := newAsker(c.Peer, c.Ask, p)
		if err != nil {
			return nil, fmt.Errorf("start %s: a socket for its questions: %w", c.Argv[0], err)
		}
		p.asker = a
		p.cmd.Env = append(p.cmd.Env, a.env()...)
	}
	// Pipes of our own: those of exec.Cmd are closed by Wait, with what is still in them.
	theirs, err := p.pipes()
	if err == nil {
		err = p.cmd.Start()
	}
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		for _, f := range []*os.File{p.in, p.out, p.err} {
			if f != nil {
				f.Close()
			}
		}
		if p.asker != nil {
			p.asker.close()
		}
		return nil, fmt.Errorf("start %s: %w", c.Argv[0], plain(err))
	}
	go p.wait()
	go p.listen()
	if p.asker != nil {
		p.asker.start()
	}
	set := make(chan struct{})
	p.release = context.AfterFunc(ctx, func() {
		<-set
		p.Close()
	})
	close(set)
	return p, nil
}

// plain takes the path off an error that names it anyway.
func plain(err error) error {
	var pe *exec.Error
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// pipes makes the three pipes, keeps our ends and returns the others.
func (p *Proc) pipes() (theirs []*os.File, err error) {
	add := func(ours **os.File, read bool) *os.File {
		r, w, e := os.Pipe()
		if e != nil {
			err = errors.Join(err, e)
			return nil
		}
		if !read {
			r, w = w, r
		}
		*ours = r
		theirs = append(theirs, w)
		return w
	}
	stdin, stdout, stderr := add(&p.in, false), add(&p.out, true), add(&p.err, true)
	if err != nil {
		return theirs, err
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, stdout, stderr
	return theirs, nil
}

func (p *Proc) wait() {
	_ = p.cmd.Wait() // the state says it all
	close(p.exited)
	if p.asker != nil {
		p.asker.cancel()
	}
}

func (p *Proc) listen() {
	buf := make([]byte, 4096)
	for {
		n, err := p.err.Read(buf)
		p.tail.write(buf[:n])
		if err != nil {
			p.tail.flush()
			close(p.quiet)
			return
		}
	}
}

// Read reads the process' stdout. It returns io.EOF when the process has closed it, and an error at once when Close is called.
func (p *Proc) Read(b []byte) (int, error) { return p.out.Read(b) }

// Write writes to the process' stdin. Close ends a Write that waits.
func (p *Proc) Write(b []byte) (int, error) { return p.in.Write(b) }

// Close ends the process and returns when it is gone, with everything that it started in its session and with our goroutines:
//
//  1. stdin and stdout are closed, and with them every Read and Write ends; a healthy ssh or agent leaves within 1 s
//  2. SIGTERM to its process group, 1 s: an ssh whose remote is stopped does not notice that stdin was closed
//  3. SIGKILL to its process group: nothing else helps if the process itself is stopped
//
// On Windows, which knows neither groups nor SIGTERM, the second rung kills. Calling it again waits for the same end. It
// returns nil always: how the process ended is what Exit says.
func (p *Proc) Close() error {
	p.closing.Do(func() {
		p.in.Close()
		p.out.Close()
		if !within(p.exited, hangupWait) {
			p.signal(syscall.SIGTERM)
			if !within(p.exited, termWait) {
				p.signal(syscall.SIGKILL)
			}
		}
		<-p.exited
		if !within(p.quiet, stderrWait) {
			// Somebody holds stderr: a ProxyCommand that outlived its ssh is in the group; a ControlMaster that the user's
			// configuration sent to the background is not, and stays.
			p.signal(syscall.SIGKILL)
			within(p.quiet, stderrWait)
		}
		p.err.Close()
		<-p.quiet
		if p.asker != nil {
			p.asker.close()
		}
		p.release()
	})
	return nil
}

func within(c <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c:
		return true
	case <-t.C:
		return false
	}
}

// PID is the number of the process.
func (p *Proc) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Proc) Done() <-chan struct{} { return p.exited }

// Exit says how the process ended: its exit code, or -1 and the signal's name. Before the end it is 0 and "running".
func (p *Proc) Exit() (code int, how string) {
	select {
	case <-p.exited:
	default:
		return 0, "running"
	}
	s := p.cmd.ProcessState
	return s.ExitCode(), strings.TrimPrefix(s.String(), "exit status ")
}

// Signal is the number of the signal that ended the process; 0 if it ended otherwise, or still runs.
func (p *Proc) Signal() int {
	select {
	case <-p.exited:
	default:
		return 0
	}
	if w, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return int(w.Signal())
	}
	return 0
}

// Said are the last lines of stderr, oldest first, neutralised, at most 64 KiB.
func (p *Proc) Said() []string { return p.tail.all() }

// Drained waits until all of stderr is read, at most d: when the process has ended, its last words may still be in the pipe.
func (p *Proc) Drained(d time.Duration) { within(p.quiet, d) }

// Asking reports whether a question of the process waits for its answer.
func (p *Proc) Asking() bool { return p.asker != nil && p.asker.open.Load() > 0 }

// Refused is the question that nobody answered, or that was answered with no. The process is ended for it, since ssh would ask
// again or try an empty password.
func (p *Proc) Refused() (Prompt, bool) {
	if p.asker == nil {
		return Prompt{}, false
	}
	q := p.asker.refused.Load()
	if q == nil {
		return Prompt{}, false
	}
	return *q, true
}
