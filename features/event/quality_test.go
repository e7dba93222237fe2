package event

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// strict is a shop that expects something of its rows.
func strict(b storage.Bucket, drop bool) Source {
	s := shop(b)
	s.Lateness = 24 * time.Hour
	low, high := 1.0, 100.0
	s.Expect = expect.Set{Name: "events", Columns: map[string]expect.Column{
		"value": {Rule: expect.Rule{Min: &low, Max: &high}}, "device": {Rule: expect.Rule{Required: true, Known: []string{"phone"}}},
	}}
	if drop {
		s.Expect.Duplicates = &expect.Duplicates{Drop: true}
	}
	return s
}

// faulty makes events of day 1 with every fault that a row can have.
func faulty(rng *rand.Rand, n, people int) []rawEvent {
	events := genEvents(rng, 1, n, people)
	for i := range events {
		switch e := &events[i]; rng.IntN(25) {
		case 0:
			e.Amount = math.NaN()
		case 1:
			e.Amount = math.Inf(1 - 2*rng.IntN(2))
		case 2:
			e.TS = rng.Int64N(1e12) // an hour and so after 1970
		case 3:
			e.TS = dayAt(-5).UnixMicro() // arrives later than the lateness allows
		case 4:
			e.TS = dayAt(2).UnixMicro() + rng.Int64N(1e9) // the next day's, in a file of this one
		case 5:
			e.TS = dayAt(0).UnixMicro() + rng.Int64N(1e9) // late, and read by its own day
		case 6:
			if i > 0 {
				events[i] = events[i-1]
				events[i].Amount = []float64{events[i-1].Amount, 2, 0}[rng.IntN(3)] // the same event, and not quite the same row
			}
		}
	}
	return events
}

// finding is what an ingest says of its rows.
type finding struct {
	Kept   []string
	Funnel policy.Funnel
	Bad    map[string]map[expect.Reason]int64
	Nulls  map[string]int64
}

// oracleQuality says row by row, in the words of the documentation, what an ingest of day 1 must keep and quarantine.
func oracleQuality(w *world, events []rawEvent, drop bool) finding {
	out := finding{Funnel: policy.Funnel{}, Bad: map[string]map[expect.Reason]int64{}, Nulls: map[string]int64{}}
	bad := func(column string, why expect.Reason, n int64) {
		if out.Bad[column] == nil {
			out.Bad[column] = map[expect.Reason]int64{}
		}
		out.Bad[column][why] += n
		out.Funnel.Add(policy.BadRow, n)
	}
	group := map[string][]rawEvent{} // by what makes two events the same
	for _, e := range events {
		at := time.UnixMicro(e.TS)
		switch {
		case e.TS == 0:
			bad("time", expect.NoTime, 1)
			continue
		case at.Year() < 1990:
			bad("time", expect.LongAgo, 1)
			continue
		case at.Before(dayAt(0)):
			bad("time", expect.Late, 1)
			continue
		case !at.Before(dayAt(2)):
			bad("time", expect.Ahead, 1)
			continue
		case at.Before(dayAt(1)):
			continue
		}
		f, _ := oracleIngest(w, []rawEvent{e}, 1)
		switch {
		case f[policy.BadRow] > 0 && e.User == "":
			bad("subject", expect.NoID, 1)
		case f[policy.BadRow] > 0:
			bad("item", expect.NoID, 1)
		case f[policy.Kept] == 0:
			out.Funnel.Merge(f)
		case math.IsNaN(e.Amount) || math.IsInf(e.Amount, 0):
			bad("value", expect.NotNumber, 1)
		case e.Amount != 0 && (e.Amount < 1 || e.Amount > 100):
			bad("value", expect.Outside, 1)
		case e.Device == "":
			bad("device", expect.Null, 1)
		case e.Device != "phone":
			bad("device", expect.UnknownCategory, 1)
		default:
			kind := e.Action
			if kind == "" {
				kind = "view"
			}
			key := fmt.Sprint(e.User, " ", e.SKU, " ", e.TS, " ", kind)
			group[key] = append(group[key], e)
		}
	}
	for _, same := range group {
		slices.SortFunc(same, func(a, b rawEvent) int { return int(4 * (a.Amount - b.Amount)) }) // a null, which is 0 here, first
		if drop {
			if n := len(same) - 1; n > 0 {
				bad("", expect.Duplicate, int64(n))
			}
			same = same[:1]
		}
		for _, e := range same {
			out.Funnel.Add(policy.Kept, 1)
			if e.Amount == 0 {
				out.Nulls["value"]++
			}
			_, rows := oracleIngest(w, []rawEvent{e}, 1)
			out.Kept = append(out.Kept, rows...)
		}
	}
	slices.Sort(out.Kept)
	return out
}

