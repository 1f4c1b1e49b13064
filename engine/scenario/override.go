package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"lt/engine/load"
)

// Override puts flags over what the file says. Headers and TLS settings go over those of every step; a method or a body is
// refused where there is more than one step, because it would be meant for one of them. The error has every problem.
func (f *File) Override(q Quick, env Env) error {
	g := &flags{}
	f.overrideTarget(&q, g)
	f.overrideLoad(&q, g)
	set := f.overrideHTTP(&q, g)
	f.each(func(h *HTTP) { set(h) })
	f.overrideHeaders(&q, g)
	f.overrideRequest(&q, g)
	for _, sc := range f.Scenarios {
		for _, st := range sc.Steps {
			if st.Name == "" { // the one of a URL: criteria may name it
				st.Name = shortName(st.Method + " " + st.URL)
			}
		}
	}
	for _, expr := range q.SLO {
		if env.CheckSLO != nil {
			if err := env.CheckSLO(expr, f); err != nil {
				g.fail("--slo", err)
			}
		}
		f.SLO = append(f.SLO, Criterion{Expr: expr})
	}
	if q.Think != "" {
		v, err := parseNumber(q.Think)
		if err != nil || v < 0 || v > 1000 {
			g.fail("--think", errors.New("it multiplies all think times; write a number from 0 to 1000"))
		}
		f.ThinkTimes = v
	}
	if len(g.errs) > 0 {
		return errors.Join(g.errs...)
	}
	f.complete()
	if err := f.Load.Validate(); err != nil {
		return err
	}
	if f.Load.Profile.Peak() == 0 {
		return errors.New("--stage: every level is 0, so nothing would happen; write for example 30s:50")
	}
	return nil
}

// overrideTarget replaces the file's target. A path in it is the new base.
func (f *File) overrideTarget(q *Quick, g *flags) {
	if q.URL == "" {
		return
	}
	s, err := QuickURL(q.URL)
	switch {
	case err != nil:
		g.fail("URL", err)
	case strings.Contains(authority(s), "@"):
		g.fail("URL", errors.New("a target has no credentials in it; give them with -a NAME:PASSWORD"))
	case strings.ContainsAny(s, "?{"):
		g.fail("URL", errors.New("a target has no query and no variables; give the base URL alone"))
	default:
		f.Target = s
	}
}

// each visits the HTTP settings of the file, its scenarios and their steps.
func (f *File) each(visit func(h *HTTP)) {
	visit(&f.HTTP)
	for _, sc := range f.Scenarios {
		visit(&sc.HTTP)
	}
	for _, st := range f.steps() {
		visit(&st.HTTP)
	}
}

func (f *File) steps() []*Step {
	var out []*Step
	for _, sc := range f.Scenarios {
		for _, part := range [][]*Step{sc.Setup, sc.Steps, sc.Teardown} {
			out = append(out, part...)
		}
	}
	return out
}

