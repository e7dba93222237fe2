package table

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/storage/table/internal/sha"
)

// canonicalRow is the canonical encoding of a row, value by value, as Digester's comment has it.
func canonicalRow(b *Batch, i int) (row []byte) {
	for k := range b.Cols {
		c := &b.Cols[k]
		if c.Null(i) {
			row = append(row, 0)
			continue
		}
		row = append(row, 1)
		switch b.Schema[k].Type {
		case Float64:
			v := c.Float[i]
			switch {
			case v != v:
				v = math.Float64frombits(0x7ff8000000000000)
			case v == 0:
				v = 0
			}
			row = binary.LittleEndian.AppendUint64(row, math.Float64bits(v))
		case String, Bytes:
			row = binary.AppendUvarint(row, uint64(len(c.Text(i))))
			row = append(row, c.Text(i)...)
		case Bool:
			row = append(row, byte(c.Int[i]))
		default:
			row = binary.LittleEndian.AppendUint64(row, uint64(c.Int[i]))
		}
	}
	return row
}

// TestCanonicalRows compares the hashes of rows that are encoded together with those of each encoded alone: numbers and nulls, texts of every length that takes
// one byte more to say, texts as codes, and rows so long that fewer are encoded together, or one.
func TestCanonicalRows(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	texts := &Batch{Schema: Schema{{"a", String}, {"b", Bytes}, {"c", String}}, N: 300}
	var words []string
	for _, n := range []int{0, 1, 54, 55, 56, 63, 64, 127, 128, 250, 16383, 16384} {
		words = append(words, strings.Repeat("x", n))
	}
	texts.Cols = []Column{{}, {Valid: make([]bool, texts.N)}, {Dict: words}}
	for i := range texts.N {
		texts.Cols[0].Str = append(texts.Cols[0].Str, words[i%len(words)])
		texts.Cols[1].Str = append(texts.Cols[1].Str, words[r.IntN(len(words))])
		texts.Cols[1].Valid[i] = r.IntN(3) > 0
		texts.Cols[2].Code = append(texts.Cols[2].Code, int32(r.IntN(len(words))))
	}
	long := &Batch{Schema: Schema{{"n", Int64}, {"b", Bytes}}, N: 40, Cols: make([]Column, 2)}
	for i := range long.N {
		long.Cols[0].Int = append(long.Cols[0].Int, int64(i))
		size := r.IntN(10_000)
		switch i {
		case 3, 20:
			size = 3 << 20
		case 4, 39:
			size = longRows + i
		}
		long.Cols[1].Str = append(long.Cols[1].Str, strings.Repeat(string(rune('a'+i%26)), size))
	}
	for _, b := range []*Batch{randomBatch(r, 0), randomBatch(r, 1), randomBatch(r, 17), randomBatch(r, 1000), nightView(500, 3, 6, false), texts, long} {
		var rows canonicalRows
		for at := 0; at < b.N; {
			hashes := rows.hash(b, at)
			if len(hashes) == 0 || at+len(hashes) > b.N {
				t.Fatalf("%d hashes at row %d of %d", len(hashes), at, b.N)
			}
			for i, h := range hashes {
				if want := sha256.Sum256(canonicalRow(b, at+i)); h != want {
					t.Fatalf("row %d of %v: %x, want %x", at+i, b.Schema, h, want)
				}
			}
			at += len(hashes)
		}
		longest := 0
		for i := range b.N {
			longest = max(longest, len(canonicalRow(b, i)))
		}
		if most := max(longest, min(longRows, hashedBytes+sha.Lanes*longest)); cap(rows.buf) > most+most/4+8 { // as memory is lent
			t.Errorf("%v: %d bytes for rows that are encoded together, %d at most", b.Schema, cap(rows.buf), most)
		}
	}
}
