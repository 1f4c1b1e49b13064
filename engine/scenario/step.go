package scenario

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// methods are the keys that are both the method and the URL of a step.
var methods = []string{"get", "post", "put", "patch", "delete", "head", "options"}

var scenarioKeys = []string{"name", "weight", "setup", "steps", "teardown", "pacing", "http"}

var stepKeys = slices.Concat(methods, []string{
	"name", "method", "url", "query", "body", "payload", "body_file", "json", "form", "extract", "check", "think", "http",
})

// maxSteps bounds the steps of a file: each has its histograms.
const maxSteps = 5000

// text is a template that waits for its check until the names before it are known.
type text struct {
	src  string
	pos  Pos
	what string
}

// template reads a value that may have {{...}} in it. Those are checked when the step is complete.
func (p *parser) template(n *yaml.Node, what string) (string, bool) {
	s, ok := p.scalar(n, what)
	if !ok || p.hasReference(n, s, what, true) {
		return "", false
	}
	s = unescapeDollar(s)
	p.texts = append(p.texts, text{s, posOf(n), what})
	return s, true
}

// checkTexts checks templates against the names known now.
func (p *parser) checkTexts(texts []text, names *Names) {
	for _, t := range texts {
		if p.crowded() {
			p.more = true
			return
		}
		_, errs := ParseTemplate(t.src, names)
		for _, err := range errs {
			msg, remedy := cutRemedy(err.Error())
			pos := t.pos
			if te, ok := err.(*TemplateError); ok {
				pos = p.within(t, te.Offset)
			}
			p.addAt(pos, t.what+": "+msg, remedy)
		}
	}
}

// within is the place of a byte of a template in the file, if the file has the template as it is, on one line.
func (p *parser) within(t text, offset int) Pos {
	if t.pos.Line < 1 || t.pos.Line > len(p.lines) {
		return t.pos
	}
	line := p.lines[t.pos.Line-1]
	at := offsetOf(line, t.pos.Column)
	for skip := range 2 { // 1: the opening quote
		if rest := line[min(at+skip, len(line)):]; strings.HasPrefix(rest, t.src) {
			return Pos{t.pos.Line, t.pos.Column + skip + utf8.RuneCountInString(t.src[:offset])}
		}
	}
	return t.pos
}

// scenarios reads scenarios:, or the one scenario whose steps stand at the top of the file.
func (p *parser) scenarios(o *object) {
	list := o.get("scenarios")
	if list == nil {
		if o.get("steps") == nil {
			if !o.bad {
				p.add(o.node, "add for example\n    steps: [{get: /}]", "the file has no steps")
			}
			return
		}
		name := p.f.Name
		if name == "" || strings.ContainsAny(name, "/:") {
			name = "main"
		}
		p.scenario(o, name, true)
	} else {
		for _, key := range []string{"steps", "setup", "teardown", "pacing"} {
			if x := o.get(key); x != nil {
				p.add(x, "move it into a scenario", "%s stands at the top, but the file has scenarios:", key)
			}
		}
		before := len(p.errs)
		items := p.items(list, "scenarios", false)
		if len(items) == 0 && len(p.errs) == before {
			p.add(list, "write for example [{name: visitor, steps: [{get: /}]}]", "scenarios is empty")
		}
		for i, c := range items {
			if p.crowded() || p.steps > maxSteps {
				break
			}
			so := p.object(c, "a scenario", append(slices.Clone(scenarioKeys), httpKeys...), laterInScenario)
			if so == nil {
				continue
			}
			p.scenario(so, fmt.Sprintf("scenario %d", i+1), false)
		}
	}
}

