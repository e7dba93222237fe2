package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// loadedFacts are the facts of a load step: what a generation holds, not its number, which is the store's affair. Equal inputs give equal
// digests, so a store that was lost is filled again to the same digest.
type loadedFacts struct {
	Digest   string `json:"digest"`
	Entities int    `json:"entities"` // subjects with a list
	Rows     int64  `json:"rows"`
	Short    int    `json:"short,omitempty"`    // lists that rules leave shorter than what is served
	Enough   int    `json:"enough,omitempty"`   // people who took an item that stands in lists of others, where that is fewer than models.MinSubjects
	Wishes   string `json:"wishes,omitempty"`   // digest of what everybody wanted of their lists
	Audience string `json:"audience,omitempty"` // of sensitive items (policy.Sensitive.Audience)
}

// depth is how many times longer a published list is than what is served, so that readers can filter.
const depth = 3

// loaded returns the generation that holds version v, loading it if the store has none: a step that is done once, and again only if
// the store has lost what it made.
func (w *work) loaded(ctx context.Context, v registry.Version) (uint64, loadedFacts, error) {
	var made uint64
	w.carries() // all of it is in the step's key
	s := step{name: "load", label: w.label, iv: w.iv, key: stepKey("load", w.label, w.iv, logicLoad, struct {
		Version int
		Alias   string
		K       int
		Views   []features.View
		Basis   policy.Basis
		Rules   *lists.Rules `json:",omitempty"`
		Broad   string       `json:",omitempty"`
		Related int          `json:",omitempty"`
		By      []string     `json:",omitempty"`
		Less    float64      `json:",omitempty"`
		New     float64      `json:",omitempty"`
	}{v.Number, w.job.Alias, w.job.Model.Lists.K, w.job.Published, w.job.Training.Basis, w.job.Model.Lists.Rules, w.job.Model.Lists.Broad, w.job.Model.Lists.Related, w.job.Model.Lists.UnprofiledBy, w.job.Model.Lists.Less, w.job.Model.Lists.PreferNew}, append([]string{w.plan.evaluate.key, w.plan.build.key, w.expiries()}, slices.Concat(w.plan.wishInput(), w.plan.audienceInput())...)...)}
	c, err := w.do(ctx, s, func(ctx context.Context) (result, error) {
		g, facts, err := w.fill(ctx, v)
		made = g
		return result{facts: facts, rowsIn: int64(facts.Entities), rows: facts.Rows}, err
	})
	if err != nil {
		return 0, loadedFacts{}, err
	}
	facts, err := factsOf[loadedFacts](c)
	if err != nil || made != 0 {
		return made, facts, err
	}
	have, err := w.Online.Generations(ctx)
	if err != nil {
		return 0, facts, fmt.Errorf("online store: %w", err)
	}
	for g, digest := range have {
		if digest == facts.Digest && g > made {
			made = g
		}
	}
	if made != 0 {
		return made, facts, nil
	}
	g, again, err := w.fill(ctx, v)
	if err != nil || again.Digest == facts.Digest {
		return g, again, err
	}
	// The store keeps out what was erased since; the step's facts follow.
	old, info, err := w.tables.Lookup(ctx, s.key)
	if err != nil {
		return 0, again, fmt.Errorf("load %s: %w", w.label, err)
	}
	next := *old
	next.By, next.Nonce, next.Facts = "reload", w.NewID(w.now), raw(again)
	if err := w.tables.Supersede(ctx, s.key, info, &next); err != nil {
		return 0, again, fmt.Errorf("load %s: %w", w.label, err)
	}
	return g, again, nil
}

