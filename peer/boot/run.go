package boot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"lt/engine/redact"
)

const (
	// maxNoise is what login shells may print, in bytes, before and between the lines of the script.
	maxNoise = 64 << 10
	// patience is how long a healthy peer takes to get on, on a slow machine.
	patience = 20 * time.Second
	// dialPatience is for two hops of ssh, each with its ConnectTimeout of 15 s, and a slow login.
	dialPatience = 45 * time.Second
	// slowest is the slowest link that an upload is given time for, in bytes a second: what we have written may still be in
	// the buffers of ssh. That the other end is alive at all is ssh's to watch.
	slowest = 16 << 10
	// maxReport bounds a line of the script.
	maxReport = 4096
)

// agentIntro begins an agent's introduction: wire.Magic and its JSON.
const agentIntro = "LT/1 {"

// Booted is a connection on which an agent runs: the next bytes that it reads are the agent's introduction.
type Booted struct {
	rw   io.ReadWriteCloser
	rest []byte // read already
}

// Read reads what the agent says. One goroutine may read at a time.
func (b *Booted) Read(p []byte) (int, error) {
	if len(b.rest) > 0 {
		n := copy(p, b.rest)
		b.rest = b.rest[n:]
		return n, nil
	}
	return b.rw.Read(p)
}

// Write writes to the agent.
func (b *Booted) Write(p []byte) (int, error) { return b.rw.Write(p) }

// Close closes the stream beneath.
func (b *Booted) Close() error { return b.rw.Close() }

// Run carries out an offer over a stream on whose other end its script was started, or an agent that needs none. On success the
// stream stands exactly at the agent's introduction. On failure rw is closed, and the error is an *Error or ctx's.
//
// progress is told of each step as it begins and as it goes on: dial, probe, upload with the share that is done, 0 to 1, and
// hello, which is what the caller does next. It is called from Run's goroutines, never twice at once; nil: nobody is told.
func Run(ctx context.Context, rw io.ReadWriteCloser, o *Offer, progress func(step string, share float64)) (*Booted, error) {
	r := &run{offer: o, rw: rw, tell: progress, phase: Dial}
	r.scan = scanner{r: rw, marker: []byte("LTB1 " + o.nonce + " ")}
	r.watch = time.AfterFunc(dialPatience, r.stalled)
	stop := context.AfterFunc(ctx, func() { rw.Close() })
	r.step("dial", 0)
	b, err := r.do()
	r.mu.Lock()
	r.over = true
	r.watch.Stop()
	silent, limit := r.silent, r.limit
	r.mu.Unlock()
	if !stop() && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err == nil {
		return b, nil
	}
	rw.Close()
	r.sending.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Phase: r.phase, Err: err}
		switch {
		case silent:
			e.Why = fmt.Sprintf("nothing happened for %s", limit)
			e.Do = "see whether the host is overloaded or asks for something at login"
		case errors.Is(err, errNoise):
			e.Why = fmt.Sprintf("its login printed more than %d KiB before the agent began", maxNoise>>10)
			e.Do = "keep ~/.profile and the like quiet when there is no terminal"
		case r.phase == Exec:
			e.Why = "the agent ended before it introduced itself"
		default:
			e.Why = "the connection ended"
		}
	}
	if e.Said == "" {
		e.Said = last(r.scan.noise())
	}
	return nil, e
}

type run struct {
	offer   *Offer
	rw      io.ReadWriteCloser
	scan    scanner
	tell    func(string, float64)
	system  string
	sending sync.WaitGroup
	sent    bool  // all of the program; to be read after sending
	phase   Phase // belongs to the reading goroutine

	mu     sync.Mutex
	watch  *time.Timer
	limit  time.Duration
	silent bool // the watch ended it
	over   bool
}

func (r *run) step(name string, share float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tell != nil && !r.over {
		r.tell(name, share)
	}
}

// patient sets how long may pass until there has to be progress again.
func (r *run) patient(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit = d
	if !r.over {
		r.watch.Reset(d)
	}
}

// stalled ends everything if the time is up and nobody is being asked for a password.
func (r *run) stalled() {
	r.mu.Lock()
	if r.over {
		r.mu.Unlock()
		return
	}
	if r.offer.Waiting != nil && r.offer.Waiting() {
		r.watch.Reset(patience)
		r.mu.Unlock()
		return
	}
	r.silent = true
	r.mu.Unlock()
	r.rw.Close()
}

func (r *run) do() (*Booted, error) {
	r.patient(dialPatience)
	for {
		word, rest, err := r.scan.next()
		if err != nil {
			return nil, err
		}
		switch word {
		case "": // the agent
			if r.phase != Dial && r.phase != Exec {
				return nil, &Error{Phase: r.phase, Why: "an agent spoke before it was started"}
			}
			if r.phase == Dial {
				r.step("hello", 0)
			}
			return &Booted{rw: r.rw, rest: r.scan.buf}, nil
		case "hi":
			if r.phase != Dial {
				return nil, &Error{Phase: r.phase, Why: "the peer began twice"}
			}
			r.phase, r.system = Probe, rest
			r.step("probe", 0)
			r.patient(patience)
		case "need":
			if r.phase != Probe {
				return nil, &Error{Phase: r.phase, Why: "the peer asked for the program twice"}
			}
			r.phase = Upload
			packed, _, _ := strings.Cut(rest, " ")
			data, size, err := r.offer.open(r.system, packed == "gzip")
			if err != nil {
				return nil, &Error{Phase: Upload, Why: err.Error(), Err: err}
			}
			kind := "raw"
			if packed == "gzip" {
				kind = "gzip"
			}
			r.step("upload", 0)
			r.patient(patience)
			r.sending.Go(func() { r.send(kind, data, size) })
		case "exec":
			if r.phase != Probe && r.phase != Upload {
				return nil, &Error{Phase: r.phase, Why: "the peer started the agent twice"}
			}
			if r.sending.Wait(); r.phase == Upload && !r.sent {
				return nil, &Error{Phase: Upload, Why: "the peer started the agent before it had all of it"}
			}
			r.phase = Exec
			r.step("hello", 0)
			r.patient(patience)
		case "fail":
			return nil, r.failed(rest)
		}
	}
}

