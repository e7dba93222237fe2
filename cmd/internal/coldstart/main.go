package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/als"
	"github.com/rapport-ml/rapport/models/content"
	"github.com/rapport-ml/rapport/models/popular"
)

func main() {
	size := synth.World{Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	flag.IntVar(&size.Users, "users", 3000, "subjects of a world")
	flag.IntVar(&size.Items, "items", 1200, "items of a world")
	flag.IntVar(&size.Days, "days", 60, "days of a world, of which the last tenth is asked for")
	seeds := flag.Int("seeds", 3, "worlds")
	dir := flag.String("journey", "", "the folder of The Complete Journey, instead of synthetic worlds")
	flag.Parse()
	if err := run(context.Background(), size, *seeds, *dir, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "coldstart:", err)
		os.Exit(1)
	}
}

// k is the length of the lists.
const k = 10

// contender is a model under test. permuted gives it the item and subject attributes of others.
type contender struct {
	name     string
	trainer  models.Trainer
	permuted bool
}

func contenders() []contender {
	with := func(attributes string) models.Trainer {
		h := als.Defaults()
		h.Attributes = attributes
		return &als.Trainer{Hyper: h}
	}
	return []contender{
		{"als, constant bias columns", with("bias"), false},
		{"als without attributes", with("false"), false},
		{"als with attributes for cold rows", with("cold"), false},
		{"als with permuted attributes for cold rows", with("cold"), true},
		{"als with attributes", with("true"), false},
		{"als with permuted attributes", with("true"), true},
		{"content", &content.Trainer{Hyper: content.Defaults()}, false},
		{"popularity", &popular.Trainer{Hyper: popular.Defaults()}, false},
	}
}

// The tasks, in the order of the table.
var tasks = []string{"warm", "all items", "cold items", "cold subjects"}

func run(ctx context.Context, size synth.World, seeds int, dir string, out io.Writer) error {
	all := contenders()
	worlds := func(seed int) (*happened, error) {
		size.Seed = uint64(seed) + 1
		return synthetic(ctx, size)
	}
	if dir != "" {
		seeds, worlds = 1, func(int) (*happened, error) { return journey(ctx, dir) }
	}
	figures, err := measure(ctx, worlds, seeds, all)
	if err != nil {
		return err
	}
	names := make([]string, len(all))
	for c, x := range all {
		names[c] = x.name
	}
	benchmark.Table(out, fmt.Sprintf("nDCG@%d", k), "bias columns", names, tasks, func(c, t int) []float64 { return figures[c][t] })
	return nil
}

// measure returns nDCG@k by contender and task, of each subject and seed.
func measure(ctx context.Context, worlds func(seed int) (*happened, error), seeds int, all []contender) ([][][]float64, error) {
	figures := make([][][]float64, len(all))
	for c := range figures {
		figures[c] = make([][]float64, len(tasks))
	}
	for seed := range seeds {
		past, err := worlds(seed)
		if err != nil {
			return nil, err
		}
		w := newWorld(past)
		for c, x := range all {
			s, err := w.train(ctx, x)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", x.name, err)
			}
			for t, task := range tasks {
				of, err := w.judge(ctx, s, task)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", x.name, err)
				}
				figures[c][t] = append(figures[c][t], of...)
			}
		}
	}
	return figures, nil
}

// train returns a contender's scorer over all items.
func (w *world) train(ctx context.Context, c contender) (models.Scorer, error) {
	d := *w.seen
	if c.permuted {
		d = permuted(d)
	}
	m, err := c.trainer.Train(ctx, &d, d.Cuts.Test, 1)
	if err != nil {
		return nil, err
	}
	return m.Bind(ctx, d.Catalog, d.SubjectColumns())
}

// judge returns the nDCG of each subject who has an answer in the task.
func (w *world) judge(ctx context.Context, s models.Scorer, task string) ([]float64, error) {
	d := w.whole
	asked := func(item int32) bool { return task == "all items" || w.coldItem[item] == (task == "cold items") }
	var candidates []int32
	for i := range w.coldItem {
		if asked(int32(i)) {
			candidates = append(candidates, int32(i))
		}
	}
	var queries []models.Query
	var relevant [][]int32 // ascending
	for row, cold := range w.coldPerson {
		if cold != (task == "cold subjects") {
			continue
		}
		want := slices.DeleteFunc(models.Distinct(d.Events.SubjectBetween(row, d.Cuts.Test, d.Cuts.End).Item), func(item int32) bool { return !asked(item) })
		q := d.Query(row, d.Cuts.Test, k)
		for _, item := range slices.Clone(q.History.Item) {
			if w.coldItem[item] {
				q = q.Without(item)
			}
		}
		if cold {
			q.History = models.History{}
		}
		if len(want) == 0 || !cold && q.History.Len() == 0 {
			continue
		}
		q.Candidates = candidates
		queries, relevant = append(queries, q), append(relevant, want)
	}
	var r models.Ranking
	if err := models.Rank(ctx, s, d.Catalog.Len(), queries, &r); err != nil {
		return nil, err
	}
	out := make([]float64, len(queries))
	for q := range queries {
		items, _ := r.Query(q)
		out[q] = models.NDCG(items, relevant[q], k)
	}
	return out, nil
}

// permuted gives every item and subject the attributes of another.
func permuted(d models.Dataset) models.Dataset {
	r := rand.New(rand.NewPCG(1, 0x70))
	shuffle := func(a *models.Attributes) *models.Attributes {
		order := r.Perm(a.N)
		out := &models.Attributes{N: a.N}
		for _, c := range a.Cats {
			values := make([]int32, a.N)
			for i, from := range order {
				values[i] = c.Values[from]
			}
			out.Cats = append(out.Cats, models.CatColumn{Name: c.Name, Levels: c.Levels, Values: values})
		}
		for _, c := range a.Nums {
			values := make([]float64, a.N)
			for i, from := range order {
				values[i] = c.Values[from]
			}
			out.Nums = append(out.Nums, models.NumColumn{Name: c.Name, Values: values})
		}
		return out
	}
	catalog := *d.Catalog
	catalog.Attrs = shuffle(catalog.Attrs)
	d.Catalog, d.Subjects = &catalog, shuffle(d.Subjects)
	return d
}
