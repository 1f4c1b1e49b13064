package limits

import (
	"runtime/metrics"
	"sync"
	"time"
)

// runtimeReader turns the Go runtime's cumulative figures into those since the reading before. The histograms are
// process-wide, so there is one of it.
type runtimeReader struct {
	mu      sync.Mutex
	samples []metrics.Sample
	pauses  []uint64
	sched   []uint64
	gc, all float64
}

var goRuntime = runtimeReader{samples: []metrics.Sample{
	{Name: "/sched/pauses/total/gc:seconds"},
	{Name: "/sched/latencies:seconds"},
	{Name: "/cpu/classes/gc/total:cpu-seconds"},
	{Name: "/cpu/classes/total:cpu-seconds"},
}}

func (r *runtimeReader) read(into *Reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	metrics.Read(r.samples)
	into.GCPauseP99 = since(r.samples[0].Value, &r.pauses)
	into.SchedP99 = since(r.samples[1].Value, &r.sched)
	gc, all := number(r.samples[2].Value), number(r.samples[3].Value)
	if all > r.all && gc >= r.gc {
		into.GCShare = (gc - r.gc) / (all - r.all)
	}
	r.gc, r.all = gc, all
}

func number(v metrics.Value) float64 {
	if v.Kind() != metrics.KindFloat64 {
		return 0
	}
	return v.Float64()
}

// since is the 99th percentile of what was added to a histogram since the counts in before, which become the present ones.
func since(v metrics.Value, before *[]uint64) time.Duration {
	if v.Kind() != metrics.KindFloat64Histogram {
		return 0
	}
	h := v.Float64Histogram()
	if len(*before) != len(h.Counts) {
		*before = make([]uint64, len(h.Counts))
		copy(*before, h.Counts)
		return 0
	}
	var n uint64
	for i, c := range h.Counts {
		n += c - (*before)[i]
	}
	rank, seen, at := n-n/100, uint64(0), 0.0
	for i, c := range h.Counts {
		seen += c - (*before)[i]
		if n > 0 && seen >= rank {
			at = h.Buckets[i+1]
			if at > 1e9 {
				at = h.Buckets[i]
			}
			break
		}
	}
	copy(*before, h.Counts)
	return time.Duration(at * float64(time.Second))
}
