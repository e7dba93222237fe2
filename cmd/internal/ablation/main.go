package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/again"
	"github.com/rapport-ml/rapport/models/als"
	"github.com/rapport-ml/rapport/models/blend"
	"github.com/rapport-ml/rapport/models/content"
	"github.com/rapport-ml/rapport/models/ease"
	"github.com/rapport-ml/rapport/models/next"
	"github.com/rapport-ml/rapport/models/popular"
)

func main() {
	size := synth.World{Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	flag.IntVar(&size.Users, "users", 5000, "subjects of a world")
	flag.IntVar(&size.Items, "items", 2000, "items of a world")
	flag.IntVar(&size.Days, "days", 60, "days of a world")
	seeds := flag.Int("seeds", 2, "worlds")
	journey := flag.String("journey", "", "folder of The Complete Journey; empty: synthetic worlds")
	weeks := flag.Int("weeks", 8, "weeks of The Complete Journey, the last one being the last of 2017")
	reranker := flag.Bool("rerank", false, "measure the re-ranker and what it sees, in place of the parts")
	flag.BoolVar(&size.Shown, "shown", false, "worlds with impressions (for -rerank)")
	flag.BoolVar(&size.Intent, "intent", false, "worlds in which what people are after changes (for -rerank)")
	flag.Parse()
	ctx := context.Background()
	var err error
	if *reranker && *journey != "" {
		err = rerankJourneys(ctx, *journey, *weeks, os.Stdout)
	} else if *reranker {
		err = rerankWorlds(ctx, size, *seeds, os.Stdout)
	} else if *journey != "" {
		err = journeys(ctx, *journey, *weeks, os.Stdout)
	} else {
		err = worlds(ctx, size, *seeds, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ablation:", err)
		os.Exit(1)
	}
}

// k is the length of the lists.
const k = 10

// contender makes a ranking of a data set.
type contender struct {
	name string
	fit  func(ctx context.Context, d *models.Dataset) (models.Scorer, error)
}

// trained is a contender with a trainer.
func trained(name string, t models.Trainer) contender {
	return contender{name, func(ctx context.Context, d *models.Dataset) (models.Scorer, error) {
		m, err := t.Train(ctx, d, d.Cuts.Test, 1)
		if err != nil {
			return nil, err
		}
		return m.Bind(ctx, d.Catalog, d.SubjectColumns())
	}}
}

// usualBlend is the blend of a new project's parts.
func usualBlend() *blend.Trainer {
	return &blend.Trainer{Hyper: blend.Defaults(), Parts: []models.Trainer{
		&popular.Trainer{Hyper: popular.Defaults()}, &again.Trainer{Hyper: again.Defaults()}, &als.Trainer{Hyper: als.Defaults()},
		&content.Trainer{Hyper: content.Defaults()},
	}}
}

// contenders are the blend of a new project's parts, the same with more, and each part alone.
func contenders() []contender {
	usual := usualBlend().Parts
	easy, following := &ease.Trainer{Hyper: ease.Defaults()}, &next.Trainer{Hyper: next.Defaults()}
	mixed := func(name string, more ...models.Trainer) contender {
		return trained(name, &blend.Trainer{Parts: append(usual[:len(usual):len(usual)], more...), Hyper: blend.Defaults()})
	}
	all := []contender{mixed("blend"), mixed("blend with ease", easy), mixed("blend with next", following), mixed("blend with both", easy, following)}
	for _, t := range append(usual[:len(usual):len(usual)], easy, following) {
		all = append(all, trained(t.Name(), t))
	}
	return append(all, contender{"item-kNN", nearest})
}

// figures holds the nDCG of each subject by contender.
type figures [][]float64

// measure adds the figures of a data set, with or without what subjects had before.
func (f figures) measure(ctx context.Context, all []contender, d *models.Dataset, mask bool) error {
	d.MaskSeen = mask
	t := newTask(d, mask)
	for c, x := range all {
		s, err := x.fit(ctx, d)
		if err != nil {
			return fmt.Errorf("%s: %w", x.name, err)
		}
		of, err := t.judge(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", x.name, err)
		}
		f[c] = append(f[c], of...)
	}
	return nil
}

func worlds(ctx context.Context, size synth.World, seeds int, out io.Writer) error {
	all := contenders()
	everything, fresh := make(figures, len(all)), make(figures, len(all))
	for seed := range seeds {
		size.Seed = uint64(seed) + 1
		d, err := synthetic(ctx, size)
		if err != nil {
			return err
		}
		if err := everything.measure(ctx, all, d, false); err != nil {
			return err
		}
		if err := fresh.measure(ctx, all, d, true); err != nil {
			return err
		}
	}
	compare(out, all, []string{"all items", "new items"}, everything, fresh)
	return nil
}

func journeys(ctx context.Context, dir string, weeks int, out io.Writer) error {
	all := contenders()
	f := make(figures, len(all))
	sales, err := readJourney(ctx, dir)
	if err != nil {
		return err
	}
	for w := range weeks {
		if err := f.measure(ctx, all, sales.until(journeyEnd.AddDate(0, 0, -7*(weeks-1-w))), false); err != nil {
			return fmt.Errorf("week %d of %d: %w", w+1, weeks, err)
		}
	}
	compare(out, all, []string{"all items"}, f)
	return nil
}

// compare writes the table of the contenders' figures in each task.
func compare(out io.Writer, all []contender, tasks []string, f ...figures) {
	names := make([]string, len(all))
	for c, x := range all {
		names[c] = x.name
	}
	benchmark.Table(out, fmt.Sprintf("nDCG@%d", k), "the blend", names, tasks, func(c, t int) []float64 { return f[t][c] })
}
