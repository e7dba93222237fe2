package lists

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/models"
)

// catalog makes n items whose category is that of levels, in turn; price is the item's number.
func catalog(n int, levels ...string) *models.Catalog {
	c := &models.Catalog{Attrs: &models.Attributes{N: n}}
	cats, brands, prices := make([]string, n), make([]string, n), make([]float64, n)
	for i := range n {
		c.IDs = append(c.IDs, fmt.Sprintf("i%04d", i))
		cats[i], brands[i], prices[i] = levels[i%len(levels)], fmt.Sprintf("b%d", i%7), float64(i)
	}
	c.Attrs.Cats = []models.CatColumn{models.NewCatColumn("brand", brands), models.NewCatColumn("category", cats)}
	c.Attrs.Nums = []models.NumColumn{{Name: "price", Values: prices}}
	return c
}

func bind(t *testing.T, r Rules, c *models.Catalog, o Options) *Stage {
	t.Helper()
	s, err := r.Bind(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ranked are all items as candidates, item i with the i-th of the scores, best first.
func ranked(scores []float64) Candidates {
	order := make([]int32, len(scores))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	c := Candidates{}
	for _, i := range order {
		c.Items, c.Scores = append(c.Items, i), append(c.Scores, float32(scores[i]))
	}
	return c
}

func randomScores(r *rand.Rand, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = r.NormFloat64()
	}
	return out
}

// subsets calls f with each set of k of n numbers.
func subsets(n, k int, f func([]int32)) {
	var set []int32
	var rec func(from int)
	rec = func(from int) {
		if len(set) == k {
			f(set)
			return
		}
		for i := from; i < n; i++ {
			set = append(set, int32(i))
			rec(i + 1)
			set = set[:len(set)-1]
		}
	}
	rec(0)
}

// TestAtMostIsOptimal: with one limit alone no list that keeps it has a larger sum of scores (all sets are tried).
func TestAtMostIsOptimal(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	c := catalog(12, "a", "a", "a", "b", "c")
	s := bind(t, Rules{AtMost: []Limit{{"category", 2}}}, c, Options{K: 5})
	col := c.Attrs.Cat("category")
	for range 50 {
		scores := randomScores(r, 12)
		got := s.Fill(&models.Query{K: 5}, ranked(scores))
		best := math.Inf(-1)
		subsets(12, 5, func(set []int32) {
			n, sum := map[int32]int{}, 0.0
			for _, i := range set {
				if n[col.Values[i]]++; n[col.Values[i]] > 2 {
					return
				}
				sum += scores[i]
			}
			best = max(best, sum)
		})
		sum := 0.0
		for _, i := range got.Items {
			sum += scores[i]
		}
		if len(got.Items) != 5 || math.Abs(sum-best) > 1e-6 {
			t.Fatalf("list %v adds up to %v, the best to %v", got.Items, sum, best)
		}
	}
}

// objective is what Steck's rule maximizes over a page of k: (1−v)·Σŝ + v·k·[C(S) − C(∅)].
func objective(set []int32, unit []float64, levels []int32, p []float64, k int, v float64) float64 {
	q, sum := make([]float64, len(p)), 0.0
	for _, i := range set {
		sum += unit[i]
		q[levels[i]] += 1 / float64(k)
	}
	cal := 0.0
	for g := range p {
		if p[g] > 0 {
			cal += p[g] * (math.Log(.99*q[g]+.01*p[g]) - math.Log(.01*p[g]))
		}
	}
	return (1-v)*sum + v*float64(k)*cal
}

// TestCalibrationIsNearTheBest: the page reaches 1 − 1/e of the best objective of any set, and in practice nearly all of it; and its spread is
// nearer to the history's than that of the scores alone.
func TestCalibrationIsNearTheBest(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	c := catalog(12, "a", "a", "b", "c")
	col := c.Attrs.Cat("category")
	const k, v = 4, 0.5
	s := bind(t, Rules{Calibrate: &Calibrate{"category", v}}, c, Options{K: k})
	q := models.Query{K: k, History: models.History{Item: []int32{0, 2, 3}, Time: []int64{1, 2, 3}, Kind: make([]uint8, 3), Weight: []float32{1, 2, 1}}}
	p := []float64{.25, .5, .25}
	worst := 1.0
	for range 50 {
		scores := randomScores(r, 12)
		cand := ranked(scores)
		lo, hi := float64(cand.Scores[11]), float64(cand.Scores[0])
		unit := make([]float64, 12)
		for i, item := range cand.Items {
			unit[item] = (float64(cand.Scores[i]) - lo) / (hi - lo)
		}
		got := objective(s.Fill(&q, cand).Items, unit, col.Values, p, k, v)
		best := 0.0
		subsets(12, k, func(set []int32) { best = max(best, objective(set, unit, col.Values, p, k, v)) })
		worst = min(worst, got/best)
	}
	if worst < 1-1/math.E {
		t.Fatalf("a page reaches %.3f of the best objective, must reach 1 − 1/e", worst)
	}
	if worst < 0.97 {
		t.Errorf("a page reaches only %.3f of the best objective", worst)
	}
	// Nobody without a history is calibrated.
	cand := ranked(randomScores(r, 12))
	if got := s.Fill(&models.Query{K: k}, cand).Items; !slices.Equal(got, cand.Items[:k]) {
		t.Errorf("without a history the list is %v, want %v", got, cand.Items[:k])
	}
}

// TestMarginalRelevance: the list is that of the definition of Carbonell & Goldstein, written down anew.
func TestMarginalRelevance(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	c := catalog(40, "a", "b", "b", "c")
	for name, by := range map[string][]string{"one": {"category"}, "two": {"brand", "category"}, "vectors": {Vectors}} {
		vectors := make([][]float32, 40)
		for i := range vectors {
			vectors[i] = []float32{float32(r.NormFloat64()), float32(r.NormFloat64()), float32(r.NormFloat64())}
		}
		vectors[7] = nil
		s := bind(t, Rules{Diversity: &Diversity{by, 0.4}}, c, Options{K: 8, Vectors: func(i int32) []float32 { return vectors[i] }})
		for range 20 {
			cand := ranked(randomScores(r, 40))
			got := s.Fill(&models.Query{K: 16}, cand)
			var want []int32
			for len(want) < 16 {
				page := want[len(want)/8*8:]
				best, most := int32(-1), math.Inf(-1)
				for i, item := range cand.Items {
					if slices.Contains(want, item) {
						continue
					}
					near := 0.0
					for _, j := range page {
						near = max(near, s.Similarity(item, j))
					}
					unit := (float64(cand.Scores[i]) - float64(cand.Scores[39])) / (float64(cand.Scores[0]) - float64(cand.Scores[39]))
					if g := (1-0.4)*unit - 0.4*near; g > most {
						best, most = item, g
					}
				}
				want = append(want, best)
			}
			if !slices.Equal(got.Items, want) {
				t.Fatalf("%s: list %v, the definition gives %v", name, got.Items, want)
			}
		}
	}
	s := bind(t, Rules{Diversity: &Diversity{[]string{"brand", "category"}, 0.4}}, c, Options{K: 8})
	if got := s.Similarity(0, 28); got != 1 { // 28 = 4·7: both agree
		t.Errorf("items of one brand and category are alike by %v", got)
	}
	if got := s.Similarity(0, 7); got != 0.5 {
		t.Errorf("items of one brand are alike by %v, want half", got)
	}
}

// TestEveryPrefixKeepsTheRules: whatever the objectives, caps hold in every page and floors in every prefix of it.
func TestEveryPrefixKeepsTheRules(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		n := 30 + r.IntN(200)
		c := catalog(n, "a", "a", "b", "c", "d", "e")
		k := 1 + r.IntN(12)
		first := make([]int64, n)
		for i := range first {
			first[i] = math.MaxInt64
			if i%3 == 0 {
				first[i] = 95
			}
		}
		rules := Rules{
			AtMost:    []Limit{{"brand", 3}, {"category", 1 + r.IntN(4)}},
			Diversity: &Diversity{[]string{"brand"}, 0.1 + 0.4*r.Float64()},
			Calibrate: &Calibrate{"category", 0.1 + 0.3*r.Float64()},
			Fresh:     &Fresh{Age: 10 * time.Microsecond, Share: 0.3 * (1 - r.Float64())},
		}
		s := bind(t, rules, c, Options{K: k, At: 100, First: first})
		q := models.Query{K: 3 * k, Draw: r.Uint64(), History: models.History{Item: []int32{1, 4}, Weight: []float32{1, 3}}}
		cand := ranked(randomScores(r, n))
		got := s.Fill(&q, cand)
		seen := map[int32]bool{}
		for from := 0; from < len(got.Items); from += k {
			page := got.Items[from:min(from+k, len(got.Items))]
			used, fresh := map[string]int{}, 0
			for i, item := range page {
				if seen[item] {
					t.Fatalf("item %d stands twice in %v", item, got.Items)
				}
				seen[item] = true
				for _, l := range rules.AtMost {
					key := l.Column + c.Attrs.Cat(l.Column).Level(int(item))
					if used[key]++; used[key] > l.Most {
						t.Fatalf("%d items of %s in a page, at most %d may be", used[key], key, l.Most)
					}
				}
				if s.IsFresh(item) {
					fresh++
				}
				if want := s.owed(&s.floors[0], q.Draw) * (i + 1) / k; fresh < want {
					t.Fatalf("%d new items in the first %d places of a page, want %d", fresh, i+1, want)
				}
			}
		}
		for j := range got.Items {
			if moved := got.Before[j] != int32(j+1); moved != (got.By[j] != 0) {
				t.Fatalf("place %d was %d, and the rules that moved it are %v", j+1, got.Before[j], got.By[j].Names())
			}
		}
	}
}

