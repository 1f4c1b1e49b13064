package shop

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// client speaks to a shop as a browser with a cookie jar does.
type client struct {
	t    *testing.T
	base string
	http http.Client
}

// serve starts a shop on a loopback port for the length of a test.
func serve(t *testing.T, c Config) (*Server, *client) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(c)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s, newClient(t, "http://"+l.Addr().String(), nil)
}

func newClient(t *testing.T, base string, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 1000}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t: t, base: base, http: http.Client{Transport: transport, Jar: jar}}
}

type answered struct {
	status int
	header http.Header
	body   string
}

func (c *client) do(method, path, contentType, body string, header ...string) answered {
	c.t.Helper()
	r, err := http.NewRequest(method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a, err := c.http.Do(r)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answered{a.StatusCode, a.Header, string(text)}
}

func (c *client) get(path string, header ...string) answered {
	c.t.Helper()
	return c.do("GET", path, "", "", header...)
}

func (c *client) json(path, body string) answered {
	c.t.Helper()
	return c.do("POST", path, "application/json", body)
}

func (c *client) form(path string, pairs ...string) answered {
	c.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return c.do("POST", path, "application/x-www-form-urlencoded", form.Encode())
}

func (c *client) login() {
	c.t.Helper()
	c.want(c.json("/api/login", `{"email": "ada@example.com", "password": "secret"}`), 200)
}

func (c *client) want(a answered, status int) answered {
	c.t.Helper()
	if a.status != status {
		c.t.Fatalf("status %d, want %d; body: %s", a.status, status, a.body)
	}
	return a
}

func decode[T any](t *testing.T, a answered) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return v
}

type productView struct {
	ID     int
	Name   string
	Price  float64
	Stock  int
	CSRF   string
	Action string
}

func TestJourneyFromLoginToLogout(t *testing.T) {
	s, c := serve(t, Config{Seed: 1})
	if home := c.want(c.get("/"), 200); !strings.Contains(home.body, "<h1>") {
		t.Errorf("home: %s", home.body)
	}
	login := c.want(c.json("/api/login", `{"email": "ada@example.com", "password": "secret"}`), 200)
	cookie := login.header.Get("Set-Cookie")
	for _, part := range []string{"session=", "Path=/", "HttpOnly"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("no %q in the cookie %q", part, cookie)
		}
	}
	session := decode[struct{ Token, CSRF string }](t, login)
	if session.Token == "" || !strings.Contains(cookie, session.Token) {
		t.Errorf("the token %q is not that of the cookie %q", session.Token, cookie)
	}

	p := decode[productView](t, c.want(c.get("/products/13", "Accept", "application/json"), 200))
	if p.ID != 13 || p.Price <= 0 || p.Stock <= 0 || p.CSRF != session.CSRF || p.Action != "Add to cart" {
		t.Errorf("product 13: %+v", p)
	}
	html := c.want(c.get("/products/13"), 200).body
	for _, part := range []string{"Add to cart", `<input type="hidden" name="csrf" value="` + session.CSRF + `">`, p.Name} {
		if !strings.Contains(html, part) {
			t.Errorf("no %q in the product's page:\n%s", part, html)
		}
	}

	c.want(c.json("/checkout", ""), 409)
	c.want(c.form("/cart", "id", "13", "csrf", p.CSRF), 201)
	c.want(c.form("/cart", "id", "13", "csrf", p.CSRF), 201)
	cart := decode[struct {
		Items int
		Total float64
	}](t, c.want(c.form("/cart", "id", "7", "csrf", p.CSRF), 201))
	seven := decode[productView](t, c.get("/products/7", "Accept", "application/json"))
	if want := 2*p.Price + seven.Price; cart.Items != 3 || cart.Total < want-0.001 || cart.Total > want+0.001 {
		t.Errorf("cart %+v, want 3 things for %.2f", cart, want)
	}
	if got := c.want(c.get("/cart"), 200).body; !strings.Contains(got, `"quantity":2`) {
		t.Errorf("cart: %s", got)
	}
	order := decode[struct {
		Order string
		Items int
	}](t, c.want(c.json("/checkout", `{"payment": "card"}`), 200))
	if order.Order == "" || order.Items != 3 {
		t.Errorf("order %+v, want 3 things", order)
	}
	c.want(c.json("/checkout", `{"payment": "card"}`), 409)
	c.want(c.form("/logout"), 204)
	c.want(c.get("/cart"), 401)
	if got := s.Stats().Sessions; got != 1 {
		t.Errorf("%d sessions, want 1", got)
	}
}

