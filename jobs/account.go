package jobs

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs/cost"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// The kinds of error that a run may end with, as the ledger has them.
const (
	faultNoData      = "no_data"
	faultLowVolume   = "low_volume"
	faultUnexpected  = "unexpected"
	faultNotReady    = "not_ready"
	faultSchema      = "schema"
	faultDamaged     = "damaged"
	faultErased      = "erased"
	faultUnreachable = "unreachable"
	faultFull        = "full"
	faultNoKey       = "no_key"
	faultHeld        = "held"
	faultLost        = "lease_lost"
	faultCancelled   = "cancelled"
	faultInterrupted = "interrupted"
	faultKilled      = "killed"
	faultOther       = "other"
)

// faults are told apart in this order: the first that an error is.
var faults = []struct {
	err  error
	name string
}{
	{ErrCancelled, faultCancelled},
	{context.Canceled, faultInterrupted},
	{ErrNotReady, faultNotReady},
	{ErrNoData, faultNoData},
	{errLowVolume, faultLowVolume},
	{errUnexpected, faultUnexpected},
	{errErased, faultErased},
	{errNoKeys, faultNoKey},
	{event.ErrNoKey, faultNoKey},
	{table.ErrColumn, faultSchema},
	{table.ErrCorrupt, faultDamaged},
	{storage.ErrUnreachable, faultUnreachable},
	{storage.ErrFull, faultFull},
	{storage.ErrLost, faultLost},
	{storage.ErrHeld, faultHeld},
}

// hints say what an operator can do about each kind.
var hints = map[string]string{
	faultNoData:      "see that the source has delivered the interval's files, and by the funnel whose events count, then run it again; rapport plan shows which files were looked at",
	faultLowVolume:   "compare the funnel with that of the last good run: an upstream break or a consent feed that lost rows looks like this. If so few are right, lower min_volume in the job",
	faultUnexpected:  "the error names what was expected, where in the project file, and what there was. Mend the export; where the source is right and the expectation is not, change it: only rules on rows read the days again",
	faultNotReady:    "nothing is wrong yet: the source is still delivering; serve tries again by itself, or run it again later",
	faultSchema:      "the files have another shape than the project file says: mend the export, or name the columns anew under sources; rapport validate checks them",
	faultDamaged:     "deliver the file again, whole; the days before it are not read again",
	faultErased:      "run it again: what the run had read was erased meanwhile",
	faultUnreachable: "check the network, the endpoint and the credentials (rapport validate), then run it again",
	faultFull:        "free some room (rapport du shows what uses it), then run it again",
	faultNoKey:       "give this process the pseudonym key, as pseudonyms.key in the project file says",
	faultHeld:        "another process is publishing: run it again when it is done",
	faultLost:        "another process has taken over: look at its run",
	faultCancelled:   "the same command goes on from what is done",
	faultInterrupted: "the same command goes on from what is done",
	faultKilled:      "the same command goes on from what is done; if it is killed again, compare its peak memory with what the machine has",
	faultOther:       "mend the cause and run the same command again: what is done stays done",
}

// faultOf names the kind of an error.
func faultOf(err error) string {
	for _, f := range faults {
		if errors.Is(err, f.err) {
			return f.name
		}
	}
	return faultOther
}

// account completes the run's record: how it ended, what it cost, what it found. Nothing else writes to it any more.
func (w *work) account(err error) {
	rec, res := w.run, w.res
	rec.Ended, rec.Stage, rec.Cost = w.Now(), w.stage, w.total.End()
	rec.Reasons, rec.Flags, rec.Report, rec.Waiting = res.Reasons, res.Flags, res.Report, res.Waiting
	rec.Verdicts, rec.Quarantine, rec.Reopened = res.Verdicts, res.Quarantine, raw(res.Reopened)
	if res.Drift != nil {
		rec.Drift = raw(res.Drift)
	}
	rec.Model, rec.Publish, rec.Funnel = raw(res.Model), raw(res.Published), res.Funnel
	rec.FunnelAt, rec.Learned = res.FunnelAt, res.Learned
	rec.Sources = w.sources()
	if w.plan != nil && len(w.plan.committed) > 0 {
		rec.Volume = w.volume()
	}
	if err == nil || rec.Status == ledger.Rejected {
		return
	}
	rec.Error, rec.Fault = err.Error(), faultOf(err)
	if rec.Status == ledger.Interrupted && rec.Fault != faultLost && rec.Fault != faultCancelled {
		rec.Fault = faultInterrupted
	}
	rec.Hint = hints[rec.Fault]
	if empty := (noData{}); errors.As(err, &empty) && empty.remedy != "" { // the error says what there is to do
		rec.Hint = ""
	}
	var asked cancelled
	if errors.As(err, &asked) {
		rec.Cancelled = &asked.Cancel
	}
}

