package journey

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"lt/engine/h1"
	"lt/engine/scenario"
)

// Answer is what came back for a step: the last answer, after redirects.
type Answer struct {
	Status  int
	Head    *h1.Head      // needed if Step.NeedHead
	Body    []byte        // decoded, needed if Step.NeedBody
	BodyLen int64         // of the whole body, bytes, decoded
	Cut     bool          // Body is only the beginning
	Time    time.Duration // response time
}

// Result says whether an answer is right.
type Result uint8

// The results, from right to the worst.
const (
	OK           Result = iota
	BadStatus           // class status
	FailedCheck         // class check
	MissingValue        // class extract
)

// Verdict is what Judge found.
type Verdict struct {
	Result  Result
	Message string // empty if OK; the same for every failure of the same check, so that failures can be grouped by it
	Got     string // what was found instead, for an example: at most 40 characters, printable; may be empty
	Of      string // name of the header or JSON member in which it was found; empty: of neither
	Ends    bool   // a value that the scenario needs is missing: the iteration cannot go on, whatever the Result
}

// checkKind says what a check looks at.
type checkKind uint8

const (
	checkTime checkKind = iota
	checkSize
	checkHeader
	checkContains
	checkNotContains
	checkMatches
	checkJSON
)

// check is one expectation besides the status.
type check struct {
	kind    checkKind
	message string
	limit   time.Duration
	name    string         // of a header, or of the member that a JSON path leads to
	text    []byte         // to be contained
	re      *regexp.Regexp // to match
	path    *jsonPath
	compare compare
}

// compare is an operator with its operand.
type compare struct {
	op    string
	value string
	num   float64
	isNum bool
	re    *regexp.Regexp
}

// judge compiles the checks and extracts of a step.
func (c *compiler) judge(st *Step) {
	s := &st.Src.Check
	st.statuses = s.Status
	add := func(k check) { st.checks = append(st.checks, k) }
	if s.Time > 0 {
		add(check{kind: checkTime, limit: s.Time, message: "response time over " + s.Time.String()})
	}
	if s.Size != nil {
		cmp, err := newCompare(*s.Size, true)
		if err != nil {
			c.fail(fmt.Errorf("check size: %w", err))
		}
		add(check{kind: checkSize, compare: cmp, message: "size " + cmp.unmet()})
		for _, f := range st.fields {
			if strings.EqualFold(f.name, "accept-encoding") {
				st.NeedBody = true // the decoded length is known only by decoding
			}
		}
	}
	for _, h := range s.Headers {
		k := check{kind: checkHeader, name: h.Name, text: []byte(h.Value), message: "no header " + shown(h.Name)}
		if h.Value != "" {
			k.message = "header " + shown(h.Name) + " without " + shown(h.Value)
		}
		if v := h.Value; len(v) > 2 && v[0] == '/' && v[len(v)-1] == '/' {
			k.text = nil
			k.re = c.pattern("check header", v[1:len(v)-1])
		}
		st.NeedHead = true
		add(k)
	}
	for _, t := range s.Contains {
		st.NeedBody = true
		add(check{kind: checkContains, text: []byte(t), message: "body without " + shown(t)})
	}
	for _, t := range s.NotContains {
		st.NeedBody = true
		add(check{kind: checkNotContains, text: []byte(t), message: "body with " + shown(t)})
	}
	for _, t := range s.Matches {
		st.NeedBody = true
		add(check{kind: checkMatches, re: c.pattern("check matches", t), message: "body does not match " + shown(t)})
	}
	for _, j := range s.JSON {
		st.NeedBody = true
		path, err := newJSONPath(j.Path)
		if err != nil {
			c.fail(fmt.Errorf("check jsonpath %s: %w", j.Path, err))
			continue
		}
		cmp, err := newCompare(j.Compare, false)
		if err != nil {
			c.fail(fmt.Errorf("check jsonpath %s: %w", j.Path, err))
			continue
		}
		k := check{kind: checkJSON, name: lastName(j.Path), path: path, compare: cmp, message: shown(j.Path) + " " + cmp.unmet()}
		if cmp.op == "exists" {
			k.message = "no " + shown(j.Path)
		}
		add(k)
	}
	c.extracts(st)
}

