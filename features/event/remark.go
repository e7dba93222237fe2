package event

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/storage"
)

// Remarks look for erased people among ids that are read, so that who stands in a source is recognized by the current key, and a previous one need not be
// kept for their sake. They are of one goroutine. A nil *Remarks looks for nobody.
type Remarks struct {
	keys  []Keys // current first
	under map[Mark]bool
	found map[Mark]Mark // a mark under a previous key → that of the same id under the current one
}

// Remarks returns those of the erasures that are finished and were marked under a previous key of the table.
func (j *Journal) Remarks(ids *Identities) *Remarks {
	r := &Remarks{keys: ids.keys, under: map[Mark]bool{}, found: map[Mark]Mark{}}
	if len(r.keys) < 2 {
		return r
	}
	for _, e := range j.entries {
		for _, m := range e.Marks {
			previous := slices.ContainsFunc(r.keys[1:], func(k Keys) bool { return k.id == m.KeyID })
			if e.Finished != nil && previous {
				r.under[m] = true
			}
		}
	}
	return r
}

// look holds an id against the marks. Cost: an HMAC a previous key, while there is a mark that nobody has been found for.
func (r *Remarks) look(canonical string) {
	if r.Left() == 0 {
		return
	}
	for _, form := range Forms(canonical) {
		for _, k := range r.keys[1:] {
			if m := MarkOf(k, form); r.under[m] {
				r.found[m] = MarkOf(r.keys[0], canonical)
			}
		}
	}
}

// Found is how many marks can be brought under the current key, and Left how many cannot: nobody has been read whose they are.
func (r *Remarks) Found() int {
	if r == nil {
		return 0
	}
	return len(r.found)
}

// Left is how many marks stand under previous keys and are nobody's who has been read.
func (r *Remarks) Left() int {
	if r == nil {
		return 0
	}
	return len(r.under) - len(r.found)
}

// Remark replaces marks under previous keys by those of the same people under the current one. What the entries say stays as it is. It can be repeated after a
// crash. Cost: one conditional write for each erasure that has such a mark.
func (j *Journal) Remark(ctx context.Context, r *Remarks) error {
	if r.Found() == 0 {
		return nil
	}
	for range maxRetries {
		err := j.remark(ctx, r)
		if !errors.Is(err, storage.ErrPrecondition) {
			return err
		}
		if err := j.Refresh(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("mark erased people under another key: other writers came first %d times: run again", maxRetries)
}

func (j *Journal) remark(ctx context.Context, r *Remarks) error {
	for i, e := range j.entries {
		if e.Finished == nil || !slices.ContainsFunc(e.Marks, func(m Mark) bool { _, ok := r.found[m]; return ok }) {
			continue
		}
		e.Marks = slices.Clone(e.Marks)
		for at, m := range e.Marks {
			if now, ok := r.found[m]; ok {
				e.Marks[at] = now
			}
		}
		slices.SortFunc(e.Marks, func(a, b Mark) int { return strings.Compare(a.MAC, b.MAC) })
		body, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("mark erased people under another key: %w", err)
		}
		info, err := storage.Commit(ctx, j.bucket, journalKey(e.Seq), body, storage.Cond{IfMatch: j.infos[i].ETag})
		if err != nil {
			return fmt.Errorf("mark erased people under another key: journal entry %d: %w", e.Seq, err)
		}
		j.entries[i], j.infos[i] = e, info
	}
	return nil
}

// LastMarked is when the last of the erasures was asked for whose marks stand under a key, and whether all of these are finished; the zero time: there is none.
func (j *Journal) LastMarked(keyID string) (at time.Time, finished bool) {
	finished = true
	for _, e := range j.entries {
		if !slices.ContainsFunc(e.Marks, func(m Mark) bool { return m.KeyID == keyID }) {
			continue
		}
		finished = finished && e.Finished != nil
		if e.At.After(at) {
			at = e.At
		}
	}
	return at, finished
}
