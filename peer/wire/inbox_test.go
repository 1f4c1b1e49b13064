package wire

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"lt/engine/metrics"
)

func TestInboxRefusesWhatCannotBe(t *testing.T) {
	good := func() *metrics.Interval { return busy(0, 200, 2) }
	for name, c := range map[string]struct {
		spoil func(b *Batch, iv *metrics.Interval)
		want  string
	}{
		"no number":       {func(b *Batch, _ *metrics.Interval) { b.Seq = 0 }, "batches are numbered from 1"},
		"a gap":           {func(b *Batch, _ *metrics.Interval) { b.Seq = 2 }, "it came after batch 0"},
		"no intervals":    {func(b *Batch, _ *metrics.Interval) { b.Count = 0 }, "it says that 0 intervals are in it"},
		"nothing":         {func(b *Batch, _ *metrics.Interval) { b.Data = []byte{} }, "read an interval of 0 bytes"},
		"too late":        {func(_ *Batch, iv *metrics.Interval) { iv.From = time.Hour }, "it ends at run time 1h0m1s"},
		"step":            {func(_ *Batch, iv *metrics.Interval) { iv.Records[0].Step = 2 }, "record 1: it is of step 3, and there are 2"},
		"stage":           {func(_ *Batch, iv *metrics.Interval) { iv.Records[0].Stage = 1 }, "record 1: it is of stage 2, and there are 1"},
		"step of error":   {func(_ *Batch, iv *metrics.Interval) { iv.Errors[0].Step = 2 }, "an error is of step 3, and there are 2"},
		"users":           {func(_ *Batch, iv *metrics.Interval) { iv.Users = -1 }, "it says that there are -1 of something"},
		"requests":        {func(_ *Batch, iv *metrics.Interval) { iv.Records[0].Requests = 1 << 60 }, "record 1: it counts 1152921504606846976 of something"},
		"scheduled":       {func(_ *Batch, iv *metrics.Interval) { iv.Scheduled = 1 << 60 }, "it counts 1152921504606846976 of something"},
		"errors":          {func(_ *Batch, iv *metrics.Interval) { iv.Records[0].Errors[metrics.Status] = 1 << 40 }, "record 1: it has 1099511627776 errors in"},
		"time of error":   {func(_ *Batch, iv *metrics.Interval) { iv.Errors[0].Last = 1 << 60 }, "an error of class status came"},
		"ports in use":    {func(_ *Batch, iv *metrics.Interval) { iv.Audit.Ports = 1 << 40 }, "it says that there are 1099511627776 of something"},
		"number of error": {func(_ *Batch, iv *metrics.Interval) { iv.Errors[0].Count = 1 << 60 }, "an error of class status came"},
	} {
		in := NewInbox(InboxConfig{Source: "ada", Steps: 2, Stages: 1, Latest: func() time.Duration { return time.Minute }})
		b, iv := Batch{Seq: 1, Count: 1}, good()
		c.spoil(&b, iv)
		if b.Data == nil {
			b.Data = iv.AppendBinary(nil)
		}
		_, fresh, err := in.Take(b)
		var e *BatchError
		if fresh || !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if totals, last := in.Account(); last != 0 || totals != (Totals{}) {
			t.Errorf("%s: something of it was entered: %+v", name, totals)
		}
		// What follows is judged by itself.
		if _, fresh, err := in.Take(Batch{Seq: 1, Count: 1, Data: good().AppendBinary(nil)}); !fresh || err != nil {
			t.Errorf("%s: and then: %v", name, err)
		}
	}
	in := inboxOf(2)
	if _, _, err := in.Take(Batch{Seq: 1, Count: 1, Data: append(good().AppendBinary(nil), 0)}); err == nil {
		t.Error("bytes after the interval were taken")
	}
}

// A pause has no stage; what a peer says of itself is harmless and bounded, and it cannot speak in another's name.
func TestInboxCleans(t *testing.T) {
	iv := busy(0, 100, 1)
	iv.Source, iv.Seq = "bob", 99
	iv.Records[0].Stage = metrics.NoStage
	iv.Errors, iv.Notes = nil, []string{"a\x1b[2Jb\u202e"}
	for range 2 * maxExamples {
		iv.Errors = append(iv.Errors, metrics.ErrorCount{Count: 1, Message: "a\rb", Example: "GET /\r\n\x1b]0;x\x07\r\n"})
	}
	got, fresh, err := inboxOf(1).Take(Batch{Seq: 1, Count: 3, Data: iv.AppendBinary(nil)})
	if err != nil || !fresh || got.Source != "ada" || got.Seq != 0 {
		t.Fatal(got, err)
	}
	if got.Notes[0] != `a\x1b[2Jb\u202e` || got.Errors[0].Message != `a\rb` || got.Errors[0].Example != "GET /\n\\x1b]0;x\\x07\n" {
		t.Errorf("%q %q %q", got.Notes, got.Errors[0].Message, got.Errors[0].Example)
	}
	if got.Errors[maxExamples-1].Example == "" || got.Errors[maxExamples].Example != "" || len(got.Errors) != 2*maxExamples {
		t.Error("examples are not bounded")
	}
}

// inflated is the body of an encoded interval: behind a byte of version and the length of what follows.
func inflated(f *testing.F, iv *metrics.Interval) []byte {
	data := iv.AppendBinary(nil)[1:]
	_, n := binary.Uvarint(data)
	body, err := io.ReadAll(flate.NewReader(bytes.NewReader(data[n:])))
	if err != nil {
		f.Fatal(err)
	}
	return body
}

func deflated(body []byte) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.NoCompression)
	w.Write(body)
	w.Close()
	return append(binary.AppendUvarint([]byte{1}, uint64(b.Len())), b.Bytes()...)
}

// Whatever comes, the inbox neither falls over nor hands on what its consumers cannot bear, and it counts what it hands on.
func FuzzInbox(f *testing.F) {
	f.Add(uint64(1), uint64(1), false, busy(0, 100, 2).AppendBinary(nil))
	f.Add(uint64(1), uint64(1), true, inflated(f, busy(0, 100, 2)))
	f.Add(uint64(1), uint64(2), true, inflated(f, busy(3, 1, 1)))
	f.Fuzz(func(t *testing.T, seq, count uint64, pack bool, data []byte) {
		if pack { // else hardly anything gets past the inflater
			data = deflated(data)
		}
		in := inboxOf(2)
		iv, fresh, err := in.Take(Batch{Seq: seq, Count: count, Data: data})
		if fresh != (iv != nil) || fresh && err != nil {
			t.Fatal(iv, fresh, err)
		}
		if !fresh {
			return
		}
		var want Totals
		want.Add(iv, count)
		if got, last := in.Account(); got != want || last != 1 {
			t.Fatal(got, want, last)
		}
		steps := []metrics.StepName{{Step: "a"}, {Step: "b"}}
		tally := metrics.NewTally(steps, []metrics.StageInfo{{Name: "s"}}, nil)
		if iv.From+iv.Length < time.Hour { // a row of memory a second
			tally.Add(iv)
		}
		// It may be joined and sent again.
		same, _, err := metrics.DecodeInterval(data)
		if err != nil {
			t.Fatal(err)
		}
		iv.Merge(same)
		if _, _, err := metrics.DecodeInterval(iv.AppendBinary(nil)); err != nil {
			t.Fatal(err)
		}
	})
}
