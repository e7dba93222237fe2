package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/storage/online"
)

// withoutEvents takes raw events out of a shop's sources, and returns how many.
func (s *shop) withoutEvents(gone func(rawEvent) bool) (dropped int) {
	s.Helper()
	for day := range smallWorld.Days {
		rows := readParquet[rawEvent](s, s.raw, eventsKey(day, "part-0"))
		kept := slices.DeleteFunc(slices.Clone(rows), gone)
		dropped += len(rows) - len(kept)
		writeParquet(s.TB, s.raw, eventsKey(day, "part-0"), kept)
	}
	return dropped
}

// sameOnline reports the entries in which two shops differ.
func sameOnline(t *testing.T, with, without *shop) {
	t.Helper()
	a, b := listsOf(t, with), listsOf(t, without)
	for key := range maps.Keys(b) {
		if a[key] != b[key] {
			t.Fatalf("entry %.20s…:\n%.300s\nand without the events\n%.300s", key, a[key], b[key])
		}
	}
	if len(a) != len(b) {
		t.Fatalf("%d entries, %d without the events", len(a), len(b))
	}
}

// TestSensitiveItems: without a consent that names them, events of sensitive items change no byte of an artifact or of what is online, also of days that were
// ingested before they were declared; they stand in no list, beside no item and in no reason. Who holds the consent is shown them.
func TestSensitiveItems(t *testing.T) {
	with, without := newShop(t, smallWorld), newShop(t, smallWorld)
	for _, s := range []*shop{with, without} {
		s.quick()
		s.job.Model.Lists.Related, s.job.Model.Lists.UnprofiledBy = 0, []string{"category", "device"}
	}
	with.night(6) // days that hold the events
	items, taken := with.catalogOf(), map[string]int{}
	for b := range with.batches("ingest/", "events") {
		for i := range b.N {
			taken[items[b.Col("item").Str[i]]["category"]]++
		}
	}
	category := slices.MaxFunc(slices.Sorted(maps.Keys(taken)), func(a, b string) int { return taken[a] - taken[b] })
	sensitive := func(item string) bool { return items[item]["category"] == category }
	if n := without.withoutEvents(func(e rawEvent) bool { return sensitive(e.SKU) }); n < 100 {
		t.Fatalf("only %d events are of sensitive items", n)
	}
	without.night(6)
	guards := jobs.Guards{Sensitive: []lists.Exclusion{{{Column: "category", In: []string{category}}}}}
	var funnel string
	for _, s := range []*shop{with, without} {
		s.job.Guards = guards
		funnel = s.night(7).Funnel
		for _, e := range s.rows("") {
			if !strings.Contains(e.Key, "list/") && !strings.HasPrefix(e.Key, online.UnprofiledKey) {
				continue
			}
			var l online.List
			if err := json.Unmarshal(e.Value, &l); err != nil {
				t.Fatal(err)
			}
			for _, x := range l.Items {
				if sensitive(x.Item) || slices.ContainsFunc(x.Reasons, func(r online.Reason) bool { return sensitive(r.Ref) || r.Ref == "category="+category }) {
					t.Fatalf("%.20s… holds %s %v", e.Key, x.Item, x.Reasons)
				}
			}
		}
	}
	if strings.Contains(funnel, "sensitive") {
		t.Errorf("without the events the funnel is %s", funnel)
	}
	a, b := with.outcome(), without.outcome()
	if a.Digest != b.Digest || a.Alias != 2 || b.Alias != 2 {
		t.Errorf("artifact %.12s of version %d with the events, %.12s of version %d without", a.Digest, a.Alias, b.Digest, b.Alias)
	}
	sameOnline(t, with, without)
	if again := with.night(7); !again.Nothing {
		t.Error("the same night again found something to do")
	}

	// Nor is anything shown or learned of them in a cart.
	held, other := "", ""
	for id := range items {
		if sensitive(id) {
			held = max(held, id)
		} else {
			other = max(other, id)
		}
	}
	l, err := with.runner.Cart(t.Context(), with.job, []string{held, other}, 100, true)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := with.runner.Cart(t.Context(), with.job, []string{other}, 100, true)
	if err != nil {
		t.Fatal(err)
	}
	if !same(l.Items, plain.Items) || slices.ContainsFunc(l.Items, func(e jobs.Entry) bool { return sensitive(e.Item) }) {
		t.Error("a sensitive item in a cart changes its list, or one stands in it")
	}

	// A consent of its own.
	id := with.admitted(1)[0]
	guards.Purpose = &policy.Purpose{Name: "health", Says: "With your explicit consent.", Basis: policy.Consent}
	with.job.Guards = guards
	writeParquet(t, with.raw, "consent/health.parquet", []rawConsent{says(id, "health", "ConsentGiven", time.Hour)})
	with.night(7)
	for _, who := range with.admitted(5) {
		shown := slices.ContainsFunc(with.listOf(who).Items, func(x online.ListItem) bool { return sensitive(x.Item) })
		if shown != (who == id) {
			t.Errorf("sensitive items are shown: %v, to somebody who consented: %v", shown, who == id)
		}
	}
	for _, x := range with.listOf("nobody").Items {
		if sensitive(x.Item) {
			t.Error("one consent put a sensitive item into everybody's list")
		}
	}
	found, err := with.runner.Standings(t.Context(), with.job, []string{id, "nobody"})
	if err != nil || !*found[0].Sensitive || *found[1].Sensitive || found[1].Known {
		t.Errorf("standings: %+v %v", found, err)
	}
	if ledger := with.log.String(); strings.Contains(ledger, id) {
		t.Error("the log names a person")
	}
}

