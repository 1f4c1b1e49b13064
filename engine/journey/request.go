package journey

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"lt/engine/scenario"
)

// Proxy says that a request goes to a plain HTTP proxy: its target is then the whole URL. Requests over TLS go through a
// tunnel and are written without a Proxy.
type Proxy struct {
	Authorization string // value of Proxy-Authorization; empty: none
}

// Request is what is known of a request that was written. It is small, and good for as long as its session renders no
// other one.
type Request struct {
	Origin   Origin
	OriginID int    // in Program.Origins; -1: an allowed host on a port or scheme that no step names
	Target   []byte // path and query; not to be changed
	Method   string // differs from the step's after some redirects
	Away     bool   // a redirect has led to another origin: the step's own credentials are no longer sent
	Bare     bool   // a redirect has taken the body off
}

// ErrForeign is the cause when a request would go to a host that the scenario does not name.
var ErrForeign = errors.New("the scenario does not name this host; list it under hosts: if it may be met")

// field is a header field of a step.
type field struct {
	name   string
	value  []*node // merged; of a fixed one a single text
	secret bool    // Authorization, Cookie and the like: only for the step's own origin
	host   bool    // Host, likewise
	ofBody bool    // describes the body
}

// body is what a request carries.
type body struct {
	fixed []byte  // without variable parts
	parts []*node // with them
	mime  string  // Content-Type; empty: the scenario gives it, or there is no body
	any   bool    // there is a body, though it may be empty
	guess int     // likely length, to leave room for its digits
}

func (c *compiler) body(st *Step) error {
	b, s := &st.body, st.Src
	isJSON := s.Body == scenario.BodyJSON
	own := ""
	for _, h := range append(s.HTTP.Headers[:len(s.HTTP.Headers):len(s.HTTP.Headers)], s.Headers...) {
		if strings.EqualFold(h.Name, "content-type") {
			own = h.Value
		}
	}
	switch s.Body {
	case scenario.NoBody:
		return nil
	case scenario.BodyFile:
		b.any, b.fixed = true, s.Data
		return nil
	case scenario.BodyForm:
		b.any, b.mime = true, "application/x-www-form-urlencoded"
		for i, f := range s.Form {
			if i > 0 {
				b.parts = append(b.parts, textNode("&"))
			}
			pair, err := c.pair(f, inForm)
			if err != nil {
				return fmt.Errorf("form %s: %w", f.Name, err)
			}
			b.parts = append(b.parts, pair...)
		}
	case scenario.BodyJSON:
		b.mime = "application/json"
		fallthrough
	default:
		b.any = true
		nodes, err := c.parse(s.Text)
		if err != nil {
			return err
		}
		if media, _, _ := strings.Cut(strings.ToLower(own), ";"); isJSON || strings.HasSuffix(strings.TrimSpace(media), "json") {
			placeJSON(nodes)
		}
		b.parts = nodes
	}
	if own != "" {
		b.mime = ""
	}
	b.parts = merge(b.parts)
	if text, ok := allText(b.parts); ok {
		b.fixed, b.parts = []byte(text), nil
	}
	for _, n := range b.parts {
		if b.guess += 16; n.literal() {
			b.guess += len(n.text) - 16
		}
	}
	return nil
}

// placeJSON escapes the parts that stand between the quotes of a JSON string. Those outside, a number or a whole value
// from a variable, are written as they are.
func placeJSON(nodes []*node) {
	quoted, escaped := false, false
	for _, n := range nodes {
		if n.constant || !n.literal() {
			if quoted {
				if n.constant {
					n.text = string(jsonTail([]byte(n.text), 0))
				} else {
					n.esc = inJSON
				}
			}
			continue
		}
		for _, b := range []byte(n.text) {
			switch {
			case escaped:
				escaped = false
			case b == '\\':
				escaped = quoted
			case b == '"':
				quoted = !quoted
			}
		}
	}
}

