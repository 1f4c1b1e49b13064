package load

import (
	"math"
	"sort"
)

// places gives the place u_i of arrival i on the axis of L: arrival i is due when L(t) = u_i.
//
// Even: u_i = i + 1/2.
//
// Poisson: u_i = e_0 + ... + e_i, a running sum of independent unit exponentials: a Poisson process of rate 1 on the
// axis of L, which the change of time by L makes one of the profile's rate (Lewis and Shedler 1979). A source needs only
// its own arrivals and may join late, so the sum must be reachable at any place without the places before. It is drawn
// from the top down:
//
//	super block of 2^20 spacings: its total G is a draw of Gamma(2^20)
//	block of 2^10 spacings:       1024 draws of Gamma(2^10), scaled so that their sum is G
//	spacing:                      1024 unit exponentials, scaled so that their sum is the block's total
//
// Each draw comes from hash(seed, number of the block, level) alone. Why this has exactly the law of the plain sum: let
// X_1..X_n be independent, X_j of Gamma(a_j), and S their sum. Then the vector X/S is of Dirichlet(a_1..a_n), S is of
// Gamma(a_1+..+a_n), and the two are independent (Lukacs 1955; Devroye, Non-Uniform Random Variate Generation, 1986,
// chapter XI.4). So if G of Gamma(a_1+..+a_n) is drawn apart, G X/S has the law of X itself: n independent gammas. With
// a_j = 2^10 this makes the block totals independent Gamma(2^10); with a_j = 1, since Gamma(1) is the unit exponential,
// it makes the spacings independent unit exponentials. Only the starts of super blocks are prefix sums, one addition for
// a million arrivals.
//
// Not safe for concurrent use. Moving forward inside a block costs a load from a table; a new block costs 1024 logarithms,
// about 10 ns for each arrival of the whole run, of whichever source.
type places struct {
	even bool
	seed uint64

	super      int64                 // loaded super block, -1: none
	superStart float64               // sum of all before it
	superTotal float64               // its own
	starts     [blockLen + 1]float64 // of the blocks in it; the last is its end
	block      int64                 // loaded block, counted over the run, -1: none
	ends       [blockLen]float64     // u of its arrivals
}

const (
	blockBits = 10
	blockLen  = 1 << blockBits
	superBits = 2 * blockBits
)

// Levels of draws: the last word of the hash.
const (
	spacingLevel = iota
	blockLevel
	superLevel
)

func newPlaces(spec *Spec) *places {
	return &places{even: spec.Arrivals == Even, seed: spec.Seed, super: -1, block: -1}
}

// at is u_i, for i >= 0.
func (p *places) at(i int64) float64 {
	if p.even {
		return float64(i) + 0.5
	}
	if b := i >> blockBits; b != p.block {
		p.loadBlock(b)
	}
	return p.ends[i&(blockLen-1)]
}

// first is the first i with u_i > u.
func (p *places) first(u float64) int64 {
	if p.even {
		if u < 0.5 {
			return 0
		}
		return int64(math.Floor(u-0.5)) + 1
	}
	if p.super < 0 || u < p.superStart {
		p.loadSuper(0)
	}
	for u >= p.superStart+p.superTotal {
		p.step()
	}
	p.fill()
	// Blocks are few enough to search; the end of block j is the u of its last arrival.
	j := int64(sort.Search(blockLen-1, func(j int) bool { return u < p.starts[j+1] }))
	if b := p.super<<blockBits + j; b != p.block {
		p.loadBlock(b)
	}
	k := int64(sort.Search(blockLen, func(k int) bool { return u < p.ends[k] }))
	return p.block<<blockBits + k
}

// loadSuper moves to super block s without filling it.
func (p *places) loadSuper(s int64) {
	if p.super < 0 || s < p.super {
		p.super, p.superStart, p.superTotal = 0, 0, p.total(0)
		p.starts[0] = math.NaN()
	}
	for p.super < s {
		p.step()
	}
}

// step moves to the super block after the present one.
func (p *places) step() {
	p.super++
	p.superStart += p.superTotal
	p.superTotal = p.total(p.super)
	p.starts[0] = math.NaN()
}

// total is the total of super block s.
func (p *places) total(s int64) float64 {
	r := NewStream(p.seed, ForArrivals, uint64(s), superLevel)
	return gamma(&r, 1<<superBits)
}

// fill draws the blocks of the present super block. The first start is not a number until that is done.
func (p *places) fill() {
	if p.starts[0] == p.superStart {
		return
	}
	r := NewStream(p.seed, ForArrivals, uint64(p.super), blockLevel)
	sum := 0.0
	for j := range blockLen {
		sum += gamma(&r, blockLen)
		p.starts[j+1] = sum
	}
	scale := p.superTotal / sum
	p.starts[0] = p.superStart
	for j := 1; j < blockLen; j++ {
		p.starts[j] = p.superStart + float64(p.starts[j]*scale)
	}
	p.starts[blockLen] = p.superStart + p.superTotal
}

// loadBlock draws the spacings of block b.
func (p *places) loadBlock(b int64) {
	if s := b >> blockBits; s != p.super {
		p.loadSuper(s)
	}
	p.fill()
	from, to := p.starts[b&(blockLen-1)], p.starts[b&(blockLen-1)+1]
	r := NewStream(p.seed, ForArrivals, uint64(b), spacingLevel)
	sum := 0.0
	for k := range p.ends {
		sum += r.Exp()
		p.ends[k] = sum
	}
	scale := (to - from) / sum
	for k := range p.ends {
		p.ends[k] = from + float64(p.ends[k]*scale)
	}
	p.ends[blockLen-1] = to // so that first and at agree at the edge
	p.block = b
}
