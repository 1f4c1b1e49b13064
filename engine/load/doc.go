// Package load says when arrivals are due and whose they are. It is arithmetic on run time (the time since the run's
// start) and has no clock, no goroutine and no random state: the same Spec and the same changes give the same answers on
// every machine and in every shard.
//
// In order of use: a Spec holds the Profile (stages of level over time), the seed and the bounds; Validate finds
// everything wrong with it at once. A Log takes the live changes of a run (hold, factor, next stage, pause, shares) and
// gives the Timeline, the profile under those changes. In the open model each shard has a Schedule, which deals it its
// indices of the one global sequence with their due times; in the closed model it has Users, which says when each of its
// users starts and retires. Mix gives the scenario of an index or user, a Stream the random draws, and a Lease says how
// long a source may go on without hearing from the run.
//
// Why the parts are the whole: index i belongs to the one source that the table of its epoch names and to one shard of
// it, by counting; when it is due depends on i alone. So whatever the number of sources and shards, each index is dealt
// once, at the same time, and two sources send together exactly what one would have sent alone.
package load
