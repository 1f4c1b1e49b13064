package wire

import (
	"bytes"
	"math/rand"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/fxamacker/cbor/v2"

	"lt/engine/load"
)

// all has one value of each message, by its name.
var all = map[string]func() any{
	"Envelope": func() any { return new(Envelope) }, "Error": func() any { return new(Error) }, "Plan": func() any { return new(Plan) },
	"Ready": func() any { return new(Ready) }, "Preflight": func() any { return new(Preflight) }, "Arm": func() any { return new(Arm) },
	"Changes": func() any { return new(Changes) }, "Applied": func() any { return new(Applied) }, "Stop": func() any { return new(Stop) },
	"Warn": func() any { return new(Warn) }, "Fin": func() any { return new(Fin) }, "Beat": func() any { return new(Beat) },
	"Answer": func() any { return new(Answer) }, "Batch": func() any { return new(Batch) }, "Ack": func() any { return new(Ack) },
	"Line": func() any { return new(Line) },
}

// Every message comes back as it went, whatever is in it.
func TestMessagesComeBack(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for name, make := range all {
		for range 200 {
			v, ok := quick.Value(reflect.TypeOf(make()).Elem(), r)
			if !ok {
				t.Fatal(name)
			}
			want := reflect.New(v.Type())
			want.Elem().Set(v)
			got := make()
			if err := Decode(Encode(want.Interface()), got); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			// A field that is left out when empty comes back as nil.
			if a, b := Encode(got), Encode(want.Interface()); !bytes.Equal(a, b) {
				t.Fatalf("%s: %+v came back as %+v", name, want.Interface(), got)
			}
		}
	}
}

func TestChangesComeBack(t *testing.T) {
	want := Changes{From: 3, Entries: []load.Change{
		{At: time.Second, Kind: load.Factor, Factor: 1.1},
		{At: 2 * time.Second, Kind: load.Reshare, Epoch: &load.Epoch{ID: 2, From: 17, Table: []uint16{0, 1, 65535}}},
	}}
	var got Changes
	if err := Decode(Encode(want), &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatal(got, err)
	}
	// The largest table there is fits, as often as a run will need it.
	full := Changes{}
	for i := range 60 {
		full.Entries = append(full.Entries, load.Change{At: time.Duration(i), Kind: load.Reshare, Epoch: &load.Epoch{ID: i, Table: bigTable()}})
	}
	b := Encode(full)
	if err := Decode(b, &got); err != nil || !reflect.DeepEqual(got, full) {
		t.Fatal(err)
	}
	t.Logf("60 tables of 4096 entries: %d bytes of %d", len(b), MaxControl)
	if len(b) > MaxControl-100 {
		t.Error("they do not fit into one message")
	}
}

func bigTable() []uint16 {
	table := make([]uint16, 4096)
	for i := range table {
		table[i] = uint16(i % 64)
	}
	return table
}

func TestDecodeIsStrictWhereItMatters(t *testing.T) {
	ack := Encode(Ack{Upto: 5})
	var got Ack
	if err := Decode(append(bytes.Clone(ack), 0), &got); err == nil {
		t.Error("bytes after the message were taken")
	}
	newer, err := cbor.Marshal(map[int]any{1: 6, 2: "of a newer program", 99: []int{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	if err := Decode(newer, &got); err != nil || got.Upto != 6 {
		t.Error("a newer program's field was not ignored:", got, err)
	}
	for name, in := range map[string][]byte{
		"nothing": {}, "text": []byte("hello"), "negative": {0xa1, 1, 0x20}, "twice": {0xa2, 1, 1, 1, 2}, "endless": {0xbf, 1, 1, 0xff},
		"deep": bytes.Repeat([]byte{0x81}, 100), "wide": append([]byte{0x9a, 0x7f, 0xff, 0xff, 0xff}, 1), "tagged": {0xa1, 1, 0xc1, 1},
	} {
		err := Decode(in, &got)
		if err == nil {
			t.Errorf("%s was taken: %+v", name, got)
		} else if !strings.HasPrefix(err.Error(), "read *wire.Ack of ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var e Error
	if err := Decode(Encode(Error{Text: "caf\xe9"}), &e); err != nil || e.Text != "caf\xe9" {
		t.Error("a string that is no UTF-8 did not come through:", err)
	}
}

// A heartbeat and its answer fit into their frames whatever they say.
func TestBeatsFit(t *testing.T) {
	most := time.Duration(-1 << 63)
	if n := len(Encode(Beat{^uint64(0), most, most, most, most, -1 << 63, ^uint64(0), most, most})); n > MaxBeat {
		t.Error(n)
	}
	if n := len(Encode(Answer{^uint64(0), most, most, most})); n > MaxBeat {
		t.Error(n)
	}
}

// What was read once is written as it is read again, and nothing makes the decoder fall over.
func FuzzMessages(f *testing.F) {
	for name, make := range all {
		f.Add(name, Encode(make()))
	}
	f.Add("Changes", Encode(Changes{Entries: []load.Change{{Kind: load.Reshare, Epoch: &load.Epoch{Table: []uint16{1}}}}}))
	f.Fuzz(func(t *testing.T, name string, in []byte) {
		make := all[name]
		if make == nil {
			return
		}
		v := make()
		if Decode(in, v) != nil {
			return
		}
		once := Encode(v)
		again := make()
		if err := Decode(once, again); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if twice := Encode(again); !bytes.Equal(once, twice) {
			t.Fatalf("%s: % x became % x", name, once, twice)
		}
	})
}
