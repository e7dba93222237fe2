package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// check is one thing that validate looked at.
type check struct {
	What  string `json:"what"`
	OK    bool   `json:"ok"`
	Found string `json:"found"`           // what was found, or what is wrong
	Warns bool   `json:"warns,omitempty"` // it works, but perhaps not as meant
}

func (a *app) validateCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Check the project file, the stores and the schemas of the sources; every fault at once",
		Args:  usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.open(cmd.Context(), true)
			var usage usageError
			if errors.As(err, &usage) {
				return err // the file itself, with all of its faults
			}
			var checks []check
			if err != nil {
				checks = unreached(err)
			} else {
				defer p.Close()
				checks = append(p.check(cmd.Context()), p.checkTokens(a.env)...)
			}
			bad := 0
			for _, c := range checks {
				if !c.OK {
					bad++
				}
			}
			if err := a.print(checks, func(w io.Writer) {
				for _, c := range checks {
					mark := "ok"
					switch {
					case !c.OK:
						mark = "FAULT"
					case c.Warns:
						mark = "WARN"
					}
					row(w, mark, c.What, c.Found)
				}
			}); err != nil {
				return err
			}
			if bad > 0 {
				return usageError{fmt.Errorf("%d of %d checks failed", bad, len(checks))}
			}
			return nil
		},
	}
}

// unreached says what of a project could not be opened. Nothing more can be checked then.
func unreached(err error) []check {
	out := []check{{What: "project file", OK: true, Found: "reads well; what follows could not be reached"}}
	all := []error{err}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		all = many.Unwrap()
	}
	for _, err := range all {
		what, found, _ := strings.Cut(err.Error(), ": ")
		out = append(out, check{What: what, Found: found})
	}
	return out
}

