package history

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"lt/engine/ledger"
	"lt/engine/ledger/ledgertest"
)

// hanging is a file on a disk that does not answer as long as it is told so; closed says when it was closed.
type hanging struct {
	File
	hang   chan struct{} // nil: it answers
	closed atomic.Bool
}

func (f *hanging) wait() {
	if f.hang != nil {
		<-f.hang
	}
}

func (f *hanging) Write(b []byte) (int, error) { f.wait(); return f.File.Write(b) }
func (f *hanging) Sync() error                 { f.wait(); return f.File.Sync() }
func (f *hanging) Truncate(size int64) error   { f.wait(); return f.File.Truncate(size) }
func (f *hanging) Close() error                { f.wait(); f.closed.Store(true); return f.File.Close() }

// hung is the record of a run on a disk that hangs once its header is written.
func hung(t *testing.T, h ledger.Header) (*Writer, *hanging) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.lt")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	disk := &hanging{File: f}
	w, err := NewWriter(disk, path, h)
	if err != nil {
		t.Fatal(err)
	}
	disk.hang = make(chan struct{})
	w.Behind()
	return w, disk
}

// A disk that hangs holds nobody up, and if it answers again nothing is missing.
func TestDiskThatAnswersAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, items := ledgertest.Run(ledgertest.Options{})
		w, disk := hung(t, h)
		l, err := ledger.New(h)
		if err != nil {
			t.Fatal(err)
		}
		w.Follow(l)
		begun := time.Now()
		for _, it := range items {
			if err := w.Add(it); err != nil {
				t.Fatal(err)
			}
			l.Add(it)
		}
		if passed := time.Since(begun); passed > 0 {
			t.Errorf("whoever adds waited %v for the disk", passed)
		}
		time.AfterFunc(patience-time.Second, func() { close(disk.hang) })
		if err := l.Replay(func(ledger.Item) error { return nil }); err != nil {
			t.Errorf("what is read again waits for the disk: %v", err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		read, e, err := openPath(w.Path())
		if err != nil || e.State != Finished || e.Torn != "" || read.Snapshot().Totals.Requests != l.Snapshot().Totals.Requests {
			t.Errorf("%s, %q, %v", e.State, e.Torn, err)
		}
	})
}

// The end of a run does not wait for longer than it says, whatever hangs; what the disk takes later can be read.
func TestDiskThatHangsAtTheEnd(t *testing.T) {
	for _, early := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			h, items := ledgertest.Run(ledgertest.Options{})
			w, disk := hung(t, h)
			if early {
				close(disk.hang)
				disk.hang = nil
			}
			for _, it := range items {
				if err := w.Add(it); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			if early { // all is written, and the question whether it is on the disk hangs
				disk.hang = make(chan struct{})
			}
			begun := time.Now()
			if err := w.Close(); !errors.Is(err, ErrHung) || !errors.Is(w.Err(), ErrHung) {
				t.Errorf("close: %v, then %v", err, w.Err())
			}
			if passed := time.Since(begun); passed != patience {
				t.Errorf("the end took %v", passed)
			}
			if disk.closed.Load() {
				t.Error("the file is closed, and the disk never answered")
			}
			close(disk.hang)
			synctest.Wait()
			if !disk.closed.Load() {
				t.Error("the disk answered, and the file was not closed")
			}
			if l, e, err := openPath(w.Path()); err != nil || e.State != Finished || l.Snapshot().Totals.Requests != 25*50 {
				t.Errorf("%s, %v: what the disk took late is the whole record", e.State, err)
			}
		})
	}
}

// What waits for a disk is bounded: beyond that the record ends as on a full one, and says so at once.
func TestDiskThatIsTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, items := ledgertest.Run(ledgertest.Options{})
		w, disk := hung(t, h)
		long := &ledger.Event{Kind: ledger.EventNote, Text: strings.Repeat("x", 500_000)}
		for _, it := range items[:10] {
			if err := w.Add(it); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		n := 0
		for ; err == nil && n < 100; n++ {
			err = w.Add(long)
		}
		if !errors.Is(err, ErrBehind) || n*500_000 < mostWaiting || !errors.Is(w.Close(), ErrBehind) {
			t.Fatalf("after %d long items: %v", n, err)
		}
		close(disk.hang)
		synctest.Wait()
		whole := 0
		if err := replayFile(w.Path(), func(ledger.Item) error { whole++; return nil }); err != nil || whole != 10+n-1 || !disk.closed.Load() {
			t.Errorf("%d items are whole, %v; want all that were taken", whole, err)
		}
		if _, e, err := openPath(w.Path()); err != nil || !strings.Contains(e.Torn, "has no end") {
			t.Errorf("%q, %v; want a record without an end, and nothing torn", e.Torn, err)
		}
	})
}

// A full disk is told by the next item or by the end, and nothing is torn.
func TestFullDiskBehind(t *testing.T) {
	dir, w, items := fullDisk(t)
	w.Behind()
	var err error
	for _, it := range items {
		if err = w.Add(it); err != nil {
			break
		}
	}
	if closed := w.Close(); !errors.Is(closed, syscall.ENOSPC) || err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("add: %v, close: %v", err, closed)
	}
	if _, e, err := Open(dir, "last"); err != nil || e.State != Interrupted || !strings.Contains(e.Torn, "has no end") {
		t.Errorf("%s, %q, %v; want a record without an end, and nothing torn", e.State, e.Torn, err)
	}
}

// The record of a run that never began goes; if the disk hangs it stays, and nobody waits for it twice.
func TestDiscardBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := ledgertest.Run(ledgertest.Options{})
		w, disk := hung(t, h)
		begun := time.Now()
		if err := w.Discard(); !errors.Is(err, ErrHung) || time.Since(begun) != patience {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		close(disk.hang)
		w, disk = hung(t, h)
		close(disk.hang)
		if err := w.Discard(); err != nil || !disk.closed.Load() {
			t.Error(err)
		}
		if _, err := os.Stat(w.Path()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it is still there: %v", err)
		}
	})
}
