package load

import "time"

// Schedule is one shard's view of the open model: the indices that it owns, in order, and the run time at which each is
// due. Due times never fall. It is not safe for concurrent use, one belongs to one shard; the Log may grow meanwhile.
//
//	for {
//		if s.Stale() { s.Refresh() }
//		index, due, ok := s.Peek()
//		if !ok { wait for the log, or end at Timeline.End }
//		if due > now { wait until due, or the log }
//		begin index; s.Next()
//	}
type Schedule struct {
	spec          *Spec
	log           *Log
	source        int
	shard, shards int

	line   *Timeline // as of the last Refresh
	piece  int       // of line: the one of the pending index
	places *places

	stripe stripe
	epoch  int   // of line: the one of stripe
	until  int64 // first index beyond the stripe

	done  int64 // last index consumed, -1: none
	index int64 // pending
	due   time.Duration
	ok    bool
	floor time.Duration // latest due time dealt
}

// NewSchedule is the schedule of shard number shard of shards (0 <= shard < shards) of a source, which is its number in
// the tables of the log's epochs; without an epoch all belongs to source 0. Where an epoch leaves the source fewer slots of
// Spec.MaxInFlight than it has shards, only so many of them own anything. The log must have been made for the same spec;
// nil means that there will be no changes.
func NewSchedule(spec *Spec, log *Log, source, shard, shards int) *Schedule {
	if log == nil {
		log = NewLog(spec)
	}
	s := &Schedule{spec: spec, log: log, source: source, shard: shard, shards: shards, line: log.Timeline(), places: newPlaces(spec), done: -1}
	s.Refresh()
	return s
}

// Peek is the shard's next index and the run time at which it is due, under the log as of the last Refresh. ok is false
// if none will come (the profile is over, the bound on iterations is reached, the run was stopped or is paused, or the
// source owns nothing) unless the log changes.
func (s *Schedule) Peek() (index int64, due time.Duration, ok bool) {
	return s.index, s.due, s.ok
}

// Next consumes the index that Peek gives: it is never dealt again. Without one it does nothing.
func (s *Schedule) Next() {
	if !s.ok {
		return
	}
	s.done, s.floor = s.index, s.due
	s.stripe.next()
	s.settle()
}

// Stale says whether the log has grown since the last Refresh: one atomic load.
func (s *Schedule) Stale() bool { return s.log.Timeline() != s.line }

// Refresh takes over what the log has got: the pending index and its due time are worked out again. What was consumed is
// not dealt again; an index at or before it that a late epoch would give to this shard is left out, so an epoch must
// begin in the future of every source. It returns the time of the earliest new change of the level, Never without one: whoever
// hears of that more than [Hearing] late finds indices due that could not be begun in time. A stop is none: it makes nothing due.
func (s *Schedule) Refresh() (changed time.Duration) {
	before := s.line
	s.line = s.log.Timeline()
	s.piece = 0
	// The first epoch whose indices go beyond what is consumed.
	s.enter(0)
	for s.until <= s.done+1 {
		s.enter(s.epoch + 1)
	}
	s.settle()
	return s.line.since(before, func(k ChangeKind) bool { return k != Reshare && k != Stop })
}

// enter stands at the first index of an epoch that is not consumed.
func (s *Schedule) enter(epoch int) {
	e := &s.line.epochs[epoch]
	s.epoch, s.until = epoch, endless
	if epoch+1 < len(s.line.epochs) {
		s.until = s.line.epochs[epoch+1].from
	}
	s.stripe = s.stripeOf(e)
	s.stripe.seek(s.stripe.before(s.done + 1))
}

func (s *Schedule) stripeOf(e *epoch) stripe {
	return newStripe(e.from, e.table, s.source, s.shard, s.spec.atWork(e.table, s.source, s.shards))
}

// endless is an index that no run reaches.
const endless = int64(1) << 62

// settle makes the number of the stripe the pending index, going on to later epochs where the present one has no more.
func (s *Schedule) settle() {
	for s.stripe.empty() || s.stripe.number() >= s.until {
		if s.until == endless {
			s.ok = false
			return
		}
		s.enter(s.epoch + 1)
	}
	s.index = s.stripe.number()
	if n := s.spec.Iterations; n > 0 && s.index >= n {
		s.ok = false
		return
	}
	s.due, s.ok = s.dueOf(s.places.at(s.index))
}

// dueOf is when the place u is reached, looking from the present piece on.
func (s *Schedule) dueOf(u float64) (time.Duration, bool) {
	pieces := s.line.pieces
	for ; s.piece < len(pieces); s.piece++ {
		if p := &pieces[s.piece]; u <= p.sumEnd {
			due := p.reached(u)
			if due >= Never/2 {
				return 0, false
			}
			// Rounding may put a due time a nanosecond before the one before it.
			return max(due, s.floor), true
		}
	}
	return 0, false
}
