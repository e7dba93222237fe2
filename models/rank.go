package models

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/models/internal/vec"
)

// Ranking receives the answers of a batch of queries. Query q owns [Off[q], Off[q+1]) of Item and Score, best first;
// ties are broken by the lower item position.
type Ranking struct {
	Off   []int
	Item  []int32
	Score []float32
}

// Query returns the items and scores of query q, best first, as views.
func (r *Ranking) Query(q int) (items []int32, scores []float32) {
	return r.Item[r.Off[q]:r.Off[q+1]], r.Score[r.Off[q]:r.Off[q+1]]
}

// Rank's batches: at most maxRows queries, and at most batchFloats scores if that allows one query.
const (
	maxRows     = 64
	batchFloats = 8 << 20
)

// TileScorer is an optional power of a Scorer: it scores a few items at a time, so that the scores of a batch of queries are still in a core's
// cache when Rank selections the best of them.
type TileScorer interface {
	// ScoreTiles scores as Score does, to the bit, and calls tile for pieces of consecutive items, in ascending order, that together are the catalog:
	// scores is len(q)×width, row-major, for the items from first on, and belongs to the scorer. It returns tile's error at once.
	ScoreTiles(ctx context.Context, q []Query, tile func(first, width int, scores []float32) error) error
}

// Rank scores the queries with s and selects the best K items of each into out, which it overwrites: among q.Candidates if they are
// given, else among all nItems of the catalog that s is bound to, without q.Exclude. Fewer than K stand in the answer where fewer may.
//
// Queries are scored in batches, GOMAXPROCS batches at a time, so that memory stays under 32 MiB a core (one row of nItems scores if
// that is more). The answer does not depend on the number of cores. A score that is NaN or infinite is an error: it would make any
// order look right. Cost beside scoring: O(nItems) a query.
func Rank(ctx context.Context, s Scorer, nItems int, q []Query, out *Ranking) error {
	for i := range q {
		if err := q[i].check(nItems); err != nil {
			return fmt.Errorf("rank query %d: %w", i, err)
		}
	}
	// Every query gets room for all that it may receive; the gaps are closed at the end.
	room := make([]int, len(q)+1)
	for i := range q {
		room[i+1] = room[i] + q[i].most(nItems)
	}
	items, scores, found := make([]int32, room[len(q)]), make([]float32, room[len(q)]), make([]int, len(q))

	if err := ctx.Err(); err != nil {
		return err
	}
	tiles, byTile := s.(TileScorer)
	rows := max(1, min(maxRows, batchFloats/max(1, nItems)))
	if byTile {
		rows = maxRows
	}
	batches := make(chan int)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(batches)
		for a := 0; a < len(q); a += rows {
			select {
			case batches <- a:
			case <-gctx.Done():
				return gctx.Err()
			}
		}
		return nil
	})
	for range min(runtime.GOMAXPROCS(0), (len(q)+rows-1)/rows) {
		g.Go(func() error {
			var buf []float32
			if !byTile {
				buf = make([]float32, min(rows, len(q))*nItems)
			}
			selections := make([]selection, min(rows, len(q)))
			for a := range batches {
				b := min(a+rows, len(q))
				for i := a; i < b; i++ {
					selections[i-a].start(&q[i], room[i+1]-room[i])
				}
				// take hands on the scores of all queries of the batch for some items.
				take := func(first, width int, scores []float32) error {
					for i := range b - a {
						if err := selections[i].take(first, scores[i*width:(i+1)*width]); err != nil {
							return fmt.Errorf("rank query %d: %w", a+i, err)
						}
					}
					return nil
				}
				var err error
				if byTile {
					err = tiles.ScoreTiles(gctx, q[a:b], take)
				} else if err = s.Score(gctx, q[a:b], buf[:(b-a)*nItems]); err == nil {
					err = take(0, nItems, buf)
				}
				if err != nil {
					return fmt.Errorf("score queries %d to %d: %w", a, b-1, err)
				}
				for i := a; i < b; i++ {
					found[i] = selections[i-a].top.Best(items[room[i]:room[i+1]], scores[room[i]:room[i+1]])
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	out.Off = append(out.Off[:0], 0)
	end := 0
	for i, n := range found {
		copy(items[end:], items[room[i]:room[i]+n])
		copy(scores[end:], scores[room[i]:room[i]+n])
		end += n
		out.Off = append(out.Off, end)
	}
	out.Item, out.Score = items[:end], scores[:end]
	return nil
}

// check reports what is wrong with the parts of a query that Rank reads.
func (q *Query) check(nItems int) error {
	if q.K < 0 {
		return fmt.Errorf("list length K is %d, must not be negative", q.K)
	}
	for _, list := range []struct {
		name  string
		items []int32
	}{{"Candidates", q.Candidates}, {"Exclude", q.Exclude}} {
		for i, item := range list.items {
			if item < 0 || int(item) >= nItems || (i > 0 && list.items[i-1] >= item) {
				return fmt.Errorf("%s: item %d at %d; items must ascend within the catalog of %d", list.name, item, i, nItems)
			}
		}
	}
	return nil
}

// most returns how many items the answer of q can hold.
func (q *Query) most(nItems int) int {
	if q.Candidates != nil {
		nItems = len(q.Candidates)
	}
	return min(q.K, nItems)
}

// Best selects from row, the scores of a whole catalog for q, the items of the highest scores into items and scores (of one length,
// which stands for q.K), best first, and returns their number. q's lists must ascend within the catalog. It is Rank for one row of
// scores that are there already. O(len(row)).
func Best(row []float32, q *Query, items []int32, scores []float32) (int, error) {
	p := selections.Get().(*selection)
	defer selections.Put(p)
	p.start(q, len(items))
	if err := p.take(0, row); err != nil {
		return 0, err
	}
	return p.top.Best(items, scores), nil
}

// selections keeps the memory of selections.
var selections = sync.Pool{New: func() any { return new(selection) }}

// selection selects the best items of one query from scores that come in pieces.
type selection struct {
	top        vec.Top
	among      bool    // candidates are given
	candidates []int32 // not yet reached
	exclude    []int32 // not yet reached
}

func (p *selection) start(q *Query, k int) {
	p.top.Reset(k)
	p.among, p.candidates, p.exclude = q.Candidates != nil, q.Candidates, q.Exclude
}

// take offers the scores of the items from first on. Pieces ascend.
func (p *selection) take(first int, scores []float32) error {
	end := int32(first + len(scores))
	if !p.among {
		if !p.top.Offer(scores, int32(first), p.exclude) {
			i := slices.IndexFunc(scores, func(v float32) bool { return v-v != 0 })
			return notFinite(first+i, scores[i])
		}
	}
	for ; len(p.candidates) > 0 && p.candidates[0] < end; p.candidates = p.candidates[1:] {
		item := p.candidates[0]
		v := scores[int(item)-first]
		if v-v != 0 {
			return notFinite(int(item), v)
		}
		p.skip(item)
		if len(p.exclude) == 0 || p.exclude[0] != item {
			p.top.Add(v, item)
		}
	}
	p.skip(end)
	return nil
}

// skip forgets excluded items before item.
func (p *selection) skip(item int32) {
	for len(p.exclude) > 0 && p.exclude[0] < item {
		p.exclude = p.exclude[1:]
	}
}

func notFinite(item int, v float32) error {
	return fmt.Errorf("the score of item %d is %v: the model diverged, or was fed numbers that are not finite", item, v)
}
