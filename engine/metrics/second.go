package metrics

import (
	"math"
	"time"
)

// Second is one row of the run's list by second. Rates are a second; percentiles are milliseconds of the response time,
// NaN where nothing ended.
type Second struct {
	T                                      time.Duration // run time at which it begins
	Arrivals, Offered, Throughput, Goodput float64
	Errors, Late, Dropped                  uint64
	Users, InFlight                        int
	P50, P90, P95, P99, Max                float64
	Sources                                int
}

// row is one second at rest. The list of rows is the only part of a tally that grows with the run, so it is kept small.
type row struct {
	scheduled, started, due, requests, answers, good, errors, late, dropped uint32
	iterations, failed, unfinished, opened                                  uint32
	users, inFlight, inFlightMax                                            uint32
	p50, p90, p95, p99, max                                                 float32 // ms; p50 is NaN where nothing ended
	covered                                                                 uint16  // ms of it that a source reported
	sources                                                                 uint16
}

func (w *row) percentiles(r *resting) {
	if r.count == 0 {
		return
	}
	var q [4]float64
	r.milliseconds([]float64{.5, .9, .95, .99}, q[:])
	w.p50, w.p90, w.p95, w.p99, w.max = float32(q[0]), float32(q[1]), float32(q[2]), float32(q[3]), float32(ms(r.max))
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// seconds is how long a row lasted, in seconds: less than one where a run ended within it. One that nobody reported was a whole one.
func (w *row) seconds() float64 {
	if w.sources == 0 {
		return 1
	}
	return float64(max(w.covered, 1)) / 1000
}

// stub is the time, in seconds, from which on what there was of a second is a base for a rate.
const stub = 0.5

// per is what makes a rate of counts of the last of some rows or points, which lasted so many seconds. Where a run ended soon after a
// second began, they are what there was in that second: three answers in 3 ms are no rate of a thousand a second. Only of a run that is
// no longer than that there is nothing else to tell.
func per(seconds float64, only bool) float64 {
	if seconds < stub && !only {
		return 1
	}
	return 1 / seconds
}

// seconds are the rows that an interval covers. Its counts are spread evenly over them, and what is left over by rounding
// comes out so that the parts are the whole; its histograms stand at the last one.
type seconds struct{ first, last int }

func (s seconds) part(x uint64, k int) uint32 {
	return uint32(min(Part(x, uint64(k-s.first), uint64(s.last-s.first+1)), math.MaxUint32))
}

// Part is the k-th, from 0, of n even parts of a count, which together are all of it.
func Part(x, k, n uint64) uint64 { return x*(k+1)/n - x*k/n }

// maxRows bounds the run time that a tally follows by second to what the longest points of the series hold: 2,048 h, twice the longest
// profile, which take 650 MB. What claims to be later counts in the last row.
const maxRows = MaxPoints << (levels - 1)

// MaxJoin is how many seconds one interval may cover and be spread over; a longer one counts in its last ones.
const MaxJoin = 60

// spread enters the interval's own counts and gauges into its rows.
func (t *Tally) spread(iv *Interval, src *sourceSum) seconds {
	end := iv.From + max(iv.Length, 1)
	at := seconds{int(max(iv.From, 0) / time.Second), int(max(end-1, 0) / time.Second)}
	at.last = min(max(at.last, 0), maxRows-1)
	at.first = max(min(at.first, at.last), at.last-MaxJoin+1)
	for len(t.rows) <= at.last {
		t.rows = append(t.rows, row{p50: float32(math.NaN())})
	}
	for k := at.first; k <= at.last; k++ {
		w := &t.rows[k]
		w.scheduled += at.part(iv.Scheduled, k)
		w.started += at.part(iv.Started, k)
		w.due += at.part(iv.Due, k)
		w.late += at.part(iv.Late, k)
		w.dropped += at.part(iv.Dropped, k)
		w.iterations += at.part(iv.Iterations, k)
		w.failed += at.part(iv.Failed, k)
		w.unfinished += at.part(iv.Unfinished, k)
		w.opened += at.part(iv.Opened, k)
		from := time.Duration(k) * time.Second
		part := min(end, from+time.Second) - max(iv.From, from)
		w.covered = max(w.covered, uint16(max(part, 0)/time.Millisecond))
		src.gauge.enter(t, k, iv)
		src.begin(k, at.part(iv.Started, k))
	}
	t.series.reach(len(t.rows), t.findSecond, t.errors)
	t.series.touch(at.first)
	return at
}

// begin counts arrivals that a source began within a second.
func (s *sourceSum) begin(k int, n uint32) {
	b := &s.begun[k%liveSeconds]
	if b.row < k {
		*b = begun{row: k}
	}
	if b.row == k {
		b.started += n
	}
}

// enter puts a source's gauges into a row, in place of what it reported for the same row before.
func (g *gauge) enter(t *Tally, k int, iv *Interval) {
	w := &t.rows[k]
	if g.row == k {
		w.users -= uint32(g.users)
		w.inFlight -= uint32(g.inFlight)
		w.inFlightMax -= uint32(g.inFlightMax)
	} else {
		w.sources++
	}
	n := gauge{k, max(iv.Users, 0), max(iv.InFlight, 0), max(iv.InFlightMax, iv.InFlight, 0), max(iv.Queued, 0), max(iv.Connections, 0)}
	w.users += uint32(n.users)
	w.inFlight += uint32(n.inFlight)
	w.inFlightMax += uint32(n.inFlightMax)
	if k >= g.row {
		*g = n
	}
}

// second is one of the last seconds with everything it takes to make a window and a point.
type second struct {
	cell
	known       bool // something was reported for it
	lag         resting
	dropped     uint64
	droppedFrom time.Duration
	requests    []uint32 // by step
}

// findSecond finds a second that still keeps its histograms; nil where nothing was reported for it or it is too old.
func (t *Tally) findSecond(k int) *second {
	if s := &t.live[k%liveSeconds]; k >= t.series.sealed && s.known {
		return s
	}
	return nil
}

// liveSecond finds or begins a second that keeps its histograms; nil where it is too old.
func (t *Tally) liveSecond(k int) *second {
	if k < t.series.sealed {
		return nil
	}
	s := &t.live[k%liveSeconds]
	if !s.known {
		*s = t.newSecond()
	}
	return s
}

func (t *Tally) newSecond() second {
	return second{known: true, cell: cell{steps: make([]sketch, len(t.steps))}, requests: make([]uint32, len(t.steps))}
}

func (s *second) addRecord(r *Record, buf *sketch) {
	if int(r.Step) >= len(s.requests) {
		return
	}
	s.requests[r.Step] += uint32(r.Requests)
	if r.Outcome == Waited {
		s.steps[r.Step] = s.steps[r.Step].merge(r.Response.sketch(coarseBits, buf), buf)
	}
}

// Intervals is the whole run by second, without gaps. Rates of the last second, if the run ended in its second half, are over what it
// had of it.
func (t *Tally) Intervals() []Second {
	out := make([]Second, len(t.rows))
	for i := range out {
		w := &t.rows[i]
		per := per(w.seconds(), len(out) == 1)
		s := &out[i]
		*s = Second{
			T: time.Duration(i) * time.Second, Arrivals: float64(w.scheduled) * per, Offered: float64(w.due) * per,
			Throughput: float64(w.answers) * per, Goodput: float64(w.good) * per,
			Errors: uint64(w.errors), Late: uint64(w.late), Dropped: uint64(w.dropped), Users: int(w.users), InFlight: int(w.inFlight),
			P50: float64(w.p50), P90: float64(w.p90), P95: float64(w.p95), P99: float64(w.p99), Max: float64(w.max), Sources: int(w.sources),
		}
		if math.IsNaN(s.P50) {
			s.P90, s.P95, s.P99, s.Max = s.P50, s.P50, s.P50, s.P50
		}
	}
	return out
}
