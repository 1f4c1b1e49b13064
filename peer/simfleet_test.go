package peer

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lt/engine/journey"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
	"lt/peer/sshproc"
	"lt/peer/wire"
)

// simulation is a fleet whose peers are simulated in virtual time: their schedules are real, and so is every promise of a link;
// networks fail, processes die and machines are slow as a test wants it. What each of them begins, and when, is kept.
type simulation struct {
	t     *testing.T
	fleet *Fleet
	spec  *load.Spec
	end   chan struct{} // closed to end the loop

	mu      sync.Mutex
	hosts   map[string]*simHost
	links   []*simLink
	begins  []begin
	spells  []spell
	dropped []int64
	reports []metrics.Report
	calls   []simCall // what the test does when
}

type begin struct {
	index  int64
	source int
	at     time.Time
}

// spell is how long a user of the closed model was run by a source.
type spell struct {
	user     int64
	source   int
	from, to time.Time
}

type simCall struct {
	at time.Duration // run time
	do func()
}

// beforeStart is the time of a call that waits for no run time.
const beforeStart = -time.Hour

// simHost is a machine with its network path.
type simHost struct {
	name    string
	cores   int
	policy  *wire.Policy
	delay   time.Duration // each way
	longer  time.Duration // that the way to the coordinator takes beyond that
	least   time.Duration // that a round trip took so far; 0: there was none
	blocked bool          // nothing gets through
	missed  bool          // silence is not noticed: the coordinator does not run
	hurried bool          // its last account comes before its link says that it is there again, after it was lost
	refuses bool          // nothing new can be started there
	slow    bool          // its intervals say that it cannot keep up
	still   bool          // its process does not run
	shards  int
	mute    bool   // figures do not come, heartbeats do
	lateArm bool   // it never confirms to be armed
	noArm   bool   // it refuses to be
	brief   bool   // its connection breaks as soon as it has confirmed that it is
	lies    bool   // its last account is wrong
	dies    Cause  // what is known of the end of its process, first and then
	memory  uint64 // that its intervals tell of, in bytes, of 100 MiB
	machine string // that it is; empty: not known
	others  []wire.OtherRun
	asked   func() // called in the next turn of the world after it was told when to start; nil: nothing
}

// beat is what a machine's heartbeat says of its path.
func (h *simHost) beat(begun uint64) wire.Beat {
	trip := 2*h.delay + h.longer
	if h.least == 0 || trip < h.least {
		h.least = trip
	}
	return wire.Beat{RTT: h.least, Slowest: trip, Bound: h.least / 2, Probes: 16, Begun: begun}
}

// simMessage is on its way.
type simMessage struct {
	at time.Time
	do func()
}

// simLink is both ends of a link.
type simLink struct {
	s    *simulation
	n    int
	host *simHost
	dir  [2][]simMessage // up: to the peer, down: to the coordinator

	// The coordinator's end.
	dialled, closed, granting   bool
	over                        time.Time
	heard                       time.Time
	suspect, lost, gone, rejoin bool
	redial                      time.Time
	totals                      wire.Totals
	applied                     uint64
	finTold                     bool
	log                         []load.Change

	// The peer's end.
	alive              bool
	arm                *wire.Arm
	committed, stopped bool
	zero               time.Time
	lease              time.Time
	replica            *replica
	lates              int       // how often it was told of something late
	stop               time.Time // when it heard of a stop
	schedules          []*load.Schedule
	missed             time.Duration // what was due by then was heard of too late
	users              []*load.Users
	active             map[int64]time.Time // users that it runs, since when
	beatAt             time.Time
	nextEdge           time.Duration
	seq                uint64
	iv                 metrics.Interval
	sum                wire.Totals
	done               bool
	begun              uint64
	ran                time.Time // when it last did
	said               float64   // user-seconds that it says it left out, because it did not run
}

const simTick = 10 * time.Millisecond

