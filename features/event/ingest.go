package event

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// The columns of an events table. After them stand the context columns that the purpose reads, sorted by name, as String or Float64.
const (
	ColSubject = "subject" // Int64, the bits of a policy.Subject
	ColItem    = "item"    // String
	ColTime    = "time"    // Time
	ColKind    = "kind"    // String
	ColValue   = "value"   // Float64, null where the source or the purpose has none
	ColCreated = "created" // Time: when the event became known. Only of a source that says so; null where a row does not
)

// Schema is the schema of the events table that a purpose gets of the source: the columns above, and the context columns that it reads.
// those in Numeric as Float64, the others as String.
func (s Source) Schema(p policy.Purpose) table.Schema {
	schema := table.Schema{
		{Name: ColSubject, Type: table.Int64},
		{Name: ColItem, Type: table.String},
		{Name: ColTime, Type: table.Time},
		{Name: ColKind, Type: table.String},
		{Name: ColValue, Type: table.Float64},
	}
	if s.Created != "" {
		schema = append(schema, table.Field{Name: ColCreated, Type: table.Time})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Columns)) {
		if !p.Allows("events", name) {
			continue
		}
		t := table.String
		if slices.Contains(s.Numeric, name) {
			t = table.Float64
		}
		schema = append(schema, table.Field{Name: name, Type: t})
	}
	return schema
}

// NewWriter stages an events table as every step that reads one expects it: sharded by subject, sorted by subject, time, item, kind.
func (s Source) NewWriter(b storage.Bucket, prefix string, p policy.Purpose, shards int) *table.Writer {
	return table.NewWriter(b, prefix, s.Schema(p), table.WriteOptions{
		Shards: shards, ShardBy: ColSubject, SortBy: []string{ColSubject, ColTime, ColItem, ColKind},
	})
}

// IngestPlan says what to ingest: the events of one interval, under the decisions for one purpose.
type IngestPlan struct {
	Files        *Files
	Day          table.Interval
	Decisions    *policy.Decisions
	Identities   *Identities
	Suppressions *Suppressions
	IntervalEnd  time.Time     // from which retention counts back; zero: Day.End
	Unit         table.Every   // what Day is one of, so that rows of a dated file which lie in no day that reads it can be told; zero: they are not
	Out          *table.Writer // of Source.NewWriter
	Workers      int           // files read at once; 0: GOMAXPROCS
}

// IngestFacts are the facts of an ingest.
type IngestFacts struct {
	Funnel  policy.Funnel `json:"funnel"`
	Files   int           `json:"files"`
	Bytes   int64         `json:"bytes"` // size of these files; of it only the declared columns are read
	Rows    int64         `json:"rows"`  // rows of the interval that were judged, kept or not: those of the funnel
	Kept    int64         `json:"kept"`
	Quality expect.Counts `json:"quality"`

	// Places are where quarantined rows stand, the first of them; BadRows the first few of those.
	Places  []expect.Place `json:"-"`
	BadRows []expect.Place `json:"bad_rows,omitempty"`

	// Strangers are the rows that the funnel counts as erased for a key alone that was given up, which might have told whose they are.
	Strangers int64 `json:"-"`

	// Rows of the interval that are no event of the project, and not in the funnel.
	UnknownKinds int64 `json:"unknown_kinds,omitempty"`         // of a kind that Source.Kinds does not have
	IgnoredKinds int64 `json:"ignored_kinds,omitempty"`         // of one that it maps to Ignored
	Empty        int64 `json:"rows_without_elements,omitempty"` // whose list to explode is null or empty
}

// maxBadRows is how many bad rows the facts list.
const maxBadRows = 20

