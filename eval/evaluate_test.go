package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/models"
)

// scorerFunc scores one item for one query.
type scorerFunc func(q *models.Query, item int) float32

func (f scorerFunc) Score(_ context.Context, q []models.Query, dst []float32) error {
	items := len(dst) / len(q)
	for i := range q {
		for j := range items {
			dst[i*items+j] = f(&q[i], j)
		}
	}
	return nil
}

// descending ranks items by position: 0 first.
var descending = scorerFunc(func(_ *models.Query, item int) float32 { return -float32(item) })

func catalog(n int) *models.Catalog {
	c := &models.Catalog{}
	for i := range n {
		c.IDs = append(c.IDs, fmt.Sprintf("item-%04d", i))
	}
	return c
}

// fixture is a task with all of its rows.
type fixture struct {
	Task
	rows []Subject
}

func (f *fixture) task() Task {
	t := f.Task
	t.Rows = len(f.rows)
	t.Subject = func(row int) Subject { return f.rows[row] }
	return t
}

// add appends a row with a key of its own.
func (f *fixture) add(s Subject) {
	s.Key = uint64(len(f.rows))
	f.rows = append(f.rows, s)
}

// invented is a seeded task of n subjects: each has a taste (a residue class of items), buys again at times, and belongs to two cohorts, one of
// which half of the subjects have not declared. Query.At is the subject's number, so that scorers may know the taste.
func invented(n, items int, seed uint64) *fixture {
	r := rand.New(rand.NewPCG(seed, 1))
	t := &fixture{Task: Task{Catalog: catalog(items), K: []int{5, 10}, Seed: 11, Replicates: 400}}
	region := Cohort{Name: "region", Levels: []string{"east", "north", "south"}}
	age := Cohort{Name: "age_band", Levels: []string{"18-34", "35-54", "55+"}}
	for s := range n {
		draw := func(k int) []int32 {
			var out []int32
			for range k {
				item := int32(math.Abs(r.NormFloat64()) * float64(items) / 4)
				item = min(item, int32(items-1))
				out = append(out, item-item%5+min(int32(s%5), item%5))
			}
			slices.Sort(out)
			return slices.Compact(out)
		}
		seen := draw(6)
		relevant := draw(1 + r.IntN(3))
		if r.IntN(2) == 0 {
			relevant = append(relevant, seen[r.IntN(len(seen))])
			slices.Sort(relevant)
			relevant = slices.Compact(relevant)
		}
		if s%17 == 0 {
			relevant = nil
		}
		t.rows = append(t.rows, Subject{
			Key: uint64(1000 + s), Query: models.Query{At: int64(s), History: models.History{Item: seen}}, Relevant: relevant, Seen: seen, Cold: s%13 == 0,
		})
		region.Of = append(region.Of, int32(r.IntN(3)))
		if r.IntN(2) == 0 {
			age.Of = append(age.Of, int32(r.IntN(3)))
		} else {
			age.Of = append(age.Of, -1)
		}
	}
	t.Cohorts = []Cohort{region, age}
	return t
}

func tasteful(q *models.Query, item int) float32 {
	score := -float32(item)
	if item%5 == int(q.At%5) {
		score += 20
	}
	if slices.Contains(q.History.Item, int32(item)) {
		score += 30
	}
	return score
}

func inventedContenders(items int) []Contender {
	again := scorerFunc(func(q *models.Query, item int) float32 {
		if slices.Contains(q.History.Item, int32(item)) {
			return 1
		}
		return 0
	})
	return []Contender{
		{Name: "home", Scorer: scorerFunc(tasteful), Role: Candidate},
		{Name: "live v3", Scorer: scorerFunc(func(q *models.Query, item int) float32 { return tasteful(q, item) - float32(item%3) }), Role: Live},
		{Name: Popular, Scorer: descending, Role: Baseline},
		{Name: "again+popular", Scorer: Blend(items, Weighted{again, 1}, Weighted{descending, 0.5}), Role: Baseline},
		{Name: "taste", Scorer: scorerFunc(func(q *models.Query, item int) float32 { return float32(-((item - int(q.At)) % 5 * 1000) - item) }), Role: Part},
	}
}

