package authz

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		addr string
		want Class
	}{
		{"127.0.0.1", Loopback},
		{"127.255.255.254", Loopback},
		{"::1", Loopback},
		{"::ffff:127.0.0.1", Loopback},
		{"10.0.0.1", Private},
		{"172.16.0.1", Private},
		{"172.31.255.255", Private},
		{"192.168.1.1", Private},
		{"::ffff:10.1.2.3", Private},
		{"172.32.0.1", Public},
		{"172.15.255.255", Public},
		{"192.169.0.1", Public},
		{"11.0.0.0", Public},
		{"169.254.1.1", LinkLocal},
		{"169.254.169.253", LinkLocal},
		{"fe80::1", LinkLocal},
		{"fe80::1%eth0", LinkLocal},
		{"febf::1", LinkLocal},
		{"fc00::1", UniqueLocal},
		{"fd12:3456::1", UniqueLocal},
		{"fe00::1", Public},
		{"100.64.0.1", CGNAT},
		{"100.127.255.255", CGNAT},
		{"100.63.255.255", Public},
		{"100.128.0.0", Public},
		{"169.254.169.254", Metadata},
		{"169.254.170.2", Metadata},
		{"100.100.100.200", Metadata},
		{"fd00:ec2::254", Metadata},
		{"fd00:ec2::254%eth0", Metadata},
		{"::ffff:169.254.169.254", Metadata},
		{"::ffff:a9fe:a9fe", Metadata},
		{"::ffff:169.254.169.254%1", Metadata},
		{"2002:a9fe:a9fe::1", Metadata},
		{"64:ff9b::a9fe:a9fe", Metadata},
		{"64:ff9b::6464:64c8", Metadata},
		{"64:ff9b:1::a9fe:aa02", Metadata},
		{"64:ff9b:1:a9fe:a9:fe00::", Metadata},
		{"::169.254.169.254", Metadata},
		{"::ffff:0:169.254.169.254", Metadata},
		{"2001:0:a9fe:a9fe::1", Metadata},
		{"2001:0:4136:e378:8000:63bf:5601:5601", Metadata},
		{"fe80::5efe:169.254.169.254", Metadata},
		{"2001:db8::200:5efe:169.254.170.2", Metadata},
		{"fe80::a9fe:a9fe%eth1", Metadata},
		{"169.254.169.255", LinkLocal},
		{"100.100.100.201", CGNAT},
		{"0.0.0.0", Unspecified},
		{"0.1.2.3", Unspecified},
		{"::", Unspecified},
		{"::ffff:0.0.0.0", Unspecified},
		{"224.0.0.1", Multicast},
		{"239.255.255.250", Multicast},
		{"ff02::1", Multicast},
		{"ff02::1%eth0", Multicast},
		{"255.255.255.255", Broadcast},
		{"::ffff:255.255.255.255", Broadcast},
		{"8.8.8.8", Public},
		{"203.0.113.7", Public},
		{"2001:db8::1", Public},
		{"2606:4700::1111", Public},
		{"240.0.0.1", Public},
		// What a tunnel or a translator leads to is never freer than the address itself.
		{"64:ff9b::10.0.0.1", Public},
		{"2002:7f00:1::", Public},
		{"::127.0.0.1", Public},
		{"::10.0.0.1", Public},
		{"fec0::1", Public},
	} {
		if got := Classify(netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%s is %v, want %v", c.addr, got, c.want)
		}
	}
	if got := Classify(netip.Addr{}); got != Invalid {
		t.Errorf("no address is %v", got)
	}
}

func TestEachClassIsFreeOrRefusedOrPublic(t *testing.T) {
	for c := Invalid; c <= Public; c++ {
		n := 0
		for _, is := range []bool{c.Free(), c.Refused(), c == Public} {
			if is {
				n++
			}
		}
		if n != 1 || c.String() == "" {
			t.Errorf("%v: free %v, refused %v", c, c.Free(), c.Refused())
		}
	}
	if s := Class(99).String(); s != "class 99" {
		t.Errorf("an unknown class is called %q", s)
	}
}

