package journey

import (
	"errors"
	"fmt"
	"strings"
)

// ErrRedirect is the cause when an answer cannot be followed: no Location, one that is no http URL, or a status that is
// no redirect.
var ErrRedirect = errors.New("this answer cannot be followed")

// Redirect appends the request that follows an answer with status 301, 302, 303, 307 or 308 to the request prev of the
// same step. location is the value of its Location field; the cookies of that answer should have been stored before.
//
// 303 turns every method but HEAD into GET, 301 and 302 only POST, as RFC 9110 section 15.4 allows and browsers do; 307
// and 308 repeat method and body. Once another origin is met, the step's own Authorization, Cookie and Host are no longer
// sent, not even if a later answer leads back. The error wraps ErrForeign if the new host is one that the scenario does
// not name, and ErrRedirect if there is no way to follow; dst is then as it was.
func (p *Program) Redirect(dst []byte, st *Step, s *Session, in *Input, proxy *Proxy, prev *Request, status int, location []byte) (out []byte, req Request, err error) {
	req = Request{Origin: prev.Origin, OriginID: prev.OriginID, Method: prev.Method, Away: prev.Away, Bare: prev.Bare}
	switch {
	case status == 303 && prev.Method != "HEAD", (status == 301 || status == 302) && prev.Method == "POST":
		req.Method = "GET"
	case status == 301, status == 302, status == 303, status == 307, status == 308:
	default:
		return dst, req, fmt.Errorf("status %d: %w", status, ErrRedirect)
	}
	if len(location) == 0 {
		return dst, req, fmt.Errorf("status %d without Location: %w", status, ErrRedirect)
	}
	for _, c := range location {
		if c < ' ' || c == 0x7f {
			return dst, req, fmt.Errorf("control character in Location: %w", ErrRedirect)
		}
	}
	path, err := p.follow(&req, string(prev.Target), string(location))
	if err != nil {
		return dst, req, err
	}
	req.Away = req.Away || req.Origin != prev.Origin
	req.Bare = req.Bare || req.Method != prev.Method || status == 303
	r := render{p: p, st: st, s: s, in: in}
	out = append(dst, req.Method...)
	out = append(out, ' ')
	if proxy != nil {
		out = req.Origin.appendHost(req.Origin.appendScheme(out))
	}
	from := len(out)
	out = append(out, path...)
	req.Target = r.keep(out[from:])
	if out, err = r.rest(out, &req, proxy); err != nil {
		return dst, req, err
	}
	return out, req, nil
}

// follow resolves a reference against a target (RFC 3986 section 5.2), puts the origin into req and returns the target.
func (p *Program) follow(req *Request, base, ref string) (string, error) {
	if i := strings.IndexByte(ref, '#'); i >= 0 {
		ref = ref[:i]
	}
	ref = cleanURL(strings.TrimSpace(ref))
	tls, rest, whole := cutScheme(ref)
	switch {
	case whole:
	case strings.HasPrefix(ref, "//"):
		tls, rest, whole = req.Origin.TLS, ref[2:], true
	case hasScheme(ref):
		return "", fmt.Errorf("the Location %q is not http: %w", clip(ref), ErrRedirect)
	}
	if whole {
		authority := rest
		ref = "/"
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			authority, ref = rest[:i], rest[i:]
		}
		o, _, err := parseAuthority(tls, authority)
		if err != nil {
			return "", fmt.Errorf("the Location: %w: %w", err, ErrRedirect)
		}
		if err := p.settle(req, o); err != nil {
			return "", fmt.Errorf("the Location: %w", err)
		}
		if ref[0] == '?' {
			ref = "/" + ref
		}
	}
	basePath, _, _ := strings.Cut(base, "?")
	path, query, hasQuery := strings.Cut(ref, "?")
	switch {
	case ref == "":
		return base, nil
	case path == "":
		path = basePath
	case path[0] == '/':
		path = withoutDots(path)
	default:
		path = withoutDots(basePath[:strings.LastIndexByte(basePath, '/')+1] + path)
	}
	if hasQuery {
		path += "?" + query
	}
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	return path, nil
}

// hasScheme reports whether a reference begins with a scheme, such as mailto:.
func hasScheme(ref string) bool {
	i := strings.IndexAny(ref, ":/?")
	return i > 0 && ref[i] == ':'
}

// withoutDots resolves . and .. in a path, RFC 3986 section 5.2.4.
func withoutDots(path string) string {
	if !strings.Contains(path, "/.") {
		return path
	}
	var out []string
	parts := strings.Split(path, "/")
	for i, part := range parts {
		last := i == len(parts)-1
		switch part {
		case ".", "..":
			if part == ".." && len(out) > 1 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, part)
		}
	}
	return strings.Join(out, "/")
}
