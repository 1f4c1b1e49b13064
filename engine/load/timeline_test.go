package load

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const sec = time.Second

// hill: 0 to 100 in 10 s, 100 for 10 s, 100 to 20 in 10 s.
func hill() *Spec {
	return &Spec{Arrivals: Even, MaxRate: 150, Profile: Profile{Stages: []Stage{
		{For: 10 * sec, At: 100, Ramp: true}, {For: 10 * sec, At: 100}, {For: 10 * sec, At: 20, Ramp: true},
	}}}
}

func TestLiveChanges(t *testing.T) {
	type at struct {
		t     time.Duration
		clock time.Duration
		stage int
		rate  float64
		sum   float64 // L
	}
	for _, c := range []struct {
		name    string
		changes []Change
		end     time.Duration
		want    []at
	}{
		{"none", nil, 30 * sec, []at{{0, 0, 0, 0, 0}, {5 * sec, 5 * sec, 0, 50, 125}, {10 * sec, 10 * sec, 1, 100, 500}, {25 * sec, 25 * sec, 2, 60, 1900}, {30 * sec, 30 * sec, 2, 0, 2100}}},
		{"hold keeps the level of a ramp and the run ends later", []Change{{At: 5 * sec, Kind: Hold}, {At: 9 * sec, Kind: Resume}}, 34 * sec, []at{{5 * sec, 5 * sec, 0, 50, 125}, {8 * sec, 5 * sec, 0, 50, 275}, {9 * sec, 5 * sec, 0, 50, 325}, {10 * sec, 6 * sec, 0, 60, 380}, {34 * sec, 30 * sec, 2, 0, 2300}}},
		{"a hold that nobody ends goes on", []Change{{At: 12 * sec, Kind: Hold}}, Never, []at{{1012 * sec, 12 * sec, 1, 100, 100_700}}},
		{"a second hold changes nothing", []Change{{At: 5 * sec, Kind: Hold}, {At: 6 * sec, Kind: Hold}, {At: 9 * sec, Kind: Resume}}, 34 * sec, []at{{9 * sec, 5 * sec, 0, 50, 325}}},
		{"a factor multiplies all that follows", []Change{{At: 15 * sec, Kind: Factor, Factor: 1.2}}, 30 * sec, []at{{14 * sec, 14 * sec, 1, 100, 900}, {15 * sec, 15 * sec, 1, 120, 1000}, {20 * sec, 20 * sec, 2, 120, 1600}, {25 * sec, 25 * sec, 2, 72, 2080}, {30 * sec, 30 * sec, 2, 0, 2320}}},
		{"a factor replaces the one before", []Change{{At: 12 * sec, Kind: Factor, Factor: 1.2}, {At: 14 * sec, Kind: Factor, Factor: 1.1}}, 30 * sec, []at{{15 * sec, 15 * sec, 1, 110, 500 + 200 + 240 + 110}}},
		// 2 x 100 is capped at 150; the ramp down from 200 to 40 meets the cap at 23.125 s.
		{"the cap is on the level that results", []Change{{At: 15 * sec, Kind: Factor, Factor: 2}}, 30 * sec, []at{{16 * sec, 16 * sec, 1, 150, 1150}, {23 * sec, 23 * sec, 2, 150, 2200}, {25 * sec, 25 * sec, 2, 120, 1000 + 150*8.125 + 135*1.875}}},
		{"the cap cuts a rising ramp", []Change{{At: 0, Kind: Factor, Factor: 2}}, 30 * sec, []at{{5 * sec, 5 * sec, 0, 100, 250}, {9 * sec, 9 * sec, 0, 150, 562.5 + 225}}},
		{"next goes to the start of the next stage", []Change{{At: 4 * sec, Kind: Next}}, 24 * sec, []at{{4 * sec, 10 * sec, 1, 100, 80}, {14 * sec, 20 * sec, 2, 100, 1080}}},
		{"next in the last stage ends the profile", []Change{{At: 25 * sec, Kind: Next}}, 25 * sec, []at{{25 * sec, 25 * sec, 2, 0, 1900}, {26 * sec, 25 * sec, 2, 0, 1900}}},
		{"next while held goes on holding", []Change{{At: 4 * sec, Kind: Hold}, {At: 6 * sec, Kind: Next}, {At: 8 * sec, Kind: Resume}}, 28 * sec, []at{{7 * sec, 10 * sec, 1, 100, 80 + 80 + 100}, {8 * sec, 10 * sec, 1, 100, 360}}},
		{"a pause is a level of 0 and stops the clock", []Change{{At: 15 * sec, Kind: Pause}, {At: 18 * sec, Kind: Unpause}}, 33 * sec, []at{{15 * sec, 15 * sec, 1, 0, 1000}, {17 * sec, 15 * sec, 1, 0, 1000}, {18 * sec, 15 * sec, 1, 100, 1000}, {33 * sec, 30 * sec, 2, 0, 2100}}},
		{"a pause inside a hold goes back to the hold", []Change{{At: 5 * sec, Kind: Hold}, {At: 6 * sec, Kind: Pause}, {At: 7 * sec, Kind: Factor, Factor: 2}, {At: 8 * sec, Kind: Unpause}}, Never, []at{{7 * sec, 5 * sec, 0, 0, 175}, {9 * sec, 5 * sec, 0, 100, 275}}},
		{"nothing after a stop", []Change{{At: 15 * sec, Kind: Stop}}, 15 * sec, []at{{15 * sec, 15 * sec, 1, 0, 1000}, {20 * sec, 15 * sec, 1, 0, 1000}}},
		{"a stop does not wait for what lies further ahead", []Change{{At: 14 * sec, Kind: Factor, Factor: 1.2}, {At: 16 * sec, Kind: Hold}, {At: 17 * sec, Kind: Next}, {At: 15 * sec, Kind: Stop}}, 15 * sec, []at{{14 * sec, 14 * sec, 1, 120, 900}, {15 * sec, 15 * sec, 1, 0, 1020}, {20 * sec, 15 * sec, 1, 0, 1020}}},
		{"of two stops the earlier holds", []Change{{At: 16 * sec, Kind: Stop}, {At: 15 * sec, Kind: Stop}, {At: 17 * sec, Kind: Stop}}, 15 * sec, []at{{20 * sec, 15 * sec, 1, 0, 1000}}},
		{"changes after the end mean nothing", []Change{{At: 31 * sec, Kind: Hold}, {At: 32 * sec, Kind: Next}}, 30 * sec, []at{{40 * sec, 30 * sec, 2, 0, 2100}}},
		{"many changes at one time", []Change{{At: 5 * sec, Kind: Next}, {At: 5 * sec, Kind: Next}, {At: 5 * sec, Kind: Factor, Factor: 0.5}}, 15 * sec, []at{{5 * sec, 20 * sec, 2, 50, 125}, {15 * sec, 30 * sec, 2, 0, 425}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := NewLog(hill())
			appendAll(t, log, c.changes...)
			line := log.Timeline()
			if line.End() != c.end {
				t.Errorf("ends at %v, want %v", line.End(), c.end)
			}
			for _, w := range c.want {
				s := line.At(w.t)
				if math.Abs(s.Rate-w.rate) > 1e-6 || s.Clock != w.clock || s.Stage != w.stage {
					t.Errorf("at %v: clock %v stage %d rate %v, want %v %d %v", w.t, s.Clock, s.Stage, s.Rate, w.clock, w.stage, w.rate)
				}
				if sum := line.Integral(w.t); math.Abs(sum-w.sum) > 1e-6 {
					t.Errorf("L(%v) = %v, want %v", w.t, sum, w.sum)
				}
			}
		})
	}
}