func TestNumericHosts(t *testing.T) {
	for host, want := range map[string]string{
		"2852039166": "169.254.169.254", "0xA9FEA9FE": "169.254.169.254", "0251.0376.0251.0376": "169.254.169.254",
		"169.254.43518": "169.254.169.254", "169.16689662": "169.254.169.254", "0xa9.0xfe.0xa9.0xfe": "169.254.169.254",
		"0x7f.1": "127.0.0.1", "127.1": "127.0.0.1", "0": "0.0.0.0", "0x": "0.0.0.0", "4294967295": "255.255.255.255",
		"4294967296": "", "256.1": "", "1.256.1": "", "1.2.3.256": "", "1.2.65536": "", "1.2.3.4.5": "", "": "", "a": "", "1..2": "", "08.1": "",
		"-1": "", "1.2.3.+4": "", "1_0": "", "0x1_0": "", "example.com": "", "1.": "",
	} {
		a, ok := numeric(host)
		if ok != (want != "") || ok && a.String() != want {
			t.Errorf("%q: %v, %v; want %q", host, a, ok, want)
		}
	}
}

// v4Metadata are the metadata addresses that other addresses can carry.
func v4Metadata() []netip.Addr {
	var out []netip.Addr
	for a := range metadata {
		if a.Is4() {
			out = append(out, a)
		}
	}
	return out
}

