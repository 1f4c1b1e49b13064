package h1

import (
	"io"
	"strconv"
)

// Kind says in what way an answer was wrong. The zero Kind is no error.
type Kind uint8

// The kinds of errors.
const (
	_ Kind = iota
	// BadStatusLine: the first line is not that of an HTTP/1.x answer.
	BadStatusLine
	// BadField: a line of the head or a trailer is not a field, or holds a bare CR or a NUL.
	BadField
	// HeadTooLarge: head, interim heads and trailers go beyond Limits.HeadBytes.
	HeadTooLarge
	// BadLength: a Content-Length is not a decimal number that fits in 63 bits.
	BadLength
	// LengthsDiffer: two Content-Lengths contradict each other.
	LengthsDiffer
	// LengthAndCoding: Content-Length and Transfer-Encoding come together.
	LengthAndCoding
	// BadCoding: the Transfer-Encoding is not exactly chunked, or came with HTTP/1.0.
	BadCoding
	// BadChunk: a chunk's size or an end of line in the chunked body is malformed.
	BadChunk
	// Switched: the answer is 101; nothing here asks to change the protocol.
	Switched
	// CutShort: the peer closed inside the answer or before it. Such an Error is io.ErrUnexpectedEOF to errors.Is.
	CutShort
	// Unsolicited: bytes came while no answer was due: behind the last one, or before a request.
	Unsolicited
)

var kindTexts = [...]string{
	"no error",
	"malformed status line",
	"malformed header field",
	"answer's head too large",
	"malformed content-length",
	"conflicting content-lengths",
	"content-length together with transfer-encoding",
	"unsupported transfer-encoding",
	"malformed chunked body",
	"unexpected switch of protocols",
	"connection closed early",
	"bytes that no request asked for",
}

// String gives the kind in a few words, in lower case and without a full stop.
func (k Kind) String() string {
	if int(k) < len(kindTexts) {
		return kindTexts[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Error is an answer that cannot be read. The connection it came on must be closed. Errors are told apart by Kind.
type Error struct {
	Kind Kind
	// Detail says what was met, in at most about 200 bytes of printable ASCII whatever the peer sent.
	Detail string
}

// Error gives the kind and what was met.
func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Kind.String()
	}
	return e.Kind.String() + ": " + e.Detail
}

// Unwrap gives io.ErrUnexpectedEOF for CutShort and nil for the others.
func (e *Error) Unwrap() error {
	if e.Kind == CutShort {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// maxShown bounds how much of the peer's bytes an error shows: enough to recognise a line, too little to flood one.
const maxShown = 40

// shown quotes the beginning of what a peer sent, in printable ASCII.
func shown(b []byte) string {
	more := ""
	if len(b) > maxShown {
		b, more = b[:maxShown], "..."
	}
	return strconv.QuoteToASCII(string(b)) + more
}
