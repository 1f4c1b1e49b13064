package wire

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now is the clock of a peer: monotonic, and it goes on while the machine sleeps, so that a lease runs out in its sleep. Go's own
// clock stands still then, and so would CLOCK_UPTIME_RAW.
func Now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &t); err != nil {
		return sinceStart() // a sandbox without it
	}
	return time.Duration(t.Nano())
}
