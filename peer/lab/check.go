package lab

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"time"
)

// Plan is what a run was told to do, and what a test did to it: a constant rate of evenly spaced arrivals.
type Plan struct {
	Rate float64 // arrivals a second
	For  time.Duration
	// Cut is true where the run was ended before its time, so that arrivals at the end are missing.
	Cut bool
	// Silent says from when on, by the target's clock, a source may not be heard of any more.
	Silent map[int]time.Duration
	// Unreported is how many requests may be declared as unreported: those of a source that died, or was never heard again, with what
	// it had not yet sent. The target may have seen as many as are declared more than were reported.
	Unreported int64
	// Stood is how long the machine of the lab itself stood still, by the time at which it did: Target.Stood.
	Stood []Stop
	// Waited is what lt waited for processors, in order.
	Waited []Wait
	// Skew is how far apart the sources' clocks may be; 0: 100 ms.
	Skew time.Duration
}

// Findings is what a history says, and everything in it that must not be.
type Findings struct {
	Requests int
	Arrivals int           // indices seen
	Missing  int64         // indices planned and not seen
	Zero     time.Duration // run time zero on the target's clock, as the earliest request has it
	Busiest  int           // arrivals in the busiest second
	Latest   time.Duration // the most that an arrival came after it was due
	Skew     time.Duration // between the sources' earliest requests, each against when it was due
	Wrong    []string
}

// stood is for how long the machine stood still between two times.
func stood(stops []Stop, from, to time.Duration) (sum time.Duration) {
	for _, s := range stops {
		if s.At > from && s.At-s.For < to {
			sum += s.For
		}
	}
	return sum
}

// Wait is how long something that was ready had to wait for a processor, as two looks at the kernel's account of it tell. It tells of a
// wait when it is over: it ended between them, and may have begun before.
type Wait struct{ From, At, For time.Duration }

// behind is how late something may be at a time because of such waits: all that had ended, or may have, back to where there was last time
// enough to make good what had waited.
func behind(waited []Wait, at time.Duration) (sum time.Duration) {
	back := at - drained
	n := sort.Search(len(waited), func(i int) bool { return waited[i].From >= at })
	for i := n - 1; i >= 0 && waited[i].At >= back; i-- {
		w := waited[i]
		sum += w.For
		if w.For > (w.At-w.From)/2 { // it began behind
			back = min(back, w.From, w.At-w.For)
		}
	}
	return sum
}

const (
	look    = 50 * time.Millisecond
	aboveBy = 1.05                   // of the plan, in any second
	drained = 100 * time.Millisecond // after a standstill, what had waited has come by then
	// After a second of standing still arrivals are dropped and not caught up; how late one is, is measured by the source that was
	// the earliest of all, and a request has its way to the target.
	stalled = time.Second + 2*drained
)

