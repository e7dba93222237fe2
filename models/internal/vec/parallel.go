package vec

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Workers returns how many goroutines Chunks uses at most: the size of per-worker scratch.
func Workers() int { return runtime.GOMAXPROCS(0) }

// Chunks calls f once for each chunk in [0, n), on at most Workers() goroutines, and returns when all calls have. The number of
// chunks is the caller's and must not depend on the machine: f writes what belongs to its chunk alone, and the caller reduces the
// chunks in ascending order, so the result is the same at any GOMAXPROCS. worker in [0, Workers()) identifies scratch that no other
// call uses at the same time; which worker gets which chunk is not determined.
func Chunks(n int, f func(worker, chunk int)) {
	workers := min(Workers(), n)
	if workers <= 1 {
		for c := range n {
			f(0, c)
		}
		return
	}
	var (
		next atomic.Int64
		wg   sync.WaitGroup
	)
	for w := range workers {
		wg.Go(func() {
			for {
				c := int(next.Add(1)) - 1
				if c >= n {
					return
				}
				f(w, c)
			}
		})
	}
	wg.Wait()
}

// Span returns the bounds [lo, hi) of chunk c when n elements are cut into `chunks` chunks whose sizes differ by at most one.
func Span(n, chunks, c int) (lo, hi int) {
	return n * c / chunks, n * (c + 1) / chunks
}
