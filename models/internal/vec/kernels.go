package vec

import (
	"fmt"
	"os"
	"runtime"
)

// The kernels that there are, as Variable names them. A higher level is the quicker one.
const (
	portable = iota
	avx2     // with FMA
	avx512   // F, DQ, BW and VL
)

var levels = []string{"portable", "avx2", "avx512"}

// Variable is the environment variable that forces kernels: portable, avx2 or avx512. What it names and this process cannot run, or what
// is no name, is the error that Check returns; the best kernels are used then.
const Variable = "RAPPORT_KERNELS"

// level is what this process uses, a variable so that tests can compare. Nothing else changes it after the start.
var level, levelError = choose(os.Getenv(Variable), best())

// choose returns the level that is asked for by name, or the best one if none is.
func choose(name string, best int) (int, error) {
	if name == "" {
		return best, nil
	}
	for l, have := range levels {
		if have == name && l <= best {
			return l, nil
		}
		if have == name {
			return best, fmt.Errorf("%s=%s: this processor or this build has no such kernels, %s are its best: unset it", Variable, name, levels[best])
		}
	}
	return best, fmt.Errorf("%s=%s: want portable, avx2 or avx512, or leave it unset", Variable, name)
}

// Check returns what is wrong with the environment variable that forces kernels, or nil. A program calls it before it computes anything.
func Check() error { return levelError }

// Class names the arithmetic of this process. Two processes of one class give the same bits for the same inputs: AVX-512 and AVX2 do, which
// fuse multiplication and addition in the same order; the portable kernels round after each. The architecture is part of it because package
// math and float64 code may round differently there, and so is "v3" of a build with GOAMD64=v3 or more, whose compiler fuses float64 too.
func Class() string {
	if level == portable {
		return "portable-" + runtime.GOARCH + built
	}
	return "fma-" + runtime.GOARCH + built
}

// Kernels names the kernels that this process uses: portable, avx2 or avx512.
func Kernels() string { return levels[level] }
