package configs

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
)

// What editors and the reference say of a key is the comment that stands beside its field, read from the source itself: there is no second
// text that could grow old.
//
//go:embed project.go
var projectSource []byte

// object is a JSON Schema, or a part of one.
type object map[string]any

// choices are the values of keys that take no others, by type and field.
var choices = map[string][]string{
	"Storage.Credentials": {"env", "file", "instance"},
	"Events.TimeUnit":     {"s", "ms", "us", "ns"},
	"Coarsen.Clock":       {event.ClockHour, event.ClockDaypart},
	"Purpose.Basis":       {string(policy.Consent), string(policy.LegitimateInterest)},
	"Purpose.Use":         {"training", useEvaluation, useMitigation},
	"Lists.Seen":          {"auto", "keep", "mask"},
	"Evaluate.Protocol":   {string(eval.Temporal), string(eval.LeaveLastOut), string(eval.StrongGeneralization)},
	"Job.Overlap":         {"skip", "buffer-one", "cancel-other", "allow-all"},
	"Budget.OnFail":       {string(eval.Ratchet), string(eval.Block), string(eval.Warn)},
	"Drift.Action":        {"warn", "block", "retrain"},
	"Drift.Reference":     driftReferences,
	"DriftColumn.Action":  {"warn", "block"},
	"Expected.Drift":      {"warn"},
	"Expected.Volume":     {"warn"},
	"Expected.Compare":    {"last_occurrence"},
	"Alert.Format":        {"json", "slack"},
	"Alert.On":            alertKinds,

	"Expect.Schema": actions, "ExpectVolume.OnLeast": actions, "ExpectVolume.OnMost": actions, "ExpectFresh.OnMiss": actions,
	"ExpectShare.OnMiss": actions, "ExpectDuplicates.OnMiss": actions,
}

// needed are the keys that must be there, by type.
var needed = map[string][]string{
	"Project": {"project", "storage", "online", "pseudonyms", "sources", "purposes", "jobs"}, "Pseudonyms": {"key"}, "PreviousKey": {"key", "key_id"},
	"Sources": {"events"}, "Events": {"path", "subject", "item", "at"}, "Attributes": {"path"},
	"Identities": {"path", "from", "to"}, "Purpose": {"says", "basis"}, "View": {"key", "windows", "features"}, "Expected": {"days"}, "JobPurpose": {"train"},
	"Train": {"model"}, "Budget": {"metric"}, "Alert": {"webhook"},
}

// Schema returns the JSON Schema (draft 2020-12) of project files, for editors. It allows what Load accepts in form; what only Load can see
// (that a name is declared, that a window is long enough) is left to rapport validate.
func Schema() ([]byte, error) {
	docs, err := fieldComments()
	if err != nil {
		return nil, err
	}
	s := schema{docs: docs}
	root := s.of(reflect.TypeFor[Project](), "")
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = "https://github.com/rapport-ml/rapport/blob/main/docs/rapport.schema.json"
	root["title"] = "A Rapport project (rapport.yaml)"
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(root); err != nil {
		return nil, fmt.Errorf("schema of project files: %w", err)
	}
	return out.Bytes(), nil
}

// fieldComments are the comments beside the fields of the types of project.go, by type and field.
func fieldComments() (map[string]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), "project.go", projectSource, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("schema of project files: %w", err)
	}
	docs := map[string]string{}
	for _, decl := range f.Decls {
		d, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range d.Specs {
			t, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			docs[t.Name.Name] = strings.Join(strings.Fields(d.Doc.Text()), " ")
			st, ok := t.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, field := range st.Fields.List {
				text := strings.Join(strings.Fields(field.Doc.Text()+" "+field.Comment.Text()), " ")
				for _, name := range field.Names {
					docs[t.Name.Name+"."+name.Name] = text
				}
			}
		}
	}
	return docs, nil
}

type schema struct{ docs map[string]string }

// duration is what ParseDuration reads.
const duration = `^([0-9]*\.?[0-9]+(d|w)|([0-9]*\.?[0-9]+(ns|us|µs|ms|s|m|h))+)$`

// of returns the schema of a type; at is the type and field that it stands in.
func (s *schema) of(t reflect.Type, at string) object {
	o := s.shape(t, at)
	if says := s.docs[at]; says != "" {
		o["description"] = says
	}
	return o
}

