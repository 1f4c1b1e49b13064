package chart

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"lt/tui/theme"
)

var update = flag.Bool("update", false, "write the golden files anew")

var themes = map[string]*theme.Theme{
	"dark":    theme.New(theme.Dark, colorprofile.TrueColor),
	"light":   theme.New(theme.Light, colorprofile.TrueColor),
	"basic":   theme.New(theme.Dark, colorprofile.ANSI),
	"nocolor": theme.New(theme.Dark, colorprofile.ASCII),
}

// sample is a run of n seconds that ramps through the capacity of its target: an M/M/1-like curve with a dropout.
type sample struct {
	offered, goodput   []float64
	p50, p90, p99, p9  []float64
	bands              []time.Duration
	counts             [][]uint32
	stages             []Edge
	marks              []Mark
	good, median, tail []Dot
}

func makeSample(n int) sample {
	r := rand.New(rand.NewPCG(1, 2))
	s := sample{
		stages: []Edge{{0, "warm-up"}, {10 * time.Second, "ramp-up"}, {time.Duration(n) * 2 / 3 * time.Second, "sustain"}},
		marks:  []Mark{{time.Duration(n) * time.Second / 2, theme.Warn, '▲'}, {time.Duration(n) * time.Second * 3 / 4, theme.Bad, '✗'}},
	}
	for e := 0; e <= 48; e++ {
		s.bands = append(s.bands, time.Duration(math.Pow(10, float64(e)/8)*float64(time.Millisecond)/10))
	}
	const capacity = 400
	for i := range n {
		rate := 50.0
		if i >= 10 {
			rate = min(50+float64(i-10)*450/float64(max(1, n*2/3-10)), 500)
		}
		rho := min(rate/capacity, 0.985)
		base := 12 / (1 - rho) * (1 + 0.1*r.NormFloat64())
		s.offered = append(s.offered, rate)
		s.goodput = append(s.goodput, min(rate, capacity)*(1+0.02*r.NormFloat64()))
		s.p50 = append(s.p50, base*0.69)
		s.p90 = append(s.p90, base*2.3)
		s.p99 = append(s.p99, base*4.6*(1+0.15*r.Float64()))
		s.p9 = append(s.p9, base*6.9*(1+0.3*r.Float64()))
		column := make([]uint32, len(s.bands)-1)
		for range 400 {
			v := r.ExpFloat64() * base
			if r.IntN(8) == 0 {
				v = 180 + 20*r.NormFloat64() // a second mode
			}
			for b := range column {
				if v >= float64(s.bands[b])/1e6 && v < float64(s.bands[b+1])/1e6 {
					column[b]++
				}
			}
		}
		s.counts = append(s.counts, column)
		if i%6 == 0 {
			s.good = append(s.good, Dot{X: rate, Y: s.goodput[i], Low: s.goodput[i] * 0.96, High: s.goodput[i] * 1.04})
			s.median = append(s.median, Dot{X: rate, Y: s.p50[i], Low: s.p50[i] * 0.9, High: s.p50[i] * 1.1})
			s.tail = append(s.tail, Dot{X: rate, Y: s.p99[i], Low: s.p99[i] * 0.7, High: s.p99[i] * 1.4})
		}
	}
	for i := n / 2; i < n/2+n/20 && i < n; i++ { // nothing arrived
		s.goodput[i], s.p50[i], s.p90[i], s.p99[i], s.p9[i] = math.NaN(), math.NaN(), math.NaN(), math.NaN(), math.NaN()
		s.counts[i] = nil
	}
	return s
}

