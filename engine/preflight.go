package engine

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"lt/engine/journey"
	"lt/engine/metrics"
)

// Resolved is what the resolver says about one host that the scenario names.
type Resolved struct {
	Host  string       // as the scenario names it
	Via   string       // what is dialled instead (connect-to, resolve), if anything
	Addrs []netip.Addr // empty if it does not resolve
	Err   error
}

// Reached is the outcome of connecting once to one origin.
type Reached struct {
	Origin  journey.Origin
	Addr    string
	Connect time.Duration
	TLS     string // version and cipher of the handshake; empty without
	Class   metrics.Class
	Err     error
}

// Resolve asks for every host that the scenario names, through the same rules as the run will (connect-to, resolve), and
// stores nothing: whoever calls decides from the answer whether they may be loaded. The proxy is not among them.
func (e *Engine) Resolve(ctx context.Context) []Resolved {
	var out []Resolved
	seen := map[string]bool{}
	for _, or := range e.cfg.Program.Origins {
		if seen[or.Host] {
			continue
		}
		seen[or.Host] = true
		r := Resolved{Host: or.Host}
		name := or.Host
		if e.origins.proxy == nil {
			if name = e.origins.route(or).host.name; name != or.Host {
				r.Via = name
			}
		}
		if ip, err := netip.ParseAddr(name); err == nil {
			r.Addrs = []netip.Addr{ip}
		} else {
			ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
			lookup := e.cfg.Lookup
			if lookup == nil {
				lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
					return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
				}
			}
			r.Addrs, r.Err = lookup(ctx, name)
			cancel()
		}
		out = append(out, r)
	}
	return out
}

// Permit sets the rule that every address dialled from now on has to pass. It must be called before Connect and Run.
func (e *Engine) Permit(allow func(host string, addr netip.Addr) error) { e.cfg.Allow = allow }

// Connect resolves every origin and opens one connection to each, handshake included, without sending a request. It is
// bounded by the scenario's connect timeout.
func (e *Engine) Connect(ctx context.Context) []Reached {
	origins := e.cfg.Program.Origins
	out := make([]Reached, len(origins))
	done := make(chan struct{})
	for i, or := range origins {
		go func() {
			out[i] = e.reach(ctx, or)
			done <- struct{}{}
		}()
	}
	for range origins {
		<-done
	}
	return out
}

func (e *Engine) reach(ctx context.Context, or journey.Origin) Reached {
	r := Reached{Origin: or}
	h := &e.cfg.File.HTTP
	ctx, cancel := context.WithTimeout(ctx, h.ConnectTimeout)
	defer cancel()
	rt := e.origins.route(or)
	network, addr := "unix", e.origins.unix
	if addr == "" {
		got := make(chan *answer, 1)
		e.origins.ask(rt.host, func(a *answer) { got <- a })
		select {
		case a := <-got:
			if a.err != nil {
				r.Class, r.Err = metrics.DNS, fmt.Errorf("%s: %s", rt.host.name, shortError(a.err))
				return r
			}
			network, addr = "tcp", net.JoinHostPort(a.addrs[0].String(), strconv.Itoa(int(rt.port)))
		case <-ctx.Done():
			r.Class, r.Err = metrics.DNS, fmt.Errorf("%s: no answer from the resolver within %s", rt.host.name, h.ConnectTimeout)
			return r
		}
	}
	r.Addr = addr
	dial := e.cfg.Dial
	if dial == nil {
		d := &net.Dialer{}
		if len(e.origins.source) > 0 {
			d.LocalAddr = &net.TCPAddr{IP: e.origins.source[0].AsSlice()}
		}
		dial = d.DialContext
	}
	began := time.Now()
	c, err := dial(ctx, network, addr)
	if err != nil {
		r.Class, _ = classify(err, metrics.PhaseConnect)
		r.Err = fmt.Errorf("connect to %s: %s", addr, shortError(err))
		return r
	}
	defer c.Close()
	r.Connect = time.Since(began)
	if or.TLS && e.origins.proxy == nil {
		t := tls.Client(c, e.origins.tlsConfig(h.TLS, or.Host))
		if err := t.HandshakeContext(ctx); err != nil {
			r.Class = metrics.TLS
			r.Err = fmt.Errorf("TLS handshake with %s at %s: %s", or.Host, addr, tlsMessage(err))
			return r
		}
		st := t.ConnectionState()
		r.TLS = tls.VersionName(st.Version) + " " + tls.CipherSuiteName(st.CipherSuite)
	}
	return r
}
