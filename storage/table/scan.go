package table

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/rapport-ml/rapport/storage"
)

// Want is one declared column of a raw file. A column inside a struct is named by its path, with dots ("ctx.device"), one inside a list with
// brackets behind the list's name ("items[].sku"; "tags[]" is a list of single values).
type Want struct {
	Name string
	// Type is what the column is delivered as; 0 means as found. Integers may be wanted as String, Float64 or (with a Unit) Time;
	// floats are Float64, and so are decimals unless they are wanted as String; UUIDs are String; text may be wanted as Time. An integer that
	// a Float64 cannot hold is NaN in one: no number, rather than another one.
	//
	// A decimal as String has its digits, a point only if digits other than 0 stand behind it, and no zeros at their end: 123.00 is
	// "123", as an integer 123 is, and 12.50 is "12.5".
	Type Type
	// Optional says that a file may lack the column: its rows are null then. It needs a Type.
	Optional bool
	// TimeText takes times for a column that is wanted as String, where they are else refused: a date as 2026-03-01, an instant as
	// 2026-03-01T10:00:00Z, a reading of a clock without a zone as 2026-03-01T10:00:00, with as many digits of a second as it has, to the µs.
	TimeText bool
}

// ScanOptions say what to read of a raw file.
type ScanOptions struct {
	Columns []Want
	// Time names the event time column. It may be one of Columns; if it isn't, it is read for Window and not delivered.
	Time string
	// Window, if not zero, keeps only rows whose Time lies in it, and skips row groups whose statistics show that none does. Rows
	// without a time lie in no window.
	Window Interval
	// KeepOutside delivers the rows outside Window too: nothing is skipped.
	KeepOutside bool
	// Explode names a list: each of its elements is a row then, and the columns outside it are repeated for each. A row of the file
	// whose list is null or empty is none; Facts counts it. Columns of one list only can be read.
	Explode string
	// Unit is what one step of an integer time column means: time.Second, Millisecond, Microsecond or Nanosecond since 1970. 0: an
	// integer column is no time. It goes for times that are digits in text as well.
	Unit time.Duration
	// TimeFormat is the form of times that are text, as NewTimeReader has it.
	TimeFormat string
	// Local is the zone of times that were written without one (TIMESTAMP not adjusted to UTC, DATE, text without an offset). A nil Local
	// refuses such times and takes a date as its UTC midnight. NewTimeReader says what becomes of the hours that a change of clocks skips
	// or repeats.
	Local     *time.Location
	BatchRows int        // rows in a batch at most; 0 means 8,192
	Ahead     int        // row groups fetched while one is decoded; 0 means 1
	Groups    int        // row groups read at most, the first ones; 0 means all
	Facts     *ScanFacts // if not nil, filled in by the scan; complete when the sequence has ended
}

// ScanFacts are what a scan says of its file besides the rows.
type ScanFacts struct {
	Missing []string // the optional columns that the file does not have
	// Empty is how many rows of the file had no element to explode and a time in Window; Timeless how many of those without
	// an element had no time, or a time that is in the list.
	Empty, Timeless int64

	Columns []FileColumn // all that the file has, as Stat says it
	Group   int          // the row group of the batch that was yielded last

	first int64   // the row of the file at which that batch begins
	kept  []int32 // which rows after it are in the batch; nil: all
}

// Row says where row i of the batch that was yielded last stands in the file, from 0; of an element of a list, where its row stands.
func (f *ScanFacts) Row(i int) int64 {
	if f.kept != nil {
		i = int(f.kept[i])
	}
	return f.first + int64(i)
}

// Scan yields the rows of a raw Parquet file in file order, with the columns of o in their order. It reads the file's footer and the
// column chunks of declared columns, nothing else, and all of one state of the object: if it changes meanwhile, the error is
// storage.ErrPrecondition. obj.Key is enough; with obj.ETag it is that state, as a listing found it. Times before year −290,307 or
// after 294,246 are moved to these bounds. Memory is (Ahead+1) row groups of declared columns, at most 64 MiB each, and pages of at most
// 256 MiB. The sequence ends after the first error: ErrColumn, ErrCorrupt, or the bucket's.
func Scan(ctx context.Context, b storage.Bucket, obj storage.Info, o ScanOptions) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		o, err := o.withDefaults()
		if err != nil {
			yield(nil, fmt.Errorf("scan %s: %w", obj.Key, err))
			return
		}
		s, err := openScan(ctx, b, obj, o)
		if err != nil {
			yield(nil, err)
			return
		}
		if err := s.run(ctx, func(b *Batch) bool { return yield(b, nil) }); err != nil {
			yield(nil, err)
		}
	}
}

