package main

import (
	"cmp"
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

// namedKinds warns of kinds that views name and no event of the newest file has: misspelt ones make columns of zeros. Where the source's map says which kinds
// there are (sources.events.kinds), the check of the project file has refused them.
func namedKinds(ctx context.Context, j *jobs.Job) []check {
	src := j.Events
	if src.Kinds != nil || src.Kind == "" {
		return nil
	}
	named := map[string][]string{}
	for _, v := range j.Views {
		for _, f := range v.Features {
			for _, kind := range f.NamedKinds() {
				named[kind] = append(named[kind], v.Name+"."+f.Name)
			}
		}
	}
	n, file, err := first(ctx, src.Bucket, src.Path)
	if err != nil || n == 0 || len(named) == 0 || !strings.HasSuffix(file.Key, ".parquet") {
		return nil // the check of the source says so
	}
	has, rows, err := inspect.Values(ctx, src.Bucket, file, src.Kind)
	if err != nil || has == nil {
		return nil
	}
	var none []string
	for _, kind := range slices.Sorted(maps.Keys(named)) {
		if !has[kind] && kind != cmp.Or(src.DefaultKind, "event") {
			none = append(none, fmt.Sprintf("%q (%s)", kind, strings.Join(named[kind], ", ")))
		}
	}
	if len(none) == 0 {
		return nil
	}
	return []check{{What: "kinds of views", OK: true, Warns: true, Found: fmt.Sprintf("of %s of the newest file none has the kind that a view names: %s. If it is not a rare one, mind the spelling",
		count(int(rows), "event"), strings.Join(none, "; "))}}
}
