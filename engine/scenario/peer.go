package scenario

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Peer is a further machine that makes a part of the load. Exactly one of SSH and Exec says how it is reached.
type Peer struct {
	Name string // unique among the peers of a file; made from where it is
	// SSH is [USER@]HOST[:PORT] as ssh and its configuration know it.
	SSH string
	// Exec is a command whose standard input and output lead to a shell there, which gets the word {boot}, or to lt agent itself.
	Exec   []string
	Agent  string // path of lt on that machine; empty: the program is carried over
	Weight int    // of its share; 0: as many as it has cores
	Label  string // of a group that reports add up
	Target string // that this peer loads in place of the file's; empty: the same
	Pos    Pos
}

// Boot is the word of Peer.Exec that is replaced by the script that starts the agent.
const Boot = "{boot}"

// Bounds of the peers of a run.
const (
	MaxPeers  = 1000
	MaxWeight = 1000
)

// ParsePeers reads a list as --peers has it: a,b,user@c:2222=2, where =2 is a weight.
func ParsePeers(list string) ([]Peer, error) {
	var out []Peer
	var errs []error
	for _, s := range strings.Split(list, ",") {
		p, err := ParsePeer(s)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, p)
	}
	if len(out) > MaxPeers {
		errs = append(errs, fmt.Errorf("%d peers are more than %d, the most that one run has; leave some out", len(out), MaxPeers))
	}
	NamePeers(out)
	return out, errors.Join(errs...)
}

// ParsePeer reads the short form of one peer, [USER@]HOST[:PORT][=WEIGHT], or ssh://[USER@]HOST[:PORT][=WEIGHT]. Its name is the host.
func ParsePeer(s string) (Peer, error) {
	p := Peer{SSH: strings.TrimSpace(s)}
	if i := strings.LastIndexByte(p.SSH, '='); i >= 0 {
		w, err := ParseCount(p.SSH[i+1:], 1, MaxWeight)
		if err != nil {
			return Peer{}, fmt.Errorf("%s: the weight behind = is a whole number from 1 to %d; write for example %s=2", quoted(s), MaxWeight, p.SSH[:i])
		}
		p.SSH, p.Weight = p.SSH[:i], int(w)
	}
	if rest, ok := strings.CutPrefix(p.SSH, "ssh://"); ok {
		p.SSH = strings.TrimSuffix(rest, "/")
	}
	if err := checkSSH(p.SSH); err != nil {
		return Peer{}, err
	}
	p.Name = p.where()
	return p, nil
}

// checkSSH says what is wrong with where ssh is to go.
func checkSSH(s string) error {
	user, host, port := SplitSSH(s)
	switch {
	case s == "":
		return errors.New("a peer is missing; write [user@]host[:port] as you would for ssh, several with commas")
	case strings.HasPrefix(s, "-") || strings.HasPrefix(host, "-") || strings.HasPrefix(user, "-"):
		return fmt.Errorf("%s begins like an option of ssh; write [user@]host[:port], and give options with --ssh", quoted(s))
	case strings.ContainsAny(s, " \t\r\n") || visible(s) != s:
		return fmt.Errorf("%s has a space or a control character; write [user@]host[:port]", quoted(s))
	case strings.Contains(s, "://"):
		return fmt.Errorf("%s is a URL; a peer is written [user@]host[:port] as for ssh", quoted(s))
	case strings.ContainsAny(user+host, "/'\"`$&|;<>(){}*?!#=,") || strings.ContainsAny(host, `\[]`):
		return fmt.Errorf("%s is no name of a host; write [user@]host[:port]", quoted(s))
	case host == "":
		return fmt.Errorf("%s names no host; write [user@]host[:port]", quoted(s))
	case user == "" && strings.Contains(s, "@"):
		return fmt.Errorf("%s names no user before the @; leave the @ out to let ssh choose", quoted(s))
	case strings.Contains(host, ":") && !isIPv6(host):
		return fmt.Errorf("%s: a host with colons is an address of IPv6, and this is none; with a port it stands in brackets, [::1]:22", quoted(s))
	case port == "" && strings.HasSuffix(s, ":"):
		return fmt.Errorf("%s has no port behind the colon; write host:22, or leave the colon out", quoted(s))
	}
	if port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strings.Trim(port, "0123456789") != "" {
			return fmt.Errorf("%s: %s is not a port; write a number from 1 to 65535", quoted(s), quoted(port))
		}
	}
	return nil
}

func isIPv6(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6()
}

// SplitSSH takes [USER@]HOST[:PORT] apart. An address of IPv6 with a port stands in brackets, which go.
func SplitSSH(s string) (user, host, port string) {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		user, s = s[:i], s[i+1:]
	}
	if isIPv6(s) {
		return user, s, ""
	}
	if h, p, err := net.SplitHostPort(s); err == nil {
		return user, h, p
	}
	if h, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(h, "]") {
		return user, strings.TrimSuffix(h, "]"), ""
	}
	return user, s, ""
}

// where names a peer after the place in which it is.
func (p *Peer) where() string {
	if p.SSH != "" {
		_, host, _ := SplitSSH(p.SSH)
		return host
	}
	// kubectl exec -i pod/lt-0 -c main -- sh -c {boot}, docker exec -i c1 lt agent: the last word before what runs in there.
	name := path.Base(p.Exec[0])
	value := false // of the option before
	for i, w := range p.Exec[1:] {
		base := path.Base(w)
		switch {
		case value:
			value = false
			continue
		case w == "--" || w == Boot || base == "sh" || base == "bash" || base == "lt" && slices.Contains(p.Exec[i+1:], "agent"):
			return name
		case strings.HasPrefix(w, "-"):
			value = optionsWithValue[w]
		default:
			name = w
		}
	}
	return name
}

