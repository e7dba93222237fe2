package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage/online"
)

// register records the judged artifact as a version, passed or rejected. Registering again what was registered returns the same version.
func (w *work) register(ctx context.Context, d eval.Decision) (registry.Version, error) {
	if err := w.held(ctx); err != nil {
		return registry.Version{}, fmt.Errorf("register: %w", err)
	}
	files, err := w.artifactFiles(ctx, w.plan.trained.Digest)
	if err != nil {
		return registry.Version{}, err
	}
	spec, err := json.Marshal(w.job.Model.Spec)
	if err != nil {
		return registry.Version{}, fmt.Errorf("register: %w", err)
	}
	v := registry.Version{
		Key: strings.ReplaceAll(w.plan.evaluate.key, "/", "__"), Interval: w.iv, Created: w.now, Metrics: map[string]float64{}, Verdict: registry.Passed,
		Report: registry.Report{Digest: w.plan.judged.SHA256, Link: w.plan.judged.Report}, Inputs: w.plan.set.Days, Seed: w.job.Model.Seed,
		KernelClass: models.KernelClass(), Spec: spec, Encrypted: w.Encrypted,
	}
	for _, p := range w.job.purposes() {
		for _, t := range p.Terms {
			v.Terms = append(v.Terms, p.Name+": "+t)
		}
	}
	for _, m := range w.plan.judged.Metrics {
		if m.Value != nil {
			v.Metrics[m.Name] = *m.Value
		}
	}
	v.Decision = string(d.Verdict)
	if !d.Publish {
		v.Verdict, v.Reasons = registry.Rejected, d.Refusals()
	}
	v, err = w.reg.Register(ctx, v, files)
	if err != nil {
		return v, err
	}
	w.res.Model = &ModelRef{Name: v.Name, Version: v.Number, Digest: v.Digest}
	return v, nil
}

// judgedBy is the key of the evaluate step that judged a version: its registry key, in which slashes are doubled underscores.
func judgedBy(v registry.Version) string { return strings.ReplaceAll(v.Key, "__", "/") }

// Meta is what a generation says of itself: which version it serves, how that was judged, and where the report is.
type Meta struct {
	Project  string      `json:"project"`
	Model    string      `json:"model"`
	Version  int         `json:"version"`
	Digest   string      `json:"digest"`
	Interval string      `json:"interval"`
	Verdict  string      `json:"verdict"`
	Reasons  []string    `json:"reasons"`
	Metrics  []Metric    `json:"metrics"`
	Cohorts  []CohortGap `json:"cohorts"`
	Budgets  []BudgetRow `json:"budgets"`
	Report   string      `json:"report"`
	SHA256   string      `json:"report_sha256"`
	Pinned   bool        `json:"clock_pinned,omitempty"`
	Audience string      `json:"audience,omitempty"` // of sensitive items: a digest of who is shown which; "" where none are declared
	Views    string      `json:"views,omitempty"`    // key of the build whose rows are in it; "" where none are published
	Keys     []string    `json:"keys,omitempty"`     // ids of the keys by which its people are looked up, ascending
}

// BudgetRow is one judged budget.
type BudgetRow struct {
	Rule    string       `json:"rule"`
	Verdict eval.Verdict `json:"verdict"`
	Says    string       `json:"says"`
}

func (w *work) meta(v registry.Version) Meta {
	f := w.plan.judged
	m := Meta{
		Project: w.job.Project, Model: v.Name, Version: v.Number, Digest: v.Digest, Interval: w.iv.String(), Verdict: string(f.Decision.Verdict),
		Reasons: f.Decision.Reasons, Metrics: f.Metrics, Cohorts: f.Cohorts, Report: f.Report, SHA256: f.SHA256, Pinned: w.Pinned,
		Audience: w.plan.audience(),
	}
	m.Keys = slices.Sorted(maps.Keys(w.plan.ids.KeyRows()))
	if len(w.job.Published) > 0 {
		m.Views = w.plan.build.key
	}
	for _, r := range f.Decision.Rules {
		if r.Kind == "budget" {
			m.Budgets = append(m.Budgets, BudgetRow{Rule: r.Subject, Verdict: r.Verdict, Says: r.Says})
		}
	}
	return m
}

