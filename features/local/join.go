package local

import (
	"context"
	"fmt"
	"time"

	"github.com/rapport-ml/rapport/features"
)

// joinCells is how many words of results a block of examples has at most: 256 MiB.
const joinCells = 1 << 25

// maxMoment bounds the moments as of which features are computed, so that times can be computed with: 73,000 years before and after 1970.
const maxMoment = 1 << 61

// fits reports whether a moment is within maxMoment.
func fits(t time.Time) bool {
	return t.Unix() >= -maxMoment/1_000_000 && t.Unix() <= maxMoment/1_000_000
}

// Join computes views as of each example's moment, as features.JoinPlan says. It takes examples in blocks of as many as have joinCells results,
// and reads the events once for each block, those of the block's keys and windows alone: it holds them, 8 bytes a word that a feature needs, and
// the results. Examples that are sorted by time, or lie in files by day, make blocks of short spans, for which Plan.Events lists few
// files.
//
// The events of an entity are then swept once for each feature and window while its examples pass in the order of their moments: an event is added when it
// becomes visible, and taken away when it leaves the window. That costs O(events · (features · windows + log events) + examples · features · windows), whatever
// the windows hold. The result is what Build gives, to the bit.
//
// Rejected: a build for each moment (as many scans as moments), an as-of join of finished daily tables (it sees the day's start, not the moment, and what was
// known later), and states per example (examples of one entity share most of their events).
//
// Stats.RowsIn counts the events of a block's span, for each block anew; RowsOut of each view the examples that have its key and a time.
func (Engine) Join(ctx context.Context, p features.JoinPlan) (features.Stats, error) {
	stats, err := runJoin(ctx, p, joinCells)
	if err != nil {
		return stats, fmt.Errorf("join features: %w", err)
	}
	return stats, nil
}

func runJoin(ctx context.Context, p features.JoinPlan, cells int) (features.Stats, error) {
	stats := features.Stats{RowsOut: map[string]int64{}}
	j, err := compileJoin(p)
	if err != nil {
		return stats, err
	}
	rows := max(1, cells/j.cells)
	b := newBlock(j)
	flush := func() error {
		if b.n == 0 {
			return nil
		}
		if err := b.join(ctx, &stats); err != nil {
			return err
		}
		if err := b.emit(ctx); err != nil {
			return err
		}
		b = newBlock(j)
		return nil
	}
	need := make([]string, len(p.ExampleSchema))
	for i, f := range p.ExampleSchema {
		need[i] = f.Name
	}
	for _, split := range p.Examples {
		for batch, err := range split.Read(ctx, need) {
			if err != nil {
				return stats, fmt.Errorf("read examples: %w", err)
			}
			if err := ctx.Err(); err != nil {
				return stats, err
			}
			for lo := 0; lo < batch.N; {
				hi := min(batch.N, lo+min(runRows, rows-b.n))
				if err := b.take(batch, lo, hi); err != nil {
					return stats, fmt.Errorf("read examples: %w", err)
				}
				lo = hi
				if b.n < rows {
					continue
				}
				if err := flush(); err != nil {
					return stats, err
				}
			}
		}
	}
	return stats, flush()
}
