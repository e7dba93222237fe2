package main

import (
	"context"
	"maps"
	"runtime"
	"slices"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/cmd/internal/driftsim"
)

// scan streams 200 columns once.
func scan(_ context.Context, r *benchmark.Report, ci bool) error {
	rows := 10_000_000
	if ci {
		rows = 100_000
	}
	watch := benchmark.Start()
	s, err := driftsim.Scan(200, rows, runtime.GOMAXPROCS(0))
	if err != nil {
		return err
	}
	m := watch.Stop()
	r.Say("scan", "%d columns, %d rows: %.1f s, %.1f M values a second, %d MB", s.Columns, s.Rows, s.Seconds, float64(s.Counted)/s.Seconds/1e6, m.RSS>>20)
	return nil
}

// alarms judges weeks in which nothing changes.
func alarms(_ context.Context, r *benchmark.Report, ci bool) error {
	weeks, subjects := 300, 300
	if ci {
		weeks = 20
	}
	a, err := driftsim.FalseAlarms(weeks, subjects, 199)
	if err != nil {
		return err
	}
	r.Say("alarms", "%d stationary weeks of %d subjects: called in %.1f %% ± %.1f %%", a.Weeks, subjects, 100*a.Called, 100*a.Error)
	for _, name := range slices.Sorted(maps.Keys(a.Rejects)) {
		r.Say("alarms", "  %-28s p ≤ 0.05 in %.1f %%", name, 100*a.Rejects[name])
	}
	if !ci {
		r.AtMost("drift_false_alarms", a.Called, 0.05)
	}
	return nil
}

// power plants changes of several sizes in shops of several sizes.
func power(_ context.Context, r *benchmark.Report, ci bool) error {
	runs, subjects := 40, []int{100, 300, 1000}
	if ci {
		runs, subjects = 4, subjects[:2]
	}
	for _, p := range []struct {
		change driftsim.Change
		column string
	}{
		{driftsim.Change{Name: "buys + 10 points", Buys: 0.1}, "kind"},
		{driftsim.Change{Name: "buys + 20 points", Buys: 0.2}, "kind"},
		{driftsim.Change{Name: "buys + 33 points", Buys: 0.33}, "kind"},
		{driftsim.Change{Name: "prices × 1.1", Price: 1.1}, "price"},
		{driftsim.Change{Name: "prices × 1.25", Price: 1.25}, "price"},
		{driftsim.Change{Name: "prices × 1.5", Price: 1.5}, "price"},
		{driftsim.Change{Name: "prices in cents", Price: 100}, "price"},
		{driftsim.Change{Name: "5 % of prices lost", Nulls: 0.05}, "price (share without a value)"},
		{driftsim.Change{Name: "10 % of prices lost", Nulls: 0.1}, "price (share without a value)"},
		{driftsim.Change{Name: "20 % of prices lost", Nulls: 0.2}, "price (share without a value)"},
	} {
		for _, n := range subjects {
			called, err := driftsim.Power(p.change, p.column, runs, n, 199)
			if err != nil {
				return err
			}
			r.Say("power", "%-20s %5d subjects: called in %3.0f %% of %d weeks", p.change.Name, n, 100*called, runs)
		}
	}
	return nil
}
