package eval

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
)

func exampleLists() *ListFacts {
	short := 23
	return &ListFacts{
		Rules: []string{"at most 3 of one category in a list", "unlike items by category, with weight 0.3"}, K: 10, N: 812, Excluded: 4, Short: &short,
		Rows: []ListRow{
			{Name: "by the scores alone", NDCG: ptr(0.31), Coverage: ptr(0.5), Diversity: ptr(0.61)},
			{Name: "as served", Declared: true, NDCG: ptr(0.30), Coverage: ptr(0.55), Diversity: ptr(0.69)},
		},
		Curves:   []ListRow{{Name: "diversity 0.5", Rule: "diversity", Weight: 0.5, NDCG: ptr(0.28), Coverage: ptr(0.6), Diversity: ptr(0.75)}},
		Measured: ListColumn{Diversity: "category"},
	}
}

// TestListsAsServed: what is measured of a contender with rules are its lists as served.
func TestListsAsServed(t *testing.T) {
	const items = 40
	task := invented(200, items, 3)
	cats := make([]string, items)
	for i := range cats {
		cats[i] = []string{"a", "b"}[i%2]
	}
	task.Catalog = &models.Catalog{IDs: task.Catalog.IDs, Attrs: &models.Attributes{N: items, Cats: []models.CatColumn{models.NewCatColumn("category", cats)}}}
	none, err := (&lists.Rules{Exclude: []lists.Exclusion{{{Column: "category", In: []string{"a"}}}}}).Bind(task.Catalog, lists.Options{K: 5})
	if err != nil {
		t.Fatal(err)
	}
	q, err := Evaluate(t.Context(), task.task(), []Contender{
		{Name: "served", Scorer: descending, Role: Candidate, Rules: none},
		{Name: "alone", Scorer: descending, Role: Part},
	})
	if err != nil {
		t.Fatal(err)
	}
	k := task.K[0]
	served, alone := q.Contenders[0].Estimate(At(Coverage, k), All), q.Contenders[1].Estimate(At(Coverage, k), All)
	// descending ranks items 0, 1, 2, …; without category a it ranks 1, 3, 5, …: the figures differ as those two lists do.
	if served.Value == nil || alone.Value == nil || *served.Value != float64(k)/items || *alone.Value != float64(k)/items {
		t.Fatalf("coverage %v and %v, want %d items of %d each", served, alone, k, items)
	}
	var want float64
	n := 0
	for i := range task.rows {
		if len(task.rows[i].Relevant) == 0 {
			continue
		}
		n++
		for r := range k {
			if contains(task.rows[i].Relevant, int32(2*r+1)) {
				want++
				break
			}
		}
	}
	if got := q.Contenders[0].Estimate(At(Hit, k), All); math.Abs(*got.Value-want/float64(n)) > 1e-12 {
		t.Errorf("share of lists with a hit %v, want %v", *got.Value, want/float64(n))
	}
}

// TestTradeoff: more weight buys diversity and costs quality, and figures of few people are withheld.
func TestTradeoff(t *testing.T) {
	const items = 60
	task := invented(300, items, 5)
	cats := make([]string, items)
	for i := range cats {
		cats[i] = string(rune('a' + i/10))
	}
	task.Catalog = &models.Catalog{IDs: task.Catalog.IDs, Attrs: &models.Attributes{N: items, Cats: []models.CatColumn{models.NewCatColumn("category", cats)}}}
	rules := lists.Rules{Diversity: &lists.Diversity{By: []string{"category"}, Weight: 0.4}}
	bound := func(r *lists.Rules) *lists.Stage {
		s, err := r.Bind(task.Catalog, lists.Options{K: 10})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	declared, ways := bound(&rules), []ListWay{{Name: "alone"}, {Name: "served", Declared: true, Stage: bound(&rules)}}
	for _, v := range rules.Variants() {
		ways = append(ways, ListWay{Name: v.Rule, Rule: v.Rule, Weight: v.Weight, Declared: v.Weight == 0.4, Stage: bound(&v.Rules)})
	}
	all := task.task()
	rows, n, short, err := Tradeoff(t.Context(), &all, descending, declared, bound(rules.Yardstick()), ways)
	if err != nil || n < 200 || short != 0 {
		t.Fatal(n, short, err)
	}
	if *rows[0].NDCG != *rows[2].NDCG || *rows[0].Diversity != *rows[2].Diversity {
		t.Errorf("weight 0 is not what the scores alone give: %v and %v", rows[2], rows[0])
	}
	last := rows[2]
	for _, r := range rows[3:] {
		if *r.Diversity < *last.Diversity-1e-12 {
			t.Errorf("at weight %v the lists are less diverse (%v) than at %v (%v)", r.Weight, *r.Diversity, last.Weight, *last.Diversity)
		}
		if r.Weight == 0.4 && *r.NDCG != *rows[1].NDCG {
			t.Error("the declared weight is not as served")
		}
		last = r
	}
	if *last.Diversity <= *rows[0].Diversity {
		t.Error("diversity has no effect")
	}
	few := fixture{Task: task.Task, rows: task.rows[:5]}
	five := few.task()
	if rows, n, _, err := Tradeoff(t.Context(), &five, descending, declared, declared, ways); len(rows) != 0 || n != 0 || err != nil {
		t.Errorf("figures of %d people are told: %v %v", n, rows, err)
	}
}

// TestListSection: the report says what the rules are, cost and bring, and nothing of rules where there are none.
func TestListSection(t *testing.T) {
	r := exampleReport(t)
	for _, f := range []*ListFacts{nil, exampleLists()} {
		r.Lists = f
		var page, md bytes.Buffer
		if err := r.WriteHTML(&page); err != nil {
			t.Fatal(err)
		}
		if err := r.WriteMarkdown(&md); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"at most 3 of one category in a list", "0.690", "as served", "diversity 0.5"} {
			if strings.Contains(page.String(), want) != (f != nil) || strings.Contains(md.String(), want) != (f != nil) {
				t.Errorf("with %v: %q", f, want)
			}
		}
		if f != nil && !strings.Contains(page.String(), "23 lists are shorter than 10") {
			t.Error("the page does not say that lists are short")
		}
	}
}
