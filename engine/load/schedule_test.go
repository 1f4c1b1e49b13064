package load

import (
	"math"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestEvenArrivalsAreDueInTheMiddleOfEqualGaps(t *testing.T) {
	spec := &Spec{Arrivals: Even, Profile: Profile{Stages: []Stage{{For: time.Second, At: 100}}}}
	if err := spec.Validate(); err != nil {
		t.Fatal(err)
	}
	s := NewSchedule(spec, nil, 0, 0, 1)
	for i := range int64(100) {
		index, due, ok := s.Peek()
		if want := 5*time.Millisecond + time.Duration(i)*10*time.Millisecond; !ok || index != i || due != want {
			t.Fatalf("arrival %d: got index %d due %v %v, want due %v", i, index, due, ok, want)
		}
		s.Next()
	}
	if _, _, ok := s.Peek(); ok {
		t.Fatal("an arrival after the end of the profile")
	}
}

// drawSpec draws a valid open profile of at most a few thousand arrivals.
func drawSpec(t *rapid.T) *Spec {
	spec := &Spec{
		Arrivals: Arrivals(rapid.IntRange(0, 1).Draw(t, "arrivals")),
		Seed:     rapid.Uint64().Draw(t, "seed"),
	}
	before := 0.0
	for range rapid.IntRange(1, 4).Draw(t, "stages") {
		s := Stage{For: time.Duration(rapid.IntRange(1, 3_000_000_000).Draw(t, "for")), At: rapid.Float64Range(0, 300).Draw(t, "at")}
		if s.Ramp = rapid.Bool().Draw(t, "ramp"); s.Ramp {
			switch c := Curve(rapid.IntRange(0, 2).Draw(t, "curve")); {
			case c == Steps && s.For >= 10*time.Millisecond:
				s.Curve, s.Steps = Steps, rapid.IntRange(1, 10).Draw(t, "steps")
			case c == Exponential && before > 0 && s.At > 0:
				s.Curve = Exponential
			}
		}
		before = s.At
		spec.Profile.Stages = append(spec.Profile.Stages, s)
	}
	if rapid.Bool().Draw(t, "capped") {
		spec.MaxRate = max(0.1, spec.Profile.Peak()*rapid.Float64Range(1, 1.5).Draw(t, "cap"))
	}
	if rapid.Bool().Draw(t, "bounded") {
		spec.Iterations = rapid.Int64Range(1, 500).Draw(t, "iterations")
	}
	if rapid.Bool().Draw(t, "limited") {
		spec.MaxInFlight = rapid.IntRange(1, 10).Draw(t, "slots")
	}
	if err := spec.Validate(); err != nil {
		t.Fatal(err)
	}
	return spec
}

// drawChanges draws changes without epochs; they end with a stop, so that no hold lasts for ever. It may lie before some of them.
func drawChanges(t *rapid.T) []Change {
	var out []Change
	at := time.Duration(0)
	for range rapid.IntRange(0, 6).Draw(t, "changes") {
		at += time.Duration(rapid.IntRange(0, 2_000_000_000).Draw(t, "after"))
		c := Change{At: at, Kind: ChangeKind(rapid.IntRange(1, 6).Draw(t, "kind"))}
		if c.Kind == Factor {
			c.Factor = rapid.Float64Range(0.5, 2).Draw(t, "factor")
		}
		out = append(out, c)
	}
	return append(out, Change{At: max(0, at+time.Duration(rapid.IntRange(-3_000_000_000, 5_000_000_000).Draw(t, "stop"))), Kind: Stop})
}

// TestPartsAreTheWhole: however many sources, shards, epochs and changes there are, every index is dealt once and at
// the time at which a single source would have had it.
func TestPartsAreTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, changes := drawSpec(t), drawChanges(t)
		alone := NewLog(spec)
		for _, c := range changes {
			if err := alone.Append(c); err != nil {
				t.Fatal(err)
			}
		}
		var want []time.Duration
		for s := NewSchedule(spec, alone, 0, 0, 1); ; s.Next() {
			index, due, ok := s.Peek()
			if !ok {
				break
			}
			if index != int64(len(want)) {
				t.Fatalf("a single source was dealt index %d after %d others", index, len(want))
			}
			want = append(want, due)
		}

		log := NewLog(spec)
		var parts []*Schedule
		for source := range rapid.IntRange(1, 4).Draw(t, "sources") {
			shards := rapid.IntRange(1, 3).Draw(t, "shards")
			for shard := range shards {
				parts = append(parts, NewSchedule(spec, log, source, shard, shards))
			}
		}
		got := map[int64]time.Duration{}
		walk := func(until time.Duration) {
			for _, s := range parts {
				if s.Stale() {
					s.Refresh()
				}
				last := time.Duration(-1)
				for index, due, ok := s.Peek(); ok && due <= until; index, due, ok = s.Peek() {
					if _, twice := got[index]; twice {
						t.Fatalf("index %d was dealt twice", index)
					}
					if due < last {
						t.Fatalf("index %d is due at %v, before the one before it at %v", index, due, last)
					}
					got[index], last = due, due
					s.Next()
				}
			}
		}
		epoch := 0
		for _, c := range changes {
			walk(min(c.At, changes[len(changes)-1].At)) // of the stop all hear in time
			if rapid.Bool().Draw(t, "reshare") {
				epoch++
				weights := rapid.SliceOfN(rapid.IntRange(0, 5), 4, 4).Draw(t, "weights")
				weights[0]++
				for i := range weights { // only sources that take part
					if !takesPart(parts, i) {
						weights[i] = 0
					}
				}
				at := max(c.At, Latest(log.Changes()))
				e := &Epoch{ID: epoch, From: log.Timeline().FirstAfter(at), Table: Table(weights)}
				if err := log.Append(Change{At: at, Kind: Reshare, Epoch: e}); err != nil {
					t.Fatal(err)
				}
			}
			if err := log.Append(c); err != nil {
				t.Fatal(err)
			}
		}
		walk(Never - 1)
		if len(got) != len(want) {
			t.Fatalf("%d indices were dealt to the parts and %d to one source", len(got), len(want))
		}
		for i, due := range want {
			if d := got[int64(i)] - due; d < -2 || d > 2 {
				t.Fatalf("index %d is due at %v for the parts and at %v for one source", i, got[int64(i)], due)
			}
		}
	})
}

