// Package chart draws the screen's charts, tables and figures into cells.
//
// Everything is drawn on a Canvas, a window on a grid of cells that clips what falls outside of it: no drawing can be wider
// or higher than its place, wrap, or move a neighbour. Text enters the grid in one place, Canvas.Text, which is therefore
// also the place where what came from outside is neutralised.
//
// The charts (Lines, XY, Heatmap, Histogram, Bars, Spark, Table) are values that hold data in natural units and draw
// themselves; drawing is a pure function of value, canvas size and theme. Any float64, NaN and the infinities included, and
// any size from 0x0 on draws without panic in time bounded by size and number of points. NaN is a gap and is drawn as one.
//
// Braille dots, blocks and line points come from ntcharts. Its own chart types are not used: they do not survive NaN,
// outliers or small sizes, their ticks are not round, and their rendering costs an escape sequence a cell.
package chart

import (
	"strings"
	"unicode/utf8"

	"lt/tui/theme"
)

// cell is one place of the grid. A rune of 0 is a blank; continued marks the right half of a wide rune.
type cell struct {
	r     rune
	style theme.Style
}

const continued = rune(-1)

// grid is what all windows on one frame share.
type grid struct {
	w     int
	cells []cell
	th    *theme.Theme
}

// Canvas is a window on a grid of cells. The zero value has no cells; windows of one grid share them. Not safe for
// concurrent use.
type Canvas struct {
	g          *grid
	x, y, w, h int
}

// NewCanvas makes an empty grid of w by h cells, each clamped to 0..1000, and returns the window on all of it.
func NewCanvas(w, h int, th *theme.Theme) Canvas {
	w, h = max(0, min(w, 1000)), max(0, min(h, 1000))
	return Canvas{g: &grid{w: w, cells: make([]cell, w*h), th: th}, w: w, h: h}
}

// W is the window's width in cells.
func (c Canvas) W() int { return c.w }

// H is the window's height in cells.
func (c Canvas) H() int { return c.h }

// Theme is what the grid is drawn with; nil for the zero Canvas.
func (c Canvas) Theme() *theme.Theme {
	if c.g == nil {
		return nil
	}
	return c.g.th
}

// Sub is the window of w by h cells at (x, y) of this one, cut down to what lies within it.
func (c Canvas) Sub(x, y, w, h int) Canvas {
	if x < 0 {
		w, x = w+x, 0
	}
	if y < 0 {
		h, y = h+y, 0
	}
	x, y = min(x, c.w), min(y, c.h)
	w, h = max(0, min(w, c.w-x)), max(0, min(h, c.h-y))
	return Canvas{g: c.g, x: c.x + x, y: c.y + y, w: w, h: h}
}

// Rows is the window on h rows from y on, in full width.
func (c Canvas) Rows(y, h int) Canvas { return c.Sub(0, y, c.w, h) }

// Columns is the window on w columns from x on, in full height.
func (c Canvas) Columns(x, w int) Canvas { return c.Sub(x, 0, w, c.h) }

// Set puts a rune one cell wide at (x, y); outside of the window nothing happens.
func (c Canvas) Set(x, y int, s theme.Style, r rune) {
	if x < 0 || y < 0 || x >= c.w || y >= c.h {
		return
	}
	x, y = x+c.x, y+c.y
	row := c.g.cells[y*c.g.w : (y+1)*c.g.w]
	// A wide rune loses its other half.
	if row[x].r == continued && x > 0 {
		row[x-1].r = 0
	}
	if x+1 < len(row) && row[x+1].r == continued {
		row[x+1].r = 0
	}
	row[x] = cell{r, s}
}

// At is the rune at (x, y): 0 for a blank and outside of the window.
func (c Canvas) At(x, y int) rune {
	if x < 0 || y < 0 || x >= c.w || y >= c.h {
		return 0
	}
	return c.g.cells[(y+c.y)*c.g.w+x+c.x].r
}

