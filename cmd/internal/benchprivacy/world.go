package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// world is the size of generated events and records: events are spread evenly over days and people, and each person has one to three records of consent, two on average.
type world struct{ people, events, days int }

// epoch is when events begin; records of consent are older.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// now is when the night after the last day is due.
func (w world) now() time.Time { return epoch.AddDate(0, 0, w.days).Add(3 * time.Hour) }

// task is a world as its child gets it.
type task struct {
	Folder               string
	People, Events, Days int
}

// makeWorld writes a world below a folder: events/dt=DATE and consent.
func makeWorld(ctx context.Context, t task) (made, error) {
	b, err := storage.Open(ctx, "file:"+t.Folder, storage.Options{})
	if err != nil {
		return made{}, err
	}
	records := make([]int64, consentFiles)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for d := range t.Days {
		g.Go(func() error { return t.day(gctx, b, d) })
	}
	for i := range consentFiles {
		g.Go(func() (err error) {
			records[i], err = t.consent(gctx, b, i)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return made{}, err
	}
	out := made{Events: int64(t.Events)}
	for _, n := range records {
		out.Records += n
	}
	return out, nil
}

// made is how much there is.
type made struct{ Events, Records int64 }

// person names one of the people, as an application would.
func person(i int) string { return fmt.Sprintf("user-%09d", (int64(i)+1)*618_033_989%1_000_000_007) }

func (t task) day(ctx context.Context, b storage.Bucket, d int) error {
	r := rand.New(rand.NewPCG(1, uint64(d)))
	n := t.Events*(d+1)/t.Days - t.Events*d/t.Days
	rows := table.Batch{
		Schema: table.Schema{{Name: "subject", Type: table.String}, {Name: "item", Type: table.String}, {Name: "time", Type: table.Time}, {Name: "kind", Type: table.String}, {Name: "value", Type: table.Float64}},
		N:      n, Cols: make([]table.Column, 5),
	}
	rows.Cols[4].Valid = make([]bool, n)
	start := epoch.AddDate(0, 0, d).UnixMicro()
	for i := range n {
		kind := "view"
		if r.IntN(10) == 0 {
			kind = "buy"
		}
		price := r.Float64() // its square makes the first items the ones most asked for
		item := int(price * price * 50_000)
		rows.Cols[0].Str = append(rows.Cols[0].Str, person(r.IntN(t.People)))
		rows.Cols[1].Str = append(rows.Cols[1].Str, fmt.Sprintf("sku-%06d", item))
		rows.Cols[2].Int = append(rows.Cols[2].Int, start+int64(24*time.Hour/time.Microsecond)*int64(i)/int64(n))
		rows.Cols[3].Str = append(rows.Cols[3].Str, kind)
		rows.Cols[4].Float = append(rows.Cols[4].Float, float64(item%200)+0.99)
		rows.Cols[4].Valid[i] = kind == "buy"
	}
	return store(ctx, b, filepath.Join("events", epoch.AddDate(0, 0, d).Format("dt="+time.DateOnly)), &rows)
}

// consentFiles is in how many files a feed comes.
const consentFiles = 10

// consent writes the records of each tenth of the people: all agreed to recommend before the first event, one in a hundred with an end; three quarters said something of a newsletter as well, and
// a quarter agreed to recommend again, or, one in fifty of these, took it back.
func (t task) consent(ctx context.Context, b storage.Bucket, file int) (int64, error) {
	r := rand.New(rand.NewPCG(2, uint64(file)))
	rows := table.Batch{
		Schema: table.Schema{
			{Name: "subject", Type: table.String},
			{Name: "purpose", Type: table.String},
			{Name: "state", Type: table.String},
			{Name: "effective_at", Type: table.Time},
			{Name: "recorded_at", Type: table.Time},
			{Name: "expires_at", Type: table.Time},
			{Name: "source", Type: table.String},
		},
		Cols: make([]table.Column, 7),
	}
	c := rows.Cols
	add := func(i int, purpose string, state policy.State, at time.Time, expires time.Time) {
		rows.N++
		c[0].Str, c[1].Str, c[2].Str = append(c[0].Str, person(i)), append(c[1].Str, purpose), append(c[2].Str, string(state))
		c[3].Int, c[4].Int = append(c[3].Int, at.UnixMicro()), append(c[4].Int, at.Add(time.Minute).UnixMicro())
		c[5].Int, c[5].Valid = append(c[5].Int, max(0, expires.UnixMicro())), append(c[5].Valid, !expires.IsZero())
		c[6].Str = append(c[6].Str, "app")
	}
	moment := func(days int) time.Time { // within the 100 days before that many days before the first event
		return epoch.AddDate(0, 0, -days).Add(-time.Duration(r.Int64N(int64(100 * 24 * time.Hour))))
	}
	for i := file; i < t.People; i += consentFiles {
		var expires time.Time
		if r.IntN(100) == 0 {
			expires = epoch.AddDate(2, 0, r.IntN(100))
		}
		add(i, "recommend", policy.ConsentGiven, moment(200), expires)
		if r.IntN(4) > 0 {
			state := policy.ConsentGiven
			if r.IntN(2) == 0 {
				state = policy.ConsentRefused
			}
			add(i, "newsletter", state, moment(200), time.Time{})
		}
		if r.IntN(4) == 0 {
			state := policy.RenewedConsentGiven
			if r.IntN(50) == 0 {
				state = policy.Withdrawn
			}
			add(i, "recommend", state, moment(50), time.Time{})
		}
	}
	return int64(rows.N), store(ctx, b, filepath.Join("consent", fmt.Sprintf("part=%02d", file)), &rows)
}

// store writes rows as one Parquet file in a folder, as they are ordered.
func store(ctx context.Context, b storage.Bucket, folder string, rows *table.Batch) error {
	w := table.NewWriter(b, folder, rows.Schema, table.WriteOptions{Ordered: true, Codec: "snappy"})
	if err := w.Append(rows); err != nil {
		return err
	}
	_, err := w.Finish(ctx)
	return err
}
