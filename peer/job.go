package peer

import (
	"lt/engine/authz"
	"lt/engine/scenario"
)

// Job is what a peer is to do: the scenario with everything filled in, files and secrets included. It travels as CBOR on the
// file stream and lives in memory only.
type Job struct {
	File  *scenario.File
	Claim authz.Claim // on what ground the targets may be loaded; the peer decides for itself
	Agent string      // User-Agent unless the scenario says otherwise
	// NoPreflight starts without connecting to the origins.
	NoPreflight bool
}
