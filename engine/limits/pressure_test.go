package limits

import "testing"

// Memory is looked at ten times a second throughout a run.
func TestPressureAllocatesNothing(t *testing.T) {
	p := OpenPressure()
	defer p.Close()
	if n := testing.AllocsPerRun(100, func() { p.Share() }); n > 0 {
		t.Errorf("%g allocations a look", n)
	}
	if s := p.Share(); s <= 0 || s > 1 {
		t.Errorf("%g of the memory is used", s)
	}
}

func BenchmarkPressure(b *testing.B) {
	p := OpenPressure()
	defer p.Close()
	b.ReportAllocs()
	for b.Loop() {
		p.Share()
	}
}
