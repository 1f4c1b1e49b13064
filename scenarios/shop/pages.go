package shop

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// sessionCookie is the name of the cookie that holds the session's token.
const sessionCookie = "session"

// routes builds the two halves of the API. http.ServeMux answers 404 and 405 (with Allow) for what is not in them.
func (s *Server) routes() (shop, control *http.ServeMux) {
	shop = http.NewServeMux()
	for _, page := range []struct {
		pattern, route string
		serve          pageFunc
	}{
		{"GET /{$}", "GET /", s.home},
		{"POST /api/login", "POST /api/login", s.login},
		{"GET /products", "GET /products", s.list},
		{"GET /products/{id}", "GET /products/{id}", s.product},
		{"GET /search", "GET /search", s.search},
		{"GET /cart", "GET /cart", s.cart},
		{"POST /cart", "POST /cart", s.addToCart},
		{"POST /checkout", "POST /checkout", s.checkout},
		{"POST /logout", "POST /logout", s.logout},
	} {
		shop.Handle(page.pattern, s.behind(page.route, page.serve))
	}
	control = http.NewServeMux()
	control.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.Stats()) })
	control.HandleFunc("DELETE /stats", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.Reset()) })
	control.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return shop, control
}

// answer writes a value as JSON. The values are our own and always encode; what cannot be written has no reader left.
func answer(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("shop: encode %T: %v", v, err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}

// fail answers with an error as JSON.
func fail(w http.ResponseWriter, status int, message string) {
	answer(w, status, struct {
		Error string `json:"error"`
	}{message})
}

func answerHTML(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write([]byte(text))
}

const homePage = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>The bundled shop</title></head>
<body>
<h1>The bundled shop</h1>
<form action="/search"><input name="q" placeholder="shoes"><button>Search</button></form>
<ul>
<li><a href="/products">All products</a></li>
<li><a href="/products/13">Today's offer</a></li>
<li><a href="/cart">Your cart</a></li>
</ul>
</body>
</html>
`

func (s *Server) home(w http.ResponseWriter, _ *http.Request, _ []byte) { answerHTML(w, homePage) }

func (s *Server) login(w http.ResponseWriter, _ *http.Request, body []byte) {
	var who struct{ Email, Password string }
	if err := json.Unmarshal(body, &who); err != nil {
		fail(w, http.StatusBadRequest, `the body must be JSON such as {"email": "ada@example.com", "password": "secret"}`)
		return
	}
	if !strings.Contains(who.Email, "@") || who.Password == "" {
		fail(w, http.StatusUnauthorized, "an email address and a password are needed; any will do")
		return
	}
	token, csrf, evicted := s.sessions.create()
	w.(*exchange).epoch.opened(evicted)
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	answer(w, http.StatusOK, struct {
		Token string `json:"token"`
		CSRF  string `json:"csrf"`
		Email string `json:"email"`
	}{token, csrf, who.Email})
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, _ []byte) {
	number := 1
	if text := r.URL.Query().Get("page"); text != "" {
		var err error
		if number, err = strconv.Atoi(text); err != nil {
			fail(w, http.StatusBadRequest, "page must be a number")
			return
		}
	}
	products := page(number)
	if products == nil {
		fail(w, http.StatusNotFound, fmt.Sprintf("there are pages 1 to %d", pages()))
		return
	}
	answer(w, http.StatusOK, struct {
		Page     int       `json:"page"`
		Pages    int       `json:"pages"`
		Products []product `json:"products"`
	}{number, pages(), products})
}

var productPage = template.Must(template.New("product").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{{.Name}}</title></head>
<body>
<h1>{{.Name}}</h1>
<p class="price">{{.Price}}</p>
<p class="stock">{{.Stock}} in stock</p>
<form method="post" action="/cart">
<input type="hidden" name="id" value="{{.ID}}">
<input type="hidden" name="csrf" value="{{.CSRF}}">
<button>Add to cart</button>
</form>
</body>
</html>
`))

func (s *Server) product(w http.ResponseWriter, r *http.Request, _ []byte) {
	id, err := strconv.Atoi(r.PathValue("id"))
	p := productByID(id)
	if err != nil || p == nil {
		fail(w, http.StatusNotFound, fmt.Sprintf("there are products 1 to %d", len(catalogue)))
		return
	}
	view := struct {
		product
		CSRF   string `json:"csrf"`
		Action string `json:"action"`
	}{*p, csrfOf(s.config.Seed, token(r)), "Add to cart"}
	w.Header().Set("Vary", "Accept, Authorization, Cookie")
	if prefersJSON(r.Header.Get("Accept")) {
		answer(w, http.StatusOK, view)
		return
	}
	var text strings.Builder
	if err := productPage.Execute(&text, view); err != nil {
		panic(fmt.Sprintf("shop: product page: %v", err))
	}
	answerHTML(w, text.String())
}

func (s *Server) search(w http.ResponseWriter, r *http.Request, _ []byte) {
	query := strings.TrimSpace(r.URL.Query().Get("q"))
	if query == "" {
		fail(w, http.StatusBadRequest, "say what to look for: /search?q=shoes")
		return
	}
	found, total := search(query)
	answer(w, http.StatusOK, struct {
		Query    string    `json:"q"`
		Total    int       `json:"total"`
		Products []product `json:"products"`
	}{query, total, found})
}

