package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/dataset"
	"github.com/rapport-ml/rapport/cmd/internal/importer"
	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage"
)

// numbers gives names their places in ascending order.
func numbers(names map[string]bool) (sorted []string, place map[string]int) {
	sorted, place = slices.Sorted(maps.Keys(names)), map[string]int{}
	for i, n := range sorted {
		place[n] = i
	}
	return sorted, place
}

const day = int64(24 * time.Hour / time.Microsecond)

// cut splits d in time: the test window is the last `test` days before end, the validation the days before it, and base where learning
// begins. A re-ranker learns on twice the validation before that, as in a job; who has none does not look.
func cut(d *models.Dataset, base, end, validation, test int64) {
	d.Cuts = models.Cuts{
		Base: base, Rerank: max(base, end-(3*validation+test)*day), Validation: end - (validation+test)*day, Test: end - test*day, End: end,
	}
}

// circumstances are the contexts of events: of each row its declared columns, and what its time says.
type circumstances struct {
	names  []string
	counts []map[string]int
}

func newCircumstances(names ...string) *circumstances {
	c := &circumstances{names: names, counts: make([]map[string]int, len(names))}
	for i := range names {
		c.counts[i] = map[string]int{}
	}
	return c
}

func (c *circumstances) count(levels ...string) {
	for i, l := range levels {
		c.counts[i][l]++
	}
}

// reader returns the contexts' columns and what reads a row's.
func (c *circumstances) reader() (*models.Contexts, func(at int64, levels ...string) models.Context, error) {
	columns, err := models.NewContexts(c.names, c.counts, "UTC")
	if err != nil {
		return nil, nil, err
	}
	return columns, func(at int64, levels ...string) (x models.Context) {
		part, weekday := models.ClockLevels(time.UnixMicro(at).UTC())
		for i, l := range append(levels, part, weekday) {
			x = x.With(i, columns.Columns[i].Index(l))
		}
		return x
	}, nil
}

// synthetic makes a world of one last day to be asked for.
func synthetic(ctx context.Context, w synth.World) (*models.Dataset, error) {
	b := storage.NewMemory(func() time.Time { return w.Start })
	if _, err := w.Write(ctx, b, "w"); err != nil {
		return nil, err
	}
	type itemRow struct {
		SKU      string  `parquet:"sku"`
		Category string  `parquet:"category"`
		Brand    string  `parquet:"brand"`
		Price    float64 `parquet:"price"`
	}
	type eventRow struct {
		UserID  string `parquet:"user_id"`
		SKU     string `parquet:"sku"`
		Time    int64  `parquet:"ts,timestamp(microsecond)"`
		Action  string `parquet:"action"`
		Device  string `parquet:"device"`
		Channel string `parquet:"channel,optional"`
	}
	items, err := dataset.Read[itemRow](ctx, b, "w/items.parquet")
	if err != nil {
		return nil, err
	}
	skus, people := map[string]bool{}, map[string]bool{}
	for _, x := range items {
		skus[synth.Unnumbered(x.SKU)] = true
	}
	var rows []eventRow
	about := newCircumstances("channel", "device")
	if err := dataset.Each(ctx, b, "w/events/", func(e eventRow) {
		rows = append(rows, e)
		people[e.UserID] = true
		about.count(e.Channel, e.Device)
	}); err != nil {
		return nil, err
	}
	d := &models.Dataset{Catalog: &models.Catalog{}, Kinds: []string{"buy", "cart", "view"}}
	ids, item := numbers(skus)
	_, person := numbers(people)
	category, brand, price := make([]string, len(ids)), make([]string, len(ids)), make([]float64, len(ids))
	for _, x := range items {
		i := item[synth.Unnumbered(x.SKU)]
		category[i], brand[i], price[i] = x.Category, x.Brand, x.Price
	}
	d.Catalog = &models.Catalog{IDs: ids, Attrs: &models.Attributes{
		N: len(ids), Cats: []models.CatColumn{models.NewCatColumn("brand", brand), models.NewCatColumn("category", category)},
		Nums: []models.NumColumn{{Name: "price", Values: price}},
	}}
	weights := map[string]float32{"view": 1, "cart": 2, "buy": 4} // as in the quickstart's project file
	contexts, contextOf, err := about.reader()
	if err != nil {
		return nil, err
	}
	var events, shown []models.Event
	for _, x := range rows {
		if x.Action == "shown" {
			shown = append(shown, models.Event{Subject: uint64(person[x.UserID]), Item: int32(item[synth.Unnumbered(x.SKU)]), Time: x.Time, Weight: 1})
			continue
		}
		events = append(events, models.Event{
			Subject: uint64(person[x.UserID]), Item: int32(item[synth.Unnumbered(x.SKU)]), Time: x.Time,
			Kind: uint8(slices.Index(d.Kinds, x.Action)), Weight: weights[x.Action],
			Context: contextOf(x.Time, x.Channel, x.Device),
		})
	}
	if len(shown) > 0 {
		d.Shown = models.NewEventLog(shown)
	}
	d.Contexts, d.Events = contexts, models.NewContextLog(events)
	start := w.Start.UnixMicro()
	cut(d, start, start+int64(w.Days)*day, 4, 1)
	return d, d.Validate()
}

