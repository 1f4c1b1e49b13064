package scenario

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lt/engine/load"
)

func quick(t *testing.T, q Quick) *File {
	t.Helper()
	f, err := q.File(testEnv)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return f
}

func TestAURLAloneAsksForLittleAndEndsSoon(t *testing.T) {
	f := quick(t, Quick{URL: "localhost:8080/a?b=1#c"})
	st := f.Scenarios[0].Steps[0]
	if f.Target != "http://localhost:8080" || st.URL != "/a?b=1" || st.Name != "GET /a?b=1" || f.Closed {
		t.Errorf("%+v, step %+v", f, st)
	}
	s := f.Load
	if s.Model != load.Open || s.Arrivals != load.Poisson || len(s.Profile.Stages) != 1 || s.Profile.Peak() != 50 || s.Profile.Duration() != 30*time.Second {
		t.Errorf("%+v", s)
	}
}

func TestTheSchemeIsGuessedFromTheName(t *testing.T) {
	for in, want := range map[string]string{
		"localhost": "http://localhost", ":8080": "http://localhost:8080", "10.0.0.7/x": "http://10.0.0.7/x", "[::1]:80": "http://[::1]:80",
		"shop": "http://shop", "shop.internal:81": "http://shop.internal:81", "example.com": "https://example.com", "8.8.8.8": "https://8.8.8.8",
		"http://example.com": "http://example.com", "example.com?x=1": "https://example.com?x=1",
	} {
		if got, err := QuickURL(in); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", in, got, err, want)
		}
	}
	for in, want := range map[string]string{"": "URL is missing", "ws://x": "not in this version", "http://": "names no host", "ftp://x/": "scheme", "http://a b/": "space"} {
		if _, err := QuickURL(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want something with %q", in, err, want)
		}
	}
}

func TestFlagsShapeTheLoad(t *testing.T) {
	closed := quick(t, Quick{URL: "localhost", Users: "20", Duration: "1m", Ramp: "10s"})
	if !closed.Closed || closed.Load.Profile.Stages[0] != (load.Stage{Name: "ramp-up", For: 10 * time.Second, At: 20, Ramp: true}) || closed.Load.Profile.Duration() != time.Minute {
		t.Errorf("closed: %+v", closed.Load)
	}
	both := quick(t, Quick{URL: "localhost", Users: "20", Rate: "600/m"})
	if both.Closed || both.Load.MaxInFlight != 20 || both.Load.Profile.Peak() != 10 {
		t.Errorf("both: %+v", both.Load)
	}
	stages := quick(t, Quick{URL: "localhost", Stages: []string{"10s:~100", "20s:100"}, Warmup: "5s"})
	want := []load.Stage{
		{Name: "stage 1 (warm-up)", For: 5 * time.Second, At: 50, Ramp: true, Warmup: true},
		{Name: "stage 1", For: 5 * time.Second, At: 100, Ramp: true},
		{Name: "stage 2", For: 20 * time.Second, At: 100},
	}
	for i, s := range stages.Load.Profile.Stages {
		if s != want[i] {
			t.Errorf("stage %d: %+v, want %+v", i, s, want[i])
		}
	}
	users := quick(t, Quick{URL: "localhost", Stages: []string{"10s:~30", "20s:20"}, Users: "40"})
	if !users.Closed || users.Load.MaxRate != 40 || users.Load.Profile.Peak() != 30 {
		t.Errorf("stages of users: %+v", users.Load)
	}
	if n := quick(t, Quick{URL: "localhost", Iterations: "100000", Rate: "100"}).Load; n.Iterations != 100000 || n.Profile.Duration() != 1500*time.Second {
		t.Errorf("iterations: %+v", n)
	}
}