func TestStateSaysWhatStandsStill(t *testing.T) {
	log := NewLog(hill())
	appendAll(t, log, Change{At: sec, Kind: Hold}, Change{At: 2 * sec, Kind: Pause}, Change{At: 3 * sec, Kind: Stop})
	line := log.Timeline()
	for _, c := range []struct {
		t                    time.Duration
		stands, paused, over bool // stands: the profile's clock
	}{{0, false, false, false}, {sec, true, false, false}, {2 * sec, true, true, false}, {3 * sec, true, false, true}} {
		s := line.At(c.t)
		if stands := line.At(c.t+sec/2).Clock == s.Clock; stands != c.stands || s.Paused != c.paused || s.Over != c.over {
			t.Errorf("at %v: %+v, its clock stands: %v", c.t, s, stands)
		}
	}
	if s := line.At(-1); s.Stage != -1 {
		t.Errorf("before the start: %+v", s)
	}
}

// TestTheTimelineIsContinuousAndInvertible under any changes, and a change leaves what was before it.
func TestTheTimelineIsContinuousAndInvertible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, log := drawSpec(t), (*Log)(nil)
		log = NewLog(spec)
		for _, c := range drawChanges(t) {
			before := log.Timeline()
			if err := log.Append(c); err != nil {
				t.Fatal(err)
			}
			x := time.Duration(rapid.Int64Range(0, int64(c.At)).Draw(t, "x"))
			if a, b := before.Integral(x), log.Timeline().Integral(x); math.Abs(a-b) > 1e-9*(1+a) {
				t.Fatalf("%v at %v moved L(%v) from %v to %v", c.Kind, c.At, x, a, b)
			}
		}
		line := log.Timeline()
		for i, p := range line.pieces {
			if i > 0 && (p.from != line.pieces[i-1].to || p.sum != line.pieces[i-1].sumEnd) {
				t.Fatalf("piece %d does not follow the one before", i)
			}
			if p.to <= p.from || p.sumEnd < p.sum {
				t.Fatalf("piece %d is %v..%v with L %v..%v", i, p.from, p.to, p.sum, p.sumEnd)
			}
			if spec.MaxRate > 0 && p.level(p.from) > spec.MaxRate*(1+1e-6) {
				t.Fatalf("piece %d reaches %v above the cap %v", i, p.level(p.from), spec.MaxRate)
			}
		}
		if len(line.pieces) == 0 {
			return // stopped at 0
		}
		end := line.Integral(line.End())
		u := rapid.Float64Range(0, 1).Draw(t, "u") * end
		due, ok := line.Inverse(u)
		if !ok {
			t.Fatalf("L never gets to %v of %v", u, end)
		}
		// One nanosecond of rounding is worth rate x 1e-9 arrivals.
		if back := line.Integral(due); math.Abs(back-u) > 1e-6*(1+u) {
			t.Fatalf("L(%v) = %v, want %v", due, back, u)
		}
		if _, ok := line.Inverse(end + 1); ok {
			t.Fatal("a due time beyond the end")
		}
	})
}

