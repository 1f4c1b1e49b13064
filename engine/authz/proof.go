package authz

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A proof of ownership is the user's token in a place that only the owner of a host can write: the file ProofPath on that host,
// or the TXT record ProofRecord of its name. Both hold lines:
//
//	line   = [ token { option } ] [ "#" comment ]
//	option = "max_rate=" RATE | "until=" DATE
//
// RATE is arrivals a second over all sources (500, 500/s, 30/m, 10/h); DATE is the last day (2031-12-31, in UTC) or a time
// (2031-12-31T18:00:00Z). Tokens of other users may stand in other lines. Where several lines have one token, all of them hold.
const (
	ProofPath   = "/.well-known/lt-authorization.txt"
	ProofRecord = "_lt."
)

// ProofLine is what a line with somebody's token allows.
type ProofLine struct {
	Token   string
	MaxRate float64   // arrivals a second; 0: no limit
	Until   time.Time // the first moment that is not allowed; zero: no end
}

// String is the line as it is to stand in the file or the record.
func (l ProofLine) String() string {
	s := l.Token
	if l.MaxRate > 0 {
		s += " max_rate=" + strconv.FormatFloat(l.MaxRate, 'f', -1, 64)
	}
	if !l.Until.IsZero() {
		s += " until=" + proofDate(l.Until)
	}
	return s
}

// proofDate writes an end so that parseUntil reads the same moment: as the last day where it is one.
func proofDate(t time.Time) string {
	t = t.UTC()
	if t.Equal(t.Truncate(24 * time.Hour)) {
		return t.AddDate(0, 0, -1).Format(time.DateOnly)
	}
	return t.Format(time.RFC3339Nano)
}

// NewProofLine makes a line from its parts as they are typed; an empty one is left out.
func NewProofLine(token, maxRate, until string) (ProofLine, error) {
	l := ProofLine{Token: token}
	var errs []error
	for _, o := range [][2]string{{"max_rate", maxRate}, {"until", until}} {
		if o[1] != "" {
			errs = append(errs, l.option(o[0], o[1]))
		}
	}
	return l, errors.Join(errs...)
}

// option reads one option into the line.
func (l *ProofLine) option(name, value string) error {
	switch name {
	case "max_rate":
		if l.MaxRate != 0 {
			return errors.New("max_rate stands there twice")
		}
		var ok bool
		if l.MaxRate, ok = parseProofRate(value); !ok {
			return fmt.Errorf("max_rate=%s is not a rate above 0; write max_rate=500, 500/s, 30/m or 10/h", clipped(value))
		}
	case "until":
		if !l.Until.IsZero() {
			return errors.New("until stands there twice")
		}
		var ok bool
		if l.Until, ok = parseUntil(value); !ok {
			return fmt.Errorf("until=%s is not a date; write until=2031-12-31 or until=2031-12-31T18:00:00Z", clipped(value))
		}
	default:
		return fmt.Errorf("the option %s is unknown; there are max_rate= and until=", clipped(name))
	}
	return nil
}

func parseProofRate(s string) (float64, bool) {
	number, unit, has := strings.Cut(s, "/")
	per := 1.0
	if has {
		switch unit {
		case "s":
		case "m":
			per = 60
		case "h":
			per = 3600
		default:
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	v /= per
	return v, err == nil && v > 0 && !math.IsInf(v, 0)
}

func parseUntil(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		if t, err = time.Parse(time.DateOnly, s); err == nil {
			t = t.AddDate(0, 0, 1) // the day itself is included
		}
	}
	return t.UTC(), err == nil && !t.IsZero() && t.Year() > 0 && t.Year() <= 9999 // the zero time is no end at all
}

// parseProof looks for a token among the lines of a proof. found is false if no line has it; an error says what is wrong with
// one that has. Several lines with the token come to the strictest of them.
func parseProof(text, token string) (line ProofLine, found bool, err error) {
	line.Token = token
	number := 0
	for raw := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		number++
		raw, _, _ = strings.Cut(raw, "#")
		words := strings.Fields(raw)
		if len(words) == 0 || words[0] != token || !validToken(token) {
			continue
		}
		found = true
		one := ProofLine{Token: token}
		for _, w := range words[1:] {
			name, value, ok := strings.Cut(w, "=")
			if !ok {
				return line, true, fmt.Errorf("line %d: %s stands behind the token; a comment begins with #", number, clipped(w))
			}
			if err := one.option(name, value); err != nil {
				return line, true, fmt.Errorf("line %d: %w", number, err)
			}
		}
		if one.MaxRate > 0 && (line.MaxRate == 0 || one.MaxRate < line.MaxRate) {
			line.MaxRate = one.MaxRate
		}
		if !one.Until.IsZero() && (line.Until.IsZero() || one.Until.Before(line.Until)) {
			line.Until = one.Until
		}
	}
	return line, found, nil
}

// clipped is a word of a stranger's file as it may stand in a message.
func clipped(s string) string {
	s = clean(s)
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40]) + "..."
	}
	return strconv.Quote(s)
}

// Proof is what came of asking a host for the user's token.
type Proof struct {
	Line   ProofLine // of the place where it stands
	Where  string    // that place; empty: it stands nowhere
	Places []Place   // everything that was looked at, in the order in which it counts
}

// Stands says whether the proof holds.
func (p Proof) Stands() bool { return p.Where != "" }

// Place is one place where a proof may stand, and what was found there.
type Place struct {
	Where string // the URL of the file, or the name of the record
	Found string // a sentence without its end
}

// Missing says in a sentence where no proof stands, for a refusal.
func (p Proof) Missing() string {
	var parts []string
	for _, x := range p.Places {
		parts = append(parts, x.Where+": "+x.Found)
	}
	return strings.Join(parts, "; ")
}

// Limits says what the line limits, for people, with a comma before it; empty: nothing.
func (l ProofLine) Limits() string {
	var s string
	if l.MaxRate > 0 {
		s += fmt.Sprintf(", at most %s arrivals/s", figure(l.MaxRate))
	}
	if !l.Until.IsZero() {
		s += ", until " + proofDate(l.Until)
	}
	return s
}

// lacks says what keeps the proof from covering a run; empty if nothing does.
func (l ProofLine) lacks(r *Request) string {
	switch {
	case !l.Until.IsZero() && !r.Now.Before(l.Until):
		return "ended " + proofDate(l.Until)
	case !l.Until.IsZero() && r.Now.Add(r.Duration).After(l.Until):
		return fmt.Sprintf("ends %s, before this run of %s would", proofDate(l.Until), r.Duration)
	case l.MaxRate > 0 && r.Users > 0:
		return fmt.Sprintf("allows at most %s arrivals/s, and a fixed number of users has no rate that could be held to it: give the load as rate:", figure(l.MaxRate))
	case l.MaxRate > 0 && !(r.PeakArrivals <= l.MaxRate):
		return fmt.Sprintf("allows at most %s arrivals/s, and this run goes up to %s", figure(l.MaxRate), figure(r.PeakArrivals))
	}
	return ""
}
