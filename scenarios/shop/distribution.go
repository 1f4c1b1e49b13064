package shop

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Kind is the shape of a Distribution.
type Kind uint8

// The shapes, with the meaning of A and B.
const (
	Constant    Kind = iota // always A
	Exponential             // mean A
	LogNormal               // mean A, standard deviation B, both of the time itself and not of its logarithm
	Uniform                 // from A to B
	Normal                  // mean A, standard deviation B; negative draws count as 0
)

var kindNames = [...]string{Constant: "constant", Exponential: "exponential", LogNormal: "lognormal", Uniform: "uniform", Normal: "normal"}

// maxService bounds a service time. An hour is the longest response time that the histograms of a run can hold.
const maxService = time.Hour

const distributionForms = "write 20ms, exponential(20ms), lognormal(20ms, 10ms), uniform(10ms, 30ms) or normal(20ms, 5ms)"

// Distribution is how long a request is served. The zero value serves in no time. It is a plain value.
type Distribution struct {
	Kind Kind
	A, B time.Duration
}

// ParseDistribution reads "20ms" (constant), "exponential(20ms)", "lognormal(20ms, 10ms)", "uniform(10ms, 30ms)" or
// "normal(20ms, 5ms)": mean, then standard deviation; or from, to. It accepts what String prints.
func ParseDistribution(text string) (Distribution, error) {
	d, err := parseDistribution(strings.TrimSpace(text))
	if err == nil {
		err = d.validate()
	}
	if err != nil {
		return Distribution{}, fmt.Errorf("service time %q: %w", text, err)
	}
	return d, nil
}

func parseDistribution(text string) (Distribution, error) {
	if text == "" {
		return Distribution{}, errors.New("nothing given; " + distributionForms)
	}
	name, rest, call := strings.Cut(text, "(")
	if !call {
		name, rest = "constant", text
	} else {
		var closed bool
		if rest, closed = strings.CutSuffix(rest, ")"); !closed {
			return Distribution{}, errors.New("the closing parenthesis is missing; " + distributionForms)
		}
	}
	kind, known := kindByName(strings.ToLower(strings.TrimSpace(name)))
	if !known {
		return Distribution{}, fmt.Errorf("no distribution is called %q; %s", strings.TrimSpace(name), distributionForms)
	}
	args := strings.Split(rest, ",")
	if len(args) != kind.args() {
		return Distribution{}, fmt.Errorf("%s takes %d, not %d; %s", kindNames[kind], kind.args(), len(args), distributionForms)
	}
	d := Distribution{Kind: kind}
	for i, arg := range args {
		v, err := parseDuration(strings.TrimSpace(arg))
		if err != nil {
			return Distribution{}, err
		}
		if i == 0 {
			d.A = v
		} else {
			d.B = v
		}
	}
	return d, nil
}

func kindByName(name string) (Kind, bool) {
	for k, n := range kindNames {
		if n == name {
			return Kind(k), true
		}
	}
	return 0, false
}

// args is how many durations the shape takes.
func (k Kind) args() int {
	if k == Constant || k == Exponential {
		return 1
	}
	return 2
}

// parseDuration is time.ParseDuration with an answer to the usual slip.
func parseDuration(text string) (time.Duration, error) {
	v, err := time.ParseDuration(text)
	if err == nil {
		return v, nil
	}
	if _, err := time.ParseDuration(text + "ms"); err == nil {
		return 0, fmt.Errorf("%q has no unit; write %sms or %ss", text, text, text)
	}
	return 0, fmt.Errorf("%q is not a duration; write for example 20ms or 1.5s", text)
}

// String prints what ParseDistribution reads.
func (d Distribution) String() string {
	switch {
	case d.Kind == Constant || int(d.Kind) >= len(kindNames):
		return d.A.String()
	case d.Kind.args() == 1:
		return fmt.Sprintf("%s(%v)", kindNames[d.Kind], d.A)
	default:
		return fmt.Sprintf("%s(%v, %v)", kindNames[d.Kind], d.A, d.B)
	}
}

func (d Distribution) validate() error {
	switch {
	case int(d.Kind) >= len(kindNames):
		return fmt.Errorf("shape %d does not exist; %s", d.Kind, distributionForms)
	case d.A < 0 || d.B < 0:
		return errors.New("a time below 0 is impossible")
	case d.A > maxService || d.B > maxService:
		return fmt.Errorf("at most %v", maxService)
	case d.Kind == Uniform && d.B < d.A:
		return fmt.Errorf("uniform goes from the smaller to the larger; write uniform(%v, %v)", d.B, d.A)
	case (d.Kind == Exponential || d.Kind == LogNormal) && d.A == 0:
		return fmt.Errorf("the mean of %s must be above 0; write 0s for no service time", kindNames[d.Kind])
	}
	return nil
}

// Mean is the exact mean of what Quantile draws, but for the cut at one hour.
func (d Distribution) Mean() time.Duration {
	switch d.Kind {
	case Uniform:
		return d.A + (d.B-d.A)/2
	case Normal:
		// Of max(0, X), X normal with mean m and deviation s: m Phi(m/s) + s phi(m/s).
		if d.B == 0 {
			return d.A
		}
		m, s := float64(d.A), float64(d.B)
		z := m / s
		return time.Duration(m*0.5*math.Erfc(-z/math.Sqrt2) + s*math.Exp(-z*z/2)/math.Sqrt(2*math.Pi))
	default:
		return d.A
	}
}

// Quantile is the time that the share p of all draws does not exceed, p in (0, 1), cut to 0..1 h. Drawing is Quantile of
// a uniform number: one number a draw, whatever the shape.
func (d Distribution) Quantile(p float64) time.Duration {
	a, b := float64(d.A), float64(d.B)
	var v float64
	switch d.Kind {
	case Exponential:
		v = -a * math.Log1p(-p)
	case LogNormal:
		// With mean a and deviation b of the time, its logarithm has variance s2 = ln(1 + b^2/a^2) and mean ln a - s2/2.
		s2 := math.Log1p(b * b / (a * a))
		v = a * math.Exp(math.Sqrt(s2)*normalQuantile(p)-s2/2)
	case Uniform:
		v = a + (b-a)*p
	case Normal:
		v = a + b*normalQuantile(p)
	default:
		return d.A
	}
	return time.Duration(math.Round(min(max(v, 0), float64(maxService))))
}

// normalQuantile is the inverse of the standard normal distribution function.
func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }
