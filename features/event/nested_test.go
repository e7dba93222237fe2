package event

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
	"github.com/rapport-ml/rapport/storage/table"
)

// rawOrder is an order as a shop's own system exports it: its lines nested, prices as decimals, local times as text, kinds of its own.
type rawOrder struct {
	Customer rawCustomer `parquet:"customer"`
	At       string      `parquet:"created_at"`
	Type     *string     `parquet:"event_type,optional"`
	Ctx      *rawContext `parquet:"ctx,optional"`
	Items    []rawLine   `parquet:"items,list"`
}

type rawCustomer struct {
	ID    int64  `parquet:"id"`
	Email string `parquet:"email"`
}

type rawContext struct {
	Device string `parquet:"device"`
	IP     string `parquet:"ip"`
}

type rawLine struct {
	SKU   int64  `parquet:"sku,decimal(0:18)"`
	Price int64  `parquet:"price,decimal(2:18)"`
	Note  string `parquet:"note"`
}

func export(b storage.Bucket) Source {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err) // the zone database is part of every machine that tests run on
	}
	return Source{
		Bucket: b, Path: "export/**/*.parquet", Explode: "items", Subject: "customer.id", Item: "items[].sku", Time: "created_at", TimeFormat: "%d.%m.%Y %H:%M:%S",
		Zone: berlin, Kind: "event_type", Kinds: map[string]string{"order_completed": "buy", "heartbeat": Ignored}, Value: "items[].price",
		Columns: map[string]string{"device": "ctx.device"},
	}
}

func localText(t time.Time, s Source) string { return t.In(s.Zone).Format("02.01.2006 15:04:05") }

// orderWorld gives every tenth person no record, as consentOf does.
func orderWorld(t testing.TB, people int) *world {
	w := &world{lake: storage.NewMemory(nil), out: storage.NewMemory(nil), keys: testKeys(t, "k1"), people: people}
	w.ids = openIdentities(t, w.out, w.keys)
	var records []policy.Record
	for i := range people {
		if i%10 != 1 {
			records = append(records, policy.Record{
				Subject: number(t, w.ids, fmt.Sprint(1000+i)), Purpose: "recommend", State: policy.ConsentGiven, Effective: dayAt(-10), Recorded: dayAt(-10),
			})
		}
	}
	flush(t, w.ids)
	w.decisions = policy.Decide(recommend, dayAt(5), records, nil)
	return w
}

func genOrders(rng *rand.Rand, s Source, d, n, people int) []rawOrder {
	bought, beat := "order_completed", "heartbeat"
	out := make([]rawOrder, n)
	for i := range out {
		who := rng.IntN(people)
		o := rawOrder{
			Customer: rawCustomer{int64(1000 + who), fmt.Sprintf("person-%d@canary.invalid", who)}, Type: &bought,
			At: localText(dayAt(d).Add(time.Duration(rng.Int64N(86400))*time.Second), s),
		}
		for range rng.IntN(4) {
			o.Items = append(o.Items, rawLine{rng.Int64N(50), rng.Int64N(9999), "for person " + fmt.Sprint(who)})
		}
		if rng.IntN(3) > 0 {
			o.Ctx = &rawContext{[]string{"phone", "web", ""}[rng.IntN(3)], "192.0.2.7"}
		}
		if rng.IntN(9) == 0 {
			o.Type = &beat
		}
		out[i] = o
	}
	return out
}

