package tui

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lt/engine/metrics"
	"lt/tui/chart"
	"lt/tui/theme"
)

var errorsHelp = []string{
	"Errors in groups: what went wrong (class), when in the request (phase), the status if there was one, and the step. Over time, the count a second.",
	"enter opens a group: the first request of its kind as it was sent and the answer as it came, with secrets masked, and what is the likely cause.",
	"Classes: dns connect refused reset timeout tls protocol eof happen to the connection; status check extract are answers that do not do; limit is this machine, never the target.",
}

var errorOrders = []string{"by count", "newest first", "in the order of their first time"}

// errors are the groups in their present order.
func (m *model) errors() []*metrics.ErrorView {
	all := m.view.Snapshot.Errors
	out := make([]*metrics.ErrorView, 0, len(all))
	for i := range all {
		e := &all[i]
		if m.matches(panelErrors, errorName(e), e.Message, e.Step.Scenario, e.Step.Step, e.Phase.String()) {
			out = append(out, e)
		}
	}
	switch m.lists[panelErrors].order {
	case 1:
		slices.SortStableFunc(out, func(a, b *metrics.ErrorView) int { return compare(float64(b.Last), float64(a.Last)) })
	case 2:
		slices.SortStableFunc(out, func(a, b *metrics.ErrorView) int { return compare(float64(a.First), float64(b.First)) })
	}
	return out
}

func errorKey(e *metrics.ErrorView) string {
	return strings.Join([]string{e.Class.String(), e.Phase.String(), strconv.Itoa(e.Status), strconv.Itoa(e.StepID), e.Message}, "\x00")
}

func (m *model) errorKeys() []string {
	list := m.errors()
	keys := make([]string, len(list))
	for i, e := range list {
		keys[i] = errorKey(e)
	}
	return keys
}

// errorName is a group in two words: its class, and the status where that says more.
func errorName(e *metrics.ErrorView) string {
	if e.Class == metrics.Status && e.Status > 0 {
		return "status " + strconv.Itoa(e.Status)
	}
	return e.Class.String()
}

// errorMessage is what a group says beyond its name; empty if that is all.
func errorMessage(e *metrics.ErrorView) string {
	text, name := chart.Clean(e.Message), errorName(e)
	if e.Class == metrics.Status && e.Status > 0 {
		text = strings.TrimSpace(strings.TrimPrefix(text, strconv.Itoa(e.Status)+" "))
	}
	if text == name || text == e.Class.String() {
		return ""
	}
	return text
}

func (m *model) drawErrors(c chart.Canvas) {
	list := m.errors()
	state := m.lists[panelErrors]
	if e := m.openError(list); e != nil {
		where := chart.Clean(e.Step.Step)
		if e.Step.Scenario != "" {
			where = chart.Clean(e.Step.Scenario) + " / " + where
		}
		drawRows(c, errorName(e)+" · "+where, "", errorRows(e, c.W()), state.scroll)
		return
	}
	if len(list) == 0 {
		if n := m.view.Snapshot.Totals.Dropped; n > 0 {
			m.drawNothing(c, "error", "No request failed.", chart.Count(n)+" arrivals were dropped before a request was made of them: there was no free user in time.")
			return
		}
		m.drawNothing(c, "error", "No errors so far.")
		return
	}
	t := chart.Table{
		Columns: []chart.Column{
			{Title: "count", Width: 9, Mark: state.order == 0},
			{Title: "error", Width: 12, Left: true},
			{Title: "step", Width: 14, Left: true, Grow: true},
			{Title: "message", Width: 16, Left: true, Grow: true},
			{Title: "last", Width: 8, Mark: state.order == 1},
			{Title: "phase", Width: 7, Left: true},
			{Title: "first", Width: 8, Mark: state.order == 2},
			{Title: "over time", Width: 20, Left: true},
			{Title: "from", Width: 12, Left: true},
		},
		Len: len(list), First: state.first, Selected: state.selected,
		Row: func(i int) []chart.Cell {
			e := list[i]
			return []chart.Cell{
				{Text: chart.NarrowCount(e.Count, 9)},
				{Text: "✗ " + errorName(e), Style: theme.Bad},
				{Text: chart.ShortenMiddle(m.stepName(e.Step.Scenario, e.Step.Step), 60)},
				{Text: errorMessage(e), Style: theme.Dim},
				{Text: chart.Clock(e.Last)},
				{Text: e.Phase.String(), Style: theme.Dim},
				{Text: chart.Clock(e.First), Style: theme.Dim},
				{Draw: func(c chart.Canvas) { chart.Spark(c, 0, 0, c.W(), theme.Bad, e.Series) }},
				{Text: sources(e), Style: theme.Dim},
			}
		},
	}
	t.Draw(c)
}

