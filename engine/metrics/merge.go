package metrics

import (
	"cmp"
	"slices"
	"time"
)

// Merge adds o to iv, which stays in order of keys. Two uses, told apart by where o begins:
//
//   - parts of the same slice, from the shards of one source: counts, users, connections and all gauges are added;
//   - the slice that follows, when a slow link joins several: counts are added, the gauges are those of the later one, and
//     the length grows.
//
// Counts and histograms come out the same in any order. The first example of a kind wins, by the time it was seen. The
// audit of a process is not a sum: the worse value of each figure stays. o is not changed, and shares no page with iv
// afterwards.
func (iv *Interval) Merge(o *Interval) {
	iv.mergeGauges(o)
	iv.Scheduled += o.Scheduled
	iv.Started += o.Started
	iv.Due += o.Due
	iv.Late += o.Late
	iv.Dropped += o.Dropped
	iv.Stalled += o.Stalled
	iv.Iterations += o.Iterations
	iv.Failed += o.Failed
	iv.Unfinished += o.Unfinished
	iv.Opened += o.Opened
	iv.Lag.Add(&o.Lag)
	iv.Waiting.Add(&o.Waiting)
	iv.Audit.merge(&o.Audit)
	iv.mergeRecords(o.Records)
	iv.mergeErrors(o.Errors)
	for _, n := range o.Notes {
		if len(iv.Notes) < maxNotes && !slices.Contains(iv.Notes, n) {
			iv.Notes = append(iv.Notes, n)
		}
	}
	iv.Final = iv.Final || o.Final
}

func (iv *Interval) mergeGauges(o *Interval) {
	if iv.From == o.From {
		iv.Length = max(iv.Length, o.Length)
		iv.Users += o.Users
		iv.InFlight += o.InFlight
		iv.InFlightMax += o.InFlightMax
		iv.Queued += o.Queued
		iv.Connections += o.Connections
		return
	}
	end := max(iv.From+iv.Length, o.From+o.Length)
	if o.From > iv.From {
		iv.Users, iv.InFlight, iv.Queued, iv.Connections = o.Users, o.InFlight, o.Queued, o.Connections
	}
	iv.InFlightMax = max(iv.InFlightMax, o.InFlightMax)
	iv.Seq = min(iv.Seq, o.Seq)
	iv.From = min(iv.From, o.From)
	iv.Length = end - iv.From
}

func (a *Audit) merge(o *Audit) {
	a.CPU = max(a.CPU, o.CPU)
	a.ShardCPU = max(a.ShardCPU, o.ShardCPU)
	a.Cores = max(a.Cores, o.Cores)
	a.GCPauseP99 = max(a.GCPauseP99, o.GCPauseP99)
	a.GCShare = max(a.GCShare, o.GCShare)
	a.SchedP99 = max(a.SchedP99, o.SchedP99)
	a.Steal = max(a.Steal, o.Steal)
	a.Throttled = max(a.Throttled, o.Throttled)
	a.Memory = max(a.Memory, o.Memory)
	a.MemLimit = max(a.MemLimit, o.MemLimit)
	a.Files = max(a.Files, o.Files)
	a.FileLimit = max(a.FileLimit, o.FileLimit)
	a.Ports = max(a.Ports, o.Ports)
	a.PortLimit = max(a.PortLimit, o.PortLimit)
	a.OwnErrors += o.OwnErrors
	a.LimitHit = a.LimitHit || o.LimitHit
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Step, b.Step), cmp.Compare(a.Outcome, b.Outcome))
}

func (iv *Interval) mergeRecords(from []Record) {
	byKey := func(a, b Record) int { return compareKeys(a.Key, b.Key) }
	if !slices.IsSortedFunc(iv.Records, byKey) {
		slices.SortFunc(iv.Records, byKey)
	}
	for i := range from {
		at, found := slices.BinarySearchFunc(iv.Records, from[i].Key, func(r Record, k Key) int { return compareKeys(r.Key, k) })
		if !found {
			iv.Records = slices.Insert(iv.Records, at, Record{Key: from[i].Key})
		}
		iv.Records[at].add(&from[i])
	}
}

