package peer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"lt/engine/load"
	"lt/peer/wire"
)

const (
	// leastLead and leadTrips say how far ahead run time zero is set: time enough for every peer to hear of it and to answer.
	leastLead = 2 * time.Second
	leadTrips = 10
	// armedBy is how long before run time zero every peer must have answered.
	armedBy = 500 * time.Millisecond
	// mostTries to agree on a run time zero: each one goes without the peers that did not answer.
	mostTries = 3
	// breakTime is how long a peer that is ready may be out of reach before the start: a connection that breaks then is dialled again.
	breakTime = 10 * time.Second
	// wideBound of a clock's difference is worth a warning: from there on the figures of two sources for one second are not
	// quite of the same second.
	wideBound = 50 * time.Millisecond
)

// weigh fixes each source's part of the load in relation to the others, which before the start is shown as its share. Sources on one machine share that machine's
// part, unless their weights were given.
func (f *Fleet) weigh(list []*source) {
	given, cores := make([]int, len(list)), make([]int, len(list))
	anyGiven := false
	machines := make(map[string]int)
	for i, s := range list {
		given[i], cores[i] = s.at.Weight, s.cores
		anyGiven = anyGiven || given[i] > 0
		if m := f.machine(s); m != "" {
			machines[m]++
		}
	}
	parts := Weights(given, cores)
	whole := 1 // a number of sources on one machine divides it
	if !anyGiven {
		for _, n := range machines {
			whole = lcm(whole, n)
		}
	}
	total := 0
	for i, s := range list {
		s.part = parts[i] * whole
		if n := machines[f.machine(s)]; n > 1 && !anyGiven {
			s.part /= n
		}
		total += s.part
	}
	for i, s := range list {
		if s.m.Weight = parts[i]; !f.begun {
			s.m.Share = float64(s.part) / float64(max(1, total))
		}
	}
}

// machine tells on which machine a source is; empty: not known.
func (f *Fleet) machine(s *source) string {
	if s.link != nil {
		return s.hello.Machine
	}
	if s.n == 0 {
		return f.cfg.self
	}
	return ""
}

func lcm(a, b int) int {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	return a / x * b
}

// gather waits until every peer is ready or has failed, and then fixes run time zero or gives the start up.
func (f *Fleet) gather(now time.Time) {
	for _, s := range f.rows {
		switch {
		case s.n == 0 || s.failed != nil:
		case !s.gone.IsZero() || !s.lost.IsZero() && now.Sub(s.lost) >= breakTime:
			f.refuse(s, &StartError{Peer: s.name, Phase: "ready", Said: s.reason, Do: "look at its log, and start again"})
		case !s.ready:
			return
		case !s.lost.IsZero():
			f.at(s.lost.Add(breakTime))
			return
		}
	}
	f.arm(now)
}

// taking are the sources with which the run is to begin.
func (f *Fleet) taking() []*source {
	var out []*source
	for _, s := range f.rows {
		if s.failed == nil && !s.joins {
			out = append(out, s)
		}
	}
	return out
}

// arm fixes run time zero and tells every peer, if there are enough of them.
func (f *Fleet) arm(now time.Time) {
	var errs []error
	ready, rtt := 0, time.Duration(0)
	list := f.taking()
	for _, s := range list {
		if s.n != 0 {
			ready++
			rtt = max(rtt, s.beat.RTT)
		}
	}
	for _, s := range f.rows {
		if s.failed != nil && !s.joins {
			errs = append(errs, s.failed)
		}
	}
	wanted := f.cfg.MinPeers
	if wanted <= 0 {
		wanted = ready + len(errs)
	}
	if ready < wanted || len(list) == 0 {
		f.fail(&StartErrors{Errs: errs, Ready: ready, Wanted: wanted})
		return
	}
	f.weigh(list)
	f.sameMachine(list)
	f.otherRuns(list)
	if err := f.firstEpoch(list); err != nil {
		f.fail(err)
		return
	}
	f.stage, f.tries, f.asked = arming, f.tries+1, list
	f.zero = now.Add(max(leastLead, leadTrips*rtt))
	for _, s := range list {
		if s.n != 0 {
			s.armed, s.offset = false, s.beat.Offset
			s.link.Arm(f.order(s, f.zero))
		}
	}
	f.at(f.zero.Add(-armedBy))
}

// order is what a peer is armed with. One that joins has no entry in any table so far; a log of hundreds of them whole would not fit
// into a message.
func (f *Fleet) order(s *source, zero time.Time) wire.Arm {
	changes := f.log.Changes()
	s.known = len(changes)
	if s.joins {
		changes = slices.Clone(changes)
		for i, c := range changes {
			if c.Epoch != nil {
				changes[i].Epoch = &load.Epoch{ID: c.Epoch.ID, From: c.Epoch.From, Table: []uint16{nobody}}
			}
		}
	}
	return wire.Arm{Zero: clockNow() + time.Until(zero), Source: s.n, Name: s.name, Changes: changes, From: s.from}
}

// sameMachine warns of sources that share a machine: they take its processors and ports from one another.
func (f *Fleet) sameMachine(list []*source) {
	first := make(map[string]*source)
	for _, s := range list {
		m := f.machine(s)
		if m == "" {
			continue
		}
		if o := first[m]; o != nil {
			f.once("same machine "+s.name, "%s and %s are one machine and share its processors and ports%s", o.name, s.name, f.halved())
			continue
		}
		first[m] = s
	}
}

