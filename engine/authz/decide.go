package authz

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
)

// What a public target may be asked without anyone having allowed it: about what a few people with browsers do.
const (
	FreeRate  = 50.0 // arrivals a second
	FreeUsers = 20   // virtual users of the closed model
)

// Host is one host that the scenario names.
type Host struct {
	Name  string
	Addrs []netip.Addr // as resolved here; empty if it does not resolve
	Via   string       // the name or address that is dialled in its place, if one is; Addrs are its addresses then
}

// dialled is the name whose addresses count.
func (h Host) dialled() string {
	if h.Via != "" {
		return h.Via
	}
	return h.Name
}

// Block is what a scenario says about who allowed the test.
type Block struct {
	Owner, Ticket string
	Until         time.Time
}

// Request is a run that asks whether it may begin.
type Request struct {
	Hosts        []Host
	PeakArrivals float64 // a second, over all sources; 0 in the closed model
	Users        int     // of the closed model, at most; 0 in the open one
	Peers        int     // sources besides this machine
	FindKnee     bool
	UnixSocket   bool     // everything is sent to a unix socket
	Proxy        bool     // everything is sent through a proxy, which resolves names itself
	Authorize    []string // hosts that the command line allows
	Block        *Block
	// Typed asks for the name of a host to be typed, once a host, and says whether it was. Nil: there is nobody to ask.
	Typed func(host string) bool
	Now   time.Time
}

// Refusal says why a target may not be loaded, and what to do. Nothing was sent.
type Refusal struct {
	Host  string // the first one that is in the way
	Class Class
	Text  string
}

func (r *Refusal) Error() string { return r.Text }

// Decide holds a run against the rules. The error is a *Refusal.
//
// Free targets need nothing; metadata services and addresses that are not one machine's are always refused. A public
// target needs a basis as soon as the run is more than the free limits: --authorize with its name, or the scenario's block
// with the name typed. A host with several addresses is as the least free of them. Through a proxy, a name that does not
// resolve here counts as public; without one it cannot be dialled now, and Basis.Allow classes what it resolves to later.
func Decide(r Request) (Basis, error) {
	if r.UnixSocket {
		return Basis{Text: "unix socket"}, nil
	}
	b := Basis{proxy: r.Proxy}
	var free []Class
	var public []target
	for _, h := range r.Hosts {
		t, err := h.target()
		if err != nil {
			return Basis{}, err
		}
		switch {
		case t.class.Free():
			free = append(free, t.class)
		case t.class == Public || r.Proxy || r.within() || r.names(t.name):
			t.class = Public // or not known yet, and treated as such
			public = append(public, t)
		}
	}
	slices.Sort(free)
	var texts []string
	for _, c := range slices.Compact(free) {
		texts = append(texts, c.String()+" address")
	}
	if len(public) > 0 {
		text, err := r.grounds(&b, public)
		if err != nil {
			return Basis{}, err
		}
		texts = append(texts, text)
	}
	if len(texts) == 0 {
		texts = append(texts, "no address was known before the start; each is classed when it is dialled")
	}
	b.Text = strings.Join(texts, "; ")
	return b, nil
}

// target is a host as it counts: the name that is dialled, the least free class of its addresses, and the address with it.
type target struct {
	name  string // folded
	class Class  // Invalid: no address is known
	addr  netip.Addr
}

func (t target) String() string {
	if !t.addr.IsValid() || t.addr.String() == t.name {
		return clean(t.name)
	}
	return clean(t.name) + " (" + t.addr.String() + ")"
}

// target classes a host; an address that is always refused is the error.
func (h Host) target() (target, error) {
	t := target{name: fold(h.dialled())}
	addrs := slices.Clone(h.Addrs)
	if a, err := netip.ParseAddr(t.name); err == nil {
		addrs = append(addrs, a)
	} else if a, ok := numeric(t.name); ok {
		addrs = append(addrs, a)
	}
	for _, a := range addrs {
		if c := Classify(a); t.class == Invalid || c.Refused() || c > t.class && !t.class.Refused() {
			t.class, t.addr = c, a
		}
		if !a.IsValid() {
			return t, &Refusal{t.name, Invalid, fmt.Sprintf("%s has an address that is none: name the target by another name; nothing was sent", clean(t.name))}
		}
	}
	if len(addrs) == 0 && metadataNames[t.name] {
		t.class = Metadata // a proxy will know where
	}
	if t.class != Invalid && t.class.Refused() {
		return t, &Refusal{t.name, t.class, t.never() + "; nothing was sent"}
	}
	return t, nil
}

// never says why an address is refused whatever anyone allows.
func (t target) never() string {
	switch t.class {
	case Metadata:
		return t.String() + " is a cloud metadata service, which hands out a machine's credentials: it is never loaded and no flag allows it; name another target"
	case Unspecified:
		return t.String() + " is the unspecified address and names no machine: write 127.0.0.1 or [::1] for this one"
	case Multicast, Broadcast:
		return t.String() + " is a " + t.class.String() + " address, which reaches many machines at once: name one machine"
	default:
		return t.String() + " is no address: name the target by another name"
	}
}

