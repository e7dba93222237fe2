package als

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// ErrDiverged says that training or a fold-in left the range of floating point, or that the objective rose.
var ErrDiverged = errors.New("als diverged: raise regularization, or lower the event weights")

// Trainer trains models with the hyperparameters it holds.
type Trainer struct {
	Hyper Hyper
	// Progress, if not nil, is called after each epoch (1, 2, …) with the objective, on the goroutine that called Train.
	Progress func(epoch int, objective float64)
}

// Name returns "als".
func (t *Trainer) Name() string { return "als" }

// Train learns from the events of d in [d.Cuts.Base, until). A data set in which no item has enough subjects gives a model that knows
// no item. It returns ErrDiverged, ctx's error, or what is wrong with the hyperparameters or the events. Time: epochs · (pairs·d² +
// (subjects+items)·d³/3) multiply-adds, on all cores; memory: 16 bytes a pair and 4·d bytes a row.
func (t *Trainer) Train(ctx context.Context, d *models.Dataset, until int64, seed uint64) (models.Model, error) {
	if err := t.Hyper.Validate(); err != nil {
		return nil, fmt.Errorf("train als: %w", err)
	}
	h := t.Hyper.withDefaults()
	p, err := collect(d, until, &h)
	if err != nil {
		return nil, fmt.Errorf("train als: %w", err)
	}
	if h.Dim == 0 {
		h.Dim = dimFor(len(p.bySubj.col), p.subjects, len(p.items))
	}
	h.resolveAttributes(d, p)
	f := newFit(p, &h, seed)
	m := &Model{maps: f.useAttributes(d), hyper: h, factors: f.items, gram: f.itemGram, record: record{
		Kernels: vec.Class(), Until: until, Seed: seed, Pairs: len(p.bySubj.col), Subjects: p.subjects,
	}}
	for _, i := range p.items {
		m.items = append(m.items, d.Catalog.IDs[i])
	}
	if len(p.items) == 0 {
		return m, nil
	}
	for epoch := 1; epoch <= h.Epochs; epoch++ {
		if err := f.epoch(ctx); err != nil {
			return nil, fmt.Errorf("train als, epoch %d of %d: %w", epoch, h.Epochs, err)
		}
		m.record.Objective = append(m.record.Objective, f.objective)
		if t.Progress != nil {
			t.Progress(epoch, f.objective)
		}
	}
	return m, nil
}

// fit is the state of one training.
type fit struct {
	h                  *Hyper
	p                  *pairs
	subjects, items    []float32 // rows×d
	subjGram, itemGram []float64 // WᵀW and HᵀH, d×d
	objective          float64
	subjReg, itemReg   []float64 // λ·#^ν a row
	centres            centres
}

// centres are what the regularizer draws rows towards: λ·#^ν·‖w − m‖² for a row w and its centre m. Its zero value draws all rows
// towards 0.
type centres struct {
	subjects, items []float32 // rows×d, or nil for 0
	// refit, if not nil, is called after every half with the side just solved, its vectors (rows×d) and their λ·#^ν. It may change that
	// side's centres in place, and returns what they cost: a penalty that belongs to the objective, which must not rise by the refit.
	refit   func(ctx context.Context, side side, vectors []float32, reg []float64) (penalty float64, err error)
	penalty [2]float64 // by side, of the last refit
}

// side is one of the two that take turns. Its rows are pairs.rows of subjects, or pairs.items.
type side int

const (
	subjectSide side = iota
	itemSide
)

func (s side) String() string { return [...]string{"subjects", "items"}[s] }

func (c *centres) of(s side) []float32 { return [...][]float32{c.subjects, c.items}[s] }

func (c *centres) fit(ctx context.Context, s side, vectors []float32, reg []float64) (err error) {
	if c.refit != nil {
		c.penalty[s], err = c.refit(ctx, s, vectors, reg)
	}
	return err
}

// newFit draws the item vectors: independent normals of standard deviation 0.1/√d from a PCG of seed. Subject vectors are solved first,
// so they need no start.
func newFit(p *pairs, h *Hyper, seed uint64) *fit {
	d := h.Dim
	f := &fit{
		h: h, p: p, objective: math.Inf(1),
		subjects: make([]float32, p.subjects*d), items: make([]float32, len(p.items)*d),
		subjGram: make([]float64, d*d), itemGram: make([]float64, d*d),
		subjReg: regularizers(&p.bySubj, len(p.items), h), itemReg: regularizers(&p.byItem, p.subjects, h),
	}
	r, sd := rand.New(rand.NewPCG(seed, 0x616c73)), 0.1/math.Sqrt(float64(d))
	for i := range f.items {
		f.items[i] = float32(sd * r.NormFloat64())
	}
	vec.Gram(f.itemGram, f.items, len(p.items), d)
	return f
}

