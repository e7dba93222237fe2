package peers

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
)

// Matrix is what each subject (row) had: row r owns Col[Off[r]:Off[r+1]], ascending item positions without repetition.
type Matrix struct {
	Items int
	Off   []int64
	Col   []int32
}

// Subjects is the number of rows.
func (m *Matrix) Subjects() int { return len(m.Off) - 1 }

// Row is the items of one subject, as a view.
func (m *Matrix) Row(s int) []int32 { return m.Col[m.Off[s]:m.Off[s+1]] }

// WriteFile writes m as Fit and ReadMatrix read it: rows, columns, entries and offsets as int64, then columns as int32, in the machine's
// byte order.
func (m *Matrix) WriteFile(path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	for _, part := range []any{[]int64{int64(m.Subjects()), int64(m.Items), int64(len(m.Col))}, m.Off, m.Col} {
		if err := binary.Write(w, binary.NativeEndian, part); err != nil {
			return err
		}
	}
	return w.Flush()
}

// ReadMatrix reads what WriteFile wrote.
func ReadMatrix(path string) (*Matrix, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	r, head := bufio.NewReaderSize(f, 1<<20), make([]int64, 3)
	if err := binary.Read(r, binary.NativeEndian, head); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	rows, items, entries := head[0], head[1], head[2]
	if rows < 0 || items < 0 || entries < 0 || rows > math.MaxInt32 || items > math.MaxInt32 || entries > math.MaxInt32 ||
		info.Size() != 8*(3+rows+1)+4*entries {
		return nil, fmt.Errorf("%s is no matrix: %d rows, %d columns and %d entries in %d bytes", path, rows, items, entries, info.Size())
	}
	m := &Matrix{Items: int(items), Off: make([]int64, rows+1), Col: make([]int32, entries)}
	for _, part := range []any{m.Off, m.Col} {
		if err := binary.Read(r, binary.NativeEndian, part); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return m, m.check()
}

func (m *Matrix) check() error {
	if m.Off[0] != 0 || m.Off[m.Subjects()] != int64(len(m.Col)) {
		return errors.New("matrix: offsets do not span the entries")
	}
	for s := range m.Subjects() {
		if m.Off[s] > m.Off[s+1] || m.Off[s+1] > int64(len(m.Col)) {
			return fmt.Errorf("matrix: row %d ends before it begins", s)
		}
		for k, i := range m.Row(s) {
			if i < 0 || int(i) >= m.Items || k > 0 && m.Row(s)[k-1] >= i {
				return fmt.Errorf("matrix: row %d has column %d of %d, or its columns do not ascend", s, i, m.Items)
			}
		}
	}
	return nil
}

// The peers.
const (
	CG       = "implicit-cg"       // implicit's ALS, three steps of conjugate gradients a row
	Cholesky = "implicit-cholesky" // implicit's ALS, exact
	BPR      = "implicit-bpr"
	WARP     = "lightfm-warp"
)

// Fit is one training.
type Fit struct {
	Kind       string // a peer
	Factors    int
	Iterations int
	Seed       uint32

	// Of ALS, in our terms (see the package comment): the same problem as our als with Exponent 0 and every confidence 1.
	Weight         float64   // α₀ > 0
	Regularization float64   // λ
	InitSD         float64   // standard deviation of the subjects' start
	Start          []float32 // items × Factors: what the items start from
	Fold           []int     // rows whose vectors are solved again from the final items, as a new subject's
}

// Vectors are the outcome of a fit. For ALS they are in our scale: products estimate 1 for a pair that is seen.
type Vectors struct {
	Width        int
	Users, Items []float32 // rows × Width
	Folded       []float32 // of Fit.Fold
	Seconds      float64   // of the whole fit, from the matrix in memory
	CPU          float64   // seconds of processor time of all threads
	Epochs       []float64 // seconds of each, of ALS
	BLASThreads  int       // that ALS ran with
}

// Train runs a fit on the matrix in file path, in a process of its own with all cores.
func (e *Env) Train(ctx context.Context, path string, m *Matrix, f Fit) (*Vectors, error) {
	out, err := os.MkdirTemp("", "rapport-peer-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(out)
	task := map[string]any{
		"kind": f.Kind, "matrix": path, "out": out, "factors": f.Factors, "iterations": f.Iterations, "seed": f.Seed,
		"threads": runtime.GOMAXPROCS(0), "fold": f.Fold, "confidence": 1.0,
	}
	scale := 1.0 // √t
	if f.Kind == CG || f.Kind == Cholesky {
		if !(f.Weight > 0) {
			return nil, fmt.Errorf("peer %s: a weight of %g has no confidence that stands for it", f.Kind, f.Weight)
		}
		c := 1 + 1/f.Weight
		scale = math.Sqrt(c / (c - 1))
		task["confidence"], task["regularization"], task["init_sd"] = c, f.Regularization*c, f.InitSD*scale
		if len(f.Start) != m.Items*f.Factors {
			return nil, fmt.Errorf("peer %s: a start of %d numbers for %d items of %d factors", f.Kind, len(f.Start), m.Items, f.Factors)
		}
		start := make([]float32, len(f.Start))
		for i, v := range f.Start {
			start[i] = float32(scale * float64(v))
		}
		body, err := binary.Append(nil, binary.NativeEndian, start)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(out, "start"), body, 0o600); err != nil {
			return nil, err
		}
	}
	var answer struct {
		Width       int       `json:"width"`
		Seconds     float64   `json:"seconds"`
		CPU         float64   `json:"cpu"`
		Epochs      []float64 `json:"epochs"`
		BLASThreads int       `json:"blas_threads"`
	}
	if err := e.ask(ctx, task, &answer); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Kind, err)
	}
	v := &Vectors{Width: answer.Width, Seconds: answer.Seconds, CPU: answer.CPU, Epochs: answer.Epochs, BLASThreads: answer.BLASThreads}
	for _, part := range []struct {
		name string
		rows int
		dst  *[]float32
	}{{"users", m.Subjects(), &v.Users}, {"items", m.Items, &v.Items}, {"folded", len(f.Fold), &v.Folded}} {
		if part.name == "folded" && (part.rows == 0 || answer.Epochs == nil) {
			continue
		}
		if *part.dst, err = readFloats(filepath.Join(out, part.name), part.rows*v.Width); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Kind, err)
		}
		for i := range *part.dst {
			(*part.dst)[i] /= float32(scale)
		}
	}
	return v, nil
}

// readFloats reads a file of n float32, all of them finite.
func readFloats(path string, n int) ([]float32, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(b) != 4*n {
		return nil, fmt.Errorf("the vectors in %s have %d bytes, want %d", filepath.Base(path), len(b), 4*n)
	}
	out := make([]float32, n)
	if _, err := binary.Decode(b, binary.NativeEndian, out); err != nil {
		return nil, err
	}
	for i, v := range out {
		if v-v != 0 {
			return nil, fmt.Errorf("value %d of the vectors in %s is %v: the fit diverged", i, filepath.Base(path), v)
		}
	}
	return out, nil
}
