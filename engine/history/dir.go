package history

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	runsFolder = "runs"

	// maxRuns and maxBytes are what is kept; the oldest runs beyond them go.
	maxRuns  = 500
	maxBytes = 5 << 30
)

// Dir is the folder of a user's state: $LT_STATE_DIR, else $XDG_STATE_HOME/lt, else ~/.local/state/lt. It need not exist.
func Dir(getenv func(string) string) (string, error) {
	if d := getenv("LT_STATE_DIR"); d != "" {
		return filepath.Abs(d)
	}
	if d := getenv("XDG_STATE_HOME"); filepath.IsAbs(d) { // a relative one is invalid and ignored, says the XDG specification
		return filepath.Join(d, "lt"), nil
	}
	if h := getenv("HOME"); filepath.IsAbs(h) {
		return filepath.Join(h, ".local", "state", "lt"), nil
	}
	if h, err := os.UserHomeDir(); err == nil && filepath.IsAbs(h) {
		return filepath.Join(h, ".local", "state", "lt"), nil
	}
	return "", errNoDir
}

var errNoDir = errors.New("there is no home directory to keep runs in; set LT_STATE_DIR to a folder")

// record is a file among the runs, as its name and its directory entry tell.
type record struct {
	path    string
	started time.Time // UTC
	name    string
	id      string
	size    int64
	changed time.Time
}

// records are the runs in a folder, the newest first. Files of other names are left alone.
func records(dir string) ([]record, error) {
	folder := filepath.Join(dir, runsFolder)
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the runs: %w", err)
	}
	var all []record
	for _, e := range entries {
		r, ok := parseName(e.Name())
		if !ok || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // gone since
		}
		r.path, r.size, r.changed = filepath.Join(folder, e.Name()), info.Size(), info.ModTime()
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b record) int {
		return cmp.Or(b.started.Compare(a.started), b.changed.Compare(a.changed), strings.Compare(b.id, a.id))
	})
	return all, nil
}

// parseName takes apart what fileName made.
func parseName(name string) (record, bool) {
	stem, ok := strings.CutSuffix(name, suffix)
	if !ok || len(stem) < len(stamp)+4 {
		return record{}, false
	}
	at, err := time.Parse(stamp, stem[:len(stamp)])
	if err != nil || stem[len(stamp)] != '_' {
		return record{}, false
	}
	rest := stem[len(stamp)+1:]
	i := strings.LastIndexByte(rest, '_')
	if i < 1 || i == len(rest)-1 {
		return record{}, false
	}
	return record{started: at, name: rest[:i], id: rest[i+1:]}, true
}

// Prune removes the oldest runs until at most runs of them, together of at most bytes, are left, and says which went. The newest
// one always stays, and so do those that are being written. What cannot be removed is in the error; the others go all the same.
func Prune(dir string, runs int, bytes int64) (gone []string, err error) {
	all, err := records(dir)
	if err != nil {
		return nil, err
	}
	var sum int64
	for i, r := range all {
		sum += r.size
		if i == 0 || i < runs && sum <= bytes || r.running() {
			continue
		}
		if e := os.Remove(r.path); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("let an old run go: %w", e))
			continue
		}
		gone = append(gone, filepath.Base(r.path))
	}
	return gone, err
}

// running reports whether a record is being written.
func (r *record) running() bool {
	f, err := os.Open(r.path)
	if err != nil {
		return false
	}
	defer f.Close()
	return written(f, r.changed)
}

// fresh is how recently a run that goes on has written something, where there are no locks to tell: it writes every second,
// or every five over a slow link.
const fresh = 10 * time.Second

// written reports whether a record that was changed then is being written.
func written(f *os.File, changed time.Time) bool {
	is, err := locked(f)
	if err != nil {
		return time.Since(changed) < fresh
	}
	return is
}
