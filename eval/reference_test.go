package eval

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
)

// The values are those of the reference implementations (testdata/compat.py, make compat).
const exact = 1e-9

// reference reads one case of testdata/reference.json.
func reference(t *testing.T, name string, into any) {
	t.Helper()
	body, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases map[string]json.RawMessage
	if err := json.Unmarshal(body, &cases); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(cases[name], into); err != nil {
		t.Fatalf("case %s: %v", name, err)
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= exact*max(1, math.Abs(want))) {
		t.Errorf("%s is %v, the reference has %v", what, got, want)
	}
}

// listed is a scorer by which query i gets list i: Query.At is its number.
func listed(lists [][]int32) scorerFunc {
	return func(q *models.Query, item int) float32 {
		if r := slices.Index(lists[q.At], int32(item)); r >= 0 {
			return float32(1000 - r)
		}
		return float32(-item)
	}
}

// TestReferenceMetrics: ranx and scikit-learn score the same lists, of one person each and of all.
func TestReferenceMetrics(t *testing.T) {
	var c struct {
		Lists, Relevant [][]int32
		Values          map[string][]float64
	}
	reference(t, "rankings", &c)
	d := newDiscount(20)
	ks := []int{1, 5, 10, 20}
	f := fixture{Task: Task{Catalog: catalog(60), K: ks}}
	compared := 0
	for q, list := range c.Lists {
		hit := make([]bool, len(list))
		for r, item := range list {
			hit[r] = contains(c.Relevant[q], item)
		}
		got := make([]float64, len(ks)*len(hitMetrics))
		d.score(got, hit, len(c.Relevant[q]), ks)
		for i, v := range got {
			name := At(hitMetrics[i%len(hitMetrics)], ks[i/len(hitMetrics)])
			near(t, name+" of list "+strconv.Itoa(q), v, c.Values[name][q])
			compared++
		}
		f.add(Subject{Query: models.Query{At: int64(q)}, Relevant: c.Relevant[q]})
	}
	if compared != 40*4*len(hitMetrics) {
		t.Errorf("%d figures were compared", compared)
	}
	var sk struct{ Values map[string]float64 }
	reference(t, "ndcg", &sk)
	quality, err := Evaluate(t.Context(), f.task(), []Contender{{Name: "c", Scorer: listed(c.Lists), Role: Candidate}})
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range sk.Values {
		near(t, "ndcg@"+k, *quality.Contenders[0].Estimate("ndcg@"+k, All).Value, want)
	}
}

// TestReferenceFairness: Fairlearn's MetricFrame says the same of the same groups, and of the intersection of two attributes.
func TestReferenceFairness(t *testing.T) {
	type frame struct {
		Overall             float64
		ByGroup             map[string]float64 `json:"by_group"`
		Min                 float64            `json:"group_min"`
		Max                 float64            `json:"group_max"`
		Difference, Ratio   float64
		DifferenceToOverall float64 `json:"difference_to_overall"`
	}
	var c struct {
		Gender, Age []string
		Hit         []int
		Values      map[string]frame
	}
	reference(t, "groups", &c)
	f := fixture{Task: Task{Catalog: catalog(3), K: []int{1}, MinN: MinCell}}
	for _, hit := range c.Hit {
		f.add(Subject{Relevant: []int32{int32(1 - hit)}}) // item 0 is the list
	}
	cohort := func(name string, of []string) Cohort {
		col := models.NewCatColumn(name, of)
		return Cohort{Name: name, Levels: col.Levels, Of: col.Values}
	}
	gender, age := cohort("gender", c.Gender), cohort("age", c.Age)
	f.Cohorts = []Cohort{gender, Cross(gender, age)}
	q, err := Evaluate(t.Context(), f.task(), []Contender{{Name: "c", Scorer: descending, Role: Candidate}})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"gender", "both"} {
		want, got := c.Values[name], q.Cohort(f.Cohorts[i].Name, "c", "hit@1")
		near(t, name+" overall", *got.Overall, want.Overall)
		near(t, name+" min", *got.Min, want.Min)
		near(t, name+" max", *got.Max, want.Max)
		near(t, name+" difference", *got.Difference, want.Difference)
		near(t, name+" to overall", *got.DifferenceToOverall, want.DifferenceToOverall)
		near(t, name+" ratio", *got.Ratio, want.Ratio)
		shown := 0
		for _, g := range got.ByGroup {
			if g.Status == Judged {
				near(t, name+" "+g.Level, *g.Value, want.ByGroup[replaceCross(g.Level)])
				shown++
			}
		}
		if shown != len(want.ByGroup) {
			t.Errorf("%s: %d groups are shown, the reference has %d", name, shown, len(want.ByGroup))
		}
	}
}

