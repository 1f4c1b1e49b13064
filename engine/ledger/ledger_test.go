package ledger_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"lt/engine/ledger"
	"lt/engine/ledger/ledgertest"
	"lt/engine/metrics"
	"lt/engine/slo"
)

func TestTotalsLeaveOutWarmupAndSetup(t *testing.T) {
	l := ledgertest.Ledger(t, ledgertest.Options{Perfect: true})
	s := l.Snapshot()
	if want := uint64(25 * 50); s.Totals.Requests != want {
		t.Errorf("%d requests, want %d: 25 s of 50 without warm-up and without the login", s.Totals.Requests, want)
	}
	if s.Totals.GoodputRPS != 50 || s.Totals.OfferedRPS != 50 || s.Totals.Counted != 25*time.Second {
		t.Errorf("goodput %v, offered %v over %v, want 50, 50 over 25 s", s.Totals.GoodputRPS, s.Totals.OfferedRPS, s.Totals.Counted)
	}
	if got := len(s.Stages); got != 2 {
		t.Errorf("%d stages, want 2", got)
	}
	if complete, _, reasons := l.Data(); !complete {
		t.Errorf("data incomplete: %v", reasons)
	}
	points := l.Points()
	if len(points) != 1 || points[0].Offered != 50 || points[0].From != 7*time.Second {
		t.Errorf("points %+v, want one from 7 s on at 50/s", points)
	}
	if got := s.Sources[0].State; got != "done" {
		t.Errorf("the source is %s after its last word, want done", got)
	}
}

func TestPauseIsLeftOut(t *testing.T) {
	l := ledgertest.Ledger(t, ledgertest.Options{Perfect: true, Pause: true, SLO: []string{"rate > 49", "rate > 49 over 3s"}})
	s := l.Snapshot()
	if s.Totals.Counted != 22*time.Second || s.Totals.GoodputRPS != 50 {
		t.Errorf("goodput %v over %v, want 50 over 22 s", s.Totals.GoodputRPS, s.Totals.Counted)
	}
	for _, r := range l.SLOs() {
		if !r.Known || !r.OK {
			t.Errorf("%s: %+v, want it to hold: a pause is nobody's failure", r.Expr, r)
		}
	}
	if points := l.Points(); len(points) != 2 || points[1].From != 17*time.Second {
		t.Errorf("points %+v, want one before and one after the pause", points)
	}
}

func TestSLOs(t *testing.T) {
	for _, tt := range []struct {
		slo  string
		want ledger.Judged
	}{
		{"p99 < 1s", ledger.Pass},
		{"p99 < 1ms", ledger.Fail},
		{"errors < 1%", ledger.Fail}, // 4 % are status 500
		{"errors < 20% over 10s, stop", ledger.Pass},
		{"buyer: p95 < 1s", ledger.Pass},
		{"p50 < 1s over 10m", ledger.Fail}, // no window was ever full: nothing is known
	} {
		l := ledgertest.Ledger(t, ledgertest.Options{SLO: []string{tt.slo}})
		if got := l.Judged(); got != tt.want {
			t.Errorf("%s: %s, want %s: %+v", tt.slo, got, tt.want, l.SLOs())
		}
	}
	if got := ledgertest.Ledger(t, ledgertest.Options{}).Judged(); got != ledger.None {
		t.Errorf("without an SLO: %s", got)
	}
}

func TestStopEndsARunThatFails(t *testing.T) {
	h, items := ledgertest.Run(ledgertest.Options{Dead: true, SLO: []string{"errors < 20% over 10s, stop"}})
	l, err := ledger.New(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		l.Add(it)
		if r := l.SLOs()[0]; r.Ends {
			if l.Now() < 15*time.Second || l.Now() > 16*time.Second {
				t.Errorf("it wants to end the run at %v, want 15 s: warm-up and one full window", l.Now())
			}
			return
		}
	}
	t.Error("a target that refuses everything did not end the run")
}

func TestAskingChangesNothing(t *testing.T) {
	o := ledgertest.Options{SLO: []string{"p99 < 60ms over 5s", "errors < 10%"}, Sources: []string{"local", "ada"}, Pause: true, Dropped: 1}
	h, items := ledgertest.Run(o)
	asked, _ := ledger.New(h)
	quiet, _ := ledger.New(h)
	for _, it := range items {
		asked.Add(it)
		asked.Snapshot()
		asked.SLOs()
		asked.Points()
		quiet.Add(it)
	}
	same := []cmp.Option{cmpopts.EquateNaNs(), cmpopts.IgnoreUnexported(metrics.Snapshot{})}
	if d := cmp.Diff(quiet.Snapshot(), asked.Snapshot(), same...); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(quiet.Points(), asked.Points()); d != "" {
		t.Error(d)
	}
	// Since is when a failure was first seen, and a failure of the whole run is seen when someone looks.
	if d := cmp.Diff(quiet.SLOs(), asked.SLOs(), cmpopts.IgnoreFields(quiet.SLOs()[0], "Since")); d != "" {
		t.Error(d)
	}
}

