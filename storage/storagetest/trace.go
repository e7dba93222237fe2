package storagetest

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// Traces are byte patterns, each by a name: what a scan looks for. Its cost is one pass over what is scanned, however many they are.
type Traces struct {
	patterns []trace
	byHead   map[uint64][]int     // first 6 bytes → patterns
	heads    [1 << 16 / 64]uint64 // a bit for the hash of each head, so that the map is rarely asked
}

type trace struct {
	name  string
	bytes []byte
}

// leastTrace is how short a pattern may be, in bytes: shorter ones stand everywhere by chance.
const leastTrace = 6

// Add adds a pattern of at least 6 bytes. A name may have several.
func (t *Traces) Add(name string, pattern []byte) error {
	if len(pattern) < leastTrace {
		return fmt.Errorf("trace %s: a pattern of %d bytes is found by chance: take at least %d", name, len(pattern), leastTrace)
	}
	if t.byHead == nil {
		t.byHead = map[uint64][]int{}
	}
	head := headOf(pattern)
	t.byHead[head] = append(t.byHead[head], len(t.patterns))
	bit := hashHead(head)
	t.heads[bit/64] |= 1 << (bit % 64)
	t.patterns = append(t.patterns, trace{name, bytes.Clone(pattern)})
	return nil
}

func headOf(b []byte) uint64 {
	return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint16(b[4:]))<<32
}

func hashHead(head uint64) uint64 { return head * 0x9e3779b97f4a7c15 >> 48 }

// Scan decodes a body (see Decode) and calls found for each pattern that stands in it, once a decoding. where names the body.
func (t *Traces) Scan(where string, body []byte, found func(name, where string)) error {
	return Decode(where, body, func(where string, text []byte) {
		var seen []int
		for i := 0; i+leastTrace <= len(text); i++ {
			head := headOf(text[i:])
			if bit := hashHead(head); t.heads[bit/64]>>(bit%64)&1 == 0 {
				continue
			}
			for _, p := range t.byHead[head] {
				if !bytes.HasPrefix(text[i:], t.patterns[p].bytes) || slices.Contains(seen, p) {
					continue
				}
				seen = append(seen, p)
				found(t.patterns[p].name, where)
			}
		}
	})
}

// maxDecodings is how deep encodings may lie in each other.
const maxDecodings = 6

// Decode calls each with a body and with all that it holds, however it is wrapped, to a depth of 6: values and metadata of Parquet (its statistics stand in
// plain in the file), rows of sorted tables, members of zip archives, what gzip and zstd have packed, and of text what stands behind backslash, HTML and percent
// escapes, and runs of hexadecimal digits and of base64. where says what was decoded from what. It fails where a body is not what its first or last
// bytes say: what cannot be read may hold anything.
func Decode(where string, body []byte, each func(where string, text []byte)) error {
	return decoder{each}.decode(where, body, 0)
}

type decoder struct {
	each func(where string, text []byte)
}

// sortedMagic ends a sorted table of pebble.
const sortedMagic = "\xf0\x9f\xaa\xb3\xf0\x9f\xaa\xb3"

// packed reports whether a body is of a format that says so itself.
func packed(body []byte) bool {
	for _, magic := range []string{"PAR1", "\x1f\x8b", "\x28\xb5\x2f\xfd", "PK\x03\x04"} {
		if bytes.HasPrefix(body, []byte(magic)) {
			return true
		}
	}
	return bytes.HasSuffix(body, []byte(sortedMagic))
}

func (d decoder) decode(where string, body []byte, depth int) error {
	d.each(where, body)
	if depth == maxDecodings || len(body) < leastTrace {
		return nil
	}
	inner := func(what string, part []byte) error { return d.decode(where+" › "+what, part, depth+1) }
	var err error
	switch {
	case bytes.HasPrefix(body, []byte("PAR1")):
		err = parquetValues(body, inner)
	case bytes.HasPrefix(body, []byte{0x1f, 0x8b}):
		var plain []byte
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			plain, err = io.ReadAll(r)
		}
		if err == nil {
			err = inner("gzip", plain)
		}
	case bytes.HasPrefix(body, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		var plain []byte
		if plain, err = new(zstd.Codec).Decode(nil, body); err == nil {
			err = inner("zstd", plain)
		}
	case bytes.HasPrefix(body, []byte("PK\x03\x04")):
		err = zipMembers(body, inner)
	case bytes.HasSuffix(body, []byte(sortedMagic)):
		err = sortedRows(body, inner)
	default:
		return d.text(where, body, depth)
	}
	if err != nil {
		return fmt.Errorf("scan %s: %w", where, err)
	}
	return nil
}

