package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Usage is what the bucket holds, by kind.
type Usage struct {
	Kinds   []UsageRow `json:"kinds"` // largest first
	Objects int        `json:"objects"`
	Bytes   int64      `json:"bytes"`
	Garbage int64      `json:"garbage_bytes"` // that gc would remove, whatever its age
}

// UsageRow is one kind of object: the tables of a step, artifacts, reports, runs and so on.
type UsageRow struct {
	Kind    string    `json:"kind"`
	Objects int       `json:"objects"`
	Bytes   int64     `json:"bytes"`
	Oldest  time.Time `json:"oldest"`
	Newest  time.Time `json:"newest"`
	Garbage int64     `json:"garbage_bytes"`
	What    string    `json:"what"`
}

// kinds says what stands under each folder of the bucket.
var kinds = map[string]string{
	"alerts": "who has been told what", "artifacts": "models", "data": "rows of tables", "done": "proof of steps that are done", "identity": "where ids meet subject numbers",
	"leases": "who runs what", "lineage": "events that a catalog has yet to get", "minimization": "what each field is worth", "mitigation": "what remedies against gaps would cost", "models": "versions, and what is live", "online": "whether the fallback is on",
	"pause": "jobs that are paused", "policy": "erasures, withdrawals, receipts, requests, purges, legal holds, who looked at whose records", "reports": "reports", "runs": "the ledger", "serve": "servers that are alive", "tuning": "what searches of hyperparameters found",
}

// Usage adds up the objects of the bucket. Cost: one listing of it, and one GET a step that is done.
func (r *Runner) Usage(ctx context.Context) (*Usage, error) {
	named, unwanted, err := r.named(ctx)
	if err != nil {
		return nil, err
	}
	rows := map[string]*UsageRow{}
	out := &Usage{}
	for info, err := range r.Bucket.List(ctx, "", storage.ListOpt{}) {
		if err != nil {
			return nil, fmt.Errorf("du: %w", err)
		}
		kind := kindOf(info.Key)
		row := rows[kind]
		if row == nil {
			folder, _, _ := strings.Cut(kind, "/")
			row = &UsageRow{Kind: kind, Oldest: info.Modified, Newest: info.Modified, What: kinds[folder]}
			rows[kind] = row
		}
		row.Objects++
		row.Bytes += info.Size
		if info.Modified.Before(row.Oldest) {
			row.Oldest = info.Modified
		}
		if info.Modified.After(row.Newest) {
			row.Newest = info.Modified
		}
		if litter(info.Key, named, unwanted) != "" {
			row.Garbage += info.Size
			out.Garbage += info.Size
		}
		out.Objects++
		out.Bytes += info.Size
	}
	for _, row := range rows {
		out.Kinds = append(out.Kinds, *row)
	}
	slices.SortFunc(out.Kinds, func(a, b UsageRow) int {
		if a.Bytes != b.Bytes {
			return int(max(-1, min(1, b.Bytes-a.Bytes)))
		}
		return strings.Compare(a.Kind, b.Kind)
	})
	return out, nil
}

// kindOf is the folder that an object stands in; for the rows and proofs of steps, with the step.
func kindOf(key string) string {
	first, rest, deep := strings.Cut(key, "/")
	if !deep {
		return "other"
	}
	if first == "data" || first == "done" {
		step, _, _ := strings.Cut(rest, "/")
		return first + "/" + step
	}
	return first
}

// Garbage is an object that nothing refers to.
type Garbage struct {
	Key      string    `json:"key"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"`
	Why      string    `json:"why"`
}

// Collected is what a collection removed, or would.
type Collected struct {
	Removed []Garbage `json:"removed"`
	Bytes   int64     `json:"bytes"`
	Young   int       `json:"kept_young"` // unreachable, but younger than the age asked for: a run may still want it
	DryRun  bool      `json:"dry_run"`
}

const collectLease = "leases/gc"

// Collect removes what no commit, version or report refers to and what is older than age, which must be an hour at least: a run under way
// stages its files (tables, artifacts, reports) before it commits them, and writes anew what it finds staged, so that nothing of it is that old. With dry it only
// says what would go. Interrupted, it has removed some of it; the next one goes on.
func (r *Runner) Collect(ctx context.Context, age time.Duration, dry bool) (*Collected, error) {
	if age < stagedFor {
		return nil, fmt.Errorf("gc: %s is too young: what is less than %s old may belong to a run under way", age, stagedFor)
	}
	if !dry {
		lease, err := r.acquire(ctx, collectLease)
		if err != nil {
			return nil, fmt.Errorf("gc: %w", err)
		}
		var stop func()
		ctx, stop = lease.Keep(ctx)
		defer stop()
		defer r.release(ctx, lease)
	}
	out := &Collected{DryRun: dry, Removed: []Garbage{}}
	if !dry {
		if err := r.dropSpare(ctx, r.Wall().Add(-age)); err != nil {
			return out, fmt.Errorf("gc: %w", err)
		}
	}
	var found []Garbage
	for g, err := range r.unreachable(ctx, dry) {
		if err != nil {
			return out, err
		}
		found = append(found, g)
	}
	for i, g := range found {
		r.Progressed("gc", "", int64(i), int64(len(found)), "objects")
		if r.Wall().Sub(g.Modified) < age {
			out.Young++
			continue
		}
		if !dry {
			// A run may have staged it anew since it was listed.
			now, err := r.Bucket.Head(ctx, g.Key)
			if errors.Is(err, storage.ErrNotFound) {
				continue
			}
			if err != nil {
				return out, fmt.Errorf("gc: %w", err)
			}
			if r.Wall().Sub(now.Modified) < age {
				out.Young++
				continue
			}
			if err := r.Bucket.Delete(ctx, g.Key); err != nil {
				return out, fmt.Errorf("gc: %w", err)
			}
		}
		out.Removed = append(out.Removed, g)
		out.Bytes += g.Bytes
	}
	return out, nil
}

