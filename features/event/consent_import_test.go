package event

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
)

// TestImportOfManyRowsOfOnePerson: a file that says the same person's mind again and again is one person's, and takes what its records take.
func TestImportOfManyRowsOfOnePerson(t *testing.T) {
	const rows = 300_000
	b, start := storage.NewMemory(nil), time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	var body strings.Builder
	body.WriteString("subject,purpose,state,effective_at\n")
	for i := range rows {
		fmt.Fprintf(&body, "%s,recommend,%s,%s\n", person(1), [2]policy.State{policy.ConsentGiven, policy.Withdrawn}[i%2], start.Add(time.Duration(i)*time.Second).Format(time.RFC3339))
	}
	put(t, b, "c.csv", []byte(body.String()))
	ids := openIdentities(t, b, testKeys(t, "k1"))
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	c, err := ImportConsent(t.Context(), DataSet{Bucket: b, Path: "c.csv"}, ids, nil, start.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if each := (heap() - before) / rows; each > 300 {
		t.Errorf("a record is kept in %d bytes", each)
	}
	records := slices.Collect(c.Records.All())
	if len(records) != rows || c.People != 1 || len(c.Marks) != 1 || c.Marks[0] != MarkOf(testKeys(t, "k1"), person(1)) {
		t.Errorf("%d records of %d people, %d of them named", len(records), c.People, len(c.Marks))
	}
	now := start.Add(rows * time.Second)
	if d := policy.Decide(policy.Purpose{Name: "recommend", Basis: policy.Consent}, now, records, nil); !d.Of(records[0].Subject).Denied() {
		t.Error("the last of the records, a withdrawal, does not count")
	}
	runtime.KeepAlive(c)
}

// TestImportNamesFew: of a file the people are named by mark as long as they are few, and counted beyond that.
func TestImportNamesFew(t *testing.T) {
	for _, people := range []int{MaxMarks, MaxMarks + 1, 3 * MaxMarks} {
		b := storage.NewMemory(nil)
		var body strings.Builder
		body.WriteString("subject,purpose,state,effective_at\n")
		for i := range 2 * people {
			fmt.Fprintf(&body, "%s,recommend,ConsentGiven,2024-03-0%dT00:00:00Z\n", person(i%people), 1+i/people)
		}
		put(t, b, "c.csv", []byte(body.String()))
		c, err := ImportConsent(t.Context(), DataSet{Bucket: b, Path: "c.csv"}, openIdentities(t, b, testKeys(t, "k1")), nil, time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))
		if err != nil {
			t.Fatal(err)
		}
		if named := len(c.Marks); c.People != people || (people <= MaxMarks) != (named == people) || people > MaxMarks && named > 0 {
			t.Errorf("%d people: %d counted, %d named", people, c.People, named)
		}
	}
}
