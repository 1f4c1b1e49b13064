package metrics

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// complete is the run time up to which the picture is whole: every second before it was delivered by all living sources, or
// ended longer than the grace ago. Nothing beyond the newest data is shown.
func (t *Tally) complete(now time.Duration) time.Duration {
	var newest time.Duration
	delivered, living := maxTime, false
	for _, s := range t.sources {
		newest = max(newest, s.edge)
		if s.living() {
			living = true
			delivered = min(delivered, s.edge)
		}
	}
	if !living {
		return newest
	}
	if waited := now - grace; waited > delivered {
		delivered = waited.Truncate(time.Second)
	}
	return max(0, min(delivered, newest))
}

// Snapshot is the picture at run time now. Called again without new data it costs next to nothing; otherwise only that of the series
// which has changed is computed anew, and all else is.
func (t *Tally) Snapshot(now time.Duration) *Snapshot {
	elapsed := t.complete(now)
	if t.last != nil && !t.changed && t.last.Elapsed == elapsed {
		s := *t.last
		s.Sources = slices.Clone(s.Sources)
		for i := range s.Sources {
			s.Sources[i].Age = max(0, now-t.sources[i].edge)
		}
		t.last = &s
		return t.last
	}
	s := &Snapshot{Elapsed: elapsed}
	s.Series, s.Recent = t.seriesViews(elapsed)
	s.Totals = t.totals(elapsed)
	s.Window = t.window(elapsed, WindowLength)
	s.Steps = t.stepViews(elapsed, s.Totals.Counted)
	s.Stages = t.stageViews(elapsed)
	s.Sources = t.sourceViews(now, elapsed)
	s.Errors = t.errorViews(s.Series)
	s.Verdict = t.auditor.Verdict()
	t.last, t.changed = s, false
	return s
}

// part is a piece of run time.
type part struct{ from, to time.Duration }

// within is how much of it lies in [from, to).
func (p part) within(from, to time.Duration) time.Duration {
	return max(0, min(p.to, to)-max(p.from, from))
}

// counted are the pieces of run time that the totals' rates refer to: the stages that count, neighbours joined. Without
// stages all of it.
func (t *Tally) counted(elapsed time.Duration) []part {
	if len(t.spans) == 0 {
		return []part{{0, elapsed}}
	}
	return t.pieces(elapsed, func(stage int16) bool { return !t.left(stage) })
}

func (t *Tally) pieces(elapsed time.Duration, want func(stage int16) bool) []part {
	var parts []part
	for i, s := range t.spans {
		p := held(t.spans[i:])
		p.to = min(p.to, elapsed)
		if !want(s.stage) || p.to <= p.from {
			continue
		}
		if n := len(parts); n > 0 && parts[n-1].to == p.from {
			parts[n-1].to = p.to
		} else {
			parts = append(parts, p)
		}
	}
	return parts
}

// held is the run time of the first of some spans, which ends where the next one begins at the latest.
func held(spans []span) part {
	p := part{spans[0].from, spans[0].to}
	if len(spans) > 1 {
		p.to = min(p.to, spans[1].from)
	}
	return p
}

// rates are counts over the rows inside some pieces of run time, and how long these rows are together.
type rates struct {
	scheduled, due, requests, answers, good, errors, dropped uint64
	seconds                                                  float64
}

// add adds a share of a row.
func (r *rates) add(w *row, share float64) {
	of := func(n uint32) uint64 { return uint64(math.Round(float64(n) * share)) }
	r.scheduled += of(w.scheduled)
	r.due += of(w.due)
	r.requests += of(w.requests)
	r.answers += of(w.answers)
	r.good += of(w.good)
	r.errors += of(w.errors)
	r.dropped += of(w.dropped)
}