// simulate runs a fleet of peers with these names until it ends by itself.
func simulate(t *testing.T, q scenario.Quick, names []string, setup func(s *simulation, c *Config)) *simulation {
	t.Helper()
	var out *simulation
	runtime.GC()
	runtime.GC()
	synctest.Test(t, func(t *testing.T) {
		q.URL = "http://127.0.0.1:9"
		file, err := q.File(scenario.Env{})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			file.Peers = append(file.Peers, scenario.Peer{Name: n, SSH: n})
		}
		program, err := journey.Compile(file, "lt/test")
		if err != nil {
			t.Fatal(err)
		}
		s := &simulation{t: t, spec: &file.Load, end: make(chan struct{}), hosts: make(map[string]*simHost)}
		c := Config{File: file, Program: program, NoLocal: true, link: s.link, self: "here"}
		for _, n := range names {
			s.host(n)
		}
		if setup != nil {
			setup(s, &c)
		}
		if s.fleet, err = New(c); err != nil {
			t.Fatal(err)
		}
		var wait sync.WaitGroup
		wait.Go(s.loop)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s.fleet.Start(ctx)
		for r := range s.fleet.Reports() {
			s.mu.Lock()
			s.reports = append(s.reports, r)
			s.mu.Unlock()
			if r.Drain {
				if _, err := s.fleet.Change(load.Stop, 0); err != nil {
					t.Error(err)
				}
			}
		}
		close(s.end)
		wait.Wait()
		for _, l := range s.links {
			l.retireAll(time.Now())
		}
		out = s
	})
	return out
}

// host is the machine with a name; it is made when it is first asked for.
func (s *simulation) host(name string) *simHost {
	h := s.hosts[name]
	if h == nil {
		h = &simHost{name: name, cores: 1, delay: 5 * time.Millisecond, shards: 1, dies: Cause{Starved: -1}}
		s.hosts[name] = h
	}
	return h
}

// at does something at a run time.
func (s *simulation) at(t time.Duration, do func()) { s.calls = append(s.calls, simCall{t, do}) }

func (s *simulation) link(_ *Fleet, src *source) (remote, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &simLink{s: s, n: src.n, host: s.host(src.name), granting: true}
	s.links = append(s.links, l)
	return l, nil
}

// loop is the world.
func (s *simulation) loop() {
	tick := time.NewTicker(simTick)
	defer tick.Stop()
	for {
		select {
		case <-s.end:
			return
		case <-tick.C:
		}
		now := time.Now()
		s.mu.Lock()
		for _, l := range slices.Clone(s.links) {
			l.step(now)
		}
		var due []func()
		zero := s.zero()
		s.calls = slices.DeleteFunc(s.calls, func(c simCall) bool {
			if c.at >= 0 && (zero.IsZero() || now.Sub(zero) < c.at) {
				return false
			}
			due = append(due, c.do)
			return true
		})
		s.mu.Unlock()
		for _, do := range due {
			do()
		}
	}
}

// zero is run time zero as the peers that began first know it.
func (s *simulation) zero() time.Time {
	for _, l := range s.links {
		if l.committed {
			return l.zero
		}
	}
	return time.Time{}
}

// kill ends the process of a peer.
func (s *simulation) kill(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		if l.host.name == name && l.alive {
			l.alive = false
			l.dir = [2][]simMessage{}
			if !l.host.blocked {
				l.lose(Cause{Text: "the connection broke", Signal: l.host.dies.Signal})
			}
		}
	}
}

