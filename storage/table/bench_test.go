package table

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/rapport-ml/rapport/storage"
)

// eventTable is n events of n/160 subjects and 3,700 items, as a MovieLens-sized table has them.
func eventTable(n int) *Batch {
	s := Schema{{"subject", Int64}, {"at", Time}, {"item", String}, {"value", Float64}}
	r := rand.New(rand.NewPCG(1, 1))
	b := newBatch(s)
	b.resize(n)
	items := make([]string, 3700)
	for i := range items {
		items[i] = fmt.Sprintf("item-%05d", i)
	}
	for i := range n {
		b.Cols[0].Int[i] = int64(uint64(r.IntN(n/160+1)) * 0x9e3779b97f4a7c15)
		b.Cols[1].Int[i] = r.Int64N(90*86400) * 1_000_000
		b.Cols[2].Str[i] = items[r.IntN(len(items))]
		b.Cols[3].Float[i] = float64(r.IntN(10)) / 2
	}
	return b
}

const benchRows = 200_000

func benchManifest(b *testing.B) (*storage.Memory, Manifest) {
	b.Helper()
	t := eventTable(benchRows)
	mem := storage.NewMemory(nil)
	w := NewWriter(mem, "t", t.Schema, WriteOptions{Shards: 2, ShardBy: "subject", SortBy: []string{"subject", "at"}})
	if err := w.Append(t); err != nil {
		b.Fatal(err)
	}
	m, err := w.Finish(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	return mem, m
}

func BenchmarkRead200k(b *testing.B) {
	mem, m := benchManifest(b)
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range Read(context.Background(), mem, m, ReadOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(benchRows*b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkScan200k(b *testing.B) {
	mem, m := benchManifest(b)
	o := ScanOptions{Columns: []Want{{Name: "subject"}, {Name: "at"}, {Name: "item"}, {Name: "value"}}}
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range m.Parts {
			for _, err := range Scan(context.Background(), mem, storage.Info{Key: p.Object}, o) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.ReportMetric(float64(benchRows*b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkWrite200k(b *testing.B) {
	t := eventTable(benchRows)
	b.ReportAllocs()
	for b.Loop() {
		w := NewWriter(storage.NewMemory(nil), "t", t.Schema, WriteOptions{Shards: 2, ShardBy: "subject", SortBy: []string{"subject", "at"}})
		if err := w.Append(t); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Finish(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(benchRows*b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkDigest200k(b *testing.B) {
	t := eventTable(benchRows)
	b.ReportAllocs()
	for b.Loop() {
		d := NewDigester(t.Schema)
		if err := d.Add(t); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(benchRows*b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}
