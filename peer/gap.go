package peer

import (
	"math"
	"slices"
	"time"

	"lt/engine/load"
	"lt/engine/metrics"
	"lt/peer/wire"
)

// gapState is how far the part of the plan that nobody made has been counted.
type gapState struct {
	from time.Duration // run time up to which it was looked
	next time.Time     // when it is counted again

	index int64 // open model: all arrivals before it were looked at
	total int64 // those that nobody began

	wanted  float64 // closed model: user-seconds of the plan
	without float64 // those in which a user that was wanted had no source, or had not begun at its new one
}

// count looks every second at what has become due.
func (f *Fleet) count(now time.Time) {
	if f.alone() {
		return
	}
	if !now.Before(f.gap.next) {
		f.countTo(now)
		f.gap.next = now.Add(time.Second)
	}
	f.at(f.gap.next)
}

// countTo looks at what has become due since the last time, and tells of the arrivals that nobody was there to begin. What a
// lost source may have begun before it was given up is not among them: it is in that source's account, as unreported.
func (f *Fleet) countTo(now time.Time) {
	run := max(0, f.run(now))
	if f.closedModel() {
		f.countUsers(run)
		return
	}
	to := min(f.log.Timeline().FirstAfter(run), f.shares.known())
	if to <= f.gap.index {
		return
	}
	n := f.shares.owned(f.gap.index, to, func(n uint16) bool { return n == nobody })
	f.missed(f.gap.from, run, n)
	f.gap.index, f.gap.from = to, run
}

// missed tells of arrivals that nobody began.
func (f *Fleet) missed(from, to time.Duration, n int64) {
	if n <= 0 {
		return
	}
	f.gap.total += n
	from = min(from, to) // whoever was given up may have reported beyond that, while it finished what it had in hand
	f.put(metrics.Report{Gap: &metrics.Gap{From: from, To: to, Arrivals: uint64(n)}})
}

// missedBy counts what a source, which has given its account, did not do between its last word and a run time that has come, as far
// as that was not counted before.
func (f *Fleet) missedBy(s *source, until time.Duration) {
	if !f.closedModel() {
		n := f.owes(s, until) - s.missed
		f.missed(s.edge, until, n)
		s.missed += max(0, n)
		return
	}
	from := s.edge
	if s.fin != nil && s.fin.Lapsed { // what it reported after its lease are users that wait
		from = min(from, f.run(s.link.Over())-leaseMargin)
	}
	lacking, _ := f.untold(s, from)
	f.gap.without += lacking + f.userTime(max(0, from), until, func(u usersAt) int64 { return u.among(s.has) })
}

// owes is how many of a source's arrivals that were due up to a run time it has not reported. It comes to its own in their order;
// so their number says more than the time up to which it reported, which a source that did not hear of a change of the level
// has filled with others.
func (f *Fleet) owes(s *source, until time.Duration) int64 {
	if f.closedModel() {
		return 0
	}
	got, _ := s.link.Applied()
	to := f.log.Timeline().FirstAfter(until)
	if !s.dead.IsZero() {
		to = min(s.since, to)
	}
	return max(0, f.shares.owned(0, to, s.has)-int64(got.Scheduled))
}

// The closed model plans no arrivals that could be counted one by one: how many iterations a user makes is the target's doing. What
// the plan does say is how many users there are at any time. So what is missing is time of users, in user-seconds: N users that
// are missing for t seconds are N t of them.

const (
	// moveTime is the time over which users that an epoch moves begin at their new source: that of load.Users.
	moveTime = 10 * time.Second
	// leastSlice and mostSlices say how finely the time of users is added up.
	leastSlice = 100 * time.Millisecond
	mostSlices = 256
)

// countUsers adds up the time up to run of the users that nobody has: their entry names nobody or a source that was given up, or they
// were moved and have not begun yet, or their source was told of them late.
func (f *Fleet) countUsers(run time.Duration) {
	from := f.gap.from
	f.gap.from = max(from, run)
	there := func(n uint16) bool { return !f.absent(n) }
	f.gap.wanted += f.userTime(from, run, func(u usersAt) int64 { return u.wanted })
	f.gap.without += f.userTime(from, run, func(u usersAt) int64 { return u.among(f.absent) + u.moving(there) + f.beginning(u) })
}

// beginning is how many users have not begun yet at a run time, of those that their sources were told of late.
func (f *Fleet) beginning(u usersAt) int64 {
	total := int64(0)
	for _, s := range f.all {
		if s == nil || !s.dead.IsZero() {
			continue
		}
		s.tardy = slices.DeleteFunc(s.tardy, func(t tardy) bool { return u.at >= t.from+moveTime })
		for i := range s.tardy {
			total += s.tardy[i].left(u, s.has)
		}
	}
	return total
}

// tardy are users that a source, told of them late, begins from a run time on, in their order and evenly spread over moveTime, as
// load.Users has it.
type tardy struct {
	users int64
	from  time.Duration
	// What the source knew before: the table, and how many users it took for wanted. Of those that it had there is nothing to begin.
	table []uint16
	had   int64
}

