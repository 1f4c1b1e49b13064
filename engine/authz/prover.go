package authz

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	// proofTime bounds everything that is asked of one host: a run waits for it.
	proofTime = 5 * time.Second
	// proofSize bounds a file: some hundred tokens with their comments.
	proofSize = 64 << 10
	// proofRedirects bounds the redirects that are followed, all to the same host: from http to https, and to a path.
	proofRedirects = 3
)

// Prover asks hosts for a user's token. It sends one request for ProofPath to each place where the file may be, to the addresses
// that the host was found to have and to no other, and asks the name service for one record. It may be used by any number of
// goroutines at once.
type Prover struct {
	Token string
	Agent string // User-Agent
	// Dial connects to an address, LookupTXT asks for a record, Roots is what certificates are held against; nil: as the system does.
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	LookupTXT func(ctx context.Context, name string) ([]string, error)
	Roots     *x509.CertPool
}

// Ask looks for the token at one host. It takes at most five seconds, less if a place that counts more has it.
func (p *Prover) Ask(ctx context.Context, h Host) Proof {
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	name := fold(h.dialled())
	type look struct {
		where string
		ask   func() (string, error)
		done  chan struct{}
		line  ProofLine
		found string // empty: the token stands there
	}
	var looks []*look
	if len(h.Addrs) > 0 {
		for _, base := range proofBases(h, name) {
			looks = append(looks, &look{where: base + ProofPath, ask: func() (string, error) { return p.file(ctx, base+ProofPath, name, h.Addrs) }})
		}
	}
	if _, err := netip.ParseAddr(name); err != nil && name != "" {
		looks = append(looks, &look{where: ProofRecord + name, ask: func() (string, error) { return p.record(ctx, ProofRecord+name) }})
	}
	for _, l := range looks {
		l.done = make(chan struct{})
		go func() {
			defer close(l.done)
			text, err := l.ask()
			if err != nil {
				l.found = clean(err.Error())
				return
			}
			line, found, err := parseProof(text, p.Token)
			switch {
			case err != nil:
				l.found = err.Error()
			case !found:
				l.found = "it is there, and your token is not in it"
			}
			l.line = line
		}()
	}
	var proof Proof
	for i, l := range looks {
		<-l.done
		proof.Places = append(proof.Places, Place{clean(l.where), l.found})
		if l.found == "" {
			proof.Line, proof.Where = l.line, clean(l.where)
			cancel() // the others no longer count
			for _, rest := range looks[i+1:] {
				<-rest.done
			}
			break
		}
	}
	return proof
}

// proofBases are the origins at which the file may be: those of the run at this host, then the usual ones.
func proofBases(h Host, name string) []string {
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	var out []string
	if h.Via == "" {
		for _, o := range h.Origins[:min(len(h.Origins), 4)] {
			out = append(out, shortOrigin(o))
		}
	}
	for _, base := range []string{"https://" + name, "http://" + name} {
		if !slices.Contains(out, base) {
			out = append(out, base)
		}
	}
	return out
}

// shortOrigin leaves out the port that a scheme has anyway, as clients do: some servers know a name only without it.
func shortOrigin(o string) string {
	scheme, rest, _ := strings.Cut(o, "://")
	rest = strings.ToLower(rest)
	if port := map[string]string{"http": ":80", "https": ":443"}[scheme]; port != "" {
		rest = strings.TrimSuffix(rest, port)
	}
	return scheme + "://" + rest
}

// file fetches a proof. Its errors are halves of sentences behind the URL.
func (p *Prover) file(ctx context.Context, from, name string, addrs []netip.Addr) (string, error) {
	dial := p.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	transport := &http.Transport{
		DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10, TLSClientConfig: &tls.Config{RootCAs: p.Roots},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			var first error
			for _, a := range addrs {
				if c := Classify(a); c.Refused() {
					return nil, fmt.Errorf("%s is a %s address, which is never asked", a, c)
				}
				c, err := dial(ctx, network, net.JoinHostPort(a.Unmap().String(), port))
				if err == nil {
					return c, nil
				}
				if first == nil {
					first = err
				}
			}
			return nil, first
		},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		switch {
		case fold(r.URL.Host) != name || r.URL.Scheme != "http" && r.URL.Scheme != "https":
			return fmt.Errorf("it redirects to %s, and a proof stands on the host itself", clean(r.URL.Scheme+"://"+r.URL.Host))
		case len(via) > proofRedirects:
			return fmt.Errorf("it redirects more than %d times", proofRedirects)
		}
		return nil
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", p.Agent)
	req.Header.Set("Accept", "text/plain")
	resp, err := client.Do(req)
	if err != nil {
		return "", said(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d", resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, proofSize+1))
	switch {
	case err != nil:
		return "", said(ctx, err)
	case len(text) > proofSize:
		return "", fmt.Errorf("it is larger than %d KiB", proofSize>>10)
	}
	return string(text), nil
}

// said is why a fetch went wrong, without the URL that the library puts before it.
func said(ctx context.Context, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("no answer within %s", proofTime)
	case errors.As(err, &host):
		return errors.New("its certificate is for another name; the record needs none")
	case errors.As(err, &unknown):
		return errors.New("its certificate is signed by nobody that is trusted here; the record needs none")
	case errors.As(err, &invalid), errors.As(err, &verify):
		return fmt.Errorf("its certificate is not valid (%w); the record needs none", err)
	}
	return err
}

// record asks for the TXT record; each of several is a line.
func (p *Prover) record(ctx context.Context, name string) (string, error) {
	lookup := p.LookupTXT
	if lookup == nil {
		lookup = net.DefaultResolver.LookupTXT
	}
	texts, err := lookup(ctx, name+".")
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound, err == nil && len(texts) == 0:
		return "", errors.New("there is no such record")
	case ctx.Err() != nil:
		return "", fmt.Errorf("no answer within %s", proofTime)
	case err != nil:
		return "", err
	}
	var b strings.Builder
	for _, t := range texts {
		if b.Len()+len(t) > proofSize {
			return "", fmt.Errorf("the records are larger than %d KiB", proofSize>>10)
		}
		b.WriteString(strings.Trim(strings.TrimSpace(t), `"`)) // some name servers keep the quotes of their forms
		b.WriteByte('\n')
	}
	return b.String(), nil
}
