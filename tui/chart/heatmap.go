package chart

import (
	"math"
	"time"

	"lt/tui/theme"
)

// Heatmap draws how values spread over bands, column by column of run time: time across, the bands' lower edges upwards on
// a logarithmic axis, and the share of each column's requests as a shade. Cells hold two samples, one above the other.
type Heatmap struct {
	Title    string
	Note     string
	Start    time.Duration   // of run time, of the first column of Counts
	Every    time.Duration   // length of a column of Counts
	From, To time.Duration   // of run time, shown
	Bands    []time.Duration // lower edges, ascending, above 0
	Counts   [][]uint32      // by column, then by band; a nil column is a gap
	Base     []float64       // share 0..1 a band: if given, the difference from it is drawn: only what is more than usual
	Over     []Series        // milliseconds, a value a column: lines laid over
	Stages   []Edge
	Marks    []Mark
}

// The shades go from a share of 0.1 % of a column's requests to 50 %, by equal factors: a tail of one in a thousand is
// still seen, and a single mode does not outshine all else.
const (
	leastShare = 0.001
	mostShare  = 0.5
)

// shade is the heat level of a share: 0 for nothing, 1..HeatLevels else.
func shade(share float64) int {
	if !(share > 0) {
		return 0
	}
	f := math.Log(share/leastShare) / math.Log(mostShare/leastShare)
	return max(1, min(1+int(f*float64(theme.HeatLevels-1)+0.5), theme.HeatLevels))
}

// Draw draws the map into all of c. It needs 12x5 cells to show anything beside its title.
func (m Heatmap) Draw(c Canvas) {
	m.Start, m.From, m.To, m.Every = clampTime(m.Start), clampTime(m.From), clampTime(m.To), clampTime(m.Every)
	c.Rule(0, m.Title, m.Note)
	gutter := gutterWidth(c.W())
	w, h := c.W()-gutter, c.H()-3 // without title, axis and clock
	if w < 4 || h < 2 {
		return
	}
	if m.Note == "" {
		drawShades(c, m.Title)
	}
	plot := c.Sub(gutter, 1, w, h)
	y, ok := m.scale(h)
	axes := Lines{Every: m.Every, From: m.From, To: m.To, Stages: m.Stages, Marks: m.Marks}
	if ok && m.Every > 0 && m.To > m.From {
		m.drawCells(plot, y)
	}
	drawTicks(c.Rows(1, h), gutter, 0, 2, y, Millis) // lines across would be read as values here
	for _, e := range m.Stages {
		if x, ok := axes.column(e.At, w); ok {
			for r := range h {
				if plot.At(x, r) == 0 {
					plot.Set(x, r, theme.Faint, '┊')
				}
			}
		}
	}
	axes.drawTime(c, gutter, h+1, w, true)
}

// scale spans the bands that are used in the shown columns, with a little room.
func (m Heatmap) scale(h int) (scale, bool) {
	lo, hi := math.Inf(1), math.Inf(-1)
	n := len(m.Bands)
	for i := range m.columns() {
		for b, count := range m.Counts[i] {
			if count == 0 || b >= n || m.Bands[b] <= 0 {
				continue
			}
			lo, hi = min(lo, float64(m.Bands[b])/1e6), max(hi, m.upper(b))
		}
	}
	if !(lo < hi) {
		return logarithmic(1, 1000, max(2, h/2)), false
	}
	return logarithmic(lo, hi, max(2, h/2)), true
}

// columns are the indices of Counts within the shown time.
func (m Heatmap) columns() func(func(int) bool) {
	return func(yield func(int) bool) {
		if m.Every <= 0 {
			return
		}
		for i := max(0, int((m.From-m.Start)/m.Every)); i < len(m.Counts) && time.Duration(i)*m.Every < m.To-m.Start; i++ {
			if !yield(i) {
				return
			}
		}
	}
}

// upper is the upper edge of band b in milliseconds; the last band is as high, by factor, as the one before.
func (m Heatmap) upper(b int) float64 {
	if b+1 < len(m.Bands) {
		return float64(m.Bands[b+1]) / 1e6
	}
	v := float64(m.Bands[b]) / 1e6
	if b > 0 && m.Bands[b-1] > 0 {
		return v * float64(m.Bands[b]) / float64(m.Bands[b-1])
	}
	return 2 * v
}

func (m Heatmap) drawCells(plot Canvas, y scale) {
	w, rows := plot.W(), 2*plot.H()
	// Which half rows a band covers, and how much of it each of them gets: by its share of the band's height.
	weights := make([]span, len(m.Bands))
	for b := range m.Bands {
		if m.Bands[b] > 0 {
			weights[b] = spread(y, float64(m.Bands[b])/1e6, m.upper(b), rows)
		}
	}
	sums := make([]float64, rows)
	levels := make([]int, rows)
	for x := range w {
		from := m.From - m.Start + time.Duration(float64(m.To-m.From)*float64(x)/float64(w))
		to := m.From - m.Start + time.Duration(float64(m.To-m.From)*float64(x+1)/float64(w))
		first, last := floor(from, m.Every), floor(to-1, m.Every)
		if from < 0 && to <= 0 || first >= len(m.Counts) {
			continue
		}
		clear(sums)
		total := m.sum(sums, weights, max(0, first), min(last, len(m.Counts)-1))
		if total == 0 {
			continue
		}
		for r, v := range sums {
			levels[r] = shade(v / total)
		}
		drawColumn(plot, x, levels)
		m.drawOver(plot, y, x, min((first+last)>>1, len(m.Counts)-1), levels)
	}
}

