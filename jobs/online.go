package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// ErrNothingPublished says that the alias of a job points nowhere yet.
var ErrNothingPublished = errors.New("nothing has been published yet")

// OnlineStatus is how the online store stands.
type OnlineStatus struct {
	Store    string           `json:"store"`
	Live     *online.Pointer  `json:"live,omitempty"` // nil: nothing
	Aliases  []AliasStatus    `json:"aliases"`
	Fallback *online.Fallback `json:"fallback,omitempty"`
	Facts    *online.Facts    `json:"facts,omitempty"` // nil: the store does not tell
	Faults   []string         `json:"faults"`          // why not all is well
}

// AliasStatus is what a job's alias says should be live.
type AliasStatus struct {
	Job        string `json:"job"`
	Model      string `json:"model"`
	Alias      string `json:"alias"`
	Version    int    `json:"version"` // 0: nothing has been published
	Generation uint64 `json:"generation"`
	InStep     bool   `json:"in_step"`
}

// OnlineStatus compares what the online store serves with what the jobs' aliases say. It changes nothing, and reads no row.
func (r *Runner) OnlineStatus(ctx context.Context, js []*Job) (*OnlineStatus, error) {
	out := &OnlineStatus{Store: r.OnlineURL, Aliases: []AliasStatus{}, Faults: []string{}}
	switch p, err := r.Online.Live(ctx); {
	case err == nil:
		out.Live = &p
	case !errors.Is(err, online.ErrNoGeneration):
		return nil, fmt.Errorf("online store: %w", err)
	}
	var err error
	if out.Fallback, err = r.Online.Fallback(ctx); err != nil {
		return nil, fmt.Errorf("online store: %w", err)
	}
	for _, j := range js {
		s, err := r.aliasStatus(ctx, j, out.Live)
		if err != nil {
			return nil, fmt.Errorf("job %s: %w", j.Name, err)
		}
		if s.Version != 0 && !s.InStep {
			out.Faults = append(out.Faults, fmt.Sprintf("%s of model %s is version %d, generation %d, and the store does not serve it: rapport online load %s", s.Alias, s.Model, s.Version, s.Generation, j.Name))
		}
		out.Aliases = append(out.Aliases, s)
	}
	if i, ok := r.Online.(online.Inspector); ok {
		facts, err := i.Inspect(ctx)
		if err != nil {
			return nil, fmt.Errorf("online store: %w", err)
		}
		out.Facts = &facts
		out.Faults = append(out.Faults, facts.Faults...)
	}
	return out, nil
}

func (r *Runner) aliasStatus(ctx context.Context, j *Job, p *online.Pointer) (AliasStatus, error) {
	s := AliasStatus{Job: j.Name, Model: j.Model.Name, Alias: j.Alias}
	reg, err := registry.Open(r.Bucket, j.Model.Name)
	if err != nil {
		return s, err
	}
	live, err := reg.Live(ctx)
	if err != nil {
		return s, err
	}
	t := live.Aliases[j.Alias]
	s.Version, s.Generation = t.Version, t.Generation
	s.InStep = p != nil && t.Generation != 0 && p.Generation == t.Generation
	return s, nil
}

// OnlineLoaded is what OnlineLoad did.
type OnlineLoaded struct {
	Job        string   `json:"job"`
	Model      string   `json:"model"`
	Version    int      `json:"version"`
	Generation uint64   `json:"generation"`
	Fence      uint64   `json:"fence"`
	Digest     string   `json:"digest"`
	Did        string   `json:"did"` // kept, swapped or loaded
	Why        string   `json:"why"`
	Flags      []string `json:"flags,omitempty"`
}

// OnlineLoad makes the online store serve what the job's alias says, under today's policy and without training: whoever is denied is denied
// again first; then the alias's generation is swapped to, if the store has it whole, or its lists are built from the version's artifact and
// loaded as a new generation. It reads every row of a generation that it keeps.
func (r *Runner) OnlineLoad(ctx context.Context, job *Job) (OnlineLoaded, error) {
	out := OnlineLoaded{Job: job.Name, Model: job.Model.Name}
	fail := func(err error) (OnlineLoaded, error) { return out, fmt.Errorf("online load: %w", err) }
	reg, err := registry.Open(r.Bucket, job.Model.Name)
	if err != nil {
		return fail(err)
	}
	lease, err := r.acquire(ctx, publishLease)
	if err != nil {
		return fail(err)
	}
	ctx, stop := lease.Keep(ctx)
	defer stop()
	defer r.release(ctx, lease)
	live, err := reg.Live(ctx) // under the lease: nobody moves it now
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
	w := r.newWork(job, v.Interval, r.Now())
	w.reg, w.lease, w.plan = reg, lease, &plan{}
	if err := w.reload(ctx, live, v, &out); err != nil {
		return fail(err)
	}
	out.Flags = w.res.Flags
	return out, nil
}

