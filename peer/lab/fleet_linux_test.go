package lab

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fleetRun is a run of lt over the hosts of a lab, with a target that tells what it did.
type fleetRun struct {
	*Run
	t      testing.TB
	lab    *Lab
	target *Target
	plan   Plan
	zero   time.Duration // run time zero on the target's clock
	mu     sync.Mutex
	waited []Wait // see Plan
}

// detected, silent and moved are the bounds of a fleet whose lease is 15 s: from a fault until it is noticed, until a peer that is
// cut off has ended by itself, and until others have its share.
const (
	detected = 6500 * time.Millisecond
	silent   = 15500 * time.Millisecond
	moved    = 18 * time.Second
)

// scenario writes one whose requests say who they are, at a constant rate of even arrivals. More is further text of the file.
func (l *Lab) scenario(target *Target, rate float64, length time.Duration, more string) string {
	l.t.Helper()
	name := fmt.Sprintf("s%d.yaml", time.Now().UnixNano())
	if !strings.Contains(more, "steps:") {
		more += "\nsteps: [{get: /}]\n"
	}
	return l.write(filepath.Join(l.Dir, name), fmt.Sprintf("name: lab\ntarget: %s\nhttp: {trace: x-request-id, timeout: 5s}\nload: {rate: %g, for: %v, arrivals: even, graceful: 5s}\n%s",
		target.URL, rate, length, more))
}

// fleet starts a run over some hosts and waits until it has begun.
func (l *Lab) fleet(peers string, rate float64, length time.Duration, args ...string) *fleetRun {
	l.t.Helper()
	l.Install()
	target := NewTarget(l.t, l.Listen)
	f := &fleetRun{t: l.t, lab: l, target: target, plan: Plan{Rate: rate, For: length, Silent: map[int]time.Duration{}}}
	f.Run = l.Start(append([]string{"run", l.scenario(target, rate, length, ""), "--peers", peers, "--ssh", l.SSH(), "--plain", "--rebalance", "off"}, args...)...)
	f.begun()
	return f
}

func (f *fleetRun) begun() {
	f.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() { f.watch(ctx) })
	f.t.Cleanup(func() { stop(); watch.Wait() })
	Await(f.t, 90*time.Second, "the first request", func() bool {
		if f.Ended() {
			f.t.Fatalf("lt ended with %d before the first request", f.Wait(time.Second))
		}
		return f.target.Count() > 0
	})
	h := f.target.Hits()[0]
	f.zero = h.At // where there are users, the first begins at once
	if f.plan.Rate > 0 {
		f.zero -= time.Duration((float64(h.Index) + 0.5) / f.plan.Rate * float64(time.Second))
	}
}

// watch notes when a thread of lt, here or on a host, or of what carries its packets, was ready to run and could not, and when a
// processor was not there. It may come late itself, so what it notes is between its looks, whenever they were.
func (f *fleetRun) watch(ctx context.Context) {
	ticks := time.NewTicker(look)
	defer ticks.Stop()
	const processors = 0 // in place of a process
	before := map[int]map[string]time.Duration{}
	carriers := carriers()
	var pids []int
	last := f.target.Now()
	for n := 0; ; n++ {
		if n%int(time.Second/look) == 0 {
			pids = append([]int{processors, f.PID}, carriers...)
			for _, p := range Processes() {
				if p.marked(f.lab.Dir) && slices.Contains(p.Args, "agent") {
					pids = append(pids, p.PID)
				}
			}
		}
		longest := time.Duration(0)
		for _, pid := range pids {
			now := stolen()
			if pid != processors {
				now = waited(pid)
			}
			for thread, d := range now {
				if was, ok := before[pid][thread]; ok {
					longest = max(longest, d-was)
				}
			}
			before[pid] = now
		}
		now := f.target.Now()
		if longest > 0 {
			f.mu.Lock()
			f.waited = append(f.waited, Wait{From: last, At: now, For: longest})
			f.mu.Unlock()
		}
		last = now
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
	}
}

// waits are the times that watch noted so far.
func (f *fleetRun) waits() []Wait {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.waited)
}

