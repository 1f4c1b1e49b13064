package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"lt/peer/lab"
	"lt/peer/sshproc"
)

// over starts the stand-in on a host of a lab.
func over(t *testing.T, l *lab.Lab, b *Binaries, host string, ask sshproc.Prompter) (*Conn, error) {
	t.Helper()
	list, err := List(host)
	must(t, err)
	Name(list)
	c, err := NewDialer(l.SSH(), b, ask).Dial(t.Context(), list[0], Told{})
	if c != nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// The first start brings the program, the second finds it, whatever the user's configuration and the login do around it.
func TestStartOverSSH(t *testing.T) {
	l := lab.Loopback(t, 1, lab.Options{Host: map[string]lab.HostOptions{"p1": {
		Client: []string{
			"RequestTTY force", "RemoteCommand tmux", "LocalForward 127.0.0.9:1 127.0.0.1:1", "ExitOnForwardFailure yes", "EscapeChar ~",
			"PermitLocalCommand yes", "LocalCommand exit 1", "LogLevel DEBUG",
		},
		Profile: map[string]string{".bashrc": "printf 'Welcome!\\r\\nno line end'; echo trouble >&2\n", ".profile": "echo never\n"},
	}}})
	b := standIn(t)
	for n := range 2 {
		var steps []string
		list, err := List("p1")
		must(t, err)
		c, err := NewDialer(l.SSH(), b, nil).Dial(t.Context(), list[0], Told{Step: func(s string, _ float64) { steps = append(steps, s) }})
		must(t, err)
		if slices.Contains(steps, "upload") != (n == 0) || steps[0] != "dial" || steps[1] != "probe" || steps[len(steps)-1] != "hello" {
			t.Errorf("start %d: steps %q", n, steps)
		}
		if path := works(t, c); !strings.HasPrefix(path, l.Host("p1").Home+"/.cache/lt/agents/") {
			t.Errorf("start %d: %s runs", n, path)
		}
		c.Close()
		if len(l.Host("p1").Processes()) > 1+len(l.Host("p1").Sshd()) {
			lab.Await(t, 5e9, "the end of what was started", func() bool { return len(l.Host("p1").Agents()) == 0 })
		}
	}
}

// A forced command, or an installed lt, needs nothing brought along.
func TestAgentThatIsThere(t *testing.T) {
	l := lab.Loopback(t, 1, lab.Options{Host: map[string]lab.HostOptions{"p1": {
		Sshd: []string{`ForceCommand echo "restricted host"; echo 'LT/1 {}'; echo ' agent --stdio in /'; exec cat`},
	}}})
	list, err := List("p1")
	must(t, err)
	var steps []string
	c, err := NewDialer(l.SSH(), standIn(t), nil).Dial(t.Context(), list[0], Told{Step: func(s string, _ float64) { steps = append(steps, s) }})
	must(t, err)
	defer c.Close()
	if fmt.Sprint(steps) != "[dial hello]" {
		t.Errorf("steps %q", steps)
	}
	if path := works(t, c); path != "" {
		t.Errorf("%s runs", path)
	}

	l = lab.Loopback(t, 1, lab.Options{})
	path := filepath.Join(l.Host("p1").Home, "lt")
	must(t, os.WriteFile(path, []byte(stand), 0o700))
	a, err := New(Entry{SSH: "p1", Agent: path})
	must(t, err)
	c, err = NewDialer(l.SSH(), nil, nil).Dial(t.Context(), a, Told{})
	must(t, err)
	defer c.Close()
	buf := make([]byte, 100)
	if n, err := c.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "LT/1 {}\n") {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	a.Agent = "/nonexistent/lt"
	_, err = NewDialer(l.SSH(), nil, nil).Dial(t.Context(), a, Told{})
	if err == nil || !strings.Contains(err.Error(), "exec: the command could not be started there (exit 127)") || !strings.Contains(err.Error(), "see whether /nonexistent/lt is an lt") {
		t.Errorf("error: %v", err)
	}
}

func TestWhatSSHSaysIsUnderstood(t *testing.T) {
	l := lab.Loopback(t, 5, lab.Options{Host: map[string]lab.HostOptions{
		"p2": {Sshd: []string{"AuthorizedKeysFile none"}},
		"p3": {Client: []string{"UserKnownHostsFile none"}},
		"p5": {Sshd: []string{"ForceCommand echo 'This account is currently not available.'; exit 1"}},
	}})
	stranger, err := os.ReadFile(filepath.Join(l.Dir, "stranger.pub"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(l.Host("p4").Dir, "known"), append([]byte("p4 "), stranger...), 0o600))
	l.Host("p1").Stop()
	b := standIn(t)
	for host, want := range map[string]struct {
		phase Phase
		said  string
	}{
		"p1":                      {Dial, "Connection refused"},
		"p2":                      {Auth, "Permission denied (publickey"},
		"p3":                      {HostKey, "Host key verification failed"},
		"p4":                      {HostKey, "REMOTE HOST IDENTIFICATION HAS CHANGED"},
		"p5":                      {Auth, "This account is currently not available."},
		"no-such-host.invalid":    {Dial, "Could not resolve hostname"},
		"nobody-at-all@p1:1":      {Dial, "Connection refused"},
		"who.does.not.exist@p2:1": {Dial, "Connection refused"},
	} {
		_, err := over(t, l, b, host, nil)
		var e *Error
		if !errors.As(err, &e) || e.Phase != want.phase || !strings.Contains(e.Said, want.said) || e.Retry || e.Do == "" {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// What to try by hand is said with the user's own ssh.
func TestHintsNameTheUsersSSH(t *testing.T) {
	lab.Need(t, "ssh")
	list, err := List("ada@h:2222")
	must(t, err)
	_, err = NewDialer("ssh -o NoSuchOption=yes", nil, nil).Dial(t.Context(), list[0], Told{})
	if err == nil || !strings.HasSuffix(err.Error(), "; mend ~/.ssh/config; try: ssh -o NoSuchOption=yes -p 2222 ada@h true") {
		t.Errorf("%v", err)
	}
}

// Questions of ssh come to us: whether a host key is right, and the passphrase of a key.
func TestQuestionsOfSSH(t *testing.T) {
	dir := t.TempDir()
	l := lab.Loopback(t, 2, lab.Options{Host: map[string]lab.HostOptions{
		"p1": {Client: []string{"StrictHostKeyChecking ask", "UserKnownHostsFile " + dir + "/known"}},
		"p2": {Client: []string{"IdentityFile " + dir + "/locked", "IdentityAgent none"}},
	}})
	key, err := os.ReadFile(filepath.Join(l.Dir, "key"))
	must(t, err)
	must(t, os.WriteFile(dir+"/locked", key, 0o600))
	if out, err := exec.Command("ssh-keygen", "-p", "-q", "-P", "", "-N", "pass phrase", "-f", dir+"/locked").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b := standIn(t)
	for _, c := range []struct {
		name, host string
		answers    []string // in their order; a missing one is none
		asked      string   // contained in the first question
		phase      Phase    // of the error; empty: it starts
	}{
		{"host key refused", "p1", []string{"no"}, "key fingerprint is SHA256:", HostKey},
		{"host key, no answer", "p1", nil, "key fingerprint is SHA256:", HostKey},
		{"host key, some word", "p1", []string{"perhaps"}, "key fingerprint is SHA256:", HostKey},
		{"host key accepted", "p1", []string{"yes"}, "key fingerprint is SHA256:", ""},
		{"host key known", "p1", nil, "", ""},
		{"passphrase", "p2", []string{"pass phrase"}, "Enter passphrase for key", ""},
		{"passphrase at last", "p2", []string{"wrong", "pass phrase"}, "Enter passphrase for key", ""},
		{"no passphrase", "p2", nil, "Enter passphrase for key", Auth},
		{"empty passphrase", "p2", []string{""}, "Enter passphrase for key", Auth},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []sshproc.Prompt
			conn, err := over(t, l, b, c.host, func(_ context.Context, p sshproc.Prompt) (string, bool) {
				asked = append(asked, p)
				if n := len(asked) - 1; n < len(c.answers) {
					return c.answers[n], true
				}
				return "", false
			})
			if c.asked == "" && len(asked) > 0 || c.asked != "" && (len(asked) == 0 || !strings.Contains(asked[0].Text, c.asked) || asked[0].Peer != c.host) {
				t.Errorf("asked %+v", asked)
			}
			if c.phase == "" {
				must(t, err)
				works(t, conn)
				return
			}
			var e *Error
			if !errors.As(err, &e) || e.Phase != c.phase || e.Retry || !strings.Contains(e.Error(), c.asked) {
				t.Errorf("error: %v", err)
			}
		})
	}
}

// An account that wants its password.
func TestPassword(t *testing.T) {
	l := lab.Hosts(t, 1, lab.Options{Host: map[string]lab.HostOptions{"p1": {Password: true}}})
	b := standIn(t)
	asked := 0
	answer := func(answers ...string) sshproc.Prompter {
		asked = 0
		return func(_ context.Context, p sshproc.Prompt) (string, bool) {
			if !p.Secret || p.Choice || !strings.Contains(p.Text, "password:") {
				t.Errorf("asked %+v", p)
			}
			asked++
			return answers[min(asked, len(answers))-1], true
		}
	}
	c, err := over(t, l, b, "p1", answer("wrong", lab.Password))
	must(t, err)
	works(t, c)
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
	for _, ask := range []sshproc.Prompter{answer("wrong"), nil} {
		_, err = over(t, l, b, "p1", ask)
		var e *Error
		if !errors.As(err, &e) || e.Phase != Auth || !strings.Contains(e.Said, "Permission denied") || strings.Contains(err.Error(), "wrong") {
			t.Errorf("error: %v", err)
		}
	}
}

// Many peers on a host whose sshd takes only two that have not logged in: all come up.
func TestServerThatTakesFewAtOnce(t *testing.T) {
	l := lab.Loopback(t, 1, lab.Options{Host: map[string]lab.HostOptions{"p1": {Sshd: []string{"MaxStartups 2"}}}})
	list, err := List("p1" + strings.Repeat(",p1", 9))
	must(t, err)
	Name(list)
	d := NewDialer(l.SSH(), standIn(t), nil)
	var wg sync.WaitGroup
	var again atomic.Int32
	for _, a := range list {
		wg.Go(func() {
			c, err := d.Dial(t.Context(), a, Told{Line: func(s string) {
				if strings.Contains(s, "once more in") {
					again.Add(1)
				}
			}})
			if err != nil {
				t.Error(err)
				return
			}
			works(t, c)
			c.Close()
		})
	}
	wg.Wait()
	t.Logf("%d tried again", again.Load())
}

// Each login shell of a real account.
func TestLoginShells(t *testing.T) {
	shells := []string{"bash", "dash", "zsh", "fish", "tcsh", "mksh"}
	o := lab.Options{Host: map[string]lab.HostOptions{}}
	for i, s := range shells {
		o.Host[fmt.Sprintf("p%d", i+1)] = lab.HostOptions{Shell: lab.Program(t, s)}
	}
	l := lab.Hosts(t, len(shells), o)
	b := standIn(t)
	for i, s := range shells {
		t.Run(s, func(t *testing.T) {
			c, err := over(t, l, b, fmt.Sprintf("p%d", i+1), nil)
			must(t, err)
			works(t, c)
		})
	}
}
