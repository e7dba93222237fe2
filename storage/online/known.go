package online

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// DenialTeller is the optional power of a store to tell of owners whether they are denied, also of those of whom it holds no row. Both stores of this
// package have it.
type DenialTeller interface {
	// DeniedOf returns the first of the owners that is denied, or "".
	DeniedOf(ctx context.Context, owners ...string) (string, error)
}

// KnownBy returns by which of a person's online keys to look them up: after a rotation of the serving key there are several, the current first, and
// a generation holds a row under the key of its time. Whom the live one has under the current key is known by that. Of others a denial under any
// key is one of the person: then the key that is denied is returned, under which no lookup finds a row that may be read. Who has no list under
// any, and everybody where nothing is live, is looked up by the first. now is µs since the epoch. It reads nothing for one key, as is usual; else a list, for who is not found by it the deny set, and
// a list for each other key.
func KnownBy(ctx context.Context, s Store, now int64, keys ...string) (string, error) {
	if len(keys) < 2 {
		return slices.Concat(keys, []string{""})[0], nil
	}
	for i, key := range keys {
		if i == 1 {
			if denied, err := deniedOf(ctx, s, keys); denied != "" || err != nil {
				return denied, err
			}
		}
		switch _, _, err := s.Get(ctx, ListKey(key), now); {
		case err == nil, errors.Is(err, ErrDenied):
			return key, nil
		case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrNoGeneration):
			return "", fmt.Errorf("look a person up by %d keys: %w", len(keys), err)
		}
	}
	return keys[0], nil
}

func deniedOf(ctx context.Context, s Store, owners []string) (string, error) {
	if t, ok := s.(DenialTeller); ok {
		return t.DeniedOf(ctx, owners...)
	}
	all, err := s.Denied(ctx)
	for _, o := range owners {
		if slices.Contains(all, o) || slices.Contains(all, ErasedName(o)) {
			return o, err
		}
	}
	return "", err
}

// DeniedOf implements DenialTeller from the log that every lookup reads.
func (e *embedded) DeniedOf(_ context.Context, owners ...string) (denied string, err error) {
	err = e.log.with(func(s *denySet) {
		if i := slices.IndexFunc(owners, s.has); i >= 0 {
			denied = owners[i]
		}
	})
	return denied, err
}

// DeniedOf implements DenialTeller with two commands. Names are read ahead of hashes, since an erasure makes hashes of names.
func (s *redisStore) DeniedOf(ctx context.Context, owners ...string) (string, error) {
	const what = "read the deny set"
	if len(owners) == 0 {
		return "", nil
	}
	names, hashes := []any{""}, []any{}
	for _, o := range owners {
		names, hashes = append(names, o), append(hashes, ErasedName(o)[len(erasedPrefix):])
	}
	var named, erased []bool
	err := s.try(ctx, s.brief(), func() (err error) {
		if named, err = s.client.SMIsMember(ctx, s.key("denied"), names...).Result(); err == nil {
			erased, err = s.client.SMIsMember(ctx, s.key("erased"), hashes...).Result()
		}
		return err
	})
	switch {
	case err != nil:
		return "", s.failed(what, err)
	case len(named) != len(names) || len(erased) != len(hashes) || !named[0]:
		return "", s.failed(what, errUndenied)
	}
	for i, o := range owners {
		if named[i+1] || erased[i] {
			return o, nil
		}
	}
	return "", nil
}
