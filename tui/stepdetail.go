package tui

import (
	"fmt"
	"strconv"
	"time"

	"lt/engine/metrics"
	"lt/tui/chart"
	"lt/tui/theme"
)

// drawStep is one step in detail: phases, answers and connections on the left, the two distributions on the right. On a
// narrow screen the distributions stand below, as far as there is room.
func (m *model) drawStep(c chart.Canvas, s *metrics.StepView) {
	title := chart.Clean(s.Scenario + " / " + s.Step)
	if c.W() >= 110 {
		left := c.W() * 9 / 20
		drawStepFigures(c.Columns(0, left), title, s)
		stepDistribution(s).Draw(c.Columns(left+2, c.W()-left-2))
		return
	}
	upper := min(c.H(), 15)
	if c.H() < upper+7 {
		upper = c.H()
	}
	drawStepFigures(c.Rows(0, upper), title, s)
	stepDistribution(s).Draw(c.Rows(upper, c.H()-upper))
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

func drawStepFigures(c chart.Canvas, title string, s *metrics.StepView) {
	c.Rule(0, title, "")
	y := 1
	wide := min(11, (c.W()-20)/4) // of a column of figures
	head := func(names ...string) {
		for i, n := range names {
			c.Right(20+(i+1)*wide, y, theme.Dim, n)
		}
		y++
	}
	row := func(name string, st theme.Style, q metrics.Quantiles) {
		c.Text(1, y, st, name)
		for i, v := range []string{quantile(q, q.P50), quantile(q, q.P90), quantile(q, q.P99), quantile(q, q.Max)} {
			st := theme.Text
			if i == 2 {
				st = p99Style(q)
			}
			c.Right(20+(i+1)*wide, y, st, v)
		}
		y++
	}
	head("p50", "p90", "p99", "max")
	row("response time", theme.P90, s.Response)
	row("service time", theme.Asked, s.Service)
	if c.H() >= 14 {
		y++
	}
	parts := make([]chart.Part, metrics.Phases)
	for i := range parts {
		parts[i] = phaseLook[i]
		// The mean over all requests: a phase that few requests have is as long as it is rare.
		if s.Requests > 0 {
			parts[i].Value = float64(s.Phases[i].Mean) * float64(s.Phases[i].Count) / float64(s.Requests)
		}
	}
	c.Text(1, y, theme.Dim, "phases, mean")
	chart.Stack(c, 20, y, c.W()-21, parts)
	y++
	for i := range metrics.Phases {
		q := s.Phases[i]
		if q.Count == 0 {
			continue
		}
		c.Set(1, y, phaseLook[i].Style, phaseLook[i].Glyph)
		c.Text(3, y, theme.Text, metrics.Phase(i).String())
		if q.Count < s.Requests {
			c.Text(11, y, theme.Dim, "("+chart.Percent(float64(q.Count)/float64(s.Requests))+")")
		}
		for j, v := range []time.Duration{q.P50, q.P90, q.P99, q.Max} {
			c.Right(20+(j+1)*wide, y, theme.Dim, chart.Duration(v))
		}
		y++
	}
	if c.H() >= y+5 {
		y++
	}
	x := c.Text(1, y, theme.Dim, "answers") + 1
	for _, n := range s.Status {
		st := theme.Text
		if n.Status >= 400 {
			st = theme.Bad
		}
		x = c.Text(x+2, y, st, strconv.Itoa(int(n.Status)))
		x = c.Text(x+1, y, theme.Dim, chart.Count(n.Count))
	}
	y++
	x = c.Text(1, y, theme.Dim, "errors ") + 1
	none := true
	for class := 1; class < metrics.Classes; class++ {
		if n := s.ByClass[class]; n > 0 {
			none = false
			x = c.Text(x+2, y, theme.Bad, metrics.Class(class).String())
			x = c.Text(x+1, y, theme.Dim, chart.Count(n))
		}
	}
	if s.Dropped > 0 {
		none = false
		x = c.Text(x+2, y, theme.Warn, "dropped")
		c.Text(x+1, y, theme.Dim, chart.Count(s.Dropped))
	}
	if none {
		c.Text(x+2, y, theme.Text, "none")
	}
	y++
	x = c.Text(1, y, theme.Dim, "connections  ")
	if s.Requests > 0 {
		fresh := s.Requests - min(s.Reused, s.Requests)
		x = c.Text(x, y, theme.Text, fmt.Sprintf("%s reused, %s new", chart.Percent(float64(s.Reused)/float64(s.Requests)), chart.Count(fresh)))
		if s.Stale > 0 {
			c.Text(x, y, theme.Text, ", "+chart.Count(s.Stale)+" stale and sent again")
		}
	}
	y++
	x = c.Text(1, y, theme.Dim, "bytes        ")
	c.Text(x, y, theme.Text, chart.Bytes(float64(s.BytesIn))+" in, "+chart.Bytes(float64(s.BytesOut))+" out")
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
	case s.Response.Count < samplesP99:
		return plainly(fmt.Sprintf("p99 is from %s only: it lies between %s and %s.", plural(s.Response.Count, "request"),
			chart.Duration(s.Response.P99Low), chart.Duration(s.Response.P99High)))
	}
	wait := s.Phases[metrics.PhaseWait]
	return plainly(fmt.Sprintf("Response and service time agree: requests were sent when they were due. The target takes %s (p50) to its first byte.",
		chart.Duration(wait.P50)))
}
