package tui

import (
	"fmt"
	"math"
	"time"

	"lt/engine/conductor"
	"lt/engine/metrics"
	"lt/tui/chart"
)

// ended is the sentence of a run that is over, and how long ago that was.
func ended(v *conductor.View) remark {
	if !v.Begun {
		return neverBegan(v)
	}
	t := &v.Snapshot.Totals
	how := map[string]string{"finished": "Finished", "user": "Stopped by hand", "slo": "Stopped by an SLO", "failed": "Failed"}[string(v.Ended)]
	if how == "" {
		how = "Ended"
	}
	text := fmt.Sprintf("%s %s ago: %s, errors %s", how, chart.Span(v.EndedAgo.Truncate(time.Second)),
		plural(t.Requests, "request"), chart.Percent(t.ErrorRate))
	failed := 0
	for _, r := range v.SLOs {
		if !r.Known || !r.OK { // one with nothing to judge it by has failed
			failed++
		}
	}
	switch {
	case len(v.SLOs) == 0:
		text += ", no SLO given."
	case failed == 0:
		text += ", every SLO held."
	case failed == len(v.SLOs):
		text += ", no SLO held."
	case failed == 1:
		text += ", every SLO held but one."
	default:
		text += fmt.Sprintf(", %d SLOs did not hold.", failed)
	}
	text += " Generator " + v.Snapshot.Verdict.Health.String() + "; q leaves."
	switch {
	case string(v.Ended) == "failed" || v.Snapshot.Verdict.Health == metrics.Saturated:
		return broke(text)
	case failed > 0:
		return bends(text)
	}
	return plainly(text)
}

// brief is a step's name in a sentence: so long that what is said of it still has room.
func (m *model) brief(scenario, step string) string {
	return chart.ShortenMiddle(m.stepName(scenario, step), max(16, m.w/4))
}

// overviewFoot is the one thing that matters most at this moment.
func (m *model) overviewFoot() remark {
	v := m.view
	s := v.Snapshot
	w := &s.Window
	if over(v) {
		return ended(v)
	}
	switch v.State {
	case conductor.Starting:
		return m.startFoot()
	case conductor.Draining:
		return plainly(fmt.Sprintf("Ending: nothing new begins, %s still to finish.", plural(uint64(max(0, w.InFlight)), "iteration")))
	case conductor.Paused:
		return bends("Paused: the load is zero and this time is left out of the totals. P goes on.")
	}
	if w.ErrorRate >= 0.5 {
		return broke(fmt.Sprintf("%s of the requests fail: panel 3 says how.", chart.Percent(w.ErrorRate)))
	}
	if s.Verdict.Health == metrics.Saturated {
		return broke("This machine is the limit, not the target: " + reason(s.Verdict))
	}
	for _, r := range v.SLOs {
		if r.Fails {
			return broke(fmt.Sprintf("%s does not hold since %s: it is %s.", r.Expr, chart.Clock(r.Since), criterionValue(r)))
		}
	}
	if w.ErrorRate >= 0.05 {
		return broke(fmt.Sprintf("%s of the requests fail: panel 3 says how.", chart.Percent(w.ErrorRate)))
	}
	if w.Response.Count == 0 && len(s.Errors) > 0 {
		e := &s.Errors[0]
		return broke(fmt.Sprintf("Nothing was answered in the last %s; the most frequent error: %s at %s. Panel 3 says more.", chart.Span(w.Length), errorName(e), m.brief(e.Step.Scenario, e.Step.Step)))
	}
	if m.lags() {
		return bends(fmt.Sprintf("Goodput is %s/s, %s less than the %s/s that are offered.", chart.Number(w.GoodputRPS),
			chart.Percent(1-w.GoodputRPS/w.OfferedRPS), chart.Number(w.OfferedRPS)))
	}
	if w.QueuedNow > 0 {
		return bends(fmt.Sprintf("%s for a free user: max_in_flight is reached.", arrivalsWait(w.QueuedNow)))
	}
	if s.Verdict.Health == metrics.Strained {
		return bends("This machine is strained: " + reason(s.Verdict))
	}
	if w.ErrorRate >= 0.01 {
		return bends(fmt.Sprintf("%s of the requests fail: panel 3 says how.", chart.Percent(w.ErrorRate)))
	}
	if r, ok := m.drift(); ok {
		return r
	}
	for _, r := range v.SLOs {
		if r.Known && !r.OK {
			return bends(fmt.Sprintf("%s holds again; it did not from %s on: %s.", r.Expr, chart.Clock(r.Since), criterionValue(r)))
		}
	}
	if w.Response.Count == 0 {
		return plainly("Nothing was answered in the last " + chart.Span(w.Length) + ".")
	}
	text := fmt.Sprintf("Steady: goodput follows what is offered, p50 is %s, p99 %s", quantile(w.Response, w.Response.P50), quantile(w.Response, w.Response.P99))
	if w.Response.Count < samplesP99 {
		bounds := chart.Duration(w.Response.P99Low) + " to " + chart.Duration(w.Response.P99High)
		if w.Response.P99High >= w.Response.Max { // the longest only stands for what has no end
			bounds = chart.Duration(w.Response.P99Low) + " or more"
		}
		text += " (" + bounds + ", from " + plural(w.Response.Count, "answer") + ")"
	}
	return plainly(text + ".")
}