func (s sample) charts() map[string]func(Canvas) {
	to := time.Duration(len(s.offered)) * time.Second
	from := max(0, to-60*time.Second)
	bins := make([]Bin, len(s.bands)-1)
	service := make([]Bin, len(s.bands)-1)
	for b := range bins {
		bins[b] = Bin{s.bands[b], s.bands[b+1], 0}
		service[b] = bins[b]
		for _, column := range s.counts {
			if column != nil {
				bins[b].Count += float64(column[b])
				service[max(0, b-2)].Count += float64(column[b])
			}
		}
	}
	return map[string]func(Canvas){
		"throughput": Lines{
			Title: "Throughput, requests/s", Every: time.Second, From: from, To: to, Stages: s.stages, Marks: s.marks,
			Series: []Series{{"offered", s.offered, theme.Asked, true}, {"goodput", s.goodput, theme.Accent, false}},
		}.Draw,
		"response": Lines{
			Title: "Response time", Note: "log scale", Unit: Millis, Log: true, Every: time.Second, From: from, To: to, Stages: s.stages,
			EndNames: true,
			Series:   []Series{{"p50", s.p50, theme.P50, false}, {"p90", s.p90, theme.P90, false}, {"p99.9", s.p9, theme.P999, false}, {"p99", s.p99, theme.P99, false}},
		}.Draw,
		"knee": func(c Canvas) {
			g := Cloud{"goodput", theme.Accent, '●', s.good}
			lines := []Line{{312, "knee 312/s", theme.Warn}}
			areas := []Area{{391, 414, "capacity", theme.Dim}}
			half := c.H() / 2
			XY{
				Title: "Goodput and response time against offered load", YTitle: "goodput/s", XMax: XMax(g), Identity: true,
				Clouds: []Cloud{g}, Lines: lines, Areas: areas,
			}.Draw(c.Rows(0, half))
			XY{
				YTitle: "p50, p99", Unit: Millis, Log: true, XMax: XMax(g), XTitle: "offered/s",
				Clouds: []Cloud{{"p99", theme.P99, '●', s.tail}, {"p50", theme.P50, '○', s.median}},
				Lines:  []Line{{312, "", theme.Warn}},
			}.Draw(c.Rows(half, c.H()-half))
		},
		"heatmap": Heatmap{
			Title: "Response time", Every: time.Second, From: from, To: to, Bands: s.bands, Counts: s.counts, Stages: s.stages, Marks: s.marks,
			Over: []Series{{Name: "p50", Values: s.p50}, {Name: "p99", Values: s.p99}},
		}.Draw,
		"histogram": Histogram{
			Title: "Distribution", Layers: []Layer{{"response", theme.P90, bins}, {"service", theme.Warn, service}},
			Marks: []Line{{s.p50[0], "p50", theme.Text}, {s.p99[0], "p99", theme.Text}},
		}.Draw,
		"small": func(c Canvas) {
			Spark(c, 0, 0, c.W(), theme.P99, s.p99)
			Bar(c, 0, 1, c.W()/2, theme.Accent, 0.37)
			Stack(c, 0, 2, c.W(), []Part{{1, theme.P50, '█'}, {2, theme.P90, '▓'}, {0, theme.Bad, '!'}, {7, theme.P99, '█'}, {0.01, theme.P999, '▒'}})
			Progress(c, 0, 3, c.W()/3, theme.Accent, 0.6)
			Table{
				Columns: []Column{{"step", 8, true, true, false, true}, {"req/s", 7, false, false, true, false}, {"p99", 8, false, false, false, false}, {"over time", 12, true, false, false, false}},
				Len:     3, Selected: 1,
				Row: func(i int) []Cell {
					return []Cell{
						{Text: fmt.Sprintf("GET /a/rather/long/name/of/a/step/%d", i)},
						{Text: Number(12.3 * float64(i+1))},
						{Text: Milliseconds(9.9 * float64(i+1)), Style: theme.P99},
						{Draw: func(c Canvas) { Spark(c, 0, 0, c.W(), theme.Dim, s.p50) }},
					}
				},
			}.Draw(c.Rows(5, c.H()-5))
		},
	}
}

func frame(th *theme.Theme, w, h int, draw func(Canvas)) string {
	c := NewCanvas(w, h, th)
	draw(c)
	return c.String()
}

