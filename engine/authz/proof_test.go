package authz

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const token = tokenPrefix + "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func TestProofLines(t *testing.T) {
	day := time.Date(2031, 12, 31, 0, 0, 0, 0, time.UTC)
	other := strings.Replace(token, "0", "f", 1)
	for name, c := range map[string]struct {
		text  string
		want  ProofLine
		found bool
		err   string
	}{
		"nothing":          {},
		"alone":            {text: token, found: true},
		"a file of many":   {text: "\ufeff# tests of the shop\r\n" + other + " max_rate=1\r\n\r\n  " + token + "\tmax_rate=6000/m until=2031-12-30 # ada\r\n", found: true, want: ProofLine{MaxRate: 100, Until: day}},
		"a moment":         {text: token + " until=2031-12-31T02:00:00+02:00", found: true, want: ProofLine{Until: day}},
		"the strictest":    {text: token + " max_rate=9\n" + token + " max_rate=7 until=2031-12-30\n" + token, found: true, want: ProofLine{MaxRate: 7, Until: day}},
		"another's":        {text: other},
		"in a comment":     {text: "# " + token},
		"not at the start": {text: "token: " + token},
		"longer":           {text: token + "00"},
		"unknown option":   {text: token + " max_users=5", found: true, err: `line 1: the option "max_users" is unknown`},
		"no option":        {text: "\n" + token + " please", found: true, err: `line 2: "please" stands behind the token`},
		"a rate of 0":      {text: token + " max_rate=0", found: true, err: "not a rate above 0"},
		"a rate of a day":  {text: token + " max_rate=5/d", found: true, err: "500/s"},
		"no number":        {text: token + " max_rate=NaN", found: true, err: "not a rate"},
		"infinite":         {text: token + " max_rate=Inf", found: true, err: "not a rate"},
		"no date":          {text: token + " until=soon", found: true, err: "2031-12-31"},
		"the zero time":    {text: token + " until=0001-01-01T00:00:00Z", found: true, err: "is not a date"},
		"the day before":   {text: token + " until=0000-12-31", found: true, err: "is not a date"},
		"twice":            {text: token + " max_rate=5 max_rate=50", found: true, err: "twice"},
		"one is wrong":     {text: token + "\n" + token + " x=", found: true, err: "line 2"},
	} {
		got, found, err := parseProof(c.text, token)
		if found != c.found || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: found %v, %v", name, found, err)
		}
		if err == nil && (got.MaxRate != c.want.MaxRate || !got.Until.Equal(c.want.Until)) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if _, found, _ := parseProof("# x\n", "#"); found {
		t.Error("what is no token is found")
	}
}

func FuzzParseProof(f *testing.F) {
	for _, s := range []string{token, token + " max_rate=5/m until=2031-12-31", "# x\n" + token + " until=2031-12-31T18:00:00Z\n" + token + " max_rate=1e-9", "\x00" + token} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		line, found, err := parseProof(text, token)
		if err != nil && !found {
			t.Fatalf("found %v with %v", found, err)
		}
		if found && !strings.Contains(text, token) {
			t.Fatal("found what is not there")
		}
		if err != nil || !found {
			return
		}
		if line.MaxRate < 0 || line.MaxRate != line.MaxRate {
			t.Fatalf("%+v", line)
		}
		again, found, err := parseProof(line.String(), token)
		if !found || err != nil || again.MaxRate != line.MaxRate || !again.Until.Equal(line.Until) {
			t.Fatalf("%+v is written %q and read as %+v, %v", line, line, again, err)
		}
	})
}

