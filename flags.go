package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lt/engine/scenario"
	"lt/engine/slo"
	"lt/scenarios"
)

// runFlags are the flags of a run.
type runFlags struct {
	quick  scenario.Quick
	opt    runOptions
	labels []string
	body   string
}

// addRunFlags gives a command the flags of a run. Durations and rates are texts, so that a wrong one gets the answer of a friend,
// from one place.
func addRunFlags(cmd *cobra.Command) *runFlags {
	f := &runFlags{}
	fs := cmd.Flags()
	fs.SortFlags = false
	q, o := &f.quick, &f.opt
	fs.StringVarP(&q.Rate, "rate", "r", "", "arrivals at this `RATE` over all sources: 500, 500/s, 30/m, 10/h")
	fs.StringVarP(&q.Users, "users", "c", "", "closed model with `N` users; with --rate: at most N in flight; with --stage: at most N users")
	fs.StringVarP(&q.Duration, "duration", "d", "", "`TIME` that it lasts: 30s, 5m")
	fs.StringVarP(&q.Iterations, "iterations", "n", "", "end after `N` iterations, over all sources")
	fs.StringVar(&q.Ramp, "ramp", "", "reach the rate or the users within this `TIME`")
	fs.StringArrayVar(&q.Stages, "stage", nil, "a stage, `TIME:LEVEL`: 30s:100 holds 100, 30s:~100 ramps to it (repeatable)")
	fs.StringVar(&q.Arrivals, "arrivals", "", "`KIND` of arrivals: poisson or even")
	fs.StringVar(&q.MaxInFlight, "max-in-flight", "", "at most `N` iterations begun and not ended; above it an arrival waits")
	fs.StringVar(&q.Graceful, "graceful", "", "`TIME` in which what is in hand at the end may finish (30s)")
	fs.StringVar(&q.Warmup, "warmup", "", "leave this `TIME` at the start out of the totals")
	fs.StringVar(&q.Seed, "seed", "", "`SEED` of every random draw; random and printed unless given")

	fs.StringVarP(&q.Method, "method", "m", "", "request `METHOD` (alias -X)")
	fs.StringArrayVarP(&q.Headers, "header", "H", nil, "`HEADER` field, 'Name: value' (repeatable)")
	fs.StringVarP(&f.body, "body", "b", "", "`BODY`: a text, @FILE, or @- for standard input (alias --data)")
	fs.StringVarP(&q.ContentType, "content-type", "T", "", "Content-`TYPE` of the body")
	fs.StringVarP(&q.BasicAuth, "user", "a", "", "`USER:PASSWORD` for Basic authentication")
	fs.StringVarP(&q.Timeout, "timeout", "t", "", "most `TIME` for a whole step, from its start to its last byte (30s)")
	fs.StringVar(&q.ConnectTimeout, "connect-timeout", "", "most `TIME` for name, connection and handshake together (10s)")
	fs.StringVarP(&q.Redirects, "redirects", "L", "", "follow at most `N` redirects (0)")
	fs.BoolVarP(&q.Insecure, "insecure", "k", false, "accept any certificate")
	fs.StringVar(&q.CACert, "cacert", "", "`FILE` with the certificates to trust, PEM")
	fs.StringVar(&q.Cert, "cert", "", "`FILE` with the client certificate, PEM")
	fs.StringVar(&q.Key, "key", "", "`FILE` with the client's key, PEM")
	fs.BoolVar(&q.NoKeepalive, "no-keepalive", false, "a new connection for each request")
	fs.StringArrayVar(&q.ConnectTo, "connect-to", nil, "`HOST:PORT:HOST2:PORT2`: connect there instead (repeatable)")
	fs.StringArrayVar(&q.Resolve, "resolve", nil, "`HOST:PORT:ADDRESS`: use this address (repeatable)")
	fs.StringVar(&q.UnixSocket, "unix-socket", "", "connect to the socket at this `PATH`")
	fs.StringArrayVar(&q.SourceIPs, "source-ip", nil, "local `ADDRESS` to connect from (repeatable)")
	fs.StringVarP(&q.Proxy, "proxy", "x", "", "proxy, `http://HOST:PORT`")
	fs.BoolVar(&q.HTTP1, "http1", false, "speak HTTP/1.1; today it is the only one")

	o.fleet.add(fs)

	fs.StringArrayVar(&q.SLO, "slo", nil, "criterion `EXPR`: 'p99 < 300ms', 'errors < 1%' (repeatable)")
	fs.BoolVar(&o.strict, "strict", false, "exit with 98 if the generator was the bottleneck")
	fs.StringArrayVar(&o.authorize, "authorize", nil, "the owner of `HOST` allows this test (repeatable)")
	fs.BoolVar(&o.noPreflight, "no-preflight", false, "start without connecting once to every origin")

	fs.BoolVar(&o.plain, "plain", false, "lines instead of the screen")
	fs.StringArrayVarP(&o.out, "out", "o", nil, "`FILE` to write; its suffix says the kind: .json .csv .md .xml .jsonl .hlog .lt (repeatable)")
	fs.BoolVar(&o.json, "json", false, "the summary on standard output")
	fs.StringArrayVar(&f.labels, "label", nil, "`K=V`, kept with the run (repeatable)")
	fs.StringVar(&o.theme, "theme", "auto", "`THEME`: auto, dark or light")
	fs.IntVar(&o.fps, "fps", 4, "`N` pictures a second, 1 to 30")
	fs.BoolVar(&o.noColor, "no-color", false, "no colours")
	fs.BoolVar(&o.noMouse, "no-mouse", false, "leave the mouse to the terminal")
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if to, ok := aliases[name]; ok {
			name = to
		}
		return pflag.NormalizedName(name)
	})
	return f
}

