package lineage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
	"github.com/rapport-ml/rapport/storage/table"
)

// catalog is an endpoint that keeps what it receives.
type catalog struct {
	*httptest.Server
	mu     sync.Mutex
	events []event
	heads  []http.Header
	status int
}

func newCatalog(t testing.TB) *catalog {
	c := &catalog{status: http.StatusCreated}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 2*maxEvent))
		var e event
		if err == nil {
			err = json.Unmarshal(body, &e)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if err == nil && c.status < 300 {
			c.events, c.heads = append(c.events, e), append(c.heads, r.Header.Clone())
		}
		w.WriteHeader(c.status)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *catalog) answer(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

// told lists what came, in short: "START 1" by the last digits of the run.
func (c *catalog) told() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, e := range c.events {
		out = append(out, e.EventType+" "+e.Run.ID[len(e.Run.ID)-2:])
	}
	return strings.Join(out, ", ")
}

type world struct {
	testing.TB
	bucket storage.Bucket
	job    *jobs.Job
	clock  time.Time
	log    *bytes.Buffer
	logMu  sync.Mutex
	url    string
	file   string
}

func (w *world) Write(p []byte) (int, error) {
	w.logMu.Lock()
	defer w.logMu.Unlock()
	return w.log.Write(p)
}

func newWorld(t testing.TB) *world {
	every, err := table.EveryOf("1d", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		TB: t, bucket: storage.NewMemory(nil), clock: time.Date(2026, 3, 10, 3, 0, 0, 0, time.UTC), log: &bytes.Buffer{},
		job: &jobs.Job{Project: "shop", Name: "nightly", Every: every, Raw: []string{"s3://lake/events/{date}/*.parquet"}, Floor: 0.5, Alias: "champion"},
	}
}

// emitter is a fresh process's Emitter.
func (w *world) emitter() *Emitter {
	return New(Options{
		Bucket: w.bucket, Storage: "s3://shop-bucket/prod", Online: "redis://user:pw@cache:6379/0", Namespace: "shop", Session: "01HZZZZZZZZZZZZZZZZZZZZZ99",
		Resolve: func(u string) string { return u }, Now: func() time.Time { return w.clock }, Log: slog.New(slog.NewTextHandler(w, nil)), Revision: "abc",
		URL: w.url, File: w.file, Timeout: 2 * time.Second, Pass: 5 * time.Second,
	})
}

func (w *world) run(n int, s ledger.Status) ledger.Run {
	iv := w.job.Every.At(w.clock)
	return ledger.Run{
		ID: fmt.Sprintf("01HZZZZZZZZZZZZZZZZZZZZZ%02d", n), Job: "nightly", Interval: iv, Label: w.job.Every.Label(iv), Status: s, Cause: "run", Started: w.clock,
	}
}

// whole tells of a run's start and end, each by a process of its own.
func (w *world) whole(n int, s ledger.Status) {
	w.emitter().Started(w.Context(), w.job, w.run(n, ledger.Running))
	w.emitter().Ended(w.Context(), w.job, w.run(n, s), &jobs.Result{})
}

func (w *world) waiting() (n int) {
	for _, err := range w.bucket.List(w.Context(), prefix, storage.ListOpt{}) {
		if err != nil {
			w.Fatal(err)
		}
		n++
	}
	return n
}

// Every run is told with one START and one terminal event, and leaves nothing behind.
func TestOneStartOneEnd(t *testing.T) {
	w := newWorld(t)
	c := newCatalog(t)
	w.url = c.URL
	for i, s := range []ledger.Status{ledger.Succeeded, ledger.Rejected, ledger.Failed, ledger.Interrupted} {
		w.whole(i+1, s)
	}
	// Killed: its successor ends it before it starts itself, and the dead one wakes up and ends itself too.
	w.emitter().Started(t.Context(), w.job, w.run(5, ledger.Running))
	w.emitter().Ended(t.Context(), w.job, w.run(5, ledger.Interrupted), nil)
	w.whole(6, ledger.Succeeded)
	w.emitter().Ended(t.Context(), w.job, w.run(5, ledger.Interrupted), &jobs.Result{})
	// A run of which no start was told has no end either: lineage was switched on while it went on.
	w.emitter().Ended(t.Context(), w.job, w.run(7, ledger.Succeeded), &jobs.Result{})
	ids := func(n int) string { u := uuid(w.run(n, "").ID); return u[len(u)-2:] }
	want := []string{}
	for i, end := range []string{"COMPLETE", "COMPLETE", "FAIL", "ABORT", "ABORT", "COMPLETE"} {
		want = append(want, "START "+ids(i+1), end+" "+ids(i+1))
	}
	if got := c.told(); got != strings.Join(want, ", ") {
		t.Errorf("told %s\nwant %s\n%s", got, strings.Join(want, ", "), w.log)
	}
	if n := w.waiting(); n != 0 {
		t.Errorf("%d records are left", n)
	}
	for _, e := range c.events {
		validate(t, e)
	}
}

