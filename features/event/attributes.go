package event

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage/table"
)

// AttributesPlan says which attributes to read, of items or of subjects.
type AttributesPlan struct {
	Data DataSet
	Set  string // the data set's name in a purpose's reads: "items", "subjects", "cohorts"
	// Key is the name of the key column. A key that is ColSubject is pseudonymized, and the plan needs Decisions, Identities and
	// Suppressions; any other is an item and stays as it is.
	Key     string
	Columns []string // attribute names; the purpose must read them
	Numeric []string // those that hold numbers; the others are read as text, times as table.Want.TimeText has them
	Purpose policy.Purpose
	Coarse  Coarsenings // rules for attributes. What Data.Expect says is of values as the files have them

	Decisions    *policy.Decisions // for Purpose
	End          time.Time         // subjects count whose basis began before it, and holds now; zero: that holds now
	Identities   *Identities
	Suppressions *Suppressions
}

// Attributes is one row a key, ascending (items as text, subjects as unsigned numbers).
type Attributes struct {
	Batch       table.Batch // schema: the key (ColItem String, or ColSubject Int64), then the columns in the order of the plan
	Fingerprint string
	Facts       AttributesFacts
}

// AttributesFacts count the rows of a data set.
type AttributesFacts struct {
	Rows       int64         `json:"rows"`
	Kept       int64         `json:"kept"`
	Duplicates int64         `json:"duplicates"` // rows that a later row of the same key replaced
	Funnel     policy.Funnel `json:"funnel"`     // of rows before duplicates are dropped
	// Quality is of the rows that the funnel keeps, or leaves out as bad; of a set of which nothing is expected, only where rows were quarantined
	// for what they hold, and what rules did to its values.
	Quality expect.Counts `json:"quality,omitzero"`

	// Ambiguous counts, of cohorts, the subjects for whom one file says two things in a column.
	Ambiguous map[string]int64 `json:"ambiguous,omitempty"`

	Places []expect.Place `json:"-"` // of quarantined rows, the first of them
}

