package journey

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/theory/jsonpath"
	"pgregory.net/rapid"

	"lt/engine/scenario"
)

func TestChecks(t *testing.T) {
	body := `{"stock":0,"price":"12.50","name":"Add to cart","tags":["a","b"],"big":12345678901234567890,"id":9007199254740993,"who":"Nan","far":"Infinity","none":null,"deep":{"a b":[{"c":true}]}}`
	js := func(path, op, value string) scenario.Check {
		return scenario.Check{JSON: []scenario.JSONCheck{{Path: path, Compare: scenario.Compare{Op: op, Value: value}}}}
	}
	ok := Answer{Status: 200, Body: []byte(body), BodyLen: int64(len(body)), Time: 100 * time.Millisecond}
	with := func(f func(*Answer)) Answer { a := ok; f(&a); return a }
	for _, test := range []struct {
		name         string
		check        scenario.Check
		answer       Answer
		result       Result
		message, got string
	}{
		{"no rule", scenario.Check{}, ok, OK, "", ""},
		{"no rule, redirect", scenario.Check{}, with(func(a *Answer) { a.Status = 302 }), OK, "", ""},
		{"no rule, 404", scenario.Check{}, with(func(a *Answer) { a.Status = 404 }), BadStatus, "status 404", ""},
		{"no rule, 503", scenario.Check{}, with(func(a *Answer) { a.Status = 503 }), BadStatus, "status 503", ""},
		{"404 wanted", scenario.Check{Status: []scenario.StatusRange{{From: 404, To: 404}}}, with(func(a *Answer) { a.Status = 404 }), OK, "", ""},
		{"404 wanted, 200 came", scenario.Check{Status: []scenario.StatusRange{{From: 404, To: 404}}}, ok, BadStatus, "status 200", ""},
		{"list", scenario.Check{Status: []scenario.StatusRange{{From: 200, To: 200}, {From: 300, To: 399}}}, with(func(a *Answer) { a.Status = 301 }), OK, "", ""},
		{"time", scenario.Check{Time: 100 * time.Millisecond}, ok, OK, "", ""},
		{"time over", scenario.Check{Time: 50 * time.Millisecond}, with(func(a *Answer) { a.Time = 61234567 }), FailedCheck, "response time over 50ms", "61.2"},
		{"contains", scenario.Check{Contains: []string{"Add to cart", "tags"}}, ok, OK, "", ""},
		{"contains not", scenario.Check{Contains: []string{"Sold\nout"}}, ok, FailedCheck, `body without Sold\nout`, ""},
		{"contains not, cut", scenario.Check{Contains: []string{"x!"}}, with(func(a *Answer) { a.Cut = true }), FailedCheck, "body without x!", "only the beginning"},
		{"not contains", scenario.Check{NotContains: []string{"stock"}}, ok, FailedCheck, "body with stock", ""},
		{"matches", scenario.Check{Matches: []string{`"price":"\d+`}}, ok, OK, "", ""},
		{"matches not", scenario.Check{Matches: []string{`^x`}}, ok, FailedCheck, "body does not match ^x", ""},
		{"size", scenario.Check{Size: &scenario.Compare{Op: "<", Value: "1024"}}, ok, OK, "", ""},
		{"size not", scenario.Check{Size: &scenario.Compare{Op: ">", Value: "1000000"}}, ok, FailedCheck, "size is not > 1000000", " B"},
		{"header", scenario.Check{Headers: []scenario.HeaderCheck{{Name: "content-type", Value: "json"}, {Name: "Via"}}}, ok, OK, "", ""},
		{"header pattern", scenario.Check{Headers: []scenario.HeaderCheck{{Name: "X-Two", Value: "/^b$/"}}}, ok, OK, "", ""},
		{"header not there", scenario.Check{Headers: []scenario.HeaderCheck{{Name: "X-None"}}}, ok, FailedCheck, "no header X-None", ""},
		{"header of other value", scenario.Check{Headers: []scenario.HeaderCheck{{Name: "X-Two", Value: "c"}}}, ok, FailedCheck, "header X-Two without c", "b"},
		{"number", js("$.stock", "=", "0"), ok, OK, "", ""},
		{"number not", js("$.stock", ">", "0"), ok, FailedCheck, "$.stock is not > 0", "0"},
		{"number in a string", js("$.price", "<=", "12.5"), ok, OK, "", ""},
		{"text", js("$.name", "=", "Add to cart"), ok, OK, "", ""},
		{"text not", js("$.name", "!=", "Add to cart"), ok, FailedCheck, "$.name is Add to cart", "Add to cart"},
		{"number written otherwise", js("$.price", "=", "12.500"), ok, OK, "", ""},
		{"a long id", js("$.id", "=", "9007199254740993"), ok, OK, "", ""},
		{"another long id", js("$.id", "=", "9007199254740992"), ok, FailedCheck, "$.id is not 9007199254740992", "9007199254740993"},
		{"a longer id", js("$.big", "!=", "12345678901234567891"), ok, OK, "", ""},
		{"a name that is a number elsewhere", js("$.who", "=", "Nan"), ok, OK, "", ""},
		{"and another", js("$.far", "=", "inf"), ok, FailedCheck, "$.far is not inf", "Infinity"},
		{"no number is above", js("$.far", ">", "3"), ok, FailedCheck, "$.far is not > 3", "Infinity"},
		{"text against number", js("$.name", "<", "3"), ok, FailedCheck, "$.name is not < 3", "Add to cart"},
		{"pattern", js("$.name", "matches", "^Add"), ok, OK, "", ""},
		{"exists", js("$.none", "exists", ""), ok, OK, "", ""},
		{"exists not", js("$.nothing", "exists", ""), ok, FailedCheck, "no $.nothing", "no value"},
		{"deep", js(`$.deep["a b"][0].c`, "=", "true"), ok, OK, "", ""},
		{"wildcard", js(`$.tags[*]`, "=", "a"), ok, OK, "", ""},
		{"from the end", js(`$.tags[-1]`, "=", "b"), ok, OK, "", ""},
		{"filter", js(`$.deep["a b"][?@.c == true].c`, "=", "true"), ok, OK, "", ""},
		{"filter by number", js(`$[?@ == 0]`, "=", "0"), ok, OK, "", ""},
		{"an index is not a name", js(`$.stock[0]`, "exists", ""), ok, FailedCheck, "no $.stock[0]", "no value"},
		{"not JSON", js("$.a", "exists", ""), with(func(a *Answer) { a.Body = []byte(`{"a":1`) }), FailedCheck, "no $.a", "body is not JSON"},
		{"JSON cut off", js("$.a", "exists", ""), with(func(a *Answer) { a.Body, a.Cut = []byte(`{"a":1`), true }), FailedCheck, "no $.a", "only the beginning"},
		{"empty body", js("$.a", "exists", ""), with(func(a *Answer) { a.Body = nil }), FailedCheck, "no $.a", "body is not JSON"},
		{"too deep", js("$[0]", "exists", ""), with(func(a *Answer) { a.Body = bytes.Repeat([]byte("["), 1<<20) }), FailedCheck, "no $[0]", "body is nested too deep"},
		{"brackets in text", js("$.a", "exists", ""), with(func(a *Answer) { a.Body = []byte(`{"a":"` + strings.Repeat(`[{\"`, 20_000) + `"}`) }), OK, "", ""},
		{"wide", js("$[19999][0]", "=", "1"), with(func(a *Answer) { a.Body = []byte("[" + strings.Repeat("[1],", 19_999) + "[1]]") }), OK, "", ""},
		{"status goes first", scenario.Check{Contains: []string{"no"}}, with(func(a *Answer) { a.Status = 500 }), BadStatus, "status 500", ""},
	} {
		p := compileSteps(t, &scenario.Step{URL: "/", Check: test.check})
		a := test.answer
		a.Head = head(t, "HTTP/1.1 200 OK\nContent-Type: application/json\nVia: x\nX-Two: a\nX-Two: b")
		var s Session
		v := p.Judge(p.Steps[0], &s, &Input{}, &a)
		if v.Result != test.result || v.Message != test.message || test.got == "" && v.Got != "" || !strings.Contains(v.Got, test.got) || v.Ends {
			t.Errorf("%s: %+v, want %d %q %q", test.name, v, test.result, test.message, test.got)
		}
		c, st := test.check, p.Steps[0]
		if st.NeedBody != (len(c.Contains)+len(c.NotContains)+len(c.Matches)+len(c.JSON) > 0) || st.NeedHead != (len(c.Headers) > 0) {
			t.Errorf("%s: needs body %v, head %v", test.name, st.NeedBody, st.NeedHead)
		}
	}
}