func checkSize(t interface{ Fatalf(string, ...any) }, s string, w, h int) {
	if h == 0 {
		return
	}
	lines := strings.Split(s, "\n")
	if len(lines) != h {
		t.Fatalf("%d lines, want %d", len(lines), h)
	}
	for i, l := range lines {
		if got := ansi.StringWidth(l); got != w {
			t.Fatalf("line %d is %d cells wide, want %d: %q", i, got, w, l)
		}
	}
}

func TestGolden(t *testing.T) {
	for _, state := range []struct {
		name string
		s    sample
	}{{"empty", makeSample(0)}, {"begun", makeSample(11)}, {"bent", makeSample(90)}} {
		if state.name == "empty" {
			state.s.p50, state.s.p99 = []float64{math.NaN()}, []float64{math.NaN()}
		}
		for name, draw := range state.s.charts() {
			for _, size := range [][2]int{{118, 18}, {76, 10}, {38, 6}} {
				for th, value := range themes {
					if th != "dark" && (size[0] != 76 || state.name != "bent") {
						continue // the other themes differ in sequences only: one size shows them
					}
					file := fmt.Sprintf("%s_%s_%dx%d_%s.golden", name, state.name, size[0], size[1], th)
					t.Run(file, func(t *testing.T) {
						got := frame(value, size[0], size[1], draw)
						checkSize(t, got, size[0], size[1])
						golden(t, file, got+"\n")
					})
				}
			}
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
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

// Any value at any size must be drawn without panic, in exactly the cells it has.
func TestAnythingDraws(t *testing.T) {
	value := rapid.OneOf(
		rapid.Float64(),
		rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), 1e308, -1e308, 5e-324, 1, 100, 1e15, 1e16, -3}),
		rapid.Float64Range(0, 1000),
	)
	values := rapid.SliceOfN(value, 0, 40)
	at := rapid.OneOf(
		rapid.Map(rapid.Int64(), func(n int64) time.Duration { return time.Duration(n) }),
		rapid.Map(rapid.Int64Range(-10, 100), func(n int64) time.Duration { return time.Duration(n) * time.Second }),
	)
	text := rapid.String()
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(0, 300).Draw(t, "w"), rapid.IntRange(0, 60).Draw(t, "h")
		th := themes[rapid.SampledFrom([]string{"dark", "light", "basic", "nocolor"}).Draw(t, "theme")]
		style := theme.Style(rapid.Uint16().Draw(t, "style"))
		series := []Series{{text.Draw(t, "name"), values.Draw(t, "a"), style, true}, {"b", values.Draw(t, "b"), style, false}}
		stages := []Edge{{at.Draw(t, "stage"), text.Draw(t, "stage name")}, {at.Draw(t, "stage 2"), "two"}}
		marks := []Mark{{at.Draw(t, "mark"), style, '▲'}}
		start, every, from, to := at.Draw(t, "start"), at.Draw(t, "every"), at.Draw(t, "from"), at.Draw(t, "to")
		counts := make([][]uint32, rapid.IntRange(0, 30).Draw(t, "columns"))
		for i := range counts {
			counts[i] = rapid.SliceOfN(rapid.Uint32(), 0, 8).Draw(t, "column")
		}
		bands := rapid.SliceOfN(at, 0, 9).Draw(t, "bands")
		var points []Dot
		var bins []Bin
		for range rapid.IntRange(0, 12).Draw(t, "points") {
			points = append(points, Dot{value.Draw(t, "x"), value.Draw(t, "y"), value.Draw(t, "lo"), value.Draw(t, "hi"), rapid.Bool().Draw(t, "bound")})
			bins = append(bins, Bin{at.Draw(t, "low"), at.Draw(t, "high"), value.Draw(t, "count")})
		}
		title, unit, log := text.Draw(t, "title"), Unit(rapid.Uint8Range(0, 1).Draw(t, "unit")), rapid.Bool().Draw(t, "log")
		for _, draw := range []func(Canvas){
			Lines{title, title, unit, log, start, every, from, to, series, stages, marks, log, !log}.Draw,
			XY{
				title, title, title, unit, title, value.Draw(t, "xmax"), log, true,
				[]Cloud{{title, style, '●', points}},
				[]Line{{value.Draw(t, "line"), title, style}},
				[]Area{{value.Draw(t, "f"), value.Draw(t, "t"), title, style}},
			}.Draw,
			Heatmap{title, "", start, every, from, to, bands, counts, values.Draw(t, "base"), series, stages, marks}.Draw,
			Histogram{title, "", []Layer{{title, style, bins}, {"b", style, bins}}, []Line{{value.Draw(t, "mark at"), title, style}}}.Draw,
			func(c Canvas) {
				x, y := rapid.IntRange(-5, 305).Draw(t, "x"), rapid.IntRange(-5, 65).Draw(t, "y")
				n := rapid.IntRange(-5, 305).Draw(t, "n")
				Spark(c, x, y, n, style, series[0].Values)
				Bar(c, x, y+1, n, style, value.Draw(t, "share"))
				Progress(c, x, y+2, n, style, value.Draw(t, "progress"))
				Stack(c, x, y+3, n, []Part{{value.Draw(t, "part"), style, 'a'}, {value.Draw(t, "part 2"), style, 'b'}})
				c.Fit(x, y+4, n, style, title)
				c.Right(x, y+5, style, title)
				c.Paste(NewCanvas(n, n, th), y)
				Table{
					Columns: []Column{{title, n, true, true, true, n%2 == 0}, {title, 9, false, false, false, false}}, Len: 5, First: x, Selected: y,
					Row: func(int) []Cell { return []Cell{{Text: title}, {Text: Milliseconds(value.Draw(t, "cell"))}} },
				}.Draw(c)
			},
		} {
			checkSize(t, frame(th, w, h, draw), w, h)
		}
	})
}

