package ease

import (
	"errors"
	"fmt"
	"math"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

// Model is a trained model: items and the weights between them, by the item that speaks. It is immutable.
type Model struct {
	hyper  Hyper    // as resolved: Regularization is never 0
	items  []string // ascending
	off    []int32  // item i speaks for col[off[i]:off[i+1]]
	col    []int32  // ascending in a row, never i itself
	val    []float32
	scale  []float32 // √P_ii: what makes weights symmetric, for related lists
	record record
}

// record tells how the model was trained; it has no influence on scores.
type record struct {
	Kernels  string `json:"kernels"` // vec.Class
	Until    int64  `json:"until"`   // µs since the epoch
	Pairs    int    `json:"pairs"`
	Subjects int    `json:"subjects"`
	Core     int    `json:"core"` // items inverted together
}

var _ models.Model = (*Model)(nil)

// Name returns "ease".
func (m *Model) Name() string { return "ease" }

// Save writes the strings "items", the tensors "rows" (items + 1, int32: where each item's weights begin), "columns" (int32: whom they are
// for), "weights" and "scale" (float32), and the values "hyper" and "training".
func (m *Model) Save(w *artifact.Writer) error {
	w.Strings("items", m.items)
	w.I32("rows", []int{len(m.off)}, m.off)
	w.I32("columns", []int{len(m.col)}, m.col)
	w.F32("weights", []int{len(m.val)}, m.val)
	w.F32("scale", []int{len(m.scale)}, m.scale)
	w.JSON("hyper", m.hyper)
	w.JSON("training", m.record)
	return nil
}

// Load reads what Save wrote. The bytes are not trusted: shapes, order and hyperparameters are checked.
func Load(r *artifact.Reader) (models.Model, error) {
	m := &Model{}
	if err := r.JSON("hyper", &m.hyper); err != nil {
		return nil, err
	}
	if err := m.hyper.Validate(); err != nil {
		return nil, err
	}
	if m.hyper.Regularization == 0 || m.hyper.Values == "" {
		return nil, errors.New("a trained model states values and regularization; this one leaves one of them out")
	}
	if err := r.JSON("training", &m.record); err != nil {
		return nil, err
	}
	var err error
	if m.items, err = r.Strings("items"); err != nil {
		return nil, err
	}
	if err := (&models.Catalog{IDs: m.items}).Validate(); err != nil {
		return nil, err
	}
	if m.off, err = r.I32("rows", len(m.items)+1); err != nil {
		return nil, err
	}
	if m.col, err = r.I32("columns", -1); err != nil {
		return nil, err
	}
	if m.val, err = r.F32("weights", len(m.col)); err != nil {
		return nil, err
	}
	if m.scale, err = r.F32("scale", len(m.items)); err != nil {
		return nil, err
	}
	for i, s := range m.scale {
		if !(s > 0) || s > math.MaxFloat32 {
			return nil, fmt.Errorf("item %d has scale %v", i, s)
		}
	}
	return m, models.CheckNeighbours(m.off, m.col)
}