// Two processes that tell of one run's end at once, a successor and a zombie, tell it once.
func TestTwoEnds(t *testing.T) {
	w := newWorld(t)
	c := newCatalog(t)
	w.url = c.URL
	w.emitter().Started(t.Context(), w.job, w.run(1, ledger.Running))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { w.emitter().Ended(context.Background(), w.job, w.run(1, ledger.Interrupted), nil) })
	}
	wg.Wait()
	w.emitter().drain(t.Context())
	if got := strings.Count(c.told(), "ABORT"); got != 1 || len(c.events) != 2 {
		t.Errorf("told %s", c.told())
	}
	if n := w.waiting(); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

// An endpoint that is down fails nothing; what it missed is sent by the next run, in order. The file beside it is not held up.
func TestEndpointDown(t *testing.T) {
	w := newWorld(t)
	c := newCatalog(t)
	w.url, w.file = c.URL+"/very-secret", filepath.Join(t.TempDir(), "lineage.ndjson")
	c.answer(http.StatusServiceUnavailable)
	for n := 1; n <= 3; n++ {
		w.whole(n, ledger.Succeeded)
	}
	if got := c.told(); got != "" || w.waiting() != 3 {
		t.Errorf("told %q, %d wait", got, w.waiting())
	}
	if body, err := os.ReadFile(w.file); err != nil || bytes.Count(body, []byte("\n")) != 6 {
		t.Errorf("the file: %s, %v", body, err)
	}
	if strings.Contains(w.log.String(), "very-secret") || !strings.Contains(w.log.String(), "answered 503") {
		t.Errorf("log: %s", w.log)
	}
	c.answer(http.StatusOK)
	w.whole(4, ledger.Failed)
	ids := func(n int) string { u := uuid(w.run(n, "").ID); return u[len(u)-2:] }
	want := []string{}
	for n := 1; n <= 4; n++ {
		want = append(want, "START "+ids(n), map[bool]string{true: "FAIL ", false: "COMPLETE "}[n == 4]+ids(n))
	}
	if got := c.told(); got != strings.Join(want, ", ") {
		t.Errorf("told %s\nwant %s", got, strings.Join(want, ", "))
	}
	if body, err := os.ReadFile(w.file); err != nil || bytes.Count(body, []byte("\n")) != 8 || w.waiting() != 0 {
		t.Errorf("the file: %s, %v", body, err)
	}
}

// An event that the endpoint refuses for good is given up: it must not hold up what comes after it.
func TestRefusedEvents(t *testing.T) {
	w := newWorld(t)
	c := newCatalog(t)
	w.url = c.URL
	c.answer(http.StatusUnprocessableEntity)
	e := w.emitter()
	e.Started(t.Context(), w.job, w.run(1, ledger.Running))
	if got := e.Counts(); got.Dropped != 1 || got.Failed != 0 {
		t.Errorf("counted %+v", got)
	}
	c.answer(http.StatusOK)
	e.Ended(t.Context(), w.job, w.run(1, ledger.Succeeded), &jobs.Result{})
	if got := c.told(); !strings.HasPrefix(got, "COMPLETE") || w.waiting() != 0 {
		t.Errorf("told %s, %d wait", got, w.waiting())
	}
}

