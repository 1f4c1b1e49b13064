package tui

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
	"lt/tui/chart"
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

// wantFoot wants the panel's sentence to begin so.
func (p *pilot) wantFoot(want string) {
	p.t.Helper()
	lines := strings.Split(ansi.Strip(p.frame()), "\n")
	if got := lines[p.layout().foot]; !strings.HasPrefix(got, " "+want) {
		p.t.Errorf("the foot is %q, want %q", got, want)
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
	v := *states()["running"]
	v.State = conductor.Draining
	p = fly(t, "running")
	p.take(viewMsg{&v})
	p.press("ctrl+c").wantSent() // it drains already
	p.press("ctrl+c").wantSent(conductor.Now{})
	if p.take(viewMsg{states()["ended"]}); !p.quit {
		t.Error("did not leave at the end")
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
	if p.lists[panelSteps].filter != "" {
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
	p.press("left") // the whole run has no earlier part
	if p.until != 0 {
		t.Errorf("all of the run is shown until %v", p.until)
	}
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
			m.lists[panel].open = open && panelAt(panel).detail != nil
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
			Response: quant.Draw(t, "response"), Service: quant.Draw(t, "service"),
			Distribution: []metrics.Band{{Low: when.Draw(t, "low"), High: when.Draw(t, "high"), Count: rapid.Uint64().Draw(t, "n")}},
		}
	})
	point := rapid.Custom(func(t *rapid.T) metrics.Point {
		return metrics.Point{
			Offered: value.Draw(t, "offered"), Goodput: value.Draw(t, "goodput"), Errors: value.Draw(t, "errors"), P50: value.Draw(t, "p50"), P99: value.Draw(t, "p99"),
			P999: value.Draw(t, "p999"), Stage: rapid.Int16().Draw(t, "stage"), Gap: rapid.Bool().Draw(t, "gap"), Heat: metrics.Heat{First: rapid.IntRange(-1, 9).Draw(t, "first"), Counts: rapid.SliceOfN(rapid.Uint32(), 0, 6).Draw(t, "heat")},
		}
	})
	lines := rapid.SliceOfN(rapid.SliceOfN(rapid.Float32(), 0, 9), 0, 5)
	series := rapid.Custom(func(t *rapid.T) metrics.Series {
		return metrics.Series{
			Every: when.Draw(t, "every"), From: when.Draw(t, "series from"), Points: rapid.SliceOfN(point, 0, 12).Draw(t, "series"), P99: lines.Draw(t, "p99s"), Bands: rapid.SliceOfN(when, 0, 6).Draw(t, "bands"),
		}
	})
	view := rapid.Custom(func(t *rapid.T) *conductor.View {
		v := &conductor.View{
			State: conductor.State(rapid.Uint8Range(0, uint8(conductor.Ended)).Draw(t, "state")), Elapsed: when.Draw(t, "elapsed"), Clock: when.Draw(t, "clock"), Total: when.Draw(t, "total"),
			Stage: rapid.IntRange(-2, 4).Draw(t, "stage"), Factor: value.Draw(t, "factor"), EndedAgo: when.Draw(t, "ago"),
			Begun: rapid.Bool().Draw(t, "begun"), StartsIn: when.Draw(t, "starts in"),
			Run:     conductor.Header{Name: text.Draw(t, "name"), Target: text.Draw(t, "target")},
			Profile: load.Profile{Stages: []load.Stage{{Name: text.Draw(t, "first"), For: when.Draw(t, "for")}, {}}},
			SLOs:    []slo.Result{{Expr: text.Draw(t, "expr"), Text: text.Draw(t, "text"), Known: rapid.Bool().Draw(t, "known"), Fails: rapid.Bool().Draw(t, "fails"), Since: when.Draw(t, "since")}},
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
			Series:  series.Draw(t, "whole"),
			Recent:  series.Draw(t, "recent"),
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
		"bent":     "✗ p99 < 300ms does not hold since 1:02: it is 2574 ms.",
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

// A run makes a View for whoever waits when it is due, four times a second; the screen misses none of them.
func TestEveryViewIsDrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wanted atomic.Bool
		running := states()["running"]
		views, given := make(chan *conductor.View), 0
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+conductor.ViewEvery/2)
		defer cancel()
		go func() {
			for tick := time.NewTicker(conductor.ViewEvery); ; {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				if wanted.Swap(false) {
					views <- running
					given++
				}
			}
		}()
		next := func(ctx context.Context) (*conductor.View, error) {
			time.Sleep(time.Millisecond) // whatever the machine does before
			wanted.Store(true)
			select {
			case v := <-views:
				return v, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		keys, typed := io.Pipe()
		defer typed.Close()
		o := options(newSink(""), keys, next)
		o.FPS = 0
		_ = Run(ctx, o)
		time.Sleep(time.Second) // until the last of its timers is over
		synctest.Wait()
		if given != 40 {
			t.Errorf("%d of the 40 pictures in ten seconds were drawn", given)
		}
	})
}

// What the run did not do, and why, is said where the key was pressed.
func TestARefusalIsSaid(t *testing.T) {
	p := fly(t, "running").press("+")
	p.wantText("10 % more of all that follows.")
	v := *states()["running"]
	v.Events = append(slices.Clone(v.Events), conductor.Event{At: v.Elapsed, Kind: conductor.EventNote, Text: "not raised: max_rate is 500"})
	p.take(viewMsg{&v})
	p.wantText("not raised: max_rate is 500")
	v.Events = append(slices.Clone(v.Events), conductor.Event{At: v.Elapsed, Kind: conductor.EventNote, Text: "something else"})
	if p.take(viewMsg{&v}); strings.Contains(p.frame(), "something else") {
		t.Error("a note that answers nothing is said at the foot")
	}
}

// What the run does not take any more is refused before a line is written for it; of a run that never began there is no report.
func TestWhatComesTooLate(t *testing.T) {
	p := fly(t, "ended").press("m")
	p.wantFoot("The run has ended; only w, q")
	p.press("6", "a")
	p.wantFoot("The run has ended; only w, q")
	p.press("w").wantSent(conductor.Snapshot{})

	v := *startingFleet()
	p = fly(t, "running")
	p.take(viewMsg{&v})
	p.press("w").wantSent()
	p.wantFoot("There is nothing to write")
	ended := v
	ended.State, ended.Ended = conductor.Ended, conductor.Failed
	p.take(viewMsg{&ended})
	p.press("w").wantSent()
	p.wantFoot("There is nothing to write")
	p.press("m").wantSent()
	p.wantFoot("The run did not begin; only q")
}

// The line of keys has what means something: the way out of a frozen picture also at the end, and nothing of the load while what
// is in hand finishes.
func TestTheLineOfKeys(t *testing.T) {
	p := fly(t, "running").press("space")
	p.take(viewMsg{states()["ended"]})
	p.wantText("space go on")
	v := *states()["running"]
	v.State = conductor.Draining
	p = fly(t, "running")
	p.take(viewMsg{&v})
	if frame := ansi.Strip(p.frame()); strings.Contains(frame, "p hold") || strings.Contains(frame, "s stop") {
		t.Errorf("keys of the load while it drains:\n%s", frame)
	}
	p.wantText("[ ] window   w write   q quit")
	p.press("q")
	p.wantText("End now?")
	p.take(viewMsg{states()["ended"]})
	p.wantText("Quit? y yes")
}

// The help's own keys move it; what it hides stays as it is.
func TestHelpHidesItsPanel(t *testing.T) {
	p := fly(t, "bent").press("2", "?", "enter", "o", "/", "left", "?")
	if l := p.lists[panelSteps]; l.open || l.order != 0 || p.filtering || p.until != 0 {
		t.Errorf("%+v, filtering: %v, until %v", l, p.filtering, p.until)
	}
}

// The bar of the stage goes by the profile's own time: a load that is held does not come nearer to the stage's end.
func TestTheStageBarStandsStill(t *testing.T) {
	v := *states()["running"]
	v.State, v.Elapsed, v.Clock = conductor.Held, 100*time.Second, 40*time.Second
	if got := stageProgress(&v); got != 0.5 { // 30 s of its 60
		t.Errorf("%v of the stage are over", got)
	}
}

// How many criteria have no place is always said whole, whatever stands before it.
func TestTheRowOfCriteriaIsWhole(t *testing.T) {
	v := *states()["running"]
	for _, n := range []int{2, 3, 14} {
		for length := 1; length < 70; length++ {
			v.SLOs = nil
			for range n {
				v.SLOs = append(v.SLOs, slo.Result{Expr: strings.Repeat("x", length), Text: "1.00 ms", Known: true, OK: true})
			}
			m := screen(80, 24, &v, theme.New(theme.Dark, colorprofile.NoTTY))
			line := strings.Split(m.frame(), "\n")[m.layout().slos]
			shown := strings.Count(line, "✓")
			if more := fmt.Sprintf("  +%d more ", n-shown); shown == 0 || shown < n && !strings.Contains(line, more) {
				t.Errorf("%d of %d criteria of %d: %q", shown, n, length, line)
			}
		}
	}
}

// A criterion with a window that failed once and holds again is not said to fail.
func TestACriterionThatHoldsAgain(t *testing.T) {
	v := *states()["running"]
	v.SLOs = []slo.Result{{Expr: "p95 < 200ms over 10s", Text: "50.0 ms, worst 400 ms", Known: true, Since: 8 * time.Second, Window: 10 * time.Second}}
	v.Stage = 4 // of which there is nothing to compare yet
	p := fly(t, "running")
	p.take(viewMsg{&v})
	p.wantFoot("▲ p95 < 200ms over 10s holds again; it did not from 0:08 on: 50.0 ms, worst 400 ms.")
}

// A p99 of few answers stands with the interval in which it lies.
func TestAP99OfFewAnswersHasItsInterval(t *testing.T) {
	v := *states()["running"]
	s := *v.Snapshot
	v.Snapshot, v.Stage = &s, 4 // of which there is nothing to compare yet
	s.Window.Response = metrics.Quantiles{Count: 120, P50: 5 * time.Millisecond, P99: 40 * time.Millisecond, P99Low: 30 * time.Millisecond, P99High: 90 * time.Millisecond, Max: 95 * time.Millisecond}
	p := fly(t, "running")
	p.take(viewMsg{&v})
	p.wantFoot("Steady: goodput follows what is offered, p50 is 5.00 ms, p99 40.0 ms (30.0 ms to 90.0 ms, from 120 answers).")
	s.Window.Response.Max = 90 * time.Millisecond
	p.wantFoot("Steady: goodput follows what is offered, p50 is 5.00 ms, p99 40.0 ms (30.0 ms or more, from 120 answers).")
	s.Window.Response.Count = samplesP99
	p.wantFoot("Steady: goodput follows what is offered, p50 is 5.00 ms, p99 40.0 ms.")
}

// A criterion's lower bound is written as all others on the screen, in its place and in the sentence.
func TestALowerBoundOfACriterion(t *testing.T) {
	v := *states()["running"]
	v.SLOs = []slo.Result{{Expr: "p99 < 2s", Text: ">= 2.61 s", Known: true, Fails: true, Since: 55 * time.Second}}
	p := fly(t, "running")
	p.take(viewMsg{&v})
	p.wantFoot("✗ p99 < 2s does not hold since 0:55: it is ≥2.61 s.")
	p.wantText(" p99 < 2s  ≥2.61 s ✗ ")
}

// In the closed model nobody asks a source for arrivals.
func TestNoArrivalsAreAskedOfUsers(t *testing.T) {
	v := *labelledFleet()
	v.Run.Model = load.Closed
	for i := range v.Snapshot.Sources {
		v.Snapshot.Sources[i].Asked = 0
	}
	m := screen(120, 40, &v, theme.New(theme.Dark, colorprofile.NoTTY))
	m.open(panelPeers)
	m.settle()
	for _, row := range []string{"  eu ", "  ada "} {
		if !regexp.MustCompile(`(?m)^` + row + `.* % {8}– +[0-9.]+ `).MatchString(m.frame()) {
			t.Errorf("%q:\n%s", row, m.frame())
		}
	}
}

// A notice stays for a few seconds, however many Views come in them.
func TestNoticesGo(t *testing.T) {
	p := fly(t, "ended").press("p")
	p.wantText("The run has ended")
	for range 4 { // one a second after the end
		p.take(viewMsg{states()["ended"]})
	}
	if p.notice != "" {
		t.Errorf("%q still stands", p.notice)
	}
}

// Of events that are alike each can be selected.
func TestAlikeRowsCanBePassed(t *testing.T) {
	v := *states()["running"]
	same := conductor.Event{At: 9 * time.Second, Kind: conductor.EventNote, Text: "the same from two sources"}
	v.Events = []conductor.Event{{At: time.Second, Kind: conductor.EventStage, Text: "begins"}, same, same, {At: 10 * time.Second, Kind: conductor.EventUser, Text: "mark"}}
	p := fly(t, "running")
	p.take(viewMsg{&v})
	p.press("7", "down", "down", "down")
	if at := p.lists[panelEvents].selected; at != 3 {
		t.Errorf("after three steps down row %d is selected", at)
	}
}

// A detail scrolls to its end and no further, so that one step up is seen; each of them can be seen whole on a small screen.
func TestDetailsScroll(t *testing.T) {
	p := fly(t, "bent")
	p.take(tea.WindowSizeMsg{Width: 60, Height: 15})
	for panel, want := range map[string][2]string{
		"2": {"response time", "10 s"}, // the first figures, and the axis of the distribution
		"3": {"Service Unavailable", "queue full"},
		"6": {"cpu", "resolved shop.staging.internal"},
	} {
		p.press(panel, "enter")
		p.wantText(want[0])
		p.wantText("line 1 of")
		p.press("G")
		p.wantText(want[1])
		end := p.frame()
		if p.press("up"); p.frame() == end {
			t.Errorf("panel %s: one row up from the end shows the same", panel)
		}
		p.press("g", "esc")
	}
}

// A filter hides rows of its own panel only, and is seen as long as it does.
func TestFilterBelongsToItsPanel(t *testing.T) {
	p := fly(t, "bent").press("2", "/", "c", "a", "r", "t", "enter")
	p.wantFoot("/cart  ")
	if p.press("7"); len(p.events()) != len(p.view.Events) {
		t.Error("the filter of the steps hides events")
	}
	p.press("2")
	p.wantFoot("/cart  ")
	p.press("esc")
	p.wantFoot("▲ POST /checkout fails most")
}

// Whatever the figures are, none covers a label or loses a digit.
func TestFiguresStayInTheirPlace(t *testing.T) {
	v := *states()["running"]
	s := *v.Snapshot
	v.Snapshot = &s
	s.Window.OfferedRPS, s.Window.GoodputRPS, s.Window.ErrorRate = 123_456, 98_412, 0.9999
	s.Window.InFlight, s.Window.Users = 12_345, 100_000
	s.Window.Response.P50, s.Window.Response.P99, s.Window.Response.AtLeast, s.Window.Response.AtLeastFrom = 1000*time.Second, 1001*time.Second, true, 1001*time.Second
	for w, want := range map[int][]string{
		80:  {"offered  123k/s", "goodput 98.4k/s", "p50 16.7min", "p99 ≥16.7min", "errors   100%"},
		240: {"offered  123k/s", "goodput 98.4k/s", "response p50 16.7min", "p99 ≥16.7min", "errors   100 %", "in flight 12.3k", "users  100k"},
	} {
		m := screen(w, 24, &v, theme.New(theme.Dark, colorprofile.NoTTY))
		for _, text := range want {
			if line := strings.Split(m.frame(), "\n")[m.layout().figures]; !strings.Contains(line, text) {
				t.Errorf("%d columns: no %q in %q", w, text, line)
			}
		}
	}
}

// A percentile that dropped arrivals reach is only a lower bound, in the table of the curve, in its chart and in the sentences.
func TestLowerBoundsAreMarked(t *testing.T) {
	v := *states()["running"]
	s := *v.Snapshot
	v.Snapshot, v.Points = &s, slices.Clone(v.Points)
	last := &v.Points[len(v.Points)-1]
	last.P50, last.P99, last.Dropped, last.DroppedFrom = 20*time.Millisecond, 1234*time.Millisecond, 7, time.Second
	m := screen(120, 40, &v, theme.New(theme.Dark, colorprofile.NoTTY))
	m.open(panelKnee)
	m.settle()
	rows := regexp.MustCompile(`(?m)^.* 20\.0 ms +≥1\.23 s .*$`)
	if frame := m.frame(); len(rows.FindAllString(frame, -1)) != 1 || strings.Count(frame, "≥") != 1 || strings.Count(frame, "↑") != 2 || !strings.Contains(frame, "↑ or more") {
		t.Errorf("p99 of the newest point is a lower bound, its p50 and the other points are not:\n%s", frame)
	}
	last.DroppedFrom = time.Millisecond
	if frame := m.frame(); strings.Count(frame, "≥") != 2 || !strings.Contains(frame, "20.0 ms or more") {
		t.Errorf("both are lower bounds:\n%s", frame)
	}

	for i := range s.Steps {
		s.Steps[i].Response.AtLeast, s.Steps[i].Response.AtLeastFrom = true, time.Millisecond
	}
	s.Window.Response.AtLeast, s.Window.Response.AtLeastFrom = true, s.Window.Response.P99
	for panel, want := range map[int]string{panelSteps: "p99 ≥", panelHeatmap: "takes longer than " + chart.Duration(s.Window.Response.P99)} {
		m.open(panel)
		m.settle()
		lines := strings.Split(m.frame(), "\n")
		if foot := lines[m.layout().foot]; !strings.Contains(foot, want) {
			t.Errorf("panel %d: no %q in %q", panel+1, want, foot)
		}
	}
}

// At the least width the row of panels and the last key fit.
func TestNarrowRowsFit(t *testing.T) {
	for state, v := range states() {
		for panel := range panelCount {
			m := screen(leastWidth, leastHeight, v, theme.New(theme.Dark, colorprofile.NoTTY))
			m.open(panel)
			m.settle()
			if last := tabs(panel, leastWidth, m.errorCount())[panelCount-1]; last.x+last.w > leastWidth {
				t.Errorf("%s, panel %d: the panels end in column %d", state, panel+1, last.x+last.w)
			}
			lines := strings.Split(m.frame(), "\n")
			if keys := lines[len(lines)-1]; !strings.Contains(keys, "q quit   ? help") {
				t.Errorf("%s, panel %d: the keys are %q", state, panel+1, keys)
			}
		}
	}
}

// On a terminal that is too small a question is asked all the same.
func TestSmallScreenAsks(t *testing.T) {
	p := fly(t, "running")
	p.take(tea.WindowSizeMsg{Width: 59, Height: 14})
	p.press("q")
	p.wantText("Stop the run and quit?")
}

// A ramp is always ahead of its answers; a target that is behind is one that is behind what was offered a response time ago.
func TestARampIsNotBehind(t *testing.T) {
	v := *states()["running"]
	s := *v.Snapshot
	v.Snapshot = &s
	s.Series.Points = nil
	for i := range 20 { // 10 more each second, answered after two seconds
		s.Series.Points = append(s.Series.Points, metrics.Point{Offered: float64(10 * i), Goodput: float64(max(0, 10*i-20)), P50: 2000, Stage: 1})
	}
	s.Recent = s.Series
	s.Window.Length, s.Window.OfferedRPS, s.Window.GoodputRPS = 10*time.Second, 145, 125
	m := screen(120, 40, &v, theme.New(theme.Dark, colorprofile.ASCII))
	if r := m.overviewFoot(); strings.Contains(r.text, "Goodput is") {
		t.Errorf("%q", r.text)
	}
	s.Window.GoodputRPS = 100
	if r := m.overviewFoot(); !strings.HasPrefix(r.text, "▲ Goodput is 100/s, 31.0 % less than the 145/s") {
		t.Errorf("%q", r.text)
	}
	s.Window.Length = time.Second
	if r := m.overviewFoot(); strings.Contains(r.text, "Goodput is") {
		t.Errorf("after a second: %q", r.text)
	}
}

// Errors that no total counts are not denied.
func TestErrorsOutsideOfTheTotals(t *testing.T) {
	v := *states()["running"]
	s := *v.Snapshot
	v.Snapshot = &s
	s.Errors = []metrics.ErrorView{{Class: metrics.Status, Status: 401, Step: metrics.StepName{Scenario: "buyer", Step: "login", Kind: metrics.KindSetup}, Count: 9}}
	m := screen(120, 40, &v, theme.New(theme.Dark, colorprofile.ASCII))
	m.open(panelErrors)
	if got := m.errorsFoot().text; !strings.HasPrefix(got, "▲ status 401 at login, and none in what is counted") {
		t.Errorf("%q", got)
	}
	s.Totals, s.Window.Response, s.Window.ErrorRate, s.Window.OfferedRPS = metrics.Totals{}, metrics.Quantiles{}, 0, 0
	if got := m.overviewFoot().text; !strings.HasPrefix(got, "✗ Nothing was answered in the last 10 s; the most frequent error: status 401 at login.") {
		t.Errorf("%q", got)
	}
}

// Steps of two scenarios that have one name are told apart where they stand beside each other.
func TestStepsOfOneName(t *testing.T) {
	v := *states()["running"]
	s := *v.Snapshot
	v.Snapshot = &s
	s.Errors = nil
	for _, name := range []metrics.StepName{{Scenario: "buyer", Step: "GET /"}, {Scenario: "browser", Step: "GET /"}, {Scenario: "buyer", Step: "product"}} {
		s.Errors = append(s.Errors, metrics.ErrorView{Class: metrics.Status, Status: 503, Step: name, Count: 9})
	}
	s.Totals.Errors = 27
	m := screen(120, 40, &v, theme.New(theme.Dark, colorprofile.ASCII))
	m.open(panelErrors)
	p := &pilot{model: m, t: t}
	for _, want := range []string{"GET / · buyer ", "GET / · browser ", "product  ", "the most frequent: status 503 at GET / · buyer"} {
		p.wantText(want) // one that only one scenario has needs no more
	}
}

// A criterion that was never judged has failed at the end, as in the report.
func TestUnjudgedCriteriaFail(t *testing.T) {
	v := *states()["ended"]
	v.SLOs = []slo.Result{{Expr: "p99 < 300ms", OK: true}}
	m := screen(120, 40, &v, theme.New(theme.Dark, colorprofile.ASCII))
	p := &pilot{model: m, t: t}
	p.wantText("no SLO held")
	p.wantText("p99 < 300ms        – ✗")
}

// Steps that have ended in the warm-up are not said not to have ended.
func TestSlowestStepsInTheWarmUp(t *testing.T) {
	v := *states()["running"]
	s := *v.Snapshot
	v.Snapshot, s.Steps = &s, slices.Clone(s.Steps)
	for i := range s.Steps {
		s.Steps[i].Response = metrics.Quantiles{}
	}
	for _, rate := range []float64{20, 0} {
		for i := range s.Steps {
			s.Steps[i].WindowRPS = rate
		}
		frame := ansi.Strip(screen(80, 24, &v, theme.New(theme.Dark, colorprofile.ASCII)).frame())
		wide := ansi.Strip(screen(120, 40, &v, theme.New(theme.Dark, colorprofile.ASCII)).frame())
		if want := "none yet: the warm-up is not counted"; strings.Contains(wide, want) != (rate > 0) || strings.Contains(frame+wide, "no step has ended yet") != (rate == 0) {
			t.Errorf("at %v/s:\n%s", rate, wide)
		}
	}
}

// After hours the whole run has long points; a short window within the newest minutes shows seconds all the same.
func TestShortWindowsShowSeconds(t *testing.T) {
	v := *states()["running"]
	s := *v.Snapshot
	v.Snapshot = &s
	s.Series = metrics.Series{Every: 8 * time.Second, Points: make([]metrics.Point, 450), Bands: s.Series.Bands}
	s.Recent = metrics.Series{Every: time.Second, From: 3000 * time.Second, Points: make([]metrics.Point, 600), Bands: s.Series.Bands}
	for i := range s.Series.Points {
		s.Series.Points[i].Goodput = 100
	}
	for i := range s.Recent.Points {
		s.Recent.Points[i].Goodput = 100
	}
	s.Recent.Points[595].Goodput = 5000 // at 59:55
	m := screen(120, 40, &v, theme.New(theme.Dark, colorprofile.ASCII))
	const all = 4
	for _, c := range []struct {
		window int
		until  time.Duration
		recent bool
		shown  span
	}{
		{0, 0, true, span{3590 * time.Second, time.Hour}},
		{3, 0, true, span{3300 * time.Second, time.Hour}},
		{3, 3300*time.Second + 500*time.Millisecond, true, span{3000 * time.Second, 3300 * time.Second}},
		{3, 3299 * time.Second, false, span{2996 * time.Second, 3296 * time.Second}},
		{0, 1000 * time.Second, false, span{990 * time.Second, 1000 * time.Second}},
		{all, 0, false, span{0, time.Hour}},
	} {
		m.window, m.until = c.window, c.until
		if got := m.series() == &s.Recent; got != c.recent || m.span() != c.shown {
			t.Errorf("window %v up to %v: seconds %v, %v", windows[c.window], c.until, got, m.span())
		}
		from, to := m.within(m.series())
		if n, want := to-from, int((c.shown.to-c.shown.from)/m.series().Every); n != want && n != want+1 {
			t.Errorf("window %v up to %v: %d points, want %d", windows[c.window], c.until, n, want)
		}
	}
	m.window, m.until = 0, 0
	if chart := m.throughput(); slices.Max(chart.Series[len(chart.Series)-1].Values) != 5000 || chart.Start != 3000*time.Second {
		t.Errorf("a second of ten is not on the chart: %+v", chart)
	}
}
