package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	payloads := [][]byte{{}, []byte("a"), bytes.Repeat([]byte("xy"), 50_000)}
	for _, p := range payloads {
		if err := WriteFrame(&b, p, 100_000); err != nil {
			t.Fatal(err)
		}
	}
	whole := bytes.Clone(b.Bytes())
	for name, r := range map[string]io.Reader{"at once": bytes.NewReader(whole), "by bytes": iotest.OneByteReader(bytes.NewReader(whole)), "with the end": iotest.DataErrReader(bytes.NewReader(whole))} {
		for i, p := range payloads {
			got, err := ReadFrame(r, 100_000)
			if err != nil || !bytes.Equal(got, p) {
				t.Fatalf("%s: frame %d: %d bytes, %v", name, i, len(got), err)
			}
		}
		if _, err := ReadFrame(r, 100_000); err != io.EOF {
			t.Fatalf("%s: after the last: %v", name, err)
		}
	}
}

// pieces counts the largest write.
type pieces struct{ largest int }

func (p *pieces) Write(b []byte) (int, error) {
	p.largest = max(p.largest, len(b))
	return len(b), nil
}

func TestFramesAreWrittenInPieces(t *testing.T) {
	var p pieces
	if err := WriteFrame(&p, make([]byte, 1<<20), 1<<20); err != nil {
		t.Fatal(err)
	}
	if p.largest > 16<<10 {
		t.Fatalf("%d bytes in one write", p.largest)
	}
}

func TestFrameErrors(t *testing.T) {
	good := AppendFrame(nil, []byte("hello, this is a frame of more than thirty-two bytes"))
	flipped := bytes.Clone(good)
	flipped[20] ^= 1
	for name, c := range map[string]struct {
		in    []byte
		limit int
		want  string
	}{
		"too long":       {good, 10, "a frame says that it holds 52 bytes where 10 are allowed; it begins with 34 00 00 00"},
		"wrong checksum": {flipped, 100, "a frame of 52 bytes arrived with the wrong checksum"},
		"text":           {[]byte("bash: no job control in this shell\n"), 1 << 20, "a frame says that it holds 1752392034 bytes where 1048576 are allowed; it begins with 62 61 73 68"},
	} {
		_, err := ReadFrame(bytes.NewReader(c.in), c.limit)
		var f *FrameError
		if !errors.As(err, &f) || !strings.HasPrefix(err.Error(), c.want) || len(f.Dump) > 32 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, cut := range []int{1, 7, 8, 30, len(good) - 1} {
		if _, err := ReadFrame(bytes.NewReader(good[:cut]), 100); err != io.ErrUnexpectedEOF {
			t.Errorf("cut after %d: %v", cut, err)
		}
	}
	broken := errors.New("broken")
	if _, err := ReadFrame(io.MultiReader(bytes.NewReader(good[:20]), iotest.ErrReader(broken)), 100); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := WriteFrame(io.Discard, make([]byte, 11), 10); !errors.As(err, new(*FrameError)) {
		t.Error(err)
	}
}

// A frame that promises much and brings little takes little memory.
func TestFramePromises(t *testing.T) {
	head := []byte{0, 0, 0, 0x10, 1, 2, 3, 4, 5}
	got := testing.AllocsPerRun(10, func() {
		if _, err := ReadFrame(bytes.NewReader(head), 1<<30); err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
	})
	var sizes pieces
	r := io.TeeReader(bytes.NewReader(head), &sizes)
	if _, err := ReadFrame(r, 1<<30); err == nil || got > 10 || sizes.largest > 16<<10 {
		t.Fatal(err, got, sizes.largest)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(AppendFrame(AppendFrame(nil, []byte("one")), nil))
	f.Add([]byte("bash: no job control in this shell\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		for {
			at := len(in) - r.Len()
			p, err := ReadFrame(r, 1000)
			if err != nil {
				return
			}
			if back := AppendFrame(nil, p); !bytes.Equal(back, in[at:len(in)-r.Len()]) {
				t.Fatalf("% x was read from % x", p, in[at:])
			}
		}
	})
}