func TestMissingTimeIsOwed(t *testing.T) {
	l := ledgertest.Ledger(t, ledgertest.Options{Sources: []string{"local", "ada"}, Missing: true})
	complete, unreported, reasons := l.Data()
	if complete || len(reasons) != 1 || !strings.Contains(reasons[0], "ada") {
		t.Fatalf("complete %v, reasons %q, want one about ada", complete, reasons)
	}
	if unreported < 45 || unreported > 55 {
		t.Errorf("about %d requests unreported, want about 50: two seconds of 25", unreported)
	}
	l = ledgertest.Ledger(t, ledgertest.Options{NoEnd: true})
	if complete, _, reasons := l.Data(); complete {
		t.Error("a record without an end is complete")
	} else if !strings.Contains(strings.Join(reasons, " "), "no end") {
		t.Errorf("reasons %q", reasons)
	}
}

func TestNothingIsKeptOfAnInterval(t *testing.T) {
	h, items := ledgertest.Run(ledgertest.Options{})
	kept, _ := ledger.New(h)
	released, _ := ledger.New(h)
	var pages metrics.Pages
	for _, it := range items {
		kept.Add(it)
	}
	for _, it := range items {
		released.Add(it)
		if iv, ok := it.(*metrics.Interval); ok {
			iv.Release(&pages)
			clear(iv.Records)
			clear(iv.Errors)
		}
	}
	if d := cmp.Diff(kept.Snapshot(), released.Snapshot(), cmpopts.EquateNaNs()); d != "" {
		t.Error(d)
	}
}

