package journey

import (
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lt/engine/scenario"
)

// renderURL is the target that a URL template yields with x extracted as value.
func renderURL(t *testing.T, template, x string) (string, error) {
	t.Helper()
	p, s := withX(t, &scenario.Step{URL: template}, x)
	_, req, err := p.Append(nil, p.Steps[1], s, &Input{Seed: 1, Iteration: 41, User: 3, Now: at}, nil)
	return req.Origin.String() + string(req.Target), err
}

// withX compiles a step behind one that extracts x, and gives x its value.
func withX(t testing.TB, st *scenario.Step, x string) (*Program, *Session) {
	t.Helper()
	first := &scenario.Step{URL: "/", Extract: []scenario.Extract{{Name: "x", Source: scenario.FromHeader, Expr: "X"}}}
	p := compileSteps(t, first, st)
	s := new(Session)
	s.Reset(p.Scenarios[0])
	s.set(0, 1, []byte(x))
	return p, s
}

func TestURLTemplates(t *testing.T) {
	for _, test := range []struct{ name, template, x, want string }{
		{"path", "/a/{{x}}", "b c", "http://shop.test:80/a/b%20c"},
		{"path keeps slashes", "/a/{{x}}", "b/c", "http://shop.test:80/a/b/c"},
		{"path cannot begin a query", "/a/{{x}}", "b?c#d", "http://shop.test:80/a/b%3Fc%23d"},
		{"query", "/a?q={{x}}", "a&b=c d+", "http://shop.test:80/a?q=a%26b%3Dc%20d%2B"},
		{"line break", "/a/{{x}}", "b\r\nHost: evil", "http://shop.test:80/a/b%0D%0AHost:%20evil"},
		{"variable of the file in a path", "/a/{{color}}", "", "http://shop.test:80/a/red%20&%20blue/green"},
		{"variable of the file in a query", "/a?c={{color}}", "", "http://shop.test:80/a?c=red%20%26%20blue%2Fgreen"},
		{"base in a variable", "{{host}}/login", "", "http://api.test:80/login"},
		{"extracted link, relative", "{{x}}", "/p/1?q=a%20b#top", "http://shop.test:80/p/1?q=a%20b"},
		{"extracted link, whole", "{{x}}", "http://cdn.test/p?q=1", "http://cdn.test:80/p?q=1"},
		{"extracted link, no path", "{{x}}", "https://api.test:8443", "https://api.test:8443/"},
		{"extracted link, scheme of the page", "{{x}}", "//cdn.test/p", "http://cdn.test:80/p"},
		{"extracted host", "http://{{x}}/p", "CDN.test", "http://cdn.test:80/p"},
		{"extracted host alone", "http://{{x}}", "CDN.test", "http://cdn.test:80/"},
		{"extracted path of a host", "http://cdn.test{{x}}", "/p?q=a%20b", "http://cdn.test:80/p?q=a%20b"},
		{"extracted link with a query of its own", "{{x}}&c={{color}}", "/p?q=1", "http://shop.test:80/p?q=1&c=red%20%26%20blue%2Fgreen"},
		{"extracted query", "{{x}}", "?q=1", "http://shop.test:80/?q=1"},
		{"urlencode is not encoded twice", "/a?q={{urlencode x}}", "a b", "http://shop.test:80/a?q=a%20b"},
		{"iteration and user", "/{{iteration}}/{{vu}}", "", "http://shop.test:80/41/3"},
		{"add", "/{{add iteration 1}}/{{add n 0.5}}", "", "http://shop.test:80/42/7.5"},
		{"nested", "/{{base64 (add 1 2)}}", "", "http://shop.test:80/Mw=="},
		{"time", "/{{now date +24h}}/{{now unix}}/{{now '%Y'}}/{{now \"02.01.2006\" -1d}}", "", "http://shop.test:80/2026-03-02/1772366400/2026/28.02.2026"},
		{"spaces in the braces", "/{{ x }}", "y", "http://shop.test:80/y"},
		{"single braces are text", "/{x}", "y", "http://shop.test:80/%7Bx%7D"},
		{"relative without slash", "cart", "", "http://shop.test:80/cart"},
		{"query alone", "?a=1", "", "http://shop.test:80/?a=1"},
	} {
		got, err := renderURL(t, test.template, test.x)
		if err != nil || got != test.want {
			t.Errorf("%s: %s with %q gives %s, %v; want %s", test.name, test.template, test.x, got, err, test.want)
		}
	}
}

