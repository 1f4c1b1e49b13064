package boot

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"lt/peer/lab"
	"lt/peer/sshproc"
	"lt/peer/wire"
)

func TestMain(m *testing.M) {
	if code, ours := sshproc.Askpass(os.Args[1:], os.Getenv, os.Stdout); ours {
		os.Exit(code)
	}
	goleak.VerifyTestMain(lab.Main(m))
}

func TestAgentIntroductionIsThatOfTheWire(t *testing.T) {
	if agentIntro != wire.Magic+"{" {
		t.Errorf("%q, and the wire says %q", agentIntro, wire.Magic)
	}
}

// far is the other end of a stream, played by a test.
type far struct {
	net.Conn
	in    *bufio.Reader
	nonce string
}

func (f *far) say(format string, args ...any) {
	fmt.Fprintf(f, "\nLTB1 %s "+format+"\n", append([]any{f.nonce}, args...)...)
}

func (f *far) line() string {
	s, _ := f.in.ReadString('\n')
	return strings.TrimSpace(s)
}

// payload is a stand-in for a program, in a file.
func payload(t *testing.T, content string) *Binaries {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lt")
	if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
	return &Binaries{programs: []*Program{{OS: "linux", Arch: "amd64", Path: path, SHA256: sum256(content), Size: int64(len(content))}}}
}

func sum256(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// against runs an offer against a far end, in virtual time.
func against(t *testing.T, b *Binaries, waiting func() bool, play func(*far)) (booted *Booted, steps []string, err error) {
	near, other := net.Pipe()
	o := NewOffer(b)
	o.Waiting = waiting
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer other.Close()
		play(&far{Conn: other, in: bufio.NewReader(other), nonce: o.nonce})
	}()
	booted, err = Run(t.Context(), near, o, func(step string, share float64) {
		if n := len(steps); n == 0 || !strings.HasPrefix(steps[n-1], step) {
			steps = append(steps, step)
		}
		if share < 0 || share > 1 {
			t.Errorf("%s: %v is done", step, share)
		}
	})
	if booted != nil {
		rest, _ := io.ReadAll(booted)
		if string(rest) != "LT/1 {}\nand on" {
			t.Errorf("the stream stands at %q", rest)
		}
		booted.Close()
	}
	<-done
	return booted, steps, err
}

func introduce(f *far) { io.WriteString(f, "LT/1 {}\nand on") }

