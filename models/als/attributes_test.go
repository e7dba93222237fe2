package als

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
	"github.com/rapport-ml/rapport/models/internal/encode"
)

// described gives the items of d a genre (their group of k), a shelf that means nothing and a price that grows with the group, and its subjects
// a team (theirs).
func described(d *models.Dataset, k int) *models.Dataset {
	n := d.Catalog.Len()
	genre, shelf, price := make([]string, n), make([]string, n), make([]float64, n)
	for i := range n {
		genre[i], shelf[i], price[i] = fmt.Sprintf("genre-%d", i%k), fmt.Sprintf("shelf-%d", i/k%3), float64(10*(i%k)+i/k%2)
	}
	d.Catalog.Attrs = &models.Attributes{
		N: n, Cats: []models.CatColumn{models.NewCatColumn("genre", genre), models.NewCatColumn("shelf", shelf)},
		Nums: []models.NumColumn{{Name: "price", Values: price}},
	}
	team := make([]string, len(d.Events.Subjects))
	for s, number := range d.Events.Subjects {
		team[s] = fmt.Sprintf("team-%d", int(number>>32)%k)
	}
	d.Subjects = &models.Attributes{N: len(team), Cats: []models.CatColumn{models.NewCatColumn("team", team)}}
	return d
}

// withAttributes are hyperparameters of a small model that maps attributes.
func withAttributes() Hyper {
	h := Defaults()
	h.Dim, h.Attributes, h.Regularization, h.Weight = 8, allAttributes, .02, .1
	return h
}

func bindSubjects(t testing.TB, m models.Model, c *models.Catalog, columns ...string) *scorer {
	t.Helper()
	s, err := m.Bind(t.Context(), c, columns)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*scorer)
}

// The refit is the exact minimizer of Σ r‖v − Bᵀg‖² + κ‖B‖², as a dense solve of the normal equations in the test says; and with the rows
// that were passed by, of that plus Σ weight·‖Bᵀg‖² over those of them that have a feature.
func TestRefitIsTheRidgeRegression(t *testing.T) {
	for _, passed := range []float64{0, .4} {
		t.Run(fmt.Sprint("passed by ", passed), func(t *testing.T) { refitIsTheRidgeRegression(t, passed) })
	}
}

func refitIsTheRidgeRegression(t *testing.T, passed float64) {
	const n, d, ridgeRows = 40, 5, 3
	r := rand.New(rand.NewPCG(1, 9))
	a := &models.Attributes{N: n}
	var one, two []string
	for range n {
		one, two = append(one, []string{"a", "b", "c", "d", ""}[r.IntN(5)]), append(two, []string{"x", "y", ""}[r.IntN(3)])
	}
	a.Cats = []models.CatColumn{models.NewCatColumn("one", one), models.NewCatColumn("two", two)}
	var at []int32 // the rows that take part: not all, and not from the first on
	for i := int32(3); i < n; i += 2 {
		at = append(at, i)
	}
	sp := encode.New(a, encode.Options{Rows: at})
	rows := sp.Rows(a, n)
	reg, vectors, centres := make([]float64, len(at)), make([]float32, len(at)*d), make([]float32, len(at)*d)
	var mean float64
	for i := range reg {
		reg[i] = .1 + r.Float64()
		mean += reg[i] / float64(len(at))
	}
	for i := range vectors {
		vectors[i] = float32(r.NormFloat64())
	}
	m := &attributeMap{space: sp, d: d, b: make([]float32, (1+sp.Len())*d)}
	fit := newRidge(m, rows, at, reg, ridgeRows)
	if passed > 0 {
		var others []int32
		for i := range int32(n) {
			if !slices.Contains(at, i) {
				others = append(others, i)
			}
		}
		fit.passedBy(others, passed)
	}
	fit.factor()
	penalty, err := fit.refit(centres, vectors, reg)
	if err != nil {
		t.Fatal(err)
	}
	f, all, weight := 1+sp.Len(), slices.Clone(at), slices.Clone(reg)
	for i := range int32(n) {
		if fs, _ := rows.Row(i); passed > 0 && len(fs) > 0 && !slices.Contains(at, i) {
			all, weight, vectors = append(all, i), append(weight, passed), append(vectors, make([]float32, d)...)
		}
	}
	if passed > 0 && len(all) == len(at) {
		t.Fatal("no row was passed by")
	}
	g := func(i int) []float64 {
		out := make([]float64, f)
		out[0] = 1
		fs, xs := rows.Row(all[i])
		for k := range fs {
			out[1+fs[k]] = float64(xs[k])
		}
		return out
	}
	var norm, away float64
	for dim := range d {
		normal, right := make([][]float64, f), make([]float64, f)
		for x := range normal {
			normal[x] = make([]float64, f)
			normal[x][x] = ridgeRows * mean
			for i := range all {
				right[x] += weight[i] * g(i)[x] * float64(vectors[i*d+dim])
				for y := range normal {
					normal[x][y] += weight[i] * g(i)[x] * g(i)[y]
				}
			}
		}
		gaussJordan(normal, right)
		for x, want := range right {
			if got := float64(m.b[x*d+dim]); math.Abs(got-want) > 1e-6 {
				t.Errorf("feature %d, dimension %d: %g, want %g", x, dim, got, want)
			}
			norm += right[x] * right[x]
		}
		for i := len(at); i < len(all); i++ {
			away += passed * dot(g(i), right) * dot(g(i), right)
		}
		for i := range at {
			if want := dot(g(i), right); math.Abs(float64(centres[i*d+dim])-want) > 1e-5 {
				t.Errorf("centre %d, dimension %d: %g, want %g", i, dim, centres[i*d+dim], want)
			}
		}
	}
	if want := ridgeRows*mean*norm + away; math.Abs(penalty-want) > 1e-6*want {
		t.Errorf("penalty %g, want %g", penalty, want)
	}
}

