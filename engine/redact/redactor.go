package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Mask stands where something was hidden.
const Mask = "***"

// shortest is the length from which a secret is masked by its text, bytes.
const shortest = 6

// bodyBytes is how much of a body Request and Response show.
const bodyBytes = 4 << 10

// Redactor masks the secrets it was made with, and whatever stands where secrets usually do. It is immutable and may be
// used by many goroutines at once. The zero value knows no secret by text.
type Redactor struct {
	forms []string // longest first
	first [256]bool
}

// New makes a Redactor. Of the secrets those of 6 bytes and more are masked wherever they stand, as they are, in base64 (alone or
// as the password of Basic credentials), in hex, as JSON and HTML text, and each of these with any of its characters
// percent-encoded, once or several times.
func New(secrets []string) *Redactor {
	r := &Redactor{}
	for _, s := range secrets {
		if len(s) < shortest {
			continue
		}
		r.add(s)
		if misread := asLatin1(s); misread != s {
			r.add(misread)
		}
	}
	r.forms = slices.DeleteFunc(r.forms, func(s string) bool { return len(s) < shortest })
	r.sort()
	return r
}

// add puts the forms of a secret into the list.
func (r *Redactor) add(s string) {
	digits := hex.EncodeToString([]byte(s))
	r.forms = append(r.forms, s, digits, strings.ToUpper(digits), html.EscapeString(s), Neutralise(s))
	r.forms = append(r.forms, jsonForms(s)...)
	for _, f := range base64Forms(s) {
		r.forms = append(r.forms, f, strings.ReplaceAll(f, "/", `\/`))
	}
}

// asLatin1 is what becomes of UTF-8 whose bytes are taken for characters, as many servers take those of a header field.
func asLatin1(s string) string {
	out := make([]rune, len(s))
	for i := range len(s) {
		out[i] = rune(s[i])
	}
	return string(out)
}

// sort puts the forms into the order in which they are looked for: of two that begin alike the longer one first.
func (r *Redactor) sort() {
	slices.SortFunc(r.forms, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	r.forms = slices.Compact(r.forms)
	for _, f := range r.forms {
		r.first[f[0]], r.first['%'] = true, true
		if f[0] == ' ' {
			r.first['+'] = true
		}
	}
}

// jsonForms are the insides of JSON strings that mean s: with and without the escapes that HTML asks for, and in ASCII alone.
func jsonForms(s string) []string {
	ascii := asciiJSON(s)
	out := []string{ascii, strings.ReplaceAll(ascii, "/", `\/`)}
	for _, forHTML := range []bool{true, false} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(forHTML)
		if e.Encode(s) == nil {
			t := strings.TrimSuffix(b.String(), "\n")
			out = append(out, t[1:len(t)-1], strings.ReplaceAll(t[1:len(t)-1], "/", `\/`))
		}
	}
	return out
}

// asciiJSON escapes what is not ASCII as most encoders do that are asked for it: \u00e9, and halves for what is beyond \uffff.
func asciiJSON(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		case r > unicode.MaxASCII:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// base64Forms are what base64 makes of s at each of the three places it may have in a longer text, without the characters
// at both ends that depend on its neighbours.
func base64Forms(s string) []string {
	var out []string
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for shift := range 3 {
			t := enc.EncodeToString(append(make([]byte, shift), s...))
			from := (shift*8 + 5) / 6      // characters that hold a bit of what stands before
			to := (shift + len(s)) * 8 / 6 // characters that are wholly of s
			out = append(out, t[from:to])
		}
	}
	return out
}

// Text masks the secrets in s, and in every URL in it the userinfo and the values of parameters that name a secret. It
// changes nothing else: what came from outside also needs Neutralise.
func (r *Redactor) Text(s string) string {
	return r.exact(maskURLs(r.exact(s)))
}

// exact masks secrets by their text. What stands around a mask may, with it, look like a secret again (one with asterisks
// in it), so it goes on until nothing is found; each time the text gets shorter.
func (r *Redactor) exact(s string) string {
	for {
		masked := r.once(s)
		if masked == s {
			return s
		}
		s = masked
	}
}

func (r *Redactor) once(s string) string {
	var b strings.Builder
	from := 0
	for i := 0; i < len(s); {
		n := 0
		if r.first[s[i]] {
			n = r.match(s[i:])
		}
		if n == 0 {
			i++
			continue
		}
		b.WriteString(s[from:i])
		b.WriteString(Mask)
		i += n
		from = i
	}
	if from == 0 {
		return s
	}
	b.WriteString(s[from:])
	return b.String()
}

// match is the length of the secret that s begins with, 0 if there is none.
func (r *Redactor) match(s string) int {
	for _, f := range r.forms {
		if n, ok := encoded(s, f); ok {
			return n
		}
	}
	return 0
}

