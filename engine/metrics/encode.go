package metrics

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"time"
)

// The format of an encoded interval, version 1:
//
//	byte     version
//	uvarint  length of the body
//	...      the body, deflated (RFC 1951)
//
// The body is a sequence of sections, each a uint32 (little endian) length and so many bytes: the interval's own fields,
// the audit, then a section that holds one section a record, one that holds one section an error, and the notes. A reader
// skips what is left of a section after the fields that it knows, and sections after those that it knows; so fields are
// only ever added at the ends, and a new version is needed only for a change that an old reader must not survive.
//
// Numbers are uvarints, signed ones zig-zag varints, fractions 8 bytes (IEEE 754, little endian), strings a length and
// bytes. Times are nanoseconds.
const intervalVersion = 1

// The bounds on reading, far above what a run makes: they are there so that a broken or hostile file or peer cannot make a
// reader take more than a fixed amount of memory.
const (
	maxBody     = 64 << 20 // inflated
	maxPages    = 1 << 17  // histogram pages of one interval: 128 MiB
	maxStatuses = 1 << 20  // of all records of one interval: 16 MiB
	maxRecords  = 1 << 16
	maxErrors   = 4096
	maxNotes    = 256
	maxStatus   = 1000    // of one record
	maxTimes    = 1 << 48 // in one histogram
	maxString   = 16 << 10
)

var (
	errShort   = errors.New("it ends too early")
	errTooMany = errors.New("it claims more than an interval can hold")
	errBroken  = errors.New("its figures contradict each other")
)

// AppendBinary appends h: its count (and nothing more if that is zero), clamped, minimum, maximum less minimum, sum and
// sum of squares as two uvarints each (upper 64 bits first), the number of buckets that counted something, and for each the
// gap to the one before, doubled, plus one if a count follows; the count is written less 2, and is 1 if it does not follow.
func (h *Histogram) AppendBinary(b []byte) []byte {
	b = binary.AppendUvarint(b, h.count)
	if h.count == 0 {
		return b
	}
	b = binary.AppendUvarint(b, h.clamped)
	b = binary.AppendUvarint(b, uint64(h.min))
	b = binary.AppendUvarint(b, uint64(h.max-h.min))
	for _, v := range [...]uint64{h.sum.hi, h.sum.lo, h.squares.hi, h.squares.lo} {
		b = binary.AppendUvarint(b, v)
	}
	n := 0
	h.each(func(int, uint64) bool { n++; return true })
	b = binary.AppendUvarint(b, uint64(n))
	last := 0
	h.each(func(i int, n uint64) bool {
		gap := uint64(i-last) << 1
		last = i
		if n == 1 {
			b = binary.AppendUvarint(b, gap)
			return true
		}
		b = binary.AppendUvarint(b, gap|1)
		b = binary.AppendUvarint(b, n-2)
		return true
	})
	return b
}

// decoder reads fields one after the other and remembers the first error; after it everything reads as zero.
type decoder struct {
	b   []byte
	err error
	room
}

// room is what may still be allocated.
type room struct{ pages, statuses int }

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// upTo reads a number that must not be above limit.
func (d *decoder) upTo(limit uint64) uint64 {
	v := d.uint()
	if v > limit {
		d.fail(errTooMany)
		return 0
	}
	return v
}

func (d *decoder) float() float64 {
	if len(d.b) < 8 {
		d.fail(errShort)
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(d.b))
	d.b = d.b[8:]
	if math.IsNaN(v) || math.IsInf(v, 0) {
		d.fail(errBroken)
		return 0
	}
	return v
}

