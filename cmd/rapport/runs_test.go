package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/cost"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
)

// spoil changes the raw file of a day, or puts back what it was with a nil change.
func (s *shop) spoil(day int, change func(path string) error) {
	s.Helper()
	key := "events/dt=" + smallWorld.Start.AddDate(0, 0, day).Format(time.DateOnly) + "/part-0.parquet"
	kept := filepath.Join(s.dir, strings.ReplaceAll(key, "/", "_"))
	if _, err := os.Stat(kept); err != nil {
		if err := os.WriteFile(kept, object(s, s.raw, key), 0o600); err != nil {
			s.Fatal(err)
		}
	}
	body, err := os.ReadFile(kept)
	if err != nil {
		s.Fatal(err)
	}
	if change != nil {
		path := kept + ".spoilt"
		if err := os.WriteFile(path, body, 0o600); err != nil {
			s.Fatal(err)
		}
		if err := change(path); err != nil {
			s.Fatal(err)
		}
		if body, err = os.ReadFile(path); err != nil {
			s.Fatal(err)
		}
	}
	if _, err := s.raw.Put(s.Context(), key, storage.Bytes(body), storage.Cond{}); err != nil {
		s.Fatal(err)
	}
}

// stuck is a bucket of which the first Put under a prefix waits until its context ends.
type stuck struct {
	storage.Bucket
	prefix  string
	once    *sync.Once
	reached chan struct{}
}

func (s stuck) Put(ctx context.Context, key string, b storage.Body, c storage.Cond) (storage.Info, error) {
	if strings.HasPrefix(key, s.prefix) {
		first := false
		s.once.Do(func() { first = true })
		if first {
			close(s.reached)
			<-ctx.Done()
			return storage.Info{}, context.Cause(ctx)
		}
	}
	return s.Bucket.Put(ctx, key, b, c)
}

// within waits for something that must come soon.
func within[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case x := <-c:
		return x
	case <-time.After(time.Minute):
		t.Fatalf("%s: not within a minute", what)
	}
	panic("unreachable")
}

// A run is ended by a request from another process: it is interrupted, says by whom and why, exits 130, and goes on from there. While it goes
// on the ledger says where it is.
func TestCancel(t *testing.T) {
	s := newShop(t, smallWorld)
	reached, ticks := make(chan struct{}), make(chan time.Time)
	s.runner = s.newRunner(stuck{s.opened.Bucket, "done/ingest/2026-01-03", &sync.Once{}, reached}, "one")
	s.runner.Ticks = func(time.Duration) (<-chan time.Time, func()) { return ticks, func() {} }
	s.runner.Now = func() time.Time { return nightAfter(6) }
	type ending struct {
		res *jobs.Result
		err error
	}
	ended := make(chan ending, 1)
	go func() {
		res, err := s.runner.Run(s.Context(), s.job, s.interval(6), jobs.Options{Through: jobs.ThroughIngest, Cause: "run"})
		ended <- ending{res, err}
	}()
	within(t, "the third day", reached)
	ticks <- time.Now()
	ticks <- time.Now() // the first has been dealt with
	runs := ledger.Ledger{Bucket: s.opened.Bucket}
	r, err := runs.Get(t.Context(), ledger.Latest)
	if err != nil {
		t.Fatal(err)
	}
	if last := r.Steps[len(r.Steps)-1]; r.Status != ledger.Running || r.Stage != "ingest" || last.Label != "2026-01-03" || last.Status != "running" {
		t.Errorf("the ledger of a run under way: %s at %s, %+v", r.Status, r.Stage, last)
	}

	other := s.newRunner(s.opened.Bucket, "two")
	other.Now = s.runner.Now
	asked, looks := make(chan struct{}), make(chan time.Time)
	other.Ticks = func(time.Duration) (<-chan time.Time, func()) { close(asked); return looks, func() {} }
	type answer struct {
		out *jobs.Cancelled
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		out, err := other.Cancel(s.Context(), s.job, r.ID, ledger.Cancel{By: "ann", Why: "wrong bucket"}, 1<<30)
		answered <- answer{out, err}
	}()
	within(t, "the request", asked)
	ticks <- time.Now()
	end := within(t, "the end", ended)
	if c, ok := jobs.CancelledBy(end.err); !ok || c.By != "ann" || exitCode(t.Context(), end.err) != exitInterrupted || end.res.Status != ledger.Interrupted {
		t.Errorf("it ended with %v, exit code %d", end.err, exitCode(t.Context(), end.err))
	}
	go func() {
		for {
			select {
			case looks <- time.Now():
			case <-t.Context().Done():
				return
			}
		}
	}()
	if a := within(t, "the answer", answered); a.err != nil || a.out.Outcome != "ended" || a.out.Run.Status != ledger.Interrupted {
		t.Errorf("the answer: %+v, %v", a.out, a.err)
	}
	if r, err = runs.Get(t.Context(), r.ID); err != nil || r.Cancelled == nil || r.Cancelled.Why != "wrong bucket" || r.Fault != "cancelled" || r.Cost.Puts == 0 {
		t.Errorf("the ledger afterwards: %+v, %v", r, err)
	}
	if _, err := other.Cancel(t.Context(), s.job, r.ID, ledger.Cancel{By: "ann"}, 0); !errors.Is(err, jobs.ErrEnded) || exitCode(t.Context(), err) != exitNotFound {
		t.Errorf("cancelled again: %v", err)
	}
	y := s.why(r.ID)
	if !strings.Contains(y.Says, "cancelled by ann: wrong bucket") || y.Step != "ingest 2026-01-03" || len(y.Try) != 1 {
		t.Errorf("why: %+v", y)
	}

	s.runner = other
	s.runner.Ticks = nil
	res, err := s.runner.Run(t.Context(), s.job, s.interval(6), jobs.Options{Through: jobs.ThroughIngest, Cause: "run"})
	if err != nil || res.Status != ledger.Succeeded {
		t.Fatalf("the same again: %v", err)
	}
	for _, step := range res.Steps {
		if want := map[bool]string{true: "skipped", false: "done"}[step.Label < "2026-01-03"]; step.Name == "ingest" && step.Status != want {
			t.Errorf("resumed: %s %s is %s, want %s", step.Name, step.Label, step.Status, want)
		}
	}
}

