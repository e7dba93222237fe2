package configs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/models/blend"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// Opened is a project whose storage has been reached.
type Opened struct {
	*Project
	Bucket   storage.Bucket
	Online   online.Store
	Keys     event.Keys // zero if the project was opened without them
	Previous []event.Keys
	LinkedBy *event.DataSet // of sources.identities; nil: no two ids are one person's

	env     func(string) string
	buckets map[string]storage.Bucket // of sources, by root URL
	raw     bool                      // sources are reached at once, and not when they are first read
	jobs    map[string]*jobs.Job
}

// Open reaches the storage and the online store. With withKeys it reaches the buckets of the sources as well, and reads the pseudonym secrets; without,
// a source is reached when something first reads it, so that who may not read raw data can do all that needs none. Relative paths start at the folder
// of the project file. Its error joins all that could not be reached or read.
func (p *Project) Open(ctx context.Context, env func(string) string, withKeys bool) (*Opened, error) {
	o := &Opened{Project: p, env: env, raw: withKeys, buckets: map[string]storage.Bucket{}, jobs: map[string]*jobs.Job{}}
	var faults []error
	fault := func(what string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", what, err))
		}
	}
	var err error
	o.Bucket, err = storage.Open(ctx, p.absolute(p.Storage.URL), p.storageOptions())
	fault("storage", err)
	if withKeys {
		var unread []error
		o.Keys, o.Previous, unread = p.secrets(env)
		faults = append(faults, unread...)
	}
	if p.Sources.Identities != nil {
		o.LinkedBy, err = o.linkedBy(ctx)
		fault("sources", err)
	}
	for _, name := range sortedKeys(p.Jobs) {
		o.jobs[name], err = o.job(ctx, name, p.Jobs[name])
		fault("jobs."+name, err)
	}
	o.Online, err = p.openOnline(ctx, env)
	fault("online", err)
	if len(faults) > 0 {
		if o.Online != nil {
			faults = append(faults, o.Online.Close())
		}
		return nil, errors.Join(faults...)
	}
	return o, nil
}

func (p *Project) openOnline(ctx context.Context, env func(string) string) (online.Store, error) {
	password, err := p.secret(p.Online.Password, env)
	if err != nil {
		return nil, fmt.Errorf("password: %w", err)
	}
	return online.Open(ctx, p.absolute(p.Online.URL), online.Options{Project: p.Project, Redis: online.RedisOptions{
		Username: p.Online.Username, Password: password, CAFile: p.path(p.Online.CAFile), CertFile: p.path(p.Online.CertFile), KeyFile: p.path(p.Online.KeyFile),
	}})
}

// path makes the path of a file start at the project's folder.
func (p *Project) path(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(p.dir, name)
}

// Close closes the online store.
func (o *Opened) Close() error { return o.Online.Close() }

// Pinned reports whether the project fixes its clock.
func (p *Project) Pinned() bool { return !p.Clock.Fixed.IsZero() }

// Dir is the folder of the project file.
func (p *Project) Dir() string { return p.dir }

// Locate says where an object of the bucket is, for people: a path for a folder, a URL for S3.
func (p *Project) Locate(key string) string {
	root := p.absolute(p.Storage.URL)
	if path, ok := strings.CutPrefix(root, "file:"); ok {
		return filepath.Join(path, filepath.FromSlash(key))
	}
	return strings.TrimSuffix(root, "/") + "/" + key
}

// Job returns a resolved job.
func (o *Opened) Job(name string) (*jobs.Job, error) {
	if j, ok := o.jobs[name]; ok {
		return j, nil
	}
	hint := "declared: " + strings.Join(sortedKeys(o.jobs), ", ")
	if near := nearest(name, sortedKeys(o.jobs)); near != "" {
		hint = "did you mean " + near + "?"
	}
	return nil, fmt.Errorf("no job %q in %s (%s)", name, o.dec.file, hint)
}

// JobNames lists the project's jobs.
func (o *Opened) JobNames() []string { return sortedKeys(o.jobs) }

// absolute makes the path of a file: or embedded: URL start at the project's folder.
func (p *Project) absolute(url string) string {
	for _, scheme := range []string{"file:", "embedded:"} {
		if path, ok := strings.CutPrefix(url, scheme); ok && !strings.HasPrefix(path, "/") {
			return scheme + filepath.Join(p.dir, path)
		}
	}
	return url
}

func (p *Project) storageOptions() storage.Options {
	s := p.Storage
	return storage.Options{S3: storage.S3{
		Endpoint: s.Endpoint, Region: s.Region, PathStyle: s.PathStyle, CAFile: p.path(s.CAFile), CertFile: p.path(s.CertFile), KeyFile: p.path(s.KeyFile), Credentials: s.Credentials, SSE: s.SSE, Checksums: s.Checksums,
	}}
}