func (s *schema) shape(t reflect.Type, at string) object {
	switch t {
	case durationType:
		return object{"type": "string", "pattern": duration, "examples": []string{"90m", "12h", "7d", "4w"}}
	case timeType:
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[oneOrMore]():
		return object{"anyOf": []object{text(nil), {"type": "array", "items": text(nil)}}}
	case reflect.TypeFor[Storage](), reflect.TypeFor[Online]():
		return object{"anyOf": []object{text(nil), s.structure(t)}}
	case reflect.TypeFor[ExpectShare](), reflect.TypeFor[ExpectDuplicates]():
		return object{"anyOf": []object{{"type": "number"}, s.structure(t)}}
	case reflect.TypeFor[ExpectFresh]():
		return object{"anyOf": []object{s.shape(durationType, ""), s.structure(t)}}
	case reflect.TypeFor[Part]():
		return oneOfNamed(partNames)
	case reflect.TypeFor[Ranker]():
		return oneOfNamed(rankerNames)
	case reflect.TypeFor[Feature]():
		return s.feature()
	case reflect.TypeFor[condition](), reflect.TypeFor[excluded]():
		return s.condition(t)
	case reflect.TypeFor[weight]():
		return object{"anyOf": []object{text(nil), {"type": "object", "additionalProperties": object{"type": "number"}, "minProperties": 1, "maxProperties": 1}}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.shape(t.Elem(), at)
	case reflect.Struct:
		return s.structure(t)
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem(), "")}
	case reflect.Slice:
		item := s.of(t.Elem(), "")
		if c := choices[at]; c != nil {
			item = text(c)
		}
		return object{"type": "array", "items": item}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	case reflect.Float64:
		return object{"type": "number"}
	}
	return text(choices[at])
}

// text is a single value that is read as text; numbers may stand for themselves.
func text(choices []string) object {
	if choices != nil {
		return object{"type": "string", "enum": choices}
	}
	return object{"type": []string{"string", "number", "boolean"}}
}

func (s *schema) structure(t reflect.Type) object {
	properties := object{}
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && f.Tag.Get("config") != "-" {
			properties[snake(f.Name)] = s.of(f.Type, t.Name()+"."+f.Name)
		}
	}
	o := object{"type": "object", "properties": properties, "additionalProperties": false}
	if n := needed[t.Name()]; n != nil {
		o["required"] = n
	}
	if says := s.docs[t.Name()]; says != "" {
		o["description"] = says
	}
	return o
}

// oneOfNamed is a name alone, or a mapping of one name to its settings.
func oneOfNamed(names []string) object {
	settings := object{}
	for _, n := range names {
		settings[n] = object{"type": []string{"object", "null"}}
	}
	return object{"anyOf": []object{
		text(names),
		{"type": "object", "properties": settings, "additionalProperties": false, "minProperties": 1, "maxProperties": 1},
	}}
}

// feature is one operator with the arguments that it takes, with a column alone, or with nothing.
func (s *schema) feature() object {
	all := s.structure(reflect.TypeFor[arguments]())["properties"].(object)
	ops := object{}
	for op, o := range operators {
		takes := object{}
		for _, a := range o.takes {
			takes[a] = all[a]
		}
		forms := []object{{"type": "null"}, {"type": "object", "properties": takes, "additionalProperties": false}}
		if slices.Contains(o.takes, "column") {
			forms = append(forms, text(nil))
		}
		ops[string(op)] = object{"anyOf": forms, "description": op.Words().Says + ": " + o.example}
	}
	return object{"type": "object", "properties": ops, "additionalProperties": false, "minProperties": 1, "maxProperties": 1}
}

// condition is a value, a list of values, or a mapping.
func (s *schema) condition(t reflect.Type) object {
	return object{"anyOf": []object{text(nil), {"type": "array", "items": text(nil)}, s.structure(t)}}
}

// Reference returns the reference of project files in Markdown: every key with its type and meaning.
func Reference() ([]byte, error) {
	docs, err := fieldComments()
	if err != nil {
		return nil, err
	}
	s := schema{docs: docs}
	var out bytes.Buffer
	out.WriteString("# The project file\n\nEvery key of `rapport.yaml`. Names of your own are in capitals. `rapport schema` prints the same for editors, `rapport validate` reports every\n" +
		"fault of a file at once, and `rapport init --template s3` writes one that is explained line by line. This page is made by `go test ./configs -run Reference -update`.\n\n" +
		"Durations are `90m`, `12h`, `7d` or `4w`. A key in **bold** must be there.\n\n| key | type | what it says |\n|---|---|---|\n")
	s.rows(&out, reflect.TypeFor[Project](), "")
	s.operators(&out)
	return out.Bytes(), nil
}

