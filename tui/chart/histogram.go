package chart

import (
	"math"
	"time"

	"lt/tui/theme"
)

// Bin is a number of values within [Low, High).
type Bin struct {
	Low, High time.Duration
	Count     float64
}

// Layer is one distribution of a Histogram.
type Layer struct {
	Name  string
	Style theme.Style
	Bins  []Bin
}

// Histogram draws distributions over one logarithmic time axis, each above the next, so that they can be told apart without
// colours. All heights are shares of a layer's own values, on one scale.
type Histogram struct {
	Title, Note string
	Layers      []Layer
	Marks       []Line // X in milliseconds
}

// Draw draws the chart into all of c. It needs 12x5 cells to show anything beside its title.
func (g Histogram) Draw(c Canvas) {
	c.Rule(0, g.Title, g.Note)
	w, h := c.W()-2, c.H()-4
	if w < 8 || h < 1 {
		return
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, l := range g.Layers {
		for _, b := range l.Bins {
			if b.Count > 0 && b.High > 0 && b.Count <= limit {
				lo, hi = min(lo, max(float64(b.Low)/1e6, 1e-3)), max(hi, float64(b.High)/1e6)
			}
		}
	}
	if !(lo < hi) {
		return
	}
	x := logarithmic(lo, hi, max(2, w/9))
	tallest := 0.0
	columns := make([][]float64, len(g.Layers))
	for i, l := range g.Layers {
		columns[i] = l.columns(x, w)
		for _, v := range columns[i] {
			tallest = max(tallest, v)
		}
	}
	if tallest == 0 {
		return
	}
	y := 2
	for i, l := range g.Layers {
		rows := h / len(g.Layers)
		if i < h%len(g.Layers) {
			rows++
		}
		plot := c.Sub(1, y, w, rows)
		drawBlocks(plot, l.Style, columns[i], tallest)
		plot.Text(0, 0, theme.Dim, Clean(l.Name))
		y += rows
	}
	g.drawMarks(c, x, w, h)
	g.drawAxis(c, x, w, h+2)
}

// columns is the share of the layer's values in each of w columns; a bin is spread evenly over those that it covers.
func (l Layer) columns(x scale, w int) []float64 {
	out := make([]float64, w)
	total := 0.0
	for _, b := range l.Bins {
		if b.Count > 0 && b.Count <= limit {
			total += b.Count
		}
	}
	for _, b := range l.Bins {
		if !(b.Count > 0) || b.Count > limit || b.High <= 0 {
			continue
		}
		f, ok1 := x.at(max(float64(b.Low)/1e6, x.from))
		t, ok2 := x.at(float64(b.High) / 1e6)
		if !ok1 || !ok2 || t < f {
			continue
		}
		from, to := f*float64(w), t*float64(w)
		width := to - from
		for i := max(0, min(int(from), w-1)); i <= min(int(to), w-1); i++ {
			part := 1.0
			if width > 1e-9 {
				part = (min(to, float64(i+1)) - max(from, float64(i))) / width
			}
			out[i] += max(0, part) * b.Count / total
		}
	}
	return out
}

func drawBlocks(plot Canvas, st theme.Style, columns []float64, tallest float64) {
	for x, v := range columns {
		eighths := int(v/tallest*float64(8*plot.H()) + 0.5)
		if v > 0 {
			eighths = max(eighths, 1)
		}
		for r := range plot.H() {
			n := eighths - 8*(plot.H()-1-r)
			switch {
			case n >= 8:
				plot.Set(x, r, st, '█')
			case n > 0:
				plot.Set(x, r, st, rune('▁'+n-1))
			}
		}
	}
}

// drawMarks draws the verticals with their names in the row above the plot.
func (g Histogram) drawMarks(c Canvas, x scale, w, h int) {
	free := 0
	for _, m := range g.Marks {
		f, ok := x.at(m.X)
		if !ok || m.X < x.from || m.X > x.to {
			continue
		}
		at := 1 + int(f*float64(w-1)+0.5)
		for r := 2; r < h+2; r++ {
			if c.At(at, r) == 0 {
				c.Set(at, r, m.Style, '┊')
			}
		}
		if start := min(at, 1+w-Width(m.Name)); start >= free {
			free = c.Text(start, 1, m.Style, Clean(m.Name)) + 1
		}
	}
}

func (g Histogram) drawAxis(c Canvas, x scale, w, y int) {
	c.Sub(1, y, w, 1).Fill(theme.Faint, '─')
	free := 0
	for _, v := range x.ticks {
		f, _ := x.at(v)
		at := 1 + int(f*float64(w-1)+0.5)
		label := Millis.tick(v)
		start := max(0, min(at-Width(label)/2, c.W()-Width(label)))
		if start < free {
			continue
		}
		c.Set(at, y, theme.Faint, '┬')
		free = c.Text(start, y+1, theme.Dim, label) + 2
	}
}
