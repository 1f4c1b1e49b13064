package chart

import (
	"cmp"
	"math"
	"slices"
	"time"

	"lt/tui/theme"
)

// Series is one line of a Lines chart.
type Series struct {
	Name   string // in the legend and at the line's end
	Values []float64
	Style  theme.Style
	Dotted bool // for what is asked rather than measured
}

// Edge is a stage's beginning on the time axis.
type Edge struct {
	At   time.Duration
	Name string
}

// Mark is something that happened, on the time axis.
type Mark struct {
	At    time.Duration
	Style theme.Style
	Glyph rune // one cell wide
}

// Lines draws series over run time on one grid, the newest value at the right edge. Value i of every series covers
// [Start+i*Every, Start+(i+1)*Every) of run time and is drawn in its middle. NaN is a gap. Later series hide earlier ones
// where they meet.
type Lines struct {
	Title    string
	Note     string // at the right of the title; empty: the legend
	Unit     Unit
	Log      bool
	Start    time.Duration // of run time, of the first value
	Every    time.Duration
	From, To time.Duration // of run time, shown
	Series   []Series
	Stages   []Edge
	Marks    []Mark
	EndNames bool // names at the ends of the lines instead of a legend
	Aligned  bool // the columns that names would take stay free, so that the time axes of charts above one another agree
}

// century bounds run time, so that sums of it cannot overflow.
const century = 100 * 365 * 24 * time.Hour

func clampTime(d time.Duration) time.Duration { return max(-century, min(d, century)) }

// Draw draws the chart into all of c. It needs 12x4 cells to show anything beside its title.
func (l Lines) Draw(c Canvas) {
	l.Start, l.From, l.To, l.Every = clampTime(l.Start), clampTime(l.From), clampTime(l.To), clampTime(l.Every)
	top := 0
	if l.Title != "" {
		c.Rule(0, l.Title, l.Note)
		if l.Note == "" && !l.EndNames {
			legend(c, l.Title, l.Series)
		}
		top = 1
	}
	gutter, names := gutterWidth(c.W()), 0
	if (l.EndNames || l.Aligned) && c.W() >= 60 {
		names = 6
	}
	w, h := c.W()-gutter-names, c.H()-top-1
	axis := h >= 5
	if axis {
		h--
	}
	if w < 4 || h < 2 {
		return
	}
	plot := c.Sub(gutter, top, w, h)
	y := l.scale(h)
	drawTicks(c.Rows(top, h), gutter, w, 4, y, l.Unit)
	l.drawStages(plot, false)
	l.drawTime(c, gutter, top+h, w, axis)
	d := newDots(w, h)
	for _, s := range l.Series {
		d.clear()
		d.polyline(l.count(s), func(i int) (float64, float64) {
			f, ok := y.at(s.Values[i])
			if !ok || l.Log && !(s.Values[i] > 0) {
				f = math.NaN()
			}
			return l.place(i), f
		})
		if s.Dotted {
			d.dot()
		}
		d.draw(plot, s.Style)
	}
	l.drawStages(plot, true)
	if names > 0 && l.EndNames {
		l.drawNames(c.Sub(gutter+w, top, names, h), y)
	}
}

// count is the number of values of s that can lie within the chart; the first may be skipped by place.
func (l Lines) count(s Series) int {
	if l.Every <= 0 {
		return 0
	}
	return max(0, min(len(s.Values), int((l.To-l.Start)/l.Every)+1))
}

// place is where value i stands on the time axis, 0..1; outside of it, NaN.
func (l Lines) place(i int) float64 {
	span := float64(l.To - l.From - l.Every)
	at := float64(i)*float64(l.Every) - float64(l.From-l.Start)
	switch {
	case span <= 0 && at == 0:
		return 0.5
	case span <= 0 || at < -1 || at > span+1:
		return math.NaN()
	}
	return max(0, min(at/span, 1))
}

func (l Lines) scale(h int) scale {
	shown := make([][]float64, 0, len(l.Series)+1)
	for _, s := range l.Series {
		from, to := 0, 0
		if l.Every > 0 {
			to = l.count(s)
			from = max(0, min(int((l.From-l.Start)/l.Every), to))
		}
		shown = append(shown, s.Values[from:to])
	}
	lo, hi, ok := extent(l.Log, shown...)
	if l.Log {
		if !ok {
			lo, hi = 1, 100
		}
		return logarithmic(lo, hi, max(2, h/2))
	}
	if !ok {
		lo, hi = 0, 1
	}
	return linear(lo, hi, max(1, min(h/3, 6)))
}

// gutterWidth is the width of the value axis: its labels right aligned, and the axis itself.
func gutterWidth(w int) int {
	if w < 40 {
		return 7
	}
	return 8
}

