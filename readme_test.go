package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lt/engine/report"
	"lt/engine/scenario"
	"lt/scenarios/shop"
)

// fences are the code blocks of a kind in a Markdown text, without their fences.
func fences(text, kind string) []string {
	var out []string
	for _, part := range strings.Split(text, "```"+kind+"\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		out = append(out, block)
	}
	return out
}

// Every command of the README works as it is written, against targets of our own and cut to a second by the environment; the
// scenario in it parses and runs.
func TestReadmeCommandsWork(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	target, stop := shopAt(t)
	defer stop()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"order.json": `{"a": 1}`, "checkout.yaml": "target: " + target + "\nload: {rate: 20, for: 1s}\nsteps: [{get: /}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(line string, args ...string) {
		cmd := exec.Command(exe, args...)
		cmd.Args[0], cmd.Dir = "lt", dir // TestMain goes by the name
		cmd.Env = append(os.Environ(), "CI=1", "LT_STATE_DIR="+filepath.Join(dir, "state"))
		out, err := cmd.CombinedOutput()
		// How fast the target answers is this machine's affair: a p99 that does not hold is an answer too.
		timed := strings.Contains(line, "p99")
		if err != nil && !(timed && cmd.ProcessState.ExitCode() == report.CodeSLO) {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
	for i, block := range fences(string(text), "yaml") {
		path := filepath.Join(dir, fmt.Sprintf("readme%d.yaml", i))
		if err := os.WriteFile(path, []byte(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := scenario.Parse(path, []byte(block), scenarioEnv()); err != nil {
			t.Error(err)
		}
		run("the scenario", filepath.Base(path), "--connect-to", "127.0.0.1:8080:"+strings.TrimPrefix(target, "http://"), "--stage", "1s:20", "--slo", "errors < 1%")
	}
	seen := 0
	for _, block := range fences(string(text), "sh") {
		for _, line := range strings.Split(strings.TrimSpace(block), "\n") {
			command, _, _ := strings.Cut(line, "  #")
			args := words(command)
			if len(args) < 2 || args[0] != "lt" {
				continue // go run and go test: what a build does
			}
			seen++
			for i, a := range args {
				switch {
				case strings.HasPrefix(a, "localhost:8080"):
					args[i] = target + strings.TrimPrefix(a, "localhost:8080")
				case a == "https://staging.internal/api":
					args[i] = target + "/"
				case a == "1m":
					args[i] = "1s"
				}
			}
			if loads := strings.Contains(line, "localhost") || strings.Contains(line, "staging"); loads && !strings.Contains(line, " -d ") {
				args = append(args, "-d", "1s")
			}
			run(line, args[1:]...)
		}
	}
	if seen < 7 {
		t.Errorf("only %d commands of lt were found in the README", seen)
	}
}

// words splits a line of shell with single quotes.
func words(line string) []string {
	var out []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}

// shopAt is the bundled target at an address of its own.
func shopAt(t *testing.T) (url string, stop func()) {
	t.Helper()
	c := shop.Config{Servers: 8, Queue: 1000}
	c.Service, _ = shop.ParseDistribution("1ms")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := shop.New(c)
	go func() { _ = s.Serve(l) }()
	url = "http://" + l.Addr().String()
	if r, err := http.Get(url + "/"); err == nil {
		_ = r.Body.Close()
	}
	return url, func() { _ = s.Close() }
}
