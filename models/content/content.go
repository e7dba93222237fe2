package content

import (
	"context"
	"fmt"
	"time"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
	"github.com/rapport-ml/rapport/models/internal/encode"
)

// Hyper are the hyperparameters. Zero values of Bins, Ridge and MinSubjects mean the default.
type Hyper struct {
	HalfLife    time.Duration `json:"half_life"`    // ns; H, an event's weight in the profile halves with this age; 0: never
	Prior       float64       `json:"prior"`        // m, the events of weight 1 that the attributes are worth
	Ridge       float64       `json:"ridge"`        // λ, in subjects
	Bins        int           `json:"bins"`         // quantile bins of a numeric attribute, at most
	MinSubjects int           `json:"min_subjects"` // what fewer subjects share is not learned
}

// Defaults returns the hyperparameters that a project starts with.
func Defaults() Hyper {
	return Hyper{HalfLife: 365 * 24 * time.Hour, Prior: 5, Ridge: 20, Bins: 10, MinSubjects: models.MinSubjects}
}

// Validate reports every value out of range.
func (h Hyper) Validate() error {
	var l models.Limits
	l.Want(h.HalfLife >= 0, "half_life", h.HalfLife, "a positive duration, or 0 for no decay")
	l.Want(h.Prior >= 0 && h.Prior <= 1e6, "prior", h.Prior, "0 to 1e6")
	l.Want(h.Ridge >= 0 && h.Ridge <= 1e9, "ridge", h.Ridge, "a positive number up to 1e9, or 0 for the default")
	l.Want(h.Bins >= 0 && h.Bins <= 1000, "bins", h.Bins, "1 to 1000, or 0 for the default")
	l.Want(h.MinSubjects >= 0, "min_subjects", h.MinSubjects, "1 or more, or 0 for the default")
	return l.Err()
}

func (h Hyper) withDefaults() Hyper {
	d := Defaults()
	if h.Ridge == 0 {
		h.Ridge = d.Ridge
	}
	if h.Bins == 0 {
		h.Bins = d.Bins
	}
	if h.MinSubjects == 0 {
		h.MinSubjects = d.MinSubjects
	}
	return h
}

// Trainer learns the feature space of a catalog and the map from subject attributes to it.
type Trainer struct {
	Hyper Hyper
}

// Name returns "content".
func (t *Trainer) Name() string { return "content" }

// Train learns the feature space from all items of the catalog and the prior from the events of d in [Cuts.Base, until). Without item
// attributes the model scores every item 0. seed is not used.
func (t *Trainer) Train(ctx context.Context, d *models.Dataset, until int64, seed uint64) (models.Model, error) {
	if err := t.Hyper.Validate(); err != nil {
		return nil, fmt.Errorf("train content: %w", err)
	}
	m := &Model{hyper: t.Hyper.withDefaults(), space: encode.New(d.Catalog.Attrs, encode.Options{Bins: t.Hyper.withDefaults().Bins})}
	var err error
	if m.prior, err = learnPrior(ctx, &m.hyper, d, until, m.space.Rows(d.Catalog.Attrs, d.Catalog.Len()), m.space.Len()); err != nil {
		return nil, fmt.Errorf("train content: %w", err)
	}
	return m, nil
}

// Model is a trained content model. It is immutable.
type Model struct {
	hyper Hyper
	space *encode.Space
	prior *prior
}

// Name returns "content".
func (m *Model) Name() string { return "content" }

// Save writes the feature space, the prior and the value "hyper".
func (m *Model) Save(w *artifact.Writer) error {
	w.JSON("hyper", m.hyper)
	m.space.Save(w)
	m.prior.save(w, m.space.Len())
	return nil
}

// Load reads what Save wrote.
func Load(r *artifact.Reader) (models.Model, error) {
	m := &Model{}
	if err := r.JSON("hyper", &m.hyper); err != nil {
		return nil, err
	}
	if err := m.hyper.Validate(); err != nil {
		return nil, err
	}
	var err error
	if m.space, err = encode.Load(r, false); err != nil {
		return nil, err
	}
	if m.prior, err = loadPrior(r, m.space.Len()); err != nil {
		return nil, err
	}
	return m, nil
}

// Bind places the items of c in the feature space. An item without any known attribute scores 0.
func (m *Model) Bind(ctx context.Context, c *models.Catalog, subjectColumns []string) (models.Scorer, error) {
	return &scorer{hyper: &m.hyper, prior: m.prior, nf: m.space.Len(), ids: c.IDs, items: m.space.Rows(c.Attrs, c.Len()), columns: subjectColumns}, nil
}