// drawTicks draws the labels of the value axis and faint lines across the plot, which takes the w columns after gutter; a w of 0 has
// none. Each row of the plot is divided into so many places.
func drawTicks(c Canvas, gutter, w, places int, y scale, u Unit) {
	last := c.H() + 1
	for r := range c.H() {
		c.Set(gutter-1, r, theme.Faint, '│')
	}
	for _, v := range y.ticks {
		f, _ := y.at(v)
		row := int((1-f)*float64(places*c.H()-1)+0.5) / places
		if row >= last-1 && last <= c.H() {
			continue // no room between two labels
		}
		last = row
		c.Set(gutter-1, row, theme.Faint, '┤')
		c.Sub(0, row, gutter-1, 1).Right(gutter-1, 0, theme.Dim, u.tick(v))
		if row == c.H()-1 {
			continue
		}
		for x := gutter + 1; x < gutter+w; x += 2 {
			c.Set(x, row, theme.Faint, '┈')
		}
	}
}

// drawStages draws a thin vertical at each beginning of a stage, or with names their names, which go over the series. A name
// that has no room before the next one is left out.
func (l Lines) drawStages(plot Canvas, names bool) {
	for i, e := range l.Stages {
		x, ok := l.column(e.At, plot.W())
		if !ok {
			continue
		}
		room := plot.W() - x - 1
		if i+1 < len(l.Stages) {
			if next, ok := l.column(l.Stages[i+1].At, plot.W()); ok {
				room = next - x - 1
			}
		}
		for y := 0; y < plot.H() && !names; y++ {
			plot.Set(x, y, theme.Faint, '┊')
		}
		if names && (Width(e.Name) < room || room > 7) {
			plot.Text(x+1, 0, theme.Dim, Shorten(Clean(e.Name), room-1))
		}
	}
}

// column is the column of a time; not ok outside of the chart.
func (l Lines) column(at time.Duration, w int) (int, bool) {
	at = clampTime(at)
	if at < l.From || at > l.To || l.To <= l.From {
		return 0, false
	}
	return min(w-1, int(float64(at-l.From)/float64(l.To-l.From)*float64(w))), true
}

// drawTime draws the time axis from row y on: the line with its ticks and marks if axis is set, and the labels.
func (l Lines) drawTime(c Canvas, x0, y, w int, axis bool) {
	line := c.Sub(x0, y, w, 1)
	if axis {
		c.Set(x0-1, y, theme.Faint, '└')
		line.Fill(theme.Faint, '─')
		y++
	}
	free := 0
	for _, t := range clockTicks(l.From, l.To, w/11) {
		x, ok := l.column(t, w)
		if !ok {
			continue
		}
		label := Clock(t)
		at := x0 + x - Width(label)/2
		at = min(at, x0+w-Width(label))
		if at < free {
			continue
		}
		if axis {
			line.Set(x, 0, theme.Faint, '┬')
		}
		free = c.Text(at, y, theme.Dim, label) + 2
	}
	if !axis {
		return
	}
	for _, m := range l.Marks {
		if x, ok := l.column(m.At, w); ok {
			line.Set(x, 0, m.Style, m.Glyph)
		}
	}
}

// drawNames writes each series' name beside its last value, in the order of the values and moved apart where they would
// collide.
func (l Lines) drawNames(c Canvas, y scale) {
	type name struct {
		at  float64
		row int
		s   *Series
	}
	var names []name
	for i := range l.Series {
		s := &l.Series[i]
		last := math.NaN()
		for j := l.count(*s) - 1; j >= 0 && math.IsNaN(last) && !math.IsNaN(l.place(j)); j-- {
			last = s.Values[j]
		}
		if f, ok := y.at(last); ok && (!l.Log || last > 0) {
			names = append(names, name{last, int((1-f)*float64(4*c.H()-1)+0.5) / 4, s})
		}
	}
	slices.SortStableFunc(names, func(a, b name) int { return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.s.Style, a.s.Style)) })
	if len(names) > c.H() {
		names = names[:c.H()]
	}
	for i := range names {
		if i > 0 {
			names[i].row = max(names[i].row, names[i-1].row+1)
		}
	}
	below := c.H()
	for i := len(names) - 1; i >= 0; i-- {
		names[i].row = min(names[i].row, below-1)
		below = names[i].row
		c.Text(1, below, names[i].s.Style, Shorten(names[i].s.Name, c.W()-1))
	}
}

// legend writes the names of the series into the rule on row 0, each with a piece of its line.
func legend(c Canvas, title string, series []Series) {
	w := 1
	for _, s := range series {
		w += Width(s.Name) + 5
	}
	x := c.W() - w - 2
	if x < Width(title)+6 {
		return
	}
	x = c.Text(x, 0, theme.Text, " ")
	for _, s := range series {
		piece := "⣀⣀"
		if s.Dotted {
			piece = "⠄⠄"
		}
		x = c.Text(x, 0, s.Style, piece)
		x = c.Text(x, 0, theme.Dim, " "+s.Name+"  ")
	}
}
