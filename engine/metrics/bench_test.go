package metrics

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// benchTimes are response times around 5 ms, in an order that no branch predictor learns.
func benchTimes() []time.Duration {
	rng := rand.New(rand.NewPCG(1, 1))
	out := make([]time.Duration, 4096)
	for i := range out {
		out[i] = 3*time.Millisecond + time.Duration(rng.ExpFloat64()*float64(2*time.Millisecond))
	}
	return out
}

func BenchmarkHistogramRecord(b *testing.B) {
	var h Histogram
	var pages Pages
	times := benchTimes()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h.Record(&pages, times[i&4095])
	}
}

func BenchmarkHistogramSummary(b *testing.B) {
	h := recorded(benchTimes()...)
	b.ReportAllocs()
	for b.Loop() {
		h.Summary()
	}
}

func BenchmarkRecorderSample(b *testing.B) {
	r := NewRecorder(50, new(Pages))
	times := benchTimes()
	s := &Sample{Status: 200, Phases: [Phases]time.Duration{-1, -1, -1, 5000, 0, 9000}, Reused: true}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Step = uint16(i % 50)
		s.End = times[i&4095]
		s.Phases[PhaseWait] = s.End
		r.Sample(s)
	}
}

// busySecond records 10,000 requests over so many steps.
func busySecond(r *Recorder, steps int, times []time.Duration) {
	s := &Sample{Status: 200, Phases: [Phases]time.Duration{-1, -1, -1, 5000, 0, 9000}, Reused: true}
	for i := range 10_000 {
		s.Step = uint16(i % steps)
		s.Start = time.Duration(i%40) * time.Microsecond
		s.End = s.Start + times[i&4095]
		s.Phases[PhaseWait] = times[i&4095]
		r.Sample(s)
		r.Lag(s.Start, 0)
		r.Scheduled++
		r.Started++
		r.Due++
	}
}

func BenchmarkRecorderCut50Steps(b *testing.B) {
	var pages Pages
	r := NewRecorder(50, &pages)
	times := benchTimes()
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		b.StopTimer()
		busySecond(r, 50, times)
		b.StartTimer()
		iv := r.Cut(i, 0, time.Second)
		b.StopTimer()
		iv.Release(&pages)
		b.StartTimer()
	}
}

func BenchmarkIntervalMerge50Steps(b *testing.B) {
	r := NewRecorder(50, nil)
	busySecond(r, 50, benchTimes())
	part := r.Cut(0, 0, time.Second)
	b.ReportAllocs()
	for b.Loop() {
		new(Interval).Merge(part)
	}
}

func BenchmarkIntervalEncode(b *testing.B) {
	for _, steps := range []int{10, 50} {
		r := NewRecorder(steps, nil)
		busySecond(r, steps, benchTimes())
		iv := r.Cut(0, 0, time.Second)
		b.Run(fmt.Sprint(steps, "steps"), func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				buf = iv.AppendBinary(buf[:0])
			}
			b.ReportMetric(float64(len(buf)), "bytes")
			b.ReportMetric(float64(len(iv.appendBody(nil))), "bytes-plain")
		})
	}
}

func benchTally(seconds int) (*Tally, *Interval) {
	steps := make([]StepName, 50)
	for i := range steps {
		steps[i] = StepName{Scenario: "s", Step: fmt.Sprint(i)}
	}
	t := NewTally(steps, []StageInfo{{Name: "sustain"}}, []SourceInfo{{State: "running"}})
	t.SetStage(0, 0, 0)
	r := NewRecorder(50, nil)
	busySecond(r, 50, benchTimes())
	iv := r.Cut(0, 0, time.Second)
	for i := range seconds {
		iv.Seq, iv.From = uint64(i), time.Duration(i)*time.Second
		t.Add(iv)
	}
	return t, iv
}

func BenchmarkTallyAdd50Steps(b *testing.B) {
	t, iv := benchTally(10)
	b.ReportAllocs()
	for b.Loop() {
		iv.From += time.Second
		t.Add(iv)
	}
}

func BenchmarkSnapshot50StepsNewData(b *testing.B) {
	t, iv := benchTally(3600)
	b.ReportAllocs()
	for b.Loop() {
		t.changed = true
		t.series.touch(len(t.rows) - 1)
		t.Snapshot(iv.From + iv.Length)
	}
}

func BenchmarkSnapshot50StepsNothingNew(b *testing.B) {
	t, iv := benchTally(100)
	b.ReportAllocs()
	for b.Loop() {
		t.Snapshot(iv.From + iv.Length)
	}
}
