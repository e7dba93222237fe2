package inspect

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Export is what the files of an export look like. It holds no value of any column but times, numbers and kinds of events.
type Export struct {
	Path    string    `json:"path"` // as a project file has it
	Files   int       `json:"files"`
	Bytes   int64     `json:"bytes"`
	Dated   bool      `json:"date_in_path"`
	Success bool      `json:"success_markers"` // _SUCCESS objects stand beside files
	Looked  []string  `json:"looked_at"`       // keys of the files that were looked at
	Rows    int64     `json:"rows"`            // in them
	Sample  int64     `json:"sample_rows"`     // of them, of which all that follows is said
	First   time.Time `json:"first,omitzero"`  // event in these files
	Last    time.Time `json:"last,omitzero"`
	Columns []Column  `json:"columns"`
	Kinds   []Kind    `json:"kinds,omitempty"`
	Events  Mapping   `json:"events"` // what the columns were taken for
	Notes   []string  `json:"notes,omitempty"`
}

// Column is one leaf column.
type Column struct {
	Name      string  `json:"name"` // as a project file has it: "items[].sku"
	Type      string  `json:"type"` // as the files have it
	List      string  `json:"list,omitempty"`
	Files     int     `json:"files"`      // of those looked at that have it
	Nulls     float64 `json:"null_share"` // empty text counts
	Distinct  int64   `json:"distinct"`   // in the sample, as an estimate
	Min       string  `json:"min,omitempty"`
	Max       string  `json:"max,omitempty"`
	Role      string  `json:"role,omitempty"`
	Why       string  `json:"why,omitempty"` // of the role
	Suspected string  `json:"suspected,omitempty"`
	// Tells is what it may tell of a person, and what is proposed to be done with it.
	Tells   *Category `json:"tells,omitempty"`
	Time    string    `json:"time,omitempty"` // how times are written, of a column that holds some
	Problem string    `json:"problem,omitempty"`
}

// Kind is one kind of event.
type Kind struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"` // in the sample
}

// Mapping is what a project file says of events.
type Mapping struct {
	Subject string            `json:"subject,omitempty"`
	Item    string            `json:"item,omitempty"`
	At      string            `json:"at,omitempty"`
	Kind    string            `json:"kind,omitempty"`
	Value   string            `json:"value,omitempty"`
	Explode string            `json:"explode,omitempty"`
	Columns map[string]string `json:"columns,omitempty"`
	Kinds   map[string]string `json:"kinds,omitempty"`

	TimeUnit   string `json:"time_unit,omitempty"`
	TimeFormat string `json:"time_format,omitempty"`
	Zone       string `json:"zone,omitempty"`
	LocalTimes bool   `json:"local_times"` // which need a zone

	// Candidates are the formats that all times have, if there are several of different meaning: then TimeFormat is none of them.
	Candidates []string `json:"time_format_candidates,omitempty"`
}

// Hints are what somebody who knows says: columns and forms that are not guessed then.
type Hints struct {
	Subject, Item, At, Kind, Value, Explode string
	Zone, TimeFormat                        string
}

// sampleRows is how many rows of a file are looked at.
const sampleRows = 50_000

// small is the count under which rows are not told apart.
const small = 11

// Look looks at the export at a URL: a Parquet file, a folder or a pattern.
func Look(ctx context.Context, url string, o storage.Options, h Hints) (*Export, error) {
	s, err := find(ctx, url, o)
	if err != nil {
		return nil, err
	}
	files, err := s.few()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	e := &Export{Path: s.url(), Files: len(s.files), Bytes: s.bytes, Dated: s.dated, Success: s.success}
	all := &profiles{byName: map[string]*profile{}}
	for _, f := range files {
		e.Looked = append(e.Looked, f.Key)
		if err := all.look(ctx, s.bucket, f, e); err != nil {
			return nil, err
		}
	}
	if err := e.guess(all, h); err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := e.span(ctx, s.bucket, f); err != nil {
			return nil, err
		}
	}
	if e.Success {
		e.Notes = append(e.Notes, "_SUCCESS stands beside files: with settle, a night waits for that of its day")
	}
	return e, nil
}

// profiles are the columns of all files looked at, in the order in which they were met.
type profiles struct {
	order  []string
	byName map[string]*profile
}

func (a *profiles) of(c table.FileColumn) *profile {
	p, ok := a.byName[c.Name]
	if !ok {
		p = newProfile(c)
		a.byName[c.Name] = p
		a.order = append(a.order, c.Name)
	}
	return p
}

