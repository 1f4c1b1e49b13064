package scenario

import (
	"time"

	"lt/engine/load"
)

// Pos is a place in a scenario file; both count from 1, zero means that the value did not come from a file.
type Pos struct{ Line, Column int }

// File is a whole scenario file: the journeys, the load and how it is judged. It is immutable once parsed.
type File struct {
	Path       string // as given; empty in quick mode
	Dir        string // folder of the file: body files are looked up below it only
	Text       []byte // the file as read; environment references are not filled in, so it may be stored
	Name       string
	Target     string   // base URL, or empty if every step has a whole one
	Hosts      []string // further hosts that may be met
	Vars       []Var
	HTTP       HTTP // of the file; Step.HTTP is what holds for a step
	Profiles   map[string]Think
	ThinkTimes float64 // multiplier of all think times; 1 unless given
	Load       load.Spec
	Closed     bool // the closed model: Load.Model says the same
	Warmup     time.Duration
	Scenarios  []*Scenario
	SLO        []Criterion
	Authorize  *Authorize
	Labels     map[string]string
	Peers      []Peer   // further machines that make a part of the load
	Secrets    []string // values that came from the environment: never shown, stored or logged
}

// Var is a variable of the file. Value has its environment references filled in; Secret is set if it had any.
type Var struct {
	Name, Value string
	Secret      bool
	Pos         Pos
}

// Criterion is one SLO as written; the package slo understands it.
type Criterion struct {
	Expr string
	Pos  Pos
}

// Authorize names who allows a test of a public target.
type Authorize struct {
	Owner, Ticket string
	Until         time.Time
	Pos           Pos
}

// Connections says how long a connection lives.
type Connections uint8

// The ways to keep connections: one a virtual user and origin, one an iteration, or a new one each request.
const (
	Keep Connections = iota
	PerIteration
	PerRequest
)

// Cookies says what happens to cookies and variables at the start of an iteration.
type Cookies uint8

// Reset goes back to the state after setup, KeepCookies keeps what the iterations before left, CookiesOff ignores them.
const (
	Reset Cookies = iota
	KeepCookies
	CookiesOff
)

// Trace says which header, if any, gets an id a request: traceparent of W3C, or X-Request-Id with an id that names source,
// arrival and step (journey has its form).
type Trace uint8

// The kinds of trace headers.
const (
	TraceOff Trace = iota
	TraceParent
	TraceRequestID
)

// HTTP is how requests are made. A file, a scenario and a step may each give some of it; the parser has already merged
// them, nearest first, with the defaults beneath: Step.HTTP is complete.
type HTTP struct {
	Version        string        // auto, 1.1 (later: 2, h2c, 3)
	Timeout        time.Duration // a whole step
	ConnectTimeout time.Duration // dns, connect and tls
	Connections    Connections
	MaxBody        int64 // bytes
	Redirects      int
	Headers        []Pair
	Cookies        Cookies
	Trace          Trace
	TLS            TLS
	Proxy          string // http://[user:pass@]host:port; empty: none
	ConnectTo      []Redial
	Resolve        []Redial
	UnixSocket     string
	SourceIPs      []string
	User           string // user:password of Basic; empty: none
}

// Redial sends what is meant for Host:Port (either may be empty: any) to Addr (host:port, or an address for Resolve).
type Redial struct{ Host, Port, Addr string }

// TLS is how the target is verified.
type TLS struct {
	Insecure               bool
	CA, Cert, Key          string // files, below the scenario's folder or given by a flag
	ServerName, MinVersion string
}

// Pair is a name with a template.
type Pair struct {
	Name, Value string
	Pos         Pos
}

// Scenario is one kind of user.
type Scenario struct {
	Name                   string
	Weight                 int
	Setup, Steps, Teardown []*Step
	Pacing                 time.Duration // 0: none
	HTTP                   HTTP
	Pos                    Pos
}

// BodyKind says how a body is written.
type BodyKind uint8

// The kinds of bodies.
const (
	NoBody   BodyKind = iota
	BodyText          // a template
	BodyFile          // a file's bytes as they are
	BodyJSON          // a template, made from the YAML value; Content-Type application/json
	BodyForm          // pairs; Content-Type application/x-www-form-urlencoded
)

// Step is one request of a journey.
type Step struct {
	Name    string // METHOD template unless given
	Method  string
	URL     string // template; relative to File.Target, or whole
	Query   []Pair
	Headers []Pair // the step's own ones; HTTP.Headers has the inherited ones
	Body    BodyKind
	Text    string // of BodyText and BodyJSON: the template
	File    string // of BodyFile: its path as written
	Data    []byte // of BodyFile
	Form    []Pair
	Extract []Extract
	Check   Check
	Think   *Think // after the step; nil: none
	HTTP    HTTP
	Pos     Pos
}

// Source says where an extracted value stands.
type Source uint8

// The sources.
const (
	FromJSON   Source = iota // Expr is an RFC 9535 path
	FromRegex                // Expr is RE2; the first group, or the whole match
	FromHeader               // Expr is the field's name
	FromCookie               // Expr is the cookie's name
)

// Pick says which of several matches is meant.
type Pick int

// A positive Pick counts from 1.
const (
	First  Pick = 0
	Last   Pick = -1
	Random Pick = -2
)

// Extract takes a value out of an answer.
type Extract struct {
	Name       string
	Source     Source
	Expr       string
	Pick       Pick
	Default    string
	HasDefault bool
	Pos        Pos
}

// Check is what an answer must fulfil. Status replaces the rule that 2xx and 3xx are right; the others add to it.
type Check struct {
	Status      []StatusRange // empty: no rule of its own
	Time        time.Duration // response time at most; 0: none
	Contains    []string
	NotContains []string
	Matches     []string // RE2
	Headers     []HeaderCheck
	JSON        []JSONCheck
	Size        *Compare // body, bytes
	Pos         Pos
}

// StatusRange is a closed range of statuses.
type StatusRange struct{ From, To int }

// HeaderCheck wants a header to be there, and Value (a literal or /regex/) to be in it unless empty.
type HeaderCheck struct {
	Name, Value string
	Pos         Pos
}

// JSONCheck compares what a path yields.
type JSONCheck struct {
	Path string
	Compare
	Pos Pos
}

// Compare is an operator (=, !=, <, <=, >, >=, exists, matches) with its operand.
type Compare struct {
	Op    string
	Value string
}

// Distribution is the shape of a think time.
type Distribution uint8

// The shapes.
const (
	Constant Distribution = iota
	Uniform
	Normal
	LogNormal
	Exponential
)

// Think is a pause. A and B are mean and standard deviation, or the ends of the uniform range; B is unused otherwise.
type Think struct {
	Kind     Distribution
	A, B     time.Duration
	Name     string        // of the profile it came from, if any
	Min, Max time.Duration // clamp; Max 0: none. The shipped profiles are clamped to 0.1..60 s; nothing is ever negative
}
