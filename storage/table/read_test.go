package table

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

func TestReadProjects(t *testing.T) {
	mem := storage.NewMemory(nil)
	b := randomBatch(rand.New(rand.NewPCG(5, 1)), 400)
	m := write(t, mem, WriteOptions{Ordered: true, RowGroup: 90}, b)
	got, err := collect(Read(context.Background(), mem, m, ReadOptions{Columns: []string{"value", "subject"}, BatchRows: 7}))
	if err != nil {
		t.Fatal(err)
	}
	all := pickRows(b, seq(b.N))
	want := &Batch{Schema: Schema{testSchema[3], testSchema[0]}, N: b.N, Cols: []Column{all.Cols[3], all.Cols[0]}}
	if !slices.Equal(got.Schema, want.Schema) || !slices.Equal(lines(got), lines(want)) {
		t.Error("a projection has other values")
	}
	rows := 0
	for b, err := range Read(context.Background(), mem, m, ReadOptions{Columns: []string{}}) {
		if err != nil || len(b.Cols) != 0 {
			t.Fatalf("without columns: %v, %v", b, err)
		}
		rows += b.N
	}
	if rows != b.N {
		t.Errorf("without columns: %d rows of %d", rows, b.N)
	}
	_, err = collect(Read(context.Background(), mem, m, ReadOptions{Columns: []string{"Subjct"}}))
	if !errors.Is(err, ErrColumn) || !strings.Contains(err.Error(), `the nearest is "subject"`) {
		t.Errorf("a column that is not there: %v", err)
	}
}

// TestReadConsumed: a consumer may cut and change the batches that it is given; what comes after them stays as it is.
func TestReadConsumed(t *testing.T) {
	mem := storage.NewMemory(nil)
	b := randomBatch(rand.New(rand.NewPCG(5, 2)), 100)
	m := write(t, mem, WriteOptions{Ordered: true, RowGroup: 40}, b)
	want := lines(pickRows(b, seq(b.N)))
	at := 0
	for got, err := range Read(context.Background(), mem, m, ReadOptions{BatchRows: 7}) {
		if err != nil {
			t.Fatalf("after %d rows: %v", at, err)
		}
		n := got.N
		if !slices.Equal(lines(got), want[at:at+n]) {
			t.Fatalf("rows %d to %d are others", at, at+n)
		}
		got.N = 1
		for i := range got.Cols {
			c := &got.Cols[i]
			c.Int, c.Float, c.Str, c.Valid = c.Int[:min(1, len(c.Int))], c.Float[:min(1, len(c.Float))], c.Str[:min(1, len(c.Str))], c.Valid[:min(1, len(c.Valid))]
		}
		at += n
	}
	if at != b.N {
		t.Errorf("%d rows of %d", at, b.N)
	}
}

