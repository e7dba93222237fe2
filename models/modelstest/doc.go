// Package modelstest is the conformance suite of model trainers: what every algorithm must do, whatever it computes.
//
// # Design
//
// The suite asks for properties rather than numbers, on a data set small enough to be understood and with a right answer: a
// checkerboard, where even subjects choose even items. Each algorithm's own numbers are tested beside it, against an oracle.
//
// Rejected: a quality floor on a published data set (none is shipped), golden digests (they differ between kernel classes).
package modelstest
