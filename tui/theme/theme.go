// Package theme holds the colours of the screen as named tokens and turns them into terminal sequences once, so that
// drawing a frame only copies strings.
//
// There is one accent hue, for what the target does; what we ask of the target is grey; amber and red mean that something
// bends or broke and always stand beside a glyph. No token sets a background, except the cells of a heatmap: the screen
// works on whatever background the terminal has, given that we know whether it is dark or light.
package theme

import (
	"image/color"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/colorprofile"
)

// Mode says which background the terminal has.
type Mode uint8

// The modes. Dark is the zero value because most terminals are.
const (
	Dark Mode = iota
	Light
)

// String is the mode's word in flags.
func (m Mode) String() string {
	if m == Light {
		return "light"
	}
	return "dark"
}

// Style is a cell's look: a token, with Bold and Reverse added if wanted, or a heat cell made by Heat or Over. The zero
// value is the terminal's own foreground.
type Style uint16

// The tokens.
const (
	Text   Style = iota // the terminal's own foreground
	Dim                 // labels, units, what is secondary but must be read
	Faint               // rules, axes, grid: seen, never read
	Accent              // what the target does
	P50                 // the ramp of the accent, light to strong
	P90
	P99
	P999
	Asked // what we ask of the target; drawn dotted
	Warn  // it bends; stands with ▲
	Bad   // it broke; stands with ✗
	tokens
)

// Bold and Reverse are added to a token. They stay when colours are off.
const (
	Bold    Style = 1 << 6
	Reverse Style = 1 << 7

	heat Style = 1 << 15
)

// HeatLevels is the number of shades of a heatmap; shades count from 1, 0 is nothing at all.
const HeatLevels = 11

const (
	heatMark  = HeatLevels + 1 // foreground of a line laid over the heatmap
	heatSides = HeatLevels + 2
)

// Heat is the style of an upper half block: top is the shade of the upper half, bottom of the lower one, both
// 0..HeatLevels; what is outside is clamped. With a bottom of 0 the background stays the terminal's; a top of 0 needs the
// lower half block and Heat(bottom, 0).
func Heat(top, bottom int) Style {
	return heat | Style(clampLevel(top)*heatSides+clampLevel(bottom))
}

// Over is the style of a line laid over a heat cell of shade level.
func Over(level int) Style { return heat | Style(heatMark*heatSides+clampLevel(level)) }

func clampLevel(n int) int { return max(0, min(n, HeatLevels)) }

// Theme is a set of ready sequences for one background and one colour profile. It is immutable and may be shared.
type Theme struct {
	Mode    Mode
	Profile colorprofile.Profile
	ASCII   bool                // cells are written with ASCII characters alone
	plain   [tokens << 2]string // token<<2 | reverse<<1 | bold
	heat    [heatSides * heatSides]string
}

// InASCII is the same theme for a terminal that shows nothing but ASCII, or if on is false for any other.
func (t *Theme) InASCII(on bool) *Theme {
	other := *t
	other.ASCII = on
	return &other
}

// Reset ends what a prefix began.
const Reset = "\x1b[m"

// tint is one colour as lipgloss reads it, for each depth that a terminal may have; empty: the terminal's foreground. All are
// chosen by hand: a conversion by distance turns greys violet in 256 colours and half of the tokens grey in 16.
type tint struct {
	full  string // #RRGGBB
	fixed string // of the 256 colours
	basic string // of the 16 colours
}

// palette has the values of the tokens.
type palette struct {
	tokens [tokens]tint
	heat   [HeatLevels]string // of the 256 colours: see makeHeat
	over   string
}

