package tui

import (
	"context"
	"slices"
	"strings"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"lt/engine/conductor"
	"lt/tui/chart"
	"lt/tui/theme"
)

// viewMsg is the newest View.
type viewMsg struct{ view *conductor.View }

// silentMsg says that no more Views will come.
type silentMsg struct{}

// readyMsg says that the next View may be asked for.
type readyMsg struct{}

// question is what the foot line asks.
type question uint8

const (
	askNothing question = iota
	askPause
	askQuit
	askDrain
)

// list is the state of a panel's rows.
type list struct {
	selected int
	key      string // identity of the selected row: the selection follows it when the order changes
	first    int    // first row shown
	open     bool   // the detail of the selected row is shown
	scroll   int    // first line shown of the detail
	order    int    // position in the panel's orders
	filter   string // that the rows must pass
}

// windows are the lengths of time that [ and ] go through; 0 is all of the run.
var windows = []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 0}

// noticeTime is how long a notice stays.
const noticeTime = 3500 * time.Millisecond

// model is the state of the screen. It is used by Bubble Tea's goroutine alone.
type model struct {
	ctx   context.Context
	opts  Options
	theme *theme.Theme
	w, h  int

	view   *conductor.View // what is drawn; nil before the first
	newest *conductor.View // differs from view while the picture is frozen
	frozen bool

	panel  int
	chosen bool // by the user; until then the panel follows the run
	lists  [panelCount]list
	window int           // position in windows
	until  time.Duration // right edge of the charts; 0: now

	help       bool
	helpScroll int
	ask        question
	drain      string // the source that askDrain is about
	entry      entry
	prompt     answer
	filtering  bool
	notice     string
	noticeLeft time.Duration
	told       int // events there were when the run was told something; negative: nothing is to be heard of it

	interrupts int  // ctrl+c so far
	leaving    bool // quit as soon as the run has ended
}

func newModel(ctx context.Context, o Options) *model {
	mode := theme.Dark
	if o.Theme == "light" {
		mode = theme.Light
	}
	profile := colorprofile.TrueColor
	if o.NoColor {
		profile = colorprofile.ASCII
	}
	return &model{ctx: ctx, opts: o, theme: theme.New(mode, profile).InASCII(o.ASCII), window: 2, told: -1}
}

// Init asks for the first View, and for the terminal's background if the theme depends on it. Nothing waits for that
// answer: until it comes, and if it never does, the theme is dark.
func (m *model) Init() tea.Cmd {
	if m.opts.Theme == "" || m.opts.Theme == "auto" {
		return tea.Batch(m.next, tea.RequestBackgroundColor)
	}
	return m.next
}

// next waits for the next View.
func (m *model) next() tea.Msg {
	v, err := m.opts.Next(m.ctx)
	if err != nil || v == nil || v.Snapshot == nil {
		return silentMsg{}
	}
	return viewMsg{v}
}

// frameTime is the time from one View that is drawn to the next.
func (m *model) frameTime() time.Duration {
	fps := m.opts.FPS
	if fps <= 0 {
		fps = framesPerSecond
	}
	return time.Second / time.Duration(min(fps, 30))
}

// rest waits until the next View may be asked for. A run makes one only for whoever waits at that moment: who asks a little too
// late gets only every second one.
func (m *model) rest() tea.Cmd {
	return tea.Tick(m.frameTime()*9/10, func(time.Time) tea.Msg { return readyMsg{} })
}

// Update takes one message.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case viewMsg:
		cmd = m.onView(msg.view)
	case readyMsg:
		cmd = m.next
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
	case tea.KeyPressMsg:
		cmd = m.onKey(msg)
	case tea.PasteMsg:
		m.onText(msg.Content)
	case tea.MouseClickMsg:
		m.onClick(tea.Mouse(msg))
	case tea.MouseWheelMsg:
		m.onWheel(tea.Mouse(msg))
	case tea.ColorProfileMsg:
		m.theme = theme.New(m.theme.Mode, msg.Profile).InASCII(m.opts.ASCII)
	case tea.BackgroundColorMsg:
		m.onBackground(msg)
	}
	m.settle()
	return m, cmd
}

