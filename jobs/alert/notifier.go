package alert

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	mrand "math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Options of a Notifier. Bucket, Project, To, Locate, Now and Log are needed.
type Options struct {
	Bucket   storage.Bucket
	Project  string
	To       []Destination
	Locate   func(key string) string // where an object of the bucket is, for people
	Now      func() time.Time        // the machine's clock, which a project's fixed clock does not stop
	Log      *slog.Logger
	Revision string // of this program, for the User-Agent
	Keep     bool   // conditions are written down even if nobody is to be told, for who looks at what is open

	Client *http.Client                                     // default: one that follows no redirect
	Wait   func(ctx context.Context, d time.Duration) error // between tries; default: a timer
	Jitter func() float64                                   // in [0, 1); default: random
}

// Notifier tells people. It is a jobs.Observer, safe for concurrent use; a nil Notifier tells nobody.
type Notifier struct {
	Options
	store  store
	limits limits

	sent, failed, suppressed atomic.Uint64
	warned                   sync.Once
}

var (
	_ jobs.Observer        = (*Notifier)(nil)
	_ jobs.LateObserver    = (*Notifier)(nil)
	_ jobs.HoldObserver    = (*Notifier)(nil)
	_ jobs.OverdueObserver = (*Notifier)(nil)
)

// New returns a Notifier, or nil if nobody is to be told. An address that nothing can be sent to becomes the Fault of its Destination.
func New(o Options) *Notifier {
	if len(o.To) == 0 && !o.Keep {
		return nil
	}
	if o.Client == nil {
		o.Client = newClient()
	}
	if o.Wait == nil {
		o.Wait = wait
	}
	if o.Jitter == nil {
		o.Jitter = mrand.Float64
	}
	o.To = slices.Clone(o.To)
	for i := range o.To {
		if d := &o.To[i]; d.Fault == nil {
			d.Fault = CheckAddress(d.Address)
		}
	}
	return &Notifier{Options: o, store: store{o.Bucket, o.Now}, limits: usual}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Counts are counters since the process began.
type Counts struct {
	Sent       uint64 // messages that arrived
	Failed     uint64 // deliveries that failed, after all their tries
	Suppressed uint64 // times that a condition was seen and nothing was said, as it had been
}

// Counts returns the counters, for /metrics.
func (n *Notifier) Counts() Counts {
	if n == nil {
		return Counts{}
	}
	return Counts{Sent: n.sent.Load(), Failed: n.failed.Load(), Suppressed: n.suppressed.Load()}
}

// Late says that an interval was due and no run has brought it to an end. It may be called as often as one likes: only the first call of a
// condition, and a reminder a day, say anything. A run that ends well, or is refused by the gate, at that interval or a later one resolves it.
// It takes no longer than half a minute, and much less unless a webhook hangs.
func (n *Notifier) Late(ctx context.Context, job *jobs.Job, iv table.Interval, due time.Time) {
	if n == nil {
		return
	}
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	now := n.Now()
	c := n.see(ctx, job, finding{
		kind: Late, interval: iv, fingerprint: "late",
		summary: Clean(fmt.Sprintf("%s is late: %s was due %s", job.Name, job.Every.Label(iv), due.UTC().Format("2006-01-02 15:04 MST")), maxSummary),
		details: []string{"No run of this interval has succeeded. What was live before stays live and grows older."},
		command: "rapport run " + job.Name,
	}, now)
	if c != nil {
		n.deliver(ctx, []*condition{c}, true)
	}
}

// Held says that a feed of consent is held, as a run or a look between runs has found it. Like Late it may be called as often as one likes.
func (n *Notifier) Held(ctx context.Context, job *jobs.Job, iv table.Interval, says string) {
	if n == nil {
		return
	}
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	f := finding{interval: iv}
	n.held(&f, job, says)
	if c := n.see(ctx, job, f, n.Now()); c != nil {
		n.deliver(ctx, []*condition{c}, true)
	}
}

// held makes a finding one of a held feed.
func (n *Notifier) held(f *finding, job *jobs.Job, says string) {
	f.kind, f.fingerprint = Consent, "held"
	f.summary = Clean(job.Name+": the feed of consent is held", maxSummary)
	f.details = n.lines([]string{says, "Whoever has withdrawn is denied all the same; everybody else is as the last feed said that was taken."})
	f.command = "rapport consent sync"
}

// Overdue says what people have a right to by a day that has passed: all of it, so that what is not among it any more is over. Like Late it may be called as
// often as one likes.
func (n *Notifier) Overdue(ctx context.Context, all []jobs.Overdue) {
	if n == nil {
		return
	}
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	now, seen := n.Now(), map[string]bool{}
	var told []*condition
	for _, x := range all {
		c := n.see(ctx, x.Job, finding{
			kind: Kind(x.Kind), subject: x.Subject, fingerprint: "overdue", summary: Clean(x.Says, maxSummary), command: x.Command,
			details: []string{"It was due " + x.Due.UTC().Format("2006-01-02 15:04 MST") + "."},
		}, now)
		seen[conditionID(n.Project, x.Job.Name, Kind(x.Kind), x.Subject)] = true
		if c != nil {
			told = append(told, c)
		}
	}
	for _, c := range n.all(ctx) {
		if !c.Open || seen[c.ID] || c.Kind != Request && c.Kind != Retrain && c.Kind != Purge {
			continue
		}
		again, err := n.store.update(ctx, *c, func(c *condition) bool {
			command := c.Command
			over := c.resolve("", c.Interval, "It is not overdue any more.", now)
			c.Command = command
			return over
		})
		if err != nil {
			n.Log.Warn("alert not resolved", "job", c.Job, "kind", c.Kind, "error", err)
			continue
		}
		told = append(told, again)
	}
	n.deliver(ctx, told, true)
}

// Sweep sends what could not be sent before, and the reminders that are due. A scheduler calls it every minute or so. Cost without anything to
// send: one listing, one GET a condition.
func (n *Notifier) Sweep(ctx context.Context) {
	if n == nil {
		return
	}
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	conditions := n.all(ctx)
	n.remind(ctx, conditions)
	n.deliver(ctx, conditions, true)
}

func (n *Notifier) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, n.limits.pass+2*n.limits.store)
}

