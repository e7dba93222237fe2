package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// A day is the committed events of one ingest unit.
type day struct {
	iv       table.Interval
	key      string
	manifest table.Manifest
}

// reading is what a run may read of events, under the decisions and the retention of now. It is the only way in which steps after ingest read
// them.
type reading struct {
	bucket    storage.Bucket
	days      []day // ascending
	decisions *policy.Decisions
	oldest    int64 // policy.Purpose.Oldest
}

// meets reports whether the day has rows, and some of its times lie in w.
func (dy day) meets(w table.Interval) bool {
	return dy.iv.Overlaps(w) && dy.manifest.Rows > 0
}

// permitted yields the events in w that may be used, day by day, each in the order of its table, and counts every row in funnel (which may be nil).
func (r reading) permitted(ctx context.Context, w table.Interval, columns []string, funnel policy.Funnel) iter.Seq2[*table.Batch, error] {
	return func(yield func(*table.Batch, error) bool) {
		for _, dy := range r.days {
			if !dy.meets(w) {
				continue
			}
			for batch, err := range r.read(ctx, dy, w, table.ReadOptions{Columns: columns}, true, funnel) {
				if !yield(batch, err) || err != nil {
					return
				}
			}
		}
	}
}

// splitsOf are the splits of a window, each reduced to some of its entities.
func (r reading) splitsOf(w table.Interval, only func(features.Split) features.Split) []features.Split {
	splits := r.splits(w)
	for i := range splits {
		splits[i] = only(splits[i])
	}
	return splits
}

// splits are the same events in pieces that can be read side by side: one a part of a day's table. Times are read where they are asked for, and where
// they are needed to tell which rows may be used.
func (r reading) splits(w table.Interval) []features.Split {
	var out []features.Split
	turns := r.turns()
	for _, dy := range r.days {
		if !dy.meets(w) {
			continue
		}
		parts := map[int]features.Split{} // by shard
		for _, p := range dy.manifest.Parts {
			s := parts[p.Shard]
			s.Rows, s.Bytes = s.Rows+p.Rows, s.Bytes+p.Size
			parts[p.Shard] = s
		}
		for _, shard := range slices.Sorted(maps.Keys(parts)) {
			s := parts[shard]
			s.Times = clip(dy.iv, w)
			needTimes := s.Times != dy.iv || r.turnsIn(turns, dy, shard) || r.decisions.Sensitive().Timed()
			s.Read = func(ctx context.Context, columns []string) iter.Seq2[*table.Batch, error] {
				return r.read(ctx, dy, w, table.ReadOptions{Columns: columns, Shards: []int{shard}, Dictionaries: true}, needTimes, nil)
			}
			out = append(out, s)
		}
	}
	return out
}

// turn is a moment from which something else is said of a subject's events.
type turn struct {
	at      int64
	subject policy.Subject
}

// turns lists the turns of all subjects, by time.
func (r reading) turns() []turn {
	var out []turn
	for s, t := range r.decisions.Turns {
		out = append(out, turn{t, s})
	}
	slices.SortFunc(out, func(a, b turn) int { return cmp.Compare(a.at, b.at) })
	return out
}

// turnsIn reports whether something else is said of some subject of a shard, or of all, from some moment inside the day.
func (r reading) turnsIn(turns []turn, dy day, shard int) bool {
	start, end := table.Micros(dy.iv.Start), table.Micros(dy.iv.End)
	for _, t := range [...]int64{r.oldest, table.Micros(r.decisions.Now())} {
		if start < t && t < end {
			return true
		}
	}
	first, _ := slices.BinarySearchFunc(turns, start+1, func(t turn, at int64) int { return cmp.Compare(t.at, at) })
	for _, t := range turns[first:] {
		if t.at >= end {
			return false
		}
		if table.ShardOf(uint64(t.subject), dy.manifest.Shards) == shard {
			return true
		}
	}
	return false
}

// read yields what may be used of a day's events in w, with the columns of o, those that it needs to tell, and no row that may not be used.
func (r reading) read(ctx context.Context, dy day, w table.Interval, o table.ReadOptions, needTimes bool, funnel policy.Funnel) iter.Seq2[*table.Batch, error] {
	return func(yield func(*table.Batch, error) bool) {
		if o.Columns != nil {
			need := []string{event.ColSubject}
			if needTimes {
				need = append(need, event.ColTime)
			}
			if r.decisions.Sensitive() != nil {
				need = append(need, event.ColItem)
			}
			o.Columns = slices.Clone(o.Columns)
			for _, c := range need {
				if !slices.Contains(o.Columns, c) {
					o.Columns = append(o.Columns, c)
				}
			}
		}
		s := newSieve(r, dy.iv, w, funnel)
		for batch, err := range table.Read(ctx, r.bucket, dy.manifest, o) {
			if err == nil {
				err = s.sift(batch)
			}
			if err != nil {
				yield(nil, fmt.Errorf("events of %s: %w", dy.iv, err))
				return
			}
			if batch.N > 0 && !yield(batch, nil) {
				return
			}
		}
	}
}

