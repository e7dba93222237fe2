package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/policy"
)

// query is how the peer is asked. The same answer can be had in several ways; the untimed pass tries them, and the quickest is timed.
type query struct {
	// buckets says that events are grouped by key and by the shortest window that holds them first, and windows are summed of that;
	// else each window is a FILTER of one grouping by key.
	buckets bool
	// files says that the files of a day tell which windows hold its events, so that no time is read; else times do.
	files bool
	// plain says that distinct values are counted by count(DISTINCT …) FILTER; else by grouping by key and value first.
	plain bool
	// consent names files of consent records, with which events are joined; "" is none. joined says that this is done once and its result kept.
	consent string
	joined  bool
}

func (q query) String() string {
	grouping, windows, distinct := "FILTER a window", "windows by time", "pairs grouped first"
	if q.buckets {
		grouping = "GROUP BY key and window first"
	}
	if q.files {
		windows = "windows by file"
	}
	if q.plain {
		distinct = "count(DISTINCT)"
	}
	way := grouping + ", " + windows + ", " + distinct
	switch {
	case q.joined:
		way += ", joined once"
	case q.consent != "":
		way += ", joined in each statement"
	}
	return way
}

// queries are the ways that apply to views.
func queries(views []features.View) []query {
	if len(views[0].Windows) == 1 {
		return []query{{}}
	}
	return []query{{}, {files: true}, {buckets: true, files: true}, {plain: true}}
}

// statements are what answers views as of the end of the events: one pass over the files a key, one for the pairs of subject and item, then a
// table a view, named as the view. All views have the same windows, the longest of which holds all events: there is no WHERE for that reason.
func (q query) statements(views []features.View, d *dataset) []string {
	windows := views[0].SortedWindows()
	source := q.source(windows, d)
	var out, tables []string
	if q.consent != "" {
		source = fmt.Sprintf("(SELECT e.* FROM %s e JOIN read_parquet('%s') c ON e.subject = c.subject WHERE c.purpose = 'recommend' AND c.state = '%s' AND e.time >= c.effective_at)",
			source, q.consent, policy.ConsentGiven)
	}
	if q.joined {
		out = append(out, "CREATE TEMP TABLE events AS SELECT subject, item, kind, value, bucket FROM "+source)
		source = "events"
	}
	pairs := ""
	for _, key := range keysOf(views) {
		var inner, outer []string // columns of the grouping by key and bucket, and of that by key
		counted := ""             // the column whose distinct values are counted
		for _, v := range views {
			if v.Key != key {
				continue
			}
			columns := []string{"entity"}
			from := "by_" + key
			for _, f := range v.Features {
				name := v.Name + "_" + f.Name
				for _, w := range windows {
					columns = append(columns, fmt.Sprintf("%s AS %s", q.column(f, name, w), features.ColumnName(f.Name, w)))
				}
				if f.Op == features.Distinct && !q.plain {
					counted, from = f.Column, "by_"+key+" JOIN pairs_by_"+key+" USING (entity)"
					continue
				}
				in, out := q.aggregates(f, name, windows)
				inner, outer = append(inner, in...), append(outer, out...)
			}
			tables = append(tables, fmt.Sprintf("CREATE TABLE %s AS SELECT %s FROM %s", v.Name, strings.Join(columns, ", "), from))
		}
		if q.buckets {
			out = append(out, fmt.Sprintf("CREATE TEMP TABLE by_%s AS SELECT entity, %s FROM (SELECT %s AS entity, bucket, %s FROM %s GROUP BY ALL) GROUP BY entity",
				key, strings.Join(outer, ", "), key, strings.Join(inner, ", "), source))
		} else {
			out = append(out, fmt.Sprintf("CREATE TEMP TABLE by_%s AS SELECT %s AS entity, %s FROM %s GROUP BY %s", key, key, strings.Join(outer, ", "), source, key))
		}
		if counted == "" {
			continue
		}
		if pairs == "" {
			pairs = key + ", " + counted
			out = append(out, fmt.Sprintf("CREATE TEMP TABLE pairs AS SELECT %s, min(bucket) AS bucket FROM %s GROUP BY %s", pairs, source, pairs))
		}
		var counts []string
		for i, w := range windows {
			counts = append(counts, fmt.Sprintf("count(*) FILTER (bucket <= %d) AS %s", i, features.ColumnName("distinct", w)))
		}
		out = append(out, fmt.Sprintf("CREATE TEMP TABLE pairs_by_%s AS SELECT %s AS entity, %s FROM pairs GROUP BY %s", key, key, strings.Join(counts, ", "), key))
	}
	return append(out, tables...)
}

