package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rapport-ml/rapport/storage"
)

// ErrTaken says that somebody else has written to a run's object: its lease has gone to another.
var ErrTaken = errors.New("the run's record is another's now")

// Note rewrites the object of a run that goes on, and leaves its line in the index alone, which says the same until it ends. It returns
// ErrTaken if the object is not the one that Save or Note wrote last. Cost: one conditional PUT.
func (l Ledger) Note(ctx context.Context, r *Run) error {
	r.Format = format
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("ledger: run %s: %w", r.ID, err)
	}
	info, err := l.Bucket.Put(ctx, runKey(r), storage.Bytes(body), storage.Cond{IfMatch: r.etag})
	if errors.Is(err, storage.ErrPrecondition) {
		return fmt.Errorf("ledger: run %s: %w", r.ID, ErrTaken)
	}
	if err != nil {
		return fmt.Errorf("ledger: write run %s: %w", r.ID, err)
	}
	r.etag = info.ETag
	return nil
}
