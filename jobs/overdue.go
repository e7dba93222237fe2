package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
)

// Overdue is something that people have a right to by a day that has passed.
type Overdue struct {
	Job     *Job
	Kind    string // OverdueRequest or OverdueRetrain
	Subject string // request 3, or model home: the same as long as it is the same thing
	Due     time.Time
	Says    string
	Command string // what to try
}

// The kinds of what is overdue, as alerts name them.
const (
	OverdueRequest = "late_request" // somebody asked for something, and has had no answer
	OverduePurge   = "late_purge"   // what is past its retention has not been removed
	OverdueRetrain = "late_retrain" // a model that learned from people who are erased is live still
)

// OverdueObserver is an Observer that is also told, again and again, of all that is overdue: what is not among it any more is over.
type OverdueObserver interface {
	Overdue(ctx context.Context, all []Overdue)
}

// Overdue lists what is overdue: requests under the first of the jobs, for they are the project's. Cost: as Requests, and two GETs a job.
func (r *Runner) Overdue(ctx context.Context, js []*Job) ([]Overdue, error) {
	return r.overdue(ctx, js, map[string]bool{})
}

// overdue is Overdue for one who asks again and again: closed holds the keys of requests that were closed when they were last read, and need not be read again.
func (r *Runner) overdue(ctx context.Context, js []*Job, closed map[string]bool) ([]Overdue, error) {
	var out []Overdue
	if len(js) == 0 {
		return nil, nil
	}
	now := r.Wall()
	for info, err := range r.Bucket.List(ctx, requestPrefix, storage.ListOpt{}) {
		if err != nil {
			return nil, fmt.Errorf("read the register of requests: %w", err)
		}
		if closed[info.Key] {
			continue
		}
		q, _, err := requestRegister.read(ctx, r.Bucket, info.Key)
		if err != nil {
			return nil, err
		}
		closed[info.Key] = q.Closed != nil
		if q.Late(now) {
			out = append(out, Overdue{
				Job: js[0], Kind: OverdueRequest, Subject: fmt.Sprintf("request %d", q.Number), Due: q.Due, Command: "rapport subject requests list",
				Says: fmt.Sprintf("request %d (%s) was due %s, and is open", q.Number, q.Kind, q.Due.UTC().Format(time.DateOnly)),
			})
		}
	}
	late, err := r.latePurge(ctx, js)
	if err != nil {
		return nil, err
	}
	out = append(out, late...)
	for _, j := range js {
		if j.Watched != nil { // it has no model of its own
			continue
		}
		reg, err := registry.Open(r.Bucket, j.Model.Name)
		if err != nil {
			return nil, err
		}
		live, err := reg.Live(ctx)
		if err != nil {
			return nil, err
		}
		owed, err := r.owes(ctx, j.Model.Name, live.Aliases[j.Alias].Version)
		if err != nil {
			return nil, err
		}
		if owed != nil && owed.Late(r.Now()) {
			out = append(out, Overdue{
				Job: j, Kind: OverdueRetrain, Subject: "model " + j.Model.Name, Due: owed.Due, Command: "rapport run " + j.Name,
				Says: fmt.Sprintf("model %s: %s", j.Model.Name, owed),
			})
		}
	}
	return out, nil
}
