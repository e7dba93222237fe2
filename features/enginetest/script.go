package enginetest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// script is a parsed golden script. Its want holds the tables that the script states, in the order of views; its join, where it has examples, the
// joined rows.
type script struct {
	end    time.Time
	views  []features.View
	events events
	want   result
	join   join
}

// scriptParser reads a script line by line. Indented lines belong to the section that the last unindented line opened.
type scriptParser struct {
	s       script
	section func(fields []string) error
}

// parseScript reads a script; an error names its line.
func parseScript(text string) (script, error) {
	p := scriptParser{s: script{events: newEvents()}}
	p.s.want.stats.Refused = map[string]int64{}
	p.s.want.stats.RowsOut = map[string]int64{}
	for n, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		var err error
		switch indented := line[0] == ' ' || line[0] == '\t'; {
		case !indented:
			err = p.open(fields)
		case p.section == nil:
			err = fmt.Errorf("an indented line belongs to no section")
		default:
			err = p.section(fields)
		}
		if err != nil {
			return script{}, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	return p.s, p.finish()
}

// finish checks that the script says all it must.
func (p *scriptParser) finish() error {
	s := &p.s
	if s.end.IsZero() {
		return fmt.Errorf("no end: a script says as of when")
	}
	if err := features.Validate(s.views); err != nil {
		return err
	}
	if s.join.want.schema != nil && len(s.want.tables) == 0 {
		return nil // a script about a join alone
	}
	if len(s.want.tables) != len(s.views) {
		return fmt.Errorf("%d tables are expected of %d views: expect each view once, in order", len(s.want.tables), len(s.views))
	}
	for i, t := range s.want.tables {
		if t.view != s.views[i].Name {
			return fmt.Errorf("table %d expects view %q, not %q: expect each view once, in order", i+1, s.views[i].Name, t.view)
		}
		if err := t.sort(); err != nil {
			return err
		}
		s.want.stats.RowsOut[t.view] = int64(len(t.rows))
	}
	refusedTimes := s.want.stats.Refused["time"]
	s.want.stats.RowsIn = int64(len(s.events.rows)) - s.want.stats.RowsOutside - refusedTimes
	return nil
}

// open starts a section, or takes a statement of one line.
func (p *scriptParser) open(fields []string) (err error) {
	p.section = nil
	need := map[string]int{"end": 2, "column": 3, "view": 4, "events": 1, "expect": 2, "refused": 3, "outside": 2, "examples": 1, "joined": 1}
	min, ok := need[fields[0]]
	if !ok {
		return fmt.Errorf("unknown statement %q", fields[0])
	}
	if len(fields) < min || len(fields) > min && fields[0] != "view" {
		return fmt.Errorf("%s takes %d fields", fields[0], min-1)
	}
	switch fields[0] {
	case "end":
		p.s.end, err = time.Parse(time.RFC3339, fields[1])
		return err
	case "column":
		return p.column(fields[1], fields[2])
	case "view":
		return p.view(fields[1], fields[2], fields[3:])
	case "events":
		p.section = p.event
	case "expect":
		return p.expect(fields[1])
	case "examples":
		p.section = p.exampleHeader
	case "joined":
		return p.joined()
	case "refused":
		p.s.want.stats.Refused[fields[1]], err = strconv.ParseInt(fields[2], 10, 64)
	case "outside":
		p.s.want.stats.RowsOutside, err = strconv.ParseInt(fields[1], 10, 64)
	}
	return err
}

func (p *scriptParser) column(name, typ string) error {
	types := map[string]table.Type{"Int64": table.Int64, "Float64": table.Float64, "String": table.String, "Bool": table.Bool, "Time": table.Time}
	t, ok := types[typ]
	if !ok {
		return fmt.Errorf("column %s: unknown type %q", name, typ)
	}
	if len(p.s.events.rows) > 0 {
		return fmt.Errorf("column %s comes after the first event", name)
	}
	p.s.events.schema = append(p.s.events.schema, table.Field{Name: name, Type: t})
	return nil
}

func (p *scriptParser) view(name, key string, windows []string) (err error) {
	v := features.View{Name: name, Key: key}
	for _, w := range windows {
		if hop, ok := strings.CutPrefix(w, "hop="); ok {
			if v.Hop, err = parseDuration(hop); err != nil {
				return err
			}
			continue
		}
		d, err := parseDuration(w)
		if err != nil {
			return err
		}
		v.Windows = append(v.Windows, d)
	}
	p.s.views = append(p.s.views, v)
	p.section = p.feature
	return nil
}

func (p *scriptParser) feature(fields []string) error {
	if len(fields) < 2 {
		return fmt.Errorf("a feature is a name, an operator, and options")
	}
	f := features.Feature{Name: fields[0], Op: features.Op(fields[1])}
	for _, o := range fields[2:] {
		if err := setOption(&f, o); err != nil {
			return fmt.Errorf("feature %s: %w", f.Name, err)
		}
	}
	v := &p.s.views[len(p.s.views)-1]
	v.Features = append(v.Features, f)
	return nil
}

// setOption sets an option of a feature, as column=value.
func setOption(f *features.Feature, option string) (err error) {
	switch name, value, _ := strings.Cut(option, "="); name {
	case "column":
		f.Column = value
	case "kinds":
		f.Kinds = strings.Split(value, ",")
	case "share":
		f.Share = strings.Split(value, ",")
	case "half_life":
		f.HalfLife, err = parseDuration(value)
	case "n":
		f.N, err = strconv.Atoi(value)
	case "q":
		f.Quantile, err = strconv.ParseFloat(value, 64)
	case "explicit":
		f.Explicit = strings.Split(value, ",")
	case "weights":
		f.Weights = map[string]float64{}
		for _, pair := range strings.Split(value, ",") {
			kind, w, _ := strings.Cut(pair, ":")
			if f.Weights[kind], err = strconv.ParseFloat(w, 64); err != nil {
				return err
			}
		}
	case "where", "not":
		var c features.Condition
		c, err = parseCondition(value)
		c.Not = name == "not"
		f.Where = append(f.Where, c)
	default:
		err = fmt.Errorf("unknown option %q", name)
	}
	return err
}

// parseCondition reads column:a|b (one of these texts) or column:1..5 (a range of numbers; either bound may be left out).
func parseCondition(s string) (features.Condition, error) {
	column, values, _ := strings.Cut(s, ":")
	c := features.Condition{Column: column}
	low, high, isRange := strings.Cut(values, "..")
	if !isRange {
		c.In = strings.Split(values, "|")
		return c, nil
	}
	for _, b := range []struct {
		text string
		to   **float64
	}{{low, &c.Min}, {high, &c.Max}} {
		if b.text == "" {
			continue
		}
		x, err := strconv.ParseFloat(b.text, 64)
		if err != nil {
			return c, err
		}
		*b.to = &x
	}
	return c, nil
}

func (p *scriptParser) event(fields []string) error {
	schema := p.s.events.schema
	if p.s.end.IsZero() {
		return fmt.Errorf("events stand below the end: their times count from it")
	}
	if len(fields) != len(schema) {
		return fmt.Errorf("the event has %d fields, the columns are %d", len(fields), len(schema))
	}
	row, err := p.cells(fields, schema)
	p.s.events.rows = append(p.s.events.rows, row)
	return err
}

// cells parses a row.
func (p *scriptParser) cells(fields []string, schema table.Schema) ([]any, error) {
	row := make([]any, len(fields))
	for i, f := range schema {
		x, err := p.cell(fields[i], f.Type)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", f.Name, err)
		}
		row[i] = x
	}
	return row, nil
}