// at waits for a run time.
func (f *fleetRun) at(t time.Duration) {
	f.t.Helper()
	wait := f.zero + t - f.target.Now()
	if wait < -time.Second {
		f.t.Fatalf("run time %v is over since %v", t, -wait)
	}
	time.Sleep(wait)
}

// now is the run time.
func (f *fleetRun) now() time.Duration { return f.target.Now() - f.zero }

// does is what a test does to a run at a run time, and the run times before and after it: on a machine that does more besides, to cut
// a network takes its time.
func (f *fleetRun) does(at time.Duration, what func()) (from, to time.Duration) {
	f.t.Helper()
	f.at(at)
	from = f.now()
	what()
	return from, f.now()
}

// by is the run time at which something that takes so long from another on is done, not counting the time for which the machine
// stood still.
func (f *fleetRun) by(from, within time.Duration) time.Duration {
	return from + within + stood(f.target.Stood(), f.zero+from, f.zero+from+within)
}

// says wants something to be said within a while of a run time, not counting the time for which the machine stood still.
func (f *fleetRun) says(pattern string, from, within time.Duration) {
	f.t.Helper()
	within = f.by(from, within) - from
	offset := f.Began.Sub(f.target.Began) - f.zero // of the lines' clock against run time
	var at []time.Duration
	for _, l := range f.Lines(pattern) {
		if t := l.At + offset; t >= from-50*time.Millisecond && t <= from+within+300*time.Millisecond { // lines are printed four times a second
			return
		} else {
			at = append(at, t.Round(time.Millisecond))
		}
	}
	f.t.Errorf("nothing like %q was said from run time %v on within %v; it was at %v", pattern, from, within, at)
}

// never wants something not to be said.
func (f *fleetRun) never(pattern string) {
	f.t.Helper()
	for _, l := range f.Lines(pattern) {
		f.t.Errorf("said %q", l.Text)
	}
}

// silentFrom holds a source to silence from a run time on.
func (f *fleetRun) silentFrom(source int, t time.Duration) { f.plan.Silent[source] = f.zero + t }

// end waits for the end of the run, and checks what came of it against what the target saw.
func (f *fleetRun) end(code int) (*Summary, Findings) {
	f.t.Helper()
	if got := f.Wait(f.plan.For + 60*time.Second - min(f.now(), f.plan.For)); got != code {
		f.t.Errorf("the exit code is %d, want %d", got, code)
	}
	f.Clean()
	s := f.Summary()
	return s, f.check(s)
}

func (f *fleetRun) check(s *Summary) Findings {
	f.t.Helper()
	f.plan.Stood, f.plan.Waited = f.target.Stood(), f.waits()
	found := Check(f.target.Hits(), f.plan, s)
	for _, w := range found.Wrong {
		f.t.Error(w)
	}
	f.t.Logf("%d requests of %d arrivals, %d missing, busiest second %d, latest %v, clocks %v apart", found.Requests, found.Arrivals, found.Missing,
		found.Busiest, found.Latest.Round(time.Millisecond), found.Skew.Round(time.Microsecond))
	return found
}

// dealt is the run time from which on shares are as lt last said that they were, of what it said about the time before a run time.
func (f *fleetRun) dealt(before time.Duration) (at time.Duration) {
	f.t.Helper()
	re := regexp.MustCompile(`from (\d+):(\d\d\.\d) on `)
	for _, l := range f.Lines(re.String()) {
		m := re.FindStringSubmatch(l.Text)
		d, err := time.ParseDuration(m[1] + "m" + m[2] + "s")
		if err != nil {
			f.t.Fatal(err)
		}
		if d += 100 * time.Millisecond; d < before { // it is said in tenths of a second
			at = max(at, d)
		}
	}
	if at == 0 {
		f.t.Fatal("nothing was said of shares that moved")
	}
	return at
}

