package journey

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"lt/engine/scenario"
)

func TestRequests(t *testing.T) {
	pair := func(name, value string) scenario.Pair { return scenario.Pair{Name: name, Value: value} }
	for _, test := range []struct {
		name  string
		step  scenario.Step
		proxy *Proxy
		want  string
	}{
		{name: "own headers replace inherited ones", step: scenario.Step{
			URL: "/", HTTP: scenario.HTTP{Headers: []scenario.Pair{pair("Accept", "a/b"), pair("X", "1")}}, Headers: []scenario.Pair{pair("accept", "{{n}}"), pair("User-Agent", "me")},
		}, want: "GET / HTTP/1.1\nHost: shop.test\nX: 1\naccept: 7\nUser-Agent: me\n\n"},
		{name: "own host", step: scenario.Step{URL: "/", Headers: []scenario.Pair{pair("X", "1"), pair("Host", "other.test")}}, want: "GET / HTTP/1.1\nHost: other.test\nX: 1\nUser-Agent: lt/1.0\n\n"},
		{name: "empty post", step: scenario.Step{Method: "POST", URL: "/"}, want: "POST / HTTP/1.1\nHost: shop.test\nUser-Agent: lt/1.0\nContent-Length: 0\n\n"},
		{name: "delete", step: scenario.Step{Method: "DELETE", URL: "/"}, want: "DELETE / HTTP/1.1\nHost: shop.test\nUser-Agent: lt/1.0\n\n"},
		{name: "file", step: scenario.Step{Method: "PUT", URL: "/", Body: scenario.BodyFile, Data: []byte("{{x}}\x00")}, want: "PUT / HTTP/1.1\nHost: shop.test\nUser-Agent: lt/1.0\nContent-Length: 6\n\n{{x}}\x00"},
		{name: "json", step: scenario.Step{Method: "POST", URL: "/", Body: scenario.BodyJSON, Text: `{"a":"{{color}}","b":{{n}}}`}, want: "POST / HTTP/1.1\nHost: shop.test\nUser-Agent: lt/1.0\nContent-Type: application/json\nContent-Length: 30\n\n" + `{"a":"red & blue/green","b":7}`},
		{name: "json of its own type", step: scenario.Step{Method: "POST", URL: "/", Body: scenario.BodyJSON, Text: `{}`, Headers: []scenario.Pair{pair("content-type", "application/ld+json")}}, want: "POST / HTTP/1.1\nHost: shop.test\ncontent-type: application/ld+json\nUser-Agent: lt/1.0\nContent-Length: 2\n\n{}"},
		{name: "form", step: scenario.Step{Method: "POST", URL: "/", Body: scenario.BodyForm, Form: []scenario.Pair{pair("id", "13"), pair("a b", "{{color}}")}}, want: "POST / HTTP/1.1\nHost: shop.test\nUser-Agent: lt/1.0\nContent-Type: application/x-www-form-urlencoded\nContent-Length: 30\n\nid=13&a+b=red+%26+blue%2Fgreen"},
		{name: "rendered body", step: scenario.Step{Method: "POST", URL: "/", Body: scenario.BodyText, Text: "{{iteration}}"}, want: "POST / HTTP/1.1\nHost: shop.test\nUser-Agent: lt/1.0\nContent-Length: 1\n\n5"},
		{name: "query", step: scenario.Step{URL: "/s?a=1", Query: []scenario.Pair{pair("q", "a b&{{color}}"), pair("é", "{{iteration}}")}}, want: "GET /s?a=1&q=a%20b%26red%20%26%20blue%2Fgreen&%C3%A9=5 HTTP/1.1\nHost: shop.test\nUser-Agent: lt/1.0\n\n"},
		{name: "basic", step: scenario.Step{URL: "/", HTTP: scenario.HTTP{User: "ada:{{n}}"}}, want: "GET / HTTP/1.1\nHost: shop.test\nUser-Agent: lt/1.0\nAuthorization: Basic YWRhOjc=\n\n"},
		{name: "basic with iteration", step: scenario.Step{URL: "/", HTTP: scenario.HTTP{User: "ada:{{iteration}}"}}, want: "GET / HTTP/1.1\nHost: shop.test\nUser-Agent: lt/1.0\nAuthorization: Basic YWRhOjU=\n\n"},
		{name: "userinfo", step: scenario.Step{URL: "https://ada:p%40@api.test:8443/x"}, want: "GET /x HTTP/1.1\nHost: api.test:8443\nUser-Agent: lt/1.0\nAuthorization: Basic YWRhOnBA\n\n"},
		{name: "own authorization wins", step: scenario.Step{URL: "/", HTTP: scenario.HTTP{User: "a:b"}, Headers: []scenario.Pair{pair("Authorization", "Bearer x")}}, want: "GET / HTTP/1.1\nHost: shop.test\nAuthorization: Bearer x\nUser-Agent: lt/1.0\n\n"},
		{name: "address", step: scenario.Step{URL: "http://[::1]:8080"}, want: "GET / HTTP/1.1\nHost: [::1]:8080\nUser-Agent: lt/1.0\n\n"},
		{name: "link-local address", step: scenario.Step{URL: "http://[fe80::1%25eth0]:8080/"}, want: "GET / HTTP/1.1\nHost: [fe80::1]:8080\nUser-Agent: lt/1.0\n\n"},
		{name: "name beyond ASCII", step: scenario.Step{URL: "http://Bücher.test/"}, want: "GET / HTTP/1.1\nHost: xn--bcher-kva.test\nUser-Agent: lt/1.0\n\n"},
		{name: "asterisk", step: scenario.Step{Method: "OPTIONS", URL: "*"}, want: "OPTIONS * HTTP/1.1\nHost: shop.test\nUser-Agent: lt/1.0\n\n"},
		{name: "asterisk through a proxy", step: scenario.Step{Method: "OPTIONS", URL: "*"}, proxy: &Proxy{}, want: "OPTIONS http://shop.test HTTP/1.1\nHost: shop.test\nUser-Agent: lt/1.0\n\n"},
		{name: "a connection each", step: scenario.Step{URL: "/", HTTP: scenario.HTTP{Connections: scenario.PerRequest}}, want: "GET / HTTP/1.1\nHost: shop.test\nUser-Agent: lt/1.0\nConnection: close\n\n"},
		{name: "proxy", step: scenario.Step{URL: "/a?b"}, proxy: &Proxy{Authorization: "Basic eA=="}, want: "GET http://shop.test/a?b HTTP/1.1\nHost: shop.test\nProxy-Authorization: Basic eA==\nUser-Agent: lt/1.0\n\n"},
		{name: "proxy and rendered path", step: scenario.Step{URL: "/{{iteration}}"}, proxy: &Proxy{}, want: "GET http://shop.test/5 HTTP/1.1\nHost: shop.test\nUser-Agent: lt/1.0\n\n"},
	} {
		sf := file(&test.step)
		p, err := Compile(sf, "lt/1.0")
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		var s Session
		out, req, err := p.Append([]byte("before"), p.Steps[0], &s, &Input{Iteration: 5, Now: at}, test.proxy)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		got, _ := strings.CutPrefix(string(out), "before")
		headText, body, _ := strings.Cut(test.want, "\n\n")
		if want := lines(headText) + "\r\n\r\n" + body; got != want {
			t.Errorf("%s: got\n%q, want\n%q", test.name, got, want)
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(got)))
		if err != nil {
			t.Errorf("%s: net/http cannot read it: %v", test.name, err)
			continue
		}
		read, err := io.ReadAll(r.Body)
		if err != nil || string(read) != body || int(max(r.ContentLength, 0)) != len(body) || r.Method != req.Method {
			t.Errorf("%s: net/http reads body %q (%d), %v; want %q", test.name, read, r.ContentLength, err, body)
		}
	}
}

