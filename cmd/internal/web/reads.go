package web

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/features/event"
)

const (
	// maxNamed is of how many people a batch names the marks: as many as a line of the access log takes.
	maxNamed = 100

	// BatchTime is how long a batch is added to before it becomes a line of the access log.
	BatchTime = 5 * time.Minute
	readsSpan = time.Hour // in which a token's people are counted
)

// Reads counts whose records callers have touched: in batches of a token and a path, which become lines of the access log, and how many people a
// token has touched within the last hour. It keeps no id and no key of a person, only sketches of hashes, and marks under the erasure key of the
// first hundred of a batch. Memory: at most about 0.5 MB a token, however many people there are. It is safe for concurrent use.
type Reads struct {
	mu      sync.Mutex
	batches map[batchOf]*Batch
	writing map[*Batch]bool                 // that were taken out, and of which nobody has said yet that their lines stand
	hours   map[string]*aggregate.Registers // by token
}

type batchOf struct{ token, path string }

// Batch is what one token has asked of one path in a few minutes.
type Batch struct {
	Token, Path string
	Since       time.Time
	Requests    int
	named       map[uint64]event.Mark // people by hash; nil once there are too many to be named
	people      aggregate.Registers
	waiting     []chan<- error // who does nothing before the line stands
	owed        bool           // it could not be written before
}

// NewReads returns a count of nothing.
func NewReads() *Reads {
	return &Reads{batches: map[batchOf]*Batch{}, writing: map[*Batch]bool{}, hours: map[string]*aggregate.Registers{}}
}

// Touch counts that a request touches the records of people: their hashes (of online keys; equal for equal people, and evenly spread), and what makes
// the mark of the i-th of them, which is asked for only where it is to be named. O(log n) a person.
func (r *Reads) Touch(token, path string, now time.Time, hashes []uint64, mark func(i int) event.Mark) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.touch(token, path, now, hashes, mark)
}

// Ahead is Touch for a request that does nothing before its line stands: what it returns tells so, by nil, or why there is none yet. Whoever calls it sees to
// it that TakeAwaited is called then.
func (r *Reads) Ahead(token, path string, now time.Time, hashes []uint64, mark func(i int) event.Mark) <-chan error {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, stands := r.touch(token, path, now, hashes, mark), make(chan error, 1)
	b.waiting = append(b.waiting, stands)
	return stands
}

func (r *Reads) touch(token, path string, now time.Time, hashes []uint64, mark func(i int) event.Mark) *Batch {
	b := r.batches[batchOf{token, path}]
	if b == nil {
		b = &Batch{Token: token, Path: path, Since: now, named: map[uint64]event.Mark{}}
		r.batches[batchOf{token, path}] = b
	}
	b.Requests++
	hour, minute := r.hour(token), minuteOf(now)
	for i, h := range hashes {
		b.people.Add(h, 0)
		hour.Add(h, minute)
		if _, is := b.named[h]; is || b.named == nil {
			continue
		}
		if len(b.named) == maxNamed {
			b.named = nil
			continue
		}
		b.named[h] = mark(i)
	}
	return b
}

// Count counts people whom a token touches by what has a line of its own, as a file has.
func (r *Reads) Count(token string, now time.Time, hashes iter.Seq[uint64]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hour, minute := r.hour(token), minuteOf(now)
	for h := range hashes {
		hour.Add(h, minute)
	}
}

// hour is the sketch of whom a token has touched.
func (r *Reads) hour(token string) *aggregate.Registers {
	h := r.hours[token]
	if h == nil {
		h = &aggregate.Registers{}
		r.hours[token] = h
	}
	return h
}

// minuteOf counts minutes: finer times would only make the sketch larger.
func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// Take takes out the batches that are old enough, or were returned, or with all every one, ordered by token and path. Each is to be written down, and then given to Wrote or to
// Return.
func (r *Reads) Take(now time.Time, all bool) []*Batch {
	return r.take(func(b *Batch) bool { return all || b.owed || now.Sub(b.Since) >= BatchTime })
}

// TakeAwaited is Take of the batches for whose lines somebody waits.
func (r *Reads) TakeAwaited() []*Batch {
	return r.take(func(b *Batch) bool { return len(b.waiting) > 0 })
}

func (r *Reads) take(which func(*Batch) bool) []*Batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*Batch
	for k, b := range r.batches {
		if which(b) {
			out = append(out, b)
			r.writing[b] = true
			delete(r.batches, k)
		}
	}
	slices.SortFunc(out, func(a, b *Batch) int { return strings.Compare(a.Token+" "+a.Path, b.Token+" "+b.Path) })
	return out
}

// Wrote says that the line of a batch that was taken out stands.
func (r *Reads) Wrote(b *Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.writing, b)
	b.tell(nil)
}

// tell tells whoever waits for the line, once.
func (b *Batch) tell(err error) {
	for _, stands := range b.waiting {
		stands <- err
	}
	b.waiting = nil
}

// Return gives back a batch that could not be written down, and why. It becomes one with what has come since, and is to be written down yet: what was asked
// for was asked for, though whoever waited for the line does not do it.
func (r *Reads) Return(b *Batch, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.writing, b)
	b.tell(why)
	b.owed = true
	k := batchOf{b.Token, b.Path}
	since := r.batches[k]
	r.batches[k] = b
	if since == nil {
		return
	}
	if since.Since.Before(b.Since) { // it was returned as well
		b.Since = since.Since
	}
	b.waiting = since.waiting
	b.Requests += since.Requests
	b.people.Merge(since.people)
	if b.named == nil || since.named == nil {
		b.named = nil
		return
	}
	maps.Copy(b.named, since.named)
	if len(b.named) > maxNamed {
		b.named = nil
	}
}

// Oldest is when the oldest batch was begun whose line does not stand, be it being written; zero if there is none.
func (r *Reads) Oldest() (t time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	look := func(b *Batch) {
		if t.IsZero() || b.Since.Before(t) {
			t = b.Since
		}
	}
	for _, b := range r.batches {
		look(b)
	}
	for b := range r.writing {
		look(b)
	}
	return t
}

// People is of how many people a batch touched the records: exact up to 100, else to about 2 %.
func (b *Batch) People() int {
	if b.named != nil {
		return len(b.named)
	}
	return max(int(b.people.Result(0)), maxNamed+1)
}

// Marks name the people of a batch, if there are at most 100.
func (b *Batch) Marks() []event.Mark {
	return slices.SortedFunc(maps.Values(b.named), func(x, y event.Mark) int { return strings.Compare(x.KeyID+x.MAC, y.KeyID+y.MAC) })
}

// Reading is of how many people a token has touched the records within the last hour, to about 2 %.
type Reading struct {
	Token  string `json:"token"`
	People int64  `json:"people_last_hour"`
	Above  int64  `json:"alert_above,omitempty"`
	Over   bool   `json:"over,omitempty"` // more than Above
}

// Hour counts the people of each token within the hour before now. Cost: that of a walk over the sketches, some 0.1 ms a busy token.
func (r *Reads) Hour(now time.Time, tokens []Token) []Reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := minuteOf(now.Add(-readsSpan)) + 1
	for name, s := range r.hours {
		if s.Cut(from); len(*s) == 0 {
			delete(r.hours, name)
		}
	}
	out := make([]Reading, len(tokens))
	for i, t := range tokens {
		out[i] = Reading{Token: t.Name, Above: t.Above}
		if s := r.hours[t.Name]; s != nil {
			out[i].People = s.Result(from)
		}
		out[i].Over = t.Above > 0 && out[i].People > t.Above
	}
	return out
}
