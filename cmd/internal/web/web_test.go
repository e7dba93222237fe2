package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/cost"
	"github.com/rapport-ml/rapport/jobs/ledger"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func options() Options {
	return Options{
		Now: func() time.Time { return noon }, Metrics: http.NotFoundHandler(),
		Status: func(context.Context) (any, error) { return map[string]int{"jobs": 1}, nil },
	}
}

// ask answers one request.
func ask(h http.Handler, method, path, host, authorization string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, http.NoBody)
	r.Host = host
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Every endpoint but /healthz wants the token, those that do not exist as well.
func TestToken(t *testing.T) {
	o := options()
	o.Tokens = tokens(t, Token{Name: "all", Roles: Roles, Secret: "secret"})
	h := Handler(o)
	for _, path := range []string{"/readyz", "/metrics", "/v1/status", "/v1/other", "/"} {
		for _, a := range []string{"", "secret", "Bearer", "Bearer ", "Bearer secre", "Bearer secret2", "Basic secret", "Bearer Secret"} {
			w := ask(h, http.MethodGet, path, "example.test", a)
			if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %q: %d", path, a, w.Code)
			}
		}
	}
	for _, a := range []string{"Bearer secret", "bearer secret"} {
		if w := ask(h, http.MethodGet, "/v1/status", "example.test", a); w.Code != http.StatusOK {
			t.Errorf("with %q: %d", a, w.Code)
		}
	}
	w := ask(h, http.MethodGet, "/healthz", "example.test", "")
	if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("/healthz: %d, %v", w.Code, w.Header())
	}
}

// Without a token only names of this machine are answered: a page in a browser cannot come in under a name of its own.
func TestHosts(t *testing.T) {
	h := Handler(options())
	for host, want := range map[string]int{
		"127.0.0.1:8321": 200, "127.0.0.1": 200, "localhost:8321": 200, "LOCALHOST": 200, "[::1]:8321": 200, "[::1]": 200, "127.8.9.1": 200,
		"evil.example": 403, "127.0.0.1.evil.example:8321": 403, "10.0.0.7:8321": 403, "localhost.evil.example": 403, "": 403, "[::ffff:10.0.0.7]": 403, "0.0.0.0": 403,
	} {
		if w := ask(h, http.MethodGet, "/v1/status", host, ""); w.Code != want {
			t.Errorf("host %q: %d, want %d", host, w.Code, want)
		}
	}
}

func TestMethods(t *testing.T) {
	h := Handler(options())
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		if w := ask(h, method, "/v1/status", "localhost", ""); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	if w := ask(h, http.MethodHead, "/v1/status", "localhost", ""); w.Code != http.StatusOK {
		t.Errorf("HEAD: %d", w.Code)
	}
}

// A check that fails, or does not answer, is named; the others are told as well.
func TestReady(t *testing.T) {
	o := options()
	broken := errors.New("no route to host")
	var asked atomic.Int64
	fails := false
	now := noon
	o.Now = func() time.Time { return now }
	o.Checks = []Check{
		{"storage", func(context.Context) error { asked.Add(1); return nil }},
		{"online", func(context.Context) error {
			if fails {
				return broken
			}
			return nil
		}},
	}
	h := Handler(o)
	get := func() (int, readiness) {
		w := ask(h, http.MethodGet, "/readyz", "localhost", "")
		var r readiness
		if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
		return w.Code, r
	}
	if code, r := get(); code != http.StatusOK || !r.Ready || len(r.Checks) != 2 {
		t.Errorf("%d %+v", code, r)
	}
	fails = true
	if code, _ := get(); code != http.StatusOK || asked.Load() != 1 {
		t.Errorf("within the moment of an answer: %d, asked %d times", code, asked.Load())
	}
	now = now.Add(fresh + time.Millisecond)
	code, r := get()
	if code != http.StatusServiceUnavailable || r.Ready || !r.Checks[0].OK || r.Checks[1].OK || r.Checks[1].Error != broken.Error() {
		t.Errorf("%d %+v", code, r)
	}
	now = now.Add(-time.Hour) // set back
	if get(); asked.Load() != 3 {
		t.Errorf("asked %d times", asked.Load())
	}
}

// A check that hangs fails when its time is over, and holds up nobody.
func TestReadyHangs(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // as after five seconds
	r := check(ctx, []Check{{"storage", func(context.Context) error { <-hang; return nil }}})
	if r.Ready || r.Checks[0].Error != "no answer in time" {
		t.Errorf("%+v", r)
	}
}

func TestStatusFails(t *testing.T) {
	o := options()
	o.Status = func(context.Context) (any, error) { return nil, errors.New("storage unreachable") }
	if w := ask(Handler(o), http.MethodGet, "/v1/status", "localhost", ""); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "storage unreachable") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Serve answers until its context ends, and refuses what is too large or has a body.
func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, Handler(options())) }()
	url := "http://" + l.Addr().String()
	get := func(header string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/healthz", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Padding", header)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if code := get(""); code != http.StatusOK {
		t.Errorf("%d", code)
	}
	if code := get(strings.Repeat("x", 2*headerBytes)); code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of %d bytes: %d", 2*headerBytes, code)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}

// A listener that breaks ends Serve with an error.
func TestServeBreaks(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := Serve(t.Context(), l, Handler(options())); err == nil {
		t.Error("it ended without an error")
	}
}