// takes holds those who are left to their shares: of the arrivals that are due between two run times so great a part comes, and
// nothing of the rest. What a source is due is known to the arrival, so nothing but a machine that stood still for longer than
// arrivals are caught up takes from it; where shares are parts of arrivals, each source may have one more or less.
func (f *fleetRun) takes(part float64, from, to time.Duration) {
	f.t.Helper()
	first, last := int64(f.plan.Rate*from.Seconds()), int64(f.plan.Rate*to.Seconds())
	came, sources := map[int64]bool{}, map[int]bool{}
	for _, h := range f.target.Hits() {
		if h.Index >= first && h.Index < last {
			came[h.Index], sources[h.Source] = true, true
		}
	}
	want, spare := part*float64(last-first), float64(len(sources))
	least := want - spare
	for _, s := range f.target.Stood() {
		if s.For > time.Second-drained && s.At > f.zero+from && s.At-s.For < f.zero+to {
			least -= s.For.Seconds() * f.plan.Rate
		}
	}
	if n := float64(len(came)); n < least || n > want+spare {
		f.t.Errorf("%g of the %d arrivals due from %v to %v came, and %.3g of all were dealt to those who are left, which is %.0f", n, last-first, from, to, part, want)
	}
}

// shareOf is the part of the arrivals due between two run times that came from a host.
func (f *fleetRun) shareOf(source int, from, to time.Duration) float64 {
	n, all := 0, 0
	for _, h := range f.target.Hits() {
		if due := time.Duration((float64(h.Index) + 0.5) / f.plan.Rate * float64(time.Second)); due >= from && due < to {
			all++
			if h.Source == source {
				n++
			}
		}
	}
	return float64(n) / max(float64(all), 1)
}

// after is how many arrivals came later than so long after a run time, not counting the time for which the machine stood still.
func (f *fleetRun) after(from, within time.Duration) (n int) {
	limit, waited := f.zero+f.by(from, within), f.waits()
	for _, h := range f.target.Hits() {
		if h.At-behind(waited, h.At) > limit {
			n++
		}
	}
	return n
}

func (f *fleetRun) agent(name string) Process {
	f.t.Helper()
	a := f.lab.Host(name).Agents()
	if len(a) == 0 {
		f.t.Fatalf("no agent on %s", name)
	}
	return a[0]
}

func near(t testing.TB, what string, got, want, within float64) {
	t.Helper()
	if got < want-within || got > want+within {
		t.Errorf("%s is %.3g, want %.3g give or take %.3g", what, got, want, within)
	}
}

// Three peers and this machine make one load, exactly.
func TestFleetIsExact(t *testing.T) {
	t.Parallel()
	l := Loopback(t, 3, Options{})
	f := l.fleet("p1,p2=2,p3", 400, 8*time.Second)
	s, found := f.end(0)
	if found.Missing != 0 || s.Totals.Shortfall != 0 || s.Totals.Dropped != 0 {
		t.Errorf("%d missing, totals %+v", found.Missing, s.Totals)
	}
	if s.Verdict.Data != "complete" {
		t.Errorf("%+v", s.Verdict)
	}
	for n, want := range []float64{0.2, 0.2, 0.4, 0.2} {
		near(t, fmt.Sprintf("the part of source %d", n), f.shareOf(n, 0, f.plan.For), want, 1/(f.plan.Rate*f.plan.For.Seconds()))
	}
	if found.Skew > 100*time.Millisecond {
		t.Errorf("the sources began %v apart", found.Skew)
	}
	for _, h := range l.Hosts {
		row := s.Source(h.Name)
		if row.State != "done" || row.Kind != "ssh" || row.Requests == 0 {
			t.Errorf("%+v", row)
		}
	}
}

