package authz

import (
	"slices"
	"time"
)

// Claim is the ground on which a run may load its targets, in a form that travels: each source decides by it anew, with the
// addresses that it resolves itself.
type Claim struct {
	Authorize []string // hosts that the command line allows
	Block     *Block   // what the scenario says
	Typed     []string // hosts whose names were typed
	Key       string   // fingerprint of the user's key, to which proofs of ownership are bound; empty: there is no key
	Peers     int      // sources besides the coordinator's machine
	FindKnee  bool
	Peak      float64       // arrivals a second, over all sources; 0 in the closed model
	Users     int           // of the closed model, over all sources
	Duration  time.Duration // planned, without what is in hand at the end
}

// Request is what a source that resolves the targets to hosts asks about the claim. Whoever can ask for a name to be typed, or for
// a proof of ownership, adds that.
func (c *Claim) Request(hosts []Host, now time.Time) Request {
	r := Request{
		Hosts: hosts, PeakArrivals: c.Peak, Users: c.Users, Peers: c.Peers, FindKnee: c.FindKnee, Duration: c.Duration,
		Authorize: c.Authorize, Block: c.Block, Now: now,
	}
	if len(c.Typed) > 0 {
		r.Typed = func(host string) bool {
			return slices.ContainsFunc(c.Typed, func(t string) bool { return fold(t) == fold(host) })
		}
	}
	return r
}