func TestGapsAreGaps(t *testing.T) {
	nan := math.NaN()
	s := frame(themes["nocolor"], 60, 12, Lines{
		Every: time.Second, To: 10 * time.Second,
		Series: []Series{{Values: []float64{5, 5, 5, 5, nan, nan, 5, 5, 5, 5}}},
	}.Draw)
	for _, l := range strings.Split(s, "\n") {
		braille := strings.Map(func(r rune) rune {
			if r > 0x2800 && r < 0x2900 {
				return 'x'
			}
			return ' '
		}, l)
		if f := strings.Fields(braille); len(f) != 0 && len(f) != 2 {
			t.Fatalf("the line is not in two parts: %q", l)
		}
	}
	if n := strings.Count(strings.Map(func(r rune) rune {
		if r > 0x2800 && r < 0x2900 {
			return 'x'
		}
		return '.'
	}, s), "x"); n < 30 || n > 46 {
		t.Errorf("the line has %d cells of 52", n)
	}
}

// A sparkline of more values than columns has all columns, whatever their number.
func TestSparkFillsItsPlace(t *testing.T) {
	for _, n := range []int{39, 40, 41, 60, 77, 79, 1800} {
		values := make([]float64, n)
		for i := range values {
			values[i] = float64(i)
		}
		c := NewCanvas(39, 1, themes["nocolor"])
		Spark(c, 0, 0, 39, theme.Text, values)
		if got := strings.TrimSpace(c.String()); Width(got) != 39 || !strings.HasPrefix(got, "▁") || !strings.HasSuffix(got, "█") {
			t.Errorf("%d values: %q", n, got)
		}
	}
}

