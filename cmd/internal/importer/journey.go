package importer

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/dataset"
	"github.com/rapport-ml/rapport/storage"
)

// The consent that an import declares.
const (
	declaredSource = "declared-by-operator"
	declaredState  = "ConsentGiven"
)

var declaredPurposes = []string{"recommend", "check_fairness"}

// CompleteJourney reads the grocery data set "The Complete Journey" (84.51°, in the shape of the R package completejourney) from a folder of
// tab-separated files, plain or .gz, and puts Parquet files into the bucket, replacing what stands there:
//
//	transactions[_sample].tsv  → <prefix>/events/dt=YYYY-MM-DD/part-0.parquet   household_id product_id ts kind quantity amount store
//	products.tsv               → <prefix>/items.parquet     product_id department category product_type brand manufacturer
//	demographics.tsv           → <prefix>/cohorts.parquet   household_id age income home_ownership marital_status household_size household_comp kids
//	                             <prefix>/consent/consent.parquet, one ConsentGiven for each household and purpose
//
// Every event is a "buy" whose amount is sales_value. Empty fields and NA are null. The files' times are local wall times without a zone;
// they are taken for UTC (Facts.Zone). Errors name file and line.
func CompleteJourney(ctx context.Context, dir string, to storage.Bucket, prefix string) (Facts, error) {
	facts, err := completeJourney(ctx, dir, &dataset.Output{Bucket: to, Prefix: prefix, Writer: "rapport-import"})
	if err != nil {
		return Facts{}, fmt.Errorf("import completejourney: %w", err)
	}
	return facts, nil
}

func completeJourney(ctx context.Context, dir string, out *dataset.Output) (Facts, error) {
	known := map[string]bool{}
	items, err := readFile(ctx, dir, []string{"products"}, productColumns, once(known, parseProduct))
	if err != nil {
		return Facts{}, err
	}
	households := map[string]bool{}
	cohorts, err := readFile(ctx, dir, []string{"demographics"}, demographicColumns, once(households, parseHousehold))
	if err != nil {
		return Facts{}, err
	}
	interned := map[string]string{}
	events, err := readFile(ctx, dir, []string{"transactions", "transactions_sample"}, transactionColumns, func(f []string) (eventRow, error) {
		return parseTransaction(f, interned)
	})
	if err != nil {
		return Facts{}, err
	}
	if len(events) == 0 {
		return Facts{}, fmt.Errorf("transactions: no rows below the header")
	}
	slices.SortStableFunc(events, func(a, b eventRow) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(a.HouseholdID, b.HouseholdID), strings.Compare(a.ProductID, b.ProductID))
	})

	facts := Facts{
		Events: int64(len(events)), Items: len(items), Cohorts: len(cohorts), Zone: "local wall times without a zone, taken for UTC",
		First: time.UnixMicro(events[0].Time).UTC(), Last: time.UnixMicro(events[len(events)-1].Time).UTC(),
	}
	for _, e := range events {
		households[e.HouseholdID] = true
		if !known[e.ProductID] {
			facts.Unknown++
		}
	}
	facts.Subjects = len(households)

	consent, from := declareConsent(households, facts.First)
	facts.Declared = fmt.Sprintf("consent: %s for %d households and the purposes %s, effective %s (before the first event), source: %s",
		declaredState, len(households), strings.Join(declaredPurposes, ", "), from.Format(time.RFC3339), declaredSource)

	if err := dataset.Write(ctx, out, "items.parquet", items); err != nil {
		return Facts{}, err
	}
	if err := dataset.Write(ctx, out, "cohorts.parquet", cohorts); err != nil {
		return Facts{}, err
	}
	if err := dataset.Write(ctx, out, "consent/consent.parquet", consent); err != nil {
		return Facts{}, err
	}
	if err := writeDays(ctx, out, events); err != nil {
		return Facts{}, err
	}
	facts.Files, facts.Bytes = out.Written()
	return facts, nil
}

