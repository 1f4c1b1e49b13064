package ledger

import (
	"strings"
	"testing"
	"time"
)

func TestLiteralSecretsAreMasked(t *testing.T) {
	text := `vars: {password: "${SHOP_PASSWORD}", user: ada}
http:
  cookies: reset
  headers: {Authorization: "Bearer canary1", Accept: text/html}
steps:
  - post: /login
    json: {email: a@b.c, password: canary2}
    extract: {token: $.token, csrf_token: /x(.)/}
  - get: https://ada:canary3@shop.test/?token=canary4&q=shoes
    headers:
      Authorization: "Bearer {{token}}"
      X-Api-Key: canary5
      Cookie: 'sid=canary6'
  - get: "/p?access_token=canary7&x={{token}}&q=boots"
  - {get: /p?page=2&code=canary8, think: 2s}
  - {get: "/p?token={{token}}", json: {pw: canary9}}
  - {post: /f, body: "name=ada&password=canary10%26"}
  - {post: /f, body: 'pin=canary11'}
  - get: /p?sig=canary12{{token}}
  - {post: /f, json: {pin: 4711, cvv: "4712", password: 47113, retries: 4}}
  - {post: "/f?otp=4714&page=48", json: {session: 49}}
`
	masked := maskText(text, []string{"canaryenv"})
	if strings.Contains(masked, "canary") || strings.Contains(masked, "471") {
		t.Errorf("a secret is left:\n%s", masked)
	}
	for _, keep := range []string{`password: "${SHOP_PASSWORD}"`, "cookies: reset", "Accept: text/html", "token: $.token", "csrf_token: /x(.)/", `Authorization: "Bearer {{token}}"`, "q=shoes", "user: ada", "&x={{token}}&q=boots\"", "page=2&code=***, think: 2s}", `"/p?token={{token}}"`, "name=ada&", "retries: 4}", "page=48", "session: 49"} {
		if !strings.Contains(masked, keep) {
			t.Errorf("%q is gone:\n%s", keep, masked)
		}
	}
}

func TestIDsSortByTime(t *testing.T) {
	at := time.Date(2026, 11, 21, 4, 55, 0, 0, time.UTC)
	seen := map[string]bool{}
	last := ""
	for range 1000 {
		id := NewID(at)
		if len(id) != 10 || seen[id] || id[:5] < last {
			t.Fatalf("%q after %q", id, last)
		}
		seen[id], last = true, id[:5]
		at = at.Add(time.Hour)
	}
}

func FuzzMaskText(f *testing.F) {
	f.Add("password: hunter2\n")
	f.Add(`{"token": "a\"b", cookie: 'x''y'}`)
	f.Fuzz(func(t *testing.T, text string) {
		once := maskText(text, nil)
		if twice := maskText(once, nil); len(twice) > len(once)+64 {
			t.Errorf("it grows: %q, %q", once, twice)
		}
		if masked := maskText(text+"\npassword: hunter2xyz\n", nil); strings.Contains(masked, "hunter2xyz") && !strings.ContainsAny(text, "\"'") {
			t.Errorf("the secret is left: %q", masked)
		}
	})
}
