package peer

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lt/engine/journey"
	"lt/peer/boot"
	"lt/peer/lab"
	"lt/peer/wire"
)

// realLink is a link to a host of a lab through a real ssh, whose agents are the real program.
type realLink struct {
	*linkWorld
	lab    *lab.Lab
	host   *lab.Host
	target *lab.Target
	began  time.Duration // run time zero, on the target's clock
}

func newReal(t *testing.T, rate float64, d time.Duration) *realLink {
	t.Helper()
	l := lab.Loopback(t, 1, lab.Options{})
	target := lab.NewTarget(t, l.Listen)
	programs, err := boot.FindBinaries("test", map[string]string{"linux/amd64": lab.Binary(t)})
	if err != nil {
		t.Fatal(err)
	}
	list, err := boot.List("p1")
	if err != nil {
		t.Fatal(err)
	}
	boot.Name(list)
	dialer := boot.NewDialer(l.SSH(), programs, nil)
	f := steady(rate, d)
	f.Target = target.URL
	p, err := journey.Compile(f, "lt/test")
	if err != nil {
		t.Fatal(err)
	}
	job, err := NewJob(f, NewClaim(f, 1), "lt/test", false)
	if err != nil {
		t.Fatal(err)
	}
	w := &linkWorld{t: t, diary: newDiary(), file: f}
	w.link = NewLink(LinkConfig{
		N: 1, Name: "ada", Address: "p1", Job: job, Steps: len(p.Steps), Stages: 1, Run: "test", Version: "test", Observer: w.diary,
		Dial: func(ctx context.Context, on Dialing) (io.ReadWriteCloser, wire.Hello, error) {
			c, err := dialer.Dial(ctx, list[0], boot.Told{Step: on.Step, Line: on.Log})
			if err != nil {
				return nil, wire.Hello{}, err
			}
			h, err := hearHello(ctx, c)
			return c, h, err
		},
	})
	t.Cleanup(func() { w.link.Close(); w.link.Wait() })
	r := &realLink{linkWorld: w, lab: l, host: l.Host("p1"), target: target}
	w.link.Dial(t.Context())
	w.diary.await(t, time.Minute, "ready", "failed")
	if w.diary.failed != nil {
		t.Fatal(w.diary.failed)
	}
	w.arm(time.Second)
	r.began = target.Now() + time.Until(w.zero)
	w.link.Commit()
	return r
}

// agent is the process that has the run: the oldest.
func (r *realLink) agent() lab.Process {
	r.t.Helper()
	agents := r.host.Agents()
	if len(agents) == 0 {
		r.t.Fatalf("there is no agent\n%s", r.diary)
	}
	return slices.MinFunc(agents, func(a, b lab.Process) int { return a.PID - b.PID })
}

// clean checks that nothing is left on the host.
func (r *realLink) clean() {
	r.t.Helper()
	r.link.Close()
	r.link.Wait()
	lab.Await(r.t, 5*time.Second, "the end of everything on the host", func() bool { return len(r.host.Leftovers()) == 0 })
}

// A connection that is killed is taken up again by a new one; a process that is killed is proven dead.
func TestRealConnectionAndProcessKilled(t *testing.T) {
	r := newReal(t, 50, time.Minute)
	r.at(2 * time.Second)
	for range 2 { // the client's ssh, then the session of the host's sshd
		lost, back := r.diary.count("lost"), r.diary.count("back")
		cut := time.Now()
		if lost == 0 {
			r.clientSSH().Kill(syscall.SIGKILL)
		} else {
			for _, p := range r.host.Sshd() {
				p.Kill(syscall.SIGKILL)
			}
		}
		lab.Await(t, time.Second+200*time.Millisecond, "the loss", func() bool { return r.diary.count("lost") > lost })
		lab.Await(t, 5*time.Second, "the return", func() bool { return r.diary.count("back") > back })
		t.Logf("taken up again after %v", time.Since(cut).Round(time.Millisecond))
		time.Sleep(2 * time.Second)
	}
	a := r.agent()
	// No secret and no order stands where others of that machine could read it.
	if len(a.Args) != 3 || a.Args[1] != "agent" || a.Args[2] != "--stdio" {
		t.Errorf("its arguments are %q", a.Args)
	}
	a.Kill(syscall.SIGKILL)
	killed := time.Since(r.diary.began)
	gone := r.diary.await(t, 10*time.Second, "gone")
	t.Logf("proven dead after %v", (gone - killed).Round(time.Millisecond))
	if r.diary.count("rejoin") != 1 {
		t.Errorf("%s", r.diary)
	}
	seen := map[string]int{}
	for _, h := range r.target.Hits() {
		if seen[h.ID]++; seen[h.ID] > 1 {
			t.Errorf("%s came twice", h.ID)
		}
	}
	applied, _ := r.link.Applied()
	if n := uint64(len(r.target.Hits())); applied.Requests > n || applied.Requests+150 < n {
		t.Errorf("%d requests were reported, %d came", applied.Requests, n)
	}
	r.clean()
}

