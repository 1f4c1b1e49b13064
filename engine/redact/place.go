package redact

import (
	"strings"
)

// secretField reports whether a header field's name says that its value is a secret.
func secretField(name string) bool {
	name = strings.ToLower(strings.TrimSpace(name))
	switch name {
	case "authorization", "proxy-authorization", "cookie", "set-cookie", "cookie2", "set-cookie2", "www-authenticate", "proxy-authenticate",
		"authentication-info", "x-api-key", "api-key", "apikey", "x-auth-token", "x-amz-security-token", "x-amz-credential":
		return true
	}
	return strings.HasSuffix(name, "-token") || strings.HasSuffix(name, "-secret") || strings.HasSuffix(name, "-key") || strings.HasSuffix(name, "-password") ||
		strings.Contains(name, "csrf") || strings.Contains(name, "xsrf") || strings.Contains(name, "session")
}

// maskField keeps what helps to understand an exchange: the scheme of credentials, the names of cookies and the attributes
// of a cookie that is set.
func maskField(name, value string) string {
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate":
		if scheme, rest, ok := strings.Cut(value, " "); ok && isWord(scheme) && len(scheme) <= 16 && rest != "" {
			return scheme + " " + Mask
		}
		return Mask
	case "cookie":
		pairs := strings.Split(value, ";")
		for i, p := range pairs {
			k, _, ok := strings.Cut(strings.TrimSpace(p), "=")
			if pairs[i] = Mask; ok && k != "" {
				pairs[i] = k + "=" + Mask
			}
		}
		return strings.Join(pairs, "; ")
	case "set-cookie":
		pair, attributes, has := strings.Cut(value, ";")
		k, _, ok := strings.Cut(pair, "=")
		if !ok {
			return Mask
		}
		if has {
			return k + "=" + Mask + ";" + attributes
		}
		return k + "=" + Mask
	}
	return Mask
}

func isWord(s string) bool {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-') {
			return false
		}
	}
	return s != ""
}

// secretName reports whether a parameter, form field or JSON member of that name holds a secret.
func secretName(name string) bool {
	var b strings.Builder
	for _, c := range strings.ToLower(name) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			b.WriteRune(c)
		}
	}
	name = b.String()
	switch name {
	case "pw", "pwd", "pass", "pin", "otp", "auth", "sig", "signature", "sid", "jwt", "bearer", "session", "sessionid", "credential", "credentials", "authorization", "cookie", "cvv", "cvc", "cardnumber":
		return true
	}
	for _, part := range []string{"password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "csrf", "xsrf"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// maskURLs masks every URL in a text.
func maskURLs(s string) string {
	i := strings.Index(s, "://")
	if i < 0 {
		return s
	}
	var b strings.Builder
	for i >= 0 {
		from := i
		for from > 0 && isSchemeByte(s[from-1]) {
			from--
		}
		end := i + 3
		for end < len(s) && s[end] > ' ' && strings.IndexByte("\"'<>`\\", s[end]) < 0 {
			end++
		}
		for end > i+3 && strings.IndexByte(".,:;)", s[end-1]) >= 0 {
			end-- // of the sentence around it
		}
		b.WriteString(s[:from])
		b.WriteString(maskURL(s[from:end]))
		s = s[end:]
		i = strings.Index(s, "://")
	}
	b.WriteString(s)
	return b.String()
}

func isSchemeByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '.' || c == '-'
}

// maskURL masks the userinfo and the telling parameters of one URL, whole or relative.
func maskURL(s string) string {
	if i := strings.Index(s, "//"); i == 0 || i > 0 && s[i-1] == ':' {
		rest := s[i+2:]
		end := strings.IndexAny(rest, "/?#")
		if end < 0 {
			end = len(rest)
		}
		if at := strings.LastIndexByte(rest[:end], '@'); at >= 0 {
			s = s[:i+2] + Mask + rest[at:]
		}
	}
	for _, mark := range []string{"?", "#"} {
		if i := strings.Index(s, mark); i >= 0 {
			tail := ""
			pairs := s[i+1:]
			if j := strings.IndexByte(pairs, '#'); j >= 0 && mark == "?" {
				pairs, tail = pairs[:j], pairs[j:]
			}
			s = s[:i+1] + maskPairs(pairs) + tail
		}
	}
	return s
}

// maskLine masks the target in a request line.
func maskLine(line string) string {
	method, rest, ok := strings.Cut(line, " ")
	if !ok || strings.HasPrefix(method, "HTTP/") {
		return maskURLs(line)
	}
	target, version := rest, ""
	if i := strings.LastIndexByte(rest, ' '); i >= 0 {
		target, version = rest[:i], rest[i:]
	}
	return method + " " + maskURL(target) + version
}

