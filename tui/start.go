package tui

import (
	"fmt"
	"slices"
	"strings"

	"lt/engine/conductor"
	"lt/engine/metrics"
	"lt/tui/chart"
	"lt/tui/theme"
)

// startSteps are the steps of a peer's start, in their order.
var startSteps = []string{"dial", "probe", "upload", "hello", "clock", "plan", "preflight", "ready", "armed"}

// begins reports whether the run is still on its way to its first arrival, or never came that far.
func begins(v *conductor.View) bool { return !v.Begun || v.State == conductor.Starting }

// prepared reports whether a source has nothing left to do before the start.
func prepared(s *metrics.SourceView) bool {
	return s.State == "starting" && (s.Step == "ready" || s.Step == "armed" || !remote(s)) || s.State == "running"
}

// drawStart is the row of figures before there are any: how far the sources are.
func (m *model) drawStart(c chart.Canvas) {
	ready, failed, rest, longest := 0, 0, 0, m.view.Elapsed
	for i := range m.view.Snapshot.Sources {
		s := &m.view.Snapshot.Sources[i]
		longest = max(longest, s.Starting)
		switch {
		case prepared(s):
			ready++
		case s.State == "refused" || s.State == "lost":
			failed++
		case s.State == "starting":
			rest++
		}
	}
	x := 1
	say := func(n int, st theme.Style, word string) {
		x = c.Text(x, 0, st|theme.Bold, chart.Count(uint64(n)))
		x = c.Text(x+1, 0, theme.Dim, word) + 3
	}
	say(ready, theme.Text, "ready")
	if failed > 0 {
		say(failed, theme.Bad, "✗ failed")
	}
	say(rest, theme.Text, "to come")
	c.Text(c.Text(x, 0, theme.Text, chart.Clock(longest)), 0, theme.Dim, " since the start was asked for")
}

// drawPeersStart is the table of sources while they start.
func (m *model) drawPeersStart(c chart.Canvas, rows []peerRow) {
	state := m.lists[panelPeers]
	table := chart.Table{
		Columns: []chart.Column{
			{Title: "source", Width: 12, Left: true, Grow: true, Ends: true},
			{Title: "state", Width: 10, Left: true},
			{Title: "start", Width: len(startSteps), Left: true},
			{Title: "step", Width: 12, Left: true},
			{Title: "time", Width: 5},
			{Title: "", Width: 16, Left: true, Grow: true},
		},
		Len: len(rows), First: state.first, Selected: state.selected,
		Row: func(i int) []chart.Cell {
			if rows[i].source == nil {
				return []chart.Cell{{Text: rows[i].title, Style: theme.Text | theme.Bold}}
			}
			return m.startCells(rows[i].source)
		},
	}
	used := min(len(rows)+1, c.H())
	if rest := c.H() - used - 1; rest >= 4 {
		m.drawFailures(c.Rows(used+1, rest), rows, state.selected)
		c = c.Rows(0, used)
	}
	table.Draw(c)
}

func (m *model) startCells(s *metrics.SourceView) []chart.Cell {
	st, state := m.startState(s)
	return []chart.Cell{
		{Text: sourceName(s)},
		{Text: state, Style: st},
		{Draw: func(c chart.Canvas) { drawStep(c, s) }},
		{Text: stepText(s), Style: theme.Text},
		{Text: chart.Clock(s.Starting), Style: theme.Dim},
		lastWord(s),
	}
}

// startState is the state of a source on its way to the start, in a word and a glyph.
func (m *model) startState(s *metrics.SourceView) (theme.Style, string) {
	for i := range m.view.Prompts {
		if p := &m.view.Prompts[i]; p.Source == s.Name && s.State == "starting" {
			return theme.Warn, "? asks"
		}
	}
	switch {
	case s.State == "refused":
		return theme.Bad, "✗ failed"
	case s.State == "starting" && s.Step == "armed":
		return theme.Accent, "● armed"
	case s.State == "starting" && prepared(s):
		return theme.Accent, "● ready"
	}
	st, glyph := stateGlyph(s.State)
	return st, glyph + " " + chart.Clean(s.State)
}

// stepText is the step that a source is at, with how far it is if that is known.
func stepText(s *metrics.SourceView) string {
	if s.State != "starting" && s.State != "refused" {
		return ""
	}
	text := chart.Clean(s.Step)
	if s.Progress > 0 && s.Progress < 1 && s.State == "starting" {
		text += fmt.Sprintf(" %d %%", int(s.Progress*100))
	}
	return text
}

