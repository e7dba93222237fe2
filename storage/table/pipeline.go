package table

import (
	"context"
	"iter"
	"sync"
)

// inOrder applies do to each element of in, up to ahead of them before they are asked for, and yields the results in the order of in.
// It ends at the first error (which it yields) and, however the loop over it ends, waits for what it has started.
func inOrder[K, V any](ctx context.Context, ahead int, in iter.Seq2[K, error], do func(context.Context, K) (V, error)) iter.Seq2[V, error] {
	type result struct {
		v   V
		err error
	}
	return func(yield func(V, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()

		pending := make(chan chan result, max(ahead, 0))
		wg.Go(func() {
			defer close(pending)
			for k, err := range in {
				c := make(chan result, 1)
				select {
				case pending <- c:
				case <-ctx.Done():
					return
				}
				if err != nil {
					c <- result{err: err}
					return
				}
				wg.Go(func() {
					v, err := do(ctx, k)
					c <- result{v, err}
				})
			}
		})
		for c := range pending {
			r := <-c
			if !yield(r.v, r.err) || r.err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			var zero V
			yield(zero, err)
		}
	}
}

// each is the sequence of the elements of s.
func each[T any](s []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range s {
			if !yield(v, nil) {
				return
			}
		}
	}
}
