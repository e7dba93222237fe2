package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/dataset"
	"github.com/rapport-ml/rapport/cmd/internal/importer"
	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage"
)

// world is a data set, and who of it is held out.
type world struct {
	whole, seen          *models.Dataset // all that happened; what may be learned from
	coldItem, coldPerson []bool          // by catalog position; by subject row
}

type eventRow struct {
	UserID string `parquet:"user_id"`
	SKU    string `parquet:"sku"`
	Time   int64  `parquet:"ts,timestamp(microsecond)"`
	Action string `parquet:"action"`
}

type itemRow struct {
	SKU      string  `parquet:"sku"`
	Category string  `parquet:"category"`
	Brand    string  `parquet:"brand"`
	Price    float64 `parquet:"price"`
}

type subjectRow struct {
	UserID  string `parquet:"user_id"`
	Region  string `parquet:"region"`
	AgeBand string `parquet:"age_band"`
}

type purchaseRow struct {
	Household string `parquet:"household_id"`
	Product   string `parquet:"product_id"`
	Time      int64  `parquet:"ts,timestamp(microsecond)"`
}

type productRow struct {
	Product    string `parquet:"product_id"`
	Department string `parquet:"department,optional"`
	Category   string `parquet:"category,optional"`
	Brand      string `parquet:"brand,optional"`
}

// weights are the confidences of actions, as the quickstart's project file has them.
var weights = map[string]float32{"view": 1, "cart": 2, "buy": 4}

// happened is what a data set holds, by raw names.
type happened struct {
	events   []event
	items    map[string]attributes
	subjects map[string]attributes
	test     int64 // µs: what comes then or later is asked for
}

type event struct {
	subject, item string
	at            int64
	weight        float32
}

// attributes are the levels of columns and a number, NaN where there is none.
type attributes struct {
	levels []string
	number float64
}

// synthetic makes a world.
func synthetic(ctx context.Context, w synth.World) (*happened, error) {
	b := storage.NewMemory(func() time.Time { return w.Start })
	if _, err := w.Write(ctx, b, "w"); err != nil {
		return nil, err
	}
	items, err := dataset.Read[itemRow](ctx, b, "w/items.parquet")
	if err != nil {
		return nil, err
	}
	people, err := dataset.Read[subjectRow](ctx, b, "w/subjects.parquet")
	if err != nil {
		return nil, err
	}
	out := &happened{items: map[string]attributes{}, subjects: map[string]attributes{}, test: w.Start.AddDate(0, 0, w.Days-max(1, w.Days/10)).UnixMicro()}
	for _, x := range items {
		out.items[synth.Unnumbered(x.SKU)] = attributes{[]string{x.Brand, x.Category}, x.Price}
	}
	for _, x := range people {
		out.subjects[x.UserID] = attributes{[]string{x.AgeBand, x.Region}, math.NaN()}
	}
	return out, dataset.Each(ctx, b, "w/events/", func(x eventRow) {
		out.events = append(out.events, event{x.UserID, synth.Unnumbered(x.SKU), x.Time, weights[x.Action]})
	})
}

// journey reads the files of The Complete Journey. What is known of its households may be used for evaluation alone, so they have no attributes.
func journey(ctx context.Context, dir string) (*happened, error) {
	b := storage.NewMemory(time.Now)
	if _, err := importer.CompleteJourney(ctx, dir, b, "w"); err != nil {
		return nil, err
	}
	items, err := dataset.Read[productRow](ctx, b, "w/items.parquet")
	if err != nil {
		return nil, err
	}
	out := &happened{items: map[string]attributes{}, subjects: map[string]attributes{}}
	for _, x := range items {
		out.items[x.Product] = attributes{[]string{x.Brand, x.Category, x.Department}, math.NaN()}
	}
	first, last := int64(math.MaxInt64), int64(0)
	err = dataset.Each(ctx, b, "w/events/", func(x purchaseRow) {
		if _, ok := out.items[x.Product]; !ok {
			out.items[x.Product] = attributes{[]string{"", "", ""}, math.NaN()}
		}
		out.subjects[x.Household] = attributes{nil, math.NaN()}
		out.events = append(out.events, event{x.Household, x.Product, x.Time, 1})
		first, last = min(first, x.Time), max(last, x.Time)
	})
	out.test = last - (last-first)/10
	return out, err
}

// newWorld splits what happened.
func newWorld(x *happened) *world {
	d := &models.Dataset{Kinds: []string{"event"}, Catalog: &models.Catalog{IDs: slices.Sorted(maps.Keys(x.items))}}
	d.Catalog.Attrs = table(d.Catalog.IDs, x.items)
	out, people := &world{whole: d}, slices.Sorted(maps.Keys(x.subjects))
	for _, id := range d.Catalog.IDs {
		out.coldItem = append(out.coldItem, held(id))
	}
	var events, visible []models.Event
	end := x.test
	for _, e := range x.events {
		item, _ := d.Catalog.Lookup(e.item)
		subject, _ := slices.BinarySearch(people, e.subject)
		row := models.Event{Subject: uint64(subject), Item: item, Time: e.at, Weight: e.weight}
		events, end = append(events, row), max(end, e.at+1)
		if !out.coldItem[item] && !held(e.subject) {
			visible = append(visible, row)
		}
	}
	d.Cuts = models.Cuts{Rerank: x.test, Validation: x.test, Test: x.test, End: end}
	d.Events = models.NewEventLog(events)
	name := func(n uint64) string { return people[n] }
	d.Subjects = table(each(d.Events.Subjects, name), x.subjects)
	for _, n := range d.Events.Subjects {
		out.coldPerson = append(out.coldPerson, held(name(n)))
	}
	// The rows of what may be learned from are those of the subjects who have any of it.
	seen := *d
	seen.Events = models.NewEventLog(visible)
	seen.Subjects = table(each(seen.Events.Subjects, name), x.subjects)
	out.seen = &seen
	return out
}

func each[T, U any](list []T, f func(T) U) []U {
	out := make([]U, len(list))
	for i, x := range list {
		out[i] = f(x)
	}
	return out
}

// table returns the attributes of the names, in their order.
func table(names []string, of map[string]attributes) *models.Attributes {
	out := &models.Attributes{N: len(names)}
	if len(names) == 0 {
		return out
	}
	for c := range of[names[0]].levels {
		out.Cats = append(out.Cats, models.NewCatColumn(fmt.Sprintf("column-%d", c), each(names, func(n string) string { return of[n].levels[c] })))
	}
	out.Nums = []models.NumColumn{{Name: "number", Values: each(names, func(n string) float64 { return of[n].number })}}
	return out
}

// held draws one name in five.
func held(name string) bool { return hash(name)%5 == 0 }

func hash(name string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return h.Sum32()
}
