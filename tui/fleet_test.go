package tui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"lt/engine/conductor"
	"lt/engine/metrics"
	"lt/tui/theme"
)

const hostKeyPrompt = `The authenticity of host '[10.0.0.7]:2222 ([10.0.0.7]:2222)' can't be established.
ED25519 key fingerprint is SHA256:zUyF0yVqVv3H1jv2c8b2m9bJ8m3dH2m0Q8q1yWw6s2k.
This key is not known by any other names.
Are you sure you want to continue connecting (yes/no/[fingerprint])?`

// startingFleet is a run whose five sources are at different steps of their start, and one of which has failed.
func startingFleet() *conductor.View {
	v := newFeed().snapshot(0)
	v.Snapshot.Sources = []metrics.SourceView{
		{Name: "local", Kind: "local", State: "starting", Step: "ready", Starting: 200 * time.Millisecond, Weight: 2, LostAt: -1},
		{Name: "ada", Kind: "ssh", State: "starting", Step: "armed", Starting: 1400 * time.Millisecond, Weight: 4, LostAt: -1, Log: []string{"lt 1.4.0 on linux/amd64, 4 cores, 8 GiB"}},
		{Name: "bob@10.0.0.7:2222", Kind: "ssh", State: "starting", Step: "dial", Starting: 4200 * time.Millisecond, Weight: 2, LostAt: -1},
		{Name: "carol", Kind: "ssh", State: "starting", Step: "upload", Progress: 0.43, Starting: 4200 * time.Millisecond, Weight: 1, LostAt: -1, Log: []string{"Linux aarch64, /home/carol/.cache", "sending 9.1 MB"}},
		{
			Name: "dave", Kind: "ssh", State: "refused", Step: "dial", Starting: 2100 * time.Millisecond, Weight: 1, LostAt: -1,
			Reason: "dial: ssh: connect to host dave port 22: Connection refused\ntry: ssh dave true, and see whether sshd runs there",
			Log:    []string{"ssh: connect to host dave port 22: Connection refused"},
		},
	}
	return v
}

// runningFleet is a run with a suspect and a lost source, and one that joins.
func runningFleet() *conductor.View {
	f := newFeed()
	for range 64 {
		f.second()
	}
	v := f.snapshot(64200 * time.Millisecond)
	s := v.Snapshot
	local := s.Sources[0]
	local.Name, local.Share, local.Asked, local.Done = "local", 0.25, local.Asked/4, local.Done/4
	remote := func(name, state string, share float64, k float64) metrics.SourceView {
		r := local
		r.Name, r.Kind, r.State, r.Share = name, "ssh", state, share
		r.Asked, r.Done = s.Window.OfferedRPS/3*share, s.Window.OfferedRPS/3*share*k
		r.RTT, r.Clock, r.ClockBound, r.StartSkew = 23*time.Millisecond, 3170*time.Millisecond, 1200*time.Microsecond, 2*time.Millisecond
		r.Age, r.Log = 400*time.Millisecond, []string{"lt 1.4.0 on linux/amd64, 4 cores, 8 GiB", "armed: begins in 2 s"}
		return r
	}
	ada, bob, carol := remote("ada", "running", 0.5, 1), remote("bob@10.0.0.7:2222", "suspect", 0.25, 0.4), remote("carol", "lost", 0, 0)
	bob.Age = 3400 * time.Millisecond
	carol.LostAt, carol.Reason, carol.Age = 41*time.Second, "silent for 6 s: the link is broken or the machine is gone\nits share went to ada and local at 0:57", 23*time.Second
	erin := metrics.SourceView{Name: "erin", Kind: "ssh", State: "starting", Step: "upload", Progress: 0.8, Starting: 3 * time.Second, LostAt: -1, Log: []string{"Linux x86_64, /home/erin/.cache", "sending 9.1 MB"}}
	s.Sources = []metrics.SourceView{local, ada, bob, carol, erin}
	v.Events = append(v.Events,
		conductor.Event{At: 41 * time.Second, Kind: conductor.EventSource, Text: "carol is lost: silent for 6 s"},
		conductor.Event{At: 57 * time.Second, Kind: conductor.EventSource, Text: "carol's share went to ada and local; 1,204 arrivals were not sent meanwhile"})
	return v
}

