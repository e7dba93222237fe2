package online

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// someLog is a log of several records, and the deny set after each.
func someLog() (log []byte, after []map[string]struct{}) {
	var s denySet
	snapshot := func() { after = append(after, maps.Clone(s.names)) }
	log = encodeDenyLog(&s)
	snapshot()
	for _, r := range []denyRecord{{Deny: []string{"o1", "o2"}}, {Allow: []string{"o1"}}, {Deny: []string{ErasedName("o3"), "line\nbreak é"}}, {Allow: []string{"o9"}}} {
		payload, err := json.Marshal(r)
		if err != nil {
			panic(err)
		}
		log = appendFrame(log, payload)
		for _, n := range r.Deny {
			s.add(n)
		}
		for _, n := range r.Allow {
			s.remove(n)
		}
		snapshot()
	}
	return log, after
}

// TestDenyLogTorn cuts the log at each byte: what stands whole counts, and the rest is no error.
func TestDenyLogTorn(t *testing.T) {
	log, after := someLog()
	header := bytes.IndexByte(log, '\n') + 1
	for cut := range len(log) + 1 {
		var s denySet
		valid, records, err := s.replay(log[:cut], true)
		if cut < header {
			if !errors.Is(err, ErrCorrupt) { // the header is written with the file, by rename
				t.Fatalf("cut at %d: %v, want damage", cut, err)
			}
			continue
		}
		whole := bytes.Count(log[:cut], []byte{'\n'})
		want := after[whole-1]
		if err != nil || records != whole || valid != bytes.LastIndexByte(log[:cut], '\n')+1 || len(s.names) != len(want) || !maps.Equal(s.names, want) {
			t.Fatalf("cut at %d: %d records, %d bytes, %v, %v; want %d records, %v", cut, records, valid, s.names, err, whole, want)
		}
		// The same tail with a page of it lost is torn too.
		if last := log[valid:cut]; len(last) > 1 {
			lost := append(slices.Clone(log[:valid]), last[0])
			lost = append(append(lost, make([]byte, 100)...), '\n')
			var s denySet
			if n, _, err := s.replay(lost, true); err != nil || n != valid {
				t.Fatalf("cut at %d with a lost page: %d bytes, %v", cut, n, err)
			}
		}
	}
}

// TestDenyLogDamaged flips each bit of the log: nothing of it is lost in silence.
func TestDenyLogDamaged(t *testing.T) {
	log, _ := someLog()
	for i := range log {
		for bit := range 8 {
			b := slices.Clone(log)
			b[i] ^= 1 << bit
			var s denySet
			if _, _, err := s.replay(b, true); !errors.Is(err, ErrCorrupt) {
				// Hex digits may stand in either case.
				if bytes.EqualFold(b, log) && err == nil {
					continue
				}
				t.Fatalf("bit %d of byte %d (%q) flipped: %v, want damage", bit, i, log[i], err)
			}
		}
	}
	newer := appendFrame(nil, []byte(`{"format":2}`))
	var s denySet
	if _, _, err := s.replay(newer, true); err == nil || !strings.Contains(err.Error(), "newer Rapport") {
		t.Fatalf("format 2: %v", err)
	}
}

func FuzzDenyLog(f *testing.F) {
	log, _ := someLog()
	f.Add(log)
	f.Add(log[:len(log)-3])
	f.Add(appendFrame(nil, []byte(`{"format":1,"deny":["x"]}`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s denySet
		valid, _, err := s.replay(b, true)
		if valid < 0 || valid > len(b) {
			t.Fatalf("%d bytes of %d are valid", valid, len(b))
		}
		if err != nil {
			return
		}
		var again, parts denySet
		if _, _, err := again.replay(encodeDenyLog(&s), true); err != nil || len(again.names) != len(s.names) || again.erased != s.erased {
			t.Fatalf("%v, rewritten: %v, %v", s, again, err)
		}
		// Reading on from any line's end gives what reading at once gives.
		first := bytes.IndexByte(b, '\n') + 1
		if _, _, err := parts.replay(b[:first], true); err != nil {
			t.Fatal(err)
		}
		if n, _, err := parts.replay(b[first:], false); err != nil || n+first != valid || !reflect.DeepEqual(parts, s) {
			t.Fatalf("in two parts: %v %d %v, at once: %v %d", parts, n+first, err, s, valid)
		}
	})
}

func someState() state {
	return state{Format: 1, Live: &Pointer{Generation: 7, Fence: 3, Meta: []byte(`{"a":1}`)}, Generations: []generation{
		{Number: 2, File: "gen-00000000000000000002-0123456789abcdef.sst", Size: 5, Entries: 1, Digest: "d2"},
		{Number: 7, File: "gen-00000000000000000007-0123456789abcdef.sst", Size: 6, Entries: 2, Digest: "d7"},
	}}
}

func encodeState(t testing.TB, s state) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return appendFrame(nil, b)
}

