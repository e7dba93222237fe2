package table

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/rapport-ml/rapport/storage"
)

const million = 1_000_000

// cpu is the processor time that the process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// perCPU reports rows per second of processor time since a moment of it: what the machine's other work disturbs least.
func perCPU(b *testing.B, rows int, since time.Duration) {
	b.ReportMetric(float64(rows)*float64(b.N)/(cpu(b)-since).Seconds()/1e6, "Mrows/cpu-s")
}

// dayTable is n events in the order of subjects and times, as a day's table has them: numbers, an item that recurs, and an id as text that hardly does.
func dayTable(n int) *Batch {
	s := Schema{{"subject", Int64}, {"time", Time}, {"value", Float64}, {"item", String}, {"session", Int64}, {"id", String}}
	r := rand.New(rand.NewPCG(2, 1))
	b := newBatch(s)
	b.resize(n)
	items := make([]string, 3700)
	for i := range items {
		items[i] = fmt.Sprintf("item-%05d", i)
	}
	subject, at := r.Uint64(), int64(0)
	for i := range n {
		if r.IntN(22) == 0 {
			subject, at = r.Uint64(), 0
		}
		at += r.Int64N(86400) * 1_000_000
		b.Cols[0].Int[i] = int64(subject)
		b.Cols[1].Int[i] = at
		b.Cols[2].Float[i] = float64(r.IntN(10)) / 2
		b.Cols[3].Str[i] = items[r.IntN(len(items))]
		b.Cols[4].Int[i] = r.Int64N(1 << 20)
		b.Cols[5].Str[i] = fmt.Sprintf("u%09d", r.IntN(n))
	}
	return b
}

