package lab

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Modes()
	flag.Parse()
	if err := flag.Set("test.parallel", "5"); err != nil { // most of the time is spent in waiting
		panic(err)
	}
	code := Main(m).Run()
	if code == 0 {
		http.DefaultClient.CloseIdleConnections()
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// history is what a target sees of a plan that two sources carry out without a fault, 100 a second for 3 s.
func history() []Hit {
	var hits []Hit
	for i := range int64(300) {
		due := time.Duration((float64(i) + 0.5) / 100 * float64(time.Second))
		hits = append(hits, Hit{At: 5*time.Second + due + time.Duration(i%3)*time.Millisecond, Source: int(i % 2), Index: i, Attempt: 1, ID: "x"})
	}
	return hits
}

// crowd lets what was due in so long come at its end.
func crowd(d time.Duration) func(h []Hit) []Hit {
	return func(h []Hit) []Hit {
		for i := range h {
			if h[i].At > 7*time.Second-d && h[i].At < 7*time.Second {
				h[i].At = 7 * time.Second
			}
		}
		return h
	}
}

// seen is a wait that a look in time saw, in milliseconds.
func seen(at, long time.Duration) Wait {
	return Wait{From: at*time.Millisecond - look, At: at * time.Millisecond, For: long * time.Millisecond}
}

func reported(requests, dropped, shortfall int64, unreported ...int64) *Summary {
	var s Summary
	s.Totals.Requests, s.Totals.Dropped, s.Totals.Shortfall = requests, dropped, shortfall
	if len(unreported) > 0 {
		s.Totals.Unreported = unreported[0]
	}
	return &s
}

func TestCheck(t *testing.T) {
	plan := Plan{Rate: 100, For: 3 * time.Second}
	for _, c := range []struct {
		name string
		edit func(h []Hit) []Hit
		plan Plan
		says *Summary
		want string // part of a finding; empty: none
	}{
		{"as planned", nil, plan, reported(300, 0, 0), ""},
		{"an index twice", func(h []Hit) []Hit { return append(h, h[7]) }, plan, nil, "index 7, step 0 begun twice"},
		{"beyond the plan", func(h []Hit) []Hit { h[299].Index = 300; return h }, plan, nil, "index 300, but the plan has 300"},
		{"nobody's", func(h []Hit) []Hit { h[0].ID = ""; return h }, plan, nil, "without an identity"},
		{"missing and not declared", func(h []Hit) []Hit { return h[:290] }, plan, reported(290, 0, 0), "10 of 300 arrivals were not seen"},
		{"missing and declared", func(h []Hit) []Hit { return h[:290] }, plan, reported(290, 4, 6), ""},
		{"declared and not missing", nil, plan, reported(300, 0, 9), "0 of 300 arrivals were not seen; 0 are declared as dropped, 9"},
		{"reported too much", nil, plan, reported(301, 0, 0), "saw 300 requests and 301"},
		{"unreported too much", nil, Plan{Rate: 100, For: 3 * time.Second, Unreported: 5}, reported(290, 0, 0, 10), "10 requests are declared as unreported"},
		{"reported too little", nil, plan, reported(299, 0, 0), "saw 300 requests and 299"},
		{"reported too little, as a killed source may", nil, Plan{Rate: 100, For: 3 * time.Second, Unreported: 5}, reported(296, 0, 0, 5), ""},
		{"not silent", nil, Plan{Rate: 100, For: 3 * time.Second, Silent: map[int]time.Duration{1: 7900 * time.Millisecond}}, nil, "source 1 began index 291"},
		{"silent", nil, Plan{Rate: 100, For: 3 * time.Second, Silent: map[int]time.Duration{1: 9 * time.Second}}, nil, ""},
		{"caught up", func(h []Hit) []Hit {
			for i := range h[:200] {
				h[i].At = max(h[i].At, 7*time.Second)
			}
			return h
		}, plan, nil, "caught up"},
		{"too many in a second", crowd(400 * time.Millisecond), plan, nil, "140 arrivals in the second from 7s on; the plan has 100"},
		{"a few too many in a second", crowd(80 * time.Millisecond), plan, nil, "108 arrivals in the second from 7s on; the plan has 100"},
		{"as many as two sources may have", crowd(70 * time.Millisecond), plan, nil, ""},
		{
			"too many in a second, which began as the machine stood still", crowd(400 * time.Millisecond),
			Plan{Rate: 100, For: 3 * time.Second, Stood: []Stop{{At: 7 * time.Second, For: 400 * time.Millisecond}}},
			nil, "",
		},
		{
			"more in a second than a thread waited for a processor", crowd(150 * time.Millisecond),
			Plan{Rate: 100, For: 3 * time.Second, Waited: []Wait{seen(6800, 20), seen(7020, 60)}},
			nil, "115 arrivals in",
		},
		{
			"no more in a second than a thread waited for a processor", crowd(150 * time.Millisecond),
			Plan{Rate: 100, For: 3 * time.Second, Waited: []Wait{seen(6920, 30), seen(7020, 60)}},
			nil, "",
		},
		{
			"no more than it waited, which was looked at late", crowd(150 * time.Millisecond),
			Plan{Rate: 100, For: 3 * time.Second, Waited: []Wait{{From: 6990 * time.Millisecond, At: 7300 * time.Millisecond, For: 90 * time.Millisecond}}},
			nil, "",
		},
		{
			"more in a second, long after a thread waited last but one time", crowd(150 * time.Millisecond),
			Plan{Rate: 100, For: 3 * time.Second, Waited: []Wait{seen(5500, 90), seen(7020, 60)}},
			nil, "115 arrivals in",
		},
		{
			"too many in a second, before a thread waited", crowd(150 * time.Millisecond),
			Plan{Rate: 100, For: 3 * time.Second, Waited: []Wait{seen(7200, 100)}},
			nil, "115 arrivals in",
		},
		{
			"too many in a second, some time after the machine stood still", crowd(400 * time.Millisecond),
			Plan{Rate: 100, For: 3 * time.Second, Stood: []Stop{{At: 6800 * time.Millisecond, For: 400 * time.Millisecond}}},
			nil, "the plan has 100",
		},
		{
			"too many in a second, in which the machine stood still later", crowd(400 * time.Millisecond),
			Plan{Rate: 100, For: 3 * time.Second, Stood: []Stop{{At: 7700 * time.Millisecond, For: 400 * time.Millisecond}}},
			nil, "the plan has 100",
		},
		{"clocks apart", func(h []Hit) []Hit {
			for i := range h {
				h[i].At += time.Duration(h[i].Source) * 150 * time.Millisecond
			}
			return h
		}, plan, nil, "clocks are"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := history()
			if c.edit != nil {
				h = c.edit(h)
			}
			f := Check(h, c.plan, c.says)
			if got := strings.Join(f.Wrong, "\n"); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("%s\nis not what %q wants", got, c.want)
			}
		})
	}
}

func TestTargetRemembers(t *testing.T) {
	s := NewTarget(t, "127.0.0.1:0")
	for _, id := range []string{"lt-00000000000000ff-s2-i17-p1-n1", "lt-00000000000000ff-s0-u3-i1-p0-n2", "something", ""} {
		r, err := http.NewRequest("GET", s.URL+"/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Request-Id", id)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	h := s.Hits()
	if len(h) != 4 {
		t.Fatalf("%d hits", len(h))
	}
	if h[0].Source != 2 || h[0].Index != 17 || h[0].Step != 1 || h[0].Attempt != 1 || h[0].From.String() != "127.0.0.1" || h[0].Path != "/a" {
		t.Errorf("%+v", h[0])
	}
	if h[1].User != 3 || h[1].Index != 1 || h[1].Attempt != 2 || h[1].At < h[0].At {
		t.Errorf("%+v", h[1])
	}
	if h[2].ID != "" || h[3].ID != "" {
		t.Errorf("%+v", h[2:])
	}
}