// otherRuns warns of runs that have processes on the machines of our sources: each takes processor time from the other. Peers on one
// machine may all tell of the same.
func (f *Fleet) otherRuns(list []*source) {
	type place struct{ machine, run string }
	type visit struct {
		names []string
		pids  []int
		age   time.Duration
	}
	visits := make(map[place]*visit)
	var order []place
	for _, s := range list {
		machine := f.machine(s)
		if machine == "" {
			machine = s.name
		}
		for _, o := range s.others {
			p := place{machine, o.Run}
			v := visits[p]
			if v == nil {
				v = new(visit)
				visits[p], order = v, append(order, p)
			}
			if !slices.Contains(v.names, s.name) {
				v.names = append(v.names, s.name)
			}
			if !slices.Contains(v.pids, o.PID) {
				v.pids = append(v.pids, o.PID)
			}
			v.age = max(v.age, o.Age)
		}
	}
	for _, p := range order {
		v := visits[p]
		who := fmt.Sprintf("process %d", v.pids[0])
		if n := len(v.pids); n > 1 {
			who = fmt.Sprintf("%d processes, one of them %d", n, v.pids[0])
		}
		f.once("other run "+p.machine+" "+p.run, "%s: another run is active there (%s: %s, for %s); the two share its processors, which the figures of "+
			"both may show; try: one after the other, or other machines",
			and(v.names), p.run, who, short(v.age))
	}
}

func (f *Fleet) halved() string {
	for _, s := range f.rows {
		if s.at.Weight > 0 {
			return ""
		}
	}
	return ": together they count as one"
}

// muster waits for the answers of the peers. All of them, and the run begins; else nobody does, and it is tried again without
// those who did not answer. So a start is one for all or none at all.
func (f *Fleet) muster(now time.Time) {
	by := f.zero.Add(-armedBy)
	answered, broken := true, false
	for _, s := range f.asked {
		switch {
		case s.n == 0:
		case s.failed != nil || s.away():
			broken = true
		default:
			answered = answered && s.armed
		}
	}
	switch {
	case answered && !broken && now.Before(f.zero):
		f.commit(now, f.asked)
		return
	case !answered && now.Before(by): // also if it has come to nothing: whoever is well is asked again, and no answer is to be taken for another
		f.at(by)
		return
	}
	for _, s := range f.asked {
		if s.n == 0 || s.failed != nil {
			continue
		}
		s.link.Abort()
		if !s.armed || s.away() {
			said := "it did not confirm the start in time"
			if s.reason != "" {
				said = s.reason
			}
			f.refuse(s, &StartError{Peer: s.name, Phase: "armed", Said: said, Do: "start again, or without it"})
		}
	}
	if f.tries >= mostTries {
		f.fail(fmt.Errorf("the peers did not agree on a start in %d attempts: nothing was sent", f.tries))
		return
	}
	f.arm(now)
}

// commit lets the run begin.
func (f *Fleet) commit(now time.Time, list []*source) {
	for _, s := range list {
		if s.n != 0 {
			s.link.Commit()
		}
	}
	for _, s := range f.rows {
		if s.failed != nil {
			f.say("the run begins without %s: %s", s.name, s.failed)
		}
	}
	f.begin(now, f.zero)
	for _, s := range list {
		if s.n != 0 {
			s.m.Clock = 0
			f.show(s, "")
			f.wide(s)
		}
	}
	f.sayShort()
}

// wide warns of a clock that is known too roughly.
func (f *Fleet) wide(s *source) {
	if b := s.beat.Bound; b > wideBound {
		f.say("%s: its clock is known to within ±%s only (its round trip takes %s), so its seconds may be off from those of the others by as much", s.name, short(b), short(s.beat.RTT))
	}
}

// receive arms peers that join while the run goes on, and starts peers anew whose hosts are there again.
func (f *Fleet) receive(now time.Time) {
	if f.ending(now) {
		return
	}
	for _, s := range f.all {
		if s == nil || !s.joins || s.begun || s.failed != nil || !s.ready || s.asked {
			continue
		}
		s.asked = true
		s.from = max(0, f.run(now)) + max(leastLead, leadTrips*s.beat.RTT)
		s.offset = s.beat.Offset
		s.link.Arm(f.order(s, f.epoch))
		s.armed = true // from here on it gets the log's new entries
	}
	f.renew(now)
}

// joined takes a joiner's answer: it takes part, and gets its share at the next epoch.
func (f *Fleet) joined(s *source, now time.Time) {
	if s.begun || f.stage != underway {
		return
	}
	s.link.Commit()
	s.begun = true
	s.m.State, s.m.Step = "running", ""
	if s.lives > 0 {
		f.replace(s)
	}
	f.weigh(f.partners())
	f.sameMachine(f.partners())
	f.otherRuns(f.partners())
	what := "joins"
	if s.lives > 0 {
		what = "takes part anew"
	}
	f.redeal("%s %s", s.name, what)
	f.show(s, "")
	f.wide(s)
}

// partners are the sources by which the load is planned: all that take part and did not leave of their own accord, those that
// are lost too.
func (f *Fleet) partners() []*source {
	var out []*source
	for _, s := range f.rows {
		if s.begun && s.m.State != "left" && s.m.State != "done" {
			out = append(out, s)
		}
	}
	return out
}

// StartErrors is why a run with peers did not begin: what became of each that could not be started.
type StartErrors struct {
	Errs          []error // in the order in which the peers were named
	Ready, Wanted int     // peers
}

func (e *StartErrors) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d peers could not be started, and %d are wanted:", len(e.Errs), len(e.Errs)+e.Ready, e.Wanted)
	for _, err := range e.Errs {
		b.WriteString("\n  " + err.Error())
	}
	return b.String()
}

// Unwrap is for errors.Is and As.
func (e *StartErrors) Unwrap() []error { return e.Errs }
