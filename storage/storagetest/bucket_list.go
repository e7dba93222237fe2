package storagetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/storage"
)

// listOrder checks byte order where it differs from the order of folders: '-' and '.' stand before '/', digits and letters after it.
func (s *suite) listOrder() {
	keys := []string{"a-b", "a.b", "a/b", "a/b-c", "a/b.c", "a0", "aa/b", "b/c/d/e", "b/c/f", "c"}
	for _, k := range []int{7, 2, 9, 0, 4, 1, 8, 3, 6, 5} {
		s.put(keys[k], "x")
	}
	for _, c := range []struct {
		prefix, after, delimiter string
		want                     []string
	}{
		{want: keys},
		{prefix: "a", want: keys[:7]},
		{prefix: "a/", want: keys[2:5]},
		{prefix: "a/b", want: keys[2:5]},
		{prefix: "a/b-", want: keys[3:4]},
		{prefix: "b/c", want: keys[7:9]},
		{prefix: "zz", want: nil},
		{prefix: "a/b/c", want: nil},
		{after: "a/b", want: keys[3:]},
		{after: "a/bb", want: keys[5:]},
		{after: "a", want: keys},
		{after: "b/c/d/e", want: keys[8:]},
		{after: "c", want: nil},
		{prefix: "a/", after: "a/b", want: keys[3:5]},
		{prefix: "b/", after: "a", want: keys[7:9]},
		{delimiter: "/", want: []string{"a-b", "a.b", "a/", "a0", "aa/", "b/", "c"}},
		{delimiter: "/", after: "a/", want: []string{"a0", "aa/", "b/", "c"}},
		{delimiter: "/", after: "a/b", want: []string{"a0", "aa/", "b/", "c"}},
		{delimiter: "/", prefix: "b/", want: []string{"b/c/"}},
		{delimiter: "/", prefix: "b/c/", want: []string{"b/c/d/", "b/c/f"}},
		{delimiter: "/", prefix: "a", want: []string{"a-b", "a.b", "a/", "a0", "aa/"}},
		{delimiter: "/", prefix: "b/c", want: []string{"b/c/"}},
	} {
		got := s.list(c.prefix, storage.ListOpt{After: c.after, Delimiter: c.delimiter})
		if !slices.Equal(got, c.want) {
			s.Errorf("List(%q, after %q, delimiter %q) = %q, want %q", c.prefix, c.after, c.delimiter, got, c.want)
		}
	}
	for _, err := range s.b.List(s.ctx, "", storage.ListOpt{Delimiter: "-"}) {
		if err == nil {
			s.Error(`delimiter "-": no error`)
		}
	}
}

