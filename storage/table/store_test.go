package table

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

func commitOf(key, nonce string) *Commit {
	return &Commit{Key: key, Step: "ingest", Nonce: nonce, At: time.Date(2017, 1, 6, 0, 0, 0, 0, time.UTC), Facts: json.RawMessage(`{"kept":3}`)}
}

func TestCommitLookup(t *testing.T) {
	ctx := context.Background()
	mem := storage.NewMemory(nil)
	s := Store{mem}
	b := randomBatch(rand.New(rand.NewPCG(1, 1)), 20)
	m := write(t, mem, WriteOptions{Shards: 2, ShardBy: "subject", SortBy: []string{"at"}}, b)
	iv := Interval{time.Date(2017, 1, 5, 0, 0, 0, 0, time.UTC), time.Date(2017, 1, 6, 0, 0, 0, 0, time.UTC)}
	c := commitOf("ingest/2017-01-05/00ff", "n1")
	c.Interval, c.Outputs = &iv, map[string]Manifest{"events": m}

	if done, err := s.Done(ctx, c.Key); done || err != nil {
		t.Fatalf("done before: %v, %v", done, err)
	}
	if _, _, err := s.Lookup(ctx, c.Key); !errors.Is(err, storage.ErrNotFound) {
		t.Fatalf("looked up before: %v", err)
	}
	if won, err := s.Commit(ctx, c); !won || err != nil {
		t.Fatalf("commit: %v, %v", won, err)
	}
	if done, err := s.Done(ctx, c.Key); !done || err != nil {
		t.Fatalf("done after: %v, %v", done, err)
	}
	got, info, err := s.Lookup(ctx, c.Key)
	if err != nil || info.Key != "done/ingest/2017-01-05/00ff" {
		t.Fatalf("looked up %s: %v", info.Key, err)
	}
	want, _ := json.Marshal(c)
	have, _ := json.Marshal(got)
	if string(have) != string(want) || !strings.Contains(string(want), `"type":"time"`) || !strings.Contains(string(want), `"facts":{"kept":3}`) {
		t.Errorf("read back\n%s, wrote\n%s", have, want)
	}
	resolved, changed, err := s.Resolve(ctx, Ref{c.Key, "events", m.Digest})
	if err != nil || changed || resolved.Digest != m.Digest {
		t.Errorf("resolve: %v, %v", changed, err)
	}
	if _, _, err := s.Resolve(ctx, Ref{c.Key, "views", m.Digest}); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("resolve another output: %v", err)
	}
	if _, _, err := s.Resolve(ctx, Ref{"ingest/none", "events", m.Digest}); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("resolve another step: %v", err)
	}
}

