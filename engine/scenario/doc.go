// Package scenario reads scenario files: what users do, how much of it, and what counts as right.
//
// [Load] and [Parse] turn a file into a [File]; [Quick] makes the same from the flags of a command line. Whatever is wrong
// with a file is reported at once, as [Errors]: place, line, caret, and what to write instead. A File is complete, every
// default and inherited setting is filled in, and nothing changes in it afterwards: it may be read from many goroutines.
// [File.Plan] says in words what a File will do.
package scenario