// sieve leaves in batches of a day's events what may be used. Rows stand by subject in a part, so one rule serves a run of them, and for most subjects
// it says the same of the whole day. Where items are sensitive, what is left is gone through once more.
type sieve struct {
	rules      *policy.Rules
	guard      *policy.Sensitive // nil: no item is
	start, end int64             // µs: of the day's times those in the window
	whole      bool              // these are all
	funnel     policy.Funnel
}

func newSieve(r reading, day, w table.Interval, funnel policy.Funnel) *sieve {
	in := clip(day, w)
	return &sieve{rules: r.decisions.Rules(r.oldest), guard: r.decisions.Sensitive(), start: table.Micros(in.Start), end: table.Micros(in.End), whole: in == day, funnel: funnel}
}

// sift takes out of a batch, in place, the rows that may not be used.
func (s *sieve) sift(b *table.Batch) error {
	if err := s.siftSubjects(b); err != nil || s.guard == nil {
		return err
	}
	return s.siftItems(b)
}

// siftItems takes out the events of sensitive items that do not count.
func (s *sieve) siftItems(b *table.Batch) error {
	subjects, items, times := b.Col(event.ColSubject).Int, b.Col(event.ColItem), b.Col(event.ColTime)
	if items == nil || times == nil && s.guard.Timed() {
		return errors.New("some items are sensitive, and the items and times of events were not read") // a programmer's error
	}
	sensitive := s.lookup(items)
	kept := 0
	for i := range b.N {
		if sensitive(i) {
			var t int64
			if times != nil {
				t = times.Int[i]
			}
			if !s.guard.Counts(policy.Subject(uint64(subjects[i])), t) {
				s.count(policy.Kept, -1)
				s.count(policy.SensitiveItem, 1)
				continue
			}
		}
		move(b, kept, i, i+1)
		kept++
	}
	truncate(b, kept)
	return nil
}

// lookup returns a function that tells whether the item of a row is sensitive. Of items that are written as codes each is looked up once.
func (s *sieve) lookup(items *table.Column) func(row int) bool {
	if items.Code == nil {
		return func(i int) bool { return s.guard.Has(items.Str[i]) }
	}
	codes := make([]bool, len(items.Dict))
	for c, id := range items.Dict {
		codes[c] = s.guard.Has(id)
	}
	return func(i int) bool { return codes[items.Code[i]] }
}

// siftSubjects takes out the rows of subjects and times that may not be used.
func (s *sieve) siftSubjects(b *table.Batch) error {
	subjects := b.Col(event.ColSubject).Int
	var times []int64
	if c := b.Col(event.ColTime); c != nil {
		times = c.Int
	}
	kept, from := 0, 0 // rows [from, i) are to follow the first kept ones
	flush := func(to int) {
		if from < to {
			move(b, kept, from, to)
			kept += to - from
		}
	}
	for i := 0; i < b.N; {
		end := i + 1
		for end < b.N && subjects[end] == subjects[i] {
			end++
		}
		rule := s.rules.Of(policy.Subject(uint64(subjects[i])))
		why, alike := rule.Over(s.start, s.end)
		if alike && s.whole {
			s.count(why, int64(end-i))
			if why != policy.Kept {
				flush(i)
				from = end
			}
			i = end
			continue
		}
		if times == nil {
			return errors.New("whose events may be used turns inside it, and their times were not read") // a programmer's error
		}
		for ; i < end; i++ {
			t := times[i]
			inside := t >= s.start && t < s.end
			if inside && !alike {
				why = rule.Judge(t)
			}
			if inside {
				s.count(why, 1)
			}
			if !inside || why != policy.Kept {
				flush(i)
				from = i + 1
			}
		}
	}
	if kept == 0 && from == 0 {
		return nil // nothing was taken out
	}
	flush(b.N)
	truncate(b, kept)
	return nil
}

func (s *sieve) count(why policy.Reason, n int64) {
	if s.funnel != nil {
		s.funnel[why] += n
	}
}

// move copies rows [from, end) to row to and on.
func move(b *table.Batch, to, from, end int) {
	if to == from {
		return
	}
	for c := range b.Cols {
		col := &b.Cols[c]
		shift(col.Int, to, from, end)
		shift(col.Float, to, from, end)
		shift(col.Str, to, from, end)
		shift(col.Code, to, from, end)
		shift(col.Valid, to, from, end)
	}
}

func shift[T any](s []T, to, from, end int) {
	if s != nil {
		copy(s[to:], s[from:end])
	}
}