func TestHeaderIsBounded(t *testing.T) {
	for name, change := range map[string]func(*ledger.Header){
		"schema": func(h *ledger.Header) { h.Schema = "lt.run/9" },
		"id":     func(h *ledger.Header) { h.ID = "" },
		"escape": func(h *ledger.Header) { h.ID = "a\x1b[2J" },
		"slo":    func(h *ledger.Header) { h.SLO = []string{"p99 ! 3"} },
		"stages": func(h *ledger.Header) { h.Stages = make([]ledger.Stage, 40_000) },
		"length": func(h *ledger.Header) { h.Stages[0].For = -1 },
	} {
		h, _ := ledgertest.Run(ledgertest.Options{})
		change(&h)
		if _, err := ledger.New(h); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Neither a run that repeats itself nor a record made by someone else takes more than a bounded amount of memory.
func TestWhatIsKeptIsBounded(t *testing.T) {
	const more = 4100 // sources, of which 4096 are kept
	text := strings.Repeat("é", 3000)
	for name, c := range map[string]struct {
		n    int
		item func(i int) ledger.Item
	}{
		"events":    {10_100, func(int) ledger.Item { return &ledger.Event{Text: text} }},
		"intervals": {more, func(i int) ledger.Item { return &metrics.Interval{Source: fmt.Sprint(i), Length: time.Second} }},
		"states": {more, func(i int) ledger.Item {
			return &ledger.SourceState{Source: ledger.Source{Name: fmt.Sprint(i), Reason: text}}
		}},
	} {
		h, _ := ledgertest.Run(ledgertest.Options{})
		l, err := ledger.New(h)
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.n {
			l.Add(c.item(i))
		}
		events, sources := l.Events(), l.Snapshot().Sources
		if n := len(sources); n > 4097 { // and local, which the header names
			t.Errorf("%s: %d sources", name, n)
		}
		if name != "events" {
			continue
		}
		if last := events[len(events)-1].Text; len(events) != 10_000 || !strings.Contains(last, "more than 10000 events") {
			t.Errorf("%d events, the last %q", len(events), last)
		}
		if got := events[10].Text; len(got) > 5000 || !utf8.ValidString(got) {
			t.Errorf("an event of %d bytes", len(got))
		}
	}
}

// What claims to end after the longest run is of no run.
func TestIntervalsOfNoRun(t *testing.T) {
	h, _ := ledgertest.Run(ledgertest.Options{})
	l, err := ledger.New(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, iv := range []*metrics.Interval{{From: 1000 * time.Hour, Length: 1000 * time.Hour}, {From: -1}, {Length: -1}, {From: 1 << 62}} {
		if l.Add(iv); l.Now() != 0 {
			t.Errorf("from %v, %v long: the run goes on to %v", iv.From, iv.Length, l.Now())
		}
	}
}

// A record made by someone else may have more changes than there is room for, and a stage after them.
func TestAStageForWhichThereIsNoRoom(t *testing.T) {
	h, _ := ledgertest.Run(ledgertest.Options{})
	l, err := ledger.New(h)
	if err != nil {
		t.Fatal(err)
	}
	for range 40_000 {
		l.Add(&ledger.Change{Kind: "hold"})
	}
	l.Add(&ledger.StageEdge{Index: 1, At: time.Second})
	l.Add(&ledger.StageEdge{Index: 1, At: 2 * time.Second, Ends: true})
	if got := l.Snapshot().Stages; len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// Whoever has a clock sees a second 0.7 s after its end, whoever has not delivered it, and how old each source's data is; what
// was judged does not depend on when somebody looked.
func TestPictureByTheClock(t *testing.T) {
	h, items := ledgertest.Run(ledgertest.Options{NoEnd: true, Seconds: 6, Sources: []string{"local", "ada"}})
	l, err := ledger.New(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		if iv, ok := it.(*metrics.Interval); ok && iv.Source == "ada" && iv.From >= 3*time.Second {
			continue
		}
		l.Add(it)
	}
	if got := l.SnapshotAt(3500 * time.Millisecond).Elapsed; got != 5*time.Second { // local has told of 6 s
		t.Errorf("complete up to %v, want 5 s: what the data says", got)
	}
	for now, want := range map[time.Duration]time.Duration{6600 * time.Millisecond: 5 * time.Second, 6700 * time.Millisecond: 6 * time.Second} {
		if got := l.SnapshotAt(now).Elapsed; got != want {
			t.Errorf("at %v complete up to %v, want %v", now, got, want)
		}
	}
	s := l.SnapshotAt(9 * time.Second)
	if s.Sources[0].Age != 3*time.Second || s.Sources[1].Age != 6*time.Second {
		t.Errorf("ages %v and %v, want 3 s and 6 s", s.Sources[0].Age, s.Sources[1].Age)
	}
}

// A source whose figures come seconds late, as over a slow link, is waited for before a window is judged; one that is silent for
// longer keeps nobody from being judged.
func TestWindowsWaitForSlowLinks(t *testing.T) {
	h, items := ledgertest.Run(ledgertest.Options{NoEnd: true, Perfect: true, Sources: []string{"local", "ada"}, SLO: []string{"rate > 45 over 2s"}})
	for i := range h.Sources {
		h.Sources[i].State = "running"
	}
	judged := func(late time.Duration) slo.Result {
		l, err := ledger.New(h)
		if err != nil {
			t.Fatal(err)
		}
		var held []*metrics.Interval
		for _, it := range items {
			iv, ok := it.(*metrics.Interval)
			if ok && iv.Source == "ada" {
				held = append(held, iv)
			} else {
				l.Add(it)
			}
			for ok && len(held) > 0 && held[0].From+late <= iv.From {
				l.Add(held[0])
				held = held[1:]
			}
		}
		return l.SLOs()[0]
	}
	if r := judged(0); !r.Known || !r.OK {
		t.Fatalf("in time: %+v", r)
	}
	if r := judged(6 * time.Second); !r.Known || !r.OK {
		t.Errorf("six seconds late: %+v", r)
	}
	if r := judged(time.Minute); !r.Known || r.OK {
		t.Errorf("a source that never tells: %+v", r)
	}
}

func TestHeaderSurvivesJSON(t *testing.T) {
	h, _ := ledgertest.Run(ledgertest.Options{SLO: []string{"p99 < 1s"}})
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var back ledger.Header
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(h, back); d != "" {
		t.Error(d)
	}
}

func TestForeignItemsPanic(t *testing.T) {
	l := ledgertest.Ledger(t, ledgertest.Options{NoEnd: true})
	defer func() {
		if recover() == nil {
			t.Error("an item of no known type was accepted")
		}
	}()
	l.Add("a text")
}

func BenchmarkAddInterval(b *testing.B) {
	b.ReportAllocs()
	h, items := ledgertest.Run(ledgertest.Options{Rate: 10_000, Steps: 10, Seconds: 8, SLO: []string{"p99 < 1s", "errors < 1% over 10s"}})
	l, err := ledger.New(h)
	if err != nil {
		b.Fatal(err)
	}
	var last *metrics.Interval
	for _, it := range items[:len(items)-3] {
		l.Add(it)
		if iv, ok := it.(*metrics.Interval); ok {
			last = iv
		}
	}
	for b.Loop() {
		last.From += time.Second
		l.Add(last)
	}
}
