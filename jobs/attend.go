package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/rapport-ml/rapport/jobs/ledger"
)

// ErrCancelled says that somebody asked for the run to end. The error names who and why. What is done stays done, and the same command
// goes on from there.
var ErrCancelled = errors.New("cancelled")

// cancelled is the cause of a context that ended because of a request.
type cancelled struct{ ledger.Cancel }

func (c cancelled) Error() string { return ErrCancelled.Error() + " " + c.String() }
func (c cancelled) Unwrap() error { return ErrCancelled }

// attendance is how often a run is looked after from beside it, and so how long a request to end it may go unseen.
const attendance = 3 * time.Second

// attend looks after a run from beside it: it ends the returned context when the run has been asked to end, and writes to the ledger
// how far it has come. Errors of either are none of the run: the next tick tries again. stop waits for it to end; it may be called twice.
// Cost: one GET a tick, and one PUT whenever a step has begun or ended since the last.
func (w *work) attend(ctx context.Context, runs ledger.Ledger) (attended context.Context, stop func()) {
	attended, cancel := context.WithCancelCause(ctx)
	ticks, endTicks := w.ticks(attendance)
	note := *w.run // a copy, which nobody else writes to
	done := make(chan struct{})
	go func() {
		defer close(done)
		seen, mine := 0, true
		for {
			select {
			case <-attended.Done():
				return
			case <-ticks:
			}
			w.meter.Sample()
			if c, err := runs.Cancelled(attended, &note); err == nil && c != nil {
				cancel(cancelled{*c})
				return
			}
			w.mu.Lock()
			moved := w.moves != seen
			seen = w.moves
			note.Stage, note.Steps = w.stage, append([]ledger.Step{}, w.run.Steps...)
			if w.doing != nil {
				note.Steps = append(note.Steps, *w.doing)
			}
			w.mu.Unlock()
			if moved && mine {
				mine = !errors.Is(runs.Note(attended, &note), ledger.ErrTaken)
			}
		}
	}()
	return attended, func() {
		cancel(context.Canceled)
		<-done
		endTicks()
	}
}

// ticks is r.Ticks, or the machine's clock.
func (r *Runner) ticks(every time.Duration) (ticks <-chan time.Time, stop func()) {
	if r.Ticks != nil {
		return r.Ticks(every)
	}
	t := time.NewTicker(every)
	return t.C, t.Stop
}

// enter says at which stage the run is.
func (w *work) enter(stage string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stage = stage
	w.moves++
}

// begin says which step the run is at.
func (w *work) begin(s ledger.Step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Status = "running"
	w.doing = &s
	w.moves++
}

// end adds a step to the run's account.
func (w *work) end(s ledger.Step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.doing = nil
	w.run.Steps = append(w.run.Steps, s)
	w.moves++
}
