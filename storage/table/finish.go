package table

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// finishing is about how many bytes a Finish takes for each that its writer holds: a copy of the rows in order, their codes and digests, and the encoded parts.
const finishing = 6

// FinishAll finishes writers and returns their manifests in the same order. They are finished side by side, twice as many as there are processors, since some always
// wait for the store, as long as what they hold and take meanwhile is no more than room, in bytes; one that alone needs more goes alone. It ends at the first error.
func FinishAll(ctx context.Context, writers []*Writer, room int64) ([]Manifest, error) {
	out := make([]Manifest, len(writers))
	room = max(room, 1)
	free := semaphore.NewWeighted(room)
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(2 * runtime.GOMAXPROCS(0))
	for i, w := range writers {
		need := min(finishing*w.Held(), room)
		if free.Acquire(inner, need) != nil { // another one has failed, or the caller has ended it
			break
		}
		g.Go(func() (err error) {
			defer free.Release(need)
			out[i], err = w.Finish(inner)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, ctx.Err()
}