// TestSensitiveConsentEnds: what was made while somebody held the consent to sensitive items is read no longer than that: to its end by the row, and after a
// withdrawal by no run, however it ends, and by no rollback.
func TestSensitiveConsentEnds(t *testing.T) {
	s := newShop(t, smallWorld)
	s.quick()
	s.night(6)
	items, ids := s.catalogOf(), s.admitted(3)
	gone, expiring, plain := ids[0], ids[1], ids[2]
	category := items[s.listOf(gone).Items[0].Item]["category"]
	sees := func(id string) bool {
		return slices.ContainsFunc(s.listOf(id).Items, func(x online.ListItem) bool { return items[x.Item]["category"] == category })
	}
	s.job.Guards = jobs.Guards{
		Sensitive: []lists.Exclusion{{{Column: "category", In: []string{category}}}},
		Purpose:   &policy.Purpose{Name: "health", Says: "With your explicit consent.", Basis: policy.Consent},
	}
	ends := says(expiring, "health", "ConsentGiven", time.Hour)
	ends.Expires = nightAfter(6).Add(time.Hour).UnixMicro()
	given := []rawConsent{says(gone, "health", "ConsentGiven", time.Hour), ends}
	writeParquet(t, s.raw, "consent/health.parquet", given)
	s.night(6)
	if !sees(gone) || !sees(expiring) || sees(plain) {
		t.Fatalf("who consented sees sensitive items: %v %v; who did not: %v", sees(gone), sees(expiring), sees(plain))
	}
	version := s.outcome().Alias
	s.runner.Now = func() time.Time { return nightAfter(6).Add(2 * time.Hour) }
	if sees(expiring) || s.personalized(expiring) || !sees(gone) {
		t.Error("a list with sensitive items outlives the consent to them, or another goes with it")
	}

	writeParquet(t, s.raw, "consent/health.parquet", append(given, says(gone, "health", "Withdrawn", 7*24*time.Hour)))
	tenfold := 10.0
	budgets := s.job.Budgets
	s.job.Budgets = []eval.Budget{{Metric: "ndcg@10", Against: "live", Ratio: &tenfold, OnFail: eval.Block, Owner: "test", Why: "to be refused"}}
	if _, err := s.try(7); !errors.Is(err, jobs.ErrRejected) {
		t.Fatalf("the gate: %v", err)
	}
	if sees(gone) || !s.personalized(plain) {
		t.Error("after a night that the gate refused, sensitive items are shown to somebody who withdrew, or somebody else is denied")
	}
	s.job.Budgets = budgets
	s.night(7)
	if sees(gone) || !s.personalized(gone) || !s.personalized(expiring) {
		t.Error("lists made since show sensitive items, or whoever withdrew that consent alone has no list")
	}
	if _, err := s.runner.Rollback(t.Context(), s.job, version, "test", "to see"); err != nil {
		t.Fatal(err)
	}
	if sees(gone) || sees(expiring) || !s.personalized(gone) {
		t.Error("a rollback shows sensitive items to somebody who withdrew, or whoever did has no list")
	}
}

