package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
)

// shop is a file whose users log in, look around and log out.
func shop(f *scenario.File) *scenario.File {
	sc := f.Scenarios[0]
	step := func(path string) *scenario.Step {
		return &scenario.Step{Name: "POST " + path, Method: "POST", URL: path, HTTP: f.HTTP}
	}
	sc.Setup = []*scenario.Step{step("/login")}
	sc.Teardown = []*scenario.Step{step("/logout")}
	return f
}

// greet answers a login with a session's cookie and every other request with a cookie of its own.
func greet(r seen) string {
	name := "visit=" + strings.TrimPrefix(r.path, "/")
	if r.path == "/login" {
		name = fmt.Sprintf("session=%d", r.conn)
	}
	return "HTTP/1.1 200 OK\r\nSet-Cookie: " + name + "\r\nContent-Length: 0\r\n\r\n"
}

// slowLogout answers after 10 ms, a logout later.
func (s *target) slowLogout(slow time.Duration) func(time.Duration) time.Duration {
	return func(at time.Duration) time.Duration {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.log[len(s.log)-1].path == "/logout" {
			return at + slow
		}
		return at + 10*time.Millisecond
	}
}

// Step numbers in a program: setup, steps and teardown one after the other.
const (
	login = iota
	first
	second
	logout
)

// A slot logs in once, keeps that session through all its iterations, and logs out at the end; everything else that an
// iteration brought is forgotten at the next.
func TestSetupSessionTeardown(t *testing.T) {
	tg := &target{release: after(100 * time.Millisecond), answer: greet}
	spec := even(1, 3*time.Second)
	spec.MaxInFlight = 1
	o := virtual(t, shop(get(spec, "/a", "/b")), tg)
	if want := []string{"/login", "/a", "/b", "/a", "/b", "/a", "/b", "/logout"}; !slices.Equal(tg.paths(), want) {
		t.Fatalf("requests %v, want %v", tg.paths(), want)
	}
	for i, want := range []string{"", "session=1", "session=1; visit=a", "session=1", "session=1; visit=a", "session=1", "session=1; visit=a", "session=1; visit=b"} {
		if i == 7 {
			want = "session=1; visit=b" // the teardown goes on from the last iteration
		}
		if got := tg.log[i].cookie; got != want {
			t.Errorf("request %d %s has the cookies %q, want %q", i, tg.log[i].path, got, want)
		}
	}
	if tg.conns != 1 || o.opened != 1 {
		t.Errorf("%d connections, %d counted as opened; want 1", tg.conns, o.opened)
	}
	if o.iterations != 3 || o.failed != 0 || o.scheduled != 3 || o.started != 3 || o.due != 6 {
		t.Errorf("%d scheduled, %d started, %d iterations, %d failed, %d requests due; want 3 3 3 0 6", o.scheduled, o.started, o.iterations, o.failed, o.due)
	}
	for step, want := range map[int]uint64{login: 1, first: 3, second: 3, logout: 1} {
		if got := o.byStep[step].Requests; got != want {
			t.Errorf("step %d has %d requests, want %d", step, got, want)
		}
	}
	// The first step of the first iteration is intended when the setup ended, so no step shows more than its own 100 ms.
	if worst := o.response.Max(); worst > 102*time.Millisecond {
		t.Errorf("the longest response is %v, want 100 ms: each step is intended at the end of the one before", worst)
	}
}

// An arrival is one request due, that of its first step, however many steps its setup has.
func TestSetupsAreNoRequestsDue(t *testing.T) {
	for _, spec := range []load.Spec{even(1, 3*time.Second), closed(1, 3*time.Second)} {
		tg := &target{release: after(10 * time.Millisecond)}
		f := shop(get(spec, "/a", "/b"))
		f.Scenarios[0].Steps[1].Think = constant(time.Second)
		more := *f.Scenarios[0].Setup[0]
		more.Name, more.URL = "POST /more", "/more"
		f.Scenarios[0].Setup = append(f.Scenarios[0].Setup, &more)
		if o := virtual(t, f, tg); o.iterations < 3 || o.due != 2*o.iterations {
			t.Errorf("%v: %d requests due of %d iterations of two steps", spec.Model, o.due, o.iterations)
		}
	}
}

