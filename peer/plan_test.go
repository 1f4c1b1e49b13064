package peer

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lt/engine/scenario"
)

func TestAddressesKeepTheirNames(t *testing.T) {
	list, err := scenario.ParsePeers("ada,bob@10.0.0.7:2222=2,ada")
	if err != nil {
		t.Fatal(err)
	}
	list = append(list, scenario.Peer{Name: "c1", Exec: []string{"docker", "exec", "-i", "c1", "sh", "-c", scenario.Boot}, Label: "eu"})
	got, err := Addresses(list)
	if err != nil || len(got) != 4 || got[2].Name != "ada#2" || got[1].Weight != 2 || got[1].String() != "bob@10.0.0.7:2222" || got[3].Kind() != "exec" || got[3].Label != "eu" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Whatever the reader of files takes for a peer can be dialled, and means the same host and port there.
func FuzzPeersOfAFileCanBeDialled(f *testing.F) {
	for _, s := range []string{"ada", "bob@10.0.0.7:2222=2", "[::1]:22", "fe80::1%eth0", "[ada]", "a@b@c:1", "@x", "a:+1", "a\\b@c", "ssh://a@b:1/", "x,y", "[::1", "a]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := scenario.ParsePeer(s)
		if err != nil {
			return
		}
		got, err := Addresses([]scenario.Peer{p})
		if err != nil {
			t.Fatalf("%q is read as %+v, and cannot be dialled: %v", s, p, err)
		}
		user, host, _ := scenario.SplitSSH(p.SSH)
		if d := got[0].SSH; d.Host != host || d.User != user {
			t.Fatalf("%q: %+v, and dialled %+v", s, p, d)
		}
	})
}

func TestWeights(t *testing.T) {
	for _, c := range []struct{ given, cores, want []int }{
		{[]int{0, 0, 0}, []int{8, 2, 0}, []int{8, 2, 1}},
		{[]int{0, 0, 2}, []int{8, 2, 4}, []int{1, 1, 2}},
		{[]int{3}, []int{1}, []int{3}},
		{nil, nil, []int{}},
	} {
		if got := Weights(c.given, c.cores); !slices.Equal(got, c.want) {
			t.Errorf("%v of %v cores: %v, want %v", c.given, c.cores, got, c.want)
		}
	}
}

func TestLoss(t *testing.T) {
	a := Part{Name: "a", Weight: 1}
	for name, c := range map[string]struct {
		parts   []Part
		gone    int
		levels  []float64
		missing float64
	}{
		"one of four":        {[]Part{a, a, a, a}, 1, []float64{100. / 3 * 4, 0, 100. / 3 * 4, 100. / 3 * 4}, 0},
		"one of three":       {[]Part{a, a, a}, 0, []float64{0, 200, 200}, 0},
		"one of two":         {[]Part{a, a}, 0, []float64{0, 300}, 0.25},
		"the only one":       {[]Part{a}, 0, []float64{0}, 1},
		"the heavy one":      {[]Part{{Weight: 2}, a, a}, 0, []float64{0, 150, 150}, 0.25},
		"one has a limit":    {[]Part{{Weight: 1, Limit: 140}, a, a}, 1, []float64{140, 0, 200}, 0.15},
		"limit, all is well": {[]Part{{Weight: 1, Limit: 110}, a, a, a}, 1, []float64{110, 0, 145, 145}, 0},
		"below its part":     {[]Part{{Weight: 1, Limit: 50}, a, a, a}, 1, []float64{50, 0, 150, 150}, 0.125},
	} {
		l := Loss(c.parts, 400, c.gone)
		sum := 0.0
		for i, want := range c.levels {
			if math.Abs(l.Levels[i]-want) > 1e-6 {
				t.Errorf("%s: %v, want %v", name, l.Levels, c.levels)
				break
			}
			sum += l.Levels[i]
		}
		if math.Abs(l.Missing-c.missing) > 1e-9 || math.Abs(sum+l.Missing*400-400) > 1e-6 {
			t.Errorf("%s: %g missing, want %g", name, l.Missing, c.missing)
		}
	}
}

// What the others take and what is missing are the whole, and nobody is above its bound.
func TestLossAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "n")
		parts := make([]Part, n)
		total := 0
		for i := range parts {
			parts[i] = Part{Weight: rapid.IntRange(1, 50).Draw(t, "weight"), Limit: rapid.SampledFrom([]float64{0, 0, 1, 10, 1000}).Draw(t, "limit")}
			total += parts[i].Weight
		}
		level := rapid.Float64Range(0, 1e6).Draw(t, "level")
		gone := rapid.IntRange(0, n-1).Draw(t, "gone")
		l := Loss(parts, level, gone)
		sum := 0.0
		for i, v := range l.Levels {
			own := level * float64(parts[i].Weight) / float64(total)
			if v < 0 || v > own*Elastic*(1+1e-9) || parts[i].Limit > 0 && v > parts[i].Limit || i == gone && v != 0 {
				t.Fatalf("source %d makes %g of its own %g", i, v, own)
			}
			sum += v
		}
		if math.Abs(sum+l.Missing*level-level) > 1e-6*(1+level) || l.Missing < 0 || l.Missing > 1 {
			t.Fatalf("%g and %g missing are not %g", sum, l.Missing, level)
		}
		if l.Missing > 0 && n > 1 && len(l.Full) != n-1 {
			t.Fatalf("something is missing while one has room: %+v", l)
		}
	})
}
