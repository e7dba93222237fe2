package synth

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/cmd/internal/dataset"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// World says what to make. The same World gives the same bytes.
type World struct {
	Users, Items, Days int
	Seed               uint64
	Start              time.Time // midnight UTC of the first day
	EventsPerUser      float64   // the mean over all subjects and days; 0 means 80
	Drift              *Drift    // nil: none
	Shown              bool      // every view is a choice from a shelf of items that were shown, each an event of the action "shown"
	Minority           float64   // share of the subjects that are a minority, known by its gender, of another taste; 0: none is planted
	Intent             bool      // for three days at a time people are after a category of their own

	// OnDay, if set, is told after each day's file how many are written. Calls don't overlap.
	OnDay func(done int)
}

// Drift is one day unlike the others.
type Drift struct {
	Day  int // 0 is the first day
	Kind DriftKind
}

// DriftKind is what is different on the day of drift.
type DriftKind string

// The kinds of drift.
const (
	// Upstream: a broken producer. Four events in five carry the device "unknown", which no other day has, and no channel.
	Upstream DriftKind = "upstream"
	// Demand: a flash sale. 80 % more sessions, and half of all items looked at come from the least popular half of one category, at 60 % of the price.
	Demand DriftKind = "demand"
	// Both is the default.
	Both DriftKind = "both"
)

// Facts are what Write has made.
type Facts struct {
	Events   int64     `json:"events"`
	Subjects int       `json:"subjects"`
	Items    int       `json:"items"`
	Files    int       `json:"files"`
	Bytes    int64     `json:"bytes"`
	First    time.Time `json:"first"` // of the events; zero without any
	Last     time.Time `json:"last"`
}

// defaultEventsPerUser is the mean that an EventsPerUser of 0 stands for.
const defaultEventsPerUser = 80

// Write makes the world and puts it into the bucket, replacing what stands there:
//
//	<prefix>/events/dt=YYYY-MM-DD/part-0.parquet   user_id sku ts action amount device channel, sorted by time
//	<prefix>/items.parquet                         sku category brand price published
//	<prefix>/subjects.parquet                      user_id region age_band
//	<prefix>/cohorts.parquet                       user_id gender age_band
//	<prefix>/consent/consent.parquet               subject purpose state effective_at recorded_at expires_at source record_id
//
// Times are in microseconds. It keeps people, items, and one day for each processor in memory.
func (w World) Write(ctx context.Context, b storage.Bucket, prefix string) (Facts, error) {
	if err := w.Validate(); err != nil {
		return Facts{}, fmt.Errorf("synthetic world: %w", err)
	}
	if w.EventsPerUser == 0 {
		w.EventsPerUser = defaultEventsPerUser
	}
	out := &dataset.Output{Bucket: b, Prefix: prefix, Writer: writer}
	cat := newCatalog(w)
	people := newPeople(w, cat)

	put := func() error {
		if err := dataset.Write(ctx, out, "items.parquet", cat.rows()); err != nil {
			return err
		}
		if err := dataset.Write(ctx, out, "subjects.parquet", subjectRows(people)); err != nil {
			return err
		}
		if err := dataset.Write(ctx, out, "cohorts.parquet", cohortRows(w, people)); err != nil {
			return err
		}
		return dataset.Write(ctx, out, "consent/consent.parquet", consentRows(w, people))
	}
	if err := put(); err != nil {
		return Facts{}, fmt.Errorf("synthetic world: %w", err)
	}
	facts := Facts{Subjects: len(people), Items: len(cat.items)}
	if err := w.writeDays(ctx, out, cat, people, &facts); err != nil {
		return Facts{}, fmt.Errorf("synthetic world: %w", err)
	}
	facts.Files, facts.Bytes = out.Written()
	return facts, nil
}

// writer is how files of worlds name the program that wrote them.
const writer = "rapport-synth"

// dayFile is where the events of a day stand.
func (w World) dayFile(day int) string {
	return "events/dt=" + w.Start.AddDate(0, 0, day).Format(time.DateOnly) + "/part-0.parquet"
}

