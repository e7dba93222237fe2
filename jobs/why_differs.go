package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"
	"unicode"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// maxDifferences is how many differences of one kind are listed; a job that was rewritten has too many to help.
const maxDifferences = 12

// notable is the relative change from which a size that changes every night is worth a line.
const notable = 0.2

// compare lists what was otherwise when the job last worked.
func (e *inquiry) compare(ctx context.Context) {
	was, now := e.last, e.run
	e.differs("revision of rapport", was.Revision, now.Revision)
	e.spec()
	for _, n := range now.Sources {
		i := slices.IndexFunc(was.Sources, func(s ledger.Source) bool { return s.Name == n.Name })
		if i < 0 {
			e.differs("source "+n.Name, "none", count(n.Files, "file"))
			continue
		}
		o := was.Sources[i]
		what := "files of " + n.Name
		if n.Name == "events" {
			what = "files of the interval"
		} else if n.Name == "history" {
			what = "files of the history"
		}
		switch {
		case o.Files != n.Files || changed(o.Bytes, n.Bytes):
			e.differs(what, fmt.Sprintf("%d, %d bytes", o.Files, o.Bytes), fmt.Sprintf("%d, %d bytes", n.Files, n.Bytes))
		case o.Digest != n.Digest && n.Name != "events" && n.Name != "history":
			e.differs(what+", or the keys, identities and rules that they are read by", "fingerprint "+short(o.Digest), "fingerprint "+short(n.Digest))
		}
	}
	if was.Volume != nil && now.Volume != nil && changed(was.Volume.Events, now.Volume.Events) {
		e.differs("usable events of the interval", fewer(was.Volume.Events), fewer(now.Volume.Events))
	}
	if now.Fault == faultNoData || now.Fault == faultLowVolume {
		e.differs("funnel", was.Funnel, now.Funnel)
	}
	if now.Fault == faultKilled || now.Status == ledger.Running {
		e.differs("peak memory", megabytes(was.Cost.PeakMemory), megabytes(peakOf(now)))
	}
	if judgedIn(was) && judgedIn(now) {
		e.differs("live version that it was judged against", liveOf(was), liveOf(now))
	}
	e.columns(ctx)
}

// differs notes a difference, if there is one.
func (e *inquiry) differs(what, was, now string) {
	if was != now {
		e.why.Differs = append(e.why.Differs, Difference{what, orNone(was), orNone(now)})
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// changed reports whether a size that is never twice the same has changed notably.
func changed(was, now int64) bool {
	return math.Abs(float64(now-was)) > notable*math.Max(float64(was), float64(now))
}

func short(digest string) string { return digest[:min(8, len(digest))] }

func megabytes(n int64) string {
	if n == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
}

// peakOf is the peak memory of a run, or of its steps if it did not come to its end.
func peakOf(r *ledger.Run) int64 {
	peak := r.Cost.PeakMemory
	for _, s := range r.Steps {
		peak = max(peak, s.PeakMemory)
	}
	return peak
}

// judgedIn reports whether a run came to judging what it trained: one that did not was judged against nothing, whatever is live.
func judgedIn(r *ledger.Run) bool {
	return slices.ContainsFunc(r.Steps, func(s ledger.Step) bool { return s.Name == "evaluate" })
}

// liveOf names the version that a run was judged against.
func liveOf(r *ledger.Run) string {
	for _, s := range r.Steps {
		for _, in := range s.Inputs {
			if in.Kind == "model" {
				return fmt.Sprintf("%s version %d", in.Name, in.N)
			}
		}
	}
	return ""
}

// modelOf decodes the version that a run trained, if it came to one.
func modelOf(r *ledger.Run, m *ModelRef) bool {
	return len(r.Model) > 0 && json.Unmarshal(r.Model, m) == nil && m.Version > 0
}

// spec compares what the project file said of the job.
func (e *inquiry) spec() {
	all := specDifferences(e.last.Spec, e.run.Spec)
	if len(all) > maxDifferences {
		rest := len(all) - maxDifferences
		all = append(all[:maxDifferences], Difference{"project file", "", fmt.Sprintf("%d more settings differ", rest)})
	}
	e.why.Differs = append(e.why.Differs, all...)
}

// specDifferences lists the settings that differ, by path.
func specDifferences(was, now json.RawMessage) []Difference {
	if len(was) == 0 || len(now) == 0 {
		return nil
	}
	a, b := eval.Leaves(was), eval.Leaves(now)
	var out []Difference
	for path, x := range a {
		if y := b[path]; setting(x) != setting(y) {
			out = append(out, Difference{"project file: " + configName(path), setting(x), setting(y)})
		}
	}
	for path, y := range b {
		if _, ok := a[path]; !ok && setting(y) != setting("") {
			out = append(out, Difference{"project file: " + configName(path), setting(""), setting(y)})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].What < out[j].What })
	return out
}

// setting is a value as it is shown: what says nothing is the same whether it stands there or not.
func setting(x string) string {
	if x == "0" || x == "false" {
		x = ""
	}
	return orNone(x)
}

// configName writes a path in the manner of a project file: views[0].HalfLife is views[0].half_life.
func configName(path string) string {
	var out strings.Builder
	inside := false // a word, so that a capital begins the next
	for _, c := range path {
		if unicode.IsUpper(c) && inside {
			out.WriteByte('_')
		}
		inside = unicode.IsLower(c) || unicode.IsDigit(c)
		out.WriteRune(unicode.ToLower(c))
	}
	return out.String()
}

// columns compares the columns of the newest raw file of the interval with those of the interval that worked, as both are now.
func (e *inquiry) columns(ctx context.Context) {
	if e.job == nil || e.run.Status == ledger.Succeeded || e.run.Interval == e.last.Interval {
		return
	}
	now, errNow := e.columnsOf(ctx, e.run.Interval)
	was, errWas := e.columnsOf(ctx, e.last.Interval)
	if errNow != nil {
		e.differs("newest file of the interval", "", errNow.Error())
	}
	if errNow != nil || errWas != nil || now == nil || was == nil {
		return
	}
	all := maps.Clone(was)
	maps.Copy(all, now)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		e.differs("column "+name, was[name], now[name])
	}
}

// columnsOf are the columns of the newest file of an interval and their types; nil if there is no file.
func (e *inquiry) columnsOf(ctx context.Context, iv table.Interval) (map[string]string, error) {
	files, err := e.filesOf(ctx, iv)
	if err != nil || len(files) == 0 {
		return nil, err
	}
	newest := slices.MaxFunc(files, func(a, b storage.Info) int { return a.Modified.Compare(b.Modified) })
	st, err := table.Stat(ctx, e.job.Events.Bucket, newest, table.ScanOptions{})
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, c := range st.Columns {
		out[c.Name] = strings.TrimSpace(c.Physical + " " + c.Logical)
	}
	return out, nil
}
