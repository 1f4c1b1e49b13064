package tui

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"lt/engine/conductor"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/slo"
	"lt/tui/chart"
	"lt/tui/theme"
)

// stageName is the name of stage i, or its number.
func stageName(v *conductor.View, i int) string {
	if i >= 0 && i < len(v.Profile.Stages) {
		if n := v.Profile.Stages[i].Name; n != "" {
			return n
		}
	}
	return "stage " + strconv.Itoa(i+1)
}

// drawHeader says what is run, where it is, and whether the generator can be trusted. On a narrow screen the target, the
// position and the name give way, in this order; state and verdict stay.
func (m *model) drawHeader(c chart.Canvas) {
	v := m.view
	right := c.W() - 1
	if v.Begun { // before it there is nothing to judge
		style, verdict := verdictText(v)
		right = c.Right(right, 0, style, verdict)
	}
	if st, text := sourcesText(v.Snapshot.Sources); text != "" && (c.W() >= 100 || st != theme.Dim) {
		if v.Begun {
			right = c.Right(right, 0, theme.Dim, " · ")
		}
		if c.W() < 100 {
			text = strings.TrimSuffix(strings.TrimSuffix(text, "s"), " source")
		}
		right = c.Right(right, 0, st, text)
	}
	if badge, st := m.badge(); badge != "" {
		right = c.Right(right-2, 0, st|theme.Bold, badge)
	}
	right = c.Right(right-3, 0, theme.Dim, m.clock())
	x := 1
	nameRoom := right - x - 3
	if c.W() >= 80 {
		nameRoom = min(nameRoom, max(12, c.W()/5))
	}
	name := chart.Shorten(chart.Clean(v.Run.Name), nameRoom)
	x = c.Text(x, 0, theme.Text|theme.Bold, name) + 2
	const stageRoom = 34 // that the stage needs, which says more than the target
	if target := chart.ShortenMiddle(chart.Clean(v.Run.Target), min(40, c.W()/4)); c.W() >= 100 && right-x-chart.Width(target) > stageRoom {
		x = c.Text(x, 0, theme.Dim, target) + 2
	}
	m.drawStage(c, x, right-2)
}

// sourcesText is how many sources there are, and how many of them are still there; of a single one there is nothing to say.
func sourcesText(sources []metrics.SourceView) (theme.Style, string) {
	n, gone := 0, 0
	for i := range sources {
		switch sources[i].State {
		case "left":
			continue
		case "lost", "refused":
			gone++
		}
		n++
	}
	switch {
	case gone > 0:
		return theme.Warn, fmt.Sprintf("▲ %d of %s", n-gone, plural(uint64(n), "source"))
	case n > 1:
		return theme.Dim, plural(uint64(n), "source")
	}
	return theme.Dim, ""
}

// drawStage draws the present stage, how far it is, and its place among the stages, between columns x and end.
func (m *model) drawStage(c chart.Canvas, x, end int) {
	v := m.view
	n := len(v.Profile.Stages)
	if v.Stage < 0 || v.Stage >= n || over(v) || n == 0 {
		return
	}
	name := chart.Clean(stageName(v, v.Stage))
	place := fmt.Sprintf("%d of %d", v.Stage+1, n)
	room := end - x - 2
	if room < 14 {
		return
	}
	nameWidth := min(chart.Width(name), max(8, room/2-4))
	bar := min(24, room-nameWidth-chart.Width(place)-2)
	x = c.Fit(x, 0, nameWidth, theme.Text, name) + 1
	if bar >= 6 {
		chart.Progress(c, x, 0, bar, theme.Accent, stageProgress(v))
		x += bar + 1
	}
	if x+chart.Width(place) <= end {
		c.Text(x, 0, theme.Dim, place)
	}
}

// stageProgress is how much of the present stage is over, 0..1, by the profile's own time: holding and pausing stop it.
func stageProgress(v *conductor.View) float64 {
	begins := time.Duration(0)
	for _, st := range v.Profile.Stages[:v.Stage] {
		begins += st.For
	}
	if length := v.Profile.Stages[v.Stage].For; length > 0 {
		return float64(v.Clock-begins) / float64(length)
	}
	return 0
}

// clock is where the run is: 1:12 of 4:40. Its width changes only with the number of digits.
func (m *model) clock() string {
	v := m.view
	if v.Total <= 0 {
		return chart.Clock(v.Elapsed)
	}
	total := chart.Clock(v.Total)
	now := chart.Clock(v.Elapsed)
	for chart.Width(now) < chart.Width(total) {
		now = " " + now
	}
	return now + " of " + total
}

