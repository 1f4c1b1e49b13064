package scenario

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Defaults of HTTP. They are long enough not to hide a slow target and short enough to end a run.
const (
	DefaultTimeout        = 30 * time.Second
	DefaultConnectTimeout = 10 * time.Second
	DefaultMaxBody        = 64 << 20 // bytes
)

func defaultHTTP() HTTP {
	return HTTP{Version: "auto", Timeout: DefaultTimeout, ConnectTimeout: DefaultConnectTimeout, MaxBody: DefaultMaxBody}
}

// httpKeys may stand under http: or beside it, in the file, a scenario or a step.
var httpKeys = []string{"version", "timeout", "connect_timeout", "connections", "max_body", "redirects", "headers", "cookies", "trace", "tls", "user"}

// dialKeys say how every connection of a run is made; they stand in the file's http: alone.
var dialKeys = []string{"proxy", "connect_to", "resolve", "unix_socket", "source_ips"}

var (
	connectionWords = []string{"keep", "iteration", "request"}
	cookieWords     = []string{"reset", "keep", "off"}
	traceWords      = []string{"off", "traceparent", "x-request-id"}
	tlsVersions     = []string{"1.0", "1.1", "1.2", "1.3"}
)

// http reads an http: mapping over what h has already, but for its headers, which it returns.
func (p *parser) http(n *yaml.Node, h *HTTP, file bool) []Pair {
	known, later := httpKeys, map[string]string(nil)
	if file {
		known = append(slices.Clone(httpKeys), dialKeys...)
	} else {
		later = map[string]string{}
		for _, k := range dialKeys {
			later[k] = "`" + k + ":` holds for the whole run; move it to the file's http:"
		}
	}
	if o := p.object(n, "http", known, later); o != nil {
		return p.httpFields(o, h, file)
	}
	return nil
}

// settings reads http: and the same keys beside it, over what h has already; the headers are returned.
func (p *parser) settings(o *object, h *HTTP, file bool) []Pair {
	var headers []Pair
	if n := o.get("http"); n != nil {
		headers = p.http(n, h, file)
	}
	return mergeHeaders(headers, p.httpFields(o, h, false))
}

// httpFields reads the HTTP settings among the keys of a mapping.
func (p *parser) httpFields(o *object, h *HTTP, file bool) (headers []Pair) {
	if n := o.get("version"); n != nil {
		if s, ok := p.scalar(n, "version"); ok {
			if why, ok := laterVersions[strings.ToLower(s)]; ok {
				msg, remedy, _ := strings.Cut(why, "; ")
				p.add(n, remedy, "%s", msg)
			} else if s != "auto" && s != "1.1" {
				p.add(n, "write auto or 1.1", "version: there is no HTTP version %s", quoted(s))
			} else {
				h.Version = s
			}
		}
	}
	p.positive(o, "timeout", &h.Timeout)
	p.positive(o, "connect_timeout", &h.ConnectTimeout)
	if n := o.get("connections"); n != nil {
		h.Connections = Connections(p.oneOf(n, "connections", connectionWords...))
	}
	if n := o.get("max_body"); n != nil {
		if s, ok := p.scalar(n, "max_body"); ok {
			if v, err := ParseSize(s); err != nil {
				p.fail(n, "max_body", err)
			} else if v < 1 {
				p.add(n, "write for example 64MiB", "max_body is above 0")
			} else {
				h.MaxBody = v
			}
		}
	}
	if n := o.get("redirects"); n != nil {
		h.Redirects = int(p.intOf(n, "redirects", 0, 100))
	}
	if n := o.get("headers"); n != nil {
		headers = p.headers(n)
	}
	if n := o.get("cookies"); n != nil {
		h.Cookies = Cookies(p.oneOf(n, "cookies", cookieWords...))
	}
	if n := o.get("trace"); n != nil {
		h.Trace = Trace(p.oneOf(n, "trace", traceWords...))
	}
	if n := o.get("tls"); n != nil {
		p.tls(n, &h.TLS)
	}
	if n := o.get("user"); n != nil {
		if s, ok := p.template(n, "user"); ok {
			if !strings.Contains(s, ":") {
				p.add(n, `write "NAME:{{password}}", with the password under vars:`, "user is NAME:PASSWORD")
			}
			h.User = s
			p.users[s] = posOf(n)
		}
	}
	if file {
		p.dialing(o, h)
	}
	return headers
}

