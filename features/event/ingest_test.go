package event

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
	"github.com/rapport-ml/rapport/storage/table"
)

// oracleIngest says row by row, from consentOf itself, what an ingest of day d must count and keep.
func oracleIngest(w *world, events []rawEvent, d int) (policy.Funnel, []string) {
	f := policy.Funnel{}
	var out []string
	for _, e := range events {
		if e.TS == 0 {
			f.Add(policy.BadRow, 1)
			continue
		}
		at := time.UnixMicro(e.TS)
		if !oneDay(d).Contains(at) {
			continue
		}
		if e.User == "" || e.SKU == "" {
			f.Add(policy.BadRow, 1)
			continue
		}
		var i int
		fmt.Sscanf(e.User, "person-%d", &i)
		why := policy.Kept
		switch {
		case i%10 == 0 || i%10 == 2:
			why = policy.Refused
		case i%10 == 1:
			why = policy.NoRecord
		case i%10 == 3 && at.Before(dayAt(1).Add(12*time.Hour)):
			why = policy.NotYetValid
		}
		f.Add(why, 1)
		if why != policy.Kept {
			continue
		}
		s, _ := w.ids.Find(e.User)
		kind := e.Action
		if kind == "" {
			kind = "view"
		}
		value := fmt.Sprintf("%g", e.Amount)
		if e.Amount == 0 {
			value = "null"
		}
		device := e.Device
		if device == "" {
			device = "null"
		}
		out = append(out, fmt.Sprintf("subject=%d item=%s time=%d kind=%s value=%s device=%s ", int64(s), e.SKU, e.TS, kind, value, device))
	}
	slices.Sort(out)
	return f, out
}

func TestIngestAgainstOracle(t *testing.T) {
	w := newWorld(t, 120)
	rng := rand.New(rand.NewPCG(1, 1))
	day1 := genEvents(rng, 1, 5000, 120)
	day1[0].TS = dayAt(0).UnixMicro() + 5 // arrived late: belongs to day 0
	day1[1].TS = dayAt(1).UnixMicro()     // the first moment is in
	day1[2].TS = dayAt(2).UnixMicro()     // the last is out
	for i := 3; i < 60; i++ {
		day1[i].Action = Ignored // a kind of the files' own, since no map says what it means
	}
	putEvents(t, w.lake, "events/dt=2024-03-02/a.parquet", day1)
	putEvents(t, w.lake, "events/dt=2024-03-03/a.parquet", genEvents(rng, 2, 50, 120))

	m, facts := w.ingest(t, shop(w.lake), oneDay(1), 2, nil)
	funnel, rows := oracleIngest(w, day1, 1)
	if !maps.Equal(facts.Funnel, funnel) {
		t.Errorf("funnel %v, want %v", facts.Funnel, funnel)
	}
	if got := readRows(t, w.out, m); !slices.Equal(got, rows) {
		t.Fatalf("%d rows, want %d, or they differ", len(got), len(rows))
	}
	if facts.Files != 1 || facts.Rows != funnel.Read() || facts.Kept != int64(len(rows)) {
		t.Errorf("facts %+v", facts)
	}
	for _, r := range []policy.Reason{policy.Kept, policy.Refused, policy.NoRecord, policy.NotYetValid, policy.BadRow} {
		if funnel[r] == 0 {
			t.Errorf("the generated day has no %s row", r)
		}
	}
	if want := slices.Index(m.Schema, table.Field{Name: "email", Type: table.String}); want != -1 {
		t.Error("a column that the purpose does not read is in the table")
	}
}

