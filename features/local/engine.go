package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
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
	for _, t := range []time.Time{p.Interval.Start, p.Interval.End} {
		if !fits(t) {
			return stats, fmt.Errorf("the interval %s is more than 73,000 years from 1970: build as of another moment", p.Interval)
		}
	}
	if len(p.Views) == 0 {
		return stats, nil
	}
	if p.Prior != nil && p.Anew == nil {
		return stats, errors.New("a plan with a Prior, and no Anew: what is put out before the Prior turns out to be of no use could not be taken back")
	}
	bg := &budget{limit: share(p.Budget), spill: spill{folder: p.Spill}}
	defer bg.spill.close()
	err := attempt(ctx, p, bg, &stats, false)
	if errors.Is(err, errAlike) || errors.Is(err, errCrowded) {
		stats = features.Stats{RowsOut: map[string]int64{}}
		err = attempt(ctx, p, bg, &stats, true)
	}
	stats.Spilled, stats.Peak = bg.spill.end.Load(), bg.peak.Load()
	return stats, err
}

// attempt is a build, in which groups share pairs, or do not.
func attempt(ctx context.Context, p features.Plan, bg *budget, stats *features.Stats, unshared bool) error {
	start := p.Interval.Start.UnixMicro()
	span := p.Interval.End.UnixMicro() - start
	if p.Prior != nil {
		went, err := goOnFrom(ctx, p, bg, stats, use{timed: true, columns: true, tile: p.Tile != nil, span: span})
		if went || err != nil {
			return err
		}
	}
	prog, err := compile(p.Views, p.Schema, p.Interval.End, use{timed: p.State != nil, tile: p.Tile != nil, span: span, unshared: unshared})
	if err != nil {
		return err
	}
	bg.held.Store(0)
	s := newScan(prog, bg)
	splits, err := p.Events(ctx, table.Interval{Start: prog.startTime(), End: prog.endTime()})
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	tasks := make([]task, len(splits))
	for i, x := range splits {
		tasks[i] = task{Split: x, lo: minTime, hi: maxTime}
	}
	err = s.run(ctx, tasks, fullMoves(prog, start))
	s.stats.report(prog, stats)
	if err != nil {
		return err
	}
	o := newOutlet(ctx, s, p)
	if err := o.all(); err != nil {
		if errors.Is(err, errAlike) && o.began() { // keys that were spilled are met when others have been put out
			if p.Anew == nil {
				return fmt.Errorf("what is put out could not be taken back: set Anew, or a larger Budget (%v)", err)
			}
			return cmp.Or(p.Anew(), err)
		}
		return err
	}
	o.count(stats)
	return nil
}

// goOnFrom builds the views from what the prior build kept. It reports false if that is of no use, and what was put out then is void.
func goOnFrom(ctx context.Context, p features.Plan, bg *budget, stats *features.Stats, u use) (went bool, err error) {
	prog, err := compile(p.Views, p.Schema, p.Interval.End, u)
	if err != nil {
		return false, err
	}
	pr := prog.plan(p.Prior, p.Interval.Start.UnixMicro())
	if pr == nil || prog.dear(pr, p.Prior, p.State != nil) {
		return false, nil
	}
	bg.held.Store(0)
	s := newScan(prog, bg)
	o := newOutlet(ctx, s, p)
	n, err := s.goOn(ctx, p, pr, o)
	if err == nil {
		s.stats.report(prog, stats)
		end := p.Prior.End
		stats.States, stats.Prior = n, &end
		o.count(stats)
		return true, nil
	}
	if !errors.Is(err, errInconsistent) && !errors.Is(err, aggregate.ErrDamaged) && !errors.Is(err, errBeyond) {
		s.stats.report(prog, stats)
		return false, err
	}
	s.release()
	if o.began() {
		return false, p.Anew()
	}
	return false, nil
}

// sheets are the tables that the plan asks for.
func (s *scan) sheets(p features.Plan) (all []*sheet) {
	whole := func(kind features.TableKind, name string) func() error {
		if p.Whole == nil {
			return nil
		}
		return func() error { return p.Whole(kind, name) }
	}
	for i := range s.prog.views {
		sh := viewSheet(s.prog, &s.prog.views[i])
		sh.out = func(rows *table.Batch) error { return p.Out(sh.view.View, rows) }
		sh.end = whole(features.ViewTable, sh.view.Name)
		all = append(all, sh)
	}
	for _, g := range s.prog.groups {
		if p.State != nil {
			sh := stateSheet(s.prog, g)
			sh.out = func(rows *table.Batch) error { return p.State(s.prog.keyOf(g), rows) }
			sh.end = whole(features.StateTable, s.prog.keyOf(g))
			all = append(all, sh)
		}
	}
	for _, g := range s.prog.groups {
		if p.Tile != nil {
			sh := tileSheet(s.prog, g, p.Interval.Start.UnixMicro())
			sh.out = func(rows *table.Batch) error { return p.Tile(s.prog.keyOf(g), rows) }
			sh.end = whole(features.TileTable, s.prog.keyOf(g))
			all = append(all, sh)
		}
	}
	return all
}

func newScan(p *program, bg *budget) *scan {
	s := &scan{prog: p, budget: bg, stats: newTally(p), parts: make([][]*partition, len(p.groups))}
	s.types.types = make([]table.Type, len(p.columns))
	bg.groups, bg.dicts, bg.numbers = len(p.groups), nil, nil
	for _, c := range p.columns {
		if c.dict != nil {
			bg.dicts = append(bg.dicts, c.dict)
		}
		if c.numbering != nil {
			bg.numbers = append(bg.numbers, c.numbering)
		}
	}
	for i, g := range p.groups {
		for range partitions {
			s.parts[i] = append(s.parts[i], newPartition(p, g))
		}
	}
	return s
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
