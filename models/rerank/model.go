package rerank

import (
	"context"
	"errors"
	"fmt"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
	"github.com/rapport-ml/rapport/models/blend"
	"github.com/rapport-ml/rapport/models/popular"
)

// Model is a blend and, if it won, the correction of its scores. It is immutable.
type Model struct {
	hyper    Hyper
	record   Record
	snapshot snapshot // blend alone, where nothing is corrected
	contexts *models.Contexts
	mix      []share // of everybody: for a subject of whom no context is known
	names    []string
	net      *network
}

var (
	_ models.Composite = (*Model)(nil)
	_ models.Reranked  = (*Model)(nil)
)

// Name returns "rerank".
func (m *Model) Name() string { return "rerank" }

// Record tells how the choice between the blend and the corrected blend came about.
func (m *Model) Record() Record { return m.record }

// Blend returns the blend whose scores are corrected.
func (m *Model) Blend() *blend.Model { return m.snapshot.blend }

// Items returns the ids of the items that the blend tells apart.
func (m *Model) Items() []string { return m.snapshot.blend.Items() }

// Corrects reports whether the correction won.
func (m *Model) Corrects() bool { return m.record.Choice == chosenCorrected }

// Features names the inputs that describe a candidate, in their order; nil where nothing is corrected.
func (m *Model) Features() []string { return m.names }

