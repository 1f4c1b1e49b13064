package shop

import (
	"container/list"
	"crypto/subtle"
	"fmt"
	"sync"
)

// maxSessions bounds the memory of the sessions, some 400 bytes each with an ordinary cart: 40 MB. Beyond it the session
// that was unused for longest goes, and its owner gets 401 as if it had expired.
const maxSessions = 100_000

// maxQuantity bounds how many of one product a cart takes; more are not added.
const maxQuantity = 99

// line is a position of a cart. A cart has at most one for each product of the catalogue, which bounds it.
type line struct {
	id       int
	quantity int
}

type session struct {
	token string
	csrf  string
	cart  []line
}

// total is the number of things in the cart and what they cost.
func (s *session) total() (items int, sum cents) {
	for _, l := range s.cart {
		items += l.quantity
		sum += cents(l.quantity) * productByID(l.id).Price
	}
	return items, sum
}

func (s *session) add(id int) {
	for i := range s.cart {
		if s.cart[i].id == id {
			s.cart[i].quantity = min(s.cart[i].quantity+1, maxQuantity)
			return
		}
	}
	s.cart = append(s.cart, line{id, 1})
}

// sessions holds who is logged in. Its methods may be called concurrently; a session is touched only inside with.
type sessions struct {
	seed  uint64
	limit int

	mu      sync.Mutex
	byToken map[string]*list.Element // of *session
	recent  list.List                // most recently used first
	created uint64
	orders  uint64
}

func newSessions(seed uint64, limit int) *sessions {
	return &sessions{seed: seed, limit: limit, byToken: make(map[string]*list.Element)}
}

// create opens a session. Its token is the next one of the seed: unique within a shop, and not a secret.
func (ss *sessions) create() (token, csrf string, evicted bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	token = ss.id(drawSession, ss.created)
	ss.created++
	csrf = csrfOf(ss.seed, token)
	ss.byToken[token] = ss.recent.PushFront(&session{token: token, csrf: csrf})
	if ss.recent.Len() > ss.limit {
		oldest := ss.recent.Remove(ss.recent.Back()).(*session)
		delete(ss.byToken, oldest.token)
		evicted = true
	}
	return token, csrf, evicted
}

func (ss *sessions) id(p purpose, n uint64) string {
	return fmt.Sprintf("%016x%016x", hash(ss.seed, p, 2*n), hash(ss.seed, p, 2*n+1))
}

// with calls f with the session of a token and tells whether there is one.
func (ss *sessions) with(token string, f func(*session)) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	e, ok := ss.byToken[token]
	if !ok {
		return false
	}
	ss.recent.MoveToFront(e)
	f(e.Value.(*session))
	return true
}

// order empties the cart of a session and returns what was in it. A cart without anything is left alone: items is 0.
func (ss *sessions) order(token string) (id string, items int, sum cents, ok bool) {
	ok = ss.with(token, func(s *session) {
		if items, sum = s.total(); items == 0 {
			return
		}
		s.cart = nil
		id = ss.id(drawOrder, ss.orders)
		ss.orders++
	})
	return id, items, sum, ok
}

// remove ends a session, if there is one.
func (ss *sessions) remove(token string) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if e, ok := ss.byToken[token]; ok {
		ss.recent.Remove(e)
		delete(ss.byToken, token)
	}
}

// csrfOf is the form token that belongs to a session token.
func csrfOf(seed uint64, token string) string {
	h := hash(seed, drawCSRF, uint64(len(token)))
	for _, b := range []byte(token) {
		h = mix(h ^ uint64(b))
	}
	return fmt.Sprintf("%016x", h)
}

func sameToken(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
