//go:build unix

package sshproc

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// asks is a process that asks as ssh does, and prints what it is told.
func asks(kind, text string) Command {
	c := sh(`answer=$("$SSH_ASKPASS" "$TEXT"); echo "$? $answer"`)
	c.Env = []string{"TEXT=" + text, promptEnv + "=" + kind}
	c.Peer = "ada"
	return c
}

const hostKey = "The authenticity of host 'h (10.0.0.7)' can't be established.\nED25519 key fingerprint is SHA256:abc.\n" +
	"Are you sure you want to continue connecting (yes/no/[fingerprint])? "

func TestAskpass(t *testing.T) {
	for _, c := range []struct {
		name, kind, text string
		answer           string
		ok               bool
		said             string // by the askpass; empty: the process was ended
		want             Prompt
		refused          bool
	}{
		{name: "password", text: "ada@h's password: ", answer: "s3cret $\\ é", ok: true, said: "0 s3cret $\\ é", want: Prompt{Text: "ada@h's password:", Secret: true}},
		{name: "password with its line end", text: "password: ", answer: "x\r\n", ok: true, said: "0 x", want: Prompt{Text: "password:", Secret: true}},
		{name: "empty password", text: "password: ", ok: true, refused: true, want: Prompt{Text: "password:", Secret: true}},
		{name: "nobody answers", text: "Verification code: ", refused: true, want: Prompt{Text: "Verification code:", Secret: true}},
		{name: "two lines as an answer", text: "code: ", answer: "a\nb", ok: true, refused: true, want: Prompt{Text: "code:", Secret: true}},
		{name: "host key", text: hostKey, answer: "Y", ok: true, said: "0 yes", want: Prompt{Text: strings.TrimSpace(hostKey), Choice: true}},
		{name: "host key, something else", text: hostKey, answer: "maybe", ok: true, said: "0 no", refused: true, want: Prompt{Text: strings.TrimSpace(hostKey), Choice: true}},
		{name: "host key, nobody answers", text: hostKey, refused: true, want: Prompt{Text: strings.TrimSpace(hostKey), Choice: true}},
		{name: "host key, asked again", text: "Please type 'yes', 'no' or the fingerprint: ", answer: "yes", ok: true, said: "0 yes", want: Prompt{Text: "Please type 'yes', 'no' or the fingerprint:", Choice: true}},
		{name: "confirmation", kind: "confirm", text: "Allow use of key?", answer: "yes", ok: true, said: "0 yes", want: Prompt{Text: "Allow use of key?", Choice: true}},
		{name: "escapes", text: "\x1b[2J\u202epassword:", answer: "x", ok: true, said: "0 x", want: Prompt{Text: `\x1b[2J\u202epassword:`, Secret: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := asks(c.kind, c.text)
			var got Prompt
			var p *Proc
			ready := make(chan struct{})
			cmd.Ask = func(_ context.Context, q Prompt) (string, bool) {
				<-ready
				got = q
				if !p.Asking() {
					t.Error("it says that it does not ask")
				}
				return c.answer, c.ok
			}
			p = start(t, cmd)
			dir := p.asker.dir
			close(ready)
			b, _ := io.ReadAll(p)
			if s := strings.TrimSpace(string(b)); s != c.said {
				t.Errorf("ssh would hear %q", s)
			}
			p.Close()
			c.want.Peer = "ada"
			if got != c.want {
				t.Errorf("asked %+v", got)
			}
			if q, ok := p.Refused(); ok != c.refused || ok && q != got {
				t.Errorf("refused: %v, %+v", ok, q)
			}
			for _, l := range p.Said() {
				if c.answer != "" && strings.Contains(l, c.answer) {
					t.Errorf("the answer is in %q", l)
				}
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("the socket's directory is still there: %v", err)
			}
		})
	}
}

// A word to the user is shown and needs no answer; ssh ends the askpass when it has gone by.
func TestAskpassShowsANotice(t *testing.T) {
	heard := make(chan string, 1)
	c := sh(`"$SSH_ASKPASS" "Confirm user presence for key" & read x; kill $!; wait; echo over`)
	c.Env = []string{promptEnv + "=none"}
	c.Line = func(s string) { heard <- s }
	c.Ask = func(context.Context, Prompt) (string, bool) {
		t.Error("a notice was asked")
		return "", false
	}
	p := start(t, c)
	if s := <-heard; s != "Confirm user presence for key" {
		t.Errorf("heard %q", s)
	}
	_, _ = io.WriteString(p, "\n")
	if line(t, p) != "over" {
		t.Error("it did not go on")
	}
}

