package scenario

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"lt/engine/load"
)

// Plan writes in words what the file will do. Secrets are not in it. The error is the writer's.
func (f *File) Plan(w io.Writer) error {
	_, err := io.WriteString(w, f.plan())
	return err
}

func (f *File) plan() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", visible(f.Name))
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "  %s\t%s\n", name, visible(fmt.Sprintf(format, args...)))
	}
	target := f.Target
	if target == "" {
		target = "whole URLs in the steps"
	}
	row("target", "%s", target)
	if len(f.Hosts) > 0 {
		row("hosts", "%s", strings.Join(f.Hosts, ", "))
	}
	f.planLoad(row)
	f.planHTTP(row)
	if len(f.SLO) == 0 {
		row("criteria", "none: the exit code judges nothing; add slo: [\"p99 < 300ms\", \"errors < 1%%\"]")
	}
	for i, c := range f.SLO {
		name := ""
		if i == 0 {
			name = "criteria"
		}
		row(name, "%s", c.Expr)
	}
	t.Flush()
	f.planStages(&b)
	f.planScenarios(&b)
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func (f *File) planLoad(row func(name, format string, args ...any)) {
	s := &f.Load
	whole := s.Profile.Duration()
	if f.Closed {
		row("load", "closed: up to %s, each waits for its answers", users(s.Profile.Peak()))
	} else {
		spacing := "spaced at random around the rate (Poisson), as independent visitors arrive"
		if s.Arrivals == load.Even {
			spacing = "spaced evenly"
		}
		row("load", "open: up to %s arrivals/s, %s", level(s.Profile.Peak()), spacing)
	}
	length := formatDuration(whole)
	if f.Warmup > 0 {
		length += ", of which " + formatDuration(f.Warmup) + " warm-up stay out of the totals"
	}
	row("duration", "%s, then up to %s for what is in hand", length, formatDuration(s.Graceful))
	if !f.Closed {
		total := s.Profile.Integral(whole)
		if s.Iterations > 0 {
			total = min(total, float64(s.Iterations))
		}
		expected := "about " + group(total) + " iterations, about " + group(total*f.stepsAnIteration()) + " requests"
		if s.Arrivals == load.Even {
			expected = strings.ReplaceAll(expected, "about ", "")
		}
		row("expected", "%s", expected)
		row("limits", "%s in flight; an arrival that waits longer than %s is dropped and counted", group(float64(s.MaxInFlight)), formatDuration(s.DropAfter))
	}
	if s.Iterations > 0 {
		row("iterations", "the run ends after %s, if its time is not over before", group(float64(s.Iterations)))
	}
	if s.MaxRate > 0 {
		row("ceiling", "nothing goes above %s by hand", level(s.MaxRate))
	}
	pause := f.pauseAnIteration()
	if pause > 0 {
		row("think time", "%s an iteration, on average", short(pause))
	}
	if !f.Closed {
		n := s.Profile.Peak() * pause.Seconds()
		// Little's law, L = lambda W: so many are within an iteration at once, if the target answers at once.
		row("users", "at least %s at once at the peak (rate x think time, Little's law), and so many connections; more as answers take longer", group(math.Max(1, math.Ceil(n))))
	}
	if out := f.bytesAnIteration(); !f.Closed && out > 0 {
		row("bandwidth", "sends about %s an iteration, %s/s at the peak; what answers weigh is not known before", size(out), size(out*s.Profile.Peak()))
	}
	if s.Seed != 0 {
		row("seed", "%d", s.Seed)
	}
}

// stepsAnIteration is the mean number of requests of an iteration, by weight.
func (f *File) stepsAnIteration() float64 {
	sum, weight := 0.0, 0.0
	for _, sc := range f.Scenarios {
		sum += float64(sc.Weight * len(sc.Steps))
		weight += float64(sc.Weight)
	}
	return sum / math.Max(1, weight)
}

// bytesAnIteration is about what an iteration sends, by weight: what the templates hold as they stand, with their headers.
func (f *File) bytesAnIteration() float64 {
	sum, weight := 0.0, 0.0
	for _, sc := range f.Scenarios {
		weight += float64(sc.Weight)
		for _, st := range sc.Steps {
			n := len(st.Method) + len(st.URL) + len(" HTTP/1.1\r\nHost: \r\nUser-Agent: lt\r\n\r\n") + len(f.Target) + len(st.Text) + len(st.Data)
			for _, pairs := range [][]Pair{st.HTTP.Headers, st.Headers, st.Query, st.Form} {
				for _, p := range pairs {
					n += len(p.Name) + len(p.Value) + len(": \r\n")
				}
			}
			sum += float64(sc.Weight * n)
		}
	}
	return sum / math.Max(1, weight)
}

