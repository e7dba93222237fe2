package table

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/rapport-ml/rapport/storage"
)

// nightView is rows of a view as an engine puts them out: an entity that is a hash, in the order of hashes of something else, and a number of features of four
// windows, of which the longer ones have more; means are null where nothing was counted.
func nightView(n, counts, sums int, items bool) *Batch {
	s := Schema{{"entity", Int64}}
	if items {
		s[0].Type = String
	}
	for i := range counts {
		s = append(s, Field{fmt.Sprintf("count_%02d", i), Int64})
	}
	for i := range sums {
		s = append(s, Field{fmt.Sprintf("sum_%02d", i), Float64})
	}
	b := newBatch(s)
	b.resize(n)
	r := rand.New(rand.NewPCG(3, uint64(n)))
	for k := range b.Cols {
		c := &b.Cols[k]
		window := (k - 1) % 4
		if s[k].Type == Float64 && k%3 > 0 {
			c.Valid = make([]bool, n)
		}
		for i := range n {
			seen := int64(r.ExpFloat64() * []float64{0.3, 2, 8, 25}[max(window, 0)])
			switch s[k].Type {
			case String:
				c.Str[i] = fmt.Sprintf("item-%07d", r.IntN(1<<20)*8+i%8)
				continue
			case Float64:
				if k%2 == 0 {
					c.Float[i] = float64(seen*r.Int64N(2000)) / 100
				} else {
					c.Float[i] = float64(seen) * (1 + r.Float64())
				}
			default:
				if k == 0 {
					seen = int64(r.Uint64())
				}
				c.Int[i] = seen
			}
			if c.Valid != nil {
				if c.Valid[i] = seen > 0; seen == 0 {
					c.Float[i] = 0
				}
			}
		}
	}
	return b
}

// BenchmarkWriteNight writes what a night of six views does: three of subjects in four shards, three of items in one, appended in batches.
func BenchmarkWriteNight(b *testing.B) {
	const subjects, items = 100_000, 20_000
	views := []*Batch{
		nightView(subjects, 8, 0, false), nightView(subjects, 0, 12, false), nightView(subjects, 0, 8, false),
		nightView(items, 8, 0, true), nightView(items, 0, 8, true), nightView(items, 0, 8, true),
	}
	b.ReportAllocs()
	from := cpu(b)
	for b.Loop() {
		for _, v := range views {
			o := WriteOptions{SortBy: []string{"entity"}}
			if v.Schema[0].Type == Int64 {
				o.Shards, o.ShardBy = 4, "entity"
			}
			w := NewWriter(storage.NewMemory(nil), "t", v.Schema, o)
			const step = 8192
			for at := 0; at < v.N; at += step {
				if err := w.Append(v.slice(at, min(at+step, v.N))); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := w.Finish(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
	perCPU(b, 3*subjects+3*items, from)
}

// slice is rows [from, to) of b.
func (b *Batch) slice(from, to int) *Batch {
	out := &Batch{Schema: b.Schema, N: to - from, Cols: make([]Column, len(b.Cols))}
	for k := range b.Cols {
		c := &b.Cols[k]
		cut := &out.Cols[k]
		if c.Int != nil {
			cut.Int = c.Int[from:to]
		}
		if c.Float != nil {
			cut.Float = c.Float[from:to]
		}
		if c.Str != nil {
			cut.Str = c.Str[from:to]
		}
		if c.Valid != nil {
			cut.Valid = c.Valid[from:to]
		}
	}
	return out
}
