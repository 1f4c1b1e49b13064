// Package loop is one shard's event loop: sockets, TLS on top of them and
// timers, all on one goroutine, which alone calls the Handler.
//
// In order of use: New makes a Loop, Run serves it until Stop. Inside the
// Handler's methods the owner calls Dial, SetTimer and the methods of Conn;
// none of them blocks, takes a lock or waits for another goroutine, and none
// may be called from elsewhere. Only Post, Stop, Now, Polled and ThreadCPU are
// open to every goroutine.
//
//	Run ── turn ──> poller ── bytes ──> (tls) ── Handler.Data
//	        │          └─ connected ──> (tls handshake, own goroutine) ── Handler.Opened
//	        ├── mail from other goroutines: Post, handshakes, the portable poller
//	        ├── timing wheel ── Handler.Timer
//	        ├── failures put off until now ── Handler.Closed
//	        └── Handler.Wake: begin what is due, say what is due next
//
// There are two pollers behind the one type. On Linux the loop owns a locked
// thread and an edge-triggered epoll instance: a connection is registered
// once, read and written with bare system calls, and the last Spin before
// something is due is spent polling, so that on an idle core half of what is
// due starts within a microsecond; with events at hand it waits for the one that
// is being handled, and on a busy machine for the thread's turn. Everywhere
// else, and on Linux by Options.Portable, a goroutine for each connection reads
// and hands the bytes over; the loop then blocks only in a select over a channel
// and a timer, so it also runs in a testing/synctest bubble with exact virtual
// time. There its timers are as good as the Go runtime's, about a millisecond.
//
// Lifetimes: the bytes given to Data are valid during the call. A Conn is
// never used again for another connection, so a stale pointer is harmless:
// every method of a closed Conn does nothing or reports what was. The loop
// reads and sends nothing after Close, and no callback follows it.
//
// Delivery: what was written is sent in order or the connection ends; Closed
// comes exactly once for each Conn unless the owner closed it first or Run
// ended. It never comes from inside Dial, Write or any other call of the
// owner's.
package loop
