package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A frame is what a message travels in: its length and its CRC32C (Castagnoli), four bytes each, little endian, then so many
// bytes of payload. The checksum is there for what ssh's own does not see: prints of a library, a proxy that edits text, a bug.
const frameHead = 8

// piece is the most that goes into one write: what is larger keeps the other streams waiting (256 KiB take 2 s at 1 Mbit/s).
const piece = 16 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// FrameError is a frame that cannot be one. The session that it came from cannot be trusted any further.
type FrameError struct {
	Problem string
	Dump    []byte // the first bytes, at most 32
}

func (e *FrameError) Error() string {
	return fmt.Sprintf("%s; it begins with % x", e.Problem, e.Dump)
}

func frameError(dump []byte, format string, args ...any) error {
	return &FrameError{Problem: fmt.Sprintf(format, args...), Dump: append([]byte(nil), dump[:min(len(dump), 32)]...)}
}

// AppendFrame appends a frame that holds payload.
func AppendFrame(b, payload []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(payload, castagnoli))
	return append(b, payload...)
}

// WriteFrame writes a frame that holds payload, which must not be longer than limit. After an error the stream is of no use
// any more.
func WriteFrame(w io.Writer, payload []byte, limit int) error {
	if len(payload) > limit {
		return frameError(payload, "a frame of %d bytes is to be sent where %d are allowed", len(payload), limit)
	}
	b := AppendFrame(make([]byte, 0, frameHead+len(payload)), payload)
	for len(b) > 0 {
		n, err := w.Write(b[:min(len(b), piece)])
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// ReadFrame reads one frame and returns its payload, of at most limit bytes. The error is io.EOF if r ended before the frame
// began, io.ErrUnexpectedEOF if it ended within, a *FrameError if the frame is none, else that of r. Memory is taken as the bytes
// come, not as the frame promises.
func ReadFrame(r io.Reader, limit int) ([]byte, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(head[:])
	if uint64(size) > uint64(limit) {
		return nil, frameError(head[:], "a frame says that it holds %d bytes where %d are allowed", size, limit)
	}
	payload := make([]byte, 0, min(int(size), piece))
	for len(payload) < int(size) {
		if len(payload) == cap(payload) {
			grown := make([]byte, len(payload), min(int(size), 2*cap(payload)))
			copy(grown, payload)
			payload = grown
		}
		n, err := r.Read(payload[len(payload):cap(payload)])
		payload = payload[:len(payload)+n]
		if err != nil && len(payload) < int(size) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	if sum := crc32.Checksum(payload, castagnoli); sum != binary.LittleEndian.Uint32(head[4:]) {
		return nil, frameError(append(head[:], payload[:min(len(payload), 32-frameHead)]...), "a frame of %d bytes arrived with the wrong checksum", size)
	}
	return payload, nil
}
