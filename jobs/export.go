package jobs

import (
	"archive/zip"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// Holding is what a kind of table holds of one person.
type Holding struct {
	Store string     `json:"store"` // in plain words, as in a receipt
	Rows  int64      `json:"rows"`
	First *time.Time `json:"first,omitempty"` // of the rows' times, where they have one
	Last  *time.Time `json:"last,omitempty"`
}

// holds counts rows, and the span of their times.
func (h *Holding) holds(b *table.Batch) {
	h.Rows += int64(b.N)
	col := b.Col(event.ColTime)
	if col == nil || len(col.Int) < b.N { // no times, or none of its own
		return
	}
	for i := range b.N {
		if col.Null(i) {
			continue
		}
		at := time.UnixMicro(col.Int[i]).UTC()
		if h.First == nil || at.Before(*h.First) {
			h.First = &at
		}
		if h.Last == nil || at.After(*h.Last) {
			h.Last = &at
		}
	}
}

// Served is what the online store would answer for one person.
type Served struct {
	Generation uint64                     `json:"generation"`
	List       *online.List               `json:"list,omitempty"` // theirs alone, as it stands; none: they read that of everybody
	Views      map[string]online.Features `json:"views,omitempty"`
}

// Dossier is all that is held of one person, and what follows from it.
type Dossier struct {
	Standing
	Consent  []ConsentLine `json:"consent"`
	Holdings []Holding     `json:"holdings"` // by store
	Served   Served        `json:"served"`
	Requests []Request     `json:"requests"`
	Erased   *time.Time    `json:"last_erasure,omitempty"`
	Pending  []string      `json:"pending"` // what of it is not as it will be, each with what brings it about
}

// ConsentLine is a record of consent or objection as its person may read it.
type ConsentLine struct {
	Purpose   string     `json:"purpose"`
	State     string     `json:"state"`
	Effective time.Time  `json:"effective_at"`
	Recorded  time.Time  `json:"recorded_at"`
	Expires   *time.Time `json:"expires_at,omitempty"`
	Source    string     `json:"source"`
}

// Dossier reads what is held of one person, by canonical id. It changes nothing. Cost: policy is read, as for a run, and of each table that holds
// people the part in which this one would stand.
func (r *Runner) Dossier(ctx context.Context, job *Job, canonical string) (*Dossier, error) {
	return r.dossier(ctx, job, canonical, nil)
}

// dossier reads it, and shows see each batch of rows, of one table after another and of tables of one kind in a row, the person's own alone.
func (r *Runner) dossier(ctx context.Context, job *Job, canonical string, see func(c *table.Commit, output string, b *table.Batch) error) (*Dossier, error) {
	w, err := r.asOfNow(ctx, job)
	if err != nil {
		return nil, err
	}
	out := &Dossier{Standing: w.standingOf(canonical), Consent: []ConsentLine{}, Holdings: []Holding{}, Requests: []Request{}, Pending: []string{}}
	if at, ok := w.plan.sup.ErasedAt(canonical); ok {
		t := time.UnixMicro(at).UTC()
		out.Erased = &t
	}
	all, err := r.Requests(ctx)
	if err != nil {
		return nil, err
	}
	marks := r.marksOf([]string{canonical}, true)
	for _, q := range all {
		if q.of(marks) {
			q.Subjects = slices.DeleteFunc(q.Subjects, func(m event.Mark) bool { return !slices.Contains(marks, m) }) // who else asked is theirs
			out.Requests = append(out.Requests, q)
		}
	}
	key, err := r.Names().Of(ctx, canonical)
	if err != nil {
		return nil, err
	}
	if out.Served, err = r.served(ctx, job, key); err != nil {
		return nil, err
	}
	if err := w.pending(ctx, canonical, key, marks, out); err != nil {
		return nil, err
	}
	s, known := w.plan.ids.Find(canonical)
	if !known {
		return out, nil
	}
	numbers := append([]policy.Subject{s}, w.plan.ids.Beside(canonical, s)...)
	records, err := w.recordsOf(ctx, w.plan, func(of policy.Subject) bool { return slices.Contains(numbers, of) })
	if err != nil {
		return nil, err
	}
	for _, rec := range records {
		line := ConsentLine{Purpose: rec.Purpose, State: string(rec.State), Effective: rec.Effective.UTC(), Recorded: rec.Recorded.UTC(), Source: rec.Source}
		if !rec.Expires.IsZero() {
			at := rec.Expires.UTC()
			line.Expires = &at
		}
		out.Consent = append(out.Consent, line)
	}
	type of struct {
		commit *table.Commit
		output string
	}
	var tables []of
	for c, err := range w.tables.List(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("read what is held of a person: %w", err)
		}
		for output := range c.Outputs {
			tables = append(tables, of{c, output})
		}
	}
	slices.SortFunc(tables, func(a, b of) int { // one kind after another
		return cmp.Or(cmp.Compare(a.commit.Step, b.commit.Step), cmp.Compare(a.output, b.output), cmp.Compare(a.commit.Key, b.commit.Key))
	})
	held := map[string]*Holding{}
	for _, t := range tables {
		c, store := t.commit, storeOf(t.commit.Step, t.output)
		for _, s := range numbers {
			err := w.rowsOf(ctx, c.Outputs[t.output], s, func(b *table.Batch) error {
				if held[store] == nil {
					held[store] = &Holding{Store: store}
				}
				held[store].holds(b)
				if see == nil {
					return nil
				}
				return see(c, t.output, b)
			})
			if err != nil {
				return nil, fmt.Errorf("read what is held of a person: %s: %w", c.Key, err)
			}
		}
	}
	for _, store := range slices.Sorted(maps.Keys(held)) {
		out.Holdings = append(out.Holdings, *held[store])
	}
	return out, nil
}

