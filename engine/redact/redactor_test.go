package redact

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// A planted secret appears in none of the outputs, in none of the forms in which it may be sent, wherever it is put.
func TestCanary(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		secret := rapid.StringMatching(`[!-~ é]{6,24}`).Draw(rt, "secret")
		quoted, _ := json.Marshal(secret)
		ascii := strconv.QuoteToASCII(secret)
		forms := map[string]string{
			"plain": secret, "query": url.QueryEscape(secret), "path": url.PathEscape(secret), "json": string(quoted[1 : len(quoted)-1]), "hex": hex.EncodeToString([]byte(secret)),
			"base64": base64.StdEncoding.EncodeToString([]byte(secret)), "base64url": base64.URLEncoding.EncodeToString([]byte(secret)),
			"basic": base64.StdEncoding.EncodeToString([]byte("ada:" + secret)), "html": html.EscapeString(secret),
			"HEX": strings.ToUpper(hex.EncodeToString([]byte(secret))), "ascii json": ascii[1 : len(ascii)-1],
		}
		r := New([]string{"other secret", secret})
		around := rapid.StringMatching(`[a-m <>{}"':,&=?/\n]{0,20}`)
		for form, text := range forms {
			before, after := around.Draw(rt, "before"), around.Draw(rt, "after")
			s := before + text + after
			line := strings.ReplaceAll(s, "\n", "")
			if form == "base64" || form == "base64url" || form == "basic" {
				text = strings.TrimRight(text, "=")
				text = text[:len(text)-2] // what follows may change the last characters
			}
			for where, out := range map[string]string{
				"text":          r.Text(s),
				"text of a URL": r.Text("go to http://ada:" + url.QueryEscape(secret) + "@h/?x=" + s),
				"URL":           r.URL("http://h/" + line),
				"request line":  r.Request([]byte("GET /" + line + " HTTP/1.1\r\nHost: h\r\n\r\n")),
				"request field": r.Request([]byte("GET / HTTP/1.1\r\nX: " + line + "\r\n\r\n")),
				"request body":  r.Request([]byte("POST / HTTP/1.1\r\nContent-Type: application/json\r\n\r\n" + s)),
				"answer field":  r.Response([]byte("HTTP/1.1 200 OK\r\nX: "+line), nil),
				"answer body":   r.Response([]byte("HTTP/1.1 200 OK\r\n\r\n"), []byte(s)),
				"long body":     r.Response([]byte("HTTP/1.1 200 OK\r\n\r\n"), []byte(strings.Repeat("-", 4090)+s)),
			} {
				if strings.Contains(out, text) {
					rt.Fatalf("%s of secret %q in %s: %q", form, secret, where, out)
				}
			}
		}
	})
}

