package rerank

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
	"github.com/rapport-ml/rapport/models/modelstest"
)

// toy is a window in which the item with the largest feature 2 is chosen, wherever the blend puts it.
func toy(questions int) (*network, *lessons) {
	n := &network{
		h1: 8, h2: 4, bound: 0.5, columns: []int{3}, mean: []float32{0, 1, 0, 0, 0}, scale: []float32{1, 2, 1, 1, 1},
		indicator: []bool{true, false, false, true, false},
	}
	n.lay()
	r := rand.New(rand.NewPCG(1, 2))
	l := &lessons{width: 5, k: 10}
	for q := range questions {
		a := asked{row: q}
		best := 0
		for j := range 50 {
			a.list.base, a.list.items = append(a.list.base, float32(100-j)), append(a.list.items, int32(j))
			for f := range 5 {
				v := float32(r.NormFloat64())
				if f == 3 && j%4 == 0 {
					v = float32(math.NaN())
				}
				a.list.features = append(a.list.features, v)
			}
			if a.list.features[j*5+2] > a.list.features[best*5+2] {
				best = j
			}
		}
		l.questions = append(l.questions, a)
		to := &l.answers
		if q%holdOut == 0 {
			to = &l.held
		}
		*to = append(*to, answer{q, models.Context(0).With(0, q%3), []int{best}, 1})
		if q%holdOut != 0 {
			l.examples = append(l.examples, example{len(l.answers) - 1, best})
		}
	}
	return n, l
}

