package tui

import (
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"lt/engine/conductor"
)

// onKey gives a key to whoever waits for one (a line that is being written, a question of our own, a question of ssh once there is
// neither), else does what it stands for.
func (m *model) onKey(k tea.KeyPressMsg) tea.Cmd {
	is := func(b ...key.Binding) bool { return key.Matches(k, b...) }
	switch {
	case is(Keys.Interrupt):
		return m.interrupt()
	case is(Keys.Suspend):
		return tea.Suspend
	case m.asked() != nil:
		m.onPromptKey(k)
		return nil
	case m.entry.kind != entryNothing:
		m.onEntryKey(k)
		return nil
	case m.ask != askNothing:
		return m.answer(k)
	case m.filtering:
		m.onFilterKey(k)
		return nil
	case is(Keys.Help):
		m.help, m.helpScroll = !m.help, 0
	case is(Keys.Back):
		m.back()
	case is(Keys.Quit):
		return m.quit()
	case is(Keys.Panel):
		m.open(int(k.String()[0] - '1'))
	case is(Keys.NextPanel):
		m.open((m.panel + 1) % panelCount)
	case is(Keys.LastPanel):
		m.open((m.panel + panelCount - 1) % panelCount)
	case is(Keys.Freeze):
		m.freeze()
	case is(Keys.Narrow):
		m.window = max(0, m.window-1)
	case is(Keys.Wide):
		m.window = min(len(windows)-1, m.window+1)
	case m.panel == panelPeers && is(Keys.Add):
		if m.takes(conductor.Add{}) {
			m.entry = entry{kind: entryAdd}
		}
	case m.panel == panelPeers && is(Keys.Drain):
		m.askToDrain()
	default:
		m.onLoadKey(is)
		m.onRowKey(is)
	}
	return nil
}

// onLoadKey handles what changes the run.
func (m *model) onLoadKey(is func(...key.Binding) bool) {
	state := conductor.Starting
	if m.newest != nil {
		state = m.newest.State
	}
	switch {
	case is(Keys.Hold) && state == conductor.Paused:
		m.say("The load is paused; P goes on.")
	case is(Keys.Hold) && state == conductor.Held:
		m.command(conductor.Hold{}, "The profile goes on.")
	case is(Keys.Hold):
		m.command(conductor.Hold{}, "The load stays where it is; p goes on.")
	case is(Keys.Pause) && state == conductor.Paused:
		m.command(conductor.Pause{}, "The load comes back.")
	case is(Keys.Pause) && (state == conductor.Running || state == conductor.Held):
		m.ask = askPause
	case is(Keys.Pause):
		m.command(conductor.Pause{}, "")
	case is(Keys.More):
		m.command(conductor.Factor{By: 1.1}, "10 % more of all that follows.")
	case is(Keys.Less):
		m.command(conductor.Factor{By: 1 / 1.1}, "10 % less of all that follows.")
	case is(Keys.Next):
		m.command(conductor.Next{}, "On to the next stage.")
	case is(Keys.Mark) && m.takes(conductor.Mark{}):
		m.entry = entry{kind: entryMark}
	case is(Keys.Stop):
		m.command(conductor.Stop{}, "Stopping: nothing new begins, what is in hand finishes.")
	case is(Keys.Write) && (m.newest == nil || begins(m.newest)):
		m.say("There is nothing to write: nothing was sent.")
	case is(Keys.Write):
		m.send(conductor.Snapshot{})
		m.say("Writing a report.")
	}
}

// onRowKey handles what moves within a panel.
func (m *model) onRowKey(is func(...key.Binding) bool) {
	p := panelAt(m.panel)
	page := max(1, m.page()-1)
	switch {
	case is(Keys.Up):
		m.move(-1)
	case is(Keys.Down):
		m.move(1)
	case is(Keys.PageUp):
		m.move(-page)
	case is(Keys.PageDown):
		m.move(page)
	case is(Keys.Top):
		m.move(-1 << 30)
	case is(Keys.Bottom):
		m.move(1 << 30)
	case m.help: // the rest is about what it hides
	case is(Keys.Earlier):
		m.shift(-1)
	case is(Keys.Later):
		m.shift(1)
	case is(Keys.Open) && m.panel == panelEvents:
		m.jump()
	case is(Keys.Open) && p.detail != nil && m.lists[m.panel].key != "":
		m.lists[m.panel].open, m.lists[m.panel].scroll = true, 0
	case is(Keys.Filter) && p.keys != nil:
		m.filtering, m.lists[m.panel].open = true, false
	case is(Keys.Order) && len(p.orders) > 0:
		l := &m.lists[m.panel]
		l.order = (l.order + 1) % len(p.orders)
		m.say("Shown " + p.orders[l.order] + ".")
	}
}

