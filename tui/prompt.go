package tui

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"lt/engine/conductor"
	"lt/engine/metrics"
	"lt/tui/chart"
	"lt/tui/theme"
)

// answer is what the user has typed so far to the prompt with this id.
type answer struct {
	id   int
	text string
	done bool   // it was sent; the run takes the prompt back with one of the next Views
	note string // why it was not
}

// prompted notices which prompt is to be asked now.
func (m *model) prompted(v *conductor.View) {
	switch {
	case len(v.Prompts) == 0:
		m.prompt = answer{}
	case v.Prompts[0].ID != m.prompt.id:
		m.prompt = answer{id: v.Prompts[0].ID}
	}
}

// asked is the prompt that waits for the user; nil: none. It does not stand still with a frozen picture, but it lets the user end
// the line that is being written, and answer what the screen itself asks: what is typed there is no answer to a peer.
func (m *model) asked() *metrics.Prompt {
	if m.newest == nil || len(m.newest.Prompts) == 0 || over(m.newest) || m.layout().small || m.writing() || m.ask != askNothing {
		return nil
	}
	if p := &m.newest.Prompts[0]; p.ID != m.prompt.id || !m.prompt.done {
		return p
	}
	return nil
}

// onPromptKey writes the answer. A key of a stranger's host is accepted by the whole word only, as ssh itself wants it: no
// other key that was meant for the screen may do it.
func (m *model) onPromptKey(k tea.KeyPressMsg) {
	p := m.asked()
	m.prompt.id = p.ID
	switch k.String() {
	case "esc":
		m.reply(p, "", false)
	case "enter":
		word := strings.ToLower(strings.TrimSpace(m.prompt.text))
		switch {
		case m.prompt.text == "": // an enter that was meant for the screen
			m.prompt.note = "Type the answer first, or esc to refuse."
		case !p.Choice:
			m.reply(p, m.prompt.text, true)
		case word == "yes":
			m.reply(p, "yes", true)
		case word == "no" || word == "n":
			m.reply(p, "", false)
		default:
			m.prompt.text, m.prompt.note = "", "Type yes or no."
		}
	default:
		m.prompt.text, m.prompt.note = changed(m.prompt.text, k, answered), ""
	}
}

func (m *model) reply(p *metrics.Prompt, text string, ok bool) {
	m.send(conductor.Answer{ID: p.ID, Text: text, OK: ok})
	m.prompt = answer{id: p.ID, done: true}
}

// drawPrompt draws a question over the middle of c: who asks, the text as it was asked, the answer so far, and how long
// there is for it.
func (m *model) drawPrompt(c chart.Canvas, p *metrics.Prompt) {
	const margin = 3 // of the text within the box, border included
	w := min(c.W()-4, 84)
	lines := chart.Wrap(strings.Trim(p.Text, " \n"), w-2*margin, 0)
	if most := c.H() - 8; len(lines) > most { // what is asked stands at the end
		lines = append([]string{"…"}, lines[len(lines)-max(0, most-1):]...)
	}
	h := len(lines) + 6
	box := c.Sub((c.W()-w)/2, max(0, (c.H()-h)/2), w, h)
	box.Fill(theme.Text, ' ')
	for x := 1; x < w-1; x++ {
		box.Set(x, 0, theme.Accent, '─')
		box.Set(x, h-1, theme.Accent, '─')
	}
	for y := 1; y < h-1; y++ {
		box.Set(0, y, theme.Accent, '│')
		box.Set(w-1, y, theme.Accent, '│')
	}
	for i, r := range []rune("┌┐└┘") {
		box.Set(i%2*(w-1), i/2*(h-1), theme.Accent, r)
	}
	left := " " + chart.Clock(max(0, p.Left).Truncate(time.Second)) + " left "
	if n := len(m.newest.Prompts); n > 1 {
		left = fmt.Sprintf(" 1 of %d ·", n) + left
	}
	who := chart.Clean(p.Source) + " asks"
	if p.Source == "" {
		who = "A peer asks"
	}
	box.Text(2, 0, theme.Accent|theme.Bold, " "+chart.Shorten(who, w-chart.Width(left)-8)+" ")
	box.Right(w-2, 0, theme.Dim, left)
	for i, line := range lines {
		st := theme.Text
		if strings.Contains(line, "SHA256:") || strings.Contains(line, "MD5:") { // what is to be compared
			st |= theme.Bold
		}
		box.Text(margin, 2+i, st, line)
	}
	y := h - 3
	label, text := "answer ", m.prompt.text
	hint := "enter sends it   esc refuses"
	switch {
	case p.Choice:
		label, hint = "yes or no ", "yes trusts this host from now on   no, esc refuse"
	case p.Secret:
		label, text = "secret ", strings.Repeat("•", min(len([]rune(text)), w))
	}
	x := box.Text(margin, y, theme.Dim, label)
	room := w - margin - x - 1
	for chart.Width(text) > room {
		text = string([]rune(text)[1:])
	}
	x = box.Text(x, y, theme.Text|theme.Bold, text)
	box.Text(x, y, theme.Accent, "▏")
	if m.prompt.note != "" {
		box.Text(margin, y+1, theme.Warn, "▲ "+m.prompt.note)
	} else {
		box.Fit(margin, y+1, w-2*margin, theme.Dim, hint)
	}
}
