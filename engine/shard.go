package engine

import (
	"time"

	"lt/engine/h1"
	"lt/engine/journey"
	"lt/engine/load"
	"lt/engine/loop"
	"lt/engine/metrics"
)

const (
	// intervalLength is how much run time goes into one interval.
	intervalLength = time.Second
	// lateAfter is how long after it was due an arrival that begins is called late.
	lateAfter = 10 * time.Millisecond
	// stallAfter is how long the loop must not have run for what came due meanwhile to be dropped instead of caught up.
	stallAfter = time.Second
	// setupRest is how long a slot whose setup failed is left alone.
	setupRest = time.Second
)

// shard is one locked thread with one event loop, its part of the schedule, its virtual users and its recorder. Everything
// in it belongs to the loop's goroutine.
type shard struct {
	e        *Engine
	loop     *loop.Loop
	id, of   int
	limit    int // iterations in hand at once; 0: none
	schedule *load.Schedule
	users    *load.Users
	mix      *load.Mix
	rec      *metrics.Recorder
	slots    slab
	free     [][]uint32 // free slots by scenario, last in first out
	queue    queue
	routes   []*route // by origin number of the program
	dynamic  map[journey.Origin]int32
	sc       h1.Scratch
	out      []byte // requests are rendered here
	spare    []*exchange
	bodies   [][]byte
	input    journey.Input
	sample   metrics.Sample
	examples map[exampleKey]struct{}

	seq      uint64
	edge     time.Duration // end of the present interval
	seen     time.Duration // the last clock reading
	inHand   int
	peak     int
	conns    int
	opened   uint64
	hit      bool // the limit made an arrival wait in this interval
	own      uint64
	notes    []string
	closing  bool          // nothing begins any more
	cutAt    time.Duration // when what is in hand is cut
	retiring bool
	over     bool
	alive    int              // users in existence
	leavers  int              // teardowns in hand
	byNumber map[int64]uint32 // closed: slots by user number
	gap      time.Duration    // what was due by then is dropped: the loop did not run
}

// exampleKey is a kind of error of which an example was already kept.
type exampleKey struct {
	class  metrics.Class
	status uint16
	step   uint16
}

func newShard(e *Engine, l *loop.Loop, id, of, limit int) *shard {
	s := &shard{
		e: e, loop: l, id: id, of: of, limit: limit,
		mix:      e.spec.Mix(),
		rec:      metrics.NewRecorder(len(e.cfg.Program.Steps), e.pages),
		free:     make([][]uint32, len(e.cfg.Program.Scenarios)),
		dynamic:  map[journey.Origin]int32{},
		byNumber: map[int64]uint32{},
		examples: map[exampleKey]struct{}{},
		edge:     intervalLength,
	}
	if e.spec.Model == load.Open {
		s.schedule = load.NewSchedule(e.spec, e.cfg.Log, e.cfg.Source, id, of)
	} else {
		s.users = load.NewUsers(e.spec, e.cfg.Log, e.cfg.Source, id, of)
	}
	for i, or := range e.cfg.Program.Origins {
		s.routes = append(s.routes, e.origins.route(or))
		s.dynamic[or] = int32(i)
	}
	return s
}

func (s *shard) run() error { return s.loop.Run(s) }

// Wake begins what is due and says when the next thing is.
func (s *shard) Wake(now time.Duration) time.Duration {
	if s.over {
		return loop.Never
	}
	s.tick(now)
	var next time.Duration
	if s.schedule != nil {
		s.begin(now, now)
		next = s.nextArrival(now)
	} else {
		next = s.populate(now)
	}
	if s.finished(now) {
		s.finish(now)
		return loop.Never
	}
	return min(next, s.edge)
}

// tick is called first in every call from the loop: it finds out whether the loop did not run for a while, and closes the
// intervals that are over.
func (s *shard) tick(now time.Duration) {
	if s.schedule != nil && now-s.seen > stallAfter {
		// The loop calls as soon as something is due. If it did not, the process was stopped or the machine slept, and what
		// came due meanwhile is dropped, not fired off in a burst.
		if _, due, ok := s.schedule.Peek(); ok && now-max(s.seen, due) > stallAfter {
			s.gap = now
		}
	}
	s.seen = now
	for now >= s.edge && !s.over {
		if s.schedule != nil {
			s.begin(s.edge-1, now)
		}
		s.cutInterval(false)
	}
}

