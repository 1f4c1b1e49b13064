package history

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

const (
	logName = "log"
	maxLog  = 4 << 20 // bytes, from which the log is put aside when it is opened
	oldLogs = 2       // log.1 and log.2
)

// OpenLog opens the log file in a folder of state, for what must not disturb the screen. A log that has grown past 4 MiB becomes
// log.1 first, and that one log.2. The logger may be used from any goroutine; the caller closes the file.
func OpenLog(dir string) (*slog.Logger, io.Closer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make the folder of the log: %w", err)
	}
	path := filepath.Join(dir, logName)
	if outgrown(path) {
		if err := putAside(path); err != nil {
			return nil, nil, fmt.Errorf("put the old log aside: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open the log: %w", err)
	}
	return slog.New(slog.NewTextHandler(f, nil)), f, nil
}

// outgrown reports whether a log has grown as far as it may.
func outgrown(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() >= maxLog
}

// putAside lets a log and those before it move up by one. Runs that begin at the same time do so one after the other, under a lock of
// their folder: twice at once, what has only just become log.1 would push log.2 out.
func putAside(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	// Where there are no locks, as on some network file systems, or none of folders, it is left to chance: a log is no record.
	_ = lock(folder)
	if !outgrown(path) {
		return nil // another run has done it
	}
	for i := oldLogs; i > 0; i-- {
		from := path
		if i > 1 {
			from = fmt.Sprintf("%s.%d", path, i-1)
		}
		if err := os.Rename(from, fmt.Sprintf("%s.%d", path, i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
