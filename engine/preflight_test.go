package engine

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lt/engine/metrics"
	"lt/engine/scenario"
)

// Before a run every host is looked up as the run will, and every origin is connected to once, without a request.
func TestPreflight(t *testing.T) {
	good, secure := serve(t, false, ok), serve(t, true, ok)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	_, port, _ := net.SplitHostPort(gone.Addr().String()) // where nobody listens now
	f := get(once(1), "/", secure.URL+"/", "http://"+gone.Addr().String()+"/", "http://nowhere.example/", "http://forbidden.example/", "http://moved.example:"+port+"/")
	f.Target = good.URL
	for _, st := range f.Scenarios[0].Steps {
		st.HTTP.TLS.Insecure = true // which holds for the run, and so before it
	}
	f.HTTP.Resolve = []scenario.Redial{{Host: "moved.example", Addr: "127.0.0.1"}}
	f.HTTP.ConnectTo = []scenario.Redial{{Host: "forbidden.example", Addr: "10.9.8.7:1"}}
	e := prepare(t, f, nil, &outcome{}, func(c *Config) { c.Lookup = noNames })
	hosts := map[string]Resolved{}
	for _, r := range e.Resolve(t.Context()) {
		hosts[r.Host] = r
	}
	if r := hosts["moved.example"]; r.Via != "127.0.0.1" || !slices.Equal(r.Addrs, []netip.Addr{netip.MustParseAddr("127.0.0.1")}) {
		t.Errorf("moved.example is %+v", r)
	}
	if r, asked := hosts["nowhere.example"]; !asked || len(r.Addrs) > 0 {
		t.Errorf("nowhere.example is %+v", r)
	}
	if len(hosts) != 4 {
		t.Errorf("hosts %v, want four: each once", hosts)
	}
	e.Permit(func(_ string, a netip.Addr) error {
		if !a.IsLoopback() {
			return errors.New("only loopback")
		}
		return nil
	})
	for _, r := range e.Connect(t.Context()) {
		want, says := metrics.NoError, ""
		switch {
		case r.Origin.Host == "nowhere.example":
			want, says = metrics.DNS, "does not resolve"
		case r.Origin.Host == "forbidden.example":
			want, says = metrics.Connect, "only loopback"
		case r.Origin.Host == "moved.example":
			want, says = metrics.Refused, "refused"
		case r.Origin.HostHeader() == gone.Addr().String():
			want, says = metrics.Refused, "refused"
		}
		if r.Class != want || want != metrics.NoError && (r.Err == nil || !strings.Contains(r.Err.Error(), says)) {
			t.Errorf("%v: class %v, %v; want %v that says %q", r.Origin, r.Class, r.Err, want, says)
		}
		if told := want == metrics.DNS || want == metrics.Refused; told != (r.Hint != "") {
			t.Errorf("%v: %v, and what to look at is %q", r.Origin, r.Err, r.Hint)
		}
		if want == metrics.NoError && (r.Err != nil || r.Connect <= 0 || r.Origin.TLS != strings.HasPrefix(r.TLS, "TLS 1.")) {
			t.Errorf("%v: %v after %v, %q", r.Origin, r.Err, r.Connect, r.TLS)
		}
	}
	if good.requests.Load()+secure.requests.Load() > 0 {
		t.Error("a request was sent")
	}
}

// One port of a host may be dialled elsewhere and another not: both places are known before the start.
func TestEachPlaceOfAHostIsResolved(t *testing.T) {
	f := get(once(1), "/", "http://shop.example:81/", "http://shop.example:82/")
	f.Target = "http://shop.example:80"
	f.HTTP.ConnectTo = []scenario.Redial{{Host: "shop.example", Port: "81", Addr: "127.0.0.1:9"}}
	e := prepare(t, f, nil, &outcome{}, func(c *Config) {
		c.Lookup = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("203.0.113.7")}, nil
		}
	})
	var got []string
	for _, r := range e.Resolve(t.Context()) {
		got = append(got, r.Host+" "+r.Via+" "+r.Addrs[0].String())
	}
	slices.Sort(got)
	if want := []string{"shop.example  203.0.113.7", "shop.example 127.0.0.1 127.0.0.1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// What cannot work is said before anything starts, without the secrets that it holds.
func TestConfigurationThatCannotWork(t *testing.T) {
	for says, set := range map[string]func(*scenario.File){
		"source address": func(f *scenario.File) { f.HTTP.SourceIPs = []string{"eth0"} },
		"proxy":          func(f *scenario.File) { f.HTTP.Proxy = "ftp://ann:hunter2@proxy.example" },
		"proxy port":     func(f *scenario.File) { f.HTTP.Proxy = "http://ann:hunter2@proxy.example:99999" },
		"CA":             func(f *scenario.File) { f.Scenarios[0].Steps[0].HTTP.TLS.CA = "missing.pem" },
		"client":         func(f *scenario.File) { f.HTTP.TLS.Cert = "missing.pem" },
		"min_version":    func(f *scenario.File) { f.HTTP.TLS.MinVersion = "3" },
	} {
		f := get(once(1))
		set(f)
		if _, err := engineFor(f, nil, &outcome{}); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", says, err)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("an empty configuration is accepted")
	}
}

// A resolver that never answers holds neither a request longer than its connect timeout nor the end of the run.
func TestResolverThatHangs(t *testing.T) {
	f := get(once(1))
	f.Target = "http://slow.example"
	f.Scenarios[0].Steps[0].HTTP.ConnectTimeout = 100 * time.Millisecond
	o := play(t, f, nil, func(c *Config) {
		c.Lookup = func(ctx context.Context, _ string) ([]netip.Addr, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	if e := o.firstError(); e.Class != metrics.DNS || e.Phase != metrics.PhaseDNS || o.intervals[len(o.intervals)-1].Seq > 1 {
		t.Errorf("%+v after %d seconds", e, len(o.intervals))
	}
}

// An address that does not answer leaves time for the others, as it does in the run.
func TestPreflightTriesEveryAddress(t *testing.T) {
	for _, tc := range []struct {
		answers string // the address that does
		addr    string // what is told of
		late    error  // of those that do not
		says    string
	}{
		{"127.0.0.3:80", "127.0.0.3:80", context.DeadlineExceeded, ""},
		{"", "127.0.0.1:80", context.DeadlineExceeded, "127.0.0.1:80: no answer in time"},
		{"", "127.0.0.1:80", &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}, "127.0.0.1:80: no answer in time"}, // as the system's poller may say it
	} {
		synctest.Test(t, func(t *testing.T) {
			f := get(once(1))
			f.Target = "http://name.example"
			e := prepare(t, f, nil, &outcome{}, func(c *Config) {
				c.Lookup = func(context.Context, string) ([]netip.Addr, error) {
					return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.3")}, nil
				}
				c.Dial = func(ctx context.Context, _, address string) (net.Conn, error) {
					if address == tc.answers && ctx.Err() == nil {
						ours, theirs := net.Pipe()
						theirs.Close()
						return ours, nil
					}
					<-ctx.Done()
					return nil, tc.late
				}
			})
			began := time.Now()
			r := e.Connect(t.Context())[0]
			if (r.Err == nil) != (tc.says == "") || r.Err != nil && (r.Class != metrics.Connect || !strings.HasSuffix(r.Err.Error(), tc.says)) || r.Addr != tc.addr {
				t.Errorf("where %q answers: %s, class %v, %v", tc.answers, r.Addr, r.Class, r.Err)
			}
			if took := time.Since(began); took > f.HTTP.ConnectTimeout {
				t.Errorf("it took %v", took)
			}
		})
	}
}
