package jobs

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// ledgerServer is a scheduler of one job whose ledgers fall due at 4 o'clock on the first of the month, and how many it has made.
type ledgerServer struct {
	*Scheduler
	clock *testClock
	made  int
	fails error
	stops string
}

func newLedgerServer(t *testing.T, b storage.Bucket, now time.Time) *ledgerServer {
	t.Helper()
	due, err := schedule.Parse("0 4 1 * *", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	every, err := table.EveryOf("1d", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	s := &ledgerServer{clock: &testClock{now: now}, stops: stoppedTrials}
	r := &Runner{Bucket: b, Wall: s.clock.Now, Now: s.clock.Now, Holder: "test", Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	job := &Job{Name: "nightly", Every: every, Minimize: Minimizing{Due: due}}
	s.Scheduler = NewScheduler(r, []*Job{job, {Name: "other", Every: every}}, SchedulerOptions{Clock: s.clock})
	s.ledgers.make = func(ctx context.Context, job *Job, iv table.Interval, _ Minimizing) (*Minimized, error) {
		if s.fails != nil {
			return nil, s.fails
		}
		s.made++
		m := &Minimized{Experiment: Experiment{Format: experimentFormat, Job: job.Name, Interval: iv, At: s.clock.Now(), Stopped: s.stops}}
		m.Says = "nothing is proposed"
		m.Key, err = r.keepLedger(ctx, job.Name, job.Every.Label(iv), m)
		return m, err
	}
	return s
}

// at brings the clock to a time and lets the server look.
func (s *ledgerServer) at(t *testing.T, now string) *ledgerServer {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04", now)
	if err != nil {
		t.Fatal(err)
	}
	s.clock.now = at
	s.minimize(t.Context())
	return s
}

// TestLedgersFallDue: each month once, by one of two servers; the first when the schedule fires, not before; one that was missed is made up for.
func TestLedgersFallDue(t *testing.T) {
	bucket := storage.NewMemory(nil)
	start := time.Date(2026, 1, 20, 12, 0, 0, 0, time.UTC)
	s, other := newLedgerServer(t, bucket, start), newLedgerServer(t, bucket, start)
	for _, step := range []struct {
		at           string
		made, others int
	}{
		{"2026-01-20 12:00", 0, 0}, // it has fired on the first, when nobody had begun
		{"2026-02-01 03:59", 0, 0},
		{"2026-02-01 04:00", 1, 0},
		{"2026-02-01 04:01", 1, 0},
		{"2026-02-28 23:59", 1, 0},
		{"2026-03-01 04:00", 2, 0},
	} {
		s.at(t, step.at)
		other.at(t, step.at)
		if s.made != step.made || other.made != step.others {
			t.Fatalf("%s: %d made, and %d by the other; want %d and %d", step.at, s.made, other.made, step.made, step.others)
		}
	}
	late := newLedgerServer(t, bucket, time.Date(2026, 4, 7, 9, 0, 0, 0, time.UTC))
	if late.at(t, "2026-04-07 09:00"); late.made != 1 {
		t.Error("the ledger of April, which fell due while no server was there, is not made up for")
	}
	m, err := late.runner.LastMinimized(t.Context(), "nightly", time.Time{})
	if err != nil || m == nil || !m.At.Equal(late.clock.now) || m.Key == "" {
		t.Errorf("the last ledger is %+v: %v", m, err)
	}
	if m, err := late.runner.LastMinimized(t.Context(), "other", time.Time{}); m != nil || err != nil {
		t.Errorf("a job without ledgers has %v: %v", m, err)
	}
}

// TestLedgersThatFail: what could not be made is tried again after an hour, and so is what was interrupted; what another server is at is left to it.
func TestLedgersThatFail(t *testing.T) {
	bucket := storage.NewMemory(nil)
	s := newLedgerServer(t, bucket, time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC))
	s.fails = errors.New("no events")
	s.at(t, "2026-02-01 04:00")
	s.fails = nil
	if s.at(t, "2026-02-01 04:30"); s.made != 0 {
		t.Error("tried again within the hour")
	}
	s.stops = stoppedInterrupted
	if s.at(t, "2026-02-01 05:00"); s.made != 1 {
		t.Error("not tried again after an hour")
	}
	s.stops = stoppedBudget
	s.at(t, "2026-02-01 06:30").at(t, "2026-02-01 08:00")
	if s.made != 2 {
		t.Errorf("%d made: one that was interrupted is made again, and one whose budget was spent is not", s.made)
	}
	holder := newLedgerServer(t, bucket, s.clock.now)
	holder.clock.now = time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)
	lease, err := holder.runner.acquire(t.Context(), leaseKey("nightly", minimizations))
	if err != nil {
		t.Fatal(err)
	}
	if s.at(t, "2026-03-01 04:00"); s.made != 2 {
		t.Error("made beside another server")
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.at(t, "2026-03-01 04:01"); s.made != 3 {
		t.Error("not made when the other server had let go")
	}
}

// TestLastMinimized: the newest counts, whatever its interval, of those that know no more than they may; and what cannot be read is said with its key.
func TestLastMinimized(t *testing.T) {
	now := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	bucket := storage.NewMemory(func() time.Time { now = now.Add(time.Minute); return now })
	r := &Runner{Bucket: bucket}
	end := func(day int) time.Time { return time.Date(2026, 1, day+1, 0, 0, 0, 0, time.UTC) }
	for _, day := range []int{10, 31, 20} {
		label := end(day - 1).Format(time.DateOnly)
		m := &Minimized{Experiment: Experiment{Format: experimentFormat, Job: "nightly", Interval: table.Interval{Start: end(day - 1), End: end(day)}}, Minimization: eval.Minimization{Says: label}}
		if _, err := r.keepLedger(t.Context(), "nightly", label, m); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		until time.Time
		want  string
	}{{time.Time{}, "2026-01-20"}, {end(31), "2026-01-20"}, {end(20), "2026-01-20"}, {end(19), "2026-01-10"}, {end(9), ""}} {
		m, err := r.LastMinimized(t.Context(), "nightly", c.until)
		if err != nil || (m == nil) != (c.want == "") || m != nil && m.Says != c.want {
			t.Errorf("up to %s: %+v (%v), want %q", c.until, m, err, c.want)
		}
	}
	m, err := r.LastMinimized(t.Context(), "nightly", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Head(t.Context(), PageOf(m.Key)); err != nil {
		t.Errorf("no page beside it: %v", err)
	}
	for _, bad := range []string{"{", `{"format": 99}`} {
		if _, err := bucket.Put(t.Context(), minimizations+"/nightly/x/y.json", storage.Bytes([]byte(bad)), storage.Cond{}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.LastMinimized(t.Context(), "nightly", time.Time{}); err == nil {
			t.Errorf("%s is taken for a ledger", bad)
		}
	}
}

// TestLedgerPageIsOfWhatWasFound: equal findings are equal pages, however long they took, and a page has nothing of when it was written.
func TestLedgerPageIsOfWhatWasFound(t *testing.T) {
	written := map[string]string{}
	for i, seconds := range []float64{12, 345} {
		at := time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC).AddDate(0, 0, i)
		bucket := storage.NewMemory(func() time.Time { return at })
		r := &Runner{Bucket: bucket, NewID: func(time.Time) string { return "id" }, Wall: func() time.Time { return at }}
		made := time.Date(2026, 2, 28, 4, 0, 0, 0, time.UTC)
		m := &Minimized{Experiment: Experiment{Format: experimentFormat, Job: "nightly", Model: "home", At: made, Stopped: stoppedTrials, Seconds: seconds, Prepared: seconds / 2}}
		m.Rows = []eval.Worth{{Family: "subjects", Name: "age", Verdict: eval.Unread, Says: "not read", Seconds: seconds / 3}}
		key, err := r.keepLedger(t.Context(), "nightly", "2026-02-27", m)
		if err != nil {
			t.Fatal(err)
		}
		page, _, err := storage.ReadAll(t.Context(), bucket, strings.TrimSuffix(key, ".json")+".html")
		if err != nil {
			t.Fatal(err)
		}
		written[string(page)] = key
	}
	if len(written) != 1 {
		t.Errorf("one ledger is %d pages", len(written))
	}
}