// within says whether a run stays below what a public target may be asked freely.
func (r *Request) within() bool {
	return r.PeakArrivals <= FreeRate && r.Users <= FreeUsers && r.Peers == 0 && !r.FindKnee
}

// above says what makes a run more than the free limits.
func (r *Request) above() string {
	var why []string
	if !(r.PeakArrivals <= FreeRate) {
		why = append(why, fmt.Sprintf("%.4g arrivals/s are above the free %g/s", r.PeakArrivals, FreeRate))
	}
	if r.Users > FreeUsers {
		why = append(why, fmt.Sprintf("%d users are above the free %d", r.Users, FreeUsers))
	}
	if r.Peers > 0 {
		why = append(why, fmt.Sprintf("load from %d further source(s) is never free", r.Peers))
	}
	if r.FindKnee {
		why = append(why, "the search for the knee is never free")
	}
	return strings.Join(why, ", ")
}

// names says whether the command line allows a host, whose name is folded.
func (r *Request) names(host string) bool {
	return host != "" && slices.ContainsFunc(r.Authorize, func(a string) bool { return fold(a) == host })
}

// grounds finds out on what basis public targets may be loaded, writes it into b and says it.
func (r *Request) grounds(b *Basis, public []target) (text string, err error) {
	b.Public = true
	b.covered = map[string]bool{}
	var named, rest []string
	for _, t := range public {
		switch {
		case b.covered[t.name]:
			continue
		case r.names(t.name):
			named = append(named, "--authorize "+clean(t.name))
		default:
			rest = append(rest, t.name)
		}
		b.covered[t.name] = true
	}
	switch {
	case len(rest) == 0:
		return strings.Join(named, ", "), nil
	case r.within():
		b.MaxRate, b.MaxUsers = FreeRate, FreeUsers
		return strings.Join(append(named, fmt.Sprintf("public address within the free limits (%g arrivals/s, %d users)", FreeRate, FreeUsers)), ", "), nil
	}
	first := public[slices.IndexFunc(public, func(t target) bool { return t.name == rest[0] })]
	what := fmt.Sprintf("%s is a public address, and %s", first, r.above())
	if !first.addr.IsValid() {
		what = fmt.Sprintf("%s does not resolve here and counts as a public address, and %s", first, r.above())
	}
	flags := "--authorize " + clean(strings.Join(rest, " --authorize "))
	refuse := func(why string) error {
		return &Refusal{first.name, Public, what + ". " + why + "; nothing was sent"}
	}
	if r.Block == nil {
		return "", refuse("If it is yours or its owner allows this test, say so: " + flags + ", or authorize: {owner, ticket, until} in the scenario")
	}
	if lack := r.Block.lacks(r.Now); lack != "" {
		return "", refuse("The scenario's authorize: " + lack + "; mend it, or say " + flags)
	}
	if r.Typed == nil {
		return "", refuse("The scenario's authorize: also wants the host's name typed, and there is no terminal to ask on: say " + flags)
	}
	for _, name := range rest {
		if !r.Typed(name) {
			return "", refuse("Its name was not typed: start again and type " + clean(name) + ", or say " + flags)
		}
	}
	said := fmt.Sprintf("authorize: %s, host typed (%s)", r.Block, clean(strings.Join(rest, ", ")))
	return strings.Join(append(named, said), ", "), nil
}

// lacks says what keeps a block from being a basis; empty if nothing does.
func (b *Block) lacks(now time.Time) string {
	switch {
	case strings.TrimSpace(b.Owner) == "":
		return "names no owner"
	case strings.TrimSpace(b.Ticket) == "":
		return "names no ticket"
	case b.Until.IsZero():
		return "does not say until when"
	case !now.Before(b.Until):
		return "ended " + b.end()
	}
	return ""
}

func (b *Block) String() string {
	return fmt.Sprintf("%s, %s until %s", clean(b.Owner), clean(b.Ticket), b.end())
}

// end is the last day that a block allows, or the time on it. A block that ends at midnight ends with the day before.
func (b *Block) end() string {
	t := b.Until.UTC()
	if t.Equal(t.Truncate(24 * time.Hour)) {
		return t.AddDate(0, 0, -1).Format(time.DateOnly)
	}
	return t.Format("2006-01-02 15:04 UTC")
}

// fold makes one form of the ways to write a host, so that the same one is known again: what surrounds it in a URL goes,
// letters become small, the dot of the root goes, an address is written as netip writes it.
func fold(s string) string {
	s = strings.TrimSpace(s)
	if _, after, found := strings.Cut(s, "://"); found {
		s = after
	}
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		s = s[:i]
	}
	s = s[strings.LastIndexByte(s, '@')+1:]
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	s = strings.TrimSuffix(strings.ToLower(strings.Trim(s, "[]")), ".")
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().String()
	}
	return s
}

// clean leaves out what would not print: these sentences meet terminals and reports.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
}
