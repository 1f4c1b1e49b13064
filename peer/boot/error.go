package boot

import (
	"strings"
)

// Phase is how far a start came.
type Phase string

// The phases, in their order.
const (
	Dial    Phase = "dial"     // to the host: name, network, the first words of ssh
	HostKey Phase = "host key" // whether the host is the right one
	Auth    Phase = "auth"     // whether we are welcome
	Probe   Phase = "probe"    // what system it is, and where a program may be put
	Upload  Phase = "upload"
	Exec    Phase = "exec" // the agent itself
)

// Error is why a peer could not be started. It names the peer, the phase, what was said over there, and one thing to do.
type Error struct {
	Peer  string // name and address; empty from Run, which knows neither
	Phase Phase
	Said  string // in ssh's or the peer's own words, neutralised; empty: it said nothing
	Why   string // in ours
	Do    string // one thing to do about it; a command where there is one
	Retry bool   // it may go better at once: the server had too many connections
	Err   error  // the cause, if it is one of ours
}

func (e *Error) Unwrap() error { return e.Err }

// Error is a sentence: `peer ada (ada@10.0.0.7): auth: ssh said "Permission denied (publickey)."; try: ssh ada@10.0.0.7 true`.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Peer != "" {
		b.WriteString("peer " + e.Peer + ": ")
	}
	b.WriteString(string(e.Phase) + ": " + e.What())
	if e.Do != "" {
		b.WriteString("; " + e.Do)
	}
	return b.String()
}

// What is what went wrong, without the peer, the phase and what to do.
func (e *Error) What() string {
	switch {
	case e.Why != "" && e.Said != "":
		return e.Why + `; it said "` + e.Said + `"`
	case e.Said != "":
		return `ssh said "` + e.Said + `"`
	default:
		return e.Why
	}
}

// Ssh has no codes but 255, so its words decide; they have been the same for many years.
type symptom struct {
	words string
	phase Phase
	do    string // %s: the command that reaches the same account by hand
	retry bool
}

var symptoms = []symptom{
	// The more particular first: "Too many authentication failures" is not "too many connections".
	{"Too many authentication failures", Auth, "the agent offers too many keys; name one with IdentityFile and IdentitiesOnly yes in ~/.ssh/config", false},
	{"REMOTE HOST IDENTIFICATION HAS CHANGED", HostKey, "the host is not the one of last time; if that is right: ssh-keygen -R HOST, then %s", false},
	{"Host key verification failed", HostKey, "connect once by hand and compare the fingerprint: %s", false},
	{"host key is known for", HostKey, "connect once by hand and compare the fingerprint: %s", false},
	{"Permission denied", Auth, "try: %s", false},
	{"Account expired", Auth, "ask for the account to be renewed", false},
	{"password has expired", Auth, "renew it by logging in: %s", false},
	{"account is currently not available", Auth, "the account has no login shell; it needs one such as /bin/sh, or a forced command for lt agent --stdio", false},
	{"Could not resolve hostname", Dial, "check the name, or give it a Host entry in ~/.ssh/config", false},
	{"Bad configuration option", Dial, "mend ~/.ssh/config; try: %s", false},
	{"Bad owner or permissions on", Dial, "mend the permissions that it names; try: %s", false},
	{"Unable to negotiate", Dial, "client and server have no algorithm in common; try: %s", false},
	{"administratively prohibited", Dial, "the bastion lets no connections through (AllowTcpForwarding there); try: %s", false},
	{"Connection refused", Dial, "no ssh server listens there; check host and port: %s", false},
	{"No route to host", Dial, "check the network: %s", false},
	{"Network is unreachable", Dial, "check the network: %s", false},
	{"timed out", Dial, "no answer from the host; check its address and any firewall: %s", false},
	{"kex_exchange_identification", Dial, "the server turns connections away (MaxStartups, fail2ban); try: %s", true},
	{"Connection reset", Dial, "the server turns connections away (MaxStartups, fail2ban); try: %s", true},
	{"Connection closed", Dial, "the server turns connections away (MaxStartups, fail2ban); try: %s", true},
	{"Session open refused", Dial, "the shared connection has no place for one more (MaxSessions); try: %s", true},
	{"Too many open files", Dial, "there are no descriptors left, here or there; raise the limit: ulimit -n", false},
	{"Too many", Dial, "the server turns connections away; try: %s", true},
	{"is not recognized as ", Probe, "the peer runs Windows, where lt has no agent; use WSL, or a peer that runs Linux or macOS", false},
}

// diagnose finds in what was said, newest last, which phase failed and what to do.
func diagnose(said []string, by string) (symptom, string, bool) {
	for _, s := range symptoms {
		for i := len(said) - 1; i >= 0; i-- {
			if strings.Contains(said[i], s.words) {
				s.do = strings.ReplaceAll(s.do, "%s", by)
				return s, said[i], true
			}
		}
	}
	return symptom{}, "", false
}

// fell is the line with which a Go program that falls over begins to tell of it, newest first; what follows it are pages of
// goroutines. Empty: there is none.
func fell(lines []string) string {
	for i := len(lines) - 1; i >= 0; i-- {
		for _, begin := range []string{"panic: ", "fatal error: ", "SIGQUIT: ", "SIGABRT: ", "SIGSEGV: "} {
			if strings.HasPrefix(lines[i], begin) {
				return last(lines[i : i+1])
			}
		}
	}
	return ""
}

// last are the last lines that say anything, as one, at most three.
func last(lines []string) string {
	var out []string
	for i := len(lines) - 1; i >= 0 && len(out) < 3; i-- {
		if l := strings.TrimSpace(lines[i]); l != "" {
			out = append([]string{l}, out...)
		}
	}
	s := strings.Join(out, " / ")
	if r := []rune(s); len(r) > 400 {
		s = "..." + string(r[len(r)-400:])
	}
	return s
}