func (f *File) overrideHTTP(q *Quick, g *flags) func(h *HTTP) {
	var n HTTP
	timeout := g.duration("-t", q.Timeout, &n.Timeout, 1)
	connect := g.duration("--connect-timeout", q.ConnectTimeout, &n.ConnectTimeout, 1)
	if q.Redirects != "" {
		r, err := ParseCount(q.Redirects, 0, 100)
		if err != nil {
			g.fail("-L", fmt.Errorf("%w; it wants the number of redirects that are followed, for example -L 5", err))
		}
		n.Redirects = int(r)
	}
	if q.MaxBody != "" {
		size, err := ParseSize(q.MaxBody)
		if err == nil && size < 1 {
			err = errors.New("it is above 0; write for example 64MiB")
		}
		if err != nil {
			g.fail("--max-body", err)
		}
		n.MaxBody = size
	}
	if q.BasicAuth != "" {
		name, password, ok := strings.Cut(q.BasicAuth, ":")
		if !ok || name == "" {
			g.fail("-a", errors.New("it is NAME:PASSWORD; the number of users is -c"))
		}
		_, errs := ParseTemplate(q.BasicAuth, f.flagNames())
		for _, err := range errs {
			g.fail("-a", err)
		}
		f.secret(password)
	}
	if q.Proxy != "" {
		if !strings.Contains(q.Proxy, "://") {
			q.Proxy = "http://" + q.Proxy
		}
		if msg, remedy := proxyURL(q.Proxy); msg != "" {
			g.fail("-x", fmt.Errorf("%s; %s", msg, remedy))
		} else if u, err := url.Parse(q.Proxy); err == nil && u.User != nil {
			password, _ := u.User.Password()
			f.secret(password)
		}
	}
	for _, s := range q.ConnectTo {
		r, err := parseRedial(s, false)
		if err != nil {
			g.fail("--connect-to", err)
		}
		n.ConnectTo = append(n.ConnectTo, r)
	}
	for _, s := range q.Resolve {
		r, err := parseRedial(s, true)
		if err != nil {
			g.fail("--resolve", err)
		}
		n.Resolve = append(n.Resolve, r)
	}
	for _, s := range q.SourceIPs {
		if _, err := netip.ParseAddr(s); err != nil {
			g.fail("--source-ip", fmt.Errorf("%s is not an IP address; write one of this machine, such as 10.0.0.5", quoted(s)))
		}
	}
	if (q.Cert == "") != (q.Key == "") {
		g.fail("--cert", errors.New("a client certificate needs its key; give both --cert and --key"))
	}
	return func(h *HTTP) {
		if timeout {
			h.Timeout = n.Timeout
		}
		if connect {
			h.ConnectTimeout = n.ConnectTimeout
		}
		if q.Redirects != "" {
			h.Redirects = n.Redirects
		}
		if q.MaxBody != "" {
			h.MaxBody = n.MaxBody
		}
		if q.HTTP1 {
			h.Version = "1.1"
		}
		if q.NoKeepalive {
			h.Connections = PerRequest
		}
		h.TLS.Insecure = h.TLS.Insecure || q.Insecure
		if q.CACert != "" {
			h.TLS.CA = shellPath(q.CACert)
		}
		if q.Cert != "" {
			h.TLS.Cert, h.TLS.Key = shellPath(q.Cert), shellPath(q.Key)
		}
		if q.BasicAuth != "" {
			h.User = q.BasicAuth
		}
		if q.Proxy != "" {
			h.Proxy = q.Proxy
		}
		if q.ConnectTo != nil {
			h.ConnectTo = n.ConnectTo
		}
		if q.Resolve != nil {
			h.Resolve = n.Resolve
		}
		if q.UnixSocket != "" {
			h.UnixSocket = q.UnixSocket
		}
		if q.SourceIPs != nil {
			h.SourceIPs = q.SourceIPs
		}
	}
}

func (f *File) secret(s string) {
	if s != "" {
		f.Secrets = append(f.Secrets, s)
	}
}

