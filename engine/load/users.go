package load

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

const (
	// maxSpread is the longest time over which users that become wanted at one instant start.
	maxSpread = 5 * time.Second
	// moveSpread is the time over which users that an epoch moves start where they are now, whatever their think time: they
	// were in the middle of their day, and all of them logging in at once would be a load that nobody asked for.
	moveSpread = 10 * time.Second
)

// Turn is a user's start or its retirement.
type Turn struct {
	User  int64
	At    time.Duration // run time: intended first start, or from when it is not wanted any more
	Start bool
}

// Users is one shard's view of the closed model: when each of its users starts and retires. User k is wanted while
// N(t) > k, with N the level of the Timeline; so holds, factors and the next stage act on it as on a rate. On the way
// down the highest numbers retire first. A user that becomes wanted on a ramp starts at the crossing; users that become
// wanted all at one instant (a held stage, a factor, the end of a pause) start evenly spread over the mean think time,
// at most 5 s, so that they do not beat in step for the rest of the run. A user that is not wanted any more before its
// spread start came does not start at all. A user that started again after retiring has the same number.
//
// Which users are a source's follows from the table of the epoch at that time; which of its shards has a user follows from the
// user's number alone, so that an epoch moves none between them. An epoch with another table moves users between sources:
// they retire where they were at its time and start where they are now, evenly spread over 10 s from its time on. So whoever
// learns of an epoch before its time never has a user whom another source has too, and one that learns of it late retires
// its users the moment it does. Users who were to start while their source could not start them, because it heard of them late or did
// not run, start evenly spread over 10 s from then on. It is not safe for concurrent use; the Log may grow meanwhile.
type Users struct {
	spec          *Spec
	log           *Log
	source        int
	shard, shards uint64

	line    *Timeline
	stripes []stripe                // of each epoch of line: the source's users
	next    int                     // first piece that is not worked into pending; len(pieces) stands for the end
	pending []Turn                  // by time; candidates, the last word is had by settle
	live    []uint64                // bit k: user k has started and not retired
	putOff  map[int64]time.Duration // when those start who should have started before they could
	done    time.Duration
	begun   bool // a turn was consumed
	turn    Turn
	ok      bool
}

// NewUsers is the users of shard number shard of shards of a source; see NewSchedule.
func NewUsers(spec *Spec, log *Log, source, shard, shards int) *Users {
	if log == nil {
		log = NewLog(spec)
	}
	u := &Users{spec: spec, log: log, source: source, shard: uint64(shard), shards: uint64(shards), line: log.Timeline(), putOff: map[int64]time.Duration{}}
	u.Refresh(0)
	return u
}

// Peek is the next turn under the log as of the last Refresh; ok is false if none will come unless the log changes.
// Times never fall.
func (u *Users) Peek() (turn Turn, ok bool) { return u.turn, u.ok }

// Next consumes the turn that Peek gives. Without one it does nothing.
func (u *Users) Next() {
	if !u.ok {
		return
	}
	u.set(u.turn.User, u.turn.Start)
	delete(u.putOff, u.turn.User)
	u.done, u.begun = u.turn.At, true
	u.settle()
}

// Stale says whether the log has grown since the last Refresh: one atomic load.
func (u *Users) Stale() bool { return u.log.Timeline() != u.line }

// Refresh takes over what the log has got, of which the source heard at the run time heard. Users that started under the log
// before and are not wanted under the new one retire; those that are wanted and have not started get their start.
func (u *Users) Refresh(heard time.Duration) {
	before := u.line
	u.line = u.log.Timeline()
	u.stripes = u.stripes[:0]
	for _, e := range u.line.epochs {
		u.stripes = append(u.stripes, newStripe(0, e.table, u.source, 0, 1))
	}
	u.pending, u.next = u.pending[:0], 0
	late := u.line.since(before, func(ChangeKind) bool { return true }) < heard-Hearing
	if late {
		u.done, u.begun = max(u.done, heard), true
	}
	if u.begun {
		u.reconcile(late)
	}
	u.settle()
}

// Stopped says that the source did not run until the run time at. It returns how many users should have started by then, and by how
// much they start later than by plan, all together, as far as that lies within the load; and how much of that lies before the run
// time until.
func (u *Users) Stopped(at, until time.Duration) (users int, missing, before time.Duration) {
	u.done, u.begun = max(u.done, at), true
	u.pending, u.next = u.pending[:0], 0
	for _, d := range u.reconcile(true) {
		users++
		missing += min(d.to, u.line.End()) - d.from
		before += max(0, min(d.to, u.line.End(), until)-d.from)
	}
	u.settle()
	return users, missing, before
}

// delayed is when a user that is put off was to start, and when it does.
type delayed struct{ from, to time.Duration }