// Strangers counts the objects of a bucket that the world would be mixed with: those that Write does not replace, and those that it would and that no world is. It names the
// first. Cost: a listing, and the footer of each file that Write replaces.
func (w World) Strangers(ctx context.Context, b storage.Bucket) (n int, first string, err error) {
	own := map[string]bool{"items.parquet": true, "subjects.parquet": true, "cohorts.parquet": true, "consent/consent.parquet": true}
	for d := range w.Days {
		own[w.dayFile(d)] = true
	}
	for info, err := range b.List(ctx, "", storage.ListOpt{}) {
		if err != nil {
			return 0, "", fmt.Errorf("synthetic world: %w", err)
		}
		if own[info.Key] {
			if st, err := table.Stat(ctx, b, info, table.ScanOptions{}); err == nil && strings.HasPrefix(st.CreatedBy, writer) {
				continue
			}
		}
		if n++; n == 1 {
			first = info.Key
		}
	}
	return n, first, nil
}

// writeDays makes and puts the event files, in parallel.
func (w World) writeDays(ctx context.Context, out *dataset.Output, cat *catalog, people []person, facts *Facts) error {
	var (
		mu   sync.Mutex
		done int
	)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for d := range w.Days {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			rows := newDay(w, cat, people, d).events()
			if err := dataset.Write(ctx, out, w.dayFile(d), rows); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			facts.Events += int64(len(rows))
			if n := len(rows); n > 0 {
				facts.span(time.UnixMicro(rows[0].Time).UTC(), time.UnixMicro(rows[n-1].Time).UTC())
			}
			done++
			if w.OnDay != nil {
				w.OnDay(done)
			}
			return nil
		})
	}
	return g.Wait()
}

// span widens First and Last.
func (f *Facts) span(first, last time.Time) {
	if f.First.IsZero() || first.Before(f.First) {
		f.First = first
	}
	if last.After(f.Last) {
		f.Last = last
	}
}

// Validate returns every fault of the world at once, nil if Write can make it.
func (w World) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if w.Users < 1 || w.Users > 50_000_000 {
		fault("%d users: must be from 1 to 50,000,000", w.Users)
	}
	if w.Items < 20 || w.Items > 10_000_000 {
		fault("%d items: must be from 20 to 10,000,000", w.Items)
	}
	if w.Days < 1 || w.Days > 10_000 {
		fault("%d days: must be from 1 to 10,000", w.Days)
	}
	if !(w.EventsPerUser >= 0 && w.EventsPerUser <= 1e6) {
		fault("%g events a user: must be from 0 (the default, %d) to 1,000,000", w.EventsPerUser, defaultEventsPerUser)
	}
	if !(w.Minority >= 0 && w.Minority < 1) {
		fault("a minority of %g: must be from 0 to under 1", w.Minority)
	}
	if w.Start.IsZero() || !w.Start.Equal(w.Start.UTC().Truncate(24*time.Hour)) {
		fault("start %s: must be a midnight in UTC", w.Start.Format(time.RFC3339Nano))
	}
	if d := w.Drift; d != nil {
		if d.Day < 0 || d.Day >= w.Days {
			fault("drift on day %d: must be from 0 to %d", d.Day, w.Days-1)
		}
		switch d.Kind {
		case "", Both, Upstream, Demand:
		default:
			fault("drift %q: must be %s, %s or %s", d.Kind, Upstream, Demand, Both)
		}
	}
	return errors.Join(faults...)
}

// drifts reports whether day d has the given kind of drift.
func (w World) drifts(d int, kind DriftKind) bool {
	return w.Drift != nil && w.Drift.Day == d && (w.Drift.Kind == kind || w.Drift.Kind == Both || w.Drift.Kind == "")
}

// Unnumbered gives an item a name whose order means nothing: a world numbers the most popular items first, and a benchmark's ties must not be broken by that.
func Unnumbered(sku string) string {
	h := fnv.New32a()
	h.Write([]byte("of " + sku))
	return fmt.Sprintf("%08x-%s", h.Sum32(), sku)
}
