package scenario

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// said parses a file that must be refused and returns what is said, after checking that it is fit for a person: each problem
// has a remedy, is short, and speaks neither Go nor the YAML reader's own words.
func said(t *testing.T, text string) Errors {
	t.Helper()
	_, err := Parse("a.yaml", []byte(text), testEnv)
	var all Errors
	if !errors.As(err, &all) {
		t.Fatalf("%.200q: accepted, or %v", text, err)
	}
	if len(all) > maxErrors+1 {
		t.Errorf("%.200q: %d problems", text, len(all))
	}
	for _, e := range all {
		whole := e.Error()
		if e.Msg == "" || e.Remedy == "" || len(whole) > 1000 || !utf8.ValidString(whole) {
			t.Errorf("%.200q: no remedy, or not short: %s", text, whole)
		}
		for _, word := range []string{"yaml:", "while ", "scanning", "scalar", "%!", "strconv", "<nil>", "node", "token,"} {
			if strings.Contains(e.Msg, word) {
				t.Errorf("%.200q: %q is no word for a person: %s", text, word, whole)
			}
		}
	}
	return all
}

// clumsy are files as people write them who are in a hurry: the place of the first problem, and words of what is said about it.
var clumsy = map[string]struct {
	text         string
	line, column int
	words        string
}{
	"a key too far in":          {head + "steps: [{get: /}]\n  load: {rate: 5}\n", 3, 3, "does not fit indentation"},
	"a key too far out":         {head + "steps:\n  - get: /\n   think: 2s\n", 4, 4, "does not fit indentation"},
	"a list element too far in": {head + "steps:\n  - get: /\n    - get: /b\n", 4, 5, "no list same column"},
	"a list after its key":      {head + "steps: - get: /\n", 2, 8, "list cannot begin here"},
	"a tab":                     {head + "load:\n\trate: 5\nsteps: [{get: /}]\n", 3, 1, "tab spaces"},
	"a tab behind spaces":       {head + "load:\n  rate: 5\n \tfor: 3s\nsteps: [{get: /}]\n", 4, 2, "tab spaces"},
	"an open bracket":           {head + "steps: [{get: /}\nload: {rate: 5}\n", 3, 1, "bracket of line 2"},
	"an open brace":             {head + "steps: [{get: /]\n", 2, 16, "a bracket"},
	"a missing comma":           {head + "steps: [{get: / think: 2s}]\n", 2, 22, "colon comma"},
	"an open quote":             {head + "name: \"x\nsteps: [{get: /}]\n", 2, 7, "quotes not closed"},
	"an apostrophe":             {head + "name: 'Ada's shop'\nsteps: [{get: /}]\n", 2, 12, "not YAML quotes"},
	"a word alone":              {head + "steps\n", 2, 1, "colon key: value"},
	"a backslash":               {head + "steps: [{post: /, body: \"C:\\temp\\users\"}]\n", 2, 35, "escape single quotes"},
	"an unknown escape":         {head + "name: \"\\d\"\nsteps: [{get: /}]\n", 2, 8, "escape single quotes"},
	"an at sign":                {head + "steps: [{post: /, body: @file.json}]\n", 2, 25, "cannot begin quotes"},
	"a percent sign":            {head + "steps: [{post: /, body: %7B}]\n", 2, 25, "quotes"},
	"a star":                    {head + "hosts: [*.shop.test]\nsteps: [{get: /}]\n", 2, 9, "quotes"},
	"a bang":                    {head + "steps: [{get: /, check: {contains: !important}}]\n", 2, 36, "tag without"},
	"a bare template":           {head + "vars: {id: 1}\nsteps: [{get: /, headers: {X: {{id}}}}]\n", 3, 31, "quotes {{"},
	"a colon in text":           {head + "steps: [{get: /, check: {contains: Total: 5}}]\n", 2, 41, "colon quotes"},
	"a duration without a unit": {head + "steps: [{get: /}]\nload: {rate: 5, for: 30}\n", 3, 22, "no unit 30s 30ms"},
	"milliseconds in words":     {head + "steps: [{get: /, timeout: 500 ms}]\n", 2, 27, "not a duration 500ms"},
	"minutes in words":          {head + "steps: [{get: /}]\nload: {rate: 5, for: 5 minutes}\n", 3, 22, "not a duration 1m30s"},
	"days":                      {head + "steps: [{get: /}]\nload: {rate: 5, for: 1d}\n", 3, 22, "not a duration 2h"},
	"a negative rate":           {head + "steps: [{get: /}]\nload: {rate: -5}\n", 3, 14, "within 0"},
	"a rate in words":           {head + "steps: [{get: /}]\nload: {rate: 100 rps}\n", 3, 14, "not a rate 500/s"},
	"half a user":               {head + "steps: [{get: /}]\nload: {users: 2.5}\n", 3, 15, "whole number"},
	"load as a number":          {head + "steps: [{get: /}]\nload: 100\n", 3, 7, "a mapping rate:"},
	"a step as a word":          {head + "steps: [/]\n", 2, 9, "a mapping get:"},
	"steps as a mapping":        {head + "steps: {get: /}\n", 2, 8, "a list - a line"},
	"headers as a list":         {head + "headers: ['Accept: x']\nsteps: [{get: /}]\n", 2, 10, "a mapping name: value"},
	"a nested header":           {head + "headers: {Accept: {type: json}}\nsteps: [{get: /}]\n", 2, 19, "not a mapping single value"},
	"a header on two lines":     {head + "headers: {X: \"a\\nb\"}\nsteps: [{get: /}]\n", 2, 14, "line break one line"},
	"a header that is ours":     {head + "headers: {Connection: close}\nsteps: [{get: /}]\n", 2, 11, "made by the program connections: request"},
	"a port that is none":       {"target: http://a.test:99999\nsteps: [{get: /}]\n", 1, 9, "not a port 65535"},
	"a port of zero":            {head + "steps: [{get: 'http://a.test:0/'}]\n", 2, 15, "not a port 65535"},
	"another tool's load":       {head + "steps: [{get: /}]\nload: {vus: 5, duration: 3s}\n", 3, 8, `"vus" users`},
	"another tool's stages":     {head + "steps: [{get: /}]\nload: {users: [{duration: 30s, target: 5}]}\n", 3, 17, "no key for"},
	"another tool's base":       {"base_url: http://a.test\nsteps: [{get: /}]\n", 1, 1, "no key target"},
	"another tool's checks":     {head + "steps: [{get: /, expect: {status: 200}}]\n", 2, 18, "no key check"},
	"the environment in a name": {head + "name: Run ${BUILD}\nsteps: [{get: /}]\n", 2, 7, "only under vars: the value itself"},
	"and in a label":            {head + "labels: {build: '${BUILD}'}\nsteps: [{get: /}]\n", 2, 17, "only under vars: the value itself"},
	"and in what is looked for": {head + "steps: [{get: /, check: {contains: '${BUILD}'}}]\n", 2, 36, "only under vars: the value itself"},
	"a label without a value":   {head + "labels: {build: }\nsteps: [{get: /}]\n", 2, 17, "empty"},
	"a control character":       {head + "name: a\x1bb\nsteps: [{get: /}]\n", 2, 8, "control character U+001B"},
	"text that is no character": {head + "name: a\uffffb\nsteps: [{get: /}]\n", 2, 8, "control character"},
	"Latin-1":                   {head + "name: caf\xe9\nsteps: [{get: /}]\n", 2, 10, "not UTF-8 save"},
	"UTF-16":                    {"\xff\xfet\x00a\x00", 0, 0, "UTF-16 UTF-8"},
	"UTF-16, big end first":     {"\xfe\xff\x00t\x00a", 0, 0, "UTF-16 UTF-8"},
	"a program":                 {"\x7fELF\x02\x01\x01\x00\x00", 0, 0, "not a text file"},
	"a compressed file":         {"\x1f\x8b\x08\x00\x00", 0, 0, "not a text file"},
	"a shell script":            {"#!/bin/sh\ncurl http://a.test\n", 2, 1, "a mapping not the text target:"},
	"a web page":                {"<!DOCTYPE html>\n<html>\n", 1, 1, "a mapping not the text target:"},
	"a mark and a mistake":      {"\ufeffnme: x\n" + head + "steps: [{get: /}]\n", 1, 1, "no key name"},
	"half a character in JSON":  {`{"target": "http://a.test", "name": "\ud83d", "steps": [{"get": "/"}]}`, 1, 40, "no character"},
	"more text behind JSON":     {`{"target": "http://a.test", "steps": [{"get": "/"}]} }`, 1, 54, "not YAML"},
	"a directive":               {"%FOO bar\n" + head, 1, 1, "%"},
	"an anchor of itself":       {head + "vars: &v {<<: *v}\nsteps: [{get: /}]\n", 2, 7, "merged"},
}