func regularizers(s *sparse, others int, h *Hyper) []float64 {
	reg := make([]float64, s.rows())
	for r := range reg {
		reg[r] = h.shrink(s.off[r+1]-s.off[r], others)
	}
	return reg
}

// epoch solves all subjects against the items, then all items against the subjects, and computes the objective, which exact solves
// never raise.
func (f *fit) epoch(ctx context.Context) error {
	n, d := f.p.subjects, f.h.Dim
	if err := f.half(ctx, subjectSide, f.subjects, &f.p.bySubj, newSystem(f.items, f.itemGram, d, f.h.Weight), f.subjReg); err != nil {
		return fmt.Errorf("subjects: %w", err)
	}
	vec.Gram(f.subjGram, f.subjects, n, d)
	if err := f.half(ctx, itemSide, f.items, &f.p.byItem, newSystem(f.subjects, f.subjGram, d, f.h.Weight), f.itemReg); err != nil {
		return fmt.Errorf("items: %w", err)
	}
	vec.Gram(f.itemGram, f.items, len(f.p.items), d)
	before := f.objective
	f.objective = f.loss()
	// Float32 vectors are minimizers to about seven digits, so a converged objective may flicker in the sixth.
	if !(f.objective <= before*(1+1e-5)) || math.IsInf(f.objective, 1) {
		return fmt.Errorf("%w (objective %g after %g)", ErrDiverged, f.objective, before)
	}
	return nil
}

// half solves every row of s, the pairs of one side, into dst, and refits that side's centres.
func (f *fit) half(ctx context.Context, side side, dst []float32, s *sparse, sys *system, reg []float64) error {
	const rowsPerChunk = 32
	n, d := s.rows(), f.h.Dim
	chunks := (n + rowsPerChunk - 1) / rowsPerChunk
	centre := f.centres.of(side)
	var failed atomic.Bool
	vec.Chunks(chunks, sys.scratch, func(sc *scratch, chunk int) {
		if ctx.Err() != nil {
			return
		}
		lo, hi := vec.Span(n, chunks, chunk)
		for r := lo; r < hi; r++ {
			col, conf := s.row(r)
			if !sys.solve(dst[r*d:][:d], col, conf, reg[r], row(centre, r, d), sc) {
				failed.Store(true)
			}
		}
	})
	if err := ctx.Err(); err != nil {
		return err
	}
	if failed.Load() {
		return fmt.Errorf("%w (a row's matrix is not positive definite)", ErrDiverged)
	}
	return f.centres.fit(ctx, side, dst, reg)
}

// row returns row r of m (rows×d), or nil if m is.
func row(m []float32, r, d int) []float32 {
	if m == nil {
		return nil
	}
	return m[r*d:][:d]
}

// apart is ‖w − m‖² in float64; a nil m is 0. It overwrites diff (d) if m is not nil.
func apart(w, m, diff []float32) float64 {
	if m == nil {
		return vec.Dot64(w, w)
	}
	for i, v := range w {
		diff[i] = v - m[i]
	}
	return vec.Dot64(diff, diff)
}

// loss returns the objective of the package comment in float64. The sum over all pairs is ⟨WᵀW, HᵀH⟩. O(pairs·d).
func (f *fit) loss() float64 {
	const chunks = 64
	d, p := f.h.Dim, f.p
	var parts [chunks]float64
	vec.Chunks(chunks, func() []float32 { return make([]float32, d) }, func(diff []float32, chunk int) {
		lo, hi := vec.Span(p.subjects, chunks, chunk)
		var sum float64
		for s := lo; s < hi; s++ {
			w := f.subjects[s*d:][:d]
			col, conf := p.bySubj.row(s)
			for k, i := range col {
				e := vec.Dot64(w, f.items[int(i)*d:][:d]) - 1
				sum += float64(conf[k]) * e * e
			}
			sum += f.subjReg[s] * apart(w, row(f.centres.subjects, s, d), diff)
		}
		parts[chunk] = sum
	})
	total, diff := f.centres.penalty[subjectSide]+f.centres.penalty[itemSide], make([]float32, d)
	for _, part := range parts {
		total += part
	}
	for i, reg := range f.itemReg {
		total += reg * apart(f.items[i*d:][:d], row(f.centres.items, i, d), diff)
	}
	for i, g := range f.subjGram {
		total += f.h.Weight * g * f.itemGram[i]
	}
	return total
}
