package wire

import (
	"context"
	"fmt"
	"sync"
	"time"

	"lt/engine/metrics"
)

// The bounds of what a peer keeps of its measurements, in encoded bytes.
const (
	ring      = 8 << 20         // in all; beyond it neighbours are joined, which costs resolution and no count
	underway  = 32 << 10        // sent and not acknowledged: at 1 Mbit/s a heartbeat behind it waits a quarter of a second
	maxParcel = MaxMetrics - 64 // the rest of a Batch takes less
)

// flushes is how much run time goes into one batch, by how slow the link is.
var flushes = [...]time.Duration{time.Second, 2 * time.Second, 5 * time.Second}

// The link gets slower by a step when an acknowledgement took longer than one and two seconds, and quicker below half a second.
const quickLink = 500 * time.Millisecond

// Outbox is the peer's side of the measurements: each interval goes to the coordinator exactly once, over as many sessions as it
// takes. Batches are numbered from 1 without gaps when they are first sent; from then on they do not change, and they are kept
// until they are acknowledged. What was not sent yet may be joined with its neighbour. The zero value is not usable; safe for
// concurrent use.
type Outbox struct {
	ring, largest int // as the constants; tests have less

	serving sync.Mutex // held by the one Serve

	mu      sync.Mutex
	pending []parcel
	sent    []numbered // not acknowledged
	next    int        // of sent: what this session has not sent yet
	flying  int        // bytes sent in this session and not acknowledged
	size    int        // bytes of pending and sent
	seq     uint64     // the last number given
	sealed  bool
	slow    int // place in flushes
	totals  Totals
	ready   chan struct{}
	changed chan struct{} // closed and replaced when something was acknowledged
}

// parcel is an encoded interval that has no number yet.
type parcel struct {
	data   []byte
	length time.Duration
	count  uint64
}

type numbered struct {
	Batch
	at time.Time // sent last
}

// NewOutbox makes an empty outbox: one for the life of an engine.
func NewOutbox() *Outbox {
	return &Outbox{ring: ring, largest: maxParcel, ready: make(chan struct{}, 1), changed: make(chan struct{})}
}

// Add takes an interval. Nothing of iv is kept; it never waits. Intervals come in the order of their time, the last one with Final.
func (o *Outbox) Add(iv *metrics.Interval) {
	p := parcel{data: iv.AppendBinary(nil), length: iv.Length, count: 1}
	if len(p.data) > o.largest {
		p.data = withoutPhases(iv).AppendBinary(nil)
	}
	o.mu.Lock()
	o.totals.Add(iv, 1)
	o.pending = append(o.pending, p)
	o.size += len(p.data)
	o.sealed = o.sealed || iv.Final
	for o.size > o.ring && o.joinShortest() {
	}
	o.mu.Unlock()
	o.nudge()
}

// withoutPhases leaves out what most of an interval consists of, for one of thousands of steps that would not fit into a frame.
func withoutPhases(iv *metrics.Interval) *metrics.Interval {
	small := *iv
	small.Records = append([]metrics.Record(nil), iv.Records...)
	for i := range small.Records {
		small.Records[i].Phases = [metrics.Phases]metrics.Histogram{}
	}
	small.Errors = append([]metrics.ErrorCount(nil), iv.Errors...)
	for i := range small.Errors {
		small.Errors[i].Example = ""
	}
	small.Notes = append(iv.Notes[:len(iv.Notes):len(iv.Notes)], "an interval of this source was too large to be sent: it came without phases and examples of errors")
	return &small
}

// Seal says that nothing will be added any more: what is pending goes out without waiting for more. Final does the same.
func (o *Outbox) Seal() {
	o.mu.Lock()
	o.sealed = true
	o.mu.Unlock()
	o.nudge()
}

// Account is the peer's entry of the double entry: what all intervals that were added come to, and the number of the last batch,
// which is final once Wait has returned.
func (o *Outbox) Account() (t Totals, lastSeq uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.totals, o.seq
}

// Wait waits until all that was added has been acknowledged, or ctx is over.
func (o *Outbox) Wait(ctx context.Context) error {
	for {
		o.mu.Lock()
		left, changed := len(o.pending)+len(o.sent), o.changed
		o.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d batches are not acknowledged: %w", left, context.Cause(ctx))
		}
	}
}

// Serve sends over the metrics stream of one session until that ends, and returns why it did. acked is the last batch that the
// coordinator has, as its greeting says. A second call waits until the first has returned: end the older session first.
func (o *Outbox) Serve(l *Ordered[Batch, Ack], acked uint64) error {
	o.serving.Lock()
	defer o.serving.Unlock()
	s := l.st.s
	if err := o.Resume(acked); err != nil {
		s.Fail(err)
		return s.Err()
	}
	received := make(chan struct{})
	go func() {
		defer s.cfg.recover()
		defer close(received)
		for {
			a, err := l.Receive()
			if err != nil {
				return
			}
			if err := o.acknowledge(a.Upto); err != nil {
				s.Fail(err)
				return
			}
		}
	}()
	for {
		b, ok := o.take()
		if ok {
			if l.Send(b) == nil {
				continue
			}
		} else {
			select {
			case <-o.ready:
				continue
			case <-s.Done():
			}
		}
		<-received
		return s.Err()
	}
}

