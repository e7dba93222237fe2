package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// reportFiles says where a report is, for people and for browsers.
type reportFiles struct {
	HTML     string `json:"html"`
	JSON     string `json:"json,omitempty"`
	Markdown string `json:"markdown,omitempty"` // reports of older programs have none
	// Of a report that was asked for by its model: the version that it is of, and the one that is live, 0: none.
	Version int `json:"version,omitempty"`
	Live    int `json:"live,omitempty"`
}

func (a *app) reportCmd() *cobra.Command {
	var withSubjects, open bool
	var ids, to string
	c := &cobra.Command{
		Use:   "report RUN|MODEL[/VERSION]|latest",
		Short: "Where the report of a run or of a version is",
		Long: "Where the report of a run, of a model's newest version (which need not be the live one; it says which is) or of a given one (MODEL/VERSION), or of the latest run that has one is. With --with-subjects, a page on this\n" +
			"machine that holds the lists of the given people as well, with the reasons: it is never put into the project's storage.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if withSubjects != (ids != "") || withSubjects != (to != "") {
				return usageError{errors.New("report: --with-subjects, --ids and --to go together: whose lists, and the file to write")}
			}
			p, err := a.open(cmd.Context(), withSubjects)
			if err != nil {
				return err
			}
			defer p.Close()
			key, of, err := p.reportKey(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			var files reportFiles
			if withSubjects {
				files.HTML, err = to, a.reportWithSubjects(cmd.Context(), p, key, ids, to)
			} else {
				files, err = p.reportFiles(cmd.Context(), key)
			}
			if err != nil {
				return err
			}
			if of != nil {
				files.Version, files.Live = of.version, of.live
				fmt.Fprintln(a.err, "rapport: "+of.String())
			}
			if err := a.print(files, func(w io.Writer) { fmt.Fprintln(w, files.HTML) }); err != nil || !open {
				return err
			}
			return a.openReport(cmd.Context(), p, key, files.HTML)
		},
	}
	f := c.Flags()
	f.BoolVar(&open, "open", false, "show it in a browser (xdg-open)")
	f.BoolVar(&withSubjects, "with-subjects", false, "write a page on this machine that holds the lists of people; needs --ids and --to")
	f.StringVar(&ids, "ids", "", "file of raw ids, one a line, or - for standard input")
	f.StringVar(&to, "to", "", "the file to write, outside the project's storage")
	return c
}

// reportKey finds a report by a run's id, by MODEL/VERSION or MODEL (its newest version, which may not be the live one: of says so), or as latest.
func (p *project) reportKey(ctx context.Context, arg string) (key string, of *newestVersion, err error) {
	if model, version, ok := strings.Cut(arg, "/"); ok {
		v, err := p.version(ctx, model, version)
		return v.Report.Link, nil, err
	}
	if arg == "latest" {
		key, err = p.latestReport(ctx)
		return key, nil, err
	}
	if j, err := p.jobOf(arg); err == nil {
		return p.newestReport(ctx, j)
	}
	r, err := ledger.Ledger{Bucket: p.Bucket}.Get(ctx, arg)
	if err != nil {
		return "", nil, err
	}
	if r.Report == "" {
		return "", nil, notFoundError{fmt.Errorf("run %s has no report: it ended as %s before the model was judged; rapport runs show %[1]s says how", r.ID, r.Status)}
	}
	return r.Report, nil, nil
}

// newestVersion is the newest version of a model, and the live one; 0: there is none.
type newestVersion struct {
	model         string
	version, live int
}

// String says which of the versions a report is of that was asked for by the model's name.
func (v newestVersion) String() string {
	of := fmt.Sprintf("the report of version %d of %s, the newest", v.version, v.model)
	switch v.live {
	case v.version:
		return of + ", which is live"
	case 0:
		return of + "; none is live"
	}
	return fmt.Sprintf("%s; version %d is live: rapport report %s/%[2]d", of, v.live, v.model)
}

// newestReport is the report of the newest version of a job's model.
func (p *project) newestReport(ctx context.Context, j *jobs.Job) (string, *newestVersion, error) {
	model := j.Model.Name
	reg, err := registry.Open(p.Bucket, model)
	if err != nil {
		return "", nil, err
	}
	versions, err := reg.Versions(ctx)
	if err != nil {
		return "", nil, err
	}
	if len(versions) == 0 {
		return "", nil, notFoundError{fmt.Errorf("model %s has no version yet; rapport run JOB makes one", model)}
	}
	live, err := reg.Live(ctx)
	if err != nil {
		return "", nil, err
	}
	newest := slices.MaxFunc(versions, func(a, b registry.Version) int { return cmp.Compare(a.Number, b.Number) })
	return newest.Report.Link, &newestVersion{model, newest.Number, live.Aliases[j.Alias].Version}, nil
}

// latestReport is the report of the run that began last among those that have one.
func (p *project) latestReport(ctx context.Context) (string, error) {
	runs := ledger.Ledger{Bucket: p.Bucket}
	lines, err := runs.List(ctx, time.Time{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		return "", err
	}
	for _, l := range lines {
		r, err := runs.Get(ctx, l.ID)
		if err != nil {
			return "", err
		}
		if r.Report != "" {
			return r.Report, nil
		}
	}
	return "", notFoundError{errors.New("no run has a report yet; rapport run JOB makes one")}
}

// reportFiles locates the files of a report that are there.
func (p *project) reportFiles(ctx context.Context, key string) (reportFiles, error) {
	var out reportFiles
	for ext, to := range map[string]*string{".html": &out.HTML, ".json": &out.JSON, ".md": &out.Markdown} {
		_, err := p.Bucket.Head(ctx, key+ext)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return out, fmt.Errorf("report %s: %w", key, err)
		}
		*to = p.Locate(key + ext)
	}
	if out.HTML == "" {
		return out, notFoundError{fmt.Errorf("the report %s.html is not there any more", key)}
	}
	return out, nil
}

