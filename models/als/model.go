package als

import (
	"errors"
	"fmt"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

// Model is a trained model: items, their vectors, HᵀH, their neighbours, attribute maps and hyperparameters. It is immutable.
type Model struct {
	hyper      Hyper
	items      []string  // ascending
	factors    []float32 // H, len(items)×Dim
	gram       []float64 // HᵀH, Dim×Dim
	neighbours neighbours
	maps       maps // what attributes say of rows; zero where Hyper.Attributes is off
	record     record
}

// record tells how the model was trained; it has no influence on scores.
type record struct {
	Kernels   string    `json:"kernels"` // vec.Class
	Until     int64     `json:"until"`   // µs since the epoch
	Seed      uint64    `json:"seed,string"`
	Pairs     int       `json:"pairs"`
	Subjects  int       `json:"subjects"`
	Objective []float64 `json:"objective"` // after each epoch
	Warm      bool      `json:"warm,omitempty"`
	Settled   float64   `json:"settled,omitempty"` // of a warm start: the gain at which it ends, as a share of the objective
}

var _ models.Model = (*Model)(nil)

// Name returns "als".
func (m *Model) Name() string { return "als" }

// Items returns the ids of the items that have a vector of their own.
func (m *Model) Items() []string { return m.items }

// Save writes the strings "items", the tensors "factors" (items × dim, float32), "gram" (dim × dim, float64), "neighbour_rows" (items + 1, int32:
// where each item's neighbours begin) and "neighbours" (int32), and the values "hyper" and "training"; and with attributes, in the
// sections "item_attributes" and "subject_attributes", a feature space and the tensor "map".
func (m *Model) Save(w *artifact.Writer) error {
	d := m.hyper.Dim
	w.Strings("items", m.items)
	w.F32("factors", []int{len(m.items), d}, m.factors)
	w.F64("gram", []int{d, d}, m.gram)
	if m.hyper.Neighbours > 0 { // else it was loaded from an artifact of before there were any
		w.I32("neighbour_rows", []int{len(m.neighbours.off)}, m.neighbours.off)
		w.I32("neighbours", []int{len(m.neighbours.col)}, m.neighbours.col)
	}
	w.JSON("hyper", m.hyper)
	w.JSON("training", m.record)
	if m.hyper.Attributes != "" {
		m.maps.items.save(w.Section("item_attributes"))
		m.maps.subjects.save(w.Section("subject_attributes"))
	}
	return nil
}

// Load reads what Save wrote. The bytes are not trusted: shapes, order and hyperparameters are checked. An artifact that states no number of
// neighbours is of before models held them: its related lists name no item of the training.
func Load(r *artifact.Reader) (models.Model, error) {
	m := &Model{}
	if err := m.load(r); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Model) load(r *artifact.Reader) error {
	if err := r.JSON("hyper", &m.hyper); err != nil {
		return err
	}
	if err := m.hyper.Validate(); err != nil {
		return err
	}
	d := m.hyper.Dim
	if d == 0 || m.hyper.Weight == 0 || m.hyper.Regularization == 0 {
		return errors.New("a trained model states dim, weight and regularization; this one leaves one of them out")
	}
	if err := r.JSON("training", &m.record); err != nil {
		return err
	}
	var err error
	if m.items, err = r.Strings("items"); err != nil {
		return err
	}
	if err := ascending(m.items); err != nil {
		return err
	}
	if m.factors, err = r.F32("factors", len(m.items), d); err != nil {
		return err
	}
	if m.gram, err = r.F64("gram", d, d); err != nil {
		return err
	}
	if m.neighbours, err = loadNeighbours(r, m.hyper.Neighbours, len(m.items)); err != nil {
		return err
	}
	switch m.hyper.Attributes {
	case "":
		return nil
	case allAttributes, biasAttributes, coldAttributes:
	default:
		return fmt.Errorf("a trained model states whether attributes are used; this one says %q", m.hyper.Attributes)
	}
	if m.maps.items, err = loadAttributeMap(r.Section("item_attributes"), d, true); err != nil {
		return err
	}
	m.maps.subjects, err = loadAttributeMap(r.Section("subject_attributes"), d, false)
	return err
}

// ascending refuses item ids that do not strictly ascend.
func ascending(ids []string) error {
	for i := 1; i < len(ids); i++ {
		if ids[i-1] >= ids[i] {
			return fmt.Errorf("item ids %d and %d are out of order or equal: ids must ascend", i-1, i)
		}
	}
	return nil
}
