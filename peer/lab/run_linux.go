package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Run is the real lt as the coordinator of a lab.
type Run struct {
	Began time.Time
	PID   int

	t       testing.TB
	lab     *Lab
	cmd     *exec.Cmd
	summary string
	state   string
	tty     *os.File // nil: plain
	done    chan struct{}

	mu    sync.Mutex
	lines []Line
	raw   bytes.Buffer
}

// Line is what lt said, and when.
type Line struct {
	At   time.Duration // since the run's process began
	Text string
}

// Start starts lt with these arguments, in plain mode, with its state, its home and its summary in folders of its own.
// It is ended with the test.
func (l *Lab) Start(args ...string) *Run { l.t.Helper(); return l.start(false, args) }

// StartOnTerminal is Start with the screen, on a terminal of its own of 120 columns and 40 lines.
func (l *Lab) StartOnTerminal(args ...string) *Run { l.t.Helper(); return l.start(true, args) }

func (l *Lab) start(screen bool, args []string) *Run {
	t := l.t
	t.Helper()
	dir, err := os.MkdirTemp(l.Dir, "run")
	if err != nil {
		t.Fatal(err)
	}
	r := &Run{t: t, lab: l, summary: filepath.Join(dir, "x.json"), state: filepath.Join(dir, "state"), done: make(chan struct{})}
	argv := append([]string{Binary(t)}, append(slices.Clone(args), "-o", r.summary)...)
	if len(l.Mount) > 0 {
		script := "set -e\n" + strings.Join(l.Mount, "\n") + "\nexec \"$@\"\n"
		argv = append([]string{Program(t, "unshare"), "-m", "sh", "-c", script, "sh"}, argv...)
	}
	r.cmd = exec.Command(argv[0], argv[1:]...)
	r.cmd.Dir = dir
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !slices.Contains([]string{"HOME", "SSH_AUTH_SOCK", "DISPLAY", "SSH_ASKPASS", "CI", "TERM", "GITHUB_STEP_SUMMARY", "XDG_STATE_HOME", "XDG_CACHE_HOME"}, name) {
			r.cmd.Env = append(r.cmd.Env, v)
		}
	}
	r.cmd.Env = append(r.cmd.Env, "HOME="+dir, "LT_STATE_DIR="+r.state, "TERM=xterm-256color")
	r.cmd.Env = append(r.cmd.Env, l.Env...)
	var out io.Reader
	if screen {
		r.tty, out = r.terminal()
	} else {
		r.cmd.Env = append(r.cmd.Env, "CI=1")
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer write.Close()
		r.cmd.Stdout, r.cmd.Stderr, out = write, write, read
	}
	r.Began = time.Now()
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.PID = r.cmd.Process.Pid
	if screen {
		_ = r.cmd.Stdin.(*os.File).Close()
	}
	read := make(chan struct{})
	go func() { defer close(read); r.read(out) }()
	go func() { defer close(r.done); _ = r.cmd.Wait() }()
	t.Cleanup(func() {
		_ = r.cmd.Process.Signal(syscall.SIGCONT)
		_ = r.cmd.Process.Kill()
		<-r.done
		for _, p := range r.clients() {
			p.Kill(syscall.SIGKILL)
		}
		if r.tty != nil {
			_ = r.tty.Close()
		} else if c, ok := out.(io.Closer); ok {
			_ = c.Close()
		}
		<-read
		if t.Failed() {
			t.Logf("lt %s\n%s", strings.Join(args, " "), r.Output())
		}
	})
	return r
}

func (r *Run) read(from io.Reader) {
	if r.tty != nil {
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			r.mu.Lock()
			r.raw.Write(buf[:n])
			r.mu.Unlock()
			if err != nil {
				return
			}
		}
	}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		r.mu.Lock()
		r.lines = append(r.lines, Line{time.Since(r.Began), lines.Text()})
		r.mu.Unlock()
	}
}

// terminal makes a pseudo terminal for the process, and is the side of whoever sits in front of it.
func (r *Run) terminal() (*os.File, io.Reader) {
	t := r.t
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0) // so that Close ends Read
	if err != nil {
		t.Fatal(err)
	}
	front := os.NewFile(uintptr(fd), "ptmx")
	if err := errors.Join(unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0), unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 120})); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	back, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = back, back, back
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	return front, front
}

// Type writes to the terminal.
func (r *Run) Type(keys string) {
	r.t.Helper()
	if _, err := r.tty.WriteString(keys); err != nil {
		r.t.Fatal(err)
	}
}

// HangUp closes the terminal.
func (r *Run) HangUp() { _ = r.tty.Close() }

// Signal sends one to lt alone.
func (r *Run) Signal(sig syscall.Signal) { _ = r.cmd.Process.Signal(sig) }

