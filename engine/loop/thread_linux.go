package loop

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// threadClock reads the CPU clock of the loop's thread from any thread of the
// process.
type threadClock struct {
	id    atomic.Int64 // the clock's number; 0: no thread, now is in used
	known atomic.Bool
	start atomic.Int64 // ns that the thread had used before Run
	spent atomic.Int64 // ns, once Run has ended
}

// begin counts from here on, on the calling thread.
func (t *threadClock) begin() {
	// The kernel's name for the CPU clock of a thread: the inverted thread id
	// above three bits that say "per thread" and "as the scheduler counts"
	// (include/linux/posix-timers_types.h, CPUCLOCK_PERTHREAD_MASK).
	id := int64(^unix.Gettid()<<3 | 4 | 2)
	ns, ok := readClock(id)
	if !ok {
		return
	}
	t.start.Store(ns)
	t.id.Store(id)
	t.known.Store(true)
}

// end keeps the count, since the thread will serve others.
func (t *threadClock) end() {
	if d, ok := t.used(); ok {
		t.spent.Store(int64(d))
		t.id.Store(0)
	}
}

func (t *threadClock) used() (time.Duration, bool) {
	if !t.known.Load() {
		return 0, false
	}
	if id := t.id.Load(); id != 0 {
		ns, ok := readClock(id)
		return time.Duration(ns - t.start.Load()), ok
	}
	return time.Duration(t.spent.Load()), true
}

func readClock(id int64) (ns int64, ok bool) {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(id), &ts); err != nil {
		return 0, false
	}
	return ts.Nano(), true
}
