package boot

import (
	"reflect"
	"strings"
	"testing"

	"lt/peer/sshproc"
)

func TestList(t *testing.T) {
	got, err := List("ada, bob@10.0.0.7:2222=2,ada,[::1]:22=10,ada")
	if err != nil {
		t.Fatal(err)
	}
	Name(got, "ada#2")
	want := []Address{
		{Name: "ada", SSH: sshproc.Destination{Host: "ada"}},
		{Name: "10.0.0.7", SSH: sshproc.Destination{User: "bob", Host: "10.0.0.7", Port: 2222}, Weight: 2},
		{Name: "ada#3", SSH: sshproc.Destination{Host: "ada"}},
		{Name: "::1", SSH: sshproc.Destination{Host: "::1", Port: 22}, Weight: 10},
		{Name: "ada#4", SSH: sshproc.Destination{Host: "ada"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	for list, parts := range map[string][]string{
		"":               {"an empty name"},
		"a,,b":           {"an empty name between two commas", "a,b,user@c:2222=2"},
		"a=0":            {`the weight "0" is not a whole number from 1 to 1000; a=2 gives it twice the load`},
		"a=x,-b,c:99999": {`the weight "x"`, `peer "-b": a host does not begin with -`, `peer "c:99999": the port "99999"`},
		"a=1=2":          {`the weight "1=2"`},
		"a=+1":           {`the weight "+1"`},
		"a b":            {"has no place in the name of a host"},
	} {
		_, err := List(list)
		for _, p := range parts {
			if err == nil || !strings.Contains(err.Error(), p) {
				t.Errorf("%q: %v", list, err)
			}
		}
	}
}

func TestNew(t *testing.T) {
	boot := []string{"sh", "-c", "{boot}"}
	for _, c := range []struct {
		in   Entry
		name string
		text string
	}{
		{Entry{SSH: "ada@h:22", Weight: 3, Label: "eu", Target: "http://x"}, "h", "ada@h:22"},
		{Entry{SSH: "h", Agent: "/usr/bin/lt"}, "h", "h"},
		{Entry{Exec: append([]string{"kubectl", "exec", "-i", "pod/lt-0", "--"}, boot...)}, "lt-0", "kubectl exec -i pod/lt-0 -- sh -c {boot}"},
		{Entry{Exec: append([]string{"env", "HOME=/tmp/x"}, boot...)}, "env", "env HOME=/tmp/x sh -c {boot}"},
		{Entry{Exec: append([]string{"docker", "exec", "-i", "c1"}, boot...)}, "c1", "docker exec -i c1 sh -c {boot}"},
		{Entry{Exec: []string{"docker", "exec", "-i", "c1", "/usr/bin/lt", "agent", "--stdio"}}, "c1", "docker exec -i c1 /usr/bin/lt agent --stdio"},
		{Entry{Exec: append([]string{"/usr/bin/nsenter", "-t", "a b"}, boot...)}, "a b", "/usr/bin/nsenter -t 'a b' sh -c {boot}"},
		{Entry{Exec: boot}, "sh", "sh -c {boot}"},
	} {
		a, err := New(c.in)
		if err != nil {
			t.Errorf("%+v: %v", c.in, err)
			continue
		}
		list := []Address{a}
		Name(list)
		if list[0].Name != c.name || a.String() != c.text || a.Weight != c.in.Weight || a.Label != c.in.Label || a.Target != c.in.Target || a.Agent != c.in.Agent {
			t.Errorf("%+v: %+v, %q", c.in, list[0], a)
		}
		if want := "ssh"; c.in.SSH != "" && a.Kind() != want || c.in.SSH == "" && a.Kind() != "exec" {
			t.Errorf("%+v: kind %s", c.in, a.Kind())
		}
	}
	for _, c := range []struct {
		in   Entry
		want string
	}{
		{Entry{}, "needs a host"},
		{Entry{SSH: "h", Exec: boot}, "both ssh and exec"},
		{Entry{SSH: "-h"}, "begin with -"},
		{Entry{SSH: "h", Weight: -1}, "the weight -1"},
		{Entry{SSH: "h", Weight: 1001}, "the weight 1001"},
		{Entry{SSH: "h", Agent: "lt"}, "absolute path"},
		{Entry{SSH: "h", Agent: "/usr/bin/lt; rm"}, "absolute path"},
		{Entry{Exec: boot, Agent: "/usr/bin/lt"}, "agent is for ssh"},
		{Entry{Exec: []string{"{boot}"}}, "begins with a program"},
		{Entry{Exec: []string{"docker", "exec", "c", "{boot}"}}, `write sh, -c, "{boot}"`},
		{Entry{Exec: []string{"sh", "-c", "exec {boot}"}}, "a word of its own"},
		{Entry{Exec: []string{"sh", "-c", "{boot}", "sh", "-c", "{boot}"}}, "twice"},
		{Entry{Exec: []string{"sh", "a\x00b"}}, "NUL"},
	} {
		if a, err := New(c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %+v, %v", c.in, a, err)
		}
	}
}

func FuzzList(f *testing.F) {
	f.Add("a,b,user@c:2222=2")
	f.Add("[::1]:22=10,=,a=")
	f.Fuzz(func(t *testing.T, s string) {
		list, err := List(s)
		if err != nil {
			return
		}
		Name(list)
		names := map[string]bool{"local": true}
		parts := make([]string, len(list))
		for i, a := range list {
			if a.Name == "" || names[a.Name] {
				t.Errorf("%q: the name %q", s, a.Name)
			}
			names[a.Name] = true
			parts[i] = a.String()
		}
		again, err := List(strings.Join(parts, ","))
		if err != nil || len(again) != len(list) {
			t.Fatalf("%q printed as %q: %v", s, parts, err)
		}
		for i := range again {
			if again[i].SSH != list[i].SSH {
				t.Errorf("%+v, then %+v", list[i], again[i])
			}
		}
	})
}
