package load

import (
	"math"
	"sync/atomic"
	"time"
)

// Lease is a source's right to begin iterations, up to a run time. It exists because a remote source can lose the
// machine that started it and notice nothing: the network falls silent, a process is stopped and goes on minutes later.
// Without it such a source would send for ever, and what it sends would double the share that others took over. So the
// right ends by itself and is looked at before every single start, never by a timer alone, which a stopped process
// would see too late. Who grants it may hand the share to others once it is surely over.
//
// The zero value is over from the start. All methods are safe for concurrent use; Over is one atomic load.
type Lease struct {
	until   atomic.Int64 // run time in nanoseconds
	watcher atomic.Pointer[func(was time.Duration)]
}

// Watch has f called whenever the end has moved, by Extend or Revoke, with the end before: so whoever waits for a lease that is
// over need not look at it again and again. It is called by whoever moves the end, who may hold locks, after the new end can be
// seen; it must not block. A lease has one watcher; nil: none.
func (l *Lease) Watch(f func(was time.Duration)) {
	if f == nil {
		l.watcher.Store(nil)
		return
	}
	l.watcher.Store(&f)
}

// moved tells the watcher.
func (l *Lease) moved(was int64) {
	if f := l.watcher.Load(); f != nil {
		(*f)(time.Duration(was))
	}
}

// Extend moves the end to the run time until. A lease never becomes shorter this way: an earlier end is ignored, since
// extensions may overtake each other. After Revoke it does nothing.
func (l *Lease) Extend(until time.Duration) {
	for {
		old := l.until.Load()
		if old == revoked || int64(until) <= old {
			return
		}
		if l.until.CompareAndSwap(old, int64(until)) {
			l.moved(old)
			return
		}
	}
}

// Forever is for the source in the same process as the run: it dies with it.
func (l *Lease) Forever() { l.Extend(Never) }

// revoked stands for the end of a lease that Revoke has ended: before any run time, that before the start included.
const revoked = math.MinInt64

// Revoke ends the lease at once and for good, whatever it said: nothing extends it any more. It is for a source that finds out
// that run time stood still while the world went on, as the monotonic clock does in a machine that sleeps: by that clock
// the lease would last on, and extensions may be under way that were meant for the time before.
func (l *Lease) Revoke() { l.moved(l.until.Swap(revoked)) }

// Revoked says whether Revoke was called.
func (l *Lease) Revoked() bool { return l.until.Load() == revoked }

// Until is the run time at which the lease ends.
func (l *Lease) Until() time.Duration { return time.Duration(l.until.Load()) }

// Over says whether nothing may begin any more at the run time now.
func (l *Lease) Over(now time.Duration) bool { return int64(now) >= l.until.Load() }
