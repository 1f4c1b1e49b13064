// Package authz decides whether a target may be loaded.
//
// In order of use: Classify says what kind of address a target has; Decide holds a run against the rules before anything
// is sent and gives the basis on which it may go on, or a Refusal; Basis.Allow is asked again about every address that is
// dialled later, because a name may come to mean another machine; Basis.AllowRate is asked before the load is raised by
// hand.
//
// The rules stop accidents: a wrong name in a file, a test system that is the live one, a redirect of a name to a service
// that hands out credentials. They do not stop someone who wants to do harm, who can change the program.
//
// Values of this package may be used by any number of goroutines at once, once made.
package authz

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// Class is what kind of address a target has.
type Class uint8

const (
	Invalid     Class = iota // not an address
	Loopback                 // this machine
	Private                  // RFC 1918
	LinkLocal                // RFC 3927, RFC 4291: this network segment
	UniqueLocal              // RFC 4193: the private addresses of IPv6
	CGNAT                    // RFC 6598: between a provider and its customers; overlay networks use it too
	Metadata                 // answers a machine's credentials in a cloud: never a target
	Unspecified              // 0.0.0.0/8 and ::, which some systems take for this machine
	Multicast                // many machines at once
	Broadcast                // all machines of a segment
	Public                   // everything else: someone's
)

var classNames = [...]string{
	Invalid: "invalid", Loopback: "loopback", Private: "private", LinkLocal: "link-local", UniqueLocal: "unique-local",
	CGNAT: "carrier-grade NAT", Metadata: "cloud metadata", Unspecified: "unspecified", Multicast: "multicast",
	Broadcast: "broadcast", Public: "public",
}

func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "class " + strconv.Itoa(int(c))
}

// Free says whether targets of this class may be loaded without being asked whose they are.
func (c Class) Free() bool {
	switch c {
	case Loopback, Private, LinkLocal, UniqueLocal, CGNAT:
		return true
	default:
		return false
	}
}

// Refused says whether targets of this class may not be loaded, whatever anyone allows.
func (c Class) Refused() bool { return !c.Free() && c != Public }

// metadata are the addresses at which clouds answer their machines, credentials among the answers. Each is the documented
// one of the service named.
var metadata = map[netip.Addr]bool{
	netip.MustParseAddr("169.254.169.254"): true, // AWS, Google, Azure, DigitalOcean, Oracle, OpenStack, ...
	netip.MustParseAddr("169.254.170.2"):   true, // AWS ECS task credentials
	netip.MustParseAddr("169.254.170.23"):  true, // AWS EKS Pod Identity
	netip.MustParseAddr("fd00:ec2::254"):   true, // AWS
	netip.MustParseAddr("fd00:ec2::23"):    true, // AWS EKS Pod Identity
	netip.MustParseAddr("fd20:ce::254"):    true, // Google
	netip.MustParseAddr("fe80::a9fe:a9fe"): true, // OpenStack
	netip.MustParseAddr("100.100.100.200"): true, // Alibaba
	netip.MustParseAddr("192.0.0.192"):     true, // Oracle Classic
	netip.MustParseAddr("168.63.129.16"):   true, // Azure's host
	netip.MustParseAddr("169.254.0.23"):    true, // Tencent
	netip.MustParseAddr("169.254.42.42"):   true, // Scaleway
	netip.MustParseAddr("fd00:42::42"):     true, // Scaleway
}

// metadataNames are the names of the same services, for those whom a proxy resolves.
var metadataNames = map[string]bool{
	"metadata": true, "metadata.google.internal": true, "metadata.goog": true, "instance-data": true,
	"instance-data.ec2.internal": true, "metadata.tencentyun.com": true, "metadata.platformequinix.com": true,
}

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")
	shared      = netip.MustParsePrefix("100.64.0.0/10")
	broadcast   = netip.MustParseAddr("255.255.255.255")
)

// Classify says what kind of address a is. An address of IPv6 that carries one of IPv4 through a translator or a tunnel is
// refused as metadata if what it carries is, in whatever form; it never counts as freer than its own class.
func Classify(a netip.Addr) Class {
	if !a.IsValid() {
		return Invalid
	}
	a = a.WithZone("").Unmap()
	if metadata[a] {
		return Metadata
	}
	for _, v4 := range carried(a) {
		if metadata[v4] {
			return Metadata
		}
	}
	switch {
	case a.IsUnspecified(), thisNetwork.Contains(a):
		return Unspecified
	case a == broadcast:
		return Broadcast
	case a.IsMulticast():
		return Multicast
	case a.IsLoopback():
		return Loopback
	case a.IsLinkLocalUnicast():
		return LinkLocal
	case a.IsPrivate() && a.Is4():
		return Private
	case a.IsPrivate():
		return UniqueLocal
	case shared.Contains(a):
		return CGNAT
	default:
		return Public
	}
}

var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")   // RFC 6052
	nat64Here = netip.MustParsePrefix("64:ff9b:1::/48") // RFC 8215: a translator of one's own
	sixToFour = netip.MustParsePrefix("2002::/16")      // RFC 3056
	teredo    = netip.MustParsePrefix("2001::/32")      // RFC 4380
	compat    = netip.MustParsePrefix("::/96")          // RFC 4291, deprecated
	siit      = netip.MustParsePrefix("::ffff:0:0:0/96")
)

// carried lists the addresses of IPv4 that one of IPv6 may stand for.
func carried(a netip.Addr) []netip.Addr {
	if !a.Is6() {
		return nil
	}
	b := a.As16()
	at := func(i ...int) netip.Addr { return netip.AddrFrom4([4]byte{b[i[0]], b[i[1]], b[i[2]], b[i[3]]}) }
	var out []netip.Addr
	switch {
	case nat64.Contains(a), compat.Contains(a), siit.Contains(a):
		out = append(out, at(12, 13, 14, 15))
	case nat64Here.Contains(a):
		// The prefix of the translator is 48, 56, 64 or 96 bits long; byte 8 is left out of the shorter ones (RFC 6052, 2.2).
		out = append(out, at(6, 7, 9, 10), at(7, 9, 10, 11), at(9, 10, 11, 12), at(12, 13, 14, 15))
	case sixToFour.Contains(a):
		out = append(out, at(2, 3, 4, 5))
	case teredo.Contains(a): // the server, and the client with its bits turned over
		client := binary.BigEndian.AppendUint32(nil, ^binary.BigEndian.Uint32(b[12:]))
		out = append(out, at(4, 5, 6, 7), netip.AddrFrom4([4]byte(client)))
	}
	if b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe { // ISATAP, RFC 5214: below any prefix
		out = append(out, at(12, 13, 14, 15))
	}
	return out
}

// numeric reads the older ways to write an address of IPv4, which resolvers and proxies accept and netip does not: one to
// four numbers, the last of which fills what the others leave, each decimal, octal after 0 or hexadecimal after 0x
// (inet_aton of POSIX). ok is false for everything else.
func numeric(host string) (a netip.Addr, ok bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var v uint64
	for i, p := range parts {
		base := 10
		switch {
		case len(p) > 1 && (p[:2] == "0x" || p[:2] == "0X"):
			base, p = 16, p[2:]
			if p == "" {
				p = "0" // as glibc reads it
			}
		case len(p) > 1 && p[0] == '0':
			base = 8
		}
		n, err := strconv.ParseUint(p, base, 32)
		width := 1
		if i == len(parts)-1 {
			width = 5 - len(parts)
		}
		if err != nil || n >= 1<<(8*width) {
			return netip.Addr{}, false
		}
		v = v<<(8*width) | n
	}
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(v)))), true
}
