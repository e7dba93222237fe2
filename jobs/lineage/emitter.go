package lineage

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
)

// Options of an Emitter. All but File, URL, Token, Revision, Fault, Client, Timeout and Pass are needed, and File or URL.
type Options struct {
	Bucket    storage.Bucket
	Storage   string // URL of the bucket's root, as datasets name it
	Online    string // URL of the online store
	Namespace string // of the jobs
	Session   string // ULID of this process: the parent of the runs that it schedules or backfills
	Resolve   func(url string) string
	Now       func() time.Time // the machine's clock
	Log       *slog.Logger
	Revision  string // of this program

	File  string // events are appended to it, a line each
	URL   string // events are posted to it
	Token string // sent with each request, as a bearer token: then URL is https, or this machine
	Fault error  // why the settings can't be used, as that the token can't be read

	Client  *http.Client  // default: one of its own
	Timeout time.Duration // of one request; default 5 s
	Pass    time.Duration // of all sending at a run's start or end; default 10 s
}

// Emitter sends the events of runs. It is a jobs.Observer, safe for concurrent use; a nil Emitter sends nothing.
type Emitter struct {
	Options
	sinks []sink

	sent, failed, dropped atomic.Uint64
}

var _ jobs.Observer = (*Emitter)(nil)

// New returns an Emitter, or nil if there is nowhere to send events. Settings that can't be used become Fault: each run logs it, its events are
// kept, and sent when the settings are mended.
func New(o Options) *Emitter {
	if o.File == "" && o.URL == "" {
		return nil
	}
	if o.Pass == 0 {
		o.Pass = 10 * time.Second
	}
	e := &Emitter{Options: o}
	if o.File != "" {
		e.sinks = append(e.sinks, &fileSink{path: o.File})
	}
	if o.URL != "" {
		h, err := newHTTPSink(o)
		switch {
		case o.Fault != nil:
			e.sinks = append(e.sinks, &brokenSink{err: o.Fault})
		case err != nil:
			e.sinks = append(e.sinks, &brokenSink{err: err})
		default:
			e.sinks = append(e.sinks, h)
		}
	}
	return e
}

// brokenSink stands for an endpoint that nothing can be sent to.
type brokenSink struct{ err error }

func (b *brokenSink) name() string                       { return "http" }
func (b *brokenSink) send(context.Context, []byte) error { return b.err }

// Counts are counters since the process began.
type Counts struct {
	Sent    uint64 // events that arrived
	Failed  uint64 // attempts that failed; the event waits
	Dropped uint64 // events that were given up: refused by the endpoint, or more than the queue holds
}

// Counts returns the counters, for /metrics.
func (e *Emitter) Counts() Counts {
	if e == nil {
		return Counts{}
	}
	return Counts{Sent: e.sent.Load(), Failed: e.failed.Load(), Dropped: e.dropped.Load()}
}

// Started records and sends the START of a run. It takes no longer than Pass, and another for writing down what was sent.
func (e *Emitter) Started(ctx context.Context, job *jobs.Job, run ledger.Run) {
	if e == nil {
		return
	}
	body, err := encode(e.started(job, run))
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, e.Pass)
		defer cancel()
		err = e.create(ctx, record{Run: run.ID, Since: e.Now().UTC(), Start: body, Sent: map[string]int{}})
	}
	if err != nil {
		e.lost(run, err)
		return
	}
	e.drain(ctx)
}

// lost logs a run whose events are not told.
func (e *Emitter) lost(run ledger.Run, err error) {
	e.dropped.Add(1)
	e.Log.Warn("lineage: the events of this run are not told", "run", run.ID, "error", err)
}

// Ended records and sends the terminal event of a run, unless it has one. It takes no longer than three times Pass, and much less unless
// something hangs.
func (e *Emitter) Ended(ctx context.Context, job *jobs.Job, run ledger.Run, _ *jobs.Result) {
	if e == nil {
		return
	}
	e.end(ctx, run, func(ctx context.Context, start event) event {
		end := e.ended(start, run, e.decision(ctx, run))
		made, found, err := e.tables(ctx, job, run)
		if err != nil {
			e.Log.Warn("lineage: not all tables of this run are told", "run", run.ID, "error", err)
		}
		end.Inputs = append(e.sources(job, run, true), found...)
		end.Outputs = append(append([]dataset{}, made...), e.products(job, run)...)
		return end
	})
	e.bury(ctx, run)
	e.drain(ctx)
}

// end writes a run's terminal event into its record, if that is there and has none.
func (e *Emitter) end(ctx context.Context, run ledger.Run, terminal func(ctx context.Context, start event) event) {
	ctx, cancel := context.WithTimeout(ctx, e.Pass)
	defer cancel()
	var fault error
	var body json.RawMessage
	_, err := e.update(ctx, recordKey(run.ID), func(r *record) bool {
		if r.End != nil {
			return false
		}
		if body == nil {
			var start event
			if fault = json.Unmarshal(r.Start, &start); fault != nil {
				return false
			}
			if body, fault = encode(terminal(ctx, start)); fault != nil {
				return false
			}
		}
		r.End = body
		return true
	})
	if err = errors.Join(err, fault); err != nil && !errors.Is(err, errGone) {
		e.lost(run, err)
	}
}

// decision reads what the gate decided from the run's report, or returns nil where there is none.
func (e *Emitter) decision(ctx context.Context, run ledger.Run) *eval.Decision {
	if run.Report == "" {
		return nil
	}
	var report struct {
		Decision *eval.Decision `json:"decision"`
	}
	body, _, err := storage.ReadAll(ctx, e.Bucket, run.Report+".json")
	if err == nil {
		err = json.Unmarshal(body, &report)
	}
	if err != nil {
		e.Log.Warn("lineage: the report can't be read: the gate's verdicts are not told", "run", run.ID, "error", err)
		return nil
	}
	return report.Decision
}

// A record without an end is looked up in the ledger when it is abandoned; at most maxBuried are looked at, the oldest.
const (
	abandoned = time.Hour
	maxBuried = 50
)

// bury ends the records of runs that the ledger knows to have ended, though nobody has told: their process died between writing the one and
// the other. What the run made is not looked up then. A run that still stands as running is ended by its successor.
func (e *Emitter) bury(ctx context.Context, now ledger.Run) {
	ctx, cancel := context.WithTimeout(ctx, e.Pass)
	defer cancel()
	looked := 0
	for info, err := range e.Bucket.List(ctx, prefix, storage.ListOpt{}) {
		if looked++; err != nil || looked > maxBuried { // of a listing that fails, drain says so
			return
		}
		r, err := e.update(ctx, info.Key, func(*record) bool { return false })
		if err != nil || r.End != nil || r.Run == now.ID || e.Now().Sub(r.Since) < abandoned {
			continue
		}
		run, err := ledger.Ledger{Bucket: e.Bucket}.Get(ctx, r.Run)
		if err != nil {
			e.Log.Warn("lineage: a run that has started is not in the ledger", "run", r.Run, "error", err)
			continue
		}
		if run.Status == ledger.Running {
			continue
		}
		e.end(ctx, *run, func(ctx context.Context, start event) event { return e.ended(start, *run, e.decision(ctx, *run)) })
	}
}
