package history

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	stats "runtime/metrics"
	"strings"
	"time"

	"lt/engine/ledger"
	"lt/engine/metrics"
)

// Entry is one run in a list.
type Entry struct {
	ID, Name, Path string
	Started        time.Time
	Size           int64 // bytes on disk
	State          State
	Torn           string // a sentence, if the record was cut off or damaged; Open sets it
	Summed         bool   // the figures of Trailer are those of the whole record; else only its Duration is known
	Trailer
}

// State says how a record ends.
type State string

// The states. Running is a record without an end that somebody writes; where nobody does, the run was interrupted: it was
// killed, or its disk was full, and Duration is how far it got. Unreadable is a file whose header cannot be read; Torn says why.
const (
	Finished    State = "finished"
	Running     State = "running"
	Interrupted State = "interrupted"
	Unreadable  State = "unreadable"
)

// maxReplay is the size, in bytes, up to which a record without a trailer is read as a whole for a list: that takes some
// hundred milliseconds, and such records are few.
const maxReplay = 4 << 20

// List is the runs in a folder of state, the newest first. Of each only the beginning and the end are read;
// one without an end is read as a whole if it is short.
func List(dir string) ([]Entry, error) {
	all, err := records(dir)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(all))
	for i, r := range all {
		entries[i] = r.entry()
	}
	return entries, nil
}

// entry reads the two ends of a record.
func (r *record) entry() Entry {
	e := Entry{ID: r.id, Name: r.name, Path: r.path, Started: r.started, Size: r.size, State: Unreadable}
	f, err := os.Open(r.path)
	if err != nil {
		e.Torn = err.Error()
		return e
	}
	defer f.Close()
	h, _, err := openHeader(f)
	if err != nil {
		e.Torn = err.Error()
		return e
	}
	e.describe(&h)
	if t, ok := readTrailer(f, r.size); ok {
		e.State, e.Trailer, e.Summed = Finished, t, true
		return e
	}
	e.State = Interrupted
	if written(f, r.changed) {
		e.State = Running
	}
	e.Duration = lastWord(f, r.size)
	if r.size <= maxReplay {
		if _, whole, err := openPath(r.path); err == nil {
			e.State, e.Trailer, e.Summed = whole.State, whole.Trailer, true
		}
	}
	return e
}

// maxFrames bounds how many frames are looked at for the last interval: a day of twelve sources.
const maxFrames = 1 << 20

// lastWord is the run time up to which a record tells, found without reading more than the lengths of its frames and the last
// interval; zero if none is whole.
func lastWord(r io.ReaderAt, size int64) time.Duration {
	last := int64(-1)
	var head [5]byte
	for at, n := int64(len(magic)), 0; n < maxFrames; n++ {
		if _, err := r.ReadAt(head[:], at); err != nil {
			break
		}
		next := at + int64(binary.LittleEndian.Uint32(head[:])) + overhead
		if next > size {
			break
		}
		if kind(head[4]) == kindInterval {
			last = at
		}
		at = next
	}
	if last < 0 {
		return 0
	}
	f := frames{r: bufio.NewReader(io.NewSectionReader(r, last, size-last))}
	k, payload, err := f.next()
	if err != nil {
		return 0
	}
	item, err := decodeItem(k, payload)
	if iv, ok := item.(*metrics.Interval); ok && err == nil {
		return iv.From + iv.Length
	}
	return 0
}

func (e *Entry) describe(h *ledger.Header) {
	e.ID, e.Name, e.Started = h.ID, h.Name, h.Started
}

// openHeader reads a record up to behind its header.
func openHeader(r io.Reader) (ledger.Header, *frames, error) {
	var h ledger.Header
	f, err := openFrames(r)
	if err != nil {
		return h, nil, err
	}
	k, payload, err := f.next()
	switch {
	case errors.Is(err, errTorn) || errors.Is(err, io.EOF) || err == nil && k != kindHeader:
		return h, nil, errors.New("it does not begin with a whole header")
	case err != nil:
		return h, nil, err
	case len(payload) > maxHeader:
		return h, nil, fmt.Errorf("its header has %d bytes, and %d are the most", len(payload), maxHeader)
	}
	if err := json.Unmarshal(payload, &h); err != nil {
		return h, nil, fmt.Errorf("its header cannot be read: %w", err)
	}
	return h, f, h.Validate()
}

// maxTrailer bounds the trailer; it has a few hundred bytes.
const maxTrailer = 64 << 10

// readTrailer finds the trailer from the end of a record.
func readTrailer(r io.ReaderAt, size int64) (t Trailer, ok bool) {
	tail := make([]byte, 4+len(footer))
	if size < int64(len(tail)+len(magic)) {
		return t, false
	}
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil || string(tail[4:]) != footer {
		return t, false
	}
	n := int64(binary.LittleEndian.Uint32(tail))
	at := size - int64(len(tail)) - n
	if n < overhead || n > maxTrailer || at < int64(len(magic)) {
		return t, false
	}
	f := frames{r: bufio.NewReader(io.NewSectionReader(r, at, n))}
	k, payload, err := f.next()
	if err != nil || k != kindTrailer || json.Unmarshal(payload, &t) != nil {
		return Trailer{}, false
	}
	return t, true
}

