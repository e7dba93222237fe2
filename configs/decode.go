package configs

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Fault is one thing that is wrong in a project file.
type Fault struct {
	File string
	Line int    // 1-based; 0 when the fault is of the whole file
	Path string // dotted path of the key, as jobs.nightly.every
	Msg  string // what is wrong
	Hint string // what to do, or ""
}

func (f Fault) String() string {
	where := f.File
	if f.Line > 0 {
		where = fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	s := where + ": "
	if f.Path != "" {
		s += f.Path + ": "
	}
	s += f.Msg
	if f.Hint != "" {
		s += " (" + f.Hint + ")"
	}
	return s
}

// Faults is every fault of a file at once, in line order. It is an error.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, x := range f {
		lines[i] = x.String()
	}
	return strings.Join(lines, "\n")
}

// decoder fills Go values from a YAML tree, strictly: an unknown key, a wrong type or a key given twice is a fault, and decoding goes
// on, so that all faults are reported together. Go field names stand for their snake_case keys.
type decoder struct {
	file   string
	lines  map[string]int  // dotted path → line, for the validation that follows
	broken map[string]bool // paths at which decoding found a fault, and those that a misspelt key was meant for
	faults Faults
}

// secretPath is the key under which nothing that was written is repeated: somebody may have pasted the secret itself.
const secretPath = "pseudonyms"

// custom is implemented by types with a shorthand of their own.
type custom interface {
	decode(d *decoder, n ast.Node, path string)
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	timeType     = reflect.TypeFor[time.Time]()
)

func (d *decoder) fault(line int, path, hint, format string, args ...any) {
	d.broken[path] = true
	d.report(line, path, hint, format, args...)
}

func (d *decoder) report(line int, path, hint, format string, args ...any) {
	d.faults = append(d.faults, Fault{File: d.file, Line: line, Path: path, Msg: fmt.Sprintf(format, args...), Hint: hint})
}

// at reports what validation found at a path that was decoded before, with the line of it or of its nearest ancestor. What only follows
// from a fault of decoding, there or above, is not told.
func (d *decoder) at(path, hint, format string, args ...any) {
	line := 0
	for p := path; ; p = p[:max(strings.LastIndexAny(p, ".["), 0)] {
		if d.broken[p] {
			return
		}
		if line == 0 {
			line = d.lines[p]
		}
		if p == "" {
			break
		}
	}
	d.report(line, path, hint, format, args...)
}

// intact reports whether all at and below path was decoded without a fault.
func (d *decoder) intact(path string) bool {
	for p := range d.broken {
		if rest, ok := strings.CutPrefix(p, path); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return false
		}
	}
	return true
}

// found quotes what stands where something else was wanted.
func found(path, value string) string {
	if path == secretPath || strings.HasPrefix(path, secretPath+".") {
		return "a value, which is not repeated here since it may be a secret"
	}
	return strconv.Quote(value)
}

func (d *decoder) parse(src []byte) ast.Node {
	f, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey()) // which decoding reports, with all else
	if err != nil {
		line := 0
		if m := yamlPos.FindStringSubmatch(err.Error()); m != nil {
			line, _ = strconv.Atoi(m[1])
		}
		msg, _, _ := strings.Cut(err.Error(), "\n")
		d.fault(line, "", "", "not valid YAML: %s", yamlPos.ReplaceAllString(msg, ""))
		return nil
	}
	var body ast.Node
	for _, doc := range f.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			d.fault(line(doc.Body), "", "one file is one project", "a second YAML document")
			return nil
		}
		body = doc.Body
	}
	if body == nil {
		d.fault(0, "", "rapport init makes one that runs", "the file is empty")
	}
	return body
}

var yamlPos = regexp.MustCompile(`^\[(\d+):\d+\] *`)

func line(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// pairs returns the key-value pairs of a mapping node; ok is false (and a fault reported) for anything else.
func (d *decoder) pairs(n ast.Node, path string) (_ []*ast.MappingValueNode, ok bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	case *ast.NullNode:
		return nil, true
	}
	d.fault(line(n), path, "", "want a mapping (key: value), found %s", kindOf(n, path))
	return nil, false
}

func kindOf(n ast.Node, path string) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return "a YAML anchor, alias or tag, which project files do not use"
	}
	return found(path, n.String())
}