// TestEvaluateByHand: two subjects, four items ranked 0 1 2 3.
//
//	subject 0 took {0, 3}, had {3}: at 2 one hit at rank 1. nDCG = 1/(1 + 0.63093) = 0.61315; recall = 1/2; repeat {3}: 0; explore {0}: nDCG 1.
//	subject 1 took {1}, had nothing: hit at rank 2. nDCG = 0.63093/1; recall = 1; MRR = 1/2; explore the same.
//	subject 2 took nothing: left out.
//
// There are 11 of each, so that no split is of too few to be shown.
func TestEvaluateByHand(t *testing.T) {
	q := evaluateByHand(t, MinCell)
	const d2 = 0.6309297535714575
	tests := []struct {
		metric string
		split  Split
		n      int
		want   float64
	}{
		{"ndcg@2", All, 22, (1/(1+d2) + d2) / 2},
		{"recall@2", All, 22, (1./2 + 1) / 2},
		{"recall_all@2", All, 22, (1./2 + 1) / 2},
		{"precision@2", All, 22, (1./2 + 1./2) / 2},
		{"mrr@2", All, 22, (1 + 1./2) / 2},
		{"hit@2", All, 22, 1},
		{"ndcg@2", Repeat, 11, 0},
		{"ndcg@2", Explore, 22, (1 + d2) / 2},
		{"recall@2", Explore, 22, 1},
		{"coverage@2", All, 22, 2. / 4},
	}
	for _, tt := range tests {
		e := q.Contender(Candidate).Estimate(tt.metric, tt.split)
		if e == nil || e.N != tt.n || e.Value == nil || math.Abs(*e.Value-tt.want) > 1e-15 {
			t.Errorf("%s on %s is %+v, want %v over %d", tt.metric, tt.split, e, tt.want, tt.n)
		}
	}
	if *q.Queries != 33 || q.Evaluated != 22 || *q.NoRelevant != 11 {
		t.Errorf("%d queries, %d evaluated, %d without: want 33, 22, 11", *q.Queries, q.Evaluated, *q.NoRelevant)
	}
	// One subject has no interval: nothing can be said of its spread.
	alone := fixture{Task: Task{Catalog: catalog(4), K: []int{2}}, rows: []Subject{{Relevant: []int32{0}}}}
	one, err := Evaluate(context.Background(), alone.task(), []Contender{{Name: "c", Scorer: descending, Role: Candidate}})
	if err != nil {
		t.Fatal(err)
	}
	if e := one.Contender(Candidate).Estimate("ndcg@2", All); e.N != 1 || e.Low != nil || e.High != nil {
		t.Errorf("one subject has the interval of %+v", e)
	}
}

