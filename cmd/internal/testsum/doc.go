// Command testsum runs `go test -json` and prints what a person wants of it: a line a package, the whole output of what failed, and a last
// line "N passed, N failed" (", N skipped" if any). It exits 1 if anything failed, if go test itself did, or if no test ran.
//
//	testsum ARGS [-- ARGS]...
//
// Each group of arguments is one run of go test; the groups are counted together. Two are needed because packages that read a subprocess
// must not be answered from the test cache (-count=1), and the others may be.
//
// # Design
//
// It starts go test itself rather than reading a pipe, so that a go test that dies without a word about tests still fails the run. Output
// is held until its package ends: packages run at the same time, and their lines would mix. Rejected: gotestsum, a dependency for what is
// a short loop over one documented event stream.
package main
