package tui

import (
	"fmt"

	"lt/engine/conductor"
	"lt/tui/chart"
	"lt/tui/theme"
)

// frame draws all of the screen: exactly h rows of exactly w cells.
func (m *model) frame() string {
	c := chart.NewCanvas(m.w, m.h, m.theme)
	l := m.layout()
	switch {
	case l.small:
		m.drawSmall(c)
		return c.String()
	case m.view == nil:
		waiting(c, "Starting.", "The first figures come with the first second of the run.")
		m.drawKeys(c, l)
		return c.String()
	}
	m.drawHeader(c.Rows(l.header, 1))
	if l.slos >= 0 {
		m.drawSLOs(c.Rows(l.slos, 1))
	}
	if begins(m.view) {
		m.drawStart(c.Rows(l.figures, 1))
	} else {
		m.drawFigures(c.Rows(l.figures, 1))
	}
	m.drawTabs(c.Rows(l.tabs, 1), l)
	body := c.Rows(l.body, l.bodyHeight)
	if m.help {
		m.drawHelp(body)
	} else {
		panelAt(m.panel).draw(m, body)
	}
	m.drawFoot(c.Rows(l.foot, 1))
	m.drawKeys(c, l)
	if p := m.asked(); p != nil {
		m.drawPrompt(c, p)
	}
	return c.String()
}

// drawSmall says what is missing where the screen does not fit, and how the run is.
func (m *model) drawSmall(c chart.Canvas) {
	text := fmt.Sprintf("The screen needs %dx%d, this terminal has %dx%d.", leastWidth, leastHeight, m.w, m.h)
	if m.view != nil {
		s := m.view.Snapshot
		text += fmt.Sprintf(" The run: %s at %s, %s/s, p99 %s, errors %s.", m.view.State, chart.Clock(m.view.Elapsed),
			chart.Number(s.Window.ThroughputRPS), quantile(s.Window.Response, s.Window.Response.P99), chart.Percent(s.Totals.ErrorRate))
	}
	if m.newest != nil && len(m.newest.Prompts) > 0 {
		text = "A peer waits for an answer. " + text
	}
	if question, more := m.question(); question != "" {
		text = "▲ " + question + " y/n " + more
	}
	for i, line := range chart.Wrap(text, c.W(), c.H()) {
		c.Text(0, i, theme.Text, line)
	}
}

// title is the terminal's window title.
func (m *model) title() string {
	if m.view == nil {
		return "lt"
	}
	return chart.Clean("lt · " + m.view.Run.Name)
}

// drawFoot says what the eye should see now, or asks.
func (m *model) drawFoot(c chart.Canvas) {
	waits := m.newest != nil && len(m.newest.Prompts) > 0
	question, more := m.question()
	switch {
	case question != "":
		ask(c, question, more, waits)
	case m.entry.kind == entryMark:
		drawEntry(c, "mark ", m.entry.text, "enter puts it into the record, also without a text; esc does not", waits)
	case m.entry.kind == entryAdd:
		drawEntry(c, "peer ", m.entry.text, "[user@]host[:port][=weight]; enter asks it to join, esc does not", waits)
	case m.filtering:
		drawEntry(c, "/", m.lists[m.panel].filter, "enter keeps the filter, esc clears it; ! first turns it round", waits)
	case m.notice != "":
		c.Fit(1, 0, c.W()-2, theme.Text|theme.Bold, chart.Clean(m.notice))
	default:
		m.drawRemark(c)
	}
}

// question is what is asked before it is done, and what it would mean; empty: nothing is.
func (m *model) question() (text, more string) {
	switch {
	case m.ask == askPause:
		return "Pause the load to zero?", "The pause is left out of the totals."
	case m.ask == askDrain:
		return "Drain " + chart.Shorten(chart.Clean(m.drain), 30) + "?", "The others take its share."
	case m.ask == askQuit && over(m.newest):
		return "Quit?", "The run has ended meanwhile."
	case m.ask == askQuit && m.newest != nil && !m.newest.Begun:
		return "Call the start off and quit?", "Nothing was sent yet."
	case m.ask == askQuit && m.newest != nil && m.newest.State == conductor.Draining:
		return "End now?", "What is still in hand is cut, and counted as such."
	case m.ask == askQuit:
		return "Stop the run and quit?", "What runs may finish; q ends at once."
	}
	return "", ""
}

