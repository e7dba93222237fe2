package vec

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Chunks calls f once for each chunk in [0, n), on at most GOMAXPROCS goroutines, and returns when all calls have. The number of
// chunks is the caller's and must not depend on the machine: f writes what belongs to its chunk alone, and the caller reduces the
// chunks in ascending order, so the result is the same at any GOMAXPROCS. Each goroutine makes its own scratch once and passes it to
// every call it makes; which goroutine gets which chunk is not determined.
func Chunks[S any](n int, scratch func() S, f func(s S, chunk int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	var next atomic.Int64
	work := func() {
		s := scratch()
		for {
			c := int(next.Add(1)) - 1
			if c >= n {
				return
			}
			f(s, c)
		}
	}
	if workers == 1 {
		work()
		return
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(work)
	}
	wg.Wait()
}

// Span returns the bounds [lo, hi) of chunk c when n elements are cut into `chunks` chunks whose sizes differ by at most one.
func Span(n, chunks, c int) (lo, hi int) {
	return n * c / chunks, n * (c + 1) / chunks
}
