package alert

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

const (
	format = 1
	prefix = "alerts/"

	reminderEvery = 24 * time.Hour
	changeEvery   = 15 * time.Minute   // a cause that is worded anew at each retry does not write to people at each
	quietAfter    = 3 * 24 * time.Hour // of what nobody has seen for so long, nobody is reminded
	maxFailing    = 64                 // intervals of a backfill that are remembered one by one
	maxObjects    = 1000               // conditions that are looked at
	maxTold       = 16                 // destinations that a condition remembers
)

// condition is the body of one object under alerts/.
type condition struct {
	Format int    `json:"format"`
	Nonce  string `json:"nonce"` // of the last write
	ID     string `json:"id"`

	Project string `json:"project"`
	Job     string `json:"job"`
	Kind    Kind   `json:"kind"`
	Subject string `json:"subject,omitempty"`

	Open    bool      `json:"open"`
	Seq     int       `json:"seq"`     // number of the last message
	Episode int       `json:"episode"` // number of the message with which it opened last
	Status  Status    `json:"status"`  // of the last message
	Said    time.Time `json:"said"`    // when the last message was made
	Since   time.Time `json:"since"`
	Seen    time.Time `json:"seen"`
	Count   int       `json:"count"`
	Unsaid  bool      `json:"unsaid,omitempty"` // it has changed since the last message

	Run         string         `json:"run,omitempty"`
	Interval    table.Interval `json:"interval,omitzero"`
	Reach       int            `json:"reach,omitempty"`   // how far the failed run had come: see reach
	Failing     []failing      `json:"failing,omitempty"` // of a backfill
	Fingerprint string         `json:"fingerprint"`       // differs when the condition has changed
	Summary     string         `json:"summary"`
	Details     []string       `json:"details,omitempty"`
	Report      string         `json:"report,omitempty"` // key of the report's page
	Command     string         `json:"command"`
	Covered     Kind           `json:"covered,omitempty"` // who is told of this kind needs not be told of this condition

	Told  map[string]told `json:"told,omitempty"` // by destination
	Claim *claim          `json:"claim,omitempty"`
}

// told is how far a destination has been told.
type told struct {
	Seq   int       `json:"seq"`             // of the last message that arrived
	Tried int       `json:"tried,omitempty"` // of the last one that did not
	Times int       `json:"times,omitempty"` // how often it did not
	After time.Time `json:"after,omitzero"`  // passes that no run waits for leave it alone until then
}

// claim is the right of one process to send what a condition has to say.
type claim struct {
	By    string    `json:"by"`
	Until time.Time `json:"until"`
}

// failing is an interval of a backfill that has failed.
type failing struct {
	Label string `json:"label"`
	Reach int    `json:"reach"`
}

func conditionID(project, job string, kind Kind, subject string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{project, job, string(kind), subject}, "\x00")))
	return hex.EncodeToString(sum[:12])
}

// finding is what a run, or a look at the clock, has found.
type finding struct {
	kind        Kind
	subject     string
	fingerprint string
	summary     string
	details     []string
	run         string
	interval    table.Interval
	label       string // of the interval, of a backfill only
	reach       int
	report      string
	command     string
	covered     Kind
}

// see takes in that the condition was seen, and reports whether there is anything to write. What was found in an older interval than the one
// that the condition stands at says nothing new.
func (c *condition) see(f finding, now time.Time) bool {
	if c.Open && f.label == "" && f.interval.End.Before(c.Interval.End) {
		return false
	}
	again := c.Open && c.Fingerprint == f.fingerprint && c.Covered == f.covered
	if again && f.run == c.Run && f.interval == c.Interval && now.Sub(c.Seen) < time.Hour && now.Sub(c.Said) < reminderEvery {
		return false // said and written down already: late is looked for every few seconds
	}
	if !c.Open {
		c.Open, c.Since, c.Count, c.Failing, c.Unsaid = true, now, 0, nil, false
		c.say(Opened, now)
		c.Episode = c.Seq
	} else if !again {
		c.Unsaid = true
	}
	if f.run != c.Run || c.Count == 0 {
		c.Count++
	}
	if f.label != "" && len(c.Failing) < maxFailing && !slices.ContainsFunc(c.Failing, func(x failing) bool { return x.Label == f.label }) {
		c.Failing = append(c.Failing, failing{Label: f.label, Reach: f.reach})
	}
	c.Seen, c.Run, c.Interval, c.Reach, c.Fingerprint = now, f.run, f.interval, f.reach, f.fingerprint
	c.Summary, c.Details, c.Report, c.Command, c.Covered = f.summary, f.details, f.report, f.command, f.covered
	c.due(now)
	return true
}

// due makes the message that the time has come for, if any, and reports whether it did.
func (c *condition) due(now time.Time) bool {
	since := now.Sub(c.Said)
	switch {
	case !c.Open:
		return false
	case c.Unsaid && since >= changeEvery:
		c.say(Changed, now)
	case since >= reminderEvery && now.Sub(c.Seen) < quietAfter:
		c.say(Reminder, now)
	default:
		return false
	}
	return true
}

// resolve ends the condition, and reports whether it was open.
func (c *condition) resolve(run string, iv table.Interval, why string, now time.Time) bool {
	if !c.Open {
		return false
	}
	c.Open, c.Run, c.Interval, c.Failing = false, run, iv, nil
	c.Details = append([]string{why}, c.Details...)
	c.Details = c.Details[:min(len(c.Details), maxDetails)]
	c.Summary, c.Command = cut("over: "+c.Summary, maxSummary), "rapport runs show "+run
	c.say(Resolved, now)
	return true
}

