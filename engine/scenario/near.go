package scenario

import (
	"slices"
	"strings"
)

// Nearest is the name that was probably meant: the one at the smallest edit distance, if that is at most a third of the
// longer word (and at least one edit is forgiven); empty if none is near. Case is ignored.
func Nearest(word string, names []string) string {
	word = strings.ToLower(word)
	if len(word) > 64 {
		return ""
	}
	best, bestAt := "", -1
	for _, name := range names {
		d := distance(word, strings.ToLower(name))
		if d > max(1, max(len(word), len(name))/3) {
			continue
		}
		if bestAt < 0 || d < bestAt {
			best, bestAt = name, d
		}
	}
	return best
}

// distance is the number of insertions, deletions, replacements and swaps of neighbours that make b of a (the optimal
// string alignment distance), in bytes.
func distance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		last, row, before := rows[(i-1)%3], rows[i%3], rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return rows[len(a)%3][len(b)]
}

// otherWords are what our keys are called in other tools, or by people in a hurry. Where several are given, the first one that
// may stand in the place is meant.
var otherWords = map[string][]string{
	"duration": {"for"}, "length": {"for"}, "vus": {"users"}, "concurrency": {"users"}, "threads": {"users"}, "clients": {"users"},
	"rps": {"rate"}, "qps": {"rate"}, "arrival_rate": {"rate"}, "stages": {"rate"}, "target": {"to"}, "level": {"at"}, "value": {"at"}, "ramp_up": {"ramp"}, "rampup": {"ramp"},
	"url": {"target"}, "base_url": {"target"}, "baseurl": {"target"}, "host": {"ssh", "target"}, "server": {"target"},
	"requests": {"steps"}, "flow": {"steps"}, "before": {"setup"}, "after": {"teardown"}, "variables": {"vars"}, "env": {"vars"}, "thresholds": {"slo"},
	"assert": {"check"}, "assertions": {"check"}, "expect": {"check"}, "validate": {"check"}, "capture": {"extract"}, "save": {"extract"}, "extractors": {"extract"},
	"path": {"url"}, "uri": {"url"}, "verb": {"method"}, "params": {"query"}, "data": {"body"}, "raw": {"body"}, "sleep": {"think"}, "pause": {"think"}, "wait": {"think"},
	"basic_auth": {"user"}, "follow_redirects": {"redirects"}, "body_contains": {"contains"}, "latency": {"time"}, "max_time": {"time"},
}

// meant is the key that was probably meant by one that is unknown; empty if there is none.
func meant(key string, known []string) string {
	for _, word := range otherWords[strings.ReplaceAll(strings.ToLower(key), "-", "_")] {
		if slices.Contains(known, word) {
			return word
		}
	}
	return Nearest(key, known)
}
