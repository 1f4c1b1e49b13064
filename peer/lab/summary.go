package lab

import (
	"encoding/json"
	"fmt"
	"os"
)

// Summary is what a check wants of `-o x.json`.
type Summary struct {
	Run struct {
		ID, Ended, Basis string
		DurationS        float64 `json:"duration_s"`
	}
	Verdict struct {
		SLO, Generator, Data string
		Reasons              []string
	}
	Totals struct {
		Requests, Errors, Iterations, Unfinished int64
		Dropped, Shortfall, Unreported           int64
	}
	Sources []SourceSummary
	Events  []Event
	Errors  []ErrorSummary
}

// Event is a line of the run's diary.
type Event struct {
	T    float64 `json:"t_s"`
	Kind string
	Text string
}

// ErrorSummary is one group of errors.
type ErrorSummary struct {
	Class, Message string
	Count          int64
}

// SourceSummary is one source's row.
type SourceSummary struct {
	Name, Kind, Label, State, Reason, Verdict string
	Weight                                    int
	Share                                     float64
	Requests, Errors                          int64
	StartSkewMS                               float64  `json:"start_skew_ms"`
	ClockOffsetMS                             float64  `json:"clock_offset_ms"`
	RTTMS                                     float64  `json:"rtt_ms"`
	LostAtS                                   *float64 `json:"lost_at_s"`
}

// ReadSummary reads a file that lt wrote.
func ReadSummary(path string) (*Summary, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var s Summary
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &s, nil
}

// Source finds a row by its name; the zero row if there is none.
func (s *Summary) Source(name string) SourceSummary {
	for _, r := range s.Sources {
		if r.Name == name {
			return r
		}
	}
	return SourceSummary{}
}
