package chart

import (
	"math"

	"github.com/NimbleMarkets/ntcharts/v2/canvas/runes"

	"lt/tui/theme"
)

// Spark draws values in one row between their own least and greatest value: it shows the shape, the figures beside it show the
// size. Few values have a column each and end at the right; more than there are columns fill all of them, and each column shows
// the greatest of its share. NaN is a blank.
func Spark(c Canvas, x, y, w int, st theme.Style, values []float64) {
	w = min(w, c.W()-x)
	if w <= 0 || len(values) == 0 {
		return
	}
	lo, hi, ok := extent(false, values)
	if !ok {
		return
	}
	lo, hi = max(lo, -limit), min(hi, limit)
	n := len(values)
	columns := min(n, w)
	x += w - columns
	for i := range columns {
		v := math.NaN()
		for _, u := range values[i*n/columns : (i+1)*n/columns] {
			if !math.IsNaN(u) && !(u < v) {
				v = u
			}
		}
		if math.IsNaN(v) {
			continue
		}
		c.Set(x+i, y, st, block(max(lo, min(v, hi)), lo, hi))
	}
}

// block is the lower block for v between lo and hi: at least an eighth, so that the least value is seen; an eighth for all
// if nothing changes by more than 2 %.
func block(v, lo, hi float64) rune {
	if !(hi-lo > 0.02*max(math.Abs(hi), math.Abs(lo))) {
		return runes.LowerBlockOne
	}
	f := max(0, min((v-lo)/(hi-lo), 1))
	return runes.LowerBlockElementFromFloat64((1 + math.Floor(f*7+0.5)) / 8)
}

// Part is a piece of a stacked bar.
type Part struct {
	Value float64
	Style theme.Style
	Glyph rune // the fill, one cell wide; different ones for neighbours, so that they differ without colours
}

// Bar draws a horizontal bar from (x, y) on: w cells are a share of 1. It is precise to an eighth of a cell; what is left
// is a faint line.
func Bar(c Canvas, x, y, w int, st theme.Style, share float64) {
	if w <= 0 {
		return
	}
	if math.IsNaN(share) {
		share = 0
	}
	eighths := int(max(0, min(share, 1))*float64(8*w) + 0.5)
	if share > 0 && eighths == 0 {
		eighths = 1
	}
	c = c.Sub(x, y, w, 1)
	for i := range w {
		switch n := eighths - 8*i; {
		case n >= 8:
			c.Set(i, 0, st, '█')
		case n > 0:
			c.Set(i, 0, st, runes.LeftBlockElementFromFloat64(float64(n)/8))
		default:
			c.Set(i, 0, theme.Faint, '·')
		}
	}
}

// Stack draws parts beside each other in w cells, in proportion to their values; a part above 0 gets a cell if there is
// one left.
func Stack(c Canvas, x, y, w int, parts []Part) {
	sum := 0.0
	for _, p := range parts {
		if p.Value > 0 && p.Value <= limit {
			sum += p.Value
		}
	}
	if sum <= 0 || w <= 0 {
		return
	}
	c = c.Sub(x, y, w, 1)
	at, done := 0, 0.0
	for _, p := range parts {
		if !(p.Value > 0) || p.Value > limit {
			continue
		}
		done += p.Value
		end := int(done/sum*float64(w) + 0.5)
		if end == at && at < w {
			end = at + 1
		}
		for ; at < end && at < w; at++ {
			c.Set(at, 0, p.Style, p.Glyph)
		}
	}
}

// Progress draws how far something is: a strong line and the faint rest.
func Progress(c Canvas, x, y, w int, st theme.Style, share float64) {
	if math.IsNaN(share) {
		share = 0
	}
	n := int(max(0, min(share, 1))*float64(w) + 0.5)
	c = c.Sub(x, y, w, 1)
	for i := range c.W() {
		if i < n {
			c.Set(i, 0, st, '━')
		} else {
			c.Set(i, 0, theme.Faint, '─')
		}
	}
}
