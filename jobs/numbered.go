package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rapport-ml/rapport/storage"
)

// numbered is a register: objects under a prefix that are numbered from 1 without a gap, created once, at most replaced, and never deleted.
type numbered[T any] struct {
	what, one string // the register and an entry of it, for errors
	prefix    string
	must      string // why a missing entry has to be restored
	most      int    // entries that are read; 0: any number
	decode    func(body []byte) (*T, error)
	number    func(*T) *int
}

// numberTurns is how often an entry is written anew when others write beside.
const numberTurns = 64

func (n *numbered[T]) key(number int) string { return fmt.Sprintf("%s%08d.json", n.prefix, number) }

// read returns the entry that stands under a key.
func (n *numbered[T]) read(ctx context.Context, b storage.Bucket, key string) (*T, storage.Info, error) {
	body, info, err := storage.ReadAll(ctx, b, key)
	if err != nil {
		return nil, info, fmt.Errorf("read %s: %w", n.what, err)
	}
	x, err := n.decode(body)
	if err == nil && key != n.key(*n.number(x)) {
		err = fmt.Errorf("it holds %s %d: it was moved", n.one, *n.number(x))
	}
	if err != nil {
		return nil, info, fmt.Errorf("read %s: %s: %w", n.what, key, err)
	}
	return x, info, nil
}

// all returns all entries, by number. Cost: one listing, one GET an entry.
func (n *numbered[T]) all(ctx context.Context, b storage.Bucket) ([]T, error) {
	var out []T
	for info, err := range b.List(ctx, n.prefix, storage.ListOpt{}) {
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", n.what, err)
		}
		x, _, err := n.read(ctx, b, info.Key)
		if err != nil {
			return nil, err
		}
		if want := len(out) + 1; *n.number(x) != want {
			return nil, fmt.Errorf("read %s: there is no number %d (%s %d is missing): restore %s%s", n.what, want, n.one, want, n.key(want), n.must)
		}
		if out = append(out, *x); n.most > 0 && len(out) > n.most {
			return nil, fmt.Errorf("read %s: there are more than %d", n.what, n.most)
		}
	}
	return out, nil
}

// add creates an entry under the next number, which it sets. check, if not nil, is asked before each attempt.
func (n *numbered[T]) add(ctx context.Context, b storage.Bucket, x *T, check func() error) error {
	last, err := lastNumber(ctx, b, n.key)
	if err != nil {
		return err
	}
	for range numberTurns {
		last++
		*n.number(x) = last
		body, err := json.Marshal(x)
		if err == nil && check != nil {
			err = check()
		}
		if err != nil {
			return err
		}
		if _, err = storage.Commit(ctx, b, n.key(last), body, storage.Cond{IfAbsent: true}); !errors.Is(err, storage.ErrPrecondition) {
			return err
		}
	}
	return fmt.Errorf("others took %d numbers at this moment: try again", numberTurns)
}

// change replaces an entry by compare-and-set with what edit makes of it. An entry that there is not is a storage.ErrNotFound; an error of edit ends it.
func (n *numbered[T]) change(ctx context.Context, b storage.Bucket, number int, edit func(*T) error) (*T, error) {
	for range numberTurns {
		x, info, err := n.read(ctx, b, n.key(number))
		if err == nil {
			err = edit(x)
		}
		if err != nil {
			return nil, err
		}
		body, err := json.Marshal(x)
		if err == nil {
			_, err = storage.Commit(ctx, b, n.key(number), body, storage.Cond{IfMatch: info.ETag})
		}
		if err == nil {
			return x, nil
		}
		if !errors.Is(err, storage.ErrPrecondition) {
			return nil, fmt.Errorf("%s %d: %w", n.one, number, err)
		}
	}
	return nil, fmt.Errorf("%s %d: others changed it %d times at this moment: try again", n.one, number, numberTurns)
}

// lastNumber finds the highest number of objects that are numbered from 1 without a gap and never deleted. Cost: about 2 log₂(n) HEADs.
func lastNumber(ctx context.Context, b storage.Bucket, key func(int) string) (int, error) {
	stands := func(n int) (bool, error) {
		_, err := b.Head(ctx, key(n))
		if errors.Is(err, storage.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	}
	low, high := 0, 1 // low stands (or is 0), high does not
	for {
		ok, err := stands(high)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		low, high = high, 2*high
	}
	for high-low > 1 {
		mid := (low + high) / 2
		ok, err := stands(mid)
		if err != nil {
			return 0, err
		}
		if ok {
			low = mid
		} else {
			high = mid
		}
	}
	return low, nil
}