// aliases are long names that other tools use for the same thing.
var aliases = map[string]string{"rps": "rate", "qps": "rate", "data": "body", "request": "method"}

// shortAliases are the short names that other tools use for the same thing.
var shortAliases = map[string]string{"-R": "--rate", "-q": "--rate", "-z": "--duration", "-X": "--method"}

// environment sets every flag that was not given from its LT_... mirror, and says which mirrors were used.
func environment(fs *pflag.FlagSet, getenv func(string) string) (used []string, err error) {
	var errs []error
	fs.VisitAll(func(f *pflag.Flag) {
		name := "LT_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v := getenv(name); v != "" && !f.Changed && f.Name != "help" && f.Name != "version" {
			if err := fs.Set(f.Name, v); err != nil {
				errs = append(errs, fmt.Errorf("%s: %s", name, wrongValue(f, v)))
			}
			used = append(used, name)
		}
	})
	return used, errors.Join(errs...)
}

// scenarioEnv is what scenario files may ask of the world.
func scenarioEnv() scenario.Env {
	env := scenario.SystemEnv()
	env.CheckSLO = func(expr string, f *scenario.File) error {
		c, err := slo.Parse(expr)
		if err != nil {
			return err
		}
		return c.Check(f)
	}
	return env
}

// run is a run of a file or of one URL.
func (f *runFlags) run(ctx context.Context, w world, cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return usage("say what to run: lt SCENARIO.yaml or lt URL; lt demo needs nothing else")
	case len(args) > 1:
		if err := notURL(args[0]); err != nil && !isScenario(args[0]) {
			return err // a command of another version, with what it is about
		}
		if !strings.ContainsAny(args[0], ".:/?") && !isScenario(args[0]) {
			return usage("there is no command %s; lt --help lists them. (Of scenarios and URLs one is run at a time: %s is one too many)", args[0], strconv.Quote(args[1]))
		}
		return usage("one scenario or URL at a time: %s is one too many", strconv.Quote(args[1]))
	}
	if isScenario(args[0]) {
		file, err := openScenario(args[0])
		if _, gone := os.Stat(args[0]); gone != nil && err != nil && strings.Contains(args[0], "/") {
			return usage("%w; as a URL it is http://%s", err, args[0])
		}
		if err != nil {
			return coded{exitUsage, err}
		}
		return f.play(ctx, w, cmd, file, false)
	}
	if err := notURL(args[0]); err != nil {
		return err
	}
	f.quick.URL = args[0]
	return f.play(ctx, w, cmd, nil, false)
}

