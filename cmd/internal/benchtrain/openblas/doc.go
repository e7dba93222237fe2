// Command openblas is the peer of benchtrain: it runs one of OpenBLAS's kernels a few times and tells how long each took.
//
//	openblas < task.json
//
// The task comes as one JSON object on the standard input, and the facts go as one to the standard output.
//
// # Design
//
// A module of its own, so that nothing of the product needs cgo or a BLAS. A process of its own, so that its peak memory is the kernel's figure
// and its threads do not spin beside ours. Inputs are made here from a seed: the answer's few elements are compared with ours, which are made
// from the same numbers.
package main