// nextArrival says when the open model next needs the shard: the next arrival, the head of the queue giving up, or the end.
func (s *shard) nextArrival(now time.Duration) time.Duration {
	next := s.cutAt
	if !s.closing {
		if _, due, ok := s.schedule.Peek(); ok {
			next = due
		} else {
			next = max(s.e.cfg.Log.Timeline().End(), now)
		}
	}
	if head, ok := s.queue.head(); ok {
		next = min(next, head.due+s.e.spec.DropAfter)
	}
	return next
}

// begin takes every arrival that is due by `by` off the schedule, and gives up those in the queue that waited too long.
func (s *shard) begin(by, now time.Duration) {
	if s.schedule.Stale() {
		s.refresh()
	}
	for !s.closing {
		index, due, ok := s.schedule.Peek()
		if !ok || due > by {
			break
		}
		s.schedule.Next()
		s.rec.Scheduled++
		s.rec.Due++
		sc := s.mix.Scenario(index)
		if due <= s.gap {
			s.drop(sc, due, now, true)
			continue
		}
		s.arrive(arrival{index: index, scenario: uint16(sc), due: due}, now)
	}
	for {
		head, ok := s.queue.head()
		if !ok || now-head.due < s.e.spec.DropAfter {
			break
		}
		s.queue.pop()
		s.drop(int(head.scenario), head.due, now, false)
	}
	if !s.closing {
		if _, _, ok := s.schedule.Peek(); !ok && (s.e.spec.Iterations > 0 || now >= s.e.cfg.Log.Timeline().End()) {
			s.close(min(now, s.e.cfg.Log.Timeline().End()))
		}
	}
}

// close is the end of the load: nothing becomes due any more, what is in hand has its grace.
func (s *shard) close(at time.Duration) {
	s.closing = true
	s.cutAt = at + s.e.spec.Graceful
}

// drop gives an arrival up. It counts as offered, and the time it waited stands in the response times of its first step.
func (s *shard) drop(scenario int, due, now time.Duration, stalled bool) {
	first := s.e.cfg.Program.Scenarios[scenario].Steps[0]
	s.rec.Drop(s.stageOf(due), uint16(first.ID), now-due, stalled)
}

// arrive gives an arrival a slot, or lets it wait for one.
func (s *shard) arrive(a arrival, now time.Duration) {
	if s.queue.len() > 0 || s.limit > 0 && s.inHand >= s.limit {
		s.hit = true
		if now-a.due >= s.e.spec.DropAfter {
			s.drop(int(a.scenario), a.due, now, false)
			return
		}
		s.queue.push(a)
		return
	}
	s.serve(a, a.due, now)
}

// serve begins an iteration; free is when there was a slot for it.
func (s *shard) serve(a arrival, free, now time.Duration) {
	if s.e.cfg.Lease.Over(now) {
		s.drop(int(a.scenario), a.due, now, true)
		return
	}
	if now-a.due > lateAfter {
		s.rec.Late++
	}
	s.rec.Lag(now-max(a.due, free), max(free-a.due, 0))
	s.rec.Started++
	slot, u := s.take(a.scenario)
	if u == nil {
		s.refuseUser(a, now)
		return
	}
	u.index, u.due = a.index, a.due
	s.startIteration(slot, u, a.due, now)
}

// take finds a free slot of a scenario, the one used last first, or makes one. It is nil when the memory guard forbids new users.
func (s *shard) take(scenario uint16) (uint32, *user) {
	if free := s.free[scenario]; len(free) > 0 {
		slot := free[len(free)-1]
		s.free[scenario] = free[:len(free)-1]
		return slot, s.slots.at(slot)
	}
	if s.e.guard.full.Load() {
		return 0, nil
	}
	slot, u := s.slots.grow()
	u.scenario = scenario
	u.session.Reset(s.e.cfg.Program.Scenarios[scenario])
	s.alive++
	return slot, u
}

