package h1

import (
	"bytes"
	"math"
)

// Head is the head of an answer: its status line and fields. Its methods and Raw read the bytes it was parsed from
// and are good as long as those are (see the package comment).
type Head struct {
	Status int // 100 to 999
	Minor  int // the x of HTTP/1.x, 0 to 9
	// ContentLength is the announced number of bytes, -1 where there is none. In an answer without a body (to HEAD,
	// 304) it is what the body would have had.
	ContentLength int64
	// Raw is the whole head, from the status line through the empty line, with folded fields made one line.
	Raw []byte

	KeepAlive       bool // the connection may carry another exchange after End
	Chunked         bool // the body is chunked
	SetCookie       bool // there is a Set-Cookie field
	Location        bool // there is a Location field
	ContentEncoding bool // there is a Content-Encoding field

	connClose, connKeepAlive bool // options met in Connection
	coding, foreignCoding    bool // Transfer-Encoding met; and it was something else than chunked alone
	cookiesFrom, cookiesTo   int  // in Raw: from the first Set-Cookie line to behind the last
	pos                      int  // where the first line begins that was not read yet
	crlfs                    int  // lines so far that ended in CRLF
}

// progress says how far a scan came.
type progress uint8

const (
	partial  progress = iota // the bytes end before the head does
	folded                   // a folded line was met in bytes that are not ours to change
	complete                 // the empty line was met; pos is behind it
)

// scan reads the lines of raw from h.pos on. A field counts as read only when the byte behind its line is known,
// for that byte may fold the next line into it. Folds are undone in place if own says that raw may be changed. seen may be
// nil.
func (h *Head) scan(raw []byte, own bool, seen *familiar) (progress, *Error) {
	pos := h.pos
	if pos == 0 {
		i := bytes.IndexByte(raw, '\n')
		if i < 0 {
			return partial, plausible(raw)
		}
		h.ContentLength = -1
		line := raw[:i]
		if i > 0 && raw[i-1] == '\r' {
			line = raw[:i-1]
			h.crlfs++
		}
		if err := h.statusLine(line); err != nil {
			return partial, err
		}
		pos = i + 1
	}
	from := pos // no LF lies between pos and from
	for line := 0; ; line++ {
		if n := seen.match(line, raw[pos:]); n > 0 && from == pos {
			h.connKeepAlive = h.connKeepAlive || seen[line].keepAlive
			h.crlfs += seen[line].crlfs
			pos += n
			from = pos
			continue
		}
		i := bytes.IndexByte(raw[from:], '\n')
		if i < 0 {
			h.pos = pos
			return partial, nil
		}
		i += from
		end, cr := i, 0
		if i > pos && raw[i-1] == '\r' {
			end, cr = i-1, 1
		}
		if end == pos {
			h.crlfs += cr
			h.pos = i + 1
			return complete, nil
		}
		if i+1 == len(raw) {
			h.pos = pos
			return partial, nil
		}
		if next := raw[i+1]; next == ' ' || next == '\t' {
			if !own {
				h.pos = pos
				return folded, nil
			}
			raw[end], raw[i] = ' ', ' '
			from = i + 1
			continue
		}
		id, err := h.field(raw[pos:end])
		if err != nil {
			return partial, err
		}
		if id == setCookie {
			if h.cookiesTo == 0 {
				h.cookiesFrom = pos
			}
			h.cookiesTo = i + 1
		}
		if id == other || id == connection {
			seen.learn(line, raw[pos:i+1], id, cr)
		}
		h.crlfs += cr
		pos = i + 1
		from = pos
	}
}

// familiar is what the lines of the last heads looked like, by their place. The answers of one server differ in few lines
// from each other, and to compare a line with the one before it costs a fifth of reading it. Only lines are learned whose
// meaning lies in themselves: fields that mean nothing here, and Connection: keep-alive.
type familiar [8]struct {
	text      []byte // with its LF
	crlfs     int    // 1 if that is a CRLF
	keepAlive bool
}

// longestFamiliar bounds what a place remembers, bytes.
const longestFamiliar = 128

// match is the length of the line that raw begins with if it is the familiar one, else 0. The byte behind it must be there
// and must not fold the next line into it.
func (f *familiar) match(place int, raw []byte) int {
	if f == nil || place >= len(f) {
		return 0
	}
	text := f[place].text
	if n := len(text); n > 0 && n < len(raw) && string(raw[:n]) == string(text) && raw[n] != ' ' && raw[n] != '\t' {
		return n
	}
	return 0
}

