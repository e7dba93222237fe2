package als

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
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
	// Parent, if not nil, is a warm start (warm.go). What it learned from stays in the result, also from subjects who have been erased
	// since: whoever sets it keeps a digest of it with the inputs, and leaves it out of the first training that an erasure makes due.
	Parent *Model
}

// Name returns "als".
func (t *Trainer) Name() string { return "als" }

// Train learns from the events of d in [d.Cuts.Base, until). A data set in which no item has enough subjects gives a model that knows
// no item. It returns ErrDiverged, ctx's error, or what is wrong with the hyperparameters or the events. Time: epochs · 2·pairs·d·(2+2·Steps)
// multiply-adds, where the solver is "cholesky" epochs · (pairs·d² + (subjects+items)·d³/3), and what pairs.neighbours says, on all cores. Memory:
// 8 bytes a pair, 16 where confidences differ, 4·d bytes a row, and about a megabyte a core.
func (t *Trainer) Train(ctx context.Context, d *models.Dataset, until int64, seed uint64) (models.Model, error) {
	if err := t.Hyper.Validate(); err != nil {
		return nil, fmt.Errorf("train als: %w", err)
	}
	h := t.Hyper.withDefaults()
	p, err := collect(d, until, &h)
	if err != nil {
		return nil, fmt.Errorf("train als: %w", err)
	}
	h.resolve(d, p)
	var stop watch
	if h.Patience > 0 {
		best, err := t.rehearse(ctx, d, until, seed, h)
		if err != nil {
			return nil, fmt.Errorf("train als: %w", err)
		}
		if best > 0 {
			h.Epochs = best
		} else {
			stop = plateau(h.Patience)
		}
	}
	epoch := 0
	m, err := learn(ctx, d, p, until, seed, h, t.Parent, func(ctx context.Context, m *Model, objective float64) (bool, error) {
		epoch++
		if t.Progress != nil {
			t.Progress(epoch, objective)
		}
		if stop != nil {
			return stop(ctx, m, objective)
		}
		return false, nil
	})
	if err == nil {
		m.neighbours, err = p.neighbours(ctx, &h, m.factors)
	}
	if err != nil {
		return nil, fmt.Errorf("train als: %w", err)
	}
	return m, nil
}

// learn trains on p, the pairs of d before until, for at most h.Epochs epochs, or until after says that it is enough.
func learn(ctx context.Context, d *models.Dataset, p *pairs, until int64, seed uint64, h Hyper, parent *Model, after watch) (*Model, error) {
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
	if f.start(m.items, parent, until) {
		m.record.after(&parent.record)
	}
	for epoch := 1; epoch <= h.Epochs; epoch++ {
		if err := f.epoch(ctx); err != nil {
			return nil, fmt.Errorf("epoch %d of %d: %w", epoch, h.Epochs, err)
		}
		m.record.Objective = append(m.record.Objective, f.objective)
		enough, err := after(ctx, m, f.objective)
		if err != nil {
			return nil, fmt.Errorf("after epoch %d of %d: %w", epoch, h.Epochs, err)
		}
		if enough || m.record.settled() {
			break
		}
	}
	if f.finish != nil {
		if err := f.finish(); err != nil {
			return nil, err
		}
	}
	// A subject who is folded in may have the shortest of histories. With half of that row's regularizer the matrix must still have a factor.
	if _, ok := newSystem(f.items, f.itemGram, h.Dim, h.Weight).factor64(nil, nil, h.shrink(0, len(p.items))/2); !ok {
		return nil, fmt.Errorf("after %d epochs: %w (the system of a subject without history is singular)", len(m.record.Objective), ErrDiverged)
	}
	return m, nil
}

