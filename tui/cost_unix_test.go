//go:build unix

package tui

import (
	"context"
	"io"
	"sync/atomic"
	"syscall"
	"testing"
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

// A screen with 64 sources stays within what a slow link takes, 12 KiB a second at 120x40, and costs little: 3 % of a core is the
// aim, and the bound here leaves room for a busy machine.
func TestCostWithManySources(t *testing.T) {
	if testing.Short() {
		t.Skip("takes four seconds")
	}
	for name, panel := range map[string]int{"peers": panelPeers, "overview": panelOverview} {
		t.Run(name, func(t *testing.T) {
			out, keys := &meter{}, io.Reader(nil)
			keys, typed := io.Pipe()
			defer typed.Close()
			base, n := manyFleet(), 0
			next := func(ctx context.Context) (*conductor.View, error) {
				select {
				case <-ctx.Done():
					return nil, ctx.Err()
				case <-time.After(10 * time.Millisecond):
				}
				n++
				return moving(base, n), nil
			}
			o := Options{Next: next, Send: func(conductor.Command) {}, Input: keys, Output: out, Env: []string{"TERM=xterm-256color", "COLORTERM=truecolor"}, Theme: "dark", Width: 120, Height: 40}
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			go typed.Write([]byte{byte('1' + panel)})
			begun := cpuTime(t)
			_ = Run(ctx, o) // ends with the context
			spent, rate := cpuTime(t)-begun, out.bytes.Load()/4
			t.Logf("%d bytes a second, %.1f %% of a core", rate, spent.Seconds()/4*100)
			if rate > 12<<10 {
				t.Errorf("%d bytes a second, more than 12 KiB", rate)
			}
			if spent.Seconds()/4 > 0.5 { // room for the race detector and for a machine that runs other tests
				t.Errorf("%.1f %% of a core", spent.Seconds()/4*100)
			}
		})
	}
}

// moving is base with figures that change from one View to the next, as those of a run do.
func moving(base *conductor.View, n int) *conductor.View {
	v, s := *base, *base.Snapshot
	v.Elapsed += time.Duration(n) * conductor.ViewEvery
	s.Sources = append([]metrics.SourceView(nil), s.Sources...)
	for i := range s.Sources {
		k := 1 + float64((n*7+i*13)%11-5)/100
		s.Sources[i].Done *= k
		s.Sources[i].Age = time.Duration((n*100+i*37)%1000) * time.Millisecond
		s.Sources[i].Audit.CPU *= k
		s.Sources[i].RTT = time.Duration(float64(s.Sources[i].RTT) * k)
		s.Sources[i].BytesIn += uint64(n * 20_000)
	}
	s.Window.GoodputRPS *= 1 + float64(n%7-3)/100
	v.Snapshot = &s
	return &v
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