// writeDays puts the events, sorted by time, as one file a day.
func writeDays(ctx context.Context, out *dataset.Output, events []eventRow) error {
	for len(events) > 0 {
		day := time.UnixMicro(events[0].Time).UTC().Truncate(24 * time.Hour)
		next := day.AddDate(0, 0, 1).UnixMicro()
		n, _ := slices.BinarySearchFunc(events, next, func(e eventRow, t int64) int { return cmp.Compare(e.Time, t) })
		if err := dataset.Write(ctx, out, "events/dt="+day.Format(time.DateOnly)+"/part-0.parquet", events[:n]); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// declareConsent returns one record for each household and purpose, effective and recorded at the midnight before the day of the first event,
// and that time.
func declareConsent(households map[string]bool, first time.Time) ([]dataset.ConsentRow, time.Time) {
	from := first.Truncate(24*time.Hour).AddDate(0, 0, -1)
	var rows []dataset.ConsentRow
	for _, h := range slices.Sorted(maps.Keys(households)) {
		for _, purpose := range declaredPurposes {
			rows = append(rows, dataset.ConsentRow{
				Subject: h, Purpose: purpose, State: declaredState, Effective: from.UnixMicro(), Recorded: from.UnixMicro(),
				Source: declaredSource, RecordID: fmt.Sprintf("declared-%d", len(rows)+1),
			})
		}
	}
	return rows, from
}

// The columns that are read of each file, in the order in which the parsers get them.
var (
	transactionColumns = []string{"household_id", "product_id", "transaction_timestamp", "quantity", "sales_value", "store_id"}
	productColumns     = []string{"product_id", "department", "product_category", "product_type", "brand", "manufacturer_id"}
	demographicColumns = []string{"household_id", "age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count"}
)

// parseTransaction reads one row. Strings that come again and again are interned, so that they don't keep whole lines in memory.
func parseTransaction(f []string, interned map[string]string) (eventRow, error) {
	intern := func(s string) string {
		if kept, ok := interned[s]; ok {
			return kept
		}
		s = strings.Clone(s)
		interned[s] = s
		return s
	}
	e := eventRow{HouseholdID: intern(f[0]), ProductID: intern(f[1]), Kind: "buy", Store: intern(f[5])}
	if e.HouseholdID == "" {
		return e, fmt.Errorf("household_id is empty")
	}
	if e.ProductID == "" {
		return e, fmt.Errorf("product_id is empty")
	}
	at, err := time.ParseInLocation(time.DateTime, f[2], time.UTC)
	if err != nil || at.Year() < 1970 || at.Year() > 2262 {
		return e, fmt.Errorf("transaction_timestamp must be a time as 2017-01-31 18:05:00")
	}
	e.Time = at.UnixMicro()
	if f[3] != "" {
		n, err := strconv.ParseInt(f[3], 10, 64)
		if err != nil {
			return e, fmt.Errorf("quantity must be a whole number")
		}
		e.Quantity = &n
	}
	if f[4] != "" {
		x, err := strconv.ParseFloat(f[4], 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return e, fmt.Errorf("sales_value must be a number")
		}
		e.Amount = &x
	}
	return e, nil
}

// once wraps a parser of rows whose first column is a key: it refuses an empty key and one that stands in seen, and adds the others.
func once[T any](seen map[string]bool, parse func(f []string) T) func([]string) (T, error) {
	return func(f []string) (row T, err error) {
		if f[0] == "" {
			return row, fmt.Errorf("the row has no id")
		}
		if seen[f[0]] {
			return row, fmt.Errorf("the row's id stands in a row above: each must stand once")
		}
		seen[f[0]] = true
		return parse(f), nil
	}
}

func parseProduct(f []string) itemRow {
	return itemRow{ProductID: f[0], Department: f[1], Category: f[2], ProductType: f[3], Brand: f[4], Manufacturer: f[5]}
}

func parseHousehold(f []string) cohortRow {
	return cohortRow{HouseholdID: f[0], Age: f[1], Income: f[2], HomeOwnership: f[3], MaritalStatus: f[4], HouseholdSize: f[5], HouseholdComp: f[6], Kids: f[7]}
}