// reload is OnlineLoad under the lease of publishing.
func (w *work) reload(ctx context.Context, live registry.Live, v registry.Version, out *OnlineLoaded) error {
	t := live.Aliases[w.job.Alias]
	out.Version, out.Generation, out.Did = v.Number, t.Generation, "kept"
	if err := w.policy(ctx, w.plan); err != nil {
		return err
	}
	w.next = &v.Interval
	if err := w.deny(ctx); err != nil {
		return err
	}
	sound, why, err := w.sound(ctx, t.Generation, v)
	if err != nil {
		return err
	}
	if !sound {
		out.Did = "loaded"
		if out.Generation, err = w.rebuild(ctx, v); err != nil {
			return fmt.Errorf("load version %d: %w", v.Number, err)
		}
		if err := w.refreshPolicy(ctx); err != nil { // building takes its time
			return err
		}
		if err := w.deny(ctx); err != nil {
			return err
		}
		if err := w.held(ctx); err != nil {
			return err
		}
		if live, err = w.reg.PromoteFrom(ctx, live.Fence, w.job.Alias, v.Number, out.Generation, "online load", why, w.now); err != nil {
			return err
		}
	} else if p, err := w.Online.Live(ctx); err != nil || p.Generation != t.Generation {
		out.Did, why = "swapped", "the store held the generation, and served another or none"
	}
	out.Why, out.Fence = why, live.Fence
	err = w.swap(ctx, live)
	if err == nil && w.carried == nil { // a generation that was kept
		err = w.denyOutlived(ctx)
	}
	if err := errors.Join(err, w.readmit(ctx)); err != nil {
		return err
	}
	p, err := w.Online.Live(ctx)
	if err != nil {
		return fmt.Errorf("online store: %w", err)
	}
	if p.Generation != out.Generation {
		return fmt.Errorf("online store: generation %d with fence %d is live there, of another registry: clear the store's keys, and load again", p.Generation, p.Fence)
	}
	have, err := w.Online.Generations(ctx)
	if err != nil {
		return fmt.Errorf("online store: %w", err)
	}
	out.Digest = have[out.Generation]
	return w.expire(ctx, live)
}

// sound reports whether the store holds a generation whole, and for this version; if not, why.
func (w *work) sound(ctx context.Context, generation uint64, v registry.Version) (sound bool, why string, err error) {
	have, err := w.Online.Generations(ctx)
	if err != nil {
		return false, "", fmt.Errorf("online store: %w", err)
	}
	if _, ok := have[generation]; !ok {
		return false, fmt.Sprintf("the store had lost generation %d", generation), nil
	}
	if i, ok := w.Online.(online.Inspector); ok {
		switch err := i.Verify(ctx, generation); {
		case errors.Is(err, online.ErrCorrupt), errors.Is(err, online.ErrUnknownGeneration):
			return false, fmt.Sprintf("generation %d was damaged", generation), nil
		case err != nil:
			return false, "", fmt.Errorf("online store: %w", err)
		}
	}
	p, err := w.Online.Live(ctx)
	if err != nil || p.Generation != generation {
		return true, "", nil // what it is of can be read only once it is live
	}
	if m, err := w.liveMeta(ctx); err != nil || m.Project != w.job.Project || m.Model != v.Name || m.Version != v.Number {
		return false, fmt.Sprintf("generation %d was of something else", generation), nil
	}
	return true, "nothing was amiss", nil
}

// LiveLacks lists the keys by which people of the live generation are looked up and that are not given: they are served as if nobody knew them. Of a generation
// that does not say by which, and of none, it lists none. Cost: one lookup.
func (r *Runner) LiveLacks(ctx context.Context) ([]string, error) {
	keys, err := r.liveKeys(ctx)
	given := r.given()
	return slices.DeleteFunc(keys, func(id string) bool {
		return slices.ContainsFunc(given, func(k event.Keys) bool { return k.ID() == id })
	}), err
}

// liveKeys are the ids of the keys under which the live generation holds people; none if there is no such generation.
func (r *Runner) liveKeys(ctx context.Context) ([]string, error) {
	w := &work{Runner: r, now: r.Now()}
	m, err := w.liveMeta(ctx)
	if errors.Is(err, online.ErrNotFound) || errors.Is(err, online.ErrNoGeneration) {
		return nil, nil
	}
	return m.Keys, err
}

// liveMeta reads what the live generation says of itself.
func (w *work) liveMeta(ctx context.Context) (m Meta, err error) {
	e, _, err := w.Online.Get(ctx, online.MetaKey, table.Micros(w.now))
	if err == nil {
		err = json.Unmarshal(e.Value, &m)
	}
	if err != nil {
		return m, fmt.Errorf("meta of the live generation: %w", err)
	}
	return m, nil
}

// Began is when a fallback was turned on.
func Began(f *online.Fallback) time.Time { return time.UnixMicro(f.Since).UTC() }