// scenario reads one scenario; top: its keys are those of the file, whose name and settings it has.
func (p *parser) scenario(o *object, name string, top bool) {
	sc := &Scenario{Name: name, Weight: 1, HTTP: p.f.HTTP, Pos: posOf(o.node)}
	if x := o.get("name"); x != nil && !top {
		if s, ok := p.label(x, "name"); ok {
			sc.Name = s
			if strings.ContainsAny(s, "/:") {
				p.add(x, "choose a name without them", "the name of a scenario has no / and no :, criteria use them to name a step")
			}
		}
	}
	for _, other := range p.f.Scenarios {
		if other.Name == sc.Name {
			p.add(o.node, "give each its own name", "two scenarios are called %s", quoted(sc.Name))
		}
	}
	if x := o.get("weight"); x != nil {
		sc.Weight = int(p.intOf(x, "weight", 1, 1_000_000))
	}
	p.positive(o, "pacing", &sc.Pacing)
	if !top {
		sc.HTTP.Headers = mergeHeaders(sc.HTTP.Headers, p.settings(o, &sc.HTTP, false))
	}
	names := &Names{Constants: map[string]string{}, Variables: map[string]bool{}, After: map[string]string{}}
	for _, v := range p.f.Vars {
		names.Constants[v.Name] = v.Value
	}
	type pending struct {
		st     *Step
		texts  []text
		claims []string
	}
	var all []pending
	for _, part := range []struct {
		key string
		to  *[]*Step
	}{{"setup", &sc.Setup}, {"steps", &sc.Steps}, {"teardown", &sc.Teardown}} {
		n := o.get(part.key)
		if n == nil {
			if part.key == "steps" && !o.bad && !o.later {
				p.add(o.node, "add steps: [{get: /}]", "the scenario %s has no steps", quoted(sc.Name))
			}
			continue
		}
		before := len(p.errs)
		items := p.items(n, part.key, false)
		if len(items) == 0 && part.key == "steps" && len(p.errs) == before {
			p.add(n, "write for example [{get: /}]", "the scenario %s has no steps", quoted(sc.Name))
		}
		for _, c := range items {
			if p.steps++; p.steps > maxSteps {
				p.add(c, "use variables and functions in fewer steps", "the file has more than %d steps, the most that there may be", maxSteps)
				break
			}
			p.texts, p.claims = nil, nil
			if st := p.step(c, sc); st != nil {
				*part.to = append(*part.to, st)
				all = append(all, pending{st, p.texts, p.claims})
				for _, name := range p.claims {
					if _, ok := names.Constants[name]; ok { // its value holds until the step, and is no constant
						delete(names.Constants, name)
						names.Variables[name] = true
					}
					if _, ok := names.After[name]; !ok && !names.Variables[name] {
						names.After[name] = st.Name
					}
				}
			}
		}
	}
	p.texts = nil
	nameSteps(p, sc)
	for _, x := range all {
		for _, h := range x.st.HTTP.Headers {
			x.texts = append(x.texts, text{h.Value, h.Pos, "the header " + h.Name})
		}
		if u := x.st.HTTP.User; u != "" {
			x.texts = append(x.texts, text{u, p.users[u], "user"})
		}
		p.checkTexts(x.texts, names)
		for _, name := range x.claims {
			names.Variables[name] = true
			delete(names.After, name)
		}
	}
	p.f.Scenarios = append(p.f.Scenarios, sc)
}

// nameSteps makes the names of a scenario's steps distinct: metrics and criteria go by them. Given names must differ, the
// ones made from method and URL are numbered.
func nameSteps(p *parser, sc *Scenario) {
	seen, next := map[string]*Step{}, map[string]int{}
	for _, st := range slices.Concat(sc.Setup, sc.Steps, sc.Teardown) {
		first := seen[st.Name]
		if first != nil && p.named[st] {
			p.addAt(st.Pos, fmt.Sprintf("two steps of %s are called %s; the first is on line %d", quoted(sc.Name), quoted(st.Name), first.Pos.Line), "give each its own name")
			continue
		}
		base := st.Name
		for i := max(2, next[base]); seen[st.Name] != nil; i++ {
			st.Name, next[base] = fmt.Sprintf("%s #%d", base, i), i+1
		}
		seen[st.Name] = st
	}
}

func (p *parser) step(n *yaml.Node, sc *Scenario) *Step {
	o := p.object(n, "a step", append(slices.Clone(stepKeys), httpKeys...), laterInStep)
	if o == nil {
		return nil
	}
	st := &Step{HTTP: sc.HTTP, Pos: posOf(n)}
	p.request(o, st)
	if x := o.get("name"); x != nil {
		st.Name, p.named[st] = p.label(x, "name")
	} else {
		st.Name = shortName(st.Method + " " + st.URL)
	}
	st.Headers = p.settings(o, &st.HTTP, false)
	p.ofIterations(o, st, sc)
	if len(st.Headers) > 0 {
		st.HTTP.Headers = slices.DeleteFunc(slices.Clone(st.HTTP.Headers), func(h Pair) bool {
			return slices.ContainsFunc(st.Headers, func(own Pair) bool { return strings.EqualFold(own.Name, h.Name) })
		})
	}
	if x := o.get("query"); x != nil {
		st.Query = p.parameters(x, "query")
	}
	p.body(o, st)
	if x := o.get("extract"); x != nil {
		p.extracts(x, st)
	}
	if x := o.get("check"); x != nil {
		p.check(x, st)
	}
	if x := cmp.Or(o.get("check"), o.get("extract")); st.Method == "HEAD" && st.looksIntoBody() {
		p.add(x, "write get: instead, or look at the status and the header alone", "the answer to HEAD has no body, and this looks into it")
	}
	if x := o.get("think"); x != nil {
		if s, ok := p.scalar(x, "think"); ok {
			t, err := ParseThink(s, p.f.Profiles)
			switch {
			case err != nil:
				p.fail(x, "think", err)
			case t.Kind != Constant || t.A > 0:
				st.Think = &t
			}
		}
	}
	return st
}

