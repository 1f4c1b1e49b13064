package metrics

import "sync"

// The counts of a histogram lie in pages of pageSize, of which only the touched ones exist. A thousand log-normal times
// with a median of 5 ms and a shape of 0.7 take, pages and table of pointers together, 25 KiB with pages of 128, 256 or 512
// counts, 28 KiB with 1024 and 32 KiB with 2048; a whole array would take 92 KiB. Between the first three it is even: small
// pages waste less and need a larger table.
const (
	pageBits  = 8
	pageSize  = 1 << pageBits
	tablePage = (bucketCount + pageSize - 1) / pageSize
)

// page is pageSize consecutive counts. They are 32 bits wide; what overflows goes to the table's carry.
type page [pageSize]uint32

// pageTable finds the pages of one histogram.
type pageTable struct {
	pages [tablePage]*page
	carry map[uint32]uint64 // by index, in units of 2^32: nil until a count passes 4,294,967,295
}

// Pages is a free list of histogram memory, shared by the shards that record and the collector that gives pages back. The
// zero value is ready. All methods may be called from any goroutine; a shard comes here only when it touches a part of a
// histogram for the first time in an interval.
type Pages struct {
	mu     sync.Mutex
	free   []*page
	tables []*pageTable
}

func (p *Pages) page() *page {
	if p == nil {
		return new(page)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		pg := p.free[n-1]
		p.free = p.free[:n-1]
		return pg
	}
	return new(page)
}

func (p *Pages) table() *pageTable {
	if p == nil {
		return new(pageTable)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.tables); n > 0 {
		t := p.tables[n-1]
		p.tables = p.tables[:n-1]
		return t
	}
	return new(pageTable)
}

// put clears a table and its pages and keeps them for the next histogram. The clearing happens outside the lock.
func (p *Pages) put(t *pageTable) {
	for _, pg := range t.pages {
		if pg != nil {
			*pg = page{}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, pg := range t.pages {
		if pg != nil {
			p.free = append(p.free, pg)
			t.pages[i] = nil
		}
	}
	t.carry = nil
	p.tables = append(p.tables, t)
}