func (r *realLink) clientSSH() lab.Process {
	r.t.Helper()
	r.link.mu.Lock()
	c := r.link.call.rw.(*boot.Conn)
	r.link.mu.Unlock()
	for _, p := range lab.Processes() {
		if slices.Contains(p.Args, "p1") && strings.HasSuffix(p.Exe, "ssh") && strings.Contains(strings.Join(p.Args, " "), r.lab.Dir) {
			return p
		}
	}
	r.t.Fatalf("there is no ssh: %v", c.Said())
	return lab.Process{}
}

// A run over a real connection is exact, starts when it should, and leaves nothing behind.
func TestRealRun(t *testing.T) {
	r := newReal(t, 100, 3*time.Second)
	r.diary.await(t, 30*time.Second, "fin")
	got := r.account()
	if n := uint64(r.target.Count()); got.Scheduled != 300 || got.Started+got.Dropped != 300 || got.Requests != n {
		t.Errorf("%+v, and the target saw %d", got, n)
	}
	if first := r.target.Hits()[0].At - r.began; first < 0 || first > 150*time.Millisecond {
		t.Errorf("the first request came %v after run time zero", first)
	}
	r.clean()
}

// A process that was stopped for longer than its lease begins nothing when it goes on; what it had measured is taken.
func TestRealProcessStopped(t *testing.T) {
	lab.Need(t, "full")
	r := newReal(t, 50, 2*time.Minute)
	r.at(3 * time.Second)
	a := r.agent()
	a.Kill(syscall.SIGSTOP)
	stopped := r.target.Now()
	cut := time.Since(r.diary.began)
	if at := r.diary.await(t, 10*time.Second, "lost") - cut; at > 6500*time.Millisecond {
		t.Errorf("lost after %v", at)
	}
	r.at(33 * time.Second)
	a.Kill(syscall.SIGCONT)
	r.diary.await(t, 20*time.Second, "fin")
	r.account()
	if !r.diary.fin.Lapsed {
		t.Errorf("%+v", r.diary.fin)
	}
	for _, h := range r.target.Hits() {
		if h.At > stopped+time.Second {
			t.Fatalf("a request came %v after it was stopped", h.At-stopped)
		}
	}
	r.clean()
}

