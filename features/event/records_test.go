package event

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// TestRecordsAgainstSlices: packed records are sorted, stored, read back and decided by as a slice of them is.
func TestRecordsAgainstSlices(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	now := time.Date(2026, 1, 21, 0, 0, 0, 0, time.UTC)
	at := func() time.Time { return now.Add(time.Duration(rng.IntN(9)-5) * 24 * time.Hour) }
	ids := []string{"", "00ab54a98ceb1f0a", "ffffffffffffffff", "00000001.json", "ABCDEFABCDEFABCD", "a", "\u00e9"}
	for round := range 80 {
		var want []policy.Record
		r := &Records{}
		for range rng.IntN(500) {
			x := policy.Record{
				Subject: policy.Subject(rng.Uint64N(12)<<60*uint64(rng.IntN(2)) | uint64(rng.IntN(4))), Purpose: []string{"b", "a"}[rng.IntN(2)],
				State: policy.States[rng.IntN(len(policy.States))], Effective: at(), Recorded: at(), ID: ids[rng.IntN(len(ids))],
			}
			x.Source = fmt.Sprint("of ", x.ID) // equal records have one source here
			if rng.IntN(2) == 0 {
				x.Expires = at()
			}
			for range 1 + rng.IntN(2) {
				if want = append(want, x); r.Add(x) != nil {
					t.Fatal("a record is refused")
				}
			}
		}
		all := len(want)
		slices.SortFunc(want, policy.Record.Compare)
		want = slices.CompactFunc(want, func(a, b policy.Record) bool { return a.Compare(b) == 0 })
		if again := r.Sort(); again != all-len(want) || r.Len() != len(want) || r.Sort() != 0 {
			t.Fatalf("round %d: %d of %d went and %d are left, want %d", round, again, all, r.Len(), len(want))
		}
		if got := slices.Collect(r.All()); !slices.Equal(got, want) {
			t.Fatalf("round %d: %+v\nwant %+v", round, got, want)
		}
		b := storage.NewMemory(nil)
		m, err := r.Store(t.Context(), b, "packed")
		if err != nil {
			t.Fatal(err)
		}
		other, err := StoreConsent(t.Context(), b, "packed", want)
		if err != nil {
			t.Fatal(err)
		}
		if m.Digest != other.Digest || m.Sum != other.Sum || m.Rows != other.Rows || !slices.Equal(m.Parts, other.Parts) {
			t.Fatalf("round %d: %+v\nwant %+v", round, m, other)
		}
		if back, err := LoadConsent(t.Context(), b, m); err != nil || !slices.Equal(back, want) {
			t.Fatalf("round %d: read back: %v: %+v\nwant %+v", round, err, back, want)
		}
		for _, p := range []policy.Purpose{{Name: "a", Basis: policy.Consent}, {Name: "b", Basis: policy.LegitimateInterest}} {
			got, err := r.Decide(nil, nil, now, nil, p)
			if err != nil {
				t.Fatal(err)
			}
			whole := table.Interval{Start: now.AddDate(0, 0, -10), End: now}
			if got[0].Digest(whole) != policy.Decide(p, now, want, nil).Digest(whole) {
				t.Fatalf("round %d: purpose %s is decided otherwise", round, p.Name)
			}
		}
	}
}

// TestRecordsOfOneKeepTheFirstSource: what differs in its source alone is one record, whichever came first.
func TestRecordsOfOneKeepTheFirstSource(t *testing.T) {
	for _, order := range [][]string{{"app", "web", "app"}, {"web", "app"}} {
		r := &Records{}
		for _, source := range order {
			if err := r.Add(policy.Record{Subject: 7, Purpose: "a", State: "never heard of", Source: source}); err != nil {
				t.Fatal(err)
			}
		}
		r.Sort()
		if got := slices.Collect(r.All()); len(got) != 1 || got[0].Source != "app" || got[0].State != policy.Unknown {
			t.Errorf("%v: %+v", order, got)
		}
	}
}