// TestFloor: items of a group have their share of every prefix of a page, whatever their scores, and of all candidates that the catalog has.
func TestFloor(t *testing.T) {
	c := catalog(60, "a", "a", "a", "a", "b") // every fifth item is of b
	rules := Rules{AtLeast: []Floor{{Column: "category", In: []string{"b", "gone"}, Share: 0.25}}}
	s := bind(t, rules, c, Options{K: 8})
	scorer := byPosition{} // of b, item 4 is the best, and it has the place 5
	q := []models.Query{{K: 8, Draw: 1}, {K: 16, Draw: 2, Exclude: []int32{4}}, {K: 8, Candidates: []int32{0, 1, 2, 3, 5, 6, 7, 8}}}
	var out Lists
	if err := s.Rank(t.Context(), scorer, q, &out); err != nil {
		t.Fatal(err)
	}
	// 2 of 8 places: the 4th and the 8th at the latest.
	for i, want := range [][]int32{{0, 1, 2, 4, 3, 5, 6, 9}, {0, 1, 2, 9, 3, 5, 6, 14, 7, 8, 10, 19, 11, 12, 13, 24}, {0, 1, 2, 3, 5, 6, 7, 8}} {
		if got, _ := out.Query(i); !slices.Equal(got, want) {
			t.Errorf("list %d is %v, want %v", i, got, want)
		}
	}
	if got := out.By[3].Names(); !slices.Equal(got, []string{"at_least"}) || out.Before[3] != 5 {
		t.Errorf("item 4 was moved by %v from place %d", got, out.Before[3])
	}
	// An item that is no candidate has no place that scores gave it.
	if last := out.Before[7]; last != 10 {
		t.Errorf("item 9 stood at place %d", last)
	}
	says, idle, err := s.Says(c)
	if err != nil || len(idle) != 0 || !slices.Equal(says, []string{"25 % of the places for items whose category is b or gone"}) {
		t.Errorf("%q, %q, %v", says, idle, err)
	}
	rules.AtLeast[0].In = []string{"gone"}
	if _, idle, err = bind(t, rules, c, Options{K: 8}).Says(c); err != nil || len(idle) != 1 {
		t.Errorf("a floor for nobody is not told: %q, %v", idle, err)
	}
	for problem, bad := range map[string]Rules{
		"names no level":            {AtLeast: []Floor{{Column: "category", Share: 0.1}}},
		"must be above 0":           {AtLeast: []Floor{{Column: "category", In: []string{"b"}}}},
		"times the places":          {AtLeast: []Floor{{"category", []string{"b"}, 0.6}, {"category", []string{"a"}, 0.5}}},
		"1.2 times the places":      {AtLeast: []Floor{{"category", []string{"b"}, 0.7}}, Fresh: &Fresh{Age: time.Hour, Share: 0.5}},
		"at_least.category.share: ": {AtLeast: []Floor{{"category", []string{"b"}, 1.1}}},
	} {
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: %v", problem, err)
		}
	}
}