func TestRun(t *testing.T) {
	content := strings.Repeat("program ", 50_000)
	b := payload(t, content)
	for _, c := range []struct {
		name  string
		play  func(*far)
		steps string
		err   string // contained in the error; empty: none
	}{
		{
			name: "cached", steps: "[dial probe hello]",
			play: func(f *far) {
				io.WriteString(f, "Welcome!\r\nLTB1 or not\n")
				f.say("hi Linux x86_64")
				f.say("exec hit /a b/x")
				introduce(f)
			},
		},
		{
			name: "uploaded raw", steps: "[dial probe upload hello]",
			play: func(f *far) {
				f.say("hi Linux amd64")
				f.say("need raw /d")
				f.want(t, fmt.Sprintf("raw %d", len(content)))
				got, _ := io.ReadAll(io.LimitReader(f.in, int64(len(content))))
				if string(got) != content {
					t.Error("it did not arrive whole")
				}
				f.say("exec new /x")
				introduce(f)
			},
		},
		{
			name: "uploaded packed", steps: "[dial probe upload hello]",
			play: func(f *far) {
				f.say("hi Linux x86_64")
				f.say("need gzip /d")
				var n int64
				if _, err := fmt.Sscanf(f.line(), "gzip %d", &n); err != nil || n <= 0 || n >= int64(len(content)) {
					t.Errorf("%d bytes of %d: %v", n, len(content), err)
				}
				z, err := gzip.NewReader(io.LimitReader(f.in, n))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := io.ReadAll(z); err != nil || string(got) != content {
					t.Errorf("it did not arrive whole: %v", err)
				}
				f.say("exec new /x")
				introduce(f)
			},
		},
		{
			name: "an agent that is there", steps: "[dial hello]",
			play: func(f *far) {
				io.WriteString(f, "MOTD without an end")
				introduce(f)
			},
		},
		{
			name: "one that begins anew", steps: "[dial probe upload]", err: "upload: the peer began twice",
			play: func(f *far) {
				f.say("hi Linux x86_64")
				f.say("need raw /d")
				f.line()
				f.say("hi Linux x86_64")
				f.say("need raw /d")
				_, _ = io.Copy(io.Discard, f.in)
			},
		},
		{
			name: "nothing", err: "dial: the connection ended", play: func(*far) {},
		},
		{
			name: "only words", err: `dial: the connection ended; it said "This account is currently not available."`,
			play: func(f *far) { io.WriteString(f, "This account is currently not available.\n") },
		},
		{
			name: "too many words", err: "printed more than 64 KiB",
			play: func(f *far) {
				for range 2000 {
					if _, err := io.WriteString(f, "la la la la la la la la la la la la la la\n"); err != nil {
						return
					}
				}
			},
		},
		{
			name: "a line without an end", err: "printed more than 64 KiB",
			play: func(f *far) { fmt.Fprintf(f, "LTB1 %s hi %s", f.nonce, strings.Repeat("x", 8000)) },
		},
		{
			name: "silence", err: "dial: nothing happened for 45s", play: func(f *far) { f.line() },
		},
		{
			name: "drops of noise are no progress", err: "dial: nothing happened for 45s",
			play: func(f *far) {
				for {
					time.Sleep(10 * time.Second)
					if _, err := io.WriteString(f, "x\n"); err != nil {
						return
					}
				}
			},
		},
		{
			name: "silence later", err: "probe: nothing happened for 20s",
			play: func(f *far) {
				f.say("hi Linux x86_64")
				f.line()
			},
		},
		{
			name: "no agent", err: "exec: the agent ended before it introduced itself",
			play: func(f *far) {
				f.say("hi Linux x86_64")
				f.say("exec hit /x")
			},
		},
		{
			name: "another system", err: "there is no lt for linux/riscv64 here; build it with GOOS=linux GOARCH=riscv64 CGO_ENABLED=0 go build -o lt-linux-riscv64 .",
			play: func(f *far) {
				f.say("hi Linux riscv64")
				f.say("fail arch Linux riscv64")
			},
		},
		{
			name: "an unknown system", err: `lt does not run on "SunOS sun4u"`,
			play: func(f *far) {
				f.say("hi SunOS sun4u")
				f.say("fail arch SunOS sun4u")
			},
		},
		{
			name: "Windows", err: "the peer runs Windows",
			play: func(f *far) {
				f.say("hi MINGW64_NT-10.0 x86_64")
				f.say("fail arch MINGW64_NT-10.0 x86_64")
			},
		},
		{
			name: "no directory", err: "may hold a program and run it: /tmp/lt-1 is not ours, /dev/shm/lt-1 runs no programs; name one in LT_CACHE",
			play: func(f *far) {
				f.say("hi Linux x86_64")
				f.say("fail nodir , /tmp/lt-1 is not ours, /dev/shm/lt-1 runs no programs")
			},
		},
		{
			name: "full while uploading", err: "upload: the program could not be written: tmpfs 1024 1024 0 100% /home",
			play: func(f *far) {
				f.say("hi Linux x86_64")
				f.say("need raw /d")
				f.line()
				f.say("fail write tmpfs 1024 1024 0 100%% /home")
				// The rest of the program is read by nobody.
				time.Sleep(time.Second)
			},
		},
		{
			name: "escapes", err: `exec: the agent ended before it introduced itself; it said "\x1b[2J"`,
			play: func(f *far) {
				f.say("hi Linux x86_64")
				f.say("exec hit /x")
				io.WriteString(f, "\x1b[2J\n")
			},
		},
		{
			name: "asks twice", err: "asked for the program twice",
			play: func(f *far) {
				f.say("hi Linux x86_64")
				f.say("need raw /d")
				f.line()
				f.say("need raw /d")
			},
		},
		{
			name: "asks for what is not there", err: "was not offered",
			play: func(f *far) {
				f.say("hi Linux s390x")
				f.say("need raw /d")
			},
		},
		{
			name: "starts without having it", err: "upload: the peer started the agent before it had all of it",
			play: func(f *far) {
				f.say("hi Linux x86_64")
				f.say("need raw /d")
				f.line()
				f.say("exec new /x")
				time.Sleep(time.Hour)
			},
		},
		{
			name: "speaks too early", err: "an agent spoke before it was started",
			play: func(f *far) {
				f.say("hi Linux x86_64")
				introduce(f)
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, steps, err := against(t, b, nil, c.play)
				if c.err != "" {
					var e *Error
					if err == nil || !strings.Contains(err.Error(), c.err) || !errors.As(err, &e) {
						t.Errorf("error: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if fmt.Sprint(steps) != c.steps {
					t.Errorf("steps %v", steps)
				}
			})
		})
	}
}

