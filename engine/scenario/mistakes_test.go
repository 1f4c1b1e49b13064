package scenario

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const head = "target: http://a.test\n"

// mistakes are files with one mistake each: its place, a part of what is said, and a part of the remedy.
var mistakes = []struct {
	text         string
	line, column int
	msg, remedy  string
}{
	{"", 0, 0, "empty", "steps: [{get: /}]"},
	{"# only a comment\n", 0, 0, "empty", "steps"},
	{"- a\n", 1, 1, "is a mapping", "target"},
	{head, 1, 1, "no steps", "steps: [{get: /}]"},
	{head + "steps: []\n", 2, 8, "no steps", "get: /"},
	{head + "stpes: [{get: /}]\nsteps: [{get: /}]\n", 2, 1, `no key "stpes"`, "did you mean steps?"},
	{head + "steps: [{get: /, metod: x}]\n", 2, 18, `no key "metod"`, "did you mean method?"},
	{head + "name: a\nname: b\nsteps: [{get: /}]\n", 3, 1, "name twice", "keep one"},
	{"steps: [{get: /}]\n", 1, 15, "no target", "target: https://host"},
	{"target: shop.test\nsteps: [{get: /}]\n", 1, 9, "no scheme", "https://shop.test"},
	{"target: http://a.test/?q=1\nsteps: [{get: /}]\n", 1, 9, "no query", "with the steps"},
	{"target: http://u:p@a.test\nsteps: [{get: /}]\n", 1, 9, "credentials", "user:"},
	{"target: ws://a.test\nsteps: [{get: /}]\n", 1, 9, "not in this version", "http://"},
	{head + "steps: [{get: products}]\n", 2, 15, "neither / nor a scheme", "/products"},
	{head + "steps: [{get: 'a b'}]\n", 2, 15, "space", "%20"},
	{head + "steps: [{get: /, post: /}]\n", 2, 18, "one request", "two steps"},
	{head + "steps: [{name: x}]\n", 2, 9, "needs a URL", "get: /path"},
	{head + "steps: [{post: /, body: a, json: {}}]\n", 2, 28, "one body", "keep one"},
	{head + "steps: [{post: /, body_file: ../x}]\n", 2, 30, "file does not exist", "below the scenario's folder"},
	{head + "steps: [{get: /, think: readng}]\n", 2, 25, "no profile", "did you mean reading?"},
	{head + "steps: [{get: /, think: 5}]\n", 2, 25, "no unit", "5s for seconds"},
	{head + "steps: [{get: /, think: 'soon; \"later\"'}]\n", 2, 25, `no profile "soon; \"later\""`, "write a time such as 2s"},
	{head + "labels: {\"a\\e[2J\": b}\nsteps: [{get: /}]\n", 2, 10, "the name of a label is too long, or has control characters", "one line"},
	{head + "steps: [{get: /, think: 'uniform(3s, 1s)'}]\n", 2, 25, "shorter to the longer", "uniform(1s, 3s)"},
	{head + "steps: [{get: /, timeout: 0s}]\n", 2, 27, "longer than 0", "10s"},
	{head + "steps: [{get: '/{{x}}'}]\n", 2, 19, `no variable or function "x"`, "under vars:"},
	{head + "vars: {token: a}\nsteps: [{get: '/{{tokn}}'}]\n", 3, 19, `"tokn"`, "{{token}}"},
	{head + "steps: [{get: '/{{randomInt 1}}'}]\n", 2, 19, "1 argument", "{{randomInt FROM TO}}"},
	{head + "steps: [{get: '/{{randomInt 5 1}}'}]\n", 2, 29, "\"5\" is above \"1\"", "smaller number first"},
	{head + "steps: [{get: '/{{add 1 x}}'}]\n", 2, 25, "no variable or function", "under vars:"},
	{head + "vars: {n: abc}\nsteps: [{get: '/{{add n 0.5}}'}]\n", 3, 23, "the value of n is not a number", "{{add iteration 1}}"},
	{head + "steps: [{get: '/{{now soon}}'}]\n", 2, 23, "the format \"soon\" is unknown", "rfc3339"},
	{head + "steps: [{get: '/{{now \"%Y-01-01\"}}'}]\n", 2, 23, "taken for a part of the time", "outside of {{...}}"},
	{head + "steps: [{get: /, headers: {A: null}}]\n", 2, 28, "the header A has no value", "\"\" to send it empty"},
	{head + "steps: [{head: /, check: {status: 200, contains: x}}]\n", 2, 26, "the answer to HEAD has no body", "get:"},
	{head + "steps: [{method: head, url: /, extract: {a: $.a}}]\n", 2, 41, "the answer to HEAD has no body", "get:"},
	{head + "vars: {t: a}\nsteps: [{get: '/{{t | upper}}'}]\n", 3, 21, "no filters", "{{base64 t}}"},
	{head + "steps: [{get: /, check: {status: []}}]\n", 2, 34, "empty list", "[200, 201]"},
	{head + "steps: [{get: /}]\nload: {rate: [{for: 1s, at: 0}, {for: 1s, to: 0}]}\n", 3, 7, "every stage is at 0", "at: 50"},
	{head + "hosts: ['*.a.test']\nsteps: [{get: /}]\n", 2, 9, "no name of a host", "one by one"},
	{head + "steps: [{get: 'http://a,b/'}]\n", 2, 15, "no name of a host", "one by one"},
	{head + "http: {proxy: 'http://p:99999'}\nsteps: [{get: /}]\n", 2, 15, "\"99999\" is not a port", "65535"},
	{head + "steps: [{get: '/{{.Token}}'}]\n", 2, 19, "\".Token\" is neither a name nor a number", "{{name}}"},
	{head + "steps: [{get: /, query: {'${X}': 1}}]\n", 2, 26, "only under vars:", "{{x}}"},
	{head + "steps: [{get: '/{{hmac crc32 a b}}'}]\n", 2, 24, "the hash is none of", "sha256"},
	{head + "steps: [{get: '/{{uuid'}]\n", 2, 17, "not closed", "}}"},
	{head + "steps: [{get: '/{{'}]\n", 2, 17, "not closed", "}}"},
	{head + "steps: [{get: '/{{ '}]\n", 2, 17, "not closed", "}}"},
	{head + "steps: [{get: '/{{}}'}]\n", 2, 19, "empty", "variable or a function"},
	{head + "steps: [{get: '/{{t}}'}, {get: /, name: b, extract: {t: $.t}}]\n", 2, 19, "before step \"b\" extracts it", "forward"},
	{head + "steps: [{get: '/{{faker.email}}'}]\n", 2, 19, "not in this version", "randomString"},
	{head + "steps: [{get: {{x}}}]\n", 2, 15, "not a mapping", "quotes"},
	{head + "steps: [{get: '/${HOME}'}]\n", 2, 15, "only under vars:", "{{home}}"},
	{head + "vars: {a: '${NOT_SET_HERE}'}\nsteps: [{get: /}]\n", 2, 11, "is not set", ":-"},
	{head + "vars: {uuid: a}\nsteps: [{get: /}]\n", 2, 8, "function already", "another name"},
	{head + "steps: [{get: /, extract: {a: '$.['}}]\n", 2, 31, "not a JSON path", "$.items[0].id"},
	{head + "steps: [{get: /, extract: {a: '/(/'}}]\n", 2, 31, "not a regular expression", "RE2"},
	{head + "steps: [{get: /, extract: {a: {regex: x, pick: 10001}}}]\n", 2, 48, "no choice \"10001\"", "1 to 10000"},
	{head + "steps: [{get: /, extract: {a: token}}]\n", 2, 31, "no place in the answer", "$.path"},
	{head + "steps: [{get: /, extract: {a: 'css:b'}}]\n", 2, 31, "css", "regular expression"},
	{head + "steps: [{get: /, check: {status: ok}}]\n", 2, 34, "not a status", "2xx"},
	{head + "steps: [{get: /, check: {jsonpath: {$.a: '> b'}}}]\n", 2, 42, "compares numbers", ">0"},
	{head + "steps: [{get: /, check: {xpath: //a}}]\n", 2, 26, "xpath", "contains:"},
	{head + "steps: [{get: /}]\nload: {rate: 5}\nhttp: {version: 2}\n", 4, 17, "not in this version", "1.1"},
	{head + "steps: [{get: /}]\nload: {rate: 5/d}\n", 3, 14, "not a unit", "30/m"},
	{head + "steps: [{get: /}]\nload: {rate: 5, users: 3}\n", 3, 24, "not both", "keep rate"},
	{head + "steps: [{get: /}]\nload: {for: 3s}\n", 3, 7, "neither rate nor users", "rate: 500"},
	{head + "steps: [{get: /}]\nload: {rate: 5, for: 5}\n", 3, 22, "no unit", "5s"},
	{head + "steps: [{get: /}]\nload: {rate: 5, for: 5s, ramp: 6s}\n", 3, 32, "longer than the whole", "first part"},
	{head + "steps: [{get: /}]\nload: {users: 5, arrivals: even}\n", 3, 28, "belongs to a load with rate", "rate:"},
	{head + "steps: [{get: /}]\nload: {rate: [{for: 5s, to: 5, curve: exponential}]}\n", 3, 39, "cannot leave 0", ""},
	{head + "steps: [{get: /}]\nload: {rate: [{for: 5s, to: 5, curve: steps}]}\n", 3, 39, "in how many", "steps: 5"},
	{head + "steps: [{get: /}]\nload: {rate: [{for: 5s, at: 5, steps: 3}]}\n", 3, 39, "only a ramp", "to: instead of at:"},
	{head + "steps: [{get: /}]\nload: {rate: [{for: 5s, to: 5, curve: linear, steps: 3}]}\n", 3, 54, "only a ramp with curve: steps", "leave steps out"},
	{head + "steps: [{get: /}]\nload: {rate: [{for: 5s}]}\n", 3, 15, "no level", "at: 500"},
	{head + "steps: [{get: /}]\nload: {rate: [{at: 5}]}\n", 3, 15, "no length", "for: 30s"},
	{head + "steps: [{get: /}]\nload: {rate: 50, max_rate: 20}\n", 3, 28, "above the cap", ""},
	{head + "scenarios: [{name: a, weight: 0, steps: [{get: /}]}]\n", 2, 31, "0 is not within", "whole number"},
	{head + "scenarios: [{name: a, steps: [{get: /}]}, {name: a, steps: [{get: /}]}]\n", 2, 43, "two scenarios", "own name"},
	{head + "scenarios: [{name: a, steps: [{name: x, get: /}, {name: x, get: /}]}]\n", 2, 50, "two steps", "own name"},
	{head + "http: {headers: {Content-Length: 5}}\nsteps: [{get: /}]\n", 2, 18, "made by the program", "remove"},
	{head + "http: {max_body: lots}\nsteps: [{get: /}]\n", 2, 18, "not a size", "64KiB"},
	{head + "http: {tls: {insecure: maybe}}\nsteps: [{get: /}]\n", 2, 24, "true or false", "true or false"},
	{head + "steps: [{get: /, http: {proxy: http://x}}]\n", 2, 25, "whole run", "file's http:"},
	{head + "scenarios: [{name: a, steps: [{get: /, connections: iteration}]}]\n", 2, 53, "all steps of an iteration", "move it to the scenario"},
	{head + "scenarios: [{name: a, steps: [{get: /, http: {cookies: keep}}]}]\n", 2, 56, "a new iteration begins with", "move it to the scenario"},
	{head + "steps: [{get: /, retry: 2}]\n", 2, 18, "`retry:` is not in this version", "sent once"},
	{head + "steps:\n\t- get: /\n", 3, 1, "not YAML", "spaces"},
	{head + "steps: [{get: /}]\npeers: [ada, -oProxyCommand=x]\n", 3, 14, "weight behind =", "=2"},
	{head + "steps: [{get: /}]\npeers: [-oProxyCommand]\n", 3, 9, "option of ssh", "--ssh"},
	{head + "steps: [{get: /}]\npeers: ['a@-x']\n", 3, 9, "option of ssh", "user@"},
	{head + "steps: [{get: /}]\npeers: ['ada:']\n", 3, 9, "no port behind", "leave the colon out"},
	{head + "steps: [{get: /}]\npeers: ['ada:99999']\n", 3, 9, "not a port", "65535"},
	{head + "steps: [{get: /}]\npeers: ['ada=0']\n", 3, 9, "whole number", "ada=2"},
	{head + "steps: [{get: /}]\npeers: ['http://ada']\n", 3, 9, "is a URL", "as for ssh"},
	{head + "steps: [{get: /}]\npeers: [{ssh: a, exec: [sh]}]\n", 3, 9, "not both", "keep one"},
	{head + "steps: [{get: /}]\npeers: [{weight: 2}]\n", 3, 9, "neither ssh nor exec", "exec: ["},
	{head + "steps: [{get: /}]\npeers: [{host: a}]\n", 3, 10, `no key "host"`, "ssh"},
	{head + "steps: [{get: /}]\npeers: [{exec: []}]\n", 3, 16, "no words", "docker"},
	{head + "steps: [{get: /}]\npeers: [{exec: [sh, -c, 'x {boot}']}]\n", 3, 25, "part of a word", "docker"},
	{head + "steps: [{get: /}]\npeers: [{ssh: a, agent: lt}]\n", 3, 25, "no absolute path", "/usr/bin/lt"},
	{head + "steps: [{get: /}]\npeers: [{exec: [sh, -c, '{boot}'], agent: /usr/bin/lt}]\n", 3, 43, "there already", "leave agent"},
	{head + "steps: [{get: /}]\npeers: [{ssh: a, weight: 0}]\n", 3, 26, "0 is not within", "1000"},
	{head + "steps: [{get: /}]\npeers: [{ssh: a, target: b}]\n", 3, 26, "no scheme", "https://b"},
	{head + "steps: [{get: /}]\npeers: [{ssh: a, target: 'http://b/?c'}]\n", 3, 26, "no query", "with the steps"},
	{head + "name: a: b\n", 2, 8, "not YAML", "quotes"},
	{head + "name: *nope\n", 2, 7, "unknown anchor", "&name"},
	{head + "---\na: b\n", 2, 1, "second document", "one scenario"},
	{head + "name:\nsteps: [{get: /}]\n", 2, 1, "no value", "remove the key"},
	{"target: \"http://a.test\xff\"\n", 1, 23, "UTF-8", "UTF-8"},
}

