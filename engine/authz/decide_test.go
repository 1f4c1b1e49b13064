package authz

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func at(name string, addrs ...string) Host {
	h := Host{Name: name}
	for _, a := range addrs {
		h.Addrs = append(h.Addrs, netip.MustParseAddr(a))
	}
	return h
}

func via(name, dialled string, addrs ...string) Host {
	h := at(name, addrs...)
	h.Via = dialled
	return h
}

func yes(string) bool { return true }

func TestDecide(t *testing.T) {
	block := &Block{Owner: "Shop team", Ticket: "CHG-12", Until: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
	old := &Block{Owner: "Shop team", Ticket: "CHG-12", Until: noon}
	loop, shop, shop2 := at("localhost", "127.0.0.1", "::1"), at("shop.example", "203.0.113.7"), at("img.example", "2001:db8::5")
	nowhere := Host{Name: "nowhere.example"}

	for name, c := range map[string]struct {
		r       Request
		basis   string // empty: refused
		refused string // words of the refusal, in order
		capped  bool
		public  bool
	}{
		"loopback":        {r: Request{Hosts: []Host{loop}, PeakArrivals: 1e6}, basis: "loopback address"},
		"private":         {r: Request{Hosts: []Host{at("api", "10.2.0.9")}, Users: 10_000, Peers: 9, FindKnee: true}, basis: "private address"},
		"free, mixed":     {r: Request{Hosts: []Host{at("a", "10.2.0.9"), loop, at("b", "fd00::7"), at("c", "100.64.1.1"), at("d", "127.0.0.2")}, PeakArrivals: 900}, basis: "loopback address; private address; unique-local address; carrier-grade NAT address"},
		"nothing at all":  {r: Request{PeakArrivals: 900}, basis: "no address was known before the start; each is classed when it is dialled"},
		"a unix socket":   {r: Request{Hosts: []Host{shop}, UnixSocket: true, PeakArrivals: 900}, basis: "unix socket"},
		"public, modest":  {r: Request{Hosts: []Host{shop}, PeakArrivals: 50}, basis: "public address within the free limits (50 arrivals/s, 20 users)", capped: true, public: true},
		"public, 20":      {r: Request{Hosts: []Host{shop}, Users: 20}, basis: "public address within the free limits (50 arrivals/s, 20 users)", capped: true, public: true},
		"public, 51":      {r: Request{Hosts: []Host{shop}, PeakArrivals: 50.5}, refused: "shop.example (203.0.113.7) is a public address 50.5 arrivals/s above the free 50/s --authorize shop.example authorize: {owner, ticket, until} nothing was sent"},
		"public, 20000":   {r: Request{Hosts: []Host{shop}, PeakArrivals: 20_000}, refused: "20000 arrivals/s above the free 50/s"},
		"public, 21":      {r: Request{Hosts: []Host{shop}, Users: 21}, refused: "21 users are above the free 20"},
		"public, a peer":  {r: Request{Hosts: []Host{shop}, PeakArrivals: 1, Peers: 1}, refused: "1 further source"},
		"public, knee":    {r: Request{Hosts: []Host{shop}, PeakArrivals: 1, FindKnee: true}, refused: "search for the knee"},
		"public, all":     {r: Request{Hosts: []Host{shop}, PeakArrivals: 99, Users: 99, Peers: 2, FindKnee: true}, refused: "99 arrivals/s 99 users 2 further knee"},
		"one of two":      {r: Request{Hosts: []Host{at("both", "10.0.0.1", "203.0.113.7")}, PeakArrivals: 99}, refused: "both (203.0.113.7) is a public address"},
		"beside loopback": {r: Request{Hosts: []Host{loop, shop}, PeakArrivals: 99}, refused: "shop.example"},

		"named":                       {r: Request{Hosts: []Host{shop, loop}, PeakArrivals: 900, Authorize: []string{"shop.example"}}, basis: "loopback address; --authorize shop.example", public: true},
		"named, in other ways":        {r: Request{Hosts: []Host{shop, shop2}, PeakArrivals: 900, Authorize: []string{"HTTPS://user:pw@Shop.Example.:8443/path?x#y", " img.example:443"}}, basis: "--authorize shop.example, --authorize img.example", public: true},
		"named in other letters":      {r: Request{Hosts: []Host{at("xn--bcher-kva.example", "203.0.113.7")}, PeakArrivals: 900, Authorize: []string{"https://B\u00fccher.example/"}}, basis: "--authorize xn--bcher-kva.example", public: true},
		"named by address":            {r: Request{Hosts: []Host{at("2001:db8::5", "2001:db8::5")}, PeakArrivals: 900, Authorize: []string{"https://[2001:DB8:0::5]:443/"}}, basis: "--authorize 2001:db8::5", public: true},
		"named, modest":               {r: Request{Hosts: []Host{shop}, PeakArrivals: 5, Authorize: []string{"shop.example"}}, basis: "--authorize shop.example", public: true},
		"another is named":            {r: Request{Hosts: []Host{shop}, PeakArrivals: 900, Authorize: []string{"example", "*", "", "www.shop.example", "shop.example.org"}}, refused: "--authorize shop.example"},
		"one of two named":            {r: Request{Hosts: []Host{shop, shop2}, PeakArrivals: 900, Authorize: []string{"shop.example"}}, refused: "img.example (2001:db8::5) --authorize img.example,"},
		"none of two named":           {r: Request{Hosts: []Host{shop, shop2}, PeakArrivals: 900}, refused: "say so: --authorize shop.example --authorize img.example"},
		"one named, both modest":      {r: Request{Hosts: []Host{shop, shop2}, PeakArrivals: 9, Authorize: []string{"shop.example"}}, basis: "--authorize shop.example, public address within the free limits (50 arrivals/s, 20 users)", capped: true, public: true},
		"the address is not the name": {r: Request{Hosts: []Host{shop}, PeakArrivals: 900, Authorize: []string{"203.0.113.7"}}, refused: "--authorize shop.example"},

		"block and typed":     {r: Request{Hosts: []Host{shop}, PeakArrivals: 900, Block: block, Typed: yes}, basis: "authorize: Shop team, CHG-12 until 2026-05-31, host typed (shop.example)", public: true},
		"block, modest":       {r: Request{Hosts: []Host{shop}, PeakArrivals: 9, Block: block}, basis: "public address within the free limits (50 arrivals/s, 20 users)", capped: true, public: true},
		"block, not typed":    {r: Request{Hosts: []Host{shop}, PeakArrivals: 900, Block: block, Typed: func(string) bool { return false }}, refused: "not typed --authorize shop.example"},
		"block, nobody there": {r: Request{Hosts: []Host{shop}, PeakArrivals: 900, Block: block}, refused: "no terminal to ask on --authorize shop.example"},
		"block, over":         {r: Request{Hosts: []Host{shop}, PeakArrivals: 900, Block: old, Typed: yes}, refused: "ended 2026-05-04 12:00 UTC --authorize"},
		"block, over before":  {r: Request{Hosts: []Host{shop}, PeakArrivals: 900, Duration: 28 * 24 * time.Hour, Block: block, Typed: yes}, refused: "ends 2026-05-31, before this run of 672h0m0s would --authorize"},
		"block, just enough":  {r: Request{Hosts: []Host{shop}, PeakArrivals: 900, Duration: block.Until.Sub(noon), Block: block, Typed: yes}, basis: "authorize: Shop team, CHG-12 until 2026-05-31, host typed (shop.example)", public: true},
		"block, no end":       {r: Request{Hosts: []Host{shop}, PeakArrivals: 900, Block: &Block{Owner: "a", Ticket: "b"}, Typed: yes}, refused: "until when"},
		"block, no owner":     {r: Request{Hosts: []Host{shop}, PeakArrivals: 900, Block: &Block{Owner: " ", Ticket: "b", Until: block.Until}, Typed: yes}, refused: "no owner"},
		"block, no ticket":    {r: Request{Hosts: []Host{shop}, PeakArrivals: 900, Block: &Block{Owner: "a", Until: block.Until}, Typed: yes}, refused: "no ticket"},
		"block and flag":      {r: Request{Hosts: []Host{shop, shop2}, PeakArrivals: 900, Block: block, Typed: yes, Authorize: []string{"img.example"}}, basis: "--authorize img.example, authorize: Shop team, CHG-12 until 2026-05-31, host typed (shop.example)", public: true},
		"flag, bad block":     {r: Request{Hosts: []Host{shop}, PeakArrivals: 900, Block: old, Authorize: []string{"shop.example"}}, basis: "--authorize shop.example", public: true},

		"dialled elsewhere, free":    {r: Request{Hosts: []Host{via("shop.example", "127.0.0.1", "127.0.0.1")}, PeakArrivals: 900}, basis: "loopback address"},
		"dialled elsewhere, public":  {r: Request{Hosts: []Host{via("localhost", "edge.example", "203.0.113.9")}, PeakArrivals: 900, Authorize: []string{"localhost"}}, refused: "edge.example (203.0.113.9) --authorize edge.example"},
		"dialled elsewhere, allowed": {r: Request{Hosts: []Host{via("localhost", "edge.example", "203.0.113.9")}, PeakArrivals: 900, Authorize: []string{"edge.example"}}, basis: "--authorize edge.example", public: true},
		"the same one twice":         {r: Request{Hosts: []Host{shop, via("b.example", "SHOP.example.", "203.0.113.7")}, PeakArrivals: 900, Authorize: []string{"shop.example"}}, basis: "--authorize shop.example", public: true},

		"unknown, modest":          {r: Request{Hosts: []Host{nowhere}, PeakArrivals: 50}, basis: "public address within the free limits (50 arrivals/s, 20 users)", capped: true, public: true},
		"unknown":                  {r: Request{Hosts: []Host{nowhere}, PeakArrivals: 900}, basis: "no address was known before the start; each is classed when it is dialled"},
		"unknown, named":           {r: Request{Hosts: []Host{nowhere}, PeakArrivals: 900, Authorize: []string{"nowhere.example"}}, basis: "--authorize nowhere.example", public: true},
		"unknown, by proxy":        {r: Request{Hosts: []Host{nowhere}, PeakArrivals: 900, Proxy: true}, refused: "nowhere.example does not resolve here and counts as a public address"},
		"unknown, by proxy, named": {r: Request{Hosts: []Host{nowhere}, PeakArrivals: 900, Proxy: true, Authorize: []string{"nowhere.example"}}, basis: "--authorize nowhere.example", public: true},
		"free, by proxy":           {r: Request{Hosts: []Host{at("api", "10.0.0.2")}, PeakArrivals: 900, Proxy: true}, basis: "private address"},

		"metadata":                {r: Request{Hosts: []Host{at("169.254.169.254", "169.254.169.254")}, PeakArrivals: 1, Authorize: []string{"169.254.169.254"}}, refused: "169.254.169.254 is a cloud metadata service no flag allows it nothing was sent"},
		"metadata behind a name":  {r: Request{Hosts: []Host{loop, at("shop.example", "203.0.113.7", "fd00:ec2::254")}, PeakArrivals: 1, Authorize: []string{"shop.example"}, Block: block, Typed: yes}, refused: "shop.example (fd00:ec2::254) is a cloud metadata service"},
		"metadata by name":        {r: Request{Hosts: []Host{{Name: "Metadata.Google.Internal."}}, Proxy: true, Authorize: []string{"metadata.google.internal"}}, refused: "cloud metadata service"},
		"a service of that name":  {r: Request{Hosts: []Host{at("metadata", "10.4.0.1")}, PeakArrivals: 900}, basis: "private address"},
		"metadata as a number":    {r: Request{Hosts: []Host{{Name: "0xA9FEA9FE"}}, Proxy: true}, refused: "0xa9fea9fe (169.254.169.254) is a cloud metadata service"},
		"metadata dialled":        {r: Request{Hosts: []Host{via("localhost", "169.254.169.254", "169.254.169.254")}}, refused: "169.254.169.254 is a cloud metadata service"},
		"an address in brackets":  {r: Request{Hosts: []Host{{Name: "[::ffff:169.254.169.254]"}}, Proxy: true}, refused: "169.254.169.254 is a cloud metadata service"},
		"unspecified":             {r: Request{Hosts: []Host{at("0.0.0.0", "0.0.0.0")}}, refused: "0.0.0.0 is the unspecified address 127.0.0.1"},
		"multicast":               {r: Request{Hosts: []Host{at("x", "224.0.0.1")}, Authorize: []string{"x"}}, refused: "x (224.0.0.1) is a multicast address"},
		"broadcast":               {r: Request{Hosts: []Host{at("x", "255.255.255.255")}}, refused: "broadcast"},
		"no address":              {r: Request{Hosts: []Host{{Name: "x", Addrs: []netip.Addr{{}}}}}, refused: "x has an address that is none"},
		"refused before it costs": {r: Request{Hosts: []Host{shop, at("y", "169.254.170.2")}, PeakArrivals: 900, Block: block, Typed: func(string) bool { panic("asked") }}, refused: "metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			c.r.Now = noon
			b, err := Decide(c.r)
			if c.basis == "" {
				var r *Refusal
				if !errors.As(err, &r) {
					t.Fatalf("allowed as %+v, want a refusal", b)
				}
				text := r.Error()
				for w := range strings.FieldsSeq(c.refused) {
					_, after, found := strings.Cut(text, w)
					if !found {
						t.Fatalf("%q lacks %q of %q", r.Error(), w, c.refused)
					}
					text = after
				}
				if r.Host == "" || b.Text != "" {
					t.Errorf("refusal %+v with basis %+v", r, b)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if public := len(b.covered) > 0; b.Text != c.basis || public != c.public {
				t.Errorf("basis %q, public %v; want %q, %v", b.Text, public, c.basis, c.public)
			}
			if capped := b.MaxRate == FreeRate && b.MaxUsers == FreeUsers; capped != c.capped || !capped && (b.MaxRate != 0 || b.MaxUsers != 0) {
				t.Errorf("at most %g/s and %d users, want capped %v", b.MaxRate, b.MaxUsers, c.capped)
			}
		})
	}
}

func TestRatesHaveNoExponent(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 50: "50", 50.5: "50.5", 100. / 3: "33.3333", 1. / 3600: "0.000277778", 20_000: "20000", 123_456.7: "123457", 1e6: "1000000", 12_345_678.9: "12345679"} {
		if got := figure(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}

func TestEachHostIsTypedOnce(t *testing.T) {
	var asked []string
	_, err := Decide(Request{
		Hosts:        []Host{at("shop.example", "203.0.113.7"), at("localhost", "::1"), at("Shop.Example", "203.0.113.8"), at("img.example", "203.0.113.9")},
		PeakArrivals: 900, Now: noon, Block: &Block{Owner: "o", Ticket: "t", Until: noon.Add(time.Hour)},
		Typed: func(host string) bool { asked = append(asked, host); return true },
	})
	if err != nil || !slices.Equal(asked, []string{"shop.example", "img.example"}) {
		t.Errorf("asked for %q, %v", asked, err)
	}
}

func TestSentencesDoNotCarryControlCharacters(t *testing.T) {
	b, err := Decide(Request{
		Hosts: []Host{at("a\x1b[2Jb", "203.0.113.7")}, PeakArrivals: 900, Now: noon, Typed: yes,
		Block: &Block{Owner: "o\x1b]0;x\x07", Ticket: "t\u202e", Until: noon.Add(time.Hour)},
	})
	if err != nil || b.Text != "authorize: o]0;x, t until 2026-05-04 13:00 UTC, host typed (a[2jb)" {
		t.Errorf("%q, %v", b.Text, err)
	}
}

func TestAddressesAreClassedAgainWhenDialled(t *testing.T) {
	decide := func(r Request) Basis {
		t.Helper()
		r.Now = noon
		b, err := Decide(r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	shop := at("Shop.example", "203.0.113.7")
	free := decide(Request{Hosts: []Host{at("localhost", "127.0.0.1")}, PeakArrivals: 900})
	modest := decide(Request{Hosts: []Host{shop}, PeakArrivals: 50})
	named := decide(Request{Hosts: []Host{shop, at("localhost", "127.0.0.1")}, PeakArrivals: 900, Authorize: []string{"shop.example"}})
	late := decide(Request{Hosts: []Host{{Name: "shop.example"}}, PeakArrivals: 900})
	proxied := decide(Request{Hosts: []Host{shop}, PeakArrivals: 900, Authorize: []string{"shop.example"}, Proxy: true})

	for _, c := range []struct {
		name string
		b    Basis
		host string
		addr string
		ok   bool
	}{
		{"free", free, "localhost", "127.0.0.1", true},
		{"free", free, "localhost", "10.0.0.9", true},
		{"free, name bound again", free, "localhost", "203.0.113.7", false},
		{"free, name bound to metadata", free, "localhost", "169.254.169.254", false},
		{"modest", modest, "shop.example", "203.0.113.99", true},
		{"modest, another host", modest, "img.example", "203.0.113.7", false},
		{"named", named, "SHOP.example.", "203.0.113.8", true},
		{"named", named, "shop.example", "::ffff:203.0.113.8", true},
		{"named, its own metadata", named, "shop.example", "::ffff:169.254.169.254", false},
		{"named, NAT64 metadata", named, "shop.example", "64:ff9b::a9fe:a9fe", false},
		{"named, the unspecified", named, "shop.example", "0.0.0.0", false},
		{"named, the other", named, "localhost", "203.0.113.8", false},
		{"unknown at the start", late, "shop.example", "203.0.113.7", false},
		{"unknown at the start", late, "shop.example", "192.168.0.7", true},
		{"the proxy", proxied, "proxy.example", "198.51.100.1", true},
		{"the proxy as metadata", proxied, "proxy.example", "100.100.100.200", false},
		{"no basis", Basis{}, "shop.example", "203.0.113.7", false},
	} {
		err := c.b.Allow(c.host, netip.MustParseAddr(c.addr))
		if (err == nil) != c.ok {
			t.Errorf("%s: %s at %s: %v, want allowed %v", c.name, c.host, c.addr, err, c.ok)
		}
		var r *Refusal
		if err != nil && (!errors.As(err, &r) || r.Class.Free()) {
			t.Errorf("%s: %#v", c.name, err)
		}
	}
	if free.Allow("localhost", netip.Addr{}) == nil {
		t.Error("no address may be dialled")
	}
}

func TestLoadIsNotRaisedAboveTheFreeLimits(t *testing.T) {
	modest, err := Decide(Request{Hosts: []Host{at("shop.example", "203.0.113.7")}, PeakArrivals: 45})
	if err != nil {
		t.Fatal(err)
	}
	free, err := Decide(Request{Hosts: []Host{at("localhost", "127.0.0.1")}, PeakArrivals: 45})
	if err != nil {
		t.Fatal(err)
	}
	nan := 0.0
	for _, c := range []struct {
		b     Basis
		rate  float64
		users int
		ok    bool
	}{
		{modest, 50, 20, true},
		{modest, 50.1, 0, false},
		{modest, 0, 21, false},
		{modest, nan / nan, 0, false},
		{free, 1e9, 1e9, true},
	} {
		if err := c.b.AllowRate(c.rate, c.users); (err == nil) != c.ok {
			t.Errorf("%g/s and %d users: %v, want allowed %v", c.rate, c.users, err, c.ok)
		}
	}
}

func TestFold(t *testing.T) {
	for in, want := range map[string]string{
		"shop.example": "shop.example", "SHOP.example.": "shop.example", "https://shop.example/a": "shop.example", "shop.example:8080": "shop.example",
		"u:p@shop.example": "shop.example", "[::1]": "::1", "[::1]:80": "::1", "::1": "::1", "2001:DB8:0:0::1": "2001:db8::1",
		"::ffff:10.0.0.1": "10.0.0.1", " x ": "x", "": "", "http://": "", "fe80::1%eth0": "fe80::1%eth0", "a@b@c": "c", "shop.example?x@evil": "shop.example",
	} {
		if got := fold(in); got != want {
			t.Errorf("fold(%q) = %q, want %q", in, got, want)
		}
	}
}
