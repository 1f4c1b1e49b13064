package tui

import (
	"fmt"
	"slices"
	"time"

	"lt/tui/chart"
	"lt/tui/theme"
)

var heatmapHelp = []string{
	"How response times spread, second by second: each column is a moment, each shade the share of its requests that took that long. Lines: p50 and, broken, p99.",
	"Two bright bands are two kinds of answers, such as cached ones and others; a band that climbs is a queue; a speck far above is a stall.",
	"o shows what differs from the usual instead: only what is more than in the median of all columns.",
}

var heatmapOrders = []string{"as shares", "as the difference from the usual"}

func (m *model) drawHeatmap(c chart.Canvas) {
	if len(m.view.Snapshot.Series.Points) == 0 || len(m.view.Snapshot.Series.Bands) == 0 {
		waiting(c, "Waiting for the first second of measurements.")
		return
	}
	m.heat().Draw(c)
}

func (m *model) heat() chart.Heatmap {
	s := m.series()
	w := m.heatSpan()
	h := chart.Heatmap{
		Title: "Response times", Start: s.From, Every: s.Every, From: w.from, To: w.to, Bands: s.Bands, Stages: m.stageEdges(), Marks: m.eventMarks(),
		Over: []chart.Series{
			{Name: "p50", Values: m.column(false, percentile(0)), Style: theme.P50},
			{Name: "p99", Values: m.column(false, percentile(2)), Style: theme.P99},
		},
	}
	h.Counts = make([][]uint32, len(s.Points))
	cells := make([]uint32, len(s.Points)*len(s.Bands))
	for i := range s.Points {
		h.Counts[i], cells = cells[:len(s.Bands)], cells[len(s.Bands):]
		heat := &s.Points[i].Heat
		if heat.First >= 0 && heat.First < len(s.Bands) {
			copy(h.Counts[i][heat.First:], heat.Counts)
		}
	}
	if m.lists[panelHeatmap].order == 1 {
		h.Title, h.Base = "Response times, more than usual", usual(h.Counts, len(s.Bands))
	}
	return h
}

// heatSpan is the window, moved on in steps of a twentieth of its length: a heatmap that scrolls changes nearly every cell,
// which a slow link cannot take each second. Between two steps only the newest column grows.
func (m *model) heatSpan() span {
	w, every := m.span(), m.series().Every
	if every <= 0 || w.to <= w.from || w.to-w.from < 0 {
		return w
	}
	step := max(every, ((w.to - w.from) / 20).Truncate(every))
	if windows[m.window] == 0 { // all of the run: the step must not change with each second, either
		step = every
		for step < (w.to-w.from)/40 && step < time.Hour {
			step *= 2
		}
	}
	if over := w.to % step; over > 0 && w.to < 1<<61 {
		w.to += step - over
	}
	switch length := windows[m.window]; {
	case length > 0 && w.from == 0 && w.to <= length:
		w.to = min(roomFor(m.span().to), length)
	case length > 0:
		w.from = w.to - length
	}
	return w
}

// roomFor is the least round time that is not below to: a picture of all that there is grows in few steps.
func roomFor(to time.Duration) time.Duration {
	at := 10 * time.Second
	for i := 0; at < to && at < time.Hour; i++ {
		at = at * time.Duration([...]int{3, 4, 3}[i%3]) / time.Duration([...]int{2, 3, 2}[i%3]) // 10, 15, 20, 30, 45, 60, 90 ...
	}
	return max(at, to)
}

// usual is the median share of each band over at most 200 columns, evenly spaced.
func usual(counts [][]uint32, bands int) []float64 {
	const most = 200
	step := max(1, len(counts)/most)
	base := make([]float64, bands)
	var shares []float64
	for b := range base {
		shares = shares[:0]
		for i := 0; i < len(counts); i += step {
			sum, n := 0.0, 0.0
			for j, count := range counts[i] {
				sum += float64(count)
				if j == b {
					n = float64(count)
				}
			}
			if sum > 0 {
				shares = append(shares, n/sum)
			}
		}
		if len(shares) > 0 {
			slices.Sort(shares)
			base[b] = shares[len(shares)/2]
		}
	}
	return base
}

func (m *model) heatmapFoot() remark {
	if over(m.view) {
		return ended(m.view)
	}
	q := &m.view.Snapshot.Window.Response
	if q.Count == 0 {
		return plainly("Nothing was answered in the last " + chart.Span(m.view.Snapshot.Window.Length) + ".")
	}
	if q.LowerBound(q.P99) {
		return bends(fmt.Sprintf("Arrivals were given up: the slowest hundredth takes longer than %s.", chart.Duration(q.P99)))
	}
	if q.P99 > 20*q.P50 {
		return bends(fmt.Sprintf("The slowest hundredth takes %s times as long as the median: look for a second band above the first.",
			chart.Number(float64(q.P99)/float64(max(q.P50, 1)))))
	}
	return plainly(fmt.Sprintf("Half of the answers take up to %s, all but one in a hundred up to %s.", chart.Duration(q.P50), chart.Duration(q.P99)))
}
