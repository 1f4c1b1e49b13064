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
