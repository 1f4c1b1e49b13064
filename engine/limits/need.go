package limits

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// Need is what a run asks of one machine. Zero is nothing.
type Need struct {
	Connections  int     // open at once, to one destination
	NewPerSecond float64 // connections opened a second where they are not kept
	Users        int     // virtual users at once
	BytesPerUser int     // of our own memory
	BandwidthBps float64 // bytes a second, the busier direction
	Shards       int     // event loops, each of which may fill a core
	SourceIPs    int     // source addresses that take turns; zero counts as one
	Loopback     bool    // all targets run on this machine
}

// Severity says how near a limit is.
type Severity uint8

const (
	Note Severity = iota // worth knowing
	Warn                 // more than 70 % of a limit: it may be met when the target slows down
	Stop                 // more than the limit: errors will come, and they will be this machine's
)

// Finding is a sentence about one limit, and the command or change that mends it, if there is one.
type Finding struct {
	Severity     Severity
	Text, Remedy string
}

const (
	// near is the share of a limit from which it is worth a warning: a need is an estimate, and a target that slows down
	// makes it grow.
	near = 0.70

	// spareFiles are the descriptors kept for everything that is not a connection of the load.
	spareFiles = 256

	// socketBytes is what the kernel holds for an idle TCP socket (about 4.4 KiB of slab on Linux), rounded up.
	socketBytes = 5 << 10

	// programBytes is the program itself with its histograms and its screen.
	programBytes = 64 << 20

	// trackedFor is how long the packet filter remembers a closed connection by default: Linux,
	// nf_conntrack_tcp_timeout_time_wait.
	trackedFor = 120 * time.Second

	// quickPorts is the part of the range that Linux gives to connections at once, a half: it tries the ports of one parity first,
	// and all of them in turn before the others (__inet_hash_connect in net/ipv4/inet_hashtables.c). 120,000 connections from eight
	// addresses, 15,000 of 28,232 ports each, kept two processors busy for 10 s at their end; from sixteen they cost half of that in all.
	quickPorts = 2

	// reusedAfter is how long a port rests where the kernel may reuse it: Linux, tcp_tw_reuse.
	reusedAfter = time.Second
)

// Check holds a need against this machine, worst findings first. No finding means that no known limit is in the way. It
// costs what Facts costs.
func Check(n Need) []Finding { return n.against(Facts()) }

func (n Need) against(h Host) []Finding {
	var out []Finding
	for _, look := range []func(Host) (Finding, bool){n.files, n.ports, n.tracked, n.memory, n.cores, n.bandwidth} {
		if f, found := look(h); found {
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return cmp.Compare(b.Severity, a.Severity) })
	return out
}

// Descriptors are the open files that a need comes to.
func (n Need) Descriptors() int { return n.Connections + spareFiles }

// LocalPorts are the local ports towards one destination that it comes to, where each rests for a while after its connection.
func (n Need) LocalPorts() int {
	return n.Connections + int(math.Ceil(math.Max(0, n.NewPerSecond)*timeWait.Seconds()))
}

// weigh compares what is needed with a limit; a limit of zero is unknown.
func weigh(need, limit float64) (Severity, bool) {
	switch {
	case limit <= 0 || !(need > near*limit):
		return Note, false
	case need > limit:
		return Stop, true
	default:
		return Warn, true
	}
}

// files: each open connection is a descriptor.
func (n Need) files(h Host) (Finding, bool) {
	need := n.Descriptors()
	s, found := weigh(float64(need), float64(h.FilesHard))
	if !found || n.Connections <= 0 {
		return Finding{}, false
	}
	ask := roundUp(float64(need) / near)
	remedy := fmt.Sprintf("as root: ulimit -n %d, in the shell that starts lt (or LimitNOFILE=%d in its systemd unit); or fewer connections at once (--users, --max-in-flight)", ask, ask)
	switch {
	case h.Container != "":
		remedy = fmt.Sprintf("start the container with --ulimit nofile=%d:%d; or fewer connections at once (--users, --max-in-flight)", ask, ask)
	case h.OS == "darwin":
		remedy = fmt.Sprintf("sudo sysctl -w kern.maxfiles=%d kern.maxfilesperproc=%d; or fewer connections at once (--users, --max-in-flight)", 2*ask, ask)
	}
	return Finding{s, fmt.Sprintf("up to %s connections at once, and this process may have %s files open (hard limit)", count(n.Connections), count(h.FilesHard)), remedy}, true
}

