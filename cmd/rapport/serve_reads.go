package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/web"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs/alert"
)

const (
	readsTurn  = 10 * time.Second
	againAfter = time.Hour       // between two alerts of one token
	logPatient = 5 * time.Minute // how long after it was due a line of the access log may be missing before the server is not ready
	lineTime   = 5 * time.Second // that a request waits for its line before it is refused
	flushTime  = time.Minute     // that the lines of one turn may take together
	lookAgain  = time.Minute     // for alerts of tokens that are valid no more, where some could not be read
)

// readHash is the beginning of an online key, which is an HMAC and so spread evenly.
func readHash(online string) (h uint64) {
	b, err := hex.DecodeString(online)
	if err != nil {
		return 0 // a programmer's error: online keys are hexadecimal digits
	}
	for _, c := range b[:min(8, len(b))] {
		h = h<<8 | uint64(c)
	}
	return h
}

// readsWatch writes what callers have asked for down in the access log, and tells when one of them reads of more people than it should.
type readsWatch struct {
	reads  *web.Reads
	tokens *web.Tokens
	write  func(ctx context.Context, b *web.Batch) error // a line of the access log
	alerts interface {
		Reads(ctx context.Context, token string, people, above int64)
		ReadsOver(ctx context.Context, token, why string)
		OpenReads(ctx context.Context) (tokens []string, err error)
	}
	now    func() time.Time
	log    *slog.Logger
	within time.Duration // lineTime
	pen    chan struct{} // held by who writes lines that are waited for: all that wait at one moment stand in one

	valid  []string  // the tokens beside whose alerts none is open; of the goroutine that turns, as looked
	looked time.Time // when that was last looked for

	mu      sync.Mutex
	told    map[string]*toldOf // by token
	failing bool               // the last line could not be written
	refused time.Time          // since when requests are refused, for their lines cannot be written; zero: none is
}

// toldOf is what has been told of a token.
type toldOf struct {
	last time.Time // zero: nothing, by this server
	from time.Time // when it was first looked at
	open bool      // it may be open, by this server or by one before it
}

// keeper is a notifier by which status shows what is open even where nobody is to be told.
func (s *server) keeper() *alert.Notifier {
	o := s.alertOptions(s.wall)
	o.Keep = true
	return alert.New(o)
}

func (s *server) newReadsWatch() *readsWatch {
	return &readsWatch{
		reads: web.NewReads(), tokens: s.tokens, alerts: s.keeper(), now: s.wall, log: s.runner.Log, told: map[string]*toldOf{},
		within: lineTime, pen: make(chan struct{}, 1),
		write: func(ctx context.Context, b *web.Batch) error {
			return s.runner.LogRequests(ctx, "token "+b.Token, "POST "+b.Path, b.Requests, b.People(), b.Marks())
		},
	}
}

// note counts that the caller of ctx touches people's records: their online keys and their canonical ids, of which neither is kept. Its line follows.
func (w *readsWatch) note(ctx context.Context, path string, k event.Keys, online, canonical []string) {
	w.reads.Touch(web.Caller(ctx).Name, path, w.now(), slices.Collect(readHashes(slices.Values(online))), marker(k, canonical))
}

// ahead is note for a request that changes something: it returns when its line stands in the access log. Its error is why the change is not to be made.
func (w *readsWatch) ahead(ctx context.Context, path string, k event.Keys, online, canonical []string) error {
	stands := w.reads.Ahead(web.Caller(ctx).Name, path, w.now(), slices.Collect(readHashes(slices.Values(online))), marker(k, canonical))
	go w.awaited(context.WithoutCancel(ctx)) // who asks may leave; the others who wait for the line do not
	late := time.NewTimer(w.within)
	defer late.Stop()
	var err error
	select {
	case err = <-stands:
	case <-late.C:
		err = fmt.Errorf("the bucket has not taken it within %s", w.within)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case err = <-stands: // since
	default:
	}
	if err == nil {
		return nil
	}
	if w.refused.IsZero() && !w.reads.Oldest().IsZero() { // else it has been written again since, and no other line need ever come to say so
		w.refused = w.now()
	}
	return fmt.Errorf("nothing is recorded, for it is not in the access log: ask again: %w", err)
}

// count counts people whom the caller of ctx touches by a file, which has a line of its own: by their online keys.
func (w *readsWatch) count(ctx context.Context, online iter.Seq[string]) {
	w.reads.Count(web.Caller(ctx).Name, w.now(), readHashes(online))
}

func readHashes(online iter.Seq[string]) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for key := range online {
			if !yield(readHash(key)) {
				return
			}
		}
	}
}

// marker makes the mark of the i-th of some people.
func marker(k event.Keys, canonical []string) func(i int) event.Mark {
	return func(i int) event.Mark { return event.MarkOf(k, canonical[i]) }
}

// run turns every ten seconds until ctx ends.
func (w *readsWatch) run(ctx context.Context) {
	ticks := time.NewTicker(readsTurn)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			w.turn(ctx)
		}
	}
}

// turn writes down the batches that are due, and tells of tokens that read of too many.
func (w *readsWatch) turn(ctx context.Context) {
	w.flush(ctx, false)
	now, tokens := w.now(), w.tokens.All()
	for _, r := range w.reads.Hour(now, tokens) {
		w.judge(ctx, r, now)
	}
	w.forget(ctx, tokens)
}