func TestClumsyFilesAreAnsweredLikeAColleagueWould(t *testing.T) {
	for name, c := range clumsy {
		t.Run(name, func(t *testing.T) {
			e := said(t, c.text)[0]
			whole := e.Msg + "\n" + e.Remedy
			if e.Line != c.line || e.Column != c.column {
				t.Errorf("%d:%d, want %d:%d\n%v", e.Line, e.Column, c.line, c.column, e)
			}
			for w := range strings.FieldsSeq(c.words) {
				if !strings.Contains(whole, w) {
					t.Errorf("lacks %q:\n%v", w, e)
				}
			}
		})
	}
}

// What people write differently and mean well is taken.
func TestOtherWaysToWriteAFile(t *testing.T) {
	want := parse(t, head+"name: x\nsteps:\n  - {get: /a, think: 2s}\nload: {rate: 100, for: 30s}\n")
	for name, text := range map[string]string{
		"CR LF":            head + "name: x\r\nsteps:\r\n  - {get: /a, think: 2s}\r\nload: {rate: 100, for: 30s}\r\n",
		"a byte order":     "\ufeff" + head + "name: x\nsteps:\n  - {get: /a, think: 2s}\nload: {rate: 100/s, for: 30s}\n",
		"a rate a minute":  head + "name: x\nsteps:\n- {get: /a, think: 2s}\nload: {rate: 6000/m, for: 0.5m}",
		"a document mark":  "---\n" + head + "name: x\nsteps:\n- get: /a\n  think: 2s\nload: {rate: '100', for: '30s'}\n...\n",
		"anchors":          head + "name: x\nsteps: [&a {get: /a, think: &t 2s}]\nload: {rate: 100, for: 30s}\n",
		"JSON":             `{"target": "http:\/\/a.test", "name": "x", "steps": [{"get": "\u002fa", "think": "2s"}], "load": {"rate": 1e2, "for": "30s"}}`,
		"JSON with tabs":   "{\n\t\"target\":\t\"http://a.test\",\n\t\"name\": \"x\",\n\t\"steps\": [\n\t\t{\"get\": \"/a\",\t\"think\": \"2s\"}\n\t],\n\t\"load\": {\"rate\": 100, \"for\": \"30s\"}\n}\n",
		"JSON with CR LF":  "{\r\n\t\"target\": \"http://a.test\",\r\n\t\"name\": \"x\",\r\n\t\"steps\": [{\"get\": \"/a\", \"think\": \"2s\"}],\r\n\t\"load\": {\"rate\": 100, \"for\": \"30s\"}\r\n}\r\n",
		"method and url":   `{"target": "http://a.test", "name": "x", "steps": [{"method": "get", "url": "/a", "payload": null, "think": "2s"}], "load": {"rate": 100, "for": "30s"}}`,
		"comments, spaces": "# a\n\n" + head + "\nname:   x   # b\n\n\nsteps:\n\n  -   get:   /a\n      think: 2s   # c\nload:\n  rate: 100 # a second\n  for: 30s\n",
	} {
		got, err := Parse("x.yaml", []byte(text), testEnv)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if a, b := string(canonical(got)), string(canonical(want)); a != b {
			t.Errorf("%s:\n%s\nwant\n%s", name, a, b)
		}
	}
}

