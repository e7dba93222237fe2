package rerank

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/blend"
	"github.com/rapport-ml/rapport/models/popular"
)

// Trainer trains a blend and a correction of its scores.
type Trainer struct {
	Blend  blend.Trainer
	Hyper  Hyper
	Always bool // ship a correction once it is trained, whatever it is worth: for tests, which have too few people to win with, and for ablations
	// Sees tells which features the network sees; the others are constant to it. For ablations; nil: all.
	Sees func(feature string) bool
}

// Name returns "rerank".
func (t *Trainer) Name() string { return "rerank" }

// The choices of a Record.
const (
	chosenCorrected = "corrected"
	chosenBlend     = "blend"
)

// Record tells how the model came about: what the network learned, and whether its correction won over the blend. It stands in the
// artifact's manifest as the value "choice".
type Record struct {
	Choice string `json:"choice"` // "corrected" or "blend"
	Why    string `json:"why"`    // in words

	// The window that the network learned on, µs: [From, To). The parts that it corrects there had learned on [base, From).
	From      int64    `json:"from"`
	To        int64    `json:"to"`
	Questions int      `json:"questions"`
	Features  []string `json:"features"` // of a candidate, and the columns of its context
	Learning  Learning `json:"learning"`

	Bound float64 `json:"bound"` // of a correction, as a share of the candidate's blend score, or of the twentieth's if that is higher

	Judged  Judged `json:"judged"`  // lists for direct readers, averaged over the subject's contexts: decides
	Request Judged `json:"request"` // the same questions asked in the context that the choice was made in: is shown
}

// Learning tells how the network learned.
type Learning struct {
	Rows   int       `json:"rows"`   // chosen items trained on
	Before float64   `json:"before"` // mean nDCG of held-out answers without a correction
	Epochs []float64 `json:"epochs"` // and with it, after each epoch
}

// Judged compares the corrected lists with the blend's on a window that neither learned on, but that the blend's weights were fitted to:
// what that favours is the blend.
type Judged struct {
	From       int64           `json:"from"` // µs
	To         int64           `json:"to"`   // µs
	Questions  int             `json:"questions"`
	Subjects   int             `json:"subjects"`
	K          int             `json:"k"`
	Blend      models.Interval `json:"blend"`     // mean nDCG@K; the intervals are 95 %, by a bootstrap over subjects
	Corrected  models.Interval `json:"corrected"` //
	Difference models.Interval `json:"difference"`
	P          float64         `json:"p"` // two-sided
}

// leastAnswers is how many answers, and how many held-out ones, a network needs to be trained at all.
const leastAnswers = 20

// Train trains the blend three times over: on [Base, Rerank), to make the questions that the network learns from on [Rerank, Validation);
// on [Base, Validation), to fit its weights and to choose between it and its correction on [Validation, until); and on [Base, until). With
// no re-ranker's window, or too few answers in it, the model is the blend. Memory: about 100 bytes a candidate of a question.
func (t *Trainer) Train(ctx context.Context, d *models.Dataset, until int64, seed uint64) (models.Model, error) {
	h := t.Hyper.withDefaults()
	if err := h.Validate(); err != nil {
		return nil, fmt.Errorf("train rerank: %w", err)
	}
	fitted, err := t.Blend.Fit(ctx, d, until, seed)
	if err != nil {
		return nil, err
	}
	m, err := t.correct(ctx, &h, d, fitted, until, seed)
	if err != nil {
		return nil, fmt.Errorf("train rerank: %w", err)
	}
	if t.Always && m.net != nil {
		m.record.Choice = chosenCorrected
	}
	last, err := t.Blend.Retrain(ctx, fitted, d, until, seed)
	if err != nil {
		return nil, err
	}
	m.hyper = h
	if !m.Corrects() {
		return &Model{hyper: m.hyper, record: m.record, snapshot: snapshot{blend: last}}, nil
	}
	attributes := m.snapshot.attributes
	if m.snapshot, err = take(ctx, d, last, until, attributes, seed); err != nil {
		return nil, fmt.Errorf("train rerank: %w", err)
	}
	if h.Context {
		m.mix = mixIn(d, m.contexts, until)
	}
	return m, nil
}

// take makes the snapshot of a time: what features would have been made from then.
func take(ctx context.Context, d *models.Dataset, b *blend.Model, until int64, attributes []string, seed uint64) (s snapshot, err error) {
	s = snapshot{blend: b, attributes: attributes}
	for _, p := range []struct {
		to    *models.Model
		hyper popular.Hyper
	}{{&s.slow, popular.Hyper{HalfLife: slowHalfLife}}, {&s.fast, popular.Hyper{HalfLife: fastHalfLife}}} {
		if *p.to, err = (&popular.Trainer{Hyper: p.hyper}).Train(ctx, d, until, seed); err != nil {
			return s, err
		}
	}
	return s, nil
}

