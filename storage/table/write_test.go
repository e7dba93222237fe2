package table

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// write stages b in the given pieces.
func write(t testing.TB, bucket storage.Bucket, o WriteOptions, bs ...*Batch) Manifest {
	t.Helper()
	w := NewWriter(bucket, "stage/t", testSchema, o)
	for _, b := range bs {
		if err := w.Append(b); err != nil {
			t.Fatal(err)
		}
	}
	m, err := w.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestWriteRead writes random tables in random pieces and reads them back, against a sort of their printed rows.
func TestWriteRead(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 2))
		b := randomBatch(r, r.IntN(300))
		o := WriteOptions{Shards: 1 << r.IntN(4), ShardBy: "subject", SortBy: []string{"subject", "at"}[:r.IntN(3)], RowGroup: 1 + r.IntN(100)}
		mem := storage.NewMemory(nil)
		perm := r.Perm(b.N)
		cut := r.IntN(b.N + 1)
		m := write(t, mem, o, pickRows(b, perm[:cut]), pickRows(b, perm[cut:]))

		if err := m.check(); err != nil {
			t.Fatalf("seed %d: manifest: %v", seed, err)
		}
		if want := digestOf(t, NewDigester(testSchema), b); m.Digest != want || m.Rows != int64(b.N) {
			t.Fatalf("seed %d: %d rows, digest %s; want %d, %s", seed, m.Rows, m.Digest, b.N, want)
		}
		got, err := collect(Read(context.Background(), mem, m, ReadOptions{BatchRows: 1 + r.IntN(50)}))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if d := sameRows(lines(got), lines(pickRows(b, perm))); d != "" {
			t.Fatalf("seed %d: %s", seed, d)
		}
		for i := 1; i < got.N; i++ {
			prev, cur := uint64(got.Cols[0].Int[i-1]), uint64(got.Cols[0].Int[i])
			if len(o.SortBy) > 0 && prev > cur {
				t.Fatalf("seed %d: subject %d stands before %d", seed, prev, cur)
			}
		}
		for _, p := range m.Parts {
			one, err := collect(Read(context.Background(), mem, m, ReadOptions{Shards: []int{p.Shard}, Columns: []string{"subject"}}))
			if err != nil || one.N != int(p.Rows) {
				t.Fatalf("seed %d: shard %d: %v rows, %v", seed, p.Shard, one, err)
			}
			for _, s := range one.Cols[0].Int {
				if got := ShardOf(uint64(s), o.Shards); got != p.Shard || got != int(uint64(s)>>61)*o.Shards/8 {
					t.Fatalf("seed %d: subject %d is in shard %d", seed, uint64(s), p.Shard)
				}
			}
		}
	}
}

// sameRows compares two multisets of rows and says where they differ.
func sameRows(a, b []string) string {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			return fmt.Sprintf("%d and %d rows, first different at %d", len(a), len(b), i)
		}
	}
	return ""
}

// TestWriteSameBytes writes one set of rows in several orders at several GOMAXPROCS: the parts are equal to the byte.
func TestWriteSameBytes(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	r := rand.New(rand.NewPCG(7, 3))
	b := randomBatch(r, 5000)
	o := WriteOptions{Shards: 8, ShardBy: "subject", SortBy: []string{"item"}, RowGroup: 200}
	var first string
	for _, procs := range []int{1, 2, 3, 8} {
		runtime.GOMAXPROCS(procs)
		m := write(t, storage.NewMemory(nil), o, pickRows(b, r.Perm(b.N)))
		got, err := json.Marshal(m) // holds the SHA-256 of every part
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = string(got)
		}
		if string(got) != first {
			t.Fatalf("GOMAXPROCS %d, another order of rows: other parts", procs)
		}
	}
}

