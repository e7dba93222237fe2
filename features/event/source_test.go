package event

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// columnSpan is where a column chunk stands in a file.
type columnSpan struct {
	column   string
	off, end int64
}

func columnSpans(t *testing.T, file []byte) []columnSpan {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var out []columnSpan
	for _, g := range f.Metadata().RowGroups {
		for _, c := range g.Columns {
			m := c.MetaData
			off := m.DataPageOffset
			if m.DictionaryPageOffset > 0 {
				off = min(off, m.DictionaryPageOffset)
			}
			out = append(out, columnSpan{m.PathInSchema[0], off, off + m.TotalCompressedSize})
		}
	}
	return out
}

func keysOf(objs []storage.Info) (out []string) {
	for _, o := range objs {
		out = append(out, o.Key)
	}
	return out
}

func TestFilesOfADay(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{
		"ev/dt=2024-03-01/a.parquet", "ev/dt=2024-03-02/a.parquet", "ev/dt=2024-03-02/b.parquet", "ev/dt=2024-03-03/a.parquet", "ev/dt=2024-03-04/a.parquet",
		"hive/year=2024/month=3/day=2/a.parquet", "hive/year=2024/month=03/day=03/a.parquet",
	}
	b := storage.NewMemory(nil)
	for _, k := range keys {
		put(t, b, k, []byte(k))
	}
	for _, tt := range []struct {
		name, path string
		zone       *time.Location
		lateness   time.Duration
		iv         table.Interval
		want       []string
	}{
		{"one day", "ev/dt={date}/*.parquet", nil, 0, oneDay(1), keys[1:3]},
		{"a day late", "ev/dt={date}/*.parquet", nil, 24 * time.Hour, oneDay(1), keys[1:4]},
		{"an hour late", "ev/dt={date}/*.parquet", nil, time.Hour, oneDay(1), keys[1:4]},
		{"an hour", "ev/dt={date}/*.parquet", nil, 0, table.Interval{Start: dayAt(1), End: dayAt(1).Add(time.Hour)}, keys[1:3]},
		// The second of March in Berlin begins at 23:00 UTC of the first.
		{"the day of another zone", "ev/dt={date}/*.parquet", berlin, 0, oneDay(1), keys[1:4]},
		{"nothing", "ev/dt={date}/*.parquet", nil, 0, oneDay(20), nil},
		{"parts of a date", "hive/year={yyyy}/month={mm}/day={dd}/*.parquet", nil, 0, oneDay(1), keys[5:6]},
	} {
		files, err := Source{Bucket: b, Path: tt.path, Zone: tt.zone, Lateness: tt.lateness}.Listing(context.Background())
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		objs, _ := files.Day(tt.iv)
		if got := keysOf(objs); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	for path, want := range map[string]string{
		"ev/dt={day}/*.parquet":         "unknown placeholder {day}",
		"ev/dt={date}/{date}.parquet":   "once",
		"ev/{yyyy}/{mm}/*.parquet":      "once each",
		"hive/year={date}/**/*.parquet": "",
	} {
		if _, err := (Source{Bucket: b, Path: path}).Listing(context.Background()); want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	put(t, b, "ev/dt=2024-02-30/a.parquet", nil)
	if _, err := (Source{Bucket: b, Path: "ev/dt={date}/*.parquet"}).Listing(context.Background()); err == nil || !strings.Contains(err.Error(), "2024-02-30 is no date") {
		t.Errorf("the 30th of February: %v", err)
	}
}

func TestFilesWithoutDatesGoByStatistics(t *testing.T) {
	b := storage.NewMemory(nil)
	event := func(times ...time.Time) (out []rawEvent) {
		for _, at := range times {
			out = append(out, rawEvent{User: person(1), SKU: "s", TS: at.UnixMicro()})
		}
		return out
	}
	putEvents(t, b, "e/a.parquet", event(dayAt(0), dayAt(1).Add(-time.Microsecond)))
	putEvents(t, b, "e/b.parquet", event(dayAt(0).Add(time.Hour), dayAt(1))) // its last event is the first moment of day 1
	putEvents(t, b, "e/c.parquet", event(dayAt(2)))
	putEvents(t, b, "e/d.parquet", []rawEvent{{User: person(1), SKU: "s"}, {User: person(2), SKU: "s"}})                      // no time at all: of no day
	putEvents(t, b, "e/e.parquet", nil)                                                                                       // no rows: of no day
	putEvents(t, b, "e/f.parquet", event(time.UnixMicro(1), dayAt(1), dayAt(2), time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC))) // a 0 and a unit taken for another
	putEvents(t, b, "e/g.parquet", event(time.UnixMicro(1), time.UnixMicro(2)))
	s := shop(b)
	s.Path = "e/*.parquet"
	files, err := s.Listing(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for d, want := range [][]string{{"e/a.parquet", "e/b.parquet"}, {"e/b.parquet", "e/f.parquet"}, {"e/c.parquet", "e/f.parquet"}, {}} {
		objs, _ := files.Day(oneDay(d))
		if got := keysOf(objs); !slices.Equal(got, want) {
			t.Errorf("day %d: %q, want %q", d, got, want)
		}
	}
	if got := keysOf(files.Lost()); !slices.Equal(got, []string{"e/d.parquet", "e/g.parquet"}) {
		t.Errorf("lost: %q", got)
	}
	if iv, ok := files.Span(); !ok || !iv.Start.Equal(dayAt(0)) || !iv.End.Equal(dayAt(2).Add(time.Microsecond)) {
		t.Errorf("span %s, %v", iv, ok)
	}
}

func TestFingerprint(t *testing.T) {
	a := []storage.Info{{Key: "a", ETag: "1", Size: 3}, {Key: "b", ETag: "2", Size: 4}}
	want := Fingerprint(a)
	same := [][]storage.Info{
		{a[1], a[0]},
		{{Key: "a", ETag: "1", Size: 3, Modified: dayAt(3)}, a[1]},
	}
	for _, s := range same {
		if Fingerprint(s) != want {
			t.Errorf("%v has another fingerprint", s)
		}
	}
	other := [][]storage.Info{
		a[:1], nil,
		{{Key: "a", ETag: "9", Size: 3}, a[1]},
		{{Key: "a", ETag: "1", Size: 5}, a[1]},
		{{Key: "a", Version: "1", Size: 3}, a[1]},
		{{Key: "a\" \"e1", ETag: "", Size: 3}, a[1]},
	}
	for _, s := range other {
		if Fingerprint(s) == want {
			t.Errorf("%v has the same fingerprint", s)
		}
	}
}
