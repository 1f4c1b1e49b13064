package peer

import (
	"fmt"

	"lt/engine/metrics"
)

// put takes a report without ever waiting for whoever reads them: nothing slow may hold a source back.
func (f *Fleet) put(r metrics.Report) {
	f.telling.Lock()
	f.backlog = append(f.backlog, r)
	f.telling.Unlock()
	nudge(f.told)
}

// say enters a sentence into the run's diary.
func (f *Fleet) say(format string, args ...any) {
	f.put(metrics.Report{Text: fmt.Sprintf(format, args...)})
}

// once says a sentence the first time.
func (f *Fleet) once(key, format string, args ...any) {
	if !f.said[key] {
		f.said[key] = true
		f.say(format, args...)
	}
}

// show tells what a source is now, and what happened to it.
func (f *Fleet) show(s *source, format string, args ...any) {
	m := f.member(s)
	r := metrics.Report{Source: s.n, Member: &m}
	if format != "" {
		r.Text = fmt.Sprintf(format, args...)
	}
	f.put(r)
}

// pump hands the reports on, in order. It ends when every member has ended and all was taken.
func (f *Fleet) pump() {
	defer f.cfg.Recover()
	defer close(f.reports)
	for range f.told {
		for {
			f.telling.Lock()
			batch, closed := f.backlog, f.closed
			f.backlog = nil
			f.telling.Unlock()
			for _, r := range batch {
				f.reports <- r
			}
			if len(batch) == 0 {
				if closed {
					return
				}
				break
			}
		}
	}
}

// Reports is read by the conductor until it is closed.
func (f *Fleet) Reports() <-chan metrics.Report { return f.reports }
