package scenario

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"lt/engine/load"
)

// canonical writes a file as YAML in one form: every key in a fixed order, defaults left out. Parsing it gives the same File
// again, but for places, comments and what was a secret, which is how the tests know that nothing of a file is lost or made up. What
// only a command line can give (a body read from outside the folder) is written by its name.
func canonical(f *File) []byte {
	w := &printer{}
	w.fixed("name", f.Name)
	w.fixed("target", f.Target)
	w.list("hosts", f.Hosts)
	if len(f.Vars) > 0 {
		w.open("vars")
		for _, v := range f.Vars {
			w.key(v.Name, quote(escapeDollar(v.Value)))
		}
		w.close()
	}
	w.http(&f.HTTP, defaultHTTP(), f.HTTP.Headers, true)
	if len(f.Profiles) > 0 || f.ThinkTimes != 1 {
		w.open("think")
		for _, name := range slices.Sorted(maps.Keys(f.Profiles)) {
			w.key(name, quote(f.Profiles[name].shape()))
		}
		w.key("times", formatNumber(f.ThinkTimes))
		w.close()
	}
	w.load(f)
	w.open("scenarios")
	for _, sc := range f.Scenarios {
		w.scenario(sc, f.HTTP)
	}
	w.close()
	var exprs []string
	for _, c := range f.SLO {
		exprs = append(exprs, c.Expr)
	}
	w.list("slo", exprs)
	if a := f.Authorize; a != nil {
		w.open("authorize")
		w.fixed("owner", a.Owner)
		w.fixed("ticket", a.Ticket)
		if !a.Until.IsZero() {
			w.key("until", quote(a.Until.Format(time.RFC3339Nano)))
		}
		w.close()
	}
	if len(f.Labels) > 0 {
		w.open("labels")
		for _, k := range slices.Sorted(maps.Keys(f.Labels)) {
			w.key(escapeDollar(k), quote(escapeDollar(f.Labels[k])))
		}
		w.close()
	}
	w.peers(f.Peers)
	return []byte(w.b.String())
}

// printer writes block mappings, two columns a level. item marks that the next key begins an element of a list.
type printer struct {
	b     strings.Builder
	depth int
	item  bool
}

func (w *printer) line(s string) {
	w.b.WriteString(strings.Repeat("  ", w.depth))
	if w.item {
		w.b.WriteString("- ")
		w.item = false
		w.depth++
	}
	w.b.WriteString(s)
	w.b.WriteByte('\n')
}

// key writes a key with a value that is YAML already.
func (w *printer) key(name, value string) { w.line(quote(name) + ": " + value) }

// fixed writes a value, in which nothing is a reference to the environment, unless it is empty.
func (w *printer) fixed(name, value string) {
	if value != "" {
		w.key(name, quote(escapeDollar(value)))
	}
}

func (w *printer) open(name string) {
	w.line(quote(name) + ":")
	w.depth++
}

func (w *printer) close() { w.depth-- }

// begin starts an element of a list; its first key gets the dash.
func (w *printer) begin() { w.item = true }

func (w *printer) list(name string, values []string) {
	if len(values) == 0 {
		return
	}
	q := make([]string, len(values))
	for i, v := range values {
		q[i] = quote(v)
	}
	w.key(name, "["+strings.Join(q, ", ")+"]")
}

func (w *printer) fixedList(name string, values []string) {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = escapeDollar(v)
	}
	w.list(name, out)
}

func (w *printer) duration(name string, d time.Duration) {
	if d != 0 {
		w.key(name, formatDuration(d))
	}
}

// pairs writes names with values; one that comes several times gets a list.
func (w *printer) pairs(name string, pairs []Pair, fixed bool) {
	if len(pairs) == 0 {
		return
	}
	w.open(name)
	for i := 0; i < len(pairs); {
		var values []string
		first := i
		for ; i < len(pairs) && pairs[i].Name == pairs[first].Name; i++ {
			values = append(values, quote(escapeDollar(pairs[i].Value)))
		}
		if len(values) == 1 || fixed {
			w.key(escapeDollar(pairs[first].Name), values[0])
		} else {
			w.key(escapeDollar(pairs[first].Name), "["+strings.Join(values, ", ")+"]")
		}
	}
	w.close()
}

// plainText needs no quotes: it can be nothing but text.
var plainText = regexp.MustCompile(`^[A-Za-z/$][A-Za-z0-9_/.$-]*( [A-Za-z0-9_/.$<>-]+)*$`)

// words that YAML readers, this one or others, take for something else than text.
var notText = map[string]bool{"true": true, "false": true, "yes": true, "no": true, "on": true, "off": true, "null": true, "y": true, "n": true}