// badge is the state where it is not simply running, and what was changed by hand.
func (m *model) badge() (string, theme.Style) {
	v := m.view
	out, st := "", theme.Warn
	switch {
	case over(v) && !v.Begun:
		out, st = "NOT STARTED", theme.Bad
	case over(v):
		out, st = "ENDED", theme.Text
	case v.State == conductor.Starting:
		out, st = "STARTING", theme.Dim
	case v.State != conductor.Running:
		out = map[conductor.State]string{conductor.Held: "HELD", conductor.Paused: "PAUSED", conductor.Draining: "ENDING"}[v.State]
	}
	if v.Factor > 0 && math.Abs(v.Factor-1) > 0.005 {
		out = join(out, fmt.Sprintf("%+.0f %%", (v.Factor-1)*100))
	}
	if m.frozen {
		out, st = join(out, "FROZEN"), theme.Warn
	}
	return out, st
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + " " + b
}

func verdictText(v *conductor.View) (theme.Style, string) {
	switch v.Snapshot.Verdict.Health {
	case metrics.Strained:
		return theme.Warn, "▲ generator strained"
	case metrics.Saturated:
		return theme.Bad, "✗ generator saturated"
	}
	return theme.Dim, "generator ok"
}

// drawSLOs is the row of criteria with their present values, the worst first.
func (m *model) drawSLOs(c chart.Canvas) {
	list := slices.Clone(m.view.SLOs)
	for i := range list {
		if over(m.view) && !list[i].Known { // nothing to judge it by any more: it has failed
			list[i].Known, list[i].OK, list[i].Text = true, false, chart.None
		}
	}
	slices.SortStableFunc(list, func(a, b slo.Result) int { return rankSLO(a) - rankSLO(b) })
	const gap = 4 // between two criteria
	x := 1
	for i, r := range list {
		st, glyph := sloMark(r)
		text, _, few := strings.Cut(criterionValue(r), " (") // what limits the value stands in the report
		if few && r.OK {
			st = theme.Dim
		}
		if !r.Known {
			text = chart.None
		}
		expr := chart.Clean(r.Expr)
		// The value has a fixed place, so that a longer one does not move the next criterion.
		valueWidth := max(chart.Width(text), 8)
		room := c.W() - x - valueWidth - 4 // for the expression: beside it stand a blank, the value, a blank, the glyph, and a blank at the edge
		if rest := len(list) - 1 - i; rest > 0 {
			room -= gap + chart.Width(fmt.Sprintf("+%d more", rest))
		}
		if chart.Width(expr) > room {
			if i > 0 && room < 16 {
				c.Text(x, 0, theme.Dim, fmt.Sprintf("+%d more", len(list)-i))
				return
			}
			expr = chart.Shorten(expr, room)
		}
		x = c.Text(x, 0, theme.Dim, expr) + 1
		end := x + valueWidth
		c.Right(end, 0, st, text)
		x = c.Text(end+1, 0, st, glyph) + gap
	}
}

// criterionValue is the value of a criterion as the screen writes one; lines and files have >= for ≥.
func criterionValue(r slo.Result) string {
	return strings.Replace(chart.Clean(r.Text), ">= ", "≥", 1)
}

func rankSLO(r slo.Result) int {
	switch {
	case r.Known && !r.OK:
		return 0
	case r.Known && r.Near:
		return 1
	case r.Known:
		return 2
	}
	return 3
}

// sloMark is how a criterion looks: failed, near its limit, held, or not known yet.
func sloMark(r slo.Result) (theme.Style, string) {
	switch rankSLO(r) {
	case 0:
		return theme.Bad, "✗"
	case 1:
		return theme.Warn, "▲"
	case 2:
		return theme.Text, "✓"
	}
	return theme.Dim, "·"
}

// figure is one value of the row of figures.
type figure struct {
	label, value string
	width        int // of the value
	style        theme.Style
	after        string
}