// expect opens the section of a view's table: a header first, then rows.
func (p *scriptParser) expect(name string) error {
	for _, v := range p.s.views {
		if v.Name == name {
			p.s.want.tables = append(p.s.want.tables, newTable(v, p.s.events.schema))
			p.section = p.header(&p.s.want.tables[len(p.s.want.tables)-1])
			return nil
		}
	}
	return fmt.Errorf("expect: no view %q above", name)
}

// header returns the section of a table whose columns are known.
func (p *scriptParser) header(t *tableOf) func(fields []string) error {
	return func(fields []string) error {
		var want []string
		for _, f := range t.schema {
			want = append(want, f.Name)
		}
		if got, want := strings.Join(fields, " "), strings.Join(want, " "); got != want {
			return fmt.Errorf("the header is %q, the view has %q", got, want)
		}
		p.section = func(fields []string) error {
			if len(fields) != len(t.schema) {
				return fmt.Errorf("the row has %d fields, the header %d", len(fields), len(t.schema))
			}
			row, err := p.cells(fields, t.schema)
			t.rows = append(t.rows, row)
			return err
		}
		return nil
	}
}

// exampleHeader takes the names of the examples' columns; their types are those of the events' columns of that name, else Int64.
func (p *scriptParser) exampleHeader(fields []string) error {
	e := &p.s.join.examples
	if e.schema != nil {
		return fmt.Errorf("a script has examples once")
	}
	for _, name := range fields {
		typ := table.Int64
		if i := p.s.events.schema.Index(name); i >= 0 {
			typ = p.s.events.schema[i].Type
		}
		e.schema = append(e.schema, table.Field{Name: name, Type: typ})
	}
	p.section = func(fields []string) error {
		if len(fields) != len(e.schema) {
			return fmt.Errorf("the example has %d fields, the header %d", len(fields), len(e.schema))
		}
		row, err := p.cells(fields, e.schema)
		e.rows = append(e.rows, row)
		return err
	}
	return nil
}

