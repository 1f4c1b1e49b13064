package main

import (
	"bytes"
	"strings"
	"testing"
)

// A panic anywhere leaves the terminal whole, says that it is a bug, and where the record is.
func TestPanicLeavesTheTerminalWhole(t *testing.T) {
	var screen, text bytes.Buffer
	code := make(chan int, 1)
	c := &crash{out: &screen, stderr: &text, record: "/somewhere/run.lt", exit: func(n int) {
		code <- n
		select {}
	}}
	go func() {
		defer c.Recover()
		panic("planted")
	}()
	if got := <-code; got != exitFailed {
		t.Errorf("exit code %d, want %d", got, exitFailed)
	}
	for _, undo := range []string{"\x1b[?1049l", "\x1b[?25h", "\x1b[?1006l", "\x1b[?2004l"} {
		if !strings.Contains(screen.String(), undo) {
			t.Errorf("the screen is not told %q", undo)
		}
	}
	for _, want := range []string{"planted", "bug", "/somewhere/run.lt", "crash_test.go"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the message lacks %q", want)
		}
	}
}
