// Package metrics holds what is measured: how it is recorded without contention, merged without loss, and written down.
//
// A shard records into its own [Recorder]; nothing there is shared, locked or, once warm, allocated. At each edge of an
// interval the shard swaps its pages for fresh ones and hands the full ones over; the source's collector joins the shards'
// parts to one [Interval]. Histograms have one geometry everywhere, so that adding counts is exact, in any order.
package metrics
