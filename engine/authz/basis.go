package authz

import (
	"fmt"
	"net/netip"
	"time"
)

// Basis is why a run may load its targets, and how far. It comes from Decide; the zero value covers no public address.
type Basis struct {
	Text     string  // as every report says it
	MaxRate  float64 // arrivals a second over all sources that must not be exceeded; 0 is no limit
	MaxUsers int     // of the closed model, likewise
	// Until is when it ends; a run that is still going on then has to be drained. Zero is no end.
	Until time.Time

	proved  bool            // MaxRate comes from a proof of ownership
	covered map[string]bool // folded names of the public targets
	proxy   bool
}

// Allow says whether an address may be dialled under the name host; an error is the sentence that refuses it. It is to be
// asked about every address that a name resolves to, each time: a name may come to mean another machine. Names that the
// run does not cover may only lead to free addresses. Through a proxy, it is the proxy that is dialled.
func (b Basis) Allow(host string, a netip.Addr) error {
	t := target{name: fold(host), class: Classify(a), addr: a.WithZone("").Unmap()}
	switch {
	case t.class.Refused():
		return &Refusal{t.name, t.class, t.never()}
	case t.class.Free(), b.proxy, b.covered[t.name]:
		return nil
	default:
		return &Refusal{t.name, Public, fmt.Sprintf("%s is a public address that nothing in this run allows: if it is yours or its owner allows the test, start with --authorize %s", t, clean(t.name))}
	}
}

// AllowRate says whether the load may be raised to rate arrivals a second and that many users; an error is the sentence
// that refuses it.
func (b Basis) AllowRate(rate float64, users int) error {
	switch {
	case b.proved && b.MaxRate > 0 && !(rate <= b.MaxRate):
		return &Refusal{"", Public, fmt.Sprintf("%s arrivals/s are above the %s/s that the proof of ownership allows: raise max_rate in it and start again", figure(rate), figure(b.MaxRate))}
	case b.MaxRate > 0 && !(rate <= b.MaxRate):
		return &Refusal{"", Public, fmt.Sprintf("%s arrivals/s are above the %s/s that a public target may be sent freely: start again with --authorize HOST", figure(rate), figure(b.MaxRate))}
	case b.MaxUsers > 0 && users > b.MaxUsers:
		return &Refusal{"", Public, fmt.Sprintf("%d users are above the %d that may load a public target freely: start again with --authorize HOST", users, b.MaxUsers)}
	}
	return nil
}
