package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/storage"
)

// Cancel is a request to end a run: an object beside the run's, which the process that does the run looks for.
type Cancel struct {
	Format int       `json:"format"`
	Run    string    `json:"run_id"`
	By     string    `json:"by"` // a person or a program, never a subject
	Why    string    `json:"why"`
	At     time.Time `json:"at"`
}

func (c Cancel) String() string {
	if c.Why == "" {
		return "by " + c.By
	}
	return "by " + c.By + ": " + c.Why
}

func cancelKey(r *Run) string { return strings.TrimSuffix(runKey(r), ".json") + ".cancel.json" }

// maxWhy bounds the text of a request, in bytes.
const maxWhy = 1000

// RequestCancel asks for r to end. Whoever asked first stands: his request is returned. Cost: one conditional PUT.
func (l Ledger) RequestCancel(ctx context.Context, r *Run, c Cancel) (Cancel, error) {
	if c.By == "" {
		return c, errors.New("ledger: a request to cancel must say by whom")
	}
	if len(c.By)+len(c.Why) > maxWhy {
		return c, fmt.Errorf("ledger: the reason has %d bytes; at most %d are kept", len(c.Why), maxWhy)
	}
	c.Format, c.Run, c.At = format, r.ID, c.At.UTC()
	body, err := json.Marshal(c)
	if err != nil {
		return c, fmt.Errorf("ledger: cancel run %s: %w", r.ID, err)
	}
	_, err = storage.Commit(ctx, l.Bucket, cancelKey(r), body, storage.Cond{IfAbsent: true})
	if errors.Is(err, storage.ErrPrecondition) {
		first, err := l.Cancelled(ctx, r)
		if err != nil || first == nil {
			return c, errors.Join(err, fmt.Errorf("ledger: cancel run %s: another request came first and cannot be read", r.ID))
		}
		return *first, nil
	}
	if err != nil {
		return c, fmt.Errorf("ledger: cancel run %s: %w", r.ID, err)
	}
	return c, nil
}

// Cancelled returns the request to end r, or nil if there is none. Cost: one GET.
func (l Ledger) Cancelled(ctx context.Context, r *Run) (*Cancel, error) {
	key := cancelKey(r)
	body, _, err := storage.ReadAll(ctx, l.Bucket, key)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: read %s: %w", key, err)
	}
	var c Cancel
	if err := decode(body, &c); err != nil {
		return nil, fmt.Errorf("ledger: %s: %w", key, err)
	}
	return &c, nil
}