// ports: towards one destination, each connection of one source address has its own local port, and keeps it for a while
// after it was closed.
func (n Need) ports(h Host) (Finding, bool) {
	if h.PortHigh < h.PortLow || h.PortHigh == 0 {
		return Finding{}, false
	}
	sources := max(1, n.SourceIPs)
	limit := (h.PortHigh - h.PortLow + 1) * sources
	rest := timeWait
	if h.TimeWaitReuse == 1 || h.TimeWaitReuse == 2 && n.Loopback {
		rest = reusedAfter
	}
	resting := math.Max(0, n.NewPerSecond) * rest.Seconds()
	s, found := weigh(float64(n.Connections)+resting, float64(limit))
	slow := h.OS == "linux" && n.Connections > limit/quickPorts
	if !found && !slow {
		return Finding{}, false
	}
	more := map[string]string{
		"linux":   `sudo sysctl -w net.ipv4.ip_local_port_range="1024 65535"`,
		"darwin":  "sudo sysctl -w net.inet.ip.portrange.first=1024",
		"windows": "netsh int ipv4 set dynamicport tcp start=1025 num=64510",
	}[h.OS]
	if h.PortLow <= 1025 {
		more = "another source" // the range is as wide as it can be
	}
	from := "one source address"
	if sources > 1 {
		from = strconv.Itoa(sources) + " source addresses"
	}
	if resting < float64(n.Connections) {
		search := ""
		if s = max(s, Warn); slow && s < Stop {
			search = "; beyond half of them Linux looks for a free one for milliseconds, at every connection"
		}
		return Finding{
			s, fmt.Sprintf("up to %s connections at once to one destination, and %s has %s local ports for it%s", count(n.Connections), from, count(limit), search),
			"add source addresses (--source-ip, repeatable), or " + more,
		}, true
	}
	return Finding{
		s, fmt.Sprintf("%s new connections a second, each keeping its local port for %s after its end, need %s ports to one destination, and %s has %s",
			amount(n.NewPerSecond), rest, amount(resting+float64(n.Connections)), from, count(limit)),
		"keep connections open (connections: keep), add source addresses (--source-ip, repeatable), or " + more,
	}, true
}

// tracked: a stateful packet filter on this machine drops packets without a word when its table is full.
func (n Need) tracked(h Host) (Finding, bool) {
	need := float64(n.Connections) + math.Max(0, n.NewPerSecond)*trackedFor.Seconds()
	s, found := weigh(need, float64(h.Tracked))
	if !found {
		return Finding{}, false
	}
	return Finding{
		s, fmt.Sprintf("about %s connections in the packet filter's table, which holds %s", amount(need), count(h.Tracked)),
		fmt.Sprintf("sudo sysctl -w net.netfilter.nf_conntrack_max=%d", roundUp(need/near)),
	}, true
}

// memory: what the users, their sockets and the program hold.
func (n Need) memory(h Host) (Finding, bool) {
	need := programBytes + float64(max(0, n.Users))*float64(max(0, n.BytesPerUser)) + float64(max(0, n.Connections))*socketBytes
	s, found := weigh(need, float64(h.MemLimit))
	if !found {
		return Finding{}, false
	}
	remedy := "fewer users or connections at once, or another source"
	if h.MemLimit < h.Memory {
		remedy = "raise the memory limit of the container or GOMEMLIMIT (the machine has " + size(float64(h.Memory)) + "), or fewer users at once"
	}
	return Finding{s, fmt.Sprintf("%s users and %s connections need about %s of memory, and %s may be used",
		count(n.Users), count(n.Connections), size(need), size(float64(h.MemLimit))), remedy}, true
}

// cores: shards beyond the cores only take turns; less than a core makes every start late now and then.
func (n Need) cores(h Host) (Finding, bool) {
	switch {
	case h.Cores <= 0:
		return Finding{}, false
	case h.Cores < 1:
		return Finding{
			Warn, fmt.Sprintf("this process may use %s of a core: it will be stopped again and again, and requests begin late", percent(h.Cores)),
			"raise the CPU limit of the container to one core or more",
		}, true
	case float64(n.Shards) > h.Cores:
		return Finding{
			Warn, fmt.Sprintf("%d shards for %s cores: they will wait for each other", n.Shards, amount(h.Cores)),
			"raise the CPU limit, or use another source",
		}, true
	}
	return Finding{}, false
}

// bandwidth: of the fastest link, where it tells; traffic within this machine uses none.
func (n Need) bandwidth(h Host) (Finding, bool) {
	s, found := weigh(n.BandwidthBps, h.LinkSpeed)
	if !found || n.Loopback {
		return Finding{}, false
	}
	return Finding{
		s, fmt.Sprintf("about %s/s, and the fastest network link carries %s/s", size(n.BandwidthBps), size(h.LinkSpeed)),
		"a lower rate, smaller answers, or another source on another link",
	}, true
}

// roundUp is the next whole thousand, so that a command reads well.
func roundUp(x float64) int { return int(math.Ceil(math.Min(x, 1<<30)/1000)) * 1000 }

// count writes a whole number with its thousands apart.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// amount writes a number whole from ten on, and with up to two decimals below.
func amount(x float64) string {
	if x >= 10 {
		return count(int(math.Min(math.Round(x), 1<<53)))
	}
	return strconv.FormatFloat(math.Round(x*100)/100, 'f', -1, 64)
}

func percent(x float64) string { return strconv.Itoa(int(math.Round(x*100))) + " %" }

// size writes an amount of bytes in the binary unit that fits.
func size(b float64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for b >= 1024 && i < len(units)-1 {
		b /= 1024
		i++
	}
	return amount(b) + " " + units[i]
}
