package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

const (
	holdPrefix  = "policy/holds/"
	maxHolds    = 10_000 // that are read
	maxHoldText = 500    // bytes of a reason
)

// Errors of holds.
var (
	// ErrNoHold says that there is no hold of this number.
	ErrNoHold = errors.New("no such hold")
	// ErrBadHold says that a hold can't be as it was asked for.
	ErrBadHold = errors.New("legal hold")
)

// Hold keeps data from being removed, for a reason and until a time: neither a purge nor an erasure takes what it holds. It lets nobody use it:
// retention and decisions filter what is read as before. It stands at policy/holds/, is never deleted, and ends by itself.
type Hold struct {
	Format   int         `json:"format"` // 1
	Number   int         `json:"number"` // 1, 2, …
	Class    string      `json:"class"`  // one of policy.Classes
	Job      string      `json:"job,omitempty"`
	From     time.Time   `json:"from,omitzero"` // of event times, or of the intervals that something was made for: [from, to)
	To       time.Time   `json:"to,omitzero"`
	Reason   string      `json:"reason"`
	Until    time.Time   `json:"until"` // when it ends
	At       time.Time   `json:"at"`
	By       string      `json:"by"`
	Released *HoldChange `json:"released,omitempty"`
	Nonce    string      `json:"nonce"`
}

// HoldChange is how a hold ended before its time.
type HoldChange struct {
	At  time.Time `json:"at"`
	By  string    `json:"by"`
	Why string    `json:"why"`
}

// Ended is when the hold ended, or will end.
func (h *Hold) Ended() time.Time {
	if h.Released != nil && h.Released.At.Before(h.Until) {
		return h.Released.At
	}
	return h.Until
}

// InForce reports whether the hold keeps anything now.
func (h *Hold) InForce(now time.Time) bool { return now.Before(h.Ended()) }

// State says how the hold stands: in force, released or ended.
func (h *Hold) State(now time.Time) string {
	switch {
	case h.InForce(now):
		return "in force"
	case h.Released != nil:
		return "released"
	}
	return "ended"
}