// byPosition scores items the better the earlier they stand in the catalog.
type byPosition struct{}

func (byPosition) Score(_ context.Context, q []models.Query, dst []float32) error {
	n := len(dst) / len(q)
	for i := range dst {
		dst[i] = -float32(i % n)
	}
	return nil
}

// TestARuleSaysWhatItDid: places before and after, and which rule.
func TestARuleSaysWhatItDid(t *testing.T) {
	c := catalog(6, "a", "a", "a", "b", "b", "c")
	cand := ranked([]float64{6, 5, 4, 3, 2, 1})
	l := bind(t, Rules{AtMost: []Limit{{"category", 2}}}, c, Options{K: 4}).Fill(&models.Query{K: 4}, cand)
	want := List{Items: []int32{0, 1, 3, 4}, Scores: []float32{6, 5, 3, 2}, Before: []int32{1, 2, 4, 5}, By: []Rule{0, 0, AtMost, AtMost}}
	if !reflect.DeepEqual(l, want) {
		t.Errorf("got %+v, want %+v", l, want)
	}
	// ŝ = 1, .8, .6, .4, .2, 0. After item 0, items 1 and 2 are worth .5·.8 − .5 and less, item 3 .2.
	l = bind(t, Rules{Diversity: &Diversity{[]string{"category"}, 0.5}}, c, Options{K: 4}).Fill(&models.Query{K: 4}, cand)
	want = List{Items: []int32{0, 3, 5, 1}, Scores: []float32{6, 3, 1, 5}, Before: []int32{1, 4, 6, 2}, By: []Rule{0, Diverse, Diverse, Diverse}}
	if !reflect.DeepEqual(l, want) {
		t.Errorf("got %+v, want %+v", l, want)
	}
	if got := (Diverse | AtMost).Names(); !slices.Equal(got, []string{"at_most", "diversity"}) {
		t.Errorf("names %v", got)
	}
	// Where no candidate may stand, the list ends.
	if l = bind(t, Rules{AtMost: []Limit{{"category", 1}}}, c, Options{K: 4}).Fill(&models.Query{K: 8}, cand); !slices.Equal(l.Items, []int32{0, 3, 5}) {
		t.Errorf("a page that cannot be filled is %v, want one item of each category, and no page after it", l.Items)
	}
	empty := bind(t, Rules{AtMost: []Limit{{"category", 1}}}, c, Options{K: 4})
	if l = empty.Fill(&models.Query{K: 4}, Candidates{}); len(l.Items) != 0 {
		t.Errorf("no candidates make the list %v", l.Items)
	}
}