func (s *simulation) set(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// block cuts or heals the way to a machine.
func (s *simulation) block(blocked bool, names ...string) {
	s.set(func() {
		for _, n := range names {
			s.host(n).blocked = blocked
		}
	})
}

const (
	toPeer = iota
	toFleet
)

// send puts a message on its way.
func (l *simLink) send(dir int, do func()) {
	if dir == toFleet && !l.alive {
		return
	}
	way := l.host.delay
	if dir == toFleet {
		way += l.host.longer
	}
	l.dir[dir] = append(l.dir[dir], simMessage{time.Now().Add(way), do})
}

func (l *simLink) step(now time.Time) {
	if !l.dialled {
		return
	}
	if !l.host.blocked {
		for dir := range l.dir {
			for len(l.dir[dir]) > 0 && !l.dir[dir][0].at.After(now) {
				if dir == toPeer && l.host.still {
					break
				}
				m := l.dir[dir][0]
				l.dir[dir] = l.dir[dir][1:]
				if dir == toFleet && !l.closed {
					l.listen(now)
				}
				if dir == toPeer && !l.alive {
					continue
				}
				m.do()
			}
		}
	}
	if l.alive {
		if !l.host.still {
			l.live(now)
			l.ran = now
		}
	} else {
		l.retireAll(now)
	}
	if !l.closed {
		l.listenFor(now)
	}
}

// listen notes that the peer is heard.
func (l *simLink) listen(now time.Time) {
	l.heard = now
	if !l.suspect && !l.lost || l.gone || l.lost && l.host.hurried && !l.finTold {
		return
	}
	if l.lost && !l.over.IsZero() && now.After(l.over) {
		if !l.rejoin {
			l.rejoin = true
			l.ears().Rejoin(l.n, l.hello())
		}
		return
	}
	l.suspect, l.lost = false, false
	l.ears().Back(l.n)
}

func (l *simLink) ears() *ears { return (*ears)(l.s.fleet) }

func (l *simLink) lose(c Cause) {
	if !l.lost && !l.closed {
		l.lost = true
		l.redial = time.Now().Add(time.Second)
		l.ears().Lost(l.n, c)
	}
}

// listenFor is how a link notices silence, and dials again.
func (l *simLink) listenFor(now time.Time) {
	silent := now.Sub(l.heard)
	switch {
	case l.heard.IsZero() || l.finTold || l.host.missed:
	case silent > lostAfter:
		l.lose(Cause{Text: "nothing was heard of it"})
	case silent > suspectAfter && !l.suspect && !l.lost:
		l.suspect = true
		l.ears().Suspect(l.n, silent)
	}
	if l.lost && !l.gone && !l.alive && !l.host.blocked && now.After(l.redial) {
		l.gone = true
		c := l.host.dies
		c.Text = "its process is gone"
		l.ears().Gone(l.n, c)
		l.rejoin = true
		l.ears().Rejoin(l.n, l.hello())
	}
}

func (l *simLink) hello() wire.Hello {
	return wire.Hello{CPUs: l.host.cores, Policy: l.host.policy, Machine: l.host.machine}
}

// Dial implements remote, and so do those that follow.
func (l *simLink) Dial(context.Context) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.dialled, l.heard = true, time.Now()
	if l.host.refuses || l.host.blocked {
		l.ears().Failed(l.n, fmt.Errorf("peer %s: dial: nobody answers", l.host.name))
		return
	}
	l.alive = true
	l.send(toFleet, func() {
		l.ears().Beat(l.n, l.host.beat(0))
		l.ears().Ready(l.n, l.hello(), wire.Preflight{Others: l.host.others})
	})
}

func (l *simLink) Arm(a wire.Arm) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.log = a.Changes
	zero := time.Now().Add(a.Zero - clockNow())
	l.send(toPeer, func() {
		switch {
		case l.host.lateArm:
			return
		case l.host.noArm:
			l.send(toFleet, func() { l.ears().Failed(l.n, fmt.Errorf("peer %s: arm: no", l.host.name)) })
			return
		}
		l.arm, l.zero, l.replica = &a, zero, newReplica(l.s.spec, a.Source)
		l.learn(a.Changes, inTime)
		l.send(toFleet, func() {
			l.ears().Armed(l.n)
			if l.host.brief {
				l.alive = false
				l.lose(Cause{Text: "the connection broke"})
			}
		})
	})
	if do := l.host.asked; do != nil {
		l.host.asked = nil
		l.s.calls = append(l.s.calls, simCall{beforeStart, do})
	}
}

func (l *simLink) learn(entries []load.Change, now time.Duration) {
	err := l.replica.learn(entries, now)
	if err == nil {
		err = (&agent{c: ServeConfig{Policy: l.host.policy}}).allowed(l.replica)
	}
	if err != nil {
		l.s.t.Errorf("%s: %v", l.host.name, err)
	}
}

func (l *simLink) Commit() {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.send(toPeer, func() {
		l.committed = true
		l.active = make(map[int64]time.Time)
		for i := range l.host.shards {
			if l.s.spec.Model == load.Closed {
				l.users = append(l.users, load.NewUsers(l.s.spec, l.replica.log, l.arm.Source, i, l.host.shards))
			} else {
				l.schedules = append(l.schedules, load.NewSchedule(l.s.spec, l.replica.log, l.arm.Source, i, l.host.shards))
			}
		}
		l.nextEdge = l.arm.From/time.Second*time.Second + time.Second
		l.lease = time.Now().Add(Grace)
	})
}

func (l *simLink) Abort() {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.send(toPeer, func() { l.arm = nil })
}

