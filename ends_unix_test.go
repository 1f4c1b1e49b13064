//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// child starts lt as a process of its own, with its records in a folder of its own.
func child(t *testing.T, state string, args ...string) (cmd *exec.Cmd, lines *bufio.Scanner) {
	t.Helper()
	cmd = command(t, state, args...)
	return cmd, started(t, cmd)
}

// command is the program, which TestMain knows by its name, to be started as a process of its own.
func command(t *testing.T, state string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Args[0] = "lt"
	cmd.Env = append(os.Environ(), "CI=1", "LT_STATE_DIR="+state)
	return cmd
}

// started starts a command, which is gone at the end of the test, and reads its lines.
func started(t *testing.T, cmd *exec.Cmd) *bufio.Scanner {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return bufio.NewScanner(out)
}

// until reads lines up to one that matches.
func until(t *testing.T, lines *bufio.Scanner, want string) string {
	t.Helper()
	re := regexp.MustCompile(want)
	for lines.Scan() {
		if re.MatchString(lines.Text()) {
			return lines.Text()
		}
	}
	t.Fatalf("no line with %q before the end", want)
	return ""
}

// recorded waits until a record holds this many bytes.
func recorded(t *testing.T, state string, size int64) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		files, _ := filepath.Glob(filepath.Join(state, "runs", "*.lt"))
		if len(files) == 1 {
			if st, err := os.Stat(files[0]); err == nil && st.Size() > size {
				return
			}
		}
	}
	t.Fatalf("no record of more than %d bytes came", size)
}

// exitOf is the code with which a process ended.
func exitOf(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

// What a killed run had written down by then is a report that says so.
func TestKilledRunCanBeRead(t *testing.T) {
	t.Parallel()
	target, stop := shopAt(t)
	defer stop()
	state := t.TempDir()
	cmd, _ := child(t, state, "--plain", "-r", "50", "-d", "60s", target)
	recorded(t, state, 0)
	files, _ := filepath.Glob(filepath.Join(state, "runs", "*.lt"))
	st, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	recorded(t, state, st.Size()+1000) // a second or two
	listed := func() string {
		runs, lines := child(t, state, "runs")
		line := until(t, lines, `^[0-9a-z]{10}`)
		exitOf(t, runs)
		return line
	}
	if line := listed(); !strings.HasSuffix(line, "  running") {
		t.Errorf("while it runs the list says %q", line)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	exitOf(t, cmd)
	if line := listed(); !regexp.MustCompile(`  cut short at 0:\d\d$`).MatchString(line) {
		t.Errorf("when it was killed the list says %q", line)
	}

	path := filepath.Join(t.TempDir(), "x.json")
	report, _ := child(t, state, "report", "last", "-o", path)
	if code := exitOf(t, report); code != 0 {
		t.Fatalf("lt report ended with %d", code)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Verdict struct {
			Data    string
			Reasons []string
		}
		Totals struct{ Requests int }
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Verdict.Data != "incomplete" || got.Totals.Requests == 0 || !strings.Contains(strings.Join(got.Verdict.Reasons, " "), "no end") {
		t.Errorf("%+v", got)
	}
}

// A signal drains the run, writes the report and ends with 97; so does a terminal that is gone.
func TestSignalsDrain(t *testing.T) {
	t.Parallel()
	target, stop := shopAt(t)
	t.Cleanup(stop)
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP) // or a child would ignore it where the tests themselves were started with nohup
	t.Cleanup(func() { signal.Stop(heard) })
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			cmd, lines := child(t, t.TempDir(), "--plain", "-r", "50", "-d", "60s", target)
			until(t, lines, "stage 1 begins")
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			until(t, lines, "ended by hand")
			until(t, lines, "^requests ")
			if code := exitOf(t, cmd); code != 97 {
				t.Errorf("the code is %d, want 97", code)
			}
		})
	}
}

