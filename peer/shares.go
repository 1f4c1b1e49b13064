package peer

import (
	"fmt"
	"maps"
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
	epochs []epoch  // all of them, with what is known of when each source followed; in order of from
	dirty  bool     // the shares are not what they should be
	causes []string // why, for the diary
	retry  time.Time
	id     int
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
	total := 0
	for _, s := range list {
		weights[s.n] = s.part
		total += s.part
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
		if counts[len(f.all)] = left; left > 0 {
			table = load.Table(counts)
			for i, n := range table {
				if int(n) == len(f.all) {
					table[i] = nobody
				}
			}
			table = repeated(table)
		}
	}
	// A second attempt to start replaces the table of the first: both hold from run time zero on.
	id := f.shares.id + 1
	f.shares = shares{owner: table, held: slices.Repeat([]uint16{nobody}, len(table)), id: id}
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
		if !s.draining {
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
		case !s.heard():
			want[s.n] = have[s.n] // it keeps what it has until its fate is known
			budget -= float64(have[s.n])
		default:
			own[s] = float64(size) * float64(s.part) / planned
			most[s] = own[s] * Elastic
			if s.hot {
				most[s] = max(own[s], float64(have[s.n]))
			}
			if peak := f.cfg.File.Load.Profile.Peak(); s.limit > 0 && peak > 0 {
				most[s] = min(most[s], math.Floor(float64(size)*s.limit/peak))
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
	if !sh.dirty || f.ending(now) || f.alone() {
		return
	}
	at := max(0, f.run(now)) + f.ahead()
	var list []*source
	sh.dirty = false
	for _, s := range f.partners() {
		if s.from > at { // it joins, and may have nothing before
			f.at(f.epoch.Add(s.from - f.ahead()))
			sh.dirty = true
			continue
		}
		list = append(list, s)
	}
	if len(sh.owner) < fineTable { // the run began with this process alone
		sh.owner = repeated(sh.owner)
		sh.held = slices.Repeat([]uint16{nobody}, len(sh.owner))
	}
	owner, held := slices.Clone(sh.owner), slices.Clone(sh.held)
	have, want := sh.counts(), f.desired(list)

	// What the dead had is free: their leases are over.
	for i, n := range owner {
		if n != nobody && !f.all[n].living() {
			owner[i] = nobody
		}
	}
	for _, s := range list {
		over := have[s.n] - want[s.n]
		if s.heard() && (over > roundoff || s.draining && over > 0) {
			give(owner, held, s, have[s.n], over)
		}
	}
	f.take(owner, held, have, want, list)
	if !slices.Equal(owner, sh.owner) {
		f.adopt(owner, held, at)
	}
	if f.shortOf(owner, list) > 0 {
		sh.retry = now.Add(rebalanceEvery) // somebody may have recovered by then
		f.at(sh.retry)
	}
}

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

// take deals what is free to those who have too little.
func (f *Fleet) take(owner, held []uint16, have, want map[int]int, list []*source) {
	free, lack := 0, 0
	weights := make([]int, len(f.all))
	for i, n := range owner {
		if n == nobody && held[i] == nobody {
			free++
		}
	}
	for _, s := range list {
		if d := want[s.n] - have[s.n]; d > 0 && s.heard() {
			weights[s.n] = d
			lack += d
		}
	}
	n := min(free, lack)
	if n == 0 {
		return
	}
	turns := load.Table(weights)
	k, dealt := 0, 0
	for i := range owner {
		if owner[i] != nobody || held[i] != nobody {
			continue
		}
		if (k+1)*n/free > k*n/free {
			owner[i] = turns[dealt%len(turns)]
			dealt++
		}
		k++
	}
}

// adopt makes a table the one that holds from run time at on.
func (f *Fleet) adopt(owner, held []uint16, at time.Duration) {
	sh := &f.shares
	before := f.log.Changes()
	if n := len(before); n > 0 {
		at = max(at, before[n-1].At)
	}
	e := epoch{count: len(before) + 1, at: at, owner: owner, before: sh.owner, waiting: make(map[int]struct{})}
	table := owner
	if !f.closedModel() {
		// A table's first entry is its epoch's first arrival, and in ours an arrival's entry never moves.
		e.from = f.log.Timeline().FirstAfter(at)
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
		return // said when it is taken up
	}
	f.sayDeal(at)
}

// sayDeal puts into the diary who has which share now, and why.
func (f *Fleet) sayDeal(at time.Duration) {
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
	if short := f.shortOf(f.shares.owner, rows); short > 0 {
		text += fmt.Sprintf("; load gap: %s stay missing%s", percent(short), f.whyShort())
	}
	f.say("%s", text)
}

// sayShort says at the start what part of the load nobody may make.
func (f *Fleet) sayShort() {
	if short := f.shortOf(f.shares.owner, f.partners()); short > 0 {
		f.say("load gap: %s of the load are missing from the start: the owners of the peers allow no more", percent(short))
	}
}

// whyShort says why the others do not take what is missing.
func (f *Fleet) whyShort() string {
	if f.cfg.OnLoss != Redistribute {
		return fmt.Sprintf(" (on peer loss: %s)", f.cfg.OnLoss)
	}
	return fmt.Sprintf(": a source takes at most %g times its own share, and none whose processors are busy takes more", Elastic)
}

// shortOf is the part of the load that a table gives to nobody for good: entries on their way from one source to another are not
// among it.
func (f *Fleet) shortOf(owner []uint16, list []*source) float64 {
	want, have := f.desired(list), 0
	missing := 0
	for _, n := range owner {
		if n == nobody {
			missing++
		} else {
			have++
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

// Applied implements observer: a source has the log up to count entries, the last of them since its run time at.
func (e *ears) Applied(n, count int, at time.Duration) {
	f := (*Fleet)(e)
	f.peer(n, func(s *source, _ time.Time) { f.follows(s, count, at) })
}

// follows notes that a source has followed all epochs up to an entry of the log. Where that was later than the epoch's own time it
// went on until then as before, which counts: it made what it had given up, and did not make what it had taken up.
func (f *Fleet) follows(s *source, count int, at time.Duration) {
	sh := &f.shares
	for i := 0; i < len(sh.epochs); i++ {
		e := &sh.epochs[i]
		if _, waits := e.waiting[s.n]; !waits || e.count > count {
			continue
		}
		delete(e.waiting, s.n)
		if at > e.at && !f.closedModel() {
			i += sh.late(i, s.n, f.log.Timeline().FirstAfter(at))
		}
	}
	for _, e := range sh.epochs {
		if _, waits := e.waiting[s.n]; waits {
			return
		}
	}
	for i, h := range sh.held {
		if int(h) == s.n {
			sh.held[i] = nobody
			sh.dirty = true
		}
	}
}

// late writes into the history that a source followed epoch i only from arrival until on. It returns how many epochs it added.
func (sh *shares) late(i, n int, until int64) int {
	e := sh.epochs[i]
	if i+1 < len(sh.epochs) {
		until = min(until, sh.epochs[i+1].from)
	}
	if until <= e.from {
		return 0
	}
	first := e
	first.owner = slices.Clone(e.owner)
	for j := range first.owner {
		if b := e.before[j]; b != e.owner[j] && (int(b) == n || int(e.owner[j]) == n) {
			first.owner[j] = b
		}
	}
	rest := e
	rest.from, rest.waiting = until, maps.Clone(e.waiting)
	sh.epochs[i] = first
	if i+1 < len(sh.epochs) && until == sh.epochs[i+1].from {
		return 0
	}
	sh.epochs = slices.Insert(sh.epochs, i+1, rest)
	return 1
}

// known is the first arrival of which it is not yet known who followed which table.
func (sh *shares) known() int64 {
	for _, e := range sh.epochs {
		if len(e.waiting) > 0 {
			return e.from
		}
	}
	return math.MaxInt64
}

// owned is how many of the arrivals from..to-1 belonged to numbers that which wants.
func (sh *shares) owned(from, to int64, which func(n uint16) bool) int64 {
	total := int64(0)
	for i, e := range sh.epochs {
		lo, hi := max(from, e.from), to
		if i+1 < len(sh.epochs) {
			hi = min(hi, sh.epochs[i+1].from)
		}
		if hi <= lo {
			continue
		}
		size := int64(len(e.owner))
		rounds, rest := (hi-lo)/size, (hi-lo)%size
		for j := range size {
			if which(e.owner[(lo+j)%size]) {
				total += rounds
				if j < rest {
					total++
				}
			}
		}
	}
	return total
}
