package vec

import (
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// fenced returns n random numbers that end where memory that may not be touched begins, and others that begin where it ends.
func fenced(t *testing.T, r *rand.Rand, n int) (before, after []float32) {
	t.Helper()
	page := os.Getpagesize()
	size := (4*n + page - 1) / page * page
	m, err := syscall.Mmap(-1, 0, 2*size+3*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(m) })
	for _, at := range []int{0, page + size, 2*page + 2*size} {
		if err := syscall.Mprotect(m[at:at+page], syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	if n > 0 {
		before = unsafe.Slice((*float32)(unsafe.Pointer(&m[page+size-4*n])), n)
		after = unsafe.Slice((*float32)(unsafe.Pointer(&m[2*page+size])), n)
	}
	for i := range before {
		before[i] = float32(r.NormFloat64())
		after[i] = before[i]
	}
	return before, after
}

// Kernels touch nothing before or after what they are given: a fault would end the process.
func TestKernelsStayInside(t *testing.T) { atLevels(t, kernelsStayInside) }

func kernelsStayInside(t *testing.T) {
	r := rand.New(rand.NewPCG(20, 1))
	both := func(n int, f func(x []float32)) {
		before, after := fenced(t, r, n)
		f(before)
		f(after)
	}
	for _, n := range []int{1, 5, 15, 16, 17, 31, 33, 64, 100} {
		other := random(r, n)
		both(n, func(x []float32) {
			Dot(x, other)
			Dot(other, x)
			Axpy(x, .5, other)
			Axpy(other, .5, x)
			scaleTo(x, .5, other)
			scaleTo(other, .5, x)
			var top Top
			top.Reset(3)
			if !top.Offer(x, 0, nil) {
				t.Fatal("refused")
			}
		})
		a := make([]float32, n*n)
		for i := range n {
			a[i*n+i] = 2
		}
		both(n*n, func(x []float32) {
			copy(x, a)
			if !Cholesky(x, n) {
				t.Fatalf("n=%d: refused", n)
			}
			both(n, func(b []float32) { CholeskySolve(x, n, b) })
			copy(x, a)
			if !InvertSPD(x, n) {
				t.Fatalf("n=%d: refused", n)
			}
			rows := random(r, 3*roundUp(n))
			Syrk(x, n, rows, 3, n, roundUp(n))
			packed := Pack(x, n, n)
			both(n*n, func(dst []float32) { packed.MulNT(dst, n, x, n, n) })
		})
		both(3*roundUp(n), func(x []float32) { Syrk(a, n, x, 3, n, roundUp(n)) })
	}
	for _, n := range []int{240, 300} { // strips of several blocks
		both(n*n, func(x []float32) {
			clear(x)
			for i := range n {
				x[i*n+i] = 2
			}
			if !InvertSPD(x, n) {
				t.Fatalf("n=%d: refused", n)
			}
		})
	}
	for strips := 1; strips <= 3; strips++ {
		both(7*50+16*strips, func(c []float32) {
			both(9*8, func(x []float32) {
				both(8*50+16*strips, func(b []float32) {
					for _, how := range []int{set, add, subtract} {
						mulTile(how, c, 50, strips, 9, x, 1, 8, b, 16, 50)
					}
				})
			})
			solveRows(c, 50, strips, &factors{})
		})
	}
}