// TestIngestNestedAgainstOracle: a messy export, whose files have no date in their path, day by day against what was put into it.
func TestIngestNestedAgainstOracle(t *testing.T) {
	w := orderWorld(t, 60)
	s := export(w.lake)
	rng := rand.New(rand.NewPCG(8, 8))
	var all []rawOrder
	for d := range 3 {
		orders := genOrders(rng, s, d, 400, 60)
		all = append(all, orders...)
		putParquet(t, w.lake, fmt.Sprintf("export/run-%d/part-0.parquet", d), orders)
	}
	put(t, w.lake, "export/run-2/_SUCCESS", nil)
	s.Path = "export/**/*" // a marker is no data, whatever the pattern matches
	for d := range 3 {
		m, facts := w.ingest(t, s, oneDay(d), 2, nil)
		want := IngestFacts{Funnel: policy.Funnel{}}
		var rows []string
		for _, o := range all {
			at, err := time.ParseInLocation("02.01.2006 15:04:05", o.At, s.Zone)
			if err != nil {
				t.Fatal(err)
			}
			if !oneDay(d).Contains(at) {
				continue
			}
			if len(o.Items) == 0 {
				want.Empty++
			}
			for _, line := range o.Items {
				switch {
				case *o.Type == "heartbeat":
					want.IgnoredKinds++
					continue
				case o.Customer.ID%10 == 1:
					want.Funnel.Add(policy.NoRecord, 1)
					continue
				}
				want.Funnel.Add(policy.Kept, 1)
				device := "null"
				if o.Ctx != nil && o.Ctx.Device != "" {
					device = o.Ctx.Device
				}
				subject, _ := w.ids.Find(fmt.Sprint(o.Customer.ID))
				rows = append(rows, fmt.Sprintf("subject=%d item=%d time=%d kind=buy value=%g device=%s ", int64(subject), line.SKU, at.UnixMicro(), float64(line.Price)/100, device))
			}
		}
		slices.Sort(rows)
		if got := readRows(t, w.out, m); !slices.Equal(got, rows) || len(rows) < 100 {
			t.Fatalf("day %d: %d rows, want %d, or they differ", d, len(got), len(rows))
		}
		if !maps.Equal(facts.Funnel, want.Funnel) || facts.IgnoredKinds != want.IgnoredKinds || facts.Empty != want.Empty || facts.UnknownKinds != 0 || want.Empty == 0 || want.IgnoredKinds == 0 {
			t.Errorf("day %d: facts %+v, want %+v", d, facts, want)
		}
	}
}

// TestIngestNestedReadsNoUndeclaredColumn: what stands beside a declared column in a struct or in a list's elements is not even fetched.
func TestIngestNestedReadsNoUndeclaredColumn(t *testing.T) {
	w := orderWorld(t, 60)
	s := export(w.lake)
	key := "export/run-1/part-0.parquet"
	putParquet(t, w.lake, key, genOrders(rand.New(rand.NewPCG(4, 4)), s, 1, 3000, 60))
	body, _, err := storage.ReadAll(context.Background(), w.lake, key)
	if err != nil {
		t.Fatal(err)
	}
	type span struct {
		column   string
		off, end int64
	}
	f, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	var spans []span
	for _, g := range f.Metadata().RowGroups {
		for _, c := range g.Columns {
			start := c.MetaData.DataPageOffset
			if d := c.MetaData.DictionaryPageOffset; d > 0 {
				start = min(start, d)
			}
			spans = append(spans, span{strings.Join(c.MetaData.PathInSchema, "."), start, start + c.MetaData.TotalCompressedSize})
		}
	}
	rec := storagetest.NewRecording(w.lake)
	s.Bucket = rec
	w.ingest(t, s, oneDay(1), 1, nil)
	read := map[string]bool{}
	for _, c := range rec.Gets(key) {
		for _, s := range spans {
			if c.Off < s.end && s.off < c.End {
				read[s.column] = true
			}
		}
	}
	want := []string{"created_at", "ctx.device", "customer.id", "event_type", "items.list.element.price", "items.list.element.sku"}
	if got := slices.Sorted(maps.Keys(read)); !slices.Equal(got, want) {
		t.Errorf("bytes of columns %v were read, want %v", got, want)
	}
}

