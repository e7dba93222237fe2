package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

func TestEventsOfADay(t *testing.T) {
	for _, s := range []shape{sparseShape(40_000, 30), denseShape(30_000, 30)} {
		total, perSubject := 0, map[int32]int{}
		for d := range s.days {
			events := s.day(d)
			if !slices.Equal(events, s.day(d)) {
				t.Fatalf("%s: day %d is another one the second time", s.name, d)
			}
			if !slices.IsSortedFunc(events, func(a, b visit) int { return int(a.at - b.at) }) {
				t.Errorf("%s: times of day %d do not ascend", s.name, d)
			}
			for _, e := range events {
				if at := time.UnixMicro(e.at); at.Before(day(d).Start) || !at.Before(day(d).End) {
					t.Fatalf("%s: an event of day %d is at %v", s.name, d, at)
				}
				perSubject[e.subject]++
			}
			total += len(events)
		}
		if total != s.events {
			t.Errorf("%s: %d events, want %d", s.name, total, s.events)
		}
		if s.name == "dense" {
			for subject, n := range perSubject {
				if n != bursts*burst {
					t.Fatalf("subject %d has %d events", subject, n)
				}
			}
		}
	}
}

func TestIDsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	numbers := map[int64]bool{}
	for i := range int32(50_000) {
		for _, name := range []string{subjectText(i), itemText(i)} {
			if seen[name] {
				t.Fatalf("%s stands for two ranks", name)
			}
			seen[name] = true
		}
		if n := itemNumber(i); numbers[n] {
			t.Fatalf("%d stands for two items", n)
		} else {
			numbers[n] = true
		}
	}
}

// What is written can be found again, with the same manifest, and a day's rows come back.
func TestGenerate(t *testing.T) {
	dir := t.TempDir()
	s := sparseShape(2000, 3)
	for _, l := range []layout{{codec: "zstd"}, {text: true, codec: "snappy"}, {codec: "zstd", narrow: true}} {
		sets, err := generate(t.Context(), dir, s, l)
		if err != nil {
			t.Fatal(err)
		}
		again, err := generate(t.Context(), dir, s, l)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := sets[0], again[0]; a.events() != int64(s.events) || a.bytes() != b.bytes() || !slices.Equal(a.files(), b.files()) {
			t.Errorf("%v: made %d events in %v, found %d in %v", l, a.events(), a.files(), b.events(), b.files())
		}
		last := sets[0].last(2)
		if last.First != 2 || !last.end().Equal(day(3).End) {
			t.Errorf("%v: the last two days begin with day %d and end at %v", l, last.First, last.end())
		}
		for _, f := range last.files() {
			body, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			pages, err := pagesOf(body, []string{"subject", "value"})
			if err != nil || len(pages) == 0 {
				t.Errorf("%v: %d pages, %v", l, len(pages), err)
			}
		}
		if d, err := decompress(last, []string{"subject", "value"}, l.codec); err != nil || d.plain < 4*last.events() {
			t.Errorf("%v: decompressed to %d bytes, %v", l, d.plain, err)
		}
	}
}