// Open reads one run: "last", a path, an id or its beginning, or a name, of which the newest run counts. It goes through a
// ledger as the live run did. A record that was cut off is read up to its last whole frame, and Entry.Torn says so. dir is a user's folder
// of state, see Dir; only a path needs none.
func Open(dir, which string) (*ledger.Ledger, Entry, error) {
	path, err := locate(dir, which)
	if err != nil {
		return nil, Entry{}, err
	}
	l, e, err := openPath(path)
	if err != nil {
		return nil, e, fmt.Errorf("read %s: %w", path, err)
	}
	return l, e, nil
}

func openPath(path string) (*ledger.Ledger, Entry, error) { return openWithin(path, maxHeap) }

// maxHeap is by how many bytes reading one record may make this program grow. A day of fifty steps takes less than a tenth of
// it; a record that was made to harm can have histograms without end.
const maxHeap = 1 << 30

// heap is what the objects of this program take, those that wait to be collected among them.
func heap() uint64 {
	sample := []stats.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	stats.Read(sample)
	return sample[0].Value.Uint64()
}

// openWithin is openPath with a bound on what may be taken for it, in bytes.
func openWithin(path string, most uint64) (*ledger.Ledger, Entry, error) {
	e := Entry{Path: path, State: Unreadable}
	f, err := os.Open(path)
	if err != nil {
		return nil, e, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, e, err
	}
	e.Size = info.Size()
	h, fr, err := openHeader(f)
	if err != nil {
		return nil, e, err
	}
	e.describe(&h)
	l, err := ledger.New(h)
	if err != nil {
		return nil, e, err
	}
	before := heap()
	torn, err := fr.items(func(it ledger.Item) error {
		l.Add(it)
		if heap() <= before+most {
			return nil
		}
		if runtime.GC(); heap() <= before+most {
			return nil
		}
		return fmt.Errorf("it takes more than %d MiB of memory to read, and no run that lt makes does", most>>20)
	})
	if err != nil {
		return nil, e, err
	}
	e.State, e.Trailer, e.Summed = Finished, trailerOf(l), true
	if _, ended := l.End(); !ended {
		e.State = Interrupted
		if written(f, info.ModTime()) {
			e.State = Running
		}
		e.Torn = fmt.Sprintf("the record has no end: it was read up to %s of run time", l.Now().Round(time.Second))
	}
	if torn && e.State != Running {
		e.Torn = fmt.Sprintf("the record is cut off or damaged after %d of %d bytes: it was read up to %s of run time", fr.at, e.Size, l.Now().Round(time.Second))
	}
	l.SetReplay(func(yield func(ledger.Item) error) error { return replayFile(path, yield) })
	return l, e, nil
}

// replayFile hands over the items of a record as far as they are whole.
func replayFile(path string, yield func(ledger.Item) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the record again: %w", err)
	}
	defer f.Close()
	_, fr, err := openHeader(f)
	if err != nil {
		return fmt.Errorf("read %s again: %w", path, err)
	}
	_, err = fr.items(yield)
	return err
}

// items hands over every item from here on; torn says that the last frame is not whole or makes no sense.
func (f *frames) items(yield func(ledger.Item) error) (torn bool, err error) {
	for {
		if f.footer() {
			return false, nil
		}
		k, payload, err := f.next()
		switch {
		case errors.Is(err, io.EOF):
			return false, nil
		case errors.Is(err, errTorn):
			return true, nil
		case err != nil:
			return false, err
		}
		item, err := decodeItem(k, payload)
		if err != nil {
			return true, nil // the sum was right, so it was written so: nothing behind it can be trusted more
		}
		if item == nil {
			continue
		}
		if err := yield(item); err != nil {
			return false, err
		}
	}
}

// footer reports whether only the footer is left.
func (f *frames) footer() bool {
	b, err := f.r.Peek(4 + len(footer) + 1)
	return errors.Is(err, io.EOF) && len(b) == 4+len(footer) && string(b[4:]) == footer
}

// locate finds the file of a run.
func locate(dir, which string) (string, error) {
	if which == "" {
		return "", errors.New("which run? give an id, its beginning, a name, \"last\", or a .lt file; lt runs lists them")
	}
	if strings.HasSuffix(which, suffix) || strings.ContainsAny(which, `/\`) {
		if _, err := os.Stat(which); err != nil {
			return "", fmt.Errorf("open the run: %w", err)
		}
		return which, nil
	}
	if dir == "" {
		return "", errNoDir
	}
	all, err := records(dir)
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		return "", noRun("no run is recorded in " + dir)
	}
	if which == "last" {
		return all[0].path, nil
	}
	var found []record
	for _, r := range all {
		if r.id == which {
			return r.path, nil
		}
		if strings.HasPrefix(r.id, which) {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 1:
		return found[0].path, nil
	case 0:
		for _, r := range all {
			if r.name == shortName(which) {
				return r.path, nil
			}
		}
		return "", noRun(fmt.Sprintf("there is no run %q; lt runs lists what there is", which))
	}
	var ids []string
	for _, r := range found[:min(len(found), 5)] {
		ids = append(ids, r.id)
	}
	return "", fmt.Errorf("%q begins the ids of %d runs (%s); give more of it", which, len(found), strings.Join(ids, ", "))
}

// noRun says that a run is not there; it is an fs.ErrNotExist.
type noRun string

func (e noRun) Error() string        { return string(e) }
func (e noRun) Is(target error) bool { return target == fs.ErrNotExist }
