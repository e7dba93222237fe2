// Package words packs columns of words into bytes.
//
//	Append    writes a column
//	Read      reads one
//
// # Design
//
// What all words of a column have in common in zeros is left out, and nothing else is done, so that a column is read about as fast as it is copied:
//
//	0                  all words are 0
//	w | l<<4           w bytes of each, behind l bytes of zeros: words >> 8·l, little-endian
//	w | l<<4 | 1<<7    a bit for each word that is not 0, least bit first; then w bytes of each of those
//
// States and tiles are such columns, and loops over their words took an eighth of a night's build. With AVX-512 a register holds eight words (asm), and one instruction brings
// their bytes together: 0.15 ns a word written and 0.06 read, where loops take 1.1 and 0.5 to 0.9 (Zen 5). That needs F, BW, DQ, VL and VBMI, as Zen 4 and Ice Lake have them.
// Other processors, and builds with the tag purego, take the loops; both write the same bytes, and find the same bytes damaged.
package words
