package scenario

import (
	"slices"
	"strings"
	"testing"
)

func TestPeersAreReadFromAList(t *testing.T) {
	got, err := ParsePeers("ada, bob@10.0.0.7:2222=2,[::1]:22,fe80::1%eth0,ada,ssh://c@d:9/,local")
	if err != nil {
		t.Fatal(err)
	}
	want := []Peer{
		{Name: "ada", SSH: "ada"},
		{Name: "10.0.0.7", SSH: "bob@10.0.0.7:2222", Weight: 2},
		{Name: "::1", SSH: "[::1]:22"},
		{Name: "fe80::1%eth0", SSH: "fe80::1%eth0"},
		{Name: "ada#2", SSH: "ada"},
		{Name: "d", SSH: "c@d:9"},
		{Name: "local#2", SSH: "local"},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i].Name != want[i].Name || got[i].SSH != want[i].SSH || got[i].Weight != want[i].Weight {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
	for list, words := range map[string]string{
		"": "missing", "a,,b": "missing", "a,-oX": "option", "a b": "space", "a:0": "port", "a=x": "weight", "a=1001": "weight", "@": "no host",
		"a\x1b[2J": "control character", "$(id)": "no name of a host", strings.Repeat("a,", MaxPeers) + "a": "1000",
	} {
		if _, err := ParsePeers(list); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%.60q: %.200v, want %q", list, err, words)
		}
	}
}

func TestSplitSSH(t *testing.T) {
	for s, want := range map[string][3]string{
		"ada": {"", "ada", ""}, "u@ada": {"u", "ada", ""}, "u@ada:22": {"u", "ada", "22"}, "u@x.y@ada": {"u@x.y", "ada", ""},
		"::1": {"", "::1", ""}, "u@[::1]:22": {"u", "::1", "22"}, "[::1]": {"", "::1", ""}, "ada:": {"", "ada", ""},
	} {
		if u, h, p := SplitSSH(s); [3]string{u, h, p} != want {
			t.Errorf("%s: %q, %q, %q", s, u, h, p)
		}
	}
}

func TestPeersOfAFile(t *testing.T) {
	f := parse(t, readTestdata(t, "built.yaml"))
	if len(f.Peers) != 3 {
		t.Fatalf("%+v", f.Peers)
	}
	ada, bob, pod := f.Peers[0], f.Peers[1], f.Peers[2]
	if ada.SSH != "ada" || ada.Name != "ada" || ada.Pos.Line == 0 {
		t.Errorf("%+v", ada)
	}
	if bob.SSH != "bob@10.0.0.7:2222" || bob.Weight != 2 || bob.Label != "eu" || bob.Name != "10.0.0.7" {
		t.Errorf("%+v", bob)
	}
	if pod.Name != "pod/lt-0" || !slices.Equal(pod.Exec, []string{"kubectl", "exec", "-i", "pod/lt-0", "--", "sh", "-c", "{boot}"}) {
		t.Errorf("%+v", pod)
	}
	f = parse(t, head+`steps: [{get: /}]
peers:
  - {exec: [docker, exec, -i, c1, sh, -c, "{boot}"], target: "http://${X:-eu.test}", weight: 3}
  - {exec: [sh, -c, "{boot}"]}
  - {ssh: a=5, agent: /usr/bin/lt}
  - {exec: [ssh, -F, "x$${y}", h, lt, agent, --stdio]}
`)
	for i, name := range []string{"c1", "sh", "a", "h"} {
		if f.Peers[i].Name != name {
			t.Errorf("peer %d is named %q, want %q", i, f.Peers[i].Name, name)
		}
	}
	if p := f.Peers[0]; p.Target != "http://eu.test" || p.Weight != 3 || f.Peers[2].Weight != 5 || f.Peers[3].Exec[2] != "x${y}" {
		t.Errorf("%+v", f.Peers)
	}
	printed(t, f)
}

func TestPeersAreNamedAfterTheirPlace(t *testing.T) {
	for command, want := range map[string]string{
		"kubectl exec -i pod/lt-0 -c main -- sh -c {boot}":              "pod/lt-0",
		"kubectl -n load exec -i pod/lt-0 -- /usr/bin/lt agent --stdio": "pod/lt-0",
		"docker exec -i c1 sh -c {boot}":                                "c1",
		"docker exec -i -u root c1 lt agent --stdio":                    "c1",
		"nomad alloc exec -i -t=false -task lt 4f2c9a sh -c {boot}":     "4f2c9a",
		"incus exec -T c1 -- sh -c {boot}":                              "c1",
		"ssh -F x -p 22 ada lt agent --stdio":                           "ada",
		"/bin/sh -c {boot}":                                             "sh",
		"/opt/start-agent":                                              "start-agent",
	} {
		p := Peer{Exec: strings.Fields(command)}
		if got := p.where(); got != want {
			t.Errorf("%s is named %q, want %q", command, got, want)
		}
	}
}

func FuzzParsePeer(f *testing.F) {
	for _, s := range []string{"ada", "bob@10.0.0.7:2222=2", "[::1]:22", "-oProxyCommand=x", "ssh://a@b:1/", "a==1", "@:", "a@-b", "=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePeer(s)
		if err != nil {
			return
		}
		user, host, _ := SplitSSH(p.SSH)
		if host == "" || strings.HasPrefix(p.SSH, "-") || strings.HasPrefix(host, "-") || strings.HasPrefix(user, "-") || p.Name == "" || p.Weight < 0 || p.Weight > MaxWeight {
			t.Fatalf("%q is read as %+v", s, p)
		}
		again, err := ParsePeer(p.SSH + "=7")
		if err != nil || again.SSH != p.SSH || again.Weight != 7 {
			t.Fatalf("%q, then %+v, %v", s, again, err)
		}
	})
}