// keep leaves cookies as the iteration before left them.
func TestCookiesKeep(t *testing.T) {
	tg := &target{release: after(time.Millisecond), answer: greet}
	f := get(even(1, 3*time.Second), "/a")
	f.Load.MaxInFlight = 1
	f.Scenarios[0].HTTP.Cookies = scenario.KeepCookies
	f.Scenarios[0].Steps[0].HTTP.Cookies = scenario.KeepCookies
	virtual(t, f, tg)
	for i, want := range []string{"", "visit=a", "visit=a"} {
		if tg.log[i].cookie != want {
			t.Errorf("request %d has the cookies %q, want %q", i, tg.log[i].cookie, want)
		}
	}
}

// The setup inherits the arrival's intended start: what it waited for a slot stands in its response time.
func TestSetupInheritsTheIntendedStart(t *testing.T) {
	tg := &target{release: after(400 * time.Millisecond)}
	spec := even(10, 500*time.Millisecond) // due at 50, 150 ... 450 ms
	spec.MaxInFlight = 1
	f := shop(get(spec, "/a"))
	f.Scenarios[0].Weight = 1
	o := virtual(t, f, tg)
	r := o.byStep[login].Response
	within(t, "the response time of the setup", r.Max(), 400*time.Millisecond, 0.01)
	// The second arrival, due at 150 ms, begins when the first iteration has ended, at 50+400+400 ms: it needs no setup.
	r = o.byStep[first].Response
	within(t, "the longest response time of the first step", r.Max(), 50*time.Millisecond+400*time.Millisecond*6-450*time.Millisecond, 0.01)
}

// A setup that fails ends its iteration, which has failed, and leaves the slot alone for a second; then it begins anew, with
// nothing left of the failed one.
func TestFailedSetupRests(t *testing.T) {
	n := 0
	tg := &target{release: after(10 * time.Millisecond), answer: func(r seen) string {
		if r.path == "/login" {
			if n++; n < 3 {
				return "HTTP/1.1 503 No\r\nSet-Cookie: bad=1\r\nContent-Length: 0\r\n\r\n"
			}
		}
		return greet(r)
	}}
	o := virtual(t, shop(get(closed(1, 4*time.Second), "/a", "/b")), tg)
	if got := tg.paths()[:5]; !slices.Equal(got, []string{"/login", "/login", "/login", "/a", "/b"}) {
		t.Fatalf("the first requests are %v", got)
	}
	for i := 1; i < 3; i++ {
		if rest := tg.log[i].at - tg.log[i-1].at; rest < time.Second || rest > 1020*time.Millisecond {
			t.Errorf("setup %d came %v after the one before, want 1.01 s", i+1, rest)
		}
		if tg.log[i].cookie != "" {
			t.Errorf("setup %d has the cookies %q of the failed one", i+1, tg.log[i].cookie)
		}
	}
	if o.failed != 2 || o.errors[metrics.Status] != 2 {
		t.Errorf("%d iterations failed with %d wrong statuses, want 2 and 2", o.failed, o.errors[metrics.Status])
	}
	if o.iterations != o.started || o.byStep[logout].Requests != 1 {
		t.Errorf("%d started, %d ended, %d logouts", o.started, o.iterations, o.byStep[logout].Requests)
	}
}

// In the open model other slots serve what is due while one rests, and the resting one serves again after its second.
func TestFailedSetupLeavesTheSlotAlone(t *testing.T) {
	n := 0
	tg := &target{release: func(at time.Duration) time.Duration {
		if at < 150*time.Millisecond {
			return at + 30*time.Millisecond // so that its rest does not end together with another's iteration
		}
		return at + 10*time.Millisecond
	}, answer: func(r seen) string {
		if r.path == "/login" {
			if n++; n == 1 {
				return "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
			}
		}
		return fine
	}}
	o := virtual(t, shop(get(even(5, 2*time.Second), "/a")), tg)
	logins := o.byStep[login].Requests
	// The second slot logs in while the first one rests; the first one, free last, is taken next and logs in again.
	if logins != 3 || o.failed != 1 || o.iterations != 10 || o.byStep[first].Requests != 9 {
		t.Errorf("%d logins, %d of %d iterations failed, %d first steps; want 3, 1 of 10, 9", logins, o.failed, o.iterations, o.byStep[first].Requests)
	}
}

