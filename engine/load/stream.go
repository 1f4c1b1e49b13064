package load

import (
	"math"
	"math/bits"
)

// Purpose keeps draws for different uses apart, so that one more draw for one use changes nothing for the others.
type Purpose uint64

// The purposes. The values are part of what a seed means: they never change and are never used again for another one.
const (
	ForArrivals   Purpose = 1 // spacing of arrivals
	ForScenario   Purpose = 2 // which scenario an arrival or user runs
	ForThink      Purpose = 3 // think times
	ForTemplate   Purpose = 4 // random functions in templates
	ForPick       Purpose = 5 // extract with pick: random, one_of
	ForFeed       Purpose = 6 // rows in random or shuffled order
	ForRetry      Purpose = 7 // jitter of waits before a retry
	ForTarget     Purpose = 8 // the bundled target
	ForConnection Purpose = 9 // choice of address and port
)

// golden is 2^64 divided by the golden ratio, odd: the Weyl increment of splitmix64.
const golden = 0x9e3779b97f4a7c15

// mix is the finalizer of splitmix64 (variant 13 of Stafford): a bijection in which every input bit moves every output
// bit with probability near one half.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Rand is one draw of 64 bits: hash(seed, purpose, a, b). The words are absorbed one after the other, each time through
// a whole finalizer: h = mix(h XOR word + golden). For equal words before, different words give different h.
func Rand(seed uint64, p Purpose, a, b uint64) uint64 {
	h := mix(seed + golden)
	h = mix((h ^ uint64(p)) + golden)
	h = mix((h ^ a) + golden)
	return mix((h ^ b) + golden)
}

// Stream is a sequence of draws: splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA
// 2014) with an increment of its own, so that two streams never run along the same orbit. It is a value of 16 bytes:
// make one where it is needed instead of keeping it. The zero value repeats 0; use NewStream. Not safe for concurrent use.
type Stream struct {
	state, gamma uint64
}

// NewStream is the stream hash(seed, purpose, a, b): a is an arrival index or user number, b an iteration or another
// number that tells draws apart.
func NewStream(seed uint64, p Purpose, a, b uint64) Stream {
	h := Rand(seed, p, a, b)
	g := mix(h+golden) | 1
	// An increment with few changes between neighbouring bits would make a poor Weyl sequence (the paper, section 5).
	if bits.OnesCount64(g^g>>1) < 24 {
		g ^= 0xaaaaaaaaaaaaaaaa
	}
	return Stream{state: h, gamma: g}
}

// Uint64 is 64 random bits.
func (s *Stream) Uint64() uint64 {
	s.state += s.gamma
	return mix(s.state)
}

// Float64 is uniform in [0, 1), a multiple of 2^-53.
func (s *Stream) Float64() float64 { return float64(s.Uint64()>>11) * 0x1p-53 }

// open is uniform in (0, 1): the middles of 2^52 cells.
func (s *Stream) open() float64 { return (float64(s.Uint64()>>12) + 0.5) * 0x1p-52 }

// Exp is exponential with mean 1: above 0, at most 36.8.
func (s *Stream) Exp() float64 { return -math.Log(s.open()) }

// Norm is normal with mean 0 and standard deviation 1 (Box and Muller 1958; one of the pair is used, so that a draw
// always takes two words).
func (s *Stream) Norm() float64 {
	r := math.Sqrt(-2 * math.Log(s.open()))
	return r * math.Cos(2*math.Pi*s.Float64())
}

// Intn is uniform in 0..n-1 without bias (Lemire: Fast random integer generation in an interval, 2019). It panics if
// n < 1.
func (s *Stream) Intn(n int) int {
	if n < 1 {
		panic("load: Intn wants n of at least 1")
	}
	m := uint64(n)
	hi, lo := bits.Mul64(s.Uint64(), m)
	if lo < m {
		for reject := -m % m; lo < reject; {
			hi, lo = bits.Mul64(s.Uint64(), m)
		}
	}
	return int(hi)
}

// gamma draws from Gamma(a, 1) for a >= 1: squeeze and rejection of Marsaglia and Tsang (A simple method for generating
// gamma variables, ACM TOMS 26, 2000). The conversions to float64 keep every machine from fusing a product and a sum,
// which would round otherwise and could, once in very many draws, accept what another machine rejects.
func gamma(s *Stream, a float64) float64 {
	d := a - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := s.Norm()
		v := 1 + float64(c*x)
		if v <= 0 {
			continue
		}
		v = float64(v*v) * v
		if math.Log(s.open()) < float64(x*x)/2+float64(d*float64(1-v+math.Log(v))) {
			return float64(d * v)
		}
	}
}
