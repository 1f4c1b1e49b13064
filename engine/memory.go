package engine

import (
	"fmt"
	"runtime/debug"
	"time"

	"lt/engine/limits"
)

const (
	// fullAt is the share of the memory limit above which no new users begin; drainAt that above which the run is ended.
	// openAt is that below which they begin again.
	fullAt  = 0.90
	drainAt = 0.97
	openAt  = 0.85
	// lookEvery is how often memory is looked at: new connections can fill a small control group within two seconds.
	lookEvery = 100 * time.Millisecond
	// pace is how many looks, a second, the growth is taken over: the heap grows by steps of megabytes, which from look to look would
	// seem a flood.
	pace = 10
	// ahead is what share of that growth is still to come from what has begun when new users are given up.
	ahead = 0.5
	// restAfter is how many times as long as it took the collector of garbage is left alone after it was called.
	restAfter = 20
	// sayEvery is how many looks, ten seconds, pass before the guard repeats itself.
	sayEvery = 100
)

// memoryWatch gives up new users before memory runs out, and then the run.
type memoryWatch struct {
	e     *Engine
	share func() float64
	free  func() // gives back what is garbage; nil: nothing can be
	close func()
	again time.Time     // free may be called
	last  [pace]float64 // shares of the limit at the looks before, in a ring
	first float64
	looks int
	said  int // number of the look at which it last said that no new users begin; 0: never
}

func watchMemory(e *Engine) *memoryWatch {
	w := &memoryWatch{e: e, share: e.cfg.Pressure, close: func() {}}
	if w.share == nil {
		p := limits.OpenPressure()
		w.share, w.free, w.close = p.Share, debug.FreeOSMemory, p.Close
	}
	return w
}

// look compares what is used now, and what will be if it goes on to grow as it did, with the marks.
func (w *memoryWatch) look() {
	used, g := w.share(), &w.e.guard
	at := &w.last[w.looks%pace]
	before := *at
	if w.looks < pace {
		before = w.first
	}
	if w.looks == 0 {
		before, w.first = used, used
	}
	*at = used
	w.looks++
	growth := max(0, used-before)
	soon := used + growth*ahead
	if soon > fullAt {
		fresh := !g.full.Swap(true)
		if w.collected() { // what was garbage does not count
			used = w.share()
			growth = max(0, used-before)
			*at, soon = used, used+growth*ahead
		}
		if fresh && soon >= openAt && (w.said == 0 || w.looks-w.said > sayEvery) {
			w.said = w.looks
			text := "memory is above 90 % of the limit: no new virtual users begin"
			if used <= fullAt {
				text = fmt.Sprintf("memory is at %.0f %% of the limit and grew by %.0f %% in a second: no new virtual users begin", 100*used, 100*growth)
			}
			w.e.cfg.OnGuard(text, false)
		}
	}
	if used > drainAt && !g.drained.Swap(true) {
		w.e.cfg.OnGuard("memory is above 97 % of the limit: the run is drained and reported", true)
	}
	if soon < openAt {
		g.full.Store(false)
	}
}

// collected has garbage collected and its memory given back to the system, unless that was done a moment ago.
func (w *memoryWatch) collected() bool {
	began := time.Now()
	if w.free == nil || began.Before(w.again) {
		return false
	}
	w.free()
	ended := time.Now()
	w.again = ended.Add(max(pace*lookEvery, restAfter*ended.Sub(began)))
	return true
}