// quote writes text as a YAML scalar.
func quote(s string) string {
	if plainText.MatchString(s) && !notText[strings.ToLower(s)] {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r > 0xffff && !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\U%08X`, r)
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// http writes what differs from the settings around it; headers are those that this place adds. Settings of a scenario
// or step stand under http: as well.
func (w *printer) http(h *HTTP, outer HTTP, headers []Pair, file bool) {
	inner := &printer{depth: w.depth + 1}
	if h.Version != outer.Version {
		inner.key("version", quote(h.Version))
	}
	if h.Timeout != outer.Timeout {
		inner.duration("timeout", h.Timeout)
	}
	if h.ConnectTimeout != outer.ConnectTimeout {
		inner.duration("connect_timeout", h.ConnectTimeout)
	}
	if h.Connections != outer.Connections {
		inner.key("connections", connectionWords[h.Connections])
	}
	if h.MaxBody != outer.MaxBody {
		inner.key("max_body", formatSize(h.MaxBody))
	}
	if h.Redirects != outer.Redirects {
		inner.key("redirects", strconv.Itoa(h.Redirects))
	}
	inner.pairs("headers", headers, true)
	if h.Cookies != outer.Cookies {
		inner.key("cookies", quote(cookieWords[h.Cookies]))
	}
	if h.Trace != outer.Trace {
		inner.key("trace", quote(traceWords[h.Trace]))
	}
	if h.TLS != outer.TLS {
		inner.tls(&h.TLS, outer.TLS)
	}
	if h.User != outer.User {
		inner.fixed("user", h.User)
	}
	if file {
		inner.fixed("proxy", h.Proxy)
		inner.redials("connect_to", h.ConnectTo)
		inner.redials("resolve", h.Resolve)
		inner.fixed("unix_socket", h.UnixSocket)
		inner.list("source_ips", h.SourceIPs)
	}
	if inner.b.Len() > 0 {
		w.line("http:")
		w.b.WriteString(inner.b.String())
	}
}

func (w *printer) tls(t *TLS, outer TLS) {
	w.open("tls")
	if t.Insecure != outer.Insecure {
		w.key("insecure", strconv.FormatBool(t.Insecure))
	}
	for _, x := range [][3]string{{"ca", t.CA, outer.CA}, {"cert", t.Cert, outer.Cert}, {"key", t.Key, outer.Key}, {"server_name", t.ServerName, outer.ServerName}, {"min_version", t.MinVersion, outer.MinVersion}} {
		if x[1] != x[2] {
			w.fixed(x[0], x[1])
		}
	}
	w.close()
}

func (w *printer) redials(name string, list []Redial) {
	var out []string
	for _, r := range list {
		host := r.Host
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		out = append(out, host+":"+r.Port+":"+r.Addr)
	}
	w.fixedList(name, out)
}

func (w *printer) load(f *File) {
	s := &f.Load
	w.open("load")
	level := "rate"
	if f.Closed {
		level = "users"
	}
	w.open(level)
	for _, st := range s.Profile.Stages {
		w.begin()
		depth := w.depth
		w.fixed("name", st.Name)
		w.duration("for", st.For)
		if st.Ramp {
			w.key("to", formatNumber(st.At))
		} else {
			w.key("at", formatNumber(st.At))
		}
		if st.Curve != load.Linear {
			w.key("curve", curveWords[st.Curve])
		}
		if st.Steps != 0 {
			w.key("steps", strconv.Itoa(st.Steps))
		}
		if st.Warmup {
			w.key("warmup", "true")
		}
		w.depth = depth
	}
	w.close()
	if s.Iterations > 0 {
		w.key("iterations", strconv.FormatInt(s.Iterations, 10))
	}
	if !f.Closed {
		w.key("arrivals", s.Arrivals.String())
		if s.MaxInFlight > 0 {
			w.key("max_in_flight", strconv.Itoa(s.MaxInFlight))
		}
		w.key("drop_after", formatDuration(s.DropAfter))
	}
	if s.MaxRate > 0 {
		w.key("max_rate", formatNumber(s.MaxRate))
	}
	w.key("graceful", formatDuration(s.Graceful))
	if s.Seed != 0 {
		w.key("seed", strconv.FormatUint(s.Seed, 10))
	}
	w.close()
}

func (w *printer) scenario(sc *Scenario, outer HTTP) {
	w.begin()
	depth := w.depth
	w.fixed("name", sc.Name)
	if sc.Weight != 1 {
		w.key("weight", strconv.Itoa(sc.Weight))
	}
	w.duration("pacing", sc.Pacing)
	var own []Pair
	for _, h := range sc.HTTP.Headers {
		if !slices.ContainsFunc(outer.Headers, func(o Pair) bool { return o.Name == h.Name && o.Value == h.Value }) {
			own = append(own, h)
		}
	}
	w.http(&sc.HTTP, outer, own, false)
	for _, part := range []struct {
		name  string
		steps []*Step
	}{{"setup", sc.Setup}, {"steps", sc.Steps}, {"teardown", sc.Teardown}} {
		if len(part.steps) == 0 {
			continue
		}
		w.open(part.name)
		for _, st := range part.steps {
			w.step(st, sc.HTTP)
		}
		w.close()
	}
	w.depth = depth
}

func (w *printer) step(st *Step, outer HTTP) {
	w.begin()
	depth := w.depth
	w.fixed("name", st.Name)
	if m := strings.ToLower(st.Method); slices.Contains(methods, m) {
		w.key(m, quote(escapeDollar(st.URL)))
	} else {
		w.key("method", quote(st.Method))
		w.key("url", quote(escapeDollar(st.URL)))
	}
	w.pairs("query", st.Query, false)
	w.pairs("headers", st.Headers, true)
	switch st.Body {
	case BodyText:
		w.key("body", quote(escapeDollar(st.Text)))
	case BodyFile:
		w.key("body_file", quote(escapeDollar(st.File)))
	case BodyJSON:
		var s string
		if json.Unmarshal([]byte(st.Text), &s) == nil && strings.HasPrefix(st.Text, `"`) {
			w.key("json", forceQuote(escapeDollar(s)))
		} else if t := strings.TrimSpace(st.Text); strings.HasPrefix(t, "{") || strings.HasPrefix(t, "[") {
			w.key("json", quote(escapeDollar(st.Text)))
		} else {
			w.key("json", st.Text)
		}
	case BodyForm:
		if len(st.Form) == 0 {
			w.key("form", "{}")
		}
		w.pairs("form", st.Form, false)
	}
	w.extract(st.Extract)
	w.check(&st.Check)
	if st.Think != nil {
		w.key("think", quote(st.Think.String()))
	}
	w.http(&st.HTTP, outer, nil, false)
	w.depth = depth
}

