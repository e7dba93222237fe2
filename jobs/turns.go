package jobs

import (
	"context"
	"sync"
)

// turns lets runs of one process that are at the same step do it once: the first does it, the others wait and find it done. Between
// processes nothing is shared, and the first commit stands. A nil *turns is of a run alone.
type turns struct {
	mu   sync.Mutex
	busy map[string]chan struct{} // by step key; closed when whoever is at it leaves
}

// enter waits until nobody is at the step. leave must be called.
func (t *turns) enter(ctx context.Context, key string) (leave func(), err error) {
	if t == nil {
		return func() {}, nil
	}
	for {
		t.mu.Lock()
		other, busy := t.busy[key]
		if !busy {
			if t.busy == nil {
				t.busy = map[string]chan struct{}{}
			}
			mine := make(chan struct{})
			t.busy[key] = mine
			t.mu.Unlock()
			return func() {
				t.mu.Lock()
				defer t.mu.Unlock()
				delete(t.busy, key)
				close(mine)
			}, nil
		}
		t.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// place is a run's among those of a backfill: versions get their numbers in the order of the intervals, as if one had run after another.
// A nil *place is of a run alone.
type place struct {
	before <-chan struct{} // closed when the run before has registered its version, or ended without; nil: there is none
	passed chan struct{}
	once   sync.Once
}

// wait waits until it is the run's turn to register.
func (p *place) wait(ctx context.Context) error {
	if p == nil || p.before == nil {
		return nil
	}
	select {
	case <-p.before:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pass lets the next one register. It may be called more than once.
func (p *place) pass() {
	if p != nil {
		p.once.Do(func() { close(p.passed) })
	}
}
