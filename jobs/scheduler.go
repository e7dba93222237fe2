package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Scheduler starts the runs of a project's jobs when they fall due, as rapport serve does. Which intervals those are is said by
// schedule.Agenda; whether one of them is done, tried too often, or under way elsewhere is read from the ledger and the leases, so that any
// number of schedulers over one bucket run each interval once, and one that is started again knows what it did.
//
// An attempt that failed is repeated 5, 15 and 45 minutes after its end, whoever made it, and then given up, as it is when the next interval
// falls due. Refusals by the gate, requests to cancel, and faults that time does not mend are not repeated. A source that is not ready is asked
// again every 15 minutes until the next interval falls due; that counts as no attempt.
type Scheduler struct {
	runner  *Runner
	clock   Clock
	drain   time.Duration
	peers   *peers
	run     func(context.Context, *Job, table.Interval, Options) (*Result, error)
	lines   []*line
	wake    chan struct{}
	ledgers *ledgers
	feed    *feed

	retention *retention

	unfinishedNot time.Time // before which no erasure that was interrupted is looked for; used by one goroutine

	declared []*Job          // those without a schedule as well
	closed   map[string]bool // keys of requests that need not be read again; used by one goroutine

	mu     sync.Mutex
	turned time.Time // wall clock of the last turn
	ended  []ended
	count  map[string]map[string]int // job → what became of an interval → how often
}

// line is one job on its schedule.
type line struct {
	job    *Job
	agenda *schedule.Agenda
	cancel map[table.Interval]context.CancelCauseFunc // of what runs
	held   string                                     // why nothing may start; guarded by Scheduler.mu
	away   bool                                       // the bucket could not be asked
	begun  bool                                       // what was begun before this scheduler was there is on the agenda
}

// ended is a run that has come back.
type ended struct {
	line  *line
	entry schedule.Entry
	res   *Result
	err   error
}

// SchedulerOptions are what a scheduler needs besides a runner.
type SchedulerOptions struct {
	Clock    Clock
	Drain    time.Duration // how long runs may go on once the scheduler is to stop
	Takeover bool          // start jobs also if another server declares them otherwise: that one gives way
}

// NewScheduler makes a scheduler for the jobs that have a schedule. Runs see the time of its clock.
func NewScheduler(r *Runner, js []*Job, o SchedulerOptions) *Scheduler {
	own := *r
	own.Now, own.turns = o.Clock.Now, &turns{}
	s := &Scheduler{
		runner: &own, clock: o.Clock, drain: o.Drain, run: own.Run, wake: make(chan struct{}, 1), count: map[string]map[string]int{},
		peers: newPeers(&own, js, o.Takeover), ledgers: newLedgers(&own, js, o.Clock.Now()), feed: newFeed(js), retention: newRetention(&own, js, o.Clock.Now()), declared: js, closed: map[string]bool{},
	}
	for _, j := range js {
		if j.Due.IsZero() {
			continue
		}
		s.lines = append(s.lines, &line{
			job: j, cancel: map[table.Interval]context.CancelCauseFunc{},
			agenda: schedule.NewAgenda(schedule.Rules{Due: j.Due, Every: j.Every, Overlap: j.Overlap, CatchUp: j.CatchUp}, o.Clock.Now()),
		})
	}
	return s
}

// Causes for which a scheduler cancels its runs.
var (
	errReplaced = errors.New("the next interval fell due, and overlap is cancel-other")
	// ErrHurried says that runs were cancelled because the scheduler was to stop. What is done stays done, and the next start resumes them.
	ErrHurried = errors.New("the server was stopped before the run had ended")
)

// Run follows the schedules until ctx ends, and then drains: no run starts any more, and those under way may end within the drain time, or until
// hurry is closed; then they are cancelled, and Run returns ErrHurried.
func (s *Scheduler) Run(ctx context.Context, hurry <-chan struct{}) error {
	runs, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	for ctx.Err() == nil {
		s.collect()
		next := s.turn(ctx, runs)
		if err := s.clock.Wait(ctx, next, s.running(), s.wake); err != nil {
			break
		}
	}
	return s.stop(runs, cancel, hurry)
}

