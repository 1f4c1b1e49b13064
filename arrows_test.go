package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// arrows says which of our packages each of them may import, directly or through others. What is missing may import none.
var arrows = map[string][]string{
	"engine/journey":  {"engine/scenario", "engine/h1", "engine/load"},
	"engine/scenario": {"engine/load"},
	"engine/slo":      {"engine/metrics", "engine/scenario", "engine/load"},
	"engine/knee":     {"engine/metrics", "engine/scenario", "engine/load"},
	"engine/ledger":   {"engine/metrics", "engine/scenario", "engine/load", "engine/slo", "engine/knee", "engine/redact"},
	"engine/history":  {"engine/ledger", "engine/metrics", "engine/scenario", "engine/load", "engine/slo", "engine/knee", "engine/redact"},
	"engine/report": {
		"engine/history", "engine/ledger", "engine/metrics", "engine/scenario", "engine/load", "engine/slo", "engine/knee", "engine/redact",
	},
	"engine/ledger/ledgertest": {
		"engine/ledger", "engine/metrics", "engine/scenario", "engine/load", "engine/slo", "engine/knee", "engine/redact",
	},
	"engine": {"engine/scenario", "engine/load", "engine/journey", "engine/h1", "engine/loop", "engine/metrics", "engine/limits", "engine/redact"},
	"engine/conductor": {
		"engine/scenario", "engine/load", "engine/metrics", "engine/knee", "engine/slo", "engine/ledger", "engine/history", "engine/redact",
	},
	"peer": {
		"engine", "engine/scenario", "engine/load", "engine/journey", "engine/h1", "engine/loop", "engine/metrics", "engine/limits",
		"engine/redact", "engine/authz", "peer/wire", "peer/boot", "peer/sshproc",
	},
	"peer/wire":    {"engine/metrics", "engine/load", "engine/redact"},
	"peer/boot":    {"peer/sshproc", "engine/redact"},
	"peer/sshproc": {"engine/redact"},
	"tui": {
		"engine/conductor", "engine/scenario", "engine/load", "engine/metrics", "engine/knee", "engine/slo", "engine/ledger",
		"engine/history", "engine/redact", "tui/chart", "tui/theme",
	},
	"tui/chart": {"tui/theme"},
	"scenarios": {"scenarios/shop"},
}

// apart lists what must not come near a package, however it would get there.
var apart = map[string][]string{
	"lt/engine": {"charm.land/bubbletea/v2", "github.com/hashicorp/yamux"},
	"lt/tui":    {"net/http"},
	"lt":        {"lt/peer/lab"}, // which is for tests
}

// The packages import one another downwards only, transitively.
func TestImportsPointDown(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Deps", "./...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	d := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Deps       []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name, ours := strings.CutPrefix(p.ImportPath, "lt/")
		for _, dep := range p.Deps {
			if slices.Contains(apart[p.ImportPath], dep) {
				t.Errorf("%s reaches %s", p.ImportPath, dep)
			}
			if short, ok := strings.CutPrefix(dep, "lt/"); ok && ours && !slices.Contains(arrows[name], short) {
				t.Errorf("%s imports %s, directly or through others", p.ImportPath, dep)
			}
		}
	}
}
