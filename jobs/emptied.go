package jobs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
)

// noData is an ErrNoData that says what became of the rows, and what there is to do about that.
type noData struct {
	says   string // where, and the funnel
	remedy string // "": none is known
}

func (e noData) Error() string {
	if e.remedy == "" {
		return ErrNoData.Error() + e.says
	}
	return ErrNoData.Error() + e.says + ": " + e.remedy
}

func (e noData) Is(target error) bool { return target == ErrNoData }

// nothing is the error of an interval that holds no event.
func (w *work) nothing() error {
	r := w.res
	switch {
	case w.gone:
		return noData{fmt.Sprintf(" in %s any more (when it was read: %s)", w.iv, r.Funnel), r.Remedy}
	case r.Remedy != "":
		return noData{fmt.Sprintf(" in %s: %s", w.iv, r.Funnel), r.Remedy}
	}
	return fmt.Errorf("%w in %s: no file of the source holds rows of it; --at names another interval, and rapport plan shows which files were looked at", ErrNoData, w.iv)
}

// emptied says why nothing stands any more of what was kept when the interval was read, and what there is to do. by is who wrote last what is left of its days, as
// successors name their writers. Cost: one GET, where that was an erasure.
func (w *work) emptied(ctx context.Context, by string) (string, error) {
	w.gone = true
	const kept = "what was kept is gone since"
	var number int
	if _, err := fmt.Sscanf(by, "purge %d", &number); err == nil {
		keep := "as long as it was to be kept"
		if d := w.job.Training.Keep["events"]; d > 0 {
			keep = fmt.Sprintf("longer than purposes.%s.keep.events lets them be kept, %s", w.job.Training.Name, features.FormatWindow(d))
		}
		return fmt.Sprintf("%s, the last of it by %s: its events have stood %s. Nothing is to be mended; --at names an interval that is kept", kept, by, keep), nil
	}
	if _, err := fmt.Sscanf(by, "erasure %d", &number); err != nil {
		return kept, nil
	}
	entries := w.journal.Entries()
	i := slices.IndexFunc(entries, func(e event.Entry) bool { return e.Kind == event.KindErase && e.Epoch == number })
	if i < 0 || len(entries[i].Marks) > 0 {
		return fmt.Sprintf("%s, the last of it by %s: everybody was erased whose events it held, and nothing is to be mended", kept, by), nil
	}
	records, err := event.ReadKeyRecords(ctx, w.Bucket)
	if err != nil {
		return "", err
	}
	then := "days that are read from now on hold events again, of the same people as new ones"
	if l := recordOf(records, entries[i].Key).Lost; l != nil && l.Before != nil {
		then = "what is from before " + l.Before.UTC().Format(time.RFC3339) + " counts no more of an id that nobody knew by then; later events do, by a basis that is recorded after that"
	}
	return fmt.Sprintf("%s, the last of it by %s: nobody could tell whose it was when key %s was given up. The interval cannot be had again; %s", kept, by, entries[i].Key, then), nil
}

// strangers says of the last key that was given up while people had refused something what that means for the ids that it alone might have recognized; "" if that was before
// the interval began, or there is none. Cost: one GET.
func (w *work) strangers(ctx context.Context) (string, error) {
	records, err := event.ReadKeyRecords(ctx, w.Bucket)
	if err != nil {
		return "", err
	}
	var last event.KeyRecord
	for _, r := range records {
		if l := r.Lost; l != nil && l.Before != nil && l.Before.After(w.iv.Start) && (last.Lost == nil || l.Before.After(*last.Lost.Before)) {
			last = r
		}
	}
	if last.Lost == nil {
		return "", nil
	}
	return fmt.Sprintf("erased: nobody can tell whose these ids are since key %s was given up (%s), and they may be of people who had refused. What is from before %s counts of none of them; later events do, by a basis that is recorded after that: import one",
		last.ID, last.Lost.At.UTC().Format(time.DateOnly), last.Lost.Before.UTC().Format(time.RFC3339)), nil
}
