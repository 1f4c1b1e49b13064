package journey

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Origin is where a request goes: scheme, host and port. Two of them can be compared with ==.
type Origin struct {
	Host string // lower case, IDNA in ASCII, an IPv6 address without brackets
	Port uint16
	TLS  bool
}

// String is the origin as the start of a URL, always with its port: http://host:port.
func (o Origin) String() string {
	b := make([]byte, 0, len(o.Host)+16)
	b = o.appendScheme(b)
	b = o.appendHost(b)
	if o.isDefaultPort() {
		b = append(b, ':')
		b = strconv.AppendUint(b, uint64(o.Port), 10)
	}
	return string(b)
}

// HostHeader is the value of the Host field: the port stands in it only if it is not the scheme's own.
func (o Origin) HostHeader() string { return string(o.appendHost(nil)) }

func (o Origin) appendScheme(dst []byte) []byte {
	if o.TLS {
		return append(dst, "https://"...)
	}
	return append(dst, "http://"...)
}

func (o Origin) appendHost(dst []byte) []byte {
	if strings.IndexByte(o.Host, ':') >= 0 {
		address, _, _ := strings.Cut(o.Host, "%") // a zone means something on this machine alone
		dst = append(dst, '[')
		dst = append(dst, address...)
		dst = append(dst, ']')
	} else {
		dst = append(dst, o.Host...)
	}
	if !o.isDefaultPort() {
		dst = append(dst, ':')
		dst = strconv.AppendUint(dst, uint64(o.Port), 10)
	}
	return dst
}

func (o Origin) isDefaultPort() bool { return o.Port == defaultPort(o.TLS) }

func defaultPort(tls bool) uint16 {
	if tls {
		return 443
	}
	return 80
}

// cutScheme splits http:// or https:// off a URL, whatever its case. ok is false for anything else.
func cutScheme[T string | []byte](url T) (tls bool, rest T, ok bool) {
	if n := len("http://"); len(url) >= n && strings.EqualFold(string(url[:n]), "http://") {
		return false, url[n:], true
	}
	if n := len("https://"); len(url) >= n && strings.EqualFold(string(url[:n]), "https://") {
		return true, url[n:], true
	}
	return false, url, false
}

// parseAuthority reads [user:password@]host[:port].
func parseAuthority(tls bool, authority string) (o Origin, userinfo string, err error) {
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		userinfo, authority = authority[:i], authority[i+1:]
	}
	host, port := authority, ""
	switch {
	case strings.HasPrefix(authority, "["):
		i := strings.IndexByte(authority, ']')
		if i < 0 {
			return o, userinfo, fmt.Errorf("host %q: the bracket of the IPv6 address is not closed", authority)
		}
		rest := authority[i+1:]
		host = strings.Replace(authority[1:i], "%25", "%", 1) // how a URL has the sign before a zone, RFC 6874
		if rest != "" && rest[0] != ':' {
			return o, userinfo, fmt.Errorf("host %q: after the address only :port may follow", authority)
		}
		port = strings.TrimPrefix(rest, ":")
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() {
			return o, userinfo, fmt.Errorf("host %q: not an IPv6 address", authority)
		}
	case strings.Count(authority, ":") == 1:
		i := strings.IndexByte(authority, ':')
		host, port = authority[:i], authority[i+1:]
	case strings.Contains(authority, ":"):
		return o, userinfo, fmt.Errorf("host %q: an IPv6 address stands in brackets, as in http://[::1]:8080/", authority)
	}
	o = Origin{TLS: tls, Port: defaultPort(tls)}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return o, userinfo, fmt.Errorf("host %q: the port is a number from 1 to 65535", authority)
		}
		o.Port = uint16(n)
	}
	o.Host, err = normalHost(host)
	return o, userinfo, err
}

var errNoHost = errors.New("the URL has no host")

// normalHost is the form in which hosts are compared: an address as netip prints it, a name in lower case ASCII without
// the root's dot.
func normalHost(host string) (string, error) {
	if host == "" {
		return "", errNoHost
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return a.String(), nil
	}
	ascii := true
	for i := range len(host) {
		c := host[i]
		if c >= 0x80 {
			ascii = false
			continue
		}
		if !isAlnum(c) && c != '-' && c != '.' && c != '_' {
			return "", fmt.Errorf("host %q: %q may not stand in a host's name", clip(host), c)
		}
	}
	h := strings.ToLower(strings.TrimSuffix(host, "."))
	if !ascii {
		a, err := idna.Lookup.ToASCII(h)
		if err != nil {
			return "", fmt.Errorf("host %q: %w", clip(host), err)
		}
		h = a
	}
	if h == "" {
		return "", errNoHost
	}
	if len(h) > 253 {
		return "", fmt.Errorf("host %q: longer than 253 characters", clip(host))
	}
	return h, nil
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
