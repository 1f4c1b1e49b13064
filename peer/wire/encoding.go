package wire

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// MaxJob bounds an encoded job, in bytes: the bodies of all its files are in it.
const MaxJob = 256 << 20

// encoding is CBOR (RFC 8949) with a number for each field of a message. Times travel as RFC 3339 with nanoseconds.
var encoding = func() cbor.EncMode {
	m, err := cbor.EncOptions{Time: cbor.TimeRFC3339Nano, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden}.EncMode()
	if err != nil {
		panic(err)
	}
	return m
}()

// decoding reads it. What comes from the other side may be hostile, so every count is bounded; a field that only a newer program
// knows is ignored; a string may hold any bytes, since a value of the environment may.
func decoding(elements, pairs, levels int) cbor.DecMode {
	m, err := cbor.DecOptions{
		MaxArrayElements: elements, MaxMapPairs: pairs, MaxNestedLevels: levels,
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		UTF8: cbor.UTF8DecodeInvalid, FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}

var (
	messages = decoding(1<<13, 1<<8, 16)
	jobs     = decoding(1<<16, 1<<16, 64)
)

// Encode encodes a message or a job. It panics on a type that CBOR cannot hold, such as a function.
func Encode(v any) []byte {
	b, err := encoding.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("wire: encode %T: %v", v, err))
	}
	return b
}

// Decode reads one message into v, a pointer. Bytes after it are an error.
func Decode(b []byte, v any) error { return decode(messages, b, v) }

// DecodeJob is Decode for a job, which may be far larger than a message.
func DecodeJob(b []byte, v any) error {
	if len(b) > MaxJob {
		return fmt.Errorf("read %T: it has %d bytes, and at most %d are taken", v, len(b), MaxJob)
	}
	return decode(jobs, b, v)
}

func decode(m cbor.DecMode, b []byte, v any) error {
	if err := m.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read %T of %d bytes, % x: %w", v, len(b), b[:min(len(b), 32)], err)
	}
	return nil
}