// positive reads a duration above 0.
func (p *parser) positive(o *object, key string, d *time.Duration) {
	n := o.get(key)
	if n == nil {
		return
	}
	if v, ok := p.duration(n, key); ok {
		if v == 0 {
			p.add(n, "write for example 10s, or remove the key", "%s is longer than 0", key)
			return
		}
		*d = v
	}
}

func (p *parser) duration(n *yaml.Node, what string) (time.Duration, bool) {
	s, ok := p.scalar(n, what)
	if !ok {
		return 0, false
	}
	d, err := ParseDuration(s)
	if err != nil {
		p.fail(n, what, err)
		return 0, false
	}
	return d, true
}

// maxHeaders bounds the headers of one place: servers take about a hundred fields, or 8 KiB of them.
const maxHeaders = 1000

func (p *parser) headers(n *yaml.Node) []Pair {
	var out []Pair
	for i, f := range p.pairs(n, "headers") {
		if i == maxHeaders {
			p.add(f.name, "send fewer", "there are more than %d headers, which no server takes", maxHeaders)
			break
		}
		if !validHeaderName(f.key) {
			p.add(f.name, "a header's name has letters, digits and - only", "%s cannot name a header", quoted(f.key))
			continue
		}
		if slices.ContainsFunc(out, func(x Pair) bool { return strings.EqualFold(x.Name, f.key) }) {
			p.add(f.name, "keep one of the two", "the header %s stands here twice: case makes no difference", f.key)
			continue
		}
		if madeByUs(f.key) {
			remedy := "remove it"
			if strings.EqualFold(f.key, "connection") {
				remedy += "; connections: request asks for a new one each time"
			}
			p.add(f.name, remedy, "the header %s is made by the program itself", f.key)
			continue
		}
		if isNull(f.val) {
			p.add(f.name, `write "" to send it empty, or remove it`, "the header %s has no value", f.key)
			continue
		}
		v, ok := p.template(f.val, "the header "+f.key)
		if ok && strings.ContainsFunc(v, isControl) {
			p.add(f.val, "write it on one line, without control characters", "the header %s has a line break or a control character in it", f.key)
			continue
		}
		if ok {
			out = append(out, Pair{f.key, v, posOf(f.val)})
		}
	}
	return out
}

// madeByUs says whether a header follows from the request and its connection, and so cannot be given.
func madeByUs(name string) bool {
	switch strings.ToLower(name) {
	case "content-length", "transfer-encoding", "trailer", "upgrade", "connection":
		return true
	}
	return false
}

// isControl reports a character that cannot stand in a header.
func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// mergeHeaders puts nearer headers over farther ones of the same name.
func mergeHeaders(far, near []Pair) []Pair {
	out := slices.Clone(far)
	for _, h := range near {
		if i := slices.IndexFunc(out, func(x Pair) bool { return strings.EqualFold(x.Name, h.Name) }); i >= 0 {
			out[i] = h
		} else {
			out = append(out, h)
		}
	}
	return out
}

// validHeaderName says whether s is a token as RFC 9110 section 5.6.2 has it.
func validHeaderName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