// drawFigures is the row of figures over the last seconds; those at the end give way on a narrow screen.
func (m *model) drawFigures(c chart.Canvas) {
	s := m.view.Snapshot
	w := &s.Window
	errors := theme.Text
	switch {
	case w.ErrorRate >= 0.05:
		errors = theme.Bad
	case w.ErrorRate >= 0.01:
		errors = theme.Warn
	}
	dropped := theme.Text
	if s.Totals.Dropped > 0 {
		dropped = theme.Warn
	}
	list := []figure{
		{"offered", chart.Narrow(w.OfferedRPS, 5), 5, theme.Text, "/s"},
		{"goodput", chart.Narrow(w.GoodputRPS, 5), 5, theme.Accent | theme.Bold, "/s"},
		{"p50", quantile(w.Response, w.Response.P50), 7, theme.Text, ""},
		{"p99", quantile(w.Response, w.Response.P99), 8, p99Style(w.Response), ""},
		{"errors", chart.PercentNumber(w.ErrorRate), 5, errors, " %"},
		{"in flight", chart.NarrowCount(uint64(max(0, w.InFlight)), 5), 5, theme.Text, ""},
		{"users", chart.NarrowCount(uint64(max(0, w.Users)), 5), 5, theme.Text, ""},
		{"lag", quantile(w.Lag, w.Lag.P99), 7, theme.Text, ""},
		{"dropped", chart.NarrowCount(s.Totals.Dropped, 6), 6, dropped, ""},
	}
	if m.view.Run.Model == load.Closed { // the load is users there
		list[5], list[6] = list[6], list[5]
	}
	window := chart.Span(max(w.Length, 0))
	x, gap := 1, 3
	if c.W() >= 80 && c.W() < 125 {
		x = c.Text(x, 0, theme.Dim, window) + 1
	}
	switch {
	case c.W() >= 150:
		list[2].label, list[3].after, list[7].label = "response p50", " ("+window+")", "lag p99"
	case c.W() >= 125:
		list[2].label, list[3].after, gap = "response p50", " ("+window+")", 2
	case c.W() < 110:
		gap, list[4].after = 2, "%"
		if c.W() < 80 { // what matters most
			list = list[1:]
		}
	}
	for _, f := range list {
		need := chart.Width(f.label) + 1 + f.width + chart.Width(f.after)
		if x+need > c.W() {
			return
		}
		x = c.Text(x, 0, theme.Dim, f.label) + 1 + f.width
		c.Right(x, 0, f.style, chart.Tight(f.value, f.width))
		x = c.Text(x, 0, theme.Dim, f.after) + gap
	}
}

// quantile writes a value of q; without samples it is not known. Values that dropped arrivals touch are bounds.
func quantile(q metrics.Quantiles, d time.Duration) string {
	if q.Count == 0 {
		return chart.None
	}
	return chart.Bound(d, q.LowerBound(d))
}

// p99Style is grey where there are too few samples for a p99 to be trusted.
func p99Style(q metrics.Quantiles) theme.Style {
	if q.Count < samplesP99 {
		return theme.Dim
	}
	return theme.Text
}

// A p99 from fewer samples than this, and a p99.9, are grey and stand with their interval: ten samples lie above them.
const (
	samplesP99  = 1_000
	samplesP999 = 10_000
)

// drawTabs is the row of panels and the window of time.
func (m *model) drawTabs(c chart.Canvas, l layout) {
	for _, t := range tabs(m.panel, l.w, m.errorCount()) {
		st := theme.Dim
		if t.panel == m.panel {
			st = theme.Accent | theme.Bold | theme.Reverse
			c.Set(t.x-1, 0, st, ' ')
			c.Set(t.x+t.w, 0, st, ' ')
		}
		c.Text(t.x, 0, st, t.text)
	}
	if m.windowShown(l) {
		st, text := m.windowText()
		c.Right(l.w-1, 0, theme.Dim, "[ ]")
		c.Right(l.w-5, 0, st, text)
	}
}

// windowText is the window of time that the charts show.
func (m *model) windowText() (theme.Style, string) {
	switch n := windows[m.window]; {
	case m.until > 0:
		return theme.Warn, "until " + chart.Clock(m.until) + ", esc: now"
	case n > 0:
		return theme.Dim, "last " + chart.Span(n)
	}
	return theme.Dim, "all of the run"
}

// windowShown reports whether the row of panels has room for the window of time.
func (m *model) windowShown(l layout) bool {
	list := tabs(m.panel, l.w, m.errorCount())
	last := list[len(list)-1]
	_, text := m.windowText()
	return last.x+last.w+chart.Width(text)+8 <= l.w
}

// plural is a count with its word.
func plural(n uint64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return chart.Count(n) + " " + word + "s"
}
