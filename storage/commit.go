package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// Bounds of what is read or written in one piece, in bytes.
const (
	MaxCommit = 4 << 20  // body of a Commit: one single-part Put on any bucket
	MaxRead   = 64 << 20 // object read by ReadAll
)

// commitTries bounds how often Commit asks again after an answer that says "try again".
const commitTries = 3

// Commit writes a pointer: one small Put, conditional as c says. After any failure it reads back and compares bytes, so a Put whose
// response was lost, which the client repeats and is told ErrPrecondition for its own write, succeeds. The body must hold a nonce of
// the writer: equal bytes mean that this writer wrote them.
//
// ErrPrecondition means that another body stands there. After any other error the outcome is unknown: the store could not be asked.
func Commit(ctx context.Context, b Bucket, key string, body []byte, c Cond) (Info, error) {
	if len(body) > MaxCommit {
		return Info{}, failed("commit", key, fmt.Errorf("%d bytes, more than %d: commit a pointer, not the data", len(body), MaxCommit))
	}
	for try := 1; ; try++ {
		info, err := b.Put(ctx, key, Bytes(body), c)
		if err == nil || ctx.Err() != nil {
			return info, err
		}
		found, now, rerr := ReadAll(ctx, b, key)
		switch {
		case rerr == nil && bytes.Equal(found, body):
			return now, nil
		case !errors.Is(err, ErrPrecondition) || try == commitTries:
			return Info{}, err
		case c.IfAbsent && errors.Is(rerr, ErrNotFound), c.IfMatch != "" && rerr == nil && now.ETag == c.IfMatch:
			// The condition holds, and yet it was refused: another conditional write was under way and failed.
		default:
			return Info{}, err
		}
	}
}

// ReadAll reads a whole object of at most MaxRead bytes.
func ReadAll(ctx context.Context, b Bucket, key string) ([]byte, Info, error) {
	r, info, err := b.Get(ctx, key, Range{})
	if err != nil {
		return nil, Info{}, err
	}
	defer r.Close()
	if info.Size > MaxRead {
		return nil, Info{}, failed("read", key, fmt.Errorf("%d bytes, more than %d: read it in ranges", info.Size, MaxRead))
	}
	body := make([]byte, info.Size)
	if _, err := io.ReadFull(r, body); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, Info{}, failed("read", key, err)
	}
	// The reader's last word: a bucket says at the end whether the object changed meanwhile.
	if n, err := r.Read(make([]byte, 1)); err != io.EOF {
		if err == nil {
			err = fmt.Errorf("longer than its %d bytes (%d more)", info.Size, n)
		}
		return nil, Info{}, failed("read", key, err)
	}
	return body, info, nil
}
