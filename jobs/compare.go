package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// ErrNoReport says that a version has no report to be compared by: its retention has passed, or nobody wrote one.
var ErrNoReport = errors.New("the version has no report")

// Compare puts two versions of a model beside each other, from their reports; two that were asked for the same test window are paired by what their evaluations
// kept for pooling. at says where people find a report by its key. Cost: two GETs, and for the latter two and the pooled figures of each.
func (r *Runner) Compare(ctx context.Context, a, b registry.Version, at func(key string) string) (*eval.Diff, error) {
	var reports [2]*eval.Report
	var places [2]string
	for i, v := range []registry.Version{a, b} {
		if v.Report.Link == "" {
			return nil, fmt.Errorf("version %d of %s: %w", v.Number, v.Name, ErrNoReport)
		}
		body, _, err := storage.ReadAll(ctx, r.Bucket, v.Report.Link+".json")
		switch {
		case errors.Is(err, storage.ErrNotFound):
			return nil, fmt.Errorf("version %d of %s: %w any more: %s.json is gone", v.Number, v.Name, ErrNoReport, v.Report.Link)
		case err != nil:
			return nil, fmt.Errorf("report of version %d of %s: %w", v.Number, v.Name, err)
		}
		if reports[i], err = eval.ParseReport(body); err != nil {
			return nil, fmt.Errorf("report of version %d of %s: %w", v.Number, v.Name, err)
		}
		places[i] = at(v.Report.Link + ".html")
	}
	d := eval.Compare(a.Name, a.Number, b.Number, reports[0], reports[1], places[0], places[1])
	if !d.Apart() {
		return d, nil
	}
	pa, pb, err := r.pooledAlike(ctx, a, b)
	if err != nil {
		return nil, err
	}
	if pa != nil {
		d.Pair(pa, pb)
	}
	return d, nil
}

// pooledAlike reads the figures that the evaluations of two versions kept for pooling; nil where one kept none, they are gone, or their measures differ.
func (r *Runner) pooledAlike(ctx context.Context, a, b registry.Version) (pa, pb *eval.Pool, err error) {
	w := &work{Runner: r, tables: table.Store{Bucket: r.Bucket}}
	f, _, err := w.judgedOf(ctx, a)
	if err != nil || f == nil || f.Measures == "" {
		return nil, nil, err
	}
	for _, x := range []struct {
		of   registry.Version
		pool **eval.Pool
	}{{a, &pa}, {b, &pb}} {
		switch *x.pool, _, err = w.poolOf(ctx, x.of, f.Measures); {
		case errors.Is(err, storage.ErrNotFound):
			return nil, nil, nil
		case err != nil:
			return nil, nil, fmt.Errorf("figures of version %d of %s: %w", x.of.Number, x.of.Name, err)
		case *x.pool == nil:
			return nil, nil, nil
		}
	}
	return pa, pb, nil
}
