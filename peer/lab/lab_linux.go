package lab

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Lab is a few hosts and what an ssh client must know of them.
type Lab struct {
	Dir    string   // everything the lab writes is below
	Hosts  []*Host  // named p1, p2, ...
	Listen string   // address at which targets are to listen: seen by every host, whatever becomes of the way to the coordinator
	Env    []string // for every lt that is started
	Mount  []string // shell commands before every lt that is started, in mounts of its own; lt's folder for its state is $LT_STATE_DIR. Wants root
	t      testing.TB
	net    *network // nil: the hosts are addresses of loopback
	quotas []*group // of processor time, made by tests
}

// Options say how a lab differs from the simplest. Host options are by the host's name; "" is for all.
type Options struct {
	Host map[string]HostOptions
}

// HostOptions are of one host.
type HostOptions struct {
	Sshd     []string          // lines for its sshd_config, which stand before ours and so win
	Client   []string          // lines for its block in the client's configuration, likewise
	Profile  map[string]string // files of the home folder
	Fault    bool              // the way there goes through a Fault
	Shell    string            // login shell; Hosts only
	Password bool              // it asks for Password and takes no key; Hosts only
	Mount    []string          // mounts of its own, made as it starts: "noexec", "readonly", "full", each for the home folder, with "everywhere" for all; Hosts only
	Etc      map[string]string // what it has in place of files in /etc, which exist; Hosts only
	Memory   int64             // bytes that all its processes together may have; 0: any; Hosts only
}

// Password is what a host with the option asks for.
const Password = "correct horse"

// shadow is what crypt(3) makes of Password.
const shadow = "$6$ltlab$Lf0dFmklUC0W/xOOI8S1BayLQ8hY4LZrAA4fV/LmmD7fauypg1TuaAt5VZmaxo4r4TKWEA4EIY78lc1pqO.lN1"

// Host is a machine of the lab, or an address that is taken for one.
type Host struct {
	Name    string
	Address string // without port
	Port    int
	Home    string // of whoever logs in, as seen from outside
	Dir     string
	Fault   *Fault // nil without
	lab     *Lab
	opt     HostOptions
	cmd     *exec.Cmd
	log     bytes.Buffer
	done    chan struct{}
	group   *group // nil: its memory has no bound
}

// Loopback makes a lab of n hosts on 127.0.0.2 and further, each an sshd of this very user.
func Loopback(t testing.TB, n int, o Options) *Lab {
	t.Helper()
	inFull(t)
	Need(t, "linux", "sshd", "ssh", "ssh-keygen")
	l := newLab(t)
	l.Listen = "127.0.0.1:0"
	for i := range n {
		l.add(fmt.Sprintf("p%d", i+1), fmt.Sprintf("127.0.0.%d", i+2), o)
	}
	l.begin()
	return l
}

// inFull skips a test under -short: hosts are made of processes of others, which take the time that they take, and with the race
// detector in ours more than they allow one another.
func inFull(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("hosts with a real sshd are not for -short")
	}
}

func newLab(t testing.TB) *Lab {
	t.Helper()
	dir, err := scratch("lab")
	if err != nil {
		t.Fatal(err)
	}
	l := &Lab{Dir: dir, t: t}
	t.Cleanup(func() {
		endMarked(dir)
		for _, h := range l.Hosts {
			if h.done != nil {
				<-h.done
			}
			if h.group != nil {
				h.group.remove()
			}
			if t.Failed() {
				t.Logf("sshd of %s:\n%s", h.Name, tail(h.log.String(), 12))
			}
		}
		for _, g := range l.quotas {
			g.remove()
		}
		if l.net != nil {
			l.net.remove()
		}
		_ = os.RemoveAll(dir)
	})
	for _, name := range []string{"hostkey", "key", "stranger"} {
		l.must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", filepath.Join(dir, name))
	}
	return l
}

func (l *Lab) must(argv ...string) {
	l.t.Helper()
	if err := command(argv...); err != nil {
		l.t.Fatal(err)
	}
}

func (l *Lab) write(path, text string) string {
	l.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path
}

func (l *Lab) read(path string) string {
	l.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(b)
}

