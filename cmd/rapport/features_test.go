package main

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage/table"
)

// TestFeaturesLookAhead: what a preview of all entities shows is what the night has built; a smaller sample is a part of it; a join at the
// interval's end gives the rows of the build; and none of them writes anything.
func TestFeaturesLookAhead(t *testing.T) {
	s := newShop(t, smallWorld)
	last := smallWorld.Days - 1
	s.night(last)
	before := objects(t, s.opened.Bucket)
	iv := s.interval(last)
	built, err := s.runner.Views(t.Context(), s.job.Views)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range s.job.Views {
		b := built[v.Name]
		if b == nil || !b.AsOf.Equal(iv.End) || b.Current == nil || !*b.Current || b.Job != "nightly" || b.Cost == nil || b.Stats.RowsIn == 0 {
			t.Fatalf("view %s: built as %+v", v.Name, b)
		}
		want, err := s.runner.ViewColumns(t.Context(), v, b)
		if err != nil {
			t.Fatal(err)
		}
		all, err := s.runner.PreviewView(t.Context(), s.job, v, iv, 1)
		if err != nil {
			t.Fatal(err)
		}
		if !same(all.Columns, want) || all.Entities != b.Rows || all.Missing.Days != 0 {
			t.Errorf("view %s: the preview of all entities is other than what was built:\n%+v\n%+v", v.Name, all, want)
		}
		some, err := s.runner.PreviewView(t.Context(), s.job, v, iv, 0.4)
		if err != nil {
			t.Fatal(err)
		}
		if some.Entities < 5 || some.Entities >= all.Entities || some.Whole.Rows != all.Whole.Rows || some.Whole.Bytes <= 0 {
			t.Errorf("view %s: a sample of 40 %% has %d of %d entities, and would cost %+v", v.Name, some.Entities, all.Entities, some.Whole)
		}
		rows := s.tableOf(v, b.Key)
		for _, r := range some.Rows {
			if got, want := fmt.Sprint(r.Values), rows[strings.Join(r.Entity, "+")]; got != want {
				t.Errorf("view %s: a row of the sample is %s, was built as %s", v.Name, got, want)
			}
		}
		if least := float64(all.Entities); math.Abs(float64(some.Whole.Entities)-least) > least {
			t.Errorf("view %s: the sample foretells %d entities, there are %d", v.Name, some.Whole.Entities, all.Entities)
		}
	}
	s.timesAgree(iv, built)
	if after := objects(t, s.opened.Bucket); !slices.Equal(slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after))) {
		t.Error("looking at views has written something")
	}
}

