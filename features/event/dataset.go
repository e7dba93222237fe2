package event

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// DataSet is a small table beside the events (consent, items, subjects, cohorts): Parquet files, or CSV (with a header) or
// JSON Lines by their extension (.csv, .jsonl, .ndjson, each also .gz), and the names of their columns. Only declared columns are
// delivered, and of Parquet only they are read.
type DataSet struct {
	Bucket   storage.Bucket
	Path     string            // pattern of the files' keys, as storage.Glob has it
	Columns  map[string]string // name here → column in the files; a name that is missing is its own column
	TimeUnit time.Duration     // of integer times since the epoch
	Zone     *time.Location    // of times without one; nil: such times are an error
	Expect   expect.Set        // says which rows of attributes are quarantined. What else it says is for who judges the facts
}

func (d DataSet) column(name string) string {
	if c, ok := d.Columns[name]; ok {
		return c
	}
	return name
}

// maxLine bounds a record of a text file, in bytes.
const maxLine = 1 << 20

// list returns the files of the data set in key order.
func (d DataSet) list(ctx context.Context) ([]storage.Info, error) {
	var objs []storage.Info
	for info, err := range storage.Glob(ctx, d.Bucket, d.Path) {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", d.Path, err)
		}
		if marker(info.Key) {
			continue
		}
		objs = append(objs, info)
	}
	if len(objs) == 0 {
		return nil, fmt.Errorf("list %s: no file matches: check the path", d.Path)
	}
	return objs, nil
}

// dataRow is one row of a data set: its columns in the order wanted.
type dataRow struct {
	file  string
	group int   // of a Parquet file
	row   int64 // from 0 in the file
	b     *table.Batch
	i     int
}

// at names a row in an error, as "customers.csv row 7", with rows counted from 1.
func (r dataRow) at() string { return fmt.Sprintf("%s row %d", r.file, r.row+1) }

func (r dataRow) text(col int) string { return r.b.Cols[col].Str[r.i] } // "" for null

// scan yields the rows of the files in order, and notes in found what the files are like. The wanted columns are text, times or numbers; a file of
// text gives all as text.
func (d DataSet) scan(ctx context.Context, objs []storage.Info, wants []table.Want, found *expect.Counts) iter.Seq2[dataRow, error] {
	return func(yield func(dataRow, error) bool) {
		for _, o := range objs {
			var facts table.ScanFacts
			batches := table.Scan(ctx, d.Bucket, o, table.ScanOptions{Columns: wants, Unit: d.TimeUnit, Local: d.Zone, Facts: &facts})
			if isText(o.Key) {
				batches = scanText(ctx, d.Bucket, o, wants, &facts)
			}
			var row int64
			for b, err := range batches {
				if err != nil {
					yield(dataRow{}, err)
					return
				}
				for i := range b.N {
					if !yield(dataRow{o.Key, facts.Group, row, b, i}, nil) {
						return
					}
					row++
				}
			}
			found.AddFile(facts.Columns, d.names(facts.Missing))
		}
	}
}

// names are the names here of columns of the files.
func (d DataSet) names(columns []string) (out []string) {
	for _, column := range columns {
		name := column
		for here, c := range d.Columns {
			if c == column {
				name = here
			}
		}
		out = append(out, name)
	}
	return out
}

func isText(key string) bool {
	key = strings.TrimSuffix(key, ".gz")
	return strings.HasSuffix(key, ".csv") || isJSON(key)
}

func isJSON(key string) bool {
	key = strings.TrimSuffix(key, ".gz")
	return strings.HasSuffix(key, ".jsonl") || strings.HasSuffix(key, ".ndjson")
}

// scanText yields the wanted columns of a CSV or JSON Lines file as text, empty fields as nulls. Its errors name the file and the row,
// never a value. The columns of a CSV file are noted in facts; those of JSON Lines differ from line to line.
func scanText(ctx context.Context, b storage.Bucket, obj storage.Info, wants []table.Want, facts *table.ScanFacts) iter.Seq2[*table.Batch, error] {
	return func(yield func(*table.Batch, error) bool) {
		fail := func(err error) { yield(nil, fmt.Errorf("read %s: %w", obj.Key, err)) }
		body, _, err := b.Get(ctx, obj.Key, storage.Range{IfMatch: obj.ETag})
		if err != nil {
			fail(err)
			return
		}
		defer body.Close()
		in := io.Reader(body)
		if strings.HasSuffix(obj.Key, ".gz") {
			if in, err = gzip.NewReader(body); err != nil {
				fail(err)
				return
			}
		}
		next := csvRecords
		if isJSON(obj.Key) {
			next = jsonRecords
		}
		read, err := next(in, wants, facts)
		if err != nil {
			fail(err)
			return
		}
		record := make([]string, len(wants))
		out := table.Batch{N: 1, Cols: make([]table.Column, len(wants))}
		for i, w := range wants {
			out.Schema = append(out.Schema, table.Field{Name: w.Name, Type: table.String})
			out.Cols[i] = table.Column{Str: record[i : i+1], Valid: make([]bool, 1)}
		}
		for row := 1; ; row++ {
			err := read(record)
			if err == io.EOF {
				return
			}
			if err != nil {
				fail(fmt.Errorf("row %d: %w", row, err))
				return
			}
			for i := range record {
				out.Cols[i].Valid[0] = record[i] != ""
			}
			if !yield(&out, nil) {
				return
			}
		}
	}
}

