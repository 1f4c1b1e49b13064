package shop

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestParseDistribution(t *testing.T) {
	for text, want := range map[string]Distribution{
		"20ms":                        {Constant, 20 * ms, 0},
		"0s":                          {},
		" constant(1.5s) ":            {Constant, 1500 * ms, 0},
		"exponential(20ms)":           {Exponential, 20 * ms, 0},
		"lognormal(20ms, 10ms)":       {LogNormal, 20 * ms, 10 * ms},
		"LogNormal( 20ms ,10ms )":     {LogNormal, 20 * ms, 10 * ms},
		"uniform(10ms,30ms)":          {Uniform, 10 * ms, 30 * ms},
		"normal(20ms, 0s)":            {Normal, 20 * ms, 0},
		"uniform(1.000001ms, 1m0.1s)": {Uniform, 1000001, time.Minute + 100*ms},
	} {
		got, err := ParseDistribution(text)
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseDistributionSaysWhatToWrite(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "write 20ms, exponential(20ms)",
		"20":                    "write 20ms or 20s",
		"exponential(20)":       "write 20ms or 20s",
		"expo(20ms)":            `no distribution is called "expo"`,
		"lognormal(20ms)":       "lognormal takes 2, not 1",
		"exponential(1ms, 2ms)": "exponential takes 1, not 2",
		"exponential(20ms":      "closing parenthesis is missing",
		"uniform(30ms, 10ms)":   "write uniform(10ms, 30ms)",
		"-5ms":                  "below 0",
		"2h":                    "at most 1h0m0s",
		"exponential(0s)":       "mean of exponential must be above 0",
		"fast":                  "is not a duration",
	} {
		_, err := ParseDistribution(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one that says %q", text, err, want)
		}
	}
}

// The stream of draws must have the mean that the capacity is reckoned with, and the standard deviation asked for.
func TestDrawsHaveTheMomentsAskedFor(t *testing.T) {
	const n = 1_000_000
	for _, tc := range []struct {
		d  Distribution
		sd float64 // of the draws, seconds; NaN where no simple formula holds
	}{
		{Distribution{Constant, 20 * ms, 0}, 0},
		{Distribution{Exponential, 20 * ms, 0}, 0.020},
		{Distribution{LogNormal, 20 * ms, 10 * ms}, 0.010},
		{Distribution{LogNormal, 20 * ms, 0}, 0},
		{Distribution{Uniform, 10 * ms, 30 * ms}, 0.020 / math.Sqrt(12)},
		{Distribution{Normal, 20 * ms, 2 * ms}, 0.002},
		{Distribution{Normal, 10 * ms, 20 * ms}, math.NaN()}, // a third of it is cut at 0
		{Distribution{Normal, 0, 10 * ms}, math.NaN()},
	} {
		sum, squares := 0.0, 0.0
		for i := range uint64(n) {
			v := tc.d.Quantile(uniform(1, drawService, i)).Seconds()
			sum += v
			squares += v * v
		}
		mean := sum / n
		near(t, "mean of "+tc.d.String(), mean, tc.d.Mean().Seconds(), 0.003)
		if sd := math.Sqrt(max(0, squares/n-mean*mean)); !math.IsNaN(tc.sd) && math.Abs(sd-tc.sd) > 0.005*tc.sd+1e-9 {
			t.Errorf("standard deviation of %v: got %v s, want %v s", tc.d, sd, tc.sd)
		}
	}
}

func TestUniformIsUniform(t *testing.T) {
	const bins, n = 64, 1 << 18
	for seed := range uint64(8) {
		var count [bins]int
		for i := range uint64(n) {
			count[int(uniform(seed, drawError, i)*bins)]++
		}
		chi := 0.0
		for _, c := range count {
			d := float64(c) - n/bins
			chi += d * d / (n / bins)
		}
		// 63 degrees of freedom: 99.99 % of uniform streams lie below 110.
		if chi > 110 {
			t.Errorf("seed %d: chi squared %.1f over %d bins", seed, chi, bins)
		}
	}
	if u := (float64(math.MaxUint64>>12) + 0.5) / (1 << 52); u >= 1 {
		t.Errorf("the largest draw is %v, want below 1", u)
	}
}

func FuzzParseDistribution(f *testing.F) {
	for _, s := range []string{"20ms", "exponential(20ms)", "lognormal(20ms, 10ms)", "uniform(1ns,1h)", "normal(0s,1s)", "(", "normal(,)", "1h0m0.000000001s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDistribution(text)
		if err != nil {
			return
		}
		again, err := ParseDistribution(d.String())
		if err != nil || again != d {
			t.Fatalf("%q reads as %v, which reads as %v, %v", text, d, again, err)
		}
		for _, p := range []float64{1e-16, 0.5, 1 - 1e-16} {
			if v := d.Quantile(p); v < 0 || v > maxService {
				t.Fatalf("%v: quantile %v is %v", d, p, v)
			}
		}
	})
}

func BenchmarkQuantile(b *testing.B) {
	d := Distribution{LogNormal, 20 * ms, 10 * ms}
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		d.Quantile(uniform(1, drawService, i))
	}
}
