package storage_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// noDeadline is the context of child processes.
func noDeadline() context.Context { return context.Background() }

func isOp(op storagetest.Op) func(storagetest.Call) bool {
	return func(c storagetest.Call) bool { return c.Op == op }
}

func TestCommit(t *testing.T) {
	lost := storagetest.Fault{Match: isOp(storagetest.Put), Nth: 1, Do: storagetest.LostResponse, Err: storage.ErrUnreachable}
	unread := storagetest.Fault{Match: isOp(storagetest.Get), Err: errors.New("cannot read")}
	for _, c := range []struct {
		name   string
		before string // what stands there; "" is nothing
		cond   storage.Cond
		faults []storagetest.Fault
		want   error
		after  string
	}{
		{name: "plain", after: "mine"},
		{name: "overwrite", before: "theirs", after: "mine"},
		{name: "create", cond: storage.Cond{IfAbsent: true}, after: "mine"},
		{name: "create, too late", before: "theirs", cond: storage.Cond{IfAbsent: true}, want: storage.ErrPrecondition, after: "theirs"},
		{name: "create, my own", before: "mine", cond: storage.Cond{IfAbsent: true}, after: "mine"},
		{name: "create, lost response", cond: storage.Cond{IfAbsent: true}, faults: []storagetest.Fault{lost}, after: "mine"},
		{name: "lost response, unreadable", faults: []storagetest.Fault{lost, unread}, want: storage.ErrUnreachable, after: "mine"},
		{name: "stale", before: "theirs", cond: storage.Cond{IfMatch: "old"}, want: storage.ErrPrecondition, after: "theirs"},
		{name: "stale, my own", before: "mine", cond: storage.Cond{IfMatch: "old"}, after: "mine"},
		{name: "if-match on nothing", cond: storage.Cond{IfMatch: "old"}, want: storage.ErrPrecondition},
		{name: "full", faults: []storagetest.Fault{{Match: isOp(storagetest.Put), Err: storage.ErrFull}}, want: storage.ErrFull},
		{name: "failed, theirs", before: "theirs", faults: []storagetest.Fault{{Match: isOp(storagetest.Put)}}, want: storagetest.ErrInjected, after: "theirs"},
		{
			name: "lost response to another's success", before: "theirs", cond: storage.Cond{IfAbsent: true},
			faults: []storagetest.Fault{{Match: isOp(storagetest.Put), Err: storage.ErrUnreachable}}, want: storage.ErrUnreachable, after: "theirs",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := storage.NewMemory(nil)
			if c.before != "" {
				mustPut(t, m, "p", c.before)
			}
			info, err := storage.Commit(t.Context(), storagetest.NewFaulty(m, c.faults...), "p", []byte("mine"), c.cond)
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			body, now, rerr := storage.ReadAll(t.Context(), m, "p")
			if c.after == "" {
				if !errors.Is(rerr, storage.ErrNotFound) {
					t.Errorf("left %q, %v", body, rerr)
				}
			} else if string(body) != c.after {
				t.Errorf("left %q, want %q", body, c.after)
			}
			if err == nil && info != now {
				t.Errorf("Commit says %+v, the bucket %+v", info, now)
			}
		})
	}
	if _, err := storage.Commit(t.Context(), storage.NewMemory(nil), "p", make([]byte, storage.MaxCommit+1), storage.Cond{}); err == nil {
		t.Error("a big commit: no error")
	}
}

func TestReadAllFaults(t *testing.T) {
	m := storage.NewMemory(nil)
	mustPut(t, m, "k", "0123456789")
	cut := errors.New("cut off")
	for name, b := range map[string]storage.Bucket{
		"truncated with an error": storagetest.NewFaulty(m, storagetest.Fault{Do: storagetest.Truncate, Err: cut}),
		"truncated in silence":    storagetest.NewFaulty(m, storagetest.Fault{Do: storagetest.Truncate, Err: io.EOF}),
		"too big":                 sized{m, storage.MaxRead + 1},
		"longer than it said":     sized{m, 9},
	} {
		if body, _, err := storage.ReadAll(t.Context(), b, "k"); err == nil || !strings.Contains(err.Error(), `"k"`) {
			t.Errorf("%s: %q, %v", name, body, err)
		}
	}
}

