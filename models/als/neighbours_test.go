package als

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

// inCommon counts, for each two of n items, the subjects who chose both.
func inCommon(d *models.Dataset, n int) [][]int {
	out := make([][]int, n)
	for i := range out {
		out[i] = make([]int, n)
	}
	for s := range d.Events.Subjects {
		chosen := models.Distinct(d.Events.Subject(s).Item)
		for _, i := range chosen {
			for _, j := range chosen {
				out[i][j]++
			}
		}
	}
	return out
}

// busy are events of subjects with long histories among n items of falling popularity, so that popular items are asked for one by one.
func busy(subjects, n int) (events []event) {
	r := rand.New(rand.NewPCG(3, 1))
	for s := range subjects {
		for range 150 {
			i := int(float64(n) * math.Pow(r.Float64(), 2.5))
			events = append(events, event{s, int32(i), int64(r.IntN(100)) * day, 1})
		}
	}
	return events
}

// Neighbours are those of the greatest cosines among the items that enough subjects have in common, by an oracle, however they are found: cosines that
// do not go with popularity let the nearest of popular items fail as well.
func TestNeighboursByOracle(t *testing.T) {
	const n = 150
	d := dataset(n, busy(1500, n))
	common := inCommon(d, n)
	r := rand.New(rand.NewPCG(5, 2))
	for _, h := range []Hyper{
		{MinSubjects: 11, Neighbours: 5}, {MinSubjects: 100, Neighbours: 5}, {MinSubjects: 400, Neighbours: 5}, {MinSubjects: 11, Neighbours: n},
	} {
		p, err := collect(d, 200*day, &h)
		if err != nil {
			t.Fatal(err)
		}
		m := newMates(p, &h, 1)
		m.atOnce = 1000
		cosines := make([]float32, len(p.items))
		for i, own := range p.items {
			var passing []models.Scored
			for j, other := range p.items {
				cosines[j] = 2*r.Float32() - 1
				if j != i && common[own][other] >= h.MinSubjects {
					passing = append(passing, models.Scored{Item: int32(j), Score: cosines[j]})
				}
			}
			want, scores := make([]int32, h.Neighbours), make([]float32, h.Neighbours)
			want = want[:models.SelectRelated(passing, want, scores)]
			slices.Sort(want)
			if got, err := m.of(int32(i), cosines); err != nil || !slices.Equal(got, want) {
				t.Errorf("%d of %d subjects: item %d has neighbours %v, want %v: %v", h.Neighbours, h.MinSubjects, i, got, want, err)
			}
		}
	}
}

// What items have stands one behind the other, as it was found for each, however many that are; and to ask for more than there are items takes no memory for it.
func TestNeighboursTogether(t *testing.T) {
	const n, d = 150, 8
	data := dataset(n, busy(1500, n))
	r := rand.New(rand.NewPCG(6, 1))
	vectors := make([]float32, n*d)
	for i := range vectors {
		vectors[i] = 2*r.Float32() - 1
	}
	for _, h := range []Hyper{{Dim: d, MinSubjects: 11, Neighbours: 5}, {Dim: d, MinSubjects: 400, Neighbours: 5}, {Dim: d, MinSubjects: 11, Neighbours: math.MaxInt16}} {
		p, err := collect(data, 200*day, &h)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.neighbours(t.Context(), &h, vectors)
		if err != nil {
			t.Fatal(err)
		}
		m, unit := newMates(p, &h, 1), scaled(vectors, len(p.items), d)
		packed, lengths := inStrips(unit, len(p.items), d), map[int]bool{}
		for i := range p.items {
			for k, s := range packed {
				s.MulNT(m.cosines[k*strip:], m.stride, unit[i*d:], d, 1)
			}
			want, err := m.of(int32(i), m.cosines[:len(p.items)])
			if err != nil || !slices.Equal(got.of(int32(i)), want) {
				t.Errorf("%d of %d subjects: item %d has neighbours %v, want %v: %v", h.Neighbours, h.MinSubjects, i, got.of(int32(i)), want, err)
			}
			lengths[len(want)] = true
		}
		if len(lengths) < 2 && h.MinSubjects > 11 {
			t.Errorf("all items have as many neighbours: the test says little")
		}
		if cap(got.col) > n*n {
			t.Errorf("room for %d neighbours of %d items", cap(got.col), n)
		}
	}
}

// An artifact of before there were neighbours can be read, and names no pair of the items that it learned from.
func TestArtifactWithoutNeighbours(t *testing.T) {
	const n, k = 60, 3
	d := described(dataset(n, groups(rand.New(rand.NewPCG(8, 2)), 120, n, k, 15)), k)
	m := train(t, d, withAttributes(), 200*day)
	m.hyper.Neighbours = 0
	old := reload(t, m).(*Model)
	c := &models.Catalog{IDs: append(slices.Clone(d.Catalog.IDs), "new"), Attrs: &models.Attributes{N: n + 1, Cats: []models.CatColumn{
		models.NewCatColumn("genre", append(levelsOf(&d.Catalog.Attrs.Cats[0]), "genre-2")),
	}}}
	s := bindSubjects(t, old, c)
	items, scores := make([]int32, n), make([]float32, n)
	for item := range int32(n) {
		found, err := s.Related(t.Context(), models.RelatedSimilar, item, items, scores)
		if err != nil || found > 1 || found == 1 && items[0] != n {
			t.Errorf("beside item %d stand %v, %v", item, items[:found], err)
		}
	}
	if found, err := s.Related(t.Context(), models.RelatedSimilar, n, items, scores); err != nil || found == 0 {
		t.Errorf("beside a new item stand %d, %v", found, err)
	}
}

// An artifact whose related lists could name more than it says is refused.
func TestTooManyNeighbours(t *testing.T) {
	const n, k = 60, 3
	m := train(t, dataset(n, groups(rand.New(rand.NewPCG(8, 2)), 120, n, k, 15)), Hyper{Dim: 16, Neighbours: 4}, 200*day)
	m.hyper.Neighbours = 3
	files, _ := encoded(t, m)
	r, err := artifact.Open(files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := models.Load(r, map[string]models.Loader{"als": Load}); err == nil {
		t.Error("4 neighbours of an item can be read where 3 are the most")
	}
}