// maskReference masks fields whose value is a URL that may be relative.
func maskReference(name, value string) string {
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "location", "content-location", "referer", "refresh":
		return maskURL(value)
	}
	return value
}

// maskPairs masks the telling values in a query or form.
func maskPairs(s string) string {
	if strings.IndexByte(s, '=') < 0 {
		return s
	}
	pairs := strings.Split(s, "&")
	for i, p := range pairs {
		// An authorisation code is a secret in a URL; in a body, code is what an answer says about itself.
		if k, v, ok := strings.Cut(p, "="); ok && v != "" && (secretName(k) || strings.EqualFold(k, "code")) {
			pairs[i] = k + "=" + Mask
		}
	}
	return strings.Join(pairs, "&")
}

// maskMembers masks the telling members in JSON, whole or cut off, and in anything that looks like it: a quoted name, a
// colon, and a value that is a string, a number or a word. It also masks attributes of HTML forms whose name tells.
func maskMembers(s string) string {
	var b strings.Builder
	from := 0
	for i := 0; i < len(s); {
		if s[i] != '"' {
			i++
			continue
		}
		end := stringEnd(s, i)
		name := s[i+1 : min(max(end-1, i+1), len(s))]
		v := skipSpace(s, end)
		if v >= len(s) || s[v] != ':' {
			// A value, or not JSON at all: look again behind this quote, so that an odd quote does not hide what follows.
			if i++; end <= len(s) && v < len(s) && (s[v] == ',' || s[v] == '}' || s[v] == ']') {
				i = end
			}
			continue
		}
		v = skipSpace(s, v+1)
		if v >= len(s) || !secretName(name) {
			i = v
			continue
		}
		stop := v
		if s[v] == '"' {
			stop = stringEnd(s, v)
		} else if s[v] == '[' || s[v] == '{' {
			stop = bracketEnd(s, v)
		} else {
			for stop < len(s) && strings.IndexByte(",}] \t\r\n", s[stop]) < 0 {
				stop++
			}
		}
		b.WriteString(s[from:v])
		b.WriteString(`"` + Mask + `"`)
		i, from = stop, stop
	}
	if from == 0 {
		return maskInputs(s)
	}
	b.WriteString(s[from:])
	return maskInputs(b.String())
}

// maskInputs masks the value of HTML inputs whose name tells, such as a CSRF field.
func maskInputs(s string) string {
	lower := asciiLower(s)
	if !strings.Contains(lower, "<input") && !strings.Contains(lower, "<meta") {
		return s
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			break
		}
		end := strings.IndexByte(s[i:], '>')
		if end < 0 {
			end = len(s) - i
		}
		tag := s[i : i+end]
		b.WriteString(s[:i])
		if l := asciiLower(tag); strings.HasPrefix(l, "<input") || strings.HasPrefix(l, "<meta") {
			if name, _, _ := attribute(tag, "name"); secretName(name) {
				for _, a := range []string{"value", "content"} {
					if _, from, to := attribute(tag, a); to > from {
						tag = tag[:from] + Mask + tag[to:]
					}
				}
			}
		}
		b.WriteString(tag)
		s = s[i+end:]
		if s != "" {
			b.WriteByte('>')
			s = s[1:]
		}
	}
	b.WriteString(s)
	return b.String()
}

// attribute finds an attribute's value in a tag, and where it stands.
func attribute(tag, name string) (value string, from, to int) {
	lower := asciiLower(tag)
	for at := 0; ; {
		i := strings.Index(lower[at:], name)
		if i < 0 {
			return "", 0, 0
		}
		i += at
		at = i + len(name)
		if i == 0 || lower[i-1] > ' ' && lower[i-1] != '"' && lower[i-1] != '\'' {
			continue
		}
		v := skipSpace(tag, at)
		if v >= len(tag) || tag[v] != '=' {
			continue
		}
		v = skipSpace(tag, v+1)
		if v >= len(tag) {
			return "", 0, 0
		}
		if q := tag[v]; q == '"' || q == '\'' {
			n := strings.IndexByte(tag[v+1:], q)
			if n < 0 {
				n = len(tag) - v - 1
			}
			return tag[v+1 : v+1+n], v + 1, v + 1 + n
		}
		end := v
		for end < len(tag) && tag[end] > ' ' {
			end++
		}
		return tag[v:end], v, end
	}
}

// asciiLower leaves the length as it is, which strings.ToLower does not promise.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

// stringEnd is the place behind the string that begins with the quote at i.
func stringEnd(s string, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

// bracketEnd is the place behind the array or object that begins at i.
func bracketEnd(s string, i int) int {
	for depth := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			i = stringEnd(s, i) - 1
		case '[', '{':
			depth++
		case ']', '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n') {
		i++
	}
	return i
}
