package load

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTable(t *testing.T) {
	for _, c := range []struct {
		weights []int
		want    []uint16
	}{
		{[]int{1}, []uint16{0}},
		{[]int{0, 7}, []uint16{1}},
		{[]int{5, 5}, []uint16{0, 1}},
		{[]int{2, 1}, []uint16{0, 1, 0}},
		{nil, nil},
		{[]int{0, -3}, nil},
	} {
		if got := Table(c.weights); !slices.Equal(got, c.want) {
			t.Errorf("Table(%v) = %v, want %v", c.weights, got, c.want)
		}
	}
}

// TestATableIsFairInEveryPrefix: the count of a source is within 1 of its part of any beginning, and exact over all.
func TestATableIsFairInEveryPrefix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(0, 300), 1, 12).Draw(t, "weights")
		total := 0
		for _, w := range weights {
			total += w
		}
		table := Table(weights)
		if total == 0 {
			if table != nil {
				t.Fatalf("got %v for nobody", table)
			}
			return
		}
		if total%len(table) != 0 {
			t.Fatalf("%d entries for a sum of %d", len(table), total)
		}
		got := make([]int, len(weights))
		for j, source := range table {
			got[source]++
			for i, w := range weights {
				if part := float64(j+1) * float64(w) / float64(total); math.Abs(float64(got[i])-part) >= 1 {
					t.Fatalf("after %d entries source %d has %d, its part is %v", j+1, i, got[i], part)
				}
			}
		}
		for i, w := range weights {
			if got[i]*total != w*len(table) {
				t.Fatalf("source %d of weight %d of %d has %d of %d entries", i, w, total, got[i], len(table))
			}
		}
	})
}

func TestALargeSumIsScaledAndNobodyIsLeftOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(0, math.MaxInt32), 2, 20).Draw(t, "weights")
		weights[0], weights[1] = math.MaxInt32, 1
		table := Table(weights)
		if len(table) > tableLen {
			t.Fatalf("%d entries", len(table))
		}
		got, sum := make([]int, len(weights)), 0.0
		for _, source := range table {
			got[source]++
		}
		for _, w := range weights {
			sum += float64(w)
		}
		for i, w := range weights {
			if (got[i] > 0) != (w > 0) {
				t.Fatalf("source %d of weight %d has %d entries", i, w, got[i])
			}
			// Whoever gets an entry for less than one takes it from the others.
			if part := float64(w) / sum * tableLen; math.Abs(float64(got[i])-part) > float64(len(weights)) {
				t.Fatalf("source %d has %d entries, its part is %v", i, got[i], part)
			}
		}
	})
}

func TestMoreSourcesThanEntries(t *testing.T) {
	weights := make([]int, 5000)
	for i := range weights {
		weights[i] = 1 + i%3
	}
	if got := Table(weights); len(got) != 5000 {
		t.Fatalf("%d entries for 5000 sources", len(got))
	}
}

// TestSharesOfABoundAddUp: whatever the table and the shards, the parts of n are n.
func TestSharesOfABoundAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1_000_000).Draw(t, "n")
		weights := rapid.SliceOfN(rapid.IntRange(1, 9), 1, 5).Draw(t, "weights")
		shards := rapid.IntRange(1, 5).Draw(t, "shards")
		sum := int64(0)
		for source := range weights {
			for shard := range shards {
				sum += Share(n, Table(weights), source, shard, shards)
			}
		}
		if sum != n {
			t.Fatalf("the shares of %d add up to %d", n, sum)
		}
	})
}

// TestSlotsAddUp: at any time the slots of all shards of all sources are max_in_flight, less those of nobody; they follow the
// table after its time, and wherever a shard has indices it has a slot for them.
func TestSlotsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := &Spec{MaxInFlight: rapid.IntRange(1, 40).Draw(t, "slots"), Profile: Profile{Stages: []Stage{{For: time.Minute, At: 100}}}}
		log := NewLog(spec)
		sources := rapid.IntRange(1, 5).Draw(t, "sources")
		nobody := rapid.IntRange(0, 3).Draw(t, "nobody")
		for epoch := range rapid.IntRange(1, 4).Draw(t, "epochs") {
			weights := rapid.SliceOfN(rapid.IntRange(0, 5), sources, sources).Draw(t, "weights")
			weights[0]++
			at := time.Duration(epoch) * 5 * sec
			e := &Epoch{ID: epoch + 1, From: log.Timeline().FirstAfter(at), Table: Table(append(weights, nobody))}
			if err := log.Append(Change{At: at, Kind: Reshare, Epoch: e}); err != nil {
				t.Fatal(err)
			}
		}
		line := log.Timeline()
		shards := rapid.IntRange(1, 4).Draw(t, "shards")
		for i, c := range log.Changes() {
			table, now := c.Epoch.Table, c.At+1
			want, sum := int(Share(int64(spec.MaxInFlight), table, sources, 0, 1)), 0 // those of nobody
			for source := range sources {
				for shard := range shards {
					n, until := line.Slots(now, source, shard, shards)
					sum += n
					if i+1 < len(log.Changes()) != (until == c.At+5*sec) || i+1 == len(log.Changes()) && until != Never {
						t.Fatalf("after epoch %d the slots hold until %v", i+1, until)
					}
					s := NewSchedule(spec, log, source, shard, shards)
					skip(s, c.At)
					if _, due, ok := s.Peek(); ok && due <= min(until, c.At+5*sec) && n == 0 && Share(int64(spec.MaxInFlight), table, source, 0, 1) > 0 {
						t.Fatalf("shard %d of %d of source %d owns an index under epoch %d and has no slot", shard, shards, source, i+1)
					}
				}
			}
			if sum+want != spec.MaxInFlight {
				t.Fatalf("under epoch %d the sources have %d slots and nobody %d of %d", i+1, sum, want, spec.MaxInFlight)
			}
		}
	})
}

func TestSlotsChangeAfterTheEpochsTime(t *testing.T) {
	spec := &Spec{MaxInFlight: 10, Profile: Profile{Stages: []Stage{{For: time.Minute, At: 100}}}}
	log := NewLog(spec)
	appendAll(t, log,
		Change{Kind: Reshare, Epoch: &Epoch{ID: 1, Table: []uint16{0, 1}}},
		Change{At: 5 * sec, Kind: Reshare, Epoch: &Epoch{ID: 2, From: 500, Table: []uint16{0}}})
	line := log.Timeline()
	for _, c := range []struct {
		at    time.Duration
		slots int
		until time.Duration
	}{{-sec, 5, 5 * sec}, {0, 5, 5 * sec}, {5*sec - 1, 5, 5 * sec}, {5 * sec, 10, Never}, {time.Hour, 10, Never}} {
		if n, until := line.Slots(c.at, 0, 0, 1); n != c.slots || until != c.until {
			t.Errorf("after %v there are %d slots until %v, want %d until %v", c.at, n, until, c.slots, c.until)
		}
	}
	if n := NewLog(&Spec{}).Timeline(); true {
		if slots, _ := n.Slots(0, 0, 0, 1); slots != math.MaxInt {
			t.Errorf("without a limit there are %d slots", slots)
		}
	}
	if n := line.Deals(5 * sec); n != 1 || line.Deals(5*sec-1) != 0 || line.Deals(0) != 0 {
		t.Errorf("%d tables have replaced the first at 5 s", n)
	}
}
