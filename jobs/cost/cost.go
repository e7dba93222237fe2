package cost

import (
	"context"
	"io"
	"iter"
	"sync/atomic"
	"time"

	"github.com/rapport-ml/rapport/storage"
)

// Cost is what a piece of work took.
type Cost struct {
	Seconds      float64 `json:"seconds"`
	CPUSeconds   float64 `json:"cpu_seconds"`   // user and system time of the process
	PeakMemory   int64   `json:"peak_memory"`   // bytes resident at most, of the process
	BytesRead    int64   `json:"bytes_read"`    // from storage: the project's and the sources'; the online store is not counted
	BytesWritten int64   `json:"bytes_written"` // to storage
	Gets         int64   `json:"gets"`          // GET and HEAD requests
	Puts         int64   `json:"puts"`          // PUT and DELETE requests
	Lists        int64   `json:"lists"`         // listings, of any number of pages
	// Shared says that other runs of the process were under way, so that processor time and memory are those of all of them.
	Shared bool `json:"shared,omitempty"`
	// Sampled says that the system does not tell the peak of memory: it is the largest of a few samples.
	Sampled bool `json:"memory_sampled,omitempty"`
}

// Meter measures one run. It is safe for concurrent use.
type Meter struct {
	wall                             func() time.Time
	read, written, gets, puts, lists atomic.Int64
}

// NewMeter returns a meter that tells time by wall.
func NewMeter(wall func() time.Time) *Meter { return &Meter{wall: wall} }

// Reading is a piece of work that is being measured.
type Reading struct {
	m                                *Meter
	start                            time.Time
	cpu                              float64
	read, written, gets, puts, lists int64

	peak            int64 // these three belong to the process's lock
	shared, sampled bool
}

// Begin starts to measure a piece of work. End must be called.
func (m *Meter) Begin() *Reading {
	r := &Reading{
		m: m, start: m.wall(), cpu: cpuSeconds(),
		read: m.read.Load(), written: m.written.Load(), gets: m.gets.Load(), puts: m.puts.Load(), lists: m.lists.Load(),
	}
	self.enter(r)
	return r
}

// Sample looks at memory where the system does not keep its peak. It is cheap: a read of one small file of /proc.
func (m *Meter) Sample() { self.sample() }

// End returns what the piece of work took since Begin.
func (r *Reading) End() Cost {
	self.leave(r)
	m := r.m
	return Cost{
		Seconds: m.wall().Sub(r.start).Seconds(), CPUSeconds: cpuSeconds() - r.cpu, PeakMemory: r.peak,
		BytesRead: m.read.Load() - r.read, BytesWritten: m.written.Load() - r.written,
		Gets: m.gets.Load() - r.gets, Puts: m.puts.Load() - r.puts, Lists: m.lists.Load() - r.lists,
		Shared: r.shared, Sampled: r.sampled,
	}
}

// Bucket returns b with its requests and bytes counted. What b can do besides (storage.Versions), the result can too.
func (m *Meter) Bucket(b storage.Bucket) storage.Bucket {
	c := counted{b, m}
	if v, ok := b.(storage.Versions); ok {
		return struct {
			counted
			storage.Versions
		}{c, v}
	}
	return c
}

// counted is a bucket whose use is counted.
type counted struct {
	b storage.Bucket
	m *Meter
}

func (c counted) Get(ctx context.Context, key string, r storage.Range) (io.ReadCloser, storage.Info, error) {
	c.m.gets.Add(1)
	body, info, err := c.b.Get(ctx, key, r)
	if err != nil {
		return nil, info, err
	}
	return countedBody{body, c.m}, info, nil
}

func (c counted) Head(ctx context.Context, key string) (storage.Info, error) {
	c.m.gets.Add(1)
	return c.b.Head(ctx, key)
}

func (c counted) Put(ctx context.Context, key string, b storage.Body, cond storage.Cond) (storage.Info, error) {
	c.m.puts.Add(1)
	info, err := c.b.Put(ctx, key, b, cond)
	if err == nil {
		c.m.written.Add(b.Size)
	}
	return info, err
}

func (c counted) List(ctx context.Context, prefix string, o storage.ListOpt) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		c.m.lists.Add(1)
		c.b.List(ctx, prefix, o)(yield)
	}
}

func (c counted) Delete(ctx context.Context, key string) error {
	c.m.puts.Add(1)
	return c.b.Delete(ctx, key)
}

type countedBody struct {
	io.ReadCloser
	m *Meter
}

func (b countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.m.read.Add(int64(n))
	return n, err
}
