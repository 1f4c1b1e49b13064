package boot

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"lt/engine/redact"
	"lt/peer/sshproc"
)

// maxWeight bounds a weight, so that the share table of all sources stays small.
const maxWeight = 1000

// ScriptWord is the word in a launcher's argument list that stands for the boot script. The script replaces it as it is, in one
// argument, so what gets it must be a POSIX sh: sh -c {boot}.
const ScriptWord = "{boot}"

// Entry is what a file or a flag says about one peer.
type Entry struct {
	SSH    string   // [user@]host[:port]
	Exec   []string // in place of SSH: an argument list whose stdin and stdout reach sh -c {boot}, or an agent
	Agent  string   // path of an lt that is installed there; nothing is uploaded
	Weight int      // part of the load in relation to others, 1..1000; 0: by the number of its cores
	Label  string   // what reports may group it by
	Target string   // base URL in place of the scenario's
}

// Address is a peer that can be dialled. The zero Address is none; make them with List and New.
type Address struct {
	Name   string // unique within a run
	SSH    sshproc.Destination
	Exec   []string // not empty: in place of SSH
	Agent  string
	Weight int
	Label  string
	Target string
}

// Kind is ssh or exec.
func (a Address) Kind() string {
	if len(a.Exec) > 0 {
		return "exec"
	}
	return "ssh"
}

// String tells a person where the peer is: "ada@10.0.0.7:2222", or the launcher's argument list.
func (a Address) String() string {
	if len(a.Exec) == 0 {
		return a.SSH.String()
	}
	words := make([]string, len(a.Exec))
	for i, w := range a.Exec {
		if words[i] = w; w == "" || strings.ContainsFunc(w, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("'\"\\$&|;<>()*?`", r) }) {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// brief is the address for a sentence: a launcher may be long.
func (a Address) brief() string {
	s := []rune(redact.Neutralise(a.String()))
	if len(s) > 60 {
		return string(s[:57]) + "..."
	}
	return string(s)
}

// byHand is what a person may type to see the same failure; program is what is used in place of ssh.
func (a Address) byHand(program string) string {
	if len(a.Exec) == 0 {
		if program == "" {
			program = "ssh"
		}
		return redact.Neutralise(program) + " " + a.SSH.Arguments() + " true"
	}
	if s := strings.ReplaceAll(a.String(), ScriptWord, "true"); len(s) <= 120 {
		return redact.Neutralise(s)
	}
	return "the command under exec, with true in place of " + ScriptWord
}

// List reads a list as --peers takes it: destinations with commas between them, each with =WEIGHT if it has one, such as
// "ada,bob@10.0.0.7:2222=2". All mistakes are in the error. The addresses have no names yet: Name gives them.
func List(s string) ([]Address, error) {
	var out []Address
	var errs []error
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			errs = append(errs, fmt.Errorf("peers %q: an empty name between two commas or at an end; write a,b,user@c:2222=2", s))
			continue
		}
		var e Entry
		host, weight, weighed := strings.Cut(item, "=")
		if e.SSH = host; weighed {
			n, err := strconv.Atoi(weight)
			if err != nil || n < 1 || n > maxWeight || weight[0] == '+' {
				errs = append(errs, fmt.Errorf("peer %q: the weight %q is not a whole number from 1 to %d; %s=2 gives it twice the load of a peer with 1",
					item, weight, maxWeight, host))
				continue
			}
			e.Weight = n
		}
		a, err := New(e)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, a)
	}
	return out, errors.Join(errs...)
}

// New checks an entry and makes an address of it, without a name.
func New(e Entry) (Address, error) {
	a := Address{Exec: e.Exec, Agent: e.Agent, Weight: e.Weight, Label: e.Label, Target: e.Target}
	what := e.SSH
	if what == "" && len(e.Exec) > 0 {
		what = strings.Join(e.Exec, " ")
	}
	fail := func(format string, args ...any) (Address, error) {
		return Address{}, fmt.Errorf("peer %q: "+format, append([]any{what}, args...)...)
	}
	switch {
	case e.SSH == "" && len(e.Exec) == 0:
		return Address{}, errors.New("a peer needs a host to reach with ssh, or a command under exec")
	case e.SSH != "" && len(e.Exec) > 0:
		return fail("it has both ssh and exec; one of them reaches it")
	case e.SSH != "":
		d, err := sshproc.ParseDestination(e.SSH)
		if err != nil {
			return Address{}, fmt.Errorf("peer %w", err)
		}
		a.SSH = d
	default:
		if err := launcher(e); err != nil {
			return fail("%w", err)
		}
	}
	if e.Weight < 0 || e.Weight > maxWeight {
		return fail("the weight %d is not from 1 to %d", e.Weight, maxWeight)
	}
	if e.Agent != "" {
		if len(e.Exec) > 0 {
			return fail("agent is for ssh; with exec the command itself ends in PATH agent --stdio")
		}
		if bad := strings.IndexFunc(e.Agent, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+@", r))
		}); bad >= 0 || !strings.HasPrefix(e.Agent, "/") {
			return fail("agent: %q is not the absolute path of a program in letters, digits and / . _ - + @, which every login shell takes for the same", e.Agent)
		}
	}
	return a, nil
}

func launcher(e Entry) error {
	if e.Exec[0] == "" || e.Exec[0] == ScriptWord {
		return fmt.Errorf("exec begins with a program, such as docker, kubectl or sh")
	}
	found := 0
	for i, w := range e.Exec {
		if strings.ContainsRune(w, 0) {
			return fmt.Errorf("exec: a word holds a NUL byte")
		}
		switch {
		case w == ScriptWord:
			found++
			if e.Exec[i-1] != "-c" {
				return fmt.Errorf("exec: %s is a script for a shell; write sh, -c, %q", ScriptWord, ScriptWord)
			}
		case strings.Contains(w, ScriptWord):
			return fmt.Errorf("exec: %s is a word of its own, not part of %q", ScriptWord, w)
		}
	}
	if found > 1 {
		return fmt.Errorf("exec: %s stands there twice; one connection starts one agent", ScriptWord)
	}
	return nil
}

// Name gives each address that has none a name that no other has: the host, or for a launcher the word before its shell, and
// where that is taken #2, #3 and so on behind it. Names that are there already stay; taken are further ones.
func Name(list []Address, taken ...string) {
	used := map[string]bool{"local": true}
	for _, n := range taken {
		used[n] = true
	}
	for _, a := range list {
		used[a.Name] = true
	}
	for i := range list {
		a := &list[i]
		if a.Name != "" {
			continue
		}
		base := a.base()
		name := base
		for n := 2; used[name]; n++ {
			name = base + "#" + strconv.Itoa(n)
		}
		a.Name = name
		used[name] = true
	}
}

// base is what a person would call the peer.
func (a Address) base() string {
	if len(a.Exec) == 0 {
		return a.SSH.Host
	}
	// kubectl exec -i pod/lt-0 -- sh -c {boot}: the pod; docker exec -i c1 lt agent --stdio: the container.
	words := a.Exec
	for i, w := range words {
		if base := w[strings.LastIndexByte(w, '/')+1:]; i > 0 && (base == "sh" || base == "bash" || base == "lt" || w == "--" || w == ScriptWord) {
			words = words[:i]
			break
		}
	}
	for i := len(words) - 1; i > 0; i-- {
		if w := words[i]; w != "" && !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") { // nor a variable behind env
			return w[strings.LastIndexByte(w, '/')+1:]
		}
	}
	return words[0][strings.LastIndexByte(words[0], '/')+1:]
}
