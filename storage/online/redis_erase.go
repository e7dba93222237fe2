package online

import (
	"context"
	"fmt"
	"slices"
)

// Erase denies the owners by digest, then takes their rows out of every finished generation, each bucket's and the new digest at once. A
// generation that is loading leaves them out when it finishes. Cost: every row is read once.
//
// What Redis keeps on its disk holds the rows until it is written anew, which is asked for at the end; a user without the right to
// that leaves it to the server's own rhythm.
func (s *redisStore) Erase(ctx context.Context, owners ...string) (int, error) {
	set := make(map[string]struct{}, len(owners))
	for _, o := range owners {
		if err := checkOwner(o); err != nil {
			return 0, fmt.Errorf("erase: %w", err)
		}
		set[o] = struct{}{}
	}
	if err := ctx.Err(); err != nil || len(owners) == 0 {
		return 0, err
	}
	// First, so that a loader that finishes from now on leaves their rows out.
	if err := s.change(ctx, "erase", owners); err != nil {
		return 0, err
	}
	all, err := s.survey(ctx)
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, g := range all {
		n, err := s.without(ctx, g, set)
		removed += n
		if err != nil {
			return removed, s.failed(fmt.Sprintf("erase from generation %d", g.number), err)
		}
	}
	s.rewriteFiles(ctx)
	return removed, nil
}

// without takes the rows of owners out of one generation.
func (s *redisStore) without(ctx context.Context, g redisGeneration, owners map[string]struct{}) (removed int, err error) {
	var hits []Entry
	err = s.eachRow(ctx, g.number, g.ID, func(e Entry) error {
		if _, ok := owners[e.Owner]; ok {
			e.Value = slices.Clip(e.Value)
			hits = append(hits, e)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for chunk := range slices.Chunk(hits, wholeChange) {
		n, err := s.takeOut(ctx, g.number, g.ID, chunk)
		removed += n
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// takeOut removes rows and gives the generation the digest that it has without them. Another erasure may come in between: then it looks
// again at which of the rows still stand.
func (s *redisStore) takeOut(ctx context.Context, number uint64, id string, rows []Entry) (removed int, err error) {
	for range maxReopen {
		keys := make([]string, len(rows))
		for i, e := range rows {
			keys[i] = e.Key
		}
		text, r, err := s.storedRecord(ctx, decimal(number))
		if err != nil || r.ID != id {
			return 0, err // it was dropped or loaded again, without the rows
		}
		if rows, err = s.fetch(ctx, number, id, keys); err != nil || len(rows) == 0 {
			return 0, err
		}
		d, bytes := r.digester(), r.Bytes
		for _, e := range rows {
			d.remove(e)
			bytes -= int64(len(e.Key) + len(e.Owner) + len(e.Value) + 10)
		}
		args := []any{decimal(number), text, describe(id, d, bytes, r.Full).encode()}
		for _, e := range rows {
			args = append(args, bucketOf(e.Key), e.Key)
		}
		answer, err := s.write(ctx, "take rows out", "erase", args...)
		if err != nil || answer.status() == "ok" {
			return len(rows), err
		}
	}
	return 0, fmt.Errorf("other erasures go on all the time: try again")
}

// rewriteFiles asks the server to write its append-only file, or its last snapshot, anew.
func (s *redisStore) rewriteFiles(ctx context.Context) {
	facts, err := s.info(ctx, s.brief(), "persistence")
	if err != nil {
		return
	}
	if facts["aof_enabled"] == "1" {
		_ = s.client.BgRewriteAOF(ctx).Err() // it may be under way, or forbidden
	} else if facts["rdb_last_save_time"] != "" && facts["rdb_saves"] != "0" {
		_ = s.client.Do(ctx, "BGSAVE", "SCHEDULE").Err() // as above
	}
}
