package table

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// eventsFile has columns user, at (one ms a step, ascending, a null every 10th row), secret, item, in row groups of 100 rows; row i is at
// i seconds.
func eventsFile(t testing.TB, n int, props ...parquet.WriterProperty) []byte {
	t.Helper()
	users, ats, items := make([]int64, n), make([]int64, n), make([]parquet.ByteArray, n)
	for i := range n {
		users[i], ats[i], items[i] = int64(i%17), int64(i)*1000, parquet.ByteArray(fmt.Sprintf("item-%d", i%23))
	}
	return rawParquet(t, n, 100, []rawColumn{
		values(node(t, "user", required, nil, parquet.Types.Int64, -1), users, nil),
		values(node(t, "at", optional, timestamp(true, schema.TimeUnitMillis), parquet.Types.Int64, -1), ats, func(i int) bool { return i%10 == 9 }),
		values(node(t, "secret", required, nil, parquet.Types.ByteArray, -1), items, nil),
		values(node(t, "item", optional, schema.StringLogicalType{}, parquet.Types.ByteArray, -1), items, nil),
	}, props...)
}

func seconds(from, to int64) Interval {
	return Interval{time.Unix(from, 0).UTC(), time.Unix(to, 0).UTC()}
}

// footerOf decodes a file's footer.
func footerOf(t testing.TB, body []byte) (*metadata.FileMetaData, int) {
	t.Helper()
	n := int(binary.LittleEndian.Uint32(body[len(body)-8:]))
	meta, err := metadata.NewFileMetaData(body[len(body)-8-n:len(body)-8], nil)
	if err != nil {
		t.Fatal(err)
	}
	return meta, len(body) - 8 - n
}

// withFooter returns the file with its footer changed by edit.
func withFooter(t testing.TB, body []byte, edit func(*metadata.FileMetaData)) []byte {
	t.Helper()
	meta, at := footerOf(t, body)
	edit(meta)
	var buf bytes.Buffer
	buf.Write(body[:at])
	n, err := meta.WriteTo(&buf, nil)
	if err != nil {
		t.Fatal(err)
	}
	buf.Write(binary.LittleEndian.AppendUint32(nil, uint32(n)))
	buf.WriteString("PAR1")
	return buf.Bytes()
}

// TestScanReadsDeclaredOnly records every byte asked of the bucket: the tail, the footer, and the chunks of declared columns of row
// groups that may match. Nothing else, whatever the read-ahead; touching chunks in one request.
func TestScanReadsDeclaredOnly(t *testing.T) {
	body := eventsFile(t, 1000)
	meta, footer := footerOf(t, body)
	allowed := make([]string, len(body)) // what each byte is
	for i := range allowed {
		switch {
		case i >= footer:
			allowed[i] = "footer"
		}
	}
	for g := range meta.RowGroups {
		for c, col := range meta.RowGroups[g].Columns {
			start := col.MetaData.DataPageOffset
			if d := col.MetaData.DictionaryPageOffset; d != nil {
				start = min(start, *d)
			}
			for i := start; i < start+col.MetaData.TotalCompressedSize; i++ {
				allowed[i] = fmt.Sprintf("%d %s", g, meta.Schema.Column(c).Name())
			}
		}
	}
	for _, ahead := range []int{1, 4} {
		rec := storagetest.NewRecording(memoryWith(t, body))
		o := ScanOptions{Columns: []Want{{Name: "user"}, {Name: "item"}}, Time: "at", Window: seconds(250, 450), Ahead: ahead, BatchRows: 64}
		got, err := collect(Scan(context.Background(), rec, storage.Info{Key: "raw/f.parquet"}, o))
		if err != nil || got.N != 180 || got.Cols[0].Int[0] != 250%17 {
			t.Fatalf("%d rows, %v", got.N, err)
		}
		touched := map[string]bool{}
		for _, c := range rec.Gets("raw/f.parquet") {
			if c.Off+c.Read > c.End || c.Ask.IfMatch == "" {
				t.Errorf("request %+v", c)
			}
			for i := c.Off; i < c.End; i++ {
				touched[allowed[i]] = true
			}
		}
		want := map[string]bool{"footer": true}
		for _, g := range []int{2, 3, 4} { // seconds 200 to 500
			for _, c := range []string{"user", "at", "item"} {
				want[fmt.Sprintf("%d %s", g, c)] = true
			}
		}
		if fmt.Sprint(touched) != fmt.Sprint(want) {
			t.Errorf("bytes of %v were asked for, want %v", touched, want)
		}
		// Tail, footer, then per row group user+at (they touch) and item.
		if n := len(rec.Gets("raw/f.parquet")); n != 2+3*2 {
			t.Errorf("%d requests", n)
		}
	}
}

