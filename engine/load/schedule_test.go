package load

import (
	"testing"
	"time"
)

func TestEvenArrivalsAreDueInTheMiddleOfEqualGaps(t *testing.T) {
	spec := &Spec{Arrivals: Even, Profile: Profile{Stages: []Stage{{For: time.Second, At: 100}}}}
	if err := spec.Validate(); err != nil {
		t.Fatal(err)
	}
	s := NewSchedule(spec, nil, 0, 0, 1)
	for i := range int64(100) {
		index, due, ok := s.Peek()
		if want := 5*time.Millisecond + time.Duration(i)*10*time.Millisecond; !ok || index != i || due != want {
			t.Fatalf("arrival %d: got index %d due %v %v, want due %v", i, index, due, ok, want)
		}
		s.Next()
	}
	if _, _, ok := s.Peek(); ok {
		t.Fatal("an arrival after the end of the profile")
	}
}
