package als

import (
	"context"
	"fmt"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
	"github.com/rapport-ml/rapport/models/internal/encode"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// The values of Hyper.Attributes: what they are used for.
const (
	noAttributes   = "false" // nothing
	coldAttributes = "cold"  // rows without history alone: maps are fitted to the vectors when training is done, which they do not change
	biasAttributes = "bias"  // the regularizer draws each side's rows towards one vector: what attributes are ablated against
	allAttributes  = "true"  // it draws each row towards that and a vector for each level of the row's attributes
	autoAttributes = "auto"  // cold where the items' attributes can carry it (resolveAttributes), else nothing
)

// The feature spaces are bounded: a map's matrix is (1+features)², and is factored once a training.
const (
	maxFeatures = 1024 // most frequent levels of each side
	maxBins     = 10   // quantile bins of a number
	ridgeRows   = 10   // Hyper.Ridge by default
)

// itemOptions and subjectOptions say how the spaces of both sides are learned: from the rows that take part. What fewer subjects than
// MinSubjects share has no coordinate of its own.
func itemOptions(p *pairs) encode.Options {
	return encode.Options{Bins: maxBins, Most: maxFeatures, Rows: p.items, Words: true}
}

func subjectOptions(p *pairs, h *Hyper) encode.Options {
	return encode.Options{Least: h.MinSubjects, Most: maxFeatures, Rows: p.rows}
}

// resolveAttributes replaces what was asked for by what training does: none is "", and auto is cold or none, by what can be known before
// training. It is cold where most of the items that take part have an attribute that others share, and where there are at least twice as
// many such items as features, so that a feature's vector is not that of one item by another name.
func (h *Hyper) resolveAttributes(d *models.Dataset, p *pairs) {
	if h.Attributes == autoAttributes {
		sp := encode.New(d.Catalog.Attrs, itemOptions(p))
		rows, described := sp.Rows(d.Catalog.Attrs, d.Catalog.Len()), 0
		for _, i := range p.items {
			if f, _ := rows.Row(i); len(f) > 0 {
				described++
			}
		}
		h.Attributes = noAttributes
		if described*2 > len(p.items) && described >= 2*sp.Used() {
			h.Attributes = coldAttributes
		}
	}
	switch {
	case h.Attributes == noAttributes:
		h.Attributes = ""
	case h.Attributes != "" && h.Ridge == 0:
		h.Ridge = ridgeRows
	}
}

// attributeMap says where the regularizer draws a row of one side: towards B₀ + Σ x_f·B_f over its features.
type attributeMap struct {
	space *encode.Space
	b     []float32 // (1+features)×d: B₀, then the features' rows
	d     int
}

// row returns B₀ for 0, else the row of feature f−1.
func (m *attributeMap) row(f int) []float32 { return m.b[f*m.d:][:m.d] }

// centre sets dst (d) to what a row with these features is drawn towards, summed in float64.
func (m *attributeMap) centre(dst []float32, fs []int32, xs []float32) {
	base := m.row(0)
	for i := range dst[:m.d] {
		sum := float64(base[i])
		for k, f := range fs {
			sum += float64(float64(xs[k]) * float64(m.b[(1+int(f))*m.d+i]))
		}
		dst[i] = float32(sum)
	}
}

// save writes the space and the tensor "map" (1+features × dim).
func (m *attributeMap) save(w *artifact.Writer) {
	m.space.Save(w)
	w.F32("map", []int{1 + m.space.Len(), m.d}, m.b)
}

func loadAttributeMap(r *artifact.Reader, d int, words bool) (*attributeMap, error) {
	m := &attributeMap{d: d}
	var err error
	if m.space, err = encode.Load(r, words); err != nil {
		return nil, err
	}
	m.b, err = r.F32("map", 1+m.space.Len(), d)
	return m, err
}

// maps are the attribute maps of both sides; both nil where Hyper.Attributes is off.
type maps struct {
	items, subjects *attributeMap
}

// useAttributes returns the maps of d's attributes. Where they say what rows are drawn towards, they are f's centres and refit after each
// half; else they are fitted by finish.
func (f *fit) useAttributes(d *models.Dataset) maps {
	if f.h.Attributes == "" {
		return maps{}
	}
	var items, subjects *models.Attributes
	if f.h.Attributes != biasAttributes {
		items = d.Catalog.Attrs
		if d.Subjects != nil { // queries carry the levels alone
			subjects = &models.Attributes{N: d.Subjects.N, Cats: d.Subjects.Cats}
		}
	}
	m := maps{
		items:    &attributeMap{space: encode.New(items, itemOptions(f.p)), d: f.h.Dim},
		subjects: &attributeMap{space: encode.New(subjects, subjectOptions(f.p, f.h)), d: f.h.Dim},
	}
	for _, x := range []*attributeMap{m.items, m.subjects} {
		x.b = make([]float32, (1+x.space.Len())*x.d)
	}
	if len(f.p.items) == 0 {
		return m
	}
	ridges := [...]*ridge{
		subjectSide: newRidge(m.subjects, m.subjects.space.Rows(subjects, len(d.Events.Subjects)), f.p.rows, f.subjReg, f.h.Ridge),
		itemSide:    newRidge(m.items, m.items.space.Rows(items, d.Catalog.Len()), f.p.items, f.itemReg, f.h.Ridge),
	}
	if f.h.Attributes != biasAttributes {
		ridges[itemSide].passedBy(f.p.rare, f.h.shrink(0, f.p.subjects))
	}
	if f.h.Attributes == coldAttributes {
		f.finish = func() error {
			for s, r := range ridges {
				r.factor()
				vectors := [...][]float32{subjectSide: f.subjects, itemSide: f.items}[s]
				if err := r.fit(vectors, [...][]float64{subjectSide: f.subjReg, itemSide: f.itemReg}[s]); err != nil {
					return err
				}
			}
			return nil
		}
		return m
	}
	for _, r := range ridges {
		r.factor()
	}
	f.centres.subjects, f.centres.items = make([]float32, len(f.subjects)), make([]float32, len(f.items))
	f.centres.refit = func(ctx context.Context, s side, vectors []float32, reg []float64) (float64, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return ridges[s].refit(f.centres.of(s), vectors, reg)
	}
	return m
}

// ridge fits an attribute map to one side's vectors: with G the rows' features, a 1 first, R their λ·#^ν and κ in units of R's mean,
//
//	B = argmin Σ_i r_i·‖v_i − Bᵀg_i‖² + κ·‖B‖² = (GᵀRG + κI)⁻¹ GᵀRV
//
// which is the exact minimizer of the training objective in B. GᵀRG does not change while training goes on: it is factored once.
type ridge struct {
	to     *attributeMap
	rows   *encode.Rows
	at     []int32   // row of the side → row of rows
	l      []float64 // GᵀRG + κI, then its factor, (1+features)²
	kappa  float64
	others []int32 // rows of rows that count with a vector of 0, and their weight
	weight float64
	fault  error
}

// newRidge adds up the rows `at` of rows, whose weights are reg. O(rows·features of a row²).
func newRidge(to *attributeMap, rows *encode.Rows, at []int32, reg []float64, ridgeRows float64) *ridge {
	n := 1 + to.space.Len()
	r := &ridge{to: to, rows: rows, at: at, l: make([]float64, n*n)}
	for i, row := range at {
		r.kappa += ridgeRows * reg[i] / float64(len(at))
		r.add(row, reg[i])
	}
	for f := range n {
		r.l[f*n+f] += r.kappa
	}
	return r
}

// add adds a row to GᵀRG: to the lower triangle, as features ascend.
func (r *ridge) add(row int32, weight float64) {
	n := 1 + r.to.space.Len()
	fs, xs := r.rows.Row(row)
	r.l[0] += weight
	for a, f := range fs {
		v, line := weight*float64(xs[a]), r.l[(1+int(f))*n:]
		line[0] += v
		for b, g := range fs[:a+1] {
			line[1+int(g)] += float64(v * float64(xs[b]))
		}
	}
}

// passedBy counts those of some other rows that have a feature with a vector of 0 and this weight: items that were there and that too few
// people chose. Without them a feature's vector would be that of its best-liked items, and new items would be taken for those.
func (r *ridge) passedBy(others []int32, weight float64) {
	r.weight = weight
	for _, row := range others {
		if fs, _ := r.rows.Row(row); len(fs) > 0 {
			r.others = append(r.others, row)
			r.add(row, weight)
		}
	}
}

// factor ends the sums. O(features³).
func (r *ridge) factor() {
	if n := 1 + r.to.space.Len(); !vec.Cholesky64(r.l, n) {
		r.fault = fmt.Errorf("%w (the regression on %d features is singular: raise ridge)", ErrDiverged, n-1)
	}
}

// fit sets the map to the minimizer for vectors (rows×d), whose weights are reg. O(features²·d + rows·features of a row·d).
func (r *ridge) fit(vectors []float32, reg []float64) error {
	if r.fault != nil {
		return r.fault
	}
	d, n := r.to.d, 1+r.to.space.Len()
	right := make([]float64, n*d) // GᵀRV
	add := func(f int, x float64, v []float32) {
		to := right[f*d:][:d]
		for i, v := range v {
			to[i] += float64(x * float64(v))
		}
	}
	for i, row := range r.at {
		v := vectors[i*d:][:d]
		add(0, reg[i], v)
		fs, xs := r.rows.Row(row)
		for k, f := range fs {
			add(1+int(f), reg[i]*float64(xs[k]), v)
		}
	}
	b := make([]float64, d*n) // a row a dimension
	for f := range n {
		for i := range d {
			b[i*n+f] = right[f*d+i]
		}
	}
	const together = 4 // dimensions that share a pass over the factor
	parts := (d + together - 1) / together
	vec.Chunks(parts, func() struct{} { return struct{}{} }, func(_ struct{}, part int) {
		lo, hi := part*together, min((part+1)*together, d)
		vec.CholeskySolve64(r.l, n, b[lo*n:hi*n], hi-lo)
	})
	for f := range n {
		for i := range d {
			r.to.b[f*d+i] = float32(b[i*n+f])
		}
	}
	return nil
}

// refit fits the map to vectors and sets centres to what it makes of the rows, and returns what the map itself costs: κ·‖B‖², and the weight
// of the others times their distance from 0.
func (r *ridge) refit(centres, vectors []float32, reg []float64) (penalty float64, err error) {
	if err := r.fit(vectors, reg); err != nil {
		return 0, err
	}
	d := r.to.d
	for _, v := range r.to.b {
		penalty += float64(v) * float64(v)
	}
	const rowsPerChunk = 256
	chunks := (len(r.at) + rowsPerChunk - 1) / rowsPerChunk
	vec.Chunks(chunks, func() struct{} { return struct{}{} }, func(_ struct{}, chunk int) {
		lo, hi := vec.Span(len(r.at), chunks, chunk)
		for i := lo; i < hi; i++ {
			fs, xs := r.rows.Row(r.at[i])
			r.to.centre(centres[i*d:][:d], fs, xs)
		}
	})
	penalty *= r.kappa
	vector := make([]float32, d)
	for _, row := range r.others {
		fs, xs := r.rows.Row(row)
		r.to.centre(vector, fs, xs)
		penalty += r.weight * vec.Dot64(vector, vector)
	}
	return penalty, nil
}
