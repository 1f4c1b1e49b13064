//go:build unix

package boot

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lt/peer/lab"
	"lt/peer/sshproc"
)

// stand is a stand-in for the program: it introduces itself, says how it was started, and echoes.
const stand = `#!/bin/sh
echo "LT/1 {}"
echo "$0 $* in $(pwd)"
exec cat
`

// standIn offers it for this machine.
func standIn(t *testing.T) *Binaries {
	t.Helper()
	b := payload(t, stand)
	b.programs[0].OS, b.programs[0].Arch = runtime.GOOS, runtime.GOARCH
	return b
}

// dial starts the stand-in through a launcher, in an environment of its own.
func dial(t *testing.T, b *Binaries, home string, argv ...string) (*Conn, error) {
	t.Helper()
	return dialTold(t, b, home, Told{}, argv...)
}

func dialTold(t *testing.T, b *Binaries, home string, told Told, argv ...string) (*Conn, error) {
	t.Helper()
	env := []string{"env", "-u", "LT_CACHE", "-u", "XDG_CACHE_HOME", "HOME=" + home}
	a, err := New(Entry{Exec: append(env, argv...)})
	if err != nil {
		t.Fatal(err)
	}
	a.Name = "peer"
	c, err := NewDialer("", b, nil).Dial(t.Context(), a, told)
	if c != nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// begin is dial for a start that has to succeed; uploaded says whether the program was brought along.
func begin(t *testing.T, b *Binaries, home string, argv ...string) (c *Conn, uploaded bool) {
	t.Helper()
	c, err := dialTold(t, b, home, Told{Step: func(name string, _ float64) { uploaded = uploaded || name == "upload" }}, argv...)
	if err != nil {
		t.Fatal(err)
	}
	return c, uploaded
}

// works fails unless the agent speaks and hears. It returns the path of its program, as the agent itself says it.
func works(t *testing.T, c *Conn) string {
	t.Helper()
	r := bufio.NewReader(c)
	if got, err := r.ReadString('\n'); err != nil || got != "LT/1 {}\n" {
		t.Fatalf("read %q, %v; stderr %q", got, err, c.Said())
	}
	got, err := r.ReadString('\n')
	path, whole := strings.CutSuffix(got, " agent --stdio in /\n")
	if err != nil || !whole {
		t.Fatalf("read %q, %v; stderr %q", got, err, c.Said())
	}
	if _, err := io.WriteString(c, "echo\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := r.ReadString('\n'); err != nil || got != "echo\n" {
		t.Fatalf("heard %q, %v", got, err)
	}
	return path
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

var shells = [][]string{{"sh"}, {"dash"}, {"bash"}, {"mksh"}, {"busybox", "sh"}, {"zsh"}}

// The script does the same in every POSIX shell: the first start uploads, the second finds it there.
func TestScriptInEveryShell(t *testing.T) {
	for _, shell := range shells {
		t.Run(shell[0], func(t *testing.T) {
			lab.Need(t, shell[0])
			b, home := standIn(t), t.TempDir()
			for n := range 2 {
				c, uploaded := begin(t, b, home, append(slices.Clone(shell), "-c", "{boot}")...)
				path := works(t, c)
				if uploaded != (n == 0) || !strings.HasPrefix(path, home) {
					t.Errorf("start %d: uploaded %v, %s runs", n, uploaded, path)
				}
				c.Close()
				if got := files(t, filepath.Dir(path)); len(got) != 1 || got[0] != b.programs[0].SHA256 {
					t.Errorf("start %d leaves %q", n, got)
				}
			}
		})
	}
}

// The one line means the same to every login shell.
func TestCommandInEveryLoginShell(t *testing.T) {
	for _, shell := range append([][]string{{"fish"}, {"tcsh"}}, shells...) {
		t.Run(shell[0], func(t *testing.T) {
			lab.Need(t, shell[0])
			b, home := standIn(t), t.TempDir()
			o := NewOffer(b)
			command := o.Command()
			if strings.ContainsAny(command, "\n!") || len(command) > maxCommand {
				t.Errorf("%d bytes: %q", len(command), command)
			}
			argv := append([]string{"env", "-u", "LT_CACHE", "-u", "XDG_CACHE_HOME", "HOME=" + home}, shell...)
			p, err := sshproc.Start(t.Context(), sshproc.Command{Argv: append(argv, "-c", command)})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			booted, err := Run(t.Context(), p, o, nil)
			if err != nil {
				t.Fatalf("%v; stderr %q", err, p.Said())
			}
			works(t, &Conn{Booted: booted, proc: p})
		})
	}
}

// What ssh servers take has a bound; the table with every system that there is stays below it.
func TestCommandIsShort(t *testing.T) {
	var b Binaries
	for _, k := range known {
		b.programs = append(b.programs, &Program{OS: k[0], Arch: k[1], SHA256: strings.Repeat("0", 64), Size: 1 << 40})
	}
	if n := len(NewOffer(&b).Command()); n > maxCommand {
		t.Errorf("%d bytes", n)
	}
	if n := len(NewOffer(standIn(t)).Command()); n > 6<<10 {
		t.Errorf("%d bytes with one system", n)
	}
}

func FuzzOneLine(f *testing.F) {
	f.Add("printf '%s\\n' \"$x\" `y` !z \\134 \u00e9")
	f.Fuzz(func(t *testing.T, script string) {
		if strings.ContainsRune(script, 0) || len(script) > 2000 {
			return
		}
		line := oneLine(script)
		inner := strings.TrimSuffix(strings.TrimPrefix(line, `exec /bin/sh -c 'eval "$(printf "`), `")"'`)
		if strings.ContainsAny(inner, "'\"$`!%\n") || line != `exec /bin/sh -c 'eval "$(printf "`+inner+`")"'` {
			t.Errorf("%q", line)
		}
		var back []byte
		for i := 0; i < len(inner); i++ {
			if inner[i] == '\\' {
				back = append(back, (inner[i+1]-'0')<<6|(inner[i+2]-'0')<<3|(inner[i+3]-'0'))
				i += 3
			} else {
				back = append(back, inner[i])
			}
		}
		if string(back) != script {
			t.Errorf("%q became %q", script, back)
		}
	})
}

// unpacked makes the peer ask for the program as it is, and keeps what is written to it.
type unpacked struct {
	io.ReadWriteCloser
	written bytes.Buffer
}

func (u *unpacked) Write(p []byte) (int, error) {
	n, err := u.ReadWriteCloser.Write(p)
	u.written.Write(p[:n])
	return n, err
}

func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.ReadWriteCloser.Read(p)
	copy(p, bytes.ReplaceAll(p[:n], []byte("need gzip"), []byte("need raw ")))
	return n, err
}

func TestUploadWithoutGzip(t *testing.T) {
	b, home := standIn(t), t.TempDir()
	o := NewOffer(b)
	p, err := sshproc.Start(t.Context(), sshproc.Command{
		Argv: []string{"env", "-u", "LT_CACHE", "-u", "XDG_CACHE_HOME", "HOME=" + home, "sh", "-c", o.Script()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	u := &unpacked{ReadWriteCloser: p}
	booted, err := Run(t.Context(), u, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := u.written.String(), fmt.Sprintf("raw %d\n%s", len(stand), stand); got != want {
		t.Errorf("sent %q, want %q", got, want)
	}
	works(t, &Conn{Booted: booted, proc: p})
}

func TestNoisyLoginsAreSkipped(t *testing.T) {
	b := standIn(t)
	noise := `printf 'Welcome to h\r\n\033[31mLast login: today\n'; printf 'no line end LTB1 0 exec hit /bin/false'; ` +
		`echo to stderr >&2; eval "$1"`
	c, err := dial(t, b, t.TempDir(), "sh", "-c", noise, "-c", "{boot}")
	if err == nil {
		works(t, c)
	} else {
		t.Fatal(err)
	}
}

// A program that broke in the cache is noticed and brought again, in the same connection.
func TestBrokenCacheIsMended(t *testing.T) {
	b, home := standIn(t), t.TempDir()
	first, _ := begin(t, b, home, "sh", "-c", "{boot}")
	path := works(t, first)
	first.Close()
	for name, spoil := range map[string]func() error{
		"cut":         func() error { return os.Truncate(path, 20) },
		"changed":     func() error { return os.WriteFile(path, []byte(strings.Replace(stand, "cat", "tac", 1)), 0o700) },
		"a directory": func() error { return errors.Join(os.Remove(path), os.MkdirAll(path+"/x", 0o700)) },
		"a link":      func() error { return errors.Join(os.Remove(path), os.Symlink("/bin/sh", path)) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			c, uploaded := begin(t, b, home, "sh", "-c", "{boot}")
			if !uploaded {
				t.Error("it was taken as it was")
			}
			works(t, c)
			c.Close()
		})
	}
	// Without the right to execute it is whole all the same.
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	c, uploaded := begin(t, b, home, "sh", "-c", "{boot}")
	if uploaded {
		t.Fatal("it was brought again")
	}
	works(t, c)
}

func TestOldProgramsGo(t *testing.T) {
	b, home := standIn(t), t.TempDir()
	dir := filepath.Join(home, ".cache/lt/agents")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	long := time.Now().AddDate(0, 0, -40)
	for name, at := range map[string]time.Time{"old": long, ".upold": long, "young": time.Now().AddDate(0, 0, -20), b.programs[0].SHA256: long} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(stand), 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := dial(t, b, home, "sh", "-c", "{boot}")
	if err != nil {
		t.Fatal(err)
	}
	path := works(t, c)
	if got := files(t, dir); len(got) != 2 || !slices.Contains(got, "young") || !slices.Contains(got, b.programs[0].SHA256) {
		t.Errorf("left are %q", got)
	}
	if info, err := os.Stat(path); err != nil || time.Since(info.ModTime()) > time.Hour {
		t.Errorf("the start is not noted: %v", err)
	}
}

// Many starts at once on a host that has nothing yet.
func TestStartsAtOnceDoNotHurtEachOther(t *testing.T) {
	b, home := standIn(t), t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c, err := dial(t, b, home, "sh", "-c", "{boot}")
			if err != nil {
				t.Error(err)
				return
			}
			works(t, c)
			c.Close()
		})
	}
	wg.Wait()
	if got := files(t, filepath.Join(home, ".cache/lt/agents")); len(got) != 1 {
		t.Errorf("left are %q", got)
	}
}

// A directory that others can change is not used; the script goes on to the next.
func TestDirectoriesOfOthersAreNotUsed(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, home string) // below home/.cache
		root bool
	}{
		{name: "cache open to all", make: func(t *testing.T, home string) {
			must(t, os.Mkdir(home+"/.cache", 0o700), os.Chmod(home+"/.cache", 0o777))
		}},
		{name: "lt is a link", make: func(t *testing.T, home string) {
			must(t, os.MkdirAll(home+"/else/agents", 0o700), os.Mkdir(home+"/.cache", 0o700), os.Symlink(home+"/else", home+"/.cache/lt"))
		}},
		{name: "agents is a link", make: func(t *testing.T, home string) {
			must(t, os.Mkdir(home+"/else", 0o700), os.MkdirAll(home+"/.cache/lt", 0o700), os.Symlink(home+"/else", home+"/.cache/lt/agents"))
		}},
		{name: "lt is a file", make: func(t *testing.T, home string) {
			must(t, os.Mkdir(home+"/.cache", 0o700), os.WriteFile(home+"/.cache/lt", nil, 0o600))
		}},
		{name: "cache of another user", root: true, make: func(t *testing.T, home string) {
			must(t, os.Mkdir(home+"/.cache", 0o777), os.Chmod(home+"/.cache", 0o755), os.Chown(home+"/.cache", 65534, 65534))
		}},
		{name: "lt of another user", root: true, make: func(t *testing.T, home string) {
			must(t, os.MkdirAll(home+"/.cache/lt", 0o777), os.Chown(home+"/.cache/lt", 65534, 65534))
		}},
		{name: "agents of another user", root: true, make: func(t *testing.T, home string) {
			must(t, os.MkdirAll(home+"/.cache/lt/agents", 0o777), os.Chown(home+"/.cache/lt/agents", 65534, 65534))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.root {
				lab.Need(t, "root")
			}
			b, home := standIn(t), t.TempDir()
			c.make(t, home)
			conn, err := dial(t, b, home, "sh", "-c", "{boot}")
			if err != nil {
				t.Fatal(err)
			}
			path := works(t, conn)
			defer forget(path)
			if strings.HasPrefix(path, home) {
				t.Errorf("it used %s", path)
			}
		})
	}
	// A home whose cache is elsewhere is the user's own affair.
	t.Run("cache is a link of ours", func(t *testing.T) {
		b, home := standIn(t), t.TempDir()
		must(t, os.Mkdir(home+"/big", 0o700), os.Symlink(home+"/big", home+"/.cache"))
		conn, err := dial(t, b, home, "sh", "-c", "{boot}")
		if err != nil {
			t.Fatal(err)
		}
		real, err := filepath.EvalSymlinks(home)
		must(t, err)
		if path := works(t, conn); !strings.HasPrefix(path, real+"/big/lt/agents/") {
			t.Errorf("it used %s", path)
		}
	})
}

