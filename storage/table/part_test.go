package table

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// chunkSpans are the spans of the chunks of some columns in a part, in the order in which they stand.
func chunkSpans(t *testing.T, body []byte, s Schema, columns []string) []span {
	t.Helper()
	meta, _ := footerOf(t, body)
	var out []span
	for _, g := range meta.RowGroups {
		for _, name := range columns {
			m := g.Columns[s.Index(name)].MetaData
			at := m.DataPageOffset
			if d := m.DictionaryPageOffset; d != nil {
				at = min(at, *d)
			}
			out = append(out, span{at, m.TotalCompressedSize})
		}
	}
	return out
}

// TestReadFetchesWantedOnly: of a part, the footer and the chunks of the columns that are wanted are fetched, those that touch in one request; a part
// of which all is wanted in one.
func TestReadFetchesWantedOnly(t *testing.T) {
	ctx := context.Background()
	mem := storagetest.NewRecording(storage.NewMemory(nil))
	m := write(t, mem, WriteOptions{Shards: 2, ShardBy: "subject", RowGroup: 50}, randomBatch(rand.New(rand.NewPCG(6, 1)), 400))
	for _, columns := range [][]string{{"subject"}, {"value", "subject"}, {"at", "item"}, {"flag", "item", "subject"}, {"flag", "value", "item", "at", "subject"}, nil} {
		all := len(columns) == len(testSchema) || columns == nil
		mem.Reset()
		rows := 0
		for b, err := range Read(ctx, mem, m, ReadOptions{Columns: columns}) {
			if err != nil {
				t.Fatal(err)
			}
			rows += b.N
		}
		calls := mem.Calls()
		if rows != 400 || mem.Count(storagetest.Get) != len(calls) {
			t.Fatalf("%q: %d rows, calls %v", columns, rows, calls)
		}
		for _, p := range m.Parts {
			var got, want []span
			for _, c := range mem.Gets(p.Object) {
				got = append(got, span{c.Off, c.End - c.Off})
			}
			body, _, err := storage.ReadAll(ctx, mem, p.Object)
			if err != nil {
				t.Fatal(err)
			}
			want = []span{{0, p.Size}}
			if !all {
				want = []span{{p.Size - p.Footer, p.Footer}}
				for _, s := range chunkSpans(t, body, testSchema, slices.SortedFunc(slices.Values(columns), func(a, b string) int { return testSchema.Index(a) - testSchema.Index(b) })) {
					if k := len(want) - 1; k > 0 && want[k].end() == s.off {
						want[k].n += s.n
					} else {
						want = append(want, s)
					}
				}
			}
			order := func(a, b span) int { return int(a.off - b.off) }
			slices.SortFunc(got, order)
			slices.SortFunc(want, order)
			// Row groups are fetched on their own, even where the last column of one touches the first of the next.
			if !slices.Equal(join(got), join(want)) || len(got) < len(want) || all && len(got) != 1 {
				t.Errorf("%q: fetched %v, want %v", columns, got, want)
			}
		}
	}
}

// TestReadVerifiesWhatItFetches changes bytes: those of what is read are noticed, whichever they are, and of what is not read none.
func TestReadVerifiesWhatItFetches(t *testing.T) {
	ctx := context.Background()
	mem := storage.NewMemory(nil)
	m := write(t, mem, WriteOptions{RowGroup: 40}, randomBatch(rand.New(rand.NewPCG(6, 2)), 100))
	p := m.Parts[0]
	body, _, err := storage.ReadAll(ctx, mem, p.Object)
	if err != nil {
		t.Fatal(err)
	}
	o := ReadOptions{Columns: []string{"value", "at"}}
	want, err := collect(Read(ctx, mem, m, o))
	if err != nil {
		t.Fatal(err)
	}
	spans := append(chunkSpans(t, body, testSchema, []string{"at", "value"}), span{p.Size - p.Footer, p.Footer})
	noticed := 0
	for i := range body {
		bad := slices.Clone(body)
		bad[i] ^= 1 << (i % 8)
		put(t, mem, p.Object, bad)
		got, err := collect(Read(ctx, mem, m, o))
		if slices.ContainsFunc(spans, func(s span) bool { return int64(i) >= s.off && int64(i) < s.end() }) {
			noticed++
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), p.Object) || !strings.Contains(err.Error(), "build its step again") {
				t.Fatalf("byte %d of %d changed: %v", i, len(body), err)
			}
		} else if err != nil || !slices.Equal(lines(got), lines(want)) {
			t.Fatalf("byte %d, which is not read: %v", i, err)
		}
	}
	if noticed < 100 || noticed == len(body) {
		t.Errorf("%d bytes of %d are read", noticed, len(body))
	}
	for _, short := range [][]byte{body[:len(body)-1], body[:len(body)/2], body[:4], {}, append(slices.Clone(body), 0)} {
		put(t, mem, p.Object, short)
		if _, err := collect(Read(ctx, mem, m, o)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d bytes of %d: %v", len(short), len(body), err)
		}
	}
	if err := mem.Delete(ctx, p.Object); err != nil {
		t.Fatal(err)
	}
	if _, err := collect(Read(ctx, mem, m, o)); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("gone: %v", err)
	}
}

