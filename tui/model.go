package tui

import (
	"context"
	"slices"
	"time"

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

// command sends c if the run takes it at this moment, and says what was done.
func (m *model) command(c conductor.Command, said string) {
	if m.takes(c) {
		m.send(c)
		m.say(said)
	}
}

// takes reports whether the run can be told c at this moment, and says why it cannot.
func (m *model) takes(c conductor.Command) bool {
	switch {
	case m.newest == nil:
		m.say("The run has not begun yet.")
	case over(m.newest) && !m.newest.Begun:
		m.say("The run did not begin; only q and the panels are left.")
	case over(m.newest):
		m.say("The run has ended; only w, q and the panels are left.")
	case m.newest.State == conductor.Draining:
		m.say("The run is ending: what is in hand finishes.")
	case m.newest.State == conductor.Starting && !beforeStart(c):
		m.say("The run has not begun yet: its sources start.")
	default:
		return true
	}
	return false
}

// beforeStart reports whether a run that has not begun can be told c.
func beforeStart(c conductor.Command) bool {
	switch c.(type) {
	case conductor.Stop, conductor.Now, conductor.Mark, conductor.Add:
		return true
	}
	return false
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
	case to >= edge(m.series()):
		m.until = 0
	default:
		m.until = max(to, min(step*4, edge(m.series())))
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
	if m.until >= edge(m.series()) {
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
