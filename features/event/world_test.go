package event

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// rawEvent is a row as a shop's own system writes it: "" and 0 are null. Email is declared by nobody.
type rawEvent struct {
	User   string  `parquet:"user_id,optional,dict"`
	SKU    string  `parquet:"sku,optional,dict"`
	TS     int64   `parquet:"ts,optional,timestamp(microsecond)"`
	Action string  `parquet:"action,optional,dict"`
	Amount float64 `parquet:"amount,optional"`
	Device string  `parquet:"device,optional,dict"`
	Email  string  `parquet:"email,optional"`
}

func putParquet[T any](t testing.TB, b storage.Bucket, key string, rows []T) {
	t.Helper()
	var buf bytes.Buffer
	w := parquet.NewGenericWriter[T](&buf, parquet.MaxRowsPerRowGroup(1000), parquet.Compression(&parquet.Snappy))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, b, key, buf.Bytes())
}

// putEvents writes events with "" and 0 as nulls. It gives the writer values with levels: its own reading of optional struct
// fields sometimes writes an empty string where there is none.
func putEvents(t testing.TB, b storage.Bucket, key string, events []rawEvent) {
	t.Helper()
	var buf bytes.Buffer
	w := parquet.NewGenericWriter[rawEvent](&buf, parquet.MaxRowsPerRowGroup(1000), parquet.Compression(&parquet.Snappy))
	for _, e := range events {
		var row parquet.Row
		add := func(v any, null bool) {
			if null {
				row = append(row, parquet.NullValue().Level(0, 0, len(row)))
			} else {
				row = append(row, parquet.ValueOf(v).Level(0, 1, len(row)))
			}
		}
		add(e.User, e.User == "")
		add(e.SKU, e.SKU == "")
		add(e.TS, e.TS == 0)
		add(e.Action, e.Action == "")
		add(e.Amount, e.Amount == 0)
		add(e.Device, e.Device == "")
		add(e.Email, e.Email == "")
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, b, key, buf.Bytes())
}

func put(t testing.TB, b storage.Bucket, key string, body []byte) {
	t.Helper()
	if _, err := b.Put(context.Background(), key, storage.Bytes(body), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
}

func dayAt(n int) time.Time { return time.Date(2024, 3, 1+n, 0, 0, 0, 0, time.UTC) }

func oneDay(n int) table.Interval { return table.Interval{Start: dayAt(n), End: dayAt(n + 1)} }

var recommend = policy.Purpose{
	Name: "recommend", Says: "Suggest things.", Basis: policy.Consent,
	Reads: map[string][]string{"events": {"kind", "value", "device"}, "items": {"category", "price"}},
	Keep:  map[string]time.Duration{"events": 100 * 24 * time.Hour},
}

func shop(b storage.Bucket) Source {
	return Source{
		Bucket: b, Path: "events/dt={date}/*.parquet", Subject: "user_id", Item: "sku", Time: "ts", Kind: "action", Value: "amount",
		Columns: map[string]string{"device": "device", "email": "email"}, DefaultKind: "view",
	}
}

// genEvents makes n events of people within day d, among them rows without a subject, an item, a time or a kind.
func genEvents(rng *rand.Rand, d, n, people int) []rawEvent {
	out := make([]rawEvent, n)
	for i := range out {
		who := person(rng.IntN(people))
		out[i] = rawEvent{
			User: who, SKU: fmt.Sprintf("sku-%03d", rng.IntN(80)), TS: dayAt(d).UnixMicro() + rng.Int64N(86400e6),
			Action: []string{"view", "buy", ""}[rng.IntN(3)], Amount: float64(rng.IntN(500)) / 4, Device: []string{"phone", "web", ""}[rng.IntN(3)],
			Email: who + "@canary.invalid",
		}
		switch rng.IntN(60) {
		case 0:
			out[i].User = ""
		case 1:
			out[i].SKU = ""
		case 2:
			out[i].TS = 0
		}
	}
	return out
}

// consentOf is the history of a person, by number: every tenth refused, every tenth has no record, every tenth withdrew on day 2, every
// tenth consented on day 1 at noon, all others before the first event.
func consentOf(s policy.Subject, i int) []policy.Record {
	given := policy.Record{Subject: s, Purpose: "recommend", State: policy.ConsentGiven, Effective: dayAt(-10), Recorded: dayAt(-10)}
	switch i % 10 {
	case 0:
		given.State = policy.ConsentRefused
	case 1:
		return nil
	case 2:
		no := given
		no.State, no.Effective, no.Recorded = policy.Withdrawn, dayAt(2), dayAt(2)
		return []policy.Record{given, no}
	case 3:
		given.Effective = dayAt(1).Add(12 * time.Hour)
	}
	return []policy.Record{given}
}

// world is a shop with people and their consent.
type world struct {
	lake, out storage.Bucket
	keys      Keys
	ids       *Identities
	decisions *policy.Decisions
	people    int
}

func newWorld(t testing.TB, people int) *world {
	w := &world{lake: storage.NewMemory(nil), out: storage.NewMemory(nil), keys: testKeys(t, "k1"), people: people}
	w.ids = openIdentities(t, w.out, w.keys)
	var records []policy.Record
	for i := range people {
		if i%10 == 1 {
			continue
		}
		records = append(records, consentOf(number(t, w.ids, person(i)), i)...)
	}
	flush(t, w.ids)
	w.decisions = policy.Decide(recommend, dayAt(5), records, nil)
	return w
}

func (w *world) ingest(t testing.TB, s Source, iv table.Interval, workers int, sup *Suppressions) (table.Manifest, IngestFacts) {
	t.Helper()
	files, err := s.Listing(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	out := s.NewWriter(w.out, "ingest", recommend, 4)
	facts, err := Ingest(context.Background(), IngestPlan{
		Files: files, Day: iv, Decisions: w.decisions, Identities: w.ids, Suppressions: sup, Out: out, Workers: workers,
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := out.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return m, facts
}

// readRows returns the rows of a table as text, sorted.
func readRows(t testing.TB, b storage.Bucket, m table.Manifest) []string {
	t.Helper()
	var out []string
	for batch, err := range table.Read(context.Background(), b, m, table.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range batch.N {
			out = append(out, rowText(batch, i))
		}
	}
	slices.Sort(out)
	return out
}

func rowText(b *table.Batch, i int) string {
	line := ""
	for j, f := range b.Schema {
		c := &b.Cols[j]
		switch {
		case c.Null(i):
			line += f.Name + "=null "
		case f.Type == table.Float64:
			line += fmt.Sprintf("%s=%g ", f.Name, c.Float[i])
		case f.Type == table.String:
			line += fmt.Sprintf("%s=%s ", f.Name, c.Str[i])
		default:
			line += fmt.Sprintf("%s=%d ", f.Name, c.Int[i])
		}
	}
	return line
}
