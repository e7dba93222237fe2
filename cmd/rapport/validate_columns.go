package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/cmd/internal/inspect"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
)

// columnOf is the column of the files that a name of the project stands for.
func columnOf(columns map[string]string, name string) string {
	if c, ok := columns[name]; ok {
		return c
	}
	return name
}

// tellingEvents is telling of the event files.
func tellingEvents(ctx context.Context, j *jobs.Job) []check {
	src := j.Events
	columns := map[string]string{event.ColKind: src.Kind, event.ColValue: src.Value}
	maps.Copy(columns, src.Columns)
	return telling(ctx, j, "events", src.Bucket, src.Path, columns, []string{src.Subject, src.Item, src.Time, src.Kind, src.Value, src.Created})
}

// telling says which columns of the newest file of a source may tell something of people that needs care, by their names and by what their values look like. It
// warns of those that a model is trained on; what is read for evaluation alone, or to protect people, is as it should be. keys are columns that it does not look at.
func telling(ctx context.Context, j *jobs.Job, set string, b storage.Bucket, pattern string, columns map[string]string, keys []string) []check {
	n, file, err := first(ctx, b, pattern)
	if err != nil || n == 0 || !strings.HasSuffix(file.Key, ".parquet") {
		return nil // the check of the source says so
	}
	tells, err := inspect.Tells(ctx, b, file)
	if err != nil {
		return nil
	}
	reads := func(names []string) (out []string) {
		for _, name := range names {
			out = append(out, columnOf(columns, name))
		}
		return out
	}
	trained, judged := reads(j.Training.Reads[set]), []string{}
	if j.Evaluation != nil {
		judged = reads(j.Evaluation.Reads[set])
	}
	if set == "subjects" {
		for _, e := range j.Guards.Protected {
			for _, c := range e {
				judged = append(judged, columnOf(columns, c.Column))
			}
		}
	}
	var learned, unread []string
	for _, name := range slices.Sorted(maps.Keys(tells)) {
		switch {
		case slices.Contains(keys, name):
		case slices.Contains(judged, name):
		case slices.Contains(trained, name):
			learned = append(learned, fmt.Sprintf("%s may tell of %s", name, tells[name]))
		default:
			unread = append(unread, name+" ("+tells[name].Topic+")")
		}
	}
	var out []check
	var ids []string
	for _, name := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(trained, judged)))) {
		if !slices.Contains(keys, name) && inspect.NamesID(name) {
			ids = append(ids, name)
		}
	}
	if len(ids) > 0 {
		out = append(out, check{What: "columns of " + set, OK: true, Warns: true, Found: "by their names ids that are not the person's own: " + strings.Join(ids, ", ") +
			". They are read as they are: their values stand in the clear in the objects of the bucket, under pseudonyms of persons. Deliver them keyed, or leave them out of reads"})
	}
	if len(learned) > 0 {
		out = append(out, check{What: "columns of " + set, OK: true, Warns: true, Found: "models are trained on what needs care: " + strings.Join(learned, "; ")})
	}
	if len(unread) > 0 {
		out = append(out, check{What: "columns of " + set, OK: true, Found: "what may need care and is not read: " + strings.Join(unread, ", ")})
	}
	return out
}
