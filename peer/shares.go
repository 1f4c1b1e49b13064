package peer

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"lt/engine/load"
)

// nobody is the number that stands in a share table for what no source begins.
const nobody = math.MaxUint16

// fineTable is the length that tables of a fleet have at least, so that a share can be moved in small parts: an exact table of the
// weights is repeated until it is that long, and never beyond twice as much.
const fineTable = 2048

// shares say whose each arrival is, now and before.
//
// The whole argument why no arrival begins twice while shares move rests on how tables follow one another. A table here has a
// fixed length, and entry i mod that length belongs to the same arrival in every epoch, so from one epoch to the next each
// arrival either stays whose it was, or is given up (its entry names nobody), or is taken up (from nobody). A source that has
// not heard of an epoch yet begins what the table before gave it: that is its own under the new one too, or was given up. And
// what was given up is taken up by others only when whoever had it has confirmed the epoch, or its lease is over: break before
// make. So whatever order news travels in, two sources never own the same arrival, the sum of all is never above the plan, and
// what is below it has a number.
type shares struct {
	owner  []uint16 // of arrival i in the open model, of user i in the closed one: owner[i mod len]
	held   []uint16 // who has to let go of an entry that names nobody before others may have it; nobody: it is free
	safe   []int64  // first arrival of a free entry that surely nobody has begun
	epochs []epoch  // all of them, in order
	// stretches are where sources did not follow the epochs: late, or not any more.
	stretches []stretch
	dirty     bool      // the shares are not what they should be
	causes    []string  // why, for the diary
	retry     time.Time // when what is missing is tried again
	until     time.Time // so long those who gave something up are waited for, so that it is taken up at once and not bit by bit
	later     time.Time // when it is looked at again what may not be dealt yet
	short     float64   // of the load, as it was last said
	id        int
}

// epoch is from when a table held.
type epoch struct {
	count   int           // entries of the log with it
	at      time.Duration // run time
	from    int64         // first arrival
	owner   []uint16
	before  []uint16         // of the epoch before; nil: there was none
	waiting map[int]struct{} // sources that gained or lost by it and have not confirmed it
}

// firstEpoch deals the load to the sources with which a run begins.
func (f *Fleet) firstEpoch(list []*source) error {
	var table []uint16
	weights := make([]int, len(f.all))
	bound := false
	for _, s := range list {
		weights[s.n] = s.part
		bound = bound || s.limit > 0
	}
	if table = load.Table(weights); table == nil {
		return fmt.Errorf("no source has a part of the load")
	}
	if !f.alone() {
		table = repeated(table)
	}
	if bound {
		f.shares.owner = table
		counts := make([]int, len(f.all)+1)
		left := len(table)
		for n, c := range f.desired(list) {
			counts[n] = c
			left -= c
		}
		counts[len(f.all)] = left
		table = load.Table(counts)
		for i, n := range table {
			if int(n) == len(f.all) {
				table[i] = nobody
			}
		}
		table = repeated(table)
	}
	// A second attempt to start replaces the table of the first: both hold from run time zero on.
	id := f.shares.id + 1
	f.shares = shares{owner: table, held: slices.Repeat([]uint16{nobody}, len(table)), safe: make([]int64, len(table)), id: id}
	f.shares.epochs = []epoch{{count: id, owner: table}}
	f.showShares()
	return f.log.Append(load.Change{Kind: load.Reshare, Epoch: &load.Epoch{ID: id, Table: table}})
}

// repeated is a table often enough after itself to be fine.
func repeated(table []uint16) []uint16 {
	return slices.Repeat(table, max(1, (2*fineTable)/len(table)))
}

// redeal asks for the shares to be looked at, and says why.
func (f *Fleet) redeal(format string, args ...any) {
	f.shares.dirty = true
	if format != "" {
		f.shares.causes = append(f.shares.causes, fmt.Sprintf(format, args...))
	}
}

