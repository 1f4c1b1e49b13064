package load

import (
	"math"
	"slices"
	"sort"
)

// tableLen is the most entries of a table of shares. A share is met to 1/4096 of the whole at worst, and a table goes
// over the wire in a few kilobytes.
const tableLen = 4096

// Table deals indices to sources in proportion to their weights, evenly interleaved: entry j is the source of the j-th
// index. Its length is the sum of the weights over their greatest common divisor, so the shares are exact; where that
// is above 4096 they are rounded to 4096 entries, and a source of weight above 0 gets at least one. A weight of 0 or
// below gets none; nil if all do. With more than 4096 sources the table has an entry for each. Weights are in order of
// sources, at most 65,536.
//
// In every beginning of the table a source has less than one entry more or less than its part of that length. Plain
// weighted round-robin does not promise that; Tijdeman's rule does (The chairman assignment problem, Discrete
// Mathematics 32, 1980): of the sources that are behind by at least 1/(2n-2), the one whose turn is due first is next.
func Table(weights []int) []uint16 {
	w := reduced(weights)
	total, n := int64(0), int64(0)
	for _, x := range w {
		total += x
		if x > 0 {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	table := make([]uint16, total)
	if n == 1 {
		only := slices.IndexFunc(w, func(x int64) bool { return x > 0 })
		for j := range table {
			table[j] = uint16(only)
		}
		return table
	}
	// With share w/total, d = 2n-2, got entries so far and j = 1..total: ahead = d (j w - got total) is what the source
	// is behind, in units of 1/(d total). It may be next if ahead >= total, and must be by (d-1) total - ahead over d w.
	d := 2*n - 2
	got := make([]int64, len(w))
	for j := int64(1); j <= total; j++ {
		best, slack := -1, int64(0)
		for i, x := range w {
			if x == 0 {
				continue
			}
			behind := d * (j*x - got[i]*total)
			if behind < total {
				continue
			}
			if s := (d-1)*total - behind; best < 0 || s*w[best] < slack*x {
				best, slack = i, s
			}
		}
		got[best]++
		table[j-1] = uint16(best)
	}
	return table
}

// reduced brings weights to a sum of at most tableLen: over their greatest common divisor, then by largest remainders.
func reduced(weights []int) []int64 {
	w := make([]int64, len(weights))
	divisor, positive := int64(0), 0
	for i, x := range weights {
		if x > 0 {
			w[i] = int64(x)
			divisor = gcd(divisor, w[i])
			positive++
		}
	}
	sum := 0.0
	for i := range w {
		if divisor > 0 {
			w[i] /= divisor
		}
		sum += float64(w[i])
	}
	if sum <= tableLen {
		return w
	}
	exact := make([]float64, len(w))
	order := make([]int, 0, positive)
	left := int64(max(tableLen, positive))
	for i := range w {
		if w[i] == 0 {
			continue
		}
		exact[i] = float64(w[i]) / sum * float64(left)
		order = append(order, i)
	}
	for _, i := range order {
		w[i] = max(1, int64(math.Floor(exact[i])))
	}
	for _, i := range order {
		left -= w[i]
	}
	// Those furthest below their exact part get what is left; if the least entries took too much, those furthest above
	// give it back.
	for ; left != 0; left -= sign(left) {
		step := sign(left)
		best := -1
		for _, i := range order {
			if w[i]+step < 1 {
				continue
			}
			if best < 0 || float64(step)*(exact[i]-float64(w[i])) > float64(step)*(exact[best]-float64(w[best])) {
				best = i
			}
		}
		w[best] += step
	}
	return w
}

func sign(x int64) int64 {
	if x < 0 {
		return -1
	}
	return 1
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Share is how many of the numbers 0..n-1 belong to one shard of a source under a table: the shard's part of a bound on
// iterations in the closed model. Over all shards of all sources it adds up to n.
func Share(n int64, table []uint16, source, shard, shards int) int64 {
	s := newStripe(0, table, source, shard, shards)
	return s.before(n)
}

// atWork is how many of a source's shards take part under a table: all of them, unless its part of the limit has fewer slots,
// because a shard without one could begin nothing of what it owns. They are those with the lowest numbers.
func (s *Spec) atWork(table []uint16, source, shards int) int {
	if s.Model == Closed || s.MaxInFlight <= 0 {
		return shards
	}
	return int(max(1, min(int64(shards), Share(int64(s.MaxInFlight), table, source, 0, 1))))
}

// stripe is the numbers that one shard owns under one table: those of its source, in order, are dealt to its shards in
// turn. Number m of the shard is number shard + m shards of the source.
type stripe struct {
	from          int64
	table         []uint16
	source        int
	own           []int32 // places in the table that are the source's
	shard, shards int64

	// The present number: places round*len(table) + own[place] after from.
	round, place     int64
	rounds, placeAdd int64 // what one step adds
}

// newStripe stands at the shard's first number; the table is kept. A shard beyond the last one owns nothing.
func newStripe(from int64, table []uint16, source, shard, shards int) stripe {
	s := stripe{from: from, table: table, source: source, shard: int64(shard), shards: int64(shards)}
	for j, x := range table {
		if int(x) == source && shard < shards {
			s.own = append(s.own, int32(j))
		}
	}
	if c := int64(len(s.own)); c > 0 {
		s.rounds, s.placeAdd = s.shards/c, s.shards%c
	}
	s.seek(0)
	return s
}

// empty says that the shard owns nothing.
func (s *stripe) empty() bool { return len(s.own) == 0 }

// seek stands at the shard's number m, counted from 0.
func (s *stripe) seek(m int64) {
	if c := int64(len(s.own)); c > 0 {
		n := s.shard + m*s.shards
		s.round, s.place = n/c, n%c
	}
}

// number is the present number.
func (s *stripe) number() int64 {
	return s.from + s.round*int64(len(s.table)) + int64(s.own[s.place])
}

// next stands at the shard's next number.
func (s *stripe) next() {
	s.round += s.rounds
	s.place += s.placeAdd
	if c := int64(len(s.own)); s.place >= c {
		s.place -= c
		s.round++
	}
}

// before is how many of the shard's numbers are below i.
func (s *stripe) before(i int64) int64 {
	i -= s.from
	if i <= 0 || s.empty() {
		return 0
	}
	size := int64(len(s.table))
	rest := int32(i % size)
	n := i/size*int64(len(s.own)) + int64(sort.Search(len(s.own), func(j int) bool { return s.own[j] >= rest }))
	return (n - s.shard + s.shards - 1) / s.shards
}

// owns says whether i is the shard's.
func (s *stripe) owns(i int64) bool {
	i -= s.from
	if i < 0 || s.empty() || int(s.table[i%int64(len(s.table))]) != s.source {
		return false
	}
	size := int64(len(s.table))
	j, _ := slices.BinarySearch(s.own, int32(i%size))
	return (i/size*int64(len(s.own))+int64(j))%s.shards == s.shard
}