func (o ScanOptions) withDefaults() (ScanOptions, error) {
	if o.BatchRows <= 0 {
		o.BatchRows = defaultBatchRows
	}
	if o.Ahead <= 0 {
		o.Ahead = 1
	}
	seen := map[string]bool{}
	for _, w := range o.Columns {
		switch {
		case seen[w.Name]:
			return o, fmt.Errorf("column %q is declared twice", w.Name)
		case w.Optional && !w.Type.valid():
			return o, fmt.Errorf("column %q is optional and needs a type, which a file without it cannot tell", w.Name)
		case w.Type != 0 && !w.Type.valid():
			return o, fmt.Errorf("column %q: unknown %s", w.Name, w.Type)
		case w.Type == Bytes:
			return o, fmt.Errorf("column %q: bytes are what rapport encodes for itself; declare it as string", w.Name)
		}
		seen[w.Name] = true
	}
	if o.TimeFormat != "" {
		if err := CheckTimeFormat(o.TimeFormat); err != nil {
			return o, err
		}
	}
	switch o.Unit {
	case 0, time.Second, time.Millisecond, time.Microsecond, time.Nanosecond:
	default:
		return o, fmt.Errorf("a time unit of %s: want s, ms, µs or ns", o.Unit)
	}
	if o.windowed() && o.Time == "" {
		return o, fmt.Errorf("a window needs a time column")
	}
	if o.windowed() && !o.Window.End.After(o.Window.Start) {
		return o, fmt.Errorf("the window %s is empty", o.Window)
	}
	return o, nil
}

// windowed reports whether rows are dropped by time.
func (o *ScanOptions) windowed() bool { return !o.KeepOutside && o.bounded() }

// bounded reports whether there is a window.
func (o *ScanOptions) bounded() bool { return !(o.Window.Start.IsZero() && o.Window.End.IsZero()) }

// textUnit is the unit of times that are text: those of a format have none.
func (o *ScanOptions) textUnit() time.Duration {
	if o.TimeFormat != "" {
		return 0
	}
	return o.Unit
}

// scan is a raw file and what is to be read of it.
type scan struct {
	*rawFile
	o        ScanOptions
	places   []place   // of the file's leaf columns
	columns  []*source // parallel to the schema of out, then the time column if it is not delivered
	when     *source   // the time column, nil if there is none among columns
	time     *source   // when, nil if no rows are dropped
	from, to int64     // Window in µs
	groups   []int     // row groups to read
	out      *Batch
	keep     []int32
	lists    *exploding // nil if nothing is exploded
}

// openScan reads the footer and finds the declared columns and the row groups that may hold rows of the window.
func openScan(ctx context.Context, b storage.Bucket, obj storage.Info, o ScanOptions) (*scan, error) {
	object, err := openObject(ctx, b, obj)
	if err != nil {
		return nil, err
	}
	f, err := openFile(ctx, object)
	if err != nil {
		return nil, err
	}
	s := &scan{rawFile: f, o: o, from: Micros(o.Window.Start), to: Micros(o.Window.End)}
	err = guard(func() error { return s.plan() })
	if err != nil {
		return nil, fmt.Errorf("scan %s: %w", object.info.Key, err)
	}
	return s, nil
}

func (s *scan) plan() (err error) {
	if s.places, err = places(s.meta.Schema); err != nil {
		return err
	}
	var schema Schema
	for _, w := range s.o.Columns {
		if w.Name == s.o.Time && w.Type == 0 {
			w.Type = Time
		}
		c, err := s.source(w)
		if err != nil {
			return err
		}
		s.columns = append(s.columns, c)
		schema = append(schema, Field{w.Name, c.typ})
		if w.Name == s.o.Time {
			s.time, s.when = c, c
		}
		if f := s.o.Facts; f != nil && c.missing() {
			f.Missing = append(f.Missing, w.Name)
		}
	}
	if f := s.o.Facts; f != nil {
		f.Columns = s.fileColumns()
	}
	s.out = newBatch(schema)
	if !s.o.windowed() {
		s.time = nil
	} else if s.time == nil {
		c, err := s.source(Want{Name: s.o.Time, Type: Time})
		if err != nil {
			return err
		}
		s.time, s.when, s.columns = c, c, append(s.columns, c)
	}
	if s.time != nil && s.time.typ != Time {
		return fmt.Errorf("%w: the time column %q is declared as %s", ErrColumn, s.o.Time, s.time.typ)
	}
	if s.o.Explode != "" {
		if s.lists, err = s.newExploding(); err != nil {
			return err
		}
	}
	for g := range s.meta.RowGroups {
		if s.o.Groups > 0 && len(s.groups) == s.o.Groups {
			break
		}
		if s.mayMatch(g) {
			s.groups = append(s.groups, g)
		}
	}
	return nil
}

// mayMatch reports whether row group g may hold a row of the window.
func (s *scan) mayMatch(g int) bool {
	if s.meta.RowGroups[g].NumRows == 0 {
		return false
	}
	if s.time == nil {
		return true
	}
	if s.time.missing() { // an optional column: no row has a time
		return false
	}
	least, most, ok := s.time.timeBounds(s.rawFile, g)
	return !ok || least < s.to && most >= s.from
}

