package metrics

import (
	"math"
	"math/bits"
	"time"
)

// The geometry is HdrHistogram's for 1 µs to 1 h with three significant digits (lowest 1, highest 3,600,000,000, unit
// microsecond): 2048 sub-buckets, 22 buckets, 23,552 counts. It is the same everywhere and part of the record's format, so
// that histograms of any shard, source or run can be added count by count, and written as .hlog without conversion.
const (
	subBucketBits = 11
	subBuckets    = 1 << subBucketBits
	halfBits      = subBucketBits - 1
	bucketCount   = 23552
)

// Longest is the longest time that a histogram tells apart; what is longer counts as this long and is counted as clamped.
const Longest = time.Hour

// Histogram holds times from 0 to 1 h with an error of less than 0.1 % and half a microsecond. The zero value is empty and ready.
//
// Times are rounded to the nearest microsecond and counted in the bucket that HdrHistogram would use. Count, minimum,
// maximum, sum and sum of squares are kept beside the buckets and are exact to the nanosecond.
//
// A Histogram is a small value that refers to its pages: a copy shares them, so copy only to hand over, and use Clone
// otherwise. It is not safe for concurrent use while anything records into it; once it rests, any number may read.
type Histogram struct {
	table *pageTable
	moments
}

// moments are what a histogram keeps beside its counts.
type moments struct {
	count    uint64
	clamped  uint64
	min, max time.Duration
	sum      uint128 // ns
	squares  uint128 // ns²: 2^128 holds 2.6e13 times of 1 h
}

func (m *moments) add(o *moments) {
	if o.count == 0 {
		return
	}
	if m.count == 0 || o.min < m.min {
		m.min = o.min
	}
	m.max = max(m.max, o.max)
	m.count += o.count
	m.clamped += o.clamped
	m.sum.add(o.sum)
	m.squares.add(o.squares)
}

// uint128 is wide enough that no run can overflow a sum: a thousand million times of one second would fill 63 bits.
type uint128 struct{ hi, lo uint64 }

func (a *uint128) add(b uint128) {
	var c uint64
	a.lo, c = bits.Add64(a.lo, b.lo, 0)
	a.hi, _ = bits.Add64(a.hi, b.hi, c)
}

func (a uint128) float() float64 { return float64(a.hi)*(1<<64) + float64(a.lo) }

func (a uint128) less(b uint128) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

// indexOf is HdrHistogram's index of a value in microseconds: with b the bucket (how far the value must be shifted to fit
// 11 bits), buckets above the first use only their upper half, so the index is b·1024 + (v >> b).
func indexOf(us uint64) int {
	b := bits.Len64(us|(subBuckets-1)) - subBucketBits
	return b<<halfBits + int(us>>uint(b&63))
}

// lowestAt and widthAt are the lowest value that counts at an index and the number of values that do, in microseconds.
func lowestAt(i int) uint64 {
	if i < subBuckets {
		return uint64(i)
	}
	b := i>>halfBits - 1
	return uint64(i-b<<halfBits) << b
}

func widthAt(i int) uint64 {
	if i < subBuckets {
		return 1
	}
	return 1 << (i>>halfBits - 1)
}

func micros(us uint64) time.Duration { return time.Duration(us) * time.Microsecond }

// Record adds one time. Below zero counts as zero, above Longest as Longest. Memory for parts of the histogram that are
// touched for the first time comes from pages, which may be nil.
func (h *Histogram) Record(pages *Pages, d time.Duration) {
	if uint64(d) > uint64(Longest) {
		d = h.clamp(d)
	}
	ns := uint64(d)
	i := indexOf((ns + 500) / 1000)
	t := h.table
	if t == nil || t.pages[i>>pageBits] == nil {
		t = h.touch(pages, i)
	}
	n := &t.pages[i>>pageBits][i&(pageSize-1)]
	*n++
	if *n == 0 {
		t.carryOne(i)
	}
	if h.count == 0 || d < h.min {
		h.min = d
	}
	if d > h.max {
		h.max = d
	}
	h.count++
	var c uint64
	h.sum.lo, c = bits.Add64(h.sum.lo, ns, 0)
	h.sum.hi += c
	hi, lo := bits.Mul64(ns, ns)
	h.squares.lo, c = bits.Add64(h.squares.lo, lo, 0)
	h.squares.hi += hi + c
}

func (h *Histogram) clamp(d time.Duration) time.Duration {
	if d < 0 {
		return 0
	}
	h.clamped++
	return Longest
}