// ingestStrict ingests day 1 as a job does, which says what its days are.
func (w *world) ingestStrict(t *testing.T, s Source, d, workers int) (table.Manifest, IngestFacts) {
	t.Helper()
	files, err := s.Listing(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	day, err := table.EveryOf("1d", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	out := s.NewWriter(w.out, "ingest", recommend, 4)
	facts, err := Ingest(context.Background(), IngestPlan{Files: files, Day: oneDay(d), Unit: day, Decisions: w.decisions, Identities: w.ids, Out: out, Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	m, err := out.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m, facts
}

// TestQuarantine compares what an ingest keeps, counts and quarantines with an oracle, for rows in any order, split into any number of files and
// read by any number of workers. Each place is one of a row that the oracle quarantines for that reason.
func TestQuarantine(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for _, drop := range []bool{false, true} {
		events := faulty(rng, 3000, 60)
		var digest table.Digest
		for round, split := range []int{1, 3, 7} {
			w := newWorld(t, 60)
			rows := slices.Clone(events)
			if round > 0 {
				rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
			}
			files := map[string][]rawEvent{}
			for i, chunk := range slices.Collect(slices.Chunk(rows, (len(rows)+split-1)/split)) {
				key := fmt.Sprintf("events/dt=2024-03-02/%02d.parquet", i)
				files[key] = chunk
				putEvents(t, w.lake, key, chunk)
			}
			m, facts := w.ingestStrict(t, strict(w.lake, drop), 1, 1+round)
			want := oracleQuality(w, events, drop)
			got := finding{readRows(t, w.out, m), facts.Funnel, facts.Quality.Bad, facts.Quality.Nulls}
			if !slices.Equal(got.Kept, want.Kept) {
				t.Fatalf("drop %v, %d files: %d rows kept, want %d, or they differ", drop, split, len(got.Kept), len(want.Kept))
			}
			if !reflect.DeepEqual(got.Bad, want.Bad) || !maps.Equal(got.Nulls, want.Nulls) || !maps.Equal(got.Funnel, want.Funnel) {
				t.Fatalf("drop %v, %d files: %v %v %v,\nwant %v %v %v", drop, split, got.Bad, got.Nulls, got.Funnel, want.Bad, want.Nulls, want.Funnel)
			}
			if len(want.Bad["time"]) != 4 || len(want.Bad["value"]) != 2 || len(want.Bad["device"]) != 2 || drop != (want.Bad[""][expect.Duplicate] > 5) {
				t.Fatalf("the events do not have every fault: %v", want.Bad)
			}
			if round == 0 {
				digest = m.Digest
			} else if m.Digest != digest {
				t.Error("the order or the split of rows changed the table")
			}
			n := facts.Quality.Quarantined()
			if split == 1 {
				n = expect.MaxInFile
			}
			if facts.Quality.Files != split || int64(len(facts.Places)) != n || facts.Quality.Kept != int64(len(want.Kept)) {
				t.Errorf("%d places of %d quarantined rows", len(facts.Places), facts.Quality.Quarantined())
			}
			for _, p := range facts.Places {
				e := files[p.File][p.Row]
				if p.Reason != expect.Duplicate && oracleQuality(w, []rawEvent{e}, drop).Bad[p.Column][p.Reason] != 1 || p.Group != int(p.Row)/1000 {
					t.Fatalf("%+v is of %+v", p, e)
				}
			}
		}
	}
}

// TestStraysWithoutDates: in files without a date in the path, rows that lie in no day are counted once, with the last day that the file holds events of.
func TestStraysWithoutDates(t *testing.T) {
	written := dayAt(3)
	for _, stats := range []bool{true, false} {
		w := newWorld(t, 30)
		w.lake = storage.NewMemory(func() time.Time { return written })
		ok := func(at time.Time) rawEvent {
			return rawEvent{User: person(4), SKU: "s", TS: at.UnixMicro(), Device: "phone"}
		}
		rows := []rawEvent{
			ok(dayAt(1).Add(time.Hour)), ok(dayAt(1).Add(2 * time.Hour)), ok(dayAt(2).Add(time.Hour)),
			ok(time.Unix(1, 0)),
			{User: person(4), SKU: "s", Device: "phone"},
			ok(written.Add(24 * time.Hour)), ok(time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)),
		}
		if stats {
			putEvents(t, w.lake, "flat/a.parquet", rows)
		} else {
			var body bytes.Buffer
			if err := parquet.Write(&body, bare(rows), parquet.SkipPageBounds("ts")); err != nil {
				t.Fatal(err)
			}
			put(t, w.lake, "flat/a.parquet", body.Bytes())
		}
		s := strict(w.lake, false)
		s.Path, s.Lateness, s.Expect = "flat/*.parquet", 0, expect.Set{}
		total := map[expect.Reason]int64{}
		for d := range 5 {
			files, err := s.Listing(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if objs, _ := files.Day(oneDay(d)); stats && len(objs) != map[int]int{1: 1, 2: 1}[d] || !stats && len(objs) != 1 {
				t.Errorf("statistics %v: day %d has %d files", stats, d, len(objs))
			}
			_, facts := w.ingestStrict(t, s, d, 1)
			if kept := map[int]int64{1: 2, 2: 1}[d]; facts.Kept != kept {
				t.Errorf("statistics %v: day %d keeps %d events, want %d", stats, d, facts.Kept, kept)
			}
			if n := facts.Quality.Quarantined(); n > 0 && d != 2 || facts.Funnel[policy.BadRow] != n {
				t.Errorf("statistics %v: day %d quarantines %d rows", stats, d, n)
			}
			for why, n := range facts.Quality.Bad["time"] {
				total[why] += n
			}
		}
		if want := map[expect.Reason]int64{expect.LongAgo: 1, expect.NoTime: 1, expect.Ahead: 2}; !maps.Equal(total, want) {
			t.Errorf("statistics %v: %v, want %v", stats, total, want)
		}
	}
}

// TestQualityOfColumns: what files have and lack is told by the names of the project, and how fresh they are to the minute.
func TestQualityOfColumns(t *testing.T) {
	w := newWorld(t, 30)
	type old struct {
		User string `parquet:"user_id"`
		SKU  string `parquet:"sku"`
		TS   int64  `parquet:"ts,timestamp(microsecond)"`
	}
	putParquet(t, w.lake, "events/dt=2024-03-02/a.parquet", []old{{person(4), "s", dayAt(1).Add(5*time.Minute + time.Second).UnixMicro()}})
	putEvents(t, w.lake, "events/dt=2024-03-02/b.parquet", []rawEvent{{User: person(4), SKU: "s", TS: dayAt(1).UnixMicro(), Amount: 2}})
	_, facts := w.ingestStrict(t, shop(w.lake), 1, 2)
	q := facts.Quality
	if want := map[string]int{"kind": 1, "value": 1, "device": 1}; !maps.Equal(q.Lacking, want) || q.Files != 2 {
		t.Errorf("lacking %v of %d files, want %v", q.Lacking, q.Files, want)
	}
	if want := map[string]int64{"value": 1, "device": 2}; !maps.Equal(q.Nulls, want) {
		t.Errorf("nulls %v, want %v", q.Nulls, want)
	}
	if got := slices.Sorted(maps.Keys(q.Columns)); !slices.Equal(got, []string{"action", "amount", "device", "email", "sku", "ts", "user_id"}) || !slices.Equal(q.Columns["ts"], []string{"time"}) {
		t.Errorf("columns %v", q.Columns)
	}
	if !q.Newest.Equal(dayAt(1).Add(5 * time.Minute)) {
		t.Errorf("newest %s", q.Newest)
	}
}

// TestQualityLooksAtNobodyWithoutBasis: of a subject who has not consented, no column says anything.
func TestQualityLooksAtNobodyWithoutBasis(t *testing.T) {
	w := newWorld(t, 30)
	putEvents(t, w.lake, "events/dt=2024-03-02/a.parquet", []rawEvent{
		{User: person(0), SKU: "s", TS: dayAt(1).UnixMicro(), Amount: math.NaN(), Device: "fridge"}, // refused
		{User: person(1), SKU: "s", TS: dayAt(1).UnixMicro(), Amount: -5},                           // no record
	})
	_, facts := w.ingestStrict(t, strict(w.lake, true), 1, 1)
	if q := facts.Quality; q.Quarantined() != 0 || len(q.Nulls) != 0 || len(facts.Places) != 0 || facts.Funnel[policy.BadRow] != 0 {
		t.Errorf("%+v", q)
	}
}

// bareEvent is a rawEvent that is written without statistics.
type bareEvent struct {
	User   string `parquet:"user_id"`
	SKU    string `parquet:"sku"`
	TS     *int64 `parquet:"ts,optional,timestamp(microsecond)"`
	Device string `parquet:"device"`
}

func bare(events []rawEvent) []bareEvent {
	out := make([]bareEvent, len(events))
	for i, e := range events {
		out[i] = bareEvent{User: e.User, SKU: e.SKU, Device: e.Device}
		if e.TS != 0 {
			out[i].TS = &events[i].TS
		}
	}
	return out
}
