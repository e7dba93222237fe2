package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// OnlineVerified is how the online store compares with what it should hold.
type OnlineVerified struct {
	Job        string         `json:"job"`
	Model      string         `json:"model"`
	Version    int            `json:"version"`
	Generation uint64         `json:"generation"`
	Digest     string         `json:"digest"`          // of the generation, as the store records it
	All        bool           `json:"all"`             // every row was read, and not a sample
	Views      map[string]int `json:"views"`           // rows compared with the offline tables
	Built      time.Time      `json:"built,omitzero"`  // when these were made
	Newer      int            `json:"newer,omitempty"` // tables of the interval that have been made since, under other decisions: the next publish loads them
	Lists      int            `json:"lists"`           // lists looked at
	Withheld   int            `json:"withheld"`
	Denials    int            `json:"denials"` // subjects looked for in the deny set
	Differs    []string       `json:"differs"` // nobody is named
	Same       bool           `json:"same"`
}

// differ notes a difference, once.
func (v *OnlineVerified) differ(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(v.Differs, text) {
		v.Differs = append(v.Differs, text)
	}
}

// OnlineVerify looks up about sample rows of each view, as a serving system does, and compares them with the offline tables that they were loaded
// from; as many lists, which must be of the version that the alias names; and every denial of today's policy, which must stand in the deny set. Sample
// 0 compares all rows, and the digest of the whole generation as well. It changes nothing.
func (r *Runner) OnlineVerify(ctx context.Context, job *Job, sample int) (OnlineVerified, error) {
	out := OnlineVerified{Job: job.Name, Model: job.Model.Name, All: sample <= 0, Views: map[string]int{}, Differs: []string{}}
	fail := func(err error) (OnlineVerified, error) { return out, fmt.Errorf("online verify: %w", err) }
	reg, err := registry.Open(r.Bucket, job.Model.Name)
	if err != nil {
		return fail(err)
	}
	live, err := reg.Live(ctx)
	if err != nil {
		return fail(err)
	}
	t, ok := live.Aliases[job.Alias]
	if !ok {
		return fail(fmt.Errorf("%w under %s of model %s: rapport run %s", ErrNothingPublished, job.Alias, job.Model.Name, job.Name))
	}
	v, err := reg.Get(ctx, t.Version)
	if err != nil {
		return fail(err)
	}
	out.Version, out.Generation = v.Number, t.Generation
	w := r.newWork(job, v.Interval, r.Now())
	w.reg, w.plan = reg, &plan{}
	if err := w.policy(ctx, w.plan); err != nil {
		return fail(err)
	}
	c := comparison{work: w, out: &out, sample: sample, online: w.plan.ids.OnlineKeys()}
	if err := c.all(ctx, v); err != nil {
		return fail(err)
	}
	out.Same = len(out.Differs) == 0
	return out, nil
}

// comparison holds the online store against what it should hold.
type comparison struct {
	*work
	out    *OnlineVerified
	sample int
	online map[policy.Subject]string
}

