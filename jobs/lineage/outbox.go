package lineage

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/rapport-ml/rapport/storage"
)

const (
	format = 1
	prefix = "lineage/"

	claimFor = time.Minute // how long a process may take to send the events of one run; longer than any pass
	casTries = 32
	maxQueue = 1000 // runs whose events wait
)

// record is the outbox of one run: its events, and how many of them each sink has.
type record struct {
	Format int             `json:"format"`
	Nonce  string          `json:"nonce"` // of the last write
	Run    string          `json:"run"`
	Since  time.Time       `json:"since"`
	Start  json.RawMessage `json:"start"`
	End    json.RawMessage `json:"end,omitempty"` // the terminal event, once there is one
	Sent   map[string]int  `json:"sent"`          // by sink: 0, 1 (START) or 2
	Claim  *claim          `json:"claim,omitempty"`
}

// claim is the right of one process to send the events.
type claim struct {
	By    string    `json:"by"`
	Until time.Time `json:"until"`
}

// events are those that stand in the record, in order.
func (r *record) events() []json.RawMessage {
	if r.End == nil {
		return []json.RawMessage{r.Start}
	}
	return []json.RawMessage{r.Start, r.End}
}

// waits reports whether a sink lacks an event that stands here.
func (r *record) waits(sink string) bool { return r.Sent[sink] < len(r.events()) }

func recordKey(run string) string { return prefix + run + ".json" }

// errGone says that a run's record is not there: its events have been sent, or its start was never told.
var errGone = errors.New("told already")

// create writes the record of a run that starts.
func (e *Emitter) create(ctx context.Context, r record) error {
	r.Format, r.Nonce = format, rand.Text()
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = storage.Commit(ctx, e.Bucket, recordKey(r.Run), body, storage.Cond{IfAbsent: true})
	return err
}

// update changes a record by compare-and-set; change says whether to write.
func (e *Emitter) update(ctx context.Context, key string, change func(*record) bool) (*record, error) {
	for range casTries {
		body, info, err := storage.ReadAll(ctx, e.Bucket, key)
		if errors.Is(err, storage.ErrNotFound) {
			return nil, errGone
		}
		if err != nil {
			return nil, err
		}
		r, err := decode(key, body)
		if err != nil {
			return nil, err
		}
		if !change(r) {
			return r, nil
		}
		r.Nonce = rand.Text()
		if body, err = json.Marshal(r); err != nil {
			return nil, err
		}
		_, err = storage.Commit(ctx, e.Bucket, key, body, storage.Cond{IfMatch: info.ETag})
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, storage.ErrPrecondition) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s: too many writers at once", key)
}

func decode(key string, body []byte) (*record, error) {
	var r record
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if r.Format != format {
		return nil, fmt.Errorf("%s: format %d was made by a newer rapport; this one reads %d", key, r.Format, format)
	}
	if recordKey(r.Run) != key || len(r.Start) == 0 {
		return nil, fmt.Errorf("%s: it is not the record of its run", key)
	}
	return &r, nil
}

// drain sends what waits, oldest run first. A sink that fails is left alone for the rest of the pass, so that it gets its events in order.
func (e *Emitter) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, e.Pass)
	defer cancel()
	down := map[string]bool{}
	var keys []string
	for info, err := range e.Bucket.List(ctx, prefix, storage.ListOpt{}) { // run ids are in order of time
		if err != nil {
			e.Log.Warn("lineage: the queue can't be listed", "error", err)
			return
		}
		keys = append(keys, info.Key)
	}
	if over := len(keys) - maxQueue; over > 0 {
		e.drop(ctx, keys[:over])
		keys = keys[over:]
	}
	for _, key := range keys {
		if ctx.Err() != nil || len(down) == len(e.sinks) {
			return
		}
		if err := e.sendRecord(ctx, key, down); err != nil && !errors.Is(err, errGone) {
			e.Log.Warn("lineage: events not sent; the next run tries again", "record", key, "error", err)
		}
	}
}

// drop gives up the oldest of a queue that is too long, but no run that is under way.
func (e *Emitter) drop(ctx context.Context, keys []string) {
	for _, key := range keys {
		r, err := e.update(ctx, key, func(*record) bool { return false })
		if err != nil || r.End == nil {
			continue
		}
		if err := e.Bucket.Delete(ctx, key); err == nil {
			e.dropped.Add(1)
			e.Log.Warn("lineage: the queue is full; the events of its oldest run are given up", "run", r.Run)
		}
	}
}

// maxRounds bounds how often one pass sends for a run that gets its next event meanwhile.
const maxRounds = 3

// sendRecord sends the events of one run that the sinks lack.
func (e *Emitter) sendRecord(ctx context.Context, key string, down map[string]bool) error {
	for range maxRounds {
		r, by, err := e.claim(ctx, key, down)
		if r == nil || err != nil {
			return err
		}
		sent, fault := e.send(ctx, r, down)
		if err := errors.Join(fault, e.record(ctx, key, by, sent)); err != nil {
			return err
		}
	}
	return nil
}

// claim takes the right to send the events of a run. It returns nil if there is nothing to send, or another process is at it.
func (e *Emitter) claim(ctx context.Context, key string, down map[string]bool) (*record, string, error) {
	by, mine := rand.Text(), false
	r, err := e.update(ctx, key, func(r *record) bool {
		mine = false
		if r.Claim != nil && e.Now().Before(r.Claim.Until) {
			return false
		}
		for _, s := range e.sinks {
			mine = mine || !down[s.name()] && r.waits(s.name())
		}
		if mine {
			r.Claim = &claim{By: by, Until: e.Now().Add(claimFor)}
		}
		return mine
	})
	if err != nil || !mine {
		return nil, "", err
	}
	return r, by, nil
}

// send sends what the sinks lack, and returns how many events each has then.
func (e *Emitter) send(ctx context.Context, r *record, down map[string]bool) (map[string]int, error) {
	var faults []error
	sent := map[string]int{}
	maps.Copy(sent, r.Sent)
	for _, s := range e.sinks {
		for sent[s.name()] < len(r.events()) && !down[s.name()] {
			err := s.send(ctx, r.events()[sent[s.name()]])
			switch {
			case err == nil:
				e.sent.Add(1)
			case errors.Is(err, errRefused):
				e.dropped.Add(1)
				e.Log.Warn("lineage: an event is given up", "run", r.Run, "error", err)
			default:
				e.failed.Add(1)
				down[s.name()] = true
				faults = append(faults, err)
				continue
			}
			sent[s.name()]++
		}
	}
	return sent, errors.Join(faults...)
}

// record writes down what was sent and gives the claim back; a record of which nothing is left to send, and nothing will be, is deleted.
func (e *Emitter) record(ctx context.Context, key, by string, sent map[string]int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.Pass)
	defer cancel()
	r, err := e.update(ctx, key, func(r *record) bool {
		if r.Sent == nil {
			r.Sent = map[string]int{}
		}
		for name, n := range sent {
			r.Sent[name] = max(r.Sent[name], n)
		}
		if r.Claim != nil && r.Claim.By == by {
			r.Claim = nil
		}
		return true
	})
	if err == nil && r.End != nil && e.complete(r) {
		err = e.Bucket.Delete(ctx, key)
	}
	return err
}

// complete reports whether every sink has every event.
func (e *Emitter) complete(r *record) bool {
	for _, s := range e.sinks {
		if r.waits(s.name()) {
			return false
		}
	}
	return true
}
