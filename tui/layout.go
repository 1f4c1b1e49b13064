package tui

import (
	"strconv"

	"lt/tui/chart"
)

// The least terminal that the screen is drawn on; below it a sentence says so.
const (
	leastWidth  = 60
	leastHeight = 15
)

// layout says which rows of the screen belong to what. It is a function of the size and of whether there are SLOs, and the
// only place where rows are counted.
type layout struct {
	w                                  int
	header, slos, figures, tabs        int // row; slos is -1 without a row
	body, bodyHeight                   int // of the panel
	foot, keys                         int // row of the panel's sentence and of the line of keys
	small                              bool
	chartColumns, figureBlock, columns int // of the overview: charts beside each other, rows below them, columns of those rows
}

func makeLayout(w, h int, slos bool) layout {
	l := layout{w: w, slos: -1, small: w < leastWidth || h < leastHeight}
	y := 0
	row := func() int { y++; return y - 1 }
	l.header = row()
	if slos {
		l.slos = row()
	}
	l.figures = row()
	l.tabs = row()
	l.body = y
	l.bodyHeight = max(0, h-y-2)
	l.foot, l.keys = h-2, h-1
	l.chartColumns = 1
	if w >= 180 {
		l.chartColumns = 2
	}
	l.columns = 1
	switch {
	case w >= 150:
		l.columns = 3
	case w >= 108:
		l.columns = 2
	}
	l.figureBlock = 5
	if l.bodyHeight < 14 {
		l.figureBlock = 0
	}
	return l
}

// tab is where a panel's name stands in the row of tabs.
type tab struct {
	panel, x, w int
	text        string
}

// tabs are the names of the panels, whole if they fit into w columns, else short but for the present one.
func tabs(present, w int, errors uint64) []tab {
	for _, short := range []bool{false, true} {
		var out []tab
		x := 1
		for i := range panelCount {
			text := panelAt(i).name
			switch {
			case short && i != present:
				text = panelAt(i).short
			case i == panelErrors && errors > 0 && !short:
				text += "·" + chart.NarrowCount(errors, 6)
			}
			text = strconv.Itoa(i+1) + " " + text
			out = append(out, tab{i, x, chart.Width(text), text})
			x += chart.Width(text) + 2
		}
		if x-1 <= w || short {
			return out
		}
	}
	return nil
}
