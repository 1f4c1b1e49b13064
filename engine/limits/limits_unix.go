//go:build unix

package limits

import (
	"time"

	"golang.org/x/sys/unix"
)

// Files are the soft and the hard limit of open files.
func Files() (soft, hard int, err error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, 0, err
	}
	return clampInt(uint64(l.Cur)), clampInt(uint64(l.Max)), nil
}

// RaiseFiles lifts the soft limit of open files to the hard one and returns what it is then. Go does the same at the start
// of a program, but a program started by one that changed the limit may have a lower one.
func RaiseFiles() (soft int, err error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, err
	}
	if l.Cur < l.Max {
		l.Cur = l.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			return 0, err
		}
	}
	return clampInt(uint64(l.Cur)), nil
}

func clampInt(n uint64) int { return int(min(n, 1<<30)) }

func processCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
