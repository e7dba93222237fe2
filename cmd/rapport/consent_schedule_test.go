package main

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/alert"
	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/storage"
)

// hands is a clock that a test moves. What waits for a time on it waits for ever.
type hands struct {
	mu    sync.Mutex
	now   time.Time
	ticks []chan time.Time
}

func (h *hands) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// Wait implements jobs.Clock.
func (h *hands) Wait(ctx context.Context, _ time.Time, _ int, _ <-chan struct{}) error {
	<-ctx.Done()
	return nil
}

func (h *hands) set(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = t
}

// every is jobs.Runner's Ticks.
func (h *hands) every(time.Duration) (<-chan time.Time, func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := make(chan time.Time)
	h.ticks = append(h.ticks, c)
	return c, func() {}
}

// minute lets everything that waits for a tick do its work, and returns when it has: a tick is taken only by who has done with the one before.
func (h *hands) minute(t testing.TB) {
	h.mu.Lock()
	all := slices.Clone(h.ticks)
	h.mu.Unlock()
	for range 2 {
		for _, c := range all {
			select {
			case c <- h.now:
			case <-time.After(time.Minute):
				t.Fatal("a server hangs")
			}
		}
	}
}

// watched is a shop with a server that does what it does between runs, on a clock of the test's.
type watched struct {
	*shop
	clock *hands
}

// watch starts a server's watch; it ends with the test.
func (s *shop) watch(clock *hands) *watched {
	s.Helper()
	r := s.newRunner(s.opened.Bucket, "server")
	r.Now, r.Wall, r.Ticks = clock.Now, clock.Now, clock.every
	r.Observers = append(r.Observers, alert.New(alert.Options{
		Bucket: s.opened.Bucket, Project: s.job.Project, Locate: func(key string) string { return key }, Now: clock.Now, Log: r.Log, Keep: true,
	}))
	before := len(clock.ticks)
	sch := jobs.NewScheduler(r, []*jobs.Job{s.job}, jobs.SchedulerOptions{Clock: clock})
	ctx, cancel := context.WithCancel(s.Context())
	var wg sync.WaitGroup
	wg.Go(func() { sch.Watch(ctx) })
	s.Cleanup(func() { cancel(); wg.Wait() })
	until(s, "the server watches", func() bool {
		clock.mu.Lock()
		defer clock.mu.Unlock()
		return len(clock.ticks) >= before+6
	})
	return &watched{s, clock}
}

// open are the kinds and subjects of open alerts.
func (w *watched) open() (out []string) {
	w.Helper()
	all, err := alert.Open(w.Context(), w.opened.Bucket, w.job.Project)
	if err != nil {
		w.Fatal(err)
	}
	for _, a := range all {
		if a.Kind != alert.Late { // the nights of this shop are run by hand
			out = append(out, strings.TrimSpace(string(a.Kind)+" "+a.Subject))
		}
	}
	slices.Sort(out)
	return out
}

