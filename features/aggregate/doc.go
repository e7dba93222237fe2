// Package aggregate holds what an entity's features are computed from: the state of every operator of package features, with Add, Merge, Result,
// and an encoding.
//
//	operator         state                        Result                                     class     exact  an entity holds
//	count            a count                      Σ 1                                        additive  yes    1 number
//	share            two counts                   part / all                                 additive  yes    2 numbers
//	sum              Sum, Exact                   Σ w·x, rounded once                        additive  yes    2 numbers
//	mean             Exact and a count            fl(Σ x) / n                                additive  yes    3 numbers
//	decayed          Exact of Decay.Term          fl(fl(S·2^−K)·2^(−R/h))                    additive  yes    2 numbers
//	top              Tallies by category          the n largest counts                       additive  yes    a count a category
//	quantile         Tallies by Bin               the bin of rank ⌊q·(n−1)⌋                  additive  0.8 %  a count a bin
//	min, max         Extreme                      the best value since from                  timed     yes    about ln n entries
//	first            Firsts                       the first event since from                 timed     yes    an entry an hour
//	last, sequence   Recents                      the newest n since from                    timed     yes    n entries
//	recency          a time                       End − the newest time                      timed     yes    1 number
//	distinct         Members                      values whose last time is since from       timed     yes    an entry a value
//	approx_distinct  Registers                    improved HyperLogLog estimate since from   timed     1.6 %  an entry a value, later some a register
//
// A null is never added; a value that can't be computed with is refused before it comes here. No state knows when an event arrived: a late event is
// added as if it had come in time, and leaves the same state.
//
// # Design
//
// States are of two classes. Additive ones hold the events of one span of time and subtract exactly, so that a window moves by what comes and what
// goes. Timed ones hold times, so that one state answers every window that ends after its newest event: a result is a cut-off by time, and a state
// only ever gets events, never loses one.
//
// Nothing depends on the order in which events are added, nor on how states were merged: not the result, and not the encoding,
// which is canonical (equal events give equal bytes), so that a table of states has one digest however it was made.
//
// Timed states are plain slices of entries without pointers (but for texts), so that an engine may keep the lists of a million entities in one
// slice, and lend each to the methods here while it changes.
//
// Decoders take untrusted bytes: they never panic, allocate no more than a small multiple of the bytes that they are given, and refuse what breaks an
// invariant that a method relies on. They don't find every damage, for a changed digit is a state as well: [Seal] and [Open] do.
//
// Rejected: one interface for all states (a virtual call and a pointer for each event and feature); gob or protocol buffers (three times the bytes, and
// no canonical form); q-digests, t-digests and KLL for quantiles (they can't subtract, and a merge depends on its order).
package aggregate
