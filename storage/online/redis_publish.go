package online

import (
	"context"
	"fmt"
	"strconv"
)

// Swap makes a finished generation live whose rows are all there, and removes kept ones that have lost rows. One script.
func (s *redisStore) Swap(ctx context.Context, p Pointer) error {
	what := fmt.Sprintf("swap to generation %d", p.Generation)
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := s.write(ctx, what, "swap", decimal(p.Generation), decimal(p.Fence), p.Meta)
	if err != nil {
		return err
	}
	switch r.status() {
	case "fenced":
		err = fmt.Errorf("fence %d, stored %s: %w", p.Fence, r.text(1), ErrFenced)
	case "unknown":
		err = ErrUnknownGeneration
	case "lost":
		err = fmt.Errorf("%s of %s rows stand there: %w", r.text(1), r.text(2), errLostRows)
	case "undenied":
		err = errUndenied
	}
	return s.failed(what, err)
}

// Drop removes a generation that is not live.
func (s *redisStore) Drop(ctx context.Context, number uint64) error {
	what := fmt.Sprintf("drop generation %d", number)
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := s.write(ctx, what, "drop", decimal(number))
	if err == nil && r.status() == "live" {
		err = s.failed(what, ErrLive)
	}
	return err
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }
