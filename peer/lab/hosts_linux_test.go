package lab

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ssh runs a command on a host, as a user of the lab would.
func (l *Lab) ssh(within time.Duration, host, script string) (string, error) {
	ctx, stop := context.WithTimeout(context.Background(), within)
	defer stop()
	cmd := exec.CommandContext(ctx, "ssh", "-F", l.config(), "-T", "-o", "BatchMode=yes", host, script)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (l *Lab) says(host, script, want string) {
	l.t.Helper()
	got, err := l.ssh(10*time.Second, host, script)
	if err != nil || got != want {
		l.t.Errorf("%s: %s says %q, %v; want %q", host, script, got, err, want)
	}
}

func TestLoopbackHosts(t *testing.T) {
	t.Parallel()
	l := Loopback(t, 2, Options{Host: map[string]HostOptions{"p2": {Fault: true, Profile: map[string]string{".note": "x"}}}})
	l.says("p1", "echo $HOME", l.Host("p1").Home)
	l.says("p2", "cat ~/.note", "x")

	p2 := l.Host("p2")
	p2.Fault.Delay(Both, 50*time.Millisecond, 0)
	began := time.Now()
	l.says("p2", "echo slow", "slow")
	if took := time.Since(began); took < 500*time.Millisecond { // ssh goes to and fro more than five times
		t.Errorf("a way with 100 ms of round trip took %v", took)
	}
	p2.Fault.Delay(Both, 0, 0)
	p2.Fault.Stall(Up)
	if out, err := l.ssh(time.Second, "p2", "echo stalled"); err == nil {
		t.Errorf("a stalled way carried %q", out)
	}
	p2.Fault.Go(Up)
	l.says("p2", "echo again", "again")
	p2.Fault.Refuse(true)
	if out, err := l.ssh(5*time.Second, "p2", "echo refused"); err == nil {
		t.Errorf("a way that refuses carried %q", out)
	}
	p2.Fault.Refuse(false)
	done := make(chan error, 1)
	go func() { _, err := l.ssh(10*time.Second, "p2", "sleep 79"); done <- err }()
	Await(t, 5*time.Second, "a session", func() bool { return strings.Contains(strings.Join(p2.Leftovers(), "\n"), "sleep 79") })
	p2.Fault.Cut()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("a cut way kept its session")
	}
	p2.Fault.Flip(Down)
	if out, err := l.ssh(5*time.Second, "p2", "echo spoilt"); err == nil && out == "spoilt" {
		t.Error("a spoilt byte was not noticed")
	}
}

// What a run may leave on a host, and what not.
func TestLeftoversAreFound(t *testing.T) {
	t.Parallel()
	l := Loopback(t, 1, Options{})
	h := l.Host("p1")
	cache := filepath.Join(h.Home, ".cache", "lt")
	l.write(filepath.Join(cache, "agents", strings.Repeat("0f", 32)), "program")
	if left := h.Leftovers(); len(left) > 0 {
		t.Fatalf("the cached program counts as left: %v", left)
	}
	l.write(filepath.Join(cache, "agents", ".up.17"), "half")
	l.write(filepath.Join(cache, "runs", "x", "state"), "half")
	if _, err := l.ssh(10*time.Second, "p1", "sh -c 'sleep 77 >/dev/null 2>&1 </dev/null &'"); err != nil {
		t.Fatal(err)
	}
	left := strings.Join(h.Leftovers(), "\n")
	for _, want := range []string{"sleep 77", ".up.17", "runs/x"} {
		if !strings.Contains(left, want) {
			t.Errorf("%q is not found in\n%s", want, left)
		}
	}
	for _, p := range h.Processes() {
		if strings.Contains(p.String(), "sleep 77") {
			p.Kill(syscall.SIGKILL)
		}
	}
	Await(t, 5*time.Second, "the process to end", func() bool { return !strings.Contains(strings.Join(h.Leftovers(), "\n"), "sleep") })
}

func TestHostsAreApart(t *testing.T) {
	t.Parallel()
	l := Hosts(t, 3, Options{Host: map[string]HostOptions{
		"p2": {Shell: "/usr/bin/tcsh", Mount: []string{"noexec"}},
		"p3": {Password: true},
	}})
	target := NewTarget(t, l.Listen)
	l.says("p1", "hostname", "p1")
	l.says("p2", "echo $shell", "/usr/bin/tcsh")
	if out, err := l.ssh(5*time.Second, "p2", "cp /bin/true ~/x && ~/x"); err == nil || !strings.Contains(out, "ermission denied") {
		t.Errorf("the home folder of p2 executes: %q, %v", out, err)
	}
	if out, err := l.ssh(5*time.Second, "p3", "true"); err == nil || !strings.Contains(out, "password") {
		t.Errorf("p3 takes a key: %q, %v", out, err)
	}
	ask := l.write(filepath.Join(l.Dir, "ask"), "#!/bin/sh\necho '"+Password+"'\n")
	if err := os.Chmod(ask, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ssh", "-F", l.config(), "p3", "hostname")
	cmd.Env = append(os.Environ(), "SSH_ASKPASS="+ask, "SSH_ASKPASS_REQUIRE=force")
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "p3" {
		t.Errorf("p3 does not take its password: %q, %v", out, err)
	}

	p1 := l.Host("p1")
	p1.Partition()
	if out, err := l.ssh(time.Second, "p1", "echo partitioned"); err == nil {
		t.Errorf("a partition let %q through", out)
	}
	fetch := exec.Command("ip", "netns", "exec", l.net.space(p1), "sh", "-c", "printf 'GET /from-p1 HTTP/1.0\\r\\n\\r\\n' | timeout 5 busybox nc "+strings.Replace(strings.TrimPrefix(target.URL, "http://"), ":", " ", 1))
	if out, err := fetch.CombinedOutput(); err != nil || target.Count() != 1 {
		t.Errorf("a partitioned host does not reach the target: %q, %v", out, err)
	} else if h := target.Hits()[0]; l.Sources(h.From.String()) != "p1" {
		t.Errorf("%+v came from p1", h)
	}
	p1.Heal()
	l.says("p1", "echo healed", "healed")
	p1.Reset()
	if out, err := l.ssh(5*time.Second, "p1", "echo reset"); err == nil || !strings.Contains(out, "refused") && !strings.Contains(out, "reset") {
		t.Errorf("%q, %v", out, err)
	}
	p1.Heal()
	p1.Lose(Up, 0.05)
	l.says("p1", "echo lossy", "lossy")
	p1.Rate("1mbit")
	began := time.Now()
	if _, err := l.ssh(20*time.Second, "p1", "head -c 250000 /dev/zero"); err != nil || time.Since(began) < 1500*time.Millisecond {
		t.Errorf("250 kB over 1 Mbit/s took %v, %v", time.Since(began), err)
	}
	p1.Stop()
	if c, err := net.DialTimeout("tcp", p1.Address+":22", time.Second); err == nil {
		_ = c.Close()
		t.Error("an sshd that was stopped answers")
	}
	p1.Start()
	p1.await()
}

// The network of a test that was killed is removed by the next.
func TestDeadLabsAreSwept(t *testing.T) {
	Need(t, "netns")
	w, err := newNetwork()
	if err != nil {
		t.Fatal(err)
	}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	if err := command("ip", "netns", "add", w.name+"p1"); err != nil {
		t.Fatal(err)
	}
	exists := func() bool {
		_, bridge := os.Stat("/sys/class/net/" + w.name)
		_, space := os.Stat("/run/netns/" + w.name + "p1")
		return bridge == nil || space == nil
	}
	sweepNetworks()
	if !exists() {
		t.Fatal("a living lab was swept")
	}
	if err := command("ip", "link", "set", w.name, "alias", aliasPrefix+strconv.Itoa(dead.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	sweepNetworks()
	if exists() {
		t.Error("a dead lab is still there")
	}
}

// The real program runs on a terminal and in plain mode, and what it says is heard.
func TestRunIsHeard(t *testing.T) {
	t.Parallel()
	l := Loopback(t, 0, Options{})
	target := NewTarget(t, l.Listen)
	plain := l.Start("--plain", "-r", "50", "-d", "1s", "--arrivals", "even", target.URL)
	plain.Await("stage 1 begins", 20*time.Second)
	if code := plain.Wait(20 * time.Second); code != 0 || plain.Summary().Totals.Requests != 50 || target.Count() != 50 {
		t.Errorf("code %d, %d reported, %d seen", code, plain.Summary().Totals.Requests, target.Count())
	}
	if plain.MaxMemory() < 1<<20 || plain.CPU() <= 0 {
		t.Errorf("%d bytes, %g s", plain.MaxMemory(), plain.CPU())
	}
	if out, code := plain.Again("runs"); code != 0 || !strings.Contains(out, "127.0.0.1") {
		t.Errorf("lt runs: %d\n%s", code, out)
	}
	screen := l.StartOnTerminal("-r", "50", "-d", "60s", target.URL)
	screen.Await("Overview", 20*time.Second)
	target.Await(t, 60, 20*time.Second)
	screen.Type("qy")
	screen.Wait(10 * time.Second)
	if s := screen.Summary(); s.Run.Ended != "user" {
		t.Errorf("%+v", s.Run)
	}
}

// A secret is found wherever it can be read.
func TestSecretsAreFound(t *testing.T) {
	t.Parallel()
	const canary = "canary-1a2b3c4d"
	l := Loopback(t, 1, Options{})
	h := l.Host("p1")
	target := NewTarget(t, l.Listen)
	r := l.Start("--plain", "-r", "10", "-d", "5s", "-H", "X-Name: "+canary, target.URL) // arguments, the record and the screen
	target.Await(t, 1, 20*time.Second)
	kept := l.write(filepath.Join(h.Home, "note"), "x"+canary+"x")
	known := l.write(filepath.Join(l.Dir, "known to have it"), canary)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = l.ssh(10*time.Second, "p1", "S="+canary+" sleep 3")
	}()
	defer func() { <-done }()
	for _, want := range []string{"arguments of " + Binary(t), "file " + kept, "environment of", "sleep 3"} {
		Await(t, 5*time.Second, want, func() bool { return strings.Contains(strings.Join(r.Spilled(canary, known), "\n"), want) })
	}
	if strings.Contains(strings.Join(r.Spilled(canary, known), "\n"), known) {
		t.Error("a file that is to have it was named")
	}
}

// When something came is known, however late it is read.
func TestStamps(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := stamped(plain)
	defer l.Close()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	// The first socket that asks for stamps has the kernel begin with them, which it does in its own time.
	Await(t, 10*time.Second, "the first stamp", func() bool {
		c := dial()
		_, _ = c.Write([]byte("x"))
		in, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		_, _ = in.Read(make([]byte, 1))
		return !received(in).IsZero()
	})
	c := dial()
	for range 2 {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	sent := time.Now()
	time.Sleep(200 * time.Millisecond)
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if n, err := in.Read(make([]byte, 10)); n == 0 || err != nil {
		t.Fatal(n, err)
	}
	if at := received(in); at.IsZero() || at.After(sent.Add(time.Millisecond)) || at.Before(sent.Add(-10*time.Second)) {
		t.Errorf("it came at %v, and was sent at %v", at, sent)
	}
	c.Close()
	if _, err := in.Read(make([]byte, 10)); err != io.EOF {
		t.Error(err)
	}
}