// publishLease serializes what changes the online store: one publisher at a time, of any job.
const publishLease = "leases/publish"

// publish makes a version live, in this order: load a generation that nobody reads; read policy again and apply it; move the alias by
// compare-and-set; swap the online pointer, only to a higher fence. A crash in between leaves the old state or the new one, and reconcile
// closes the gap between alias and pointer.
func (w *work) publish(ctx context.Context, v registry.Version) error {
	if err := w.held(ctx); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	lease, err := w.await(ctx, publishLease)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	ctx, stop := lease.Keep(ctx)
	defer stop()
	defer w.release(ctx, lease)

	// What is live is read under the lease, and moved only from there.
	live, err := w.reg.Live(ctx)
	if err != nil {
		return err
	}
	if t, ok := live.Aliases[w.job.Alias]; ok && t.Version != v.Number {
		current, err := w.reg.Get(ctx, t.Version)
		if err != nil {
			return err
		}
		if current.Interval.End.After(v.Interval.End) {
			w.res.Waiting = fmt.Sprintf("version %d of a later interval (%s) is live; version %d gets no alias", t.Version, current.Interval, v.Number)
			return nil
		}
	}
	if pin, ok := live.Pinned[w.job.Alias]; ok && pin.Version != v.Number {
		_, err := w.reg.Promote(ctx, w.job.Alias, v.Number, 0, "job "+w.job.Name, "passed its gate", w.now)
		if !errors.Is(err, registry.ErrPinned) {
			return fmt.Errorf("publish: the pin was taken off at this moment; run again: %w", err)
		}
		w.res.Waiting = fmt.Sprintf("%s is pinned to version %d by %s (%s); version %d waits until rapport models unpin", w.job.Alias, pin.Version, pin.By, pin.Why, v.Number)
		return nil
	}

	generation, facts, err := w.loaded(ctx, v)
	if err != nil {
		return err
	}
	if facts.Short > 0 {
		w.res.Flags = append(w.res.Flags, fmt.Sprintf("list rules leave %s lists with fewer than %d items: no candidate was left that they let in; see at_most and exclude", smallCount(facts.Short), w.job.Model.Lists.K))
	}
	if facts.Enough > 0 {
		w.res.Flags = append(w.res.Flags, fmt.Sprintf("items that %d people took stand in lists of others: there is no sources.items, and what %d took fills no list; declare the items before these lists are shown to anybody", facts.Enough, models.MinSubjects))
	}
	w.report("publish", 0, 0, "")
	if err := w.refreshPolicy(ctx); err != nil {
		return err
	}
	w.next = &v.Interval
	if err := w.deny(ctx); err != nil {
		return err
	}
	if err := errors.Join(lease.Check(ctx), w.held(ctx)); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	fence := live.Fence
	live, err = w.reg.PromoteFrom(ctx, fence, w.job.Alias, v.Number, generation, "job "+w.job.Name, "passed its gate", w.now)
	if err != nil {
		return err
	}
	w.moved = w.moved || live.Fence != fence
	if err := errors.Join(w.swap(ctx, live), w.readmit(ctx)); err != nil {
		return err
	}
	w.res.Published = &Published{Store: w.OnlineURL, Generation: generation, Fence: live.Fence, Entities: facts.Entities}
	return w.expire(ctx, live)
}

// refreshPolicy reads the journal, the identities and the consent source again and decides anew, as of now and not of the run's start: what
// was asked for while the generation was loading must hold before it is read.
func (w *work) refreshPolicy(ctx context.Context) error {
	if err := w.plan.journal.Refresh(ctx); err != nil {
		return err
	}
	w.epoch = w.plan.journal.Epoch()
	var err error
	if w.plan.ids, err = w.identities(ctx); err != nil {
		return err
	}
	if w.plan.consent, err = w.readConsent(ctx, w.plan); err != nil {
		return err
	}
	if w.plan.wishes, err = w.readWishes(ctx, w.plan); err != nil {
		return err
	}
	w.plan.wishes.records = w.plan.peopleOf(w.plan.wishes.records)
	return w.decide(ctx, w.plan, w.Now())
}

