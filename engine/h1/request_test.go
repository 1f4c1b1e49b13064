package h1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestRequestIsReadAsWritten(t *testing.T) {
	b := AppendRequestLine(nil, "POST", "/a?b=c")
	b = AppendField(b, "Host", "h:1")
	b = AppendField(b, "X-Empty", "")
	b = AppendField(b, "Transfer-Encoding", "chunked")
	b = AppendHeadEnd(b)
	b = AppendChunk(b, []byte("hello "))
	b = AppendChunk(b, nil)
	b = AppendChunk(b, bytes.Repeat([]byte("x"), 300))
	b = AppendLastChunk(b)
	rest := bufio.NewReader(bytes.NewReader(b))
	r, err := http.ReadRequest(rest)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if r.Method != "POST" || r.RequestURI != "/a?b=c" || r.Host != "h:1" || len(r.Header["X-Empty"]) != 1 ||
		string(body) != "hello "+strings.Repeat("x", 300) {
		t.Errorf("read as %+v with %q", r, body)
	}
	if left, _ := io.ReadAll(rest); len(left) != 0 {
		t.Errorf("%q is left", left)
	}
}

func TestValid(t *testing.T) {
	for _, s := range []string{"GET", "M-SEARCH", "x!#$%&'*+.^_`|~9"} {
		if !ValidMethod(s) || ValidFieldName(s) != nil {
			t.Errorf("%q is refused", s)
		}
	}
	for _, s := range []string{"", "GET ", "G\r\nT", "G/T", "GÉT", "a:b", "a\x00", "\"a\"", "(a)", "a\x7f"} {
		if ValidMethod(s) || ValidFieldName(s) == nil {
			t.Errorf("%q passes", s)
		}
	}
	for _, s := range []string{"", "a b\tc", "käse", "\xff", `"q"`} {
		if err := ValidFieldValue(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"/", "*", "/a?b=c&d=%20", "http://h/", "h:443", "/käse"} {
		if err := ValidTarget(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"", "/a b", "/a\tb", "/a#b"} {
		if ValidTarget(s) == nil {
			t.Errorf("%q passes", s)
		}
	}
}

// No byte that a reader of HTTP could take for the end of a line or a part may pass anywhere.
func TestNothingCanBeInjected(t *testing.T) {
	for c := range 256 {
		s := "a" + string([]byte{byte(c)}) + "b"
		control := c < ' ' && c != '\t' || c == 0x7f
		for name, err := range map[string]error{
			"value": ValidFieldValue(s), "value as bytes": ValidFieldValue([]byte(s)),
			"target": ValidTarget(s), "target as bytes": ValidTarget([]byte(s)), "name": ValidFieldName(s),
		} {
			if control && err == nil {
				t.Errorf("%s with %q passes", name, byte(c))
			}
			if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("error is not printable ASCII: %q", err)
			}
		}
		if control && ValidMethod(s) {
			t.Errorf("method with %q passes", byte(c))
		}
		if !control && ValidFieldValue(s) != nil {
			t.Errorf("value with %q is refused", byte(c))
		}
	}
}

func TestErrorsDoNotShowValues(t *testing.T) {
	for _, err := range []error{ValidFieldValue("secret\n"), ValidTarget("/?key=secret here")} {
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
}