func TestAFlagInAnotherToolsSenseGetsAFriendsAnswer(t *testing.T) {
	for want, q := range map[string]Quick{
		"the body is -b":           {Duration: `{"a":1}`},
		"write 30s for seconds":    {Duration: "30"},
		"number of redirects":      {Redirects: "http://x"},
		"NAME:PASSWORD":            {BasicAuth: "20"},
		"write 500/s":              {Rate: "5/day"},
		"write 'Name: value'":      {Headers: []string{"Accept"}},
		"DURATION:LEVEL":           {Stages: []string{"30s"}},
		"leave -r, -d and --ramp":  {Stages: []string{"30s:5"}, Rate: "3"},
		"poisson or even":          {Arrivals: "random"},
		"belong to a rate":         {Users: "3", Arrivals: "even"},
		"both --cert and --key":    {Cert: "a.pem"},
		"longer than the whole":    {Users: "3", Duration: "5s", Ramp: "10s"},
		"did you mean {{uuid}}":    {Body: []byte("{{uid}}")},
		"an address of":            {SourceIPs: []string{"eth0"}},
		"HOST:PORT:HOST2:PORT2":    {ConnectTo: []string{"x"}},
		"write http://proxy:3128":  {Proxy: "socks5://x"},
		"leaves nothing of the 5s": {Rate: "1", Duration: "5s", Warmup: "5s"},
		"-d: \"inf\" is not a":     {Duration: "inf"},
		"(--no-keepalive asks":     {Headers: []string{"Connection: close"}},
		"made by the program":      {Headers: []string{"transfer-encoding: chunked"}},
		"a control character":      {Headers: []string{"X: a\x1bb"}},
		"Cookie: a=1; b=2":         {Headers: []string{"Cookie: a=1", "cookie: b=2"}},
		"header Host is there":     {Headers: []string{"Host: a", "Host: b"}},
		"-n: 0 is not within 1 and 9007199254740992; write a whole number from 1 on": {Iterations: "0"},
		"-c: the stages go up to 100 users, above the 10 ":                           {Users: "10", Stages: []string{"30s:~100"}},
		"every level is 0":        {Stages: []string{"10s:0"}},
		"no name of a host":       {URL: "http://a*b/"},
		"write %25 for a percent": {URL: "http://bob:p%ss@localhost/"},
	} {
		if q.URL == "" {
			q.URL = "localhost"
		}
		_, err := q.File(testEnv)
		if want == "an address of" {
			want = "is not an IP address"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want something with %q", q, err, want)
		}
	}
}

func TestTheRequestOfFlags(t *testing.T) {
	f := quick(t, Quick{URL: "https://ada:pw12345@shop.test/x", Method: "put", Headers: []string{"X-A: 1", "Accept:"}, Body: []byte(`{"id":"{{uuid}}"}`), ContentType: "application/json", Redirects: "3", Insecure: true, NoKeepalive: true, Resolve: []string{"shop.test:443:127.0.0.1"}, ConnectTo: []string{"::[::1]:8443"}})
	st := f.Scenarios[0].Steps[0]
	if st.Method != "PUT" || st.Body != BodyText || len(st.HTTP.Headers) != 2 || st.HTTP.User != "ada:pw12345" || f.Target != "https://shop.test" {
		t.Errorf("%+v", st)
	}
	if h := st.HTTP; h.Redirects != 3 || !h.TLS.Insecure || h.Connections != PerRequest || h.Resolve[0] != (Redial{"shop.test", "443", "127.0.0.1"}) || h.ConnectTo[0] != (Redial{"", "", "[::1]:8443"}) {
		t.Errorf("%+v", h)
	}
	if len(f.Secrets) != 1 || f.Secrets[0] != "pw12345" {
		t.Errorf("secrets %q", f.Secrets)
	}
	if h := quick(t, Quick{URL: "localhost", Headers: []string{"Connection:", "A: 1", "A: 2"}}).Scenarios[0].Steps[0].HTTP.Headers; len(h) != 2 {
		t.Errorf("%+v", h)
	}
	if st := quick(t, Quick{URL: "localhost", Body: []byte{0, 1}}).Scenarios[0].Steps[0]; st.Body != BodyFile || st.Method != "POST" {
		t.Errorf("%+v", st)
	}
}

