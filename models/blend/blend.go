package blend

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/rapport-ml/rapport/models"
)

// Hyper are the hyperparameters. Zero values of K and Queries mean the default.
type Hyper struct {
	K        int  `json:"k"`         // weights maximize nDCG@K
	Queries  int  `json:"queries"`   // validation queries used at most, evenly spaced among the subjects
	MaskSeen bool `json:"mask_seen"` // lists leave out what the subject had before; models.AutoMask decides from the data
}

// Defaults returns the hyperparameters that a project starts with.
func Defaults() Hyper { return Hyper{K: 10, Queries: 2000} }

// Validate reports every value out of range.
func (h Hyper) Validate() error {
	var errs []error
	if h.K < 0 || h.K > candidatesPerPart {
		errs = append(errs, fmt.Errorf("k is %d, want 1 to %d, or 0 for the default", h.K, candidatesPerPart))
	}
	if h.Queries < 0 {
		errs = append(errs, fmt.Errorf("queries is %d, want 1 or more, or 0 for the default", h.Queries))
	}
	return errors.Join(errs...)
}

func (h Hyper) withDefaults() Hyper {
	d := Defaults()
	if h.K == 0 {
		h.K = d.K
	}
	if h.Queries == 0 {
		h.Queries = d.Queries
	}
	return h
}

// Trainer trains Parts and the weights between them.
type Trainer struct {
	Parts []models.Trainer
	Hyper Hyper
}

// Name returns "blend".
func (t *Trainer) Name() string { return "blend" }

// minQueries is the number of validation queries below which weights are not fitted.
const minQueries = 20

// Train fits the weights on the events of d in [Cuts.Validation, until) and the parts on those in [Cuts.Base, until). Each part is
// trained twice.
func (t *Trainer) Train(ctx context.Context, d *models.Dataset, until int64, seed uint64) (models.Model, error) {
	m, err := t.Fit(ctx, d, until, seed)
	if err != nil {
		return nil, err
	}
	return t.Retrain(ctx, m, d, until, seed)
}

// Fit is the first half of Train: the parts as they learn from the events before Cuts.Validation, and their weights on those from there
// to until. It is the blend that could have been live in the validation window.
func (t *Trainer) Fit(ctx context.Context, d *models.Dataset, until int64, seed uint64) (*Model, error) {
	h := t.Hyper.withDefaults()
	if err := h.Validate(); err != nil {
		return nil, fmt.Errorf("train blend: %w", err)
	}
	if len(t.Parts) == 0 {
		return nil, errors.New("train blend: no parts; name at least one model")
	}
	for _, p := range t.Parts {
		if p.Name() == t.Name() {
			return nil, errors.New("train blend: a blend cannot be a part of a blend; list its parts instead")
		}
	}
	if d.Cuts.Validation <= d.Cuts.Base || until <= d.Cuts.Validation {
		return nil, fmt.Errorf("train blend: the weights need events before the validation cut and from there to the end of training, got cuts %d (base), %d (validation), %d (end)",
			d.Cuts.Base, d.Cuts.Validation, until)
	}
	parts, err := t.train(ctx, d, d.Cuts.Validation, seed)
	if err != nil {
		return nil, fmt.Errorf("train blend: %w", err)
	}
	record, err := t.weigh(ctx, &h, d, until, parts)
	if err != nil {
		return nil, fmt.Errorf("train blend: %w", err)
	}
	return &Model{hyper: h, record: *record, parts: parts}, nil
}

// Retrain is the second half of Train: the blend m with its weights as they are and parts that learn from the events before until.
func (t *Trainer) Retrain(ctx context.Context, m *Model, d *models.Dataset, until int64, seed uint64) (*Model, error) {
	parts, err := t.train(ctx, d, until, seed)
	if err != nil {
		return nil, fmt.Errorf("train blend: %w", err)
	}
	return &Model{hyper: m.hyper, record: m.record, parts: parts}, nil
}

func (t *Trainer) train(ctx context.Context, d *models.Dataset, until int64, seed uint64) ([]models.Model, error) {
	parts := make([]models.Model, len(t.Parts))
	for i, p := range t.Parts {
		var err error
		if parts[i], err = p.Train(ctx, d, until, seed); err != nil {
			return nil, fmt.Errorf("part %d, %s: %w", i, p.Name(), err)
		}
	}
	return parts, nil
}

// Record tells how the weights came about. It stands in the artifact's manifest as the value "fit".
type Record struct {
	// Choice is "blend" where the blend won the cross-validation, "single" where the best part did, "default" where there were too few
	// subjects to tell and all parts got the same weight.
	Choice  string `json:"choice"`
	From    int64  `json:"from"`    // µs; the validation window
	To      int64  `json:"to"`      // µs
	Queries int    `json:"queries"` // validation subjects
	K       int    `json:"k"`
	Parts   []Part `json:"parts"`
	// Mean nDCG@K over the validation queries: of the weights chosen, on the queries that chose them; and cross-validated, of fitted
	// weights and of the best single part.
	Fitted      float64 `json:"fitted"`
	CrossBlend  float64 `json:"cross_blend"`
	CrossSingle float64 `json:"cross_single"`
}

// Part is what a Record says of one part.
type Part struct {
	Name   string  `json:"name"`
	Weight float64 `json:"weight"`
	Scale  float64 `json:"scale"`
	NDCG   float64 `json:"ndcg"` // of the part alone, on the validation queries
}

// The choices of a Record.
const (
	chosenBlend   = "blend"
	chosenSingle  = "single"
	chosenDefault = "default"
)

// weigh fits the weights of parts, which know nothing from the validation cut on, to the events after it.
func (t *Trainer) weigh(ctx context.Context, h *Hyper, d *models.Dataset, until int64, parts []models.Model) (*Record, error) {
	var err error
	scorers := make([]models.Scorer, len(parts))
	for i, m := range parts {
		if scorers[i], err = m.Bind(ctx, d.Catalog, d.SubjectColumns()); err != nil {
			return nil, fmt.Errorf("bind part %d, %s: %w", i, m.Name(), err)
		}
	}
	v, err := newValidation(ctx, h, d, until, scorers)
	if err != nil {
		return nil, err
	}
	record := &Record{Choice: chosenDefault, From: d.Cuts.Validation, To: until, Queries: len(v.queries), K: h.K}
	for i, p := range t.Parts {
		record.Parts = append(record.Parts, Part{Name: p.Name(), Weight: 1, Scale: v.scale[i]})
	}
	if len(v.queries) < minQueries {
		return record, nil
	}
	if err := v.choose(ctx, record); err != nil {
		return nil, err
	}
	for _, p := range record.Parts {
		if math.IsNaN(p.Weight) || math.IsInf(p.Weight, 0) {
			return nil, fmt.Errorf("the weight of part %s is %v", p.Name, p.Weight)
		}
	}
	return record, nil
}
