package importer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/snappy"

	"github.com/rapport-ml/rapport/storage"
)

// act is a row of a file of events, whatever its columns were called. Attrs are the context columns, "" for null.
type act struct {
	time                int64 // µs since the epoch
	subject, item, kind string
	value               float64 // NaN: null
	attrs               []string
}

// errRecord is a sort record that was not written by appendTo.
var errRecord = errors.New("a record of the sort is damaged")

// appendTo encodes the event so that the byte order of records is the order of time, and of what the events say where times are equal.
func (e *act) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.time)^1<<63)
	text := func(s string) {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	text(e.subject)
	text(e.item)
	text(e.kind)
	bits := math.Float64bits(e.value)
	if math.IsNaN(e.value) {
		bits = math.MaxUint64 // one of all NaNs
	}
	dst = binary.BigEndian.AppendUint64(dst, bits)
	for _, a := range e.attrs {
		text(a)
	}
	return dst
}

// packed is an act as it is encoded: its texts lie in the record.
type packed struct {
	time                int64
	subject, item, kind []byte
	value               float64
	attrs               [][]byte
}

// decode is the inverse of appendTo. len(p.attrs) says how many there are.
func (p *packed) decode(b []byte) error {
	ok := true
	number := func() (n uint64) {
		if ok = ok && len(b) >= 8; ok {
			n, b = binary.BigEndian.Uint64(b), b[8:]
		}
		return n
	}
	text := func() []byte {
		n, k := binary.Uvarint(b)
		if ok = ok && k > 0 && n <= uint64(len(b)-k); !ok {
			return nil
		}
		s := b[k : k+int(n)]
		b = b[k+int(n):]
		return s
	}
	p.time = int64(number() ^ 1<<63)
	p.subject, p.item, p.kind = text(), text(), text()
	p.value = math.Float64frombits(number())
	for i := range p.attrs {
		p.attrs[i] = text()
	}
	if !ok || len(b) > 0 {
		return errRecord
	}
	return nil
}

// column is a column of a Parquet file that an import writes.
type column struct {
	name string
	kind columnKind
}

type columnKind uint8

const (
	keyText      columnKind = iota // never null
	optionText                     // "" is null
	keyTime                        // µs
	optionNumber                   // NaN is null
	optionTime                     // µs; 0 is null
)

// sheet writes rows of columns that are known at run time as one Parquet file (snappy). Its memory is that of one row group and the file's
// compressed bytes.
type sheet struct {
	columns []column
	at      []int // where each column stands among the sorted names
	buf     bytes.Buffer
	w       *parquet.GenericWriter[any]
	batch   []parquet.Row // of which the first n are full
	n       int
	row     parquet.Row // batch[n]
	texts   []byte      // of the batch
	rows    int64
}

// rowGroup is the number of rows of a row group, largest is that of a file of events, batch that of rows that are encoded at a time.
const (
	batch    = 128
	rowGroup = 128 << 10
	largest  = 1 << 20
)

func newSheet(columns []column) *sheet {
	s := &sheet{columns: columns, at: make([]int, len(columns)), batch: make([]parquet.Row, batch)}
	for i := range s.batch {
		s.batch[i] = make(parquet.Row, len(columns))
	}
	s.row = s.batch[0]
	group := parquet.Group{}
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
		switch c.kind {
		case keyText:
			group[c.name] = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
		case optionText:
			group[c.name] = parquet.Optional(parquet.Encoded(parquet.String(), &parquet.RLEDictionary))
		case keyTime:
			group[c.name] = parquet.Timestamp(parquet.Microsecond)
		case optionNumber:
			group[c.name] = parquet.Optional(parquet.Leaf(parquet.DoubleType))
		case optionTime:
			group[c.name] = parquet.Optional(parquet.Timestamp(parquet.Microsecond))
		}
	}
	slices.Sort(names)
	for i, c := range columns {
		s.at[i] = slices.Index(names, c.name)
	}
	s.w = parquet.NewGenericWriter[any](&s.buf, parquet.NewSchema("rows", group), parquet.Compression(&snappy.Codec{}),
		parquet.CreatedBy("rapport-import", "1", "-"), parquet.MaxRowsPerRowGroup(rowGroup))
	return s
}

func (s *sheet) text(i int, v string) {
	off := len(s.texts)
	s.texts = append(s.texts, v...)
	s.cell(i, s.texts[off:len(s.texts):len(s.texts)])
}

// bytes is text for what is not a string yet.
func (s *sheet) bytes(i int, v []byte) {
	off := len(s.texts)
	s.texts = append(s.texts, v...)
	s.cell(i, s.texts[off:len(s.texts):len(s.texts)])
}

func (s *sheet) cell(i int, v []byte) {
	switch {
	case s.columns[i].kind == keyText:
		s.row[s.at[i]] = parquet.ByteArrayValue(v).Level(0, 0, s.at[i])
	case len(v) == 0:
		s.row[s.at[i]] = parquet.NullValue().Level(0, 0, s.at[i])
	default:
		s.row[s.at[i]] = parquet.ByteArrayValue(v).Level(0, 1, s.at[i])
	}
}

func (s *sheet) time(i int, micros int64) {
	value := parquet.Int64Value(micros).Level(0, 0, s.at[i])
	if s.columns[i].kind == optionTime {
		value = parquet.NullValue().Level(0, 0, s.at[i])
		if micros != 0 {
			value = parquet.Int64Value(micros).Level(0, 1, s.at[i])
		}
	}
	s.row[s.at[i]] = value
}

