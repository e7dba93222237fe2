package table

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	pq "github.com/parquet-go/parquet-go"

	"github.com/rapport-ml/rapport/storage"
)

// layouts are columns of which each is made for one layout, with the encodings that its pages are to have.
func layouts(r *rand.Rand, n int) (*Batch, map[string]parquet.Encoding) {
	want := map[string]parquet.Encoding{
		"few": parquet.Encodings.RLEDict, "runs": parquet.Encodings.RLEDict, "one": parquet.Encodings.RLEDict, "near": parquet.Encodings.DeltaBinaryPacked,
		"mixed": parquet.Encodings.DeltaBinaryPacked, "far": parquet.Encodings.Plain, "steps": parquet.Encodings.RLEDict, "reals": parquet.Encodings.Plain,
		"names": parquet.Encodings.RLEDict, "ids": parquet.Encodings.DeltaLengthByteArray, "state": parquet.Encodings.Plain, "flag": parquet.Encodings.Plain,
	}
	b := newBatch(Schema{
		{"few", Int64},
		{"runs", Int64},
		{"one", Int64},
		{"near", Time},
		{"mixed", Int64},
		{"far", Int64},
		{"steps", Float64},
		{"reals", Float64},
		{"names", String},
		{"ids", String},
		{"state", Bytes},
		{"flag", Bool},
	})
	b.resize(n)
	wide := []int64{math.MinInt64, math.MaxInt64, 0, -1, 1 << 62}
	for i := range n {
		b.Col("few").Int[i] = wide[r.IntN(len(wide))]
		b.Col("runs").Int[i] = int64(i/500) * 0x7777777777777
		b.Col("one").Int[i] = -7
		b.Col("near").Int[i] = 1_700_000_000_000_000 + int64(i)*1000 + r.Int64N(500)
		b.Col("mixed").Int[i] = r.Int64N(1 << 30) // and, behind what is looked at, the extremes
		b.Col("far").Int[i] = int64(r.Uint64())
		b.Col("steps").Float[i] = []float64{0, 0.5, -1.5, math.Inf(1), math.NaN(), 5e-324}[r.IntN(6)]
		b.Col("reals").Float[i] = r.NormFloat64()
		b.Col("names").Str[i] = fmt.Sprintf("näme-%d", r.IntN(40))
		b.Col("ids").Str[i] = fmt.Sprintf("%x", r.Uint64())[r.IntN(4):]
		b.Col("state").Str[i] = string([]byte{byte(r.Uint32()), 0, byte(r.Uint32())}[:r.IntN(4)])
		b.Col("flag").Int[i] = int64(r.IntN(2))
	}
	for i := layoutSample; i < n; i++ {
		b.Col("mixed").Int[i] = wide[r.IntN(len(wide))]
	}
	return b, want
}

// TestLayouts: each column stands in the encoding that its values call for, and reads back as it was written, here and by two other readers.
func TestLayouts(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		rows  int
		nulls int // one of so many
		codec string
	}{{layoutSample + 3000, 0, "snappy"}, {20_011, 0, "zstd"}, {20_011, 7, ""}, {20_011, 900, "snappy"}, {20_011, 700, "none"}, {20_011, 800, "text"}} {
		r := rand.New(rand.NewPCG(uint64(c.rows), uint64(c.nulls)))
		b, want := layouts(r, c.rows)
		if c.nulls > 0 {
			for k := range b.Cols {
				b.Cols[k].Valid = make([]bool, b.N)
				for i := range b.N {
					b.Cols[k].Valid[i] = r.IntN(c.nulls) > 0
				}
			}
		}
		mem := storage.NewMemory(nil)
		w := NewWriter(mem, "t", b.Schema, WriteOptions{Ordered: true, Codec: c.codec})
		if err := w.Append(b); err != nil {
			t.Fatal(err)
		}
		m, err := w.Finish(ctx)
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := storage.ReadAll(ctx, mem, m.Parts[0].Object)
		if err != nil {
			t.Fatal(err)
		}
		meta, _ := footerOf(t, body)
		for _, g := range meta.RowGroups {
			for _, col := range g.Columns {
				name := col.MetaData.PathInSchema[0]
				if e := parquet.Encoding(col.MetaData.Encodings[0]); e != want[name] {
					t.Errorf("%d rows, nulls 1/%d: %q is in %v, want %v", c.rows, c.nulls, name, e, want[name])
				}
				if codec := compress.Compression(col.MetaData.Codec); codec != compressions[c.codec] && (c.codec != "" && c.codec != "text" || codec != compress.Codecs.Uncompressed) {
					t.Errorf("codec %q: %q is compressed with %v", c.codec, name, codec)
				}
			}
		}
		got, err := collect(Read(ctx, mem, m, ReadOptions{BatchRows: 5000 + r.IntN(50_000), Dictionaries: true}))
		if err != nil {
			t.Fatal(err)
		}
		all := newRows(b.Schema) // in canonical form
		if err := all.add(b, selection{n: b.N}); err != nil {
			t.Fatal(err)
		}
		sameBatch(t, "read", got, all.batch())
		otherReader(t, body, all.batch())
	}
}

