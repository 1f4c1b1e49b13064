// Package h1 is HTTP/1.1 as a client sees it (RFC 9110, RFC 9112), without I/O and without a clock: bytes of an
// answer go in and events come out; the parts of a request go in and bytes come out.
//
// # Reading an answer
//
// One [Scratch] belongs to a shard, one [Parser] to a connection. For every exchange:
//
//	p.Begin(&sc, method == "HEAD")
//	for { // b is what the socket gave
//		n, ev, chunk, err := p.Feed(&sc, b)
//		b = b[n:]
//		switch {
//		case err != nil:           // the connection is of no more use
//		case ev == h1.HeadEnd:   // sc.Head is the final head
//		case ev == h1.Body:        // chunk is payload, a part of b
//		case ev == h1.End:         // complete; b holds what came behind it
//		case ev == h1.NeedMore:    // b is used up: read again; at end of file ask p.EOF
//		}
//	}
//
// What comes out does not depend on how the bytes were cut into reads: the same events in the same order, the same
// payload, the same kind of error and the same byte at which the answer ends. A first line that is no status line is
// refused at its first wrong byte, a malformed field when its line and the byte behind it are there.
//
// # Lifetimes
//
// A head that lies whole in one read is not copied: sc.Head points into it. A head cut by reads is put together in
// a buffer of the Scratch, which goes back as soon as the head is complete. Either way sc.Head is good until the
// next Feed on any parser of that Scratch, and as long as the bytes given to Feed stay as they were. A Parser has no
// pointers and keeps nothing between exchanges. Nothing here may be used by two goroutines at once.
//
// # What is refused
//
// Everything that two programs could read in two ways is an error rather than a guess: differing or malformed
// Content-Length, Content-Length beside Transfer-Encoding, Transfer-Encoding that is not exactly chunked or comes with
// HTTP/1.0, chunk sizes that are not plain hexadecimal or overflow, a bare CR or a NUL in the head, space before a
// colon, chunk lines that do not end in CRLF. Tolerated is what RFC 9112 allows: lines of the head that end in a bare
// LF (section 2.2), a status line without the space before an absent reason (section 4), folded fields, which read
// as one line (section 5.2), identical Content-Lengths (RFC 9110 section 8.6) and space behind a chunk size, which
// old servers pad with.
package h1
