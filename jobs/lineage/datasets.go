package lineage

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	rawevent "github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage/table"
)

// place splits a URL into the namespace and the name of a dataset, as OpenLineage names them: s3://bucket and the key, file and the path, and
// for other stores scheme://host and the rest. Credentials in a URL are left out.
func place(raw, below string) (namespace, name string) {
	scheme, rest, _ := strings.Cut(raw, ":")
	join := func(a, b string) string {
		if a = strings.TrimSuffix(a, "/"); a == "" || b == "" {
			return a + b
		}
		return a + "/" + b
	}
	switch scheme {
	case "file", "embedded":
		return "file", join(strings.TrimPrefix(rest, "//"), below)
	}
	rest = strings.TrimPrefix(rest, "//")
	host, path, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	path, _, _ = strings.Cut(path, "?")
	return scheme + "://" + host, join(path, below)
}

// source is the raw data set that a URL of the project names: its pattern stands for all its files.
func (e *Emitter) source(raw string) dataset {
	if u, err := url.PathUnescape(e.Resolve(raw)); err == nil {
		raw = u
	}
	ns, name := place(raw, "")
	return dataset{Namespace: ns, Name: name}
}

// sources are the raw data sets of a job, the events first. With ended, they have what was expected of them and whether it was so, and the events
// what the run's ingest read of them.
func (e *Emitter) sources(job *jobs.Job, run ledger.Run, ended bool) []dataset {
	out := []dataset{}
	sets := setsOf(job)
	for i, raw := range job.Raw {
		d := e.source(raw)
		if ended {
			d.InputFacets = facets{}
			if i == 0 {
				eventFacets(run, d.InputFacets)
			}
			if i < len(sets) {
				if said := assertions(job, run, sets[i]); len(said) > 0 {
					d.InputFacets["dataQualityAssertions"] = facet("DataQualityAssertionsDatasetFacet", map[string]any{"assertions": said})
				}
			}
			if len(d.InputFacets) == 0 {
				d.InputFacets = nil
			}
		}
		out = append(out, d)
	}
	return out
}

// setsOf names the data sets that a job's URLs are of.
func setsOf(job *jobs.Job) []string {
	out := []string{"events"}
	for _, s := range []struct {
		name     string
		declared bool
	}{{"items", job.Items != nil}, {"subjects", job.Subjects != nil}, {"cohorts", job.Cohorts != nil}, {"consent", job.Consent != nil && job.Consent.Path != ""}, {"preferences", job.Preferences != nil}} {
		if s.declared {
			out = append(out, s.name)
		}
	}
	return out
}

func eventFacets(run ledger.Run, out facets) {
	var rows, size int64
	days := 0
	for _, s := range run.Steps {
		if s.Name == "ingest" && s.Status == "done" {
			days, rows, size = days+1, rows+s.RowsIn, size+s.BytesRead
		}
	}
	if days > 0 {
		out["inputStatistics"] = facet("InputStatisticsInputDatasetFacet", map[string]any{"rowCount": rows, "size": size})
	}
}

// assertion is one entry of a dataQualityAssertions facet.
type assertion struct {
	Assertion string `json:"assertion"`
	Success   bool   `json:"success"`
	Column    string `json:"column,omitempty"`
}

// assertions say of a data set what the run found of what was expected. What could not be told is left out: it has neither passed nor failed.
func assertions(job *jobs.Job, run ledger.Run, set string) []assertion {
	var out []assertion
	if set == "events" {
		if empty := run.Fault == "no_data"; empty || len(run.Verdicts) > 0 || run.Status == ledger.Succeeded {
			out = append(out, assertion{Assertion: "not_empty", Success: !empty})
		}
	}
	for _, v := range run.Verdicts {
		if v.Set != set || v.Outcome == expect.Unknown {
			continue
		}
		var name string
		bound := 0.0
		if v.Bound != nil {
			bound = *v.Bound
		}
		switch v.Expectation {
		case "volume.least":
			name = fmt.Sprintf("volume_at_least_%g_of_the_trailing_median", bound)
		case "volume.most":
			name = fmt.Sprintf("volume_at_most_%g_of_the_trailing_median", bound)
		case "fresh":
			name = fmt.Sprintf("newest_within_%g_seconds", bound)
		case "schema":
			if name = "has_declared_columns"; v.Column != "" {
				name = "has_column"
			}
		case expect.CoarsenedAs:
			name = fmt.Sprintf("other_at_most_%g", bound)
		default:
			name = fmt.Sprintf("%s_at_most_%g", v.Expectation, bound)
		}
		out = append(out, assertion{name, v.Outcome == expect.Passed, rawColumn(job, set, v.Column)})
	}
	return out
}

