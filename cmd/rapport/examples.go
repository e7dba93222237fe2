package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// openExamples reads how a file of examples is made. Its rows are read later, batch by batch, only of the columns that are needed.
func openExamples(ctx context.Context, path string, j *jobs.Job, views []features.View, keep []string) (jobs.Examples, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".parquet":
		return parquetExamples(ctx, path, j, views, keep)
	case ".csv":
		return csvExamples(path, ',', j, views, keep)
	case ".tsv":
		return csvExamples(path, '\t', j, views, keep)
	}
	return jobs.Examples{}, errors.New("want a name that ends in .csv, .tsv or .parquet")
}

func parquetExamples(ctx context.Context, path string, j *jobs.Job, views []features.View, keep []string) (jobs.Examples, error) {
	var x jobs.Examples
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return x, err
	}
	if _, err := os.Stat(path); err != nil { // a store makes its folder, a reader must not
		return x, err
	}
	b, err := storage.Open(ctx, "file:"+dir, storage.Options{})
	if err != nil {
		return x, err
	}
	info, err := b.Head(ctx, filepath.Base(path))
	if err != nil {
		return x, err
	}
	info.Key = filepath.Base(path)
	stat, err := table.Stat(ctx, b, info, table.ScanOptions{})
	if err != nil {
		return x, err
	}
	var has []string
	for _, c := range stat.Columns {
		if c.Type != 0 && c.List == "" {
			has = append(has, c.Name)
		}
	}
	found, err := findRoles(j, views, keep, has)
	if err != nil {
		return x, err
	}
	o := table.ScanOptions{Unit: j.Events.TimeUnit, TimeFormat: j.Events.TimeFormat, Local: j.Events.Zone}
	for _, r := range found {
		if r.want == 0 {
			r.want = stat.Columns[slices.IndexFunc(stat.Columns, func(c table.FileColumn) bool { return c.Name == r.column })].Type
		}
		o.Columns = append(o.Columns, table.Want{Name: r.column, Type: r.want})
		x.Schema = append(x.Schema, table.Field{Name: r.name, Type: r.want})
	}
	x.Read = func(ctx context.Context) iter.Seq2[*table.Batch, error] { return table.Scan(ctx, b, info, o) }
	return x, nil
}

// exampleRows is how many rows of a text file stand in a batch.
const exampleRows = 8192

func csvExamples(path string, comma rune, j *jobs.Job, views []features.View, keep []string) (jobs.Examples, error) {
	var x jobs.Examples
	header, err := csvHeader(path, comma)
	if err != nil {
		return x, err
	}
	found, err := findRoles(j, views, keep, header)
	if err != nil {
		return x, err
	}
	times, err := table.NewTimeReader(j.Events.TimeFormat, j.Events.TimeUnit, j.Events.Zone)
	if err != nil {
		return x, err
	}
	at := make([]int, len(found))
	for i, r := range found {
		at[i] = slices.Index(header, r.column)
	}
	// A column that is handed through holds numbers if all of its values are, to the last digit.
	numbers := make([]bool, len(found))
	for i, r := range found {
		numbers[i] = r.want == 0
	}
	for rec, err := range csvRecords(path, comma) {
		if err != nil {
			return x, err
		}
		for i := range found {
			if numbers[i] && rec[at[i]] != "" {
				numbers[i] = isNumber(rec[at[i]])
			}
		}
	}
	for i, r := range found {
		t := r.want
		switch {
		case t == 0 && numbers[i]:
			t = table.Float64
		case t == 0:
			t = table.String
		}
		x.Schema = append(x.Schema, table.Field{Name: r.name, Type: t})
	}
	x.Read = func(context.Context) iter.Seq2[*table.Batch, error] {
		return func(yield func(*table.Batch, error) bool) {
			b := newExampleBatch(x.Schema)
			line := 1
			for rec, err := range csvRecords(path, comma) {
				line++
				if err == nil {
					err = b.add(rec, at, times)
				}
				if err != nil {
					yield(nil, fmt.Errorf("%s: row %d: %w", filepath.Base(path), line, err))
					return
				}
				if b.N == exampleRows {
					if !yield(&b.Batch, nil) {
						return
					}
					b = newExampleBatch(x.Schema)
				}
			}
			if b.N > 0 {
				yield(&b.Batch, nil)
			}
		}
	}
	return x, nil
}

// isNumber reports whether a text is a number that a float64 holds as it is written: not 007, which is a code, 0x10 or 9007199254740993. What zeros
// stand behind its point does not matter.
func isNumber(text string) bool {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !features.Computable(f) {
		return false
	}
	_, digits, _ := strings.Cut(text, ".")
	return text == decimal(f) || text == strconv.FormatFloat(f, 'f', min(len(digits), 32), 64)
}

// exampleBatch is filled row by row from text.
type exampleBatch struct{ table.Batch }

func newExampleBatch(s table.Schema) *exampleBatch {
	return &exampleBatch{table.Batch{Schema: s, Cols: make([]table.Column, len(s))}}
}

// add appends a record, whose columns stand at the given places. Its error holds nothing of the record.
func (b *exampleBatch) add(rec []string, at []int, times *table.TimeReader) error {
	for c := range b.Cols {
		col, text := &b.Cols[c], rec[at[c]]
		col.Valid = append(col.Valid, text != "")
		switch b.Schema[c].Type {
		case table.Time:
			var t int64
			if text != "" {
				var err error
				if t, err = times.Micros(text); err != nil {
					return fmt.Errorf("column %q holds no time as the project's events have it (time_format, time_unit, zone)", b.Schema[c].Name)
				}
			}
			col.Int = append(col.Int, t)
		case table.Float64:
			f, err := strconv.ParseFloat(text, 64)
			if err != nil {
				f = 0 // without a value
			}
			col.Float = append(col.Float, f)
		default:
			col.Str = append(col.Str, text)
		}
	}
	b.N++
	return nil
}

func csvHeader(path string, comma rune) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	header, err := csvReader(f, comma).Read()
	if err == io.EOF {
		return nil, errors.New("the file is empty")
	}
	if err != nil {
		return nil, csvFault(err)
	}
	seen := map[string]bool{}
	for _, c := range header {
		if seen[c] {
			return nil, errors.New("two columns have one name: does the first line name the columns?")
		}
		seen[c] = true
	}
	return slices.Clone(header), nil
}

// csvRecords yields the records behind the header. A record is valid until the next one.
func csvRecords(path string, comma rune) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		r := csvReader(f, comma)
		for first := true; ; first = false {
			rec, err := r.Read()
			switch {
			case err == io.EOF:
				return
			case err != nil:
				yield(nil, csvFault(err))
				return
			case !first && !yield(rec, nil):
				return
			}
		}
	}
}

func csvReader(f io.Reader, comma rune) *csv.Reader {
	b := bufio.NewReader(f)
	if mark, err := b.Peek(3); err == nil && string(mark) == "\ufeff" {
		b.Discard(3) // of a byte order mark, which was peeked at
	}
	r := csv.NewReader(b)
	r.Comma, r.ReuseRecord = comma, true
	return r
}

// csvFault says where a file is broken, and nothing of what stands there.
func csvFault(err error) error {
	var p *csv.ParseError
	if errors.As(err, &p) {
		return fmt.Errorf("line %d: %w", p.StartLine, p.Err)
	}
	return err
}
