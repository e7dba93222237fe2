package als

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/models"
)

// Attributes for rows without history change nothing for the others: the vectors are those of a training without attributes, to the bit, and so
// are the scores of what was chosen before for whoever has a history. New items and new people are told apart by their attributes.
func TestColdAttributesLeaveTheRestAlone(t *testing.T) {
	const n, k = 60, 3
	d := described(dataset(n, groups(rand.New(rand.NewPCG(8, 2)), 120, n, k, 15)), k)
	h := withAttributes()
	h.Attributes = noAttributes
	plain := train(t, d, h, 200*day)
	h.Attributes = coldAttributes
	m := train(t, d, h, 200*day)
	if !slices.Equal(m.factors, plain.factors) || !slices.Equal(m.record.Objective, plain.record.Objective) {
		t.Fatal("other vectors than those of a training without attributes")
	}
	c := &models.Catalog{IDs: append(slices.Clone(d.Catalog.IDs), "new-0", "new-1", "new-2"), Attrs: &models.Attributes{N: n + 3, Cats: []models.CatColumn{
		models.NewCatColumn("genre", append(levelsOf(&d.Catalog.Attrs.Cats[0]), "genre-0", "genre-1", "genre-2")),
	}}}
	s, bare := bindSubjects(t, m, c, "team"), bindSubjects(t, plain, c, "team")
	row, want := make([]float32, n+3), make([]float32, n+3)
	scores := func(q models.Query, to []float32, by *scorer) {
		t.Helper()
		if err := by.Score(t.Context(), []models.Query{q}, to); err != nil {
			t.Fatal(err)
		}
	}
	q := query(100, 4)
	q.Subject = []string{"team-2"} // who has a history of genre 1 all the same
	scores(q, row, s)
	scores(q, want, bare)
	if !slices.Equal(row[:n], want[:n]) {
		t.Error("one event in the history, and the team has a say")
	}
	if row[n+1] <= row[n] || row[n+1] <= row[n+2] {
		t.Errorf("new items of three genres score %v for a history of genre 1", row[n:])
	}
	for g := range k {
		scores(models.Query{Subject: []string{[]string{"team-0", "team-1", "team-2"}[g]}}, row, s)
		for i := range n {
			if i%k != g && row[i] >= row[g] {
				t.Fatalf("team %d without history: item %d scores %g, item %d of its own genre %g", g, i, row[i], g, row[g])
			}
		}
		for other := range k {
			if other != g && row[n+g] <= row[n+other] {
				t.Errorf("team %d without history: a new item of its genre scores %g, one of genre %d %g", g, row[n+g], other, row[n+other])
			}
		}
	}
	scores(models.Query{}, want, bare)
	if slices.Max(want) != 0 {
		t.Error("without attributes and without history something is said")
	}
}

// What a map makes of a level counts the items that were chosen by too few, and not those that nobody had chosen yet: those may not have been
// there, and a back-test would hold them against their kind.
func TestOnlyWhatWasChosenIsPassedBy(t *testing.T) {
	const n = 40
	events := groups(rand.New(rand.NewPCG(8, 2)), 120, n, 2, 15)
	h := withAttributes()
	h.Attributes = coldAttributes
	maps := func(items int, more ...event) []float32 {
		return train(t, described(dataset(items, append(slices.Clone(events), more...)), 2), h, 200*day).maps.items.b
	}
	alone := maps(n)
	later := maps(n+10, event{3, n, 300 * day, 1}, event{4, n + 1, 250 * day, 1})
	rare := maps(n+10, event{3, n, 100 * day, 1}, event{4, n + 1, 100 * day, 1})
	if !slices.Equal(alone, later) {
		t.Error("items that nobody had chosen change the map")
	}
	if slices.Equal(alone, rare) {
		t.Error("items that two people had chosen do not")
	}
	var before, after float64
	for i := range alone {
		before, after = before+math.Abs(float64(alone[i])), after+math.Abs(float64(rare[i]))
	}
	if after >= before {
		t.Errorf("with items that were passed by the map is of size %g, without %g", after, before)
	}
}
