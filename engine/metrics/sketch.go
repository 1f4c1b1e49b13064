package metrics

import (
	"encoding/binary"
	"math"
	"math/bits"
	"time"
)

// sketch is a histogram at rest, for the long memory of a run: a sequence of (gap to the previous index, count), both as
// uvarints, in a geometry of 2^bits counts an octave. With 10 bits it holds what a Histogram holds and gives the same
// percentiles; with fewer it is smaller and coarser (5 bits: 3 % wide). Sketches of the same bits merge exactly.
type sketch []byte

const (
	fineBits   = halfBits
	coarseBits = 5
)

// sketchIndex is indexOf with another number of counts an octave.
func sketchIndex(us uint64, m int) int {
	b := bits.Len64(us|(2<<m-1)) - m - 1
	return b<<m + int(us>>uint(b&63))
}

// sketchHighest is the highest value, in microseconds, that counts at an index.
func sketchHighest(i, m int) uint64 {
	if i < 2<<m {
		return uint64(i)
	}
	b := i>>m - 1
	return (uint64(i-b<<m)+1)<<b - 1
}

// appendSketch writes h into b with m bits.
func (h *Histogram) appendSketch(b sketch, m int) sketch {
	w := sketchWriter{b: b}
	h.each(func(i int, n uint64) bool {
		w.put(sketchIndex(lowestAt(i), m), n)
		return true
	})
	return w.flush()
}

// sketchWriter joins counts of the same index and writes gaps; indices come ascending.
type sketchWriter struct {
	b       sketch
	last    int // index written
	pending int
	count   uint64
}

func (w *sketchWriter) put(i int, n uint64) {
	if w.count > 0 && i == w.pending {
		w.count += n
		return
	}
	w.flush()
	w.pending, w.count = i, n
}

func (w *sketchWriter) flush() sketch {
	if w.count > 0 {
		w.b = binary.AppendUvarint(w.b, uint64(w.pending-w.last))
		w.b = binary.AppendUvarint(w.b, w.count)
		w.last, w.count = w.pending, 0
	}
	return w.b
}

// sketchReader walks a sketch that this package wrote.
type sketchReader struct {
	b sketch
	i int
	n uint64
}

func (r *sketchReader) next() bool {
	if len(r.b) == 0 {
		return false
	}
	gap, k := binary.Uvarint(r.b)
	n, l := binary.Uvarint(r.b[k:])
	r.b = r.b[k+l:]
	r.i += int(gap)
	r.n = n
	return true
}

// merge is the sum of two sketches of the same bits.
func (s sketch) merge(o sketch) sketch {
	if len(o) == 0 {
		return s
	}
	if len(s) == 0 {
		return o
	}
	w := sketchWriter{b: make(sketch, 0, len(s)+len(o))}
	a, b := sketchReader{b: s}, sketchReader{b: o}
	okA, okB := a.next(), b.next()
	for okA || okB {
		if okA && (!okB || a.i <= b.i) {
			w.put(a.i, a.n)
			okA = a.next()
		} else {
			w.put(b.i, b.n)
			okB = b.next()
		}
	}
	return w.flush()
}

func (s sketch) count() uint64 {
	var n uint64
	for r := (sketchReader{b: s}); r.next(); {
		n += r.n
	}
	return n
}

// milliseconds puts the percentiles of the ascending quantiles qs into out, NaN where nothing was counted.
func (s sketch) milliseconds(m int, qs, out []float64) {
	n := s.count()
	if n == 0 {
		for i := range out {
			out[i] = math.NaN()
		}
		return
	}
	k, seen := 0, uint64(0)
	for r := (sketchReader{b: s}); k < len(qs) && r.next(); {
		seen += r.n
		for k < len(qs) && seen >= rankOf(qs[k], n) {
			out[k] = float64(sketchHighest(r.i, m)) / 1000
			k++
		}
	}
}

// bands counts a fine sketch between edges, as Histogram.Bands.
func (s sketch) bands(edges []time.Duration) []uint32 {
	out := make([]uint32, len(edges)-1)
	b := 0
	for r := (sketchReader{b: s}); r.next(); {
		for low := micros(lowestAt(r.i)); b < len(out)-1 && low >= edges[b+1]; {
			b++
		}
		out[b] = uint32(min(uint64(out[b])+r.n, math.MaxUint32))
	}
	return out
}
