package limits

import (
	"math"
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
	{Name: heldBytes},
	{Name: returnedBytes},
}}

func (r *runtimeReader) read(into *Reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	metrics.Read(r.samples)
	into.GCPauseP99 = since(r.samples[0].Value, &r.pauses)
	into.SchedP99 = since(r.samples[1].Value, &r.sched)
	gc, all := number(r.samples[2].Value), number(r.samples[3].Value)
	if all > r.all && gc >= r.gc {
		into.GCShare = min(1, (gc-r.gc)/(all-r.all))
	}
	r.gc, r.all = gc, all
	into.Memory = held(r.samples[4].Value, r.samples[5].Value)
}

const (
	heldBytes     = "/memory/classes/total:bytes"
	returnedBytes = "/memory/classes/heap/released:bytes"
)

// held is what the Go runtime has of the system, less what it has given back.
func held(total, returned metrics.Value) uint64 {
	return uint64(max(0, number(total)-number(returned)))
}

// number reads a figure of either numeric kind; one that this version of Go does not have is zero.
func number(v metrics.Value) float64 {
	switch v.Kind() {
	case metrics.KindFloat64:
		return v.Float64()
	case metrics.KindUint64:
		return float64(v.Uint64())
	default:
		return 0
	}
}

// since is the 99th percentile of what was added to a histogram since the counts in before, which become the present ones.
func since(v metrics.Value, before *[]uint64) time.Duration {
	if v.Kind() != metrics.KindFloat64Histogram {
		return 0
	}
	h := v.Float64Histogram()
	if len(*before) != len(h.Counts) {
		*before = append([]uint64(nil), h.Counts...) // the first reading has nothing before it
		return 0
	}
	at := p99(h.Counts, *before, h.Buckets)
	copy(*before, h.Counts)
	return time.Duration(at * float64(time.Second))
}

// p99 is the upper edge of the bucket that holds the 99th percentile of counts less before; of the last bucket, which has
// no upper edge, the lower one. Bucket i is buckets[i] to buckets[i+1]. Nothing counted is 0.
func p99(counts, before []uint64, buckets []float64) float64 {
	var n uint64
	for i, c := range counts {
		n += c - before[i]
	}
	if n == 0 {
		return 0
	}
	rank, seen := n-n/100, uint64(0)
	for i, c := range counts {
		if seen += c - before[i]; seen >= rank {
			if edge := buckets[i+1]; !math.IsInf(edge, 0) {
				return edge
			}
			return max(0, buckets[i])
		}
	}
	return 0
}