func TestState(t *testing.T) {
	good := encodeState(t, someState())
	if got, err := decodeState(good); err != nil || !reflect.DeepEqual(got, someState()) {
		t.Fatalf("%+v %v", got, err)
	}
	for i := range good {
		b := slices.Clone(good)
		b[i] ^= 1
		if _, err := decodeState(b); !errors.Is(err, ErrCorrupt) && !bytes.EqualFold(b, good) {
			t.Fatalf("byte %d (%q) changed: %v", i, good[i], err)
		}
		if _, err := decodeState(good[:i]); !errors.Is(err, ErrCorrupt) && i < len(good)-1 {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	for name, change := range map[string]func(*state){
		"no format":           func(s *state) { s.Format = 0 },
		"a path":              func(s *state) { s.Generations[0].File = "../x.sst" },
		"live is not listed":  func(s *state) { s.Live.Generation = 3 },
		"unordered":           func(s *state) { slices.Reverse(s.Generations) },
		"a generation twice":  func(s *state) { s.Generations[0].Number = 7 },
		"a size below zero":   func(s *state) { s.Generations[0].Size = -1 },
		"an unexpected table": func(s *state) { s.Generations[0].File = "live" },
	} {
		s := someState()
		change(&s)
		if _, err := decodeState(encodeState(t, s)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want damage", name, err)
		}
	}
	newer := someState()
	newer.Format = 2
	if _, err := decodeState(encodeState(t, newer)); err == nil || errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("format 2: %v", err)
	}
}

func FuzzState(f *testing.F) {
	f.Add(encodeState(f, someState())[9:])
	f.Add([]byte(`{"format":1,"generations":null}` + "\n"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, b := range [][]byte{payload, appendFrame(nil, bytes.TrimSuffix(payload, []byte{'\n'}))} {
			s, err := decodeState(b)
			if err != nil {
				continue
			}
			again, err := decodeState(encodeState(t, s))
			if err != nil || !bytes.Equal(encodeState(t, again), encodeState(t, s)) {
				t.Fatalf("%+v → %+v, %v", s, again, err)
			}
		}
	})
}

func FuzzRow(f *testing.F) {
	f.Add(appendRow(nil, Entry{Owner: "o1", Expires: 12345, Value: []byte("v")}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseRow("k", b)
		if err != nil {
			return
		}
		owner, _, err := rowOwner(b)
		if err != nil || string(owner) != e.Owner {
			t.Fatalf("owner %q %v, in the row %q", owner, err, e.Owner)
		}
		again, err := parseRow("k", appendRow(nil, e))
		if err != nil || again.Owner != e.Owner || again.Expires != e.Expires || !bytes.Equal(again.Value, e.Value) {
			t.Fatalf("%v → %v, %v", e, again, err)
		}
	})
}

// TestTrailer opens a table only as what its trailer says it is.
func TestTrailer(t *testing.T) {
	dir := t.TempDir()
	g := generation{File: newTableName(7)}
	w, err := newTableWriter(vfs.Default, filepath.Join(dir, g.File), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.addCounted([]byte("k"), appendRow(nil, Entry{Value: []byte("v")})); err != nil {
		t.Fatal(err)
	}
	file := g.File
	if g, err = w.finish(7); err != nil {
		t.Fatal(err)
	}
	g.File = file
	good, err := openTable(dir, g)
	if err != nil {
		t.Fatal(err)
	}
	good.release()
	for name, change := range map[string]func(*generation){
		"number": func(g *generation) { g.Number++ }, "entries": func(g *generation) { g.Entries++ },
		"digest": func(g *generation) { g.Digest = strings.Repeat("0", 64) }, "size": func(g *generation) { g.Size++ },
	} {
		other := g
		change(&other)
		if _, err := openTable(dir, other); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), file) {
			t.Errorf("another %s: %v, want damage", name, err)
		}
	}
}

func FuzzDecodeFallback(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendFrame(nil, []byte(`{"format":1,"since":5,"by":"b","why":"w"}`)))
	f.Add(appendFrame(nil, []byte(`{"format":2}`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeFallback(b)
		if err != nil {
			return
		}
		payload, err := json.Marshal(storedFallback{formatNumber, *got})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decodeFallback(appendFrame(nil, payload)); err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("%+v reads back as %+v, %v", got, again, err)
		}
	})
}
