package journey

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func packed(t testing.TB, coding string, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib":
		w = zlib.NewWriter(&b)
	case "raw":
		w, _ = flate.NewWriter(&b, flate.BestCompression)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestInflateUndoesWhatWasDone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		body := []byte(strings.Repeat(rapid.String().Draw(rt, "text"), rapid.IntRange(0, 40).Draw(rt, "repeat")))
		for encoding, in := range map[string][]byte{
			"gzip": packed(t, "gzip", body), " X-GZIP ": packed(t, "gzip", body), "deflate": packed(t, "zlib", body), "Deflate": packed(t, "raw", body),
			"": body, "identity": body, "deflate, gzip": packed(t, "gzip", packed(t, "zlib", body)), "gzip,identity": packed(t, "gzip", body),
		} {
			got, err := Inflate([]byte("x"), []byte(encoding), in, 1<<20)
			if err != nil || string(got) != "x"+string(body) {
				rt.Fatalf("%q: %q, %v", encoding, got, err)
			}
		}
	})
}

func TestInflateRefuses(t *testing.T) {
	zeros := make([]byte, 10<<20)
	text := packed(t, "gzip", []byte(strings.Repeat("text ", 100)))
	for _, test := range []struct {
		name, encoding string
		body           []byte
		limit          int
		err            error
		length         int // of what is decoded; -1: whatever
	}{
		{"bomb", "gzip", packed(t, "gzip", zeros), 64 << 20, ErrInflateBomb, -1},
		{"bomb in a bomb", "gzip, gzip", packed(t, "gzip", packed(t, "gzip", zeros)), 64 << 20, ErrInflateBomb, -1},
		{"small but dense is no bomb", "gzip", packed(t, "gzip", zeros[:60<<10]), 1 << 20, nil, 60 << 10},
		{"too long", "gzip", text, 100, ErrInflateTooLong, 100},
		{"too long as it is", "", text, 5, ErrInflateTooLong, 5},
		{"unknown", "br", text, 1000, ErrInflateEncoding, 0},
		{"unknown with controls", "b\x1b[2Jr", text, 1000, ErrInflateEncoding, 0},
		{"no gzip", "gzip", []byte("plain text"), 1000, ErrInflateBroken, 0},
		{"cut", "gzip", text[:len(text)-10], 1000, ErrInflateBroken, -1},
		{"wrong sum", "gzip", append(text[:len(text)-8:len(text)-8], make([]byte, 8)...), 1000, ErrInflateBroken, 500},
		{"empty", "gzip", nil, 1000, ErrInflateBroken, 0},
	} {
		got, err := Inflate(nil, []byte(test.encoding), test.body, test.limit)
		if !errors.Is(err, test.err) || test.length >= 0 && len(got) != test.length || len(got) > test.limit || test.err == ErrInflateBomb && len(got) > max(100*len(test.body), 64<<10) {
			t.Errorf("%s: %d bytes, %v; want %d, %v", test.name, len(got), err, test.length, test.err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%s: control character in %q", test.name, err)
		}
	}
}

func FuzzInflate(f *testing.F) {
	f.Add("gzip", packed(f, "gzip", []byte("some text")))
	f.Add("deflate", packed(f, "zlib", []byte("some text")))
	f.Add("deflate,gzip", []byte("\x1f\x8b\x08"))
	f.Fuzz(func(t *testing.T, encoding string, body []byte) {
		got, err := Inflate(nil, []byte(encoding), body, 1<<20)
		if len(got) > 1<<20 {
			t.Fatalf("%d bytes", len(got))
		}
		if err != nil && !errors.Is(err, ErrInflateBomb) && !errors.Is(err, ErrInflateBroken) && !errors.Is(err, ErrInflateEncoding) && !errors.Is(err, ErrInflateTooLong) {
			t.Fatalf("an error without a cause: %v", err)
		}
	})
}