func TestEveryMistakeHasItsPlaceAndARemedy(t *testing.T) {
	for _, c := range mistakes {
		_, err := Parse("a.yaml", []byte(c.text), testEnv)
		var all Errors
		if !errors.As(err, &all) {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		e := all[0]
		if len(all) != 1 || e.Line != c.line || e.Column != c.column || !strings.Contains(e.Msg, c.msg) || !strings.Contains(e.Remedy, c.remedy) {
			t.Errorf("%q:\n%v\nwant %d:%d %q, remedy %q", c.text, err, c.line, c.column, c.msg, c.remedy)
		}
	}
}

func TestAllMistakesAreToldAtOnceWithACaret(t *testing.T) {
	_, err := Parse("shop.yaml", []byte(head+"nam: x\nsteps:\n  - {get: '/{{x}}', think: 5}\n"), testEnv)
	want := `shop.yaml:2:1: the file has no key "nam"
  2 | nam: x
    | ^
  did you mean name?

shop.yaml:4:15: url: there is no variable or function "x"
  4 |   - {get: '/{{x}}', think: 5}
    |               ^
  a variable stands under vars: or is extracted by a step before

shop.yaml:4:28: think: 5 has no unit
  4 |   - {get: '/{{x}}', think: 5}
    |                            ^
  write 5s for seconds or 5ms for milliseconds`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// What seems to be missing is told unless a mistake told already may be the reason.
func TestOneMistakeIsToldOnce(t *testing.T) {
	for text, want := range map[string][]string{
		"base_url: http://a.test\nsteps: [{get: /}]\n":                        {`no key "base_url"`},
		"knee: {step: 10s}\nsteps: [{get: /}]\n":                              {"`knee:`", "no target"},
		head + "stesp: [{get: /}]\n":                                          {`no key "stesp"`},
		head + "knee: {step: 10s}\n":                                          {"no steps", "`knee:`"},
		head + "steps: [{gte: /}, {ws: /}, {parallel: [{get: /}]}, {}]\n":     {`no key "gte"`, "`ws:`", "`parallel:`", "needs a URL"},
		head + "scenarios: [{name: a, one_of: [{get: /}]}, {name: b}]\n":      {"`one_of:`", "has no steps"},
		head + "steps: [{get: '/{{tokn'}]\n":                                  {"not closed", `no variable or function "tokn"`},
		head + "steps: {get: /}\n":                                            {"is a list"},
		head + "steps: [{get: /}]\nload: {rps: 5, for: 3s}\n":                 {`no key "rps"`},
		head + "steps: [{get: /}]\nload: {rate: [{length: 3s, at: 5}]}\n":     {`no key "length"`},
		head + "nme: x\nscenarios: []\nload: {rate: 0}\n":                     {`no key "nme"`, "scenarios is empty", "rate is 0"},
		head + "steps: [{get: /}]\nauthorize: {ownr: Ada}\npeers: [{shs: a}]": {`no key "ownr"`, `no key "shs"`},
	} {
		_, err := Parse("a.yaml", []byte(text), testEnv)
		var all Errors
		errors.As(err, &all)
		ok := len(all) == len(want)
		for i := range min(len(all), len(want)) {
			ok = ok && strings.Contains(all[i].Msg, want[i])
		}
		if !ok {
			t.Errorf("%q: want %q\n%v", text, want, err)
		}
	}
}

func TestAFileCannotGrowWithoutBound(t *testing.T) {
	_, err := Parse("a.yaml", []byte(laughs(9)), testEnv)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("more than %d values", maxNodes)) {
		t.Errorf("%.500v", err)
	}
	for _, text := range []string{"x: &a [*a]\nsteps: *a", "a: &a {<<: *a}\nsteps: [{post: /, json: *a}]", head + "steps: [{post: /, json: &x {a: *x}}]"} {
		if _, err := Parse("a.yaml", []byte(text), testEnv); err == nil {
			t.Errorf("%q parses", text)
		}
	}
}

func TestMergesAndJSONWithTabs(t *testing.T) {
	f := parse(t, head+"steps:\n  - &a {name: a, get: /, timeout: 3s, headers: &h {A: '1', B: '2'}}\n  - {<<: *a, name: b, headers: {<<: *h, B: '3'}}\n")
	b := f.Scenarios[0].Steps[1]
	if b.Name != "b" || b.HTTP.Timeout.Seconds() != 3 || len(b.Headers) != 2 || b.Headers[0].Value != "3" || b.Headers[1].Value != "1" {
		t.Errorf("%+v", b)
	}
	f = parse(t, "{\n\t\"name\":\t\"t\",\n\t\"steps\": [\n\t\t{\"method\": \"POST\", \"url\": \"http://a.test/\", \"payload\": {\"a\": 1}},\n\t\t{\"method\": \"GET\", \"url\": \"http://a.test/\", \"payload\": null}\n\t]\n}")
	if st := f.Scenarios[0].Steps; st[0].Text != `{"a":1}` || st[0].Body != BodyJSON || st[1].Body != NoBody || f.Load.Profile.Peak() != DefaultRate {
		t.Errorf("%+v", st)
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	text := []byte(readTestdata(b, "built.yaml"))
	for b.Loop() {
		if _, err := Parse("a.yaml", text, testEnv); err != nil {
			b.Fatal(err)
		}
	}
}
