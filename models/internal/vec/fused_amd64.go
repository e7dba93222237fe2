//go:build amd64.v3

package vec

// built says how the compiler rounds x*y + z in float64 on amd64: since this build asked for v3 (GOAMD64), once, by a fused multiply-add.
const built = "v3"
