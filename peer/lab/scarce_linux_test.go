package lab

import (
	"fmt"
	"net"
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

// What a machine lacks, or has otherwise than others: memory, descriptors, ports, names, a disk, a clock; and what its lt does if it
// falls over.

// hog fills a host's memory until one of the agents there is ended for it, and says which.
func hog(t testing.TB, h *Host) Process {
	t.Helper()
	agent := h.Agents()[0]
	taken, err := h.group.taken()
	if err != nil {
		t.Fatal(err)
	}
	// With half of the agent's more than there is room for; without it there is room. That it is the agent that goes is what the
	// agent asked the kernel for.
	size := h.group.limit - taken + agent.anonymous()/2
	procs := filepath.Join(h.group.dir, "cgroup.procs")
	script := fmt.Sprintf("echo $$ >%s; for n in 1 2 3 4; do dd if=/dev/zero bs=%d count=1 2>/dev/null | sleep 60 & done; wait", procs, size/4)
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}()
	Await(t, 20*time.Second, "the kernel to end an agent", func() bool {
		return !slices.ContainsFunc(h.Agents(), func(p Process) bool { return p.PID == agent.PID })
	})
	if n, err := h.group.killed(); n == 0 {
		t.Errorf("the kernel says that it ended %d processes for want of memory (%v)", n, err)
	}
	return agent
}

// A machine that has no memory left ends its agent, and one that falls over says why; each is lost at once and its share moved as soon
// as its death is proven. That the clocks of another show another time altogether changes nothing.
func TestPeersThatDie(t *testing.T) {
	t.Parallel()
	Need(t, "full", "memory")
	l := Hosts(t, 4, Options{Host: map[string]HostOptions{
		"p1": {Memory: 48 << 20},
		"p3": {Sshd: []string{`ForceCommand exec unshare --time --fork --monotonic 100000 --boottime 100000 sh -c "$SSH_ORIGINAL_COMMAND"`}},
	}})
	f := l.fleet("p1,p2,p3,p4", 200, 14*time.Second)
	kill, dead := f.does(2*time.Second, func() { hog(t, l.Host("p1")) })
	f.silentFrom(1, dead+100*time.Millisecond)
	fall, fallen := f.does(dead+time.Second, func() { f.agent("p2").Kill(syscall.SIGQUIT) }) // as a panic does, it writes where it was
	f.silentFrom(2, fallen+500*time.Millisecond)
	f.plan.Unreported = 2 * 50 * 8
	s, found := f.end(96)
	f.says(`p1.*lost`, kill, dead-kill+time.Second)
	f.says(`p1 is lost: from`, kill, dead-kill+8*time.Second)
	const memory = `it last had \d+(\.\d)? MiB resident of the \d+ [GM]iB that it may use, [\d.]+ m?s before`
	f.says(`p1 is lost: the connection broke: .*; `+memory, kill, dead-kill+time.Second)
	starved := `its process was ended by (signal 9 \(killed\)|a signal \(nobody says which; the kernel's is 9\)), and memory is the likely cause: the kernel there ended \d+ process(es)? for want of it at about that time; ` +
		memory + `; try: more memory there, or a smaller weight for it`
	f.says(`p1 is gone: `+starved, kill, dead-kill+8*time.Second)
	if row := s.Source("p1"); row.State != "lost" || !regexp.MustCompile(`^`+starved+`$`).MatchString(row.Reason) {
		t.Errorf("%+v", row)
	}
	if row := s.Source("p2"); row.State != "lost" || !strings.Contains(row.Reason, "SIGQUIT") || strings.Contains(row.Reason, "memory") {
		t.Errorf("%+v", row)
	}
	f.says(`p2.*lost: .*SIGQUIT`, fall, fallen-fall+1500*time.Millisecond)
	f.says(`p2 is lost: from`, fall, fallen-fall+8*time.Second)
	f.takes(0.9, f.dealt(f.plan.For), f.plan.For) // three of five are left
	if found.Skew > 100*time.Millisecond {
		t.Errorf("the clocks are %v apart", found.Skew)
	}
	for _, name := range []string{"p3", "p4"} {
		if row := s.Source(name); row.State != "done" || row.ClockOffsetMS > 50 || row.ClockOffsetMS < -50 {
			t.Errorf("%+v", row)
		}
	}
}