// check looks at the stores and at one file of each source.
func (p *project) check(ctx context.Context) []check {
	out := []check{{What: "project file", OK: true, Found: strings.Join([]string{count(len(p.Jobs), "job"), count(len(p.Purposes), "purpose"), count(len(p.Views), "view")}, ", ")}}
	add := func(what, found string, err error) {
		if err != nil {
			found = err.Error()
		}
		out = append(out, check{What: what, OK: err == nil, Found: found})
	}
	if l, err := configs.ReadLock(p.File()); err == nil { // Load has read it
		c := check{What: "purposes", OK: true, Warns: l == nil, Found: "none of it is beyond purposes.lock"}
		if l == nil {
			c.Found = "there is no purposes.lock: nothing stops this file from reading more (rapport purposes accept)"
		}
		out = append(out, c)
	}
	add("storage", "create-only and if-match writes are honoured", storage.Probe(ctx, p.Bucket))
	out = append(out, lasting(ctx, p.Bucket)...)
	out = append(out, p.checkEncryption(ctx)...)
	_, err := p.Online.Generations(ctx)
	if i, ok := p.Online.(online.Inspector); ok && err == nil {
		var f online.Facts
		if f, err = i.Inspect(ctx); err == nil && len(f.Faults) > 0 {
			err = errors.New(f.Faults[0])
		}
	}
	add("online store", p.Project.Online.URL, err)
	problems, err := p.runner.KeyProblems(ctx) // as keys check tells them
	for _, x := range problems {
		add("pseudonym key", "", errors.New(x))
	}
	if err != nil || len(problems) == 0 {
		add("pseudonym key", "key id "+p.Keys.ID()+": it fits what the bucket was written with", err)
	}
	out = append(out, p.checkErasures(ctx)...)
	head := len(out) // what stands first; all else is sorted
	if n := len(p.Alerts); n > 0 {
		add("alerts", count(n, "place")+" to tell; rapport alerts test sends a message", p.alerts.Faults())
	}
	if o := p.LineageOptions(); o.File+o.URL != "" {
		add("lineage", "job namespace "+o.Namespace, o.Fault)
	}

	if p.LinkedBy != nil {
		out = append(out, p.checkLinks(ctx)...)
	}
	seen := map[string]bool{}
	for _, name := range p.JobNames() {
		j, err := p.Job(name)
		if err != nil {
			add("job "+name, "", err)
			continue
		}
		out = append(out, keptShorter(j)...)
		out = append(out, retained(j, p.runner.Now())...)
		out = append(out, p.decidable(ctx, j)...)
		add("job "+name, fmt.Sprintf("every %s, trains %s, next due %s", j.Every, j.Model.Name, clock(j.Due.Next(p.runner.Now()))), nil)
		out = append(out, unseenKinds(ctx, j)...)
		out = append(out, crowded(ctx, j)...)
		if !seen["events"] {
			seen["events"] = true
			out = append(out, p.checkEvents(ctx, j))
			out = append(out, tellingEvents(ctx, j)...)
			out = append(out, namedKinds(ctx, j)...)
			out = append(out, coarseness(ctx, j, "events", j.Events.Bucket, j.Events.Path, j.Events.Columns, j.Events.Numeric, j.Events.Explode)...)
		}
		sets := map[string]*jobs.AttributeSource{"items": j.Items, "subjects": j.Subjects, "cohorts": j.Cohorts}
		for _, set := range []string{"items", "subjects", "cohorts"} {
			if src := sets[set]; src != nil && !seen[set] {
				seen[set] = true
				reads := slices.Clone(j.Training.Reads[set])
				if j.Evaluation != nil {
					reads = append(reads, j.Evaluation.Reads[set]...)
				}
				c, lacks := p.checkColumns(ctx, set, src, j.Model, reads)
				out = append(out, c)
				if set == "subjects" && c.OK {
					out = append(out, protects(ctx, j)...)
				}
				if set != "items" && c.OK {
					out = append(out, telling(ctx, j, set, src.Data.Bucket, src.Data.Path, src.Data.Columns, []string{columnOf(src.Data.Columns, src.Key)})...)
					out = append(out, coarseness(ctx, j, set, src.Data.Bucket, src.Data.Path, src.Data.Columns, src.Numeric, "")...)
				}
				if set == "items" && c.OK {
					idle := idleRules(j, lacks)
					if out = append(out, idle...); len(idle) == 0 {
						out = append(out, itemHints(ctx, j)...)
					}
				}
			}
		}
		for _, x := range []struct {
			what, says string
			src        *event.DataSet
		}{
			{"consent", "records come one by one: rapport consent import, POST /v1/consent", j.Consent},
			{"preferences", "people are asked one by one: rapport subject prefer, POST /v1/preferences", j.Preferences},
		} {
			if x.src == nil || seen[x.what] {
				continue
			}
			if seen[x.what] = true; x.src.Path == "" {
				add(x.what, x.says, nil)
				continue
			}
			n, _, err := first(ctx, x.src.Bucket, x.src.Path)
			if err == nil && n == 0 {
				err = fmt.Errorf("no file matches %s", x.src.Path)
			}
			add(x.what, count(n, "file"), err)
		}
	}
	slices.SortStableFunc(out[head:], func(a, b check) int { return strings.Compare(a.What, b.What) })
	return out
}

// linksShown is how many bad rows of an identity table are listed.
const linksShown = 20

// checkLinks reads the declared identity table as a run does, every row: what a run would refuse is told here, row by row, and what in it links nothing.
func (p *project) checkLinks(ctx context.Context) []check {
	c := check{What: "source identities"}
	links, err := event.ReadLinks(ctx, *p.LinkedBy)
	var bad *event.BadLinks
	if errors.As(err, &bad) {
		c.Found = fmt.Sprintf("%d of %s cannot be meant; until they are mended every run is refused", len(bad.Faults), count(int(bad.Rows), "row"))
		if len(bad.Faults) > linksShown {
			c.Found += fmt.Sprintf("; the first %d follow", linksShown)
		}
		out := []check{c}
		for _, says := range bad.Faults[:min(len(bad.Faults), linksShown)] {
			out = append(out, check{What: c.What, Found: says})
		}
		return out
	}
	if err != nil {
		c.Found = err.Error() + "; until it is mended every run is refused"
		return []check{c}
	}
	f := links.Facts
	c.OK, c.Found = true, fmt.Sprintf("%s in %s", count(int(f.Links), "link"), count(int(f.Rows), "row"))
	for _, x := range []struct {
		n    int64
		says string
	}{{f.Duplicates, "repeat another"}, {f.Selves, "link an id to itself"}} {
		if x.n > 0 {
			c.Warns, c.Found = true, c.Found+fmt.Sprintf("; %d %s", x.n, x.says)
		}
	}
	return []check{c}
}

