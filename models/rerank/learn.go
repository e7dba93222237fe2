package rerank

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"

	_ "go4.org/unsafe/assume-no-moving-gc" // gorgonia's own version of it panics under this Go
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// The shape of a training step, which gorgonia fixes for good: batchRows answers, each with one item that was chosen and others of the
// shortlist that were not.
const (
	batchRows = 64
	contrast  = 16 // candidates a row, the chosen one first
	patience  = 6  // epochs without a better held-out figure
)

// The scale of the loss, in natural logarithms of scores. What is farther below the best candidate than farthest is taken as that far, for
// exponents must stay within float32 (with a bound of at most maxBound).
const (
	temperature = 0.25
	farthest    = 10
	maxBound    = 0.9
)

// trainable is a network as gorgonia trains it: the layers' weights, shared with the graph, and the inputs of one step.
type trainable struct {
	net     *network
	machine gorgonia.VM
	solver  gorgonia.Solver
	layers  gorgonia.Nodes
	values  []*tensor.Dense // of the inputs
	inputs  gorgonia.Nodes  // x, mask, base, gain
	weights [][]float32     // w1, b1, w2, b2, w3, b3
	loss    gorgonia.Value  // of the last step
	drawn   *rand.Rand
	hyper   *Hyper
}

// gorgonias holds graphs apart: the library shares pools between machines, and a backfill trains several nights at once.
var gorgonias sync.Mutex

// newTrainable builds the graph of
//
//	loss = mean over rows and j of gain_j·ln(1 + exp((s_j − s_0)/τ)),   s = logit + ln(1 + bound·tanh(net(x) − mean net(head)))
//
// where candidate 0 of a row was chosen and the others were not, the head's mean is that of those that were drawn from it, and gain_j is what
// changing places would mean for the list's nDCG. Weights start from a PCG of seed (He's normal; nearly 0 in the last layer, so that the
// correction starts from none).
func newTrainable(n *network, h *Hyper, seed uint64) (t *trainable, err error) {
	defer func() {
		if r := recover(); r != nil { // gorgonia.Must: a shape that does not fit
			err = fmt.Errorf("build the graph: %v", r)
		}
	}()
	r := rand.New(rand.NewPCG(seed, 0x72657261))
	normal := func(size int, sd float64) []float32 {
		w := make([]float32, size)
		for i := range w {
			w[i] = float32(sd * r.NormFloat64())
		}
		return w
	}
	in, h1, h2 := n.inputs(), n.h1, n.h2
	const rows = batchRows * contrast
	t = &trainable{net: n, hyper: h, drawn: r, weights: [][]float32{
		normal(in*h1, math.Sqrt(2/float64(in))), make([]float32, h1),
		normal(h1*h2, math.Sqrt(2/float64(h1))), make([]float32, h2),
		normal(h2, 0.01), make([]float32, 1),
	}}
	g := gorgonia.NewGraph()
	matrix := func(name string, value []float32, rows, cols int) *gorgonia.Node {
		return gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(rows, cols), gorgonia.WithName(name),
			gorgonia.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(value))))
	}
	for i, s := range []struct {
		name       string
		rows, cols int
	}{{"w1", in, h1}, {"b1", 1, h1}, {"w2", h1, h2}, {"b2", 1, h2}, {"w3", h2, 1}, {"b3", 1, 1}} {
		t.layers = append(t.layers, matrix(s.name, t.weights[i], s.rows, s.cols))
	}
	for _, s := range []struct {
		name       string
		rows, cols int
	}{{"x", rows, in}, {"mask", rows, h1}, {"base", batchRows, contrast}, {"gain", batchRows, contrast - 1}} {
		value := tensor.New(tensor.WithShape(s.rows, s.cols), tensor.WithBacking(make([]float32, s.rows*s.cols)))
		t.values = append(t.values, value)
		t.inputs = append(t.inputs, gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(s.rows, s.cols), gorgonia.WithName(s.name), gorgonia.WithValue(value)))
	}
	ones := make([]float32, rows)
	for i := range ones {
		ones[i] = 1
	}
	// differences turns the scores of a row's candidates into those of the others minus the chosen one's.
	differences := make([]float32, contrast*(contrast-1))
	for j := range contrast - 1 {
		differences[j], differences[(j+1)*(contrast-1)+j] = -1, 1
	}
	one, apart := matrix("ones", ones, rows, 1), matrix("differences", differences, contrast, contrast-1)

	must := gorgonia.Must
	layer := func(x, w, b *gorgonia.Node) *gorgonia.Node {
		return must(gorgonia.Add(must(gorgonia.Mul(x, w)), must(gorgonia.Mul(one, b))))
	}
	w, x, mask, base, gain := t.layers, t.inputs[0], t.inputs[1], t.inputs[2], t.inputs[3]
	a1 := must(gorgonia.HadamardProd(must(gorgonia.Rectify(layer(x, w[0], w[1]))), mask))
	a2 := must(gorgonia.Rectify(layer(a1, w[2], w[3])))
	z := must(gorgonia.Reshape(layer(a2, w[4], w[5]), tensor.Shape{batchRows, contrast}))
	y := must(gorgonia.Tanh(must(gorgonia.Mul(z, matrix("centring", centring(), contrast, contrast)))))
	bound, scale := gorgonia.NewConstant(float32(n.bound)), gorgonia.NewConstant(float32(1/temperature))
	s := must(gorgonia.Add(base, must(gorgonia.Mul(must(gorgonia.Log1p(must(gorgonia.Mul(y, bound)))), scale))))
	d := must(gorgonia.Mul(s, apart))
	loss := must(gorgonia.Mean(must(gorgonia.HadamardProd(gain, must(gorgonia.Log1p(must(gorgonia.Exp(d))))))))
	gorgonia.Read(loss, &t.loss)
	if _, err := gorgonia.Grad(loss, t.layers...); err != nil {
		return nil, fmt.Errorf("differentiate: %w", err)
	}
	t.machine = gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(t.layers...))
	t.solver = gorgonia.NewAdamSolver(gorgonia.WithLearnRate(h.Rate))
	return t, nil
}