func (l *simLink) Changes(from int, entries []load.Change) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.log = append(l.log[:from:from], entries...)
	log := l.log
	l.send(toPeer, func() {
		run := time.Since(l.zero)
		if n := l.replica.count(); n < len(log) {
			if log[n].At < run-load.Hearing {
				l.lates++
			}
			l.learn(log[n:], run)
		}
		if l.stop.IsZero() && slices.ContainsFunc(log, func(c load.Change) bool { return c.Kind == load.Stop }) {
			l.stop = time.Now()
		}
		a := wire.Applied{Count: l.replica.count(), At: max(0, run), Late: l.replica.late}
		l.send(toFleet, func() { l.ears().Applied(l.n, a) })
	})
}

func (l *simLink) Stop(now bool) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.send(toPeer, func() {
		l.stopped = true
	})
}

func (l *simLink) Granting(on bool) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.granting = on
}

func (l *simLink) Over() time.Time {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.over
}

func (l *simLink) Applied() (wire.Totals, uint64) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.totals, l.applied
}

func (l *simLink) Close() {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.closed = true
	l.send(toPeer, func() { l.alive = false })
}

func (l *simLink) Wait() {}

// live is what the peer does.
func (l *simLink) live(now time.Time) {
	if !now.Before(l.beatAt) {
		l.beatAt = now.Add(500 * time.Millisecond)
		sent, begun := now, l.begun
		l.send(toFleet, func() {
			if at := time.Now(); l.granting && !l.closed && (l.over.IsZero() || !at.After(l.over)) {
				l.over = at.Add(Grace + leaseMargin)
				l.send(toPeer, func() { l.lease = sent.Add(Grace) })
			}
			if !l.closed {
				l.ears().Beat(l.n, l.host.beat(begun))
			}
		})
	}
	if !l.committed || l.done || now.Before(l.zero) {
		return
	}
	run := now.Sub(l.zero)
	lapsed := now.After(l.lease)
	if !l.ran.IsZero() && now.Sub(l.ran) > time.Second {
		l.stood(run, lapsed)
	}
	for _, s := range l.schedules {
		if s.Stale() && s.Refresh() < run-load.Hearing {
			l.missed = run
		}
		for {
			index, due, ok := s.Peek()
			if !ok || due > run {
				break
			}
			s.Next()
			if lapsed || l.stopped || due <= l.missed { // since the tick before, or as the engine does
				l.iv.Scheduled++
				l.iv.Dropped++
				l.s.dropped = append(l.s.dropped, index)
				continue
			}
			l.s.begins = append(l.s.begins, begin{index, l.n, now})
			l.iv.Scheduled++
			l.iv.Started++
			l.begun++
		}
	}
	over := lapsed || l.stopped || run >= l.replica.log.Timeline().End()
	for _, u := range l.users {
		if u.Stale() {
			u.Refresh(run)
		}
		for !over {
			turn, ok := u.Peek()
			if !ok || turn.At > run {
				break
			}
			u.Next()
			if turn.Start {
				l.active[turn.User] = now
			} else {
				l.retire(turn.User, now)
			}
		}
	}
	if over || run >= l.nextEdge {
		l.edge(run, over)
	}
	if over {
		l.retireAll(now)
		l.done = true
		l.finish(lapsed)
	}
}

// stood is what an engine makes of the time for which its process did not run.
func (l *simLink) stood(run time.Duration, lapsed bool) {
	l.missed = run
	for _, u := range l.users {
		_, missing, leased := u.Stopped(run, l.lease.Sub(l.zero))
		if lapsed {
			missing = leased
		}
		l.said += missing.Seconds()
	}
	if lapsed { // what it had in hand did nothing from there on
		l.retireAll(l.lease)
	}
}

func (l *simLink) retire(user int64, now time.Time) {
	l.s.spells = append(l.s.spells, spell{user, l.n, l.active[user], now})
	delete(l.active, user)
}

func (l *simLink) retireAll(now time.Time) {
	for user := range l.active {
		l.retire(user, now)
	}
}

