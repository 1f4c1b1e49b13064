package boot

import (
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"fmt"
	"strings"
)

// script is what runs on the peer, in any POSIX sh. The nonce sets its lines apart from what else is printed; the table has a
// line `'Linux x86_64')h=HASH;m=KILOBYTES;;` for each program that is offered.
//
// What may look odd in it:
//   - Every directory is ours, no symlink, and closed to others before anything in it is run: /tmp/lt-UID can be made by anybody
//     who knows the number, and changed between a check and the start.
//   - The test program finds noexec and read-only file systems, which no test of modes does.
//   - After the program's bytes the client sends nothing until the agent has introduced itself, so that what head reads ahead
//     is lost to nobody; the line before them is read by the shell itself, byte by byte.
//   - A program is replaced by mv alone, and touched only if it is there: others may be starting from it at the same time.
//   - The names of temporary files hold the nonce: a home that several hosts share has equal process numbers.
//
//go:embed script.sh
var script string

// maxCommand bounds the command line for ssh, in bytes: small ssh servers take no more than 9,000.
const maxCommand = 8 << 10

// Offer is what one connection may bring to a peer: the programs and a nonce. Make one with NewOffer for each connection.
type Offer struct {
	binaries *Binaries
	nonce    string
	// Waiting reports whether somebody is being asked something, which stops the clock; nil: never.
	Waiting func() bool
}

// NewOffer is an offer of all programs that were found; nil offers none, to an agent that is there already.
func NewOffer(b *Binaries) *Offer {
	if b == nil {
		b = &Binaries{}
	}
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	return &Offer{binaries: b, nonce: hex.EncodeToString(nonce[:])}
}

// Script is what a launcher gives to sh -c, as one argument.
func (o *Offer) Script() string {
	var table strings.Builder
	for i, p := range o.binaries.programs {
		if i > 0 {
			table.WriteByte('\n')
		}
		for j, name := range uname(p.OS, p.Arch) {
			if j > 0 {
				table.WriteByte('|')
			}
			// The quotes let a pattern have a space; the star of arm stands outside of them.
			stem, star := strings.CutSuffix(name, "*")
			fmt.Fprintf(&table, "'%s'", stem)
			if star {
				table.WriteByte('*')
			}
		}
		fmt.Fprintf(&table, ")h=%s;m=%d;;", p.SHA256, p.Size>>10+1)
	}
	return strings.NewReplacer("@NONCE@", o.nonce, "@TABLE@\n", table.String()+"\n").Replace(strings.TrimSuffix(script, "\n"))
}

// Command is the script as one line that every login shell takes for the same thing. Inside single quotes only few characters
// mean something to bash, zsh, dash, ksh, fish, csh or tcsh; those, and all that the inner shells could mistake, travel as octal.
func (o *Offer) Command() string { return oneLine(o.Script()) }

func oneLine(script string) string {
	var b strings.Builder
	b.WriteString(`exec /bin/sh -c 'eval "$(printf "`)
	for i := 0; i < len(script); i++ {
		c := script[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte(" ./,:=+-_@", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\%03o`, c)
		}
	}
	b.WriteString(`")"'`)
	return b.String()
}

// uname are the patterns for what `uname -s; uname -m` prints on a system of Go's names.
func uname(goos, goarch string) []string {
	system := map[string]string{"linux": "Linux", "darwin": "Darwin"}[goos]
	machines := map[string][]string{
		"amd64": {"x86_64", "amd64"}, "arm64": {"aarch64", "arm64", "armv8*"}, "arm": {"armv6*", "armv7*"}, "386": {"i386", "i586", "i686"},
		"riscv64": {"riscv64"}, "ppc64le": {"ppc64le"}, "s390x": {"s390x"}, "loong64": {"loongarch64"},
	}[goarch]
	if system == "" {
		return nil
	}
	out := make([]string, 0, len(machines))
	for _, m := range machines {
		out = append(out, system+" "+m)
	}
	return out
}

// known are the systems that a peer can be, in Go's names.
var known = [][2]string{
	{"linux", "amd64"},
	{"linux", "arm64"},
	{"linux", "arm"},
	{"linux", "386"},
	{"linux", "riscv64"},
	{"linux", "ppc64le"},
	{"linux", "s390x"},
	{"linux", "loong64"},
	{"darwin", "amd64"},
	{"darwin", "arm64"},
}

// system are Go's names for what uname printed; false: it is none that lt runs on.
func system(printed string) (goos, goarch string, ok bool) {
	for _, k := range known {
		for _, name := range uname(k[0], k[1]) {
			stem, star := strings.CutSuffix(name, "*")
			if printed == name || star && strings.HasPrefix(printed, stem) {
				return k[0], k[1], true
			}
		}
	}
	return "", "", false
}