// look takes in the first row group of a file: the columns outside lists in one scan, those of each list in one more.
func (a *profiles) look(ctx context.Context, b storage.Bucket, f storage.Info, e *Export) error {
	st, err := table.Stat(ctx, b, f, table.ScanOptions{})
	if err != nil {
		return err
	}
	e.Rows += st.Rows
	groups := map[string][]string{} // list, "" for none → its columns
	var lists []string
	for _, c := range st.Columns {
		p := a.of(c)
		p.files++
		switch {
		case c.Type == 0 && c.Repeated && c.List == "":
			p.problem = "in a map, which rapport does not read"
		case c.Type == 0 && c.Repeated:
			p.problem = "in a list of lists, which rapport does not read"
		case c.Type == 0:
			p.problem = "of a type that rapport does not read"
		default:
			if _, ok := groups[c.List]; !ok {
				lists = append(lists, c.List)
			}
			groups[c.List] = append(groups[c.List], c.Name)
		}
	}
	sampled := int64(0)
	for _, list := range lists {
		n, err := a.scan(ctx, b, f, list, groups[list])
		if errors.Is(err, table.ErrColumn) { // one of them holds what no column of its type should: each by itself
			n, err = 0, nil
			for _, name := range groups[list] {
				k, err := a.scan(ctx, b, f, list, []string{name})
				if errors.Is(err, table.ErrColumn) {
					a.byName[name].problem = "holds bytes that are not text, or numbers over 2⁶³−1"
					continue
				}
				if err != nil {
					return err
				}
				n = max(n, k)
			}
		}
		if err != nil {
			return err
		}
		if list == "" {
			sampled = n
		}
	}
	e.Sample += sampled
	return nil
}

// scan takes in some columns, of one list or of none, and returns how many rows it has seen.
func (a *profiles) scan(ctx context.Context, b storage.Bucket, f storage.Info, list string, names []string) (int64, error) {
	o := table.ScanOptions{Explode: list, Local: time.UTC, Groups: 1}
	for _, name := range names {
		o.Columns = append(o.Columns, table.Want{Name: name})
	}
	var n int64
	for batch, err := range table.Scan(ctx, b, f, o) {
		if err != nil {
			return n, err
		}
		for i, c := range batch.Schema {
			a.byName[c.Name].add(&batch.Cols[i], c.Type, batch.N)
		}
		if n += int64(batch.N); n >= sampleRows {
			break
		}
	}
	return n, nil
}

// span reads the time column of a file, if one has been found that can be read without asking anybody, and widens First and Last.
func (e *Export) span(ctx context.Context, b storage.Bucket, f storage.Info) error {
	if e.Events.At == "" || len(e.Events.Candidates) > 0 {
		return nil
	}
	zone := time.UTC
	if e.Events.Zone != "" {
		loc, err := time.LoadLocation(e.Events.Zone)
		if err != nil {
			return fmt.Errorf("unknown time zone %q: want a name, as Europe/Berlin", e.Events.Zone)
		}
		zone = loc
	}
	o := table.ScanOptions{Columns: []table.Want{{Name: e.Events.At, Type: table.Time, Optional: true}}, Local: zone, TimeFormat: e.Events.TimeFormat}
	for _, u := range allUnits {
		if u.name == e.Events.TimeUnit {
			o.Unit = u.step
		}
	}
	if e.Events.Explode != "" && strings.HasPrefix(e.Events.At, e.Events.Explode+"[]") {
		o.Explode = e.Events.Explode
	}
	for batch, err := range table.Scan(ctx, b, f, o) {
		if errors.Is(err, table.ErrColumn) { // times of another form further down: validate and the run say where
			e.Notes = append(e.Notes, "not all times of "+f.Key+" can be read as "+e.Events.At+" of the sample can: "+err.Error())
			return nil
		}
		if err != nil {
			return err
		}
		for i := range batch.N {
			if batch.Cols[0].Null(i) {
				continue
			}
			t := time.UnixMicro(batch.Cols[0].Int[i]).UTC()
			if e.First.IsZero() || t.Before(e.First) {
				e.First = t
			}
			if t.After(e.Last) {
				e.Last = t
			}
		}
	}
	return nil
}

// plainKind is what the name of a kind looks like: not an id, an address or a sentence.
var plainKind = regexp.MustCompile(`^\p{L}[\p{L}\p{N} _./:-]{0,47}$`)

var longNumber = regexp.MustCompile(`\d{5}`)

// kindsOf lists the kinds of a column by their rows, those with few rows left out; ok is false if what stands there is no list of kinds.
func kindsOf(p *profile) (out []Kind, fewer int, ok bool) {
	if len(p.counts) == 0 {
		return nil, 0, false
	}
	for name, n := range p.counts {
		if !plainKind.MatchString(name) || longNumber.MatchString(name) || uuidText.MatchString(name) {
			return nil, 0, false
		}
		if n < small {
			fewer++
			continue
		}
		out = append(out, Kind{name, n})
	}
	slices.SortFunc(out, func(a, b Kind) int {
		if a.Rows != b.Rows {
			return int(b.Rows - a.Rows)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out, fewer, true
}