// A key is made once, whoever asks at the same time, and is for its user alone.
func TestKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := ReadKey(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%v", err)
	}
	tokens := make([]string, 8)
	var all sync.WaitGroup
	for i := range tokens {
		all.Go(func() {
			var err error
			if tokens[i], err = MakeKey(dir); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, tok := range tokens {
		if tok != tokens[0] || !validToken(tok) {
			t.Errorf("%q, and %q", tok, tokens[0])
		}
	}
	files, _ := os.ReadDir(dir)
	if len(files) != 1 {
		t.Errorf("%v is left", files)
	}
	text, err := os.ReadFile(KeyPath(dir))
	if err != nil || strings.Contains(tokens[0], strings.TrimSpace(string(text))) {
		t.Errorf("the token shows the key: %v", err)
	}
	if runtime.GOOS != "windows" {
		if st, _ := os.Stat(KeyPath(dir)); st.Mode().Perm() != 0o600 {
			t.Errorf("mode %v", st.Mode())
		}
		os.Chmod(KeyPath(dir), 0o640)
		if _, err := ReadKey(dir); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("%v", err)
		}
		os.Chmod(KeyPath(dir), 0o600)
	}
	os.WriteFile(KeyPath(dir), []byte("short\n"), 0o600)
	if _, err := MakeKey(dir); err == nil || !strings.Contains(err.Error(), "not a key") {
		t.Errorf("%v", err)
	}
}

// prover asks servers of ours in place of the public addresses; dials maps an address to one of them.
func prover(dials map[string]string, txt func(name string) ([]string, error)) *Prover {
	return &Prover{
		Token: token, Agent: "lt/test",
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			to, ok := dials[address]
			if !ok {
				return nil, fmt.Errorf("dial %s: connection refused", address)
			}
			return (&net.Dialer{}).DialContext(ctx, network, to)
		},
		LookupTXT: func(_ context.Context, name string) ([]string, error) { return txt(name) },
	}
}

func noRecord(name string) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestProofsAreFound(t *testing.T) {
	good := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != ProofPath || r.Header.Get("User-Agent") != "lt/test" || r.Method != http.MethodGet {
			t.Errorf("%s %s by %s", r.Method, r.URL, r.UserAgent())
		}
		fmt.Fprintln(w, token)
	})
	answer := func(status int, body string) string {
		return serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		})
	}
	redirect := func(to string) string {
		return serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) })
	}
	moved := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			fmt.Fprintln(w, token)
			return
		}
		http.Redirect(w, r, "/moved", http.StatusMovedPermanently)
	})
	has := func(texts ...string) func(string) ([]string, error) {
		return func(name string) ([]string, error) {
			if name != "_lt.shop.example." {
				t.Errorf("the record %q was asked for", name)
			}
			return texts, nil
		}
	}
	const public = "203.0.113.7"
	shop := at("Shop.example.", public)
	own := shop
	own.Origins = []string{"http://shop.example:8080"}
	elsewhere := via("shop.example", "edge.example", public)
	elsewhere.Origins = own.Origins
	for name, c := range map[string]struct {
		host  Host
		dials map[string]string
		txt   func(string) ([]string, error)
		where string // empty: nowhere
		said  string // words of Missing, in order
	}{
		"at the run's origin":     {own, map[string]string{public + ":8080": good}, noRecord, "http://shop.example:8080" + ProofPath, ""},
		"at the usual port":       {own, map[string]string{public + ":80": good}, noRecord, "http://shop.example" + ProofPath, ""},
		"in the record":           {shop, nil, has("v=spf1", token+" max_rate=5"), "_lt.shop.example", ""},
		"in a record with quotes": {shop, nil, has(`"` + token + `"`), "_lt.shop.example", ""},
		"by a redirect":           {shop, map[string]string{public + ":80": moved}, noRecord, "http://shop.example" + ProofPath, ""},
		"where it is dialled":     {elsewhere, map[string]string{public + ":80": good, public + ":8080": good}, noRecord, "http://edge.example" + ProofPath, ""},
		"at an address":           {at("2001:db8::5", "2001:db8::5"), map[string]string{"[2001:db8::5]:80": good}, nil, "http://[2001:db8::5]" + ProofPath, ""},
		"at the second address":   {at("shop.example", "203.0.113.9", public), map[string]string{public + ":80": good}, noRecord, "http://shop.example" + ProofPath, ""},
		"no address":              {Host{Name: "shop.example"}, map[string]string{public + ":80": good}, noRecord, "", "_lt.shop.example: there is no such record"},
		"nowhere":                 {shop, nil, noRecord, "", "https://shop.example/.well-known/lt-authorization.txt: refused; http://shop.example/.well-known refused; _lt.shop.example: there is no such record"},
		"not found":               {shop, map[string]string{public + ":80": answer(404, token)}, noRecord, "", "status 404"},
		"a page":                  {shop, map[string]string{public + ":80": answer(200, "<html>"+token)}, noRecord, "", "not in it"},
		"too large":               {shop, map[string]string{public + ":80": answer(200, token+"\n"+strings.Repeat("#\n", 40<<10))}, noRecord, "", "larger than 64 KiB"},
		"to another host":         {shop, map[string]string{public + ":80": redirect("http://evil.example/")}, noRecord, "", "redirects to http://evil.example"},
		"to another scheme":       {shop, map[string]string{public + ":80": redirect("ftp://shop.example/")}, noRecord, "", "redirects to ftp://shop.example"},
		"round and round":         {shop, map[string]string{public + ":80": redirect("/x")}, noRecord, "", "more than 3 times"},
		"servers that fail":       {shop, nil, func(string) ([]string, error) { return nil, errors.New("server misbehaving\x1b[2J") }, "", "server misbehaving[2J"},
		"a wrong option":          {shop, nil, has(token + " x=1"), "", `the option "x" is unknown`},
	} {
		t.Run(name, func(t *testing.T) {
			p := prover(c.dials, c.txt)
			got := p.Ask(t.Context(), c.host)
			if got.Where != c.where || got.Stands() != (c.where != "") || got.Stands() && got.Line.Token != token {
				t.Errorf("%+v", got)
			}
			if c.where != "" {
				return
			}
			text := got.Missing()
			for w := range strings.FieldsSeq(c.said) {
				_, after, found := strings.Cut(text, w)
				if !found {
					t.Fatalf("%q lacks %q of %q", got.Missing(), w, c.said)
				}
				text = after
			}
		})
	}
}