// evaluateByHand evaluates so many of each of the three subjects.
func evaluateByHand(t *testing.T, each int) *Quality {
	t.Helper()
	task := fixture{Task: Task{Catalog: catalog(4), K: []int{2}}}
	for range each {
		task.add(Subject{Relevant: []int32{0, 3}, Seen: []int32{3}})
		task.add(Subject{Relevant: []int32{1}})
		task.add(Subject{Seen: []int32{2}})
	}
	q, err := Evaluate(context.Background(), task.task(), []Contender{
		{Name: "c", Scorer: descending, Role: Candidate}, {Name: Popular, Scorer: descending, Role: Baseline},
	})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestSplitOfFew: what ten people took again is not told, nor that there are ten; the page says that they are too few.
func TestSplitOfFew(t *testing.T) {
	q := evaluateByHand(t, MinCell-1)
	for split, want := range map[Split]int{All: 20, Repeat: 0, Explore: 20} {
		e, c := q.Contender(Candidate).Estimate("ndcg@2", split), q.Comparison("ndcg@2", split, Popular)
		if e.N != want || c.N != want || (e.Value != nil) != (want > 0) || (c.Difference != nil) != (want > 0) {
			t.Errorf("%s: %+v, %+v, want %d people", split, e, c, want)
		}
	}
	r := exampleReport(t)
	r.Quality = q
	var page bytes.Buffer
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(page.String(), `<th scope="row">`+splitNames[Repeat]+`</th><td>too few</td>`) {
		t.Error("the page does not say that they are too few")
	}
}

// TestEvaluateAgainstOracle recomputes means and paired bootstrap intervals from the definition, holding everything in memory.
func TestEvaluateAgainstOracle(t *testing.T) {
	const items = 60
	task := invented(1500, items, 5) // more than one wave
	contenders := inventedContenders(items)
	q, err := Evaluate(context.Background(), task.task(), contenders)
	if err != nil {
		t.Fatal(err)
	}
	ndcg := func(c Contender, row, k int) float64 {
		scores := make([]float32, items)
		if err := c.Scorer.Score(context.Background(), []models.Query{task.rows[row].Query}, scores); err != nil {
			t.Fatal(err)
		}
		order := make([]int, items)
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case scores[a] > scores[b]:
				return -1
			case scores[a] < scores[b]:
				return 1
			}
			return 0
		})
		var got, ideal float64
		for r := range k {
			if slices.Contains(task.rows[row].Relevant, int32(order[r])) {
				got += 1 / math.Log2(float64(r+2))
			}
			if r < len(task.rows[row].Relevant) {
				ideal += 1 / math.Log2(float64(r+2))
			}
		}
		return got / ideal
	}
	var a, b []float64
	var rows []int
	for row := range task.rows {
		if len(task.rows[row].Relevant) > 0 {
			rows = append(rows, row)
			a, b = append(a, ndcg(contenders[0], row, 10)), append(b, ndcg(contenders[2], row, 10))
		}
	}
	var meanA, meanB float64
	for i := range a {
		meanA += a[i] / float64(len(a))
		meanB += b[i] / float64(len(a))
	}
	var differences []float64
	sumA, sumB, sumW := make([]float64, 400), make([]float64, 400), make([]float64, 400)
	w := make([]float64, 400)
	for i, row := range rows {
		weights(w, task.Seed, bucket(task.Seed, task.rows[row].Key))
		for r := range w {
			sumA[r] += w[r] * a[i]
			sumB[r] += w[r] * b[i]
			sumW[r] += w[r]
		}
	}
	for r := range w {
		differences = append(differences, sumA[r]/sumW[r]-sumB[r]/sumW[r])
	}
	low, high, _ := interval(differences)
	c := q.Comparison("ndcg@10", All, Popular)
	for _, pair := range [][2]float64{{*q.Contender(Candidate).Estimate("ndcg@10", All).Value, meanA}, {*c.Difference, meanA - meanB}, {*c.Low, low}, {*c.High, high}} {
		if math.Abs(pair[0]-pair[1]) > 1e-12 {
			t.Errorf("got %v, the oracle has %v", pair[0], pair[1])
		}
	}
	if *c.Low <= 0 {
		t.Errorf("the planted taste is not told from popularity: %v to %v", *c.Low, *c.High)
	}
}

// TestEvaluateIsDeterministic: the same JSON at any GOMAXPROCS.
func TestEvaluateIsDeterministic(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var first []byte
	for _, procs := range []int{1, 2, 3, 8} {
		runtime.GOMAXPROCS(procs)
		q, err := Evaluate(context.Background(), rich(invented(1100, 40, 9)).task(), inventedContenders(40))
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = body
		} else if !bytes.Equal(first, body) {
			t.Errorf("GOMAXPROCS %d gives other figures than 1", procs)
		}
	}
}

// TestEvaluateIgnoresOrderOfSubjects: no figure and no interval depends on which subject stands where, but for rounding: a subject keeps its weights.
func TestEvaluateIgnoresOrderOfSubjects(t *testing.T) {
	task := invented(300, 40, 3)
	a, err := Evaluate(context.Background(), task.task(), inventedContenders(40))
	if err != nil {
		t.Fatal(err)
	}
	perm := rand.New(rand.NewPCG(4, 4)).Perm(300)
	other := fixture{Task: task.Task}
	other.Cohorts = []Cohort{{Name: "region", Levels: task.Cohorts[0].Levels}}
	for _, p := range perm {
		other.rows = append(other.rows, task.rows[p])
		other.Cohorts[0].Of = append(other.Cohorts[0].Of, task.Cohorts[0].Of[p])
	}
	b, err := Evaluate(context.Background(), other.task(), inventedContenders(40))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range a.Contenders {
		for j, e := range c.Estimates {
			o := b.Contenders[i].Estimates[j]
			for _, pair := range [][2]*float64{{e.Value, o.Value}, {e.Low, o.Low}, {e.StandardError, o.StandardError}} {
				if (pair[0] == nil) != (pair[1] == nil) || pair[0] != nil && math.Abs(*pair[0]-*pair[1]) > 1e-12 {
					t.Errorf("%s %s on %s: %+v, permuted %+v", c.Name, e.Metric, e.Split, e, o)
				}
			}
		}
	}
	for j, f := range a.Cohorts[0].Figures {
		for g, row := range f.ByGroup {
			if o := b.Cohorts[0].Figures[j].ByGroup[g]; row.Value != nil && math.Abs(*row.Value-*o.Value) > 1e-12 {
				t.Errorf("%s %s: %v, permuted %v", f.Metric, row.Level, *row.Value, *o.Value)
			}
		}
	}
}