// optionsWithValue are those of the usual launchers whose value is a word of its own, which names no peer.
var optionsWithValue = map[string]bool{
	"-c": true, "--container": true, "-n": true, "--namespace": true, "--context": true, "--kubeconfig": true, "-u": true, "--user": true,
	"-w": true, "--workdir": true, "-e": true, "--env": true, "-task": true, "-F": true, "-p": true, "-l": true, "-o": true, "-H": true,
}

// NamePeers gives every peer its name, and a number to those whose name another has already: ada, ada#2.
func NamePeers(peers []Peer) {
	taken := map[string]bool{"local": true}
	for i := range peers {
		base := peers[i].where()
		if r := []rune(base); len(r) > 60 {
			base = string(r[:60])
		}
		name := base
		for n := 2; taken[name]; n++ {
			name = fmt.Sprintf("%s#%d", base, n)
		}
		taken[name] = true
		peers[i].Name = name
	}
}

// Address is how a peer is reached, on one line.
func (p *Peer) Address() string {
	if p.SSH != "" {
		return p.SSH
	}
	return strings.Join(p.Exec, " ")
}

// peers reads the key of the file: a list of short forms and mappings.
func (p *parser) peers(n *yaml.Node) {
	var out []Peer
	for _, c := range p.items(n, "peers", true) {
		if len(out) >= MaxPeers {
			p.add(c, "leave some out", "there are more than %d peers, the most that one run has", MaxPeers)
			break
		}
		var one Peer
		ok := false
		if c.Kind == yaml.MappingNode {
			one, ok = p.peer(c)
		} else if s, plain := p.plain(c, "a peer"); plain {
			var err error
			if one, err = ParsePeer(s); err != nil {
				p.fail(c, "peers", err)
			}
			ok = err == nil
		}
		if ok {
			one.Pos = posOf(c)
			out = append(out, one)
		}
	}
	NamePeers(out)
	p.f.Peers = out
}

// peer reads the long form of one peer.
func (p *parser) peer(n *yaml.Node) (out Peer, ok bool) {
	before := len(p.errs)
	o := p.object(n, "a peer", []string{"ssh", "exec", "agent", "weight", "label", "target"}, nil)
	if o == nil {
		return out, false
	}
	ssh, exec := o.get("ssh"), o.get("exec")
	switch {
	case ssh != nil && exec != nil:
		p.add(n, "keep one of the two", "a peer is reached by ssh or by exec, not both")
	case ssh != nil:
		if s, plain := p.plain(ssh, "ssh"); plain {
			one, err := ParsePeer(s)
			if err != nil {
				p.fail(ssh, "ssh", err)
			}
			out = one
		}
	case exec != nil:
		out.Exec = p.command(exec)
	case !o.bad:
		p.add(n, "write ssh: \"user@host:22\", or exec: [COMMAND, ...]", "a peer says neither ssh nor exec")
	}
	if v := o.get("agent"); v != nil {
		if out.Agent, _ = p.plain(v, "agent"); out.Agent != "" && !path.IsAbs(out.Agent) {
			p.add(v, "write for example /usr/bin/lt", "agent: %s is no absolute path", quoted(out.Agent))
		}
		if slices.Contains(out.Exec, Boot) {
			p.add(v, "leave agent: out, or end exec: with the command that starts lt agent there", "%s carries the program over, and agent: says that it is there already", Boot)
		}
	}
	if v := o.get("weight"); v != nil {
		if out.Weight > 0 {
			p.add(v, "keep one of the two", "the weight stands behind = already")
		}
		out.Weight = int(p.intOf(v, "weight", 1, MaxWeight))
	}
	if v := o.get("label"); v != nil {
		out.Label, _ = p.label(v, "label")
	}
	if v := o.get("target"); v != nil {
		if out.Target, ok = p.filled(v, "target", false); ok {
			p.checkBase(v, out.Target)
		}
		if !p.target {
			p.add(v, "add target: https://host at the top of the file", "a peer's target stands in place of the file's, and the file has none")
		}
	}
	return out, len(p.errs) == before
}

// command reads the words of a command.
func (p *parser) command(n *yaml.Node) []string {
	var out []string
	boots := 0
	for _, c := range p.items(n, "exec", false) {
		s, ok := p.plain(c, "a word of exec")
		if !ok {
			return nil
		}
		switch {
		case s == "" || strings.ContainsRune(s, 0):
			p.add(c, "write the word, or remove it", "a word of exec is empty or has a zero byte")
		case s == Boot:
			boots++
		case strings.Contains(s, Boot):
			p.add(c, `write it as a word of its own, for example [docker, exec, -i, NAME, sh, -c, "{boot}"]`, "%s is a part of a word", Boot)
		}
		out = append(out, s)
	}
	if boots > 1 {
		p.add(n, "keep the last one", "%s stands there twice", Boot)
	}
	if len(out) == 0 {
		p.add(n, `write for example [docker, exec, -i, NAME, sh, -c, "{boot}"]`, "exec has no words")
		return nil
	}
	if out[0] == Boot {
		p.add(n, `write for example [sh, -c, "{boot}"]`, "exec begins with %s, which is what a shell there gets", Boot)
	}
	return out
}
