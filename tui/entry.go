package tui

import (
	"strings"
	"unicode"

	tea "charm.land/bubbletea/v2"

	"lt/engine/conductor"
	"lt/tui/chart"
	"lt/tui/theme"
)

// entry is a line of text that is being written at the foot of the screen.
type entry struct {
	kind entryKind
	text string
}

type entryKind uint8

const (
	entryNothing entryKind = iota
	entryMark
	entryAdd
)

// writing reports whether a line is being written: a mark, an address, a filter.
func (m *model) writing() bool { return m.entry.kind != entryNothing || m.filtering }

// maxTyped bounds what can be typed into a line, in bytes.
const maxTyped = 400

// typed is a line after s was typed or pasted into it.
func typed(line, s string) string {
	if s = chart.Clean(s); len(line)+len(s) > maxTyped {
		return line
	}
	return line + s
}

// answered is an answer to a prompt after s was typed or pasted into it. Whatever is not a control character is kept as it is: a
// password may hold what the screen would not draw.
func answered(line, s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	if len(line)+len(s) > maxTyped {
		return line
	}
	return line + s
}

// edited is a line after a key was pressed in it: a character, or one of the keys that take some away.
func edited(line string, k tea.KeyPressMsg) string { return changed(line, k, typed) }

// changed is edited with what adds text to the line.
func changed(line string, k tea.KeyPressMsg, add func(line, s string) string) string {
	switch k.String() {
	case "ctrl+u":
		return ""
	case "backspace":
		if r := []rune(line); len(r) > 0 {
			return string(r[:len(r)-1])
		}
		return line
	}
	return add(line, k.Text)
}

func (m *model) onEntryKey(k tea.KeyPressMsg) {
	e := m.entry
	switch k.String() {
	case "esc":
		m.entry = entry{}
	case "enter":
		m.entry = entry{}
		switch {
		case e.kind == entryMark:
			m.command(conductor.Mark{Text: e.text}, "Marked.")
		case e.text != "":
			m.command(conductor.Add{Spec: e.text}, e.text+" is asked to join; its row says how far it is.")
		}
	default:
		m.entry.text = edited(e.text, k)
	}
}

// askToDrain asks whether the selected source shall leave.
func (m *model) askToDrain() {
	if m.view == nil {
		return
	}
	at, rows := m.lists[panelPeers].selected, m.peerRows(m.sources())
	if at < 0 || at >= len(rows) || rows[at].source == nil {
		return
	}
	s := rows[at].source
	if begins(m.view) {
		m.say("The run has not begun yet: no source has a share to give.")
		return
	}
	switch s.State {
	case "running", "suspect", "starting":
		m.drain, m.ask = s.Name, askDrain
	case "draining":
		m.say(sourceName(s) + " is on its way out already.")
	default:
		m.say(sourceName(s) + " is " + s.State + " and has no share to give.")
	}
}

// drawEntry draws the line that is being written: its label, the text, the cursor, and what the keys do, or that somebody waits.
func drawEntry(c chart.Canvas, label, text, hint string, waits bool) {
	x := c.Text(1, 0, theme.Accent|theme.Bold, label)
	for chart.Width(text) > max(8, c.W()/2) { // the end, where the cursor is
		text = string([]rune(text)[1:])
	}
	x = c.Text(x, 0, theme.Text, text)
	x = c.Text(x, 0, theme.Accent, "▏")
	if waits {
		c.Fit(x+2, 0, c.W()-x-3, theme.Warn, "▲ a peer asks something: enter or esc first")
		return
	}
	c.Fit(x+2, 0, c.W()-x-3, theme.Dim, hint)
}