func TestForeignHostIsRefused(t *testing.T) {
	for x, template := range map[string]string{
		"http://evil.test/": "{{x}}", "//evil.test/": "{{x}}", "http://shop.test@evil.test/": "{{x}}", "https://evil.test:443": "{{x}}",
		"evil.test": "http://{{x}}/", "shop.test@evil.test": "http://{{x}}", ".evil.test/": "http://shop.test{{x}}", "@evil.test/": "http://shop.test{{x}}",
	} {
		if _, err := renderURL(t, template, x); !errors.Is(err, ErrForeign) {
			t.Errorf("%s with %s: error %v, want ErrForeign", template, x, err)
		}
	}
	if got, err := renderURL(t, "{{x}}", "ftp://shop.test/"); err == nil || !strings.Contains(err.Error(), "only http:// and https://") {
		t.Errorf("another scheme: %s, %v", got, err)
	}
	p := compileSteps(t, &scenario.Step{URL: "/"})
	for host, want := range map[string]bool{"shop.test": true, "SHOP.test.": true, "cdn.test": true, "api.test": true, "evil.test": false, "": false} {
		if p.Allowed(host) != want {
			t.Errorf("Allowed(%q) is %v", host, !want)
		}
	}
}

// Grammar, functions and arguments are judged in one place, package scenario; what it lets pass can be compiled, and nothing else.
func TestTemplateErrors(t *testing.T) {
	for template, want := range map[string]string{
		"{{user}}":                     "",
		"plain }} {":                   "",
		"{{add user 1}}":               "",
		"{{add user 0.5}}":             "",
		"{{add -1 .5}}":                "",
		"{{hmac sha256 user 'x'}}":     "",
		"{{json \\\"a\\\"}}":           "",
		"{{randomInt 1 seven}}":        "",
		"{{now +7d}}":                  "",
		"{{usr}}":                      `character 3: there is no variable or function "usr"; did you mean {{user}}?`,
		"{{user":                       "{{ is not closed",
		"{{}}":                         "empty",
		"{{randomInt 1}}":              "randomInt FROM TO",
		"{{randomInt 5 1}}":            `character 13: randomInt: "5" is above "1"`,
		"{{randomInt 9 seven}}":        `"9" is above the value of seven`,
		"{{randomInt 1 0.5}}":          `character 15: randomInt: "0.5" is not a whole number`,
		"{{randomInt a b}}":            `no variable or function "a"`,
		"{{randomInt 1 secret}}":       "the value of secret is not a whole number",
		"{{add secret 1}}":             "the value of secret is not a number",
		"{{add 'x' 1}}":                `"x" is not a number`,
		"{{frob 1}}":                   `no function "frob"`,
		"{{user.email}}":               `"user.email"`,
		"{{faker.email}}":              "faker functions are not in this version",
		"{{hmac rot13 user 'x'}}":      "the hash is none of md5",
		"{{hmac user user 'x'}}":       "the hash is none of md5",
		"{{now +1h +2h}}":              "second one",
		"{{now rfc3339 soon}}":         "is not a distance",
		"{{now user}}":                 "do not change",
		"{{now yesterday}}":            "the format",
		"{{now '%Q'}}":                 "unknown conversion",
		"{{base64 'x}}":                "quoted text is not closed",
		"{{add (add 1 2 3}}":           "parenthesis",
		"{{randomString -1}}":          "from 0 to",
		"{{?}}":                        "cannot stand here",
		"{{.user}}":                    `".user" is neither a name nor a number; write {{name}}`,
		"{{base64 /x}}":                "neither a name nor a number",
		"{{-user}}":                    "neither a name nor a number",
		"{{now '%Y-01-01'}}":           "text beside its conversions",
		"{{now '%d May %Y, Monday'}}":  "text beside its conversions",
		"{{now '%S.000'}}":             "text beside its conversions",
		"{{now '%Y%m%d%H%M%S'}}":       "",
		"{{now '%d. %B %Y at %e %%'}}": "",
		"{{" + strings.Repeat("(", 99): "nested",
	} {
		sf := file(&scenario.Step{URL: "/", Extract: []scenario.Extract{{Name: "user", Source: scenario.FromHeader, Expr: "X"}}},
			&scenario.Step{Method: "POST", URL: "/", Body: scenario.BodyText, Text: template})
		sf.Vars = []scenario.Var{{Name: "seven", Value: "7"}, {Name: "secret", Value: "canary-password"}}
		_, err := Compile(sf, "")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error %v, want %q", template, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error shows a value: %v", template, err)
		}
		var te *scenario.TemplateError
		if err != nil && (!errors.As(err, &te) || te.Offset < 0 || te.Offset > len(template)) {
			t.Errorf("%s: no place in %#v", template, err)
		}
	}
}