// Check holds a history to the plan and to what was reported (nil: nothing was). Its rules are those of a fleet:
//
//  1. no index begins twice;
//  2. what was seen and what was declared as dropped, short or unreported is the whole plan, without a fault exactly;
//  3. what was reported is what was seen;
//  4. no second of the target's clock, wherever it begins, has more than 105 % of the plan, and nothing is so late that it was
//     caught up after a standstill;
//  5. a source that has to be silent is;
//  6. the sources began together.
//
// The rules about when something is noticed, what is left behind, exit codes and secrets are checked where they are seen: Run and Lab.
func Check(hits []Hit, p Plan, s *Summary) Findings {
	f := Findings{Requests: len(hits)}
	said := map[string]int{}
	wrong := func(format string, args ...any) { // a few of each kind are enough
		if said[format]++; said[format] <= 3 {
			f.Wrong = append(f.Wrong, fmt.Sprintf(format, args...))
		}
	}
	skew := cmp.Or(p.Skew, 100*time.Millisecond)
	planned := int64(p.Rate*p.For.Seconds() + 0.5)
	due := func(i int64) time.Duration { return time.Duration((float64(i) + 0.5) / p.Rate * float64(time.Second)) }

	type exchange struct {
		index         int64
		step, attempt int
	}
	seen := map[exchange]Hit{}
	arrivals := map[int64]Hit{} // by their first request
	first := map[int]time.Duration{}
	for _, h := range hits {
		if h.ID == "" {
			wrong("a request for %s from %v without an identity", h.Path, h.From)
			continue
		}
		k := exchange{h.Index, h.Step, h.Attempt}
		if before, ok := seen[k]; ok {
			wrong("index %d, step %d begun twice: by source %d at %v and by source %d at %v", h.Index, h.Step, before.Source, before.At, h.Source, h.At)
			continue
		}
		seen[k] = h
		if h.Index >= planned {
			wrong("index %d, but the plan has %d arrivals", h.Index, planned)
		}
		if before, ok := arrivals[h.Index]; !ok || h.At < before.At {
			arrivals[h.Index] = h
		}
		if from, ok := p.Silent[h.Source]; ok && h.At > from+stood(p.Stood, from, h.At)+behind(p.Waited, h.At) {
			wrong("source %d began index %d at %v and had to be silent from %v on", h.Source, h.Index, h.At, from)
		}
	}
	f.Arrivals = len(arrivals)
	f.Missing = planned - int64(f.Arrivals)

	ordered := make([]Hit, 0, len(arrivals))
	for i, h := range arrivals {
		ordered = append(ordered, h)
		early := h.At - due(i)
		if at, ok := first[h.Source]; !ok || early < at {
			first[h.Source] = early
		}
	}
	slices.SortFunc(ordered, func(a, b Hit) int { return cmp.Compare(a.At, b.At) })
	if len(first) > 0 {
		earliest, last := time.Duration(1<<62), time.Duration(-1<<62)
		for _, at := range first {
			earliest, last = min(earliest, at), max(last, at)
		}
		f.Zero, f.Skew = earliest, last-earliest
	}
	if f.Skew > skew {
		wrong("the sources' clocks are %v apart, more than %v", f.Skew, skew)
	}

	// A second begins at each arrival, so the busiest is among them. It cuts the arrivals of each source at two places, and has at
	// most one more of each than the plan gives to it. What was due before it is in it only if it could not come by then, which is the
	// machine's doing as long as it stood still, or a thread waited for a processor, as that second began.
	var end int
	for begin, h := range ordered {
		for ; end < len(ordered) && ordered[end].At < h.At+time.Second; end++ {
		}
		n := end - begin
		f.Busiest = max(f.Busiest, n)
		kept := stood(p.Stood, h.At-drained, h.At) + behind(p.Waited, h.At)
		if most := (aboveBy+kept.Seconds())*p.Rate + float64(len(first)); float64(n) > most {
			wrong("%d arrivals in the second from %v on; the plan has %.0f, and %v before it nothing could come", n, h.At, p.Rate, kept)
		}
		by := h.At - f.Zero - due(h.Index)
		if f.Latest = max(f.Latest, by); by > stalled+stood(p.Stood, h.At-by-stalled, h.At)+behind(p.Waited, h.At) {
			wrong("index %d came %v after it was due: it was caught up", h.Index, by)
		}
	}

	if s == nil {
		return f
	}
	declared, unreported := s.Totals.Dropped+s.Totals.Shortfall, s.Totals.Unreported
	if unreported > p.Unreported {
		wrong("%d requests are declared as unreported; it may be %d", unreported, p.Unreported)
	}
	if less := int64(f.Requests) - s.Totals.Requests; less < 0 || less > unreported {
		wrong("the target saw %d requests and %d were reported; %d are declared as unreported", f.Requests, s.Totals.Requests, unreported)
	}
	// What is unreported may have begun or not.
	if !p.Cut && (f.Missing > declared+unreported || f.Missing < declared) {
		wrong("%d of %d arrivals were not seen; %d are declared as dropped, %d as short and %d as unreported", f.Missing, planned, s.Totals.Dropped, s.Totals.Shortfall, unreported)
	}
	return f
}
