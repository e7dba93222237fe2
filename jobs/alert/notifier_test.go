package alert

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// A condition is told once, over restarts: again only when it changes, after a day, and when it is over.
func TestOnceACondition(t *testing.T) {
	w := newWorld(t)
	h := w.webhook(nil)
	for i := range 3 {
		w.end(w.run(0, ledger.Failed, fmt.Sprintf("ingest 2026-03-09: file part-%d.parquet is damaged", i), "ingest"))
		w.pass(time.Minute)
	}
	w.expect(h, "open failed")

	w.pass(20 * time.Minute)
	w.end(w.run(0, ledger.Failed, "ingest 2026-03-09: the store is full", "ingest"))
	w.expect(h, "changed failed")

	w.end(w.run(0, ledger.Failed, "ingest 2026-03-09: the store is unreachable", "ingest"))
	w.expect(h, "") // a minute ago something else: not at each retry
	w.pass(20 * time.Minute)
	w.notifier().Sweep(t.Context())
	w.expect(h, "changed failed")

	w.pass(23 * time.Hour)
	w.end(w.run(0, ledger.Failed, "ingest 2026-03-09: the store is unreachable", "ingest"))
	w.expect(h, "")
	w.pass(time.Hour)
	w.notifier().Sweep(t.Context())
	w.notifier().Sweep(t.Context())
	w.expect(h, "reminder failed")

	n := w.end(w.run(0, ledger.Succeeded, "", "load"))
	w.expect(h, "resolved failed")
	if got := n.Counts(); got != (Counts{Sent: 1}) {
		t.Errorf("counted %+v", got)
	}
	w.end(w.run(0, ledger.Succeeded, "", "load"))
	w.expect(h, "")
	w.end(w.run(0, ledger.Failed, "again", "ingest"))
	w.expect(h, "open failed")
}

// What nobody has seen for days is not reminded of for ever: its job may be gone.
func TestRemindersEnd(t *testing.T) {
	w := newWorld(t)
	h := w.webhook(nil)
	w.end(w.run(0, ledger.Failed, "x", "ingest"))
	for range 30 {
		w.pass(12 * time.Hour)
		w.notifier().Sweep(t.Context())
	}
	if got := says(h.take(t)); got != "open failed; reminder failed; reminder failed" {
		t.Errorf("in 15 days: %s", got)
	}
}

// A failure is over when a run of that interval or a later one has come as far; older intervals and shorter runs do not tell.
func TestWhatResolvesAFailure(t *testing.T) {
	for name, c := range map[string]struct {
		back    int
		through string
		over    bool
	}{
		"the same interval":    {1, "load", true},
		"a later one":          {0, "load", true},
		"an older one":         {2, "load", false},
		"as far as the failed": {1, "train", true},
		"not as far":           {1, "build", false},
	} {
		w := newWorld(t)
		h := w.webhook(nil)
		w.end(w.run(1, ledger.Failed, "out of memory", "train"))
		w.expect(h, "open failed")
		w.end(w.run(c.back, ledger.Succeeded, "", c.through))
		if got := says(h.take(t)); (got == "resolved failed") != c.over {
			t.Errorf("%s through %s: %q", name, c.through, got)
		}
	}
}