// journeyEnd is the end of the last week of The Complete Journey that make quality judges.
var journeyEnd = time.Date(2018, 1, 1, 0, 0, 0, 0, time.UTC)

// sales are the purchases of The Complete Journey and the products that were sold.
type sales struct {
	catalog  *models.Catalog
	events   []models.Event
	contexts *models.Contexts
}

func readJourney(ctx context.Context, dir string) (*sales, error) {
	b := storage.NewMemory(time.Now)
	if _, err := importer.CompleteJourney(ctx, dir, b, "j"); err != nil {
		return nil, err
	}
	type productRow struct {
		ProductID    string `parquet:"product_id"`
		Department   string `parquet:"department,optional"`
		Category     string `parquet:"category,optional"`
		ProductType  string `parquet:"product_type,optional"`
		Brand        string `parquet:"brand,optional"`
		Manufacturer string `parquet:"manufacturer,optional"`
	}
	type saleRow struct {
		HouseholdID string `parquet:"household_id"`
		ProductID   string `parquet:"product_id"`
		Time        int64  `parquet:"ts,timestamp(microsecond)"`
	}
	products, err := dataset.Read[productRow](ctx, b, "j/items.parquet")
	if err != nil {
		return nil, err
	}
	var rows []saleRow
	sold, households := map[string]bool{}, map[string]bool{}
	if err := dataset.Each(ctx, b, "j/events/", func(x saleRow) {
		rows = append(rows, x)
		sold[x.ProductID], households[x.HouseholdID] = true, true
	}); err != nil {
		return nil, err
	}
	ids, item := numbers(sold)
	_, household := numbers(households)
	columns := map[string][]string{}
	for _, p := range products {
		i, ok := item[p.ProductID]
		if !ok {
			continue
		}
		for name, v := range map[string]string{
			"department": p.Department, "category": p.Category, "product_type": p.ProductType, "brand": p.Brand, "manufacturer": p.Manufacturer,
		} {
			if columns[name] == nil {
				columns[name] = make([]string, len(ids))
			}
			columns[name][i] = v
		}
	}
	s := &sales{catalog: &models.Catalog{IDs: ids, Attrs: &models.Attributes{N: len(ids)}}}
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		s.catalog.Attrs.Cats = append(s.catalog.Attrs.Cats, models.NewCatColumn(name, columns[name]))
	}
	contexts, contextOf, err := newCircumstances().reader()
	if err != nil {
		return nil, err
	}
	s.contexts = contexts
	for _, x := range rows {
		s.events = append(s.events, models.Event{
			Subject: uint64(household[x.HouseholdID]), Item: int32(item[x.ProductID]), Time: x.Time, Weight: 1, Context: contextOf(x.Time),
		})
	}
	return s, nil
}

// until is what was sold in the 52 weeks before end, of which the last is asked for and the four before it weigh the parts.
func (s *sales) until(end time.Time) *models.Dataset {
	d := &models.Dataset{Catalog: s.catalog, Contexts: s.contexts, Kinds: []string{"buy"}}
	to := end.UnixMicro()
	cut(d, to-364*day, to, 28, 7)
	var events []models.Event
	for _, e := range s.events {
		if e.Time >= d.Cuts.Base && e.Time < to {
			events = append(events, e)
		}
	}
	d.Events = models.NewContextLog(events)
	return d
}
