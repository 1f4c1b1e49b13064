package journey

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"lt/engine/scenario"
)

// Program is a whole scenario file compiled. It is immutable: all shards share one.
type Program struct {
	Scenarios []*Scenario
	Steps     []*Step  // by ID: scenario by scenario its setup, steps and teardown
	Origins   []Origin // all that are known without rendering, and the further hosts that may be met; Step.Origin indexes it

	base     *Origin // of File.Target; nil if it has none
	basePath string  // without the slash at its end
	hosts    map[string]bool
	headers  []string // Host fields of Origins
	closed   bool
	think    float64 // multiplier of think times
}

// Scenario is one kind of user.
type Scenario struct {
	Name                   string
	Setup, Steps, Teardown []*Step
	Pacing                 time.Duration // 0: none
	Cookies                scenario.Cookies
	Connections            scenario.Connections
	Vars                   int      // values that its users keep
	names                  []string // of those values
}

// Kind tells the steps of an iteration from those before and after all iterations. The values are those of
// metrics.StepKind.
type Kind uint8

// The kinds.
const (
	StepKind Kind = iota
	SetupKind
	TeardownKind
)

// Step is one request of a journey.
type Step struct {
	ID         int
	Kind       Kind
	Scenario   *Scenario
	Src        *scenario.Step
	Head       bool // the method is HEAD: its answer has no body
	Idempotent bool // GET HEAD OPTIONS PUT DELETE TRACE: may be sent again if a reused connection turns out dead
	Origin     int  // in Program.Origins; -1: known only when rendered
	NeedBody   bool // Judge wants the body of the answer
	NeedHead   bool // Judge wants the head of the answer
	HasThink   bool // a pause follows

	// The request. fixed is all of it up to the cookies for a step without variable parts before the body; tail what
	// follows the cookies if the body has none either. targetAt and targetEnd are the target within fixed.
	fixed               []byte
	tail                []byte
	targetAt, targetEnd int

	url       target
	fields    []field // in order, without those of the body
	cookie    *field  // the scenario's own Cookie field: the user's cookies are added to it
	auth      bool    // fields have an Authorization
	ownHost   bool    // fields have a Host
	body      body
	jar       bool // the user's cookies are sent
	pause     *scenario.Think
	mu, sigma float64 // of a lognormal pause, nanoseconds

	checks   []check
	statuses []scenario.StatusRange
	extracts []extract
}

// Input is what a request and its judgement depend on besides the session. Equal input gives equal bytes.
type Input struct {
	Seed      uint64
	Iteration int64 // arrival index; in the closed model the number of the user's iteration
	User      uint32
	Source    int       // that makes the request: its number in the tables of shares
	Attempt   int       // 0 for the first
	Now       time.Time // for the function now and the expiry of cookies; zero: cookies do not expire
}

// Compile makes a Program of a file that the parser has accepted. userAgent is sent where the scenario sets none. The
// error joins one for each problem: a template, URL, header, pattern or path that cannot work.
func Compile(f *scenario.File, userAgent string) (*Program, error) {
	c := &compiler{file: f, agent: userAgent, p: &Program{hosts: map[string]bool{}, closed: f.Closed, think: f.ThinkTimes}}
	c.target()
	for _, sc := range f.Scenarios {
		c.scenario(sc)
	}
	c.furtherHosts()
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return c.p, nil
}

// Allowed reports whether a host (a name or address without port) is one that the scenario names: nothing else is
// requested, wherever a redirect or a value points.
func (p *Program) Allowed(host string) bool {
	h, err := normalHost(strings.Trim(host, "[]"))
	return err == nil && p.hosts[h]
}

// who is the part of a draw's coordinates that tells users apart: in the open model the iteration alone counts, whichever
// slot runs it.
func (p *Program) who(in *Input) uint64 {
	if p.closed {
		return uint64(in.User)
	}
	return 0
}

// compiler holds what is needed only while compiling.
type compiler struct {
	file  *scenario.File
	agent string
	p     *Program
	errs  []error

	scope *scope // of the present scenario
	calls uint64 // of the present step: numbers its random calls
	src   *scenario.Step
}