// Refits are exact minimizers of what training minimizes, so the objective falls with them as well as without.
func TestObjectiveNeverRisesWithAttributes(t *testing.T) {
	d := described(dataset(90, groups(rand.New(rand.NewPCG(1, 2)), 150, 90, 6, 25)), 6)
	for _, change := range []func(*Hyper){
		func(*Hyper) {}, func(h *Hyper) { h.Attributes = biasAttributes }, func(h *Hyper) { h.Regularization, h.Ridge = 2, .01 },
		func(h *Hyper) { h.Solver = "cg" }, func(h *Hyper) { h.Solver = "blocks" },
	} {
		h := withAttributes()
		h.Epochs = 25
		change(&h)
		objective := train(t, d, h, 200*day).record.Objective
		for k := 1; k < len(objective); k++ {
			if objective[k] > objective[k-1]*(1+1e-6) {
				t.Errorf("%+v: objective rose from %.9g to %.9g at epoch %d", h, objective[k-1], objective[k], k+1)
			}
		}
	}
}

// New items and new subjects are told apart by their attributes alone, each by its own and both at once.
func TestNewItemForNewSubject(t *testing.T) {
	const n, k = 60, 3
	d := described(dataset(n, groups(rand.New(rand.NewPCG(8, 2)), 120, n, k, 15)), k)
	m := train(t, d, withAttributes(), 200*day)
	fresh := &models.Catalog{IDs: []string{"new-0", "new-1", "new-2", "odd", "zero"}, Attrs: &models.Attributes{N: 5, Cats: []models.CatColumn{
		models.NewCatColumn("genre", []string{"genre-0", "genre-1", "genre-2", "never seen", ""}),
	}}}
	s := bindSubjects(t, m, fresh, "hair", "team")
	row := make([]float32, 5)
	for g := range k {
		if err := s.Score(t.Context(), []models.Query{{Subject: []string{"red", fmt.Sprintf("team-%d", g)}}}, row); err != nil {
			t.Fatal(err)
		}
		for other := range k {
			if other != g && row[g] <= row[other] {
				t.Errorf("team %d: its genre scores %g, genre %d %g", g, row[g], other, row[other])
			}
		}
		if row[3] != 0 || row[4] != 0 || s.ItemVector(3) != nil {
			t.Errorf("items of which nothing is known score %g and %g", row[3], row[4])
		}
	}
	// A cart of a new item says what the visitor likes.
	s = bindSubjects(t, m, &models.Catalog{IDs: append(slices.Clone(d.Catalog.IDs), "new"), Attrs: &models.Attributes{N: n + 1, Cats: []models.CatColumn{
		models.NewCatColumn("genre", append(levelsOf(&d.Catalog.Attrs.Cats[0]), "genre-1")),
	}}})
	all := make([]float32, n+1)
	if err := s.Score(t.Context(), []models.Query{query(100, n)}, all); err != nil {
		t.Fatal(err)
	}
	var own, others float64
	for i, v := range all[:n] {
		if i%k == 1 {
			own += float64(v)
		} else {
			others += float64(v) / 2
		}
	}
	if own <= others {
		t.Errorf("a new item of genre 1 in the cart: that genre scores %g, the others %g", own, others)
	}
}