// View draws the screen; it depends on the model alone.
func (m *model) View() tea.View {
	v := tea.NewView(m.frame())
	v.AltScreen = true
	if !m.opts.NoMouse {
		v.MouseMode = tea.MouseModeCellMotion
	}
	v.WindowTitle = m.title()
	return v
}

func (m *model) onView(v *conductor.View) tea.Cmd {
	if over(v) && m.newest != nil && !over(m.newest) && m.until == 0 {
		m.window = len(windows) - 1 // the whole story
	}
	m.newest = v
	if !m.frozen || m.view == nil {
		m.view = v
	}
	m.follow(v)
	m.prompted(v)
	passed := m.frameTime()
	if over(v) {
		passed = max(passed, time.Second) // how often Views come then
	}
	if m.noticeLeft -= passed; m.noticeLeft <= 0 {
		m.notice = ""
	}
	m.hear(v)
	if m.leaving && over(v) {
		return tea.Quit
	}
	return m.rest()
}

// hear says what the run noted down after it was told something: that it did not do it, and why, or where the report is.
func (m *model) hear(v *conductor.View) {
	if m.told < 0 {
		return
	}
	for _, e := range v.Events[min(m.told, len(v.Events)):] {
		switch e.Kind {
		case conductor.EventNote, conductor.EventGuard:
			m.say(e.Text)
			m.told = -1
			return
		case conductor.EventUser:
			m.told = -1 // it did
		}
	}
}

// follow shows the start of the peers while it goes on, and the overview once the run has begun, unless the user chose a
// panel.
func (m *model) follow(v *conductor.View) {
	switch {
	case m.chosen:
	case v.Begun && v.State != conductor.Starting:
		m.panel, m.chosen = panelOverview, true
	case len(v.Snapshot.Sources) > 1:
		m.panel = panelPeers
	}
}

// over reports whether the run has ended.
func over(v *conductor.View) bool { return v != nil && v.State == conductor.Ended }

func (m *model) onBackground(msg tea.BackgroundColorMsg) {
	mode := theme.Light
	if msg.IsDark() {
		mode = theme.Dark
	}
	m.theme = theme.New(mode, m.theme.Profile).InASCII(m.opts.ASCII)
}

func (m *model) say(s string) { m.notice, m.noticeLeft = s, noticeTime }

func (m *model) send(c conductor.Command) {
	if _, silent := c.(conductor.Answer); !silent && m.newest != nil {
		m.told = len(m.newest.Events)
	}
	if m.opts.Send != nil {
		m.opts.Send(c)
	}
}

// command sends c if the run can still be told anything, and says what was done.
func (m *model) command(c conductor.Command, said string) {
	switch {
	case m.newest == nil:
		m.say("The run has not begun yet.")
	case over(m.newest):
		m.say("The run has ended; only w, q and the panels are left.")
	case m.newest.State == conductor.Draining:
		m.say("The run is ending: what is in hand finishes.")
	case m.newest.State == conductor.Starting && !beforeStart(c):
		m.say("The run has not begun yet: its sources start.")
	default:
		m.send(c)
		m.say(said)
	}
}

// beforeStart reports whether a run that has not begun can be told c.
func beforeStart(c conductor.Command) bool {
	switch c.(type) {
	case conductor.Stop, conductor.Now, conductor.Mark, conductor.Add:
		return true
	}
	return false
}

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
		m.entry = entry{kind: entryAdd}
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
	case is(Keys.Mark):
		m.entry = entry{kind: entryMark}
	case is(Keys.Stop):
		m.command(conductor.Stop{}, "Stopping: nothing new begins, what is in hand finishes.")
	case is(Keys.Write):
		if m.newest == nil {
			m.say("There is nothing to write yet.")
			return
		}
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
	case m.interrupts == 2 || m.newest.State == conductor.Draining:
		m.send(conductor.Now{})
		m.say("Ending now.")
	default:
		m.send(conductor.Stop{})
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

