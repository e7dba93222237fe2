package eval

import (
	"fmt"

	"github.com/rapport-ml/rapport/models"
)

// best holds the k best items of one query, best first: higher scores first, ties to the lower position.
type best struct {
	item  []int32
	score []float32
}

// reset empties b and gives it room for k items.
func (b *best) reset(k int) {
	if cap(b.item) < k {
		b.item, b.score = make([]int32, 0, k), make([]float32, 0, k)
	}
	b.item, b.score = b.item[:0], b.score[:0]
}

// offer inserts item i if it belongs to the k best. Items must be offered in ascending order, which settles ties.
func (b *best) offer(i int32, s float32, k int) {
	n := len(b.item)
	if n == k {
		if s <= b.score[n-1] {
			return
		}
		n--
	} else {
		b.item, b.score = append(b.item, 0), append(b.score, 0)
	}
	for n > 0 && b.score[n-1] < s {
		b.item[n], b.score[n] = b.item[n-1], b.score[n-1]
		n--
	}
	b.item[n], b.score[n] = i, s
}

// selectBest fills b with the k best items that q allows, from the scores of all items. A NaN is an error: it has no rank.
// O(items + inserts·k).
func selectBest(b *best, q *models.Query, scores []float32, k int) error {
	b.reset(k)
	exclude := q.Exclude
	offer := func(i int32) error {
		for len(exclude) > 0 && exclude[0] < i {
			exclude = exclude[1:]
		}
		if len(exclude) > 0 && exclude[0] == i {
			return nil
		}
		s := scores[i]
		if s != s {
			return fmt.Errorf("the score of item %d is not a number", i)
		}
		b.offer(i, s, k)
		return nil
	}
	if q.Candidates != nil {
		for _, i := range q.Candidates {
			if err := offer(i); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range scores {
		if err := offer(int32(i)); err != nil {
			return err
		}
	}
	return nil
}

// allows reports whether item i may stand in q's list.
func allows(q *models.Query, i int32) bool {
	return !contains(q.Exclude, i) && (q.Candidates == nil || contains(q.Candidates, i))
}

// contains reports whether the ascending row holds i.
func contains(row []int32, i int32) bool {
	lo, hi := 0, len(row)
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); row[mid] < i {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo < len(row) && row[lo] == i
}