// The newest value stands at the right edge and the oldest at the left one.
func TestNewestIsAtTheRight(t *testing.T) {
	values := make([]float64, 100)
	for i := range values {
		values[i] = float64(i)
	}
	c := NewCanvas(58, 10, themes["nocolor"])
	Lines{Every: time.Second, From: 40 * time.Second, To: 100 * time.Second, Series: []Series{{Values: values}}}.Draw(c)
	isBraille := func(x int) bool {
		for y := range 10 {
			if r := c.At(x, y); r > 0x2800 && r < 0x2900 {
				return true
			}
		}
		return false
	}
	if !isBraille(8) || !isBraille(57) {
		t.Errorf("the line does not reach from edge to edge:\n%s", c)
	}
}

func TestTextNeutralises(t *testing.T) {
	for in, want := range map[string]string{
		"a\x1b[31mb\x07\r\nc": "a[31mbc",
		"\u202eevil\u2066x":   "evilx",
		"e\u0301a\u200d":      "ea",
		"表示":                  "表示",
		"👍🏽":                  "👍",
		"\u009b31mx":          "31mx",
		"a\xffb":              "a\ufffdb",
	} {
		c := NewCanvas(20, 1, themes["nocolor"])
		c.Text(0, 0, theme.Text, in)
		if got := strings.TrimRight(c.String(), " "); got != want {
			t.Errorf("%q is drawn as %q, want %q", in, got, want)
		}
	}
}

func TestWideRunesKeepTheGrid(t *testing.T) {
	c := NewCanvas(6, 1, themes["nocolor"])
	c.Text(0, 0, theme.Text, "表示表示")
	c.Set(1, 0, theme.Text, 'x') // cuts the first in half
	if got := c.String(); got != " x示表" || ansi.StringWidth(got) != 6 {
		t.Errorf("got %q", got)
	}
}

func TestShortenAndWrapFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, n := rapid.String().Draw(t, "s"), rapid.IntRange(0, 40).Draw(t, "n")
		for _, got := range append([]string{Shorten(s, n), ShortenMiddle(s, n)}, Wrap(s, n, 0)...) {
			if Width(got) > n {
				t.Fatalf("%q is %d cells wide, want at most %d", got, Width(got), n)
			}
			if clean := Clean(got); ansi.StringWidth(clean) != Width(clean) {
				t.Fatalf("%q: the terminal takes %d cells, we count %d", clean, ansi.StringWidth(clean), Width(clean))
			}
		}
	})
	if got := ShortenMiddle("GET /api/v1/products/{{id}}/reviews", 20); Width(got) != 20 || !strings.HasSuffix(got, "/reviews") {
		t.Errorf("got %q", got)
	}
	if got := Wrap("one two three", 7, 0); !cmp.Equal(got, []string{"one two", "three"}) {
		t.Errorf("got %q", got)
	}
}

