package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// The outputs of a build are its views' tables, by name, and what the builds of later intervals may go on from: of the views of each key their running state
// as of the interval's end, and their tile, the sums of the interval alone. No name of a view holds a dot.
const (
	statePrefix = "state."
	tilePrefix  = "tile."
)

// stateOutput and tileOutput name what is kept of the views of a key: state.subject, tile.subject+item. What can't stand in a file's name is escaped, as in a URL.
func stateOutput(key string) string { return statePrefix + url.PathEscape(key) }
func tileOutput(key string) string  { return tilePrefix + url.PathEscape(key) }

// keptForBuilds reports whether an output of a build is for later builds alone, and no table of a view.
func keptForBuilds(output string) bool {
	return strings.HasPrefix(output, statePrefix) || strings.HasPrefix(output, tilePrefix)
}

// buildFacts are the facts of a build. Stats, From and Anew tell how it came about, which is not the same for everybody who makes it; the tables of views
// and Rests are.
type buildFacts struct {
	features.Stats
	From  string `json:"from,omitempty"`     // the key of the build that it went on from
	Anew  string `json:"read_all,omitempty"` // why it did not go on from one, but read all events
	Rests rests  `json:"rests_on"`
}

// build computes the job's views as of the interval's end, one table a view. It goes on from what an earlier build kept, where all that rested on still
// stands, and else reads all events of the longest window: the tables are the same.
func (w *work) build(ctx context.Context) error {
	if len(w.job.Views) == 0 {
		return nil
	}
	made := false
	_, err := w.do(ctx, w.plan.build, func(ctx context.Context) (result, error) {
		w.report("build", 0, int64(len(w.job.Views)), "views")
		made = true
		p, why, err := w.findPrior(ctx)
		if err != nil {
			return result{}, err
		}
		res, err := w.buildFrom(ctx, p, why)
		if errors.Is(err, errPriorLost) && ctx.Err() == nil {
			w.Log.Warn("a build can't go on from an earlier one, and reads all events", "run", w.run.ID, "from", p.key, "error", err)
			return w.buildFrom(ctx, nil, "what "+p.key+" kept can't be read")
		}
		return res, err
	})
	if err != nil || !made {
		return err
	}
	if err := w.retire(ctx); err != nil && ctx.Err() == nil { // gc does it as well
		w.Log.Warn("what old builds kept could not be removed", "run", w.run.ID, "error", err)
	}
	return nil
}

// viewsWindow is the longest window of the job's views as of the interval's end.
func (w *work) viewsWindow() table.Interval {
	return table.Interval{Start: w.iv.End.Add(-features.RetentionNeeded(w.job.Views)), End: w.iv.End}
}

// buildFrom computes the views from what p kept, or, where it is nil, from all events.
func (w *work) buildFrom(ctx context.Context, p *prior, why string) (result, error) {
	events := w.reading()
	facts := buildFacts{Anew: why, Rests: w.rests()}
	plan := features.Plan{
		Views: w.job.Views, Interval: w.iv, Schema: w.job.eventSchema(), Budget: w.Memory, Spill: w.Spill,
	}
	if p != nil {
		events, plan.Prior, facts.From, facts.Anew = p.events, p.prior(ctx), p.key, ""
	}
	plan.Events = func(_ context.Context, win table.Interval) ([]features.Split, error) { return events.splits(win), nil }
	res := result{outputs: map[string]table.Manifest{}}
	sink := &tableSink{ctx: ctx, memory: w.Memory}
	defer sink.stop()
	plan.Anew = sink.anew
	plan.Whole = func(kind features.TableKind, name string) error {
		switch kind {
		case features.StateTable:
			name = stateOutput(name)
		case features.TileTable:
			name = tileOutput(name)
		}
		sink.whole(name)
		return nil
	}
	plan.Out = func(v features.View, rows *table.Batch) error {
		return sink.add(v.Name, func() *table.Writer { return w.viewWriter(v) }, rows)
	}
	if w.mayGoOn() == "" {
		keep := func(name func(key string) string, shards int) func(string, *table.Batch) error {
			return func(key string, rows *table.Batch) error {
				return sink.add(name(key), func() *table.Writer { return w.stateWriter(name(key), shards) }, rows)
			}
		}
		plan.State, plan.Tile = keep(stateOutput, stateShards), keep(tileOutput, 1)
	}
	stats, err := w.Engine.Build(ctx, plan)
	if err != nil {
		return result{}, err
	}
	if err := sink.finish(res.outputs); err != nil {
		return result{}, err
	}
	for _, v := range w.job.Views {
		m, ok := res.outputs[v.Name]
		if !ok {
			return result{}, fmt.Errorf("the engine made no table of view %s", v.Name)
		}
		res.rows += m.Rows
	}
	if facts.Stats = stats; stats.Prior == nil && facts.From != "" {
		facts.From = ""
		facts.Anew = "the engine declined that of " + p.end.UTC().Format(time.RFC3339) + ": to go on from it would have been no shorter, or needs more memory than the build may take (memory), or what was kept does not add up"
	}
	res.facts, res.rowsIn = facts, stats.RowsIn
	res.says = "views from all events: " + facts.Anew
	if stats.Prior != nil {
		res.says = fmt.Sprintf("views from the build as of %s and %d events", stats.Prior.UTC().Format(time.RFC3339), stats.RowsIn)
	}
	return res, nil
}

