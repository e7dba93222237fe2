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
	rows := max(1, min(maxRows, batchFloats/max(1, nItems)))
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
			buf := make([]float32, min(rows, len(q))*nItems)
			for a := range batches {
				b := min(a+rows, len(q))
				dst := buf[:(b-a)*nItems]
				if err := s.Score(gctx, q[a:b], dst); err != nil {
					return fmt.Errorf("score queries %d to %d: %w", a, b-1, err)
				}
				for i := a; i < b; i++ {
					n, err := Best(dst[(i-a)*nItems:(i-a+1)*nItems], &q[i], items[room[i]:room[i+1]], scores[room[i]:room[i+1]])
					if err != nil {
						return fmt.Errorf("rank query %d: %w", i, err)
					}
					found[i] = n
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
	top := tops.Get().(*vec.Top)
	defer tops.Put(top)
	top.Reset(len(items))
	if q.Candidates == nil {
		if !top.Offer(row, 0, q.Exclude) {
			i := slices.IndexFunc(row, func(v float32) bool { return v-v != 0 })
			return 0, notFinite(i, row[i])
		}
		return top.Best(items, scores), nil
	}
	exclude := q.Exclude
	for _, item := range q.Candidates {
		v := row[item]
		if v-v != 0 {
			return 0, notFinite(int(item), v)
		}
		for len(exclude) > 0 && exclude[0] < item {
			exclude = exclude[1:]
		}
		if len(exclude) == 0 || exclude[0] != item {
			top.Add(v, item)
		}
	}
	return top.Best(items, scores), nil
}

// tops keeps the memory of selections.
var tops = sync.Pool{New: func() any { return new(vec.Top) }}

func notFinite(item int, v float32) error {
	return fmt.Errorf("the score of item %d is %v: the model diverged, or was fed numbers that are not finite", item, v)
}
