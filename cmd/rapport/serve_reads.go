package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
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
		ReadsOver(ctx context.Context, token string)
	}
	now func() time.Time
	log *slog.Logger

	mu      sync.Mutex
	told    map[string]*toldOf // by token
	failing bool               // the last line could not be written
}

// toldOf is what has been told of a token.
type toldOf struct {
	last time.Time // zero: nothing, by this server
	from time.Time // when it was first looked at
	open bool      // it may be open, by this server or by one before it
}

func (s *server) newReadsWatch() *readsWatch {
	o := s.alertOptions(s.wall)
	o.Keep = true // status shows what is open even where nobody is to be told
	return &readsWatch{
		reads: web.NewReads(), tokens: s.tokens, alerts: alert.New(o), now: s.wall, log: s.runner.Log, told: map[string]*toldOf{},
		write: func(ctx context.Context, b *web.Batch) error {
			return s.runner.LogRequests(ctx, "token "+b.Token, "POST "+b.Path, b.Requests, b.People(), b.Marks())
		},
	}
}

// note counts that the caller of ctx touches people's records: their online keys and their canonical ids, of which neither is kept.
func (w *readsWatch) note(ctx context.Context, path string, k event.Keys, online, canonical []string) {
	hashes := make([]uint64, len(online))
	for i, key := range online {
		hashes[i] = readHash(key)
	}
	w.reads.Touch(web.Caller(ctx).Name, path, w.now(), hashes, func(i int) event.Mark { return event.MarkOf(k, canonical[i]) })
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
	now := w.now()
	for _, r := range w.reads.Hour(now, w.tokens.All()) {
		w.judge(ctx, r, now)
	}
}

// flush writes batches down: those that are due, or all. What cannot be written is kept, and tried again at the next turn.
func (w *readsWatch) flush(ctx context.Context, all bool) {
	var failed error
	for _, b := range w.reads.Take(w.now(), all) {
		if failed == nil {
			failed = w.write(ctx, b)
		}
		if failed != nil {
			w.reads.Return(b)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if failed != nil && !w.failing {
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
		w.alerts.ReadsOver(ctx, r.Token)
	}
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

// ready fails when lines of the access log are overdue: whose records are read then is not written down.
func (w *readsWatch) ready(context.Context) error {
	if late := w.unlogged(); late > web.BatchTime+logPatient {
		return fmt.Errorf("the requests of the last %s are not in it: the bucket cannot be written", late.Truncate(time.Second))
	}
	return nil
}
