package metrics

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// exact compares intervals by everything they hold; histograms by counts and moments, not by which pages they have.
var exact = cmp.Options{cmp.Comparer(func(a, b Histogram) bool {
	return bytes.Equal(a.AppendBinary(nil), b.AppendBinary(nil))
})}

// anySample draws a sample that a shard could have recorded.
func anySample(rng *rand.Rand) *Sample {
	class := NoError
	if rng.IntN(4) == 0 {
		class = Class(rng.IntN(Classes))
	}
	at := time.Duration(rng.Int64N(int64(time.Second)))
	s := &Sample{
		Stage: int16(rng.IntN(3) - 1), Step: uint16(rng.IntN(4)), Class: class, Phase: Phase(rng.IntN(Phases)),
		Intended: at, Start: at + time.Duration(rng.IntN(1e6)), End: at + time.Duration(rng.IntN(1e9)) + 1e6,
		Attempts: rng.IntN(3), BytesIn: rng.Int64N(1e6), BytesOut: rng.Int64N(1e4), Reused: rng.IntN(2) == 0, Stale: rng.IntN(50) == 0,
	}
	if !class.CutShort() && class != Timeout {
		s.Status = []uint16{200, 201, 304, 404, 500, 503, 599}[rng.IntN(7)]
	}
	if class != NoError {
		s.Message = fmt.Sprintf("message %d", rng.IntN(3))
		s.Example = func() string { return "example " + s.Message }
	}
	for p := range s.Phases {
		s.Phases[p] = time.Duration(rng.IntN(1e7)) - 2e6
	}
	return s
}

// fill records n samples and what else a shard counts.
func fill(rng *rand.Rand, n int, recorders ...*Recorder) {
	for range n {
		s, lag := anySample(rng), time.Duration(rng.IntN(1e5))
		dropped, waited := rng.IntN(20) == 0, time.Duration(rng.Int64N(int64(20*time.Second)))
		for _, r := range recorders {
			r.Sample(s)
			r.Lag(lag, lag/2)
			r.Scheduled++
			r.Started++
			r.Due++
			if dropped {
				r.Drop(s.Stage, s.Step, waited, lag%2 == 0)
			}
		}
	}
}

func TestMergingPartsEqualsRecordingInOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		var pages Pages
		whole := NewRecorder(4, &pages)
		shards := make([]*Recorder, rapid.IntRange(1, 4).Draw(t, "shards"))
		for i := range shards {
			shards[i] = NewRecorder(4, &pages)
		}
		for range rapid.IntRange(0, 60).Draw(t, "samples") {
			fill(rng, 1, whole, shards[rng.IntN(len(shards))])
		}
		want, got := new(Interval), new(Interval)
		want.Merge(whole.Cut(0, 0, time.Second))
		for _, i := range rng.Perm(len(shards)) {
			part := shards[i].Cut(0, 0, time.Second)
			got.Merge(part)
			part.Release(&pages)
		}
		if d := cmp.Diff(want, got, exact); d != "" {
			t.Fatalf("merged parts differ from the whole (-whole +parts):\n%s", d)
		}
	})
}

func TestJoiningFollowingSlices(t *testing.T) {
	a := &Interval{Seq: 3, From: 3 * time.Second, Length: time.Second, Users: 10, InFlightMax: 7, Scheduled: 5}
	b := &Interval{Seq: 4, From: 4 * time.Second, Length: time.Second, Users: 12, InFlightMax: 6, Scheduled: 6, Final: true}
	a.Merge(b)
	if a.Seq != 3 || a.From != 3*time.Second || a.Length != 2*time.Second || a.Users != 12 || a.InFlightMax != 7 || a.Scheduled != 11 || !a.Final {
		t.Errorf("joined: %+v", a)
	}
}

