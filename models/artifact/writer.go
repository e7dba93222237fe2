package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// The names of an artifact's files.
const (
	ManifestName = "model.json"
	WeightsName  = "weights.safetensors"
)

// Format is the number of the format that this package writes, and the highest that it reads.
const Format = 1

// Files are an artifact's files by name: ManifestName and WeightsName.
type Files map[string][]byte

// Digest returns the artifact's digest, 64 hexadecimal digits: SHA-256 over one line "<SHA-256 of the file>  <name>\n" a file, in the
// order of their names.
func (f Files) Digest() string {
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	h := sha256.New()
	for _, name := range names {
		fmt.Fprintf(h, "%x  %s\n", sha256.Sum256(f[name]), name)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Writer collects the tensors, strings and JSON values of one artifact under its current section. Faults are kept and reported
// together by Encode, so that a model's Save reads as a list of what it holds. A Writer is not safe for concurrent use.
type Writer struct {
	root    *contents
	section string
}

// contents is what all sections of one artifact share.
type contents struct {
	tensors  []tensor
	sections map[string]*section
	names    map[string]bool // full names taken, tensors, strings and values alike
	errs     []error
}

// section is one section of the manifest.
type section struct {
	Model   string                     `json:"model,omitempty"`
	Strings map[string][]string        `json:"strings,omitempty"`
	Values  map[string]json.RawMessage `json:"values,omitempty"`
}

// manifest is model.json. Its fields stand in the order of their JSON names, as canonical JSON demands.
type manifest struct {
	Format   int                 `json:"format"`
	Sections map[string]*section `json:"sections"`
	Weights  weights             `json:"weights"`
}

type weights struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// NewWriter returns an empty Writer at the root section.
func NewWriter() *Writer {
	return &Writer{root: &contents{sections: map[string]*section{}, names: map[string]bool{}}}
}

// Section returns a Writer for the section name below the current one. name is one or more elements of [a-z0-9_.-], joined by slashes.
func (w *Writer) Section(name string) *Writer {
	if !validName(name) {
		w.fail(name, errors.New("a section's name is made of a-z, 0-9, '_', '-', '.' and '/'"))
	}
	return &Writer{root: w.root, section: path.Join(w.section, name)}
}

// Model records which algorithm the current section belongs to. A reader dispatches on it.
func (w *Writer) Model(name string) {
	if !validName(name) {
		w.fail("model", fmt.Errorf("model name %q: use a-z, 0-9, '_', '-' and '.'", name))
		return
	}
	s := w.here()
	if s.Model != "" && s.Model != name {
		w.fail("model", fmt.Errorf("section belongs to %q already", s.Model))
	}
	s.Model = name
}

// F32 adds a tensor of float32 values. shape is row-major; its product is len(data). data is not copied: it must not change before
// Encode. The same holds for F64, I32, I64 and U8.
func (w *Writer) F32(name string, shape []int, data []float32) { addTensor(w, name, shape, data) }

// F64 adds a tensor of float64 values.
func (w *Writer) F64(name string, shape []int, data []float64) { addTensor(w, name, shape, data) }

// I32 adds a tensor of int32 values.
func (w *Writer) I32(name string, shape []int, data []int32) { addTensor(w, name, shape, data) }

// I64 adds a tensor of int64 values.
func (w *Writer) I64(name string, shape []int, data []int64) { addTensor(w, name, shape, data) }

// U8 adds a tensor of bytes.
func (w *Writer) U8(name string, shape []int, data []uint8) { addTensor(w, name, shape, data) }

// Strings adds a list of strings, such as item ids. They must be valid UTF-8, for JSON holds nothing else. list is not copied.
func (w *Writer) Strings(name string, list []string) {
	if !w.claim(name) {
		return
	}
	for i, s := range list {
		if !utf8.ValidString(s) {
			w.fail(name, fmt.Errorf("string %d is not valid UTF-8; clean it where it enters the catalog", i))
			return
		}
	}
	if list == nil {
		list = []string{}
	}
	s := w.here()
	if s.Strings == nil {
		s.Strings = map[string][]string{}
	}
	s.Strings[name] = list
}

// JSON adds a value that encoding/json can encode, such as hyperparameters. Its objects' keys are sorted.
func (w *Writer) JSON(name string, value any) {
	if !w.claim(name) {
		return
	}
	raw, err := canonical(value)
	if err != nil {
		w.fail(name, err)
		return
	}
	s := w.here()
	if s.Values == nil {
		s.Values = map[string]json.RawMessage{}
	}
	s.Values[name] = raw
}

// Encode returns the artifact's files and their digest, or every fault of the calls before. Equal contents give equal bytes, whatever
// the order in which they were added. It allocates the two files and little else.
func (w *Writer) Encode() (files Files, digest string, err error) {
	if len(w.root.errs) > 0 {
		return nil, "", fmt.Errorf("encode artifact: %w", errors.Join(w.root.errs...))
	}
	data, err := encodeTensors(w.root.tensors)
	if err != nil {
		return nil, "", fmt.Errorf("encode artifact: %w", err)
	}
	sum := sha256.Sum256(data)
	head, err := encodeManifest(&manifest{
		Format:   Format,
		Sections: w.root.sections,
		Weights:  weights{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(data))},
	})
	if err != nil {
		return nil, "", fmt.Errorf("encode artifact: %w", err)
	}
	files = Files{ManifestName: head, WeightsName: data}
	return files, files.Digest(), nil
}

func addTensor[T element](w *Writer, name string, shape []int, data []T) {
	if !w.claim(name) {
		return
	}
	w.here()
	n, err := count(shape)
	if err == nil && n != len(data) {
		err = fmt.Errorf("shape %v needs %d values, got %d", shape, n, len(data))
	}
	if err == nil {
		err = checkFinite(data)
	}
	if err != nil {
		w.fail(name, err)
		return
	}
	w.root.tensors = append(w.root.tensors, newTensor(path.Join(w.section, name), shape, data))
}

// here returns the current section, which exists from its first use on.
func (w *Writer) here() *section {
	s := w.root.sections[w.section]
	if s == nil {
		s = &section{}
		w.root.sections[w.section] = s
	}
	return s
}

// claim takes a name in the current section; a name is given to one thing only.
func (w *Writer) claim(name string) bool {
	full := path.Join(w.section, name)
	switch {
	case !validName(name) || strings.Contains(name, "/"):
		w.fail(name, errors.New("a name is made of a-z, 0-9, '_', '-' and '.'"))
	case w.root.names[full]:
		w.fail(name, errors.New("name is taken already"))
	default:
		w.root.names[full] = true
		return true
	}
	return false
}

func (w *Writer) fail(name string, err error) {
	w.root.errs = append(w.root.errs, fmt.Errorf("%q in section %q: %w", name, w.section, err))
}

// validName reports whether s is a path of elements of [a-z0-9_.-] that means the same when cleaned.
func validName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("_-./", rune(c)) {
			return false
		}
	}
	return s != "" && s != "." && s[0] != '/' && path.Clean(s) == s && !strings.HasPrefix(s, "..")
}
