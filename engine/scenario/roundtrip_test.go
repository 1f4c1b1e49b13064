package scenario

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// same compares files without places and text.
var same = cmp.Options{
	cmpopts.EquateEmpty(),
	cmp.FilterPath(func(p cmp.Path) bool { return p.Last().Type() == reflect.TypeFor[Pos]() }, cmp.Ignore()),
	cmpopts.IgnoreFields(File{}, "Text", "Secrets"), // what came from the environment is printed as any other value
	cmpopts.IgnoreFields(Var{}, "Secret"),
}

// printed checks that printing and parsing again changes nothing, and that the second print is the first.
func printed(t testing.TB, f *File) {
	t.Helper()
	text := canonical(f)
	again, err := Parse(f.Path, text, testEnv)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	if d := cmp.Diff(f, again, same); d != "" {
		t.Fatalf("%s\n%s", text, d)
	}
	if second := canonical(again); string(second) != string(text) {
		t.Fatalf("printed\n%s\nand then\n%s", text, second)
	}
}

const everything = `
name: "every: key"
target: http://${HOST:-localhost}:8080/base
hosts: [cdn.shop.test, "other:99"]
vars: {a: "${SHOP_PASSWORD}", b: "plain $${x}", c: 007}
http:
  version: 1.1
  timeout: 1m30s
  connections: request
  max_body: 10kB
  redirects: 3
  headers: {Accept: "*/*", X-B: "{{b}}"}
  cookies: off
  trace: traceparent
  tls: {insecure: yes, server_name: x.test, min_version: 1.3}
  user: "ada:{{a}}"
  proxy: http://u:p@proxy:3128
  connect_to: ["::localhost:99", "a:1:[::1]:2"]
  resolve: ["a:1:::1", "b:2:127.0.0.1"]
  unix_socket: /tmp/x.sock
  source_ips: [127.0.0.1, "::1"]
think: {long: 5m, mine: "uniform(1s, 3s)", times: 0.5}
load:
  users:
    - {for: 10s, to: 50}
    - {name: "true", for: 1m, at: 50, warmup: true}
    - {for: 10s, to: 5, curve: steps, steps: 5}
    - {for: 10s, to: 9, curve: exponential}
  iterations: 1000
  max_rate: 100
  graceful: 0s
  seed: 18446744073709551615
scenarios:
  - name: one
    weight: 2
    pacing: 5s
    headers: {X-S: s, Accept: text/html}
    setup:
      - {post: "/login?x={{randomInt 1 9}}", payload: {n: 1.10, h: 0x10, l: [a, null, true], "q{{vu}}": "<&>"}, extract: {t: $.t, u: "/x(.)/", v: "header: Location", w: cookie:sid, x: {regex: "a$${b", pick: 3, default: ""}, y: {jsonpath: "$..a", pick: last}, z: {cookie: c, pick: random}}}
    steps:
      - {get: /a, query: {q: [a, b], e: "", m: "{{t}}"}, think: long, timeout: 1s, http: {tls: {insecure: false}, headers: {X-S: t}}}
      - {get: /a, think: reading}
      - {method: purge, url: "http://cdn.shop.test/{{t}}", body: "line\nline $${HOME} \"q\"\u0007"}
      - {put: /f, body_file: bodies/order.bin, check: {status: [2xx, 404, 500-502], time: 1ms, contains: [a, "b c"], not_contains: x, matches: ["^a", "/b/"], header: {Location: "/^x/", ETag: ""}, jsonpath: {$.a: ">0", $.b: exists, $.c: "/x/", $.d: "!= y", $.e: z, $.f: null, $.g: "matches a b"}, size: "<= 10KiB"}}
      - {post: /j, json: "[{{vu}}]"}
      - {post: /j, json: "{{uuid}}"}
      - {post: /j, json: 12}
      - {post: /j, json: true, cookies: reset}
      - {patch: /form, form: {id: 13, list: [1, 2]}, check: {header: [A, B], jsonpath: [$.a], size: 5}}
    teardown: [{delete: /}, {head: /}, {options: "?x=1"}, {options: "*"}]
  - {name: two, steps: [{get: /}]}
slo: "p99 < 300ms"
authorize: {owner: Ada, ticket: T-1, until: 2031-12-31}
labels: {team: shop, "a b": "1"}
`

func TestPrintingAndParsingAgainChangesNothing(t *testing.T) {
	f := parse(t, everything)
	if f.Target != "http://localhost:8080/base" || f.Vars[1].Value != "plain ${x}" || f.Vars[2].Value != "007" {
		t.Errorf("%q, %+v", f.Target, f.Vars)
	}
	if got := f.Scenarios[0].Setup[0].Text; got != `{"n":1.10,"h":16,"l":["a",null,true],"q{{vu}}":"<&>"}` {
		t.Errorf("json %s", got)
	}
	if !f.Authorize.Until.Equal(time.Date(2032, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("until %v", f.Authorize.Until)
	}
	printed(t, f)
	printed(t, parse(t, readTestdata(t, "built.yaml")))
	printed(t, parse(t, `{"name": "x", "steps": [{"method": "POST", "url": "http://a.test/", "payload": "{\"a\": 1}"}]}`))
	printed(t, parse(t, "target: http://a.test\nload: {rate: 30/m, for: 1m, ramp: 10s, warmup: 5s, arrivals: even}\nsteps: [{get: /}]"))
	files, _ := filepath.Glob("../../scenarios/*.yaml")
	for _, name := range files {
		f, err := Load(name, Env{LookupEnv: os.LookupEnv})
		if err != nil {
			t.Fatal(err)
		}
		printed(t, f)
	}
}