// manyFleet is a run of 64 sources.
func manyFleet() *conductor.View {
	v := runningFleet()
	ada := v.Snapshot.Sources[1]
	v.Snapshot.Sources = v.Snapshot.Sources[:1]
	for i := range 63 {
		s := ada
		s.Name, s.Share = fmt.Sprintf("node-%02d", i+1), 1.0/64
		s.Asked, s.Done = ada.Asked/32, ada.Done/32
		v.Snapshot.Sources = append(v.Snapshot.Sources, s)
	}
	v.Snapshot.Sources[20].State = "suspect"
	return v
}

// labelledFleet is a run whose sources stand in two places.
func labelledFleet() *conductor.View {
	v := runningFleet()
	for i, label := range []string{"", "eu", "us", "eu", "us"} {
		v.Snapshot.Sources[i].Label = label
	}
	return v
}

func asking(v *conductor.View, p ...metrics.Prompt) *conductor.View {
	v.Prompts = p
	return v
}

// The frames of the fleet: its start, its questions, and a run in which something happens to it.
func TestFleetFrames(t *testing.T) {
	password := metrics.Prompt{ID: 7, Source: "bob@10.0.0.7:2222", Text: "bob@10.0.0.7's password: ", Secret: true, Left: 47 * time.Second}
	hostKey := metrics.Prompt{ID: 8, Source: "bob@10.0.0.7:2222", Text: hostKeyPrompt, Choice: true, Left: 58 * time.Second}
	failed := startingFleet()
	failed.State, failed.Ended, failed.EndedAgo = conductor.Ended, conductor.Failed, 3*time.Second
	armed := startingFleet()
	armed.Begun, armed.StartsIn = true, 1500*time.Millisecond
	armed.Snapshot.Sources = armed.Snapshot.Sources[:2]
	for name, c := range map[string]struct {
		view   *conductor.View
		change func(*model)
	}{
		"fleet_starting": {startingFleet(), nil},
		"fleet_armed":    {armed, nil},
		"fleet_failed":   {failed, nil},
		"fleet_reason":   {startingFleet(), func(m *model) { m.move(4); m.lists[panelPeers].open = true }},
		"fleet_password": {asking(startingFleet(), password, hostKey), func(m *model) { m.prompt = answer{id: 7, text: "hunter2"} }},
		"fleet_hostkey":  {asking(startingFleet(), hostKey), func(m *model) { m.prompt = answer{id: 8, note: "Type yes or no."} }},
		"fleet_running":  {runningFleet(), func(m *model) { m.move(2) }},
		"fleet_lost":     {runningFleet(), func(m *model) { m.move(3); m.lists[panelPeers].open = true }},
		"fleet_many":     {manyFleet(), func(m *model) { m.move(50) }},
		"fleet_labels":   {labelledFleet(), nil},
		"fleet_add":      {runningFleet(), func(m *model) { m.entry = entry{entryAdd, "frank@10.0.0.9"} }},
		"fleet_drain":    {runningFleet(), func(m *model) { m.ask, m.drain = askDrain, "ada" }},
		"fleet_overview": {runningFleet(), func(m *model) { m.open(panelOverview) }},
	} {
		for _, va := range []struct {
			w, h int
			th   *theme.Theme
			name string
		}{
			{120, 40, theme.New(theme.Dark, colorprofile.TrueColor), "dark"},
			{80, 24, theme.New(theme.Dark, colorprofile.ASCII), "nocolor"},
			{240, 70, theme.New(theme.Light, colorprofile.ANSI256), "light"},
			{60, 15, theme.New(theme.Dark, colorprofile.ASCII), "nocolor"},
		} {
			file := fmt.Sprintf("%s_%dx%d_%s", name, va.w, va.h, va.name)
			t.Run(file, func(t *testing.T) {
				m := screen(va.w, va.h, c.view, va.th)
				m.open(panelPeers)
				m.settle()
				if c.change != nil {
					c.change(m)
				}
				m.settle()
				frame := m.frame()
				checkFrame(t, frame, va.w, va.h)
				if strings.Contains(frame, "hunter2") {
					t.Error("the password is on the screen")
				}
				golden(t, file, frame+"\n")
			})
		}
	}
}

