package tui

import (
	"slices"
	"time"

	"lt/engine/metrics"
	"lt/tui/chart"
	"lt/tui/theme"
)

var overviewHelp = []string{
	"The run over time. Above: what is asked of the target (dotted) and what it answered without error (line). Where the two part, the target no longer keeps up.",
	"Below: response times on a logarithmic scale, counted from the moment each request was meant to start, so that waiting in line is part of them. Percentiles come from merged histograms, never from averages.",
	"Grey percentiles come from too few requests to be trusted alone; ≥ means that arrivals were given up, so the true value is longer.",
}

func (m *model) drawOverview(c chart.Canvas) {
	if len(m.view.Snapshot.Series.Points) == 0 {
		waiting(c, "Waiting for the first second of measurements.")
		return
	}
	l := m.layout()
	below := l.figureBlock
	if l.chartColumns == 2 && c.H() >= 40 {
		m.drawWideOverview(c, below+4)
		return
	}
	charts := c.H() - below
	if l.chartColumns == 2 {
		half := c.W() / 2
		m.throughput().Draw(c.Sub(0, 0, half-1, charts))
		m.response().Draw(c.Sub(half+1, 0, c.W()-half-1, charts))
	} else {
		upper := charts * 9 / 20
		if charts < 10 {
			upper = charts // room for one chart only
		}
		above := m.throughput()
		above.Aligned = upper < charts
		above.Draw(c.Rows(0, upper))
		m.response().Draw(c.Rows(upper, charts-upper))
	}
	m.drawFigureBlock(c.Rows(charts, below), l.columns)
}

// drawWideOverview has room for the heatmap between the charts and the figures.
func (m *model) drawWideOverview(c chart.Canvas, below int) {
	half, charts := c.W()/2, (c.H()-below)/2
	m.throughput().Draw(c.Sub(0, 0, half-1, charts))
	m.response().Draw(c.Sub(half+1, 0, c.W()-half-1, charts))
	m.heat().Draw(c.Rows(charts, c.H()-below-charts))
	m.drawFigureBlock(c.Rows(c.H()-below, below), 3)
}

func (m *model) throughput() chart.Lines {
	w := m.span()
	s := m.series()
	l := chart.Lines{
		Title: "Throughput, requests/s", Start: s.From, Every: s.Every, From: w.from, To: w.to,
		Stages: m.stageEdges(), Marks: m.eventMarks(),
		Series: []chart.Series{
			{Name: "offered", Values: m.column(true, func(p *metrics.Point) float64 { return p.Offered }), Style: theme.Asked, Dotted: true},
		},
	}
	if m.errorCount() > 0 { // those of the warm-up are drawn, too
		l.Series = append(l.Series, chart.Series{Name: "errors", Values: m.errorLine(), Style: theme.Bad})
	}
	l.Series = append(l.Series, chart.Series{Name: "goodput", Values: m.column(true, func(p *metrics.Point) float64 { return p.Goodput }), Style: theme.Accent})
	return l
}

// errorLine is the errors a second, left out where there are none: a line along the axis says nothing.
func (m *model) errorLine() []float64 {
	return m.column(true, func(p *metrics.Point) float64 {
		if p.Errors <= 0 {
			return nan
		}
		return p.Errors
	})
}

func (m *model) response() chart.Lines {
	w := m.span()
	s := m.series()
	l := chart.Lines{
		Title: "Response time, from the intended start", Note: "log scale", Unit: chart.Millis, Log: true,
		Start: s.From, Every: s.Every, From: w.from, To: w.to, Stages: m.stageEdges(), Marks: m.eventMarks(), EndNames: true,
	}
	for _, i := range []int{3, 1, 0, 2} { // p99 last: it hides the others where they meet
		l.Series = append(l.Series, chart.Series{Name: percentileNames[i], Values: m.column(false, percentile(i)), Style: theme.Percentile(i)})
	}
	return l
}

// drawFigureBlock is what stands below the charts: percentiles, and with more columns errors and the slowest steps.
func (m *model) drawFigureBlock(c chart.Canvas, columns int) {
	if c.H() < 2 {
		return
	}
	w := c.W()
	switch columns {
	case 1:
		m.drawPercentiles(c)
	case 2:
		left := w * 11 / 20
		m.drawPercentiles(c.Columns(0, left))
		m.drawWorst(c.Columns(left+2, w-left-2))
	default:
		third := w / 3
		m.drawPercentiles(c.Columns(0, third+10))
		m.drawTopErrors(c.Columns(third+12, third-20))
		m.drawSlowest(c.Columns(2*third-6, w-2*third+6))
	}
}

