// Package aggregate holds what an entity's features are computed from: the state of every operator of package features, with Add, Merge, Result,
// and an encoding.
//
// # Design
//
// States are of two classes (issue 4). Additive ones (counts, [Sum], [Exact] with [Decay], [Tallies]) hold the events of one span of time and subtract
// exactly. Timed ones ([Extreme], [Firsts], [Recents], [Members], [Registers]) hold times, so that one state answers every window that ends after
// its newest event: a result is a cut-off by time, and a state only ever gets events, never loses one.
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
// Rejected: one interface for all states (a virtual call and a pointer for each event and feature), and gob or protocol buffers (three times the bytes, and
// no canonical form).
package aggregate