func TestExtracts(t *testing.T) {
	body := `{"token":"a\"b\u00e9","id":12345678901234567890,"none":null,"list":[{"v":"x"},{"v":"y"},{"v":"z"}],"obj":{"k":[1, 2]}} <input value="r1"> <input value="r2">`
	onlyJSON := strings.SplitAfter(body, "}}")[0]
	for _, test := range []struct {
		name string
		e    scenario.Extract
		want string // "!" for none
	}{
		{"string", scenario.Extract{Expr: "$.token"}, `a"bé`},
		{"long number", scenario.Extract{Expr: "$.id"}, "12345678901234567890"},
		{"long number of a full path", scenario.Extract{Expr: "$..id"}, "12345678901234567890"},
		{"object", scenario.Extract{Expr: "$.obj"}, `{"k":[1, 2]}`},
		{"null", scenario.Extract{Expr: "$.none"}, "!"},
		{"null with default", scenario.Extract{Expr: "$.none", Default: "d", HasDefault: true}, "d"},
		{"empty default", scenario.Extract{Expr: "$.nothing", HasDefault: true}, ""},
		{"first", scenario.Extract{Expr: "$.list[*].v"}, "x"},
		{"last", scenario.Extract{Expr: "$.list[*].v", Pick: scenario.Last}, "z"},
		{"second", scenario.Extract{Expr: "$.list[*].v", Pick: 2}, "y"},
		{"object of a full path", scenario.Extract{Expr: "$..obj"}, `{"k":[1, 2]}`},
		{"first member", scenario.Extract{Expr: "$.*"}, `a"bé`},
		{"last member", scenario.Extract{Expr: "$.*", Pick: scenario.Last}, `{"k":[1, 2]}`},
		{"fourth of three", scenario.Extract{Expr: "$.list[*].v", Pick: 4}, "!"},
		{"group", scenario.Extract{Source: scenario.FromRegex, Expr: `value="(\w+)"`}, "r1"},
		{"whole match", scenario.Extract{Source: scenario.FromRegex, Expr: `r\d`, Pick: scenario.Last}, "r2"},
		{"no match", scenario.Extract{Source: scenario.FromRegex, Expr: `q\d`}, "!"},
		{"group without part", scenario.Extract{Source: scenario.FromRegex, Expr: `r1|(q)`}, "!"},
		{"header", scenario.Extract{Source: scenario.FromHeader, Expr: "x-two"}, "a"},
		{"header, last", scenario.Extract{Source: scenario.FromHeader, Expr: "X-Two", Pick: scenario.Last}, "b"},
		{"no header", scenario.Extract{Source: scenario.FromHeader, Expr: "X-None"}, "!"},
		{"cookie", scenario.Extract{Source: scenario.FromCookie, Expr: "sid"}, "1=2"},
		{"cookie of a redirect before", scenario.Extract{Source: scenario.FromCookie, Expr: "old"}, "o"},
		{"no cookie", scenario.Extract{Source: scenario.FromCookie, Expr: "si"}, "!"},
	} {
		test.e.Name = "v"
		p := compileSteps(t, &scenario.Step{URL: "/", Extract: []scenario.Extract{test.e}})
		a := Answer{Status: 200, Body: []byte(body), Head: head(t, "HTTP/1.1 200 OK\nX-Two: a\nX-Two: b\nSet-Cookie: sid=1=2; Path=/\nSet-Cookie: x=y")}
		if test.e.Source == scenario.FromJSON {
			a.Body = []byte(onlyJSON)
		}
		var s Session
		s.receive("http://shop.test/", "old=o", at)
		v := p.Judge(p.Steps[0], &s, &Input{}, &a)
		got, ok := s.value(0)
		if !ok {
			got = []byte("!")
		}
		if string(got) != test.want || v.Ends != (test.want == "!") || (v.Result == MissingValue) != v.Ends {
			t.Errorf("%s: %q, %+v; want %q", test.name, got, v, test.want)
		}
		if v.Ends && !strings.HasPrefix(v.Message, "no value for v (") {
			t.Errorf("%s: message %q", test.name, v.Message)
		}
	}
}

