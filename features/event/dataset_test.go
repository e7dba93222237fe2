package event

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

type rawConsent struct {
	Subject   string `parquet:"subject"`
	Purpose   string `parquet:"purpose"`
	State     string `parquet:"state"`
	Effective int64  `parquet:"effective_at,timestamp(microsecond)"`
	Recorded  int64  `parquet:"recorded_at,timestamp(microsecond)"`
	Expires   *int64 `parquet:"expires_at,timestamp(microsecond)"`
	Source    string `parquet:"source"`
	ID        string `parquet:"record_id"`
}

func gzipped(s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(s))
	w.Close()
	return b.Bytes()
}

func TestReadConsentFromAnyFormat(t *testing.T) {
	expires := dayAt(90).UnixMicro()
	parquetRows := []rawConsent{
		{person(1), "recommend", "ConsentGiven", dayAt(0).UnixMicro(), dayAt(1).UnixMicro(), &expires, "web-form", "r-1"},
		{person(2), "recommend", "Withdrawn", dayAt(3).UnixMicro(), dayAt(3).UnixMicro(), nil, "app", "r-2"},
		{person(2), "recommend", "Withdrawn", dayAt(3).UnixMicro(), dayAt(3).UnixMicro(), nil, "app", "r-2"}, // a copy
		{person(3), "recommend", "opted-in!", dayAt(3).UnixMicro(), dayAt(3).UnixMicro(), nil, "of " + person(3), ""},
	}
	csvText := "\ufeffnote,subject,purpose,state,effective_at,recorded_at,expires_at,source,record_id\n" +
		fmt.Sprintf("x,%s,recommend,ConsentGiven,2024-03-01T01:00:00+01:00,2024-03-02,2024-05-30T00:00:00Z,web-form,r-1\n", person(1)) +
		fmt.Sprintf("\"a,\nb\",%s,recommend,Withdrawn,2024-03-04 00:00:00Z,2024-03-04T00:00:00Z,,app,r-2\n", person(2)) +
		fmt.Sprintf("x,%s,recommend,Withdrawn,2024-03-04,2024-03-04,,app,r-2\n", person(2)) +
		fmt.Sprintf("x,%s,recommend,opted-in!,2024-03-04,,,of %s,\n", person(3), strings.ToUpper(person(3)))
	jsonText := fmt.Sprintf(`{"subject":%q,"purpose":"recommend","state":"ConsentGiven","effective_at":"2024-03-01T00:00:00Z","recorded_at":"2024-03-02","expires_at":"2024-05-30","source":"web-form","record_id":"r-1"}
{"subject":%q,"purpose":"recommend","state":"Withdrawn","effective_at":"2024-03-04","source":"app","record_id":"r-2","extra":{"a":[1]}}

{"subject":%q,"purpose":"recommend","state":"Withdrawn","effective_at":"2024-03-04","expires_at":null,"source":"app","record_id":"r-2"}
{"subject":%q,"purpose":"recommend","state":"opted-in!","effective_at":"2024-03-04","source":"of %s"}`, person(1), person(2), person(2), person(3), person(3))

	var want *Consent
	for _, format := range []string{"parquet", "csv", "csv.gz", "jsonl", "ndjson.gz"} {
		t.Run(format, func(t *testing.T) {
			b := storage.NewMemory(nil)
			key := "consent/a." + format
			switch format {
			case "parquet":
				putParquet(t, b, key, parquetRows)
			case "csv":
				put(t, b, key, []byte(csvText))
			case "csv.gz":
				put(t, b, key, gzipped(csvText))
			case "jsonl":
				put(t, b, key, []byte(jsonText))
			case "ndjson.gz":
				put(t, b, key, gzipped(jsonText))
			}
			ids := openIdentities(t, b, testKeys(t, "k1"))
			got, err := ReadConsent(context.Background(), DataSet{Bucket: b, Path: "consent/*"}, ids, nil)
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = got
				s1, _ := ids.Find(person(1))
				records := slices.Collect(got.Records.All())
				i := slices.IndexFunc(records, func(r policy.Record) bool { return r.Subject == s1 })
				id := records[i].ID
				if r := (policy.Record{Subject: s1, Purpose: "recommend", State: policy.ConsentGiven, Effective: dayAt(0), Recorded: dayAt(1), Expires: dayAt(90), Source: "web-form", ID: id}); records[i] != r {
					t.Errorf("record %+v, want %+v", records[i], r)
				}
				if len(id) != 16 || strings.Contains(id, "r-1") {
					t.Errorf("record id %q is not a keyed hash", id)
				}
			}
			if f := (ConsentFacts{Rows: 4, Records: 3, Duplicates: 1, Unknown: 1, Withheld: 1}); !reflect.DeepEqual(got.Facts, f) {
				t.Errorf("facts %+v, want %+v", got.Facts, f)
			}
			records := slices.Collect(got.Records.All())
			if all := slices.Collect(want.Records.All()); !slices.Equal(records, all) {
				t.Errorf("records %+v\nwant %+v", records, all)
			}
			m, err := StoreConsent(context.Background(), b, "snapshots/consent", records)
			if err != nil {
				t.Fatal(err)
			}
			back, err := LoadConsent(context.Background(), b, m)
			if err != nil || !slices.Equal(back, records) {
				t.Errorf("stored and loaded: %+v, %v", back, err)
			}
		})
	}
}