// pending says what of a person is not as it will be: what a rotation has not come to, what nothing has been published of, erasures that are not finished.
func (w *work) pending(ctx context.Context, canonical, key string, marks []event.Mark, out *Dossier) error {
	say := func(format string, args ...any) { out.Pending = append(out.Pending, fmt.Sprintf(format, args...)) }
	current := w.Keys.ID()
	if s, known := w.plan.ids.Find(canonical); known {
		if id := w.plan.ids.KeyOf(s); id != current {
			say("their row of the identity table stands under key %s: rapport keys rotate, or the next run that reads their id, wraps it anew under %s", id, current)
		}
	}
	switch _, err := w.Online.Live(ctx); {
	case errors.Is(err, online.ErrNoGeneration):
		say("nothing is published: nobody is served a list or a view of their own before a run publishes")
	case err != nil:
		return fmt.Errorf("read what is served to a person: %w", err)
	}
	for _, k := range w.Previous {
		served := out.Served.List != nil || len(out.Served.Views) > 0
		if served && event.OnlineKey(k.ServingKey(), w.plan.ids.Links().Main(canonical)) == key {
			say("what is served of them stands under key %s: the next run that publishes serves it under %s", k.ID(), current)
		}
	}
	waiting, err := w.waiting(ctx, w.plan.journal)
	for _, e := range waiting {
		if slices.ContainsFunc(e.marks, func(m event.Mark) bool { return slices.Contains(marks, m) }) {
			say("%s", e)
		}
	}
	return err
}

// rowsOf shows f the rows of one subject in a table, batch by batch; of a table without subjects none. It reads the one shard that may hold them.
func (w *work) rowsOf(ctx context.Context, m table.Manifest, s policy.Subject, f func(*table.Batch) error) error {
	column := subjectColumn(m.Schema)
	if column == "" || m.Rows == 0 {
		return nil
	}
	at := m.Schema.Index(column)
	o := table.ReadOptions{}
	if m.Shards > 1 {
		o.Shards = []int{table.ShardOf(uint64(s), m.Shards)}
	}
	for b, err := range table.Read(ctx, w.Bucket, m, o) {
		if err != nil {
			return err
		}
		if mine := event.RowsOf(b, at, s); mine.N > 0 {
			if err := f(mine); err != nil {
				return err
			}
		}
	}
	return nil
}

// served reads what the online store holds of a person and serves.
func (r *Runner) served(ctx context.Context, job *Job, key string) (Served, error) {
	out := Served{Views: map[string]online.Features{}}
	now := table.Micros(r.Now())
	nothing := func(err error) bool {
		return errors.Is(err, online.ErrNotFound) || errors.Is(err, online.ErrDenied) || errors.Is(err, online.ErrNoGeneration)
	}
	e, p, err := r.Online.Get(ctx, online.ListKey(key), now)
	if err == nil {
		l, err := online.DecodeList(e)
		if err != nil {
			return out, err
		}
		out.List = &l
	} else if !nothing(err) {
		return out, fmt.Errorf("read what is served to a person: %w", err)
	}
	out.Generation = p.Generation
	for _, v := range job.Published {
		f, _, err := online.LookupFeatures(ctx, r.Online, v.Name, key, now)
		if err == nil {
			out.Views[v.Name] = f
		} else if !nothing(err) {
			return out, fmt.Errorf("read what is served to a person: %w", err)
		}
	}
	return out, nil
}

// exported is one file of rows in an export, and where they come from.
type exported struct {
	name, store  string
	step, output string
	columns      []string
	rows         int64
}

