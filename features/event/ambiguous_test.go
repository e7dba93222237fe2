package event

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
)

// TestAmbiguous: a subject is counted once a column, however many rows differ, and only in the columns that do.
func TestAmbiguous(t *testing.T) {
	var f AttributesFacts
	columns := []string{"gender", "age"}
	row := func(text string, number float64) *attributeRow {
		return &attributeRow{text: []string{text, ""}, number: []float64{0, number}}
	}
	rows := []*attributeRow{row("f", 30), row("m", 30), row("f", 30), row("f", 31)}
	for i := 1; i < len(rows); i++ {
		f.differ(rows[i-1], rows[i], columns)
	}
	f.differ(row("f", 5), row("f", 5), columns)
	f.differ(row("x", 5), row("y", 5), columns)
	if want := map[string]int64{"gender": 2, "age": 1}; !maps.Equal(f.Ambiguous, want) {
		t.Errorf("%v, want %v", f.Ambiguous, want)
	}
}

// TestAttributesOfLinkedIDs: two accounts of one person have a row each as a rule. The one under the id that the person is known by counts, wherever it stands; only
// rows of one standing can contradict each other.
func TestAttributesOfLinkedIDs(t *testing.T) {
	for name, tt := range map[string]struct {
		rows      []string // id=age
		want      string
		ambiguous int64
	}{
		"the main id's first":         {[]string{"ann=30s", "c1=40s"}, "30s", 0},
		"the main id's last":          {[]string{"c1=40s", "ann=30s"}, "30s", 0},
		"the main id's among others":  {[]string{"c1=40s", "c2=50s", "ann=30s", "c2=20s"}, "30s", 0},
		"two of the main id's":        {[]string{"ann=30s", "c1=40s", "ann=20s"}, "20s", 1},
		"none of the main id's":       {[]string{"c1=40s", "c2=50s"}, "50s", 1},
		"one, of another id":          {[]string{"c2=50s"}, "50s", 0},
		"others that agree":           {[]string{"c1=50s", "c2=50s"}, "50s", 0},
		"main rows twice, and others": {[]string{"ann=30s", "ann=30s", "c1=50s"}, "30s", 0},
	} {
		b := storage.NewMemory(nil)
		ids := openIdentities(t, b, testKeys(t, "k1"))
		ids.Link(readLinks(t, b, "c1,ann", "c2,ann"))
		var body strings.Builder
		for _, row := range tt.rows {
			id, age, _ := strings.Cut(row, "=")
			fmt.Fprintf(&body, "{\"id\":%q,\"age\":%q}\n", id, age)
		}
		putText(t, b, "c.jsonl", body.String())
		fairness := policy.Purpose{Name: "check_fairness", Basis: policy.LegitimateInterest, Reads: map[string][]string{"cohorts": {"age"}}}
		got, err := ReadAttributes(context.Background(), AttributesPlan{
			Data: DataSet{Bucket: b, Path: "c.jsonl", Columns: map[string]string{"subject": "id"}}, Set: "cohorts", Key: ColSubject, Columns: []string{"age"},
			Purpose: fairness, Identities: ids, Decisions: policy.Decide(fairness, dayAt(5), nil, nil),
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.Batch.N != 1 || !strings.HasSuffix(rowText(&got.Batch, 0), "age="+tt.want+" ") || got.Facts.Ambiguous["age"] != tt.ambiguous || int(got.Facts.Duplicates) != len(tt.rows)-1 {
			t.Errorf("%s: %d rows, %s, facts %+v", name, got.Batch.N, rowText(&got.Batch, 0), got.Facts)
		}
	}
}
