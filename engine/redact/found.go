package redact

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// SecretName reports whether a variable, parameter, member or header field of that name holds a secret, as far as a name can tell.
func SecretName(name string) bool { return secretName(name) || secretField(name) }

// headSecrets are the values that a message's head has in a secret's place: credentials, cookies, keys and tokens in
// fields, userinfo and telling parameters in URLs.
func headSecrets(head string) []string {
	var found []string
	for i, line := range strings.Split(strings.ReplaceAll(head, "\r\n", "\n"), "\n") {
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case i == 0 || !ok:
			for _, word := range strings.Fields(line) {
				found = append(found, urlSecrets(word)...)
			}
		case secretField(name):
			found = append(found, fieldSecrets(name, value)...)
		default:
			found = append(found, urlSecrets(value)...)
		}
	}
	return found
}

// fieldSecrets are the parts of a secret field that maskField hides.
func fieldSecrets(name, value string) []string {
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "authorization", "proxy-authorization":
		scheme, rest, ok := strings.Cut(value, " ")
		if !ok {
			return []string{value}
		}
		rest = strings.TrimSpace(rest)
		if plain, err := base64.StdEncoding.DecodeString(rest); err == nil && strings.EqualFold(scheme, "basic") {
			_, password, _ := strings.Cut(string(plain), ":")
			return []string{rest, password}
		}
		return []string{rest}
	case "www-authenticate", "proxy-authenticate":
		return nil // a challenge repeats the name of the realm, which is no secret
	case "cookie":
		var found []string
		for _, pair := range strings.Split(value, ";") {
			_, v, ok := strings.Cut(pair, "=")
			if !ok {
				v = pair
			}
			found = append(found, cookieValue(v))
		}
		return found
	case "set-cookie":
		pair, _, _ := strings.Cut(value, ";")
		if _, v, ok := strings.Cut(pair, "="); ok {
			return []string{cookieValue(v)}
		}
		return []string{cookieValue(pair)}
	}
	return []string{value}
}

func cookieValue(s string) string { return strings.Trim(strings.TrimSpace(s), `"`) }

// urlSecrets are the password and the telling parameters of one URL, whole or relative.
func urlSecrets(s string) []string {
	if !strings.ContainsAny(s, "?#@") {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil
	}
	var found []string
	if password, ok := u.User.Password(); ok {
		found = append(found, password)
	}
	return append(append(found, pairSecrets(u.RawQuery)...), pairSecrets(u.EscapedFragment())...)
}

func pairSecrets(query string) []string {
	var found []string
	for _, p := range strings.Split(query, "&") {
		k, v, ok := strings.Cut(p, "=")
		if !ok || !secretName(k) && !strings.EqualFold(k, "code") {
			continue
		}
		found = append(found, v)
		if plain, err := url.QueryUnescape(v); err == nil {
			found = append(found, plain)
		}
	}
	return found
}

// bodySecrets are the strings that a body has under a telling name, as JSON or as a form.
func bodySecrets(body string) []string {
	found := pairSecrets(body)
	for i := 0; i < len(body); {
		if body[i] != '"' {
			i++
			continue
		}
		end := stringEnd(body, i)
		v := skipSpace(body, end)
		if v >= len(body) || body[v] != ':' {
			if i++; v < len(body) && (body[v] == ',' || body[v] == '}' || body[v] == ']') {
				i = end
			}
			continue
		}
		name := body[i+1 : max(end-1, i+1)]
		if v = skipSpace(body, v+1); v < len(body) && body[v] == '"' && secretName(name) {
			to := stringEnd(body, v)
			found = append(found, strings.ReplaceAll(body[v+1:max(to-1, v+1)], `\/`, "/"))
			v = to
		}
		i = v
	}
	return found
}