// TestWriteOrdered keeps the order of Append, or ties of a stable sort.
func TestWriteOrdered(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 4))
	b := pickRows(randomBatch(r, 500), seq(500))
	mem := storage.NewMemory(nil)
	m := write(t, mem, WriteOptions{Ordered: true}, b)
	got, err := collect(Read(context.Background(), mem, m, ReadOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(lines(got), lines(b)) {
		t.Error("rows were moved")
	}
	if m.Digest != digestOf(t, NewOrderedDigester(testSchema), b) {
		t.Error("the digest is not that of the rows in order")
	}
	m = write(t, mem, WriteOptions{Ordered: true, SortBy: []string{"flag"}}, b)
	if got, err = collect(Read(context.Background(), mem, m, ReadOptions{})); err != nil {
		t.Fatal(err)
	}
	order := seq(b.N)
	slices.SortStableFunc(order, func(i, k int) int { return strings.Compare(flagKey(b, i), flagKey(b, k)) })
	if !slices.Equal(lines(got), lines(pickRows(b, order))) {
		t.Error("a stable sort by flag has other rows")
	}
}

func flagKey(b *Batch, i int) string {
	if b.Col("flag").Null(i) {
		return "-" // sorts before the digits
	}
	return cell(b, b.Schema.Index("flag"), i)
}

// TestWrittenFilesAreParquet reads parts with the other library, as a stranger would.
func TestWrittenFilesAreParquet(t *testing.T) {
	b := randomBatch(rand.New(rand.NewPCG(9, 5)), 3000)
	mem := storage.NewMemory(nil)
	m := write(t, mem, WriteOptions{RowGroup: 700}, b)
	var wants []Want
	for _, f := range testSchema {
		wants = append(wants, Want{Name: f.Name})
	}
	got, err := collect(Scan(context.Background(), mem, storage.Info{Key: m.Parts[0].Object}, ScanOptions{Columns: wants}))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Schema, testSchema) {
		t.Errorf("found as %v", got.Schema)
	}
	if d := digestOf(t, NewDigester(testSchema), got); d != m.Digest {
		t.Error("arrow-go reads other rows than were written")
	}
}

// TestAppendCopies changes a batch after it was appended.
func TestAppendCopies(t *testing.T) {
	s := Schema{{"n", Int64}, {"x", Float64}}
	b := &Batch{Schema: s, N: 1, Cols: []Column{{Int: []int64{1}, Valid: []bool{true}}, {Float: []float64{2}}}}
	mem := storage.NewMemory(nil)
	w := NewWriter(mem, "t", s, WriteOptions{})
	if err := w.Append(b); err != nil {
		t.Fatal(err)
	}
	b.Cols[0].Int[0], b.Cols[0].Valid[0], b.Cols[1].Float[0] = 9, false, 9
	m, err := w.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got, err := collect(Read(context.Background(), mem, m, ReadOptions{}))
	if err != nil || got.Cols[0].Int[0] != 1 || got.Cols[1].Float[0] != 2 {
		t.Errorf("read %v, %v", got, err)
	}
}

func TestWriteEmpty(t *testing.T) {
	mem := storagetest.NewRecording(storage.NewMemory(nil))
	m := write(t, mem, WriteOptions{Shards: 4, ShardBy: "subject"})
	if m.Rows != 0 || len(m.Parts) != 0 || m.Digest != NewDigester(testSchema).Sum() || m.check() != nil {
		t.Errorf("empty table: %+v", m)
	}
	if mem.Count() != 0 {
		t.Error("an empty table wrote objects")
	}
	got, err := collect(Read(context.Background(), mem, m, ReadOptions{}))
	if err != nil || got.N != 0 {
		t.Errorf("read %v, %v", got, err)
	}
}