func (d *decoder) string() string {
	n := d.upTo(maxString)
	if uint64(len(d.b)) < n {
		d.fail(errShort)
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) time() time.Duration { return time.Duration(d.int()) }

// section opens the next section as a decoder of its own; close takes its error and what is left of its room.
func (d *decoder) section() decoder {
	if len(d.b) < 4 {
		d.fail(errShort)
		return decoder{err: d.err}
	}
	n := uint64(binary.LittleEndian.Uint32(d.b))
	if uint64(len(d.b)-4) < n {
		d.fail(errShort)
		return decoder{err: d.err}
	}
	s := decoder{b: d.b[4 : 4+n], room: d.room}
	d.b = d.b[4+n:]
	return s
}

func (d *decoder) close(s *decoder) {
	d.room = s.room
	if s.err != nil {
		d.fail(s.err)
	}
}

func (d *decoder) histogram() Histogram {
	var h Histogram
	h.count = d.upTo(maxTimes)
	if h.count == 0 {
		return Histogram{}
	}
	h.clamped = d.upTo(h.count)
	h.min = time.Duration(d.upTo(uint64(Longest)))
	h.max = h.min + time.Duration(d.upTo(uint64(Longest-h.min)))
	h.sum = uint128{d.uint(), d.uint()}
	h.squares = uint128{d.uint(), d.uint()}
	n := d.upTo(bucketCount)
	i, first, last := 0, -1, 0
	var seen uint64
	// Most of what comes over the wire is read here, so the bytes are at hand in a variable: with one store to memory a number,
	// and the write barrier that goes with it, this takes half as long again.
	b := d.b
	next := func() uint64 {
		if len(b) > 0 && b[0] < 0x80 {
			v := b[0]
			b = b[1:]
			return uint64(v)
		}
		v, n := binary.Uvarint(b)
		if n <= 0 {
			d.fail(errShort)
			return 0
		}
		b = b[n:]
		return v
	}
	for range n {
		token := next()
		count := uint64(1)
		if token&1 == 1 {
			count = next() + 2
		}
		gap := token >> 1
		if d.err != nil {
			return Histogram{}
		}
		if gap >= bucketCount || i+int(gap) >= bucketCount || first >= 0 && gap == 0 || count > h.count-seen {
			d.fail(errBroken)
			return Histogram{}
		}
		i += int(gap)
		if first < 0 {
			first = i
		}
		last = i
		if h.table == nil || h.table.pages[i>>pageBits] == nil {
			if d.pages--; d.pages < 0 {
				d.fail(errTooMany)
				return Histogram{}
			}
		}
		seen += count
		h.addAt(nil, i, count)
	}
	if d.err == nil {
		d.b = b
	}
	if d.err == nil && (seen != h.count || !h.possible(first, last)) {
		d.fail(errBroken)
	}
	if d.err != nil {
		return Histogram{}
	}
	return h
}

// possible reports whether the moments fit the counts: minimum and maximum lie in the first and last bucket, and the sums
// between the count times the least and the greatest value.
func (h *Histogram) possible(first, last int) bool {
	at := func(d time.Duration) int { return indexOf((uint64(d) + 500) / 1000) }
	if at(h.min) != first || at(h.max) != last {
		return false
	}
	between := func(v uint128, low, high uint128) bool { return !v.less(low) && !high.less(v) }
	return between(h.sum, times(uint64(h.min), h.count), times(uint64(h.max), h.count)) &&
		between(h.squares, timesSquare(uint64(h.min), h.count), timesSquare(uint64(h.max), h.count))
}

func times(a, b uint64) uint128 {
	hi, lo := bits.Mul64(a, b)
	return uint128{hi, lo}
}

// timesSquare is a²·n, at most 2^128−1.
func timesSquare(a, n uint64) uint128 {
	sq := times(a, a)
	hi := times(sq.hi, n)
	lo := times(sq.lo, n)
	top, carry := bits.Add64(hi.lo, lo.hi, 0)
	if hi.hi > 0 || carry > 0 {
		return uint128{math.MaxUint64, math.MaxUint64}
	}
	return uint128{top, lo.lo}
}

// packer is what it takes to pack an interval. Its deflater has more than a megabyte.
type packer struct {
	w      *flate.Writer
	body   []byte
	packed bytes.Buffer
}

// packers keeps one packer for the next interval; a sync.Pool would keep one a processor, and make new ones after collections of
// garbage.
var packers = make(chan *packer, 1)

func takePacker() *packer {
	select {
	case p := <-packers:
		return p
	default:
	}
	// Level 1 makes an interval of ten steps nearly three times smaller (30 kB to 11 kB); level 6 saves another 8 % for five
	// times the work.
	w, _ := flate.NewWriter(nil, flate.BestSpeed)
	return &packer{w: w}
}

// AppendBinary appends iv in the current version of the format. Strings longer than a reader takes are cut. Any goroutine may call it.
func (iv *Interval) AppendBinary(b []byte) []byte {
	p := takePacker()
	p.body = iv.appendBody(p.body[:0])
	p.packed.Reset()
	p.w.Reset(&p.packed)
	// A bytes.Buffer takes everything, so neither call can fail.
	_, _ = p.w.Write(p.body)
	_ = p.w.Close()
	b = append(b, intervalVersion)
	b = binary.AppendUvarint(b, uint64(p.packed.Len()))
	b = append(b, p.packed.Bytes()...)
	select {
	case packers <- p:
	default:
	}
	return b
}

// open begins a section; the result is where it begins, for shut.
func open(b []byte) ([]byte, int) { return append(b, 0, 0, 0, 0), len(b) }

func shut(b []byte, at int) []byte {
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

func appendUints(b []byte, values ...uint64) []byte {
	for _, v := range values {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func appendInts(b []byte, values ...int64) []byte {
	for _, v := range values {
		b = binary.AppendVarint(b, v)
	}
	return b
}

func appendFloats(b []byte, values ...float64) []byte {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			v = 0
		}
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

func appendString(b []byte, s string) []byte {
	s = clip(s, maxString)
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func flag(v bool) uint64 {
	if v {
		return 1
	}
	return 0
}

func (iv *Interval) appendBody(b []byte) []byte {
	b, at := open(b)
	b = appendString(b, iv.Source)
	b = appendUints(b, iv.Seq)
	b = appendInts(b, int64(iv.From), int64(iv.Length))
	b = appendUints(b, iv.Scheduled, iv.Started, iv.Due, iv.Late, iv.Dropped, iv.Stalled, iv.Iterations, iv.Failed, iv.Unfinished, iv.Opened)
	b = appendInts(b, int64(iv.Users), int64(iv.InFlight), int64(iv.InFlightMax), int64(iv.Queued), int64(iv.Connections))
	b = iv.Lag.AppendBinary(b)
	b = iv.Waiting.AppendBinary(b)
	b = appendUints(b, flag(iv.Final))
	b = shut(b, at)

	b, at = open(b)
	a := &iv.Audit
	b = appendFloats(b, a.CPU, a.ShardCPU, a.Cores, a.GCShare, a.Steal, a.Throttled)
	b = appendInts(b, int64(a.GCPauseP99), int64(a.SchedP99), int64(a.Files), int64(a.FileLimit), int64(a.Ports), int64(a.PortLimit))
	b = appendUints(b, a.Memory, a.MemLimit, a.OwnErrors, flag(a.LimitHit))
	b = shut(b, at)

	b, at = open(b)
	b = appendUints(b, uint64(len(iv.Records)))
	for i := range iv.Records {
		b = iv.Records[i].append(b)
	}
	b = shut(b, at)

	b, at = open(b)
	b = appendUints(b, uint64(len(iv.Errors)))
	for i := range iv.Errors {
		b = iv.Errors[i].append(b)
	}
	b = shut(b, at)

	b, at = open(b)
	b = appendUints(b, uint64(len(iv.Notes)))
	for _, n := range iv.Notes {
		b = appendString(b, n)
	}
	return shut(b, at)
}

func (r *Record) append(b []byte) []byte {
	b, at := open(b)
	b = appendInts(b, int64(r.Stage))
	b = appendUints(b, uint64(r.Step), uint64(r.Outcome), r.Requests, r.Attempts, r.Dropped, r.BytesIn, r.BytesOut, r.Reused, r.Stale)
	b = appendUints(b, uint64(len(r.Errors)))
	b = appendUints(b, r.Errors[:]...)
	b = appendUints(b, uint64(len(r.Status)))
	for _, s := range r.Status {
		b = appendUints(b, uint64(s.Status), s.Count)
	}
	b = r.Response.AppendBinary(b)
	b = r.Service.AppendBinary(b)
	b = appendUints(b, uint64(len(r.Phases)))
	for p := range r.Phases {
		b = r.Phases[p].AppendBinary(b)
	}
	b = appendUints(b, uint64(r.DroppedFrom))
	return shut(b, at)
}

func (e *ErrorCount) append(b []byte) []byte {
	b, at := open(b)
	b = appendUints(b, uint64(e.Class), uint64(e.Phase), uint64(e.Status), uint64(e.Step), e.Count)
	b = appendInts(b, int64(e.First), int64(e.Last))
	b = appendString(b, e.Message)
	b = appendString(b, e.Example)
	return shut(b, at)
}

// DecodeInterval reads an interval that AppendBinary wrote, of this or a later version's additions, and returns the bytes
// after it. Input from anywhere is safe: memory is bounded whatever it claims.
func DecodeInterval(b []byte) (iv *Interval, rest []byte, err error) {
	size := len(b)
	wrap := func(err error) (*Interval, []byte, error) {
		return nil, nil, fmt.Errorf("read an interval of %d bytes: %w", size, err)
	}
	if size == 0 {
		return wrap(errShort)
	}
	if b[0] != intervalVersion {
		return wrap(fmt.Errorf("it has version %d and this program reads %d: use a newer lt", b[0], intervalVersion))
	}
	d := decoder{b: b[1:]}
	n := d.uint()
	if d.err != nil || n > uint64(len(d.b)) {
		return wrap(errShort)
	}
	body, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(d.b[:n])), maxBody+1))
	if err != nil {
		return wrap(err)
	}
	if len(body) > maxBody {
		return wrap(errTooMany)
	}
	rest = d.b[n:]
	d = decoder{b: body, room: room{maxPages, maxStatuses}}
	iv = d.interval()
	if d.err != nil {
		return wrap(d.err)
	}
	return iv, rest, nil
}

func (d *decoder) interval() *Interval {
	iv := new(Interval)
	s := d.section()
	iv.Source = s.string()
	iv.Seq = s.uint()
	iv.From, iv.Length = s.time(), s.time()
	for _, v := range [...]*uint64{&iv.Scheduled, &iv.Started, &iv.Due, &iv.Late, &iv.Dropped, &iv.Stalled, &iv.Iterations, &iv.Failed, &iv.Unfinished, &iv.Opened} {
		*v = s.uint()
	}
	for _, v := range [...]*int{&iv.Users, &iv.InFlight, &iv.InFlightMax, &iv.Queued, &iv.Connections} {
		*v = int(s.int())
	}
	iv.Lag, iv.Waiting = s.histogram(), s.histogram()
	iv.Final = s.uint() != 0
	if s.err == nil && (iv.From < 0 || iv.Length < 0 || iv.From > maxTime/4 || iv.Length > maxTime/4) {
		s.fail(errBroken)
	}
	d.close(&s)

	s = d.section()
	a := &iv.Audit
	for _, v := range [...]*float64{&a.CPU, &a.ShardCPU, &a.Cores, &a.GCShare, &a.Steal, &a.Throttled} {
		*v = s.float()
	}
	a.GCPauseP99, a.SchedP99 = s.time(), s.time()
	for _, v := range [...]*int{&a.Files, &a.FileLimit, &a.Ports, &a.PortLimit} {
		*v = int(s.int())
	}
	a.Memory, a.MemLimit, a.OwnErrors, a.LimitHit = s.uint(), s.uint(), s.uint(), s.uint() != 0
	d.close(&s)

	s = d.section()
	for n := s.upTo(maxRecords); n > 0 && s.err == nil; n-- {
		iv.Records = append(iv.Records, Record{})
		s.record(&iv.Records[len(iv.Records)-1])
	}
	d.close(&s)

	s = d.section()
	for n := s.upTo(maxErrors); n > 0 && s.err == nil; n-- {
		iv.Errors = append(iv.Errors, s.errorCount())
	}
	d.close(&s)

	s = d.section()
	for n := s.upTo(maxNotes); n > 0 && s.err == nil; n-- {
		iv.Notes = append(iv.Notes, s.string())
	}
	d.close(&s)
	return iv
}

func (d *decoder) record(r *Record) {
	s := d.section()
	stage := s.int()
	r.Stage, r.Step, r.Outcome = int16(stage), uint16(s.upTo(math.MaxUint16)), Outcome(s.upTo(uint64(Outcomes-1)))
	if stage < NoStage || stage > math.MaxInt16 {
		s.fail(errBroken)
	}
	for _, v := range [...]*uint64{&r.Requests, &r.Attempts, &r.Dropped, &r.BytesIn, &r.BytesOut, &r.Reused, &r.Stale} {
		*v = s.uint()
	}
	// Classes that only a newer program knows are left out here; they still stand in the list of errors.
	for c := range s.upTo(256) {
		if n := s.uint(); c < uint64(Classes) {
			r.Errors[c] = n
		}
	}
	last := -1
	n := s.upTo(maxStatus)
	if s.statuses -= int(n); s.statuses < 0 {
		s.fail(errTooMany)
	}
	for ; n > 0 && s.err == nil; n-- {
		c := StatusCount{uint16(s.upTo(math.MaxUint16)), s.uint()}
		if int(c.Status) <= last {
			s.fail(errBroken)
		}
		last = int(c.Status)
		r.Status = append(r.Status, c)
	}
	r.Response, r.Service = s.histogram(), s.histogram()
	for p := range s.upTo(256) {
		if h := s.histogram(); p < uint64(Phases) {
			r.Phases[p] = h
		}
	}
	if len(s.b) > 0 { // else an older program wrote it: the shortest wait is not known
		if from := s.upTo(uint64(Longest)); r.Dropped > 0 {
			r.DroppedFrom = time.Duration(from)
		}
	}
	d.close(&s)
}

func (d *decoder) errorCount() ErrorCount {
	s := d.section()
	e := ErrorCount{
		Class: Class(s.upTo(math.MaxUint8)), Phase: Phase(s.upTo(math.MaxUint8)), Status: uint16(s.upTo(math.MaxUint16)), Step: uint16(s.upTo(math.MaxUint16)),
		Count: s.uint(), First: s.time(), Last: s.time(), Message: s.string(), Example: s.string(),
	}
	d.close(&s)
	return e
}
