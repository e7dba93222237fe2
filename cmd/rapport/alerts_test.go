package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/alert"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/jobs/lineage"
	"github.com/rapport-ml/rapport/storage"
)

// inbox is a webhook that keeps what it receives.
type inbox struct {
	*httptest.Server
	mu     sync.Mutex
	bodies [][]byte
	heads  []http.Header
}

func newInbox(t testing.TB) *inbox {
	b := &inbox{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.bodies, b.heads = append(b.bodies, body), append(b.heads, r.Header.Clone())
	}))
	t.Cleanup(b.Close)
	return b
}

// take returns what has come since the last take, but drift, which small worlds have of their own.
func (b *inbox) take(t testing.TB) (out []alert.Message) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, body := range b.bodies {
		var m alert.Message
		if err := json.Unmarshal(body, &m); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if m.Kind != alert.Drift {
			out = append(out, m)
		}
	}
	b.bodies, b.heads = nil, nil
	return out
}

// runEvent is an OpenLineage event as a catalog reads it.
type runEvent struct {
	EventType string
	Run       struct {
		RunID  string
		Facets map[string]json.RawMessage
	}
	Inputs, Outputs []struct {
		Namespace, Name string
		Facets          map[string]json.RawMessage
		InputFacets     map[string]json.RawMessage
		OutputFacets    map[string]json.RawMessage
	}
}

// told reads a lineage file: the events of each run, in order.
func told(t testing.TB, path string) map[string][]runEvent {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]runEvent{}
	for line := range bytes.Lines(body) {
		var e runEvent
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		out[e.Run.RunID] = append(out[e.Run.RunID], e)
	}
	return out
}