// collectable are the kinds of object that nothing but a reference keeps: where they stand, by what they would be referred to, and what it
// means if they are not.
var collectable = []struct {
	prefix, why string
	name        func(key string) string
}{
	{"data/", "no commit names it: staged by a run that ended before its step was done, or replaced", func(key string) string { return key }},
	{"artifacts/", "no version and no training step has it", path.Dir},
	{"reports/", "no evaluation, no refusal and no version has it", func(key string) string { return strings.TrimSuffix(key, path.Ext(key)) }},
}

// litter says why nothing refers to an object, or needs it, or "" if something does or nothing has to.
func litter(key string, named, unwanted map[string]bool) string {
	if unwanted[key] {
		return "a build kept it for later ones, and so many are newer that none goes on from it"
	}
	for _, c := range collectable {
		if strings.HasPrefix(key, c.prefix) && !named[c.name(key)] {
			return c.why
		}
	}
	return ""
}

// unreachable yields the objects that nothing refers to: files of tables that no commit names, artifacts of no trained model and no version,
// reports of no evaluation, no refusal and no version. What refers is read first: an object that is referred to since is young.
// With spare also what builds keep and no later one will want: a collection takes that out of the builds itself, and what they name yet is wanted.
func (r *Runner) unreachable(ctx context.Context, spare bool) iter.Seq2[Garbage, error] {
	return func(yield func(Garbage, error) bool) {
		named, unwanted, err := r.named(ctx)
		if err != nil {
			yield(Garbage{}, err)
			return
		}
		if !spare {
			unwanted = nil
		}
		for _, c := range collectable {
			for info, err := range r.Bucket.List(ctx, c.prefix, storage.ListOpt{}) {
				if err != nil {
					yield(Garbage{}, err)
					return
				}
				if why := litter(info.Key, named, unwanted); why != "" && !yield(Garbage{Key: info.Key, Bytes: info.Size, Modified: info.Modified, Why: why}, nil) {
					return
				}
			}
		}
	}
}

// named is all that commits and versions refer to: objects under data/, folders under artifacts/, reports without extension. Of these, unwanted are the
// files that builds keep for later ones, and that none will want.
func (r *Runner) named(ctx context.Context) (named, unwanted map[string]bool, err error) {
	named, unwanted = map[string]bool{}, map[string]bool{}
	var builds []keeping
	for c, err := range (table.Store{Bucket: r.Bucket}).List(ctx, "") {
		if err != nil {
			return nil, nil, err
		}
		for _, m := range c.Outputs {
			for _, p := range m.Parts {
				named[p.Object] = true
			}
		}
		if k, ok := keepingOf(c); ok {
			builds = append(builds, k)
		}
		switch c.Step {
		case "train":
			f, err := factsOf[trained](c)
			if err != nil {
				return nil, nil, err
			}
			named[path.Dir(artifactKey(f.Digest, "x"))] = true
		case "evaluate":
			f, err := factsOf[judged](c)
			if err != nil {
				return nil, nil, err
			}
			named[f.Report] = true
		case "refuse":
			f, err := factsOf[refused](c)
			if err != nil {
				return nil, nil, err
			}
			named[f.Report] = true
		}
	}
	// Versions of every model that was ever registered here, also of those that the project has dropped.
	for reg, err := range registry.Every(ctx, r.Bucket) {
		if err != nil {
			return nil, nil, err
		}
		versions, err := reg.Versions(ctx)
		if err != nil {
			return nil, nil, err
		}
		for _, v := range versions {
			named[path.Dir(artifactKey(v.Digest, "x"))] = true
			named[v.Report.Link] = true
		}
	}
	unused := spare(builds, r.Wall())
	for _, k := range builds {
		for output := range unused[k.key] {
			for _, p := range k.outputs[output].Parts {
				unwanted[p.Object] = true
			}
		}
	}
	return named, unwanted, nil
}

// dropSpare takes out of builds committed before a time what they keep and no later one will want: its files are then litter as any.
func (r *Runner) dropSpare(ctx context.Context, before time.Time) error {
	var builds []keeping
	for c, err := range (table.Store{Bucket: r.Bucket}).List(ctx, "build/") {
		if err != nil {
			return err
		}
		if k, ok := keepingOf(c); ok {
			builds = append(builds, k)
		}
	}
	for key, outputs := range spare(builds, before) {
		if len(outputs) > 0 {
			if _, err := r.dropKept(ctx, key, outputs); err != nil {
				return err
			}
		}
	}
	return nil
}
