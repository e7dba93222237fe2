package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/models/rerank"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// request is the context that a list is asked for in; nil asks for the published list.
type request struct {
	levels map[string]string
	at     time.Time
}

// parseRequest reads --context: pairs of a column and its level, and the time as at.
func parseRequest(text string) (*request, error) {
	if text == "" {
		return nil, nil
	}
	r := &request{levels: map[string]string{}}
	for _, pair := range strings.Split(text, ",") {
		name, value, ok := strings.Cut(pair, "=")
		if _, twice := r.levels[name]; !ok || name == "" || value == "" || twice || name == "at" && !r.at.IsZero() {
			return nil, usageError{fmt.Errorf("--context: %q: want COLUMN=LEVEL, each column once, or at=TIME", pair)}
		}
		if name != "at" {
			r.levels[name] = value
			continue
		}
		at, err := time.Parse(time.RFC3339, value)
		if err != nil {
			return nil, usageError{fmt.Errorf("--context: at=%s is no time in RFC 3339, as 2026-03-01T18:30:00Z", value)}
		}
		r.at = at
	}
	return r, nil
}

// errNoRanker says that nothing is live that a context could change.
var errNoRanker = errors.New("what is live was published without a re-ranker")

// listFor returns what a subject is served: the published list, or its candidates ranked for a request. Who has no list of its own has no
// candidates either and gets the list not based on profiling.
func (a *app) listFor(ctx context.Context, p *project, key string, k int, r *request) (online.List, online.Pointer, error) {
	now := table.Micros(p.runner.Now())
	if r == nil {
		return online.Recommend(ctx, p.Online, key, k, now)
	}
	if k < 1 {
		return online.List{}, online.Pointer{}, usageError{fmt.Errorf("recommend %d items: must be at least 1", k)}
	}
	if _, _, err := p.Online.Get(ctx, online.RankerKey, now); errors.Is(err, online.ErrNotFound) {
		return online.List{}, online.Pointer{}, notFoundError{fmt.Errorf("%w, so a context changes nothing: leave --context out (the report says whether one was trained, and why it was not chosen)", errNoRanker)}
	}
	c, ranker, ptr, err := online.LookupCandidates(ctx, p.Online, key, now)
	if errors.Is(err, online.ErrDenied) || errors.Is(err, online.ErrNotFound) {
		return online.Recommend(ctx, p.Online, key, k, now)
	}
	if err != nil {
		return online.List{}, ptr, err
	}
	ranked, err := rankFor(c, ranker, r)
	if err != nil {
		return online.List{}, ptr, err
	}
	return online.List{Version: c.Version, Personalized: true, Items: ranked[:min(k, len(ranked))]}, ptr, nil
}

// rankFor orders candidates by their scores in the context of a request.
func rankFor(c online.Candidates, ranker []byte, r *request) ([]online.ListItem, error) {
	scorer, err := rerank.OpenRequest(ranker)
	if err != nil {
		return nil, err
	}
	if scorer.Version != c.Version {
		return nil, fmt.Errorf("candidates of version %s and a ranker of version %s stand in one generation: publish it again", c.Version, scorer.Version)
	}
	levels, err := scorer.Context(r.levels, r.at)
	if err != nil {
		return nil, usageError{fmt.Errorf("--context: %w", err)}
	}
	scores, err := scorer.Score(c.Scores, c.Features, levels)
	if err != nil {
		return nil, err
	}
	out := make([]online.ListItem, len(scores))
	for i, s := range scores {
		out[i] = online.ListItem{Item: c.Items[i], Score: s}
	}
	slices.SortStableFunc(out, func(a, b online.ListItem) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Item, b.Item))
	})
	return out, nil
}
