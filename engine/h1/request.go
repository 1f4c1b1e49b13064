package h1

import (
	"fmt"
	"strconv"
)

// The Append functions write what they are given. What comes from outside, variables above all, goes through the
// Valid functions first: they refuse every byte that could end a line or a part of it early and so slip another
// field or request in. A head is AppendRequestLine, AppendField for each field, AppendHeadEnd.

// AppendRequestLine appends "method target HTTP/1.1" and the end of the line (RFC 9112 section 3).
func AppendRequestLine(dst []byte, method, target string) []byte {
	dst = append(dst, method...)
	dst = append(dst, ' ')
	dst = append(dst, target...)
	return append(dst, " HTTP/1.1\r\n"...)
}

// AppendField appends "name: value" and the end of the line (RFC 9112 section 5).
func AppendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// AppendHeadEnd appends the empty line behind the last field.
func AppendHeadEnd(dst []byte) []byte { return append(dst, "\r\n"...) }

// AppendChunk appends data as one chunk (RFC 9112 section 7.1). Empty data appends nothing, for a chunk without
// bytes would end the body.
func AppendChunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = strconv.AppendUint(dst, uint64(len(data)), 16)
	dst = append(dst, "\r\n"...)
	dst = append(dst, data...)
	return append(dst, "\r\n"...)
}

// AppendLastChunk appends the end of a chunked body, without trailers.
func AppendLastChunk(dst []byte) []byte { return append(dst, "0\r\n\r\n"...) }

// ValidMethod tells whether s can be a method: a token (RFC 9110 section 9.1).
func ValidMethod(s string) bool { return notToken(s) < 0 && s != "" }

// ValidFieldName says why s cannot be the name of a field: it must be a token (RFC 9110 section 5.1).
func ValidFieldName(s string) error {
	if s == "" {
		return fmt.Errorf("a header name cannot be empty")
	}
	if i := notToken(s); i >= 0 {
		return fmt.Errorf("header name %s: %s at byte %d is not allowed; names have letters, digits and !#$%%&'*+-.^_`|~ only",
			shown([]byte(s)), shown([]byte{s[i]}), i+1)
	}
	return nil
}

// notToken is the index of the first byte that no token has, or -1.
func notToken(s string) int {
	for i := range len(s) {
		if !tokens[s[i]] {
			return i
		}
	}
	return -1
}

// ValidFieldValue says why v cannot be the value of a field: it must not have control characters other than tab
// (RFC 9110 section 5.5). The error names the byte and its place but does not show the value, which may be secret.
func ValidFieldValue[T string | []byte](v T) error {
	for i := range len(v) {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("header value: control character %s at byte %d is not allowed; encode or remove it", shown([]byte{c}), i+1)
		}
	}
	return nil
}

// ValidTarget says why v cannot be the target of a request: it must not be empty nor have spaces, control
// characters or a fragment (RFC 9112 section 3.2). Bytes above ASCII pass as they are. Like that of
// ValidFieldValue, the error does not show v.
func ValidTarget[T string | []byte](v T) error {
	if len(v) == 0 {
		return fmt.Errorf("a request target cannot be empty; the root is /")
	}
	for i := range len(v) {
		if c := v[i]; c <= ' ' || c == 0x7f || c == '#' {
			return fmt.Errorf("request target: %s at byte %d is not allowed; write it as %%%02X", shown([]byte{c}), i+1, c)
		}
	}
	return nil
}