// TestScoringIsTheGraph compares the loss that gorgonia's graph computes with the same loss computed from this package's own forward pass.
func TestScoringIsTheGraph(t *testing.T) {
	n, l := toy(200)
	h := Defaults()
	h.Dropout = 0
	useKernels()
	tr, err := newTrainable(n, &h, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.machine.Close()
	for step := range 60 {
		before := tr.network()
		if err := tr.step(l, l.examples[step:step+batchRows]); err != nil {
			t.Fatal(err)
		}
		data := func(i int) []float32 { return tr.values[i].Data().([]float32) }
		x, base, gain, in := data(0), data(2), data(3), n.inputs()
		s := make([]float64, batchRows*contrast)
		for row := range s {
			// The inputs are standardized already, so they are turned back into features.
			features, next := make([]float32, len(n.mean)), len(n.mean)
			for j := range features {
				features[j] = x[row*in+j]*n.scale[j] + n.mean[j]
				if n.indicator[j] {
					if x[row*in+next] == 1 {
						features[j] = float32(math.NaN())
					}
					next++
				}
			}
			var c models.Context
			for level := range n.columns[0] {
				if x[row*in+n.at[0]+level] == 1 {
					c = c.With(0, level)
				}
			}
			var m memory
			before.first(features, 1, &m)
			before.outputs(c, &m)
			s[row] = m.y[0]
		}
		for r := range batchRows {
			row, mean := s[r*contrast:][:contrast], 0.0
			for c := 2; c < contrast; c += 2 { // those that are drawn from the head
				mean += row[c] / 7
			}
			for c, z := range row {
				row[c] = float64(base[r*contrast+c]) + math.Log1p(n.bound*math.Tanh(z-mean))/temperature
			}
		}
		var want float64
		for r := range batchRows {
			for c := 1; c < contrast; c++ {
				want += float64(gain[r*(contrast-1)+c-1]) * math.Log1p(math.Exp(s[r*contrast+c]-s[r*contrast])) / (batchRows * (contrast - 1))
			}
		}
		if got := float64(tr.loss.Data().(float32)); math.Abs(got-want) > 1e-5*max(1, want) {
			t.Fatalf("step %d: the graph's loss is %v, ours %v", step, got, want)
		}
	}
}

func TestLearns(t *testing.T) {
	n, l := toy(400)
	h := Hyper{Epochs: 40, Rate: 0.01}.withDefaults()
	best, told, err := learn(t.Context(), n, &h, l, false, 1)
	if err != nil || best == nil {
		t.Fatalf("%v: %+v", err, told)
	}
	if after := l.figure(best); told.Before != l.figure(nil) || after < told.Before+0.2 || after != slices.Max(told.Epochs) {
		t.Errorf("held-out nDCG is %v after %v: %+v", after, told.Before, told)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := learn(ctx, n, &h, l, false, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestBounded: no correction exceeds its bound, whatever the features, and the mix is the weighted mean of its contexts.
func TestBounded(t *testing.T) {
	n, l := toy(10)
	r := rand.New(rand.NewPCG(3, 4))
	for _, w := range []struct {
		to   *[]float32
		size int
	}{{&n.w1, n.inputs() * n.h1}, {&n.b1, n.h1}, {&n.w2, n.h1 * n.h2}, {&n.b2, n.h2}, {&n.w3, n.h2}} {
		*w.to = make([]float32, w.size)
		for i := range *w.to {
			(*w.to)[i] = float32(3 * r.NormFloat64())
		}
	}
	if err := n.check(); err != nil {
		t.Fatal(err)
	}
	n.seal()
	list := l.questions[0].list
	list.features[0], list.features[1] = float32(math.Inf(1)), -math.MaxFloat32
	base := slices.Clone(list.base)
	base[len(base)-1] = -7
	got := make([]float64, len(base))
	n.correct(got, list.features, base, []share{{1, 0.25}, {2, 0.75}}, &memory{})
	one, two := make([]float64, len(base)), make([]float64, len(base))
	n.correct(one, list.features, base, []share{{1, 1}}, &memory{})
	n.correct(two, list.features, base, []share{{2, 1}}, &memory{})
	for i, c := range got {
		most := n.bound * max(float64(base[i]), float64(base[head-1]))
		if !(math.Abs(c) <= most*(1+1e-12)) || math.Abs(c-(0.25*one[i]+0.75*two[i])) > 1e-9*most {
			t.Errorf("candidate %d: %v, bound %v, contexts %v and %v", i, c, most, one[i], two[i])
		}
	}
	// What is common to all candidates is taken away: adding to the output changes nothing, and the head's mean output is 0.
	for j := range n.w3 {
		n.w3[j] /= 1000 // far from the bound
	}
	n.correct(one, list.features, base, []share{{1, 1}}, &memory{})
	moved := *n
	moved.b3 += 7
	shifted, sum := make([]float64, len(base)), 0.0
	moved.seal().correct(shifted, list.features, base, []share{{1, 1}}, &memory{})
	for i, c := range one {
		unit := n.bound * max(float64(base[i]), float64(base[head-1]))
		if i < head {
			sum += math.Atanh(c / unit)
		}
		if c == 0 || math.Abs(shifted[i]-c) > 1e-6*unit {
			t.Errorf("candidate %d: %v, and %v of a network that adds 7 to all", i, c, shifted[i])
		}
	}
	if !(math.Abs(sum) < 1e-9) {
		t.Errorf("the head's outputs sum to %v", sum)
	}
	if unitOf(nil) != 0 || unitOf([]float32{3, -1}) != 0 || unitOf([]float32{3, 2}) != 2 {
		t.Error("units")
	}
}

// TestSameInAnotherProcess trains in processes of 1, 2 and 8 processors.
func TestSameInAnotherProcess(t *testing.T) {
	if os.Getenv("RERANK_DIGEST") != "" {
		m, err := trainer(true).Train(t.Context(), modelstest.Checkerboard(), modelstest.Checkerboard().Cuts.Test, 3)
		if err != nil {
			t.Fatal(err)
		}
		_, digest, err := models.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("digest", digest)
		return
	}
	seen := map[string]bool{}
	for _, procs := range []string{"1", "2", "8"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestSameInAnotherProcess$")
		cmd.Env = append(os.Environ(), "RERANK_DIGEST=1", "GOMAXPROCS="+procs)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for line := range strings.Lines(string(out)) {
			if strings.HasPrefix(line, "digest ") {
				seen[line] = true
			}
		}
	}
	if len(seen) != 1 {
		t.Errorf("%d artifacts: %v", len(seen), seen)
	}
}

// inContexts is the checkerboard, its events in a device each.
func inContexts(t *testing.T, events []models.Event) *models.Dataset {
	t.Helper()
	d := modelstest.Checkerboard()
	c, err := models.NewContexts([]string{"device"}, []map[string]int{{"desktop": 1, "phone": 1}}, "UTC")
	if err != nil {
		t.Fatal(err)
	}
	for s, subject := range d.Events.Subjects {
		h := d.Events.Subject(s)
		for i := range h.Item {
			_, weekday := models.ClockLevels(time.UnixMicro(h.Time[i]).UTC())
			x := models.Context(0).With(0, 1+(s+i)%2).With(2, c.Columns[2].Index(weekday))
			events = append(events, models.Event{Subject: subject, Time: h.Time[i], Item: h.Item[i], Weight: 1, Context: x})
		}
	}
	d.Contexts, d.Events = c, models.NewContextLog(events)
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestNothingFromTheFuture: an event at the time of a question or later changes nothing that the question is asked with: neither the
// models, which end where the window begins, nor the features. An earlier event does.
func TestNothingFromTheFuture(t *testing.T) {
	plain := inContexts(t, nil)
	tr := trainer(true)
	fitted, err := tr.Blend.Fit(t.Context(), plain, plain.Cuts.Test, 1)
	if err != nil {
		t.Fatal(err)
	}
	shortlists := func(d *models.Dataset) []asked {
		h := tr.Hyper.withDefaults()
		m := &Model{}
		m.contexts, m.mix = population(d, d.Cuts.Rerank)
		early := *d
		early.Cuts.Validation = d.Cuts.Rerank
		before, err := tr.Blend.Retrain(t.Context(), fitted, &early, d.Cuts.Rerank, 1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tr.ask(t.Context(), &h, m, &early, before, d.Cuts.Rerank, d.Cuts.Validation, attributesOf(d.Catalog), 1)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	same := func(a, b []asked) bool {
		byRow := map[int]*asked{}
		for i := range a {
			byRow[a[i].row] = &a[i]
		}
		for i := range b {
			x := byRow[b[i].row]
			if x == nil || !slices.Equal(x.list.items, b[i].list.items) || !slices.Equal(x.list.base, b[i].list.base) || !slices.Equal(x.mix, b[i].mix) {
				return false
			}
			for j, v := range x.list.features {
				if math.Float32bits(v) != math.Float32bits(b[i].list.features[j]) {
					return false
				}
			}
		}
		return len(b) > 0
	}
	planted := func(at int64) *models.Dataset {
		var events []models.Event
		for s, subject := range plain.Events.Subjects {
			for item := range int32(12) {
				events = append(events, models.Event{Subject: subject, Time: at + int64(s), Item: item, Weight: 9, Context: models.Context(0).With(0, 1)})
			}
		}
		return inContexts(t, events)
	}
	want := shortlists(plain)
	if got := shortlists(planted(plain.Cuts.Rerank)); !same(got, want) {
		t.Error("events from the window's start on change what its questions are asked with")
	}
	if got := shortlists(planted(plain.Cuts.Rerank - 100)); same(got, want) {
		t.Error("earlier events change nothing: the test sees nothing")
	}
}

// TestMarginal: without a context the score is the mean over the subject's own contexts, with the weights of their shares; a subject
// without any gets everybody's mix; and a context of other columns is translated.
func TestMarginal(t *testing.T) {
	d := inContexts(t, nil)
	made, err := trainer(true).Train(t.Context(), d, d.Cuts.Test, 1)
	if err != nil {
		t.Fatal(err)
	}
	m := made.(*Model)
	if !m.Corrects() {
		t.Fatal(m.Record().Why)
	}
	s, err := m.Bind(t.Context(), d.Catalog, d.SubjectColumns())
	if err != nil {
		t.Fatal(err)
	}
	n := d.Catalog.Len()
	score := func(q models.Query) []float32 {
		out := make([]float32, n)
		if err := s.Score(t.Context(), []models.Query{q}, out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	q := d.Query(0, d.Cuts.Test, 5)
	mixed, mean := score(q), make([]float64, n)
	to := translate(d.Contexts, m.contexts)
	var contexts []models.Context
	for _, c := range q.History.Context {
		contexts = append(contexts, to.context(c))
	}
	for _, part := range mixOf(contexts) {
		back := translate(m.contexts, d.Contexts).context(part.Context)
		asked := q
		asked.Context = &back
		for i, v := range score(asked) {
			mean[i] += part.Weight * float64(v)
		}
	}
	for i, v := range mixed {
		if math.Abs(float64(v)-mean[i]) > 1e-5 {
			t.Errorf("item %d: %v for the mix, %v as the mean over contexts", i, v, mean[i])
		}
	}
	bare := q
	bare.History.Context = nil
	unknown := bare
	unknown.Contexts = nil
	if !slices.Equal(score(bare), score(unknown)) {
		t.Error("without contexts of its own a subject does not get everybody's")
	}
	q.History.Context = q.History.Context[1:]
	if err := s.Score(t.Context(), []models.Query{q}, make([]float32, n)); err == nil || !strings.Contains(err.Error(), "contexts") {
		t.Errorf("a context too few: %v", err)
	}
	// What the artifact keeps of contexts is of at least 11 subjects.
	rare := planted(d)
	kept, mix := population(rare, rare.Cuts.Test)
	if kept.Columns[0].Index("watch") != 0 || kept.Columns[0].Index("phone") == 0 || checkMix(mix, kept) != nil {
		t.Errorf("columns %+v, mix %+v", kept.Columns, mix)
	}
}

// planted is d with a device that ten subjects have.
func planted(d *models.Dataset) *models.Dataset {
	out := *d
	c := &models.Contexts{Zone: "UTC", Columns: slices.Clone(d.Contexts.Columns)}
	c.Columns[0].Levels = []string{"desktop", "phone", "watch"}
	out.Contexts = c
	out.Events.Context = slices.Clone(d.Events.Context)
	for s := range 10 {
		i := out.Events.Off[s]
		out.Events.Context[i] = out.Events.Context[i].With(0, 3)
	}
	return &out
}

// TestBlendToTheBit: where the correction does not ship, scores and explanations are the blend's.
func TestBlendToTheBit(t *testing.T) {
	d := modelstest.Checkerboard()
	tr := trainer(false)
	tr.Hyper.Epochs = 1
	d.Cuts.Rerank = d.Cuts.Validation // no window
	made, err := tr.Train(t.Context(), d, d.Cuts.Test, 1)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := tr.Blend.Train(t.Context(), d, d.Cuts.Test, 1)
	if err != nil {
		t.Fatal(err)
	}
	if m := made.(*Model); m.Corrects() || !strings.Contains(m.Record().Why, "No window") || m.Reranking().Ships || m.Reranking().Subjects != 0 {
		t.Errorf("record %+v", m.Record())
	}
	var rows [2][]float32
	for i, m := range []models.Model{made, plain} {
		s, err := m.Bind(t.Context(), d.Catalog, d.SubjectColumns())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.(models.Shortlister); ok {
			t.Error("a blend publishes candidates")
		}
		rows[i] = make([]float32, d.Catalog.Len())
		if err := s.Score(t.Context(), []models.Query{d.Query(1, d.Cuts.Test, 3)}, rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(rows[0], rows[1]) {
		t.Error("the scores are not the blend's")
	}
	if base, err := made.(models.Reranked).BindBase(t.Context(), d.Catalog, nil); base != nil || err != nil {
		t.Errorf("what corrects nothing has a base: %v, %v", base, err)
	}
}

func TestCompare(t *testing.T) {
	var clear, noise []pair
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 400 {
		x := r.Float64() / 2
		clear = append(clear, pair{i / 4, x, x + 0.05 + 0.05*r.NormFloat64()})
		noise = append(noise, pair{i / 4, x, x + 0.3*r.NormFloat64()})
	}
	c := compare(clear, 1)
	if c.Subjects != 100 || c.Questions != 400 || !(c.Difference.Low > 0.03 && c.Difference.High < 0.07) || c.P > 0.01 {
		t.Errorf("a clear gain: %+v", c)
	}
	if n := compare(noise, 1); n.Difference.Low > 0 || n.P < 0.01 || math.Abs(n.Corrected.Value-n.Blend.Value-n.Difference.Value) > 1e-12 {
		t.Errorf("noise: %+v", n)
	}
	if e := compare(nil, 1); e.P != 1 || e.Subjects != 0 {
		t.Errorf("nothing: %+v", e)
	}
	// By hand: items 0 to 3 with scores 5, 5, 3, 1; items 1 and 3 are relevant, and one more that is no candidate. 1 stands at rank 2 (a
	// tie goes to the lower item), 3 at rank 4: DCG@3 = 1/log2(3), and the ideal of three is 1 + 1/log2(3) + 1/log2(4).
	got := ndcg([]float64{5, 5, 3, 1}, []int32{0, 1, 2, 3}, []int{1, 3}, 3, 3)
	if want := 1 / math.Log2(3) / (1 + 1/math.Log2(3) + 0.5); math.Abs(got-want) > 1e-12 {
		t.Errorf("nDCG@3 %v, want %v", got, want)
	}
}

func TestHyperValidate(t *testing.T) {
	err := Hyper{Hidden: []int{3, 0, 1}, Bound: -1, Epochs: -1, Rate: 2, Dropout: 1, Questions: -5}.Validate()
	for _, name := range []string{"hidden has 3", "a layer of 0", "bound", "epochs", "rate", "dropout", "questions"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not in %v", name, err)
		}
	}
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
	if _, err := (&Trainer{Hyper: Hyper{Bound: 5}}).Train(t.Context(), modelstest.Checkerboard(), 0, 1); err == nil {
		t.Error("trained with a bound of 5")
	}
}

// published trains a correcting model and returns its ranker entry.
func published(t testing.TB) []byte {
	t.Helper()
	d := modelstest.Checkerboard()
	tr := trainer(true)
	tr.Hyper.Epochs = 1
	m, err := tr.Train(t.Context(), d, d.Cuts.Test, 1)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Bind(t.Context(), d.Catalog, d.SubjectColumns())
	if err != nil {
		t.Fatal(err)
	}
	body, err := s.(models.Shortlister).Published("7")
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// FuzzOpenRequest feeds damaged entries: they are refused, or give finite scores within the bound.
func FuzzOpenRequest(f *testing.F) {
	f.Add(published(f), []byte{0, 0, 128, 63})
	f.Add([]byte(`{"format":2}`), []byte{})
	f.Fuzz(func(t *testing.T, body, context []byte) {
		r, err := OpenRequest(body)
		if err != nil {
			return
		}
		width := len(r.net.mean)
		levels := map[string]string{}
		for _, c := range r.Columns() {
			levels[c] = string(context)
		}
		c, err := r.Context(levels, time.UnixMicro(int64(len(context))))
		if err != nil {
			t.Fatalf("its own columns are refused: %v", err)
		}
		base := []float32{2, 1}
		scores, err := r.Score(base, make([]float32, 2*width), c)
		if err != nil {
			return
		}
		for i, s := range scores {
			if math.Abs(s-float64(base[i])) > r.net.bound*2*(1+1e-9) {
				t.Fatalf("score %v of %v with bound %v", s, base[i], r.net.bound)
			}
		}
	})
}

func TestRequestRefuses(t *testing.T) {
	body := string(published(t))
	r, err := OpenRequest([]byte(body))
	if err != nil || r.Version != "7" {
		t.Fatal(err)
	}
	width := len(r.net.mean)
	for name, scores := range map[string][2][]float32{
		"must descend":                           {{1, 2}, make([]float32, 2*width)},
		"another version":                        {{2, 1}, make([]float32, 2*width+1)},
		"score of candidate 0 is NaN: the blend": {{float32(math.NaN())}, make([]float32, width)},
	} {
		if _, err := r.Score(scores[0], scores[1], 0); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
	if got, err := r.Score(nil, nil, 0); err != nil || len(got) != 0 {
		t.Errorf("no candidates: %v, %v", got, err)
	}
	if _, err := r.Score([]float32{1}, make([]float32, width), models.Context(0).With(5, 9)); len(r.net.columns) > 5 || err != nil {
		t.Errorf("levels of columns that there are not count as nothing: %v", err)
	}
	if _, err := r.Context(map[string]string{"weekday": "mon"}, time.Time{}); err == nil {
		t.Error("the weekday is taken beside the time")
	}
	for from, to := range map[string]string{`"format":2`: `"format":1`, `"clip":5`: `"clip":4`, `"head":20`: `"head":3`, `"zone":""`: `"zone":"Local"`, `"bound":0.5`: `"bound":-1`, `"w3":[`: `"w3":[1,`} {
		if !strings.Contains(body, from) {
			t.Fatalf("the entry has no %s", from)
		}
		if _, err := OpenRequest([]byte(strings.Replace(body, from, to, 1))); err == nil {
			t.Errorf("%s is taken", to)
		}
	}
}

// FuzzLoad feeds damaged artifacts to the loader.
func FuzzLoad(f *testing.F) {
	d := modelstest.Checkerboard()
	tr := trainer(true)
	tr.Hyper.Epochs = 1
	m, err := tr.Train(f.Context(), d, d.Cuts.Test, 1)
	if err != nil {
		f.Fatal(err)
	}
	files, _, err := models.Encode(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(files[artifact.ManifestName], files[artifact.WeightsName])
	f.Fuzz(func(t *testing.T, manifest, weights []byte) {
		r, err := artifact.Open(artifact.Files{artifact.ManifestName: manifest, artifact.WeightsName: weights})
		if err != nil {
			return
		}
		got, err := models.Load(r, map[string]models.Loader{"rerank": Loader(loaders)})
		if err != nil {
			return
		}
		if _, err := got.Bind(t.Context(), d.Catalog, nil); err != nil && !strings.Contains(err.Error(), "weight") {
			t.Logf("bind: %v", err)
		}
	})
}
