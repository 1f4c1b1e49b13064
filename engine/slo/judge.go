package slo

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"lt/engine/metrics"
)

// Grace is how much of the counted time must have passed before a criterion about the whole run may stop it: the first
// requests of a run say little. A criterion with a window has that window as its grace.
const Grace = 10 * time.Second

// near is how close to its limit a value is called near: within a tenth of it.
const near = 0.1

// Judge says how criteria stand while a run goes on and at its end. One goroutine may use it.
type Judge struct {
	criteria []*state
	stages   []metrics.StageInfo
	now      time.Duration // end of the last complete second
	counted  time.Duration // counted time so far
}

// state is one criterion with what it is judged by.
type state struct {
	*Criterion
	in    []bool // by step
	total sums
	// Of a criterion with a window: sums by second, keyed by the second's number, from the oldest that a window may still
	// need; run is how many complete seconds in a row have counted.
	seconds map[int64]*sums
	run     time.Duration
	known   bool
	failed  bool // a window failed
	value   float64
	count   uint64
	atLeast bool
	worst   float64
	since   time.Duration
	failing bool
}

// sums is what a criterion needs to know of some time.
type sums struct {
	requests, errors, dropped, scheduled uint64
	droppedFrom                          time.Duration // the shortest wait of a dropped arrival
	response                             metrics.Histogram
}

func (s *sums) add(o *sums) {
	s.requests += o.requests
	s.errors += o.errors
	s.droppedFrom = metrics.Shortest(s.dropped, s.droppedFrom, o.dropped, o.droppedFrom)
	s.dropped += o.dropped
	s.scheduled += o.scheduled
	s.response.Add(&o.response)
}

// NewJudge makes a judge of a run with these steps and stages. The error says which criterion names a step that is not
// there.
func NewJudge(criteria []*Criterion, steps []metrics.StepName, stages []metrics.StageInfo) (*Judge, error) {
	j := &Judge{stages: stages}
	for _, c := range criteria {
		in, err := c.steps(steps)
		if err != nil {
			return nil, fmt.Errorf("slo %q: %w", c.Expr, err)
		}
		s := &state{Criterion: c, in: in}
		if c.Window > 0 {
			s.seconds = map[int64]*sums{}
		}
		j.criteria = append(j.criteria, s)
	}
	return j, nil
}

// Add takes one interval of one source, in any order between sources. What comes after its second was declared complete
// amends the totals, but no window that was judged. Where a slow link joined several seconds, each has its part of the counts, and
// the times are those of the last; of one that claims more than metrics.MaxJoin the last ones have it all. Nothing of iv is kept.
func (j *Judge) Add(iv *metrics.Interval) {
	last := int64((iv.From + max(iv.Length, 1) - 1) / time.Second)
	first := max(int64(iv.From/time.Second), last-metrics.MaxJoin+1)
	n := uint64(last - first + 1)
	for _, s := range j.criteria {
		if s.seconds == nil {
			j.of(s, iv, func(r *metrics.Record) { s.total.record(r, 0, 1) })
			continue
		}
		for k := range n {
			if second := first + int64(k); time.Duration(second)*time.Second >= j.now {
				w := s.at(second)
				w.scheduled += metrics.Part(iv.Scheduled, k, n)
				j.of(s, iv, func(r *metrics.Record) { w.record(r, k, n) })
			}
		}
	}
}

// of calls do with the records of an interval that a criterion is about.
func (j *Judge) of(s *state, iv *metrics.Interval, do func(*metrics.Record)) {
	for i := range iv.Records {
		if r := &iv.Records[i]; int(r.Step) < len(s.in) && s.in[r.Step] && !j.left(r.Stage) {
			do(r)
		}
	}
}

// at is the sums of a second.
func (s *state) at(second int64) *sums {
	w := s.seconds[second]
	if w == nil {
		w = &sums{}
		s.seconds[second] = w
	}
	return w
}

// left reports whether what was intended in a stage is left out.
func (j *Judge) left(stage int16) bool {
	return stage == metrics.NoStage || stage >= 0 && int(stage) < len(j.stages) && j.stages[stage].Warmup
}

// record adds the k-th of n seconds of a record.
func (s *sums) record(r *metrics.Record, k, n uint64) {
	s.requests += metrics.Part(r.Requests, k, n)
	s.errors += metrics.Part(r.ErrorCount(), k, n)
	dropped := metrics.Part(r.Dropped, k, n)
	s.droppedFrom = metrics.Shortest(s.dropped, s.droppedFrom, dropped, r.DroppedFrom)
	s.dropped += dropped
	if r.Outcome == metrics.Waited && k == n-1 {
		s.response.Add(&r.Response)
	}
}

// Second says that the second of run time that ends at to is complete, and whether it counts: profile time outside of
// warm-up and pauses. Seconds come in order. A second that does not count begins every window anew.
func (j *Judge) Second(to time.Duration, counts bool) {
	if to <= j.now {
		return
	}
	j.now = to
	if counts {
		j.counted += time.Second
	}
	last := int64((to - 1) / time.Second)
	for _, s := range j.criteria {
		if s.seconds == nil {
			continue
		}
		if !counts {
			s.run = 0
			s.forget(last)
			continue
		}
		s.run += time.Second
		first := last - int64(s.Window/time.Second) + 1
		if s.run >= s.Window {
			var w sums
			for k := first; k <= last; k++ {
				if x := s.seconds[k]; x != nil {
					w.add(x)
				}
			}
			s.judge(&w, to)
		}
		s.forget(first)
	}
}