// desired is how many entries of the table each source should have, by its number: its part of the whole, and of what the lost
// leave as much as it may take.
func (f *Fleet) desired(list []*source) map[int]int {
	size := len(f.shares.owner)
	have := f.shares.counts()
	want := make(map[int]int)
	planned, budget := 0.0, float64(size)
	for _, s := range list {
		// Until one that joins may take its part, the others make all; one that was here before stands for itself.
		if !s.draining && (!s.waiting || s.lives > 0) {
			planned += float64(s.part)
		}
	}
	var takers []*source
	own, most := make(map[*source]float64), make(map[*source]float64)
	sum := 0.0
	for _, s := range list {
		switch {
		case !s.living() || s.draining:
			want[s.n] = 0
		case s.waiting || !s.heard():
			want[s.n] = have[s.n] // it keeps what it has until its time has come, or its fate is known
			budget -= float64(have[s.n])
		default:
			own[s] = float64(size) * float64(s.part) / planned
			most[s] = own[s] * Elastic
			if s.hot {
				most[s] = max(own[s], float64(have[s.n]))
			}
			if top := peak(&f.cfg.File.Load, f.level); s.limit > 0 && top > 0 {
				most[s] = min(most[s], math.Floor(float64(size)*s.limit/top))
			}
			sum += own[s]
			takers = append(takers, s)
		}
	}
	if f.cfg.OnLoss != Redistribute {
		budget = min(budget, sum)
	}
	part := fill(takers, budget, most)
	// Whole entries: those with the largest remainders get one more.
	total := 0.0
	left := 0
	for _, s := range takers {
		total += part[s]
		want[s.n] = int(part[s])
		left -= want[s.n]
	}
	left += int(math.Round(total))
	slices.SortStableFunc(takers, func(a, b *source) int {
		x, y := part[a]-math.Floor(part[a]), part[b]-math.Floor(part[b])
		switch {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return a.n - b.n
	})
	for _, s := range takers[:max(0, min(left, len(takers)))] {
		want[s.n]++
	}
	return want
}

// fill deals a budget in proportion to parts, to each at most its bound.
func fill(takers []*source, budget float64, most map[*source]float64) map[*source]float64 {
	part := make(map[*source]float64)
	for range len(takers) + 1 { // each round but the last brings somebody to its bound
		rest, weight := budget, 0.0
		for _, s := range takers {
			rest -= part[s]
			if part[s] < most[s] {
				weight += float64(s.part) * s.tilt
			}
		}
		if rest < 1e-6 || weight == 0 {
			break
		}
		for _, s := range takers {
			if part[s] < most[s] {
				part[s] = min(most[s], part[s]+rest*float64(s.part)*s.tilt/weight)
			}
		}
	}
	return part
}

// counts is how many entries each number has.
func (s *shares) counts() map[int]int {
	c := make(map[int]int)
	for _, n := range s.owner {
		c[int(n)]++
	}
	return c
}

// deal moves shares to where they should be, one step: what somebody has too much is given up, what is free is taken up.
func (f *Fleet) deal(now time.Time) {
	sh := &f.shares
	if !sh.retry.IsZero() && !now.Before(sh.retry) {
		sh.retry = time.Time{}
		sh.dirty = true
	}
	if !sh.retry.IsZero() {
		f.at(sh.retry)
	}
	if !sh.dirty || f.ending(now) || f.alone() || f.loss.stopped {
		return
	}
	if now.Before(sh.later) {
		f.at(sh.later)
		return
	}
	if now.Before(sh.until) && slices.ContainsFunc(sh.held, func(n uint16) bool { return n != nobody && f.all[n].heard() }) {
		f.at(sh.until)
		return
	}
	at := max(0, f.run(now)) + f.ahead()
	list := f.partners()
	sh.dirty = false
	for _, s := range list {
		if s.waiting = s.from > at; s.waiting { // it joins, and may have nothing before
			f.at(f.epoch.Add(s.from - f.ahead()))
			sh.dirty = true
		}
	}
	if len(sh.owner) < fineTable { // the run began with this process alone
		sh.owner = repeated(sh.owner)
		sh.held = slices.Repeat([]uint16{nobody}, len(sh.owner))
		sh.safe = make([]int64, len(sh.owner))
	}
	owner, held := slices.Clone(sh.owner), slices.Clone(sh.held)
	have, want := sh.counts(), f.desired(list)

	// What the dead had is free, since their leases are over.
	at = max(at, load.Latest(f.log.Changes()))
	from := f.firstAfter(at)
	unsafe := false
	for i, n := range owner {
		if n == nobody || f.all[n].living() {
			continue
		}
		if f.all[n].since > from { // some of it may have been begun before its time, by a source that did not hear of a change
			unsafe = true
			continue
		}
		owner[i], sh.safe[i] = nobody, 0
	}
	for _, s := range list {
		over := have[s.n] - want[s.n]
		if s.heard() && (over > roundoff || s.draining && over > 0) {
			give(owner, held, s, have[s.n], over)
		}
	}
	if !f.take(owner, held, have, want, list, from) {
		unsafe = true
	}
	if unsafe { // some of it later
		sh.dirty = true
		sh.later = now.Add(time.Second)
		f.at(sh.later)
	}
	switch {
	case !slices.Equal(owner, sh.owner):
		f.adopt(owner, held, at)
	case len(sh.causes) > 0 && !sh.dirty && !slices.ContainsFunc(sh.held, func(n uint16) bool { return n != nobody }):
		// Nothing came of it, or no more than that something was given up which nobody may take.
		if short := f.shortOf(owner, list); short != sh.short {
			f.sayDeal(sh.epochs[len(sh.epochs)-1].at, short)
			sh.short = short
		}
		sh.causes = nil
	}
	if f.shortOf(owner, list) > 0 {
		sh.retry = now.Add(rebalanceEvery) // somebody may have recovered by then
		f.at(sh.retry)
	}
}

// confirmTime is how long after it took effect an epoch is waited for to be confirmed by all, before what some have given up is dealt
// again.
const confirmTime = 2 * time.Second

// roundoff is how many entries a source may have too many before it is worth an epoch.
const roundoff = 2

// give takes n of a source's entries out of its hands, evenly spread over the have that it has.
func give(owner, held []uint16, s *source, have, n int) {
	k := 0
	for i, o := range owner {
		if int(o) != s.n {
			continue
		}
		if (k+1)*n/have > k*n/have {
			owner[i] = nobody
			if s.link != nil { // this process knows at once
				held[i] = uint16(s.n)
			}
		}
		k++
	}
}

// take deals what is free from an arrival on to those who have too little. False: there will be more that they can have.
func (f *Fleet) take(owner, held []uint16, have, want map[int]int, list []*source, from int64) (all bool) {
	free, later, lack := 0, 0, 0
	weights := make([]int, len(f.all))
	ready := func(i int) bool { return owner[i] == nobody && held[i] == nobody && f.shares.safe[i] <= from }
	for i := range owner {
		if ready(i) {
			free++
		} else if owner[i] == nobody && held[i] == nobody {
			later++
		}
	}
	for _, s := range list {
		if d := want[s.n] - have[s.n]; d > 0 && s.heard() {
			weights[s.n] = d
			lack += d
		}
	}
	n := min(free, lack)
	all = lack <= free || later == 0
	if n == 0 {
		return all
	}
	turns := load.Table(weights)
	k, dealt := 0, 0
	for i := range owner {
		if !ready(i) {
			continue
		}
		if (k+1)*n/free > k*n/free {
			owner[i] = turns[dealt%len(turns)]
			dealt++
		}
		k++
	}
	return all
}

// firstAfter is where an epoch begins that takes effect at a run time: in the closed model a table says whose the users are, whatever
// the time.
func (f *Fleet) firstAfter(at time.Duration) int64 {
	if f.closedModel() {
		return 0
	}
	return f.log.Timeline().FirstAfter(at)
}

// adopt makes a table the one that holds from run time at on.
func (f *Fleet) adopt(owner, held []uint16, at time.Duration) {
	sh := &f.shares
	before := f.log.Changes()
	e := epoch{count: len(before) + 1, at: at, from: f.firstAfter(at), owner: owner, before: sh.owner, waiting: make(map[int]struct{})}
	table := owner
	if !f.closedModel() {
		// A table's first entry is its epoch's first arrival, and in ours an arrival's entry never moves.
		turn := int(e.from % int64(len(owner)))
		table = slices.Concat(owner[turn:], owner[:turn])
	}
	gave := false
	for i, n := range owner {
		if b := sh.owner[i]; b != n {
			for _, x := range []uint16{b, n} {
				if x != nobody && f.all[x].link != nil && f.all[x].living() {
					e.waiting[int(x)] = struct{}{}
				}
			}
			gave = gave || held[i] != nobody
		}
	}
	sh.id++
	if _, err := f.enter(load.Change{At: at, Kind: load.Reshare, Epoch: &load.Epoch{ID: sh.id, From: e.from, Table: table}}); err != nil {
		f.say("the shares stay as they are: %s", err)
		return
	}
	sh.owner, sh.held = owner, held
	sh.epochs = append(sh.epochs, e)
	f.showShares()
	if gave {
		sh.until = f.epoch.Add(at + confirmTime)
		return // said when it is taken up
	}
	if short := f.shortOf(owner, f.partners()); len(sh.causes) > 0 || short != sh.short {
		f.sayDeal(at, short)
		sh.short = short
	}
}

// shortOf is the part of the load that a table gives to nobody for good: entries on their way from one source to another are not
// among it.
func (f *Fleet) shortOf(owner []uint16, list []*source) float64 {
	want := f.desired(list)
	missing := 0
	for _, n := range owner {
		if n == nobody || !f.all[n].living() {
			missing++
		}
	}
	total := 0
	for _, n := range want {
		total += n
	}
	short := min(missing, len(owner)-total)
	if short <= roundoff {
		return 0
	}
	return float64(short) / float64(len(owner))
}

// sayDeal puts into the diary who has which share now, and why.
func (f *Fleet) sayDeal(at time.Duration, short float64) {
	why := "shares moved"
	if len(f.shares.causes) > 0 {
		why = strings.Join(f.shares.causes, ", ")
	}
	f.shares.causes = nil
	var parts []string
	rows := f.partners()
	if len(rows) <= 8 {
		for _, s := range rows {
			if s.m.Share > 0 {
				parts = append(parts, fmt.Sprintf("%s %s", s.name, percent(s.m.Share)))
			}
		}
	} else {
		n := 0
		for _, s := range rows {
			if s.m.Share > 0 {
				n++
			}
		}
		parts = append(parts, fmt.Sprintf("%d sources share the load", n))
	}
	text := fmt.Sprintf("%s: from %s on %s", why, clock(at), strings.Join(parts, ", "))
	if short > 0 {
		text += fmt.Sprintf("; load gap: %s stay missing%s", percent(short), f.whyShort())
	}
	f.say("%s", text)
}

// sayShort says at the start what part of the load nobody may make.
func (f *Fleet) sayShort() {
	if short := f.shortOf(f.shares.owner, f.partners()); short > 0 {
		f.shares.short = short
		f.say("load gap: %s of the load are missing from the start: the owners of the peers allow no more", percent(short))
	}
}

// whyShort says why the others do not take what is missing.
func (f *Fleet) whyShort() string {
	if f.cfg.OnLoss != Redistribute {
		return fmt.Sprintf(" (on peer loss: %s)", f.cfg.OnLoss)
	}
	return fmt.Sprintf(": a source takes at most %g times its own share and what its owner allows, and none whose processors are busy takes more", Elastic)
}

// showShares brings the sources' shares up to date.
func (f *Fleet) showShares() {
	have := f.shares.counts()
	for _, s := range f.all {
		if s == nil {
			continue
		}
		share := float64(have[s.n]) / float64(len(f.shares.owner))
		if share != s.m.Share && (s.begun || !f.begun) {
			s.m.Share = share
			if f.begun && !s.replaced {
				f.show(s, "")
			}
		}
	}
}