// Who starts it with nohup wants it to outlive its terminal.
func TestNohupIsHeard(t *testing.T) {
	t.Parallel()
	target, stop := shopAt(t)
	defer stop()
	plain := command(t, t.TempDir(), "--plain", "-r", "50", "-d", "2s", target)
	lt := filepath.Join(t.TempDir(), plain.Args[0])
	if err := os.Symlink(plain.Path, lt); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", append([]string{"-c", `trap "" HUP; exec "$0" "$@"`, lt}, plain.Args[1:]...)...)
	cmd.Env = plain.Env
	lines := started(t, cmd)
	until(t, lines, "stage 1 begins")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, lines, "^requests ")
	if code := exitOf(t, cmd); code != 0 {
		t.Errorf("the code is %d, want 0", code)
	}
}

// Told twice, it does not wait for what hangs.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd, lines := child(t, t.TempDir(), "--plain", "-r", "50", "-d", "60s", "--graceful", "60s", "--no-preflight", "http://"+l.Addr().String())
	if _, err := l.Accept(); err != nil { // a request is under way and will not be answered
		t.Fatal(err)
	}
	begun := time.Now()
	for range 2 {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if lines != nil {
			until(t, lines, "stopped by hand")
		}
		lines = nil
	}
	if code := exitOf(t, cmd); code != 1 {
		t.Errorf("the code is %d, want 1: the target never answered", code)
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
}

// Lines that nobody takes, and nobody closes either, do not keep the program from being ended by signals.
func TestReaderThatStandsStill(t *testing.T) {
	t.Parallel()
	target, stop := shopAt(t)
	defer stop()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, t.TempDir(), "--plain", "-r", "50", "-d", "60s", target)
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	until(t, bufio.NewScanner(r), "stage 1 begins")
	full := make(chan struct{})
	go func() { // the pipe is full from now on
		defer close(full)
		for err := error(nil); err == nil; {
			_, err = w.Write(make([]byte, 64<<10))
		}
	}()
	deadline := time.After(30 * time.Second)
	for again := time.NewTicker(200 * time.Millisecond); ; {
		select {
		case <-ended:
			_ = r.Close()
			<-full
			_ = w.Close()
			return
		case <-deadline:
			_ = cmd.Process.Kill()
			t.Fatal("signals do not end it")
		case <-again.C:
			_ = cmd.Process.Signal(os.Interrupt)
		}
	}
}

// The demo that is ended by hand says so, whatever its SLOs came to by then.
func TestDemoEndedByHand(t *testing.T) {
	t.Parallel()
	cmd, lines := child(t, t.TempDir(), "demo", "--plain")
	until(t, lines, "begins")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	until(t, lines, "^Record: ")
	if code := exitOf(t, cmd); code != 97 {
		t.Errorf("the code is %d, want 97", code)
	}
}

// The target of the demo cannot outlive it.
func TestDemoTakesItsTargetAlong(t *testing.T) {
	t.Parallel()
	cmd, lines := child(t, t.TempDir(), "demo", "--plain")
	line := until(t, lines, "http://127")
	addr := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(line)
	until(t, lines, "begins")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	exitOf(t, cmd)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		_ = c.Close()
		if time.Now().After(deadline) {
			t.Fatalf("the target still listens on %s", addr)
		}
	}
}

// A reader that has left is told of once, and a write to one that is there goes through.
func TestWatchedTellsOnce(t *testing.T) {
	gone := make(chan struct{})
	r, w := io.Pipe()
	_ = r.CloseWithError(syscall.EPIPE)
	out := &watched{w: w, gone: gone}
	for range 2 {
		if _, err := out.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Fatalf("%v", err)
		}
	}
	<-gone
	var b bytes.Buffer
	if _, err := (&watched{w: &b, gone: gone}).Write([]byte("x")); err != nil || b.String() != "x" {
		t.Errorf("%v %q", err, b.String())
	}
}