// TestReadShares: equal text of a row group is one string in memory.
func TestReadShares(t *testing.T) {
	s := Schema{{"item", String}}
	b := &Batch{Schema: s, N: 1000, Cols: []Column{{Str: slices.Repeat([]string{"item-0001"}, 1000)}}}
	mem := storage.NewMemory(nil)
	w := NewWriter(mem, "t", s, WriteOptions{})
	if err := w.Append(b); err != nil {
		t.Fatal(err)
	}
	m, err := w.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	read := func() {
		for _, err := range Read(context.Background(), mem, m, ReadOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := testing.AllocsPerRun(5, read); n > 600 {
		t.Errorf("%v allocations for 1000 equal strings", n)
	}
}

// TestReadDetects changes each byte of a part in turn, its size, and its manifest.
func TestReadDetects(t *testing.T) {
	ctx := context.Background()
	mem := storage.NewMemory(nil)
	m := write(t, mem, WriteOptions{}, randomBatch(rand.New(rand.NewPCG(5, 2)), 40))
	key := m.Parts[0].Object
	body, _, err := storage.ReadAll(ctx, mem, key)
	if err != nil {
		t.Fatal(err)
	}
	fails := func(m Manifest) error {
		_, err := collect(Read(ctx, mem, m, ReadOptions{}))
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("error does not name the object: %v", err)
		}
		return err
	}
	for i := 0; i < len(body); i += 7 {
		bad := slices.Clone(body)
		bad[i] ^= 0x10
		put(t, mem, key, bad)
		if err := fails(m); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	put(t, mem, key, body[:len(body)-1])
	if err := fails(m); !errors.Is(err, ErrCorrupt) {
		t.Errorf("cut off: %v", err)
	}
	put(t, mem, key, body)
	other := m
	other.Parts = slices.Clone(m.Parts)
	other.Parts[0].Rows++
	if err := fails(other); !errors.Is(err, ErrCorrupt) {
		t.Errorf("other number of rows: %v", err)
	}
	other = m
	other.Schema = slices.Clone(m.Schema)
	other.Schema[0].Type = Float64
	if err := fails(other); !errors.Is(err, ErrCorrupt) {
		t.Errorf("other type: %v", err)
	}
	if err := mem.Delete(ctx, key); err != nil {
		t.Fatal(err)
	}
	if err := fails(m); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("gone: %v", err)
	}
}

// TestReadStops: a consumer that has enough costs no more requests than the part after it.
func TestReadStops(t *testing.T) {
	mem := storagetest.NewRecording(storage.NewMemory(nil))
	m := write(t, mem, WriteOptions{Shards: 8, ShardBy: "subject"}, randomBatch(rand.New(rand.NewPCG(5, 3)), 400))
	mem.Reset()
	for _, err := range Read(context.Background(), mem, m, ReadOptions{BatchRows: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if n := mem.Count(); n > 3 {
		t.Errorf("%d requests for one row", n)
	}
}

// TestReadLendsMemory keeps texts, and the batch at which it broke off, of reads whose memory later reads use again, side by side.
func TestReadLendsMemory(t *testing.T) {
	ctx := context.Background()
	type table struct {
		mem  *storage.Memory
		m    Manifest
		want []string
		some []string // without the last column
	}
	var tables []table
	for i, codec := range []string{"zstd", "none", "snappy", ""} {
		b := &Batch{Schema: Schema{{"n", Int64}, {"name", String}, {"raw", Bytes}, {"few", String}}, N: 1200, Cols: make([]Column, 4)}
		b.Cols[0].Valid = make([]bool, b.N)
		for k := range b.N {
			b.Cols[0].Valid[k] = k%3 != i
			b.Cols[0].Int = append(b.Cols[0].Int, int64(k%(7+i)))
			b.Cols[1].Str = append(b.Cols[1].Str, fmt.Sprintf("%s-%d", codec, k*k))
			b.Cols[2].Str = append(b.Cols[2].Str, strings.Repeat(string(rune('a'+i)), k%50))
			b.Cols[3].Str = append(b.Cols[3].Str, fmt.Sprint(codec, k%5))
		}
		mem := storage.NewMemory(nil)
		w := NewWriter(mem, "t", b.Schema, WriteOptions{Ordered: true, RowGroup: 500, Codec: codec})
		if err := w.Append(b); err != nil {
			t.Fatal(err)
		}
		m, err := w.Finish(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for k := range b.Cols[0].Int {
			if !b.Cols[0].Valid[k] {
				b.Cols[0].Int[k] = 0
			}
		}
		tables = append(tables, table{mem, m, lines(b), lines(&Batch{Schema: b.Schema[:3], N: b.N, Cols: b.Cols[:3]})})
	}
	var g errgroup.Group
	for first := range 3 {
		g.Go(func() error {
			for round := range 8 {
				c := tables[(first+round)%len(tables)]
				o, want := ReadOptions{BatchRows: 200, Dictionaries: round%2 == 0}, c.want
				if round >= 4 {
					want = c.some
					o.Columns = []string{"n", "name", "raw"} // row group by row group
				}
				kept, err := collect(Read(ctx, c.mem, c.m, o))
				if err != nil {
					return err
				}
				var last *Batch
				for b, err := range Read(ctx, c.mem, c.m, o) {
					if err != nil {
						return err
					}
					last = b
					break
				}
				for _, other := range tables {
					if _, err := collect(Read(ctx, other.mem, other.m, o)); err != nil {
						return err
					}
				}
				if !slices.Equal(lines(kept), want) {
					return fmt.Errorf("round %d: rows that were kept have changed", round)
				}
				if !slices.Equal(lines(last), want[:last.N]) {
					return fmt.Errorf("round %d: the batch at which a reader broke off has changed", round)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// TestReadBoundsWhatItBorrows: a manifest may say any size of a part; no memory is taken for it before the store has said the same.
func TestReadBoundsWhatItBorrows(t *testing.T) {
	mem := storage.NewMemory(nil)
	m := write(t, mem, WriteOptions{}, randomBatch(rand.New(rand.NewPCG(5, 3)), 100))
	m.Parts[0].Size = 1 << 50
	for _, o := range []ReadOptions{{}, {Columns: []string{"at", "value"}}} {
		if _, err := collect(Read(context.Background(), mem, m, o)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("columns %v of a part of 2^50 bytes: %v", o.Columns, err)
		}
	}
}