// stored writes t in its order.
func stored(b *testing.B, t *Batch, o WriteOptions) (*storage.Memory, Manifest) {
	b.Helper()
	o.Ordered = true
	mem := storage.NewMemory(nil)
	w := NewWriter(mem, "t", t.Schema, o)
	if err := w.Append(t); err != nil {
		b.Fatal(err)
	}
	m, err := w.Finish(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	return mem, m
}

func BenchmarkRead1M(b *testing.B) {
	t := dayTable(million)
	for _, codec := range []string{"zstd", "snappy"} {
		mem, m := stored(b, t, WriteOptions{Codec: codec})
		body, _, err := storage.ReadAll(context.Background(), mem, m.Parts[0].Object)
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range []struct {
			name    string
			columns []string
		}{
			{"numbers", []string{"subject", "time", "value", "session"}},
			{"items", []string{"subject", "time", "value", "item"}},
			{"ids", []string{"id", "time", "value", "item"}},
		} {
			b.Run(codec+"/"+c.name, func(b *testing.B) {
				b.ReportAllocs()
				from := cpu(b)
				for b.Loop() {
					for _, err := range Read(context.Background(), mem, m, ReadOptions{Columns: c.columns, Dictionaries: true}) {
						if err != nil {
							b.Fatal(err)
						}
					}
				}
				perCPU(b, million, from)
			})
			// What no reader can save: the codec's own work on the same bytes.
			b.Run(codec+"/"+c.name+"/decompression", func(b *testing.B) {
				var s Schema
				for _, name := range c.columns {
					s = append(s, m.Schema[m.Schema.Index(name)])
				}
				f, err := openPart(m.Parts[0], body, s)
				if err != nil {
					b.Fatal(err)
				}
				var pages []page
				bytes := 0
				for g, group := range f.meta.RowGroups {
					chunks, err := f.cutGroup(body, g)
					if err != nil {
						b.Fatal(err)
					}
					for k, chunk := range chunks {
						bytes += len(chunk)
						if group.Columns[f.leaves[k]].MetaData.Codec == 0 {
							continue // stands as it is
						}
						dict, data, err := pagesOf(chunk, group.NumRows)
						if err != nil {
							b.Fatal(err)
						}
						if dict != nil {
							pages = append(pages, *dict)
						}
						pages = append(pages, data...)
					}
				}
				library, err := compress.GetCodec(compressions[codec])
				if err != nil {
					b.Fatal(err)
				}
				var raw []byte
				from := cpu(b)
				for b.Loop() {
					for i := range pages {
						if raw, err = pages[i].decompress(library, raw); err != nil {
							b.Fatal(err)
						}
					}
				}
				perCPU(b, million, from)
				b.ReportMetric(float64(bytes)/million, "bytes/row")
			})
		}
	}
}

// BenchmarkWrite1M40 writes what a night's build does: a row an entity, in the order of entities, 20 counts and 20 sums of which few are null.
func BenchmarkWrite1M40(b *testing.B) {
	const rows = million / 4 // a quarter at a time: four shards
	s := Schema{{"entity", Int64}}
	for i := range 20 {
		s = append(s, Field{fmt.Sprintf("count_%02d", i), Int64}, Field{fmt.Sprintf("sum_%02d", i), Float64})
	}
	t := newBatch(s)
	t.resize(rows)
	r := rand.New(rand.NewPCG(2, 2))
	for k := range t.Cols {
		c := &t.Cols[k]
		if k%4 == 2 {
			c.Valid = make([]bool, rows)
		}
		for i := range rows {
			n := int64(r.ExpFloat64() * float64(1+k))
			switch {
			case k == 0:
				c.Int[i] = int64(uint64(i) << 44)
			case s[k].Type == Float64:
				c.Float[i] = float64(n*r.Int64N(2000)) / 100
			default:
				c.Int[i] = n
			}
			if c.Valid != nil {
				c.Valid[i] = r.IntN(50) > 0
			}
		}
	}
	b.ReportAllocs()
	from := cpu(b)
	for b.Loop() {
		w := NewWriter(storage.NewMemory(nil), "t", s, WriteOptions{Shards: 4, ShardBy: "entity", SortBy: []string{"entity"}})
		for q := range uint64(4) {
			for i := range rows {
				t.Cols[0].Int[i] = int64(uint64(i)<<44 | q<<62)
			}
			if err := w.Append(t); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Finish(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	perCPU(b, million, from)
}

// rawEvents is a file of a million events as others write them: two texts, a time, a kind and a value.
func rawEvents(b *testing.B, codec compress.Compression) []byte {
	b.Helper()
	r := rand.New(rand.NewPCG(2, 3))
	var subjects, items, kinds []parquet.ByteArray
	var at []int64
	var value []float64
	text := func(format string, n int) parquet.ByteArray { return parquet.ByteArray(fmt.Sprintf(format, r.IntN(n))) }
	for i := range million {
		subjects, items, kinds = append(subjects, text("u%08d", 45_000)), append(items, text("item-%05d", 3700)), append(kinds, text("kind%d", 4))
		at, value = append(at, 1_700_000_000_000+int64(i)*86), append(value, float64(r.IntN(100))/10)
	}
	plainText := schema.StringLogicalType{}
	return rawParquet(b, million, 1<<17, []rawColumn{
		values(node(b, "user", optional, plainText, parquet.Types.ByteArray, -1), subjects, nil),
		values(node(b, "item", optional, plainText, parquet.Types.ByteArray, -1), items, nil),
		values(node(b, "at", optional, timestamp(true, schema.TimeUnitMillis), parquet.Types.Int64, -1), at, nil),
		values(node(b, "kind", optional, plainText, parquet.Types.ByteArray, -1), kinds, nil),
		values(node(b, "value", optional, nil, parquet.Types.Double, -1), value, nil),
	}, parquet.WithCompression(codec))
}

func BenchmarkScan1M(b *testing.B) {
	for name, codec := range map[string]compress.Compression{"zstd": compress.Codecs.Zstd, "snappy": compress.Codecs.Snappy} {
		b.Run(name, func(b *testing.B) {
			mem := memoryWith(b, rawEvents(b, codec))
			o := ScanOptions{Columns: []Want{{Name: "user"}, {Name: "item"}, {Name: "at"}, {Name: "kind"}, {Name: "value"}}}
			b.ReportAllocs()
			from := cpu(b)
			for b.Loop() {
				for _, err := range Scan(context.Background(), mem, storage.Info{Key: "raw/f.parquet"}, o) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			perCPU(b, million, from)
		})
	}
}
