// Package wire is what a coordinator and a peer say to each other; spec.md has it in full.
package wire

import (
	"fmt"
	"time"

	"lt/engine/load"
)

// Magic begins the line of JSON with which each side introduces itself, before the session.
const Magic = "LT/1 "

// The versions of the protocol that this build speaks. A new field or message that the other side may ignore raises nothing;
// one that it must understand, such as a new part of a scenario, raises Proto.
const (
	Proto    = 1
	MinProto = 1
)

// MaxLine bounds an introduction, in bytes.
const MaxLine = 4096

// Hello is the peer's introduction, as JSON.
type Hello struct {
	Proto   [2]int `json:"proto"` // lowest and highest version that it speaks
	Version string `json:"version"`
	Build   string `json:"build"` // sha256 of its program, hex
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Host    string `json:"host"`
	PID     int    `json:"pid"`
	CPUs    int    `json:"cpus"`
	Memory  uint64 `json:"memory"` // bytes that it may use; 0: unknown
	Files   int    `json:"files"`  // limit of open files
	Ports   int    `json:"ports"`  // ephemeral ports; 0: unknown
	// Machine tells whether two peers are one machine: a digest of machine id, boot id and network namespace.
	Machine string `json:"machine"`
	// Processes tells whether the PID of one peer means the same process to another: a digest of machine and boot with the
	// namespace of process numbers.
	Processes string  `json:"processes"`
	Policy    *Policy `json:"policy,omitempty"` // what its owner allows; nil: no limits
}

// Policy is what the owner of a peer's machine allows, as far as the coordinator plans within it. The peer enforces it.
type Policy struct {
	Targets      []string      `json:"targets,omitempty"` // hosts, *.suffixes and CIDRs; empty: any
	Deny         []string      `json:"deny,omitempty"`    // likewise, refused even if Targets has them
	MaxRate      float64       `json:"max_rate,omitempty"`
	MaxUsers     int           `json:"max_users,omitempty"`
	MaxDuration  time.Duration `json:"max_duration_ns,omitempty"`
	RequireProof bool          `json:"require_proof,omitempty"`
}

// Greeting is the coordinator's introduction, as JSON.
type Greeting struct {
	Proto   int    `json:"proto"` // version spoken from here on
	Version string `json:"version"`
	Run     string `json:"run"`   // id of the run
	Token   string `json:"token"` // 128 bits, hex: who has it may take up the session again
	Resume  bool   `json:"resume,omitempty"`
	// When it resumes: the process that it looks for, as its Welcome and Hello said, and the last batch that the coordinator has.
	Incarnation string `json:"incarnation,omitempty"`
	PID         int    `json:"pid,omitempty"`
	Acked       uint64 `json:"acked,omitempty"`
}