func TestFlagsOverrideAFile(t *testing.T) {
	f := parse(t, readTestdata(t, "built.yaml"))
	if err := f.Override(Quick{URL: "localhost:99", Rate: "7", Duration: "10s", Headers: []string{"Authorization: x"}, Timeout: "2s", Think: "0", SLO: []string{"max < 9s"}}, testEnv); err != nil {
		t.Fatal(err)
	}
	for _, st := range f.steps() {
		if st.HTTP.Timeout != 2*time.Second || len(st.Headers) != 0 || st.HTTP.Headers[1].Value != "x" {
			t.Errorf("%s: %+v", st.Name, st.HTTP)
		}
	}
	if f.Target != "http://localhost:99" || f.Load.Profile.Peak() != 7 || f.Load.ThinkMean != 0 || len(f.SLO) != 6 {
		t.Errorf("%+v", f)
	}
	for text, want := range map[string][]load.Stage{
		"{rate: 50, for: 1m}":                                          {{Name: "stage 1", For: 5 * time.Minute, At: 50}},
		"{users: 50, for: 1m, ramp: 10s}":                              {{Name: "ramp-up", For: 10 * time.Second, At: 50, Ramp: true}, {Name: "sustain", For: 290 * time.Second, At: 50}},
		"{rate: [{for: 1m, to: 500}]}":                                 {{Name: "ramp-up", For: time.Minute, At: 500, Ramp: true}, {Name: "sustain", For: 4 * time.Minute, At: 500}},
		"{rate: [{for: 1m, to: 500, curve: steps, steps: 5}]}":         nil,
		"{rate: [{for: 1m, to: 50}, {for: 1m, at: 500}]}":              nil,
		"{rate: [{for: 1m, at: 50}, {for: 1m, at: 50}]}":               nil,
		"{rate: [{for: 1m, to: 50}, {for: 1m, to: 0}]}":                nil,
		"{rate: 50, for: 1m, warmup: 10s}":                             {{Name: "stage 1 (warm-up)", For: 10 * time.Second, At: 50, Warmup: true}, {Name: "stage 1", For: 290 * time.Second, At: 50}},
		"{rate: 50, for: 1m, ramp: 20s, warmup: 10s}":                  {{Name: "ramp-up (warm-up)", For: 10 * time.Second, At: 25, Ramp: true, Warmup: true}, {Name: "ramp-up", For: 10 * time.Second, At: 50, Ramp: true}, {Name: "sustain", For: 280 * time.Second, At: 50}},
		"{rate: [{for: 1m, to: 50, warmup: true}, {for: 1m, at: 50}]}": {{Name: "ramp-up", For: time.Minute, At: 50, Ramp: true, Warmup: true}, {Name: "sustain", For: 4 * time.Minute, At: 50}},
		"{rate: [{for: 1m, at: 50}, {for: 1m, at: 50, warmup: true}]}": nil,
	} {
		f := parse(t, head+"steps: [{get: /}]\nload: "+text+"\n")
		err := f.Override(Quick{Duration: "5m"}, testEnv)
		if got := f.Load.Profile.Stages; want != nil && (err != nil || !slices.Equal(got, want)) {
			t.Errorf("%s for 5m: %+v, %v; want %+v", text, got, err, want)
		}
		if want == nil && (err == nil || !strings.Contains(err.Error(), "has stages")) {
			t.Errorf("%s for 5m: %+v, %v", text, f.Load.Profile.Stages, err)
		}
	}
	for want, q := range map[string]Quick{"90 10s 50s": {Rate: "90"}, "50 20s 40s": {Ramp: "20s"}, "80 5s 15s": {Users: "80", Duration: "20s", Ramp: "5s"}} {
		f := parse(t, head+"steps: [{get: /}]\nload: {rate: 50, for: 1m, ramp: 10s}\n")
		err := f.Override(q, testEnv)
		st := f.Load.Profile.Stages
		if got := fmt.Sprint(st[0].At, st[0].For, st[len(st)-1].For); err != nil || got != want || !st[0].Ramp || st[1].At != st[0].At {
			t.Errorf("%+v: %+v, %v; want %s", q, st, err, want)
		}
	}
	err := parse(t, readTestdata(t, "built.yaml")).Override(Quick{Ramp: "5s"}, testEnv)
	if err == nil || !strings.HasPrefix(err.Error(), "--ramp: the file's load has stages") {
		t.Errorf("a ramp over stages: %v", err)
	}
	err = parse(t, head+"steps: [{get: /}]\nload: {rate: 50, for: 1m, ramp: 10s}\n").Override(Quick{Duration: "5s"}, testEnv)
	if err == nil || !strings.Contains(err.Error(), "the ramp of 10s is longer than the whole load of 5s") {
		t.Errorf("a load shorter than its ramp: %v", err)
	}
	err = parse(t, readTestdata(t, "built.yaml")).Override(Quick{Duration: "5s", Method: "PUT"}, testEnv)
	if err == nil || !strings.Contains(err.Error(), "has stages") || !strings.Contains(err.Error(), "has 7 steps") {
		t.Errorf("both problems are told: %v", err)
	}
}
