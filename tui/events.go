package tui

import (
	"fmt"
	"strconv"

	"lt/engine/conductor"
	"lt/tui/chart"
	"lt/tui/theme"
)

var eventsHelp = []string{
	"The run's diary, the newest first: stages, what was changed by hand, what the sources and the target did, what the guards said. It is kept in the record.",
	"enter shows the time around an event on the overview; esc there comes back to now. m puts a mark of your own into it.",
}

// events are the diary, the newest first.
func (m *model) events() []conductor.Event {
	all := m.view.Events
	out := make([]conductor.Event, 0, len(all))
	for i := len(all) - 1; i >= 0; i-- {
		if m.matches(panelEvents, string(all[i].Kind), all[i].Text) {
			out = append(out, all[i])
		}
	}
	return out
}

func (m *model) eventKeys() []string {
	list := m.events()
	keys := make([]string, len(list))
	for i, e := range list {
		keys[i] = strconv.FormatInt(int64(e.At), 10) + string(e.Kind) + e.Text
	}
	return keys
}

// eventRoom is how many of h rows are for the whole text of the selected event, with a blank one above it.
func eventRoom(h int) int {
	if h < 12 {
		return 0
	}
	return 4
}

func (m *model) drawEvents(c chart.Canvas) {
	list := m.events()
	if len(list) == 0 {
		m.drawNothing(c, "event", "Nothing has happened yet.")
		return
	}
	state := m.lists[panelEvents]
	table := c.H() - eventRoom(c.H())
	if text := c.Rows(table+1, c.H()-table-1); state.selected >= 0 && state.selected < len(list) {
		for y, line := range chart.Wrap(list[state.selected].Text, c.W()-3, text.H()) {
			text.Text(2, y, theme.Dim, line)
		}
	}
	chart.Table{
		Columns: []chart.Column{{Title: "time", Width: 8}, {Title: "kind", Width: 9, Left: true}, {Title: "what", Width: 20, Left: true, Grow: true}},
		Len:     len(list), First: state.first, Selected: state.selected,
		Row: func(i int) []chart.Cell {
			e := list[i]
			st, glyph := eventGlyph(e.Kind)
			return []chart.Cell{{Text: chart.Clock(e.At), Style: theme.Dim}, {Text: string(glyph) + " " + string(e.Kind), Style: st}, {Text: chart.Clean(e.Text)}}
		},
	}.Draw(c.Rows(0, table))
}

func (m *model) eventsFoot() remark {
	if over(m.view) {
		return ended(m.view)
	}
	all := m.view.Events
	if len(all) == 0 {
		return plainly("Stages, changes by hand and troubles are noted here.")
	}
	last := all[len(all)-1]
	return plainly(fmt.Sprintf("%s; the last one %s ago: %s", plural(uint64(len(all)), "event"), chart.Span(max(0, m.view.Elapsed-last.At)), last.Text))
}