// correct trains the network on the re-ranker's window and judges it on the validation window. Its model lacks the final snapshot.
func (t *Trainer) correct(ctx context.Context, h *Hyper, d *models.Dataset, fitted *blend.Model, until int64, seed uint64) (*Model, error) {
	m := &Model{record: Record{Choice: chosenBlend, From: d.Cuts.Rerank, To: d.Cuts.Validation, Features: []string{}, Learning: Learning{Epochs: []float64{}}}}
	if d.Cuts.Rerank <= d.Cuts.Base || d.Cuts.Rerank >= d.Cuts.Validation {
		m.record.Why = "No window was set aside for the re-ranker."
		return m, nil
	}
	// The window seen as a validation window of its own: the parts end where it begins. Their weights are those that the correction will
	// be added to.
	early := *d
	early.Cuts.Validation = d.Cuts.Rerank
	before, err := t.Blend.Retrain(ctx, fitted, &early, d.Cuts.Rerank, seed)
	if err != nil {
		return nil, err
	}
	m.contexts, m.mix = &models.Contexts{Columns: []models.ContextColumn{}}, []share{{Weight: 1}}
	if h.Context {
		m.contexts, m.mix = population(d, d.Cuts.Rerank)
	}
	attributes := attributesOf(d.Catalog)
	window, err := t.ask(ctx, h, m, &early, before, d.Cuts.Rerank, d.Cuts.Validation, attributes, seed)
	if err != nil {
		return nil, err
	}
	m.record.Questions = len(window)
	m.snapshot.attributes = attributes
	for _, p := range before.Record().Parts {
		m.names = append(m.names, p.Name)
	}
	m.names = featureNames(m.names, attributes)
	m.record.Features = slices.Clone(m.names)
	for _, c := range m.contexts.Columns {
		m.record.Features = append(m.record.Features, "context."+c.Name)
	}
	n := m.describe(h, window)
	t.blind(n, m.names)
	l := newLessons(window, len(m.names), fitted.Record().K)
	if len(l.examples) < leastAnswers || len(l.held) < leastAnswers/holdOut {
		m.record.Why = fmt.Sprintf("The re-ranker's window holds %d answers, too few to learn from.", len(l.answers)+len(l.held))
		return m, nil
	}
	net, told, err := learn(ctx, n, h, l, t.Always, seed)
	if err != nil {
		return nil, err
	}
	m.record.Learning = told
	if net == nil {
		m.record.Why = "On held-out questions of its own window no correction was better than none."
		return m, nil
	}
	m.net = net
	judged, err := t.ask(ctx, h, m, d, fitted, d.Cuts.Validation, until, attributes, seed)
	if err != nil {
		return nil, err
	}
	m.record.judge(m, judged, fitted.Record().K, d.Cuts.Validation, until, seed)
	return m, nil
}

// ask asks the questions of the window [from, until) of the snapshot that was live at from.
func (t *Trainer) ask(ctx context.Context, h *Hyper, m *Model, d *models.Dataset, b *blend.Model, from, until int64, attributes []string, seed uint64) ([]asked, error) {
	s, err := take(ctx, d, b, from, attributes, seed)
	if err != nil {
		return nil, err
	}
	live, err := s.bind(ctx, d.Catalog, d.SubjectColumns())
	if err != nil {
		return nil, err
	}
	hyper := t.Blend.Hyper
	hyper.Queries = h.Questions
	questions := blend.Questions(hyper, d, until)
	lists := make([]shortlist, len(questions))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for lo := 0; lo < len(questions); lo += batch {
		g.Go(func() error {
			part := questions[lo:min(lo+batch, len(questions))]
			queries := make([]models.Query, len(part))
			for i := range part {
				queries[i] = part[i].Query
				queries[i].K = candidates
			}
			return live.each(gctx, queries, live.newDesk(), func(i int, _ []float32, s shortlist) { lists[lo+i] = s })
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("ask the window: %w", err)
	}
	return ask(m, d, questions, lists), nil
}

// blind makes what the network does not see constant: on so large a scale every value is 0.
func (t *Trainer) blind(n *network, names []string) {
	if t.Sees == nil {
		return
	}
	for j, name := range names {
		if !t.Sees(name) {
			n.mean[j], n.scale[j], n.indicator[j] = 0, math.MaxFloat32, false
		}
	}
	n.lay()
}

// describe makes the network's moments from the candidates of a window.
func (m *Model) describe(h *Hyper, window []asked) *network {
	width := len(m.names)
	sum, square, known := make([]float64, width), make([]float64, width), make([]int, width)
	rows := 0
	for i := range window {
		list := &window[i].list
		for at := 0; at < len(list.features); at += width {
			rows++
			for j, x := range list.features[at : at+width] {
				if x == x {
					known[j]++
					sum[j] += float64(x)
					square[j] += float64(x) * float64(x)
				}
			}
		}
	}
	m.record.Bound = h.Bound
	n := &network{h1: h.Hidden[0], h2: h.Hidden[1], bound: h.Bound, columns: levelsOf(m.contexts)}
	for j := range width {
		mean, scale := 0.0, 1.0
		if known[j] > 0 {
			mean = sum[j] / float64(known[j])
			if sd := math.Sqrt(max(0, square[j]/float64(known[j])-mean*mean)); sd > 1e-6*math.Abs(mean)+1e-12 {
				scale = sd
			}
		}
		n.mean, n.scale = append(n.mean, float32(mean)), append(n.scale, float32(scale))
		n.indicator = append(n.indicator, known[j] < rows)
	}
	return n.lay()
}