func (f *far) want(t *testing.T, line string) {
	if got := f.line(); got != line {
		t.Errorf("read %q", got)
	}
}

// While somebody looks for a password, no clock runs.
func TestRunWaitsForAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, _, err := against(t, payload(t, "x"), func() bool { return time.Since(began) < 5*time.Minute }, func(f *far) {
			time.Sleep(5 * time.Minute)
			f.say("hi Linux x86_64")
			f.say("exec hit /x")
			introduce(f)
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// A slow link has its time: what was written may still be on its way.
func TestRunIsPatientWithASlowLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := strings.Repeat("x", 4<<20)
		_, _, err := against(t, payload(t, content), nil, func(f *far) {
			f.say("hi Linux x86_64")
			f.say("need raw /d")
			f.line()
			_, _ = io.CopyN(io.Discard, f.in, int64(len(content))) // into the buffers of ssh
			time.Sleep(time.Duration(len(content)) * time.Second / 20_000)
			f.say("exec new /x")
			introduce(f)
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, other := net.Pipe()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := Run(ctx, near, NewOffer(nil), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if _, err := other.Read(make([]byte, 1)); err == nil {
			t.Error("the stream is open")
		}
	})
}

// The lines are found wherever the reads happen to cut them.
func FuzzScanner(f *testing.F) {
	marker := []byte("LTB1 0123456789abcdef0123456789abcdef ")
	f.Add([]byte("motd\nLTB1 "), []byte("\nnoise"), "need gzip /a b", 1)
	f.Add([]byte(""), []byte("LT/1 "), "hi Linux x86_64\r", 7)
	f.Add([]byte("LTB1 0123456789abcdef0123456789abcdef"), []byte("LT"), "", 3)
	f.Fuzz(func(t *testing.T, before, between []byte, text string, chunk int) {
		if len(before)+len(between)+len(text) > 4000 || strings.ContainsAny(text, "\n") {
			return
		}
		for _, noise := range [][]byte{before, between} {
			if bytes.Contains(noise, marker) || bytes.Contains(noise, []byte(agentIntro)) {
				return
			}
		}
		var in bytes.Buffer
		in.Write(before)
		in.WriteByte('\n')
		in.Write(marker)
		in.WriteString(text + "\n")
		in.Write(between)
		in.WriteString("\n" + agentIntro + "}")
		r := io.Reader(&in)
		if chunk%2 == 0 {
			r = iotest.OneByteReader(r)
		} else if chunk%3 == 0 {
			r = iotest.HalfReader(r)
		}
		s := scanner{r: r, marker: marker}
		if strings.Contains(text, agentIntro) || strings.Contains(text, string(marker)) {
			return
		}
		word, rest, err := s.next()
		if err != nil || word == "" || strings.ContainsAny(word+rest, "\n\x1b\x00") {
			t.Fatalf("%q, %q, %v", word, rest, err)
		}
		word, _, err = s.next()
		if err != nil || word != "" {
			t.Fatalf("the introduction is %q, %v", word, err)
		}
		all, _ := io.ReadAll(r)
		if got := string(s.buf) + string(all); got != agentIntro+"}" {
			t.Errorf("the stream stands at %q", got)
		}
		for _, l := range s.noise() {
			if strings.ContainsAny(l, "\x1b\x00\r") {
				t.Errorf("noise %q", l)
			}
		}
	})
}