// TestScanWindow compares windows with a filter over all rows.
func TestScanWindow(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	body := eventsFile(t, 700)
	all, err := scanAll(t, body, ScanOptions{Columns: []Want{{Name: "at"}, {Name: "item"}, {Name: "user"}}})
	if err != nil {
		t.Fatal(err)
	}
	for range 60 {
		from := r.Int64N(800) - 50
		w := seconds(from, from+1+r.Int64N(300))
		var want []string
		for i, line := range lines(all) {
			if !all.Cols[0].Null(i) && w.Contains(time.UnixMicro(all.Cols[0].Int[i])) {
				want = append(want, line)
			}
		}
		o := ScanOptions{Columns: []Want{{Name: "at"}, {Name: "item"}, {Name: "user"}}, Time: "at", Window: w, BatchRows: 1 + r.IntN(150)}
		got, err := scanAll(t, body, o)
		if err != nil || !slices.Equal(lines(got), want) {
			t.Fatalf("%s: %d rows, want %d, %v", w, got.N, len(want), err)
		}
		o.Columns = o.Columns[1:] // the time column is read, not delivered
		hidden, err := scanAll(t, body, o)
		if err != nil || hidden.N != len(want) || len(want) > 0 && len(hidden.Cols) != 2 {
			t.Fatalf("%s: %d rows without the time column, %v", w, hidden.N, err)
		}
		o.KeepOutside = true
		if got, err = scanAll(t, body, o); err != nil || got.N != 700 {
			t.Fatalf("%s: %d rows with those outside, %v", w, got.N, err)
		}
	}
}

// TestScanStatistics damages the statistics of the time column: whatever is missing or absurd, no row of the window is lost.
func TestScanStatistics(t *testing.T) {
	body := eventsFile(t, 500)
	le := func(v int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(v)) }
	o := ScanOptions{Columns: []Want{{Name: "user"}}, Time: "at", Window: seconds(100, 200)}
	for name, c := range map[string]struct {
		edit   func(m *metadata.FileMetaData, g int)
		groups int // row groups that must be read
	}{
		"as written": {func(*metadata.FileMetaData, int) {}, 1},
		"none":       {func(m *metadata.FileMetaData, g int) { m.RowGroups[g].Columns[1].MetaData.Statistics = nil }, 5},
		"no least": {func(m *metadata.FileMetaData, g int) {
			st := m.RowGroups[g].Columns[1].MetaData.Statistics
			st.MinValue, st.Min = nil, nil
		}, 5},
		"no greatest": {func(m *metadata.FileMetaData, g int) {
			st := m.RowGroups[g].Columns[1].MetaData.Statistics
			st.MaxValue, st.Max = nil, nil
		}, 5},
		"cut off": {func(m *metadata.FileMetaData, g int) {
			st := m.RowGroups[g].Columns[1].MetaData.Statistics
			st.MinValue, st.Min = st.MinValue[:3], nil
		}, 5},
		"least over greatest": {func(m *metadata.FileMetaData, g int) {
			st := m.RowGroups[g].Columns[1].MetaData.Statistics
			st.MinValue, st.MaxValue, st.Min, st.Max = le(9e15), le(8e15), nil, nil
		}, 5},
		"older fields": {func(m *metadata.FileMetaData, g int) {
			st := m.RowGroups[g].Columns[1].MetaData.Statistics
			st.Min, st.Max, st.MinValue, st.MaxValue = st.MinValue, st.MaxValue, nil, nil
		}, 1},
	} {
		changed := withFooter(t, body, func(m *metadata.FileMetaData) {
			for g := range m.RowGroups {
				c.edit(m, g)
			}
		})
		rec := storagetest.NewRecording(memoryWith(t, changed))
		got, err := collect(Scan(context.Background(), rec, storage.Info{Key: "raw/f.parquet"}, o))
		if err != nil || got.N != 90 {
			t.Errorf("%s: %d rows, %v", name, got.N, err)
		}
		if n := rec.Count(storagetest.Get) - 2; n != c.groups { // user and at touch: one request a group
			t.Errorf("%s: %d row groups read, want %d", name, n, c.groups)
		}
	}
	bare, err := scanAll(t, eventsFile(t, 500, parquet.WithStats(false)), o)
	if err != nil || bare.N != 90 {
		t.Errorf("a writer without statistics: %d rows, %v", bare.N, err)
	}
}