// disguise writes an address of IPv4 into one of IPv6 in one of the ways in which it may travel; the rest of the bits are
// drawn freely.
func disguise(t *rapid.T, v4 netip.Addr) netip.Addr {
	p := v4.As4()
	var b [16]byte
	copy(b[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bits"))
	clear12 := func() { clear(b[:12]) }
	switch rapid.IntRange(0, 12).Draw(t, "form") {
	case 0: // mapped
		clear12()
		b[10], b[11] = 0xff, 0xff
		copy(b[12:], p[:])
	case 1: // compatible
		clear12()
		copy(b[12:], p[:])
	case 2: // translated, RFC 2765
		clear12()
		b[8], b[9] = 0xff, 0xff
		copy(b[12:], p[:])
	case 3: // 6to4
		b[0], b[1] = 0x20, 0x02
		copy(b[2:], p[:])
	case 4: // NAT64
		clear12()
		copy(b[:], []byte{0, 0x64, 0xff, 0x9b})
		copy(b[12:], p[:])
	case 5, 6, 7, 8: // NAT64 with a prefix of one's own, of 48, 56, 64 or 96 bits
		copy(b[:], []byte{0, 0x64, 0xff, 0x9b, 0, 1})
		at := [][]int{{6, 7, 9, 10}, {7, 9, 10, 11}, {9, 10, 11, 12}, {12, 13, 14, 15}}[rapid.IntRange(0, 3).Draw(t, "prefix")]
		for i, j := range at {
			b[j] = p[i]
		}
	case 9: // Teredo server
		copy(b[:], []byte{0x20, 0x01, 0, 0})
		copy(b[4:], p[:])
	case 10: // Teredo client
		copy(b[:], []byte{0x20, 0x01, 0, 0})
		binary.BigEndian.PutUint32(b[12:], ^binary.BigEndian.Uint32(p[:]))
	case 11: // ISATAP, a private address
		copy(b[8:], []byte{0, 0, 0x5e, 0xfe})
		copy(b[12:], p[:])
	case 12: // ISATAP, a public one
		copy(b[8:], []byte{2, 0, 0x5e, 0xfe})
		copy(b[12:], p[:])
	}
	a := netip.AddrFrom16(b)
	if rapid.Bool().Draw(t, "zone") {
		a = a.WithZone("eth0")
	}
	return a
}

func TestNoDisguiseHidesMetadata(t *testing.T) {
	all := v4Metadata()
	rapid.Check(t, func(t *rapid.T) {
		v4 := rapid.SampledFrom(all).Draw(t, "address")
		a := disguise(t, v4)
		if c := Classify(a); c != Metadata {
			t.Fatalf("%v carries %v and is %v", a, v4, c)
		}
		generous := Request{Hosts: []Host{{Name: "x", Addrs: []netip.Addr{a}}}, Authorize: []string{"x", a.String()}}
		if b, err := Decide(generous); err == nil {
			t.Fatalf("%v was allowed: %+v", a, b)
		}
		b, err := Decide(Request{Hosts: []Host{{Name: "x", Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.1")}}}, Authorize: []string{"x"}, Proxy: rapid.Bool().Draw(t, "proxy")})
		if err != nil {
			t.Fatal(err)
		}
		if b.Allow("x", a) == nil {
			t.Fatalf("%v was dialled", a)
		}
	})
}

func TestNoSpellingHidesMetadata(t *testing.T) {
	number := func(t *rapid.T, n uint64) string {
		return fmt.Sprintf(rapid.SampledFrom([]string{"%d", "0%o", "0x%x", "0X%X", "0x%08x", "000%o"}).Draw(t, "base"), n)
	}
	all := v4Metadata()
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(all).Draw(t, "address").As4()
		var host string
		rest := uint64(binary.BigEndian.Uint32(p[:]))
		for i := range rapid.IntRange(0, 3).Draw(t, "dots") {
			host += number(t, uint64(p[i])) + "."
			rest &= 1<<(24-8*i) - 1
		}
		host += number(t, rest)
		for _, proxy := range []bool{false, true} {
			if b, err := Decide(Request{Hosts: []Host{{Name: host}}, Authorize: []string{host}, Proxy: proxy}); err == nil {
				t.Fatalf("%s was allowed: %+v", host, b)
			}
			if _, err := Decide(Request{Hosts: []Host{{Name: "shop", Via: host}}, Authorize: []string{"shop", host}, Proxy: proxy}); err == nil {
				t.Fatalf("%s was allowed as what is dialled", host)
			}
		}
	})
}

func FuzzDecide(f *testing.F) {
	for _, s := range []string{
		"169.254.169.254", "[::ffff:169.254.169.254]", "0xA9FEA9FE", "metadata.google.internal.", "http://user@169.254.169.254:80/latest",
		"fe80::a9fe:a9fe%eth0", "shop.example", "127.0.0.1", "2001:db8::1", "\x1b[31mred",
	} {
		f.Add(s, s, true)
	}
	f.Fuzz(func(t *testing.T, host, allow string, proxy bool) {
		h := Host{Name: host}
		if a, err := netip.ParseAddr(host); err == nil {
			h.Addrs = []netip.Addr{a}
		}
		b, err := Decide(Request{Hosts: []Host{h}, PeakArrivals: 1000, Authorize: []string{allow}, Proxy: proxy})
		if err != nil {
			for _, r := range err.Error() {
				if r < ' ' || r == 0x7f {
					t.Fatalf("a control character in %q", err)
				}
			}
			return
		}
		for _, a := range h.Addrs {
			if Classify(a).Refused() {
				t.Fatalf("%v was allowed", a)
			}
			if Classify(a) == Public && fold(allow) != fold(host) {
				t.Fatalf("%v was allowed by %q", a, allow)
			}
		}
		for a := range metadata {
			if b.Allow(host, a) == nil {
				t.Fatalf("%v may be dialled as %q", a, host)
			}
		}
	})
}

func BenchmarkAllow(b *testing.B) {
	basis, err := Decide(Request{Hosts: []Host{{Name: "shop.example", Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.1")}}}, Authorize: []string{"shop.example"}})
	if err != nil {
		b.Fatal(err)
	}
	a := netip.MustParseAddr("203.0.113.2")
	b.ReportAllocs()
	for b.Loop() {
		if err := basis.Allow("shop.example", a); err != nil {
			b.Fatal(err)
		}
	}
}
