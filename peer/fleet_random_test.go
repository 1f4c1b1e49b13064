package peer

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"lt/engine/load"
	"lt/engine/scenario"
)

var (
	fleetSeed = flag.Uint64("fleet.seed", 0, "play this one random run of a fleet")
	fleetRuns = flag.Int("fleet.runs", 16, "how many random runs of a fleet to play")
)

// Whatever goes wrong, and in whatever order: no arrival begins twice, all that did not begin were declared, no second has more
// than the plan, and nothing begins at a peer that was given up. Every third run is of the closed model: no user is run by two
// sources at once, and the time in which one that is wanted runs nowhere was declared. Every third run is stopped by hand: that holds for
// all within half a second, or when they hear of it.
func TestSimAtRandom(t *testing.T) {
	if *fleetSeed != 0 {
		playAtRandom(t, *fleetSeed)
		return
	}
	runs := *fleetRuns
	if testing.Short() {
		runs = min(runs, 8)
	}
	for seed := range uint64(runs) {
		if playAtRandom(t, seed+1); t.Failed() {
			t.Fatalf("again: go test ./peer -run TestSimAtRandom -fleet.seed %d", seed+1)
		}
	}
}

func playAtRandom(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	names := []string{"a", "b", "c", "d", "e", "f"}[:2+r.IntN(5)]
	q := scenario.Quick{Rate: fmt.Sprint(50 + r.IntN(400)), Duration: "100s", Arrivals: []string{"even", "poisson"}[r.IntN(2)], Seed: fmt.Sprint(seed)}
	if seed%3 == 0 {
		q = scenario.Quick{Users: fmt.Sprint(10 + r.IntN(190)), Duration: "100s", Ramp: []string{"", "30s"}[r.IntN(2)], Seed: fmt.Sprint(seed)}
	}
	second := func(most float64) time.Duration { return time.Duration(r.Float64() * most * float64(time.Second)) }
	stop := load.Never
	s := simulate(t, q, names, func(s *simulation, c *Config) {
		c.OnLoss = []OnLoss{Redistribute, Redistribute, Continue, StopRun}[r.IntN(4)]
		for _, n := range names {
			h := s.host(n)
			h.cores, h.shards = 1+r.IntN(4), 1+r.IntN(4)
			h.delay = time.Millisecond + second([]float64{.02, .02, .4}[r.IntN(3)])
			h.slow = r.IntN(5) == 0
		}
		for range r.IntN(10) {
			name, at := names[r.IntN(len(names))], 2*time.Second+second(95)
			switch r.IntN(9) {
			case 0, 1, 2:
				d := second([]float64{3, 10, 40}[r.IntN(3)])
				s.at(at, func() { s.block(true, name) })
				s.at(at+d, func() { s.block(false, name) })
			case 3:
				s.at(at, func() { s.block(true, names...) })
				s.at(at+second(8), func() { s.block(false, names...) })
			case 4:
				s.at(at, func() { s.kill(name) })
			case 5:
				s.at(at, func() { _ = s.fleet.Drain(name) }) // it may be gone, or the last one
			case 6:
				s.at(at, func() { _ = s.fleet.Add("g" + name) }) // the run may be over
			case 7:
				factor := .5 + r.Float64()
				s.at(at, func() { _, _ = s.fleet.Change(load.Factor, factor) }) // likewise
			case 8:
				kinds := [][2]load.ChangeKind{{load.Hold, load.Resume}, {load.Pause, load.Unpause}}[r.IntN(2)]
				s.at(at, func() { _, _ = s.fleet.Change(kinds[0], 0) })
				s.at(at+second(10), func() { _, _ = s.fleet.Change(kinds[1], 0) })
			}
		}
		if r.IntN(3) == 0 {
			s.at(10*time.Second+second(80), func() {
				now := time.Since(s.fleet.Epoch())
				if at, err := s.fleet.Change(load.Stop, 0); err == nil {
					if stop = at; at > now+stopAhead {
						t.Errorf("a stop at %v holds from %v on", now, at)
					}
				}
			})
		}
	})
	s.check(t)
	if stop == s.fleet.Timeline().End() {
		s.holdsTo(t, stop)
	}
}