// Output is everything so far; from a terminal without its colours and movements.
func (r *Run) Output() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tty != nil {
		return escapes.ReplaceAllString(r.raw.String(), "")
	}
	var b strings.Builder
	for _, l := range r.lines {
		fmt.Fprintf(&b, "%8.3f  %s\n", l.At.Seconds(), l.Text)
	}
	return b.String()
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;?<>=]*[a-zA-Z]|\x1b\\][^\x07\x1b]*(\x07|\x1b\\\\)|\x1b[=>78()].?")

// Lines are those that match.
func (r *Run) Lines(pattern string) []Line {
	re := regexp.MustCompile(pattern)
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []Line
	for _, l := range r.lines {
		if re.MatchString(l.Text) {
			found = append(found, l)
		}
	}
	return found
}

// Await waits for something to be said, at most so long.
func (r *Run) Await(pattern string, within time.Duration) {
	r.t.Helper()
	re := regexp.MustCompile(pattern)
	Await(r.t, within, "lt to say "+pattern, func() bool {
		if r.Ended() && !re.MatchString(r.Output()) {
			time.Sleep(100 * time.Millisecond) // what it said last is still being read
			if !re.MatchString(r.Output()) {
				r.t.Fatalf("lt ended without saying %s", pattern)
			}
		}
		return re.MatchString(r.Output())
	})
}

// Ended says whether the process is gone.
func (r *Run) Ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// Wait waits for the end, at most so long, and is the exit code; -1 for a signal.
func (r *Run) Wait(within time.Duration) int {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(within):
		r.t.Fatalf("lt did not end within %v", within)
	}
	return r.cmd.ProcessState.ExitCode()
}

// MaxMemory is the most that the process had resident, in bytes, after its end.
func (r *Run) MaxMemory() int64 {
	return r.cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}

// CPU is what the process used of one core, in seconds, after its end.
func (r *Run) CPU() float64 {
	return (r.cmd.ProcessState.UserTime() + r.cmd.ProcessState.SystemTime()).Seconds()
}

// Summary reads what lt wrote at the end.
func (r *Run) Summary() *Summary {
	r.t.Helper()
	s, err := ReadSummary(r.summary)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// Again is another verb of lt with the same state, run to its end.
func (r *Run) Again(args ...string) (output string, code int) {
	r.t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, Binary(r.t), args...)
	cmd.Env, cmd.Dir = append(slices.Clone(r.cmd.Env), "CI=1"), r.cmd.Dir
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// clients are the lab's ssh clients, also those that lost their lt.
func (r *Run) clients() []Process {
	return slices.DeleteFunc(Processes(), func(p Process) bool {
		return filepath.Base(p.Exe) != "ssh" || !slices.Contains(p.Args, r.lab.config())
	})
}

// Client is the ssh that leads to a host; empty while there is none.
func (r *Run) Client(h *Host) []Process {
	return slices.DeleteFunc(r.clients(), func(p Process) bool { return !slices.Contains(p.Args, h.Name) })
}

// Leftovers waits at most so long until nothing of the run is left on any host or here, and is what still is.
func (r *Run) Leftovers(within time.Duration) []string {
	for end := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		var left []string
		for _, p := range r.clients() {
			left = append(left, "process "+p.String())
		}
		for _, h := range r.lab.Hosts {
			for _, s := range h.Leftovers() {
				left = append(left, h.Name+": "+s)
			}
		}
		if len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}

// Clean fails the test if anything is left five seconds after the end.
func (r *Run) Clean() {
	r.t.Helper()
	for _, s := range r.Leftovers(5 * time.Second) {
		r.t.Errorf("left behind: %s", s)
	}
}

// Spilled says where a secret can be read now: in the arguments of any process, in the environment of those on the hosts, in what lt
// said, and in every file of the lab except those named, which are to hold it.
func (r *Run) Spilled(secret string, except ...string) []string {
	var found []string
	for _, p := range Processes() {
		if p.PID == os.Getpid() {
			continue
		}
		if strings.Contains(strings.Join(p.Args, "\x00"), secret) {
			found = append(found, "arguments of "+p.Exe)
		}
		if p.marked(r.lab.Dir) && strings.Contains(strings.Join(p.Environ, "\x00"), secret) {
			found = append(found, "environment of "+p.String())
		}
	}
	if strings.Contains(r.Output(), secret) {
		found = append(found, "what lt said")
	}
	roots := []string{r.lab.Dir}
	for _, h := range r.lab.Hosts {
		if h.lab.net != nil {
			roots = append(roots, h.inside(h.Home), h.inside("/var/tmp"), h.inside("/dev/shm"))
		}
	}
	for _, root := range roots {
		_ = filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() || slices.Contains(except, path) {
				return nil
			}
			if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(secret)) {
				found = append(found, "file "+path)
			}
			return nil
		})
	}
	return found
}