// forceQuote quotes text that would do without: of a JSON value quotes are part.
func forceQuote(s string) string {
	if q := quote(s); strings.HasPrefix(q, `"`) {
		return q
	}
	return `"` + s + `"`
}

func (w *printer) extract(list []Extract) {
	if len(list) == 0 {
		return
	}
	w.open("extract")
	for _, e := range list {
		w.open(e.Name)
		w.fixed(sourceWords[e.Source], e.Expr)
		switch {
		case e.Pick == Last:
			w.key("pick", "last")
		case e.Pick == Random:
			w.key("pick", "random")
		case e.Pick > 0:
			w.key("pick", strconv.Itoa(int(e.Pick)))
		}
		if e.HasDefault {
			w.key("default", quote(escapeDollar(e.Default)))
		}
		w.close()
	}
	w.close()
}

func (w *printer) check(c *Check) {
	inner := &printer{depth: w.depth + 1}
	var status []string
	for _, r := range c.Status {
		s := strconv.Itoa(r.From)
		if r.To != r.From {
			s += "-" + strconv.Itoa(r.To)
		}
		status = append(status, s)
	}
	inner.list("status", status)
	inner.duration("time", c.Time)
	inner.fixedList("contains", c.Contains)
	inner.fixedList("not_contains", c.NotContains)
	var matches []string
	for _, m := range c.Matches {
		matches = append(matches, "/"+m+"/")
	}
	inner.fixedList("matches", matches)
	if len(c.Headers) > 0 {
		inner.open("header")
		for _, h := range c.Headers {
			inner.key(h.Name, quote(escapeDollar(h.Value)))
		}
		inner.close()
	}
	if len(c.JSON) > 0 {
		inner.open("jsonpath")
		for _, j := range c.JSON {
			inner.key(j.Path, quote(escapeDollar(j.String())))
		}
		inner.close()
	}
	if c.Size != nil {
		inner.key("size", quote(c.Size.String()))
	}
	if inner.b.Len() > 0 {
		w.line("check:")
		w.b.WriteString(inner.b.String())
	}
}

// String is the comparison as a file has it.
func (c Compare) String() string {
	switch c.Op {
	case "exists":
		return "exists"
	case "matches":
		return "/" + c.Value + "/"
	}
	return c.Op + " " + c.Value
}

// peers writes the key of the file.
func (w *printer) peers(list []Peer) {
	if len(list) == 0 {
		return
	}
	w.open("peers")
	for _, p := range list {
		w.begin()
		depth := w.depth
		if p.SSH != "" {
			w.fixed("ssh", p.SSH)
		} else {
			w.fixedList("exec", p.Exec)
		}
		w.fixed("agent", p.Agent)
		if p.Weight > 0 {
			w.key("weight", strconv.Itoa(p.Weight))
		}
		w.fixed("label", p.Label)
		w.fixed("target", p.Target)
		w.depth = depth
	}
	w.close()
}

func escapeDollar(s string) string { return strings.ReplaceAll(s, "${", "$${") }
