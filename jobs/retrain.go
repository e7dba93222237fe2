package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
)

// retrainPrefix is where it stands, by model, which versions learned from people who have been erased since.
const retrainPrefix = "policy/retrain/"

// Owed is a training that an erasure has made due: versions of a model learned from people who are erased, and one that did not is to be live by a day, which
// stands in the receipt as well.
type Owed struct {
	Epoch   int       `json:"erasure"` // the first of the erasures
	Since   time.Time `json:"since"`   // when their people were denied
	Due     time.Time `json:"due"`
	Through int       `json:"through_version"` // the last version that may have learned from them
}

// Late reports whether the day has passed.
func (o *Owed) Late(now time.Time) bool { return now.After(o.Due) }

// String says what is owed.
func (o *Owed) String() string {
	return fmt.Sprintf("versions up to %d learned from people who were erased: a later one is to be live by %s", o.Through, o.Due.UTC().Format(time.DateOnly))
}

// owedFile is the object of one model.
type owedFile struct {
	Format int    `json:"format"` // 1
	Model  string `json:"model"`
	Owed   []Owed `json:"owed"` // by Through, ascending
	Nonce  string `json:"nonce"`
}

func owedKey(model string) string { return path.Join(retrainPrefix, model+".json") }

// readOwed reads what a model owes; an empty file if it is nothing.
func (r *Runner) readOwed(ctx context.Context, model string) (owedFile, storage.Cond, error) {
	body, info, err := storage.ReadAll(ctx, r.Bucket, owedKey(model))
	if errors.Is(err, storage.ErrNotFound) {
		return owedFile{Format: 1, Model: model}, storage.Cond{IfAbsent: true}, nil
	}
	var f owedFile
	if err == nil {
		err = knownFormat(body)
	}
	if err == nil && (strictJSON(body, &f) != nil || f.Model != model) {
		err = errDamaged
	}
	if err != nil {
		return f, storage.Cond{}, fmt.Errorf("which versions are to be trained anew: %s: %w", owedKey(model), err)
	}
	return f, storage.Cond{IfMatch: info.ETag}, nil
}

// owe writes down that all versions of a model up to one learned from people who are erased. What no longer holds for the live version, and what another entry of
// the same versions says with an earlier day, is dropped: there are never more entries than versions that were live. Cost: one GET and one PUT.
func (r *Runner) owe(ctx context.Context, model string, live int, o Owed) error {
	for range numberTurns {
		f, cond, err := r.readOwed(ctx, model)
		if err != nil {
			return err
		}
		f.Owed = append(slices.DeleteFunc(f.Owed, func(x Owed) bool { return x.Through < live }), o)
		slices.SortStableFunc(f.Owed, func(a, b Owed) int {
			if a.Through != b.Through {
				return a.Through - b.Through
			}
			return a.Due.Compare(b.Due)
		})
		f.Owed = slices.CompactFunc(f.Owed, func(a, b Owed) bool { return a.Through == b.Through })
		f.Nonce = r.NewID(r.Wall())
		body, err := json.Marshal(f)
		if err != nil {
			return fmt.Errorf("which versions are to be trained anew: %w", err)
		}
		_, err = storage.Commit(ctx, r.Bucket, owedKey(model), body, cond)
		if !errors.Is(err, storage.ErrPrecondition) {
			if err != nil {
				err = fmt.Errorf("which versions are to be trained anew: %w", err)
			}
			return err
		}
	}
	return fmt.Errorf("which versions are to be trained anew: others changed %s %d times at this moment: erase again", owedKey(model), numberTurns)
}

// owes says what the live version of a model owes, with the earliest day; nil if it is nothing, or none is live. What stands for a version that a rollback has
// made live again counts again.
func (r *Runner) owes(ctx context.Context, model string, live int) (*Owed, error) {
	if live == 0 {
		return nil, nil
	}
	f, _, err := r.readOwed(ctx, model)
	if err != nil {
		return nil, err
	}
	var first *Owed
	for i, o := range f.Owed {
		if o.Through >= live && (first == nil || o.Due.Before(first.Due)) {
			first = &f.Owed[i]
		}
	}
	return first, nil
}

// oldestLive is the lowest version that an alias points at, 0 if none does.
func oldestLive(live registry.Live) (version int) {
	for _, t := range live.Aliases {
		if version == 0 || t.Version < version {
			version = t.Version
		}
	}
	return version
}

// forgotten is what of erasures is in the keys of the steps that learn, beside the subject filter. Under consent that lists whoever counts, and an erasure changes it;
// where people count by default it lists nobody who is erased, before as after. Without it a run of the interval that is live would find nothing to do, and
// what learned from the erased would stay.
func (p *plan) forgotten(basis policy.Basis) []string {
	if basis != policy.LegitimateInterest {
		return nil
	}
	var out []string
	if n := p.journal.Epoch(); n > 0 {
		out = append(out, fmt.Sprintf("erasures %d", n))
	}
	if n := p.linked.last; n > 0 {
		out = append(out, fmt.Sprintf("links %d", n))
	}
	return out
}
