package ledger_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lt/engine/ledger"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
)

func TestNewHeader(t *testing.T) {
	const secret = "canary-7f3a"
	file := &scenario.File{
		Path: "shop.yaml", Name: "Shop", Target: "https://ada:" + secret + "@shop.test",
		Text:    []byte("target: https://ada:" + secret + "@shop.test\nheaders: {Authorization: Bearer literal-canary}\nvars: {p: \"${P}\"}\n"),
		Secrets: []string{secret},
		Load: load.Spec{Seed: 7, Model: load.Closed, MaxInFlight: 9, Profile: load.Profile{Stages: []load.Stage{
			{Name: "w", For: time.Second, At: 3, Warmup: true}, {For: time.Minute, At: 30, Ramp: true, Curve: load.Steps, Steps: 3},
		}}},
		Scenarios: []*scenario.Scenario{{
			Name: "buyer", Weight: 3,
			Setup: []*scenario.Step{{Name: "login", Check: scenario.Check{Status: []scenario.StatusRange{{From: 200, To: 200}}}}},
			Steps: []*scenario.Step{{Name: "login"}, {Name: "home"}},
		}},
		SLO:    []scenario.Criterion{{Expr: "p99 < 1s"}},
		Labels: map[string]string{"env": "staging", "build": "1"},
	}
	h := ledger.NewHeader(file, ledger.About{
		ID: "0123456789", Version: "1", Started: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), Target: "https://***@shop.test", Labels: map[string]string{"build": "2"},
		Steps: []metrics.StepName{
			{Scenario: "buyer", Step: "login", Kind: metrics.KindSetup}, {Scenario: "buyer", Step: "login"}, {Scenario: "buyer", Step: "home"},
		},
		Sources: []metrics.Member{{Name: "local", Kind: "local", Weight: 1, Share: 1, State: "starting"}},
	})
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "canary") {
		t.Errorf("a secret stands in the record: %s", text)
	}
	if d := cmp.Diff([]bool{true, false, false}, h.OwnStatus); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]string{"env": "staging", "build": "2"}, h.Labels); d != "" {
		t.Error(d)
	}
	want := []ledger.Stage{{Name: "w", For: time.Second, At: 3, Warmup: true}, {For: time.Minute, At: 30, Ramp: true, Curve: "steps", Steps: 3}}
	if d := cmp.Diff(want, h.Stages); d != "" {
		t.Error(d)
	}
	if !h.Closed() || h.Seed != 7 || h.MaxInFlight != 9 || h.Scenarios[0] != (ledger.Share{Name: "buyer", Weight: 3}) || h.SLO[0] != "p99 < 1s" {
		t.Errorf("%+v", h)
	}
	if _, err := ledger.New(h); err != nil {
		t.Error(err)
	}
}
