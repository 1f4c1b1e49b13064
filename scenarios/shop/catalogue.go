package shop

import (
	"fmt"
	"strings"
)

const (
	catalogueSize = 500 // products are numbered from 1
	pageSize      = 20
)

// cents is an amount of money. As JSON it is a number with two decimals.
type cents int

func (c cents) String() string               { return fmt.Sprintf("%d.%02d", c/100, c%100) }
func (c cents) MarshalJSON() ([]byte, error) { return []byte(c.String()), nil }

type product struct {
	ID    int    `json:"id"`
	Name  string `json:"name"`
	Price cents  `json:"price"`
	Stock int    `json:"stock"`

	lower string // name for searching
}

var (
	colours   = []string{"red", "blue", "green", "black", "white", "grey", "orange", "violet", "brown", "yellow"}
	materials = []string{"cotton", "leather", "wool", "canvas", "linen", "suede", "rubber", "denim", "silk", "felt"}
	things    = []string{"shoes", "boots", "jacket", "hat", "gloves", "scarf", "bag", "belt", "socks", "coat"}
)

// catalogue is the whole assortment. It is the same in every shop: prices and stock come from a stream of their own, and
// stock never falls, so that a check on it holds for the whole of a run.
var catalogue = func() []product {
	list := make([]product, catalogueSize)
	for i := range list {
		name := fmt.Sprintf("%s %s %s", colours[i/50], materials[i/5%10], things[(i+i/10)%10])
		list[i] = product{
			ID:    i + 1,
			Name:  strings.ToUpper(name[:1]) + name[1:],
			Price: cents(990 + 10*(hash(0, drawPrice, uint64(i))%1900)),
			Stock: int(1 + hash(0, drawStock, uint64(i))%100),
			lower: name,
		}
	}
	return list
}()

// productByID is nil if there is no such product.
func productByID(id int) *product {
	if id < 1 || id > len(catalogue) {
		return nil
	}
	return &catalogue[id-1]
}

// pages is how many pages the list of products has.
func pages() int { return (len(catalogue) + pageSize - 1) / pageSize }

// page is one page of the list, numbered from 1; nil if there is none.
func page(n int) []product {
	if n < 1 || n > pages() {
		return nil
	}
	return catalogue[(n-1)*pageSize : min(n*pageSize, len(catalogue))]
}

// search returns the first matches, at most a page of them, and how many there are in all. Case is ignored.
func search(query string) (found []product, total int) {
	query = strings.ToLower(query)
	found = make([]product, 0, pageSize)
	for i := range catalogue {
		if !strings.Contains(catalogue[i].lower, query) {
			continue
		}
		if total++; len(found) < pageSize {
			found = append(found, catalogue[i])
		}
	}
	return found, total
}
