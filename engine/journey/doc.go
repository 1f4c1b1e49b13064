// Package journey is a scenario compiled for the hot path: it writes the bytes of each request, keeps what a virtual user
// remembers between requests, and judges the answers. It does no I/O and has no clock: time and randomness come in with
// Input, so the same input gives the same bytes on any machine.
//
// In order of use:
//
//	p, err := journey.Compile(file, "lt/1.0")        once; a Program is immutable and shared by all shards
//	var s journey.Session                            one a virtual user; the zero value is ready
//	s.Reset(scenario)                                when a user is put to a scenario
//	buf, req, err = p.Append(buf[:0], step, &s, &in, nil)   the request
//	p.StoreCookies(step, &s, &req, head, now)        at each answer's head, before a redirect is followed
//	buf, req, err = p.Redirect(...)                  if the step follows redirects
//	v := p.Judge(step, &s, &in, &answer)             checks, then extracts values into the session
//	d := p.Pause(step, &in)                          think time
//	s.Save(), s.Restore()                            after setup; at the start of each iteration
//
// A Session belongs to one shard. Everything else may be used by many goroutines at once. Requests without variables are
// one copy of bytes made at compile time; those with variables and cookies are spliced from segments, both without
// allocating once the buffers have grown.
package journey