// aboard is a pilot of a View of the fleet.
func aboard(t *testing.T, v *conductor.View) *pilot {
	p := fly(t, "running")
	p.take(viewMsg{v})
	return p
}

// The panel of the peers is shown while they start, and the overview when the run begins, unless the user chose a panel.
func TestStartShowsThePeers(t *testing.T) {
	p := &pilot{t: t, model: newModel(t.Context(), Options{NoColor: true})}
	p.w, p.h = 120, 40
	p.take(viewMsg{startingFleet()})
	if p.panel != panelPeers {
		t.Fatalf("panel %d is shown while the peers start", p.panel+1)
	}
	p.take(viewMsg{runningFleet()})
	if p.panel != panelOverview {
		t.Errorf("panel %d is shown when the run begins", p.panel+1)
	}
	p = &pilot{t: t, model: newModel(t.Context(), Options{NoColor: true})}
	p.w, p.h = 120, 40
	p.take(viewMsg{startingFleet()})
	p.press("7")
	p.take(viewMsg{startingFleet()})
	p.take(viewMsg{runningFleet()})
	if p.panel != panelEvents {
		t.Errorf("panel %d is shown, the user chose 7", p.panel+1)
	}
	p = &pilot{t: t, model: newModel(t.Context(), Options{NoColor: true})}
	p.w, p.h = 120, 40
	local := newFeed().snapshot(0)
	p.take(viewMsg{local})
	if p.panel != panelOverview {
		t.Errorf("panel %d is shown at the start of a run without peers", p.panel+1)
	}
}

// Before the run begins nothing but its end, its peers and their questions can be told.
func TestCommandsBeforeTheStart(t *testing.T) {
	p := aboard(t, startingFleet())
	p.press("p", "+", "n", "P").wantSent()
	p.wantText("The run has not begun yet: its sources start.")
	p.press("6", "x", "y").wantSent() // there is no share to give before
	p.wantText("The run has not begun yet: no source")
	p.press("s").wantSent(conductor.Stop{})
	p.sent = nil
	p.press("q")
	p.wantText("Call the start off and quit?")
	p.press("y").wantSent(conductor.Stop{})
}

// A secret is typed unseen and sent once; keys that mean something elsewhere are part of it.
func TestSecretPrompt(t *testing.T) {
	v := asking(startingFleet(), metrics.Prompt{ID: 3, Source: "ada", Text: "password: ", Secret: true, Left: time.Minute})
	p := aboard(t, v)
	p.press("q", "s", "1", "y", "backspace")
	if frame := p.frame(); strings.Contains(frame, "qs1") || !strings.Contains(frame, "•••") {
		t.Errorf("the secret is not masked:\n%s", frame)
	}
	p.press("enter").wantSent(conductor.Answer{ID: 3, Text: "qs1", OK: true})
	p.sent = nil
	p.take(viewMsg{v}) // not taken back yet
	p.press("3").wantSent()
	if p.panel != panelSteps+1 {
		t.Errorf("panel %d: the prompt still takes the keys after its answer", p.panel+1)
	}
	p.take(viewMsg{asking(startingFleet(), metrics.Prompt{ID: 4, Source: "bob", Text: "password: ", Secret: true})})
	if p.asked() == nil || p.prompt.text != "" {
		t.Error("the next prompt is not asked, or begins with the answer to the one before")
	}
	p.press("a", "esc").wantSent(conductor.Answer{ID: 4})
}

// A stranger's host is trusted by the word yes alone.
func TestHostKeyPrompt(t *testing.T) {
	v := asking(startingFleet(), metrics.Prompt{ID: 5, Source: "bob", Text: hostKeyPrompt, Choice: true})
	for keys, want := range map[string][]conductor.Command{
		"enter":             nil,
		"y enter":           nil,
		"q y enter":         nil,
		"y e s enter":       {conductor.Answer{ID: 5, Text: "yes", OK: true}},
		"Y E S enter":       {conductor.Answer{ID: 5, Text: "yes", OK: true}},
		"n o enter":         {conductor.Answer{ID: 5}},
		"n enter":           {conductor.Answer{ID: 5}},
		"y e s esc":         {conductor.Answer{ID: 5}},
		"x enter n o enter": {conductor.Answer{ID: 5}},
	} {
		p := aboard(t, v)
		p.press(strings.Fields(keys)...).wantSent(want...)
	}
}