// forget removes a program from a directory of the machine itself, and what was made for it.
func forget(path string) {
	for range 4 { // lt-UID/lt/agents/HASH; what others have something in stays
		_ = os.Remove(path)
		path = filepath.Dir(path)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// mounted runs the script with file systems of its own: setup is a script of mounts, in which $HOME stands.
func mounted(t *testing.T, b *Binaries, setup string) (*Conn, error) {
	t.Helper()
	lab.Need(t, "netns", "unshare")
	return dial(t, b, t.TempDir(), "unshare", "-m", "sh", "-c", `set -e; for d in /var/tmp /tmp /dev/shm; do [ -d $d ]; done; `+setup+`; exec sh -c "$2"`, "sh", "-c", "{boot}")
}

func TestFileSystems(t *testing.T) {
	for _, c := range []struct{ name, setup, path, err string }{
		{name: "noexec home", setup: `mount -t tmpfs -o noexec x $HOME`, path: "/var/tmp/lt-0/"},
		{name: "read-only home", setup: `mount -t tmpfs -o ro x $HOME`, path: "/var/tmp/lt-0/"},
		{name: "full home", setup: `mount -t tmpfs -o size=4k x $HOME`, path: "/var/tmp/lt-0/"},
		{name: "no home", setup: `unset HOME`, path: "/var/tmp/lt-0/"},
		{name: "no such home", setup: `mount -t tmpfs -o ro x $HOME; HOME=$HOME/none`, path: "/var/tmp/lt-0/"},
		{name: "home in quotes", setup: `HOME="$HOME/it's \"a\" \$HOME"; mkdir "$HOME"`, path: `/it's "a" $HOME/.cache/lt/agents/`},
		{
			name: "all noexec", setup: `for d in /var/tmp /dev/shm /tmp; do mount -t tmpfs -o noexec x $d; done; HOME=`,
			err: "/var/tmp/lt-0 runs no programs, /tmp/lt-0 runs no programs, /dev/shm/lt-0 runs no programs; name one in LT_CACHE",
		},
		{
			name: "another user was first", setup: `for d in /var/tmp /dev/shm /tmp; do mount -t tmpfs -o mode=1777 x $d; done; HOME=
				mkdir /tmp/lt-0 /var/tmp/lt-0; chmod 777 /tmp/lt-0; chown 65534 /tmp/lt-0 /var/tmp/lt-0; mkdir /dev/shm/x; ln -s /dev/shm/x /dev/shm/lt-0`,
			err: "/var/tmp/lt-0 is not ours, /tmp/lt-0 is not ours, /dev/shm/lt-0 is not ours",
		},
		{
			name: "all full", setup: `for d in /var/tmp /dev/shm /tmp; do mount -t tmpfs -o size=16k x $d; done; HOME=`,
			err: "KB left",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := standIn(t)
			if strings.Contains(c.name, "full") {
				b = payload(t, stand+strings.Repeat("#", 1<<20))
				b.programs[0].OS, b.programs[0].Arch = runtime.GOOS, runtime.GOARCH
			}
			conn, err := mounted(t, b, c.setup)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), ": probe: ") {
					t.Errorf("error: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			path := works(t, conn)
			defer forget(path)
			if !strings.Contains(path, c.path) {
				t.Errorf("it used %s", path)
			}
		})
	}
}

// A disk that fills while the program is on its way: df promised more than there was.
func TestDiskFillsDuringTheUpload(t *testing.T) {
	b := standIn(t)
	big := make([]byte, 1<<20)
	for i := range big {
		big[i] = byte(i*i>>3 ^ i>>7)
	}
	b.programs[0] = payload(t, stand+string(big)).programs[0]
	b.programs[0].OS, b.programs[0].Arch = runtime.GOOS, runtime.GOARCH
	b.programs[0].Size = 1000 // what the table promises
	full := b.programs[0]
	if _, _, err := full.open(true); err != nil {
		t.Fatal(err)
	}
	_, err := mounted(t, b, `mount -t tmpfs -o size=256k x $HOME`)
	var e *Error
	if !errors.As(err, &e) || e.Phase != Upload || !strings.Contains(e.Why, "could not be written: x ") || !strings.Contains(e.Why, "100%") {
		t.Errorf("error: %v", err)
	}
}

func TestDialSaysWhatIsWrong(t *testing.T) {
	b, home := standIn(t), t.TempDir()
	for _, c := range []struct {
		name, script, phase, want string
	}{
		{"exits at once", `exit 3`, "dial", "the connection ended (exit 3); try: env -u LT_CACHE"},
		{"says why", `echo "no such pod" >&2; exit 1`, "dial", `the connection ended (exit 1); it said "no such pod"`},
		{"no such program", `exec /nonexistent/lt`, "exec", "could not be started there (exit 127)"},
		{"agent dies", `eval "$1"`, "exec", "the agent ended before it introduced itself (exit 9)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := b
			if c.name == "agent dies" {
				b = payload(t, "#!/bin/sh\nexit 9\n")
				b.programs[0].OS, b.programs[0].Arch = runtime.GOOS, runtime.GOARCH
			}
			_, err := dial(t, b, home, "sh", "-c", c.script, "-c", "{boot}")
			var e *Error
			if !errors.As(err, &e) || string(e.Phase) != c.phase || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "peer peer (env -u LT_CACHE") {
				t.Errorf("error: %v", err)
			}
		})
	}
	a, err := New(Entry{Exec: []string{"lt-no-such-launcher", "x"}})
	must(t, err)
	if _, err := NewDialer("", b, nil).Dial(t.Context(), a, Told{}); err == nil || !strings.Contains(err.Error(), "dial: start lt-no-such-launcher: executable file not found in $PATH; install lt-no-such-launcher") {
		t.Errorf("error: %v", err)
	}
}

