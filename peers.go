package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"lt/engine/load"
	"lt/engine/scenario"
	"lt/peer"
	"lt/tui/chart"
)

// The policies for a lost peer, and for one that is strained.
const (
	lossRedistribute = "redistribute"
	lossContinue     = "continue"
	lossStop         = "stop"
	rebalanceAuto    = "auto"
	rebalanceOff     = "off"
)

// fleetOptions are the flags about further machines; which they are stands in scenario.File.Peers, where --peers is put.
type fleetOptions struct {
	peers     string            // as typed; empty: those of the file
	noLocal   bool              // this machine makes no load itself
	ssh       string            // the command that stands for ssh, as in GIT_SSH_COMMAND; empty: ssh
	minPeers  int               // so many have to come up; 0: all
	builds    []string          // as typed
	binaries  map[string]string // programs for other machines, OS/ARCH to path
	onLoss    string            // redistribute, continue or stop
	rebalance string            // auto or off
}

// addPlan declares the flags that the plan depends on.
func (o *fleetOptions) addPlan(fs *pflag.FlagSet) {
	fs.StringVarP(&o.peers, "peers", "p", "", "machines that make a part of the load, `LIST`: a,b,user@c:2222=2 as for ssh; =2 is a weight")
	fs.BoolVar(&o.noLocal, "no-local", false, "this machine makes no load itself")
	fs.StringVar(&o.onLoss, "on-peer-loss", lossRedistribute, "`POLICY` when a peer is lost: redistribute, continue or stop")
}

// add declares all of them.
func (o *fleetOptions) add(fs *pflag.FlagSet) {
	o.addPlan(fs)
	fs.StringVar(&o.ssh, "ssh", "", "`COMMAND` in place of ssh, as in GIT_SSH_COMMAND")
	fs.IntVar(&o.minPeers, "min-peers", 0, "begin when at least `N` peers are ready (all of them)")
	fs.StringArrayVar(&o.builds, "peer-binary", nil, "the program for peers of another kind, `OS/ARCH=PATH` (repeatable)")
	fs.StringVar(&o.rebalance, "rebalance", rebalanceAuto, "`HOW` a strained peer gives load to others: auto or off")
}

// apply checks the flags and puts the peers that they name into the file.
func (o *fleetOptions) apply(f *scenario.File) error {
	if o.peers != "" {
		list, err := scenario.ParsePeers(o.peers)
		if err != nil {
			return usage("--peers: %w", err)
		}
		f.Peers = list
	}
	n := len(f.Peers)
	switch {
	case o.noLocal && n == 0:
		return usage("--no-local leaves nobody to make the load: name peers with --peers")
	case o.minPeers < 0 || o.minPeers > n:
		return usage("--min-peers %d: a number from 1 to that of the peers, %d", o.minPeers, n)
	case !slices.Contains([]string{lossRedistribute, lossContinue, lossStop}, o.onLoss):
		return usage("--on-peer-loss %s: redistribute, continue or stop", o.onLoss)
	case o.rebalance != "" && o.rebalance != rebalanceAuto && o.rebalance != rebalanceOff:
		return usage("--rebalance %s: auto or off", o.rebalance)
	}
	for _, b := range o.builds {
		system, path, ok := strings.Cut(b, "=")
		goos, arch, both := strings.Cut(system, "/")
		if !ok || !both || goos == "" || arch == "" || path == "" {
			return usage("--peer-binary %s: write it as OS/ARCH=PATH, for example linux/arm64=./lt-linux-arm64", b)
		}
		if o.binaries == nil {
			o.binaries = map[string]string{}
		}
		if _, twice := o.binaries[system]; twice {
			return usage("--peer-binary %s: %s was given twice", b, system)
		}
		o.binaries[system] = path
	}
	return nil
}

// source is one source in the plan.
type source struct {
	peer.Part
	label, target string
}

// sources are those of a run in the order of its tables, with the weights that are known before anybody was asked. guessed is set if
// they are the cores of machines that have not told them yet.
func (o *fleetOptions) sources(f *scenario.File) (out []source, guessed bool) {
	var given []int
	if !o.noLocal {
		out, given = append(out, source{Part: peer.Part{Name: "local"}}), append(given, 0)
	}
	for _, p := range f.Peers {
		out, given = append(out, source{peer.Part{Name: p.Name}, p.Label, p.Target}), append(given, p.Weight)
	}
	cores := slices.Repeat([]int{runtime.GOMAXPROCS(0)}, len(given))
	for i, w := range peer.Weights(given, cores) {
		out[i].Weight = w
	}
	return out, len(f.Peers) > 0 && !slices.ContainsFunc(given, func(w int) bool { return w > 0 })
}

// localShare is the part of the load, 0..1, that this machine makes by the weights known before the start.
func (o *fleetOptions) localShare(f *scenario.File) float64 {
	all, _ := o.sources(f)
	own, total := 0, 0
	for i, s := range all {
		if total += s.Weight; i == 0 && !o.noLocal {
			own = s.Weight
		}
	}
	return float64(own) / float64(max(1, total))
}

