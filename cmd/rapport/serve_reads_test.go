package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/web"
	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/alert"
	"github.com/rapport-ml/rapport/storage"
)

// linesIn reads the access log.
func linesIn(t *testing.T, r *jobs.Runner) (out []jobs.Access) {
	t.Helper()
	if _, err := r.ReadAccessLog(t.Context(), func(x jobs.Access) { out = append(out, x) }); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestReadsOfServe: whose records a caller has read or written over HTTP stands in the access log under the name of its token, a line a path, with marks and
// without an id or an online key. What is of nobody leaves no line. A token that reads of more people than its bound raises one alert an hour, which
// status shows though nobody is to be told, and which is over when it has kept to the bound for an hour.
func TestReadsOfServe(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(7)
	f := newFront(s)
	now := time.Date(2026, 1, 9, 10, 0, 0, 0, time.UTC)
	w := f.server.reads
	w.now = func() time.Time { return now }
	o := f.server.alertOptions(w.now)
	o.Keep = true
	w.alerts = alert.New(o)
	if err := f.server.tokens.Replace(web.Token{Name: "shop", Roles: web.Roles, Secret: "open sesame", Above: 4}); err != nil {
		t.Fatal(err)
	}

	f.post(http.StatusOK, "/v1/recommend", `{}`)
	f.post(http.StatusOK, "/v1/recommend", `{"id": "u000001"}`, "Sec-GPC", "1")
	w.flush(t.Context(), true)
	if got := linesIn(t, s.runner); got != nil {
		t.Fatalf("lists of nobody are lines of the log: %+v", got)
	}
	f.post(http.StatusOK, "/v1/recommend", `{"id": "u000001"}`)
	f.post(http.StatusOK, "/v1/recommend", `{"id": "u000001", "k": 3}`)
	f.post(http.StatusOK, "/v1/recommend", `{"id": "u000002"}`)
	f.post(http.StatusOK, "/v1/preferences", `{"id": "u000003"}`)
	f.post(http.StatusOK, "/v1/consent", `{"records": [{"id": "u000004", "purpose": "recommend", "state": "ConsentGiven", "source": "desk"}, {"id": "u000005", "purpose": "recommend", "state": "ConsentGiven", "source": "desk"}]}`)
	w.turn(t.Context())
	if got := linesIn(t, s.runner); len(got) != 1 || got[0].Verb != "POST /v1/consent" {
		t.Errorf("before the others' time the log has not the line of what was recorded alone: %+v", got)
	}
	now = now.Add(web.BatchTime)
	w.turn(t.Context())
	var got []string
	for _, x := range linesIn(t, s.runner) {
		got = append(got, fmt.Sprintf("%s, %s: %d people in %d requests, %d named", x.Who, x.Verb, x.People, x.Requests, len(x.Subjects)))
		if x.Verb == "POST /v1/recommend" && !slices.Contains(x.Subjects, event.MarkOf(s.runner.Keys, "u000002")) {
			t.Error("somebody whose list was read is not among the marks")
		}
	}
	if want := []string{
		"token shop, POST /v1/consent: 2 people in 1 requests, 2 named", "token shop, POST /v1/preferences: 1 people in 1 requests, 1 named", "token shop, POST /v1/recommend: 2 people in 3 requests, 2 named",
	}; !slices.Equal(got, want) {
		t.Errorf("the access log has %q, want %q", got, want)
	}
	for info, err := range s.opened.Bucket.List(t.Context(), "policy/access/", storage.ListOpt{}) {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := storage.ReadAll(t.Context(), s.opened.Bucket, info.Key)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			id := fmt.Sprintf("u%06d", i)
			if text := string(body); strings.Contains(text, id) || strings.Contains(text, event.OnlineKey(s.runner.Keys.ServingKey(), id)) || strings.Contains(text, "sesame") {
				t.Errorf("a line holds an id, a key or the token: %s", body)
			}
		}
	}

	// Five people within the hour are more than four.
	open := func() []alert.Alert {
		t.Helper()
		all, err := f.server.openAlerts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if a := open(); len(a) != 1 || a[0].Kind != alert.Access || a[0].Subject != "shop" || a[0].Count != 1 || !strings.Contains(a[0].Summary, "about 5 people within an hour, more than 4") {
		t.Fatalf("open are %+v", a)
	}
	r := httptest.NewRecorder()
	web.NewMetrics(web.Sources{Now: time.Now, Status: func(context.Context) (*jobs.Status, error) { return &jobs.Status{}, nil }, Scheduler: func() jobs.SchedulerState { return jobs.SchedulerState{} }, Reads: w.standing, Unlogged: w.unlogged}).
		Handler().ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	for _, want := range []string{`rapport_token_people{token="shop"} 5`, `rapport_token_over{token="shop"} 1`, "rapport_access_log_waiting_seconds 0"} {
		if !strings.Contains(r.Body.String(), "\n"+want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	for range 5 { // it goes on, and is told once
		now = now.Add(10 * time.Minute)
		f.post(http.StatusOK, "/v1/recommend", `{"id": "u000001"}`)
		w.turn(t.Context())
	}
	if a := open(); len(a) != 1 || a[0].Count != 1 {
		t.Errorf("within the hour: %+v", a)
	}
	for _, id := range []string{"u000010", "u000011", "u000012", "u000013", "u000014"} {
		f.post(http.StatusOK, "/v1/recommend", `{"id": "`+id+`"}`)
	}
	now = now.Add(15 * time.Minute)
	w.turn(t.Context())
	if a := open(); len(a) != 1 || a[0].Count != 2 {
		t.Errorf("an hour later: %+v", a)
	}
	now = now.Add(50 * time.Minute)
	if w.turn(t.Context()); len(open()) != 1 {
		t.Error("it was over before an hour within the bound")
	}
	now = now.Add(30 * time.Minute)
	if w.turn(t.Context()); len(open()) != 0 {
		t.Errorf("after an hour within the bound: %+v", open())
	}
}

// fakeAlerts notes what is told.
type fakeAlerts struct{ said []string }

func (a *fakeAlerts) Reads(_ context.Context, token string, people, above int64) {
	a.said = append(a.said, fmt.Sprintf("%s %d>%d", token, people, above))
}

func (a *fakeAlerts) ReadsOver(_ context.Context, token, _ string) {
	a.said = append(a.said, token+" over")
}

func (a *fakeAlerts) OpenReads(context.Context) ([]string, error) { return nil, nil }

// TestReadsUnwritten: while the bucket cannot be written, requests are answered and kept count of, the server says that it is not ready, and all of it
// is written when the bucket is back, or said to be lost when the server ends.
func TestReadsUnwritten(t *testing.T) {
	now := time.Date(2026, 1, 9, 10, 0, 0, 0, time.UTC)
	tokens, err := web.NewTokens(web.Token{Name: "shop", Roles: web.Roles, Secret: "x"})
	if err != nil {
		t.Fatal(err)
	}
	broken, people := errors.New("the bucket is away"), 0
	told := &fakeAlerts{}
	var log strings.Builder
	w := &readsWatch{
		reads: web.NewReads(), tokens: tokens, alerts: told, now: func() time.Time { return now }, told: map[string]*toldOf{}, log: slog.New(slog.NewTextHandler(&log, nil)),
		write: func(_ context.Context, b *web.Batch) error {
			if broken == nil {
				people += b.People()
			}
			return broken
		},
	}
	note := func(n int) {
		w.reads.Touch("shop", web.PathRecommend, now, []uint64{readHash(fmt.Sprintf("%016x%016x", aggregate.HashBits(uint64(n)), 0))}, func(int) event.Mark { return event.Mark{MAC: fmt.Sprint(n)} })
	}
	for n := range 12 {
		note(n)
		w.turn(t.Context())
		now = now.Add(time.Minute)
	}
	if err := w.ready(t.Context()); err == nil || !strings.Contains(err.Error(), "12m") || strings.Count(log.String(), "not in the access log yet") != 1 {
		t.Errorf("%v\n%s", err, log.String())
	}
	broken = nil
	w.turn(t.Context())
	if people != 12 || w.ready(t.Context()) != nil {
		t.Errorf("%d people of 12 are written down; ready: %v", people, w.ready(t.Context()))
	}
	note(1)
	w.last(t.Context())
	if people != 13 || strings.Contains(log.String(), "is missing") {
		t.Errorf("%d people at the end\n%s", people, log.String())
	}
	note(2)
	broken = io.ErrUnexpectedEOF
	if w.last(t.Context()); !strings.Contains(log.String(), "is missing from the access log") {
		t.Errorf("what is lost is not told:\n%s", log.String())
	}
	if told.said != nil {
		t.Errorf("without a bound somebody was told %v", told.said)
	}

	// A token that is over its bound as soon as it is looked at is told of at once, and what a server before this one has left open is closed.
	if err := tokens.Replace(web.Token{Name: "shop", Roles: web.Roles, Secret: "x", Above: 1}, web.Token{Name: "desk", Roles: web.Roles, Secret: "y", Above: 1}); err != nil {
		t.Fatal(err)
	}
	w.told, broken = map[string]*toldOf{}, nil
	for range 12 * 6 {
		w.turn(t.Context())
		now = now.Add(2 * time.Minute)
	}
	if want := []string{"shop 12>1", "shop over", "desk over"}; !slices.Equal(told.said, want) {
		t.Errorf("told is %q, want %q", told.said, want)
	}
}

// TestLineBeforeTheAct: what changes a person's records is done only once its line stands in the access log. Where it cannot be written, or the bucket does not
// answer, the request is refused, nothing is recorded, and the server says that it is not ready, until a line stands again.
func TestLineBeforeTheAct(t *testing.T) {
	s := newShop(t, smallWorld)
	s.job.Preferences = &event.DataSet{} // people ask one by one
	s.night(7)
	f := newFront(s)
	acts := map[string]string{
		"/v1/consent":     `{"records": [{"id": "u000004", "purpose": "recommend", "state": "Withdrawn", "source": "app"}]}`,
		"/v1/preferences": `{"id": "u000004", "preference": "level", "value": "off"}`,
	}
	personal := func() bool {
		return f.post(http.StatusOK, "/v1/recommend", `{"id": "u000004"}`)["personalized"] == true
	}
	if !personal() {
		t.Fatal("u000004 has no list of its own to lose")
	}
	stored := func() (n int) {
		for _, prefix := range []string{"done/said/", "done/wishes/", "policy/access/"} {
			for _, err := range s.opened.Bucket.List(t.Context(), prefix, storage.ListOpt{}) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
		}
		return n
	}
	for _, hangs := range []bool{false, true} {
		for path, body := range acts {
			f := newFront(s)
			w, away := f.server.reads, make(chan struct{})
			write := w.write
			w.within = 200 * time.Millisecond
			w.write = func(ctx context.Context, b *web.Batch) error {
				if hangs {
					<-away
				}
				select {
				case <-away:
					return write(context.WithoutCancel(ctx), b)
				default:
					return storage.ErrUnreachable
				}
			}
			before := stored()
			if got := f.ask(path, body); got.Code != http.StatusServiceUnavailable || !strings.Contains(got.Body.String(), "nothing is recorded") || strings.Contains(got.Body.String(), "u000004") {
				t.Errorf("%s, hangs %v: %d %s", path, hangs, got.Code, got.Body)
			}
			if stored() != before || !personal() {
				t.Errorf("%s, hangs %v: it was refused, and done", path, hangs)
			}
			if err := w.ready(t.Context()); err == nil || !strings.Contains(err.Error(), "are refused since") || w.unlogged() <= 0 {
				t.Errorf("%s, hangs %v: ready says %v, and for %s lines wait", path, hangs, err, w.unlogged())
			}
			close(away)
			w.pen <- struct{}{} // what hung has ended
			<-w.pen
			w.turn(t.Context())
			if err := w.ready(t.Context()); err != nil || w.unlogged() != 0 || stored() != before+1 {
				t.Errorf("%s, hangs %v: the bucket is back, ready says %v, for %s lines wait, %d objects are new", path, hangs, err, w.unlogged(), stored()-before)
			}
		}
	}
	for path, body := range acts {
		before := len(linesIn(t, s.runner))
		f.post(http.StatusOK, path, body)
		got := linesIn(t, s.runner)
		if len(got) != before+1 || got[before].Verb != "POST "+path || !slices.Equal(got[before].Subjects, []event.Mark{event.MarkOf(s.runner.Keys, "u000004")}) {
			t.Errorf("%s is answered, and the log ends in %+v", path, got[before:])
		}
	}
	if personal() {
		t.Error("what has its line is not done")
	}
}

// TestLinesTogether: whoever waits while a line is being written stands in the next one with all others who do; who waits is counted as waiting all the while.
func TestLinesTogether(t *testing.T) {
	now := time.Date(2026, 1, 9, 10, 0, 0, 0, time.UTC)
	tokens, err := web.NewTokens(web.Token{Name: "desk", Roles: web.Roles, Secret: "x"})
	if err != nil {
		t.Fatal(err)
	}
	begun, goOn, until := make(chan int), make(chan error), time.Time{}
	w := &readsWatch{
		reads: web.NewReads(), tokens: tokens, alerts: &fakeAlerts{}, now: func() time.Time { return now }, told: map[string]*toldOf{}, log: slog.New(slog.DiscardHandler),
		within: time.Minute, pen: make(chan struct{}, 1),
		write: func(ctx context.Context, b *web.Batch) error {
			until, _ = ctx.Deadline()
			begun <- b.Requests
			return <-goOn
		},
	}
	ask := func(n int) (stand []<-chan error) {
		for i := range n {
			stand = append(stand, w.reads.Ahead("desk", web.PathConsent, now, []uint64{uint64(i)}, func(int) event.Mark { return event.Mark{} }))
			go w.awaited(t.Context())
		}
		return stand
	}
	first := ask(1)
	if n := <-begun; n != 1 {
		t.Fatalf("the first line is of %d requests", n)
	}
	others := ask(8)
	now = now.Add(9 * time.Second)
	if w.unlogged() != 9*time.Second {
		t.Errorf("while a line is being written for 9s, %s wait", w.unlogged())
	}
	before := time.Now()
	goOn <- nil
	if n := <-begun; n != 8 {
		t.Errorf("the second line is of %d requests, and not of the 8 that waited", n)
	}
	if until.Before(before.Add(w.within)) {
		t.Errorf("the second line has %s, and not the whole %s: what the first one took is missing", until.Sub(before), w.within)
	}
	goOn <- nil
	for i, stands := range append(first, others...) {
		if err := <-stands; err != nil {
			t.Errorf("request %d: %v", i, err)
		}
	}
	if w.unlogged() != 0 {
		t.Errorf("%s wait when all is written", w.unlogged())
	}
	refused := ask(1)
	<-begun
	goOn <- storage.ErrUnreachable
	if err := <-refused[0]; !errors.Is(err, storage.ErrUnreachable) {
		t.Errorf("who waits for a line that could not be written is told %v", err)
	}
	now = now.Add(time.Second)
	if w.unlogged() != time.Second {
		t.Errorf("what was refused waits for its line for %s", w.unlogged())
	}
}

// TestLineAtTheLastMoment: a line that comes to stand when its request is about to be refused lets it be done, and nothing says that changes are refused when no line
// is missing: no other one need ever come.
func TestLineAtTheLastMoment(t *testing.T) {
	k := newKeys(t, "k1")
	tokens, err := web.NewTokens(web.Token{Name: "desk", Roles: web.Roles, Secret: "x"})
	if err != nil {
		t.Fatal(err)
	}
	w := &readsWatch{
		reads: web.NewReads(), tokens: tokens, alerts: &fakeAlerts{}, now: time.Now, told: map[string]*toldOf{}, log: slog.New(slog.DiscardHandler),
		within: 50 * time.Millisecond, pen: make(chan struct{}, 1),
	}
	late := make(chan struct{})
	w.write = func(context.Context, *web.Batch) error {
		<-late
		return nil
	}
	time.AfterFunc(4*w.within, func() { close(late) })
	w.mu.Lock() // who asks has waited long enough, and is held up where it would say so
	said := make(chan error)
	go func() {
		said <- w.ahead(t.Context(), web.PathConsent, k, []string{event.OnlineKey(k.ServingKey(), "u000001")}, []string{"u000001"})
	}()
	<-late
	for !w.reads.Oldest().IsZero() {
		if t.Context().Err() != nil {
			t.Fatal("the line never stands")
		}
		runtime.Gosched()
	}
	w.mu.Unlock()
	if err := <-said; err != nil {
		t.Errorf("its line stands, and it is refused: %v", err)
	}
	if err := w.ready(t.Context()); err != nil {
		t.Errorf("no line is missing, and ready says: %v", err)
	}
}

// TestConsentFilesAreCounted: a file of consent counts whom it names among those that its token has touched within the hour.
func TestConsentFilesAreCounted(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(7)
	f := newFront(s)
	if err := f.server.tokens.Replace(web.Token{Name: "shop", Roles: web.Roles, Secret: "open sesame", Above: 4}); err != nil {
		t.Fatal(err)
	}
	file := "subject,purpose,state,effective_at\n"
	for i := range 5 {
		for range 2 {
			file += fmt.Sprintf("u%06d,recommend,ConsentGiven,%s\n", i+1, time.Now().UTC().Add(-time.Hour).Format(time.RFC3339))
		}
	}
	f.post(http.StatusOK, "/v1/consent", file, "Content-Type", "text/csv")
	if got := f.server.reads.standing(); len(got) != 1 || got[0].People != 5 || !got[0].Over {
		t.Errorf("a file of 5 people, with a bound of 4, makes %+v", got)
	}
	if got := linesIn(t, s.runner); len(got) != 1 || got[0].People != 5 {
		t.Errorf("the access log has %+v", got)
	}
}

// TestAlertOfRemovedToken: the alert of a token that is taken out of the project file ends, in the server that raised it and in one that is started since.
func TestAlertOfRemovedToken(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(7)
	watch := func(names ...string) (*front, *readsWatch) {
		f := newFront(s)
		var tokens []web.Token
		for i, name := range names {
			tokens = append(tokens, web.Token{Name: name, Roles: web.Roles, Secret: []string{"open sesame", "another"}[i], Above: 1})
		}
		if err := f.server.tokens.Replace(tokens...); err != nil {
			t.Fatal(err)
		}
		return f, f.server.reads
	}
	open := func(f *front) (subjects []string) {
		all, err := f.server.openAlerts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range all {
			subjects = append(subjects, a.Subject)
		}
		return subjects
	}
	raise := func(f *front, w *readsWatch) {
		for _, id := range []string{"u000001", "u000002"} {
			f.post(http.StatusOK, "/v1/recommend", `{"id": "`+id+`"}`)
		}
		if w.turn(t.Context()); !slices.Equal(open(f), []string{"shop"}) {
			t.Fatalf("open are %v", open(f))
		}
	}
	f, w := watch("shop", "desk")
	raise(f, w)
	if err := f.server.tokens.Replace(web.Token{Name: "desk", Roles: web.Roles, Secret: "another", Above: 1}); err != nil {
		t.Fatal(err)
	}
	if w.turn(t.Context()); open(f) != nil {
		t.Errorf("its token is gone, and open are %v", open(f))
	}
	raise(watch("shop", "desk"))
	f, w = watch("desk")
	if w.turn(t.Context()); open(f) != nil {
		t.Errorf("a server that has no such token leaves %v open", open(f))
	}
}