func (o *Outbox) nudge() {
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// Resume begins a session with a coordinator that has the batches up to acked: all later ones are sent again. An error says that
// the two accounts cannot be of the same run.
func (o *Outbox) Resume(acked uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if acked > o.seq || len(o.sent) > 0 && acked+1 < o.sent[0].Seq || len(o.sent) == 0 && acked != o.seq {
		return fmt.Errorf("the coordinator has the batches up to %d, and this peer keeps those from %d to %d: they do not fit together", acked, o.seq+1-uint64(len(o.sent)), o.seq)
	}
	o.drop(acked)
	o.next, o.flying = 0, 0
	return nil
}

// drop forgets what is acknowledged. The lock is held.
func (o *Outbox) drop(upto uint64) {
	n := 0
	for n < len(o.sent) && o.sent[n].Seq <= upto {
		o.size -= len(o.sent[n].Data)
		n++
	}
	o.sent = append([]numbered(nil), o.sent[n:]...)
	o.next = max(o.next-n, 0)
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *Outbox) acknowledge(upto uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	// Acknowledgements of batches that are gone already, from before a resumption, are no error.
	if upto > o.seq || o.next == 0 && len(o.sent) > 0 && upto >= o.sent[0].Seq || o.next > 0 && upto > o.sent[o.next-1].Seq {
		return fmt.Errorf("batch %d is acknowledged, and it was not sent", upto)
	}
	var took time.Duration
	some := false
	for _, b := range o.sent[:o.next] {
		if b.Seq <= upto {
			o.flying -= len(b.Data)
			took, some = time.Since(b.at), true
		}
	}
	if !some {
		return nil
	}
	switch {
	case took > flushes[1]:
		o.slow = 2
	case took > flushes[0]:
		o.slow = max(o.slow, 1)
	case took < quickLink:
		o.slow = max(o.slow-1, 0)
	}
	o.drop(upto)
	o.nudge()
	return nil
}

// take is the next batch to be sent, if there is one and it may be under way.
func (o *Outbox) take() (Batch, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.next == len(o.sent) {
		if !o.number() {
			return Batch{}, false
		}
	}
	b := &o.sent[o.next]
	if o.flying > 0 && o.flying+len(b.Data) > underway {
		return Batch{}, false
	}
	o.next++
	o.flying += len(b.Data)
	b.at = time.Now()
	return b.Batch, true
}

// number makes a batch of what is pending, if that is enough and may go at once.
func (o *Outbox) number() bool {
	if len(o.pending) == 0 {
		return false
	}
	span := time.Duration(0)
	for _, p := range o.pending {
		span += p.length
	}
	if flush := flushes[o.slow]; o.slow > 0 && span < flush && !o.sealed {
		return false
	}
	for o.slow > 0 && len(o.pending) > 1 && o.pending[0].length+o.pending[1].length <= flushes[o.slow] && o.join(0) {
	}
	p := o.pending[0]
	// What does not fit now is left as it is, to be joined with what follows.
	if o.flying > 0 && o.flying+len(p.data) > underway {
		return false
	}
	o.pending = o.pending[1:]
	o.seq++
	o.sent = append(o.sent, numbered{Batch: Batch{Seq: o.seq, Data: p.data, Count: p.count}})
	return true
}

// joinShortest joins the two neighbours that together cover the least time.
func (o *Outbox) joinShortest() bool {
	best := -1
	for i := 0; i+1 < len(o.pending); i++ {
		if len(o.pending[i].data)+len(o.pending[i+1].data) > o.largest {
			continue
		}
		if best < 0 || o.pending[i].length+o.pending[i+1].length < o.pending[best].length+o.pending[best+1].length {
			best = i
		}
	}
	return best >= 0 && o.join(best)
}

// join makes one parcel of two neighbours. Together they are hardly ever larger than apart; if they do not fit into a frame they
// stay as they are.
func (o *Outbox) join(i int) bool {
	a, b := &o.pending[i], o.pending[i+1]
	first, _, err := metrics.DecodeInterval(a.data)
	if err != nil {
		return false
	}
	second, _, err := metrics.DecodeInterval(b.data)
	if err != nil {
		return false
	}
	first.Merge(second)
	data := first.AppendBinary(nil)
	if len(data) > o.largest {
		return false
	}
	o.size += len(data) - len(a.data) - len(b.data)
	*a = parcel{data: data, length: first.Length, count: a.count + b.count}
	o.pending = append(o.pending[:i+1], o.pending[i+2:]...)
	return true
}
