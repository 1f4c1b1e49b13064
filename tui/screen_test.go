package tui

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"lt/engine/conductor"
	"lt/engine/metrics"
	"lt/tui/theme"
)

var update = flag.Bool("update", false, "write the golden frames anew")

func screen(w, h int, v *conductor.View, th *theme.Theme) *model {
	m := newModel(context.Background(), Options{})
	m.w, m.h, m.view, m.newest, m.theme = w, h, v, v, th
	m.settle()
	return m
}

func checkFrame(t interface {
	Helper()
	Fatalf(string, ...any)
}, frame string, w, h int,
) {
	t.Helper()
	lines := strings.Split(frame, "\n")
	if h > 0 && len(lines) != h {
		t.Fatalf("%d lines, want %d", len(lines), h)
	}
	for i, l := range lines {
		if got := ansi.StringWidth(l); got != w && h > 0 {
			t.Fatalf("line %d is %d cells wide, want %d: %q", i, got, w, l)
		}
	}
}

// The golden frames: every panel in every state at 120x40, and a selection of sizes and themes.
func TestFrames(t *testing.T) {
	themes := map[string]*theme.Theme{
		"dark":    theme.New(theme.Dark, colorprofile.TrueColor),
		"light":   theme.New(theme.Light, colorprofile.TrueColor),
		"nocolor": theme.New(theme.Dark, colorprofile.ASCII),
	}
	type variant struct {
		w, h  int
		theme string
	}
	for state, v := range states() {
		variants := []variant{{120, 40, "nocolor"}, {80, 24, "nocolor"}}
		switch state {
		case "bent":
			variants = []variant{{120, 40, "dark"}, {80, 24, "dark"}, {80, 24, "light"}, {240, 70, "dark"}, {60, 15, "nocolor"}, {40, 10, "nocolor"}}
		case "broken":
			variants = append(variants, variant{240, 70, "nocolor"}, variant{120, 40, "light"})
		}
		for _, va := range variants {
			for panel := range panelCount {
				if va.w < leastWidth && panel > 0 {
					continue
				}
				name := fmt.Sprintf("%s_%d_%dx%d_%s", state, panel+1, va.w, va.h, va.theme)
				t.Run(name, func(t *testing.T) {
					m := screen(va.w, va.h, v, themes[va.theme])
					m.open(panel)
					m.settle()
					frame := m.frame()
					checkFrame(t, frame, va.w, va.h)
					golden(t, name, frame+"\n")
				})
			}
		}
	}
	for name, change := range map[string]func(*model){
		"step":         func(m *model) { m.open(panelSteps); m.settle(); m.move(3); m.lists[panelSteps].open = true },
		"error":        func(m *model) { m.open(panelErrors); m.settle(); m.lists[panelErrors].open = true },
		"help":         func(m *model) { m.help = true },
		"ask":          func(m *model) { m.ask = askQuit },
		"filter":       func(m *model) { m.open(panelSteps); m.filtering, m.lists[panelSteps].filter = true, "cart" },
		"difference":   func(m *model) { m.open(panelHeatmap); m.lists[panelHeatmap].order = 1 },
		"all":          func(m *model) { m.window = len(windows) - 1 },
		"frozen_shift": func(m *model) { m.frozen = true; m.shift(-1) },
	} {
		for _, size := range [][2]int{{120, 40}, {80, 24}} {
			file := fmt.Sprintf("%s_%dx%d", name, size[0], size[1])
			t.Run(file, func(t *testing.T) {
				m := screen(size[0], size[1], states()["bent"], themes["dark"])
				change(m)
				m.settle()
				frame := m.frame()
				checkFrame(t, frame, size[0], size[1])
				golden(t, file, frame+"\n")
			})
		}
	}
}

// On a terminal without braille every cell is one ASCII character, and every sign of the screen's own has one.
func TestASCII(t *testing.T) {
	all := states()
	all["fleet_starting"], all["fleet_running"] = startingFleet(), runningFleet()
	all["prompt"] = asking(startingFleet(), metrics.Prompt{Source: "bob", Text: hostKeyPrompt, Choice: true})
	th := theme.New(theme.Dark, colorprofile.TrueColor).InASCII(true)
	for state, v := range all {
		for _, size := range [][2]int{{80, 24}, {200, 50}} {
			for panel := range panelCount {
				for _, open := range []bool{false, true} {
					m := screen(size[0], size[1], v, th)
					m.open(panel)
					m.settle()
					m.lists[panel].open = open && panelAt(panel).detail != nil
					frame := m.frame()
					checkFrame(t, frame, size[0], size[1])
					for i, r := range frame {
						if r > 0x7e {
							t.Fatalf("%s, panel %d: %q is not ASCII: …%s", state, panel+1, r, frame[max(0, i-40):i])
						}
					}
					m.theme = m.theme.InASCII(false)
					if text := ansi.Strip(frame); strings.Count(text, "?") != strings.Count(m.frame(), "?") {
						t.Errorf("%s, panel %d: signs without a character in ASCII:\n%s", state, panel+1, text)
					}
				}
			}
		}
	}
	for name, v := range map[string]*conductor.View{"ascii_overview": all["bent"], "ascii_peers": all["fleet_running"], "ascii_heatmap": all["bent"]} {
		m := screen(120, 40, v, theme.New(theme.Dark, colorprofile.ASCII).InASCII(true))
		m.open(map[string]int{"ascii_overview": panelOverview, "ascii_peers": panelPeers, "ascii_heatmap": panelHeatmap}[name])
		m.settle()
		golden(t, name, m.frame()+"\n")
	}
	wide := screen(80, 24, all["running"], th)
	wide.say("日本語 grüße")
	checkFrame(t, wide.frame(), 80, 24)
}

func TestASCIIByEnvironment(t *testing.T) {
	for _, c := range []struct {
		env  string
		want bool
	}{
		{"", false},
		{"TERM=linux LANG=en_US.UTF-8", true},
		{"TERM=linux LT_ASCII=0", false},
		{"TERM=xterm LT_ASCII=1 LANG=en_US.UTF-8", true},
		{"LANG=C", true},
		{"LANG=C.utf8", false},
		{"LC_ALL=POSIX LANG=de_DE.UTF-8", true},
		{"LC_CTYPE=de_DE.UTF-8 LANG=C", false},
		{"LANG=de_DE.ISO-8859-1", true},
	} {
		env := map[string]string{}
		for _, kv := range strings.Fields(c.env) {
			k, v, _ := strings.Cut(kv, "=")
			env[k] = v
		}
		if got := ASCII(func(k string) string { return env[k] }); got != c.want {
			t.Errorf("%q: %t, want %t", c.env, got, c.want)
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("differs from %s (-update writes it anew):\n%s", path, d)
	}
}
