package limits

import (
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// heapShare is how much of the memory that may be used the heap may grow to before the collector works as hard as it can: the
	// kernel's part of every connection, and what else runs on the machine, need the rest.
	heapShare = 0.8

	// leastGoal is the heap, in bytes, below which garbage is left alone, where it is no more than goalShare of the memory that may be
	// used. The runtime collects it when the heap is twice what is in use: then every page of a histogram that is touched for the
	// first time takes two, for hours, and the 5 MB of a usual run are gone through more often than they need be, on the cores that
	// measure.
	leastGoal = 16 << 20
	goalShare = 0.125

	// usualPercent is the runtime's own rule, which comes with a least goal of its own.
	usualPercent = 100
	usualGoal    = 4 << 20
	// nearGoal is how far from leastGoal the goal may be before it is set again, which stops the world for some ten microseconds.
	nearGoal = 0.1
)

// BoundHeap keeps the heap of the process within its machine. A GOMEMLIMIT of the user's stays as it is. It is meant to be called
// once, at the start.
func BoundHeap() {
	if m := Memory(); m > 0 && heapLimit == math.MaxInt64 {
		debug.SetMemoryLimit(int64(float64(m) * heapShare))
	}
}

// Collector sets when garbage is collected. It is for the whole process; one goroutine may use it.
type Collector struct {
	samples []metrics.Sample
	goal    float64 // the least, in bytes
	percent int     // as it was set last
	asked   bool
}

// OpenCollector begins with the runtime's own rule, which Close brings back.
func OpenCollector() *Collector {
	c := &Collector{goal: leastGoal, percent: usualPercent, asked: os.Getenv("GOGC") != ""}
	if m := Memory(); m > 0 {
		c.goal = max(usualGoal, min(c.goal, float64(m)*goalShare))
	}
	for _, name := range []string{"/gc/heap/live:bytes", "/gc/scan/stack:bytes", "/gc/scan/globals:bytes", "/gc/heap/goal:bytes"} {
		c.samples = append(c.samples, metrics.Sample{Name: name})
	}
	return c
}

// Tune lets the heap grow to the least goal, or to twice what is in use if that is more, before garbage is collected. It is meant to
// be called once a second. A GOGC of the user's stays as it is.
func (c *Collector) Tune() {
	if c.asked {
		return
	}
	metrics.Read(c.samples)
	live, goal := number(c.samples[0].Value), number(c.samples[3].Value)
	scanned := live + number(c.samples[1].Value) + number(c.samples[2].Value)
	if live == 0 || scanned == 0 {
		return // nothing was collected yet
	}
	percent := usualPercent
	if live+scanned < c.goal {
		if math.Abs(goal-c.goal) <= nearGoal*c.goal {
			return
		}
		// The runtime's goal is live + scanned * percent / 100, and no less than usualGoal * percent / 100.
		percent = int(100 * min((c.goal-live)/scanned, c.goal/usualGoal))
	}
	c.set(percent)
}

// Close goes back to the runtime's own rule.
func (c *Collector) Close() { c.set(usualPercent) }

func (c *Collector) set(percent int) {
	if c.asked || percent == c.percent {
		return
	}
	c.percent = percent
	debug.SetGCPercent(percent)
}