// edge hands an interval over.
func (l *simLink) edge(run time.Duration, final bool) {
	iv := l.iv
	l.iv = metrics.Interval{}
	if n := uint64(len(l.active)); l.s.spec.Model == load.Closed { // each makes an iteration a second
		iv.Users, iv.Scheduled, iv.Started = int(n), n, n
	}
	iv.From = l.nextEdge - time.Second
	iv.Length = max(min(run, l.nextEdge)-iv.From, 0)
	if final {
		iv.Length = max(0, run-iv.From)
	}
	iv.Final = final
	l.nextEdge += time.Second
	iv.Due, iv.Iterations = iv.Started, iv.Started
	iv.Records = []metrics.Record{{Requests: iv.Started}}
	iv.Audit.Cores, iv.Audit.CPU = 1, 0.2
	iv.Audit.Memory, iv.Audit.MemLimit = l.host.memory, 100<<20
	if l.host.slow {
		iv.Audit.CPU = 0.9
	}
	l.sum.Add(&iv, 1)
	l.seq++
	seq := l.seq
	if l.host.mute {
		return
	}
	l.send(toFleet, func() {
		l.totals.Add(&iv, 1)
		l.applied = seq
		if !l.closed {
			l.ears().Interval(l.n, &iv)
		}
	})
}

func (l *simLink) finish(lapsed bool) {
	fin := wire.Fin{LastSeq: l.seq, Totals: l.sum, Lapsed: lapsed}
	if l.host.lies {
		fin.Totals.Requests += 7
	}
	if l.host.mute {
		return
	}
	l.send(toFleet, func() {
		l.finTold = true
		if !l.closed {
			l.ears().Fin(l.n, fin)
		}
	})
}

// verdict is what a simulation came to.
type verdict struct {
	planned, begun  int64
	gap, unreported int64
	missing         int64
	events          []string
	members         map[string]metrics.Member
	busiest         float64           // the worst second against the plan
	lastBegin       map[int]time.Time // by source
	whole           bool
	without         float64 // user-seconds in which a user that was wanted ran nowhere
	lacking         []int64 // by tick: users that were wanted and ran nowhere
}

// check holds the history to the invariants.
func (s *simulation) check(t *testing.T) *verdict {
	t.Helper()
	v := &verdict{members: make(map[string]metrics.Member), lastBegin: make(map[int]time.Time), whole: true}
	line := s.fleet.Timeline()
	known := load.NewLog(s.spec)
	lines := []*load.Timeline{known.Timeline()}
	for _, c := range s.fleet.log.Changes() {
		if c.Kind != load.Reshare {
			if err := known.Append(c); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, known.Timeline())
		}
	}
	v.planned = line.FirstAfter(line.End())
	zero := s.fleet.Epoch()
	seen := make(map[int64]begin)
	seconds := make(map[int]int)
	for _, b := range s.begins {
		if o, twice := seen[b.index]; twice {
			t.Errorf("arrival %d began twice: by source %d at %v and by %d at %v", b.index, o.source, o.at.Sub(zero), b.source, b.at.Sub(zero))
		}
		seen[b.index] = b
		seconds[int(b.at.Sub(zero)/time.Second)]++
		v.lastBegin[b.source] = b.at
		if src := s.fleet.all[b.source]; !src.dead.IsZero() && b.at.After(src.dead) {
			t.Errorf("source %d began arrival %d at %v, after it was given up at %v", b.source, b.index, b.at.Sub(zero), src.dead.Sub(zero))
		}
	}
	for index := range seen {
		if index < v.planned { // a peer that does not hear of a stop goes on, at most until its lease is over
			v.begun++
		}
	}
	v.missing = v.planned - v.begun
	for _, index := range s.dropped {
		if _, begun := seen[index]; index < v.planned && !begun { // it may be another's already
			v.missing--
		}
	}
	for sec, n := range seconds {
		from, to := time.Duration(sec)*time.Second, time.Duration(sec+1)*time.Second
		plan := 0.0
		for _, line := range lines { // not every peer has heard of every change of the level
			plan = max(plan, float64(line.FirstAfter(to)-line.FirstAfter(from-2*simTick))) // a peer looks once a tick
		}
		v.busiest = max(v.busiest, (float64(n)-3)/max(plan, 1))
	}
	if v.busiest > 1.05 {
		t.Errorf("the busiest second had %.2f of the plan", v.busiest)
	}
	for _, r := range s.reports {
		if r.Text != "" {
			v.events = append(v.events, r.Text)
		}
		if r.Gap != nil {
			v.gap += int64(r.Gap.Arrivals)
		}
		if r.Member != nil {
			v.members[r.Member.Name] = *r.Member
		}
	}
	for _, m := range v.members {
		if a := m.Account; a != nil {
			v.unreported += int64(a.Unreported)
			v.whole = v.whole && a.Whole
		}
	}
	for n, m := range v.members {
		began, said := int64(0), int64(0)
		for _, l := range s.links {
			if l.host.name == n {
				began, said = began+int64(l.begun), said+int64(l.totals.Started)
			}
		}
		if a := m.Account; a != nil && began-said > int64(a.Unreported) {
			t.Errorf("%s began %d arrivals and %d were reported; its account says %+v", n, began, said, a)
		}
	}
	if s.spec.Model == load.Closed {
		s.checkUsers(t, v)
	} else if v.gap > v.missing || v.missing > v.gap+v.unreported {
		t.Errorf("%d of %d arrivals were not begun; declared are %d as nobody's and at most %d as unreported", v.missing, v.planned, v.gap, v.unreported)
	}
	if t.Failed() {
		for _, e := range v.events {
			t.Log(e)
		}
		for _, n := range slices.Sorted(maps.Keys(v.members)) {
			t.Logf("%+v", v.members[n])
		}
	}
	return v
}