// flush writes batches down: those that are due, or all.
func (w *readsWatch) flush(ctx context.Context, all bool) {
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	w.put(ctx, w.reads.Take(w.now(), all))
}

// awaited writes down what is waited for. One does at a time: who comes meanwhile stands in the next line, with all others who have.
func (w *readsWatch) awaited(ctx context.Context) {
	late := time.NewTimer(w.within)
	defer late.Stop()
	select {
	case w.pen <- struct{}{}:
		defer func() { <-w.pen }()
		ctx, cancel := context.WithTimeout(ctx, w.within) // of its own: who has come meanwhile has most of theirs left
		defer cancel()
		w.put(ctx, w.reads.TakeAwaited())
	case <-late.C: // who waits has left
	}
}

// put writes lines. What cannot be written is kept, and tried again at the next turn.
func (w *readsWatch) put(ctx context.Context, batches []*web.Batch) {
	if len(batches) == 0 {
		return
	}
	var failed error
	for _, b := range batches {
		if failed == nil {
			failed = w.write(ctx, b)
		}
		if failed != nil {
			w.reads.Return(b, failed)
		} else {
			w.reads.Wrote(b)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case failed == nil:
		w.refused = time.Time{}
	case !w.failing:
		w.log.Error("what callers have asked for is not in the access log yet; it is tried again", "error", failed)
	}
	w.failing = failed != nil
}

// goodbyeTime bounds the last lines of a server that ends.
const goodbyeTime = 10 * time.Second

// last writes down all that is not, when nobody is answered any more. What cannot be written is lost, and said to be.
func (w *readsWatch) last(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, goodbyeTime)
	defer cancel()
	select {
	case w.pen <- struct{}{}: // a line whose asker has left may be on its way
		defer func() { <-w.pen }()
	case <-ctx.Done():
	}
	w.flush(ctx, true)
	if since := w.reads.Oldest(); !since.IsZero() {
		w.log.Error("this server ends, and what callers have asked for is missing from the access log", "since", since)
	}
}

// judge tells of a token that is over its bound, at most once an hour, and once that it is so no more.
func (w *readsWatch) judge(ctx context.Context, r web.Reading, now time.Time) {
	w.mu.Lock()
	t := w.told[r.Token]
	if t == nil {
		t = &toldOf{from: now, open: true}
		w.told[r.Token] = t
	}
	tell := r.Over && (t.last.IsZero() || now.Sub(t.last) >= againAfter)
	end := !r.Over && t.open && now.Sub(t.from) >= againAfter && now.Sub(t.last) >= againAfter
	if tell {
		t.last, t.open = now, true
	}
	if end {
		t.open = false
	}
	w.mu.Unlock()
	switch {
	case tell:
		w.log.Warn("a token touches the records of more people than it should", "token", r.Token, "people_last_hour", r.People, "alert_above", r.Above)
		w.alerts.Reads(ctx, r.Token, r.People, r.Above)
	case end:
		w.alerts.ReadsOver(ctx, r.Token, "It is within its bound again.")
	}
}

// forget ends what is open of tokens that are valid no more, those of a server before this one among them. It looks whenever there are others than before.
func (w *readsWatch) forget(ctx context.Context, tokens []web.Token) {
	valid := make([]string, len(tokens))
	for i, t := range tokens {
		valid[i] = t.Name
	}
	now := w.now()
	if w.valid != nil && slices.Equal(valid, w.valid) || !w.looked.IsZero() && now.Sub(w.looked) < lookAgain && w.valid == nil {
		return
	}
	w.looked, w.valid = now, nil
	open, err := w.alerts.OpenReads(ctx)
	for _, name := range open {
		if !slices.Contains(valid, name) {
			w.alerts.ReadsOver(ctx, name, "The token is valid no more.")
		}
	}
	if err != nil {
		w.log.Warn("not every alert could be read: of tokens that are valid no more some may be open; it is looked for again", "error", err)
		return
	}
	w.valid = valid
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.told, func(name string, _ *toldOf) bool { return !slices.Contains(valid, name) })
}

// standing is what status tells of each token.
func (w *readsWatch) standing() []web.Reading { return w.reads.Hour(w.now(), w.tokens.All()) }

// unlogged is for how long requests have not been in the access log.
func (w *readsWatch) unlogged() time.Duration {
	since := w.reads.Oldest()
	if since.IsZero() {
		return 0
	}
	return w.now().Sub(since)
}

// ready fails when lines of the access log are overdue, for whose records are read then is not written down; and while changes are refused for want of theirs.
func (w *readsWatch) ready(context.Context) error {
	w.mu.Lock()
	refused := w.refused
	w.mu.Unlock()
	if !refused.IsZero() {
		return fmt.Errorf("consent and preferences are refused since %s, for their lines cannot be written: see that the bucket answers, and that this server may write policy/access/", refused.UTC().Format(time.RFC3339))
	}
	if late := w.unlogged(); late > web.BatchTime+logPatient {
		return fmt.Errorf("the requests of the last %s are not in it: the bucket cannot be written", late.Truncate(time.Second))
	}
	return nil
}
