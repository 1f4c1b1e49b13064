// Package redact hides what must not be seen, and makes harmless what comes from outside before it meets a terminal, a
// report or a log.
//
// Two nets hold a secret: its place (an Authorization field, a JSON member named password, the userinfo of a URL) and its
// exact text in any of the forms in which a request may carry it, wherever it stands. The first catches secrets that we
// were never told, such as a session cookie; the second those that the scenario took from the environment. Short secrets
// are only masked by place: masking every "1234" in a body would hide the answer, not the secret.
package redact
