package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

// WaitingErasure is an erasure that is not finished: interrupted, or done but for rows that legal holds keep. Until it is finished its people stay marked under the key
// of its time.
type WaitingErasure struct {
	Erasure int        `json:"erasure"`
	Asked   time.Time  `json:"requested"`
	Holds   []int      `json:"holds"`           // that keep rows of its people; none: it was interrupted, or somebody is at it
	Until   *time.Time `json:"until,omitempty"` // when the last of them ends

	marks []event.Mark
}

// String says it in a line.
func (e WaitingErasure) String() string {
	if len(e.Holds) == 0 {
		return fmt.Sprintf("erasure %d is not finished: rapport purge finishes it", e.Erasure)
	}
	return fmt.Sprintf("%s of erasure %d until %s, and the first rapport purge after that finishes it", holdsKeep(e.Holds), e.Erasure, e.Until.UTC().Format("2006-01-02 15:04 UTC"))
}

// holdsKeep says which holds keep rows of people.
func holdsKeep(numbers []int) string {
	if len(numbers) == 1 {
		return fmt.Sprintf("legal hold %d keeps rows of people", numbers[0])
	}
	return fmt.Sprintf("legal holds %s keep rows of people", strings.Trim(strings.ReplaceAll(fmt.Sprint(numbers), " ", ", "), "[]"))
}

// waiting lists the erasures of a journal that are not finished, oldest first. Cost: a GET a hold, if one is held.
func (r *Runner) waiting(ctx context.Context, journal *event.Journal) ([]WaitingErasure, error) {
	_, entries := journal.Pending()
	if len(entries) == 0 {
		return nil, nil
	}
	holds, err := r.Holds(ctx)
	if err != nil {
		return nil, err
	}
	var out []WaitingErasure
	for _, e := range entries {
		w := WaitingErasure{Erasure: e.Epoch, Asked: e.Requested(), Holds: []int{}, marks: e.Marks}
		if e.Held != nil {
			w.Holds = slices.Clone(e.Held.Holds)
			w.Until = &time.Time{}
			for _, h := range holds {
				if end := h.Ended().UTC(); slices.Contains(w.Holds, h.Number) && end.After(*w.Until) {
					w.Until = &end
				}
			}
		}
		out = append(out, w)
	}
	return out, nil
}

// WaitingMarks are marks of erased people under one key that no rotation makes anew, and nobody may give up, until their erasure is finished.
type WaitingMarks struct {
	Key   string `json:"key_id"`
	Marks int    `json:"marks"`
	WaitingErasure
}

// String says it in a line.
func (m WaitingMarks) String() string {
	is := map[bool]string{true: "is", false: "are"}[m.Marks == 1]
	return fmt.Sprintf("of erased people %d %s marked under %s, and no rotation marks them anew, nor does --forget give them up, while it lasts: %s", m.Marks, is, m.Key, m.WaitingErasure)
}

// marksWaiting are the marks of erasures that wait, by erasure and key. Cost: as that of waiting.
func (r *Runner) marksWaiting(ctx context.Context, journal *event.Journal) (out []WaitingMarks, err error) {
	all, err := r.waiting(ctx, journal)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		n := map[string]int{}
		for _, m := range e.marks {
			n[m.KeyID]++
		}
		for _, id := range slices.Sorted(maps.Keys(n)) {
			out = append(out, WaitingMarks{id, n[id], e})
		}
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
		left = "and " + holdsKeep(b.Holds) + " of that erasure (rapport holds list)"
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
