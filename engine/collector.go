package engine

import (
	"fmt"
	"time"

	"lt/engine/limits"
	"lt/engine/metrics"
)

// shortest is the shortest time over which a share of the CPU says something. The last interval of a run may be a
// millisecond long and all of it work; it takes over what held before it.
const shortest = intervalLength / 2

// collect joins the shards' parts of each interval, adds the audit, and hands the interval over; between them it looks after the
// memory. It ends when every shard has handed over its last part.
func (e *Engine) collect(shards []*shard) {
	woken := e.await()
	audit := newAudit(e, shards)
	memory := watchMemory(e)
	defer memory.close()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	done := make([]bool, len(shards))
	for open := len(shards); open > 0; woken = false {
		if !woken {
			select {
			case <-e.wake:
			case <-look.C:
				memory.look()
				continue
			}
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
	if text := e.still.told(e.cfg.Name, e.cfg.Lease.Over(time.Since(e.epoch)), last); text != "" {
		iv.Notes = append(iv.Notes, text)
	}
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
	iv.Audit = a.read(iv.Opened)
	iv.Audit.OwnErrors, iv.Audit.LimitHit = own, hit
	e.cfg.OnInterval(iv)
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