func (l *Lab) add(name, address string, o Options) *Host {
	opt, ok := o.Host[name]
	if !ok {
		opt = o.Host[""]
	}
	h := &Host{Name: name, Address: address, Port: 22, Dir: filepath.Join(l.Dir, name), lab: l, opt: opt}
	h.Home = filepath.Join(h.Dir, "home")
	for _, d := range []string{"home", "tmp", "vartmp", "shm"} {
		if err := os.MkdirAll(filepath.Join(h.Dir, d), 0o700); err != nil {
			l.t.Fatal(err)
		}
	}
	for path, text := range opt.Profile {
		l.write(filepath.Join(h.Home, path), text)
	}
	if l.net == nil {
		h.Port = freePort(l.t, address)
	}
	l.write(filepath.Join(h.Dir, "known"), h.Name+" "+publicKey(l.read(filepath.Join(l.Dir, "hostkey.pub")))+"\n")
	if opt.Fault {
		h.Fault = NewFault(l.t, h.Dir, net.JoinHostPort(address, strconv.Itoa(h.Port)))
	}
	l.Hosts = append(l.Hosts, h)
	return h
}

// publicKey leaves the comment away.
func publicKey(line string) string { return strings.Join(strings.Fields(line)[:2], " ") }

func freePort(t testing.TB, address string) int {
	t.Helper()
	l, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// begin writes the client's configuration and starts every sshd.
func (l *Lab) begin() {
	l.t.Helper()
	me, err := user.Current()
	if err != nil {
		l.t.Fatal(err)
	}
	var b strings.Builder
	for _, h := range l.Hosts {
		fmt.Fprintf(&b, "Host %s\n", h.Name)
		for _, line := range h.opt.Client {
			fmt.Fprintf(&b, "  %s\n", line)
		}
		if h.Fault != nil {
			line, err := h.Fault.ProxyCommand()
			if err != nil {
				l.t.Fatal(err)
			}
			fmt.Fprintf(&b, "  ProxyCommand %s\n", line)
		}
		fmt.Fprintf(&b, "  HostName %s\n  Port %d\n  User %s\n  HostKeyAlias %s\n  IdentityFile %s/key\n  IdentitiesOnly yes\n  UserKnownHostsFile %s/known\n"+
			"  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n  ControlPath none\n", h.Address, h.Port, me.Username, h.Name, l.Dir, h.Dir)
	}
	l.write(l.config(), b.String())
	for _, h := range l.Hosts {
		h.Start()
	}
	for _, h := range l.Hosts {
		h.await()
	}
}

func (l *Lab) config() string { return filepath.Join(l.Dir, "ssh_config") }

// SSH is the client's command line for this lab, as --ssh takes it.
func (l *Lab) SSH() string { return "ssh -F " + l.config() }

// Install puts the program where a start of before would have left it, on every host: uploads are dear when many labs are at work.
func (l *Lab) Install() {
	l.t.Helper()
	program := Binary(l.t)
	name, err := digest()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, h := range l.Hosts {
		dir := filepath.Join(h.Home, ".cache", "lt", "agents")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			l.t.Fatal(err)
		}
		if err := os.Link(program, filepath.Join(dir, name)); err != nil && !os.IsExist(err) {
			l.t.Fatal(err)
		}
	}
}

// Host finds one by its name.
func (l *Lab) Host(name string) *Host {
	i := slices.IndexFunc(l.Hosts, func(h *Host) bool { return h.Name == name })
	return l.Hosts[i]
}

