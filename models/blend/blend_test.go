package blend_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/again"
	"github.com/rapport-ml/rapport/models/als"
	"github.com/rapport-ml/rapport/models/artifact"
	"github.com/rapport-ml/rapport/models/blend"
	"github.com/rapport-ml/rapport/models/content"
	"github.com/rapport-ml/rapport/models/modelstest"
	"github.com/rapport-ml/rapport/models/popular"
)

var loaders = map[string]models.Loader{"popular": popular.Load, "again": again.Load, "content": content.Load, "als": als.Load}

func parts() []models.Trainer {
	return []models.Trainer{
		&popular.Trainer{Hyper: popular.Defaults()},
		&again.Trainer{Hyper: again.Defaults()},
		&content.Trainer{Hyper: content.Defaults()},
		&als.Trainer{Hyper: als.Defaults()},
	}
}

func TestConformance(t *testing.T) {
	modelstest.TestTrainer(t, &blend.Trainer{Parts: parts(), Hyper: blend.Defaults()}, blend.Loader(loaders))
}

func TestConformanceMasked(t *testing.T) {
	modelstest.TestTrainer(t, &blend.Trainer{Parts: parts(), Hyper: blend.Hyper{MaskSeen: true}}, blend.Loader(loaders))
}

func train(t *testing.T, h blend.Hyper, d *models.Dataset) *blend.Model {
	t.Helper()
	m, err := (&blend.Trainer{Parts: parts(), Hyper: h}).Train(t.Context(), d, d.Cuts.Test, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m.(*blend.Model)
}

// TestScoreIsTheWeightedSum compares the blend with its parts, bound by themselves.
func TestScoreIsTheWeightedSum(t *testing.T) {
	d := modelstest.Checkerboard()
	m := train(t, blend.Defaults(), d)
	whole, err := m.Bind(t.Context(), d.Catalog, d.SubjectColumns())
	if err != nil {
		t.Fatal(err)
	}
	parts, err := m.BindParts(t.Context(), d.Catalog, d.SubjectColumns())
	if err != nil {
		t.Fatal(err)
	}
	n, q := d.Catalog.Len(), []models.Query{d.Query(0, d.Cuts.Test, 1), d.Query(1, d.Cuts.Test, 1)}
	got, want, row := make([]float32, 2*n), make([]float64, 2*n), make([]float32, 2*n)
	if err := whole.Score(t.Context(), q, got); err != nil {
		t.Fatal(err)
	}
	for i, p := range parts {
		record := m.Record().Parts[i]
		if p.Name != record.Name || p.Weight != record.Weight {
			t.Errorf("part %d is %s with weight %v, recorded %+v", i, p.Name, p.Weight, record)
		}
		if err := p.Scorer.Score(t.Context(), q, row); err != nil {
			t.Fatal(err)
		}
		for j, v := range row {
			want[j] += record.Weight / record.Scale * float64(v)
		}
	}
	for j := range got {
		if math.Abs(float64(got[j])-want[j]) > 1e-6 {
			t.Errorf("score %d is %v, the parts add up to %v", j, got[j], want[j])
		}
	}
}

func TestRecord(t *testing.T) {
	d := modelstest.Checkerboard()
	r := train(t, blend.Defaults(), d).Record()
	if r.Queries != 40 || r.K != 10 || r.From != d.Cuts.Validation || r.To != d.Cuts.Test || len(r.Parts) != 4 {
		t.Errorf("record %+v", r)
	}
	if masked := train(t, blend.Hyper{MaskSeen: true}, d).Record(); masked.Queries == 0 || masked.Queries >= 40 {
		t.Errorf("masked: %d of 40 subjects have something new to find", masked.Queries)
	}
	if few := train(t, blend.Hyper{Queries: 25}, d).Record(); few.Queries != 25 {
		t.Errorf("asked for 25 queries, got %d", few.Queries)
	}
}

// TestTooFewToTell: with hardly any subject in the validation window every part gets the same weight.
func TestTooFewToTell(t *testing.T) {
	d := modelstest.Checkerboard()
	var events []models.Event
	for s, subject := range d.Events.Subjects {
		h := d.Events.SubjectBetween(s, d.Cuts.Base, d.Cuts.Validation)
		if s < 19 {
			h = d.Events.Subject(s)
		}
		for i := range h.Item {
			events = append(events, models.Event{Subject: subject, Time: h.Time[i], Item: h.Item[i], Weight: 1})
		}
	}
	d.Events = models.NewEventLog(events)
	r := train(t, blend.Defaults(), d).Record()
	if r.Choice != "default" || r.Queries != 19 {
		t.Errorf("record %+v", r)
	}
	for _, p := range r.Parts {
		if p.Weight != 1 {
			t.Errorf("part %s has weight %v", p.Name, p.Weight)
		}
	}
	// And with nobody at all.
	d.Events = d.Events.Before(d.Cuts.Validation)
	if r := train(t, blend.Defaults(), d).Record(); r.Choice != "default" || r.Queries != 0 {
		t.Errorf("record %+v", r)
	}
}

func TestTrainRefuses(t *testing.T) {
	d := modelstest.Checkerboard()
	for want, c := range map[string]struct {
		trainer blend.Trainer
		until   int64
	}{
		"list its parts":     {blend.Trainer{Parts: []models.Trainer{&blend.Trainer{}}}, d.Cuts.Test},
		"no parts":           {blend.Trainer{}, d.Cuts.Test},
		"k is -1":            {blend.Trainer{Parts: parts(), Hyper: blend.Hyper{K: -1}}, d.Cuts.Test},
		"queries is -1":      {blend.Trainer{Parts: parts(), Hyper: blend.Hyper{Queries: -1}}, d.Cuts.Test},
		"the weights need":   {blend.Trainer{Parts: parts()}, d.Cuts.Validation},
		"part 1, unwilling":  {blend.Trainer{Parts: []models.Trainer{parts()[0], unwilling{}}}, d.Cuts.Test},
		"score of item 0 is": {blend.Trainer{Parts: []models.Trainer{parts()[0], broken{}}}, d.Cuts.Test},
	} {
		if _, err := c.trainer.Train(t.Context(), d, c.until, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// unwilling is a trainer that fails.
type unwilling struct{}

func (unwilling) Name() string { return "unwilling" }

func (unwilling) Train(context.Context, *models.Dataset, int64, uint64) (models.Model, error) {
	return nil, errors.New("no")
}

// broken is a trainer, a model and a scorer whose scores are NaN.
type broken struct{}

func (broken) Name() string { return "broken" }

func (b broken) Train(context.Context, *models.Dataset, int64, uint64) (models.Model, error) {
	return b, nil
}

func (broken) Save(*artifact.Writer) error { return nil }

func (b broken) Bind(context.Context, *models.Catalog, []string) (models.Scorer, error) {
	return b, nil
}

func (broken) Score(_ context.Context, _ []models.Query, dst []float32) error {
	for i := range dst {
		dst[i] = float32(math.NaN())
	}
	return nil
}

// TestLoaderRefusesNesting: a blend inside a blend could nest without bound.
func TestLoaderRefusesNesting(t *testing.T) {
	w := artifact.NewWriter()
	w.Model("blend")
	w.JSON("hyper", blend.Defaults())
	w.JSON("fit", blend.Record{Parts: []blend.Part{{Name: "blend", Weight: 1, Scale: 1}}})
	w.Section("parts/0").Model("blend")
	files, _, err := w.Encode()
	if err != nil {
		t.Fatal(err)
	}
	r, err := artifact.Open(files)
	if err != nil {
		t.Fatal(err)
	}
	load := blend.Loader(map[string]models.Loader{"blend": func(*artifact.Reader) (models.Model, error) {
		t.Error("the inner blend was loaded")
		return nil, nil
	}})
	if _, err := models.Load(r, map[string]models.Loader{"blend": load}); err == nil || !strings.Contains(err.Error(), `recorded as "blend"`) {
		t.Errorf("got %v", err)
	}
}