// sources are what the run found when it was planned.
func (w *work) sources() []ledger.Source {
	p := w.plan
	if p == nil || p.build.key == "" { // not planned to the end
		return nil
	}
	var own, history []plannedDay
	for _, d := range p.days {
		history = append(history, d)
		if d.unit.Overlaps(w.iv) {
			own = append(own, d)
		}
	}
	out := []ledger.Source{daysSource("events", own), daysSource("history", history)}
	for _, s := range []*snapshot{p.items, p.subjects, p.cohorts} {
		if s != nil {
			out = append(out, ledger.Source{Name: s.set, Files: s.files, Bytes: s.bytes, Digest: inputsPart(s.key)})
		}
	}
	if p.consent.key != "" {
		out = append(out, ledger.Source{Name: "consent", Digest: inputsPart(p.consent.key)})
	}
	if p.wishes != nil && p.wishes.asked {
		out = append(out, ledger.Source{Name: "preferences", Digest: hash(p.wanted())[:24]})
	}
	return out
}

func daysSource(name string, days []plannedDay) ledger.Source {
	s := ledger.Source{Name: name}
	var keys []string
	for _, d := range days {
		s.Files, s.Bytes = s.Files+d.files, s.Bytes+d.bytes
		keys = append(keys, inputsPart(d.key))
	}
	s.Digest = hash(keys)[:24]
	return s
}

// inputsPart is the part of a step key that hashes its inputs.
func inputsPart(key string) string { return key[strings.LastIndexByte(key, '-')+1:] }

// inputs are what a step's key is made of, besides the job's settings.
func (w *work) inputs(s step) []ledger.Input {
	p := w.plan
	if p == nil || p.trainingDecisions == nil {
		return nil
	}
	made := func(s step) ledger.Input {
		return ledger.Input{Kind: "step", Name: s.name, From: s.label, N: 1, Digest: hash(s.key)[:24]}
	}
	days := func(iv table.Interval) ledger.Input {
		in := ledger.Input{Kind: "step", Name: "ingest"}
		var keys []string
		for _, d := range p.days {
			if d.unit.Overlaps(iv) {
				if in.N++; in.From == "" {
					in.From = d.label
				}
				in.To = d.label
				keys = append(keys, d.key)
			}
		}
		in.Digest = hash(keys)[:24]
		return in
	}
	people := func(d *policy.Decisions, iv table.Interval) ledger.Input {
		return ledger.Input{Kind: "policy", Name: d.Purpose().Name, Digest: hash(d.Digest(iv))[:24]}
	}
	var out []ledger.Input
	switch s.name {
	case "items", "subjects", "cohorts", "ingest", "consent", "preferences":
		name := s.name
		if name == "ingest" {
			name = "events"
		}
		out = append(out, ledger.Input{Kind: "files", Name: name, From: s.label, N: s.files, Bytes: s.bytes, Digest: inputsPart(s.key)})
	case "trust":
		out = append(out, days(s.iv))
	case "build":
		views := table.Interval{Start: w.iv.End.Add(-features.RetentionNeeded(w.job.Views)), End: w.iv.End}
		out = append(out, days(views), people(p.trainingDecisions, views))
	case "drift":
		out = append(out, days(p.driftReads), people(p.trainingDecisions, p.driftReads))
	case "refuse":
		out = append(out, made(p.drift))
	case "assemble":
		out = append(out, days(p.training), people(p.trainingDecisions, p.training))
		for _, sn := range []*snapshot{p.items, p.subjects} {
			if sn != nil {
				out = append(out, made(sn.step))
			}
		}
	case "train":
		out = append(out, made(p.assemble))
		if p.descent != nil && p.descent.Parent != "" {
			out = append(out, ledger.Input{Kind: "model", Name: "parent", N: p.descent.Version, Digest: p.descent.Parent[:24]})
		}
	case "evaluate":
		out = append(out, made(p.train), made(p.drift))
		if p.cohorts != nil {
			out = append(out, made(p.cohorts.step))
		}
		if p.live != nil {
			out = append(out, ledger.Input{Kind: "model", Name: w.job.Alias, N: p.live.Number, Digest: p.live.Digest[:24]})
		}
	case "load":
		out = append(out, made(p.evaluate), made(p.build))
	}
	return out
}

