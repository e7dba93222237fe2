package online

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// storedHorizon is the stored form of the embedded store's horizon.
type storedHorizon struct {
	Format int   `json:"format"`
	At     int64 `json:"at"` // µs since the epoch
}

// MoveHorizon replaces the file horizon, or removes it.
func (e *embedded) MoveHorizon(ctx context.Context, from, to int64) (moved bool, err error) {
	err = e.change(ctx, "move the horizon", func(*state) (bool, error) {
		is, err := e.Horizon(ctx)
		switch {
		case err != nil && !errors.Is(err, ErrCorrupt):
			return false, err
		case err == nil && is == to:
			moved = true
			return false, nil
		case err == nil && is != from:
			return false, nil
		}
		if to == 0 {
			if err := e.fs.Remove(e.path("horizon")); err != nil {
				return false, err
			}
			if err := syncDir(e.fs, e.dir); err != nil {
				return false, err
			}
		} else {
			payload, err := json.Marshal(storedHorizon{formatNumber, to})
			if err != nil {
				return false, err
			}
			if err := replaceFile(e.fs, e.dir, "horizon", appendFrame(nil, payload)); err != nil {
				return false, err
			}
		}
		moved = true
		return false, nil
	})
	return moved && err == nil, err
}

// Horizon reads the file horizon.
func (e *embedded) Horizon(ctx context.Context) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	b, err := os.ReadFile(e.path("horizon"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	var at int64
	if err == nil {
		at, err = decodeHorizon(b)
	}
	if err != nil {
		return 0, fmt.Errorf("read %s (if it is damaged, the next run writes it anew): %w", e.path("horizon"), err)
	}
	return at, nil
}

// decodeHorizon parses the content of the file horizon.
func decodeHorizon(b []byte) (int64, error) {
	if len(b) == 0 || b[len(b)-1] != '\n' {
		return 0, fmt.Errorf("%w: cut short", ErrCorrupt)
	}
	payload, ok := parseFrame(b[:len(b)-1])
	if !ok {
		return 0, fmt.Errorf("%w: bad checksum", ErrCorrupt)
	}
	var s storedHorizon
	if err := json.Unmarshal(payload, &s); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return s.At, checkFormat(s.Format)
}

// MoveHorizon sets the key horizon, or deletes it.
func (s *redisStore) MoveHorizon(ctx context.Context, from, to int64) (bool, error) {
	r, err := s.write(ctx, "move the horizon", "horizon", strconv.FormatInt(from, 10), strconv.FormatInt(to, 10))
	return err == nil && r.status() == "ok", err
}

// Horizon reads the key horizon.
func (s *redisStore) Horizon(ctx context.Context) (at int64, err error) {
	const what = "read the horizon"
	var text string
	err = s.try(ctx, s.brief(), func() (err error) {
		text, err = s.client.Get(ctx, s.key("horizon")).Result()
		if errors.Is(err, redis.Nil) {
			text, err = "", nil
		}
		return err
	})
	if err != nil || text == "" {
		return 0, s.failed(what, err)
	}
	if at, err = strconv.ParseInt(text, 10, 64); err != nil {
		return 0, s.failed(what, fmt.Errorf("%w: it is no time (the next run writes it anew)", ErrCorrupt))
	}
	return at, nil
}
