// Command asm writes the assembly of features/local/internal/words with avo; go generate in that folder runs it.
//
// # Design
//
// A register holds eight words. One instruction (VPERMB) brings the bytes that are kept of them together, or back to where they belong; where each comes from is a table
// by width, to which low is added or from which it is taken. Words without a mark are left out, and come back as zeros, by another (VPCOMPRESSQ, VPEXPANDQ).
// Nothing is read that is not asked for: what of a register is loaded is told by a mask, and bytes outside of it may lie in memory that there is not.
//
// A module of its own, so that who builds the product does not download a generator. The files that it writes are committed; make lint compares.
package main