// scorer scores item i of query q with a number that its history and draw do not change.
type scorer func(q *models.Query, item int) float32

func (s scorer) Score(_ context.Context, q []models.Query, dst []float32) error {
	n := len(dst) / len(q)
	for i := range q {
		for j := range n {
			dst[i*n+j] = s(&q[i], j)
		}
	}
	return nil
}

// TestNewItemsAreShownFairly: the places of new items are share·K on average, spread over subjects by draw and not by order, and over the new
// items, although the model scores all of them alike.
func TestNewItemsAreShownFairly(t *testing.T) {
	const n, people, k, share = 400, 2000, 5, 0.1
	c := catalog(n, "a", "b")
	first := make([]int64, n)
	for i := range first {
		if first[i] = 1; i >= 300 {
			first[i] = 95
		}
	}
	s := bind(t, Rules{Fresh: &Fresh{Age: 10 * time.Microsecond, Share: share}}, c, Options{K: k, At: 100, First: first})
	if len(s.fresh) != 100 {
		t.Fatalf("%d new items, want 100", len(s.fresh))
	}
	queries := make([]models.Query, people)
	for i := range queries {
		queries[i] = models.Query{K: k, Draw: uint64(i)}
	}
	m := scorer(func(_ *models.Query, item int) float32 {
		if item >= 300 {
			return -1
		}
		return float32(300 - item)
	})
	var lists Lists
	if err := s.Rank(t.Context(), m, queries, &lists); err != nil {
		t.Fatal(err)
	}
	places, shown := 0, map[int32]int{}
	for q := range queries {
		items, _ := lists.Query(q)
		if len(items) != k {
			t.Fatalf("a list of %d", len(items))
		}
		for j, item := range items {
			if s.IsFresh(item) {
				places++
				shown[item]++
				if at := lists.Off[q] + j; lists.By[at] != Freshness || lists.Before[at] != 0 {
					t.Fatalf("a new item was %d before, moved by %v", lists.Before[at], lists.By[at].Names())
				}
			}
		}
	}
	// Half of the lists hold one: 1000 ± 4·√(2000/4) ≈ 89.
	if mean := float64(people) * k * share; math.Abs(float64(places)-mean) > 90 {
		t.Errorf("new items got %d places, want about %v", places, mean)
	}
	least, most := people, 0
	for i := int32(300); i < n; i++ {
		least, most = min(least, shown[i]), max(most, shown[i])
	}
	if least < 1 || most > 30 { // 10 on average
		t.Errorf("a new item was shown %d to %d times, 10 on average", least, most)
	}
	old := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(old)
	var again Lists
	if err := s.Rank(t.Context(), m, queries, &again); err != nil || !reflect.DeepEqual(lists, again) {
		t.Errorf("on one core the lists are others: %v", err)
	}
}

