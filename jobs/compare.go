package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
)

// ErrNoReport says that a version has no report to be compared by: its retention has passed, or nobody wrote one.
var ErrNoReport = errors.New("the version has no report")

// Compare puts two versions of a model beside each other, from their reports. at says where people find a report by its key. Cost: two GETs.
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
	return eval.Compare(a.Name, a.Number, b.Number, reports[0], reports[1], places[0], places[1]), nil
}