// Wanted says whether user k is this shard's and wanted at t. At the time of its start it is, at the time of its
// retirement it is not.
func (u *Users) Wanted(k int64, t time.Duration) bool {
	i := u.line.find(t)
	if t < 0 || i == len(u.line.pieces) || !u.line.pieces[i].wants(k, t) {
		return false
	}
	return u.owns(u.line.pieces[i].epoch, k)
}

// owns says whether user k is this shard's under an epoch.
func (u *Users) owns(epoch int, k int64) bool { return u.has(k) && u.stripes[epoch].owns(k) }

// has says whether user k is this shard's if it is the source's. The multiples of the golden ratio, modulo 1, lie evenly in
// every part of [0, 1), those of any arithmetic sequence too (Knuth, The Art of Computer Programming 3, section 6.4); so
// the shards have as many users each, up to a few, of whichever share of them the source has.
func (u *Users) has(k int64) bool {
	shard, _ := bits.Mul64(uint64(k)*golden, u.shards)
	return shard == u.shard
}

// starts is when user k starts because of what happens in piece i or at its beginning; false if it does not.
func (u *Users) starts(i int, k int64) (time.Duration, bool) {
	p := &u.line.pieces[i]
	was, is := u.counts(i)
	switch {
	case was <= k && k < is:
		return p.from + u.delay(k-was, is-was), true
	case is <= k && k < p.ends():
		return p.crossed(k), true
	}
	return 0, false
}

// moved says whether the epoch that begins with piece i brings user k to this shard while it is wanted, and if so when
// it starts.
func (u *Users) moved(i int, k int64) (time.Duration, bool) {
	was, is := u.counts(i)
	if i == 0 || i == len(u.line.pieces) || k >= min(was, is) {
		return 0, false
	}
	p := &u.line.pieces[i]
	if before := u.line.pieces[i-1].epoch; before == p.epoch || u.owns(before, k) || !u.owns(p.epoch, k) {
		return 0, false
	}
	return p.from + part(moveSpread, k, min(was, is)), true
}

// counts is how many users are wanted just before piece i and at its beginning.
func (u *Users) counts(i int) (was, is int64) {
	if i > 0 {
		was = u.line.pieces[i-1].ends()
	}
	if i < len(u.line.pieces) {
		is = u.line.pieces[i].begins()
	}
	return was, is
}

// delay is what number j of n users that become wanted together waits.
func (u *Users) delay(j, n int64) time.Duration {
	return part(min(u.spec.ThinkMean, maxSpread), j, n)
}

// part is j n-ths of d.
func part(d time.Duration, j, n int64) time.Duration {
	return time.Duration(float64(d) * float64(j) / float64(n))
}

// wanted is the number of users k with k < level. Rounding at the end of a ramp must not want one more; but user 0 is
// wanted at any level above 0, since an exponential ramp has no crossing of 0 at which it could retire.
func wanted(level float64) int64 {
	if 0 < level && level < 1 {
		return 1
	}
	return int64(math.Ceil(level - 1e-6))
}

// begins and ends are the numbers of users wanted at the beginning and at the end of a piece.
func (p *piece) begins() int64 { return wanted(p.shape.start) }
func (p *piece) ends() int64   { return wanted(p.shape.level(seconds(p.to - p.from))) }

// crossed is when the level passes k, which lies between those of the beginning and the end.
func (p *piece) crossed(k int64) time.Duration {
	x, _ := p.shape.crossing(float64(k))
	return min(p.from+nanoseconds(max(0, x)), p.to)
}

// wants says whether user k is wanted at t, which lies in the piece. It asks for the crossing and not for the level at t,
// so that it agrees with the turns to the nanosecond.
func (p *piece) wants(k int64, t time.Duration) bool {
	a, b := p.begins(), p.ends()
	switch {
	case k < min(a, b):
		return true
	case k >= max(a, b):
		return false
	case a < b:
		return t >= p.crossed(k)
	}
	return t < p.crossed(k)
}

// reconcile makes pending what brings the users that live at the time of the last turn, or late: when the source heard of a change or
// ran again, to those wanted then, and goes on from there. It returns those who are put off.
func (u *Users) reconcile(late bool) (off []delayed) {
	for w, word := range u.live {
		for ; word != 0; word &= word - 1 {
			if k := int64(w)*64 + int64(bits.TrailingZeros64(word)); !u.Wanted(k, u.done) {
				u.pending = append(u.pending, Turn{User: k, At: u.done})
			}
		}
	}
	slices.Reverse(u.pending) // the highest first
	i := u.line.find(u.done)
	if i == len(u.line.pieces) {
		u.next = i + 1
		return nil
	}
	p := &u.line.pieces[i]
	var missed []Turn // those who should have started by now
	u.each(p.epoch, 0, max(p.begins(), p.ends()), func(k int64) {
		if u.isLive(k) || !p.wants(k, u.done) {
			return
		}
		if at := u.plannedStart(i, k); at > u.done {
			u.pending = append(u.pending, Turn{User: k, At: at, Start: true})
		} else {
			missed = append(missed, Turn{User: k, At: at, Start: true})
		}
	})
	for j, turn := range missed {
		planned := turn.At
		turn.At = u.done
		if late {
			turn.At += part(moveSpread, int64(j), int64(len(missed)))
			u.putOff[turn.User] = turn.At
			off = append(off, delayed{planned, turn.At})
		}
		u.pending = append(u.pending, turn)
	}
	u.within(i, u.done)
	u.next = i + 1
	u.sort()
	return off
}

