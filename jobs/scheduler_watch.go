package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// LateObserver is an Observer that is also told what no run can tell. Both are called again and again while they hold.
type LateObserver interface {
	// Late is told that the interval that fell due at due has been brought to no end.
	Late(ctx context.Context, job *Job, iv table.Interval, due time.Time)
	// Sweep is called about once a minute.
	Sweep(ctx context.Context)
}

// HoldObserver is an Observer that is also told, again and again, that a feed of consent is held, and why.
type HoldObserver interface {
	Held(ctx context.Context, job *Job, iv table.Interval, says string)
}

// Announce tells other servers of this one, before Run. It returns ErrConflict if one of them declares a job differently and this one does not take
// over.
func (s *Scheduler) Announce(ctx context.Context) error { return s.peers.beat(ctx) }

// Watch does until ctx ends what a server does between runs, beside Run: it tells the other servers that this one lives, brings the online store in
// step with the alias if it was flushed or restored, says what is late, makes the ledgers of what each field is worth,
// reads consent between runs, and removes what is past its retention. What goes wrong is logged, and tried again a little later. Loading a store
// again may take long, and so the beats go on beside it: a server that mends is not taken for a dead one.
func (s *Scheduler) Watch(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() {
		var said string
		s.each(ctx, beatEvery, func() {
			err := s.peers.beat(ctx)
			switch {
			case err == nil:
				said = ""
			case ctx.Err() == nil && err.Error() != said:
				said = err.Error()
				s.runner.Log.Warn("beat", "error", err)
			}
		})
	})
	wg.Go(func() {
		s.each(ctx, time.Minute, func() {
			s.mend(ctx)
			s.late(ctx)
		})
	})
	wg.Go(func() { s.each(ctx, time.Minute, func() { s.overdue(ctx) }) }) // whatever a store that is mended takes
	wg.Go(func() { s.each(ctx, time.Minute, func() { s.minimize(ctx) }) })
	wg.Go(func() { s.each(ctx, time.Minute, func() { s.sync(ctx) }) })
	wg.Go(func() { s.each(ctx, time.Minute, func() { s.finishErasures(ctx); s.purge(ctx) }) })
	wg.Wait()
}

// each calls f so often until ctx ends.
func (s *Scheduler) each(ctx context.Context, every time.Duration, f func()) {
	ticks, stop := s.runner.ticks(every)
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
			f()
		}
	}
}

// Leave takes this server's object away, so that a successor with another project file need not wait for it to expire. Call it when Watch has ended.
func (s *Scheduler) Leave(ctx context.Context) {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.peers.leave(end); err != nil {
		s.runner.Log.Warn("this server's object is left behind; it expires by itself", "error", err)
	}
}

// mend brings the online store in step with each alias.
func (s *Scheduler) mend(ctx context.Context) {
	for _, l := range s.lines {
		mended, err := s.runner.Mend(ctx, l.job)
		switch {
		case errors.Is(err, storage.ErrHeld): // a run publishes at this moment, which mends as well
		case err != nil && ctx.Err() == nil:
			s.runner.Log.Error("online store is not in step with the alias", "job", l.job.Name, "error", err)
		case mended:
			s.runner.Log.Warn("online store brought in step with the alias", "job", l.job.Name)
		}
	}
}

// Mend brings the online store in step with a job's alias if it is not: it swaps to the generation that should be live, or loads that again, without
// training, where the store has lost it. Cost, if it is in step: one GET and one read of the store.
func (r *Runner) Mend(ctx context.Context, job *Job) (mended bool, err error) {
	reg, err := registry.Open(r.Bucket, job.Model.Name)
	if err != nil {
		return false, err
	}
	live, err := reg.Live(ctx)
	if err != nil {
		return false, err
	}
	t, ok := live.Aliases[job.Alias]
	if !ok {
		return false, nil
	}
	p, err := r.Online.Live(ctx)
	if err == nil && p.Generation == t.Generation {
		return false, nil
	}
	if err != nil && !errors.Is(err, online.ErrNoGeneration) && !errors.Is(err, online.ErrCorrupt) {
		return false, fmt.Errorf("online store: %w", err)
	}
	_, err = r.OnlineLoad(ctx, job)
	return err == nil, err
}

// observing are the runner's observers that are told of O's kind of thing as well.
func observing[O any](r *Runner) (out []O) {
	for _, o := range r.Observers {
		if x, ok := o.(O); ok {
			out = append(out, x)
		}
	}
	return out
}

// late tells the observers which jobs are late, and gives them their minute.
func (s *Scheduler) late(ctx context.Context) {
	told := observing[LateObserver](s.runner)
	if len(told) == 0 {
		return
	}
	status, err := s.runner.Status(ctx, s.jobs())
	if err != nil {
		if ctx.Err() == nil {
			s.runner.Log.Error("what is late is not known", "error", err)
		}
		return
	}
	for _, l := range s.lines {
		for _, j := range status.Jobs {
			if j.Job == l.job.Name && j.ConsentHeld != "" {
				for _, o := range observing[HoldObserver](s.runner) {
					o.Held(ctx, l.job, l.job.Every.At(s.clock.Now()), j.ConsentHeld)
				}
			}
			if j.Job != l.job.Name || !j.Late {
				continue
			}
			for _, o := range told {
				o.Late(ctx, l.job, l.job.Every.At(j.Due), j.Due)
			}
		}
	}
	for _, o := range told {
		o.Sweep(ctx)
	}
}

// overdue tells the observers what people have a right to by a day that has passed.
func (s *Scheduler) overdue(ctx context.Context) {
	told := observing[OverdueObserver](s.runner)
	if len(told) == 0 {
		return
	}
	all, err := s.runner.overdue(ctx, s.declared, s.closed)
	if err != nil {
		if ctx.Err() == nil {
			s.runner.Log.Error("what is overdue is not known", "error", err)
		}
		return
	}
	for _, o := range told {
		o.Overdue(ctx, all)
	}
}

func (s *Scheduler) jobs() []*Job {
	var out []*Job
	for _, l := range s.lines {
		out = append(out, l.job)
	}
	return out
}

// SchedulerState is how a scheduler stands.
type SchedulerState struct {
	Turned time.Time // wall clock of when it last looked at its schedules; zero: not yet
	Beat   time.Duration
	Jobs   []LineState
}

// LineState is how one job stands in a scheduler.
type LineState struct {
	Job   string
	Held  string         // why nothing may start, or ""
	Count map[string]int // what became of intervals: succeeded, rejected, failed, interrupted, left_out, given_up, done_elsewhere, cancelled
}

// State returns how the scheduler stands. It asks no store.
func (s *Scheduler) State() SchedulerState {
	out := SchedulerState{Beat: s.peers.age()}
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Turned = s.turned
	for _, l := range s.lines {
		x := LineState{Job: l.job.Name, Held: l.held, Count: map[string]int{}}
		for k, n := range s.count[l.job.Name] {
			x.Count[k] = n
		}
		out.Jobs = append(out.Jobs, x)
	}
	return out
}
