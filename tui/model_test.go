package tui

import (
	"context"
	"errors"
	"image/color"
	"math"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"lt/engine/conductor"
	"lt/engine/knee"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/slo"
	"lt/tui/theme"
)

// press is the message of a key by its name.
func press(name string) tea.KeyPressMsg {
	named := map[string]rune{
		"enter": tea.KeyEnter, "esc": tea.KeyEscape, "tab": tea.KeyTab, "up": tea.KeyUp, "down": tea.KeyDown, "left": tea.KeyLeft, "right": tea.KeyRight,
		"backspace": tea.KeyBackspace, "pgdown": tea.KeyPgDown,
	}
	switch {
	case name == "space":
		return tea.KeyPressMsg{Code: tea.KeySpace, Text: " "}
	case name == "shift+tab":
		return tea.KeyPressMsg{Code: tea.KeyTab, Mod: tea.ModShift}
	case strings.HasPrefix(name, "ctrl+"):
		return tea.KeyPressMsg{Code: rune(name[5]), Mod: tea.ModCtrl}
	case named[name] != 0:
		return tea.KeyPressMsg{Code: named[name]}
	}
	return tea.KeyPressMsg{Code: []rune(name)[0], Text: name}
}

// pilot is a model under test with the commands that it sent.
type pilot struct {
	*model
	t    *testing.T
	sent []conductor.Command
	quit bool
}

func fly(t *testing.T, state string) *pilot {
	p := &pilot{t: t}
	p.model = screen(120, 40, states()[state], theme.New(theme.Dark, colorprofile.ASCII))
	p.opts.Send = func(c conductor.Command) { p.sent = append(p.sent, c) }
	return p
}

func (p *pilot) press(keys ...string) *pilot {
	for _, k := range keys {
		p.take(press(k))
	}
	return p
}

func (p *pilot) take(msg tea.Msg) {
	_, cmd := p.Update(msg)
	if cmd == nil {
		return
	}
	if _, ok := msg.(viewMsg); ok && !p.leaving {
		return // the wait for the next View
	}
	if _, ok := cmd().(tea.QuitMsg); ok {
		p.quit = true
	}
}

func (p *pilot) wantSent(want ...conductor.Command) {
	p.t.Helper()
	if d := cmp.Diff(want, p.sent); d != "" {
		p.t.Errorf("commands sent: %s", d)
	}
}

func (p *pilot) wantText(want string) {
	p.t.Helper()
	if got := ansi.Strip(p.frame()); !strings.Contains(got, want) {
		p.t.Errorf("the screen does not say %q:\n%s", want, got)
	}
}

func TestKeysSendCommands(t *testing.T) {
	for _, c := range []struct {
		keys string
		want conductor.Command
	}{
		{"p", conductor.Hold{}},
		{"+", conductor.Factor{By: 1.1}},
		{"-", conductor.Factor{By: 1 / 1.1}},
		{"n", conductor.Next{}},
		{"m enter", conductor.Mark{}},
		{"m v 2 space o n enter", conductor.Mark{Text: "v2 on"}},
		{"s", conductor.Stop{}},
		{"w", conductor.Snapshot{}},
		{"P y", conductor.Pause{}},
		{"P enter", conductor.Pause{}},
	} {
		p := fly(t, "running").press(strings.Fields(c.keys)...)
		p.wantSent(c.want)
		if p.quit {
			t.Errorf("%s quits", c.keys)
		}
	}
}

func TestPauseAsksAndNoMeansNo(t *testing.T) {
	p := fly(t, "running").press("P")
	p.wantText("Pause the load to zero?")
	p.press("n").wantSent()
	p.press("P", "esc").wantSent()
	v := *states()["running"]
	v.State = conductor.Paused
	p.take(viewMsg{&v})
	p.press("P").wantSent(conductor.Pause{}) // going on needs no question
}

func TestQuitAsksWhileTheRunGoesOn(t *testing.T) {
	p := fly(t, "running").press("q")
	p.wantText("Stop the run and quit?")
	if p.press("n"); p.quit || len(p.sent) != 0 {
		t.Fatal("no was taken for yes")
	}
	if p.press("q", "y"); p.quit {
		t.Fatal("left before the run had ended")
	}
	p.wantSent(conductor.Stop{})
	v := *states()["running"]
	v.State = conductor.Draining
	if p.take(viewMsg{&v}); p.quit {
		t.Fatal("left while draining")
	}
	if p.take(viewMsg{states()["ended"]}); !p.quit {
		t.Error("did not leave at the end")
	}
}

