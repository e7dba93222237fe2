package main

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/models"
)

// On a world with planted tastes, what is learned from the company that items keep finds new items better than popularity does.
func TestCompanyFindsNewItems(t *testing.T) {
	d, err := synthetic(t.Context(), synth.World{Users: 1500, Items: 300, Days: 24, Seed: 1, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	var all []contender
	for _, x := range contenders() {
		if slices.Contains([]string{"popular", "ease", "next", "item-kNN"}, x.name) {
			all = append(all, x)
		}
	}
	f := make(figures, len(all))
	if err := f.measure(t.Context(), all, d, true); err != nil {
		t.Fatal(err)
	}
	if len(all) != 4 || all[0].name != "popular" {
		t.Fatalf("contenders %v", all)
	}
	for c, x := range all[1:] {
		if diff, half := benchmark.Paired(f[c+1], f[0]); diff-half <= 0 {
			t.Errorf("%s minus popularity: %+.4f ± %.4f of %d subjects", x.name, diff, half, len(f[0]))
		}
	}
	var out bytes.Buffer
	compare(&out, all, []string{"new items"}, f)
	for _, x := range all {
		if !strings.Contains(out.String(), "| "+x.name+" |") {
			t.Errorf("%s is not in the table:\n%s", x.name, out.String())
		}
	}
}

// Three subjects: two have 0 and 1, one has 1 and 2. By hand: sim(0,1) = 2/√(2·3)·2/12, sim(1,2) = 1/√3·1/11.
func TestNearestByHand(t *testing.T) {
	e := func(s uint64, item int32) models.Event { return models.Event{Subject: s, Item: item, Weight: 1} }
	d := &models.Dataset{Catalog: &models.Catalog{IDs: []string{"a", "b", "c"}}, Events: models.NewEventLog([]models.Event{
		e(1, 0), e(1, 1), e(2, 0), e(2, 1), e(2, 1), e(3, 1), e(3, 2),
	}), Cuts: models.Cuts{Test: 1}}
	s, err := nearest(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]float32, 3)
	q := []models.Query{{History: models.History{Item: []int32{1, 1, 0}}}}
	if err := s.Score(t.Context(), q, dst); err != nil {
		t.Fatal(err)
	}
	first, second := 2/math.Sqrt(6)*2/12, 1/math.Sqrt(3)/11
	for i, want := range []float64{first, first, second} {
		if math.Abs(float64(dst[i])-want) > 1e-6 {
			t.Errorf("item %d scores %v, want %v", i, dst[i], want)
		}
	}
}

// One query by hand: places 1 and 3 of three relevant items.
func TestTaskByHand(t *testing.T) {
	e := func(item int32, at int64) models.Event {
		return models.Event{Subject: 1, Item: item, Time: at, Weight: 1}
	}
	d := &models.Dataset{Catalog: &models.Catalog{IDs: []string{"a", "b", "c", "d"}}, Events: models.NewEventLog([]models.Event{e(1, 0), e(0, 5), e(1, 6), e(3, 7)}), Cuts: models.Cuts{Test: 5, End: 9}}
	gain := func(places ...int) (sum float64) {
		for _, p := range places {
			sum += 1 / math.Log2(float64(p)+1)
		}
		return sum
	}
	for _, x := range []struct {
		mask bool
		want float64
	}{{false, gain(1, 2, 4) / gain(1, 2, 3)}, {true, gain(1, 3) / gain(1, 2)}} {
		of, err := newTask(d, x.mask).judge(t.Context(), fixed{4, 3, 2, 1})
		if err != nil || len(of) != 1 || math.Abs(of[0]-x.want) > 1e-12 {
			t.Errorf("masked %v: %v, want %v: %v", x.mask, of, x.want, err)
		}
	}
}

// fixed scores every query alike.
type fixed []float32

func (f fixed) Score(_ context.Context, q []models.Query, dst []float32) error {
	for i := range q {
		copy(dst[i*len(f):], f)
	}
	return nil
}

// Of what was shown, one item of two was chosen; who chose all that was shown to it has no answer.
func TestAmongShownByHand(t *testing.T) {
	e := func(s uint64, item int32, at int64) models.Event {
		return models.Event{Subject: s, Item: item, Time: at, Weight: 1}
	}
	d := &models.Dataset{
		Catalog: &models.Catalog{IDs: []string{"a", "b", "c", "d"}}, Cuts: models.Cuts{Test: 5, End: 9},
		Events: models.NewEventLog([]models.Event{e(1, 0, 5), e(1, 3, 6), e(2, 1, 5)}),
		Shown:  models.NewEventLog([]models.Event{e(1, 2, 4), e(1, 1, 5), e(1, 3, 5), e(2, 1, 5)}),
	}
	chosen := newTask(d, false).amongShown(d)
	of, err := chosen.judge(t.Context(), fixed{4, 3, 2, 1})
	if want := 1 / math.Log2(3); err != nil || len(of) != 1 || math.Abs(of[0]-want) > 1e-12 {
		t.Errorf("%v, want %v of one subject: %v", of, want, err)
	}
	if !slices.Equal(chosen.queries[0].Candidates, []int32{1, 3}) {
		t.Errorf("ranked are %v", chosen.queries[0].Candidates)
	}
}