func sources(e *metrics.ErrorView) string {
	switch len(e.Sources) {
	case 0:
		return "local"
	case 1:
		if e.Sources[0] == "" {
			return "local"
		}
		return chart.Clean(e.Sources[0])
	}
	return plural(uint64(len(e.Sources)), "source")
}

// openError is the group whose detail is shown; nil: none.
func (m *model) openError(list []*metrics.ErrorView) *metrics.ErrorView {
	state := m.lists[panelErrors]
	if state.open && state.selected < len(list) && errorKey(list[state.selected]) == state.key {
		return list[state.selected]
	}
	return nil
}

// errorDetail are the rows of the open group's detail; nil: none is open.
func (m *model) errorDetail(w, _ int) []row {
	e := m.openError(m.errors())
	if e == nil {
		return nil
	}
	return errorRows(e, w)
}

// errorRows are the rows of a group's detail in w columns.
func errorRows(e *metrics.ErrorView, w int) []row {
	message := errorMessage(e)
	if message == "" {
		message = "The answer had a status that the step does not count as right."
	}
	var rows []row
	for _, line := range chart.Wrap(message, w-2, 3) {
		rows = append(rows, textRow(theme.Text, line))
	}
	rows = append(rows, textRow(theme.Dim, fmt.Sprintf("%s, in phase %s, from %s to %s of the run, from %s", plural(e.Count, "time"), e.Phase,
		chart.Clock(e.First), chart.Clock(e.Last), sources(e))))
	if e.Hint != "" {
		for i, line := range chart.Wrap(e.Hint, w-11, 5) {
			rows = append(rows, func(c chart.Canvas) {
				if i == 0 {
					c.Text(1, 0, theme.Accent|theme.Bold, "likely")
				}
				c.Text(9, 0, theme.Text, line)
			})
		}
	}
	if e.Example == "" {
		return append(rows, blankRow, textRow(theme.Dim, "No example was kept of this group: the first fifty kinds have one."))
	}
	rows = append(rows, ruleRow("The first of them, secrets masked"))
	for _, line := range chart.Wrap(e.Example, w-3, 0) {
		rows = append(rows, textRow(theme.Text, line))
	}
	return rows
}

func (m *model) errorsFoot() remark {
	v := m.view
	t := &v.Snapshot.Totals
	if over(v) {
		return ended(v)
	}
	top := v.Snapshot.Errors
	switch {
	case t.Errors == 0 && len(top) > 0: // setup, teardown and warm-up are not in the totals
		return bends(fmt.Sprintf("%s at %s, and none in what is counted: setup, teardown and warm-up are not.", errorName(&top[0]), m.brief(top[0].Step.Scenario, top[0].Step.Step)))
	case t.Errors == 0 && t.Requests == 0:
		return plainly("Waiting for the first answers.")
	case t.Errors == 0:
		return plainly(fmt.Sprintf("None of %s failed.", plural(t.Requests, "request")))
	}
	text := fmt.Sprintf("%s of %s failed", chart.Percent(float64(t.Errors)/float64(max(1, t.Requests))), plural(t.Requests, "request"))
	if len(top) > 0 {
		text += fmt.Sprintf("; the most frequent: %s at %s", errorName(&top[0]), m.brief(top[0].Step.Scenario, top[0].Step.Step))
	}
	text += "."
	switch {
	case t.ErrorRate >= 0.05:
		return broke(text)
	case t.ErrorRate >= 0.01:
		return bends(text)
	}
	return plainly(text)
}