// TestIngestUnknownKinds: a few rows of unknown kind are left out and counted; more than the limit fail the day, and the error says where and
// what to do, not which kind.
func TestIngestUnknownKinds(t *testing.T) {
	w := orderWorld(t, 60)
	s := export(w.lake)
	orders := genOrders(rand.New(rand.NewPCG(6, 6)), s, 1, 500, 60)
	for i := range orders {
		orders[i].Items = orders[i].Items[:0]
		orders[i].Items = append(orders[i].Items, rawLine{SKU: 1, Price: 1})
	}
	strange := "person-7@canary.invalid"
	orders[100].Type, orders[300].Type = &strange, nil // a row without a kind is of unknown kind, as no default is declared
	try := func(s Source) (IngestFacts, error) {
		putParquet(t, w.lake, "export/run-1/part-0.parquet", orders)
		files, err := s.Listing(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return Ingest(t.Context(), IngestPlan{Files: files, Day: oneDay(1), Decisions: w.decisions, Identities: w.ids, Out: s.NewWriter(w.out, "ingest", recommend, 1)})
	}
	facts, err := try(s)
	if err != nil || facts.UnknownKinds != 2 || facts.Rows+facts.IgnoredKinds != 498 {
		t.Fatalf("two unknown rows of 500: %+v, %v", facts, err)
	}
	s.DefaultKind = "view"
	if facts, err = try(s); err != nil || facts.UnknownKinds != 1 {
		t.Errorf("with a default kind: %+v, %v", facts, err)
	}
	s.DefaultKind, s.MaxUnknown = "", 0.003
	_, err = try(s)
	if !errors.Is(err, ErrUnknownKinds) || !strings.Contains(err.Error(), "2 of the day's 500 rows (the first: export/run-1/part-0.parquet, row 100), 0.4 % where 0.3 % are allowed") || strings.Contains(err.Error(), "person") {
		t.Errorf("over the limit: %v", err)
	}
	s.MaxUnknown = 0
	for i := range 7 {
		orders[400+i].Type = &strange
	}
	if _, err = try(s); !errors.Is(err, ErrUnknownKinds) || !strings.Contains(err.Error(), "9 of the day's 500 rows") || !strings.Contains(err.Error(), "1 % are allowed") {
		t.Errorf("over the default limit: %v", err)
	}
	blind := recommend
	blind.Reads = map[string][]string{"events": {"value"}}
	if _, err := s.wants(blind); err == nil || !strings.Contains(err.Error(), "add kind to its reads.events") {
		t.Errorf("a purpose that does not read kinds: %v", err)
	}
	s.Item = "sku"
	if _, err := s.wants(recommend); err == nil || !strings.Contains(err.Error(), `"items[].sku"`) {
		t.Errorf("an item that is none of an element: %v", err)
	}
}

// TestIngestRequired: a column that some files of a day lack is null in them; one that all lack fails the day if it is required.
func TestIngestRequired(t *testing.T) {
	type bare struct {
		User string `parquet:"user_id"`
		SKU  string `parquet:"sku"`
		TS   int64  `parquet:"ts,timestamp(microsecond)"`
	}
	type dear struct {
		bare
		Amount float64 `parquet:"amount"`
	}
	w := newWorld(t, 10)
	s := shop(w.lake)
	s.Required = []string{ColValue, "device"}
	try := func() (IngestFacts, error) {
		files, err := s.Listing(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return Ingest(t.Context(), IngestPlan{Files: files, Day: oneDay(1), Decisions: w.decisions, Identities: w.ids, Out: s.NewWriter(w.out, "ingest", recommend, 1)})
	}
	row := bare{person(4), "a", dayAt(1).UnixMicro()}
	putParquet(t, w.lake, "events/dt=2024-03-02/a.parquet", []bare{row})
	_, err := try()
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), `none of the 1 files of the day has the column "amount" (value)`) || !strings.Contains(err.Error(), `the column "device" (device)`) ||
		!strings.Contains(err.Error(), "take device out of what uses it") {
		t.Errorf("all files lack both: %v", err)
	}
	s.Required = []string{ColValue}
	putParquet(t, w.lake, "events/dt=2024-03-02/b.parquet", []dear{{row, 3}})
	if facts, err := try(); err != nil || facts.Kept != 2 {
		t.Errorf("one file has it: %+v, %v", facts, err)
	}
	s.Required = []string{"device"}
	if _, err := try(); !errors.Is(err, ErrMissing) {
		t.Errorf("both files lack one: %v", err)
	}
	s.Required = nil
	if facts, err := try(); err != nil || facts.Kept != 2 {
		t.Errorf("nothing is required: %+v, %v", facts, err)
	}
}