// The zone of an address says by which interface it is reached, so that it is kept for who connects.
func TestZoneOfAnAddress(t *testing.T) {
	if o, _, err := parseAuthority(false, "[FE80::1%25eth0]"); err != nil || o.Host != "fe80::1%eth0" {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestTraceHeaders(t *testing.T) {
	p := compileSteps(t, &scenario.Step{URL: "/", HTTP: scenario.HTTP{Trace: scenario.TraceParent}}, &scenario.Step{URL: "/", HTTP: scenario.HTTP{Trace: scenario.TraceRequestID}})
	var s Session
	seen := map[string]bool{}
	for i, name := range []string{"traceparent", "X-Request-Id"} {
		for k := range 100 {
			out, _, err := p.Append(nil, p.Steps[i], &s, &Input{Iteration: int64(k), Source: 3}, nil)
			if err != nil {
				t.Fatal(err)
			}
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(out)))
			if err != nil {
				t.Fatal(err)
			}
			seen[r.Header.Get(name)] = true
		}
	}
	if len(seen) != 200 || seen[""] {
		t.Errorf("%d different ids of 200 requests", len(seen))
	}
}

func TestCompileErrors(t *testing.T) {
	for _, test := range []struct {
		step scenario.Step
		want string
	}{
		{scenario.Step{URL: "ftp://shop.test/"}, "only http:// and https://"},
		{scenario.Step{URL: "http:///x"}, "no host"},
		{scenario.Step{URL: "http://a:99999/"}, "port"},
		{scenario.Step{URL: "http://a b/"}, "may not stand in a host"},
		{scenario.Step{URL: "http://::1/"}, "brackets"},
		{scenario.Step{URL: "/", Method: "GE T"}, "one word"},
		{scenario.Step{URL: "/", Method: "CONNECT"}, "proxy"},
		{scenario.Step{URL: "/", Headers: []scenario.Pair{{Name: "A b", Value: "x"}}}, "letters, digits"},
		{scenario.Step{URL: "/", Headers: []scenario.Pair{{Name: "A", Value: "x\r\nB: y"}}}, "control character"},
		{scenario.Step{URL: "/", Headers: []scenario.Pair{{Name: "Content-Length", Value: "3"}}}, "worked out"},
		{scenario.Step{URL: "/{{nope}}"}, `"nope"`},
		{scenario.Step{URL: "/", Check: scenario.Check{Matches: []string{"("}}}, "missing closing"},
		{scenario.Step{URL: "/", Check: scenario.Check{JSON: []scenario.JSONCheck{{Path: "stock", Compare: scenario.Compare{Op: "exists"}}}}}, "stock"},
		{scenario.Step{URL: "/", Check: scenario.Check{JSON: []scenario.JSONCheck{{Path: "$.a", Compare: scenario.Compare{Op: ">", Value: "x"}}}}}, "not a number"},
	} {
		_, err := Compile(file(&test.step), "")
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: error %v, want %q", test.step.Method, test.step.URL, err, test.want)
		}
	}
	f := file(&scenario.Step{URL: "/{{nope}}"}, &scenario.Step{URL: "ftp://x"})
	f.Scenarios[0].Steps[1].Pos.Line = 12
	if _, err := Compile(f, ""); err == nil || !strings.Contains(err.Error(), "nope") || !strings.Contains(err.Error(), "x.yaml:12: step GET ftp://x: url") {
		t.Errorf("two problems give %v", err)
	}
}

