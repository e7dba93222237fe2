package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage"
)

// UnfinishedErasure is an erasure that was asked for and is not done. Until it is, rows of its people may be left, and builds go on from nothing.
type UnfinishedErasure struct {
	Erasure  int       `json:"erasure"`
	Asked    time.Time `json:"requested"`
	Age      float64   `json:"age_seconds"` // since it was asked for
	UnderWay bool      `json:"under_way"`   // somebody is at it; else who was has died, or has failed
}

// UnfinishedErasures lists the erasures that are not done, but for what legal holds keep, oldest first. It changes nothing. Cost: the journal, and a GET.
func (r *Runner) UnfinishedErasures(ctx context.Context) ([]UnfinishedErasure, error) {
	journal, err := event.OpenJournal(ctx, r.Bucket)
	if err != nil {
		return nil, err
	}
	if !journal.UnderWay() {
		return nil, nil
	}
	now := r.Wall()
	lease, err := storage.ReadLease(ctx, r.Bucket, eraseLease)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("erasures: %w", err)
	}
	atIt := err == nil && !lease.Free(now) && (r.Dead == nil || !r.Dead(lease.Holder))
	var out []UnfinishedErasure
	_, entries := journal.Pending()
	for _, e := range entries {
		if e.Held == nil {
			asked := e.Requested()
			out = append(out, UnfinishedErasure{Erasure: e.Epoch, Asked: asked, Age: now.Sub(asked).Seconds(), UnderWay: atIt})
		}
	}
	return out, nil
}

// FinishErasures carries out what is left of erasures that were interrupted; each leaves its receipt, as Erase says. It returns nil where there is none, and
// where somebody is at them. Cost: the journal, and where there is one, that of an erasure.
func (r *Runner) FinishErasures(ctx context.Context, js []*Job) (*Erased, error) {
	journal, err := event.OpenJournal(ctx, r.Bucket)
	if err != nil || !journal.UnderWay() {
		return nil, err
	}
	if r.Keys.IsZero() {
		return nil, fmt.Errorf("finish an erasure that was interrupted: %w", event.ErrNoKey)
	}
	out, err := r.EraseOn(ctx, js, nil, Terms{})
	switch {
	case errors.Is(err, storage.ErrHeld), errors.Is(err, ErrUnknownSubjects): // somebody is at it, or has finished it by now
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("finish an erasure that was interrupted: %w", err)
	}
	return out, nil
}

// finishEvery is how often a scheduler looks for erasures that were interrupted.
const finishEvery = 5 * time.Minute

// finishErasures finishes erasures whose process has died, so that nobody has to ask again. It is called by one goroutine, about once a minute.
func (s *Scheduler) finishErasures(ctx context.Context) {
	now := s.clock.Now()
	if s.runner.Keys.IsZero() || now.Before(s.unfinishedNot) {
		return
	}
	s.unfinishedNot = now.Add(finishEvery)
	out, err := s.runner.FinishErasures(ctx, s.retention.jobs)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.runner.Log.Error("an erasure that was interrupted is not finished", "error", err, "again", s.unfinishedNot)
	case out != nil:
		s.runner.Log.Warn("an erasure that had been interrupted is finished", "erasure", out.Epoch, "rows", out.Rows, "online_rows", out.Online, "receipts", out.Receipts)
	}
}

// ErasedBefore are people who were asked to be erased, and are erased already: their marks are recognized, and nothing else tells of them.
type ErasedBefore struct {
	Erasure int       `json:"erasure"`
	Asked   time.Time `json:"requested"`
	People  int       `json:"people"`          // of those who were asked for
	Done    bool      `json:"finished"`        // nothing of anybody of this erasure is left
	Holds   []int     `json:"holds,omitempty"` // that keep rows of people of this erasure
}

// String says it in a line.
func (b ErasedBefore) String() string {
	left := "and nothing of them is left"
	switch {
	case len(b.Holds) > 0:
		left = "and legal holds keep rows of people of that erasure (" + strings.Trim(fmt.Sprint(b.Holds), "[]") + "; rapport holds list)"
	case !b.Done:
		left = "which is not finished"
	}
	return fmt.Sprintf("%d of them erased already, by erasure %d, asked for on %s, %s", b.People, b.Erasure, b.Asked.UTC().Format(time.DateOnly), left)
}

// erasedBefore finds people, by canonical id, whom an erasure of the journal marks: each under the last.
func (r *Runner) erasedBefore(journal *event.Journal, canonical []string) (out []ErasedBefore) {
	last := map[event.Mark]int{} // mark → index of the last entry that has it
	entries := journal.Entries()
	for i, e := range entries {
		for _, m := range e.Marks {
			last[m] = i
		}
	}
	people := map[int]int{}
	for _, id := range canonical {
		found := -1
		for _, m := range r.marksOf([]string{id}, true) {
			if i, ok := last[m]; ok {
				found = max(found, i)
			}
		}
		if found >= 0 {
			people[found]++
		}
	}
	for i, e := range entries {
		if people[i] == 0 {
			continue
		}
		b := ErasedBefore{Erasure: e.Epoch, Asked: e.Requested(), People: people[i], Done: e.Finished != nil}
		if e.Finished == nil && e.Held != nil {
			b.Holds = slices.Clone(e.Held.Holds)
		}
		out = append(out, b)
	}
	return out
}
