package event

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
	"github.com/rapport-ml/rapport/storage/table"
)

func TestRewriteWithoutAgainstOracle(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, 200)
	putEvents(t, w.lake, "events/dt=2024-03-02/a.parquet", genEvents(rand.New(rand.NewPCG(9, 9)), 1, 4000, 200))
	m, _ := w.ingest(t, shop(w.lake), oneDay(1), 1, nil)
	before := readRows(t, w.out, m)

	s, _ := w.ids.Find(person(5))
	absent, _ := w.ids.Find(person(0)) // refused: has no rows
	rec := storagetest.NewRecording(w.out)
	next, removed, err := RewriteWithout(ctx, rec, m, "erasure/1", ColSubject, OfSubjects(ColSubject, map[policy.Subject]bool{s: true, absent: true}))
	if err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(slices.Clone(before), func(r string) bool { return strings.HasPrefix(r, fmt.Sprintf("subject=%d ", int64(s))) })
	if got := readRows(t, w.out, next); !slices.Equal(got, want) || removed != int64(len(before)-len(want)) || removed == 0 || next.Rows != int64(len(want)) {
		t.Fatalf("%d rows left and %d removed, want %d and %d", len(got), removed, len(want), len(before)-len(want))
	}
	if n := rec.Count(storagetest.Put); n != 1 {
		t.Errorf("%d parts were written for a subject in one shard", n)
	}
	old := m
	old.Sum = "" // of an older program: all shards are read for the digest
	if same, _, err := RewriteWithout(ctx, w.out, old, "erasure/1", ColSubject, OfSubjects(ColSubject, map[policy.Subject]bool{s: true})); err != nil || same.Digest != next.Digest || same.Sum != next.Sum || !slices.Equal(same.Parts, next.Parts) {
		t.Errorf("by the manifest of an older program: %+v, %v; want %+v", same, err, next)
	}
	shared := 0
	for _, p := range next.Parts {
		if slices.Contains(m.Parts, p) {
			if p.Shard != table.ShardOf(uint64(s), m.Shards) && len(rec.Gets(p.Object)) > 0 && p.Shard != table.ShardOf(uint64(absent), m.Shards) {
				t.Errorf("%s is read, which holds nobody that goes", p.Object)
			}
			shared++
		}
	}
	if shared != len(m.Parts)-1 || len(next.Parts) != len(m.Parts) {
		t.Errorf("%d of %d parts are as before", shared, len(m.Parts))
	}
	// The digest is the one that the remaining rows would have had from the start.
	d := table.NewDigester(m.Schema)
	for b, err := range table.Read(ctx, w.out, next, table.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Add(b); err != nil {
			t.Fatal(err)
		}
	}
	if d.Sum() != next.Digest || next.Digest == m.Digest {
		t.Errorf("digest %s, want %s", next.Digest, d.Sum())
	}

	rec.Reset()
	if same, n, err := RewriteWithout(ctx, rec, next, "erasure/1", ColSubject, OfSubjects(ColSubject, map[policy.Subject]bool{s: true, absent: true})); err != nil || n != 0 || same.Digest != next.Digest || rec.Count(storagetest.Put) != 0 {
		t.Errorf("again: %d rows removed, %v", n, err)
	}
	all := map[policy.Subject]bool{}
	for n := range w.ids.OnlineKeys() {
		all[n] = true
	}
	if empty, n, err := RewriteWithout(ctx, w.out, next, "erasure/2", ColSubject, OfSubjects(ColSubject, all)); err != nil || n != next.Rows || empty.Rows != 0 || len(empty.Parts) != 0 {
		t.Errorf("without anybody: %+v, %d, %v", empty, n, err)
	}
	if _, _, err := RewriteWithout(ctx, w.out, m, "x", ColItem, OfSubjects(ColItem, all)); err == nil || !strings.Contains(err.Error(), `"item"`) {
		t.Errorf("by a column of text: %v", err)
	}
}

