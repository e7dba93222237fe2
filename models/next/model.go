package next

import (
	"errors"
	"fmt"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

// Model is a trained model: items, what follows each, and what comes with it. It is immutable.
type Model struct {
	hyper    Hyper
	items    []string // ascending
	after    matrix
	together matrix
}

// matrix is sparse: row i owns [off[i], off[i+1]) of col (ascending, never i itself) and val.
type matrix struct {
	off []int32
	col []int32
	val []float32
}

func (x *matrix) row(i int32) ([]int32, []float32) {
	lo, hi := x.off[i], x.off[i+1]
	return x.col[lo:hi], x.val[lo:hi]
}

func flat(lists []list) matrix {
	x := matrix{off: []int32{0}}
	for _, l := range lists {
		x.col, x.val = append(x.col, l.col...), append(x.val, l.val...)
		x.off = append(x.off, int32(len(x.col)))
	}
	return x
}

var _ models.Model = (*Model)(nil)

// Name returns "next".
func (m *Model) Name() string { return "next" }

// Save writes the strings "items", the value "hyper", and for both "after" and "together" the tensors "…_rows" (items + 1, int32),
// "…_columns" (int32) and "…_values" (float32).
func (m *Model) Save(w *artifact.Writer) error {
	w.Strings("items", m.items)
	w.JSON("hyper", m.hyper)
	m.after.save(w, "after")
	m.together.save(w, "together")
	return nil
}

func (x *matrix) save(w *artifact.Writer, name string) {
	w.I32(name+"_rows", []int{len(x.off)}, x.off)
	w.I32(name+"_columns", []int{len(x.col)}, x.col)
	w.F32(name+"_values", []int{len(x.val)}, x.val)
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
	if m.hyper != m.hyper.withDefaults() || m.hyper.HalfLife == 0 {
		return nil, errors.New("a trained model states all its hyperparameters; this one leaves some of them out")
	}
	var err error
	if m.items, err = r.Strings("items"); err != nil {
		return nil, err
	}
	if err := (&models.Catalog{IDs: m.items}).Validate(); err != nil {
		return nil, err
	}
	if err := m.after.load(r, "after", len(m.items)); err != nil {
		return nil, err
	}
	return m, m.together.load(r, "together", len(m.items))
}

func (x *matrix) load(r *artifact.Reader, name string, n int) (err error) {
	if x.off, err = r.I32(name+"_rows", n+1); err != nil {
		return err
	}
	if x.col, err = r.I32(name+"_columns", -1); err != nil {
		return err
	}
	if x.val, err = r.F32(name+"_values", len(x.col)); err != nil {
		return err
	}
	if err := models.CheckNeighbours(x.off, x.col); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for k, v := range x.val {
		if !(v > 0) {
			return fmt.Errorf("%s: value %d is %v, and values are above 0", name, k, v)
		}
	}
	return nil
}

// bind returns x over the positions of a catalog of n items: to gives the position of each of x's items there or -1, from the reverse.
func (x *matrix) bind(to, from []int32) matrix {
	out := matrix{off: make([]int32, len(from)+1), col: make([]int32, 0, len(x.col)), val: make([]float32, 0, len(x.val))}
	for i, own := range from {
		if own >= 0 {
			col, val := x.row(own)
			for k, c := range col {
				if j := to[c]; j >= 0 {
					out.col, out.val = append(out.col, j), append(out.val, val[k])
				}
			}
		}
		out.off[i+1] = int32(len(out.col))
	}
	return out
}