// stop drains.
func (s *Scheduler) stop(runs context.Context, cancel context.CancelCauseFunc, hurry <-chan struct{}) error {
	s.collect()
	n := s.running()
	if n == 0 {
		return nil
	}
	s.runner.Log.Info("no run starts any more; waiting for those under way", "runs", n, "at_most", s.drain)
	ctx, hurried := context.WithCancel(runs)
	defer hurried()
	select {
	case <-hurry:
		hurried()
	default:
		go func() {
			select {
			case <-hurry:
				hurried()
			case <-ctx.Done():
			}
		}()
	}
	deadline := s.clock.Now().Add(s.drain)
	for s.running() > 0 && ctx.Err() == nil && s.clock.Now().Before(deadline) {
		if err := s.clock.Wait(ctx, deadline, s.running(), s.wake); err != nil {
			break
		}
		s.collect()
	}
	if s.running() == 0 {
		return nil
	}
	n = s.running()
	cancel(ErrHurried)
	for s.running() > 0 {
		<-s.wake
		s.collect()
	}
	return fmt.Errorf("%w: %d cancelled; they are resumed when it is started again", ErrHurried, n)
}

func (s *Scheduler) running() (n int) {
	for _, l := range s.lines {
		n += l.agenda.Running()
	}
	return n
}

// turn follows every schedule up to now and starts what may start. It returns when to look again.
func (s *Scheduler) turn(ctx, runs context.Context) (next time.Time) {
	for _, l := range s.lines {
		now := s.clock.Now()
		dropped, cancel := l.agenda.Tick(now)
		s.dropped(l, dropped)
		if cancel {
			for _, c := range l.cancel {
				c(errReplaced)
			}
		}
		s.startDue(ctx, runs, l)
		at := l.agenda.Wake(now)
		if l.held != "" || !at.After(now) { // what is held waits for a poll, or for the next firing where nobody polls
			at = l.job.Due.Next(now)
		}
		if again := now.Add(askBucket); l.away && (at.IsZero() || again.Before(at)) {
			at = again
		}
		if next.IsZero() || !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	s.mu.Lock()
	s.turned = s.runner.Wall()
	s.mu.Unlock()
	return next
}

// startDue starts what a job's agenda says, if nothing forbids it. What may not start goes when its window has passed; what cannot be asked about, because
// the bucket is away, stays until the next interval falls due: an outage that made a run fail must not eat its retries as well.
func (s *Scheduler) startDue(ctx, runs context.Context, l *line) {
	for ctx.Err() == nil && (!l.begun || l.agenda.Ready(s.clock.Now())) {
		ask, cancel := context.WithTimeout(ctx, askTime)
		why, err := s.next(ask, runs, l)
		cancel()
		if l.away = err != nil; l.away {
			why = "the bucket cannot be asked: " + err.Error()
		}
		s.mu.Lock()
		told := why == l.held
		l.held = why
		s.mu.Unlock()
		if why == "" {
			continue
		}
		if !told {
			s.runner.Log.Warn("job held", "job", l.job.Name, "why", why)
		}
		if !l.away {
			s.dropped(l, l.agenda.Held(s.clock.Now(), why))
		}
		return
	}
	s.mu.Lock()
	if l.agenda.Waiting() == 0 {
		l.held = ""
	}
	s.mu.Unlock()
}

// Of questions to the bucket: how long one may take, and how long after one that failed the next is asked at the latest.
const (
	askTime   = time.Minute
	askBucket = time.Minute
)

// next starts the next entry of a job's agenda, or says why none may start.
func (s *Scheduler) next(ctx, runs context.Context, l *line) (why string, err error) {
	if !l.begun {
		if err := s.recall(ctx, l); err != nil {
			return "", err
		}
		l.begun = true
		if !l.agenda.Ready(s.clock.Now()) {
			return "", nil
		}
	}
	if why, err = s.forbidden(ctx, l.job); err == nil && why == "" {
		err = s.startOne(ctx, runs, l)
	}
	return why, err
}

// recall puts on the agenda what was begun by schedule before this scheduler was there, when the job last fell due: a server that is started again, or
// another in its place, goes on with it also if it is too late to begin it. Whether it is done, consult says.
func (s *Scheduler) recall(ctx context.Context, l *line) error {
	missed := l.agenda.Rules().Missed(s.clock.Now())
	if len(missed) == 0 {
		return nil
	}
	due := missed[0].Due
	lines, err := ledger.Ledger{Bucket: s.runner.Bucket}.List(ctx, due, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		return err
	}
	begun := map[string]bool{}
	for _, x := range lines {
		if x.Job == l.job.Name && x.Cause == causeSchedule {
			open := x.Status != ledger.Succeeded && x.Status != ledger.Rejected && x.Fault != faultCancelled
			if was, ok := begun[x.Label]; !ok || was {
				begun[x.Label] = open // newest first: what has ended well once is done
			}
		}
	}
	for _, e := range missed {
		if begun[l.job.Every.Label(e.Interval)] {
			l.agenda.Resume(e)
		}
	}
	return nil
}

// forbidden says why no run of a job may start now, or "".
func (s *Scheduler) forbidden(ctx context.Context, job *Job) (string, error) {
	if why := s.peers.yields(job.Name); why != "" {
		return why, nil
	}
	p, err := s.runner.Paused(ctx, job.Name)
	if err != nil || p == nil {
		return "", err
	}
	return "paused " + p.String(), nil
}

// startOne takes the next entry of the agenda and starts it, unless the ledger says that there is nothing to start. An error leaves it where it was.
func (s *Scheduler) startOne(ctx, runs context.Context, l *line) error {
	now := s.clock.Now()
	e, dropped, ok := l.agenda.Start(now)
	s.dropped(l, dropped)
	if !ok {
		return nil
	}
	v, err := s.consult(ctx, l.job, e, now)
	if err != nil {
		l.agenda.Back(e)
		return err
	}
	if !s.unwanted(l, e, v, now) {
		s.start(runs, l, e)
	}
	return nil
}

// unwanted puts an entry where a verdict wants it, and reports whether that is anywhere but in a run.
func (s *Scheduler) unwanted(l *line, e schedule.Entry, v verdict, now time.Time) bool {
	switch {
	case v.finished != "":
		l.agenda.Finished(e)
		s.counted(l, v.as)
		s.runner.Log.Info("interval not started", "job", l.job.Name, "interval", e.Interval.String(), "why", v.finished)
	case v.elsewhere:
		l.agenda.Elsewhere(e, now.Add(lookAgain))
	case v.again.After(now):
		l.agenda.Again(e, v.again)
	default:
		return false
	}
	return true
}

// start starts a run.
func (s *Scheduler) start(runs context.Context, l *line, e schedule.Entry) {
	ctx, cancel := context.WithCancelCause(runs)
	l.cancel[e.Interval] = cancel
	go func() {
		res, err := s.run(ctx, l.job, e.Interval, Options{Through: ThroughPublish, Cause: causeSchedule, unless: func(ctx context.Context) error {
			// Another server may have ended its run between our look at the ledger and its lease.
			v, err := s.consult(ctx, l.job, e, s.clock.Now())
			if err == nil && (v.finished != "" || v.again.After(s.clock.Now())) {
				err = unwanted{v}
			}
			return err
		}})
		if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
			err = errors.Join(cause, err)
		}
		s.mu.Lock()
		s.ended = append(s.ended, ended{l, e, res, err})
		s.mu.Unlock()
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}()
}

