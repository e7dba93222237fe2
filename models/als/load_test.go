package als

import (
	"math"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

// FuzzLoad: whatever the vectors and feature spaces of an artifact hold, they are refused or can be bound, scored, explained and listed.
func FuzzLoad(f *testing.F) {
	f.Add(uint8(16), []byte{2}, []byte{1}, []byte{0}, "ab", []byte{5}, []byte{1, 2, 3}, []byte{0, 1, 2}, []byte{1, 0})
	f.Add(uint8(1), []byte{2}, []byte{0, 2}, []byte{1}, "ab", []byte{1, 255}, []byte{9}, []byte{0, 0, 1}, []byte{0})
	f.Add(uint8(1), []byte{1}, []byte{1}, []byte{2}, "a", []byte{1}, []byte{255, 254, 253}, []byte{}, []byte{})
	f.Add(uint8(3), []byte{255}, []byte{}, []byte{7}, "", []byte{}, []byte{254, 255}, []byte{0, 255, 1}, []byte{1})
	f.Add(uint8(0), []byte{}, []byte{3}, []byte{}, "zz", []byte{1, 0, 2}, []byte{}, []byte{0, 1, 2}, []byte{1, 7})
	f.Fuzz(func(t *testing.T, dim uint8, levelsOf, edgesOf, cuts []byte, levels string, edges, numbers, off, col []byte) {
		d := int(dim%20) + 1
		number := func(i int) float32 {
			if len(numbers) == 0 {
				return 1
			}
			switch x := numbers[i%len(numbers)]; x {
			case 255:
				return float32(math.NaN())
			case 254:
				return float32(math.Inf(1))
			case 253:
				return math.MaxFloat32
			default:
				return float32(int8(x)) / 16
			}
		}
		tensor := func(n int) []float32 {
			out := make([]float32, n)
			for i := range out {
				out[i] = number(i)
			}
			return out
		}
		wide := func(b []byte) []int32 {
			out := make([]int32, len(b))
			for i, v := range b {
				out[i] = int32(int8(v))
			}
			return out
		}
		w := artifact.NewWriter()
		w.Model("als")
		w.Strings("items", []string{"a", "b"})
		w.F32("factors", []int{2, d}, tensor(2*d))
		gram := make([]float64, d*d)
		for i := range gram {
			gram[i] = float64(number(i))
			if i%(d+1) == 0 {
				gram[i] += 200
			}
		}
		w.F64("gram", []int{d, d}, gram)
		h := Defaults()
		h.Dim, h.Regularization, h.Attributes, h.Ridge = d, .01, allAttributes, 1
		if len(off) > 0 {
			h.Neighbours = 5
			w.I32("neighbour_rows", []int{len(off)}, wide(off))
			w.I32("neighbours", []int{len(col)}, wide(col))
		}
		w.JSON("hyper", h)
		w.JSON("training", record{})
		names := make([]string, len(levels))
		for i := range names {
			names[i] = levels[i : i+1]
		}
		columns := []string{"genre", "price", "team"}
		for len(columns) < len(levelsOf)+len(edgesOf) {
			columns = append(columns, "team")
		}
		columns = columns[:len(levelsOf)+len(edgesOf)]
		features := len(names) + len(edges) + len(edgesOf)
		for _, section := range []string{"item_attributes", "subject_attributes"} {
			s := w.Section(section)
			s.Strings("columns", columns)
			s.Strings("levels", names)
			s.I32("levels_of", []int{len(levelsOf)}, wide(levelsOf))
			s.I32("edges_of", []int{len(edgesOf)}, wide(edgesOf))
			bounds := make([]float64, len(edges))
			for i, v := range edges {
				bounds[i] = float64(v)
			}
			s.F64("edges", []int{len(bounds)}, bounds)
			s.F32("idf", []int{features}, tensor(features))
			if section == "item_attributes" {
				s.U8("cuts", []int{len(cuts)}, cuts)
			}
			s.F32("map", []int{1 + features, d}, tensor((1+features)*d))
		}
		files, _, err := w.Encode()
		if err != nil {
			return // a writer refuses names that are no text
		}
		r, err := artifact.Open(files)
		if err != nil {
			t.Fatal(err)
		}
		m, err := models.Load(r, map[string]models.Loader{"als": Load})
		if err != nil {
			return
		}
		c := &models.Catalog{IDs: []string{"b", "c", "d"}, Attrs: &models.Attributes{
			N: 3, Cats: []models.CatColumn{models.NewCatColumn("genre", []string{"a", "a|b", ""})},
			Nums: []models.NumColumn{{Name: "price", Values: []float64{1, math.NaN(), 300}}},
		}}
		s := bindSubjects(t, m, c, "team", "genre")
		q := query(3, 0, 1, 2)
		q.Subject = []string{"a", "z"}
		row := make([]float32, 3)
		// What no longer is a number is an error of the solve or of the ranking; here nothing may panic.
		if err := s.Score(t.Context(), []models.Query{q}, row); err != nil {
			return
		}
		if a, err := s.Explain(t.Context(), &q, []int32{0, 1, 2}); err == nil && len(a.Scores) != 3 {
			t.Errorf("%d scores explained", len(a.Scores))
		}
		_ = s.Without(t.Context(), &q, 1, []int32{0, 2}, make([]float64, 2))
		for item := range int32(3) {
			_, _ = s.Related(t.Context(), models.RelatedSimilar, item, make([]int32, 2), make([]float32, 2))
		}
	})
}
