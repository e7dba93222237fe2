package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// recordTime is how long what somebody asks for may take to be recorded and denied.
const recordTime = 30 * time.Second

// desk is where people ask for something one after another. It is safe for concurrent use, in any number of processes.
type desk struct {
	r *Runner

	mu    sync.Mutex
	ids   *event.Identities // as of an erasure: who is erased later has a row in it still
	epoch int
}

// identities returns the table as of the last erasure. While one is under way it is not kept: it holds rows yet that will be gone.
func (d *desk) identities(ctx context.Context, journal *event.Journal) (*event.Identities, error) {
	if journal.UnderWay() {
		return d.r.identities(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ids != nil && d.r.LinkedBy != nil {
		links, err := d.ids.Links().Current(ctx, *d.r.LinkedBy)
		if err != nil {
			return nil, err
		}
		if links != d.ids.Links() {
			d.ids = nil
		}
	}
	if epoch := journal.Epoch(); d.ids == nil || d.epoch != epoch {
		ids, err := d.r.identities(ctx)
		if err != nil {
			return nil, err
		}
		d.ids, d.epoch = ids, epoch
	}
	return d.ids, nil
}

// forget drops the table: what was refused may have numbered people in it.
func (d *desk) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ids = nil
}

// inbox holds what people ask for one by one, until a snapshot holds it. Each request is a table of its own, so that an erasure finds it as any other.
type inbox[R any] struct {
	step  string // of the tables
	what  string // that is asked for, in errors
	store func(ctx context.Context, b storage.Bucket, prefix string, records []R) (table.Manifest, error)
	load  func(ctx context.Context, b storage.Bucket, m table.Manifest) ([]R, error)
}

// put commits records as a table of their own, as putTable does.
func (i inbox[R]) put(ctx context.Context, r *Runner, journal *event.Journal, epoch int, ids *event.Identities, records []R) error {
	return i.putTable(ctx, r, journal, epoch, ids, func(ctx context.Context, prefix string) (table.Manifest, error) {
		return i.store(ctx, r.Bucket, prefix, records)
	})
}

// putTable commits a table of records, which store makes under a prefix. Where an erasure has begun meanwhile it may not have seen that: it is taken back.
func (i inbox[R]) putTable(ctx context.Context, r *Runner, journal *event.Journal, epoch int, ids *event.Identities, store func(ctx context.Context, prefix string) (table.Manifest, error)) error {
	if err := ids.Flush(ctx); err != nil {
		return fmt.Errorf("%s: %w", i.what, err)
	}
	tables := table.Store{Bucket: r.Bucket}
	id := r.NewID(r.Wall())
	key := stepKey(i.step, strings.ToLower(id), table.Interval{}, logicSnapshot, nil)
	m, err := store(ctx, dataPrefix(key, "records"))
	if err != nil {
		return err
	}
	if _, err := tables.Commit(ctx, &table.Commit{Key: key, Step: i.step, Outputs: map[string]table.Manifest{"records": m}, Revision: r.Revision, Nonce: id, At: r.Wall()}); err != nil {
		return fmt.Errorf("%s: %w", i.what, err)
	}
	if err := journal.Refresh(ctx); err != nil {
		return fmt.Errorf("%s: %w", i.what, err)
	}
	if journal.Epoch() != epoch {
		return errors.Join(fmt.Errorf("%s: subjects were erased at this moment: ask again", i.what), dropRequest(ctx, r.Bucket, key))
	}
	return nil
}

// read returns what has come in and no snapshot holds yet, and the keys of its tables. Cost: a listing, and two reads a request.
func (i inbox[R]) read(ctx context.Context, w *work) (keys map[string]bool, records []R, err error) {
	keys = map[string]bool{}
	for info, err := range w.Bucket.List(ctx, "done/"+i.step+"/", storage.ListOpt{}) {
		if err != nil {
			return nil, nil, fmt.Errorf("%s: list what has come in: %w", i.what, err)
		}
		key := strings.TrimPrefix(info.Key, "done/")
		c, _, err := w.tables.Lookup(ctx, key)
		if errors.Is(err, storage.ErrNotFound) {
			continue // another run has taken it into a snapshot
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", i.what, err)
		}
		some, err := i.load(ctx, w.Bucket, c.Outputs["records"])
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		keys[key], records = true, append(records, some...)
	}
	return keys, records, nil
}

// empty removes requests that a snapshot holds.
func (i inbox[R]) empty(ctx context.Context, b storage.Bucket, keys map[string]bool) error {
	for key := range keys {
		if err := dropRequest(ctx, b, key); err != nil {
			return fmt.Errorf("%s: %w", i.what, err)
		}
	}
	return nil
}

// came reports whether something has come in beside what stands under keys.
func (i inbox[R]) came(ctx context.Context, b storage.Bucket, keys map[string]bool) (bool, error) {
	for info, err := range b.List(ctx, "done/"+i.step+"/", storage.ListOpt{}) {
		if err != nil {
			return false, fmt.Errorf("%s: list what has come in: %w", i.what, err)
		}
		if !keys[strings.TrimPrefix(info.Key, "done/")] {
			return true, nil
		}
	}
	return false, nil
}

// dropRequest removes one request, its proof first: what is left if that is cut short is litter.
func dropRequest(ctx context.Context, b storage.Bucket, key string) error {
	if err := b.Delete(ctx, "done/"+key); err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	for info, err := range b.List(ctx, "data/"+key+"/", storage.ListOpt{}) {
		if err == nil {
			err = b.Delete(ctx, info.Key)
		}
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
	}
	return nil
}

// cameIn reports whether something has come in, or been read, since this work has read what people asked for and consented to.
func (w *work) cameIn(ctx context.Context) (bool, error) {
	if x := w.plan.wishes; x != nil && x.asked {
		if came, err := wishInbox.came(ctx, w.Bucket, x.inbox); came || err != nil {
			return came, err
		}
	}
	return w.consentCame(ctx)
}