func (c *comparison) all(ctx context.Context, v registry.Version) error {
	p, err := c.Online.Live(ctx)
	if errors.Is(err, online.ErrNoGeneration) {
		c.out.differ("nothing is live, and generation %d should be: rapport online load %s", c.out.Generation, c.job.Name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("online store: %w", err)
	}
	if p.Generation != c.out.Generation {
		c.out.differ("generation %d is live, and generation %d should be: rapport online load %s", p.Generation, c.out.Generation, c.job.Name)
		return nil
	}
	for _, part := range []func(context.Context, registry.Version) error{c.digest, c.meta, c.denials, c.lists, c.views} {
		if err := part(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

// digest compares the generation with its record: whether it is whole, and, if everything is asked for, whether it has its digest.
func (c *comparison) digest(ctx context.Context, _ registry.Version) error {
	have, err := c.Online.Generations(ctx)
	if err != nil {
		return fmt.Errorf("online store: %w", err)
	}
	if c.out.Digest = have[c.out.Generation]; c.out.Digest == "" {
		c.out.differ("generation %d is live and not whole: rapport online load %s", c.out.Generation, c.job.Name)
	}
	i, ok := c.Online.(online.Inspector)
	if !ok || !c.out.All {
		return nil
	}
	err = i.Verify(ctx, c.out.Generation)
	if errors.Is(err, online.ErrCorrupt) {
		c.out.differ("%v", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("online store: %w", err)
	}
	return nil
}

func (c *comparison) meta(ctx context.Context, v registry.Version) error {
	m, err := c.liveMeta(ctx)
	switch {
	case errors.Is(err, online.ErrNotFound), errors.Is(err, online.ErrCorrupt):
		c.out.differ("%v", err)
	case err != nil:
		return err
	case m.Project != c.job.Project || m.Model != v.Name || m.Version != v.Number || m.Digest != v.Digest:
		c.out.differ("the generation says that it is of project %s, model %s version %d (%.12s); the alias names %s version %d (%.12s)", m.Project, m.Model, m.Version, m.Digest, v.Name, v.Number, v.Digest)
	}
	return nil
}

// denials looks for everybody who may not be profiled today, or does not want to be, in the deny set. Who is not there is of no account while nothing is served: a
// row ends with its basis by itself.
func (c *comparison) denials(ctx context.Context, _ registry.Version) error {
	denied, err := c.Online.Denied(ctx)
	if errors.Is(err, online.ErrCorrupt) {
		c.out.differ("%v", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("online store: %w", err)
	}
	have := make(map[string]bool, len(denied))
	for _, name := range denied {
		have[name] = true
	}
	missing := 0
	for s, key := range c.online {
		if !c.unprofiled(s) {
			continue
		}
		c.out.Denials++
		if have[key] || have[online.ErasedName(key)] {
			continue
		}
		e, err := c.get(ctx, online.ListKey(key))
		if err != nil {
			return err
		}
		if e != nil {
			missing++
		}
	}
	if missing > 0 {
		c.out.differ("%d of %d subjects who may not be profiled, or do not want to be, are served lists of their own: the next run denies them, or rapport online load %s", missing, c.out.Denials, c.job.Name)
	}
	return nil
}

// chosen reports whether a key is in a sample of about c.sample of n.
func (c *comparison) chosen(key string, n int) bool {
	if c.out.All || n <= c.sample {
		return true
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // never fails
	return h.Sum64()%uint64(n) < uint64(c.sample)
}

// lists looks at lists of subjects.
func (c *comparison) lists(ctx context.Context, v registry.Version) error {
	wrong := 0
	for s, key := range c.online {
		if !c.chosen(key, len(c.online)) {
			continue
		}
		e, err := c.get(ctx, online.ListKey(key))
		if err != nil {
			return err
		}
		if e == nil {
			continue
		}
		c.out.Lists++
		l, err := online.DecodeList(*e)
		if err != nil || e.Owner != key || !l.Personalized || l.Version != strconv.Itoa(v.Number) || l.ID != listID(v, key) || c.unprofiled(s) {
			wrong++
		}
	}
	if wrong > 0 {
		c.out.differ("%d of %d lists are not of version %d, or of somebody who may not be profiled", wrong, c.out.Lists, v.Number)
	}
	return nil
}

// get looks a key up. nil: it is withheld (denied, expired, or during a fallback), or there is none.
func (c *comparison) get(ctx context.Context, key string) (*online.Entry, error) {
	e, _, err := c.Online.Get(ctx, key, table.Micros(c.Now()))
	switch {
	case err == nil:
		return &e, nil
	case errors.Is(err, online.ErrDenied):
		c.out.Withheld++
		return nil, nil
	case errors.Is(err, online.ErrNotFound):
		return nil, nil
	case errors.Is(err, online.ErrCorrupt):
		c.out.differ("%v", err)
		return nil, nil
	}
	return nil, fmt.Errorf("online store: %w", err)
}

// views compares rows of the views with the tables that they were loaded from.
func (c *comparison) views(ctx context.Context, v registry.Version) error {
	if len(c.job.Published) == 0 {
		return nil
	}
	built, err := c.built(ctx, v)
	if err != nil {
		return err
	}
	c.out.Built = built.At.UTC()
	f := filler{work: c.work, online: c.online}
	for _, view := range c.job.Published {
		m := built.Outputs[view.Name]
		wrong, missing := 0, 0
		for b, err := range table.Read(ctx, c.Bucket, m, table.ReadOptions{}) {
			if err != nil {
				return fmt.Errorf("view %s: %w", view.Name, err)
			}
			entries, err := f.featureEntries(view, b)
			if err != nil {
				return fmt.Errorf("view %s: %w", view.Name, err)
			}
			for _, want := range entries {
				if !c.chosen(want.Key, int(m.Rows)) {
					continue
				}
				switch same, there, err := c.compare(ctx, want); {
				case err != nil:
					return err
				case !there:
					missing++
				case !same:
					wrong++
				}
				c.out.Views[view.Name]++
			}
		}
		if wrong+missing > 0 {
			c.out.differ("view %s: of %d rows compared, %d are other than in the table of %s, and %d are not online", view.Name, c.out.Views[view.Name], wrong, c.label, missing)
		}
	}
	return nil
}

// compare looks one row up. A row may be withheld, and must be if its owner may not be profiled or its basis has ended.
func (c *comparison) compare(ctx context.Context, want online.Entry) (same, there bool, err error) {
	withheld := c.out.Withheld
	got, err := c.get(ctx, want.Key)
	switch {
	case err != nil:
		return false, false, err
	case got != nil:
		return got.Owner == want.Owner && bytes.Equal(got.Value, want.Value), true, nil
	case c.out.Withheld > withheld:
		return true, true, nil
	}
	return true, want.Expires != 0 && want.Expires <= table.Micros(c.Now()), nil
}

// built finds the build that the generation was loaded from, as its meta says, and counts those of the interval that have been made since, as the drift check makes
// one after an erasure. Of a generation that was loaded before meta said so it is the latest that has all views.
func (c *comparison) built(ctx context.Context, v registry.Version) (*table.Commit, error) {
	meta, err := c.liveMeta(ctx)
	if err != nil && !errors.Is(err, online.ErrNotFound) && !errors.Is(err, online.ErrCorrupt) { // of which the comparison of meta tells
		return nil, err
	}
	var all []*table.Commit
	for b, err := range c.tables.List(ctx, "build/"+c.label+"/") {
		if err != nil {
			return nil, fmt.Errorf("views: %w", err)
		}
		has := b.Interval != nil && b.Interval.Start.Equal(v.Interval.Start) && b.Interval.End.Equal(v.Interval.End)
		for _, view := range c.job.Published {
			m, ok := b.Outputs[view.Name]
			has = has && ok && slices.Equal(m.Schema, view.Schema(c.job.eventSchema()))
		}
		if has {
			all = append(all, b)
		}
	}
	slices.SortStableFunc(all, func(a, b *table.Commit) int { return b.At.Compare(a.At) })
	for i, b := range all {
		if b.Key == meta.Views || meta.Views == "" {
			c.out.Newer = i
			return b, nil
		}
	}
	if meta.Views != "" && len(all) > 0 {
		return nil, fmt.Errorf("the views of %s that generation %d was loaded from are no longer in the bucket, and %s: the next publish loads what is there: rapport run %s --at %s", c.label, c.out.Generation, plural(len(all), "other is", "others are"), c.job.Name, v.Interval.End.UTC().Format(time.RFC3339))
	}
	return nil, fmt.Errorf("the views of %s are not to be found in the bucket: rapport run %s --at %s --step build", c.label, c.job.Name, v.Interval.End.UTC().Format("2006-01-02T15:04:05Z"))
}