func TestRecordsOfTooManyPurposes(t *testing.T) {
	r := &Records{}
	for i := range 1 << 16 {
		if err := r.Add(policy.Record{Subject: 7, Purpose: fmt.Sprint("p", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if r.Add(policy.Record{Subject: 7, Purpose: "one-more"}) == nil {
		t.Error("a purpose is taken that has no number")
	}
}

// TestRecordsInMoreShards: where they are many, records are stored in more shards, and are what they are in few.
func TestRecordsInMoreShards(t *testing.T) {
	for n, want := range map[int]int{0: 8, 8 * recordsInShard: 8, 8*recordsInShard + 1: 16, 10_000_000: 64, 1 << 40: recordPiles} {
		if got := shardsOf(n); got != want {
			t.Errorf("%d records stand in %d shards, want %d", n, got, want)
		}
	}
	rng := rand.New(rand.NewPCG(8, 9))
	r, purpose := &Records{}, policy.Purpose{Name: "a", Basis: policy.Consent}
	now := time.Date(2026, 1, 21, 0, 0, 0, 0, time.UTC)
	for range 4 * recordPiles * pileBlock { // several blocks in a pile
		x := policy.Record{
			Subject: policy.Subject(rng.Uint64()), Purpose: "a", State: policy.States[rng.IntN(len(policy.States))],
			Effective: now.Add(-time.Duration(rng.IntN(1e6)) * time.Minute), Recorded: now,
		}
		if err := r.Add(x); err != nil {
			t.Fatal(err)
		}
	}
	r.Sort()
	r.Keep(func(x policy.Record) bool { return x.Subject%3 > 0 })
	all := slices.Collect(r.All())
	if len(all) != r.Len() || !slices.IsSortedFunc(all, policy.Record.Compare) || r.People() != len(all) {
		t.Fatalf("%d of %d records, of %d people, or they are in no order", len(all), r.Len(), r.People())
	}
	b := storage.NewMemory(nil)
	few, err := r.store(t.Context(), b, "few", snapshotShards)
	if err != nil {
		t.Fatal(err)
	}
	whole := table.Interval{Start: now.AddDate(-3, 0, 0), End: now}
	want, err := r.Decide(nil, nil, now, nil, purpose)
	if err != nil {
		t.Fatal(err)
	}
	for _, shards := range []int{32, recordPiles} {
		many, err := r.store(t.Context(), b, "many", shards)
		if err != nil {
			t.Fatal(err)
		}
		if many.Digest != few.Digest || many.Shards != shards || len(many.Parts) != shards || many.Rows != int64(len(all)) {
			t.Errorf("%d shards: %d rows in %d parts, digest %s, want %s", shards, many.Rows, len(many.Parts), many.Digest, few.Digest)
		}
		if back, err := LoadConsent(t.Context(), b, many); err != nil || !slices.Equal(back, all) {
			t.Errorf("%d shards read back: %v: other records", shards, err)
		}
		got, err := DecideConsent(t.Context(), b, many, nil, nil, now, nil, purpose)
		if err != nil || got[0].Digest(whole) != want[0].Digest(whole) {
			t.Errorf("%d shards decide otherwise: %v", shards, err)
		}
	}
}

// heapOf is how many bytes make leaves held.
func heapOf(make func() any) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	made := make()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(made)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

// TestManyAreHeldSmall: a record takes 48 bytes whatever room slices take when they grow, and a person's row what it takes in its object, though they were new.
func TestManyAreHeldSmall(t *testing.T) {
	const n = 300_000
	now := time.Date(2026, 1, 21, 0, 0, 0, 0, time.UTC)
	rng := rand.New(rand.NewPCG(3, 4))
	each := heapOf(func() any {
		r := &Records{}
		for range n {
			if err := r.Add(policy.Record{Subject: policy.Subject(rng.Uint64()), Purpose: "a", State: policy.ConsentGiven, Effective: now, Recorded: now}); err != nil {
				t.Fatal(err)
			}
		}
		r.Sort()
		return r
	}) / n
	if each > 66 { // the last block of each pile is half empty, which of many is little
		t.Errorf("a record takes %d bytes", each)
	}
	each = heapOf(func() any {
		ids := openIdentities(t, storage.NewMemory(nil), testKeys(t, "k1"))
		for i := range n {
			if _, err := ids.Number(fmt.Sprint("user-", i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := ids.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		ids.bucket = nil // what the bucket holds is not counted
		return ids
	}) / n
	if each > 60 {
		t.Errorf("a person takes %d bytes once flushed", each)
	}
}