// text decodes what stands escaped or encoded in a text. What looks like packed bytes in base64 and is none is no fault: any word may look so.
func (d decoder) text(where string, body []byte, depth int) error {
	if isText(body) {
		for _, e := range []struct {
			name string
			mark byte
			undo func([]byte) []byte
		}{{"unescaped", '\\', unescape}, {"HTML", '&', func(b []byte) []byte { return []byte(html.UnescapeString(string(b))) }}, {"percent", '%', unpercent}} {
			if bytes.IndexByte(body, e.mark) < 0 {
				continue
			}
			if plain := e.undo(body); !bytes.Equal(plain, body) {
				if err := d.decode(where+" › "+e.name, plain, depth+1); err != nil {
					return err
				}
			}
		}
	}
	for _, coding := range codings {
		// The parts of one run are apart from each other by where they begin, and all but one are noise: it would drown what is text.
		var texts, noise []byte
		for run := range runs(body, coding.of, coding.least) {
			for _, part := range coding.decode(run) {
				switch {
				case packed(part):
					_ = d.decode(where+" › "+coding.name, part, depth+1) // by chance, perhaps
				case isText(part):
					texts = append(append(texts, '\n'), part...)
				default:
					noise = append(append(noise, '\n'), part...)
				}
			}
		}
		for _, all := range [][]byte{texts, noise} {
			if len(all) == 0 {
				continue
			}
			if err := d.decode(where+" › "+coding.name, append(all, '\n'), depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// isText reports whether a body is mostly text: rows of stores have a few bytes of numbers before theirs.
func isText(body []byte) bool {
	plain := 0
	for _, c := range body {
		if c >= ' ' && c < 0x7f || c == '\n' || c == '\t' || c == '\r' {
			plain++
		}
	}
	return plain >= len(body)/4*3 || utf8.Valid(body)
}

// unescape undoes the escapes of JSON and of Go.
func unescape(body []byte) []byte {
	out := make([]byte, 0, len(body))
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' || i+1 == len(body) {
			out = append(out, body[i])
			continue
		}
		i++
		digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[body[i]]
		if digits > 0 && i+digits < len(body) {
			if v, err := strconv.ParseUint(string(body[i+1:i+1+digits]), 16, 32); err == nil {
				if i += digits; digits == 2 {
					out = append(out, byte(v))
				} else {
					out = utf8.AppendRune(out, rune(v))
				}
				continue
			}
		}
		if plain := bytes.IndexByte([]byte("nrt"), body[i]); plain >= 0 {
			out = append(out, "\n\r\t"[plain])
		} else {
			out = append(out, body[i])
		}
	}
	return out
}

// unpercent undoes %XX, and leaves other percent signs alone.
func unpercent(body []byte) []byte {
	out := make([]byte, 0, len(body))
	for i := 0; i < len(body); i++ {
		if body[i] == '%' && i+2 < len(body) {
			if v, err := strconv.ParseUint(string(body[i+1:i+3]), 16, 8); err == nil {
				out = append(out, byte(v))
				i += 2
				continue
			}
		}
		out = append(out, body[i])
	}
	return out
}

// codings are what bytes are written in as text. A run may have something else of the same letters before it, so each place is tried at which a group may begin.
var codings = []struct {
	name   string
	least  int // letters of 6 bytes
	of     *[256]bool
	decode func(run []byte) [][]byte
}{
	{"hex", 12, letters("0123456789abcdefABCDEF"), func(run []byte) (parts [][]byte) {
		for at := range 2 {
			part := make([]byte, len(run[at:])/2)
			if _, err := hex.Decode(part, run[at:at+2*len(part)]); err == nil {
				parts = append(parts, part)
			}
		}
		return parts
	}},
	{"base64", 8, letters("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/-_"), func(run []byte) (parts [][]byte) {
		std := bytes.Clone(run)
		for i, c := range std { // the alphabet of addresses
			switch c {
			case '-':
				std[i] = '+'
			case '_':
				std[i] = '/'
			}
		}
		for at := range 4 {
			whole := std[at:]
			if len(whole)%4 == 1 {
				whole = whole[:len(whole)-1]
			}
			part := make([]byte, base64.RawStdEncoding.DecodedLen(len(whole)))
			if _, err := base64.RawStdEncoding.Decode(part, whole); err == nil {
				parts = append(parts, part)
			}
		}
		return parts
	}},
}

func letters(all string) *[256]bool {
	var is [256]bool
	for i := range len(all) {
		is[all[i]] = true
	}
	return &is
}

// runs yields the longest stretches of letters that are no shorter than least.
func runs(body []byte, of *[256]bool, least int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for i := 0; i < len(body); i++ {
			if !of[body[i]] {
				continue
			}
			from := i
			for i < len(body) && of[body[i]] {
				i++
			}
			if i-from >= least && !yield(body[from:i]) {
				return
			}
		}
	}
}

// parquetValues decodes what a file says of itself, and each value of each page and dictionary: numbers in decimal digits and as 8 bytes.
func parquetValues(body []byte, inner func(what string, part []byte) error) error {
	file, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return err
	}
	var texts, words bytes.Buffer
	var parts [][]byte // values that may be whole documents
	add := func(v parquet.Value) {
		switch v.Kind() {
		case parquet.Int64:
			fmt.Fprintf(&texts, "%d %d\n", v.Int64(), v.Uint64())
			words.Write(binary.LittleEndian.AppendUint64(nil, v.Uint64()))
		case parquet.ByteArray, parquet.FixedLenByteArray:
			if b := v.ByteArray(); packed(b) || !isText(b) {
				parts = append(parts, bytes.Clone(b))
				return
			}
			texts.Write(v.ByteArray())
			texts.WriteByte('\n')
		default:
			texts.WriteString(v.String() + "\n")
		}
	}
	for _, kv := range file.Metadata().KeyValueMetadata {
		parts = append(parts, []byte(kv.Key), []byte(kv.Value))
	}
	for _, g := range file.RowGroups() {
		for _, c := range g.ColumnChunks() {
			if err := chunkValues(c, add); err != nil {
				return err
			}
		}
	}
	parts = append(parts, texts.Bytes(), words.Bytes())
	for _, p := range parts {
		if err := inner("Parquet", p); err != nil {
			return err
		}
	}
	return nil
}