// all reads every condition of this project, and logs what can't be read. Those that stand here from before it had another name, or of
// another project, are neither sent nor resolved: their jobs may be called the same.
func (n *Notifier) all(ctx context.Context) []*condition {
	ctx, cancel := context.WithTimeout(ctx, n.limits.store)
	defer cancel()
	conditions, err := n.store.all(ctx, n.Project)
	if err != nil {
		n.Log.Warn("alerts can't be read", "error", err)
	}
	return conditions
}

// see writes a finding down. It returns nil if that failed, which is logged.
func (n *Notifier) see(ctx context.Context, job *jobs.Job, f finding, now time.Time) *condition {
	said := false
	c, err := n.store.update(ctx, n.fresh(job.Name, f.kind, f.subject), func(c *condition) bool {
		before := c.Seq
		write := c.see(f, now)
		said = c.Seq != before
		return write
	})
	if err != nil {
		n.Log.Warn("alert not recorded", "job", job.Name, "kind", f.kind, "error", err)
		return nil
	}
	if !said {
		n.suppressed.Add(1)
	}
	return c
}

func (n *Notifier) fresh(job string, kind Kind, subject string) condition {
	return condition{ID: conditionID(n.Project, job, kind, subject), Project: n.Project, Job: job, Kind: kind, Subject: subject}
}

// remind makes the reminders that are due.
func (n *Notifier) remind(ctx context.Context, conditions []*condition) {
	now := n.Now()
	for i, c := range conditions {
		if copied := *c; !copied.due(now) {
			continue
		}
		again, err := n.store.update(ctx, *c, func(c *condition) bool { return c.due(now) })
		if err != nil {
			n.Log.Warn("alert not recorded", "job", c.Job, "kind", c.Kind, "error", err)
			continue
		}
		conditions[i] = again
	}
}

// claimFor is how long a process may take to send what one condition has to say. It is longer than any pass.
const claimFor = time.Minute

// maxRounds bounds how often one pass sends for a condition that goes on changing.
const maxRounds = 3

// deliver sends what destinations have not been told. A destination that fails is left alone for the rest of the pass. patient leaves those
// alone that failed a moment ago, too.
func (n *Notifier) deliver(ctx context.Context, conditions []*condition, patient bool) {
	pass, cancel := context.WithTimeout(ctx, n.limits.pass)
	defer cancel()
	down := map[string]bool{} // by Where
	for _, c := range conditions {
		for range maxRounds {
			to := n.behind(c, down, patient)
			if len(to) == 0 || pass.Err() != nil {
				break
			}
			mine, by, err := n.claim(ctx, c)
			if err != nil {
				n.Log.Warn("alert not sent", "job", c.Job, "kind", c.Kind, "error", err)
				break
			}
			if mine == nil { // another process is at it
				break
			}
			c = mine
			results := n.tell(pass, c, n.behind(c, down, patient), down)
			if c, err = n.record(ctx, c, by, results); err != nil {
				n.Log.Warn("alert sent, which could not be written down: it may come again", "job", mine.Job, "kind", mine.Kind, "error", err)
				break
			}
		}
	}
}

// behind lists the destinations that have yet to be told of a condition.
func (n *Notifier) behind(c *condition, down map[string]bool, patient bool) []*Destination {
	var out []*Destination
	for i := range n.To {
		if d := &n.To[i]; !down[d.Where] && c.behind(d, patient, n.Now()) {
			out = append(out, d)
		}
	}
	return out
}

