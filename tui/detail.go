package tui

import (
	"fmt"

	"lt/tui/chart"
	"lt/tui/theme"
)

// row draws one row of a list that may be longer than its place.
type row func(chart.Canvas)

func blankRow(chart.Canvas) {}

// textRow is a line of text, shortened where it has no room.
func textRow(st theme.Style, s string) row {
	return func(c chart.Canvas) { c.Fit(1, 0, c.W()-2, st, s) }
}

func ruleRow(title string) row { return func(c chart.Canvas) { c.Rule(0, title, "") } }

// chartRows are the rows of a chart of w by h cells. It is drawn when the first of them is.
func chartRows(w, h int, draw func(chart.Canvas)) []row {
	var drawn chart.Canvas
	out := make([]row, h)
	for i := range out {
		out[i] = func(c chart.Canvas) {
			if drawn.H() == 0 {
				drawn = chart.NewCanvas(w, h, c.Theme())
				draw(drawn)
			}
			c.Paste(drawn, i)
		}
	}
	return out
}

// drawRows draws a title and below it as many rows as there is room for, from row first on, with a note of what is left.
func drawRows(c chart.Canvas, title, note string, rows []row, first int) {
	if room := c.H() - 1; len(rows) > room {
		where := fmt.Sprintf("line %d of %d, ↑ ↓", lastFirst(first, len(rows), room)+1, len(rows))
		if note != "" {
			note = ", " + note
		}
		note = where + note
	}
	c.Rule(0, chart.Shorten(title, c.W()-chart.Width(note)-10), note)
	placeRows(c.Rows(1, c.H()-1), rows, first)
}

// placeRows draws rows from row first on.
func placeRows(c chart.Canvas, rows []row, first int) {
	first = lastFirst(first, len(rows), c.H())
	for y := range min(c.H(), len(rows)-first) {
		rows[first+y](c.Rows(y, 1))
	}
}

// lastFirst is first, or what is the first of n rows when the last of them is shown at the end of room.
func lastFirst(first, n, room int) int { return max(0, min(first, n-room)) }
