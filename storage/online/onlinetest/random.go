package onlinetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/rapport-ml/rapport/storage/online"
)

// sentinels are the errors by which answers are compared.
var sentinels = []error{
	online.ErrNotFound, online.ErrNoGeneration, online.ErrFenced, online.ErrDenied, online.ErrOverdue, online.ErrFallback, online.ErrUnknownGeneration, online.ErrLive, online.ErrCorrupt,
}

// class names the sentinels that err is.
func class(err error) string {
	if err == nil {
		return "ok"
	}
	s := "error"
	for _, target := range sentinels {
		if errors.Is(err, target) {
			s += ", " + target.Error()
		}
	}
	if s == "error" {
		s = "another error"
	}
	return s
}

// player applies one operation to a store and returns the answer, to be compared with another store's.
type player struct {
	store   online.Store
	loaders map[int]online.Loader
}

// operation is one random step. The same operation is played on the store and on the oracle.
type operation struct {
	name string
	play func(ctx context.Context, p *player) (answer any)
}

func operationOf(rng *rand.Rand, step int) operation {
	number := uint64(1 + rng.IntN(4))
	owner := func() string { return fmt.Sprintf("owner-%d", rng.IntN(8)) }
	owners := make([]string, 1+rng.IntN(3))
	for i := range owners {
		owners[i] = owner()
	}
	slot := rng.IntN(3)
	key := fmt.Sprintf("k/%02d", rng.IntN(40))
	now := int64(rng.IntN(20))
	fence := uint64(step/4 + rng.IntN(6))
	entries := make([]online.Entry, rng.IntN(30))
	for i, k := range rng.Perm(40)[:len(entries)] {
		entries[i] = online.Entry{Key: fmt.Sprintf("k/%02d", k), Value: fmt.Appendf(nil, "value %d of step %d", k, step), Expires: int64(rng.IntN(20))}
		if k%4 > 0 {
			entries[i].Owner = owner()
		}
	}
	failed := func(err error) any { return class(err) }
	switch n := rng.IntN(100); {
	case n < 12:
		return operation{fmt.Sprintf("load %d in slot %d", number, slot), func(ctx context.Context, p *player) any {
			if old := p.loaders[slot]; old != nil {
				if err := old.Close(); err != nil {
					return failed(err)
				}
				delete(p.loaders, slot)
			}
			l, err := p.store.Load(ctx, number)
			if err != nil {
				return failed(err)
			}
			p.loaders[slot] = l
			return failed(l.Put(ctx, entries...))
		}}
	case n < 24:
		return operation{fmt.Sprintf("finish slot %d", slot), func(ctx context.Context, p *player) any {
			l := p.loaders[slot]
			if l == nil {
				return nil
			}
			delete(p.loaders, slot)
			digest, err := l.Finish(ctx)
			return []any{digest, failed(err), failed(l.Close())}
		}}
	case n < 36:
		return operation{fmt.Sprintf("swap to %d fence %d", number, fence), func(ctx context.Context, p *player) any {
			return failed(p.store.Swap(ctx, online.Pointer{Generation: number, Fence: fence, Meta: fmt.Appendf(nil, `{"step":%d}`, step)}))
		}}
	case n < 42:
		return operation{fmt.Sprint("deny ", owners), func(ctx context.Context, p *player) any { return failed(p.store.Deny(ctx, owners...)) }}
	case n < 48:
		return operation{fmt.Sprint("allow ", owners), func(ctx context.Context, p *player) any { return failed(p.store.Allow(ctx, owners...)) }}
	case n < 52:
		return operation{fmt.Sprint("erase ", owners), func(ctx context.Context, p *player) any {
			removed, err := p.store.Erase(ctx, owners...)
			return []any{removed, failed(err)}
		}}
	case n < 55:
		return operation{fmt.Sprintf("drop %d", number), func(ctx context.Context, p *player) any { return failed(p.store.Drop(ctx, number)) }}
	case n < 57:
		var f *online.Fallback
		if rng.IntN(3) == 0 {
			f = &online.Fallback{Since: int64(step), By: "somebody", Why: fmt.Sprintf("step %d", step)}
		}
		return operation{fmt.Sprintf("fallback %v", f), func(ctx context.Context, p *player) any { return failed(p.store.SetFallback(ctx, f)) }}
	case n < 60:
		from, to := int64(rng.IntN(3)), int64(rng.IntN(3)*rng.IntN(15))
		return operation{fmt.Sprintf("move the horizon from %d to %d", from, to), func(ctx context.Context, p *player) any {
			is := from
			if from == 1 {
				var err error
				if is, err = p.store.Horizon(ctx); err != nil {
					return failed(err)
				}
			}
			moved, err := p.store.MoveHorizon(ctx, is, to)
			return []any{moved, failed(err)}
		}}
	case n < 90:
		return operation{fmt.Sprintf("get %s at %d", key, now), func(ctx context.Context, p *player) any {
			e, at, err := p.store.Get(ctx, key, now)
			return []any{e.Key, e.Owner, string(e.Value), e.Expires, at.Generation, at.Fence, string(at.Meta), failed(err)}
		}}
	}
	return operation{"look at everything", func(ctx context.Context, p *player) any { return everything(ctx, p.store) }}
}

// everything is all that can be read of a store.
func everything(ctx context.Context, s online.Store) any {
	var rows []string
	scanned := s.Scan(ctx, "k/", func(e online.Entry) error {
		rows = append(rows, fmt.Sprintf("%s %s %q %d", e.Key, e.Owner, e.Value, e.Expires))
		return nil
	})
	live, err := s.Live(ctx)
	denied, err2 := s.Denied(ctx)
	generations, err3 := s.Generations(ctx)
	fallback, err4 := s.Fallback(ctx)
	horizon, err5 := s.Horizon(ctx)
	return []any{horizon, class(err5), fmt.Sprintf("%+v", fallback), class(err4), rows, class(scanned), live.Generation, live.Fence, string(live.Meta), class(err), fmt.Sprint(denied), class(err2), generations, class(err3)}
}

// testRandom plays random operations on the store, through two handles, and on the oracle.
func testRandom(t *testing.T, fresh func(*testing.T) Target, seed uint64, steps int) {
	target := fresh(t)
	handles := []online.Store{target.Open(t), target.Open(t)}
	got := &player{loaders: map[int]online.Loader{}}
	want := &player{store: newOracle(), loaders: map[int]online.Loader{}}
	rng := rand.New(rand.NewPCG(seed, 1))
	ctx := t.Context()
	for step := range steps {
		got.store = handles[rng.IntN(len(handles))]
		op := operationOf(rng, step)
		g, w := op.play(ctx, got), op.play(ctx, want)
		if !reflect.DeepEqual(g, w) {
			t.Fatalf("seed %d, step %d, %s:\n got %v\nwant %v", seed, step, op.name, g, w)
		}
	}
	for _, h := range handles {
		if g, w := everything(ctx, h), everything(ctx, want.store); !reflect.DeepEqual(g, w) {
			t.Fatalf("seed %d, at the end:\n got %v\nwant %v", seed, g, w)
		}
	}
	for _, l := range got.loaders {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
