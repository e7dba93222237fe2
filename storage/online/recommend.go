package online

import (
	"context"
	"errors"
	"fmt"
)

// Recommend returns what serving systems show: the subject's list, cut to the best k items; for a subject who is denied, unknown,
// or whose consent has expired, the list not based on profiling, with Personalized false. now is µs since the epoch.
// The pointer says from which generation the list is. One Get, or two.
func Recommend(ctx context.Context, s Store, onlineKey string, k int, now int64) (List, Pointer, error) {
	if k < 1 {
		return List{}, Pointer{}, fmt.Errorf("recommend %d items: must be at least 1", k)
	}
	e, p, err := s.Get(ctx, ListKey(onlineKey), now)
	profiled := err == nil
	if errors.Is(err, ErrDenied) || errors.Is(err, ErrNotFound) {
		e, p, err = s.Get(ctx, UnprofiledKey, now)
	}
	if err != nil {
		return List{}, p, fmt.Errorf("recommend: %w", err)
	}
	l, err := DecodeList(e)
	if err != nil {
		return List{}, p, fmt.Errorf("recommend from generation %d: %w", p.Generation, err)
	}
	l.Personalized = l.Personalized && profiled
	l.Items = l.Items[:min(k, len(l.Items))]
	return l, p, nil
}

// LookupFeatures returns an entity's row of a view; a subject's entity is its online key. ErrDenied, ErrNotFound as for Get.
func LookupFeatures(ctx context.Context, s Store, view, entity string, now int64) (Features, Pointer, error) {
	e, p, err := s.Get(ctx, FeaturesKey(view, entity), now)
	if err != nil {
		return Features{}, p, err
	}
	f, err := DecodeFeatures(e)
	return f, p, err
}
