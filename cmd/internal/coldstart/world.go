package main

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage"
)

// world is a synthetic world as a data set, and who of it is held out.
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

// weights are the confidences of actions, as the quickstart's project file has them.
var weights = map[string]float32{"view": 1, "cart": 2, "buy": 3}

func read[T any](ctx context.Context, b storage.Bucket, key string) ([]T, error) {
	body, _, err := storage.ReadAll(ctx, b, key)
	if err != nil {
		return nil, err
	}
	rows, err := parquet.Read[T](bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return rows, nil
}

func newWorld(ctx context.Context, w synth.World) (*world, error) {
	b := storage.NewMemory(func() time.Time { return w.Start })
	if _, err := w.Write(ctx, b, "w"); err != nil {
		return nil, err
	}
	items, err := read[itemRow](ctx, b, "w/items.parquet")
	if err != nil {
		return nil, err
	}
	people, err := read[subjectRow](ctx, b, "w/subjects.parquet")
	if err != nil {
		return nil, err
	}
	for i := range items { // synth numbers the most popular items first: ties must not be broken by that
		items[i].SKU = unnumbered(items[i].SKU)
	}
	slices.SortFunc(items, func(a, b itemRow) int { return strings.Compare(a.SKU, b.SKU) })
	slices.SortFunc(people, func(a, b subjectRow) int { return strings.Compare(a.UserID, b.UserID) })

	d := &models.Dataset{Catalog: &models.Catalog{}, Kinds: []string{"buy", "cart", "view"}}
	var category, brand, region, age []string
	var price []float64
	item, person := map[string]int32{}, map[string]uint64{}
	out := &world{whole: d}
	for i, x := range items {
		item[x.SKU] = int32(i)
		d.Catalog.IDs = append(d.Catalog.IDs, x.SKU)
		category, brand, price = append(category, x.Category), append(brand, x.Brand), append(price, x.Price)
		out.coldItem = append(out.coldItem, held(x.SKU))
	}
	d.Catalog.Attrs = &models.Attributes{
		N: len(items), Cats: []models.CatColumn{models.NewCatColumn("brand", brand), models.NewCatColumn("category", category)},
		Nums: []models.NumColumn{{Name: "price", Values: price}},
	}
	for i, x := range people {
		person[x.UserID] = uint64(i)
	}
	var events, visible []models.Event
	for info, err := range b.List(ctx, "w/events/", storage.ListOpt{}) {
		if err != nil {
			return nil, err
		}
		rows, err := read[eventRow](ctx, b, info.Key)
		if err != nil {
			return nil, err
		}
		for _, x := range rows {
			e := models.Event{
				Subject: person[x.UserID], Item: item[unnumbered(x.SKU)], Time: x.Time, Kind: uint8(slices.Index(d.Kinds, x.Action)), Weight: weights[x.Action],
			}
			events = append(events, e)
			if !out.coldItem[e.Item] && !held(x.UserID) {
				visible = append(visible, e)
			}
		}
	}
	day := (24 * time.Hour).Microseconds()
	start := w.Start.UnixMicro()
	test := start + int64(w.Days-max(1, w.Days/10))*day
	end := start + int64(w.Days)*day
	d.Cuts = models.Cuts{Base: start, Rerank: test, Validation: test, Test: test, End: end}
	d.Events = models.NewEventLog(events)
	for _, n := range d.Events.Subjects {
		x := people[n]
		region, age = append(region, x.Region), append(age, x.AgeBand)
		out.coldPerson = append(out.coldPerson, held(x.UserID))
	}
	d.Subjects = &models.Attributes{N: len(region), Cats: []models.CatColumn{models.NewCatColumn("age_band", age), models.NewCatColumn("region", region)}}

	// The rows of what may be learned from are those of the subjects who have any of it.
	seen := *d
	seen.Events = models.NewEventLog(visible)
	seen.Subjects = of(d.Subjects, d.Events.Subjects, seen.Events.Subjects)
	out.seen = &seen
	return out, nil
}

// held draws one name in five.
func held(name string) bool { return hash(name)%5 == 0 }

// unnumbered gives an item a name whose order means nothing.
func unnumbered(sku string) string { return fmt.Sprintf("%08x-%s", hash("of "+sku), sku) }

func hash(name string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return h.Sum32()
}

// of returns the attributes of the subjects `some`, who are among all.
func of(a *models.Attributes, all, some []uint64) *models.Attributes {
	out := &models.Attributes{N: len(some)}
	for _, c := range a.Cats {
		values := make([]int32, len(some))
		for i, n := range some {
			at, _ := slices.BinarySearch(all, n)
			values[i] = c.Values[at]
		}
		out.Cats = append(out.Cats, models.CatColumn{Name: c.Name, Levels: c.Levels, Values: values})
	}
	return out
}
