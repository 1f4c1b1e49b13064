package chart

import (
	"math"

	"lt/tui/theme"
)

// Dot is a measured point of an XY chart. Low and High are the ends of its spread; NaN, or equal to Y: none. Of one that is only a
// lower bound an arrow points up to where the true one may lie.
type Dot struct {
	X, Y, Low, High float64
	AtLeast         bool
}

// Cloud is a set of points drawn alike.
type Cloud struct {
	Name  string
	Style theme.Style
	Glyph rune // one cell wide
	Dots  []Dot
}

// Line marks a place on the x axis with a vertical and its name.
type Line struct {
	X     float64
	Name  string
	Style theme.Style
}

// Area is a shaded range of the x axis, for what is known only within bounds.
type Area struct {
	From, To float64
	Name     string
	Style    theme.Style
}

// XY draws points against a measured quantity. Two of them with the same XMax stand on one grid when put above each other.
type XY struct {
	Title, Note string
	YTitle      string // written at the top of the plot
	Unit        Unit
	XTitle      string // at the right end of the axis; empty: the axis has no labels
	XMax        float64
	Log         bool
	Identity    bool // draw y = x: what would be answered if everything were
	Clouds      []Cloud
	Lines       []Line
	Areas       []Area
}

// XMax is a common upper end of x axes for all points of the clouds.
func XMax(clouds ...Cloud) float64 {
	hi := 0.0
	for _, cloud := range clouds {
		for _, d := range cloud.Dots {
			if d.X > hi && d.X <= limit {
				hi = d.X
			}
		}
	}
	return hi
}

// Draw draws the chart into all of c. It needs 12x4 cells to show anything beside its title.
func (p XY) Draw(c Canvas) {
	top, bottom := 0, 0
	if p.Title != "" {
		c.Rule(0, p.Title, p.Note)
		if p.Note == "" {
			p.legend(c)
		}
		top = 1
	}
	if p.XTitle != "" {
		bottom = 2
	}
	gutter := gutterWidth(c.W())
	w, h := c.W()-gutter-1, c.H()-top-bottom
	if w < 4 || h < 2 {
		return
	}
	plot := c.Sub(gutter, top, w, h)
	x := linear(0, p.XMax, max(2, w/12))
	y := p.scaleY(h)
	column := func(v float64) (int, bool) {
		f, ok := x.at(v)
		return int(f*float64(w-1) + 0.5), ok && v >= 0 && v <= x.to
	}
	row := func(v float64) (int, bool) {
		f, ok := y.at(v)
		return int((1-f)*float64(h-1) + 0.5), ok
	}
	for _, a := range p.Areas {
		from, ok1 := column(max(0, min(a.From, x.to)))
		to, ok2 := column(max(0, min(a.To, x.to)))
		if !ok1 || !ok2 {
			continue
		}
		for i := from; i <= to; i++ {
			for r := range h {
				plot.Set(i, r, a.Style, '░')
			}
		}
	}
	drawTicks(c.Rows(top, h), gutter, w, 4, y, p.Unit)
	if p.Identity {
		d := newDots(w, h)
		d.polyline(2*w, func(i int) (float64, float64) {
			fx := float64(i) / float64(2*w-1)
			v := x.value(fx)
			if v > y.to {
				return math.NaN(), math.NaN()
			}
			fy, _ := y.at(v)
			return fx, fy
		})
		d.dot()
		d.draw(plot, theme.Asked)
	}
	for _, l := range p.Lines {
		if i, ok := column(l.X); ok {
			for r := range h {
				plot.Set(i, r, l.Style, '┃')
			}
		}
	}
	for _, cloud := range p.Clouds {
		for _, d := range cloud.Dots {
			i, ok := column(d.X)
			lo, ok1 := row(d.Low)
			hi, ok2 := row(d.High)
			if !ok || !ok1 || !ok2 {
				continue
			}
			for r := hi; r <= lo && hi < lo; r++ {
				plot.Set(i, r, theme.Dim, '│')
			}
		}
	}
	for _, cloud := range p.Clouds {
		for _, d := range cloud.Dots {
			i, ok1 := column(d.X)
			r, ok2 := row(d.Y)
			if !ok1 || !ok2 || p.Log && !(d.Y > 0) {
				continue
			}
			plot.Set(i, r, cloud.Style, cloud.Glyph)
			if d.AtLeast {
				plot.Set(i, max(0, r-1), cloud.Style, '↑')
			}
		}
	}
	p.drawNames(plot, column)
	if bottom > 0 {
		p.drawAxis(c, gutter, top+h, w, x)
	}
}

