package main

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"

	"golang.org/x/term"
)

// leaveScreen undoes what a screen may have switched on, whichever of it was: the alternate buffer, the hidden cursor, the
// mouse, bracketed paste, focus reports, the kitty and xterm keyboard modes, synchronized output, and colours.
const leaveScreen = "\x1b[?2026l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1006l\x1b[?2004l\x1b[<u\x1b[>4;0m\x1b[?1049l\x1b[?25h\x1b[0m\r\n"

// crash is what every goroutine of a run has deferred: a panic in any of them ends the program, but not before the terminal
// is what it was and the user knows where the record is.
type crash struct {
	once   sync.Once
	out    io.Writer // the terminal, if a screen is on it
	in     int
	state  *term.State
	stderr io.Writer
	record string
	exit   func(int)
}

// newCrash remembers the terminal as it is before the screen.
func newCrash(w world, screen bool) *crash {
	c := &crash{stderr: w.stderr, exit: os.Exit}
	if !screen {
		return c
	}
	c.out = screenOf(w)
	c.in = int(w.in.Fd())
	if st, err := term.GetState(c.in); err == nil {
		c.state = st
	}
	return c
}

// Recover must be deferred itself: recover works only there.
func (c *crash) Recover() {
	v := recover()
	if v == nil {
		return
	}
	c.once.Do(func() {
		if c.out != nil {
			_, _ = io.WriteString(c.out, leaveScreen)
		}
		if c.state != nil {
			_ = term.Restore(c.in, c.state)
		}
		fmt.Fprintf(c.stderr, "lt: this is a bug in lt: %v\n\n%s\n", v, debug.Stack())
		if c.record != "" {
			fmt.Fprintf(c.stderr, "What was measured so far is in %s (lt report reads it).\n", c.record)
		}
		c.exit(exitFailed)
	})
	select {} // another goroutine is ending the program
}
