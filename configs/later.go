package configs

import (
	"context"
	"io"
	"iter"
	"sync"

	"github.com/rapport-ml/rapport/storage"
)

// later is a bucket that is opened when it is first asked for something: who may not read raw data can open a project whose sources he never reads.
type later struct {
	open func(context.Context) (storage.Bucket, error)

	mu sync.Mutex
	b  storage.Bucket
}

func (l *later) bucket(ctx context.Context) (storage.Bucket, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b != nil {
		return l.b, nil
	}
	b, err := l.open(ctx)
	if err == nil {
		l.b = b
	}
	return b, err
}

// Get implements storage.Bucket.
func (l *later) Get(ctx context.Context, key string, r storage.Range) (io.ReadCloser, storage.Info, error) {
	b, err := l.bucket(ctx)
	if err != nil {
		return nil, storage.Info{}, err
	}
	return b.Get(ctx, key, r)
}

// Head implements storage.Bucket.
func (l *later) Head(ctx context.Context, key string) (storage.Info, error) {
	b, err := l.bucket(ctx)
	if err != nil {
		return storage.Info{}, err
	}
	return b.Head(ctx, key)
}

// Put implements storage.Bucket.
func (l *later) Put(ctx context.Context, key string, body storage.Body, c storage.Cond) (storage.Info, error) {
	b, err := l.bucket(ctx)
	if err != nil {
		return storage.Info{}, err
	}
	return b.Put(ctx, key, body, c)
}

// List implements storage.Bucket.
func (l *later) List(ctx context.Context, prefix string, o storage.ListOpt) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		b, err := l.bucket(ctx)
		if err != nil {
			yield(storage.Info{}, err)
			return
		}
		for info, err := range b.List(ctx, prefix, o) {
			if !yield(info, err) {
				return
			}
		}
	}
}

// Delete implements storage.Bucket.
func (l *later) Delete(ctx context.Context, key string) error {
	b, err := l.bucket(ctx)
	if err != nil {
		return err
	}
	return b.Delete(ctx, key)
}