// left is how many of them have not begun at a run time. Those that were not wanted at some time since then, because of a pause or at
// the end, are none of them: they begin by the plan, if they do.
func (t *tardy) left(u usersAt, has func(n uint16) bool) int64 {
	lasting := u.lasting(t.from)
	due := wanted(u.owner(), 0, lasting, has) - wanted(t.table, 0, min(lasting, t.had), has)
	begun := int64(math.Ceil(float64(t.users) * float64(max(0, u.at-t.from)) / float64(moveTime)))
	return max(0, min(t.users, due)-begun)
}

// absent says whether nobody makes the load of a number of the share tables.
func (f *Fleet) absent(n uint16) bool { return n == nobody || !f.all[n].dead.IsZero() }

// toldLate counts the time of the users that a source should have had and had not, because it was told of it late. Those that it should
// have had by then it begins from there on.
func (f *Fleet) toldLate(s *source, a wire.Applied) {
	changes := f.log.Changes()
	if !f.closedModel() || !s.living() || a.Count <= s.known || a.Count > len(changes) {
		return
	}
	if a.At > changes[s.known].At+load.Hearing {
		lacking, late := f.untold(s, a.At)
		f.gap.without += lacking
		late.from = max(a.At, f.gap.from)
		s.tardy = append(s.tardy, late)
	}
	s.toldAt = max(s.toldAt, a.At)
}

// untold is the time of the users that a source should have had up to a run time and had not, because it knew only what it had confirmed,
// less that of those that it still had; and who they were at last.
func (f *Fleet) untold(s *source, to time.Duration) (lacking float64, last tardy) {
	changes := f.log.Changes()
	if s.known >= len(changes) {
		return 0, last
	}
	before, err := levels(&f.cfg.File.Load, changes[:s.known])
	if err != nil {
		return 0, last // there is none that the fleet's log has and another does not take
	}
	last.table = f.shares.epochs[0].owner
	for _, e := range f.shares.epochs {
		if e.count <= s.known {
			last.table = e.owner
		}
	}
	lacking = f.userTime(max(s.toldAt, changes[s.known].At), to, func(u usersAt) int64 {
		last.had = min(u.wanted, usersWanted(before, u.at))
		last.users = u.among(s.has) - u.moving(s.has) - wanted(last.table, 0, last.had, s.has)
		return last.users
	})
	return lacking, last
}

// usersAt is what the plan says of users at a run time.
type usersAt struct {
	line   *load.Timeline
	at     time.Duration
	wanted int64   // users 0..wanted-1
	epochs []epoch // so far; the last one is in force
}

// userTime is the integral of a number of users over the run times from..to, in user-seconds.
func (f *Fleet) userTime(from, to time.Duration, count func(usersAt) int64) float64 {
	sum, line := 0.0, f.log.Timeline()
	slice := max(leastSlice, (to-from)/mostSlices)
	for t := from; t < to; {
		k := 1
		for k < len(f.shares.epochs) && f.shares.epochs[k].at <= t {
			k++
		}
		next := min(t+slice, to)
		if k < len(f.shares.epochs) {
			next = min(next, f.shares.epochs[k].at)
		}
		middle := t + (next-t)/2
		sum += float64(count(usersAt{line, middle, usersWanted(line, middle), f.shares.epochs[:k]})) * (next - t).Seconds()
		t = next
	}
	return sum
}

// usersWanted is how many users the plan wants at a run time.
func usersWanted(line *load.Timeline, at time.Duration) int64 { return wholeUsers(line.Rate(at)) }

// wholeUsers is how many users a level of them wants. Rounding must not want one more: see load.Users.
func wholeUsers(level float64) int64 { return int64(math.Ceil(max(0, level-1e-6))) }

// owner is the table in force.
func (u usersAt) owner() []uint16 { return u.epochs[len(u.epochs)-1].owner }

// among is how many of them have a number in the table that which wants.
func (u usersAt) among(which func(n uint16) bool) int64 {
	return wanted(u.owner(), 0, u.wanted, which)
}

// lasting is how many of them were wanted all the time since a run time.
func (u usersAt) lasting(since time.Duration) int64 {
	return min(u.wanted, wholeUsers(u.line.Least(since, u.at)))
}

// moving is how many of them were brought a moment ago to a source whose number which wants, and have not begun there yet: number k
// of n begins k n-ths of moveTime after the epoch that moved it. One that was not wanted for a while since then, because of a pause,
// begins when it is wanted again.
func (u usersAt) moving(which func(n uint16) bool) int64 {
	var settled []bool // entries of which a later epoch decides
	total := int64(0)
	for k := len(u.epochs) - 1; k > 0 && u.at < u.epochs[k].at+moveTime; k-- {
		e := &u.epochs[k]
		if settled == nil {
			settled = make([]bool, len(e.owner))
		}
		n := min(usersWanted(u.line, e.at-1), usersWanted(u.line, e.at)) // those who become wanted at that moment are not moved
		begun := int64(math.Ceil(float64(n) * float64(u.at-e.at) / float64(moveTime)))
		lasting := min(n, u.lasting(e.at))
		for j, owner := range e.owner {
			if settled[j] || owner == e.before[j] {
				continue
			}
			if settled[j] = true; which(owner) {
				total += inEntry(j, len(e.owner), begun, lasting)
			}
		}
	}
	return total
}