func takesPart(parts []*Schedule, source int) bool {
	for _, p := range parts {
		if p.source == source {
			return true
		}
	}
	return false
}

func TestAConsumedIndexIsNotDealtAgainAfterAChange(t *testing.T) {
	spec := &Spec{Arrivals: Even, Profile: Profile{Stages: []Stage{{For: 10 * time.Second, At: 10}}}}
	log := NewLog(spec)
	s := NewSchedule(spec, log, 0, 0, 1)
	skip(s, time.Second)
	// The shard ran ahead of a change that was appended late; what it has begun it keeps.
	if err := log.Append(Change{At: 500 * time.Millisecond, Kind: Factor, Factor: 0.5}); err != nil {
		t.Fatal(err)
	}
	if !s.Stale() {
		t.Fatal("the log grew and the schedule is not stale")
	}
	s.Refresh()
	// L is 5 at 0.5 s and then grows by 5 a second: index 10 (u = 10.5) is due at 1.6 s.
	if index, due, ok := s.Peek(); !ok || index != 10 || due != 1600*time.Millisecond {
		t.Fatalf("got %d at %v %v, want index 10 at 1.6s", index, due, ok)
	}
}

func TestPauseAndStopDealNothing(t *testing.T) {
	spec := &Spec{Arrivals: Even, Profile: Profile{Stages: []Stage{{For: 10 * time.Second, At: 10}}}}
	log := NewLog(spec)
	s := NewSchedule(spec, log, 0, 0, 1)
	skip(s, time.Second)
	appendAll(t, log, Change{At: time.Second, Kind: Pause})
	s.Refresh()
	if _, _, ok := s.Peek(); ok {
		t.Fatal("an arrival in a pause that nobody has ended")
	}
	appendAll(t, log, Change{At: 4 * time.Second, Kind: Unpause})
	s.Refresh()
	if index, due, ok := s.Peek(); !ok || index != 10 || due != 4050*time.Millisecond {
		t.Fatalf("after the pause: got %d at %v %v, want 10 at 4.05s", index, due, ok)
	}
	appendAll(t, log, Change{At: 4 * time.Second, Kind: Stop})
	s.Refresh()
	if _, _, ok := s.Peek(); ok {
		t.Fatal("an arrival after the stop")
	}
}

