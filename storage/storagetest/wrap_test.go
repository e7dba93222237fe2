package storagetest

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/storage"
)

func put(t *testing.T, b storage.Bucket, key, body string) error {
	t.Helper()
	_, err := b.Put(t.Context(), key, storage.Bytes([]byte(body)), storage.Cond{})
	return err
}

func TestRecording(t *testing.T) {
	r := NewRecording(storage.NewMemory(nil))
	if err := put(t, r, "k", "0123456789"); err != nil {
		t.Fatal(err)
	}
	for _, rng := range []storage.Range{{}, {Off: 2, N: 3}, {Off: 8, N: 100}, {Off: 11}} {
		rd, _, err := r.Get(t.Context(), "k", rng)
		if err != nil {
			continue
		}
		io.CopyN(io.Discard, rd, 4)
		rd.Close()
	}
	r.Head(t.Context(), "k")
	for range r.List(t.Context(), "p", storage.ListOpt{}) {
	}
	r.Delete(t.Context(), "k")
	want := []Call{
		{Op: Put, Key: "k", Size: 10},
		{Op: Get, Key: "k", Off: 0, End: 10, Read: 4},
		{Op: Get, Key: "k", Ask: storage.Range{Off: 2, N: 3}, Off: 2, End: 5, Read: 3},
		{Op: Get, Key: "k", Ask: storage.Range{Off: 8, N: 100}, Off: 8, End: 10, Read: 2},
		{Op: Get, Key: "k", Ask: storage.Range{Off: 11}},
		{Op: Head, Key: "k"},
		{Op: List, Key: "p"},
		{Op: Delete, Key: "k"},
	}
	if got := r.Calls(); !reflect.DeepEqual(got, want) {
		t.Errorf("recorded\n%+v, want\n%+v", got, want)
	}
	if r.Count() != 8 || r.Count(Get, Put) != 5 || len(r.Gets("k")) != 4 || len(r.Gets("j")) != 0 {
		t.Errorf("counts: %d, %d, %d, %d", r.Count(), r.Count(Get, Put), len(r.Gets("k")), len(r.Gets("j")))
	}
	r.Reset()
	if r.Count() != 0 {
		t.Error("Reset kept calls")
	}
}

func TestFaulty(t *testing.T) {
	isPut := func(c Call) bool { return c.Op == Put }
	m := storage.NewMemory(nil)
	f := NewFaulty(m,
		Fault{Match: isPut, Nth: 2, Do: LostResponse},
		Fault{Match: isPut, Nth: 3, Err: storage.ErrFull},
		Fault{Match: func(c Call) bool { return c.Op == Get }, Nth: 1, Do: Truncate, Err: io.ErrUnexpectedEOF},
		Fault{Match: func(c Call) bool { return c.Op == Delete }},
	)
	for i, want := range []error{nil, ErrInjected, storage.ErrFull, nil} {
		if err := put(t, f, "k", string(rune('a'+i))+"23456789"); !errors.Is(err, want) {
			t.Errorf("put %d: %v, want %v", i+1, err, want)
		}
		body, _, err := storage.ReadAll(t.Context(), m, "k")
		if want := []string{"a", "b", "b", "d"}[i]; err != nil || string(body[:1]) != want {
			t.Errorf("after put %d: %q, %v; want %s", i+1, body, err, want)
		}
	}
	rd, info, err := f.Get(t.Context(), "k", storage.Range{})
	if err != nil || info.Size != 9 {
		t.Fatal(info, err)
	}
	if got, err := io.ReadAll(rd); string(got) != "d234" || err != io.ErrUnexpectedEOF {
		t.Errorf("a truncated read: %q, %v", got, err)
	}
	if body, _, err := storage.ReadAll(t.Context(), f, "k"); err != nil || string(body) != "d23456789" {
		t.Errorf("the second read: %q, %v", body, err)
	}
	for range 2 {
		if err := f.Delete(t.Context(), "k"); !errors.Is(err, ErrInjected) {
			t.Errorf("Delete: %v", err)
		}
	}
	if f.Fired() != 5 {
		t.Errorf("%d faults, want 5", f.Fired())
	}
}

// TestKillAt counts writes, and calls in the right moment: before the write nothing is seen of it, after it all.
func TestKillAt(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 0; n <= 4; n++ {
			m := storage.NewMemory(nil)
			var seen []string
			k := NewKillAt(m, n, after, func() {
				for info := range m.List(t.Context(), "", storage.ListOpt{}) {
					seen = append(seen, info.Key)
				}
				seen = append(seen, "killed")
			})
			for _, key := range []string{"a", "b"} {
				if err := put(t, k, key, "x"); err != nil {
					t.Fatal(err)
				}
			}
			if err := k.Delete(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			if k.Writes() != 3 {
				t.Errorf("counted %d writes", k.Writes())
			}
			want := map[bool][]string{
				false: {"", "killed", "a killed", "a b killed", ""},
				true:  {"", "a killed", "a b killed", "b killed", ""},
			}[after][n]
			if got := strings.Join(seen, " "); got != want {
				t.Errorf("kill at %d, after %t: saw %q, want %q", n, after, got, want)
			}
		}
	}
}

// TestForwardVersions: wrappers pass the optional power on, and answer for a bucket without it.
func TestForwardVersions(t *testing.T) {
	m := storage.NewMemory(nil)
	m.KeepVersions(true)
	TestVersions(t, NewFaulty(NewRecording(m)))
	TestVersions(t, NewKillAt(struct{ storage.Bucket }{storage.NewMemory(nil)}, 0, false, nil))
}

// TestMissingServer: without the binary a test fails and says what to do.
func TestMissingServer(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("RAPPORT_VERSITYGW", "")
	t.Setenv("RAPPORT_TOOLS", "")
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CACHE_HOME", dir)
	if p, err := findServer(); err == nil || !strings.Contains(err.Error(), "make tools") {
		t.Errorf("found %q, %v", p, err)
	}
	want := filepath.Join(dir, "versitygw")
	if err := os.WriteFile(want, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"RAPPORT_TOOLS": dir, "RAPPORT_VERSITYGW": want} {
		t.Setenv(name, value)
		if p, err := findServer(); err != nil || p != want {
			t.Errorf("%s: found %q, %v", name, p, err)
		}
		t.Setenv(name, "")
	}
}
