//go:build unix

package wire

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is how much processor time this process has used.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	used, err := ownCPU()
	if err != nil {
		t.Fatal(err)
	}
	return used
}

func ownCPU() (time.Duration, error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0, err
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), nil
}
