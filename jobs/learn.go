package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
	"github.com/rapport-ml/rapport/storage"
)

// dataPrefix is where the parts of a step's table stand.
func dataPrefix(key, output string) string { return "data/" + key + "/" + output }

// assemble fixes the training set: which days, under which filter, cut where, with the digest of the rows that it holds.
func (w *work) assemble(ctx context.Context) error {
	c, err := w.do(ctx, w.plan.assemble, func(ctx context.Context) (result, error) {
		w.report("assemble", 0, 0, "rows")
		d, err := w.load(ctx)
		if err != nil {
			return result{}, err
		}
		if d.facts.Rows == 0 {
			return result{}, noData{fmt.Sprintf(" in the %s before %s (%s)", features.FormatWindow(w.job.Window), w.iv.End.Format(time.RFC3339), d.facts.Funnel.Suppressed(smallCell)), d.facts.Funnel.Remedy()}
		}
		return result{facts: d.facts, rowsIn: d.facts.Funnel.Read(), rows: d.facts.Rows}, nil
	})
	if err != nil {
		return err
	}
	w.plan.set, err = factsOf[assembled](c)
	w.res.Learned = w.plan.set.Funnel.Suppressed(smallCell)
	return err
}

// trained are the facts of a train step.
type trained struct {
	Digest string           `json:"digest"`
	Files  map[string]int64 `json:"files"` // name → bytes, under artifacts/<digest>/
	Line   *descent         `json:"line,omitempty"`
}

// artifactKey is where an artifact's file stands: by content, so that equal artifacts are stored once.
func artifactKey(digest, file string) string { return "artifacts/" + digest + "/" + file }

// train learns the model from the training set and stores its artifact.
func (w *work) train(ctx context.Context) error {
	c, err := w.do(ctx, w.plan.train, func(ctx context.Context) (result, error) {
		d, err := w.load(ctx)
		if err != nil {
			return result{}, err
		}
		trainer, err := w.trainer(ctx, w.plan.descent)
		if err != nil {
			return result{}, err
		}
		w.report("train", 0, 0, "")
		learned, err := w.weighed(ctx, d)
		if err != nil {
			return result{}, err
		}
		m, err := trainer.Train(ctx, learned, learned.Cuts.Test, w.job.Model.Seed)
		if err != nil {
			return result{}, err
		}
		files, digest, err := models.Encode(m)
		if err != nil {
			return result{}, err
		}
		facts := trained{Digest: digest, Files: map[string]int64{}, Line: w.plan.descent}
		for name, body := range files {
			facts.Files[name] = int64(len(body))
			// A file that stands there is written anew: it may be damaged, or so old that a collection is about to take it for litter.
			if _, err := w.Bucket.Put(ctx, artifactKey(digest, name), storage.Bytes(body), storage.Cond{}); err != nil {
				return result{}, fmt.Errorf("store %s: %w", artifactKey(digest, name), err)
			}
		}
		return result{facts: facts, rowsIn: d.facts.Rows}, nil
	})
	if err != nil {
		return err
	}
	w.plan.trained, err = factsOf[trained](c)
	return err
}

// artifactFiles reads an artifact and checks its digest.
func (r *Runner) artifactFiles(ctx context.Context, digest string) (artifact.Files, error) {
	files := artifact.Files{}
	for _, name := range []string{artifact.ManifestName, artifact.WeightsName} {
		body, _, err := r.Bucket.Get(ctx, artifactKey(digest, name), storage.Range{})
		if errors.Is(err, storage.ErrNotFound) && name == artifact.WeightsName {
			continue // a model without tensors
		}
		if err != nil {
			return nil, fmt.Errorf("model artifact %.12s: %w", digest, err)
		}
		files[name], err = io.ReadAll(body)
		if err = errors.Join(err, body.Close()); err != nil {
			return nil, fmt.Errorf("model artifact %.12s: %s: %w", digest, name, err)
		}
	}
	if got := files.Digest(); got != digest {
		return nil, fmt.Errorf("model artifact %.12s: its files have digest %.12s: they were changed or damaged; restore them, or train it again", digest, got)
	}
	return files, nil
}

// openModel reads an artifact back: what is judged and published is what was stored, not what training left in memory.
func (r *Runner) openModel(ctx context.Context, digest string) (models.Model, error) {
	files, err := r.artifactFiles(ctx, digest)
	if err != nil {
		return nil, err
	}
	rd, err := artifact.Open(files)
	if err != nil {
		return nil, fmt.Errorf("model artifact %.12s: %w", digest, err)
	}
	m, err := models.Load(rd, r.Loaders)
	if err != nil {
		return nil, fmt.Errorf("model artifact %.12s: %w", digest, err)
	}
	return m, nil
}

// report shows progress of a step of this run.
func (w *work) report(name string, done, total int64, unit string) {
	w.Progressed(name, w.label, done, total, unit)
}
