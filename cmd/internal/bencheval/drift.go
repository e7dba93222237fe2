package main

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/cmd/internal/driftsim"
)

// scan streams 200 columns once.
func scan(_ context.Context, r *benchmark.Report, o options) error {
	rows := 10_000_000
	if o.ci {
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

// judge is who is asked whether a week has drifted.
type judge struct {
	name  string
	judge driftsim.Judge
}

// judges are Rapport and, if its interpreter is given, Evidently. stop ends what was started for them.
func judges(ctx context.Context, python string) (all []judge, stop func(), err error) {
	all = []judge{{"rapport", driftsim.Rapport(199)}}
	if python == "" {
		return all, func() {}, nil
	}
	e, err := startEvidently(ctx, python)
	if err != nil {
		return nil, nil, err
	}
	return append(all, judge{"evidently", e.judge}), e.stop, nil
}

// alarms judges weeks in which nothing changes.
func alarms(ctx context.Context, r *benchmark.Report, o options) error {
	weeks, subjects := 300, 300
	if o.ci {
		weeks = 20
	}
	all, stop, err := judges(ctx, o.evidently)
	if err != nil {
		return err
	}
	defer stop()
	for _, j := range all {
		a, err := driftsim.FalseAlarms(weeks, subjects, j.judge)
		if err != nil {
			return fmt.Errorf("%s: %w", j.name, err)
		}
		r.Say("alarms", "%-9s %d stationary weeks of %d subjects: called in %.1f %% ± %.1f %%", j.name, a.Weeks, subjects, 100*a.Called, 100*a.Error)
		for _, name := range slices.Sorted(maps.Keys(a.Columns)) {
			r.Say("alarms", "%-9s   %-28s in %.1f %%", j.name, name, 100*a.Columns[name])
		}
		if !o.ci && j.name == "rapport" {
			r.AtMost("drift_false_alarms", a.Called, 0.05)
		}
	}
	return nil
}

// power plants changes of several sizes in shops of several sizes.
func power(ctx context.Context, r *benchmark.Report, o options) error {
	runs, subjects := 40, []int{100, 300, 1000}
	if o.ci {
		runs, subjects = 4, subjects[:2]
	}
	all, stop, err := judges(ctx, o.evidently)
	if err != nil {
		return err
	}
	defer stop()
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
		{driftsim.Change{Name: "5 % of prices lost", Nulls: 0.05}, lostPrices},
		{driftsim.Change{Name: "10 % of prices lost", Nulls: 0.1}, lostPrices},
		{driftsim.Change{Name: "20 % of prices lost", Nulls: 0.2}, lostPrices},
	} {
		for _, n := range subjects {
			var said []string
			for _, j := range all {
				column := p.column
				if column == lostPrices && j.name == "evidently" {
					column = "price"
				}
				called, err := driftsim.Power(p.change, column, runs, n, j.judge)
				if err != nil {
					return fmt.Errorf("%s: %w", j.name, err)
				}
				said = append(said, fmt.Sprintf("%s in %3.0f %%", j.name, 100*called))
			}
			r.Say("power", "%-20s %5d subjects, %d weeks, called by %s", p.change.Name, n, runs, strings.Join(said, ", "))
		}
	}
	return nil
}

// lostPrices is how Rapport calls prices that are missing more often; Evidently's defaults leave missing values out and look at the others.
const lostPrices = "price (share without a value)"
