package onlinetest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/storage/online"
)

// oracle is the contract of online.Store in its most obvious form: maps of one process, no durability, no concurrency.
type oracle struct {
	generations map[uint64]map[string]online.Entry // finished
	live        *online.Pointer
	denied      map[string]bool
	fallback    *online.Fallback
	horizon     int64
	loading     map[uint64]*oracleLoader // the loader that a later Load supersedes
}

var _ online.Store = (*oracle)(nil)

func newOracle() *oracle {
	return &oracle{generations: map[uint64]map[string]online.Entry{}, denied: map[string]bool{}, loading: map[uint64]*oracleLoader{}}
}

type oracleLoader struct {
	o      *oracle
	number uint64
	rows   map[string]online.Entry
}

var (
	errDone  = errors.New("loader is done")
	errTwice = errors.New("key put twice")
)

func (o *oracle) isLive(number uint64) bool { return o.live != nil && o.live.Generation == number }

func (o *oracle) Load(_ context.Context, number uint64) (online.Loader, error) {
	if o.isLive(number) {
		return nil, online.ErrLive
	}
	l := &oracleLoader{o: o, number: number, rows: map[string]online.Entry{}}
	o.loading[number] = l
	return l, nil
}

func (l *oracleLoader) Put(_ context.Context, entries ...online.Entry) error {
	for _, e := range entries {
		if _, ok := l.rows[e.Key]; ok {
			return errTwice
		}
		e.Value = bytes.Clone(e.Value)
		l.rows[e.Key] = e
	}
	return nil
}

func (l *oracleLoader) Finish(context.Context) (string, error) {
	if l.o.loading[l.number] != l {
		return "", errDone
	}
	if l.o.isLive(l.number) {
		return "", online.ErrLive
	}
	delete(l.o.loading, l.number)
	maps.DeleteFunc(l.rows, func(_ string, e online.Entry) bool { return l.o.denied[online.ErasedName(e.Owner)] })
	l.o.generations[l.number] = l.rows
	return digest(l.rows), nil
}

func (l *oracleLoader) Close() error {
	if l.o.loading[l.number] == l {
		delete(l.o.loading, l.number)
	}
	return nil
}

// digest is the digest of rows, in the random order of a map.
func digest(rows map[string]online.Entry) string {
	var d online.Digester
	for _, e := range rows {
		d.Add(e)
	}
	return d.Sum()
}

func (o *oracle) Generations(context.Context) (map[uint64]string, error) {
	out := map[uint64]string{}
	for n, rows := range o.generations {
		out[n] = digest(rows)
	}
	return out, nil
}

func (o *oracle) Swap(_ context.Context, p online.Pointer) error {
	if o.live != nil && p.Fence <= o.live.Fence {
		if p.Fence == o.live.Fence && p.Generation == o.live.Generation && bytes.Equal(p.Meta, o.live.Meta) {
			return nil
		}
		return online.ErrFenced
	}
	if _, ok := o.generations[p.Generation]; !ok {
		return online.ErrUnknownGeneration
	}
	o.live = &p
	return nil
}

func (o *oracle) Live(context.Context) (online.Pointer, error) {
	if o.live == nil {
		return online.Pointer{}, online.ErrNoGeneration
	}
	return *o.live, nil
}

func (o *oracle) isDenied(owner string) bool {
	return owner != "" && (o.denied[owner] || o.denied[online.ErasedName(owner)])
}

func (o *oracle) Get(_ context.Context, key string, now int64) (online.Entry, online.Pointer, error) {
	if o.live == nil {
		return online.Entry{}, online.Pointer{}, online.ErrNoGeneration
	}
	e, ok := o.generations[o.live.Generation][key]
	switch {
	case !ok:
		return online.Entry{}, *o.live, online.ErrNotFound
	case o.isDenied(e.Owner):
		return online.Entry{}, *o.live, online.ErrDenied
	case e.Owner != "" && o.fallback != nil:
		return online.Entry{}, *o.live, online.ErrFallback
	case e.Owner != "" && o.horizon != 0 && now >= o.horizon:
		return online.Entry{}, *o.live, online.ErrOverdue
	case e.Expires != 0 && now >= e.Expires:
		return online.Entry{}, *o.live, online.ErrNotFound
	}
	return e, *o.live, nil
}

func (o *oracle) Scan(_ context.Context, prefix string, f func(online.Entry) error) error {
	if o.live == nil {
		return online.ErrNoGeneration
	}
	rows := o.generations[o.live.Generation]
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		if strings.HasPrefix(key, prefix) {
			if err := f(rows[key]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *oracle) Deny(_ context.Context, owners ...string) error {
	for _, owner := range owners {
		if !o.isDenied(owner) {
			o.denied[owner] = true
		}
	}
	return nil
}

func (o *oracle) Allow(_ context.Context, owners ...string) error {
	for _, owner := range owners {
		delete(o.denied, owner)
		delete(o.denied, online.ErasedName(owner))
	}
	return nil
}

func (o *oracle) Denied(context.Context) ([]string, error) {
	return slices.Sorted(maps.Keys(o.denied)), nil
}

func (o *oracle) Erase(_ context.Context, owners ...string) (int, error) {
	removed := 0
	for _, owner := range owners {
		delete(o.denied, owner)
		o.denied[online.ErasedName(owner)] = true
		for _, rows := range o.generations {
			maps.DeleteFunc(rows, func(_ string, e online.Entry) bool {
				if e.Owner == owner {
					removed++
				}
				return e.Owner == owner
			})
		}
	}
	return removed, nil
}

func (o *oracle) SetFallback(_ context.Context, f *online.Fallback) error {
	o.fallback = nil
	if f != nil {
		copied := *f
		o.fallback = &copied
	}
	return nil
}

func (o *oracle) MoveHorizon(_ context.Context, from, to int64) (bool, error) {
	if o.horizon != from && o.horizon != to {
		return false, nil
	}
	o.horizon = to
	return true, nil
}

func (o *oracle) Horizon(context.Context) (int64, error) { return o.horizon, nil }

func (o *oracle) Fallback(context.Context) (*online.Fallback, error) { return o.fallback, nil }

func (o *oracle) Drop(_ context.Context, number uint64) error {
	if o.isLive(number) {
		return online.ErrLive
	}
	delete(o.generations, number)
	return nil
}

func (o *oracle) Close() error { return nil }
