package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/parquet-go/parquet-go"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage"
)

// decoded calls f with every form in which a body can hold a text: as it is, and decoded if it is Parquet (each value of each page and of each
// dictionary, a line each), gzip, or a sorted file of the online store.
func decoded(t testing.TB, where string, body []byte, f func(where string, text []byte)) {
	t.Helper()
	f(where, body)
	switch {
	case bytes.HasPrefix(body, []byte("PAR1")):
		f(where+" (values)", parquetValues(t, where, body))
	case bytes.HasPrefix(body, []byte{0x1f, 0x8b}):
		r, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		plain, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		decoded(t, where+" (gunzipped)", plain, f)
	case strings.HasSuffix(where, ".sst"):
		f(where+" (rows)", sortedRows(t, where, body))
	}
}

func parquetValues(t testing.TB, where string, body []byte) []byte {
	t.Helper()
	file, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	var out bytes.Buffer
	add := func(v parquet.Value) {
		switch v.Kind() {
		case parquet.Int64:
			fmt.Fprintf(&out, "%d %d\n", v.Int64(), uint64(v.Int64()))
		default:
			out.WriteString(v.String() + "\n")
		}
	}
	for _, kv := range file.Metadata().KeyValueMetadata {
		fmt.Fprintf(&out, "%s %s\n", kv.Key, kv.Value)
	}
	for _, g := range file.RowGroups() {
		for _, c := range g.ColumnChunks() {
			pages := c.Pages()
			for {
				p, err := pages.ReadPage()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatalf("%s: %v", where, err)
				}
				if d := p.Dictionary(); d != nil {
					for i := range d.Len() {
						add(d.Index(int32(i)))
					}
				}
				values := make([]parquet.Value, p.NumValues())
				if n, err := p.Values().ReadValues(values); err != nil && err != io.EOF || n != len(values) {
					t.Fatalf("%s: %d of %d values: %v", where, n, len(values), err)
				}
				for _, v := range values {
					add(v)
				}
				parquet.Release(p)
			}
			if err := pages.Close(); err != nil {
				t.Fatalf("%s: %v", where, err)
			}
		}
	}
	return out.Bytes()
}

func sortedRows(t testing.TB, where string, body []byte) []byte {
	t.Helper()
	r, err := sstable.NewMemReader(body, sstable.ReaderOptions{})
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	defer r.Close()
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	defer it.Close()
	var out bytes.Buffer
	for kv := it.First(); kv != nil; kv = it.Next() {
		v, _, err := kv.Value(nil)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		out.Write(kv.K.UserKey)
		out.WriteByte('\n')
		out.Write(v)
		out.WriteByte('\n')
	}
	if err := it.Error(); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	return out.Bytes()
}

// everything calls f with all that the product has written, decoded: names and bodies of objects, the online store's folder, logs and signs
// of life.
func (s *shop) everything(f func(where string, text []byte)) {
	s.Helper()
	s.inBucket(s.opened.Bucket, f)
	err := filepath.WalkDir(filepath.Join(s.dir, "online"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		if err == nil {
			f("a file's name", []byte(d.Name()))
			decoded(s.TB, "online/"+d.Name(), body, f)
		}
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	f("log", []byte(s.log.String()))
}

func (s *shop) inBucket(b storage.Bucket, f func(where string, text []byte)) {
	s.Helper()
	for key, body := range objects(s.TB, b) {
		f("a key", []byte(key))
		decoded(s.TB, key, body, f)
	}
}

// traces are the forms by which a subject can be told in what is written: the raw id, the number and the online key, as text and as bytes.
func (s *shop) traces(id string) map[string][]byte {
	s.Helper()
	n := uint64(s.number(id))
	key := event.OnlineKey(s.opened.Keys.ServingKey(), id)
	raw, err := hex.DecodeString(key)
	if err != nil {
		s.Fatal(err)
	}
	return map[string][]byte{
		"raw id":                       []byte(id),
		"number":                       []byte(strconv.FormatUint(n, 10)),
		"number, signed":               []byte(strconv.FormatInt(int64(n), 10)),
		"number in hexadecimal digits": fmt.Appendf(nil, "%016x", n),
		"number, little-endian":        binary.LittleEndian.AppendUint64(nil, n),
		"number, big-endian":           binary.BigEndian.AppendUint64(nil, n),
		"online key":                   []byte(key),
		"online key, bytes":            raw,
	}
}

// find returns where each form of trace stands, once each.
func (s *shop) find(traces map[string][]byte) map[string]string {
	s.Helper()
	found := map[string]string{}
	s.everything(func(where string, text []byte) {
		for form, trace := range traces {
			if found[form] == "" && bytes.Contains(text, trace) {
				found[form] = where
			}
		}
	})
	return found
}

// Invariant 7: no raw id stands in anything that the product writes. Every subject is a canary, and the raw files show that the scan finds them.
func TestNoRawIDs(t *testing.T) {
	s := newShop(t, smallWorld)
	canary := "Canary+7 of <nobody>@example.org"
	at := smallWorld.Start.UnixMicro()
	writeParquet(t, s.raw, "consent/canary.parquet", []rawConsent{{
		Subject: canary, Purpose: "recommend", State: "ConsentGiven", Effective: at, Recorded: at, Source: "test", RecordID: "canary",
	}})
	var rows []rawEvent
	for _, e := range readParquet[rawEvent](t, s.raw, eventsKey(6, "part-0"))[:40] {
		e.UserID = canary
		rows = append(rows, e)
	}
	writeParquet(t, s.raw, eventsKey(6, "canary"), rows)
	s.night(6)
	floor := s.job.Floor
	s.job.Floor = 1e6 // a night that fails, for its log and its record
	if _, err := s.try(7); err == nil {
		t.Fatal("the night should have failed")
	} else {
		fmt.Fprintln(s.log, err)
	}
	s.job.Floor = floor
	s.night(7)
	if !s.personalized(canary) {
		t.Error("the canary is not served a list of its own")
	}

	ids := []string{canary, "Canary", "example.org"}
	for i := range smallWorld.Users {
		ids = append(ids, fmt.Sprintf("u%06d", i+1))
	}
	in := func(f func(func(where string, text []byte))) map[string]string {
		found := map[string]string{}
		f(func(where string, text []byte) {
			for _, id := range ids {
				if bytes.Contains(text, []byte(id)) {
					found[id] = where
				}
			}
		})
		return found
	}
	if found := in(func(f func(string, []byte)) { s.inBucket(s.raw, f) }); len(found) != len(ids) {
		t.Fatalf("of %d ids the scan finds %d in the raw files", len(ids), len(found))
	}
	for id, where := range in(s.everything) {
		t.Errorf("%s stands in %s", id, where)
	}
	if len(s.log.String()) < 1000 {
		t.Error("nothing was logged")
	}
}
