package wire

import "lt/engine/metrics"

// Add enters an interval that was joined from count.
func (t *Totals) Add(iv *metrics.Interval, count uint64) {
	t.Intervals += count
	t.Scheduled += iv.Scheduled
	t.Started += iv.Started
	t.Dropped += iv.Dropped
	t.Iterations += iv.Iterations
	t.Unfinished += iv.Unfinished
	for i := range iv.Records {
		r := &iv.Records[i]
		t.Requests += r.Requests
		t.Errors += r.ErrorCount()
		t.BytesIn += r.BytesIn
		t.BytesOut += r.BytesOut
	}
}
