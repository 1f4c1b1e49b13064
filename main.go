// Command lt is a load tester for the terminal: scenarios of many steps, response times from the intended start, and the
// truth about its own share in what was measured.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"lt/engine/redact"
	"lt/peer/sshproc"
)

// version is set by the release build.
var version = ""

// The exit codes; the first that applies, in the order 4, 3, 2, 1, 96, 98, 99, 97, is the one of the program.
const (
	exitDone    = 0
	exitFailed  = 1 // the run could not be done
	exitUsage   = 2 // usage, scenario or configuration
	exitPeers   = 3 // peers could not be started
	exitRefused = 4 // by the safety rules
)

func main() {
	if code, ours := sshproc.Askpass(os.Args[1:], os.Getenv, os.Stdout); ours {
		os.Exit(code)
	}
	os.Exit(run(context.Background(), system()))
}

// world is what surrounds the program, so that a test can be all of it.
type world struct {
	args           []string
	in             *os.File
	stdout, stderr io.Writer
	getenv         func(string) string
}

func system() world {
	return world{args: os.Args[1:], in: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
}

// coded is an error that knows the exit code that it means.
type coded struct {
	code int
	err  error
}

func (c coded) Error() string { return c.err.Error() }
func (c coded) Unwrap() error { return c.err }

// usage marks an error as one of the command line, the scenario or the configuration.
func usage(format string, args ...any) error { return coded{exitUsage, fmt.Errorf(format, args...)} }

// run is the whole program; it returns the exit code.
func run(ctx context.Context, w world) int {
	root := commands(ctx, w)
	root.SetArgs(friendly(w.args, root))
	root.SetOut(w.stdout)
	root.SetErr(w.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var c coded
	if !errors.As(err, &c) {
		c = coded{exitUsage, err}
	}
	// What a user typed comes back in the sentence, and with it what a URL may hold.
	if text := redact.New(nil).Text(c.Error()); text != "" {
		fmt.Fprintln(w.stderr, "lt: "+strings.TrimRight(text, "\n"))
	}
	return c.code
}

// commands builds the tree of commands.
func commands(ctx context.Context, w world) *cobra.Command {
	root := &cobra.Command{
		Use:           "lt [run] SCENARIO.yaml | URL [flags]",
		Short:         "Load test from the terminal: journeys in YAML, true percentiles, one binary",
		SilenceErrors: true, SilenceUsage: true,
		Version:               versionText(),
		Args:                  cobra.ArbitraryArgs,
		DisableFlagsInUseLine: true,
	}
	root.SetVersionTemplate("lt {{.Version}}\n")
	root.SetHelpFunc(help)
	root.SetFlagErrorFunc(flagError)
	root.Example = "  lt demo                    the first thing to try\n  lt URL                     50 arrivals/s for 30 s\n  lt SCENARIO.yaml           a journey of several steps"
	f := addRunFlags(root)
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && cmd.Flags().NFlag() == 0 {
			return home(w)
		}
		return f.run(ctx, w, cmd, args)
	}
	runCmd := &cobra.Command{Use: "run SCENARIO.yaml | URL [flags]", Short: "Run a scenario or load one URL", DisableFlagsInUseLine: true, Args: cobra.ArbitraryArgs}
	rf := addRunFlags(runCmd)
	runCmd.RunE = func(cmd *cobra.Command, args []string) error { return rf.run(ctx, w, cmd, args) }
	root.AddCommand(runCmd, demoCommand(ctx, w), targetCommand(ctx, w), checkCommand(w), runsCommand(w), reportCommand(w), proveCommand(ctx, w), agentCommand(ctx, w))
	return root
}

// versionText is the release's version, or what the build knows about itself.
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

// friendly puts the command line into the form that the flag parser knows: other tools' short names become ours, and a first
// word that names no command is a scenario or a URL.
func friendly(args []string, root *cobra.Command) []string {
	out := make([]string, 0, len(args)+1)
	ours := true // for a run, not for another command
	for i, a := range args {
		if i == 0 && !strings.HasPrefix(a, "-") {
			known := a == "help" || a == "completion" || strings.HasPrefix(a, "__")
			for _, c := range root.Commands() {
				known = known || c.Name() == a
			}
			ours = !known || a == "run" || a == "demo"
			if !known {
				out = append(out, "run")
			}
		}
		if !ours {
			out = append(out, a)
			continue
		}
		a = longName(a)
		if a == "-L" && (i+1 == len(args) || !digits(args[i+1])) {
			a = "--redirects=" + follow
		}
		out = append(out, a)
	}
	return out
}

// longName is our flag for another tool's short one, with the value if that stands right behind it, as in -XPOST.
func longName(arg string) string {
	if len(arg) < 2 {
		return arg
	}
	long, ok := shortAliases[arg[:2]]
	switch value := strings.TrimPrefix(arg[2:], "="); {
	case !ok:
		return arg
	case len(arg) == 2:
		return long
	default:
		return long + "=" + value
	}
}

// follow stands for the number that a bare -L has not got: elsewhere the flag means "follow", here it wants to know how
// many, and the error says so.
const follow = "?"

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
