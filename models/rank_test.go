package models

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// table is a Scorer that looks its scores up: query q has row q.At.
type table struct {
	rows  [][]float32
	items int
	calls atomic.Int64
	most  atomic.Int64 // queries in one call
	err   error
}

func (s *table) Score(ctx context.Context, q []Query, dst []float32) error {
	s.calls.Add(1)
	for most := s.most.Load(); int64(len(q)) > most && !s.most.CompareAndSwap(most, int64(len(q))); most = s.most.Load() {
	}
	if len(dst) != len(q)*s.items {
		return fmt.Errorf("dst has %d scores for %d queries of %d items", len(dst), len(q), s.items)
	}
	for i := range q {
		copy(dst[i*s.items:], s.rows[q[i].At])
	}
	if s.err != nil {
		return s.err
	}
	return ctx.Err()
}

// tiled is a table that scores some items at a time.
type tiled struct {
	table
	width int
}

func (s *tiled) ScoreTiles(ctx context.Context, q []Query, tile func(first, width int, scores []float32) error) error {
	all := make([]float32, len(q)*s.items)
	if err := s.Score(ctx, q, all); err != nil {
		return err
	}
	for first := 0; first < s.items; first += s.width {
		width := min(s.width, s.items-first)
		scores := make([]float32, len(q)*width)
		for i := range q {
			copy(scores[i*width:][:width], all[i*s.items+first:])
		}
		if err := tile(first, width, scores); err != nil {
			return err
		}
	}
	return nil
}

// byTheBook ranks with a full sort.
func byTheBook(s *table, q []Query) Ranking {
	out := Ranking{Off: []int{0}, Item: []int32{}, Score: []float32{}}
	for _, q := range q {
		row := s.rows[q.At]
		var items []int32
		for i := range int32(s.items) {
			if (q.Candidates == nil || slices.Contains(q.Candidates, i)) && !slices.Contains(q.Exclude, i) {
				items = append(items, i)
			}
		}
		slices.SortStableFunc(items, func(a, b int32) int { return cmp.Compare(row[b], row[a]) })
		for _, item := range items[:min(q.K, len(items))] {
			out.Item = append(out.Item, item)
			out.Score = append(out.Score, row[item])
		}
		out.Off = append(out.Off, len(out.Item))
	}
	return out
}

func randomQueries(rng *rand.Rand, n, items int) (*table, []Query) {
	s := &table{items: items}
	var qs []Query
	for i := range n {
		row := make([]float32, items)
		for j := range row {
			row[j] = float32(rng.IntN(5)) - 2 // many ties
			if i%7 == 0 {
				row[j] = float32(j) // ascending: every item displaces another
			}
		}
		s.rows = append(s.rows, row)
		q := Query{At: int64(i), K: rng.IntN(items + 3)}
		for j := range int32(items) {
			if rng.IntN(3) == 0 {
				q.Exclude = append(q.Exclude, j)
			}
			if i%3 == 0 && rng.IntN(2) == 0 {
				q.Candidates = append(q.Candidates, j)
			}
		}
		if i%9 == 0 {
			q.Candidates = []int32{}
		}
		qs = append(qs, q)
	}
	return s, qs
}

func TestRankAgainstFullSort(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	rng := rand.New(rand.NewPCG(1, 2))
	for _, procs := range []int{1, 2, 3, 8} {
		runtime.GOMAXPROCS(procs)
		for _, size := range [][2]int{{0, 5}, {1, 1}, {5, 0}, {300, 17}, {65, 40}} {
			s, q := randomQueries(rng, size[0], size[1])
			got := Ranking{Off: []int{9, 9}, Item: []int32{9}} // is overwritten
			if err := Rank(t.Context(), s, s.items, q, &got); err != nil {
				t.Fatal(err)
			}
			if want := byTheBook(s, q); !reflect.DeepEqual(got, want) {
				t.Fatalf("%d queries over %d items on %d procs:\ngot  %v\nwant %v", size[0], size[1], procs, got, want)
			}
			if most := s.most.Load(); most > maxRows {
				t.Errorf("%d queries at once", most)
			}
			for _, width := range []int{1, 7, 16, 64} {
				pieces := &tiled{table: table{rows: s.rows, items: s.items}, width: width}
				var again Ranking
				if err := Rank(t.Context(), pieces, s.items, q, &again); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(again, got) {
					t.Fatalf("%d queries over %d items, %d at a time, on %d procs:\ngot  %v\nwant %v", size[0], size[1], width, procs, again, got)
				}
			}
		}
	}
}

