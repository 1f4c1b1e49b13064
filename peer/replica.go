package peer

import (
	"slices"
	"time"

	"lt/engine/load"
)

// learn enters further entries into the log of a source whose run time is now. One that it learns in time is entered as it is. An
// epoch that it learns too late, after a silence, it follows from the arrival late on, a moment ahead: until then all its shards
// go on as before, and they change over together. Otherwise one of them would take up what another has begun already. late is 0
// if there was none.
//
// reached, which the caller keeps from one call to the next and begins with 0, is the arrival before which the source may have begun
// any of its own: a change of the level that it learns late has it ahead of the plan.
func learn(log *load.Log, spec *load.Spec, entries []load.Change, now time.Duration, reached *int64) (late int64, err error) {
	first := int64(0) // of the newest epoch
	for _, c := range log.Changes() {
		if c.Epoch != nil {
			first = c.Epoch.From
		}
	}
	ahead := now + learntAhead
	if slices.ContainsFunc(entries, func(c load.Change) bool { return c.At < ahead }) && spec.Model == load.Open && ahead > 0 {
		line, err := levels(spec, log.Changes(), entries)
		if err != nil {
			return 0, err
		}
		*reached = max(*reached, line.FirstAfter(ahead), log.Timeline().FirstAfter(ahead))
	}
	for _, c := range entries {
		if c.Kind == load.Reshare && spec.Model == load.Open && c.Epoch != nil && len(c.Epoch.Table) > 0 {
			e := *c.Epoch
			if e.From = max(e.From, first, *reached); e.From != c.Epoch.From {
				turn := int((e.From - c.Epoch.From) % int64(len(e.Table)))
				e.Table = slices.Concat(e.Table[turn:], e.Table[:turn])
				c.Epoch = &e
				late = e.From
			}
			first = e.From
		}
		if err := log.Append(c); err != nil {
			return late, err
		}
	}
	return late, nil
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

// learntAhead is time enough for the shards of a process to hear of an epoch.
const learntAhead = 50 * time.Millisecond