// traces returns the objects in which one of the needles stands, however it is wrapped.
func traces(t testing.TB, b storage.Bucket, needles ...[]byte) (found []string) {
	t.Helper()
	var all storagetest.Traces
	for _, n := range needles {
		if err := all.Add("needle", n); err != nil {
			t.Fatal(err)
		}
	}
	for key, text := range objectTexts(t, b, "") {
		if err := all.Scan(key, []byte(text), func(string, string) { found = append(found, key) }); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// pseudonyms are the forms in which a subject may stand in an object.
func pseudonyms(s policy.Subject, online string) [][]byte {
	onlineBytes, _ := hex.DecodeString(online)
	return [][]byte{
		[]byte(s.String()), binary.LittleEndian.AppendUint64(nil, uint64(s)), binary.BigEndian.AppendUint64(nil, uint64(s)), []byte(online), onlineBytes,
	}
}

func TestNoIdentifierCrossesTheBoundaryAndErasureLeavesNoTrace(t *testing.T) {
	ctx := context.Background()
	lake, out := storage.NewMemory(nil), storage.NewMemory(nil)
	k := testKeys(t, "k1")
	const people = 60
	events := genEvents(rand.New(rand.NewPCG(11, 11)), 1, 3000, people)
	putEvents(t, lake, "events/dt=2024-03-02/a.parquet", events)
	var consent []rawConsent
	for i := range people {
		consent = append(consent, rawConsent{
			person(i), "recommend", "ConsentGiven", dayAt(-5).UnixMicro(), dayAt(-5).UnixMicro(), nil, "form of " + person(i), "record of " + person(i),
		})
	}
	putParquet(t, lake, "consent/a.parquet", consent)
	run := func(j *Journal, prefix string) (ids *Identities, m, snapshot table.Manifest, facts IngestFacts) {
		t.Helper()
		ids = openIdentities(t, out, k)
		sup, err := j.Suppressions(ids)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ReadConsent(ctx, DataSet{Bucket: lake, Path: "consent/*.parquet"}, ids, sup)
		if err != nil {
			t.Fatal(err)
		}
		erasures, _ := j.Pending()
		if snapshot, err = c.Records.Store(ctx, out, prefix+"/consent"); err != nil {
			t.Fatal(err)
		}
		w := &world{lake: lake, out: out, keys: k, ids: ids, decisions: policy.Decide(recommend, dayAt(5), slices.Collect(c.Records.All()), erasures)}
		m, facts = w.ingest(t, shop(lake), oneDay(1), 2, sup)
		flush(t, ids)
		return ids, m, snapshot, facts
	}

	j := openJournal(t, out)
	ids, m, snapshot, _ := run(j, "run-1")
	// Invariant 7. The scan is only worth something if it finds what is there: in the lake it must.
	raw := [][]byte{[]byte("person-"), []byte("canary.invalid"), []byte("PERSON-")}
	if got := traces(t, lake, raw...); len(got) != 2 {
		t.Fatalf("the scan finds raw ids in %q of the lake, want both files", got)
	}
	if got := traces(t, out, raw...); len(got) != 0 {
		t.Errorf("raw ids in %q", got)
	}

	// Invariant 10, as far as this package goes: erase person 7.
	s, _ := ids.Find(person(7))
	forms := pseudonyms(s, ids.OnlineKeys()[s])
	if got := traces(t, out, forms...); len(got) != 3 { // one shard each of identities, consent, events
		t.Fatalf("before the erasure the scan finds the subject in %q, want three objects", got)
	}
	e, err := j.Erase(ctx, k, ids, []string{person(7)}, dayAt(4), "e1")
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []struct {
		m      table.Manifest
		column string
	}{{m, ColSubject}, {snapshot, "subject"}} {
		next, removed, err := RewriteWithout(ctx, out, old.m, "erasure/1", old.column, OfSubjects(old.column, map[policy.Subject]bool{s: true}))
		if err != nil || removed == 0 {
			t.Fatal(removed, err)
		}
		for _, p := range old.m.Parts {
			if !slices.Contains(next.Parts, p) {
				if err := out.Delete(ctx, p.Object); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := ids.Delete(ctx, s); err != nil {
		t.Fatal(err)
	}
	if err := j.Finish(ctx, e.Seq, dayAt(5)); err != nil {
		t.Fatal(err)
	}
	if got := traces(t, out, append(forms, raw...)...); len(got) != 0 {
		t.Errorf("after the erasure the subject stands in %q", got)
	}

	// The sources still name the subject. A run that reads them again keeps it out, and counts it.
	_, _, _, facts := run(openJournal(t, out), "run-2")
	if got := traces(t, out, append(forms, raw...)...); len(got) != 0 {
		t.Errorf("a run after the erasure brings the subject back into %q", got)
	}
	var want int64
	for _, e := range events {
		if e.User == person(7) && e.SKU != "" && e.TS != 0 {
			want++
		}
	}
	if got := facts.Funnel[policy.Erased]; got != want || want == 0 {
		t.Errorf("%d rows counted as erased, want %d", got, want)
	}
}

func decodedShard(shard int, data []byte) (map[policy.Subject]wireIdentity, error) {
	read, err := openShard(shard, data)
	return read.wire(), err
}

func FuzzDecodeShard(f *testing.F) {
	rows := map[policy.Subject]wireIdentity{5<<58 + 1: {key: "k1", mac: mac{1}}, 5<<58 + 9: {key: "k2", online: mac{2}}}
	good, err := encodeShard(rows)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[:len(good)-32])
	f.Add([]byte("RPID"))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := decodedShard(5, sealed(slices.Clip(body))) // a right checksum, so that the fuzzer gets past it
		if err != nil {
			return
		}
		again, err := encodeShard(got)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodedShard(5, again); err != nil || len(back) != len(got) {
			t.Fatalf("%d rows were written and %d read: %v", len(got), len(back), err)
		}
	})
}