func TestWriteRefuses(t *testing.T) {
	for want, o := range map[string]WriteOptions{
		"power of two":        {Shards: 3, ShardBy: "subject"},
		"must be positive":    {RowGroup: -1},
		"has one shard":       {Shards: 2, ShardBy: "subject", Ordered: true},
		"a column to shard":   {Shards: 2},
		"not an int64 column": {Shards: 2, ShardBy: "item"},
		"is not in the table": {SortBy: []string{"nobody"}},
		"named twice":         {SortBy: []string{"item", "item"}},
	} {
		w := NewWriter(storage.NewMemory(nil), "t", testSchema, o)
		if err := w.Append(newBatch(testSchema)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", o, err)
		}
		if _, err := w.Finish(context.Background()); err == nil {
			t.Errorf("%+v: finished", o)
		}
	}
	for want, s := range map[string]Schema{
		"at least one column": {},
		"no name":             {{"", Int64}},
		"two columns":         {{"a", Int64}, {"a", String}},
		"no type":             {{"a", 0}},
	} {
		if err := NewWriter(storage.NewMemory(nil), "t", s, WriteOptions{}).Append(newBatch(s)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", s, err)
		}
	}
	s := Schema{{"s", Int64}, {"t", String}}
	for want, b := range map[string]*Batch{
		`no "s"`:    {Schema: s, N: 1, Cols: []Column{{Int: []int64{0}, Valid: []bool{false}}, {Str: []string{""}}}},
		"not UTF-8": {Schema: s, N: 1, Cols: []Column{{Int: []int64{0}}, {Str: []string{"secret\xff"}}}},
		"the table": {Schema: s[:1], N: 1, Cols: []Column{{Int: []int64{0}}}},
		"values":    {Schema: s, N: 1, Cols: []Column{{Int: []int64{0, 1}}, {Str: []string{""}}}},
	} {
		w := NewWriter(storage.NewMemory(nil), "t", s, WriteOptions{Shards: 2, ShardBy: "s"})
		err := w.Append(b)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("want %q: %v", want, err)
		}
		if _, err := w.Finish(context.Background()); err == nil {
			t.Errorf("%s: finished after a refused batch", want)
		}
	}
}

// TestWriteFaults lets each write fail, lie or lose its response.
func TestWriteFaults(t *testing.T) {
	b := randomBatch(rand.New(rand.NewPCG(3, 6)), 200)
	puts := func(c storagetest.Call) bool { return c.Op == storagetest.Put }
	gets := func(c storagetest.Call) bool { return c.Op == storagetest.Get }
	for name, f := range map[string]storagetest.Fault{
		"full disk":         {Match: puts, Nth: 2, Err: storage.ErrFull},
		"lost response":     {Match: puts, Nth: 1, Do: storagetest.LostResponse, Err: storage.ErrUnreachable},
		"read back fails":   {Match: gets, Nth: 3, Err: storage.ErrUnreachable},
		"read back cut off": {Match: gets, Nth: 1, Do: storagetest.Truncate, Err: storage.ErrUnreachable},
	} {
		mem := storage.NewMemory(nil)
		w := NewWriter(storagetest.NewFaulty(mem, f), "t", testSchema, WriteOptions{Shards: 4, ShardBy: "subject"})
		if err := w.Append(b); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Finish(context.Background()); !errors.Is(err, f.Err) {
			t.Errorf("%s: %v", name, err)
		}
		// The next run writes the same parts over what is there.
		again := NewWriter(mem, "t", testSchema, WriteOptions{Shards: 4, ShardBy: "subject"})
		if err := again.Append(b); err != nil {
			t.Fatal(err)
		}
		m, err := again.Finish(context.Background())
		if err != nil || m.Digest != digestOf(t, NewDigester(testSchema), b) {
			t.Errorf("%s: the next run: %v", name, err)
		}
	}
}

// rotten stores other bytes than it is given, the first n times.
type rotten struct {
	storage.Bucket
	n int
}

func (r *rotten) Put(ctx context.Context, key string, b storage.Body, c storage.Cond) (storage.Info, error) {
	if r.n--; r.n < 0 {
		return r.Bucket.Put(ctx, key, b, c)
	}
	body := make([]byte, b.Size)
	if _, err := b.R.ReadAt(body, 0); err != nil {
		return storage.Info{}, err
	}
	body[len(body)/2] ^= 1
	return r.Bucket.Put(ctx, key, storage.Body{Size: b.Size, R: bytes.NewReader(body)}, c)
}

