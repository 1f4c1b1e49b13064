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

// edge is the end of the data of a series.
func edge(s *metrics.Series) time.Duration {
	return s.From + time.Duration(len(s.Points))*max(0, s.Every)
}

// series is what the charts show: by second where the window is short and within the newest minutes, else the whole run, which in a
// long one has longer points.
func (m *model) series() *metrics.Series {
	s := &m.view.Snapshot.Recent
	if windows[m.window] > 0 && len(s.Points) > 0 && m.spanIn(s).from >= s.From {
		return s
	}
	return &m.view.Snapshot.Series
}

// span is the window at its present place, with the newest value at the right edge.
func (m *model) span() span { return m.spanIn(m.series()) }

// spanIn is the window on a series. While there is less data than the window is long, the window is what there is, and at least
// ten seconds: a young run has the whole width.
func (m *model) spanIn(s *metrics.Series) span {
	to := edge(s)
	if m.until > 0 {
		to = min(to, m.until)
	}
	if s.Every > 0 {
		to = to.Truncate(s.Every)
	}
	if length := windows[m.window]; length > 0 && to >= length {
		return span{to - length, to}
	}
	return span{0, max(to, windows[0])}
}

// within are the points from..to of a series that lie within the window.
func (m *model) within(s *metrics.Series) (from, to int) {
	if s.Every <= 0 {
		return 0, 0
	}
	w := m.spanIn(s)
	from = max(0, min(int((w.from-s.From)/s.Every), len(s.Points)))
	return from, max(from, min(int((w.to-s.From)/s.Every), len(s.Points)))
}

// column is one figure of all points; where a source did not deliver, rates are a gap.
func (m *model) column(gaps bool, value func(*metrics.Point) float64) []float64 {
	points := m.series().Points
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
