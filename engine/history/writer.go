package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lt/engine/ledger"
)

// suffix of a record's name.
const suffix = ".lt"

// Trailer is what a list of runs shows of one, so that it need not be read as a whole. Its figures are those of the summary, but for
// Duration, which is that of the whole run, its drain among it.
type Trailer struct {
	Duration  time.Duration `json:"duration_ns"`
	Requests  uint64        `json:"requests"`
	P99       time.Duration `json:"p99_ns"`       // response time; 0: nothing was answered or waited for in vain
	AtLeast   bool          `json:"p99_at_least"` // dropped arrivals reach it: it is only a lower bound
	Ended     ledger.Ended  `json:"ended"`
	SLO       ledger.Judged `json:"slo"`
	Generator string        `json:"generator"` // ok, strained, saturated
	Complete  bool          `json:"complete"`  // the data
}

// Writer writes one record. It belongs to one goroutine. As long as it can write, whoever lists the runs sees this one as
// running: the file is locked.
type Writer struct {
	f      File
	path   string
	note   string
	ledger *ledger.Ledger
	buf    []byte
	size   int64 // of the frames that are on disk whole
	ended  bool
	err    error // the first one; nothing is written after it
	closed bool  // f
}

// File is what a Writer needs of an os.File.
type File interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// Create begins the record of a run in the folder dir of a user's state (see Dir), and lets the oldest runs go if there
// are too many. The file and its folders can be read by their owner only.
func Create(dir string, h ledger.Header) (*Writer, error) {
	runs := filepath.Join(dir, runsFolder)
	if err := os.MkdirAll(runs, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the runs: %w", err)
	}
	note := ""
	switch gone, err := Prune(dir, maxRuns-1, maxBytes); {
	case err != nil:
		note = "old runs stay on disk: " + err.Error()
	case len(gone) > 0:
		note = fmt.Sprintf("%d of the oldest runs were removed from %s: %d runs and %d GiB are kept", len(gone), runs, maxRuns, maxBytes>>30)
	}
	path := filepath.Join(runs, fileName(h))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create the record: %w", err)
	}
	// Without locks, as on some network file systems, readers go by when the record was written to.
	_ = lock(f)
	w, err := NewWriter(f, path, h)
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	w.note = note
	return w, nil
}

// NewWriter begins a record in a file that is open, empty and at path.
func NewWriter(f File, path string, h ledger.Header) (*Writer, error) {
	w := &Writer{f: f, path: path, buf: []byte(magic)}
	var err error
	if w.buf, err = appendFrame(w.buf, kindHeader, appendJSON(h)); err != nil {
		return nil, fmt.Errorf("write the record's header: %w", err)
	}
	if n := len(w.buf) - len(magic) - overhead; n > maxHeader {
		return nil, fmt.Errorf("write the record's header: it has %d bytes, and %d are the most", n, maxHeader)
	}
	return w, w.flush()
}

// fileName is 2026-11-21T04-55-01_name_id.lt: sorted by time, told apart by the id, readable in between. The time is UTC.
func fileName(h ledger.Header) string {
	return h.Started.UTC().Format(stamp) + "_" + shortName(h.Name) + "_" + h.ID + suffix
}

// shortName is the name of a run as it stands in that of a file.
func shortName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, name)
	for strings.Contains(name, "--") {
		name = strings.ReplaceAll(name, "--", "-")
	}
	name = strings.Trim(name[:min(len(name), 40)], "-")
	if name == "" {
		name = "run"
	}
	return name
}

const stamp = "2006-01-02T15-04-05"

// Path is where the record is.
func (w *Writer) Path() string { return w.path }

// Note is a sentence about old runs that had to go when the record was created; empty if none had to.
func (w *Writer) Note() string { return w.note }

// Behind lets a goroutine of its own write the file from now on, so that a disk that hangs holds up neither Add nor the end of the
// run: then Close gives up after some seconds with ErrHung, and the goroutine ends when the disk answers, if it ever does. What waits
// for the disk is bounded; beyond that the record is cut short with ErrBehind, as by a full disk. An error of the disk is that of a later
// Add, or of Close.
func (w *Writer) Behind() {
	if !w.closed {
		w.f = newBehind(w.f, w.size)
	}
}