// overrideHeaders puts -H and -T over the headers of every step.
func (f *File) overrideHeaders(q *Quick, g *flags) {
	var add []Pair
	var drop []string
	for _, s := range q.Headers {
		name, value, ok := strings.Cut(s, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case !ok || !validHeaderName(name):
			word, _, _ := strings.Cut(strings.TrimSpace(s), " ") // what follows may be a secret
			g.fail("-H", fmt.Errorf("%s is not a header; write 'Name: value'", quoted(word)))
		case value == "":
			drop = append(drop, name)
		case madeByUs(name):
			g.fail("-H", fmt.Errorf("the header %s is made by the program itself; leave it out (--no-keepalive asks for a new connection each time)", name))
		case strings.ContainsFunc(value, isControl):
			g.fail("-H", fmt.Errorf("the header %s has a line break or a control character in it; write it on one line, without control characters", name))
		case (strings.EqualFold(name, "cookie") || strings.EqualFold(name, "host")) && slices.ContainsFunc(add, func(h Pair) bool { return strings.EqualFold(h.Name, name) }):
			g.fail("-H", fmt.Errorf("the header %s is there twice, and a request has one; write one (cookies as 'Cookie: a=1; b=2')", name))
		default:
			add = append(add, Pair{Name: name, Value: value})
		}
	}
	if q.ContentType != "" {
		add = mergeHeaders(add, []Pair{{Name: "Content-Type", Value: q.ContentType}})
	}
	for _, h := range add {
		_, errs := ParseTemplate(h.Value, f.flagNames())
		for _, err := range errs {
			g.fail("-H "+h.Name, err)
		}
	}
	without := func(list []Pair) (out []Pair) {
		for _, h := range list {
			keep := true
			for _, name := range drop {
				keep = keep && !strings.EqualFold(name, h.Name)
			}
			for _, n := range add {
				keep = keep && !strings.EqualFold(n.Name, h.Name)
			}
			if keep {
				out = append(out, h)
			}
		}
		return out
	}
	if len(add) == 0 && len(drop) == 0 {
		return
	}
	f.each(func(h *HTTP) { h.Headers = append(without(h.Headers), add...) })
	for _, st := range f.steps() {
		st.Headers = without(st.Headers)
	}
}

// flagNames are the names that a flag may use: variables of the file, and functions.
func (f *File) flagNames() *Names {
	n := &Names{Constants: map[string]string{}, Variables: map[string]bool{}}
	for _, v := range f.Vars {
		n.Constants[v.Name] = v.Value
	}
	for _, st := range f.steps() {
		for _, e := range st.Extract {
			if _, ok := n.Constants[e.Name]; ok {
				delete(n.Constants, e.Name)
				n.Variables[e.Name] = true
			}
		}
	}
	return n
}

// overrideRequest sets method and body of the only step.
func (f *File) overrideRequest(q *Quick, g *flags) {
	if q.Method == "" && q.Body == nil {
		return
	}
	all := f.steps()
	if len(all) != 1 {
		g.fail("-m and -b", fmt.Errorf("the scenario has %d steps, and one method or body cannot be meant for all; change the file", len(all)))
		return
	}
	st := all[0]
	if q.Method != "" {
		m := strings.ToUpper(q.Method)
		if !validHeaderName(m) || m == "CONNECT" {
			g.fail("-m", fmt.Errorf("%s is not a method; write GET, POST, PUT, PATCH, DELETE, HEAD or OPTIONS", quoted(q.Method)))
		}
		st.Method = m
	}
	if q.Body == nil {
		return
	}
	st.Text, st.Data, st.File, st.Form = "", nil, "", nil
	if !utf8.Valid(q.Body) || bytes.IndexByte(q.Body, 0) >= 0 {
		st.Body, st.Data = BodyFile, q.Body
		return
	}
	st.Body, st.Text = BodyText, string(q.Body)
	_, errs := ParseTemplate(st.Text, f.flagNames())
	for _, err := range errs {
		g.fail("-b", err)
	}
}