// runUUID is the UUID of a run in events: the bits of its ULID.
func runUUID(t testing.TB, id string) string {
	t.Helper()
	u, err := ulid.ParseStrict(id)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// Real runs, however they end, are told once to people and to a catalog: succeeded, refused, failed, killed, and with nothing to do.
func TestObserved(t *testing.T) {
	s := newShop(t, smallWorld)
	box := newInbox(t)
	file := filepath.Join(s.dir, "lineage.ndjson")
	log := slog.New(slog.NewTextHandler(s.log, nil))
	all := []alert.Kind{alert.Failed, alert.Rejected, alert.Late, alert.Drift}
	people := alert.New(alert.Options{
		Bucket: s.opened.Bucket, Project: "shop", Now: time.Now, Log: log, Locate: func(key string) string { return "lake/" + key },
		To: []alert.Destination{{Where: "alerts[0]", Address: box.URL, Format: "json", On: all}},
	})
	o := s.opened.LineageOptions()
	o.Bucket, o.File, o.Now, o.Log, o.Session, o.Revision = s.opened.Bucket, file, time.Now, log, ulid.Make().String(), "test"
	catalog := lineage.New(o)
	s.runner.Observers = []jobs.Observer{people, catalog}
	one := func(status alert.Status, kind alert.Kind, run string) {
		t.Helper()
		got := box.take(t)
		if len(got) != 1 || got[0].Status != status || got[0].Kind != kind || got[0].Run != run {
			t.Errorf("people were told %+v, want %s %s of run %s\n%s", got, status, kind, run, s.log)
		}
	}

	first := s.night(6)
	if got := box.take(t); len(got) != 0 {
		t.Errorf("a good night tells people %+v", got)
	}
	again := s.night(6)

	budgets, tenfold := s.job.Budgets, 10.0
	s.job.Budgets = []eval.Budget{{Metric: "ndcg@10", Against: "live", Ratio: &tenfold, OnFail: eval.Block, Owner: "test", Why: "to be refused"}}
	refused, err := s.try(7)
	if !errors.Is(err, jobs.ErrRejected) {
		t.Fatalf("the gate: %v", err)
	}
	one(alert.Opened, alert.Rejected, refused.RunID)
	s.job.Budgets = budgets

	floor := s.job.Floor
	s.job.Floor = 50
	failed, err := s.try(7)
	if err == nil {
		t.Fatal("fifty times the usual volume is no fault")
	}
	one(alert.Opened, alert.Failed, failed.RunID)
	s.job.Floor = floor

	// A run of this interval was killed; the next one buries it, succeeds, and so ends all that was open.
	iv := s.interval(7)
	dead := ledger.Run{ID: ulid.Make().String(), Job: s.job.Name, Interval: iv, Label: s.job.Every.Label(iv), Status: ledger.Running, Cause: "schedule", Started: nightAfter(7)}
	if err := (ledger.Ledger{Bucket: s.opened.Bucket}).Save(t.Context(), &dead); err != nil {
		t.Fatal(err)
	}
	catalog.Started(t.Context(), s.job, dead)
	good := s.night(7)
	var over []string
	for _, m := range box.take(t) {
		over = append(over, fmt.Sprintf("%s %s", m.Status, m.Kind))
	}
	slices.Sort(over)
	if got := strings.Join(over, ", "); got != "resolved failed, resolved rejected" && !strings.HasSuffix(got, ", resolved failed, resolved rejected") {
		t.Errorf("at the end people were told %q", got)
	}
	open, err := alert.Open(t.Context(), s.opened.Bucket, "shop")
	if err != nil || slices.ContainsFunc(open, func(a alert.Alert) bool { return a.Kind == alert.Failed || a.Kind == alert.Rejected }) {
		t.Errorf("still open: %+v, %v", open, err)
	}

	events := told(t, file)
	if len(events) != 6 {
		t.Errorf("%d runs were told of", len(events))
	}
	for id, end := range map[string]string{
		first.RunID: "COMPLETE", again.RunID: "COMPLETE", refused.RunID: "COMPLETE", failed.RunID: "FAIL", dead.ID: "ABORT", good.RunID: "COMPLETE",
	} {
		got := events[runUUID(t, id)]
		if len(got) != 2 || got[0].EventType != "START" || got[1].EventType != end {
			t.Errorf("run %s: want START and %s, got %+v", id, end, got)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	end := func(id string) runEvent { return events[runUUID(t, id)][1] }
	outputs := func(e runEvent) (names []string) {
		for _, d := range e.Outputs {
			names = append(names, d.Name[strings.LastIndex(d.Name, "/lake/")+len("/lake/"):])
		}
		slices.Sort(names)
		return names
	}
	for _, want := range []string{"data/ingest/events", "data/build/activity", "models/home", "reports/nightly"} {
		if !slices.Contains(outputs(end(first.RunID)), want) {
			t.Errorf("the first night's outputs %v lack %s", outputs(end(first.RunID)), want)
		}
	}
	for _, d := range end(first.RunID).Outputs {
		if strings.HasSuffix(d.Name, "data/ingest/events") {
			if got := string(d.Facets["columnLineage"]); !strings.Contains(got, `"field":"user_id"`) || !strings.Contains(got, `"masking":true`) || !strings.Contains(got, "raw/events") {
				t.Errorf("column lineage: %s", got)
			}
		}
	}
	if got := end(again.RunID); len(got.Outputs) != 0 || len(got.Inputs) <= len(s.job.Raw) {
		t.Errorf("a run with nothing to do made %v of %d inputs", outputs(got), len(got.Inputs))
	}
	if got := string(end(refused.RunID).Run.Facets["test"]); !strings.Contains(got, `"status":"fail","severity":"error","type":"budget"`) {
		t.Errorf("the refused run's tests: %s", got)
	}
	if got := end(failed.RunID); got.Run.Facets["errorMessage"] == nil || !strings.Contains(string(got.Inputs[0].InputFacets["dataQualityAssertions"]), `"success":false`) {
		t.Errorf("the failed run: %s, %s", got.Run.Facets, got.Inputs[0].InputFacets)
	}
	if got := events[runUUID(t, dead.ID)][0]; got.Run.Facets["parent"] == nil {
		t.Errorf("a scheduled run has no parent: %s", got.Run.Facets)
	}
	s.noRawIDs(t, file)
}

// noRawIDs looks for raw ids of subjects in a lineage file and in all objects that observers have written.
func (s *shop) noRawIDs(t testing.TB, file string) {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{file: body}
	for key, body := range objects(t, s.opened.Bucket) {
		if strings.HasPrefix(key, "alerts/") || strings.HasPrefix(key, "lineage/") {
			texts[key] = body
		}
	}
	for _, id := range s.admitted(5) {
		for name, text := range texts {
			if bytes.Contains(text, []byte(id)) {
				t.Errorf("a raw id stands in %s", name)
			}
		}
	}
}

// The verbs, over a project file: a run that fails tells a signed webhook and a lineage file; list shows it, test says what came of a message.
func TestAlertsVerbs(t *testing.T) {
	dir, err := makeShop(t)
	if err != nil {
		t.Fatal(err)
	}
	box := newInbox(t)
	path := filepath.Join(dir, projectFile)
	yaml, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	do := func(want int, args ...string) (string, string) {
		t.Helper()
		var out, errs bytes.Buffer
		env := func(name string) string {
			return map[string]string{"HOOK": box.URL + "/very-secret", "HOOK_SECRET": "s3cr3t"}[name]
		}
		if got := run(t.Context(), append([]string{"-c", path}, args...), env, strings.NewReader(""), &out, &errs); got != want {
			t.Fatalf("rapport %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, want, &out, &errs)
		}
		if strings.Contains(out.String()+errs.String(), "very-secret") {
			t.Errorf("the address stands in %s%s", &out, &errs)
		}
		return out.String(), errs.String()
	}
	if out, _ := do(0, "alerts", "list", "-o", "json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("alerts of a new project: %s", out)
	}
	do(exitUsage, "alerts", "test")

	text := string(yaml) + "\nalerts:\n  - {webhook: env:HOOK, secret: env:HOOK_SECRET, on: [failed]}\n  - {webhook: env:NO_SUCH_HOOK, on: [failed]}\nlineage: {file: ./lineage.ndjson}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := do(exitFailed, "alerts", "test", "-o", "json")
	var outcomes []alert.Outcome
	if err := json.Unmarshal([]byte(out), &outcomes); err != nil || len(outcomes) != 2 || !outcomes[0].OK || !outcomes[0].Signed || outcomes[1].OK ||
		!strings.Contains(outcomes[1].Says, "NO_SUCH_HOOK") {
		t.Errorf("test: %s, %v", out, err)
	}
	if err := alert.Verify([]byte("s3cr3t"), box.heads[0].Get(alert.SignatureHeader), box.bodies[0], time.Now(), alert.ReplayWindow); err != nil {
		t.Error(err)
	}
	box.take(t)

	if err := os.RemoveAll(filepath.Join(dir, "raw", "items.parquet")); err != nil {
		t.Fatal(err)
	}
	_, errs := do(exitFailed, "run", "nightly")
	if !strings.Contains(errs, "alerts[1]") || !strings.Contains(errs, "NO_SUCH_HOOK") {
		t.Errorf("nobody was told of the missing variable: %s", errs)
	}
	do(exitFailed, "run", "nightly")
	got := box.take(t)
	if len(got) != 1 || got[0].Kind != alert.Failed || !strings.HasPrefix(got[0].Command, "rapport runs why ") {
		t.Fatalf("told %+v", got)
	}
	if out, _ := do(0, "alerts", "list"); !strings.Contains(out, "not delivered to 1") || !strings.Contains(out, "rapport runs why") {
		t.Errorf("list: %s", out)
	}
	if events := told(t, filepath.Join(dir, "lineage.ndjson")); len(events) != 2 {
		t.Errorf("lineage of %d runs", len(events))
	}
}

// TestRightsAreKept: where nobody is to be told, a server writes down what people have a right to and is late, until it is over; of runs it keeps nothing.
func TestRightsAreKept(t *testing.T) {
	b := storage.NewMemory(nil)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := rightsKept{alert.New(alert.Options{
		Bucket: b, Project: "shop", Locate: func(key string) string { return key }, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler), Keep: true,
	})}
	var told jobs.Observer = r
	if _, ok := told.(jobs.LateObserver); ok {
		t.Error("jobs that are late are kept: status says so by itself")
	}
	open := func() []alert.Alert {
		t.Helper()
		all, err := alert.Open(t.Context(), b, "shop")
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	late := jobs.Overdue{Job: &jobs.Job{Name: "nightly"}, Kind: jobs.OverdueRequest, Subject: "request 1", Due: now.Add(-time.Hour), Says: "request 1 (access) was due 2026-03-01, and is open", Command: "rapport subject requests list"}
	told.(jobs.OverdueObserver).Overdue(t.Context(), []jobs.Overdue{late})
	if all := open(); len(all) != 1 || all[0].Kind != alert.Request || all[0].Summary != late.Says {
		t.Errorf("open: %+v", all)
	}
	told.(jobs.OverdueObserver).Overdue(t.Context(), nil)
	if all := open(); len(all) != 0 {
		t.Errorf("when it is over: %+v", all)
	}
}