// Export writes all that is held of one person, by canonical id, as a zip: JSON, a Parquet file of each kind of table, and a README in plain words. Only that person's rows
// are in it. It closes what the register holds open of access and portability for them alone. Memory is that of one batch of rows and one row
// group of a file, whatever the person did.
func (r *Runner) Export(ctx context.Context, job *Job, canonical string, to io.Writer) (*Dossier, error) {
	z := zip.NewWriter(to)
	var files []exported
	var rows *table.FileWriter
	finish := func() error {
		if rows == nil {
			return nil
		}
		err := rows.Close()
		rows = nil
		return err
	}
	at := ""
	var schema table.Schema // of the rows of the last file
	d, err := r.dossier(ctx, job, canonical, func(c *table.Commit, output string, b *table.Batch) error {
		if c.Step == "build" && keptForBuilds(output) {
			return nil // the sums from which views are made; the views themselves are here
		}
		if here := c.Step + "/" + output; here != at || !slices.Equal(schema, b.Schema) { // else it goes on in the table of its kind
			if err := finish(); err != nil {
				return err
			}
			at, schema = here, b.Schema
			f := exported{name: fmt.Sprintf("data/%03d-%s.parquet", len(files)+1, strings.ReplaceAll(strings.Join(slices.Compact([]string{c.Step, output}), "-"), "/", "-")), store: storeOf(c.Step, output), step: c.Step, output: output}
			parted := inPart(c, b).Schema
			for _, col := range parted {
				f.columns = append(f.columns, col.Name)
			}
			w, err := z.Create(f.name)
			if err != nil {
				return err
			}
			if rows, err = table.NewFileWriter(w, parted); err != nil {
				return err
			}
			files = append(files, f)
		}
		files[len(files)-1].rows += int64(b.N)
		return rows.Append(inPart(c, b))
	})
	if err == nil {
		err = finish()
	}
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	for _, part := range []struct {
		name string
		v    any
	}{
		{"profile.json", struct {
			Standing
			Erased  *time.Time `json:"last_erasure,omitempty"`
			Pending []string   `json:"pending"`
		}{d.Standing, d.Erased, d.Pending}},
		{"consent.json", d.Consent},
		{"inferred.json", d.Served},
		{"requests.json", d.Requests},
		{"holdings.json", d.Holdings},
	} {
		body, err := json.MarshalIndent(part.v, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("export: %w", err)
		}
		if err := zipFile(z, part.name, append(body, '\n')); err != nil {
			return nil, fmt.Errorf("export: %w", err)
		}
	}
	if err := zipFile(z, "README.txt", []byte(readme(job, d, files, r.Wall()))); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return d, nil
}

// partColumn says in a table of an export of which day or snapshot a row is.
const partColumn = "part_of"

// inPart returns rows with the label of the table that they stand in ahead.
func inPart(c *table.Commit, b *table.Batch) *table.Batch {
	parts := strings.Split(c.Key, "/")
	label := slices.Repeat([]string{parts[min(1, len(parts)-1)]}, b.N)
	return &table.Batch{
		Schema: slices.Insert(slices.Clone(b.Schema), 0, table.Field{Name: partColumn, Type: table.String}),
		Cols:   slices.Insert(slices.Clone(b.Cols), 0, table.Column{Str: label}), N: b.N,
	}
}

// Exported closes what the register holds open of access and portability for one person, when the export is in their hands, or on the way.
func (r *Runner) Exported(ctx context.Context, canonical string) ([]int, error) {
	marks := r.marksOf([]string{canonical}, true)
	var out []int
	for _, kind := range []RequestKind{RequestAccess, RequestPortability} {
		closed, err := r.closeRequests(ctx, kind, marks, OutcomeDone, "exported")
		if err != nil {
			return out, err
		}
		out = append(out, closed...)
	}
	return out, nil
}

func zipFile(z *zip.Writer, name string, body []byte) error {
	w, err := z.Create(name)
	if err != nil {
		return err
	}
	_, err = w.Write(body)
	return err
}

// columnsInWords says what the columns of Rapport's own tables mean.
var columnsInWords = map[string]string{
	partColumn:       "the day, or the number of the state of the data, that the row belongs to",
	event.ColSubject: "your number in this system, made from your id with a secret key",
	event.ColItem:    "the thing it was about", event.ColTime: "when it happened, in UTC", event.ColKind: "what you did", event.ColValue: "how much, as a price or a rating",
	features.EntityColumn: "your number in this system, made from your id with a secret key",
}