// deny brings the online deny set in line with today's decisions: every known subject without a valid basis, or that wants no list of its own, or whose live
// list may hold sensitive items that it agrees to no longer, or rests on what was known of it before it left, is denied, and who has a basis again is let back
// in once lists are live that were made since. Keys that no known subject has are left alone: they are erased subjects. A fallback that the store has lost is on again first.
func (w *work) deny(ctx context.Context) error {
	restored, err := w.restoreFallback(ctx)
	if err != nil {
		return err
	}
	if restored {
		w.res.Flags = append(w.res.Flags, "the online store had lost the fallback: it is on again, until rapport online fallback off")
	}
	if w.carried == nil { // else other lists are about to be live
		if err := w.seeToEnds(ctx); err != nil {
			return err
		}
	}
	have := map[string]bool{}
	denied, err := w.Online.Denied(ctx)
	store, able := w.Online.(online.DenyRestorer)
	lost := able && errors.Is(err, online.ErrCorrupt)
	if err != nil && !lost {
		return fmt.Errorf("online deny set: %w", err)
	}
	for _, k := range denied {
		have[k] = true
	}
	deny, allow := w.standing(ctx, have)
	switch {
	case lost:
		if err = store.RestoreDenied(ctx, deny...); err == nil {
			w.res.Flags = append(w.res.Flags, fmt.Sprintf("the online store had lost its deny set: %s denied again, and until then nobody's row was served", plural(len(deny), "subject is", "subjects are")))
		}
	case len(deny) > 0:
		err = w.Online.Deny(ctx, deny...)
	}
	if err != nil {
		return fmt.Errorf("online deny set: %w", err)
	}
	// Nobody is let back in whose erasure has been asked for since the decisions were made.
	if err := w.plan.journal.Refresh(ctx); err != nil {
		return err
	}
	if w.plan.journal.Epoch() != w.epoch {
		allow = nil
	}
	if len(allow) == 0 {
		return nil
	}
	// Nor who has asked for no list of its own since, or does so while they are let in: that is recorded before it is denied.
	if came, err := w.cameIn(ctx); came || err != nil {
		return err
	}
	if err := w.Online.Allow(ctx, allow...); err != nil {
		return fmt.Errorf("online deny set: %w", err)
	}
	came, err := w.cameIn(ctx)
	if came || err != nil {
		err = errors.Join(err, w.Online.Deny(ctx, allow...))
	}
	return err
}

// standing returns the online keys of those who are to be denied beside who is, and of those who are to be let in again, both ascending.
func (w *work) standing(ctx context.Context, have map[string]bool) (deny, allow []string) {
	w.early = false
	lapsed, returned := w.lapsed(ctx), w.returned(ctx)
	erased := false
	for key := range have {
		erased = erased || online.IsErasedName(key)
	}
	listed := w.plan.ids.HavingOnlineKeys(have)
	walk := w.plan.trainingDecisions.Rules(math.MinInt64)
	for s := range w.plan.ids.Subjects() {
		no := walk.Of(s).Denied() || listless(w.plan.wants(s), w.job.Model.Lists.Broad != "") || lapsed[s] || returned[s] || w.outlived(s, listed[s])
		if no == listed[s] && !erased {
			continue // as nearly everybody
		}
		key, known := w.plan.ids.OnlineKey(s)
		if !known {
			continue // erased at this moment
		}
		is := listed[s] || erased && have[online.ErasedName(key)] // an erased subject who has come back stands there by a hash
		switch {
		case no && !is:
			deny = append(deny, key)
		case !no && is:
			allow = append(allow, key)
		}
	}
	slices.Sort(deny)
	slices.Sort(allow)
	return deny, allow
}

