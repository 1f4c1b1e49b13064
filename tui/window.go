package tui

import (
	"math"
	"time"

	"lt/engine/conductor"
	"lt/engine/metrics"
	"lt/tui/chart"
	"lt/tui/theme"
)

// span is the part of run time that the charts show.
type span struct{ from, to time.Duration }

// edge is the end of the newest data.
func (m *model) edge() time.Duration {
	s := &m.view.Snapshot.Series
	return time.Duration(len(s.Points)) * max(0, s.Every)
}

// span is the window at its present place, with the newest value at the right edge. While there is less data than the window
// is long, the window is what there is, and at least ten seconds: a young run has the whole width.
func (m *model) span() span {
	to := m.edge()
	if m.until > 0 {
		to = min(to, m.until)
	}
	if every := m.view.Snapshot.Series.Every; every > 0 {
		to = to.Truncate(every)
	}
	if length := windows[m.window]; length > 0 && to >= length {
		return span{to - length, to}
	}
	return span{0, max(to, windows[0])}
}

// points are those within the window.
func (m *model) points() []metrics.Point {
	s := &m.view.Snapshot.Series
	if s.Every <= 0 {
		return nil
	}
	w := m.span()
	from := max(0, min(int(w.from/s.Every), len(s.Points)))
	to := max(from, min(int(w.to/s.Every), len(s.Points)))
	return s.Points[from:to]
}

// column is one figure of all points; where a source did not deliver, rates are a gap.
func (m *model) column(gaps bool, value func(*metrics.Point) float64) []float64 {
	points := m.view.Snapshot.Series.Points
	out := make([]float64, len(points))
	for i := range points {
		out[i] = value(&points[i])
		if gaps && points[i].Gap {
			out[i] = math.NaN()
		}
	}
	return out
}

// percentile is the i-th of p50, p90, p99 and p99.9 of a point, in milliseconds.
func percentile(i int) func(*metrics.Point) float64 {
	return func(p *metrics.Point) float64 {
		return [...]float64{p.P50, p.P90, p.P99, p.P999}[i]
	}
}

var percentileNames = [...]string{"p50", "p90", "p99", "p99.9"}

// stageEdges are the beginnings of the stages so far.
func (m *model) stageEdges() []chart.Edge {
	var out []chart.Edge
	for i := range m.view.Snapshot.Stages {
		if st := &m.view.Snapshot.Stages[i]; st.From > 0 || len(m.view.Snapshot.Stages) > 1 {
			out = append(out, chart.Edge{At: st.From, Name: stageName(m.view, st.Index)})
		}
	}
	return out
}

// eventMarks are the events on the time axis; beginnings of stages have their own verticals.
func (m *model) eventMarks() []chart.Mark {
	var out []chart.Mark
	for _, e := range m.view.Events {
		if e.Kind != conductor.EventStage {
			st, glyph := eventGlyph(e.Kind)
			out = append(out, chart.Mark{At: e.At, Style: st, Glyph: glyph})
		}
	}
	return out
}

// eventGlyph is how an event looks in a row and on the axis.
func eventGlyph(kind conductor.EventKind) (theme.Style, rune) {
	switch kind {
	case conductor.EventSLO, conductor.EventGuard:
		return theme.Warn, '▲'
	case conductor.EventTarget:
		return theme.Bad, '✗'
	case conductor.EventUser:
		return theme.Text, '◆'
	case conductor.EventStage:
		return theme.Dim, '┊'
	case conductor.EventKnee:
		return theme.Accent, '◆'
	}
	return theme.Dim, '•'
}