// plannedStart is when user k, who is wanted in piece i and does not live, was to start.
func (u *Users) plannedStart(i int, k int64) time.Duration {
	if at, ok := u.putOff[k]; ok {
		return at
	}
	for ; i >= 0; i-- {
		if at, ok := u.starts(i, k); ok {
			return at
		}
		if at, ok := u.moved(i, k); ok {
			return at
		}
	}
	return 0
}

// settle makes the earliest candidate that means something the present turn.
func (u *Users) settle() {
	for {
		for u.next <= len(u.line.pieces) && (len(u.pending) == 0 || u.pending[0].At >= u.begin(u.next)) && u.begin(u.next) != Never {
			u.expand(u.next)
			u.next++
		}
		if len(u.pending) == 0 {
			u.ok = false
			return
		}
		u.turn = u.pending[0]
		u.pending = u.pending[1:]
		// A spread start may come after its user's retirement, which then has nothing to end.
		if t := u.turn; t.Start == u.Wanted(t.User, t.At) && t.Start != u.isLive(t.User) {
			u.ok = true
			return
		}
	}
}

// begin is when piece i begins; the one after the last stands for the end.
func (u *Users) begin(i int) time.Duration {
	switch {
	case i < len(u.line.pieces):
		return u.line.pieces[i].from
	case i == 0:
		return 0
	}
	return u.line.pieces[i-1].to
}

// expand adds the turns of piece i and of its beginning.
func (u *Users) expand(i int) {
	at := u.begin(i)
	was, is := u.counts(i)
	before, now := 0, 0
	if i > 0 {
		before = u.line.pieces[i-1].epoch
		now = before
	}
	if i < len(u.line.pieces) {
		now = u.line.pieces[i].epoch
	}
	start := func(k, j, n int64) {
		u.pending = append(u.pending, Turn{User: k, At: at + u.delay(j, n), Start: true})
	}
	first := len(u.pending)
	retire := func(k int64) { u.pending = append(u.pending, Turn{User: k, At: at}) }
	if before == now {
		u.each(now, is, was, retire)
	} else {
		u.each(before, 0, was, func(k int64) {
			if k >= is || !u.owns(now, k) {
				retire(k)
			}
		})
	}
	slices.Reverse(u.pending[first:]) // the highest first
	if before == now {
		u.each(now, was, is, func(k int64) { start(k, k-was, is-was) })
	} else {
		u.each(now, 0, is, func(k int64) {
			if k >= was {
				start(k, k-was, is-was)
			} else if at, ok := u.moved(i, k); ok {
				u.pending = append(u.pending, Turn{User: k, At: at, Start: true})
			}
		})
	}
	if i < len(u.line.pieces) {
		u.within(i, -1)
	}
	u.sort()
}

// within adds the turns inside piece i that come after the time after.
func (u *Users) within(i int, after time.Duration) {
	p := &u.line.pieces[i]
	a, b := p.begins(), p.ends()
	add := func(k int64) {
		if at := p.crossed(k); at > after {
			u.pending = append(u.pending, Turn{User: k, At: at, Start: a < b})
		}
	}
	first := len(u.pending)
	u.each(p.epoch, min(a, b), max(a, b), add)
	if b < a {
		slices.Reverse(u.pending[first:])
	}
}

// each visits the shard's users from..to-1 under an epoch, upwards.
func (u *Users) each(epoch int, from, to int64, visit func(k int64)) {
	s := &u.stripes[epoch]
	if s.empty() {
		return
	}
	for s.seek(s.before(from)); s.number() < to; s.next() {
		if k := s.number(); u.has(k) {
			visit(k)
		}
	}
}

// sort keeps the order in which turns of the same time were added.
func (u *Users) sort() {
	slices.SortStableFunc(u.pending, func(a, b Turn) int {
		switch {
		case a.At < b.At:
			return -1
		case a.At > b.At:
			return 1
		}
		return 0
	})
}

func (u *Users) isLive(k int64) bool {
	w := int(k / 64)
	return w < len(u.live) && u.live[w]>>(k%64)&1 == 1
}

func (u *Users) set(k int64, live bool) {
	w := int(k / 64)
	for w >= len(u.live) {
		u.live = append(u.live, 0)
	}
	if live {
		u.live[w] |= 1 << (k % 64)
	} else {
		u.live[w] &^= 1 << (k % 64)
	}
}
