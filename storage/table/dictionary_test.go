package table

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/apache/arrow-go/v18/parquet"

	"github.com/rapport-ml/rapport/storage"
)

// textTable is n rows of texts: few of them, so many that a writer gives up its dictionary half-way, all different, and none.
func textTable(n int) *Batch {
	r := rand.New(rand.NewPCG(8, 1))
	b := newBatch(Schema{{"few", String}, {"many", String}, {"all", String}, {"none", String}, {"n", Int64}})
	b.resize(n)
	for i := range n {
		b.Cols[0].Str[i] = fmt.Sprintf("few-%d", r.IntN(50))
		b.Cols[1].Str[i] = fmt.Sprintf("%0100d", r.IntN(n))
		b.Cols[2].Str[i] = fmt.Sprintf("%x", r.Uint64())
		b.Cols[4].Int[i] = r.Int64N(9)
	}
	b.Cols[0].Valid, b.Cols[3].Valid = make([]bool, n), make([]bool, n)
	for i := range n {
		if b.Cols[0].Valid[i] = i < n/2 || r.IntN(3) > 0; !b.Cols[0].Valid[i] {
			b.Cols[0].Str[i] = ""
		}
	}
	return b
}

// TestReadDictionaries: codes and text say the same as text alone, a batch has one of them, a dictionary is one slice as long as it holds, and
// what is given away is given away: a consumer may spoil the batch.
func TestReadDictionaries(t *testing.T) {
	const n = 6000
	b := textTable(n)
	for _, codec := range []string{"", "text", "snappy"} {
		mem := storage.NewMemory(nil)
		w := NewWriter(mem, "t", b.Schema, WriteOptions{Ordered: true, RowGroup: 2400, Codec: codec})
		if err := w.Append(b); err != nil {
			t.Fatal(err)
		}
		m, err := w.Finish(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		want := lines(b)
		for _, size := range []int{0, 7, n} {
			at, coded, plain := 0, map[string]int{}, map[string]int{}
			dicts := map[string][]*string{}
			for got, err := range Read(context.Background(), mem, m, ReadOptions{Dictionaries: true, BatchRows: size}) {
				if err != nil {
					t.Fatal(err)
				}
				for k, f := range got.Schema {
					c := &got.Cols[k]
					switch {
					case f.Type != String:
					case c.Code == nil:
						plain[f.Name] += got.N
					default:
						coded[f.Name] += got.N
						if len(c.Dict) == 0 {
							continue
						}
						if d := dicts[f.Name]; len(d) == 0 || d[len(d)-1] != unsafe.SliceData(c.Dict) {
							dicts[f.Name] = append(d, unsafe.SliceData(c.Dict))
						}
					}
				}
				if err := got.check(got.Schema); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(lines(textual(got)), want[at:at+got.N]) {
					t.Fatalf("codec %q, batches of %d: rows %d to %d are others", codec, size, at, at+got.N)
				}
				at += got.N
				for k := range got.Cols {
					c := &got.Cols[k]
					clear(c.Code)
					clear(c.Str)
					clear(c.Valid)
					*c = Column{}
				}
			}
			if at != n || coded["few"] != n || coded["none"] != n || plain["all"] != n && coded["all"] != n || plain["many"] != n && coded["many"] != n {
				t.Errorf("codec %q, batches of %d: %d rows; as codes %v, as text %v", codec, size, at, coded, plain)
			}
			if len(dicts["few"]) != 3 { // row groups
				t.Errorf("codec %q, batches of %d: %d dictionaries", codec, size, len(dicts["few"]))
			}
		}
	}
}

// textual is b with text in place of codes.
func textual(b *Batch) *Batch {
	out := *b
	out.Cols = slices.Clone(b.Cols)
	for k := range out.Cols {
		c := &out.Cols[k]
		if c.Code == nil {
			continue
		}
		text := make([]string, b.N)
		for i := range text {
			if !c.Null(i) {
				text[i] = c.Text(i)
			}
		}
		c.Str, c.Code, c.Dict = text, nil, nil
	}
	return &out
}

// TestReadDictionaryGivenUp: a chunk whose writer began with a dictionary and went on without one is delivered in batches of either kind.
func TestReadDictionaryGivenUp(t *testing.T) {
	const n = 4000
	text := make([]string, n)
	raw := make([]parquet.ByteArray, n)
	for i := range text {
		text[i] = fmt.Sprintf("%d-%0*d", i%1500, i%7, i)
		raw[i] = parquet.ByteArray(text[i])
	}
	body := rawParquet(t, n, n, []rawColumn{values(node(t, "s", optional, nil, parquet.Types.ByteArray, -1), raw, func(i int) bool { return i%5 == 3 })},
		parquet.WithDictionaryDefault(true), parquet.WithDictionaryPageSizeLimit(25_000), parquet.WithDataPageSize(300), parquet.WithBatchSize(100))
	mem := memoryWith(t, body)
	m := manifestOf(t, "raw/f.parquet", body, Schema{{"s", String}}, n)
	for _, size := range []int{0, 33, n} {
		at, kinds := 0, ""
		for b, err := range Read(context.Background(), mem, m, ReadOptions{Dictionaries: true, BatchRows: size}) {
			if err != nil {
				t.Fatal(err)
			}
			c := &b.Cols[0]
			kind := "t"
			if c.Code != nil {
				kind = "c"
			}
			if kinds == "" || kinds[len(kinds)-1:] != kind {
				kinds += kind
			}
			for i := range b.N {
				if null := (at+i)%5 == 3; null != c.Null(i) || !null && c.Text(i) != text[at+i] {
					t.Fatalf("row %d is another", at+i)
				}
			}
			at += b.N
		}
		if at != n || kinds != "ct" {
			t.Errorf("%d rows; kinds of batches: %s", at, kinds)
		}
	}
}

// Numbers have their places all over a table, floats that are small integers as well, which differ in their highest bits alone.
func TestNumbersAreSpread(t *testing.T) {
	for what, of := range map[string]func(i int) uint64{
		"integers":          func(i int) uint64 { return uint64(i) },
		"multiples of 4096": func(i int) uint64 { return uint64(i) << 12 },
		"negative integers": func(i int) uint64 { return uint64(-i) },
		"small floats":      func(i int) uint64 { return math.Float64bits(float64(i)) },
		"cents":             func(i int) uint64 { return math.Float64bits(float64(i) / 100) },
	} {
		const n = fewSlots / 2
		taken := map[uint64]bool{}
		for i := range n {
			taken[spot(of(i), uint(64-bits.Len(fewSlots-1)))] = true
		}
		if len(taken) < n/2 { // at random 0.79 of them
			t.Errorf("%d %s have %d places", n, what, len(taken))
		}
	}
}
