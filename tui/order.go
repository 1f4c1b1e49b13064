package tui

import (
	"cmp"
	"math"
	"strings"
)

var nan = math.NaN()

// compare orders figures; NaN is less than all.
func compare(a, b float64) int { return cmp.Compare(a, b) }

// matches reports whether a row's text passes the filter of its panel: it contains it whatever the case, or with ! first it does
// not.
func (m *model) matches(panel int, texts ...string) bool {
	want, not := strings.CutPrefix(strings.ToLower(m.lists[panel].filter), "!")
	if want == "" {
		return true
	}
	return strings.Contains(strings.ToLower(strings.Join(texts, " ")), want) != not
}