// sized lies about the size of what it gets.
type sized struct {
	storage.Bucket
	size int64
}

func (s sized) Get(ctx context.Context, key string, r storage.Range) (io.ReadCloser, storage.Info, error) {
	rd, info, err := s.Bucket.Get(ctx, key, r)
	info.Size = s.size
	return rd, info, err
}

// ignoring is a bucket that ignores one condition.
type ignoring struct {
	storage.Bucket
	create, match bool
}

func (i ignoring) Put(ctx context.Context, key string, b storage.Body, c storage.Cond) (storage.Info, error) {
	if i.create {
		c.IfAbsent = false
	}
	if i.match {
		c.IfMatch = ""
	}
	return i.Bucket.Put(ctx, key, b, c)
}

func TestProbe(t *testing.T) {
	for _, c := range []struct {
		create, match bool
		want          string
	}{{false, false, ""}, {true, false, "create-only"}, {false, true, "if-match"}, {true, true, "create-only"}} {
		m := storage.NewMemory(nil)
		err := storage.Probe(t.Context(), ignoring{m, c.create, c.match})
		if (c.want == "") != (err == nil) || err != nil && (!errors.Is(err, storage.ErrUnconditional) || !strings.Contains(err.Error(), c.want+" (If-")) {
			t.Errorf("ignoring create-only %t, if-match %t: %v", c.create, c.match, err)
		}
		if left := keys(t, m, ""); left != nil {
			t.Errorf("left behind: %q", left)
		}
	}
	b := storagetest.NewFaulty(storage.NewMemory(nil), storagetest.Fault{Match: isOp(storagetest.Put), Err: storage.ErrFull})
	if err := storage.Probe(t.Context(), b); !errors.Is(err, storage.ErrFull) || errors.Is(err, storage.ErrUnconditional) {
		t.Errorf("a full store: %v", err)
	}
}

func globbed(t testing.TB, seq iter.Seq2[storage.Info, error]) []string {
	t.Helper()
	var out []string
	for info, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, info.Key)
	}
	return out
}