// Faults that do not move a share: an ssh that is killed, a process that stops for 5 s, a network that is gone for 4 s; and beside
// them an agent that is killed, whose share is moved.
func TestShortFaults(t *testing.T) {
	t.Parallel()
	Need(t, "full")
	l := Hosts(t, 5, Options{})
	f := l.fleet("p1,p2,p3,p4,p5", 240, 45*time.Second)
	cut, _ := f.does(5*time.Second, func() {
		for _, p := range f.Client(l.Host("p2")) {
			p.Kill(syscall.SIGKILL)
		}
	})
	stopped := f.agent("p3")
	stop, parted := f.does(8*time.Second, func() {
		stopped.Kill(syscall.SIGSTOP)
		l.Host("p4").Partition()
	})
	f.does(parted+4*time.Second, l.Host("p4").Heal)
	f.does(stop+5*time.Second, func() { stopped.Kill(syscall.SIGCONT) })
	kill, dead := f.does(16*time.Second, func() { f.agent("p1").Kill(syscall.SIGKILL) })
	f.silentFrom(1, dead+100*time.Millisecond)
	f.plan.Unreported = 18 * 240 / 6
	s, _ := f.end(96) // nobody knows what the killed one had done last

	f.says(`p2 is back`, cut, 8*time.Second) // the time of a login, on a machine that does more
	f.says(`p3 was not heard`, stop, 4*time.Second)
	f.says(`p4 was not heard`, stop, parted-stop+4*time.Second)
	f.says(`p1.*lost`, kill, dead-kill+time.Second)
	f.says(`p1 is lost: from`, kill, dead-kill+moved)
	f.takes(1, f.dealt(f.plan.For), f.plan.For) // five of six sources are left, and each may take half as much again as it had
	for _, name := range []string{"p2", "p3", "p4", "p5"} {
		if row := s.Source(name); row.State != "done" {
			t.Errorf("%+v", row)
		}
	}
	if row := s.Source("p1"); row.State != "lost" || row.LostAtS == nil || *row.LostAtS < kill.Seconds()-0.1 || *row.LostAtS > dead.Seconds()+2 {
		t.Errorf("%+v", row)
	}
}

// Faults long enough to be noticed: cut off for 12 s, within the lease; for 25 s and for ever, beyond it; a process that stops for
// 30 s; an ssh that stops for good, in whose place another one comes.
func TestLongFaults(t *testing.T) {
	t.Parallel()
	Need(t, "full")
	l := Hosts(t, 6, Options{})
	f := l.fleet("p1,p2,p3,p4,p5,p6", 280, 75*time.Second)
	stopped := f.agent("p4")
	from, to := f.does(5*time.Second, func() {
		for _, name := range []string{"p1", "p2", "p3"} {
			l.Host(name).Partition()
		}
		stopped.Kill(syscall.SIGSTOP)
		for _, p := range f.Client(l.Host("p6")) {
			p.Kill(syscall.SIGSTOP)
		}
	})
	f.silentFrom(1, to+silent)
	f.silentFrom(3, to+silent)
	f.silentFrom(4, to+100*time.Millisecond)
	f.does(from+12*time.Second, l.Host("p2").Heal)
	f.does(to+25*time.Second, l.Host("p3").Heal)
	f.does(to+30*time.Second, func() { stopped.Kill(syscall.SIGCONT) })
	f.plan.Unreported = 280 / 7 * 20
	f.Wait(2 * time.Minute)
	s := f.Summary()
	f.check(s)

	for _, name := range []string{"p1", "p2", "p3", "p4", "p6"} {
		f.says(name+` was not heard`, from, to-from+4*time.Second)
		f.says(name+`.*lost`, from, to-from+detected)
	}
	f.says(`lost: from`, from, to-from+moved)
	f.never(`p5.*(is lost|are lost|was not heard)`)
	f.takes(6.0/7, f.dealt(to+30*time.Second), to+30*time.Second) // four of seven sources are left, and each takes half as much again as it had
	for _, name := range []string{"p2", "p6"} {
		if row := s.Source(name); row.State != "done" {
			t.Errorf("%s was cut off for less than its lease: %+v", name, row)
		}
	}
	if row := s.Source("p1"); row.State != "lost" {
		t.Errorf("%+v", row)
	}
	l.Host("p1").Heal() // its agent waits for somebody who takes what it had not sent
	for _, name := range []string{"p2", "p3", "p4", "p5", "p6"} {
		h := l.Host(name)
		Await(t, 10*time.Second, "nothing to be left on "+name, func() bool { return len(h.Leftovers()) == 0 })
	}
	Await(t, 75*time.Second, "nothing to be left on p1", func() bool { return len(l.Host("p1").Leftovers()) == 0 })
}