func TestExtractLimitsAndOrder(t *testing.T) {
	p := compileSteps(t, &scenario.Step{URL: "/", Extract: []scenario.Extract{
		{Name: "long", Source: scenario.FromRegex, Expr: `x+`}, {Name: "need", Expr: "$.need"}, {Name: "after", Source: scenario.FromRegex, Expr: "x"},
	}})
	var s Session
	v := p.Judge(p.Steps[0], &s, &Input{}, &Answer{Status: 503, Body: []byte(strings.Repeat("x", 100<<10))})
	long, _ := s.value(0)
	_, after := s.value(2)
	if v.Result != BadStatus || !v.Ends || len(long) != 64<<10 || !after {
		t.Errorf("%+v, %d bytes kept, the last extracted %v", v, len(long), after)
	}
}

func TestPickRandomIsFairAndRepeatable(t *testing.T) {
	p := compileSteps(t, &scenario.Step{URL: "/", Extract: []scenario.Extract{{Name: "v", Expr: "$[*]", Pick: scenario.Random}}})
	a := &Answer{Status: 200, Body: []byte(`["a","b","c"]`)}
	var s Session
	seen := map[string]int{}
	for i := range 3000 {
		p.Judge(p.Steps[0], &s, &Input{Iteration: int64(i)}, a)
		one, _ := s.value(0)
		first := string(one)
		p.Judge(p.Steps[0], &s, &Input{Iteration: int64(i)}, a)
		if again, _ := s.value(0); string(again) != first {
			t.Fatal("the same iteration picks another value")
		}
		seen[first]++
	}
	for v, n := range seen { // 1000 expected, standard deviation 26
		if n < 870 || n > 1130 {
			t.Errorf("%s was picked %d times of 3000", v, n)
		}
	}
}