func TestEvaluateRefusesBadInput(t *testing.T) {
	good := func() (*fixture, []Contender) { return invented(40, 20, 1), inventedContenders(20) }
	tests := []struct {
		name  string
		spoil func(*fixture, *[]Contender)
		want  string
		is    error
	}{
		{"no subjects", func(t *fixture, _ *[]Contender) { t.rows = nil }, "no subject has an event in the test window", ErrEmptyTask},
		{"no items", func(t *fixture, _ *[]Contender) { t.Catalog = &models.Catalog{} }, "catalog has no items", ErrEmptyTask},
		{"no relevant item", func(t *fixture, _ *[]Contender) {
			for i := range t.rows {
				t.rows[i].Relevant = nil
			}
		}, "none of the 40 subjects", ErrEmptyTask},
		{"NaN", func(_ *fixture, c *[]Contender) {
			(*c)[0].Scorer = scorerFunc(func(_ *models.Query, i int) float32 { return float32(math.NaN()) })
		}, "rank with home", nil},
		{"rows missing", func(t *fixture, _ *[]Contender) { t.Cohorts[0].Of = t.Cohorts[0].Of[:3] }, "levels for 3 rows, want 40", nil},
		{"unsorted", func(t *fixture, _ *[]Contender) { t.rows[1].Relevant = []int32{3, 1} }, "ascending", nil},
		{"beyond the catalog", func(t *fixture, _ *[]Contender) { t.rows[1].Relevant = []int32{20} }, "ascending", nil},
		{"level out of range", func(t *fixture, _ *[]Contender) { t.Cohorts[0].Of[2] = 3 }, "level number 3", nil},
		{"reserved level", func(t *fixture, _ *[]Contender) { t.Cohorts[0].Levels[0] = Missing }, "reserved", nil},
		{"cohort twice", func(t *fixture, _ *[]Contender) { t.Cohorts[1].Name = "region" }, "declared twice", nil},
		{"no lengths", func(t *fixture, _ *[]Contender) { t.K = nil }, "list lengths", nil},
		{"length twice", func(t *fixture, _ *[]Contender) { t.K = []int{5, 5} }, "list lengths", nil},
		{"two candidates", func(_ *fixture, c *[]Contender) { (*c)[1].Role = Candidate }, "2 candidates", nil},
		{"no scorer", func(_ *fixture, c *[]Contender) { (*c)[1].Scorer = nil }, "no scorer", nil},
		{"name twice", func(_ *fixture, c *[]Contender) { (*c)[1].Name = "home" }, "used twice", nil},
	}
	for _, tt := range tests {
		task, contenders := good()
		tt.spoil(task, &contenders)
		_, err := Evaluate(context.Background(), task.task(), contenders)
		if err == nil || !strings.Contains(err.Error(), tt.want) || (tt.is != nil && !errors.Is(err, tt.is)) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	task, contenders := good()
	if _, err := Evaluate(ctx, task.task(), contenders); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error %v", err)
	}
}

// TestEqualScores: lists of equal scores follow the catalog's order and are counted.
func TestEqualScores(t *testing.T) {
	task := invented(50, 20, 2)
	flat := scorerFunc(func(*models.Query, int) float32 { return 1 })
	q, err := Evaluate(context.Background(), task.task(), []Contender{{Name: "flat", Scorer: flat, Role: Candidate}, {Name: Popular, Scorer: descending, Role: Baseline}})
	if err != nil {
		t.Fatal(err)
	}
	if c := q.Contender(Candidate); *c.Tied != q.Evaluated || *q.Contender(Baseline).Tied != 0 {
		t.Errorf("%d tied lists of %d, and %d of the baseline, want all and none", *c.Tied, q.Evaluated, *q.Contender(Baseline).Tied)
	}
	c := q.Comparison("ndcg@5", All, Popular)
	if *c.Difference != 0 || *c.Low != 0 || *c.High != 0 || *c.P != 1 {
		t.Errorf("equal lists differ by %v (%v to %v), p %v", *c.Difference, *c.Low, *c.High, *c.P)
	}
}

