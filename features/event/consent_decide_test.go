package event

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// TestDecideConsent: what a snapshot and records beside it say, read shard by shard, is what policy.Decide says of all of them together.
func TestDecideConsent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	at := func() time.Time {
		return time.Date(2026, 1, 1+rng.IntN(40), 0, 0, 0, rng.IntN(2)*1000, time.UTC)
	}
	now := time.Date(2026, 1, 21, 0, 0, 0, 0, time.UTC)
	purposes := []policy.Purpose{{Name: "a", Basis: policy.Consent}, {Name: "b", Basis: policy.LegitimateInterest}, {}}
	for round := range 40 {
		var people []policy.Subject
		for range 1 + rng.IntN(300) {
			people = append(people, policy.Subject(rng.Uint64()))
		}
		people = append(people, 0, 1<<64-1)
		some := func(n int) (out []policy.Record) {
			for range n {
				r := policy.Record{
					Subject: people[rng.IntN(len(people))], Purpose: []string{"a", "b", "c"}[rng.IntN(3)], State: policy.States[rng.IntN(len(policy.States))],
					Effective: at(), Recorded: at(), ID: fmt.Sprint(rng.IntN(3)),
				}
				if rng.IntN(2) == 0 {
					r.State = policy.ConsentGiven
				}
				if rng.IntN(3) == 0 {
					r.Expires = at()
				}
				out = append(out, r)
			}
			return out
		}
		stored, beside := some(rng.IntN(1000)), some(rng.IntN(50))
		var gone []policy.Erasure
		for range rng.IntN(20) {
			gone = append(gone, policy.Erasure{Subject: people[rng.IntN(len(people))], At: at()})
		}
		b := storage.NewMemory(nil)
		m, err := StoreConsent(t.Context(), b, "consent", stored)
		if err != nil {
			t.Fatal(err)
		}
		others, more := &Records{}, some(rng.IntN(200)*(round%2))
		for _, r := range more {
			if err := others.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		others.Sort()
		if m.Shards = snapshotShards; round%3 == 0 { // as of another program
			one, err := table.NewWriter(b, "one", consentSchema, table.WriteOptions{Shards: 2, ShardBy: "subject", SortBy: consentOrder}), error(nil)
			cols := make([]table.Column, len(consentSchema))
			for _, r := range stored {
				addConsent(cols, r)
			}
			if err = one.Append(&table.Batch{Schema: consentSchema, N: len(stored), Cols: cols}); err == nil {
				m, err = one.Finish(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		got, err := DecideConsent(t.Context(), b, m, beside, others, now, gone, purposes...)
		if err != nil {
			t.Fatal(err)
		}
		all, err := LoadConsent(t.Context(), b, m)
		if err != nil {
			t.Fatal(err)
		}
		all = append(append(all, beside...), more...)
		whole := table.Interval{Start: now.AddDate(0, 0, -10), End: now}
		for i, p := range purposes {
			want := policy.Decide(p, now, all, gone)
			for _, s := range append(people, 17) {
				if got[i].Of(s) != want.Of(s) {
					t.Fatalf("round %d, purpose %q, %s: %+v, want %+v", round, p.Name, s, got[i].Of(s), want.Of(s))
				}
				for range 3 {
					when := table.Micros(at())
					if a, b := got[i].Judge(s, when, 0), want.Judge(s, when, 0); a != b {
						t.Fatalf("round %d, purpose %q, %s: an event is %s, want %s", round, p.Name, s, a, b)
					}
				}
			}
			if got[i].Digest(whole) != want.Digest(whole) {
				t.Errorf("round %d, purpose %q: the digests differ", round, p.Name)
			}
		}
	}
}

// TestDecideConsentRefuses another table.
func TestDecideConsentRefuses(t *testing.T) {
	if _, err := DecideConsent(t.Context(), storage.NewMemory(nil), table.Manifest{Schema: table.Schema{{Name: "subject", Type: table.Int64}}}, nil, nil, time.Now(), nil); err == nil {
		t.Error("a table that is no snapshot decides")
	}
}
