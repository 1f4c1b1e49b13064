package h1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"
)

func TestRequestIsReadAsWritten(t *testing.T) {
	b := AppendRequestLine(nil, "POST", "/a?b=c")
	b = AppendField(b, "Host", "h:1")
	b = AppendField(b, "X-Empty", "")
	b = AppendField(b, "Content-Length", "5")
	b = append(b, "\r\nhello"...)
	rest := bufio.NewReader(bytes.NewReader(b))
	r, err := http.ReadRequest(rest)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if r.Method != "POST" || r.RequestURI != "/a?b=c" || r.Host != "h:1" || len(r.Header["X-Empty"]) != 1 || string(body) != "hello" {
		t.Errorf("read as %+v with %q", r, body)
	}
	if left, _ := io.ReadAll(rest); len(left) != 0 {
		t.Errorf("%q is left", left)
	}
}
