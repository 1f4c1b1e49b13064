package authz

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/idna"
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
	// Origins are those of the run at this host, scheme://host:port, where a proof of ownership is looked for first.
	Origins []string
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
	Duration     time.Duration // as planned; 0: not known
	UnixSocket   bool          // everything is sent to a unix socket
	Proxy        bool          // everything is sent through a proxy, which resolves names itself
	Authorize    []string      // hosts that the command line allows
	Block        *Block
	// Typed asks for the name of a host to be typed, once a host, and says whether it was. Nil: there is nobody to ask.
	Typed func(host string) bool
	// Prove asks a host for the user's token. It is called only where the answer counts, once a host. Nil: the user has no key.
	Prove func(h Host) Proof
	// RequireProof is the will of the owner of the machine that asks: a public target needs the proof, and nothing else will do.
	RequireProof bool
	Now          time.Time
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
// target needs a basis as soon as the run is more than the free limits: --authorize with its name, a proof of ownership, or
// the scenario's block with the name typed. A host with several addresses is as the least free of them. Through a proxy, a name that does not
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
	host  Host
}

func (t target) String() string {
	if !t.addr.IsValid() || t.addr.String() == t.name {
		return clean(t.name)
	}
	return clean(t.name) + " (" + t.addr.String() + ")"
}