// rawColumn is what the files of a data set call a column.
func rawColumn(job *jobs.Job, set, name string) string {
	columns := map[string]string{}
	switch {
	case set == "events" && name == rawevent.ColValue:
		return job.Events.Value
	case set == "events" && name == rawevent.ColKind:
		return job.Events.Kind
	case set == "events":
		columns = job.Events.Columns
	case set == "items" && job.Items != nil:
		columns = job.Items.Data.Columns
	case set == "subjects" && job.Subjects != nil:
		columns = job.Subjects.Data.Columns
	case set == "cohorts" && job.Cohorts != nil:
		columns = job.Cohorts.Data.Columns
	case set == "consent" && job.Consent != nil:
		columns = job.Consent.Columns
	case set == "preferences" && job.Preferences != nil:
		columns = job.Preferences.Columns
	}
	if c, ok := columns[name]; ok {
		return c
	}
	return name
}

// maxCommits bounds how many done objects are read for one event: of a first night with half a year of days, the last ones.
const maxCommits = 40

// tables are the datasets of a run's steps: those it made, and those it found done. What a done object says of rows and columns is added.
func (e *Emitter) tables(ctx context.Context, job *jobs.Job, run ledger.Run) (made, found []dataset, err error) {
	store := table.Store{Bucket: e.Bucket}
	at := map[string]int{} // in made
	seen := map[string]bool{}
	read := 0
	for _, s := range slices.Backward(run.Steps) {
		switch s.Status {
		case "skipped":
			if seen[s.Name] {
				continue // one day of many is as good as another: its table has the same name
			}
		case "done":
		default:
			continue
		}
		if read++; read > maxCommits {
			break
		}
		c, _, lookup := store.Lookup(ctx, s.Key)
		if lookup != nil {
			err = lookup
			continue
		}
		for _, name := range sortedNames(c.Outputs) {
			if strings.HasPrefix(name, "state.") || strings.HasPrefix(name, "tile.") {
				continue // what a build keeps for later ones is no data set
			}
			m := c.Outputs[name]
			d := e.stored("data/" + s.Name + "/" + name)
			if s.Status == "skipped" {
				seen[s.Name] = true
				if !seen[d.id()] {
					seen[d.id()] = true
					found = append(found, d)
				}
				continue
			}
			if i, ok := at[d.id()]; ok {
				addStatistics(made[i], m)
				continue
			}
			at[d.id()], seen[s.Name] = len(made), true
			d.Facets = facets{
				"schema":  facet("SchemaDatasetFacet", map[string]any{"fields": m.Schema}),
				"version": facet("DatasetVersionDatasetFacet", map[string]any{"datasetVersion": string(m.Digest)}),
			}
			if f := e.columns(job, s.Name, m.Schema); f != nil {
				d.Facets["columnLineage"] = f
			}
			d.OutputFacets = facets{"outputStatistics": facet("OutputStatisticsOutputDatasetFacet", map[string]any{"rowCount": int64(0), "size": int64(0), "fileCount": int64(0)})}
			addStatistics(d, m)
			made = append(made, d)
		}
	}
	found = slices.DeleteFunc(found, func(d dataset) bool { _, ok := at[d.id()]; return ok })
	return made, found, err
}

func sortedNames(m map[string]table.Manifest) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func addStatistics(d dataset, m table.Manifest) {
	s := d.OutputFacets["outputStatistics"]
	s["rowCount"] = s["rowCount"].(int64) + m.Rows
	for _, p := range m.Parts {
		s["size"], s["fileCount"] = s["size"].(int64)+p.Size, s["fileCount"].(int64)+1
	}
}

// stored is a dataset in the project's bucket.
func (e *Emitter) stored(key string) dataset {
	ns, name := place(e.Storage, key)
	return dataset{Namespace: ns, Name: name}
}

// inputField names a raw column that a table's column is made of.
type inputField struct {
	Namespace       string           `json:"namespace"`
	Name            string           `json:"name"`
	Field           string           `json:"field"`
	Transformations []transformation `json:"transformations"`
}

