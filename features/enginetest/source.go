package enginetest

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// source hands out events as a features.Source, in one of many shapes, and notes what it was asked for. Its splits may be read side by side.
type source struct {
	events events
	shape
	calls func(batches int) error

	mu      sync.Mutex
	asked   []table.Interval
	columns map[string]bool // all that were asked for
	outside int64           // rows of splits that lie outside of the window asked for
	batches int             // yielded so far
	fault   error           // what the engine did wrong with a split
}

// shape is how events are cut and written.
type shape struct {
	seed    uint64
	splits  int            // into how many splits; 0: 1
	batch   int            // rows a batch, at most; 0: all
	coded   bool           // text comes as codes of a dictionary in some batches
	zoned   bool           // splits that hold no row without a time say what times they hold
	daily   *time.Location // one split a day of this zone (of splits each), which say so; only those that the window asked for needs
	listAll bool           // with daily: all days
	exactly bool           // only the rows of the window asked for
}

func (s *source) list(_ context.Context, w table.Interval) ([]features.Split, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, w)
	round := uint64(len(s.asked))
	rng := rand.New(rand.NewPCG(s.seed, round))

	var out []features.Split
	for _, part := range s.parts(rng) {
		if s.exactly {
			part.rows = slices.DeleteFunc(part.rows, func(row []any) bool {
				t, ok := cellAt(row, s.timeColumn()).(int64)
				return !ok || t < w.Start.UnixMicro() || t >= w.End.UnixMicro()
			})
		}
		if s.daily != nil && !s.listAll && part.timed() && !part.times.Overlaps(w) {
			s.outside += int64(len(part.rows))
			continue
		}
		out = append(out, s.split(part, w, rng.Uint64()))
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out, nil
}

func (s *source) timeColumn() int { return s.events.schema.Index("time") }

// cellAt is a cell of a row, nil for a column that it lacks.
func cellAt(row []any, column int) any {
	if column < 0 {
		return nil
	}
	return row[column]
}

// part is the rows of one split.
type part struct {
	rows  [][]any
	times table.Interval
}

func (p part) timed() bool { return p.times != table.Interval{} }

// parts cuts the rows into splits.
func (s *source) parts(rng *rand.Rand) []part {
	byDay := map[table.Interval][][]any{}
	var days []table.Interval
	for _, row := range s.events.rows {
		var day table.Interval
		if s.daily != nil {
			if t, ok := cellAt(row, s.timeColumn()).(int64); ok {
				y, m, d := time.UnixMicro(t).In(s.daily).Date()
				day = table.Interval{Start: time.Date(y, m, d, 0, 0, 0, 0, s.daily).UTC(), End: time.Date(y, m, d+1, 0, 0, 0, 0, s.daily).UTC()}
			}
		}
		if _, ok := byDay[day]; !ok {
			days = append(days, day)
		}
		byDay[day] = append(byDay[day], row)
	}
	var out []part
	for _, day := range days {
		cut := make([]part, max(s.splits, 1))
		for _, row := range byDay[day] {
			i := rng.IntN(len(cut))
			cut[i].rows = append(cut[i].rows, row)
		}
		for i := range cut {
			if cut[i].times = day; s.zoned && s.daily == nil {
				cut[i].times = spanOf(cut[i].rows, s.timeColumn())
			}
		}
		out = append(out, cut...)
	}
	return out
}

// spanOf is the narrowest interval that holds the times of rows, zero where a row has none, or one that no interval holds.
func spanOf(rows [][]any, column int) (iv table.Interval) {
	for i, row := range rows {
		t, ok := cellAt(row, column).(int64)
		if !ok || t < -1<<55 || t > 1<<55 {
			return table.Interval{}
		}
		at := time.UnixMicro(t).UTC()
		if i == 0 || at.Before(iv.Start) {
			iv.Start = at
		}
		if end := at.Add(time.Microsecond); i == 0 || end.After(iv.End) {
			iv.End = end
		}
	}
	return iv
}

