package table

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"slices"
)

// Digest is the logical digest of a table: hex SHA-256 over its schema and its canonical row hashes. It is independent of file
// format, compression, split into parts and (for unordered tables) row order.
type Digest string

// Digester computes the Digest of the rows it is given. The construction, version 1:
//
//	value   null: 00 | otherwise 01 followed by
//	        Int64, Time: 8 bytes little-endian | Bool: one byte, 0 or 1 | String, Bytes: uvarint length, bytes
//	        Float64: 8 bytes little-endian of the IEEE 754 bits, −0 as +0, every NaN as 7ff8000000000000
//	row     h = SHA-256(values in schema order)
//	rows    unordered: Σ = Σ h mod 2²⁵⁶ (h little-endian) | ordered: c₀ = 0, cₖ = SHA-256(cₖ₋₁ ‖ hₖ)
//	table   SHA-256("rapport table 1\n" ‖ mode ‖ u64 columns ‖ for each: uvarint length, name, type ‖ u64 rows ‖ Σ or cₙ)
//
// with mode 0 for unordered and 1 for ordered, and a type as its one-byte number. One SHA-256 a row; memory of 128 rows, or 4 MiB of them, or one.
// A Digester is not safe for concurrent use: give each shard its own and Merge them.
type Digester struct {
	schema  Schema
	ordered bool
	rows    uint64
	sum     [4]uint64 // Σ, least significant word first
	chain   [sha256.Size]byte
}

// NewDigester digests rows whose order has no meaning.
func NewDigester(s Schema) *Digester { return &Digester{schema: s} }

// NewOrderedDigester digests rows whose order is part of the table.
func NewOrderedDigester(s Schema) *Digester { return &Digester{schema: s, ordered: true} }

// Digested returns a digester that has digested the rows of a table, from what its manifest says of them, and false if that does not say it: its Sum is missing or belongs to
// another digest.
func (m *Manifest) Digested() (*Digester, bool) {
	d := NewDigester(m.Schema)
	sum, err := hex.DecodeString(m.Sum)
	if err != nil || len(sum) != sha256.Size || m.Rows < 0 {
		return nil, false
	}
	for w := range d.sum {
		d.sum[w] = binary.LittleEndian.Uint64(sum[8*w:])
	}
	d.rows = uint64(m.Rows)
	return d, d.Sum() == m.Digest
}

// Describe sets what a manifest says of its rows as a whole.
func (d *Digester) Describe(m *Manifest) {
	m.Digest, m.Rows, m.Sum = d.Sum(), d.Rows(), ""
	if d.ordered {
		return
	}
	var sum []byte
	for _, w := range d.sum {
		sum = binary.LittleEndian.AppendUint64(sum, w)
	}
	m.Sum = hex.EncodeToString(sum)
}

// Remove takes the rows of b, which have been digested, out again. It fails for an ordered table, where it cannot.
func (d *Digester) Remove(b *Batch) error {
	gone := NewDigester(d.schema)
	if err := gone.Add(b); err != nil {
		return err
	}
	if d.ordered || gone.rows > d.rows {
		return fmt.Errorf("take %d of %d rows out of a digest: only rows of an unordered table that stand in it can be", gone.rows, d.rows)
	}
	d.rows -= gone.rows
	var borrow uint64
	for w := range d.sum {
		d.sum[w], borrow = bits.Sub64(d.sum[w], gone.sum[w], borrow)
	}
	return nil
}

// Add digests the rows of b, which must have the digester's schema.
func (d *Digester) Add(b *Batch) error {
	if err := b.check(d.schema); err != nil {
		return fmt.Errorf("digest rows: %w", err)
	}
	canonical, _ := lentRows.Get().(*canonicalRows)
	if canonical == nil {
		canonical = new(canonicalRows)
	}
	defer lentRows.Put(canonical)
	for at := 0; at < b.N; {
		hashes := canonical.hash(b, at)
		at += len(hashes)
		for i := range hashes {
			d.addHash(&hashes[i])
		}
	}
	return nil
}

func (d *Digester) addHash(h *[sha256.Size]byte) {
	d.rows++
	if d.ordered {
		var link [2 * sha256.Size]byte
		copy(link[:], d.chain[:])
		copy(link[sha256.Size:], h[:])
		d.chain = sha256.Sum256(link[:])
		return
	}
	var carry uint64
	for w := range d.sum {
		d.sum[w], carry = bits.Add64(d.sum[w], binary.LittleEndian.Uint64(h[8*w:]), carry)
	}
}

// Merge adds the rows that o has digested. Only unordered digesters of one schema can be merged.
func (d *Digester) Merge(o *Digester) error {
	if d.ordered || o.ordered {
		return fmt.Errorf("merge digests: the rows of an ordered table must be digested in order, by one digester")
	}
	if !slices.Equal(d.schema, o.schema) {
		return fmt.Errorf("merge digests: schemas %v and %v differ", d.schema, o.schema)
	}
	d.rows += o.rows
	var carry uint64
	for w := range d.sum {
		d.sum[w], carry = bits.Add64(d.sum[w], o.sum[w], carry)
	}
	return nil
}

// Rows returns the number of rows digested.
func (d *Digester) Rows() int64 { return int64(d.rows) }

// Sum returns the digest of the rows so far; more may be added afterwards.
func (d *Digester) Sum() Digest {
	b := []byte("rapport table 1\n")
	var mode byte
	if d.ordered {
		mode = 1
	}
	b = append(b, mode)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(d.schema)))
	for _, f := range d.schema {
		b = binary.AppendUvarint(b, uint64(len(f.Name)))
		b = append(b, f.Name...)
		b = append(b, byte(f.Type))
	}
	b = binary.LittleEndian.AppendUint64(b, d.rows)
	if d.ordered {
		b = append(b, d.chain[:]...)
	} else {
		for _, w := range d.sum {
			b = binary.LittleEndian.AppendUint64(b, w)
		}
	}
	h := sha256.Sum256(b)
	return Digest(hex.EncodeToString(h[:]))
}