func TestCartNeedsItsOwnSessionAndCSRF(t *testing.T) {
	_, ada := serve(t, Config{})
	bob := newClient(t, ada.base, nil)
	ada.login()
	bob.login()
	adas := decode[productView](t, ada.get("/products/1", "Accept", "application/json")).CSRF
	bobs := decode[productView](t, bob.get("/products/1", "Accept", "application/json")).CSRF
	if adas == bobs {
		t.Fatal("two sessions have one csrf token")
	}
	ada.want(ada.form("/cart", "id", "1"), 403)
	ada.want(ada.form("/cart", "id", "1", "csrf", bobs), 403)
	ada.want(ada.form("/cart", "id", "0", "csrf", adas), 422)
	ada.want(ada.form("/cart", "id", "shoe", "csrf", adas), 422)
	ada.want(ada.json("/cart", `{"id": 1}`), 415)
	ada.want(ada.form("/cart", "id", "1", "csrf", adas), 201)
	if items := decode[cartItems](t, bob.want(bob.get("/cart"), 200)).Items; items != 0 {
		t.Errorf("bob finds %d things in his cart that ada put into hers", items)
	}

	nobody := newClient(t, ada.base, nil)
	nobodys := decode[productView](t, nobody.get("/products/1", "Accept", "application/json")).CSRF
	nobody.want(nobody.form("/cart", "id", "1", "csrf", nobodys), 401)
	nobody.want(nobody.get("/cart"), 401)
	nobody.want(nobody.json("/checkout", ""), 401)

	token := decode[struct{ Token string }](t, nobody.json("/api/login", `{"email":"c@example.com","password":"x"}`)).Token
	other := newClient(t, ada.base, nil)
	other.want(other.get("/cart", "Authorization", "Bearer "+token), 200)
	other.want(other.get("/cart", "Authorization", "Bearer wrong"), 401)
}

type cartItems struct{ Items int }

func TestListAndSearch(t *testing.T) {
	_, c := serve(t, Config{})
	type list struct {
		Page, Pages, Total int
		Products           []productView
	}
	seen := map[int]bool{}
	pages := decode[list](t, c.get("/products")).Pages
	for n := 1; n <= pages; n++ {
		l := decode[list](t, c.want(c.get("/products?page="+strconv.Itoa(n)), 200))
		if l.Page != n {
			t.Errorf("page %d says that it is %d", n, l.Page)
		}
		for _, p := range l.Products {
			seen[p.ID] = true
			if p.Stock < 1 || p.Price < 1 || p.Name == "" {
				t.Errorf("product %+v", p)
			}
		}
	}
	if len(seen) != catalogueSize {
		t.Errorf("the pages show %d products, want %d", len(seen), catalogueSize)
	}
	c.want(c.get("/products?page=0"), 404)
	c.want(c.get("/products?page=26"), 404)
	c.want(c.get("/products?page=x"), 400)
	c.want(c.get("/products/501"), 404)
	c.want(c.get("/products/x"), 404)

	found := decode[list](t, c.want(c.get("/search?q=SHOES"), 200))
	if found.Total != 50 || len(found.Products) != pageSize {
		t.Errorf("%d shoes of which %d are listed, want 50 and %d", found.Total, len(found.Products), pageSize)
	}
	for _, p := range found.Products {
		if !strings.Contains(p.Name, "shoes") {
			t.Errorf("%q was found for shoes", p.Name)
		}
	}
	if none := c.want(c.get("/search?q=unicorn"), 200); !strings.Contains(none.body, `"products":[]`) {
		t.Errorf("nothing found: %s", none.body)
	}
	c.want(c.get("/search"), 400)
}

func TestWrongRequests(t *testing.T) {
	_, c := serve(t, Config{})
	c.want(c.get("/nothing"), 404)
	for path, allow := range map[string]string{"/cart": "GET, HEAD, POST", "/checkout": "POST", "/stats": "DELETE, GET, HEAD"} {
		if got := c.want(c.do("PUT", path, "", ""), 405).header.Get("Allow"); got != allow {
			t.Errorf("PUT %s: Allow %q, want %q", path, got, allow)
		}
	}
	c.want(c.json("/api/login", "email=ada"), 400)
	c.want(c.json("/api/login", `{"email": "ada@example.com"}`), 401)
	c.want(c.json("/api/login", strings.Repeat(" ", maxBody+1)), 413)
	c.login()
	c.want(c.json("/checkout", `{"payment"`), 400)
	if a := c.want(c.do("HEAD", "/products/13", "", ""), 200); a.body != "" || a.header.Get("Content-Length") == "" {
		t.Errorf("HEAD: %+v", a)
	}
	c.want(c.get("/healthz"), 204)
}

func TestAcceptChoosesTheForm(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "text/html": false, "application/json": true, "application/*": true,
		"application/json, text/html": false, "text/html;q=0.5, application/json": true, "application/json;q=0": false,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": false,
		"application/json, */*;q=0.1":                                     true, "Application/JSON ; Q=0.9 , text/*;q=0.2": true,
	} {
		if got := prefersJSON(accept); got != want {
			t.Errorf("Accept %q: JSON %v, want %v", accept, got, want)
		}
	}
}

func TestOldestSessionGoesFirst(t *testing.T) {
	ss := newSessions(1, 2)
	one, _, _ := ss.create()
	two, _, _ := ss.create()
	ss.with(one, func(*session) {}) // now two is the one unused for longest
	three, _, evicted := ss.create()
	if !evicted {
		t.Error("the third session of two evicted nobody")
	}
	for token, want := range map[string]bool{one: true, two: false, three: true} {
		if got := ss.with(token, func(*session) {}); got != want {
			t.Errorf("session %s is there: %v, want %v", token, got, want)
		}
	}
}

func FuzzAccept(f *testing.F) {
	f.Add("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	f.Add("application/json;q=1;q=,;=")
	f.Fuzz(func(t *testing.T, accept string) {
		// A field can only prefer JSON if it has a range that takes JSON in.
		if prefersJSON(accept) && !strings.Contains(accept, "*") && !strings.Contains(strings.ToLower(accept), "json") {
			t.Errorf("Accept %q prefers JSON", accept)
		}
	})
}
