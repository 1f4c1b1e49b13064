package metrics

import (
	"fmt"
	"time"
)

// The thresholds of the generator's verdict. Only what bounds the error of the result makes it saturated: arrivals that we
// did not begin, our own delay against the response time, requests that failed on our own machine. Everything else says why
// and makes it strained.
const (
	sentStrained  = 0.999 // begun of scheduled, below
	sentSaturated = 0.99

	lagStrained  = 0.02 // lag against response time, p99 to p99 and p50 to p50: the result is wrong by no more than this share
	lagSaturated = 0.10
	// Lag is part of the response time and cannot be zero: the kernel wakes a sleeper 20..60 µs late. On a target that
	// answers in 100 µs that is a large share of a small figure, and no machine does better; so below lagNoise the ratio says
	// nothing, and below lagClean (what a test over a network cannot tell apart) it is worth a remark but not a refusal.
	lagNoise = 100 * time.Microsecond
	lagClean = time.Millisecond

	// In consecutive intervals, which are seconds; one that a slow link has joined from several counts once, for of the joined
	// seconds only the worst is known.
	sustained = 3 // before a cause of strain counts, so that a hiccup does not
	lasting   = 5 // in which lag alone saturates, whatever the rest of the run was like
)

// cause is a figure of the audit that explains strain.
type cause struct {
	limit float64
	value func(a *Audit) float64 // negative: unknown
	say   func(worst float64) string
}

func share(n, limit float64) float64 {
	if limit <= 0 {
		return -1
	}
	return n / limit
}

func percent(v float64) string {
	if v < 0.1 {
		return fmt.Sprintf("%.1f %%", v*100)
	}
	return fmt.Sprintf("%.0f %%", v*100)
}

func seconds3(v float64) string { return short(time.Duration(v * float64(time.Second))) }

var causes = [...]cause{
	{0.70, func(a *Audit) float64 { return share(a.CPU, a.Cores) }, func(w float64) string {
		return "this program used " + percent(w) + " of the processor time it may use (70 % is healthy): use more cores or another source"
	}},
	{0.85, func(a *Audit) float64 { return a.ShardCPU }, func(w float64) string {
		return "the busiest shard used " + percent(w) + " of its core: use more shards or another source"
	}},
	{0.01, func(a *Audit) float64 { return a.Steal }, func(w float64) string {
		return "the hypervisor took " + percent(w) + " of the processor time away: other machines on the same host are busy"
	}},
	{0.01, func(a *Audit) float64 { return a.Throttled }, func(w float64) string {
		return "the control group throttled this program in " + percent(w) + " of its periods: raise its CPU limit"
	}},
	{0.001, func(a *Audit) float64 { return a.SchedP99.Seconds() }, func(w float64) string {
		return "ready work waited up to " + seconds3(w) + " (p99) for a processor: something else runs on this machine"
	}},
	{0.0005, func(a *Audit) float64 { return a.GCPauseP99.Seconds() }, func(w float64) string {
		return "garbage collection stopped this program for up to " + seconds3(w) + " (p99)"
	}},
	{0.05, func(a *Audit) float64 { return a.GCShare }, func(w float64) string {
		return "garbage collection took " + percent(w) + " of the processor time"
	}},
	{0.90, func(a *Audit) float64 { return share(float64(a.Memory), float64(a.MemLimit)) }, func(w float64) string {
		return "memory reached " + percent(w) + " of its limit"
	}},
	{0.90, func(a *Audit) float64 { return share(float64(a.Files), float64(a.FileLimit)) }, func(w float64) string {
		return "open descriptors reached " + percent(w) + " of their limit: raise it with ulimit -n"
	}},
	{0.80, func(a *Audit) float64 { return share(float64(a.Ports), float64(a.PortLimit)) }, func(w float64) string {
		return "local ports towards one destination reached " + percent(w) + " of their limit: keep connections, or add --source-ip"
	}},
}

// Auditor judges from their intervals whether the sources kept up. The zero value is ready. Not for concurrent use.
type Auditor struct {
	names   []string
	sources map[string]*health
}

