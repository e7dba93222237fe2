package importer

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The sorter gives what slices.Sort gives, whatever fits in memory, also when runs are merged to one; and it leaves no file behind.
func TestSorterAgainstOracle(t *testing.T) {
	for _, c := range []struct{ records, limit int }{{0, 64}, {1, 64}, {500, 1 << 20}, {500, 400}, {3000, 64}} {
		t.Run(fmt.Sprintf("%d in %d bytes", c.records, c.limit), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(c.limit)))
			dir := t.TempDir()
			s := &sorter{dir: dir, limit: c.limit}
			var want []string
			for range c.records {
				record := make([]byte, r.IntN(20))
				for i := range record {
					record[i] = "ab\x00"[r.IntN(3)]
				}
				want = append(want, string(record))
				if err := s.add(record); err != nil {
					t.Fatal(err)
				}
			}
			slices.Sort(want)
			if spilled := len(s.runs) > 0; spilled != (c.limit < 1000 && c.records > 1) {
				t.Errorf("%d runs", len(s.runs))
			}
			if len(s.runs) > maxRuns {
				t.Errorf("%d runs are open", len(s.runs))
			}
			var got []string
			for record, err := range s.sorted() {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(record))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d records are not the %d that were added, sorted", len(got), len(want))
			}
			if err := s.close(); err != nil {
				t.Error(err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v (%v)", left, err)
			}
		})
	}
}

func TestSorterNeedsItsFolder(t *testing.T) {
	s := &sorter{dir: filepath.Join(t.TempDir(), "gone"), limit: 20}
	err := errors.Join(s.add([]byte("a record")), s.add([]byte("another record")))
	if err == nil || !strings.Contains(err.Error(), "make room for sorting") {
		t.Errorf("error %v", err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

// A run that is cut short is an error, never fewer records.
func TestSorterReadsBackAll(t *testing.T) {
	s := &sorter{dir: t.TempDir(), limit: 40}
	for i := range 20 {
		if err := s.add(fmt.Appendf(nil, "record %02d", i)); err != nil {
			t.Fatal(err)
		}
	}
	defer s.close()
	if err := s.runs[0].Truncate(7); err != nil {
		t.Fatal(err)
	}
	for _, err := range s.sorted() {
		if err != nil {
			return
		}
	}
	t.Error("no error")
}

// Each id comes once, also those that were met again after they were forgotten.
func TestIDSet(t *testing.T) {
	s := newIDSet(t.TempDir())
	s.sorter.limit = 1 << 16
	want := map[string]bool{}
	for i := range 2*recentIDs + 9 {
		id := fmt.Sprintf("id-%d", i%(recentIDs+3))
		want[id] = true
		if err := s.add(id); err != nil {
			t.Fatal(err)
		}
	}
	n, last := 0, ""
	for id, err := range s.ids() {
		if err != nil {
			t.Fatal(err)
		}
		if id <= last || !want[id] {
			t.Fatalf("%q after %q", id, last)
		}
		last = id
		n++
	}
	if n != len(want) {
		t.Errorf("%d ids, want %d", n, len(want))
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

// The byte order of records is the order of time, and what was encoded comes back.
func TestActRecords(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var before []byte
	var earlier int64
	for range 2000 {
		e := act{
			time: r.Int64() - math.MaxInt64/2, subject: strings.Repeat("s", r.IntN(300)), item: "i\x00", kind: "view", value: r.NormFloat64(),
			attrs: []string{"", strings.Repeat("é", r.IntN(3))},
		}
		if r.IntN(3) == 0 {
			e.value = math.NaN()
		}
		b := e.appendTo(nil)
		p := packed{attrs: make([][]byte, 2)}
		if err := p.decode(b); err != nil {
			t.Fatal(err)
		}
		got := p.unpacked()
		if math.IsNaN(e.value) != math.IsNaN(got.value) {
			t.Fatalf("value %v, want %v", got.value, e.value)
		}
		if math.IsNaN(e.value) {
			e.value, got.value = 0, 0
		}
		if !reflect.DeepEqual(got, e) {
			t.Fatalf("%+v, want %+v", got, e)
		}
		if before != nil && e.time != earlier && (e.time < earlier) != (bytes.Compare(b, before) < 0) {
			t.Fatalf("%d and %d are in another order as records", e.time, earlier)
		}
		before, earlier = b, e.time
	}
}

// unpacked copies an act out of its record.
func (p *packed) unpacked() act {
	e := act{time: p.time, subject: string(p.subject), item: string(p.item), kind: string(p.kind), value: p.value}
	for _, a := range p.attrs {
		e.attrs = append(e.attrs, string(a))
	}
	return e
}

func FuzzActRecord(f *testing.F) {
	e := act{time: 1, subject: "s", item: "i", kind: "k", attrs: []string{"x"}}
	f.Add(e.appendTo(nil))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, again := packed{attrs: make([][]byte, 1)}, packed{attrs: make([][]byte, 1)}
		if p.decode(b) != nil {
			return
		}
		e := p.unpacked()
		if err := again.decode(e.appendTo(nil)); err != nil || again.time != e.time || !reflect.DeepEqual(again.unpacked().attrs, e.attrs) || string(again.subject) != e.subject {
			t.Errorf("%+v is not read back (%v): %+v", e, err, again)
		}
	})
}
