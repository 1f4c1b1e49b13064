package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"

	"lt/engine/history"
	"lt/engine/ledger"
	"lt/engine/redact"
	"lt/engine/report"
	"lt/engine/scenario"
	"lt/engine/slo"
	"lt/scenarios"
	"lt/tui/chart"
)

// home is what lt says when it is asked nothing.
func home(w world) error {
	fmt.Fprint(w.stdout, "lt loads a target and tells the truth about it.\n\n  lt demo                    the first thing to try\n  lt URL                     50 arrivals/s for 30 s\n  lt SCENARIO.yaml           a journey of several steps\n  lt --help                  everything else\n")
	if dir, err := history.Dir(w.getenv); err == nil {
		if runs, err := history.List(dir); err == nil && len(runs) > 0 {
			fmt.Fprintln(w.stdout, "\nLast runs:")
			printRuns(w, runs[:min(5, len(runs))])
		}
	}
	fmt.Fprintln(w.stdout, "\nShipped scenarios, to read and copy from (lt check NAME prints one in words):")
	for _, s := range scenarios.List() {
		fmt.Fprintf(w.stdout, "  %-14s %s\n", s.Name, s.Title)
	}
	return nil
}

// checkCommand parses a scenario and says in words what it would do.
func checkCommand(w world) *cobra.Command {
	var o fleetOptions
	cmd := &cobra.Command{
		Use: "check SCENARIO.yaml", Short: "Parse and validate a scenario; print the plan in words", Args: exactly("SCENARIO.yaml"),
		Long: "Nothing is sent and no peer is asked: with peers, of the file or --peers, the plan has the share of each source, what it asks of\n" +
			"that machine, and what the loss of one would mean.",
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := openScenario(args[0])
			if err != nil {
				return coded{exitUsage, err}
			}
			if err := o.apply(file); err != nil {
				return err
			}
			if err := file.Plan(w.stdout); err != nil {
				return coded{exitFailed, fmt.Errorf("print the plan: %w", err)}
			}
			if exprs, longest := slo.Unjudged(file); len(exprs) > 0 {
				fmt.Fprintf(w.stdout, "\nCriteria with a window that never fills: %v count in a row at the most, and what nothing is measured for has failed\n", longest)
				for _, x := range exprs {
					fmt.Fprintf(w.stdout, "  %s\n", redact.Neutralise(x))
				}
			}
			return o.plan(w.stdout, file)
		},
	}
	o.addPlan(cmd.Flags())
	return cmd
}

// openScenario reads a file, or a shipped scenario by its name if there is no such file.
func openScenario(name string) (*scenario.File, error) {
	file, err := scenario.Load(name, scenarioEnv())
	if errors.Is(err, os.ErrNotExist) {
		if text, shipped := scenarios.Open(name); shipped == nil {
			return scenario.Parse(name+".yaml", text, scenarioEnv())
		}
		return nil, fmt.Errorf("%s: there is no such file, and no shipped scenario of that name; lt alone lists those", name)
	}
	return file, err
}

// runsCommand lists what was recorded.
func runsCommand(w world) *cobra.Command {
	return &cobra.Command{
		Use: "runs", Short: "List the recorded runs, the newest first", Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			dir, err := history.Dir(w.getenv)
			if err != nil {
				return coded{exitFailed, err}
			}
			runs, err := history.List(dir)
			if err != nil {
				return coded{exitFailed, err}
			}
			if len(runs) == 0 {
				fmt.Fprintln(w.stdout, "No run was recorded yet; lt demo makes one.")
				return nil
			}
			printRuns(w, runs)
			return nil
		},
	}
}

// reportCommand writes reports of a recorded run.
func reportCommand(w world) *cobra.Command {
	var out []string
	cmd := &cobra.Command{
		Use: "report RUN", Short: "Write a recorded run as a report: -o x.json, .csv, .md, .xml, .jsonl, .hlog, .lt", Args: exactly("RUN"),
		Long: "RUN is an id or its beginning, a name, of which the newest run counts, \"last\", or the path of a .lt file. Without -o the table is\nprinted.",
		RunE: func(_ *cobra.Command, args []string) error {
			for _, o := range out {
				if err := writable(o); err != nil {
					return err
				}
			}
			dir, _ := history.Dir(w.getenv) // without one Open still finds what has a path, and says so of the rest
			l, e, err := history.Open(dir, args[0])
			if err != nil {
				return coded{exitUsage, err}
			}
			if e.Torn != "" {
				fmt.Fprintf(w.stderr, "note: %s\n", e.Torn)
			}
			if len(out) == 0 {
				style := report.Style{Width: widthOf(w.stdout), Colour: colourOf(w, false), Record: e.Path, Exit: -1} // it is not the run that ends here
				if e.Path == args[0] {                                                                                // it need not be among the recorded ones
					style.Reopen = args[0]
				}
				if err := report.Table(w.stdout, l, style); err != nil {
					return coded{exitFailed, fmt.Errorf("print the table: %w", err)}
				}
				return nil
			}
			s := session{w: w, ledger: l, path: e.Path}
			if err := s.writeAll(out); err != nil {
				return coded{exitFailed, err}
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVarP(&out, "out", "o", nil, "`FILE` to write; its suffix says the kind (repeatable)")
	return cmd
}

// printRuns prints a table of recorded runs. What it shows of them was written by whoever made the record.
func printRuns(w world, runs []history.Entry) {
	fmt.Fprintf(w.stdout, "%-10s  %-16s  %-24s  %8s  %10s  %10s  %s\n", "id", "started", "name", "length", "requests", "p99", "state")
	for i := range runs {
		e := &runs[i]
		requests, p99 := chart.None, chart.None
		if e.Summed {
			requests = chart.Count(e.Requests)
			if e.P99 > 0 {
				p99 = bound(e.P99, e.AtLeast)
			}
		}
		fmt.Fprintf(w.stdout, "%-10s  %-16s  %s  %8s  %10s  %10s  %s\n", redact.Neutralise(e.ID), e.Started.Local().Format("2006-01-02 15:04"),
			cell(redact.Neutralise(e.Name), 24), chart.Clock(e.Duration.Round(time.Second)), requests, p99, standing(e))
	}
}

// cell is a text in so many columns of a terminal, cut off or filled up.
func cell(s string, width int) string {
	s = ansi.Truncate(s, width, "…")
	return s + strings.Repeat(" ", width-chart.Width(s))
}

// standing says how a record ends, in words.
func standing(e *history.Entry) string {
	switch e.State {
	case history.Running:
		return "running"
	case history.Interrupted:
		return "cut short at " + chart.Clock(e.Duration.Round(time.Second))
	case history.Unreadable:
		return "unreadable: " + redact.Neutralise(e.Torn)
	}
	switch e.Ended {
	case ledger.ByUser:
		return "ended by hand"
	case ledger.BySLO:
		return "ended by an SLO"
	case ledger.Failed:
		return "failed"
	}
	return "finished"
}
