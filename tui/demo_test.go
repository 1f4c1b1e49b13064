package tui

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"lt/engine/conductor"
)

// The demo shows the screen with an invented run, to be looked at: go test -c ./tui && ./tui.test -test.run Demo -demo 40
var (
	demo      = flag.Int("demo", -1, "show the screen on this terminal, from this second of an invented run on")
	demoTheme = flag.String("demo-theme", "auto", "its theme: auto, dark or light")
	demoSpeed = flag.Int("demo-speed", 1, "seconds of the run in one second")
)

func TestDemo(t *testing.T) {
	if *demo < 0 {
		t.Skip("-demo is not given")
	}
	f := newFeed()
	for range *demo {
		f.second()
	}
	begun := time.Now()
	state := conductor.Running
	var endedAt time.Time
	commands := make(chan conductor.Command, 16)
	next := func(ctx context.Context) (*conductor.View, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case c := <-commands:
			state = obey(state, c)
		case <-time.After(100 * time.Millisecond):
		}
		now := time.Duration(*demo)*time.Second + time.Since(begun)*time.Duration(*demoSpeed)
		now = min(now, 280*time.Second)
		for state != conductor.Ended && time.Duration(len(f.series.Points)+1)*time.Second <= now {
			f.second()
		}
		v := f.snapshot(now)
		v.State = state
		if state == conductor.Draining || now == 280*time.Second {
			if endedAt.IsZero() {
				endedAt = time.Now()
			}
			state = conductor.Ended
		}
		if v.State == conductor.Ended {
			v.Stage, v.Ended, v.EndedAgo = -1, "finished", time.Since(endedAt)
		}
		return v, nil
	}
	err := Run(t.Context(), Options{Next: next, Send: func(c conductor.Command) { commands <- c }, Theme: *demoTheme, Output: os.Stdout, Input: os.Stdin})
	fmt.Println("the screen is closed:", err)
}

// obey is what the invented run makes of a command.
func obey(state conductor.State, c conductor.Command) conductor.State {
	switch c.(type) {
	case conductor.Hold:
		if state == conductor.Held {
			return conductor.Running
		}
		return conductor.Held
	case conductor.Pause:
		if state == conductor.Paused {
			return conductor.Running
		}
		return conductor.Paused
	case conductor.Stop, conductor.Now:
		return conductor.Draining
	}
	return state
}
