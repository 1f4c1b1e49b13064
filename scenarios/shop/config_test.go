package shop

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestParseStall(t *testing.T) {
	got, err := ParseStall(" 10s + 1.5s ")
	if want := (Stall{10 * time.Second, 1500 * ms}); err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for text, want := range map[string]string{
		"10s":      "write 10s+2s",
		"10+2":     "write 10ms or 10s",
		"10s+0s":   "must be above 0",
		"10s+-2s":  "must be above 0",
		"-1s+2s":   "before the first request",
		"10s+48h":  "at most 24h0m0s",
		"x+2s":     "beginning",
		"10s+long": "length",
	} {
		if _, err := ParseStall(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one that says %q", text, err, want)
		}
	}
}

func TestValidateReportsEveryProblem(t *testing.T) {
	c := Config{
		Service: Distribution{Kind: Uniform, A: 2, B: 1}, Servers: -1, Queue: -2, Errors: math.NaN(),
		Stalls: []Stall{{10 * time.Second, 5 * time.Second}, {12 * time.Second, time.Second}, {-1, 1}},
	}
	err := c.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"service time", "servers -1", "queue -2", "errors NaN", "overlap", "before the first request"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %q in: %v", want, err)
		}
	}
	for _, good := range []Config{{}, Demo(), {Errors: 1, Stalls: []Stall{{5, 5}, {0, 5}}}} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
}

func TestCapacity(t *testing.T) {
	near(t, "capacity of 4 servers at 20 ms", Config{Service: Distribution{A: 20 * ms}, Servers: 4}.Capacity(), 200, 1e-9)
	if c := (Config{}).Capacity(); !math.IsInf(c, 1) {
		t.Errorf("capacity without service time: %v, want +Inf", c)
	}
	near(t, "capacity of the demo's target", Demo().Capacity(), 220, 0.001)
}

func TestConfigInWords(t *testing.T) {
	for want, c := range map[string]Config{
		"1 server, each request served for 0s, up to 0 waiting":                                          {},
		"4 servers, each request served for lognormal(18.182ms, 9ms), up to 120 waiting: 220 requests/s": Demo(),
		"64 servers, each request served for 1ms, up to 0 waiting: 64000 requests/s":                     {Service: Distribution{A: ms}, Servers: 64},
		"1 server, each request served for 20ms, up to 5 waiting: 50 requests/s, 1 % of them answered with 500, standing still for 2s after 10s": {
			Service: Distribution{A: 20 * ms}, Queue: 5, Errors: 0.01, Stalls: []Stall{{10 * time.Second, 2 * time.Second}},
		},
	} {
		if got := c.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func FuzzParseStall(f *testing.F) {
	for _, s := range []string{"10s+2s", "0s+1ns", "1h+1h", "+", "1s+1s+1s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseStall(text)
		if err != nil {
			return
		}
		if again, err := ParseStall(s.String()); err != nil || again != s {
			t.Fatalf("%q reads as %v, which reads as %v, %v", text, s, again, err)
		}
	})
}
