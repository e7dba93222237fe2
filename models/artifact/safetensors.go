package artifact

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// maxHeader is the largest safetensors header that readers accept, in bytes: the format's own limit.
const maxHeader = 100_000_000

// maxRank is the largest number of dimensions of a tensor.
const maxRank = 8

type element interface {
	float32 | float64 | int32 | int64 | uint8
}

// tensor is one array of a safetensors file. When writing, put appends the values; when reading, raw holds them.
type tensor struct {
	name  string
	dtype string
	size  int // bytes of one value
	shape []int
	n     int // values
	put   func(dst []byte) []byte
	raw   []byte
}

// dtypes gives the bytes of one value.
var dtypes = map[string]int{"F64": 8, "I64": 8, "F32": 4, "I32": 4, "U8": 1}

func dtypeOf[T element]() string {
	var v T
	switch any(v).(type) {
	case float64:
		return "F64"
	case int64:
		return "I64"
	case float32:
		return "F32"
	case int32:
		return "I32"
	default:
		return "U8"
	}
}

func newTensor[T element](name string, shape []int, data []T) tensor {
	dtype := dtypeOf[T]()
	return tensor{name: name, dtype: dtype, size: dtypes[dtype], shape: slices.Clone(shape), n: len(data), put: func(dst []byte) []byte { return appendValues(dst, data) }}
}

// count returns the product of shape, or an error if it is not that of an array in memory.
func count(shape []int) (int, error) {
	if len(shape) > maxRank {
		return 0, fmt.Errorf("%d dimensions, at most %d are supported", len(shape), maxRank)
	}
	n := 1
	for _, d := range shape {
		if d < 0 || (d > 0 && n > math.MaxInt/16/d) {
			return 0, fmt.Errorf("shape %v is negative or too large", shape)
		}
		n *= d
	}
	return n, nil
}

// encodeTensors writes a safetensors file in one allocation of its final size.
func encodeTensors(tensors []tensor) ([]byte, error) {
	order := slices.Clone(tensors)
	slices.SortFunc(order, func(a, b tensor) int {
		return cmp.Or(cmp.Compare(b.size, a.size), cmp.Compare(a.name, b.name))
	})
	var head bytes.Buffer
	head.WriteByte('{')
	offset := 0
	for i, t := range order {
		if i > 0 {
			head.WriteByte(',')
		}
		end := offset + t.n*t.size
		shape := t.shape
		if shape == nil {
			shape = []int{}
		}
		name, err := json.Marshal(t.name)
		if err != nil {
			return nil, err
		}
		dims, err := json.Marshal(shape)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&head, `%s:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, name, t.dtype, dims, offset, end)
		offset = end
	}
	head.WriteByte('}')
	for head.Len()%8 != 0 {
		head.WriteByte(' ')
	}
	if head.Len() > maxHeader {
		return nil, fmt.Errorf("the safetensors header has %d bytes, at most %d are allowed: store fewer tensors", head.Len(), maxHeader)
	}
	out := make([]byte, 0, 8+head.Len()+offset)
	out = binary.LittleEndian.AppendUint64(out, uint64(head.Len()))
	out = append(out, head.Bytes()...)
	for _, t := range order {
		out = t.put(out)
	}
	return out, nil
}

// decodeTensors parses a safetensors file. The tensors' raw bytes are views into data.
func decodeTensors(data []byte) (map[string]tensor, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("%d bytes, a safetensors file has at least 8", len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	if n > maxHeader || n > uint64(len(data)-8) {
		return nil, fmt.Errorf("header of %d bytes in a file of %d: the file is damaged or truncated", n, len(data))
	}
	head, body := data[8:8+n], data[8+n:]
	if len(head) == 0 || head[0] != '{' {
		return nil, errors.New("the header does not start with '{'")
	}
	entries, err := decodeHeader(head)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Offsets[0], b.Offsets[0]), cmp.Compare(a.Offsets[1], b.Offsets[1]), cmp.Compare(a.name, b.name))
	})
	tensors := make(map[string]tensor, len(entries))
	at := 0
	for _, e := range entries {
		size, ok := dtypes[e.Dtype]
		if !ok {
			return nil, fmt.Errorf("tensor %q: type %q is not one of F32, F64, I32, I64, U8", e.name, e.Dtype)
		}
		n, err := count(e.Shape)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", e.name, err)
		}
		begin, end := e.Offsets[0], e.Offsets[1]
		if begin != at || end < begin || end > len(body) || end-begin != n*size {
			return nil, fmt.Errorf("tensor %q: bytes [%d, %d) of %d do not hold %d values of %s without a hole", e.name, begin, end, len(body), n, e.Dtype)
		}
		tensors[e.name] = tensor{name: e.name, dtype: e.Dtype, size: size, shape: e.Shape, n: n, raw: body[begin:end:end]}
		at = end
	}
	if at != len(body) {
		return nil, fmt.Errorf("%d bytes after the last tensor", len(body)-at)
	}
	return tensors, nil
}

// entry is one tensor's description in the header.
type entry struct {
	name    string
	Dtype   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets []int  `json:"data_offsets"` // begin, end
}

// decodeHeader reads the header's object key by key: encoding/json would silently keep the last of two tensors of one name.
func decodeHeader(head []byte) ([]entry, error) {
	d := json.NewDecoder(bytes.NewReader(head))
	d.DisallowUnknownFields()
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	var entries []entry
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("header: %w", err)
		}
		name := key.(string) // the decoder lets no other key through
		if seen[name] {
			return nil, fmt.Errorf("header: %q stands there twice", name)
		}
		seen[name] = true
		if name == "__metadata__" {
			var meta map[string]string
			if err := d.Decode(&meta); err != nil {
				return nil, fmt.Errorf("header: __metadata__: %w", err)
			}
			continue
		}
		e := entry{name: name}
		if err := d.Decode(&e); err != nil {
			return nil, fmt.Errorf("header: tensor %q: %w", name, err)
		}
		if len(e.Offsets) != 2 {
			return nil, fmt.Errorf("header: tensor %q: data_offsets has %d numbers, want 2", name, len(e.Offsets))
		}
		entries = append(entries, e)
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("header: bytes after its end")
	}
	return entries, nil
}

func appendValues[T element](dst []byte, data []T) []byte {
	switch data := any(data).(type) {
	case []float64:
		for _, v := range data {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
		}
	case []int64:
		for _, v := range data {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
		}
	case []float32:
		for _, v := range data {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
		}
	case []int32:
		for _, v := range data {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(v))
		}
	case []uint8:
		dst = append(dst, data...)
	}
	return dst
}

func decodeValues[T element](raw []byte, n int) []T {
	out := make([]T, n)
	switch out := any(out).(type) {
	case []float64:
		for i := range out {
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
		}
	case []int64:
		for i := range out {
			out[i] = int64(binary.LittleEndian.Uint64(raw[8*i:]))
		}
	case []float32:
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	case []int32:
		for i := range out {
			out[i] = int32(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	case []uint8:
		copy(out, raw)
	}
	return out
}

// checkFinite names the first value that is NaN or infinite.
func checkFinite[T element](data []T) error {
	for i, v := range data {
		if v-v != 0 { // x−x is NaN for NaN and ±Inf, and 0 otherwise
			return fmt.Errorf("value %d is %v: the model diverged or was given a value that is not finite", i, v)
		}
	}
	return nil
}