// The slot that became free last is taken first, so that at a low rate one user does everything.
func TestSlotsAreTakenLastInFirstOut(t *testing.T) {
	tg := &target{release: func(at time.Duration) time.Duration {
		if at < time.Second {
			return time.Second + 500*time.Millisecond // ten users are needed once
		}
		return at + 10*time.Millisecond
	}, answer: greet}
	f := get(even(10, 5*time.Second), "/a")
	f.Scenarios[0].HTTP.Cookies = scenario.KeepCookies
	f.Scenarios[0].Steps[0].HTTP.Cookies = scenario.KeepCookies
	o := virtual(t, f, tg)
	late := map[int]int{}
	for _, r := range tg.log {
		if r.at > 2*time.Second {
			late[r.conn]++
		}
	}
	if len(late) != 1 {
		t.Errorf("%d connections are used at a rate that one can serve: %v", len(late), late)
	}
	if users := o.intervals[3].Users; users != 11 || tg.conns != users {
		t.Errorf("%d users, %d connections; want the 11 that were needed at once", users, tg.conns)
	}
}

// Teardown has until the end of the grace, and no longer.
func TestTeardownWithinGrace(t *testing.T) {
	for _, tc := range []struct {
		name     string
		slow     time.Duration
		requests uint64
	}{{"done", 500 * time.Millisecond, 1}, {"cut", 5 * time.Second, 0}} {
		t.Run(tc.name, func(t *testing.T) {
			tg := &target{}
			tg.release = tg.slowLogout(tc.slow)
			spec := even(10, time.Second)
			spec.MaxInFlight, spec.Graceful = 1, 2*time.Second
			o := virtual(t, shop(get(spec, "/a")), tg)
			if got := o.byStep[logout-1].Requests; got != tc.requests { // there is no second step
				t.Errorf("%d logouts were answered, want %d", got, tc.requests)
			}
			last := o.intervals[len(o.intervals)-1]
			if end := last.From + last.Length; end > 3*time.Second+2*time.Millisecond {
				t.Errorf("the run ended at %v, its grace at 3 s", end)
			}
			if o.unfinished != 0 || o.iterations != 10 {
				t.Errorf("%d iterations, %d unfinished: a teardown is none", o.iterations, o.unfinished)
			}
		})
	}
}

// The end of the run takes nothing from users who are on their way out: their teardown has its own timeout, as every step.
func TestATeardownThatIsUnderWayAtTheEndKeepsItsTimeout(t *testing.T) {
	tg := &target{}
	tg.release = tg.slowLogout(time.Hour)
	f := shop(get(load.Spec{
		Model: load.Closed, Seed: 1, Graceful: time.Minute,
		Profile: load.Profile{Stages: []load.Stage{{For: time.Second, At: 1}, {For: time.Second, At: 0}}},
	}, "/a"))
	f.Scenarios[0].Steps[0].Think = constant(100 * time.Millisecond)
	f.Scenarios[0].Teardown[0].HTTP.Timeout = 5 * time.Second
	o := virtual(t, f, tg)
	if last := o.intervals[len(o.intervals)-1]; last.From+last.Length > 6100*time.Millisecond || o.errors[metrics.Timeout] != 1 {
		t.Errorf("the run ended at %v with the errors %v, want a timeout at 6 s", last.From+last.Length, o.errors)
	}
	sums(t, o)
}

// A missing value ends the iteration, also where the status was wrong as well; the steps behind it are not made.
func TestMissingValueEndsTheIteration(t *testing.T) {
	tg := &target{release: after(time.Millisecond), answer: func(r seen) string {
		status := "200 OK"
		if r.at > time.Second {
			status = "500 No"
		}
		return "HTTP/1.1 " + status + "\r\nContent-Length: 2\r\n\r\n{}"
	}}
	f := get(even(1, 2*time.Second), "/a", "/b")
	f.Scenarios[0].Steps[0].Extract = []scenario.Extract{{Name: "token", Source: scenario.FromJSON, Expr: "$.token"}}
	o := virtual(t, f, tg)
	if got := tg.paths(); !slices.Equal(got, []string{"/a", "/a"}) {
		t.Errorf("requests %v, want none after a missing value", got)
	}
	if o.errors[metrics.Extract] != 1 || o.errors[metrics.Status] != 1 || o.failed != 2 {
		t.Errorf("errors %v, %d failed", o.errors, o.failed)
	}
}
