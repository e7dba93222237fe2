package eval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSchema: the committed schema is the one that the types give, and reports of every kind follow it.
func TestSchema(t *testing.T) {
	root := published(t, "report.schema.json", Schema)
	for name, r := range browserReports(t) {
		for _, f := range (validator{root}).check(root, written(t, r.WriteJSON), "$") {
			t.Errorf("%s: %s", name, f)
		}
	}
}

// published is a schema that stands in docs, as the types give it.
func published(t *testing.T, name string, made func() ([]byte, error)) (root map[string]any) {
	t.Helper()
	body, err := made()
	if err != nil {
		t.Fatal(err)
	}
	committed := filepath.Join("..", "docs", name)
	if *update {
		if err := os.WriteFile(committed, body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(committed); err != nil || !bytes.Equal(have, body) {
		t.Errorf("%s is not what the types give (%v): run with -update", committed, err)
	}
	if err := json.Unmarshal(body, &root); err != nil {
		t.Fatal(err)
	}
	return root
}

// written is what a JSON text holds.
func written(t *testing.T, write func(io.Writer) error) (v any) {
	t.Helper()
	var buf bytes.Buffer
	if err := write(&buf); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(buf.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSchemaRefuses: the schema tells a report from what is none.
func TestSchemaRefuses(t *testing.T) {
	body, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(body, &root); err != nil {
		t.Fatal(err)
	}
	var good bytes.Buffer
	if err := exampleReport(t).WriteJSON(&good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(map[string]any){
		"another schema":    func(r map[string]any) { r["schema"] = "rapport.report/2" },
		"no decision":       func(r map[string]any) { delete(r, "decision") },
		"a count in words":  func(r map[string]any) { r["quality"].(map[string]any)["items"] = "many" },
		"an unknown role":   func(r map[string]any) { first(r["quality"].(map[string]any)["contenders"])["role"] = "winner" },
		"a fraction of one": func(r map[string]any) { r["quality"].(map[string]any)["queries"] = 1.5 },
		"no time":           func(r map[string]any) { r["run"].(map[string]any)["clock"] = "yesterday" },
		"null for a list":   func(r map[string]any) { r["run"] = nil },
	} {
		var v map[string]any
		if err := json.Unmarshal(good.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		spoil(v)
		if len((validator{root}).check(root, v, "$")) == 0 {
			t.Errorf("%s: accepted", name)
		}
	}
}

func first(list any) map[string]any { return list.([]any)[0].(map[string]any) }

// validator checks the words of JSON Schema that Schema uses.
type validator struct{ root map[string]any }

func (v validator) check(schema map[string]any, x any, at string) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, at+": "+fmt.Sprintf(format, args...)) }
	for word, want := range schema {
		switch word {
		case "$schema", "$id", "$defs", "title", "description":
		case "$ref":
			to := v.root["$defs"].(map[string]any)[strings.TrimPrefix(want.(string), "#/$defs/")]
			if to == nil {
				fault("%s leads nowhere", want)
				continue
			}
			faults = append(faults, v.check(to.(map[string]any), x, at)...)
		case "const":
			if x != want {
				fault("%v, want %v", x, want)
			}
		case "enum":
			if !slices.Contains(want.([]any), x) {
				fault("%v is none of %v", x, want)
			}
		case "minimum":
			if n, ok := x.(float64); ok && n < want.(float64) {
				fault("%v is under %v", n, want)
			}
		case "format":
			if s, ok := x.(string); ok && want == "date-time" {
				if _, err := time.Parse(time.RFC3339, s); err != nil {
					fault("%v", err)
				}
			}
		case "type":
			kinds, ok := want.([]any)
			if !ok {
				kinds = []any{want}
			}
			if !slices.ContainsFunc(kinds, func(k any) bool { return is(x, k.(string)) }) {
				fault("%T, want %v", x, kinds)
			}
		case "anyOf":
			if !slices.ContainsFunc(want.([]any), func(s any) bool { return len(v.check(s.(map[string]any), x, at)) == 0 }) {
				fault("fits none of the choices")
			}
		case "required":
			if o, ok := x.(map[string]any); ok {
				for _, name := range want.([]any) {
					if _, ok := o[name.(string)]; !ok {
						fault("%s is missing", name)
					}
				}
			}
		case "properties":
			if o, ok := x.(map[string]any); ok {
				for name, s := range want.(map[string]any) {
					if field, ok := o[name]; ok {
						faults = append(faults, v.check(s.(map[string]any), field, at+"."+name)...)
					}
				}
				for name := range o { // every field that is written is described
					if _, ok := want.(map[string]any)[name]; !ok {
						fault("%s is not in the schema", name)
					}
				}
			}
		case "additionalProperties":
			if o, ok := x.(map[string]any); ok {
				for name, field := range o {
					faults = append(faults, v.check(want.(map[string]any), field, at+"."+name)...)
				}
			}
		case "items":
			if list, ok := x.([]any); ok {
				for i, e := range list {
					faults = append(faults, v.check(want.(map[string]any), e, fmt.Sprintf("%s[%d]", at, i))...)
				}
			}
		default:
			fault("the validator does not know %q", word)
		}
	}
	return faults
}

func is(x any, kind string) bool {
	switch x := x.(type) {
	case nil:
		return kind == "null"
	case bool:
		return kind == "boolean"
	case string:
		return kind == "string"
	case float64:
		return kind == "number" || kind == "integer" && x == float64(int64(x))
	case []any:
		return kind == "array"
	}
	return kind == "object"
}