// Ingest reads the events of the plan's interval from the source's files and appends those that count to Out, minimized: subject
// numbers in place of ids, and no column that the purpose does not read. Every row of the interval is counted by the reason for which it
// was kept or not. The rows of Out, sorted by its writer, do not depend on the number of workers, nor on how rows are ordered
// or split into files. New subjects are buffered in Identities: Flush it before committing Out.
//
// A row that is none is quarantined: left out, counted as a bad row, and told by its place. It lacks an id or a time, its time is one that no day
// reads, it has a number that is none, or breaks a rule of Source.Expect. The columns of rows that the decisions leave out are not looked at.
//
// It fails where the source is not as declared: a column that is missing or does not fit, a required one that all files lack
// (ErrMissing), too many rows of unknown kind (ErrUnknownKinds).
func Ingest(ctx context.Context, p IngestPlan) (IngestFacts, error) {
	purpose := p.Decisions.Purpose()
	end := p.IntervalEnd
	if end.IsZero() {
		end = p.Day.End
	}
	source := p.Files.source
	columns, err := source.wants(purpose)
	if err != nil {
		return IngestFacts{}, fmt.Errorf("ingest %s: %w", p.Day, err)
	}
	if p.Workers <= 0 {
		p.Workers = runtime.GOMAXPROCS(0)
	}
	files := p.Files.day(p.Day)
	in := &ingest{
		IngestPlan: p, source: source, schema: source.Schema(purpose), columns: columns, kinds: source.kinds(),
		oldest: purpose.Oldest("events", end, p.Decisions.Now()), coarse: source.Coarse.rules(source.Schema(purpose)),
		facts: IngestFacts{Funnel: policy.Funnel{}, Files: len(files)}, found: findings{newest: math.MinInt64}, lacking: map[string]int{}, seed: maphash.MakeSeed(),
	}
	in.watch = in.watched()
	in.checker = expect.NewChecker(in.watch, rulesOf(source.Expect))
	if k := source.Expect.Keeps(); k != nil && k.Drop {
		if in.repeated, err = in.identical(ctx, files); err != nil {
			return IngestFacts{}, fmt.Errorf("ingest %s: %w", p.Day, err)
		}
	}
	work := make(chan file)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(work)
		for _, f := range files {
			select {
			case work <- f:
			case <-gctx.Done():
				return gctx.Err()
			}
		}
		return nil
	})
	for range min(p.Workers, max(1, len(files))) {
		g.Go(func() error {
			a := newAdmitter(p.Decisions, p.Identities, p.Suppressions, in.oldest)
			for f := range work {
				if err := in.read(gctx, a, f); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return IngestFacts{}, fmt.Errorf("ingest %s: %w", p.Day, err)
	}
	for _, f := range files {
		in.facts.Bytes += f.info.Size
	}
	if err := in.settle(); err != nil {
		return IngestFacts{}, fmt.Errorf("ingest %s: %w", p.Day, err)
	}
	if err := errors.Join(in.missing(files), in.unknown()); err != nil {
		return IngestFacts{}, fmt.Errorf("ingest %s: %w", p.Day, err)
	}
	return in.facts, nil
}

// settle does what can be done once all files have been read: of events that may be repeated one each is kept, and the facts are completed.
func (in *ingest) settle() error {
	kept := unrepeated(in.schema, in.held, &in.found)
	for _, h := range in.held {
		in.facts.Funnel.Add(policy.Kept, -int64(h.batch.N))
		in.facts.Funnel.Add(policy.BadRow, int64(h.batch.N))
	}
	in.held = nil
	in.facts.Funnel.Add(policy.Kept, int64(kept.batch.N))
	in.facts.Funnel.Add(policy.BadRow, -int64(kept.batch.N))
	in.countNulls(&kept.batch, &in.found.counts)
	if err := in.append(kept); err != nil {
		return err
	}
	if err := in.tellBySize(); err != nil {
		return err
	}
	f := &in.facts
	f.Rows, f.Kept, f.Strangers = f.Funnel.Read(), f.Funnel[policy.Kept], in.found.strangers
	if in.found.newest > math.MinInt64 {
		in.found.counts.SeenAt(time.UnixMicro(in.found.newest))
	}
	in.found.counts.Kept = f.Kept
	f.Quality, f.Places = in.found.counts.Result(), in.found.places.Result()
	f.BadRows = slices.Clone(f.Places[:min(len(f.Places), maxBadRows)])
	return nil
}

// Errors of a source that is not as declared.
var (
	// ErrMissing says that all files of a day lack a required column.
	ErrMissing = errors.New("a required column is missing")
	// ErrUnknownKinds says that too many rows of a day are of a kind that the source's map does not have.
	ErrUnknownKinds = errors.New("too many rows of unknown kind")
)

// missing returns an error if all files lack a required column. One that some files lack is null in them: a producer that adds a column does
// not go back.
func (in *ingest) missing(files []file) error {
	var errs []error
	for _, name := range in.source.Required {
		column := in.source.Columns[name]
		if name == ColValue {
			column = in.source.Value
		}
		if n := in.lacking[column]; n > 0 && n == len(files) {
			errs = append(errs, fmt.Errorf("%w: none of the %d files of the day has the column %q (%s), which a view or a model needs; as %s: correct the export, or take %s out of what uses it",
				ErrMissing, n, column, name, files[0].info.Key, name))
		}
	}
	return errors.Join(errs...)
}

// unknown returns an error if too many of the day's rows are of unknown kind. It says where the first stands, and never which kind it is: a column that
// was taken for the kind by mistake may hold anything.
func (in *ingest) unknown() error {
	n, limit := in.facts.UnknownKinds, in.source.MaxUnknown
	if limit == 0 {
		limit = DefaultMaxUnknown
	}
	all := in.facts.Rows + in.facts.IgnoredKinds + n
	if n == 0 || float64(n) <= limit*float64(all) {
		return nil
	}
	where := ""
	if first := in.found.first; first != nil {
		where = fmt.Sprintf(" (the first: %s, row %d)", first.File, first.Row)
	}
	return fmt.Errorf("%w: %d of the day's %d rows%s, %.3g %% where %.3g %% are allowed: add their kinds to the source's kinds (%q leaves a kind out), or allow more; rapport inspect lists the kinds of a file",
		ErrUnknownKinds, n, all, where, 100*float64(n)/float64(all), 100*limit, Ignored)
}

// ingest is one Ingest at work.
type ingest struct {
	IngestPlan
	source  Source
	kinds   kinds
	schema  table.Schema
	columns []table.Want
	oldest  int64
	coarse  []*Coarsening // by column of schema; nil: there are no rules

	watch    []table.Field // columns of which values and nulls are looked at
	checker  *expect.Checker
	seed     maphash.Seed
	repeated map[uint64]bool // hashes of events that may be repeated; nil: repeated events are kept

	mu      sync.Mutex // guards Out and what follows
	facts   IngestFacts
	found   findings
	held    []held
	waiting []*table.Batch // minimized rows, where a rule looks at how many people share a value: that is known when all are there
	lacking map[string]int // optional column → how many files lack it
}

// wants are the columns of the files that the purpose may read, each once.
func (s Source) wants(p policy.Purpose) ([]table.Want, error) {
	var out []table.Want
	var errs []error
	add := func(name string, t table.Type, optional bool) {
		i := slices.IndexFunc(out, func(w table.Want) bool { return w.Name == name })
		switch {
		case name == "":
		case i < 0:
			out = append(out, table.Want{Name: name, Type: t, Optional: optional})
		case out[i].Type != t:
			errs = append(errs, fmt.Errorf("column %q is declared both as %s and as %s: declare it once, or as one of them", name, out[i].Type, t))
		}
	}
	if s.Explode != "" && !strings.HasPrefix(s.Item, s.Explode+"[]") {
		errs = append(errs, fmt.Errorf("each element of %q is an event, but the item is the column %q, which is none of an element: name it as %q, or leave explode out", s.Explode, s.Item, s.Explode+"[].sku"))
	}
	if len(s.Kinds) > 0 && (s.Kind == "" || !p.Allows("events", ColKind)) {
		errs = append(errs, fmt.Errorf("kinds are mapped, but purpose %q does not read the kind of events, or no column holds it: add kind to its reads.events", p.Name))
	}
	add(s.Subject, table.String, false)
	add(s.Item, table.String, false)
	add(s.Time, table.Time, false)
	if p.Allows("events", ColKind) {
		add(s.Kind, table.String, true)
	}
	if p.Allows("events", ColValue) {
		add(s.Value, table.Float64, true)
	}
	add(s.Created, table.Time, true)
	for _, f := range s.Schema(p)[s.fixedColumns():] {
		add(s.Columns[f.Name], f.Type, true)
		if s.Coarse[f.Name].Clock != "" {
			i := slices.IndexFunc(out, func(w table.Want) bool { return w.Name == s.Columns[f.Name] })
			out[i].TimeText = true
		}
	}
	return out, errors.Join(errs...)
}

// Reads names the columns of the source's files that ingest reads for a purpose.
func (s Source) Reads(p policy.Purpose) ([]string, error) {
	wants, err := s.wants(p)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, w := range wants {
		out = append(out, w.Name)
	}
	return out, nil
}

// fixedColumns is how many columns the source's events tables have before the context columns.
func (s Source) fixedColumns() int {
	if s.Created != "" {
		return 6
	}
	return 5
}

// read ingests one file.
func (in *ingest) read(ctx context.Context, a *admitter, f file) error {
	var scanned table.ScanFacts
	stray := in.straysOf(f)
	o := in.source.scan()
	o.Columns, o.Window, o.Facts = in.columns, in.Day, &scanned
	// A dated file holds little but its day, and what lies in no day is counted with that day. Of other files only what the interval needs is
	// read, unless the file holds rows that lie in none.
	o.KeepOutside = f.arrived || stray.judged

	out, may := newRows(in.schema, in.coarse), held{rows: newRows(in.schema, in.coarse)}
	funnel := policy.Funnel{}
	q, outside := findings{newest: math.MinInt64}, findings{newest: math.MinInt64}
	var unknown, ignored int64
	for b, err := range table.Scan(ctx, in.source.Bucket, f.info, o) {
		if err != nil {
			return err
		}
		c := in.bind(b)
		columns := c.columns(in.watch)
		out.reset()
		people := a.all(c.subject, b.N, func(i int) bool { return !c.time.Null(i) && in.contains(c.time.Int[i]) })
		at := func(i int, column string, why expect.Reason) expect.Place {
			return expect.Place{File: f.info.Key, Group: scanned.Group, Row: scanned.Row(i), Column: column, Reason: why}
		}
		for i := range b.N {
			if c.time.Null(i) {
				if stray.judged {
					outside.bad(at(i, ColTime, expect.NoTime))
				}
				continue
			}
			t := c.time.Int[i]
			if !stray.holds(t) || o.KeepOutside && !in.contains(t) {
				if why := stray.why(t); stray.judged && why != "" {
					outside.bad(at(i, ColTime, why))
				} else if why == "" {
					outside.newest = max(outside.newest, t)
				}
				continue
			}
			q.newest = max(q.newest, t)
			kind, leave := in.kinds.of(c.kind, i)
			if leave {
				ignored++
				continue
			}
			if kind == "" {
				unknown++
				place := at(i, ColKind, expect.UnknownCategory)
				if q.bad(place); q.first == nil {
					q.first = &place
				}
				continue
			}
			who := people[i]
			item, okItem := itemAt(c.item, i)
			switch {
			case who == nil:
				funnel.Add(policy.BadRow, 1)
				q.bad(at(i, ColSubject, expect.NoID))
				continue
			case !okItem:
				funnel.Add(policy.BadRow, 1)
				q.bad(at(i, ColItem, expect.NoID))
				continue
			}
			if why := a.judge(who, t); why != policy.Kept {
				if funnel.Add(why, 1); why == policy.Erased && who.strange {
					q.strangers++
				}
				continue
			}
			if guard := in.Decisions.Sensitive(); guard.Has(item) && !guard.Counts(who.subject, t) {
				funnel.Add(policy.SensitiveItem, 1)
				continue
			}
			if column, why := in.checker.Row(columns, i); why != "" {
				funnel.Add(policy.BadRow, 1)
				q.bad(at(i, column, why))
				continue
			}
			funnel.Add(policy.Kept, 1)
			s, err := a.number(who)
			if err != nil {
				return fmt.Errorf("read %s: %w", f.info.Key, err)
			}
			if in.repeated[in.hashOf(who.canonical, item, t, kind)] {
				may.add(c, i, s, item, t, kind)
				may.places = append(may.places, at(i, "", expect.Duplicate))
				continue
			}
			out.add(c, i, s, item, t, kind)
		}
		in.countNulls(&out.batch, &q.counts)
		if err := in.append(out); err != nil {
			return fmt.Errorf("read %s: %w", f.info.Key, err)
		}
	}
	if stray.judged && (!f.unknown || in.lastOf(&q, &outside)) {
		funnel.Add(policy.BadRow, outside.counts.Quarantined())
		outside.newest = math.MinInt64
		q.merge(&outside)
	}
	addCoarse(&q.counts, in.schema, out.did)
	addCoarse(&q.counts, in.schema, may.did)
	q.counts.AddFile(scanned.Columns, in.names(scanned.Missing))
	in.mu.Lock()
	defer in.mu.Unlock()
	in.facts.Funnel.Merge(funnel)
	in.found.merge(&q)
	if may.batch.N > 0 {
		in.held = append(in.held, may)
	}
	in.facts.UnknownKinds += unknown
	in.facts.IgnoredKinds += ignored
	in.facts.Empty += scanned.Empty
	if f.arrived && stray.judged {
		in.facts.Empty += scanned.Timeless
	}
	for _, column := range scanned.Missing {
		in.lacking[column]++
	}
	return nil
}

// kinds says which kind a row is of.
type kinds struct {
	known    map[string]string // nil: all are, by their own names
	fallback string            // of a row without one; "" if such a row is of unknown kind
}

func (s Source) kinds() kinds {
	k := kinds{s.Kinds, s.DefaultKind}
	if k.fallback == "" && len(s.Kinds) == 0 {
		k.fallback = "event"
	}
	return k
}

// of returns the kind of row i, "" if it is unknown, and whether the row is left out. Without a map nothing is: a file's own kind may be called as
// Ignored is. c is nil if no column holds kinds.
func (k kinds) of(c *table.Column, i int) (kind string, leave bool) {
	kind = k.fallback
	if c != nil && !c.Null(i) && c.Str[i] != "" {
		if len(k.known) == 0 {
			return c.Str[i], false
		}
		kind = k.known[c.Str[i]]
	}
	return kind, kind == Ignored && len(k.known) > 0
}

func (in *ingest) contains(t int64) bool {
	return t >= in.Day.Start.UnixMicro() && t < in.Day.End.UnixMicro()
}

func (in *ingest) append(r *rows) error {
	if r.batch.N == 0 {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if sized(in.coarse) {
		all := r.batch
		all.Cols = slices.Clone(all.Cols)
		in.waiting = append(in.waiting, &all)
		r.renew()
		return nil
	}
	return in.Out.Append(&r.batch)
}

// tellBySize hands over the rows that wait, when the rules that look at how many people share a value have seen all of them.
func (in *ingest) tellBySize() error {
	addCoarse(&in.found.counts, in.schema, bySize(in.coarse, in.waiting))
	for i, b := range in.waiting {
		if err := in.Out.Append(b); err != nil {
			return err
		}
		in.waiting[i] = nil // the writer has its own copy
	}
	return nil
}

// bound are the columns of a raw batch by their meaning; nil where the source or the purpose has none. It is the raw row: it stays here.
type bound struct {
	subject, item, time, kind, value, created *table.Column
	context                                   []*table.Column
}

func (in *ingest) bind(b *table.Batch) bound {
	s := in.source
	c := bound{subject: b.Col(s.Subject), item: b.Col(s.Item), time: b.Col(s.Time)}
	p := in.Decisions.Purpose()
	if s.Kind != "" && p.Allows("events", ColKind) {
		c.kind = b.Col(s.Kind)
	}
	if s.Value != "" && p.Allows("events", ColValue) {
		c.value = b.Col(s.Value)
	}
	if s.Created != "" {
		c.created = b.Col(s.Created)
	}
	for _, f := range in.schema[s.fixedColumns():] {
		c.context = append(c.context, b.Col(s.Columns[f.Name]))
	}
	return c
}
