package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rapport-ml/rapport/configs"
)

// attributes are a file with one row an item or a subject, in memory.
type attributes struct {
	set      string // items, subjects or cohorts
	file     string
	key      string // column in the file
	keyName  string // and in the project
	ids      []string
	at       map[string]int // id → line
	columns  []*attribute
	dropped  []string // columns that are not taken over: they tell people apart
	warnings []string
}

// attribute is a column.
type attribute struct {
	name    string // in the project
	column  string // in the file
	text    []string
	number  []float64 // of a column of numbers
	levels  int       // distinct values
	useful  bool      // few enough levels, or numbers
	numeric bool
}

const (
	maxLevels   = 50 // of a category that is worth learning from, or a third of the rows, but not next to as many as there are rows
	maxCohorts  = 12 // groups that can be told apart in a report
	maxTraits   = 50 // distinct values of a column about people; more tell them apart
	columnLimit = 200
)

// telling are parts of column names that name a person. Such columns are never copied.
var telling = []string{"mail", "phone", "first_name", "last_name", "firstname", "lastname", "surname", "full_name", "fullname", "address", "street", "birth", "passport", "iban", "ssn", "ip_addr", "username", "user_name", "nickname", "password", "mobile"}

func readAttributes(ctx context.Context, set string, t Table, f Format) (_ *attributes, err error) {
	in, err := openRecords(t.File, f)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	flag := "--" + set
	at, err := in.column(flag, t.Key)
	if err != nil {
		return nil, err
	}
	if len(in.header) > columnLimit {
		return nil, in.faultAt(1, "%d columns: at most %d", len(in.header), columnLimit)
	}
	a := &attributes{set: set, file: t.File, key: t.Key, keyName: "subject", at: map[string]int{}}
	if set == "items" {
		a.keyName = "item"
	}
	ids := idColumn{column: t.Key, trim: f.Trim}
	taken := map[string]bool{"item": true, "subject": true}
	var from []int
	for i, h := range in.header {
		if i == at {
			continue
		}
		name := slug(h)
		for n := 2; taken[name]; n++ {
			name = slug(h) + "_" + strconv.Itoa(n)
		}
		taken[name] = true
		if set != "items" && slices.ContainsFunc(telling, func(part string) bool { return strings.Contains(name, part) }) {
			a.dropped = append(a.dropped, h)
			continue
		}
		a.columns, from = append(a.columns, &attribute{name: name, column: h}), append(from, i)
	}
	shared := map[string]string{}
	for row := int64(1); ; row++ {
		fields, err := in.read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if row%8192 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		id, err := ids.read(fields[at], place{in.text.name, in.line, row})
		switch {
		case err != nil:
			return nil, in.fault(t.Key, "%w", err)
		case id == "":
			return nil, in.fault(t.Key, "the row has no id")
		case a.at[id] != 0:
			return nil, in.fault(t.Key, "the row's id stands in line %d already: each must stand once", a.at[id])
		}
		id = strings.Clone(id)
		a.at[id] = in.line
		a.ids = append(a.ids, id)
		for i, c := range a.columns {
			v := strings.TrimSpace(fields[from[i]])
			if !utf8.ValidString(v) {
				return nil, in.fault(c.column, "not UTF-8 text: save the file as UTF-8, or say --encoding windows-1252")
			}
			if missing(v) {
				v = ""
			}
			kept, ok := shared[v]
			if !ok {
				kept = strings.Clone(v)
				shared[kept] = kept
			}
			c.text = append(c.text, kept)
		}
	}
	if len(a.ids) == 0 {
		return nil, in.faultAt(1, "no rows below the header")
	}
	for _, doubt := range ids.doubts() {
		a.warnings = append(a.warnings, t.File+": "+doubt)
	}
	a.classify(f)
	return a, nil
}

// newTable makes an empty table of text.
func newTable(set, key string, columns ...string) *attributes {
	a := &attributes{set: set, key: key, keyName: key, at: map[string]int{}}
	for _, c := range columns {
		a.columns = append(a.columns, &attribute{name: c, column: c})
	}
	return a
}

// add appends a row.
func (a *attributes) add(at place, id string, values ...string) error {
	if line := a.at[id]; line != 0 {
		return fmt.Errorf("the row's id stands in line %d already: each must stand once", line)
	}
	id = strings.Clone(id)
	a.at[id] = at.line
	a.ids = append(a.ids, id)
	for i, v := range values {
		a.columns[i].text = append(a.columns[i].text, strings.Clone(v))
	}
	return nil
}