// looksIntoBody says whether checks or extracts need the body of the answer.
func (st *Step) looksIntoBody() bool {
	c := &st.Check
	return len(c.Contains)+len(c.NotContains)+len(c.Matches)+len(c.JSON) > 0 ||
		slices.ContainsFunc(st.Extract, func(e Extract) bool { return e.Source == FromJSON || e.Source == FromRegex })
}

// ofIterations refuses on a step what is about whole iterations: a step may ask for a new connection or for none of the cookies,
// and take either back.
func (p *parser) ofIterations(o *object, st *Step, sc *Scenario) {
	at := func(key string) *yaml.Node {
		if n := o.get(key); n != nil {
			return n
		}
		if n := o.get("http"); n != nil {
			for _, f := range p.pairs(n, "http") {
				if f.key == key {
					return f.val
				}
			}
		}
		return o.node
	}
	if st.HTTP.Connections != sc.HTTP.Connections && st.HTTP.Connections == PerIteration {
		p.add(at("connections"), "move it to the scenario, or write request", "connections: iteration is about all steps of an iteration")
	}
	if now, was := st.HTTP.Cookies, sc.HTTP.Cookies; now != was && now != CookiesOff && !(was == CookiesOff && now == Reset) {
		p.add(at("cookies"), "move it to the scenario; a step may say off, or reset where its scenario says off", "cookies: %s is about what a new iteration begins with", cookieWords[now])
	}
}

// shortName keeps a name made from a URL on one line of bearable length.
func shortName(s string) string {
	s = strings.Join(strings.Fields(visible(hideTokens(hideCredentials(s)))), " ")
	if r := []rune(s); len(r) > 200 {
		return string(r[:197]) + "..."
	}
	return s
}

// request reads the method and URL of a step.
func (p *parser) request(o *object, st *Step) {
	var target *yaml.Node
	for _, f := range o.fields {
		if !slices.Contains(methods, f.key) && f.key != "url" {
			continue
		}
		if target != nil {
			p.add(f.name, "make two steps of it", "a step is one request, and has one of %s and url", strings.Join(methods, ", "))
			continue
		}
		target = f.val
		if f.key != "url" {
			st.Method = strings.ToUpper(f.key)
			if m := o.get("method"); m != nil {
				p.add(m, "write url: with method:, or "+f.key+": alone", "the method stands twice: %s: says it already", f.key)
			}
		}
	}
	if target == nil {
		if !o.bad && !o.later {
			p.add(o.node, "write get: /path, or method: and url:", "a step needs a URL")
		}
		return
	}
	if st.Method == "" {
		st.Method = "GET"
		if m := o.get("method"); m != nil {
			s, ok := p.plain(m, "method")
			st.Method = strings.ToUpper(s)
			if ok && !validHeaderName(s) {
				p.add(m, "write GET, POST, PUT, PATCH, DELETE, HEAD or OPTIONS", "%s is not a method", quoted(s))
			}
			if st.Method == "CONNECT" {
				p.add(m, "name the proxy under http: {proxy: ...}", "CONNECT opens tunnels, it is not a request of a scenario")
			}
		}
	}
	s, ok := p.template(target, "url")
	if !ok {
		return
	}
	st.URL = s
	if s == "*" && st.Method == "OPTIONS" { // the server as a whole, RFC 9110 section 9.3.7
		if p.needs == nil {
			p.needs = target
		}
		return
	}
	p.checkURL(target, s)
}