// spin makes a host a machine of a part of a processor, which its agents share with programs that want all of it, as a batch job
// beside them would. The part is small, so that the rest of the lab keeps what it has. What it returns ends the programs; their
// own time does it at the latest.
func spin(t testing.TB, h *Host, part float64) (end func()) {
	t.Helper()
	g, err := newQuota(h.lab.net.space(h)+"cpu", part)
	if err != nil {
		t.Fatal(err)
	}
	h.lab.quotas = append(h.lab.quotas, g)
	for _, p := range h.Agents() {
		if err := g.add(p.PID); err != nil {
			t.Fatal(err)
		}
	}
	procs := filepath.Join(g.dir, "cgroup.procs")
	// In the foreground timeout has no process group of its own, so that all of this can be ended at once.
	cmd := exec.Command("sh", "-c", "echo $$ >"+procs+"; for n in 1 2; do timeout --foreground -s KILL 60 sh -c 'while :; do :; done' & done; wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	t.Cleanup(end)
	return end
}

// A peer whose machine has something else to do begins late. It says so, with how late, and gives a part of its share to the others,
// and another part half a minute later, if it still does; nothing begins twice by that, and what is missing is said.
func TestPeerWhoseMachineIsBusy(t *testing.T) {
	t.Parallel()
	Need(t, "full", "quota")
	l := Hosts(t, 2, Options{})
	l.Install()
	target := NewTarget(t, l.Listen)
	target.Delay(200 * time.Millisecond) // so that what is late by less than a fiftieth of a second is nothing, however much this machine does besides
	f := &fleetRun{t: t, lab: l, target: target, plan: Plan{Rate: 60, For: 66 * time.Second, Silent: map[int]time.Duration{}}}
	f.Run = l.Start("run", l.scenario(target, f.plan.Rate, f.plan.For, ""), "--peers", "p1,p2", "--ssh", l.SSH(), "--plain")
	f.begun()
	var end func()
	from, _ := f.does(17*time.Second, func() { end = spin(t, l.Host("p1"), 0.2) })
	// The second comes half a minute after the first. Where this machine is so busy that nobody keeps up for ten seconds, that is said.
	for f.now() < f.plan.For-2*time.Second && !f.Ended() && len(f.Lines(`keep up and give`)) < 2 {
		time.Sleep(100 * time.Millisecond)
	}
	end()
	s, found := f.end(0)

	var at []float64
	gives := regexp.MustCompile(`^[^:]*\bp1\b[^:]* not keep up and give`)
	for _, e := range s.Events {
		if gives.MatchString(e.Text) {
			at = append(at, e.T)
		}
	}
	const sure = 2 // seconds within which the others have what was given up, when it is said
	row := s.Source("p1")
	switch {
	case len(at) == 0:
		if len(f.Lines(`no source keeps up with its share, and none can take from another|not keep up with .*, and no other source has processor time`)) == 0 {
			t.Error("no share was corrected")
		}
	case at[0] < from.Seconds()+10:
		t.Errorf("corrections at %v s; from %v on it was late, and ten seconds are to pass", at, from)
	case row.Share > 0.31: // all had a third
		t.Errorf("%+v", row)
	}
	for i := range at[:max(0, len(at)-1)] {
		if at[i+1]-at[i] < 30-sure {
			t.Errorf("corrections at %v s, and half a minute is to pass between two", at)
		}
	}
	if row.Verdict != "saturated" || row.State != "done" {
		t.Errorf("%+v", row)
	}
	if !slices.ContainsFunc(s.Verdict.Reasons, func(r string) bool {
		return regexp.MustCompile(`^p1: we began late.* lag p(50|99) .*response time`).MatchString(r)
	}) || s.Verdict.Generator != "saturated" {
		t.Errorf("%+v", s.Verdict)
	}
	if found.Missing != s.Totals.Dropped+s.Totals.Shortfall || s.Totals.Unreported != 0 || s.Verdict.Data != "complete" {
		t.Errorf("%d missing, %+v, %+v", found.Missing, s.Totals, s.Verdict)
	}
}

// Descriptors or local ports that do not suffice are said before the start, with the number that is needed and what to do. What
// fails for want of them is the machine's own fault and not the target's, and nobody else's.
func TestPeersThatLack(t *testing.T) {
	t.Parallel()
	Need(t, "full")
	l := Hosts(t, 3, Options{Host: map[string]HostOptions{"p1": {Sshd: []string{`ForceCommand ulimit -n 32; eval "$SSH_ORIGINAL_COMMAND"`}}}})
	l.Host("p2").Ports(50000, 50009)
	l.Install()
	target := NewTarget(t, l.Listen)
	target.Delay(1500 * time.Millisecond) // about thirty requests are in hand on each
	r := l.Start("run", l.scenario(target, 80, 5*time.Second, ""), "--peers", "p1,p2,p3", "--ssh", l.SSH(), "--plain", "--rebalance", "off", "--strict")
	if code := r.Wait(60 * time.Second); code != 98 {
		t.Errorf("the exit code is %d, want 98", code)
	}
	r.Clean()
	for _, want := range []string{`p1: up to .* connections at once, and this process may have 32 files open.*; try: .*ulimit`, `p2: up to .* connections at once to one destination, and one source address has 10 local ports.*; try: .*ip_local_port_range`} {
		if len(r.Lines(want)) == 0 {
			t.Errorf("nothing like %q was said", want)
		}
	}
	s := r.Summary()
	for _, e := range s.Errors {
		if e.Class != "limit" {
			t.Errorf("%+v", e)
		}
	}
	for _, message := range []string{"this process may open no more files", "no local port is free towards the target"} {
		if !slices.ContainsFunc(s.Errors, func(e ErrorSummary) bool { return strings.Contains(e.Message, message) }) {
			t.Errorf("no error says %q: %+v", message, s.Errors)
		}
	}
	for _, row := range s.Sources {
		if lacks := row.Name == "p1" || row.Name == "p2"; lacks != (row.Errors > 0) || lacks && row.Verdict != "saturated" || row.State != "done" {
			t.Errorf("%+v", row)
		}
	}
	if s.Verdict.Generator != "saturated" || s.Verdict.Data != "complete" {
		t.Errorf("%+v", s.Verdict)
	}
}

// A peer whose own resolver fails is named before the start, with what it said, and nothing is sent; so is one whose resolver does
// not answer.
func TestPeersWithoutNames(t *testing.T) {
	t.Parallel()
	Need(t, "full")
	l := Hosts(t, 3, Options{Host: map[string]HostOptions{
		"p1": {Etc: map[string]string{"hosts": "", "resolv.conf": ""}}, // filled below, when the address is known
		"p2": {Etc: map[string]string{"hosts": "127.0.0.1 localhost\n", "resolv.conf": "nameserver 127.0.0.1\n"}},
		"p3": {Etc: map[string]string{"hosts": "127.0.0.1 localhost\n", "resolv.conf": "nameserver 10.255.255.1\n"}},
	}})
	target := NewTarget(t, l.Listen)
	address, port, _ := net.SplitHostPort(strings.TrimPrefix(target.URL, "http://"))
	hosts := l.write(filepath.Join(l.Dir, "p1", "etc", "hosts"), address+" target.lab\n")
	l.Mount = []string{"mount --bind " + hosts + " /etc/hosts"}
	target.URL = "http://target.lab:" + port
	l.Install()
	r := l.Start("run", l.scenario(target, 10, time.Second, ""), "--peers", "p1,p2,p3", "--ssh", l.SSH(), "--plain")
	if code := r.Wait(60 * time.Second); code != 3 {
		t.Errorf("the exit code is %d, want 3", code)
	}
	r.Clean()
	for _, name := range []string{"p2", "p3"} {
		if !failed(r, name, `preflight: http://target\.lab:`+port+` cannot be reached from there: target\.lab: .*(connection refused|unreachable|timeout)`) {
			t.Errorf("%s: no row that says what it could not resolve", name)
		}
	}
	if failed(r, "p1", "") || target.Count() > 0 {
		t.Errorf("p1 failed, or one of %d requests was sent", target.Count())
	}
}

// A disk that fills under the coordinator's record costs the record and not the run.
func TestDiskOfTheCoordinatorFills(t *testing.T) {
	t.Parallel()
	Need(t, "full", "root", "unshare", "mount")
	l := Loopback(t, 1, Options{})
	l.Mount = []string{`mkdir -p "$LT_STATE_DIR"`, `mount -t tmpfs -o size=8k,mode=700 none "$LT_STATE_DIR"`}
	f := l.fleet("p1", 100, 8*time.Second)
	s, found := f.end(0)
	if found.Missing != 0 || s.Verdict.Data != "complete" || s.Run.Ended != "finished" {
		t.Errorf("%d missing, %+v, %+v", found.Missing, s.Run, s.Verdict)
	}
	if n := len(f.Lines(`^ *\d:\d\d +the record .*no space left`)); n != 1 {
		t.Errorf("it was said %d times that the record cannot be written", n)
	}
}

// Two who use the same hosts at the same time do not get in each other's way, in none of what they leave there for the time of a run,
// and the second is told that it shares them.
func TestTwoCoordinators(t *testing.T) {
	t.Parallel()
	Need(t, "full")
	l := Loopback(t, 2, Options{})
	one := l.fleet("p1,p2", 120, 9*time.Second)
	two := l.fleet("p1,p2", 90, 3*time.Second)
	for _, f := range []*fleetRun{two, one} {
		if code := f.Wait(60 * time.Second); code != 0 {
			t.Errorf("the exit code is %d", code)
		}
		s := f.Summary()
		if found := f.check(s); found.Missing != 0 || s.Verdict.Data != "complete" {
			t.Errorf("%d missing, %+v", found.Missing, s.Verdict)
		}
		if f == two && one.now() < one.plan.For-time.Second && len(l.Host("p1").Agents()) == 0 {
			t.Error("the end of one run ended the other's agents")
		}
	}
	// Who comes second is told of who was there; two peers on one machine tell it once. Its own are no other run to either.
	told := fmt.Sprintf(`p1 and p2: another run is active there \(%s: 2 processes, one of them \d+, for [\d.]+ m?s\); the two share its processors, which the figures of both may show; try: `, one.Summary().Run.ID)
	two.says(told, -90*time.Second, 90*time.Second)
	if n := len(two.Lines("another run")); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	if !slices.ContainsFunc(two.Summary().Events, func(e Event) bool { return regexp.MustCompile(told).MatchString(e.Text) }) {
		t.Errorf("no event says so: %+v", two.Summary().Events)
	}
	one.never("another run")
	one.Clean()
}
