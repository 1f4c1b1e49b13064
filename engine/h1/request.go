package h1

// A head of a request is AppendRequestLine, AppendField for each field, and an empty line. The functions write what they
// are given: whoever has values from outside sees to it that none of them ends its line early and so slips another field
// or request in.

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
