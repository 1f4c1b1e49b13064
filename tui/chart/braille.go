package chart

import (
	"math"

	"github.com/NimbleMarkets/ntcharts/v2/canvas"
	"github.com/NimbleMarkets/ntcharts/v2/canvas/graph"
	"github.com/NimbleMarkets/ntcharts/v2/canvas/runes"

	"lt/tui/theme"
)

// dots is a grid of 2 by 4 dots a cell. It is made once a chart and cleared between series.
type dots struct {
	w, h int // in cells
	mask []uint8
}

// brailleRunes has the rune of each set of dots, bit 4*column+row.
var brailleRunes = func() (table [256]rune) {
	for mask := range table {
		var p runes.PatternDots
		for bit := range 8 {
			column, row := bit/4, bit%4
			// ntcharts numbers the dots as the standard does: 0..2 and 6 down the left side, 3..5 and 7 down the right one.
			dot := row + 3*column
			if row == 3 {
				dot = 6 + column
			}
			p[dot] = mask&(1<<bit) != 0
		}
		table[mask] = runes.BraillePatternFromPatternDots(p)
	}
	return table
}()

func newDots(w, h int) *dots { return &dots{w, h, make([]uint8, w*h)} }

func (d *dots) clear() { clear(d.mask) }

// set lights the dot (x, y), counted from the top left; outside of the grid nothing happens.
func (d *dots) set(x, y int) {
	if x < 0 || y < 0 || x >= 2*d.w || y >= 4*d.h {
		return
	}
	d.mask[y/4*d.w+x/2] |= 1 << (x%2*4 + y%4)
}

// line lights the dots between two places within the grid, the ends included.
func (d *dots) line(x0, y0, x1, y1 int) {
	if x1-x0 <= 1 && x0-x1 <= 1 { // neighbours: half of the height is drawn in either column
		middle := (y0 + y1) / 2
		d.column(x0, y0, middle)
		d.column(x1, middle, y1)
		return
	}
	for _, p := range graph.GetLinePoints(canvas.Point{X: x0, Y: y0}, canvas.Point{X: x1, Y: y1}) {
		d.set(p.X, p.Y)
	}
}

func (d *dots) column(x, y0, y1 int) {
	for y := min(y0, y1); y <= max(y0, y1); y++ {
		d.set(x, y)
	}
}

// polyline lights the line through points given as places 0..1 along both axes, y up; a NaN in either interrupts it. A point
// with gaps on both sides is a dot. Where several points fall into one column, the column shows their range.
func (d *dots) polyline(n int, at func(i int) (x, y float64)) {
	if d.w == 0 || d.h == 0 {
		return
	}
	right, bottom := float64(2*d.w-1), float64(4*d.h-1)
	px, py, joined := 0, 0, false
	for i := range n {
		fx, fy := at(i)
		if math.IsNaN(fx) || math.IsNaN(fy) || fx < 0 || fx > 1 {
			joined = false
			continue
		}
		x, y := int(fx*right+0.5), int((1-max(0, min(fy, 1)))*bottom+0.5)
		if joined {
			d.line(px, py, x, y)
		} else {
			d.set(x, y)
		}
		px, py, joined = x, y, true
	}
}

// dot keeps every other column, so that a line looks dotted, at the same places of the grid in every frame.
func (d *dots) dot() {
	for i := range d.mask {
		if i%d.w&1 != 0 {
			d.mask[i] = 0
		} else {
			d.mask[i] &= 0x0f
		}
	}
}

// draw puts the lit cells on c, over what stands there.
func (d *dots) draw(c Canvas, s theme.Style) {
	for y := range d.h {
		for x := range d.w {
			if m := d.mask[y*d.w+x]; m != 0 {
				c.Set(x, y, s, brailleRunes[m])
			}
		}
	}
}
