package journey

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/net/publicsuffix"

	"lt/engine/h1"
	"lt/engine/scenario"
)

// Limits of what a user keeps, RFC 6265 section 6.1.
const (
	cookieBytes      = 4096 // name and value
	cookiesPerDomain = 50
	cookieAttribute  = 1024 // a longer Domain or Path is as if it were not there (RFC 6265bis section 5.6)
)

// Cookies lie one after the other in Session.cookies, in the order in which they are sent: longer paths first, then older
// ones (RFC 6265 section 5.4). Each is a header of cookieHeader bytes
//
//	0  8  expiry, Unix milliseconds; 0: lives as long as the user
//	8  4  number of its creation
//	12 1  flags
//	13 1  length of the domain
//	14 2  length of the path
//	16 2  length of the name
//	18 2  length of the value
//
// followed by domain, path, name and value.
const cookieHeader = 20

const (
	cookieSecure   = 1 << iota
	cookieHostOnly // sent to the very host that set it
)

// cookie is one of them, aliasing the session or the answer it came in.
type cookie struct {
	domain, path, name, value []byte
	expires                   int64
	number                    uint32
	flags                     byte
}

func (c *cookie) size() int {
	return cookieHeader + len(c.domain) + len(c.path) + len(c.name) + len(c.value)
}

// readCookie is the first cookie of b, and its length.
func readCookie(b []byte) (c cookie, size int) {
	c.expires = int64(binary.LittleEndian.Uint64(b))
	c.number = binary.LittleEndian.Uint32(b[8:])
	c.flags = b[12]
	domain, path := int(b[13]), int(binary.LittleEndian.Uint16(b[14:]))
	name, value := int(binary.LittleEndian.Uint16(b[16:])), int(binary.LittleEndian.Uint16(b[18:]))
	at := cookieHeader
	c.domain = b[at : at+domain]
	at += domain
	c.path = b[at : at+path]
	at += path
	c.name = b[at : at+name]
	at += name
	c.value = b[at : at+value]
	return c, at + value
}

func (c *cookie) put(b []byte) {
	binary.LittleEndian.PutUint64(b, uint64(c.expires))
	binary.LittleEndian.PutUint32(b[8:], c.number)
	b[12], b[13] = c.flags, byte(len(c.domain))
	binary.LittleEndian.PutUint16(b[14:], uint16(len(c.path)))
	binary.LittleEndian.PutUint16(b[16:], uint16(len(c.name)))
	binary.LittleEndian.PutUint16(b[18:], uint16(len(c.value)))
	b = b[cookieHeader:]
	b = b[copy(b, c.domain):]
	b = b[copy(b, c.path):]
	b = b[copy(b, c.name):]
	copy(b, c.value)
}

// appendCookies appends the cookies for a request as they stand in its Cookie field, joined by "; ". nowMillis 0 means
// that the time is not known and nothing has expired.
func (s *Session) appendCookies(dst []byte, o *Origin, path []byte, nowMillis int64) []byte {
	first := true
	for rest := s.cookies; len(rest) > 0; {
		c, size := readCookie(rest)
		rest = rest[size:]
		if c.flags&cookieSecure != 0 && !o.TLS && !isLoopbackName(o.Host) || c.expires != 0 && nowMillis != 0 && c.expires <= nowMillis ||
			!c.forHost(o.Host) || !pathMatches(path, c.path) {
			continue
		}
		if !first {
			dst = append(dst, "; "...)
		}
		first = false
		dst = append(dst, c.name...)
		dst = append(dst, '=')
		dst = append(dst, c.value...)
	}
	return dst
}

