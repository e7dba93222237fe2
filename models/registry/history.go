package registry

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/rapport-ml/rapport/storage"
)

// maxHistory is how many entries the live object holds at most; beyond it the older half of the promotions moves to an archive. 4,096
// entries are eleven years of nights, and stay well under storage.MaxCommit.
const maxHistory = 4096

// archived is an object of journal entries that have left the live object.
type archived struct {
	Format  int      `json:"format"`
	Name    string   `json:"name"`
	History []Change `json:"history"`
}

func (r *Registry) historyPrefix() string { return modelsPrefix + r.name + "/history/" }

// archive moves old entries out of l when it is full. Reviews stay, since they decide what may be promoted. The archive is written
// before the live object that no longer holds its entries; a second writer of the same archive writes the same bytes.
func (r *Registry) archive(ctx context.Context, l *Live) error {
	if len(l.History) < maxHistory {
		return nil
	}
	var old, kept []Change
	for i, c := range l.History {
		if i < maxHistory/2 && c.Action != Approved && c.Action != Disallowed {
			old = append(old, c)
		} else {
			kept = append(kept, c)
		}
	}
	if len(old) == 0 {
		return nil
	}
	body, err := encode(archived{Format: format, Name: r.name, History: old})
	if err != nil {
		return err
	}
	key := fmt.Sprintf("%s%08d.json", r.historyPrefix(), old[0].Fence)
	if _, err := storage.Commit(ctx, r.bucket, key, body, storage.Cond{IfAbsent: true}); err != nil {
		return err
	}
	l.History = kept
	return nil
}

// History returns the whole journal, oldest first: the archives and what the live object holds.
func (r *Registry) History(ctx context.Context) ([]Change, error) {
	l, _, err := r.readLive(ctx)
	if err != nil {
		return nil, r.failed("read history", err)
	}
	all := l.History
	for info, err := range r.bucket.List(ctx, r.historyPrefix(), storage.ListOpt{}) {
		if err != nil {
			return nil, r.failed("read history", err)
		}
		body, _, err := storage.ReadAll(ctx, r.bucket, info.Key)
		if err != nil {
			return nil, r.failed("read history", err)
		}
		var a archived
		if err := decode(body, &a); err != nil {
			return nil, r.failed("read history", fmt.Errorf("%s: %w", info.Key, err))
		}
		all = append(all, a.History...)
	}
	slices.SortFunc(all, func(a, b Change) int { return cmp.Compare(a.Fence, b.Fence) })
	// A writer that archived and then lost the race leaves entries in both places.
	return slices.CompactFunc(all, func(a, b Change) bool { return a.Fence == b.Fence }), nil
}