// move moves the selection, or the detail, by n rows; rows that cannot be selected are passed over.
func (m *model) move(n int) {
	p, l := panelAt(m.panel), &m.lists[m.panel]
	if m.help {
		m.helpScroll = lastFirst(m.helpScroll+n, len(m.helpRows(m.w)), m.page())
		return
	}
	if l.open {
		l.scroll += n // settle holds it
		return
	}
	if p.keys == nil || m.view == nil {
		return
	}
	keys := p.keys(m)
	step := 1
	if n < 0 {
		step = -1
	}
	at := max(0, min(l.selected+n, len(keys)-1))
	for i := at; i >= 0 && i < len(keys); i += step {
		if keys[i] != "" {
			l.selected, l.key = i, keys[i]
			return
		}
	}
	for i := at; i >= 0 && i < len(keys); i -= step {
		if keys[i] != "" {
			l.selected, l.key = i, keys[i]
			return
		}
	}
}

// settle keeps the selection on its row when rows come, go or change places, and the shown part around it.
func (m *model) settle() {
	p, l := panelAt(m.panel), &m.lists[m.panel]
	if p.keys == nil || m.view == nil {
		return
	}
	if l.open {
		l.scroll = lastFirst(l.scroll, len(p.detail(m, m.w, m.layout().bodyHeight)), m.page())
	}
	keys := p.keys(m)
	at := l.selected // where it still stands; of rows that are alike not the first
	if at < 0 || at >= len(keys) || keys[at] != l.key {
		at = slices.Index(keys, l.key)
	}
	if l.key != "" && at >= 0 {
		l.selected = at
	} else if !l.open {
		l.selected, l.key = max(0, min(l.selected, len(keys)-1)), ""
		for i := l.selected; i < len(keys); i++ {
			if keys[i] != "" {
				l.selected, l.key = i, keys[i]
				break
			}
		}
	}
	first := l.selected
	if first > 0 && keys[first-1] == "" {
		first-- // the title of its group
	}
	l.first = chart.Scroll(chart.Scroll(l.first, l.selected, len(keys), m.page()), first, len(keys), m.page())
}

// page is the number of rows that a panel shows at once, below the titles of the columns.
func (m *model) page() int {
	h := m.layout().bodyHeight
	if m.panel == panelEvents && !m.help {
		h -= eventRoom(h)
	}
	return max(1, h-1)
}

// shift moves the charts' window by a quarter of its length; at the newest data it sticks to it again.
func (m *model) shift(n int) {
	if m.view == nil {
		return
	}
	w := m.span()
	if n < 0 && w.from <= 0 {
		m.say("The run's beginning is shown; [ makes the window shorter.")
		return
	}
	step := (w.to - w.from) / 4
	switch to := w.to + time.Duration(n)*step; {
	case to >= m.edge():
		m.until = 0
	default:
		m.until = max(to, min(step*4, m.edge()))
	}
}

// jump shows the time around the selected event on the overview.
func (m *model) jump() {
	events := m.events()
	l := m.lists[panelEvents]
	if l.selected < 0 || l.selected >= len(events) {
		return
	}
	length := windows[m.window]
	if length == 0 {
		length = time.Minute
		m.window = 2
	}
	m.until = events[l.selected].At + length/2
	if m.until >= m.edge() {
		m.until = 0
	}
	m.panel = panelOverview
}

func (m *model) layout() layout {
	return makeLayout(m.w, m.h, m.view != nil && len(m.view.SLOs) > 0)
}

// errorCount is the number of failed requests so far, those of setup, teardown and warm-up included.
func (m *model) errorCount() uint64 {
	n := uint64(0)
	if m.view != nil {
		for i := range m.view.Snapshot.Errors {
			n += m.view.Snapshot.Errors[i].Count
		}
	}
	return n
}
