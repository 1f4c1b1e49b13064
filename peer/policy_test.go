package peer

import (
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"lt/engine/authz"
	"lt/engine/load"
	"lt/peer/wire"
)

func TestParsePolicy(t *testing.T) {
	got, err := ParsePolicy("agent.yaml", []byte(`
allow: [Shop.Example, "*.staging.internal", 10.0.0.0/8, "fd00::/8", 192.168.1.7]
deny: 10.9.0.0/16
max_rate: 6000/m
max_users: 50
max_duration: 1h
require_proof: true
`))
	want := &wire.Policy{
		Targets: []string{"shop.example", "*.staging.internal", "10.0.0.0/8", "fd00::/8", "192.168.1.7"}, Deny: []string{"10.9.0.0/16"},
		MaxRate: 100, MaxUsers: 50, MaxDuration: time.Hour, RequireProof: true,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMistakesInAPolicyHaveTheirPlaceAndARemedy(t *testing.T) {
	long := strings.Repeat("a", 60)
	for text, words := range map[string]string{
		"":                         "empty|allow: [10.0.0.0/8]",
		"- a\n":                    "mapping",
		"max_rat: 5\n":             ":1:1|no key \"max_rat\"|did you mean max_rate?",
		"max_rate: fast\n":         ":1:11|not a rate|500/s",
		"max_rate: 0\n":            "allows nothing",
		"max_users: -1\n":          "not within 1",
		"max_duration: 5\n":        "no unit|5s",
		"max_duration: 0s\n":       "allows nothing",
		"require_proof: maybe\n":   "true or false",
		"allow: [10.0.0.1/8]\n":    ":1:9|behind its length|10.0.0.0/8",
		"allow: [\"http://x\"]\n":  "no host|10.0.0.0/8",
		"deny: ['*']\n":            "no host",
		"deny: ['*.']\n":           "no host",
		"deny: [a b]\n":            "no host",
		"allow: [a]\nallow: [b]\n": "twice",
		"deny: [{a: b}]\n":         "text or a number",
		"allow: [" + strings.Repeat("\n  "+long+",", 60) + "]\n": "introduction",
	} {
		_, err := ParsePolicy("agent.yaml", []byte(text))
		if err == nil {
			t.Errorf("%q is read", text)
			continue
		}
		for _, w := range strings.Split(words, "|") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q: %v\nlacks %q", text, err, w)
			}
		}
	}
	if _, err := LoadPolicy(t.TempDir() + "/none.yaml"); err == nil || !strings.Contains(err.Error(), "nothing is allowed") {
		t.Errorf("%v", err)
	}
}

