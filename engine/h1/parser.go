package h1

import (
	"bytes"
	"strconv"
)

// Event is what Feed met.
type Event uint8

// The events of one answer, in order: any number of Informational, one HeadEnd, any number of Body, one End.
const (
	// NeedMore: all of b is consumed and the answer goes on.
	NeedMore Event = iota
	// Informational: an interim (1xx) head is complete, Scratch.Head; another head follows.
	Informational
	// HeadEnd: the final head is complete, Scratch.Head.
	HeadEnd
	// Body: chunk is a piece of the decoded payload, a part of b, never empty.
	Body
	// End: the answer is complete. What is left of b does not belong to it.
	End
)

var eventTexts = [...]string{"need more", "informational", "head end", "body", "end"}

// String names the event.
func (e Event) String() string {
	if int(e) < len(eventTexts) {
		return eventTexts[e]
	}
	return "event " + strconv.Itoa(int(e))
}

// state is where in an answer a parser is.
type state uint8

const (
	idle       state = iota // no answer is due
	inHead                  // in the head, or before it
	counted                 // in a body of known length; remain counts it down
	untilClose              // in a body that ends with the connection
	ended                   // complete but for the End event
	failed                  // an error was given; kind is its kind
	// The chunked body, in order; see chunked.go.
	sizeFirst
	sizeDigits
	sizePad
	sizeExtension
	sizeLF
	chunkData
	chunkCR
	chunkLF
	trailerStart
	trailerName
	trailerValue
	trailerLF
	lastLF
)

// Parser reads the answers of one connection, one exchange after the other. The zero value is ready for Begin. It
// is 24 bytes without pointers, so that a hundred thousand idle ones cost little memory and the collector no time.
type Parser struct {
	remain  int64 // bytes left of a counted body or of this chunk
	spent   int32 // bytes counted against Limits.HeadBytes: heads, later extensions and trailers
	part    int32 // number of the Scratch's part that holds the beginning of a cut head, 0 if none
	state   state
	kind    Kind  // of the error given, in state failed
	noBody  bool  // as Begin was told
	started bool  // a byte of the answer was seen
	digits  uint8 // hexadecimal digits of a chunk's size so far
}

// Begin starts an exchange and forgets the one before, finished or not. noBody says that the answer has no body
// whatever its head says: for HEAD, and for CONNECT, whose answer if 2xx turns into a tunnel at End and if not is
// best followed by closing the connection.
func (p *Parser) Begin(sc *Scratch, noBody bool) {
	p.Reset(sc)
	p.state, p.noBody = inHead, noBody
}

// Reset makes p the zero Parser and gives what it held back to sc: for a connection closed inside an answer.
func (p *Parser) Reset(sc *Scratch) {
	p.letGo(sc)
	*p = Parser{}
}

// Feed consumes b[:n] and says what it met there. Unless the event is NeedMore, End or there is an error, the rest of
// b is to be fed next, even if it is empty: events may come without bytes. NeedMore means that all of b is consumed, and
// an answer has one event without bytes at most, so a loop over Feed always ends. Errors are of type *Error; after one
// the parser gives the same kind again until the next Begin. Bytes fed while no answer is due are Unsolicited.
func (p *Parser) Feed(sc *Scratch, b []byte) (n int, ev Event, chunk []byte, err error) {
	switch p.state {
	case inHead:
		n, ev, e := p.feedHead(sc, b)
		if e != nil {
			return n, NeedMore, nil, p.fail(sc, e)
		}
		return n, ev, nil, nil
	case counted:
		if len(b) == 0 {
			return 0, NeedMore, nil, nil
		}
		if int64(len(b)) >= p.remain {
			b = b[:p.remain]
			p.state = ended
		}
		p.remain -= int64(len(b))
		return len(b), Body, b, nil
	case ended:
		p.state = idle
		return 0, End, nil, nil
	case untilClose:
		if len(b) == 0 {
			return 0, NeedMore, nil, nil
		}
		return len(b), Body, b, nil
	case idle:
		if len(b) == 0 {
			return 0, NeedMore, nil, nil
		}
		return 0, NeedMore, nil, p.fail(sc, &Error{Unsolicited, shown(b)})
	case failed:
		return 0, NeedMore, nil, &Error{p.kind, "the answer was given up before"}
	default:
		n, ev, chunk, e := p.feedChunked(sc.Limits.headBytes(), b)
		if e != nil {
			return n, NeedMore, nil, p.fail(sc, e)
		}
		return n, ev, chunk, nil
	}
}

