package scenario

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// parser is one reading of one file.
type parser struct {
	walker
	env     Env
	f       *File
	secrets map[string]bool
	target  bool           // the file has a target, right or wrong
	needs   *yaml.Node     // the first step whose URL is relative
	steps   int            // of all scenarios, so far
	users   map[string]Pos // where each http user stands
	texts   []text         // templates of the present step
	claims  []string       // names that the present step extracts, rightly or wrongly
	named   map[*Step]bool // steps whose name was given
}

// Parse reads a scenario file's text. path names it in messages, and its folder becomes File.Dir; nothing is read from
// disk but by env.ReadFile. The error is an Errors with everything that is wrong.
func Parse(path string, text []byte, env Env) (*File, error) {
	p := &parser{walker: walker{path: path, text: text}, env: env, secrets: map[string]bool{}, users: map[string]Pos{}, named: map[*Step]bool{}}
	p.f = &File{Path: path, Dir: filepath.Dir(path), Text: text, HTTP: defaultHTTP(), ThinkTimes: 1}
	if root := p.load(); root != nil {
		p.file(root)
	}
	if err := p.failed(); err != nil {
		return nil, err
	}
	return p.f, nil
}

var fileKeys = []string{
	"target", "name", "hosts", "vars", "http", "think", "load", "scenarios", "slo", "authorize", "labels", "peers",
	"steps", "setup", "teardown", "pacing",
}

func (p *parser) file(root *yaml.Node) {
	o := p.object(root, "the file", append(slices.Clone(fileKeys), httpKeys...), laterInFile)
	if o == nil {
		return
	}
	p.f.Name = strings.TrimSuffix(filepath.Base(p.path), filepath.Ext(p.path))
	if n := o.get("name"); n != nil {
		p.f.Name, _ = p.label(n, "name")
	}
	if n := o.get("vars"); n != nil {
		p.vars(n)
	}
	if n := o.get("target"); n != nil {
		p.target = true
		p.baseURL(n)
	}
	if n := o.get("hosts"); n != nil {
		for _, c := range p.items(n, "hosts", true) {
			if s, ok := p.filled(c, "a host", false); ok {
				p.host(c, s)
			}
		}
	}
	p.f.HTTP.Headers = p.settings(o, &p.f.HTTP, true)
	if n := o.get("think"); n != nil {
		p.profiles(n)
	}
	p.scenarios(o)
	p.shape(o.get("load"))
	if n := o.get("authorize"); n != nil {
		p.authorize(n)
	}
	if n := o.get("labels"); n != nil {
		p.f.Labels = map[string]string{}
		for _, f := range p.pairs(n, "labels") {
			if name, ok := p.label(f.name, "the name of a label"); ok {
				p.f.Labels[name], _ = p.label(f.val, "the label "+quoted(name))
			}
		}
	}
	if n := o.get("peers"); n != nil {
		p.peers(n)
	}
	if n := o.get("slo"); n != nil {
		p.slo(n)
	}
	if p.needs != nil && !p.target && !o.bad {
		p.add(p.needs, "add target: https://host at the top of the file, or write whole URLs in the steps", "the URL is relative, and the file has no target")
	}
	for s := range p.secrets {
		p.f.Secrets = append(p.f.Secrets, s)
	}
	slices.Sort(p.f.Secrets)
}

// label is a short name shown to people: one line, no control characters.
func (p *parser) label(n *yaml.Node, what string) (string, bool) {
	s, ok := p.scalar(n, what)
	if !ok || p.hasReference(n, s, what, false) {
		return "", false
	}
	s = unescapeDollar(s)
	switch {
	case strings.TrimSpace(s) == "":
		p.add(n, "write something, or remove the key", "%s is empty", what)
		return "", false
	case utf8.RuneCountInString(s) > 200 || visible(s) != s || strings.Contains(s, "\n"):
		p.add(n, "write one line of at most 200 characters", "%s is too long, or has control characters", what)
		return "", false
	}
	return s, true
}

