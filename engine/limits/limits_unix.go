//go:build unix

package limits

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Files are the soft and the hard limit of open files, at most 2^30 each.
func Files() (soft, hard int, err error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	return clampInt(uint64(l.Cur)), clampInt(mostFiles(uint64(l.Max))), nil
}

// RaiseFiles lifts the soft limit of open files to the hard one and returns what it is then. The Go runtime does so when a
// program begins; this makes sure of it, and tells whoever asks that it could not be done.
func RaiseFiles() (soft int, err error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	if most := mostFiles(uint64(l.Max)); uint64(l.Cur) < most {
		was := l.Cur
		l.Cur = most
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			return clampInt(uint64(was)), fmt.Errorf("raise the limit of open files from %d to %d: %w", was, most, err)
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