// Every function that a file may name has its code, and no other does.
func TestFunctionsAreThoseOfTheGrammar(t *testing.T) {
	if got := slices.Sorted(maps.Keys(functions)); !slices.Equal(got, scenario.FunctionNames) {
		t.Errorf("code for %q, grammar for %q", got, scenario.FunctionNames)
	}
	if got := slices.Sorted(maps.Keys(hashes)); !slices.Equal(got, slices.Sorted(slices.Values(scenario.HashNames))) {
		t.Errorf("code for %q, grammar for %q", got, scenario.HashNames)
	}
}

func TestDrawsDependOnTheirPlaceAlone(t *testing.T) {
	p := compileSteps(t, &scenario.Step{URL: "/{{uuid}}/{{uuid}}/{{randomInt 1 1000000}}/{{randomString 12}}"})
	var s Session
	target := func(in Input) string {
		_, req, err := p.Append(nil, p.Steps[0], &s, &in, nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(req.Target)
	}
	one := target(Input{Seed: 1, Iteration: 5, User: 1})
	if !regexp.MustCompile(`^/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/[0-9a-f-]{36}/\d{1,7}/[0-9A-Za-z]{12}$`).MatchString(one) {
		t.Errorf("target %s", one)
	}
	if parts := strings.Split(one, "/"); parts[1] == parts[2] {
		t.Error("two calls in one request draw the same")
	}
	if again := target(Input{Seed: 1, Iteration: 5, User: 9}); again != one {
		t.Error("in the open model the slot that runs an iteration changes what is drawn")
	}
	if target(Input{Seed: 1, Iteration: 6, User: 1}) == one || target(Input{Seed: 2, Iteration: 5, User: 1}) == one {
		t.Error("another iteration or seed draws the same")
	}
	p.closed = true
	if target(Input{Seed: 1, Iteration: 5, User: 1}) == target(Input{Seed: 1, Iteration: 5, User: 2}) {
		t.Error("in the closed model two users draw the same")
	}
}

func TestRandomIntReachesBothEnds(t *testing.T) {
	p := compileSteps(t, &scenario.Step{URL: "/{{randomInt 1 3}}"})
	var s Session
	seen := map[string]int{}
	for i := range 3000 {
		_, req, _ := p.Append(nil, p.Steps[0], &s, &Input{Iteration: int64(i)}, nil)
		seen[string(req.Target)]++
	}
	if len(seen) != 3 {
		t.Fatalf("values %v", seen)
	}
	for v, n := range seen { // 1000 expected, standard deviation 26
		if n < 870 || n > 1130 {
			t.Errorf("%s came %d times", v, n)
		}
	}
}

// bodyOf is the body of a rendered request, after its length was checked against Content-Length.
func bodyOf(t *testing.T, out []byte) string {
	t.Helper()
	headText, body, ok := strings.Cut(string(out), "\r\n\r\n")
	if !ok {
		t.Fatalf("no end of head in %q", out)
	}
	m := regexp.MustCompile(`\r\nContent-Length: (\d+)`).FindStringSubmatch(headText)
	if m == nil || m[1] != strconv.Itoa(len(body)) {
		t.Fatalf("Content-Length %v of %d bytes in %q", m, len(body), out)
	}
	return body
}

// A value is data wherever it is put, whatever it holds.
func TestValuesCannotBecomeStructure(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		x := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z"\\\r\n&=?#%/ {}]{0,40}`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(rt, "x")
		repeat := rapid.IntRange(1, 30).Draw(rt, "repeat")
		long := strings.Repeat(x, repeat)
		in := &Input{Now: at}

		p, s := withX(t, &scenario.Step{Method: "POST", URL: "/p/{{x}}?q={{x}}", Body: scenario.BodyJSON, Text: `{"a":"1{{x}}2","n":{{n}}}`}, long)
		out, req, err := p.Append(nil, p.Steps[1], s, in, nil)
		if err != nil {
			rt.Fatal(err)
		}
		var v struct {
			A string
			N int
		}
		if err := json.Unmarshal([]byte(bodyOf(t, out)), &v); err != nil || v.A != "1"+string([]rune(long))+"2" || v.N != 7 {
			rt.Fatalf("JSON %q: %v, a is %q", bodyOf(t, out), err, v.A)
		}
		u, err := url.ParseRequestURI(string(req.Target))
		if err != nil || u.Path != "/p/"+long || u.Query().Get("q") != long {
			rt.Fatalf("target %q: %v, path %q", req.Target, err, u.Path)
		}
		if strings.ContainsAny(string(req.Target), " \r\n") {
			rt.Fatalf("target %q", req.Target)
		}

		p, s = withX(t, &scenario.Step{Method: "POST", URL: "/", Body: scenario.BodyForm, Form: []scenario.Pair{{Name: "a b", Value: "{{x}}"}, {Name: "c", Value: "{{color}}"}}}, long)
		if out, _, err = p.Append(nil, p.Steps[1], s, in, nil); err != nil {
			rt.Fatal(err)
		}
		form, err := url.ParseQuery(bodyOf(t, out))
		if err != nil || form.Get("a b") != long || form.Get("c") != "red & blue/green" || len(form) != 2 {
			rt.Fatalf("form %q: %v", bodyOf(t, out), err)
		}

		p, s = withX(t, &scenario.Step{URL: "/", Headers: []scenario.Pair{{Name: "X", Value: "a{{x}}"}}}, x)
		out, _, err = p.Append(nil, p.Steps[1], s, in, nil)
		bad := strings.ContainsFunc(x, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
		if (err != nil) != bad {
			rt.Fatalf("header with %q: %v", x, err)
		}
		if err == nil && !strings.Contains(string(out), "\r\nX: a"+x+"\r\n") {
			rt.Fatalf("header in %q", out)
		}
	})
}

