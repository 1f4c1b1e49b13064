package main

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/term"
)

// terminalOf is the file behind a stream if it is a terminal.
func terminalOf(v any) *os.File {
	if r, ok := v.(*watched); ok {
		v = r.w
	}
	if f, ok := v.(*os.File); ok && f != nil && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// watched is standard output while a run goes on: gone is closed when nobody reads it any more.
type watched struct {
	w    io.Writer
	gone chan struct{}
	once sync.Once
}

func (r *watched) Write(b []byte) (int, error) {
	n, err := r.w.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		r.once.Do(func() { close(r.gone) })
	}
	return n, err
}

// screenOf is where the screen is drawn: on stdout, or on stderr when stdout is redirected; nil if neither is a terminal.
func screenOf(w world) *os.File {
	if f := terminalOf(w.stdout); f != nil {
		return f
	}
	return terminalOf(w.stderr)
}

// wantsScreen says whether a run is shown on a screen: there must be a terminal to read from and one to draw on, and nobody
// must have said otherwise.
func wantsScreen(w world, plain bool) bool {
	return !plain && w.getenv("CI") == "" && w.getenv("TERM") != "dumb" && terminalOf(w.in) != nil && screenOf(w) != nil
}

// widthOf is the width for tables on a stream: the terminal's, or 100 columns.
func widthOf(out io.Writer) int {
	if f := terminalOf(out); f != nil {
		if cols, _, err := term.GetSize(int(f.Fd())); err == nil && cols > 0 {
			return cols
		}
	}
	return 100
}

// colourOf says whether the table on stdout may have colours.
func colourOf(w world, off bool) bool {
	return !off && w.getenv("NO_COLOR") == "" && w.getenv("TERM") != "dumb" && terminalOf(w.stdout) != nil
}