// TestRankBoundsMemory shows that wide catalogs are scored in smaller batches.
func TestRankBoundsMemory(t *testing.T) {
	s := &table{items: batchFloats / 2, rows: [][]float32{make([]float32, batchFloats/2)}}
	var out Ranking
	if err := Rank(t.Context(), s, s.items, make([]Query, 5), &out); err != nil {
		t.Fatal(err)
	}
	if s.most.Load() != 2 || s.calls.Load() != 3 {
		t.Errorf("%d calls of at most %d queries, want 3 of 2", s.calls.Load(), s.most.Load())
	}
}

func TestRankRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	s := &table{items: 3, rows: [][]float32{{1, 2, 3}, {1, nan, 3}, {1, 2, inf}}}
	for _, c := range []struct {
		want string
		q    Query
	}{
		{"the score of item 1 is NaN", Query{At: 1, K: 1}},
		{"the score of item 2 is -Inf", Query{At: 2, K: 1}},
		{"the score of item 1 is NaN", Query{At: 1, K: 1, Candidates: []int32{1, 2}}},
		{"the score of item 1 is NaN", Query{At: 1, K: 0}},
		{"K is -1", Query{K: -1}},
		{"Candidates: item 3", Query{K: 1, Candidates: []int32{3}}},
		{"Candidates: item 1 at 1", Query{K: 1, Candidates: []int32{1, 1}}},
		{"Exclude: item -1", Query{K: 1, Exclude: []int32{-1}}},
		{"Exclude: item 0 at 1", Query{K: 1, Exclude: []int32{2, 0}}},
	} {
		var out Ranking
		if err := Rank(t.Context(), s, 3, []Query{{K: 1}, c.q}, &out); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "query 1") {
			t.Errorf("got %v, want %q of query 1", err, c.want)
		}
		if err := Rank(t.Context(), &tiled{table: table{rows: s.rows, items: 3}, width: 1}, 3, []Query{{K: 1}, c.q}, &out); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "query 1") {
			t.Errorf("one item at a time: got %v, want %q of query 1", err, c.want)
		}
	}
	// A candidate list without the bad item does not look at it.
	var out Ranking
	if err := Rank(t.Context(), s, 3, []Query{{At: 1, K: 9, Candidates: []int32{0, 2}}}, &out); err != nil || !slices.Equal(out.Item, []int32{2, 0}) {
		t.Errorf("%v, %v", out, err)
	}
	if items, scores := out.Query(0); !slices.Equal(items, []int32{2, 0}) || !slices.Equal(scores, []float32{3, 1}) {
		t.Errorf("view %v %v", items, scores)
	}
}

func TestRankStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, q := randomQueries(rand.New(rand.NewPCG(1, 2)), 500, 4)
	var out Ranking
	if err := Rank(ctx, s, s.items, q, &out); !errors.Is(err, context.Canceled) || s.calls.Load() != 0 {
		t.Errorf("cancelled before: %v after %d calls", err, s.calls.Load())
	}
	s.err = errors.New("boom")
	if err := Rank(t.Context(), s, s.items, q, &out); !errors.Is(err, s.err) {
		t.Errorf("scorer's error: %v", err)
	}
}

func BenchmarkRank1000x20000(b *testing.B) {
	row := make([]float32, 20000)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range row {
		row[i] = rng.Float32()
	}
	s := &table{items: len(row), rows: [][]float32{row}}
	q := make([]Query, 1000)
	for i := range q {
		q[i].K = 100
	}
	b.ReportAllocs()
	for b.Loop() {
		var out Ranking
		if err := Rank(b.Context(), s, s.items, q, &out); err != nil {
			b.Fatal(err)
		}
	}
}