func truncate(b *table.Batch, n int) {
	b.N = n
	for c := range b.Cols {
		col := &b.Cols[c]
		col.Int, col.Float, col.Str, col.Code, col.Valid = cut(col.Int, n), cut(col.Float, n), cut(col.Str, n), cut(col.Code, n), cut(col.Valid, n)
	}
}

func cut[T any](s []T, n int) []T {
	if s == nil {
		return nil
	}
	return s[:n]
}

// eventColumns are the columns that models learn from.
var eventColumns = []string{"subject", "item", "time", "kind"}

// logBuilder turns batches of permitted events into a models.EventLog.
type logBuilder struct {
	index   map[string]int32 // item id → position in the catalog
	kinds   map[string]uint8
	weights []float32 // by kind
	days    []dayWeight
	context func(batch *table.Batch, row int) models.Context
	events  []models.Event
	against []against
	seen    []bool // by kind: whether it says that an item was shown
	shown   []models.Event
}

// against is an event that speaks against its item: from then on it stands in no list of that subject.
type against struct {
	subject uint64
	time    int64 // µs
	item    int32
}

// refusals are all of them, by subject and time.
type refusals []against

func (r refusals) sort() {
	slices.SortFunc(r, func(a, b against) int {
		return cmp.Or(cmp.Compare(a.subject, b.subject), cmp.Compare(a.time, b.time), cmp.Compare(a.item, b.item))
	})
}

// of returns the items that a subject's events in [since, before) speak against, ascending; nil if there are none. O(log n) and theirs.
func (r refusals) of(subject uint64, since, before int64) (items []int32) {
	at, _ := slices.BinarySearchFunc(r, subject, func(a against, s uint64) int { return cmp.Compare(a.subject, s) })
	for ; at < len(r) && r[at].subject == subject && r[at].time < before; at++ {
		if r[at].time >= since {
			items = append(items, r[at].item)
		}
	}
	slices.Sort(items)
	return slices.Compact(items)
}

// union returns the items of both ascending lists, ascending: one of the two itself, if the other is empty. O(len(a) + len(b)).
func union(a, b []int32) []int32 {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	out := make([]int32, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		least := min(a[0], b[0])
		if out = append(out, least); a[0] == least {
			a = a[1:]
		}
		if b[0] == least {
			b = b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// newLogBuilder tells apart, by kind, signals of a weight, and impressions.
func newLogBuilder(c *models.Catalog, kinds []string, weights map[string]float64, impressions []string) (*logBuilder, error) {
	if len(kinds) > math.MaxUint8 {
		return nil, fmt.Errorf("%d kinds of event: at most 255 can be told apart; map them to fewer kinds at the source", len(kinds))
	}
	b := &logBuilder{index: make(map[string]int32, len(c.IDs)), kinds: map[string]uint8{}}
	for i, id := range c.IDs {
		b.index[id] = int32(i)
	}
	for i, k := range kinds {
		b.kinds[k] = uint8(i)
		w, ok := weights[k]
		if !ok {
			w = 1
		}
		b.weights = append(b.weights, float32(w))
		b.seen = append(b.seen, slices.Contains(impressions, k))
	}
	return b, nil
}

// add appends the events of a batch; events of a kind whose weight is zero are left out, and those of a negative weight and impressions stand
// apart.
func (b *logBuilder) add(batch *table.Batch) error {
	subjects, items, times, kinds := batch.Col("subject"), batch.Col("item"), batch.Col("time"), batch.Col("kind")
	for i := range batch.N {
		item, ok := b.index[items.Str[i]]
		if !ok {
			return fmt.Errorf("an event names item %q, which the catalog made of the same events lacks", items.Str[i])
		}
		kind, ok := b.kinds[kinds.Str[i]]
		if !ok {
			return fmt.Errorf("an event has kind %q, which the training set does not know", kinds.Str[i])
		}
		if b.seen[kind] {
			b.shown = append(b.shown, models.Event{Subject: uint64(subjects.Int[i]), Time: times.Int[i], Item: item, Kind: kind, Weight: 1})
			continue
		}
		if b.weights[kind] < 0 {
			b.against = append(b.against, against{uint64(subjects.Int[i]), times.Int[i], item})
		}
		if b.weights[kind] <= 0 {
			continue
		}
		e := models.Event{Subject: uint64(subjects.Int[i]), Time: times.Int[i], Item: item, Kind: kind, Weight: b.weights[kind]}
		if len(b.days) > 0 {
			if e.Weight *= float32(weightAt(b.days, e.Time)); e.Weight == 0 {
				continue
			}
		}
		if b.context != nil {
			e.Context = b.context(batch, i)
		}
		b.events = append(b.events, e)
	}
	return nil
}
