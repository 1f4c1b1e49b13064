package journey

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/publicsuffix"
	"pgregory.net/rapid"

	"lt/engine/scenario"
)

// sent is the Cookie field of a request to a URL.
func (s *Session) sent(rawURL string, now time.Time) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		panic(err)
	}
	o, _, err := parseAuthority(u.Scheme == "https", u.Host)
	if err != nil {
		panic(err)
	}
	return string(s.appendCookies(nil, &o, []byte(u.EscapedPath()), now.UnixMilli()))
}

func (s *Session) receive(rawURL, field string, now time.Time) {
	u, _ := url.Parse(rawURL)
	o, _, _ := parseAuthority(u.Scheme == "https", u.Host)
	s.store(&o, []byte(u.EscapedPath()), []byte(field), now)
}

// The standard library's jar is the oracle: whatever is set, the same cookies are sent in the same order.
func TestCookiesAgreeWithCookiejar(t *testing.T) {
	hosts := []string{"shop.example.com", "a.shop.example.com", "example.com", "other.test", "localhost", "127.0.0.1", "10.0.0.7", "dev.localhost", "x.co.uk", "co.uk"}
	paths := []string{"/", "/a", "/a/", "/a/b", "/a/b/c", "/ab"}
	domains := []string{"", "example.com", ".example.com", "EXAMPLE.com", "shop.example.com", "com", "co.uk", "x.co.uk", "localhost", "127.0.0.1", "10.0.0.7", "other.test", "hop.example.com"}
	address := rapid.Custom(func(rt *rapid.T) string {
		return rapid.SampledFrom([]string{"http", "https"}).Draw(rt, "scheme") + "://" + rapid.SampledFrom(hosts).Draw(rt, "host") + rapid.SampledFrom(paths).Draw(rt, "path")
	})
	rapid.Check(t, func(rt *rapid.T) {
		jar, err := cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List})
		if err != nil {
			rt.Fatal(err)
		}
		var s Session
		now := time.Now()
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			from := address.Draw(rt, "from")
			field := rapid.SampledFrom([]string{"a", "b", "sid"}).Draw(rt, "name") + "=" + rapid.StringMatching(`[a-z0-9]{0,12}`).Draw(rt, "value")
			if d := rapid.SampledFrom(domains).Draw(rt, "domain"); d != "" {
				field += "; Domain=" + d
			}
			if rapid.Bool().Draw(rt, "hasPath") {
				field += "; Path=" + rapid.SampledFrom([]string{"/", "/a", "/a/", "/a/b", "rel", ""}).Draw(rt, "cookiePath")
			}
			if rapid.Bool().Draw(rt, "secure") {
				field += "; Secure; HttpOnly"
			}
			switch rapid.IntRange(0, 5).Draw(rt, "life") {
			case 0:
				field += "; Max-Age=0"
			case 1:
				field += "; Max-Age=3600"
			case 2:
				field += "; Expires=" + now.Add(time.Hour).UTC().Format(http.TimeFormat)
			case 3:
				field += "; Expires=" + now.Add(-time.Hour).UTC().Format(http.TimeFormat)
			}
			u, _ := url.Parse(from)
			c, err := http.ParseSetCookie(field)
			if err != nil {
				rt.Fatalf("%s: %v", field, err)
			}
			jar.SetCookies(u, []*http.Cookie{c})
			s.receive(from, field, now)

			to := address.Draw(rt, "to")
			v, _ := url.Parse(to)
			var want []string
			for _, c := range jar.Cookies(v) {
				want = append(want, c.Name+"="+c.Value)
			}
			if got := s.sent(to, now); got != strings.Join(want, "; ") {
				rt.Fatalf("after %q from %s, to %s: %q, the oracle %q", field, from, to, got, strings.Join(want, "; "))
			}
		}
	})
}