// split is a part as the engine sees it.
func (s *source) split(p part, w table.Interval, seed uint64) features.Split {
	out := features.Split{Rows: int64(len(p.rows)), Times: p.times}
	outside := p.timed() && !p.times.Overlaps(w)
	if outside {
		s.outside += int64(len(p.rows))
	}
	out.Read = func(ctx context.Context, columns []string) iter.Seq2[*table.Batch, error] {
		return func(yield func(*table.Batch, error) bool) {
			if s.note(columns, outside, p.times, w); len(columns) == 0 {
				yield(nil, fmt.Errorf("no column was asked for"))
				return
			}
			s.read(ctx, p.rows, columns, rand.New(rand.NewPCG(seed, 5)), yield)
		}
	}
	return out
}

// note keeps what a read asks for.
func (s *source) note(columns []string, outside bool, times, w table.Interval) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.columns == nil {
		s.columns = map[string]bool{}
	}
	for _, c := range columns {
		s.columns[c] = true
	}
	if outside && s.fault == nil {
		s.fault = fmt.Errorf("a split of %v was read, all of which lies outside of %v, which was asked for", times, w)
	}
}

// read yields rows in batches that hold the columns asked for and no others, in an order of its own; now and then an empty one.
func (s *source) read(ctx context.Context, rows [][]any, columns []string, rng *rand.Rand, yield func(*table.Batch, error) bool) {
	var positions []int
	for i, f := range s.events.schema {
		if slices.Contains(columns, f.Name) {
			positions = append(positions, i)
		}
	}
	rng.Shuffle(len(positions), func(i, j int) { positions[i], positions[j] = positions[j], positions[i] })
	dicts := map[string]*dictionary{}
	size := s.batch
	if size <= 0 {
		size = max(len(rows), 1)
	}
	for lo, n := 0, 0; lo < len(rows); lo += n {
		n = min(size, len(rows)-lo)
		if rng.IntN(9) == 0 {
			n = 0
		}
		b := s.events.batch(rows[lo:lo+n], positions)
		if s.coded {
			for i, f := range b.Schema {
				if f.Type == table.String && rng.IntN(4) > 0 {
					if dicts[f.Name] == nil {
						dicts[f.Name] = &dictionary{}
					}
					dicts[f.Name].code(&b.Cols[i], rng)
				}
			}
		}
		if err := s.before(ctx); err != nil {
			yield(nil, err)
			return
		}
		if !yield(b, nil) {
			return
		}
		spoil(b)
	}
}

// before is called before each batch; its error takes the batch's place.
func (s *source) before(ctx context.Context) error {
	s.mu.Lock()
	s.batches++
	n := s.batches
	s.mu.Unlock()
	if s.calls != nil {
		if err := s.calls(n); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// dictionary is what a reader of coded text holds: as long as values are in it, it stays the same slice.
type dictionary struct{ values []string }

// code replaces a column's text by codes. A new dictionary has a value that no row has, and sometimes one twice.
func (d *dictionary) code(c *table.Column, rng *rand.Rand) {
	var missing bool
	for i, s := range c.Str {
		missing = missing || !c.Null(i) && !slices.Contains(d.values, s)
	}
	if missing || rng.IntN(5) == 0 {
		d.values = nil
		for i, s := range c.Str {
			if !c.Null(i) && !slices.Contains(d.values, s) {
				d.values = append(d.values, strings.Clone(s))
			}
		}
		if len(d.values) > 0 && rng.IntN(3) == 0 {
			d.values = append(d.values, d.values[0])
		}
		if len(d.values) > 0 {
			d.values = append(d.values, "in no row")
			rng.Shuffle(len(d.values), func(i, j int) { d.values[i], d.values[j] = d.values[j], d.values[i] })
		}
	}
	c.Code, c.Dict = make([]int32, len(c.Str)), d.values
	for i, s := range c.Str {
		if !c.Null(i) {
			c.Code[i] = int32(slices.Index(d.values, s))
		}
	}
	c.Str = nil
}

// oneSplit is a source of one split, which yields the batches of read.
func oneSplit(read iter.Seq2[*table.Batch, error]) features.Source {
	return func(context.Context, table.Interval) ([]features.Split, error) {
		return []features.Split{{Read: func(context.Context, []string) iter.Seq2[*table.Batch, error] { return read }}}, nil
	}
}