// recordsInWords says what the columns of records mean, of consent and of wishes.
var recordsInWords = map[string]string{
	"purpose": "what it is about, of the purposes above", "state": "what you said, or what became of it", "effective_at": "from when it holds, in UTC", "recorded_at": "when it was written down, in UTC",
	"expires_at": "until when it holds, in UTC; none: no end is set", "source": "who says so", "record_id": "a number made from the record's own id",
	"preference": "what you asked of your lists", "value": "how, or of which thing", event.ColTime: "from when, in UTC",
}

// classesInWords says what a retention class holds of somebody.
var classesInWords = map[string]string{
	classEvents: "what you did (events)", classFeatures: "the figures that are made of that (features)", classTraining: "what is known of you beside (training)",
	classModels: "models, which hold no row of anybody", classReports: "reports, which hold figures of groups alone",
}

// means says in plain words what a column of a person's rows holds.
func (j *Job) means(f exported, column string) string {
	words := columnsInWords
	if storeOf(f.step, f.output) == stores["consent"] || storeOf(f.step, f.output) == stores["preferences"] {
		words = recordsInWords
	}
	if says, ok := words[column]; ok {
		return says
	}
	if says, ok := columnsInWords[column]; ok {
		return says
	}
	for _, v := range j.Views {
		for _, x := range v.Features {
			for _, w := range v.Windows {
				if f.step == "build" && f.output == v.Name && features.ColumnName(x.Name, w) == column {
					return fmt.Sprintf("%s, of the last %s (%s)", x.Op.Words().Says, features.FormatWindow(w), x.Definition())
				}
			}
		}
	}
	set, from := f.step, map[string]string{}
	switch {
	case f.step == "build":
		return "a figure of the view " + f.output + ", as another job of this project defines it"
	case f.step == "ingest":
		set, from = "events", j.Events.Columns
	case f.step == "subjects" && j.Subjects != nil:
		from = j.Subjects.Data.Columns
	case f.step == "cohorts" && j.Cohorts != nil:
		from = j.Cohorts.Data.Columns
	}
	says := fmt.Sprintf("what the source of %s says there", set)
	if at := from[column]; at != "" && at != column {
		says = fmt.Sprintf("what the source of %s says under %q", set, at)
	}
	var by []string
	for _, p := range j.purposes() {
		if p.Allows(set, column) {
			by = append(by, p.Name)
		}
	}
	if len(by) > 0 {
		says += ", read for " + strings.Join(by, " and ")
	}
	return says
}

// readme says in plain words what an export holds.
func readme(job *Job, d *Dossier, files []exported, now time.Time) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("What %s holds about you, as of %s.\n", job.Project, now.UTC().Format("2006-01-02 15:04 UTC"))
	if d.Profiled {
		say("Your data are used to choose what is recommended to you.")
	} else {
		say("Your data are not used to choose what is recommended to you: %s.", d.Why)
	}
	say("You may ask for a correction, for an end of this use, and to be forgotten.\n")
	say("WHAT FOR, AND FOR HOW LONG\n")
	for _, p := range job.purposes() {
		says := p.Says
		if says == "" {
			says = "no words are given"
		}
		say("%s: %s (on the ground of: %s)", p.Name, says, p.Basis)
		for _, t := range p.Terms {
			say("  elsewhere called %s", t)
		}
		for _, set := range slices.Sorted(maps.Keys(p.Reads)) {
			say("  reads of %s: %s", set, strings.Join(slices.Sorted(slices.Values(p.Reads[set])), ", "))
		}
		for _, class := range policy.Classes {
			if keep, ok := p.Keep[class]; ok {
				say("  keeps %s for %.0f days", classesInWords[class], keep.Hours()/24)
			} else {
				say("  sets no end to how long it keeps %s", classesInWords[class])
			}
		}
	}
	say("\nTHE FILES\n")
	say("profile.json   whether you may be profiled and why, what you asked of your lists, and what of all this is still under way")
	say("consent.json   each record of what you agreed or objected to, and where it came from")
	say("inferred.json  what the system worked out about you and serves now: your list, with its reasons, scores and the version of the model")
	say("               that made it, and the figures of you that are kept beside it")
	say("requests.json  what you asked for, when it is due, and how it ended")
	say("holdings.json  how many rows are held about you, by kind, and from when to when")
	for _, f := range files {
		say("%s: %d rows (%s)", f.name, f.rows, f.store)
		for _, c := range f.columns {
			say("  %-16s %s", c, job.means(f, c))
		}
	}
	say("\nFiles that end in .parquet are tables that most programs for data open. Running sums from which the figures are made are counted in")
	say("holdings.json and are not here: they hold nothing that the rows do not. Models hold no row of anybody. Raw files of the sources that were read")
	say("belong to those who deliver them, and are not part of this.")
	return b.String()
}