func TestAWrongCertificateIsSaidPlainly(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, token) }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	dials := map[string]string{"203.0.113.7:443": s.Listener.Addr().String()}
	p := prover(dials, noRecord)
	if got := p.Ask(t.Context(), at("example.com", "203.0.113.7")); got.Stands() || !strings.Contains(got.Missing(), "signed by nobody that is trusted here; the record needs none") {
		t.Errorf("%+v", got)
	}
	p.Roots = x509.NewCertPool()
	p.Roots.AddCert(s.Certificate())
	if got := p.Ask(t.Context(), at("shop.example", "203.0.113.7")); got.Stands() || !strings.Contains(got.Missing(), "for another name") {
		t.Errorf("%+v", got)
	}
	if got := p.Ask(t.Context(), at("example.com", "203.0.113.7")); got.Where != "https://example.com"+ProofPath {
		t.Errorf("%+v", got)
	}
}

// What is never loaded is never asked either, and a host that says nothing is left after the bound.
func TestProofsAreBounded(t *testing.T) {
	var asked atomic.Int64
	p := prover(nil, noRecord)
	p.Dial = func(context.Context, string, string) (net.Conn, error) {
		asked.Add(1)
		return nil, errors.New("no")
	}
	if got := p.Ask(t.Context(), Host{Name: "x.example", Addrs: []netip.Addr{netip.MustParseAddr("169.254.169.254")}}); asked.Load() != 0 || got.Stands() {
		t.Errorf("asked %d times: %+v", asked.Load(), got)
	}
	p.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got := p.Ask(ctx, at("shop.example", "203.0.113.7")); got.Stands() || !strings.Contains(got.Missing(), "no answer within") {
		t.Errorf("%+v", got)
	}
}

