package load

import (
	"fmt"
	"testing"
	"time"
)

// sink keeps results alive.
var sink int

func BenchmarkNext(b *testing.B) {
	steady := []Stage{{For: 900 * time.Hour, At: 100_000}}
	ramp := []Stage{{For: 900 * time.Hour, At: 1_000_000, Ramp: true}}
	grow := []Stage{{For: time.Second, At: 1}, {For: 900 * time.Hour, At: 1_000_000, Ramp: true, Curve: Exponential}}
	for _, c := range []struct {
		name     string
		arrivals Arrivals
		stages   []Stage
		shards   int
	}{
		{"even/steady", Even, steady, 1},
		{"even/linear", Even, ramp, 1},
		{"even/exponential", Even, grow, 1},
		{"even/steady/shards=8", Even, steady, 8},
		{"poisson/steady", Poisson, steady, 1},
		{"poisson/linear", Poisson, ramp, 1},
		{"poisson/steady/shards=8", Poisson, steady, 8},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := NewSchedule(&Spec{Arrivals: c.arrivals, Profile: Profile{Stages: c.stages}}, nil, 0, 0, c.shards)
			b.ReportAllocs()
			for b.Loop() {
				index, _, ok := s.Peek()
				if !ok {
					b.Fatal("the profile is over")
				}
				sink += int(index)
				s.Next()
			}
		})
	}
}

// BenchmarkFirstAfter jumps to the end of a day at 100,000/s.
func BenchmarkFirstAfter(b *testing.B) {
	line := NewLog(&Spec{Profile: Profile{Stages: []Stage{{For: 30 * time.Hour, At: 100_000}}}}).Timeline()
	b.ReportAllocs()
	for b.Loop() {
		sink += int(line.FirstAfter(24 * time.Hour))
	}
}

func BenchmarkScenario(b *testing.B) {
	for _, weights := range [][]int{{3, 7}, {33, 31}, {334, 333, 333}, {50_000, 49_999}} {
		b.Run(fmt.Sprint(weights), func(b *testing.B) {
			m := (&Spec{Weights: weights}).Mix()
			b.ReportAllocs()
			for i := int64(0); b.Loop(); i++ {
				sink += m.Scenario(i)
			}
		})
	}
}

func BenchmarkTable(b *testing.B) {
	weights := make([]int, 100)
	for i := range weights {
		weights[i] = 37 + i*i
	}
	b.ReportAllocs()
	for b.Loop() {
		sink += len(Table(weights))
	}
}

// BenchmarkUsersRefresh is what +10 % costs a shard of 10,000 users.
func BenchmarkUsersRefresh(b *testing.B) {
	spec := &Spec{Model: Closed, Profile: Profile{Stages: []Stage{{For: time.Hour, At: 10_000}}}}
	u := NewUsers(spec, nil, 0, 0, 1)
	for t, ok := u.Peek(); ok && t.At < time.Minute; t, ok = u.Peek() {
		u.Next()
	}
	b.ReportAllocs()
	for b.Loop() {
		u.Refresh(time.Minute)
	}
}

func BenchmarkStream(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for i := uint64(0); b.Loop(); i++ {
			s := NewStream(1, ForThink, i, 0)
			sink += int(s.Uint64())
		}
	})
	b.Run("exp", func(b *testing.B) {
		s := NewStream(1, ForThink, 0, 0)
		b.ReportAllocs()
		for b.Loop() {
			sink += int(s.Exp())
		}
	})
}
