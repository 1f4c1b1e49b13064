package load

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestEveryBlockHasExactlyTheWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := &Spec{Seed: rapid.Uint64().Draw(t, "seed"), Weights: rapid.SliceOfN(rapid.IntRange(0, 60), 1, 6).Draw(t, "weights")}
		spec.Weights[0]++
		m := spec.Mix()
		size := int64(1)
		if len(spec.Weights) > 1 {
			size = int64(m.size)
		}
		block := rapid.Int64Range(0, 1<<40).Draw(t, "block")
		got := make([]int, len(spec.Weights))
		for i := range size {
			got[m.Scenario(block*size+i)]++
		}
		for k := range got {
			if got[k]*spec.Weights[0] != spec.Weights[k]*got[0] {
				t.Fatalf("a block of %d has %v for the weights %v", size, got, spec.Weights)
			}
		}
	})
}

// TestThePlaceInABlockSaysNothing: over many blocks each place, and so each source however it strides, sees the mix.
func TestThePlaceInABlockSaysNothing(t *testing.T) {
	for _, weights := range [][]int{{3, 7}, {1, 1}, {30, 70, 1}} {
		spec := &Spec{Seed: 4, Weights: weights}
		m := spec.Mix()
		part := float64(weights[0]) / float64(m.size)
		const blocks = 4000
		for place := range int64(m.size) {
			n := 0.0
			for b := range int64(blocks) {
				if m.Scenario(b*int64(m.size)+place) == 0 {
					n++
				}
			}
			if d := (n - blocks*part) / math.Sqrt(blocks*part*(1-part)); math.Abs(d) > 4.5 {
				t.Errorf("weights %v: place %d has scenario 0 in %v of %d blocks", weights, place, n, blocks)
			}
		}
	}
}

func TestPermutationsArePermutations(t *testing.T) {
	for _, n := range []int{1, 2, 3, smallMix, smallMix + 1, 1000, MaxMix} {
		seen := make([]bool, n)
		for i := range n {
			p := permute(1, 2, n, i)
			if p < 0 || p >= n || seen[p] {
				t.Fatalf("of %d: %d goes to %d, outside or taken", n, i, p)
			}
			seen[p] = true
		}
	}
}

// TestSmallPermutationsAreAllEquallyLikely counts the 6 orders of 3.
func TestSmallPermutationsAreAllEquallyLikely(t *testing.T) {
	const n = 60_000
	got := map[[3]int]float64{}
	for b := range uint64(n) {
		got[[3]int{permute(8, b, 3, 0), permute(8, b, 3, 1), permute(8, b, 3, 2)}]++
	}
	for order, k := range got {
		if math.Abs(k-n/6) > 4.5*math.Sqrt(n/6) {
			t.Errorf("order %v came %v times of %d", order, k, n)
		}
	}
	if len(got) != 6 {
		t.Errorf("%d orders of 3", len(got))
	}
}

func TestOneScenarioNeedsNoWeights(t *testing.T) {
	if s := (&Spec{}).Scenario(5); s != 0 {
		t.Errorf("scenario %d", s)
	}
}

// TestTheMixIsFixedForEver, on both sides of smallMix.
func TestTheMixIsFixedForEver(t *testing.T) {
	for _, c := range []struct {
		weights []int
		want    [20]int
	}{
		{[]int{3, 7}, [20]int{0, 1, 0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0}},
		{[]int{99, 101}, [20]int{0, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0}},
	} {
		m := (&Spec{Seed: 42, Weights: c.weights}).Mix()
		for i, want := range c.want {
			if got := m.Scenario(int64(i)); got != want {
				t.Errorf("weights %v: arrival %d runs scenario %d, was %d", c.weights, i, got, want)
			}
		}
	}
}