// tableSink writes the tables whose batches an engine hands over by turns. Those that are whole are stored while the engine makes others.
type tableSink struct {
	ctx    context.Context
	memory int64 // the build's; 0: no limit
	open   map[string]*table.Writer
	stored *table.Finisher
	names  []string // of those that are stored
}

// add appends rows to the table of a name, which writer begins.
func (s *tableSink) add(name string, writer func() *table.Writer, rows *table.Batch) error {
	w := s.open[name]
	if w == nil {
		if s.open == nil {
			s.open = map[string]*table.Writer{}
		}
		w = writer()
		s.open[name] = w
	}
	return w.Append(rows)
}

// finishRoom is what tables that are stored side by side may take, where the budget says nothing.
const finishRoom = 1 << 30

// whole begins to store a table. What it takes for several at a time is a quarter of the build's memory at most.
func (s *tableSink) whole(name string) {
	if s.stored == nil {
		room := int64(finishRoom)
		if s.memory > 0 {
			room = s.memory / 4
		}
		s.stored = table.NewFinisher(s.ctx, room)
	}
	s.stored.Add(s.open[name])
	s.names = append(s.names, name)
	delete(s.open, name) // so that what is stored is let go
}

// anew forgets all rows. What of them is stored already is what the same rows are stored as again, or garbage.
func (s *tableSink) anew() error {
	s.stop()
	clear(s.open)
	return nil
}

// stop ends what is under way.
func (s *tableSink) stop() {
	if s.stored != nil {
		s.stored.Stop()
	}
	s.stored, s.names = nil, nil
}

// finish waits for all tables, which are whole, and puts their manifests into out.
func (s *tableSink) finish(out map[string]table.Manifest) error {
	for name := range s.open {
		return fmt.Errorf("the engine has not said that table %s is whole: it is not stored", name)
	}
	if s.stored == nil {
		return nil
	}
	stored, err := s.stored.Wait()
	if err != nil {
		return err
	}
	for i, name := range s.names {
		out[name] = stored[i]
	}
	return nil
}

// viewWriter stages a view's table: by subject in shards, as events are.
func (w *work) viewWriter(v features.View) *table.Writer {
	s := v.Schema(w.job.eventSchema())
	o := table.WriteOptions{Codec: "text"} // what numbers a codec saves takes longer than to write them
	for _, f := range v.KeySchema(w.job.eventSchema()) {
		o.SortBy = append(o.SortBy, f.Name)
	}
	if i := slices.Index(v.Keys(), features.KeySubject); i >= 0 {
		o.Shards, o.ShardBy = w.job.Shards, s[i].Name
	}
	return table.NewWriter(w.Bucket, dataPrefix(w.plan.build.key, v.Name), s, o)
}

// A table of states is written in a few files, which are read side by side (one of tiles, which are some, in one: a file that is synced costs a millisecond), and in row groups of a few MiB: rows are some hundred KiB each. They are packed
// already: a codec would save a sixth of their bytes, and take as long as all else that reading a file does.
const (
	stateShards   = 4
	stateRowGroup = 64
)

// stateWriter stages a table of states or tiles.
func (w *work) stateWriter(output string, shards int) *table.Writer {
	return table.NewWriter(w.Bucket, dataPrefix(w.plan.build.key, output), features.StateSchema(), table.WriteOptions{
		SortBy: []string{features.PartColumn}, Shards: shards, ShardBy: features.PartColumn, RowGroup: stateRowGroup, Codec: "none",
		CopyText: true, // an engine's pieces stand in memory that it uses again
	})
}

func clip(a, b table.Interval) table.Interval {
	if a.Start.Before(b.Start) {
		a.Start = b.Start
	}
	if b.End.Before(a.End) {
		a.End = b.End
	}
	return a
}