// lastName is the name of the member that a JSON path leads to, or into: token of $.user['token'][0].
func lastName(path string) string {
	words := strings.FieldsFunc(path, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-' })
	for _, w := range slices.Backward(words) {
		if strings.ContainsFunc(w, unicode.IsLetter) {
			return w
		}
	}
	return ""
}

func (c *compiler) pattern(where, expr string) *regexp.Regexp {
	re, err := regexp.Compile(expr)
	if err != nil {
		c.fail(fmt.Errorf("%s: %w", where, err))
	}
	return re
}

func newCompare(src scenario.Compare, size bool) (compare, error) {
	c := compare{op: src.Op, value: src.Value}
	switch c.op {
	case "=", "!=", "<", "<=", ">", ">=", "exists":
	case "matches":
		re, err := regexp.Compile(c.value)
		if err != nil {
			return c, err
		}
		c.re = re
	default:
		return c, fmt.Errorf("%q is no comparison; there are =, !=, <, <=, >, >=, exists and matches", src.Op)
	}
	c.num, c.isNum = number(strings.TrimSpace(c.value))
	if !c.isNum && (size && c.op != "exists" || c.op[0] == '<' || c.op[0] == '>') {
		return c, fmt.Errorf("%q is not a number", clip(c.value))
	}
	return c, nil
}

// unmet says of a value that it does not compare so.
func (c *compare) unmet() string {
	switch c.op {
	case "matches":
		return "is not matching " + shown(c.value)
	case "=":
		return "is not " + shown(c.value)
	case "!=":
		return "is " + shown(c.value)
	}
	return "is not " + c.op + " " + shown(c.value)
}

// number reads a finite number. Words that mean one elsewhere, such as nan and infinity, are words here.
func number(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

// holds compares what was found, as text. Two numbers are compared as numbers: 1.50 equals 1.5.
func (c *compare) holds(got []byte) bool {
	switch c.op {
	case "exists":
		return true
	case "matches":
		return c.re.Match(got)
	case "=":
		return c.equals(got)
	case "!=":
		return !c.equals(got)
	}
	f, ok := number(string(got))
	return ok && c.number(f)
}

// equals compares as text, and then as numbers. From 2^53 on a float64 no longer tells whole numbers apart, such as long ids
// that differ in their last digit.
func (c *compare) equals(got []byte) bool {
	if string(got) == c.value {
		return true
	}
	f, ok := number(string(got))
	return ok && c.isNum && f == c.num && (math.Abs(f) < 1<<53 || !isWhole(string(got)) || !isWhole(c.value))
}

func isWhole(s string) bool { return strings.Trim(s, "-0123456789") == "" }

func (c *compare) number(f float64) bool {
	switch c.op {
	case "=":
		return f == c.num
	case "!=":
		return f != c.num
	case "<":
		return f < c.num
	case "<=":
		return f <= c.num
	case ">":
		return f > c.num
	case ">=":
		return f >= c.num
	}
	return true
}

// statusMessages are made once: a status is the most frequent failure.
var statusMessages = func() (t [1000]string) {
	for i := range t {
		t[i] = "status " + strconv.Itoa(i)
	}
	return t
}()

// Judge holds an answer against the step's status rule and checks, and then takes the values out of it that the scenario
// wants. Values are taken from wrong answers as well, but what was wrong first is the verdict. It allocates nothing for a
// step with the status rule alone.
func (p *Program) Judge(st *Step, s *Session, in *Input, a *Answer) Verdict {
	var v Verdict
	if !st.Right(a.Status) {
		v.Result, v.Message = BadStatus, "status"
		if a.Status >= 0 && a.Status < len(statusMessages) {
			v.Message = statusMessages[a.Status]
		}
	}
	if len(st.checks) == 0 && len(st.extracts) == 0 {
		return v
	}
	d := document{body: a.Body}
	if v.Result == OK {
		for i := range st.checks {
			if got, ok := st.checks[i].holds(a, &d); !ok {
				v.Result, v.Message, v.Got, v.Of = FailedCheck, st.checks[i].message, got, st.checks[i].name
				break
			}
		}
	}
	for i := range st.extracts {
		e := &st.extracts[i]
		if p.extract(e, st, s, in, a, &d) {
			continue
		}
		v.Ends = true
		if v.Result == OK {
			v.Result, v.Message, v.Got = MissingValue, e.message, e.without(a, &d)
		}
	}
	return v
}

// Right reports whether a status is one that the step wants: 2xx and 3xx unless it says otherwise.
func (st *Step) Right(status int) bool {
	if len(st.statuses) == 0 {
		return status >= 200 && status < 400
	}
	for _, r := range st.statuses {
		if r.From <= status && status <= r.To {
			return true
		}
	}
	return false
}

// holds reports whether a check is fulfilled, and if not what was found.
func (k *check) holds(a *Answer, d *document) (got string, ok bool) {
	switch k.kind {
	case checkTime:
		if a.Time <= k.limit {
			return "", true
		}
		return a.Time.Round(max(a.Time/1000, time.Microsecond)).String(), false
	case checkSize:
		if k.compare.number(float64(a.BodyLen)) {
			return "", true
		}
		return strconv.FormatInt(a.BodyLen, 10) + " B", false
	case checkHeader:
		return k.header(a)
	case checkContains:
		return cutNote(a), bytes.Contains(a.Body, k.text)
	case checkNotContains:
		return "", !bytes.Contains(a.Body, k.text)
	case checkMatches:
		return cutNote(a), k.re.Match(a.Body)
	}
	value, found := d.first(k.path)
	switch {
	case d.broken:
		return d.why(a), false
	case !found:
		return "no value", false
	case k.compare.holds(value):
		return "", true
	}
	return shown(string(value)), false
}

func cutNote(a *Answer) string {
	if a.Cut {
		return "only the beginning of the body was kept"
	}
	return ""
}

// header looks for the wanted text in every field of that name.
func (k *check) header(a *Answer) (got string, ok bool) {
	if a.Head == nil {
		return "", false
	}
	for name, value := range a.Head.Each {
		if len(name) != len(k.name) || !strings.EqualFold(string(name), k.name) {
			continue
		}
		if k.re != nil && k.re.Match(value) || k.re == nil && bytes.Contains(value, k.text) {
			return "", true
		}
		got = shown(string(value))
	}
	return got, false
}

// shown is text from outside made fit for a message: short, on one line and printable.
func shown(s string) string {
	s = clip(s)
	if strings.IndexFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return clip(q[1 : len(q)-1])
}