func TestRequest(t *testing.T) {
	r := New([]string{"opensesame", "1234"})
	got := r.Request([]byte(strings.ReplaceAll(`POST /login?access_token=abc&page=2 HTTP/1.1
Host: shop.test
Authorization: Bearer abc.def
Proxy-Authorization: nonsense
Cookie: sid=abc; theme=dark
X-Api-Key: abc
X-CSRF-Token: abc
X-Auth-Token: abc
My-Token: abc
Referer: /a?token=abc#top
Accept: text/html
Content-Type: application/json

{"user": "ada", "password": "abc", "access_token" :"a\"bc", "pin": 1234, "n": 1234, "say": "opensesame", "code": "x1", "newPassword": ["a]bc", {"x": 1}], "u": "http://a:b@h/?q=1&sig=abc"}`, "\n", "\r\n")))
	want := `POST /login?access_token=***&page=2 HTTP/1.1
Host: shop.test
Authorization: Bearer ***
Proxy-Authorization: ***
Cookie: sid=***; theme=***
X-Api-Key: ***
X-CSRF-Token: ***
X-Auth-Token: ***
My-Token: ***
Referer: /a?token=***#top
Accept: text/html
Content-Type: application/json

{"user": "ada", "password": "***", "access_token" :"***", "pin": "***", "n": 1234, "say": "***", "code": "x1", "newPassword": "***", "u": "http://***@h/?q=1&sig=***"}`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestResponse(t *testing.T) {
	r := New(nil)
	for _, test := range []struct{ name, head, body, want string }{
		{"cookie", "HTTP/1.1 302 Found\r\nSet-Cookie: sid=abc; Path=/; HttpOnly\r\nLocation: /cb?code=abc&x=1\r\n\r\n", "", "HTTP/1.1 302 Found\nSet-Cookie: sid=***; Path=/; HttpOnly\nLocation: /cb?code=***&x=1\n"},
		{"no body", "HTTP/1.1 204 No Content", "", "HTTP/1.1 204 No Content\n"},
		{"form in HTML", "HTTP/1.1 200 OK", `<INPUT type=hidden name="csrf" value='abc'><input name=q value=x><meta content="abc" name="csrf-token">`, "HTTP/1.1 200 OK\n\n" + `<INPUT type=hidden name="csrf" value='***'><input name=q value=x><meta content="***" name="csrf-token">`},
		{"form", "HTTP/1.1 200 OK\r\nContent-Type: application/x-www-form-urlencoded", "a=b&password=c&token=", "HTTP/1.1 200 OK\nContent-Type: application/x-www-form-urlencoded\n\na=b&password=***&token="},
		{"cut JSON", "HTTP/1.1 200 OK", `{"a":1,"token":"abc`, "HTTP/1.1 200 OK\n\n" + `{"a":1,"token":"***"`},
		{"odd quote", "HTTP/1.1 200 OK", `say "hi, {"token":"abc"}`, "HTTP/1.1 200 OK\n\n" + `say "hi, {"token":"***"}`},
		{"controls", "HTTP/1.1 200 \x1b[31mOK\r\nX: a\x07b", "a\x1b]0;title\x07\r\nb\u202ec\x00\xff", "HTTP/1.1 200 \\x1b[31mOK\nX: a\\x07b\n\n" + `a\x1b]0;title\x07` + "\n" + `b\u202ec\x00\xff`},
	} {
		if got := r.Response([]byte(test.head), []byte(test.body)); got != test.want {
			t.Errorf("%s: got\n%q, want\n%q", test.name, got, test.want)
		}
	}
	long := r.Response([]byte("HTTP/1.1 200 OK"), []byte(strings.Repeat("ä", 10000)))
	if body := strings.TrimPrefix(long, "HTTP/1.1 200 OK\n\n"); len(body) > 4<<10+len("…") || !utf8.ValidString(body) || !strings.HasSuffix(body, "ä…") {
		t.Errorf("%d bytes of a long body are shown", len(body))
	}
}

func TestURLs(t *testing.T) {
	r := New([]string{"s3cret!"})
	for in, want := range map[string]string{
		"http://h/a?b=c":      "http://h/a?b=c",
		"https://ada:pw@h:1/": "https://***@h:1/",
		"https://ada@h/":      "https://***@h/",
		"https://h/?apiKey=x&ok=1#access_token=y&z=1": "https://h/?apiKey=***&ok=1#access_token=***&z=1",
		"/a?password=x":        "/a?password=***",
		"https://h/s3cret%21/": "https://h/***/",
		"https://h/\x1b[2J":    `https://h/\x1b[2J`,
		"mailto:a@b":           "mailto:a@b",
	} {
		if got := r.URL(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
	if got, want := r.Text("dial http://u:p@h/?token=x: refused, see https://h2/?q=1."), "dial http://***@h/?token=***: refused, see https://h2/?q=1."; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
}

func TestShortSecretsAreNotMaskedByText(t *testing.T) {
	if got := New([]string{"12345", ""}).Text("id 12345 x"); got != "id 12345 x" {
		t.Errorf("%q", got)
	}
}

func TestNeutralise(t *testing.T) {
	for in, want := range map[string]string{
		"plain ASCII ~":         "plain ASCII ~",
		"Größe 日本 €":            "Größe 日本 €",
		"a\nb\r\tc":             `a\nb\r\tc`,
		"\x1b[31mred\x1b[0m":    `\x1b[31mred\x1b[0m`,
		"\x7f\u0085\u009b2J":    `\x7f\x85\x9b2J`,
		"\u202eabc\u2066\u200f": `\u202eabc\u2066\u200f`,
		"a\u200bb\ufeffc":       `a\u200bb\ufeffc`,
		"\u2028\u2029":          `\u2028\u2029`,
		"\xff\xc3\x28":          `\xff\xc3(`,
		"\ue000\U000e0001":      `\ue000\U000e0001`,
	} {
		if got := Neutralise(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
	if got := NeutraliseLines("a\r\nb\n\tc\rd\x1b"); got != "a\nb\n\tc\\rd\\x1b" {
		t.Errorf("lines %q", got)
	}
}

// A body made to be slow: each quote begins a string that ends nowhere. The test is that it comes to an end.
func TestHostileBodyIsBounded(t *testing.T) {
	for _, unit := range []string{`"\\`, `"`, `{"token":[`, "://", "<input name=", "a=&", "\xff"} {
		out := New([]string{"opensesame"}).Response([]byte("HTTP/1.1 200 OK"), []byte(strings.Repeat(unit, 1<<20/len(unit))))
		if len(out) > 5<<10 {
			t.Errorf("%q: %d bytes", unit, len(out))
		}
	}
}

func harmless(s string, lines bool) bool {
	for _, r := range s {
		if lines && (r == '\n' || r == '\t') {
			continue
		}
		if r != ' ' && !strconv.IsPrint(r) && !visible(r) {
			return false
		}
	}
	return utf8.ValidString(s)
}

func FuzzRedact(f *testing.F) {
	f.Add("opensesame", "GET /?token=x HTTP/1.1\r\nCookie: a=b\r\n\r\n{\"password\":\"opensesame\"}")
	f.Add("a***bc", "a******bcbc http://a***bc@h/")
	f.Add("\x1b[2J\x1b[H", "<input name=csrf value=\"\\x1b[2J\\x1b[H\">")
	f.Add("======", "token===========&=")
	f.Fuzz(func(t *testing.T, secret, s string) {
		r := New([]string{secret})
		text := r.Text(s)
		if len(secret) >= 6 && strings.Contains(text, secret) && secret != strings.Repeat("*", len(secret)) {
			t.Fatalf("%q is left in %q", secret, text)
		}
		outs := map[string]string{"url": r.URL(s), "request": r.Request([]byte(s)), "response": r.Response([]byte(s), []byte(s)), "neutralise": Neutralise(s), "lines": NeutraliseLines(s)}
		for name, out := range outs {
			multi := name != "url" && name != "neutralise"
			if !harmless(out, multi) {
				t.Fatalf("%s: %q is not printable", name, out)
			}
			if len(secret) >= 6 && name == "url" && strings.Contains(out, secret) && strings.Trim(secret, "*") != "" {
				t.Fatalf("%s: %q is left in %q", name, secret, out)
			}
		}
		if again := Neutralise(outs["neutralise"]); again != outs["neutralise"] {
			t.Fatalf("%q neutralised again is %q", outs["neutralise"], again)
		}
		if !strings.Contains(secret, "*") {
			if again := r.Text(text); again != text {
				t.Fatalf("%q masked again is %q", text, again)
			}
		}
	})
}

func BenchmarkRequest(b *testing.B) {
	r := New([]string{"opensesame", "a longer secret of the scenario"})
	raw := []byte("POST /login?x=1 HTTP/1.1\r\nHost: shop.test\r\nAuthorization: Bearer abc\r\nContent-Type: application/json\r\n\r\n" + strings.Repeat(`{"user":"ada","password":"opensesame"},`, 50))
	b.ReportAllocs()
	for b.Loop() {
		r.Request(raw)
	}
}

func BenchmarkNeutraliseHarmless(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Neutralise("connection refused by 10.0.0.7:8080")
	}
}

// Encoders differ in what they leave as it is; whatever they choose, and however often, the secret is found.
func TestPercentEncodingOfAnyKindIsMasked(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		secret := rapid.StringMatching(`[ -~é]{6,16}`).Draw(rt, "secret")
		var b strings.Builder
		for _, c := range []byte(secret) {
			switch digits := rapid.SampledFrom([]string{"%02X", "%02x"}).Draw(rt, "digits"); rapid.IntRange(0, 4).Draw(rt, "how") {
			case 0:
				fmt.Fprintf(&b, "%%"+digits, c)
			case 1:
				fmt.Fprintf(&b, "%%25"+digits, c)
			case 2:
				fmt.Fprintf(&b, "%%2525"+digits, c)
			default:
				if c == '%' {
					b.WriteString("%25")
				} else if c == ' ' {
					b.WriteByte('+')
				} else {
					b.WriteByte(c)
				}
			}
		}
		if got := New([]string{secret}).exact("\n" + b.String() + "\n"); got != "\n***\n" {
			rt.Fatalf("%q as %q: %q", secret, b.String(), got)
		}
	})
}

// A header field in UTF-8 comes back with each byte as a character of its own.
func TestASecretTakenForLatin1IsMasked(t *testing.T) {
	got := New([]string{"pässwört"}).Text("echo: p\u00c3\u00a4ssw\u00c3\u00b6rt, " + base64.StdEncoding.EncodeToString([]byte("Bearer p\u00c3\u00a4ssw\u00c3\u00b6rt.")))
	if strings.Contains(got, "ssw") || strings.Count(got, Mask) != 2 {
		t.Error(got)
	}
}

// What base64 makes of a secret is escaped again where it goes on in a URL, a form or a JSON text.
func TestBase64IsMaskedWhereItIsEscapedAgain(t *testing.T) {
	secret := "\xfb\xef\xbe?>~ÿÿ~>?" // + and / at every place
	r := New([]string{secret})
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte("abc"[:shift] + secret))
		if !strings.ContainsAny(text, "+/") {
			t.Fatalf("%s needs no escapes", text)
		}
		core := strings.Trim(text, "=")
		core = core[4 : len(core)-4]
		for name, escape := range map[string]func(string) string{
			"query": url.QueryEscape, "path": url.PathEscape, "json": func(s string) string { return strings.ReplaceAll(s, "/", `\/`) },
			"lower case": func(s string) string {
				return strings.NewReplacer("%2B", "%2b", "%2F", "%2f").Replace(url.QueryEscape(s))
			},
		} {
			if got := r.Text("x=" + escape(text) + "&y"); strings.Contains(got, escape(core)) {
				t.Errorf("%s, %d bytes before: %s", name, shift, got)
			}
		}
	}
}