// fields compiles the header fields: those that the step inherits, its own, which replace inherited ones of the same name,
// and what the request needs besides.
func (c *compiler) fields(st *Step) {
	s := st.Src
	var all []scenario.Pair
	for _, h := range s.HTTP.Headers {
		replaced := false
		for _, own := range s.Headers {
			replaced = replaced || strings.EqualFold(own.Name, h.Name)
		}
		if !replaced {
			all = append(all, h)
		}
	}
	all = append(all, s.Headers...)
	agent, trace := false, false
	for _, h := range all {
		f, err := c.field(h)
		if err != nil {
			c.fail(fmt.Errorf("header %s: %w", clip(h.Name), err))
			continue
		}
		switch strings.ToLower(h.Name) {
		case "cookie":
			st.cookie = &f
			continue
		case "host":
			st.ownHost, f.host = true, true
			st.fields = append([]field{f}, st.fields...)
			continue
		case "content-type", "content-encoding", "content-language", "content-location":
			f.ofBody = true
		case "user-agent":
			agent = true
		case "authorization":
			st.auth = true
		case "traceparent", "x-request-id":
			trace = true
		}
		st.fields = append(st.fields, f)
	}
	if !agent && c.agent != "" {
		st.fields = append(st.fields, field{name: "User-Agent", value: []*node{textNode(c.agent)}})
	}
	if !st.auth {
		var n *node
		if st.url.userinfo != "" {
			n = basicOf(st.url.userinfo)
		} else if s.HTTP.User != "" {
			var err error
			if n, err = c.basic(s.HTTP.User); err != nil {
				c.fail(fmt.Errorf("user: %w", err))
			}
		}
		if n != nil {
			st.auth = true
			st.fields = append(st.fields, field{name: "Authorization", value: c.folded([]*node{n}), secret: true})
		}
	}
	if !trace {
		switch s.HTTP.Trace {
		case scenario.TraceParent:
			st.fields = append(st.fields, field{name: "traceparent", value: []*node{{fn: &function{op: opTraceParent}, text: "trace", slot: -1}}})
		case scenario.TraceRequestID:
			st.fields = append(st.fields, field{name: "X-Request-Id", value: []*node{{fn: &function{op: opRequestID}, text: "trace", slot: -1}}})
		}
	}
	if s.HTTP.Connections == scenario.PerRequest {
		st.fields = append(st.fields, field{name: "Connection", value: []*node{textNode("close")}})
	}
	if st.body.mime != "" {
		st.fields = append(st.fields, field{name: "Content-Type", value: []*node{textNode(st.body.mime)}, ofBody: true})
	}
}

func (c *compiler) field(h scenario.Pair) (field, error) {
	f := field{name: h.Name}
	if !httpguts.ValidHeaderFieldName(h.Name) {
		return f, errors.New("a name is letters, digits and dashes")
	}
	switch strings.ToLower(h.Name) {
	case "content-length", "transfer-encoding", "trailer", "upgrade":
		return f, errors.New("it is worked out from the body and may not be set")
	case "authorization", "cookie", "proxy-authorization", "www-authenticate":
		f.secret = true
	}
	nodes, err := c.parse(h.Value)
	if err != nil {
		return f, err
	}
	for _, n := range nodes {
		n.esc = inHeader
		if n.literal() && !httpguts.ValidHeaderFieldValue(n.text) {
			return f, errControl
		}
	}
	f.value = merge(nodes)
	if text, ok := allText(f.value); ok {
		f.value = []*node{textNode(strings.Trim(text, " \t"))}
	}
	return f, nil
}

// folded replaces calls whose arguments never change by what they yield.
func (c *compiler) folded(nodes []*node) []*node {
	for i, n := range nodes {
		if n.fn == nil || n.fn.op != opBasic {
			continue
		}
		fixed := true
		for _, a := range n.args {
			fixed = fixed && a.literal()
		}
		if fixed {
			b, _ := renderBasic(&render{}, nil, n)
			nodes[i] = textNode(string(b))
		}
	}
	return nodes
}

// freeze writes the parts of a request that are the same each time.
func (c *compiler) freeze(st *Step) {
	if st.Origin < 0 || st.url.path != nil || len(c.errs) > 0 {
		return
	}
	for _, f := range st.fields {
		if _, ok := allText(f.value); !ok {
			return
		}
	}
	r := render{p: c.p, st: st}
	o := &c.p.Origins[st.Origin]
	st.targetAt = len(st.Src.Method) + 1
	st.targetEnd = st.targetAt + len(st.url.text)
	head := append([]byte(st.Src.Method), ' ')
	head = append(head, st.url.text...)
	head, err := r.head(head, o, nil, false, false)
	if err != nil {
		c.fail(err)
		return
	}
	if st.body.parts == nil {
		// The length stands before the cookies, so that only they have to be put between two copies.
		head = r.length(head)
		st.tail = append([]byte("\r\n"), st.body.fixed...)
	}
	st.fixed = head
}

// Append appends the request of a step to dst: request line, Host, fields, cookies, length and body. With a proxy its
// target is the whole URL. It changes nothing but the session's note of the target. The error says which value could not
// be filled in; dst is then as it was.
func (p *Program) Append(dst []byte, st *Step, s *Session, in *Input, proxy *Proxy) (out []byte, req Request, err error) {
	req = Request{OriginID: st.Origin, Method: st.Src.Method}
	r := render{p: p, st: st, s: s, in: in}
	if st.fixed != nil && proxy == nil {
		req.Origin = p.Origins[st.Origin]
		req.Target = st.fixed[st.targetAt:st.targetEnd:st.targetEnd]
		out = append(dst, st.fixed...)
		if out, err = r.cookies(out, &req); err != nil {
			return dst, req, err
		}
		if st.tail != nil {
			return append(out, st.tail...), req, nil
		}
		if out, err = r.body(out); err != nil {
			return dst, req, err
		}
		return out, req, nil
	}
	out = append(dst, st.Src.Method...)
	out = append(out, ' ')
	if out, err = r.target(out, &req, proxy); err != nil {
		return dst, req, err
	}
	if out, err = r.rest(out, &req, proxy); err != nil {
		return dst, req, err
	}
	return out, req, nil
}

