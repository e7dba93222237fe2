package eval

import (
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/models"
)

// TestEqualScoresEverywhere: ties everywhere, of all contenders, give figures that say nothing, and no error.
func TestEqualScoresEverywhere(t *testing.T) {
	f := rich(invented(300, 40, 2))
	flat := scorerFunc(func(*models.Query, int) float32 { return 1 })
	q, err := Evaluate(t.Context(), f.task(), []Contender{
		{Name: "flat", Scorer: flat, Role: Candidate}, {Name: "live v1", Scorer: flat, Role: Live}, {Name: Popular, Scorer: flat, Role: Baseline},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range q.Comparisons {
		if c.Difference != nil && (*c.Difference != 0 || *c.P != 1 || *c.PAdjusted != 1) {
			t.Errorf("%s on %s differs from %s by %v, p %v", c.Metric, c.Split, c.Against, *c.Difference, *c.P)
		}
	}
	c := q.Contender(Candidate)
	if *c.Tied != q.Evaluated || *c.Estimate("overlap@5", All).Value != 1 {
		t.Errorf("%d of %d lists are tied, overlap %v", *c.Tied, q.Evaluated, *c.Estimate("overlap@5", All).Value)
	}
	// One list for all: of 40 items five stand in every list. Σ(2i − 41)·x over i = 36…40 is n·(31 + 33 + 35 + 37 + 39), Σx = 5n: 175/(40·5).
	if g := c.Estimate("gini@5", All); math.Abs(*g.Value-175./200) > 1e-12 || *g.StandardError > 1e-12 {
		t.Errorf("gini of one list for all is %+v, want %v", g, 175./200)
	}
}

// TestNoScoreIsNaN: a NaN or an infinity among the scores of any contender is an error that names it.
func TestNoScoreIsNaN(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		contenders := inventedContenders(20)
		contenders[2].Scorer = scorerFunc(func(q *models.Query, i int) float32 {
			if q.At == 30 && i == 7 {
				return bad
			}
			return 0
		})
		if _, err := Evaluate(t.Context(), invented(60, 20, 1).task(), contenders); err == nil || !strings.Contains(err.Error(), "rank with "+Popular) {
			t.Errorf("score %v: %v", bad, err)
		}
	}
}

// TestCohortOfOne: one member is not shown, nor the group that would reveal it, in any figure.
func TestCohortOfOne(t *testing.T) {
	f := rich(invented(200, 40, 3))
	c := Cohort{Name: "g", Levels: []string{"alone", "some", "rest"}, Of: make([]int32, len(f.rows))}
	for i := range c.Of {
		c.Of[i] = int32(1 + min(1, i/60))
	}
	c.Of[5] = 0
	f.Cohorts = []Cohort{c}
	q, err := Evaluate(t.Context(), f.task(), inventedContenders(40))
	if err != nil {
		t.Fatal(err)
	}
	figures := q.Cohorts[0].Figures
	for _, x := range q.Content {
		figures = append(figures, x.Cohorts[0].Figures...)
	}
	if len(figures) == 0 {
		t.Fatal("no figures")
	}
	for _, f := range figures {
		for _, g := range f.ByGroup {
			hidden := g.Level == Few || g.Level == Missing
			if (g.Status == Suppressed) != hidden || hidden && (g.N != nil || g.Value != nil) || !hidden && g.Level != "rest" {
				t.Errorf("%s: %+v", f.Metric, g)
			}
		}
	}
	for _, cell := range q.Pool.Cells {
		if cell.Level == "alone" || cell.Level == "some" {
			t.Errorf("the pool has %s", cell.Level)
		}
	}
}

// TestAttributesMissingForHalf: half the subjects without a level are a group like any other, and half the items without a price or a level leave
// figures of the others.
func TestAttributesMissingForHalf(t *testing.T) {
	f := rich(invented(400, 40, 4))
	for i := range f.Items.Price.Of {
		if i%2 == 0 {
			f.Items.Price.Of[i] = math.NaN()
			f.Items.Providers[0].Of[i] = -1
		}
	}
	q, err := Evaluate(t.Context(), f.task(), inventedContenders(40))
	if err != nil {
		t.Fatal(err)
	}
	age := q.Cohort("age_band", "home", q.Headline)
	if g := age.ByGroup[len(age.ByGroup)-1]; g.Level != Missing || g.Status != Judged || *g.N < 150 {
		t.Errorf("missing is %+v", g)
	}
	for _, x := range q.Content {
		if x.Sort == MedianOfList && (x.Figures[0].N == 0 || x.Figures[0].Value == nil) {
			t.Errorf("no price of %+v", x.Figures[0])
		}
	}
	p := q.Providers[0]
	if last := p.Levels[len(p.Levels)-1]; last.Level != Missing || last.Items != 20 || math.Abs(*last.Catalog-0.5) > 1e-12 {
		t.Errorf("items without a level: %+v", last)
	}
	var sum float64
	for _, l := range p.Figures[0].Levels {
		sum += *l.Share.Value
	}
	if math.Abs(sum-1) > 1e-12 {
		t.Errorf("shares of exposure sum to %v", sum)
	}
}

// TestNoPriceAtAll: a number that no item has, and groups of no items, are figures without a value.
func TestNoPriceAtAll(t *testing.T) {
	f := rich(invented(100, 40, 4))
	for i := range f.Items.Price.Of {
		f.Items.Price.Of[i] = math.NaN()
		f.Items.Content[0].In[i] = false
	}
	q, err := Evaluate(t.Context(), f.task(), inventedContenders(40))
	if err != nil {
		t.Fatal(err)
	}
	if q.Content[1].Figures[0].Value != nil || q.Content[1].Catalog != nil || *q.Content[0].Figures[0].Value != 0 {
		t.Errorf("%+v", q.Content)
	}
}

// TestColdSplits: subjects of whom little is known, and items that nobody had, are told apart; a split whose rest is of few is not.
func TestColdSplits(t *testing.T) {
	f := fixture{Task: Task{Catalog: catalog(6), K: []int{2}, Items: Items{Cold: []bool{false, true, false, false, false, false}}}}
	for i := range 60 {
		f.add(Subject{Relevant: []int32{0, 1}, Cold: i < 20})
	}
	run := func() *Quality {
		q, err := Evaluate(t.Context(), f.task(), []Contender{{Name: "c", Scorer: descending, Role: Candidate}})
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	c := run().Contender(Candidate)
	if e := c.Estimate("recall@2", ColdSubjects); e.N != 20 || *e.Value != 1 {
		t.Errorf("cold subjects: %+v", e)
	}
	// Of cold items 1 alone, at rank 2: nDCG = 0.63093.
	if e := c.Estimate("ndcg@2", ColdItems); e.N != 60 || math.Abs(*e.Value-0.6309297535714575) > 1e-15 {
		t.Errorf("cold items: %+v", e)
	}
	for i := range f.rows {
		f.rows[i].Cold = i < 55 // five are not
	}
	if e := run().Contender(Candidate).Estimate("recall@2", ColdSubjects); e.N != 0 || e.Value != nil {
		t.Errorf("the five who are not cold follow from %+v", e)
	}
}

// TestMemoryIsBounded: ten times the subjects take no more memory: what is held is of the lists, the figures and the buckets.
func TestMemoryIsBounded(t *testing.T) {
	peak := func(n int) uint64 {
		task := Task{Catalog: catalog(300), K: []int{5}, Replicates: 50, Rows: n}
		most := uint64(0)
		relevant := [][]int32{{1}, {2, 7}, {200}}
		task.Subject = func(row int) Subject {
			if row%(4*waveQueries) == 0 {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
			return Subject{Key: uint64(row), Relevant: relevant[row%3]}
		}
		if _, err := Evaluate(t.Context(), task, []Contender{{Name: "c", Scorer: descending, Role: Candidate}, {Name: Popular, Scorer: descending, Role: Baseline}}); err != nil {
			t.Fatal(err)
		}
		return most
	}
	few, many := peak(8*waveQueries), peak(80*waveQueries)
	if many > few+few/4+1<<20 {
		t.Errorf("%d bytes are held with ten times the subjects of %d bytes", many, few)
	}
}
