package engine

import (
	"math"
	"sync/atomic"
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
	// lapseGrace is the longest that what is in hand when the lease ends may take to finish.
	lapseGrace = 5 * time.Second
)

// shard is one locked thread with one event loop, its part of the schedule, its virtual users and its recorder. Everything
// in it belongs to the loop's goroutine.
type shard struct {
	e        *Engine
	loop     *loop.Loop
	id, of   int
	limit    int           // iterations in hand at once
	turnover time.Duration // what is due later has another limit
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
	stage    staged
	sample   metrics.Sample
	examples map[exampleKey]struct{} // kinds of wrong status of which the body was kept
	shown    shown                   // what an example would be made of

	seq      uint64
	edge     time.Duration // end of the present interval
	seen     time.Duration // the last clock reading
	expected time.Duration // when Wake asked to be called again
	inHand   int
	peak     int
	conns    int
	relieved uint64 // connections closed because of the limit of files
	hit      bool   // the limit made an arrival wait in this interval
	notes    []string
	said     map[string]string // messages of errors as they are shown
	serial   uint32            // of the exchange begun last
	closing  bool              // nothing begins any more
	cutAt    time.Duration     // when what is in hand is cut
	retiring bool
	over     bool
	alive    int               // users in existence
	leavers  int               // teardowns in hand
	byNumber map[uint32]uint32 // closed: slots by user number
	gap      time.Duration     // what was due by then is dropped: the loop did not run

	lapsed   bool          // the lease is over
	since    time.Duration // it was over
	parked   []uint32      // slots of users that wait for the lease, first come first
	resume   time.Duration // when the first of them goes on, now that the lease was extended
	interval time.Duration // between two of them
	total    uint64        // arrivals begun
	begun    atomic.Uint64 // total, for other goroutines
}

// exampleKey is a kind of wrong answer.
type exampleKey struct{ status, step int }

func newShard(e *Engine, l *loop.Loop, id, of int) *shard {
	from := e.cfg.From
	s := &shard{
		e: e, loop: l, id: id, of: of, limit: math.MaxInt, turnover: loop.Never, seen: from,
		mix:      e.spec.Mix(),
		rec:      metrics.NewRecorder(len(e.cfg.Program.Steps), e.pages),
		free:     make([][]uint32, len(e.cfg.Program.Scenarios)),
		dynamic:  map[journey.Origin]int32{},
		byNumber: map[uint32]uint32{},
		examples: map[exampleKey]struct{}{},
		said:     map[string]string{},
		edge:     from.Truncate(intervalLength) + intervalLength,
	}
	if e.spec.Model == load.Open {
		s.schedule = load.NewSchedule(e.spec, e.cfg.Log, e.cfg.Source, id, of)
		s.deal(from, from)
	} else {
		s.users = load.NewUsers(e.spec, e.cfg.Log, e.cfg.Source, id, of)
	}
	s.shown.text = s.example
	for i, or := range e.cfg.Program.Origins {
		s.routes = append(s.routes, e.origins.route(or))
		s.dynamic[or] = int32(i)
	}
	return s
}

// Wake begins what is due and says when the next thing is.
func (s *shard) Wake(now time.Duration) time.Duration {
	if s.over {
		return loop.Never
	}
	s.tick(now)
	lease := s.keepLease(now)
	var next time.Duration
	if s.schedule != nil {
		s.begin(now, now)
		next = s.nextArrival(now)
	} else {
		next = s.populate(now)
	}
	if s.total != s.begun.Load() {
		s.begun.Store(s.total)
	}
	if s.finished(now) {
		s.finish(now)
		return loop.Never
	}
	s.expected = min(next, s.edge, lease)
	return s.expected
}

// tick is called first in every call from the loop: it finds out whether the loop did not run for a while, and closes the
// intervals that are over.
func (s *shard) tick(now time.Duration) {
	if stood := now - max(s.seen, s.expected); stood > stallAfter {
		// The loop calls at the time it was told. If it did not, the process was stopped or the machine slept, and what came
		// due meanwhile is dropped, not fired off in a burst; users of the closed model begin one after the other.
		s.gap = now
		if s.users != nil {
			s.e.still.add(stood, s.users, now, s.e.cfg.Lease.Until())
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

// stageOf is the stage under which a request intended at t is recorded.
func (s *shard) stageOf(t time.Duration) int16 {
	line := s.e.cfg.Log.Timeline()
	if c := &s.stage; line != c.line || t < c.from || t >= c.to {
		st := line.At(t)
		c.line, c.stage = line, int16(st.Stage)
		c.from, c.to = line.Span(t)
		if st.Paused {
			c.stage = metrics.NoStage
		}
	}
	return s.stage.stage
}

// staged is the stage of the run times [from, to) under a timeline: the answer of before is nearly always the next one too.
type staged struct {
	line     *load.Timeline
	from, to time.Duration
	stage    int16
}

// refresh follows the log of changes. Of a higher level a source may hear late: then what it calls for up to that time was due
// before it could be begun, and is dropped as what comes due while the loop does not run, and not fired off in a burst.
func (s *shard) refresh(now time.Duration) {
	heard := s.e.heardAt(now)
	if s.schedule == nil {
		s.users.Refresh(heard)
		return
	}
	if changed := s.schedule.Refresh(); changed < heard-load.Hearing {
		s.gap = max(s.gap, heard)
	}
	s.deal(s.seen, now)
}

// deal takes the shard's slots for what is due at t, under the table of that time. If they are more than before, those that wait
// get them.
func (s *shard) deal(t, now time.Duration) {
	s.limit, s.turnover = s.e.cfg.Log.Timeline().Slots(t-1, s.e.cfg.Source, s.id, s.of)
	s.serveQueue(now)
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
	part.Queued, part.Connections = s.queue.len(), s.conns
	part.Audit.LimitHit = s.hit
	part.Notes, part.Final = s.notes, final
	s.hit, s.notes, s.peak = false, nil, s.inHand
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
	s.begun.Store(s.total)
	s.loop.Stop()
}

// lastPart hands over what is there if the loop ended before its time, by a panic, and has the others end too: the
// collector waits for the last part of every shard.
func (s *shard) lastPart() {
	if s.over {
		return
	}
	s.over = true
	defer func() {
		if recover() != nil { // the panic may have left the recorder between two states
			s.e.hand(s.id, &metrics.Interval{Source: s.e.cfg.Name, Seq: s.seq, From: s.edge - intervalLength, Final: true})
		}
	}()
	s.e.Cut()
	s.rec.Unfinished += uint64(s.inHand)
	s.cutInterval(true)
}
