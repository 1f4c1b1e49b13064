package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"lt/engine/authz"
	"lt/engine/journey"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
	"lt/scenarios"
	"lt/scenarios/shop"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lt": main})
}

// The verbs as users type them, each against a server in this process.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("docs", "verbs"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("LT_STATE_DIR", filepath.Join(e.WorkDir, "state"))
			e.Setenv("CI", "1")
			if strings.HasSuffix(e.WorkDir, "script-fleet") && !testing.Short() {
				e.Setenv("PEER", released(t))
				e.Setenv("PEER_SYSTEM", runtime.GOOS+"/"+runtime.GOARCH)
			}
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/status":
					n, _ := strconv.Atoi(r.URL.Query().Get("code"))
					w.WriteHeader(max(n, 200))
				case "/slow":
					time.Sleep(300 * time.Millisecond)
				case "/loop":
					http.Redirect(w, r, "/loop", http.StatusFound)
				case "/redirect":
					w.Header().Set("Location", r.URL.Query().Get("to"))
					w.WriteHeader(http.StatusFound)
				case "/echo":
					w.WriteHeader(http.StatusInternalServerError)
					_ = r.Header.Write(w)
				case "/login":
					http.SetCookie(w, &http.Cookie{Name: "sid", Value: "canary-cookie-value" + strings.Repeat("-long", 20), Path: "/"})
					fmt.Fprint(w, `{"token": "canary-token-value"}`)
				default:
					fmt.Fprint(w, "ok")
				}
			}))
			e.Defer(s.Close)
			e.Setenv("URL", s.URL)
			secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
			e.Defer(secure.Close)
			e.Setenv("SECURE", secure.URL)
			proof := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != authz.ProofPath {
					http.NotFound(w, r)
					return
				}
				http.ServeFile(w, r, filepath.Join(e.WorkDir, "proof.txt"))
			}))
			e.Defer(proof.Close)
			e.Setenv("PROOF", proof.URL)
			q := shop.Config{Servers: 4, Queue: 100}
			q.Service, _ = shop.ParseDistribution("2ms")
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			server := shop.New(q)
			go func() { _ = server.Serve(l) }()
			e.Defer(func() { _ = server.Close() })
			e.Setenv("SHOP", "http://"+l.Addr().String())
			mute, err := net.Listen("tcp", "127.0.0.1:0") // its connections wait in the kernel for ever
			if err != nil {
				return err
			}
			e.Defer(func() { _ = mute.Close() })
			e.Setenv("MUTE", "http://"+mute.Addr().String())
			closed, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			e.Setenv("CLOSED", "http://"+closed.Addr().String())
			return closed.Close()
		},
	})
}

// A file without a target of its own is named after where its steps go.
func TestTheTargetHasAName(t *testing.T) {
	a, b := journey.Origin{Host: "a.test", Port: 80}, journey.Origin{Host: "b.test", Port: 443, TLS: true}
	for want, s := range map[string]session{
		"http://c.test/x":             {file: &scenario.File{Target: "http://c.test/x"}, program: &journey.Program{Origins: []journey.Origin{a, b}}},
		"http://a.test:80":            {file: &scenario.File{}, program: &journey.Program{Origins: []journey.Origin{a}}},
		"http://a.test:80 and 1 more": {file: &scenario.File{}, program: &journey.Program{Origins: []journey.Origin{a, b}}},
		"":                            {file: &scenario.File{}, program: &journey.Program{}},
	} {
		if got := s.target(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What is raised by hand counts as many users as the load makes of it: a part of one is one.
func TestARaiseCountsWholeUsers(t *testing.T) {
	s := session{file: &scenario.File{Load: load.Spec{Model: load.Closed}}, basis: authz.Basis{MaxUsers: 20}}
	for level, allowed := range map[float64]bool{19.8: true, 20: true, 20.0000000001: true, 20.1: false, 20.9: false} {
		if err := s.allowRate(level); (err == nil) != allowed {
			t.Errorf("%v users where 20 are free: %v", level, err)
		}
	}
}

// released builds the program as releases are, so that it can be carried to a peer.
func released(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lt")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// Every shipped scenario parses, and runs for a second against the bundled target without an error of its own making.
func TestShippedScenariosRun(t *testing.T) {
	for _, info := range scenarios.List() {
		t.Run(info.Name, func(t *testing.T) {
			t.Parallel()
			file, err := openScenario(info.Name)
			if err != nil {
				t.Fatal(err)
			}
			c := shop.Config{Servers: 8, Queue: 1000}
			c.Service, _ = shop.ParseDistribution("1ms")
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := shop.New(c)
			go func() { _ = server.Serve(l) }()
			defer server.Close()
			out, _ := os.Create(filepath.Join(t.TempDir(), "out"))
			defer out.Close()
			q := scenario.Quick{URL: "http://" + l.Addr().String(), Stages: []string{"1s:20"}, Graceful: "5s", Think: "0"}
			if err := file.Override(q, scenarioEnv()); err != nil {
				t.Fatal(err)
			}
			state := t.TempDir()
			w := world{stdout: out, stderr: out, getenv: func(k string) string {
				if k == "LT_STATE_DIR" {
					return state
				}
				return ""
			}}
			s := &session{w: w, file: file, opt: runOptions{plain: true, always: true}}
			if err := s.play(t.Context()); err != nil {
				t.Fatal(err)
			}
			snap := s.ledger.Snapshot()
			if snap.Totals.Requests == 0 {
				t.Error("no requests")
			}
			for _, step := range snap.Steps {
				if step.ByClass[metrics.Limit] > 0 {
					t.Errorf("%s: errors by class %v", step.Step, step.ByClass)
				}
			}
			if got := server.Stats().Connections; got.Accepted == 0 {
				t.Error("the shop saw no connection")
			}
		})
	}
}