// health is what is known of one source.
type health struct {
	scheduled, started, waited, stalled, own uint64
	queued                                   int
	edge                                     time.Duration
	ownSince, stallSince, limitSince         time.Duration
	limitHit                                 int // intervals
	lag, response                            Histogram
	slow                                     streak // seconds of lag, held against the response time
	causes                                   [len(causes)]streak
}

// streak follows a condition over consecutive intervals.
type streak struct {
	run    int // intervals it holds now
	from   time.Duration
	peak   figure // of these
	hit    bool   // it once held long enough
	since  time.Duration
	worst  figure        // of all intervals in which it held long enough
	length time.Duration // of them
}

// figure is a value, and what it is held against where that changes.
type figure struct{ value, against float64 }

// see enters one interval; need is how many in a row it takes.
func (s *streak) see(holds bool, f figure, iv *Interval, need int) {
	if !holds {
		s.run = 0
		return
	}
	if s.run == 0 {
		s.from, s.peak = iv.From, f
	}
	if f.value > s.peak.value {
		s.peak = f
	}
	s.run++
	if s.run < need {
		return
	}
	if !s.hit {
		s.hit, s.since = true, s.from
	}
	if s.run == need {
		s.length += iv.From + iv.Length - s.from
	} else {
		s.length += iv.Length
	}
	if s.peak.value > s.worst.value {
		s.worst = s.peak
	}
}

// Add enters one interval of one source; response holds the response times of everything in it that waited.
func (a *Auditor) Add(iv *Interval, response *Histogram) {
	h := a.sources[iv.Source]
	if h == nil {
		if a.sources == nil {
			a.sources = make(map[string]*health)
		}
		h = new(health)
		a.sources[iv.Source] = h
		a.names = append(a.names, iv.Source)
	}
	h.add(iv, response)
}

func (h *health) add(iv *Interval, response *Histogram) {
	h.scheduled += iv.Scheduled
	h.started += iv.Started
	h.waited += iv.Dropped - min(iv.Dropped, iv.Stalled)
	if iv.Stalled > 0 && h.stalled == 0 {
		h.stallSince = iv.From
	}
	h.stalled += iv.Stalled
	if iv.Audit.OwnErrors > 0 && h.own == 0 {
		h.ownSince = iv.From
	}
	h.own += iv.Audit.OwnErrors
	if end := iv.From + iv.Length; end >= h.edge {
		h.edge, h.queued = end, iv.Queued
	}
	if iv.Audit.LimitHit || iv.Dropped > iv.Stalled {
		if h.limitHit == 0 {
			h.limitSince = iv.From
		}
		h.limitHit++
	}
	h.lag.Add(&iv.Lag)
	h.response.Add(response)
	lag, p99 := iv.Lag.Quantile(.99), response.Quantile(.99)
	slow := lag > lagClean && response.Count() > 0 && float64(lag) > lagSaturated*float64(p99)
	h.slow.see(slow, figure{lag.Seconds(), p99.Seconds()}, iv, lasting)
	for i := range causes {
		v := causes[i].value(&iv.Audit)
		h.causes[i].see(v > causes[i].limit, figure{value: v}, iv, sustained)
	}
}

// Source is the verdict on one source; OK for one that is not known.
func (a *Auditor) Source(name string) Verdict {
	if h := a.sources[name]; h != nil {
		return h.verdict()
	}
	return Verdict{}
}

// Verdict is the verdict over all sources: the worst decides. With several, each reason begins with its source.
func (a *Auditor) Verdict() Verdict {
	var all Verdict
	for want := Saturated; want > OK; want-- {
		for _, name := range a.names {
			v := a.sources[name].verdict()
			if v.Health != want {
				continue
			}
			all.Health = max(all.Health, v.Health)
			for _, r := range v.Reasons {
				if len(a.names) > 1 {
					if name == "" {
						name = "local"
					}
					r = name + ": " + r
				}
				all.Reasons = append(all.Reasons, r)
			}
		}
	}
	return all
}

// reasons collects sentences, those that saturate before those that strain.
type reasons struct{ saturated, strained []string }

