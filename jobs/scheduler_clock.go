package jobs

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Clock is a scheduler's time.
type Clock interface {
	Now() time.Time
	// Wait returns when until has come (the zero time never does), when there is a wake, or when ctx ends; it may return early. running says how
	// many runs are under way. ErrOver says that the clock's time is over.
	Wait(ctx context.Context, until time.Time, running int, wake <-chan struct{}) error
}

// ErrOver says that a simulated clock has come to its end.
var ErrOver = errors.New("the simulated time is over")

// poll is how often a scheduler looks at the clock and the bucket although it expects nothing: so long does a pause need to be seen, and a clock
// that was set to be noticed.
const poll = 10 * time.Second

// WallClock is the machine's clock.
func WallClock(now func() time.Time) Clock { return wallClock(now) }

type wallClock func() time.Time

func (c wallClock) Now() time.Time { return c() }

func (c wallClock) Wait(ctx context.Context, until time.Time, _ int, wake <-chan struct{}) error {
	d := poll
	if !until.IsZero() {
		d = min(d, max(until.Sub(c()), time.Millisecond))
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-t.C:
	}
	return nil
}

// Simulation is a clock that goes from one instant at which something happens to the next, and stands still while anything runs: a week of nights
// takes as long as its runs, and each sees the time at which it fell due.
type Simulation struct {
	to time.Time

	mu  sync.Mutex
	now time.Time
}

// NewSimulation begins at from and is over after to.
func NewSimulation(from, to time.Time) *Simulation { return &Simulation{now: from, to: to} }

// Now returns the simulated time.
func (c *Simulation) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Wait waits for what runs, if anything does; else it sets the clock to until.
func (c *Simulation) Wait(ctx context.Context, until time.Time, running int, wake <-chan struct{}) error {
	if running > 0 {
		select {
		case <-ctx.Done():
		case <-wake:
		}
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if until.IsZero() || until.After(c.to) {
		c.now = c.to
		return ErrOver
	}
	if until.After(c.now) {
		c.now = until
	}
	return nil
}