func TestGlob(t *testing.T) {
	b := storagetest.NewRecording(storage.NewMemory(nil))
	for _, key := range []string{
		"events/dt=2026-08-20/a.parquet", "events/dt=2026-08-21/a.parquet", "events/dt=2026-08-21/b.parquet",
		"events/dt=2026-08-21/.b.parquet.crc", "events/dt=2026-08-21/._b.parquet", "events/dt=2026-08-21/deep/c.parquet",
		"events/_SUCCESS", "events.parquet", "items.parquet", "odd/{x/y",
	} {
		mustPut(t, b, key, "x")
	}
	for _, c := range []struct {
		pattern, listed string // listed: the prefix asked of the bucket; "-" is none
		want            []string
	}{
		{"events/dt={date}/*.parquet", "events/dt=", []string{"events/dt=2026-08-20/a.parquet", "events/dt=2026-08-21/a.parquet", "events/dt=2026-08-21/b.parquet"}},
		{"events/dt=2026-08-21/*.parquet", "events/dt=2026-08-21/", []string{"events/dt=2026-08-21/a.parquet", "events/dt=2026-08-21/b.parquet"}},
		{"events/*/*", "events/", []string{"events/dt=2026-08-20/a.parquet", "events/dt=2026-08-21/a.parquet", "events/dt=2026-08-21/b.parquet"}},
		{"events/**", "events/", []string{"events/_SUCCESS", "events/dt=2026-08-20/a.parquet", "events/dt=2026-08-21/a.parquet", "events/dt=2026-08-21/b.parquet", "events/dt=2026-08-21/deep/c.parquet"}},
		{"**/c.parquet", "", []string{"events/dt=2026-08-21/deep/c.parquet"}},
		{"**/items.parquet", "", []string{"items.parquet"}},
		{"*.parquet", "", []string{"events.parquet", "items.parquet"}},
		{"events/dt=2026-08-21/.*.crc", "events/dt=2026-08-21/.", []string{"events/dt=2026-08-21/.b.parquet.crc"}},
		{"e*s.parquet", "e", []string{"events.parquet"}},
		{"items.parquet", "-", []string{"items.parquet"}},
		{"nothing.parquet", "-", nil},
		{"odd/{x/*", "odd/{x/", []string{"odd/{x/y"}},
		{"events/dt=2026-08-2*/b*t", "events/dt=2026-08-2", []string{"events/dt=2026-08-21/b.parquet"}},
	} {
		b.Reset()
		if got := globbed(t, storage.Glob(t.Context(), b, c.pattern)); !slices.Equal(got, c.want) {
			t.Errorf("Glob(%q) = %q, want %q", c.pattern, got, c.want)
		}
		calls := b.Calls()
		if len(calls) != 1 || c.listed == "-" && calls[0].Op != storagetest.Head || c.listed != "-" && (calls[0].Op != storagetest.List || calls[0].Key != c.listed) {
			t.Errorf("Glob(%q) asked %+v, want a listing of %q", c.pattern, calls, c.listed)
		}
	}
	f := storagetest.NewFaulty(b, storagetest.Fault{})
	for _, pattern := range []string{"a", "a*"} {
		for _, err := range storage.Glob(t.Context(), f, pattern) {
			if !errors.Is(err, storagetest.ErrInjected) {
				t.Errorf("Glob(%q) on a broken bucket: %v", pattern, err)
			}
		}
	}
}

// FuzzGlob compares the matcher with a naive one.
func FuzzGlob(f *testing.F) {
	for _, p := range []string{"a/*", "**", "a/**/b", "{x}b*/**/*", "*a*b*", ".*/{", "**/**/a", "{a/}b"} {
		f.Add(p, "a/b")
		f.Add(p, "xb/.a/aab")
	}
	f.Fuzz(func(t *testing.T, pattern, key string) {
		if !utf8.ValidString(pattern) || len(pattern) > 40 {
			return
		}
		m := storage.NewMemory(nil)
		if _, err := m.Put(t.Context(), key, storage.Bytes(nil), storage.Cond{}); err != nil {
			return // no key
		}
		got, failed := false, false
		for _, err := range storage.Glob(t.Context(), m, pattern) {
			got, failed = err == nil, err != nil
		}
		want := naiveGlob(strings.Split(pattern, "/"), strings.Split(key, "/"))
		if !wildcards.MatchString(pattern) {
			want = pattern == key
		}
		if !failed && got != want {
			t.Errorf("Glob(%q) on %q: %t, want %t", pattern, key, got, want)
		}
	})
}

var wildcards = regexp.MustCompile(`\*|\{[^/}]*\}`)

// naiveGlob says what Glob means, in exponential time.
func naiveGlob(pattern, key []string) bool {
	switch {
	case len(pattern) == 0:
		return len(key) == 0
	case pattern[0] == "**":
		return naiveGlob(pattern[1:], key) || len(key) > 0 && key[0][0] != '.' && naiveGlob(pattern, key[1:])
	case len(key) == 0:
		return false
	}
	var re strings.Builder
	last := 0
	for _, w := range wildcards.FindAllStringIndex(pattern[0], -1) {
		if w[0] == 0 && key[0][0] == '.' {
			return false
		}
		re.WriteString(regexp.QuoteMeta(pattern[0][last:w[0]]) + `.*`)
		last = w[1]
	}
	re.WriteString(regexp.QuoteMeta(pattern[0][last:]))
	return regexp.MustCompile(`^(?s:`+re.String()+`)$`).MatchString(key[0]) && naiveGlob(pattern[1:], key[1:])
}