// A coordinator that is killed leaves peers that end by themselves; one that stops for half a minute finds them ended.
func TestCoordinatorFaults(t *testing.T) {
	t.Parallel()
	Need(t, "full")
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			l := Loopback(t, 2, Options{})
			f := l.fleet("p1,p2", 90, 60*time.Second)
			f.at(4 * time.Second)
			f.Signal(sig)
			fault := f.now()
			for n := range 3 {
				f.silentFrom(n, fault+silent)
			}
			f.silentFrom(0, fault+100*time.Millisecond)
			f.at(fault + silent + 2*time.Second)
			before := f.target.Count()
			f.at(fault + silent + 4*time.Second)
			if f.target.Count() != before {
				t.Errorf("%d requests after the lease", f.target.Count()-before)
			}
			f.plan.Cut = true
			if sig == syscall.SIGKILL {
				f.check(nil)
				out, code := f.Again("report", "last")
				if code != 0 || !strings.Contains(out, "no end") {
					t.Errorf("lt report last: %d\n%s", code, out)
				}
				Await(t, 75*time.Second, "the agents to end", func() bool { return len(f.Leftovers(0)) == 0 })
				return
			}
			f.Signal(syscall.SIGCONT)
			f.plan.Silent = map[int]time.Duration{}
			f.at(f.now() + 5*time.Second) // its peers are found again, by new connections if need be
			f.Signal(syscall.SIGINT)
			f.Wait(20 * time.Second)
			f.plan.Unreported = 1 << 30
			f.check(nil)
			f.Clean()
		})
	}
}

// A terminal that is closed ends the run everywhere.
func TestTerminalClosed(t *testing.T) {
	t.Parallel()
	l := Loopback(t, 2, Options{})
	f := l.screen("p1,p2", 90, 60*time.Second)
	f.at(3 * time.Second)
	f.HangUp()
	fault := f.now()
	f.Wait(15 * time.Second)
	f.Clean()
	if n := f.after(fault, time.Second); n > 0 {
		t.Errorf("%d requests came later than a second after the terminal was closed", n)
	}
	if f.Summary().Run.Ended != "user" {
		t.Errorf("%+v", f.Summary().Run)
	}
}

// q twice ends everything at once: no load and no link five seconds later.
func TestQuitTwice(t *testing.T) {
	t.Parallel()
	l := Loopback(t, 2, Options{})
	f := l.screen("p1,p2", 90, 60*time.Second)
	f.target.Delay(20 * time.Second) // what is in hand would take long
	f.at(3 * time.Second)
	began := time.Now()
	f.Type("qy")
	time.Sleep(300 * time.Millisecond)
	f.Type("qy")
	fault := f.now()
	Await(t, 5*time.Second, "the links to be closed", func() bool { return len(f.clients()) == 0 })
	if left := f.Leftovers(max(0, 5*time.Second-time.Since(began))); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if n := f.after(fault, 500*time.Millisecond); n > 0 {
		t.Errorf("%d requests came later than half a second after the end", n)
	}
}

// screen is fleet on a terminal.
func (l *Lab) screen(peers string, rate float64, length time.Duration, args ...string) *fleetRun {
	l.t.Helper()
	l.Install()
	target := NewTarget(l.t, l.Listen)
	f := &fleetRun{t: l.t, lab: l, target: target, plan: Plan{Rate: rate, For: length, Cut: true, Silent: map[int]time.Duration{}}}
	f.Run = l.StartOnTerminal(append([]string{"run", l.scenario(target, rate, length, ""), "--peers", peers, "--ssh", l.SSH()}, args...)...)
	f.begun()
	return f
}

