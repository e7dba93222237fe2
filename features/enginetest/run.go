package enginetest

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
)

//go:embed testdata/*.txt
var scripts embed.FS

// Run checks that the engine computes what package features defines, part by part: each is a subtest. It takes a few seconds, and changes
// GOMAXPROCS while it runs, so the caller must not run it in parallel with other tests.
func Run(t *testing.T, eng features.Engine) {
	t.Helper()
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			if err := c.run(t.Context(), eng); err != nil {
				t.Error(err)
			}
		})
	}
}

// check is one thing an engine must do; run says how it failed.
type check struct {
	name string
	run  func(context.Context, features.Engine) error
}

func checks() []check {
	return slices.Concat(scriptChecks(), oracleChecks(), orderChecks(), faultChecks(), priorChecks(), budgetChecks(), joinChecks())
}

func scriptChecks() (cs []check) {
	files, err := fs.Glob(scripts, "testdata/*.txt")
	if err != nil || len(files) == 0 {
		panic("enginetest: the scripts are not embedded")
	}
	for _, f := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(f, "testdata/"), ".txt")
		cs = append(cs, check{"script/" + name, func(ctx context.Context, eng features.Engine) error {
			if err := runScript(ctx, eng, f); err != nil {
				return fmt.Errorf("%s: %w", f, err)
			}
			return nil
		}})
	}
	return cs
}

func runScript(ctx context.Context, eng features.Engine, file string) error {
	text, err := scripts.ReadFile(file)
	if err != nil {
		return err
	}
	s, err := parseScript(string(text))
	if err != nil {
		return err
	}
	if len(s.want.tables) > 0 {
		if err := agree(oracle(s.views, s.end, s.events), s.want, false); err != nil {
			return fmt.Errorf("the oracle disagrees with the script: %w", err)
		}
	}
	if s.join.want.schema != nil {
		if err := s.join.agree(s.join.oracle()); err != nil {
			return fmt.Errorf("the oracle disagrees with the script: %w", err)
		}
	}
	for i, sh := range []shape{{batch: 1}, {batch: 2, splits: 3, coded: true}, {batch: 1000, zoned: true}} {
		if len(s.want.tables) > 0 {
			got, err := build(ctx, eng, task{views: s.views, interval: lastDay(s.end), events: s.events, shape: sh})
			if err != nil {
				return err
			}
			if err := agree(got.result, s.want, false); err != nil {
				return fmt.Errorf("in shape %d: %w", i, err)
			}
		}
		if s.join.want.schema != nil {
			s.join.shape, s.join.exampleShape = sh, sh
			got, err := s.join.run(ctx, eng)
			if err != nil {
				return err
			}
			if err := s.join.agree(got); err != nil {
				return fmt.Errorf("in shape %d: %w", i, err)
			}
		}
	}
	return nil
}

// agree compares joined rows with those that the script states.
func (j join) agree(got tableOf) error {
	want := j.want
	if err := want.sort(); err != nil {
		return err
	}
	return agreeTables([]tableOf{got}, []tableOf{want}, false)
}

