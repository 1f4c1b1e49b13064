package sshproc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"lt/engine/redact"
)

const (
	// askpassEnv names the socket of the process that asks; it makes this program an askpass.
	askpassEnv = "LT_ASKPASS"
	// promptEnv is how ssh tells an askpass what kind of question it has.
	promptEnv = "SSH_ASKPASS_PROMPT"
	// longestSocket is what fits into a socket's address on every system, with its closing zero.
	longestSocket = 103
	// maxPrompt bounds a question and an answer on the socket, in bytes.
	maxPrompt = 16 << 10
)

// Prompt is a question of ssh.
type Prompt struct {
	Peer   string // who cannot be reached without an answer
	Text   string // the question as ssh asks it, neutralised; it may have several lines
	Secret bool   // the answer is not to be shown: a password, a passphrase, a code
	Choice bool   // yes or no
}

// Prompter puts a question to a person. It returns false if there was no answer, and returns when ctx ends: then the question
// has lost its sense. An answer to a Choice means yes if it is "yes" or "y".
type Prompter func(ctx context.Context, p Prompt) (answer string, ok bool)

// OneAtATime makes a Prompter for many processes of one for a single question: the others wait, and each has so much time once
// it is asked. The result may be called from any goroutine.
func OneAtATime(p Prompter, limit time.Duration) Prompter {
	turn := make(chan struct{}, 1)
	return func(ctx context.Context, q Prompt) (string, bool) {
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return "", false
		}
		defer func() { <-turn }()
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if ctx.Err() != nil {
			return "", false
		}
		return p(ctx, q)
	}
}

// question and reply are the two lines of JSON that go over the socket.
type question struct {
	Text string `json:"text"`
	Kind string `json:"kind"` // what promptEnv says
}

type reply struct {
	OK     bool   `json:"ok"`
	Answer string `json:"answer"`
}

// Askpass is this program as ssh's askpass: if the environment says that it is one, it asks the process that started ssh,
// prints the answer, and returns true with the exit code. A program that uses Start with an Ask calls it first of all, with its
// arguments without its name.
func Askpass(args []string, getenv func(string) string, stdout io.Writer) (code int, handled bool) {
	socket := getenv(askpassEnv)
	// What ssh starts beside an askpass, such as a ProxyCommand, inherits the environment; only an askpass has one argument
	// and the environment's word that it is this program.
	if socket == "" || len(args) != 1 || getenv("SSH_ASKPASS") == "" {
		return 0, false
	}
	answer, err := ask(socket, question{Text: args[0], Kind: getenv(promptEnv)})
	if err != nil {
		return 1, true
	}
	fmt.Fprintln(stdout, answer)
	return 0, true
}

var errRefused = errors.New("refused")

func ask(socket string, q question) (string, error) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if len(q.Text) > maxPrompt/8 {
		q.Text = q.Text[:maxPrompt/8] // escaped as JSON, a byte may become six
	}
	if err := json.NewEncoder(c).Encode(q); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(io.LimitReader(c, maxPrompt)).ReadBytes('\n')
	if err != nil {
		return "", err
	}
	var r reply
	if err := json.Unmarshal(line, &r); err != nil {
		return "", err
	}
	if !r.OK {
		return "", errRefused
	}
	return r.Answer, nil
}

// asker answers the askpasses of one process.
type asker struct {
	peer    string
	prompt  Prompter
	proc    *Proc
	program string
	dir     string
	socket  string
	ln      net.Listener
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	open    atomic.Int32
	refused atomic.Pointer[Prompt]
}

// newAsker makes the socket: in a directory that only we can enter.
func newAsker(peer string, p Prompter, proc *Proc) (*asker, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "lt-ask-") // 0700, with a random name
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "s")
	if len(socket) > longestSocket { // a folder for temporary files may lie deep
		os.RemoveAll(dir)
		if dir, err = os.MkdirTemp("/tmp", "lt-ask-"); err != nil {
			return nil, err
		}
		socket = filepath.Join(dir, "s")
	}
	ln, err := net.Listen("unix", socket)
	if err == nil {
		err = os.Chmod(socket, 0o600)
	}
	if err != nil {
		if ln != nil {
			ln.Close()
		}
		os.RemoveAll(dir)
		return nil, err
	}
	a := &asker{peer: peer, prompt: p, proc: proc, program: program, dir: dir, socket: socket, ln: ln}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a, nil
}

func (a *asker) env() []string {
	env := []string{
		"SSH_ASKPASS=" + a.program, "SSH_ASKPASS_REQUIRE=force", askpassEnv + "=" + a.socket,
	}
	if os.Getenv("DISPLAY") == "" {
		env = append(env, "DISPLAY=:0") // before OpenSSH 8.4 nothing else makes ssh use its askpass
	}
	return env
}

func (a *asker) start() {
	a.wg.Go(func() {
		for {
			c, err := a.ln.Accept()
			if err != nil {
				return
			}
			a.wg.Go(func() { a.serve(c) })
		}
	})
}

// serve answers one askpass.
func (a *asker) serve(c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(a.ctx, func() { c.Close() })
	defer stop()
	if !ours(c) {
		return
	}
	line, err := bufio.NewReader(io.LimitReader(c, maxPrompt)).ReadBytes('\n')
	if err != nil {
		return
	}
	var q question
	if json.Unmarshal(line, &q) != nil {
		return
	}
	text := strings.TrimSpace(redact.NeutraliseLines(q.Text))
	if q.Kind == "none" { // a word to the user, such as "touch your key"; ssh ends the askpass when it has gone by
		a.proc.tail.add(strings.ReplaceAll(text, "\n", " "))
		_, _ = c.Read(make([]byte, 1))
		return
	}
	p := Prompt{Peer: a.peer, Text: text, Choice: q.Kind == "confirm" || strings.Contains(text, "yes/no") || strings.Contains(text, "type 'yes'")}
	p.Secret = !p.Choice
	a.open.Add(1)
	defer a.open.Add(-1)
	// An askpass that is gone asks no longer.
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	a.wg.Go(func() {
		_, _ = c.Read(make([]byte, 1))
		cancel()
	})
	answer, ok := a.prompt(ctx, p)
	r := answered(p, answer, ok)
	if !r.OK || p.Choice && r.Answer != "yes" {
		if ctx.Err() == nil {
			a.refused.CompareAndSwap(nil, &p)
		}
	}
	if !r.OK && ctx.Err() == nil {
		a.proc.signal(syscall.SIGTERM) // before the askpass ends: ssh would try an empty password then
	}
	_ = json.NewEncoder(c).Encode(r)
}

// answered is what ssh is told. To a yes-or-no question it hears only these two words: on anything else it asks again for ever.
func answered(p Prompt, answer string, ok bool) reply {
	answer = strings.TrimRight(answer, "\r\n")
	if p.Choice {
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y", "yes":
			if ok {
				return reply{OK: true, Answer: "yes"}
			}
		}
		return reply{OK: ok, Answer: "no"}
	}
	if !ok || answer == "" || strings.ContainsAny(answer, "\x00\r\n") {
		return reply{}
	}
	return reply{OK: true, Answer: answer}
}

// close ends the questions and removes the socket; it returns when all of that is done.
func (a *asker) close() {
	a.cancel()
	a.ln.Close()
	a.wg.Wait()
	os.RemoveAll(a.dir)
}
