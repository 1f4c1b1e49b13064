package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestThePlanSaysInWordsWhatWillHappen(t *testing.T) {
	f := parse(t, readTestdata(t, "built.yaml"))
	var b strings.Builder
	if err := f.Plan(&b); err != nil {
		t.Fatal(err)
	}
	plan := b.String()
	for _, want := range []string{
		"Shop checkout\n", "https://shop.staging.internal", "open: up to 1,500 arrivals/s", "Poisson", "4m40s, of which 10s warm-up",
		// 10 x 50 + 60 x 275 + 120 x 500 + 30 x 1500 + 60 x 50
		"about 125,000 iterations", "10,000 in flight", "buyer, 30 % of iterations", "browser, 70 % of iterations",
		"from 50 to 500/s", "0:10", "takes token", "p99 < 300ms", "once a user", "30s a step",
		"sends about ", "kB/s at the peak",
	} {
		if !strings.Contains(plan, want) {
			t.Errorf("no %q in\n%s", want, plan)
		}
	}
	if strings.Contains(plan, " \n") {
		t.Errorf("a line ends in spaces:\n%s", plan)
	}
	if strings.Contains(plan, "hunter22") {
		t.Error("the plan shows a secret")
	}
}

func TestThePlanSaysWhatIsSpecial(t *testing.T) {
	for text, want := range map[string]string{
		"load: {rate: 50, iterations: 100}\nsteps: [{get: /}, {get: /b}]\n":           "about 100 iterations, about 200 requests",
		"http: {tls: {insecure: true}}\nsteps: [{get: /}]\n":                          "certificates are NOT checked\n",
		"steps: [{get: /, http: {tls: {insecure: true}}}, {get: /b}]\n":               "certificates are NOT checked in 1 of 2 steps\n",
		"steps: [{get: /, timeout: 1s}, {get: /b}]\nredirects: 2\n":                   "30s a step, 10s to connect; otherwise in 1 of 2 steps\n",
		"scenarios: [{name: a, connections: request, steps: [{get: /}]}]":             "new for each request\n",
		"http: {proxy: 'http://ann:hunter2@proxy:3128'}\nsteps: [{get: /}]\n":         " proxy:3128\n",
		"load: {users: 1, for: 10s}\nsteps: [{get: /}]\nconnections: request\n":       "up to 1 user,",
		"load: {rate: 1, for: 10s, arrivals: even}\nsteps: [{get: /}]\nslo: max < 1s": "expected     10 iterations, 10 requests",
	} {
		var b strings.Builder
		if err := parse(t, head+text).Plan(&b); err != nil {
			t.Fatal(err)
		}
		if plan := b.String(); !strings.Contains(plan, want) || strings.Contains(plan, "hunter2") {
			t.Errorf("%s lacks %q:\n%s", text, want, plan)
		}
	}
}

func TestTheShippedScenariosParse(t *testing.T) {
	files, err := filepath.Glob("../../scenarios/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no shipped scenarios", err)
	}
	for _, name := range files {
		f, err := Load(name, Env{LookupEnv: os.LookupEnv})
		if err != nil {
			t.Error(err)
			continue
		}
		var b strings.Builder
		if err := f.Plan(&b); err != nil || b.Len() < 200 {
			t.Errorf("%s: plan %q, %v", name, b.String(), err)
		}
	}
}
