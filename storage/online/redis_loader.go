package online

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// The bounds of what a loader sends at once: how many commands are under way, and the bytes of one (a single row may be larger).
const (
	sendersOfLoad = 4
	maxBatchBytes = 1 << 20
)

// samplesOfLoad is how many rows Finish reads back.
const samplesOfLoad = 64

// redisLoader sends rows in batches, a few of them at a time, under names that no other loader has.
type redisLoader struct {
	s      *redisStore
	number uint64
	id     string
	ctx    context.Context // of the senders; ended by Close
	cancel context.CancelFunc
	work   chan batch // unbuffered: Put waits while all senders are busy

	senders, renewer sync.WaitGroup

	mu       sync.Mutex
	done     bool
	drained  bool // work is closed, and the senders are gone
	next     batch
	erasures string              // as of which erased holds
	erased   map[string]struct{} // SHA-256 of owners whose rows are left out
	aside    []Entry             // such rows, as many as there is memory for, in case they are allowed before the end
	asideLen int64
	digest   Digester
	bytes    int64
	count    [buckets]uint64
	samples  map[[sha256.Size]byte]Entry // those rows whose keys have the smallest hashes: a sample that no order of Puts changes
	largest  [sha256.Size]byte

	fault sync.Mutex
	err   error // why the loader is of no use any more
}

// batch is what one script puts.
type batch struct {
	args  []any // bucket, key, row of each
	rows  int
	bytes int64
}

// Load begins a generation. It refuses a server that may evict what is loaded.
func (s *redisStore) Load(ctx context.Context, number uint64) (Loader, error) {
	what := fmt.Sprintf("load generation %d", number)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.checkEviction(ctx); err != nil {
		return nil, s.failed(what, err)
	}
	l := &redisLoader{s: s, number: number, id: nonce(), work: make(chan batch), samples: map[[sha256.Size]byte]Entry{}}
	r, err := s.write(ctx, what, "load", decimal(number), l.id, s.o.LoadTTL.Milliseconds())
	if err != nil {
		return nil, err
	}
	if r.status() == "live" {
		return nil, s.failed(what, ErrLive)
	}
	l.erasures = r.text(1)
	if l.erased, err = l.erasedOwners(ctx); err != nil {
		return nil, s.failed(what, err)
	}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for range sendersOfLoad {
		l.senders.Go(l.send)
	}
	l.renewer.Go(l.renew)
	return l, nil
}

// erasedOwners reads the SHA-256 of all erased owners.
func (l *redisLoader) erasedOwners(ctx context.Context) (map[string]struct{}, error) {
	var all []string
	err := l.s.try(ctx, l.s.o.Patience, func() (err error) {
		all, err = l.s.client.SMembers(ctx, l.s.key("erased")).Result()
		return err
	})
	out := make(map[string]struct{}, len(all))
	for _, hash := range all {
		out[hash] = struct{}{}
	}
	return out, err
}

// isErased reports whether the rows of an owner are left out.
func (l *redisLoader) isErased(owner string) bool {
	if owner == "" || len(l.erased) == 0 {
		return false
	}
	_, ok := l.erased[strings.TrimPrefix(ErasedName(owner), erasedPrefix)]
	return ok
}

func (l *redisLoader) what() string { return fmt.Sprintf("load generation %d", l.number) }

// broken returns why the loader is of no use any more.
func (l *redisLoader) broken() error {
	l.fault.Lock()
	defer l.fault.Unlock()
	return l.err
}

// breakWith ends the loader's work; the first fault counts.
func (l *redisLoader) breakWith(err error) {
	l.fault.Lock()
	defer l.fault.Unlock()
	if l.err == nil {
		l.err = err
	}
	l.cancel()
}

// Put gathers entries to batches, and waits while the server is slower than its caller.
func (l *redisLoader) Put(ctx context.Context, entries ...Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.broken(); err != nil {
			return l.s.failed(l.what(), err)
		}
		if l.done {
			return l.s.failed(l.what(), errLoaderDone)
		}
		if err := checkEntry(e); err != nil {
			return l.s.failed(l.what(), err)
		}
		if l.isErased(e.Owner) {
			l.setAside(e)
			continue
		}
		if err := l.add(ctx, e); err != nil {
			return l.s.failed(l.what(), err)
		}
	}
	return nil
}

// setAside keeps a row of an erased owner, who may come back before the load ends.
func (l *redisLoader) setAside(e Entry) {
	if l.asideLen += int64(len(e.Key) + len(e.Value)); l.asideLen <= l.s.budget {
		e.Value = bytes.Clone(e.Value)
		l.aside = append(l.aside, e)
	}
}

