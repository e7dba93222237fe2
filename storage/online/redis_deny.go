package online

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// wholeChange is how many owners one script takes: a larger change is staged first, so that no script blocks the server for long but the
// last, and still takes effect at once.
const wholeChange = 10_000

// stageTTL is how long a staged change outlives its writer.
const stageTTL = 10 * time.Minute

// Deny adds owners to the deny set; also in a server that is full.
func (s *redisStore) Deny(ctx context.Context, owners ...string) error {
	return s.change(ctx, "deny", owners)
}

// Allow takes owners out of the deny set.
func (s *redisStore) Allow(ctx context.Context, owners ...string) error {
	return s.change(ctx, "allow", owners)
}

// RestoreDenied makes a deny set that was lost whole again.
func (s *redisStore) RestoreDenied(ctx context.Context, owners ...string) error {
	return s.change(ctx, "restore", owners)
}

// change brings one change of the deny set about, whole or not at all.
func (s *redisStore) change(ctx context.Context, how string, owners []string) error {
	if err := checkNames(owners); err != nil {
		return fmt.Errorf("%s: %w", how, err)
	}
	if err := ctx.Err(); err != nil || len(owners) == 0 && how != "restore" {
		return err
	}
	if len(owners) <= s.large {
		_, err := s.write(ctx, how, "deny", namesAndHashes([]any{how}, owners)...)
		return err
	}
	for range maxReopen {
		done, err := s.changeStaged(ctx, how, owners)
		if done || err != nil {
			return err
		}
	}
	return fmt.Errorf("%s in %s: erasures go on all the time: try again", how, s)
}

// changeStaged is change for many owners. It reports false if an erasure came in between: then what was staged may hold an erased name.
func (s *redisStore) changeStaged(ctx context.Context, how string, owners []string) (bool, error) {
	id := nonce()
	var first, last reply
	for chunk := range slices.Chunk(owners, s.large) {
		r, err := s.write(ctx, how, "stage", namesAndHashes([]any{id, stageTTL.Milliseconds(), how}, chunk)...)
		if err != nil {
			return false, err
		}
		if first == nil {
			first = r
		}
		last = r
	}
	r, err := s.write(ctx, how, "staged", id, how, first.text(1), last.text(2), last.text(3))
	return r.status() == "ok", err
}

// namesAndHashes appends the name of each owner and its SHA-256. Who is given by an ErasedName has no name.
func namesAndHashes(args []any, owners []string) []any {
	args = slices.Grow(args, 2*len(owners))
	for _, o := range owners {
		if hash, ok := strings.CutPrefix(o, erasedPrefix); ok {
			args = append(args, "", hash)
		} else {
			args = append(args, o, strings.TrimPrefix(ErasedName(o), erasedPrefix))
		}
	}
	return args
}

// deniedPage is about how many members of the deny set are asked for at once: all of a large one in one answer would stop the server for that long.
const deniedPage = 10_000

// denials counts the names and hashes of the deny set; it is an error that the set was lost.
func (s *redisStore) denials(ctx context.Context) (n int, err error) {
	const what = "read the deny set"
	r, err := s.read(ctx, what, "denied")
	if err != nil {
		return 0, err
	}
	if r.status() == "undenied" {
		return 0, s.failed(what, errUndenied)
	}
	return int(r.number(1) + r.number(2)), nil
}

// Denied lists the deny set, page by page: who is denied or let back in meanwhile may be in it or not. Who is erased meanwhile is, since names
// become hashes, which are read last.
func (s *redisStore) Denied(ctx context.Context) ([]string, error) {
	if _, err := s.denials(ctx); err != nil {
		return nil, err
	}
	var out []string
	for _, set := range []struct{ key, prefix string }{{"denied", ""}, {"erased", erasedPrefix}} {
		err := s.members(ctx, s.key(set.key), func(member string) {
			if member != "" { // which says that the set is whole
				out = append(out, set.prefix+member)
			}
		})
		if err != nil {
			return nil, s.failed("read the deny set", err)
		}
	}
	if _, err := s.denials(ctx); err != nil { // it may have been lost under way
		return nil, err
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// members calls f with every member of a set, with some of them twice.
func (s *redisStore) members(ctx context.Context, key string, f func(string)) error {
	for cursor, page := uint64(0), []string(nil); ; {
		err := s.try(ctx, s.brief(), func() (err error) {
			page, cursor, err = s.client.SScan(ctx, key, cursor, "", deniedPage).Result()
			return err
		})
		if err != nil {
			return err
		}
		for _, member := range page {
			f(member)
		}
		if cursor == 0 {
			return nil
		}
	}
}
