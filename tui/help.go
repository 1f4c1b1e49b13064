package tui

import (
	"fmt"

	"lt/tui/chart"
	"lt/tui/theme"
)

// drawHelp explains the present panel and lists all keys, made from the KeyMap. What has no room is scrolled to.
func (m *model) drawHelp(c chart.Canvas) {
	rows := m.helpRows(c.W())
	room := c.H() - 1
	first := max(0, min(m.helpScroll, len(rows)-room))
	note := "? or esc closes"
	if len(rows) > room {
		note = fmt.Sprintf("line %d of %d, ↑ ↓, esc closes", first+1, len(rows))
	}
	c.Rule(0, panelAt(m.panel).name, note)
	for i := 0; i < room && first+i < len(rows); i++ {
		rows[first+i](c.Rows(i+1, 1))
	}
}

// helpRows are the rows of the help at width w, each drawing itself.
func (m *model) helpRows(w int) []func(chart.Canvas) {
	var rows []func(chart.Canvas)
	for _, text := range panelAt(m.panel).explain {
		for _, line := range chart.Wrap(text, min(w-3, 120), 0) {
			rows = append(rows, func(c chart.Canvas) { c.Text(1, 0, theme.Text, line) })
		}
	}
	rows = append(rows, func(chart.Canvas) {})
	// Whole groups go into the shortest column.
	groups := Keys.Groups()
	columns := max(1, min(len(groups), w/58))
	width := w / columns
	lists := make([][]func(chart.Canvas), columns)
	for _, g := range groups {
		at := 0
		for i := range lists {
			if len(lists[i]) < len(lists[at]) {
				at = i
			}
		}
		if len(lists[at]) > 0 {
			lists[at] = append(lists[at], func(chart.Canvas) {})
		}
		lists[at] = append(lists[at], func(c chart.Canvas) { c.Rule(0, g.Title, "") })
		for _, k := range g.Keys {
			lists[at] = append(lists[at], func(c chart.Canvas) {
				c.Right(11, 0, theme.Text|theme.Bold, k.Help().Key)
				c.Fit(13, 0, c.W()-13, theme.Dim, k.Help().Desc)
			})
		}
	}
	longest := 0
	for _, l := range lists {
		longest = max(longest, len(l))
	}
	for i := range longest {
		rows = append(rows, func(c chart.Canvas) {
			for column, l := range lists {
				if i < len(l) {
					l[i](c.Columns(column*width, width-2))
				}
			}
		})
	}
	return rows
}
