package peer

import (
	"context"
	"slices"
	"sync"
	"time"

	"lt/engine/metrics"
	"lt/peer/sshproc"
)

// prompts are the questions that wait for somebody's answer.
type prompts struct {
	mu   sync.Mutex
	last int // number given
	open []*question
}

type question struct {
	metrics.Prompt
	until  time.Time   // zero: for ever
	answer chan string // closed: refused
}

// ask is a sshproc.Prompter.
func (p *prompts) ask(ctx context.Context, q sshproc.Prompt) (string, bool) {
	asked := &question{Prompt: metrics.Prompt{Source: q.Peer, Text: q.Text, Secret: q.Secret, Choice: q.Choice}, answer: make(chan string, 1)}
	asked.until, _ = ctx.Deadline()
	p.mu.Lock()
	p.last++
	asked.ID = p.last
	p.open = append(p.open, asked)
	p.mu.Unlock()
	defer p.close(asked.ID)
	select {
	case text, ok := <-asked.answer:
		return text, ok
	case <-ctx.Done():
		return "", false
	}
}

// close takes a question away, and gives it to whoever did it.
func (p *prompts) close(id int) *question {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.open, func(q *question) bool { return q.ID == id })
	if i < 0 {
		return nil
	}
	q := p.open[i]
	p.open = slices.Delete(p.open, i, i+1)
	return q
}

// Prompts are the questions that wait for an answer, the one to be asked first.
func (f *Fleet) Prompts() []metrics.Prompt {
	p := &f.prompts
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []metrics.Prompt
	for _, q := range p.open {
		if !q.until.IsZero() {
			q.Left = max(0, time.Until(q.until))
		}
		out = append(out, q.Prompt)
	}
	return out
}

// Answer answers a prompt, or refuses it; one that is over already is ignored.
func (f *Fleet) Answer(id int, text string, ok bool) {
	q := f.prompts.close(id)
	switch {
	case q == nil:
	case ok:
		q.answer <- text
	default:
		close(q.answer)
	}
}
