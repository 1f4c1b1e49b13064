package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lt/engine"
	"lt/engine/authz"
	"lt/engine/journey"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
	"lt/peer/wire"
)

// engineOf makes an engine for a target whose names have the given addresses.
func engineOf(t *testing.T, q scenario.Quick, addrs ...string) (*scenario.File, *journey.Program, *engine.Engine) {
	t.Helper()
	file, program := compiled(t, q)
	var lease load.Lease
	e, err := engine.New(engine.Config{
		File: file, Program: program, Log: load.NewLog(&file.Load), Lease: &lease, Name: "local",
		Lookup: func(context.Context, string) (found []netip.Addr, err error) {
			for _, a := range addrs {
				found = append(found, netip.MustParseAddr(a))
			}
			return found, nil
		},
		OnInterval: func(*metrics.Interval) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	return file, program, e
}

// compiled is a quick run's file, compiled.
func compiled(t *testing.T, q scenario.Quick) (*scenario.File, *journey.Program) {
	t.Helper()
	file, err := q.File(scenario.Env{})
	if err != nil {
		t.Fatal(err)
	}
	program, err := journey.Compile(file, "lt/test")
	if err != nil {
		t.Fatal(err)
	}
	return file, program
}

// permitOf asks about a run against shop.example, which resolves to a public address; its proof is served by a server of ours.
func permitOf(t *testing.T, q scenario.Quick, proof string) (*Permit, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path != authz.ProofPath || r.Host != "shop.example" {
			t.Errorf("asked for %s at %s", r.URL, r.Host)
		}
		fmt.Fprint(w, proof)
	}))
	t.Cleanup(s.Close)
	q.URL = "http://shop.example/"
	file, program, e := engineOf(t, q, "203.0.113.7")
	return &Permit{
		File: file, Program: program, Engine: e, Claim: NewClaim(file, 2), Agent: "lt/test",
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "203.0.113.7:80" {
				return nil, errors.New("nothing listens")
			}
			return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
		},
		LookupTXT: func(_ context.Context, name string) ([]string, error) {
			return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
		},
		Now: func() time.Time { return time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC) },
	}, &asked
}

const token = "lt1-00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// Every source decides by the same rules: what the proof says binds, and the owner's policy comes on top.
func TestPermit(t *testing.T) {
	for name, c := range map[string]struct {
		proof string
		ask   func(p *Permit)
		want  string // words of the basis, or of the error after !
		asked bool
	}{
		"no key":             {proof: token, ask: func(p *Permit) { p.Claim.Key = "" }, want: "!2 further source(s)|lt prove shop.example|nothing was sent"},
		"a proof":            {proof: "# ours\n" + token + " max_rate=500 until=2026-05-04\n", want: "proof of ownership at http://shop.example/.well-known/lt-authorization.txt, at most 500 arrivals/s, until 2026-05-04", asked: true},
		"a rate too low":     {proof: token + " max_rate=99", want: "!allows at most 99 arrivals/s, and this run goes up to 100|but the question for the proof", asked: true},
		"it ended":           {proof: token + " until=2026-05-03", want: "!ended 2026-05-03", asked: true},
		"it ends meanwhile":  {proof: token + " until=2026-05-04T12:00:10Z", want: "!before this run of 1m0s would", asked: true},
		"not the token":      {proof: strings.Replace(token, "0", "1", 1), want: "!your token is not in it|there is no such record", asked: true},
		"a line of nonsense": {proof: token + " all=yes", want: "!line 1: the option \"all\" is unknown", asked: true},
		"named":              {proof: token, ask: func(p *Permit) { p.Claim.Authorize = []string{"shop.example"} }, want: "--authorize shop.example"},
		"typed before":       {proof: "-", ask: func(p *Permit) { block(p); p.Claim.Typed = []string{"Shop.example"} }, want: "host typed (shop.example)", asked: true},
		"not typed":          {proof: "-", ask: block, want: "!no terminal to ask on", asked: true},
		"the policy demands a proof": {proof: "-", ask: func(p *Permit) {
			p.Claim.Authorize, p.Policy = []string{"shop.example"}, &wire.Policy{RequireProof: true}
		}, want: "!require_proof|lt prove shop.example", asked: true},
		"the policy demands a proof, and there is one": {proof: token, ask: func(p *Permit) { p.Policy = &wire.Policy{RequireProof: true} }, want: "proof of ownership", asked: true},
		"the policy has other targets":                 {proof: token, ask: func(p *Permit) { p.Policy = &wire.Policy{Targets: []string{"10.0.0.0/8"}} }, want: "!shop.example (203.0.113.7) is not among the targets"},
		"a peer that joined a run of one machine": {proof: "-", ask: func(p *Permit) {
			p.Claim.Peers, p.Remote, p.File.Load.Profile.Stages[0].At, p.Claim.Peak = 0, true, 5, 5
		}, want: "!1 further source(s)", asked: true},
		"one machine within the free limits":   {proof: "-", ask: func(p *Permit) { p.Claim.Peers, p.File.Load.Profile.Stages[0].At, p.Claim.Peak = 0, 5, 5 }, want: "free limits"},
		"a claim that says less than the file": {proof: token + " max_rate=99", ask: func(p *Permit) { p.Claim.Peak = 1 }, want: "!goes up to 100", asked: true},
	} {
		t.Run(name, func(t *testing.T) {
			p, asked := permitOf(t, scenario.Quick{Rate: "100", Duration: "1m"}, c.proof)
			p.Claim.Key = token
			if c.ask != nil {
				c.ask(p)
			}
			got, err := p.Ask(t.Context())
			text := got.Basis.Text
			if err != nil {
				text = "!" + err.Error()
			}
			if (err != nil) != strings.HasPrefix(c.want, "!") {
				t.Fatalf("%s", text)
			}
			for _, w := range strings.Split(strings.TrimPrefix(c.want, "!"), "|") {
				if !strings.Contains(text, w) {
					t.Errorf("%s\nlacks %q", text, w)
				}
			}
			if (asked.Load() > 0) != c.asked {
				t.Errorf("the target was asked %d times", asked.Load())
			}
		})
	}
}