// Follow tells the writer which ledger adds up the run: the trailer, which lists show, is taken from it when the record is
// closed, and the ledger can from now on replay what was written.
func (w *Writer) Follow(l *ledger.Ledger) {
	w.ledger = l
	l.SetReplay(func(yield func(ledger.Item) error) error {
		if b, ok := w.f.(*behind); ok && !w.closed {
			if err := b.Sync(); err != nil {
				return fmt.Errorf("read the record again: %w", err)
			}
		}
		return replayFile(w.path, yield)
	})
}

// Add appends an item; when it returns, the operating system has it, or will within moments (see Behind). Nothing of the item is
// kept. After an error, such as a full disk, the record ends behind its last whole item, and Add does nothing more but return the
// error again.
func (w *Writer) Add(item ledger.Item) error {
	switch {
	case w.err != nil:
		return w.err
	case w.closed:
		return fmt.Errorf("write the record %s: it is closed", w.path)
	}
	var err error
	if w.buf, err = appendItem(w.buf, item); err != nil {
		return w.fail(err)
	}
	if _, ok := item.(*ledger.End); ok {
		w.ended = true
	}
	return w.flush()
}

// Err is why the record does not hold all of the run so far; nil: it does. It is for the goroutine that the writer belongs to.
func (w *Writer) Err() error { return w.err }

func (w *Writer) flush() error {
	if _, err := w.f.Write(w.buf); err != nil {
		return w.fail(err)
	}
	w.size += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

// fail ends the record where it stands: what was torn goes, and with the file its lock, so that the run is not said to be
// written any more. Neither can be helped if it fails as well, and readers cope with both.
func (w *Writer) fail(err error) error {
	w.err = fmt.Errorf("write the record: %w", err)
	_ = w.f.Truncate(w.size)
	_ = w.f.Close()
	w.closed = true
	return w.err
}

// Close ends the record: the trailer if the run came to its end and a ledger followed it, and everything on disk. Only the
// first call does anything; where writing failed it returns that error.
func (w *Writer) Close() error {
	if w.closed {
		return w.err
	}
	if w.ended && w.ledger != nil {
		if err := w.finish(); err != nil {
			return err
		}
	}
	w.closed = true
	if err := w.f.Sync(); err != nil {
		w.err = fmt.Errorf("bring the record to disk: %w", err)
		_ = w.f.Truncate(w.size) // where it was a write behind that failed, after all that was added, its torn end goes here
	}
	if err := w.f.Close(); err != nil && w.err == nil {
		w.err = fmt.Errorf("close the record: %w", err)
	}
	return w.err
}

// Discard closes the record and removes it: the run that it was made for never began.
func (w *Writer) Discard() error {
	var err error
	if !w.closed {
		w.closed = true
		err = w.f.Close()
	}
	if !errors.Is(err, ErrHung) { // removing it would hang as well
		err = errors.Join(err, os.Remove(w.path))
	}
	if err != nil {
		return fmt.Errorf("remove the record of a run that never began: %w", err)
	}
	return nil
}

func (w *Writer) finish() error {
	var err error
	if w.buf, err = appendFrame(w.buf, kindTrailer, appendJSON(trailerOf(w.ledger))); err != nil {
		return w.fail(err)
	}
	w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(len(w.buf)))
	w.buf = append(w.buf, footer...)
	return w.flush()
}

// trailerOf sums up a run.
func trailerOf(l *ledger.Ledger) Trailer {
	s := l.Snapshot()
	response := &s.Totals.Response
	complete, _, _ := l.Data()
	t := Trailer{
		Duration: l.Now(), Requests: s.Totals.Requests, P99: response.P99, AtLeast: response.LowerBound(response.P99),
		SLO: l.Judged(), Generator: s.Verdict.Health.String(), Complete: complete,
	}
	if end, ok := l.End(); ok {
		t.Ended = end.Ended
	}
	return t
}