// TestReady: a day is complete by its _SUCCESS, or when it has settled.
func TestReady(t *testing.T) {
	now := dayAt(0)
	lake := storage.NewMemory(func() time.Time { return now })
	settle := 2 * time.Hour
	ready := func(pattern string, iv table.Interval, at time.Time) string {
		s := shop(lake)
		s.Path, s.Settle = pattern, settle
		files, err := s.Listing(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r, err := files.Ready(t.Context(), iv, at)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Settles.Equal(iv.End.Add(settle)) || r.Ready != (r.Lacks == "") {
			t.Errorf("%+v", r)
		}
		return r.Lacks
	}
	check := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	const dated, spread = "events/dt={date}/*.parquet", "events/*/{yyyy}/{mm}/{dd}/*.parquet"
	soon := dayAt(2).Add(time.Hour)
	check("no file, no marker", ready(dated, oneDay(1), soon), "no _SUCCESS under events/dt=2024-03-02/")
	check("settled", ready(dated, oneDay(1), dayAt(2).Add(settle)), "")
	putEvents(t, lake, "events/dt=2024-03-02/a.parquet", genEvents(rand.New(rand.NewPCG(1, 1)), 1, 5, 5))
	check("no marker", ready(dated, oneDay(1), soon), "no _SUCCESS under events/dt=2024-03-02/")
	put(t, lake, "events/dt=2024-03-02/_SUCCESS", nil)
	check("marked", ready(dated, oneDay(1), soon), "")
	check("a wildcard takes no marker for data", ready("events/dt={date}/*", oneDay(1), soon), "")
	put(t, lake, "events/dt=2024-03-03/_SUCCESS", nil)
	check("a day without rows", ready(dated, oneDay(2), dayAt(3)), "")
	check("two days, one of them marked", ready(dated, table.Interval{Start: dayAt(2), End: dayAt(4)}, dayAt(4)), "no _SUCCESS under events/dt=2024-03-04/")

	putEvents(t, lake, "events/web/2024/03/02/a.parquet", genEvents(rand.New(rand.NewPCG(1, 2)), 1, 5, 5))
	putEvents(t, lake, "events/app/2024/03/02/a.parquet", genEvents(rand.New(rand.NewPCG(1, 3)), 1, 5, 5))
	put(t, lake, "events/app/2024/03/02/_SUCCESS", nil)
	check("one folder of two", ready(spread, oneDay(1), soon), "no _SUCCESS under events/web/2024/03/02/")
	check("no folder can be named", ready(spread, oneDay(5), dayAt(6)), "no file holds events of it")

	now = dayAt(1).Add(12 * time.Hour) // a file is not written days before its events
	putEvents(t, lake, "flat/a.parquet", genEvents(rand.New(rand.NewPCG(1, 4)), 1, 5, 5))
	put(t, lake, "flat/_SUCCESS", nil)
	check("a marker from before the day's end", ready("flat/*.parquet", oneDay(1), soon), "the _SUCCESS under flat/ was written before its end")
	now = dayAt(2)
	put(t, lake, "flat/_SUCCESS", nil)
	check("a marker from after it", ready("flat/*.parquet", oneDay(1), soon), "")
	check("no file of the day", ready("flat/*.parquet", oneDay(3), dayAt(4)), "no file holds events of it")
	settle = 0
	check("not asked for", ready("flat/*.parquet", oneDay(3), dayAt(4)), "")
}