func (c *compiler) fail(err error) {
	if c.src != nil {
		if c.src.Pos.Line > 0 {
			err = fmt.Errorf("%s:%d: step %s: %w", c.file.Path, c.src.Pos.Line, c.src.Name, err)
		} else {
			err = fmt.Errorf("step %s: %w", c.src.Name, err)
		}
	}
	c.errs = append(c.errs, err)
}

func (c *compiler) target() {
	if c.file.Target == "" {
		return
	}
	tls, rest, ok := cutScheme(c.file.Target)
	if !ok {
		c.fail(fmt.Errorf("target %q: it begins with http:// or https://", clip(c.file.Target)))
		return
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		c.fail(fmt.Errorf("target %q: a base URL has no query and no fragment; give a query with the steps", clip(c.file.Target)))
		return
	}
	o, _, err := parseAuthority(tls, authority)
	if err != nil {
		c.fail(fmt.Errorf("target: %w", err))
		return
	}
	c.p.base = &o
	c.p.basePath = strings.TrimRight(cleanURL(path), "/")
	c.origin(o)
}

// origin is the number of an origin in Program.Origins; it is added if it is new, and its host is allowed.
func (c *compiler) origin(o Origin) int {
	c.p.hosts[o.Host] = true
	if i := slices.Index(c.p.Origins, o); i >= 0 {
		return i
	}
	c.p.Origins = append(c.p.Origins, o)
	c.p.headers = append(c.p.headers, o.HostHeader())
	return len(c.p.Origins) - 1
}

// furtherHosts adds those listed under hosts: a host, host:port or URL. One without scheme is met as the target is.
func (c *compiler) furtherHosts() {
	for _, h := range c.file.Hosts {
		tls, rest, ok := cutScheme(h)
		if !ok {
			tls = c.p.base == nil || c.p.base.TLS
		}
		if i := strings.IndexAny(rest, "/?#"); i >= 0 {
			rest = rest[:i]
		}
		o, _, err := parseAuthority(tls, rest)
		if err != nil {
			c.fail(fmt.Errorf("hosts: %w", err))
			continue
		}
		c.origin(o)
	}
}

func (c *compiler) scenario(src *scenario.Scenario) {
	sc := &Scenario{Name: src.Name, Pacing: src.Pacing, Cookies: src.HTTP.Cookies, Connections: src.HTTP.Connections}
	c.scope = &scope{consts: map[string]string{}, slots: map[string]int{}, start: map[string]string{}}
	for _, steps := range [][]*scenario.Step{src.Setup, src.Steps, src.Teardown} {
		for _, st := range steps {
			for _, e := range st.Extract {
				if _, ok := c.scope.slots[e.Name]; !ok {
					c.scope.slots[e.Name] = len(c.scope.slots)
				}
			}
		}
	}
	for _, v := range c.file.Vars {
		if _, ok := c.scope.slots[v.Name]; ok {
			c.scope.start[v.Name] = v.Value
		} else {
			c.scope.consts[v.Name] = v.Value
		}
	}
	sc.Vars = len(c.scope.slots)
	sc.names = make([]string, sc.Vars)
	for name, slot := range c.scope.slots {
		sc.names[slot] = name
	}
	sc.Setup = c.steps(sc, src.Setup, SetupKind)
	sc.Steps = c.steps(sc, src.Steps, StepKind)
	sc.Teardown = c.steps(sc, src.Teardown, TeardownKind)
	c.p.Scenarios = append(c.p.Scenarios, sc)
}

func (c *compiler) steps(sc *Scenario, src []*scenario.Step, kind Kind) []*Step {
	var out []*Step
	for _, s := range src {
		st := &Step{ID: len(c.p.Steps), Kind: kind, Scenario: sc, Src: s, Origin: -1}
		c.src, c.calls = s, 0
		c.step(st)
		c.src = nil
		c.p.Steps = append(c.p.Steps, st)
		out = append(out, st)
	}
	return out
}

