package models

import "github.com/rapport-ml/rapport/models/internal/vec"

// KernelClass names the arithmetic that models are trained with in this process. Within a class artifacts are byte-identical for equal
// inputs, whatever the number and model of processors; between classes the last bits differ. "fma-amd64" is every x86-64 processor with AVX2 and
// FMA, "portable-ARCH" what needs no particular processor; a build with GOAMD64=v3 or more rounds otherwise, and ends in "v3".
func KernelClass() string { return vec.Class() }

// KernelVariable is the environment variable that forces kernels: portable, avx2 or avx512.
const KernelVariable = vec.Variable

// CheckKernels returns what is wrong with KernelVariable, or nil. A program calls it before it computes anything.
func CheckKernels() error { return vec.Check() }
