//go:build !amd64.v3

package vec

// built is empty: the compiler does what it does on this architecture in every build.
const built = ""
