package online

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"unicode/utf8"
)

// storedFallback is the stored form of the switch.
type storedFallback struct {
	Format int `json:"format"`
	Fallback
}

// SetFallback writes the file fallback, or removes it.
func (e *embedded) SetFallback(ctx context.Context, f *Fallback) error {
	what := "end the fallback"
	if f != nil {
		what = "turn the fallback on"
	}
	return e.change(ctx, what, func(*state) (bool, error) {
		if f == nil {
			if err := e.fs.Remove(e.path("fallback")); err != nil && !errors.Is(err, os.ErrNotExist) {
				return false, err
			}
			return false, syncDir(e.fs, e.dir)
		}
		payload, err := encodeFallback(f)
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
	if len(b) == 0 || b[len(b)-1] != '\n' {
		return nil, fmt.Errorf("%w: cut short", ErrCorrupt)
	}
	payload, ok := parseFrame(b[:len(b)-1])
	if !ok {
		return nil, fmt.Errorf("%w: bad checksum", ErrCorrupt)
	}
	return parseFallback(payload)
}

// encodeFallback returns the stored form of the switch: JSON, or nothing if it is off.
func encodeFallback(f *Fallback) ([]byte, error) {
	if f == nil {
		return nil, nil
	}
	for what, text := range map[string]string{"by": f.By, "why": f.Why} {
		if len(text) > maxKey || !utf8.ValidString(text) {
			return nil, fmt.Errorf("fallback: %s must be UTF-8 of at most %d bytes", what, maxKey)
		}
	}
	return json.Marshal(storedFallback{formatNumber, *f})
}

// parseFallback is the inverse of encodeFallback of a switch that is on.
func parseFallback(payload []byte) (*Fallback, error) {
	var s storedFallback
	if err := json.Unmarshal(payload, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return &s.Fallback, checkFormat(s.Format)
}