type cartView struct {
	Items int        `json:"items"`
	Total cents      `json:"total"`
	Lines []cartLine `json:"lines"`
}

type cartLine struct {
	ID       int    `json:"id"`
	Name     string `json:"name"`
	Quantity int    `json:"quantity"`
	Price    cents  `json:"price"`
}

func viewOf(s *session) cartView {
	v := cartView{Lines: make([]cartLine, 0, len(s.cart))}
	v.Items, v.Total = s.total()
	for _, l := range s.cart {
		p := productByID(l.id)
		v.Lines = append(v.Lines, cartLine{ID: l.id, Name: p.Name, Quantity: l.quantity, Price: p.Price})
	}
	return v
}

func (s *Server) cart(w http.ResponseWriter, r *http.Request, _ []byte) {
	var view cartView
	if !s.sessions.with(token(r), func(own *session) { view = viewOf(own) }) {
		unauthorized(w)
		return
	}
	answer(w, http.StatusOK, view)
}

func (s *Server) addToCart(w http.ResponseWriter, r *http.Request, body []byte) {
	form, formErr := url.ParseQuery(string(body))
	id, idErr := strconv.Atoi(form.Get("id"))
	status := http.StatusCreated
	var view cartView
	known := s.sessions.with(token(r), func(own *session) {
		switch {
		case formErr != nil || !isForm(r.Header.Get("Content-Type")):
			status = http.StatusUnsupportedMediaType
		case !sameToken(form.Get("csrf"), own.csrf):
			status = http.StatusForbidden
		case idErr != nil || productByID(id) == nil:
			status = http.StatusUnprocessableEntity
		default:
			own.add(id)
			view = viewOf(own)
		}
	})
	switch {
	case !known:
		unauthorized(w)
	case status == http.StatusUnsupportedMediaType:
		fail(w, status, "send a form (application/x-www-form-urlencoded) with id and csrf")
	case status == http.StatusForbidden:
		fail(w, status, "csrf is missing or belongs to another session; a product's page has the right one")
	case status == http.StatusUnprocessableEntity:
		fail(w, status, fmt.Sprintf("id must be a product, 1 to %d", len(catalogue)))
	default:
		answer(w, status, view)
	}
}

func (s *Server) checkout(w http.ResponseWriter, r *http.Request, body []byte) {
	var payment map[string]any
	if len(body) > 0 && json.Unmarshal(body, &payment) != nil {
		fail(w, http.StatusBadRequest, `the body must be empty or a JSON object such as {"payment": "card"}`)
		return
	}
	id, items, sum, ok := s.sessions.order(token(r))
	switch {
	case !ok:
		unauthorized(w)
	case items == 0:
		fail(w, http.StatusConflict, "the cart is empty")
	default:
		answer(w, http.StatusOK, struct {
			Order string `json:"order"`
			Items int    `json:"items"`
			Total cents  `json:"total"`
		}{id, items, sum})
	}
}

// logout is right also for who is not logged in: repeating it changes nothing.
func (s *Server) logout(w http.ResponseWriter, r *http.Request, _ []byte) {
	s.sessions.remove(token(r))
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	w.WriteHeader(http.StatusNoContent)
}

func unauthorized(w http.ResponseWriter) {
	fail(w, http.StatusUnauthorized, "no session; log in with POST /api/login first")
}

// token is what a request claims to be its session: the bearer token, else the cookie, else nothing.
func token(r *http.Request) string {
	if scheme, t, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "bearer") {
		return strings.TrimSpace(t)
	}
	if c, err := r.Cookie(sessionCookie); err == nil {
		return c.Value
	}
	return ""
}

func isForm(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded")
}

// prefersJSON tells whether an Accept field (RFC 9110 section 12.5.1) ranks JSON above HTML. HTML is the page's own
// form: it is sent where both are equally welcome.
func prefersJSON(accept string) bool {
	var asJSON, asHTML quality
	for part := range strings.SplitSeq(accept, ",") {
		media, params, _ := strings.Cut(part, ";")
		q := 1.0
		for p := range strings.SplitSeq(params, ";") {
			if name, value, ok := strings.Cut(strings.TrimSpace(p), "="); ok && strings.EqualFold(name, "q") {
				if v, err := strconv.ParseFloat(value, 64); err == nil {
					q = v
				}
			}
		}
		switch strings.ToLower(strings.TrimSpace(media)) {
		case "application/json":
			asJSON.set(3, q)
		case "text/html":
			asHTML.set(3, q)
		case "application/*":
			asJSON.set(2, q)
		case "text/*":
			asHTML.set(2, q)
		case "*/*":
			asJSON.set(1, q)
			asHTML.set(1, q)
		}
	}
	return asJSON.q > asHTML.q
}

// quality is how welcome a media type is, by the most specific range that names it.
type quality struct {
	specific int
	q        float64
}

func (v *quality) set(specific int, q float64) {
	if specific > v.specific {
		v.specific, v.q = specific, q
	}
}