func TestReadConsentErrorsNameFileAndRow(t *testing.T) {
	const header = "subject,purpose,state,effective_at\n"
	who := person(7)
	for _, tt := range []struct{ name, file, body, want string }{
		{"no time", "a.csv", header + who + ",recommend,ConsentGiven,soon\n", "a.csv row 1: effective_at is no time"},
		{"missing time", "a.csv", header + who + ",recommend,ConsentGiven,2024-01-01\n" + who + ",recommend,ConsentGiven,\n", "a.csv row 2: effective_at is missing"},
		{"no zone", "a.csv", header + who + ",recommend,ConsentGiven,2024-01-01T10:00:00\n", "row 1: effective_at has no time zone"},
		{"no purpose", "a.csv", header + who + ",Recommend me,ConsentGiven,2024-01-01\n", "row 1: purpose is no purpose name"},
		{"no state column", "a.csv", "subject,purpose,effective_at\n", `none of the 3 fields of the first row is "state"`},
		{"no header", "a.csv", who + ",recommend,ConsentGiven,2024-01-01\n", `none of the 4 fields of the first row is "subject"`},
		{"an open quote", "a.csv", header + "\"" + strings.Repeat(who+",recommend,ConsentGiven,2024-01-01\n", maxLine/len(who)), "is a quote open?"},
		{"an empty file", "a.csv", "", "begins with a header"},
		{"a ragged row", "a.csv", header + who + ",recommend\n", "a.csv: row 1"},
		{"no JSON", "a.jsonl", "{\"subject\":\"" + who + "\"\n", "a.jsonl: row 1: the line is no JSON object"},
		{"a nested id", "a.jsonl", `{"subject":["` + who + `"]}`, `row 1: column does not fit: "subject"`},
		{"an endless line", "a.csv", header + strings.Repeat(who, maxLine/len(who)+1000), "longer than"},
		{"an endless JSON line", "a.jsonl", strings.Repeat(who, maxLine/len(who)+2), "token too long"},
		{"no gzip", "a.csv.gz", who, "gzip"},
		{"no file", "b.csv", "", ""},
	} {
		b := storage.NewMemory(nil)
		path := tt.file
		put(t, b, "consent/"+tt.file, []byte(tt.body))
		if tt.want == "" {
			path, tt.want = "other/*.csv", "no file matches"
		}
		_, err := ReadConsent(context.Background(), DataSet{Bucket: b, Path: "consent/" + path}, openIdentities(t, b, testKeys(t, "k1")), nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "person") {
			t.Errorf("%s: %v, want an error with %q and no id", tt.name, err, tt.want)
		}
	}
	b := storage.NewMemory(nil)
	if _, err := ReadConsent(context.Background(), DataSet{Bucket: b, Path: "x"}, openIdentities(t, b), nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("without a key: %v", err)
	}
}

