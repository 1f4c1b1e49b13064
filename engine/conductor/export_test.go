package conductor

import "lt/engine/ledger"

// Ledger is what the run added up to; it may be read after the end.
func (r *Run) Ledger() *ledger.Ledger { return r.cfg.Ledger }