// Interrupted, cancelled and waiting runs need nobody; a killed one does.
func TestWhatIsAFailure(t *testing.T) {
	killed := "its process ended without a word; run X took over"
	for name, c := range map[string]struct {
		status ledger.Status
		fault  string
		res    *jobs.Result
		told   bool
	}{
		"interrupted":           {ledger.Interrupted, "interrupted", &jobs.Result{}, false},
		"cancelled":             {ledger.Interrupted, "cancelled", &jobs.Result{}, false},
		"cancelled, and buried": {ledger.Interrupted, "cancelled", nil, false},
		"killed":                {ledger.Interrupted, "killed", nil, true},
		"not ready":             {ledger.Failed, "not_ready", &jobs.Result{}, false},
		"failed":                {ledger.Failed, "other", &jobs.Result{}, true},
	} {
		w := newWorld(t)
		h := w.webhook(nil)
		r := w.run(0, c.status, killed, "ingest")
		r.Fault = c.fault
		w.notifier().Ended(t.Context(), w.job, r, c.res)
		if got := says(h.take(t)); (got == "open failed") != c.told {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A backfill tells of its failures, as one condition, which is over when each interval that failed has succeeded.
func TestBackfill(t *testing.T) {
	w := newWorld(t)
	h := w.webhook(nil)
	back := func(interval int, s ledger.Status) {
		r := w.run(interval, s, map[bool]string{true: "disk full"}[s == ledger.Failed], "build")
		r.Cause = "backfill"
		if s == ledger.Rejected {
			r.Reasons = []string{"worse"}
		}
		w.end(r)
	}
	back(30, ledger.Failed)
	back(29, ledger.Failed)
	back(28, ledger.Succeeded)
	back(27, ledger.Rejected)
	w.end(w.run(0, ledger.Succeeded, "", "load"))
	w.expect(h, "open failed backfill")
	back(30, ledger.Succeeded)
	w.expect(h, "")
	back(29, ledger.Succeeded)
	w.expect(h, "resolved failed backfill")
}

func rule(kind, subject string, v eval.Verdict, e eval.Effect) eval.Rule {
	return eval.Rule{Kind: kind, Subject: subject, Verdict: v, Effect: e, Says: subject + ": figures."}
}

// Drift and broken budgets come from the gate's decision. What refused a run is told once, as its rejection, to those who are told of both.
func TestGate(t *testing.T) {
	w := newWorld(t)
	all := w.webhook(nil)
	fairness := w.webhook(func(d *Destination) { d.On = []Kind{Budget, Drift} })
	const gap, device = "ndcg@10 gap by gender", "drift of device"

	r := w.run(1, ledger.Rejected, "", "evaluate")
	r.Reasons = []string{"ndcg@10 gap by gender: exceeded."}
	w.report(&r, rule("floor", "popular", eval.Pass, eval.NoEffect), rule("budget", gap, eval.Fail, eval.Refuses), rule("drift", device, eval.Fail, eval.Warns))
	w.end(r)
	w.expect(all, "open drift; open rejected")
	w.expect(fairness, "open budget "+gap+"; open drift")

	// The next night it goes on as an accepted risk, and another column has drifted.
	w.pass(24*time.Hour - time.Minute)
	r = w.run(0, ledger.Succeeded, "", "load")
	w.report(&r, rule("budget", gap, eval.Fail, eval.Accepted), rule("drift", device, eval.Fail, eval.Warns), rule("drift", "drift of channel", eval.Fail, eval.Warns))
	w.end(r)
	w.expect(all, "changed drift; open budget "+gap+"; resolved rejected")
	w.expect(fairness, "changed budget "+gap+"; changed drift")

	// An older interval, run by hand, says nothing of today.
	old := w.run(5, ledger.Succeeded, "", "load")
	w.report(&old, rule("budget", gap, eval.Pass, eval.NoEffect))
	w.end(old)
	w.expect(all, "")

	r = w.run(0, ledger.Succeeded, "", "load")
	w.report(&r, rule("budget", gap, eval.Undecided, eval.NoEffect), rule("drift", device, eval.Pass, eval.NoEffect))
	w.end(r)
	w.expect(all, "resolved budget "+gap+"; resolved drift")
	w.expect(fairness, "resolved budget "+gap+"; resolved drift")
}

// A budget that nothing could be said of for four weeks is told to its owner, once, and is over when it is decided.
func TestUndecided(t *testing.T) {
	w := newWorld(t)
	h := w.webhook(nil)
	const gap = "ndcg@10 gap by gender"
	undecided := rule("budget", gap, eval.Undecided, eval.NoEffect)
	for _, tt := range []struct {
		ago  int // the interval's days before the last
		days time.Duration
		want string
	}{{2, 27, ""}, {1, 28, "open budget " + gap}, {0, 29, ""}} {
		r := w.run(tt.ago, ledger.Succeeded, "", "load")
		since := r.Interval.End.Add(-24 * time.Hour * tt.days)
		undecided.Undecided = &since
		w.report(&r, undecided)
		w.end(r)
		w.expect(h, tt.want)
	}
	r := w.run(0, ledger.Succeeded, "", "load")
	w.report(&r, rule("budget", gap, eval.Pass, eval.NoEffect))
	w.end(r)
	w.expect(h, "resolved budget "+gap)
}

// Late is told once, however often it is looked for and by however many processes, and is over when a run has brought the interval to an end.
func TestLate(t *testing.T) {
	w := newWorld(t)
	h := w.webhook(nil)
	var wg sync.WaitGroup
	for range 8 {
		n := w.notifier()
		wg.Go(func() {
			for range 5 {
				n.Late(context.Background(), w.job, w.interval(0), midnight.Add(2*time.Hour))
			}
		})
	}
	wg.Wait()
	got := h.take(t)
	if says(got) != "open late" || !strings.Contains(got[0].Summary, "2026-03-09") || got[0].Command != "rapport run nightly" {
		t.Fatalf("eight processes told %+v", got)
	}
	r := w.run(0, ledger.Rejected, "", "evaluate")
	r.Reasons = []string{"worse than what is live"}
	w.end(r)
	w.expect(h, "open rejected; resolved late")
}

// Looking for what is late, time after time, writes nothing.
func TestLateIsCheap(t *testing.T) {
	w := newWorld(t)
	w.webhook(nil)
	rec := storagetest.NewRecording(w.bucket)
	w.bucket = rec
	n := w.notifier()
	n.Late(t.Context(), w.job, w.interval(0), midnight)
	rec.Reset()
	for range 10 {
		w.pass(10 * time.Second)
		n.Late(t.Context(), w.job, w.interval(0), midnight)
	}
	if puts := rec.Count(storagetest.Put); puts != 0 {
		t.Errorf("%d writes for nothing new", puts)
	}
	if got := n.Counts(); got.Sent != 1 || got.Suppressed != 10 {
		t.Errorf("counted %+v", got)
	}
}

// A webhook that is down is tried three times and left alone; what it missed is sent by the next run, as things stand then.
func TestUndelivered(t *testing.T) {
	w := newWorld(t)
	h := w.webhook(nil)
	other := w.webhook(nil)
	h.set(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) })
	n := w.end(w.run(1, ledger.Failed, "disk full", "ingest"))
	if got := len(h.take(t)); got != 3 {
		t.Errorf("%d tries", got)
	}
	if len(w.waits) != 2 || w.waits[0] != 500*time.Millisecond || w.waits[1] != time.Second {
		t.Errorf("waited %v", w.waits)
	}
	if c := n.Counts(); c.Sent != 1 || c.Failed != 1 {
		t.Errorf("counted %+v", c)
	}
	w.expect(other, "open failed")
	if open, err := Open(t.Context(), w.bucket, "shop"); err != nil || len(open) != 1 || open[0].Untold != 1 {
		t.Errorf("open: %+v, %v", open, err)
	}
	n.Sweep(t.Context())
	w.expect(h, "") // a scheduler's sweep does not hammer it

	h.set(nil)
	w.pass(2 * time.Minute)
	w.notifier().Sweep(t.Context())
	w.expect(h, "open failed")

	// Down from the failure to its end: it hears of the end, which says what it was.
	h.set(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) })
	w.pass(25 * time.Hour)
	w.end(w.run(0, ledger.Failed, "disk full", "ingest"))
	h.take(t)
	h.set(nil)
	w.end(w.run(0, ledger.Succeeded, "", "load"))
	got := h.take(t)
	if says(got) != "resolved failed" || !strings.Contains(got[0].Summary, "disk full") {
		t.Errorf("told %+v", got)
	}
	w.expect(other, "reminder failed; resolved failed")
}

