package synth

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/rapport-ml/rapport/cmd/internal/dataset"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

var start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC) // a Monday

func small() World {
	return World{Users: 600, Items: 300, Days: 42, Seed: 7, Start: start, EventsPerUser: 90}
}

// made is a world read back from its files.
type made struct {
	events   []eventRow // by day, then time
	perDay   [][]eventRow
	items    []itemRow
	subjects []subjectRow
	cohorts  []cohortRow
	consent  []dataset.ConsentRow
	digest   map[string][32]byte // by file
}

func write(t *testing.T, w World) (made, Facts) {
	t.Helper()
	b := storage.NewMemory(func() time.Time { return start })
	facts, err := w.Write(t.Context(), b, "lake")
	if err != nil {
		t.Fatal(err)
	}
	m := made{digest: map[string][32]byte{}}
	for info, err := range b.List(t.Context(), "lake/", storage.ListOpt{}) {
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := b.Get(t.Context(), info.Key, storage.Range{})
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		m.digest[info.Key] = sha256.Sum256(data)
		switch name := strings.TrimPrefix(info.Key, "lake/"); name {
		case "items.parquet":
			m.items = read[itemRow](t, data)
		case "subjects.parquet":
			m.subjects = read[subjectRow](t, data)
		case "cohorts.parquet":
			m.cohorts = read[cohortRow](t, data)
		case "consent/consent.parquet":
			m.consent = read[dataset.ConsentRow](t, data)
		default:
			rows := read[eventRow](t, data)
			day := start.AddDate(0, 0, len(m.perDay))
			if want := "events/dt=" + day.Format(time.DateOnly) + "/part-0.parquet"; name != want {
				t.Fatalf("file %s, want %s", name, want)
			}
			m.perDay = append(m.perDay, rows)
			m.events = append(m.events, rows...)
		}
	}
	return m, facts
}