// The rate and the end of a proof bind the run, and what is raised by hand.
func TestProofsBind(t *testing.T) {
	shop, img := at("shop.example", "203.0.113.7"), at("img.example", "203.0.113.8")
	end := noon.Add(time.Hour)
	proofs := map[string]Proof{
		"shop.example": {Where: "here", Line: ProofLine{Token: token, MaxRate: 500, Until: end}},
		"img.example":  {Where: "there", Line: ProofLine{Token: token, MaxRate: 200}},
	}
	var asked []string
	ask := func(h Host) Proof { asked = append(asked, h.Name); return proofs[h.Name] }
	b, err := Decide(Request{Hosts: []Host{shop, img, at("localhost", "::1")}, PeakArrivals: 150, Peers: 2, Now: noon, Duration: time.Hour, Prove: ask})
	if err != nil {
		t.Fatal(err)
	}
	want := "loopback address; proof of ownership at here, at most 500 arrivals/s, until 2026-05-04T13:00:00Z, proof of ownership at there, at most 200 arrivals/s"
	if b.Text != want || b.MaxRate != 200 || !b.Until.Equal(end) || len(asked) != 2 {
		t.Errorf("%+v, asked %q", b, asked)
	}
	if err := b.AllowRate(200, 0); err != nil {
		t.Error(err)
	}
	if err := b.AllowRate(201, 0); err == nil || !strings.Contains(err.Error(), "proof of ownership allows") {
		t.Error(err)
	}
	if b.Allow("shop.example", netip.MustParseAddr("203.0.113.99")) != nil || b.Allow("other.example", netip.MustParseAddr("203.0.113.99")) == nil {
		t.Error("the basis covers other hosts than those proven")
	}
	for name, c := range map[string]struct {
		r    Request
		want string
	}{
		"too fast":       {Request{PeakArrivals: 501}, "allows at most 500 arrivals/s, and this run goes up to 501"},
		"too long":       {Request{PeakArrivals: 100, Duration: time.Hour + 1}, "before this run of 1h0m0.000000001s would"},
		"users":          {Request{Users: 100}, "has no rate that could be held to it"},
		"too late":       {Request{PeakArrivals: 100, Now: end}, "ended 2026-05-04T13:00:00Z"},
		"the other one":  {Request{PeakArrivals: 300, Hosts: []Host{img}}, "at most 200 arrivals/s"},
		"one has no key": {Request{PeakArrivals: 100, Hosts: []Host{shop, at("x.example", "203.0.113.9")}}, "x.example (203.0.113.9) is a public address"},
	} {
		if c.r.Hosts == nil {
			c.r.Hosts = []Host{shop}
		}
		if c.r.Now.IsZero() {
			c.r.Now = noon
		}
		c.r.Prove = ask
		if _, err := Decide(c.r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	// Nobody is asked where the answer counts for nothing.
	asked = nil
	for _, r := range []Request{
		{Hosts: []Host{shop}, PeakArrivals: 50},
		{Hosts: []Host{at("localhost", "::1")}, PeakArrivals: 900, Peers: 3},
		{Hosts: []Host{shop}, PeakArrivals: 900, Authorize: []string{"shop.example"}},
	} {
		r.Now, r.Prove = noon, ask
		if _, err := Decide(r); err != nil || len(asked) != 0 {
			t.Errorf("%v, asked %q", err, asked)
		}
	}
	// Whose machine demands it gets it, whatever else is said.
	r := Request{Hosts: []Host{at("x.example", "203.0.113.9")}, PeakArrivals: 1, Authorize: []string{"x.example"}, Now: noon, Prove: ask, RequireProof: true}
	if _, err := Decide(r); err == nil || !strings.Contains(err.Error(), "require_proof") {
		t.Error(err)
	}
	r.Hosts, r.Authorize = []Host{shop}, nil
	if b, err := Decide(r); err != nil || b.MaxRate != 500 {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestAClaimDecidesAsItsRequestDid(t *testing.T) {
	c := Claim{Block: &Block{Owner: "o", Ticket: "t", Until: noon.Add(time.Hour)}, Typed: []string{"Shop.Example."}, Peers: 2, Peak: 400, Duration: time.Minute}
	b, err := Decide(c.Request([]Host{at("shop.example", "203.0.113.7")}, noon))
	if err != nil || !strings.Contains(b.Text, "host typed (shop.example)") || !b.Until.Equal(noon.Add(time.Hour)) {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := Decide(c.Request([]Host{at("img.example", "203.0.113.7")}, noon)); err == nil {
		t.Error("a host whose name nobody typed is allowed")
	}
	c.Authorize = []string{"img.example"}
	if _, err := Decide(c.Request([]Host{at("img.example", "203.0.113.7")}, noon)); err != nil {
		t.Error(err)
	}
}