func (p *parser) tls(n *yaml.Node, t *TLS) {
	o := p.object(n, "tls", []string{"insecure", "ca", "cert", "key", "server_name", "min_version"}, nil)
	if o == nil {
		return
	}
	if v := o.get("insecure"); v != nil {
		t.Insecure = p.bool(v, "insecure")
	}
	for _, x := range []struct {
		key string
		to  *string
	}{{"ca", &t.CA}, {"cert", &t.Cert}, {"key", &t.Key}} {
		if v := o.get(x.key); v != nil {
			if s, ok := p.plain(v, x.key); ok {
				*x.to = s
				p.readFile(v, x.key, s)
			}
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		p.add(n, "give both cert: and key:", "a client certificate needs its key, and a key its certificate")
	}
	if v := o.get("server_name"); v != nil {
		t.ServerName, _ = p.plain(v, "server_name")
	}
	if v := o.get("min_version"); v != nil {
		t.MinVersion = tlsVersions[p.oneOf(v, "min_version", tlsVersions...)]
	}
}

// readFile reads a file of the scenario's folder; what goes wrong is reported.
func (p *parser) readFile(n *yaml.Node, what, name string) []byte {
	if p.env.ReadFile == nil {
		p.add(n, "", "%s: there is no folder to read %s from", what, quoted(name))
		return nil
	}
	data, err := p.env.ReadFile(name)
	if err != nil {
		p.add(n, "name a file below the scenario's folder, relative to it", "%s: %v", what, err)
	}
	return data
}

func (p *parser) dialing(o *object, h *HTTP) {
	if n := o.get("proxy"); n != nil {
		if s, ok := p.plain(n, "proxy"); ok {
			if msg, remedy := proxyURL(s); msg != "" {
				p.add(n, remedy, "proxy: %s", msg)
			}
			h.Proxy = s
		}
	}
	for _, x := range []struct {
		key string
		to  *[]Redial
		ip  bool
	}{{"connect_to", &h.ConnectTo, false}, {"resolve", &h.Resolve, true}} {
		n := o.get(x.key)
		if n == nil {
			continue
		}
		*x.to = nil
		for _, c := range p.items(n, x.key, true) {
			if s, ok := p.plain(c, x.key); ok {
				r, err := parseRedial(s, x.ip)
				if err != nil {
					p.fail(c, x.key, err)
					continue
				}
				*x.to = append(*x.to, r)
			}
		}
	}
	if n := o.get("unix_socket"); n != nil {
		h.UnixSocket, _ = p.plain(n, "unix_socket")
	}
	if n := o.get("source_ips"); n != nil {
		h.SourceIPs = nil
		for _, c := range p.items(n, "source_ips", true) {
			s, ok := p.plain(c, "a source address")
			if _, err := netip.ParseAddr(s); ok && err != nil {
				p.add(c, "write an address of this machine, such as 10.0.0.5", "source_ips: %s is not an IP address", quoted(s))
			}
			h.SourceIPs = append(h.SourceIPs, s)
		}
	}
}

// proxyURL says what is wrong with a proxy; its URL may carry credentials.
func proxyURL(s string) (msg, remedy string) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "":
		return "this is not the URL of a proxy", "write http://proxy:3128"
	case u.Scheme != "http":
		return "the scheme " + quoted(u.Scheme) + " is not one of a proxy that is known here", "write http://proxy:3128"
	case !validPort(u.Port(), true):
		return quoted(u.Port()) + " is not a port", "write a number from 1 to 65535"
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return "the URL of a proxy has nothing after the host", "write http://proxy:3128"
	}
	return "", ""
}

// parseRedial reads curl's forms: HOST:PORT:HOST2:PORT2 to connect elsewhere (any part but HOST2 may be empty), or with
// ip HOST:PORT:ADDRESS to resolve a name by hand. IPv6 addresses stand in brackets.
func parseRedial(s string, ip bool) (Redial, error) {
	form := "HOST:PORT:HOST2:PORT2"
	want := 4
	if ip {
		form, want = "HOST:PORT:ADDRESS", 3
	}
	parts := splitColons(s, want)
	if len(parts) != want {
		return Redial{}, redialError(s, form)
	}
	r := Redial{Host: strings.Trim(parts[0], "[]"), Port: parts[1]}
	if !validPort(r.Port, true) {
		return Redial{}, redialError(s, form)
	}
	if ip {
		a, err := netip.ParseAddr(strings.Trim(parts[2], "[]"))
		if err != nil || r.Host == "" {
			return Redial{}, redialError(s, form)
		}
		r.Addr = a.String()
		return r, nil
	}
	if !validPort(parts[3], true) || parts[2] == "" && parts[3] == "" {
		return Redial{}, redialError(s, form)
	}
	r.Addr = net.JoinHostPort(strings.Trim(parts[2], "[]"), parts[3])
	return r, nil
}

func redialError(s, form string) error {
	return fmt.Errorf("%s is not of the form; write %s, with [ ] around an IPv6 address", quoted(s), form)
}

// splitColons cuts at colons outside of brackets; the last part takes what is left if it cannot hold a port.
func splitColons(s string, n int) []string {
	var parts []string
	depth, from := 0, 0
	for i := range len(s) {
		switch s[i] {
		case '[':
			depth++
		case ']':
			depth--
		case ':':
			if depth == 0 && (n != 3 || len(parts) < 2) {
				parts = append(parts, s[from:i])
				from = i + 1
			}
		}
	}
	return append(parts, s[from:])
}

func validPort(s string, empty bool) bool {
	if s == "" {
		return empty
	}
	_, err := ParseCount(s, 1, 65535)
	return err == nil
}
