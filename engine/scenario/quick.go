package scenario

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"lt/engine/load"
)

// Quick is a run as the flags of a command line describe it. A zero value means that the flag was not given. Durations,
// rates and counts come as they were typed, so that what is wrong with one is told in the words of its flag.
type Quick struct {
	URL         string   // of `lt URL`; Override takes it as another target
	Method      string   // -m
	Headers     []string // -H 'Name: value'; 'Name:' takes a header away
	Body        []byte   // -b; nil: none. Text is a template, anything else is sent as it is
	ContentType string   // -T
	BasicAuth   string   // -a NAME:PASSWORD

	Timeout           string // -t
	ConnectTimeout    string
	Redirects         string // -L
	MaxBody           string
	HTTP1             bool
	NoKeepalive       bool
	Insecure          bool
	CACert, Cert, Key string // files, as the shell's folder has them
	Proxy             string // -x
	ConnectTo         []string
	Resolve           []string
	UnixSocket        string
	SourceIPs         []string

	Rate        string // -r
	Users       string // -c
	Duration    string // -d
	Iterations  string // -n
	Ramp        string
	Stages      []string // DURATION:LEVEL holds a level, DURATION:~LEVEL ramps to it
	Arrivals    string
	MaxInFlight string
	Graceful    string
	Warmup      string
	Seed        string
	SLO         []string
	Think       string // the multiplier of all think times; 0 leaves them out
}

// File makes the scenario of one request that the flags describe: open, Poisson, 50 a second for 30 s unless they say
// otherwise. The error has every problem, each in the words of its flag.
func (q Quick) File(env Env) (*File, error) {
	whole, err := QuickURL(q.URL)
	if err != nil {
		return nil, err
	}
	f := &File{HTTP: defaultHTTP(), ThinkTimes: 1, Load: defaultLoad(), Dir: "."}
	scheme, _, _ := strings.Cut(whole, "://")
	host := authority(whole)
	path := whole[len(scheme)+len("://")+len(host):]
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		u, err := url.Parse(scheme + "://" + host)
		if err != nil {
			return nil, errors.New("URL: the user and password before its @ are not understood; write %25 for a percent sign, or give them with -a NAME:PASSWORD")
		}
		if q.BasicAuth == "" {
			password, _ := u.User.Password()
			q.BasicAuth = u.User.Username() + ":" + password
		}
		host = host[i+1:]
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	f.Target, f.Name = scheme+"://"+host, host
	st := &Step{Method: "GET", URL: path, HTTP: f.HTTP}
	if q.Body != nil {
		st.Method = "POST"
	}
	f.Scenarios = []*Scenario{{Name: "main", Weight: 1, Steps: []*Step{st}, HTTP: f.HTTP}}
	if _, errs := ParseTemplate(path, f.flagNames()); len(errs) > 0 {
		return nil, fmt.Errorf("URL: %w", errs[0])
	}
	q.URL = ""
	if err := f.Override(q, env); err != nil {
		return nil, err
	}
	return f, nil
}

// QuickURL completes what was typed as a URL: without a scheme it is http for loopback and private names, else https.
func QuickURL(s string) (string, error) {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return "", errors.New("a URL is missing; write for example lt http://localhost:8080/")
	case strings.HasPrefix(s, ":") && len(s) > 1:
		s = "localhost" + s
	}
	if i := strings.IndexByte(s, '#'); i >= 0 {
		s = s[:i] // a fragment is never sent, and comes with what is copied from a browser
	}
	if !strings.Contains(s, "://") {
		host, _, _ := strings.Cut(s, "/")
		host, _, _ = strings.Cut(host, "?")
		if i := strings.LastIndexByte(host, '@'); i >= 0 {
			host = host[i+1:]
		}
		scheme := "https"
		if privateName(host) {
			scheme = "http"
		}
		s = scheme + "://" + s
	}
	check := s
	if i := strings.LastIndexByte(authority(s), '@'); i >= 0 {
		check = strings.Replace(s, authority(s), authority(s)[i+1:], 1)
	}
	if msg, remedy := wholeURL(cutTemplates(check)); msg != "" {
		return "", fmt.Errorf("%s; %s", msg, remedy)
	}
	return s, nil
}

func authority(s string) string {
	_, rest, _ := strings.Cut(s, "://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return rest
}

// privateName reports whether a host, with or without port, is by its name or address on this machine or this network: a
// loopback or private address, localhost, a name without a dot, or one under a suffix that is never public (RFC 6761, 6762,
// 8375, and .internal as ICANN reserved it).
func privateName(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if a, err := netip.ParseAddr(host); err == nil {
		return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsUnspecified()
	}
	if !strings.Contains(host, ".") {
		return true
	}
	for _, suffix := range []string{".localhost", ".local", ".internal", ".test", ".home.arpa", ".lan"} {
		if strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}

// flags collects what is wrong with flags.
type flags struct{ errs []error }

func (g *flags) fail(flag string, err error) {
	for _, err := range unjoin(err) {
		g.errs = append(g.errs, fmt.Errorf("%s: %w", flag, err))
	}
}

func (g *flags) duration(flag, s string, to *time.Duration, least time.Duration) bool {
	if s == "" {
		return false
	}
	d, err := ParseDuration(s)
	if err == nil && d < least {
		err = errors.New("a duration is longer than 0; write for example 30s")
	}
	if err != nil {
		g.fail(flag, err)
		return false
	}
	*to = d
	return true
}

func (g *flags) count(flag, s string, low, high int64) int64 {
	if s == "" {
		return 0
	}
	n, err := ParseCount(s, low, high)
	if err != nil {
		g.fail(flag, fmt.Errorf("%w; write a whole number from %d on", err, low))
	}
	return n
}

// looksLikeBody tells data from a duration.
var looksLikeBody = regexp.MustCompile(`^\s*[\[{"@<]|=`)

// flagStages reads stages such as 30s:500, which holds a level, and 30s:~500, which ramps to it.
func (f *File) flagStages(list []string, g *flags) []load.Stage {
	var out []load.Stage
	for i, text := range list {
		s := load.Stage{Name: fmt.Sprintf("stage %d", i+1)}
		length, level, ok := strings.Cut(text, ":")
		if !ok {
			g.fail("--stage", fmt.Errorf("%s is not of the form; write DURATION:LEVEL, for example 30s:500", quoted(text)))
			continue
		}
		level, s.Ramp = strings.CutPrefix(level, "~")
		g.duration("--stage", length, &s.For, 1)
		var err error
		if f.Load.Model == load.Closed {
			var n int64
			n, err = ParseCount(level, 0, MaxUsers)
			s.At = float64(n)
		} else {
			s.At, err = ParseRate(level)
		}
		if err != nil {
			g.fail("--stage", err)
		}
		out = append(out, s)
	}
	return out
}

func parseSeed(s string) (uint64, error) {
	v, err := strconv.ParseUint(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is not a seed; write a whole number from 0 on", quoted(s))
	}
	return v, nil
}

// shellPath is a file that a flag names, from wherever the run reads it.
func shellPath(s string) string {
	if a, err := filepath.Abs(s); err == nil {
		return a
	}
	return s
}