// ReadAttributes reads attributes, one row a key: of rows with the same key the last one (files in key order) is taken; of a person with several ids the last one under
// the id that they are known by, if there is one. A subject's
// attributes are kept only if the purpose may use the subject now, and might before p.End. Rows without a key, and those that break a rule of
// p.Data.Expect, are quarantined, and no earlier row of the key is replaced by them. New subjects are buffered in Identities. It holds the table in memory.
func ReadAttributes(ctx context.Context, p AttributesPlan) (*Attributes, error) {
	fail := func(err error) (*Attributes, error) { return nil, fmt.Errorf("read %s: %w", p.Set, err) }
	for _, c := range p.Columns {
		if !p.Purpose.Allows(p.Set, c) {
			return fail(fmt.Errorf("purpose %q does not read %s.%s: add it to its reads, or leave the column out", p.Purpose.Name, p.Set, c))
		}
	}
	bySubject := p.Key == ColSubject
	if bySubject && (p.Decisions == nil || p.Identities == nil || p.Decisions.Purpose().Name != p.Purpose.Name) {
		return fail(fmt.Errorf("attributes of subjects need the identity table and the decisions for purpose %q", p.Purpose.Name))
	}
	objs, err := p.Data.list(ctx)
	if err != nil {
		return fail(err)
	}
	out := &Attributes{Fingerprint: Fingerprint(objs), Facts: AttributesFacts{Funnel: policy.Funnel{}}}
	wants := []table.Want{{Name: p.Data.column(p.Key), Type: table.String}}
	key := table.Field{Name: ColItem, Type: table.String}
	if bySubject {
		key = table.Field{Name: ColSubject, Type: table.Int64}
	}
	out.Batch.Schema = table.Schema{key}
	for _, c := range p.Columns {
		t := table.String
		if slices.Contains(p.Numeric, c) {
			t = table.Float64
		}
		wants = append(wants, table.Want{Name: p.Data.column(c), Type: t, Optional: true, TimeText: true})
		out.Batch.Schema = append(out.Batch.Schema, table.Field{Name: c, Type: t})
	}

	var a *admitter
	var last int64 // the µs before the end
	if bySubject {
		a = newAdmitter(p.Decisions, p.Identities, p.Suppressions, math.MinInt64)
		last = p.Decisions.Now().UnixMicro() - 1
		if !p.End.IsZero() {
			last = min(last, p.End.UnixMicro()-1)
		}
	}
	byItem, byNumber := map[string]*attributeRow{}, map[policy.Subject]*attributeRow{}
	coarse := p.Coarse.rules(out.Batch.Schema[1:])
	did := make([]expect.Coarse, len(coarse))
	checker := expect.NewChecker(out.Batch.Schema[1:], rulesOf(p.Data.Expect))
	var places expect.Places
	bad := func(r dataRow, column string, why expect.Reason) {
		out.Facts.Funnel.Add(policy.BadRow, 1)
		out.Facts.Quality.AddBad(column, why, 1)
		places.Add(expect.Place{File: r.file, Group: r.group, Row: r.row, Column: column, Reason: why})
	}
	keyAt := itemAt
	if bySubject {
		keyAt = idAt
	}
	for r, err := range p.Data.scan(ctx, objs, wants, &out.Facts.Quality) {
		if err != nil {
			return fail(err)
		}
		out.Facts.Rows++
		id, ok := keyAt(&r.b.Cols[0], r.i)
		if !ok {
			bad(r, p.Key, expect.NoID)
			continue
		}
		row := &attributeRow{item: id, file: r.file}
		var who *admission
		if bySubject {
			who, row.other = a.of(id), p.Identities.Links().Main(id) != id
			if why := a.judge(who, last); why != policy.Kept {
				out.Facts.Funnel.Add(why, 1)
				continue
			}
		}
		if err := row.fill(r, out.Batch.Schema); err != nil {
			return fail(err)
		}
		if column, why := checker.Values(row.text, row.number); why != "" {
			bad(r, column, why)
			continue
		}
		row.coarsen(coarse, out.Batch.Schema[1:], did)
		out.Facts.Funnel.Add(policy.Kept, 1)
		var old *attributeRow
		if bySubject {
			s, err := a.number(who)
			if err != nil {
				return fail(err)
			}
			row.item, row.subject = "", s
			if old = byNumber[s]; old == nil || old.other || !row.other {
				byNumber[s] = row
				out.Facts.unsay(old, row, p.Columns)
			}
		} else {
			old, byItem[id] = byItem[id], row
		}
		if old != nil {
			out.Facts.Duplicates++
			if p.Set == "cohorts" && old.file == row.file && old.other == row.other {
				out.Facts.differ(old, row, p.Columns)
			}
		}
	}
	var sorted []*attributeRow
	for _, r := range byItem {
		sorted = append(sorted, r)
	}
	for _, r := range byNumber {
		sorted = append(sorted, r)
	}
	slices.SortFunc(sorted, func(a, b *attributeRow) int {
		return cmp.Or(cmp.Compare(a.subject, b.subject), cmp.Compare(a.item, b.item))
	})
	out.Batch = attributeBatch(out.Batch.Schema, sorted)
	out.Facts.Kept = int64(len(sorted))
	for i, f := range out.Batch.Schema[1:] {
		var nulls int64
		for _, ok := range out.Batch.Cols[i+1].Valid {
			if !ok {
				nulls++
			}
		}
		out.Facts.Quality.AddNulls(f.Name, nulls)
	}
	addCoarse(&out.Facts.Quality, out.Batch.Schema[1:], did)
	addCoarse(&out.Facts.Quality, out.Batch.Schema, bySize(append([]*Coarsening{nil}, coarse...), []*table.Batch{&out.Batch}))
	out.Facts.Quality.Kept = out.Facts.Kept
	out.Facts.Quality, out.Facts.Places = out.Facts.Quality.Result(), places.Result()
	if q := out.Facts.Quality; p.Data.Expect.Empty() && q.Quarantined() == q.QuarantinedFor(p.Key) {
		out.Facts.Quality, out.Facts.Places = expect.Counts{Coarse: q.Coarse}, nil
	}
	return out, nil
}

