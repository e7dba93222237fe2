package ease

import (
	"encoding/binary"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

// FuzzLoad: whatever the rows and columns of an artifact hold, they are refused or can be bound, scored, explained and listed.
func FuzzLoad(f *testing.F) {
	f.Add([]byte{0, 1, 2, 2}, []byte{1, 0})
	f.Add([]byte{0, 2, 2, 3}, []byte{1, 2, 0})
	f.Add([]byte{0, 255, 2, 2}, []byte{1, 0})
	f.Fuzz(func(t *testing.T, off, col []byte) {
		wide := func(b []byte) []int32 {
			out := make([]int32, len(b))
			for i, v := range b {
				out[i] = int32(int8(v))
			}
			return out
		}
		m := &Model{hyper: Hyper{Values: Binary, Regularization: 1}, items: []string{"a", "b", "c"}, off: wide(off), col: wide(col)}
		for i := range m.col {
			m.val = append(m.val, float32(i)+1)
		}
		m.scale = []float32{1, 2, float32(binary.LittleEndian.Uint16(append(off, 0, 0)))}
		files, _, err := models.Encode(m)
		if err != nil {
			return
		}
		r, err := artifact.Open(files)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := models.Load(r, map[string]models.Loader{"ease": Load})
		if err != nil {
			return
		}
		s, err := loaded.Bind(t.Context(), &models.Catalog{IDs: []string{"b", "c", "d"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		q := models.Query{History: models.History{Item: []int32{0, 1, 2}, Time: []int64{0, 0, 0}, Kind: []uint8{0, 0, 0}, Weight: []float32{1, 1, 1}}}
		if err := s.Score(t.Context(), []models.Query{q}, make([]float32, 3)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.(models.Explainer).Explain(t.Context(), &q, []int32{0, 1, 2}); err != nil {
			t.Fatal(err)
		}
		for item := range int32(3) {
			if _, err := s.(models.Relater).Related(t.Context(), models.RelatedSimilar, item, make([]int32, 2), make([]float32, 2)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