// TestScanChangedObject rewrites the object between two requests.
func TestScanChangedObject(t *testing.T) {
	mem := memoryWith(t, eventsFile(t, 1000))
	n := 0
	var last error
	for b, err := range Scan(context.Background(), mem, storage.Info{Key: "raw/f.parquet"}, ScanOptions{Columns: []Want{{Name: "item"}}}) {
		if last = err; err != nil {
			break
		}
		if n += b.N; n == 100 {
			put(t, mem, "raw/f.parquet", eventsFile(t, 900))
		}
	}
	if !errors.Is(last, storage.ErrPrecondition) || !strings.Contains(last.Error(), "run again") || !strings.Contains(last.Error(), "raw/f.parquet") || n > 300 {
		t.Errorf("%d rows, then %v", n, last)
	}
	info, err := mem.Head(context.Background(), "raw/f.parquet")
	if err != nil {
		t.Fatal(err)
	}
	info.ETag = "stale"
	if _, err := collect(Scan(context.Background(), mem, info, ScanOptions{})); !errors.Is(err, storage.ErrPrecondition) {
		t.Errorf("a stale listing: %v", err)
	}
	if _, err := collect(Scan(context.Background(), mem, storage.Info{Key: "raw/none"}, ScanOptions{})); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("no object: %v", err)
	}
}

