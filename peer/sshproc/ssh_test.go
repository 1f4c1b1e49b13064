package sshproc

import (
	"slices"
	"strings"
	"testing"
)

func TestParseDestination(t *testing.T) {
	for s, want := range map[string]Destination{
		"ada":                     {Host: "ada"},
		"ada@h":                   {User: "ada", Host: "h"},
		"h:2222":                  {Host: "h", Port: 2222},
		"ada@10.0.0.7:2222":       {User: "ada", Host: "10.0.0.7", Port: 2222},
		"ada@corp@h":              {User: "ada@corp", Host: "h"},
		`CORP\ada@h`:              {User: `CORP\ada`, Host: "h"},
		"::1":                     {Host: "::1"},
		"[::1]":                   {Host: "::1"},
		"[fe80::1%eth0]:22":       {Host: "fe80::1%eth0", Port: 22},
		"ada@[::1]:22":            {User: "ada", Host: "::1", Port: 22},
		"ssh://ada@h:22":          {User: "ada", Host: "h", Port: 22},
		"ssh://h/":                {Host: "h"},
		"web-1.eu_west.internal.": {Host: "web-1.eu_west.internal."},
		"münchen":                 {Host: "münchen"},
	} {
		d, err := ParseDestination(s)
		if err != nil || d != want {
			t.Errorf("%s: %+v, %v", s, d, err)
			continue
		}
		if again, err := ParseDestination(d.String()); err != nil || again != d {
			t.Errorf("%s: printed as %s, which is %+v, %v", s, d, again, err)
		}
	}
	for s, want := range map[string]string{
		"":                   "no host",
		"ada@":               "no host",
		"@h":                 "no user before the @",
		"h:":                 "no port after the colon",
		"h:0":                "1 to 65535",
		"h:65536":            "1 to 65535",
		"h:+22":              "1 to 65535",
		"h:ssh":              "1 to 65535",
		"h:22:33":            "this is none",
		"[::1":               "not closed",
		"[::1]22":            "after the ]",
		"-oProxyCommand=x":   "begin with -",
		"ada@-oProxyCommand": "begin with -",
		"-l@h":               "begin with -",
		"h$(x)":              "has no place",
		"h`x`":               "has no place",
		"h;x":                "has no place",
		"a b@h":              "has no place",
		"h\x00":              "has no place",
		"h\n":                "has no place",
		"http://h":           "not over http",
		"'h'":                "has no place",
	} {
		if d, err := ParseDestination(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v", s, d, err)
		}
	}
}

func FuzzParseDestination(f *testing.F) {
	for _, s := range []string{"ada@h:22", "[::1]:22", "ssh://h", "a@b@c", "-x", "h:", "@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDestination(s)
		if err != nil {
			return
		}
		if again, err := ParseDestination(d.String()); err != nil || again != d {
			t.Errorf("%q is %+v, printed %q, which is %+v, %v", s, d, d, again, err)
		}
		argv, err := SSH(d, "true", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(argv); argv[n-3] != "--" || argv[n-1] != "true" || strings.HasPrefix(argv[n-2], "-") {
			t.Errorf("%q", argv)
		}
		if strings.ContainsAny(argv[len(argv)-2], "'`\"$;&<>|(){}\n\x00 ") {
			t.Errorf("%q lets a shell do something", argv)
		}
	})
}

func TestSSH(t *testing.T) {
	options := "-T -a -x -o RequestTTY=no -o RemoteCommand=none -o ClearAllForwardings=yes -o PermitLocalCommand=no -o EscapeChar=none " +
		"-o LogLevel=ERROR -o ConnectTimeout=15 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -o ControlMaster=no"
	for _, c := range []struct {
		to   Destination
		o    Options
		want string
	}{
		{Destination{Host: "h"}, Options{}, "ssh " + options + " -- h | the command"},
		{Destination{User: "ada", Host: "::1", Port: 22}, Options{Batch: true}, "ssh " + options + " -o BatchMode=yes -p 22 -- ada@::1 | the command"},
		{Destination{Host: "h"}, Options{Program: `'/opt/my ssh' -F "a b" -v`}, "/opt/my ssh -F a b -v " + options + " -- h | the command"},
		{Destination{Host: "h"}, Options{Program: `ssh -F ~/x`}, `/bin/sh -c ssh -F ~/x "$@" ssh ` + options + " -- h | the command"},
	} {
		got, err := SSH(c.to, "| the command", c.o)
		if err != nil || strings.Join(got, " ") != c.want || got[len(got)-1] != "| the command" {
			t.Errorf("%+v: %q, %v", c.to, got, err)
		}
	}
	for _, c := range []struct {
		to   Destination
		o    Options
		want string
	}{
		{Destination{}, Options{}, "no host"},
		{Destination{Host: "-oProxyCommand=x"}, Options{}, "begin with -"},
		{Destination{Host: "h"}, Options{Program: `ssh "x`}, "not closed"},
		{Destination{Host: "h"}, Options{Program: "''"}, "no program"},
	} {
		if got, err := SSH(c.to, "x", c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %q, %v", c.to, got, err)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		in    string
		want  []string
		shell bool
	}{
		{`ssh`, []string{"ssh"}, false},
		{`  ssh	-i  key `, []string{"ssh", "-i", "key"}, false},
		{`ssh -o 'ProxyCommand=nc %h %p'`, []string{"ssh", "-o", "ProxyCommand=nc %h %p"}, false},
		{`ssh -o "A=\"b\" \\ \x"`, []string{"ssh", "-o", `A="b" \ \x`}, false},
		{`ssh a\ b ''`, []string{"ssh", "a b", ""}, false},
		{`ssh a'b'"c"`, []string{"ssh", "abc"}, false},
		{`ssh -o A=b~ x#y`, []string{"ssh", "-o", "A=b~", "x#y"}, false},
		{`ssh '$x ~ |'`, []string{"ssh", "$x ~ |"}, false},
		{`ssh "$x"`, []string{"ssh", "$x"}, true},
		{`ssh "\$x"`, []string{"ssh", "$x"}, false},
		{`ssh ~/x`, []string{"ssh", "~/x"}, true},
		{`A=1 ssh`, []string{"A=1", "ssh"}, true},
		{`a | b`, []string{"a", "|", "b"}, true},
	} {
		got, shell, err := split(c.in)
		if err != nil || !slices.Equal(got, c.want) || shell != c.shell {
			t.Errorf("%s: %q, %v, %v", c.in, got, shell, err)
		}
	}
	for _, s := range []string{`a 'b`, `a "b`, `a\`, "a\nb", `''`, " \t"} {
		if got, _, err := split(s); err == nil {
			t.Errorf("%q: %q", s, got)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(`ssh -o "a b" c\ d`, "it's")
	f.Fuzz(func(t *testing.T, s, word string) {
		_, _, _ = split(s)
		if word == "" || strings.ContainsAny(word, "\x00") {
			return
		}
		quoted := "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		got, shell, err := split("ssh " + quoted)
		if err != nil || shell || len(got) != 2 || got[1] != word {
			t.Errorf("%q: %q, %v, %v", quoted, got, shell, err)
		}
	})
}
