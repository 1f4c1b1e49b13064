package report

import (
	"fmt"
	"math"
	"strings"

	"lt/engine/knee"
	"lt/engine/ledger"
	"lt/engine/metrics"
	"lt/engine/slo"
)

// The tables that the terminal and Markdown have in common.

func timesGrid(t *metrics.Totals) *grid {
	g := &grid{head: []string{"", "p50", "p90", "p95", "p99", "p99.9", "max"}}
	row := func(name string, q *metrics.Quantiles) {
		if q.Count > 0 {
			g.add(name, atLeast(q, q.P50), atLeast(q, q.P90), atLeast(q, q.P95), atLeast(q, q.P99), atLeast(q, q.P999), atLeast(q, q.Max))
		}
	}
	row("response", &t.Response)
	if low, high := interval99(&t.Response), interval999(&t.Response); low != "" || high != "" {
		g.add(doubt, "", "", "", low, high, "")
	}
	row("service", &t.Service)
	row("our own lag", &t.Lag)
	if t.Queued.Max > 0 {
		row("for a slot", &t.Queued)
	}
	return g
}

// doubt begins the row of the intervals in which a percentile lies of which too few requests tell.
const doubt = "  95 %"

func stepsGrid(steps []metrics.StepView) *grid {
	g := &grid{head: []string{"step", "requests", "/s", "errors", "p50", "p90", "p99", "max", "service p99"}, less: []int{5, 6}}
	for i := range steps {
		s := &steps[i]
		if s.Requests == 0 && s.Dropped == 0 && s.Kind != metrics.KindStep {
			continue
		}
		name := stepName(s.StepName)
		if s.Kind != metrics.KindStep {
			name += " (" + s.Kind.String() + ")"
		}
		bad := share(s.Errors+s.Dropped, s.Requests+s.Dropped)
		g.add(name, count(s.Requests), number(s.ThroughputRPS), bad, atLeast(&s.Response, s.Response.P50), atLeast(&s.Response, s.Response.P90),
			atLeast(&s.Response, s.Response.P99), atLeast(&s.Response, s.Response.Max), atLeast(&s.Service, s.Service.P99))
	}
	return g
}

// share is n of all as a percentage; nothing of nothing is none.
func share(n, all uint64) string {
	if all == 0 {
		return none
	}
	return percent(float64(n) / float64(all))
}

func stagesGrid(stages []metrics.StageView) *grid {
	g := &grid{head: []string{"stage", "from", "to", "arrivals/s", "offered/s", "goodput/s", "errors", "p50", "p99"}, less: []int{4, 2}}
	for i := range stages {
		s := &stages[i]
		name := s.Name
		if name == "" {
			name = fmt.Sprintf("stage %d", s.Index+1)
		}
		if s.Warmup && !strings.Contains(strings.ToLower(name), "warm") {
			name += " (warm-up)"
		}
		g.add(name, clock(s.From), clock(s.To), number(s.ArrivalsRPS), number(s.OfferedRPS), number(s.GoodputRPS), percent(s.ErrorRate),
			atLeast(&s.Response, s.Response.P50), atLeast(&s.Response, s.Response.P99))
	}
	return g
}

// sourcesGrid has a row a source. If any has a label they stand in groups, each below a row with its sums; percentiles have none.
func sourcesGrid(sources []metrics.SourceView) *grid {
	g := &grid{head: []string{"source", "state", "share", "requests", "errors", "p99", "lag p99", "cpu peak", "began", "health"}, text: 2, less: []int{8, 7, 2, 3}}
	groups, labels := byLabel(sources)
	linked := false
	for _, label := range labels {
		indent := ""
		if len(labels) > 1 || label != "" {
			indent = "  "
			title := label
			if label == "" {
				title = "no label"
			}
			part, requests, errors, peak := 0.0, uint64(0), uint64(0), 0.0
			for _, s := range groups[label] {
				part += s.Share
				requests += s.Requests
				errors += s.Errors
				peak = max(peak, s.CPUPeak)
			}
			g.add(title, many(uint64(len(groups[label])), "source"), percent(part), count(requests), share(errors, requests), "", "", percent(peak), "", "")
		}
		for _, s := range groups[label] {
			state := s.State
			if s.State == "lost" && s.LostAt >= 0 {
				state += " at " + clock(s.LostAt)
			}
			p99, lag := "", ""
			if s.Response.Count > 0 {
				p99 = atLeast(&s.Response, s.Response.P99)
			}
			if s.Lag.Count > 0 {
				lag = duration(s.Lag.P99)
			}
			began := ""
			if s.RTT > 0 {
				began = duration(s.StartSkew) + " ±" + duration(apart(s))
			}
			linked = linked || s.RTT > 0
			g.add(indent+s.Name, state, percent(s.Share), count(s.Requests), share(s.Errors, s.Requests), p99, lag, percent(s.CPUPeak), began, s.Verdict.Health.String())
		}
	}
	if !linked { // all of it is this machine, whose clock is the run's
		g.drop(8)
		g.less = g.less[1:]
	}
	return g
}

// byLabel groups sources by label, in the order of each label's first.
func byLabel(sources []metrics.SourceView) (groups map[string][]*metrics.SourceView, labels []string) {
	groups = make(map[string][]*metrics.SourceView)
	for i := range sources {
		s := &sources[i]
		if _, known := groups[s.Label]; !known {
			labels = append(labels, s.Label)
		}
		groups[s.Label] = append(groups[s.Label], s)
	}
	return groups, labels
}