// timesAgree holds the newest events of every subject against the seconds since the last one, as they were built.
func (s *shop) timesAgree(iv table.Interval, built map[string]*jobs.ViewBuilt) {
	s.Helper()
	v := s.job.Views[slices.IndexFunc(s.job.Views, func(v features.View) bool { return v.Name == "activity" })]
	var ids []string
	for u := range smallWorld.Users {
		ids = append(ids, fmt.Sprintf("u%06d", u+1))
	}
	newest, err := s.runner.NewestEvents(s.Context(), s.job, v, iv, append(ids, "nobody-knows-me"))
	if err != nil {
		s.Fatal(err)
	}
	var got, want []string
	for id, times := range newest {
		if id == "nobody-knows-me" || times["last_seen"].IsZero() {
			s.Errorf("somebody has the newest events %v", times)
		}
		got = append(got, fmt.Sprintf("%.6f", iv.End.Sub(times["last_seen"]).Seconds()))
	}
	ws := v.SortedWindows()
	column := features.ColumnName("last_seen", ws[len(ws)-1])
	c, _, err := (table.Store{Bucket: s.opened.Bucket}).Lookup(s.Context(), built[v.Name].Key)
	if err != nil {
		s.Fatal(err)
	}
	for b, err := range table.Read(s.Context(), s.opened.Bucket, c.Outputs[v.Name], table.ReadOptions{Columns: []string{column}}) {
		if err != nil {
			s.Fatal(err)
		}
		for i := range b.N {
			want = append(want, fmt.Sprintf("%.6f", b.Cols[0].Float[i]))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.Errorf("newest events of %d subjects are other than those of the %d rows built", len(got), len(want))
	}
}

// tableOf is a committed view: its values by entity, as a preview has them.
func (s *shop) tableOf(v features.View, key string) map[string]string {
	s.Helper()
	c, _, err := (table.Store{Bucket: s.opened.Bucket}).Lookup(s.Context(), key)
	if err != nil {
		s.Fatal(err)
	}
	out := map[string]string{}
	for b, err := range table.Read(s.Context(), s.opened.Bucket, c.Outputs[v.Name], table.ReadOptions{}) {
		if err != nil {
			s.Fatal(err)
		}
		for i := range b.N {
			name := ""
			if b.Cols[0].Int != nil {
				name = fmt.Sprintf("%016x", uint64(b.Cols[0].Int[i]))
			} else {
				name = b.Cols[0].Text(i)
			}
			out[name] = fmt.Sprint(valuesFrom(b, 1, i))
		}
	}
	return out
}

// valuesFrom are the values of row i from a column on, nil where there is none.
func valuesFrom(b *table.Batch, from, i int) []any {
	var values []any
	for c := from; c < len(b.Cols); c++ {
		switch col := &b.Cols[c]; {
		case col.Null(i):
			values = append(values, nil)
		case col.Float != nil:
			values = append(values, col.Float[i])
		case col.Int != nil:
			values = append(values, col.Int[i])
		default:
			values = append(values, col.Text(i))
		}
	}
	return values
}

// TestFeaturesJoin: at the interval's end a join gives each subject the row that was built; before its first event, none of it; somebody who is
// unknown or has refused stands in no row; and no id goes out.
func TestFeaturesJoin(t *testing.T) {
	s := newShop(t, smallWorld)
	last := smallWorld.Days - 1
	s.night(last)
	iv := s.interval(last)
	view := s.job.Views[slices.IndexFunc(s.job.Views, func(v features.View) bool { return v.Key == features.KeySubject })]
	built, err := s.runner.Views(t.Context(), s.job.Views)
	if err != nil {
		t.Fatal(err)
	}
	rows := s.tableOf(view, built[view.Name].Key)

	var ids []string
	var times []int64
	add := func(id string, at time.Time) { ids, times = append(ids, id), append(times, table.Micros(at)) }
	for u := range smallWorld.Users {
		add(fmt.Sprintf("u%06d", u+1), iv.End)
	}
	add("u000001", smallWorld.Start.AddDate(-1, 0, 0)) // before anything
	add("nobody-knows-me", iv.End)
	s.job.Training.Keep = map[string]time.Duration{"events": 400 * 24 * time.Hour}
	add("u000001", smallWorld.Start.AddDate(-2, 0, 0)) // older than anything may be, whoever it is of
	add("nobody-knows-me", smallWorld.Start.AddDate(-2, 0, 0))
	add("u000001", iv.End.Add(time.Microsecond))
	x := jobs.Examples{
		Schema: table.Schema{{Name: "subject", Type: table.String}, {Name: "time", Type: table.Time}},
		Read: func(context.Context) iter.Seq2[*table.Batch, error] {
			return func(yield func(*table.Batch, error) bool) {
				for i := 0; i < len(ids); i += 50 {
					n := min(50, len(ids)-i)
					if !yield(&table.Batch{
						N: n, Schema: table.Schema{{Name: "subject", Type: table.String}, {Name: "time", Type: table.Time}},
						Cols: []table.Column{{Str: ids[i : i+n]}, {Int: times[i : i+n]}},
					}, nil) {
						return
					}
				}
			}
		},
	}
	schema := x.Joined(s.job, []features.View{view})
	joined, without := 0, 0
	res, err := s.runner.JoinViews(t.Context(), s.job, []features.View{view}, iv, x, func(b *table.Batch) error {
		if !slices.Equal(b.Schema, schema) {
			t.Errorf("rows have the columns %v, announced were %v", b.Schema, schema)
		}
		for i := range b.N {
			values := valuesFrom(b, 2, i)
			want, ok := rows[fmt.Sprintf("%016x", uint64(b.Cols[0].Int[i]))]
			if b.Cols[1].Int[i] < table.Micros(iv.End) || !ok { // no event: counts are 0, the rest is 0 or null
				without++
				for _, v := range values {
					if v != nil && v != int64(0) && v != 0.0 {
						t.Errorf("an example without events has %v", values)
					}
				}
				continue
			}
			joined++
			if got := fmt.Sprint(values); got != want {
				t.Errorf("joined as %s, built as %s", got, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	const denied = "subject unknown, or not permitted"
	if joined != len(rows) || res.Rows != int64(joined+without) || res.LeftOut["after the interval's end"] != 1 || res.Read != int64(len(ids)) ||
		res.LeftOut["older than keep.events"] != 2 || res.LeftOut[denied] < 2 || res.Rows+res.LeftOut[denied]+3 != res.Read {
		t.Errorf("%d of %d rows were joined, %d have no event: %+v", joined, len(rows), without, res)
	}
}

// TestJoinFiles: examples are found by the names of the project or of its source, whatever their file; what names people is not handed through; a file
// that can't be joined leaves no file behind.
func TestJoinFiles(t *testing.T) {
	s := newShop(t, smallWorld)
	views := s.job.Views
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.csv", "\ufeffuser_id,ts,sku,label,note,price\nu000001,2026-01-03T12:00:00Z,sku-00001,1,\"a, b\",\nu000002,,,0.5,,7\n")
	x, err := openExamples(t.Context(), good, s.job, views, []string{"label", "note", "price"})
	if err != nil {
		t.Fatal(err)
	}
	want := table.Schema{
		{Name: "subject", Type: table.String},
		{Name: "item", Type: table.String},
		{Name: "time", Type: table.Time},
		{Name: "label", Type: table.Float64},
		{Name: "note", Type: table.String},
		{Name: "price", Type: table.Float64},
	}
	if !slices.Equal(x.Schema, want) {
		t.Errorf("columns %v", x.Schema)
	}
	read := func(x jobs.Examples) string {
		var out strings.Builder
		for b, err := range x.Read(t.Context()) {
			if err != nil {
				fmt.Fprintf(&out, "error: %v", err)
				break
			}
			for i := range b.N {
				for c := range b.Cols {
					fmt.Fprintf(&out, "%s|", cell(&b.Cols[c], x.Schema[c].Type, i))
				}
				fmt.Fprintln(&out)
			}
		}
		return out.String()
	}
	const rows = "u000001|sku-00001|2026-01-03T12:00:00Z|1|a, b||\nu000002|||0.5||7|\n"
	if got := read(x) + read(x); got != rows+rows {
		t.Errorf("read twice:\n%s", got)
	}
	// The same rows as Parquet.
	as := filepath.Join(dir, "same.parquet")
	w, err := createRows(as, x.Schema)
	if err != nil {
		t.Fatal(err)
	}
	for b, err := range x.Read(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if err := w.append(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(nil); err != nil {
		t.Fatal(err)
	}
	y, err := openExamples(t.Context(), as, s.job, views, []string{"label", "note", "price"})
	if err != nil || !slices.Equal(y.Schema, want) || read(y) != rows {
		t.Errorf("as Parquet: %v, %v\n%s", y.Schema, err, read(y))
	}

	for _, c := range []struct{ name, text, keep, want string }{
		{"time.csv", "user_id,when\nu1,2026-01-03\n", "", `no column "item" or "sku"; it has user_id, when`},
		{"keep.csv", "user_id,ts,sku\nu1,2026-01-03,a\n", "lable", `no column "lable" to keep; it has user_id, ts, sku`},
		{"ids.csv", "user_id,ts,sku\nu1,2026-01-03,a\n", "user_id", `column "user_id" names people`},
		{"both.csv", "subject,user_id,ts,sku\nu1,u1,2026-01-03,a\n", "user_id", `column "user_id" names people`},
		{"twice.csv", "user_id,ts,sku,sku\nu1,2026-01-03,a,b\n", "", "two columns have one name"},
		{"empty.csv", "", "", "the file is empty"},
		{"short.csv", "user_id,ts,sku\nu1,2026-01-03\n", "", "line 2: wrong number of fields"},
		{"quote.csv", "user_id,ts,sku\n\"u1,2026-01-03,a\n", "", "line 2: extraneous or missing"},
		{"file.txt", "", "", "want a name that ends in .csv, .tsv or .parquet"},
		{"broken.parquet", "PAR1 and no more", "", ""},
	} {
		var keep []string
		if c.keep != "" {
			keep = []string{c.keep}
		}
		_, err := openExamples(t.Context(), write(c.name, c.text), s.job, views, keep)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "u1,") {
			t.Errorf("%s: the error holds a row: %v", c.name, err)
		}
	}
	bad, err := openExamples(t.Context(), write("bad.csv", "user_id,ts,sku\nu000001,yesterday,a\n"), s.job, views, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(bad); !strings.Contains(got, `bad.csv: row 2: column "time" holds no time`) || strings.Contains(got, "yesterday") {
		t.Errorf("a time that is none: %s", got)
	}
	if w, err = createRows(filepath.Join(dir, "out.csv"), want); err != nil {
		t.Fatal(err)
	}
	if err := w.close(context.Canceled); err != context.Canceled {
		t.Errorf("closed with %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "out*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := createRows(filepath.Join(dir, "out.json"), want); err == nil {
		t.Error("a JSON file was begun")
	}
}

func TestParseShare(t *testing.T) {
	for text, want := range map[string]float64{"1%": 0.01, "0.01": 0.01, " 5 %": 0.05, "100%": 1, "1": 1} {
		if got, err := parseShare(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "0%", "101%", "1.1", "-1%", "NaN", "one"} {
		if got, err := parseShare(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}