// forget lets the sums of all seconds up to last go. Later ones are there already if some sources are ahead of others.
func (s *state) forget(last int64) {
	for k := range s.seconds {
		if k <= last {
			delete(s.seconds, k)
		}
	}
}

// judge takes one full window that ends at to.
func (s *state) judge(w *sums, to time.Duration) {
	v, known := s.measure(w, s.Window)
	if !known {
		return
	}
	if !s.known {
		s.worst = v
	}
	s.known, s.value, s.count, s.atLeast = true, v, w.response.Count(), s.lowerBound(v, w)
	s.worst = s.worse(s.worst, v)
	ok := s.holds(v)
	if !ok && !s.failing {
		s.since = to - s.Window
	}
	s.failing = !ok
	s.failed = s.failed || !ok
}

// measure is the metric over some time; known is false where there is nothing to measure it by.
func (c *Criterion) measure(w *sums, length time.Duration) (v float64, known bool) {
	switch c.Metric {
	case Percentile:
		return millis(w.response.Quantile(c.Quantile)), w.response.Count() > 0
	case Mean:
		return millis(w.response.Mean()), w.response.Count() > 0
	case Max:
		return millis(w.response.Max()), w.response.Count() > 0
	case Errors:
		all := w.requests + w.dropped
		return float64(w.errors+w.dropped) / max(1, float64(all)), all > 0
	case Rate:
		if length <= 0 {
			return 0, false
		}
		return float64(w.requests-min(w.requests, w.errors)) / length.Seconds(), true
	case Dropped:
		return float64(w.dropped), length > 0
	}
	return float64(w.dropped) / max(1, float64(w.scheduled)), w.scheduled > 0
}

func millis(d time.Duration) float64 { return float64(d) / 1e6 }

// Results says how each criterion stands, in their order. totals are those of the run so far; they give the rates and the
// arrivals of criteria about the whole run, so that verdict and summary show the same figures.
func (j *Judge) Results(totals *metrics.Totals) []Result {
	out := make([]Result, 0, len(j.criteria))
	for _, s := range j.criteria {
		out = append(out, j.result(s, totals))
	}
	return out
}

func (j *Judge) result(s *state, totals *metrics.Totals) Result {
	r := Result{Expr: s.Expr, Window: s.Window}
	if s.Window > 0 {
		r.Known, r.Value, r.Worst, r.OK, r.Since = s.known, s.value, s.worst, s.known && !s.failed, s.since
		r.Ends = s.Stop && s.failed
		r.Text = s.text(r.Value, r.Known, s.count, s.atLeast)
		if r.Known && s.failed && s.holds(s.value) {
			r.Text += ", worst " + s.format(s.worst)
		}
	} else {
		length := totals.Counted
		s.total.scheduled = totals.Scheduled
		r.Value, r.Known = s.measure(&s.total, length)
		if s.Metric == Rate && s.Scope == "" {
			r.Value = totals.GoodputRPS
		}
		r.Worst = r.Value
		r.OK = r.Known && s.holds(r.Value)
		switch {
		case !r.Known || r.OK:
			s.failing = false
		case !s.failing:
			s.failing, s.since = true, j.now
		}
		if s.failing {
			r.Since = s.since
		}
		r.Ends = s.Stop && r.Known && !r.OK && length >= Grace
		r.Text = s.text(r.Value, r.Known, s.total.response.Count(), s.lowerBound(r.Value, &s.total))
	}
	r.Fails = s.failing
	r.Near = r.OK && s.Limit > 0 && math.Abs(r.Value-s.Limit) <= near*s.Limit
	return r
}

// lowerBound reports whether v, measured over w, is only a lower bound of the true value: dropped arrivals count with the time that they
// had waited, and would have taken longer. Where all had waited longer than a percentile says, they lie above it anyhow.
func (c *Criterion) lowerBound(v float64, w *sums) bool {
	switch c.Metric {
	case Percentile, Max:
		return w.dropped > 0 && v >= millis(w.droppedFrom)
	case Mean:
		return w.dropped > 0
	}
	return false
}

// text is a value with its unit, and what a reader must know of it: that it is a lower bound, or that it stands on few requests.
// A percentile q needs ten values beyond it, so 10/(1-q).
func (c *Criterion) text(v float64, known bool, count uint64, atLeast bool) string {
	if !known {
		return "no samples"
	}
	s := c.format(v)
	if atLeast {
		s = ">= " + s
	}
	if c.Metric == Percentile && float64(count)*(1-c.Quantile) < 10-1e-6 {
		plural := "s"
		if count == 1 {
			plural = ""
		}
		s += fmt.Sprintf(" (only %d request%s)", count, plural)
	}
	return s
}

// format writes a value with its unit and three digits.
func (c *Criterion) format(v float64) string {
	switch c.Metric {
	case Percentile, Mean, Max:
		switch {
		case v >= 1000:
			return digits(v/1000) + " s"
		case v < 1 && v > 0:
			return digits(v*1000) + " µs"
		}
		return digits(v) + " ms"
	case Errors, DropShare:
		return digits(v*100) + " %"
	case Rate:
		return digits(v) + "/s"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// digits writes a number with two or three digits that count, so that no value but zero reads as zero.
func digits(v float64) string {
	decimals := 0
	switch {
	case v > 0 && v < 0.1:
		decimals = 1 - int(math.Floor(math.Log10(v)))
	case v < 10:
		decimals = 2
	case v < 100:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}
