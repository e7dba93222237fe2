package sha

// The assembly is written by a module of its own; make lint compares.

//go:generate go run -C asm . lanes -out ../lanes_amd64.s -stubs ../lanes_stubs_amd64.go -pkg sha
