package alert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
)

// Started warns, once a process, of destinations that nothing can be sent to.
func (n *Notifier) Started(context.Context, *jobs.Job, ledger.Run) {
	if n == nil {
		return
	}
	n.warned.Do(func() {
		if err := n.Faults(); err != nil {
			n.Log.Warn("alerts would not arrive", "error", err)
		}
	})
}

// backfilled is what of a job a condition is that a backfill has found.
const backfilled = "backfill"

// Ended opens and resolves what the run's end says, and sends that and what could not be sent before. It takes no longer than 40 s, whatever
// hangs, and much less if nothing does. A run that somebody interrupted or cancelled says nothing, and neither does one whose source has not
// delivered yet: if that goes on, the interval is late. A run that was killed has failed.
//
// Whoever starts a backfill sees how each of its intervals ends: of those, only failures are told, all of one backfill as one condition.
func (n *Notifier) Ended(ctx context.Context, job *jobs.Job, run ledger.Run, res *jobs.Result) {
	if n == nil {
		return
	}
	if run.Status == ledger.Interrupted && (res != nil || run.Fault == "cancelled") || run.Fault == "not_ready" {
		return
	}
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	now := n.Now()
	decision := n.decision(ctx, run)
	found := n.findings(job, run, res, decision)
	seen := map[string]bool{}
	for _, f := range found {
		if c := n.see(ctx, job, f, now); c != nil {
			seen[c.ID] = true
		}
	}
	conditions := n.all(ctx)
	for i, c := range conditions {
		if c.Job != job.Name || !c.Open || seen[c.ID] || !clears(c, run, res, decision != nil) {
			continue
		}
		again, err := n.store.update(ctx, *c, func(c *condition) bool { return n.clear(c, run, now) })
		if err != nil {
			n.Log.Warn("alert not resolved", "job", c.Job, "kind", c.Kind, "error", err)
			continue
		}
		conditions[i] = again
	}
	n.remind(ctx, conditions)
	n.deliver(ctx, conditions, false)
}

// decision reads what the gate decided from the run's report, or, of a run that ended before there was one, what its drift check has found; nil where
// there is neither.
func (n *Notifier) decision(ctx context.Context, run ledger.Run) *eval.Decision {
	if run.Report == "" && run.Drift != nil && (run.Status == ledger.Succeeded || run.Status == ledger.Rejected) {
		d, err := jobs.DriftOf(&run)
		if err != nil {
			n.Log.Warn("what the drift check found can't be read: alerts tell nothing of it", "run", run.ID, "error", err)
			return nil
		}
		return d.Decision()
	}
	if run.Report == "" || run.Status != ledger.Succeeded && run.Status != ledger.Rejected {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, n.limits.store)
	defer cancel()
	body, _, err := storage.ReadAll(ctx, n.Bucket, run.Report+".json")
	var report struct {
		Decision *eval.Decision `json:"decision"`
	}
	if err == nil {
		err = json.Unmarshal(body, &report)
	}
	if err != nil {
		n.Log.Warn("the report can't be read: alerts tell nothing of drift and budgets", "run", run.ID, "error", err)
		return nil
	}
	return report.Decision
}

// findings are the conditions that a run's end shows.
func (n *Notifier) findings(job *jobs.Job, run ledger.Run, res *jobs.Result, d *eval.Decision) []finding {
	base := finding{run: run.ID, interval: run.Interval, reach: reach(run, res), command: "rapport runs why " + run.ID}
	if run.Report != "" {
		base.report = run.Report + ".html"
	}
	back := run.Cause == "backfill"
	var out []finding
	switch {
	case run.Status == ledger.Failed || run.Status == ledger.Interrupted:
		f := base
		f.kind = Failed
		if back {
			f.subject, f.label = backfilled, run.Label
		}
		why := n.clean(run.Error, maxDetail)
		f.fingerprint = fingerprint(lastStep(run), run.Fault, why)
		f.summary = Clean(fmt.Sprintf("%s of %s failed: %s", job.Name, run.Label, why), maxSummary)
		if run.Status == ledger.Interrupted {
			f.summary = Clean(fmt.Sprintf("%s of %s was killed", job.Name, run.Label), maxSummary)
		}
		f.details = []string{why}
		if run.Hint != "" {
			f.details = append(f.details, n.clean(run.Hint, maxDetail))
		}
		f.details = append(f.details, "Nothing was published by it; what was live before stays live. What is done stays done: the same run resumes.")
		return []finding{f}
	case back:
		return nil
	case run.Status == ledger.Rejected:
		f := base
		f.kind = Rejected
		f.summary = Clean(fmt.Sprintf("%s of %s was refused by the gate", job.Name, run.Label), maxSummary)
		f.details = n.lines(run.Reasons)
		f.fingerprint = fingerprint(refusing(d, run.Reasons)...)
		out = append(out, f)
	}
	if says, ok := heldConsent(run); ok {
		f := base
		n.held(&f, job, says)
		out = append(out, f)
	}
	if d == nil {
		return out
	}
	return append(out, n.rules(base, job, run, d)...)
}