// swapTo points the online store at what the alias says. A store that has seen a higher fence is ahead of us, and right.
func (r *Runner) swapTo(ctx context.Context, live registry.Live, alias string) error {
	t := live.Aliases[alias]
	meta, err := json.Marshal(struct {
		Model   string `json:"model"`
		Version int    `json:"version"`
		Alias   string `json:"alias"`
	}{live.Name, t.Version, alias})
	if err != nil {
		return err
	}
	err = r.Online.Swap(ctx, online.Pointer{Generation: t.Generation, Fence: live.Fence, Meta: meta})
	if errors.Is(err, online.ErrFenced) {
		p, lerr := r.Online.Live(ctx)
		if lerr == nil && p.Fence >= live.Fence && sameLine(p.Meta, meta) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("online store: %w", err)
	}
	return nil
}

// sameLine reports whether two pointers belong to one model and alias: only then do their fences compare.
func sameLine(a, b []byte) bool {
	var x, y struct{ Model, Alias string }
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && x == y
}

// swapGrace is how long a swap may go on when its work has been told to end.
const swapGrace = 30 * time.Second

// swap is swapTo for the work's alias. The alias has moved already: a request to end the work comes too late for the swap, which would leave the
// store behind the alias until the next run. Fences keep one who has lost its lease from doing harm.
func (w *work) swap(ctx context.Context, live registry.Live) error {
	end, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(swapGrace, cancel) })()
	return w.swapTo(end, live, w.job.Alias)
}

// reconcile makes the online store follow the alias: a crash between the two, or a store that was restored from a copy, is mended by
// the next run. A generation that the store has lost cannot be mended here; the run loads it again when it publishes.
func (w *work) reconcile(ctx context.Context) error {
	live, err := w.reg.Live(ctx)
	if err != nil {
		return err
	}
	t, ok := live.Aliases[w.job.Alias]
	if !ok {
		return nil
	}
	p, err := w.Online.Live(ctx)
	if err != nil && !errors.Is(err, online.ErrNoGeneration) {
		return fmt.Errorf("online store: %w", err)
	}
	if err == nil && p.Generation == t.Generation {
		return nil
	}
	have, err := w.Online.Generations(ctx)
	if err != nil {
		return fmt.Errorf("online store: %w", err)
	}
	if _, ok := have[t.Generation]; !ok {
		w.res.Flags = append(w.res.Flags, fmt.Sprintf("the online store has lost generation %d, which is live: it is loaded again when this job publishes", t.Generation))
		return nil
	}
	err = w.swap(ctx, live)
	if errors.Is(err, online.ErrCorrupt) {
		w.res.Flags = append(w.res.Flags, fmt.Sprintf("the online store cannot follow the alias yet: %v", err))
		return nil
	}
	w.moved = true
	return err
}

// Generations are kept for instant rollback: the last keepGenerations, and all that were live within keepFor.
const (
	keepGenerations = 3
	keepFor         = 7 * 24 * time.Hour
)

// expire drops the generations that no rollback needs.
func (w *work) expire(ctx context.Context, live registry.Live) error {
	have, err := w.Online.Generations(ctx)
	if err != nil {
		return fmt.Errorf("online store: %w", err)
	}
	keep := map[uint64]bool{live.Aliases[w.job.Alias].Generation: true}
	for _, t := range live.Aliases {
		keep[t.Generation] = true
	}
	for _, c := range live.History {
		if w.now.Sub(c.At) < keepFor {
			keep[c.Generation] = true
		}
	}
	all := make([]uint64, 0, len(have))
	for g := range have {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b uint64) int { return cmp.Compare(b, a) })
	for i, g := range all {
		if i < keepGenerations || keep[g] {
			continue
		}
		if err := w.Online.Drop(ctx, g); err != nil {
			return fmt.Errorf("online store: drop generation %d: %w", g, err)
		}
	}
	return nil
}