// target appends where the request goes and notes it in req.
func (r *render) target(dst []byte, req *Request, proxy *Proxy) ([]byte, error) {
	st, u := r.st, &r.st.url
	from := len(dst)
	var err error
	switch {
	case u.whole:
		if dst, err = r.nodes(dst, u.path); err != nil {
			return dst, err
		}
		return r.whole(dst, from, req, proxy)
	case len(u.authority) > 0:
		if dst, err = r.nodes(dst, u.authority); err != nil {
			return dst, err
		}
		if err = r.p.resolve(req, u.tls, dst[from:]); err != nil {
			return dst, fmt.Errorf("%s: %w", st.Src.Name, err)
		}
		dst = dst[:from]
	default:
		req.Origin = r.p.Origins[st.Origin]
	}
	if proxy != nil {
		dst = req.Origin.appendHost(req.Origin.appendScheme(dst))
	}
	from = len(dst)
	if u.path == nil {
		if proxy != nil && u.text == "*" {
			return dst, nil // a proxy makes the asterisk again of a URL without path, RFC 9112 section 3.2.4
		}
		dst = append(dst, u.text...)
		req.Target = r.keep(dst[from:])
		return dst, nil
	}
	if dst, err = r.nodes(dst, u.path); err != nil {
		return dst, err
	}
	req.Target = r.keep(dst[from:])
	return dst, nil
}

// whole takes scheme and host off a rendered reference at dst[from:].
func (r *render) whole(dst []byte, from int, req *Request, proxy *Proxy) ([]byte, error) {
	ref := dst[from:]
	if i := bytes.IndexByte(ref, '#'); i >= 0 {
		ref = ref[:i]
	}
	tls, rest, ok := cutScheme(ref)
	if i := bytes.Index(ref, []byte("://")); !ok && i >= 0 && !bytes.ContainsAny(ref[:i], "/?") {
		return dst, fmt.Errorf("%s: %q: only http:// and https:// are in this version", r.st.Src.Name, clip(string(ref)))
	}
	if !ok && bytes.HasPrefix(ref, []byte("//")) && r.p.base != nil {
		tls, rest, ok = r.p.base.TLS, ref[2:], true
	}
	path := ref
	if ok {
		i := bytes.IndexAny(rest, "/?")
		if i < 0 {
			i = len(rest)
		}
		if err := r.p.resolve(req, tls, rest[:i]); err != nil {
			return dst, fmt.Errorf("%s: %w", r.st.Src.Name, err)
		}
		path = rest[i:]
	} else {
		if r.p.base == nil {
			return dst, fmt.Errorf("%s: %q is relative and there is no target", r.st.Src.Name, clip(string(ref)))
		}
		req.Origin, req.OriginID = *r.p.base, 0 // the target is the first origin of a program
	}
	// The session keeps the target, which also frees dst for what stands before it.
	kept := r.s.target[:0]
	if len(path) == 0 || path[0] != '/' {
		if !ok {
			kept = append(kept, r.p.basePath...)
		}
		if len(kept) == 0 || len(path) == 0 || path[0] != '?' {
			kept = append(kept, '/')
		}
	}
	kept = append(kept, path...)
	var err error
	if query := r.st.url.query; len(query) > 0 {
		kept = append(kept, separator(bytes.IndexByte(path, '?') >= 0)...)
		kept, err = r.nodes(kept, query)
	}
	r.s.target, req.Target = kept, kept
	if err != nil {
		return dst, err
	}
	dst = dst[:from]
	if proxy != nil {
		dst = req.Origin.appendHost(req.Origin.appendScheme(dst))
	}
	return append(dst, kept...), nil
}

// keep copies a target into the session: the buffer it was rendered in is another request's soon.
func (r *render) keep(target []byte) []byte {
	r.s.target = append(r.s.target[:0], target...)
	return r.s.target
}

// resolve finds the origin of a rendered host[:port].
func (p *Program) resolve(req *Request, tls bool, authority []byte) error {
	for i := range p.Origins {
		// A host written as in its Host field needs no parsing and no memory.
		if p.Origins[i].TLS == tls && string(authority) == p.headers[i] {
			req.Origin, req.OriginID = p.Origins[i], i
			return nil
		}
	}
	o, _, err := parseAuthority(tls, string(authority))
	if err != nil {
		return err
	}
	return p.settle(req, o)
}