func (p *Project) keys(spec, id string, env func(string) string) (event.Keys, error) {
	text, err := p.secretText(spec, env)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w; rapport init makes one, and without the old one nobody known can be joined to new events", err)
	}
	if err != nil {
		return event.Keys{}, fmt.Errorf("pseudonym secret: %w", err)
	}
	secret, err := event.ParseSecret(text)
	if err != nil {
		return event.Keys{}, err
	}
	return event.NewKeys(id, secret)
}

// bucket opens the bucket that a source's pattern stands in, once.
func (o *Opened) bucket(ctx context.Context, url string) (storage.Bucket, string, error) {
	root, pattern, err := storage.SplitURL(o.absolute(url))
	if err != nil {
		return nil, "", err
	}
	b, ok := o.buckets[root]
	if !ok {
		open := func(ctx context.Context) (storage.Bucket, error) { return storage.Open(ctx, root, o.storageOptions()) }
		if o.raw {
			if b, err = open(ctx); err != nil {
				return nil, "", err
			}
		} else {
			b = &later{open: open}
		}
		o.buckets[root] = b
	}
	return b, pattern, nil
}

func (o *Opened) dataSet(ctx context.Context, what, url string, columns map[string]string) (event.DataSet, error) {
	b, pattern, err := o.bucket(ctx, url)
	if err != nil {
		return event.DataSet{}, fmt.Errorf("sources.%s: %w", what, err)
	}
	return event.DataSet{Bucket: b, Path: pattern, Columns: columns}, nil
}

func (o *Opened) attributes(ctx context.Context, what string, a *Attributes) (*jobs.AttributeSource, error) {
	if a == nil {
		return nil, nil
	}
	columns := map[string]string{}
	for k, v := range a.Columns {
		columns[k] = v
	}
	key, column := event.ColSubject, a.Subject
	if what == "items" {
		key, column = event.ColItem, a.Item
	}
	columns[key] = column
	d, err := o.dataSet(ctx, what, a.Path, columns)
	d.Expect = o.expected(what, a.Expect)
	return &jobs.AttributeSource{Data: d, Key: key, Numeric: a.Numbers, Coarse: o.coarse[what]}, err
}

// job resolves one job: all names it uses were checked when the file was read.
func (o *Opened) job(ctx context.Context, name string, c Job) (*jobs.Job, error) {
	if c.Drift.Of != "" {
		return o.watch(ctx, name, c)
	}
	loc, err := time.LoadLocation(c.TimeZone)
	if err != nil {
		return nil, err
	}
	j := &jobs.Job{
		Project: o.Project.Project, Name: name, Training: o.purpose(c.Purpose.Train), Window: c.Train.Window, Last: c.Evaluate.Split.Last, Weigh: c.Evaluate.Split.Validation, K: c.Evaluate.K,
		Cohort: c.Evaluate.cohorts(), Judging: c.Evaluate.judging(), MinN: c.Evaluate.MinN, Baselines: baselines(), Drift: c.Drift.drift(),
		Alias: c.Publish.Alias, Floor: *c.MinVolume, Shards: shards, Overlap: schedule.Overlap(c.Overlap), CatchUp: c.CatchUp, Lookback: c.Lookback, Trust: c.Trust.trust(),
	}
	if j.Every, err = table.EveryOf(c.Every, loc); err != nil {
		return nil, err
	}
	if j.Calendar, err = o.calendar(loc); err != nil {
		return nil, err
	}
	if j.Minimize, err = c.Minimize.minimizing(loc); err != nil {
		return nil, err
	}
	if c.Schedule != "" {
		if j.Due, err = schedule.Parse(c.Schedule, loc); err != nil {
			return nil, err
		}
	}
	if c.Purpose.Evaluate != "" {
		p := o.purpose(c.Purpose.Evaluate)
		j.Evaluation = &p
	}
	if c.Purpose.Mitigate != "" {
		p := o.purpose(c.Purpose.Mitigate)
		j.Mitigation = &p
	}
	j.Reweight = c.Train.reweight()
	for _, b := range c.Budgets {
		j.Budgets = append(j.Budgets, b.budget())
	}
	for _, v := range c.Publish.Features {
		j.Published = append(j.Published, o.view(v))
	}
	for _, v := range c.jobViews() {
		j.Views = append(j.Views, o.view(v))
	}
	if err := features.Validate(j.Views); err != nil {
		return nil, err
	}
	j.Model = o.model(c.Train.Model)
	if o.Models[c.Train.Model].Ranker != nil {
		j.Rerank = rankerWindow(c)
	}
	j.Raw, j.Guards = o.sourceURLs(), o.guards()
	if err := o.retention(j); err != nil {
		return nil, err
	}
	return j, o.sources(ctx, j)
}

// shards is how many files a day of events or a subject's view is divided into: an erasure rewrites only those that hold the subject.
const shards = 4