// oracleChecks compare each operator, and all at once, with the definitions, on events in many shapes.
func oracleChecks() (cs []check) {
	against := func(t task) func(context.Context, features.Engine) error {
		return func(ctx context.Context, eng features.Engine) error {
			got, err := build(ctx, eng, t)
			if err != nil {
				return err
			}
			return agree(got.result, oracle(t.views, t.interval.End, t.events), false)
		}
	}
	for i, op := range features.Ops {
		n := uint64(i)
		t := task{interval: lastDay(theEnd), views: viewsOf(i, op), events: world{seed: n, rows: 250, months: true}.generate()}
		t.shape = shape{seed: n, splits: 1 + i%7, batch: 1 + i*11, coded: i%2 == 0, zoned: i%3 == 0}
		cs = append(cs, check{"oracle/" + string(op), against(t)})
	}
	for i, rows := range []int{0, 1, 2, 60, 400, 400, 400} {
		n := uint64(i)
		t := task{interval: lastDay(theEnd), views: mixed(i), events: world{seed: 50 + n, rows: rows, months: i%2 == 0}.generate()}
		t.shape = shape{seed: n, splits: 1 + i, batch: i * 37, coded: i%2 == 1, zoned: i%3 == 0}
		cs = append(cs, check{fmt.Sprintf("oracle/mixed-%d", i), against(t)})
	}
	one := task{interval: lastDay(theEnd), views: viewsOfOneKey(), events: world{seed: 60, rows: 300, months: true}.generate(), shape: shape{seed: 60, splits: 3, batch: 40, coded: true}}
	many := task{interval: lastDay(theEnd), views: mixed(2), events: world{seed: 61, rows: 300, months: true}.generate(), shape: shape{seed: 61, splits: 2, batch: 70}}
	for i := range many.views {
		many.views[i].Windows = nil
		for h := range 32 {
			many.views[i].Windows = append(many.views[i].Windows, time.Duration(1+h*h)*time.Hour)
		}
		some := many.views[i].Features
		many.views[i].Features = append(slices.Clone(some[:4:4]), some[len(some)-4:]...)
	}
	return append(cs, check{"oracle/views-of-one-key", against(one)}, check{"oracle/32-windows", against(many)}, check{"oracle/large-entities", largeEntities})
}

// viewsOfOneKey are views that share entities but not windows, and pairs of one pair of columns either way round.
func viewsOfOneKey() []features.View {
	m := mixed(0)
	few := func(name, key string, from int, windows ...time.Duration) features.View {
		return features.View{Name: name, Key: key, Windows: windows, Features: m[0].Features[from : from+4]}
	}
	return []features.View{
		few("a", features.KeySubject, 0, time.Hour),
		few("b", features.KeyItem, 4, 2*day),
		few("c", features.KeySubject, 0, 30*day, day),
		few("d", "subject+item", 8, day, 3*day),
		few("e", "item+subject", 0, 7*day),
		few("f", features.KeySubject, 8, 5*day, 2*time.Hour),
		few("g", "subject+item", 4, 2*day),
	}
}

// largeEntities: entities with tens of thousands of events and of values, so that small states have to grow into large ones.
func largeEntities(ctx context.Context, eng features.Engine) error {
	e := newEvents()
	for i := range int64(14_000) {
		v := (i*7919 + i%13) % 20_011
		e.rows = append(e.rows, []any{i % 40 / 39, fmt.Sprintf("item-%05d", v), theEnd.UnixMicro() - 1 - i*40_000_000, "view", float64(v-9000) / 8})
	}
	views := []features.View{{Name: "v", Key: features.KeySubject, Windows: []time.Duration{day, 7 * day}, Features: features.Sorted([]features.Feature{
		{Name: "approx", Op: features.ApproxDistinct, Column: "item"},
		{Name: "approx_values", Op: features.ApproxDistinct, Column: "value"},
		{Name: "decayed", Op: features.Decayed, Column: "value", HalfLife: 5 * time.Hour},
		{Name: "distinct", Op: features.Distinct, Column: "item"},
		{Name: "first", Op: features.First, Column: "item"},
		{Name: "last", Op: features.Last, Column: "value"},
		{Name: "max", Op: features.Max, Column: "value"},
		{Name: "median", Op: features.Quantile, Column: "value", Quantile: 0.5},
		{Name: "min", Op: features.Min, Column: "value"},
		{Name: "path", Op: features.Sequence, N: 1000},
		{Name: "sum", Op: features.Sum, Column: "value"},
		{Name: "top", Op: features.Top, Column: "item", N: 1000},
	})}}
	t := task{views: views, interval: lastDay(theEnd), events: e, shape: shape{seed: 1, splits: 4, batch: 1000, coded: true}, keep: true}
	first, err := build(ctx, eng, t)
	if err != nil {
		return err
	}
	if err := agree(first.result, oracle(views, theEnd, e), false); err != nil {
		return err
	}
	t.events, t.shape = e.shuffled(rand.New(rand.NewPCG(1, 1))), shape{seed: 2, splits: 7, batch: 300}
	second, err := build(ctx, eng, t)
	if err != nil {
		return err
	}
	return agreeBuilt(second, first)
}