// The host through which others are reached dies: they are lost together, and the load is moved once.
func TestBastionDies(t *testing.T) {
	t.Parallel()
	Need(t, "full")
	l := Hosts(t, 4, Options{Host: map[string]HostOptions{"p3": {Client: []string{"ProxyJump p2"}}, "p4": {Client: []string{"ProxyJump p2"}}}})
	f := l.fleet("p1,p3,p4", 200, 40*time.Second)
	from, to := f.does(5*time.Second, l.Host("p2").Stop)
	f.silentFrom(2, to+silent)
	f.silentFrom(3, to+silent)
	f.plan.Unreported = 200 / 2 * 20
	f.Wait(time.Minute)
	s := f.Summary()
	f.check(s)
	for _, name := range []string{"p3", "p4"} {
		f.says(name+`.*lost`, from, to-from+detected)
		if row := s.Source(name); row.State != "lost" {
			t.Errorf("%+v", row)
		}
	}
	f.takes(0.75, f.dealt(f.plan.For), f.plan.For) // two of four are left
	if s.Totals.Shortfall == 0 {
		t.Error("no shortfall is declared")
	}
}

// A link of 1 Mbit/s is slow and not lost, and neither is one that loses three packets of a hundred.
func TestSlowLinkIsNotLost(t *testing.T) {
	t.Parallel()
	Need(t, "full")
	l := Hosts(t, 2, Options{})
	l.Host("p1").Rate("1mbit")
	l.Host("p2").Lose(Up, 0.03)
	f := l.fleet("p1,p2", 150, 20*time.Second)
	s, found := f.end(0)
	f.never(`(is lost|are lost|was not heard)`)
	if found.Missing != 0 || s.Totals.Shortfall != 0 {
		t.Errorf("%d missing, %+v", found.Missing, s.Totals)
	}
}

// When every peer is lost, this machine goes on with what it can take, and what is missing is said; without this machine the run ends.
func TestAllPeersLost(t *testing.T) {
	t.Parallel()
	Need(t, "full")
	t.Run("local goes on", func(t *testing.T) {
		t.Parallel()
		l := Loopback(t, 2, Options{})
		f := l.fleet("p1,p2", 120, 30*time.Second)
		f.at(3 * time.Second)
		f.plan.Unreported = 120 * 18
		f.agent("p1").Kill(syscall.SIGKILL)
		f.agent("p2").Kill(syscall.SIGKILL)
		s, _ := f.end(96)
		f.says(`p1.*lost`, 3*time.Second, time.Second)
		f.takes(0.5, f.dealt(f.plan.For), f.plan.For) // one of three, on one machine
		if s.Totals.Shortfall == 0 {
			t.Error("no shortfall is declared")
		}
	})
	t.Run("nobody is left", func(t *testing.T) {
		t.Parallel()
		l := Loopback(t, 2, Options{})
		f := l.fleet("p1,p2", 120, 60*time.Second, "--no-local")
		f.at(3 * time.Second)
		f.plan.Unreported, f.plan.Cut = 120*18, true
		f.agent("p1").Kill(syscall.SIGKILL)
		f.agent("p2").Kill(syscall.SIGKILL)
		if code := f.Wait(25 * time.Second); code != 1 {
			t.Errorf("the exit code is %d, want 1", code)
		}
		f.Clean()
		f.check(f.Summary())
	})
}