func (h *Histogram) touch(pages *Pages, i int) *pageTable {
	if h.table == nil {
		h.table = pages.table()
	}
	if h.table.pages[i>>pageBits] == nil {
		h.table.pages[i>>pageBits] = pages.page()
	}
	return h.table
}

func (t *pageTable) carryOne(i int) {
	if t.carry == nil {
		t.carry = make(map[uint32]uint64)
	}
	t.carry[uint32(i)]++
}

// addAt adds n to the count at an index without touching the moments.
func (h *Histogram) addAt(pages *Pages, i int, n uint64) {
	t := h.touch(pages, i)
	c := &t.pages[i>>pageBits][i&(pageSize-1)]
	s := uint64(*c) + n
	*c = uint32(s)
	for s>>32 > 0 {
		t.carryOne(i)
		s -= 1 << 32
	}
}

// Add adds everything that o counted: exact, whatever the order. o is not changed and no page of it is shared.
func (h *Histogram) Add(o *Histogram) { h.add(nil, o) }

// add is Add with memory from pages.
func (h *Histogram) add(pages *Pages, o *Histogram) {
	if o.count == 0 {
		return
	}
	h.moments.add(&o.moments)
	if h.table == nil {
		h.table = pages.table()
	}
	for p, from := range o.table.pages {
		if from == nil {
			continue
		}
		to := h.table.pages[p]
		if to == nil {
			to = pages.page()
			*to = *from
			h.table.pages[p] = to
			continue
		}
		for i, n := range from {
			s := to[i] + n
			to[i] = s
			if s < n {
				h.table.carryOne(p<<pageBits + i)
			}
		}
	}
	for i, n := range o.table.carry {
		if h.table.carry == nil {
			h.table.carry = make(map[uint32]uint64, len(o.table.carry))
		}
		h.table.carry[i] += n
	}
}

// Clone is a copy that shares nothing.
func (h *Histogram) Clone() Histogram {
	var c Histogram
	c.Add(h)
	return c
}

// Release empties h and gives its pages back; nobody else may hold a copy of h.
func (h *Histogram) Release(pages *Pages) {
	if h.table != nil {
		pages.put(h.table)
	}
	*h = Histogram{}
}

// Count is the number of times recorded.
func (h *Histogram) Count() uint64 { return h.count }

// Clamped is the number of recorded times that were longer than Longest and count as Longest.
func (h *Histogram) Clamped() uint64 { return h.clamped }

// Min is the shortest time, exact; zero if there is none.
func (h *Histogram) Min() time.Duration { return h.min }

// Max is the longest time, exact; zero if there is none.
func (h *Histogram) Max() time.Duration { return h.max }

// Mean is the exact mean, rounded down to the nanosecond; zero without times.
func (h *Histogram) Mean() time.Duration {
	if h.count == 0 {
		return 0
	}
	// No time is above 2^42 ns, so the upper half of the sum stays far below the count and the division cannot overflow,
	// unless the counts of sources that lie have gone around.
	if h.sum.hi >= h.count {
		return h.max
	}
	q, _ := bits.Div64(h.sum.hi, h.sum.lo, h.count)
	return time.Duration(q)
}

// StdDev is the standard deviation of the recorded times as a whole population, sqrt(Σx²/n − (Σx/n)²), computed from the
// exact sums; zero without times.
func (h *Histogram) StdDev() time.Duration {
	if h.count == 0 {
		return 0
	}
	n := float64(h.count)
	mean := h.sum.float() / n
	return time.Duration(math.Sqrt(max(0, h.squares.float()/n-mean*mean)))
}

// Quantile is the time that a share q (0..1) of all times did not exceed: the highest value that counts like the one of
// rank round(q·n), as HdrHistogram's valueAtPercentile, but never outside the exact minimum and maximum. Zero without
// times.
func (h *Histogram) Quantile(q float64) time.Duration {
	if q <= 0 {
		return h.min
	}
	var out [1]time.Duration
	h.atRanks([]uint64{rankOf(q, h.count)}, out[:])
	return out[0]
}

// rankOf is the rank, from 1 to n, of the quantile q: round(q·n), as hdrhistogram-go.
func rankOf(q float64, n uint64) uint64 {
	r := q*float64(n) + 0.5
	if !(r >= 1) {
		return 1
	}
	if r >= float64(n) {
		return n
	}
	return uint64(r)
}