// skip consumes what is due at or before t.
func skip(s *Schedule, t time.Duration) {
	for _, due, ok := s.Peek(); ok && due <= t; _, due, ok = s.Peek() {
		s.Next()
	}
}

// TestRefreshSaysWhatIsNew: the time of the first change of the level that the schedule has not seen, whatever moves shares; what a
// stop leaves is none.
func TestRefreshSaysWhatIsNew(t *testing.T) {
	spec := &Spec{Arrivals: Even, Profile: Profile{Stages: []Stage{{For: 10 * time.Second, At: 10}}}}
	log := NewLog(spec)
	appendAll(t, log, Change{At: sec, Kind: Hold})
	s := NewSchedule(spec, log, 0, 0, 1)
	for _, c := range []struct {
		changes []Change
		want    time.Duration
	}{
		{nil, Never},
		{[]Change{{At: 2 * sec, Kind: Reshare, Epoch: &Epoch{ID: 1, Table: everything}}}, Never},
		{[]Change{{At: 3 * sec, Kind: Reshare, Epoch: &Epoch{ID: 2, Table: everything}}, {At: 4 * sec, Kind: Resume}, {At: 5 * sec, Kind: Factor, Factor: 2}}, 4 * sec},
		{nil, Never},
		{[]Change{{At: 7 * sec, Kind: Factor, Factor: 1}}, 7 * sec},
		{[]Change{{At: 8 * sec, Kind: Factor, Factor: 2}, {At: 6 * sec, Kind: Stop}}, Never},
	} {
		appendAll(t, log, c.changes...)
		if got := s.Refresh(); got != c.want {
			t.Errorf("after %v the schedule changed from %v on, want %v", c.changes, got, c.want)
		}
	}
}

// TestSpacingIsExactAfterADay: at 100,000/s for 24 h the gap between neighbours is right to far less than 1 us.
func TestSpacingIsExactAfterADay(t *testing.T) {
	spec := &Spec{Arrivals: Even, Profile: Profile{Stages: []Stage{
		{For: time.Hour, At: 99_999.9, Ramp: true}, {For: 30 * time.Hour, At: 100_000},
	}}}
	log := NewLog(spec)
	appendAll(t, log, Change{At: 2 * time.Hour, Kind: Hold}, Change{At: 3 * time.Hour, Kind: Resume}, Change{At: 24 * time.Hour, Kind: Reshare, Epoch: &Epoch{ID: 1, Table: everything}})
	from := log.Timeline().FirstAfter(24 * time.Hour)
	if want := 99_999.9*1800 + 100_000*23*3600; math.Abs(float64(from)-want) > 1 {
		t.Fatalf("after a day comes index %d, want about %.1f", from, want)
	}
	s := NewSchedule(spec, log, 0, 0, 1)
	s.done = from - 1
	s.Refresh()
	_, before, _ := s.Peek()
	for range 100_000 {
		s.Next()
		_, due, ok := s.Peek()
		if gap := due - before; !ok || gap < 9_999 || gap > 10_001 {
			t.Fatalf("a gap of %v, want 10us", gap)
		}
		before = due
	}
}

func appendAll(t *testing.T, log *Log, changes ...Change) {
	t.Helper()
	for _, c := range changes {
		if err := log.Append(c); err != nil {
			t.Fatal(err)
		}
	}
}

