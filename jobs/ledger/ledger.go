package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/jobs/cost"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Status is how a run stands.
type Status string

// A run is Running until its process ends it. One that was killed stays Running until the next run of its interval takes over.
const (
	Running     Status = "running"
	Succeeded   Status = "succeeded"
	Failed      Status = "failed"
	Rejected    Status = "rejected"
	Interrupted Status = "interrupted"
)

// format is the number of the run, index and cancel objects that this program writes, and the newest that it reads.
const format = 1

// Step is the account of one step of a run.
type Step struct {
	Name      string   `json:"name"`
	Label     string   `json:"label"` // interval or day
	Key       string   `json:"key"`
	Status    string   `json:"status"` // done | skipped (was done before) | failed | running | interrupted
	cost.Cost          // of this run's part in it: a skipped step costs only what it took to find that out
	RowsIn    int64    `json:"rows_in"`
	RowsOut   int64    `json:"rows_out"`
	Why       string   `json:"why,omitempty"`     // it was to be done again
	Says      string   `json:"says,omitempty"`    // what it went on from, in words
	Inputs    []Input  `json:"inputs,omitempty"`  // what its key was made of
	Outputs   []Output `json:"outputs,omitempty"` // tables that stood committed when the run went past
}

// Input is one thing, or several of a kind, that a step's key was made of.
type Input struct {
	Kind   string `json:"kind"` // files, step, policy or model
	Name   string `json:"name"` // of the source, the step, the purpose or the alias
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"` // labels of the first and the last, where there are several
	N      int    `json:"n,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	Digest string `json:"digest"` // of the keys or fingerprints: equal inputs have equal digests
}

// Output is a table that a step made.
type Output struct {
	Name   string       `json:"name"`
	Digest table.Digest `json:"digest"`
	Rows   int64        `json:"rows"`
	Bytes  int64        `json:"bytes"`
	Files  int          `json:"files"`
}

// Source is what a run found of one of its sources when it was planned.
type Source struct {
	Name   string `json:"name"` // events (of the interval's own days), history (of all days that are read), items, subjects, cohorts or consent
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`
	Digest string `json:"digest"` // of the files' fingerprints
}

// Volume is how many usable events an interval holds, beside the median of those before it.
type Volume struct {
	Events int64   `json:"events"`
	Median int64   `json:"median,omitempty"` // 0: too few intervals before it
	Over   int     `json:"over,omitempty"`   // intervals in the median
	Floor  float64 `json:"floor,omitempty"`  // the share of the median under which a run fails
}

// Quarantine is what was left out of one data set.
type Quarantine struct {
	Set     string                             `json:"set"`
	Rows    int64                              `json:"rows"`
	Of      int64                              `json:"of"`      // rows that were kept or quarantined
	Reasons map[string]map[expect.Reason]int64 `json:"reasons"` // column ("" is the whole row) → reason → rows
	First   []expect.Place                     `json:"first"`   // the first few
	Steps   []string                           `json:"steps"`   // keys of the steps whose tables list more
}