// A destination that is new hears of what is open, and not of the end of what it never heard of.
func TestNewDestination(t *testing.T) {
	w := newWorld(t)
	w.webhook(nil)
	w.end(w.run(0, ledger.Failed, "disk full", "ingest"))
	late := w.webhook(nil)
	w.notifier().Sweep(t.Context())
	w.expect(late, "open failed")
	w.end(w.run(0, ledger.Succeeded, "", "load"))
	w.expect(late, "resolved failed")
	never := w.webhook(nil)
	w.notifier().Sweep(t.Context())
	w.expect(never, "")
}

// Each way in which a webhook can go wrong ends within bounds, with a reason that does not give its address away.
func TestAnswers(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	var elsewhere *hook
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		says   string // "": it arrives
		tries  int
	}{
		"hangs": {func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}, "no answer within", 3},
		"fails": {func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(500) }, "answered 500", 3},
		"asks for little time": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Retry-After", "0")
			rw.WriteHeader(429)
		}, "answered 429", 3},
		"asks for much time": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Retry-After", "900")
			rw.WriteHeader(429)
		}, "answered 429", 1},
		"asks for a time of day": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Retry-After", "Wed, 11 Mar 2026 03:00:00 GMT")
			rw.WriteHeader(503)
		}, "answered 503", 1},
		"is gone":   {func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(410) }, "still the right one", 1},
		"redirects": {func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, elsewhere.URL, 307) }, "redirects (307)", 1},
		"drips a body for ever": {func(rw http.ResponseWriter, r *http.Request) {
			rw.WriteHeader(200)
			for i := 0; ; i++ {
				if _, err := rw.Write([]byte{'.'}); err != nil {
					return
				}
				rw.(http.Flusher).Flush()
				select {
				case <-release:
					return
				case <-r.Context().Done():
					return
				case <-time.After(time.Millisecond):
				}
			}
		}, "", 1},
		"answers with a flood": {func(rw http.ResponseWriter, _ *http.Request) { rw.Write(make([]byte, 1<<20)) }, "", 1},
		"breaks off": {func(rw http.ResponseWriter, _ *http.Request) {
			if c, _, err := rw.(http.Hijacker).Hijack(); err == nil {
				c.Close()
			}
		}, "connection failed", 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			h := w.webhook(nil)
			h.set(c.answer)
			elsewhere = (&world{TB: t}).webhook(nil)
			n := w.notifier()
			n.limits.request = 100 * time.Millisecond
			start := time.Now()
			w.endOn(n, w.run(0, ledger.Failed, "disk full", "ingest"))
			if took := time.Since(start); took > 4*time.Second {
				t.Errorf("it took %s", took)
			}
			if got := len(h.take(t)); got != c.tries {
				t.Errorf("%d tries, want %d", got, c.tries)
			}
			if got := elsewhere.take(t); len(got) != 0 {
				t.Errorf("a redirect was followed: %+v", got)
			}
			log := w.log.String()
			if c.says == "" && n.Counts().Sent != 1 || c.says != "" && !strings.Contains(log, c.says) {
				t.Errorf("logged %q, counted %+v", log, n.Counts())
			}
			if strings.Contains(log, "127.0.0.1") || strings.Contains(log, "secret") {
				t.Errorf("the log gives the address away: %s", log)
			}
		})
	}
}

