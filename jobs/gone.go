package jobs

import (
	"context"
	"errors"

	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
)

// Gone reports whether nobody goes on with a run that the ledger calls running: the lease of its interval is free, or who has it has died. The next run of the
// interval records that it was interrupted. Cost: one GET.
func (r *Runner) Gone(ctx context.Context, job, label string) (bool, error) {
	l, err := storage.ReadLease(ctx, r.Bucket, leaseKey(job, label))
	if errors.Is(err, storage.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return l.Free(r.Wall()) || r.Dead != nil && r.Dead(l.Holder), nil
}

// SayGone says of a line of the ledger whether its run is gone.
func (r *Runner) SayGone(ctx context.Context, l *ledger.Line) (err error) {
	if l.Status == ledger.Running {
		l.Gone, err = r.Gone(ctx, l.Job, l.Label)
	}
	return err
}