// TestConsentOnItsSchedule: servers read the feed when it falls due, once among them, and deny whom it denies; one that is held is told, and its age is known.
func TestConsentOnItsSchedule(t *testing.T) {
	s := newShop(t, smallWorld)
	var err error
	if s.job.ConsentSync, err = schedule.Parse("*/15 * * * *", time.UTC); err != nil {
		t.Fatal(err)
	}
	s.night(5)
	ids := s.admitted(2)
	gone, lost := ids[0], ids[1]
	whole := readParquet[rawConsent](t, s.raw, consentFile)
	start := nightAfter(5).Add(time.Hour)
	clock := &hands{now: start.Add(time.Minute)}
	w := s.watch(clock)
	s.watch(clock) // another server over the same bucket
	s.runner.Now, s.runner.Wall = clock.Now, clock.Now
	readings := func() int { return strings.Count(s.log.String(), `msg="consent read"`) }
	status := func() jobs.JobStatus {
		t.Helper()
		st, err := s.runner.Status(t.Context(), []*jobs.Job{s.job})
		if err != nil {
			t.Fatal(err)
		}
		return st.Jobs[0]
	}

	withdrawn := append(slices.Clone(whole), says(gone, "recommend", "Withdrawn", 5*24*time.Hour))
	writeParquet(t, s.raw, consentFile, withdrawn)
	clock.minute(t)
	if s.personalized(gone) || !s.personalized(lost) || readings() != 1 {
		t.Fatalf("after the first tick: %t %t, %d readings\n%s", s.personalized(gone), s.personalized(lost), readings(), s.log)
	}
	if got, want := status().Consent, clock.Now().Format(time.RFC3339); got != want {
		t.Errorf("status says that consent was read %s, want %s", got, want)
	}
	clock.set(start.Add(10 * time.Minute))
	clock.minute(t)
	if readings() != 1 {
		t.Errorf("it was read %d times before it fell due again", readings())
	}

	writeParquet(t, s.raw, consentFile, withdrawn[len(withdrawn)-2:]) // a feed that has lost its records
	clock.set(start.Add(16 * time.Minute))
	clock.minute(t)
	clock.minute(t) // what is held is told by whoever looks next
	if got := w.open(); !slices.Equal(got, []string{"consent"}) || !s.personalized(lost) || !strings.Contains(status().ConsentHeld, "held") {
		t.Errorf("a feed that is held: alerts %q, status %q, denied %t", got, status().ConsentHeld, !s.personalized(lost))
	}
	writeParquet(t, s.raw, consentFile, withdrawn)
	clock.set(start.Add(31 * time.Minute))
	clock.minute(t)
	if status().ConsentHeld != "" || s.personalized(gone) || !s.personalized(lost) {
		t.Errorf("the mended feed: %q", status().ConsentHeld)
	}

	// A feed that cannot be read is told in the log and tried again two minutes later, and not at every tick.
	failures := func() int { return strings.Count(s.log.String(), `msg="consent is not read"`) }
	if _, err := s.raw.Put(t.Context(), consentFile, storage.Bytes([]byte("no Parquet")), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	clock.set(start.Add(46 * time.Minute))
	clock.minute(t)
	if n := failures(); n == 0 || !strings.Contains(s.log.String(), "consent.parquet") {
		t.Errorf("a feed that cannot be read: %d times in the log", n)
	}
	writeParquet(t, s.raw, consentFile, whole)
	clock.set(start.Add(49 * time.Minute))
	clock.minute(t)
	if status().Consent != clock.Now().Format(time.RFC3339) {
		t.Errorf("it was not read again: %s", status().Consent)
	}
	if strings.Contains(s.log.String(), gone) {
		t.Error("the log names a person")
	}
}

// TestOverdueIsTold: a request without an answer by its day, and a model that learned from people who are erased and is live beyond its day, are told once each,
// and are over when they are.
func TestOverdueIsTold(t *testing.T) {
	s := newShop(t, smallWorld)
	s.quick()
	s.night(5)
	gone := s.admitted(1)[0]
	erased, err := s.erase(gone)
	if err != nil {
		t.Fatal(err)
	}
	clock := &hands{now: nightAfter(6).Add(6 * time.Hour)}
	s.runner.Now, s.runner.Wall = clock.Now, clock.Now
	w := s.watch(clock)
	status := func() jobs.JobStatus {
		t.Helper()
		st, err := s.runner.Status(t.Context(), []*jobs.Job{s.job})
		if err != nil {
			t.Fatal(err)
		}
		return st.Jobs[0]
	}
	owed := status().Owed
	if owed == nil || owed.Through != 1 || owed.Epoch != erased.Epoch {
		t.Fatalf("status says of the live model, which learned from the erased: %+v", owed)
	}
	if !slices.ContainsFunc(erased.Pending, func(p jobs.Pending) bool { return strings.HasPrefix(p.What, "model ") && p.Due.Equal(owed.Due) }) {
		t.Errorf("the receipt's day is not the one that binds: %+v, %+v", erased.Pending, owed)
	}
	if p := s.plan(6); p.Owed == nil || p.Owed.Due != owed.Due {
		t.Errorf("the plan says %+v", p.Owed)
	}
	s.runner.Now = clock.Now
	q, err := s.runner.OpenRequest(t.Context(), jobs.RequestAccess, []string{s.admitted(2)[1]}, clock.Now(), "test")
	if err != nil {
		t.Fatal(err)
	}
	clock.minute(t)
	if got := w.open(); len(got) > 0 {
		t.Errorf("alerts before anything is late: %q", got)
	}
	clock.set(q.Due.Add(time.Hour))
	if late := owed.Due; clock.Now().Before(late) {
		clock.set(late.Add(time.Hour))
	}
	for range 3 {
		clock.minute(t)
	}
	if got := w.open(); !slices.Equal(got, []string{"late_request request 1", "late_retrain model home"}) {
		t.Fatalf("alerts: %q", got)
	}
	all, err := alert.Open(t.Context(), s.opened.Bucket, s.job.Project)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.Kind != alert.Late && (a.Count != 1 || strings.Contains(a.Summary+strings.Join(a.Details, ""), gone)) {
			t.Errorf("told more than once, or a person is named: %+v", a.Message)
		}
	}
	if st := status(); !st.Stale {
		t.Error("a model that is owed beyond its day is not stale")
	}

	if _, err := s.runner.CloseRequest(t.Context(), q.Number, jobs.OutcomeDone, "", "test"); err != nil {
		t.Fatal(err)
	}
	clock.minute(t)
	if got := w.open(); !slices.Equal(got, []string{"late_retrain model home"}) {
		t.Errorf("after the request is closed: %q", got)
	}
	later := clock.Now()
	s.night(6)
	s.runner.Now = clock.Now
	clock.set(later)
	clock.minute(t)
	if got := w.open(); len(got) > 0 || status().Owed != nil {
		t.Errorf("after a model was published that has not learned from the erased: %q, %+v", got, status().Owed)
	}
}
