package peer

import (
	"slices"
	"time"

	"lt/engine/load"
)

// replica is a source's own copy of the fleet's log of changes: the same entries, as far as it was told of them, but for the first
// arrivals of epochs that it was told of too late. Learning is not safe for concurrent use; the log may be read at any time.
type replica struct {
	spec    *load.Spec
	source  int
	log     *load.Log
	reached int64 // the source may have begun any of its own before this arrival
	late    int64 // see wire.Applied
}

// newReplica is an empty copy for a source.
func newReplica(spec *load.Spec, source int) *replica {
	return &replica{spec: spec, source: source, log: load.NewLog(spec)}
}

// count is how many entries of the fleet's log the source has.
func (r *replica) count() int { return len(r.log.Changes()) }

const (
	// inTime is a run time at which nothing is learnt late: the source has not begun.
	inTime = -time.Hour
	// learntAhead is time enough for the shards of a process to hear of an entry.
	learntAhead = 50 * time.Millisecond
)

// learn enters further entries at the source's run time now. One that it learns in time is entered as it is. An epoch that it learns
// too late, after a silence, it follows from the arrival reached on, a moment ahead: until then all its shards go on as before, and
// they change over together. Otherwise one of them would take up what another has begun already. A change of the level has it ahead
// of the plan, if it was to be lower; what was due by a higher one the engine leaves out.
func (r *replica) learn(entries []load.Change, now time.Duration) error {
	first := int64(0) // of the newest epoch
	for _, c := range r.log.Changes() {
		if c.Epoch != nil {
			first = c.Epoch.From
		}
	}
	ahead := now + learntAhead
	if r.spec.Model == load.Open && ahead > 0 && slices.ContainsFunc(entries, func(c load.Change) bool { return c.At < ahead }) {
		line, err := levels(r.spec, r.log.Changes(), entries)
		if err != nil {
			return err
		}
		r.reached = max(r.reached, line.FirstAfter(ahead), r.log.Timeline().FirstAfter(ahead))
	}
	for _, c := range entries {
		if c.Kind == load.Reshare && r.spec.Model == load.Open && c.Epoch != nil && len(c.Epoch.Table) > 0 {
			e := *c.Epoch
			if e.From = max(e.From, first, r.reached); e.From != c.Epoch.From {
				turn := int((e.From - c.Epoch.From) % int64(len(e.Table)))
				e.Table = slices.Concat(e.Table[turn:], e.Table[:turn])
				c.Epoch = &e
				r.late = max(r.late, e.From)
			}
			first = e.From
		}
		if err := r.log.Append(c); err != nil {
			return err
		}
	}
	return nil
}

// levels is the timeline under the changes of the level in two lists.
func levels(spec *load.Spec, lists ...[]load.Change) (*load.Timeline, error) {
	log := load.NewLog(spec)
	for _, list := range lists {
		for _, c := range list {
			if c.Kind != load.Reshare {
				if err := log.Append(c); err != nil {
					return nil, err
				}
			}
		}
	}
	return log.Timeline(), nil
}