func (c *condition) say(s Status, now time.Time) {
	c.Seq++
	c.Status, c.Said, c.Unsaid = s, now, false
}

// behind reports whether a destination has yet to be told. patient passes over a destination that failed a moment ago. It is not told of the end of
// what nobody has tried to tell it of: a destination that is new.
func (c *condition) behind(d *Destination, patient bool, now time.Time) bool {
	t := c.Told[d.id()]
	switch {
	case c.Seq == 0 || t.Seq >= c.Seq || !d.on(c.Kind):
		return false
	case c.Covered != "" && d.on(c.Covered):
		return false
	case !c.Open && max(t.Seq, t.Tried) < c.Episode:
		return false
	}
	return !patient || !now.Before(t.After)
}

// message is the last message, as it reads for a destination: what it hears of for the first time has just opened.
func (c *condition) message(d *Destination) Message {
	m := Message{
		Schema: Schema, ID: fmt.Sprintf("%s-%d", c.ID, c.Seq), Condition: c.ID, Status: c.Status, Kind: c.Kind, Project: c.Project, Job: c.Job,
		Subject: c.Subject, Run: c.Run, Summary: c.Summary, Details: c.Details, Since: c.Since.UTC(), At: c.Said.UTC(), Count: c.Count,
		Report: c.Report, Command: c.Command,
	}
	if m.Details == nil {
		m.Details = []string{}
	}
	if c.Interval != (table.Interval{}) {
		iv := table.Interval{Start: c.Interval.Start.UTC(), End: c.Interval.End.UTC()}
		m.Interval = &iv
	}
	if d != nil && c.Open && c.Told[d.id()].Seq < c.Episode {
		m.Status = Opened
	}
	return m
}

// store reads and writes conditions.
type store struct {
	storage.Bucket
	now func() time.Time
}

// casTries bounds how often a write is tried against other writers.
const casTries = 32

// update changes one condition by compare-and-set: change is called with what stands there (or a new one) and says whether to write.
// It returns the condition as it stands then.
func (s store) update(ctx context.Context, fresh condition, change func(*condition) bool) (*condition, error) {
	key := prefix + fresh.ID + ".json"
	for range casTries {
		c, cond := fresh, storage.Cond{IfAbsent: true}
		body, info, err := storage.ReadAll(ctx, s.Bucket, key)
		switch {
		case err == nil:
			if c, err = decode(key, body); err != nil {
				return nil, err
			}
			cond = storage.Cond{IfMatch: info.ETag}
		case !errors.Is(err, storage.ErrNotFound):
			return nil, fmt.Errorf("alert: read %s: %w", key, err)
		}
		if !change(&c) {
			return &c, nil
		}
		c.Format, c.Nonce = format, rand.Text()
		if body, err = json.Marshal(c); err != nil {
			return nil, fmt.Errorf("alert: %s: %w", key, err)
		}
		_, err = storage.Commit(ctx, s.Bucket, key, body, cond)
		if err == nil {
			return &c, nil
		}
		if !errors.Is(err, storage.ErrPrecondition) {
			return nil, fmt.Errorf("alert: write %s: %w", key, err)
		}
	}
	return nil, fmt.Errorf("alert: %s: too many writers at once", key)
}

func decode(key string, body []byte) (c condition, err error) {
	if err := json.Unmarshal(body, &c); err != nil {
		return c, fmt.Errorf("alert: %s: %w", key, err)
	}
	if c.Format != format {
		return c, fmt.Errorf("alert: %s: format %d was made by a newer rapport; this one reads %d", key, c.Format, format)
	}
	if key != prefix+c.ID+".json" {
		return c, fmt.Errorf("alert: %s: it holds another condition, %.40q", key, c.ID)
	}
	return c, nil
}

// all reads every condition of a project, oldest first. What can't be read is in the error, beside the rest. Cost: one listing,
// one GET a condition.
func (s store) all(ctx context.Context, project string) (out []*condition, err error) {
	var faults []error
	n := 0
	for info, err := range s.List(ctx, prefix, storage.ListOpt{}) {
		if err != nil {
			return out, fmt.Errorf("alert: list: %w", err)
		}
		if n++; n > maxObjects {
			faults = append(faults, fmt.Errorf("alert: there are more than %d conditions; the first of them are looked at", maxObjects))
			break
		}
		body, _, err := storage.ReadAll(ctx, s.Bucket, info.Key)
		if err != nil {
			faults = append(faults, fmt.Errorf("alert: read %s: %w", info.Key, err))
			continue
		}
		c, err := decode(info.Key, body)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if c.Project == project {
			out = append(out, &c)
		}
	}
	slices.SortFunc(out, func(a, b *condition) int {
		if d := a.Said.Compare(b.Said); d != 0 {
			return d
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out, errors.Join(faults...)
}

// Alert is an open condition, as people are shown it.
type Alert struct {
	Message
	Seen   time.Time `json:"seen"` // last
	Untold int       `json:"untold"`
}

// Open returns the open conditions of a project, oldest first. It changes nothing. Untold counts the destinations that the last message could
// not be delivered to. Cost: one listing, one GET a condition.
func Open(ctx context.Context, b storage.Bucket, project string) ([]Alert, error) {
	conditions, err := store{Bucket: b}.all(ctx, project)
	out := []Alert{}
	for _, c := range conditions {
		if !c.Open {
			continue
		}
		a := Alert{Message: c.message(nil), Seen: c.Seen.UTC()}
		for _, t := range c.Told {
			if t.Seq < c.Seq && t.Tried == c.Seq {
				a.Untold++
			}
		}
		out = append(out, a)
	}
	slices.SortStableFunc(out, func(a, b Alert) int { return a.Since.Compare(b.Since) })
	return out, err
}
