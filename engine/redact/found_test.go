package redact

import (
	"strings"
	"testing"
)

// What stands in a secret's place on one side is masked where the other side echoes it.
func TestExchangeMasksEchoes(t *testing.T) {
	request := "POST /a?access_token=canary-query-1&x=visible-1 HTTP/1.1\r\nHost: h\r\nAuthorization: Basic Ym9iOmNhbmFyeS1wYXNzd29yZA==\r\n" +
		"X-Api-Key: canary-key-1\r\nCookie: a=canary-cookie-1; b=canary-cookie-2\r\nReferer: http://u:canary-info@h/\r\n\r\n" +
		`{"password": "canary-member-1", "name": "visible-2", "more": "canary-extracted"}`
	head := "HTTP/1.1 500 Oops\r\nSet-Cookie: sid=canary-set-1; Path=/visible-3\r\nX-Auth-Token: canary-field-1\r\nLocation: /x?code=canary-code-1\r\n"
	echo := "visible-1 visible-2 visible-3 canary-query-1 Ym9iOmNhbmFyeS1wYXNzd29yZA== canary-password canary-key-1 [canary-cookie-1] 'canary-cookie-2' " +
		"canary-info canary-member-1 canary-set-1 canary-field-1 canary-code-1 canary-extracted canary-known"
	got := New([]string{"canary-known"}).Exchange([]byte(request), []byte(head), []byte(echo), []string{"canary-extracted"})
	if strings.Contains(got, "canary") || strings.Contains(got, "Ym9iOmNhbm") {
		t.Error(got)
	}
	for _, want := range []string{"visible-1", "visible-2", "visible-3", "POST /a", "HTTP/1.1 500 Oops"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is gone: %s", want, got)
		}
	}
	if got := New(nil).Exchange([]byte("GET / HTTP/1.1\r\n\r\n"), nil, nil, nil); got != "GET / HTTP/1.1\n" {
		t.Errorf("a request alone: %q", got)
	}
}

// A form is known by its look where nobody says what it is.
func TestFormsWithoutAType(t *testing.T) {
	if got := New(nil).Request([]byte("POST / HTTP/1.1\r\nHost: h\r\n\r\na=1&password=canary")); strings.Contains(got, "canary") || !strings.Contains(got, "a=1&password=***") {
		t.Error(got)
	}
}

// No exchange makes it fail, and no cookie comes out of one.
func FuzzExchange(f *testing.F) {
	f.Add("GET /?token=abcdefgh HTTP/1.1\r\nCookie: a=b", "HTTP/1.1 200 OK\r\nSet-Cookie: x=y", `{"token":"abcdefgh"`)
	f.Add("\x00:", "", `"":"\`)
	f.Add("GET / HTTP/1.1\r\nCookie: a\r\n", "", "x")
	f.Fuzz(func(t *testing.T, request, head, body string) {
		const secret = "canary~cookie~0"
		for strings.Contains(request, "\r\n\r\n") { // which would end the head before the cookie
			request = strings.ReplaceAll(request, "\r\n\r\n", "\r\n")
		}
		request = strings.TrimRight(request, "\r\n") + "\r\nCookie: k=" + secret + "\r\n\r\n" + body
		if got := New(nil).Exchange([]byte(request), []byte(head), []byte(body+" "+secret), nil); strings.Contains(got, secret) {
			t.Error(got)
		}
	})
}

// What a check found instead is a piece of an answer, often cut off: no secret is to be seen in it, nor the beginning of one.
func TestExcerpts(t *testing.T) {
	r := New([]string{"opensesame-and-more"})
	also := []string{"a-long-cookie-of-the-user-that-is-cut"}
	for _, test := range []struct{ piece, of, want string }{
		{"12.50", "price", "12.50"},
		{"", "", ""},
		{"sid=abcdefghijkl…", "Set-Cookie", "***"},
		{"4711", "pin", "***"},
		{"x", "X-Auth-Token", "***"},
		{"open opensesame-and-more now", "", "open *** now"},
		{"it is opensesame-an…", "", "it is ***…"},
		{"it is opens…", "", "it is opens…"},
		{`"opensesame-an…" is not a whole number…`, "", `"***…" is not a whole number…`},
		{"[a-long-cookie-of-the-us…", "", "[***…"},
		{`{"id":7,"token":"eyJhbGciOi…`, "user", `{"id":7,"token":"***"`},
		{"see http://ann:pw@h/?sig=1…", "", "see http://***@h/?sig=***"},
		{"a\x1b[2J", "", `a\x1b[2J`},
	} {
		if got := r.Excerpt(test.piece, test.of, also); got != test.want {
			t.Errorf("%q of %q: %q, want %q", test.piece, test.of, got, test.want)
		}
	}
}
