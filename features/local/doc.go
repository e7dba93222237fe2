// Package local is the features.Engine of one machine: one streaming scan of the events, whatever the number of views.
//
// # Design
//
// The caller's goroutine reads: it checks each batch, drops what lies outside the longest window, turns the columns that some view needs into
// numbers (strings become dictionary ids, kinds become small integers), and sorts the row numbers by shard. One worker a shard owns every
// entity whose key hashes there, so no state is shared and there are no locks. When the source has ended, rows are put out sorted by entity.
//
// An event is added once, to the bucket of the shortest window that holds it; when a row is put out, window b is the merge of buckets 0…b. That
// costs one update per event and feature, not one per window, and it is the same merge that tiles will need.
//
// Results don't depend on the number of shards, on batches or on row order, because every state is exact and commutative (package
// features). So the number of workers is simply GOMAXPROCS.
//
// Memory is proportional to entities × features × windows, plus one entry for every pair of entity and distinct value under Distinct, plus
// the dictionaries; it doesn't grow with the number of events.
//
// Rejected: a goroutine for each view (as many scans of the batches, and uneven), hash tables merged after a parallel scan (twice the memory,
// and a merge that a partitioned scan doesn't need), and sorting the events by key (all of them in memory).
package local