func TestWriteVerifies(t *testing.T) {
	b := randomBatch(rand.New(rand.NewPCG(3, 6)), 50)
	w := NewWriter(&rotten{storage.NewMemory(nil), 2}, "t", testSchema, WriteOptions{})
	if err := w.Append(b); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(context.Background()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a store that rots: %v", err)
	}
	// One that rotted once is healed: the content-addressed part is written again.
	m := write(t, &rotten{storage.NewMemory(nil), 1}, WriteOptions{}, b)
	if m.Rows != 50 {
		t.Errorf("%d rows", m.Rows)
	}
}

// TestWriteBytes: a column of bytes holds what is no text, in its order, to the digest; two types that hold alike differ in it.
func TestWriteBytes(t *testing.T) {
	s := Schema{{"entity", Int64}, {"state", Bytes}}
	b := &Batch{Schema: s, N: 4, Cols: []Column{{Int: []int64{3, 1, 2, 4}}, {Str: []string{"\xff\x00", "", "", "\xfe"}, Valid: []bool{true, true, false, true}}}}
	mem := storage.NewMemory(nil)
	w := NewWriter(mem, "t", s, WriteOptions{SortBy: []string{"state"}})
	if err := w.Append(b); err != nil {
		t.Fatal(err)
	}
	m, err := w.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if want := digestOf(t, NewDigester(s), b); m.Digest != want {
		t.Errorf("digest %s, want %s", m.Digest, want)
	}
	text := &Batch{Schema: Schema{{"entity", Int64}, {"state", String}}, N: 4, Cols: b.Cols}
	if digestOf(t, NewDigester(text.Schema), text) == m.Digest {
		t.Error("bytes and text have one digest")
	}
	for _, dictionaries := range []bool{false, true} {
		got, err := collect(Read(context.Background(), mem, m, ReadOptions{Dictionaries: dictionaries}))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Cols[0].Int, []int64{2, 1, 4, 3}) || !slices.Equal(got.Cols[1].Str, []string{"", "", "\xfe", "\xff\x00"}) || !slices.Equal(got.Cols[1].Valid, []bool{false, true, true, true}) {
			t.Errorf("read back: %v", got.Cols)
		}
	}
	if _, err := collect(Scan(context.Background(), mem, storage.Info{Key: m.Parts[0].Object}, ScanOptions{Columns: []Want{{Name: "state"}}})); !errors.Is(err, ErrColumn) {
		t.Errorf("a scan takes bytes for text: %v", err)
	}
}

// TestWriteCodes: a batch with codes is written and digested as its text is; a code that means nothing is refused.
func TestWriteCodes(t *testing.T) {
	s := Schema{{"item", String}}
	coded := &Batch{Schema: s, N: 4, Cols: []Column{{Code: []int32{1, 0, 0, 1}, Dict: []string{"b", "a"}, Valid: []bool{true, true, false, true}}}}
	text := &Batch{Schema: s, N: 4, Cols: []Column{{Str: []string{"a", "b", "", "a"}, Valid: []bool{true, true, false, true}}}}
	if got, want := digestOf(t, NewDigester(s), coded), digestOf(t, NewDigester(s), text); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	mem := storage.NewMemory(nil)
	w := NewWriter(mem, "t", s, WriteOptions{Ordered: true})
	if err := w.Append(coded); err != nil {
		t.Fatal(err)
	}
	m, err := w.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := collect(Read(context.Background(), mem, m, ReadOptions{})); err != nil || !slices.Equal(lines(got), lines(text)) {
		t.Errorf("read back %v, %v", got, err)
	}
	for _, code := range []int32{-1, 2} {
		coded.Cols[0].Code[0] = code
		if err := NewWriter(mem, "t", s, WriteOptions{}).Append(coded); err == nil || !strings.Contains(err.Error(), "of a dictionary of 2") {
			t.Errorf("code %d: %v", code, err)
		}
	}
}