func TestFirstAfterIsTheFirstThatIsDueLater(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		line := NewLog(spec).Timeline()
		at := time.Duration(rapid.Int64Range(0, int64(line.End())+1).Draw(t, "at"))
		var want int64
		s := NewSchedule(spec, nil, 0, 0, 1)
		for _, due, ok := s.Peek(); ok && due <= at; _, due, ok = s.Peek() {
			want++
			s.Next()
		}
		if got := line.FirstAfter(at); got != want {
			t.Fatalf("FirstAfter(%v) = %d, want %d", at, got, want)
		}
	})
}

func TestTheLogRefusesWhatCannotBe(t *testing.T) {
	table := []uint16{0, 1}
	for _, c := range []struct {
		name   string
		before []Change
		change Change
	}{
		{"before the last", []Change{{At: 2 * sec, Kind: Hold}}, Change{At: sec, Kind: Resume}},
		{"before the start", nil, Change{At: -1, Kind: Hold}},
		{"too late", nil, Change{At: Never, Kind: Hold}},
		{"unknown kind", nil, Change{Kind: 99}},
		{"no kind", nil, Change{}},
		{"factor 0", nil, Change{Kind: Factor}},
		{"factor not a number", nil, Change{Kind: Factor, Factor: math.NaN()}},
		{"factor too high", nil, Change{Kind: Factor, Factor: 1e9}},
		{"no epoch", nil, Change{Kind: Reshare}},
		{"empty table", nil, Change{Kind: Reshare, Epoch: &Epoch{ID: 1}}},
		{"epoch from below 0", nil, Change{Kind: Reshare, Epoch: &Epoch{ID: 1, From: -1, Table: table}}},
		{"epoch goes back", []Change{{Kind: Reshare, Epoch: &Epoch{ID: 1, From: 5, Table: table}}}, Change{Kind: Reshare, Epoch: &Epoch{ID: 2, From: 4, Table: table}}},
		{"epoch again", []Change{{Kind: Reshare, Epoch: &Epoch{ID: 1, From: 5, Table: table}}}, Change{Kind: Reshare, Epoch: &Epoch{ID: 1, From: 9, Table: table}}},
		{"hold with an epoch", nil, Change{Kind: Hold, Epoch: &Epoch{ID: 1, Table: table}}},
		{"before the latest, which a stop did not wait for", []Change{{At: 2 * sec, Kind: Hold}, {At: sec, Kind: Stop}}, Change{At: sec, Kind: Reshare, Epoch: &Epoch{ID: 1, Table: table}}},
		{"hold after a stop", []Change{{Kind: Stop}}, Change{Kind: Hold}},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := NewLog(hill())
			appendAll(t, log, c.before...)
			was := log.Timeline()
			if err := log.Append(c.change); err == nil {
				t.Fatal("it was taken")
			}
			if log.Timeline() != was || len(log.Changes()) != len(c.before) {
				t.Fatal("a refused change left a trace")
			}
		})
	}
	log := NewLog(hill())
	appendAll(t, log, Change{Kind: Stop}, Change{Kind: Stop}, Change{Kind: Reshare, Epoch: &Epoch{ID: 1, Table: table}})
}

