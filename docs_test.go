package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"lt/engine/scenario"
	"lt/peer"
)

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The files in the documents about peers are what they are said to be.
func TestFilesInTheDocumentsAboutPeersAreRead(t *testing.T) {
	scenarios, policies := 0, 0
	for _, block := range fences(document(t, "peers.md"), "yaml") {
		if strings.HasPrefix(block, "# /etc/lt/agent.yaml") {
			policies++
			if p, err := peer.ParsePolicy("agent.yaml", []byte(block)); err != nil || p.MaxRate != 2000 {
				t.Errorf("%+v, %v", p, err)
			}
			continue
		}
		scenarios++
		f, err := scenario.Parse("peers.yaml", []byte(block), scenarioEnv())
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := peer.Addresses(f.Peers); err != nil || len(f.Peers) < 3 {
			t.Errorf("%d peers, %v", len(f.Peers), err)
		}
	}
	if scenarios != 3 || policies != 1 {
		t.Errorf("%d scenarios and %d policies", scenarios, policies)
	}
	for _, block := range fences(document(t, "kubernetes.md"), "yaml") {
		var v map[string]any
		if err := yaml.Load([]byte(block), &v); err != nil || v["kind"] == nil || v["apiVersion"] == nil {
			t.Errorf("%v in\n%s", err, block)
		}
	}
}

// The script of docs/kubernetes.md makes a scenario of what kubectl lists.
func TestTheListOfPodsIsAScenario(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil || runtime.GOOS == "windows" {
		t.Skip("there is no POSIX shell here")
	}
	var script string
	for _, block := range fences(document(t, "kubernetes.md"), "sh") {
		if strings.HasPrefix(block, "#!/bin/sh") {
			script = block
		}
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"kubectl": "#!/bin/sh\nprintf 'pod/lt-0\\npod/lt-1\\n'\n", "lt-pods.sh": script,
		"x.yaml": "target: http://10.0.0.1\nsteps: [{get: /}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(sh, "lt-pods.sh", "x.yaml")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	f, err := scenario.Parse("x.yaml", out, scenarioEnv())
	if err != nil || len(f.Peers) != 2 || f.Peers[1].Name != "pod/lt-1" || f.Peers[0].Label != "k8s" {
		t.Errorf("%s\n%v", out, err)
	}
}

// What the tables of trouble quote of ours, or of what we know ssh to say, stands in the code.
func TestTheTroubleInTheDocumentsIsWhatTheProgramSays(t *testing.T) {
	var code strings.Builder
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".sh") && strings.HasPrefix(filepath.ToSlash(path), "peer/") || strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			text, err := os.ReadFile(path)
			code.Write(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	phase := regexp.MustCompile(`^(dial|host key|auth|probe|upload|exec): `)
	quote := regexp.MustCompile("`([^`]+)`")
	_, trouble, _ := strings.Cut(document(t, "peers.md"), "## Trouble")
	rows := 0
	for line := range strings.Lines(trouble) {
		columns := strings.Split(line, "|")
		if len(columns) < 3 || !strings.Contains(columns[1], "`") {
			continue
		}
		rows++
		for _, q := range quote.FindAllStringSubmatch(columns[1], -1) {
			for _, part := range strings.Split(phase.ReplaceAllString(q[1], ""), "...") {
				if part = strings.TrimSpace(part); !strings.Contains(code.String(), part) {
					t.Errorf("nothing in the code says %q", part)
				}
			}
		}
	}
	if rows < 12 {
		t.Errorf("only %d rows were found", rows)
	}
}