// However many notes intervals have that a link joins, what comes of it can be read.
func TestJoinedNotesCanBeRead(t *testing.T) {
	iv := new(Interval)
	for i := range 2 * maxNotes {
		iv.Merge(&Interval{From: time.Duration(i) * time.Second, Length: time.Second, Notes: []string{"the same", fmt.Sprint("note ", i)}})
	}
	if got, _, err := DecodeInterval(iv.AppendBinary(nil)); err != nil || len(got.Notes) != maxNotes {
		t.Errorf("%d notes were written: %v", len(iv.Notes), err)
	}
}

func TestCutStartsAnew(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	r := NewRecorder(4, new(Pages))
	fill(rng, 100, r)
	first := r.Cut(0, 0, time.Second)
	before := first.AppendBinary(nil)
	if second := r.Cut(1, time.Second, time.Second); len(second.Records) != 0 || len(second.Errors) != 0 || second.Scheduled != 0 || second.Lag.Count() != 0 {
		t.Errorf("the second interval is not empty: %+v", second)
	}
	fill(rng, 100, r)
	if !bytes.Equal(before, first.AppendBinary(nil)) {
		t.Error("an interval changed after it was handed over")
	}
}

func TestExamplesAreTakenOnceAndKindsAreBounded(t *testing.T) {
	r := NewRecorder(1, new(Pages))
	calls := 0
	for cut := range 2 {
		for i := range 200 {
			r.Sample(&Sample{Class: Status, Status: 500, Message: fmt.Sprint("kind ", i), Example: func() string { calls++; return "e" }})
		}
		iv := r.Cut(uint64(cut), 0, time.Second)
		var total, examples uint64
		for _, e := range iv.Errors {
			total += e.Count
			if e.Example != "" {
				examples++
			}
		}
		if len(iv.Errors) != maxKinds+1 || total != 200 {
			t.Errorf("cut %d: %d groups with %d errors, want %d with 200", cut, len(iv.Errors), total, maxKinds+1)
		}
		if want := uint64((maxKinds + 1) * (1 - cut)); examples != want {
			t.Errorf("cut %d: %d examples, want %d", cut, examples, want)
		}
	}
	if calls != maxKinds+1 {
		t.Errorf("%d examples were rendered, want one a kind: %d", calls, maxKinds+1)
	}
}

func TestRecordingDoesNotAllocateOnceWarm(t *testing.T) {
	var pages Pages
	r := NewRecorder(4, &pages)
	s := &Sample{Stage: 1, Step: 2, Status: 200, End: 3 * time.Millisecond}
	bad := &Sample{Stage: 1, Step: 2, Class: Refused, Message: "refused", End: time.Millisecond}
	round := func() { r.Sample(s); r.Sample(bad); r.Lag(1000, 0); r.Drop(1, 2, time.Second, false) }
	round()
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
}

func TestUnforeseenStepsAndStages(t *testing.T) {
	r := NewRecorder(1, nil)
	for _, k := range []Key{{0, 0, Waited}, {500, 7, Waited}, {NoStage, 7, Waited}, {0, 3, Waited}, {-9, 0, Waited}} {
		r.Sample(&Sample{Stage: k.Stage, Step: k.Step})
		r.Sample(&Sample{Stage: k.Stage, Step: k.Step})
	}
	iv := r.Cut(0, 0, time.Second)
	if len(iv.Records) != 5 || slices.ContainsFunc(iv.Records, func(r Record) bool { return r.Requests != 2 }) {
		t.Errorf("records: %+v", iv.Records)
	}
}

func anyInterval(seed uint64, n int) *Interval {
	rng := rand.New(rand.NewPCG(seed, 0))
	r := NewRecorder(4, nil)
	fill(rng, n, r)
	iv := r.Cut(seed, time.Duration(seed)*time.Second, time.Second)
	iv.Source, iv.Users, iv.InFlight, iv.Notes, iv.Final = "ada", 3, -1, []string{"a note"}, seed%2 == 0
	iv.Audit = Audit{CPU: .5, Cores: 2, GCPauseP99: 5, Files: 9, Memory: 1 << 40, LimitHit: true, OwnErrors: 2}
	return iv
}

