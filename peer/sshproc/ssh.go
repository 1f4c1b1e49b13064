package sshproc

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
)

// Destination is where ssh is to go. The zero User and Port leave the choice to ssh and its configuration.
type Destination struct {
	User, Host string
	Port       int
}

// String is the destination as ParseDestination reads it.
func (d Destination) String() string {
	s := d.Login()
	if d.Port != 0 {
		if strings.Contains(d.Host, ":") {
			s = strings.TrimSuffix(s, d.Host) + "[" + d.Host + "]"
		}
		s += ":" + strconv.Itoa(d.Port)
	}
	return s
}

// Login is the destination without its port, the way ssh takes it.
func (d Destination) Login() string {
	if d.User != "" {
		return d.User + "@" + d.Host
	}
	return d.Host
}

// Arguments are what follows ssh where a person types it.
func (d Destination) Arguments() string {
	if d.Port != 0 {
		return "-p " + strconv.Itoa(d.Port) + " " + d.Login()
	}
	return d.Login()
}

// ParseDestination reads [user@]host[:port], also as ssh://[user@]host[:port]. An IPv6 address with a port stands in brackets.
func ParseDestination(s string) (Destination, error) {
	fail := func(format string, args ...any) (Destination, error) {
		return Destination{}, fmt.Errorf("%q: "+format, append([]any{s}, args...)...)
	}
	rest := s
	if scheme, after, ok := strings.Cut(s, "://"); ok {
		if scheme != "ssh" {
			return fail("a peer is reached over ssh, not over %s; write user@host:port", scheme)
		}
		rest = strings.TrimSuffix(after, "/")
	}
	var d Destination
	if i := strings.LastIndexByte(rest, '@'); i >= 0 { // the last: the user of a directory may be ada@corp
		d.User, rest = rest[:i], rest[i+1:]
		if d.User == "" {
			return fail("no user before the @; leave out the @ to let ssh choose")
		}
	}
	port := ""
	switch {
	case strings.HasPrefix(rest, "["):
		host, after, ok := strings.Cut(rest[1:], "]")
		if !ok {
			return fail("the bracket of the address is not closed")
		}
		d.Host = host
		if after != "" {
			if port, ok = strings.CutPrefix(after, ":"); !ok || port == "" {
				return fail("after the ] comes :port or nothing")
			}
		}
	case strings.Count(rest, ":") == 1:
		d.Host, port, _ = strings.Cut(rest, ":")
		if port == "" {
			return fail("no port after the colon; leave out the colon for the default")
		}
	default:
		d.Host = rest
	}
	if d.Host == "" {
		return fail("no host; write user@host:port, of which user and port may be left out")
	}
	if port != "" {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 || strings.Trim(port, "0123456789") != "" {
			return fail("the port %q is not a number from 1 to 65535", port)
		}
		d.Port = n
	}
	if err := d.check(); err != nil {
		return fail("%w", err)
	}
	return d, nil
}

// check refuses what ssh could take for an option, and what a ProxyCommand of the user's configuration, in which ssh fills in
// user and host, could make a shell do (CVE-2023-51385).
func (d Destination) check() error {
	for _, part := range []struct{ what, text string }{{"host", d.Host}, {"user", d.User}} {
		if strings.HasPrefix(part.text, "-") {
			return fmt.Errorf("a %s does not begin with -; ssh would take it for an option", part.what)
		}
		for _, r := range part.text {
			if strings.ContainsRune("'`\"$;&<>|(){}*?#!,=/", r) || unicode.IsSpace(r) || !unicode.IsPrint(r) {
				return fmt.Errorf("%q has no place in the name of a %s", r, part.what)
			}
		}
		if part.what == "host" && strings.Contains(part.text, ":") {
			if _, err := netip.ParseAddr(part.text); err != nil {
				return errors.New("a host with colons in it is an IPv6 address, and this is none; with a port it stands in brackets: [::1]:22")
			}
		}
		if part.what == "host" && strings.ContainsAny(part.text, `\[]`) {
			return errors.New("brackets and backslashes have no place in the name of a host")
		}
	}
	if d.Port < 0 || d.Port > 65535 {
		return fmt.Errorf("the port %d is not from 1 to 65535", d.Port)
	}
	return nil
}

// Options are what a user may choose about ssh.
type Options struct {
	// Program is the command to use in place of ssh, as GIT_SSH_COMMAND: words as a shell reads them. It must take OpenSSH's
	// options.
	Program string
	// Batch says that nobody can answer a question, so that ssh fails rather than asks.
	Batch bool
}

// SSH is the argument list that runs a command on a host through the user's ssh. The command is one line for the login shell.
func SSH(d Destination, command string, o Options) ([]string, error) {
	if d.Host == "" {
		return nil, errors.New("no host to connect to")
	}
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("%q: %w", d.String(), err)
	}
	argv, err := program(o.Program)
	if err != nil {
		return nil, err
	}
	argv = append(argv,
		"-T", "-a", "-x", // no terminal; and a source of load has no business with our keys or our display
		"-o", "RequestTTY=no", // a user may have asked for tmux on each host: `RemoteCommand tmux`, `RequestTTY force`
		"-o", "RemoteCommand=none",
		"-o", "ClearAllForwardings=yes", // a second connection with the same LocalForward would fail
		"-o", "PermitLocalCommand=no",
		"-o", "EscapeChar=none",
		"-o", "LogLevel=ERROR", // banners say nothing about a failure
		"-o", "ConnectTimeout=15",
		"-o", "ServerAliveInterval=5", // an ssh whose network is gone ends after 15 s
		"-o", "ServerAliveCountMax=3",
		"-o", "ControlMaster=no", // an existing master is used, for the sake of one-time codes; none is left behind
	)
	if o.Batch {
		argv = append(argv, "-o", "BatchMode=yes")
	}
	if d.Port != 0 {
		argv = append(argv, "-p", strconv.Itoa(d.Port))
	}
	return append(argv, "--", d.Login(), command), nil
}

// Resolve is the argument list that prints the configuration which ssh would use for a destination, without connecting.
func Resolve(d Destination, o Options) ([]string, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	argv, err := program(o.Program)
	if err != nil {
		return nil, err
	}
	argv = append(argv, "-G")
	if d.Port != 0 {
		argv = append(argv, "-p", strconv.Itoa(d.Port))
	}
	return append(argv, "--", d.Login()), nil
}
