// Package engine is one source of load: it begins what is due, follows each virtual user through its journey, and hands
// over what it measured once a second.
//
// The path of one arrival:
//
//	load.Schedule -- index i, due -->  shard (one locked thread, one event loop, one timing wheel)    Changes and the lease reach it the same way
//	                                      |-- lease over? nothing begins.  no free slot? queued; past drop_after, dropped (and recorded as waited)
//	                                      |-- a slot (virtual user) takes it: journey writes the step's bytes --> loop.Conn --> target
//	                                      |-- think time, timeouts: the loop's wheel, one timer a slot
//	                                      `-- bytes --> h1.Parser --> journey: extract, check --> the shard's own Recorder | cut at each interval's edge
//	Config.OnInterval <-- collector (joins the shards' parts, adds the audit) <------------------------------------------'
//
// An [Engine] is made with [New]. [Engine.Resolve] says where its targets are, [Engine.Permit] sets the rule that every
// address has to pass, and [Engine.Connect] finds out whether the targets can be reached. [Engine.Run] runs it once and
// returns when everything it started has ended. Only the shard's goroutine touches its users; other
// goroutines (the resolver, the collector, whoever calls Refresh or Cut) reach it through loop.Post or an atomic.
//
// What is measured from where: the first step of an iteration inherits the arrival's intended start, a later one is
// intended at the end of the one before plus its think time. Response time counts from the intended start, service time
// from the actual start, which is before any name look-up or dial.
package engine