func (o *Opened) sources(ctx context.Context, j *jobs.Job) (err error) {
	e := o.Sources.Events
	b, pattern, err := o.bucket(ctx, e.Path)
	if err != nil {
		return fmt.Errorf("sources.events: %w", err)
	}
	j.Events = event.Source{
		Bucket: b, Path: pattern, Subject: e.Subject, Item: e.Item, Time: e.At, Created: e.Created, Kind: e.Kind, Value: e.Value, Columns: e.Columns, Numeric: e.Numbers,
		DefaultKind: e.DefaultKind, TimeUnit: timeUnits[e.TimeUnit], Lateness: e.Lateness, Explode: e.Explode, Kinds: e.Kinds, TimeFormat: e.TimeFormat,
		Settle: e.Settle, Required: required(j.Views), Expect: o.expected("events", e.Expect).Reading(j.Training.Reads["events"]), Coarse: o.coarse["events"],
	}
	if e.UnknownKinds != nil {
		j.Events.MaxUnknown = *e.UnknownKinds
	}
	if e.Zone != "" {
		if j.Events.Zone, err = time.LoadLocation(e.Zone); err != nil {
			return err
		}
	}
	if j.Items, err = o.attributes(ctx, "items", o.Sources.Items); err != nil {
		return err
	}
	if j.Subjects, err = o.attributes(ctx, "subjects", o.Sources.Subjects); err != nil {
		return err
	}
	if j.Cohorts, err = o.attributes(ctx, "cohorts", o.Sources.Cohorts); err != nil {
		return err
	}
	if err = o.consent(ctx, j); err != nil {
		return err
	}
	if c := o.Sources.Preferences; c != nil {
		d, err := o.recordFiles(ctx, "preferences", c.Path, c.Columns, c.Zone)
		if err != nil {
			return err
		}
		j.Preferences = &d
	}
	return nil
}

// recordFiles opens files with records of people, of which there may be none: then people ask one by one alone.
func (o *Opened) recordFiles(ctx context.Context, what, path string, columns map[string]string, zone string) (d event.DataSet, err error) {
	if path != "" {
		if d, err = o.dataSet(ctx, what, path, columns); err != nil {
			return d, err
		}
	}
	if zone != "" {
		d.Zone, err = time.LoadLocation(zone)
	}
	return d, err
}

// required are the columns of events, beyond those that every event has, that views need.
func required(views []features.View) []string {
	var out []string
	for _, v := range views {
		for _, c := range v.Columns() {
			if c == event.ColValue || !slices.Contains(eventColumns, c) {
				out = append(out, c)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

var timeUnits = map[string]time.Duration{"s": time.Second, "ms": time.Millisecond, "us": time.Microsecond, "ns": time.Nanosecond}

// model resolves a model to its trainer and the hyperparameters that are hashed.
func (o *Opened) model(name string) jobs.Model {
	m := o.Models[name]
	t := &blend.Trainer{Hyper: blend.Defaults()}
	var parts []spec
	for _, part := range m.Parts {
		s, _ := o.trainer(part) // checked when the file was read
		parts = append(parts, s)
		t.Parts = append(t.Parts, s.trainer)
	}
	out := jobs.Model{Name: name, Trainer: t, Seed: m.Seed, Weights: m.weights(), Impressions: m.Impressions, Lists: jobs.Lists{K: m.Lists.K, Seen: m.Lists.Seen}}
	if r := m.Lists.rules(); !r.Off() {
		out.Lists.Rules = r
	}
	if w := m.Lists.Less; w != nil {
		out.Lists.Less = *w
	}
	if w := m.Lists.PreferNew; w != nil {
		out.Lists.PreferNew = *w
	}
	out.Lists.Broad, out.Lists.Related, out.Lists.UnprofiledBy, out.Lists.Title = m.Lists.Broad, m.Lists.Related, m.Lists.UnprofiledBy, m.Lists.Title
	made := struct {
		Parts  []spec      `json:"parts"`
		Blend  blend.Hyper `json:"blend"`
		Ranker *spec       `json:"ranker,omitempty"`
	}{Parts: parts, Blend: t.Hyper}
	if m.Ranker != nil {
		s, _ := o.ranker(m.Ranker.Part, t)
		made.Ranker, out.Trainer = &s, s.trainer
	}
	out.Spec = made
	return out
}

// DeclaredViews lists the views of the project file, by name.
func (p *Project) DeclaredViews() []features.View {
	var out []features.View
	for _, name := range sortedKeys(p.Views) {
		out = append(out, p.view(name))
	}
	return out
}

// sourceURLs lists where raw data stands, as the project file says it.
func (p *Project) sourceURLs() []string {
	out := []string{p.Sources.Events.Path}
	for _, a := range []*Attributes{p.Sources.Items, p.Sources.Subjects, p.Sources.Cohorts} {
		if a != nil {
			out = append(out, a.Path)
		}
	}
	if c := p.Sources.Consent; c != nil && c.Path != "" {
		out = append(out, c.Path)
	}
	if c := p.Sources.Preferences; c != nil && c.Path != "" {
		out = append(out, c.Path)
	}
	if l := p.Sources.Identities; l != nil {
		out = append(out, l.Path)
	}
	return out
}
