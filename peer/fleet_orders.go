package peer

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"lt/engine/load"
	"lt/peer/boot"
)

const (
	// aloneAhead is how far in the future a live change takes effect, so that every shard of this process knows of it before it
	// is due.
	aloneAhead = 20 * time.Millisecond
	// leastAhead and mostAhead bound it where peers have to learn of it too: three round trips, for one that is lost on its way.
	leastAhead = 250 * time.Millisecond
	mostAhead  = time.Second
	// stopAhead is the most that a stop may lie ahead, however long round trips take: whoever asks for it wants it within half a
	// second of the key, whose way to here is the rest of that. Peers that are further away stop when they hear of it.
	stopAhead = 400 * time.Millisecond
)

// ahead is how far in the future a change takes effect. What round trips took lately counts and not what they can take at best: a link
// that has become slow is one within seconds.
func (f *Fleet) ahead() time.Duration {
	d := aloneAhead
	for _, s := range f.all {
		if s != nil && s.link != nil && s.begun && s.living() {
			d = max(d, leastAhead, 3*min(max(s.beat.RTT, s.beat.Slowest), mostAhead))
		}
	}
	return min(d, mostAhead)
}

// Change enters a live change into the log of every source and says when it takes effect.
func (f *Fleet) Change(kind load.ChangeKind, factor float64) (time.Duration, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.begun {
		return 0, errors.New("the run has not begun")
	}
	ahead := f.ahead()
	if kind == load.Stop {
		ahead = min(ahead, stopAhead)
	}
	before := f.level
	if kind == load.Factor {
		f.level = factor
	}
	// A peer that is given more than its owner allows ends its part. So what becomes too much for it is moved before the load is
	// raised, and what it may take beside it is dealt after the load is lowered.
	bound := kind == load.Factor && slices.ContainsFunc(f.rows, func(s *source) bool { return s.limit > 0 })
	if bound && factor > before {
		f.dealNow()
	}
	at, err := f.enter(load.Change{At: max(0, f.run(time.Now())) + ahead, Kind: kind, Factor: factor})
	if err != nil {
		f.level = before
	}
	if bound && (factor < before || err != nil) {
		f.dealNow()
	}
	return at, err
}

// dealNow holds the shares against a load that changes, without waiting for what was given up before.
func (f *Fleet) dealNow() {
	f.redeal("the load changes")
	f.shares.until, f.shares.later = time.Time{}, time.Time{}
	f.deal(time.Now())
}

// enter appends a change to the log and passes it on. It takes effect no earlier than those before; but for a stop, which does not
// wait for what lies further ahead: that will not be any more.
//
// Nothing begins twice because of it. A stop gives no arrival to anybody; it only ends what every source may begin of its own,
// at its time or when the source hears of it. Until then a source goes on under the changes and the tables that it knows, in
// which each arrival has one owner (see shares), also under those that the stop has made void: what it begins under them comes
// after all that the plan still has, so nobody misses it, and it is reported, and counted, like everything else.
func (f *Fleet) enter(c load.Change) (time.Duration, error) {
	before := f.log.Changes()
	if c.Kind != load.Stop {
		c.At = max(c.At, load.Latest(before))
	}
	if err := f.log.Append(c); err != nil {
		return 0, err
	}
	f.local.Refresh()
	entries := f.log.Changes()[len(before):]
	for _, s := range f.all {
		if s != nil && s.link != nil && s.armed && !s.finished && s.dead.IsZero() {
			s.link.Changes(len(before), entries)
		}
	}
	return c.At, nil
}

// Add lets peers join, named as in --peers. The error is one of spelling; whatever comes of it is told as with every peer.
func (f *Fleet) Add(spec string) error {
	list, err := boot.List(spec)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stage == fresh || f.stage == over || !f.cutAt.IsZero() {
		return errors.New("the run is not going on")
	}
	there := len(list)
	for _, s := range f.rows {
		if s.living() {
			there++
		}
	}
	if err := enoughSlots(&f.cfg.File.Load, there); err != nil {
		return err
	}
	if f.counted() && f.closedModel() {
		// Each source has had its part from the start: who comes later would make nothing of the users that it took from others.
		return errors.New("this run has a number of iterations, whose parts are dealt already; end it by time to let peers join")
	}
	var taken []string
	for _, s := range f.all {
		if s != nil {
			taken = append(taken, s.name)
		}
	}
	boot.Name(list, taken...)
	for _, a := range list {
		if len(f.all) >= nobody-1 {
			return errors.New("there are more sources than the share table has numbers")
		}
		s := f.enlist(a)
		s.joins = f.stage != gathering // run time zero is being agreed on without it, or is over
		f.rows = append(f.rows, s)
		f.show(s, "")
		f.dial(s)
	}
	return nil
}

// Drain lets a source give its share to the others, finish what it has in hand, and leave.
func (f *Fleet) Drain(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.rows, func(s *source) bool { return s.name == name })
	if i < 0 {
		return fmt.Errorf("there is no source %q", name)
	}
	s := f.rows[i]
	switch {
	case f.stage != underway || !f.cutAt.IsZero():
		return errors.New("the run is not going on")
	case !s.begun || !s.living() || s.draining:
		return fmt.Errorf("it makes no load: it is %s", s.m.State)
	}
	if !slices.ContainsFunc(f.rows, func(o *source) bool { return o != s && o.begun && o.living() && !o.draining }) {
		return errors.New("it is the only source of load")
	}
	s.draining = true
	s.m.State = "draining"
	f.redeal("%s leaves", s.name)
	f.show(s, "")
	nudge(f.wake)
	return nil
}