func (r *Record) add(o *Record) {
	r.Requests += o.Requests
	r.Attempts += o.Attempts
	r.DroppedFrom = Shortest(r.Dropped, r.DroppedFrom, o.Dropped, o.DroppedFrom)
	r.Dropped += o.Dropped
	for c, n := range o.Errors {
		r.Errors[c] += n
	}
	r.Status = addStatuses(r.Status, o.Status)
	r.BytesIn += o.BytesIn
	r.BytesOut += o.BytesOut
	r.Reused += o.Reused
	r.Stale += o.Stale
	r.Response.Add(&o.Response)
	r.Service.Add(&o.Service)
	for p := range o.Phases {
		r.Phases[p].Add(&o.Phases[p])
	}
}

// Shortest is the shorter of two times, each the shortest of so many; where there are none it does not count.
func Shortest(n uint64, a time.Duration, m uint64, b time.Duration) time.Duration {
	switch {
	case n == 0:
		return b
	case m == 0:
		return a
	}
	return min(a, b)
}

// ErrorCount is the number of the record's requests that ended in an error of any class.
func (r *Record) ErrorCount() uint64 {
	var n uint64
	for _, c := range r.Errors {
		n += c
	}
	return n
}

func addStatuses(to, from []StatusCount) []StatusCount {
	for _, s := range from {
		at, found := slices.BinarySearchFunc(to, s.Status, func(a StatusCount, want uint16) int { return cmp.Compare(a.Status, want) })
		if !found {
			to = slices.Insert(to, at, StatusCount{Status: s.Status})
		}
		to[at].Count += s.Count
	}
	return to
}

func compareErrors(a, b ErrorCount) int {
	return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Phase, b.Phase), cmp.Compare(a.Status, b.Status), cmp.Compare(a.Step, b.Step), cmp.Compare(a.Message, b.Message))
}

// mergedErrors is how many kinds of error the parts of one interval may have together before new ones are counted as other
// kinds, a group a class and phase, as a recorder does: what is written must be within what is read.
const mergedErrors = maxErrors - Classes*Phases

func (iv *Interval) mergeErrors(from []ErrorCount) {
	if !slices.IsSortedFunc(iv.Errors, compareErrors) {
		slices.SortFunc(iv.Errors, compareErrors)
	}
	for _, e := range from {
		at, found := slices.BinarySearchFunc(iv.Errors, e, compareErrors)
		if !found && len(iv.Errors) >= mergedErrors {
			e.Status, e.Step, e.Message = 0, 0, otherKinds
			at, found = slices.BinarySearchFunc(iv.Errors, e, compareErrors)
		}
		if !found {
			iv.Errors = slices.Insert(iv.Errors, at, e)
			continue
		}
		iv.Errors[at].add(&e)
	}
}

func (e *ErrorCount) add(o *ErrorCount) {
	e.Count += o.Count
	earlier := cmp.Or(cmp.Compare(o.First, e.First), cmp.Compare(o.Example, e.Example)) < 0
	if o.Example != "" && (e.Example == "" || earlier) {
		e.Example = o.Example
	}
	e.First, e.Last = min(e.First, o.First), max(e.Last, o.Last)
}

// Release gives all histogram memory of iv back and leaves them empty. Only the collector may do so, with a part that it has merged and
// that nobody else holds.
func (iv *Interval) Release(pages *Pages) {
	iv.Lag.Release(pages)
	iv.Waiting.Release(pages)
	for i := range iv.Records {
		r := &iv.Records[i]
		r.Response.Release(pages)
		r.Service.Release(pages)
		for p := range r.Phases {
			r.Phases[p].Release(pages)
		}
	}
}