// memberNames are the names of members in drawn documents.
var memberNames = []string{"a", "b", "a b", "0", "1", "*", "é", "a.b", "#", "@this"}

// drawnJSON is any document of a few levels.
func drawnJSON(depth int) *rapid.Generator[any] {
	leaf := rapid.OneOf(rapid.Map(rapid.String(), func(s string) any { return s }), rapid.Map(rapid.IntRange(-9, 9), func(i int) any { return i }), rapid.Just[any](nil), rapid.Just[any](true))
	if depth == 0 {
		return leaf
	}
	return rapid.OneOf(leaf, rapid.Map(rapid.SliceOfN(drawnJSON(depth-1), 0, 4), func(v []any) any { return v }),
		rapid.Map(rapid.MapOfN(rapid.SampledFrom(memberNames), drawnJSON(depth-1), 0, 5), func(v map[string]any) any { return v }))
}

// oracle is what the implementation of RFC 9535 selects in the decoded text.
func oracle(t rapid.TB, path *jsonpath.Path, body []byte) []any {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return path.Select(v)
}

// A simple path finds what the full implementation finds in the decoded text.
func TestSimplePathsAgreeWithJSONPath(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		body, err := json.Marshal(drawnJSON(3).Draw(rt, "document"))
		if err != nil {
			rt.Fatal(err)
		}
		expr := "$"
		for range rapid.IntRange(0, 3).Draw(rt, "length") {
			switch n := rapid.SampledFrom(memberNames).Draw(rt, "name"); rapid.IntRange(0, 2).Draw(rt, "form") {
			case 0:
				expr += fmt.Sprintf("[%d]", rapid.IntRange(0, 3).Draw(rt, "index"))
			case 1:
				expr += "['" + n + "']"
			default:
				expr += "." + rapid.SampledFrom([]string{"a", "b", "é"}).Draw(rt, "member")
			}
		}
		path, err := newJSONPath(expr)
		if err != nil || path.full != nil {
			rt.Fatalf("%s: %v, simple %v", expr, err, path != nil && path.full == nil)
		}
		d := document{body: body}
		got, ok := d.only(path)
		want := oracle(rt, jsonpath.MustParse(expr), body)
		if ok != (len(want) == 1) || ok && asJSON(rt, got) != asJSON(rt, want[0]) {
			rt.Fatalf("%s of %s: %q %v, the oracle %v", expr, body, got, ok, want)
		}
	})
}