// Bind binds the corrected blend, or the blend itself where that won.
func (m *Model) Bind(ctx context.Context, c *models.Catalog, subjectColumns []string) (models.Scorer, error) {
	if !m.Corrects() {
		return m.snapshot.blend.Bind(ctx, c, subjectColumns)
	}
	s, err := m.bindCorrected(ctx, c, subjectColumns)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// BindParts binds the parts of the blend.
func (m *Model) BindParts(ctx context.Context, c *models.Catalog, subjectColumns []string) ([]models.Part, error) {
	return m.snapshot.blend.BindParts(ctx, c, subjectColumns)
}

// BindBase binds the blend whose scores are corrected, or nothing where none are.
func (m *Model) BindBase(ctx context.Context, c *models.Catalog, subjectColumns []string) (models.Scorer, error) {
	if !m.Corrects() {
		return nil, nil
	}
	return m.snapshot.blend.Bind(ctx, c, subjectColumns)
}

// Reranking tells which of the two was chosen, and by which figures.
func (m *Model) Reranking() models.Reranking {
	r, j := &m.record, &m.record.Judged
	out := models.Reranking{
		Ships: m.Corrects(), Uncorrected: j.Blend, Corrected: j.Corrected, Difference: j.Difference, P: j.P, K: j.K, From: j.From, To: j.To,
		Subjects: j.Subjects, Bound: r.Bound, Features: r.Features, Says: r.Why,
	}
	if j.Subjects < models.MinSubjects {
		out.Subjects = 0
	}
	return out
}

// Save writes the values "hyper" and "choice" and the blend in section "blend"; and if the correction won, what it is made of: popularity
// in sections "slow" and "fast", the values "shape", "contexts" and "mix", the strings "features" and "attributes", and the layers.
func (m *Model) Save(w *artifact.Writer) error {
	w.JSON("hyper", m.hyper)
	w.JSON("choice", m.record)
	if err := models.Save(w.Section("blend"), m.snapshot.blend); err != nil || !m.Corrects() {
		return err
	}
	for name, part := range map[string]models.Model{"slow": m.snapshot.slow, "fast": m.snapshot.fast} {
		if err := models.Save(w.Section(name), part); err != nil {
			return err
		}
	}
	n := m.net
	w.Strings("features", m.names)
	w.Strings("attributes", m.snapshot.attributes)
	w.JSON("contexts", m.contexts)
	w.JSON("mix", struct {
		Shares []share `json:"shares"`
	}{m.mix})
	w.JSON("shape", shape{Hidden1: n.h1, Hidden2: n.h2, Bound: n.bound})
	indicator := make([]uint8, len(n.indicator))
	for j, yes := range n.indicator {
		if yes {
			indicator[j] = 1
		}
	}
	w.U8("indicator", []int{len(indicator)}, indicator)
	w.F32("mean", []int{len(n.mean)}, n.mean)
	w.F32("scale", []int{len(n.scale)}, n.scale)
	w.F32("w1", []int{n.inputs(), n.h1}, n.w1)
	w.F32("b1", []int{n.h1}, n.b1)
	w.F32("w2", []int{n.h1, n.h2}, n.w2)
	w.F32("b2", []int{n.h2}, n.b2)
	w.F32("w3", []int{n.h2}, n.w3)
	w.F32("b3", []int{1}, []float32{n.b3})
	return nil
}

// shape is what of a network stands in the manifest.
type shape struct {
	Hidden1 int     `json:"hidden_1"`
	Hidden2 int     `json:"hidden_2"`
	Bound   float64 `json:"bound"`
}

// Loader returns the loader of a re-ranker over a blend whose parts the given loaders read.
func Loader(parts map[string]models.Loader) models.Loader {
	inner := map[string]models.Loader{"blend": blend.Loader(parts)}
	return func(r *artifact.Reader) (models.Model, error) {
		m := &Model{}
		if err := r.JSON("hyper", &m.hyper); err != nil {
			return nil, err
		}
		if err := m.hyper.Validate(); err != nil {
			return nil, err
		}
		if err := r.JSON("choice", &m.record); err != nil {
			return nil, err
		}
		if c := m.record.Choice; c != chosenCorrected && c != chosenBlend {
			return nil, fmt.Errorf("choice is %q", c)
		}
		b, err := models.Load(r.Section("blend"), inner)
		if err != nil {
			return nil, err
		}
		m.snapshot.blend = b.(*blend.Model)
		if !m.Corrects() {
			return m, nil
		}
		if err := m.loadCorrection(r); err != nil {
			return nil, err
		}
		return m, nil
	}
}

// loadCorrection reads what Save writes only of a correction.
func (m *Model) loadCorrection(r *artifact.Reader) error {
	popularity := map[string]models.Loader{"popular": popular.Load}
	var err error
	if m.snapshot.slow, err = models.Load(r.Section("slow"), popularity); err != nil {
		return err
	}
	if m.snapshot.fast, err = models.Load(r.Section("fast"), popularity); err != nil {
		return err
	}
	if m.names, err = r.Strings("features"); err != nil {
		return err
	}
	if m.snapshot.attributes, err = r.Strings("attributes"); err != nil {
		return err
	}
	m.contexts = &models.Contexts{}
	if err := r.JSON("contexts", m.contexts); err != nil {
		return err
	}
	if err := m.contexts.Validate(); err != nil {
		return err
	}
	if _, err := m.contexts.Location(); err != nil {
		return err
	}
	var mix struct {
		Shares []share `json:"shares"`
	}
	if err := r.JSON("mix", &mix); err != nil {
		return err
	}
	if err := checkMix(mix.Shares, m.contexts); err != nil {
		return err
	}
	m.mix = mix.Shares
	var sh shape
	if err := r.JSON("shape", &sh); err != nil {
		return err
	}
	if sh.Hidden1 < 1 || sh.Hidden1 > maxHidden || sh.Hidden2 < 1 || sh.Hidden2 > maxHidden {
		return fmt.Errorf("hidden layers of %d and %d units", sh.Hidden1, sh.Hidden2)
	}
	n := &network{h1: sh.Hidden1, h2: sh.Hidden2, bound: sh.Bound, columns: levelsOf(m.contexts)}
	indicator, err := r.U8("indicator", len(m.names))
	if err != nil {
		return err
	}
	for j, yes := range indicator {
		if yes > 1 {
			return fmt.Errorf("indicator %d is %d", j, yes)
		}
		n.indicator = append(n.indicator, yes == 1)
	}
	b3 := make([]float32, 1)
	for _, t := range []struct {
		name  string
		to    *[]float32
		shape []int
	}{
		{"mean", &n.mean, []int{len(m.names)}},
		{"scale", &n.scale, []int{len(m.names)}},
		{"w1", &n.w1, []int{-1, n.h1}},
		{"b1", &n.b1, []int{n.h1}},
		{"w2", &n.w2, []int{n.h1, n.h2}},
		{"b2", &n.b2, []int{n.h2}},
		{"w3", &n.w3, []int{n.h2}},
		{"b3", &b3, []int{1}},
	} {
		if *t.to, err = r.F32(t.name, t.shape...); err != nil {
			return err
		}
	}
	n.b3 = b3[0]
	var parts []string
	for _, p := range m.snapshot.blend.Record().Parts {
		parts = append(parts, p.Name)
	}
	if want := featureNames(parts, m.snapshot.attributes); fmt.Sprint(want) != fmt.Sprint(m.names) {
		return errors.New("its features are not those of this program: an older or newer one made it")
	}
	if err := n.check(); err != nil {
		return err
	}
	m.net = n.seal()
	return nil
}

// levelsOf returns how many units each context column takes: its levels, and one for those not known.
func levelsOf(c *models.Contexts) []int {
	out := make([]int, len(c.Columns))
	for i := range out {
		out[i] = 1 + len(c.Columns[i].Levels)
	}
	return out
}
