package als

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

func query(at int64, items ...int32) models.Query {
	q := models.Query{At: at}
	for k, i := range items {
		q.History.Item, q.History.Time = append(q.History.Item, i), append(q.History.Time, int64(k))
		q.History.Kind, q.History.Weight = append(q.History.Kind, 0), append(q.History.Weight, 1)
	}
	return q
}

func TestScoresDoNotDependOnTheBatch(t *testing.T) {
	const n = 70
	d := dataset(n, groups(rand.New(rand.NewPCG(5, 2)), 90, n, 5, 12))
	h := Defaults()
	h.Dim = 10
	s := bind(t, train(t, d, h, 200*day), d.Catalog)
	r := rand.New(rand.NewPCG(9, 9))
	var qs []models.Query
	for k := range 53 {
		q := query(100)
		for range k % 9 {
			q.History.Item, q.History.Time = append(q.History.Item, int32(r.IntN(n))), append(q.History.Time, 1)
			q.History.Kind, q.History.Weight = append(q.History.Kind, 0), append(q.History.Weight, r.Float32()+.1)
		}
		qs = append(qs, q)
	}
	all, one, w := make([]float32, len(qs)*n), make([]float32, n), make([]float32, s.Dim())
	if err := s.Score(context.Background(), qs, all); err != nil {
		t.Fatal(err)
	}
	for k := range qs {
		if err := s.Score(context.Background(), qs[k:k+1], one); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(one, all[k*n:(k+1)*n]) {
			t.Fatalf("query %d scores otherwise alone than in a batch", k)
		}
		if err := s.FoldIn(context.Background(), &qs[k], w); err != nil {
			t.Fatal(err)
		}
		for i := range one {
			v := s.ItemVector(int32(i))
			if v == nil {
				if one[i] != 0 {
					t.Fatalf("item %d is unknown and scores %g", i, one[i])
				}
				continue
			}
			if want := dot(rows(v, 10)[0], rows(w, 10)[0]); math.Abs(float64(one[i])-want) > 1e-6 {
				t.Fatalf("query %d item %d scores %g, vectors give %g", k, i, one[i], want)
			}
		}
	}
}

func TestExplanationsSumToTheScore(t *testing.T) {
	const n = 80
	d := dataset(n, groups(rand.New(rand.NewPCG(6, 2)), 120, n, 4, 15))
	for _, h := range []Hyper{Defaults(), {Dim: 16, HalfLife: 20 * 24 * time.Hour, Exponent: 1}, {Dim: 6, Regularization: 1e-6, Exponent: 0}} {
		m := train(t, d, h, 101*day)
		c := &models.Catalog{IDs: append(slices.Clone(d.Catalog.IDs), "z-new")}
		s := bind(t, m, c)
		q := query(2*day, 1, 5, 9, 5, int32(n), 13, 77)
		items := []int32{int32(n), 1, 2, 3, 4, 5, 76}
		list, err := s.Explain(context.Background(), &q, items)
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]float32, n+1)
		if err := s.Score(context.Background(), []models.Query{q}, dst); err != nil {
			t.Fatal(err)
		}
		if e := list.Explanation(0); e.Score != 0 || e.Error != 0 || len(e.Reasons) != 0 {
			t.Errorf("an item that the model does not know has a reason: %+v", e)
		}
		for k, item := range items[1:] {
			e := list.Explanation(k + 1)
			if float32(e.Score) != dst[item] {
				t.Errorf("item %d: explained score %g, served %g", item, e.Score, dst[item])
			}
			if len(e.Reasons) != 5 { // 1, 5 (twice), 9, 13, 77
				t.Errorf("item %d has %d reasons", item, len(e.Reasons))
			}
			var sum float64
			for j, r := range slices.Backward(e.Reasons) {
				sum += r.Contribution
				if j > 0 && math.Abs(r.Contribution) > math.Abs(e.Reasons[j-1].Contribution) {
					t.Errorf("item %d: reasons are not in order", item)
				}
				if r.Kind != "event" || !strings.HasPrefix(r.Ref, "i0") {
					t.Errorf("item %d: reason %+v", item, r)
				}
			}
			if math.Abs(sum-e.Score) > e.Error || e.Error > 1e-3*math.Abs(e.Score)+1e-4 {
				t.Errorf("item %d: Σ = %.9g, score %.9g, stated error %g", item, sum, e.Score, e.Error)
			}
		}
	}
}

func TestSubjectsOfAGroupGetItsItems(t *testing.T) {
	const n, k = 60, 3
	d := dataset(n, groups(rand.New(rand.NewPCG(8, 2)), 90, n, k, 15))
	s := bind(t, train(t, d, Hyper{Dim: 4, Regularization: .02, Exponent: 1}, 200*day), d.Catalog)
	for g := range int32(k) {
		dst := make([]float32, n)
		q := query(100, g, g+k, g+2*k)
		if err := s.Score(context.Background(), []models.Query{q}, dst); err != nil {
			t.Fatal(err)
		}
		// The share of (own, other) pairs in the right order. Popularity alone would give one half.
		right, pairs := 0, 0
		for i, own := range dst {
			for j, other := range dst {
				if int32(i)%k == g && int32(j)%k != g {
					pairs++
					if own > other {
						right++
					}
				}
			}
		}
		if auc := float64(right) / float64(pairs); auc < .95 {
			t.Errorf("group %d: AUC %.3f, want at least .95", g, auc)
		}
	}
}

func TestSaveLoadBindKeepScores(t *testing.T) {
	const n = 40
	d := dataset(n, groups(rand.New(rand.NewPCG(4, 2)), 60, n, 4, 10))
	h := Defaults()
	h.Dim, h.MinSubjects = 6, 2
	m := train(t, d, h, 200*day)
	files, digest := encoded(t, m)
	r, err := artifact.Open(files)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, again := encoded(t, loaded); again != digest {
		t.Error("a loaded model saves other bytes")
	}
	// Another catalog: one new item first, every third item gone.
	c := &models.Catalog{IDs: []string{"a-new"}}
	at := map[string]int32{}
	for i, id := range d.Catalog.IDs {
		if i%3 != 2 {
			at[id] = int32(len(c.IDs))
			c.IDs = append(c.IDs, id)
		}
	}
	before, after := make([]float32, n), make([]float32, len(c.IDs))
	q := query(100, 0, 4, 7)
	if err := bind(t, m, d.Catalog).Score(context.Background(), []models.Query{q}, before); err != nil {
		t.Fatal(err)
	}
	q = query(100, at["i00000"], at["i00004"], at["i00007"])
	if err := bind(t, loaded, c).Score(context.Background(), []models.Query{q}, after); err != nil {
		t.Fatal(err)
	}
	for i, id := range d.Catalog.IDs {
		if k, ok := at[id]; ok && before[i] != after[k] {
			t.Errorf("item %s scores %g, in the other catalog %g", id, before[i], after[k])
		}
	}
	if after[0] != 0 {
		t.Errorf("the new item scores %g", after[0])
	}
}

func BenchmarkExplain(b *testing.B) {
	const n = 400
	d := dataset(n, groups(rand.New(rand.NewPCG(6, 2)), 600, n, 4, 60))
	s := bind(b, train(b, d, Hyper{Dim: 32, Epochs: 2}, 101*day), d.Catalog)
	var history, items []int32
	for i := range int32(60) {
		history, items = append(history, i*5), append(items, i*6)
	}
	q := query(2*day, history...)
	b.Run("history=60/items=30/d=32", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Explain(b.Context(), &q, items[:30]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
