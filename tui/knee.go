package tui

import (
	"fmt"
	"math"
	"time"

	"lt/engine/conductor"
	"lt/engine/knee"
	"lt/tui/chart"
	"lt/tui/theme"
)

var kneeHelp = []string{
	"Each point is a stage that was held, or a few seconds of a ramp: what was offered in it, what came back without error, and how long it took, with the spread over its seconds.",
	"A dot with an arrow, and ≥ in the table, is a lower bound: arrivals were given up that count with the time they had waited.",
	"While goodput lies on the dotted line everything that is asked is answered. Where it leaves the line, the target has reached its capacity; response time climbs well before that.",
	"A ramp with several steady stages draws this curve best. Points of warm-up and pauses are left out.",
}

func (m *model) drawKnee(c chart.Canvas) {
	points := m.view.Points
	if len(points) == 0 {
		waiting(c, "Waiting for the first point.", "A point needs a stage that was held for some seconds, or a few seconds of a ramp; warm-up does not count.")
		return
	}
	table := 0
	if c.H() >= 22 {
		table = min(len(points)+2, c.H()/4)
	}
	m.drawCurves(c.Rows(0, c.H()-table), points)
	if table > 0 {
		m.drawPoints(c.Rows(c.H()-table, table), points)
	}
}

func (m *model) drawCurves(c chart.Canvas, points []knee.Point) {
	good := chart.Cloud{Name: "goodput", Style: theme.Accent, Glyph: '●'}
	p50 := chart.Cloud{Name: "p50", Style: theme.P50, Glyph: '○'}
	p99 := chart.Cloud{Name: "p99", Style: theme.P99, Glyph: '●'}
	bounds := false
	for _, p := range points {
		good.Dots = append(good.Dots, chart.Dot{X: p.Offered, Y: p.Goodput, Low: p.GoodputLow, High: p.GoodputHigh})
		p50.Dots = append(p50.Dots, chart.Dot{X: p.Offered, Y: milliseconds(p.P50), Low: milliseconds(p.P50Low), High: milliseconds(p.P50High), AtLeast: p.LowerBound(p.P50)})
		p99.Dots = append(p99.Dots, chart.Dot{X: p.Offered, Y: milliseconds(p.P99), Low: milliseconds(p.P99Low), High: milliseconds(p.P99High), AtLeast: p.LowerBound(p.P99)})
		bounds = bounds || p.LowerBound(p.P99)
	}
	top := chart.XMax(good)
	times := "● p99  ○ p50"
	if bounds {
		times += "  ↑ or more"
	}
	half := c.H() / 2
	chart.XY{
		Title: "Goodput and response time against offered load", YTitle: "goodput, requests/s", XMax: top, Identity: true,
		Clouds: []chart.Cloud{good},
	}.Draw(c.Rows(0, half))
	chart.XY{
		YTitle: times, Unit: chart.Millis, Log: true, XMax: top, XTitle: "offered requests/s",
		Clouds: []chart.Cloud{p99, p50},
	}.Draw(c.Rows(half, c.H()-half))
}

// milliseconds is d for an axis; 0 is nothing measured.
func milliseconds(d time.Duration) float64 {
	if d <= 0 {
		return nan
	}
	return float64(d) / 1e6
}

// drawPoints is the table of the newest points, the newest first.
func (m *model) drawPoints(c chart.Canvas, points []knee.Point) {
	c.Rule(0, "Points", fmt.Sprintf("%s, newest first", plural(uint64(len(points)), "point")))
	chart.Table{
		Columns: []chart.Column{
			{Title: "time", Width: 8},
			{Title: "offered/s", Width: 9},
			{Title: "goodput/s", Width: 9},
			{Title: "p50", Width: 8},
			{Title: "p99", Width: 8},
			{Title: "errors", Width: 8},
			{Title: "in flight", Width: 9},
			{Title: "requests", Width: 9},
			{Title: "stage", Width: 10, Left: true, Grow: true},
		},
		Len: len(points), Selected: -1,
		Row: func(i int) []chart.Cell {
			p := &points[len(points)-1-i]
			st, _ := rateMark(p.ErrorRate)
			return []chart.Cell{
				{Text: chart.Clock(p.To), Style: theme.Dim},
				{Text: chart.Number(p.Offered)},
				{Text: chart.Number(p.Goodput), Style: theme.Accent},
				{Text: chart.Bound(p.P50, p.LowerBound(p.P50))},
				{Text: chart.Bound(p.P99, p.LowerBound(p.P99))},
				{Text: chart.Percent(p.ErrorRate), Style: st},
				{Text: chart.Number(p.InFlight)},
				{Text: chart.Count(p.Requests), Style: theme.Dim},
				{Text: chart.Clean(stageName(m.view, p.Stage)), Style: theme.Dim},
			}
		},
	}.Draw(c.Rows(1, c.H()-1))
}

// kneeFoot compares the point of the highest load with the point of the least response time.
func (m *model) kneeFoot() remark {
	points := m.view.Points
	if len(points) < 2 {
		if over(m.view) {
			return ended(m.view)
		}
		return plainly("A curve needs points at several loads: a ramp, or several stages.")
	}
	high, best, base := points[0], points[0], math.Inf(1)
	for _, p := range points {
		if p.Offered > high.Offered {
			high = p
		}
		if p.Goodput > best.Goodput {
			best = p
		}
		if p.P50 > 0 {
			base = min(base, float64(p.P50))
		}
	}
	ago := ""
	if over(m.view) {
		ago = " Ended " + chart.Span(m.view.EndedAgo.Truncate(time.Second)) + " ago."
	}
	if m.view.Snapshot.Verdict.Health > 0 && m.view.State != conductor.Starting {
		return bends("Read with care: the generator itself was " + m.view.Snapshot.Verdict.Health.String() + "." + ago)
	}
	factor := float64(high.P50) / base
	if high.Goodput < 0.95*high.Offered {
		return bends(fmt.Sprintf("Of %s/s offered only %s/s are answered; the most so far was %s/s.%s", chart.Number(high.Offered),
			chart.Number(high.Goodput), chart.Number(best.Goodput), ago))
	}
	if high.LowerBound(high.P50) {
		return bends(fmt.Sprintf("At %s/s half of the requests take %s or more, at least %s times the least measured: arrivals were given up.%s", chart.Number(high.Offered), chart.Duration(high.P50), chart.Number(factor), ago))
	}
	if factor >= 2 {
		return bends(fmt.Sprintf("At %s/s p50 is %s times the least measured: %.0f %% of it is waiting.%s", chart.Number(high.Offered), chart.Number(factor), 100*(1-1/factor), ago))
	}
	return plainly(fmt.Sprintf("Up to %s/s all that is offered is answered, p50 is %s times the least measured.%s", chart.Number(high.Offered), chart.Number(factor), ago))
}
