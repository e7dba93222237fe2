package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rapport-ml/rapport/storage"
)

// Pause says that nothing starts a job by schedule, who decided so, and why.
type Pause struct {
	Job string    `json:"job"`
	By  string    `json:"by"`
	Why string    `json:"why"`
	At  time.Time `json:"at"`
}

func (p Pause) String() string {
	return fmt.Sprintf("by %s since %s: %s", p.By, p.At.UTC().Format(time.RFC3339), p.Why)
}

// pauseObject stands at pause/JOB.json. It is written over and never deleted, so that who resumed a job, and when, is known as well.
type pauseObject struct {
	Format int    `json:"format"` // 1
	Nonce  string `json:"nonce"`
	Paused bool   `json:"paused"`
	Pause         // who paused it; or, when it is not paused, who resumed it
}

const pauseFormat = 1

func pauseKey(job string) string { return "pause/" + job + ".json" }

// Paused returns the pause of a job, or nil. Cost: one GET.
func (r *Runner) Paused(ctx context.Context, job string) (*Pause, error) {
	o, _, err := r.readPause(ctx, job)
	if err != nil || !o.Paused {
		return nil, err
	}
	return &o.Pause, nil
}

func (r *Runner) readPause(ctx context.Context, job string) (o pauseObject, etag string, err error) {
	key := pauseKey(job)
	body, info, err := storage.ReadAll(ctx, r.Bucket, key)
	if errors.Is(err, storage.ErrNotFound) {
		return o, "", nil
	}
	if err != nil {
		return o, "", fmt.Errorf("is %s paused? %w", job, err)
	}
	if err := json.Unmarshal(body, &o); err != nil {
		return o, "", fmt.Errorf("is %s paused? %s: %w", job, key, err)
	}
	if o.Format < 1 || o.Format > pauseFormat {
		return o, "", fmt.Errorf("is %s paused? %s: format %d was made by a newer rapport; this one reads up to %d", job, key, o.Format, pauseFormat)
	}
	return o, info.ETag, nil
}

// Pause stops a job from being started by schedule: within a few seconds, on every server. What runs goes on, and rapport run still works. It
// returns the pause that holds, which is an earlier one if the job was paused before; changed tells.
func (r *Runner) Pause(ctx context.Context, job, by, why string) (p Pause, changed bool, err error) {
	return r.setPause(ctx, job, pauseObject{Paused: true, Pause: Pause{Job: job, By: by, Why: why}})
}

// Resume ends a pause. Nothing that fell due meanwhile starts, but for what lies within the job's catch-up window. changed is false if the job was
// not paused; else p is the pause that ended.
func (r *Runner) Resume(ctx context.Context, job, by string) (p Pause, changed bool, err error) {
	return r.setPause(ctx, job, pauseObject{Pause: Pause{Job: job, By: by}})
}

func (r *Runner) setPause(ctx context.Context, job string, next pauseObject) (Pause, bool, error) {
	for range 8 {
		have, etag, err := r.readPause(ctx, job)
		if err != nil || have.Paused == next.Paused {
			return have.Pause, false, err
		}
		cond := storage.Cond{IfMatch: etag}
		if etag == "" {
			cond = storage.Cond{IfAbsent: true}
		}
		next.Format, next.At = pauseFormat, r.Wall().UTC()
		next.Nonce = r.NewID(next.At)
		body, err := json.Marshal(next)
		if err != nil {
			return Pause{}, false, err
		}
		_, err = storage.Commit(ctx, r.Bucket, pauseKey(job), body, cond)
		switch {
		case err == nil && next.Paused:
			return next.Pause, true, nil
		case err == nil:
			return have.Pause, true, nil
		case !errors.Is(err, storage.ErrPrecondition):
			return Pause{}, false, fmt.Errorf("pause of %s: %w", job, err)
		}
	}
	return Pause{}, false, fmt.Errorf("pause of %s: too many writers at once; try again", job)
}
