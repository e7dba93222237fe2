package jobs

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// readModels reads the versions of every model that was ever registered, and says which stay whatever their age, and why: what is live, pinned, a candidate, or
// of a generation that the online store keeps for a rollback.
func (p *purging) readModels(ctx context.Context) error {
	have, err := p.Online.Generations(ctx)
	if err != nil {
		return fmt.Errorf("online store: %w", err)
	}
	p.versions, p.safe = map[string][]registry.Version{}, map[string]map[int]string{}
	for reg, err := range registry.Every(ctx, p.Bucket) {
		if err != nil {
			return err
		}
		name := reg.Name()
		if p.versions[name], err = reg.Versions(ctx); err != nil {
			return err
		}
		live, err := reg.Live(ctx)
		if err != nil {
			return err
		}
		history, err := reg.History(ctx)
		if err != nil {
			return err
		}
		safe := map[int]string{}
		for _, c := range history {
			if _, ok := have[c.Generation]; ok && (c.Action == registry.Promoted || c.Action == registry.RolledBack) {
				safe[c.Version] = fmt.Sprintf("version %d of %s, which a rollback may want", c.Version, name)
			}
		}
		for _, t := range live.Candidates {
			safe[t.Version] = fmt.Sprintf("version %d of %s, which waits for its alias to be unpinned", t.Version, name)
		}
		for alias, pin := range live.Pinned {
			safe[pin.Version] = fmt.Sprintf("version %d of %s, to which %s is pinned", pin.Version, name, alias)
		}
		for alias, t := range live.Aliases {
			safe[t.Version] = fmt.Sprintf("version %d of %s, which is live as %s", t.Version, name, alias)
		}
		p.safe[name] = safe
	}
	return nil
}

// safeInterval says why what was made for an interval stays, or "": a version of a job that reads it does, and was trained for this interval.
func (p *purging) safeInterval(iv table.Interval, readers []*Job) string {
	for _, j := range readers {
		for _, v := range p.versions[j.Model.Name] {
			if why := p.safe[j.Model.Name][v.Number]; why != "" && inUTC(v.Interval) == inUTC(iv) {
				return "made with " + why
			}
		}
	}
	return ""
}

// modelJobs are the jobs that train a model.
func (p *purging) modelJobs(name string) (out []*Job) {
	for _, j := range p.jobs {
		if j.Model.Name == name {
			out = append(out, j)
		}
	}
	return out
}

// payload is a model's bytes, and all that says so.
type payload struct {
	digest   string
	span     table.Interval // of what it was trained for
	versions []registry.Version
	trained  []string // keys of training steps
	objects  []storage.Info
}

func (a *payload) of(iv table.Interval) {
	if a.span.End.IsZero() || iv.Start.Before(a.span.Start) {
		a.span.Start = iv.Start
	}
	if iv.End.After(a.span.End) {
		a.span.End = iv.End
	}
}

// artifacts removes the artifacts that no version or training step younger than its cut has. A version's own object, which holds its figures and what was decided
// of it, and nobody's data, stays.
func (p *purging) artifacts(ctx context.Context) error {
	all := map[string]*payload{}
	of := func(digest string) *payload {
		if all[digest] == nil {
			all[digest] = &payload{digest: digest}
		}
		return all[digest]
	}
	nobodys, _ := p.cutOf("train", nil)
	for c, err := range p.tables.List(ctx, "train/") {
		if err != nil {
			return err
		}
		f, err := factsOf[trained](c)
		if err != nil {
			return err
		}
		if c.Interval != nil {
			a := of(f.Digest)
			a.of(*c.Interval)
			a.trained = append(a.trained, c.Key)
		}
	}
	for _, versions := range p.versions {
		for _, v := range versions {
			a := of(v.Digest)
			a.of(v.Interval)
			a.versions = append(a.versions, v)
		}
	}
	for info, err := range p.Bucket.List(ctx, "artifacts/", storage.ListOpt{}) {
		if err != nil {
			return err
		}
		if a := all[strings.TrimPrefix(path.Dir(info.Key), "artifacts/")]; a != nil {
			a.objects = append(a.objects, info)
		}
	}
	for _, digest := range slices.Sorted(maps.Keys(all)) {
		a := all[digest]
		if len(a.objects) == 0 && len(a.trained) == 0 { // gone before
			continue
		}
		if err := p.artifact(ctx, a, nobodys.before); err != nil {
			return fmt.Errorf("artifact %.12s: %w", digest, err)
		}
	}
	return nil
}

