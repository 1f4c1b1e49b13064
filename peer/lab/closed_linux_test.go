package lab

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"
)

// stay is when a user was seen at a source, in run time.
type stay struct{ first, last time.Duration }

// stays are those of each user, by source. No request comes twice.
func (f *fleetRun) stays() map[int64]map[int]stay {
	f.t.Helper()
	seen := map[string]bool{}
	all := map[int64]map[int]stay{}
	for _, h := range f.target.Hits() {
		if h.ID == "" || seen[h.ID] {
			f.t.Errorf("%q came again, or is nobody's: %+v", h.ID, h)
			continue
		}
		seen[h.ID] = true
		if all[h.User] == nil {
			all[h.User] = map[int]stay{}
		}
		at := h.At - f.zero
		s, ok := all[h.User][h.Source]
		if !ok {
			s.first = at
		}
		s.last = at
		all[h.User][h.Source] = s
	}
	return all
}

// The users of a peer that is cut off for good go on there until its lease is over, begin anew at the others by then, one after the
// other, and for how long they were missing is said; those of one that is cut off for four seconds stay where they are. No user ever
// is in two places.
func TestUsersOfAPartition(t *testing.T) {
	t.Parallel()
	Need(t, "full")
	const users, think = 60, 400 * time.Millisecond
	l := Hosts(t, 3, Options{})
	l.Install()
	target := NewTarget(t, l.Listen)
	f := &fleetRun{t: t, lab: l, target: target, plan: Plan{For: 38 * time.Second}}
	path := l.write(filepath.Join(l.Dir, "users.yaml"), fmt.Sprintf("name: lab\ntarget: %s\nhttp: {trace: x-request-id, timeout: 5s}\n"+
		"load: {users: %d, for: %v, graceful: 2s}\nsteps: [{get: /, think: %v}]\n", target.URL, users, f.plan.For, think))
	f.Run = l.Start("run", path, "--peers", "p1,p2,p3", "--ssh", l.SSH(), "--plain", "--rebalance", "off")
	f.begun()
	from, to := f.does(5*time.Second, func() {
		l.Host("p1").Partition()
		l.Host("p2").Partition()
	})
	f.does(from+4*time.Second, l.Host("p2").Heal)
	if code := f.Wait(f.plan.For + 30*time.Second); code != 96 { // nobody knows what the users of p1 did last
		t.Errorf("the exit code is %d, want 96", code)
	}
	for _, name := range []string{"p1", "p2"} {
		f.says(name+` was not heard`, from, to-from+4*time.Second)
	}
	f.says(`p1 is lost`, from, to-from+detected)
	f.says(`p1 is lost: from`, from, to-from+moved)
	f.never(`(p2|p3).*(is|are) lost`)
	s := f.Summary()
	if one, two := s.Source("p1"), s.Source("p2"); one.State != "lost" || two.State != "done" {
		t.Errorf("%+v\n%+v", one, two)
	}

	const spread = 10 * time.Second
	dealt := f.dealt(f.plan.For) // to a tenth of a second, rounded up
	waits, stops := f.waits(), target.Stood()
	late := func(at time.Duration) time.Duration {
		return behind(waits, f.zero+at) + stood(stops, f.zero+at-time.Second, f.zero+at)
	}
	var starts []time.Duration
	least, most := 0.0, 0.0 // user-seconds
	all := f.stays()
	if len(all) != users {
		t.Errorf("%d users came, want %d", len(all), users)
	}
	for u, at := range all {
		cut, there := at[1]
		delete(at, 1)
		if cut.last > f.by(to, silent)+late(cut.last) {
			t.Errorf("user %d was still at p1 at %v", u, cut.last)
		}
		if len(at) != 1 {
			t.Errorf("user %d was in %d places besides p1: %v", u, len(at), at)
			continue
		}
		for source, s := range at {
			if s.last < dealt+spread {
				t.Errorf("user %d was last seen at %v", u, s.last)
			}
			if !there {
				continue
			}
			if s.first < cut.last || s.first < dealt-200*time.Millisecond || s.first > dealt+spread+late(s.first) {
				t.Errorf("user %d was at p1 until %v and at source %d from %v on; what p1 had was dealt at %v", u, cut.last, source, s.first, dealt)
			}
			starts = append(starts, s.first)
			least += (s.first - dealt).Seconds()
			most += (s.first - cut.last).Seconds()
		}
	}
	if len(starts) != users/4 {
		t.Errorf("%d users moved, want %d", len(starts), users/4)
	}
	slices.Sort(starts)
	for i, at := range starts { // they are two thirds of a second apart
		n, _ := slices.BinarySearch(starts, at+time.Second)
		if n -= i; n > 2+int(1.5*late(at).Seconds()+0.9) {
			t.Errorf("%d users began within the second from %v on: %v", n, at, starts)
		}
	}
	said := regexp.MustCompile(`no source for (\d+) user-seconds in all`)
	var missing float64
	for _, line := range f.Lines(said.String()) {
		missing, _ = strconv.ParseFloat(said.FindStringSubmatch(line.Text)[1], 64)
	}
	// What p1 did after its last report is not known, but surely nothing when its lease was over.
	spare := 0.3 * float64(len(starts))
	t.Logf("%.0f user-seconds are said to be missing, of at least %.1f and at most %.1f; starts %v", missing, least, most, starts)
	if missing < least-spare || missing > most+spare {
		t.Errorf("%g user-seconds are said to be missing; it was at least %.1f and at most %.1f", missing, least, most)
	}
	if more := int64(target.Count()) - s.Totals.Requests; s.Verdict.Data != "incomplete" || more < 0 || more > s.Totals.Unreported*5/4 {
		t.Errorf("%d requests were not reported, about %d are declared: %+v", more, s.Totals.Unreported, s.Verdict)
	}
	l.Host("p1").Heal()
	Await(t, 75*time.Second, "nothing to be left", func() bool { return len(f.Leftovers(0)) == 0 })
}
