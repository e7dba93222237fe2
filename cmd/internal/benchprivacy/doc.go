// Command benchprivacy measures what privacy costs and how quick it is, with the product itself: its binary is built first and called, and its servers are asked over HTTP.
//
//	benchprivacy [-size full|ci] [-only denial,erasure,join] [-keep DIR]
//
//	denial   how long after a person's no another process still gives a list that is based on profiling: a withdrawal sent to one server and read
//	         from another, a file imported, an erasure; with the embedded online store and with a real Redis
//	erasure  a thousand of a million people are forgotten: bytes written over those of the files that held them, and the time over that of a copy of these files
//	join     the same events ingested under consent, with millions of records, and under a basis that needs none: time and memory beyond that
//
// Size full ends with a line for each target: "target NAME VALUE <= GOAL ok|short". Size ci runs the same over small worlds, for a machine that is too busy to
// judge times. All that is made stands in a temporary folder and goes with it, also when the benchmark is interrupted.
//
// # Design
//
// What is measured is the program: what a child process took, as the kernel says, or what a client saw. Worlds are made by a child too, since the peak of a process
// begins with that of its parent.
//
// A denial is timed from before the call is made until an answer of another process, which is asked without a pause, says that it is not based on profiling. The worst of all tries
// counts.
//
// The files that hold the erased are found by this program in their own columns before the erasure, not taken from what the erasure says of itself. The copy has each file
// synced, as the product has.
//
// The join is what a night pays when records stand between the events and what is kept of them. Both sides begin with the same identity table, since numbering people is no part of it, and
// with a snapshot of the feed, which is read once when its files are new: what that takes is told in a line of its own. They take turns, and the medians are compared. Nearly everybody has
// agreed, or the side with records would have fewer rows to write.
package main