func TestReadConsentWithAZoneAndOtherNames(t *testing.T) {
	b := storage.NewMemory(nil)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	put(t, b, "c.csv", []byte("uid,purpose,state,since\n"+person(1)+",recommend,ConsentGiven,2024-03-02 00:30:00\n"))
	c, err := ReadConsent(context.Background(), DataSet{Bucket: b, Path: "c.csv", Zone: berlin, Columns: map[string]string{"subject": "uid", "effective_at": "since"}},
		openIdentities(t, b, testKeys(t, "k1")), nil)
	if err != nil {
		t.Fatal(err)
	}
	records := slices.Collect(c.Records.All())
	if want := time.Date(2024, 3, 1, 23, 30, 0, 0, time.UTC); len(records) != 1 || !records[0].Effective.Equal(want) || !records[0].Recorded.Equal(want) {
		t.Errorf("records %+v, want one at %s", records, want)
	}
}

func TestReadAttributes(t *testing.T) {
	ctx := context.Background()
	b := storage.NewMemory(nil)
	put(t, b, "items/a.csv", []byte("sku,category,price,secret\nb,shoes,10.5,x\na,,3,x\n,hats,1,x\n"))
	put(t, b, "items/b.csv", []byte("sku,category,price,secret\nb,boots,,x\n"))
	plan := AttributesPlan{
		Data: DataSet{Bucket: b, Path: "items/*.csv", Columns: map[string]string{"item": "sku"}}, Set: "items", Key: ColItem,
		Columns: []string{"category", "price"}, Numeric: []string{"price"}, Purpose: recommend,
	}
	got, err := ReadAttributes(ctx, plan)
	if err != nil {
		t.Fatal(err)
	}
	if rows := []string{rowText(&got.Batch, 0), rowText(&got.Batch, 1)}; got.Batch.N != 2 ||
		!slices.Equal(rows, []string{"item=a category=null price=3 ", "item=b category=boots price=null "}) {
		t.Errorf("rows %q", rows)
	}
	if f := got.Facts; f.Rows != 4 || f.Kept != 2 || f.Duplicates != 1 || f.Funnel[policy.BadRow] != 1 {
		t.Errorf("facts %+v", f)
	}
	// The rows can be stored as they are.
	w := table.NewWriter(b, "snapshots/items", got.Batch.Schema, table.WriteOptions{})
	if err := w.Append(&got.Batch); err != nil {
		t.Error(err)
	}

	// Of b the first row is quarantined, and so the later one, which has no price, is not: nothing but a rule makes a null bad.
	low := 11.0
	plan.Data.Expect = expect.Set{Columns: map[string]expect.Column{"price": {Rule: expect.Rule{Min: &low}}, "category": {Rule: expect.Rule{Required: true}}}}
	if got, err = ReadAttributes(ctx, plan); err != nil {
		t.Fatal(err)
	}
	want := []expect.Place{
		{File: "items/a.csv", Row: 0, Column: "price", Reason: expect.Outside},
		{File: "items/a.csv", Row: 1, Column: "category", Reason: expect.Null},
		{File: "items/a.csv", Row: 2, Column: ColItem, Reason: expect.NoID},
	}
	if q := got.Facts.Quality; !slices.Equal(got.Facts.Places, want) || q.Quarantined() != 3 || q.Kept != 1 || q.Nulls["price"] != 1 || got.Facts.Duplicates != 0 || len(q.Columns) != 4 {
		t.Errorf("places %v, quality %+v", got.Facts.Places, q)
	}
	if row := rowText(&got.Batch, 0); got.Batch.N != 1 || row != "item=b category=boots price=null " {
		t.Errorf("%d rows, the first %q", got.Batch.N, row)
	}
	plan.Data.Expect = expect.Set{}

	plan.Columns = []string{"secret"}
	if _, err := ReadAttributes(ctx, plan); err == nil || !strings.Contains(err.Error(), "items.secret") {
		t.Errorf("a column that the purpose does not read: %v", err)
	}
	plan.Columns, plan.Numeric = []string{"category"}, []string{"category"}
	if _, err := ReadAttributes(ctx, plan); !errors.Is(err, table.ErrColumn) || strings.Contains(err.Error(), "shoes") {
		t.Errorf("a text that is no number: %v", err)
	}
}

