package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rapport-ml/rapport/storage"
)

// Servers over one bucket tell each other of themselves, so that two which declare a job differently do not run it in turn, each undoing what the
// other did. Each keeps an object serve/ID.json with a digest of every job's declaration, written again every beat. Of two that differ the one that
// started first starts the job and the other does not, unless that one was started with takeover: so a new declaration is rolled out while the
// old server drains. A server whose beats have stopped says nothing any more.

// ErrConflict says that another live server over the same bucket declares a job differently.
var ErrConflict = errors.New("another server declares the job otherwise")

const (
	beatEvery  = 30 * time.Second
	beatLasts  = 90 * time.Second
	peerFormat = 1
	peerPrefix = "serve/"
	forgetPeer = 24 * time.Hour // after which what is left of a dead server is removed
)

// Peer is a server over the bucket, as it describes itself.
type Peer struct {
	Format   int               `json:"format"` // 1
	Holder   string            `json:"holder"`
	Nonce    string            `json:"nonce"`
	Started  time.Time         `json:"started"`
	Expires  time.Time         `json:"expires"`
	Takeover bool              `json:"takeover,omitempty"`
	Revision string            `json:"revision,omitempty"`
	Jobs     map[string]string `json:"jobs"` // name → digest of its declaration
}

type peers struct {
	runner *Runner
	key    string

	beating sync.Mutex // one beat at a time; over self and etag
	self    Peer
	etag    string

	mu     sync.Mutex        // never held over a request: the scheduler and metrics wait for it
	beaten time.Time         // wall clock of the last beat that succeeded
	yield  map[string]string // job → why it is another's
}

func newPeers(r *Runner, js []*Job, takeover bool) *peers {
	p := &peers{runner: r, yield: map[string]string{}, self: Peer{
		Format: peerFormat, Holder: r.Holder, Started: r.Wall().UTC(), Takeover: takeover, Revision: r.Revision, Jobs: map[string]string{},
	}}
	sum := sha256.Sum256([]byte(r.Holder))
	p.key = peerPrefix + hex.EncodeToString(sum[:8]) + ".json"
	for _, j := range js {
		p.self.Jobs[j.Name] = hash(j.spec())[:16]
	}
	return p
}

// yields says why a job is another server's, or "".
func (p *peers) yields(job string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.yield[job]
}

// beat writes this server's object and then reads the others': of two that start at once, at least the later sees the earlier. It returns what is wrong
// with each job that is another's, as ErrConflict.
func (p *peers) beat(ctx context.Context) error {
	p.beating.Lock()
	defer p.beating.Unlock()
	ctx, cancel := context.WithTimeout(ctx, beatEvery)
	defer cancel()
	now := p.runner.Wall().UTC()
	next := p.self
	next.Nonce, next.Expires = p.runner.NewID(now), now.Add(beatLasts)
	body, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := p.write(ctx, body); err != nil {
		return fmt.Errorf("tell other servers of this one: %w", err)
	}
	p.self = next
	p.mu.Lock()
	p.beaten = now
	p.mu.Unlock()
	yield := map[string]string{}
	var conflicts []error
	err = p.others(ctx, now, func(o Peer) {
		for job, digest := range p.self.Jobs {
			if theirs, ok := o.Jobs[job]; !ok || theirs == digest || !o.before(p.self) || yield[job] != "" {
				continue
			}
			err := fmt.Errorf("job %s: %w: this is %s, and %s, which has been up since %s, has another project file. Bring both to one file, or start this one with --takeover",
				job, ErrConflict, p.self.Holder, o.Holder, o.Started.Format(time.RFC3339))
			yield[job], conflicts = err.Error(), append(conflicts, err)
		}
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.yield = yield
	p.mu.Unlock()
	return errors.Join(conflicts...)
}

// before reports whether p has the say over q: of two servers the first, unless the later one takes over.
func (p Peer) before(q Peer) bool {
	if p.Started.Before(q.Started) || p.Started.Equal(q.Started) && p.Holder < q.Holder {
		return !q.Takeover
	}
	return p.Takeover
}

func (p *peers) write(ctx context.Context, body []byte) error {
	cond := storage.Cond{IfMatch: p.etag}
	if p.etag == "" {
		_, info, err := storage.ReadAll(ctx, p.runner.Bucket, p.key) // of an earlier life of the same process: a beat whose answer was lost
		switch {
		case errors.Is(err, storage.ErrNotFound):
			cond = storage.Cond{IfAbsent: true}
		case err != nil:
			return err
		default:
			cond = storage.Cond{IfMatch: info.ETag}
		}
	}
	info, err := storage.Commit(ctx, p.runner.Bucket, p.key, body, cond)
	if err != nil {
		p.etag = "" // look again next time
		return err
	}
	p.etag = info.ETag
	return nil
}

// others calls f with each other server that lives, and forgets those that died long ago.
func (p *peers) others(ctx context.Context, now time.Time, f func(Peer)) error {
	all, err := readPeers(ctx, p.runner.Bucket)
	if err != nil {
		return err
	}
	for key, o := range all {
		switch {
		case key == p.key:
		case now.After(o.Expires.Add(forgetPeer)):
			if err := p.runner.Bucket.Delete(ctx, key); err != nil {
				return err
			}
		case now.Before(o.Expires) && (p.runner.Dead == nil || !p.runner.Dead(o.Holder)):
			f(o)
		}
	}
	return nil
}

func readPeers(ctx context.Context, b storage.Bucket) (map[string]Peer, error) {
	out := map[string]Peer{}
	for info, err := range b.List(ctx, peerPrefix, storage.ListOpt{}) {
		if err != nil {
			return nil, fmt.Errorf("list servers: %w", err)
		}
		if !strings.HasSuffix(info.Key, ".json") {
			continue
		}
		body, _, err := storage.ReadAll(ctx, b, info.Key)
		if errors.Is(err, storage.ErrNotFound) {
			continue // it has stopped
		}
		if err != nil {
			return nil, fmt.Errorf("read server: %w", err)
		}
		var p Peer
		if err := json.Unmarshal(body, &p); err != nil {
			return nil, fmt.Errorf("server %s: %w", info.Key, err)
		}
		if p.Format < 1 || p.Format > peerFormat {
			return nil, fmt.Errorf("server %s: format %d was made by a newer rapport; this one reads up to %d", info.Key, p.Format, peerFormat)
		}
		out[info.Key] = p
	}
	return out, nil
}

// leave removes this server's object: it has stopped.
func (p *peers) leave(ctx context.Context) error {
	return p.runner.Bucket.Delete(ctx, p.key)
}

// age is how long ago the last beat succeeded.
func (p *peers) age() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.beaten.IsZero() {
		return 0
	}
	return p.runner.Wall().Sub(p.beaten)
}