// csvRecords returns a function that sets dst to the wanted fields of the next record, or returns io.EOF.
func csvRecords(in io.Reader, wants []table.Want, facts *table.ScanFacts) (func(dst []string) error, error) {
	limit := &recordLimit{in: in}
	r := csv.NewReader(limit)
	r.ReuseRecord = true
	header, err := r.Read()
	if err == io.EOF {
		return nil, errors.New("the file is empty: a CSV file begins with a header")
	}
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	header = slices.Clone(header)
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	for _, name := range header {
		facts.Columns = append(facts.Columns, table.FileColumn{Name: name, Type: table.String})
	}
	index := make([]int, len(wants))
	for i, w := range wants {
		if index[i] = slices.Index(header, w.Name); index[i] < 0 && !w.Optional {
			// What stands there is not told: without a header it is somebody's record.
			return nil, fmt.Errorf("%w: none of the %d fields of the first row is %q: a CSV file begins with a header; name the column that it has in the project file, under this source", table.ErrColumn, len(header), w.Name)
		} else if index[i] < 0 {
			facts.Missing = append(facts.Missing, w.Name)
		}
	}
	return func(dst []string) error {
		limit.read = 0
		fields, err := r.Read()
		if err != nil {
			return err
		}
		for i, at := range index {
			if dst[i] = ""; at >= 0 {
				dst[i] = strings.Clone(fields[at]) // a record's fields share one string
			}
		}
		return nil
	}, nil
}

// jsonRecords is csvRecords for JSON objects, one a line. Numbers keep their digits; null and absent are "".
func jsonRecords(in io.Reader, wants []table.Want, _ *table.ScanFacts) (func(dst []string) error, error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	return func(dst []string) error {
		for lines.Scan() {
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			var object map[string]json.RawMessage
			if json.Unmarshal(lines.Bytes(), &object) != nil {
				return errors.New("the line is no JSON object")
			}
			for i, w := range wants {
				text, ok := jsonText(object[w.Name])
				if !ok {
					return fmt.Errorf("%w: %q is neither text, number, true, false nor null", table.ErrColumn, w.Name)
				}
				dst[i] = text
			}
			return nil
		}
		if err := lines.Err(); err != nil {
			return err
		}
		return io.EOF
	}, nil
}

func jsonText(v json.RawMessage) (string, bool) {
	switch {
	case len(v) == 0 || string(v) == "null":
		return "", true
	case v[0] == '"':
		var s string
		err := json.Unmarshal(v, &s)
		return s, err == nil
	case v[0] == '{' || v[0] == '[':
		return "", false
	}
	return string(v), true
}

// recordLimit fails when one record takes more than maxLine bytes, so that a file without line ends, or with a quote that nothing closes, is not read into
// memory whole.
type recordLimit struct {
	in   io.Reader
	read int // since the last record, but for the few KiB that were read ahead
}

func (l *recordLimit) Read(p []byte) (int, error) {
	n, err := l.in.Read(p)
	if l.read += n; l.read > maxLine {
		return 0, fmt.Errorf("a record is longer than %d bytes: is a quote open?", maxLine)
	}
	return n, err
}

// timeAt returns a time, to the µs, of a column of times or of text, and false for null.
func (d DataSet) timeAt(r dataRow, col int) (time.Time, bool, error) {
	c := &r.b.Cols[col]
	if c.Null(r.i) {
		return time.Time{}, false, nil
	}
	if r.b.Schema[col].Type == table.Time {
		return time.UnixMicro(c.Int[r.i]).UTC(), true, nil
	}
	reader, err := table.NewTimeReader("", 0, d.Zone)
	if err != nil {
		return time.Time{}, false, err
	}
	at, err := reader.Micros(c.Str[r.i])
	switch {
	case errors.Is(err, table.ErrNoZone):
		return time.Time{}, false, fmt.Errorf("%s: %s has no time zone: write it with one, as 2024-01-31T10:00:00Z, or declare the source's zone", r.at(), r.b.Schema[col].Name)
	case err != nil:
		return time.Time{}, false, fmt.Errorf("%s: %s is no time: write it as 2024-01-31T10:00:00Z or 2024-01-31", r.at(), r.b.Schema[col].Name)
	}
	return time.UnixMicro(at).UTC(), true, nil
}
