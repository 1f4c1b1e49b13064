package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"lt/engine/h1"
	"lt/engine/journey"
	"lt/engine/loop"
	"lt/engine/scenario"
)

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
	local   answer // stands for an answer where a unix socket takes the place of all addresses
	ctx     context.Context
	stop    context.CancelFunc // ends the questions to the resolver
	asking  sync.WaitGroup
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
	o.ctx, o.stop = context.WithCancel(context.Background())
	for _, s := range h.SourceIPs {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("source address %q is not an IP address: give one of this machine's", s)
		}
		o.source = append(o.source, a.Unmap())
	}
	if h.Proxy != "" {
		u, err := url.Parse(h.Proxy)
		if err != nil || u.Scheme != "http" || u.Hostname() == "" {
			return nil, fmt.Errorf("proxy %s: give it as http://host:port", c.Redact.URL(h.Proxy))
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
	if _, err := o.tlsFiles(h.TLS); err != nil {
		return nil, err
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
		if o.cfg.ReadFile != nil {
			return o.cfg.ReadFile(name)
		}
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

// route is one way to an origin, kept by each shard so that a dial needs no lock and no map of names.
type route struct {
	origin journey.Origin
	host   *host
	port   uint16
	// ends are the endpoints by address and source, made for the answer from and the configuration tls when first used. The
	// loop reads an endpoint as long as its connections live, so none is ever changed.
	ends []*loop.Endpoint
	from *answer
	tls  *tls.Config
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

// endpoint is where to dial now: each call the next of the host's addresses and of our own. It is nil while the name has no
// good answer; ask for one then. It belongs to the route's shard.
func (o *origins) endpoint(r *route, t scenario.TLS) *loop.Endpoint {
	var cfg *tls.Config
	if r.origin.TLS && o.proxy == nil {
		cfg = o.tlsConfig(t, r.origin.Host)
	}
	a := &o.local
	if o.unix == "" {
		if a = o.known(r.host); a == nil || a.err != nil {
			return nil
		}
	}
	if r.from != a || r.tls != cfg {
		r.from, r.tls = a, cfg
		n := 1
		if o.unix == "" {
			n = len(a.addrs) * max(1, len(o.sources(a.addrs[0])))
		}
		r.ends = make([]*loop.Endpoint, n)
	}
	i := int((a.next.Add(1) - 1) % uint32(len(r.ends)))
	if r.ends[i] == nil {
		r.ends[i] = o.end(r, a, i)
	}
	return r.ends[i]
}

// end makes the endpoint number i of a route.
func (o *origins) end(r *route, a *answer, i int) *loop.Endpoint {
	ep := &loop.Endpoint{Path: o.unix, TLS: r.tls}
	if o.unix != "" {
		return ep
	}
	n := len(a.addrs)
	source := func(addr netip.Addr) netip.Addr {
		if own := o.sources(addr); len(own) > 0 {
			return own[i/n%len(own)]
		}
		return netip.Addr{}
	}
	first := a.addrs[i%n]
	ep.Addr, ep.Source = netip.AddrPortFrom(first, r.port), source(first)
	if len(a.alt) > 0 {
		alt := a.alt[i%len(a.alt)]
		ep.Alt, ep.Other = netip.AddrPortFrom(alt, r.port), source(alt)
	}
	return ep
}

// sources are our own addresses of the family of addr; none if any will do.
func (o *origins) sources(addr netip.Addr) []netip.Addr {
	var same []netip.Addr
	for _, s := range o.source {
		if s.Is4() == addr.Is4() {
			same = append(same, s)
		}
	}
	return same
}

// ways is how many of our own addresses connections leave from in turn, each with local ports of its own: of two families the fewer.
func (o *origins) ways() int {
	four := len(o.sources(netip.IPv4Unspecified()))
	six := len(o.source) - four
	if four == 0 || six == 0 {
		return max(1, four+six)
	}
	return min(four, six)
}

// close ends the questions to the resolver and returns when none is under way any more.
func (o *origins) close() {
	o.stop()
	o.asking.Wait()
}

// tunnel writes the request that opens a tunnel to an origin.
func (o *origins) tunnel(dst []byte, or journey.Origin) []byte {
	at := net.JoinHostPort(or.Host, strconv.Itoa(int(or.Port)))
	dst = h1.AppendRequestLine(dst, "CONNECT", at)
	dst = h1.AppendField(dst, "Host", at)
	if o.proxy.auth != "" {
		dst = h1.AppendField(dst, "Proxy-Authorization", o.proxy.auth)
	}
	return append(dst, "\r\n"...)
}
