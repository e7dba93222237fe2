// Command asm writes the assembly of models/internal/vec with avo; go generate in that folder runs it.
//
// # Design
//
// A kernel is written once for 16 lanes: one AVX-512 register, or two of AVX2. Both do the same operations on each lane in the same order, so
// they give the same bits. Vector registers are named, not allocated: AVX2 has sixteen, and a kernel is laid out around their number.
//
// A module of its own, so that who builds the product does not download a generator. The files that it writes are committed; make lint compares.
package main