// floor is the number of whole steps up to a time, which may be before the first.
func floor(at, step time.Duration) int { return int(math.Floor(float64(at) / float64(step))) }

// sum adds the columns first..last up by half rows and returns the number of requests in them. With a Base only what
// exceeds it counts.
func (m Heatmap) sum(sums []float64, weights []span, first, last int) float64 {
	total := 0.0
	for i := first; i <= last; i++ {
		for _, n := range m.Counts[i] {
			total += float64(n)
		}
	}
	if total == 0 {
		return 0
	}
	for b := range weights {
		n := 0.0
		for i := first; i <= last; i++ {
			if b < len(m.Counts[i]) {
				n += float64(m.Counts[i][b])
			}
		}
		if b < len(m.Base) {
			n -= m.Base[b] * total
		}
		s := weights[b]
		for r := s.from; r <= s.to && n > 0 && s.rows > 0; r++ {
			part := 1.0
			switch r {
			case s.from:
				part = s.first
			case s.to:
				part = s.last
			}
			sums[r] += n * part / s.rows
		}
	}
	return total
}

// span is the half rows from..to that a band covers, of which the first and the last only in part; rows is the sum.
type span struct {
	from, to          int
	first, last, rows float64
}

func spread(y scale, low, high float64, rows int) span {
	a, ok1 := y.at(low)
	b, ok2 := y.at(high)
	if !ok1 || !ok2 || b < a {
		return span{}
	}
	top, bottom := (1-b)*float64(rows), (1-a)*float64(rows)
	s := span{from: max(0, min(int(top), rows-1)), to: max(0, min(int(math.Ceil(bottom))-1, rows-1))}
	if s.to <= s.from {
		s.to = s.from
		s.first, s.last, s.rows = 1, 1, 1
		return s
	}
	s.first = float64(s.from+1) - top
	s.last = bottom - float64(s.to)
	s.rows = s.first + s.last + float64(s.to-s.from-1)
	return s
}

// drawColumn draws the half rows of one column, the top first.
func drawColumn(plot Canvas, x int, levels []int) {
	halves := plot.Theme().Shades()
	for r := range plot.H() {
		top, bottom := levels[2*r], levels[2*r+1]
		switch {
		case top == 0 && bottom == 0:
		case !halves:
			plot.Set(x, r, theme.Accent, shadeRune(max(top, bottom)))
		case top == 0:
			plot.Set(x, r, theme.Heat(bottom, 0), '▄')
		case top == bottom:
			plot.Set(x, r, theme.Heat(top, 0), '█')
		default:
			plot.Set(x, r, theme.Heat(top, bottom), '▀')
		}
	}
}

// shadeRune is the character for a heat level where there are no colours to tell them apart.
func shadeRune(level int) rune {
	return [...]rune{' ', '░', '▒', '▓', '█'}[(level*4+theme.HeatLevels-1)/theme.HeatLevels]
}

// drawOver draws the values of column i of the lines laid over.
func (m Heatmap) drawOver(plot Canvas, y scale, x, i int, levels []int) {
	for n, s := range m.Over {
		if i < 0 || i >= len(s.Values) {
			continue
		}
		v := s.Values[i]
		f, ok := y.at(v)
		if !ok || v < y.from || v > y.to {
			continue
		}
		r := int((1-f)*float64(2*plot.H()-1)+0.5) / 2
		level := max(levels[2*r], levels[2*r+1])
		glyph := '─'
		if n > 0 {
			glyph = '╌'
		}
		st := theme.Over(level)
		if !plot.Theme().Shades() {
			st = theme.Text | theme.Bold
		}
		plot.Set(x, r, st, glyph)
	}
}

// drawShades writes the legend of the shades into the rule on row 0.
func drawShades(c Canvas, title string) {
	const text = " share of the requests  0.1 %  50 % "
	w := Width(text) + theme.HeatLevels
	x := c.W() - w - 2
	if x < Width(title)+6 {
		return
	}
	x = c.Text(x, 0, theme.Dim, " share of the requests  0.1 % ")
	for level := 1; level <= theme.HeatLevels; level++ {
		if c.Theme().Shades() {
			c.Set(x, 0, theme.Heat(level, 0), '█')
		} else {
			c.Set(x, 0, theme.Accent, shadeRune(level))
		}
		x++
	}
	c.Text(x, 0, theme.Dim, " 50 % ")
}