// expiries is a digest of when the basis of each subject who may be loaded ends: it stands in every row of a generation, and a renewal changes it
// without changing who counts.
func (w *work) expiries() string {
	ids, end := w.plan.ids.OnlineKeys(), table.Micros(w.iv.End)
	h := sha256.New()
	for _, s := range slices.Sorted(maps.Keys(ids)) {
		at := w.plan.trainingDecisions.Expires(s)
		if d := w.plan.trainingDecisions.Of(s); at != 0 && !d.Denied() && d.From < end {
			fmt.Fprintf(h, "%s %d\n", s, at)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// fill loads a new generation, and another in its place where somebody has been wrapped anew meanwhile, by a rotation of keys: it would hold them under a key that
// nothing else needs any more, and by which no erasure would look for them once it is retired.
func (w *work) fill(ctx context.Context, v registry.Version) (uint64, loadedFacts, error) {
	d, err := w.load(ctx)
	if err != nil {
		return 0, loadedFacts{}, err
	}
	for range rotationsAtMost {
		g, facts, held, err := w.fillOnce(ctx, v, d)
		if err != nil {
			return 0, loadedFacts{}, err
		}
		ids, err := w.identities(ctx)
		if err == nil && !rekeyed(ids, held) {
			return g, facts, nil
		}
		w.plan.ids = ids
		if dropped := w.Online.Drop(context.WithoutCancel(ctx), g); dropped != nil {
			err = errors.Join(err, fmt.Errorf("online store: drop generation %d, which may hold people under a key of before a rotation: %w", g, dropped))
		}
		if err != nil {
			return 0, loadedFacts{}, err
		}
	}
	return 0, loadedFacts{}, fmt.Errorf("online store: keys were rotated %d times while a generation was loaded: run again when that is done", rotationsAtMost)
}

// rotationsAtMost is how often a generation is loaded anew for a rotation.
const rotationsAtMost = 3

// rekeyed reports whether somebody has another online key now than the one they were held by.
func rekeyed(ids *event.Identities, held map[policy.Subject]string) bool {
	for s, was := range held {
		if key, stands := ids.OnlineKey(s); stands && key != was {
			return true
		}
	}
	return false
}

// fillOnce loads a new generation: lists with reasons, vectors, feature rows, the list not based on profiling, and meta. It returns the online keys that people are
// held by as well.
func (w *work) fillOnce(ctx context.Context, v registry.Version, d *dataset) (uint64, loadedFacts, map[policy.Subject]string, error) {
	fail := func(err error) (uint64, loadedFacts, map[policy.Subject]string, error) {
		return 0, loadedFacts{}, nil, err
	}
	next, err := w.nextGeneration(ctx)
	if err != nil {
		return fail(err)
	}
	l, err := w.Online.Load(ctx, next)
	if err != nil {
		return fail(fmt.Errorf("online store: %w", err))
	}
	defer l.Close()
	f := filler{work: w, d: d, v: v, out: l, online: w.plan.ids.OnlineKeys()}
	for _, part := range []func(context.Context) error{f.meta, f.lists, f.features} {
		if err := part(ctx); err != nil {
			return fail(err)
		}
	}
	digest, err := l.Finish(ctx)
	if err != nil {
		return fail(fmt.Errorf("online store: finish generation %d: %w", next, err))
	}
	have, err := w.Online.Generations(ctx)
	if err != nil {
		return fail(fmt.Errorf("online store: %w", err))
	}
	if have[next] != digest {
		return fail(fmt.Errorf("online store: generation %d reads back with digest %.12s, not %.12s: not made live", next, have[next], digest))
	}
	out := loadedFacts{Digest: digest, Entities: f.entities, Rows: f.rows, Short: f.short, Wishes: w.plan.wanted(), Audience: w.plan.audience()}
	if f.d.enough < models.MinSubjects {
		out.Enough = f.d.enough
	}
	return next, out, f.online, nil
}

// nextGeneration is one above every generation that the store or the registry knows.
func (w *work) nextGeneration(ctx context.Context) (uint64, error) {
	have, err := w.Online.Generations(ctx)
	if err != nil {
		return 0, fmt.Errorf("online store: %w", err)
	}
	last := uint64(0)
	for g := range have {
		last = max(last, g)
	}
	if p, err := w.Online.Live(ctx); err == nil {
		last = max(last, p.Generation)
	} else if !errors.Is(err, online.ErrNoGeneration) {
		return 0, fmt.Errorf("online store: %w", err)
	}
	live, err := w.reg.Live(ctx)
	if err != nil {
		return 0, err
	}
	for _, c := range live.History {
		last = max(last, c.Generation)
	}
	return last + 1, nil
}

// filler writes the entries of one generation.
type filler struct {
	*work
	d        *dataset
	v        registry.Version
	out      online.Loader
	online   map[policy.Subject]string
	rules    *lists.Stage // nil: none
	wishes   *lists.Stage // without rules, for who wants less of something, or rather what is new; nil: nobody does
	entities int
	rows     int64
	short    int
}

func (f *filler) put(ctx context.Context, entries ...online.Entry) error {
	f.rows += int64(len(entries))
	if err := f.out.Put(ctx, entries...); err != nil {
		return fmt.Errorf("online store: %w", err)
	}
	return nil
}

func (f *filler) meta(ctx context.Context) error {
	body, err := json.Marshal(f.work.meta(f.v))
	if err != nil {
		return err
	}
	e, err := online.MetaEntry(body)
	if err != nil {
		return err
	}
	return f.put(ctx, e)
}