// drawStep draws the steps of a start, a cell each: those that are done, the present one, and those to come.
func drawStep(c chart.Canvas, s *metrics.SourceView) {
	at := slices.Index(startSteps, s.Step)
	if prepared(s) && s.Step != "ready" {
		at = len(startSteps)
	}
	st := theme.Accent
	if s.State == "refused" || s.State == "lost" {
		st = theme.Bad
	}
	for i := range startSteps {
		switch {
		case i < at || i == at && s.Step == "ready":
			c.Set(i, 0, st, '━')
		case i == at && st == theme.Bad:
			c.Set(i, 0, st, '✗')
		case i == at:
			c.Set(i, 0, st|theme.Bold, '╸')
		default:
			c.Set(i, 0, theme.Faint, '─')
		}
	}
}

// drawFailures tells all of what went wrong, for every source as far as there is room, and without failures what the
// selected source says.
func (m *model) drawFailures(c chart.Canvas, rows []peerRow, selected int) {
	y := 1
	for _, r := range rows {
		s := r.source
		if s == nil || s.State != "refused" && s.State != "lost" {
			continue
		}
		c.Rule(0, "What went wrong", "")
		lines := failureRows(s, c.W())
		placeRows(c.Rows(y, c.H()-y), lines, 0)
		y += len(lines)
	}
	if y > 1 || selected < 0 || selected >= len(rows) || rows[selected].source == nil {
		return
	}
	if s := rows[selected].source; len(s.Log) > 0 {
		c.Rule(0, "Log of "+sourceName(s), "")
		drawLog(c.Rows(1, c.H()-1), s.Log)
	}
}

// failureRows tell why a source could not be started, in w columns: its name, the phase and ssh's own words, and what to do.
func failureRows(s *metrics.SourceView, w int) []row {
	var rows []row
	for i, line := range chart.Wrap("✗ "+sourceName(s)+": "+strings.TrimSpace(s.Reason), w-4, 8) {
		if i == 0 {
			rows = append(rows, textRow(theme.Bad, line))
		} else {
			rows = append(rows, textRow(theme.Text, "  "+line))
		}
	}
	return rows
}

// firstLine is the first line of what may be several.
func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return chart.Clean(s)
}

// drawLog draws the last lines that there is room for.
func drawLog(c chart.Canvas, log []string) {
	for i, line := range log[max(0, len(log)-c.H()):] {
		c.Fit(1, i, c.W()-2, theme.Dim, chart.Clean(line))
	}
}

// startFoot says what the start waits for.
func (m *model) startFoot() remark {
	v := m.view
	if over(v) {
		return neverBegan(v)
	}
	if v.StartsIn > 0 {
		return plainly(fmt.Sprintf("All is agreed: the load begins in %s, everywhere at once.", chart.Duration(v.StartsIn.Truncate(conductor.ViewEvery))))
	}
	var rest []string
	for i := range v.Snapshot.Sources {
		s := &v.Snapshot.Sources[i]
		switch {
		case s.State == "refused":
			return broke(sourceName(s) + " could not be started: " + firstLine(s.Reason))
		case s.State == "starting" && !prepared(s) && s.Step == "":
			rest = append(rest, sourceName(s))
		case s.State == "starting" && !prepared(s):
			rest = append(rest, sourceName(s)+" ("+stepText(s)+")")
		}
	}
	switch n := len(rest); {
	case n > 2:
		return plainly(fmt.Sprintf("Waiting for %s and %d more.", rest[0], n-1))
	case n > 0:
		return plainly("Waiting for " + strings.Join(rest, " and ") + ".")
	case len(v.Snapshot.Sources) > 1:
		return plainly("All are ready: the moment of the start is being agreed.")
	}
	return plainly("Starting: nothing is due yet.")
}

// neverBegan is the sentence of a run whose start failed or was called off.
func neverBegan(v *conductor.View) remark {
	if v.Ended == conductor.ByUser {
		return plainly("The start was called off by hand: nothing was sent. q leaves.")
	}
	failed := 0
	for i := range v.Snapshot.Sources {
		if v.Snapshot.Sources[i].State == "refused" {
			failed++
		}
	}
	if failed == 0 {
		return broke("The run did not begin: nothing was sent. q leaves, and says why.")
	}
	return broke(fmt.Sprintf("The run did not begin: %d of %s could not be started. Nothing was sent; q leaves.", failed, plural(uint64(len(v.Snapshot.Sources)), "source")))
}
