package ledger

import (
	"regexp"
	"strings"

	"lt/engine/redact"
)

// secretField finds what follows the name of a field that usually holds a secret, in YAML and in JSON, on a line of its own or
// within braces.
var secretField = regexp.MustCompile(`(?i)([\w-]*(?:authorization|cookie|password|passwd|secret|token|api[-_]?key|credential)[\w-]*["']?\s*:[ \t]*)("(?:[^"\\\n]|\\.)*"|'(?:[^'\n]|'')*'|[^\s,{}\[\]"'][^,}\n]*)`)

// filledIn finds what is no secret itself: references to the environment, and values that a run fills in or takes out.
var filledIn = regexp.MustCompile(`\$\{[^}]*\}|\{\{[^}]*\}\}`)

// harmless is what a value may hold beside what is filled in: the name of a scheme, a place in an answer.
var harmless = regexp.MustCompile(`^(?i:["']?(?:bearer|basic|token|keep|reset|off|true|false|null|~|\d{1,5})?\s*["']?)$`)

// maskText hides what was written into a scenario's text as a literal secret, so that the text can be kept in a record.
// References to the environment stay as they are: they are what should stand there.
func maskText(text string, secrets []string) string {
	text = redact.New(secrets).Text(text)
	return secretField.ReplaceAllStringFunc(text, func(m string) string {
		parts := secretField.FindStringSubmatch(m)
		name, value := parts[1], parts[2]
		bare := strings.Trim(value, `"' `)
		if harmless.MatchString(filledIn.ReplaceAllString(value, "")) || strings.HasPrefix(bare, "$.") || strings.HasPrefix(bare, "$[") || strings.HasPrefix(bare, "/") {
			return m
		}
		return name + redact.Mask
	})
}
