package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"
)

// Errors that callers test with errors.Is. Every error that a Bucket returns names the operation and the key, never a credential.
var (
	// ErrNotFound says that no object stands at the key.
	ErrNotFound = errors.New("object not found")
	// ErrPrecondition says that a condition (Cond, Range.IfMatch) did not hold: somebody else wrote first.
	ErrPrecondition = errors.New("precondition failed")
	// ErrUnreachable says that the store could not be asked at all (name, network, credentials, missing bucket).
	ErrUnreachable = errors.New("storage unreachable")
	// ErrFull says that the store has no room left.
	ErrFull = errors.New("storage full")
)

// Info describes one object (or, in a listing with a delimiter, one common prefix, whose Key ends with the delimiter and whose ETag is empty).
type Info struct {
	Key      string
	Size     int64     // of the whole object, also in the answer to a ranged Get
	ETag     string    // without quotes; equal ETags mean equal bytes for one key. Empty for a delete marker in ListVersions
	Version  string    // version id where the bucket keeps versions, else empty
	Modified time.Time // zero in the answer to a Put on S3, which does not say
}

// Range selects bytes [Off, Off+N) of an object; N = 0 means up to its end. A range that reaches past the end is cut there; one that
// begins past the end is an error, one that begins at the end is empty. With IfMatch the read fails with ErrPrecondition
// if the object's ETag differs, so that a file rewritten while it is read is noticed.
type Range struct {
	Off, N  int64
	IfMatch string
}

// Body is what Put stores: Size bytes of R. The size is always known (an unknown one makes minio-go allocate half a GiB),
// and R can be read again from the start, so that a lost response can be retried. R is read by several goroutines at once.
type Body struct {
	Size int64
	R    io.ReaderAt
}

// Bytes returns a Body over b.
func Bytes(b []byte) Body { return Body{Size: int64(len(b)), R: inMemory{bytes.NewReader(b), b}} }

// inMemory is what Bytes reads from.
type inMemory struct {
	io.ReaderAt
	all []byte
}

// written is how many bytes of a body go to a file at once.
const written = 1 << 20

// writeTo writes the body to w until ctx ends. Bytes that stand in memory are not copied on their way.
func (b Body) writeTo(ctx context.Context, w io.Writer) error {
	if m, ok := b.R.(inMemory); ok && b.Size <= int64(len(m.all)) {
		for part := range slices.Chunk(m.all[:b.Size], written) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if _, err := w.Write(part); err != nil {
				return err
			}
		}
		return ctx.Err()
	}
	n, err := io.Copy(w, &contextReader{ctx, io.NewSectionReader(b.R, 0, b.Size)})
	if err == nil && n != b.Size {
		err = fmt.Errorf("the body ended after %d of %d bytes: %w", n, b.Size, io.ErrUnexpectedEOF)
	}
	return err
}

// contextReader stops when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Cond is the condition of a Put. The zero value is unconditional; both fields at once are an error. A condition that does not
// hold gives ErrPrecondition; so does IfMatch on an absent key.
type Cond struct {
	IfAbsent bool   // create only
	IfMatch  string // replace only the object with this ETag
}

// ListOpt narrows a listing: keys strictly after After, and with Delimiter "/" one level only: the objects of that level and the
// common prefixes of the deeper ones, in one byte order. Other delimiters are an error.
type ListOpt struct {
	After     string
	Delimiter string
}

// Bucket is the only durable state of Rapport: keys (slash-separated, relative to the bucket's root prefix) and bytes.
// Reads after writes are strongly consistent, a Put is atomic, and conditional Puts are honoured (Probe checks that a server does).
// List yields keys in lexical (byte) order. Delete of an absent key is no error. A Bucket is safe for concurrent use.
//
// A key is valid UTF-8 of at most 1,000 bytes without control characters, and no segment of it is empty, "." or "..".
type Bucket interface {
	Get(ctx context.Context, key string, r Range) (io.ReadCloser, Info, error)
	Head(ctx context.Context, key string) (Info, error)
	Put(ctx context.Context, key string, b Body, c Cond) (Info, error)
	List(ctx context.Context, prefix string, o ListOpt) iter.Seq2[Info, error]
	Delete(ctx context.Context, key string) error
}

// Versions is an optional power of a Bucket whose store may keep old versions or unfinished uploads of an object.
type Versions interface {
	// Versioned reports whether the bucket keeps old versions now.
	Versioned(ctx context.Context) (bool, error)
	// ListVersions yields every version of every key under prefix. A delete marker is a version without an ETag.
	ListVersions(ctx context.Context, prefix string) iter.Seq2[Info, error]
	// DeleteVersion removes one version for good.
	DeleteVersion(ctx context.Context, key, version string) error
	// AbortUploads drops the unfinished multipart uploads under prefix that were begun before a time, and returns how many these were and how many it left: a
	// younger one may be of a writer that is at work. A directory, which knows, drops the temporary files of writers that died, whatever the prefix and the time.
	AbortUploads(ctx context.Context, prefix string, before time.Time) (dropped, left int, err error)
}