func read[T any](t *testing.T, data []byte) []T {
	t.Helper()
	rows, err := parquet.Read[T](bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestSameSeedSameBytes(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	w := small()
	w.Users, w.Days, w.Drift = 100, 7, &Drift{Day: 4}
	var want map[string][32]byte
	for _, procs := range []int{1, 2, 3, 8} {
		runtime.GOMAXPROCS(procs)
		m, _ := write(t, w)
		if want == nil {
			want = m.digest
		}
		if !maps.Equal(m.digest, want) {
			t.Fatalf("GOMAXPROCS %d: other bytes than with 1", procs)
		}
	}
	w.Seed++
	m, _ := write(t, w)
	for file, d := range m.digest {
		if d == want[file] {
			t.Errorf("%s: the same with another seed", file)
		}
	}
}

// The day of drift changes alone: the other files keep their bytes.
func TestDriftTouchesOneDay(t *testing.T) {
	w := small()
	w.Users, w.Days = 100, 7
	plain, _ := write(t, w)
	for _, kind := range []DriftKind{Upstream, Demand, Both, ""} {
		w.Drift = &Drift{Day: 4, Kind: kind}
		drifted, _ := write(t, w)
		for file, d := range drifted.digest {
			if same := d == plain.digest[file]; same == strings.Contains(file, "dt=2026-01-09") {
				t.Errorf("drift %q: %s: same bytes = %v", kind, file, same)
			}
		}
	}
}

func TestEvents(t *testing.T) {
	w := small()
	m, facts := write(t, w)
	if got, want := float64(len(m.events)), float64(w.Users)*w.EventsPerUser; math.Abs(got/want-1) > 0.06 {
		t.Errorf("%v events, want %v ± 6 %%", got, want)
	}
	if facts.Events != int64(len(m.events)) || facts.Subjects != w.Users || facts.Items != w.Items || facts.Files != w.Days+4 || facts.Bytes == 0 {
		t.Errorf("facts %+v", facts)
	}
	if first, last := m.events[0].Time, m.events[len(m.events)-1].Time; facts.First.UnixMicro() != first || facts.Last.UnixMicro() != last {
		t.Errorf("facts say %v to %v, the files %v to %v", facts.First, facts.Last, time.UnixMicro(first), time.UnixMicro(last))
	}
	published := map[string]int64{}
	for _, it := range m.items {
		published[it.SKU] = it.Published
	}
	subjects := map[string]bool{}
	for _, s := range m.subjects {
		subjects[s.UserID] = true
	}
	for d, rows := range m.perDay {
		from, to := start.AddDate(0, 0, d).UnixMicro(), start.AddDate(0, 0, d+1).UnixMicro()
		if !slices.IsSortedFunc(rows, func(a, b eventRow) int { return cmp.Compare(a.Time, b.Time) }) {
			t.Errorf("day %d is not sorted by time", d)
		}
		for _, e := range rows {
			at, ok := published[e.SKU]
			switch {
			case e.Time < from || e.Time >= to:
				t.Fatalf("day %d holds an event of %v", d, time.UnixMicro(e.Time).UTC())
			case !ok || at > e.Time:
				t.Fatalf("an item is unknown or not yet published")
			case !subjects[e.UserID]:
				t.Fatal("an event of nobody")
			case (e.Action == "view") != (e.Amount == 0), e.Amount < 0:
				t.Fatalf("a %s of %v", e.Action, e.Amount)
			case !slices.Contains(devices, e.Device) || !slices.Contains(channels, e.Channel):
				t.Fatalf("device %q, channel %q without drift", e.Device, e.Channel)
			}
		}
	}
}

func TestNewcomersAndSkew(t *testing.T) {
	w := small()
	m, _ := write(t, w)
	first := map[string]int64{}
	perUser, perItem := map[string]int{}, map[string]int{}
	for _, e := range m.events {
		if _, ok := first[e.UserID]; !ok {
			first[e.UserID] = e.Time
		}
		perUser[e.UserID]++
		perItem[e.SKU]++
	}
	late := 0
	for _, at := range first {
		if at >= start.AddDate(0, 0, w.Days/2).UnixMicro() {
			late++
		}
	}
	if late < w.Users/25 { // 7.5 % are planted to arrive in the second half
		t.Errorf("%d of %d subjects come in the second half", late, w.Users)
	}
	fresh := 0
	for _, it := range m.items {
		if it.Published >= start.UnixMicro() && perItem[it.SKU] > 0 {
			fresh++
		}
	}
	if fresh < w.Items/20 {
		t.Errorf("%d of %d items are new and seen", fresh, w.Items)
	}
	if share := topShare(perItem, 0.1); share < 0.25 || share > 0.8 {
		t.Errorf("the top tenth of items has %.2f of the events", share)
	}
	if share := topShare(perUser, 0.1); share < 0.2 || share > 0.6 {
		t.Errorf("the top tenth of subjects has %.2f of the events", share)
	}
}

// topShare is the share of all that the largest fraction p of the counts holds.
func topShare(counts map[string]int, p float64) float64 {
	all := slices.Sorted(maps.Values(counts))
	top, sum := 0, 0
	for i, n := range all {
		sum += n
		if i >= len(all)-int(p*float64(len(all))) {
			top += n
		}
	}
	return float64(top) / float64(sum)
}

// Planted tastes can be learned: what a subject bought and looked at in the first half says more about its second half than somebody
// else's first half does.
func TestTastesAndHabits(t *testing.T) {
	w := small()
	m, _ := write(t, w)
	category := map[string]string{}
	for _, it := range m.items {
		category[it.SKU] = it.Category
	}
	half := start.AddDate(0, 0, w.Days/2).UnixMicro()
	type history struct {
		categories map[string]float64
		bought     map[string]bool
		n          float64
	}
	past := map[string]*history{}
	for _, s := range m.subjects {
		past[s.UserID] = &history{categories: map[string]float64{}, bought: map[string]bool{}}
	}
	for _, e := range m.events {
		if h := past[e.UserID]; e.Time < half {
			h.categories[category[e.SKU]]++
			h.n++
			if e.Action == "buy" {
				h.bought[e.SKU] = true
			}
		}
	}
	// others[i] is some other subject.
	rng := rand.New(rand.NewPCG(1, 1))
	var own, others, again, againOthers, buys, n float64
	for _, e := range m.events {
		h, o := past[e.UserID], past[m.subjects[rng.IntN(len(m.subjects))].UserID]
		if e.Time < half || h.n == 0 || o.n == 0 {
			continue
		}
		n++
		own += h.categories[category[e.SKU]] / h.n
		others += o.categories[category[e.SKU]] / o.n
		if e.Action == "buy" {
			buys++
			if h.bought[e.SKU] {
				again++
			}
			if o.bought[e.SKU] {
				againOthers++
			}
		}
	}
	if lift := own / others; lift < 1.8 {
		t.Errorf("a subject's own categories are %.2f times as telling as another's, want 1.8", lift)
	}
	if share := again / buys; share < 0.3 || again < 4*againOthers {
		t.Errorf("%.2f of buys are of something bought in the first half (%.2f by another), want .3 and four times", share, againOthers/buys)
	}
	t.Logf("category lift %.2f; bought before %.2f, by another %.2f", own/others, again/buys, againOthers/buys)
}

// A sane drift check flags the planted day and no other: PSI above .25 there, below .1 elsewhere.
func TestDriftIsLarge(t *testing.T) {
	const day = 15
	w := small()
	w.Users, w.Days = 1200, 21
	for _, kind := range []DriftKind{Upstream, Demand} {
		w.Drift = &Drift{Day: day, Kind: kind}
		m, _ := write(t, w)
		category := map[string]string{}
		for _, it := range m.items {
			category[it.SKU] = it.Category
		}
		value := func(e eventRow) string { return e.Device }
		if kind == Demand {
			value = func(e eventRow) string { return category[e.SKU] }
		}
		reference := shares(slices.Concat(m.perDay[day-14:day]...), value)
		for d := day; d < day+6; d++ {
			psi := psi(reference, shares(m.perDay[d], value))
			if drifted := d == day; drifted && psi < 0.25 || !drifted && psi > 0.1 {
				t.Errorf("drift %s, day %+d: PSI %.3f", kind, d-day, psi)
			}
		}
	}
}

func shares(rows []eventRow, value func(eventRow) string) map[string]float64 {
	s := map[string]float64{}
	for _, e := range rows {
		s[value(e)] += 1 / float64(len(rows))
	}
	return s
}

// psi is the population stability index Σ (p−q)·ln(p/q), with empty cells at 1e-4.
func psi(p, q map[string]float64) float64 {
	sum := 0.0
	all := maps.Clone(p)
	maps.Copy(all, q)
	for k := range all {
		a, b := max(p[k], 1e-4), max(q[k], 1e-4)
		sum += (a - b) * math.Log(a/b)
	}
	return sum
}

// The product's own reader finds in the files what was written: names, types, nulls.
func TestFilesReadAsRawTables(t *testing.T) {
	b := storage.NewMemory(func() time.Time { return start })
	w := small()
	w.Users, w.Days = 100, 3
	facts, err := w.Write(t.Context(), b, "")
	if err != nil {
		t.Fatal(err)
	}
	count := func(key string, columns ...table.Want) (rows int64, nulls map[string]int64) {
		nulls = map[string]int64{}
		for batch, err := range table.Scan(t.Context(), b, storage.Info{Key: key}, table.ScanOptions{Columns: columns}) {
			if err != nil {
				t.Fatal(err)
			}
			rows += int64(batch.N)
			for i := range batch.Cols {
				for r := range batch.N {
					if batch.Cols[i].Null(r) {
						nulls[columns[i].Name]++
					}
				}
			}
		}
		return rows, nulls
	}
	events := int64(0)
	for d := range w.Days {
		rows, nulls := count("events/dt="+start.AddDate(0, 0, d).Format(time.DateOnly)+"/part-0.parquet",
			table.Want{Name: "user_id", Type: table.String}, table.Want{Name: "sku", Type: table.String}, table.Want{Name: "ts", Type: table.Time},
			table.Want{Name: "action", Type: table.String}, table.Want{Name: "amount", Type: table.Float64},
			table.Want{Name: "device", Type: table.String}, table.Want{Name: "channel", Type: table.String})
		if events += rows; len(nulls) != 1 || nulls["amount"] == 0 || nulls["amount"] == rows {
			t.Errorf("day %d: nulls %v of %d rows; views alone have no amount", d, nulls, rows)
		}
	}
	if events != facts.Events {
		t.Errorf("%d events read, %d written", events, facts.Events)
	}
	text := func(names ...string) (wants []table.Want) {
		for _, n := range names {
			wants = append(wants, table.Want{Name: n, Type: table.String})
		}
		return wants
	}
	items := append(text("sku", "category", "brand"), table.Want{Name: "price", Type: table.Float64}, table.Want{Name: "published", Type: table.Time})
	if rows, nulls := count("items.parquet", items...); rows != int64(w.Items) || len(nulls) > 0 {
		t.Errorf("items: %d rows, nulls %v", rows, nulls)
	}
	if rows, nulls := count("subjects.parquet", text("user_id", "region", "age_band")...); rows != int64(w.Users) || len(nulls) > 0 {
		t.Errorf("subjects: %d rows, nulls %v", rows, nulls)
	}
	rows, nulls := count("cohorts.parquet", text("user_id", "gender", "age_band")...)
	if rows == 0 || rows >= int64(w.Users) || nulls["gender"] == 0 || nulls["user_id"] > 0 {
		t.Errorf("cohorts: %d rows, nulls %v", rows, nulls)
	}
	consent := text("subject", "purpose", "state", "source", "record_id")
	for _, n := range []string{"effective_at", "recorded_at", "expires_at"} {
		consent = append(consent, table.Want{Name: n, Type: table.Time})
	}
	rows, nulls = count("consent/consent.parquet", consent...)
	if rows < int64(w.Users) || len(nulls) != 1 || nulls["expires_at"] < rows-2 { // 1 % of 100 expire
		t.Errorf("consent: %d rows, nulls %v", rows, nulls)
	}
}

func TestValidateListsEveryFault(t *testing.T) {
	w := World{Start: start.Add(time.Hour), EventsPerUser: math.NaN(), Drift: &Drift{Day: 3, Kind: "odd"}}
	_, err := w.Write(t.Context(), storage.NewMemory(func() time.Time { return start }), "")
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"0 users", "0 items", "0 days", "NaN events", "midnight", "drift on day 3", `drift "odd"`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not name %q", err, part)
		}
	}
}