// drawPercentiles has one row a percentile: its shape over the window, its value over the last seconds, and the ends of
// the shape.
func (m *model) drawPercentiles(c chart.Canvas) {
	c.Rule(0, "Percentiles", "")
	w := c.W()
	const figure = 9
	spark := w - 8 - 3*(figure+2)
	at := func(column int) int { return w - (2-column)*(figure+2) - 1 }
	for i, title := range []string{"now", "min", "max"} {
		c.Right(at(i), 0, theme.Dim, " "+title+" ")
	}
	s := m.series()
	from, to := m.within(s)
	points := s.Points[from:to]
	q := &m.view.Snapshot.Window.Response
	now := [...]time.Duration{q.P50, q.P90, q.P99, q.P999}
	for i, name := range percentileNames {
		y := i + 1
		values := make([]float64, len(points))
		lo, hi := nan, nan
		for j := range points {
			v := percentile(i)(&points[j])
			values[j] = v
			if v == v && !(v >= lo) {
				lo = v
			}
			if v == v && !(v <= hi) {
				hi = v
			}
		}
		c.Text(1, y, theme.Percentile(i), name)
		if spark > 4 {
			chart.Spark(c, 7, y, spark, theme.Percentile(i), values)
		}
		st := theme.Text | theme.Bold
		if i == 2 && q.Count < samplesP99 || i == 3 && q.Count < samplesP999 {
			st = theme.Dim
		}
		c.Right(at(0), y, st, quantile(*q, now[i]))
		c.Right(at(1), y, theme.Dim, chart.Milliseconds(lo))
		c.Right(at(2), y, theme.Dim, chart.Milliseconds(hi))
	}
}

// drawWorst shares one column between errors and steps.
func (m *model) drawWorst(c chart.Canvas) {
	if len(m.view.Snapshot.Errors) == 0 {
		m.drawSlowest(c)
		return
	}
	half := c.W() * 9 / 20
	m.drawTopErrors(c.Columns(0, half))
	m.drawSlowest(c.Columns(half+2, c.W()-half-2))
}

func (m *model) drawTopErrors(c chart.Canvas) {
	c.Rule(0, "Errors", "")
	errors := m.view.Snapshot.Errors
	if len(errors) == 0 {
		c.Text(1, 1, theme.Dim, "none so far")
		return
	}
	for i := range min(len(errors), c.H()-1) {
		e := &errors[i]
		x := c.Right(c.W()-1, i+1, theme.Text, chart.Count(e.Count))
		c.Set(0, i+1, theme.Bad, '✗')
		at := c.Sub(0, i+1, x-1, 1).Text(2, 0, theme.Text, errorName(e))
		if room := x - at - 2; room >= 6 { // less of a step's name says nothing
			c.Fit(at+1, i+1, room, theme.Dim, chart.Shorten(chart.Clean(e.Step.Step), room))
		}
	}
}

func (m *model) drawSlowest(c chart.Canvas) {
	c.Rule(0, "Slowest steps by p99", "")
	steps := make([]*metrics.StepView, 0, len(m.view.Snapshot.Steps))
	for i := range m.view.Snapshot.Steps {
		if s := &m.view.Snapshot.Steps[i]; s.Response.Count > 0 {
			steps = append(steps, s)
		}
	}
	slices.SortStableFunc(steps, func(a, b *metrics.StepView) int { return compare(float64(b.Response.P99), float64(a.Response.P99)) })
	if len(steps) == 0 {
		text := "no step has ended yet"
		if slices.ContainsFunc(m.view.Snapshot.Steps, func(s metrics.StepView) bool { return s.WindowRPS > 0 }) {
			text = "none yet: the warm-up is not counted"
		}
		c.Text(1, 1, theme.Dim, text)
	}
	for i := range min(len(steps), c.H()-1) {
		c.Right(c.W()-1, i+1, p99Style(steps[i].Response), quantile(steps[i].Response, steps[i].Response.P99))
		// Of a place that is too narrow for both the scenario's name goes first.
		end := c.W() - 11
		x := c.Sub(0, i+1, end, 1).Text(1, 0, theme.Text, chart.Shorten(chart.Clean(steps[i].Step), end-1))
		if room := end - x; room >= 6 && m.ambiguous(steps[i].Scenario, steps[i].Step) {
			c.Fit(x, i+1, room, theme.Dim, " · "+chart.Clean(steps[i].Scenario))
		}
	}
}

// ambiguous reports whether another scenario has a step of the same name.
func (m *model) ambiguous(scenario, step string) bool {
	return slices.ContainsFunc(m.view.Snapshot.Steps, func(o metrics.StepView) bool { return o.Step == step && o.Scenario != scenario })
}

// stepName is a step's name, with its scenario's where another has a step of that name.
func (m *model) stepName(scenario, step string) string {
	if m.ambiguous(scenario, step) {
		step += " · " + scenario
	}
	return chart.Clean(step)
}