func block(p *Permit) {
	p.Claim.Block = &authz.Block{Owner: "Ada", Ticket: "CHG-1", Until: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
}

// A proxy is dialled like a target: an address that is never loaded is refused before the start, not when it is too late.
func TestAProxyIsClassedToo(t *testing.T) {
	for proxy, says := range map[string]string{
		"http://169.254.169.254:80": "cloud metadata", "http://2852039166:80": "cloud metadata", "http://[64:ff9b::a9fe:a9fe]": "cloud metadata",
		"http://metadata.google.internal": "cloud metadata", "http://0.0.0.0:3128": "unspecified", "http://203.0.113.9:3128": "", "http://127.0.0.1:3128": "", "http://proxy.example": "",
	} {
		p, _ := permitOf(t, scenario.Quick{Rate: "1", Proxy: proxy}, "")
		p.Claim.Peers = 0
		_, err := p.Ask(t.Context())
		var refusal *authz.Refusal
		if says == "" && err != nil || says != "" && (!errors.As(err, &refusal) || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", proxy, err, says)
		}
	}
}

// A proxy counts by the addresses that its name has, before anything is sent to it.
func TestAProxyIsClassedByItsAddresses(t *testing.T) {
	for addr, refused := range map[string]bool{"169.254.169.254": true, "fd00:ec2::254": true, "10.0.0.1": false, "203.0.113.9": false} {
		q := scenario.Quick{URL: "http://127.0.0.1/", Rate: "1", Proxy: "http://proxy.example:3128"}
		file, program, e := engineOf(t, q, "10.0.0.2", addr)
		p := Permit{File: file, Program: program, Engine: e, Claim: NewClaim(file, 0)}
		_, err := p.Ask(t.Context())
		var refusal *authz.Refusal
		if errors.As(err, &refusal) != refused || refused && !strings.Contains(err.Error(), "proxy.example ("+addr+") is a cloud metadata service") {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// What was permitted is asked again about every address, and the policy as well.
func TestPermissionHoldsForLaterAddresses(t *testing.T) {
	p, _ := permitOf(t, scenario.Quick{Rate: "100", Duration: "1m"}, token)
	p.Claim.Key, p.Policy = token, &wire.Policy{Deny: []string{"203.0.113.8"}}
	got, err := p.Ask(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{"203.0.113.9": "", "203.0.113.8": "denied by", "169.254.169.254": "metadata"} {
		if err := got.Allow("shop.example", netip.MustParseAddr(addr)); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", addr, err, want)
		}
	}
	if got.Loopback || got.Basis.MaxRate != 0 || got.Basis.AllowRate(1e6, 0) != nil {
		t.Errorf("%+v", got)
	}
}