// heldConsent is what a run says of a feed of consent that is held.
func heldConsent(run ledger.Run) (says string, held bool) {
	for _, x := range run.Flags {
		if says, held = strings.CutPrefix(x, "consent: "); held {
			return says, true
		}
	}
	return "", false
}

// rules are the findings of the gate: one of all columns that have drifted, and one a broken budget.
func (n *Notifier) rules(base finding, job *jobs.Job, run ledger.Run, d *eval.Decision) (out []finding) {
	drifted := base
	drifted.kind, drifted.report = Drift, base.report
	var columns []string
	for _, r := range d.Rules {
		if r.Overdue(run.Interval.End) {
			f := base
			f.kind, f.subject = Budget, Clean(r.Subject, maxName)
			f.fingerprint = fingerprint("undecided")
			f.summary = Clean(fmt.Sprintf("%s of %s: budget %s has been undecided since %s", job.Name, run.Label, r.Subject, r.Undecided.Format(time.DateOnly)), maxSummary)
			f.details = n.lines([]string{r.Says, "More subjects decide it, or a longer pool; or the budget asks for more than these data can tell."})
			out = append(out, f)
		}
		if r.Verdict != eval.Fail || r.Kind == "drift" && r.Effect == eval.NoEffect { // somebody knows of it
			continue
		}
		covered := Kind("")
		if r.Effect == eval.Refuses {
			covered = Rejected
		}
		switch r.Kind {
		case "drift":
			columns = append(columns, strings.TrimPrefix(r.Subject, "drift of "))
			drifted.details, drifted.covered = append(drifted.details, r.Says), covered
		case "budget":
			f := base
			f.kind, f.subject, f.covered = Budget, Clean(r.Subject, maxName), covered
			f.fingerprint = fingerprint(string(r.Effect))
			f.summary = Clean(fmt.Sprintf("%s of %s: budget %s is broken", job.Name, run.Label, r.Subject), maxSummary)
			f.details = n.lines([]string{r.Says, effects[r.Effect]})
			out = append(out, f)
		}
	}
	if len(columns) > 0 {
		slices.Sort(columns)
		drifted.fingerprint = fingerprint(columns...)
		drifted.summary = Clean(fmt.Sprintf("%s of %s: drift of %s", job.Name, run.Label, strings.Join(columns, ", ")), maxSummary)
		drifted.details = n.lines(drifted.details)
		out = append(out, drifted)
	}
	return out
}

var effects = map[eval.Effect]string{
	eval.Refuses:  "It refused the candidate: nothing was published.",
	eval.Accepted: "The candidate goes on as an accepted risk: it is no worse on it than what it replaces.",
	eval.Warns:    "It warns only: the candidate goes on.",
}

// lines cleans texts and bounds their number.
func (n *Notifier) lines(texts []string) []string {
	out := make([]string, 0, min(len(texts), maxDetails))
	for i, t := range texts {
		if i == maxDetails-1 && len(texts) > maxDetails {
			out = append(out, fmt.Sprintf("and %d more: the report has them", len(texts)-i))
			break
		}
		if t != "" {
			out = append(out, n.clean(t, maxDetail))
		}
	}
	return out
}