// TestCommitRace: of 16 writers one wins, and all can read it.
func TestCommitRace(t *testing.T) {
	ctx := context.Background()
	s := Store{storage.NewMemory(nil)}
	won := make([]bool, 16)
	var wg sync.WaitGroup
	for i := range won {
		wg.Go(func() {
			var err error
			if won[i], err = s.Commit(ctx, commitOf("k", fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	c, _, err := s.Lookup(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range won {
		if w != (c.Nonce == fmt.Sprint(i)) {
			t.Errorf("writer %d won: %v; the commit is of writer %s", i, w, c.Nonce)
		}
	}
}

// TestCommitLostResponse: the object is written, the answer is that it was there already.
func TestCommitLostResponse(t *testing.T) {
	ctx := context.Background()
	put := func(c storagetest.Call) bool { return c.Op == storagetest.Put }
	for _, answer := range []error{storage.ErrPrecondition, storage.ErrUnreachable} {
		mem := storage.NewMemory(nil)
		s := Store{storagetest.NewFaulty(mem, storagetest.Fault{Match: put, Nth: 1, Do: storagetest.LostResponse, Err: answer})}
		c := commitOf("k", "")
		if won, err := s.Commit(ctx, c); !won || err != nil {
			t.Errorf("%v: %v, %v", answer, won, err)
		}
		if won, err := s.Commit(ctx, c); !won || err != nil || c.Nonce == "" {
			t.Errorf("%v: committed again: %v, %v", answer, won, err)
		}
		if won, err := s.Commit(ctx, commitOf("k", "")); won || err != nil {
			t.Errorf("%v: another writer: %v, %v", answer, won, err)
		}
		_, old, err := s.Lookup(ctx, "k")
		if err != nil {
			t.Fatal(err)
		}
		s = Store{storagetest.NewFaulty(mem, storagetest.Fault{Match: put, Nth: 1, Do: storagetest.LostResponse, Err: answer})}
		next := commitOf("k", "")
		next.By = "erasure 12"
		if err := s.Supersede(ctx, "k", old, next); err != nil {
			t.Errorf("%v: supersede: %v", answer, err)
		}
	}
	full := Store{storagetest.NewFaulty(storage.NewMemory(nil), storagetest.Fault{Match: put, Err: storage.ErrFull})}
	if won, err := full.Commit(ctx, commitOf("k", "")); won || !errors.Is(err, storage.ErrFull) {
		t.Errorf("full disk: %v, %v", won, err)
	}
}

func TestSupersede(t *testing.T) {
	ctx := context.Background()
	mem := storage.NewMemory(nil)
	s := Store{mem}
	b := pickRows(randomBatch(rand.New(rand.NewPCG(1, 1)), 20), seq(20))
	first := commitOf("ingest/d", "")
	first.Outputs = map[string]Manifest{"events": write(t, mem, WriteOptions{}, b)}
	ref := Ref{first.Key, "events", first.Outputs["events"].Digest}
	if _, err := s.Commit(ctx, first); err != nil {
		t.Fatal(err)
	}
	_, old, err := s.Lookup(ctx, first.Key)
	if err != nil {
		t.Fatal(err)
	}
	next := commitOf(first.Key, "")
	next.Supersedes, next.Outputs = []Digest{ref.Digest}, map[string]Manifest{"events": write(t, mem, WriteOptions{}, pickRows(b, seq(19)))}
	if err := s.Supersede(ctx, first.Key, old, next); err == nil || !strings.Contains(err.Error(), "by whom") {
		t.Errorf("superseded by nobody: %v", err)
	}
	next.By = "erasure 12"
	if err := s.Supersede(ctx, first.Key, storage.Info{}, next); err == nil {
		t.Error("superseded without an ETag")
	}
	if err := s.Supersede(ctx, first.Key, old, next); err != nil {
		t.Fatal(err)
	}
	m, changed, err := s.Resolve(ctx, ref)
	if err != nil || !changed || m.Rows != 19 {
		t.Errorf("resolve: %d rows, changed %v, %v", m.Rows, changed, err)
	}
	late := commitOf(first.Key, "")
	late.By = "purge 3"
	if err := s.Supersede(ctx, first.Key, old, late); !errors.Is(err, storage.ErrPrecondition) {
		t.Errorf("superseded what was not there any more: %v", err)
	}
	if won, err := s.Commit(ctx, commitOf(first.Key, "")); won || err != nil {
		t.Errorf("a key was reopened: %v, %v", won, err)
	}
}

func TestCommitRefuses(t *testing.T) {
	ctx := context.Background()
	s := Store{storage.NewMemory(nil)}
	for _, key := range []string{"", "/a", "a/", "a//b", "a/../b", ".", "a b", "a\n", "ä", "a%2f", strings.Repeat("k", 513)} {
		if _, err := s.Commit(ctx, commitOf(key, "")); err == nil {
			t.Errorf("key %q was taken", key)
		}
		if _, err := s.Done(ctx, key); err == nil {
			t.Errorf("key %q was asked for", key)
		}
	}
	bad := commitOf("k", "")
	bad.Outputs = map[string]Manifest{"events": {Schema: testSchema, Shards: 3}}
	if _, err := s.Commit(ctx, bad); err == nil {
		t.Error("a senseless manifest was committed")
	}
	bad = commitOf("k", "")
	bad.Facts = json.RawMessage("not json")
	if _, err := s.Commit(ctx, bad); err == nil {
		t.Error("facts that are no JSON were committed")
	}
}

func TestLookupRefuses(t *testing.T) {
	ctx := context.Background()
	mem := storage.NewMemory(nil)
	s := Store{mem}
	for want, body := range map[string]string{
		"made by a newer rapport": `{"format":3,"key":"k","whatever":{}}`,
		"not the JSON":            `{"format":1,`,
		"commit format 0":         `{"key":"k"}`,
		"is the commit of step":   `{"format":1,"key":"other"}`,
		"power of two":            `{"format":1,"key":"k","outputs":{"t":{"schema":[{"name":"a","type":"int64"}],"shards":3}}}`,
		"unknown column type":     `{"format":1,"key":"k","outputs":{"t":{"schema":[{"name":"a","type":"tensor"}],"shards":1}}}`,
	} {
		put(t, mem, "done/k", []byte(body))
		if _, _, err := s.Lookup(ctx, "k"); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "done/k") {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

// TestListCommits lists in key order, whatever order the reads end in, and stops at once when the consumer does.
func TestListCommits(t *testing.T) {
	ctx := context.Background()
	mem := storagetest.NewRecording(storage.NewMemory(nil))
	s := Store{mem}
	var want []string
	for i := range 40 {
		key := fmt.Sprintf("ingest/%02d", i)
		want = append(want, key)
		if _, err := s.Commit(ctx, commitOf(key, "")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Commit(ctx, commitOf("train/1", "")); err != nil {
		t.Fatal(err)
	}
	var got []string
	for c, err := range s.List(ctx, "ingest/") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, c.Key)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("listed %v", got)
	}
	mem.Reset()
	for c, err := range s.List(ctx, "") {
		if err != nil || c.Key != "ingest/00" {
			t.Fatalf("%v, %v", c, err)
		}
		break
	}
	if n := mem.Count(storagetest.Get); n > readAhead+2 {
		t.Errorf("%d objects were read for one", n)
	}
	get := func(c storagetest.Call) bool { return c.Op == storagetest.Get }
	broken := Store{storagetest.NewFaulty(mem, storagetest.Fault{Match: get, Nth: 5, Err: storage.ErrUnreachable})}
	n := 0
	var last error
	for _, err := range broken.List(ctx, "") {
		n, last = n+1, err
	}
	if !errors.Is(last, storage.ErrUnreachable) || n > 40 {
		t.Errorf("%d elements, then %v", n, last)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range s.List(ended, "") {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("a cancelled list: %v", last)
	}
}

func FuzzDecodeCommit(f *testing.F) {
	c := commitOf("k", "n")
	c.Outputs = map[string]Manifest{"t": {Schema: testSchema, Digest: NewDigester(testSchema).Sum(), Shards: 1}}
	body, err := encodeCommit("k", c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"format":2}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := decodeCommit(body)
		if err != nil {
			return
		}
		again, err := encodeCommit(c.Key, c)
		if err != nil {
			return // a key that no writer could have used
		}
		if _, err := decodeCommit(again); err != nil {
			t.Errorf("what was decoded and encoded does not decode: %v", err)
		}
	})
}

// TestCommitFormats: a commit with a column of bytes is of format 2, which programs that do not know such columns refuse by its number; every other is of
// format 1, which they read. Both are read here, as is a column of bytes in a commit of format 1, and nothing newer is.
func TestCommitFormats(t *testing.T) {
	ctx := t.Context()
	mem := storage.NewMemory(nil)
	s := Store{mem}
	for i, want := range map[int]int{0: 1, 1: 2} {
		schema := Schema{{Name: "a", Type: [...]Type{String, Bytes}[i]}}
		w := NewWriter(mem, fmt.Sprint("data/k/", i), schema, WriteOptions{})
		if err := w.Append(&Batch{Schema: schema, N: 1, Cols: []Column{{Str: []string{"x"}}}}); err != nil {
			t.Fatal(err)
		}
		m, err := w.Finish(ctx)
		if err != nil {
			t.Fatal(err)
		}
		c := commitOf(fmt.Sprint("k/", i), "")
		c.Outputs = map[string]Manifest{"t": m}
		if won, err := s.Commit(ctx, c); !won || err != nil {
			t.Fatal(won, err)
		}
		body, _, err := storage.ReadAll(ctx, mem, doneFolder+c.Key)
		if err != nil || !strings.Contains(string(body), fmt.Sprintf(`"format":%d,`, want)) {
			t.Errorf("%s: %s, %v", schema[0].Type, body, err)
		}
		got, info, err := s.Lookup(ctx, c.Key)
		if err != nil || got.Format != want {
			t.Fatalf("%+v, %v", got, err)
		}
		if _, err := decodeCommit([]byte(strings.Replace(string(body), fmt.Sprintf(`"format":%d,`, want), `"format":1,`, 1))); err != nil {
			t.Errorf("as format 1: %v", err)
		}
		if _, err := decodeCommit([]byte(strings.Replace(string(body), fmt.Sprintf(`"format":%d,`, want), `"format":3,`, 1))); err == nil || !strings.Contains(err.Error(), "newer rapport") {
			t.Errorf("as format 3: %v", err)
		}
		next := *got
		next.Outputs, next.By, next.Nonce = nil, "retirement", "another"
		if err := s.Supersede(ctx, c.Key, info, &next); err != nil || next.Format != 1 {
			t.Errorf("without the column it is of format %d, %v", next.Format, err)
		}
	}
}