// target classes a host; an address that is always refused is the error.
func (h Host) target() (target, error) {
	t := target{name: fold(h.dialled()), host: h}
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

// Class is the least free class among a host's addresses; Invalid if none is known. The error is a *Refusal: one of them is never
// loaded, whatever anyone allows.
func (h Host) Class() (Class, error) {
	t, err := h.target()
	return t.class, err
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
	return r.PeakArrivals <= FreeRate && r.Users <= FreeUsers && r.Peers == 0 && !r.FindKnee && !r.RequireProof
}

// above says what makes a run more than the free limits.
func (r *Request) above() string {
	var why []string
	if !(r.PeakArrivals <= FreeRate) {
		why = append(why, fmt.Sprintf("%s arrivals/s are above the free %s/s", figure(r.PeakArrivals), figure(FreeRate)))
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
	if r.RequireProof {
		why = append(why, "the owner of this machine demands a proof of ownership (require_proof)")
	}
	return strings.Join(why, ", ")
}

// names says whether the command line allows a host, whose name is folded.
func (r *Request) names(host string) bool {
	return host != "" && slices.ContainsFunc(r.Authorize, func(a string) bool { return fold(a) == host })
}

// grounds finds out on what basis public targets may be loaded, writes it into b and says it.
func (r *Request) grounds(b *Basis, public []target) (text string, err error) {
	b.covered = map[string]bool{}
	var said []string
	var rest []target
	for _, t := range public {
		switch {
		case b.covered[t.name]:
			continue
		case !r.RequireProof && r.names(t.name):
			said = append(said, "--authorize "+clean(t.name))
		default:
			rest = append(rest, t)
		}
		b.covered[t.name] = true
	}
	if len(rest) > 0 && r.within() {
		b.MaxRate, b.MaxUsers = FreeRate, FreeUsers
		said = append(said, fmt.Sprintf("public address within the free limits (%g arrivals/s, %d users)", FreeRate, FreeUsers))
		rest = nil
	}
	if len(rest) == 0 {
		return strings.Join(said, ", "), nil
	}
	rest, proofs, missing := r.proofs(b, rest)
	said = append(said, proofs...)
	if len(rest) > 0 {
		block, err := r.block(b, rest, missing)
		if err != nil {
			return "", err
		}
		said = append(said, block)
	}
	return strings.Join(said, ", "), nil
}

// proofs asks for the proofs of ownership of public targets and writes into b what those that stand allow. The targets without
// one come back, with what was found in the place of the first one's.
func (r *Request) proofs(b *Basis, public []target) (rest []target, said []string, missing string) {
	if r.Prove == nil {
		return public, nil, ""
	}
	for _, t := range public {
		proof := r.Prove(t.host)
		lack := proof.Missing()
		if proof.Stands() {
			if lack = proof.Line.lacks(r); lack != "" {
				lack = "The proof at " + proof.Where + " " + lack
			}
		} else if lack != "" {
			lack = "No proof of ownership stands (" + lack + ")"
		}
		if !proof.Stands() || lack != "" {
			if rest = append(rest, t); len(rest) == 1 {
				missing = lack
			}
			continue
		}
		l := proof.Line
		said = append(said, "proof of ownership at "+proof.Where+l.Limits())
		if l.MaxRate > 0 && (b.MaxRate == 0 || l.MaxRate < b.MaxRate) {
			b.MaxRate, b.proved = l.MaxRate, true
		}
		b.end(l.Until)
	}
	return rest, said, missing
}

// block finds out whether the scenario's block allows what neither the command line nor a proof does.
func (r *Request) block(b *Basis, rest []target, missing string) (text string, err error) {
	first := rest[0]
	what := fmt.Sprintf("%s is a public address, and %s", first, r.above())
	if !first.addr.IsValid() {
		what = fmt.Sprintf("%s does not resolve here and counts as a public address, and %s", first, r.above())
	}
	sent := "; nothing was sent"
	if missing != "" {
		missing += ". "
		sent += " but the question for the proof"
	}
	names := make([]string, len(rest))
	for i, t := range rest {
		names[i] = t.name
	}
	flags := "--authorize " + clean(strings.Join(names, " --authorize "))
	refuse := func(why string) error {
		return &Refusal{first.name, Public, what + ". " + missing + why + sent}
	}
	if r.RequireProof {
		return "", refuse("lt prove " + clean(first.name) + " says how to show that it is yours")
	}
	if r.Block == nil {
		return "", refuse("If it is yours or its owner allows this test, say so: " + flags + ", or prove it: lt prove " + clean(first.name) + ", or authorize: {owner, ticket, until} in the scenario")
	}
	if lack := r.Block.lacks(r); lack != "" {
		return "", refuse("The scenario's authorize: " + lack + "; mend it, or say " + flags)
	}
	if r.Typed == nil {
		return "", refuse("The scenario's authorize: also wants the host's name typed, and there is no terminal to ask on: say " + flags)
	}
	for _, name := range names {
		if !r.Typed(name) {
			return "", refuse("Its name was not typed: start again and type " + clean(name) + ", or say " + flags)
		}
	}
	b.end(r.Block.Until)
	return fmt.Sprintf("authorize: %s, host typed (%s)", r.Block, clean(strings.Join(names, ", "))), nil
}

// end lets the basis end at t at the latest; zero is no end.
func (b *Basis) end(t time.Time) {
	if !t.IsZero() && (b.Until.IsZero() || t.Before(b.Until)) {
		b.Until = t
	}
}

// lacks says what keeps a block from being the basis of a run; empty if nothing does.
func (b *Block) lacks(r *Request) string {
	switch {
	case strings.TrimSpace(b.Owner) == "":
		return "names no owner"
	case strings.TrimSpace(b.Ticket) == "":
		return "names no ticket"
	case b.Until.IsZero():
		return "does not say until when"
	case !r.Now.Before(b.Until):
		return "ended " + b.end()
	case r.Now.Add(r.Duration).After(b.Until):
		return fmt.Sprintf("ends %s, before this run of %s would", b.end(), r.Duration)
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
// letters become small, the dot of the root goes, a name of other letters is written in ASCII (IDNA), an address as netip does.
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
	if ascii, err := idna.Lookup.ToASCII(s); err == nil && !isASCII(s) {
		return ascii
	}
	return s
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) < 0
}

// figure writes a rate with six digits that count, or all that stand before its point, and never with an exponent.
func figure(v float64) string {
	if v >= 1e6 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64)
	return strconv.FormatFloat(v, 'f', -1, 64)
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
