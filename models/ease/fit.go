package ease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// ErrSingular says that XᵀX + λI cannot be inverted in float32.
var ErrSingular = errors.New("the Gram matrix is singular to float32's precision: raise regularization")

// Trainer trains models with the hyperparameters it holds.
type Trainer struct {
	Hyper Hyper
}

// Name returns "ease".
func (t *Trainer) Name() string { return "ease" }

// Train learns from the events of d in [Cuts.Base, until). A data set in which no item has enough subjects gives a model that knows no
// item. seed is not used: nothing is drawn. It returns ErrSingular, ctx's error, or what is wrong with the hyperparameters. With n items
// in the core: n³/2 multiply-adds and Σ_u |row u|²/2 additions, on all cores; memory 4·n² bytes, n²/8 for the pairs that are common
// enough, and 2 bytes a pair of a subject and an item (6 unless values are binary without decay; 2 more in the tail).
func (t *Trainer) Train(ctx context.Context, d *models.Dataset, until int64, seed uint64) (models.Model, error) {
	m, err := t.train(ctx, d, until)
	if err != nil {
		return nil, fmt.Errorf("train ease: %w", err)
	}
	return m, nil
}

func (t *Trainer) train(ctx context.Context, d *models.Dataset, until int64) (*Model, error) {
	if err := t.Hyper.Validate(); err != nil {
		return nil, err
	}
	h := t.Hyper.withDefaults()
	x, err := collect(ctx, d, until, &h)
	if err != nil {
		return nil, err
	}
	f := &fit{h: &h, x: x, n: x.n}
	if err := f.gram(ctx); err != nil {
		return nil, err
	}
	if err := f.invert(ctx); err != nil {
		return nil, err
	}
	into, err := f.columns(ctx)
	if err != nil {
		return nil, err
	}
	r := record{
		Kernels: vec.Class(), Until: until, Pairs: len(x.core.col) + len(x.tail.col), Subjects: x.core.rows(), Core: f.n,
	}
	return f.model(d.Catalog.IDs, into, r), nil
}

// fit is the state of one training.
type fit struct {
	h      *Hyper
	x      *rows
	n      int
	a      []float32 // n×n: XᵀX of the core, then its inverse
	common bitset    // n×n, upper triangle: pairs of enough subjects
	scale  []float32 // √P_jj of each rank
}

// bitset is a set of small numbers.
type bitset []uint64

func (b bitset) set(i int)          { b[i/64] |= 1 << (i % 64) }
func (b bitset) has(i int) bool     { return b[i/64]>>(i%64)&1 != 0 }
func (f *fit) words() int           { return (f.n + 63) / 64 }
func (f *fit) row(i int) bitset     { return f.common[i*f.words() : (i+1)*f.words()] }
func (f *fit) line(i int) []float32 { return f.a[i*f.n : (i+1)*f.n] }

// pair reports whether core items i and j have enough subjects in common.
func (f *fit) pair(i, j int) bool { return f.row(min(i, j)).has(max(i, j)) }

// gram sets the upper triangle of a to XᵀX of the core and marks the pairs of enough subjects.
func (f *fit) gram(ctx context.Context) error {
	f.a, f.common = make([]float32, f.n*f.n), make(bitset, f.n*f.words())
	core := &f.x.core
	return each(ctx, core, f.x.count[:f.n], f.counters, func(counts []int32, i int, by []having) error {
		line, common := f.line(i), f.row(i)
		for _, b := range by {
			core.products(line, counts, core.value(b.at), b.at, core.off[b.row+1])
		}
		for j := i; j < f.n; j++ {
			if core.val == nil {
				line[j] = float32(counts[j])
			}
			if j > i && int(counts[j]) >= f.h.MinSubjects {
				common.set(j)
			}
		}
		clear(counts)
		return nil
	})
}

func (f *fit) counters() []int32 { return make([]int32, f.n) }

