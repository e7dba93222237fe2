package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// linksLookedAt is how often the files of declared links are looked at by who looks people up.
const linksLookedAt = time.Minute

// Names tell by which online key to look somebody up in the live generation. They are safe for concurrent use.
type Names struct {
	r *Runner

	mu     sync.Mutex
	links  *event.Links
	looked time.Time
}

// Names returns new ones.
func (r *Runner) Names() *Names { return &Names{r: r} }

// Of returns the online key of the person with the canonical id, or with an id that is linked to it. While there are previous keys it is the one under
// which the live generation holds the person, and one that is denied, if any of theirs is. Without previous keys and declared links it reads nothing for an id in ASCII.
func (n *Names) Of(ctx context.Context, canonical string) (string, error) {
	if n.r.Keys.IsZero() {
		return "", event.ErrNoKey
	}
	links, err := n.declared(ctx)
	if err != nil {
		return "", err
	}
	canonical = links.Main(canonical)
	var keys []string
	for _, form := range event.Forms(canonical) {
		for _, k := range n.r.given() {
			keys = append(keys, event.OnlineKey(k.ServingKey(), form))
		}
	}
	return online.KnownBy(ctx, n.r.Online, table.Micros(n.r.Now()), keys...)
}

// declared are the links as the files have them, at most a minute ago.
func (n *Names) declared(ctx context.Context) (*event.Links, error) {
	if n.r.LinkedBy == nil {
		return nil, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.r.Wall()
	if n.links != nil && now.Sub(n.looked) < linksLookedAt {
		return n.links, nil
	}
	fresh, err := n.links.Current(ctx, *n.r.LinkedBy)
	if err == nil {
		n.links, n.looked = fresh, now
	}
	return fresh, err
}