func (f *File) overrideLoad(q *Quick, g *flags) {
	s := &f.Load
	old := s.Profile
	var level float64
	var ramp, whole, warmup time.Duration
	if looksLikeBody.MatchString(q.Duration) {
		g.fail("-d", fmt.Errorf("%s looks like a body, and -d is the duration; the body is -b", quoted(q.Duration)))
		q.Duration = ""
	}
	hasDuration := g.duration("-d", q.Duration, &whole, 1)
	hasRamp := g.duration("--ramp", q.Ramp, &ramp, 1)
	users := g.count("-c", q.Users, 1, MaxUsers)
	if n := g.count("-n", q.Iterations, 1, 1<<53); n > 0 {
		s.Iterations = n
	}
	switch {
	case q.Rate != "":
		v, err := ParseRate(q.Rate)
		if err == nil && v == 0 {
			err = errors.New("a rate is above 0; write for example -r 50")
		}
		if err != nil {
			g.fail("-r", err)
		}
		f.model(load.Open)
		level = v
		if users > 0 {
			s.MaxInFlight = int(users)
		}
	case users > 0:
		f.model(load.Closed)
		level = float64(users)
	}
	f.limits(q, g)
	switch {
	case len(q.Stages) > 0:
		if q.Rate != "" || hasDuration || hasRamp {
			g.fail("--stage", errors.New("stages say how much and how long; leave -r, -d and --ramp out"))
		}
		s.Profile.Stages = f.flagStages(q.Stages, g)
		if users > 0 && q.Rate == "" {
			s.MaxRate = float64(users) // as beside a rate, the most of them
			if peak := s.Profile.Peak(); peak > s.MaxRate {
				g.fail("-c", fmt.Errorf("the stages go up to %s users, above the %d that it allows; with --stage it is the most of them, also by hand", formatNumber(peak), users))
			}
		}
	case level > 0 || hasDuration || hasRamp || q.Iterations != "" && f.Path == "":
		given, rampBefore, warmupBefore, one := oneLevel(old.Stages)
		if level == 0 {
			if level = given; !one {
				flag := "-d"
				if !hasDuration {
					flag = "--ramp"
				}
				g.fail(flag, errors.New("the file's load has stages; give -r or -c as well to replace them"))
				break
			}
		}
		if !hasRamp {
			ramp = rampBefore
		}
		warmup = warmupBefore
		if !hasDuration {
			rate := level
			if s.Model == load.Closed {
				rate = 0
			}
			switch {
			case f.Path == "" && s.Iterations == 0:
				whole = DefaultFor
			case f.Path == "":
				whole = lasting(s.Iterations, rate)
			default:
				whole = old.Duration()
			}
			whole = max(whole, ramp)
		}
		if ramp > whole {
			g.fail("--ramp", fmt.Errorf("the ramp of %s is longer than the whole load of %s; give -d at least as much, or a shorter ramp", formatDuration(ramp), formatDuration(whole)))
		}
		s.Profile.Stages = hold(level, whole, ramp)
	}
	if g.duration("--warmup", q.Warmup, &warmup, 1) || warmup > 0 {
		stages, err := cutWarmup(s.Profile.Stages, warmup, s.Model)
		if err != nil {
			g.fail("--warmup", err)
			return
		}
		s.Profile.Stages = stages
	}
}

// model changes the model of the load, with the defaults that belong to it.
func (f *File) model(m load.Model) {
	s := &f.Load
	if s.Model == m {
		return
	}
	s.Model = m
	if m == load.Closed {
		s.MaxInFlight, s.DropAfter, s.Arrivals = 0, 0, load.Poisson
	} else {
		s.MaxInFlight, s.DropAfter = DefaultMaxInFlight, DefaultDropAfter
	}
}

func (f *File) limits(q *Quick, g *flags) {
	s := &f.Load
	switch q.Arrivals {
	case "":
	case "poisson":
		s.Arrivals = load.Poisson
	case "even":
		s.Arrivals = load.Even
	default:
		g.fail("--arrivals", fmt.Errorf("%s is unknown; write poisson or even", quoted(q.Arrivals)))
	}
	if n := g.count("--max-in-flight", q.MaxInFlight, 1, MaxUsers); n > 0 {
		s.MaxInFlight = int(n)
	}
	if s.Model == load.Closed && (q.Arrivals != "" || q.MaxInFlight != "") {
		g.fail("-c", errors.New("--arrivals and --max-in-flight belong to a rate; users begin when they have finished: give -r as well, or leave them out"))
	}
	g.duration("--graceful", q.Graceful, &s.Graceful, 0)
	if q.Seed != "" {
		n, err := parseSeed(q.Seed)
		if err != nil {
			g.fail("--seed", err)
		}
		s.Seed = n
	}
}