// source is the events with the position of the shortest window that holds them, bucket.
func (q query) source(windows []time.Duration, d *dataset) string {
	if len(windows) == 1 {
		return "read_parquet(" + paths(d.files()) + ")"
	}
	var parts []string
	var cases strings.Builder
	newest := d.end()
	for i, w := range windows {
		oldest := d.end().Add(-w)
		if i < len(windows)-1 {
			fmt.Fprintf(&cases, "WHEN time >= %s THEN %d ", timestamp(oldest), i)
		}
		var files []string
		for k, m := range d.Days {
			if at := d.day(k).Start; !at.Before(oldest) && at.Before(newest) {
				for _, p := range m.Parts {
					files = append(files, filepath.Join(d.Dir, p.Object))
				}
			}
		}
		if len(files) > 0 {
			parts = append(parts, fmt.Sprintf("SELECT *, %d::TINYINT AS bucket FROM read_parquet(%s)", i, paths(files)))
		}
		newest = oldest
	}
	if q.files {
		return "(" + strings.Join(parts, " UNION ALL ") + ")"
	}
	return fmt.Sprintf("(SELECT *, (CASE %sELSE %d END)::TINYINT AS bucket FROM read_parquet(%s))", cases.String(), len(windows)-1, paths(d.files()))
}

func paths(files []string) string { return "[" + list(files) + "]" }

// keysOf returns the keys of views, each once.
func keysOf(views []features.View) []string {
	var out []string
	for _, v := range views {
		if !slices.Contains(out, v.Key) {
			out = append(out, v.Key)
		}
	}
	return out
}

// aggregates are the columns of a feature: n, s and the like of it for each window, named by window; with buckets, what they are computed of.
func (q query) aggregates(f features.Feature, name string, windows []time.Duration) (inner, outer []string) {
	kinds := ""
	if f.Kinds != nil {
		kinds = fmt.Sprintf("kind IN (%s)", list(f.Kinds))
	}
	// add makes one aggregate: how events become a cell, and how cells become one.
	add := func(part, of, merged, filter string) {
		if q.buckets {
			inner = append(inner, fmt.Sprintf("%s%s AS %s_%s", of, where(kinds, filter), name, part))
		}
		for i, w := range windows {
			column := fmt.Sprintf("%s_%s", part, features.ColumnName(name, w))
			switch last := i == len(windows)-1; {
			case q.buckets && last:
				outer = append(outer, fmt.Sprintf("%s(%s_%s) AS %s", merged, name, part, column))
			case q.buckets:
				outer = append(outer, fmt.Sprintf("%s(%s_%s) FILTER (bucket <= %d) AS %s", merged, name, part, i, column))
			case last:
				outer = append(outer, fmt.Sprintf("%s%s AS %s", of, where(kinds, filter), column))
			default:
				outer = append(outer, fmt.Sprintf("%s%s AS %s", of, where(kinds, filter, fmt.Sprintf("bucket <= %d", i)), column))
			}
		}
	}
	switch f.Op {
	case features.Count:
		add("n", "count(*)", "sum", "")
	case features.Sum:
		add("s", "sum("+f.Column+")", "sum", "")
	case features.Mean:
		add("n", "count("+f.Column+")", "sum", "")
		add("s", "sum("+f.Column+")", "sum", "")
	case features.Max:
		add("m", "max("+f.Column+")", "max", "")
	case features.ShareOf:
		add("n", "count(kind)", "sum", "")
		add("k", "count(*)", "sum", fmt.Sprintf("kind IN (%s)", list(f.Share)))
	case features.Distinct:
		for i, w := range windows {
			outer = append(outer, fmt.Sprintf("count(DISTINCT %s)%s AS d_%s", f.Column, where(kinds, fmt.Sprintf("bucket <= %d", i)), features.ColumnName(name, w)))
		}
	default:
		panic("benchfeatures: no SQL for operator " + string(f.Op))
	}
	return inner, outer
}

// column is the value of a feature over a window, of the columns that aggregates made.
func (q query) column(f features.Feature, name string, w time.Duration) string {
	c := features.ColumnName(name, w)
	switch f.Op {
	case features.Count:
		return fmt.Sprintf("coalesce(n_%s, 0)::BIGINT", c)
	case features.Sum:
		return fmt.Sprintf("coalesce(s_%s, 0)", c)
	case features.Mean:
		return fmt.Sprintf("s_%s / nullif(n_%s, 0)", c, c)
	case features.Max:
		return "m_" + c
	case features.ShareOf:
		return fmt.Sprintf("k_%s / nullif(n_%s, 0)", c, c)
	}
	if q.plain {
		return "d_" + c
	}
	return features.ColumnName("distinct", w)
}

func where(conditions ...string) string {
	conditions = slices.DeleteFunc(conditions, func(s string) bool { return s == "" })
	if len(conditions) == 0 {
		return ""
	}
	return " FILTER (" + strings.Join(conditions, " AND ") + ")"
}

func list(names []string) string { return "'" + strings.Join(names, "', '") + "'" }

func timestamp(t time.Time) string {
	return fmt.Sprintf("TIMESTAMPTZ '%s+00'", t.UTC().Format("2006-01-02 15:04:05.999999"))
}
