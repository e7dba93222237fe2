package artifact

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

type params struct {
	Z int     `json:"z"`
	A float64 `json:"a"`
}

// sample fills one artifact; order permutes the calls.
func sample(t testing.TB, order []int) Files {
	t.Helper()
	w := NewWriter()
	als := w.Section("parts").Section("als")
	steps := []func(){
		func() { w.Model("blend") },
		func() { w.JSON("params", params{Z: 1, A: 0.1}) },
		func() { als.Model("als") },
		func() { als.Strings("items", []string{"a<b", "b", "é\u2028", `\ufffd`, "\ufffd"}) },
		func() { als.F32("factors", []int{2, 3}, []float32{1, 2, 3, 4, 5, -0.5}) },
		func() { als.U8("mask", []int{3}, []uint8{1, 0, 255}) },
		func() { w.F64("bias", nil, []float64{math.Pi}) },
		func() { w.I32("off", []int{0}, nil) },
		func() { w.I64("big", []int{2}, []int64{math.MinInt64, math.MaxInt64}) },
	}
	for _, i := range order {
		steps[i]()
	}
	files, digest, err := w.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if digest != files.Digest() {
		t.Fatalf("digest %s, files have %s", digest, files.Digest())
	}
	return files
}

var inOrder = []int{0, 1, 2, 3, 4, 5, 6, 7, 8}

func TestRoundTrip(t *testing.T) {
	r, err := Open(sample(t, inOrder))
	if err != nil {
		t.Fatal(err)
	}
	als := r.Section("parts/als")
	if r.Model() != "blend" || als.Model() != "als" || r.Section("parts").Model() != "" {
		t.Errorf("models: %q, %q", r.Model(), als.Model())
	}
	if got := r.Sections(); !slices.Equal(got, []string{"parts"}) {
		t.Errorf("sections %v", got)
	}
	if got := r.Section("parts").Sections(); !slices.Equal(got, []string{"als"}) {
		t.Errorf("sections of parts: %v", got)
	}
	var p params
	if err := r.JSON("params", &p); err != nil || p != (params{Z: 1, A: 0.1}) {
		t.Errorf("params %v, %v", p, err)
	}
	items, err := als.Strings("items")
	if err != nil || !slices.Equal(items, []string{"a<b", "b", "é\u2028", `\ufffd`, "\ufffd"}) {
		t.Errorf("items %q, %v", items, err)
	}
	f, err := als.F32("factors", -1, 3)
	if err != nil || !slices.Equal(f, []float32{1, 2, 3, 4, 5, -0.5}) {
		t.Errorf("factors %v, %v", f, err)
	}
	if shape, err := als.Shape("factors"); err != nil || !slices.Equal(shape, []int{2, 3}) {
		t.Errorf("shape %v, %v", shape, err)
	}
	u, err := als.U8("mask", 3)
	if err != nil || !slices.Equal(u, []uint8{1, 0, 255}) {
		t.Errorf("mask %v, %v", u, err)
	}
	d, err := r.F64("bias")
	if err != nil || !slices.Equal(d, []float64{math.Pi}) {
		t.Errorf("bias %v, %v", d, err)
	}
	o, err := r.I32("off", 0)
	if err != nil || len(o) != 0 {
		t.Errorf("off %v, %v", o, err)
	}
	b, err := r.I64("big", -1)
	if err != nil || !slices.Equal(b, []int64{math.MinInt64, math.MaxInt64}) {
		t.Errorf("big %v, %v", b, err)
	}
}

