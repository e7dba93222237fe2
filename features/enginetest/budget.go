package enginetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

func budgetChecks() (cs []check) {
	for _, budget := range []int64{1, 64 << 10, 1 << 20} {
		cs = append(cs, check{fmt.Sprintf("budget/%d-bytes", budget), func(ctx context.Context, eng features.Engine) error {
			return sameUnderBudget(ctx, eng, budget)
		}})
	}
	return append(cs,
		check{"budget/many-entities", manyEntities},
		check{"budget/errors", budgetErrors},
		check{"budget/no-folder", noFolder},
	)
}

// sameUnderBudget: whatever the budget, the same bits, states and tiles included. That nothing is left in the folder, build checks each time.
func sameUnderBudget(ctx context.Context, eng features.Engine, budget int64) error {
	for i := range 4 {
		t := task{
			views: [][]features.View{mixed(0), mixed(1), mixed(2), viewsOfOneKey()}[i], interval: lastDay(theEnd), keep: true, events: world{seed: uint64(500 + i), rows: 500, months: true}.generate(),
			shape: shape{seed: uint64(i), splits: 4, batch: 64, coded: i%2 == 0},
		}
		want, err := build(ctx, eng, t)
		if err != nil {
			return err
		}
		t.budget = budget
		got, err := build(ctx, eng, t)
		if err != nil {
			return err
		}
		if err := agreeBuilt(got, want); err != nil {
			return fmt.Errorf("against no budget: %w", err)
		}
	}
	return nil
}

// crowd is n events of as many items, two each a subject, within a week.
func crowd(n int) events {
	e := newEvents()
	for i := range int64(n) {
		e.rows = append(e.rows, []any{
			i / 2 * 7919, fmt.Sprintf("item-%08d", i), theEnd.UnixMicro() - 1 - i*31%(7*86_400_000_000), []string{"view", "buy"}[i%2], float64(i % 100),
		})
	}
	return e
}

func crowdViews() []features.View {
	fs := []features.Feature{
		{Name: "approx", Op: features.ApproxDistinct, Column: "value"},
		{Name: "kinds", Op: features.Distinct, Column: "kind"},
		{Name: "last", Op: features.Last, Column: "kind"},
		{Name: "n", Op: features.Count},
		{Name: "sum", Op: features.Sum, Column: "value"},
		{Name: "top", Op: features.Top, Column: "kind", N: 2},
	}
	return []features.View{
		{Name: "s", Key: features.KeySubject, Windows: []time.Duration{day, 7 * day}, Features: fs},
		{Name: "t", Key: features.KeyItem, Windows: []time.Duration{day, 7 * day}, Features: fs},
	}
}

// manyEntities: a state far above the budget is spilled, and the facts say so.
func manyEntities(ctx context.Context, eng features.Engine) error {
	t := task{views: crowdViews(), interval: lastDay(theEnd), events: crowd(12_000), shape: shape{seed: 1, splits: 5, batch: 1000}}
	want, err := build(ctx, eng, t)
	if err != nil {
		return err
	}
	if want.stats.Spilled != 0 {
		return fmt.Errorf("%d bytes were spilled without a budget", want.stats.Spilled)
	}
	t.budget = 64 << 10
	got, err := build(ctx, eng, t)
	if err != nil {
		return err
	}
	if got.stats.Spilled == 0 {
		return errors.New("18,000 entities were built within 64 KiB, and nothing was spilled")
	}
	// The budget may be exceeded by a partition that is completed: a few hundredths of all.
	if most := t.budget + want.stats.Peak/32; got.stats.Peak > most {
		return fmt.Errorf("a state of %d bytes was built with %d in memory, of a budget of %d: want %d at most", want.stats.Peak, got.stats.Peak, t.budget, most)
	}
	return agree(got.result, want.result, true)
}

// budgetErrors: errors of the source and of Out, and a context that ends, leave no file behind.
func budgetErrors(ctx context.Context, eng features.Engine) error {
	e := crowd(6000)
	for _, at := range []int{2, 30, 59, 60} {
		stopped, stop := context.WithCancel(ctx)
		for _, cause := range []error{errSource, context.Canceled} {
			t := task{views: crowdViews(), interval: lastDay(theEnd), events: e, budget: 64 << 10, shape: shape{seed: 1, splits: 3, batch: 90}}
			t.calls = func(batches int) error {
				if batches != at {
					return nil
				}
				if cause == errSource {
					return errSource
				}
				stop()
				return nil
			}
			if _, err := build(stopped, eng, t); !errors.Is(err, cause) {
				stop()
				return fmt.Errorf("batch %d: error %v, want %v", at, err, cause)
			}
		}
		stop()
	}
	folder, err := os.MkdirTemp("", "enginetest-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	src := &source{events: e, shape: shape{splits: 3, batch: 90}}
	puts := 0
	_, err = eng.Build(ctx, features.Plan{
		Views: crowdViews(), Interval: lastDay(theEnd), Schema: e.schema, Events: src.list, Budget: 64 << 10, Spill: folder,
		Out: func(features.View, *table.Batch) error {
			if puts++; puts == 2 {
				return errOut
			}
			return nil
		},
	})
	if !errors.Is(err, errOut) {
		return fmt.Errorf("error %v, want %v", err, errOut)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		return fmt.Errorf("%d files are left after the output broke (%v)", len(left), err)
	}
	return nil
}

// noFolder: a folder that can't be written to is an error, not a result without what was to be spilled.
func noFolder(ctx context.Context, eng features.Engine) error {
	folder, err := os.MkdirTemp("", "enginetest-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return err
	}
	e := crowd(12_000)
	src := &source{events: e, shape: shape{batch: 1000}}
	puts := 0
	_, err = eng.Build(ctx, features.Plan{
		Views: crowdViews(), Interval: lastDay(theEnd), Schema: e.schema, Events: src.list, Budget: 64 << 10, Spill: file,
		Out: func(features.View, *table.Batch) error { puts++; return nil },
	})
	if err == nil || puts > 0 {
		return fmt.Errorf("the folder for spill files is a file, and the build put out %d batches, error %v", puts, err)
	}
	return nil
}