// TestMaskedItemsDoNotCount: what a query forbids can't be asked of its list.
func TestMaskedItemsDoNotCount(t *testing.T) {
	task := fixture{Task: Task{Catalog: catalog(4), K: []int{2}}}
	task.add(Subject{Relevant: []int32{0, 1}, Seen: []int32{0}, Query: models.Query{Exclude: []int32{0}}})
	task.add(Subject{Relevant: []int32{0}, Seen: []int32{0}, Query: models.Query{Exclude: []int32{0}}})
	task.add(Subject{Relevant: []int32{2}, Query: models.Query{Candidates: []int32{2, 3}}})
	q, err := Evaluate(context.Background(), task.task(), []Contender{{Name: "c", Scorer: descending, Role: Candidate}})
	if err != nil {
		t.Fatal(err)
	}
	// Subject 0: only item 1 counts, at rank 1. Subject 1: nothing left. Subject 2: item 2 is the first of its candidates.
	if e := q.Contender(Candidate).Estimate("ndcg@2", All); q.Masked != 2 || q.Evaluated != 2 || *e.Value != 1 {
		t.Errorf("%d masked, %d evaluated, ndcg %v; want 2, 2, 1", q.Masked, q.Evaluated, *e.Value)
	}
}

// TestBlend: popularity 3 2 1 0 is scaled to 1, ⅔, ⅓, 0; frequency 0 0 4 1 to 0, 0, 1, ¼. With weights ½ and 1: ½, ⅓, 1⅙, ¼.
func TestBlend(t *testing.T) {
	rows := func(v ...float32) models.Scorer {
		return scorerFunc(func(_ *models.Query, i int) float32 { return v[i] })
	}
	s := Blend(4, Weighted{rows(3, 2, 1, 0), 0.5}, Weighted{rows(0, 0, 4, 1), 1}, Weighted{rows(7, 7, 7, 7), 9})
	got := make([]float32, 8)
	if err := s.Score(context.Background(), make([]models.Query, 2), got); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{1. / 2, 1. / 3, 7. / 6, 1. / 4, 1. / 2, 1. / 3, 7. / 6, 1. / 4} {
		if math.Abs(float64(got[i])-want) > 1e-6 {
			t.Errorf("score %d is %v, want %v", i, got[i], want)
		}
	}
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		var out models.Ranking
		err := models.Rank(context.Background(), Blend(2, Weighted{rows(1, bad), 1}), 2, []models.Query{{K: 1}}, &out)
		if err == nil {
			t.Errorf("a part's score %v went through the blend unseen", bad)
		}
	}
	if err := s.Score(context.Background(), make([]models.Query, 2), got[:3]); err == nil {
		t.Error("a short destination gave no error")
	}
}

func BenchmarkEvaluate6040x3700(b *testing.B) {
	const n, items = 6040, 3700
	r := rand.New(rand.NewPCG(1, 1))
	task := fixture{Task: Task{Catalog: catalog(items), K: []int{10, 50}}}
	for range n {
		rel := []int32{int32(r.IntN(items / 2)), int32(items/2 + r.IntN(items/2))}
		task.add(Subject{Relevant: rel})
	}
	for c := range 12 {
		cohort := Cohort{Name: fmt.Sprint("c", c), Levels: []string{"a", "b", "c", "d"}}
		for range n {
			cohort.Of = append(cohort.Of, int32(r.IntN(5))-1)
		}
		task.Cohorts = append(task.Cohorts, cohort)
	}
	noise := scorerFunc(func(q *models.Query, i int) float32 { return float32(i * 2654435761 % 3701) })
	contenders := []Contender{{Name: "a", Scorer: noise, Role: Candidate}, {Name: "b", Scorer: noise, Role: Live}, {Name: Popular, Scorer: descending, Role: Baseline}, {Name: "d", Scorer: noise, Role: Baseline}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Evaluate(context.Background(), task.task(), contenders); err != nil {
			b.Fatal(err)
		}
	}
}
