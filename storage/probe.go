package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
)

// ErrUnconditional says that the store ignores, or does not know, a write condition that Rapport rests on.
var ErrUnconditional = errors.New("storage does not honour write conditions")

const unconditionalHint = "two runs could both believe they published. Use a server or release that honours conditional writes " +
	"(AWS S3 does), or a local directory"

// Probe writes, overwrites and deletes one small object under probe/ to check that the bucket honours both write conditions. Its error is
// ErrUnconditional if one is not, with its name and what to do. It costs eight requests.
func Probe(ctx context.Context, b Bucket) (err error) {
	id := rand.Text()
	key := "probe/" + id
	defer func() {
		if derr := b.Delete(context.WithoutCancel(ctx), key); derr != nil && err == nil {
			err = fmt.Errorf("probe: %w", derr)
		}
	}()
	first, err := Commit(ctx, b, key, []byte(id+" 1"), Cond{IfAbsent: true})
	if err != nil {
		return fmt.Errorf("probe: create-only on an absent object: %w", err)
	}
	if err := mustRefuse(ctx, b, key, id+" 2", Cond{IfAbsent: true}, "create-only (If-None-Match: *)"); err != nil {
		return err
	}
	second, err := Commit(ctx, b, key, []byte(id+" 3"), Cond{IfMatch: first.ETag})
	if err != nil {
		return fmt.Errorf("probe: if-match with the object's ETag: %w", err)
	}
	if second.ETag == first.ETag {
		return fmt.Errorf("probe: %w: other bytes, but the same ETag: %s", ErrUnconditional, unconditionalHint)
	}
	return mustRefuse(ctx, b, key, id+" 4", Cond{IfMatch: first.ETag}, "if-match (If-Match: ETAG)")
}

// mustRefuse tries a Put whose condition does not hold.
func mustRefuse(ctx context.Context, b Bucket, key, body string, c Cond, name string) error {
	_, err := b.Put(ctx, key, Bytes([]byte(body)), c)
	switch {
	case errors.Is(err, ErrPrecondition):
		return nil
	case err == nil:
		return fmt.Errorf("probe: %w: %s is ignored: %s", ErrUnconditional, name, unconditionalHint)
	}
	return fmt.Errorf("probe: %s: %w", name, err)
}