// takeBack adds the rows that were set aside and whose owners have come back.
func (l *redisLoader) takeBack(ctx context.Context) (err error) {
	if len(l.aside) == 0 {
		return nil
	}
	if l.erased, err = l.erasedOwners(ctx); err != nil {
		return err
	}
	for _, e := range l.aside {
		if !l.isErased(e.Owner) {
			if err := l.add(ctx, e); err != nil {
				return err
			}
		}
	}
	l.aside = nil
	return nil
}

// add counts one entry in, and sends the batch before it if that is full.
func (l *redisLoader) add(ctx context.Context, e Entry) error {
	row := appendHashRow(make([]byte, 0, len(e.Owner)+len(e.Value)+10), e)
	size := int64(len(e.Key) + len(row))
	most := min(maxBatchBytes, l.s.budget/(sendersOfLoad+2))
	if l.next.rows > 0 && (l.next.rows == l.s.o.Batch || l.next.bytes+size > most) {
		if err := l.flush(ctx); err != nil {
			return err
		}
	}
	l.digest.Add(e)
	l.bytes += size
	bucket := bucketOf(e.Key)
	i, _ := strconv.ParseUint(bucket, 16, 8) // bucketOf made it
	l.count[i]++
	l.sample(e)
	l.next.args = append(l.next.args, bucket, e.Key, row)
	l.next.rows++
	l.next.bytes += size
	return nil
}

// sample keeps e if the hash of its key is one of the smallest so far.
func (l *redisLoader) sample(e Entry) {
	h := sha256.Sum256([]byte(e.Key))
	if len(l.samples) == samplesOfLoad {
		if bytes.Compare(h[:], l.largest[:]) >= 0 {
			return
		}
		delete(l.samples, l.largest)
	}
	e.Value = bytes.Clone(e.Value)
	l.samples[h] = e
	l.largest = [sha256.Size]byte{}
	for k := range l.samples {
		if bytes.Compare(k[:], l.largest[:]) > 0 {
			l.largest = k
		}
	}
}

// flush hands the batch to a sender.
func (l *redisLoader) flush(ctx context.Context) error {
	if l.next.rows == 0 {
		return nil
	}
	select {
	case l.work <- l.next:
		l.next = batch{}
		return nil
	case <-l.ctx.Done():
		return cmp.Or(l.broken(), errLoaderDone)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// send puts batches until there are no more. Each is sent until it has been acknowledged: so a load goes on where it stood when a server
// comes back.
func (l *redisLoader) send() {
	for {
		select {
		case b, ok := <-l.work:
			if !ok {
				return
			}
			if err := l.put(b); err != nil {
				l.breakWith(err)
				return
			}
		case <-l.ctx.Done():
			return
		}
	}
}

func (l *redisLoader) put(b batch) error {
	args := make([]any, 0, 4+len(b.args))
	args = append(append(args, decimal(l.number), l.id, l.s.o.LoadTTL.Milliseconds(), "first"), b.args...)
	return l.s.try(l.ctx, l.s.o.Patience, func() error {
		r, err := l.s.eval(l.ctx, "put", args...)
		if err != nil {
			if away(err) {
				args[3] = "again" // it may have arrived, and its rows are no sign of a key put twice then
			}
			return err
		}
		if r.status() == "twice" {
			return twice([]byte(r.text(1)))
		}
		return l.standing(r)
	})
}

// standing turns the answer that this load stands no more into an error.
func (l *redisLoader) standing(r reply) error {
	switch {
	case r.status() != "gone":
		return nil
	case r.text(1) != "":
		return errSuperseded
	}
	return fmt.Errorf("the server has lost the load: it was restarted without its data or flushed, or has not heard of this loader for %v: run again", l.s.o.LoadTTL)
}

// renew keeps the rows from expiring while the loader lives.
func (l *redisLoader) renew() {
	tick := time.NewTicker(l.s.o.LoadTTL / 4)
	defer tick.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
		}
		r, err := l.s.eval(l.ctx, "renew", decimal(l.number), l.id, l.s.o.LoadTTL.Milliseconds())
		if err == nil {
			err = l.standing(r)
		}
		if err != nil && !away(err) {
			if l.ctx.Err() == nil {
				l.breakWith(err)
			}
			return
		}
	}
}