// Welcome is the peer's answer to a Greeting, as JSON; the session begins after it.
type Welcome struct {
	OK bool `json:"ok"`
	// Code says what is in the way: version, token, no-such-run (the process that is looked for is no more), unreachable (it may be
	// there).
	Code        string `json:"code,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Incarnation string `json:"incarnation,omitempty"` // of the engine's process, 128 bits, hex
	// Starved comes with no-such-run: how many processes the kernel ended there for want of memory from shortly before that one was
	// no more until now. Nil: it does not say.
	Starved *int `json:"starved,omitempty"`
}

// The streams of a session, all opened by the coordinator; the first byte of each is its kind.
const (
	StreamControl = 'c' // requests, replies and the peer's events: Envelope
	StreamBeat    = 'h' // Beat from the peer, Answer to it
	StreamMetrics = 'm' // Batch from the peer, Ack to it
	StreamLog     = 'l' // Line from the peer
	StreamFile    = 'f' // chunks to the peer, Ack with the bytes taken
)

// The most that a frame's payload holds, in bytes.
const (
	MaxBeat    = 256
	MaxControl = 1 << 20
	MaxMetrics = 4 << 20
	MaxLog     = 16 << 10
	MaxFile    = 16 << 10
)

// Kind names a control message.
type Kind uint8

// The control messages. Requests come from the coordinator, and each is answered by one reply of the same id: KindOK with the
// message that is named, if any, or KindError. Events come from the peer with the id 0.
const (
	KindError     Kind = 1  // reply: Error
	KindOK        Kind = 2  // reply: what the request names
	KindPlan      Kind = 3  // request: Plan; the encoded Job comes on the file stream. Reply: Ready
	KindPreflight Kind = 4  // request: empty. Reply: Preflight
	KindArm       Kind = 5  // request: Arm. Reply: empty
	KindCommit    Kind = 6  // request: empty. Reply: empty. Without it nothing ever starts
	KindAbort     Kind = 7  // request: empty. Reply: empty. The start is off; the peer is ready again
	KindChanges   Kind = 8  // request: Changes. Reply: Applied
	KindStop      Kind = 9  // request: Stop. Reply: empty
	KindFin       Kind = 10 // event: Fin, after the last batch
	KindBye       Kind = 11 // request: empty. Reply: empty, then the peer's process ends
	KindWarn      Kind = 12 // event: Warn
)

// String is the kind's name in sentences.
func (k Kind) String() string {
	names := [...]string{
		KindError: "error", KindOK: "ok", KindPlan: "plan", KindPreflight: "preflight", KindArm: "arm", KindCommit: "commit", KindAbort: "abort",
		KindChanges: "changes", KindStop: "stop", KindFin: "fin", KindBye: "bye", KindWarn: "warn",
	}
	if k == 0 || int(k) >= len(names) {
		return fmt.Sprintf("message %d", uint8(k))
	}
	return names[k]
}

// Envelope is one control message.
type Envelope struct {
	ID   uint64 `cbor:"1,keyasint,omitempty"` // of the request that is meant; 0: an event
	Kind Kind   `cbor:"2,keyasint"`
	Body []byte `cbor:"3,keyasint,omitempty"` // the message, encoded
}

// Error is why a request could not be carried out.
type Error struct {
	Code string `cbor:"1,keyasint"` // busy, policy, refused, scenario, target, version, limit, internal
	Text string `cbor:"2,keyasint"` // a sentence
}

// Plan announces a job on the file stream.
type Plan struct {
	Size   int64    `cbor:"1,keyasint"`
	SHA256 [32]byte `cbor:"2,keyasint"`
}

// Ready says that a job was read and compiled.
type Ready struct {
	Steps int `cbor:"1,keyasint"` // that its records are about, for comparison
}

// Preflight is what a peer found out before the start.
type Preflight struct {
	Origins  []Origin  `cbor:"1,keyasint"`
	Findings []Finding `cbor:"2,keyasint,omitempty"`
	Basis    string    `cbor:"3,keyasint,omitempty"` // why it may load its targets
	// Others are processes of other runs on the peer's machine, as far as it knows of them.
	Others []OtherRun `cbor:"4,keyasint,omitempty"`
}

// OtherRun is a process of another run, of the same user, on a peer's machine.
type OtherRun struct {
	Run string        `cbor:"1,keyasint"` // id of that run
	PID int           `cbor:"2,keyasint"`
	Age time.Duration `cbor:"3,keyasint"` // how long the process has been there
}

// Origin is one origin as seen from a peer.
type Origin struct {
	Name    string        `cbor:"1,keyasint"`
	TLS     string        `cbor:"2,keyasint,omitempty"`
	Connect time.Duration `cbor:"3,keyasint,omitempty"`
	Err     string        `cbor:"4,keyasint,omitempty"`
}

// Finding is something that a peer's machine lacks, as limits.Finding.
type Finding struct {
	Severity uint8  `cbor:"1,keyasint"`
	Text     string `cbor:"2,keyasint"`
	Remedy   string `cbor:"3,keyasint,omitempty"`
}

// Arm makes a peer ready to start. Zero is run time zero on the coordinator's clock; the peer converts it with its own
// estimate of the offset.
type Arm struct {
	Zero    time.Duration `cbor:"1,keyasint"`
	Source  int           `cbor:"2,keyasint"` // its number in the share tables
	Name    string        `cbor:"3,keyasint"`
	Changes []load.Change `cbor:"4,keyasint"` // the whole log so far
	// From is the run time from which a peer that joins late takes part; it must own nothing before.
	From time.Duration `cbor:"5,keyasint,omitempty"`
}

// Changes are further entries of the log of live changes.
type Changes struct {
	From    int           `cbor:"1,keyasint"` // entries before them
	Entries []load.Change `cbor:"2,keyasint"`
}

// Applied says how many entries a peer's log has, and at which of its run times the last ones were entered.
type Applied struct {
	Count int           `cbor:"1,keyasint"`
	At    time.Duration `cbor:"2,keyasint"`
	// Late is the first arrival from which it follows the epochs of which it learnt too late to change over at their own first
	// arrival; 0: there was none.
	Late int64 `cbor:"3,keyasint,omitempty"`
}

// Stop ends a peer's load: it drains, or with Now is cut.
type Stop struct {
	Now bool `cbor:"1,keyasint,omitempty"`
}

// Warn is something that a peer wants said; Drain asks for the run to be ended.
type Warn struct {
	Text  string `cbor:"1,keyasint"`
	Drain bool   `cbor:"2,keyasint,omitempty"`
}

// Fin is a peer's own account, the other entry of the double entry: what it did is to be what was applied.
type Fin struct {
	LastSeq uint64 `cbor:"1,keyasint"` // of its batches, which are numbered from 1
	Totals  Totals `cbor:"2,keyasint"`
	Err     string `cbor:"3,keyasint,omitempty"` // why its engine ended early
	Lapsed  bool   `cbor:"4,keyasint,omitempty"` // because the lease was over
}

// Totals are sums over all intervals of a peer.
type Totals struct {
	Intervals  uint64 `cbor:"1,keyasint"`
	Scheduled  uint64 `cbor:"2,keyasint"`
	Started    uint64 `cbor:"3,keyasint"`
	Dropped    uint64 `cbor:"4,keyasint"`
	Iterations uint64 `cbor:"5,keyasint"`
	Unfinished uint64 `cbor:"6,keyasint"`
	Requests   uint64 `cbor:"7,keyasint"`
	Errors     uint64 `cbor:"8,keyasint"`
	BytesIn    uint64 `cbor:"9,keyasint"`
	BytesOut   uint64 `cbor:"10,keyasint"`
}

// Beat is the peer's heartbeat. All times are of its own clock, which is monotonic and goes on while the machine sleeps.
type Beat struct {
	Seq    uint64        `cbor:"1,keyasint"`
	Sent   time.Duration `cbor:"2,keyasint"`
	Offset time.Duration `cbor:"3,keyasint"` // coordinator's clock less its own, estimated
	Bound  time.Duration `cbor:"4,keyasint"` // the offset is within +- Bound
	RTT    time.Duration `cbor:"5,keyasint"` // smallest round trip of the last minute
	Probes int           `cbor:"6,keyasint"` // stamps that the estimate rests on
	Begun  uint64        `cbor:"7,keyasint"` // arrivals begun so far
	Lease  time.Duration `cbor:"8,keyasint"` // what is left of its lease
	// Slowest is the largest round trip of the last five seconds.
	Slowest time.Duration `cbor:"9,keyasint,omitempty"`
}

// Answer answers a Beat. Its times are of the coordinator's clock.
type Answer struct {
	Seq      uint64        `cbor:"1,keyasint"`
	Received time.Duration `cbor:"2,keyasint"`
	Replied  time.Duration `cbor:"3,keyasint"`
	// Grant is how long after the Beat was sent, on the peer's clock, it may begin anything; 0 leaves the lease as it is.
	Grant time.Duration `cbor:"4,keyasint,omitempty"`
}

// Batch is one interval on its way: joined from several where the link is slow. Data is metrics.Interval.AppendBinary.
type Batch struct {
	Seq   uint64 `cbor:"1,keyasint"`
	Data  []byte `cbor:"2,keyasint"`
	Count uint64 `cbor:"3,keyasint"` // intervals that were joined, at least 1
}

// Ack acknowledges batches up to a number, or bytes of a file.
type Ack struct {
	Upto uint64 `cbor:"1,keyasint"`
}

// Line is a line of a peer's log.
type Line struct {
	At   time.Duration `cbor:"1,keyasint"` // run time; negative: before the start
	Text string        `cbor:"2,keyasint"`
}
