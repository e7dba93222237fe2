package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// fallbackKey is the object that says whether the fallback is on. The online store has the switch that lookups read; it is a cache, and one that
// was emptied and filled again would serve everybody personal lists though nobody has ended the fallback. The object is written over and never
// deleted, so that who ended a fallback is known as well.
const fallbackKey = "online/fallback.json"

const fallbackFormat = 1

type fallbackObject struct {
	Format int    `json:"format"` // 1
	Nonce  string `json:"nonce"`
	On     bool   `json:"on"`
	online.Fallback
}

// SetFallback takes everything that is based on profiling off at once, or ends that: every process sees it with its next lookup. It is kept in the
// bucket as well, so that a store that loses it is given it back before it serves anybody. Turning it on does what it can: where one of the two
// cannot be reached the other has it, and the error says what that means. Ending it wants both.
func (r *Runner) SetFallback(ctx context.Context, on bool, by, why string) (*online.Fallback, error) {
	f := online.Fallback{Since: table.Micros(r.Wall()), By: by, Why: why}
	if !on {
		// The record goes first: a store that could not be reached keeps its switch then, which is the safe side.
		if err := r.keepFallback(ctx, fallbackObject{Fallback: f}); err != nil {
			return nil, fmt.Errorf("the fallback is as it was: %w", err)
		}
		return nil, r.switchFallback(ctx, nil)
	}
	switched := r.switchFallback(ctx, &f)
	kept := r.keepFallback(ctx, fallbackObject{On: true, Fallback: f})
	switch {
	case switched != nil && kept != nil:
		return nil, errors.Join(switched, kept)
	case switched != nil:
		return nil, fmt.Errorf("the fallback is not on yet; the next run or rapport online load turns it on: %w", switched)
	case kept != nil:
		return nil, fmt.Errorf("the fallback is on, but an online store that is emptied would forget it: turn it on again when the bucket is back: %w", kept)
	}
	return &f, nil
}

func (r *Runner) switchFallback(ctx context.Context, f *online.Fallback) error {
	if err := r.Online.SetFallback(ctx, f); err != nil {
		return fmt.Errorf("online store: %w", err)
	}
	return nil
}

// keepFallback writes the record. Whoever writes last has the say, as in the store.
func (r *Runner) keepFallback(ctx context.Context, o fallbackObject) error {
	if _, err := r.keptFallback(ctx); err != nil { // a newer program's is not written over
		return err
	}
	o.Format, o.Nonce = fallbackFormat, r.NewID(r.Wall())
	body, err := json.Marshal(o)
	if err == nil {
		_, err = r.Bucket.Put(ctx, fallbackKey, storage.Bytes(body), storage.Cond{})
	}
	if err != nil {
		return fmt.Errorf("keep the fallback in %s: %w", fallbackKey, err)
	}
	return nil
}

// keptFallback reads the record; nil: the fallback is off. Cost: one GET.
func (r *Runner) keptFallback(ctx context.Context) (*online.Fallback, error) {
	body, _, err := storage.ReadAll(ctx, r.Bucket, fallbackKey)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	var o fallbackObject
	if err == nil {
		err = json.Unmarshal(body, &o)
	}
	if err != nil {
		return nil, fmt.Errorf("is the fallback on? %s: %w", fallbackKey, err)
	}
	if o.Format < 1 || o.Format > fallbackFormat {
		return nil, fmt.Errorf("is the fallback on? %s: format %d was made by a newer rapport; this one reads up to %d", fallbackKey, o.Format, fallbackFormat)
	}
	if !o.On {
		return nil, nil
	}
	return &o.Fallback, nil
}

// restoreFallback gives a store that has lost the switch its switch back. It never ends a fallback: a store that has one of which the bucket
// does not know keeps it until somebody says otherwise.
func (r *Runner) restoreFallback(ctx context.Context) (restored bool, err error) {
	kept, err := r.keptFallback(ctx)
	if err != nil || kept == nil {
		return false, err
	}
	switch have, err := r.Online.Fallback(ctx); {
	case err != nil:
		return false, fmt.Errorf("online store: %w", err)
	case have != nil:
		return false, nil
	}
	return true, r.switchFallback(ctx, kept)
}