// send uploads a program. What goes wrong in it the other side says, or its end does.
func (r *run) send(kind string, data io.ReadCloser, size int64) {
	defer data.Close()
	if _, err := fmt.Fprintf(r.rw, "%s %d\n", kind, size); err != nil {
		return
	}
	buf := make([]byte, 32<<10)
	for sent := int64(0); sent < size; {
		n, err := data.Read(buf[:min(int64(len(buf)), size-sent)])
		if _, werr := r.rw.Write(buf[:n]); werr != nil {
			return
		}
		sent += int64(n)
		if err != nil && sent < size {
			r.rw.Close() // the file became shorter since it was hashed
			return
		}
		r.patient(patience + time.Duration(sent)*time.Second/slowest)
		r.step("upload", float64(sent)/float64(size))
	}
	r.sent = true
}

// failed makes a sentence of the script's complaint.
func (r *run) failed(rest string) error {
	what, details, _ := strings.Cut(rest, " ")
	details = strings.TrimPrefix(strings.TrimSpace(details), ", ")
	switch what {
	case "arch":
		return r.offer.missing(r.system)
	case "nodir":
		return &Error{
			Phase: Probe, Why: "no directory there may hold a program and run it: " + details,
			Do: "name one in LT_CACHE of the account's environment, or install lt there and give its path as agent:",
		}
	case "write":
		return &Error{Phase: Upload, Why: "the program could not be written: " + details, Do: "make room there, or name another directory in LT_CACHE"}
	case "badsum":
		return &Error{
			Phase: Upload, Why: "what arrived is not what was sent (" + details + " bytes of it)", Retry: true,
			Do: "something between here and there changes bytes: a proxy, or a program that was rebuilt meanwhile",
		}
	case "nosum":
		return &Error{Phase: Upload, Why: "the peer has no sha256sum, shasum, openssl or sha256 to check the program with", Do: "install one of them there"}
	default:
		return &Error{Phase: r.phase, Why: "the peer gave up: " + rest}
	}
}

var errNoise = errors.New("too much noise")

// scanner finds the script's lines, and the agent's introduction, in what login shells print around them.
type scanner struct {
	r       io.Reader
	marker  []byte
	buf     []byte // read and not used up
	skipped []byte // the last of the noise
	noisy   int    // bytes of noise
	chunk   [4096]byte
}

// next is the next line of the script as its first word and the rest, neutralised; or an empty word at an agent's
// introduction, which is then at the beginning of buf.
func (s *scanner) next() (word, rest string, err error) {
	for {
		ours, agent := bytes.Index(s.buf, s.marker), bytes.Index(s.buf, []byte(agentIntro))
		switch {
		case agent >= 0 && (ours < 0 || agent < ours):
			if err := s.skip(agent); err != nil {
				return "", "", err
			}
			return "", "", nil
		case ours >= 0:
			if err := s.skip(ours); err != nil {
				return "", "", err
			}
			line := s.buf[len(s.marker):]
			if end := bytes.IndexByte(line, '\n'); end >= 0 && end <= maxReport {
				text := strings.TrimSpace(redact.Neutralise(strings.TrimRight(string(line[:end]), "\r")))
				s.buf = line[end+1:]
				if word, rest, _ = strings.Cut(text, " "); word == "" {
					word = "?"
				}
				return word, rest, nil
			} else if end > maxReport || len(line) > maxReport {
				return "", "", errNoise
			}
		default:
			// The end of buf may be the beginning of either.
			if err := s.skip(len(s.buf) - max(len(s.marker), len(agentIntro)) + 1); err != nil {
				return "", "", err
			}
		}
		n, err := s.r.Read(s.chunk[:])
		s.buf = append(s.buf, s.chunk[:n]...)
		if err != nil && n == 0 {
			_ = s.skip(len(s.buf))
			return "", "", err
		}
	}
}

// skip counts the next n bytes as noise.
func (s *scanner) skip(n int) error {
	if n <= 0 {
		return nil
	}
	const keep = 2 << 10
	s.noisy += n
	s.skipped = append(s.skipped, s.buf[:n]...)
	if over := len(s.skipped) - keep; over > 0 {
		s.skipped = append(s.skipped[:0], s.skipped[over:]...)
	}
	s.buf = s.buf[n:]
	if s.noisy > maxNoise {
		return errNoise
	}
	return nil
}

// noise are the last lines of what was skipped, neutralised.
func (s *scanner) noise() []string {
	return strings.Split(redact.NeutraliseLines(strings.TrimSpace(string(s.skipped))), "\n")
}