func TestMissingValueIsNamed(t *testing.T) {
	p := compileSteps(t, &scenario.Step{URL: "/{{y}}", Extract: []scenario.Extract{{Name: "y", Source: scenario.FromHeader, Expr: "Y"}}})
	var s Session
	dst := []byte("kept")
	out, _, err := p.Append(dst, p.Steps[0], &s, &Input{}, nil)
	if err == nil || !strings.Contains(err.Error(), "{{y}}") || string(out) != "kept" {
		t.Errorf("error %v, out %q", err, out)
	}
}

func TestFunctions(t *testing.T) {
	for template, want := range map[string]string{
		`{{base64 "a?b>"}}`:  "YT9iPg==",
		`{{json color}}`:     `"red & blue/green"`,
		`{{json 'say "x"'}}`: `"say \"x\""`,
		`{{hmac sha256 "key" "The quick brown fox jumps over the lazy dog"}}`: "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8",
		`{{urlencode "a/b c"}}`:  "a%2Fb%20c",
		`{{"{{"}}x}}`:            "{{x}}",
		`{{add 1 2 3}}`:          "6",
		`{{now iso8601}}`:        "2026-03-01T12:00:00.000Z",
		`{{now http}}`:           "Sun, 01 Mar 2026 12:00:00 GMT",
		`{{now}}`:                "2026-03-01T12:00:00Z",
		`{{now unixms -1500ms}}`: "1772366398500",
	} {
		p := compileSteps(t, &scenario.Step{Method: "POST", URL: "/", Body: scenario.BodyText, Text: template})
		var s Session
		out, _, err := p.Append(nil, p.Steps[0], &s, &Input{Now: at}, nil)
		if err != nil {
			t.Errorf("%s: %v", template, err)
			continue
		}
		if got := bodyOf(t, out); got != want {
			t.Errorf("%s gives %s, want %s", template, got, want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"{{x}}", "a{{add 1 (add x 2)}}b", "{{now '%Y' +1h}}", `{{json \"a\"}}`, "{{", "}}{{'", "{{hmac sha1 x x}}", "http://{{x}}:80/{{x}}?{{x}}#{{x}}"} {
		f.Add(s, "value")
	}
	f.Fuzz(func(t *testing.T, template, x string) {
		_, wrong := scenario.ParseTemplate(template, &scenario.Names{Variables: map[string]bool{"x": true}})
		sf := file(&scenario.Step{URL: "/", Extract: []scenario.Extract{{Name: "x", Source: scenario.FromHeader, Expr: "X"}}},
			&scenario.Step{Method: "POST", URL: "/", Body: scenario.BodyText, Text: template, Headers: []scenario.Pair{{Name: "A", Value: template}}},
			&scenario.Step{URL: template})
		sf.Vars = nil
		p, err := Compile(sf, "")
		if len(wrong) > 0 && err == nil {
			t.Fatalf("%q compiles, but the check says %v", template, wrong)
		}
		if err != nil {
			return
		}
		var s Session
		s.set(0, 1, []byte(x))
		in := &Input{Iteration: 3, Now: at}
		for _, st := range p.Steps[1:] {
			out, _, err := p.Append(nil, st, &s, in, nil)
			if err != nil {
				continue
			}
			headText, _, _ := strings.Cut(string(out), "\r\n\r\n")
			for i, line := range strings.Split(headText, "\r\n") {
				if strings.ContainsAny(line, "\r\n\x00") || i == 0 && strings.Count(line, " ") != 2 {
					t.Fatalf("line %q of a head from %q and %q", line, template, x)
				}
			}
			if again, _, _ := p.Append(nil, st, &s, in, nil); string(again) != string(out) {
				t.Fatal("the same input gives another request")
			}
		}
	})
}
