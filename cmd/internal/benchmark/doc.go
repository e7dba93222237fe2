// Package benchmark is what the benchmark programs share: lines of output, targets, a child process for each measured piece of work, and what that took.
//
// # Design
//
// Work whose peak memory is told runs alone in a process, whose high-water mark the kernel knows. A child is the same program again, or a peer: it takes
// one JSON value on its standard input and answers with one on its standard output.
//
// Peers in modules of their own (duckdb, openblas) can't import this package, so they measure themselves.
package benchmark