// TestVisitorsFollowTheGuards: lists of a cart and beside an item leave out what has become sensitive since the live model was opened, also before another is
// live; many may ask at once, and who leaves before the model is open takes nothing from the others.
func TestVisitorsFollowTheGuards(t *testing.T) {
	s := newShop(t, smallWorld)
	s.job.Guards = jobs.Guards{Sensitive: []lists.Exclusion{{{Column: "category", In: []string{"pregnancy"}}}}}
	s.job.Model.Lists.Related = 10
	s.night(6)
	v := s.runner.Visitors(s.job)
	type rawItem struct {
		SKU       string  `parquet:"sku"`
		Category  string  `parquet:"category,dict"`
		Brand     string  `parquet:"brand,dict"`
		Price     float64 `parquet:"price"`
		Published int64   `parquet:"published,timestamp(microsecond)"`
	}
	rows := readParquet[rawItem](t, s.raw, s.job.Items.Data.Path)
	cart := []string{s.listOf("nobody").Items[0].Item}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := v.Cart(gone, cart, 10, false); err == nil {
		t.Error("somebody who has left gets a list")
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := v.Cart(t.Context(), cart, 10, true)
			if _, err2 := v.Related(t.Context(), cart[0], models.RelatedSimilar, 10); err != nil || err2 != nil {
				t.Error(err, err2)
			}
		})
	}
	wg.Wait()
	before, err := v.Cart(t.Context(), cart, 10, false)
	if err != nil {
		t.Fatal(err)
	}
	hidden := before.Items[0].Item
	for i := range rows {
		if rows[i].SKU == hidden {
			rows[i].Category = "pregnancy"
		}
	}
	writeParquet(t, s.raw, s.job.Items.Data.Path, rows)
	s.ingestDay(6)
	after, err := v.Cart(t.Context(), cart, 10, false)
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(after.Items, func(e jobs.Entry) bool { return e.Item == hidden }) || len(after.Items) != 10 {
		t.Errorf("a cart is shown what has become sensitive: %v", after.Items)
	}
	if _, err := v.Related(t.Context(), hidden, models.RelatedSimilar, 10); !errors.Is(err, jobs.ErrItemExcluded) {
		t.Errorf("items beside what has become sensitive: %v", err)
	}
	beside := func() (lists, named int) {
		for _, e := range s.rows("related/") {
			if lists++; strings.Contains(e.Key, hidden) || strings.Contains(string(e.Value), `"`+hidden+`"`) {
				named++
			}
		}
		return lists, named
	}
	if lists, named := beside(); lists == 0 || named == 0 {
		t.Fatalf("%d lists beside items, %d of which name the item: this shows nothing", lists, named)
	}
	s.night(6)
	if lists, named := beside(); lists == 0 || named != 0 {
		t.Errorf("of %d lists beside items that were made since, %d name what is sensitive", lists, named)
	}
}

type rawSubject struct {
	UserID  string `parquet:"user_id"`
	Region  string `parquet:"region,dict"`
	AgeBand string `parquet:"age_band,dict"`
}

// TestProtectedSubjects: who is protected contributes to nothing, whatever was consented to, is served the list not based on profiling, and leaves no trace when
// erased.
func TestProtectedSubjects(t *testing.T) {
	with, without := newShop(t, smallWorld), newShop(t, smallWorld)
	var rows []rawSubject
	for _, s := range []*shop{with, without} {
		s.quick()
		rows = readParquet[rawSubject](t, s.raw, s.job.Subjects.Data.Path)
	}
	level := rows[0].Region
	protected := map[string]bool{}
	for _, r := range rows {
		if r.Region == level {
			protected[r.UserID] = true
		}
	}
	if len(protected) < 10 || len(protected) > smallWorld.Users/2 {
		t.Fatalf("%d of %d subjects would be protected", len(protected), smallWorld.Users)
	}
	if n := without.withoutEvents(func(e rawEvent) bool { return protected[e.UserID] }); n < 50 {
		t.Fatalf("the protected have only %d events", n)
	}
	var someone string
	for _, s := range []*shop{with, without} {
		s.job.Guards = jobs.Guards{Protected: []lists.Exclusion{{{Column: "region", In: []string{level}}}}}
		s.night(7)
		for id := range protected {
			if someone = max(someone, id); s.personalized(id) {
				t.Fatal("a protected subject is served a list of its own")
			}
		}
	}
	for _, step := range []string{"ingest/", "build/", "subjects/", "guards/"} {
		if a, b := with.made(step), without.made(step); !slices.Equal(a, b) {
			t.Errorf("%s differs with the events of protected subjects", step)
		}
	}
	if a, b := with.outcome(), without.outcome(); a.Digest != b.Digest {
		t.Errorf("artifact %.12s with the events of protected subjects, %.12s without", a.Digest, b.Digest)
	}
	sameOnline(t, with, without)
	found, err := with.runner.Standings(t.Context(), with.job, []string{someone})
	if err != nil || found[0].Profiled || found[0].Why != "protected" {
		t.Errorf("standing: %+v %v", found, err)
	}
	traces := map[string]map[string][]byte{someone: with.traces(someone)}
	if _, err := with.erase(someone); err != nil {
		t.Fatal(err)
	}
	with.noTrace("after the erasure", traces)
	if with.night(7); with.personalized(someone) {
		t.Error("an erased subject is profiled")
	}
}
