package jobs

import (
	"context"
	"errors"
	"math"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage/online"
)

// returned returns those who came back after the interval of the lists that are live, or are about to be: a list of theirs in there is made of what was known
// of them before they left, which counts no more. They read the list not based on profiling until a generation is live whose interval ends after their
// return. Cost: nothing if nobody ever came back, else one read of the store and of the registry.
func (w *work) returned(ctx context.Context) map[policy.Subject]bool {
	out, before := map[policy.Subject]bool{}, int64(0)
	for s, at := range w.plan.trainingDecisions.Returned() {
		if before == 0 {
			before = w.servedUntil(ctx)
		}
		if at >= before {
			out[s] = true
		}
	}
	return out
}

// servedUntil is the end of the interval of the lists that people read (µs), or are about to read, whichever is earlier. It is the end of time where none are live,
// and its beginning where it cannot be told: then whoever came back waits.
func (w *work) servedUntil(ctx context.Context) int64 {
	end := int64(math.MaxInt64)
	if w.next != nil {
		end = w.next.End.UnixMicro()
	}
	m, err := w.liveMeta(ctx)
	if errors.Is(err, online.ErrNoGeneration) {
		return end
	}
	if err != nil {
		return math.MinInt64
	}
	reg, err := registry.Open(w.Bucket, m.Model)
	if err != nil {
		return math.MinInt64
	}
	v, err := reg.Get(ctx, m.Version)
	if err != nil {
		return math.MinInt64
	}
	return min(end, v.Interval.End.UnixMicro())
}
