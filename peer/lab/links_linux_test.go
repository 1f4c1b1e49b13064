package lab

import (
	"regexp"
	"testing"
	"time"
)

// early is how much sooner a source did what it did than its clock's word had it, against this machine: by the request that came the
// least late of each, since whatever held up the others held them up only. All hosts of a lab have one clock in truth, so it is by
// how much the comparison of the clocks was wrong.
func (f *fleetRun) early(source int) time.Duration {
	f.t.Helper()
	least := map[int]time.Duration{}
	for _, h := range f.target.Hits() {
		late := h.At - time.Duration((float64(h.Index)+0.5)/f.plan.Rate*float64(time.Second))
		if was, ok := least[h.Source]; !ok || late < was {
			least[h.Source] = late
		}
	}
	if _, ok := least[source]; !ok {
		f.t.Fatalf("nothing came from source %d", source)
	}
	return least[0] - least[source]
}

// bound is what stands behind the ± in the first line that begins like this, after the run time if there is one.
func (f *fleetRun) bound(line string) time.Duration {
	f.t.Helper()
	re := regexp.MustCompile(`^( *\d+:\d\d +)?` + line + `.* ?±([\d.]+) ?(ms|µs|s)\b`)
	lines := f.Lines(re.String())
	if len(lines) == 0 {
		f.t.Fatalf("no line %q says a bound", line)
	}
	m := re.FindStringSubmatch(lines[0].Text)
	d, err := time.ParseDuration(m[2] + m[3])
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

// A link of 200 ms that vary by 50 each way and loses three packets of a hundred, one that takes four times as long down as up, and
// one on whose wire a byte is spoilt, which the ssh of the one side and of the other finds: nobody is lost but the last, which is
// back at once, and the load is exact. How well a slow link lets the clocks be compared is said, and holds.
func TestUnsteadyLinks(t *testing.T) {
	t.Parallel()
	Need(t, "full")
	l := Hosts(t, 3, Options{Host: map[string]HostOptions{"": {Fault: true}}})
	l.Host("p1").Fault.Delay(Both, 200*time.Millisecond, 50*time.Millisecond)
	l.Host("p1").Lose(Both, 0.03)
	l.Host("p2").Fault.Delay(Up, 20*time.Millisecond, 0)
	l.Host("p2").Fault.Delay(Down, 80*time.Millisecond, 0)
	f := l.fleet("p1,p2,p3", 200, 16*time.Second)
	slow := l.Hosts[:2]
	var bounds []time.Duration
	for _, h := range slow {
		bounds = append(bounds, f.bound(h.Name+`: its clock is known to within`))
	}
	f.plan.Skew = bounds[0] + bounds[1]
	const (
		way     = time.Millisecond        // by which the least late requests of two sources may differ on their way to the target
		noticed = 1500 * time.Millisecond // the next byte comes within half a second
	)
	down, _ := f.does(3*time.Second, func() { l.Host("p3").Fault.Flip(Down) })
	// A link that becomes quick shows how wrong the comparison over the slow one was, and not that it was right.
	f.does(7*time.Second, func() { l.Host("p2").Fault.Delay(Both, 0, 0) })
	up, _ := f.does(9*time.Second, func() { l.Host("p3").Fault.Flip(Up) })
	s, found := f.end(0)

	for _, at := range []time.Duration{down, up} {
		f.says(`p3 is lost: the connection broke`, at, noticed)
		f.says(`p3 is back`, at, noticed+8*time.Second) // the time of a login, on a machine that does more
	}
	f.never(`(p1|p2).*(is|are) lost`)
	if found.Missing != 0 || s.Totals.Shortfall != 0 || s.Totals.Dropped != 0 || s.Verdict.Data != "complete" {
		t.Errorf("%d missing, %+v, %+v", found.Missing, s.Totals, s.Verdict)
	}
	for i, h := range slow {
		row, bound := s.Source(h.Name), bounds[i]
		off, atEnd := f.early(i+1), f.bound(h.Name+` +done`)
		t.Logf("%s began %v early; its clock was known to within %v, in the end %v", row.Name, off, bound, atEnd)
		if off.Abs() > min(bound, atEnd)+way {
			t.Errorf("%s began %v early, and its clock was said to be known to within %v, in the end %v", row.Name, off, bound, atEnd)
		}
		if row.State != "done" || bound < 50*time.Millisecond {
			t.Errorf("the bound is %v, and %+v", bound, row)
		}
	}
}

// A network that carries one direction only is as good as none: what is not confirmed is not sent either. The peer is lost, ends by
// itself and its share is moved, whichever direction it is; within the lease nothing is.
func TestOneWay(t *testing.T) {
	t.Parallel()
	Need(t, "full")
	// Whoever is not confirmed goes on sending until it sends again for the first time: Linux waits a fifth of a second and a round trip.
	const resend = 250 * time.Millisecond
	l := Hosts(t, 4, Options{})
	f := l.fleet("p1,p2,p3,p4", 240, 36*time.Second)
	from, to := f.does(4*time.Second, func() {
		l.Host("p1").Block(Up)
		l.Host("p2").Block(Down)
		l.Host("p3").Block(Up)
		l.Host("p4").Block(Down)
	})
	f.silentFrom(1, to+silent)
	f.silentFrom(2, to+silent)
	f.does(from+11*time.Second, func() {
		l.Host("p3").Heal()
		l.Host("p4").Heal()
	})
	f.does(to+moved+2*time.Second, func() { // what they had not sent is still to be had
		l.Host("p1").Heal()
		l.Host("p2").Heal()
	})
	s, found := f.end(0)
	for name, still := range map[string]time.Duration{"p1": resend, "p2": 0, "p3": resend, "p4": 0} {
		f.says(name+` was not heard`, from, to-from+still+4*time.Second)
		f.says(name+` is lost`, from, to-from+still+detected)
	}
	f.says(`p1 and p2 are lost: from`, from, to-from+moved)
	f.takes(0.9, f.dealt(f.plan.For), f.plan.For) // three of five sources are left, and each takes half as much again as it had
	for name, state := range map[string]string{"p1": "lost", "p2": "lost", "p3": "done", "p4": "done"} {
		if row := s.Source(name); row.State != state {
			t.Errorf("want %s: %+v", state, row)
		}
	}
	if found.Missing != s.Totals.Dropped+s.Totals.Shortfall || s.Totals.Unreported != 0 || s.Verdict.Data != "complete" {
		t.Errorf("%d missing, %+v, %+v", found.Missing, s.Totals, s.Verdict)
	}
}
