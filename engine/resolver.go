package engine

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// resolveEvery is how old an answer of the resolver may become before it is asked again in the background.
	resolveEvery = 60 * time.Second
	// doubtEvery is how old it has to be to be asked again because a connection could not be made.
	doubtEvery = time.Second
	// resolveTimeout bounds one question to the resolver.
	resolveTimeout = 10 * time.Second
)

// host is a name with the last good answer of the resolver.
type host struct {
	name   string
	number netip.Addr // if the name is an address already
	answer atomic.Pointer[answer]
	mu     sync.Mutex
	busy   bool
	wants  []func(*answer) // called once with the next answer
}

// answer is what the resolver said last: addresses, interleaved by family when there are two, or why there are none.
type answer struct {
	addrs []netip.Addr
	alt   []netip.Addr // the other family's, for racing
	err   error
	at    time.Time
	next  atomic.Uint32 // rotates over addrs
}

// host finds or makes the entry of a name.
func (o *origins) host(name string) *host {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.byName[name]
	if h == nil {
		h = &host{name: name}
		h.number, _ = netip.ParseAddr(name)
		o.byName[name] = h
	}
	return h
}

// known is the last answer about a host; nil if there is none yet. An address needs no question.
func (o *origins) known(h *host) *answer {
	a := h.answer.Load()
	if a == nil && h.number.IsValid() {
		a = o.classed(h.name, []netip.Addr{h.number})
		h.answer.Store(a)
	}
	return a
}

// forgetAnswers drops every answer, so that all are asked for and classed again.
func (o *origins) forgetAnswers() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, h := range o.byName {
		h.answer.Store(nil)
	}
}

// doubt asks again about a host that could not be reached, but not about an address and not all the time.
func (o *origins) doubt(h *host) {
	if a := h.answer.Load(); o.unix == "" && !h.number.IsValid() && a != nil && time.Since(a.at) >= doubtEvery {
		o.ask(h, nil)
	}
}

// ask resolves a name in the background; done (if not nil) is called with the answer, from another goroutine. Questions
// about one name are joined.
func (o *origins) ask(h *host, done func(*answer)) {
	h.mu.Lock()
	if done != nil {
		h.wants = append(h.wants, done)
	}
	if h.busy {
		h.mu.Unlock()
		return
	}
	h.busy = true
	h.mu.Unlock()
	o.asking.Go(func() {
		defer o.cfg.Recover()
		a := o.lookup(h)
		if old := h.answer.Load(); a.err != nil && old != nil && old.err == nil {
			a = &answer{addrs: old.addrs, alt: old.alt, at: a.at} // the last good answer stays
		}
		h.answer.Store(a)
		h.mu.Lock()
		wants := h.wants
		h.wants, h.busy = nil, false
		h.mu.Unlock()
		for _, f := range wants {
			f(a)
		}
	})
}

// lookup asks the resolver once.
func (o *origins) lookup(h *host) *answer {
	addrs, err := o.addresses(o.ctx, h)
	if err != nil {
		return &answer{at: time.Now(), err: err}
	}
	return o.classed(h.name, addrs)
}

// addresses is what a host is, or what the resolver says about its name: at least one address, or an error.
func (o *origins) addresses(ctx context.Context, h *host) ([]netip.Addr, error) {
	if h.number.IsValid() {
		return []netip.Addr{h.number}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	ask := o.cfg.Lookup
	if ask == nil {
		ask = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	addrs, err := ask(ctx, h.name)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no addresses", Name: h.name, IsNotFound: true}
	}
	return addrs, err
}

// classed sorts the addresses of a host by family, the first one's first, without those that the rules forbid and, if we
// have addresses of our own to dial from, without those of a family that they do not have.
func (o *origins) classed(name string, addrs []netip.Addr) *answer {
	a := &answer{at: time.Now()}
	refused := errors.New("no source address is of the same family")
	first := addrs[0].Unmap().Is4()
	for _, ip := range addrs {
		ip = ip.Unmap()
		if o.cfg.Allow != nil {
			if err := o.cfg.Allow(name, ip); err != nil {
				refused = err
				continue
			}
		}
		if len(o.source) > 0 && len(o.sources(ip)) == 0 {
			continue
		}
		if ip.Is4() == first {
			a.addrs = append(a.addrs, ip)
		} else {
			a.alt = append(a.alt, ip)
		}
	}
	if len(a.addrs) == 0 {
		a.addrs, a.alt = a.alt, nil
	}
	if len(a.addrs) == 0 {
		a.err = refusal{refused}
	}
	return a
}

// refusal is why no address of a host may be dialled, although it has some.
type refusal struct{ why error }

func (r refusal) Error() string { return "no address may be dialled: " + r.why.Error() }

// refresh asks again about every name whose answer has become old, until ctx is done.
func (o *origins) refresh(ctx context.Context) {
	t := time.NewTicker(resolveEvery / 12)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			o.mu.Lock()
			for _, h := range o.byName {
				if a := h.answer.Load(); a != nil && !h.number.IsValid() && now.Sub(a.at) >= resolveEvery {
					o.ask(h, nil)
				}
			}
			o.mu.Unlock()
		}
	}
}
