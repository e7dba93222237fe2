package event

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

var errNoConsentSnapshot = errors.New("load consent: the table is no consent snapshot of this version")

// DecideConsent makes the decisions of purposes as of now from the records of a snapshot that StoreConsent wrote, those beside it, and others, which are sorted (nil: none), as
// policy.Decide does from all of them together.
// The snapshot's shards are read side by side, and of its records nothing is held but a few row groups: memory is that of the decisions.
func DecideConsent(ctx context.Context, b storage.Bucket, m table.Manifest, beside []policy.Record, others *Records, now time.Time, erasures []policy.Erasure, purposes ...policy.Purpose) ([]*policy.Decisions, error) {
	if !slices.Equal(m.Schema, consentSchema) {
		return nil, errNoConsentSnapshot
	}
	wanted := func(purpose string) bool {
		return slices.ContainsFunc(purposes, func(p policy.Purpose) bool { return p.Name == purpose })
	}
	return decideBy(max(1, m.Shards), beside, others, now, erasures, purposes, func(shard int) iter.Seq2[policy.Record, error] {
		return eachRecord(ctx, b, m, table.ReadOptions{Columns: decided, Shards: []int{shard}, Dictionaries: true}, wanted)
	})
}

// decided are the columns of a snapshot by which is decided, in the order of the schema.
var decided = []string{"subject", "purpose", "state", "effective_at", "recorded_at", "expires_at", "record_id"}

// decideBy decides shard by shard, side by side. rows yields the records of a shard, subject by subject, ascending.
func decideBy(shards int, beside []policy.Record, more *Records, now time.Time, erasures []policy.Erasure, purposes []policy.Purpose, rows func(shard int) iter.Seq2[policy.Record, error]) ([]*policy.Decisions, error) {
	if !slices.IsSortedFunc(beside, policy.Record.Compare) {
		beside = slices.SortedFunc(slices.Values(beside), policy.Record.Compare)
	}
	parts := make([]*policy.Deciding, shards)
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for shard := range shards {
		in := func(s policy.Subject) bool { return table.ShardOf(uint64(s), shards) == shard }
		var gone []policy.Erasure
		for _, e := range erasures {
			if in(e.Subject) {
				gone = append(gone, e)
			}
		}
		// Shards are in the order of numbers: what is beside one stands together.
		n, _ := slices.BinarySearchFunc(beside, shard+1, func(r policy.Record, next int) int {
			return cmp.Compare(table.ShardOf(uint64(r.Subject), shards), next)
		})
		others := beside[:n]
		beside = beside[n:]
		parts[shard] = policy.NewDeciding(now, gone, purposes...)
		g.Go(func() error { return decideShard(more.among(rows(shard), shard, shards), others, parts[shard]) })
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("decide by consent: %w", err)
	}
	return policy.Join(parts...), nil
}

// decideShard decides of the subjects of one shard. Its rows are sorted by subject; beside are others' records of the shard, sorted as well.
func decideShard(rows iter.Seq2[policy.Record, error], beside []policy.Record, to *policy.Deciding) error {
	var of policy.Subject
	var mine []policy.Record // of one subject
	end := func() error {
		if len(mine) == 0 {
			return nil
		}
		err := to.Add(of, mine)
		mine = mine[:0]
		return err
	}
	// begin is told of each subject before its records are added: those beside of others come first.
	begin := func(s policy.Subject) error {
		for len(beside) > 0 && beside[0].Subject <= s {
			if next := beside[0].Subject; next != of || len(mine) == 0 {
				if err := end(); err != nil {
					return err
				}
				of = next
			}
			mine, beside = append(mine, beside[0]), beside[1:]
		}
		if s == of && len(mine) > 0 {
			return nil
		}
		err := end()
		of = s
		return err
	}
	for r, err := range rows {
		if err != nil {
			return err
		}
		if r.Subject != of || len(mine) == 0 {
			if err := begin(r.Subject); err != nil {
				return err
			}
		}
		mine = append(mine, r)
	}
	if err := begin(policy.Subject(1<<64 - 1)); err != nil {
		return err
	}
	return end()
}
