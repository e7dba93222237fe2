package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/rapport-ml/rapport/cmd/internal/frugal"
	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/features/local"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/alert"
	"github.com/rapport-ml/rapport/jobs/lineage"
	"github.com/rapport-ml/rapport/storage/table"
)

// projectFile is the name that -c defaults to.
const projectFile = "rapport.yaml"

// load reads the project file that -c names, or the nearest one above.
func (a *app) load() (*configs.Project, error) {
	path, err := a.projectPath()
	if err != nil {
		return nil, err
	}
	p, err := configs.Load(path)
	if err != nil {
		return nil, usageError{err}
	}
	return p, nil
}

// projectPath is where the project file stands.
func (a *app) projectPath() (string, error) {
	path := a.config
	if path == "" {
		dir, err := os.Getwd()
		if err != nil {
			return "", err
		}
		for {
			path = filepath.Join(dir, projectFile)
			if _, err := os.Stat(path); err == nil {
				break
			}
			up := filepath.Dir(dir)
			if up == dir {
				return "", usageError{fmt.Errorf("no %s here or in any folder above; -c FILE names one, rapport init DIR makes one", projectFile)}
			}
			dir = up
		}
		if wd, err := os.Getwd(); err == nil {
			if rel, err := filepath.Rel(wd, path); err == nil {
				path = rel
			}
		}
	}
	return path, nil
}

// project is a project that is open: its storage and online store have been reached.
type project struct {
	*configs.Opened
	runner   *jobs.Runner
	progress *progress
	names    *jobs.Names
	alerts   *alert.Notifier  // nil: nobody is to be told
	lineage  *lineage.Emitter // nil: nor a catalog
}

// open loads the project and reaches its stores. withKeys reads the pseudonym secret as well, which verbs that touch raw ids need.
func (a *app) open(ctx context.Context, withKeys bool) (*project, error) {
	p, err := a.load()
	if err != nil {
		return nil, err
	}
	o, err := p.Open(ctx, a.env, withKeys)
	if err != nil {
		return nil, err
	}
	now := a.wall
	if o.Pinned() {
		now = func() time.Time { return p.Clock.Fixed }
	}
	level := slog.LevelWarn
	if a.verbose {
		level = slog.LevelInfo
	}
	prog := a.newProgress()
	r := &jobs.Runner{
		Bucket: o.Bucket, Online: o.Online, OnlineURL: p.Online.URL, Engine: frugal.Engine{Engine: local.Engine{}}, Sparing: frugal.Sparing, Loaders: configs.Loaders, Keys: o.Keys, Previous: o.Previous, LinkedBy: o.LinkedBy, Now: now, Wall: a.wall, Pinned: o.Pinned(),
		NewID:    func(time.Time) string { return ulid.Make().String() },
		Memory:   buildMemory(p.MemoryBytes()),
		Holder:   holder(),
		Dead:     dead,
		Revision: revision(), Encrypted: p.Storage.SSE,
		Log:      slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level})),
		Progress: prog.show,
	}
	out := &project{Opened: o, runner: r, progress: prog, names: r.Names()}
	out.observe(a.wall)
	return out, nil
}

// errand is what run and plan are asked for: one interval of one job, and how far to go.
type errand struct {
	*project
	job      *jobs.Job
	interval table.Interval
	through  jobs.Through
}

// errand opens the project for one interval of a job; the caller closes it.
func (a *app) errand(ctx context.Context, job, at, step string) (*errand, error) {
	return a.errandWith(ctx, job, at, step, true)
}

// errandWith is errand, with the pseudonym key or without: then what is ingested is taken as it stands, and no raw data are read.
func (a *app) errandWith(ctx context.Context, job, at, step string, withKeys bool) (*errand, error) {
	through, err := jobs.ParseThrough(step)
	if err != nil {
		return nil, usageError{err}
	}
	p, err := a.open(ctx, withKeys)
	if err != nil {
		return nil, err
	}
	e := &errand{project: p, through: through}
	if e.job, err = p.Job(job); err != nil {
		return nil, errors.Join(usageError{err}, p.Close())
	}
	if e.interval, err = interval(e.job, at, p.runner.Now()); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return e, nil
}

// perform runs an errand to its end. A pause of the job is told and does not hold it.
func (a *app) perform(ctx context.Context, e *errand) (*jobs.Result, error) {
	if err := e.notePause(ctx, a.err); err != nil {
		return nil, err
	}
	res, err := e.runner.Run(ctx, e.job, e.interval, jobs.Options{Through: e.through, Cause: "run"})
	e.progress.done()
	return res, err
}

// interval is what --at means: the last interval that ends at or before it; by default, at or before now.
func interval(j *jobs.Job, at string, now time.Time) (table.Interval, error) {
	t := now
	if at != "" {
		var err error
		if t, err = instant(at, j.Every.Location()); err != nil {
			return table.Interval{}, usageError{err}
		}
	}
	return j.Every.At(t), nil
}

// cronJobName is the name that Kubernetes gives to a Job of a CronJob: it ends with the minutes from the epoch to when the Job was due.
var cronJobName = regexp.MustCompile(`^[a-z0-9.-]+-([0-9]{8})$`)

// instant reads a day (its start in the job's zone), an RFC 3339 time, or the name of a CronJob's Job.
func instant(s string, loc *time.Location) (time.Time, error) {
	if t, err := time.ParseInLocation(time.DateOnly, s, loc); err == nil {
		return t, nil
	}
	if m := cronJobName.FindStringSubmatch(s); m != nil {
		if minutes, err := strconv.ParseInt(m[1], 10, 64); err == nil {
			return time.Unix(60*minutes, 0).UTC(), nil
		}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("%q is no time: want a day, as 2026-03-01, or RFC 3339, as 2026-03-01T00:00:00Z", s)
	}
	return t, nil
}