// Metrics say what runs did and how things stand, and what stands cannot be read is said as well.
func TestMetrics(t *testing.T) {
	now, reads, broken := noon, 0, false
	m := NewMetrics(Sources{
		Now: func() time.Time { return now }, Revision: "abc", Jobs: []string{"nightly"},
		Status: func(context.Context) (*jobs.Status, error) {
			if reads++; broken {
				return nil, errors.New("unreachable")
			}
			return &jobs.Status{Jobs: []jobs.JobStatus{{
				Job: "nightly", Version: 7, Generation: 9, Age: 3600, Lag: 86400, InStep: true, Late: true, Consent: "2026-03-02T11:00:00Z",
				Succeeded: time.Unix(1700000000, 500e6), Next: time.Unix(1800000000, 0), Paused: "by ann",
			}}}, nil
		},
		Scheduler: func() jobs.SchedulerState {
			return jobs.SchedulerState{Turned: noon.Add(-4 * time.Second), Beat: 9 * time.Second, Jobs: []jobs.LineState{{Job: "nightly", Held: "paused", Count: map[string]int{"left_out": 3}}}}
		},
		Alerts: func() (uint64, uint64, uint64) { return 1, 2, 3 },
	})
	job := &jobs.Job{Name: "nightly"}
	run := ledger.Run{
		Status: ledger.Succeeded, Cost: cost.Cost{Seconds: 42},
		Steps: []ledger.Step{{Name: "ingest", Cost: cost.Cost{Seconds: 2}, RowsIn: 10, RowsOut: 8}, {Name: "ingest", Cost: cost.Cost{Seconds: 3}, RowsIn: 1}},
	}
	m.Started(t.Context(), job, run)
	m.Started(t.Context(), job, run)
	m.Ended(t.Context(), job, run, &jobs.Result{})
	m.Ended(t.Context(), job, ledger.Run{Status: ledger.Interrupted}, nil) // of a process that was killed
	body := ask(m.Handler(), http.MethodGet, "/metrics", "localhost", "").Body.String()
	for _, want := range []string{
		`rapport_build_info{revision="abc"} 1`, `rapport_runs_total{job="nightly",status="succeeded"} 1`, `rapport_runs_total{job="nightly",status="interrupted"} 0`,
		`rapport_run_duration_seconds_sum{job="nightly",status="succeeded"} 42`, `rapport_runs_active{job="nightly"} 1`,
		`rapport_step_seconds_total{job="nightly",step="ingest"} 5`, `rapport_step_rows_total{direction="in",job="nightly",step="ingest"} 11`,
		`rapport_step_rows_total{direction="out",job="nightly",step="ingest"} 8`,
		`rapport_intervals_total{job="nightly",outcome="left_out"} 3`, `rapport_intervals_total{job="nightly",outcome="given_up"} 0`, `rapport_job_held{job="nightly"} 1`,
		`rapport_job_late{job="nightly"} 1`, `rapport_job_paused{job="nightly"} 1`, `rapport_job_stale{job="nightly"} 0`, `rapport_live_version{job="nightly"} 7`,
		`rapport_live_generation{job="nightly"} 9`, `rapport_live_age_seconds{job="nightly"} 3600`, `rapport_job_interval_lag_seconds{job="nightly"} 86400`,
		`rapport_consent_age_seconds{job="nightly"} 3600`, `rapport_online_in_step{job="nightly"} 1`, `rapport_online_fallback 0`,
		`rapport_job_last_success_timestamp_seconds{job="nightly"} 1.7000000005e+09`, `rapport_job_next_due_timestamp_seconds{job="nightly"} 1.8e+09`,
		`rapport_scheduler_turn_age_seconds 4`, `rapport_scheduler_heartbeat_age_seconds 9`, `rapport_status_readable 1`,
		`rapport_alerts_total{outcome="sent"} 1`, `rapport_alerts_total{outcome="failed"} 2`, `rapport_alerts_total{outcome="suppressed"} 3`,
		"go_goroutines", "process_cpu_seconds_total",
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
	broken = true
	if body := ask(m.Handler(), http.MethodGet, "/metrics", "localhost", "").Body.String(); reads != 1 || !strings.Contains(body, "rapport_status_readable 1") {
		t.Errorf("the status was read %d times within a moment", reads)
	}
	now = now.Add(standFor + time.Second)
	body = ask(m.Handler(), http.MethodGet, "/metrics", "localhost", "").Body.String()
	if !strings.Contains(body, "rapport_status_readable 0") || strings.Contains(body, "rapport_live_version") || !strings.Contains(body, "rapport_runs_total") {
		t.Errorf("while the bucket cannot be read:\n%s", body)
	}
}

// However many runs, jobs of the project are the only names: nothing grows with time.
func TestMetricsDoNotGrow(t *testing.T) {
	m := NewMetrics(Sources{
		Now: func() time.Time { return noon }, Jobs: []string{"nightly"}, Status: func(context.Context) (*jobs.Status, error) { return &jobs.Status{}, nil },
		Scheduler: func() jobs.SchedulerState { return jobs.SchedulerState{} },
	})
	size := 0
	for i := range 50 {
		run := ledger.Run{ID: fmt.Sprint("run", i), Label: fmt.Sprint("day", i), Status: ledger.Failed, Error: fmt.Sprint("error ", i), Steps: []ledger.Step{{Name: "train", Label: fmt.Sprint("day", i)}}}
		m.Started(t.Context(), &jobs.Job{Name: "nightly"}, run)
		m.Ended(t.Context(), &jobs.Job{Name: "nightly"}, run, &jobs.Result{})
		body := ask(m.Handler(), http.MethodGet, "/metrics", "localhost", "").Body.Bytes()
		if n := bytes.Count(body, []byte("\nrapport_")); size == 0 {
			size = n
		} else if n != size {
			t.Fatalf("%d series after %d runs, %d before", n, i+1, size)
		}
	}
}