// A process finds its own place, refuses those of others, and clears up what was left.
func TestRuns(t *testing.T) {
	dir := t.TempDir()
	executable := filepath.Join(dir, "lt", "agents", strings.Repeat("a", 64))
	r := NewRuns(executable, func(string) string { return "" })
	one, two := randomHex(), randomHex()
	l, err := r.Listen(one, "a run")
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(dir, "lt", "runs", one, "sock"))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = c.Write([]byte("here"))
			c.Close()
		}
	}()
	c, err := r.Find(t.Context(), one, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); string(b) != "here" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	c.Close()
	if _, err := r.Find(t.Context(), two, os.Getpid()); err == nil || errors.Is(err, ErrNoRun) {
		t.Errorf("a process that lives and cannot be reached: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "lt", "runs", two), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Find(t.Context(), two, 1<<30); !errors.Is(err, ErrNoRun) {
		t.Errorf("a process that is no more: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "lt", "runs", two)); !os.IsNotExist(err) {
		t.Errorf("what a killed process left stays: %v", err)
	}
	if _, err := r.Find(t.Context(), "../../"+one[6:], 1<<30); err == nil || errors.Is(err, ErrNoRun) {
		t.Errorf("a name that leads elsewhere: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "lt", "runs", one)); !os.IsNotExist(err) {
		t.Errorf("its folder stays: %v", err)
	}
	old := filepath.Join(dir, "lt", "runs", two)
	young := filepath.Join(dir, "lt", "runs", randomHex())
	for _, d := range []string{old, young} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	yesterday := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(old, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	r.Sweep()
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("what was left yesterday stays: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("what may still be used was removed: %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, "lt"), 0o777); err != nil {
		t.Fatal(err)
	}
	if l, err := r.Listen(two, "a run"); err == nil {
		l.Close()
		if strings.HasPrefix(l.(*ownListener).dir, dir) {
			t.Error("it listens in a folder that all may write to")
		}
	}
}

// Processes of different runs know of each other on one machine as long as they live and make load, and whoever finds one dead learns
// whether the kernel lacked memory.
func TestRunsKnowOthers(t *testing.T) {
	dir := t.TempDir()
	executable := filepath.Join(dir, "lt", "agents", strings.Repeat("a", 64))
	r := NewRuns(executable, func(name string) string { return map[string]string{"LT_CACHE": dir}[name] })
	one, two := randomHex(), randomHex()
	a, err := r.Listen(one, "run a")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := r.Listen(two, "run b")
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Others("run a"); len(got) != 1 || got[0].Run != "run b" || got[0].PID != os.Getpid() || got[0].Age < 0 || got[0].Age > time.Minute {
		t.Errorf("beside run a there is %+v", got)
	}
	if got := r.Others("run b"); len(got) != 1 || got[0].Run != "run a" {
		t.Errorf("beside run b there is %+v", got)
	}
	folder := func(incarnation string) string { return filepath.Join(dir, "lt", "runs", incarnation) }
	text, err := os.ReadFile(filepath.Join(folder(two), signName))
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	if got := r.Others("run a"); len(got) != 0 {
		t.Errorf("a run that is over: %+v", got)
	}
	// A killed process leaves its sign and not its lock; one in another namespace has a number that means nothing here.
	if err := os.Mkdir(folder(two), 0o700); err != nil {
		t.Fatal(err)
	}
	sign := filepath.Join(folder(two), signName)
	if err := os.WriteFile(sign, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := r.Others("run a"); len(got) != 0 {
		t.Errorf("a process that was killed: %+v", got)
	}
	f, err := os.OpenFile(sign, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := locked(f); err != nil {
		t.Fatal(err)
	}
	if got := r.Others("run a"); len(got) != 1 {
		t.Errorf("a process that lives: %+v", got)
	}
	for _, other := range []string{strings.Replace(string(text), `"processes":"`, `"processes":"x`, 1), `{"run":`, ""} {
		if err := os.WriteFile(sign, []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := r.Others("run a"); len(got) != 0 {
			t.Errorf("%q: %+v", other, got)
		}
	}
	r.Idle(one)
	if got := r.Others("run b"); len(got) != 0 {
		t.Errorf("a process that makes no load any more: %+v", got)
	}

	count := filepath.Join(dir, "count")
	counts := func(n string) {
		t.Helper()
		if err := os.WriteFile(count, []byte("oom_kill "+n+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		noted string
		want  int
	}{
		"one more": {`[{"file":"` + count + `","count":4}]`, 1}, "none": {`[{"file":"` + count + `","count":5}]`, 0},
		"a machine that was started anew": {`[{"file":"` + count + `","count":6}]`, -1}, "nothing to read": {`[{"file":"` + count + `x","count":5}]`, -1},
		"nothing noted": {"", -1}, "nonsense": {"[{", -1},
	} {
		counts("5")
		if err := os.MkdirAll(folder(two), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder(two), starvedName), []byte(c.noted), 0o600); err != nil {
			t.Fatal(err)
		}
		var gone *NoRunError
		if _, err := r.Find(t.Context(), two, 1<<30); !errors.As(err, &gone) || gone.Starved != c.want {
			t.Errorf("%s: %v, %+v, want %d", name, err, gone, c.want)
		}
	}
	if err := os.WriteFile(filepath.Join(folder(one), starvedName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.Touch(one)
	if starvedSince(folder(one)) < 0 {
		t.Error("a touch notes nothing")
	}
}

// A path of any length has a socket.
func TestRunsInALongPath(t *testing.T) {
	executable := filepath.Join(t.TempDir(), strings.Repeat("long", 30), "lt", "agents", "x")
	r := NewRuns(executable, func(string) string { return "" })
	name := randomHex()
	l, err := r.Listen(name, "a run")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if !strings.HasPrefix(l.(*ownListener).dir, filepath.Dir(filepath.Dir(executable))) {
		t.Fatalf("it listens in %s", l.(*ownListener).dir)
	}
	c, err := r.Find(t.Context(), name, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