// products adds a subject's pairs [from, to) to what an item, of which it has v, has in common with their items: the products of values to sum,
// unless all are 1, and the subject to counts.
func (p *pairs[C]) products(sum []float32, counts []int32, v float32, from, to uint32) {
	col := p.col[from:to]
	for _, j := range col {
		counts[j]++
	}
	if p.val != nil {
		val := p.val[from:to]
		for k, j := range col {
			sum[j] += v * val[k]
		}
	}
}

// invert adds λ to the diagonal, which it finds by rule if need be, and inverts.
func (f *fit) invert(ctx context.Context) error {
	if f.h.Regularization == 0 {
		var trace float64
		for i := range f.n {
			trace += float64(f.line(i)[i])
		}
		f.h.Regularization = ruleFor(trace / float64(max(f.n, 1)))
	}
	for i := range f.n {
		f.line(i)[i] += float32(f.h.Regularization)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	runtime.GC() // so that the inverse works where pairs were turned around
	if !vec.InvertSPD(f.a, f.n) {
		return fmt.Errorf("%w (it is %g now, for %d items)", ErrSingular, f.h.Regularization, f.n)
	}
	f.scale = make([]float32, len(f.x.items))
	for i := range f.n {
		p := f.line(i)[i]
		if !(p > 0) || p > math.MaxFloat32 {
			return fmt.Errorf("%w (it is %g now; the inverse has %g on its diagonal)", ErrSingular, f.h.Regularization, p)
		}
		f.scale[i] = float32(math.Sqrt(float64(p)))
	}
	runtime.GC() // so that columns take the place of what the inverse worked with
	return nil
}

// entry is one weight of a column of B: how much the item of a rank speaks for the column's item.
type entry struct {
	rank   int32
	weight float32
}

// columns returns the column of B of each rank: at most Neighbours weights, the largest by magnitude, of pairs of enough subjects.
func (f *fit) columns(ctx context.Context) ([][]entry, error) {
	into := make([][]entry, len(f.x.items))
	const perChunk = 16
	chunks := (f.n + perChunk - 1) / perChunk
	errs := make([]error, chunks)
	vec.Chunks(chunks, f.picker, func(p *picker, chunk int) {
		lo, hi := vec.Span(f.n, chunks, chunk)
		for t := lo; t < hi; t++ {
			if errs[chunk] = ctx.Err(); errs[chunk] != nil {
				return
			}
			line := f.line(t)
			for j, v := range line {
				p.weights[j] = 0
				if j != t && f.pair(j, t) {
					p.weights[j] = -v / line[t]
				}
			}
			if into[t], errs[chunk] = p.pick(); errs[chunk] != nil {
				return
			}
		}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return into, f.tail(ctx, into)
}

// tail sets the columns of the items beyond the core: the ridge regression of such an item on the whole core is b = P·g, where g = Xᵀx is what
// the core has in common with it. Weights are worked out for pairs of enough subjects, and of these for the Neighbours of the highest cosine.
func (f *fit) tail(ctx context.Context, into [][]entry) error {
	core, tail := &f.x.core, &f.x.tail
	return each(ctx, tail, f.x.count[f.n:], f.picker, func(p *picker, t int, by []having) (err error) {
		clear(p.weights)
		own := f.h.Regularization
		for _, b := range by {
			v := tail.value(b.at)
			own += float64(v) * float64(v)
			core.products(p.weights, p.counts, v, core.off[b.row], core.off[b.row+1])
		}
		f.scale[f.n+t] = float32(1 / math.Sqrt(own))
		p.near, p.sums = p.near[:0], p.sums[:0]
		for j, c := range p.counts {
			if core.val == nil {
				p.weights[j] = float32(c)
			}
			if c > 0 {
				p.near = append(p.near, int32(j))
			}
			p.size[j] = 0
			if c > 0 && int(c) >= f.h.MinSubjects {
				p.size[j] = p.weights[j] / float32(math.Sqrt(float64(f.x.count[j])))
			}
		}
		if p.enough, err = p.greatest(p.enough); err != nil {
			return err
		}
		for _, j := range p.enough {
			p.sums = append(p.sums, p.dot(f.line(int(j))))
		}
		clear(p.weights)
		for k, j := range p.enough {
			p.weights[j] = p.sums[k]
		}
		clear(p.counts)
		into[f.n+t], err = p.pick()
		return err
	})
}

const slabEntries = 1 << 15

// picker is one worker's memory for columns.
type picker struct {
	weights, size []float32 // of the core's items
	counts        []int32
	near, enough  []int32
	kept          []int32
	slab          []entry // where columns are put, one after the other: an allocation each would round up by an eighth
	sums          []float32
	items         []int32 // room for the answer
	best          []float32
}

func (f *fit) picker() *picker {
	k := min(f.h.Neighbours, f.n)
	return &picker{weights: make([]float32, f.n), size: make([]float32, f.n), counts: make([]int32, f.n), items: make([]int32, k), best: make([]float32, k)}
}

// dot returns the product of a line of the inverse with the weights, which are 0 but near the item. A gathered value costs about as much as
// eight of a row.
func (p *picker) dot(line []float32) float32 {
	if 8*len(p.near) > len(line) {
		return vec.Dot(line, p.weights)
	}
	var sum float64
	for _, k := range p.near {
		sum += float64(line[k]) * float64(p.weights[k])
	}
	return float32(sum)
}

// greatest returns the Neighbours items of the greatest sizes above 0, ascending, in dst.
func (p *picker) greatest(dst []int32) ([]int32, error) {
	n, err := models.Best(p.size, &models.Query{}, p.items, p.best)
	if err != nil {
		return nil, fmt.Errorf("weights of an item: %w; lower the events' weights", err)
	}
	dst = dst[:0]
	for i, j := range p.items[:n] {
		if p.best[i] > 0 {
			dst = append(dst, j)
		}
	}
	slices.Sort(dst)
	return dst, nil
}

// pick returns the Neighbours largest weights by magnitude, ascending by rank.
func (p *picker) pick() ([]entry, error) {
	for j, w := range p.weights {
		p.size[j] = float32(math.Abs(float64(w)))
	}
	var err error
	if p.kept, err = p.greatest(p.kept); err != nil {
		return nil, err
	}
	if len(p.slab)+len(p.kept) > cap(p.slab) {
		p.slab = make([]entry, 0, max(slabEntries, len(p.kept)))
	}
	from := len(p.slab)
	for _, j := range p.kept {
		p.slab = append(p.slab, entry{j, p.weights[j]})
	}
	return p.slab[from:len(p.slab):len(p.slab)], nil
}

// model turns columns over ranks into rows over items in the order of their ids.
func (f *fit) model(ids []string, into [][]entry, r record) *Model {
	n := len(f.x.items)
	order := make([]int, n) // ranks in the order of the catalog
	for i := range order {
		order[i] = i
	}
	f.a, f.common, f.x.core, f.x.tail = nil, nil, pairs[uint16]{}, pairs[int32]{}
	runtime.GC() // so that the model takes the place of the inverse, whose memory bounds the fit's
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(f.x.items[a], f.x.items[b]) })
	at := make([]int32, n)
	m := &Model{hyper: *f.h, record: r, items: make([]string, n), off: make([]int32, n+1), scale: make([]float32, n)}
	for i, rank := range order {
		at[rank] = int32(i)
		m.items[i], m.scale[i] = ids[f.x.items[rank]], f.scale[rank]
	}
	for _, column := range into {
		for _, e := range column {
			m.off[at[e.rank]+1]++
		}
	}
	for i := range n {
		m.off[i+1] += m.off[i]
	}
	m.col, m.val = make([]int32, m.off[n]), make([]float32, m.off[n])
	next := slices.Clone(m.off[:n])
	for i, rank := range order { // so a row's columns ascend
		for _, e := range into[rank] {
			from := at[e.rank]
			m.col[next[from]], m.val[next[from]] = int32(i), e.weight
			next[from]++
		}
	}
	return m
}
