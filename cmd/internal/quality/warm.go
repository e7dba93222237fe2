package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/als"
)

// training is one of als: its model, and the objective after each epoch.
type training struct {
	model     models.Model
	objective []float64
}

func train(ctx context.Context, d *models.Dataset, until int64, seed uint64, parent models.Model) (t training, err error) {
	h := als.Defaults()
	h.WarmStart = true
	trainer := &als.Trainer{Hyper: h, Progress: func(_ int, objective float64) { t.objective = append(t.objective, objective) }}
	if parent != nil {
		trainer = trainer.From(parent).(*als.Trainer)
	}
	t.model, err = trainer.Train(ctx, d, until, seed)
	return t, err
}

// warm trains als at the ends of successive intervals of a job, cold each time, and going on from the one before.
func warm(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("quality warm", flag.ContinueOnError)
	steps := flags.Int("steps", 4, "intervals after the first")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 2 || *steps < 1 {
		return errors.New("quality warm: want a project file and a job, and at least one step")
	}
	d, job, err := ingested(ctx, flags.Arg(0), flags.Arg(1), 0)
	if err != nil {
		return err
	}
	var ends []int64 // of the intervals, the last one first
	for iv := job.Every.Containing(time.UnixMicro(d.Cuts.End - 1)); len(ends) <= *steps; iv = job.Every.Containing(iv.Start.Add(-time.Microsecond)) {
		ends = append(ends, iv.End.UnixMicro())
	}
	slices.Reverse(ends)
	return descend(ctx, d, ends, job.Model.Seed, out)
}

// descend prints what trainings for intervals with these ends, ascending, come to. Each is asked for what the length of d's test window before its
// interval's end holds, and learns from what was before that.
func descend(ctx context.Context, d *models.Dataset, ends []int64, seed uint64, out io.Writer) error {
	x := *d
	fmt.Fprintf(out, "| interval | cold: epochs | warm: epochs | objective, warm over cold | warm epochs to the cold objective | nDCG@10 of new items: cold | warm minus cold |\n|---|---|---|---|---|---|---|\n")
	var before models.Model
	for _, end := range ends {
		until := end - (d.Cuts.End - d.Cuts.Test)
		cold, err := train(ctx, d, until, seed, nil)
		if err != nil {
			return err
		}
		if before == nil {
			before = cold.model
			continue
		}
		on, err := train(ctx, d, until, seed, before)
		if err != nil {
			return err
		}
		before = on.model
		x.Cuts.Test, x.Cuts.End = until, end
		t, err := temporal(&x, true)
		if err != nil {
			return err
		}
		var figures [2]result
		for k, m := range []models.Model{cold.model, on.model} {
			s, err := m.Bind(ctx, d.Catalog, d.SubjectColumns())
			if err != nil {
				return err
			}
			if figures[k], err = t.judge(ctx, "", s); err != nil {
				return err
			}
		}
		last := cold.objective[len(cold.objective)-1]
		reached := 1 + slices.IndexFunc(on.objective, func(o float64) bool { return o <= last })
		mean, _ := benchmark.Paired(figures[0].values[0], nil)
		diff, half := benchmark.Paired(figures[1].values[0], figures[0].values[0])
		fmt.Fprintf(out, "| until %s | %d | %d | %.6f | %d | %.4f (n = %d) | %+.4f ± %.4f |\n",
			time.UnixMicro(until).UTC().Format("2006-01-02"), len(cold.objective), len(on.objective), on.objective[len(on.objective)-1]/last, reached, mean, len(t.questions), diff, half)
	}
	return nil
}