// Finish sends what is left, checks what stands there, and lists the generation.
func (l *redisLoader) Finish(ctx context.Context) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	digest, err := l.finish(ctx)
	if err != nil {
		if ctx.Err() == nil || l.drained { // without senders there is nothing to try again with
			l.breakWith(err)
		}
		return "", l.s.failed(fmt.Sprintf("finish generation %d", l.number), err)
	}
	l.done = true
	l.end()
	return digest, nil
}

func (l *redisLoader) finish(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if l.done {
		return "", errLoaderDone
	}
	if err := l.broken(); err != nil {
		return "", err
	}
	if err := l.takeBack(ctx); err != nil {
		return "", err
	}
	if err := l.flush(ctx); err != nil {
		return "", err
	}
	if err := l.drain(ctx); err != nil {
		return "", err
	}
	if err := l.compareSamples(ctx); err != nil {
		return "", err
	}
	for range maxReopen {
		g := l.record()
		r, err := l.s.write(ctx, "list it", "finish", decimal(l.number), l.id, l.erasures, g.Entries, g.encode())
		if err != nil {
			return "", err
		}
		switch r.status() {
		case "ok":
			return g.Digest, nil
		case "live":
			return "", ErrLive
		case "count":
			return "", fmt.Errorf("%s of %d rows stand there: %w, or the server has lost rows: run again", r.text(1), g.Entries, errTwice)
		case "erased":
			if err := l.leaveOut(ctx, r.text(1)); err != nil {
				return "", err
			}
		default:
			if err := l.standing(r); err != nil {
				return "", err
			}
		}
	}
	return "", errors.New("erasures go on all the time: try again")
}

// drain waits until every batch has been acknowledged. The senders are gone then.
func (l *redisLoader) drain(ctx context.Context) error {
	defer context.AfterFunc(ctx, l.cancel)()
	l.drained = true
	close(l.work)
	l.senders.Wait()
	return errors.Join(ctx.Err(), l.broken())
}

// record describes what has been loaded.
func (l *redisLoader) record() redisRecord {
	full := make([]byte, buckets)
	for i, n := range l.count {
		full[i] = '0'
		if n > 0 {
			full[i] = '1'
		}
	}
	return describe(l.id, &l.digest, l.bytes, string(full))
}

// compareSamples reads some rows back.
func (l *redisLoader) compareSamples(ctx context.Context) error {
	want := map[string]Entry{}
	var keys []string
	for _, e := range l.samples {
		want[e.Key] = e
		keys = append(keys, e.Key)
	}
	got, err := l.s.fetch(ctx, l.number, l.id, keys)
	if err != nil {
		return err
	}
	for _, e := range got {
		if w := want[e.Key]; w.Owner != e.Owner || w.Expires != e.Expires || !bytes.Equal(w.Value, e.Value) {
			return fmt.Errorf("%w: a row of %s reads back other than it was put: was a key put twice?", ErrCorrupt, keyKind(e.Key))
		}
	}
	return nil // rows that are missing are counted by Finish
}

// leaveOut takes the rows of owners out that were erased while the generation was loading, as of the number of erasures.
func (l *redisLoader) leaveOut(ctx context.Context, erasures string) error {
	erased, err := l.erasedOwners(ctx)
	if err != nil {
		return err
	}
	l.erasures, l.erased = erasures, erased
	args := []any{decimal(l.number), l.id}
	err = l.s.eachRow(ctx, l.number, l.id, func(e Entry) error {
		if !l.isErased(e.Owner) {
			return nil
		}
		bucket := bucketOf(e.Key)
		i, _ := strconv.ParseUint(bucket, 16, 8)
		l.count[i]--
		l.digest.remove(e)
		l.bytes -= int64(len(e.Key) + len(e.Owner) + len(e.Value) + 10)
		args = append(args, bucket, e.Key)
		return nil
	})
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(args[2:], 2*wholeChange) {
		r, err := l.s.write(ctx, "leave out erased rows", "unput", append(slices.Clone(args[:2]), chunk...)...)
		if err == nil {
			err = l.standing(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Close abandons what is not finished. A server that cannot be reached forgets it by itself.
func (l *redisLoader) Close() error {
	l.cancel() // lets go a Put that waits
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end()
	if l.done {
		return nil
	}
	l.done = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), 5*time.Second)
	defer cancel()
	_, err := l.s.eval(ctx, "abandon", decimal(l.number), l.id)
	if err != nil && !away(err) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, redis.ErrClosed) {
		return l.s.failed("abandon "+l.what(), err)
	}
	return nil
}

// end stops the senders. It may be called again.
func (l *redisLoader) end() {
	l.cancel()
	l.senders.Wait()
	l.renewer.Wait()
	l.samples, l.next = nil, batch{}
}
