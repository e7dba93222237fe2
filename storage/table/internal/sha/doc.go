// Package sha computes the SHA-256 of many messages side by side.
//
//	Sums    those of some messages, in one call
//
// # Design
//
// A digest of a table hashes each of its rows, of some hundred bytes, and crypto/sha256 takes 8 cycles for a byte where the processor has no instructions
// for it: more than everything else that writing a table does. What one message leaves unused, since each of its rounds waits for the one before, many fill:
// the words of 16 messages stand in one register of AVX-512, those of eight in one of AVX2 (asm), and go through the rounds together. A cycle for a byte is
// left, and crypto/sha256's own work for each call is gone with it.
//
// A lane whose message ends takes the next one, so messages may be of any lengths; where none is left the lanes that still work move together, and
// eight do with half a register. Eight lanes cost what one does: with one message or two there is nothing to gain, and crypto/sha256 has them.
//
// Where the processor has instructions for SHA-256 crypto/sha256 takes about two cycles for a byte. AVX2 comes to less than that, and 16 lanes of AVX-512 to
// 2.4 times as much (Zen 5: 4.9 GB/s of long messages where crypto/sha256 does 2.0, 3.2 of those of 180 bytes where it does 1.3): they have messages where
// there are six or more, and crypto/sha256 fewer. On other architectures, and with the build tag purego, it has them all.
package sha
