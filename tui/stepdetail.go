package tui

import (
	"fmt"
	"strconv"
	"time"

	"lt/engine/metrics"
	"lt/tui/chart"
	"lt/tui/theme"
)

// stepColumn is the width of a step's figures: beside its distributions on a wide screen, else above them.
func stepColumn(w int) int {
	if w >= 110 {
		return w * 9 / 20
	}
	return w
}

// drawStep is one step in detail: phases, answers and connections, and the two distributions.
func (m *model) drawStep(c chart.Canvas, s *metrics.StepView) {
	left := stepColumn(c.W())
	drawRows(c.Columns(0, left), chart.Clean(s.Scenario+" / "+s.Step), "", m.stepDetail(c.W(), c.H()), m.lists[panelSteps].scroll)
	if left < c.W() {
		stepDistribution(s).Draw(c.Columns(left+2, c.W()-left-2))
	}
}

// stepDetail are the rows of the open step's detail; nil: none is open. What is narrow has the distributions below the figures.
func (m *model) stepDetail(w, h int) []row {
	const least = 10 // rows of the distributions
	s := m.openStep(m.steps())
	if s == nil {
		return nil
	}
	rows := stepRows(s, stepColumn(w))
	if stepColumn(w) < w {
		return rows
	}
	rows = append(rows, blankRow)
	return append(rows, chartRows(w, max(least, h-1-len(rows)), stepDistribution(s).Draw)...)
}

// phaseLook is the style and fill of a phase in the stacked bar: neighbours differ without colours, too.
var phaseLook = [metrics.Phases]chart.Part{
	{Style: theme.Dim, Glyph: '░'},
	{Style: theme.P50, Glyph: '▒'},
	{Style: theme.Dim, Glyph: '▓'},
	{Style: theme.P50, Glyph: '░'},
	{Style: theme.P99, Glyph: '█'},
	{Style: theme.P90, Glyph: '▓'},
}

// pair is a name with a count.
type pair struct {
	name  string
	style theme.Style
	count uint64
}

// labelAt is the column of what stands beside a label in the detail of a step, figuresAt that of its columns of figures.
const (
	labelAt   = 14
	figuresAt = 20
)

// pairRows are pairs beside a label, on as many rows as they need.
func pairRows(label string, list []pair, w int) []row {
	var lines [][]pair
	x := w
	for _, p := range list {
		need := chart.Width(p.name) + 1 + chart.Width(chart.Count(p.count))
		if x+need > w {
			lines, x = append(lines, nil), labelAt
		}
		lines[len(lines)-1] = append(lines[len(lines)-1], p)
		x += need + 2
	}
	out := make([]row, len(lines))
	for i, line := range lines {
		out[i] = func(c chart.Canvas) {
			if i == 0 {
				c.Text(1, 0, theme.Dim, label)
			}
			x := labelAt
			for _, p := range line {
				x = c.Text(x, 0, p.style, p.name)
				x = c.Text(x+1, 0, theme.Dim, chart.Count(p.count)) + 2
			}
		}
	}
	return out
}

// labelled is a text beside its label.
func labelled(label, text string) row {
	return func(c chart.Canvas) {
		c.Text(1, 0, theme.Dim, label)
		c.Fit(labelAt, 0, c.W()-labelAt-1, theme.Text, text)
	}
}

// stepRows are a step's figures in w columns.
func stepRows(s *metrics.StepView, w int) []row {
	wide := min(11, (w-figuresAt)/4) // of a column of figures
	figures := func(c chart.Canvas, st, p99 theme.Style, texts ...string) {
		for i, text := range texts {
			look := st
			if i == 2 {
				look = p99
			}
			c.Right(figuresAt+(i+1)*wide, 0, look, chart.Tight(text, wide))
		}
	}
	latency := func(name string, st theme.Style, q metrics.Quantiles) row {
		return func(c chart.Canvas) {
			c.Text(1, 0, st, name)
			figures(c, theme.Text, p99Style(q), quantile(q, q.P50), quantile(q, q.P90), quantile(q, q.P99), quantile(q, q.Max))
		}
	}
	rows := []row{
		func(c chart.Canvas) { figures(c, theme.Dim, theme.Dim, "p50", "p90", "p99", "max") },
		latency("response time", theme.P90, s.Response),
		latency("service time", theme.Asked, s.Service),
		blankRow,
	}
	rows = append(append(rows, phaseRows(s, figures)...), blankRow)
	var answers, errors []pair
	for _, n := range s.Status {
		st := theme.Text
		if n.Status >= 400 {
			st = theme.Bad
		}
		answers = append(answers, pair{strconv.Itoa(int(n.Status)), st, n.Count})
	}
	for class := 1; class < metrics.Classes; class++ {
		if n := s.ByClass[class]; n > 0 {
			errors = append(errors, pair{metrics.Class(class).String(), theme.Bad, n})
		}
	}
	if s.Dropped > 0 {
		errors = append(errors, pair{"dropped", theme.Warn, s.Dropped})
	}
	rows = append(rows, listed("answers", answers, w)...)
	rows = append(rows, listed("errors", errors, w)...)
	if s.Requests > 0 {
		text := fmt.Sprintf("%s reused, %s new", chart.Percent(float64(s.Reused)/float64(s.Requests)), chart.Count(s.Requests-min(s.Reused, s.Requests)))
		if s.Stale > 0 {
			text += ", " + chart.Count(s.Stale) + " stale and sent again"
		}
		rows = append(rows, labelled("connections", text))
	}
	return append(rows, labelled("bytes", chart.Bytes(float64(s.BytesIn))+" in, "+chart.Bytes(float64(s.BytesOut))+" out"))
}

