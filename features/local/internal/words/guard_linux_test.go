package words

import (
	"bytes"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"
	"unsafe"
)

// fence is memory between pages that may not be touched.
type fence []byte

func newFence(t *testing.T, size int) fence {
	t.Helper()
	page := os.Getpagesize()
	size = (size + page - 1) / page * page
	m, err := syscall.Mmap(-1, 0, size+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(m) })
	for _, at := range []int{0, page + size} {
		if err := syscall.Mprotect(m[at:at+page], syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return fence(m[page : page+size : page+size])
}

// bytes returns n bytes that end where the fence stands, or begin there, and can be no more.
func (f fence) bytes(n int, end bool) []byte {
	if end {
		return f[len(f)-n:]
	}
	return f[:n:n]
}

func (f fence) words(n int, end bool) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(f.bytes(8*n, end)))), n)
}

// Kernels touch nothing before or behind what they are given: a fault would end the process.
func TestKernelsStayInside(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	from, packed := newFence(t, 8*300), newFence(t, 10*300)
	for _, n := range []int{1, 2, 7, 8, 9, 63, 64, 65, 100, 255, 256, 300} {
		for width := 1; width <= 8; width++ {
			for _, share := range []float64{1, .5, .05} {
				words := column(r, n, r.IntN(9-width), width, share)
				want := plain(words)
				atLevels(t, func(name string) {
					for _, end := range []bool{false, true} {
						in := from.words(n, end)
						copy(in, words)
						for _, spare := range []int{0, behind - 1, behind} {
							dst := packed.bytes(len(want)+spare, end)
							if got := Append(dst[:0], in); !bytes.Equal(got, want) {
								t.Fatalf("%s: %x is written as %x, want %x", name, words, got, want)
							}
						}
						src := packed.bytes(len(want), end)
						copy(src, want)
						clear(in)
						if _, rest, err := Read(in, src); err != nil || len(rest) > 0 || !slices.Equal(in, words) {
							t.Fatalf("%s: %x is read as %x, %d bytes behind it, %v", name, words, in, len(rest), err)
						}
						for cut := 1; cut < len(src); cut += 1 + r.IntN(20) { // and of what is damaged no more
							if _, _, err := Read(in, src[:cut:cut]); err == nil {
								t.Fatalf("%s: %d bytes of %d are read without an error", name, cut, len(src))
							}
						}
						for range 20 {
							src[r.IntN(len(src))] = byte(r.Uint32())
							Read(in, src)
						}
					}
				})
			}
		}
	}
}