// keptShorter warns of views with windows longer than the job's purpose keeps events: their columns hold less than their names say.
func keptShorter(j *jobs.Job) (out []check) {
	keep, ok := j.Training.Keep["events"]
	if !ok {
		return nil
	}
	for _, v := range j.Views {
		if longest := features.RetentionNeeded([]features.View{v}); keep < longest {
			out = append(out, check{What: "view " + v.Name + " of job " + j.Name, OK: true, Warns: true, Found: fmt.Sprintf(
				"its window of %s holds no more than %s of events: purposes.%s.keep.events is shorter, and no build goes on from another", features.FormatWindow(longest), features.FormatWindow(keep), j.Training.Name)})
		}
	}
	return out
}

// decidable says of each budget what the last evaluation could have told: a budget whose smallest gap to be told is far beyond its bound
// stays undecided whatever happens.
func (p *project) decidable(ctx context.Context, j *jobs.Job) (out []check) {
	if len(j.Budgets) == 0 {
		return nil
	}
	rules, iv, err := p.runner.Decidable(ctx, j)
	if err != nil {
		return []check{{What: "budgets of job " + j.Name, Found: err.Error()}}
	}
	for _, b := range j.Budgets {
		c := check{What: "budget " + b.String() + " of job " + j.Name, OK: true, Found: "not judged yet; what can be decided is told from the first evaluation on"}
		for _, r := range rules {
			if !r.Budget.Same(b) {
				continue
			}
			c.Found = r.Decidable() + fmt.Sprintf(" (%s, %s)", iv, count(r.N, "subject"))
			c.Warns = r.Detectable == nil || r.Blunt() || r.Overdue(p.runner.Now())
			break
		}
		out = append(out, c)
	}
	return out
}

// first counts the files of a pattern and returns the last, which is the newest of dated ones.
func first(ctx context.Context, b storage.Bucket, pattern string) (n int, last storage.Info, err error) {
	for info, err := range storage.Glob(ctx, b, pattern) {
		if err != nil {
			return n, last, err
		}
		n, last = n+1, info
	}
	return n, last, nil
}

func (p *project) checkEvents(ctx context.Context, j *jobs.Job) check {
	src := j.Events
	want := map[string]string{"subject": src.Subject, "item": src.Item, "at": src.Time, "kind": src.Kind, "value": src.Value}
	for name, column := range src.Columns {
		want["columns."+name] = column
	}
	typed := []table.Want{{Name: src.Subject, Type: table.String}, {Name: src.Item, Type: table.String}, {Name: src.Time, Type: table.Time}}
	if src.Value != "" {
		typed = append(typed, table.Want{Name: src.Value, Type: table.Float64, Optional: true})
	}
	must := []string{"subject", "item", "at"}
	for _, name := range src.Required {
		if name != event.ColValue {
			name = "columns." + name
		}
		must = append(must, name)
	}
	c, _ := schemaCheck(ctx, "events", src.Bucket, src.Path, want, must, table.ScanOptions{Columns: typed, Time: src.Time, Explode: src.Explode, Unit: src.TimeUnit, TimeFormat: src.TimeFormat, Local: src.Zone}, nil)
	return c
}

// kindsShown is how many kinds of a file are named.
const kindsShown = 12