// checkUsers holds the history of users to the invariants of the closed model: none is run by two sources at once, and the time in
// which one that was wanted ran nowhere was declared, or is that of a source that never gave its account.
func (s *simulation) checkUsers(t *testing.T, v *verdict) {
	t.Helper()
	line, zero := s.fleet.Timeline(), s.fleet.Epoch()
	slices.SortFunc(s.spells, func(a, b spell) int { return cmp.Or(cmp.Compare(a.user, b.user), a.from.Compare(b.from)) })
	most := int64(0)
	v.lacking = make([]int64, line.End()/simTick)
	for i := range v.lacking {
		v.lacking[i] = usersWanted(line, time.Duration(i)*simTick)
		most = max(most, v.lacking[i])
	}
	wanted := slices.Clone(v.lacking)
	for i, p := range s.spells {
		if i > 0 && s.spells[i-1].user == p.user && s.spells[i-1].to.After(p.from) {
			o := s.spells[i-1]
			t.Errorf("user %d was run by source %d from %v to %v and by source %d from %v on", p.user, o.source, o.from.Sub(zero), o.to.Sub(zero), p.source, p.from.Sub(zero))
		}
		for k := int(p.from.Sub(zero) / simTick); k < min(len(v.lacking), int(p.to.Sub(zero)/simTick)); k++ {
			if p.user < wanted[k] {
				v.lacking[k]--
			}
		}
	}
	for _, n := range v.lacking {
		v.without += float64(n) * simTick.Seconds()
	}
	unsaid := 0.0
	for _, src := range s.fleet.all {
		if src == nil || !src.begun || src.fin != nil {
			continue
		}
		until := line.End()
		if !src.dead.IsZero() {
			until = min(until, src.dead.Sub(zero))
		}
		unsaid += s.fleet.userTime(src.edge, until, func(u usersAt) int64 { return u.among(src.has) })
	}
	// Every change of whose a user is takes a turn of the world here, and a message's way.
	slack := float64(most) * 5 * simTick.Seconds() * float64(1+len(s.fleet.log.Changes()))
	for _, l := range s.links { // of m users of whom it is told late each shard begins number 0 at once, and the last one an m-th before the end
		slack += float64(l.lates*l.host.shards) * moveTime.Seconds() / 2
	}
	d := s.fleet.gap.without
	for _, l := range s.links {
		d += l.said
	}
	if v.without < d-slack || v.without > d+unsaid+slack {
		t.Errorf("users that were wanted ran nowhere for %.1f user-seconds; declared are %.1f, and at most %.1f were not said; slack %.1f", v.without, d, unsaid, slack)
	}
	if said := s.fleet.gap.without >= 1; said != slices.ContainsFunc(v.events, func(e string) bool { return strings.Contains(e, "user-seconds in all") }) {
		t.Errorf("%.1f user-seconds are missing, and the diary says %q", s.fleet.gap.without, v.events)
	}
}

func promptOf(peer, text string) sshproc.Prompt { return sshproc.Prompt{Peer: peer, Text: text} }
