package main

// #cgo LDFLAGS: -lopenblas
// #include <cblas.h>
// void spotrf_(const char *uplo, const blasint *n, float *a, const blasint *lda, blasint *info);
// void spotri_(const char *uplo, const blasint *n, float *a, const blasint *lda, blasint *info);
import "C"

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// task is what benchtrain asks for.
//
//	facts                what the library takes the machine for
//	gemm    m, n, k      C = A·Bᵀ of two row-major matrices, the product that scores m subjects against n items
//	inverse n            the inverse of a symmetric positive definite matrix: spotrf and spotri
type task struct {
	Do      string `json:"do"`
	M       int    `json:"m"`
	N       int    `json:"n"`
	K       int    `json:"k"`
	Repeats int    `json:"repeats"`
	Threads int    `json:"threads"`
	Seed    uint64 `json:"seed"`
}

// facts are what it is told.
type facts struct {
	Config  string    `json:"config"`
	Core    string    `json:"core"`
	Threads int       `json:"threads"`
	Seconds []float64 `json:"seconds"` // of each repeat
	CPU     []float64 `json:"cpu"`     // seconds of processor time of each repeat, of all threads
	RSS     int64     `json:"rss"`     // peak resident bytes
	Answer  []float64 `json:"answer,omitempty"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "openblas:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var t task
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return fmt.Errorf("the task on the standard input: %w", err)
	}
	C.openblas_set_num_threads(C.int(max(1, t.Threads)))
	f := facts{
		Config: C.GoString(C.openblas_get_config()), Core: C.GoString(C.openblas_get_corename()), Threads: int(C.openblas_get_num_threads()),
	}
	var err error
	switch t.Do {
	case "facts":
	case "gemm":
		err = gemm(t, &f)
	case "inverse":
		err = inverse(t, &f)
	default:
		err = fmt.Errorf("no task is called %q", t.Do)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", t.Do, err)
	}
	if _, f.RSS, err = usage(); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(f)
}

// fill sets x to numbers in [-1, 1) from a seed, as benchtrain's own fill does.
func fill(x []float32, seed uint64) {
	for i := range x {
		seed = seed*6364136223846793005 + 1442695040888963407
		x[i] = float32(int32(seed>>32)) / (1 << 31)
	}
}

func gemm(t task, f *facts) error {
	if t.M < 1 || t.N < 1 || t.K < 1 {
		return fmt.Errorf("shape %d×%d×%d", t.M, t.N, t.K)
	}
	a, b, c := make([]float32, t.M*t.K), make([]float32, t.N*t.K), make([]float32, t.M*t.N)
	fill(a, t.Seed)
	fill(b, t.Seed+1)
	multiply := func() {
		C.cblas_sgemm(C.CblasRowMajor, C.CblasNoTrans, C.CblasTrans, C.blasint(t.M), C.blasint(t.N), C.blasint(t.K), 1,
			(*C.float)(&a[0]), C.blasint(t.K), (*C.float)(&b[0]), C.blasint(t.K), 0, (*C.float)(&c[0]), C.blasint(t.N))
	}
	multiply() // touches the memory, and starts the threads
	for range t.Repeats {
		if err := f.time(multiply); err != nil {
			return err
		}
	}
	f.Answer = []float64{float64(c[0]), float64(c[len(c)-1])}
	return nil
}

// inverse times potrf + potri of a diagonally dominant matrix, which is made anew each time.
func inverse(t task, f *facts) error {
	n := t.N
	if n < 1 {
		return fmt.Errorf("size %d", n)
	}
	a := make([]float32, n*n)
	for range t.Repeats {
		fill(a, t.Seed)
		for i := range n {
			for j := range i { // the lower triangle of rows is the upper one of LAPACK's columns
				a[i*n+j] /= float32(math.Sqrt(float64(n)))
			}
			a[i*n+i] += 4
		}
		var info C.blasint
		upper, size := C.char('U'), C.blasint(n)
		at := (*C.float)(unsafe.Pointer(&a[0]))
		if err := f.time(func() {
			C.spotrf_(&upper, &size, at, &size, &info)
			if info == 0 {
				C.spotri_(&upper, &size, at, &size, &info)
			}
		}); err != nil {
			return err
		}
		if info != 0 {
			return fmt.Errorf("LAPACK refuses the matrix: info %d", int(info))
		}
	}
	f.Answer = []float64{float64(a[0]), float64(a[(n-1)*n]), float64(a[n*n-1])}
	return nil
}

// time adds what one repeat took.
func (f *facts) time(work func()) error {
	before, _, err := usage()
	if err != nil {
		return err
	}
	began := time.Now()
	work()
	f.Seconds = append(f.Seconds, time.Since(began).Seconds())
	after, _, err := usage()
	f.CPU = append(f.CPU, after-before)
	return err
}

// usage is the process's seconds of processor time so far and its peak memory: on Linux the address space's own high-water mark.
func usage() (cpu float64, rss int64, err error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0, 0, err
	}
	rss = int64(r.Maxrss) // bytes on macOS
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		if _, line, ok := strings.Cut(string(status), "VmHWM:"); ok {
			if _, err := fmt.Sscanf(line, "%d kB", &rss); err == nil {
				rss *= 1024
			}
		}
	}
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9, rss, nil
}