// centring is the contrast×contrast matrix that takes the mean of a row's candidates that were drawn from the head from all of them.
func centring() []float32 {
	m := make([]float32, contrast*contrast)
	for i := range contrast {
		for j := range contrast {
			if fromHead(i) {
				m[i*contrast+j] = -1.0 / ofHead
			}
		}
		m[i*contrast+i]++
	}
	return m
}

// network returns the network of the weights as they are now.
func (t *trainable) network() *network {
	n, clones := *t.net, make([][]float32, len(t.weights))
	for i, w := range t.weights {
		clones[i] = append([]float32(nil), w...)
	}
	n.w1, n.b1, n.w2, n.b2, n.w3, n.b3 = clones[0], clones[1], clones[2], clones[3], clones[4], clones[5][0]
	return n.seal()
}

// step takes one step on batchRows examples of l.
func (t *trainable) step(l *lessons, rows []example) error {
	data := func(i int) []float32 { return t.values[i].Data().([]float32) }
	x, mask, base, gain := data(0), data(1), data(2), data(3)
	clear(x)
	in, dense := t.net.inputs(), t.net.dense
	for r, e := range rows {
		a := &l.answers[e.answer]
		list := &l.questions[a.question].list
		for c, j := range l.draw(a, e.chosen, t.drawn) {
			at := r*contrast + c
			row := x[at*in:][:in]
			t.net.standardize(row[:dense], list.features[j*l.width:][:l.width])
			for col := range t.net.columns {
				row[t.net.at[col]+a.context.Level(col)] = 1
			}
			base[at] = float32(max(logit(list.base, j), -farthest) / temperature)
			if c > 0 {
				gain[r*(contrast-1)+c-1] = l.gain(a, e.chosen, j) * l.questions[a.question].odds(j)
			}
		}
	}
	keep := float32(1 / (1 - t.hyper.Dropout))
	threshold := uint64(t.hyper.Dropout * (1 << 16))
	for i := 0; i < len(mask); i += 4 {
		bits := t.drawn.Uint64()
		for j := i; j < min(i+4, len(mask)); j++ {
			if mask[j] = keep; bits&0xffff < threshold {
				mask[j] = 0
			}
			bits >>= 16
		}
	}
	for i, n := range t.inputs {
		if err := gorgonia.Let(n, t.values[i]); err != nil {
			return err
		}
	}
	if err := t.machine.RunAll(); err != nil {
		return err
	}
	if err := t.solver.Step(gorgonia.NodesToValueGrads(t.layers)); err != nil {
		return err
	}
	t.machine.Reset()
	return nil
}

// learn trains a network of n's inputs and shape on the lessons and returns that of the epoch with the least held-out loss, or nil
// if none was better than no correction at all (always: the best of them nevertheless).
func learn(ctx context.Context, n *network, h *Hyper, l *lessons, always bool, seed uint64) (best *network, told Learning, err error) {
	gorgonias.Lock()
	defer gorgonias.Unlock()
	useKernels()
	t, err := newTrainable(n, h, seed)
	if err != nil {
		return nil, told, err
	}
	defer t.machine.Close()
	told = Learning{Rows: len(l.examples), Before: l.figure(nil), Epochs: []float64{}}
	top, since := told.Before, 0
	if always {
		top = -1
	}
	order := append([]example(nil), l.examples...)
	for len(order) < batchRows {
		order = append(order, l.examples...)
	}
	for epoch := 0; epoch < h.Epochs && since < patience; epoch++ {
		t.drawn.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for at := 0; at+batchRows <= len(order); at += batchRows {
			if err := ctx.Err(); err != nil {
				return nil, told, err
			}
			if err := t.step(l, order[at:at+batchRows]); err != nil {
				return nil, told, fmt.Errorf("epoch %d: %w", epoch+1, err)
			}
		}
		now := t.network()
		if err := now.finite(); err != nil {
			return nil, told, fmt.Errorf("epoch %d: %w", epoch+1, err)
		}
		figure := l.figure(now)
		told.Epochs = append(told.Epochs, figure)
		if since++; figure > top {
			best, top, since = now, figure, 0
		}
	}
	return best, told, nil
}