func TestQuitTwiceEndsAtOnce(t *testing.T) {
	p := fly(t, "running").press("q", "q")
	p.wantSent(conductor.Now{})
	if p.quit {
		t.Fatal("left before the run had ended")
	}
	if p.take(viewMsg{states()["ended"]}); !p.quit {
		t.Error("did not leave at the end")
	}
}

func TestTheScreenStaysAfterTheEnd(t *testing.T) {
	p := fly(t, "running")
	if p.take(viewMsg{states()["ended"]}); p.quit {
		t.Fatal("left by itself")
	}
	p.wantText("Finished 12 s ago")
	p.wantText("all of the run")
	p.press("p", "+", "s").wantSent()
	if p.press("q"); !p.quit {
		t.Error("q did not leave")
	}
}

func TestInterruptLadder(t *testing.T) {
	p := fly(t, "running").press("ctrl+c")
	p.wantSent(conductor.Stop{})
	p.press("ctrl+c").wantSent(conductor.Stop{}, conductor.Now{})
	if p.quit {
		t.Fatal("left before the run had ended")
	}
	if p.press("ctrl+c"); !p.quit {
		t.Error("the third ctrl+c did not leave")
	}
	if p := fly(t, "ended").press("ctrl+c"); !p.quit || len(p.sent) != 0 {
		t.Error("ctrl+c after the end did not just leave")
	}
}

func TestFreezeKeepsThePictureAndCommandsStillGo(t *testing.T) {
	p := fly(t, "running").press("space")
	p.wantText("FROZEN")
	p.take(viewMsg{states()["bent"]})
	if p.view == p.newest {
		t.Error("the picture moved")
	}
	p.press("n").wantSent(conductor.Next{})
	p.press("space")
	if p.view != p.newest {
		t.Error("the picture stands still")
	}
}

func TestPanelsAndTabs(t *testing.T) {
	p := fly(t, "bent")
	for i := range panelCount {
		p.press(string(rune('1' + i)))
		if p.panel != i {
			t.Errorf("key %d opens panel %d", i+1, p.panel)
		}
	}
	if p.press("tab"); p.panel != 0 {
		t.Error("tab does not go round")
	}
	if p.press("shift+tab"); p.panel != panelCount-1 {
		t.Error("shift+tab does not go round")
	}
	for _, tab := range tabs(p.panel, 120, 38) {
		p.take(tea.MouseClickMsg{X: tab.x, Y: p.layout().tabs, Button: tea.MouseLeft})
		if p.panel != tab.panel {
			t.Errorf("a click on %q opens panel %d", tab.text, p.panel)
		}
	}
}

// The selection stays on its row when the order changes, and never on a title.
func TestSelectionFollowsItsRow(t *testing.T) {
	p := fly(t, "bent").press("2")
	if p.lists[panelSteps].key != "0" {
		t.Fatalf("the first selected step is %q", p.lists[panelSteps].key)
	}
	p.press("G", "k", "j", "j", "j", "k")
	if got := p.lists[panelSteps].key; got != "5" {
		t.Errorf("selected %q, want the step before the last", got)
	}
	for range len(stepOrders) {
		p.press("o")
		rows := p.steps()
		if at := p.lists[panelSteps].selected; rows[at].step == nil || rows[at].step.ID != 5 {
			t.Errorf("order %d: the selection is at row %d", p.lists[panelSteps].order, at)
		}
	}
	p.press("enter").wantText("browser / GET /")
	p.press("esc")
	if p.lists[panelSteps].open {
		t.Error("esc does not close the detail")
	}
}

func TestFilter(t *testing.T) {
	p := fly(t, "bent").press("2", "/", "c", "a", "r", "x", "backspace", "t", "enter")
	if rows := p.steps(); len(rows) != 2 || rows[1].step.Step != "POST /cart" {
		t.Errorf("%d rows", len(rows))
	}
	p.wantSent() // typed letters are no commands
	p.press("esc")
	if p.filter != "" {
		t.Error("esc does not clear the filter")
	}
	p.press("/", "!", "G", "E", "T", "enter")
	for _, r := range p.steps() {
		if r.step != nil && strings.Contains(r.step.Step, "GET") {
			t.Errorf("%q passes !GET", r.step.Step)
		}
	}
}

