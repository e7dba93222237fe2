package ease

import (
	"encoding/binary"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/modelstest"
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
		modelstest.LoadedWorks(t, m, Load, models.RelatedSimilar)
	})
}