// theirs stores rows as the peer would: VIEW.parquet in a folder.
func theirs(t *testing.T, b *table.Batch, view string) string {
	t.Helper()
	dir := t.TempDir()
	m, err := store(t.Context(), filepath.Join(dir, "made"), b, layout{codec: "zstd"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, m.Parts[0].Object), filepath.Join(dir, view+".parquet")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A comparison passes what is equal in another order and rounded otherwise, and fails at whatever is not.
func TestCompare(t *testing.T) {
	v := features.View{Name: "v", Key: "subject", Windows: []time.Duration{dayLong}, Features: []features.Feature{
		{Name: "events", Op: features.Count}, {Name: "mean", Op: features.Mean, Column: "value"},
	}}
	schema := v.Schema(schema0)
	rows := func(change func(c []table.Column)) *table.Batch {
		c := []table.Column{{Int: []int64{-7, 1, 5}}, {Int: []int64{3, 1, 1}}, {Float: []float64{1.5, 0, 2}, Valid: []bool{true, false, true}}}
		change(c)
		return &table.Batch{Schema: schema, N: len(c[0].Int), Cols: c}
	}
	for name, c := range map[string]struct {
		change func(c []table.Column)
		want   string // "": equal
	}{
		"equal":   {func([]table.Column) {}, ""},
		"rounded": {func(c []table.Column) { c[2].Float[0] *= 1 + 1e-10 }, ""},
		"other order": {func(c []table.Column) {
			slices.Reverse(c[0].Int)
			slices.Reverse(c[1].Int)
			slices.Reverse(c[2].Float)
			slices.Reverse(c[2].Valid)
		}, ""},
		"float":        {func(c []table.Column) { c[2].Float[0] *= 1 + 1e-8 }, `column "mean_1d"`},
		"integer":      {func(c []table.Column) { c[1].Int[2] = 2 }, `column "events_1d": 2, and ours is 1`},
		"null":         {func(c []table.Column) { c[2].Valid[1] = true }, `column "mean_1d": 0, and ours is null`},
		"value":        {func(c []table.Column) { c[2].Valid[0], c[2].Float[0] = false, 0 }, `column "mean_1d": null, and ours is 1.5`},
		"other entity": {func(c []table.Column) { c[0].Int[1] = 2 }, "no row of"},
		"twice":        {func(c []table.Column) { c[0].Int[1], c[2].Float[1], c[2].Valid[1] = 5, 2, true }, "second row"},
		"missing": {func(c []table.Column) {
			c[0].Int, c[1].Int, c[2].Float, c[2].Valid = c[0].Int[:2], c[1].Int[:2], c[2].Float[:2], c[2].Valid[:2]
		}, "the peer has 2 rows and we have 3"},
	} {
		t.Run(name, func(t *testing.T) {
			ours := newAnswer()
			if err := ours.keep(v, rows(func([]table.Column) {})); err != nil {
				t.Fatal(err)
			}
			cells, err := ours.compare(context.Background(), []features.View{v}, schema0, theirs(t, rows(c.change), "v"))
			switch {
			case c.want == "" && (err != nil || cells != 9):
				t.Errorf("%d cells, %v", cells, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

var schema0 = schema(false, false)

// A stack belongs to the innermost frame that says what is done; frames of the runtime say nothing.
func TestShares(t *testing.T) {
	got := sumTraces([]byte(`File: x
Type: cpu
-----------+-------------------------------------------------------
      20ms   runtime.memmove
             github.com/klauspost/compress/zstd.(*Decoder).DecodeAll
             github.com/rapport-ml/rapport/storage/table.Read
-----------+-------------------------------------------------------
      10ms   github.com/rapport-ml/rapport/features/local.somethingNew
             github.com/rapport-ml/rapport/features/local.(*scatter).add
-----------+-------------------------------------------------------
      30ms   runtime.scanObject
             runtime.gcBgMarkWorker
-----------+-------------------------------------------------------
       5ms   runtime.futex
-----------+-------------------------------------------------------
       5ms   github.com/rapport-ml/rapport/storage/table.(*chunk).next (inline)
             github.com/rapport-ml/rapport/features/local.(*worker).run
`))
	const ms = time.Millisecond
	for name, want := range map[string]time.Duration{"decompression": 20 * ms, "local.somethingNew": 10 * ms, "garbage collection": 30 * ms, "runtime": 5 * ms, "decoding": 5 * ms} {
		if got[name] != want {
			t.Errorf("%s took %v, want %v: %v", name, got[name], want, got)
		}
	}
	if len(got) != 5 {
		t.Errorf("%v", got)
	}
}

// The statements of each way name each window and feature, and read no time where files tell the windows.
func TestStatements(t *testing.T) {
	d := &dataset{Dir: "/x", Days: make([]table.Manifest, 30)}
	for i := range d.Days {
		d.Days[i].Parts = []table.Part{{Object: day(i).Start.Format(time.DateOnly)}}
	}
	views := sixViews(windowsOf(30))
	for _, q := range queries(views) {
		all := strings.Join(q.statements(views, d), "\n")
		for _, v := range views {
			if n := strings.Count(all, "CREATE TABLE "+v.Name+" "); n != 1 {
				t.Errorf("%v: %d tables of view %s", q, n, v.Name)
			}
			for _, f := range v.Schema(schema0)[1:] {
				if !strings.Contains(all, " AS "+f.Name) {
					t.Errorf("%v: view %s lacks %s", q, v.Name, f.Name)
				}
			}
		}
		if q.files == strings.Contains(all, "time >=") {
			t.Errorf("%v: %s", q, all)
		}
		want := 3 // by subject, by item, and for pairs
		if q.plain {
			want = 2
		}
		for i := range d.Days {
			if n := strings.Count(all, "/x/"+d.Days[i].Parts[0].Object); n != want {
				t.Errorf("%v: file %d is read %d times, want %d", q, i, n, want)
			}
		}
	}
}