// The standard library's jar keeps the brackets of an IPv6 address and so does not know this one for a loopback address.
func TestSecureCookieOnLoopbackIPv6(t *testing.T) {
	for host, want := range map[string]string{"[::1]": "a=1", "[fd00::1]": "", "127.0.0.2": "a=1", "shop.test": ""} {
		var s Session
		s.receive("http://"+host+"/", "a=1; Secure", at)
		if got := s.sent("http://"+host+":8080/", at); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
		if s.sent("https://"+host+"/", at) != "a=1" {
			t.Errorf("%s: not sent over TLS", host)
		}
	}
}

func TestCookieFields(t *testing.T) {
	for _, test := range []struct{ name, field, want string }{
		{"plain", "sid=1", "sid=1"},
		{"spaces", " sid = 1 ; Path = / ", "sid=1"},
		{"value with =", "sid=a=b==", "sid=a=b=="},
		{"quotes stay", `sid="a b"`, `sid="a b"`},
		{"no pair", "sid", ""},
		{"no name", "=1", ""},
		{"control character", "sid=1\x01", ""},
		{"max-age wins over expires", "sid=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "sid=1"},
		{"max-age wins in any order", "sid=1; Expires=Thu, 01 Jan 2099 00:00:00 GMT; Max-Age=-1", ""},
		{"max-age that is no number", "sid=1; Max-Age=soon", "sid=1"},
		{"endless max-age", "sid=1; Max-Age=99999999999999999999", "sid=1"},
		{"the epoch", "sid=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", ""},
		{"date without a day", "sid=1; Expires=12:00:00 GMT", "sid=1"},
		{"other site", "sid=1; Domain=evil.test", ""},
		{"suffix of a label", "sid=1; Domain=p.test", ""},
		{"public suffix", "sid=1; Domain=test", ""},
		{"as long as may be", "sid=" + strings.Repeat("x", 4093), "sid=" + strings.Repeat("x", 4093)},
		{"longer", "sid=" + strings.Repeat("x", 4094), ""},
		{"unknown attribute", "sid=1; SameSite=Lax; Partitioned; Priority=High", "sid=1"},
	} {
		var s Session
		s.receive("http://shop.test/a/b", test.field, at)
		if got := s.sent("http://shop.test/a/b", at); got != test.want {
			t.Errorf("%s: %.60q, want %.60q", test.name, got, test.want)
		}
	}
}

func TestCookieDates(t *testing.T) {
	want := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "6 November 1994 8:49:37", "1994 Nov 06 08:49:37Z"} {
		got, ok := parseCookieDate([]byte(s))
		if !ok || !got.Equal(want) {
			t.Errorf("%s: %v, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "31 Feb 2020 00:00:00", "06 Nov 1500 08:49:37", "06 Nov 1994 24:00:00", "06 Nov 1994", "0 Nov 1994 08:00:00"} {
		if got, ok := parseCookieDate([]byte(s)); ok {
			t.Errorf("%s is taken for %v", s, got)
		}
	}
	if got, ok := parseCookieDate([]byte("06 Nov 69 08:49:37")); !ok || got.Year() != 2069 {
		t.Errorf("two digits of a year: %v", got)
	}
}

func TestCookieExpires(t *testing.T) {
	var s Session
	s.receive("http://shop.test/", "sid=1; Max-Age=10", at)
	if s.sent("http://shop.test/", at.Add(9*time.Second)) == "" || s.sent("http://shop.test/", at.Add(10*time.Second)) != "" {
		t.Error("a cookie with Max-Age=10 must be sent after 9 seconds and not after 10")
	}
}

func TestFiftyCookiesADomain(t *testing.T) {
	var s Session
	for i := range 60 {
		s.receive("http://shop.test/", fmt.Sprintf("c%d=%d; Path=/%s", i, i, strings.Repeat("x", i%3)), at)
	}
	s.receive("http://other.test/", "o=1", at)
	var names []string
	for rest := s.cookies; len(rest) > 0; {
		c, size := readCookie(rest)
		names = append(names, string(c.name))
		rest = rest[size:]
	}
	if len(names) != 51 || slices.Contains(names, "c9") || !slices.Contains(names, "c10") || !slices.Contains(names, "c59") || !slices.Contains(names, "o") {
		t.Errorf("%d cookies are kept: %v", len(names), names)
	}
}

func TestCookiesOfAnswers(t *testing.T) {
	p := compileSteps(t, &scenario.Step{URL: "/a"}, &scenario.Step{URL: "/a", HTTP: scenario.HTTP{Cookies: scenario.CookiesOff}},
		&scenario.Step{URL: "/a", Headers: []scenario.Pair{{Name: "Cookie", Value: "own={{n}}"}}})
	var s Session
	h := head(t, "HTTP/1.1 200 OK\nSet-Cookie: sid=1; Path=/\nX: y\nset-cookie: two=2; Path=/a")
	in := &Input{Now: at}
	_, req, _ := p.Append(nil, p.Steps[1], &s, in, nil)
	p.StoreCookies(p.Steps[1], &s, &req, h, at)
	if len(s.cookies) != 0 {
		t.Error("a step without cookies keeps some")
	}
	_, req, _ = p.Append(nil, p.Steps[0], &s, in, nil)
	p.StoreCookies(p.Steps[0], &s, &req, h, at)
	for i, want := range []string{"\r\nCookie: two=2; sid=1\r\n\r\n", "lt/1.0\r\n\r\n", "\r\nCookie: own=7; two=2; sid=1\r\n\r\n"} {
		if out, _, _ := p.Append(nil, p.Steps[i], &s, in, nil); !strings.HasSuffix(string(out), want) {
			t.Errorf("step %d: %q, want at its end %q", i, out, want)
		}
	}
}

func TestSaveAndRestore(t *testing.T) {
	sc := &Scenario{Vars: 3}
	rapid.Check(t, func(rt *rapid.T) {
		var s Session
		s.Reset(sc)
		change := func() {
			for range rapid.IntRange(0, 6).Draw(rt, "changes") {
				if rapid.Bool().Draw(rt, "cookie") {
					s.receive("http://shop.test/", fmt.Sprintf("%c=%s", rune('a'+rapid.IntRange(0, 3).Draw(rt, "c")), rapid.StringMatching(`[a-z]{0,20}`).Draw(rt, "v")), at)
				} else {
					s.set(rapid.IntRange(0, 2).Draw(rt, "slot"), 3, []byte(rapid.StringN(0, 20, -1).Draw(rt, "value")))
				}
			}
		}
		state := func() string {
			text := s.sent("http://shop.test/", at)
			for i := range 3 {
				v, ok := s.value(i)
				text += fmt.Sprintf("|%v %q", ok, v)
			}
			return text
		}
		saved := state()
		for range rapid.IntRange(1, 8).Draw(rt, "iterations") {
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0:
				change()
				s.Save()
				saved = state()
			case 1:
				s.Reset(sc)
				saved = "|false \"\"|false \"\"|false \"\""
			}
			change()
			s.Restore()
			if got := state(); got != saved {
				rt.Fatalf("after Restore %s, saved was %s", got, saved)
			}
		}
	})
}

func FuzzCookie(f *testing.F) {
	f.Add("sid=1; Path=/; Domain=shop.test; Max-Age=3; Expires=Sun, 06 Nov 1994 08:49:37 GMT", "a=b; path=/x; secure")
	f.Add("=;;;==; Domain=.; Path=", "\x00=\x7f")
	f.Fuzz(func(t *testing.T, one, two string) {
		var s Session
		for range 3 {
			s.receive("https://a.shop.test/x/y?z", one, at)
			s.receive("http://shop.test/", two, at)
			for rest := s.cookies; len(rest) > 0; {
				c, size := readCookie(rest)
				if len(c.name) == 0 || len(c.path) == 0 || c.path[0] != '/' || len(c.name)+len(c.value) > cookieBytes || bytes.ContainsAny(c.value, "\r\n\x00;") {
					t.Fatalf("kept %q=%q for %q", c.name, c.value, c.path)
				}
				rest = rest[size:]
			}
			if strings.ContainsAny(s.sent("https://a.shop.test/x/y", at), "\r\n\x00") {
				t.Fatal("a control character is sent")
			}
		}
	})
}
