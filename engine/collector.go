package engine

import (
	"fmt"
	"time"

	"lt/engine/limits"
	"lt/engine/metrics"
)

const (
	// fullAt is the share of the memory limit above which no new users begin; drainAt that above which the run is ended.
	fullAt  = 0.90
	drainAt = 0.97
	// shortest is the shortest time over which a share of the CPU says something. The last interval of a run may be a
	// millisecond long and all of it work; it takes over what held before it.
	shortest = intervalLength / 2
)

// collect joins the shards' parts of each interval, adds the audit, and hands the interval over. It ends when every shard
// has handed over its last part.
func (e *Engine) collect(shards []*shard) {
	woken := e.await()
	audit := newAudit(e, shards)
	done := make([]bool, len(shards))
	for open := len(shards); open > 0; woken = false {
		if !woken {
			<-e.wake
		}
		for open > 0 {
			whole := e.next(done)
			if whole == nil {
				break
			}
			for i, part := range whole {
				if part != nil && part.Final {
					done[i] = true
					open--
				}
			}
			e.deliver(audit, whole, open == 0)
		}
	}
}

// await waits for run time zero, from which on the source's health is measured; true: an interval came before it, because the
// run was ended.
func (e *Engine) await() bool {
	t := time.NewTimer(time.Until(e.epoch))
	defer t.Stop()
	select {
	case <-t.C:
		return false
	case <-e.wake:
		return true
	}
}

// next takes the oldest part of every shard that is still at work; nil if one of them has not handed it over yet.
func (e *Engine) next(done []bool) []*metrics.Interval {
	e.handover.Lock()
	defer e.handover.Unlock()
	for i := range e.parts {
		if !done[i] && len(e.parts[i]) == 0 {
			return nil
		}
	}
	whole := make([]*metrics.Interval, len(e.parts))
	for i := range e.parts {
		if !done[i] {
			whole[i] = e.parts[i][0]
			e.parts[i] = e.parts[i][1:]
		}
	}
	return whole
}

// deliver merges one interval's parts and gives it to whoever asked for it.
func (e *Engine) deliver(a *audit, whole []*metrics.Interval, last bool) {
	var iv *metrics.Interval
	for _, part := range whole {
		switch {
		case part == nil:
		case iv == nil:
			iv = part
		default:
			iv.Merge(part)
			part.Release(e.pages)
		}
	}
	iv.Final = last
	if last {
		relieved := uint64(0)
		for _, s := range a.shards {
			relieved += s.relieved
		}
		if relieved > 0 {
			iv.Notes = append(iv.Notes, fmt.Sprintf("%d connections were closed while their users paused, because the limit of open files was near", relieved))
		}
	}
	own, hit := iv.Audit.OwnErrors, iv.Audit.LimitHit
	before := a.last.Pressure
	iv.Audit = a.read(iv.Opened)
	iv.Audit.OwnErrors, iv.Audit.LimitHit = own, hit
	e.guardMemory(before, a.last.Pressure)
	e.cfg.OnInterval(iv)
}

// guardMemory gives up new users before memory runs out, and then the run. used and before are shares of the limit, now and when it
// was last looked at: what grows as fast as it did may be above the mark when it is looked at again.
func (e *Engine) guardMemory(before, used float64) {
	growth := max(0, used-before)
	if used+growth > fullAt && !e.guard.full.Swap(true) {
		text := "memory is above 90 % of the limit: no new virtual users begin"
		if used <= fullAt {
			text = fmt.Sprintf("memory is at %.0f %% of the limit and grew by %.0f %% in a second: no new virtual users begin", 100*used, 100*growth)
		}
		e.cfg.OnGuard(text, false)
	}
	if used > drainAt && !e.guard.drained.Swap(true) {
		e.cfg.OnGuard("memory is above 97 % of the limit: the run is drained and reported", true)
	}
	if used+growth < fullAt-0.05 {
		e.guard.full.Store(false)
	}
}

// audit reads this source's own health once an interval.
type audit struct {
	e      *Engine
	shards []*shard
	last   limits.Reading
	at     time.Time
	polled time.Duration
	cpu    []time.Duration
	poll   []time.Duration
	opened [60]uint64 // connections of the last intervals: a port waits about so long after its use
	turn   int
	before metrics.Audit // what was returned last
}

func newAudit(e *Engine, shards []*shard) *audit {
	return &audit{e: e, shards: shards, last: e.cfg.Reading(), at: time.Now(), cpu: make([]time.Duration, len(shards)), poll: make([]time.Duration, len(shards))}
}

// read returns what happened since it was last called; opened is how many connections that made.
func (a *audit) read(opened uint64) metrics.Audit {
	now, r := time.Now(), a.e.cfg.Reading()
	a.opened[a.turn] = opened
	a.turn = (a.turn + 1) % len(a.opened)
	ours := r.Files // others on this machine use ports too
	for _, n := range a.opened {
		ours += int(n)
	}
	d := now.Sub(a.at).Seconds()
	if d <= 0 {
		d = intervalLength.Seconds()
	}
	var polled time.Duration
	busiest := 0.0
	for i, s := range a.shards {
		p := s.loop.Polled()
		polled += p
		if cpu, ok := s.loop.ThreadCPU(); ok {
			busiest = max(busiest, (cpu-a.cpu[i]-(p-a.poll[i])).Seconds()/d)
			a.cpu[i] = cpu
		}
		a.poll[i] = p
	}
	out := metrics.Audit{
		CPU:      max(0, (r.CPU-a.last.CPU-(polled-a.polled)).Seconds()/d),
		ShardCPU: max(0, busiest), Cores: limits.Cores(),
		GCPauseP99: r.GCPauseP99, GCShare: r.GCShare, SchedP99: r.SchedP99,
		Steal: r.Steal(a.last), Throttled: r.ThrottledShare(a.last),
		Memory: r.Memory, MemLimit: r.MemLimit,
		Files: r.Files, FileLimit: r.FileLimit, Ports: min(r.Ports, ours), PortLimit: r.PortLimit * a.e.origins.ways(),
	}
	if d < shortest.Seconds() && a.before.Cores > 0 {
		out.CPU, out.ShardCPU, out.GCShare, out.Steal, out.Throttled = a.before.CPU, a.before.ShardCPU, a.before.GCShare, a.before.Steal, a.before.Throttled
	}
	a.last, a.at, a.polled, a.before = r, now, polled, out
	return out
}