// encoded is the length of what s begins with if it means form. Encoders differ in which characters they leave as they are, so
// each may be itself, %XX with digits in either case, or %25XX and so on where it was encoded again; a space may be +.
func encoded(s, form string) (n int, ok bool) {
	for k := range len(form) {
		if n == len(s) {
			return 0, false
		}
		c := form[k]
		switch {
		case c == '%' && s[n] == '%': // itself, %25, %2525 ...: how much belongs to it shows in what follows
			n++
			end := n
			for strings.HasPrefix(s[end:], "25") {
				end += len("25")
			}
			for ; end >= n; end -= len("25") {
				if more, ok := encoded(s[end:], form[k+1:]); ok {
					return end + more, true
				}
			}
			return 0, false
		case s[n] == c, s[n] == '+' && c == ' ':
			n++
		case s[n] == '%':
			for n++; strings.HasPrefix(s[n:], "25"); {
				n += len("25")
			}
			if n+2 > len(s) || unhex(s[n]) != c>>4 || unhex(s[n+1]) != c&15 {
				return 0, false
			}
			n += 2
		default:
			return 0, false
		}
	}
	return n, true
}

// unhex is the value of a hex digit; 255 if it is none.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// URL masks the userinfo of a URL, the values of its parameters that name a secret, and secrets by text; the result is
// one printable line.
func (r *Redactor) URL(s string) string {
	return r.line(maskURL(r.exact(s)))
}

// line masks by text before and after control characters are shown by name: either may bring a secret's text to light.
func (r *Redactor) line(s string) string { return r.exact(Neutralise(r.exact(s))) }

// Request shows a request as it was sent, fit for a terminal: several lines, secrets masked by place and by text, at most
// 4 KiB of the body.
func (r *Redactor) Request(raw []byte) string {
	head, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	return r.message(string(head), body)
}

// Response shows an answer likewise. head is the status line and fields, with or without the empty line.
func (r *Redactor) Response(head, body []byte) string {
	return r.message(strings.TrimRight(string(head), "\r\n"), body)
}

// Exchange shows a request and what came back, as Request and Response do, with an empty line between; either may be empty.
// What one of them has in a secret's place is masked wherever it stands in both: servers echo what they are sent. So are
// the values in also, such as those that a user has got from answers before.
func (r *Redactor) Exchange(request, head, body []byte, also []string) string {
	requestHead, requestBody, _ := bytes.Cut(request, []byte("\r\n\r\n"))
	found := append([]string(nil), also...)
	for _, h := range []string{string(requestHead), string(head)} {
		found = append(found, headSecrets(h)...)
	}
	for _, b := range [][]byte{requestBody, body} {
		found = append(found, bodySecrets(string(b[:min(len(b), 2*bodyBytes)]))...)
	}
	all := r.with(found)
	var parts []string
	if len(request) > 0 {
		parts = append(parts, all.Request(request))
	}
	if len(head) > 0 {
		parts = append(parts, all.Response(head, body))
	}
	return strings.Join(parts, "\n\n")
}

// Excerpt shows on one line what was found in an answer, in a member or field called of (empty: in none). A name that tells hides
// all of it. Where something was cut off, which shows in …, what stands before is hidden too if a secret of ours or one of also
// begins so.
func (r *Redactor) Excerpt(piece, of string, also []string) string {
	if SecretName(of) {
		return Mask
	}
	all := r.with(also)
	parts := strings.Split(piece, "…")
	for i := range len(parts) - 1 {
		parts[i] = all.begun(parts[i])
	}
	piece = strings.Join(parts, "…")
	return all.line(maskMembers(maskURLs(all.exact(piece))))
}

// begun hides the end of a text with which a secret begins.
func (r *Redactor) begun(s string) string {
	for i := range len(s) - shortest + 1 {
		for _, f := range r.forms {
			if strings.HasPrefix(f, s[i:]) {
				return s[:i] + Mask
			}
		}
	}
	return s
}

// with is a Redactor that knows further secrets.
func (r *Redactor) with(also []string) *Redactor {
	all := New(also)
	all.forms = append(all.forms, r.forms...)
	all.sort()
	return all
}

func (r *Redactor) message(head string, body []byte) string {
	var b strings.Builder
	mime := ""
	for i, line := range strings.Split(strings.ReplaceAll(head, "\r\n", "\n"), "\n") {
		name, value, ok := strings.Cut(line, ":")
		switch {
		case i == 0 || !ok:
			line = maskLine(line)
		case secretField(name):
			line = name + ": " + maskField(name, strings.TrimSpace(value))
		default:
			if strings.EqualFold(strings.TrimSpace(name), "content-type") {
				mime = strings.ToLower(value)
			}
			line = name + ":" + maskReference(name, maskURLs(value))
		}
		b.WriteString(r.line(line))
		b.WriteByte('\n')
	}
	if len(body) == 0 {
		return b.String()
	}
	b.WriteByte('\n')
	text, cut := r.body(string(body), mime)
	b.WriteString(text)
	if cut {
		b.WriteString("…")
	}
	return b.String()
}

// body masks first and cuts then, so that a secret at the edge is not cut into a piece that no longer looks like one.
func (r *Redactor) body(s, mime string) (text string, cut bool) {
	s = r.exact(s)
	// Looking for members takes time that grows with the square of a text made for that, so it sees little more than is shown.
	if edge := 2 * bodyBytes; len(s) > edge {
		s, cut = s[:edge], true
	}
	if strings.Contains(mime, "x-www-form-urlencoded") || mime == "" && !strings.ContainsAny(s, " \t\r\n<>{}\"") {
		s = maskPairs(s)
	}
	s = r.exact(NeutraliseLines(r.exact(maskMembers(maskURLs(s)))))
	if len(s) <= bodyBytes {
		return s, cut
	}
	n := bodyBytes
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n], true
}
