// Package tui is the screen of a run: one Bubble Tea program that shows a conductor.View and sends conductor.Commands. That
// is its whole world: it opens no files, reads no clock and does no sums over measurements that the View has not done.
//
// How a frame comes about: Options.Next hands over the newest View (older ones that were not drawn are gone, none is waited
// for), Update stores it, and View draws all of the screen on one chart.Canvas. The canvas clips and neutralises, so a frame
// has exactly the terminal's rows and columns whatever the View holds. layout.go divides the rows; each panel has a file:
// its rows, its drawing, the sentence at its foot and its explanation for the help.
//
// A panic in Update, View or a command is caught by Bubble Tea, which restores the terminal before it prints the stack; Run
// then returns an error. Whoever else in the process panics must end the run first: nothing but this package may write to
// the terminal while Run goes on.
package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"lt/engine/conductor"
)

// Options say what is shown, and where.
type Options struct {
	// Next waits for the newest View. An error means that no more will come: the last one stays until the user quits.
	Next func(context.Context) (*conductor.View, error)
	// Send hands a command to the run. It must not block.
	Send func(conductor.Command)

	Input  io.Reader // the terminal's keys; nil: stdin
	Output io.Writer // the terminal; nil: stdout
	Env    []string  // environment as of os.Environ, for colours; nil: the process's own

	Theme   string // auto, dark or light; empty: auto
	NoColor bool   // no colours; bold stays. NO_COLOR in Env says the same
	NoMouse bool   // leave the mouse to the terminal
	ASCII   bool   // draw with ASCII characters alone; see ASCII
	FPS     int    // Views drawn a second, 1..30; 0: 4

	Width, Height int // of an Output that is no terminal; 0: as the terminal says
}

// framesPerSecond is the default of Options.FPS: enough to feel live, little enough for a slow link.
const framesPerSecond = 4

// ASCII reports whether a terminal with this environment is to be drawn with ASCII characters alone: LT_ASCII=1 says so, and
// LT_ASCII=0 that it is not; else the Linux console, whose font has no braille, and a locale that is named and is not UTF-8. No
// locale at all is what containers and many SSH sessions have on terminals that know UTF-8.
func ASCII(getenv func(string) string) bool {
	switch getenv("LT_ASCII") {
	case "":
	case "0", "false", "no":
		return false
	default:
		return true
	}
	if getenv("TERM") == "linux" {
		return true
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} { // the first that is set holds
		if locale := strings.ToLower(getenv(name)); locale != "" {
			return !strings.Contains(locale, "utf-8") && !strings.Contains(locale, "utf8")
		}
	}
	return false
}

// Run shows the screen until the user leaves it or ctx is done, whichever is first, and gives the terminal back as it was.
// It leaves by itself only when the user asked to stop and leave and the run has ended. Signals are the caller's:
// only the terminal's own ctrl+c reaches the screen as a key. If the run goes on when Run returns (a third ctrl+c, ctx done, an
// error), the caller ends it: load never goes on unwatched.
func Run(ctx context.Context, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the wait for the next View
	opts := []tea.ProgramOption{tea.WithContext(ctx), tea.WithoutSignalHandler(), tea.WithFPS(30)}
	if o.Input != nil {
		opts = append(opts, tea.WithInput(o.Input))
	}
	if o.Output != nil {
		opts = append(opts, tea.WithOutput(o.Output))
	}
	if o.Env != nil {
		opts = append(opts, tea.WithEnvironment(o.Env))
	}
	if o.Width > 0 && o.Height > 0 {
		opts = append(opts, tea.WithWindowSize(o.Width, o.Height))
	}
	if o.NoColor {
		opts = append(opts, tea.WithColorProfile(colorprofile.ASCII))
	}
	_, err := tea.NewProgram(newModel(ctx, o), opts...).Run()
	switch {
	case errors.Is(err, tea.ErrProgramPanic):
		return fmt.Errorf("draw the screen: %w", err)
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("open the screen: %w", err)
	}
	return nil
}
