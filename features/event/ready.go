package event

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Readiness says whether the files of a day are complete.
type Readiness struct {
	Ready   bool
	Lacks   string    // what is not there yet, as "no _SUCCESS under events/dt=2026-01-05/"; "" if the day is ready
	Settles time.Time // from when on the day is taken as complete whatever stands beside its files
}

// Ready says whether the files of iv are complete: Source.Settle after its end, or earlier if a _SUCCESS stands in every folder that holds
// files of it. With a date in the path these are the folders of files that arrived within iv, and a day without rows may be complete by its
// _SUCCESS alone; without, those of files that may hold its events, and their _SUCCESS must have been written after its end. It asks the bucket only
// while the day has not settled: one request a folder.
func (fs *Files) Ready(ctx context.Context, iv table.Interval, now time.Time) (Readiness, error) {
	r := Readiness{Settles: iv.End.Add(fs.source.Settle)}
	if !now.Before(r.Settles) {
		r.Ready = true
		return r, nil
	}
	folders, dated, err := fs.folders(iv)
	if err != nil {
		return r, err
	}
	if len(folders) == 0 {
		r.Lacks = "no file holds events of it"
		return r, nil
	}
	for _, dir := range folders {
		info, err := fs.source.Bucket.Head(ctx, path.Join(dir, success))
		switch {
		case errors.Is(err, storage.ErrNotFound):
			r.Lacks = fmt.Sprintf("no %s under %s/", success, dir)
			return r, nil
		case err != nil:
			return r, fmt.Errorf("is %s complete: %w", iv, err)
		case !dated && info.Modified.Before(iv.End):
			r.Lacks = fmt.Sprintf("the %s under %s/ was written before its end", success, dir)
			return r, nil
		}
	}
	r.Ready = true
	return r, nil
}

// folders are where a _SUCCESS says that iv is complete, sorted; dated is whether their names say so too.
func (fs *Files) folders(iv table.Interval) (out []string, dated bool, err error) {
	dates, err := datePattern(fs.source.Path)
	if err != nil {
		return nil, false, err
	}
	for _, f := range fs.day(iv) {
		if !f.arrived || f.span.Start.Before(iv.End) { // not what arrives late
			out = append(out, path.Dir(f.info.Key))
		}
	}
	if dates != nil && len(out) == 0 {
		day, err := table.EveryOf("1d", fs.source.zone())
		if err != nil {
			return nil, false, err
		}
		for _, d := range day.Days(iv) {
			if dir, ok := folderOf(fs.source.Path, d.Start.In(fs.source.zone())); ok {
				out = append(out, dir)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), dates != nil, nil
}

// folderOf is the folder that a pattern names for a day, or false if a wildcard leaves it open.
func folderOf(pattern string, day time.Time) (string, bool) {
	dir := path.Dir(pattern)
	dir = strings.NewReplacer("{date}", day.Format(time.DateOnly), "{yyyy}", day.Format("2006"), "{mm}", day.Format("01"), "{dd}", day.Format("02")).Replace(dir)
	return dir, !strings.ContainsAny(dir, "*{")
}