func TestReadAttributesOfSubjects(t *testing.T) {
	ctx := context.Background()
	b := storage.NewMemory(nil)
	k := testKeys(t, "k1")
	ids := openIdentities(t, b, k)
	fairness := policy.Purpose{Name: "check_fairness", Basis: policy.LegitimateInterest, Reads: map[string][]string{"cohorts": {"age"}}}
	objector := number(t, ids, person(2))
	j := openJournal(t, b)
	if _, err := j.Erase(ctx, k, ids, []string{person(3)}, dayAt(1), "e"); err != nil {
		t.Fatal(err)
	}
	sup, err := j.Suppressions(ids)
	if err != nil {
		t.Fatal(err)
	}
	put(t, b, "c.jsonl", []byte(fmt.Sprintf(`{"id":%q,"age":"30s"}
{"id":%q,"age":"40s"}
{"id":%q,"age":"50s"}
{"id":%q,"age":"20s"}`, person(1), person(2), person(3), person(1))))
	got, err := ReadAttributes(ctx, AttributesPlan{
		Data: DataSet{Bucket: b, Path: "c.jsonl", Columns: map[string]string{"subject": "id"}}, Set: "cohorts", Key: ColSubject, Columns: []string{"age"},
		Purpose: fairness, Identities: ids, Suppressions: sup,
		Decisions: policy.Decide(fairness, dayAt(5), []policy.Record{{Subject: objector, Purpose: "check_fairness", State: policy.Withdrawn, Effective: dayAt(0), Recorded: dayAt(0)}}, nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	s1, _ := ids.Find(person(1))
	if got.Batch.N != 1 || rowText(&got.Batch, 0) != fmt.Sprintf("subject=%d age=20s ", int64(s1)) {
		t.Errorf("%d rows", got.Batch.N)
	}
	if f := got.Facts.Funnel; f[policy.Kept] != 2 || f[policy.Refused] != 1 || f[policy.Erased] != 1 || got.Facts.Duplicates != 1 {
		t.Errorf("facts %+v", got.Facts)
	}
	if _, ok := ids.Find(person(3)); ok {
		t.Error("the erased subject was numbered again")
	}
}

func FuzzScanText(f *testing.F) {
	f.Add("subject,state\na,b\n\"c\nd\",e\n", false)
	f.Add("{\"subject\":\"a\",\"state\":1}\n{\"subject\":null}\n", true)
	wants := []table.Want{{Name: "subject", Type: table.String}, {Name: "state", Type: table.String, Optional: true}}
	f.Fuzz(func(t *testing.T, body string, json bool) {
		b := storage.NewMemory(nil)
		key := map[bool]string{false: "a.csv", true: "a.jsonl"}[json]
		put(t, b, key, []byte(body))
		for batch, err := range scanText(context.Background(), b, storage.Info{Key: key}, wants, &table.ScanFacts{}) {
			if err != nil {
				return
			}
			if batch.N != 1 || len(batch.Cols) != 2 || batch.Cols[0].Null(0) != (batch.Cols[0].Str[0] == "") {
				t.Fatalf("batch %+v", batch)
			}
		}
	})
}