// atRanks puts the times of the given ranks, which must ascend, into out.
func (h *Histogram) atRanks(ranks []uint64, out []time.Duration) {
	if h.count == 0 {
		return
	}
	k, seen := 0, uint64(0)
	for p, pg := range h.table.pages {
		if pg == nil {
			continue
		}
		for j, c := range pg {
			n := uint64(c)
			if h.table.carry != nil {
				n += h.table.carry[uint32(p<<pageBits+j)] << 32
			}
			if n == 0 {
				continue
			}
			seen += n
			for k < len(ranks) && seen >= ranks[k] {
				i := p<<pageBits + j
				out[k] = min(max(micros(lowestAt(i)+widthAt(i)-1), h.min), h.max)
				k++
			}
			if k == len(ranks) {
				return
			}
		}
	}
}

// Each calls yield for every bucket that counted something, ascending, until it returns false. The bucket holds the times
// that, rounded to the microsecond, lie within [low, high).
func (h *Histogram) Each(yield func(low, high time.Duration, count uint64) bool) {
	h.each(func(i int, n uint64) bool {
		low := lowestAt(i)
		return yield(micros(low), micros(low+widthAt(i)), n)
	})
}

func (h *Histogram) each(yield func(i int, n uint64) bool) {
	if h.table == nil {
		return
	}
	for p, pg := range h.table.pages {
		if pg == nil {
			continue
		}
		for j, c := range pg {
			n := uint64(c)
			if h.table.carry != nil {
				n += h.table.carry[uint32(p<<pageBits+j)] << 32
			}
			if n > 0 && !yield(p<<pageBits+j, n) {
				return
			}
		}
	}
}

// Bands counts the times between ascending edges: one band less than there are edges. What lies below the first edge is
// counted in the first band and what lies above the last one in the last, so that the bands always add up to Count. A
// bucket that an edge cuts belongs to the band of its lowest value.
func (h *Histogram) Bands(edges []time.Duration) []Band {
	if len(edges) < 2 {
		return nil
	}
	bands := make([]Band, len(edges)-1)
	for i := range bands {
		bands[i].Low, bands[i].High = edges[i], edges[i+1]
	}
	b := 0
	h.Each(func(low, _ time.Duration, n uint64) bool {
		for b < len(bands)-1 && low >= bands[b].High {
			b++
		}
		bands[b].Count += n
		return true
	})
	return bands
}

// Summary gives the percentiles that are shown, with their intervals.
//
// The intervals are those of order statistics: the number of n independent times that lie below the true quantile q is
// binomial, so with 95 % confidence the quantile lies between the times of the ranks n·q ∓ 1.96·sqrt(n·q·(1−q)), the upper
// one plus 1 (Conover, Practical Nonparametric Statistics, 3rd ed., section 3.2; Le Boudec, Performance Evaluation of
// Computer and Communication Systems, theorem 2.1). Where the upper rank would pass n, the sample is too small to bound the
// quantile from above and the maximum stands for it.
func (h *Histogram) Summary() Quantiles {
	s := Quantiles{Count: h.count}
	if h.count == 0 {
		return s
	}
	s.Min, s.Mean, s.StdDev, s.Max = h.min, h.Mean(), h.StdDev(), h.max
	low99, high99 := rankInterval(0.99, h.count)
	low999, high999 := rankInterval(0.999, h.count)
	n := h.count
	ranks := [...]uint64{rankOf(.5, n), rankOf(.75, n), rankOf(.9, n), rankOf(.95, n), rankOf(.99, n), rankOf(.999, n), low99, high99, low999, high999}
	fields := [...]*time.Duration{&s.P50, &s.P75, &s.P90, &s.P95, &s.P99, &s.P999, &s.P99Low, &s.P99High, &s.P999Low, &s.P999High}
	for i := 1; i < len(ranks); i++ {
		for j := i; j > 0 && ranks[j] < ranks[j-1]; j-- {
			ranks[j], ranks[j-1] = ranks[j-1], ranks[j]
			fields[j], fields[j-1] = fields[j-1], fields[j]
		}
	}
	var at [len(ranks)]time.Duration
	h.atRanks(ranks[:], at[:])
	for i, f := range fields {
		*f = at[i]
	}
	return s
}

func rankInterval(q float64, n uint64) (low, high uint64) {
	mid, half := q*float64(n), 1.96*math.Sqrt(q*(1-q)*float64(n))
	low = uint64(max(1, math.Floor(mid-half)))
	high = uint64(min(float64(n), math.Ceil(mid+half)+1))
	return min(low, n), min(high, n)
}