func (c *compiler) step(st *Step) {
	s := st.Src
	if !httpguts.ValidHeaderFieldName(s.Method) { // a method is a token, as a field's name is
		c.fail(fmt.Errorf("method %q: a method is one word of letters, such as GET", clip(s.Method)))
		return
	}
	if s.Method == "CONNECT" {
		c.fail(errors.New("method CONNECT: tunnels are opened by proxy: alone"))
		return
	}
	st.Head = s.Method == "HEAD"
	switch s.Method {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE":
		st.Idempotent = true
	}
	st.jar = s.HTTP.Cookies != scenario.CookiesOff
	if err := c.url(st); err != nil {
		c.fail(fmt.Errorf("url: %w", err))
	}
	if err := c.body(st); err != nil {
		c.fail(fmt.Errorf("body: %w", err))
	}
	c.fields(st)
	c.freeze(st)
	c.pause(st)
	c.judge(st)
}

// target is where a step's request goes.
type target struct {
	authority []*node // rendered origin, host[:port]; empty: Step.Origin, or whole
	tls       bool    // of authority
	whole     bool    // path is a reference that may begin with a scheme and host, and have a query
	path      []*node // path and query, from the slash on
	query     []*node // of a whole reference, what is added to its own query: name=value, joined by &
	text      string  // path, if it has no variable part
	userinfo  string
}

// url compiles where a request goes.
func (c *compiler) url(st *Step) error {
	nodes, err := c.parse(st.Src.URL)
	if err != nil {
		return err
	}
	// A variable of the file at the very start, as in {{base}}/login, is part of the URL like text.
	if len(nodes) > 0 && nodes[0].literal() {
		head := nodes[0].text
		i := 1
		for i < len(nodes) && nodes[i].literal() && strings.Contains(head, "://") && !strings.ContainsAny(head[strings.Index(head, "://")+3:], "/?#") {
			head += nodes[i].text
			i++
		}
		nodes = append([]*node{textNode(head)}, nodes[i:]...)
	}
	t := &st.url
	reference := 0 // so many parts at the start are of a reference, whose structure a value brings
	switch {
	case len(nodes) == 0:
		nodes = []*node{textNode("/")}
		fallthrough
	case nodes[0].literal():
		head := nodes[0].text
		if st.Src.Method == "OPTIONS" && head == "*" && len(nodes) == 1 {
			if c.p.base == nil {
				return errors.New("\"*\" needs a target")
			}
			st.Origin, t.path, t.text = c.origin(*c.p.base), nil, "*"
			return nil
		}
		tls, rest, ok := cutScheme(head)
		if ok {
			if nodes, err = c.authority(st, tls, rest, nodes); err != nil {
				return err
			}
			if t.whole {
				reference = len(nodes)
			}
			break
		}
		if i := strings.Index(head, "://"); i >= 0 && !strings.ContainsAny(head[:i], "/?#") {
			return fmt.Errorf("%q: only http:// and https:// are in this version", clip(head))
		}
		if c.p.base == nil {
			return fmt.Errorf("%q is relative and there is no target; write target: https://... at the top, or a whole URL here", clip(st.Src.URL))
		}
		st.Origin = c.origin(*c.p.base)
		if !strings.HasPrefix(head, "/") && !strings.HasPrefix(head, "?") {
			head = "/" + head
		}
		nodes = append([]*node{textNode(c.p.basePath + head)}, nodes[1:]...)
	default:
		t.whole, reference = true, 1
	}
	nodes, hasQuery := placeURL(nodes, reference)
	var query []*node
	for i, q := range st.Src.Query {
		pair, err := c.pair(q, inQuery)
		if err != nil {
			return fmt.Errorf("query %s: %w", q.Name, err)
		}
		if i > 0 {
			query = append(query, textNode("&"))
		}
		query = append(query, pair...)
	}
	switch {
	case t.whole:
		t.query = merge(query)
	case len(query) > 0:
		nodes = append(append(nodes, textNode(separator(hasQuery))), query...)
	}
	t.path = merge(nodes)
	if text, ok := allText(t.path); ok && !t.whole {
		if !strings.HasPrefix(text, "/") {
			text = "/" + text
		}
		t.text, t.path = text, nil
	} else if !t.whole && (!t.path[0].literal() || t.path[0].text[0] != '/') {
		t.path = append([]*node{textNode("/")}, t.path...)
	}
	return nil
}