// TestReadOlderManifest: a part whose manifest knows no footer is read whole and verified by its SHA-256, whatever is wanted of it.
func TestReadOlderManifest(t *testing.T) {
	ctx := context.Background()
	mem := storagetest.NewRecording(storage.NewMemory(nil))
	m := write(t, mem, WriteOptions{RowGroup: 40}, randomBatch(rand.New(rand.NewPCG(6, 3)), 100))
	o := ReadOptions{Columns: []string{"item"}}
	want, err := collect(Read(ctx, mem, m, o))
	if err != nil {
		t.Fatal(err)
	}
	m.Parts[0].Footer, m.Parts[0].FooterSHA256 = 0, ""
	mem.Reset()
	got, err := collect(Read(ctx, mem, m, o))
	if err != nil || !slices.Equal(lines(got), lines(want)) {
		t.Fatalf("other rows: %v", err)
	}
	if calls := mem.Calls(); len(calls) != 1 || calls[0].Ask != (storage.Range{}) {
		t.Errorf("calls: %v", calls)
	}
	body, _, err := storage.ReadAll(ctx, mem, m.Parts[0].Object)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 5, len(body) / 2, len(body) - 1} {
		bad := slices.Clone(body)
		bad[i] ^= 1
		put(t, mem, m.Parts[0].Object, bad)
		if _, err := collect(Read(ctx, mem, m, o)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

// TestReadWindow: row groups whose times all lie outside are not fetched; those of which some rows have no time are.
func TestReadWindow(t *testing.T) {
	ctx := context.Background()
	const n, group = 100, 10
	b := newBatch(testSchema)
	b.resize(n)
	for i := range n {
		b.Cols[1].Int[i] = int64(i) * 1_000_000 // row i at second i
		b.Cols[0].Int[i] = int64(i)
	}
	b.Cols[1].Valid = slices.Repeat([]bool{true}, n)
	b.Cols[1].Valid[85] = false // in the ninth row group
	mem := storagetest.NewRecording(storage.NewMemory(nil))
	m := write(t, mem, WriteOptions{Ordered: true, RowGroup: group}, b)
	for _, c := range []struct {
		from, to int64
		want     []int64 // row groups
	}{
		{0, 100, []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{20, 30, []int64{2, 8}},
		{29, 31, []int64{2, 3, 8}},
		{-50, 0, []int64{8}},
		{99, 100, []int64{8, 9}},
		{100, 900, []int64{8}},
	} {
		for _, older := range []bool{false, true} {
			m := m
			m.Parts = slices.Clone(m.Parts)
			if older {
				m.Parts[0].Footer = 0
			}
			mem.Reset()
			got, err := collect(Read(ctx, mem, m, ReadOptions{Columns: []string{"subject"}, Time: "at", Window: seconds(c.from, c.to)}))
			if err != nil {
				t.Fatal(err)
			}
			var groups []int64
			for i := 0; i < got.N; i += group {
				groups = append(groups, got.Cols[0].Int[i]/group)
			}
			if !slices.Equal(groups, c.want) || !older && mem.Count() != 1+len(c.want) {
				t.Errorf("[%d, %d): row groups %v in %d requests, want %v", c.from, c.to, groups, mem.Count(), c.want)
			}
		}
	}
	window := Interval{time.Unix(0, 0), time.Unix(1, 0)}
	for _, o := range []ReadOptions{{Window: window}, {Window: window, Time: "value"}, {Window: window, Time: "when"}} {
		if _, err := collect(Read(ctx, mem, m, o)); !errors.Is(err, ErrColumn) || !strings.Contains(err.Error(), "a time column") {
			t.Errorf("window of %q: %v", o.Time, err)
		}
	}
}

// TestPartSmallerThanItsFooter: a manifest that says of a part what cannot be is an error, not a panic.
func TestPartSmallerThanItsFooter(t *testing.T) {
	for _, body := range []string{"", "PAR", "PAR1PAR1"} {
		for _, p := range []Part{{Size: int64(len(body)), Footer: 3}, {Size: int64(len(body)), Footer: 100}, {Size: 100, Footer: 8}} {
			if _, err := openPart(p, []byte(body), testSchema); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%d bytes of %+v: %v", len(body), p, err)
			}
		}
	}
}