func TestWindow(t *testing.T) {
	p := fly(t, "bent")
	if w := p.span(); w.to-w.from != time.Minute || w.to != 64*time.Second {
		t.Errorf("window %v", w)
	}
	p.press("[")
	p.wantText("last 30 s")
	p.press("]", "]", "]")
	p.wantText("all of the run")
	p.press("[", "[", "left")
	if p.until != time.Minute { // no further: the window would begin before the run
		t.Errorf("until %v", p.until)
	}
	p.press("right")
	if p.until != 0 {
		t.Error("does not stick to the newest data again")
	}
	p.press("7", "G", "enter") // the first event
	if p.panel != panelOverview || p.until == 0 {
		t.Errorf("enter on an event: panel %d until %v", p.panel, p.until)
	}
	p.press("esc")
	if p.until != 0 {
		t.Error("esc does not come back to now")
	}
}

func TestHelpNamesEveryKey(t *testing.T) {
	p := fly(t, "running").press("?")
	for _, g := range Keys.Groups() {
		for _, k := range g.Keys {
			p.wantText(k.Help().Desc)
		}
	}
	p.take(tea.WindowSizeMsg{Width: 60, Height: 15})
	p.press("G")
	p.wantText(Keys.Suspend.Help().Desc)
	for _, word := range []string{" f "} {
		for _, g := range Keys.Groups() {
			for _, k := range g.Keys {
				if " "+k.Help().Key+" " == word {
					t.Errorf("key%sis in the help and not built", word)
				}
			}
		}
	}
}

func TestBackgroundAndProfileChangeTheTheme(t *testing.T) {
	p := fly(t, "running")
	p.take(tea.BackgroundColorMsg{Color: color.White})
	p.take(tea.ColorProfileMsg{Profile: colorprofile.ANSI256})
	if p.theme.Mode != theme.Light || p.theme.Profile != colorprofile.ANSI256 {
		t.Errorf("theme %v %v", p.theme.Mode, p.theme.Profile)
	}
}

func TestForeignTextIsNeutral(t *testing.T) {
	v := *states()["bent"]
	s := *v.Snapshot
	v.Snapshot = &s
	evil := "\x1b]0;owned\x07\x1b[2J\u202eevil\u200d\r\n表示"
	v.Run.Name, v.Run.Target = evil, evil
	v.Events = []conductor.Event{{Text: evil, Kind: conductor.EventKind(evil)}}
	s.Errors = []metrics.ErrorView{{Class: metrics.Status, Message: evil, Example: evil, Hint: evil, Step: metrics.StepName{Scenario: evil, Step: evil}, Sources: []string{evil}}}
	s.Steps = []metrics.StepView{{StepName: metrics.StepName{Scenario: evil, Step: evil}, Requests: 3}}
	s.Sources = []metrics.SourceView{{Name: evil, Label: evil, State: evil, Reason: evil, Log: []string{evil}}}
	v.SLOs = []slo.Result{{Expr: evil, Text: evil, Known: true}}
	v.Profile = load.Profile{Stages: []load.Stage{{Name: evil}}}
	v.Stage = 0
	for panel := range panelCount {
		for _, open := range []bool{false, true} {
			m := screen(120, 40, &v, theme.New(theme.Dark, colorprofile.ASCII))
			m.open(panel)
			m.settle()
			m.lists[panel].open = open && panelAt(panel).detail
			frame := m.frame()
			checkFrame(t, frame, 120, 40)
			for _, r := range ansi.Strip(frame) {
				if r != '\n' && (r < ' ' || r == 0x7f || r == '\u202e' || r == '\u200d') {
					t.Errorf("panel %d: %q reached the terminal", panel+1, r)
				}
			}
			if strings.Contains(m.title(), "\x1b") {
				t.Error("the window title holds an escape")
			}
		}
	}
}

