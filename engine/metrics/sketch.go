package metrics

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// sketch is the counts of a histogram at rest: a sequence of (gap to the previous index, count), both as uvarints, in a
// geometry of 2^bits counts an octave. With 10 bits it holds what a Histogram holds and gives the same percentiles; with fewer
// it is smaller and coarser (5 bits: 3 % wide). Sketches of the same bits merge exactly. Nothing in a sketch is ever changed,
// so that copies may share it.
type sketch []byte

// resting is a Histogram at rest: a few KiB where that takes tens, and the same percentiles.
type resting struct {
	moments
	counts sketch // fine
}

func (r *resting) add(h *Histogram, buf *sketch) {
	r.moments.add(&h.moments)
	r.counts = r.counts.merge(h.sketch(fineBits, buf), buf)
}

func (r *resting) merge(o *resting, buf *sketch) {
	r.moments.add(&o.moments)
	r.counts = r.counts.merge(o.counts, buf)
}

// addTo adds to h what r counted, with memory from pages.
func (r *resting) addTo(h *Histogram, pages *Pages) {
	h.moments.add(&r.moments)
	for c := (sketchReader{b: r.counts}); c.next(); {
		h.addAt(pages, c.i, c.n)
	}
}

// milliseconds puts the percentiles of the ascending quantiles qs into out, as Histogram.Quantile has them; NaN where nothing
// was counted.
func (r *resting) milliseconds(qs, out []float64) {
	r.counts.milliseconds(fineBits, r.count, qs, out)
	for i := range out {
		out[i] = min(max(out[i], ms(r.min)), ms(r.max))
	}
}

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

// sketch writes h down with m bits. It is made in buf and takes no more memory than it needs.
func (h *Histogram) sketch(m int, buf *sketch) sketch {
	w := sketchWriter{b: (*buf)[:0]}
	h.each(func(i int, n uint64) bool {
		w.put(sketchIndex(lowestAt(i), m), n)
		return true
	})
	return w.done(buf)
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

// done ends the sketch, which was made in buf, and returns it in memory of its own.
func (w *sketchWriter) done(buf *sketch) sketch {
	*buf = w.flush()
	return slices.Clone(*buf)
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

// merge is the sum of two sketches of the same bits, made in buf.
func (s sketch) merge(o sketch, buf *sketch) sketch {
	if len(o) == 0 {
		return s
	}
	if len(s) == 0 {
		return o
	}
	w := sketchWriter{b: (*buf)[:0]}
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
	return w.done(buf)
}

func (s sketch) count() uint64 {
	var n uint64
	for r := (sketchReader{b: s}); r.next(); {
		n += r.n
	}
	return n
}

// milliseconds puts the percentiles of the ascending quantiles qs of all n times into out, NaN where nothing was counted.
func (s sketch) milliseconds(m int, n uint64, qs, out []float64) {
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

// heat counts a fine sketch in the heat bands, as Histogram.Bands.
func (s sketch) heat() Heat {
	var out [heatBands]uint32
	first, b := -1, 0
	for r := (sketchReader{b: s}); r.next(); {
		for low := micros(lowestAt(r.i)); b < heatBands-1 && low >= heatEdges[b+1]; {
			b++
		}
		if first < 0 {
			first = b
		}
		out[b] = uint32(min(uint64(out[b])+r.n, math.MaxUint32))
	}
	if first < 0 {
		return Heat{}
	}
	return Heat{first, slices.Clone(out[first : b+1])}
}