// TestRankLeavesOutWhatIsExcluded: in no list, also beside what a query excludes itself, and the candidates are as many as before.
func TestRankLeavesOutWhatIsExcluded(t *testing.T) {
	c := catalog(100, "a", "b", "c", "d")
	c.Attrs.Nums[0].Values[4] = math.NaN()
	most := 50.0
	rules := Rules{Exclude: []Exclusion{{{Column: "category", In: []string{"b"}}}, {{Column: "price", Max: &most, Not: true}}, {{Column: "brand", In: []string{"b0"}}, {Column: "price", Max: &most}}}}
	s := bind(t, rules, c, Options{K: 5})
	out := func(i int) bool { return i%4 == 1 || i > 50 || i%7 == 0 && i <= 50 }
	for i := range 100 {
		if got := slices.Contains(s.Excluded(), int32(i)); got != out(i) {
			t.Fatalf("item %d excluded: %v", i, got)
		}
	}
	q := []models.Query{{K: 100, Exclude: []int32{2, 3}}, {K: 3}, {}}
	var l Lists
	if err := s.Rank(t.Context(), scorer(func(_ *models.Query, item int) float32 { return float32(-item) }), q, &l); err != nil {
		t.Fatal(err)
	}
	items, _ := l.Query(0)
	for i := range int32(100) {
		if want := !out(int(i)) && i != 2 && i != 3; slices.Contains(items, i) != want {
			t.Errorf("item %d stands in the list: %v", i, !want)
		}
	}
	if items, _ = l.Query(1); !slices.Equal(items, []int32{2, 3, 4}) {
		t.Errorf("list %v", items)
	}
	if items, _ = l.Query(2); len(items) != 0 {
		t.Errorf("a query for nothing got %v", items)
	}
	if !slices.Equal(q[0].Exclude, []int32{2, 3}) {
		t.Error("the query was changed")
	}
}

// TestSince: an attribute may say since when there is an item.
func TestSince(t *testing.T) {
	at := time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	c := &models.Catalog{IDs: []string{"a", "b", "c", "d"}, Attrs: &models.Attributes{N: 4, Cats: []models.CatColumn{models.NewCatColumn("listed", []string{"2026-03-01", "2025-03-01", "2026-03-09T12:00:00Z", ""})}}}
	s := bind(t, Rules{Fresh: &Fresh{Age: 14 * 24 * time.Hour, Share: 0.5, Since: "listed"}}, c, Options{K: 2, At: at.UnixMicro()})
	if !slices.Equal(s.fresh, []int32{0, 2}) {
		t.Errorf("new items %v, want the first and the third", s.fresh)
	}
	c.Attrs.Cats[0].Levels[0] = "yesterday"
	if _, err := s.rules.Bind(c, Options{K: 2, At: at.UnixMicro()}); err == nil || !strings.Contains(err.Error(), "no time") {
		t.Errorf("a time that is none: %v", err)
	}
}