func (s *sheet) number(i int, x float64) {
	value := parquet.NullValue().Level(0, 0, s.at[i])
	if !math.IsNaN(x) {
		value = parquet.DoubleValue(x).Level(0, 1, s.at[i])
	}
	s.row[s.at[i]] = value
}

// end finishes the row whose cells have been set.
func (s *sheet) end() error {
	s.rows++
	if s.n++; s.n == len(s.batch) {
		return s.flush()
	}
	s.row = s.batch[s.n]
	return nil
}

func (s *sheet) flush() error {
	_, err := s.w.WriteRows(s.batch[:s.n])
	s.n, s.row, s.texts = 0, s.batch[0], s.texts[:0]
	return err
}

// put stores the file.
func (s *sheet) put(ctx context.Context, out *output, name string) error {
	if err := errors.Join(s.flush(), s.w.Close()); err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if _, err := out.bucket.Put(ctx, path.Join(out.prefix, name), storage.Bytes(s.buf.Bytes()), storage.Cond{}); err != nil {
		return err
	}
	out.files++
	out.bytes += int64(s.buf.Len())
	return nil
}

// output is where files go, and how many went.
type output struct {
	bucket storage.Bucket
	prefix string
	files  int
	bytes  int64
}

// dayCount is what a calendar day of events holds.
type dayCount struct {
	start    time.Time // its midnight
	events   int64
	subjects int64
}

// eventSink takes events in any order and writes them by calendar day. Memory is bounded whatever comes: see sorter.
type eventSink struct {
	zone    *time.Location
	columns []column // subject, item, time, kind, value, then the attributes
	sorter  *sorter
	people  *idSet
	kinds   map[string]int64
	buf     []byte

	days        []dayCount
	repeated    int64 // events equal to another in every column
	unknown     int64 // events whose item is not among the known
	first, last int64
	total       int64
}

func newEventSink(scratch string, zone *time.Location, columns []column) *eventSink {
	return &eventSink{zone: zone, columns: columns, sorter: newSorter(scratch), people: newIDSet(scratch), kinds: map[string]int64{}}
}

func (s *eventSink) close() error { return errors.Join(s.sorter.close(), s.people.close()) }

func (s *eventSink) add(e *act) error {
	if s.total == 0 || e.time < s.first {
		s.first = e.time
	}
	if s.total == 0 || e.time > s.last {
		s.last = e.time
	}
	s.total++
	s.kinds[e.kind]++
	s.buf = e.appendTo(s.buf[:0])
	return errors.Join(s.sorter.add(s.buf), s.people.add(e.subject))
}

// kindNames are the kinds, the most frequent first.
func (s *eventSink) kindNames() []string {
	var names []string
	for k := range s.kinds {
		names = append(names, k)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(s.kinds[b], s.kinds[a]), cmp.Compare(a, b)) })
	return names
}

// write puts the events as files events/dt=YYYY-MM-DD/part-N.parquet, each of one day of the zone, and counts. known are the items that have
// a row of their own; nil: there is no such table.
func (s *eventSink) write(ctx context.Context, out *output, known map[string]bool, progress func(what string, done, total int64, unit string)) error {
	var (
		e    = packed{attrs: make([][]byte, len(s.columns)-5)}
		page *sheet
		part int
		end  int64 = math.MinInt64 // of the day
		last []byte
		who  = map[string]struct{}{}
		n    int64
	)
	flush := func() error {
		if page == nil {
			return nil
		}
		day := &s.days[len(s.days)-1]
		err := page.put(ctx, out, fmt.Sprintf("events/dt=%s/part-%d.parquet", day.start.Format(time.DateOnly), part))
		part, page = part+1, nil
		return err
	}
	for record, err := range s.sorter.sorted() {
		if err != nil {
			return err
		}
		if n++; n%8192 == 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			progress("write", n, s.total, "events")
		}
		if err := e.decode(record); err != nil {
			return err
		}
		if e.time >= end || page != nil && page.rows == largest {
			if err := flush(); err != nil {
				return err
			}
		}
		if e.time >= end {
			at := time.UnixMicro(e.time).In(s.zone)
			start := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, s.zone)
			end = time.Date(at.Year(), at.Month(), at.Day()+1, 0, 0, 0, 0, s.zone).UnixMicro()
			s.days, part = append(s.days, dayCount{start: start}), 0
			clear(who)
		}
		if page == nil {
			page = newSheet(s.columns)
		}
		day := &s.days[len(s.days)-1]
		day.events++
		if _, ok := who[string(e.subject)]; !ok {
			who[string(e.subject)] = struct{}{}
			day.subjects++
		}
		if bytes.Equal(last, record) {
			s.repeated++
		}
		last = append(last[:0], record...)
		if known != nil && !known[string(e.item)] {
			s.unknown++
		}
		page.bytes(0, e.subject)
		page.bytes(1, e.item)
		page.time(2, e.time)
		page.bytes(3, e.kind)
		page.number(4, e.value)
		for i, a := range e.attrs {
			page.bytes(5+i, a)
		}
		if err := page.end(); err != nil {
			return fmt.Errorf("encode events: %w", err)
		}
	}
	return flush()
}
