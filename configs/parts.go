package configs

import (
	"math"
	"reflect"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/again"
	"github.com/rapport-ml/rapport/models/als"
	"github.com/rapport-ml/rapport/models/blend"
	"github.com/rapport-ml/rapport/models/content"
	"github.com/rapport-ml/rapport/models/ease"
	"github.com/rapport-ml/rapport/models/next"
	"github.com/rapport-ml/rapport/models/popular"
	"github.com/rapport-ml/rapport/models/rerank"
)

// Loaders reads every kind of model that a project can train.
var Loaders = map[string]models.Loader{"blend": blend.Loader(partLoaders), "rerank": rerank.Loader(partLoaders)}

var partLoaders = map[string]models.Loader{"popular": popular.Load, "again": again.Load, "als": als.Load, "content": content.Load, "ease": ease.Load, "next": next.Load}

// partNames are the algorithms that a model may be made of.
var partNames = []string{"again", "als", "content", "ease", "next", "popular"}

// rankerNames are the algorithms that may correct a model's blend.
var rankerNames = []string{"neural"}

// spec is a part's trainer and its hyperparameters as they are hashed.
type spec struct {
	Name  string `json:"name"`
	Hyper any    `json:"hyper"`

	trainer models.Trainer
}

// trainer resolves one part, reporting an unknown name or hyperparameter.
func (p *Project) trainer(part Part) (spec, bool) {
	switch part.Name {
	case "popular":
		h := popular.Defaults()
		ok := p.hyper(part, &h)
		return spec{part.Name, h, &popular.Trainer{Hyper: h}}, ok
	case "again":
		h := again.Defaults()
		ok := p.hyper(part, &h)
		return spec{part.Name, h, &again.Trainer{Hyper: h}}, ok
	case "als":
		h := als.Defaults()
		ok := p.hyper(part, &h)
		return spec{part.Name, h, &als.Trainer{Hyper: h}}, ok
	case "content":
		h := content.Defaults()
		ok := p.hyper(part, &h)
		return spec{part.Name, h, &content.Trainer{Hyper: h}}, ok
	case "ease":
		h := ease.Defaults()
		ok := p.hyper(part, &h)
		return spec{part.Name, h, &ease.Trainer{Hyper: h}}, ok
	case "next":
		h := next.Defaults()
		ok := p.hyper(part, &h)
		return spec{part.Name, h, &next.Trainer{Hyper: h}}, ok
	}
	oneOf(p.dec, part.path, part.Name, partNames...)
	return spec{}, false
}

// ranker resolves what corrects a blend, reporting an unknown name or hyperparameter.
func (p *Project) ranker(r Part, b *blend.Trainer) (spec, bool) {
	if r.Name != "neural" {
		oneOf(p.dec, r.path, r.Name, rankerNames...)
		return spec{}, false
	}
	h := rerank.Defaults()
	ok := p.hyper(r, &h)
	return spec{r.Name, h, &rerank.Trainer{Blend: *b, Hyper: h}}, ok
}

// rankerWindow is how long a re-ranker learns before the validation: twice as long as that, as far as a third of the window is left to the
// parts.
func rankerWindow(j Job) time.Duration {
	used := j.Evaluate.Split.Last + j.Evaluate.Split.Validation
	return min(2*j.Evaluate.Split.Validation, j.Train.Window*2/3-used)
}

// hyper decodes the arguments of a part over its defaults and validates them.
func (p *Project) hyper(part Part, h interface{ Validate() error }) bool {
	before := len(p.dec.faults)
	if part.args != nil {
		p.dec.into(part.args, reflect.ValueOf(h).Elem(), part.path)
	}
	if err := h.Validate(); err != nil {
		p.each(part.path, err)
	}
	return len(p.dec.faults) == before
}

// BaselineNames are the recommenders that stand beside every figure and in every gate.
var BaselineNames = []string{eval.Popular, frequency}

// frequency is the baseline that repeat purchases are hard to beat with: how often a person chose an item, untuned, and popularity for what
// that leaves equal.
const frequency = "frequency+popular"

// baselines are untuned on purpose: plain counts, no decay.
func baselines() []jobs.Baseline {
	counts := popular.Hyper{MinSubjects: models.MinSubjects}
	own := again.Hyper{MinSubjects: math.MaxInt32} // no item by itself: a plain share of the person's own choices
	return []jobs.Baseline{
		{Name: eval.Popular, Parts: []jobs.BaselinePart{{Trainer: &popular.Trainer{Hyper: counts}, Weight: 1}}},
		{Name: frequency, Parts: []jobs.BaselinePart{{Trainer: &again.Trainer{Hyper: own}, Weight: 1}, {Trainer: &popular.Trainer{Hyper: counts}, Weight: 0.1}}},
	}
}