// listOracle compares random listings with a sorted slice.
func (s *suite) listOracle() {
	rng := rand.New(rand.NewPCG(1, 2))
	letters := []string{"a", "b", "-", ".", "0", "é"}
	word := func() string {
		var w strings.Builder
		for range 1 + rng.IntN(3) {
			w.WriteString(letters[rng.IntN(len(letters))])
		}
		if w.String() == "." || w.String() == ".." {
			return "x"
		}
		return w.String()
	}
	set := map[string]bool{}
	for range 60 {
		key := word() + "/" + word() + "/" + word() // one depth, so that no key is another's folder
		set[key] = true
		s.put(key, "x")
	}
	keys := make([]string, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for range 60 {
		var prefix, after string
		if k := keys[rng.IntN(len(keys))]; rng.IntN(3) > 0 {
			prefix = strings.ToValidUTF8(k[:rng.IntN(len(k))], "")
		}
		if k := keys[rng.IntN(len(keys))]; rng.IntN(2) > 0 {
			after = strings.ToValidUTF8(k[:1+rng.IntN(len(k))], "")
		}
		delimiter := []string{"", "/"}[rng.IntN(2)]
		var want []string
		for _, k := range keys {
			if !strings.HasPrefix(k, prefix) {
				continue
			}
			if i := strings.IndexByte(k[len(prefix):], '/'); i >= 0 && delimiter != "" {
				k = k[:len(prefix)+i+1]
			}
			if k > after && (len(want) == 0 || want[len(want)-1] != k) {
				want = append(want, k)
			}
		}
		if got := s.list(prefix, storage.ListOpt{After: after, Delimiter: delimiter}); !slices.Equal(got, want) {
			s.Fatalf("List(%q, after %q, delimiter %q)\n got %q\nwant %q", prefix, after, delimiter, got, want)
		}
	}
}

// listStops leaves a listing early.
func (s *suite) listStops() {
	for i := range 5 {
		s.put(fmt.Sprintf("s/%d/x", i), "x")
	}
	for _, delimiter := range []string{"", "/"} {
		n := 0
		for range s.b.List(s.ctx, "s/", storage.ListOpt{Delimiter: delimiter}) {
			if n++; n == 2 {
				break
			}
		}
		if n != 2 {
			s.Errorf("saw %d entries", n)
		}
	}
}

func (s *suite) delete() {
	for _, k := range []string{"d/a/x", "d/a/y", "d/b", "e"} {
		s.put(k, k)
	}
	for _, k := range []string{"d/a/x", "d/a/x", "nothing", "d", "d/a", "d/b/c"} { // twice, absent, folders, below an object
		if err := s.b.Delete(s.ctx, k); err != nil {
			s.Errorf("Delete(%q): %v", k, err)
		}
	}
	if got := s.list("", storage.ListOpt{}); !slices.Equal(got, []string{"d/a/y", "d/b", "e"}) {
		s.Fatalf("left: %q", got)
	}
	if err := s.b.Delete(s.ctx, "d/a/y"); err != nil {
		s.Fatal(err)
	}
	if got := s.list("d/", storage.ListOpt{Delimiter: "/"}); !slices.Equal(got, []string{"d/b"}) {
		s.Fatalf("left: %q", got)
	}
	s.put("d/a/y", "again")
}

func (s *suite) oddKeys() {
	keys := []string{
		"with space/and space.txt", "plus+plus", "100%/a%2Fb", "ü/日本/🙂", "dt=2026-08-21/hour=03/part-0.parquet",
		"a&b=c?d#e", "semi;colon,comma", "quote'\"quote", "~tilde/(paren)[bracket]{brace}", "back\\slash", "<xml>&amp;",
		"...", "a/..b/c..", "star*", "colon:colon", "at@at", "UPPER/lower", strings.Repeat("long/", 180) + "end",
	}
	slices.Sort(keys)
	for i, k := range keys {
		info := s.put(k, fmt.Sprint(i))
		if got, again := s.get(k, storage.Range{}); got != fmt.Sprint(i) || again.ETag != info.ETag {
			s.Errorf("%q holds %q", k, got)
		}
		if _, err := s.b.Head(s.ctx, k); err != nil {
			s.Error(err)
		}
	}
	if got := s.list("", storage.ListOpt{}); !slices.Equal(got, keys) {
		s.Fatalf("listed\n%q, want\n%q", got, keys)
	}
	for _, k := range keys {
		if got := s.list(k, storage.ListOpt{}); !slices.Equal(got, []string{k}) {
			s.Errorf("prefix %q lists %q", k, got)
		}
		if err := s.b.Delete(s.ctx, k); err != nil {
			s.Error(err)
		}
	}
	if got := s.list("", storage.ListOpt{}); got != nil {
		s.Fatalf("left: %q", got)
	}
}

func (s *suite) invalidKeys() {
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a/..", "\x00", "a\nb", "\xff", ".rapport", ".rapport/lock",
		strings.Repeat("x", 1001),
	} {
		if _, err := s.b.Put(s.ctx, key, storage.Bytes(nil), storage.Cond{}); err == nil {
			s.Errorf("Put(%q): no error", key)
		}
		if _, _, err := s.b.Get(s.ctx, key, storage.Range{}); err == nil || errors.Is(err, storage.ErrNotFound) {
			s.Errorf("Get(%q): %v", key, err)
		}
		if _, err := s.b.Head(s.ctx, key); err == nil || errors.Is(err, storage.ErrNotFound) {
			s.Errorf("Head(%q): %v", key, err)
		}
		if err := s.b.Delete(s.ctx, key); err == nil {
			s.Errorf("Delete(%q): no error", key)
		}
	}
	for _, prefix := range []string{"/", "../", "a/../", "a//", ".rapport/"} {
		for _, err := range s.b.List(s.ctx, prefix, storage.ListOpt{}) {
			if err == nil {
				s.Errorf("List(%q): no error", prefix)
			}
		}
	}
	if got := s.list("", storage.ListOpt{}); got != nil {
		s.Errorf("listed %q", got)
	}
}