// TestScanBigChunks gives a row group a budget smaller than its chunks: they are fetched in pieces while they are decoded.
func TestScanBigChunks(t *testing.T) {
	body := eventsFile(t, 1000, parquet.WithDictionaryDefault(false))
	want, err := scanAll(t, body, ScanOptions{Columns: []Want{{Name: "user"}, {Name: "item"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, budget := range []int64{0, 900, 3000} {
		rec := storagetest.NewRecording(memoryWith(t, body))
		o, err := ScanOptions{Columns: []Want{{Name: "user"}, {Name: "item"}}, BatchRows: 30}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		s, err := openScan(context.Background(), rec, storage.Info{Key: "raw/f.parquet"}, o)
		if err != nil {
			t.Fatal(err)
		}
		s.budget, s.piece = budget, 300
		all := newRows(s.out.Schema)
		if err := s.run(context.Background(), func(b *Batch) bool { return all.add(b, selection{n: b.N}) == nil }); err != nil {
			t.Fatalf("budget %d: %v", budget, err)
		}
		if !slices.Equal(lines(all.batch()), lines(want)) {
			t.Errorf("budget %d: other rows", budget)
		}
		for _, c := range rec.Gets("raw/f.parquet")[2:] {
			if n := c.End - c.Off; n > max(300, budget) {
				t.Errorf("budget %d: a request of %d bytes", budget, n)
			}
		}
	}
	// The bucket's error, not the decoder's, comes out of a piece.
	gets := 0
	faulty := storagetest.NewFaulty(memoryWith(t, body), storagetest.Fault{
		Match: func(c storagetest.Call) bool { gets++; return gets == 9 }, Err: storage.ErrUnreachable,
	})
	s, err := openScan(context.Background(), faulty, storage.Info{Key: "raw/f.parquet"}, ScanOptions{Columns: []Want{{Name: "item"}}, BatchRows: 30})
	if err != nil {
		t.Fatal(err)
	}
	s.budget, s.piece = 0, 300
	if err := s.run(context.Background(), func(*Batch) bool { return true }); !errors.Is(err, storage.ErrUnreachable) || errors.Is(err, ErrCorrupt) {
		t.Errorf("a piece could not be read: %v", err)
	}
}

// TestScanFaults: each request of a scan fails in turn; the error is the bucket's, and no row comes after it.
func TestScanFaults(t *testing.T) {
	body := eventsFile(t, 300)
	for nth := 1; nth <= 5; nth++ {
		for _, do := range []storagetest.Effect{storagetest.Fail, storagetest.Truncate} {
			f := storagetest.NewFaulty(memoryWith(t, body), storagetest.Fault{
				Match: func(c storagetest.Call) bool { return c.Op == storagetest.Get }, Nth: nth, Do: do, Err: storage.ErrUnreachable,
			})
			var last error
			for _, err := range Scan(context.Background(), f, storage.Info{Key: "raw/f.parquet"}, ScanOptions{Columns: []Want{{Name: "item"}}}) {
				if last != nil {
					t.Fatal("the sequence goes on after an error")
				}
				last = err
			}
			if !errors.Is(last, storage.ErrUnreachable) || !strings.Contains(last.Error(), "raw/f.parquet") {
				t.Errorf("request %d: %v", nth, last)
			}
		}
	}
}

// TestWallClock compares the cached conversion with a search over a year with both changes of clocks: the first instant at which clocks
// show a reading, and for one that they never show the offset before the change.
func TestWallClock(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "UTC"} {
		loc := zone(t, name)
		year := 2017
		if name == "Pacific/Apia" {
			year = 2011 // its 30 December was skipped
		}
		from := time.Date(year-1, 12, 30, 0, 0, 0, 0, time.UTC)
		const step = 5 * time.Minute
		first := map[int64]int64{} // reading → instant, in minutes
		for at := from; at.Before(time.Date(year+1, 1, 3, 0, 0, 0, 0, time.UTC)); at = at.Add(step) {
			_, offset := at.In(loc).Zone()
			r := at.Unix()/60 + int64(offset)/60
			if _, ok := first[r]; !ok {
				first[r] = at.Unix() / 60
			}
		}
		w, skipped := wallClock{zone: loc}, 0
		var offset int64 // before the change
		for at := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() == year; at = at.Add(step) {
			r := at.Unix() / 60
			want, ok := first[r]
			if ok {
				offset = r - want
			} else {
				want = r - offset
				skipped++
			}
			const seconds = 17_000_001
			if got := w.utc(r*60_000_000 + seconds); got != want*60_000_000+seconds {
				t.Fatalf("%s: %s is %s, want %s", name, at, time.UnixMicro(got).UTC(), time.Unix(want*60, 0).UTC())
			}
		}
		skipped *= int(step / time.Minute)
		if want := map[string]int{"Europe/Berlin": 60, "America/New_York": 60, "Australia/Lord_Howe": 30, "America/Sao_Paulo": 60, "Pacific/Apia": 24*60 + 60}[name]; skipped != want {
			t.Errorf("%s: %d minutes are skipped, want %d", name, skipped, want)
		}
		if w.utc(math.MaxInt64) != math.MaxInt64 || w.utc(math.MinInt64) != math.MinInt64 {
			t.Error("the bounds of time moved")
		}
	}
}

// TestScanLocalWindow: row groups of local times around a change of clocks are not lost.
func TestScanLocalWindow(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	day := time.Date(2017, 10, 29, 0, 0, 0, 0, time.UTC)
	var readings []int64
	for m := range 24 * 60 {
		readings = append(readings, day.Add(time.Duration(m)*time.Minute).UnixMilli())
	}
	body := rawParquet(t, len(readings), 10, []rawColumn{
		values(node(t, "at", required, timestamp(false, schema.TimeUnitMillis), parquet.Types.Int64, -1), readings, nil),
	})
	o := ScanOptions{Columns: []Want{{Name: "at"}}, Local: berlin}
	all, err := scanAll(t, body, o)
	if err != nil {
		t.Fatal(err)
	}
	for h := range 26 {
		from := time.Date(2017, 10, 28, 22, 0, 0, 0, time.UTC).Add(time.Duration(h) * time.Hour)
		o.Time, o.Window = "at", Interval{from, from.Add(time.Hour)}
		want := 0
		for _, at := range all.Cols[0].Int {
			if o.Window.Contains(time.UnixMicro(at)) {
				want++
			}
		}
		got, err := scanAll(t, body, o)
		if err != nil || got.N != want {
			t.Errorf("%s: %d rows, want %d, %v", o.Window, got.N, want, err)
		}
	}
}

func TestStat(t *testing.T) {
	body := eventsFile(t, 350)
	rec := storagetest.NewRecording(memoryWith(t, body))
	st, err := Stat(context.Background(), rec, storage.Info{Key: "raw/f.parquet"}, ScanOptions{Time: "at"})
	if err != nil {
		t.Fatal(err)
	}
	if st.Rows != 350 || st.RowGroups != 4 || !st.HasTimes || st.MinTime != 0 || st.MaxTime != 348_000_000 { // row 349 has no time
		t.Errorf("%+v", st)
	}
	want := "[{user INT64  int64 false false} {at INT64 Timestamp time true false} {secret BYTE_ARRAY  string false false} {item BYTE_ARRAY String string true false}]"
	var size int64
	for i, c := range st.Columns {
		size += c.Size
		st.Columns[i].Size = 0
		st.Columns[i].Logical, _, _ = strings.Cut(c.Logical, "(")
		st.Columns[i].Logical = strings.TrimSpace(st.Columns[i].Logical)
	}
	var have []string
	for _, c := range st.Columns {
		have = append(have, fmt.Sprintf("{%s %s %s %s %v %v}", c.Name, c.Physical, c.Logical, c.Type, c.Optional, c.Repeated))
	}
	if got := "[" + strings.Join(have, " ") + "]"; got != want {
		t.Errorf("columns %s", got)
	}
	if _, footer := footerOf(t, body); size != int64(footer)-4 {
		t.Errorf("columns have %d bytes of %d", size, footer)
	}
	if rec.Count(storagetest.Get) != 2 {
		t.Errorf("%d reads", rec.Count(storagetest.Get))
	}
	if st, err = Stat(context.Background(), memoryWith(t, eventsFile(t, 10, parquet.WithStats(false))), storage.Info{Key: "raw/f.parquet"}, ScanOptions{Time: "at"}); err != nil || st.HasTimes {
		t.Errorf("without statistics: %+v, %v", st, err)
	}
	if _, err = Stat(context.Background(), rec, storage.Info{Key: "raw/f.parquet"}, ScanOptions{Time: "user"}); !errors.Is(err, ErrColumn) {
		t.Errorf("an integer without a unit: %v", err)
	}
	if st, err = Stat(context.Background(), rec, storage.Info{Key: "raw/f.parquet"}, ScanOptions{Time: "user", Unit: time.Second}); err != nil || st.MaxTime != 16_000_000 {
		t.Errorf("an epoch: %+v, %v", st, err)
	}
	if st, err = Stat(context.Background(), rec, storage.Info{Key: "raw/f.parquet"}, ScanOptions{}); err != nil || st.HasTimes {
		t.Errorf("no time column: %+v, %v", st, err)
	}
}

// TestScanCancelled: a scan that keeps no row still notices that nobody waits for it any more.
func TestScanCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	faulty := storagetest.NewFaulty(memoryWith(t, eventsFile(t, 1000, parquet.WithStats(false))), storagetest.Fault{
		Match: func(c storagetest.Call) bool { // after the footer
			if c.Op == storagetest.Get && c.Ask.Off == 4 {
				cancel()
			}
			return false
		},
	})
	o := ScanOptions{Columns: []Want{{Name: "user"}}, Time: "at", Window: seconds(5000, 6000)}
	if _, err := collect(Scan(ctx, faulty, storage.Info{Key: "raw/f.parquet"}, o)); !errors.Is(err, context.Canceled) || errors.Is(err, ErrCorrupt) {
		t.Errorf("cancelled: %v", err)
	}
}
