package main

import (
	"archive/zip"
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage/table"
)

// TestExport: an export holds every row of its person in every table that is no running sum, and none of anybody else.
func TestExport(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	id := s.admitted(1)[0]
	ids, err := event.OpenIdentities(t.Context(), s.opened.Bucket, s.opened.Keys)
	if err != nil {
		t.Fatal(err)
	}
	number, ok := ids.Find(id)
	if !ok {
		t.Fatal("an admitted subject is not known")
	}
	events := int64(0)
	for c, err := range (table.Store{Bucket: s.opened.Bucket}).List(t.Context(), "ingest/") {
		if err != nil {
			t.Fatal(err)
		}
		for b, err := range table.Read(t.Context(), s.opened.Bucket, c.Outputs["events"], table.ReadOptions{Columns: []string{event.ColSubject}}) {
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range b.Cols[0].Int {
				if uint64(x) == uint64(number) {
					events++
				}
			}
		}
	}
	before := len(objects(t, s.opened.Bucket))
	s.job.Training.Terms = []string{"tcf:6 (choosing personalised content by profiles)"}
	var out bytes.Buffer
	d, err := s.runner.Export(t.Context(), s.job, id, &out)
	if err != nil {
		t.Fatal(err)
	}
	if now := len(objects(t, s.opened.Bucket)); now != before {
		t.Errorf("an export has put %d objects into the bucket", now-before)
	}
	if !d.Profiled || d.Served.List == nil || len(d.Consent) == 0 {
		t.Errorf("of an admitted subject: profiled %v, list %v, %d records", d.Profiled, d.Served.List, len(d.Consent))
	}
	z, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	names, exportedEvents, rows := map[string]string{}, int64(0), int64(0)
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		names[f.Name] = string(body)
		if !strings.HasSuffix(f.Name, ".parquet") {
			continue
		}
		all, err := parquet.Read[any](bytes.NewReader(body), int64(len(body)))
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		for _, row := range all {
			m := row.(map[string]any)
			of, ok := m[event.ColSubject].(int64)
			if !ok {
				of, ok = m["entity"].(int64)
			}
			if !ok || uint64(of) != uint64(number) {
				t.Fatalf("%s holds a row that is not the person's", f.Name)
			}
			rows++
			if strings.Contains(f.Name, "-ingest") {
				exportedEvents++
			}
		}
	}
	if events == 0 || exportedEvents != events || rows <= events {
		t.Errorf("%d of %d events and %d rows in all", exportedEvents, events, rows)
	}
	for _, name := range []string{"README.txt", "profile.json", "consent.json", "inferred.json", "requests.json", "holdings.json"} {
		if names[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	kinds, lines := map[string]bool{}, strings.Count(names["README.txt"], "\n")
	for name := range names {
		if kind, ok := strings.CutPrefix(name, "data/"); ok {
			_, kind, _ = strings.Cut(kind, "-")
			if kinds[kind] {
				t.Errorf("two files are %s: one table a kind", kind)
			}
			kinds[kind] = true
		}
	}
	if lines > 150 || !strings.Contains(names["README.txt"], "part_of") {
		t.Errorf("the README has %d lines for %d tables, or does not say of which day a row is", lines, len(kinds))
	}
	for name := range names {
		if strings.HasSuffix(name, ".parquet") && !strings.Contains(names["README.txt"], name+":") {
			t.Errorf("the README does not tell of %s", name)
		}
	}
	if !strings.Contains(names["README.txt"], "elsewhere called tcf:6 (choosing personalised content by profiles)") {
		t.Error("the README does not say what others call the purpose")
	}
	for _, says := range []string{
		"keeps what you did (events) for ", "sets no end to how long it keeps reports, which hold figures of groups alone", "how many events, of the last 7d (count", "from when it holds, in UTC",
	} {
		if !strings.Contains(names["README.txt"], says) {
			t.Errorf("the README does not say %q:\n%s", says, names["README.txt"])
		}
	}
	if !strings.Contains(names["README.txt"], s.job.Training.Says) {
		t.Error("the README does not say what for")
	}

	// Of somebody who is not known there is nothing, and it says so.
	out.Reset()
	if d, err = s.runner.Export(t.Context(), s.job, "nobody here", &out); err != nil || d.Known || len(d.Holdings) != 0 || strings.Contains(out.String(), "nobody here") {
		t.Errorf("of nobody: %+v, %v", d, err)
	}
}