// drawRemark draws the panel's own sentence, after what hides something of the panel: its filter, a look into the past.
func (m *model) drawRemark(c chart.Canvas) {
	x := 1
	if f := m.lists[m.panel].filter; f != "" {
		x = c.Text(x, 0, theme.Accent|theme.Bold, "/"+chart.Shorten(f, c.W()/4)) + 2
	}
	if l := m.layout(); m.until > 0 && !m.windowShown(l) {
		_, text := m.windowText()
		x = c.Text(x, 0, theme.Warn, text) + 2
	}
	r := panelAt(m.panel).foot(m)
	c.Fit(x, 0, c.W()-x-1, r.style, r.text)
}

// ask draws a question with its keys and what a yes would mean, or that somebody waits.
func ask(c chart.Canvas, text, more string, waits bool) {
	x := c.Text(1, 0, theme.Warn|theme.Bold, "▲ "+text+" ")
	x = c.Text(x, 0, theme.Text|theme.Bold, "y")
	x = c.Text(x, 0, theme.Dim, " yes   ")
	x = c.Text(x, 0, theme.Text|theme.Bold, "n")
	x = c.Text(x, 0, theme.Dim, " no   ")
	if waits {
		c.Fit(x+1, 0, c.W()-x-2, theme.Warn, "▲ a peer asks something: y or n first")
		return
	}
	c.Fit(x+1, 0, c.W()-x-2, theme.Dim, more)
}

// drawKeys is the last row: the keys that mean something now, as many as fit. The way out and the help are always there.
func (m *model) drawKeys(c chart.Canvas, l layout) {
	const last = len("   q quit   ? help ")
	x := 1
	hint := func(k, does string) {
		if x+chart.Width(k)+chart.Width(does)+1 > l.w-last && k != "q" && k != "?" {
			return
		}
		x = c.Text(x, l.keys, theme.Text|theme.Bold, k)
		x = c.Text(x+1, l.keys, theme.Dim, does) + 3
	}
	if m.view == nil {
		hint("q", "quit")
		return
	}
	p, list := panelAt(m.panel), m.lists[m.panel]
	if m.help || list.open || list.filter != "" || m.until != 0 {
		hint("esc", "back")
	}
	if p.keys != nil && !list.open && !m.help {
		if p.detail != nil {
			hint("enter", "open")
		} else {
			hint("enter", "go there")
		}
		hint("/", "filter")
	}
	if len(p.orders) > 0 && !list.open && !m.help {
		hint("o", "order")
	}
	steered := m.newest != nil && !over(m.newest) && m.newest.State != conductor.Draining
	if m.panel == panelPeers && steered && !m.help {
		hint("a", "add")
		if !begins(m.newest) {
			hint("x", "drain")
		}
	}
	if m.newest != nil && !m.newest.Begun {
		if !over(m.newest) {
			hint("s", "call off")
		}
		hint("q", "quit")
		hint("?", "help")
		return
	}
	switch {
	case m.frozen:
		hint("space", "go on")
	case !over(m.newest):
		hint("space", "freeze")
	}
	if steered {
		switch m.newest.State {
		case conductor.Held:
			hint("p", "go on")
		case conductor.Paused:
			hint("P", "go on")
		default:
			hint("p", "hold")
		}
		hint("+ -", "10 %")
		hint("n", "next")
	}
	hint("[ ]", "window")
	if steered {
		hint("m", "mark")
		hint("s", "stop")
	}
	hint("w", "write")
	hint("q", "quit")
	hint("?", "help")
}