// Nothing listens, no such name, no certificate: told in words, without the address.
func TestUnreachable(t *testing.T) {
	w := newWorld(t)
	h := w.webhook(nil)
	h.Close()
	tls := w.webhook(func(d *Destination) { d.Address = strings.Replace(d.Address, "http:", "https:", 1) })
	tls.Close()
	w.to = append(w.to,
		Destination{Where: "alerts[2]", Address: "https://very-secret.invalid/x", Format: "json", On: []Kind{Failed}},
		Destination{Where: "alerts[3]", Address: "http://example.test/very-secret", Format: "json", On: []Kind{Failed}},
		Destination{Where: "alerts[4]", Fault: errors.New("the environment variable HOOK is not set"), Format: "json", On: []Kind{Failed}})
	n := w.notifier()
	n.limits.tries = 1
	n.Started(t.Context(), w.job, ledger.Run{})
	out := n.Test(t.Context())
	for i, want := range []string{"nothing listens there", "nothing listens there", "", "use https", "HOOK is not set"} {
		if out[i].OK || !strings.Contains(out[i].Says, want) {
			t.Errorf("%s: %+v", out[i].Where, out[i])
		}
	}
	w.endOn(n, w.run(0, ledger.Failed, "x", "ingest"))
	if got := n.Counts(); got.Failed != 5 {
		t.Errorf("counted %+v", got)
	}
	for _, text := range []string{w.log.String(), fmt.Sprint(out)} {
		for _, secret := range []string{"very-secret", "127.0.0.1", "example.test"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q stands in %s", secret, text)
			}
		}
	}
}