// brokenBucket fails the n-th Put.
type brokenBucket struct {
	storage.Bucket
	left int
}

func (b *brokenBucket) Put(ctx context.Context, key string, body storage.Body, c storage.Cond) (storage.Info, error) {
	if b.left--; b.left < 0 {
		return storage.Info{}, storage.ErrFull
	}
	return b.Bucket.Put(ctx, key, body, c)
}

func TestFullBucketIsReported(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // the counter below is not for several writers
	w := small()
	w.Users, w.Days = 50, 3
	for puts := range w.Days + 4 {
		b := &brokenBucket{Bucket: storage.NewMemory(func() time.Time { return start }), left: puts}
		if _, err := w.Write(t.Context(), b, ""); !errors.Is(err, storage.ErrFull) {
			t.Errorf("Put %d fails: error %v", puts, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Write(ctx, storage.NewMemory(func() time.Time { return start }), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: error %v", err)
	}
}

func TestProgress(t *testing.T) {
	w := small()
	w.Users, w.Days = 50, 5
	var seen []int
	w.OnDay = func(done int) { seen = append(seen, done) }
	write(t, w)
	if !slices.Equal(seen, []int{1, 2, 3, 4, 5}) {
		t.Errorf("OnDay was told %v", seen)
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, c := range []struct {
		name string
		w    World
	}{
		{"users=5000/items=2000/days=60/events=400k", World{Users: 5000, Items: 2000, Days: 60, Seed: 1, Start: start, EventsPerUser: 80}},
		{"users=6040/items=3700/days=60/events=1M", World{Users: 6040, Items: 3700, Days: 60, Seed: 1, Start: start, EventsPerUser: 166}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				facts, err := c.w.Write(b.Context(), storage.NewMemory(func() time.Time { return start }), "")
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(facts.Events), "events")
			}
		})
	}
}

// In a world with impressions every browsed view is one of five items that were shown right before it; in a world without there are none.
func TestShown(t *testing.T) {
	w := small()
	w.Users, w.Days = 60, 7
	if plain, _ := write(t, w); slices.ContainsFunc(plain.events, func(e eventRow) bool { return e.Action == "shown" }) {
		t.Error("a world without impressions has some")
	}
	w.Shown = true
	m, _ := write(t, w)
	last, shown, shelves := map[string][]string{}, 0, 0 // the last items shown to each subject
	for _, e := range m.events {
		switch shelf := last[e.UserID]; e.Action {
		case "shown":
			shown++
			if last[e.UserID] = append(shelf, e.SKU); len(shelf) == shelfSize {
				last[e.UserID] = last[e.UserID][1:]
			}
		case "view":
			if slices.Contains(shelf, e.SKU) {
				shelves++
			}
		}
	}
	// Visits of one subject may lie in one another: a few shelves are mixed up by that.
	if shelves < 200 || shown%shelfSize != 0 || float64(shelves) < 0.95*float64(shown)/shelfSize {
		t.Errorf("%d items are shown, and %d views choose from the last five", shown, shelves)
	}
}
