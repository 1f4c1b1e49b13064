package lab

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// network is a bridge with a namespace for each host. The bridge has two addresses: .1, from which the coordinator's ssh comes and which
// Partition cuts off, and .2, where targets listen.
type network struct {
	name   string // of the bridge; the names of namespaces and links begin with it
	prefix string // of the addresses, such as "10.99.7."
	spaces []string
}

// Hosts makes a lab of n hosts that are network namespaces with mounts, a host name and a home folder of their own. It needs root.
func Hosts(t testing.TB, n int, o Options) *Lab {
	t.Helper()
	inFull(t)
	Need(t, "linux", "root", "netns", "sshd", "ssh", "ssh-keygen")
	l := newLab(t)
	var err error
	if l.net, err = newNetwork(); err != nil {
		t.Fatal(err)
	}
	l.Listen = l.net.prefix + "2:0"
	for i := range n {
		h := l.add(fmt.Sprintf("p%d", i+1), l.net.prefix+strconv.Itoa(11+i), o)
		if err := l.net.join(h); err != nil {
			t.Fatal(err)
		}
		if h.opt.Memory > 0 {
			Need(t, "memory")
			if h.group, err = newGroup(l.net.space(h), h.opt.Memory); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.begin()
	return l
}

// newNetwork takes the first free number. That a bridge's name can be taken but once settles races with other processes.
func newNetwork() (*network, error) {
	var err error
	for i := range 250 {
		w := &network{name: fmt.Sprintf("ltb%d", i), prefix: fmt.Sprintf("10.99.%d.", i)}
		if err = command("ip", "link", "add", w.name, "type", "bridge"); err != nil {
			continue
		}
		for _, argv := range [][]string{
			{"ip", "link", "set", w.name, "alias", aliasPrefix + strconv.Itoa(os.Getpid())},
			{"ip", "addr", "add", w.prefix + "1/24", "dev", w.name},
			{"ip", "addr", "add", w.prefix + "2/24", "dev", w.name},
			{"ip", "link", "set", w.name, "up"},
		} {
			if err := command(argv...); err != nil {
				w.remove()
				return nil, err
			}
		}
		return w, nil
	}
	return nil, err
}

const aliasPrefix = "lt lab of process "

func (w *network) space(h *Host) string { return w.name + h.Name }

func (w *network) join(h *Host) error {
	ns := w.space(h)
	w.spaces = append(w.spaces, ns)
	link := ns + "v"
	for _, argv := range [][]string{
		{"ip", "netns", "add", ns},
		{"ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", ns},
		{"ip", "link", "set", link, "master", w.name, "up"},
		{"ip", "-n", ns, "addr", "add", h.Address + "/24", "dev", "eth0"},
		{"ip", "-n", ns, "link", "set", "eth0", "up"},
		{"ip", "-n", ns, "link", "set", "lo", "up"},
	} {
		if err := command(argv...); err != nil {
			return err
		}
	}
	return nil
}

func (w *network) remove() {
	for _, ns := range w.spaces {
		_ = command("ip", "link", "del", ns+"v") // its other end goes with it; a namespace may take its time
		_ = command("ip", "netns", "del", ns)
	}
	_ = command("ip", "link", "del", w.name)
}

// sweepNetworks removes those of processes that are no more.
func sweepNetworks() {
	aliases, _ := filepath.Glob("/sys/class/net/ltb*/ifalias")
	for _, path := range aliases {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		text, ok := strings.CutPrefix(strings.TrimSpace(string(b)), aliasPrefix)
		pid, err := strconv.Atoi(text)
		if !ok || err != nil || lives(pid) {
			continue
		}
		w := &network{name: filepath.Base(filepath.Dir(path))}
		spaces, _ := filepath.Glob("/run/netns/" + w.name + "p*")
		for _, s := range spaces {
			w.spaces = append(w.spaces, filepath.Base(s))
		}
		w.remove()
		for _, dir := range []string{"/sys/fs/cgroup/memory/", "/sys/fs/cgroup/cpu/", "/sys/fs/cgroup/"} {
			groups, _ := filepath.Glob(dir + w.name + "p*")
			for _, g := range groups {
				_ = os.Remove(g)
			}
		}
	}
}

// isolated is argv, run in the host's namespaces.
func (h *Host) isolated(argv []string) []string {
	t := h.lab.t
	// The mounts that are copied here hold the namespaces of other labs, which would stay as long as this one.
	script := "set -e\numount /run/netns/* 2>/dev/null || :\nhostname " + h.Name + "\n"
	bind := func(from, to string) { script += fmt.Sprintf("mount --bind %s %s\n", from, to) }
	bind(h.Dir+"/shm", "/dev/shm")
	bind(h.Dir+"/vartmp", "/var/tmp")
	if h.opt.Shell != "" || h.opt.Password {
		bind(h.account("/etc/passwd", 6, h.opt.Shell), "/etc/passwd")
	}
	if h.opt.Password {
		bind(h.account("/etc/shadow", 1, shadow), "/etc/shadow")
	}
	for name, text := range h.opt.Etc {
		bind(h.lab.write(filepath.Join(h.Dir, "etc", name), text), "/etc/"+name)
	}
	for _, m := range h.opt.Mount {
		script += h.mounts(m)
	}
	// The host's own /tmp covers that of this machine, but the lab's folder stays visible in it.
	if rest, ok := strings.CutPrefix(h.lab.Dir, "/tmp/"); ok {
		seen := filepath.Join(h.Dir, "tmp", rest)
		script += fmt.Sprintf("mkdir -p %[2]s\nmount --rbind %[1]s %[2]s\nmount --rbind %[3]s/tmp /tmp\n", h.lab.Dir, seen, h.Dir)
	} else {
		bind(h.Dir+"/tmp", "/tmp")
	}
	script += `exec "$@"` + "\n"
	path := h.lab.write(filepath.Join(h.Dir, "begin"), script)
	return append([]string{Program(t, "ip"), "netns", "exec", h.lab.net.space(h), "unshare", "-m", "-u", "sh", path}, argv...)
}

// mounts are the commands for one of the faults that a disk may have.
func (h *Host) mounts(what string) string {
	kind, everywhere := strings.CutSuffix(what, " everywhere")
	places := []string{h.Home}
	if everywhere {
		places = append(places, h.Dir+"/tmp", "/var/tmp", "/dev/shm")
	}
	var s string
	for _, p := range places {
		switch kind {
		case "noexec":
			s += fmt.Sprintf("mount -t tmpfs -o noexec,mode=700 none %s\n", p)
		case "readonly":
			s += fmt.Sprintf("mount -t tmpfs -o ro,mode=700 none %s\n", p)
		case "full":
			s += fmt.Sprintf("mount -t tmpfs -o size=1m,mode=700 none %s\n", p)
		}
	}
	return s
}

// account is a copy of a file of accounts in which a field of this user's line says something else.
func (h *Host) account(path string, field int, value string) string {
	lines := strings.Split(h.lab.read(path), "\n")
	for i, line := range lines {
		if fields := strings.Split(line, ":"); fields[0] == "root" && value != "" {
			fields[field] = value
			lines[i] = strings.Join(fields, ":")
		}
	}
	return h.lab.write(filepath.Join(h.Dir, filepath.Base(path)), strings.Join(lines, "\n"))
}

// Partition drops everything between the coordinator and the host, both ways, without a word; the target stays in reach.
func (h *Host) Partition() {
	h.lab.t.Helper()
	h.Block(Both)
}

// Block is Partition in a direction.
func (h *Host) Block(d Direction) {
	h.lab.t.Helper()
	h.drop(d)
}

// Lose drops this part of the packets between the coordinator and the host, 0..1.
func (h *Host) Lose(d Direction, part float64) {
	h.lab.t.Helper()
	h.drop(d, "-m", "statistic", "--mode", "random", "--probability", fmt.Sprint(part))
}

// drop drops the packets of a direction that match.
func (h *Host) drop(d Direction, match ...string) {
	h.lab.t.Helper()
	coordinator := h.lab.net.prefix + "1"
	for _, r := range []struct {
		way  Direction
		rule []string
	}{{Up, []string{"INPUT", "-s", coordinator}}, {Down, []string{"OUTPUT", "-d", coordinator}}} {
		if d&r.way != 0 {
			h.iptables(slices.Concat([]string{"-I"}, r.rule, match, []string{"-j", "DROP"})...)
		}
	}
}

// Reset answers everything from the coordinator with a reset.
func (h *Host) Reset() {
	h.lab.t.Helper()
	h.iptables("-I", "INPUT", "-p", "tcp", "-s", h.lab.net.prefix+"1", "-j", "REJECT", "--reject-with", "tcp-reset")
}

// Heal ends Partition, Block, Lose and Reset.
func (h *Host) Heal() {
	h.lab.t.Helper()
	h.iptables("-F")
}

// Rate limits the host's link, both ways, in bits a second as tc writes it, such as 1mbit.
func (h *Host) Rate(rate string) {
	h.lab.t.Helper()
	ns := h.lab.net.space(h)
	h.lab.must("tc", "qdisc", "replace", "dev", ns+"v", "root", "tbf", "rate", rate, "burst", "16kb", "latency", "300ms")
	h.lab.must("tc", "-n", ns, "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "16kb", "latency", "300ms")
}

// Ports leaves the host these local ports for what it connects to.
func (h *Host) Ports(low, high int) {
	h.lab.t.Helper()
	h.lab.must("ip", "netns", "exec", h.lab.net.space(h), "sysctl", "-qw", fmt.Sprintf("net.ipv4.ip_local_port_range=%d %d", low, high))
}

func (h *Host) iptables(args ...string) {
	h.lab.t.Helper()
	h.lab.must(append([]string{"ip", "netns", "exec", h.lab.net.space(h), "iptables", "-w"}, args...)...)
}

// Sources tells which host of the lab an address of a Hit belongs to; empty: none.
func (l *Lab) Sources(from string) string {
	for _, h := range l.Hosts {
		if net.ParseIP(h.Address).Equal(net.ParseIP(from)) {
			return h.Name
		}
	}
	return ""
}
