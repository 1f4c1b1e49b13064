package load

import (
	"cmp"
	"slices"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func turns(u *Users, until time.Duration) []Turn {
	var out []Turn
	for t, ok := u.Peek(); ok && t.At <= until; t, ok = u.Peek() {
		out = append(out, t)
		u.Next()
	}
	return out
}

func TestUsersStartAtTheCrossingAndTheHighestRetireFirst(t *testing.T) {
	spec := &Spec{Model: Closed, Profile: Profile{Stages: []Stage{
		{For: 4 * sec, At: 4, Ramp: true}, {For: 2 * sec, At: 4}, {For: 2 * sec, At: 2, Ramp: true},
	}}}
	want := []Turn{
		{0, 0, true},
		{1, 1 * sec, true},
		{2, 2 * sec, true},
		{3, 3 * sec, true},
		{3, 7 * sec, false},
		{2, 8 * sec, false},
		{1, 8 * sec, false},
		{0, 8 * sec, false}, // the end
	}
	u := NewUsers(spec, nil, 0, 0, 1)
	if d := diff.Diff(want, turns(u, Never)); d != "" {
		t.Fatal(d)
	}
	for _, c := range []struct {
		k    int64
		at   time.Duration
		want bool
	}{{3, 3*sec - 1, false}, {3, 3 * sec, true}, {3, 7*sec - 1, true}, {3, 7 * sec, false}, {1, 8*sec - 1, true}, {1, 8 * sec, false}, {4, 5 * sec, false}} {
		if got := u.Wanted(c.k, c.at); got != c.want {
			t.Errorf("user %d wanted at %v: %v, want %v", c.k, c.at, got, c.want)
		}
	}
}

func TestWithoutARampStartsSpreadOverTheThinkTime(t *testing.T) {
	for _, c := range []struct{ think, gap time.Duration }{{0, 0}, {2 * sec, 500 * time.Millisecond}, {time.Minute, 1250 * time.Millisecond}} {
		spec := &Spec{Model: Closed, ThinkMean: c.think, Profile: Profile{Stages: []Stage{{For: 10 * sec, At: 4}}}}
		var want []Turn
		for k := range int64(4) {
			want = append(want, Turn{k, time.Duration(k) * c.gap, true})
		}
		if d := diff.Diff(want, turns(NewUsers(spec, nil, 0, 0, 1), 9*sec)); d != "" {
			t.Errorf("think %v: %s", c.think, d)
		}
	}
}

func TestAUserThatIsNotWantedAtItsSpreadStartDoesNotStart(t *testing.T) {
	spec := &Spec{Model: Closed, ThinkMean: 4 * sec, Profile: Profile{Stages: []Stage{{For: sec, At: 4}, {For: sec, At: 1}}}}
	want := []Turn{{0, 0, true}, {0, 2 * sec, false}}
	if d := diff.Diff(want, turns(NewUsers(spec, nil, 0, 0, 1), Never)); d != "" {
		t.Fatal(d)
	}
}

func TestLiveChangesActOnUsers(t *testing.T) {
	spec := &Spec{Model: Closed, Profile: Profile{Stages: []Stage{{For: 10 * sec, At: 10, Ramp: true}, {For: 10 * sec, At: 10}}}}
	log := NewLog(spec)
	u := NewUsers(spec, log, 0, 0, 1)
	step := func(until time.Duration, want []Turn, c ...Change) {
		t.Helper()
		if d := diff.Diff(want, turns(u, until)); d != "" {
			t.Fatalf("until %v: %s", until, d)
		}
		appendAll(t, log, c...)
		u.Refresh(until)
	}
	half := sec / 2
	step(2*sec+half, []Turn{{0, 0, true}, {1, sec, true}, {2, 2 * sec, true}}, Change{At: 2*sec + half, Kind: Hold})
	step(5*sec, nil, Change{At: 5 * sec, Kind: Factor, Factor: 2})                                                                              // N = 5
	step(6*sec, []Turn{{3, 5 * sec, true}, {4, 5 * sec, true}}, Change{At: 6 * sec, Kind: Factor, Factor: 1})                                   // N = 2.5
	step(7*sec, []Turn{{4, 6 * sec, false}, {3, 6 * sec, false}}, Change{At: 7 * sec, Kind: Resume})                                            // 0.5 s to user 3
	step(7*sec+half, []Turn{{3, 7*sec + half, true}}, Change{At: 8 * sec, Kind: Pause})                                                         // N = 0
	step(8*sec, []Turn{{3, 8 * sec, false}, {2, 8 * sec, false}, {1, 8 * sec, false}, {0, 8 * sec, false}}, Change{At: 9 * sec, Kind: Unpause}) // N = 3.5
	step(9*sec, []Turn{{0, 9 * sec, true}, {1, 9 * sec, true}, {2, 9 * sec, true}, {3, 9 * sec, true}}, Change{At: 9 * sec, Kind: Next})        // N = 10
	step(9*sec, []Turn{{4, 9 * sec, true}, {5, 9 * sec, true}, {6, 9 * sec, true}, {7, 9 * sec, true}, {8, 9 * sec, true}, {9, 9 * sec, true}}, Change{At: 10 * sec, Kind: Stop})
	if got := turns(u, Never); len(got) != 10 || got[0] != (Turn{9, 10 * sec, false}) {
		t.Fatalf("at the stop: %v", got)
	}
}

func TestALostSourceHandsItsUsersOver(t *testing.T) {
	spec := &Spec{Model: Closed, Profile: Profile{Stages: []Stage{{For: 10 * sec, At: 4}}}}
	log := NewLog(spec)
	appendAll(t, log, Change{Kind: Reshare, Epoch: &Epoch{ID: 1, Table: []uint16{0, 1}}})
	a, b := NewUsers(spec, log, 0, 0, 1), NewUsers(spec, log, 1, 0, 1)
	if d := diff.Diff([]Turn{{0, 0, true}, {2, 0, true}}, turns(a, sec)); d != "" {
		t.Fatal(d)
	}
	if d := diff.Diff([]Turn{{1, 0, true}, {3, 0, true}}, turns(b, sec)); d != "" {
		t.Fatal(d)
	}
	appendAll(t, log, Change{At: 3 * sec, Kind: Reshare, Epoch: &Epoch{ID: 2, Table: []uint16{0}}})
	a.Refresh(3 * sec)
	b.Refresh(3 * sec)
	// Spread over ten seconds by their numbers: user 1 of 4 after a quarter of it, user 3 after three, which is past the end.
	if d := diff.Diff([]Turn{{1, 3*sec + 10*sec/4, true}}, turns(a, 9*sec)); d != "" {
		t.Fatal(d)
	}
	if d := diff.Diff([]Turn{{3, 3 * sec, false}, {1, 3 * sec, false}}, turns(b, Never)); d != "" {
		t.Fatal(d)
	}
}

// TestMovedUsersStartSpread: however many users an epoch brings and however many shards there are, they start evenly over ten
// seconds; where the source hears of the epoch only after its time, those who should have started by then do so over ten seconds
// from then on, whatever it hears meanwhile. Users who stay do not notice.
func TestMovedUsersStartSpread(t *testing.T) {
	for late, most := range map[time.Duration]int{-sec: 25, 2 * sec: 25 + 50/10 + 3, 8 * sec: 25 + 200/10 + 3, 15 * sec: 250/10 + 3} { // a shard rounds up
		spec := &Spec{Model: Closed, ThinkMean: sec, Profile: Profile{Stages: []Stage{{For: time.Minute, At: 1000}}}}
		log := NewLog(spec)
		appendAll(t, log, Change{Kind: Reshare, Epoch: &Epoch{ID: 1, Table: []uint16{0, 1, 2, 1}}})
		const shards = 3
		var parts []*Users
		heard := 20*sec + late
		for shard := range shards {
			u := NewUsers(spec, log, 1, shard, shards)
			if n := len(turns(u, heard)); n < 160 || n > 173 {
				t.Errorf("%d of 500 users are shard %d's of %d", n, shard, shards)
			}
			parts = append(parts, u)
		}
		appendAll(t, log, Change{At: 20 * sec, Kind: Reshare, Epoch: &Epoch{ID: 2, Table: []uint16{0, 1, 1, 1}}})
		perSecond, came := make([]int, 40), 0
		take := func(u *Users, until time.Duration) {
			for _, turn := range turns(u, until) {
				if !turn.Start || turn.User%4 != 2 || turn.At < max(20*sec, heard) {
					t.Fatalf("turn %v: only the users of the third source come, after the epoch", turn)
				}
				perSecond[(turn.At-20*sec)/sec]++
				came++
			}
		}
		for _, u := range parts {
			u.Refresh(heard)
			take(u, heard+3*sec)
		}
		appendAll(t, log, Change{At: heard + 4*sec, Kind: Factor, Factor: 1}) // which changes nothing
		for _, u := range parts {
			u.Refresh(heard + 3*sec)
			take(u, max(heard, 20*sec)+10*sec)
		}
		if n := slices.Max(perSecond); came != 250 || n > most {
			t.Errorf("known %v after its time: %d of 250 users came within ten seconds, by second %v, want at most %d in one", late, came, perSecond, most)
		}
	}
}

// TestARaiseThatIsHeardOfLateIsNoBurst: of the users whom it calls for, none starts at once for all those seconds.
func TestARaiseThatIsHeardOfLateIsNoBurst(t *testing.T) {
	spec := &Spec{Model: Closed, ThinkMean: sec, Profile: Profile{Stages: []Stage{{For: time.Minute, At: 100}}}}
	log := NewLog(spec)
	u := NewUsers(spec, log, 0, 0, 1)
	turns(u, 20*sec)
	appendAll(t, log, Change{At: 10 * sec, Kind: Factor, Factor: 3})
	u.Refresh(20 * sec)
	for i, turn := range turns(u, 59*sec) {
		if want := (Turn{int64(100 + i), 20*sec + time.Duration(i)*10*sec/200, true}); turn != want {
			t.Fatalf("turn %v, want %v", turn, want)
		}
	}
	if len(u.putOff) > 0 {
		t.Errorf("%d users who have started are still remembered", len(u.putOff))
	}
}

// TestWhatWasDueWhileTheSourceStoodStillIsNoBurst: those who should have started start over ten seconds, also if it stands still again
// before all have; those who should have retired retire at once.
func TestWhatWasDueWhileTheSourceStoodStillIsNoBurst(t *testing.T) {
	spec := &Spec{Model: Closed, Profile: Profile{Stages: []Stage{{For: 20 * sec, At: 200, Ramp: true}, {For: 20 * sec, At: 200}, {For: 20 * sec, Ramp: true}}}}
	u := NewUsers(spec, NewLog(spec), 0, 0, 1)
	if n := len(turns(u, 5*sec)); n != 51 { // users 0..50
		t.Fatalf("%d users in 5 s", n)
	}
	// User 51+j was due at 5.1 + j/10 s, 49 of them before 10 s or at it, and comes j/4.9 s after 10 s.
	count, missing, before := u.Stopped(10*sec-1, 8*sec)
	if count != 49 || (missing-49*(10*sec-5100*time.Millisecond)+49*24*100*time.Millisecond-49*24*10*sec/49).Abs() > time.Microsecond {
		t.Errorf("%d users are %v late in all", count, missing)
	}
	// Before 8 s, 30 users were due, the last of them at that time: (8 - 5.1) + .. + 0 s.
	if want := 30*2900*time.Millisecond - 30*29/2*100*time.Millisecond; (before - want).Abs() > time.Microsecond {
		t.Errorf("of that %v lie before 8 s, want %v", before, want)
	}
	late := 0
	for _, turn := range turns(u, 15*sec-2) {
		if !turn.Start || turn.At < 10*sec-1 {
			t.Fatalf("turn %v", turn)
		}
		if turn.User < 100 {
			if want := 10*sec - 1 + part(10*sec, turn.User-51, 49); turn.At != want {
				t.Fatalf("turn %v, want it at %v", turn, want)
			}
			late++
		}
	}
	if late != 25 {
		t.Errorf("%d of 49 came in the first half of the ten seconds", late)
	}
	// It stands still again: those who were put off and would have come meanwhile are put off once more, the others are not.
	count, _, _ = u.Stopped(17*sec+1, Never)
	if want := 10 + 21; count != want {
		t.Errorf("%d users, want %d", count, want)
	}
	turns(u, 40*sec-1)
	for k := range int64(200) {
		if !u.isLive(k) {
			t.Fatalf("user %d does not live", k)
		}
	}
	if len(u.putOff) > 0 {
		t.Errorf("%d users who have started are still remembered", len(u.putOff))
	}
	if count, missing, _ = u.Stopped(50*sec+1, Never); count != 0 || missing != 0 {
		t.Errorf("%d users start on the way down, %v late", count, missing)
	}
	for i, turn := range turns(u, 50*sec+1) {
		if want := (Turn{int64(199 - i), 50*sec + 1, false}); turn != want {
			t.Fatalf("turn %v, want %v", turn, want)
		}
	}
	if u.isLive(100) || !u.isLive(99) {
		t.Error("not half of them retired")
	}
}

// TestASourceThatLearnsLateGivesUpItsUsersAtOnce: it cannot undo what was, but nothing of it goes on.
func TestASourceThatLearnsLateGivesUpItsUsersAtOnce(t *testing.T) {
	spec := &Spec{Model: Closed, Profile: Profile{Stages: []Stage{{For: 20 * sec, At: 4, Ramp: true}, {For: 10 * sec, At: 4}}}}
	log := NewLog(spec)
	appendAll(t, log, Change{Kind: Reshare, Epoch: &Epoch{ID: 1, Table: []uint16{0, 1}}})
	b := NewUsers(spec, log, 1, 0, 1)
	if d := diff.Diff([]Turn{{1, 5 * sec, true}, {3, 15 * sec, true}}, turns(b, 16*sec)); d != "" {
		t.Fatal(d)
	}
	appendAll(t, log, Change{At: 12 * sec, Kind: Reshare, Epoch: &Epoch{ID: 2, Table: []uint16{0}}})
	b.Refresh(16 * sec)
	if d := diff.Diff([]Turn{{3, 16 * sec, false}, {1, 16 * sec, false}}, turns(b, Never)); d != "" {
		t.Fatal(d)
	}
}

// TestAChangeThatComesLateIsMadeGood: the shard has gone past the change's time when it learns of it.
func TestAChangeThatComesLateIsMadeGood(t *testing.T) {
	spec := &Spec{Model: Closed, Profile: Profile{Stages: []Stage{{For: 4 * sec, At: 4, Ramp: true}, {For: 6 * sec, At: 4}}}}
	log := NewLog(spec)
	u := NewUsers(spec, log, 0, 0, 1)
	turns(u, 3*sec)
	appendAll(t, log, Change{At: sec + sec/2, Kind: Hold}) // N stays 1.5: users 0 and 1
	u.Refresh(3 * sec)
	if d := diff.Diff([]Turn{{3, 3 * sec, false}, {2, 3 * sec, false}}, turns(u, Never)); d != "" {
		t.Fatal(d)
	}
	appendAll(t, log, Change{At: 2 * sec, Kind: Factor, Factor: 2}) // N = 3
	u.Refresh(3 * sec)
	if d := diff.Diff([]Turn{{2, 3 * sec, true}}, turns(u, Never)); d != "" {
		t.Fatal(d)
	}
}

// life is what a test knows of one user over all sources.
type life struct {
	live int
	left time.Duration // when it retired last
}

// TestUsersOfThePartsAreTheUsersOfTheWhole: at any time exactly the users k < N(t) live, each in one shard, whatever the
// changes, the sources and the shards, and however late these hear of it; those whom an epoch has moved, and those whom a change
// calls for that was heard of late, after at most 10 s; those whose number in the table no source has nowhere.
func TestUsersOfThePartsAreTheUsersOfTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		spec.Model, spec.Iterations = Closed, 0
		for i := range spec.Profile.Stages { // steeper ramps pass many users within the nanosecond of rounding
			spec.Profile.Stages[i].For += time.Millisecond
		}
		if rapid.Bool().Draw(t, "long") {
			spec.Profile.Stages = append(spec.Profile.Stages, Stage{For: 20 * sec, At: spec.Profile.Stages[0].At})
		}
		log := NewLog(spec)
		sources, shards := rapid.IntRange(1, 3).Draw(t, "sources"), rapid.IntRange(1, 3).Draw(t, "shards")
		var parts []*Users
		for source := range sources {
			for shard := range shards {
				parts = append(parts, NewUsers(spec, log, source, shard, shards))
			}
		}
		table, dealt, walked := everything, time.Duration(-moveSpread), time.Duration(0)
		lives := map[int64]*life{}
		walk := func(until time.Duration) {
			until = max(until, walked)
			var all []Turn
			for _, u := range parts {
				if u.Stale() {
					u.Refresh(walked)
				}
				last := time.Duration(-1)
				for _, turn := range turns(u, until) {
					if turn.At < last {
						t.Fatalf("a turn at %v after one at %v", turn.At, last)
					}
					last = turn.At
					all = append(all, turn)
				}
			}
			slices.SortStableFunc(all, func(a, b Turn) int { return cmp.Or(cmp.Compare(a.At, b.At), compareBool(a.Start, b.Start)) })
			for _, turn := range all {
				l := lives[turn.User]
				if l == nil {
					l = &life{}
					lives[turn.User] = l
				}
				if turn.Start {
					l.live++
				} else {
					l.live--
					l.left = turn.At
				}
				if turn.At > walked && (l.live < 0 || l.live > 1) { // what lies before is done all at once, when it is heard of
					t.Fatalf("at %v user %d lives %d times", turn.At, turn.User, l.live)
				}
			}
			for k, l := range lives {
				if l.live < 0 || l.live > 1 {
					t.Fatalf("at %v user %d lives %d times", until, k, l.live)
				}
			}
			n := log.Timeline().Rate(until)
			for k := range int64(n) + 2 {
				want := float64(k) < n && int(table[k%int64(len(table))]) < sources
				if d := float64(k) - n; -1e-3 < d && d < 1e-3 {
					continue // on the edge rounding decides
				}
				got := lives[k] != nil && lives[k].live == 1
				if want && !got && until < dealt+moveSpread {
					continue // on its way
				}
				if got != want {
					t.Fatalf("at %v N = %v and user %d lives: %v, want %v", until, n, k, got, want)
				}
			}
			for k, l := range lives {
				if l.live > 0 && float64(k) > n+1e-3 {
					t.Fatalf("at %v N = %v and user %d lives", until, n, k)
				}
			}
			walked = until
		}
		epoch := 0
		for _, c := range drawChanges(t) {
			late := time.Duration(rapid.SampledFrom([]int{0, 0, 30, 200, 3000}).Draw(t, "late")) * time.Millisecond
			walk(c.At + late)
			if walked > c.At+Hearing {
				dealt = walked
			}
			if rapid.Bool().Draw(t, "reshare") {
				epoch++
				weights := rapid.SliceOfN(rapid.IntRange(0, 5), sources+1, sources+1).Draw(t, "weights")
				weights[0]++
				table, dealt = Table(weights), walked
				if err := log.Append(Change{At: max(c.At, Latest(log.Changes())), Kind: Reshare, Epoch: &Epoch{ID: epoch, Table: table}}); err != nil {
					t.Fatal(err)
				}
			}
			if err := log.Append(c); err != nil {
				t.Fatal(err)
			}
			walk(c.At)
		}
		walk(Never - 1)
	})
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