// What query: gives is added to the query that a link has already.
func TestQueryOfALink(t *testing.T) {
	query := []scenario.Pair{{Name: "page", Value: "{{iteration}}"}, {Name: "c", Value: "{{color}}"}}
	for link, want := range map[string]string{
		"/items?cursor=a":       "/items?cursor=a&page=5&c=red%20%26%20blue%2Fgreen",
		"/items#top":            "/items?page=5&c=red%20%26%20blue%2Fgreen",
		"http://cdn.test?x":     "/?x&page=5&c=red%20%26%20blue%2Fgreen",
		"https://api.test:8443": "/?page=5&c=red%20%26%20blue%2Fgreen",
	} {
		for _, proxy := range []*Proxy{nil, {}} {
			p, s := withX(t, &scenario.Step{URL: "{{x}}", Query: query}, link)
			out, req, err := p.Append(nil, p.Steps[1], s, &Input{Iteration: 5}, proxy)
			if err != nil || string(req.Target) != want || !bytes.Contains(out, []byte(want+" HTTP/1.1\r\n")) {
				t.Errorf("%s: %s, %v; want %s", link, req.Target, err, want)
			}
		}
	}
}

func TestBasePathIsKept(t *testing.T) {
	f := file(&scenario.Step{URL: "/users"}, &scenario.Step{URL: "users/{{n}}"}, &scenario.Step{URL: "{{iteration}}"}, &scenario.Step{URL: "https://api.test:8443/users"})
	f.Target = "https://shop.test/api/v1/"
	p := compileFile(t, f)
	for i, want := range []string{"/api/v1/users", "/api/v1/users/7", "/api/v1/5", "/users"} {
		var s Session
		if _, req, err := p.Append(nil, p.Steps[i], &s, &Input{Iteration: 5}, nil); err != nil || string(req.Target) != want {
			t.Errorf("step %d goes to %s, %v; want %s", i, req.Target, err, want)
		}
	}
}

