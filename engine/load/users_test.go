package load

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
	if d := cmp.Diff(want, turns(u, Never)); d != "" {
		t.Fatal(d)
	}
	for k, at := range map[int64]time.Duration{0: 0, 3: 3 * sec} {
		if got, ok := u.StartOf(k); !ok || got != at {
			t.Errorf("user %d starts at %v %v, want %v", k, got, ok, at)
		}
	}
	if _, ok := u.StartOf(4); ok {
		t.Error("user 4 is never wanted")
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
		if d := cmp.Diff(want, turns(NewUsers(spec, nil, 0, 0, 1), 9*sec)); d != "" {
			t.Errorf("think %v: %s", c.think, d)
		}
	}
}

func TestAUserThatIsNotWantedAtItsSpreadStartDoesNotStart(t *testing.T) {
	spec := &Spec{Model: Closed, ThinkMean: 4 * sec, Profile: Profile{Stages: []Stage{{For: sec, At: 4}, {For: sec, At: 1}}}}
	want := []Turn{{0, 0, true}, {0, 2 * sec, false}}
	if d := cmp.Diff(want, turns(NewUsers(spec, nil, 0, 0, 1), Never)); d != "" {
		t.Fatal(d)
	}
}

func TestLiveChangesActOnUsers(t *testing.T) {
	spec := &Spec{Model: Closed, Profile: Profile{Stages: []Stage{{For: 10 * sec, At: 10, Ramp: true}, {For: 10 * sec, At: 10}}}}
	log := NewLog(spec)
	u := NewUsers(spec, log, 0, 0, 1)
	step := func(until time.Duration, want []Turn, c ...Change) {
		t.Helper()
		if d := cmp.Diff(want, turns(u, until)); d != "" {
			t.Fatalf("until %v: %s", until, d)
		}
		appendAll(t, log, c...)
		u.Refresh()
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
	if d := cmp.Diff([]Turn{{0, 0, true}, {2, 0, true}}, turns(a, sec)); d != "" {
		t.Fatal(d)
	}
	if d := cmp.Diff([]Turn{{1, 0, true}, {3, 0, true}}, turns(b, sec)); d != "" {
		t.Fatal(d)
	}
	appendAll(t, log, Change{At: 3 * sec, Kind: Reshare, Epoch: &Epoch{ID: 2, Table: []uint16{0}}})
	a.Refresh()
	b.Refresh()
	if d := cmp.Diff([]Turn{{1, 3 * sec, true}, {3, 3 * sec, true}}, turns(a, 5*sec)); d != "" {
		t.Fatal(d)
	}
	if d := cmp.Diff([]Turn{{3, 3 * sec, false}, {1, 3 * sec, false}}, turns(b, Never)); d != "" {
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
	u.Refresh()
	if d := cmp.Diff([]Turn{{3, 3 * sec, false}, {2, 3 * sec, false}}, turns(u, Never)); d != "" {
		t.Fatal(d)
	}
	appendAll(t, log, Change{At: 2 * sec, Kind: Factor, Factor: 2}) // N = 3
	u.Refresh()
	if d := cmp.Diff([]Turn{{2, 3 * sec, true}}, turns(u, Never)); d != "" {
		t.Fatal(d)
	}
}

// TestUsersOfThePartsAreTheUsersOfTheWhole: at any time exactly the users k < N(t) live, each in one shard, whatever the
// changes, the sources and the shards.
func TestUsersOfThePartsAreTheUsersOfTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		spec.Model, spec.Iterations = Closed, 0
		for i := range spec.Profile.Stages { // steeper ramps pass many users within the nanosecond of rounding
			spec.Profile.Stages[i].For += time.Millisecond
		}
		log := NewLog(spec)
		sources, shards := rapid.IntRange(1, 3).Draw(t, "sources"), rapid.IntRange(1, 3).Draw(t, "shards")
		var parts []*Users
		for source := range sources {
			for shard := range shards {
				parts = append(parts, NewUsers(spec, log, source, shard, shards))
			}
		}
		walk := func(until time.Duration) {
			live := map[int64]int{}
			for _, u := range parts {
				if u.Stale() {
					u.Refresh()
				}
				last := time.Duration(-1)
				for _, turn := range turns(u, until) {
					if turn.At < last {
						t.Fatalf("a turn at %v after one at %v", turn.At, last)
					}
					last = turn.At
				}
				for k := range int64(len(u.live) * 64) {
					if u.isLive(k) {
						live[k]++
					}
				}
			}
			line := log.Timeline()
			n := line.Rate(until)
			for k := range int64(n) + 2 {
				want := float64(k) < n
				if d := float64(k) - n; -1e-3 < d && d < 1e-3 {
					continue // on the edge rounding decides
				}
				if got := live[k]; got > 1 || (got == 1) != want {
					t.Fatalf("at %v N = %v and user %d lives %d times", until, n, k, got)
				}
			}
			for k := range live {
				if float64(k) > n+1e-3 {
					t.Fatalf("at %v N = %v and user %d lives", until, n, k)
				}
			}
		}
		epoch := 0
		for _, c := range drawChanges(t) {
			walk(c.At)
			if rapid.Bool().Draw(t, "reshare") {
				epoch++
				weights := rapid.SliceOfN(rapid.IntRange(0, 5), sources, sources).Draw(t, "weights")
				weights[0]++
				if err := log.Append(Change{At: c.At, Kind: Reshare, Epoch: &Epoch{ID: epoch, Table: Table(weights)}}); err != nil {
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