// numbers makes a column of whole numbers of one of text.
func (a *attributes) numbers(name string) {
	for _, c := range a.columns {
		if c.name != name {
			continue
		}
		c.numeric = true
		for _, v := range c.text {
			x, err := strconv.ParseFloat(v, 64)
			if err != nil {
				x = math.NaN()
			}
			c.number = append(c.number, x)
		}
	}
}

// use marks columns as worth reading.
func (a *attributes) use(names ...string) {
	for _, c := range a.columns {
		c.useful = slices.Contains(names, c.name)
	}
}

// classify tells numbers from categories, and what is worth reading from what is not.
func (a *attributes) classify(f Format) {
	n := len(a.ids)
	a.columns = slices.DeleteFunc(a.columns, func(c *attribute) bool {
		levels := map[string]bool{}
		c.numeric = !coded(c.name)
		fraction := false
		for _, v := range c.text {
			if v == "" {
				continue
			}
			levels[v] = true
			x, err := f.number(v)
			c.numeric = c.numeric && err == nil && !math.IsNaN(x) && shapeOf(v) != shapePadded
			fraction = fraction || x != math.Trunc(x)
		}
		c.levels = len(levels)
		c.numeric = c.numeric && c.levels > 2 && (fraction || c.levels > 5)
		switch a.set {
		case "items":
			c.useful = c.levels > 1 && (c.numeric || c.levels <= max(maxLevels, n/3) && 10*c.levels < 9*n)
		case "subjects":
			c.useful = c.levels > 1
		case "cohorts":
			c.numeric = false
			c.useful = c.levels > 1 && c.levels <= maxCohorts
		}
		apart := n > maxCohorts && 10*c.levels >= 9*n // next to as many values as people: numbers of phones, of contracts, exact incomes
		if a.set != "items" && (apart || !c.numeric && c.levels > maxTraits) {
			a.dropped = append(a.dropped, c.column)
			return true
		}
		if c.numeric {
			for _, v := range c.text {
				x, _ := f.number(v) // was read above
				c.number = append(c.number, x)
			}
		}
		return false
	})
	if len(a.dropped) > 0 {
		slices.Sort(a.dropped)
		a.warnings = append(a.warnings, fmt.Sprintf("%s: left out, since they tell people apart: %s", a.file, strings.Join(a.dropped, ", ")))
	}
}

// coded reports whether a column of digits names things rather than counting them.
func coded(name string) bool {
	for _, part := range []string{"id", "code", "zip", "postal", "postcode", "plz", "sku", "ean", "isbn", "flag", "type"} {
		if name == part || strings.HasPrefix(name, part+"_") || strings.HasSuffix(name, "_"+part) {
			return true
		}
	}
	return false
}

func (a *attributes) n() int             { return len(a.ids) }
func (a *attributes) has(id string) bool { return a.at[id] != 0 }

// rows is the set of ids.
func (a *attributes) rows() map[string]bool {
	out := make(map[string]bool, len(a.ids))
	for _, id := range a.ids {
		out[id] = true
	}
	return out
}

// write puts the table, its rows in the order of the file.
func (a *attributes) write(ctx context.Context, out *output) error {
	columns := []column{{a.keyName, keyText}}
	for _, c := range a.columns {
		kind := optionText
		if c.numeric {
			kind = optionNumber
		}
		columns = append(columns, column{c.name, kind})
	}
	page := newSheet(columns)
	for r, id := range a.ids {
		page.text(0, id)
		for i, c := range a.columns {
			if c.numeric {
				page.number(1+i, c.number[r])
			} else {
				page.text(1+i, c.text[r])
			}
		}
		if err := page.end(); err != nil {
			return fmt.Errorf("encode %s: %w", a.set, err)
		}
	}
	return page.put(ctx, out, a.set+".parquet")
}

// describe is what the project file says of the table.
func (a *attributes) describe() *configs.ImportedSet {
	if a == nil {
		return nil
	}
	s := &configs.ImportedSet{Key: a.key}
	for _, c := range a.columns {
		switch {
		case !c.useful:
			s.Unused = append(s.Unused, c.name)
			continue
		case c.numeric:
			s.Numbers = append(s.Numbers, c.name)
		}
		s.Reads = append(s.Reads, c.name)
	}
	return s
}
