package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"lt/engine/journey"
	"lt/engine/metrics"
	"lt/engine/scenario"
)

// Resolved is what the resolver says about one host that the scenario names.
type Resolved struct {
	Host  string       // as the scenario names it
	Via   string       // what is dialled instead (connect-to, resolve), if anything
	Addrs []netip.Addr // empty if it does not resolve; Connect says why
}

// Reached is the outcome of connecting once to one origin.
type Reached struct {
	Origin  journey.Origin
	Addr    string
	Connect time.Duration
	TLS     string // version and cipher of the handshake; empty without
	Class   metrics.Class
	Err     error
	Hint    string // the likely cause of Err and what to look at next; empty where our own rules forbid the address
}

// Resolve asks for every host that the scenario names, through the same rules as the run will (connect-to, resolve), and
// stores nothing: whoever calls decides from the answer whether they may be loaded. The proxy is not among them.
func (e *Engine) Resolve(ctx context.Context) []Resolved {
	var out []Resolved
	seen := map[[2]string]bool{} // connect-to may tell the ports of one host apart
	for _, or := range e.cfg.Program.Origins {
		r := Resolved{Host: or.Host}
		name := or.Host
		if e.origins.proxy == nil {
			if name = e.origins.route(or).host.name; name != or.Host {
				r.Via = name
			}
		}
		place := [2]string{r.Host, r.Via}
		if seen[place] {
			continue
		}
		seen[place] = true
		r.Addrs, _ = e.origins.addresses(ctx, e.origins.host(name))
		out = append(out, r)
	}
	return out
}

// ResolveProxy is Resolve for the proxy through which all is sent; false if there is none.
func (e *Engine) ResolveProxy(ctx context.Context) (Resolved, bool) {
	if e.origins.proxy == nil {
		return Resolved{}, false
	}
	r := Resolved{Host: e.origins.proxy.host}
	r.Addrs, _ = e.origins.addresses(ctx, e.origins.host(r.Host))
	return r, true
}

// Permit sets the rule that every address dialled from now on has to pass; see Config.Allow. It must be called before
// Connect and Run.
func (e *Engine) Permit(allow func(host string, addr netip.Addr) error) {
	e.cfg.Allow = allow
	e.origins.forgetAnswers()
}

// Connect resolves every origin and opens one connection to each, handshake included, without sending a request. It is
// bounded by the connect timeout of the first step that goes there.
func (e *Engine) Connect(ctx context.Context) []Reached {
	origins := e.cfg.Program.Origins
	out := make([]Reached, len(origins))
	var all sync.WaitGroup
	for i, or := range origins {
		all.Go(func() {
			defer e.cfg.Recover()
			out[i] = e.reach(ctx, or)
		})
	}
	all.Wait()
	return out
}

func (e *Engine) reach(ctx context.Context, or journey.Origin) Reached {
	r := Reached{Origin: or}
	h := e.settings(or)
	ctx, cancel := context.WithTimeout(ctx, h.ConnectTimeout)
	defer cancel()
	rt := e.origins.route(or)
	network, at := "unix", []string{e.origins.unix}
	if e.origins.unix == "" {
		got := make(chan *answer, 1)
		e.origins.ask(rt.host, func(a *answer) { got <- a })
		select {
		case a := <-got:
			if a.err != nil {
				r.Class, r.Err = metrics.DNS, fmt.Errorf("%s: %s", rt.host.name, shortError(a.err))
				if errors.As(a.err, new(refusal)) {
					r.Class = metrics.Connect
					return r
				}
				return r.hint(metrics.PhaseDNS)
			}
			network, at = "tcp", nil
			for _, ip := range slices.Concat(a.addrs, a.alt) {
				at = append(at, netip.AddrPortFrom(ip, rt.port).String())
			}
		case <-ctx.Done():
			r.Class, r.Err = metrics.DNS, fmt.Errorf("%s: no answer from the resolver within %s", rt.host.name, h.ConnectTimeout)
			return r.hint(metrics.PhaseDNS)
		}
	}
	began := time.Now()
	c, addr, err := e.reachAny(ctx, network, at)
	r.Addr = addr
	if err != nil {
		r.Class, _ = classify(err, metrics.PhaseConnect)
		what := shortError(err)
		if late := net.Error(nil); errors.As(err, &late) && late.Timeout() {
			what = "no answer in time"
		}
		r.Err = fmt.Errorf("connect to %s: %s", r.Addr, what)
		return r.hint(metrics.PhaseConnect)
	}
	defer c.Close()
	r.Connect = time.Since(began)
	if or.TLS && e.origins.proxy == nil {
		t := tls.Client(c, e.origins.tlsConfig(h.TLS, or.Host))
		if err := t.HandshakeContext(ctx); err != nil {
			r.Class = metrics.TLS
			what := tlsMessage(err)
			if errors.Is(err, context.DeadlineExceeded) {
				what = "no answer within " + h.ConnectTimeout.String()
			}
			r.Err = fmt.Errorf("TLS handshake with %s at %s: %s", or.Host, r.Addr, what)
			return r.hint(metrics.PhaseTLS)
		}
		st := t.ConnectionState()
		r.TLS = tls.VersionName(st.Version) + " " + tls.CipherSuiteName(st.CipherSuite)
	}
	return r
}

// settings are those under which the run meets an origin: of the first step that goes there, or else the file's.
func (e *Engine) settings(or journey.Origin) *scenario.HTTP {
	p := e.cfg.Program
	for _, st := range p.Steps {
		if st.Origin >= 0 && p.Origins[st.Origin] == or {
			return &st.Src.HTTP
		}
	}
	return &e.cfg.File.HTTP
}

func (r Reached) hint(p metrics.Phase) Reached {
	r.Hint = metrics.Hint(r.Class, p, 0, r.Err.Error())
	return r
}

// reachAny opens a connection to the first address that takes one. Each has its part of the time that ctx leaves, so that one that does
// not answer cannot use up that of the others. If none takes one, it gives the first and what became of that.
func (e *Engine) reachAny(ctx context.Context, network string, at []string) (c net.Conn, addr string, err error) {
	deadline, _ := ctx.Deadline()
	for i := range at {
		part, cancel := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(at)-i))
		c, failed := e.reachOne(part, network, at[i])
		cancel()
		if failed == nil {
			return c, at[i], nil
		}
		if i == 0 {
			err = failed
		}
	}
	return nil, at[0], err
}

// reachOne opens one connection, from the first of our own addresses of the right family if some are given.
func (e *Engine) reachOne(ctx context.Context, network, addr string) (net.Conn, error) {
	if e.cfg.Dial != nil {
		return e.cfg.Dial(ctx, network, addr)
	}
	d := &net.Dialer{}
	if to, err := netip.ParseAddrPort(addr); err == nil {
		if own := e.origins.sources(to.Addr()); len(own) > 0 {
			d.LocalAddr = &net.TCPAddr{IP: own[0].AsSlice()}
		}
	}
	return d.DialContext(ctx, network, addr)
}