// refuseUser records an arrival for which memory allowed no new user: an error of our own machine.
func (s *shard) refuseUser(a arrival, now time.Duration) {
	first := s.e.cfg.Program.Scenarios[a.scenario].Steps[0]
	s.sample = metrics.Sample{
		Stage: s.stageOf(a.due), Step: uint16(first.ID), Class: metrics.Limit, Phase: metrics.PhaseSend,
		Intended: a.due, Start: now, End: now, Phases: noPhases, Attempts: 0,
		Message: "no memory for a new virtual user: above 90 % of the limit",
	}
	s.own++
	s.rec.Sample(&s.sample)
	s.rec.Iterations++
	s.rec.Failed++
}

// stageOf is the stage under which a request intended at t is recorded.
func (s *shard) stageOf(t time.Duration) int16 {
	st := s.e.cfg.Log.Timeline().At(t)
	if st.Paused {
		return metrics.NoStage
	}
	return int16(st.Stage)
}

// refresh follows the log of changes.
func (s *shard) refresh() {
	if s.schedule != nil {
		s.schedule.Refresh()
	} else {
		s.users.Refresh()
	}
}

// cutInterval hands over the interval that ends at the present edge.
func (s *shard) cutInterval(final bool) {
	length := intervalLength
	from := s.edge - length
	if final {
		length = max(min(s.seen, s.edge)-from, 0)
	}
	part := s.rec.Cut(s.seq, from, length)
	part.Source = s.e.cfg.Name
	part.Users, part.InFlight, part.InFlightMax = s.alive, s.inHand, max(s.peak, s.inHand)
	part.Queued, part.Connections, part.Opened = s.queue.len(), s.conns, s.opened
	part.Audit.LimitHit, part.Audit.OwnErrors = s.hit, s.own
	part.Notes, part.Final = s.notes, final
	s.opened, s.hit, s.own, s.notes, s.peak = 0, false, 0, nil, s.inHand
	s.seq++
	s.edge += intervalLength
	s.e.hand(s.id, part)
}

// note says something once, as an event of the run.
func (s *shard) note(text string) { s.notes = append(s.notes, text) }

// finished reports whether everything is over, and cuts what outlived its grace.
func (s *shard) finished(now time.Duration) bool {
	if !s.closing {
		return false
	}
	if now >= s.cutAt && (s.inHand > 0 || s.queue.len() > 0 || s.retiring) {
		s.cutAll()
	}
	if s.inHand > 0 || s.queue.len() > 0 {
		return false
	}
	if !s.retiring {
		s.retiring = true
		s.retireAll(now)
	}
	return s.leavers == 0
}

// finish closes the connections, hands over the last interval and ends the loop.
func (s *shard) finish(now time.Duration) {
	for i := range s.slots.n {
		s.hangUp(s.slots.at(i))
	}
	for now >= s.edge {
		s.cutInterval(false)
	}
	s.cutInterval(true)
	s.over = true
	s.loop.Stop()
}

// arrival is an iteration that has become due.
type arrival struct {
	index    int64
	due      time.Duration
	scenario uint16
}

// queue holds arrivals that wait for a slot, oldest first, in a ring.
type queue struct {
	ring    []arrival
	at, cnt int
}

func (q *queue) len() int { return q.cnt }

func (q *queue) head() (arrival, bool) {
	if q.cnt == 0 {
		return arrival{}, false
	}
	return q.ring[q.at], true
}

func (q *queue) push(a arrival) {
	if q.cnt == len(q.ring) {
		ring := make([]arrival, max(64, 2*len(q.ring)))
		n := copy(ring, q.ring[q.at:])
		copy(ring[n:], q.ring[:q.at])
		q.ring, q.at = ring, 0
	}
	q.ring[(q.at+q.cnt)%len(q.ring)] = a
	q.cnt++
}

func (q *queue) pop() {
	q.at = (q.at + 1) % len(q.ring)
	q.cnt--
}
