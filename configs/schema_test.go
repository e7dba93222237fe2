package configs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// faults holds a value against the part of JSON Schema that Schema uses; a keyword that it does not know is a fault of the test.
func faults(s map[string]any, v any, at string) (out []string) {
	fault := func(format string, args ...any) { out = append(out, at+": "+fmt.Sprintf(format, args...)) }
	if branches, ok := s["anyOf"].([]any); ok {
		var all []string
		for _, branch := range branches {
			f := faults(branch.(map[string]any), v, at)
			if len(f) == 0 {
				all = nil
				break
			}
			all = append(all, f...)
		}
		out = append(out, all...)
	}
	kind := "null"
	switch x := v.(type) {
	case string:
		kind = "string"
	case bool:
		kind = "boolean"
	case uint64, int64:
		kind = "integer"
	case float64:
		kind = "number"
	case []any:
		kind = "array"
		for i, e := range x {
			if items, ok := s["items"].(map[string]any); ok {
				out = append(out, faults(items, e, fmt.Sprintf("%s[%d]", at, i))...)
			}
		}
	case map[string]any:
		kind = "object"
		properties, _ := s["properties"].(map[string]any)
		for k, e := range x {
			if p, ok := properties[k].(map[string]any); ok {
				out = append(out, faults(p, e, at+"."+k)...)
			} else if more, ok := s["additionalProperties"].(map[string]any); ok {
				out = append(out, faults(more, e, at+"."+k)...)
			} else if s["additionalProperties"] == false {
				fault("unknown key %s", k)
			}
		}
		required, _ := s["required"].([]any)
		for _, k := range required {
			if _, ok := x[k.(string)]; !ok {
				fault("%s is missing", k)
			}
		}
		if n, ok := s["maxProperties"].(float64); ok && len(x) > int(n) {
			fault("%d keys", len(x))
		}
		if n, ok := s["minProperties"].(float64); ok && len(x) < int(n) {
			fault("%d keys", len(x))
		}
	}
	var types []string
	switch t := s["type"].(type) {
	case string:
		types = []string{t}
	case []any:
		for _, x := range t {
			types = append(types, x.(string))
		}
	}
	if types != nil && !slices.Contains(types, kind) && !(kind == "integer" && slices.Contains(types, "number")) {
		fault("is of type %s, not %v", kind, types)
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, v) {
		fault("%v is not one of %v", v, enum)
	}
	if p, ok := s["pattern"].(string); ok && kind == "string" && !regexp.MustCompile(p).MatchString(v.(string)) {
		fault("%v does not match %s", v, p)
	}
	for k := range s {
		if !slices.Contains([]string{"$schema", "$id", "title", "description", "examples", "format", "minimum", "type", "enum", "pattern", "anyOf", "items", "properties", "additionalProperties", "required", "minProperties", "maxProperties"}, k) {
			fault("the test does not know the keyword %s", k)
		}
	}
	return out
}

func schemaFaults(t *testing.T, body []byte) []string {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := yaml.Unmarshal(body, &v); err != nil {
		return []string{err.Error()}
	}
	return faults(schema, v, "")
}

// TestSchema holds the schema against project files: those that Load takes pass, and those whose form is wrong do not.
func TestSchema(t *testing.T) {
	for _, name := range TemplateNames {
		body, err := Template(name, time.Date(2026, 1, 31, 3, 0, 0, 0, time.UTC), "file:./raw")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range schemaFaults(t, body) {
			t.Errorf("template %s: %s", name, f)
		}
	}
	for _, path := range files(t, "testdata/good/*.yaml") {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range schemaFaults(t, body) {
			t.Errorf("%s: %s", path, f)
		}
	}
	for _, name := range []string{"unknown_keys", "wrong_types", "durations", "list", "missing", "words"} {
		body, err := os.ReadFile("testdata/bad/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if len(schemaFaults(t, body)) == 0 {
			t.Errorf("bad/%s.yaml passes the schema", name)
		}
	}
}

// TestSchemaChoices asks the check of project files for every choice that the schema offers: a value that it offers and Load refuses, or one that
// Load knows and the schema does not offer, would mislead.
func TestSchemaChoices(t *testing.T) {
	good, err := os.ReadFile("testdata/good/every_key.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ field, now, as string }{
		{"Storage.Credentials", "credentials: env", "credentials: %s"},
		{"Events.TimeUnit", `time_format: "%d.%m.%Y %H:%M"`, "time_unit: %s"},
		{"Purpose.Basis", "basis: legitimate-interest", "basis: %s"},
		{"Lists.Seen", "seen: mask", "seen: %s"},
		{"Job.Overlap", "overlap: buffer-one", "overlap: %s"},
		{"Budget.OnFail", "on_fail: warn", "on_fail: %s"},
		{"Drift.Action", "action: retrain", "action: %s"},
		{"Drift.Reference", "reference: same_weekdays", "reference: %s"},
		{"DriftColumn.Action", "threshold: 0.2, action: warn", "threshold: 0.2, action: %s"},
		{"Expected.Drift", "drift: warn", "drift: %s"},
		{"Expected.Volume", "volume: warn", "volume: %s"},
		{"Expected.Compare", "compare: last_occurrence", "compare: %s"},
		{"Alert.Format", "format: slack", "format: %s"},
		{"Alert.On", "on: [failed, late]", "on: [%s]"},
	} {
		try := func(value string) error {
			body := bytes.Replace(good, []byte(c.now), []byte(fmt.Sprintf(c.as, value)), 1)
			if bytes.Equal(body, good) && fmt.Sprintf(c.as, value) != c.now {
				t.Fatalf("every_key.yaml has no %q", c.now)
			}
			path := filepath.Join(t.TempDir(), "rapport.yaml")
			if err := os.WriteFile(path, body, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path)
			return err
		}
		for _, value := range choices[c.field] {
			if err := try(value); err != nil {
				t.Errorf("%s %s is offered and refused: %v", c.field, value, err)
			}
		}
		if try("nonsense") == nil {
			t.Errorf("%s takes any value", c.field)
		}
	}
}

// TestReference keeps the committed schema and reference current; -update writes them.
func TestReference(t *testing.T) {
	for path, make := range map[string]func() ([]byte, error){"../docs/rapport.schema.json": Schema, "../docs/config.md": Reference} {
		want, err := make()
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not current (%v): go test ./configs -run Reference -update", path, err)
		}
	}
}
