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

// Denied lists the deny set.
func (s *redisStore) Denied(ctx context.Context) ([]string, error) {
	const what = "read the deny set"
	r, err := s.read(ctx, what, "denied")
	if err != nil {
		return nil, err
	}
	if r.status() == "undenied" {
		return nil, s.failed(what, errUndenied)
	}
	var out []string
	for _, name := range members(r, 1) {
		if name != "" { // which says that the set is whole
			out = append(out, name)
		}
	}
	for _, hash := range members(r, 2) {
		out = append(out, erasedPrefix+hash)
	}
	slices.Sort(out)
	return out, nil
}

// members returns an element of a reply that is a list of strings.
func members(r reply, i int) []string {
	if i >= len(r) {
		return nil
	}
	list, _ := r[i].([]any)
	out := make([]string, 0, len(list))
	for _, x := range list {
		if text, ok := x.(string); ok {
			out = append(out, text)
		}
	}
	return out
}