func (p *purging) artifact(ctx context.Context, a *payload, nobodys int64) error {
	const store = "models"
	end := table.Micros(a.span.End)
	if len(a.versions) == 0 && end > nobodys {
		return nil
	}
	held := []Hold(nil)
	for _, v := range a.versions {
		longest, shortest := p.cutOf("train", p.modelJobs(v.Name))
		p.keptLonger(end-1, store, longest, shortest)
		if end > longest.before {
			return nil
		}
		if why := p.safe[v.Name][v.Number]; why != "" {
			p.rest(PurgeRests{What: fmt.Sprintf("model %s, version %d, past its retention", v.Name, v.Number), Count: 1, Becomes: staysKept, Why: why})
			return nil
		}
		held = append(held, p.heldModels(v.Name, v.Interval)...)
	}
	if len(a.versions) == 0 {
		held = p.heldModels("", a.span)
	}
	if len(held) > 0 {
		if len(a.objects) > 0 {
			p.spared(held[0], store, 0)
		}
		return nil
	}
	for _, v := range a.versions {
		if p.dropped[v.Name] == nil {
			p.dropped[v.Name] = map[int]bool{}
		}
		p.dropped[v.Name][v.Number] = true
	}
	if !p.write {
		var bytes int64
		for _, o := range a.objects {
			bytes += o.Size
		}
		if len(a.objects) > 0 {
			p.wentFiles(classModels, store, a.span, 0, len(a.objects), bytes)
		}
		return nil
	}
	if len(a.objects) == 0 && !p.resumed {
		return nil
	}
	if err := p.removeUnder(ctx, a.objects, "artifacts/"+a.digest+"/"); err != nil {
		return err
	}
	// Last, so that whoever comes next finds what it is to remove: without its artifact a training step is not done.
	for _, key := range a.trained {
		if err := p.Bucket.Delete(ctx, "done/"+key); err != nil {
			return err
		}
	}
	return nil
}

// heldModels are the holds of a class of models, or of what is made beside them, that keep what was made for an interval.
func (p *purging) heldModels(model string, iv table.Interval) []Hold {
	return p.heldOf(classModels, iv, func(job string) bool {
		js := p.modelJobs(model)
		return len(js) == 0 || slices.ContainsFunc(js, func(j *Job) bool { return j.Name == job })
	})
}

// heldOf are the holds of a class that keep what was made for an interval, the one that lasts longest first. of tells whether it is a job's; what is no job's, and
// what is held of a job that the project does not have, is held.
func (p *purging) heldOf(class string, iv table.Interval, of func(job string) bool) (out []Hold) {
	for _, h := range p.holds {
		known := slices.ContainsFunc(p.jobs, func(j *Job) bool { return j.Name == h.Job })
		if h.Class == class && h.meets(iv) && (h.Job == "" || !known || of(h.Job)) {
			out = append(out, h)
		}
	}
	slices.SortStableFunc(out, func(a, b Hold) int { return b.Ended().Compare(a.Ended()) })
	return out
}

// reports removes the reports that are older than their cut, and what their evaluations kept for others to be pooled with.
func (p *purging) reports(ctx context.Context) error {
	objects := map[string][]storage.Info{} // by report, which stands in several formats
	for info, err := range p.Bucket.List(ctx, "reports/", storage.ListOpt{}) {
		if err != nil {
			return err
		}
		stem := strings.TrimSuffix(info.Key, path.Ext(info.Key))
		objects[stem] = append(objects[stem], info)
	}
	safe := map[string]string{}
	for name, versions := range p.versions {
		for _, v := range versions {
			if why := p.safe[name][v.Number]; why != "" {
				safe[v.Report.Link] = why
			}
		}
	}
	for _, step := range []string{"evaluate", "refuse"} {
		for c, err := range p.tables.List(ctx, step+"/") {
			if err != nil {
				return err
			}
			f, err := factsOf[refused](c) // of both the same
			if err != nil {
				return err
			}
			if c.Interval == nil || f.Report == "" {
				continue
			}
			if err := p.report(ctx, c, f.Report, objects[f.Report], safe[f.Report]); err != nil {
				return fmt.Errorf("%s: %w", c.Key, err)
			}
		}
	}
	return nil
}

func (p *purging) report(ctx context.Context, c *table.Commit, link string, objects []storage.Info, safe string) error {
	const store = "reports"
	iv, end := *c.Interval, table.Micros(c.Interval.End)
	parts := strings.Split(link, "/") // reports/JOB/LABEL/ID
	var readers []*Job
	for _, j := range p.jobs {
		if len(parts) > 1 && parts[1] == j.Name {
			readers = append(readers, j)
		}
	}
	longest, shortest := p.cutOf(c.Step, readers)
	p.keptLonger(end-1, store, longest, shortest)
	rows := c.Outputs[pooledFigures].Rows
	switch {
	case end > longest.before, len(objects) == 0 && rows == 0 && !p.resumed:
		return nil
	case safe != "":
		p.rest(PurgeRests{What: "report " + link + ", past its retention", Count: 1, Becomes: staysKept, Why: "of " + safe})
		return nil
	}
	held := p.heldOf(classReports, iv, func(job string) bool { return len(readers) == 0 || readers[0].Name == job })
	if len(held) > 0 {
		p.spared(held[0], store, 0)
		return nil
	}
	p.unlinked[link] = true
	if !p.write {
		var bytes int64
		for _, o := range objects {
			bytes += o.Size
		}
		if len(objects) > 0 {
			p.wentFiles(classReports, store, iv, 0, len(objects), bytes)
		}
	}
	if _, err := p.shrink(ctx, c, func(string, table.Manifest, []Hold) (event.Rows, bool) { return event.Rows{}, true }, nil); err != nil {
		return err
	}
	if !p.write {
		return nil
	}
	return p.removeUnder(ctx, objects, link+".")
}