// unseenKinds warns of kinds that a job's trust names and no row of the newest file of events has: rare ones, or misspelt ones, of which zeros would be counted.
// Where the project declares the kinds, it has been checked against those. It reads one column of the file until all are found.
func unseenKinds(ctx context.Context, j *jobs.Job) []check {
	src := j.Events
	if j.Trust == nil || src.Kind == "" || len(src.Kinds) > 0 {
		return nil
	}
	unseen := slices.Concat(j.Trust.Conversion, j.Trust.Complaint, j.Trust.Explanation)
	n, obj, err := first(ctx, src.Bucket, src.Path)
	if err != nil || n == 0 || len(unseen) == 0 || !strings.HasSuffix(obj.Key, ".parquet") {
		return nil // the check of the source says so
	}
	has := map[string]bool{}
	scan := table.ScanOptions{Columns: []table.Want{{Name: src.Kind, Type: table.String, Optional: true}}, Explode: src.Explode}
	for b, err := range table.Scan(ctx, src.Bucket, obj, scan) {
		if err != nil {
			return nil
		}
		for i := range b.N {
			if kinds := b.Cols[0]; !kinds.Null(i) {
				has[kinds.Str[i]] = true
			}
		}
		if unseen = slices.DeleteFunc(unseen, func(k string) bool { return has[k] }); len(unseen) == 0 {
			return nil
		}
	}
	have := slices.Sorted(maps.Keys(has))
	more := ""
	if n := len(have); n > kindsShown {
		have, more = have[:kindsShown], fmt.Sprintf(" and %d more", n-kindsShown)
	}
	return []check{{What: "trust of job " + j.Name, OK: true, Warns: true, Found: fmt.Sprintf(
		"no row of %s is of kind %s; it has %s%s. Zeros are counted of a kind that is misspelt", obj.Key, strings.Join(unseen, ", "), strings.Join(have, ", "), more)}}
}

// protects says of each entry of protected_subjects whom it withholds, and warns where that is nobody or nearly everybody.
func protects(ctx context.Context, j *jobs.Job) (out []check) {
	shares, err := j.ProtectedShares(ctx)
	if err != nil {
		return []check{{What: "protected_subjects", Found: err.Error()}}
	}
	for i, s := range shares {
		var columns []string
		for _, c := range j.Guards.Protected[i] {
			columns = append(columns, c.Column)
		}
		c := check{What: fmt.Sprintf("protected_subjects[%d]", i), OK: true, Warns: s.Rows == 0 || s.Most(), Found: fmt.Sprintf("by %s it withholds %s from profiling", strings.Join(columns, " and "), s)}
		if s.Most() {
			c.Found += ": hardly anybody would be left, and what is withheld when a day is read comes back only when its files change"
		}
		out = append(out, c)
	}
	return out
}

// idleRules warns of list rules on attributes that the items lack.
func idleRules(j *jobs.Job, lacks []string) (out []check) {
	for _, column := range j.Model.Lists.Rules.Columns() {
		if slices.Contains(lacks, column) {
			out = append(out, check{What: "list rules of job " + j.Name, OK: true, Warns: true, Found: fmt.Sprintf(
				"the rule on %q in models.%s.lists changes no list: the items have no such column", column, j.Model.Name)})
		}
	}
	return out
}

// hintsShown is how many values that look sensitive are named.
const hintsShown = 8

// itemHints warns, by the items as they are, of rules that match none, and tells which of their categories look as if they should be sensitive items.
func itemHints(ctx context.Context, j *jobs.Job) (out []check) {
	h, looked, err := j.ItemHints(ctx)
	if err != nil {
		return []check{{What: "items of job " + j.Name, OK: true, Warns: true, Found: "they could not be looked at: " + err.Error()}}
	}
	if !looked {
		return nil
	}
	for _, rule := range h.Idle {
		out = append(out, check{What: "list rules of job " + j.Name, OK: true, Warns: true, Found: "a list rule changes nothing, by the items as they are now: " + rule})
	}
	if len(j.Guards.Sensitive) > 0 {
		out = append(out, check{What: "sensitive items", OK: true, Warns: h.Sensitive == 0, Found: fmt.Sprintf("%d of %s", h.Sensitive, count(h.Items, "item"))})
		return out
	}
	var suspects []string
	for _, column := range slices.Sorted(maps.Keys(h.Levels)) {
		if column == j.Model.Lists.Title {
			continue
		}
		for _, level := range h.Levels[column] {
			if topic := configs.LooksSensitive(level); topic != "" {
				suspects = append(suspects, fmt.Sprintf("%s: %s (%s)", column, level, topic))
			}
		}
	}
	if n := len(suspects); n > 0 {
		more := ""
		if n > hintsShown {
			suspects, more = suspects[:hintsShown], fmt.Sprintf(" and %d more", n-hintsShown)
		}
		out = append(out, check{What: "hint: sensitive items", OK: true, Found: fmt.Sprintf(
			"these may tell of a person what needs an explicit consent (GDPR, Art. 9): %s%s; sensitive_items declares those that do", strings.Join(suspects, ", "), more)})
	}
	return out
}

