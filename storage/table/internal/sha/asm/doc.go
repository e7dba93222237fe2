// Command asm writes the assembly of storage/table/internal/sha with avo; go generate in that folder runs it.
//
// # Design
//
// A kernel takes the next blocks of as many messages as a register has lanes of 32 bits, and does SHA-256's rounds on all of them at once. Blocks are transposed
// as they are loaded, so that a register holds one word of each message. The three kernels are one text: AVX-512 rotates, and has any function of three
// operands, in one instruction; AVX2 needs two or three for each. Words of the schedule stand in registers where there are 32 of 512 bits, else on the stack.
//
// A module of its own, so that who builds the product does not download a generator. The files that it writes are committed; make lint compares.
package main