// TestIngestCreated: where the source says when an event became known, it stands beside its time; a file without the column has nulls, and a
// source that doesn't say has no such column.
func TestIngestCreated(t *testing.T) {
	type row struct {
		User    string `parquet:"user_id"`
		SKU     string `parquet:"sku"`
		TS      int64  `parquet:"ts,timestamp(millisecond)"`
		Action  string `parquet:"action"`
		Device  string `parquet:"device"`
		Created *int64 `parquet:"loaded_at,optional,timestamp(nanosecond)"`
	}
	w := newWorld(t, 60)
	at := dayAt(1).UnixMilli()
	loaded := dayAt(4).Add(time.Hour).UnixNano() + 2345
	w.decisions = policy.Decide(policy.Purpose{Name: recommend.Name, Basis: policy.LegitimateInterest, Reads: recommend.Reads}, dayAt(5), nil, nil)
	putParquet(t, w.lake, "events/dt=2024-03-02/a.parquet", []row{
		{User: "a", SKU: "x", TS: at, Action: "view", Device: "web", Created: &loaded}, {User: "b", SKU: "y", TS: at + 1, Action: "buy"},
	})
	putEvents(t, w.lake, "events/dt=2024-03-02/b.parquet", []rawEvent{{User: "c", SKU: "z", TS: dayAt(1).UnixMicro() + 7, Action: "buy", Device: "phone"}})
	s := shop(w.lake)
	plain, _ := w.ingest(t, s, oneDay(1), 1, nil)
	if plain.Schema.Index(ColCreated) >= 0 {
		t.Errorf("a source that does not say when events became known has the columns %v", plain.Schema)
	}
	s.Created = "loaded_at"
	m, facts := w.ingest(t, s, oneDay(1), 1, nil)
	if facts.Kept != 3 {
		t.Fatalf("facts %+v", facts)
	}
	got := map[string]string{}
	for b, err := range table.Read(t.Context(), w.out, m, table.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		created, item, device := b.Col(ColCreated), b.Col(ColItem), b.Col("device")
		for i := range b.N {
			got[item.Str[i]] = fmt.Sprint(created.Null(i), created.Int[i], device.Null(i), device.Str[i])
		}
	}
	want := map[string]string{"x": fmt.Sprint(false, loaded/1000, false, "web"), "y": fmt.Sprint(true, 0, true, ""), "z": fmt.Sprint(true, 0, false, "phone")}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestIngestNumbersNobodyInVain(t *testing.T) {
	w := newWorld(t, 30)
	putEvents(t, w.lake, "events/dt=2024-03-02/a.parquet", genEvents(rand.New(rand.NewPCG(2, 2)), 1, 500, 30))
	before := w.ids.Len()
	w.ingest(t, shop(w.lake), oneDay(1), 1, nil)
	if got := w.ids.Len(); got != before {
		t.Errorf("%d people without a record were numbered", got-before)
	}
}

func TestIngestDependsOnRowsAlone(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	events := genEvents(rng, 1, 4000, 60)
	digest := func(split, workers int, shuffle bool) (table.Digest, policy.Funnel) {
		w := newWorld(t, 60)
		rows := slices.Clone(events)
		if shuffle {
			rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		}
		for i, chunk := range slices.Collect(slices.Chunk(rows, (len(rows)+split-1)/split)) {
			putEvents(t, w.lake, fmt.Sprintf("events/dt=2024-03-02/%02d.parquet", i), chunk)
		}
		m, facts := w.ingest(t, shop(w.lake), oneDay(1), workers, nil)
		return m.Digest, facts.Funnel
	}
	want, funnel := digest(1, 1, false)
	for _, procs := range []int{1, 2, 3, 8} {
		t.Run(fmt.Sprintf("GOMAXPROCS=%d", procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			if got, f := digest(procs, 0, true); got != want || !maps.Equal(f, funnel) {
				t.Errorf("digest %s, funnel %v; want %s, %v", got, f, want, funnel)
			}
		})
	}
}

func TestIngestReadsNoUndeclaredColumn(t *testing.T) {
	w := newWorld(t, 60)
	events := genEvents(rand.New(rand.NewPCG(4, 4)), 1, 3000, 60)
	putEvents(t, w.lake, "events/dt=2024-03-02/a.parquet", events)
	key := "events/dt=2024-03-02/a.parquet"

	// Where the bytes of each column stand, by the footer that another library reads.
	body, _, err := storage.ReadAll(context.Background(), w.lake, key)
	if err != nil {
		t.Fatal(err)
	}
	spans := columnSpans(t, body)
	rec := storagetest.NewRecording(w.lake)
	narrow := recommend
	narrow.Reads = map[string][]string{"events": {"kind"}}
	w.decisions = policy.Decide(narrow, dayAt(5), nil, nil)
	files, err := shop(rec).Listing(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	out := shop(rec).NewWriter(w.out, "ingest", narrow, 1)
	if _, err := Ingest(context.Background(), IngestPlan{Files: files, Day: oneDay(1), Decisions: w.decisions, Identities: w.ids, Out: out}); err != nil {
		t.Fatal(err)
	}
	read := map[string]bool{}
	for _, c := range rec.Gets(key) {
		for _, s := range spans {
			if c.Off < s.end && s.off < c.End {
				read[s.column] = true
			}
		}
	}
	if want := map[string]bool{"user_id": true, "sku": true, "ts": true, "action": true}; !maps.Equal(read, want) {
		t.Errorf("bytes of columns %v were read, want %v", slices.Sorted(maps.Keys(read)), slices.Sorted(maps.Keys(want)))
	}
}

func TestIngestLocatesBadRows(t *testing.T) {
	for _, dated := range []bool{true, false} {
		w := newWorld(t, 60)
		rng := rand.New(rand.NewPCG(5, 5))
		events := slices.DeleteFunc(genEvents(rng, 1, 3000, 60), func(e rawEvent) bool { return e.User == "" || e.SKU == "" || e.TS == 0 })
		events[7].User, events[2100].SKU, events[2200].TS = "", "", 0
		events[2300].User = strings.Repeat("person", 200) // longer than any id may be
		s, key := shop(w.lake), "events/dt=2024-03-02/a.parquet"
		want := []expect.Place{
			{File: key, Group: 0, Row: 7, Column: ColSubject, Reason: expect.NoID},
			{File: key, Group: 2, Row: 2100, Column: ColItem, Reason: expect.NoID},
			{File: key, Group: 2, Row: 2200, Column: ColTime, Reason: expect.NoTime},
			{File: key, Group: 2, Row: 2300, Column: ColSubject, Reason: expect.NoID},
		}
		if !dated {
			s.Path = "events/**/*.parquet"
		}
		putEvents(t, w.lake, key, events)
		_, facts := w.ingest(t, s, oneDay(1), 2, nil)
		if !slices.Equal(facts.BadRows, want) || facts.Funnel[policy.BadRow] != int64(len(want)) {
			t.Errorf("dated %v: bad rows %v, %d counted; want %v", dated, facts.BadRows, facts.Funnel[policy.BadRow], want)
		}
	}
}

func TestIngestErrorsHoldNoIdentifier(t *testing.T) {
	w := newWorld(t, 10)
	type wrong struct {
		User string  `parquet:"user_id"`
		SKU  float64 `parquet:"sku"`
		TS   int64   `parquet:"ts,timestamp(microsecond)"`
	}
	putParquet(t, w.lake, "events/dt=2024-03-02/a.parquet", []wrong{{person(3), 1.5, dayAt(1).UnixMicro()}})
	put(t, w.lake, "events/dt=2024-03-03/a.parquet", []byte("PAR1"+strings.Repeat(person(3), 50)+"PAR1"))
	for d, want := range map[int]string{1: "sku", 2: "events/dt=2024-03-03/a.parquet"} {
		files, err := shop(w.lake).Listing(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		out := shop(w.lake).NewWriter(w.out, "ingest", recommend, 1)
		_, err = Ingest(context.Background(), IngestPlan{Files: files, Day: oneDay(d), Decisions: w.decisions, Identities: w.ids, Out: out})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "person") {
			t.Errorf("day %d: %v, want an error with %q and no id", d, err, want)
		}
	}
	s := shop(w.lake)
	s.Columns = map[string]string{"device": "amount"}
	if _, err := s.wants(recommend); err == nil || !strings.Contains(err.Error(), `"amount"`) {
		t.Errorf("a column of two types: %v", err)
	}
}

func TestIngestIntegerIDs(t *testing.T) {
	w := newWorld(t, 10)
	type intEvent struct {
		User int64 `parquet:"user_id"`
		SKU  int32 `parquet:"sku"`
		TS   int64 `parquet:"ts,timestamp(millisecond)"`
	}
	s := number(t, w.ids, "123")
	w.decisions = policy.Decide(recommend, dayAt(5), []policy.Record{{Subject: s, Purpose: "recommend", State: policy.ConsentGiven, Effective: dayAt(0), Recorded: dayAt(0)}}, nil)
	putParquet(t, w.lake, "events/dt=2024-03-02/a.parquet", []intEvent{{123, 9, dayAt(1).UnixMilli()}, {124, 9, dayAt(1).UnixMilli()}})
	m, _ := w.ingest(t, shop(w.lake), oneDay(1), 1, nil)
	want := []string{fmt.Sprintf("subject=%d item=9 time=%d kind=view value=null device=null ", int64(s), dayAt(1).UnixMicro())}
	if got := readRows(t, w.out, m); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