// sourceReasons says of each source that did not simply finish what became of it.
func sourceReasons(sources []metrics.SourceView) []string {
	var out []string
	for i := range sources {
		if s := &sources[i]; s.Reason != "" {
			out = append(out, s.Name+": "+s.State+", "+strings.ReplaceAll(s.Reason, "\n", "; "))
		}
	}
	return out
}

// curveTitle stands above the points of the curve.
const curveTitle = "Goodput against offered load"

func pointsGrid(points []knee.Point) *grid {
	g := &grid{head: []string{"from", "offered/s", "goodput/s", "95 % interval", "p50", "p99", "errors", "in flight"}, less: []int{7}}
	for i := range points {
		p := &points[i]
		p50, p99 := duration(p.P50), duration(p.P99)
		if p.LowerBound(p.P50) {
			p50 = ">= " + p50
		}
		if p.LowerBound(p.P99) {
			p99 = ">= " + p99
		}
		if p.Requests+p.Dropped == 0 {
			p50, p99 = none, none
		}
		g.add(clock(p.From), number(p.Offered), number(p.Goodput), number(p.GoodputLow)+" to "+number(p.GoodputHigh), p50, p99, percent(p.ErrorRate), number(p.InFlight))
	}
	return g
}

// thin is at most n >= 2 of the points, evenly from the first to the last.
func thin(points []knee.Point, n int) []knee.Point {
	if len(points) <= n {
		return points
	}
	some := make([]knee.Point, n)
	for i := range some {
		some[i] = points[i*(len(points)-1)/(n-1)]
	}
	return some
}

func sloGrid(results []slo.Result) *grid {
	g := &grid{head: []string{"slo", "measured", ""}}
	for _, r := range results {
		word := "holds"
		switch {
		case !r.Known:
			word = "UNKNOWN"
		case !r.OK:
			word = "FAILS"
		}
		g.add(r.Expr, r.Text, word)
	}
	return g
}

// errorWords says what kind of errors a group holds, and its message where that says more.
func errorWords(e *metrics.ErrorView) (what, message string) {
	what = e.Class.String()
	if e.Status > 0 {
		what += fmt.Sprintf(" %d", e.Status)
	}
	if e.Message != what {
		message = e.Message
	}
	if e.Class.CutShort() || e.Class == metrics.Timeout {
		what += " in " + e.Phase.String()
	}
	return what, message
}

// headline says what the run is worth in one line.
func headline(l *ledger.Ledger) string {
	v := verdictOf(l)
	var parts []string
	switch ledger.Judged(v.SLO) {
	case ledger.Pass:
		parts = append(parts, "every SLO held")
	case ledger.Fail:
		failed := 0
		results := l.SLOs()
		for _, r := range results {
			if !r.Known || !r.OK {
				failed++
			}
		}
		if failed > 0 {
			parts = append(parts, fmt.Sprintf("%d of %d SLOs failed", failed, len(results)))
		} else { // it ended the run, and what was in hand then brought the figures back
			parts = append(parts, "an SLO failed on the way")
		}
	case ledger.None:
		parts = append(parts, "no SLO to judge by")
	}
	if unanswered(l.Snapshot()) {
		parts = append(parts, "the target never answered")
	}
	parts = append(parts, "generator "+v.Generator, "data "+v.Data)
	if end, ok := l.End(); ok {
		switch end.Ended {
		case ledger.ByUser:
			parts = append(parts, "ended by hand")
		case ledger.BySLO:
			parts = append(parts, "ended by an SLO")
		case ledger.Failed:
			parts = append(parts, "the run failed")
		}
	}
	return strings.Join(parts, ", ")
}

// word is the verdict in one word.
func word(l *ledger.Ledger) string {
	end, ended := l.End()
	complete, _, _ := l.Data()
	switch s := l.Snapshot(); {
	case ended && end.Ended == ledger.Failed || unanswered(s) || l.Judged() == ledger.Fail:
		return "FAILED"
	case !complete:
		return "INCOMPLETE"
	case s.Verdict.Health == metrics.Saturated:
		return "DOUBTFUL"
	case l.Judged() == ledger.Pass:
		return "PASSED"
	}
	return "DONE"
}

// subject is what was run, in one line.
func subject(l *ledger.Ledger) string {
	h := l.Header()
	r := runOf(l)
	load := fmt.Sprintf("open, %s arrivals up to %s/s", h.Arrivals, number(peak(h.Stages)))
	if h.Closed() {
		load = "closed, one user"
		if n := uint64(math.Ceil(peak(h.Stages))); n != 1 {
			load = fmt.Sprintf("closed, up to %s users", count(n))
		}
	}
	length := clock(l.Now())
	if end, ok := l.End(); ok {
		length = clock(end.At - end.Drain)
		if r.Drain >= 1 {
			length += " and " + clock(end.Drain) + " to drain"
		}
	}
	return fmt.Sprintf("%s on %s: %s, %s, seed %d", h.Name, h.Target, length, load, h.Seed)
}

func peak(stages []ledger.Stage) float64 {
	p := 0.0
	for _, s := range stages {
		p = max(p, s.At)
	}
	return p
}