func (m *model) open(panel int) {
	if panel == m.panel {
		m.lists[panel].open = false
	}
	m.panel, m.help, m.chosen = panel, false, true
}

func (m *model) freeze() {
	m.frozen = !m.frozen
	if m.frozen {
		m.say("Frozen: the picture stands still, the run and its record go on.")
		return
	}
	m.view, m.notice = m.newest, ""
}

// back closes one thing: help, detail, filter, a look into the past, the frozen picture.
func (m *model) back() {
	switch {
	case m.help:
		m.help = false
	case m.lists[m.panel].open:
		m.lists[m.panel].open = false
	case m.lists[m.panel].filter != "":
		m.lists[m.panel].filter = ""
	case m.until != 0:
		m.until = 0
	case m.frozen:
		m.freeze()
	}
}

func (m *model) quit() tea.Cmd {
	if m.newest == nil {
		m.send(conductor.Now{})
		return tea.Quit
	}
	if over(m.newest) {
		return tea.Quit
	}
	m.ask = askQuit
	return nil
}

// interrupt is ctrl+c: stop and leave when all is finished; again: at once; a third time: leave whatever the run does.
func (m *model) interrupt() tea.Cmd {
	m.interrupts++
	m.ask = askNothing
	switch {
	case m.newest == nil || over(m.newest) || m.interrupts > 2:
		if m.newest == nil {
			m.send(conductor.Now{})
		}
		return tea.Quit
	case m.interrupts == 2:
		m.send(conductor.Now{})
		m.say("Ending now.")
	default:
		if m.newest.State != conductor.Draining {
			m.send(conductor.Stop{})
		}
		m.say(m.stopping() + " ctrl+c again ends it now.")
	}
	m.leaving = true
	return nil
}

// answer takes the answer to a question: y or enter is yes, everything else no. A second q does not wait for what is in hand:
// whoever presses it twice wants the load gone.
func (m *model) answer(k tea.KeyPressMsg) tea.Cmd {
	asked := m.ask
	m.ask = askNothing
	atOnce := asked == askQuit && k.String() == "q"
	if s := k.String(); s != "y" && s != "Y" && s != "enter" && !atOnce {
		return nil
	}
	switch {
	case asked == askDrain:
		m.command(conductor.Drain{Name: m.drain}, m.drain+" gives its share to the others, finishes what it has in hand, and leaves.")
	case asked == askPause:
		m.command(conductor.Pause{}, "Paused: nothing new begins; P goes on.")
	case m.newest == nil || over(m.newest):
		return tea.Quit
	case atOnce || m.newest.State == conductor.Draining:
		m.leaving = true
		m.send(conductor.Now{})
		m.say("Ending now.")
	default:
		m.leaving = true
		m.send(conductor.Stop{})
		m.say(m.stopping())
	}
	return nil
}

// stopping says what a stop means at this moment.
func (m *model) stopping() string {
	if !m.newest.Begun {
		return "The start is called off; the screen closes when all peers are gone."
	}
	return "Stopping: what is in hand finishes, then the screen closes."
}

func (m *model) onFilterKey(k tea.KeyPressMsg) {
	l := &m.lists[m.panel]
	switch k.String() {
	case "enter":
		m.filtering = false
	case "esc":
		m.filtering, l.filter = false, ""
	default:
		l.filter = edited(l.filter, k)
	}
}

// onText adds typed or pasted text to what is being written.
func (m *model) onText(s string) {
	switch {
	case m.asked() != nil:
		m.prompt.text = answered(m.prompt.text, strings.TrimRight(s, "\r\n"))
	case m.entry.kind != entryNothing:
		m.entry.text = typed(m.entry.text, s)
	case m.filtering:
		l := &m.lists[m.panel]
		l.filter = typed(l.filter, s)
	}
}

func (m *model) onClick(e tea.Mouse) {
	l := m.layout()
	if l.small || e.Button != tea.MouseLeft || m.help || m.asked() != nil {
		return
	}
	if e.Y == l.tabs {
		for _, t := range tabs(m.panel, l.w, m.errorCount()) {
			if e.X >= t.x && e.X < t.x+t.w {
				m.open(t.panel)
			}
		}
		return
	}
	p, list := panelAt(m.panel), &m.lists[m.panel]
	row := e.Y - l.body - 1 + list.first
	if p.keys == nil || list.open || m.view == nil || e.Y <= l.body || e.Y > l.body+m.page() {
		return
	}
	if keys := p.keys(m); row < len(keys) && keys[row] != "" {
		list.selected, list.key = row, keys[row]
	}
}

func (m *model) onWheel(e tea.Mouse) {
	switch e.Button {
	case tea.MouseWheelUp:
		m.move(-3)
	case tea.MouseWheelDown:
		m.move(3)
	}
}
