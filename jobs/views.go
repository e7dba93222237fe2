package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs/cost"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// ViewBuilt is the last build of a view.
type ViewBuilt struct {
	AsOf      time.Time      `json:"as_of"` // the end of its interval: no later event is in it
	Interval  table.Interval `json:"interval"`
	Committed time.Time      `json:"committed"`
	Key       string         `json:"key"`
	Rows      int64          `json:"rows"`
	Bytes     int64          `json:"bytes"` // of the view's table
	Digest    table.Digest   `json:"digest"`
	Stats     features.Stats `json:"stats"` // of the whole build: views share a scan
	Job       string         `json:"job,omitempty"`
	Run       string         `json:"run_id,omitempty"`
	Cost      *cost.Cost     `json:"cost,omitempty"` // of the whole build
	// Current says whether the view was declared then as it is now; nil where the run that made it is not known any more.
	Current *bool `json:"current,omitempty"`

	manifest table.Manifest
}

// buildsLookedAt bounds how far back the last build of a view is looked for, among the builds of one kind of interval: hours do not stand before days.
const buildsLookedAt = 32

// Views returns the last build of each view, by name; a view that has none is left out. Cost: a listing, and a few small reads for each of the last
// builds, until every view is found.
func (r *Runner) Views(ctx context.Context, views []features.View) (map[string]*ViewBuilt, error) {
	var keys []string
	for info, err := range r.Bucket.List(ctx, "done/build/", storage.ListOpt{}) {
		if err != nil {
			return nil, fmt.Errorf("list builds: %w", err)
		}
		keys = append(keys, strings.TrimPrefix(info.Key, "done/"))
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Compare(b, a) }) // by label, the latest first
	out := map[string]*ViewBuilt{}
	tables := table.Store{Bucket: r.Bucket}
	for _, key := range lastBuilds(keys) {
		if len(out) == len(views) && before(out, key) {
			break
		}
		c, _, err := tables.Lookup(ctx, key)
		if errors.Is(err, storage.ErrNotFound) {
			continue // collected meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("build %s: %w", key, err)
		}
		for _, v := range views {
			m, ok := c.Outputs[v.Name]
			if found := out[v.Name]; !ok || c.Interval == nil || found != nil && !later(c, found) {
				continue
			}
			if out[v.Name], err = built(c, m); err != nil {
				return nil, err
			}
		}
	}
	for _, v := range views {
		if b := out[v.Name]; b != nil {
			if err := r.provenance(ctx, v, b); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// lastBuilds are of the keys of builds, the latest first, the first ones of each kind of interval. Labels of one kind are equally long.
func lastBuilds(keys []string) (out []string) {
	of := map[int]int{}
	for _, key := range keys {
		label, _, _ := strings.Cut(strings.TrimPrefix(key, "build/"), "/")
		if of[len(label)]++; of[len(label)] <= buildsLookedAt {
			out = append(out, key)
		}
	}
	return out
}

// before reports whether all that was found is of later labels than a key's.
func before(found map[string]*ViewBuilt, key string) bool {
	day := func(key string) string {
		label := strings.TrimPrefix(key, "build/")
		return label[:min(len(label), len(time.DateOnly))]
	}
	for _, b := range found {
		if day(b.Key) <= day(key) {
			return false
		}
	}
	return true
}

func later(c *table.Commit, b *ViewBuilt) bool {
	return cmp.Or(c.Interval.End.Compare(b.AsOf), c.At.Compare(b.Committed)) > 0
}

func built(c *table.Commit, m table.Manifest) (*ViewBuilt, error) {
	b := &ViewBuilt{AsOf: c.Interval.End, Interval: *c.Interval, Committed: c.At, Key: c.Key, Rows: m.Rows, Digest: m.Digest, Run: c.Run, manifest: m}
	if b.Run == "" && c.By == "" { // made before commits named their runs; of a successor the writer is another
		b.Run = c.Nonce
	}
	for _, p := range m.Parts {
		b.Bytes += p.Size
	}
	var err error
	b.Stats, err = factsOf[features.Stats](c)
	return b, err
}

// provenance adds what the run that made a build knows of it. A run that is forgotten, or was never known, is no fault.
func (r *Runner) provenance(ctx context.Context, v features.View, b *ViewBuilt) error {
	if b.Run == "" {
		return nil
	}
	run, err := ledger.Ledger{Bucket: r.Bucket}.Get(ctx, b.Run)
	if errors.Is(err, ledger.ErrNotFound) {
		b.Run = ""
		return nil
	}
	if err != nil {
		return err
	}
	b.Job = run.Job
	for i := range run.Steps {
		if run.Steps[i].Key == b.Key && run.Steps[i].Status == "done" {
			b.Cost = &run.Steps[i].Cost
		}
	}
	var spec struct {
		Views map[string]json.RawMessage `json:"views"`
	}
	if json.Unmarshal(run.Spec, &spec) == nil {
		same := sameJSON(spec.Views[v.Name], raw(viewSpec(v)))
		b.Current = &same
	}
	return nil
}

// viewSpec is what a project file says of a view.
func viewSpec(v features.View) map[string]any {
	var windows []string
	for _, d := range v.SortedWindows() {
		windows = append(windows, features.FormatWindow(d))
	}
	return map[string]any{"key": v.Key, "windows": windows, "features": v.Features}
}

// ErrView says that a view cannot be made by a job.
var ErrView = errors.New("the view cannot be made")

// Reads returns an ErrView if the job's purpose does not read what the views need of events.
func (j *Job) Reads(views []features.View) error {
	for _, v := range views {
		for _, c := range v.Columns() {
			if c == features.KeySubject || c == features.KeyItem || c == event.ColTime || j.Training.Allows("events", c) {
				continue
			}
			return fmt.Errorf("%w by job %s: view %s uses column %q, which purpose %s does not read; add it to purposes.%s.reads.events, or take another --job",
				ErrView, j.Name, v.Name, c, j.Training.Name, j.Training.Name)
		}
	}
	return nil
}

// only returns the job with these views and no others, and no more history than they need.
func (j *Job) only(views []features.View) (*Job, error) {
	if err := errors.Join(features.Validate(views), j.Reads(views)); err != nil {
		return nil, err
	}
	out := *j
	out.Views, out.Published, out.Window = views, nil, features.RetentionNeeded(views)
	return &out, nil
}

// ViewColumns describes the columns of a view's last build, which it reads whole. Of a column that fewer than smallCell subjects have no range is told.
func (r *Runner) ViewColumns(ctx context.Context, v features.View, b *ViewBuilt) ([]ColumnProfile, error) {
	keys := 0
	for keys < len(b.manifest.Schema) && (b.manifest.Schema[keys].Name == features.EntityColumn || slices.Contains(v.Keys(), b.manifest.Schema[keys].Name)) {
		keys++
	}
	p := newProfile(b.manifest.Schema, keys)
	for batch, err := range table.Read(ctx, r.Bucket, b.manifest, table.ReadOptions{}) {
		if err != nil {
			return nil, fmt.Errorf("view %s of %s: %w", v.Name, b.Interval, err)
		}
		p.add(batch)
	}
	return p.columns(slices.Contains(v.Keys(), features.KeySubject)), nil
}
