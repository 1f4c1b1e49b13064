package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// groups are the parts in which the flags of a run are shown, each from the named flag on.
var groups = []struct{ title, first string }{
	{"Load", "rate"}, {"Request", "method"}, {"Fleet", "peers"}, {"Verdict", "slo"}, {"Output", "plain"},
}

// codes explains the exit codes at the end of the help of everything that runs.
const codes = `Exit codes: 0 finished, every SLO held; 1 could not be done; 2 usage or scenario; 3 peers could not be started;
4 refused by the safety rules; 96 data incomplete; 97 ended by hand; 98 with --strict, the generator was the bottleneck; 99 an SLO failed.
Every flag has a mirror in the environment: LT_MAX_IN_FLIGHT=100 is --max-in-flight 100.
`

// help prints what a command is for and how to say what it should do, the flags of a run by groups.
func help(cmd *cobra.Command, _ []string) {
	w := cmd.OutOrStdout()
	about := cmd.Short
	if cmd.Long != "" {
		about += "\n\n" + cmd.Long
	}
	fmt.Fprintf(w, "%s\n\n", about)
	usageLines(cmd, w)
	if cmd.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprint(w, "\nCommands:\n")
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				fmt.Fprintf(w, "  %-11s %s\n", c.Name(), c.Short)
			}
		}
	}
	width := widthOf(w)
	fs := cmd.LocalFlags()
	if fs.Lookup(groups[0].first) == nil {
		fmt.Fprintf(w, "\nFlags:\n%s", fs.FlagUsagesWrapped(width))
		return
	}
	part := pflag.NewFlagSet("", pflag.ContinueOnError)
	title := ""
	flush := func() {
		if part.HasFlags() {
			fmt.Fprintf(w, "\n%s:\n%s", title, part.FlagUsagesWrapped(width))
		}
		part = pflag.NewFlagSet("", pflag.ContinueOnError)
		part.SortFlags = false
	}
	fs.SortFlags = false
	fs.VisitAll(func(f *pflag.Flag) {
		for _, g := range groups {
			if f.Name == g.first {
				flush()
				title = g.title
			}
		}
		part.AddFlag(f)
	})
	flush()
	fmt.Fprintf(w, "\n%s", codes)
}

func usageLines(cmd *cobra.Command, w io.Writer) {
	fmt.Fprintf(w, "Usage:\n  %s\n", cmd.UseLine())
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "  %s COMMAND    (%s COMMAND --help says more)\n", cmd.CommandPath(), cmd.CommandPath())
	}
}

// foreign are flags of other tools, and ours that this version does not have, with what a friend would say.
var foreign = map[string]string{
	"vus": "users are -c, --users", "concurrency": "users are -c, --users", "connections": "users are -c, --users",
	"clients": "users are -c, --users", "workers": "users are -c, --users", "w": "users are -c, --users",
	"max-workers": "the most in flight is --max-in-flight",
	"u":           "users are -c; a name and password for Basic authentication are -a USER:PASSWORD",
	"threads":     "threads are not asked for: as many are taken as the load needs", "j": "threads are not asked for: as many are taken as the load needs",
	"requests": "a number of iterations is -n, --iterations", "i": "a number of iterations is -n; answers are not shown",
	"N": "a number of iterations is -n, --iterations", "s": "a journey is a scenario file in YAML: lt SCENARIO.yaml",
	"script": "a journey is a scenario file in YAML: lt SCENARIO.yaml", "f": "the scenario file needs no flag: lt SCENARIO.yaml",
	"file": "the scenario file needs no flag: lt SCENARIO.yaml", "targets": "several URLs are the steps of a scenario file: lt SCENARIO.yaml",
	"host": "the target needs no flag: lt URL", "url": "the target needs no flag: lt URL",
	"latency": "percentiles are always printed", "quiet": "there is none: --json > FILE keeps standard output for the summary",
	"silent": "there is none: --json > FILE keeps standard output for the summary", "D": "a body from a file is -b @FILE",
	"body-file": "a body from a file is -b @FILE", "data-binary": "a body from a file is -b @FILE",
	"disable-keepalive": "it is --no-keepalive", "disable-redirects": "redirects are not followed unless -L says how many",
	"location": "following redirects is -L with the most that are followed, -L 5",
	"F":        "forms with files are not in this version; a form is -b 'a=1&b=2' -T application/x-www-form-urlencoded",
	"form":     "forms with files are not in this version; a form is -b 'a=1&b=2' -T application/x-www-form-urlencoded",
	"http2":    "this version speaks HTTP/1.1 only", "h2c": "this version speaks HTTP/1.1 only", "h2": "this version speaks HTTP/1.1 only", "2": "this version speaks HTTP/1.1 only",
	"http3": "this version speaks HTTP/1.1 only", "A": "an Accept header is -H 'Accept: ...'",
	"find-knee": "this version has no search; panel 4 draws the curve of a run with rising stages (lt check ladder shows one)",
	"detach":    "this version has no detached runs; start it in tmux or screen",
	"yes":       "nothing is asked before a run but the name of a public host, which is not given unseen: --authorize HOST",
	"y":         "nothing is asked before a run but the name of a public host, which is not given unseen: --authorize HOST",
	"prom":      "this version serves no metrics; -o FILE.jsonl has a line a second",
}

// flagError turns what the flag parser says into what a friend would say.
func flagError(cmd *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
		remedy  = "lt --help lists them"
	)
	switch {
	case errors.As(err, &unknown):
		name, dashes := unknown.GetSpecifiedName(), "--"
		if unknown.GetSpecifiedShortnames() != "" {
			dashes = "-"
		}
		if text, ok := foreign[name]; ok {
			remedy = text
		} else if known := cmd.Root().Flags(); cmd != cmd.Root() && (known.Lookup(name) != nil || len(name) == 1 && known.ShorthandLookup(name) != nil) {
			return usage("%s has no flag %s%s, a run has; %s --help lists those of %s", cmd.CommandPath(), dashes, name, cmd.CommandPath(), cmd.Name())
		}
		return usage("there is no flag %s%s; %s", dashes, name, remedy)
	case errors.As(err, &missing):
		return usage("%s wants a value: %s", flagName(missing.GetFlag()), plainUsage(missing.GetFlag()))
	case errors.As(err, &invalid):
		return usage("%s: %s", flagName(invalid.GetFlag()), wrongValue(invalid.GetFlag(), invalid.GetValue()))
	}
	return usage("%w", err)
}

// flagName is a flag as the help shows it.
func flagName(f *pflag.Flag) string {
	if f.Shorthand != "" {
		return "-" + f.Shorthand + ", --" + f.Name
	}
	return "--" + f.Name
}

// plainUsage is the usage without the marks around the name of the value.
func plainUsage(f *pflag.Flag) string {
	_, text := pflag.UnquoteUsage(f)
	return text
}

// wrongValue says what a flag would take.
func wrongValue(f *pflag.Flag, value string) string {
	want := map[string]string{"bool": "true or false", "int": "a whole number", "uint64": "a whole number from 0 on", "float64": "a number"}[f.Value.Type()]
	if want == "" {
		want = plainUsage(f)
	}
	return fmt.Sprintf("%q is not %s", value, want)
}

// exactly wants so many words behind a command, and says which.
func exactly(what ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(what):
			return usage("%s is missing: lt %s %s", what[len(args)], cmd.Name(), strings.Join(what, " "))
		case len(args) > len(what):
			return usage("%q is one word too many: lt %s", args[len(what)], strings.Join(append([]string{cmd.Name()}, what...), " "))
		}
		return nil
	}
}