// JSON writes what is beyond the first 65,536 characters in two halves, which YAML does not know.
func TestCharactersInHalves(t *testing.T) {
	f := parse(t, `{"target": "http://a.test", "name": "caf\u00e9 \uD83D\uDE00", "steps": [{"post": "/", "body": "\\ud83d \\\ud83d\ude00"}]}`)
	if st := f.Scenarios[0].Steps[0]; f.Name != "café 😀" || st.Text != `\ud83d \😀` {
		t.Errorf("%q, %q", f.Name, st.Text)
	}
	f = parse(t, head+`steps: [{post: /, body: '\ud83d\ude00'}]`)
	if st := f.Scenarios[0].Steps[0]; st.Text != `\ud83d\ude00` {
		t.Errorf("in single quotes: %q", st.Text)
	}
}

// Files made to be large or slow are answered as well, in time and with a bounded answer.
func TestHostileFilesAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and on one goroutine")
	}
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, strings.ReplaceAll(format, "#", "%[1]d"), i)
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"values on one line":      head + "steps: [{post: /, json: [" + strings.Repeat("1234567,", 2<<20/8) + "]}]",
		"10 MB of lines":          head + strings.Repeat("# comment\n", 1<<20) + "stesp: []\n",
		"10 MB of a text":         head + "steps: [{post: /, body: \"" + strings.Repeat("x", 10<<20) + "\"}]",
		"mistakes on a long line": "{" + many(60, "\"unknown#\": 1, ") + "\"" + strings.Repeat("x", 4<<20) + "\": 1}",
		"unknown keys":            many(40_000, "key#: 1\n"),
		"unknown names":           head + "steps: [{post: /, body: '" + strings.Repeat("{{x}}", 150_000) + "'}]",
		"many unknown names":      head + "steps:\n" + many(5_000, "- {get: '/{{n#}}'}\n"),
		"open expressions":        head + "steps: [{post: /, body: '" + strings.Repeat("{{(", 200_000) + "'}]",
		"brackets":                head + "steps: " + strings.Repeat("[", 1<<20),
		"braces":                  head + "steps: " + strings.Repeat("{a: ", 1<<18),
		"dashes":                  head + "steps:\n" + strings.Repeat("- ", 1<<18),
		"an indented stair":       stair(3_000),
		"too many steps":          head + "steps:\n" + strings.Repeat("- get: /\n", 30_000),
		"too many scenarios":      head + "scenarios:\n" + many(15_000, "- {name: s#, steps: [{get: /}]}\n"),
		"too many variables":      head + "vars:\n" + many(30_000, "  v#: 1\n") + "steps: [{get: /}]\n",
		"too many headers":        head + "headers:\n" + many(30_000, "  h#: 1\n") + "steps: [{get: /}]\n",
		"too many criteria":       head + "steps: [{get: /}]\nslo:\n" + strings.Repeat("- p99 < 1s\n", 30_000),
		"aliases of aliases":      laughs(9),
		"a merged mapping":        head + "vars: &v {" + many(900, "v#: 1, ") + "}\nsteps:\n" + strings.Repeat("- {get: /, form: {<<: *v}}\n", 1_000),
		"a key of a megabyte":     strings.Repeat("x", 1<<20) + ": 1\n",
	} {
		t.Run(name, func(t *testing.T) {
			if all := said(t, text); len(all.Error()) > 100_000 {
				t.Errorf("%d bytes are said", len(all.Error()))
			}
		})
	}
	// What is many but right is taken.
	f := parse(t, head+"steps:\n"+strings.Repeat("- get: /\n", maxSteps))
	if st := f.Scenarios[0].Steps; len(st) != maxSteps || st[maxSteps-1].Name != fmt.Sprintf("GET / #%d", maxSteps) {
		t.Errorf("%d steps", len(st))
	}
}

// stair is a file that goes one level deeper with each line.
func stair(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestMistakesBeyondTheReportAreMentioned(t *testing.T) {
	_, err := Parse("a.yaml", []byte(head+"x: 1\nsteps:\n"+strings.Repeat("- {get: /, think: 5}\n", 80)), testEnv)
	var all Errors
	if !errors.As(err, &all) || len(all) != maxErrors+1 {
		t.Fatalf("%d problems", len(all))
	}
	if last := all[maxErrors]; !strings.Contains(last.Msg, "more mistakes") || all[0].Line != 2 {
		t.Errorf("first %v, last %v", all[0], last)
	}
}
