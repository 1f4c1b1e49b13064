//go:build unix

package tui

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"lt/engine/conductor"
	"lt/engine/metrics"
)

// meter is a terminal that counts what is written to it.
type meter struct{ bytes atomic.Int64 }

func (m *meter) Write(p []byte) (int, error) {
	m.bytes.Add(int64(len(p)))
	return len(p), nil
}

// The screen stays within what a slow link takes, 12 KiB a second at 120x40, in every panel, with one source and with 64, while the
// target bends; and it costs little: 3 % of a core is the aim, and the bound leaves room for a slower
// one; the race detector takes many times as much. Time is virtual: both are of twelve seconds of a run, however long the machine
// takes for it.
func TestCost(t *testing.T) {
	const from, length = 58, 12 // seconds of the invented run; the window is full and moves
	for name, fleet := range map[string]*conductor.View{"one source": nil, "64 sources": manyFleet()} {
		for panel := range panelCount {
			if fleet != nil && panel != panelPeers && panel != panelOverview {
				continue // the others show nothing of the sources
			}
			t.Run(fmt.Sprintf("%s, panel %d", name, panel+1), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					out, f := &meter{}, newFeed()
					for range from {
						f.second()
					}
					begun, n := time.Now(), 0
					next := func(ctx context.Context) (*conductor.View, error) {
						select {
						case <-ctx.Done():
							return nil, ctx.Err()
						case <-time.After(conductor.ViewEvery - time.Since(begun)%conductor.ViewEvery):
						}
						n++
						now := from*time.Second + time.Since(begun)
						if len(f.series.Points) < int(now/time.Second) {
							f.second()
						}
						v := f.snapshot(now)
						if fleet != nil {
							v.Snapshot.Sources = movingSources(fleet.Snapshot.Sources, n)
						}
						return v, nil
					}
					keys, typed := io.Pipe()
					defer typed.Close()
					ctx, cancel := context.WithTimeout(t.Context(), (length+2)*time.Second)
					defer cancel()
					o := Options{Next: next, Send: func(conductor.Command) {}, Input: keys, Output: out, Env: []string{"TERM=xterm-256color", "COLORTERM=truecolor"}, Theme: "dark", Width: 120, Height: 40}
					done := make(chan struct{})
					go func() { defer close(done); _ = Run(ctx, o) }() // ends with the context
					_, _ = typed.Write([]byte{byte('1' + panel)})
					time.Sleep(2 * time.Second) // the first picture is no steady state
					first, used := out.bytes.Load(), cpuTime(t)
					<-done
					time.Sleep(time.Second) // until the last of its timers is over
					synctest.Wait()
					rate, spent := (out.bytes.Load()-first)/length, (cpuTime(t)-used).Seconds()/length
					t.Logf("%d bytes a second, %.1f %% of a core", rate, spent*100)
					if rate > 12<<10 {
						t.Errorf("%d bytes a second, more than 12 KiB", rate)
					}
					if spent > 0.12 && !raceDetector {
						t.Errorf("%.1f %% of a core", spent*100)
					}
					if n < 4*length {
						t.Errorf("%d pictures in %d s, want 4 a second", n, length)
					}
				})
			})
		}
	}
}

// movingSources are sources with figures that change from one View to the next, as those of a run do.
func movingSources(base []metrics.SourceView, n int) []metrics.SourceView {
	out := append([]metrics.SourceView(nil), base...)
	for i := range out {
		k := 1 + float64((n*7+i*13)%11-5)/100
		out[i].Done *= k
		out[i].Age = time.Duration((n*100+i*37)%1000) * time.Millisecond
		out[i].Audit.CPU *= k
		out[i].RTT = time.Duration(float64(out[i].RTT) * k)
		out[i].BytesIn += uint64(n * 20_000)
	}
	return out
}

// cpuTime is what this process has used of the processors.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