// fit is the state of one training.
type fit struct {
	h                  *Hyper
	p                  *pairs
	subjects, items    []float32 // rows×d
	subjGram, itemGram []float64 // WᵀW and HᵀH, d×d
	objective, atStart float64   // atStart: of vectors that are 0, and of the start's regularizers
	subjReg, itemReg   []float64 // λ·#^ν a row
	centres            centres
	finish             func() error // what is left to do when all epochs are done; nil: nothing
	plan               planner
	spans              [2][]span // by side
	turns              [2]bool   // by side: are rows solved in the basis of the other side's eigenvectors?

	hiring  sync.Mutex
	workers []*worker
	busy    int // of workers, in this half
	effort  effort
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

// newFit draws the item vectors: independent normals of standard deviation 0.1/√d from a PCG of seed. Subject vectors are solved first: they
// start from 0.
func newFit(p *pairs, h *Hyper, seed uint64) *fit {
	d, plan := h.Dim, newPlanner(h, p)
	f := &fit{
		h: h, p: p, objective: math.Inf(1), plan: plan,
		subjects: make([]float32, p.subjects*d), items: make([]float32, len(p.items)*d),
		subjGram: make([]float64, d*d), itemGram: make([]float64, d*d),
		subjReg: regularizers(&p.bySubj, len(p.items), h), itemReg: regularizers(&p.byItem, p.subjects, h),
		spans: [...][]span{subjectSide: plan.spans(&p.bySubj), itemSide: plan.spans(&p.byItem)},
		turns: [...]bool{subjectSide: plan.turns(&p.bySubj), itemSide: plan.turns(&p.byItem)},
	}
	r, sd := rand.New(rand.NewPCG(seed, 0x616c73)), 0.1/math.Sqrt(float64(d))
	for i := range f.items {
		f.items[i] = float32(sd * r.NormFloat64())
	}
	vec.Gram(f.itemGram, f.items, len(p.items), d)
	f.atStart = p.confidence + f.regularization(f.items, nil, f.itemReg)
	return f
}

func regularizers(s *sparse, others int, h *Hyper) []float64 {
	reg := make([]float64, s.rows())
	for r := range reg {
		reg[r] = h.shrink(s.off[r+1]-s.off[r], others)
	}
	return reg
}

// epoch solves all subjects against the items, then all items against the subjects, and sets the objective, which neither exact solves nor
// steps ever raise.
func (f *fit) epoch(ctx context.Context) error {
	d := f.h.Dim
	if f.effort = (effort{f.h.Steps, residualLeft}); math.IsInf(f.objective, 1) { // the first
		f.effort = firstEffort
	}
	if _, err := f.half(ctx, subjectSide, f.subjects, &f.p.bySubj, newSystem(f.items, f.itemGram, d, f.h.Weight), f.subjReg); err != nil {
		return fmt.Errorf("subjects: %w", err)
	}
	vec.Gram(f.subjGram, f.subjects, f.p.subjects, d)
	loss, err := f.half(ctx, itemSide, f.items, &f.p.byItem, newSystem(f.subjects, f.subjGram, d, f.h.Weight), f.itemReg)
	if err != nil {
		return fmt.Errorf("items: %w", err)
	}
	vec.Gram(f.itemGram, f.items, len(f.p.items), d)
	before := f.objective
	f.objective = loss + f.regularization(f.subjects, f.centres.subjects, f.subjReg) + f.regularization(f.items, f.centres.items, f.itemReg) +
		f.centres.penalty[subjectSide] + f.centres.penalty[itemSide]
	// Float32 rows are minimizers to about seven digits of what they cost at 0 or at the start, so a converged objective may flicker.
	if !(f.objective <= before*(1+1e-5)+1e-6*f.atStart) || math.IsInf(f.objective, 1) {
		return fmt.Errorf("%w (objective %g after %g)", ErrDiverged, f.objective, before)
	}
	return nil
}

// half improves every row of s, the pairs of one side, in dst, and refits that side's centres. It returns what the rows add to the
// objective, without their regularizers: each solve knows its own, so no pass over the pairs is needed for it.
func (f *fit) half(ctx context.Context, side side, dst []float32, s *sparse, sys *system, reg []float64) (loss float64, err error) {
	sys.same = s.same
	var turned *basis
	if f.turns[side] {
		var ok bool
		if turned, ok = sys.turn(); !ok {
			return 0, fmt.Errorf("%w (the other side's vectors are not finite)", ErrDiverged)
		}
	}
	spans, centre := f.spans[side], f.centres.of(side)
	losses := make([]float64, len(spans))
	var failed atomic.Bool
	f.busy = 0
	vec.Chunks(len(spans), func() *worker { return f.worker(sys) }, func(w *worker, chunk int) {
		if ctx.Err() != nil || failed.Load() {
			return
		}
		rows := spans[chunk]
		if !w.solve(&losses[chunk], dst, s, rows, centre, reg, turned) {
			failed.Store(true)
		}
	})
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if failed.Load() {
		return 0, fmt.Errorf("%w (a row's matrix is not positive definite)", ErrDiverged)
	}
	if turned != nil {
		turned.restore(sys.fixed)
	}
	for _, l := range losses {
		loss += l
	}
	return loss, f.centres.fit(ctx, side, dst, reg)
}

// worker solves rows one span after another.
type worker struct {
	sys    *system
	plan   planner
	effort effort
	sc     *scratch
	w, m   []float32 // the span's rows and centres, in the turned basis and whole lanes
}

// worker returns a worker for sys. Workers are used again from half to half, for their memory.
func (f *fit) worker(sys *system) *worker {
	f.hiring.Lock()
	defer f.hiring.Unlock()
	if f.busy == len(f.workers) {
		w := &worker{plan: f.plan, sc: sys.gathers(f.plan.room)}
		w.w, w.m = make([]float32, maxSpan*w.sc.stride), make([]float32, maxSpan*w.sc.stride)
		f.workers = append(f.workers, w)
	}
	w := f.workers[f.busy]
	w.sys, w.effort = sys, f.effort
	f.busy++
	return w
}

// solve improves the rows of a span and sets loss to what they add to the objective without their regularizers.
func (w *worker) solve(loss *float64, dst []float32, s *sparse, rows span, centre []float32, reg []float64, turned *basis) bool {
	d, stride, n := w.sys.d, w.sc.stride, rows.hi-rows.lo
	mine := dst[rows.lo*d : rows.hi*d]
	if turned == nil {
		for r := rows.lo; r < rows.hi; r++ {
			if !w.exact(loss, dst[r*d:][:d], s, r, row(centre, r, d), reg[r]) {
				return false
			}
		}
		return true
	}
	turned.to.MulNT(w.w, stride, mine, d, n)
	var m []float32
	if centre != nil {
		m = w.m
		turned.to.MulNT(m, stride, centre[rows.lo*d:], d, n)
	}
	for k := range n {
		if !w.improve(loss, w.w[k*stride:][:stride], s, rows.lo+k, row(m, k, stride), reg[rows.lo+k]) {
			return false
		}
	}
	turned.from.MulNT(mine, d, w.w, stride, n)
	return true
}

// improve solves row r as planned, in the turned basis, and exactly if that fails. v and centre are in whole lanes.
func (w *worker) improve(loss *float64, v []float32, s *sparse, r int, centre []float32, shrink float64) bool {
	col, conf := s.row(r)
	var l float64
	ok := false
	switch w.plan.of(len(col)) {
	case byConjugateGradients:
		l, ok = w.sys.conjugate(v, col, conf, shrink, centre, w.effort, w.sc)
	case byBlocks:
		l, ok = w.sys.blocks(v, col, conf, shrink, centre, w.plan.width, w.sc)
	}
	if ok {
		*loss += l - shrink*apart(v, centre)
		return true
	}
	if centre != nil {
		centre = centre[:w.sys.d]
	}
	return w.exact(loss, v[:w.sys.d], s, r, centre, shrink)
}

// exact solves row r.
func (w *worker) exact(loss *float64, v []float32, s *sparse, r int, centre []float32, shrink float64) bool {
	col, conf := s.row(r)
	if !w.sys.solve(v, col, conf, shrink, centre, w.sc) {
		return false
	}
	*loss += w.sys.lossOf(v, col, conf, centre, shrink, w.sc)
	return true
}

// row returns row r of m (rows×d), or nil if m is.
func row(m []float32, r, d int) []float32 {
	if m == nil {
		return nil
	}
	return m[r*d:][:d]
}

// apart is ‖w − m‖² in float64; a nil m is 0.
func apart(w, m []float32) (sum float64) {
	if m == nil {
		return vec.Dot64(w, w)
	}
	for i, v := range w {
		x := float64(v) - float64(m[i])
		sum += float64(x * x)
	}
	return sum
}

// regularization is Σ λ·#^ν·‖w − m‖² over a side's rows.
func (f *fit) regularization(vectors, centre []float32, reg []float64) (sum float64) {
	d := f.h.Dim
	for r, x := range reg {
		sum += x * apart(vectors[r*d:][:d], row(centre, r, d))
	}
	return sum
}