// TestIdle: rules that change no list do not say that they do.
func TestIdle(t *testing.T) {
	c := &models.Catalog{IDs: []string{"a", "b"}, Attrs: &models.Attributes{N: 2, Cats: []models.CatColumn{models.NewCatColumn("category", []string{"x", "y"}), models.NewCatColumn("brnd", []string{"", ""})}}}
	s := bind(t, Rules{Exclude: []Exclusion{{{Column: "category", In: []string{"z"}}}, {{Column: "category", In: []string{"x"}}}}, AtMost: []Limit{{"brnd", 1}, {"category", 2}}}, c, Options{K: 2})
	says, idle, err := s.Says(c)
	want := []string{"no item whose category is z (excluded 0 items)", "no item whose category is x", "no limit by brnd (no item has one)", "at most 2 of one category in a list"}
	if err != nil || !slices.Equal(says, want) || !slices.Equal(idle, []string{want[0], want[2]}) {
		t.Errorf("says %q, idle %q, %v", says, idle, err)
	}
}

// TestFaults: everything that is wrong is told at once, by its key.
func TestFaults(t *testing.T) {
	two, one := 2.0, 1.0
	r := Rules{
		Exclude:   []Exclusion{{}, {{Column: "price", Min: &two, Max: &one}}, {{Column: "category"}}, {{Column: "price", In: []string{"x"}, Min: &one}}},
		AtMost:    []Limit{{"category", 0}},
		Diversity: &Diversity{[]string{Vectors, "brand"}, 1.5},
		Calibrate: &Calibrate{"", math.NaN()},
		Fresh:     &Fresh{Share: -1},
	}
	err := r.Validate()
	var many interface{ Unwrap() []error }
	if !errors.As(err, &many) {
		t.Fatal(err)
	}
	var keys []string
	for _, e := range many.Unwrap() {
		var f *Fault
		if errors.As(e, &f) {
			keys = append(keys, f.Key)
		}
	}
	want := []string{"exclude[0]", "exclude[1].price", "exclude[2].category", "exclude[3].price", "at_most.category", "diversity.weight", "diversity.by", "calibrate.weight", "calibrate.by", "fresh.age", "fresh.share"}
	if !slices.Equal(keys, want) {
		t.Errorf("faults of %v, want %v", keys, want)
	}
	if err := (&Rules{Diversity: &Diversity{[]string{"a"}, 0.6}, Calibrate: &Calibrate{"a", 0.4}}).Validate(); err == nil {
		t.Error("weights that leave nothing to the score are let pass")
	}
	c := catalog(10, "a")
	for what, r := range map[string]Rules{
		"no attribute \"colour\"": {AtMost: []Limit{{"colour", 1}}},
		"holds numbers":           {AtMost: []Limit{{"price", 1}}},
		"no part of the model":    {Diversity: &Diversity{[]string{Vectors}, 0.1}},
		"that holds numbers":      {Exclude: []Exclusion{{{Column: "category", Max: &one}}}},
		"first events":            {Fresh: &Fresh{Age: 1, Share: 1}},
	} {
		if _, err := r.Bind(c, Options{K: 3}); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if !(&Rules{}).Off() || (&Rules{Fresh: &Fresh{}}).Off() {
		t.Error("Off")
	}
}

// FuzzFill: no candidates make a list that breaks the rules or does not end.
func FuzzFill(f *testing.F) {
	f.Add([]byte{1, 2, 3, 200, 4}, uint8(3), uint64(9))
	f.Fuzz(func(t *testing.T, raw []byte, k uint8, draw uint64) {
		if len(raw) == 0 || len(raw) > 300 || k == 0 {
			return
		}
		scores := make([]float64, len(raw))
		for i, b := range raw {
			scores[i] = float64(b)
		}
		first := make([]int64, len(raw))
		rules := Rules{AtMost: []Limit{{"category", 2}}, Diversity: &Diversity{[]string{"brand"}, 0.3}, Calibrate: &Calibrate{"brand", 0.3}, Fresh: &Fresh{Age: time.Hour, Share: 0.5}}
		c := catalog(len(raw), "a", "b", "c")
		s := bind(t, rules, c, Options{K: int(k), At: 1, First: first})
		l := s.Fill(&models.Query{K: 2 * int(k), Draw: draw, History: models.History{Item: []int32{0}, Weight: []float32{1}}}, ranked(scores))
		if len(l.Items) > 2*int(k) || len(l.Items) != len(l.By) || len(l.Items) != len(l.Scores) {
			t.Fatalf("a list of %d", len(l.Items))
		}
		for i, item := range l.Items {
			if slices.Contains(l.Items[:i], item) {
				t.Fatalf("item %d stands twice", item)
			}
		}
	})
}

func BenchmarkFill(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	c := catalog(2000, "a", "b", "c", "d", "e", "f", "g", "h")
	cand := ranked(randomScores(r, 2000))
	cand.Items, cand.Scores = cand.Items[:200], cand.Scores[:200]
	rules := Rules{AtMost: []Limit{{"category", 3}}, Diversity: &Diversity{[]string{"brand"}, 0.3}, Calibrate: &Calibrate{"category", 0.2}}
	s, err := rules.Bind(c, Options{K: 20})
	if err != nil {
		b.Fatal(err)
	}
	q := models.Query{K: 60, History: models.History{Item: []int32{1, 2, 3}, Weight: []float32{1, 1, 1}}}
	b.Run("k=20,pool=200,rules=3", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Fill(&q, cand)
		}
	})
}