// crashed leaves a run behind as a process that was killed does, with the lease of its interval.
func (s *shop) crashed(day int, holder string, until time.Duration) *ledger.Run {
	s.Helper()
	iv := s.interval(day)
	label := s.job.Every.Label(iv)
	l, err := storage.Acquire(s.Context(), s.opened.Bucket, "leases/nightly/"+label, holder, until, time.Now)
	if err != nil {
		s.Fatal(err)
	}
	now := nightAfter(day)
	r := &ledger.Run{
		ID: "01Z" + strings.ToUpper(strings.ReplaceAll(label, "-", "")) + holder[:1], Job: "nightly", Interval: iv, Label: label, Status: ledger.Running, Cause: "schedule",
		Holder: holder, Started: now, Fence: l.Fence(), Stage: "train",
		Steps: []ledger.Step{{Name: "train", Label: label, Status: "running", Cost: cost.Cost{PeakMemory: 3 << 30}}},
	}
	if err := (ledger.Ledger{Bucket: s.opened.Bucket}).Save(s.Context(), r); err != nil {
		s.Fatal(err)
	}
	return r
}

// A cancelled run whose process has died is recorded as interrupted, by who asked; one whose process is silent is asked, and no more.
func TestCancelDead(t *testing.T) {
	s := newShop(t, smallWorld)
	s.runner.Now = func() time.Time { return nightAfter(6) }
	dead := s.crashed(5, "Dead", time.Hour)
	silent := s.crashed(6, "Silent", time.Hour)
	s.runner.Dead = func(holder string) bool { return holder == "Dead" }
	out, err := s.runner.Cancel(t.Context(), nil, dead.ID, ledger.Cancel{By: "ann", Why: "it hangs"}, 0)
	if err != nil || out.Outcome != "buried" || out.Run.Status != ledger.Interrupted || out.Run.Cancelled.By != "ann" || out.Run.Steps[0].Status != "interrupted" {
		t.Errorf("a run of a dead process: %+v, %v", out, err)
	}
	if out, err = s.runner.Cancel(t.Context(), nil, silent.ID, ledger.Cancel{By: "ann", Why: "it hangs"}, 0); err != nil || out.Outcome != "asked" {
		t.Errorf("a run of a silent process: %+v, %v", out, err)
	}
	if out, err = s.runner.Cancel(t.Context(), nil, silent.ID, ledger.Cancel{By: "bob", Why: "really"}, 0); err != nil || out.Request.By != "ann" {
		t.Errorf("the first request stands: %+v, %v", out, err)
	}
}

