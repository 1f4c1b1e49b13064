package limits

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

// The heap is bound below what may be used, which stays what it was; a bound of the user's is not touched.
func TestBoundHeap(t *testing.T) {
	old, asked := debug.SetMemoryLimit(-1), heapLimit
	defer func() { debug.SetMemoryLimit(old); heapLimit = asked }()
	debug.SetMemoryLimit(math.MaxInt64)
	heapLimit = math.MaxInt64
	may := Memory()
	if may == 0 {
		t.Skip("this system does not tell how much memory there is")
	}
	BoundHeap()
	if got := debug.SetMemoryLimit(-1); got <= 0 || uint64(got) >= may || Memory() != may {
		t.Errorf("the heap is bound to %d of %d bytes, and %d may be used then", got, may, Memory())
	}
	heapLimit = 100 << 20
	debug.SetMemoryLimit(heapLimit)
	BoundHeap()
	if got := debug.SetMemoryLimit(-1); got != 100<<20 {
		t.Errorf("GOMEMLIMIT of 100 MiB became %d", got)
	}
}

func heapFigure(name string) float64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	return number(s[0].Value)
}

// Up to half of the least goal in use the heap may grow to that goal; beyond it, to twice what is in use.
func TestCollectorsGoal(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(usualPercent))
	t.Setenv("GOGC", "")
	c := OpenCollector()
	if m := Memory(); m > 0 && m < leastGoal/goalShare {
		t.Skipf("there are only %d bytes of memory", m)
	}
	for _, kept := range []int{0, 1 << 20, 3 << 20, 20 << 20, 1 << 20} {
		ballast := make([]byte, kept)
		runtime.GC()
		c.Tune()
		live, goal := heapFigure("/gc/heap/live:bytes"), heapFigure("/gc/heap/goal:bytes")
		want := max(c.goal, live+(live+heapFigure("/gc/scan/stack:bytes")+heapFigure("/gc/scan/globals:bytes")))
		if math.Abs(goal-want) > nearGoal*want+1<<16 {
			t.Errorf("%.1f MB in use: the goal is %.1f MB, want %.1f", live/1e6, goal/1e6, want/1e6)
		}
		runtime.KeepAlive(ballast)
	}
	c.Close()
	if got := debug.SetGCPercent(usualPercent); got != usualPercent {
		t.Errorf("afterwards the collector is at %d %%", got)
	}
}

// Where memory is short the runtime's own rule stays.
func TestCollectorInASmallGroup(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(usualPercent))
	defer func(old int64) { heapLimit = old }(heapLimit)
	t.Setenv("GOGC", "")
	heapLimit = 32 << 20
	c := OpenCollector()
	runtime.GC()
	c.Tune()
	if got := debug.SetGCPercent(usualPercent); got != usualPercent || c.goal != usualGoal {
		t.Errorf("in 32 MB the goal is %.0f bytes and the collector at %d %%", c.goal, got)
	}
}

func TestCollectorHeedsTheUser(t *testing.T) {
	if os.Getenv("GOGC") != "" {
		t.Skip("GOGC is set for this test itself")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(55))
	t.Setenv("GOGC", "55")
	c := OpenCollector()
	runtime.GC()
	c.Tune()
	c.Close()
	if got := debug.SetGCPercent(55); got != 55 {
		t.Errorf("GOGC=55 became %d", got)
	}
}