// size writes bytes for people.
func size(n float64) string {
	for _, u := range []struct {
		bytes float64
		name  string
	}{{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= u.bytes {
			return fmt.Sprintf("%.3g %s", n/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%.0f B", n)
}

// pauseAnIteration is the mean think time of an iteration, by weight. In the open model an iteration ends with its last
// answer, so what stands after the last step does not count.
func (f *File) pauseAnIteration() time.Duration {
	sum, weight := 0.0, 0.0
	for _, sc := range f.Scenarios {
		weight += float64(sc.Weight)
		for i, st := range sc.Steps {
			if st.Think != nil && (f.Closed || i < len(sc.Steps)-1) {
				sum += float64(sc.Weight) * float64(st.Think.Mean()) * f.ThinkTimes
			}
		}
	}
	return time.Duration(math.Min(sum/math.Max(1, weight), float64(load.MaxDuration)))
}

func (f *File) planHTTP(row func(name, format string, args ...any)) {
	words := []string{"kept, one a user and host", "new for each iteration", "new for each request"}
	row("connections", "%s", f.most(func(h *HTTP) string { return words[h.Connections] }))
	row("timeouts", "%s", f.most(func(h *HTTP) string {
		return formatDuration(h.Timeout) + " a step, " + formatDuration(h.ConnectTimeout) + " to connect"
	}))
	row("redirects", "%s", f.most(func(h *HTTP) string {
		if h.Redirects == 0 {
			return "not followed"
		}
		return fmt.Sprintf("at most %d followed", h.Redirects)
	}))
	steps, blind := f.steps(), 0
	for _, st := range steps {
		if st.HTTP.TLS.Insecure {
			blind++
		}
	}
	switch {
	case blind == len(steps) && blind > 0:
		row("tls", "certificates are NOT checked")
	case blind > 0:
		row("tls", "certificates are NOT checked in %d of %d steps", blind, len(steps))
	}
	h := &f.HTTP
	if h.Proxy != "" {
		_, host, _ := strings.Cut(h.Proxy, "://")
		row("proxy", "%s", host[strings.LastIndexByte(host, '@')+1:])
	}
	if h.UnixSocket != "" {
		row("socket", "%s", h.UnixSocket)
	}
}

// most is what most steps say of their settings, and how many say otherwise.
func (f *File) most(say func(h *HTTP) string) string {
	steps := f.steps()
	count := map[string]int{}
	for _, st := range steps {
		count[say(&st.HTTP)]++
	}
	best := say(&f.HTTP)
	for _, st := range steps {
		if s := say(&st.HTTP); count[s] > count[best] {
			best = s
		}
	}
	if others := len(steps) - count[best]; others > 0 {
		best += fmt.Sprintf("; otherwise in %d of %d steps", others, len(steps))
	}
	return best
}

func (f *File) planStages(b *strings.Builder) {
	unit := "/s"
	if f.Closed {
		unit = " users"
	}
	b.WriteString("\nStages\n")
	t := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	before := 0.0
	edges := f.Load.Profile.Edges()
	for i, s := range f.Load.Profile.Stages {
		what := "hold " + level(s.At) + unit
		if s.Ramp {
			what = fmt.Sprintf("from %s to %s%s", level(before), level(s.At), unit)
			switch s.Curve {
			case load.Exponential:
				what += ", exponential"
			case load.Steps:
				what += fmt.Sprintf(" in %d steps of %s", s.Steps, short(s.For/time.Duration(max(1, s.Steps))))
			}
		}
		if s.Warmup {
			what += ", warm-up"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", clock(edges[i]), visible(s.Name), formatDuration(s.For), what)
		before = s.At
	}
	t.Flush()
}

func (f *File) planScenarios(b *strings.Builder) {
	total := 0
	for _, sc := range f.Scenarios {
		total += sc.Weight
	}
	b.WriteString("\nScenarios\n")
	for _, sc := range f.Scenarios {
		fmt.Fprintf(b, "  %s, %s %% of iterations", visible(sc.Name), level(100*float64(sc.Weight)/float64(max(1, total))))
		if sc.Pacing > 0 {
			fmt.Fprintf(b, ", one every %s", formatDuration(sc.Pacing))
		}
		b.WriteByte('\n')
		t := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
		for _, part := range []struct {
			word  string
			steps []*Step
		}{{"once a user", sc.Setup}, {"", sc.Steps}, {"at the end", sc.Teardown}} {
			for _, st := range part.steps {
				fmt.Fprintf(t, "    %s\t%s\t%s\n", visible(st.Name), request(st), strings.Join(st.notes(part.word), ", "))
			}
		}
		t.Flush()
	}
}

// request is method and URL of a step, unless its name says them already.
func request(st *Step) string {
	if s := shortName(st.Method + " " + st.URL); !strings.HasPrefix(st.Name, s) {
		return s
	}
	return ""
}

// notes say in a few words what is special about a step.
func (st *Step) notes(first string) []string {
	var out []string
	if first != "" {
		out = append(out, first)
	}
	c := &st.Check
	if n := len(c.Contains) + len(c.NotContains) + len(c.Matches) + len(c.Headers) + len(c.JSON); n > 0 || len(c.Status) > 0 || c.Time > 0 || c.Size != nil {
		if len(c.Status) > 0 {
			n++
		}
		if c.Time > 0 {
			n++
		}
		if c.Size != nil {
			n++
		}
		out = append(out, fmt.Sprintf("%d checks", n))
		if n == 1 {
			out[len(out)-1] = "1 check"
		}
	}
	if n := len(st.Extract); n > 0 {
		names := make([]string, n)
		for i, e := range st.Extract {
			names[i] = e.Name
		}
		out = append(out, "takes "+list(names))
	}
	if st.Think != nil {
		out = append(out, "then "+st.Think.String())
	}
	return out
}

func users(n float64) string {
	if n == 1 {
		return "1 user"
	}
	return group(n) + " users"
}

// level writes a rate with what is worth reading of it.
func level(v float64) string {
	if v == math.Trunc(v) {
		return group(v)
	}
	return formatNumber(math.Round(v*1000) / 1000)
}

// short writes a duration to the millisecond.
func short(d time.Duration) string { return formatDuration(d.Round(time.Millisecond)) }

// clock writes a run time as m:ss or h:mm:ss.
func clock(d time.Duration) string {
	s := int64(d / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// group writes a whole number with commas between thousands.
func group(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
