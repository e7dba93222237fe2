package aggregate

import "github.com/zeebo/xxh3"

// HashString is the identity of a text: xxh3, 64 bits, the same in every process and version.
func HashString(s string) uint64 { return xxh3.HashString(s) }

// HashBits spreads the bits of a number over 64 bits, one to one (the finalizer of MurmurHash3, as improved by D. Stafford, mix 13), so
// that sketches may take numbers as they take hashes of text.
func HashBits(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