// settle puts an origin into req if its host is allowed.
func (p *Program) settle(req *Request, o Origin) error {
	req.Origin, req.OriginID = o, -1
	for i := range p.Origins {
		if p.Origins[i] == o {
			req.OriginID = i
			return nil
		}
	}
	if !p.hosts[o.Host] {
		return fmt.Errorf("%s: %w", o.Host, ErrForeign)
	}
	return nil
}

// head appends what follows the target up to the cookies. Away from the step's own origin its credentials stay behind; a
// request that lost its body in a redirect has lost the fields that describe it.
func (r *render) head(dst []byte, o *Origin, proxy *Proxy, away, bare bool) ([]byte, error) {
	dst = append(dst, " HTTP/1.1\r\n"...)
	if !r.st.ownHost || away {
		dst = append(dst, "Host: "...)
		dst = o.appendHost(dst)
		dst = append(dst, "\r\n"...)
	}
	if proxy != nil && proxy.Authorization != "" {
		dst = append(dst, "Proxy-Authorization: "...)
		dst = append(dst, proxy.Authorization...)
		dst = append(dst, "\r\n"...)
	}
	for i := range r.st.fields {
		f := &r.st.fields[i]
		if away && (f.secret || f.host) || bare && f.ofBody {
			continue
		}
		dst = append(dst, f.name...)
		dst = append(dst, ": "...)
		var err error
		if dst, err = r.nodes(dst, f.value); err != nil {
			return dst, err
		}
		dst = append(dst, "\r\n"...)
	}
	return dst, nil
}

// rest appends everything behind the target.
func (r *render) rest(dst []byte, req *Request, proxy *Proxy) ([]byte, error) {
	dst, err := r.head(dst, &req.Origin, proxy, req.Away, req.Bare)
	if err != nil {
		return dst, err
	}
	b := &r.st.body
	if b.parts == nil && !req.Bare {
		dst = r.length(dst)
	}
	if dst, err = r.cookies(dst, req); err != nil {
		return dst, err
	}
	if b.parts != nil && !req.Bare {
		return r.body(dst)
	}
	dst = append(dst, "\r\n"...)
	if !req.Bare {
		dst = append(dst, b.fixed...)
	}
	return dst, nil
}

// length appends the Content-Length of a body without variable parts. An empty one is said where the method leads to
// expect a body (RFC 9110 section 8.6).
func (r *render) length(dst []byte) []byte {
	if !r.st.body.any {
		switch r.st.Src.Method {
		case "POST", "PUT", "PATCH":
		default:
			return dst
		}
	}
	dst = append(dst, contentLength...)
	dst = strconv.AppendInt(dst, int64(len(r.st.body.fixed)), 10)
	return append(dst, "\r\n"...)
}

const contentLength = "Content-Length: "

// body appends Content-Length, the empty line and a body that has to be rendered before its length is known. Room for as
// many digits as the length usually has is left, so that the body is hardly ever moved.
func (r *render) body(dst []byte) ([]byte, error) {
	dst = append(dst, contentLength...)
	at, room := len(dst), digits(r.st.body.guess)
	dst = extend(dst, room)
	dst = append(dst, "\r\n\r\n"...)
	from := len(dst)
	dst, err := r.nodes(dst, r.st.body.parts)
	if err != nil {
		return dst, err
	}
	n := len(dst) - from
	if need := digits(n); need != room {
		dst = splice(dst, at, at+room, need)
	}
	strconv.AppendInt(dst[:at], int64(n), 10)
	return dst, nil
}

func digits(n int) int {
	d := 1
	for ; n >= 10; n /= 10 {
		d++
	}
	return d
}

// cookies appends the Cookie field: the scenario's own one first, then the user's cookies.
func (r *render) cookies(dst []byte, req *Request) ([]byte, error) {
	st, own := r.st, r.st.cookie != nil && !req.Away
	jar := st.jar && len(r.s.cookies) > 0
	if !own && !jar {
		return dst, nil
	}
	start := len(dst)
	dst = append(dst, "Cookie: "...)
	from := len(dst)
	if own {
		var err error
		if dst, err = r.nodes(dst, st.cookie.value); err != nil {
			return dst, err
		}
	}
	if jar {
		end := len(dst)
		if end > from {
			dst = append(dst, "; "...)
		}
		before := len(dst)
		now := int64(0)
		if !r.in.Now.IsZero() {
			now = r.in.Now.UnixMilli()
		}
		if dst = r.s.appendCookies(dst, &req.Origin, pathOf(req.Target), now); len(dst) == before {
			dst = dst[:end]
		}
	}
	if len(dst) == from {
		return dst[:start], nil
	}
	return append(dst, "\r\n"...), nil
}