// lags reports whether the target answers less than 95 % of what it is asked, over a window that is long enough to tell. Answers
// come later than what they answer: they are held against what was offered before by the least median response time so far, so
// that a ramp, which is always ahead of its answers, is not taken for a target that is behind.
func (m *model) lags() bool {
	w, series := &m.view.Snapshot.Window, &m.view.Snapshot.Recent
	if w.Length < 5*time.Second || w.OfferedRPS <= 1 || w.GoodputRPS >= 0.95*w.OfferedRPS || series.Every <= 0 {
		return false
	}
	least := math.Inf(1) // milliseconds
	for _, p := range m.view.Snapshot.Series.Points {
		if p.P50 > 0 {
			least = min(least, p.P50)
		}
	}
	if math.IsInf(least, 1) {
		return true
	}
	every := float64(series.Every)
	to := (float64(len(series.Points))*every - least*1e6) / every
	from := to - float64(w.Length)/every
	offered := 0.0
	for i := max(0, int(from)); i < len(series.Points) && float64(i) < to; i++ {
		offered += series.Points[i].Offered * (min(to, float64(i+1)) - max(from, float64(i)))
	}
	return w.GoodputRPS < 0.95*offered*every/float64(w.Length)
}

func arrivalsWait(n int) string {
	if n == 1 {
		return "1 arrival waits"
	}
	return chart.Count(uint64(n)) + " arrivals wait"
}

func reason(v metrics.Verdict) string {
	if len(v.Reasons) == 0 {
		return "panel 6 has its figures."
	}
	return v.Reasons[0]
}

// drift compares the median response time now with the one at the beginning of the present stage.
func (m *model) drift() (remark, bool) {
	v := m.view
	points := v.Snapshot.Series.Points
	first, n := 0.0, 0
	for i := range points {
		if int(points[i].Stage) == v.Stage && !math.IsNaN(points[i].P50) {
			first += points[i].P50
			if n++; n == 5 {
				break
			}
		}
	}
	now := float64(v.Snapshot.Window.Response.P50) / 1e6
	if n < 5 || v.Snapshot.Window.Response.Count == 0 {
		return remark{}, false
	}
	first /= 5
	name := stageName(v, v.Stage)
	switch {
	case now > 1.5*first && now > first+1:
		return bends(fmt.Sprintf("p50 has risen from %s to %s since %s began; goodput still follows what is offered.",
			chart.Milliseconds(first), chart.Milliseconds(now), name)), true
	case now > 1.15*first && now > first+0.5:
		return plainly(fmt.Sprintf("p50 has risen from %s to %s since %s began; goodput still follows what is offered.",
			chart.Milliseconds(first), chart.Milliseconds(now), name)), true
	}
	return remark{}, false
}
