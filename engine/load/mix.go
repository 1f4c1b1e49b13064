package load

import (
	"errors"
	"fmt"
	"math/bits"
)

// MaxMix is the largest sum of scenario weights over their greatest common divisor.
const MaxMix = 100_000

// Mix says which scenario an arrival (open) or a user (closed) runs. The numbers are cut into blocks of W, the sum of
// the weights over their greatest common divisor; in each block every scenario comes exactly as often as its weight
// says, in an order shuffled from hash(seed, block). So the mix is exact after every block, and since the order has
// nothing to do with tables of shares, each source sees the same mix. Immutable and safe for concurrent use.
type Mix struct {
	seed uint64
	ends []int // running sums of the reduced weights
	size int   // W
}

// checkWeights says what is wrong with weights of scenarios.
func checkWeights(weights []int) error {
	sum, divisor := 0, int64(0)
	for i, w := range weights {
		if w < 0 {
			return fmt.Errorf("the weight of scenario %d is %d; it is at least 0", i+1, w)
		}
		if int64(w) > 1<<40 {
			return fmt.Errorf("the weight of scenario %d is %d; use smaller numbers in the same proportion", i+1, w)
		}
		sum, divisor = sum+w, gcd(divisor, int64(w))
	}
	switch {
	case len(weights) > 0 && sum == 0:
		return errors.New("every scenario has weight 0, so none would run")
	case divisor > 0 && sum/int(divisor) > MaxMix:
		return fmt.Errorf("the weights add up to %d without a common divisor, more than %d; use rounder numbers", sum/int(divisor), MaxMix)
	}
	return nil
}

// Mix is made once and used for every arrival. The spec must be valid.
func (s *Spec) Mix() *Mix {
	m := &Mix{seed: s.Seed}
	divisor := int64(0)
	for _, w := range s.Weights {
		divisor = gcd(divisor, int64(w))
	}
	for _, w := range s.Weights {
		m.size += w / int(divisor)
		m.ends = append(m.ends, m.size)
	}
	return m
}

// Scenario is the scenario of index or user i: s.Mix().Scenario(i), for callers that ask once.
func (s *Spec) Scenario(i int64) int { return s.Mix().Scenario(i) }

// Scenario is the scenario of index or user i >= 0, as its place among the spec's weights.
func (m *Mix) Scenario(i int64) int {
	if len(m.ends) < 2 {
		return 0
	}
	size := int64(m.size)
	block := i / size
	place := permute(m.seed, uint64(block), m.size, int(i-block*size))
	for k, end := range m.ends {
		if place < end {
			return k
		}
	}
	return len(m.ends) - 1
}

// smallMix is the largest block that is shuffled by Fisher and Yates; beyond, its n steps cost more than the 60 or so
// rounds of swap-or-not.
const smallMix = 64

// permute is where place goes in the random permutation of 0..n-1 that (seed, block) stands for.
//
// Up to smallMix places it follows this one place through the swaps of a Fisher-Yates shuffle: every permutation is
// equally likely and no list is kept. Above, it is swap-or-not (Hoang, Morris, Rogaway: An enciphering scheme based on a
// card shuffle, CRYPTO 2012), which maps a place in a number of rounds that grows with log n alone: in a round places x
// and k-x are partners, and a bit that depends on the larger of the two says whether they swap.
func permute(seed, block uint64, n, place int) int {
	r := NewStream(seed, ForScenario, block, 0)
	if n <= smallMix {
		for j := n - 1; j > 0; j-- {
			other := r.Intn(j + 1)
			switch place {
			case j:
				place = other
			case other:
				return j // no later swap touches j
			}
		}
		return place
	}
	for range 24 + 4*bits.Len(uint(n)) {
		word := r.Uint64()
		k, _ := bits.Mul64(word, uint64(n)) // bias below n/2^64
		partner := int(k) - place
		if partner < 0 {
			partner += n
		}
		if mix(word^uint64(max(place, partner)))&1 == 1 {
			place = partner
		}
	}
	return place
}
