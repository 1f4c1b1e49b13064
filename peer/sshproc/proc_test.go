//go:build unix

package sshproc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if code, ours := Askpass(os.Args[1:], os.Getenv, os.Stdout); ours {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, c Command) *Proc {
	t.Helper()
	p, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func sh(script string) Command { return Command{Argv: []string{"sh", "-c", script}} }

// line reads one line of what a process says.
func line(t *testing.T, p *Proc) string {
	t.Helper()
	s, err := bufio.NewReader(p).ReadString('\n')
	if err != nil {
		t.Fatalf("%v; stderr: %q", err, p.Said())
	}
	return strings.TrimSpace(s)
}

// gone fails unless nothing is left of a process group, zombies aside, which belong to whoever adopted them.
func gone(t *testing.T, group int) {
	t.Helper()
	for range 50 {
		out, _ := exec.Command("ps", "-o", "stat=", "-g", strconv.Itoa(group)).Output() // with procps, -g takes a session
		left := 0
		for _, s := range strings.Fields(string(out)) {
			if !strings.HasPrefix(s, "Z") {
				left++
			}
		}
		if left == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("something is left of the group %d", group)
}

func TestStreamIsThatOfTheProcess(t *testing.T) {
	p := start(t, sh(`cat; echo done >&2; exit 3`))
	if _, err := io.WriteString(p, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if got := line(t, p); got != "hello" {
		t.Errorf("read %q", got)
	}
	if code, how := p.Exit(); code != 0 || how != "running" {
		t.Errorf("before the end: %d, %q", code, how)
	}
	p.Close()
	if code, how := p.Exit(); code != 3 || how != "3" {
		t.Errorf("it ended with %d, %q", code, how)
	}
	if s := p.Said(); len(s) != 1 || s[0] != "done" {
		t.Errorf("it said %q", s)
	}
}

// What a process wrote before its end is read after it.
func TestNothingIsLostAtTheEnd(t *testing.T) {
	p := start(t, sh(`i=0; while [ $i -lt 400 ]; do echo 0123456789; i=$((i+1)); done`))
	<-p.Done()
	b, err := io.ReadAll(p)
	if err != nil || len(b) != 4400 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestCloseClimbsTheLadder(t *testing.T) {
	for _, c := range []struct {
		name, script string
		stop         bool
		least, most  time.Duration
		how          string
	}{
		{"leaves when its input ends", `echo up; cat >/dev/null`, false, 0, time.Second, "0"},
		{"leaves on SIGTERM", `echo up; exec sleep 100`, false, hangupWait, hangupWait + termWait, "signal: terminated"},
		{"leaves for nothing", `trap "" TERM HUP PIPE; echo up; while :; do sleep 0.05; done`, false, hangupWait + termWait, 5 * time.Second, "signal: killed"},
		{"is stopped", `echo up; cat >/dev/null`, true, hangupWait + termWait, 5 * time.Second, "signal: killed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, sh(c.script))
			if line(t, p) != "up" {
				t.Fatal("it did not come up")
			}
			if c.stop {
				p.signal(syscall.SIGSTOP)
			}
			began := time.Now()
			p.Close()
			if d := time.Since(began); d < c.least || d > c.most {
				t.Errorf("it took %s", d)
			}
			if _, how := p.Exit(); how != c.how {
				t.Errorf("it ended by %q", how)
			}
			gone(t, p.PID())
		})
	}
}

// A ProxyCommand may outlive its ssh and hold stderr open.
func TestCloseEndsWhatTheProcessLeftBehind(t *testing.T) {
	p := start(t, sh(`sleep 100 & echo $!`))
	child := line(t, p)
	<-p.Done()
	p.Close()
	gone(t, p.PID())
	if pid, err := strconv.Atoi(child); err != nil || syscall.Kill(pid, 0) == nil && !zombie(pid) {
		t.Errorf("the child %s is still there", child)
	}
}

func zombie(pid int) bool {
	out, _ := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return strings.HasPrefix(strings.TrimSpace(string(out)), "Z")
}

// A ControlMaster of the user's configuration goes to the background in a session of its own: it is not ours to end, and Close
// does not wait for it.
func TestCloseDoesNotWaitForADaemon(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("no setsid")
	}
	p := start(t, sh(`setsid sh -c 'echo $$; exec >/dev/null; exec sleep 100' & wait`))
	daemon, err := strconv.Atoi(line(t, p))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(daemon, syscall.SIGKILL) })
	began := time.Now()
	p.Close()
	if d := time.Since(began); d > hangupWait+termWait {
		t.Errorf("it took %s", d)
	}
	if syscall.Kill(daemon, 0) != nil {
		t.Error("the daemon was ended")
	}
}

