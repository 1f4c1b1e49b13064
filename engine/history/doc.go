// Package history keeps runs on disk.
//
// A run is one file, NAME.lt below the folder runs, written as the run goes on: a [Writer] appends every item the moment it
// is entered, so that after a crash, a kill or a full disk the file can be read up to its last whole frame. [Open] reads a
// file back through a ledger.Ledger, the one that added up the live run; [List] tells what there is without reading it all.
//
// The format, version 1. All numbers are little endian.
//
//	file    = "LTRUN" 0x01 0x0d 0x0a, frames, and if the run came to its end a footer
//	frame   = uint32 length of the payload | byte kind | payload | uint32 CRC-32C of kind and payload
//	footer  = uint32 length of the whole trailer frame | "LTEND" 0x01 0x0d 0x0a
//
//	kind 1  header    JSON, ledger.Header; always the first frame
//	kind 2  interval  binary, metrics.Interval
//	kind 3  event     JSON, ledger.Event
//	kind 4  edge      JSON, ledger.StageEdge
//	kind 5  pause     JSON, ledger.Pause
//	kind 6  change    JSON, ledger.Change
//	kind 7  source    JSON, ledger.SourceState
//	kind 8  end       JSON, ledger.End
//	kind 9  trailer   JSON, Trailer; always the last frame
//	kind 10 gap       JSON, ledger.Gap
//	kind 11 begin     JSON, ledger.Begin
//
// A reader skips kinds and JSON keys that it does not know. It refuses a header longer than 8 MiB, and takes an interval longer
// than 96 MiB and any other frame longer than 1 MiB for damage. A frame that is cut off or whose sum is wrong ends the record:
// what stands behind it has no known beginning.
//
// While a record is written its file is locked (flock, LockFileEx), which is how a run that goes on is told from one that was
// killed or whose disk was full.
package history