// TestSort compares the order of rows with that of a plain sort by what the columns hold.
func TestSort(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 8))
		b := randomBatch(r, r.IntN(200))
		for i := range b.N {
			b.Cols[1].Int[i] -= 2
		}
		columns := []string{"subject", "at", "item", "value", "flag"}
		r.Shuffle(len(columns), func(i, k int) { columns[i], columns[k] = columns[k], columns[i] })
		by, stable, unsigned := columns[:r.IntN(3)], r.IntN(2) == 0, []string{"", "subject"}[r.IntN(2)]
		rows := newPile(b.Schema)
		rows.shift = uint(r.IntN(9))
		for at := 0; at < b.N; {
			n := 1 + r.IntN(b.N-at)
			if err := rows.add(b, all(b).cut(at, n)); err != nil {
				t.Fatal(err)
			}
			at += n
		}
		plain := pickRows(b, seq(b.N))
		held := rows.held
		got := rows.sorted(by, stable, unsigned)
		if want := got.bytes(0); held > want || held < want-int64(got.n*len(got.cols)) { // a block without nulls has no marks of them
			t.Errorf("seed %d: %d bytes are held, of %d", seed, held, want)
		}

		order := slices.Clone(by)
		for _, f := range b.Schema {
			if !slices.Contains(by, f.Name) && !stable {
				order = append(order, f.Name)
			}
		}
		want := seq(b.N)
		slices.SortStableFunc(want, func(i, k int) int {
			for _, name := range order {
				c := plain.Col(name)
				d := cmp.Compare(b2i(!c.Null(i)), b2i(!c.Null(k)))
				switch {
				case d != 0 || c.Null(i):
				case c.Float != nil:
					d = cmp.Compare(b2i(c.Float[i] != c.Float[i]), b2i(c.Float[k] != c.Float[k]))
					if d == 0 && c.Float[i] == c.Float[i] {
						d = cmp.Compare(c.Float[i], c.Float[k])
					}
				case c.Str != nil:
					d = strings.Compare(c.Str[i], c.Str[k])
				case name == unsigned:
					d = cmp.Compare(uint64(c.Int[i]), uint64(c.Int[k]))
				default:
					d = cmp.Compare(c.Int[i], c.Int[k])
				}
				if d != 0 {
					return d
				}
			}
			return 0
		})
		if !slices.Equal(lines(got.batch()), lines(pickRows(plain, want))) {
			t.Fatalf("seed %d: by %v, stable %v, unsigned %q: another order", seed, by, stable, unsigned)
		}
	}
}

// TestHeld sums by hand what rows of a number, a text and a null take.
func TestHeld(t *testing.T) {
	s := Schema{{"subject", Int64}, {"name", String}, {"sum", Float64}}
	w := NewWriter(storage.NewMemory(nil), "t", s, WriteOptions{Shards: 2, ShardBy: "subject"})
	if got := w.Held(); got != 0 {
		t.Errorf("%d bytes before the first row", got)
	}
	b := &Batch{Schema: s, N: 3, Cols: []Column{{Int: []int64{1, -1, 2}}, {Str: []string{"a", "bcd", ""}}, {Float: []float64{1, 2, 0}, Valid: []bool{true, true, false}}}}
	for i := range 2 {
		if err := w.Append(b); err != nil {
			t.Fatal(err)
		}
		if got, want := w.Held(), int64(i+1)*(3*8+3*16+4+3*8+3); got != want {
			t.Errorf("%d bytes after %d rows, want %d", got, 3*(i+1), want)
		}
	}
	if _, err := w.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := w.Held(); got != 0 {
		t.Errorf("%d bytes after Finish", got)
	}
}