type transformation struct {
	Type        string `json:"type"`
	Subtype     string `json:"subtype"`
	Description string `json:"description"`
	Masking     bool   `json:"masking"` // the value can't be read from what it became
}

// columns says which declared raw column feeds which column of a table that was made of raw data: names only. nil: the table was not.
func (e *Emitter) columns(job *jobs.Job, step string, schema table.Schema) map[string]any {
	var raw map[string]string // column of the table → column of the files
	var at string
	attributes := map[string]*jobs.AttributeSource{"items": job.Items, "subjects": job.Subjects, "cohorts": job.Cohorts}
	switch {
	case step == "ingest" && len(job.Raw) > 0:
		ev := job.Events
		raw, at = map[string]string{
			rawevent.ColSubject: ev.Subject, rawevent.ColItem: ev.Item, rawevent.ColTime: ev.Time, rawevent.ColKind: ev.Kind, rawevent.ColValue: ev.Value,
		}, job.Raw[0]
		for name, column := range ev.Columns {
			raw[name] = column
		}
	case attributes[step] != nil:
		src := attributes[step]
		at = rawOf(job, src)
		raw = map[string]string{}
		for _, f := range schema {
			if raw[f.Name] = src.Data.Columns[f.Name]; raw[f.Name] == "" {
				raw[f.Name] = f.Name
			}
		}
	default:
		return nil
	}
	from := e.source(at)
	fields := map[string]any{}
	for _, f := range schema {
		if column := raw[f.Name]; column != "" {
			fields[f.Name] = map[string]any{"inputFields": []inputField{{from.Namespace, from.Name, column, []transformation{how(job, step, f.Name)}}}}
		}
	}
	return facet("ColumnLineageDatasetFacet", map[string]any{"fields": fields})
}

// how says what becomes of a raw column.
func how(job *jobs.Job, step, column string) transformation {
	switch {
	case column == rawevent.ColSubject:
		return transformation{"DIRECT", "TRANSFORMATION", "replaced by a number, which a keyed hash leads to", true}
	case column == rawevent.ColTime && step == "ingest":
		return transformation{"DIRECT", "TRANSFORMATION", "read as an instant, in UTC", false}
	case column == rawevent.ColKind && job.Events.Kinds != nil && step == "ingest":
		return transformation{"DIRECT", "TRANSFORMATION", "mapped to the kinds of the project", false}
	}
	return transformation{"DIRECT", "IDENTITY", "", false}
}

// rawOf is the URL under which a job names an attribute source: those stand after the events, in the order items, subjects, cohorts.
func rawOf(job *jobs.Job, src *jobs.AttributeSource) string {
	i := 1
	for _, s := range []*jobs.AttributeSource{job.Items, job.Subjects, job.Cohorts} {
		if s == src && i < len(job.Raw) {
			return job.Raw[i]
		}
		if s != nil {
			i++
		}
	}
	return src.Data.Path
}

// products are what a run made beside tables: the model, its report, and the generation that readers get.
func (e *Emitter) products(job *jobs.Job, run ledger.Run) []dataset {
	var out []dataset
	made := map[string]bool{}
	for _, s := range run.Steps {
		made[s.Name] = made[s.Name] || s.Status == "done"
	}
	version := func(d dataset, v string) dataset {
		d.Facets = facets{"version": facet("DatasetVersionDatasetFacet", map[string]any{"datasetVersion": v})}
		return d
	}
	var m jobs.ModelRef
	if made["train"] && json.Unmarshal(run.Model, &m) == nil && m.Digest != "" {
		out = append(out, version(e.stored("models/"+m.Name), fmt.Sprintf("%d %s", m.Version, m.Digest)))
	}
	if (made["evaluate"] || made["refuse"]) && run.Report != "" {
		out = append(out, version(e.stored("reports/"+job.Name), run.Report))
	}
	var p jobs.Published
	if made["load"] && json.Unmarshal(run.Publish, &p) == nil && p.Generation > 0 {
		ns, name := place(e.Online, job.Alias)
		d := version(dataset{Namespace: ns, Name: name}, fmt.Sprint(p.Generation))
		d.OutputFacets = facets{"outputStatistics": facet("OutputStatisticsOutputDatasetFacet", map[string]any{"rowCount": p.Entities})}
		out = append(out, d)
	}
	return out
}