func TestFigures(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct{ got, want string }{
		{Number(0), "0"},
		{Number(0.08123), "0.0812"},
		{Number(0.9996), "1.00"},
		{Number(8.123), "8.12"},
		{Number(9.996), "10.0"},
		{Number(81.25), "81.2"},
		{Number(99.96), "100"},
		{Number(812.4), "812"},
		{Number(999.6), "1,000"},
		{Number(98412), "98,412"},
		{Number(1234567), "1.23M"},
		{Number(-8.1), "-8.10"},
		{Number(nan), None},
		{Number(inf), None},
		{Number(1e300), None},
		{Number(-0.0001), "0"},
		{Duration(0), "0 ms"},
		{Duration(812 * time.Microsecond), "812 µs"},
		{Duration(38200 * time.Microsecond), "38.2 ms"},
		{Duration(999600 * time.Microsecond), "1.00 s"},
		{Duration(1240 * time.Millisecond), "1.24 s"},
		{Duration(119940 * time.Millisecond), "120 s"},
		{Duration(280 * time.Second), "4.67 min"},
		{Duration(62 * time.Minute), "62.0 min"},
		{Duration(3 * time.Hour), "3.00 h"},
		{Narrow(9.5, 5), "9.50"},
		{Narrow(0.0625, 5), "0.062"},
		{Narrow(98412, 6), "98,412"},
		{Narrow(98412, 5), "98.4k"},
		{Narrow(123456, 6), "123k"},
		{Narrow(999999, 5), "1.00M"},
		{Narrow(1234567, 5), "1.23M"},
		{Narrow(nan, 0), None},
		{NarrowCount(7, 5), "7"},
		{NarrowCount(9999, 5), "9,999"},
		{NarrowCount(12345, 5), "12.3k"},
		{NarrowCount(math.MaxUint64, 5), "18.4E"},
		{Tight("16.7 min", 8), "16.7 min"},
		{Tight("≥16.7 min", 8), "≥16.7min"},
		{Tight("16.7 min", 4), "16.…"},
		{Duration(-time.Millisecond), "-1.00 ms"},
		{Milliseconds(nan), None},
		{Milliseconds(inf), None},
		{Duration(100 * time.Nanosecond), "0 ms"},
		{Duration(700 * time.Nanosecond), "1.00 µs"},
		{Clock(0), "0:00"},
		{Clock(72 * time.Second), "1:12"},
		{Clock(time.Hour + 2*time.Minute), "1:02:00"},
		{Clock(-5 * time.Second), "-0:05"},
		{Span(10 * time.Second), "10 s"},
		{Span(9600 * time.Millisecond), "10 s"},
		{Span(time.Minute), "1 m"},
		{Span(5 * time.Minute), "5 m"},
		{Span(time.Hour), "1 h"},
		{Span(90 * time.Second), "90 s"},
		{Percent(0.0021), "0.21 %"},
		{Percent(0.123), "12.3 %"},
		{Percent(1), "100 %"},
		{Percent(0.00001), "<0.01 %"},
		{Percent(nan), None + " %"},
		{Bytes(812), "812 B"},
		{Bytes(39117), "38.2 KiB"},
		{Bytes(1.5 * 1024 * 1024 * 1024), "1.50 GiB"},
		{Bytes(nan), None},
		{Count(98412), "98,412"},
		{Count(7), "7"},
		{Count(1234567), "1,234,567"},
		{Plain.tick(500), "500"},
		{Plain.tick(20000), "20k"},
		{Plain.tick(0.5), "0.5"},
		{Millis.tick(0.2), "200 µs"},
		{Millis.tick(1000), "1 s"},
		{Millis.tick(50), "50 ms"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestFiguresAreNarrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Float64().Draw(t, "v")
		for _, s := range []string{Number(v), Milliseconds(v)} {
			if Width(s) > 14 || strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
				t.Fatalf("%v is written %q", v, s)
			}
		}
		if u := rapid.Float64Range(0, 999999).Draw(t, "u"); Width(Number(u)) > 7 || Width(Milliseconds(u)) > 8 || Width(Narrow(u, 5)) > 5 {
			t.Fatalf("%v is written %q and %q", u, Number(u), Milliseconds(u))
		}
	})
}

// Ticks are round, ascending, within the axis, and few.
func TestScales(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lo, hi := rapid.Float64Range(1e-6, 1e9).Draw(t, "lo"), rapid.Float64Range(1e-6, 1e9).Draw(t, "hi")
		n := rapid.IntRange(1, 20).Draw(t, "n")
		if lo > hi {
			lo, hi = hi, lo
		}
		for _, s := range []scale{linear(0, hi, n), logarithmic(lo, hi, n)} {
			if s.from > lo*1.000001 || s.to < hi*0.999999 {
				t.Fatalf("%v..%v does not hold %v..%v", s.from, s.to, lo, hi)
			}
			if len(s.ticks) == 0 || len(s.ticks) > 3*n+7 {
				t.Fatalf("%d ticks, asked for %d", len(s.ticks), n)
			}
			for i, v := range s.ticks {
				if i > 0 && v <= s.ticks[i-1] {
					t.Fatalf("ticks %v", s.ticks)
				}
				f, ok := s.at(v)
				if back := s.value(f); !ok || math.Abs(back-v) > 1e-6*(math.Abs(v)+s.to*1e-3) {
					t.Fatalf("%v comes back as %v", v, back)
				}
			}
		}
	})
	if got := linear(0, 487, 4).ticks; !cmp.Equal(got, []float64{0, 200, 400, 600}) {
		t.Errorf("ticks %v", got)
	}
}

