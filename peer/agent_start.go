package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"lt/engine"
	"lt/engine/limits"
	"lt/engine/load"
	"lt/engine/redact"
	"lt/peer/wire"
)

// load takes the job, once.
func (a *agent) load(j *Job) (wire.Ready, error) {
	p, err := j.compile()
	if err != nil {
		return wire.Ready{}, refuse("scenario", "%s", err)
	}
	usable := bindable(j.File.HTTP.SourceIPs)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase != idle {
		return wire.Ready{}, refuse("busy", "this process has a job already: it does one")
	}
	if n := len(j.File.HTTP.SourceIPs); len(usable) < n {
		a.voice.tell(wire.Line{At: -1, Text: fmt.Sprintf("%d of the %d source addresses are this machine's", len(usable), n)})
		j.File.HTTP.SourceIPs = usable
	}
	a.job, a.program, a.phase = j, p, loaded
	a.redact = redact.New(j.File.Secrets)
	a.replica = newReplica(&j.File.Load, 0)
	return wire.Ready{Steps: len(p.Steps)}, nil
}

// bindable are those of the source addresses that this machine has: they are usually the coordinator's own.
func bindable(ips []string) []string {
	var out []string
	for _, ip := range ips {
		if l, err := net.Listen("tcp", net.JoinHostPort(ip, "0")); err == nil {
			l.Close()
			out = append(out, ip)
		}
	}
	return out
}

// newEngine makes an engine for the job. The lock is held.
func (a *agent) newEngine(o wire.Arm) (*engine.Engine, error) {
	e, err := engine.New(engine.Config{
		File: a.job.File, Program: a.program, Log: a.replica.log, Lease: &a.lease, Source: o.Source, Name: o.Name, From: o.From,
		Shards: a.c.Shards, Portable: a.c.Portable, Dial: a.c.Dial, Lookup: a.c.Lookup, ReadFile: a.job.read, Redact: a.redact,
		OnInterval: a.outbox.Add,
		OnGuard:    func(text string, drain bool) { a.voice.warn(wire.Warn{Text: text, Drain: drain}) },
	})
	if err != nil {
		return nil, refuse("scenario", "%s", a.redact.Text(err.Error()))
	}
	return e, nil
}

// preflight decides anew whether the job's targets may be loaded from here, finds out whether they can be reached, and what the
// machine lacks.
func (a *agent) preflight(ctx context.Context) (wire.Preflight, error) {
	a.mu.Lock()
	if a.phase != loaded && a.phase != permitted {
		a.mu.Unlock()
		return wire.Preflight{}, refuse("busy", "there is no job to look at, or it has begun")
	}
	job, program, mask := a.job, a.program, a.redact
	e, err := a.newEngine(wire.Arm{})
	a.mu.Unlock()
	if err != nil {
		return wire.Preflight{}, err
	}
	ask := Permit{File: job.File, Program: program, Engine: e, Claim: job.Claim, Remote: true, Policy: a.c.Policy, Agent: job.Agent, Dial: a.c.Dial}
	permission, err := ask.Ask(ctx)
	if err != nil {
		code := "refused"
		if errors.As(err, new(*PolicyError)) {
			code = "policy"
		}
		return wire.Preflight{}, refuse(code, "%s", mask.Text(err.Error()))
	}
	e.Permit(permission.Allow)
	out := wire.Preflight{Basis: permission.Basis.Text}
	if !job.NoPreflight {
		for _, r := range e.Connect(ctx) {
			o := wire.Origin{Name: r.Origin.String(), TLS: r.TLS, Connect: r.Connect}
			if r.Err != nil {
				o.Err = mask.Text(r.Err.Error())
			}
			out.Origins = append(out.Origins, o)
		}
	}
	share := 1.0
	if job.Share > 0 && job.Share < 1 {
		share = job.Share
	}
	for _, f := range limits.Check(Need(job.File, permission.Loopback, share)) {
		out.Findings = append(out.Findings, wire.Finding{Severity: uint8(f.Severity), Text: f.Text, Remedy: f.Remedy})
	}
	if a.c.Runs != nil {
		out.Others = a.c.Runs.Others(a.run)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.permit = permission
	if a.phase == loaded {
		a.phase = permitted
	}
	return out, nil
}

// arm makes ready to start; nothing starts without commit.
func (a *agent) arm(o wire.Arm) error {
	e := a.estimate()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.phase < permitted:
		return refuse("busy", "the targets were not looked at yet: ask for the preflight first")
	case a.phase > armed:
		return refuse("busy", "the load has begun")
	case e.Probes < minProbes:
		return refuse("busy", "the clocks were not compared yet")
	case o.Source < 0 || o.Source > maxSource || o.From < 0 || o.From > load.MaxDuration:
		return refuse("limit", "source %d from %s on is out of range", o.Source, o.From)
	}
	if wait := o.Zero - e.Offset - a.c.Clock(); wait > farStart {
		return refuse("limit", "the start is %s away, and %s is the most", wait, farStart)
	}
	if o.Name = redact.Neutralise(o.Name); o.Name == "" || len(o.Name) > 256 {
		return refuse("limit", "a source needs a name, of at most 256 bytes")
	}
	r := newReplica(&a.job.File.Load, o.Source)
	if err := r.learn(o.Changes, inTime); err != nil {
		return refuse("limit", "%s", err)
	}
	if err := a.allowed(r); err != nil {
		return err
	}
	before := a.replica
	a.replica = r
	en, err := a.newEngine(o)
	if err != nil {
		a.replica = before
		return err
	}
	en.Permit(a.permit.Allow)
	a.engine, a.order, a.phase = en, o, armed
	return nil
}

// allowed holds what the newest table gives to this source to what the owner of this machine allows. The coordinator plans
// within it; this is for the one that does not.
func (a *agent) allowed(r *replica) error {
	if a.c.Policy == nil {
		return nil
	}
	share, factor := 1.0, 1.0
	for _, c := range r.log.Changes() {
		switch c.Kind {
		case load.Reshare:
			own := 0
			for _, s := range c.Epoch.Table {
				if int(s) == r.source {
					own++
				}
			}
			share = float64(own) / float64(len(c.Epoch.Table))
		case load.Factor:
			factor = c.Factor
		}
	}
	level := peak(r.spec, factor) * share
	w := Work{Rate: level}
	if r.spec.Model == load.Closed {
		w = Work{Users: int(wholeUsers(level))}
	}
	if err := CheckPolicy(a.c.Policy, w); err != nil {
		return refuse("policy", "%s", err)
	}
	return nil
}

// abort calls the start off.
func (a *agent) abort() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.phase == armed:
		a.engine, a.phase = nil, permitted
	case a.phase > armed:
		return refuse("busy", "the load has begun")
	}
	return nil
}

// commit lets the engine run: it waits for run time zero by itself.
func (a *agent) commit() error {
	e := a.estimate()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.phase > armed:
		return nil // said again after a break
	case a.phase < armed:
		return refuse("busy", "nothing is armed")
	}
	a.epoch = time.Now().Add(a.order.Zero - e.Offset - a.c.Clock())
	a.phase = running
	a.extend()
	ended := make(chan struct{})
	a.works.Go(func() { a.work(ended) })
	a.works.Go(func() { a.watch(ended) })
	return nil
}
