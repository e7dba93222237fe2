// Package vec holds the numeric kernels of the models: dot products, symmetric rank-k updates, Cholesky, matrix products, and a
// parallel loop whose results do not depend on the number of workers. Nothing else in the tree needs to be fast.
//
// Matrices are flat, row-major []float32 or []float64. dst comes first. A wrong shape panics: it is a programmer's error.
//
// # Design
//
// One micro-kernel (dot3x2: six dot products at once, accumulators in registers) serves the rank-k update, the updates inside
// Cholesky and the scoring product, as all three are products A·Bᵀ of rows that lie contiguously. That is why triangles are the lower
// ones and why Syrk takes a panel with one row a column of the result. Assembly will replace the micro-kernel, not its callers.
//
// Every sum runs in ascending order of its index with one rounding after each product and one after each addition (the explicit
// float32 conversions forbid fused multiply-add, which the compiler would otherwise use on some architectures). So an element of a
// result depends on its row and its column alone, not on the tile, the batch or the worker that computed it, and scores of one query do
// not change with its neighbours.
//
// Class names the kernels in use; artifacts record it, as other kernels may round otherwise.
//
// Rejected: gonum (1.6 GFLOP/s on gathered d=64 updates, and its parallel blocks depend on GOMAXPROCS), cgo (a C toolchain for every
// user), GOEXPERIMENT=simd (an environment variable for every user).
package vec
