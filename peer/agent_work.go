package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lt/engine"
	"lt/engine/load"
	"lt/engine/redact"
	"lt/peer/wire"
)

// work runs the engine, waits until all of its figures are known to the coordinator, and gives the account.
func (a *agent) work(ended chan<- struct{}) {
	err := a.engine.Run(context.Background(), a.epoch)
	close(ended)
	fin := &wire.Fin{}
	a.mu.Lock()
	a.phase, a.done = finished, time.Now()
	switch {
	case a.stopped != "":
		fin.Err = a.stopped
	case errors.Is(err, engine.ErrLapsed):
		fin.Lapsed, a.lapsed = true, true
	case err != nil:
		fin.Err = redact.Neutralise(a.redact.Text(err.Error()))
	}
	a.mu.Unlock()
	if a.c.Runs != nil {
		a.c.Runs.Idle(a.incarnation)
	}
	if fin.Lapsed {
		a.tell("the lease was over, and nothing begins any more: the coordinator was not heard for too long, or this machine slept")
	}
	a.outbox.Seal()
	a.nudge()
	if a.outbox.Wait(a.life) == nil {
		fin.Totals, fin.LastSeq = a.outbox.Account()
		a.voice.finish(*fin)
	}
}

// watch looks after what the engine does not look after, until it has ended.
func (a *agent) watch(ended <-chan struct{}) {
	a.mu.Lock()
	spec, replica, epoch, e := &a.job.File.Load, a.replica, a.epoch, a.engine
	a.mu.Unlock()
	most := quota{log: replica.log, source: replica.source}
	// By how much our clock is ahead of run time. Our clock goes on while the machine sleeps, and run time does not.
	ahead := func() time.Duration {
		now := time.Since(epoch)
		return a.c.Clock() - now
	}
	first := ahead()
	t := time.NewTicker(50 * time.Millisecond) // for so long a machine may send that wakes up
	defer t.Stop()
	halt := func(why string) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.halt(why)
	}
	for n := 1; ; n++ {
		select {
		case <-t.C:
		case <-ended:
			return
		}
		if slept := ahead() - first; slept > sleepAfter {
			a.tell(fmt.Sprintf("this machine slept for %s, and its run time stood still: it takes no part any more", slept.Round(time.Millisecond)))
			a.lease.Revoke()
			first += slept
		}
		now := time.Since(epoch)
		if p := a.c.Policy; p != nil && p.MaxDuration > 0 && now > p.MaxDuration && replica.log.Timeline().End() > p.MaxDuration {
			halt(fmt.Sprintf("the run was held and goes on for longer than max_duration %s, which is what the owner of this machine allows", p.MaxDuration))
		}
		if n%20 > 0 {
			continue
		}
		if n%touchTicks == 0 && a.c.Runs != nil {
			a.c.Runs.Touch(a.incarnation)
		}
		if spec.Model == load.Open {
			begun := e.Begun()
			a.mu.Lock() // the log and what was reached belong together
			allowed := most.at(now, replica.reached)
			a.mu.Unlock()
			if int64(begun) > allowed {
				halt(fmt.Sprintf("it began %d arrivals, and %d were planned until then: this is an error of lt", begun, most.planned))
			}
		}
		if end := replica.log.Timeline().End(); end < load.Never-time.Hour && now > end+spec.Graceful+overtime {
			halt(fmt.Sprintf("it went on for %s after its planned end: this is an error of lt", (now - end).Round(time.Second)))
		}
	}
}

// needed says why the process is of no use any more; nil if it is. attached: there is a session; silent: for how long nothing was
// heard.
func (a *agent) needed(attached bool, silent time.Duration) error {
	left := a.leaseLeft()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.phase == idle && !attached:
		return exit(ExitProtocol, "the coordinator was gone before there was a job")
	case a.phase < running && !attached && left <= 0, a.phase < running && silent > max(silentIdle, left):
		return exit(ExitLapsed, "nothing was heard of the coordinator for %s before the start", silent.Round(time.Second))
	}
	kept := keptFor
	if a.cut && !attached {
		kept = keptAfterCut
	}
	if a.phase == finished && min(silent, time.Since(a.done)) > kept {
		return exit(ExitLapsed, "nobody came for what was measured in %s", kept)
	}
	return nil
}

// result is how the process ends after a bye.
func (a *agent) result() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.lapsed:
		return exit(ExitLapsed, "the lease was over")
	case a.stopped != "":
		return exit(ExitLapsed, "%s", a.stopped)
	}
	return nil
}

// end ends whatever goes on and waits for it.
func (a *agent) end() {
	a.mu.Lock()
	if a.phase == running {
		a.engine.Cut()
	}
	a.mu.Unlock()
	a.die()
	a.works.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hard.Stop()
}