// Any View at any size is drawn without panic, in exactly the cells of the terminal.
func TestAnythingDraws(t *testing.T) {
	value := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, 1e308, -5, 100}))
	when := rapid.OneOf(rapid.Map(rapid.Int64(), func(n int64) time.Duration { return time.Duration(n) }),
		rapid.Map(rapid.Int64Range(-5, 500), func(n int64) time.Duration { return time.Duration(n) * time.Second }))
	text := rapid.String()
	quant := rapid.Custom(func(t *rapid.T) metrics.Quantiles {
		return metrics.Quantiles{Count: rapid.Uint64().Draw(t, "count"), P50: when.Draw(t, "p50"), P99: when.Draw(t, "p99"), P999: when.Draw(t, "p999"), AtLeast: rapid.Bool().Draw(t, "at least")}
	})
	step := rapid.Custom(func(t *rapid.T) metrics.StepView {
		return metrics.StepView{
			StepName: metrics.StepName{Scenario: text.Draw(t, "scenario"), Step: text.Draw(t, "step")}, ID: rapid.IntRange(0, 5).Draw(t, "id"),
			Requests: rapid.Uint64().Draw(t, "requests"), Errors: rapid.Uint64().Draw(t, "errors"), WindowRPS: value.Draw(t, "rps"), Share: value.Draw(t, "share"),
			Response: quant.Draw(t, "response"), Service: quant.Draw(t, "service"), P99: rapid.SliceOfN(value, 0, 9).Draw(t, "p99s"),
			Distribution: []metrics.Band{{Low: when.Draw(t, "low"), High: when.Draw(t, "high"), Count: rapid.Uint64().Draw(t, "n")}},
		}
	})
	point := rapid.Custom(func(t *rapid.T) metrics.Point {
		return metrics.Point{
			Offered: value.Draw(t, "offered"), Goodput: value.Draw(t, "goodput"), Errors: value.Draw(t, "errors"), P50: value.Draw(t, "p50"), P99: value.Draw(t, "p99"),
			P999: value.Draw(t, "p999"), Stage: rapid.Int16().Draw(t, "stage"), Gap: rapid.Bool().Draw(t, "gap"), Heat: rapid.SliceOfN(rapid.Uint32(), 0, 6).Draw(t, "heat"),
		}
	})
	view := rapid.Custom(func(t *rapid.T) *conductor.View {
		v := &conductor.View{
			State: conductor.State(rapid.Uint8Range(0, uint8(conductor.Ended)).Draw(t, "state")), Elapsed: when.Draw(t, "elapsed"), Total: when.Draw(t, "total"),
			Stage: rapid.IntRange(-2, 4).Draw(t, "stage"), Factor: value.Draw(t, "factor"), EndedAgo: when.Draw(t, "ago"),
			Begun: rapid.Bool().Draw(t, "begun"), StartsIn: when.Draw(t, "starts in"),
			Run:     conductor.Header{Name: text.Draw(t, "name"), Target: text.Draw(t, "target")},
			Profile: load.Profile{Stages: []load.Stage{{Name: text.Draw(t, "first"), For: when.Draw(t, "for")}, {}}},
			SLOs:    []slo.Result{{Expr: text.Draw(t, "expr"), Text: text.Draw(t, "text"), Known: rapid.Bool().Draw(t, "known"), Since: when.Draw(t, "since")}},
			Events:  []conductor.Event{{At: when.Draw(t, "at"), Text: text.Draw(t, "event")}},
		}
		for range rapid.IntRange(0, 2).Draw(t, "prompts") {
			v.Prompts = append(v.Prompts, metrics.Prompt{
				ID: rapid.IntRange(-1, 2).Draw(t, "id"), Source: text.Draw(t, "asks"), Text: text.Draw(t, "prompt"), Secret: rapid.Bool().Draw(t, "secret"),
				Choice: rapid.Bool().Draw(t, "choice"), Left: when.Draw(t, "left"),
			})
		}
		for range rapid.IntRange(0, 4).Draw(t, "points") {
			v.Points = append(v.Points, knee.Point{
				Offered: value.Draw(t, "x"), Goodput: value.Draw(t, "y"), GoodputLow: value.Draw(t, "yl"), P50: when.Draw(t, "p50"), P99: when.Draw(t, "p99"),
				ErrorRate: value.Draw(t, "rate"), InFlight: value.Draw(t, "in flight"), Stage: rapid.IntRange(-1, 5).Draw(t, "stage"), To: when.Draw(t, "to"),
			})
		}
		v.Snapshot = &metrics.Snapshot{
			Steps: rapid.SliceOfN(step, 0, 4).Draw(t, "steps"), Window: metrics.Window{
				OfferedRPS: value.Draw(t, "offered"), GoodputRPS: value.Draw(t, "goodput"), ErrorRate: value.Draw(t, "rate"),
				Response: quant.Draw(t, "window"), InFlight: rapid.Int().Draw(t, "in flight"), QueuedNow: rapid.Int().Draw(t, "queued"), Length: when.Draw(t, "length"),
			},
			Totals:  metrics.Totals{Requests: rapid.Uint64().Draw(t, "total"), Errors: rapid.Uint64().Draw(t, "total errors"), ErrorRate: value.Draw(t, "total rate")},
			Series:  metrics.Series{Every: when.Draw(t, "every"), Points: rapid.SliceOfN(point, 0, 12).Draw(t, "series"), Bands: rapid.SliceOfN(when, 0, 6).Draw(t, "bands")},
			Stages:  []metrics.StageView{{Index: rapid.IntRange(-1, 3).Draw(t, "index"), From: when.Draw(t, "from")}},
			Errors:  []metrics.ErrorView{{Class: metrics.Class(rapid.Uint8().Draw(t, "class")), Message: text.Draw(t, "message"), Example: text.Draw(t, "example"), Hint: text.Draw(t, "hint"), Series: rapid.SliceOfN(value, 0, 5).Draw(t, "errors")}},
			Sources: []metrics.SourceView{{Name: text.Draw(t, "source"), State: rapid.SampledFrom([]string{"running", "lost", "odd", "starting", "suspect", "refused"}).Draw(t, "source state"), Label: text.Draw(t, "label"), Reason: text.Draw(t, "reason"), Log: []string{text.Draw(t, "log")}, Step: rapid.SampledFrom([]string{"", "dial", "upload", "ready", "odd"}).Draw(t, "step"), Progress: value.Draw(t, "progress"), Starting: when.Draw(t, "starting"), Kind: rapid.SampledFrom([]string{"", "ssh"}).Draw(t, "source kind"), RTT: when.Draw(t, "rtt"), Clock: when.Draw(t, "clock"), Share: value.Draw(t, "source share"), Audit: metrics.Audit{CPU: value.Draw(t, "cpu"), Cores: value.Draw(t, "cores"), Files: rapid.Int().Draw(t, "files")}}},
			Verdict: metrics.Verdict{Health: metrics.Health(rapid.Uint8Range(0, 3).Draw(t, "health"))},
		}
		return v
	})
	keys := rapid.SampledFrom([]string{"1", "2", "3", "4", "5", "6", "7", "tab", "up", "down", "left", "right", "enter", "esc", "g", "G", "o", "[", "]", "?", "/", "space", "p", "P", "q", "n", "pgdown", "a", "x", "m", "backspace", "y"})
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(0, 260).Draw(t, "w"), rapid.IntRange(0, 80).Draw(t, "h")
		m := screen(w, h, view.Draw(t, "view"), theme.New(theme.Dark, colorprofile.TrueColor))
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			m.Update(press(keys.Draw(t, "key")))
			if rapid.IntRange(0, 4).Draw(t, "other") == 0 {
				m.Update(tea.MouseClickMsg{X: rapid.IntRange(-1, 270).Draw(t, "x"), Y: rapid.IntRange(-1, 90).Draw(t, "y"), Button: tea.MouseLeft})
				m.Update(tea.MouseWheelMsg{Button: tea.MouseWheelDown})
			}
			checkFrame(t, m.frame(), w, h)
		}
	})
}