// separator is what stands before a further part of a query, or before the first.
func separator(hasQuery bool) string {
	if hasQuery {
		return "&"
	}
	return "?"
}

// authority takes the host off the front of a whole URL, of which rest is the text behind the scheme, and returns what is left of
// it. If no text of the URL ends its host a value may: then all of it is a reference.
func (c *compiler) authority(st *Step, tls bool, rest string, nodes []*node) ([]*node, error) {
	more := nodes[1:]
	if i := strings.IndexAny(rest, "/?#"); i >= 0 || len(more) == 0 {
		if i < 0 {
			i = len(rest)
		}
		o, userinfo, err := parseAuthority(tls, rest[:i])
		if err != nil {
			return nil, err
		}
		st.Origin = c.origin(o)
		st.url.userinfo = userinfo
		return append([]*node{textNode(rest[i:])}, more...), nil
	}
	st.url.tls = tls
	auth := []*node{textNode(rest)}
	for k, n := range more {
		if n.literal() {
			if i := strings.IndexAny(n.text, "/?#"); i >= 0 {
				auth = append(auth, textNode(n.text[:i]))
				st.url.authority = merge(auth)
				return append([]*node{textNode(n.text[i:])}, more[k+1:]...), nil
			}
		}
		auth = append(auth, n)
	}
	st.url.whole = true
	return nodes, nil
}

// placeURL gives each part of a target its escape by where it stands, and reports whether there is a query. What the user
// wrote keeps its meaning; only what can never stand in a URL is encoded. A fragment is cut off: it is never sent. The first
// parts may be of a reference: the values there bring their own structure, and may begin the query that an & behind them goes on.
func placeURL(nodes []*node, reference int) (out []*node, query bool) {
	for i, n := range nodes {
		switch {
		case n.constant && i >= reference:
			e := inPath
			if query {
				e = inQuery
			}
			b, _ := escapeTail([]byte(n.text), 0, e)
			out = append(out, textNode(string(b)))
		case n.literal():
			text, fragment := n.text, false
			if j := strings.IndexByte(text, '#'); j >= 0 {
				text, fragment = text[:j], true
			}
			query = query || strings.IndexByte(text, '?') >= 0 || reference > 0 && strings.IndexByte(text, '&') >= 0
			out = append(out, textNode(cleanURL(text)))
			if fragment {
				return out, query
			}
		default:
			switch {
			case i < reference:
				n.esc = inURL
			case n.fn != nil && n.fn.final:
				n.esc = asIs
			case query:
				n.esc = inQuery
			default:
				n.esc = inPath
			}
			out = append(out, n)
		}
	}
	return out, query
}

// pair compiles name=value, both encoded.
func (c *compiler) pair(q scenario.Pair, e escape) ([]*node, error) {
	var out []*node
	for i, text := range []string{q.Name, q.Value} {
		if i == 1 {
			out = append(out, textNode("="))
		}
		nodes, err := c.parse(text)
		if err != nil {
			return nil, err
		}
		for _, n := range nodes {
			if n.literal() {
				b, _ := escapeTail([]byte(n.text), 0, e)
				n = textNode(string(b))
			} else if n.fn == nil || !n.fn.final {
				n.esc = e
			}
			out = append(out, n)
		}
	}
	return out, nil
}

// basic is the value of an Authorization field for a template user:password.
func (c *compiler) basic(credentials string) (*node, error) {
	parts, err := c.parse(credentials)
	if err != nil {
		return nil, err
	}
	return basicNode(parts), nil
}

// basicOf is the same for the userinfo of a URL, which is percent-encoded and no template.
func basicOf(userinfo string) *node {
	if u, err := url.PathUnescape(userinfo); err == nil {
		userinfo = u
	}
	if !strings.Contains(userinfo, ":") {
		userinfo += ":"
	}
	return basicNode([]*node{textNode(userinfo)})
}

func basicNode(parts []*node) *node {
	return &node{fn: &function{op: opBasic}, text: "user", slot: -1, args: parts}
}
