package ledger

import (
	"regexp"
	"strings"

	"lt/engine/redact"
)

// secretNames are names that usually hold a secret: what may stand within one, and what is one as a whole.
const (
	secretParts = `[\w.-]*(?:authorization|cookie|password|passwd|passphrase|secret|token|api[-_]?key|access[-_]?key|credential)[\w.-]*`
	secretWords = `(?:pw|pwd|pass|pin|otp|auth|sig|signature|sid|jwt|bearer|session|sessionid|cvv|cvc|cardnumber)`
)

// secretField finds what follows the name of a field that usually holds a secret, in YAML and in JSON, on a line of its own or
// within braces.
var secretField = regexp.MustCompile(`(?i)((?:` + secretParts + `|\b` + secretWords + `)["']?\s*:[ \t]*)("(?:[^"\\\n]|\\.)*"|'(?:[^'\n]|'')*'|[^\s,{}\[\]"'][^,}\n]*)`)

// secretPair finds such a name and its value in a URL, whole or relative, and in a form.
var secretPair = regexp.MustCompile(`(?i)((?:[?&#"'\s]|^)(?:` + secretParts + `|` + secretWords + `)=|[?&]code=)((?:\{\{[^}]*\}\}|\$\{[^}]*\}|[^&#\s"'])+)`)

// filledIn finds what is no secret itself: references to the environment, and values that a run fills in or takes out.
var filledIn = regexp.MustCompile(`\$\{[^}]*\}|\{\{[^}]*\}\}`)

// harmless is what a value may hold beside what is filled in: the name of a scheme, a word or number that sets something.
var harmless = regexp.MustCompile(`^(?i:["']?(?:bearer|basic|token|keep|reset|off|true|false|null|~|(\d{1,5}))?\s*["']?)$`)

// secretNumber is a name whose value is a secret also where it is a short number.
var secretNumber = regexp.MustCompile(`(?i)passw|passphrase|\b(?:pw|pwd|pass|pin|otp|cvv|cvc)\b`)

// isHarmless reports whether rest, what a value under the name of a secret has beside what is filled in, is none.
func isHarmless(name, rest string) bool {
	parts := harmless.FindStringSubmatch(rest)
	return parts != nil && (parts[1] == "" || !secretNumber.MatchString(name))
}

// maskText hides what was written into a scenario's text as a literal secret, so that the text can be kept in a record.
// References to the environment stay as they are: they are what should stand there.
func maskText(text string, secrets []string) string {
	text = redact.New(secrets).Text(text)
	text = secretPair.ReplaceAllStringFunc(text, func(m string) string {
		parts := secretPair.FindStringSubmatch(m)
		if isHarmless(parts[1], strings.TrimRight(filledIn.ReplaceAllString(parts[2], ""), ",}]")) {
			return m
		}
		bare := strings.TrimRight(parts[2], ",}]")
		return parts[1] + redact.Mask + parts[2][len(bare):]
	})
	return secretField.ReplaceAllStringFunc(text, func(m string) string {
		parts := secretField.FindStringSubmatch(m)
		name, value := parts[1], parts[2]
		bare := strings.Trim(value, `"' `)
		if isHarmless(name, filledIn.ReplaceAllString(value, "")) || strings.HasPrefix(bare, "$.") || strings.HasPrefix(bare, "$[") || strings.HasPrefix(bare, "/") {
			return m
		}
		return name + redact.Mask
	})
}
