package local

import (
	"context"
	"fmt"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// Engine is the streaming engine of one machine. The zero Engine is ready; it keeps nothing between builds and may be used concurrently.
type Engine struct{}

var _ features.Engine = Engine{}

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
	prog, err := compile(p.Views, p.Schema, p.Interval.End)
	if err != nil {
		return stats, err
	}
	s := newScan(prog)
	splits, err := p.Events(ctx, table.Interval{Start: prog.startTime(), End: prog.endTime()})
	if err != nil {
		return stats, fmt.Errorf("read events: %w", err)
	}
	err = s.run(ctx, splits, fullMoves(prog))
	s.stats.report(prog, &stats)
	if err != nil {
		return stats, err
	}
	for i := range prog.views {
		v := &prog.views[i]
		n, err := emit(ctx, prog, v, s.partsOf(v), p.Out)
		if err != nil {
			return stats, fmt.Errorf("view %q: %w", v.View.Name, err)
		}
		stats.RowsOut[v.View.Name] = n
	}
	return stats, nil
}

func newScan(p *program) *scan {
	s := &scan{prog: p, stats: newTally(p), parts: make([][]*partition, len(p.groups))}
	s.types.types = make([]table.Type, len(p.columns))
	for i, g := range p.groups {
		for range partitions {
			s.parts[i] = append(s.parts[i], newPartition(p, g))
		}
	}
	return s
}

// partsOf returns the partitions that hold a view's entities.
func (s *scan) partsOf(v *viewProgram) []*partition {
	for i, g := range s.prog.groups {
		if g == v.group {
			return s.parts[i]
		}
	}
	return nil
}

// report writes what the scan counted, as features.Stats has it.
func (t *tally) report(p *program, stats *features.Stats) {
	stats.RowsIn, stats.RowsOutside = t.rows, t.outside
	refused := map[string]int64{"time": t.timeless}
	for i, v := range p.views {
		refused[v.Name] = t.keyless[i]
		for j, f := range v.features {
			refused[v.Name+"."+f.Name] = t.refused[i][j]
		}
	}
	for what, n := range refused {
		if n == 0 {
			continue
		}
		if stats.Refused == nil {
			stats.Refused = map[string]int64{}
		}
		stats.Refused[what] = n
	}
}