func TestReaderNamesWhatIsWrong(t *testing.T) {
	r, err := Open(sample(t, inOrder))
	if err != nil {
		t.Fatal(err)
	}
	als := r.Section("parts/als")
	for want, call := range map[string]func() error{
		`no tensor "x" in section "parts/als"`:     func() error { _, err := als.F32("x"); return err },
		`no value "x" in section ""`:               func() error { return r.JSON("x", new(int)) },
		`no list of strings "items" in section ""`: func() error { _, err := r.Strings("items"); return err },
		`holds F32, want F64`:                      func() error { _, err := als.F64("factors"); return err },
		`has shape [2 3], want [3 -1]`:             func() error { _, err := als.F32("factors", 3, -1); return err },
		`has shape [2 3], want [6]`:                func() error { _, err := als.F32("factors", 6); return err },
		`unknown field`:                            func() error { return r.JSON("params", &struct{ Z int }{}) },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestBytesDoNotDependOnOrder(t *testing.T) {
	want := sample(t, inOrder)
	for _, order := range [][]int{{8, 7, 6, 5, 4, 3, 2, 1, 0}, {4, 8, 0, 2, 6, 1, 3, 7, 5}} {
		got := sample(t, order)
		for name := range want {
			if !bytes.Equal(got[name], want[name]) {
				t.Errorf("order %v: %s differs:\n%q\n%q", order, name, got[name], want[name])
			}
		}
	}
}

// TestGolden pins the bytes: a change here needs a new Format.
func TestGolden(t *testing.T) {
	w := NewWriter()
	w.Model("popular")
	w.JSON("params", params{Z: 1, A: 0.5})
	w.Strings("items", []string{"a"})
	w.U8("u", []int{1}, []uint8{7})
	w.F32("scores", []int{1}, []float32{1})
	files, digest, err := w.Encode()
	if err != nil {
		t.Fatal(err)
	}
	head := `{"scores":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"u":{"dtype":"U8","shape":[1],"data_offsets":[4,5]}}`
	pad := strings.Repeat(" ", (8-len(head)%8)%8)
	wantWeights := string(binary.LittleEndian.AppendUint64(nil, uint64(len(head)+len(pad)))) + head + pad + "\x00\x00\x80\x3f\x07"
	if got := string(files[WeightsName]); got != wantWeights {
		t.Errorf("weights\n%q\n%q", got, wantWeights)
	}
	wantManifest := `{"format":1,"sections":{"":{"model":"popular","strings":{"items":["a"]},"values":{"params":{"a":0.5,"z":1}}}},` +
		`"weights":{"sha256":"d21e9d347e12bf77f707d609e3d6ab5a56df451895a3ab691ce05f05091c75c8","size":125}}` + "\n"
	if got := string(files[ManifestName]); got != wantManifest {
		t.Errorf("manifest\n%s%s", got, wantManifest)
	}
	// sha256sum model.json weights.safetensors | sha256sum
	if want := "1796995d2c11af06c0a0d6cfd3094b1ae71a0a62a16b038437be449c771055c4"; digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
}

func TestWriterRefuses(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		want string
		do   func(w *Writer)
	}{
		{`shape [2 2] needs 4 values, got 3`, func(w *Writer) { w.F32("x", []int{2, 2}, make([]float32, 3)) }},
		{`value 1 is NaN`, func(w *Writer) { w.F64("x", []int{2}, []float64{0, nan}) }},
		{`value 0 is -Inf`, func(w *Writer) { w.F32("x", []int{1}, []float32{float32(math.Inf(-1))}) }},
		{`name is taken already`, func(w *Writer) { w.F32("x", nil, []float32{1}); w.JSON("x", 1) }},
		{`"X" in section "": a name is made of`, func(w *Writer) { w.JSON("X", 1) }},
		{`a name is made of`, func(w *Writer) { w.JSON("a/b", 1) }},
		{`a section's name`, func(w *Writer) { w.Section("../x").JSON("a", 1) }},
		{`string 1 is not valid UTF-8`, func(w *Writer) { w.Strings("x", []string{"a", "\xff"}) }},
		{`not valid UTF-8`, func(w *Writer) { w.JSON("x", "\xff") }},
		{`unsupported value: NaN`, func(w *Writer) { w.JSON("x", nan) }},
		{`negative or too large`, func(w *Writer) { w.U8("x", []int{-1}, nil) }},
		{`negative or too large`, func(w *Writer) { w.U8("x", []int{math.MaxInt, 4}, nil) }},
		{`9 dimensions`, func(w *Writer) { w.U8("x", make([]int, 9), nil) }},
		{`section belongs to "a" already`, func(w *Writer) { w.Model("a"); w.Model("b") }},
		{`model name "A"`, func(w *Writer) { w.Model("A") }},
	} {
		w := NewWriter()
		c.do(w)
		if _, _, err := w.Encode(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	w := NewWriter()
	w.JSON("X", 1)
	w.JSON("Y", 1)
	if _, _, err := w.Encode(); err == nil || strings.Count(err.Error(), "a name is made of") != 2 {
		t.Errorf("want both faults, got %v", err)
	}
}

// rebind makes a manifest that fits the given weights, as an attacker would.
func rebind(t testing.TB, weightsFile []byte) Files {
	t.Helper()
	w := NewWriter()
	files, _, err := w.Encode()
	if err != nil {
		t.Fatal(err)
	}
	m, err := decodeManifest(files[ManifestName])
	if err != nil {
		t.Fatal(err)
	}
	m.Weights = weights{SHA256: fmt.Sprintf("%x", sha256.Sum256(weightsFile)), Size: int64(len(weightsFile))}
	head, err := encodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	return Files{ManifestName: head, WeightsName: weightsFile}
}

// tensorsFile is a safetensors file of the given header and body.
func tensorsFile(head string, body int) []byte {
	data := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	return append(append(data, head...), make([]byte, body)...)
}

func TestOpenRefusesBadWeights(t *testing.T) {
	const f4 = `{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`
	for want, data := range map[string][]byte{
		`at least 8`:                     []byte("1234567"),
		`damaged or truncated`:           tensorsFile(`{}`, 0)[:9],
		`header of 18446744073709551615`: bytes.Repeat([]byte{0xff}, 20),
		`does not start with '{'`:        tensorsFile(` {}`, 0),
		`bytes after its end`:            tensorsFile(`{}{`, 0),
		`header:`:                        tensorsFile(`{"a":`, 0),
		`stands there twice`:             tensorsFile(`{"a":`+f4+`,"a":`+f4+`}`, 4),
		`3 bytes after the last tensor`:  tensorsFile(`{"a":`+f4+`}`, 7),
		`do not hold 1 values of F32`:    tensorsFile(`{"a":`+f4+`}`, 3),
		`without a hole`:                 tensorsFile(`{"a":`+f4+`,"b":{"dtype":"U8","shape":[1],"data_offsets":[5,6]}}`, 6),
		`bytes [0, 4) of 4`:              tensorsFile(`{"a":`+f4+`,"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 4),
		`type "F16"`:                     tensorsFile(`{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}`, 2),
		`too large`:                      tensorsFile(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, 0),
		`has 1 numbers`:                  tensorsFile(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}`, 4),
		`unknown field "extra"`:          tensorsFile(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"extra":1}}`, 4),
	} {
		if _, err := Open(rebind(t, data)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	// Layouts of other writers: any order, metadata, padding.
	good := tensorsFile(`{"__metadata__":{"by":"x"},"b":{"dtype":"U8","shape":[],"data_offsets":[4,5]},"a":`+f4+`}   `, 5)
	r, err := Open(rebind(t, good))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := r.U8("b"); err != nil || len(v) != 1 {
		t.Errorf("b: %v, %v", v, err)
	}
	binary.LittleEndian.PutUint32(good[len(good)-5:], math.Float32bits(float32(math.NaN())))
	if r, err = Open(rebind(t, good)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.F32("a"); err == nil || !strings.Contains(err.Error(), "NaN") {
		t.Errorf("NaN read as %v", err)
	}
}

func TestOpenRefusesBadManifest(t *testing.T) {
	files := sample(t, inOrder)
	good := string(files[ManifestName])
	for want, bad := range map[string]string{
		`unexpected end of JSON`:  good[:len(good)/2],
		`made by a newer rapport`: strings.Replace(good, `"format":1`, `"format":2,"new":{}`, 1),
		`format 0`:                `{}`,
		`is not the file that`:    strings.Replace(good, `"size":`, `"size":9`, 1),
		`not canonical`:           strings.Replace(good, `{"format":1`, `{ "format":1`, 1),
		`unknown field`:           strings.Replace(good, `"format":1`, `"extra":1,"format":1`, 1),
		`is null`:                 `{"format":1,"sections":{"":null},"weights":{"sha256":"","size":0}}` + "\n",
	} {
		if _, err := Open(Files{ManifestName: []byte(bad), WeightsName: files[WeightsName]}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for _, twice := range []string{
		strings.Replace(good, `"z":1`, `"z":1,"z":1`, 1),
		strings.Replace(good, `"z":1`, `"z": 1`, 1),
		strings.Replace(good, `"b"`, "\"\xff\"", 1),
	} {
		if _, err := Open(Files{ManifestName: []byte(twice), WeightsName: files[WeightsName]}); err == nil || !strings.Contains(err.Error(), "not canonical") {
			t.Errorf("got %v, want a refusal of another encoding of the same content", err)
		}
	}
	for name := range files {
		one := Files{name: files[name]}
		if _, err := Open(one); err == nil || !strings.Contains(err.Error(), "is missing") {
			t.Errorf("only %s: %v", name, err)
		}
	}
	damaged := Files{ManifestName: files[ManifestName], WeightsName: slices.Clone(files[WeightsName])}
	damaged[WeightsName][len(damaged[WeightsName])-1] ^= 1
	if _, err := Open(damaged); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("flipped bit: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	files := sample(f, inOrder)
	f.Add(files[ManifestName], files[WeightsName])
	f.Add([]byte(`{"format":1}`), tensorsFile(`{}`, 0))
	f.Fuzz(func(t *testing.T, head, data []byte) {
		// Once as it is, once with a manifest that vouches for the weights, so that the tensors' decoder is reached.
		for _, files := range []Files{{ManifestName: head, WeightsName: data}, rebind(t, data)} {
			r, err := Open(files)
			if err != nil {
				continue
			}
			for name, tensor := range r.tensors {
				r.F32(name)
				r.F64(name)
				r.I32(name)
				r.I64(name)
				r.U8(name)
				if tensor.n*tensor.size != len(tensor.raw) {
					t.Errorf("%q has %d values of %d bytes in %d bytes", name, tensor.n, tensor.size, len(tensor.raw))
				}
			}
			for name := range r.manifest.Sections {
				r.Section(name).Model()
				for value := range r.manifest.Sections[name].Values {
					var v any
					if err := r.Section(name).JSON(value, &v); err != nil && json.Valid(r.manifest.Sections[name].Values[value]) {
						t.Errorf("value %q: %v", value, err)
					}
				}
			}
		}
	})
}

func BenchmarkEncode64MiB(b *testing.B) {
	data := make([]float32, 16<<20)
	b.SetBytes(int64(4 * len(data)))
	b.ReportAllocs()
	for b.Loop() {
		w := NewWriter()
		w.F32("x", []int{len(data)}, data)
		if _, _, err := w.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}