// ctrl+c gets through a prompt, and a prompt gets through a frozen picture.
func TestPromptAboveAll(t *testing.T) {
	p := aboard(t, runningFleet()).press("space")
	p.take(viewMsg{asking(runningFleet(), metrics.Prompt{ID: 6, Source: "erin", Text: "Enter passphrase for key: ", Secret: true})})
	p.wantText("Enter passphrase for key:")
	p.press("ctrl+c").wantSent(conductor.Stop{})
}

func TestAddAndDrain(t *testing.T) {
	p := aboard(t, runningFleet())
	p.press("a", "x").wantSent() // they mean nothing outside of panel 6
	p.press("6", "a", "e", "v", "e", "enter").wantSent(conductor.Add{Spec: "eve"})
	p.sent = nil
	p.press("a", "enter", "a", "z", "esc").wantSent()
	p.press("g", "down", "x")
	p.wantText("Drain ada?")
	p.press("n").wantSent()
	p.press("x", "y").wantSent(conductor.Drain{Name: "ada"})
	p.sent = nil
	p.press("down", "down", "x", "y").wantSent()
	p.wantText("carol is lost and has no share to give")
}

// Rows of a label stand below it, and its own row cannot be selected.
func TestLabelsGroup(t *testing.T) {
	p := aboard(t, labelledFleet()).press("6", "g")
	want := []string{"", "source local", "", "source ada", "source carol", "", "source bob@10.0.0.7:2222", "source erin"}
	if got := p.peerKeys(); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("rows %q, want %q", got, want)
	}
	p.press("down")
	if p.lists[panelPeers].key != "source ada" {
		t.Errorf("%q is selected", p.lists[panelPeers].key)
	}
}

// What the screen costs with many sources, at four frames a second, stands in docs; the benchmark is how it was measured.
func BenchmarkManySources(b *testing.B) {
	m := screen(120, 40, manyFleet(), theme.New(theme.Dark, colorprofile.TrueColor))
	m.open(panelPeers)
	m.settle()
	b.ReportAllocs()
	for b.Loop() {
		_ = m.frame()
	}
}

// A secret is sent as it was pasted, without the line break that came with it: it may hold what the screen does not draw.
func TestPastedSecret(t *testing.T) {
	v := asking(startingFleet(), metrics.Prompt{ID: 3, Source: "ada", Text: "password: ", Secret: true, Left: time.Minute})
	p := aboard(t, v)
	p.take(tea.PasteMsg{Content: "gru\u0308\u00a0\u200d\x1b[x\r\n"})
	p.press("!", "enter").wantSent(conductor.Answer{ID: 3, Text: "gru\u0308\u00a0\u200d[x!", OK: true})
}

// An enter or a line that was meant for the screen is no answer.
func TestPromptTakesNothingMeantForTheScreen(t *testing.T) {
	v := asking(runningFleet(), metrics.Prompt{ID: 3, Source: "erin", Text: "password: ", Secret: true, Left: time.Minute})
	p := aboard(t, v).press("enter")
	p.wantSent()
	p.wantText("Type the answer first")
	p = aboard(t, runningFleet()).press("m", "v")
	p.take(viewMsg{v})
	p.wantText("a peer asks something: enter or esc first")
	p.press("2", "enter").wantSent(conductor.Mark{Text: "v2"})
	p.wantText("password:")

	p = aboard(t, runningFleet()).press("q")
	p.take(viewMsg{v})
	p.wantText("a peer asks something: y or n first")
	p.press("y").wantSent(conductor.Stop{})
	p.wantText("password:")
	if p.prompt.text != "" {
		t.Errorf("%q was typed into it", p.prompt.text)
	}
}
