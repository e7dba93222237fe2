package peers

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
)

func TestMatrixFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "matrix")
	for _, m := range []*Matrix{
		{Items: 4, Off: []int64{0, 2, 2, 5}, Col: []int32{1, 3, 0, 1, 2}},
		{Items: 0, Off: []int64{0}, Col: []int32{}},
	} {
		if err := m.WriteFile(path); err != nil {
			t.Fatal(err)
		}
		got, err := ReadMatrix(path)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v is read as %+v, %v", m, got, err)
		}
	}
}

// A file that is cut, or whose numbers do not fit, is refused before memory is made for it.
func TestMatrixDamaged(t *testing.T) {
	words := func(head []int64, off []int64, col []int32) []byte {
		var b bytes.Buffer
		for _, part := range []any{head, off, col} {
			if err := binary.Write(&b, binary.NativeEndian, part); err != nil {
				t.Fatal(err)
			}
		}
		return b.Bytes()
	}
	for name, body := range map[string][]byte{
		"empty":           nil,
		"a number cut":    {1, 2, 3},
		"too few bytes":   words([]int64{1, 4, 3}, []int64{0, 3}, []int32{0, 1}),
		"huge":            words([]int64{1 << 40, 4, 3}, []int64{0, 3}, []int32{0, 1, 2}),
		"negative":        words([]int64{-2, 4, 3}, nil, []int32{0}),
		"offsets descend": words([]int64{2, 4, 2}, []int64{0, 3, 2}, []int32{0, 1}),
		"not all rows":    words([]int64{1, 4, 2}, []int64{0, 1}, []int32{0, 1}),
		"no such column":  words([]int64{1, 4, 2}, []int64{0, 2}, []int32{0, 4}),
		"columns descend": words([]int64{1, 4, 2}, []int64{0, 2}, []int32{1, 0}),
		"a column twice":  words([]int64{1, 4, 2}, []int64{0, 2}, []int32{1, 1}),
	} {
		path := filepath.Join(t.TempDir(), "matrix")
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := ReadMatrix(path); err == nil {
			t.Errorf("%s: read as %+v", name, m)
		}
	}
}

func TestReadFloats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v")
	write := func(v ...float32) {
		var b bytes.Buffer
		if err := binary.Write(&b, binary.NativeEndian, v); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(1, -2)
	if got, err := readFloats(path, 2); err != nil || !slices.Equal(got, []float32{1, -2}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := readFloats(path, 3); err == nil {
		t.Error("a short file is accepted")
	}
	write(1, float32(math.NaN()))
	if _, err := readFloats(path, 2); err == nil || !strings.Contains(err.Error(), "diverged") {
		t.Errorf("not a number is accepted: %v", err)
	}
}

// What slows a BLAS is not handed on; the rest is.
func TestEnvironment(t *testing.T) {
	got := environment([]string{"PATH=/bin", "OPENBLAS_CORETYPE=Prescott", "OPENBLAS_L2_SIZE=1", "OMP_NUM_THREADS=1", "HOME=/root"})
	if want := []string{"PATH=/bin", "HOME=/root"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// For any item vectors, the row that implicit's equations give is √t times the row that ours give: one problem in other units.
func TestSameProblem(t *testing.T) {
	const d, n = 5, 40
	r := rand.New(rand.NewPCG(3, 4))
	weight, lambda := 0.05, 0.7
	c := 1 + 1/weight
	scale := math.Sqrt(c / (c - 1))
	y := mat.NewDense(n, d, nil)
	for i := range n {
		for k := range d {
			y.Set(i, k, r.NormFloat64())
		}
	}
	seen := []int{2, 3, 17, 31}
	solve := func(y *mat.Dense, all, regularization, pair, right float64) *mat.VecDense {
		a, b := mat.NewDense(d, d, nil), mat.NewVecDense(d, nil)
		a.Mul(y.T(), y)
		a.Scale(all, a)
		for k := range d {
			a.Set(k, k, a.At(k, k)+regularization)
		}
		for _, i := range seen {
			row := y.RowView(i)
			a.RankOne(a, pair, row, row)
			b.AddScaledVec(b, right, row)
		}
		var x mat.VecDense
		if err := x.SolveVec(a, b); err != nil {
			t.Fatal(err)
		}
		return &x
	}
	theirs := solve(y, 1, lambda*c, c-1, c)
	h := mat.NewDense(n, d, nil)
	h.Scale(1/scale, y)
	ours := solve(h, weight, lambda, 1, 1)
	ours.ScaleVec(scale, ours)
	if !mat.EqualApprox(theirs, ours, 1e-12) {
		t.Errorf("theirs %v, ours %v", theirs.RawVector().Data, ours.RawVector().Data)
	}
}

// A machine without the interpreter is told what to install.
func TestNoPython(t *testing.T) {
	_, err := Open(t.Context(), t.TempDir(), filepath.Join(t.TempDir(), "no-python"), &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "python3-venv") {
		t.Errorf("%v", err)
	}
}

// Without a package index the error says that one is needed, and nothing is taken for made.
func TestNoIndex(t *testing.T) {
	dir := t.TempDir()
	python := filepath.Join(dir, "python")
	// An interpreter that makes an environment whose pip reaches nothing.
	fake := `#!/bin/sh
case "$2" in
venv) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
pip) echo "Could not find a version that satisfies the requirement"; exit 1 ;;
*) echo 3.11 ;;
esac
`
	if err := os.WriteFile(python, []byte(fake), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := Open(t.Context(), dir, python, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), "PIP_INDEX_URL") || !strings.Contains(err.Error(), "Could not find") {
			t.Fatalf("%v", err)
		}
	}
}