// A process that is gone does not ask any longer.
func TestQuestionEndsWithItsProcess(t *testing.T) {
	c := asks("", "password: ")
	asked, ended := make(chan struct{}), make(chan struct{})
	c.Ask = func(ctx context.Context, _ Prompt) (string, bool) {
		close(asked)
		<-ctx.Done()
		close(ended)
		return "too late", true
	}
	p := start(t, c)
	<-asked
	go p.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it is still asked")
	}
	p.Close()
	if _, ok := p.Refused(); ok {
		t.Error("nobody refused anything")
	}
}

func TestSocketIsForUsAlone(t *testing.T) {
	c := sh(`cat`)
	asked := make(chan Prompt, 10)
	c.Ask = func(_ context.Context, q Prompt) (string, bool) {
		asked <- q
		return "x", true
	}
	p := start(t, c)
	for path, mode := range map[string]os.FileMode{p.asker.dir: 0o700, p.asker.socket: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	// What is no question gets no answer, and harms nothing.
	for _, s := range []string{"\n", "{\n", "[]\n", strings.Repeat("x", 2*maxPrompt), `{"text":` + "\n"} {
		conn, err := net.Dial("unix", p.asker.socket)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, s)
		_ = conn.(*net.UnixConn).CloseWrite()
		b, _ := io.ReadAll(conn)
		conn.Close()
		if len(b) > 0 {
			t.Errorf("%.20q was answered with %q", s, b)
		}
	}
	if len(asked) > 0 {
		t.Errorf("asked %+v", <-asked)
	}
}

// Where temporary files are to lie so deep that no socket's address names them, questions are asked all the same.
func TestAskpassInALongPath(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("deep", 30))
	if err := os.Mkdir(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", deep)
	c := asks("", "password: ")
	c.Ask = func(context.Context, Prompt) (string, bool) { return "x", true }
	p := start(t, c)
	if out, err := io.ReadAll(p); err != nil || string(out) != "0 x\n" {
		t.Errorf("%q, %v, and it says %q", out, err, p.Said())
	}
	dir := p.asker.dir
	p.Close()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
}

func TestAskpassIsOnlyOneWhenTold(t *testing.T) {
	env := map[string]string{}
	for _, args := range [][]string{{}, {"x"}, {"run", "x.yaml"}} {
		if _, ours := Askpass(args, func(k string) string { return env[k] }, io.Discard); ours {
			t.Errorf("%q: taken for an askpass", args)
		}
	}
	env["SSH_ASKPASS"], env[askpassEnv] = "/usr/bin/lt", "/nonexistent/s"
	if _, ours := Askpass([]string{"agent", "--stdio"}, func(k string) string { return env[k] }, io.Discard); ours {
		t.Error("what ssh starts beside an askpass is none")
	}
	if code, ours := Askpass([]string{"password:"}, func(k string) string { return env[k] }, io.Discard); !ours || code != 1 {
		t.Errorf("without its socket: %d, %v", code, ours)
	}
}

func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		at := map[string]string{}
		open := 0
		began := time.Now()
		ask := OneAtATime(func(ctx context.Context, q Prompt) (string, bool) {
			mu.Lock()
			if open++; open > 1 {
				t.Error("two questions at once")
			}
			mu.Unlock()
			defer func() {
				mu.Lock()
				open--
				at[q.Peer] = time.Since(began).String()
				mu.Unlock()
			}()
			if q.Peer == "c" {
				return "answer", true
			}
			<-ctx.Done()
			return "", false
		}, time.Minute)
		var wg sync.WaitGroup
		for _, peer := range []string{"a", "b", "c"} {
			wg.Go(func() {
				answer, ok := ask(t.Context(), Prompt{Peer: peer})
				if ok != (peer == "c") || ok && answer != "answer" {
					t.Errorf("%s: %q, %v", peer, answer, ok)
				}
			})
			synctest.Wait()
		}
		// Who gave up before its turn is not asked.
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, ok := ask(ctx, Prompt{Peer: "d"}); ok {
				t.Error("d was answered")
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
		if got := fmt.Sprint(at); got != "map[a:1m0s b:2m0s c:2m0s]" {
			t.Errorf("asked until %s", got)
		}
	})
}
