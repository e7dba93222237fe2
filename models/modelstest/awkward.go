package modelstest

import (
	"math"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/models"
)

// awkward demands finite scores, and an artifact that can be read, from data as a bucket may hold them; and of weights at the ends of what a float32
// can be the same, or an error and no model.
func (s *suite) awkward(t *testing.T) {
	d := awkwardBoard()
	m := s.train(t, d)
	n := d.Catalog.Len()
	want := score(t, bind(t, m, d.Catalog, d.SubjectColumns()), n, queries(d))
	loaded, err := s.open(encode(t, m))
	if err != nil {
		t.Fatal(err)
	}
	if got := score(t, bind(t, loaded, d.Catalog, d.SubjectColumns()), n, queries(d)); !slices.Equal(got, want) {
		t.Error("the loaded model's scores differ")
	}
	for name, weight := range map[string]func(i int) float32{
		"tiny weights":   func(int) float32 { return 1e-30 },
		"large weights":  func(int) float32 { return 1e30 },
		"unlike weights": func(i int) float32 { return [3]float32{math.SmallestNonzeroFloat32, 1, math.MaxFloat32}[i%3] },
	} {
		t.Run(name, func(t *testing.T) {
			evs := events()
			for i := range evs {
				evs[i].Weight = weight(i)
			}
			d := board(evs)
			if err := d.Validate(); err != nil {
				t.Fatal(err)
			}
			m, err := s.trainer.Train(t.Context(), d, d.Cuts.Test, 1)
			if err != nil {
				if m != nil {
					t.Errorf("a model beside the error %v", err)
				}
				return
			}
			sc, q := bind(t, m, d.Catalog, d.SubjectColumns()), queries(d)
			dst := make([]float32, len(q)*items)
			if err := sc.Score(t.Context(), q, dst); err != nil {
				return
			}
			for i, v := range dst {
				if v-v != 0 {
					t.Fatalf("query %d, item %d: score %v, and no error", i/items, i%items, v)
				}
			}
		})
	}
}

// awkwardBoard is the checkerboard with a subject of 50,000 events, an item that everybody chose, one that nobody did, a subject whose
// events all come after training, and attributes that are constant, missing everywhere, or infinite.
func awkwardBoard() *models.Dataset {
	const n = items + 2
	everyones := int32(items)
	evs := events()
	for s := range subjects {
		evs = append(evs, models.Event{Subject: number(s), Item: everyones, Time: base + int64(s+1)*day/2, Weight: 1})
	}
	for k := range int64(50_000) {
		evs = append(evs, models.Event{Subject: number(subjects), Item: int32(k % items), Time: base + k*60e6, Weight: 1})
	}
	evs = append(evs, models.Event{Subject: number(subjects + 1), Item: 3, Time: cuts.Test + 1, Weight: 1})
	d := &models.Dataset{Kinds: []string{"choose"}, Cuts: cuts, Catalog: catalog(n), Events: models.NewEventLog(evs)}
	constant, missing := make([]string, n), make([]string, n)
	flat, none, endless := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		constant[i], flat[i], none[i], endless[i] = "same", 7, math.NaN(), []float64{1, math.Inf(1), math.Inf(-1), math.MaxFloat64}[i%4]
	}
	a := d.Catalog.Attrs
	a.Cats = append(a.Cats, models.NewCatColumn("constant", constant), models.NewCatColumn("missing", missing))
	a.Nums = append(a.Nums, models.NumColumn{Name: "flat", Values: flat}, models.NumColumn{Name: "none", Values: none}, models.NumColumn{Name: "endless", Values: endless})
	rows := len(d.Events.Subjects)
	d.Subjects = &models.Attributes{N: rows, Cats: []models.CatColumn{
		models.NewCatColumn("constant", slices.Repeat([]string{"same"}, rows)), models.NewCatColumn("missing", make([]string, rows)),
	}}
	return d
}
