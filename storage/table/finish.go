package table

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// finishing is about how many bytes a Finish takes for each that its writer holds: a copy of the rows in order, their codes and digests, and the encoded parts.
const finishing = 6

// Finisher finishes writers in the background, side by side as long as what they hold and take meanwhile is no more than its room; one that alone needs more goes
// alone. As many as there are processors are encoded at a time, while others wait for the store. It is for one goroutine.
type Finisher struct {
	ctx         context.Context
	cancel      context.CancelFunc
	room        int64
	free, slots *semaphore.Weighted
	work        *errgroup.Group
	stored      []*Manifest
}

// NewFinisher returns one whose writers may take so many bytes. It must be waited for or stopped.
func NewFinisher(ctx context.Context, room int64) *Finisher {
	room = max(room, 1)
	f := &Finisher{room: room, free: semaphore.NewWeighted(room), slots: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0) + 1))}
	ctx, f.cancel = context.WithCancel(ctx)
	f.work, f.ctx = errgroup.WithContext(ctx)
	return f
}

// Add begins to finish a writer, to which nothing is appended any more. It does not wait.
func (f *Finisher) Add(w *Writer) {
	m := new(Manifest)
	f.stored = append(f.stored, m)
	need := min(finishing*w.Held(), f.room)
	f.work.Go(func() error {
		if err := f.free.Acquire(f.ctx, need); err != nil { // another one has failed, or nobody wants it any more
			return err
		}
		defer f.free.Release(need)
		shards, err := f.encoded(w)
		if err == nil {
			*m, err = w.stored(f.ctx, shards)
		}
		return err
	})
}

// encoded is a writer's first half, of which no more are under way than keep the processors busy.
func (f *Finisher) encoded(w *Writer) ([]shard, error) {
	if err := f.slots.Acquire(f.ctx, 1); err != nil {
		return nil, err
	}
	defer f.slots.Release(1)
	return w.encoded(f.ctx)
}

// Wait returns the manifests of all writers in the order in which they were added, or the first error.
func (f *Finisher) Wait() ([]Manifest, error) {
	defer f.cancel()
	if err := f.work.Wait(); err != nil {
		return nil, err
	}
	out := make([]Manifest, len(f.stored))
	for i, m := range f.stored {
		out[i] = *m
	}
	return out, nil
}

// Stop ends what is under way: what is stored already is garbage for the sweep.
func (f *Finisher) Stop() {
	f.cancel()
	_ = f.work.Wait() // nobody wants to know
}