// reportWithSubjects writes a report with real people's lists to a file that only its owner can read. Whoever may not be profiled, is not
// known or was erased is left out: the online store itself answers, which denies them.
func (a *app) reportWithSubjects(ctx context.Context, p *project, key, ids, to string) error {
	if err := p.outsideStorage(to); err != nil {
		return err
	}
	raw, err := a.readIDs(ids)
	if err != nil {
		return err
	}
	body, err := p.object(ctx, key+".json")
	if err != nil {
		return fmt.Errorf("report %s: %w", key, err)
	}
	r, err := eval.ParseReport(body)
	if err != nil {
		return fmt.Errorf("report %s: %w", key, err)
	}
	if r.Model.Version, err = p.reportedVersion(ctx, r.Model.Name, key); err != nil {
		return err
	}
	r.Subjects = &eval.SubjectFacts{Asked: len(raw), Model: r.Model.Name}
	for i, id := range raw {
		key, err := p.names.Of(ctx, id)
		if err != nil {
			return err
		}
		l, _, err := online.Recommend(ctx, p.Online, key, max(r.Model.Length, 1), table.Micros(p.runner.Now()))
		if errors.Is(err, online.ErrNoGeneration) {
			return notFoundError{fmt.Errorf("%w; rapport run JOB publishes one", err)}
		}
		if err != nil {
			return err
		}
		if l.Personalized {
			r.Subjects.Served = l.Version
			r.Subjects.Lists = append(r.Subjects.Lists, eval.SubjectList{Place: i + 1, Items: subjectItems(l)})
		}
	}
	if len(r.Subjects.Lists) == 0 {
		return notFoundError{fmt.Errorf("none of the %d people may be profiled and has a list: nothing was written", len(raw))}
	}
	var page bytes.Buffer
	if err := r.WriteHTML(&page); err != nil {
		return err
	}
	return writePrivate(to, page.Bytes())
}

func subjectItems(l online.List) []eval.SubjectItem {
	out := make([]eval.SubjectItem, len(l.Items))
	for i, item := range l.Items {
		out[i] = eval.SubjectItem{Item: item.Item, Score: item.Score}
		for _, r := range item.Reasons {
			out[i].Reasons = append(out[i].Reasons, models.Reason{Kind: r.Kind, Ref: r.Ref, Contribution: r.Contribution})
		}
	}
	return out
}

// reportedVersion is the number of the version that a report is of, or "".
func (p *project) reportedVersion(ctx context.Context, model, key string) (string, error) {
	reg, err := registry.Open(p.Bucket, model)
	if err != nil {
		return "", err
	}
	versions, err := reg.Versions(ctx)
	if err != nil {
		return "", err
	}
	for _, v := range versions {
		if v.Report.Link == key {
			return fmt.Sprint(v.Number), nil
		}
	}
	return "", nil
}

// outsideStorage refuses a file in the project's storage folder, whatever links lead there: what holds people's lists must not be kept,
// copied and served with what is stored.
func (p *project) outsideStorage(to string) error {
	root := p.Locate("")
	if strings.Contains(root, "://") {
		return nil
	}
	dir, err := resolved(filepath.Dir(to))
	if err != nil {
		return usageError{fmt.Errorf("--to: %w", err)}
	}
	if root, err = resolved(root); err != nil {
		return fmt.Errorf("storage folder: %w", err)
	}
	rel, err := filepath.Rel(root, dir)
	if err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return usageError{fmt.Errorf("--to %s lies in the project's storage, where nothing about a person may stand: choose another folder", to)}
	}
	return nil
}

func resolved(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// writePrivate makes a file that only its owner can read. It overwrites nothing, and leaves nothing half-written.
func writePrivate(path string, body []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return usageError{fmt.Errorf("--to: %s exists, and nothing is overwritten", path)}
	}
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	_, err = f.Write(body)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("--to: %w", err), os.Remove(path))
	}
	return nil
}

// openReport shows a report in a browser, where there is a way to ask for one. A report in a bucket is copied to a file first.
func (a *app) openReport(ctx context.Context, p *project, key, location string) error {
	opener, err := exec.LookPath("xdg-open")
	if err != nil {
		fmt.Fprintln(a.err, "rapport: there is no xdg-open here (Debian package xdg-utils); open the page by hand")
		return nil
	}
	if strings.Contains(location, "://") {
		body, err := p.object(ctx, key+".html")
		if err != nil {
			return fmt.Errorf("report %s: %w", key, err)
		}
		dir, err := os.MkdirTemp("", "rapport-report-")
		if err != nil {
			return fmt.Errorf("--open: %w", err)
		}
		location = filepath.Join(dir, "report.html")
		if err := os.WriteFile(location, body, 0o600); err != nil {
			return fmt.Errorf("--open: %w", err)
		}
	}
	cmd := exec.CommandContext(ctx, opener, location)
	cmd.Stdout, cmd.Stderr = a.err, a.err
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("--open: %s: %w", opener, err)
	}
	return nil
}
