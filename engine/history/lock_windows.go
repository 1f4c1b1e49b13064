package history

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// beyond is the byte that is locked: locks are mandatory here, and no record reaches so far, so reading goes on.
func beyond() *windows.Overlapped { return &windows.Overlapped{OffsetHigh: 1 << 30} }

// lock marks a record as being written; it ends when the file is closed, and with the process however that ends. It waits
// for a reader that is just looking.
func lock(f *os.File) error {
	if err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, beyond()); err != nil {
		return fmt.Errorf("lock the record: %w", err)
	}
	return nil
}

// locked reports whether somebody writes a record. The error says that the file system knows no locks.
func locked(f *os.File) (bool, error) {
	h := windows.Handle(f.Fd())
	err := windows.LockFileEx(h, windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, beyond())
	switch {
	case err == nil:
		return false, windows.UnlockFileEx(h, 0, 1, 0, beyond())
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION):
		return true, nil
	}
	return false, fmt.Errorf("look for the lock of the record: %w", err)
}
