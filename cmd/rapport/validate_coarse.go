package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// coarseRows is how many rows of a file show what rules have a place for.
const coarseRows = 200_000

// coarseness warns of rules that make "other" of what stands in the newest file of a source, as the run would that reads it. It reads the columns of text that have a
// rule, of the first coarseRows rows.
func coarseness(ctx context.Context, j *jobs.Job, set string, b storage.Bucket, pattern string, columns map[string]string, numbers []string, explode string) (out []check) {
	rules := j.Coarsening()[set]
	var names []string
	scan := table.ScanOptions{Explode: explode}
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		if !slices.Contains(numbers, name) && name != event.ColValue {
			names = append(names, name)
			scan.Columns = append(scan.Columns, table.Want{Name: columnOf(columns, name), Type: table.String, Optional: true, TimeText: true})
		}
	}
	n, file, err := first(ctx, b, pattern)
	if err != nil || n == 0 || len(names) == 0 || !strings.HasSuffix(file.Key, ".parquet") {
		return nil // the check of the source says so
	}
	var counts expect.Counts
	rows := 0
	for batch, err := range table.Scan(ctx, b, file, scan) {
		if err != nil {
			return nil
		}
		for k, name := range names {
			var did expect.Coarse
			for i, text := range batch.Cols[k].Str {
				if batch.Cols[k].Null(i) || text == "" {
					continue
				}
				if did.Rows++; !rules[name].Knows(text) {
					did.Unknown++
				}
			}
			counts.AddCoarse(name, did)
		}
		if rows += batch.N; rows >= coarseRows {
			break
		}
	}
	for _, v := range expect.Missed(expect.Set{Name: set}.Judge(expect.Seen{Counts: counts, ByFile: set != "events"}), expect.Warned) {
		out = append(out, check{What: "columns of " + set, OK: true, Warns: true, Found: file.Key + ": " + v.Says})
	}
	return out
}
