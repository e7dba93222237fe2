package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// world is a project with a bucket, a clock that stands unless it is moved, a log, and webhooks.
type world struct {
	testing.TB
	bucket storage.Bucket
	job    *jobs.Job
	log    *logBuffer

	mu    sync.Mutex
	clock time.Time
	waits []time.Duration
	to    []Destination
	runs  int
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

var midnight = time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)

func newWorld(t testing.TB) *world {
	t.Helper()
	every, err := table.EveryOf("1d", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		TB: t, bucket: storage.NewMemory(nil), log: &logBuffer{}, clock: midnight.Add(3 * time.Hour),
		job: &jobs.Job{Project: "shop", Name: "nightly", Every: every},
	}
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

// notifier is a fresh process's Notifier: nothing but the bucket is shared.
func (w *world) notifier() *Notifier {
	n := New(Options{
		Bucket: w.bucket, Project: "shop", To: w.to, Locate: func(key string) string { return "/lake/" + key }, Now: w.now,
		Log: slog.New(slog.NewTextHandler(w.log, nil)), Revision: "test", Jitter: func() float64 { return 0.5 },
		Wait: func(_ context.Context, d time.Duration) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.waits = append(w.waits, d)
			return nil
		},
	})
	n.limits.request, n.limits.pass, n.limits.store = 2*time.Second, 5*time.Second, 2*time.Second
	return n
}

// interval is the day that ended d days before midnight; 0 is the last closed one.
func (w *world) interval(back int) table.Interval {
	return w.job.Every.At(midnight.AddDate(0, 0, -back))
}

// run is a run that ended, with steps as far as through.
func (w *world) run(back int, s ledger.Status, failure, through string) ledger.Run {
	w.runs++
	iv := w.interval(back)
	r := ledger.Run{
		ID: fmt.Sprintf("01HZZZZZZZZZZZZZZZZZZZZZ%02d", w.runs), Job: w.job.Name, Interval: iv, Label: w.job.Every.Label(iv), Status: s, Cause: "schedule",
		Error: failure,
	}
	for _, step := range stations[1:] {
		r.Steps = append(r.Steps, ledger.Step{Name: step, Label: r.Label, Status: "done"})
		if step == through {
			break
		}
	}
	if s == ledger.Failed {
		r.Steps[len(r.Steps)-1].Status = "failed"
	}
	return r
}

// end tells a fresh process's Notifier of a run's end.
func (w *world) end(r ledger.Run) *Notifier {
	n := w.notifier()
	w.endOn(n, r)
	return n
}

func (w *world) endOn(n *Notifier, r ledger.Run) {
	res := &jobs.Result{RunID: r.ID}
	if r.Status == ledger.Succeeded && len(r.Steps) == len(stations)-1 {
		res.Published = &jobs.Published{Generation: 1}
	}
	n.Ended(w.Context(), w.job, r, res)
}

// report stores what the gate decided, as a run's report has it.
func (w *world) report(r *ledger.Run, rules ...eval.Rule) {
	w.Helper()
	r.Report = "reports/nightly/" + r.Label + "/abc"
	body, err := json.Marshal(map[string]any{"schema": eval.ReportSchema, "decision": eval.Decision{Rules: rules}})
	if err == nil {
		_, err = w.bucket.Put(w.Context(), r.Report+".json", storage.Bytes(body), storage.Cond{})
	}
	if err != nil {
		w.Fatal(err)
	}
}

// hook is a webhook that keeps what it receives; answer, where it is set, answers instead.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	bodies [][]byte
	heads  []http.Header
	answer http.HandlerFunc
}

// webhook starts a webhook, which is told of everything.
func (w *world) webhook(change func(*Destination)) *hook {
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
		if err != nil {
			return
		}
		h.mu.Lock()
		h.bodies, h.heads = append(h.bodies, body), append(h.heads, req.Header.Clone())
		answer := h.answer
		h.mu.Unlock()
		if answer != nil {
			answer(rw, req)
		}
	}))
	w.Cleanup(h.Close)
	d := Destination{Where: fmt.Sprintf("alerts[%d]", len(w.to)), Address: h.URL + "/services/T0/B0/very-secret", Format: "json", On: []Kind{Failed, Rejected, Late, Drift, Budget}}
	if change != nil {
		change(&d)
	}
	w.to = append(w.to, d)
	return h
}

func (h *hook) set(answer http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

// take returns what has come since the last take.
func (h *hook) take(t testing.TB) []Message {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	out := []Message{}
	for _, b := range h.bodies {
		var m Message
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		out = append(out, m)
	}
	h.bodies, h.heads = nil, nil
	return out
}

// says lists messages in short, sorted: "open failed".
func says(all []Message) string {
	var out []string
	for _, m := range all {
		out = append(out, strings.TrimSpace(string(m.Status)+" "+string(m.Kind)+" "+m.Subject))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func (w *world) expect(h *hook, want string) {
	w.Helper()
	if got := says(h.take(w)); got != want {
		w.Errorf("the webhook was told %q, want %q\n%s", got, want, w.log)
	}
}
