package wire

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now is the clock of a peer: monotonic, and it goes on while the machine is suspended, so that a lease runs out in its sleep.
func Now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return sinceStart() // a kernel or sandbox without it
	}
	return time.Duration(t.Nano())
}
