// Package peer makes many sources of load look like one.
//
// A [Fleet] owns what the sources have in common: run time zero, the table that says whose each arrival is, the log of live
// changes, and the lease under which a source may begin anything at all. Its first member is the engine of this process; a
// run on one machine is the fleet of one. The conductor sees only the fleet.
//
// Intervals of each member are numbered from zero without gaps; Reports hands them on in the order in which they come, and
// what a member does not deliver is a gap in the data, never a silent fall of the load.
//
// A [Link] is one peer from dialling to bye, as the fleet sees it. It hears the peer's heartbeats and answers them with the
// lease, suspects and loses a peer that is silent, dials again beside the silent connection, and takes every batch of figures
// once, over as many sessions as it takes. Whatever the fleet ordered and a session did not carry out, the next one does.
//
// [Serve] is the other side, the whole life of the process `lt agent` on the peer. It believes nothing that it is told: the job is
// checked, the targets are held against the rules and its owner's policy by what it resolves itself, and nothing begins once its
// lease is over. A session that breaks ends nothing: the process goes on, can be found again through a socket by whoever has the
// run's token, and ends by itself when nobody comes.
package peer
