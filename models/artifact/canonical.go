package artifact

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// canonical encodes value as JSON with sorted keys, no white space and no HTML escapes.
func canonical(value any) (json.RawMessage, error) {
	raw, err := marshal(value)
	if err != nil {
		return nil, err
	}
	if replaced(raw) {
		return nil, fmt.Errorf("encode JSON: a string is not valid UTF-8")
	}
	// Structs keep their field order; a round trip through maps sorts them. Number keeps each literal as it stands.
	var tree any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	return marshal(tree)
}

// encodeManifest encodes m. Its struct fields are declared in sorted order and its raw values are canonical, so that one pass does.
func encodeManifest(m *manifest) ([]byte, error) {
	raw, err := marshal(m)
	if err != nil {
		return nil, err
	}
	return append(raw, '\n'), nil
}

// decodeManifest decodes a canonical manifest and refuses any other bytes. It allocates at most a small multiple of len(data).
func decodeManifest(data []byte) (*manifest, error) {
	// The format number first: a newer manifest may hold fields that this package does not know.
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, err
	}
	if head.Format < 1 {
		return nil, fmt.Errorf("format %d: not a manifest of this program", head.Format)
	}
	if head.Format > Format {
		return nil, fmt.Errorf("format %d was made by a newer rapport; this one reads up to %d", head.Format, Format)
	}
	m := &manifest{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, err
	}
	for name, s := range m.Sections {
		if s == nil {
			return nil, fmt.Errorf("section %q is null", name)
		}
		for key, raw := range s.Values {
			c, err := canonical(raw)
			if err != nil {
				return nil, fmt.Errorf("value %q of section %q: %w", key, name, err)
			}
			s.Values[key] = c
		}
	}
	again, err := encodeManifest(m)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, data) {
		return nil, fmt.Errorf("not canonical JSON: the file was edited or damaged; take it from its bucket again")
	}
	return m, nil
}

// marshal is json.Marshal without HTML escapes.
func marshal(value any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// replaced reports whether encoding/json had to replace bytes that are not UTF-8. It writes those, and only those, as the escape
// \ufffd; a backslash of the text itself is escaped and so followed by another one.
func replaced(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] == '\\' {
			if bytes.HasPrefix(raw[i:], []byte(`\ufffd`)) {
				return true
			}
			i++
		}
	}
	return false
}
