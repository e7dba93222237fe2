package event

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
)

// TestSaidReachesEveryForm: of somebody for whom a table of before ids were brought into NFC has a row for each form of their id, what they say holds for both, whichever form they are met
// by and however they say it: a feed, a file, one by one, a preference, an attribute that protects; and an erasure takes both along. What is counted is what was said.
func TestSaidReachesEveryForm(t *testing.T) {
	const apart, composed, alias, ascii = "Scha\u0308fer-00001", "Sch\u00e4fer-00001", "web-0017", "plain-00002"
	now := time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC)
	for _, linked := range []bool{false, true} {
		b, k1 := storage.NewMemory(nil), testKeys(t, "k1")
		ids := openIdentities(t, b, k1)
		for _, id := range []string{composed, ascii} {
			number(t, ids, id)
		}
		m := macOf(k1.store, apart)
		ids.people.add(numberOf(m), identity{key: ids.index[0], mac: m, online: macOf(k1.serving, apart)})
		flush(t, ids)
		ids = openIdentities(t, b, k1)
		name := composed
		if linked {
			put(t, b, "links.csv", []byte("from,to\n"+alias+","+apart+"\n"))
			links, err := ReadLinks(t.Context(), DataSet{Bucket: b, Path: "links.csv"})
			if err != nil {
				t.Fatal(err)
			}
			ids.links, name = links, alias
		}
		both := []policy.Subject{number(t, ids, composed), numberOf(m)}
		slices.Sort(both)
		if both[0] == both[1] {
			t.Fatal("there is one row")
		}
		check := func(how string, got []policy.Subject) {
			t.Helper()
			slices.Sort(got)
			if !slices.Equal(got, both) {
				t.Errorf("linked %v: %s reaches %v, want %v", linked, how, got, both)
			}
		}
		of := func(records []policy.Record) (out []policy.Subject) {
			for _, r := range records {
				if r.State != policy.Withdrawn || r.Purpose != "recommend" {
					t.Errorf("%+v", r)
				}
				out = append(out, r.Subject)
			}
			return out
		}
		put(t, b, "consent.csv", []byte("subject,purpose,state,effective_at\n"+name+",recommend,Withdrawn,2026-03-02T00:00:00Z\n"+name+",recommend,Withdrawn,2026-03-02T00:00:00Z\n"))
		data := DataSet{Bucket: b, Path: "consent.csv"}
		feed, err := ReadConsent(t.Context(), data, ids, nil)
		if err != nil {
			t.Fatal(err)
		}
		check("a feed", of(slices.Collect(feed.Records.All())))
		if f := feed.Facts; f.Rows != 2 || f.Records != 1 || f.Duplicates != 1 {
			t.Errorf("%+v", f)
		}
		file, err := ImportConsent(t.Context(), data, ids, nil, now)
		if err != nil || file.Facts.Records != 1 || file.People != 1 {
			t.Fatalf("%+v, %v", file, err)
		}
		check("a file", of(slices.Collect(file.Records.All())))
		r, beside, _, err := ConsentOf(ids, now, Said{ID: name, Record: policy.Record{Purpose: "recommend", State: policy.Withdrawn}})
		if err != nil {
			t.Fatal(err)
		}
		check("one record", of(append(beside, r)))
		wishes, others, _, err := PreferencesOf(ids, name, []policy.Wish{{Name: policy.WishLevel, Value: "off", At: now}})
		if err != nil || len(wishes) != 1 {
			t.Fatalf("%v, %v", wishes, err)
		}
		wants := policy.Wanted(now, append(wishes, others...))
		check("a preference", slices.Collect(maps.Keys(wants)))
		put(t, b, "wishes.csv", []byte("subject,preference,value,time\n"+name+",level,off,2026-03-02T00:00:00Z\n"))
		read, facts, err := ReadPreferences(t.Context(), DataSet{Bucket: b, Path: "wishes.csv"}, ids, nil)
		if err != nil || facts.Records != 1 {
			t.Fatalf("%+v, %v", facts, err)
		}
		check("a file of preferences", slices.Collect(maps.Keys(policy.Wanted(now, read))))
		put(t, b, "people.csv", []byte("subject,age\n"+name+",12\n"))
		protected, _, err := ReadProtected(t.Context(), ProtectedPlan{
			Data: DataSet{Bucket: b, Path: "people.csv"}, Columns: []string{"age"}, Numeric: []string{"age"}, Identities: ids,
			Matches: func(row Row) bool { return row.Number["age"] < 16 },
		})
		if err != nil {
			t.Fatal(err)
		}
		check("an age", protected)
		if r, beside, _, err := ConsentOf(ids, now, Said{ID: ascii, Record: policy.Record{Purpose: "recommend", State: policy.Withdrawn}}); err != nil || len(beside) > 0 || r.Subject != number(t, ids, ascii) {
			t.Errorf("somebody else: %+v, %+v, %v", r, beside, err)
		}
		j, err := OpenJournal(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.Erase(t.Context(), k1, ids, []string{name}, now, "n1"); err != nil {
			t.Fatal(err)
		}
		pending, _ := j.Pending()
		var erased []policy.Subject
		for _, e := range pending {
			erased = append(erased, e.Subject)
		}
		check("an erasure", erased)
	}
}