// An endpoint that hangs or redirects, or a bucket that fails, delays a run within bounds and fails nothing; a token goes only where it is safe.
func TestBadSinks(t *testing.T) {
	release := make(chan struct{})
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(release); hang.Close() })
	c := newCatalog(t)
	redirect := httptest.NewServer(http.RedirectHandler(c.URL, http.StatusTemporaryRedirect))
	t.Cleanup(redirect.Close)
	for name, o := range map[string]struct{ url, token, says string }{
		"hangs":                {hang.URL, "", "no answer within"},
		"redirects":            {redirect.URL, "t0ken", "answered 307"},
		"a token in the clear": {"http://marquez.example.test/api", "t0ken", "use https"},
		"no address":           {"marquez", "", "no address"},
		"nothing listens":      {"http://127.0.0.1:1/very-secret", "", "can't be reached"},
	} {
		w := newWorld(t)
		e := w.emitter()
		if e != nil {
			t.Fatal("an emitter without a sink")
		}
		w.url = o.url
		opts := Options{
			Bucket: w.bucket, Storage: "file:/x", Online: "embedded:/y", Namespace: "shop", Resolve: func(u string) string { return u },
			Now: func() time.Time { return w.clock }, Log: slog.New(slog.NewTextHandler(w, nil)), URL: o.url, Token: o.token, Timeout: 50 * time.Millisecond, Pass: time.Second,
		}
		start := time.Now()
		New(opts).Started(t.Context(), w.job, w.run(1, ledger.Running))
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: it took %s", name, took)
		}
		log := w.log.String()
		if !strings.Contains(log, o.says) || strings.Contains(log, "very-secret") || strings.Contains(log, "t0ken") {
			t.Errorf("%s: logged %s", name, log)
		}
		if w.waiting() != 1 {
			t.Errorf("%s: %d wait", name, w.waiting())
		}
	}
	if len(c.events) != 0 {
		t.Errorf("a redirect was followed: %s", c.told())
	}
	w := newWorld(t)
	w.url = c.URL
	w.bucket = storagetest.NewFaulty(w.bucket, storagetest.Fault{Match: func(storagetest.Call) bool { return true }})
	w.whole(1, ledger.Succeeded)
	if !strings.Contains(w.log.String(), "not told") {
		t.Errorf("log: %s", w.log)
	}
}

// A run whose process died after the ledger knew its end, and before anybody was told, is ended by the ledger's word.
func TestForgottenEnd(t *testing.T) {
	w := newWorld(t)
	c := newCatalog(t)
	w.url = c.URL
	for n, s := range map[int]ledger.Status{1: ledger.Failed, 2: ledger.Running} {
		r := w.run(n, s)
		if err := (ledger.Ledger{Bucket: w.bucket}).Save(t.Context(), &r); err != nil {
			t.Fatal(err)
		}
		w.emitter().Started(t.Context(), w.job, w.run(n, ledger.Running))
	}
	w.whole(3, ledger.Succeeded)
	if got := c.told(); strings.Contains(got, "FAIL") {
		t.Errorf("at once: %s", got)
	}
	w.clock = w.clock.Add(2 * time.Hour)
	w.whole(4, ledger.Succeeded)
	if got := c.told(); strings.Count(got, "FAIL") != 1 || w.waiting() != 1 {
		t.Errorf("told %s, %d wait", got, w.waiting())
	}
}

// A file that a crash has left with half a line is mended by a line of its own; one that can't be written is told, and caught up later.
func TestFile(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	w.file = filepath.Join(dir, "later", "lineage.ndjson")
	w.whole(1, ledger.Succeeded)
	if !strings.Contains(w.log.String(), "open lineage.file") || w.waiting() != 1 {
		t.Errorf("log: %s", w.log)
	}
	if err := os.Mkdir(filepath.Join(dir, "later"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.file, []byte(`{"half`), 0o644); err != nil {
		t.Fatal(err)
	}
	w.whole(2, ledger.Succeeded)
	body, err := os.ReadFile(w.file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(body)), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines: %s", len(lines), body)
	}
	for i, line := range lines[1:] {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil || (e.EventType == "START") != (i%2 == 0) {
			t.Errorf("line %d: %s, %v", i, line, err)
		}
		validate(t, e)
	}
}

// A run's UUID is its ULID's bits.
func TestUUID(t *testing.T) {
	id := ulid.MustParse("01HZX3T7V4K5M6N7P8Q9R0S1T2")
	want := fmt.Sprintf("%x", id[:])
	if got := uuid(id.String()); strings.ReplaceAll(got, "-", "") != want || !uuidForm.MatchString(got) {
		t.Errorf("%s, want the bits %s", got, want)
	}
	if a, b := uuid("by hand"), uuid("by hand 2"); a == b || !uuidForm.MatchString(a) {
		t.Errorf("%s, %s", a, b)
	}
}