// listed are pairs beside a label, or none.
func listed(label string, list []pair, w int) []row {
	if len(list) == 0 {
		return []row{labelled(label, "none")}
	}
	return pairRows(label, list, w)
}

// phaseRows are the phases of a step: their means as one bar, and the figures of each.
func phaseRows(s *metrics.StepView, figures func(c chart.Canvas, st, p99 theme.Style, texts ...string)) []row {
	parts := phaseLook
	for i := range parts {
		// The mean over all requests: a phase that few requests have is as long as it is rare.
		if s.Requests > 0 {
			parts[i].Value = float64(s.Phases[i].Mean) * float64(s.Phases[i].Count) / float64(s.Requests)
		}
	}
	rows := []row{func(c chart.Canvas) {
		c.Text(1, 0, theme.Dim, "phases, mean")
		chart.Stack(c, figuresAt, 0, c.W()-figuresAt-1, parts[:])
	}}
	for i := range metrics.Phases {
		q := s.Phases[i]
		if q.Count == 0 {
			continue
		}
		rows = append(rows, func(c chart.Canvas) {
			c.Set(1, 0, phaseLook[i].Style, phaseLook[i].Glyph)
			c.Text(3, 0, theme.Text, metrics.Phase(i).String())
			if q.Count < s.Requests {
				c.Text(11, 0, theme.Dim, "("+chart.Percent(float64(q.Count)/float64(s.Requests))+")")
			}
			figures(c, theme.Dim, theme.Dim, chart.Duration(q.P50), chart.Duration(q.P90), chart.Duration(q.P99), chart.Duration(q.Max))
		})
	}
	return rows
}

func stepDistribution(s *metrics.StepView) chart.Histogram {
	bins := func(bands []metrics.Band) []chart.Bin {
		out := make([]chart.Bin, len(bands))
		for i, b := range bands {
			out[i] = chart.Bin{Low: b.Low, High: b.High, Count: float64(b.Count)}
		}
		return out
	}
	h := chart.Histogram{
		Title: "Distribution", Note: "log scale",
		Layers: []chart.Layer{
			{Name: "response time", Style: theme.P90, Bins: bins(s.Distribution)},
			{Name: "service time", Style: theme.Asked, Bins: bins(s.ServiceBands)},
		},
	}
	for i, d := range []time.Duration{s.Response.P50, s.Response.P90, s.Response.P99} {
		h.Marks = append(h.Marks, chart.Line{X: float64(d) / 1e6, Name: percentileNames[i], Style: theme.Text})
	}
	return h
}

// stepRemark says what the difference between the two latencies means.
func stepRemark(s *metrics.StepView) remark {
	if s.Response.Count == 0 {
		return plainly("Nothing of this step has ended yet.")
	}
	gap := s.Response.P99 - s.Service.P99
	switch {
	case s.Response.AtLeast:
		return bends("Arrivals were given up here: the true response times are longer than these.")
	case gap > s.Response.P99/5 && gap > time.Millisecond:
		return bends(fmt.Sprintf("%s of the p99 of %s are waiting before the request was sent: for a free user, or behind slow answers.",
			chart.Duration(gap), chart.Duration(s.Response.P99)))
	case s.Response.Count < samplesP99 && s.Response.P99High >= s.Response.Max: // the longest only stands for what has no end
		return plainly(fmt.Sprintf("p99 is from %s only: it is %s or more, and so few do not bound it from above.", plural(s.Response.Count, "request"),
			chart.Duration(s.Response.P99Low)))
	case s.Response.Count < samplesP99:
		return plainly(fmt.Sprintf("p99 is from %s only: it lies between %s and %s.", plural(s.Response.Count, "request"),
			chart.Duration(s.Response.P99Low), chart.Duration(s.Response.P99High)))
	}
	wait := s.Phases[metrics.PhaseWait]
	return plainly(fmt.Sprintf("Response and service time agree: requests were sent when they were due. The target takes %s (p50) to its first byte.",
		chart.Duration(wait.P50)))
}