func levelsOf(c *models.CatColumn) []string {
	var out []string
	for i := range c.Values {
		out = append(out, c.Level(i))
	}
	return out
}

// A level of fewer subjects than MinSubjects has no row in the artifact, nor its name; nor has one of a single item.
func TestRareLevelsAreNotInTheArtifact(t *testing.T) {
	d := described(dataset(40, groups(rand.New(rand.NewPCG(8, 2)), 60, 40, 2, 15)), 2)
	team := levelsOf(&d.Subjects.Cats[0])
	for s := range 10 {
		team[s] = "rare-team"
	}
	genre := levelsOf(&d.Catalog.Attrs.Cats[0])
	genre[7] = "rare-genre"
	d.Subjects.Cats[0], d.Catalog.Attrs.Cats[0] = models.NewCatColumn("team", team), models.NewCatColumn("genre", genre)
	h := withAttributes()
	holds := func(what string) bool {
		files, _ := encoded(t, train(t, d, h, 200*day))
		return bytes.Contains(files[artifact.ManifestName], []byte(what))
	}
	if holds("rare-") {
		t.Error("the artifact names a team of ten subjects, or a genre of one item")
	}
	if !holds("team-1") || !holds("genre-1") {
		t.Error("the artifact names no level at all")
	}
	if h.MinSubjects = 10; !holds("rare-team") {
		t.Error("with min_subjects 10 a team of ten is left out")
	}
}

func TestAttributesOff(t *testing.T) {
	plain := groups(rand.New(rand.NewPCG(8, 2)), 60, 40, 2, 15)
	bare, full := dataset(40, plain), described(dataset(40, plain), 2)
	h := withAttributes()
	h.Attributes = noAttributes
	_, want := encoded(t, train(t, bare, h, 200*day))
	for _, c := range []struct {
		asked string
		d     *models.Dataset
		same  bool
	}{{"", bare, true}, {"", full, false}, {"false", full, true}, {"auto", bare, true}, {"auto", full, false}, {"cold", bare, false}, {"true", bare, false}, {"bias", full, false}} {
		h.Attributes = c.asked
		m := train(t, c.d, h, 200*day)
		if _, got := encoded(t, m); (got == want) != c.same {
			t.Errorf("attributes %q: the artifact without them: %v, want %v", c.asked, got == want, c.same)
		}
		if a := m.hyper.Attributes; a == autoAttributes || a == noAttributes {
			t.Errorf("attributes %q: the model states %q", c.asked, a)
		}
	}
	// Nearly as many levels as items: auto sees that a level would be an item by another name.
	ids := slices.Clone(full.Catalog.IDs)
	for i := range ids {
		ids[i] = fmt.Sprint("set-", i/4)
	}
	full.Catalog.Attrs.Cats, full.Catalog.Attrs.Nums = []models.CatColumn{models.NewCatColumn("set", ids)}, nil
	if h.Attributes = "auto"; train(t, full, h, 200*day).hyper.Attributes != coldAttributes {
		t.Error("ten sets of four items are not used")
	}
	for i := range ids {
		ids[i] = fmt.Sprint("set-", i%25)
	}
	full.Catalog.Attrs.Cats[0] = models.NewCatColumn("set", ids)
	if train(t, full, h, 200*day).hyper.Attributes != "" {
		t.Error("fifteen sets of two items, and ten alone, are used")
	}
	if err := (Hyper{Attributes: "yes"}).Validate(); err == nil {
		t.Error("attributes: yes was taken")
	}
}