// plain is a value in which neither variables nor the environment are filled in.
func (p *parser) plain(n *yaml.Node, what string) (string, bool) {
	s, ok := p.scalar(n, what)
	if ok && strings.Contains(s, "{{") {
		p.add(n, "write the value itself", "%s is fixed for the whole run, {{...}} is not filled in here", what)
		return s, false
	}
	if ok && p.hasReference(n, s, what, false) {
		return s, false
	}
	return unescapeDollar(s), ok
}

// hasReference refuses ${...} where the environment is not filled in. templated says that {{...}} is filled in there instead.
func (p *parser) hasReference(n *yaml.Node, s, what string, templated bool) bool {
	refs, _ := references(s)
	if len(refs) == 0 {
		return false
	}
	r := refs[0]
	remedy := "write the value itself"
	if templated {
		remedy = fmt.Sprintf("write vars: {%s: %q} at the top and {{%s}} here", strings.ToLower(r.name), s[r.from:r.to], strings.ToLower(r.name))
	}
	p.add(n, remedy+"; for a plain ${ write $${", "%s: ${%s} is filled in only under vars:, target: and hosts:", what, r.name)
	return true
}

// filled is a value with its references to the environment filled in.
func (p *parser) filled(n *yaml.Node, what string, secret bool) (string, bool) {
	s, ok := p.scalar(n, what)
	if !ok {
		return "", false
	}
	if strings.Contains(s, "{{") {
		p.add(n, "write the value itself, or ${NAME} for an environment variable", "%s is fixed for the whole run, {{...}} is not filled in here", what)
		return "", false
	}
	v, values, err := expand(s, p.env.LookupEnv)
	if err != nil {
		p.fail(n, what, err)
		return "", false
	}
	if secret {
		for _, x := range append(values, v) {
			if x != "" && len(values) > 0 {
				p.secrets[x] = true
			}
		}
	}
	return v, true
}

// Bounds of a file beyond what anyone writes, which keep the work on it in proportion to its length.
const (
	maxVars     = 1000
	maxCriteria = 1000
)

func (p *parser) vars(n *yaml.Node) {
	for i, f := range p.pairs(n, "vars") {
		if i == maxVars {
			p.add(f.name, "use fewer", "there are more than %d variables, the most that a file may have", maxVars)
			break
		}
		if !p.variableName(f.name, f.key) {
			continue
		}
		v, ok := p.filled(f.val, "the variable "+f.key, true)
		if !ok {
			v = ""
		}
		refs, _ := references(f.val.Value)
		p.f.Vars = append(p.f.Vars, Var{Name: f.key, Value: v, Secret: len(refs) > 0, Pos: posOf(f.name)})
	}
}

func (p *parser) variableName(n *yaml.Node, name string) bool {
	if !validName(name) {
		p.add(n, "use letters, digits, _ and -, beginning with a letter", "%s cannot name a variable", quoted(name))
		return false
	}
	if _, ok := functions[name]; ok {
		p.add(n, "choose another name", "%s is a function already, a variable of that name would hide it", name)
		return false
	}
	return true
}

func (p *parser) baseURL(n *yaml.Node) {
	s, ok := p.filled(n, "target", false)
	if !ok {
		return
	}
	p.f.Target = s
	p.checkBase(n, s)
}

// checkBase looks at the URL that the relative ones of the steps go on.
func (p *parser) checkBase(n *yaml.Node, s string) {
	if msg, remedy := wholeURL(s); msg != "" {
		p.add(n, remedy, "target: %s", msg)
	} else if u, _ := url.Parse(s); u != nil && (u.RawQuery != "" || u.Fragment != "") {
		p.add(n, "give a query with the steps", "target: a base URL has no query and no fragment")
	}
}