func TestCheckPolicy(t *testing.T) {
	host := func(name string, addrs ...string) authz.Host {
		h := authz.Host{Name: name}
		for _, a := range addrs {
			h.Addrs = append(h.Addrs, netip.MustParseAddr(a))
		}
		return h
	}
	nets := &wire.Policy{Targets: []string{"10.0.0.0/8", "*.staging.internal", "::1"}, Deny: []string{"10.9.0.0/16", "db.staging.internal"}}
	limits := &wire.Policy{MaxRate: 100, MaxUsers: 20, MaxDuration: time.Minute}
	via := host("x.test", "10.0.0.1")
	via.Via = "edge.test"
	for name, c := range map[string]struct {
		p    *wire.Policy
		w    Work
		want string // empty: allowed
	}{
		"no policy":            {nil, Work{Rate: 1e6, Hosts: []authz.Host{host("a", "8.8.8.8")}}, ""},
		"a network":            {nets, Work{Hosts: []authz.Host{host("a", "10.1.2.3")}}, ""},
		"mapped":               {nets, Work{Hosts: []authz.Host{host("a", "::ffff:10.1.2.3")}}, ""},
		"an address":           {nets, Work{Hosts: []authz.Host{host("a", "::1")}}, ""},
		"one of two outside":   {nets, Work{Hosts: []authz.Host{host("a", "10.1.2.3", "203.0.113.7")}}, "a (203.0.113.7) is not among"},
		"one host outside":     {nets, Work{Hosts: []authz.Host{host("a", "10.1.2.3"), host("b", "11.0.0.1")}}, "b (11.0.0.1)"},
		"a suffix":             {nets, Work{Hosts: []authz.Host{host("api.Staging.internal.", "203.0.113.7")}}, ""},
		"not the suffix alone": {nets, Work{Hosts: []authz.Host{host("staging.internal", "203.0.113.7")}}, "not among"},
		"no false suffix":      {nets, Work{Hosts: []authz.Host{host("xstaging.internal", "203.0.113.7")}}, "not among"},
		"denied by address":    {nets, Work{Hosts: []authz.Host{host("api.staging.internal", "10.9.1.1")}}, "denied by \"10.9.0.0/16\""},
		"denied by name":       {nets, Work{Hosts: []authz.Host{host("db.staging.internal", "10.1.1.1")}}, "denied by"},
		"unknown, by suffix":   {nets, Work{Hosts: []authz.Host{host("api.staging.internal")}}, ""},
		"unknown":              {nets, Work{Hosts: []authz.Host{host("a")}}, "a is not among"},
		"what is dialled":      {&wire.Policy{Targets: []string{"x.test"}}, Work{Hosts: []authz.Host{via}}, "edge.test (10.0.0.1) is not among"},
		"a socket":             {nets, Work{UnixSocket: true}, "unix socket"},
		"a socket, any":        {limits, Work{UnixSocket: true}, ""},
		"within":               {limits, Work{Rate: 100, Duration: time.Minute}, ""},
		"rate":                 {limits, Work{Rate: 101}, "max_rate 100"},
		"users":                {limits, Work{Users: 21}, "max_users 20"},
		"long":                 {limits, Work{Duration: time.Minute + 1}, "max_duration 1m0s"},
	} {
		err := CheckPolicy(c.p, c.w)
		var pe *PolicyError
		if c.want == "" && err != nil || c.want != "" && (!errors.As(err, &pe) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && strings.Count(err.Error(), "ask the owner") != 1 {
			t.Errorf("%s: %v does not say once what to do", name, err)
		}
	}
	if do := afterPreflight(&wire.RefusedError{Code: "policy", Text: "..."}); do != "" {
		t.Errorf("what to do is said twice: %q", do)
	}
}

// How long an owner lends the machine holds for a run that is held too: what was short enough when it began is ended there. One that
// is as long as the owner allows finishes what it has in hand.
func TestHeldRunEndsWithItsOwnersPolicy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHost(t)
		h.c.Policy = &wire.Policy{MaxDuration: 20 * time.Second}
		w := newWorld(t, h, steady(50, 20*time.Second))
		w.begin()
		w.at(10 * time.Second)
		w.link.Changes(1, []load.Change{{At: 11 * time.Second, Kind: load.Hold}})
		w.diary.await(t, time.Minute, "fin")
		if !strings.Contains(w.diary.fin.Err, "max_duration 20s") {
			t.Errorf("%+v", w.diary.fin)
		}
		if last := w.host.target.last(w.zero); last < 19900*time.Millisecond || last > 20100*time.Millisecond {
			t.Errorf("the last request came at %v", last)
		}
		w.close()
		w.ended(ExitLapsed)
	})
	bubble(t, func(t *testing.T) {
		h := newHost(t)
		h.c.Policy = &wire.Policy{MaxDuration: 20 * time.Second}
		w := newWorld(t, h, steady(50, 20*time.Second))
		h.target.takes = 2 * time.Second
		w.begin()
		w.diary.await(t, time.Minute, "fin")
		if fin := w.diary.fin; fin.Err != "" || fin.Totals.Unfinished > 0 {
			t.Errorf("%+v", fin)
		}
		w.close()
		w.ended(ExitDone)
	})
}

func FuzzParsePolicy(f *testing.F) {
	for _, s := range []string{"allow: [a, 10.0.0.0/8]\nmax_rate: 5\n", "deny: '*.x'\n", "allow: &a [*a]\n", "max_users: 1e3\n", "allow: [\"::ffff:0.0.0.0/95\"]\n"} {
		f.Add([]byte(s), "a", []byte{10, 0, 0, 1})
	}
	f.Fuzz(func(t *testing.T, text []byte, host string, addr []byte) {
		p, err := ParsePolicy("p", text)
		if err != nil {
			return
		}
		if b, err := json.Marshal(p); err != nil || len(b) > maxPolicy {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		a, _ := netip.AddrFromSlice(addr)
		for _, d := range p.Deny { // whatever is denied by its own words is refused
			if pre, err := netip.ParsePrefix(d); err == nil && checkAddress(p, host, pre.Addr()) == nil {
				t.Fatalf("%s is denied and its first address allowed", d)
			}
		}
		_ = checkAddress(p, host, a)
	})
}

// A share of users that comes to what an owner allows is not above it for the last digit of a product.
func TestUsersUpToWhatIsAllowed(t *testing.T) {
	spec := &load.Spec{Model: load.Closed, Profile: load.Profile{Stages: []load.Stage{{Name: "hold", For: time.Minute, At: 45}}}}
	for own, allowed := range map[int]bool{2639: true, 2730: false} { // of 4095: 29 users, and 30
		table := load.Table([]int{own, 4095 - own})
		r := newReplica(spec, 0)
		if err := r.learn([]load.Change{{Kind: load.Reshare, Epoch: &load.Epoch{ID: 1, Table: table}}}, inTime); err != nil {
			t.Fatal(err)
		}
		a := &agent{c: ServeConfig{Policy: &wire.Policy{MaxUsers: 29}}}
		if err := a.allowed(r); (err == nil) != allowed {
			t.Errorf("%d of 4095 of 45 users where 29 are allowed: %v", own, err)
		}
	}
}