// over adds up the rows that lie wholly inside the pieces. A piece that holds no whole row (shorter than two seconds, or
// the last of a run) has of each row that it touches the share that it has of its time under load, and its own length counts.
func (t *Tally) over(parts []part, elapsed time.Duration) rates {
	var sum rates
	for _, p := range parts {
		first, last := int((p.from+time.Second-1)/time.Second), int(p.to/time.Second)
		if last > first {
			sum.seconds += float64(last - first)
			for k := first; k < min(last, len(t.rows)); k++ {
				sum.add(&t.rows[k], 1)
			}
			continue
		}
		sum.seconds += (p.to - p.from).Seconds()
		for k := int(p.from / time.Second); k < min(int((p.to+time.Second-1)/time.Second), len(t.rows)); k++ {
			from := time.Duration(k) * time.Second
			to := min(from+time.Second, elapsed)
			sum.add(&t.rows[k], float64(p.within(from, to))/float64(max(t.loaded(from, to), p.within(from, to), 1)))
		}
	}
	return sum
}

// loaded is how much of the run time [from, to) stages held, pauses left out.
func (t *Tally) loaded(from, to time.Duration) (sum time.Duration) {
	for i := range t.spans {
		if t.spans[i].stage != NoStage {
			sum += held(t.spans[i:]).within(from, to)
		}
	}
	return sum
}

// rate is a count a second; zero over no time.
func (r *rates) rate(n uint64) float64 {
	if r.seconds <= 0 {
		return 0
	}
	return float64(n) / r.seconds
}

// totals: counts of requests and errors are by the requests' own stage, so that what was sent is counted whenever it came
// back; arrivals and iterations are by the second; rates are over the whole seconds inside the counted stages.
func (t *Tally) totals(elapsed time.Duration) Totals {
	parts := t.counted(elapsed)
	r := t.over(parts, elapsed)
	s := &t.total
	v := Totals{
		Requests: s.requests, Errors: s.errors, ErrorRate: s.errorRate(), Dropped: s.dropped, Stale: s.stale,
		BytesIn: s.in, BytesOut: s.out,
		ArrivalsRPS: r.rate(r.scheduled), OfferedRPS: r.rate(r.due), ThroughputRPS: r.rate(r.answers), GoodputRPS: r.rate(r.good),
		Response: s.quantiles(), Service: s.service.Summary(), CutShort: s.cut.Summary(), Lag: t.lag.Summary(), Queued: t.waiting.Summary(),
	}
	for _, p := range parts {
		v.Counted += p.to - p.from
	}
	var scheduled, done uint64
	spans := t.spans
	for k := range t.rows {
		w, from := &t.rows[k], time.Duration(k)*time.Second
		scheduled += uint64(w.scheduled)
		done += uint64(w.started) + uint64(w.dropped)
		for len(spans) > 1 && spans[1].from <= from {
			spans = spans[1:]
		}
		if !t.counts(spans, from) {
			continue
		}
		v.Iterations += uint64(w.iterations)
		v.Failed += uint64(w.failed)
		v.Unfinished += uint64(w.unfinished)
		v.Scheduled += uint64(w.scheduled)
		v.Started += uint64(w.started)
		v.Late += uint64(w.late)
		v.Opened += uint64(w.opened)
		v.UsersPeak = max(v.UsersPeak, int(w.users))
		v.InFlightPeak = max(v.InFlightPeak, int(w.inFlightMax))
	}
	v.UsersPeak = max(v.UsersPeak, v.InFlightPeak) // a run may be over before the first look at its users
	v.Shortfall = scheduled - min(scheduled, done) + t.gaps
	return v
}

// counts reports whether the arrivals of the second that begins at from stand in the totals: those of a second that is
// partly a pause do, for nothing becomes due in a pause; one on the edge of a warm-up goes with its larger part. spans are those
// of which a part may lie in that second or later.
func (t *Tally) counts(spans []span, from time.Duration) bool {
	var in, out time.Duration
	for i, s := range spans {
		if s.from >= from+time.Second {
			break
		}
		within := held(spans[i:]).within(from, from+time.Second)
		switch {
		case s.stage == NoStage:
		case t.left(s.stage):
			out += within
		default:
			in += within
		}
	}
	if in == 0 && out == 0 {
		return !t.left(t.stageAt(from + time.Second/2))
	}
	return in >= out
}

