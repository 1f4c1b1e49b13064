// Package peer makes many sources of load look like one.
//
// A [Fleet] owns what the sources have in common: run time zero, the table that says whose each arrival is, the log of live
// changes, and the lease under which a source may begin anything at all. Its first member is the engine of this process; a
// run on one machine is the fleet of one. The conductor sees only the fleet.
//
// Intervals of each member are numbered from zero without gaps; Reports hands them on in the order in which they come, and
// what a member does not deliver is a gap in the data, never a silent fall of the load.
package peer
