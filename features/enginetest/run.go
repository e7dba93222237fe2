package enginetest

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

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
	return cs
}