// learn remembers a line that was read and found good.
func (f *familiar) learn(place int, text []byte, id fieldID, crlfs int) {
	if f == nil || place >= len(f) || len(text) > longestFamiliar {
		return
	}
	if id == connection {
		switch string(text) {
		case "Connection: keep-alive\r\n", "connection: keep-alive\r\n":
		default:
			return
		}
	}
	m := &f[place]
	m.text, m.crlfs, m.keepAlive = append(m.text[:0], text...), crlfs, id == connection
}

const version = "HTTP/1."

// plausible refuses the beginning of a first line that can no longer become a status line, so that a peer which
// speaks another protocol and then waits is found out at once.
func plausible(raw []byte) *Error {
	n := min(len(raw), len(version))
	if string(raw[:n]) != version[:n] {
		return &Error{BadStatusLine, shown(raw)}
	}
	return nil
}

// statusLine reads "HTTP/1.x NNN reason" (RFC 9112 section 4).
func (h *Head) statusLine(line []byte) *Error {
	if len(line) < 12 || string(line[:7]) != version || !digit(line[7]) || line[8] != ' ' ||
		!digit(line[9]) || !digit(line[10]) || !digit(line[11]) || line[9] == '0' ||
		len(line) > 12 && line[12] != ' ' {
		return &Error{BadStatusLine, shown(line)}
	}
	h.Minor = int(line[7] - '0')
	h.Status = int(line[9]-'0')*100 + int(line[10]-'0')*10 + int(line[11]-'0')
	return nil
}

// field checks the form of one field (RFC 9112 section 5) and notes what framing and journeys need of it.
func (h *Head) field(line []byte) (fieldID, *Error) {
	n := max(0, bytes.IndexByte(line, ':'))
	id := identify(line[:n])
	switch value := line[min(n+1, len(line)):]; id {
	case malformed:
		return id, &Error{BadField, shown(line)}
	case contentLength:
		return id, h.length(value)
	case connection:
		h.connection(value)
	case transferEncoding:
		// A second field makes a list of two codings, of which not even chunked twice is allowed
		// (RFC 9112 section 6.1).
		h.foreignCoding = h.coding || !isName(trim(value), "chunked")
		h.coding = true
	case contentEncoding:
		h.ContentEncoding = true
	case setCookie:
		h.SetCookie = true
	case location:
		h.Location = true
	}
	return id, nil
}

// fieldID tells the names apart that mean something here.
type fieldID uint8

const (
	malformed fieldID = iota // not a token
	other
	contentLength
	connection
	transferEncoding
	contentEncoding
	setCookie
	location
)

// identify finds out what a name is. The spellings that nearly all answers use are recognised as a whole, which costs
// a fraction of looking at every byte.
func identify(name []byte) fieldID {
	switch string(name) {
	case "Content-Length", "content-length":
		return contentLength
	case "Connection", "connection":
		return connection
	case "Transfer-Encoding", "transfer-encoding":
		return transferEncoding
	case "Content-Encoding", "content-encoding":
		return contentEncoding
	case "Set-Cookie", "set-cookie":
		return setCookie
	case "Location", "location":
		return location
	case "Server", "Date", "Content-Type", "Keep-Alive", "Vary", "ETag", "Last-Modified", "Accept-Ranges", "Cache-Control",
		"server", "date", "content-type", "keep-alive", "vary", "etag", "last-modified", "accept-ranges", "cache-control":
		return other
	}
	for _, c := range name {
		if !tokens[c] {
			return malformed
		}
	}
	switch {
	case len(name) == 0:
		return malformed
	case isName(name, "content-length"):
		return contentLength
	case isName(name, "connection"):
		return connection
	case isName(name, "transfer-encoding"):
		return transferEncoding
	case isName(name, "content-encoding"):
		return contentEncoding
	case isName(name, "set-cookie"):
		return setCookie
	case isName(name, "location"):
		return location
	}
	return other
}

// length reads the value of a Content-Length: one number, or the same number several times (RFC 9110 section 8.6).
func (h *Head) length(value []byte) *Error {
	if n, ok := decimal(trim(value)); ok && h.ContentLength < 0 { // nearly every answer
		h.ContentLength = n
		return nil
	}
	for more := true; more; {
		var item []byte
		item, value, more = bytes.Cut(value, comma)
		item = trim(item)
		n, ok := decimal(item)
		if !ok {
			return &Error{BadLength, shown(item)}
		}
		if h.ContentLength >= 0 && h.ContentLength != n {
			return &Error{LengthsDiffer, shown(item) + " after another number"}
		}
		h.ContentLength = n
	}
	return nil
}

var comma = []byte{','}