func keyOf(v *ast.MappingValueNode) string { return v.Key.GetToken().Value }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// into decodes n into v.
func (d *decoder) into(n ast.Node, v reflect.Value, path string) {
	d.lines[path] = line(n)
	if v.CanAddr() {
		if c, ok := v.Addr().Interface().(custom); ok {
			c.decode(d, n, path)
			return
		}
	}
	switch v.Type() {
	case durationType:
		if s, ok := d.scalar(n, path); ok {
			x, err := ParseDuration(s)
			if err != nil {
				d.fault(line(n), path, "as 90m, 12h, 7d or 4w", "%q is no duration", s)
			}
			v.SetInt(int64(x))
		}
		return
	case timeType:
		if s, ok := d.scalar(n, path); ok {
			t, err := time.Parse(time.RFC3339, s)
			if err != nil {
				d.fault(line(n), path, "RFC 3339, as 2018-01-08T03:00:00Z", "%q is no time", s)
			}
			v.Set(reflect.ValueOf(t.UTC()))
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.into(n, v.Elem(), path)
	case reflect.Struct:
		d.structInto(n, v, path)
	case reflect.Map:
		ps, ok := d.pairs(n, path)
		if !ok {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		seen := map[string]bool{}
		for _, p := range ps {
			k := keyOf(p)
			if seen[k] {
				d.fault(line(p.Key), join(path, k), "", "given twice")
			}
			seen[k] = true
			e := reflect.New(v.Type().Elem()).Elem()
			before := len(d.faults)
			d.into(p.Value, e, join(path, k))
			d.lines[join(path, k)] = line(p.Key)
			if len(d.faults) > before && e.Kind() != reflect.Struct {
				continue // a number that could not be read is not a 0
			}
			v.SetMapIndex(reflect.ValueOf(k), e)
		}
	case reflect.Slice:
		seq, ok := n.(*ast.SequenceNode)
		if !ok {
			d.fault(line(n), path, "", "want a list, found %s", kindOf(n, path))
			return
		}
		s := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
		for i, e := range seq.Values {
			d.into(e, s.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
		v.Set(s)
	default:
		d.scalarInto(n, v, path)
	}
}

func (d *decoder) structInto(n ast.Node, v reflect.Value, path string) {
	ps, ok := d.pairs(n, path)
	if !ok {
		return
	}
	known := map[string]int{}
	var names []string
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("config") != "-" {
			known[snake(f.Name)] = i
			names = append(names, snake(f.Name))
		}
	}
	seen := map[string]bool{}
	for _, p := range ps {
		k := keyOf(p)
		i, ok := known[k]
		if !ok {
			hint := "known keys: " + strings.Join(names, ", ")
			if near := nearest(k, names); near != "" {
				hint = "did you mean " + near + "?"
				d.broken[join(path, near)] = true
			}
			d.fault(line(p.Key), join(path, k), hint, "unknown key")
			continue
		}
		if seen[k] {
			d.fault(line(p.Key), join(path, k), "", "given twice")
		}
		seen[k] = true
		d.into(p.Value, v.Field(i), join(path, k))
		d.lines[join(path, k)] = line(p.Key)
	}
}

// scalar returns the text of a scalar node.
func (d *decoder) scalar(n ast.Node, path string) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		return s.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	d.fault(line(n), path, "", "want a single value, found %s", kindOf(n, path))
	return "", false
}

func (d *decoder) scalarInto(n ast.Node, v reflect.Value, path string) {
	s, ok := d.scalar(n, path)
	if !ok {
		return
	}
	bad := func(what string) { d.fault(line(n), path, "", "want %s, found %s", what, found(path, s)) }
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		b, err := strconv.ParseBool(s)
		if err != nil || n.Type() == ast.StringType && n.GetToken().Type != token.StringType {
			bad("true or false")
			return
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			bad("a whole number")
			return
		}
		v.SetInt(i)
	case reflect.Uint64:
		i, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			bad("a whole number of 0 or more")
			return
		}
		v.SetUint(i)
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			bad("a number")
			return
		}
		v.SetFloat(f)
	default:
		panic("configs: cannot decode into " + v.Type().String())
	}
}

// ParseDuration reads Go durations and whole or decimal days (d) and weeks (w): 90m, 12h, 7d, 4w.
func ParseDuration(s string) (time.Duration, error) {
	unit := time.Duration(0)
	if n, ok := strings.CutSuffix(s, "d"); ok {
		s, unit = n, 24*time.Hour
	} else if n, ok := strings.CutSuffix(s, "w"); ok {
		s, unit = n, 7*24*time.Hour
	}
	if unit == 0 {
		d, err := time.ParseDuration(s)
		if err == nil && d < 0 {
			err = fmt.Errorf("negative duration %q", s)
		}
		return d, err
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f <= 100*365) { // NaN is refused too
		return 0, fmt.Errorf("%q is no number of days or weeks", s)
	}
	return time.Duration(math.Round(f * float64(unit))), nil
}

// snake turns a Go field name into its key: KeyID → key_id.
func snake(name string) string {
	var b strings.Builder
	rs := []rune(name)
	for i, r := range rs {
		if unicode.IsUpper(r) {
			if i > 0 && (unicode.IsLower(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1])) {
				b.WriteByte('_')
			}
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// nearest returns the known name within an edit distance of a third of its length (at least 1, at most 3), or "".
func nearest(s string, known []string) string {
	best, at := "", math.MaxInt
	names := append([]string(nil), known...)
	sort.Strings(names)
	for _, k := range names {
		limit := min(max(len(k)/3, 1), 3)
		if e := editDistance(s, k); e <= limit && e < at {
			best, at = k, e
		}
	}
	return best
}

// editDistance is the optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([][]int, len(x)+1)
	for i := range row {
		row[i] = make([]int, len(y)+1)
		row[i][0] = i
	}
	for j := range row[0] {
		row[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[i][j] = min(row[i-1][j]+1, row[i][j-1]+1, row[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[i][j] = min(row[i][j], row[i-2][j-2]+1)
			}
		}
	}
	return row[len(x)][len(y)]
}
