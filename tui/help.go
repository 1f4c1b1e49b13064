package tui

import (
	"lt/tui/chart"
	"lt/tui/theme"
)

// drawHelp explains the present panel and lists all keys, made from the KeyMap. What has no room is scrolled to.
func (m *model) drawHelp(c chart.Canvas) {
	drawRows(c, panelAt(m.panel).name, "esc closes", m.helpRows(c.W()), m.helpScroll)
}

// helpRows are the rows of the help at width w.
func (m *model) helpRows(w int) []row {
	var rows []row
	for _, text := range panelAt(m.panel).explain {
		for _, line := range chart.Wrap(text, min(w-3, 120), 0) {
			rows = append(rows, textRow(theme.Text, line))
		}
	}
	rows = append(rows, blankRow)
	// Whole groups go into the shortest column.
	groups := Keys.Groups()
	columns := max(1, min(len(groups), w/58))
	width := w / columns
	lists := make([][]row, columns)
	for _, g := range groups {
		at := 0
		for i := range lists {
			if len(lists[i]) < len(lists[at]) {
				at = i
			}
		}
		if len(lists[at]) > 0 {
			lists[at] = append(lists[at], blankRow)
		}
		lists[at] = append(lists[at], ruleRow(g.Title))
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