// claim takes the right to send for a condition. It returns nil if another has it.
func (n *Notifier) claim(ctx context.Context, c *condition) (*condition, string, error) {
	ctx, cancel := n.stateTime(ctx)
	defer cancel()
	by, mine := rand.Text(), false
	out, err := n.store.update(ctx, *c, func(c *condition) bool {
		now := n.Now()
		mine = c.Claim == nil || !now.Before(c.Claim.Until)
		if mine {
			c.Claim = &claim{By: by, Until: now.Add(claimFor)}
		}
		return mine
	})
	if err != nil || !mine {
		return nil, "", err
	}
	return out, by, nil
}

// stateTime bounds the writing down of what was sent, also when the time to send is up.
func (n *Notifier) stateTime(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), n.limits.store)
}

// tell sends a condition's last message to destinations, at once, and returns how that went, by id. Those that fail are added to down.
func (n *Notifier) tell(ctx context.Context, c *condition, to []*Destination, down map[string]bool) map[string]error {
	errs := make([]error, len(to))
	var wg sync.WaitGroup
	for i, d := range to {
		wg.Go(func() {
			if errs[i] = d.Fault; errs[i] == nil {
				errs[i] = n.send(ctx, d, n.message(c, d))
			}
		})
	}
	wg.Wait()
	results := map[string]error{}
	for i, d := range to {
		if errs[i] == nil {
			n.sent.Add(1)
		} else {
			n.failed.Add(1)
			down[d.Where] = true
			n.Log.Warn("alert not delivered; the next run tries again", "to", d.Where, "job", c.Job, "kind", c.Kind, "error", errs[i])
		}
		results[d.id()] = errs[i]
	}
	return results
}

// message is a condition's last message for a destination, with the report where those who are told can open it.
func (n *Notifier) message(c *condition, d *Destination) Message {
	m := c.message(d)
	if m.Report != "" {
		m.Report = n.place(d, m.Report)
	}
	return m
}

// firstPause is how long passes that no run waits for leave a destination alone after it failed; each failure doubles it, up to lastPause.
const (
	firstPause = time.Minute
	lastPause  = time.Hour
)

// record writes down who has been told, and gives the claim back.
func (n *Notifier) record(ctx context.Context, sent *condition, by string, results map[string]error) (*condition, error) {
	ctx, cancel := n.stateTime(ctx)
	defer cancel()
	return n.store.update(ctx, *sent, func(c *condition) bool {
		c.Told = maps.Clone(c.Told)
		if c.Told == nil {
			c.Told = map[string]told{}
		}
		for id, err := range results {
			t := c.Told[id]
			if err == nil {
				t = told{Seq: max(t.Seq, sent.Seq)}
			} else {
				t.Tried, t.Times = sent.Seq, t.Times+1
				t.After = n.Now().Add(min(lastPause, firstPause<<min(t.Times-1, 10)))
			}
			c.Told[id] = t
		}
		n.forget(c)
		if c.Claim != nil && c.Claim.By == by {
			c.Claim = nil
		}
		return true
	})
}

// forget drops destinations that are not declared any more, where a condition remembers too many.
func (n *Notifier) forget(c *condition) {
	if len(c.Told) <= maxTold {
		return
	}
	for id := range c.Told {
		if !slices.ContainsFunc(n.To, func(d Destination) bool { return d.id() == id }) {
			delete(c.Told, id)
		}
	}
}

// Outcome is what came of a test message.
type Outcome struct {
	Where  string `json:"where"`
	Format string `json:"format"`
	Signed bool   `json:"signed"`
	On     []Kind `json:"on"`
	OK     bool   `json:"ok"`
	Says   string `json:"says"`
}

// Test sends a message of the kind test to each destination and returns what came of it. It writes nothing.
func (n *Notifier) Test(ctx context.Context) []Outcome {
	if n == nil {
		return []Outcome{}
	}
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	now := n.Now().UTC()
	m := Message{
		Schema: Schema, ID: "test-" + rand.Text(), Condition: "test", Status: tested, Kind: test, Project: n.Project,
		Summary: "a test of the alerts: nothing is wrong", Details: []string{"Somebody ran rapport alerts test."}, Since: now, At: now, Count: 1,
		Command: "rapport alerts list",
	}
	out := make([]Outcome, len(n.To))
	var wg sync.WaitGroup
	for i := range n.To {
		wg.Go(func() {
			d := &n.To[i]
			err := d.Fault
			if err == nil {
				err = n.send(ctx, d, m)
			}
			o := Outcome{Where: d.Where, Format: d.Format, Signed: len(d.Secret) > 0, On: d.On, OK: err == nil, Says: "delivered"}
			if err != nil {
				o.Says = err.Error()
			}
			out[i] = o
		})
	}
	wg.Wait()
	return out
}

// Faults joins what is known to be wrong with destinations before anything is sent, each with its place in the project file.
func (n *Notifier) Faults() error {
	if n == nil {
		return nil
	}
	var faults []error
	for _, d := range n.To {
		if d.Fault != nil {
			faults = append(faults, fmt.Errorf("%s: %w", d.Where, d.Fault))
		}
	}
	return errors.Join(faults...)
}