// operators writes what stands under views.NAME.features.NAME.
func (s *schema) operators(out *bytes.Buffer) {
	out.WriteString("\n## Operators\n\nA feature is one operator over the events of a window that pass its filter, for each window of its view. A window W as of END holds the events with\n" +
		"END − W ≤ time < END; n is the number of their non-null values x. `rapport features show VIEW` says the same of a project's own features.\n\n" +
		"| operator | what it is | how it is computed | without a value | error | takes |\n|---|---|---|---|---|---|\n")
	for _, op := range features.Ops {
		w, o := op.Words(), operators[op]
		takes := make([]string, len(o.takes))
		for i, a := range o.takes {
			takes[i] = "`" + a + "`"
		}
		fmt.Fprintf(out, "| `%s` | %s | %s | %s | %s | %s |\n", o.example[1:len(o.example)-1], w.Says, strings.ReplaceAll(w.Formula, "|", `\|`), w.Nulls, cmp.Or(w.Error, "exact"), strings.Join(takes, ", "))
	}
	out.WriteString("\n| argument | type | what it says |\n|---|---|---|\n")
	s.rows(out, reflect.TypeFor[arguments](), "")
}

func (s *schema) rows(out *bytes.Buffer, t reflect.Type, path string) {
	must := map[string]bool{}
	for _, k := range needed[t.Name()] {
		must[k] = true
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Tag.Get("config") == "-" {
			continue
		}
		key := snake(f.Name)
		name := path + key
		kind, inner, below := s.kind(f.Type, t.Name()+"."+f.Name)
		label := "`" + name + "`"
		if must[key] {
			label = "**" + label + "**"
		}
		says := s.docs[t.Name()+"."+f.Name]
		if says == "" && inner != nil {
			says = s.docs[inner.Name()]
		}
		if inner == reflect.TypeFor[Expect]() && path != "sources.events." { // the same for every source
			kind, inner = "mapping, as `sources.events.expect`", nil
		}
		fmt.Fprintf(out, "| %s | %s | %s |\n", label, kind, strings.ReplaceAll(says, "|", `\|`))
		if inner != nil {
			s.rows(out, inner, name+below)
		}
	}
}

// kind says a type in words, and the type whose keys stand below it.
func (s *schema) kind(t reflect.Type, at string) (words string, inner reflect.Type, below string) {
	quoted := func(names []string) string {
		names = append([]string(nil), names...)
		for i, n := range names {
			names[i] = "`" + n + "`"
		}
		return strings.Join(names, ", ")
	}
	switch t {
	case durationType:
		return "duration", nil, ""
	case timeType:
		return "time, RFC 3339", nil, ""
	case reflect.TypeFor[Storage](), reflect.TypeFor[Online]():
		return "URL, or a mapping", t, "."
	case reflect.TypeFor[ExpectShare](), reflect.TypeFor[ExpectDuplicates]():
		return "share, or a mapping", t, "."
	case reflect.TypeFor[ExpectFresh]():
		return "duration, or a mapping", t, "."
	case reflect.TypeFor[Part]():
		return "one of " + quoted(partNames) + ", alone or with its settings", nil, ""
	case reflect.TypeFor[Ranker]():
		return "one of " + quoted(rankerNames) + ", alone or with its settings", nil, ""
	case reflect.TypeFor[Feature]():
		return "one operator, as [below](#operators)", nil, ""
	case reflect.TypeFor[oneOrMore]():
		return "text, or a list", nil, ""
	case reflect.TypeFor[condition](), reflect.TypeFor[excluded]():
		return "a value, a list, or {in, min, max, not}", nil, ""
	case reflect.TypeFor[weight]():
		return "number, column, or {column: number}", nil, ""
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.kind(t.Elem(), at)
	case reflect.Struct:
		return "mapping", t, "."
	case reflect.Map:
		words, inner, below = s.kind(t.Elem(), "")
		if inner != nil {
			return "mapping of names", inner, ".NAME" + below
		}
		return "mapping of names: " + words, nil, ""
	case reflect.Slice:
		words, inner, below = s.kind(t.Elem(), "")
		if c := choices[at]; c != nil {
			words = quoted(c)
		}
		if inner != nil {
			return "list", inner, "[]" + below
		}
		return "list: " + words, nil, ""
	case reflect.Bool:
		return "true or false", nil, ""
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return "whole number", nil, ""
	case reflect.Float64:
		return "number", nil, ""
	}
	if c := choices[at]; c != nil {
		return "one of " + quoted(c), nil, ""
	}
	return "text", nil, ""
}
