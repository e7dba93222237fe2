package models

import "context"

// Counterfactual is an optional power of a Scorer: what items would score for a query if its history had never held some item.
type Counterfactual interface {
	// Without overwrites dst (len(items)) with the scores of items for q without the events of item `gone`, as if they had never been: exactly what
	// Score gives for the shorter history, but for rounding. An item that the history does not hold changes nothing.
	Without(ctx context.Context, q *Query, gone int32, items []int32, dst []float64) error
}

// Without returns q without the events of an item; the rest of the history is copied.
func (q *Query) Without(gone int32) Query {
	out, h := *q, &q.History
	kept := make([]int, 0, h.Len())
	for e, item := range h.Item {
		if item != gone {
			kept = append(kept, e)
		}
	}
	out.History = History{
		Item: pick(h.Item, kept), Time: pick(h.Time, kept), Kind: pick(h.Kind, kept), Weight: pick(h.Weight, kept), Context: pick(h.Context, kept),
	}
	return out
}

// pick returns the elements of a column at the given places; nil stays nil.
func pick[T any](column []T, at []int) []T {
	if column == nil {
		return nil
	}
	out := make([]T, len(at))
	for i, k := range at {
		out[i] = column[k]
	}
	return out
}

// ScoresWithout is Counterfactual's Without for any Scorer: where s has not that power, it scores the shorter history. n is the number of
// items of the catalog that s is bound to.
func ScoresWithout(ctx context.Context, s Scorer, n int, q *Query, gone int32, items []int32, dst []float64) error {
	if c, ok := s.(Counterfactual); ok {
		return c.Without(ctx, q, gone, items, dst)
	}
	row := make([]float32, n)
	if err := s.Score(ctx, []Query{q.Without(gone)}, row); err != nil {
		return err
	}
	for i, item := range items {
		dst[i] = float64(row[item])
	}
	return nil
}