// lastRows are the rows [first, last) of the last d of the complete run time. What a run has left of its last second comes on top where
// it is short.
func (t *Tally) lastRows(elapsed, d time.Duration) (first, last int) {
	last = min(int((elapsed+time.Second-1)/time.Second), len(t.rows))
	first = last - int(d/time.Second)
	if last > 0 && t.rows[last-1].seconds() < stub {
		first--
	}
	return max(0, first), last
}

// window is the last d of the complete run time, at most a minute, warm-up included.
func (t *Tally) window(elapsed, d time.Duration) Window {
	first, last := t.lastRows(elapsed, min(max(d, time.Second), time.Minute))
	var v Window
	var r rates
	var response, lag Histogram
	defer response.Release(&t.pages)
	defer lag.Release(&t.pages)
	var dropped uint64
	var droppedFrom time.Duration
	for k := first; k < last; k++ {
		w := &t.rows[k]
		r.seconds += w.seconds()
		r.add(w, 1)
		s := t.findSecond(k)
		if s == nil {
			continue
		}
		s.response.addTo(&response, &t.pages)
		s.lag.addTo(&lag, &t.pages)
		droppedFrom = Shortest(dropped, droppedFrom, s.dropped, s.droppedFrom)
		dropped += s.dropped
	}
	v.Length = time.Duration(r.seconds * float64(time.Second)).Round(time.Millisecond)
	v.OfferedRPS, v.ThroughputRPS, v.GoodputRPS = r.rate(r.due), r.rate(r.answers), r.rate(r.good)
	v.ErrorRate = errorRate(r.errors, dropped, r.requests)
	v.Response, v.Lag = response.Summary(), lag.Summary()
	v.Response.dropped(dropped, droppedFrom)
	for _, s := range t.sources {
		if s.any && (s.living() || s.edge >= elapsed) {
			v.Users += s.gauge.users
			v.InFlight += s.gauge.inFlight
			v.QueuedNow += s.gauge.queued
			v.Connections += s.gauge.connections
		}
	}
	return v
}

// stepViews: the rate of a step is its answers over the counted time.
func (t *Tally) stepViews(elapsed, counted time.Duration) []StepView {
	first, last := t.lastRows(elapsed, WindowLength)
	var length float64
	for k := first; k < last; k++ {
		length += t.rows[k].seconds()
	}
	spent := make(map[string]float64)
	for i, n := range t.steps {
		if n.Kind == KindStep {
			spent[n.Scenario] += t.stepSums[i].response.sum.float()
		}
	}
	views := make([]StepView, len(t.steps))
	for i, n := range t.steps {
		s := &t.stepSums[i]
		v := &views[i]
		*v = StepView{
			StepName: n, ID: i, Requests: s.requests, Attempts: s.attempts, Errors: s.errors, Dropped: s.dropped, ByClass: s.byClass,
			Status: slices.Clone(s.status), Reused: s.reused, Stale: s.stale, BytesIn: s.in, BytesOut: s.out,
			Response: s.quantiles(), Service: s.service.Summary(),
			Distribution: distribution(&s.response), ServiceBands: distribution(&s.service),
		}
		for p := range s.phases {
			v.Phases[p] = s.phases[p].Summary()
		}
		if counted > 0 {
			v.ThroughputRPS = float64(s.answers) / counted.Seconds()
		}
		var recent uint64
		for k := first; k < last; k++ {
			if s := t.findSecond(k); s != nil {
				recent += uint64(s.requests[i])
			}
		}
		if length > 0 {
			v.WindowRPS = float64(recent) / length
		}
		if all := spent[n.Scenario]; all > 0 && n.Kind == KindStep {
			v.Share = s.response.sum.float() / all
		}
	}
	return views
}

// distribution is the histogram in the heat bands, from the first to the last that holds anything.
func distribution(h *Histogram) []Band {
	bands := h.Bands(heatEdges[:])
	for len(bands) > 0 && bands[len(bands)-1].Count == 0 {
		bands = bands[:len(bands)-1]
	}
	for len(bands) > 0 && bands[0].Count == 0 {
		bands = bands[1:]
	}
	return bands
}

