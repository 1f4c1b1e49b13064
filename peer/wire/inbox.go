package wire

import (
	"fmt"
	"sync"
	"time"

	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/redact"
)

// The bounds of what is believed of a peer. No machine makes that many of anything within an interval; sums of such counts over a
// run of any length fit into 64 bits.
const (
	maxCount    = 1 << 48
	maxGauge    = 1 << 31
	maxExamples = 64 // examples of errors in an interval
)

// InboxConfig is what an inbox holds its intervals to. Source and Steps are required.
type InboxConfig struct {
	Source string // the peer's name: the intervals bear it, whatever they say themselves
	Steps  int    // of the compiled job
	Stages int    // of the profile
	// Latest is the run time at which an interval may end at most; nil: any that a run can last. A row of memory is kept a second.
	Latest func() time.Duration
}

// Inbox is the coordinator's side of the measurements of one engine's process (one incarnation): it takes each batch exactly
// once. Safe for concurrent use.
type Inbox struct {
	cfg    InboxConfig
	mu     sync.Mutex
	last   uint64
	totals Totals
}

// NewInbox makes an empty inbox.
func NewInbox(c InboxConfig) *Inbox { return &Inbox{cfg: c} }

// BatchError is a batch that cannot be true. Sending it again does not help: the peer is not to be believed any more.
type BatchError struct {
	Source  string
	Seq     uint64
	Problem error
}

func (e *BatchError) Error() string {
	return fmt.Sprintf("peer %s: batch %d: %v", e.Source, e.Seq, e.Problem)
}

func (e *BatchError) Unwrap() error { return e.Problem }

// Take takes a batch. It is fresh if it was not there before: then iv is what it holds, numbered from 0 without gaps, and the
// caller's own. Whether fresh or not, it is to be acknowledged. The error is a *BatchError.
func (in *Inbox) Take(b Batch) (iv *metrics.Interval, fresh bool, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	refuse := func(format string, args ...any) (*metrics.Interval, bool, error) {
		return nil, false, &BatchError{Source: in.cfg.Source, Seq: b.Seq, Problem: fmt.Errorf(format, args...)}
	}
	switch {
	case b.Seq == 0:
		return refuse("batches are numbered from 1")
	case b.Seq <= in.last:
		return nil, false, nil
	case b.Seq > in.last+1:
		return refuse("it came after batch %d, so that some are missing", in.last)
	case b.Count == 0 || b.Count > maxCount:
		return refuse("it says that %d intervals are in it", b.Count)
	}
	iv, rest, err := metrics.DecodeInterval(b.Data)
	if err != nil {
		return refuse("%w", err)
	}
	if len(rest) > 0 {
		return refuse("%d bytes follow its interval", len(rest))
	}
	if err := in.cfg.check(iv); err != nil {
		return refuse("%w", err)
	}
	in.cfg.clean(iv)
	iv.Source, iv.Seq = in.cfg.Source, b.Seq-1
	in.last = b.Seq
	in.totals.Add(iv, b.Count)
	return iv, true, nil
}

// Account is the coordinator's entry of the double entry: what all batches that were taken come to, and the number of the last.
func (in *Inbox) Account() (t Totals, lastSeq uint64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.totals, in.last
}

// check refuses what cannot be true and would do harm if it were believed. That a peer lies within these bounds cannot be seen.
func (c *InboxConfig) check(iv *metrics.Interval) error {
	latest := 2 * load.MaxDuration
	if c.Latest != nil {
		latest = min(latest, c.Latest())
	}
	if iv.From+iv.Length > latest {
		return fmt.Errorf("it ends at run time %v, and it is not later than %v", iv.From+iv.Length, latest)
	}
	for _, n := range [...]uint64{iv.Scheduled, iv.Started, iv.Due, iv.Late, iv.Dropped, iv.Stalled, iv.Iterations, iv.Failed, iv.Unfinished, iv.Opened, iv.Audit.OwnErrors} {
		if n > maxCount {
			return fmt.Errorf("it counts %d of something", n)
		}
	}
	for _, n := range [...]int{
		iv.Users, iv.InFlight, iv.InFlightMax, iv.Queued, iv.Connections,
		iv.Audit.Files, iv.Audit.FileLimit, iv.Audit.Ports, iv.Audit.PortLimit,
	} {
		if n < 0 || n > maxGauge {
			return fmt.Errorf("it says that there are %d of something", n)
		}
	}
	for i := range iv.Records {
		if err := c.checkRecord(&iv.Records[i]); err != nil {
			return fmt.Errorf("record %d: %w", i+1, err)
		}
	}
	for i := range iv.Errors {
		e := &iv.Errors[i]
		if int(e.Step) >= c.Steps {
			return fmt.Errorf("an error is of step %d, and there are %d", e.Step+1, c.Steps)
		}
		if e.Count > maxCount || e.First < 0 || e.Last < e.First || e.Last > latest {
			return fmt.Errorf("an error of class %v came %d times from %v to %v", e.Class, e.Count, e.First, e.Last)
		}
	}
	return nil
}

func (c *InboxConfig) checkRecord(r *metrics.Record) error {
	if int(r.Step) >= c.Steps {
		return fmt.Errorf("it is of step %d, and there are %d", int(r.Step)+1, c.Steps)
	}
	if int(r.Stage) >= c.Stages {
		return fmt.Errorf("it is of stage %d, and there are %d", int(r.Stage)+1, c.Stages)
	}
	counts := append([]uint64{r.Requests, r.Attempts, r.Dropped, r.BytesIn, r.BytesOut, r.Reused, r.Stale, r.Response.Count(), r.Service.Count()}, r.Errors[:]...)
	for _, s := range r.Status {
		counts = append(counts, s.Count)
	}
	for p := range r.Phases {
		counts = append(counts, r.Phases[p].Count())
	}
	for _, n := range counts {
		if n > maxCount {
			return fmt.Errorf("it counts %d of something", n)
		}
	}
	if failed := r.ErrorCount(); failed > r.Requests {
		return fmt.Errorf("it has %d errors in %d requests", failed, r.Requests)
	}
	return nil
}

// clean makes what the peer says harmless for a terminal and bounds it.
func (c *InboxConfig) clean(iv *metrics.Interval) {
	examples := 0
	for i := range iv.Errors {
		e := &iv.Errors[i]
		e.Message = redact.Neutralise(e.Message)
		if e.Example == "" {
			continue
		}
		if examples++; examples > maxExamples {
			e.Example = ""
			continue
		}
		e.Example = redact.NeutraliseLines(e.Example)
	}
	for i := range iv.Notes {
		iv.Notes[i] = redact.Neutralise(iv.Notes[i])
	}
}
