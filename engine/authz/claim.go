package authz

// Claim is the ground on which a run may load its targets, in a form that travels: each source decides by it anew, with the
// addresses that it resolves itself.
type Claim struct {
	Authorize []string // hosts that the command line allows
	Block     *Block   // what the scenario says
	Typed     []string // hosts whose names were typed
	Key       string   // fingerprint of the user's key, to which proofs of ownership are bound
	Peers     int      // sources besides the coordinator's machine
	FindKnee  bool
	Peak      float64 // arrivals a second, over all sources; 0 in the closed model
	Users     int     // of the closed model, over all sources
}