// wholeURL says what is wrong with a URL that names a host; empty: nothing.
func wholeURL(s string) (msg, remedy string) {
	scheme, rest, ok := strings.Cut(s, "://")
	scheme = strings.ToLower(scheme)
	switch {
	case !ok:
		s = strings.TrimPrefix(hideCredentials("://"+s), "://")
		return quoted(s) + " has no scheme", "write http://" + s + " or https://" + s
	case scheme == "ws" || scheme == "wss" || scheme == "grpc" || scheme == "grpcs":
		return scheme + ":// is not in this version", "write http:// or https://"
	case scheme != "http" && scheme != "https":
		return "the scheme " + quoted(scheme) + " is unknown", "write http:// or https://"
	case strings.ContainsAny(s, " \t\r\n"):
		return quoted(s) + " has a space in it", "write %20 for a space"
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" {
		if err == nil && rest != "" && !strings.HasPrefix(rest, "/") {
			return quoted(s) + " is not a URL", "write for example https://shop.example:8443"
		}
		return quoted(s) + " names no host", "write for example https://shop.example:8443"
	}
	if strings.ContainsFunc(u.Hostname(), notInHost) {
		return quoted(u.Hostname()) + " is no name of a host", "write a name or an address as it is, several one by one"
	}
	if port := u.Port(); !validPort(port, true) {
		return quoted(port) + " is not a port", "write a number from 1 to 65535"
	}
	if u.User != nil {
		return "credentials in a URL end up in logs", "write http: {user: \"NAME:{{password}}\"} with the password under vars:"
	}
	return "", ""
}

// notInHost reports a character that stands neither in names of hosts nor in addresses with their zones.
func notInHost(r rune) bool {
	return r < 0x80 && !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') && !strings.ContainsRune("-._:%", r)
}

func (p *parser) host(n *yaml.Node, s string) {
	check := s
	if !strings.Contains(s, "://") {
		check = "http://" + s
	}
	if msg, remedy := wholeURL(check); msg != "" {
		p.add(n, remedy, "hosts: %s", msg)
		return
	}
	if u, _ := url.Parse(check); u == nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		p.add(n, "write host or host:port", "hosts: %s has more than a host", quoted(s))
		return
	}
	p.f.Hosts = append(p.f.Hosts, s)
}

func (p *parser) authorize(n *yaml.Node) {
	o := p.object(n, "authorize", []string{"owner", "ticket", "until"}, nil)
	if o == nil {
		return
	}
	a := &Authorize{Pos: posOf(n)}
	if v := o.get("owner"); v != nil {
		a.Owner, _ = p.label(v, "owner")
	} else if !o.bad {
		p.add(n, "add owner: NAME, who answers for the target", "authorize has no owner")
	}
	if v := o.get("ticket"); v != nil {
		a.Ticket, _ = p.label(v, "ticket")
	}
	if v := o.get("until"); v != nil {
		s, ok := p.scalar(v, "until")
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			if t, err = time.Parse(time.DateOnly, s); err == nil {
				t = t.AddDate(0, 0, 1) // the day itself is included
			}
		}
		if ok && (err != nil || t.Year() > 9999) {
			p.add(v, "write 2031-12-31 or 2031-12-31T18:00:00Z", "until: %s is not a date", quoted(s))
		}
		a.Until = t
	}
	p.f.Authorize = a
}

func (p *parser) slo(n *yaml.Node) {
	for i, c := range p.items(n, "slo", true) {
		if i == maxCriteria {
			p.add(c, "use fewer", "there are more than %d criteria, the most that a file may have", maxCriteria)
			break
		}
		s, ok := p.scalar(c, "a criterion")
		if !ok {
			continue
		}
		p.f.SLO = append(p.f.SLO, Criterion{Expr: s, Pos: posOf(c)})
		if p.env.CheckSLO != nil {
			if err := p.env.CheckSLO(s, p.f); err != nil {
				p.fail(c, "slo", err)
			}
		}
	}
}