// run yields the rows of all row groups that were planned, until the consumer wants no more.
func (s *scan) run(ctx context.Context, yield func(*Batch) bool) error {
	fetch := func(ahead context.Context, group int) (*groupSource, error) {
		src, err := s.fetch(ahead, group)
		if err == nil {
			src.bytes.ctx = ctx // what is left to read is read while it is decoded, not ahead
		}
		return src, err
	}
	for src, err := range inOrder(ctx, s.o.Ahead, each(s.groups), fetch) {
		if err != nil {
			return err
		}
		more, err := s.decode(ctx, src, yield)
		if err != nil {
			return fmt.Errorf("scan %s: row group %d: %w", s.info.Key, src.group, err)
		}
		if !more {
			return nil
		}
	}
	return nil
}

// groupSource is a row group whose declared chunks are in memory.
type groupSource struct {
	group int
	bytes *sparse
}

// fetch reads the declared chunks of a row group.
func (s *scan) fetch(ctx context.Context, group int) (*groupSource, error) {
	var spans []span
	for _, c := range s.columns {
		if c.missing() {
			continue
		}
		sp, err := s.chunk(group, c.leaf)
		if err != nil {
			return nil, fmt.Errorf("scan %s: row group %d: %w", s.info.Key, group, err)
		}
		spans = append(spans, sp)
	}
	bytes, err := s.fetchSpans(ctx, spans)
	if err != nil {
		return nil, err
	}
	return &groupSource{group, bytes}, nil
}

// decode yields the rows of a row group, batch by batch, and reports whether the consumer wants more.
func (s *scan) decode(ctx context.Context, src *groupSource, yield func(*Batch) bool) (bool, error) {
	readers := make([]*columnReader, len(s.columns))
	defer func() {
		for _, r := range readers {
			r.close()
		}
	}()
	err := guard(func() error {
		g, err := openGroup(s.rawFile, src)
		if err != nil {
			return err
		}
		for i, c := range s.columns {
			if readers[i], err = c.open(g); err != nil {
				return fmt.Errorf("column %q: %w", c.name, err)
			}
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	if s.lists != nil {
		return s.lists.decode(ctx, s, src.group, readers, yield)
	}
	var hidden Column // the time column, if it is not delivered
	at := s.rowsBefore(src.group)
	for left := s.meta.RowGroups[src.group].NumRows; left > 0; {
		if err := ctx.Err(); err != nil { // a window that keeps nothing yields nothing
			return false, err
		}
		n := int(min(left, int64(s.o.BatchRows)))
		s.out.resize(n)
		hidden.Int, hidden.Valid = resized(hidden.Int, n), nil
		for i, r := range readers {
			dst := &hidden
			if i < len(s.out.Cols) {
				dst = &s.out.Cols[i]
			}
			if err := guard(func() error { return r.read(dst, n) }); err != nil {
				return false, fmt.Errorf("column %q: %w", s.columns[i].name, err)
			}
			if s.columns[i] == s.time {
				s.keep = s.inWindow(s.keep[:0], dst, n)
			}
		}
		left -= int64(n)
		var kept []int32
		if s.time != nil {
			s.out.take(s.keep)
			kept = s.keep
		}
		s.place(src.group, at, kept)
		at += int64(n)
		if s.out.N > 0 && !yield(s.out) {
			return false, nil
		}
	}
	return true, nil
}

// rowsBefore is how many rows of the file stand before a row group.
func (s *scan) rowsBefore(group int) (n int64) {
	for g := range group {
		n += s.meta.RowGroups[g].NumRows
	}
	return n
}

// place notes where the rows of the next batch stand.
func (s *scan) place(group int, first int64, kept []int32) {
	if f := s.o.Facts; f != nil {
		f.Group, f.first, f.kept = group, first, kept
	}
}

// inWindow appends the rows of a batch of n whose time lies in the window.
func (s *scan) inWindow(keep []int32, times *Column, n int) []int32 {
	for i, t := range times.Int[:n] {
		if t >= s.from && t < s.to && !times.Null(i) {
			keep = append(keep, int32(i))
		}
	}
	return keep
}

// take keeps only the given rows (ascending), in place.
func (b *Batch) take(rows []int32) {
	if len(rows) == b.N {
		return
	}
	for i := range b.Cols {
		c := &b.Cols[i]
		switch b.Schema[i].Type {
		case Float64:
			c.Float = taken(c.Float, rows)
		case String:
			c.Str = taken(c.Str, rows)
		default:
			c.Int = taken(c.Int, rows)
		}
		if c.Valid != nil {
			c.Valid = taken(c.Valid, rows)
		}
	}
	b.N = len(rows)
}

func taken[T any](v []T, rows []int32) []T {
	for i, r := range rows {
		v[i] = v[r]
	}
	return v[:len(rows)]
}
