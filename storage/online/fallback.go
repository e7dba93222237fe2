package online

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// storedFallback is the content of the file fallback.
type storedFallback struct {
	Format int `json:"format"`
	Fallback
}

// SetFallback writes the file fallback, or removes it.
func (e *embedded) SetFallback(ctx context.Context, f *Fallback) error {
	what := "end the fallback"
	if f != nil {
		what = "turn the fallback on"
		if err := f.check(); err != nil {
			return err
		}
	}
	return e.change(ctx, what, func(*state) (bool, error) {
		if f == nil {
			if err := e.fs.Remove(e.path("fallback")); err != nil && !errors.Is(err, os.ErrNotExist) {
				return false, err
			}
			return false, syncDir(e.fs, e.dir)
		}
		payload, err := json.Marshal(storedFallback{formatNumber, *f})
		if err != nil {
			return false, err
		}
		return false, replaceFile(e.fs, e.dir, "fallback", appendFrame(nil, payload))
	})
}

// Fallback reads the file fallback: an absent one is off, a damaged one is neither.
func (e *embedded) Fallback(ctx context.Context) (*Fallback, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(e.path("fallback"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var f *Fallback
	if err == nil {
		f, err = decodeFallback(b)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s (if it is damaged, `rapport online fallback on` or off writes it anew): %w", e.path("fallback"), err)
	}
	return f, nil
}

// decodeFallback parses the content of the file fallback.
func decodeFallback(b []byte) (*Fallback, error) {
	var s storedFallback
	if len(b) == 0 || b[len(b)-1] != '\n' {
		return nil, fmt.Errorf("%w: cut short", ErrCorrupt)
	}
	payload, ok := parseFrame(b[:len(b)-1])
	if !ok || json.Unmarshal(payload, &s) != nil {
		return nil, fmt.Errorf("%w: bad checksum", ErrCorrupt)
	}
	return &s.Fallback, checkFormat(s.Format)
}