func (p XY) scaleY(h int) scale {
	lo, hi, any := math.Inf(1), math.Inf(-1), false
	for _, cloud := range p.Clouds {
		for _, d := range cloud.Dots {
			for _, v := range [...]float64{d.Y, d.Low, d.High} {
				if math.IsNaN(v) || math.IsInf(v, 0) || p.Log && v <= 0 {
					continue
				}
				lo, hi, any = min(lo, v), max(hi, v), true
			}
		}
	}
	if p.Log {
		if !any {
			lo, hi = 1, 100
		}
		return logarithmic(lo, hi, max(2, h/2))
	}
	if !any {
		lo, hi = 0, 1
	}
	return linear(lo, hi, max(1, min(h/3, 6)))
}

// drawNames writes the names of verticals and areas at the top, and the y title at the left; a name that would cover
// another goes a row down.
func (p XY) drawNames(plot Canvas, column func(float64) (int, bool)) {
	end := make([]int, min(plot.H(), 4))
	write := func(x int, st theme.Style, s string) {
		w := Width(s) + 1
		if x+w > plot.W() {
			x = max(0, x-w-1) // to the left of its line
		}
		for r := range end {
			if x >= end[r] {
				plot.Text(x, r, st, s)
				end[r] = x + w
				return
			}
		}
	}
	if p.YTitle != "" {
		write(1, theme.Dim, p.YTitle)
	}
	for _, l := range p.Lines {
		if x, ok := column(l.X); ok && l.Name != "" {
			write(x+1, l.Style|theme.Bold, Clean(l.Name))
		}
	}
	for _, a := range p.Areas {
		if x, ok := column(a.From); ok && a.Name != "" {
			write(x+1, a.Style, Clean(a.Name))
		}
	}
}

func (p XY) drawAxis(c Canvas, x0, y, w int, x scale) {
	c.Set(x0-1, y, theme.Faint, '└')
	c.Sub(x0, y, w, 1).Fill(theme.Faint, '─')
	end := x0 + w - Width(p.XTitle)
	c.Text(end, y+1, theme.Dim, p.XTitle)
	free := 0
	for _, v := range x.ticks {
		f, _ := x.at(v)
		i := int(f*float64(w-1) + 0.5)
		label := Plain.tick(v)
		at := x0 + i - Width(label)/2
		if at < free || at+Width(label) >= end {
			continue
		}
		c.Set(x0+i, y, theme.Faint, '┬')
		free = c.Text(at, y+1, theme.Dim, label) + 2
	}
}

func (p XY) legend(c Canvas) {
	w := 1
	for _, cloud := range p.Clouds {
		w += Width(cloud.Name) + 4
	}
	if p.Identity {
		w += 16
	}
	x := c.W() - w - 2
	if x < Width(p.Title)+6 {
		return
	}
	x = c.Text(x, 0, theme.Text, " ")
	for _, cloud := range p.Clouds {
		c.Set(x, 0, cloud.Style, cloud.Glyph)
		x = c.Text(x+1, 0, theme.Dim, " "+cloud.Name+"  ")
	}
	if p.Identity {
		x = c.Text(x, 0, theme.Asked, "⠄⠄")
		c.Text(x, 0, theme.Dim, " all answered ")
	}
}
