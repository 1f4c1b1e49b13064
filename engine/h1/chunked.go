package h1

import (
	"bytes"
	"strconv"
)

// maxDigits bounds a chunk's size: 16 hexadecimal digits hold every 64-bit number, and endless leading zeros are
// not a number.
const maxDigits = 16

// feedChunked reads a chunked body (RFC 9112 section 7.1). Lines end in CRLF only: a bare LF that one program takes
// for an end of line and another for part of an extension hides bytes from one of them.
//
//	size [pad] [;extension] CRLF  data CRLF  ...  0 CRLF  [name: value CRLF ...]  CRLF
//
// Extensions are skipped and trailers checked and dropped; together they may have limit bytes.
func (p *Parser) feedChunked(limit int, b []byte) (n int, ev Event, chunk []byte, err *Error) {
	for n < len(b) {
		if p.state == chunkData {
			data := b[n:]
			if int64(len(data)) >= p.remain {
				data = data[:p.remain]
				p.state = chunkCR
			}
			p.remain -= int64(len(data))
			return n + len(data), Body, data, nil
		}
		c := b[n]
		switch p.state {
		case sizeFirst, sizeDigits:
			if v := hexValues[c]; v < 16 {
				if p.digits == maxDigits || p.remain>>59 != 0 {
					return n, NeedMore, nil, &Error{BadChunk, "the size of a chunk is too great"}
				}
				p.digits++
				p.remain = p.remain<<4 | int64(v)
				p.state = sizeDigits
				break
			}
			switch {
			case p.state == sizeFirst:
				return n, NeedMore, nil, unexpected("for the size of a chunk", b[n:])
			case c == '\r':
				p.state = sizeLF
			case c == ';':
				p.state = sizeExtension
			case c == ' ' || c == '\t':
				p.state = sizePad
			default:
				return n, NeedMore, nil, unexpected("in the size of a chunk", b[n:])
			}
		case sizePad:
			switch c {
			case '\r':
				p.state = sizeLF
			case ';':
				p.state = sizeExtension
			case ' ', '\t':
			default:
				return n, NeedMore, nil, unexpected("behind the size of a chunk", b[n:])
			}
		case sizeExtension:
			switch c {
			case '\r':
				p.state = sizeLF
			case '\n', 0:
				return n, NeedMore, nil, unexpected("in a chunk extension", b[n:])
			}
		case sizeLF:
			if c != '\n' {
				return n, NeedMore, nil, unexpected("for the LF behind the size of a chunk", b[n:])
			}
			p.digits = 0
			p.state = chunkData
			if p.remain == 0 {
				p.state = trailerStart
			}
		case chunkCR:
			if c != '\r' {
				return n, NeedMore, nil, unexpected("for the CRLF behind a chunk", b[n:])
			}
			p.state = chunkLF
		case chunkLF:
			if c != '\n' {
				return n, NeedMore, nil, unexpected("for the LF behind a chunk", b[n:])
			}
			p.state = sizeFirst
		case trailerStart:
			switch {
			case c == '\r':
				p.state = lastLF
			case tokens[c]:
				p.state = trailerName
			default:
				return n, NeedMore, nil, &Error{BadField, "in the trailer: " + firstLine(b[n:])}
			}
		case trailerName:
			switch {
			case c == ':':
				p.state = trailerValue
			case !tokens[c]:
				return n, NeedMore, nil, &Error{BadField, "in the trailer, at " + firstLine(b[n:])}
			}
		case trailerValue:
			switch c {
			case '\r':
				p.state = trailerLF
			case '\n', 0:
				return n, NeedMore, nil, &Error{BadField, "in the trailer, at " + firstLine(b[n:])}
			}
		case trailerLF:
			if c != '\n' {
				return n, NeedMore, nil, &Error{BadField, "a bare CR in the trailer"}
			}
			p.state = trailerStart
		case lastLF:
			if c != '\n' {
				return n, NeedMore, nil, unexpected("for the last LF of the chunked body", b[n:])
			}
			p.state = idle
			return n + 1, End, nil, nil
		}
		switch p.state {
		case sizePad, sizeExtension, trailerName, trailerValue, trailerLF:
			p.spent++
			if int(p.spent) > limit {
				return n, NeedMore, nil, &Error{HeadTooLarge, "chunk extensions and trailers have more than " + strconv.Itoa(limit) + " bytes"}
			}
		}
		n++
	}
	return n, NeedMore, nil, nil
}

// unexpected is the error of b where something else was due.
func unexpected(where string, b []byte) *Error {
	return &Error{BadChunk, firstLine(b) + " " + where}
}

// firstLine shows b up to the end of its first line.
func firstLine(b []byte) string {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[:i+1]
	}
	return shown(b)
}

// hexValues has the value of each hexadecimal digit, and 16 for every other byte.
var hexValues = func() (t [256]uint8) {
	for i := range t {
		t[i] = 16
	}
	for i := range uint8(10) {
		t['0'+i] = i
	}
	for i := range uint8(6) {
		t['a'+i], t['A'+i] = 10+i, 10+i
	}
	return t
}()