// stageViews: rates and errors come from the seconds inside a stage, percentiles from the requests that were intended in it,
// whenever they ended.
func (t *Tally) stageViews(elapsed time.Duration) []StageView {
	var views []StageView
	for i, info := range t.stages {
		parts := t.pieces(elapsed, func(stage int16) bool { return int(stage) == i })
		if len(parts) == 0 && t.stageSums[i].requests == 0 {
			continue
		}
		r := t.over(parts, elapsed)
		v := StageView{
			Name: info.Name, Index: i, Warmup: info.Warmup,
			ErrorRate:   errorRate(r.errors, r.dropped, r.requests),
			ArrivalsRPS: r.rate(r.scheduled), OfferedRPS: r.rate(r.due), ThroughputRPS: r.rate(r.answers), GoodputRPS: r.rate(r.good),
			Response: t.stageSums[i].quantiles(),
		}
		if len(parts) > 0 {
			v.From, v.To = parts[0].from, parts[len(parts)-1].to
		}
		views = append(views, v)
	}
	return views
}

func (t *Tally) sourceViews(now, elapsed time.Duration) []SourceView {
	first, last := t.lastRows(elapsed, WindowLength)
	views := make([]SourceView, len(t.sources))
	for i, s := range t.sources {
		v := &views[i]
		*v = SourceView{
			Name: s.Name, Kind: s.Kind, Label: s.Label, State: s.State, Weight: s.Weight, Share: s.Share, Asked: s.Asked,
			Requests: s.sum.requests, Errors: s.sum.errors, BytesIn: s.sum.in, BytesOut: s.sum.out,
			Users: s.gauge.users, InFlight: s.gauge.inFlight, Connections: s.gauge.connections,
			Response: s.sum.quantiles(), Lag: s.lag.Summary(), Audit: s.audit, CPUPeak: s.cpuPeak, FilesPeak: s.files, MemoryPeak: s.memory, Age: max(0, now-s.edge),
			Clock: s.Clock, ClockBound: s.ClockBound, RTT: s.RTT, StartSkew: s.StartSkew, LostAt: -1, Reason: s.Reason,
			Verdict: t.auditor.Source(s.Name), Log: slices.Clone(s.Log),
		}
		if s.State == "lost" {
			v.LostAt = s.LostAt
		}
		var length float64
		for k := first; k < last; k++ {
			length += t.rows[k].seconds()
			if b := s.begun[k%liveSeconds]; b.row == k {
				v.Done += float64(b.started)
			}
		}
		if length > 0 {
			v.Done /= length
		}
	}
	return views
}

// errorViews are all groups of errors of the whole run, warm-up included, the most frequent first.
func (t *Tally) errorViews(s Series) []ErrorView {
	views := make([]ErrorView, 0, len(t.errors))
	for _, g := range t.errors {
		v := ErrorView{
			Class: g.Class, Phase: g.Phase, Status: int(g.Status), StepID: int(g.Step), Message: g.Message, Count: g.Count,
			First: g.First, Last: g.Last, Example: g.Example, Hint: Hint(g.Class, g.Phase, int(g.Status), g.Message), Sources: slices.Clone(g.sources),
			Series: make([]float64, len(s.Points)),
		}
		switch {
		case g.Message == otherKinds:
			v.Step = StepName{Step: "several steps"}
		case int(g.Step) < len(t.steps):
			v.Step = t.steps[g.Step]
		}
		for i := range min(len(s.Points), len(g.points)) {
			rate := t.series.rate
			if i < len(s.Points)-1 {
				rate = 1 / s.Every.Seconds()
			}
			v.Series[i] = float64(g.points[i]) * rate
		}
		views = append(views, v)
	}
	slices.SortFunc(views, func(a, b ErrorView) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.First, b.First), cmp.Compare(a.Class, b.Class), cmp.Compare(a.StepID, b.StepID),
			cmp.Compare(a.Phase, b.Phase), cmp.Compare(a.Status, b.Status), cmp.Compare(a.Message, b.Message))
	})
	return views
}
