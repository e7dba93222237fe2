package eval

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/table"
)

// readPool reads a pool row by row, as batches may come.
func readPool(t *testing.T, b *table.Batch) *Pool {
	t.Helper()
	p := &Pool{}
	for i := range b.N {
		if err := p.Add(oneRow(b, i)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// oneRow is one row of a batch of PoolSchema.
func oneRow(b *table.Batch, i int) *table.Batch {
	out := &table.Batch{Schema: b.Schema, N: 1, Cols: make([]table.Column, len(b.Cols))}
	for c, col := range b.Cols {
		to := &out.Cols[c]
		switch {
		case col.Str != nil:
			to.Str = col.Str[i : i+1]
		case col.Int != nil:
			to.Int = col.Int[i : i+1]
		default:
			to.Float = col.Float[i : i+1]
		}
		if col.Valid != nil {
			to.Valid = col.Valid[i : i+1]
		}
	}
	return out
}

// TestPoolRefusesRows that are out of order, twice there, or of no cell.
func TestPoolRefusesRows(t *testing.T) {
	p := &Pool{Seed: 7, Cells: []PoolCell{{N: 20, Weight: []float64{19, 21}, Figures: []PoolFigure{
		{Contender: "candidate", Metric: "ndcg@10", N: 20, Sum: 2, Square: 1, Sums: []float64{1.9, 2.1}},
	}}}}
	b := p.Batch() // rows: the cell's two replicates, then the figure's
	for _, tt := range []struct {
		name string
		rows []int
		want string
	}{
		{"whole", []int{0, 1, 2, 3}, ""},
		{"a cell twice", []int{0, 1, 2, 3, 0}, "a cell twice"},
		{"a figure twice", []int{0, 1, 2, 3, 2}, "a figure twice"},
		{"a replicate left out", []int{0, 1, 3}, "out of order"},
		{"a replicate twice", []int{0, 1, 1}, "out of order"},
		{"no cell", []int{2}, "another seed"},
	} {
		got := &Pool{}
		var err error
		for _, i := range tt.rows {
			if err = got.Add(oneRow(b, i)); err != nil {
				break
			}
		}
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	wrong := oneRow(b, 0)
	wrong.Schema = wrong.Schema[1:]
	if err := (&Pool{}).Add(wrong); err == nil {
		t.Error("another schema was read")
	}
	nan := oneRow(b, 0)
	nan.Cols[9].Float = []float64{math.NaN()}
	if err := (&Pool{}).Add(nan); err == nil {
		t.Error("a weight that is no number was read")
	}
}

// TestPoolIsOneEvaluation: two halves of the subjects, evaluated apart and merged, are what one evaluation of all is: value, interval, comparison, groups.
func TestPoolIsOneEvaluation(t *testing.T) {
	all := rich(invented(900, 40, 6))
	of := func(part func(i int) bool) *Quality {
		half := fixture{Task: all.Task}
		half.Cohorts = []Cohort{{Name: "region", Levels: all.Cohorts[0].Levels}}
		for i, r := range all.rows {
			if part(i) {
				half.rows = append(half.rows, r)
				half.Cohorts[0].Of = append(half.Cohorts[0].Of, all.Cohorts[0].Of[i])
			}
		}
		q, err := Evaluate(t.Context(), half.task(), inventedContenders(40))
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	whole := of(func(int) bool { return true })
	pool := of(func(i int) bool { return i%3 == 0 }).Pool
	other := of(func(i int) bool { return i%3 != 0 }).Pool
	kept := readPool(t, other.Batch())
	if !reflect.DeepEqual(kept, other) || kept.Unlike(pool) != "" {
		t.Fatal("a pool differs from itself as a table, or two of one task are not alike")
	}
	if err := pool.Merge(kept); err != nil {
		t.Fatal(err)
	}
	q := pool.Quality(30)
	same := func(what string, got, want *float64) {
		t.Helper()
		if (got == nil) != (want == nil) || got != nil && math.Abs(*got-*want) > 1e-9 {
			t.Errorf("%s: pooled %v, of one evaluation %v", what, got, want)
		}
	}
	for _, metric := range all.Pool {
		got, want := q.Contender(Candidate).Estimate(metric, All), whole.Contender(Candidate).Estimate(metric, All)
		same(metric, got.Value, want.Value)
		same(metric+" low", got.Low, want.Low)
		same(metric+" error", got.StandardError, want.StandardError)
		for _, against := range []string{"live", Popular} {
			theirs := whole.Comparison(metric, All, Popular)
			if against == "live" {
				theirs = whole.Comparison(metric, All, "live v3")
			}
			c := q.Comparison(metric, All, against)
			same(metric+" against "+against, c.Difference, theirs.Difference)
			same(metric+" against "+against+" high", c.High, theirs.High)
			same(metric+" against "+against+" p", c.PAdjusted, theirs.PAdjusted)
		}
		mine, theirs := q.Cohort("region", "candidate", metric), whole.Cohort("region", "home", metric)
		same(metric+" gap", mine.Difference, theirs.Difference)
		same(metric+" gap high", mine.DifferenceHigh, theirs.DifferenceHigh)
		live, apart := q.Cohort("region", "live", metric), whole.Cohort("region", "live v3", metric)
		for g := range live.ByGroup {
			if apart := apart.ByGroup[g].apart; apart == nil || *apart <= 0 {
				t.Errorf("%s: the error of the difference between live and candidate is not known of %s", metric, live.ByGroup[g].Level)
			}
			same(metric+" apart", live.ByGroup[g].apart, apart.ByGroup[g].apart)
		}
	}
}

// TestPoolHoldsNobody: no cell of fewer than MinCell stands in a pool, and nothing of a metric that so few have.
func TestPoolHoldsNobody(t *testing.T) {
	f := fixture{Task: Task{Catalog: catalog(5), K: []int{2}, Pool: []string{"ndcg@2"}, Cohorts: []Cohort{{Name: "g", Levels: []string{"few", "more", "most"}}}}}
	for i := range 100 {
		f.add(Subject{Relevant: []int32{int32(i % 5)}})
		f.Cohorts[0].Of = append(f.Cohorts[0].Of, int32(min(2, (i+20)/25)))
	}
	for i := range f.Cohorts[0].Of[:5] {
		f.Cohorts[0].Of[i] = 0
	}
	for i := 5; i < 30; i++ {
		f.Cohorts[0].Of[i] = 1
	}
	q, err := Evaluate(t.Context(), f.task(), []Contender{{Name: "c", Scorer: descending, Role: Candidate}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range q.Pool.Cells {
		if c.N < MinCell || c.Level == "few" || c.Level == "more" { // "more" would reveal "few"
			t.Errorf("the pool has the cell %s %s of %d", c.Cohort, c.Level, c.N)
		}
	}
	f.rows = f.rows[:MinCell-1]
	f.Cohorts = nil
	if q, err = Evaluate(t.Context(), f.task(), []Contender{{Name: "c", Scorer: descending, Role: Candidate}}); err != nil || q.Pool != nil {
		t.Errorf("%v: a pool of %d people", err, len(f.rows))
	}
}

func TestPoolRefuses(t *testing.T) {
	f := rich(invented(60, 20, 1))
	q, err := Evaluate(t.Context(), f.task(), inventedContenders(20))
	if err != nil {
		t.Fatal(err)
	}
	other := *q.Pool
	other.Seed++
	if err := q.Pool.Merge(&other); err == nil {
		t.Error("replicates of another seed are added")
	}
	for name, spoil := range map[string]func(*Pool){
		"short weights": func(p *Pool) { p.Cells[0].Weight = p.Cells[0].Weight[:3] },
		"short sums":    func(p *Pool) { p.Cells[0].Figures[0].Sums = nil },
		"own weights":   func(p *Pool) { p.Cells[0].Figures[0].Weight = []float64{1} },
		"more than all": func(p *Pool) { p.Cells[0].Figures[0].N = 1 << 20 },
	} {
		bad := Pool{Seed: q.Pool.Seed}
		for _, c := range q.Pool.Cells {
			bad.Cells = append(bad.Cells, c.clone())
		}
		spoil(&bad)
		if err := q.Pool.Merge(&bad); err == nil {
			t.Errorf("%s are merged", name)
		}
	}
	if (&Pool{}).Quality(30) != nil {
		t.Error("an empty pool has figures")
	}
	f.Pool = []string{"coverage@5"}
	if _, err := Evaluate(t.Context(), f.task(), inventedContenders(20)); err == nil {
		t.Error("coverage is pooled")
	}
}

// TestPoolKnowsThatPeopleComeBack: the same subjects on two days count as one draw: the interval of both days together is as wide as that of one.
func TestPoolKnowsThatPeopleComeBack(t *testing.T) {
	f := fixture{Task: Task{Catalog: catalog(5), K: []int{2}, Pool: []string{"ndcg@2"}, Replicates: 400}}
	for i := range 300 {
		f.add(Subject{Relevant: []int32{int32(i % 5)}})
	}
	run := func(shift uint64) *Quality {
		rows := slices.Clone(f.rows)
		for i := range rows {
			rows[i].Key += shift
		}
		q, err := Evaluate(t.Context(), (&fixture{Task: f.Task, rows: rows}).task(), []Contender{{Name: "c", Scorer: scorerFunc(func(_ *models.Query, i int) float32 { return -float32(i) }), Role: Candidate}})
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	width := func(p *Pool) float64 { return *p.Quality(30).Contender(Candidate).Estimates[0].StandardError }
	one := width(run(0).Pool)
	back, other := run(0).Pool, run(0).Pool
	if err := back.Merge(run(0).Pool); err != nil {
		t.Fatal(err)
	}
	if err := other.Merge(run(1 << 40).Pool); err != nil {
		t.Fatal(err)
	}
	if r := width(back) / one; math.Abs(r-1) > 1e-9 {
		t.Errorf("the same people twice: the error is %v of one day's, want the same", r)
	}
	if r := width(other) / one; math.Abs(r-math.Sqrt(0.5)) > 0.1 {
		t.Errorf("other people: the error is %v of one day's, want 0.71", r)
	}
}

// TestPoolCountsPeople: a dozen people who are asked on each of 28 days are a dozen, too few to be judged, and three hundred who are asked once are as many.
func TestPoolCountsPeople(t *testing.T) {
	const replicates = 1000
	d := newDraws(3, replicates)
	for _, tt := range []struct{ people, times int }{{12, 28}, {25, 10}, {40, 28}, {300, 1}, {30, 1}, {5000, 28}} {
		cell := func(cohort, level string) PoolCell {
			c := PoolCell{Cohort: cohort, Level: level, Weight: make([]float64, replicates)}
			f := PoolFigure{Contender: string(Candidate), Metric: "hit@10", Sums: make([]float64, replicates)}
			for i := range tt.people {
				w := d.of(bucket(3, uint64(i)))
				n := float64(tt.times)
				c.N, f.N, f.Sum, f.Square = c.N+tt.times, f.N+tt.times, f.Sum+n*float64(i%2), f.Square+n*float64(i%2)
				axpy(c.Weight, n, w)
				axpy(f.Sums, n*float64(i%2), w)
			}
			c.Figures = []PoolFigure{f}
			return c
		}
		p := &Pool{Seed: 3, Cells: []PoolCell{cell("", ""), cell("region", "a")}}
		q := p.Quality(30)
		g := q.Cohort("region", string(Candidate), "hit@10").ByGroup[0]
		if want := tt.people >= 30; (g.Status == Judged) != want || g.judgedAt(30) != want || *g.N != tt.people*tt.times {
			t.Errorf("%d people, each %d times: %s, %d, known for %d", tt.people, tt.times, g.Status, *g.N, g.people)
		}
		for _, b := range []Budget{{AtLeast: ptr(0.1)}, {AtLeast: ptr(0.1), Cohort: "region"}} {
			b.Metric = "hit@10"
			if r := judgeAll([]Budget{b}, q, nil)[0]; (r.Verdict != NotJudged) != (tt.people >= 30) {
				t.Errorf("%d people, each %d times: %s: %s", tt.people, tt.times, r.Verdict, r.Says)
			}
		}
		if n := q.Contenders[0].Estimates[0].known(); tt.people <= 300 && (float64(n) < 0.95*float64(tt.people) || float64(n) > 1.3*float64(tt.people)) {
			t.Errorf("%d people, each %d times, are taken for %d", tt.people, tt.times, n)
		}
	}
}