// collect takes in the runs that have ended.
func (s *Scheduler) collect() {
	s.mu.Lock()
	all := s.ended
	s.ended = nil
	s.mu.Unlock()
	now := s.clock.Now()
	for _, x := range all {
		l := x.line
		l.cancel[x.entry.Interval](nil)
		delete(l.cancel, x.entry.Interval)
		log := s.runner.Log.With("job", l.job.Name, "interval", x.entry.Interval.String())
		var not unwanted
		switch err := x.err; {
		case errors.As(err, &not):
			s.unwanted(l, x.entry, not.verdict, now)
			continue
		case err == nil, errors.Is(err, ErrRejected):
			l.agenda.Finished(x.entry)
		case x.res == nil && errors.Is(err, storage.ErrHeld), errors.Is(err, storage.ErrLost):
			log.Info("another process is at this interval", "error", err)
			l.agenda.Elsewhere(x.entry, now.Add(lookAgain))
			continue // it is not ours to count
		case errors.Is(err, errReplaced), errors.Is(err, ErrHurried), errors.Is(err, ErrCancelled), errors.Is(err, ErrOpenInterval), errors.Is(err, errNoKeys):
			log.Warn("run ended for good", "error", err)
			l.agenda.Finished(x.entry)
		case errors.Is(err, ErrNotReady):
			log.Info("the source is not ready", "error", err, "again", now.Add(notReady))
			l.agenda.Again(x.entry, now.Add(notReady))
		default: // when to try again, and whether, the ledger says
			log.Error("run failed", "error", err)
			l.agenda.Again(x.entry, now.Add(backoff(1)))
		}
		status := ledger.Failed
		if x.res != nil {
			status = x.res.Status
		}
		s.counted(l, string(status))
	}
}

// dropped says which intervals are not started, and why.
func (s *Scheduler) dropped(l *line, all []schedule.Dropped) {
	for _, d := range all {
		s.runner.Log.Warn("interval left out", "job", l.job.Name, "interval", d.Interval.String(), "due", d.Due, "why", d.Why,
			"remedy", fmt.Sprintf("rapport run %s --at %s", l.job.Name, d.Interval.End.UTC().Format(time.RFC3339)))
		s.counted(l, "left_out")
	}
}

func (s *Scheduler) counted(l *line, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[l.job.Name] == nil {
		s.count[l.job.Name] = map[string]int{}
	}
	s.count[l.job.Name][what]++
}