// joined opens the section of the joined rows.
func (p *scriptParser) joined() error {
	if len(p.s.join.examples.schema) == 0 || p.s.join.want.schema != nil {
		return fmt.Errorf("joined comes once, below the examples")
	}
	if err := features.Validate(p.s.views); err != nil {
		return err
	}
	need := []string{"time"}
	for _, v := range p.s.views {
		need = append(need, v.Keys()...)
	}
	for _, c := range need {
		if p.s.join.examples.schema.Index(c) < 0 {
			return fmt.Errorf("the examples have no column %s", c)
		}
		if k := p.s.join.examples.schema[0].Name; k == c {
			return fmt.Errorf("the examples begin with column %s: the first is an id", k)
		}
	}
	p.s.join.views, p.s.join.events, p.s.join.anchor = p.s.views, p.s.events, p.s.end
	p.s.join.want = p.s.join.table()
	p.section = p.header(&p.s.join.want)
	return nil
}

// cell parses one cell. Integers may be unsigned 64-bit numbers; floats quotients of two.
func (p *scriptParser) cell(s string, t table.Type) (any, error) {
	if s == "-" {
		return nil, nil
	}
	switch t {
	case table.String:
		if s == `""` {
			return "", nil
		}
		return s, nil
	case table.Float64:
		num, den, quotient := strings.Cut(s, "/")
		x, err := strconv.ParseFloat(num, 64)
		if err != nil || !quotient {
			return x, err
		}
		y, err := strconv.ParseFloat(den, 64)
		return x / y, err
	case table.Time:
		d, err := parseDuration(s)
		return p.s.end.Add(d).UnixMicro(), err
	case table.Bool:
		if b, err := strconv.ParseBool(s); !b {
			return int64(0), err
		}
		return int64(1), nil
	}
	if x, err := strconv.ParseUint(s, 10, 64); err == nil {
		return int64(x), nil
	}
	return strconv.ParseInt(s, 10, 64)
}

// parseDuration is time.ParseDuration with days in front: 7d, -1d12h, -0.5h.
func parseDuration(s string) (time.Duration, error) {
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	n, err := strconv.Atoi(days)
	if err != nil || n < -36500 || n > 36500 {
		return 0, fmt.Errorf("duration %q: write it as 7d, -1d12h or 90s", s)
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	r, err := time.ParseDuration(rest)
	if err != nil || r < 0 {
		return 0, fmt.Errorf("duration %q: write it as 7d, -1d12h or 90s", s)
	}
	if strings.HasPrefix(days, "-") {
		return d - r, nil
	}
	return d + r, nil
}