func TestCloseEndsReadAndWrite(t *testing.T) {
	p := start(t, sh(`sleep 100`))
	errs := make(chan error, 2)
	go func() {
		_, err := p.Read(make([]byte, 1))
		errs <- err
	}()
	go func() {
		var err error
		for b := make([]byte, 64<<10); err == nil; {
			_, err = p.Write(b)
		}
		errs <- err
	}()
	time.Sleep(50 * time.Millisecond) // both wait
	began := time.Now()
	go p.Close()
	for range 2 {
		if err := <-errs; !errors.Is(err, os.ErrClosed) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("it ended with %v", err)
		}
	}
	if d := time.Since(began); d > hangupWait/2 {
		t.Errorf("they ended after %s", d)
	}
}

func TestContextEndsTheProcess(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p, err := Start(ctx, sh(`cat`))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		t.Error("it is still there")
	}
	p.Close()
	if _, err := Start(ctx, sh(`cat`)); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}

// Ctrl-C in our terminal is for us alone.
func TestProcessHasASessionOfItsOwn(t *testing.T) {
	p := start(t, sh(`ps -o sid= -p $$; ps -o pgid= -p $$`))
	b, _ := io.ReadAll(p)
	if f := strings.Fields(string(b)); len(f) != 2 || f[0] != strconv.Itoa(p.PID()) || f[1] != f[0] {
		t.Errorf("process %d has session and group %q", p.PID(), b)
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	_, err := Start(t.Context(), Command{Argv: []string{"lt-no-such-program"}})
	if err == nil || err.Error() != "start lt-no-such-program: executable file not found in $PATH" {
		t.Errorf("%v", err)
	}
	if _, err := Start(t.Context(), Command{}); err == nil {
		t.Error("started nothing")
	}
}

// The files that a started process gets are its three pipes, and nothing of ours stays open after its end.
func TestNoDescriptorIsLeft(t *testing.T) {
	count := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no /proc/self/fd")
		}
		return len(d)
	}
	run := func() {
		p := start(t, sh(`cat`))
		p.Close()
		_, _ = Start(t.Context(), Command{Argv: []string{"lt-no-such-program"}})
	}
	run()
	before := count()
	for range 10 {
		run()
	}
	if after := count(); after > before+2 {
		t.Errorf("%d descriptors, then %d", before, after)
	}
}

func TestLinesOfStderrAreHarmlessAndBounded(t *testing.T) {
	var heard []string
	p := start(t, Command{
		Argv: []string{"sh", "-c", `printf 'one\r\n\033[2J\nlast' >&2; printf 'a\033]0;x\007b\r\n\342\200\256c\nend' >&2`},
		Line: func(s string) { heard = append(heard, s) },
	})
	<-p.Done() // Close would end it for writing to nobody
	p.Close()
	want := []string{"one", `\x1b[2J`, `lasta\x1b]0;x\x07b`, `\u202ec`, "end"}
	if got := p.Said(); fmt.Sprint(got) != fmt.Sprint(want) || fmt.Sprint(heard) != fmt.Sprint(want) {
		t.Errorf("kept %q, told %q", got, heard)
	}

	var tl tail
	for i := range 10_000 {
		tl.write(fmt.Appendf(nil, "line %d %s\n", i, strings.Repeat("x", 40)))
	}
	sum := 0
	all := tl.all()
	for _, l := range all {
		sum += len(l)
	}
	if sum > maxTail || sum < maxTail-100 || !strings.HasPrefix(all[len(all)-1], "line 9999 ") {
		t.Errorf("%d bytes are kept, the last is %q", sum, all[len(all)-1])
	}
}

func FuzzTail(f *testing.F) {
	f.Add([]byte("a\r\n\x1b[31mred\n\xff\xfe\u202e"), 3)
	f.Add([]byte(strings.Repeat("é", 3000)), 1)
	f.Fuzz(func(t *testing.T, b []byte, chunk int) {
		chunk = max(1, min(chunk, 5000))
		var parts, whole tail
		for i := 0; i < len(b); i += chunk {
			parts.write(b[i:min(len(b), i+chunk)])
		}
		parts.flush()
		whole.write(b)
		whole.flush()
		if fmt.Sprint(parts.all()) != fmt.Sprint(whole.all()) {
			t.Error("the parts make a difference")
		}
		sum := 0
		for _, l := range parts.all() {
			sum += len(l)
			for _, r := range l {
				if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u202e' || r == '\ufffd' && !strings.Contains(string(b), "\ufffd") {
					t.Errorf("%q has %q", l, r)
				}
			}
		}
		if sum > maxTail {
			t.Errorf("%d bytes are kept", sum)
		}
	})
}