// elsewhere are commands that the name of a host is unlikely to be, with what there is in this version.
var elsewhere = map[string]string{
	"doctor": "lt check SCENARIO and every run say what this machine lacks", "version": "lt --version", "show": "lt report RUN",
	"compare": "lt report RUN -o x.json for both", "attach": "lt runs", "once": "lt -n 1 URL", "import": "lt check ladder shows a scenario",
	"schema": "the error messages of lt check name the keys",
	"list":   "lt runs", "history": "lt runs", "stats": "lt report last", "validate": "lt check SCENARIO", "bench": "lt URL", "init": "lt check smoke",
}

// notURL refuses words that were hardly meant as the name of a host, before any name is looked up: a command that does not
// exist, a folder, a shipped scenario.
func notURL(arg string) error {
	if strings.ContainsAny(arg, ".:?") {
		return nil
	}
	if st, err := os.Stat(arg); err == nil && st.IsDir() {
		return usage("%s is a folder; name the scenario file in it", arg)
	}
	if text, ok := elsewhere[arg]; ok {
		return usage("there is no command %s in this version; see %s (a host of that name is http://%s)", arg, text, arg)
	}
	if _, err := scenarios.Open(arg); err == nil {
		if arg == "demo" {
			return usage("demo is a command of its own: lt demo runs it, lt check demo prints its plan (a host of that name is http://demo)")
		}
		return usage("%s is a shipped scenario to read, not a file here; lt check %s prints its plan (a host of that name is http://%s)", arg, arg, arg)
	}
	return nil
}

// isScenario tells a file from a URL: what ends like a file, or is one.
func isScenario(arg string) bool {
	for _, end := range []string{".yaml", ".yml", ".json"} {
		if strings.HasSuffix(arg, end) && !strings.Contains(arg, "://") {
			return true
		}
	}
	st, err := os.Stat(arg)
	return err == nil && st.Mode().IsRegular()
}

// play runs a file with the flags over it; without a file, what the flags alone say.
func (f *runFlags) play(ctx context.Context, w world, cmd *cobra.Command, file *scenario.File, always bool) error {
	mirrors, err := environment(cmd.Flags(), w.getenv)
	if err != nil {
		return coded{exitUsage, err}
	}
	if f.quick.Redirects == follow {
		return usage("-L: it wants the number of redirects that are followed, for example -L 5")
	}
	if err := f.readBody(w, cmd); err != nil {
		return err
	}
	f.opt.always = always
	for _, l := range f.labels {
		k, v, ok := strings.Cut(l, "=")
		if !ok || k == "" {
			return usage("--label %s: write it as K=V", l)
		}
		if f.opt.labels == nil {
			f.opt.labels = map[string]string{}
		}
		f.opt.labels[k] = v
	}
	if t := f.opt.theme; t != "auto" && t != "dark" && t != "light" {
		return usage("--theme %s: auto, dark or light", t)
	}
	if f.opt.fps < 1 || f.opt.fps > 30 {
		return usage("--fps %d: 1 to 30", f.opt.fps)
	}
	if file == nil {
		file, err = f.quick.File(scenarioEnv())
	} else {
		err = file.Override(f.quick, scenarioEnv())
	}
	switch {
	case err != nil && len(mirrors) > 0:
		return usage("%w\n(set in the environment: %s)", err, strings.Join(mirrors, ", "))
	case err != nil:
		return coded{exitUsage, err}
	}
	if err := f.opt.fleet.apply(file); err != nil {
		return err
	}
	if f.quick.Seed == "" && file.Load.Seed == 0 {
		file.Load.Seed = uint64(rand.Uint32())<<16 | uint64(rand.Uint32N(1<<16)) | 1
	}
	s := &session{w: w, file: file, opt: f.opt, screen: wantsScreen(w, f.opt.plain)}
	return s.play(ctx)
}

// readBody reads the body that the flag gives or names.
func (f *runFlags) readBody(w world, cmd *cobra.Command) error {
	name, named := strings.CutPrefix(f.body, "@")
	switch {
	case !cmd.Flags().Changed("body"):
		return nil
	case !named:
		f.quick.Body = []byte(f.body)
		return nil
	}
	in := io.Reader(w.in)
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return usage("--body %s: %w", f.body, err)
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, scenario.MaxFile+1))
	if err != nil {
		return usage("--body %s: %w", f.body, err)
	}
	if len(text) > scenario.MaxFile {
		return usage("--body %s: larger than %d MiB, the most that is sent", f.body, scenario.MaxFile>>20)
	}
	f.quick.Body = text
	return nil
}