// Every way in which a start fails has its row, with what was wrong, and nothing is sent.
func TestStartFailures(t *testing.T) {
	t.Parallel()
	Need(t, "netns")
	l := Hosts(t, 9, Options{Host: map[string]HostOptions{
		"p2": {Sshd: []string{"AuthorizedKeysFile none"}},
		"p5": {Mount: []string{"noexec everywhere"}},
		"p6": {Mount: []string{"full everywhere"}},
		"p7": {Shell: "/usr/sbin/nologin"},
		"p8": {Sshd: []string{`ForceCommand printf 'LT/1 {"proto":[7,9],"version":"9.9.9","os":"linux","arch":"amd64","build":"00","host":"x","pid":1,"cpus":1,"files":1024,"machine":"x"}\n'; cat >/dev/null`}},
	}})
	l.write(filepath.Join(l.Dir, "p3", "known"), "p3 "+publicKey(l.read(filepath.Join(l.Dir, "stranger.pub")))+"\n")
	l.Host("p4").Stop()
	l.Host("p9").Partition()
	l.write(l.config(), "Host p11\n  HostName "+l.net.prefix+"250\n"+l.read(l.config())) // an address of the network that nobody has
	target := NewTarget(t, l.Listen)
	r := l.Start("run", l.scenario(target, 10, time.Second, ""), "--peers", "p1,p2,p3,p4,p5,p6,p7,p8,p9,p10,p11", "--ssh", l.SSH(), "--plain")
	if code := r.Wait(40 * time.Second); code != 3 {
		t.Errorf("the exit code is %d, want 3", code)
	}
	for name, want := range map[string]string{
		"p2": `[Pp]ermission denied`, "p3": `[Hh]ost key|HOST IDENTIFICATION`, "p4": `refused`, "p5": `runs no programs`, "p6": `KB left`,
		"p7": `not available|nologin`, "p8": `9\.9\.9|version`,
		"p9": `timed out`, "p10": `resolve|not known|Name or service`, "p11": `No route to host`,
	} {
		if !failed(r, name, want) {
			t.Errorf("%s: no row that says %s", name, want)
		}
	}
	if target.Count() > 0 {
		t.Errorf("%d requests were sent", target.Count())
	}
	r.Clean()
	if out, _ := r.Again("runs"); strings.Contains(out, "lab") {
		t.Errorf("a run that never began is among the runs:\n%s", out)
	}
}

// failed says whether the table of a start that came to nothing has a row in which a peer failed for a reason.
func failed(r *Run, name, reason string) bool {
	return regexp.MustCompile(`(?s)\b` + name + `\s+failed[^\n]*\n(\s{4,}[^\n]*\n)*?[^\n]*(` + reason + `)`).MatchString(unstamped(r.Output()))
}

// unstamped takes the times off that Output puts in front of lines.
func unstamped(s string) string {
	return regexp.MustCompile(`(?m)^ *\d+\.\d{3}  `).ReplaceAllString(s, "")
}

// What users have on their hosts does not matter: login shells that are no sh, noise, homes from which nothing can be run, daemons
// that take two logins at once, forced commands, a bastion, a machine with a shell and nothing else.
func TestStartsEverywhere(t *testing.T) {
	t.Parallel()
	Need(t, "netns", "fish", "tcsh", "mksh", "busybox")
	const canary = "canary-9f8e7d6c5b"
	noise := `echo "Welcome to $(hostname)"; printf 'LTB1 nonsense\n\n'` + "\n"
	l := Hosts(t, 9, Options{Host: map[string]HostOptions{
		"p1": {Shell: "/usr/bin/fish", Profile: map[string]string{".config/fish/config.fish": "echo Welcome; printf 'LTB1 nonsense\\n'\n"}},
		"p2": {Shell: "/usr/bin/tcsh", Profile: map[string]string{".cshrc": "echo 'Welcome!'\n"}},
		"p3": {Mount: []string{"noexec"}, Profile: map[string]string{".bashrc": noise}},
		"p4": {Mount: []string{"readonly"}, Client: []string{"RemoteCommand tmux", "RequestTTY yes"}},
		"p5": {Sshd: []string{"MaxStartups 2"}},
		"p6": {Client: []string{"ProxyJump p1"}, Shell: "/usr/bin/mksh"},
		"p7": {Mount: []string{"full"}},
	}})
	target := NewTarget(t, l.Listen)
	p8 := l.Host("p8")
	policy := l.write(filepath.Join(p8.Dir, "agent.yaml"), "max_rate: 500\nmax_duration: 5m\n")
	agent := filepath.Join(p8.Dir, "lt")
	l.must("cp", Binary(t), agent)
	p8.opt.Sshd = []string{"ForceCommand " + agent + " agent --stdio --policy " + policy}
	p9 := l.Host("p9")
	p9.opt.Sshd = []string{"ForceCommand exec chroot " + l.bare(p9) + ` /bin/sh -c "$SSH_ORIGINAL_COMMAND"`}
	for _, h := range []*Host{p8, p9} {
		h.Stop()
		h.Start()
		h.await()
	}

	f := &fleetRun{t: t, lab: l, target: target, plan: Plan{Rate: 200, For: 5 * time.Second, Silent: map[int]time.Duration{}}}
	path := l.scenario(target, 200, 5*time.Second, "vars: {password: \"${LT_LAB_PASSWORD}\"}\nsteps: [{post: /, headers: {X-Secret: \"{{password}}\"}, form: {p: \"{{password}}\"}}]\n")
	l.Env = []string{"LT_LAB_PASSWORD=" + canary}
	f.Run = l.Start("run", path, "--peers", "p1,p2,p3,p4,p5,p5,p5,p5,p6,p7,p8,p9", "--ssh", l.SSH(), "--plain")
	f.begun()
	f.at(2 * time.Second)
	for _, where := range f.Spilled(canary) {
		t.Errorf("while it runs, the secret is in %s", where)
	}
	s, found := f.end(0)
	for _, where := range f.Spilled(canary) {
		t.Errorf("afterwards, the secret is in %s", where)
	}
	if found.Missing != 0 || s.Totals.Shortfall != 0 {
		t.Errorf("%d missing, %+v", found.Missing, s.Totals)
	}
	f.says(`p5 and p5#2 are one machine`, -90*time.Second, 96*time.Second)
	f.never(`another run`)
	together := 0.0
	for _, name := range []string{"p5", "p5#2", "p5#3", "p5#4"} {
		together += s.Source(name).Share
	}
	near(t, "the share of four peers on one machine", together, s.Source("p1").Share, 0.001)
	if n := slices.IndexFunc(s.Sources, func(r SourceSummary) bool { return r.State != "done" }); n >= 0 {
		t.Errorf("%+v", s.Sources[n])
	}
}