func TestPlace(t *testing.T) {
	for in, want := range map[[2]string]string{
		{"s3://lake/events/{date}/*.parquet", ""}:    "s3://lake events/{date}/*.parquet",
		{"s3://shop/prod/", "data/ingest/events"}:    "s3://shop prod/data/ingest/events",
		{"s3://shop", "models/home"}:                 "s3://shop models/home",
		{"file:/srv/lake", "models/home"}:            "file /srv/lake/models/home",
		{"embedded:/srv/online", "champion"}:         "file /srv/online/champion",
		{"redis://user:pw@cache:6379/0", "champion"}: "redis://cache:6379 0/champion",
		{"rediss://cache:6379", "champion"}:          "rediss://cache:6379 champion",
	} {
		if ns, name := place(in[0], in[1]); ns+" "+name != want {
			t.Errorf("%v: %s %s, want %s", in, ns, name, want)
		}
	}
}

// What is no record, or a newer one, is named and left alone, and holds up nobody.
func TestForeignRecords(t *testing.T) {
	w := newWorld(t)
	c := newCatalog(t)
	w.url = c.URL
	for key, body := range map[string]string{"lineage/0.json": `{"format":2,"run":"0"}`, "lineage/1.json": `{`, "lineage/2.json": `{"format":1,"run":"9","start":{}}`} {
		if _, err := w.bucket.Put(t.Context(), key, storage.Bytes([]byte(body)), storage.Cond{}); err != nil {
			t.Fatal(err)
		}
	}
	w.whole(1, ledger.Succeeded)
	if len(c.events) != 2 || w.waiting() != 3 {
		t.Errorf("told %s, %d wait", c.told(), w.waiting())
	}
	for _, want := range []string{"made by a newer rapport", "lineage/1.json", "not the record of its run"} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the log does not say %q: %s", want, w.log)
		}
	}
}

var (
	uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	facetURL = regexp.MustCompile(`^https://openlineage\.io/spec/facets/[0-9]+-[0-9]+-[0-9]+/([A-Za-z]+)\.json#/\$defs/([A-Za-z]+)$`)
)

// validate holds an event against the structural rules of OpenLineage 2-0-2 and of the facets that are used.
func validate(t testing.TB, e event) {
	t.Helper()
	bad := func(format string, args ...any) { t.Helper(); t.Errorf(e.EventType+": "+format, args...) }
	if e.EventTime.IsZero() || e.Producer == "" || e.SchemaURL != schemaURL || !uuidForm.MatchString(e.Run.ID) || e.Job.Namespace == "" || e.Job.Name == "" {
		bad("a required field is missing: %+v", e)
	}
	required := map[string][]string{
		"nominalTime": {"nominalStartTime"}, "parent": {"run", "job"}, "processing_engine": {"version"}, "errorMessage": {"message", "programmingLanguage"},
		"test": {"tests"}, "jobType": {"processingType", "integration"}, "documentation": {"description"}, "schema": {"fields"},
		"version": {"datasetVersion"}, "columnLineage": {"fields"}, "inputStatistics": nil, "outputStatistics": {"rowCount"}, "dataQualityAssertions": {"assertions"},
	}
	check := func(kind string, all facets) {
		for name, f := range all {
			keys, ok := required[name]
			if !ok {
				bad("facet %s is not one that is used", name)
			}
			for _, k := range append([]string{"_producer", "_schemaURL"}, keys...) {
				if f[k] == nil {
					bad("facet %s lacks %s", name, k)
				}
			}
			m := facetURL.FindStringSubmatch(fmt.Sprint(f["_schemaURL"]))
			if m == nil || m[1] != m[2] || !strings.HasSuffix(m[1], kind+"Facet") {
				bad("facet %s has the schema %v", name, f["_schemaURL"])
			}
		}
	}
	check("Run", e.Run.Facets)
	check("Job", e.Job.Facets)
	seen := map[string]bool{}
	for _, set := range [][]dataset{e.Inputs, e.Outputs} {
		for _, d := range set {
			if d.Namespace == "" || d.Name == "" || seen[d.id()] {
				bad("dataset %q %q has no name, or stands twice", d.Namespace, d.Name)
			}
			seen[d.id()] = true
			check("Dataset", d.Facets)
			check("Dataset", d.InputFacets)
			check("OutputDataset", d.OutputFacets)
		}
	}
}
