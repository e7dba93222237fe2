package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
)

// world is the size of an evaluation. Equal worlds are equal to the last bit.
type world struct {
	Subjects, Items, Cohorts, Contenders int
	K                                    []int
	Replicates                           int
	Rich                                 bool // with attributes of items, by which lists are measured
}

// noise is how many different scores a subject adds to those that all have.
const noise = 1 << 12

// shifted scores items by what all think of them and a piece of noise that begins elsewhere for each subject.
type shifted struct {
	base, noise []float32
}

func (s *shifted) Score(ctx context.Context, q []models.Query, dst []float32) error {
	n := len(s.base)
	for k := range q {
		if err := ctx.Err(); err != nil {
			return err
		}
		row, at := dst[k*n:(k+1)*n], int(q[k].Draw*2654435761)%noise
		for i, b := range s.base {
			row[i] = b + s.noise[(i+at)%noise]
		}
	}
	return nil
}

// task makes the world up.
func (w world) task() (eval.Task, []eval.Contender) {
	r := rand.New(rand.NewPCG(1, 6))
	c := &models.Catalog{}
	for i := range w.Items {
		c.IDs = append(c.IDs, fmt.Sprintf("item-%07d", i))
	}
	t := eval.Task{Catalog: c, Rows: w.Subjects, K: w.K, Replicates: w.Replicates, Seed: 7}
	had := make([]int32, w.Items)
	for i := range had {
		had[i] = int32(w.Subjects / (i + 2))
	}
	t.Items = eval.Items{Had: had, Subjects: w.Subjects, Cold: make([]bool, w.Items)}
	for i := w.Items * 9 / 10; i < w.Items; i++ {
		t.Items.Cold[i] = true
	}
	if w.Rich {
		w.describe(&t, r)
	}
	t.Subject = func(row int) eval.Subject {
		own := rand.New(rand.NewPCG(uint64(row), 8))
		draw := func(n int) []int32 {
			out := make([]int32, n)
			for i := range out {
				x := own.Float64()
				out[i] = int32(x * x * float64(w.Items))
			}
			return models.Distinct(out)
		}
		seen := draw(20)
		history := models.History{Item: seen, Time: make([]int64, len(seen)), Kind: make([]uint8, len(seen)), Weight: slices.Repeat([]float32{1}, len(seen))}
		return eval.Subject{
			Key: uint64(row), Relevant: draw(3), Seen: seen, Cold: row%10 == 0, Query: models.Query{Draw: uint64(row), History: history},
		}
	}
	for i := range w.Cohorts {
		cohort := eval.Cohort{Name: fmt.Sprint("cohort ", i), Levels: []string{"a", "b", "c", "d"}, Of: make([]int32, w.Subjects)}
		for row := range cohort.Of {
			cohort.Of[row] = int32(r.IntN(5)) - 1
		}
		t.Cohorts = append(t.Cohorts, cohort)
	}
	roles := []eval.Role{eval.Candidate, eval.Live, eval.Baseline, eval.Baseline, eval.Part, eval.Part}
	names := []string{"candidate", "live", eval.Popular, "frequency", "part a", "part b"}
	if w.Contenders == 2 {
		roles, names = roles[1:3], names[1:3]
		roles[0] = eval.Candidate
	}
	var contenders []eval.Contender
	for i := range w.Contenders {
		s := &shifted{base: make([]float32, w.Items), noise: make([]float32, noise)}
		for item := range s.base {
			s.base[item] = -float32(item) / float32(w.Items) * float32(1+i)
		}
		for j := range s.noise {
			s.noise[j] = r.Float32()
		}
		contenders = append(contenders, eval.Contender{Name: names[i], Role: roles[i], Scorer: s})
	}
	return t, contenders
}

// describe gives items attributes, and the task all that is measured by them.
func (w world) describe(t *eval.Task, r *rand.Rand) {
	brand, category, price := make([]string, w.Items), make([]string, w.Items), make([]float64, w.Items)
	premium := eval.ItemGroup{Name: "premium", In: make([]bool, w.Items)}
	for i := range w.Items {
		brand[i], category[i], price[i] = fmt.Sprintf("brand %02d", r.IntN(25)), fmt.Sprintf("category %02d", r.IntN(18)), 1+99*r.Float64()
		premium.In[i] = price[i] > 80
	}
	brands := models.NewCatColumn("brand", brand)
	t.Catalog.Attrs = &models.Attributes{N: w.Items, Cats: []models.CatColumn{brands, models.NewCatColumn("category", category)}}
	rules := lists.Rules{Diversity: &lists.Diversity{By: []string{"category", "brand"}, Weight: 0.1}, Calibrate: &lists.Calibrate{By: "category", Weight: 0.1}}
	stage, err := rules.Bind(t.Catalog, lists.Options{K: w.K[0]})
	if err != nil {
		panic(err) // the rules above
	}
	t.Items.Measure = stage
	t.Items.Providers = []eval.ItemLevels{eval.Providers("brand", brands.Levels, brands.Values, t.Items.Had)}
	t.Items.Content = []eval.ItemGroup{premium}
	t.Items.Price = &eval.ItemNumber{Name: "price", Of: price}
}