func TestIntervalRoundTrip(t *testing.T) {
	for seed := range uint64(20) {
		iv := anyInterval(seed, int(seed*seed))
		b := iv.AppendBinary([]byte("before"))
		got, rest, err := DecodeInterval(append(b[6:], "after"...))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(iv, got, exact, cmp.Comparer(func(a, b []Record) bool { return len(a) == 0 && len(b) == 0 || cmp.Equal(a, b, exact) })); d != "" {
			t.Errorf("seed %d (-written +read):\n%s", seed, d)
		}
		if string(rest) != "after" {
			t.Errorf("rest is %q", rest)
		}
	}
}

func TestIntervalOfANewerVersionIsRefusedByName(t *testing.T) {
	_, _, err := DecodeInterval([]byte{9, 0})
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("version 9")) {
		t.Errorf("error: %v", err)
	}
}

// An hour at 10,000 requests a second over ten steps, with the times of a service, must fit in some tens of megabytes.
func TestIntervalSize(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	r := NewRecorder(10, nil)
	for i := range 10_000 {
		wait := 3*time.Millisecond + time.Duration(rng.ExpFloat64()*float64(2*time.Millisecond))
		lag := time.Duration(20+rng.IntN(40)) * time.Microsecond
		send, receive := time.Duration(4+rng.IntN(4))*time.Microsecond, time.Duration(8+rng.IntN(40))*time.Microsecond
		r.Sample(&Sample{
			Step: uint16(i % 10), Status: 200, Start: lag, End: lag + send + wait + receive,
			Phases: [Phases]time.Duration{-1, -1, -1, send, wait, receive}, Reused: true,
		})
		r.Lag(lag, 0)
	}
	size := len(r.Cut(0, 0, time.Second).AppendBinary(nil))
	t.Logf("%d bytes a second, %.1f MB an hour", size, float64(size)*3600/1e6)
	if size > 25_000 {
		t.Errorf("an interval takes %d bytes", size)
	}
}

// claimed is a histogram of n times of 1 ms each, as a peer that lies could send it.
func claimed(n uint64) *Histogram {
	const ns = uint64(time.Millisecond)
	h := recorded(time.Millisecond)
	h.addAt(nil, indexOf(1000), n-1)
	h.count, h.sum, h.squares = n, times(ns, n), timesSquare(ns, n)
	return h
}

// What a peer claims may neither cost time without end, which unpacking a count of 2^63 does, nor make sums go around.
func TestCountsThatNoMachineMakesAreRefused(t *testing.T) {
	if _, _, err := decodeHistogram(claimed(maxTimes).AppendBinary(nil)); err != nil {
		t.Errorf("the greatest count: %v", err)
	}
	if _, _, err := decodeHistogram(claimed(maxTimes + 1).AppendBinary(nil)); !errors.Is(err, errTooMany) {
		t.Errorf("one more: %v", err)
	}
	var sum Histogram
	most := claimed(maxTimes)
	for range 1 << 16 { // as intervals of one second, less than a day
		sum.Add(most)
	}
	sum.Add(claimed(1))
	if got := sum.Mean(); got > Longest {
		t.Errorf("counts that have gone around have a mean of %v", got)
	}
}

func TestStatusesOfAnIntervalAreBounded(t *testing.T) {
	iv := new(Interval)
	for step := range uint16(maxStatuses/maxStatus + 1) {
		r := Record{Key: Key{Step: step}, Requests: maxStatus}
		for status := range uint16(maxStatus) {
			r.Status = append(r.Status, StatusCount{status, 1})
		}
		iv.Records = append(iv.Records, r)
	}
	if _, _, err := DecodeInterval(iv.AppendBinary(nil)); !errors.Is(err, errTooMany) {
		t.Errorf("%d records with %d statuses each: %v", len(iv.Records), maxStatus, err)
	}
	iv.Records = iv.Records[:len(iv.Records)-1]
	if _, _, err := DecodeInterval(iv.AppendBinary(nil)); err != nil {
		t.Errorf("%d records with %d statuses each: %v", len(iv.Records), maxStatus, err)
	}
}