func TestProgramLayout(t *testing.T) {
	step := func(url string) *scenario.Step { return &scenario.Step{Method: "GET", Name: url, URL: url} }
	f := file()
	f.Scenarios = []*scenario.Scenario{
		{Name: "a", Weight: 3, Setup: []*scenario.Step{step("/s")}, Steps: []*scenario.Step{step("/1"), step("https://api.test:8443/2")}, Teardown: []*scenario.Step{step("/t")}},
		{Name: "b", Weight: 7, Steps: []*scenario.Step{{Method: "HEAD", Name: "h", URL: "http://{{host2}}/", Extract: []scenario.Extract{{Name: "host2", Source: scenario.FromHeader, Expr: "X"}}}, {Method: "POST", Name: "p", URL: "/"}}},
	}
	p := compileFile(t, f)
	kinds := []Kind{SetupKind, StepKind, StepKind, TeardownKind, StepKind, StepKind}
	origins := []int{0, 0, 1, 0, -1, 0}
	for i, st := range p.Steps {
		if st.ID != i || st.Kind != kinds[i] || st.Origin != origins[i] || st.Scenario != p.Scenarios[i/4] {
			t.Errorf("step %d is %d of kind %d to origin %d of %s", i, st.ID, st.Kind, st.Origin, st.Scenario.Name)
		}
	}
	if !p.Steps[4].Head || !p.Steps[4].Idempotent || p.Steps[5].Idempotent || p.Scenarios[1].Vars != 1 || !p.Steps[4].NeedHead {
		t.Error("what is known of steps is wrong")
	}
	var names []string
	for _, o := range p.Origins {
		names = append(names, o.String())
	}
	if got := strings.Join(names, " "); got != "http://shop.test:80 https://api.test:8443 http://cdn.test:80" {
		t.Errorf("origins %s", got)
	}
}