// EOF says what the end of the connection means: nil if no answer was due, if the answer was complete or if it is
// one that ends this way, and then the parser is idle again; otherwise an *Error of kind CutShort, or of the kind
// given before.
func (p *Parser) EOF(sc *Scratch) error {
	var where string
	switch p.state {
	case idle, ended, untilClose:
		p.state = idle
		return nil
	case failed:
		return &Error{p.kind, "the answer was given up before"}
	case inHead:
		where = "inside the head of the answer"
		if !p.started {
			where = "before the first byte of the answer"
		}
	case counted:
		where = strconv.FormatInt(p.remain, 10) + " bytes before the end of the body"
	default:
		where = "inside the chunked body"
	}
	return p.fail(sc, &Error{CutShort, where})
}

// fail ends the answer with e.
func (p *Parser) fail(sc *Scratch, e *Error) error {
	p.letGo(sc)
	p.state, p.kind = failed, e.Kind
	return e
}

// letGo gives the part of a cut head back.
func (p *Parser) letGo(sc *Scratch) {
	if p.part != 0 {
		sc.release(p.part)
		p.part = 0
	}
}

// feedHead reads a head: in place if b has it whole, by way of a part of the Scratch if not. No byte beyond the
// limit is looked at, so that which error comes first does not depend on how the bytes were cut.
func (p *Parser) feedHead(sc *Scratch, b []byte) (n int, ev Event, err *Error) {
	if len(b) == 0 {
		return 0, NeedMore, nil
	}
	p.started = true
	limit := max(0, sc.Limits.headBytes()-int(p.spent))
	if p.part == 0 {
		window := b[:min(len(b), limit)]
		h := &sc.Head
		*h = Head{}
		got, err := h.scan(window, false, &sc.seen)
		if err != nil {
			return 0, NeedMore, err
		}
		if got == complete {
			n = h.pos
			h.Raw = window[:n:n]
			ev, err = p.headEnd(h)
			return n, ev, err
		}
		// Take over what the lines read so far say, and go on with the first line that is not read.
		p.part = sc.take()
		pt := &sc.parts[p.part-1]
		n = h.pos
		pt.raw = append(pt.raw, window[:n]...)
		pt.head = *h
	}
	pt := &sc.parts[p.part-1]
	for n < len(b) {
		if len(pt.raw) >= limit {
			return n, NeedMore, &Error{HeadTooLarge, "more than " + strconv.Itoa(sc.Limits.headBytes()) + " bytes"}
		}
		// In steps, because b may hold a long body behind the head.
		const step = 1 << 10
		more := b[n:min(len(b), n+step, n+limit-len(pt.raw))]
		before := len(pt.raw)
		pt.raw = append(pt.raw, more...)
		n += len(more)
		if before > len(version) && pt.raw[before-1] != '\n' && bytes.IndexByte(more, '\n') < 0 {
			continue // still inside a line: reading it again would make long lines cost their square
		}
		got, err := pt.head.scan(pt.raw, true, nil)
		if err != nil {
			return n, NeedMore, err
		}
		if got == complete {
			end := pt.head.pos
			n -= len(pt.raw) - end
			sc.Head = pt.head
			sc.Head.Raw = pt.raw[:end:end]
			p.letGo(sc)
			ev, err = p.headEnd(&sc.Head)
			return n, ev, err
		}
	}
	return n, NeedMore, nil
}

// headEnd judges a complete head and decides how the body ends (RFC 9112 section 6.3, whose numbers these are).
func (p *Parser) headEnd(h *Head) (Event, *Error) {
	if err := h.whole(); err != nil {
		return NeedMore, err
	}
	h.KeepAlive = !h.connClose && (h.Minor > 0 || h.connKeepAlive)
	h.Chunked = h.coding && !h.foreignCoding
	if h.Status < 200 {
		if h.Status == 101 {
			return NeedMore, &Error{Switched, "status 101"}
		}
		p.spent += int32(len(h.Raw))
		return Informational, nil
	}
	p.spent = 0
	switch {
	case p.noBody || h.Status == 204 || h.Status == 304: // 1 and 2
		p.state = ended
	case h.coding && h.ContentLength >= 0: // 3: "ought to be handled as an error"
		return NeedMore, &Error{LengthAndCoding, "content-length is " + strconv.FormatInt(h.ContentLength, 10)}
	case h.coding && h.Minor == 0: // section 6.1: the framing is faulty
		return NeedMore, &Error{BadCoding, "in an HTTP/1.0 answer"}
	case h.Chunked: // 4
		p.state = sizeFirst
	case h.coding:
		return NeedMore, &Error{BadCoding, shown(h.Get("transfer-encoding"))}
	case h.ContentLength > 0: // 6
		p.state, p.remain = counted, h.ContentLength
	case h.ContentLength == 0:
		p.state = ended
	default: // 8
		p.state = untilClose
		h.KeepAlive = false
	}
	return HeadEnd, nil
}
