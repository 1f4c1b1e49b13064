// Package boot gets from the address of a peer to a running agent on it, over one connection and with nothing installed there.
//
// A [Dialer] does all of it: an [Address] becomes an argument list (ssh, or the user's own launcher), the process is started,
// and the [Offer]'s script runs on the other side in a POSIX sh:
//
//	client                                         script
//	  |                 <-- LTB1 nonce hi Linux x86_64 --|   what the system is: the table in the script has the hash for it
//	  |                                                  |   finds a directory that is ours alone and may run programs
//	  |          <-- LTB1 nonce need gzip DIRECTORY -----|   only if the program with that hash is not there
//	  |-- gzip N, then N bytes ------------------------->|   written beside, hashed, moved into place
//	  |          <-- LTB1 nonce exec hit|new PATH -------|   hashed also when it was there; programs not used for 30 days go
//	  |          <-- LT/1 {...}                          |   the agent's introduction: the stream is handed over before it
//
// or, in place of any line, `LTB1 nonce fail WHAT DETAILS`. Everything else that login shells print is skipped, up to 64 KiB.
// An agent that is there already (a forced command, an installed lt) introduces itself without the lines before.
//
// What fails is an [Error]: in which phase, what ssh or the script said, and one thing to do about it.
package boot