var palettes = [...]palette{
	Dark: {
		tokens: [tokens]tint{
			Dim: {"#8b95a3", "245", "7"}, Faint: {"#434b57", "238", "8"}, Accent: {"#5cb8f5", "75", "14"},
			P50: {"#3f7fb0", "67", "4"}, P90: {"#4f9fdb", "74", "6"}, P99: {"#7cc7fb", "117", "14"}, P999: {"#cfeaff", "195", "15"},
			Asked: {"#a3abb5", "248", "7"}, Warn: {"#f2a63b", "215", "3"}, Bad: {"#ff6f5e", "203", "9"},
		},
		heat: [HeatLevels]string{"17", "24", "25", "31", "38", "74", "80", "116", "158", "194", "230"}, over: "231",
	},
	Light: {
		tokens: [tokens]tint{
			Dim: {"#5b6470", "241", "8"}, Faint: {"#c3c9d1", "251", "7"}, Accent: {"#0f6cb4", "25", "4"},
			P50: {"#6aaede", "74", "6"}, P90: {"#2f86c9", "32", "12"}, P99: {"#0b5a9d", "25", "4"}, P999: {"#062f57", "17", "0"},
			Asked: {"#69717c", "242", "8"}, Warn: {"#a85b00", "130", "3"}, Bad: {"#c0271a", "124", "1"},
		},
		heat: [HeatLevels]string{"195", "159", "153", "117", "75", "32", "31", "25", "24", "18", "17"}, over: "16",
	},
}

// New makes the theme of a background and a profile. Profiles without colours keep bold and reverse; NoTTY and Unknown
// have no sequences at all.
func New(mode Mode, profile colorprofile.Profile) *Theme {
	if mode != Light {
		mode = Dark
	}
	t := &Theme{Mode: mode, Profile: profile}
	if profile <= colorprofile.NoTTY {
		return t
	}
	p := &palettes[mode]
	depth := lipgloss.Complete(profile)
	for token, c := range p.tokens {
		look := lipgloss.NewStyle().Foreground(depth(lipgloss.Color(c.basic), lipgloss.Color(c.fixed), lipgloss.Color(c.full)))
		for attrs := range 4 {
			t.plain[token<<2|attrs] = prefix(look.Bold(attrs&1 != 0).Reverse(attrs&2 != 0))
		}
	}
	if t.Shades() {
		t.makeHeat(p)
	}
	return t
}

// Shades reports whether half blocks in the shades of Heat can be told apart here; if not, a heatmap is drawn with shade
// characters in the accent.
func (t *Theme) Shades() bool { return t.Profile >= colorprofile.ANSI256 && !t.ASCII }

// makeHeat takes the shades from the 256 colours even where there are more: a scrolling heatmap changes most of its cells each
// second, and a colour by number is half as long as one by its parts. On a slow link that is the difference.
func (t *Theme) makeHeat(p *palette) {
	shade := func(level int) color.Color {
		switch level {
		case 0:
			return lipgloss.NoColor{}
		case heatMark:
			return lipgloss.Color(p.over)
		}
		return lipgloss.Color(p.heat[level-1])
	}
	for top := range heatSides {
		for bottom := range heatMark {
			t.heat[top*heatSides+bottom] = prefix(lipgloss.NewStyle().Bold(top == heatMark).Foreground(shade(top)).Background(shade(bottom)))
		}
	}
}

// Prefix is the sequence that begins a run of cells of style s; empty if the style is the terminal's own. A run with a
// prefix ends with Reset.
func (t *Theme) Prefix(s Style) string {
	if s&heat != 0 {
		if i := int(s &^ heat); i < len(t.heat) {
			return t.heat[i]
		}
		return ""
	}
	token := int(s & (Bold - 1))
	if token >= int(tokens) {
		token = 0
	}
	return t.plain[token<<2|int(s>>6&3)]
}

// Percentile is the ramp's token for the i-th of p50, p90, p99 and p99.9.
func Percentile(i int) Style { return P50 + Style(max(0, min(i, 3))) }

// prefix is what a style writes before a text: cells are drawn in runs, so it is wanted alone, and once.
func prefix(look lipgloss.Style) string {
	before, _, _ := strings.Cut(look.Render("x"), "x")
	return before
}
