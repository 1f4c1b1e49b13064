package history

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"lt/engine/ledger"
	"lt/engine/ledger/ledgertest"
	"lt/engine/metrics"
)

// write records a run as a live one would be, and returns the path and the ledger that went with it.
func write(t testing.TB, dir string, o ledgertest.Options, change func(*ledger.Header)) (string, *ledger.Ledger) {
	t.Helper()
	h, items := ledgertest.Run(o)
	if change != nil {
		change(&h)
	}
	l, err := ledger.New(h)
	if err != nil {
		t.Fatal(err)
	}
	w, err := Create(dir, h)
	if err != nil {
		t.Fatal(err)
	}
	w.Follow(l)
	for _, it := range items {
		if err := w.Add(it); err != nil {
			t.Fatal(err)
		}
		l.Add(it)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.Path(), l
}

func TestWhatIsReadIsWhatWasRun(t *testing.T) {
	dir := t.TempDir()
	path, live := write(t, dir, ledgertest.Options{SLO: []string{"p99 < 60ms over 5s", "errors < 10%"}, Sources: []string{"local", "ada"}, Pause: true, Dropped: 2}, nil)
	read, e, err := Open(dir, "last")
	if err != nil {
		t.Fatal(err)
	}
	if e.Torn != "" || e.State != Finished || e.Path != path {
		t.Errorf("entry %+v", e)
	}
	if d := cmp.Diff(live.Snapshot(), read.Snapshot(), cmpopts.EquateNaNs()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(live.SLOs(), read.SLOs()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(live.Points(), read.Points()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(live.Events(), read.Events()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(live.Seconds(), read.Seconds(), cmpopts.EquateNaNs()); d != "" {
		t.Error(d)
	}
	a, b := 0, 0
	for l, n := range map[*ledger.Ledger]*int{live: &a, read: &b} {
		if err := l.Replay(func(ledger.Item) error { *n++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if a == 0 || a != b {
		t.Errorf("%d items replayed live, %d from disk", a, b)
	}
}

func TestListReadsTheTrailer(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, ledgertest.Options{SLO: []string{"p99 < 1ms"}}, func(h *ledger.Header) { h.ID = "aaaaa11111" })
	_, live := write(t, dir, ledgertest.Options{Seconds: 10}, func(h *ledger.Header) {
		h.ID, h.Name, h.Started = "aaaaa22222", "Other Name!", h.Started.Add(time.Hour)
	})
	runs, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) != 2 || runs[0].ID != "aaaaa22222" || runs[1].ID != "aaaaa11111" {
		t.Fatalf("want the newest first: %+v", runs)
	}
	if runs[0].Name != "Other Name!" || runs[0].State != Finished {
		t.Errorf("%+v", runs[0])
	}
	s := live.Snapshot()
	if runs[0].Requests != s.Totals.Requests || runs[0].P99 != s.Totals.Response.P99 || runs[0].Duration != live.Now() {
		t.Errorf("trailer %+v differs from the run", runs[0].Trailer)
	}
	if runs[0].AtLeast {
		t.Error("nothing was dropped, and the p99 is only a lower bound")
	}
	if runs[1].SLO != ledger.Fail || runs[0].SLO != ledger.None || !runs[0].Complete {
		t.Errorf("verdicts %+v, %+v", runs[0].Trailer, runs[1].Trailer)
	}
	if base := filepath.Base(runs[0].Path); base != "2026-11-21T05-55-01_other-name_aaaaa22222.lt" {
		t.Errorf("file name %s", base)
	}
	for which, want := range map[string]string{"last": "aaaaa22222", "aaaaa1": "aaaaa11111", "aaaaa22222": "aaaaa22222", "shop-checkout": "aaaaa11111", "Other Name!": "aaaaa22222", runs[1].Path: "aaaaa11111"} {
		if _, e, err := Open(dir, which); err != nil || e.ID != want {
			t.Errorf("open %s: %v, %v; want %s", which, e.ID, err, want)
		}
	}
	if _, _, err := Open(dir, "aaaaa"); err == nil || !strings.Contains(err.Error(), "2 runs") {
		t.Errorf("an ambiguous id: %v", err)
	}
	if _, _, err := Open(dir, "zzz"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unknown id: %v", err)
	}
	if _, e, err := Open("", runs[1].Path); err != nil || e.ID != "aaaaa11111" {
		t.Errorf("a path, and no folder of runs: %v, %v", e.ID, err)
	}
	if _, _, err := Open("", "last"); err == nil || !strings.Contains(err.Error(), "LT_STATE_DIR") {
		t.Errorf("no folder of runs: %v", err)
	}
	if _, _, err := Open(t.TempDir(), "last"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no runs at all: %v", err)
	}
}

// TestEveryPrefixIsReadable cuts a record at every byte of its last part, and at many of the others: what comes out is always a
// whole number of items from the beginning.
func TestEveryPrefixIsReadable(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and on one goroutine")
	}
	path, _ := write(t, t.TempDir(), ledgertest.Options{Seconds: 8}, nil)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, items := ledgertest.Run(ledgertest.Options{Seconds: 8})
	cut := filepath.Join(t.TempDir(), "cut.lt")
	last := -1
	for n := 0; n <= len(whole); n++ {
		if n < len(whole)-300 && n%499 != 0 {
			continue
		}
		if err := os.WriteFile(cut, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		l, e, err := Open("", cut)
		if err != nil {
			if n > 2500 {
				t.Fatalf("cut to %d bytes: %v", n, err)
			}
			continue
		}
		got := 0
		if err := l.Replay(func(ledger.Item) error { got++; return nil }); err != nil {
			t.Fatal(err)
		}
		if got < last || got > len(items) {
			t.Fatalf("cut to %d bytes: %d items after %d", n, got, last)
		}
		last = got
		if _, ended := l.End(); ended != (got == len(items)) {
			t.Fatalf("cut to %d bytes: %d of %d items, ended %v", n, got, len(items), ended)
		}
		if got < len(items) && e.State == Finished {
			t.Fatalf("cut to %d bytes: %+v", n, e)
		}
	}
	if last != len(items) {
		t.Errorf("the whole record has %d items, want %d", last, len(items))
	}
}

// Dropped arrivals make a percentile a lower bound in a list as well.
func TestListTellsALowerBound(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, ledgertest.Options{Dropped: 2}, nil)
	runs, err := List(dir)
	if err != nil || len(runs) != 1 || !runs[0].AtLeast || runs[0].P99 < 10*time.Second {
		t.Errorf("%+v, %v", runs, err)
	}
}

func TestListWithoutATrailer(t *testing.T) {
	dir := t.TempDir()
	h, items := ledgertest.Run(ledgertest.Options{})
	w, err := Create(dir, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		if err := w.Add(it); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	runs, err := List(dir)
	if err != nil || len(runs) != 1 {
		t.Fatal(runs, err)
	}
	if r := runs[0]; r.State != Finished || r.Requests != 25*50 || r.P99 == 0 || r.Ended != ledger.Finished {
		t.Errorf("%+v, want what the items say", r)
	}
}

// A run is running for as long as somebody can write its record, however long ago the last word was, and not a moment longer.
func TestRunningIsWhoWrites(t *testing.T) {
	dir := t.TempDir()
	h, items := ledgertest.Run(ledgertest.Options{NoEnd: true})
	w, err := Create(dir, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		if err := w.Add(it); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(w.Path(), old, old); err != nil {
		t.Fatal(err)
	}
	for range 2 { // looking does not change it
		if runs, _ := List(dir); runs[0].State != Running || runs[0].Duration != 30*time.Second {
			t.Errorf("while it is written: %s after %v, want running after 30s", runs[0].State, runs[0].Duration)
		}
	}
	if _, e, err := Open(dir, "last"); err != nil || e.State != Running {
		t.Errorf("opened while it is written: %s, %v", e.State, err)
	}
	if gone, err := Prune(dir, 0, 0); err != nil || len(gone) != 0 {
		t.Errorf("gone: %v, %v", gone, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if runs, _ := List(dir); runs[0].State != Interrupted || runs[0].Duration != 30*time.Second {
		t.Errorf("closed without an end: %s after %v, want interrupted", runs[0].State, runs[0].Duration)
	}
}

// bounded is a file on a disk that takes only so much.
type bounded struct {
	*os.File
	left int
}

func (f *bounded) Write(b []byte) (int, error) {
	n, _ := f.File.Write(b[:min(len(b), f.left)])
	f.left -= n
	if n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

// fullDisk begins a record on a disk with no room for all of the items of its run.
func fullDisk(t *testing.T) (dir string, w *Writer, items []ledger.Item) {
	t.Helper()
	dir = t.TempDir()
	h, items := ledgertest.Run(ledgertest.Options{})
	w, err := Create(dir, h)
	if err != nil {
		t.Fatal(err)
	}
	w.f = &bounded{w.f.(*os.File), 15_000}
	return dir, w, items
}

// A run whose disk is full goes on without its record, which is then no longer that of a running one; what is whole of it can
// be read.
func TestFullDiskCutsTheRecordShort(t *testing.T) {
	dir, w, items := fullDisk(t)
	var err error
	for _, it := range items {
		if err = w.Add(it); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk never was full: %v", err)
	}
	runs, err := List(dir)
	if err != nil || runs[0].State != Interrupted || runs[0].Requests == 0 || runs[0].Duration < 5*time.Second {
		t.Errorf("%+v, %v; want it interrupted while the run goes on", runs[0], err)
	}
	if _, e, err := Open(dir, "last"); err != nil || e.State != Interrupted || !strings.Contains(e.Torn, "has no end") {
		t.Errorf("%s, %q, %v; want a record without an end, and nothing torn", e.State, e.Torn, err)
	}
	if err := w.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("close: %v", err)
	}
}

// The oldest runs go, but not one that is still written, and what cannot go does not keep the others.
func TestPruneLeavesWhatRuns(t *testing.T) {
	dir := t.TempDir()
	h, _ := ledgertest.Run(ledgertest.Options{})
	w, err := Create(dir, h)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i := range 3 {
		write(t, dir, ledgertest.Options{Seconds: 6}, func(h *ledger.Header) {
			h.Started, h.ID = h.Started.Add(time.Duration(1+i)*time.Hour), "run"+strconv.Itoa(i)
		})
	}
	if gone, err := Prune(dir, 1, 1<<40); err != nil || len(gone) != 2 {
		t.Errorf("gone %v, %v", gone, err)
	}
	if runs, _ := List(dir); len(runs) != 2 || runs[1].Path != w.Path() || runs[1].State != Running {
		t.Errorf("left %+v, want the newest and the one that runs", runs)
	}
}

// How far a record got is found without reading it.
func TestLastWord(t *testing.T) {
	dir := t.TempDir()
	path, _ := write(t, dir, ledgertest.Options{NoEnd: true}, nil)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		b    []byte
		want time.Duration
	}{
		{"whole", whole, 30 * time.Second},
		{"torn", append(bytes.Clone(whole), 1, 2, 3), 30 * time.Second},
		{"an item behind", func() []byte { b, _ := appendItem(bytes.Clone(whole), &ledger.Event{Text: "x"}); return b }(), 30 * time.Second},
		{"cut", whole[:len(whole)-1], 29 * time.Second},
		{"a header", whole[:len(magic)+overhead], 0},
		{"nothing", nil, 0},
	} {
		if got := lastWord(bytes.NewReader(tt.b), int64(len(tt.b))); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// What a record claims may be anything: it is refused or left out, in bounded memory and time.
func TestHostileItems(t *testing.T) {
	h, items := ledgertest.Run(ledgertest.Options{Seconds: 6, NoEnd: true})
	record := func(h ledger.Header, more ...ledger.Item) string {
		b, _ := appendFrame([]byte(magic), kindHeader, appendJSON(h))
		for _, it := range append(slices.Clone(items), more...) {
			b, _ = appendItem(b, it)
		}
		file := filepath.Join(t.TempDir(), "x.lt")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	const far = time.Duration(math.MaxInt64)
	for name, it := range map[string]ledger.Item{
		"end":    &ledger.End{At: far, Drain: -far, Ended: "x"},
		"edge":   &ledger.StageEdge{Index: 1, At: -far},
		"pause":  &ledger.Pause{At: far, Begins: true},
		"change": &ledger.Change{At: -far, Kind: "hold"},
		"gap":    &ledger.Gap{From: -far, To: far, Arrivals: math.MaxUint64},
		"source": &ledger.SourceState{At: far, Source: ledger.Source{Name: strings.Repeat("n", 1<<16), State: strings.Repeat("s", 1<<16)}},
	} {
		if _, _, err := Open("", record(h, it, &ledger.End{At: 7 * time.Second})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, e, err := Open("", record(h, &ledger.Event{Text: strings.Repeat("x", maxText)}))
	if err != nil || e.Torn == "" || len(l.Events()) != 2 {
		t.Errorf("a sentence of a megabyte: %v, %q, %d events", err, e.Torn, len(l.Events()))
	}
	long := h
	long.Text = strings.Repeat("x", maxHeader)
	if _, _, err := Open("", record(long)); err == nil || !strings.Contains(err.Error(), "its header has") {
		t.Errorf("a header of 8 MiB: %v", err)
	}
	if _, err := Create(t.TempDir(), long); err == nil {
		t.Error("a header of 8 MiB was written")
	}
	odd := h
	odd.ID = "a\x1b[31m`"
	if _, _, err := Open("", record(odd)); err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("an id that harms a terminal: %v", err)
	}
}

// A record can be small and what it claims large: whoever reads it stops in time.
func TestRecordOfHistogramsWithoutEnd(t *testing.T) {
	h, _ := ledgertest.Run(ledgertest.Options{Steps: 40})
	b, _ := appendFrame([]byte(magic), kindHeader, appendJSON(h))
	for i := range 40 {
		iv := &metrics.Interval{Source: "local", Seq: uint64(i), From: time.Duration(i) * time.Second, Length: time.Second}
		r := metrics.Record{Key: metrics.Key{Stage: 1, Step: uint16(1 + i)}}
		for d := time.Microsecond; d < time.Hour; d += d/256 + time.Microsecond {
			r.Response.Record(nil, d)
			r.Requests++
		}
		r.Service = r.Response
		for p := range r.Phases {
			r.Phases[p] = r.Response
		}
		iv.Records = []metrics.Record{r}
		b, _ = appendItem(b, iv)
	}
	file := filepath.Join(t.TempDir(), "x.lt")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	runtime.GC() // what making the file took is no room for reading it
	if _, _, err := openWithin(file, 10<<20); err == nil || !strings.Contains(err.Error(), "more than 10 MiB of memory") {
		t.Errorf("within 10 MiB: %v", err)
	}
	if _, _, err := openWithin(file, maxHeap); err != nil {
		t.Errorf("within what any record may take: %v", err)
	}
}

func TestInterruptedRunIsSaidSo(t *testing.T) {
	dir := t.TempDir()
	path, _ := write(t, dir, ledgertest.Options{NoEnd: true}, nil)
	old := time.Now().Add(-time.Hour)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Write([]byte{1, 2, 3})
	f.Close()
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if runs, _ := List(dir); runs[0].State != Interrupted || runs[0].Requests != 25*50 || runs[0].Duration != 30*time.Second {
		t.Errorf("an hour later: %+v, want interrupted after 1250 requests in 30 s", runs[0])
	}
	l, e, err := Open(dir, "last")
	if err != nil {
		t.Fatal(err)
	}
	if e.State != Interrupted || !strings.Contains(e.Torn, "30s of run time") {
		t.Errorf("entry %+v", e)
	}
	if complete, _, _ := l.Data(); complete {
		t.Error("data complete")
	}
}

func TestDamageEndsTheRecord(t *testing.T) {
	path, _ := write(t, t.TempDir(), ledgertest.Options{}, nil)
	whole, _ := os.ReadFile(path)
	for _, at := range []int{len(whole) / 3, len(whole) / 2, len(whole) - 400} {
		bad := bytes.Clone(whole)
		bad[at] ^= 0x40
		file := filepath.Join(t.TempDir(), "bad.lt")
		os.WriteFile(file, bad, 0o600)
		_, e, err := Open("", file)
		if err != nil {
			t.Fatal(err)
		}
		if at < len(whole)-500 && e.Torn == "" {
			t.Errorf("a damaged byte at %d was not noticed", at)
		}
	}
}

func TestWhatIsNoRecordIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "text": "hello, this is no record", "newer": "LTRUN\x02\r\n", "headless": magic,
		"footer": magic + footer, "huge": magic + "\xff\xff\xff\xff\x01abc", "long": magic + "\x00\x00\x00\x05\x01abc",
	} {
		file := filepath.Join(t.TempDir(), "x.lt")
		os.WriteFile(file, []byte(text), 0o600)
		if _, _, err := Open("", file); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// What cannot be read at all is not said to be too short.
func TestAFolderIsNotTooShort(t *testing.T) {
	if _, _, err := Open("", t.TempDir()+string(filepath.Separator)); err == nil || strings.Contains(err.Error(), "too short") {
		t.Errorf("%v", err)
	}
}

func TestUnknownKindsAreSkipped(t *testing.T) {
	h, items := ledgertest.Run(ledgertest.Options{Seconds: 6})
	b := []byte(magic)
	b, _ = appendFrame(b, kindHeader, appendJSON(h))
	for _, it := range items {
		b, _ = appendFrame(b, 200, appendJSON("from the future"))
		b, _ = appendItem(b, it)
	}
	file := filepath.Join(t.TempDir(), "x.lt")
	os.WriteFile(file, b, 0o600)
	l, _, err := Open("", file)
	if err != nil {
		t.Fatal(err)
	}
	if _, ended := l.End(); !ended {
		t.Error("the run did not come to its end")
	}
}

func TestOnlyTheOwnerMayRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("permissions are not bits there")
	}
	dir := filepath.Join(t.TempDir(), "state")
	path, _ := write(t, dir, ledgertest.Options{Seconds: 6}, nil)
	for p, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700, dir: 0o700} {
		info, err := os.Stat(p)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", p, info.Mode().Perm(), err, want)
		}
	}
}

func TestDir(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"LT_STATE_DIR": "/a", "XDG_STATE_HOME": "/b", "HOME": "/c"}, "/a"},
		{map[string]string{"XDG_STATE_HOME": "/b", "HOME": "/c"}, "/b/lt"},
		{map[string]string{"XDG_STATE_HOME": "b", "HOME": "/c"}, "/c/.local/state/lt"},
	} {
		if runtime.GOOS == "windows" {
			t.Skip("other absolute paths there")
		}
		if got, err := Dir(func(k string) string { return tt.env[k] }); err != nil || got != tt.want {
			t.Errorf("%v: %s, %v; want %s", tt.env, got, err, tt.want)
		}
	}
}

func TestOldRunsGo(t *testing.T) {
	dir := t.TempDir()
	for i := range 6 {
		write(t, dir, ledgertest.Options{Seconds: 6}, func(h *ledger.Header) {
			h.Started = h.Started.Add(time.Duration(i) * time.Hour)
			h.ID = "run" + string(rune('0'+i))
		})
	}
	foreign := filepath.Join(dir, runsFolder, "notes.txt")
	os.WriteFile(foreign, []byte("mine"), 0o600)
	gone, err := Prune(dir, 4, 1<<40)
	if err != nil || len(gone) != 2 || !strings.Contains(gone[0], "run1") || !strings.Contains(gone[1], "run0") {
		t.Errorf("gone %v, %v", gone, err)
	}
	runs, _ := List(dir)
	if gone, err := Prune(dir, 4, runs[0].Size+1); err != nil || len(gone) != 3 {
		t.Errorf("gone by size %v, %v", gone, err)
	}
	if runs, _ := List(dir); len(runs) != 1 || runs[0].ID != "run5" {
		t.Errorf("left %+v, want the newest", runs)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("a file of someone else is gone: %v", err)
	}
}

func TestRetentionIsSaid(t *testing.T) {
	dir := t.TempDir()
	runs := filepath.Join(dir, runsFolder)
	if err := os.MkdirAll(runs, 0o700); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range maxRuns + 1 {
		name := at.Add(time.Duration(i)*time.Hour).Format(stamp) + "_old_id" + strconv.Itoa(i) + suffix
		if err := os.WriteFile(filepath.Join(runs, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h, _ := ledgertest.Run(ledgertest.Options{})
	w, err := Create(dir, h)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if !strings.HasPrefix(w.Note(), "2 of the oldest runs were removed") {
		t.Errorf("note %q", w.Note())
	}
	if all, _ := records(dir); len(all) != maxRuns || !strings.Contains(all[len(all)-1].path, "_id2.lt") {
		t.Errorf("%d runs are left, the oldest %s", len(all), all[len(all)-1].path)
	}
}

// full is a disk that takes only so much.
type full struct{ left int }

func (f *full) Write(b []byte) (int, error) {
	n := min(len(b), f.left)
	f.left -= n
	if n < len(b) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}
func (*full) Close() error         { return nil }
func (*full) Sync() error          { return nil }
func (*full) Truncate(int64) error { return nil }

func TestFullDiskIsAnErrorAndNoMore(t *testing.T) {
	h, items := ledgertest.Run(ledgertest.Options{})
	disk := &full{left: 20_000}
	w, err := NewWriter(disk, "x.lt", h)
	if err != nil {
		t.Fatal(err)
	}
	var first error
	for _, it := range items {
		err := w.Add(it)
		if err != nil && first == nil {
			first, disk.left = err, 1<<20 // room again: what is torn must stay torn
		} else if first != nil && !errors.Is(err, first) {
			t.Fatalf("%v after %v", err, first)
		}
	}
	if first == nil || disk.left != 1<<20 {
		t.Errorf("first error %v, %d left: nothing may be written behind a torn frame", first, disk.left)
	}
	if err := w.Close(); !errors.Is(err, first) {
		t.Errorf("close: %v", err)
	}
}

func TestUnwritableFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	h, _ := ledgertest.Run(ledgertest.Options{})
	if _, err := Create(filepath.Join(file, "state"), h); err == nil {
		t.Error("a record below a file was created")
	}
}

func TestLogIsPutAside(t *testing.T) {
	dir := t.TempDir()
	for range 4 {
		log, c, err := OpenLog(dir)
		if err != nil {
			t.Fatal(err)
		}
		log.Info(strings.Repeat("x", maxLog))
		c.Close()
	}
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"log", "log.1", "log.2"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
}

// Runs that begin at the same time put the log aside once, not each: the logs before it stay.
func TestLogIsPutAsideOnce(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		for name, text := range map[string]string{"log": strings.Repeat("3", maxLog), "log.1": "2", "log.2": "1"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				log, c, err := OpenLog(dir)
				if err != nil {
					t.Error(err)
					return
				}
				log.Info("begins")
				c.Close()
			})
		}
		all.Wait()
		for name, want := range map[string]string{"log.1": "33", "log.2": "2"} {
			if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.HasPrefix(string(got), want) {
				t.Fatalf("%s: %.10q, %v; want %s", name, got, err, want)
			}
		}
		// Who had opened the old log before it moved writes into log.1; nobody's line is lost.
		now, _ := os.ReadFile(filepath.Join(dir, "log"))
		before, _ := os.ReadFile(filepath.Join(dir, "log.1"))
		if n := strings.Count(string(now)+string(before), "begins"); n != 8 {
			t.Fatalf("%d lines, want 8", n)
		}
	}
}

// TestSizeOfALongRun writes twenty seconds at 10,000 requests a second over ten steps; a day of it must not be more than all
// runs together may take.
func TestSizeOfALongRun(t *testing.T) {
	if testing.Short() {
		t.Skip("200,000 requests are made")
	}
	o := ledgertest.Options{Seconds: 20, Rate: 10_000, Steps: 10}
	path, _ := write(t, t.TempDir(), o, nil)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	perSecond := info.Size() / int64(o.Seconds)
	t.Logf("%d bytes a second: %.1f MB an hour, %.2f GB a day", perSecond, float64(perSecond)*3600/1e6, float64(perSecond)*86400/1e9)
	if day := perSecond * 86400; day > maxBytes {
		t.Errorf("a day takes %d bytes, more than all runs together may", day)
	}
}

// counted is a disk that keeps nothing.
type counted struct{ bytes int64 }

func (c *counted) Write(b []byte) (int, error) { c.bytes += int64(len(b)); return len(b), nil }
func (*counted) Close() error                  { return nil }
func (*counted) Sync() error                   { return nil }
func (*counted) Truncate(int64) error          { return nil }

// A day of a run, ramped up and held, through ledger and record: memory stays flat but for the list of seconds. Its intervals
// are joined as over a slow link, which makes the same seconds with less work; TestSizeOfALongRun tells of the record's size.
func TestADay(t *testing.T) {
	if testing.Short() {
		t.Skip("21,600 intervals are written and added up")
	}
	h, items := ledgertest.Run(ledgertest.Options{Seconds: 6, Rate: 6, Steps: 1})
	const day = 24 * 3600
	h.Stages = []ledger.Stage{{Name: "ramp", For: day / 2 * time.Second, At: 7, Ramp: true}, {Name: "hold", For: day / 2 * time.Second, At: 7}}
	h.SLO = []string{"p99 < 1s over 5s", "errors < 10%"}
	l, err := ledger.New(h)
	if err != nil {
		t.Fatal(err)
	}
	disk := new(counted)
	w, err := NewWriter(disk, "x.lt", h)
	if err != nil {
		t.Fatal(err)
	}
	var iv *metrics.Interval
	for _, it := range items {
		if i, ok := it.(*metrics.Interval); ok && !i.Final {
			iv = i
		}
	}
	add := func(it ledger.Item) {
		if err := w.Add(it); err != nil {
			t.Fatal(err)
		}
		l.Add(it)
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var hour int64
	const joined = 4
	for k := 0; k < day; k += joined {
		at := time.Duration(k) * time.Second
		switch k {
		case 0:
			add(&ledger.StageEdge{At: at})
		case day / 2:
			add(&ledger.StageEdge{At: at, Ends: true})
			add(&ledger.StageEdge{Index: 1, At: at})
		case 3600:
			hour = heap()
		}
		iv.Seq, iv.From, iv.Length = uint64(k), at, joined*time.Second
		add(iv)
		if k%600 == 0 { // somebody looks
			l.Snapshot()
			l.SLOs()
			l.Points()
		}
	}
	add(&ledger.StageEdge{Index: 1, At: day * time.Second, Ends: true})
	end := heap()
	const aSecond = 120 // bytes: a row of the list, and what its slice keeps ready
	if grown := end - hour - day*aSecond; grown > 4<<20 {
		t.Errorf("beyond the list of seconds memory grew by %d MB between the first hour and the last", grown>>20)
	}
	if n := len(l.Points()); n < 50 || n > 110 {
		t.Errorf("%d points", n)
	}
	if disk.bytes > maxBytes {
		t.Errorf("the record has %d bytes", disk.bytes)
	}
	t.Logf("the record has %.1f MB; memory %.1f MB after an hour, %.1f MB at the end", float64(disk.bytes)/1e6, float64(hour)/1e6, float64(end)/1e6)
	runtime.KeepAlive(l)
}

func FuzzFrames(f *testing.F) {
	h, items := ledgertest.Run(ledgertest.Options{Seconds: 1, Rate: 10})
	b, _ := appendFrame([]byte(magic), kindHeader, appendJSON(h))
	for _, it := range items {
		b, _ = appendItem(b, it)
	}
	f.Add(b)
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		// The sums are made right, so that the fuzzer gets behind them.
		b = slices.Clone(b)
		for at := len(magic); at+overhead <= len(b); {
			n := int64(binary.LittleEndian.Uint32(b[at:]))
			if n > int64(len(b)-at-overhead) {
				break
			}
			fixed, _ := appendFrame(nil, kind(b[at+4]), func(x []byte) ([]byte, error) { return append(x, b[at+5:at+5+int(n)]...), nil })
			copy(b[at:], fixed)
			at += len(fixed)
		}
		_, fr, err := openHeader(bytes.NewReader(b))
		if err != nil {
			return
		}
		if _, err := fr.items(func(ledger.Item) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if fr.at > int64(len(b)) {
			t.Errorf("%d bytes read of %d", fr.at, len(b))
		}
		readTrailer(bytes.NewReader(b), int64(len(b)))
	})
}

func BenchmarkAddInterval(b *testing.B) {
	b.ReportAllocs()
	h, items := ledgertest.Run(ledgertest.Options{Rate: 10_000, Steps: 10, Seconds: 3})
	w, err := NewWriter(nowhere{io.Discard}, "x.lt", h)
	if err != nil {
		b.Fatal(err)
	}
	var iv *metrics.Interval
	for _, it := range items {
		if i, ok := it.(*metrics.Interval); ok && !i.Final {
			iv = i
		}
	}
	for b.Loop() {
		if err := w.Add(iv); err != nil {
			b.Fatal(err)
		}
	}
}

type nowhere struct{ io.Writer }

func (nowhere) Close() error         { return nil }
func (nowhere) Sync() error          { return nil }
func (nowhere) Truncate(int64) error { return nil }