// Run is one attempt at one interval of one job.
type Run struct {
	Format    int             `json:"format"`
	ID        string          `json:"run_id"`
	Job       string          `json:"job"`
	Interval  table.Interval  `json:"interval"`
	Label     string          `json:"label"`
	Status    Status          `json:"status"`
	Cause     string          `json:"cause"` // who asked: "run", "backfill", "schedule"
	Through   string          `json:"through,omitempty"`
	Holder    string          `json:"holder,omitempty"`
	Started   time.Time       `json:"started"`
	Ended     time.Time       `json:"ended,omitzero"`
	Pinned    bool            `json:"clock_pinned,omitempty"`
	Revision  string          `json:"revision,omitempty"`
	Fence     uint64          `json:"fence"`               // of the lease
	Encrypted string          `json:"encrypted,omitempty"` // how the server of the storage was asked to keep what the run wrote: s3, or kms:KEYID; "": as its bucket does
	Stage     string          `json:"stage,omitempty"`
	Fault     string          `json:"fault,omitempty"` // what kind of error it was, in a word
	Error     string          `json:"error,omitempty"`
	Hint      string          `json:"hint,omitempty"`
	Cancelled *Cancel         `json:"cancelled,omitempty"`
	Reasons   []string        `json:"reasons,omitempty"` // why it was rejected
	Steps     []Step          `json:"steps"`
	Cost      cost.Cost       `json:"cost"` // of the whole run: more than the sum of its steps, by what lies between them
	Sources   []Source        `json:"sources,omitempty"`
	Volume    *Volume         `json:"volume,omitempty"`
	Spec      json.RawMessage `json:"spec,omitempty"` // what the project file said of the job
	Funnel    string          `json:"funnel,omitempty"`
	FunnelAt  time.Time       `json:"funnel_at,omitzero"`
	Learned   string          `json:"learned,omitempty"`
	Model     json.RawMessage `json:"model,omitempty"`
	Publish   json.RawMessage `json:"published,omitempty"`
	Waiting   string          `json:"waiting,omitempty"` // why a passing version was not published
	Report    string          `json:"report,omitempty"`  // key of the report, without extension
	Flags     []string        `json:"flags,omitempty"`   // drift and other warnings, in words

	Drift    json.RawMessage `json:"drift,omitempty"`    // every verdict of its drift checks
	Reopened json.RawMessage `json:"reopened,omitempty"` // days that it read again, and whose views were made of them

	Verdicts   []expect.Verdict `json:"verdicts,omitempty"`   // what came of the expectations of its sources
	Quarantine []Quarantine     `json:"quarantine,omitempty"` // rows that were left out because they are none

	Gone bool `json:"gone,omitempty"` // as Line.Gone

	etag string // of the object as it was last written or read here
}

// Stands says how the run stands, for people.
func (r *Run) Stands() string { return stands(r.Status, r.Gone) }

// Line is a run's line in the monthly index.
type Line struct {
	ID       string         `json:"run_id"`
	Job      string         `json:"job"`
	Interval table.Interval `json:"interval"`
	Label    string         `json:"label"`
	Status   Status         `json:"status"`
	Cause    string         `json:"cause,omitempty"`
	Started  time.Time      `json:"started"`
	Ended    time.Time      `json:"ended,omitzero"`
	Seconds  float64        `json:"seconds,omitempty"` // by the machine's clock, once it has ended
	Stage    string         `json:"stage,omitempty"`   // how far it came
	Fault    string         `json:"fault,omitempty"`   // what kind of error it was
	Flags    int            `json:"flags,omitempty"`

	Gone bool `json:"gone,omitempty"` // it is Running, and its process has died. Not stored: who reads the line looks (jobs.Runner.Gone)
}

// Stands says how the run stands, for people.
func (l Line) Stands() string { return stands(l.Status, l.Gone) }

func stands(s Status, gone bool) string {
	if gone {
		return "interrupted, ends at the next run"
	}
	return string(s)
}

type index struct {
	Format int    `json:"format"`
	Nonce  string `json:"nonce"` // id of the run that wrote last, and its status
	Runs   []Line `json:"runs"`  // ascending by id
}

// ErrNotFound says that the ledger has no such run.
var ErrNotFound = errors.New("no such run")

// Ledger reads and writes the runs of one bucket.
type Ledger struct{ Bucket storage.Bucket }

func month(t time.Time) string { return t.UTC().Format("2006-01") }

func runKey(r *Run) string { return "runs/" + month(r.Started) + "/" + r.ID + ".json" }

// Save writes the run's object and its line in the month's index. Only the holder of the run's lease may call it.
// Cost: one PUT, then one GET and one conditional PUT (repeated when another job's run writes at the same time).
func (l Ledger) Save(ctx context.Context, r *Run) error {
	r.Format = format
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("ledger: run %s: %w", r.ID, err)
	}
	info, err := l.Bucket.Put(ctx, runKey(r), storage.Bytes(body), storage.Cond{})
	if err != nil {
		return fmt.Errorf("ledger: write run %s: %w", r.ID, err)
	}
	r.etag = info.ETag
	line := Line{
		ID: r.ID, Job: r.Job, Interval: r.Interval, Label: r.Label, Status: r.Status, Cause: r.Cause, Started: r.Started, Ended: r.Ended,
		Seconds: r.Cost.Seconds, Stage: r.Stage, Fault: r.Fault, Flags: len(r.Flags),
	}
	key := "runs/" + month(r.Started) + "/index.json"
	for range 64 {
		ix, info, err := l.index(ctx, key)
		if err != nil {
			return err
		}
		i := sort.Search(len(ix.Runs), func(i int) bool { return ix.Runs[i].ID >= line.ID })
		if i == len(ix.Runs) || ix.Runs[i].ID != line.ID {
			ix.Runs = append(ix.Runs, Line{})
			copy(ix.Runs[i+1:], ix.Runs[i:])
		}
		ix.Runs[i] = line
		ix.Format = format
		ix.Nonce = r.ID + " " + string(r.Status)
		body, err := json.Marshal(ix)
		if err != nil {
			return fmt.Errorf("ledger: index %s: %w", key, err)
		}
		cond := storage.Cond{IfAbsent: true}
		if info.ETag != "" {
			cond = storage.Cond{IfMatch: info.ETag}
		}
		_, err = storage.Commit(ctx, l.Bucket, key, body, cond)
		if err == nil {
			return nil
		}
		if !errors.Is(err, storage.ErrPrecondition) {
			return fmt.Errorf("ledger: write index %s: %w", key, err)
		}
	}
	return fmt.Errorf("ledger: index %s: too many writers at once", key)
}

