package artifact

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Reader gives the contents of one section of an artifact. It is safe for concurrent use.
type Reader struct {
	manifest *manifest
	tensors  map[string]tensor
	section  string
}

// Open checks untrusted files and returns a Reader at the root section. The Reader keeps files' bytes: they must not change while it
// is in use. What the Reader's methods return is the caller's own.
func Open(files Files) (*Reader, error) {
	for _, name := range []string{ManifestName, WeightsName} {
		if _, ok := files[name]; !ok {
			return nil, fmt.Errorf("open artifact: %s is missing", name)
		}
	}
	m, err := decodeManifest(files[ManifestName])
	if err != nil {
		return nil, fmt.Errorf("open artifact: %s: %w", ManifestName, err)
	}
	data := files[WeightsName]
	if sum := sha256.Sum256(data); int64(len(data)) != m.Weights.Size || hex.EncodeToString(sum[:]) != m.Weights.SHA256 {
		return nil, fmt.Errorf("open artifact: %s is not the file that %s describes: one of them is damaged, truncated, or of another version",
			WeightsName, ManifestName)
	}
	tensors, err := decodeTensors(data)
	if err != nil {
		return nil, fmt.Errorf("open artifact: %s: %w", WeightsName, err)
	}
	return &Reader{manifest: m, tensors: tensors}, nil
}

// Section returns a Reader for the section name below the current one. A section that is not there is empty.
func (r *Reader) Section(name string) *Reader {
	return &Reader{manifest: r.manifest, tensors: r.tensors, section: path.Join(r.section, name)}
}

// Sections returns the names of the sections directly below the current one, ascending.
func (r *Reader) Sections() []string {
	var names []string
	for full := range r.manifest.Sections {
		rest := full
		if r.section != "" {
			var ok bool
			if rest, ok = strings.CutPrefix(full, r.section+"/"); !ok {
				continue
			}
		}
		if name, _, _ := strings.Cut(rest, "/"); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Model returns the algorithm that the current section belongs to, or "".
func (r *Reader) Model() string {
	if s := r.manifest.Sections[r.section]; s != nil {
		return s.Model
	}
	return ""
}

// Strings returns a list of strings.
func (r *Reader) Strings(name string) ([]string, error) {
	if s := r.manifest.Sections[r.section]; s != nil {
		if list, ok := s.Strings[name]; ok {
			return slices.Clone(list), nil
		}
	}
	return nil, r.missing("list of strings", name)
}

// JSON decodes a value into dst, which must know every field of it.
func (r *Reader) JSON(name string, dst any) error {
	if s := r.manifest.Sections[r.section]; s != nil {
		if raw, ok := s.Values[name]; ok {
			d := json.NewDecoder(bytes.NewReader(raw))
			d.DisallowUnknownFields()
			if err := d.Decode(dst); err != nil {
				return fmt.Errorf("artifact value %q of section %q: %w", name, r.section, err)
			}
			return nil
		}
	}
	return r.missing("value", name)
}

// F32 returns a tensor of float32 values. want is the shape it must have, -1 standing for any extent; no want accepts any shape. The
// same holds for F64, I32, I64 and U8.
func (r *Reader) F32(name string, want ...int) ([]float32, error) {
	return readTensor[float32](r, name, want)
}

// F64 returns a tensor of float64 values.
func (r *Reader) F64(name string, want ...int) ([]float64, error) {
	return readTensor[float64](r, name, want)
}

// I32 returns a tensor of int32 values.
func (r *Reader) I32(name string, want ...int) ([]int32, error) {
	return readTensor[int32](r, name, want)
}

// I64 returns a tensor of int64 values.
func (r *Reader) I64(name string, want ...int) ([]int64, error) {
	return readTensor[int64](r, name, want)
}

// U8 returns a tensor of bytes.
func (r *Reader) U8(name string, want ...int) ([]uint8, error) {
	return readTensor[uint8](r, name, want)
}

// Shape returns a tensor's shape.
func (r *Reader) Shape(name string) ([]int, error) {
	t, ok := r.tensors[path.Join(r.section, name)]
	if !ok {
		return nil, r.missing("tensor", name)
	}
	return slices.Clone(t.shape), nil
}

func readTensor[T element](r *Reader, name string, want []int) ([]T, error) {
	t, ok := r.tensors[path.Join(r.section, name)]
	if !ok {
		return nil, r.missing("tensor", name)
	}
	if dtype := dtypeOf[T](); t.dtype != dtype {
		return nil, fmt.Errorf("artifact tensor %q holds %s, want %s", t.name, t.dtype, dtype)
	}
	fits := len(want) == 0 || len(want) == len(t.shape)
	for i := 0; fits && i < len(want); i++ {
		fits = want[i] < 0 || want[i] == t.shape[i]
	}
	if !fits {
		return nil, fmt.Errorf("artifact tensor %q has shape %v, want %v", t.name, t.shape, want)
	}
	data := decodeValues[T](t.raw, t.n)
	if err := checkFinite(data); err != nil {
		return nil, fmt.Errorf("artifact tensor %q: %w", t.name, err)
	}
	return data, nil
}

func (r *Reader) missing(what, name string) error {
	return fmt.Errorf("artifact has no %s %q in section %q", what, name, r.section)
}
