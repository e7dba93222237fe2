package online

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"strings"
)

// Digester computes the logical digest of a generation from its entries in any order:
//
//	hex SHA-256( "rapport online 1\n" ‖ u64 n ‖ Σ SHA-256(entry) mod 2²⁵⁶ )
//
// with all integers big-endian and entry = u64 len(key) ‖ key ‖ u64 len(owner) ‖ owner ‖ i64 expires ‖ u64 len(value) ‖ value.
// It tells damage and difference; it is no defence against somebody who chooses the entries so that sums collide.
// The zero value is ready. O(bytes), no memory beyond a buffer of one entry.
type Digester struct {
	n   uint64
	sum [4]uint64 // most significant word first
	buf []byte
}

// Add counts e in. It keeps nothing of e.
func (d *Digester) Add(e Entry) {
	b := d.buf[:0]
	b = binary.BigEndian.AppendUint64(b, uint64(len(e.Key)))
	b = append(b, e.Key...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(e.Owner)))
	b = append(b, e.Owner...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Expires))
	b = binary.BigEndian.AppendUint64(b, uint64(len(e.Value)))
	b = append(b, e.Value...)
	d.buf = b
	h := sha256.Sum256(b)
	var carry uint64
	for i := 3; i >= 0; i-- {
		d.sum[i], carry = bits.Add64(d.sum[i], binary.BigEndian.Uint64(h[8*i:]), carry)
	}
	d.n++
}

// Len returns the number of entries added.
func (d *Digester) Len() uint64 { return d.n }

// Sum returns the digest of the entries added so far.
func (d *Digester) Sum() string {
	b := append([]byte(nil), "rapport online 1\n"...)
	b = binary.BigEndian.AppendUint64(b, d.n)
	for _, w := range d.sum {
		b = binary.BigEndian.AppendUint64(b, w)
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// erasedPrefix begins the name under which the deny set keeps an erased owner.
const erasedPrefix = "erased:"

// ErasedName is how an erased owner stands in the deny set: "erased:" and the hex SHA-256 of its name. Deny and Allow accept it
// in place of the name.
func ErasedName(owner string) string {
	h := sha256.Sum256([]byte(owner))
	return erasedPrefix + hex.EncodeToString(h[:])
}

// IsErasedName reports whether a name in the deny set is one that ErasedName made.
func IsErasedName(name string) bool { return strings.HasPrefix(name, erasedPrefix) }

// remove takes e, which was added, out again.
func (d *Digester) remove(e Entry) {
	var one Digester
	one.Add(e)
	var borrow uint64
	for i := 3; i >= 0; i-- {
		d.sum[i], borrow = bits.Sub64(d.sum[i], one.sum[i], borrow)
	}
	d.n--
}
