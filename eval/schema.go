package eval

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What the schema says of a field is the comment that stands beside it, and the values that it allows are the constants of the field's type,
// both read from the source itself: there is no second text that could grow old.
//
//go:embed report.go lists.go quality.go gate.go budget.go trend.go metric.go task.go protocol.go trust.go minimization.go diff.go drift/compare.go
var schemaSource embed.FS

// object is a JSON Schema, or a part of one.
type object map[string]any

// Schema returns the JSON Schema (draft 2020-12) of a report's JSON. Fields may be added under one schema name, so it allows others.
func Schema() ([]byte, error) { return schemaOf[Report]("report", "A report of Rapport", ReportSchema) }

// SchemaOfDiff returns the JSON Schema of the JSON of two versions beside each other, as Schema does of a report's.
func SchemaOfDiff() ([]byte, error) {
	return schemaOf[Diff]("diff", "Two versions of a model beside each other, by Rapport", DiffSchema)
}

// schemaOf is the schema of T, which docs have under a name, and whose field "schema" has a constant value.
func schemaOf[T any](name, title, constant string) ([]byte, error) {
	s := schemaMaker{says: map[string]string{}, values: map[string][]string{}, types: object{}}
	err := fs.WalkDir(schemaSource, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return s.read(file)
	})
	if err != nil {
		return nil, fmt.Errorf("schema of a %s: %w", name, err)
	}
	ref := s.of(reflect.TypeFor[T]())
	root := object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://github.com/rapport-ml/rapport/blob/main/docs/" + name + ".schema.json",
		"title": title + " (" + constant + ")", "$ref": ref["$ref"], "$defs": s.types,
	}
	s.types[reflect.TypeFor[T]().Name()].(object)["properties"].(object)["schema"] = object{"const": constant}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(root); err != nil {
		return nil, fmt.Errorf("schema of a %s: %w", name, err)
	}
	return out.Bytes(), nil
}

type schemaMaker struct {
	says   map[string]string   // comments, by type and field
	values map[string][]string // constants, by type
	types  object              // definitions, by type
}

// read takes the comments and constants of one source file.
func (s *schemaMaker) read(file string) error {
	body, err := schemaSource.ReadFile(file)
	if err != nil {
		return err
	}
	f, err := parser.ParseFile(token.NewFileSet(), file, body, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	prefix := ""
	if dir := path.Dir(file); dir != "." {
		prefix = dir + "."
	}
	words := func(groups ...*ast.CommentGroup) string {
		var out []string
		for _, g := range groups {
			out = append(out, strings.Fields(g.Text())...)
		}
		return strings.Join(out, " ")
	}
	for _, decl := range f.Decls {
		d, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range d.Specs {
			switch x := spec.(type) {
			case *ast.TypeSpec:
				s.says[prefix+x.Name.Name] = words(d.Doc, x.Doc)
				st, ok := x.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, field := range st.Fields.List {
					for _, name := range field.Names {
						s.says[prefix+x.Name.Name+"."+name.Name] = words(field.Doc, field.Comment)
					}
				}
			case *ast.ValueSpec:
				name, ok := x.Type.(*ast.Ident)
				if !ok || d.Tok != token.CONST {
					continue
				}
				for _, v := range x.Values {
					if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING {
						text, err := strconv.Unquote(lit.Value)
						if err != nil {
							return err
						}
						s.values[prefix+name.Name] = append(s.values[prefix+name.Name], text)
					}
				}
			}
		}
	}
	return nil
}

// of returns the schema of a type as encoding/json writes it: nil pointers, slices and maps are null.
func (s *schemaMaker) of(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[json.RawMessage]():
		return object{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return object{"anyOf": []object{s.of(t.Elem()), {"type": "null"}}}
	case reflect.Slice:
		return object{"type": []string{"array", "null"}, "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": []string{"object", "null"}, "additionalProperties": s.of(t.Elem())}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	case reflect.String:
		if v := s.values[strings.TrimPrefix(t.String(), "eval.")]; len(v) > 0 {
			return object{"type": "string", "enum": v}
		}
		return object{"type": "string"}
	}
	return s.structure(t)
}

func (s *schemaMaker) structure(t reflect.Type) object {
	name := t.String() // drift.Report and Report are two
	name = strings.TrimPrefix(name, "eval.")
	ref := object{"$ref": "#/$defs/" + name}
	if s.types[name] != nil {
		return ref
	}
	fields, required := object{}, []string{}
	o := object{"type": "object", "properties": fields}
	s.types[name] = o
	if says := s.says[name]; says != "" {
		o["description"] = says
	}
	for _, f := range reflect.VisibleFields(t) {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || tag == "-" || tag == "" {
			continue
		}
		v := s.of(f.Type)
		owner := t
		if len(f.Index) > 1 {
			owner = t.FieldByIndex(f.Index[:len(f.Index)-1]).Type
		}
		if says := s.says[strings.TrimPrefix(owner.String(), "eval.")+"."+f.Name]; says != "" {
			v["description"] = says
		}
		fields[tag] = v
		if !strings.Contains(options, "omitempty") {
			required = append(required, tag)
		}
	}
	slices.Sort(required)
	o["required"] = required
	return ref
}