// checkURL looks at a step's URL as far as it is fixed.
func (p *parser) checkURL(n *yaml.Node, s string) {
	// What stands in {{...}} is taken as a digit: enough for the syntax of the rest.
	fixed := cutTemplates(s)
	scheme, _, whole := strings.Cut(fixed, "://")
	switch {
	case s == "":
		p.add(n, "write / for the target itself", "the URL is empty")
	case strings.HasPrefix(s, "{{"):
	case strings.ContainsAny(fixed, " \t\r\n"):
		p.add(n, "write %20 for a space, or give it under query:", "the URL has a space in it")
	case strings.Contains(fixed, "#"):
		p.add(n, "remove it; a # that is meant itself is written %23", "the URL has a fragment (#...), which is never sent")
	case strings.HasPrefix(fixed, "//"):
		p.add(n, "write http:"+s+" or https:"+s, "the URL has no scheme")
	case strings.HasPrefix(fixed, "/") || strings.HasPrefix(fixed, "?"):
		if p.needs == nil {
			p.needs = n
		}
		if _, err := url.Parse(fixed); err != nil {
			p.add(n, "write for example /path?name=value, with %25 for a percent sign", "this is not a URL: %s is not understood", quoted(s))
		}
	case whole && !strings.ContainsAny(scheme, "/?"):
		if msg, remedy := wholeURL(cutTemplates(behindPort.ReplaceAllString(s, "$1"))); msg != "" {
			p.add(n, remedy, "url: %s", msg)
		}
	default:
		p.add(n, "write /"+s+" for a path of the target, or a whole URL with http:// or https://", "the URL %s begins with neither / nor a scheme", quoted(s))
	}
}

// behindPort is a URL whose value right behind the port can only be the path.
var behindPort = regexp.MustCompile(`^([A-Za-z]+://[^/?#{}]*:[0-9]+)\{\{.*`)

// cutTemplates replaces each {{...}} with a digit.
func cutTemplates(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "{{")
		if i < 0 {
			return b.String() + s
		}
		j := strings.Index(s[i:], "}}")
		if j < 0 {
			return b.String() + s[:i]
		}
		b.WriteString(s[:i])
		b.WriteByte('1') // fits in a port as well
		s = s[i+j+2:]
	}
}

// parameters reads names with values: a query or a form. A list gives one name several values.
func (p *parser) parameters(n *yaml.Node, what string) []Pair {
	var out []Pair
	for _, f := range p.pairs(n, what) {
		values := []*yaml.Node{f.val}
		if f.val.Kind == yaml.SequenceNode {
			values = p.items(f.val, what, false)
		}
		name, ok := p.template(f.name, "a name of "+what)
		if !ok {
			continue
		}
		for _, v := range values {
			if isNull(v) {
				out = append(out, Pair{name, "", posOf(f.name)})
			} else if s, ok := p.template(v, what+" "+f.key); ok {
				out = append(out, Pair{name, s, posOf(f.name)})
			}
		}
	}
	return out
}

func (p *parser) body(o *object, st *Step) {
	kinds := []string{"body", "payload", "body_file", "json", "form"}
	var n *yaml.Node
	kind := ""
	for _, f := range o.fields {
		if !slices.Contains(kinds, f.key) || isNull(f.val) {
			continue
		}
		if n != nil {
			p.add(f.name, "keep one of the two", "a request has one body, and %s: gives it one already", kind)
			continue
		}
		n, kind = f.val, f.key
	}
	if n == nil {
		return
	}
	if (kind == "body" || kind == "payload") && n.Kind != yaml.ScalarNode {
		kind = "json" // files of other tools write the value itself
	}
	switch kind {
	case "body", "payload":
		if s, ok := p.template(n, kind); ok {
			st.Body, st.Text = BodyText, s
		}
	case "body_file":
		s, ok := p.plain(n, kind)
		if !ok {
			return
		}
		if filepath.IsAbs(s) {
			p.add(n, "copy the file there, and name it relative to the scenario", "body_file: files are read only below the scenario's folder")
			return
		}
		st.Body, st.File, st.Data = BodyFile, s, p.readFile(n, kind, s)
	case "json":
		before := len(p.errs)
		s := p.json(n)
		if len(p.errs) == before && !p.hasReference(n, s, "json", true) {
			st.Body, st.Text = BodyJSON, unescapeDollar(s)
			p.texts = append(p.texts, text{st.Text, posOf(n), "json"})
		}
	case "form":
		st.Body, st.Form = BodyForm, p.parameters(n, "form")
	}
	if st.Method == "TRACE" {
		p.add(n, "remove it, or choose another method", "a TRACE request has no body")
	}
}