// TestWithinOneLevel: a list of one level of an attribute is not ended by a limit on that attribute; other limits hold, and the stage is not changed.
func TestWithinOneLevel(t *testing.T) {
	c := catalog(280, "a", "b")
	s := bind(t, Rules{AtMost: []Limit{{"category", 3}, {"brand", 2}}}, c, Options{K: 10})
	q := []models.Query{{K: 30}}
	for i := int32(0); i < 280; i += 2 {
		q[0].Candidates = append(q[0].Candidates, i)
	}
	m := scorer(func(_ *models.Query, item int) float32 { return float32(-item) })
	var within, before Lists
	if err := s.Within("category").Rank(t.Context(), m, q, &within); err != nil {
		t.Fatal(err)
	}
	if items, _ := within.Query(0); len(items) != 30 {
		t.Errorf("a list of category a has %d items, and 140 would be left", len(items))
	} else {
		for from := 0; from < 30; from += 10 {
			count := map[int32]int{}
			for _, item := range items[from : from+10] {
				if count[item%7]++; count[item%7] > 2 {
					t.Errorf("page %v has more than 2 of brand b%d", items[from:from+10], item%7)
				}
			}
		}
	}
	if err := s.Rank(t.Context(), m, q, &before); err != nil {
		t.Fatal(err)
	}
	if items, _ := before.Query(0); len(items) != 3 {
		t.Errorf("the stage itself lets %d of a category stand in a page, want 3", len(items))
	}
	if s.Within("price") != s {
		t.Error("a column without a limit makes another stage")
	}
}

// TestNewItemsAmongCandidates: the new items that a list is owed are drawn from those that may stand in it, however many others are new.
func TestNewItemsAmongCandidates(t *testing.T) {
	const n = 2000
	first := make([]int64, n)
	for i := range first {
		if first[i] = 1; i >= 500 {
			first[i] = 95
		}
	}
	s := bind(t, Rules{Fresh: &Fresh{Age: 10 * time.Microsecond, Share: 0.5}}, catalog(n, "a", "b"), Options{K: 4, At: 100, First: first})
	var candidates []int32
	for i := range int32(500) {
		candidates = append(candidates, i)
	}
	q := []models.Query{{K: 4, Candidates: append(candidates, 1998, 1999)}}
	var l Lists
	if err := s.Rank(t.Context(), scorer(func(_ *models.Query, item int) float32 { return float32(-item) }), q, &l); err != nil {
		t.Fatal(err)
	}
	items, _ := l.Query(0)
	if len(items) != 4 || !slices.Contains(items, 1998) || !slices.Contains(items, 1999) {
		t.Errorf("list %v lacks the new items 1998 and 1999 among its candidates, which are owed half of the places", items)
	}
}