// isLoopbackName reports whether a host is this machine by name or address: its connections are as good as secure ones,
// as browsers have it, so that a shop under test on localhost gets its Secure cookies back.
func isLoopbackName(host string) bool {
	if strings.HasSuffix(host, "localhost") && (len(host) == len("localhost") || host[len(host)-len(".localhost")] == '.') {
		return true
	}
	if c := host[len(host)-1]; c < '0' || c > '9' {
		return false // neither an IPv4 address nor ::1
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// forHost is the domain match of RFC 6265 section 5.1.3; a domain that is an address was stored as host only.
func (c *cookie) forHost(host string) bool {
	if len(host) == len(c.domain) {
		return host == string(c.domain)
	}
	if c.flags&cookieHostOnly != 0 {
		return false
	}
	i := len(host) - len(c.domain)
	return i > 0 && host[i-1] == '.' && host[i:] == string(c.domain)
}

// pathMatches is the path match of RFC 6265 section 5.1.4.
func pathMatches(request, path []byte) bool {
	if !bytes.HasPrefix(request, path) {
		return false
	}
	return len(request) == len(path) || path[len(path)-1] == '/' || request[len(path)] == '/'
}

// pathOf is the path of a request's target, without its query.
func pathOf(target []byte) []byte {
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		target = target[:i]
	}
	return target
}

// defaultPath is the path of a cookie that names none, RFC 6265 section 5.1.4.
func defaultPath(path []byte) []byte {
	i := bytes.LastIndexByte(path, '/')
	if i <= 0 || path[0] != '/' {
		return slash
	}
	return path[:i]
}

var slash = []byte("/")

// StoreCookies keeps what the Set-Cookie fields of an answer ask for, as RFC 6265 section 5.3 has it: also of an answer
// that is a redirect, so it is called for each hop. now is what Expires and Max-Age are held against. Without effect if the
// step's cookies are off.
func (p *Program) StoreCookies(st *Step, s *Session, req *Request, head *h1.Head, now time.Time) {
	if !head.SetCookie || st.Src.HTTP.Cookies == scenario.CookiesOff {
		return
	}
	for value := range head.SetCookies {
		s.store(&req.Origin, pathOf(req.Target), value, now)
	}
}

// store keeps, replaces or removes one cookie.
func (s *Session) store(o *Origin, path, field []byte, now time.Time) {
	var c cookie
	if !c.parse(field, o.Host, path, now) {
		return
	}
	nowMillis := now.UnixMilli()
	gone := c.expires != 0 && c.expires <= nowMillis

	// One pass finds the cookie of the same name, domain and path, the place of a new one, and how many its domain has.
	var at, place, sameDomain, oldest, oldestSize int
	found, size := false, 0
	var number, oldestNumber uint32
	for i := 0; i < len(s.cookies); {
		old, n := readCookie(s.cookies[i:])
		if bytes.Equal(old.domain, c.domain) {
			if bytes.Equal(old.path, c.path) && bytes.Equal(old.name, c.name) {
				found, at, size = true, i, n
				c.number = old.number
			}
			// Expired ones go first, then the oldest.
			rank := old.number
			if old.expires != 0 && old.expires <= nowMillis {
				rank = 0
			}
			if sameDomain == 0 || rank < oldestNumber {
				oldest, oldestSize, oldestNumber = i, n, rank
			}
			sameDomain++
		}
		number = max(number, old.number)
		i += n
		if len(old.path) >= len(c.path) {
			place = i
		}
	}
	switch {
	case found && gone:
		s.ownCookies(0)
		s.cookies = splice(s.cookies, at, at+size, 0)
	case found:
		// A cookie that is replaced keeps its age and so its place.
		s.ownCookies(c.size())
		s.cookies = splice(s.cookies, at, at+size, c.size())
		c.put(s.cookies[at:])
	case !gone:
		c.number = number + 1
		s.ownCookies(c.size())
		if sameDomain >= cookiesPerDomain {
			s.cookies = splice(s.cookies, oldest, oldest+oldestSize, 0)
			if oldest < place {
				place -= oldestSize
			}
		}
		s.cookies = splice(s.cookies, place, place, c.size())
		c.put(s.cookies[place:])
	}
}

// cookieValue is the value of the newest cookie of that name, whatever its domain and path.
func (s *Session) cookieValue(name string) ([]byte, bool) {
	var value []byte
	var newest uint32
	for rest := s.cookies; len(rest) > 0; {
		c, size := readCookie(rest)
		rest = rest[size:]
		if string(c.name) == name && c.number > newest {
			value, newest = c.value, c.number
		}
	}
	return value, newest > 0
}

// parse reads a Set-Cookie field (RFC 6265 section 5.2) set by a host for a path, and decides its domain and path (section
// 5.3). It reports false for a cookie that is to be ignored.
func (c *cookie) parse(field []byte, host string, requestPath []byte, now time.Time) bool {
	for _, b := range field {
		if b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	pair, rest, _ := bytes.Cut(field, semicolon)
	name, value, ok := bytes.Cut(pair, equals)
	if !ok {
		return false
	}
	c.name, c.value = trimSpace(name), trimSpace(value)
	if len(c.name) == 0 || len(c.name)+len(c.value) > cookieBytes {
		return false
	}
	var domain, path []byte
	hasMaxAge := false
	for len(rest) > 0 {
		var attr []byte
		attr, rest, _ = bytes.Cut(rest, semicolon)
		key, val, _ := bytes.Cut(attr, equals)
		key, val = trimSpace(key), trimSpace(val)
		switch {
		case equalFold(key, "secure"):
			c.flags |= cookieSecure
		case equalFold(key, "domain"):
			if len(val) <= cookieAttribute {
				domain = bytes.TrimPrefix(val, dot)
			}
		case equalFold(key, "path"):
			if len(val) <= cookieAttribute {
				path = val
			}
		case equalFold(key, "max-age"):
			if seconds, ok := parseSeconds(val); ok {
				hasMaxAge = true
				c.expires = 1
				if seconds > 0 {
					c.expires = now.UnixMilli() + seconds*1000
				}
			}
		case equalFold(key, "expires"):
			if at, ok := parseCookieDate(val); ok && !hasMaxAge {
				c.expires = max(at.UnixMilli(), 1)
			}
		}
	}
	if len(path) == 0 || path[0] != '/' {
		path = defaultPath(requestPath)
		if len(path) > cookieAttribute {
			return false
		}
	}
	c.path = path
	return c.setDomain(domain, host)
}

// cookiePair is the value of a Set-Cookie field if it sets the cookie of that name.
func cookiePair(field []byte, want string) ([]byte, bool) {
	pair, _, _ := bytes.Cut(field, semicolon)
	name, value, ok := bytes.Cut(pair, equals)
	return trimSpace(value), ok && string(trimSpace(name)) == want
}

// setDomain decides for which hosts a cookie is, RFC 6265 section 5.3 steps 5 and 6. A domain under which anyone can
// register names is refused, else one site could set the cookies of others.
func (c *cookie) setDomain(domain []byte, host string) bool {
	if len(domain) == 0 || equalFold(domain, host) {
		c.domain = bytesOf(host)
		if len(domain) == 0 || isAddress(host) || isPublicSuffix(host) {
			c.flags |= cookieHostOnly
		}
		return true
	}
	// What is left is an end of the host, so the domain in lower case is there already.
	i := len(host) - len(domain)
	if i <= 0 || isAddress(host) || host[i-1] != '.' || !equalFold(domain, host[i:]) || isPublicSuffix(host[i:]) {
		return false
	}
	c.domain = bytesOf(host[i:])
	return true
}

// bytesOf is the bytes of s without a copy; they must not be changed.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

func isAddress(host string) bool {
	if strings.IndexByte(host, ':') >= 0 {
		return true
	}
	if c := host[len(host)-1]; c < '0' || c > '9' {
		return false
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

func isPublicSuffix(domain string) bool {
	suffix, _ := publicsuffix.PublicSuffix(domain)
	return suffix == domain
}

var (
	semicolon = []byte(";")
	equals    = []byte("=")
	dot       = []byte(".")
)

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// equalFold compares with ASCII text in lower case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// parseSeconds reads Max-Age. What is too long for a cookie's life is cut to a hundred years.
func parseSeconds(b []byte) (seconds int64, ok bool) {
	const most = 100 * 365 * 86400
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		seconds = min(seconds*10+int64(c-'0'), most)
	}
	if negative {
		seconds = -seconds
	}
	return seconds, true
}

// parseCookieDate reads a date as leniently as RFC 6265 section 5.1.1 wants it: the first token that looks like a time, a
// day, a month and a year each, in any order.
func parseCookieDate(b []byte) (time.Time, bool) {
	var hour, minute, second, day, month, year int
	hasTime, hasYear := false, false
	for len(b) > 0 {
		n := 0
		for n < len(b) && isDateByte(b[n]) {
			n++
		}
		token := b[:n]
		b = b[min(n+1, len(b)):]
		if n == 0 {
			continue
		}
		if !hasTime {
			if h, m, s, ok := clockOf(token); ok {
				hour, minute, second, hasTime = h, m, s, true
				continue
			}
		}
		number, digits := leadingNumber(token)
		switch {
		case day == 0 && (digits == 1 || digits == 2):
			if day = number; day == 0 {
				return time.Time{}, false
			}
		case month == 0 && digits == 0 && monthOf(token) != 0:
			month = monthOf(token)
		case !hasYear && digits >= 2 && digits <= 4:
			year, hasYear = number, true
		}
	}
	switch {
	case 70 <= year && year <= 99:
		year += 1900
	case year <= 69:
		year += 2000
	}
	if !hasTime || !hasYear || day == 0 || month == 0 || day > 31 || year < 1601 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	return t, t.Day() == day
}

// isDateByte reports whether b is no delimiter of the grammar.
func isDateByte(b byte) bool {
	return isAlnum(b) || b == ':' || b < 0x09 || 0x0a <= b && b <= 0x1f || b >= 0x7f
}

// leadingNumber is the number at a token's start; more than four digits are reported but not worth reading.
func leadingNumber(b []byte) (n, digits int) {
	for digits < len(b) && '0' <= b[digits] && b[digits] <= '9' {
		if digits < 4 {
			n = n*10 + int(b[digits]-'0')
		}
		digits++
	}
	return n, digits
}

// clockOf reads h:m:s of one or two digits each.
func clockOf(b []byte) (h, m, s int, ok bool) {
	var parts [3]int
	for i := range parts {
		n, digits := leadingNumber(b)
		if digits < 1 || digits > 2 {
			return 0, 0, 0, false
		}
		parts[i] = n
		b = b[digits:]
		if i < 2 {
			if len(b) == 0 || b[0] != ':' {
				return 0, 0, 0, false
			}
			b = b[1:]
		}
	}
	return parts[0], parts[1], parts[2], true
}

func monthOf(b []byte) int {
	const names = "janfebmaraprmayjunjulaugsepoctnovdec"
	if len(b) < 3 {
		return 0
	}
	for i := 0; i < len(names); i += 3 {
		if equalFold(b[:3], names[i:i+3]) {
			return i/3 + 1
		}
	}
	return 0
}
