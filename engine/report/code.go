package report

import (
	"lt/engine/ledger"
	"lt/engine/metrics"
)

// The exit codes of a run that was begun.
const (
	CodeDone       = 0  // it finished, and every SLO held
	CodeFailed     = 1  // it could not be done: no answer at all, or no source left
	CodeIncomplete = 96 // a source's account does not add up
	CodeUser       = 97 // ended by the user before its time
	CodeGenerator  = 98 // strict: the generator was the bottleneck
	CodeSLO        = 99 // an SLO failed
)

// Code is the exit code that a run deserves: the first of 1, 96, 98, 99, 97 that applies, else 0. With strict a run whose
// generator was saturated is not accepted.
func Code(l *ledger.Ledger, strict bool) int {
	end, ended := l.End()
	complete, _, _ := l.Data()
	switch s := l.Snapshot(); {
	case ended && end.Ended == ledger.Failed || unanswered(s):
		return CodeFailed
	case !complete:
		return CodeIncomplete
	case strict && s.Verdict.Health == metrics.Saturated:
		return CodeGenerator
	case l.Judged() == ledger.Fail:
		return CodeSLO
	case end.Ended == ledger.ByUser:
		return CodeUser
	}
	return CodeDone
}

// unanswered reports whether requests were made, if only such as were cut at the end, and not one was ever answered.
func unanswered(s *metrics.Snapshot) bool {
	asked := false
	for i := range s.Steps {
		if len(s.Steps[i].Status) > 0 {
			return false
		}
		asked = asked || s.Steps[i].Requests > 0
	}
	return asked || s.Totals.Unfinished > 0
}
