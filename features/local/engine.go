package local

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// Engine is the streaming engine of one machine. The zero Engine is ready; it keeps nothing between builds and may be used concurrently.
type Engine struct{}

var _ features.Engine = Engine{}

// backlog is how many chunks may wait for one worker: enough to ride out an uneven chunk, few enough to bound memory.
const backlog = 4

// Build computes the views of p in one scan, as features.Engine says. Views that no event can make valid, events without a column that a
// view reads, and errors of the source, of Out and of ctx end it.
func (Engine) Build(ctx context.Context, p features.Plan) (features.Stats, error) {
	stats, err := build(ctx, p)
	if err != nil {
		return stats, fmt.Errorf("build features as of %s: %w", p.Interval.End.UTC().Format(time.RFC3339), err)
	}
	return stats, nil
}

func build(ctx context.Context, p features.Plan) (features.Stats, error) {
	stats := features.Stats{RowsOut: map[string]int64{}}
	if err := features.Validate(p.Views); err != nil {
		return stats, err
	}
	if p.Interval.End.IsZero() || p.Interval.End.Nanosecond()%1000 != 0 {
		return stats, fmt.Errorf("the interval's end %v must be set, to a whole microsecond", p.Interval.End)
	}
	if len(p.Views) == 0 {
		return stats, nil
	}
	prog := compile(p.Views, p.Interval.End)
	rd := newReader(prog, runtime.GOMAXPROCS(0))
	shards, err := scan(ctx, p.Events, columnsOf(p.Views), prog, rd)
	stats.RowsIn, stats.RowsOutside = rd.kept, rd.outside
	if err != nil {
		return stats, err
	}
	refused := map[string]int64{"time": rd.timeless}
	for _, sh := range shards {
		sh.countRefused(refused)
	}
	for what, n := range refused {
		if n > 0 {
			if stats.Refused == nil {
				stats.Refused = map[string]int64{}
			}
			stats.Refused[what] = n
		}
	}
	for i := range prog.views {
		n, err := emit(ctx, &prog.views[i], rd, shards, i, p.Out)
		if err != nil {
			return stats, fmt.Errorf("view %q: %w", prog.views[i].View.Name, err)
		}
		stats.RowsOut[prog.views[i].View.Name] = n
	}
	return stats, nil
}

// scan reads the source to its end, hands each chunk to every shard's worker, and returns the filled shards. The workers have ended when it
// returns.
func scan(ctx context.Context, events features.Source, columns []string, prog *program, rd *reader) ([]*shard, error) {
	shards := make([]*shard, rd.shards)
	feeds := make([]chan *chunk, rd.shards)
	var workers sync.WaitGroup
	for i := range shards {
		shards[i] = newShard(prog, i)
		feeds[i] = make(chan *chunk, backlog)
		workers.Go(func() {
			for c := range feeds[i] {
				shards[i].add(c)
			}
		})
	}
	defer workers.Wait()
	defer func() {
		for _, f := range feeds {
			close(f)
		}
	}()

	splits, err := events(ctx, table.Interval{Start: prog.startTime(), End: prog.endTime()})
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	for _, split := range splits {
		for batch, err := range split.Read(ctx, columns) {
			if err != nil {
				return nil, fmt.Errorf("read events: %w", err)
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			c, err := rd.read(batch)
			if err != nil {
				return nil, err
			}
			if c == nil {
				continue
			}
			for _, f := range feeds {
				f <- c
			}
		}
	}
	return shards, ctx.Err()
}

// Join is not there yet.
func (Engine) Join(context.Context, features.JoinPlan) (features.Stats, error) {
	return features.Stats{}, fmt.Errorf("join: not yet")
}

func columnsOf(views []features.View) []string {
	out := []string{"time"}
	for _, v := range views {
		out = append(out, v.Columns()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
