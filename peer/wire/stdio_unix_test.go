//go:build unix

package wire

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	helpers["stdio"] = helpStdio
	helpers["partition"] = helpPartition
}

// channels are the ways in which a process can be connected: each gives our end, and the file that is its standard input and
// output.
var channels = map[string]func(t *testing.T) (ours io.ReadWriteCloser, in, out *os.File){
	"pipes": func(t *testing.T) (io.ReadWriteCloser, *os.File, *os.File) {
		near, far := pipes(t)
		p := far.(twoPipes)
		return near, p.in, p.out
	},
	"socketpair": func(t *testing.T) (io.ReadWriteCloser, *os.File, *os.File) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.CloseOnExec(fds[0])
		if err := unix.SetNonblock(fds[0], true); err != nil {
			t.Fatal(err)
		}
		far := os.NewFile(uintptr(fds[1]), "far")
		return os.NewFile(uintptr(fds[0]), "near"), far, far
	},
}

// start starts this test binary as a helper on a channel; what it writes to standard error is in the buffer once it has ended.
func start(t *testing.T, helper string, in, out *os.File) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "LT_WIRE_HELPER="+helper)
	cmd.Stdin, cmd.Stdout = in, out
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	if out != in {
		out.Close()
	}
	return cmd, &said
}

func wait(t *testing.T, cmd *exec.Cmd, said *bytes.Buffer) {
	t.Helper()
	timer := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
}

// helpStdio takes its standard input and output, prints where a careless program would, and closes them while it reads.
func helpStdio() int {
	problem := func(what string, v any) int {
		fmt.Fprintln(os.Stderr, what, v)
		return 1
	}
	rw, err := TakeStdio()
	if err != nil {
		return problem("take:", err)
	}
	s := rw.(*stdio)
	for _, f := range []*os.File{s.in, s.out} {
		raw, err := f.SyscallConn()
		if err != nil {
			return problem("raw:", err)
		}
		flags := 0
		_ = raw.Control(func(fd uintptr) { flags, err = unix.FcntlInt(fd, unix.F_GETFD, 0) })
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			return problem("a child would inherit the connection:", err)
		}
	}
	fmt.Println("a stray print")
	if n, err := os.Stdin.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return problem("standard input still has something:", err)
	}
	if _, err := rw.Write([]byte("hello\n")); err != nil {
		return problem("write:", err)
	}
	b := make([]byte, 100)
	n, err := rw.Read(b)
	if err != nil || string(b[:n]) != "go on\n" {
		return problem("read:", err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := rw.Read(b)
		ended <- err
	}()
	time.Sleep(100 * time.Millisecond)
	began := time.Now()
	if err := rw.Close(); err != nil {
		return problem("close:", err)
	}
	select {
	case err := <-ended:
		took := time.Since(began)
		fmt.Fprintln(os.Stderr, "Read returned after", took, err)
		if err == nil || took > time.Second { // some 0.2 ms, unless this machine is busy
			return 1
		}
	case <-time.After(5 * time.Second):
		return problem("Read", "goes on")
	}
	return 0
}

func TestTakeStdio(t *testing.T) {
	for name, channel := range channels {
		t.Run(name, func(t *testing.T) {
			ours, in, out := channel(t)
			defer ours.Close()
			cmd, said := start(t, "stdio", in, out)
			b := make([]byte, 100)
			if n, err := ours.Read(b); err != nil || string(b[:n]) != "hello\n" {
				t.Errorf("%q, %v", b[:n], err)
			}
			if _, err := ours.Write([]byte("go on\n")); err != nil {
				t.Error(err)
			}
			wait(t, cmd, said)
			t.Log(strings.TrimSpace(said.String()))
			if !strings.Contains(said.String(), "a stray print") {
				t.Error("a stray print was lost")
			}
		})
	}
}

// helpPartition serves a session. When asked to, it closes it while nothing comes and nothing goes any more, and watches what that
// costs.
func helpPartition() int {
	rw, err := TakeStdio()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s := Server(rw, SessionConfig{})
	p, err := AcceptStreams(s, func(r *Request) { r.OK(nil) })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go p.Beats.Receive()
	go p.Metrics.Receive()
	// More than any buffer of the way: the writers wait too.
	go func() {
		for p.Metrics.Send(Batch{Data: make([]byte, 100<<10)}) == nil {
		}
	}()
	time.Sleep(500 * time.Millisecond)
	began := time.Now()
	before, err := ownCPU()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	took := time.Since(began)
	time.Sleep(2 * time.Second)
	after, _ := ownCPU()
	fmt.Fprintf(os.Stderr, "closed after %v, %v of processor time in the 2 s after\n", took, after-before)
	if took > closing*2/3 || after-before > 100*time.Millisecond {
		return 1
	}
	return 0
}

// A peer whose network is gone gets out of its session, and no goroutine spins afterwards.
func TestPartition(t *testing.T) {
	if testing.Short() {
		t.Skip("it watches a process for 3 s on every kind of channel")
	}
	for name, channel := range channels {
		t.Run(name, func(t *testing.T) {
			ours, in, out := channel(t)
			cmd, said := start(t, "partition", in, out)
			// A connection that goes silent: nothing is read from it any more once the streams are open.
			way := &partition{ReadWriteCloser: ours, silent: make(chan struct{})}
			s := Client(way, SessionConfig{})
			if _, err := OpenStreams(s, ignoreEvent); err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
			way.stop.Store(true)
			wait(t, cmd, said)
			t.Log(strings.TrimSpace(said.String()))
			close(way.silent)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A file is no connection, and neither is nothing: the sentence says what to do.
func TestTakeStdioRefusesFiles(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd, said := start(t, "stdio", f, null)
	timer := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err == nil || !strings.Contains(said.String(), "take standard input: it is a file, and a session needs both directions of a connection") {
		t.Errorf("%v\n%s", err, said)
	}
}