func (l Ledger) index(ctx context.Context, key string) (index, storage.Info, error) {
	ix := index{Format: format}
	body, info, err := storage.ReadAll(ctx, l.Bucket, key)
	if errors.Is(err, storage.ErrNotFound) {
		return ix, storage.Info{}, nil
	}
	if err != nil {
		return ix, info, fmt.Errorf("ledger: read index %s: %w", key, err)
	}
	if err := decode(body, &ix); err != nil {
		return ix, info, fmt.Errorf("ledger: index %s: %w", key, err)
	}
	return ix, info, nil
}

// List returns the lines of the runs that started in [from, to), newest first. Cost: one GET a month.
func (l Ledger) List(ctx context.Context, from, to time.Time) ([]Line, error) {
	var out []Line
	first := month(from)
	for info, err := range l.Bucket.List(ctx, "runs/", storage.ListOpt{Delimiter: "/"}) {
		if err != nil {
			return nil, fmt.Errorf("ledger: list: %w", err)
		}
		m := strings.TrimSuffix(strings.TrimPrefix(info.Key, "runs/"), "/")
		if m < first || m > month(to) {
			continue
		}
		ix, _, err := l.index(ctx, "runs/"+m+"/index.json")
		if err != nil {
			return nil, err
		}
		for _, r := range ix.Runs {
			if !r.Started.Before(from) && r.Started.Before(to) {
				out = append(out, r)
			}
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID > out[j].ID })
	return out, nil
}

// Latest is what Get takes for the run that started last.
const Latest = "latest"

// Get returns the run with this id (its first characters are enough if they name one run), or with Latest the one that
// started last, looking in every month's index.
func (l Ledger) Get(ctx context.Context, id string) (*Run, error) {
	lines, err := l.List(ctx, time.Time{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		return nil, err
	}
	if id == Latest && len(lines) > 0 {
		return l.read(ctx, &lines[0])
	}
	var found *Line
	for i, r := range lines {
		if strings.HasPrefix(r.ID, strings.ToUpper(id)) {
			if found != nil {
				return nil, fmt.Errorf("run %s: names more than one run, as %s and %s", id, found.ID, r.ID)
			}
			found = &lines[i]
		}
	}
	if found == nil || id == "" {
		return nil, fmt.Errorf("run %q: %w; rapport runs list shows them", id, ErrNotFound)
	}
	return l.read(ctx, found)
}

// read returns the run of a line.
func (l Ledger) read(ctx context.Context, line *Line) (*Run, error) {
	key := runKey(&Run{ID: line.ID, Started: line.Started})
	body, info, err := storage.ReadAll(ctx, l.Bucket, key)
	if err != nil {
		return nil, fmt.Errorf("ledger: read %s: %w", key, err)
	}
	var r Run
	if err := decode(body, &r); err != nil {
		return nil, fmt.Errorf("ledger: %s: %w", key, err)
	}
	r.etag = info.ETag
	return &r, nil
}

// decode reads the body of an object, if its format is known here. The number is looked at first: a newer format need not fit.
func decode(body []byte, v any) error {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return err
	}
	if head.Format > format {
		return fmt.Errorf("format %d was made by a newer rapport; this one reads up to %d", head.Format, format)
	}
	return json.Unmarshal(body, v)
}
