package event

import (
	"cmp"
	"context"
	"hash/maphash"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// longAgo is before every event: a time of 0, and most times whose unit was taken for another, lie before it. The oldest data that recommenders
// are tried on is of 1995.
var longAgo = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// farAhead is after every event, where a bucket does not tell when a file was written.
var farAhead = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// grace is how long after it was written a file without a date in its path may hold events: clocks differ, and zones do.
const grace = 24 * time.Hour

// latest returns the first time, in µs, that no event of a file without a date can have.
func latest(info storage.Info) int64 {
	if written := info.Modified.Add(grace).UnixMicro(); written > longAgo {
		return written
	}
	return farAhead
}

// strays says of the rows of a file that lie outside the day whether any day reads them, and why not. A row that no day reads is counted with one day:
// of a dated file that on which it arrived, of another the last day that it holds events of.
type strays struct {
	judged   bool  // this is that day
	from, to int64 // the days that read the file lie in [from, to)
}

// holds reports whether a time is one that an event of the file can have.
func (s strays) holds(t int64) bool { return t >= s.from && t < s.to }

// straysOf says where the rows of a file belong.
func (in *ingest) straysOf(f file) strays {
	if !f.arrived {
		return strays{judged: f.unknown || f.odd && in.contains(f.span.End.UnixMicro()-1), from: longAgo, to: latest(f.info)}
	}
	s := strays{judged: in.Day.Contains(f.span.Start), from: math.MinInt64, to: math.MaxInt64}
	if in.Unit != (table.Every{}) {
		// A day reads the files that arrived from its start to its end and the lateness after it (Files.Day).
		s.from = in.Unit.Containing(f.span.Start.Add(-in.source.Lateness)).Start.UnixMicro()
		s.to = in.Unit.Containing(f.span.End.Add(-time.Microsecond)).End.UnixMicro()
	}
	return s
}

// why says why no day reads a row of time t; "" if one does.
func (s strays) why(t int64) expect.Reason {
	switch {
	case t < longAgo:
		return expect.LongAgo
	case t < s.from:
		return expect.Late
	case t >= s.to:
		return expect.Ahead
	}
	return ""
}

// findings are what one file, or one ingest, has found out about its rows.
type findings struct {
	counts expect.Counts
	places expect.Places
	first  *expect.Place // of a row of unknown kind
	newest int64         // µs

	strangers int64 // IngestFacts.Strangers
}

// bad quarantines a row.
func (q *findings) bad(at expect.Place) {
	q.counts.AddBad(at.Column, at.Reason, 1)
	q.places.Add(at)
}

// merge adds what another file has found.
func (q *findings) merge(o *findings) {
	q.counts.Merge(o.counts)
	q.places.Merge(o.places)
	q.newest = max(q.newest, o.newest)
	q.strangers += o.strangers
	if o.first != nil && (q.first == nil || o.first.File < q.first.File) {
		q.first = o.first
	}
}

// watched are the columns of the files that are read beside ids, time and kind, as their names here and as what they are delivered.
func (in *ingest) watched() (out []table.Field) {
	for i, f := range in.schema {
		if i >= in.source.fixedColumns() || f.Name == ColValue && in.source.Value != "" && in.Decisions.Purpose().Allows("events", ColValue) {
			out = append(out, f)
		}
	}
	return out
}

// columns are the columns of a batch that are watched, in the order of watched.
func (c bound) columns(watched []table.Field) []*table.Column {
	if len(watched) > len(c.context) {
		return append([]*table.Column{c.value}, c.context...)
	}
	return c.context
}

// names are the names here of columns of the files, of those that are watched and the kind.
func (in *ingest) names(columns []string) (out []string) {
	for _, column := range columns {
		s := in.source
		if column == s.Kind {
			out = append(out, ColKind)
		}
		for _, f := range in.watch {
			if f.Name == ColValue && column == s.Value || f.Name != ColValue && column == s.Columns[f.Name] {
				out = append(out, f.Name)
			}
		}
	}
	return out
}

// lastOf reports whether the interval is the last that a file without statistics holds events of, by the newest times in it and outside.
func (in *ingest) lastOf(inside, outside *findings) bool {
	return inside.newest > math.MinInt64 && inside.newest >= outside.newest
}

// countNulls counts the rows of a batch, as they are kept, that have no value in a watched column.
func (in *ingest) countNulls(b *table.Batch, into *expect.Counts) {
	for _, f := range in.watch {
		var n int64
		for _, ok := range b.Col(f.Name).Valid {
			if !ok {
				n++
			}
		}
		into.AddNulls(f.Name, n)
	}
}

// identical finds the events that may be repeated, so that a day's events need not be held in memory to drop what repeats them: a first reading of
// their ids, times and kinds keeps a hash of each, 8 bytes, and returns those that occur twice. A hash may do so by chance: whoever drops
// compares the events themselves.
func (in *ingest) identical(ctx context.Context, files []file) (map[uint64]bool, error) {
	var mu sync.Mutex
	var all []uint64
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, min(in.Workers, runtime.GOMAXPROCS(0))))
	for _, f := range files {
		g.Go(func() error {
			o := in.source.scan()
			o.Window = in.Day
			for _, w := range in.columns {
				if s := in.source; w.Name == s.Subject || w.Name == s.Item || w.Name == s.Time || w.Name == s.Kind {
					o.Columns = append(o.Columns, w)
				}
			}
			var own []uint64
			for b, err := range table.Scan(gctx, in.source.Bucket, f.info, o) {
				if err != nil {
					return err
				}
				c := in.bind(b)
				for i := range b.N {
					id, okID := idAt(c.subject, i)
					item, okItem := itemAt(c.item, i)
					if kind, leave := in.kinds.of(c.kind, i); okID && okItem && kind != "" && !leave {
						own = append(own, in.hash(id, item, c.time.Int[i], kind))
					}
				}
			}
			mu.Lock()
			all = append(all, own...)
			mu.Unlock()
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	slices.Sort(all)
	twice := map[uint64]bool{}
	for i := 1; i < len(all); i++ {
		if all[i] == all[i-1] {
			twice[all[i]] = true
		}
	}
	return twice, nil
}

// hashOf is the hash of an event if repeated events are looked for, else 0, which stands for none.
func (in *ingest) hashOf(id, item string, t int64, kind string) uint64 {
	if len(in.repeated) == 0 {
		return 0
	}
	return in.hash(id, item, t, kind)
}

// hash is a hash of an event, of this ingest alone: it is compared, and never kept.
func (in *ingest) hash(id, item string, t int64, kind string) uint64 {
	var h maphash.Hash
	h.SetSeed(in.seed)
	maphash.WriteComparable(&h, [3]string{id, item, kind})
	maphash.WriteComparable(&h, t)
	return h.Sum64()
}

// held are minimized rows that may repeat another, and where each stands.
type held struct {
	*rows
	places []expect.Place
}

// unrepeated returns, of the held rows, each that repeats no other: of rows equal in subject, item, time and kind the least by its other
// columns, so that it does not matter which was read first. The others are quarantined.
func unrepeated(schema table.Schema, all []held, q *findings) *rows {
	type at struct{ h, i int }
	var order []at
	for h := range all {
		for i := range all[h].batch.N {
			order = append(order, at{h, i})
		}
	}
	const key = 4 // subject, item, time, kind
	compare := func(a, b at, columns int) int {
		for j := range columns {
			x, y := &all[a.h].batch.Cols[j], &all[b.h].batch.Cols[j]
			if d := compareCell(schema[j].Type, x, a.i, y, b.i); d != 0 {
				return d
			}
		}
		return 0
	}
	slices.SortFunc(order, func(a, b at) int {
		p, o := all[a.h].places[a.i], all[b.h].places[b.i]
		return cmp.Or(compare(a, b, len(schema)), cmp.Compare(p.File, o.File), cmp.Compare(p.Row, o.Row))
	})
	out := newRows(schema, nil)
	for k, a := range order {
		if k > 0 && compare(a, order[k-1], key) == 0 {
			q.bad(all[a.h].places[a.i])
			continue
		}
		out.take(&all[a.h].batch, a.i)
	}
	return out
}

// compareCell orders nulls first.
func compareCell(t table.Type, x *table.Column, i int, y *table.Column, j int) int {
	if x.Null(i) || y.Null(j) {
		switch {
		case x.Null(i) && y.Null(j):
			return 0
		case x.Null(i):
			return -1
		}
		return 1
	}
	switch t {
	case table.Float64:
		return cmp.Compare(x.Float[i], y.Float[j])
	case table.String:
		return cmp.Compare(x.Str[i], y.Str[j])
	}
	return cmp.Compare(x.Int[i], y.Int[j])
}