// drawTimeline is that of any load with any changes.
func drawTimeline(t *rapid.T) *Timeline {
	log := NewLog(drawSpec(t))
	for _, c := range drawChanges(t) {
		if err := log.Append(c); err != nil {
			t.Fatal(err)
		}
	}
	return log.Timeline()
}

// TestSpansCoverTheTimeline: within a span stage, pause and end do not change.
func TestSpansCoverTheTimeline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := drawTimeline(t)
		for range 20 {
			at := time.Duration(rapid.Int64Range(-int64(time.Second), int64(20*time.Second)).Draw(t, "at"))
			from, to := line.Span(at)
			if at < from || at >= to {
				t.Fatalf("%v is not in [%v, %v)", at, from, to)
			}
			want := line.At(at)
			for _, other := range []time.Duration{max(from, -time.Hour), min(to, time.Hour) - 1, at + time.Duration(rapid.Int64Range(0, int64(min(to, time.Hour)-at)-1).Draw(t, "other"))} {
				if got := line.At(other); got.Stage != want.Stage || got.Paused != want.Paused || got.Over != want.Over {
					t.Fatalf("at %v it is %+v, at %v in the same span %+v", at, want, other, got)
				}
			}
		}
	})
}

// TestLeastIsBelowAllLevelsBetween: and no lower than what they come to.
func TestLeastIsBelowAllLevelsBetween(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := drawTimeline(t)
		from := time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "from"))
		to := from + time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "length"))
		least, lowest := line.Least(from, to), math.Inf(1)
		for at := from; ; at += max(1, (to-from)/200) {
			lowest = min(lowest, line.Rate(min(at, to)))
			if at >= to {
				break
			}
		}
		for _, p := range line.pieces {
			if p.to > from && p.to <= to {
				lowest = min(lowest, p.level(p.to)) // before a step; the last nanosecond of a short piece may be far above it
			}
			if p.from >= from && p.from <= to {
				lowest = min(lowest, line.Rate(p.from))
			}
		}
		if least > lowest+1e-9 || least < lowest-1e-9*max(1, lowest) {
			t.Fatalf("from %v to %v the lowest level is %v, and Least says %v", from, to, lowest, least)
		}
	})
}