// outputs are the tables of a commit, by name.
func outputs(c *table.Commit) []ledger.Output {
	var out []ledger.Output
	for _, name := range slices.Sorted(maps.Keys(c.Outputs)) {
		if keptForBuilds(name) {
			continue
		}
		m := c.Outputs[name]
		o := ledger.Output{Name: name, Digest: m.Digest, Rows: m.Rows, Files: len(m.Parts)}
		for _, p := range m.Parts {
			o.Bytes += p.Size
		}
		out = append(out, o)
	}
	return out
}

// counted returns the job with the buckets of its sources counted by m.
func (j *Job) counted(m *cost.Meter) *Job {
	c := *j
	if c.Events.Bucket != nil {
		c.Events.Bucket = m.Bucket(c.Events.Bucket)
	}
	for _, src := range []**AttributeSource{&c.Items, &c.Subjects, &c.Cohorts} {
		if *src != nil {
			s := **src
			s.Data.Bucket = m.Bucket(s.Data.Bucket)
			*src = &s
		}
	}
	if c.Consent != nil {
		d := *c.Consent
		d.Bucket = m.Bucket(d.Bucket)
		c.Consent = &d
	}
	if c.Preferences != nil {
		d := *c.Preferences
		d.Bucket = m.Bucket(d.Bucket)
		c.Preferences = &d
	}
	return &c
}

// spec is what the project file says of the job, under names near those of the file, so that two runs can be told apart by it. It holds
// no secret. It is recorded and compared for people, and is no part of any key.
func (j *Job) spec() map[string]any {
	e := j.Events
	columns := func(a *AttributeSource) any {
		if a == nil {
			return nil
		}
		return map[string]any{"path": a.Data.Path, "columns": a.Data.Columns, "numbers": a.Numeric, "expect": a.Data.Expect}
	}
	purpose := func(p *policy.Purpose) any {
		if p == nil {
			return nil
		}
		keep := map[string]string{}
		for class, d := range p.Keep {
			keep[class] = features.FormatWindow(d)
		}
		return map[string]any{"name": p.Name, "says": p.Says, "basis": p.Basis, "reads": p.Reads, "keep": keep}
	}
	views := map[string]any{}
	for _, v := range j.Views {
		views[v.Name] = viewSpec(v)
	}
	due := ""
	if !j.Due.IsZero() {
		due = j.Due.String()
	}
	zone := func(l *time.Location) string {
		if l == nil {
			return ""
		}
		return l.String()
	}
	spec := map[string]any{
		"every": j.Every.String(), "time_zone": zone(j.Every.Location()), "schedule": due,
		"sources": map[string]any{
			"urls": j.Raw,
			"events": map[string]any{
				"path": e.Path, "subject": e.Subject, "item": e.Item, "at": e.Time, "kind": e.Kind, "value": e.Value, "columns": e.Columns, "numbers": e.Numeric,
				"default_kind": e.DefaultKind, "time_unit": e.TimeUnit.String(), "time_format": e.TimeFormat, "zone": zone(e.Zone), "lateness": e.Lateness.String(),
				"explode": e.Explode, "kinds": e.Kinds, "unknown_kinds": e.MaxUnknown, "settle": e.Settle.String(), "expect": e.Expect,
			},
			"items": columns(j.Items), "subjects": columns(j.Subjects), "cohorts": columns(j.Cohorts),
		},
		"purpose": map[string]any{"train": purpose(&j.Training), "evaluate": purpose(j.Evaluation)},
		"views":   views,
		"model":   map[string]any{"name": j.Model.Name, "spec": j.Model.Spec, "seed": j.Model.Seed, "weights": j.Model.Weights, "lists": j.Model.Lists},
		"train":   map[string]any{"window": features.FormatWindow(j.Window)},
		"evaluate": map[string]any{
			"split": map[string]any{"last": features.FormatWindow(j.Last), "validation": features.FormatWindow(j.Weigh)}, "k": j.K, "cohorts": j.Cohort, "min_n": j.MinN,
		},
		"budgets": j.Budgets, "drift": j.Drift, "publish": map[string]any{"alias": j.Alias}, "min_volume": j.Floor,
		"lookback": j.Lookback.String(), "overlap": j.Overlap, "catch_up": j.CatchUp.String(),
	}
	if j.Trust != nil {
		spec["trust"] = j.Trust
	}
	if len(j.Calendar) > 0 {
		spec["calendar"] = j.Calendar
	}
	if j.Consent != nil {
		spec["sources"].(map[string]any)["consent"] = map[string]any{"expect": j.Consent.Expect}
	}
	for set, rules := range j.coarsened() {
		spec["sources"].(map[string]any)[set].(map[string]any)["coarsen"] = rules
	}
	if e.Created != "" {
		spec["sources"].(map[string]any)["events"].(map[string]any)["created"] = e.Created
	}
	return spec
}
