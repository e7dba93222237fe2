package next

import (
	"testing"
	"time"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/modelstest"
)

// FuzzLoad: whatever the rows and columns of an artifact hold, they are refused or can be bound, scored, explained and listed.
func FuzzLoad(f *testing.F) {
	f.Add([]byte{0, 1, 2, 2}, []byte{1, 0})
	f.Add([]byte{0, 2, 2, 3}, []byte{1, 2, 0})
	f.Add([]byte{0, 255, 2, 2}, []byte{1, 0})
	f.Fuzz(func(t *testing.T, off, col []byte) {
		x := matrix{}
		for _, v := range off {
			x.off = append(x.off, int32(int8(v)))
		}
		for i, v := range col {
			x.col, x.val = append(x.col, int32(int8(v))), append(x.val, float32(i+1)/2)
		}
		h := Defaults()
		h.HalfLife = time.Hour
		modelstest.LoadedWorks(t, &Model{hyper: h, items: []string{"a", "b", "c"}, after: x, together: x}, Load, models.RelatedTogether)
	})
}
