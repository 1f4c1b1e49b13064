//go:build unix

package history

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lock marks a record as being written, by an advisory lock that goes with the file: it ends when the file is closed, and
// with the process however that ends. It waits for a reader that is just looking.
func lock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock the record: %w", err)
		}
	}
}

// locked reports whether somebody writes a record. The error says that the file system knows no locks.
func locked(f *os.File) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		switch {
		case err == nil:
			return false, unix.Flock(int(f.Fd()), unix.LOCK_UN)
		case errors.Is(err, unix.EWOULDBLOCK):
			return true, nil
		case !errors.Is(err, unix.EINTR):
			return false, fmt.Errorf("look for the lock of the record: %w", err)
		}
	}
}