// clean is Clean, and cuts out what this project keeps secret, in case an error repeats it.
func (n *Notifier) clean(s string, max int) string {
	for _, d := range n.To {
		for _, secret := range []string{d.Address, string(d.Secret)} {
			if secret != "" {
				s = strings.ReplaceAll(s, secret, "…")
			}
		}
	}
	return Clean(s, max)
}

// place is where people can open an object: behind a destination's link, or where it stands.
func (n *Notifier) place(d *Destination, key string) string {
	if d.Link == "" {
		return n.Locate(key)
	}
	return strings.TrimSuffix(d.Link, "/") + "/" + key
}

// refusing names the rules that refused, without their figures.
func refusing(d *eval.Decision, reasons []string) []string {
	if d == nil {
		return reasons
	}
	var out []string
	for _, r := range d.Rules {
		if r.Effect == eval.Refuses {
			out = append(out, r.Kind+" "+r.Subject)
		}
	}
	slices.Sort(out)
	return out
}

// varying are the parts of an error that differ between two times of the same cause: numbers, dates, hashes.
var varying = regexp.MustCompile(`[0-9a-fA-F]*[0-9][0-9a-fA-F]*|\b[0-9A-HJKMNP-TV-Z]{26}\b`)

// fingerprint tells one state of a condition from another.
func fingerprint(parts ...string) string {
	sum := sha256.Sum256([]byte(varying.ReplaceAllString(strings.Join(parts, "\x00"), "#")))
	return hex.EncodeToString(sum[:8])
}

func lastStep(run ledger.Run) string {
	if len(run.Steps) == 0 {
		return ""
	}
	return run.Steps[len(run.Steps)-1].Name
}

// stations are the steps in the order of a run; what stands before ingest counts as nothing.
var stations = []string{"", "ingest", "build", "assemble", "train", "evaluate", "load"}

// reach says how far a run came: the highest station of its steps, or beyond all of them if it came to publishing.
func reach(run ledger.Run, res *jobs.Result) int {
	if run.Status == ledger.Succeeded && res != nil && (res.Published != nil || res.Waiting != "") {
		return len(stations)
	}
	far := 0
	for _, s := range run.Steps {
		far = max(far, slices.Index(stations, s.Name))
	}
	return far
}

// clears reports whether a run's end says that a condition is over. judged tells whether the gate's decision is known.
func clears(c *condition, run ledger.Run, res *jobs.Result, judged bool) bool {
	succeeded := run.Status == ledger.Succeeded
	if !succeeded && run.Status != ledger.Rejected {
		return false
	}
	if c.Subject == backfilled && c.Kind == Failed {
		i := slices.IndexFunc(c.Failing, func(f failing) bool { return f.Label == run.Label })
		return i >= 0 && reach(run, res) >= c.Failing[i].Reach
	}
	if run.Interval.End.Before(c.Interval.End) {
		return false
	}
	switch c.Kind {
	case Failed:
		return reach(run, res) >= c.Reach
	case Late:
		return true
	case Rejected:
		return succeeded && judged && evaluated(run)
	case Consent:
		_, held := heldConsent(run)
		return !held
	case Request, Retrain, Purge: // Overdue says when they are over
		return false
	case Drift:
		return judged && run.Cause != "backfill"
	}
	return judged && evaluated(run) && run.Cause != "backfill" // a run that went to its drift check has judged no budget
}

// evaluated reports whether a run came to judge a model: one that its drift check has refused has a report too.
func evaluated(run ledger.Run) bool {
	return run.Report != "" && slices.ContainsFunc(run.Steps, func(s ledger.Step) bool { return s.Name == "evaluate" })
}

// clear resolves a condition, or takes one interval of a backfill from it.
func (n *Notifier) clear(c *condition, run ledger.Run, now time.Time) bool {
	if c.Subject == backfilled && c.Kind == Failed {
		c.Failing = slices.DeleteFunc(slices.Clone(c.Failing), func(f failing) bool { return f.Label == run.Label })
		if len(c.Failing) > 0 {
			return true
		}
	}
	why := fmt.Sprintf("Run %s of %s: %s.", run.ID, run.Label, run.Status)
	return c.resolve(run.ID, run.Interval, why, now)
}
