package peer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"time"

	"lt/engine/authz"
	"lt/engine/scenario"
	"lt/peer/wire"
)

// maxPolicy bounds the policy on its way, in bytes of JSON: it is a part of the introduction, which is one line.
const maxPolicy = wire.MaxLine * 3 / 4

// PolicyError is a sentence that says what the owner of a machine does not allow.
type PolicyError struct{ Text string }

func (e *PolicyError) Error() string { return e.Text }

func forbids(format string, args ...any) error {
	return &PolicyError{"the owner of this machine does not allow it: " + fmt.Sprintf(format, args...)}
}

// LoadPolicy reads the policy of a machine's owner from a file.
func LoadPolicy(path string) (*wire.Policy, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: there is no such policy; nothing is allowed without it", path)
		}
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	return ParsePolicy(path, text)
}

// ParsePolicy reads a policy. path names it in messages. The error has every mistake with its place.
func ParsePolicy(path string, text []byte) (*wire.Policy, error) {
	p := &wire.Policy{}
	err := scenario.ParseKeys(path, text, "the policy", []scenario.Key{
		{Name: "allow", List: func(s string) error { return addPattern(&p.Targets, s) }},
		{Name: "deny", List: func(s string) error { return addPattern(&p.Deny, s) }},
		{Name: "max_rate", One: func(s string) (err error) {
			if p.MaxRate, err = scenario.ParseRate(s); err == nil && p.MaxRate == 0 {
				err = errors.New("0 allows nothing; write for example 500, or leave the key out for no limit")
			}
			return err
		}},
		{Name: "max_users", One: func(s string) error {
			n, err := scenario.ParseCount(s, 1, scenario.MaxUsers)
			p.MaxUsers = int(n)
			return err
		}},
		{Name: "max_duration", One: func(s string) (err error) {
			if p.MaxDuration, err = scenario.ParseDuration(s); err == nil && p.MaxDuration == 0 {
				err = errors.New("0 allows nothing; write for example 10m, or leave the key out for no limit")
			}
			return err
		}},
		{Name: "require_proof", One: func(s string) error {
			switch s {
			case "true", "false":
				p.RequireProof = s == "true"
				return nil
			}
			return fmt.Errorf("it is true or false, not %q; write true or false", s)
		}},
	})
	if err != nil {
		return nil, err
	}
	if b, err := json.Marshal(p); err != nil || len(b) > maxPolicy {
		return nil, fmt.Errorf("%s: the policy is longer than %d bytes, which is what fits into a peer's introduction; use *.suffixes and larger networks", path, maxPolicy)
	}
	return p, nil
}

// addPattern reads a host, *.suffix, address or network.
func addPattern(to *[]string, s string) error {
	s = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s)), ".")
	if prefix, err := netip.ParsePrefix(s); err == nil {
		if prefix != prefix.Masked() {
			return fmt.Errorf("%s has bits behind its length; write %s", s, prefix.Masked())
		}
		*to = append(*to, s)
		return nil
	}
	name := strings.TrimPrefix(s, "*.")
	if _, err := netip.ParseAddr(s); err != nil && (name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || strings.HasPrefix(name, ".")) {
		return fmt.Errorf("%q is no host, *.suffix, address or network; write for example shop.example, *.shop.example or 10.0.0.0/8", s)
	}
	*to = append(*to, s)
	return nil
}

// Work is what a machine is asked to do, as its owner's policy sees it.
type Work struct {
	Hosts      []authz.Host // the targets, as that machine resolves them; empty: not known yet
	UnixSocket bool         // everything is sent to a unix socket there
	Rate       float64      // most arrivals a second of its own share; 0: not known yet, or the closed model
	Users      int          // most users of its own share, likewise
	Duration   time.Duration
}

// CheckPolicy says whether a policy allows a piece of work; nil policy: everything. The error is a *PolicyError. It is asked on the
// peer, which enforces it, and by the coordinator, which plans within it.
func CheckPolicy(p *wire.Policy, w Work) error {
	if p == nil {
		return nil
	}
	switch {
	case p.MaxDuration > 0 && w.Duration > p.MaxDuration:
		return forbids("a run of %s is longer than max_duration %s; make it shorter (-d), or ask the owner", w.Duration, p.MaxDuration)
	case p.MaxRate > 0 && !(w.Rate <= p.MaxRate*rounding):
		return forbids("%.6g arrivals/s are more than max_rate %.6g; give this peer a smaller weight, or ask the owner", w.Rate, p.MaxRate)
	case p.MaxUsers > 0 && w.Users > p.MaxUsers:
		return forbids("%d users are more than max_users %d; give this peer a smaller weight, or ask the owner", w.Users, p.MaxUsers)
	case w.UnixSocket && len(p.Targets) > 0:
		return forbids("a unix socket is not among the targets that it allows; load an address, or ask the owner")
	}
	if w.UnixSocket {
		return nil
	}
	for _, h := range w.Hosts {
		name := h.Name
		if h.Via != "" {
			name = h.Via
		}
		if len(h.Addrs) == 0 {
			if err := checkAddress(p, name, netip.Addr{}); err != nil {
				return err
			}
		}
		for _, a := range h.Addrs {
			if err := checkAddress(p, name, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// rounding forgives what dealing a rate to shares of whole entries adds.
const rounding = 1 + 1.0/4096

// checkAddress says whether a policy allows to dial an address under a name. An invalid address is one that is not known.
func checkAddress(p *wire.Policy, host string, a netip.Addr) error {
	if p == nil || len(p.Targets) == 0 && len(p.Deny) == 0 {
		return nil
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	a = a.WithZone("").Unmap()
	at := host
	if a.IsValid() && a.String() != host {
		at += " (" + a.String() + ")"
	}
	for _, d := range p.Deny {
		if matches(d, host, a) {
			return forbids("%s is denied by %q; ask the owner", at, d)
		}
	}
	for _, t := range p.Targets {
		if matches(t, host, a) {
			return nil
		}
	}
	if len(p.Targets) > 0 {
		return forbids("%s is not among the targets that it allows (%s); ask the owner", at, strings.Join(p.Targets, ", "))
	}
	return nil
}

// matches holds a pattern of a policy against a host and one of its addresses.
func matches(pattern, host string, a netip.Addr) bool {
	if prefix, err := netip.ParsePrefix(pattern); err == nil {
		if v4, ok := unmapped(prefix); ok {
			prefix = v4
		}
		return a.IsValid() && prefix.Contains(a)
	}
	if want, err := netip.ParseAddr(pattern); err == nil {
		return a.IsValid() && want.WithZone("").Unmap() == a
	}
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		return strings.HasSuffix(host, suffix) && len(host) > len(suffix)
	}
	return host == pattern
}

// unmapped is the network of IPv4 that one of IPv6 in the form ::ffff:10.0.0.0/104 stands for.
func unmapped(p netip.Prefix) (netip.Prefix, bool) {
	if !p.Addr().Is4In6() || p.Bits() < 96 {
		return p, false
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96), true
}
