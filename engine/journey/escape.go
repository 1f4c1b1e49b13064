package journey

import (
	"unicode/utf8"
)

// escape is what happens to a value when it is put into its place, so that a value can never become structure: a slash
// that ends a query, a quote that ends a JSON string, a line feed that begins another header.
type escape uint8

const (
	asIs     escape = iota
	inHeader        // refused if it has a control character
	inURL           // a whole reference: only what can never stand in a URL is encoded
	inPath          // data in a path: / stays, everything else that has a meaning is encoded
	inQuery         // data in a query: only unreserved characters stay
	inForm          // as inQuery, with + for a space
	inJSON          // between the quotes of a JSON string
)

// The classes of bytes that may stand unescaped, RFC 3986 section 2 and 3.3, as a bit each.
const (
	plainPath uint8 = 1 << iota
	plainQuery
	plainURL
	plainJSON // one byte inside a JSON string
)

var plain = func() (t [256]uint8) {
	for c := range 128 {
		b := byte(c)
		if isAlnum(b) || b == '-' || b == '.' || b == '_' || b == '~' {
			t[c] = plainPath | plainQuery | plainURL
		}
	}
	for c := ' '; c < 0x7f; c++ {
		if c != '"' && c != '\\' {
			t[c] |= plainJSON
		}
	}
	for _, c := range []byte("/:@!$&'()*+,;=") {
		t[c] |= plainPath
	}
	for _, c := range []byte("/:@!$&'()*+,;=?#[]%") {
		t[c] |= plainURL
	}
	return t
}()

const hexDigits = "0123456789ABCDEF"

// escapeTail escapes dst[from:] in place. A value that needs nothing, the usual case, costs one look at each byte.
func escapeTail(dst []byte, from int, e escape) ([]byte, error) {
	switch e {
	case inHeader:
		for _, c := range dst[from:] {
			if c < ' ' && c != '\t' || c == 0x7f {
				return dst, errControl
			}
		}
	case inPath:
		return percentTail(dst, from, plainPath, false), nil
	case inQuery:
		return percentTail(dst, from, plainQuery, false), nil
	case inForm:
		return percentTail(dst, from, plainQuery, true), nil
	case inURL:
		return percentTail(dst, from, plainURL, false), nil
	case inJSON:
		return jsonTail(dst, from), nil
	}
	return dst, nil
}

// percentTail percent-encodes the bytes of dst[from:] that are not of the class keep. It works from the end backwards, so
// it needs no second buffer.
func percentTail(dst []byte, from int, keep uint8, plus bool) []byte {
	more, spaces := 0, false
	for _, c := range dst[from:] {
		if plain[c]&keep == 0 {
			if plus && c == ' ' {
				spaces = true
			} else {
				more += 2
			}
		}
	}
	if more == 0 && !spaces {
		return dst
	}
	r := len(dst) - 1
	dst = extend(dst, more)
	for w := len(dst) - 1; r >= from; r-- {
		c := dst[r]
		switch {
		case plain[c]&keep != 0:
			dst[w] = c
			w--
		case plus && c == ' ':
			dst[w] = '+'
			w--
		default:
			dst[w-2], dst[w-1], dst[w] = '%', hexDigits[c>>4], hexDigits[c&15]
			w -= 3
		}
	}
	return dst
}

// jsonTail escapes dst[from:] for the inside of a JSON string, RFC 8259 section 7. Bytes that are not UTF-8 become U+FFFD:
// a JSON text may hold nothing else.
func jsonTail(dst []byte, from int) []byte {
	i := from
	for i < len(dst) && plain[dst[i]]&plainJSON != 0 {
		i++
	}
	more := 0
	for i < len(dst) {
		c := dst[i]
		if c < utf8.RuneSelf {
			more += jsonLen(c) - 1
			i++
			continue
		}
		r, n := utf8.DecodeRune(dst[i:])
		if r == utf8.RuneError && n == 1 {
			more += 5
		}
		i += n
	}
	if more == 0 {
		return dst
	}
	r := len(dst)
	dst = extend(dst, more)
	w := len(dst)
	for r > from && w > r {
		c := dst[r-1]
		if c >= utf8.RuneSelf {
			// What is below r has not been touched yet, and the runes above are complete: going back rune by rune finds the
			// same invalid bytes as going forward, since a rune's length follows from its own bytes.
			rune, n := utf8.DecodeLastRune(dst[from:r])
			if rune == utf8.RuneError && n == 1 {
				w -= 6
				copy(dst[w:], `\uFFFD`)
			} else {
				w -= n
				copy(dst[w:w+n], dst[r-n:r])
			}
			r -= n
			continue
		}
		n := jsonLen(c)
		w -= n
		r--
		switch n {
		case 1:
			dst[w] = c
		case 2:
			dst[w] = '\\'
			dst[w+1] = jsonShort(c)
		default:
			copy(dst[w:], `\u00`)
			dst[w+4], dst[w+5] = hexDigits[c>>4], hexDigits[c&15]
		}
	}
	return dst
}

func jsonLen(c byte) int {
	switch {
	case jsonShort(c) != 0:
		return 2
	case c < ' ':
		return 6
	}
	return 1
}

func jsonShort(c byte) byte {
	switch c {
	case '"', '\\':
		return c
	case '\n':
		return 'n'
	case '\r':
		return 'r'
	case '\t':
		return 't'
	case '\b':
		return 'b'
	case '\f':
		return 'f'
	}
	return 0
}

// extend lengthens b by n bytes whose content does not matter.
func extend(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b[:len(b)+n]
	}
	return append(b, make([]byte, n)...)
}

// cleanURL encodes what can never stand in a URL and leaves the rest as the user wrote it.
func cleanURL(s string) string {
	b, _ := escapeTail([]byte(s), 0, inURL)
	return string(b)
}