func (h *Hold) String() string {
	says := "class " + h.Class
	if h.Job != "" {
		says += " of job " + h.Job
	}
	if !h.From.IsZero() {
		says += " from " + h.From.UTC().Format(time.RFC3339)
	}
	if !h.To.IsZero() {
		says += " to " + h.To.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("hold %d of %s until %s: %s", h.Number, says, h.Until.UTC().Format(time.RFC3339), h.Reason)
}

// covers reports whether the hold holds something at a time (µs).
func (h *Hold) covers(t int64) bool {
	return (h.From.IsZero() || t >= table.Micros(h.From)) && (h.To.IsZero() || t < table.Micros(h.To))
}

// meets reports whether the hold holds something of an interval.
func (h *Hold) meets(iv table.Interval) bool {
	return (h.From.IsZero() || h.From.Before(iv.End)) && (h.To.IsZero() || iv.Start.Before(h.To))
}

// holdRegister holds them.
var holdRegister = numbered[Hold]{
	what: "the legal holds", one: "hold", prefix: holdPrefix, must: ", for what it holds may not be removed", most: maxHolds,
	decode: decodeHold, number: func(h *Hold) *int { return &h.Number },
}

// Holds reads all holds, by number, also those that have ended. Cost: one listing, and one GET a hold.
func (r *Runner) Holds(ctx context.Context) ([]Hold, error) { return holdRegister.all(ctx, r.Bucket) }

// inForce are the holds that keep something now.
func (r *Runner) inForce(ctx context.Context) ([]Hold, error) {
	all, err := r.Holds(ctx)
	now := r.Wall()
	return slices.DeleteFunc(all, func(h Hold) bool { return !h.InForce(now) }), err
}

// decodeHold reads a hold. Its errors repeat nothing of it.
func decodeHold(body []byte) (*Hold, error) {
	if err := knownFormat(body); err != nil {
		return nil, err
	}
	h := new(Hold)
	err := strictJSON(body, h)
	if err != nil || h.Number < 1 || !slices.Contains(policy.Classes, h.Class) || h.Until.IsZero() || h.Reason == "" || !h.To.IsZero() && !h.From.Before(h.To) {
		return nil, errDamaged
	}
	return h, nil
}

// AddHold keeps a class of data, of all jobs or of one, of all times or of some, from being removed until a time. h holds what is asked for: Class, Job, From,
// To, Reason, Until, By. It holds from when AddHold returns: what a purge that is under way removed before is gone.
func (r *Runner) AddHold(ctx context.Context, h Hold) (*Hold, error) {
	var faults []string
	bad := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	now := r.Wall().UTC()
	h.Reason = strings.TrimSpace(h.Reason)
	if !slices.Contains(policy.Classes, h.Class) {
		bad("no class of this name: want one of %s", strings.Join(policy.Classes, ", "))
	}
	if h.Reason == "" {
		bad("it needs a reason, which those are told whose data it keeps")
	}
	if h.Until.IsZero() {
		bad("it needs an end: one that goes on is renewed")
	} else if !h.Until.After(now) {
		bad("it would have ended at %s, before now", h.Until.UTC().Format(time.RFC3339))
	}
	if !h.To.IsZero() && !h.From.Before(h.To) {
		bad("from %s to %s is no time: to comes after from, and is the first moment that is not held", h.From.UTC().Format(time.RFC3339), h.To.UTC().Format(time.RFC3339))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrBadHold, strings.Join(faults, "; "))
	}
	if err := r.checkHoldText(ctx, h.Reason); err != nil {
		return nil, err
	}
	h.Format, h.At, h.Released, h.Nonce = 1, now, nil, r.NewID(now)
	h.From, h.To, h.Until = h.From.UTC(), h.To.UTC(), h.Until.UTC()
	held, err := r.inForce(ctx)
	if err != nil {
		return nil, fmt.Errorf("add a legal hold: %w", err)
	}
	for _, x := range held { // what two hold alike is told as held by one, and would seem free when that one is released
		if x.Class == h.Class && x.Job == h.Job && x.From.Equal(h.From) && x.To.Equal(h.To) && x.Until.Equal(h.Until) && x.Reason == h.Reason {
			return nil, fmt.Errorf("%w: hold %d says the same, and is in force", ErrBadHold, x.Number)
		}
	}
	if err := holdRegister.add(ctx, r.Bucket, &h, nil); err != nil {
		return nil, fmt.Errorf("add a legal hold: %w", err)
	}
	return &h, nil
}

// ReleaseHold ends a hold before its time. What it held goes with the next purge.
func (r *Runner) ReleaseHold(ctx context.Context, number int, why, by string) (*Hold, error) {
	if why = strings.TrimSpace(why); why == "" {
		return nil, fmt.Errorf("%w: for what reason is it released?", ErrBadHold)
	}
	if err := r.checkHoldText(ctx, why); err != nil {
		return nil, err
	}
	h, err := holdRegister.change(ctx, r.Bucket, number, func(h *Hold) error {
		now := r.Wall().UTC()
		if !h.InForce(now) {
			return fmt.Errorf("%w: hold %d has ended %s", ErrBadHold, number, h.Ended().UTC().Format(time.RFC3339))
		}
		h.Released, h.Nonce = &HoldChange{At: now, By: by, Why: why}, r.NewID(now)
		return nil
	})
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("%w: %d", ErrNoHold, number)
	}
	return h, err
}

// checkHoldText refuses a reason that is too long, or that names a person whom the identity table knows: each word of it is looked up, where the key is at
// hand.
func (r *Runner) checkHoldText(ctx context.Context, text string) error {
	if len(text) > maxHoldText || strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Errorf("%w: the reason is one line of at most %d bytes", ErrBadHold, maxHoldText)
	}
	if r.Keys.IsZero() {
		return nil
	}
	ids, err := event.OpenIdentities(ctx, r.Bucket, r.Keys, r.Previous...)
	if err != nil {
		return err
	}
	for _, w := range wordsOf(text) {
		id, err := event.Canonical(w)
		if err != nil {
			continue
		}
		if _, known := ids.Find(id); known {
			return fmt.Errorf("%w: a word of the reason is the id of a person, which stands in no object: write it without", ErrBadHold)
		}
	}
	return nil
}
