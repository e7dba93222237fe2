package jobs

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// ItemHints is what the items say of the rules that are declared on them.
type ItemHints struct {
	Items     int
	Idle      []string            // list rules that change no list, in words
	Sensitive int                 // items that sensitive_items names
	Levels    map[string][]string // values of each category that the purpose reads, ascending; categories of very many values are left out
}

// Bounds of what ItemHints reads and returns.
const (
	hintBytes  = 256 << 20
	hintLevels = 5000
)

// ItemHints reads the items as they are now, if there are any and their files are not too large for a look (false). It changes nothing.
func (j *Job) ItemHints(ctx context.Context) (*ItemHints, bool, error) {
	if j.Items == nil || len(j.Training.Reads["items"]) == 0 {
		return nil, false, nil
	}
	var size int64
	for info, err := range storage.Glob(ctx, j.Items.Data.Bucket, j.Items.Data.Path) {
		if err != nil {
			return nil, false, fmt.Errorf("items: %w", err)
		}
		size += info.Size
	}
	if size == 0 || size > hintBytes {
		return nil, false, nil
	}
	data := j.Items.Data
	data.Expect = expect.Set{}
	read, err := event.ReadAttributes(ctx, event.AttributesPlan{
		Data: data, Set: "items", Key: event.ColItem, Columns: slices.Sorted(slices.Values(j.Training.Reads["items"])), Numeric: j.Items.Numeric, Purpose: j.Training,
	})
	if err != nil {
		return nil, false, err
	}
	rows := &read.Batch
	out := &ItemHints{Items: rows.N, Levels: map[string][]string{}, Sensitive: len(sensitiveOf(rows, j.Guards.Sensitive))}
	for c, f := range rows.Schema[1:] {
		if f.Type != table.String {
			continue
		}
		levels := map[string]bool{}
		for i, level := range rows.Cols[c+1].Str {
			if !rows.Cols[c+1].Null(i) {
				levels[level] = true
			}
		}
		if len(levels) <= hintLevels {
			out.Levels[f.Name] = slices.Sorted(maps.Keys(levels))
		}
	}
	if j.Model.Lists.Rules.Off() {
		return out, true, nil
	}
	at := make([]int32, rows.N)
	for i := range at {
		at[i] = int32(i)
	}
	catalog := &models.Catalog{IDs: rows.Col(event.ColItem).Str, Attrs: attributes(rows, event.ColItem, rows.N, at)}
	limits := &lists.Rules{Exclude: j.Model.Lists.Rules.Exclude, AtMost: j.Model.Lists.Rules.AtMost}
	if limits.Off() {
		return out, true, nil
	}
	stage, err := limits.Bind(catalog, lists.Options{K: 1})
	if err != nil {
		return nil, false, err
	}
	_, out.Idle, err = stage.Says(catalog)
	return out, true, err
}