// What a run costs is what its steps cost and what lies between them; a run that does nothing reads little and writes next to nothing.
func TestCosts(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	r, err := ledger.Ledger{Bucket: s.opened.Bucket}.Get(t.Context(), ledger.Latest)
	if err != nil {
		t.Fatal(err)
	}
	var sum cost.Cost
	for _, step := range r.Steps {
		sum.Seconds, sum.CPUSeconds = sum.Seconds+step.Seconds, sum.CPUSeconds+step.CPUSeconds
		sum.BytesRead, sum.BytesWritten = sum.BytesRead+step.BytesRead, sum.BytesWritten+step.BytesWritten
		sum.Gets, sum.Puts, sum.Lists = sum.Gets+step.Gets, sum.Puts+step.Puts, sum.Lists+step.Lists
		if step.PeakMemory > r.Cost.PeakMemory || step.PeakMemory <= 0 {
			t.Errorf("%s %s: peak memory %d, that of the run is %d", step.Name, step.Label, step.PeakMemory, r.Cost.PeakMemory)
		}
		if step.Status == "done" && (len(step.Inputs) == 0 && step.Name != "consent" || step.Puts == 0 || step.BytesWritten == 0) {
			t.Errorf("%s %s was done with %d inputs and %d bytes written", step.Name, step.Label, len(step.Inputs), step.BytesWritten)
		}
		if step.Name == "ingest" && (step.BytesRead == 0 || len(step.Outputs) != 1 || step.Outputs[0].Rows != step.RowsOut) {
			t.Errorf("ingest %s: %+v", step.Label, step)
		}
	}
	for what, pair := range map[string][2]float64{
		"seconds": {sum.Seconds, r.Cost.Seconds}, "processor seconds": {sum.CPUSeconds, r.Cost.CPUSeconds}, "bytes read": {float64(sum.BytesRead), float64(r.Cost.BytesRead)},
		"bytes written": {float64(sum.BytesWritten), float64(r.Cost.BytesWritten)}, "gets": {float64(sum.Gets), float64(r.Cost.Gets)},
		"puts": {float64(sum.Puts), float64(r.Cost.Puts)}, "lists": {float64(sum.Lists), float64(r.Cost.Lists)},
	} {
		if pair[0] < 0 || pair[1] <= 0 || pair[0] > pair[1]*(1+1e-9) || pair[0] < pair[1]/2 && what != "gets" && what != "lists" {
			t.Errorf("%s: %v of the steps, %v of the run", what, pair[0], pair[1])
		}
	}
	if len(r.Sources) != 6 || r.Volume == nil || r.Volume.Events == 0 || r.Volume.Over == 0 || len(r.Spec) == 0 || r.Through != "publish" {
		t.Errorf("sources %+v, volume %+v", r.Sources, r.Volume)
	}
	stored := object(t, s.opened.Bucket, "runs/2026-01/"+r.ID+".json")
	for _, secret := range []string{testSecret, s.dir} {
		if strings.Contains(string(stored), secret) {
			t.Errorf("the run's object holds %q", secret)
		}
	}
	again := s.night(6)
	if !again.Nothing || again.Cost.BytesWritten > 1000 || again.Cost.BytesRead > r.Cost.BytesRead {
		t.Errorf("a run that does nothing: %+v", again.Cost)
	}
}

// ends counts the ends that an observer is told of, by run.
type ends map[string]int

func (e ends) Started(context.Context, *jobs.Job, ledger.Run)                       {}
func (e ends) Ended(_ context.Context, _ *jobs.Job, run ledger.Run, _ *jobs.Result) { e[run.ID]++ }

// A run whose end was recorded, but not in the index, has ended: the next run of its interval puts the index right, and neither buries it nor tells of
// it again. A line without a record keeps nobody from working.
func TestIndexBehind(t *testing.T) {
	s := newShop(t, smallWorld)
	res := s.night(5)
	runs := ledger.Ledger{Bucket: s.opened.Bucket}
	r, err := runs.Get(t.Context(), res.RunID)
	if err != nil {
		t.Fatal(err)
	}
	key := "runs/2026-01/" + r.ID + ".json"
	ended := object(t, s.opened.Bucket, key)
	behind := *r
	behind.Status, behind.Ended = ledger.Running, time.Time{}
	hole := behind
	hole.ID = "01AAAAAAAAAAAAAAAAAAAAAAAA"
	for _, x := range []*ledger.Run{&behind, &hole} {
		if err := runs.Save(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.opened.Bucket.Put(t.Context(), key, storage.Bytes(ended), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	if err := s.opened.Bucket.Delete(t.Context(), "runs/2026-01/"+hole.ID+".json"); err != nil {
		t.Fatal(err)
	}
	told := ends{}
	s.runner.Observers = []jobs.Observer{told}
	s.night(5)
	if again, err := runs.Get(t.Context(), r.ID); err != nil || again.Status != ledger.Succeeded || told[r.ID] != 0 {
		t.Errorf("the run that had succeeded: %+v, told of %d times, %v", again, told[r.ID], err)
	}
	lines, err := runs.List(t.Context(), time.Time{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if l.ID == r.ID && l.Status != ledger.Succeeded {
			t.Errorf("the index still says %s", l.Status)
		}
	}
}