// bare makes a root folder with a shell and the few words that every machine has: no /proc, no /etc, no home.
func (l *Lab) bare(h *Host) string {
	l.t.Helper()
	root := filepath.Join(h.Dir, "bare")
	busybox, err := locate("busybox")
	if err != nil {
		l.t.Fatal(err)
	}
	l.must("mkdir", "-p", filepath.Join(root, "bin"), filepath.Join(root, "dev"), filepath.Join(root, "tmp"))
	l.must("cp", busybox, filepath.Join(root, "bin", "busybox"))
	libraries, _ := exec.Command("ldd", busybox).Output() // it fails where there are none
	for _, lib := range regexp.MustCompile(`/\S+`).FindAllString(string(libraries), -1) {
		l.must("mkdir", "-p", filepath.Join(root, filepath.Dir(lib)))
		l.must("cp", "-L", lib, filepath.Join(root, lib))
	}
	l.must("chroot", root, "/bin/busybox", "--install", "-s", "/bin")
	l.must("mknod", "-m", "666", filepath.Join(root, "dev", "null"), "c", "1", "3")
	return root
}

// A peer joins while the run goes on, and another leaves.
func TestPeersComeAndGo(t *testing.T) {
	t.Parallel()
	l := Loopback(t, 3, Options{})
	f := l.screen("p1,p2", 120, 5*time.Minute)
	f.at(2 * time.Second)
	f.Type("6")
	f.Type("a")
	f.Type("p3\r")
	Await(t, 60*time.Second, "p3 to take part", func() bool { return f.shareOf(3, 0, time.Hour) > 0 })
	f.at(f.now() + time.Second)
	f.Type("x")
	f.Type("y")
	f.Await(`left`, 20*time.Second)
	f.at(f.now() + time.Second)
	f.Type("qy")
	stop := f.now()
	f.Wait(20 * time.Second)
	f.Clean()
	if n := f.after(stop, 500*time.Millisecond); n > 0 {
		t.Errorf("%d requests came later than half a second after the stop", n)
	}
	s := f.Summary()
	f.check(s)
	left := slices.IndexFunc(s.Sources, func(r SourceSummary) bool { return r.State == "left" })
	if left < 0 {
		t.Errorf("nobody left: %+v", s.Sources)
	}
	if row := s.Source("p3"); row.Requests == 0 || row.State != "done" && row.State != "left" {
		t.Errorf("%+v", row)
	}
	if s.Totals.Shortfall > 12 { // as shares change hands, a tenth of a second
		t.Errorf("%+v", s.Totals)
	}
}
