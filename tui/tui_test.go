package tui

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"go.uber.org/goleak"

	"lt/engine/conductor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink is a terminal that only listens; seen is closed when want has been written to it.
type sink struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	want string
	seen chan struct{}
}

func newSink(want string) *sink { return &sink{want: want, seen: make(chan struct{})} }

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf.Write(p)
	if s.want != "" && strings.Contains(ansi.Strip(s.buf.String()), s.want) {
		s.want = ""
		close(s.seen)
	}
	return len(p), nil
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// whole reports whether the terminal was given back: normal screen, cursor shown.
func (s *sink) whole() bool {
	out := s.String()
	return strings.LastIndex(out, "\x1b[?1049l") > strings.LastIndex(out, "\x1b[?1049h") && strings.LastIndex(out, "\x1b[?25h") > strings.LastIndex(out, "\x1b[?25l")
}

func options(out *sink, in io.Reader, next func(context.Context) (*conductor.View, error)) Options {
	return Options{Next: next, Send: func(conductor.Command) {}, Input: in, Output: out, Env: []string{"TERM=xterm-256color"}, Theme: "dark", FPS: 30, Width: 120, Height: 40}
}

func onlyView(v *conductor.View) func(context.Context) (*conductor.View, error) {
	given := false
	return func(ctx context.Context) (*conductor.View, error) {
		if !given {
			given = true
			return v, nil
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

func TestQuitGivesTheTerminalBack(t *testing.T) {
	out := newSink("Finished 12 s ago")
	keys, typed := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- Run(t.Context(), options(out, keys, onlyView(states()["ended"]))) }()
	await(t, out.seen)
	if _, err := typed.Write([]byte("q")); err != nil {
		t.Fatal(err)
	}
	if err := await(t, done); err != nil {
		t.Errorf("the screen ended with %v", err)
	}
	typed.Close()
	if !out.whole() {
		t.Errorf("the terminal was not given back: %q", tail(out.String()))
	}
}

func TestContextEndsTheScreen(t *testing.T) {
	out := newSink("Overview")
	keys, typed := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, options(out, keys, onlyView(states()["running"]))) }()
	await(t, out.seen)
	cancel()
	if err := await(t, done); err != context.Canceled {
		t.Errorf("the screen ended with %v", err)
	}
	typed.Close()
	if !out.whole() {
		t.Errorf("the terminal was not given back: %q", tail(out.String()))
	}
}

func TestPanicGivesTheTerminalBack(t *testing.T) {
	out := newSink("Overview")
	keys, typed := io.Pipe()
	defer typed.Close()
	first := onlyView(states()["running"])
	calls := 0
	next := func(ctx context.Context) (*conductor.View, error) {
		if calls++; calls == 1 {
			return first(ctx)
		}
		<-out.seen
		panic("provoked by the test")
	}
	if err := Run(t.Context(), options(out, keys, next)); err == nil || !strings.Contains(err.Error(), "draw the screen") {
		t.Errorf("the panic became %v", err)
	}
	if !out.whole() {
		t.Errorf("the terminal was not given back: %q", tail(out.String()))
	}
}

// await waits for a channel; a hang becomes a failure long before the test's own limit.
func await[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came within 30 s")
	}
	var zero T
	return zero
}

func tail(s string) string { return s[max(0, len(s)-300):] }