// Start starts the host's sshd, again if it was ended.
func (h *Host) Start() {
	t := h.lab.t
	t.Helper()
	auth := "PasswordAuthentication no"
	if h.opt.Password {
		auth = "PasswordAuthentication yes\nAuthenticationMethods password"
	}
	conf := h.lab.write(filepath.Join(h.Dir, "sshd_config"), fmt.Sprintf(`%s
ListenAddress %s
Port %d
HostKey %s/hostkey
PidFile none
AuthorizedKeysFile %s/key.pub
StrictModes no
UsePAM no
KbdInteractiveAuthentication no
PermitRootLogin yes
%s
SetEnv %s%s HOME=%s XDG_CACHE_HOME= XDG_RUNTIME_DIR=
LogLevel INFO
`, strings.Join(h.opt.Sshd, "\n"), h.Address, h.Port, h.lab.Dir, h.lab.Dir, auth, mark, h.Dir, h.Home))
	argv := []string{Program(t, "sshd"), "-D", "-e", "-f", conf}
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // where it separates its privileges
			t.Fatal(err)
		}
	}
	if h.lab.net != nil {
		argv = h.isolated(argv)
	}
	h.cmd = exec.Command(argv[0], argv[1:]...)
	h.cmd.Env = append(os.Environ(), mark+h.Dir)
	h.log.Reset()
	h.cmd.Stdout, h.cmd.Stderr = &h.log, &h.log
	h.cmd.WaitDelay = time.Second // agents that outlive their sshd keep its stderr
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if h.group != nil { // before anybody can log in
		if err := h.group.add(h.cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	cmd := h.cmd
	go func() { defer close(done); _ = cmd.Wait() }()
	h.done = done
}

// await waits until the sshd answers.
func (h *Host) await() {
	h.lab.t.Helper()
	Await(h.lab.t, 10*time.Second, "the sshd of "+h.Name, func() bool {
		select {
		case <-h.done:
			h.lab.t.Fatalf("the sshd of %s ended:\n%s", h.Name, h.log.String())
		default:
		}
		c, err := net.DialTimeout("tcp", net.JoinHostPort(h.Address, strconv.Itoa(h.Port)), time.Second)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
}

// Stop ends the sshd and its sessions; what they started goes on.
func (h *Host) Stop() {
	sessions := h.Sshd()
	_ = h.cmd.Process.Kill()
	<-h.done
	for _, p := range sessions {
		p.Kill(syscall.SIGKILL)
	}
}

// Processes are those that live on the host.
func (h *Host) Processes() []Process {
	var own []Process
	for _, p := range Processes() {
		if p.marked(h.Dir) {
			own = append(own, p)
		}
	}
	return own
}

// Agents are the host's processes of lt.
func (h *Host) Agents() []Process {
	return slices.DeleteFunc(h.Processes(), func(p Process) bool {
		return p.PID == h.cmd.Process.Pid || !slices.Contains(p.Args, "agent") || strings.HasSuffix(p.Exe, "/sshd")
	})
}

// Sshd are the host's sessions of sshd, without the listener.
func (h *Host) Sshd() []Process {
	return slices.DeleteFunc(below(Processes(), h.cmd.Process.Pid), func(p Process) bool {
		return !strings.Contains(filepath.Base(p.Exe), "sshd")
	})
}

// Leftovers is what a run left on the host that it should have removed: its processes, and files other than the cached program.
func (h *Host) Leftovers() []string {
	var left []string
	for _, p := range h.Processes() {
		if p.PID != h.cmd.Process.Pid && !strings.Contains(filepath.Base(p.Exe), "sshd") {
			left = append(left, "process "+p.String())
		}
	}
	for _, d := range []string{"home", "tmp", "vartmp", "shm"} {
		root := h.inside(filepath.Join(h.Dir, d))
		_ = filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				if err == nil && filepath.Base(filepath.Dir(path)) == "runs" {
					left = append(left, "folder "+path)
				}
				return nil
			}
			name, _ := filepath.Rel(root, path)
			if _, ours := h.opt.Profile[name]; !ours && !program(path) && strings.Contains(path, "/lt") {
				left = append(left, "file "+path)
			}
			return nil
		})
	}
	return left
}

// program tells the cached program, which is meant to stay: a file of 64 hexadecimal digits in lt/agents.
func program(path string) bool {
	dir, name := filepath.Split(path)
	return strings.HasSuffix(dir, "/lt/agents/") && len(name) == 64 && strings.Trim(name, "0123456789abcdef") == ""
}

// inside is the path at which the host's own mounts are seen from here.
func (h *Host) inside(path string) string {
	if h.lab.net == nil {
		return path
	}
	return fmt.Sprintf("/proc/%d/root%s", h.cmd.Process.Pid, path)
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