func chunkValues(c parquet.ColumnChunk, add func(parquet.Value)) (err error) {
	pages := c.Pages()
	defer func() { err = errors.Join(err, pages.Close()) }()
	for {
		p, err := pages.ReadPage()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if d := p.Dictionary(); d != nil {
			for i := range d.Len() {
				add(d.Index(int32(i)))
			}
		}
		values := make([]parquet.Value, p.NumValues())
		n, err := p.Values().ReadValues(values)
		if err != nil && err != io.EOF || n != len(values) {
			return fmt.Errorf("%d of %d values: %w", n, len(values), err)
		}
		for _, v := range values {
			add(v)
		}
		parquet.Release(p)
	}
}

func zipMembers(body []byte, inner func(what string, part []byte) error) error {
	z, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return err
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return err
		}
		part, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
		if err := inner("zip", []byte(f.Name)); err != nil {
			return err
		}
		if err := inner("zip "+f.Name, part); err != nil {
			return err
		}
	}
	return nil
}

func sortedRows(body []byte, inner func(what string, part []byte) error) (err error) {
	r, err := sstable.NewMemReader(body, sstable.ReaderOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for kv := it.First(); kv != nil; kv = it.Next() {
		v, _, err := kv.Value(nil)
		if err != nil {
			return err
		}
		if err := inner("key", bytes.Clone(kv.K.UserKey)); err != nil {
			return err
		}
		if err := inner(fmt.Sprintf("row %q", kv.K.UserKey), bytes.Clone(v)); err != nil {
			return err
		}
	}
	return it.Error()
}