// However many shards met however many kinds of errors, what they are merged to can be read again, and no error is lost.
func TestMergedKindsOfErrorsCanBeRead(t *testing.T) {
	iv, want := new(Interval), uint64(0)
	for shard := range 200 {
		r := NewRecorder(1, nil)
		for i := range maxKinds {
			r.Sample(&Sample{Class: Class(1 + i%(Classes-1)), Phase: Phase(i % Phases), Message: fmt.Sprint("shard ", shard, " kind ", i)})
			want++
		}
		iv.Merge(r.Cut(0, 0, time.Second))
	}
	got, _, err := DecodeInterval(iv.AppendBinary(nil))
	if err != nil {
		t.Fatal(err)
	}
	var total, others uint64
	for _, e := range got.Errors {
		total += e.Count
		if e.Message == otherKinds {
			others += e.Count
		}
	}
	if total != want || others == 0 || len(got.Errors) > maxErrors {
		t.Errorf("%d errors in %d kinds, %d of them other ones; want %d", total, len(got.Errors), others, want)
	}
}

// A record of a program that did not know of the shortest wait is read, and the wait is unknown.
func TestRecordWithoutTheShortestWait(t *testing.T) {
	r := Record{Dropped: 1, Response: *recorded(time.Second)}
	b := r.append(nil)
	b = b[:len(b)-1]
	binary.LittleEndian.PutUint32(b, uint32(len(b)-4))
	d := decoder{b: b, room: room{maxPages, maxStatuses}}
	var got Record
	if d.record(&got); d.err != nil || !cmp.Equal(got, r, exact) {
		t.Errorf("read as %+v, %v", got, d.err)
	}
}

// decodeHistogram reads a histogram as it stands in an interval, and returns the bytes after it.
func decodeHistogram(b []byte) (h Histogram, rest []byte, err error) {
	d := decoder{b: b, room: room{pages: tablePage}}
	h = d.histogram()
	return h, d.b, d.err
}

func FuzzDecodeHistogram(f *testing.F) {
	f.Add((&Histogram{}).AppendBinary(nil))
	f.Add(recorded(1, 1000, 5e6, 5e6, time.Hour, 2*time.Hour).AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, rest, err := decodeHistogram(b)
		if err != nil {
			return
		}
		h.Summary()
		again, left, err := decodeHistogram(h.AppendBinary(nil))
		if err != nil || len(left) != 0 || len(rest) > len(b) || !bytes.Equal(again.AppendBinary(nil), h.AppendBinary(nil)) {
			t.Fatalf("what was accepted is not stable: %v", err)
		}
	})
}

// The fuzzer works on the inflated body, where the fields are.
func FuzzDecodeInterval(f *testing.F) {
	for seed := range uint64(3) {
		f.Add(anyInterval(seed, 5).appendBody(nil))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := decoder{b: body, room: room{1000, maxStatuses}}
		iv := d.interval()
		if d.err != nil {
			return
		}
		again, _, err := DecodeInterval(iv.AppendBinary(nil))
		if err != nil {
			t.Fatalf("what was accepted cannot be read again: %v", err)
		}
		if !bytes.Equal(again.appendBody(nil), iv.appendBody(nil)) {
			t.Fatal("what was accepted is not stable")
		}
		tally := NewTally([]StepName{{}}, []StageInfo{{}}, nil)
		if iv.From < time.Hour && iv.Length < time.Hour { // a row a second takes its time
			tally.Add(iv)
			tally.Snapshot(iv.From + iv.Length)
		}
	})
}

func FuzzDecodeIntervalPacked(f *testing.F) {
	f.Add(anyInterval(1, 5).AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if iv, _, err := DecodeInterval(b); err == nil && iv == nil {
			t.Fatal("neither an interval nor an error")
		}
	})
}