// checkColumns looks at a source of attributes. It names those that the newest file lacks.
func (p *project) checkColumns(ctx context.Context, set string, src *jobs.AttributeSource, m jobs.Model, reads []string) (check, []string) {
	want := map[string]string{}
	for _, name := range append(reads, src.Key) {
		column := name
		if c, ok := src.Data.Columns[name]; ok {
			column = c
		}
		want[name] = column
	}
	typed := []table.Want{{Name: want[src.Key], Type: table.String}}
	for _, name := range reads {
		if slices.Contains(src.Numeric, name) {
			typed = append(typed, table.Want{Name: want[name], Type: table.Float64, Optional: true})
		}
	}
	var look func(*table.Batch) error
	if rules := m.Lists.Rules; set == "items" && rules != nil && rules.Fresh != nil && slices.Contains(reads, rules.Fresh.Since) {
		at := len(typed)
		typed = append(typed, table.Want{Name: want[rules.Fresh.Since], Type: table.String, Optional: true, TimeText: true})
		look = func(b *table.Batch) error {
			for i, text := range b.Cols[at].Str {
				if b.Cols[at].Null(i) || text == "" {
					continue
				}
				if _, err := rules.Fresh.Time(text); err != nil {
					return fmt.Errorf("models.%s.lists.%w", m.Name, err)
				}
			}
			return nil
		}
	}
	return schemaCheck(ctx, set, src.Data.Bucket, src.Data.Path, want, []string{src.Key}, table.ScanOptions{Columns: typed}, look)
}

// schemaCheck compares the wanted columns (name in the project → column) with those of the newest file of a source, and reads a batch of
// those whose type matters, at which look looks (nil: nothing does). A column that is not among must may be missing, as a run takes it: it is
// null then, the check says so, and its name in the project is among those returned.
func schemaCheck(ctx context.Context, set string, b storage.Bucket, pattern string, want map[string]string, must []string, scan table.ScanOptions, look func(*table.Batch) error) (c check, null []string) {
	c = check{What: "source " + set}
	n, obj, err := first(ctx, b, pattern)
	if err == nil && n == 0 {
		err = fmt.Errorf("no file matches %s: check sources.%s.path", pattern, set)
	}
	if err != nil {
		c.Found = err.Error()
		return c, null
	}
	if !strings.HasSuffix(obj.Key, ".parquet") {
		c.OK, c.Found = true, fmt.Sprintf("%s; the columns of %s are checked when it is read", count(n, "file"), obj.Key)
		return c, null
	}
	st, err := table.Stat(ctx, b, obj, table.ScanOptions{})
	if err != nil {
		c.Found = err.Error()
		return c, null
	}
	var have []string
	for _, f := range st.Columns {
		have = append(have, f.Name)
	}
	var lacks, nulls []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		switch column := want[name]; {
		case column == "" || slices.Contains(have, column):
		case slices.Contains(must, name):
			lacks = append(lacks, fmt.Sprintf("%q (%s)", column, name))
		default:
			null = append(null, name)
			nulls = append(nulls, fmt.Sprintf("%q (%s)", column, name))
		}
	}
	if len(lacks) > 0 {
		c.Found = fmt.Sprintf("%s has no column %s; it has %s", obj.Key, strings.Join(lacks, ", "), strings.Join(have, ", "))
		return c, null
	}
	for batch, err := range table.Scan(ctx, b, obj, scan) { // one batch shows whether the types fit
		if err == nil && look != nil {
			err = look(batch)
		}
		if err != nil {
			c.Found = err.Error()
			return c, null
		}
		break
	}
	c.OK = true
	if len(nulls) > 0 {
		c.Found = fmt.Sprintf("%s; %s has %s, and no column %s, which is null there: a run goes on without", count(n, "file"), obj.Key, count(st.Rows, "row"), strings.Join(nulls, ", "))
		return c, null
	}
	c.Found = fmt.Sprintf("%s; %s has %s and all %d columns", count(n, "file"), obj.Key, count(st.Rows, "row"), len(want))
	return c, null
}
