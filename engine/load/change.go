package load

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Never is a run time that does not come.
const Never = time.Duration(math.MaxInt64)

// Hearing is how late a source may hear of a change of the level and still make good what it calls for. Whatever the level r
// before it and R after it, what the source did not begin in time is (R-r) Hearing at most, which is at most 5 % of the R of the
// second in which it would be made good. More than that would be a burst that no plan has.
const Hearing = 50 * time.Millisecond

// MaxFactor bounds Change.Factor; MinFactor keeps a factor from being a hidden pause.
const (
	MinFactor = 0.001
	MaxFactor = 1000
)

// ChangeKind says what a Change does.
type ChangeKind uint8

// The kinds of changes. Their values go over the wire: they never change.
const (
	Hold    ChangeKind = 1 // the profile's own clock stops; the present level stays
	Resume  ChangeKind = 2 // ends Hold: the clock goes on where it stopped, so the run ends later
	Factor  ChangeKind = 3 // from here on every level is multiplied by Change.Factor (it replaces the factor before)
	Next    ChangeKind = 4 // the clock jumps to the start of the next stage; after the last one the profile is over
	Pause   ChangeKind = 5 // the level is 0 and the clock stops
	Unpause ChangeKind = 6 // ends Pause: all is as it was before, held or not
	Reshare ChangeKind = 7 // Change.Epoch says whose indices and users are from here on
	Stop    ChangeKind = 8 // nothing becomes due after it; see Log
)

func (k ChangeKind) String() string {
	names := [...]string{Hold: "hold", Resume: "resume", Factor: "factor", Next: "next", Pause: "pause", Unpause: "unpause", Reshare: "reshare", Stop: "stop"}
	if k == 0 || int(k) >= len(names) {
		return fmt.Sprintf("change(%d)", uint8(k))
	}
	return names[k]
}

// Change is one entry of a run's log of live changes. What was due up to and including At is untouched by it.
type Change struct {
	At     time.Duration // run time from which it holds
	Kind   ChangeKind
	Factor float64 // of kind Factor: the whole factor against the profile, MinFactor..MaxFactor, not a step from the one before
	Epoch  *Epoch  // of kind Reshare; never altered once in a Log
}

// Epoch is a time with one table of shares. In the open model it begins with the index From; in the closed model with
// the Change's At, for all users at once; the parts of max_in_flight change after At.
//
// A table may name a number that no source has: what belongs to it is begun by nobody. That is how a load that the sources
// left cannot carry is left out in proportion, evenly spread over all the rest, and how a share is taken from one source
// before it is given to another. Sources that have no entry own nothing and stand by for the next epoch.
type Epoch struct {
	ID    int      // counts up
	From  int64    // first index that is due after the Change's At; Timeline.FirstAfter gives it
	Table []uint16 // source of index i: Table[(i-From) mod len]; of user k: Table[k mod len]
}

// Log is the live changes of a run so far: append-only and in order of time, but for a Stop. That one does not wait for what
// was ordered before it and lies further ahead: it may lie before the last entries, and those after its time then never hold.
// Every source has its own copy with the same entries; so all of them see the same Timeline. All methods are safe for
// concurrent use.
type Log struct {
	spec *Spec
	mu   sync.Mutex // held while appending
	now  atomic.Pointer[logged]
}

// logged is one state of a log; it is never altered.
type logged struct {
	changes  []Change
	timeline *Timeline
}

// NewLog is the empty log of a run of spec, which must be valid and is not altered any more.
func NewLog(spec *Spec) *Log {
	l := &Log{spec: spec}
	l.now.Store(&logged{timeline: newTimeline(spec, nil)})
	return l
}

// Append adds a change, or says why it cannot be: it lies before the latest one and is no Stop, its value is out of range, or
// the run was stopped. After Stop only Reshare, which means nothing, and Stop are taken: a source that is lost during the drain
// is no error. Of several Stops the earliest holds. The caller leaves c.Epoch alone afterwards.
func (l *Log) Append(c Change) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.now.Load()
	if err := check(old.changes, c); err != nil {
		return fmt.Errorf("change %d (%v at %v): %w", len(old.changes)+1, c.Kind, c.At, err)
	}
	changes := append(old.changes[:len(old.changes):len(old.changes)], c)
	l.now.Store(&logged{changes: changes, timeline: newTimeline(l.spec, changes)})
	return nil
}

// Latest is the latest time of a list of changes; 0 if there is none.
func Latest(changes []Change) time.Duration {
	at := time.Duration(0)
	for i := range changes {
		at = max(at, changes[i].At)
	}
	return at
}

// stopAt is the time of the earliest stop; Never if there is none.
func stopAt(changes []Change) time.Duration {
	at := Never
	for i := range changes {
		if changes[i].Kind == Stop {
			at = min(at, changes[i].At)
		}
	}
	return at
}

// check says whether c may follow the changes before it.
func check(before []Change, c Change) error {
	if c.At < 0 || c.At > 2*MaxDuration {
		return fmt.Errorf("its time is not in 0s..%v", 2*MaxDuration)
	}
	if at := Latest(before); c.Kind != Stop && c.At < at {
		return fmt.Errorf("it lies before the latest change, which is at %v", at)
	}
	stopped := false
	var epoch *Epoch
	for i := range before {
		stopped = stopped || before[i].Kind == Stop
		if before[i].Epoch != nil {
			epoch = before[i].Epoch
		}
	}
	switch c.Kind {
	case Hold, Resume, Next, Pause, Unpause:
	case Factor:
		if !(c.Factor >= MinFactor && c.Factor <= MaxFactor) {
			return fmt.Errorf("the factor %v is not in %v..%v", c.Factor, MinFactor, MaxFactor)
		}
	case Reshare:
		switch e := c.Epoch; {
		case e == nil:
			return errors.New("the epoch is missing")
		case len(e.Table) == 0:
			return errors.New("its table of shares is empty, so nobody would own anything")
		case e.From < 0:
			return fmt.Errorf("its first index %d is below 0", e.From)
		case epoch != nil && e.From < epoch.From:
			return fmt.Errorf("its first index %d lies before %d, where the epoch before begins", e.From, epoch.From)
		case epoch != nil && e.ID <= epoch.ID:
			return fmt.Errorf("its number %d does not follow %d", e.ID, epoch.ID)
		}
		return nil
	case Stop:
		return nil
	default:
		return errors.New("the kind is unknown")
	}
	if c.Kind != Reshare && c.Epoch != nil {
		return errors.New("only a reshare has an epoch")
	}
	if stopped {
		return errors.New("the run was stopped")
	}
	return nil
}

// Changes are the entries so far. The slice is not altered any more, and the caller does not alter it.
func (l *Log) Changes() []Change { return l.now.Load().changes }

// Timeline is the profile under the entries so far.
func (l *Log) Timeline() *Timeline { return l.now.Load().timeline }