func (r *reasons) add(h Health, format string, args ...any) {
	switch text := fmt.Sprintf(format, args...); h {
	case Saturated:
		r.saturated = append(r.saturated, text)
	case Strained:
		r.strained = append(r.strained, text)
	}
}

func (h *health) verdict() Verdict {
	var r reasons
	if h.own > 0 {
		r.add(Saturated, "%s failed for want of descriptors, ports or memory on this machine, since %s", many(h.own, "request"), clock(h.ownSince))
	}
	h.judgeSent(&r)
	h.judgeLag(&r)
	if h.limitHit > 0 {
		r.add(Strained, "max_in_flight made arrivals wait in %s, since %s: %d of them were dropped", many(uint64(h.limitHit), "interval"), clock(h.limitSince), h.waited)
	}
	for i := range h.causes {
		if s := &h.causes[i]; s.hit {
			r.add(Strained, "%s, for %s since %s", causes[i].say(s.worst.value), short(s.length), clock(s.since))
		}
	}
	v := Verdict{Reasons: append(r.saturated, r.strained...)}
	switch {
	case len(r.saturated) > 0:
		v.Health = Saturated
	case len(r.strained) > 0:
		v.Health = Strained
	}
	return v
}

// judgeSent compares what was begun with what was scheduled. Arrivals that wait for a slot, or waited for one until they
// were dropped, are not missing: max_in_flight held them, not this machine, and their waiting is in the response times.
func (h *health) judgeSent(r *reasons) {
	held := h.started + h.waited + uint64(max(h.queued, 0))
	missing := h.scheduled - min(h.scheduled, held)
	// One or two arrivals between due and begun at the edge of an interval are no shortfall.
	if missing <= 2 {
		return
	}
	sent := 1 - float64(missing)/float64(h.scheduled)
	state := OK
	switch {
	case sent < sentSaturated:
		state = Saturated
	case sent < sentStrained:
		state = Strained
	}
	why := ""
	if h.stalled > 0 {
		why = fmt.Sprintf("; %d came due while this program did not run or was out of reach, first at %s", h.stalled, clock(h.stallSince))
	}
	r.add(state, "%d of %d arrivals were never begun (%s)%s", missing, h.scheduled, percent(1-sent), why)
}

// judgeLag compares our own delay with the response time: the result is wrong by no more than their ratio.
func (h *health) judgeLag(r *reasons) {
	if h.lag.Count() == 0 || h.response.Count() == 0 {
		return
	}
	state, at := OK, 0.0
	for _, q := range [...]float64{.5, .99} {
		if s := judgeRatio(h.lag.Quantile(q), h.response.Quantile(q)); s > state {
			state, at = s, q
		}
	}
	lag99 := h.lag.Quantile(.99)
	switch {
	case state > OK:
		lag, resp := h.lag.Quantile(at), h.response.Quantile(at)
		r.add(state, "we began late: lag p%.0f is %s, %s of the response time's %s", at*100, short(lag), percent(float64(lag)/float64(max(resp, 1))), short(resp))
	case lag99 > lagClean:
		r.add(Strained, "we began late: lag p99 is %s", short(lag99))
	}
	if state < Saturated && h.slow.hit {
		r.add(Saturated, "we began late for %s since %s: lag p99 up to %s where the response time's was %s", short(h.slow.length), clock(h.slow.since), seconds3(h.slow.worst.value), seconds3(h.slow.worst.against))
	}
}

func judgeRatio(lag, response time.Duration) Health {
	ratio := float64(lag) / float64(max(response, 1))
	switch {
	case lag <= lagNoise || ratio <= lagStrained:
		return OK
	case lag > lagClean && ratio > lagSaturated:
		return Saturated
	}
	return Strained
}

// short prints a time with two or three digits that matter.
func short(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return clock(d)
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.3g s", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.3g ms", ms(d))
	}
	return fmt.Sprintf("%.3g µs", float64(d)/1e3)
}

// clock prints run time as m:ss, from an hour on as h:mm:ss.
func clock(d time.Duration) string {
	s := int(d / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

func many(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