// Without attributes in the catalog that is bound, and with no item known, all is still finite.
func TestAttributesAtTheEdges(t *testing.T) {
	d := described(dataset(3, []event{{0, 0, 1, 1}}), 2) // no item has enough subjects
	m := train(t, d, withAttributes(), 100)
	files, _ := encoded(t, m)
	r, err := artifact.Open(files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(r); err != nil {
		t.Fatal(err)
	}
	dst := []float32{9, 9, 9}
	q := []models.Query{{Subject: []string{"team-0"}}}
	if err := bindSubjects(t, m, d.Catalog, "team").Score(t.Context(), q, dst); err != nil || slices.Max(dst) != 0 || slices.Min(dst) != 0 {
		t.Errorf("a model that knows no item scores %v, %v", dst, err)
	}
	// Constant attributes, and a number that is none.
	d = described(dataset(30, groups(rand.New(rand.NewPCG(4, 9)), 40, 30, 2, 10)), 1)
	for i := range d.Catalog.Attrs.Nums[0].Values {
		d.Catalog.Attrs.Nums[0].Values[i] = []float64{math.NaN(), math.Inf(1), 7}[i%3]
	}
	s := bindSubjects(t, train(t, d, withAttributes(), 200*day), d.Catalog, "team")
	row := make([]float32, 30)
	if err := s.Score(t.Context(), []models.Query{query(1, 2), {Subject: []string{"team-0"}}}[:1], row); err != nil {
		t.Fatal(err)
	}
	for i, v := range row {
		if v-v != 0 {
			t.Errorf("item %d scores %v", i, v)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&Trainer{Hyper: withAttributes()}).Train(gone, d, 200*day, 1); err == nil {
		t.Error("cancelled training with attributes went on")
	}
}

func TestExplanationsNameAttributesAndDoubts(t *testing.T) {
	const n, k = 60, 3
	d := described(dataset(n, groups(rand.New(rand.NewPCG(8, 2)), 120, n, k, 15)), k)
	m := train(t, d, withAttributes(), 200*day)
	c := &models.Catalog{IDs: append(slices.Clone(d.Catalog.IDs), "new", "none"), Attrs: &models.Attributes{N: n + 2, Cats: []models.CatColumn{
		models.NewCatColumn("genre", append(levelsOf(&d.Catalog.Attrs.Cats[0]), "genre-1", "")),
	}}}
	s := bindSubjects(t, m, c, "team")
	q := query(100, 1, 4, 7, 10)
	q.Subject = []string{"team-1"}
	items := []int32{2, n, n + 1}
	row := make([]float32, n+2)
	explain := func() []models.Explanation {
		t.Helper()
		if err := s.Score(t.Context(), []models.Query{q}, row); err != nil {
			t.Fatal(err)
		}
		a, err := s.Explain(t.Context(), &q, items)
		if err != nil {
			t.Fatal(err)
		}
		var out []models.Explanation
		for i, item := range items {
			e := a.Explanation(i)
			var sum float64
			for _, r := range e.Reasons {
				sum += r.Contribution
			}
			if float32(e.Score) != row[item] || math.Abs(sum-e.Score) > e.Error || e.Error > 1e-5 {
				t.Errorf("item %d: Σ = %.9g, score %.9g, served %.9g, stated error %g", item, sum, e.Score, row[item], e.Error)
			}
			out = append(out, e)
		}
		return out
	}
	kinds := func(e models.Explanation) []string {
		var out []string
		for _, r := range e.Reasons {
			name := r.Kind
			if r.Kind != "event" {
				name += " " + r.Ref
			}
			out = append(out, name)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	es := explain()
	for i, want := range [][]string{{"attribute team=team-1", "bias everybody", "event"}, {"bias every item", "item-attribute genre=genre-1"}, nil} {
		if got := kinds(es[i]); !slices.Equal(got, want) {
			t.Errorf("item %d is explained by %q, want %q", items[i], got, want)
		}
	}
	if len(es[0].Doubts) != 0 || !slices.Equal(es[1].Doubts, []models.Doubt{models.NewItem}) || len(es[2].Doubts) != 0 {
		t.Errorf("doubts %v, %v, %v; want none, new, none", es[0].Doubts, es[1].Doubts, es[2].Doubts)
	}
	if es[1].Reasons[0].Contribution <= 0 || es[1].Reasons[0].Ref != "genre=genre-1" {
		t.Errorf("a new item of the team's genre is explained by %+v", es[1].Reasons)
	}
	q = models.Query{Subject: []string{"team-1"}}
	es = explain()
	if got := kinds(es[0]); !slices.Equal(got, []string{"attribute team=team-1", "bias everybody"}) {
		t.Errorf("without a history: %q", got)
	}
	if !slices.Equal(es[0].Doubts, []models.Doubt{models.FewEvents}) || !slices.Equal(es[1].Doubts, []models.Doubt{models.FewEvents, models.NewItem}) {
		t.Errorf("doubts without a history: %v, %v", es[0].Doubts, es[1].Doubts)
	}
}

// Without is what Score gives for a history from which the item's events are really gone.
func TestWithoutIsTheShorterHistory(t *testing.T) {
	const n, k = 60, 3
	d := described(dataset(n, groups(rand.New(rand.NewPCG(8, 2)), 120, n, k, 15)), k)
	plain := withAttributes()
	plain.Attributes = noAttributes
	cold := withAttributes()
	cold.Attributes = coldAttributes
	for _, h := range []Hyper{withAttributes(), plain, cold} {
		s := bindSubjects(t, train(t, d, h, 200*day), d.Catalog, "team")
		q := query(100, 1, 4, 7, 4, 22)
		q.Subject = []string{"team-1"}
		items := []int32{0, 1, 4, 59}
		whole, row, got := make([]float32, n), make([]float32, n), make([]float64, len(items))
		if err := s.Score(t.Context(), []models.Query{q}, whole); err != nil {
			t.Fatal(err)
		}
		for _, gone := range []int32{1, 4, 22, 30} {
			shorter := models.Query{At: q.At, Subject: q.Subject}
			for e, item := range q.History.Item {
				if item != gone {
					h := &shorter.History
					h.Item, h.Time, h.Kind, h.Weight = append(h.Item, item), append(h.Time, q.History.Time[e]), append(h.Kind, 0), append(h.Weight, q.History.Weight[e])
				}
			}
			if err := s.Score(t.Context(), []models.Query{shorter}, row); err != nil {
				t.Fatal(err)
			}
			if err := s.Without(t.Context(), &q, gone, items, got); err != nil {
				t.Fatal(err)
			}
			for i, item := range items {
				if math.Abs(got[i]-float64(row[item])) > 1e-5 {
					t.Errorf("without %d, item %d: %.9g, really gone %.9g", gone, item, got[i], row[item])
				}
				if same := math.Abs(got[i]-float64(whole[item])) < 1e-5; same != (gone == 30) {
					t.Errorf("without %d, item %d: %.9g, with it %.9g", gone, item, got[i], whole[item])
				}
			}
			// The generic way, for scorers that cannot: a type that hides the power.
			if err := models.ScoresWithout(t.Context(), struct{ models.Scorer }{s}, n, &q, gone, items, got); err != nil {
				t.Fatal(err)
			}
			for i, item := range items {
				if got[i] != float64(row[item]) {
					t.Errorf("by scoring anew without %d, item %d: %.9g, want %.9g", gone, item, got[i], row[item])
				}
			}
		}
		one := query(100, 3)
		if err := s.Without(t.Context(), &one, 3, items, got); err != nil {
			t.Fatal(err)
		}
		if h.Attributes == noAttributes && slices.Max(got) != 0 {
			t.Errorf("nothing is left, and scores are %v", got)
		}
		if err := s.Without(t.Context(), &q, n, items, got); err == nil {
			t.Error("an item outside the catalog was taken away")
		}
	}
}

func TestSimilarItemsAreCosines(t *testing.T) {
	const n, k = 60, 3
	d := described(dataset(n, groups(rand.New(rand.NewPCG(8, 2)), 120, n, k, 15)), k)
	m := train(t, d, withAttributes(), 200*day)
	c := &models.Catalog{IDs: append(slices.Clone(d.Catalog.IDs), "new", "twin", "unknown"), Attrs: &models.Attributes{N: n + 3, Cats: []models.CatColumn{
		models.NewCatColumn("genre", append(levelsOf(&d.Catalog.Attrs.Cats[0]), "genre-2", "genre-2", "")),
	}}}
	s := bindSubjects(t, m, c)
	common := inCommon(d, n)
	cosine := func(a, b int32) float64 {
		x, y := rows(s.ItemVector(a), 8)[0], rows(s.ItemVector(b), 8)[0]
		return dot(x, y) / math.Sqrt(dot(x, x)*dot(y, y))
	}
	for item := range int32(n + 2) {
		items, scores := make([]int32, 12), make([]float32, 12)
		found, err := s.Related(t.Context(), models.RelatedSimilar, item, items, scores)
		if err != nil {
			t.Fatalf("item %d: %v", item, err)
		}
		var want []models.Scored
		for other := range int32(n + 2) {
			if v := cosine(item, other); other != item && (item >= n || other >= n || common[item][other] >= models.MinSubjects) {
				want = append(want, models.Scored{Item: other, Score: float32(v)})
			}
		}
		wi, ws := make([]int32, 12), make([]float32, 12)
		wn := models.SelectRelated(want, wi, ws)
		if found != wn {
			t.Fatalf("item %d: %d similar, want %d", item, found, wn)
		}
		for r := range found {
			if items[r] == item || math.Abs(float64(scores[r])-cosine(item, items[r])) > 1e-5 || math.Abs(float64(scores[r]-ws[r])) > 1e-5 {
				t.Errorf("item %d, place %d: item %d with %g, want cosine %g", item, r, items[r], scores[r], ws[r])
			}
			if r > 0 && (scores[r] > scores[r-1] || scores[r] == scores[r-1] && items[r] < items[r-1]) {
				t.Errorf("item %d: place %d is out of order", item, r)
			}
		}
	}
	// Twins tie, and the lower comes first.
	items, scores := make([]int32, n), make([]float32, n)
	if _, err := s.Related(t.Context(), models.RelatedSimilar, 2, items, scores); err != nil {
		t.Fatal(err)
	}
	if a, b := slices.Index(items, n), slices.Index(items, n+1); a < 0 || b != a+1 || scores[a] != scores[b] {
		t.Errorf("twins stand at %d and %d", a, b)
	}
	if found, err := s.Related(t.Context(), models.RelatedSimilar, n+2, items, scores); found != 0 || err != nil {
		t.Errorf("an item of which nothing is known has %d similar ones, %v", found, err)
	}
	if _, err := s.Related(t.Context(), models.RelatedTogether, 2, items, scores); err == nil {
		t.Error("a kind that it does not make was made")
	}
	if _, err := s.Related(t.Context(), models.RelatedSimilar, n+3, items, scores); err == nil {
		t.Error("an item outside the catalog was taken")
	}
	if got := models.Relaters([]models.Part{{Scorer: s}}); len(got) != 1 || got[models.RelatedSimilar] == nil {
		t.Errorf("relaters %v", got)
	}
}

// What a refit adds to a half of an epoch, at the subjects of ML-20M's shape.
func BenchmarkRefit(b *testing.B) {
	const n, d, levels = 138_493, 64, 400
	r := rand.New(rand.NewPCG(2, 2))
	a := &models.Attributes{N: n}
	for _, name := range []string{"one", "two"} {
		rows := make([]string, n)
		for i := range rows {
			rows[i] = fmt.Sprint("level-", r.IntN(levels))
		}
		a.Cats = append(a.Cats, models.NewCatColumn(name, rows))
	}
	at, reg := make([]int32, n), make([]float64, n)
	for i := range at {
		at[i], reg[i] = int32(i), 1+r.Float64()
	}
	sp := encode.New(a, encode.Options{})
	m := &attributeMap{space: sp, d: d, b: make([]float32, (1+sp.Len())*d)}
	fit := newRidge(m, sp.Rows(a, n), at, reg, ridgeRows)
	fit.factor()
	vectors, centres := make([]float32, n*d), make([]float32, n*d)
	b.Run(fmt.Sprintf("rows=%d/features=%d/d=%d", n, sp.Len(), d), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := fit.refit(centres, vectors, reg); err != nil {
				b.Fatal(err)
			}
		}
	})
}
