// Package vec holds the numeric kernels of the models: dot products, symmetric rank-k updates, Cholesky, matrix products, and a
// parallel loop whose results do not depend on the number of workers. Nothing else in the tree needs to be fast.
//
// Matrices are flat, row-major []float32 or []float64. dst comes first. A wrong shape panics: it is a programmer's error.
//
// # Design
//
// One micro-kernel (mulTile: a 4×16 product) serves the rank-k update, the updates inside Cholesky and the scoring product. Its sixteen
// columns lie side by side in memory, one a vector lane, so it needs no sum across lanes; that is why triangles are the upper ones
// (A = UᵀU), panels hold a gathered row in one piece, and item vectors are packed before they are multiplied.
//
// Every sum of the kernel runs in ascending order of its index with one rounding after each product and one after each addition. So an
// element of a result depends on its row and its column alone, not on the tile, the batch or the worker that computed it: scores of
// one query do not change with its neighbours. The AVX assembly keeps to that order, as fused multiply-add or lanes along the sum
// would not. Hence it gives the bits of the portable kernel, artifacts do not depend on the processor's model, and a test compares the
// two for equality rather than within a tolerance. FMA would be up to twice as fast and a kernel class of its own.
//
// Class names the kernels in use; artifacts record it, as other kernels may round otherwise.
//
// Rejected: gonum (1.6 GFLOP/s on gathered d=64 updates, and its parallel blocks depend on GOMAXPROCS), cgo (a C toolchain for every
// user), GOEXPERIMENT=simd (an environment variable for every user).
package vec