// TestShardsReadTheLogWhileItGrows: appending and refreshing from several goroutines loses no index.
func TestShardsReadTheLogWhileItGrows(t *testing.T) {
	spec := &Spec{Profile: Profile{Stages: []Stage{{For: 10 * sec, At: 2000}}}}
	log := NewLog(spec)
	const shards = 3
	var wg sync.WaitGroup
	seen := make([][]int64, shards)
	for shard := range shards {
		wg.Go(func() {
			s := NewSchedule(spec, log, 0, shard, shards)
			for {
				if s.Stale() {
					s.Refresh()
				}
				index, _, ok := s.Peek()
				if !ok {
					return
				}
				seen[shard] = append(seen[shard], index)
				s.Next()
			}
		})
	}
	wg.Go(func() {
		for i := range 200 {
			c := Change{At: time.Duration(i) * 10 * time.Millisecond, Kind: Factor, Factor: 1 + float64(i%2)/10}
			if err := log.Append(c); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	for shard, indices := range seen {
		for n, index := range indices {
			if want := int64(n*shards + shard); index != want {
				t.Fatalf("shard %d: number %d is index %d, want %d", shard, n, index, want)
			}
		}
	}
}

// TestWhatBelongsToNobodyIsDealtToNobody: an entry of a table may name a number that no source has. Its indices are begun by
// nobody, evenly spread over the rest; those of the sources and their times are as they would be.
func TestWhatBelongsToNobodyIsDealtToNobody(t *testing.T) {
	spec := &Spec{Arrivals: Even, Profile: Profile{Stages: []Stage{{For: 10 * time.Second, At: 100}}}}
	log := NewLog(spec)
	const nobody = 65535
	appendAll(t, log, Change{Kind: Reshare, Epoch: &Epoch{ID: 1, Table: []uint16{0, 1, nobody, 1}}},
		Change{At: 5 * time.Second, Kind: Reshare, Epoch: &Epoch{ID: 2, From: 500, Table: []uint16{nobody, 0}}})
	dealt := map[int]int{}
	for source := range 2 {
		for shard := range 2 {
			s := NewSchedule(spec, log, source, shard, 2)
			for i, due, ok := s.Peek(); ok; i, due, ok = s.Peek() {
				s.Next()
				owner := []int{0, 1, nobody, 1}[i%4]
				if i >= 500 {
					owner = []int{nobody, 0}[i%2]
				}
				if owner != source || due != time.Duration(i)*10*time.Millisecond+5*time.Millisecond {
					t.Fatalf("index %d of source %d was dealt to %d, due at %v", i, owner, source, due)
				}
				dealt[source]++
			}
		}
	}
	if dealt[0] != 125+250 || dealt[1] != 250 {
		t.Errorf("dealt %v, want 375 and 250", dealt)
	}
}

// TestAStopThatIsHeardOfLateTakesNothingBack: what was begun beyond it is not dealt again and leaves the count as it is, and nothing
// more comes, not even under a change or an epoch for a later time that the source has followed already.
func TestAStopThatIsHeardOfLateTakesNothingBack(t *testing.T) {
	spec := &Spec{Arrivals: Even, Profile: Profile{Stages: []Stage{{For: 10 * sec, At: 10}}}}
	log := NewLog(spec)
	s := NewSchedule(spec, log, 0, 0, 1)
	appendAll(t, log, Change{At: 2 * sec, Kind: Factor, Factor: 2}, Change{At: 2 * sec, Kind: Reshare, Epoch: &Epoch{ID: 1, From: 20, Table: everything}})
	s.Refresh()
	skip(s, 3*sec) // 20 and 20 more
	appendAll(t, log, Change{At: sec, Kind: Stop})
	if got := s.Refresh(); got != Never {
		t.Errorf("the level changed from %v on", got)
	}
	if index, due, ok := s.Peek(); ok || s.done != 39 {
		t.Errorf("index %d is due at %v (%v) after %d", index, due, ok, s.done)
	}
	if n, end := log.Timeline().FirstAfter(Never-1), log.Timeline().End(); n != 10 || end != sec {
		t.Errorf("%d arrivals until %v", n, end)
	}
}
