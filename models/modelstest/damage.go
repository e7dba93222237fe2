package modelstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/rapport-ml/rapport/models/artifact"
)

// damagedArtifact takes from an artifact one thing at a time, keeping its files well-formed, and demands an error of the loader.
func (s *suite) damagedArtifact(t *testing.T) {
	files := encode(t, s.train(t, Checkerboard()))
	refused := func(what string, damaged artifact.Files) {
		t.Helper()
		if _, err := s.open(damaged); err == nil {
			t.Errorf("%s: loaded all the same", what)
		}
	}
	intact := func(what string, same artifact.Files) {
		t.Helper()
		if _, err := s.open(same); err != nil {
			t.Fatalf("%s: the edit itself did damage: %v", what, err)
		}
	}
	var sections map[string]map[string]json.RawMessage
	if err := json.Unmarshal(field(t, files[artifact.ManifestName], "sections"), &sections); err != nil {
		t.Fatal(err)
	}
	for section := range sections {
		for _, part := range []string{"values", "strings"} {
			var entries map[string]json.RawMessage
			if raw := sections[section][part]; raw != nil {
				if err := json.Unmarshal(raw, &entries); err != nil {
					t.Fatal(err)
				}
			}
			for name, raw := range entries {
				intact("rewriting "+name, edit(t, files, section, part, name, raw))
				what := fmt.Sprintf("section %q without %s %q", section, part, name)
				refused(what, edit(t, files, section, part, name, nil))
				var list []json.RawMessage
				if json.Unmarshal(raw, &list) == nil && part == "strings" {
					longer := append(list, json.RawMessage(`"\u0000"`))
					refused(what+" but one too many", edit(t, files, section, part, name, longer))
				}
				if part == "values" {
					refused(what+" but a list of its name", edit(t, files, section, part, name, []int{1}))
				}
			}
		}
	}
	header := map[string]struct {
		Dtype   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}{}
	data := files[artifact.WeightsName]
	n := binary.LittleEndian.Uint64(data)
	if err := json.Unmarshal(data[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	intact("rewriting the header", withHeader(t, files, header, data[8+n:]))
	for name, entry := range header {
		// The same bytes under another name: a hole where the loader looks.
		delete(header, name)
		header["elsewhere"] = entry
		refused("without tensor "+name, withHeader(t, files, header, data[8+n:]))
		delete(header, "elsewhere")
		header[name] = entry
	}
}

// field returns one field of a JSON object.
func field(t *testing.T, object []byte, name string) json.RawMessage {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		t.Fatal(err)
	}
	return fields[name]
}

// edit replaces one entry of a section of the manifest; nil removes it.
func edit(t *testing.T, files artifact.Files, section, part, name string, value any) artifact.Files {
	t.Helper()
	var m struct {
		Format   int                                   `json:"format"`
		Sections map[string]map[string]json.RawMessage `json:"sections"`
		Weights  json.RawMessage                       `json:"weights"`
	}
	if err := json.Unmarshal(files[artifact.ManifestName], &m); err != nil {
		t.Fatal(err)
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(m.Sections[section][part], &entries); err != nil {
		t.Fatal(err)
	}
	delete(entries, name)
	if value != nil {
		entries[name] = compact(t, value)
	}
	delete(m.Sections[section], part)
	if len(entries) > 0 {
		m.Sections[section][part] = compact(t, entries)
	}
	return artifact.Files{artifact.ManifestName: append(compact(t, m), '\n'), artifact.WeightsName: files[artifact.WeightsName]}
}

// withHeader replaces the safetensors header and makes the manifest vouch for the result.
func withHeader(t *testing.T, files artifact.Files, header any, body []byte) artifact.Files {
	t.Helper()
	head := compact(t, header)
	for len(head)%8 != 0 {
		head = append(head, ' ')
	}
	data := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	data = append(append(data, head...), body...)
	old := field(t, files[artifact.ManifestName], "weights")
	vouch := fmt.Sprintf(`{"sha256":"%x","size":%d}`, sha256.Sum256(data), len(data))
	return artifact.Files{artifact.ManifestName: bytes.Replace(files[artifact.ManifestName], old, []byte(vouch), 1), artifact.WeightsName: data}
}

func compact(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