// A bucket that fails does not stop a run, and what can be told from memory is not told twice.
func TestBucketFails(t *testing.T) {
	for _, op := range []storagetest.Op{storagetest.Get, storagetest.Put, storagetest.List} {
		w := newWorld(t)
		h := w.webhook(nil)
		w.bucket = storagetest.NewFaulty(w.bucket, storagetest.Fault{Match: func(c storagetest.Call) bool { return c.Op == op && strings.HasPrefix(c.Key, prefix) }})
		w.end(w.run(0, ledger.Failed, "x", "ingest"))
		if !strings.Contains(w.log.String(), "alert") {
			t.Errorf("%v: nothing is logged", op)
		}
		if got := h.take(t); len(got) > 1 {
			t.Errorf("%v: told %s", op, says(got))
		}
	}
}

// A process that died while it was sending leaves its claim for a minute; then another sends.
func TestClaimOfADeadProcess(t *testing.T) {
	w := newWorld(t)
	h := w.webhook(nil)
	n := w.notifier()
	c := n.see(t.Context(), w.job, finding{kind: Failed, fingerprint: "x", run: "R", interval: w.interval(0), summary: "s"}, w.now())
	if mine, _, err := n.claim(t.Context(), c); err != nil || mine == nil {
		t.Fatal(err)
	}
	w.notifier().Sweep(t.Context())
	w.expect(h, "")
	w.pass(claimFor + time.Second)
	w.notifier().Sweep(t.Context())
	w.expect(h, "open failed")
}