func FuzzText(f *testing.F) {
	f.Add("plain", 10)
	f.Add("\x1b]0;title\x07\u202e表示👍🏽", 7)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = max(0, min(n, 200))
		c := NewCanvas(n, 2, themes["dark"])
		c.Text(0, 0, theme.Accent, s)
		c.Fit(0, 1, n, theme.Text, s)
		out := c.String()
		checkSize(t, out, n, 2)
		for _, r := range ansi.Strip(out) {
			if r != '\n' && runeWidth(r) == 0 {
				t.Fatalf("%q reached the terminal", r)
			}
		}
	})
}

func BenchmarkDashboard(b *testing.B) {
	s := makeSample(600)
	charts := s.charts()
	b.ReportAllocs()
	for b.Loop() {
		c := NewCanvas(120, 40, themes["dark"])
		charts["throughput"](c.Rows(4, 12))
		charts["response"](c.Rows(16, 12))
		for i, v := range [][]float64{s.p50, s.p90, s.p99, s.p9} {
			Spark(c, 7, 29+i, 40, theme.Percentile(i), v)
		}
		charts["histogram"](c.Sub(60, 28, 60, 12))
		_ = c.String()
	}
}

func BenchmarkHeatmap(b *testing.B) {
	draw := makeSample(1800).charts()["heatmap"]
	b.ReportAllocs()
	for b.Loop() {
		_ = frame(themes["dark"], 120, 34, draw)
	}
}

// Values that begin later are drawn where they belong: as if there were gaps before them.
func TestValuesThatBeginLater(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, n := rapid.IntRange(0, 40).Draw(t, "before"), rapid.IntRange(1, 60).Draw(t, "values")
		every := time.Duration(rapid.IntRange(1, 8).Draw(t, "every")) * time.Second
		start := time.Duration(before) * every
		from := time.Duration(rapid.IntRange(0, before+n-1).Draw(t, "from")) * every
		to := from + time.Duration(rapid.IntRange(1, 60).Draw(t, "to"))*every
		values, counts := make([]float64, n), make([][]uint32, n)
		for i := range values {
			values[i] = rapid.Float64Range(1, 1000).Draw(t, "value")
			counts[i] = []uint32{0, rapid.Uint32Range(0, 9).Draw(t, "low"), rapid.Uint32Range(0, 9).Draw(t, "high")}
		}
		gaps := make([]float64, before)
		for i := range gaps {
			gaps[i] = math.NaN()
		}
		padded, paddedCounts := append(gaps, values...), append(make([][]uint32, before), counts...)
		bands := []time.Duration{0, time.Millisecond, 10 * time.Millisecond}
		draw := func(start time.Duration, values []float64, counts [][]uint32) (string, string) {
			series := []Series{{Name: "a", Values: values}}
			return frame(themes["dark"], 60, 12, Lines{Title: "lines", Start: start, Every: every, From: from, To: to, Series: series, EndNames: true}.Draw),
				frame(themes["dark"], 60, 12, Heatmap{Title: "heat", Start: start, Every: every, From: from, To: to, Bands: bands, Counts: counts, Over: series}.Draw)
		}
		lines, heat := draw(start, values, counts)
		wantLines, wantHeat := draw(0, padded, paddedCounts)
		if lines != wantLines {
			t.Errorf("lines:\n%s\nwant:\n%s", lines, wantLines)
		}
		if heat != wantHeat {
			t.Errorf("heatmap:\n%s\nwant:\n%s", heat, wantHeat)
		}
	})
}