// sameBatch compares two batches in canonical form.
func sameBatch(t *testing.T, what string, got, want *Batch) {
	t.Helper()
	if got.N != want.N || !slices.Equal(got.Schema, want.Schema) {
		t.Fatalf("%s: %d rows of %v, want %d of %v", what, got.N, got.Schema, want.N, want.Schema)
	}
	for k, f := range want.Schema {
		g, w := &got.Cols[k], &want.Cols[k]
		for i := range want.N {
			same := g.Null(i) == w.Null(i)
			switch {
			case !same || w.Null(i):
			case f.Type == Float64:
				same = math.Float64bits(g.Float[i]) == math.Float64bits(w.Float[i])
			case f.Type == String || f.Type == Bytes:
				same = g.Text(i) == w.Text(i)
			default:
				same = g.Int[i] == w.Int[i]
			}
			if !same {
				t.Fatalf("%s: column %q, row %d is %s, want %s", what, f.Name, i, cell(got, k, i), cell(want, k, i))
			}
		}
	}
}

// otherReader reads a part with parquet-go, which knows nothing of how we read.
func otherReader(t *testing.T, body []byte, want *Batch) {
	t.Helper()
	f, err := pq.OpenFile(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, g := range f.RowGroups() {
		for k, chunk := range g.ColumnChunks() {
			pages := chunk.Pages()
			for i := at; ; {
				page, err := pages.ReadPage()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				values := make([]pq.Value, page.NumValues())
				if n, err := page.Values().ReadValues(values); n != len(values) || err != nil && err != io.EOF {
					t.Fatalf("column %d: %d values of %d: %v", k, n, len(values), err)
				}
				for _, v := range values {
					c, ok := &want.Cols[k], false
					switch {
					case v.IsNull() || c.Null(i):
						ok = v.IsNull() && c.Null(i)
					case want.Schema[k].Type == Float64:
						ok = math.Float64bits(v.Double()) == math.Float64bits(c.Float[i])
					case want.Schema[k].Type == String || want.Schema[k].Type == Bytes:
						ok = string(v.ByteArray()) == c.Str[i]
					case want.Schema[k].Type == Bool:
						ok = v.Boolean() == (c.Int[i] == 1)
					default:
						ok = v.Int64() == c.Int[i]
					}
					if !ok {
						t.Fatalf("another reader: column %q, row %d: %v", want.Schema[k].Name, i, v)
					}
					i++
				}
				pq.Release(page)
			}
			pages.Close()
		}
		at += int(g.NumRows())
	}
	if at != want.N {
		t.Fatalf("another reader: %d rows of %d", at, want.N)
	}
}

// FuzzChunk: the bytes of a column chunk may be anything, whatever codec, type and number of rows a footer says they have.
func FuzzChunk(f *testing.F) {
	b, _ := layouts(rand.New(rand.NewPCG(4, 4)), 60)
	for k := range b.Cols {
		b.Cols[k].Valid = slices.Repeat([]bool{true, true, true, k%2 == 0, true, true}, 10)
	}
	for _, codec := range []string{"zstd", "snappy", "none"} { // none, so that damage reaches what stands behind the codec
		body, _, err := encode(&rows{schema: b.Schema, n: b.N, cols: b.Cols}, WriteOptions{RowGroup: 60, Codec: codec})
		if err != nil {
			f.Fatal(err)
		}
		n := int(binary.LittleEndian.Uint32(body[len(body)-8:]))
		meta, err := metadata.NewFileMetaData(body[len(body)-8-n:len(body)-8], nil)
		if err != nil {
			f.Fatal(err)
		}
		for k, c := range meta.RowGroups[0].Columns {
			at := c.MetaData.DataPageOffset
			if d := c.MetaData.DictionaryPageOffset; d != nil {
				at = min(at, *d)
			}
			f.Add(body[at:at+c.MetaData.TotalCompressedSize], uint8(b.Schema[k].Type), uint8(c.MetaData.Codec), uint16(b.N), k%2 == 0)
		}
	}
	f.Fuzz(func(t *testing.T, chunk []byte, typ, codec uint8, rows uint16, dictionaries bool) {
		o := chunkOptions{typ: Type(typ), dictionaries: dictionaries, required: rows%3 == 1}
		if rows%2 == 1 {
			o.text = new(source).text
		}
		if !Type(typ).valid() {
			return
		}
		left := int(rows)
		err := guard(func() error {
			var err error
			if o.codec, err = codecOf(int(codec)); err != nil {
				return err
			}
			r, err := openChunk(chunk, int64(rows), o, &spare{})
			for err == nil && left > 0 {
				n, codes := r.run(min(left, 7))
				var c Column
				if c.resize(n, Type(typ)); codes {
					c = Column{Code: make([]int32, n), Dict: r.words}
				}
				if err = r.fill(&c, n); err == nil {
					err = (&Batch{Schema: Schema{{"c", Type(typ)}}, N: n, Cols: []Column{c}}).check(Schema{{"c", Type(typ)}})
				}
				left -= n
			}
			return err
		})
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrColumn) {
			t.Fatal(err)
		}
	})
}
