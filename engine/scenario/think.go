package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// shipped are the profiles that every file knows. People pause so that the logarithm of the time is about normal; the
// clamp keeps the long tail from holding a user for minutes.
var shipped = map[string]Think{
	"navigate": {A: time.Second, B: 300 * time.Millisecond},
	"reading":  {A: 15 * time.Second, B: 8 * time.Second},
	"form":     {A: 6 * time.Second, B: 2 * time.Second},
	"search":   {A: 3 * time.Second, B: time.Second},
	"purchase": {A: 20 * time.Second, B: 20 * time.Second},
}

func init() {
	for name, t := range shipped {
		t.Kind, t.Name, t.Min, t.Max = LogNormal, name, 100*time.Millisecond, time.Minute
		shipped[name] = t
	}
}

var distributions = map[string]struct {
	kind Distribution
	args int
	form string
}{
	"uniform":     {Uniform, 2, "uniform(1s, 3s)"},
	"normal":      {Normal, 2, "normal(2s, 500ms)"},
	"lognormal":   {LogNormal, 2, "lognormal(15s, 8s)"},
	"exponential": {Exponential, 1, "exponential(5s)"},
}

// ParseThink reads a think time: 2s, uniform(a, b), normal(mean, sd), lognormal(mean, sd), exponential(mean), or the name
// of a profile, the given ones before the shipped ones.
func ParseThink(s string, profiles map[string]Think) (Think, error) {
	s = strings.TrimSpace(s)
	name, rest, call := strings.Cut(s, "(")
	if !call {
		if t, ok := profiles[s]; ok {
			return t, nil
		}
		if t, ok := shipped[s]; ok {
			return t, nil
		}
		d, err := ParseDuration(s)
		if err == nil {
			return Think{Kind: Constant, A: d}, nil
		}
		if s != "" && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z') {
			names := slices.Concat(slices.Collect(maps.Keys(profiles)), slices.Collect(maps.Keys(shipped)))
			slices.Sort(names)
			names = slices.Compact(names)
			if near := Nearest(s, names); near != "" {
				return Think{}, fmt.Errorf("there is no profile %s; did you mean %s?", quoted(s), near)
			}
			return Think{}, fmt.Errorf("there is no profile %s; write a time such as 2s or lognormal(15s, 8s), or one of %s", quoted(s), list(names))
		}
		return Think{}, err
	}
	name = strings.TrimSpace(name)
	d, ok := distributions[name]
	if !ok {
		names := slices.Sorted(maps.Keys(distributions))
		if near := Nearest(name, names); near != "" {
			return Think{}, fmt.Errorf("there is no distribution %s; did you mean %s?", quoted(name), distributions[near].form)
		}
		return Think{}, fmt.Errorf("there is no distribution %s; there are %s", quoted(name), list(names))
	}
	rest, closed := strings.CutSuffix(strings.TrimSpace(rest), ")")
	args := strings.Split(rest, ",")
	if !closed || len(args) != d.args {
		return Think{}, fmt.Errorf("%s is not complete; write for example %s", quoted(s), d.form)
	}
	t := Think{Kind: d.kind}
	for i, a := range args {
		v, err := ParseDuration(a)
		if err != nil {
			return Think{}, err
		}
		if i == 0 {
			t.A = v
		} else {
			t.B = v
		}
	}
	switch {
	case t.Kind == Uniform && t.B < t.A:
		return Think{}, fmt.Errorf("uniform goes from the shorter to the longer time; write uniform(%s, %s)", formatDuration(t.B), formatDuration(t.A))
	case t.Kind != Uniform && t.A == 0:
		return Think{}, fmt.Errorf("the mean of %s is 0; write for example %s", name, d.form)
	}
	return t, nil
}

// String is the think time as a file has it: the profile's name, or the distribution.
func (t Think) String() string {
	if t.Name != "" {
		return t.Name
	}
	return t.shape()
}

// shape is the think time without the name of its profile.
func (t Think) shape() string {
	a, b := formatDuration(t.A), formatDuration(t.B)
	switch t.Kind {
	case Uniform:
		return "uniform(" + a + ", " + b + ")"
	case Normal:
		return "normal(" + a + ", " + b + ")"
	case LogNormal:
		return "lognormal(" + a + ", " + b + ")"
	case Exponential:
		return "exponential(" + a + ")"
	}
	return a
}

// Mean is the mean of the think time before the file's multiplier. The clamp is left out: it moves the mean of a shipped
// profile by less than a tenth.
func (t Think) Mean() time.Duration {
	if t.Kind == Uniform {
		return t.A + (t.B-t.A)/2
	}
	return t.A
}

// profiles reads the file's think: with its own profiles and the multiplier of all.
func (p *parser) profiles(n *yaml.Node) {
	for _, f := range p.pairs(n, "think") {
		if f.key == "times" {
			s, ok := p.scalar(f.val, "times")
			v, err := parseNumber(s)
			switch {
			case !ok:
			case err != nil || v < 0 || v > 1000:
				p.add(f.val, "write for example 0.5; 0 leaves all pauses out", "times is a factor from 0 to 1000, not %s", quoted(s))
			default:
				p.f.ThinkTimes = v
			}
			continue
		}
		if !validName(f.key) {
			p.add(f.name, "use letters, digits, _ and -, beginning with a letter", "%s cannot name a profile", quoted(f.key))
			continue
		}
		if _, ok := distributions[f.key]; ok {
			p.add(f.name, "choose another name", "%s is a distribution, no profile can be called so", f.key)
			continue
		}
		s, ok := p.scalar(f.val, "the profile "+f.key)
		if !ok {
			continue
		}
		t, err := ParseThink(s, nil)
		if err != nil {
			p.fail(f.val, "the profile "+f.key, err)
			continue
		}
		t.Name, t.Min, t.Max = f.key, 0, 0 // a file's own profile holds as it is written
		if p.f.Profiles == nil {
			p.f.Profiles = map[string]Think{}
		}
		p.f.Profiles[f.key] = t
	}
}

// meanPause is the mean of a user's think times, over the steps that have one and the scenarios by weight.
func (f *File) meanPause() time.Duration {
	sum, count := 0.0, 0.0
	for _, sc := range f.Scenarios {
		for _, st := range sc.Steps {
			if st.Think != nil {
				sum += float64(sc.Weight) * float64(st.Think.Mean()) * f.ThinkTimes
				count += float64(sc.Weight)
			}
		}
	}
	if count == 0 {
		return 0
	}
	return time.Duration(min(sum/count, float64(1000*time.Hour)))
}
