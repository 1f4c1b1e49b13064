package history

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"lt/engine/ledger"
	"lt/engine/metrics"
)

const (
	magic  = "LTRUN\x01\r\n"
	footer = "LTEND\x01\r\n"

	// maxFrame bounds what a reader allocates for one frame. An interval of many steps takes some 10 KiB; its own decoder
	// accepts at most 64 MiB inflated.
	maxFrame = 96 << 20

	// maxHeader bounds a header: a scenario's text of at most a few hundred KiB, and a line for each step, stage and source.
	// maxText bounds the other items in JSON, which are sentences.
	maxHeader = 8 << 20
	maxText   = 1 << 20

	// overhead of a frame: length, kind and sum.
	overhead = 4 + 1 + 4
)

// kind says what a frame holds. The numbers are part of the format.
type kind byte

const (
	kindHeader kind = 1 + iota
	kindInterval
	kindEvent
	kindEdge
	kindPause
	kindChange
	kindSource
	kindEnd
	kindTrailer
	kindGap
	kindBegin
)

// castagnoli is the polynomial of CRC-32C, for which processors have an instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendFrame appends a frame whose payload fill appends.
func appendFrame(b []byte, k kind, fill func([]byte) ([]byte, error)) ([]byte, error) {
	at := len(b)
	b = append(b, 0, 0, 0, 0, byte(k))
	b, err := fill(b)
	if err != nil {
		return b[:at], err
	}
	n := len(b) - at - 5
	if n > maxFrame {
		return b[:at], fmt.Errorf("an entry of %d bytes is longer than the %d that a record takes", n, maxFrame)
	}
	binary.LittleEndian.PutUint32(b[at:], uint32(n))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[at+4:], castagnoli)), nil
}

func appendJSON(v any) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		text, err := json.Marshal(v)
		return append(b, text...), err
	}
}

// appendItem appends the frame of an item.
func appendItem(b []byte, item ledger.Item) ([]byte, error) {
	switch it := item.(type) {
	case *metrics.Interval:
		return appendFrame(b, kindInterval, func(b []byte) ([]byte, error) { return it.AppendBinary(b), nil })
	case *ledger.Event:
		return appendFrame(b, kindEvent, appendJSON(it))
	case *ledger.StageEdge:
		return appendFrame(b, kindEdge, appendJSON(it))
	case *ledger.Pause:
		return appendFrame(b, kindPause, appendJSON(it))
	case *ledger.Change:
		return appendFrame(b, kindChange, appendJSON(it))
	case *ledger.SourceState:
		return appendFrame(b, kindSource, appendJSON(it))
	case *ledger.End:
		return appendFrame(b, kindEnd, appendJSON(it))
	case *ledger.Gap:
		return appendFrame(b, kindGap, appendJSON(it))
	case *ledger.Begin:
		return appendFrame(b, kindBegin, appendJSON(it))
	}
	return b, fmt.Errorf("%T is not an item of a run", item)
}

// decodeItem is the item of a frame; nil for kinds that are none.
func decodeItem(k kind, payload []byte) (ledger.Item, error) {
	var item ledger.Item
	switch k {
	case kindInterval:
		iv, _, err := metrics.DecodeInterval(payload)
		if err != nil {
			return nil, err
		}
		return iv, nil
	case kindEvent:
		item = new(ledger.Event)
	case kindEdge:
		item = new(ledger.StageEdge)
	case kindPause:
		item = new(ledger.Pause)
	case kindChange:
		item = new(ledger.Change)
	case kindSource:
		item = new(ledger.SourceState)
	case kindEnd:
		item = new(ledger.End)
	case kindGap:
		item = new(ledger.Gap)
	case kindBegin:
		item = new(ledger.Begin)
	default:
		return nil, nil
	}
	if len(payload) > maxText {
		return nil, fmt.Errorf("an item has %d bytes, and %d are the most", len(payload), maxText)
	}
	return item, json.Unmarshal(payload, item)
}

// errTorn means that the record ends in the middle of a frame, or that the frame was damaged.
var errTorn = errors.New("a frame is cut off or damaged")

// frames reads one frame after the other.
type frames struct {
	r    *bufio.Reader
	at   int64 // offset of the next frame
	buf  []byte
	head [5]byte
}

// openFrames checks the magic.
func openFrames(r io.Reader) (*frames, error) {
	f := &frames{r: bufio.NewReaderSize(r, 256<<10), at: int64(len(magic))}
	got := make([]byte, len(magic))
	switch _, err := io.ReadFull(f.r, got); {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("it is too short to be a record of a run")
	case err != nil:
		return nil, err
	}
	if string(got[:5]) != magic[:5] {
		return nil, errors.New("it is not a record of a run (it does not begin with LTRUN)")
	}
	if string(got) != magic {
		return nil, fmt.Errorf("it is a record of version %d and this program reads version %d; use the version of lt that wrote it", got[5], magic[5])
	}
	return f, nil
}

// next is the next frame; the payload is valid until the following call. io.EOF means that the file ends here, errTorn that it
// ends wrongly.
func (f *frames) next() (kind, []byte, error) {
	switch _, err := io.ReadFull(f.r, f.head[:]); {
	case errors.Is(err, io.EOF):
		return 0, nil, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return 0, nil, errTorn
	case err != nil:
		return 0, nil, err
	}
	n := binary.LittleEndian.Uint32(f.head[:])
	if n > maxFrame {
		return 0, nil, errTorn
	}
	if err := f.fill(int(n) + 4); err != nil {
		return 0, nil, err
	}
	payload, sum := f.buf[:n], binary.LittleEndian.Uint32(f.buf[n:])
	crc := crc32.Update(crc32.Checksum(f.head[4:], castagnoli), castagnoli, payload)
	if crc != sum {
		return 0, nil, errTorn
	}
	f.at += int64(n) + overhead
	return kind(f.head[4]), payload, nil
}

// fill reads n bytes into the buffer, which grows with what is really there: a length that only claims to be great costs
// nothing.
func (f *frames) fill(n int) error {
	const step = 1 << 20
	f.buf = f.buf[:0]
	for len(f.buf) < n {
		from := len(f.buf)
		part := min(n-from, step)
		if cap(f.buf) < from+part {
			grown := make([]byte, from, max(2*cap(f.buf), from+part))
			copy(grown, f.buf)
			f.buf = grown
		}
		f.buf = f.buf[:from+part]
		if _, err := io.ReadFull(f.r, f.buf[from:]); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return errTorn
			}
			return err
		}
	}
	return nil
}
