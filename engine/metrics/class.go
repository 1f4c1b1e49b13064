package metrics

// Class says what went wrong with a request. The set is closed and its order is part of the record's format: new classes
// are added at the end.
type Class uint8

// The error classes. NoError is the zero value: an answer that every check accepted.
const (
	NoError  Class = iota
	DNS            // the name did not resolve
	Connect        // no connection: unreachable, or not established within the connect timeout
	Refused        // the target refused the connection
	Reset          // the target reset the connection
	Timeout        // the step's own timeout passed
	TLS            // the handshake failed or took too long
	Protocol       // the answer was not HTTP, or broke a limit that we set on it
	EOF            // the target closed before the answer was complete
	Status         // an answer with a status that counts as wrong
	Check          // an answer that a check of the scenario rejected
	Extract        // an answer without a value that the scenario needs
	Limit          // our own machine: descriptors, ports, buffers, memory; never the target's failure
	Classes  = int(iota)
)

var classNames = [Classes]string{"", "dns", "connect", "refused", "reset", "timeout", "tls", "protocol", "eof", "status", "check", "extract", "limit"}

// String is the class's name in files and on the screen; empty for NoError.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "unknown"
}

// CutShort reports whether a request that ended so never got an answer that says how long the target takes. Such requests
// have histograms of their own: a refusal after 50 µs must not make a median.
func (c Class) CutShort() bool {
	switch c {
	case DNS, Connect, Refused, Reset, TLS, Protocol, EOF, Limit:
		return true
	}
	return false
}

// Outcome names one of the two histograms that a request's time goes to.
type Outcome uint8

// Waited is a complete answer of any status, a failed check, a timeout or a dropped arrival; Cut is everything else.
const (
	Waited Outcome = iota
	Cut
	Outcomes = int(iota)
)

// Phase is a part of one request's service time.
type Phase uint8

// The phases in the order in which a request passes through them.
const (
	PhaseDNS     Phase = iota // only of the request that waited for the name
	PhaseConnect              // TCP, or the unix socket
	PhaseTLS                  // the handshake
	PhaseSend                 // until the kernel had taken the whole request
	PhaseWait                 // until the first byte of the answer
	PhaseReceive              // until its last byte
	Phases       = int(iota)
)

var phaseNames = [Phases]string{"dns", "connect", "tls", "send", "wait", "receive"}

// String is the phase's name in files and on the screen.
func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return "unknown"
}
