// Package scenarios holds the scenario files that are shipped inside the binary, and in shop the target they are written
// for. They are meant to be read, run and copied: each opens with a comment that says what it shows.
//
//	demo      the shop driven through its capacity: bend, climb, errors, recovery
//	smoke     is it there, does it answer right
//	constant  a constant rate with criteria: a gate for CI
//	users     the closed model: users who wait and think
//	spike     five times the usual load, and the time after
//	journey   log in, extract, order: values from one answer in the next request
//	ladder    steps of load: the curve with its knee
//
// The demo needs nothing but one command; it starts the target itself:
//
//	lt demo
//
// The others expect a target on 127.0.0.1:8080. In one terminal start the bundled one, in another run a file:
//
//	lt target
//	lt run scenarios/smoke.yaml
//
// "lt check FILE" tells in words what a file will do and sends nothing. To begin a scenario of your own, copy the nearest
// one and change its target.
//
// What a run measured can be held against the target's own counts: curl http://127.0.0.1:8080/stats. DELETE on the same
// address sets them to zero before a run.
package scenarios
