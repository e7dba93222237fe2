package importer

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/rapport-ml/rapport/cmd/internal/dataset"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

const sample = "testdata/sample"

func memory() *storage.Memory {
	return storage.NewMemory(func() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) })
}

func read[T any](t *testing.T, b storage.Bucket, key string) []T {
	t.Helper()
	r, _, err := b.Get(t.Context(), key, storage.Range{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	rows, err := parquet.Read[T](bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return rows
}

func at(s string) int64 {
	t, err := time.Parse(time.DateTime, s)
	if err != nil {
		panic(err)
	}
	return t.UnixMicro()
}

func TestSample(t *testing.T) {
	b := memory()
	facts, err := CompleteJourney(t.Context(), sample, b, "lake")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	size := int64(0)
	for info, err := range b.List(t.Context(), "", storage.ListOpt{}) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
		size += info.Size
	}
	wantKeys := []string{
		"lake/cohorts.parquet", "lake/consent/consent.parquet", "lake/events/dt=2017-01-01/part-0.parquet",
		"lake/events/dt=2017-01-02/part-0.parquet", "lake/events/dt=2017-01-03/part-0.parquet", "lake/items.parquet",
	}
	if !slices.Equal(keys, wantKeys) {
		t.Errorf("files %q, want %q", keys, wantKeys)
	}

	num := func(n int64) *int64 { return &n }
	val := func(x float64) *float64 { return &x }
	for key, want := range map[string][]eventRow{
		"lake/events/dt=2017-01-01/part-0.parquet": {{"h-b", "p-2", at("2017-01-01 23:59:59"), "buy", num(2), val(1.5), "s1"}},
		"lake/events/dt=2017-01-02/part-0.parquet": {
			{"h-b", "p-2", at("2017-01-02 08:00:00"), "buy", num(1), val(0.75), "s2"},
			{"h-a", "p-1", at("2017-01-02 14:06:53"), "buy", num(1), val(3.86), "s1"},
			{"h-c", "p-1", at("2017-01-02 14:06:53"), "buy", num(0), val(0), "s2"}, // a zero is no null
		},
		"lake/events/dt=2017-01-03/part-0.parquet": {{"h-a", "p-9", at("2017-01-03 00:00:00"), "buy", nil, nil, ""}},
	} {
		if got := read[eventRow](t, b, key); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: rows %+v, want %+v", key, got, want)
		}
	}
	wantItems := []itemRow{
		{"p-1", "GROCERY", "FRZN ICE", "ICE - CRUSHED/CUBED", "National", "2"},
		{"p-2", "PASTRY", "BREAD", "BREAD:ITALIAN/FRENCH", "Private", "69"},
		{"p-3", "MISCELLANEOUS", "", "", "National", "2"},
	}
	if got := read[itemRow](t, b, "lake/items.parquet"); !slices.Equal(got, wantItems) {
		t.Errorf("items %+v", got)
	}
	wantCohorts := []cohortRow{
		{"h-a", "65+", "35-49K", "Homeowner", "Married", "2", "2 Adults No Kids", "0"},
		{"h-d", "45-54", "50-74K", "", "", "5+", "1 Adult Kids", "3+"},
	}
	if got := read[cohortRow](t, b, "lake/cohorts.parquet"); !slices.Equal(got, wantCohorts) {
		t.Errorf("cohorts %+v", got)
	}

	from := at("2016-12-31 00:00:00") // the midnight before the day of the first event
	var wantConsent []dataset.ConsentRow
	for i, h := range []string{"h-a", "h-b", "h-c", "h-d"} { // h-d never bought, h-b and h-c have no demographics
		for j, p := range []string{"recommend", "check_fairness"} {
			id := "declared-" + string(rune('1'+2*i+j))
			wantConsent = append(wantConsent, dataset.ConsentRow{Subject: h, Purpose: p, State: "ConsentGiven", Effective: from, Recorded: from, Source: "declared-by-operator", RecordID: id})
		}
	}
	if got := read[dataset.ConsentRow](t, b, "lake/consent/consent.parquet"); !slices.Equal(got, wantConsent) {
		t.Errorf("consent %+v", got)
	}

	want := Facts{
		Events: 5, Subjects: 4, Items: 3, Cohorts: 2, Unknown: 1, Files: 6, Bytes: size,
		First: time.UnixMicro(at("2017-01-01 23:59:59")).UTC(), Last: time.UnixMicro(at("2017-01-03 00:00:00")).UTC(),
		Zone:     "local wall times without a zone, taken for UTC",
		Declared: "consent: ConsentGiven for 4 households and the purposes recommend, check_fairness, effective 2016-12-31T00:00:00Z (before the first event), source: declared-by-operator",
	}
	if !reflect.DeepEqual(facts, want) {
		t.Errorf("facts %+v\nwant  %+v", facts, want)
	}
}

// The product's own reader finds the times and the nulls.
func TestFilesReadAsRawTables(t *testing.T) {
	b := memory()
	if _, err := CompleteJourney(t.Context(), sample, b, ""); err != nil {
		t.Fatal(err)
	}
	var got []any
	for batch, err := range table.Scan(t.Context(), b, storage.Info{Key: "events/dt=2017-01-03/part-0.parquet"}, table.ScanOptions{Columns: []table.Want{
		{Name: "household_id", Type: table.String},
		{Name: "product_id", Type: table.String},
		{Name: "ts", Type: table.Time},
		{Name: "kind", Type: table.String},
		{Name: "amount", Type: table.Float64},
		{Name: "quantity", Type: table.Float64},
		{Name: "store", Type: table.String},
	}}) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range batch.N {
			got = append(got, batch.Cols[0].Str[i], batch.Cols[1].Str[i], batch.Cols[2].Int[i], batch.Cols[3].Str[i],
				batch.Cols[4].Null(i), batch.Cols[5].Null(i), batch.Cols[6].Null(i))
		}
	}
	if want := []any{"h-a", "p-9", at("2017-01-03 00:00:00"), "buy", true, true, true}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// The order of rows in the file leaves no trace.
func TestOrderOfRowsDoesNotMatter(t *testing.T) {
	dir := copySample(t)
	lines := strings.Split(strings.TrimSpace(unzip(t, filepath.Join(dir, "transactions_sample.tsv.gz"))), "\n")
	slices.Reverse(lines[1:])
	remove(t, dir, "transactions_sample.tsv.gz")
	put(t, dir, "transactions_sample.tsv", strings.Join(lines, "\n")) // plain, and without a newline at the end
	a, b := memory(), memory()
	if _, err := CompleteJourney(t.Context(), sample, a, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := CompleteJourney(t.Context(), dir, b, ""); err != nil {
		t.Fatal(err)
	}
	n := 0
	for info, err := range a.List(t.Context(), "", storage.ListOpt{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		other, err := b.Head(t.Context(), info.Key)
		if err != nil || other.ETag != info.ETag {
			t.Errorf("%s differs (%v)", info.Key, err)
		}
	}
	if n != 6 {
		t.Errorf("%d files", n)
	}
}

func TestFaultsNameFileAndLine(t *testing.T) {
	const head = "household_id\tstore_id\tproduct_id\tquantity\tsales_value\ttransaction_timestamp\n"
	const good = "secret-7\ts\tp\t1\t2\t2017-01-01 10:00:00\n"
	for name, c := range map[string]struct{ file, text, want string }{
		"no column":         {"transactions.tsv", strings.Replace(head, "quantity", "qty", 1) + good, `transactions.tsv:1: the header has no column "quantity"`},
		"too few fields":    {"transactions.tsv", head + good + "secret-7\ts\tp\n", "transactions.tsv:3: 3 fields, the header has 6"},
		"bad time":          {"transactions.tsv", head + strings.Replace(good, "10:00", "10-00", 1), "transactions.tsv:2: transaction_timestamp must be"},
		"year out of range": {"transactions.tsv", head + strings.Replace(good, "2017", "0017", 1), "transactions.tsv:2: transaction_timestamp must be"},
		"bad quantity":      {"transactions.tsv", head + good + good + strings.Replace(good, "\t1\t", "\t1.5\t", 1), "transactions.tsv:4: quantity must be"},
		"bad value":         {"transactions.tsv", head + strings.Replace(good, "\t2\t", "\tNaN\t", 1), "transactions.tsv:2: sales_value must be"},
		"no household":      {"transactions.tsv", head + strings.Replace(good, "secret-7", "NA", 1), "transactions.tsv:2: household_id is empty"},
		"no product":        {"transactions.tsv", head + strings.Replace(good, "\tp\t", "\t\t", 1), "transactions.tsv:2: product_id is empty"},
		"no rows":           {"transactions.tsv", head, "no rows below the header"},
		"empty":             {"transactions.tsv", "", "transactions.tsv:1: the file is empty"},
		"endless line":      {"transactions.tsv", head + strings.Repeat("x", longestLine+1), "transactions.tsv:2: bufio.Scanner: token too long"},
		"not gzip":          {"transactions.tsv.gz", head + good, "transactions.tsv.gz: not a gzip file"},
		"cut gzip":          {"transactions.tsv.gz", cut(head + good), "transactions.tsv.gz:1: unexpected EOF: get the file again"},
		"product twice": {
			"products.tsv", "product_id\tdepartment\tproduct_category\tproduct_type\tbrand\tmanufacturer_id\np\t\t\t\t\t\np\t\t\t\t\t\n",
			"products.tsv:3: the row's id stands in a row above",
		},
		"household without id": {
			"demographics.tsv", "household_id\tage\tincome\thome_ownership\tmarital_status\thousehold_size\thousehold_comp\tkids_count\n\t\t\t\t\t\t\t\n",
			"demographics.tsv:2: the row has no id",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copySample(t)
			put(t, dir, c.file, c.text)
			b := memory()
			_, err := CompleteJourney(t.Context(), dir, b, "")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("error %q shows an identifier", err)
			}
			for range b.List(t.Context(), "", storage.ListOpt{}) {
				t.Fatal("a failed import has put something")
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	for file, want := range map[string]string{
		"transactions_sample.tsv.gz": "none of transactions.tsv, transactions.tsv.gz, transactions_sample.tsv, transactions_sample.tsv.gz is there",
		"products.tsv":               "none of products.tsv, products.tsv.gz is there",
		"demographics.tsv":           "none of demographics.tsv, demographics.tsv.gz is there",
	} {
		dir := copySample(t)
		remove(t, dir, file)
		if _, err := CompleteJourney(t.Context(), dir, memory(), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: error %v, want %q", file, err, want)
		}
	}
}

// fullBucket has room for a number of files.
type fullBucket struct {
	storage.Bucket
	room int
}

func (b *fullBucket) Put(ctx context.Context, key string, body storage.Body, c storage.Cond) (storage.Info, error) {
	if b.room--; b.room < 0 {
		return storage.Info{}, storage.ErrFull
	}
	return b.Bucket.Put(ctx, key, body, c)
}

func TestFullBucketAndCancel(t *testing.T) {
	for room := range 6 {
		if _, err := CompleteJourney(t.Context(), sample, &fullBucket{memory(), room}, ""); !errors.Is(err, storage.ErrFull) {
			t.Errorf("room for %d files: error %v", room, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := CompleteJourney(ctx, sample, memory(), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: error %v", err)
	}
}

// Whatever the bytes, readRows gives an error or rows that hold what a row must.
func FuzzTransactions(f *testing.F) {
	f.Add(unzip(f, filepath.Join(sample, "transactions_sample.tsv.gz")))
	f.Add("household_id\tstore_id\tproduct_id\tquantity\tsales_value\ttransaction_timestamp\nh\ts\tp\tNA\tNA\t2017-01-01 10:00:00\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := readRows(t.Context(), "f", strings.NewReader(text), transactionColumns, func(fields []string) (eventRow, error) {
			return parseTransaction(fields, map[string]string{})
		})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("error %q does not name the file", err)
			}
			return
		}
		if n := len(strings.Split(strings.TrimSuffix(text, "\n"), "\n")); len(rows) != n-1 {
			t.Errorf("%d rows of %d lines", len(rows), n)
		}
		for _, r := range rows {
			if r.HouseholdID == "" || r.HouseholdID == "NA" || r.ProductID == "" || r.Kind != "buy" || r.Time < 0 {
				t.Errorf("row %+v", r)
			}
			if r.Amount != nil && (math.IsNaN(*r.Amount) || math.IsInf(*r.Amount, 0)) {
				t.Errorf("amount %v", *r.Amount)
			}
		}
	})
}

func copySample(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(sample)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func put(t *testing.T, dir, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir, file string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, file)); err != nil {
		t.Fatal(err)
	}
}

func unzip(t testing.TB, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// cut compresses a text and loses the end.
func cut(text string) string {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	z.Write([]byte(text)) // to memory: no error
	z.Close()
	return buf.String()[:buf.Len()/2]
}