// plan writes in words who makes which part of the load, what that asks of each, and what the loss of one would mean. Nobody is
// asked for it.
func (o *fleetOptions) plan(w io.Writer, f *scenario.File) error {
	if len(f.Peers) == 0 {
		return nil
	}
	var b strings.Builder
	all, guessed := o.sources(f)
	parts, total := make([]peer.Part, len(all)), 0
	for i, s := range all {
		parts[i] = s.Part
		total += s.Weight
	}
	peak := f.Load.Profile.Peak()
	b.WriteString("\nSources\n")
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, g := range alike(all, func(a, b source) bool { return a.Weight == b.Weight && a.label == b.label && a.target == b.target }) {
		s := all[g[0]]
		share := float64(s.Weight) / float64(total)
		each := ""
		if len(g) > 1 {
			each = " each"
		}
		need := peer.Need(f, false, share)
		notes := []string{fmt.Sprintf("%s of the load%s, up to %s", fraction(s.Weight, total), each, o.amount(f, peak*share))}
		notes = append(notes, fmt.Sprintf("at most %s connections (%s descriptors, %s local ports to one destination)",
			chart.Count(uint64(need.Connections)), chart.Count(uint64(need.Descriptors())), chart.Count(uint64(need.LocalPorts()))))
		if s.label != "" {
			notes = append(notes, "label "+s.label)
		}
		if s.target != "" {
			notes = append(notes, "loads "+s.target)
		}
		fmt.Fprintf(t, "  %s\t%s\n", names(all, g), strings.Join(notes, "; "))
	}
	t.Flush()
	if guessed {
		b.WriteString("  Without a weight a source counts its cores; peers tell theirs when they start, and are taken to be like this machine here.\n")
	}
	fmt.Fprintf(&b, "\nIf a peer is lost (--on-peer-loss %s)\n", o.onLoss)
	t = tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, g := range alike(all, func(a, b source) bool { return a.Weight == b.Weight }) {
		if !o.noLocal && g[0] == 0 { // what ends this machine ends the run
			if g = g[1:]; len(g) == 0 {
				continue
			}
		}
		one := ""
		if len(g) > 1 {
			one = "one of "
		}
		fmt.Fprintf(t, "  %s%s\t%s\n", one, names(all, g), o.loss(f, all, parts, peak, g[0]))
	}
	t.Flush()
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	_, err := io.WriteString(w, strings.Join(lines, "\n"))
	return err
}

// loss says what follows from the loss of one source.
func (o *fleetOptions) loss(f *scenario.File, all []source, parts []peer.Part, peak float64, gone int) string {
	total := 0
	for _, p := range parts {
		total += p.Weight
	}
	share := 100 * float64(parts[gone].Weight) / float64(total)
	switch {
	case o.onLoss == lossStop:
		return "the run is drained and ends"
	case len(all) == 1:
		return "nobody is left, and the run ends"
	case o.onLoss == lossContinue:
		return fmt.Sprintf("%.3g %% of the load is missing from then on, and the report says so", share)
	}
	l := peer.Loss(parts, peak, gone)
	var who []string
	for _, g := range alike(all, func(a, b source) bool { return a.Weight == b.Weight }) {
		if g = slices.DeleteFunc(slices.Clone(g), func(i int) bool { return i == gone }); len(g) > 0 {
			who = append(who, fmt.Sprintf("those with %s to %s each", fraction(all[g[0]].Weight, total), o.amount(f, l.Levels[g[0]])))
		}
	}
	text := "within 18 s its part goes to the others: " + strings.Join(who, ", ")
	if l.Missing > 0 {
		text += fmt.Sprintf("; %.3g %% of the load is missing, as a source takes at most %g times its own part", 100*l.Missing, peer.Elastic)
	}
	return text
}

// amount is a level in words.
func (o *fleetOptions) amount(f *scenario.File, level float64) string {
	if f.Load.Model == load.Closed {
		return chart.Count(uint64(math.Ceil(level))) + " users"
	}
	return strings.TrimSuffix(chart.Number(level), ".0") + " arrivals/s"
}

// alike groups the numbers of sources that are the same to the eye, in the order of the first of each.
func alike(all []source, same func(a, b source) bool) [][]int {
	var groups [][]int
next:
	for i := range all {
		for g := range groups {
			if same(all[groups[g][0]], all[i]) {
				groups[g] = append(groups[g], i)
				continue next
			}
		}
		groups = append(groups, []int{i})
	}
	return groups
}

// names lists sources, many of them shortly.
func names(all []source, group []int) string {
	if len(group) > 4 {
		return fmt.Sprintf("%s ... %s (%d)", all[group[0]].Name, all[group[len(group)-1]].Name, len(group))
	}
	out := make([]string, len(group))
	for i, n := range group {
		out[i] = all[n].Name
	}
	return strings.Join(out, ", ")
}

// fraction writes a part of a whole in lowest terms.
func fraction(part, whole int) string {
	a, b := part, whole
	for b != 0 {
		a, b = b, a%b
	}
	if part == whole {
		return "all"
	}
	return fmt.Sprintf("%d/%d", part/a, whole/a)
}