// Text writes s from (x, y) on and returns the column after it; what does not fit into the window is cut off. Control
// characters, bidirectional overrides and everything else without a width of its own is left out, wherever s came from.
func (c Canvas) Text(x, y int, st theme.Style, s string) int {
	for i := 0; i < len(s); {
		r, size := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
		}
		i += size
		w := runeWidth(r)
		if w == 0 {
			continue
		}
		if w == 2 {
			if x+1 >= c.w {
				break
			}
			c.Set(x+1, y, st, 0)
			c.Set(x, y, st, r)
			if x >= 0 && y >= 0 && y < c.h {
				c.g.cells[(y+c.y)*c.g.w+x+1+c.x].r = continued
			}
		} else {
			c.Set(x, y, st, r)
		}
		if x += w; x >= c.w {
			break
		}
	}
	return x
}

// Right writes s so that it ends before column x and returns the column where it begins. Cells left of column 0 are cut.
func (c Canvas) Right(x, y int, st theme.Style, s string) int {
	x -= Width(s)
	c.Text(x, y, st, s)
	return x
}

// Fit writes s into the n cells from (x, y) on, shortened with … if it is too long, and returns x+n.
func (c Canvas) Fit(x, y, n int, st theme.Style, s string) int {
	c.Sub(x, y, n, 1).Text(0, 0, st, Shorten(s, n))
	return x + n
}

// Fill puts r into every cell of the window.
func (c Canvas) Fill(st theme.Style, r rune) {
	for y := range c.h {
		for x := range c.w {
			c.Set(x, y, st, r)
		}
	}
}

// Rule draws a title on a rule over row y: ── Title ─────── right ──. Either text may be empty.
func (c Canvas) Rule(y int, title, right string) {
	for x := range c.w {
		c.Set(x, y, theme.Faint, '─')
	}
	if title != "" {
		c.Text(c.Text(c.Text(2, y, theme.Text, " "), y, theme.Text|theme.Bold, Shorten(title, c.w-6)), y, theme.Text, " ")
	}
	if w := Width(right); right != "" && Width(title)+w+10 <= c.w {
		c.Text(c.w-w-4, y, theme.Dim, " "+right+" ")
	}
}

// Paste puts the rows of from, which another grid of the same theme holds, into this window, beginning with row first of it.
func (c Canvas) Paste(from Canvas, first int) {
	for y := range c.h {
		if row := y + first; row >= 0 && row < from.h {
			n := min(c.w, from.w)
			copy(c.g.cells[(y+c.y)*c.g.w+c.x:][:n], from.g.cells[(row+from.y)*from.g.w+from.x:][:n])
		}
	}
}

// String is all rows of the window, joined with line feeds, without one at the end.
func (c Canvas) String() string {
	var b strings.Builder
	b.Grow(c.h * (c.w*3 + 160))
	for y := range c.h {
		if y > 0 {
			b.WriteByte('\n')
		}
		c.row(&b, y)
	}
	return b.String()
}

// row writes one row, joining neighbours of one style to a run.
func (c Canvas) row(b *strings.Builder, y int) {
	prefix := ""
	plain := c.g.th.ASCII
	for _, p := range c.g.cells[(y+c.y)*c.g.w+c.x:][:c.w] {
		if p.r == continued {
			if plain {
				b.WriteByte('?') // the other half of a wide rune
			}
			continue
		}
		blank := p.r == 0 || p.r == ' '
		next := c.g.th.Prefix(p.style)
		if blank && p.style&theme.Reverse == 0 && next != prefix {
			next = "" // a blank looks the same in every style, and does not begin a run
		}
		if next != prefix {
			if prefix != "" {
				b.WriteString(theme.Reset)
			}
			b.WriteString(next)
			prefix = next
		}
		switch {
		case blank:
			b.WriteByte(' ')
		case plain:
			b.WriteByte(ascii(p.r))
		default:
			b.WriteRune(p.r)
		}
	}
	if prefix != "" {
		b.WriteString(theme.Reset)
	}
}