func (s *suite) cancelled() {
	s.put("k", "x")
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	_, _, err := s.b.Get(ctx, "k", storage.Range{})
	s.want(err, context.Canceled, "k")
	_, err = s.b.Head(ctx, "k")
	s.want(err, context.Canceled, "k")
	_, err = s.b.Put(ctx, "k", storage.Bytes([]byte("y")), storage.Cond{})
	s.want(err, context.Canceled, "k")
	s.want(s.b.Delete(ctx, "k"), context.Canceled, "k")
	n := 0
	for _, err := range s.b.List(ctx, "k", storage.ListOpt{}) {
		s.want(err, context.Canceled, "k")
		n++
	}
	if n != 1 {
		s.Errorf("a cancelled listing yielded %d times, want one error", n)
	}
	if got, _ := s.get("k", storage.Range{}); got != "x" {
		s.Errorf("read %q", got)
	}
}

func (s *suite) probe() {
	if err := storage.Probe(s.ctx, s.b); err != nil {
		s.Fatal(err)
	}
	if got := s.list("", storage.ListOpt{}); got != nil {
		s.Errorf("left behind: %q", got)
	}
}

// versions checks the optional power: everything that ListVersions yields can be removed, and then nothing is left.
func (s *suite) versions() {
	v, ok := s.b.(storage.Versions)
	if !ok {
		return // an optional power
	}
	kept, err := v.Versioned(s.ctx)
	if err != nil {
		s.Fatal(err)
	}
	s.put("v/a", "one")
	s.put("v/a", "two")
	s.put("v/b", "three")
	if err := s.b.Delete(s.ctx, "v/b"); err != nil {
		s.Fatal(err)
	}
	s.put("w", "other")
	all := s.allVersions(v, "v/")
	bodies := 0
	for _, i := range all {
		if i.ETag != "" {
			bodies++
		}
	}
	if want := map[bool]int{true: 3, false: 1}[kept]; bodies != want {
		s.Errorf("versions kept: %t; %d bodies in %+v, want %d", kept, bodies, all, want)
	}
	if n, left, err := v.AbortUploads(s.ctx, "v/", time.Now().Add(time.Hour)); err != nil || n+left != 0 {
		s.Errorf("AbortUploads = %d, %d, %v; nothing was unfinished", n, left, err)
	}
	for _, i := range all {
		if err := v.DeleteVersion(s.ctx, i.Key, i.Version); err != nil {
			s.Error(err)
		}
	}
	if left := s.allVersions(v, "v/"); len(left) != 0 {
		s.Errorf("left: %+v", left)
	}
	if got := s.list("", storage.ListOpt{}); !slices.Equal(got, []string{"w"}) {
		s.Errorf("left: %q", got)
	}
}

func (s *suite) allVersions(v storage.Versions, prefix string) []storage.Info {
	s.Helper()
	var out []storage.Info
	for info, err := range v.ListVersions(s.ctx, prefix) {
		if err != nil {
			s.Fatal(err)
		}
		out = append(out, info)
	}
	return out
}