func TestRedirects(t *testing.T) {
	for _, test := range []struct {
		name, method, from, location string
		status                       int
		want                         string // method and URL; an error's text
		err                          error
	}{
		{"302 of a post", "POST", "/a/b?q", "/c", 302, "GET http://shop.test:80/c", nil},
		{"301 of a put", "PUT", "/a", "/c", 301, "PUT http://shop.test:80/c", nil},
		{"303 of a put", "PUT", "/a", "/c", 303, "GET http://shop.test:80/c", nil},
		{"303 of a head", "HEAD", "/a", "/c", 303, "HEAD http://shop.test:80/c", nil},
		{"307 of a post", "POST", "/a", "/c", 307, "POST http://shop.test:80/c", nil},
		{"308 of a post", "POST", "/a", "/c", 308, "POST http://shop.test:80/c", nil},
		{"relative", "GET", "/a/b?q=1", "c?d", 302, "GET http://shop.test:80/a/c?d", nil},
		{"up", "GET", "/a/b/c", "../d", 302, "GET http://shop.test:80/a/d", nil},
		{"above the root", "GET", "/a", "../../../d/./e/..", 302, "GET http://shop.test:80/d/", nil},
		{"query alone", "GET", "/a/b?q=1", "?d", 302, "GET http://shop.test:80/a/b?d", nil},
		{"fragment alone", "GET", "/a?q", "#x", 302, "GET http://shop.test:80/a?q", nil},
		{"whole", "GET", "/a", "https://api.test:8443/x?y#z", 302, "GET https://api.test:8443/x?y", nil},
		{"whole, no path", "GET", "/a", "HTTPS://SHOP.test?x", 302, "GET https://shop.test:443/?x", nil},
		{"same scheme", "GET", "/a", "//cdn.test/x", 302, "GET http://cdn.test:80/x", nil},
		{"spaces and umlauts", "GET", "/a", "/ä b", 302, "GET http://shop.test:80/%C3%A4%20b", nil},
		{"foreign", "GET", "/a", "http://evil.test/", 302, "", ErrForeign},
		{"foreign by userinfo", "GET", "/a", "http://shop.test:80@evil.test/", 302, "", ErrForeign},
		{"other scheme", "GET", "/a", "javascript:alert(1)", 302, "", ErrRedirect},
		{"empty", "GET", "/a", "", 302, "", ErrRedirect},
		{"control character", "GET", "/a", "/a\x00", 302, "", ErrRedirect},
		{"bad host", "GET", "/a", "http://[::1/", 302, "", ErrRedirect},
		{"not modified", "GET", "/a", "/b", 304, "", ErrRedirect},
	} {
		st := &scenario.Step{Method: test.method, URL: test.from, Headers: []scenario.Pair{{Name: "Authorization", Value: "Bearer {{n}}"}, {Name: "Cookie", Value: "own=1"}, {Name: "Content-Type", Value: "text/plain"}}}
		if test.method == "POST" || test.method == "PUT" {
			st.Body, st.Text = scenario.BodyText, "body {{iteration}}"
		}
		p := compileSteps(t, st)
		var s Session
		s.receive("http://shop.test/", "sid=1; Path=/", at)
		in := &Input{Iteration: 12, Now: at}
		first, req, err := p.Append(nil, p.Steps[0], &s, in, nil)
		if err != nil {
			t.Fatal(err)
		}
		out, next, err := p.Redirect([]byte("x"), p.Steps[0], &s, in, nil, &req, test.status, []byte(test.location))
		if test.err != nil {
			if !errors.Is(err, test.err) || string(out) != "x" {
				t.Errorf("%s: error %v, out %q", test.name, err, out)
			}
			continue
		}
		if got := next.Method + " " + next.Origin.String() + string(next.Target); err != nil || got != test.want {
			t.Errorf("%s: %s, %v; want %s", test.name, got, err, test.want)
			continue
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(out[1:])))
		if err != nil {
			t.Errorf("%s: %q: %v", test.name, out, err)
			continue
		}
		same := next.Origin == req.Origin
		if (r.Header.Get("Authorization") != "") != same || strings.Contains(r.Header.Get("Cookie"), "own=1") != same || next.Away == same {
			t.Errorf("%s: credentials in %q", test.name, out)
		}
		if strings.Contains(r.Header.Get("Cookie"), "sid=1") != (next.Origin.Host == "shop.test") {
			t.Errorf("%s: session cookie in %q", test.name, out)
		}
		_, wantBody, _ := strings.Cut(string(first), "\r\n\r\n")
		if test.method != next.Method {
			wantBody = ""
		}
		body, _ := io.ReadAll(r.Body)
		if string(body) != wantBody || (r.Header.Get("Content-Type") != "") != (wantBody != "" || st.Body == scenario.NoBody && test.status != 303) {
			t.Errorf("%s: body %q in %q", test.name, body, out)
		}
		if back, again, err := p.Redirect(nil, p.Steps[0], &s, in, nil, &next, 302, []byte("http://shop.test/back")); err != nil || !same && (!again.Away || bytes.Contains(back, []byte("Bearer"))) {
			t.Errorf("%s: led back: %q, %v", test.name, back, err)
		}
	}
}

// A body that a 303 took off does not come back with the next hop, though the method is the step's own.
func TestABodyIsLostForGood(t *testing.T) {
	p := compileSteps(t, &scenario.Step{URL: "/a", Body: scenario.BodyText, Text: "body"})
	var s Session
	in := &Input{}
	out, req, err := p.Append(nil, p.Steps[0], &s, in, nil)
	for _, status := range []int{307, 303, 302, 307} {
		if had := bytes.HasSuffix(out, []byte("body")); err != nil || had == req.Bare {
			t.Fatalf("before a %d: %q, bare %v, %v", status, out, req.Bare, err)
		}
		out, req, err = p.Redirect(nil, p.Steps[0], &s, in, nil, &req, status, []byte("/b"))
	}
	if err != nil || !req.Bare || bytes.Contains(out, []byte("body")) || bytes.Contains(out, []byte("Content-Length")) {
		t.Errorf("%q, bare %v, %v", out, req.Bare, err)
	}
}