// What a newer release has written, or what is no condition, is named and left alone; the others are told.
func TestForeignObjects(t *testing.T) {
	w := newWorld(t)
	h := w.webhook(nil)
	id := conditionID("shop", "nightly", Late, "")
	for key, body := range map[string]string{prefix + id + ".json": `{"format":2,"id":"` + id + `"}`, prefix + "zz.json": `{`, prefix + "yy.json": `{"format":1,"id":"other"}`} {
		if _, err := w.bucket.Put(t.Context(), key, storage.Bytes([]byte(body)), storage.Cond{}); err != nil {
			t.Fatal(err)
		}
	}
	w.notifier().Late(t.Context(), w.job, w.interval(0), midnight)
	w.end(w.run(0, ledger.Failed, "x", "ingest"))
	w.expect(h, "open failed")
	_, err := Open(t.Context(), w.bucket, "shop")
	for _, want := range []string{"made by a newer rapport", "zz.json", "another condition"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if body, _, err := storage.ReadAll(t.Context(), w.bucket, prefix+id+".json"); err != nil || !strings.Contains(string(body), `"format":2`) {
		t.Errorf("a newer object was written over: %s, %v", body, err)
	}
}

// Two projects over one bucket, as after a change of the project's name, may have jobs of the same name: neither tells nor resolves what is
// the other's.
func TestOtherProject(t *testing.T) {
	w := newWorld(t)
	ours := w.webhook(nil)
	w.end(w.run(0, ledger.Failed, "x", "ingest"))
	w.expect(ours, "open failed")

	mine := w.to
	w.to = nil
	theirs := w.webhook(nil)
	other := w.notifier()
	other.Project = "outlet"
	other.Sweep(t.Context())
	w.endOn(other, w.run(0, ledger.Succeeded, "", "load"))
	w.expect(theirs, "")
	for project, want := range map[string]int{"shop": 1, "outlet": 0} {
		if open, err := Open(t.Context(), w.bucket, project); err != nil || len(open) != want {
			t.Errorf("%s: %+v is open (%v)", project, open, err)
		}
	}
	w.to = mine
	w.end(w.run(0, ledger.Succeeded, "", "load"))
	w.expect(ours, "resolved failed")
}

// No address, secret, value or person leaves: not in a body, an object or the log.
func TestNothingLeaks(t *testing.T) {
	w := newWorld(t)
	h := w.webhook(func(d *Destination) { d.Secret = []byte("hunter2-and-more") })
	slack := w.webhook(func(d *Destination) { d.Format = "slack" })
	secrets := []string{w.to[0].Address, w.to[1].Address, "hunter2-and-more", "AKIA123", "eve@example.com", "u000042", "sig=abc"}
	r := w.run(0, ledger.Failed, `ingest: item "u000042" of eve@example.com at s3://AKIA123:zzz@host/x.parquet?sig=abc: post `+w.to[0].Address+" with hunter2-and-more\n\x1b[31mred", "ingest")
	w.end(r)
	var texts []string
	for _, hook := range []*hook{h, slack} {
		for i, b := range hook.bodies {
			texts = append(texts, string(b), fmt.Sprint(hook.heads[i]))
		}
	}
	if len(texts) != 4 || !strings.Contains(texts[0], "x.parquet") {
		t.Fatalf("sent %q", texts)
	}
	texts = append(texts, w.log.String())
	for info, err := range w.bucket.List(t.Context(), "", storage.ListOpt{}) {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := storage.ReadAll(t.Context(), w.bucket, info.Key)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(body))
	}
	for _, text := range texts {
		for _, s := range append(secrets, "\x1b", `\u001b`) {
			if strings.Contains(text, s) {
				t.Errorf("%q stands in %s", s, text)
			}
		}
	}
}

// The report is told as a link where one is declared, else as a place.
func TestReportLink(t *testing.T) {
	w := newWorld(t)
	linked := w.webhook(func(d *Destination) { d.Link = "https://reports.example.test/shop/" })
	plain := w.webhook(nil)
	r := w.run(0, ledger.Rejected, "", "evaluate")
	r.Reasons = []string{"worse"}
	w.report(&r)
	w.end(r)
	if got := linked.take(t)[0].Report; got != "https://reports.example.test/shop/reports/nightly/2026-03-09/abc.html" {
		t.Error(got)
	}
	if got := plain.take(t)[0].Report; got != "/lake/reports/nightly/2026-03-09/abc.html" {
		t.Error(got)
	}
}

// A nil Notifier is one that tells nobody.
func TestNobody(t *testing.T) {
	n := New(Options{})
	n.Started(t.Context(), nil, ledger.Run{})
	n.Ended(t.Context(), nil, ledger.Run{}, nil)
	n.Sweep(t.Context())
	n.Late(t.Context(), nil, newWorld(t).interval(0), midnight)
	if n != nil || n.Counts() != (Counts{}) || n.Faults() != nil || len(n.Test(t.Context())) != 0 {
		t.Error("nobody was told something")
	}
}
