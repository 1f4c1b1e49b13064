package theme

import (
	"image/color"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/charmbracelet/colorprofile"
)

func TestColoursGoAndAttributesStay(t *testing.T) {
	for _, mode := range []Mode{Dark, Light} {
		none := New(mode, colorprofile.ASCII)
		for s := range tokens {
			if p := none.Prefix(s); p != "" {
				t.Errorf("%v: token %d without colours has %q", mode, s, p)
			}
			if p := none.Prefix(s | Bold); p != "\x1b[1m" {
				t.Errorf("%v: bold token %d without colours has %q", mode, s, p)
			}
			if p := none.Prefix(s | Reverse); p != "\x1b[7m" {
				t.Errorf("%v: reverse token %d without colours has %q", mode, s, p)
			}
		}
		if p := New(mode, colorprofile.NoTTY).Prefix(Bad | Bold); p != "" {
			t.Errorf("%v: no terminal, but %q", mode, p)
		}
	}
}

func TestEachProfileSpeaksItsOwnSequences(t *testing.T) {
	for _, c := range []struct {
		profile colorprofile.Profile
		want    string
	}{
		{colorprofile.TrueColor, "\x1b[38;2;"},
		{colorprofile.ANSI256, "\x1b[38;5;"},
		{colorprofile.ANSI, "\x1b[96m"},
	} {
		if p := New(Dark, c.profile).Prefix(Accent); !strings.HasPrefix(p, c.want) {
			t.Errorf("%v: accent is %q, want a prefix of %q", c.profile, p, c.want)
		}
	}
}

func TestOnlyHeatSetsABackground(t *testing.T) {
	for _, mode := range []Mode{Dark, Light} {
		th := New(mode, colorprofile.TrueColor)
		for s := range tokens {
			if p := th.Prefix(s); strings.Contains(p, "48;") {
				t.Errorf("%v: token %d sets a background: %q", mode, s, p)
			}
		}
		if p := th.Prefix(Heat(5, 0)); strings.Contains(p, "48;") {
			t.Errorf("%v: an empty lower half sets a background: %q", mode, p)
		}
		if p := th.Prefix(Heat(5, 7)); !strings.Contains(p, "48;") || !strings.Contains(p, "38;") {
			t.Errorf("%v: a full heat cell is %q", mode, p)
		}
	}
}

func TestEveryStyleHasAPrefix(t *testing.T) {
	th := New(Dark, colorprofile.TrueColor)
	for s := range math.MaxUint16 + 1 {
		th.Prefix(Style(s))
	}
	if th.Prefix(Heat(-3, 99)) != th.Prefix(Heat(0, HeatLevels)) {
		t.Error("shades outside the ramp are not clamped")
	}
}

// Text must be readable on both usual backgrounds: WCAG asks 4.5 for text and 3 for what only has to be seen.
func TestContrast(t *testing.T) {
	backgrounds := map[Mode][]string{Dark: {"#000000", "#1e1e1e"}, Light: {"#ffffff", "#fdf6e3"}}
	least := map[Style]float64{Dim: 4.5, Accent: 4.4, Asked: 4.4, Warn: 4.3, Bad: 4.5, P99: 4.5, P999: 4.5, P90: 3, P50: 2.1}
	for mode, list := range backgrounds {
		for _, bg := range list {
			for token, want := range least {
				for depth, c := range []color.RGBA{parse(palettes[mode].tokens[token].full), cube(palettes[mode].tokens[token].fixed)} {
					if got := contrast(c, parse(bg)); got < want {
						t.Errorf("%v, depth %d: token %d on %s has contrast %.2f, want %.1f", mode, depth, token, bg, got, want)
					}
				}
			}
		}
	}
}

// The ramp of percentiles and the shades of heat must each go one way in lightness, so that they can be read as an order
// without seeing hues.
func TestRampsAreMonotone(t *testing.T) {
	for mode, p := range palettes {
		sign := 1.0
		if Mode(mode) == Light {
			sign = -1
		}
		last := math.Inf(-1)
		for i := range 4 {
			l := sign * luminance(parse(p.tokens[Percentile(i)].full))
			if l <= last {
				t.Errorf("%v: percentile %d is not stronger than the one before", Mode(mode), i)
			}
			last = l
		}
		last = math.Inf(-1)
		for level, colour := range p.heat {
			l := sign * luminance(cube(colour))
			if l <= last {
				t.Errorf("%v: heat level %d is not stronger than the one before", Mode(mode), level+1)
			}
			last = l
		}
	}
}

// parse reads #RRGGBB.
func parse(hex string) color.RGBA {
	n, err := strconv.ParseUint(strings.TrimPrefix(hex, "#"), 16, 32)
	if err != nil {
		panic("not a colour: " + hex)
	}
	return color.RGBA{R: uint8(n >> 16), G: uint8(n >> 8), B: uint8(n), A: 255}
}

// cube is colour number, 16..255, of the 256 of xterm.
func cube(number string) color.RGBA {
	n, err := strconv.ParseUint(number, 10, 8)
	if err != nil {
		panic("not a colour: " + number)
	}
	i := uint8(n)
	if i >= 232 {
		grey := 8 + 10*(i-232)
		return color.RGBA{R: grey, G: grey, B: grey, A: 255}
	}
	part := func(n uint8) uint8 { return [...]uint8{0, 95, 135, 175, 215, 255}[n%6] }
	i -= 16
	return color.RGBA{R: part(i / 36), G: part(i / 6), B: part(i), A: 255}
}

// contrast is the ratio of WCAG 2.2, 1..21.
func contrast(a, b color.RGBA) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// luminance is the relative luminance of WCAG 2.2, 0..1.
func luminance(c color.RGBA) float64 {
	f := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*f(c.R) + 0.7152*f(c.G) + 0.0722*f(c.B)
}
