package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// crowded warns of cohorts of a job with more levels in the newest file of their source than an evaluation takes: a run may be refused before it trains. It reads
// their columns of the first coarseRows rows. A rule with at_least makes fewer of them than can be told from a file alone: what it applies to is left out.
func crowded(ctx context.Context, j *jobs.Job) (out []check) {
	if j.Cohorts != nil && j.Evaluation != nil {
		out = append(out, crowdedIn(ctx, j, "cohorts", j.Cohorts.Data.Bucket, j.Cohorts.Data.Path, j.Cohorts.Data.Columns, j.Evaluation.Reads["cohorts"], "")...)
	}
	var texts []string
	for name := range j.Events.Columns {
		if !slices.Contains(j.Events.Numeric, name) && (j.Evaluation == nil || !slices.Contains(j.Evaluation.Reads["cohorts"], name)) {
			texts = append(texts, name)
		}
	}
	return append(out, crowdedIn(ctx, j, "events", j.Events.Bucket, j.Events.Path, j.Events.Columns, texts, j.Events.Explode)...)
}

// crowdedIn is crowded of the cohorts whose parts are all columns of one set.
func crowdedIn(ctx context.Context, j *jobs.Job, set string, b storage.Bucket, pattern string, columns map[string]string, has []string, explode string) (out []check) {
	rules := j.Coarsening()[set]
	scan := table.ScanOptions{Explode: explode}
	var cohorts [][]int // by cohort, the columns of its parts
	var names, read []string
	for _, name := range j.Cohort {
		var parts []int
		for _, part := range strings.Split(name, jobs.CohortCross) {
			if !slices.Contains(has, part) || rules[part].AtLeast > 0 {
				parts = nil
				break
			}
			at := slices.Index(read, part)
			if at < 0 {
				at, read = len(read), append(read, part)
				scan.Columns = append(scan.Columns, table.Want{Name: columnOf(columns, part), Type: table.String, Optional: true, TimeText: true})
			}
			parts = append(parts, at)
		}
		if parts != nil {
			names, cohorts = append(names, name), append(cohorts, parts)
		}
	}
	n, file, err := first(ctx, b, pattern)
	if err != nil || n == 0 || len(cohorts) == 0 || !strings.HasSuffix(file.Key, ".parquet") {
		return nil // the check of the source says so
	}
	coarse := make([]*event.Coarsening, len(read))
	for k, part := range read {
		if rule, ok := rules[part]; ok {
			coarse[k] = &rule
		}
	}
	levels := make([]map[string]bool, len(cohorts))
	for c := range levels {
		levels[c] = map[string]bool{}
	}
	rows := 0
	for batch, err := range table.Scan(ctx, b, file, scan) {
		if err != nil {
			return nil
		}
		for i := range batch.N {
			for c, parts := range cohorts {
				if level, ok := levelOf(batch, i, parts, coarse); ok && len(levels[c]) <= eval.MaxLevels {
					levels[c][level] = true
				}
			}
		}
		if rows += batch.N; rows >= coarseRows {
			break
		}
	}
	for c, name := range names {
		if len(levels[c]) > eval.MaxLevels {
			out = append(out, check{What: "cohorts of job " + j.Name, OK: true, Warns: true, Found: fmt.Sprintf(
				"%s has more than %d levels in %s: a run is refused, before it trains, where those who are asked have as many; %s", name, eval.MaxLevels, file.Key, j.CoarserCohort(name))})
		}
	}
	return out
}

// levelOf is the level of row i in a cohort, in which its parts stand beside one another; false where it has none.
func levelOf(b *table.Batch, i int, parts []int, coarse []*event.Coarsening) (string, bool) {
	var level []string
	for _, k := range parts {
		if b.Cols[k].Null(i) || b.Cols[k].Str[i] == "" {
			return "", false
		}
		text := b.Cols[k].Str[i]
		if coarse[k] != nil {
			text = coarse[k].Text(text)
		}
		level = append(level, text)
	}
	return strings.Join(level, "\x00"), true
}