func TestSentences(t *testing.T) {
	for state, want := range map[string]string{
		"starting": "Starting: nothing is due yet.",
		"bent":     "✗ p99 < 300ms does not hold since 1:02: it is 2765 ms.",
		"broken":   "✗ This machine is the limit, not the target: arrivals begin 41 ms after they are due",
		"ended":    "▲ Finished 12 s ago: ",
	} {
		if got := screen(120, 40, states()[state], theme.New(theme.Dark, colorprofile.ASCII)).overviewFoot().text; !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", state, got, want)
		}
	}
}

func TestNothingMoreComes(t *testing.T) {
	m := newModel(context.Background(), Options{Next: func(context.Context) (*conductor.View, error) { return nil, errors.New("closed") }})
	if _, ok := m.next().(silentMsg); !ok {
		t.Error("the end of the Views is not noticed")
	}
	if _, cmd := m.Update(silentMsg{}); cmd != nil {
		t.Error("asks for more Views after the last")
	}
}

func BenchmarkFrame(b *testing.B) {
	v := states()["bent"]
	for panel := range panelCount {
		b.Run(panelAt(panel).name, func(b *testing.B) {
			m := screen(120, 40, v, theme.New(theme.Dark, colorprofile.TrueColor))
			m.open(panel)
			m.settle()
			b.ReportAllocs()
			for b.Loop() {
				_ = m.frame()
			}
		})
	}
}
