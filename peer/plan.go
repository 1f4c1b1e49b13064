package peer

import (
	"lt/engine/load"
	"lt/engine/scenario"
	"lt/peer/boot"
)

// Addresses are the peers of a file as they are dialled, under their names there.
func Addresses(peers []scenario.Peer) ([]boot.Address, error) {
	out := make([]boot.Address, len(peers))
	for i, p := range peers {
		a, err := boot.New(boot.Entry{SSH: p.SSH, Exec: p.Exec, Agent: p.Agent, Weight: p.Weight, Label: p.Label, Target: p.Target})
		if err != nil {
			return nil, err
		}
		a.Name = p.Name
		out[i] = a
	}
	return out, nil
}

// Weights are the parts of the load that sources get. Where any of them is given, in a file or behind =, the others count 1; where
// none is, each counts its cores. given has 0 where nothing is; cores of 0 are unknown and count 1.
func Weights(given, cores []int) []int {
	out := make([]int, len(given))
	any := false
	for _, w := range given {
		any = any || w > 0
	}
	for i, w := range given {
		switch {
		case w > 0:
			out[i] = w
		case any:
			out[i] = 1
		default:
			out[i] = max(1, cores[i])
		}
	}
	return out
}

// Part is one source as the plan sees it.
type Part struct {
	Name   string
	Weight int
	Limit  float64 // most arrivals a second, or users, that it may ever make; 0: none is known
}

// peak is the most that a load comes to under a factor.
func peak(spec *load.Spec, factor float64) float64 {
	p := spec.Profile.Peak() * factor
	if spec.MaxRate > 0 {
		p = min(p, spec.MaxRate)
	}
	return p
}

// Elastic is how much more than its own planned part a source takes on when others are lost.
const Elastic = 1.5

// Lost is what the loss of one source means at one level.
type Lost struct {
	Levels  []float64 // of each source afterwards: arrivals a second, or users; 0 of the one that is gone
	Missing float64   // of the whole load, 0..1
	Full    []int     // sources that have come to their bound
}

// Loss works out what becomes of a load of level when the source gone is lost and its part is dealt to the others in proportion to
// their weights, each at most Elastic times its own part and its limit. What nobody may take is missing.
func Loss(parts []Part, level float64, gone int) Lost {
	l := Lost{Levels: make([]float64, len(parts))}
	total := 0
	for _, p := range parts {
		total += p.Weight
	}
	bound := make([]float64, len(parts))
	for i, p := range parts {
		own := level * float64(p.Weight) / float64(max(total, 1))
		bound[i] = own * Elastic
		if p.Limit > 0 {
			bound[i] = min(bound[i], p.Limit)
			own = min(own, p.Limit)
		}
		if i != gone {
			l.Levels[i] = own
		}
	}
	// Deal what is left among those that have room, until nobody has: each round fills at least one of them.
	for range parts {
		rest, weight := level, 0
		for i, p := range parts {
			rest -= l.Levels[i]
			if i != gone && l.Levels[i] < bound[i] {
				weight += p.Weight
			}
		}
		if rest <= level*1e-9 || weight == 0 {
			break
		}
		for i, p := range parts {
			if i != gone && l.Levels[i] < bound[i] {
				l.Levels[i] = min(bound[i], l.Levels[i]+rest*float64(p.Weight)/float64(weight))
			}
		}
	}
	left := level
	for i := range parts {
		left -= l.Levels[i]
		if i != gone && l.Levels[i] >= bound[i] {
			l.Full = append(l.Full, i)
		}
	}
	if level > 0 && left > level*1e-9 {
		l.Missing = left / level
	}
	return l
}