// asJSON is a value, or a text of JSON, in one form.
func asJSON(t rapid.TB, v any) string {
	if text, ok := v.([]byte); ok {
		v = json.RawMessage(text)
	}
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err == nil {
		b, err = json.Marshal(v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Any other path finds what the full implementation finds, whose order among the members of an object is that of a map: there it is
// the order of the text, and so the same each time.
func TestPathsAgreeWithJSONPath(t *testing.T) {
	segments := []string{".a", "['a b']", "[*]", ".*", "[0]", "[-2]", "[1:]", "[::2]", "[::-1]", "[3:0:-2]", "['b','a']", "[0,*]", "[?@.a]", "[?@ > 0]", "[?@.a == $.b]", "..a", "..*", "..[0]", "..[?@.b]", "..['é',1]"}
	rapid.Check(t, func(rt *rapid.T) {
		body, err := json.Marshal(drawnJSON(3).Draw(rt, "document"))
		if err != nil {
			rt.Fatal(err)
		}
		path := jsonpath.MustParse("$" + strings.Join(rapid.SliceOfN(rapid.SampledFrom(segments), 1, 3).Draw(rt, "path"), ""))
		d, again := document{body: body}, document{body: body}
		if !d.valid() {
			rt.Fatalf("%s is no JSON", body)
		}
		var got, want []string
		for i, n := range d.sel(&jsonPath{full: path}) {
			got = append(got, asJSON(rt, n.text))
			if value := asJSON(rt, n.value); value != got[i] {
				rt.Fatalf("%s is read as %s", got[i], value)
			}
			if second := again.sel(&jsonPath{full: path})[i]; !bytes.Equal(second.text, n.text) {
				rt.Fatalf("%s of %s: %s, then %s", path, body, n.text, second.text)
			}
		}
		for _, v := range oracle(rt, path, body) {
			want = append(want, asJSON(rt, v))
		}
		if !bytes.Contains(body, []byte("{")) {
			if !slices.Equal(got, want) {
				rt.Fatalf("%s of %s: %q, the oracle %q", path, body, got, want)
			}
			return
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			rt.Fatalf("%s of %s: %q, the oracle %q", path, body, got, want)
		}
	})
}

func TestPathsGoInTheOrderOfTheText(t *testing.T) {
	body := []byte(` { "z" : {"id": 1, "k": [ {"id": 2}, [], {"id": "\u00e9"} ]}, "a": {"id": 4, "id": 5}, "id": {"id": null} } `)
	for expr, want := range map[string]string{
		"$..id": `{"id": null} 1 2 "\u00e9" 5 null`, "$.*.id": "1 5 null", "$[?@.id > 0].id": "1 5", "$.z.k[::-1].id": `"\u00e9" 2`, "$['a','z'].id": "5 1", "$..k[1]": "[]",
	} {
		for range 20 {
			d := document{body: body}
			var got []string
			if d.valid() {
				for _, n := range d.sel(&jsonPath{full: jsonpath.MustParse(expr)}) {
					got = append(got, string(n.text))
				}
			}
			if strings.Join(got, " ") != want {
				t.Fatalf("%s: %s, want %s", expr, strings.Join(got, " "), want)
			}
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"a":[{"b":"x\"\u00e9"}],"c":null, "a":1 }`))
	f.Add([]byte(`[[],{},"",0,-1e9,true]`))
	f.Add([]byte(`{"\u0061":{"b":[1,2,{"c":"]}"}]}}`))
	f.Add([]byte(` {"a" : [ ] , "b":{ }, "a":[{"b":"[{"}]} `))
	exprs := []string{"$", "$.a", "$.a.b", "$['a'][0].b", "$[0]", "$[2][1]", "$.a.b[2].c"}
	var simple []*jsonPath
	for _, expr := range exprs {
		p, err := newJSONPath(expr)
		if err != nil {
			f.Fatal(err)
		}
		simple = append(simple, p)
	}
	everywhere := &jsonPath{full: jsonpath.MustParse("$..*")}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := document{body: body}
		if !d.valid() {
			for _, path := range append(simple, everywhere) {
				if _, ok := d.first(path); ok {
					t.Fatalf("found something in %q", body)
				}
			}
			return
		}
		d.first(everywhere)
		if !json.Valid(body) {
			t.Skip("what is JSON is a question to the checker, not to the paths")
		}
		for i, path := range simple {
			_, ok := d.first(path)
			if want := oracle(t, jsonpath.MustParse(exprs[i]), body); ok != (len(want) == 1) {
				t.Fatalf("%q, path %d: found %v, the oracle %v", body, i, ok, want)
			}
		}
		if utf8.Valid(body) && len(d.sel(everywhere)) != len(oracle(t, everywhere.full, body)) {
			t.Fatalf("%q: %d values, the oracle has others", body, len(d.sel(everywhere)))
		}
	})
}

func TestPauses(t *testing.T) {
	ms := time.Millisecond
	for _, test := range []struct {
		name     string
		think    scenario.Think
		times    float64
		mean, sd float64 // ms
		min, max time.Duration
	}{
		{"constant", scenario.Think{A: 100 * ms}, 1, 100, 0, 100 * ms, 100 * ms},
		{"constant, doubled", scenario.Think{A: 100 * ms}, 2, 200, 0, 200 * ms, 200 * ms},
		{"none", scenario.Think{A: 100 * ms}, 0, 0, 0, 0, 0},
		{"uniform", scenario.Think{Kind: scenario.Uniform, A: 100 * ms, B: 300 * ms}, 1, 200, 57.7, 100 * ms, 300 * ms},
		{"normal", scenario.Think{Kind: scenario.Normal, A: 1000 * ms, B: 100 * ms}, 1, 1000, 100, 0, time.Hour},
		{"normal, never negative", scenario.Think{Kind: scenario.Normal, A: 0, B: 100 * ms}, 1, 39.9, 58.4, 0, time.Hour},
		{"lognormal", scenario.Think{Kind: scenario.LogNormal, A: 1000 * ms, B: 300 * ms}, 1, 1000, 300, 1, time.Hour},
		{"exponential", scenario.Think{Kind: scenario.Exponential, A: 1000 * ms}, 1, 1000, 1000, 0, time.Hour},
		{"clamped", scenario.Think{Kind: scenario.Exponential, A: 1000 * ms, Min: 900 * ms, Max: 1100 * ms}, 1, 973.7, 93.9, 900 * ms, 1100 * ms},
	} {
		f := file(&scenario.Step{URL: "/", Think: &test.think})
		f.ThinkTimes = test.times
		p := compileFile(t, f)
		const n = 40000
		var sum, squares float64
		for i := range n {
			d := p.Pause(p.Steps[0], &Input{Seed: 7, Iteration: int64(i)})
			if d < test.min || d > test.max {
				t.Fatalf("%s: %v", test.name, d)
			}
			x := float64(d) / 1e6
			sum += x
			squares += x * x
		}
		mean := sum / n
		sd := math.Sqrt(max(squares/n-mean*mean, 0))
		// Five standard errors of the mean; a tenth of the deviation, whose own error is about 1 %.
		if math.Abs(mean-test.mean) > 5*test.sd/math.Sqrt(n)+0.1 || math.Abs(sd-test.sd) > 0.1*test.sd+0.1 {
			t.Errorf("%s: mean %.1f ms, deviation %.1f; want %.1f, %.1f", test.name, mean, sd, test.mean, test.sd)
		}
		if p.Steps[0].HasThink != (test.times > 0) {
			t.Errorf("%s: HasThink %v", test.name, p.Steps[0].HasThink)
		}
	}
	p := compileSteps(t, &scenario.Step{URL: "/"})
	if d := p.Pause(p.Steps[0], &Input{}); d != 0 {
		t.Errorf("a step without think time pauses %v", d)
	}
}

// What was found says where it was found: a name may tell that it is a secret.
func TestWhatWasFoundSaysWhere(t *testing.T) {
	for path, want := range map[string]string{"$.user['token'][0]": "token", "$..token": "token", "$.a.b-c[?@.d > 3]": "d", "$[0]": "", "$": "", "$.größe": "größe"} {
		if got := lastName(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	p := compileSteps(t, &scenario.Step{URL: "/", Check: scenario.Check{Headers: []scenario.HeaderCheck{{Name: "Set-Cookie", Value: "Secure"}}}},
		&scenario.Step{URL: "/", Check: scenario.Check{JSON: []scenario.JSONCheck{{Path: "$.pin", Compare: scenario.Compare{Op: "=", Value: "1"}}}}})
	for i, want := range []Verdict{{Result: FailedCheck, Message: "header Set-Cookie without Secure", Got: "sid=abc", Of: "Set-Cookie"}, {Result: FailedCheck, Message: "$.pin is not 1", Got: "4711", Of: "pin"}} {
		var s Session
		if v := p.Judge(p.Steps[i], &s, &Input{}, &Answer{Status: 200, Head: head(t, "HTTP/1.1 200 OK\nSet-Cookie: sid=abc"), Body: []byte(`{"pin": 4711}`)}); v != want {
			t.Errorf("%+v, want %+v", v, want)
		}
	}
}

// An answer that could not be read whole, or at all, is why a value is missing, and it is said.
func TestAMissingValueSaysWhy(t *testing.T) {
	p := compileSteps(t, &scenario.Step{URL: "/", Extract: []scenario.Extract{{Name: "v", Expr: "$.v"}}}, &scenario.Step{URL: "/", Extract: []scenario.Extract{{Name: "v", Source: scenario.FromRegex, Expr: "v=(.)"}}})
	for _, test := range []struct {
		step int
		body string
		cut  bool
		want string
	}{
		{0, `{"v":null}`, false, ""},
		{0, `<html>`, false, "body is not JSON"},
		{0, `{"w":1`, true, "only the beginning of the body was kept"},
		{0, strings.Repeat("[", 1<<20), false, "body is nested too deep"},
		{1, `w`, false, ""},
		{1, `w`, true, "only the beginning of the body was kept"},
	} {
		var s Session
		v := p.Judge(p.Steps[test.step], &s, &Input{}, &Answer{Status: 200, Body: []byte(test.body), Cut: test.cut})
		if v.Result != MissingValue || !v.Ends || v.Got != test.want {
			t.Errorf("%.20q, cut %v: %+v, want %q", test.body, test.cut, v, test.want)
		}
	}
}