// connection notes the options of a Connection field that concern the connection's life (RFC 9112 section 9.3).
func (h *Head) connection(value []byte) {
	if string(value) == " keep-alive" { // nearly every answer that has one
		h.connKeepAlive = true
		return
	}
	for {
		option, rest := value, []byte(nil)
		i := bytes.IndexByte(value, ',')
		if i >= 0 {
			option, rest = value[:i], value[i+1:]
		}
		switch option = trim(option); len(option) {
		case len("close"):
			h.connClose = h.connClose || isName(option, "close")
		case len("keep-alive"):
			h.connKeepAlive = h.connKeepAlive || isName(option, "keep-alive")
		}
		if i < 0 {
			return
		}
		value = rest
	}
}

// whole checks what is cheapest to check over the complete head: no NUL, and no CR that does not end a line
// (RFC 9110 section 5.5, RFC 9112 section 2.2).
func (h *Head) whole() *Error {
	if i := bytes.IndexByte(h.Raw, 0); i >= 0 {
		return &Error{BadField, "a NUL byte in " + shown(h.lineAt(i))}
	}
	if bytes.Count(h.Raw, cr) == h.crlfs {
		return nil
	}
	for i, c := range h.Raw {
		if c == '\r' && h.Raw[i+1] != '\n' { // the head ends in LF, so there is a next byte
			return &Error{BadField, "a bare CR in " + shown(h.lineAt(i))}
		}
	}
	return &Error{BadField, "a bare CR"}
}

var cr = []byte{'\r'}

// lineAt is the line of Raw around index i.
func (h *Head) lineAt(i int) []byte {
	from := bytes.LastIndexByte(h.Raw[:i], '\n') + 1
	line, _, _ := bytes.Cut(h.Raw[from:], []byte{'\n'})
	return bytes.TrimSuffix(line, cr)
}

// Each calls f for every field in order, with the name as it came and the value without surrounding space, until f
// returns false. It does not allocate: for name, value := range h.Each { ... }.
func (h *Head) Each(f func(name, value []byte) bool) {
	rest := h.Raw[bytes.IndexByte(h.Raw, '\n')+1:]
	for {
		i := bytes.IndexByte(rest, '\n')
		if i <= 0 {
			return
		}
		line := rest[:i]
		colon := bytes.IndexByte(line, ':')
		if colon < 0 { // the CR of the empty line
			return
		}
		if !f(line[:colon:colon], trim(line[colon+1:])) {
			return
		}
		rest = rest[i+1:]
	}
}

// SetCookies calls f with the value of every Set-Cookie field in order, as Each does, without looking at the rest of the
// head.
func (h *Head) SetCookies(f func(value []byte) bool) {
	for rest := h.Raw[h.cookiesFrom:h.cookiesTo]; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		line := rest[:i]
		rest = rest[i+1:]
		if colon := bytes.IndexByte(line, ':'); identify(line[:colon]) == setCookie && !f(trim(line[colon+1:])) {
			return
		}
	}
}

// Get is the value of the first field of that name, without surrounding space; nil if there is no such field. Names
// are compared without regard to case.
func (h *Head) Get(name string) []byte {
	for n, value := range h.Each {
		if sameName(n, name) {
			return value
		}
	}
	return nil
}

// trim takes optional white space off both ends, and the CR of a line's end, which in a valid head is nowhere else.
// The result is not nil, so that a field with an empty value differs from none.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b[:len(b):len(b)]
}

// decimal reads digits only, up to the greatest int64.
func decimal(b []byte) (int64, bool) {
	n := int64(0)
	for _, c := range b {
		if !digit(c) {
			return 0, false
		}
		d := int64(c - '0')
		if n > (math.MaxInt64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(b) > 0
}

func digit(c byte) bool { return c-'0' <= 9 }

// isName tells whether b is the lower-case name, in any case. The names it is asked for have letters and hyphens
// only; setting bit 0x20 maps onto those nothing but themselves, their capitals and, onto the hyphen, CR, which no
// name and no trimmed value holds where it matters.
func isName(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c|0x20 != lower[i] {
			return false
		}
	}
	return true
}

// sameName compares a field name with one in any case.
func sameName(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i, c := range b {
		if c != name[i] && lowered(c) != lowered(name[i]) {
			return false
		}
	}
	return true
}

func lowered(c byte) byte {
	if c-'A' < 26 {
		return c | 0x20
	}
	return c
}

// tokens marks the characters of names and methods (RFC 9110 section 5.6.2).
var tokens = func() (t [256]bool) {
	for c := range t {
		b := byte(c)
		t[c] = digit(b) || lowered(b)-'a' < 26
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()
