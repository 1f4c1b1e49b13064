package peer

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"lt/engine/load"
	"lt/engine/scenario"
	"lt/peer/wire"
)

// A job goes to a peer as it is, whatever a scenario holds.
func TestJobComesThroughUnchanged(t *testing.T) {
	env := scenario.Env{LookupEnv: func(name string) (string, bool) { return "s3cret \xff of " + name, true }}
	files, err := filepath.Glob("../engine/scenario/testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := filepath.Glob("../scenarios/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, path := range append(files, shipped...) {
		file, err := scenario.Load(path, env)
		if err != nil {
			t.Logf("%s is refused", path) // it shows what is not built yet
			continue
		}
		read++
		whole(t, path, file)
	}
	if read < 4 {
		t.Fatalf("%d scenarios were read", read)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "body.bin"), []byte{0, 1, 0xff, 0xfe}, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s.yaml")
	text := `name: Everything
target: http://127.0.0.1:1
vars: {password: "${PASSWORD}", n: "5"}
http: {timeout: 3s, headers: {Accept: text/plain}, cookies: keep, trace: traceparent}
think: {slow: "lognormal(15s, 8s)", times: 0.5}
authorize: {owner: Ada, ticket: T-1, until: 2031-05-06}
load: {rate: [{for: 10s, to: 50, curve: steps, steps: 5, warmup: true}, {for: 1m, at: 500.5}], max_in_flight: 100, arrivals: even}
slo: ["p99 < 300ms"]
peers: [ada, "bob@10.0.0.7:2222=2"]
scenarios:
  - name: a
    weight: 3
    pacing: 5s
    setup: [{post: /login, json: {p: "{{password}}", n: [1, 2.5, null]}, extract: {token: $.token}}]
    steps:
      - {post: /file, body_file: body.bin, think: slow, check: {status: [200, 3xx], time: 500ms, matches: "a+", size: "< 10KiB", jsonpath: {$.stock: ">0"}}}
      - {get: "/x?{{n}}", query: {a: b}, extract: {id: {jsonpath: $.id, default: "", pick: random}}, check: {header: {Content-Type: json}}}
    teardown: [{post: /logout, form: {a: "1"}}]
  - {name: b, weight: 7, steps: [{get: /}]}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := scenario.Load(path, env)
	if err != nil {
		t.Fatal(err)
	}
	whole(t, path, file)
}

func whole(t *testing.T, path string, file *scenario.File) {
	t.Helper()
	want := Job{File: file, Agent: "lt/1.0", NoPreflight: true}
	data := wire.Encode(&want)
	var got Job
	if err := wire.DecodeJob(data, &got); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %+v came back as %+v", path, want.File, got.File)
	}
	t.Logf("%s: %d bytes", path, len(data))
}

// A peer holds the limits of its machine against its own share of the load, not against all of it.
func TestPreflightWeighsTheShare(t *testing.T) {
	for _, c := range []struct {
		share float64
		finds bool
	}{{0, true}, {1, true}, {1e-5, false}} {
		f := steady(10, time.Second)
		f.Load.Model, f.Load.Profile.Stages[0].At = load.Closed, 1e6
		job, err := NewJob(f, NewClaim(f, 1), "lt/test", true)
		if err != nil {
			t.Fatal(err)
		}
		job.Share = c.share
		a := newAgent(ServeConfig{Version: "test", Clock: clockNow, Exit: func(int) {}}, "run")
		defer a.end()
		if _, err := a.load(job); err != nil {
			t.Fatal(err)
		}
		p, err := a.preflight(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if finds := len(p.Findings) > 0; finds != c.finds {
			t.Errorf("a share of %g: %+v", c.share, p.Findings)
		}
	}
}
