package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"lt/engine/h1"
	"lt/engine/journey"
	"lt/engine/loop"
	"lt/engine/scenario"
)

// resolveEvery is how old an answer of the resolver may become before it is asked again in the background.
const resolveEvery = 60 * time.Second

// resolveTimeout bounds one question to the resolver.
const resolveTimeout = 10 * time.Second

// origins knows how each origin is reached: its addresses, and the parts of an endpoint that do not change.
type origins struct {
	cfg     *Config
	mu      sync.Mutex
	byName  map[string]*host
	proxy   *proxy
	forward journey.Proxy // how plain requests are written for the proxy
	redial  []scenario.Redial
	fixed   []scenario.Redial
	source  []netip.Addr
	unix    string
	tls     sync.Map // tlsKey -> *tls.Config
	files   map[scenario.TLS]*tls.Config
	asking  sync.WaitGroup
}

// host is a name with the last good answer of the resolver.
type host struct {
	name   string
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

type proxy struct {
	host string
	port uint16
	auth string // value of Proxy-Authorization, or empty
}

type tlsKey struct {
	cfg  scenario.TLS
	name string
}

func newOrigins(c *Config) (*origins, error) {
	h := c.File.HTTP
	o := &origins{cfg: c, byName: map[string]*host{}, redial: h.ConnectTo, fixed: h.Resolve, unix: h.UnixSocket, files: map[scenario.TLS]*tls.Config{}}
	for _, s := range h.SourceIPs {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("source address %q is not an IP address: give one of this machine's", s)
		}
		o.source = append(o.source, a)
	}
	if h.Proxy != "" {
		u, err := url.Parse(h.Proxy)
		if err != nil || u.Scheme != "http" || u.Hostname() == "" {
			return nil, fmt.Errorf("proxy %q: give it as http://host:port", h.Proxy)
		}
		port := uint64(80)
		if p := u.Port(); p != "" {
			if port, err = strconv.ParseUint(p, 10, 16); err != nil {
				return nil, fmt.Errorf("proxy port %q is not a port", p)
			}
		}
		o.proxy = &proxy{host: u.Hostname(), port: uint16(port)}
		if u.User != nil {
			pw, _ := u.User.Password()
			o.proxy.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+pw))
		}
		o.forward.Authorization = o.proxy.auth
	}
	for _, st := range c.Program.Steps {
		if _, err := o.tlsFiles(st.Src.HTTP.TLS); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// tlsFiles reads the certificates that one setting names, once.
func (o *origins) tlsFiles(t scenario.TLS) (*tls.Config, error) {
	if c, ok := o.files[t]; ok {
		return c, nil
	}
	c := &tls.Config{InsecureSkipVerify: t.Insecure, NextProtos: []string{"http/1.1"}}
	read := func(name string) ([]byte, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(o.cfg.File.Dir, name)
		}
		return os.ReadFile(name)
	}
	if t.CA != "" {
		pem, err := read(t.CA)
		if err != nil {
			return nil, fmt.Errorf("read the CA certificates: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", t.CA)
		}
	}
	if t.Cert != "" || t.Key != "" {
		cert, err := read(t.Cert)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate: %w", err)
		}
		key, err := read(t.Key)
		if err != nil {
			return nil, fmt.Errorf("read the client key: %w", err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("client certificate %s with key %s: %w", t.Cert, t.Key, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	switch t.MinVersion {
	case "", "1.2":
		c.MinVersion = tls.VersionTLS12
	case "1.0":
		c.MinVersion = tls.VersionTLS10
	case "1.1":
		c.MinVersion = tls.VersionTLS11
	case "1.3":
		c.MinVersion = tls.VersionTLS13
	default:
		return nil, fmt.Errorf("tls min_version %q: give 1.0, 1.1, 1.2 or 1.3", t.MinVersion)
	}
	o.files[t] = c
	return c, nil
}

// tlsConfig is the configuration for one name under one setting; shared by all connections to it.
func (o *origins) tlsConfig(t scenario.TLS, name string) *tls.Config {
	if t.ServerName != "" {
		name = t.ServerName
	}
	k := tlsKey{t, name}
	if c, ok := o.tls.Load(k); ok {
		return c.(*tls.Config)
	}
	c := o.files[t].Clone()
	c.ServerName = name
	got, _ := o.tls.LoadOrStore(k, c)
	return got.(*tls.Config)
}

// via is the host and port that are really dialled for an origin: the proxy, what connect-to says, or itself.
func (o *origins) via(or journey.Origin) (string, uint16) {
	if o.proxy != nil {
		return o.proxy.host, o.proxy.port
	}
	for _, r := range o.redial {
		if (r.Host == "" || strings.EqualFold(r.Host, or.Host)) && (r.Port == "" || r.Port == strconv.Itoa(int(or.Port))) {
			h, p, err := net.SplitHostPort(r.Addr)
			if err != nil {
				continue
			}
			if h == "" {
				h = or.Host
			}
			port := or.Port
			if n, err := strconv.ParseUint(p, 10, 16); err == nil {
				port = uint16(n)
			}
			return strings.Trim(h, "[]"), port
		}
	}
	return or.Host, or.Port
}

// host finds or makes the entry of a name.
func (o *origins) host(name string) *host {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.byName[name]
	if h == nil {
		h = &host{name: name}
		o.byName[name] = h
	}
	return h
}

// route is one way to an origin, kept by each shard so that a dial needs no lock and no map of names.
type route struct {
	origin journey.Origin
	host   *host
	port   uint16
	ep     loop.Endpoint // scratch of the owning shard
	turn   uint32
}

func (o *origins) route(or journey.Origin) *route {
	name, port := o.via(or)
	if o.proxy == nil {
		for _, r := range o.fixed {
			if strings.EqualFold(r.Host, name) && (r.Port == "" || r.Port == strconv.Itoa(int(port))) {
				name = strings.Trim(r.Addr, "[]")
				break
			}
		}
	}
	return &route{origin: or, host: o.host(name), port: port}
}

// endpoint fills in where to dial now. ok is false while the name has no answer; err is set when the last one was an error.
func (o *origins) endpoint(r *route, t *scenario.HTTP) (ep *loop.Endpoint, ok bool, err error) {
	ep = &r.ep
	ep.TLS = nil
	if r.origin.TLS && o.proxy == nil {
		ep.TLS = o.tlsConfig(t.TLS, r.origin.Host)
	}
	if o.unix != "" {
		ep.Path = o.unix
		return ep, true, nil
	}
	a := r.host.answer.Load()
	if a == nil {
		return nil, false, nil
	}
	if a.err != nil {
		return nil, true, a.err
	}
	n := a.next.Add(1) - 1
	ep.Addr = netip.AddrPortFrom(a.addrs[n%uint32(len(a.addrs))], r.port)
	ep.Alt = netip.AddrPort{}
	if len(a.alt) > 0 {
		ep.Alt = netip.AddrPortFrom(a.alt[n%uint32(len(a.alt))], r.port)
	}
	ep.Source = netip.Addr{}
	if len(o.source) > 0 {
		ep.Source = o.source[r.turn%uint32(len(o.source))]
		r.turn++
	}
	return ep, true, nil
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
		a := o.lookup(h.name)
		if old := h.answer.Load(); a.err != nil && old != nil && old.err == nil {
			a = old // the last good answer stays
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

// lookup asks the system's resolver once and classes every address it gives.
func (o *origins) lookup(name string) *answer {
	a := &answer{at: time.Now()}
	ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
	defer cancel()
	var addrs []netip.Addr
	if ip, err := netip.ParseAddr(name); err == nil {
		addrs = []netip.Addr{ip}
	} else if o.cfg.Lookup != nil {
		addrs, a.err = o.cfg.Lookup(ctx, name)
	} else {
		addrs, a.err = net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	}
	if a.err != nil {
		return a
	}
	if len(addrs) == 0 {
		a.err = &net.DNSError{Err: "no addresses", Name: name, IsNotFound: true}
		return a
	}
	var refused error
	first := addrs[0].Unmap().Is4()
	for _, ip := range addrs {
		ip = ip.Unmap()
		if o.cfg.Allow != nil {
			if err := o.cfg.Allow(name, ip); err != nil {
				refused = err
				continue
			}
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
		a.err = errors.Join(errRefusedAddress, refused)
	}
	return a
}

// errRefusedAddress marks an address that the safety rules do not allow.
var errRefusedAddress = errors.New("address refused")

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
				if _, err := netip.ParseAddr(h.name); err == nil {
					continue
				}
				if a := h.answer.Load(); a != nil && now.Sub(a.at) >= resolveEvery {
					o.ask(h, nil)
				}
			}
			o.mu.Unlock()
		}
	}
}

// wait returns when no question to the resolver is under way any more.
func (o *origins) wait() { o.asking.Wait() }

// connect writes the request that opens a tunnel to an origin.
func (o *origins) connect(dst []byte, or journey.Origin) []byte {
	at := net.JoinHostPort(or.Host, strconv.Itoa(int(or.Port)))
	dst = h1.AppendRequestLine(dst, "CONNECT", at)
	dst = h1.AppendField(dst, "Host", at)
	if o.proxy.auth != "" {
		dst = h1.AppendField(dst, "Proxy-Authorization", o.proxy.auth)
	}
	return append(dst, "\r\n"...)
}