// rulesOf are the rules of a set that expects something.
func rulesOf(s expect.Set) map[string]expect.Rule {
	if k := s.Keeps(); k != nil {
		return k.Rules
	}
	return nil
}

// attributeRow is one row: text and number of each attribute, the one of its type set, "" and NaN for null.
type attributeRow struct {
	subject policy.Subject
	item    string
	file    string
	other   bool // it is under another id of the person than the one they are known by
	text    []string
	number  []float64
	told    []bool // by column: counted as ambiguous already
}

// differ counts the columns in which two rows of one subject, in one file, say two things.
func (f *AttributesFacts) differ(old, row *attributeRow, columns []string) {
	row.told = old.told
	for c, name := range columns {
		same := old.text[c] == row.text[c] && (old.number[c] == row.number[c] || math.IsNaN(old.number[c]) && math.IsNaN(row.number[c]))
		if same || row.told != nil && row.told[c] {
			continue
		}
		if row.told == nil {
			row.told = make([]bool, len(columns))
		}
		row.told[c] = true
		if f.Ambiguous == nil {
			f.Ambiguous = map[string]int64{}
		}
		f.Ambiguous[name]++
	}
}

// unsay takes back what rows under other ids of a person said two things in, once there is one under the id that they are known by.
func (f *AttributesFacts) unsay(old, row *attributeRow, columns []string) {
	if old == nil || !old.other || row.other {
		return
	}
	for c, told := range old.told {
		if name := columns[c]; told {
			if f.Ambiguous[name]--; f.Ambiguous[name] == 0 {
				delete(f.Ambiguous, name)
			}
		}
	}
}

// fill takes the attributes of a raw row.
func (a *attributeRow) fill(r dataRow, s table.Schema) error {
	a.text, a.number = make([]string, len(s)-1), make([]float64, len(s)-1)
	for j, f := range s[1:] {
		c := &r.b.Cols[j+1]
		switch {
		case f.Type == table.String:
			a.text[j] = r.text(j + 1)
		case c.Null(r.i):
			a.number[j] = math.NaN()
		case c.Float != nil:
			a.number[j] = c.Float[r.i]
		default: // a text file
			v, err := strconv.ParseFloat(r.text(j+1), 64)
			if err != nil {
				return fmt.Errorf("%s: %w: %q is no number", r.at(), table.ErrColumn, r.b.Schema[j+1].Name)
			}
			a.number[j] = v
		}
	}
	return nil
}

// coarsen makes the attributes coarser that have a rule, and counts what each did.
func (a *attributeRow) coarsen(rules []*Coarsening, s table.Schema, did []expect.Coarse) {
	for j, rule := range rules {
		switch {
		case rule == nil:
		case s[j].Type == table.String && a.text[j] != "":
			a.text[j] = rule.counted(a.text[j], &did[j])
		case s[j].Type == table.Float64 && !math.IsNaN(a.number[j]):
			a.number[j] = rule.number(a.number[j])
			did[j].Rows++
		}
	}
}

func attributeBatch(s table.Schema, sorted []*attributeRow) table.Batch {
	b := table.Batch{Schema: s, N: len(sorted), Cols: make([]table.Column, len(s))}
	for _, r := range sorted {
		if s[0].Type == table.Int64 {
			b.Cols[0].Int = append(b.Cols[0].Int, int64(r.subject))
		} else {
			b.Cols[0].Str = append(b.Cols[0].Str, r.item)
		}
		for j, f := range s[1:] {
			c := &b.Cols[j+1]
			if f.Type == table.String {
				c.Str, c.Valid = append(c.Str, r.text[j]), append(c.Valid, r.text[j] != "")
				continue
			}
			v, ok := r.number[j], !math.IsNaN(r.number[j])
			if !ok {
				v = 0
			}
			c.Float, c.Valid = append(c.Float, v), append(c.Valid, ok)
		}
	}
	return b
}