// After the agent is there, its end is told.
func TestConnSaysHowItEnded(t *testing.T) {
	const own = -2 // the number of the process that carries the connection
	for _, c := range []struct {
		after, say, want string
		pid, signal      int
	}{
		{"exit 0", "", "it exited 0", 1, Itself},
		{"exit 75", "the lease is over", "it exited 75: the lease is over", 1, Itself},
		{"exit 255", "Connection to h closed by remote host.", "it exited 255: Connection to h closed by remote host.", 1, 0},
		{"exit 255", "", "it exited 255 without a word: the agent was killed, or the connection was", 1, Unnamed},
		{"exit 137", "", "it exited 137: signal 9 ended the agent (killed)", 1, 9},
		{"exit 137", "command terminated with exit code 137", "it exited 137: command terminated with exit code 137", 1, 9},
		{"exit 128", "", "it exited 128", 1, Itself},
		{"kill -9 $$", "", "it exited signal: killed", 1, 0}, // the launcher: of the agent it says nothing
		{"kill -9 $$", "", "it exited signal: killed", own, 9},
		{`printf 'panic: out of luck\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:7 +0x1\n' >&2; exit 2`, "begun", "it exited 2: panic: out of luck", 1, Itself},
	} {
		b := payload(t, "#!/bin/sh\necho 'LT/1 {}'; read x; echo \"$x\" >&2; "+c.after+"\n")
		b.programs[0].OS, b.programs[0].Arch = runtime.GOOS, runtime.GOARCH
		conn, err := dial(t, b, t.TempDir(), "sh", "-c", "{boot}")
		must(t, err)
		if s := conn.Ended(); !strings.Contains(s, "still runs") || conn.Signal(conn.proc.PID()) != 0 {
			t.Errorf("%q, signal %d", s, conn.Signal(conn.proc.PID()))
		}
		_, err = io.WriteString(conn, c.say+"\n")
		must(t, err)
		<-conn.Done()
		conn.Close()
		if s := conn.Ended(); s != c.want {
			t.Errorf("%q, want %q", s, c.want)
		}
		pid := c.pid
		if pid == own {
			pid = conn.proc.PID()
		}
		if n := conn.Signal(pid); n != c.signal {
			t.Errorf("%s: signal %d, want %d", c.after, n, c.signal)
		}
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	a, err := New(Entry{Exec: []string{"sh", "-c", "echo up >&2; exec sleep 100"}})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := time.Now()
	_, err = NewDialer("", standIn(t), nil).Dial(ctx, a, Told{Line: func(string) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if d := time.Since(began); d > 8*time.Second {
		t.Errorf("it took %s", d)
	}
}