// replaceCross writes a level of an intersection as the reference does.
func replaceCross(level string) string {
	b := []byte(level)
	for i := range b {
		if b[i] == '+' {
			b[i] = '|'
		}
	}
	return string(b)
}

// TestReferenceLists: what lists are like, by scipy, scikit-learn and the formulas in numpy.
func TestReferenceLists(t *testing.T) {
	var c struct {
		Had                  []int32
		Codes                [][]int
		Lists, Live, History [][]int32
		Values               map[string][]float64
		Gini                 float64
	}
	reference(t, "lists", &c)
	n := len(c.Had)
	text := [2][]string{make([]string, n), make([]string, n)}
	for i, code := range c.Codes {
		for a := range text {
			text[a][i] = strconv.Itoa(code[a])
		}
	}
	f := fixture{Task: Task{Catalog: catalog(n), K: []int{8}}}
	f.Catalog.Attrs = &models.Attributes{N: n, Cats: []models.CatColumn{models.NewCatColumn("a", text[0]), models.NewCatColumn("b", text[1])}}
	stage, err := (&lists.Rules{Diversity: &lists.Diversity{By: []string{"a", "b"}, Weight: 0.1}, Calibrate: &lists.Calibrate{By: "a", Weight: 0.1}}).Bind(f.Catalog, lists.Options{K: 8})
	if err != nil {
		t.Fatal(err)
	}
	f.Items = Items{Had: c.Had, Subjects: 30, Measure: stage}
	for q, h := range c.History {
		history := models.History{Item: h}
		for range h {
			history.Weight, history.Kind, history.Time = append(history.Weight, 1), append(history.Kind, 0), append(history.Time, 0)
		}
		f.add(Subject{Query: models.Query{At: int64(q), History: history}, Relevant: []int32{0}})
	}
	q, err := Evaluate(t.Context(), f.task(), []Contender{{Name: "c", Scorer: listed(c.Lists), Role: Candidate}, {Name: "live", Scorer: listed(c.Live), Role: Live}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range c.Values {
		e := q.Contenders[0].Estimate(At(name, 8), All)
		if e == nil || e.N != len(want) {
			t.Fatalf("%s is %+v, want the mean over %d", name, e, len(want))
		}
		var mean float64
		for _, v := range want {
			mean += v / float64(len(want))
		}
		near(t, name, *e.Value, mean)
	}
	near(t, "gini", *q.Contenders[0].Estimate("gini@8", All).Value, c.Gini)
}

// TestReferenceFunctions: AWRF by scipy, Holm's correction by statsmodels, quantiles by numpy.
func TestReferenceFunctions(t *testing.T) {
	var a struct {
		Pairs  [][2][]float64
		Values []float64
	}
	reference(t, "awrf", &a)
	for i, p := range a.Pairs {
		near(t, "awrf", awrf(p[0], p[1]), a.Values[i])
	}
	var h struct{ P, Values []float64 }
	reference(t, "holm", &h)
	comparisons := make([]Comparison, len(h.P))
	for i := range h.P {
		comparisons[i] = Comparison{Metric: "ndcg@10", Split: All, Role: Baseline, P: &h.P[i]}
	}
	adjust(comparisons)
	for i, c := range comparisons {
		near(t, "adjusted p", *c.PAdjusted, h.Values[i])
	}
	var x struct{ X, Values []float64 }
	reference(t, "quantile", &x)
	slices.Sort(x.X)
	for i, p := range []float64{0.025, 0.5, 0.975} {
		near(t, "quantile", quantile(x.X, p), x.Values[i])
	}
}
