package peer

import (
	"context"
	"net"
	"net/netip"
	"time"

	"lt/engine"
	"lt/engine/authz"
	"lt/engine/journey"
	"lt/engine/load"
	"lt/engine/scenario"
	"lt/peer/wire"
)

// NewClaim is what a file alone says about the ground on which its targets may be loaded, with so many sources besides the
// coordinator's machine. Whoever runs it adds what the command line says, the names typed and the user's key.
func NewClaim(f *scenario.File, peers int) authz.Claim {
	c := authz.Claim{Peers: peers, Duration: f.Load.Profile.Duration()}
	if f.Load.Model == load.Closed {
		c.Users = int(f.Load.Profile.Peak())
	} else {
		c.Peak = f.Load.Profile.Peak()
	}
	if a := f.Authorize; a != nil {
		c.Block = &authz.Block{Owner: a.Owner, Ticket: a.Ticket, Until: a.Until}
	}
	return c
}

// Permit is one source asking whether it may load its targets. Coordinator and peers ask in the same way, each with the names and
// addresses that it finds itself.
type Permit struct {
	File    *scenario.File
	Program *journey.Program
	Engine  *engine.Engine
	Claim   authz.Claim
	Remote  bool         // it is a peer that asks: the load never comes from one machine alone, whatever the claim says
	Policy  *wire.Policy // of the owner of this machine; nil: everything is allowed
	Agent   string       // User-Agent with which proofs of ownership are asked for
	// Typed asks for the name of a host to be typed; nil: the claim alone says which were.
	Typed func(host string) bool
	// Dial and LookupTXT ask for proofs; nil: as the system does.
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	LookupTXT func(ctx context.Context, name string) ([]string, error)
	Now       func() time.Time // nil: time.Now
}

// Permission is the answer to a Permit.
type Permission struct {
	Basis    authz.Basis
	Loopback bool // all targets are on this machine
	// Allow is for engine.Permit: the rule that every address dialled later has to pass.
	Allow func(host string, addr netip.Addr) error
}

// Ask resolves the targets, holds them against the rules and the policy of this machine, and asks for proofs of ownership where
// they count. The error is an *authz.Refusal or a *PolicyError. Nothing else is sent to a target.
func (p *Permit) Ask(ctx context.Context) (Permission, error) {
	out := Permission{Loopback: true}
	var hosts []authz.Host
	for _, r := range p.Engine.Resolve(ctx) {
		for _, a := range r.Addrs {
			out.Loopback = out.Loopback && a.IsLoopback()
		}
		h := authz.Host{Name: r.Host, Addrs: r.Addrs, Via: r.Via}
		for _, o := range p.Program.Origins {
			if o.Host == r.Host {
				h.Origins = append(h.Origins, o.String())
			}
		}
		hosts = append(hosts, h)
	}
	// What the file says counts where the claim says less: it is the file that will run.
	claim, own := p.Claim, NewClaim(p.File, 0)
	claim.Peak, claim.Users, claim.Duration = max(claim.Peak, own.Peak), max(claim.Users, own.Users), max(claim.Duration, own.Duration)
	if p.Remote {
		claim.Peers = max(claim.Peers, 1)
	}
	now := time.Now
	if p.Now != nil {
		now = p.Now
	}
	// A proxy is dialled as a target is. One that does not resolve now is classed when it is dialled, but some names are refused as such.
	if r, ok := p.Engine.ResolveProxy(ctx); ok {
		for _, addrs := range [][]netip.Addr{nil, r.Addrs} {
			if _, err := (authz.Host{Name: r.Host, Addrs: addrs}).Class(); err != nil {
				return Permission{}, err
			}
		}
	}
	unix := p.File.HTTP.UnixSocket != ""
	if err := CheckPolicy(p.Policy, Work{Hosts: hosts, UnixSocket: unix, Duration: claim.Duration}); err != nil {
		return Permission{}, err
	}
	req := claim.Request(hosts, now())
	req.UnixSocket, req.Proxy = unix, p.File.HTTP.Proxy != ""
	req.RequireProof = p.Policy != nil && p.Policy.RequireProof
	if p.Typed != nil {
		req.Typed = p.Typed
	}
	if claim.Key != "" {
		prover := authz.Prover{Token: claim.Key, Agent: p.Agent, Dial: p.Dial, LookupTXT: p.LookupTXT}
		req.Prove = func(h authz.Host) authz.Proof { return prover.Ask(ctx, h) }
	}
	basis, err := authz.Decide(req)
	if err != nil {
		return Permission{}, err
	}
	out.Basis = basis
	out.Allow = func(host string, addr netip.Addr) error {
		if err := basis.Allow(host, addr); err != nil {
			return err
		}
		return checkAddress(p.Policy, host, addr)
	}
	return out, nil
}
